from __future__ import annotations

from pathlib import Path

import pytest

from guard.agents.registry import AGENTS
from guard.catalog.agents import agents, recognise
from guard.catalog.programs import effective
from guard.policy.model import GUARDED

NATIVE = "/opt/bin"


def who(exe: str, *argv: str, directory: str = "") -> str:
    found = recognise(effective(exe, argv or (exe,), directory))
    return found.agent.id if found else ""


def test_every_entry_says_where_it_is_known_from() -> None:
    for agent in agents():
        assert agent.source, agent.id
        assert agent.sure in ("run", "src", "doc", "3p", "common"), agent.id
        assert agent.names or agent.scripts or agent.paths or agent.modules, agent.id
    assert len({agent.id for agent in agents()}) == len(agents())


def test_no_two_agents_share_a_name() -> None:
    names = [name for agent in agents() for name in (*agent.names, *agent.scripts)]
    assert len(names) == len(set(names))


def test_the_agents_that_are_launched_are_those_that_are_recognised() -> None:
    by_name = {name: agent for agent in agents() for name in agent.names}
    for adapter in AGENTS:
        for name in adapter.names:
            assert by_name[name].id == adapter.id
            assert by_name[name].guarded
        for package in adapter.packages:
            assert who(f"/usr/lib/node_modules/{package}/bin/{adapter.names[0]}.exe") == adapter.id
    assert {agent.id for agent in agents() if agent.guarded} == {a.id for a in AGENTS}
    assert set(GUARDED) == {a.id for a in AGENTS}


@pytest.mark.parametrize(
    ("exe", "argv", "expected"),
    [
        ("/home/u/.opencode/bin/opencode", ["opencode"], "opencode"),
        ("/x/node_modules/opencode-linux-x64/bin/opencode", ["opencode", "run", "hi"], "opencode"),
        ("/home/u/.local/share/claude/versions/2.1.37", ["claude"], "claude-code"),
        ("/usr/bin/node", ["node", "/usr/local/bin/claude", "-p", "hi"], "claude-code"),
        ("/usr/bin/node", ["claude"], "claude-code"),
        ("/usr/bin/node", ["node", "--no-warnings", "-r", "x.js", "/usr/bin/gemini"], "gemini-cli"),
        ("/usr/bin/node", ["node", "/x/lib/node_modules/@openai/codex/bin/codex.js"], "codex"),
        (
            "/x/node_modules/@openai/codex/vendor/x86_64-unknown-linux-musl/codex/codex",
            ["/x/codex"],
            "codex",
        ),
        ("/usr/bin/python3.12", ["python3", "-m", "aider", "--model", "x"], "aider"),
        ("/usr/bin/python3.12", ["/v/bin/python", "/v/bin/aider"], "aider"),
        ("/usr/bin/python3.12", ["python", "-X", "dev", "/v/bin/aider"], "aider"),
        ("/usr/bin/bash", ["bash", "/usr/local/bin/claude"], "claude-code"),
        ("/usr/bin/bash", ["/bin/bash", "-eu", "/usr/local/bin/claude"], "claude-code"),
        ("/usr/local/bin/goose", ["goose"], "goose"),
        ("/usr/local/bin/goose", ["goose", "session", "-n", "x"], "goose"),
        (
            "/h/share/cursor-agent/versions/2026.05/node",
            ["/h/bin/agent", "--use-system-ca", "/h/share/cursor-agent/versions/2026.05/index.js"],
            "cursor-agent",
        ),
        ("/usr/local/bin/crush", ["crush"], "crush"),
        ("/usr/bin/node", ["node", "/x/@sourcegraph/amp/dist/main.js"], "amp"),
        ("/usr/bin/node", ["node", "/usr/bin/amp"], "amp"),
        ("/usr/bin/copilot", ["copilot", "-p", "hi"], "copilot"),
        ("/x/opencode (deleted)", ["opencode"], "opencode"),
        # another user's: the system shows no program file
        ("", ["/usr/local/bin/claude"], "claude-code"),
        ("", ["node", "/usr/local/bin/claude"], "claude-code"),
    ],
)  # fmt: skip
def test_agents(exe: str, argv: list[str], expected: str) -> None:
    assert who(exe, *argv) == expected


@pytest.mark.parametrize(
    ("exe", "argv"),
    [
        ("/usr/bin/vim", ["vim", "claude"]),
        ("/usr/bin/tail", ["tail", "-f", "opencode"]),
        ("/usr/bin/bash", ["bash", "-c", "claude"]),
        ("/usr/bin/bash", ["bash", "-lc", "opencode run hi"]),
        ("/usr/bin/bash", ["-bash"]),
        ("/usr/bin/python3", ["python3", "-c", "import aider"]),
        ("/usr/bin/python3", ["python3", "-m", "pip", "install", "aider"]),
        ("/usr/bin/python3", ["python3", "claude.py"]),
        ("/usr/bin/node", ["node", "-e", "claude"]),
        ("/usr/bin/node", ["node", "server.js", "claude"]),
        ("/usr/bin/node", ["npm exec @anthropic-ai/claude-code"]),
        ("/usr/bin/sudo", ["sudo", "opencode"]),
        ("/usr/bin/docker", ["docker", "run", "opencode"]),
        # what agents' packages ship beside them
        ("/x/node_modules/@anthropic-ai/claude-code/vendor/ripgrep/x64-linux/rg", ["rg", "x"]),
        ("/h/.local/share/cursor-agent/versions/2026.05/rg", ["rg"]),
        ("/x/node_modules/@openai/codex/vendor/x86_64-unknown-linux-musl/path/rg", ["rg"]),
        ("/x/@openai/codex-linux-x64/vendor/t/bin/codex", ["/h/tmp/codex-linux-sandbox", "sh"]),
        # other programs of the same name
        ("/usr/local/bin/goose", ["goose", "up"]),
        ("/usr/local/bin/goose", ["goose", "-dir", "postgres", "status"]),
        ("/usr/local/bin/copilot", ["copilot", "svc", "logs", "--follow"]),
        ("/usr/bin/amp", ["amp", "file.txt"]),
        ("/usr/bin/sleep", ["claude", "10"]),
        ("/Applications/Claude.app/Contents/MacOS/Claude", ["Claude"]),
        ("", []),
    ],
)
def test_no_agents(exe: str, argv: list[str]) -> None:
    assert who(exe, *argv) == ""


def test_a_script_is_found_through_its_link(tmp_path: Path) -> None:
    package = tmp_path / "node_modules/@anthropic-ai/claude-code"
    package.mkdir(parents=True)
    (package / "cli.js").touch()
    (tmp_path / "c").symlink_to(package / "cli.js")
    assert who("/usr/bin/node", "node", str(tmp_path / "c")) == "claude-code"
    assert who("/usr/bin/node", "node", "c", directory=str(tmp_path)) == "claude-code"
    assert who("/usr/bin/node", "node", "./d", directory=str(tmp_path)) == ""


def test_a_copy_under_another_name_is_known_by_what_is_compiled_in() -> None:
    program = effective("/tmp/editor", ["editor"])
    found = recognise(program, lambda _: "--user-agent=opencode/1.18.33 --use-system-ca --")
    assert found is not None
    assert found.agent.id == "opencode"
    assert found.how == "editor is a copy of it under another name"
    assert recognise(program, lambda _: "--user-agent=bun/1.3") is None


def test_nothing_that_is_shown_holds_an_argument() -> None:
    program = effective("/usr/bin/node", ["node", "/usr/local/bin/claude", "sk-canary-1234567890"])
    found = recognise(program)
    assert found is not None
    for text in (repr(program), program.shown, found.how):
        assert "canary" not in text
