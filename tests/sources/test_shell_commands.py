"""Commands, words and what they read, in the grammar of each shell; and that reading is linear."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.sources.positions.text import Text
from guard.sources.shell_commands import (
    FISH,
    MAX_CHARACTERS,
    POSIX,
    Command,
    UnparsedError,
    commands,
    reader_of,
    unquoted,
)

FUZZ_SECONDS = 200
"""Seconds of the clock for the texts of `test_fuzz`; alone they take two."""

PIECES = (
    *("$(", "<(", '"', "'", "`", "\\`", "<<E\n", "<<-'E'\n", "\nE\n", "((", "))", "$((", "${", "}"),
    *("a=(", "a[", "]=", "\0", "if ", "then ", "fi\n", "case x in ", "esac ", ";;", "a)", "(a|b)"),
    *("f() ", "bash -c '", "for x in ", "do ", "done ", "[[ ", " ]] ", "{ ", "{", "|", "&", ";"),
    *("\n", " ", "\\", "\\\n", "#", "$", "*", "!", "=", "1>", "&>", "<", ">", "(", ")", "$'", '$"'),
    *("function ", "select ", "coproc ", "repeat 2 ", "begin ", "end ", "and ", "é", "\udcff", "a"),
)
"""What texts are made of that a reader may stumble over."""


def split(text: str, grammar: str = POSIX) -> list[list[str]]:
    """The words of the commands in the order in which they stand, assignments among them."""
    found = sorted(commands(Text.of(text), grammar), key=lambda one: one.start)
    return [
        [f"{a.name}={a.value.shown}" for a in one.assignments] + [w.shown for w in one.words]
        for one in found
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a b\nc", ["a b", "c"]),
        ("a; b && c || d | e & f |& g", list("abcdefg")),
        ("a # b\n# c\nd#e", ["a", "d#e"]),
        ("a \\\n b", ["a b"]),
        ("a\\ b", ["a b"]),
        ("'a b' \"c d\" $'e\\'f\\n'", ["a b c d e'f\n"]),
        ("a 'x\ny'\nb", ["a x\ny", "b"]),
        # substitutions
        ('a "$(b "c d" \')\' # e" )\n)"\nf', ["a $()", "b c d )", "f"]),
        ('a "${b:-don\'t}"\nc', ["a ${b:-don't}", "c"]),
        ('a "${b:-$(c)}" d', ["a ${} d", "c"]),
        ("a `b; c`; d", ["a $()", "b", "c", "d"]),
        ("a `b \\`c\\``", ["a $()", "b $()", "c"]),
        ('a "`b \\"c\\"`"', ["a $()", "b c"]),
        ("a <(b c) >(d)", ["a $() $()", "b c", "d"]),
        ("a >b 2>&1 <c &>d e >$(f)", ["a e", "f"]),
        ("a $(( $(b) << 2 )) c", ["a $() c", "b"]),
        ("a $((b) | (c))", ["a $()", "b", "c"]),
        ("a ${ b; }c; d", ["a $()c", "b", "d"]),  # bash 5.3
        # here-documents
        ("cat <<E\nx\nE\na", ["cat", "a"]),
        ("cat <<-'E F'; b\n\tx\n\tE F\na", ["cat", "b", "a"]),
        ("cat <<A <<B\nx\nA\ny\nB\na", ["cat", "a"]),
        ("cat <<E\n$(a) `b`\nE\n", ["cat", "a", "b"]),
        ("cat <<'E'\n$(a)\nE\n", ["cat"]),
        ("x=$(cat <<E\nb\nE)\na", ["x=$()", "cat", "a"]),
        ("cat <<E\r\nb\r\nE\r\na", ["cat", "a"]),
        ("cat <<<E\na", ["cat", "a"]),
        ("cat <<E", ["cat"]),
        # arithmetic, arrays, assignments
        ("(( a = 1 << 2 ))\nb", ["b"]),
        ("((a); (b))", ["a", "b"]),
        ("a=(b c\nd # e)\n$(f)) e\ng", ["a=() e", "f", "g"]),
        ('a[1]+=b c["$d"]=e f', ["a=b c=e f"]),
        ("'A'=b A\"=\"b", ["A=b A=b"]),
        # groups, functions
        ("f() { a; }; g ( ) (b)", ["a", "b"]),
        ("function f { a; }; function g() { b; }; function 'h' {\nc; }", list("abc")),
        ("{ a; }; (b; c) | d; ! e", list("abcde")),
        ("coproc a; coproc N { b; }; time (c)", ["a", "b", "time", "c"]),
        # compounds
        ("if a; then b; elif c; then d; else e; fi; f", list("abcdef")),
        ("if(a); then while(b); do c; done; fi", list("abc")),
        ("for x in p $(a) q; do b; done; for y do c; done", ["for x", "a", "b", "for y", "c"]),
        ("for ((i=0; i<2; i++)); do a; done; for((;;)) { b; }", ["a", "b"]),
        ("case $x in (p|q) a;; p | q) b;& *) c;;& esac; d", list("abcd")),
        ("case x in p) case y in q) a;; esac;; r|s) b; esac; c", list("abc")),
        ("case x\nin\n  # c\n  p |\n  q)\n a\n;;\nesac\nb", list("ab")),
        ("x=$(case y in z) a;; esac); b", ["x=$()", "a", "b"]),
        ("[[ a && (b || $(c)) ]] && d; [[ x =~ (e|f)$ ]]; g; [[ p\n&& q ]]\nh", list("cdgh")),
        # zsh
        ("{a b}; if [[ x ]] { c }; for y (p q) d; repeat 2 e", ["a b", "c", "for y", "d", "e"]),
        ("() { a; }; { b } always { c }; - d; e &!\nf &| g", list("abcdefg")),
        ("case x { (p|q)*) a ;; }; foreach y (p q); b; end", ["a", "for y", "b", "end"]),
        ("ls *(.om[1,2]) (p|q)*; a =(b)", ["ls *() ()*", "a =$()", "b"]),
        # not closed
        ("a $(b", ["a $()", "b"]),
        ("a 'b", ["a b"]),
        ("for i in 1; do\na", ["for i", "a"]),
        ("case x in", []),
        (") a ;; b", ["a", "b"]),
    ],
)
def test_posix(text: str, expected: list[str]) -> None:
    assert [" ".join(words) for words in split(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b; c\nd", ["a b", "c", "d"]),
        ("a 'b\\'c\\d' \"d\\\"e\"", ["a b'c\\d d\"e"]),
        ("a (b; c 'd)') e # f\ng", ["a $() e", "b", "c d)", "g"]),
        ('a $(b) "$(c) (d)"', ["a $() $() (d)", "b", "c"]),
        ("a \\\n b", ["a b"]),
        ("a >b 2>&1 c &> d", ["a c"]),
        ("a `b` <c", ["a `b`"]),
        ("a && b || c & d | e &| f 2>| g", list("abcdefg")),
        ("begin; a; end; and b; or not c; ! d", list("abcd")),
        ("if a; b; else if c; d; end; while e; f; end", list("abcdef")),
        ("for x in p (a); b; end; switch q; case r; c; end", list("abc")),
        ("function f --argument x; a; end", ["a"]),
        ("A=1 B=(a) c", ["A=1 B=$() c", "a"]),
        ("a $b $$c $d[1]", ["a $b $$c $d[1]"]),
    ],
)
def test_fish(text: str, expected: list[str]) -> None:
    assert [" ".join(words) for words in split(text, FISH)] == expected


def one(text: str, program: str) -> Command:
    """The command of that program."""
    return next(c for c in commands(Text.of(text)) if c.words and c.words[0].shown == program)


@pytest.mark.parametrize(
    ("text", "stdin"),
    [
        ("sh <<E\na $(b) \\$(c)\nE\n", "a $() $(c)\n"),
        ("sh <<'E'\na $(b)\nE\n", "a $(b)\n"),
        ("sh <<< 'a b'", "a b"),
        ("cat <<E | sh\na\nE\n", "a\n"),
        ("cat <<E |\na\nE\nsh", "a\n"),
        ("tee x <<E | sh\na\nE\n", "a\n"),
        ("echo -n 'a b' c | sh", "a b c"),
        ("printf '%s' 'a' | sh", "a"),
        ("echo a | cat | sh", "a"),
        ("cat x | sh", None),
        ("echo a; sh", None),
        ("while read x; do y; done <<E\na\nE\nsh", None),
    ],
)
def test_what_a_command_reads(text: str, stdin: str | None) -> None:
    found = one(text, "sh").stdin
    assert (found.value if found is not None else None) == stdin


def test_words_say_whether_they_are_literal_and_how_far_bare() -> None:
    (found,) = commands(Text.of('x A="b" \'C\'=d $e \'$f\' "\\$g" "$h" ~/i a$ "$@" *'))
    words = found.words[1:]
    assert [w.literal for w in words] == [
        *(True, True, False, True, True, False, True, True, False, True)
    ]
    assert [w.bare for w in words] == [2, 0, 0, 0, 0, 0, 3, 2, 0, 1]
    assert [w.splits for w in words] == [
        *(False, False, True, False, False, False, False, False, True, True)
    ]
    assert words[4].shown == "$g"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'a''b'", "ab"),
        ('"a\\"b"', 'a"b'),
        ('"a\\nb"', "a\\nb"),
        ("$'a\\nb'", "a\nb"),
        ('$"a"', "a"),
        ("a\\\nb", "ab"),
        ("''", ""),
        ('"$A"', None),
        ("a$", "a$"),
        ("`x`", None),
        ("$(x 'y)')z", None),
        ("a b;c", "a b;c"),
    ],
)
def test_unquoted(written: str, value: str | None) -> None:
    word = unquoted(Text.of(written, 10))
    assert word.value == value
    assert (word.start, word.end) == (10, 10 + len(written))
    assert len(word.content.places) == len(word.content.value) + 1


TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@settings(deadline=None)
@given(TEXTS | st.text(max_size=60), st.sampled_from((POSIX, FISH)))
def test_words_stand_where_they_say(text: str, grammar: str) -> None:
    """Offsets lie in the text, a bare word is what stands there, and nothing is found twice."""
    found = commands(Text.of(text, 7), grammar)
    for command in found:
        for word in command.words:
            assert 7 <= word.start <= word.end <= 7 + len(text)
            assert len(word.content.places) == len(word.content) + 1
            if command.words[0].shown != "for" and word.bare == len(word.shown) > 0:
                assert text[word.start - 7] in (word.shown[0], "\\", '"', "$", "'")
    starts = [w.start for c in found for w in c.words if c.words[0].shown != "for"]
    assert len(starts) == len(set(starts))


@settings(deadline=None)
@given(st.lists(st.text("ab$`\"'\\ *;|&(){}#<>~!=\n", min_size=1, max_size=6), min_size=1))
def test_quoted_words_come_back(words: list[str]) -> None:
    """What shlex quotes is read as it was, in every grammar that has its quotes."""
    import shlex

    text = "x " + " ".join(map(shlex.quote, words))
    (found,) = commands(Text.of(text))
    assert [w.value for w in found.words[1:]] == words


def steps(text: str, grammar: str) -> int:
    """How much work reading `text` is; 0 if it is given up."""
    reader = reader_of(Text.of(text), grammar)
    try:
        reader.read()
    except UnparsedError:
        return 0
    return reader.steps


@pytest.mark.parametrize("grammar", [POSIX, FISH])
def test_one_piece_again_and_again_is_linear_work(grammar: str) -> None:
    for piece in PIECES:
        for size in (500, 4_000):
            assert steps(piece * (size // len(piece)), grammar) <= 40 * size, piece
        opened = "x " + piece * 90 + "a b; " * 400  # below the limit of nesting
        assert steps(opened, grammar) <= 40 * len(opened), piece


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join))
def test_any_pieces_again_and_again_are_linear_work(unit: str) -> None:
    for grammar in (POSIX, FISH):
        text = unit * (3_000 // len(unit))
        assert steps(text, grammar) <= 40 * len(text)


def test_a_text_that_no_person_wrote_is_given_up() -> None:
    with pytest.raises(UnparsedError, match="longer than"):
        commands(Text.of("a\n" * MAX_CHARACTERS))
    with pytest.raises(UnparsedError, match="levels deep"):
        commands(Text.of("$(" * 1_000))


@pytest.mark.slow
def test_fuzz() -> None:
    """A process reads texts of odd pieces, and calls in them; the clock outside ends it.

    The grammar before this reader came to no end on some of 300 bytes, where no limit within the
    process could reach it.
    """
    program = (
        "import random, sys\n"
        "from guard.sources.positions.shell_calls import read, read_fish\n"
        "from guard.sources.positions.text import Text\n"
        "from guard.sources.shell_commands import UnparsedError\n"
        "pieces = eval(sys.stdin.readline())\n"
        "dice = random.Random(int(sys.stdin.readline()))\n"
        "for _ in range(250):\n"
        "    some = dice.sample(pieces, dice.randint(2, 12))\n"
        "    text = ''.join(dice.choice(some) for _ in range(dice.choice((5, 50, 200, 2000))))\n"
        "    for reader in (read, read_fish):\n"
        "        try:\n"
        "            reader(Text.of(text))\n"
        "        except UnparsedError:\n"
        "            pass\n"
        "print('done')\n"
    )
    seed = random.SystemRandom().randrange(1 << 32)
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=f"{PIECES!a}\n{seed}\n",
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=FUZZ_SECONDS,
    )
    assert done.stdout == "done\n", f"seed {seed}: {done.stderr}"
