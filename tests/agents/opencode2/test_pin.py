"""Every set-up of the facts under the guard, and what happens where a measure is taken out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_opencode2 import JULY, LATER, NO_SWITCH, PREVIEW, Build
from opencode2_cases import CASES, EVIL, THROUGH_US, Bench, Case
from opencode2_guarded import Drop, Guarded, launch, plan

from guard.agents.opencode.directories import suffix
from guard.policy.values import CompiledPolicy

SWITCHES = ("OPENCODE_CONFIG_PROJECT_DISABLE", "OPENCODE_DISABLE_PROJECT_CONFIG")


def bench_for(case: Case, root: Path) -> Bench:
    bench = Bench(root)
    bench.ours = f"portkey-{suffix(bench.environ, create=True)}"
    case.setup(bench)
    return bench


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_set_up_under_the_guard(case: Case, tmp_path: Path, policy: CompiledPolicy) -> None:
    made = launch(bench_for(case, tmp_path), policy)
    assert (made.refused[:1] or [""])[0] == case.refused, made.plan.forbidden_by
    wanted = set(case.pinned) if case.pinned is not None else THROUGH_US
    assert made.run() == wanted


# A measure taken out: the same case ends elsewhere ------------------------------------------------


def _unset(*names: str) -> Drop:
    def drop(made: Guarded) -> None:
        for name in names:
            del made.plan.environ[name]

    return drop


def _without_word(made: Guarded) -> None:
    made.plan.argv.remove("--standalone=true")


def _uncleaned(made: Guarded) -> None:
    made.plan.environ = {**made.bench.environ, **made.plan.environ}


def _edit(change: Callable[[dict[str, Any]], None]) -> Drop:
    """Both pins with a change."""

    def edited(text: str) -> str:
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    def drop(made: Guarded) -> None:
        for file in made.files:
            file.write_text(edited(file.read_text()))
        pinned = "OPENCODE_CONFIG_CONTENT"
        made.plan.environ[pinned] = edited(made.plan.environ[pinned])

    return drop


def _without(*keys: str) -> Drop:
    return _edit(lambda document: [document.pop(key, None) for key in keys] and None)


def _without_statements(action: str) -> Drop:
    def change(document: dict[str, Any]) -> None:
        for place in (document, document["experimental"]):
            place["policies"] = [s for s in place["policies"] if s["action"] != action]

    return _edit(change)


def _guessable_id(made: Guarded) -> None:
    for file in made.files:
        file.write_text(file.read_text().replace(made.bench.ours, "portkey"))


def _no_file(made: Guarded) -> None:
    for file in made.files:
        file.unlink()


def _one_document(made: Guarded) -> None:
    """What a build does not know beside the route."""
    route, rest = (json.loads(file.read_text()) for file in made.files)
    said = rest["policies"] + route["policies"]
    route |= {"policies": said, "experimental": {"policies": said}}
    made.files[0].write_text(json.dumps(route))


@pytest.mark.parametrize(
    ("case", "build", "drop"),
    [
        ("s01", JULY, _without_word),
        ("c23", LATER, _uncleaned),
        ("c27 Bun", LATER, _uncleaned),
        ("c33", LATER, _uncleaned),
        ("BUN_BE_BUN", LATER, _uncleaned),
        ("c14", LATER, _unset("XDG_CONFIG_HOME")),
        ("c00", JULY, _unset("XDG_CONFIG_HOME")),
        ("c00", JULY, _no_file),
        ("c05", NO_SWITCH, _unset("OPENCODE_CONFIG_CONTENT")),
        ("c31", LATER, _unset(*SWITCHES)),
        ("c44", LATER, _unset(*SWITCHES)),
        ("c35", LATER, _unset("NO_PROXY", "no_proxy")),
        ("c00", LATER, _unset("OPENCODE_DISABLE_MODELS_FETCH")),
        ("c00", LATER, _without("update", "autoupdate")),
        ("c00", LATER, _without("agents")),
        ("c40", JULY, _without_statements("provider.use")),
        ("u01", JULY, _without_statements("provider.use")),
        ("c11 plugin folder", NO_SWITCH, _without_statements("integration.use")),
        ("c17 MCP command", NO_SWITCH, _without_statements("integration.use")),
        ("c18", NO_SWITCH, _without_statements("integration.use")),
        ("c06", JULY, _guessable_id),
        ("c03", PREVIEW, _one_document),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", ""),
)
def test_each_measure_is_needed(
    case: str, build: Build, drop: Drop, tmp_path: Path, policy: CompiledPolicy
) -> None:
    found = next(each for each in CASES if each.id.startswith(case))
    made = launch(bench_for(found, tmp_path), policy)
    assert made.run(build) == THROUGH_US
    drop(made)
    assert made.run(build) != THROUGH_US


def test_a_command_without_a_server_of_its_own_leaves_none_behind(
    tmp_path: Path, policy: CompiledPolicy
) -> None:
    bench = Bench(tmp_path)
    made = launch(bench, policy, ["mcp", "list"])
    assert made.refused == []
    assert "PORTKEY_API_KEY" not in made.plan.environ
    assert made.run() == set()
    assert bench.lab.services == {}
    assert not (tmp_path / "home/.local/state/opencode/service.json").exists()


def test_where_one_stays_behind_all_the_same_the_next_command_is_refused(
    tmp_path: Path, policy: CompiledPolicy
) -> None:
    """A build that does not obey the setting: the server has no key, and is not used again."""
    bench = Bench(tmp_path)
    made = launch(bench, policy, ["mcp", "list"])
    made.run(JULY)
    ((server, _),) = bench.lab.services.values()
    assert "PORTKEY_API_KEY" not in server.environ
    registration = Path(made.facts.places.state, "opencode", "service.json")
    found = json.loads(registration.read_text())
    registration.write_text(json.dumps(found | {"pid": os.getpid()}))
    assert plan(bench, policy, ["plugin", "list"]).refused == ["RG202"]
    # a launch with a server of its own does not look for one
    assert plan(bench, policy, ["run", "hi"]).refused == []


def test_an_evil_registration_is_not_seen_by_a_command_without_standalone(
    tmp_path: Path, policy: CompiledPolicy
) -> None:
    bench = bench_for(next(c for c in CASES if c.id.startswith("s03")), tmp_path)
    made = launch(bench, policy, ["mcp", "list"])
    assert made.run(JULY) == {"a service stays"}
    del made.plan.environ["XDG_STATE_HOME"]
    assert "attacker.invalid" in made.run(JULY)


def test_another_directory_of_the_same_server(tmp_path: Path, policy: CompiledPolicy) -> None:
    """A request may name any directory (s06): its provider, policy, plugin and server are out."""
    bench = Bench(tmp_path)
    other = tmp_path / "elsewhere"
    bench.put("elsewhere/.opencode/plugins/x.js", f"fetch {EVIL}")
    bench.put(
        "elsewhere/opencode.json",
        {
            "model": "anthropic/claude-x",
            "mcp": {"servers": {"x": {"url": EVIL}}},
            "policies": [{"effect": "allow", "action": "*", "resource": "*"}],
        },
    )
    made = launch(bench, policy)
    for build in (LATER, NO_SWITCH):
        assert bench.run(build, made.plan.argv, made.plan.environ, str(other)) == THROUGH_US
