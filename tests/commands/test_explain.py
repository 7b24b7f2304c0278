"""`routeguard explain`: the plan of a launch in words and in JSON, with nothing done."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import forked
import pytest

MAIN = Path(__file__).resolve().parents[2] / "guard" / "__main__.py"
KEY = "pk-canary0123456789"


class Machine:
    """A home, a project and an installed opencode that must never be started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home, self.project, self.bin = root / "home", root / "project", root / "bin"
        package = root / "opencode-ai"
        for folder in (self.home, self.project / ".git", self.bin, package / "bin"):
            folder.mkdir(parents=True)
        (package / "package.json").write_text('{"name":"opencode-ai","version":"1.18.33"}')
        agent = package / "bin" / "opencode"
        agent.write_text(f"#!/bin/sh\ntouch '{root}/started'\n")
        agent.chmod(0o755)
        (self.bin / "opencode").symlink_to(agent)
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:{os.defpath}",
            "PORTKEY_API_KEY": KEY,
            "OPENAI_API_KEY": "sk-canary0123456789",
        }

    def explain(self, *words: str, **more: str) -> tuple[int, str, str]:
        done = forked.run(["explain", *words], env={**self.environ, **more}, cwd=self.project)
        assert "canary" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert not (self.root / "started").exists()
        return done.returncode, done.stdout, done.stderr

    def json(self, *words: str, **more: str) -> dict[str, Any]:
        status, out, err = self.explain("--json", "--", *words, **more)
        found: dict[str, Any] = json.loads(out)
        assert (status, err) == (0 if found["starts"] else 1, "")
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path.resolve())


def test_today_and_guarded(machine: Machine) -> None:
    status, out, err = machine.explain("--", "opencode", "run", "-m", "gpt-4", "say hi")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "today    opencode run -m gpt-4 'say hi'"
    assert any(line.startswith("  goes to ") and "gpt-4 is not available" in line for line in lines)
    assert any("OPENAI_API_KEY opens openai" in line for line in lines)
    (guarded,) = (line for line in lines if line.startswith("guarded"))
    assert guarded.endswith("/gpt-4 'say hi'")
    words = [" ".join(line.split()) for line in lines]
    assert "goes to portkey/gpt-4 at https://api.portkey.ai/v1" in words
    assert any(line.startswith("removed OPENAI_API_KEY: ") for line in words)
    assert lines[-1] == "it would start"


def test_a_long_document_among_the_arguments_is_shown_below_them(machine: Machine) -> None:
    package = machine.root / "node_modules/@anthropic-ai/claude-code"
    package.mkdir(parents=True)
    about = {"name": "@anthropic-ai/claude-code", "version": "2.1.332"}
    (package / "package.json").write_text(json.dumps(about))
    (package / "cli.js").write_text("#!/bin/sh\n")
    (package / "cli.js").chmod(0o755)
    (machine.bin / "claude").symlink_to(package / "cli.js")
    words = ("claude", "--model", "@anthropic-prod/claude-sonnet-4-5", "-p", "{short}")
    status, out, err = machine.explain("--", *words)
    assert (status, err) == (0, "")
    (head,) = (line for line in out.splitlines() if line.startswith("guarded"))
    settings, more = "'--settings={…}'", "'--managed-settings={…}'"
    assert head == f"guarded  claude {settings} {more} {' '.join(words[1:-1])} '{{short}}'"
    shown = out[out.index("\n  --settings ") :]
    for argument in machine.json(*words)["argv"][:2]:
        name, _, document = argument.partition("=")
        assert name in shown
        for key, value in json.loads(document).items():
            assert f" {key}: {json.dumps(value)}\n" in shown


def test_json(machine: Machine) -> None:
    found = machine.json("opencode", "run", "--provider", "portkey", "hi")
    assert set(found) == {
        "schema_version", "command", "agent", "program", "version", "kind", "starts", "today",
        "gateway", "route", "portkey", "argv", "rewritten", "policy", "changes", "findings",
        "wrapper",
    }  # fmt: skip
    assert found["schema_version"] == 1
    assert found["command"] == ["opencode", "run", "--provider", "portkey", "hi"]
    assert (found["agent"], found["version"], found["kind"]) == ("opencode", "1.18.33", "guarded")
    assert found["program"] == str(machine.bin / "opencode")
    assert found["route"] == "portkey/gpt-4o"
    assert found["today"]["route"].startswith("a model of openai, straight to ")
    assert {"action", "name", "rule", "reason"} == set(found["changes"][0])
    removed = [c["name"] for c in found["changes"] if c["action"] == "removed"]
    assert removed == ["OPENAI_API_KEY"]


def test_a_refusal(machine: Machine) -> None:
    plugin = machine.project / ".opencode" / "plugin" / "a\x1b[2J.js"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("")
    status, out, _ = machine.explain("--", "opencode", "run", "-m", "anthropic/x", "hi")
    assert status == 1
    after = out[out.index("it would be refused") :]
    assert "[RG201]" in after
    assert "opencode run --model=portkey/x hi" in after
    assert "[RG301]" in after
    assert "\x1b" not in out
    found = machine.json("opencode", "run", "-m", "anthropic/x", "hi")
    errors = [f["rule"] for f in found["findings"] if f["severity"] == "error"]
    assert sorted(errors) == ["RG201", "RG301"]


def test_what_calls_no_model(machine: Machine) -> None:
    status, out, _ = machine.explain("--", "opencode", "--version")
    assert status == 0
    assert "none: it gets a clean environment" in out
    assert machine.json("opencode", "--version")["today"] is None


def test_another_command(machine: Machine) -> None:
    found = machine.json("sh", "-c", "true")
    assert (found["agent"], found["today"], found["route"]) == ("", None, "")
    assert [c["name"] for c in found["changes"]] == ["OPENAI_API_KEY"]


def test_nothing_is_written_but_two_caches(machine: Machine) -> None:
    machine.explain("--", "opencode", "run", "hi")
    made = {p.relative_to(machine.home) for p in machine.home.rglob("*") if p.is_file()}
    assert all(str(p).startswith(".cache/routeguard/policy/") for p in made)


def test_a_binary_without_a_package_is_asked_for_its_version(machine: Machine) -> None:
    package = machine.root / "opencode-ai"
    (package / "package.json").unlink()
    (package / "bin" / "opencode").write_text(
        f"#!/bin/sh\n[ \"$*\" = --version ] && echo 1.18.33 || touch '{machine.root}/started'\n"
    )
    assert machine.json("opencode", "run", "hi")["version"] == "1.18.33"


def test_a_script_in_front_of_the_agent_is_named_and_not_run(machine: Machine) -> None:
    (machine.bin / "opencode").unlink()
    script = machine.bin / "opencode"
    agent = machine.root / "opencode-ai/bin/opencode"
    ran = machine.root / "script-ran"
    script.write_text(
        f"#!/bin/sh\necho \"$*\" >>'{ran}'\n[ $# = 1 ] && echo 1.18.33 || '{agent}'\n"
    )
    script.chmod(0o755)
    status, out, _ = machine.explain("--", "opencode", "run", "hi")
    assert status == 0
    (row,) = (line for line in out.splitlines() if line.startswith("  wrapper "))
    assert "may start the agent rather than be it" in row
    assert out.splitlines()[-1] == "it would start, unless its wrapper changes something"
    # as any binary without a package, for its version
    assert ran.read_text() == "--version\n"
    ran.unlink()
    assert machine.json("opencode", "run", "hi")["wrapper"] is True
    assert not ran.exists() or ran.read_text() == "--version\n"


def test_the_agent_itself_is_no_wrapper(machine: Machine) -> None:
    assert "wrapper" not in machine.explain("--", "opencode", "run", "hi")[1]
    assert machine.json("opencode", "run", "hi")["wrapper"] is False


def test_no_key_is_fetched(machine: Machine) -> None:
    policy = machine.home / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text(f'[gateway]\nkey = {{ command = ["touch", "{machine.root}/started"] }}\n')
    policy.chmod(0o600)
    status, out, _ = machine.explain("--", "opencode", "run", "hi")
    assert (status, "it would start" in out) == (0, True)
    assert f"user {str(policy).replace(str(machine.home), '~')}" in out


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((), 2),
        (("--",), 2),
        (("--format", "yaml", "--", "opencode"), 2),
        (("--", "no-such-command"), 127),
        (("--", "npx", "opencode-ai"), 126),
    ],
)
def test_usage_and_missing_programs(machine: Machine, words: tuple[str, ...], status: int) -> None:
    assert machine.explain(*words)[:2] == (status, "")


def test_an_agent_that_is_not_installed(machine: Machine) -> None:
    (machine.bin / "opencode").unlink()
    status, out, err = machine.explain("--", "opencode", "run", "hi")
    assert (status, out, "[RG502]" in err) == (127, "", True)


def test_a_broken_policy(machine: Machine) -> None:
    policy = machine.home / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("[gateway\n")
    policy.chmod(0o600)
    status, out, err = machine.explain("--", "opencode", "run", "hi")
    assert (status, out, "[RG501]" in err) == (3, "", True)
