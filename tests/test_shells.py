"""What is typed into the user's shell: in its own language, and whole."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from import_graph import ROOT, modules

from guard import shells
from guard.catalog.programs import SHELLS
from guard.report.terminal import COMMANDS

PROGRAM = shells.program  # before conftest.py puts another in its place
POSIX = ("bash", "zsh", "sh", "dash", "ksh")
TYPED = {
    "bash": ["bash", "--norc", "--noprofile"],
    "zsh": ["zsh", "-f", "-i"],  # interactive: a `#` begins no comment there
    "fish": ["fish", "--no-config"],
}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Says which program called us, and what $SHELL is."""

    def choose(caller: str, login: str = "") -> None:
        monkeypatch.setattr(shells, "program", lambda pid: caller)
        monkeypatch.setenv("SHELL", login)

    return choose  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("caller", "login", "own"),
    [
        ("fish", "/bin/bash", "fish"),
        ("bash", "/usr/bin/fish", "bash"),
        ("nu", "/bin/bash", "nu"),
        ("tcsh", "/bin/zsh", "tcsh"),
        ("make", "/usr/bin/fish", "fish"),
        ("script.sh", "/usr/bin/fish", "fish"),
        ("", "/usr/bin/fish", "fish"),
        ("python", "", ""),
    ],
)
def test_who_calls_counts_before_the_login_shell(
    shell: object, caller: str, login: str, own: str
) -> None:
    shell(caller, login)  # type: ignore[operator]
    assert shells.own() == own


def test_who_calls_is_read_from_the_system() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from guard import shells; print(shells.own())"
    )
    for name, words in TYPED.items():
        line = f"{sys.executable} -c '{code}' '{ROOT.parent}'; true"
        done = subprocess.run(
            [*words, "-c", line], env={**os.environ, "SHELL": "/bin/false"}, capture_output=True
        )
        assert done.stdout.decode().strip() == name, done.stderr


def test_where_ps_is_asked_it_is_asked_once_and_a_fix_never_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [
        subprocess.CompletedProcess([], 0, b"-zsh\n"),
        subprocess.CompletedProcess([], 0, b"/opt/caf\xe9/fish\n"),
        subprocess.CompletedProcess([], 1, b""),
        OSError(),
        subprocess.TimeoutExpired([], 1),
    ]
    asked = iter(answers)

    def run(*_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        answer = next(asked)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", run)
    nobody = [2**22 + number for number in range(1, 6)]
    found = [(PROGRAM(pid), PROGRAM(pid)) for pid in nobody]
    assert [again for again, _ in found] == ["zsh", "fish", "", "", ""]
    assert all(first == again for first, again in found)


@pytest.mark.parametrize("name", ["tcsh", "nu", "elvish", "pwsh", "xonsh"])
def test_another_language_is_not_guessed(shell: object, name: str) -> None:
    shell("", f"/usr/bin/{name}")  # type: ignore[operator]
    said = (shells.unset("A_KEY"), shells.export("A_KEY"), shells.first_on_path("x"))
    assert not any(re.match(r"unset|export|set -", line) for line in said)
    assert all("A_KEY" in line for line in said[:2])


def test_on_windows_no_shell_is_assumed(shell: object, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("")  # type: ignore[operator]
    monkeypatch.setattr(shells.os, "name", "nt")
    assert shells.unset("A_KEY") == "remove A_KEY from your environment"


@pytest.mark.parametrize("name", TYPED)
def test_what_is_typed_works(shell: object, name: str) -> None:
    shell(name)  # type: ignore[operator]
    value = "a b\\'c\\\\d $HOME (x)"
    lines = [
        shells.unset("GONE"),
        shells.export("SET", value),
        shells.export("LATER"),
        shells.first_on_path("echo /some/where"),
        "env",
    ]
    done = subprocess.run(
        TYPED[name],
        input="\n".join(lines) + "\n",
        env={**os.environ, "GONE": "x", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
    )
    assert f"SET={value}\n" in done.stdout, done.stderr
    assert "LATER=…\n" in done.stdout
    assert "PATH=/some/where:" in done.stdout
    assert "GONE=" not in done.stdout


# Every fix ----------------------------------------------------------------------------------------

PROGRAMS = (
    *("unset", "export", "sudo", "docker", "podman", "systemctl", "launchctl", "uv"),
    *("pipx", "git", "chmod", "chown", "mkdir", "kill", "exec", "eval", "tmux"),
)
LINE = re.compile(rf"(?:routeguard (?:{'|'.join(COMMANDS)})|(?:{'|'.join(PROGRAMS)}|set -\w+) \S)")
"""How a line of a message begins that is a command."""

PROSE = re.compile(r" {2,}\(| \(|[,;:.] |, or | # | then | (?:shows|removes|is|are|was|to|with) ")
"""What no command holds outside quotes."""

NO_FIX = (
    "sources",
    "catalog",
    "rules/files",
    "agents/claude_code/grammar",
    "agents/codex/grammar",
    "install/blocks",
)
"""Where texts are grammars and patterns of other programs, or parts of scripts."""


WRITERS = {"allow": "routeguard allow X", "unset": "unset X", "export": "export X"}
"""Functions whose result is a command, in a text that is put together."""


def written(field: ast.expr) -> str:
    """X for a field of an f-string; the command where one of WRITERS writes it."""
    called = getattr(field, "value", None)
    function = getattr(called, "func", None)
    return WRITERS.get(getattr(function, "attr", getattr(function, "id", "")), "X")


@functools.cache
def texts(shown: Callable[[ast.expr], str] = lambda field: "X") -> list[tuple[Path, int, str]]:
    """Each text in our code that is no docstring: its file, line, and itself with X for fields."""
    found = []
    for path in modules().values():
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        passed = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                passed |= {id(part) for part in node.values}
        for node in nodes:
            if id(node) in passed:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append((path, node.lineno, node.value))
            elif isinstance(node, ast.JoinedStr):
                parts = [
                    str(p.value) if isinstance(p, ast.Constant) else shown(p) for p in node.values
                ]
                found.append((path, node.lineno, "".join(parts)))
    return found


def lines() -> Iterator[tuple[str, str]]:
    """Each line of a text that is a command to be typed, and where it is."""
    for path, number, text in texts():
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith(NO_FIX):
            for line in text.split("\n"):
                if LINE.match(line):
                    yield f"{place}:{number}", line


def test_a_command_has_a_line_of_its_own() -> None:
    wrong = []
    for place, line in lines():
        bare = re.sub(r"\"[^\"]*\"|'[^']*'|\$?\([^()]*\)(?= \$PATH|:)", "''", line)
        if PROSE.search(bare):
            wrong.append(f"{place}: {line}")
    assert wrong == [], "a remark goes to `why`, or on a line of its own"


BEHIND_WORDS = re.compile(rf"(?:^or,? |\bthen |: )(?:.*: )?(?:{LINE.pattern}|npm i|brew i)")
"""How a line begins that has words before a command."""

HINTS = {
    *("; X left: routeguard check", "X more expired or refused: routeguard allow list --all"),
    *("One line: routeguard status --short.", "X earlier: routeguard log -n all"),
    *("edit it, then: routeguard policy validate", "To keep looking: routeguard watch"),
    *("what applies: routeguard policy show --effective", "more: routeguard why NAME"),
    *("  to try it for a few tokens: routeguard portkey probe", "  allow: routeguard allow X"),
    "A listed model may still fail: routeguard portkey probe MODEL tries it.",
    "nothing seen with this key yet: routeguard portkey status",
    "No entry matches; every entry: routeguard log -n all",
    "X, none a model proxy: routeguard ports --all",
    'Done. It guards shells that start from now on; in this one: exec "$SHELL"',
    "No provider is written; later: routeguard portkey sync",
    "The providers are left for later: routeguard portkey sync",
    "fix: sudo routeguard managed install",
    "an HTTP proxy is allowed by its address: routeguard why X",
    "X is kept anyway, so this changes nothing: routeguard why X",
}
"""What is said in one line where nothing is wrong."""


def test_no_words_stand_before_a_command() -> None:
    """`or COMMAND`, `then: COMMAND`: what is copied as a whole line does not run."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path, number, text in texts(written)
        for line in text.split("\n")
        if BEHIND_WORDS.search(line) and line not in HINTS
    ]
    assert wrong == [], "the words go on the line before, and end in a colon"


def test_no_remark_in_brackets_follows_a_command() -> None:
    """Also in help texts, and behind whatever a field stands for."""
    names = "|".join(COMMANDS)
    remark = re.compile(rf"(?:^|: |or )(?:X|routeguard|[a-z-]+) ?(?:{names}|\S.*\S)? {{2,}}\([a-z]")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path, number, text in texts()
        for line in text.split("\n")
        if remark.search(line.strip()) and not path.name.startswith("portkey")
    ]
    assert wrong == []


def test_one_function_says_how_a_variable_is_set() -> None:
    typed = re.compile(r"(?:.*[:;] )?(?:unset|export|set -gx|set -e) (?:X|[A-Z_]{3,})(?:=|\b)")
    apart = {
        "shells.py": "the one function",
        "commands/hook.py": "an example in a help text, for bash alone",
        "commands/shim.py": "an example in a help text, for each shell",
        "sources/positions/windows.py": "a text that is read as bash",
    }
    found = {
        path.relative_to(ROOT).as_posix()
        for path, _, text in texts()
        for line in text.split("\n")
        if typed.match(line.strip())
    }
    assert found <= apart.keys(), "say it with shells.unset or shells.export"


@pytest.mark.shells
@pytest.mark.parametrize("name", TYPED)
def test_every_command_is_one_in_each_shell(shell: object, name: str, tmp_path: Path) -> None:
    foreign = "eval" if name == "fish" else "set "
    commands = {line for _, line in lines()}
    commands = {line for line in commands if not line.startswith(foreign)}
    commands = {line for line in commands if re.search(r"[^\w\s./:=@…-]", line)}
    assert len(commands) > 10
    script = tmp_path / "line"
    script.write_text("\n".join(sorted(commands)) + "\n")
    done = subprocess.run([name, "-n", script], capture_output=True, text=True)
    assert done.returncode == 0, f"{script.read_text()}\n{done.stderr}"


def test_the_shells_that_are_typed_in_are_those_whose_texts_are_read() -> None:
    assert {*shells._POSIX} - {"", "busybox"} == SHELLS - {"fish"}
