"""From the account to the call: what `routeguard portkey` finds is what opencode lists and uses."""

from __future__ import annotations

import json
import os
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import control_plane as plane
import pexpect
import psutil
import pytest
from harness.portkey import ANSWER
from harness.sandbox import ROUTEGUARD, Outcome, Sandbox
from harness.waiting import answers_once

from guard.launch.proof.canary import CanarySearch

pytestmark = pytest.mark.e2e

MISTRAL = "mistralai/mistral-7b-instruct"
LLAMA = "meta-llama/Llama-3-8b"
HOSTED = ["openai-prod", "openrouter-main", "together-1"]

FALLBACK = {
    "strategy": {"mode": "fallback", "on_status_codes": [429]},
    "targets": [
        {"provider": "@openai-prod"},
        {"provider": "@openrouter-main", "override_params": {"model": MISTRAL}},
    ],
}
BALANCED = {
    "strategy": {"mode": "loadbalance"},
    "targets": [
        {"provider": "@openai-prod", "weight": 0},
        {"provider": "@together-1", "weight": 1},
    ],
}
CONDITIONAL = {
    "strategy": {
        "mode": "conditional",
        "conditions": [{"query": {"params.model": {"$eq": MISTRAL}}, "then": "open"}],
        "default": "house",
    },
    "targets": [
        {"name": "house", "provider": "@openai-prod"},
        {"name": "open", "provider": "@openrouter-main"},
    ],
}
RETRIED = {"retry": {"attempts": 2, "on_status_codes": [429]}, "provider": "@together-1"}


@pytest.fixture
def person(user: Sandbox) -> Iterator[Sandbox]:
    """A user with an admin key for three providers, four configs, and a policy that names none."""
    space = user.network.front.workspace
    space.default_route = False
    space.keys[user.gateway_key] = plane.ADMIN
    space.providers = [
        plane.provider("openai-prod"),
        plane.provider("openrouter-main", "openrouter"),
        plane.provider("together-1", "together-ai"),
    ]
    space.models = [
        plane.model("openai-prod", "gpt-4o"),
        plane.model("openai-prod", "gpt-4o-mini"),
        plane.model("openrouter-main", MISTRAL),
        plane.model("together-1", LLAMA),
    ]
    space.details = {
        "pc-fall-000001": FALLBACK,
        "pc-load-000002": BALANCED,
        "pc-cond-000003": CONDITIONAL,
        "pc-again-000004": RETRIED,
    }
    space.configs = [plane.config_row(slug) for slug in space.details]
    space.api_keys = [plane.key_row(user.gateway_key, plane.ADMIN)]
    path = user.config / "routeguard" / "policy.toml"
    _, _, exceptions = path.read_text().partition("[[exception]]")
    gateway = f'[gateway]\nbase_url = "{user.network.front.url}/v1"\n\n'
    user.write(path, f"{gateway}[[exception]]{exceptions}", mode=0o600)
    yield user
    user.network.upstream.busy.clear()


def attach(person: Sandbox, config: str) -> None:
    """Make `config` the one on the person's key, by its id as in the recording."""
    space = person.network.front.workspace
    (row,) = (row for row in space.configs if row["slug"] == config)
    row["id"] = f"id-of-{config}"
    space.api_keys[0]["defaults"]["config_id"] = row["id"]


def listed(done: Outcome) -> set[str]:
    """What `opencode models` lists, without the suffix of our providers' ids."""
    assert (done.status, done.asked) == (0, []), done
    names = [line.split("/", 1) for line in done.out.split()]
    found = {f"{provider.rpartition('-')[0]}/{model}" for provider, model in names}
    assert len(found) == len(names), done
    return found


def arrived(done: Outcome, model: str) -> tuple[str, str]:
    """The key and the provider header with which the call for `model` came to the gateway."""
    assert (done.status, done.out.strip()) == (0, ANSWER), done
    (call,) = {
        (call.header("x-portkey-api-key"), call.header("x-portkey-provider"))
        for call in done.calls
        if call.model == model and "title" not in str(call.json().get("messages", ""))[:400]
    }
    assert done.asked == [], done
    return call


def test_an_entry_for_each_provider(person: Sandbox) -> None:
    synced = person.routeguard("portkey", "sync", "--layout", "each", "--yes")
    assert synced.status == 0, synced
    assert listed(person.guarded("models")) == {
        "portkey-openai/gpt-4o",
        "portkey-openai/gpt-4o-mini",
        f"portkey-openrouter/{MISTRAL}",
        f"portkey-together/{LLAMA}",
    }
    assert person.leaks() == []


def test_one_entry_for_all(person: Sandbox) -> None:
    synced = person.routeguard("portkey", "sync", "--yes")
    assert synced.status == 0, synced
    policy = tomllib.loads((person.config / "routeguard" / "policy.toml").read_text())
    assert set(policy["gateway"]["providers"]["portkey"]["models"]) == {
        "@openai-prod/gpt-4o",
        "@openai-prod/gpt-4o-mini",
        f"@openrouter-main/{MISTRAL}",
        f"@together-1/{LLAMA}",
    }
    # nothing is said of a provider, and the account has no default route: sync saw to it
    done = person.guarded("run", "hi")
    assert arrived(done, "@openai-prod/gpt-4o") == (person.gateway_key, "")
    assert ("openai-prod", "gpt-4o") in served(done)
    assert person.leaks() == []


SETUP = (
    "--no-rc",
    "--no-shims",
    "--no-completion",
    "--no-verify",
    "--key-from",
    "env:PORTKEY_API_KEY",
)


def test_a_key_for_each_provider_set_up_by_hand(person: Sandbox) -> None:
    openrouter = person.add_key("PORTKEY_OPENROUTER_API_KEY")
    together = person.add_key("TOGETHER_THROUGH_PORTKEY")
    person.write(
        person.data / "opencode" / "auth.json", {"other": {"type": "api", "key": "mine"}}, 0o600
    )
    child = pexpect.spawn(
        ROUTEGUARD[0], [*ROUTEGUARD[1:], "setup", *SETUP], env=person.environ(),
        cwd=str(person.project), timeout=180, echo=False, dimensions=(60, 400),
    )  # fmt: skip
    try:
        for question, answer in (
            ("Gateway URL", ""),
            ("Which (1, 2)", "2"),
            ("by number", "2 3"),
            ("key of its own?", "y"),
            ("of @openrouter-main", ""),
            ("of @together-1", "TOGETHER_THROUGH_PORTKEY"),
            ("Model of a launch that names none", f"portkey-together/{LLAMA}"),
            ("Write this?", "y"),
        ):
            child.expect_exact(question)
            child.expect_exact(": ")
            child.sendline(answer)
        child.expect_exact("Done.")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    assert child.exitstatus == 0
    front = person.network.front
    # the title, by the model of a launch that names none, may come later than the answer
    with answers_once(lambda: LLAMA in {call.model for call in front.requests}, front, b"mistral"):
        done = person.guarded("run", "--provider", "portkey-openrouter", "--model", MISTRAL, "hi")
    assert arrived(done, MISTRAL) == (openrouter, "@openrouter-main")
    ways = {
        (call.header("x-portkey-api-key"), call.header("x-portkey-provider"))
        for call in done.calls
        if call.model == LLAMA
    }
    assert ways == {(together, "@together-1")}
    assert "other" in (person.data / "opencode" / "auth.json").read_text()
    assert person.leaks() == []


def served(done: Outcome) -> list[tuple[str, str]]:
    """(slug, model) of each request at the providers."""
    return [(request.target.split("/")[1], request.model) for request in done.served]


class Probed:
    """What one probe printed as JSON, by how the model was named."""

    def __init__(self, person: Sandbox, model: str, *options: str, status: int = 0) -> None:
        self.done = person.routeguard("portkey", "probe", model, *options, "--json", "--yes")
        assert self.done.status == status, self.done
        requests: list[dict[str, Any]] = json.loads(self.done.out)["requests"]
        self.verdicts = {request["kind"]: request["verdict"] for request in requests}
        self.ways = {
            request["kind"]: (request["served_by"], request["through"]) for request in requests
        }


def test_probe_shows_each_way_of_naming_and_who_served_it(person: Sandbox) -> None:
    found = Probed(person, MISTRAL, "--config", "pc-cond-000003")
    assert found.verdicts == {
        "bare": "needs-provider",
        "slug": "works",
        "header": "works",
        "config": "works",
        "raw": "inline-blocked",
    }
    assert found.ways["slug"] == found.ways["header"] == ("openrouter", "config")
    assert found.ways["config"] == ("openrouter", "config.targets[1]")
    assert set(served(found.done)) == {("openrouter-main", MISTRAL)}
    assert person.leaks() == []


@pytest.mark.parametrize(
    ("config", "model", "busy", "through", "reached"),
    [
        ("pc-fall-000001", "gpt-4o", {}, ("openai", "config.targets[0]"), "openai-prod"),
        (
            "pc-fall-000001",
            "gpt-4o",
            {"openai-prod": 99},
            ("openrouter", "config.targets[1]"),
            "openrouter-main",
        ),
        ("pc-load-000002", "gpt-4o", {}, ("together-ai", "config.targets[1]"), "together-1"),
        ("pc-cond-000003", "gpt-4o", {}, ("openai", "config.targets[0]"), "openai-prod"),
        ("pc-again-000004", LLAMA, {"together-1": 1}, ("together-ai", "config"), "together-1"),
    ],
    ids=["fallback not needed", "fallback", "load balance", "conditional", "retry"],
)
def test_probe_shows_what_a_config_on_the_key_does(
    person: Sandbox,
    config: str,
    model: str,
    busy: dict[str, int],
    through: tuple[str, str],
    reached: str,
) -> None:
    attach(person, config)
    person.network.upstream.busy = dict(busy)
    found = Probed(person, model)
    # it decides whatever the call names
    assert set(found.verdicts.values()) == {"works"}
    assert set(found.ways.values()) == {through}
    assert served(found.done)[-1][0] == reached
    assert person.leaks() == []


def test_probe_tells_that_everybody_is_busy(person: Sandbox) -> None:
    attach(person, "pc-fall-000001")
    person.network.upstream.busy = {"openai-prod": 999, "openrouter-main": 999}
    found = Probed(person, "@openai-prod/gpt-4o", status=1)
    assert set(found.verdicts.values()) == {"rate-limited"}


def test_explain_says_what_becomes_of_the_call_and_so_it_does(person: Sandbox) -> None:
    attach(person, "pc-fall-000001")
    words = ("explain", "--", "opencode", "run", "hi")
    before = person.routeguard(*words)
    assert "and then  unknown until you run: routeguard portkey status" in before.out
    status = person.routeguard("portkey", "status")
    assert status.status == 0, status
    asked = len(person.network.front.requests)
    after = person.routeguard(*words)
    assert "by the config on the key (pc-fall-000001) and falls back to" in after.out, after
    assert "(seen just now)" in after.out
    assert f"2. @openrouter-main/{MISTRAL}" in after.out
    assert len(person.network.front.requests) == asked
    (kept,) = (person.cache / "routeguard" / "portkey").glob("*.json")
    seen = json.loads(kept.read_text())
    seen["account"]["fetched_at"] = time.time() - 3 * 86400
    kept.write_text(json.dumps(seen))
    assert "(seen 3 d ago, out of date)" in person.routeguard(*words).out
    # the first of them is busy: the agent's own stream comes from the second
    person.network.upstream.busy = {"openai-prod": 999}
    done = person.guarded("run", "hi")
    assert (done.status, done.out.strip()) == (0, ANSWER), done
    assert ("openrouter-main", MISTRAL) in served(done)
    assert all(call.json().get("stream") for call in done.calls)
    assert person.leaks() == []


def test_no_key_is_in_the_process_list_or_in_a_file_while_the_gateway_is_asked(
    person: Sandbox,
) -> None:
    search = CanarySearch({**person.direct, "PORTKEY_API_KEY": person.gateway_key})
    found: set[str] = set()
    looks = 0

    def look(_: object) -> None:
        nonlocal looks
        looks += 1
        for process in psutil.process_iter(["cmdline"]):
            found.update(search.found("\0".join(process.info["cmdline"] or ()).encode()))
        found.update(name for name, _ in search.found_under(str(person.root)))

    watchers = person.network.front.watchers
    watchers.append(look)
    try:
        for words in (
            ("status",),
            ("models", "--refresh"),
            ("probe", MISTRAL, "--yes"),
            ("sync", "--dry-run"),
        ):
            done = person.run([*ROUTEGUARD, "portkey", *words], person.environ())
            done.environ_seen.clear()  # the user's own, not an agent's
            assert done.status == 0, done
    finally:
        watchers.remove(look)
    assert looks > 10
    assert found == set()
    assert person.leaks() == []
    private = [Path(folder) for folder, _, _ in os.walk(person.cache / "routeguard")]
    assert {oct(folder.stat().st_mode & 0o777) for folder in private} == {"0o700"}
