"""The command: what it prints, how it ends, and what it says when there is no agent."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import click
import forked
import pytest

from guard.agents.opencode.adapter import AGENT
from guard.commands.verify import render
from guard.errors import PolicyError
from guard.launch.proof.child import Ended
from guard.launch.proof.stage import AgentRun, Contact
from guard.launch.unguarded import judge_unguarded, observe
from guard.launch.verify import Binary, Proof, Statement
from guard.policy.values import CompiledPolicy

PACKAGE = '{"name":"opencode-ai","version":"1.18.33"}'
SILENT = '#!/bin/sh\n[ "$1" = --version ] && echo 1.18.33\nexit 0\n'


def routeguard(
    tmp_path: Path, *words: str, agent: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run `routeguard verify` where `agent` (a script) is the only opencode."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    if agent:
        (programs / "opencode").write_text(agent)
        (programs / "opencode").chmod(0o755)
        # in its own package it is the agent, and no script in front of one
        (programs / "package.json").write_text(PACKAGE)
    base = {
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "PATH": f"{programs}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }
    return forked.run(["verify", *words], env=base | environ, cwd=tmp_path)


def run(*contacts: Contact, found: tuple[tuple[str, str], ...] = ()) -> AgentRun:
    return AgentRun(Ended(0, b"", b"", 1.0, False), (), contacts, found, environ_seen=True)


def proof(
    *checks: Statement, control: AgentRun | None = None, guarded: AgentRun | None = None
) -> Proof:
    return Proof(
        Binary(AGENT, "/bin/opencode", "1.18.33"), control, guarded or run(), checks, "line"
    )


def test_the_table_names_everybody_who_was_contacted() -> None:
    control = run(Contact("api.x.test:443", 2, ()), Contact("y.test:80", 1, ("A_KEY", "B_KEY")))
    text = click.unstyle(
        render(proof(Statement("a", True, "fine"), control=control, guarded=run()))
    )
    assert text.splitlines() == [
        "opencode 1.18.33  /bin/opencode",
        "",
        "contacted       control                       guarded",
        "the gateway     -                             -",
        "api.x.test:443  2 calls                       -",
        "y.test:80       1 call, A_KEY and B_KEY seen  -",
        "",
        "ok    a: fine",
        "",
        "proved: the gateway saw the call and nobody else saw anything",
    ]


def test_a_failed_check_makes_the_verdict() -> None:
    text = click.unstyle(
        render(proof(Statement("a", True, "fine"), Statement("b", False, "not\x1b")))
    )
    assert "control" not in text
    assert "FAIL  b: not\\x1b" in text.splitlines()
    assert text.endswith("not proved: 1 of 2 checks failed")


def test_no_agent(tmp_path: Path) -> None:
    done = routeguard(tmp_path)
    assert (done.returncode, done.stdout) == (127, "")
    assert "[RG502]" in done.stderr
    assert "routeguard verify --agent opencode --fetch" in done.stderr


def test_no_agent_names_the_one_that_is_fetched(tmp_path: Path) -> None:
    """Before: `verify --fetch`, which fetches opencode."""
    done = routeguard(tmp_path, "--agent", "claude-code")
    assert "routeguard verify --agent claude-code --fetch" in done.stderr


def test_no_npm_to_fetch_with(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = routeguard(tmp_path, "--fetch", PATH=str(tmp_path / "none"))
    assert done.returncode == 127
    assert "npm is not on PATH" in done.stderr


def test_an_agent_that_does_not_run(tmp_path: Path) -> None:
    done = routeguard(tmp_path, agent="#!/bin/sh\nexit 1\n")
    assert done.returncode == 127
    assert "--version" in done.stderr


@pytest.mark.parametrize("words", [("--timeout", "0"), ("--timeout", "soon"), ("--nope",), ("x",)])
def test_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert routeguard(tmp_path, *words, agent=SILENT).returncode == 2


def test_an_agent_that_calls_nobody_is_not_proved(tmp_path: Path) -> None:
    done = routeguard(tmp_path, agent=SILENT)
    assert done.returncode == 1, done.stderr
    assert "FAIL  the proof can see a leak" in done.stdout
    assert done.stdout.endswith("not proved: 3 of 5 checks failed\n")
    assert done.stderr.splitlines() == [
        "routeguard: control: the agent without the guard",
        "routeguard: guarded: the agent through the guard",
    ]
    assert "\x1b" not in done.stdout
    assert list(tmp_path.glob("routeguard-verify-*")) == []


def test_the_directory_is_kept_if_asked_to(tmp_path: Path) -> None:
    done = routeguard(tmp_path, "--no-control", "--keep", agent=SILENT)
    (kept,) = tmp_path.glob("routeguard-verify-*")
    assert str(kept) in done.stderr
    assert (kept / "guarded/home/.config/routeguard/policy.toml").exists()


def test_colour_only_where_asked_for(tmp_path: Path) -> None:
    words = ("--no-control",)
    assert "\x1b[31;1m" in routeguard(tmp_path, *words, agent=SILENT, FORCE_COLOR="1").stdout
    both = routeguard(tmp_path, *words, agent=SILENT, FORCE_COLOR="1", NO_COLOR="1")
    assert "\x1b" not in both.stdout


def test_json(tmp_path: Path) -> None:
    done = routeguard(tmp_path, "--json", "--no-control", agent=SILENT)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["schema_version"] == 1
    assert found["passed"] is False
    assert found["control"] is None
    path = str(tmp_path / "bin" / "opencode")
    assert found["agent"] == {"id": "opencode", "path": path, "version": "1.18.33"}
    assert found["guarded"]["exit_status"] == 0
    assert [check["ok"] for check in found["checks"]] == [False, False, True, True]


def test_a_fetched_agent_is_used_where_none_is_installed(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "routeguard" / "agents" / "opencode-ai-1.18.33"
    binary = folder / "node_modules" / ".bin" / "opencode"
    binary.parent.mkdir(parents=True)
    binary.write_text(SILENT)
    binary.chmod(0o755)
    (binary.parent / "package.json").write_text(PACKAGE)
    done = routeguard(tmp_path, "--fetch", "--json", "--no-control")
    assert json.loads(done.stdout)["agent"]["path"] == str(binary)


def test_each_agent_on_path_is_proved(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, package, version in (
        ("opencode", "opencode-ai", "1.18.33"),
        ("claude", "@anthropic-ai/claude-code", "2.1.332"),
    ):
        folder = tmp_path / package.replace("/", "-")
        folder.mkdir()
        (folder / "package.json").write_text(json.dumps({"name": package, "version": version}))
        (folder / name).write_text(f"#!/bin/sh\necho '{version}'\n")
        (folder / name).chmod(0o755)
        (programs / name).symlink_to(folder / name)
    done = routeguard(tmp_path, "--json", "--no-control")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert [proof["agent"]["id"] for proof in found["proofs"]] == ["opencode", "claude-code"]
    assert found["proofs"][1]["agent"]["version"] == "2.1.332"
    assert found["agent"] == found["proofs"][0]["agent"]
    one = routeguard(tmp_path, "--json", "--no-control", "--agent", "claude-code")
    assert [proof["agent"]["id"] for proof in json.loads(one.stdout)["proofs"]] == ["claude-code"]


GATEWAY = "gateway.example.com:443"


@pytest.mark.parametrize(
    ("contacts", "found", "wrong"),
    [
        ((Contact(GATEWAY, 2, ()),), (), ""),
        ((Contact(GATEWAY, 2, ()), Contact("registry.npmjs.org:443", 1, ())), (), ""),
        ((), (), "did not ask"),
        ((Contact("registry.npmjs.org:443", 1, ()),), (), "did not ask"),
        ((Contact(GATEWAY, 1, ()), Contact("api.openai.com:443", 1, ())), (), "api.openai.com"),
        ((Contact(GATEWAY, 1, ()), Contact("hostile.invalid:80", 1, ())), (), "hostile.invalid"),
        ((Contact("gateway.example.com:80", 1, ()),), (), "did not ask"),
        ((Contact(GATEWAY, 1, ()),), (("A_KEY", "sent to x.test:80"),), "A_KEY"),
        ((Contact(GATEWAY, 1, ()),), (("A_KEY", f"sent to {GATEWAY}"),), "A_KEY"),
        # a plain-http gateway gets its own key in sight of the proxy
        ((Contact(GATEWAY, 1, ()),), (("PORTKEY_API_KEY", f"sent to {GATEWAY}"),), ""),
    ],
)
def test_a_start_past_the_guard_is_judged_by_whom_it_asked(
    contacts: tuple[Contact, ...], found: tuple[tuple[str, str], ...], wrong: str
) -> None:
    statements = judge_unguarded(run(*contacts, found=found), GATEWAY)
    failed = [one.detail for one in statements if not one.ok]
    assert bool(failed) == bool(wrong)
    assert wrong in "; ".join(failed)
    text = click.unstyle(render(proof(*statements, guarded=run(*contacts)), unguarded=True))
    assert ("routeguard managed install" in text) == bool(wrong)


def test_a_proxy_of_the_policy_is_past_the_recorder(tmp_path: Path) -> None:
    policy = CompiledPolicy(gateway_proxy="http://proxy.example.com:8080")
    binary = Binary(AGENT, "/bin/opencode", "1.18.33")
    with pytest.raises(PolicyError, match="cannot watch an unguarded start"):
        observe(binary, {}, str(tmp_path), policy, timeout=1.0, say=print)
