"""The hook stays in the syntax of bash 3.2, the `/bin/bash` of every Mac.

bash reads a file whole: one construct that 3.2 cannot read, in a branch that it would never take,
is a syntax error at each start of a shell. No such bash is here to say so, so the text is looked
at. What the entries say was tried with bash 3.2.57, 4.2, 4.4, 5.0, 5.2 and 5.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.shells

SOURCES = Path(__file__).resolve().parents[2] / "shell"
FILES = ("hook.bash", "line.bash")

UNREADABLE = {
    "an extended pattern outside quotes": r"(?<![$(<>=])[@?*+!]\(",
    "&>> or |& or ;& or ;;&": r"&>>|\|&|;&",
    "[[ -v, [[ -R": r"\[\[[^]]* -[vR] ",
    "coproc": r"\bcoproc\b",
    "a redirection to {name}": r"\{\w+\}[<>]",
    "case inside $(…)": r"\$\((?!\().*\bcase\b",
}
"""What 3.2 cannot read: nowhere, not even behind a question for the version."""

LATER = {
    "a change of case": r"\$\{!?\w+(\[[^]]*\])?(,|\^)",
    "a transformation": r"\$\{!?\w+(\[[^]]*\])?@\w\}",
    "a negative subscript": r"\w\[\s*-\s*\d",
    "local -": r"\blocal -(?!\w)",
    "an array or reference of 4.0 or 4.3": r"\b(local|declare|typeset) -\w*[AgnluI]",
    "mapfile": r"\b(mapfile|readarray)\b",
    "printf into an element": r"printf -v [\"']?\w+\[",
    "the time of printf": r"%\([^)]*\)T",
    "a number that is not whole": r"\bread\b.* -t *\d*\.\d",
    "read -N, wait -n": r"\bread\b.* -N|\bwait -n",
    "shell options of 4.0 and later": r"\b(globstar|lastpipe|inherit_errexit|autocd|dirspell)\b",
    "a variable without a default": r"\$\{?(BASHPID|EPOCH\w+|SRANDOM|BASH_ARGV0)\b(?!-)",
}
"""What 3.2 reads and cannot do: only where a question for the version keeps it away."""


def code(text: str, *, quoted: bool) -> Iterator[tuple[int, str, bool]]:
    """Each line that is no comment: its number, its text, whether a newer bash is sure to run it.

    A branch counts whose `if`, on one line, asks BASH_VERSINFO for at least something; or the
    `else` of one that asks for less. A line that asks is answered by itself. With `quoted` false
    what stands in quotes is left out.
    """
    asked: list[tuple[int, bool]] = []  # indentation, whether this branch is for newer versions
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        newer = any(branch for _, branch in asked) or "BASH_VERSINFO" in line
        if asked and asked[-1][0] == indent:
            if bare.startswith("else"):
                asked[-1] = (indent, not asked[-1][1])
            elif bare.startswith(("fi", "elif")):
                asked.pop()
        if bare.startswith("if ") and "BASH_VERSINFO" in line and "||" not in line:
            asked.append((indent, "<" not in line))
        if not quoted:
            bare = re.sub(r"'[^']*'|\"(\\.|[^\"\\])*\"", "''", bare)
        yield number, bare, newer


def found(text: str) -> list[str]:
    """The names of the constructs in `text` that bash 3.2 would meet, with their lines."""
    out = [
        f"{number}: {name}"
        for number, line, _ in code(text, quoted=False)
        for name, pattern in UNREADABLE.items()
        if re.search(pattern, line)
    ]
    return out + [
        f"{number}: {name}"
        for number, line, newer in code(text, quoted=True)
        for name, pattern in LATER.items()
        if not newer and re.search(pattern, line)
    ]


@pytest.mark.parametrize("name", FILES)
def test_bash_3_2_can_read_the_template(name: str) -> None:
    assert found((SOURCES / name).read_text()) == []


def test_bash_3_2_can_read_what_is_printed(guarded: Any, bash: Any) -> None:
    assert found(guarded.hook(bash).read_text()) == []


NEWER = "if ((BASH_VERSINFO[0] >= 5)); then\n    {}\nfi"
OLDER = "if ((BASH_VERSINFO[0] < 5)); then\n    :\nelse\n    {}\nfi"


@pytest.mark.parametrize(
    "line",
    [
        "[[ $typed == *@(a|b)* ]]",
        "case $x in !(a)) ;; esac",
        "rm -- ?(a)b",
        "make &>>log",
        "make |& less",
        "[[ -v name ]]",
        "exec {file}>out",
        "coproc cat",
        "x=$(case $y in a) echo ;; esac)",
    ],
)
def test_what_it_cannot_read_is_found_in_any_branch(line: str) -> None:
    for text in (line, NEWER.format(line), OLDER.format(line)):
        assert found(text), text
    assert not found("pattern='" + line.replace("'", "") + "'")


@pytest.mark.parametrize(
    "line",
    [
        "typed=${typed,,}",
        "typed=${names[0]^}",
        "number=${number@P}",
        "[[ ${!name@a} == *x* ]]",
        "echo ${list[-1]}",
        r"\builtin local - && \builtin set +x",
        "declare -A table",
        "declare -gn other=name",
        r"\builtin mapfile -t names",
        "printf -v 'list[3]' x",
        "printf '%(%s)T' -1",
        "read -t 0.1 x",
        "echo $BASHPID",
    ],
)
def test_what_it_cannot_do_is_found_unless_the_version_is_asked(line: str) -> None:
    assert found(line)
    assert not found(NEWER.format(line))
    assert not found(OLDER.format(line))
    assert found(NEWER.replace(">=", "<").format(line))
    assert found(NEWER.format(":") + "\n" + line)


def test_what_it_can_read_and_do_is_not_found() -> None:
    lines = (
        "list+=(a) text+=b",
        "[[ $a == *x* && -n ${b-} ]] || case $c in a*) ;; esac",
        "((a[${#a[@]} - 1] + 1 < 2))",
        "x=$(printf '%s' \"$y\") && local z=1",
        'printf -v name \'%s\' "${BASHPID-$$}" "${EPOCHSECONDS-}"',
        "! { a || b; } >/dev/null 2>&1",
    )
    assert [found(line) for line in lines] == [[]] * len(lines)
