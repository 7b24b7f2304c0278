"""Other programs that live in the prompt: they keep working, and so does the hook."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.shells

Open = Callable[..., Any]
SCRUBBED = [
    "routeguard: scrubbed OPENAI_API_KEY (why, and how to allow it: routeguard why OPENAI_API_KEY)"
]
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
