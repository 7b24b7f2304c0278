"""fish beside the programs that people load into it: each before the hook, and after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.shells

Open = Callable[..., Any]
MachineFor = Callable[[Any], Any]

REPORTS = r"""
function report_command --on-event fish_preexec; echo $argv >>$SEEN; end
function report_status --on-event fish_postexec; echo status $status >>$SEEN; end
"""
"""How VS Code's terminal, kitty and starship follow the commands of a shell."""

SHADOWS = "\n".join(
    f"function {name}; echo shadowed {name} >>$SEEN; builtin {name} $argv; end"
    for name in ("contains", "count", "printf", "functions", "commandline", "bind", "math")
)
"""Functions that take the place of builtins, as far as fish allows them."""

NEIGHBOURS = {"follows commands": REPORTS, "shadows builtins": SHADOWS}


@pytest.mark.parametrize("first", ["hook", "neighbour"])
@pytest.mark.parametrize("name", list(NEIGHBOURS))
def test_beside(
    machine_for: MachineFor, open_session: Open, fish: Any, name: str, first: str
) -> None:
    machine = machine_for(fish)
    directory = machine.guarded.directory
    neighbour = directory / "neighbour.fish"
    neighbour.write_text(NEIGHBOURS[name])
    seen = directory / "seen"
    path = f"{machine.programs}:{machine.guarded.environ['PATH']}"
    session = open_session(machine.shell, {"PATH": path, "SEEN": str(seen)})
    files = [machine.guarded.hook(fish), neighbour]
    for file in files if first == "hook" else files[::-1]:
        session.run(fish.source(file))
    seen.unlink(missing_ok=True)
    machine.walk(session)
    if name == "follows commands":
        lines = seen.read_text().splitlines()
        assert lines.count("ollama ps") == 1
        assert lines.count("status 7") == 3
        assert not [line for line in lines if "__routeguard" in line]
    elif seen.exists():
        assert "shadowed commandline" not in seen.read_text()


def test_what_was_let_go_of_does_not_come_back(machine_for: MachineFor, fish: Any) -> None:
    """The command that a wrapper names when its guard is gone."""
    session = machine_for(fish).opened()
    session.run("functions --erase opencode")
    session.run("true")
    assert session.value("(functions --query opencode; echo $status)") == "1"


def test_abbreviations_and_aliases_are_followed(machine_for: MachineFor, fish: Any) -> None:
    machine = machine_for(fish)
    session = machine.opened()
    session.run("abbr -a lll 'litellm --port 4000'; alias one=two; alias two=litellm")
    for line in ("lll", "true; lll", "one", "true; one --port 3"):
        assert session.refusals(session.run(line)) == 1, line
    if session.value("(builtin --query abbr; echo $status)") == "0":
        session.run("abbr -a --position anywhere PPP '| litellm'")
        assert session.refusals(session.run("echo PPP")) == 1
    assert machine.marks() == []
    session.run("ollama list lll.txt")
    assert machine.marks() == ["ollama list lll.txt"]


def test_universal_variables_named_like_ours(machine_for: MachineFor, fish: Any) -> None:
    machine = machine_for(fish)
    session = machine.opened()
    for name in (
        "text",
        "typed",
        "send",
        "word",
        "words",
        "meant",
        "result",
        "names",
        "same",
        "seen",
    ):
        session.run(f"set -U {name} universal; set -g {name} global")
    machine.walk(session)
