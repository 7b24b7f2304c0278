"""Other programs that live in the prompt: they keep working, and so does the hook."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from prompt_words import SCRUBBED

pytestmark = pytest.mark.shells

Open = Callable[..., Any]
MachineFor = Callable[[Any], Any]
EXPORT = "export OPENAI_API_KEY=v"


@pytest.fixture
def seen(guarded: Any) -> Path:
    return Path(guarded.directory / "seen")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    "command",
    [
        "PROMPT_COMMAND='echo $? >>{seen}'",
        "PROMPT_COMMAND='echo $? >>{seen};'",
        "PROMPT_COMMAND='echo $? >>{seen} # a comment'",
        "PROMPT_COMMAND=$'echo $? >>{seen}\\n'",
        "PROMPT_COMMAND=('echo $? >>{seen}')",
        "PROMPT_COMMAND=('echo $? >>{seen}' 'echo again >/dev/null')",
        "PROMPT_COMMAND=([3]='echo $? >>{seen}' [7]=:)",
        "declare -a PROMPT_COMMAND; PROMPT_COMMAND='echo $? >>{seen}'",
    ],
)
def test_a_command_that_was_there_before_still_runs_and_sees_the_status(
    guarded: Any, bash: Any, open_session: Open, seen: Path, command: str
) -> None:
    session = open_session(bash)
    session.run(command.format(seen=seen))
    session.run(bash.source(guarded.hook(bash)))
    session.run(bash.source(guarded.hook(bash)))
    session.run("(exit 3)")
    # before 5.1 bash runs the entry with the number 0 and no other
    runs = bash.version >= (5, 1) or "[3]=" not in command
    assert lines(seen).count("3") == runs
    assert session.messages(session.run(EXPORT)) == SCRUBBED
    assert (
        session.value("${{PROMPT_COMMAND[*]}}".replace("{{", "{").replace("}}", "}")).count(
            "routeguard"
        )
        <= 1
    )


@pytest.mark.parametrize(
    "command",
    [
        'PROMPT_COMMAND="$PROMPT_COMMAND;echo \\$? >>{seen}"',
        'PROMPT_COMMAND="echo \\$? >>{seen};$PROMPT_COMMAND"',
        'PROMPT_COMMAND="echo \\$? >>{seen}${{PROMPT_COMMAND:+; $PROMPT_COMMAND}}"',
        "PROMPT_COMMAND+=('echo $? >>{seen}')",
        "PROMPT_COMMAND=('echo $? >>{seen}' \"${{PROMPT_COMMAND[@]}}\")",
    ],
)
def test_a_command_that_comes_later_runs_and_sees_the_status(
    guarded: Any, bash: Any, open_session: Open, seen: Path, command: str
) -> None:
    session = open_session(bash)
    session.run(bash.source(guarded.hook(bash)))
    session.run(command.format(seen=seen))
    session.run("(exit 3)")
    # before 5.1 bash runs the entry with the number 0 and no other: one of the two in a list
    runs = bash.version >= (5, 1) or "+=(" not in command
    assert lines(seen).count("3") == runs
    lost = bash.version < (5, 0) and command.startswith("PROMPT_COMMAND=(")
    assert session.messages(session.run(EXPORT)) == ([] if lost else SCRUBBED)


@pytest.mark.parametrize(
    "before", ["unset PROMPT_COMMAND", "PROMPT_COMMAND=", "PROMPT_COMMAND=:", "PROMPT_COMMAND=()"]
)
def test_it_finds_its_place_under_nounset(
    guarded: Any, bash: Any, open_session: Open, before: str
) -> None:
    session = open_session(bash)
    session.run(f"{before}; set -u")
    assert "unbound" not in session.run(bash.source(guarded.hook(bash)))
    assert session.messages(session.run(EXPORT)) == SCRUBBED


def test_after_somebody_took_the_whole_prompt_command_it_can_be_loaded_again(
    guarded: Any, bash: Any, open_session: Open
) -> None:
    session = open_session(bash)
    session.run(bash.source(guarded.hook(bash)))
    session.run("PROMPT_COMMAND=:")
    # without its prompt the key is met when the next line is entered, or when it is loaded again
    said = session.run(EXPORT) + session.run(bash.source(guarded.hook(bash)))
    assert session.messages(said) == SCRUBBED
    assert session.messages(session.run(EXPORT) + session.run("true")) == SCRUBBED


def test_a_readonly_prompt_command_is_no_error(guarded: Any, bash: Any, open_session: Open) -> None:
    session = open_session(bash)
    session.run("readonly PROMPT_COMMAND=:")
    output = session.run(f"{bash.source(guarded.hook(bash))} && opencode here")
    assert "readonly" not in output
    assert guarded.records()[0]["argv"][3:] == ["here"]


def test_traps_fire_as_often_as_without_the_hook(
    guarded: Any, bash: Any, open_session: Open, seen: Path
) -> None:
    session = open_session(bash)
    session.run(bash.source(guarded.hook(bash)))
    session.run(f"trap 'echo err >>{seen}' ERR")
    session.run("sh -c 'exit 3'")
    session.run(EXPORT)
    assert seen.read_text() == "err\n"
    assert f"trap -- 'echo err >>{seen}' ERR" in session.run("trap")


def test_zsh_functions_before_and_after_it_see_the_status(
    guarded: Any, zsh: Any, open_session: Open, seen: Path
) -> None:
    session = open_session(zsh)
    session.run(f"one() {{ echo one $? >>{seen} }}; two() {{ echo two $? >>{seen} }}")
    session.run("precmd_functions=(one)")
    session.run(zsh.source(guarded.hook(zsh)))
    session.run("precmd_functions+=(two)")
    session.run("(exit 3)")
    lines = seen.read_text().splitlines()
    assert (lines.count("one 3"), lines.count("two 3")) == (1, 1)
    assert session.value("$precmd_functions") == "one __routeguard_precmd two"


def test_fish_handlers_see_the_status(
    guarded: Any, fish: Any, open_session: Open, seen: Path
) -> None:
    session = open_session(fish)
    session.run(f"function one --on-event fish_prompt; echo $status >>{seen}; end")
    session.run(fish.source(guarded.hook(fish)))
    session.run(f"function two --on-event fish_prompt; echo $status >>{seen}; end")
    session.run("fish -c 'exit 3'")
    assert seen.read_text().splitlines().count("3") == 2


def path_of(session: Any) -> list[str]:
    if session.shell.name == "fish":
        return list(session.value("(string join : -- $PATH)").split(":"))
    return list(session.value("$PATH").split(":"))


def test_path_is_left_alone_without_shims(guarded: Any, shell: Any, open_session: Open) -> None:
    session = open_session(shell)
    before = path_of(session)
    session.run(shell.source(guarded.hook(shell)))
    session.run("true")
    assert path_of(session) == before


def test_shims_come_first_and_come_back_first(guarded: Any, shell: Any, open_session: Open) -> None:
    session = open_session(shell)
    before = path_of(session)
    session.run(shell.source(guarded.hook(shell)))
    guarded.shims.mkdir()
    session.run("true")
    assert path_of(session) == [str(guarded.shims), *before]
    front = "set -gx PATH /opt/tool $PATH" if shell.name == "fish" else "PATH=/opt/tool:$PATH"
    session.run(front)
    assert path_of(session) == [str(guarded.shims), "/opt/tool", *before]
    session.run("true")
    assert path_of(session) == [str(guarded.shims), "/opt/tool", *before]


def test_shims_come_first_in_an_awkward_place_too(
    anywhere: Any, shell: Any, request: pytest.FixtureRequest
) -> None:
    anywhere.shims.mkdir()
    tool = anywhere.shims / "only-here"
    tool.write_text('#!/bin/sh\necho found >"$RECORD"\n')
    tool.chmod(0o755)
    rest = f"/a b:{anywhere.shims}:/usr/bin:/bin:{anywhere.shims}"
    marker = anywhere.directory / "path"
    show = f"printenv PATH >{shell.quote(str(marker))}"
    script = f"{shell.source(anywhere.hook(shell))}\nonly-here\n{show}"
    done = anywhere.run(shell, script, {"PATH": f"{rest}:{anywhere.environ['PATH']}"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert anywhere.record.read_text() == "found\n"
    found = marker.read_text().removesuffix("\n")
    assert found == f"{anywhere.shims}:/a b:/usr/bin:/bin:{anywhere.environ['PATH']}"


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_readonly_path_is_no_error(
    name: str, guarded: Any, open_session: Open, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    guarded.shims.mkdir()
    session = open_session(shell)
    session.run("readonly PATH")
    output = session.run(shell.source(guarded.hook(shell))) + session.run(EXPORT)
    assert "read-only" not in output
    assert "readonly variable" not in output
    assert session.messages(output) == SCRUBBED


LATE = {
    "zsh": (
        "tool() { export OPENAI_API_KEY=v; PATH=/opt/tool:$PATH }; precmd_functions+=(tool)",
        "print -r -- ${OPENAI_API_KEY-gone} $path[1]",
    ),
    "fish": (
        "function tool --on-event fish_prompt; set -gx OPENAI_API_KEY v; "
        "set -gx PATH /opt/tool $PATH; end",
        "set -q OPENAI_API_KEY; and echo there; or echo gone $PATH[1]",
    ),
}
"""What exports a key at each prompt, after the hook, and a command that says what it sees."""


@pytest.mark.parametrize("name", LATE)
def test_what_comes_after_the_look_at_the_prompt_is_gone_before_the_command(
    name: str, machine_for: MachineFor, request: pytest.FixtureRequest
) -> None:
    """As with direnv, mise or asdf where the hook runs before them."""
    machine = machine_for(request.getfixturevalue(name))
    machine.guarded.shims.mkdir()
    session = machine.opened()
    tool, command = LATE[name]
    output = session.run(tool)
    for _ in range(3):
        output += session.run(f"{command} >>{machine.ran}")
    assert machine.marks() == [f"gone {machine.guarded.shims}"] * 3
    assert session.messages(output) == SCRUBBED


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_direnv_before_and_after(
    name: str,
    machine_for: MachineFor,
    missing_part: Callable[[str], NoReturn],
    request: pytest.FixtureRequest,
) -> None:
    if shutil.which("direnv") is None:
        missing_part("direnv is not installed (Debian: apt-get install direnv)")
    machine = machine_for(request.getfixturevalue(name))
    project = machine.guarded.home / "project"
    project.mkdir()
    (project / ".envrc").write_text("export OPENAI_API_KEY=v FROM_ENVRC=yes\n")
    session = machine.opened(DIRENV_LOG_FORMAT="")
    load = "direnv hook fish | source" if name == "fish" else 'eval "$(direnv hook zsh)"'
    session.run(f"{load}; direnv allow ~/project")
    # fish calls handlers in the order of their definition, zsh in that of a list
    orders = ("__routeguard_precmd _direnv_hook", "_direnv_hook __routeguard_precmd")
    for order in orders if name == "zsh" else ("",):
        if order:
            session.run(f"precmd_functions=({order})")
        output = session.run("cd ~/project") + session.run("true")
        assert session.messages(output) == SCRUBBED, order
        assert session.value("$FROM_ENVRC") == "yes"
        assert "OPENAI_API_KEY" not in machine.names(session)
        session.run("cd")


LOSSES = {
    "zsh": (
        "precmd_functions=(other)",
        "add-zsh-hook -d precmd __routeguard_precmd",
        "unset precmd_functions",
    ),
    "fish": ("functions --erase __routeguard_prompt", "functions -e __routeguard_prompt"),
}
"""How a program takes the hook away from the prompt."""


@pytest.mark.parametrize("name", LOSSES)
def test_a_lost_hook_is_noticed(
    name: str, machine_for: MachineFor, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    machine = machine_for(shell)
    tell = machine.programs / "routeguard"
    tell.write_text(f'#!/bin/sh\necho "$1 ${{ROUTEGUARD_HOOK-}}" >>{machine.ran}\n')
    tell.chmod(0o755)
    machine.guarded.main = machine.guarded.directory / "main.py"
    machine.guarded.main.write_text(
        "import os\n"
        f"with open({str(machine.ran)!r}, 'a') as file:\n"
        "    print('exec', os.environ.get('ROUTEGUARD_HOOK', ''), file=file)\n"
    )
    session = machine.opened()
    if name == "zsh":
        session.run("other() { : }; autoload -Uz add-zsh-hook")
    told = [f"why live:{name}", "exec ", f"why lost:{name}", f"exec lost:{name}"]
    for loss in LOSSES[name]:
        for line in ("routeguard why", "opencode", loss, "routeguard why", "opencode"):
            session.run(line)
        assert machine.marks() == told, loss
        machine.ran.unlink()
        session.run(shell.source(machine.guarded.hook(shell)))
    unset = "(set -q ROUTEGUARD_HOOK; echo $status)" if name == "fish" else "${ROUTEGUARD_HOOK-1}"
    assert session.value(unset) == "1"
