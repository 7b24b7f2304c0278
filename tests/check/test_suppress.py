"""Suppressions: which comments count, for which lines, and what is said about them."""

from __future__ import annotations

import pytest

from guard.check.suppress import apply, suppressions
from guard.findings import Finding
from guard.rule_table import RULES
from guard.sources.file import SourceFile

EVERY = frozenset(RULES)


def file(text: str, path: str = "run.sh") -> SourceFile:
    return SourceFile(path, text.encode())


def found(line: int, rule: str = "RG201", *, end: int = 0) -> Finding:
    return Finding(
        rule, "x", "m", path="run.sh", line=line, column=1, end_line=end or line, end_column=2
    )


def rules(findings: list[Finding]) -> list[tuple[str, int]]:
    return [(finding.rule, finding.line) for finding in findings]


@pytest.mark.parametrize(
    "comment",
    [
        "call # routeguard: ignore[RG201] why",
        "call # noqa: S603, routeguard: ignore[RG201] why",
        "call(); // routeguard: ignore[RG201] why",
        "call /* routeguard: ignore[RG201] why */ more",
        "select 1 -- routeguard: ignore[RG201] why",
        "key = 1 ; routeguard: ignore[RG201] why",
        "<a> <!-- routeguard: ignore[RG201] why -->",
        "x {- routeguard: ignore[RG201] why -}",
        "x (* routeguard: ignore[RG201] why *)",
        "{# routeguard: ignore[RG201] why #}",
        "{{!-- routeguard: ignore[RG201] why --}}",
        "<%# routeguard: ignore[RG201] why %>",
        "REM routeguard: ignore[RG201] why",
        "' routeguard: ignore[RG201] why",
        '" routeguard: ignore[RG201] why',
        "% routeguard: ignore[RG201] why",
        " * routeguard: ignore[RG201] why",
        "#routeguard:ignore [rg201]: why",
        "# routeguard: ignore[RG101, RG201] why",
    ],
)
def test_any_comment_syntax_silences_its_own_line(comment: str) -> None:
    left, silenced = apply(file(f"{comment}\nother\n"), [found(1)], frozenset(["RG201"]))
    assert not left
    assert rules(silenced) == [("RG201", 1)]
    assert suppressions(file(comment))[0].reason == "why"


@pytest.mark.parametrize(
    "text",
    [
        'echo "routeguard: ignore[RG201] why"',
        "`routeguard: ignore[RG201] why`",
        "my-routeguard: ignored[RG201]",
        "routeguard: ignore[RG201] why",
        "x-routeguard: ignore[RG201] why",
        "https://routeguard: ignore[RG201] why",
        # with lone carriage returns a file is one line here, and several to what reads it
        "# routeguard: ignore[RG201] why\rcall\rcall",
        "call\rcall # routeguard: ignore[RG201] why\r",
    ],
)
def test_what_is_no_comment_silences_nothing(text: str) -> None:
    left, silenced = apply(file(text), [found(1)], EVERY)
    assert rules(left) == [("RG201", 1)]
    assert not silenced


IGNORE = "routeguard: ignore[RG201] why"
CALL = "opencode run \\\n  -m openai/x \\\n  --title t \\\n  hi"
"""A finding may lie on one of its inner lines, where no comment can stand."""


@pytest.mark.parametrize(
    ("text", "lines", "left"),
    [
        (f"# {IGNORE}\ncall\ncall\n", (2, 3), [("RG201", 3)]),
        (f"# routeguard: ignore[RG101] a\n// {IGNORE}\ncall\n", (3,), [("RG902", 1)]),
        (f"call # {IGNORE}\ncall\n", (1, 2), [("RG201", 2)]),
        (f"/* {IGNORE} */ call\ncall\n", (1, 2), [("RG201", 2)]),
        *((f"{CALL} # {IGNORE}\n", (line,), []) for line in (1, 2, 3, 4)),
        *((f"# {IGNORE}\n{CALL}\nls\n", (line,), []) for line in (2, 3, 4, 5)),
        (f"# {IGNORE}\n{CALL}\nls\n", (6,), [("RG201", 6), ("RG902", 1)]),
        ("call # routeguard: ignore[RG101] why", (1,), [("RG201", 1), ("RG902", 1)]),
        # without a reason it silences nothing
        *(
            (f"call /* routeguard: ignore[RG201]{end}", (1,), [("RG201", 1), ("RG901", 1)])
            for end in ("", "   ", " --", " */", ": -")
        ),
        # the check itself is not silenced
        ("# routeguard: ignore[RG902] why", (), [("RG902", 1)]),
    ],
)
def test_for_which_lines_it_holds(
    text: str, lines: tuple[int, ...], left: list[tuple[str, int]]
) -> None:
    remaining, silenced = apply(file(text), [found(line) for line in lines], EVERY)
    assert rules(remaining) == left
    assert len(silenced) == len(lines) - sum(rule == "RG201" for rule, _ in left)


def test_a_call_of_several_lines_is_silenced_above_or_behind_it() -> None:
    assert apply(file(f"open(\nx\n) # {IGNORE}\n"), [found(1, end=3)], EVERY)[0] == []
    assert apply(file(f"# {IGNORE}\nopen(\nx)\n"), [found(2, end=3)], EVERY)[0] == []


@pytest.mark.parametrize("word", ["RG201", "rg201", "foreign-provider", "Foreign-Provider"])
def test_a_rule_goes_by_its_id_or_its_name(word: str) -> None:
    assert apply(file(f"call # routeguard: ignore[{word}] why\n"), [found(1)], EVERY)[0] == []


def test_a_rule_that_was_not_looked_for_is_not_called_unused() -> None:
    text = "call # routeguard: ignore[RG201] why\n"
    assert apply(file(text), [], frozenset(["RG101"]))[0] == []
    assert rules(apply(file(text), [], EVERY)[0]) == [("RG902", 1)]


def test_unknown_and_missing_ids_are_said() -> None:
    (unknown,) = apply(file("# routeguard: ignore[RG999] why"), [], EVERY)[0]
    assert (unknown.rule, unknown.subject) == ("RG902", "RG999")
    for text in ("# routeguard: ignore why", "# routeguard: ignore[] why"):
        (none,) = apply(file(text), [], EVERY)[0]
        assert "names no rule" in none.message


def test_ids_are_never_shown_raw() -> None:
    (left,) = apply(file("# routeguard: ignore[\x1b[31mRG201] why"), [], EVERY)[0]
    assert "\x1b" not in left.subject + left.message + left.fix


def test_prose_may_show_one() -> None:
    text = "```sh\ncall # routeguard: ignore[RG201] why\n```\n"
    assert apply(file(text, "docs/check.md"), [], EVERY) == ([], [])
    assert apply(file(text, "docs/check.md"), [found(2)], EVERY)[0] == []


def test_the_place_is_that_of_the_comment() -> None:
    (left,) = apply(file("\n\tcall  # routeguard: ignore[RG201]  why  \n"), [], EVERY)[0]
    assert (left.line, left.column, left.end_column) == (2, 10, 40)


def test_a_file_of_nothing_but_suppressions_takes_no_quadratic_time() -> None:
    text = "# routeguard: ignore[RG201] why\n" * 20_000
    assert len(apply(file(text), [], EVERY)[0]) == 20_000
