"""Commands and lines of a script, in the grammar of each shell."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from guard.sources.shell_commands import Command, fish_commands, posix_commands


def split(reader: Callable[[str], Iterator[Command]], text: str) -> list[tuple[int, list[str]]]:
    return [(found.line, [word.text for word in found.words]) for found in reader(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a b\nc", [(1, ["a", "b"]), (2, ["c"])]),
        ("a; b && c || d | e & f", [(1, [w]) for w in "abcdef"]),
        ("a # b\n# c\nd#e", [(1, ["a"]), (3, ["d#e"])]),
        ("a \\\n b", [(1, ["a", "b"])]),
        ("a\\ b", [(1, ["a b"])]),
        ("'a b' \"c d\" $'e\\'f'", [(1, ["a b", "c d", "e\\'f"])]),
        ("a 'x\ny'\nb", [(1, ["a", "x\ny"]), (3, ["b"])]),
        ('a "$(b "c d" \')\' # e" )\n)"\nf', [(1, ["a", '$(b "c d" \')\' # e" )\n)']), (3, ["f"])]),
        ('a "${b:-don\'t}"\nc', [(1, ["a", "${b:-don't}"]), (2, ["c"])]),
        ("a `b; c`; d", [(1, ["a", "`b; c`"]), (1, ["d"])]),
        ("cat <<E\nx\nE\na", [(1, ["cat"]), (4, ["a"])]),
        ("cat <<-'E F'; b\n\tx\n\tE F\na", [(1, ["cat"]), (1, ["b"]), (4, ["a"])]),
        ("cat <<A <<B\nx\nA\ny\nB\na", [(1, ["cat"]), (6, ["a"])]),
        ("cat <<<E\na", [(1, ["cat"]), (2, ["a"])]),
        ("cat <<E", [(1, ["cat"])]),
        ("(( a = 1 << 2 ))\nb", [(2, ["b"])]),
        ("a=(b c\nd) e\nf", [(1, ["a=", "e"]), (3, ["f"])]),
        ("a >b 2>&1 <c &>d e", [(1, ["a", "e"])]),
        ("a <(b c) d", [(1, ["a", "<(b c)", "d"])]),
        ("f() { a; }", [(1, ["f"]), (1, ["{", "a"]), (1, ["}"])]),
        ("case x in a) b;; esac", [(1, ["case", "x", "in", "a"]), (1, ["b"]), (1, ["esac"])]),
    ],
)
def test_posix(text: str, expected: list[tuple[int, list[str]]]) -> None:
    assert split(posix_commands, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b; c\nd", [(1, ["a", "b"]), (1, ["c"]), (2, ["d"])]),
        ("a 'b\\'c' \"d\\\"e\"", [(1, ["a", "b'c", 'd"e'])]),
        ("a (b; c 'd)') e # f\ng", [(1, ["a", "(b; c 'd)')", "e"]), (2, ["g"])]),
        ("a \\\n b", [(1, ["a", "b"])]),
        ("a >b 2>&1 c", [(1, ["a", "c"])]),
        ("a `b` <<c", [(1, ["a", "`b`"])]),
        ("a && b || c & d", [(1, [w]) for w in "abcd"]),
    ],
)
def test_fish(text: str, expected: list[tuple[int, list[str]]]) -> None:
    assert split(fish_commands, text) == expected


def test_words_say_whether_they_are_literal_and_how_far_bare() -> None:
    (found,) = posix_commands('A="b" \'C\'=d $e \'$f\' "\\$g" "$h" ~/i')
    assert [word.literal for word in found.words] == [True, True, False, True, True, False, True]
    assert [word.bare for word in found.words] == [2, 0, 0, 0, 0, 0, 3]
    assert found.words[4].text == "$g"


@pytest.mark.parametrize("reader", [posix_commands, fish_commands])
@pytest.mark.parametrize(
    "piece",
    ["A=1 ", "$(", '"', "`", "'", "<<E\n", "((", "${", "\\", "a=(", "$'", '"$(', "1>", ";", "\0"],
)
def test_any_text_ends(reader: Callable[[str], Iterator[Command]], piece: str) -> None:
    """Unclosed and nested to any depth: no recursion, no error, no lost line count."""
    text = piece * 20_000
    for command in reader(text):
        assert 1 <= command.line <= text.count("\n") + 1
