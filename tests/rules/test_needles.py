"""The two searches for needles: the same hits, and behind them the same findings as without any."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import SEARCHES, Bearer

from guard.check import engine, suppress
from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.rules import needles
from guard.rules.detectors import DETECTORS
from guard.rules.files.secrets import _NAMED, _NAMED_FORM
from guard.rules.needles import Form, NeedleSearch, PlainSearch
from guard.sources import tree
from guard.sources.file import SourceFile

ROOT = Path(__file__).parents[1] / "corpus"
LITERALS = tuple(
    sorted({needles._literal(n) for d in DETECTORS for n in d.needles if needles._literal(n)})
)
BLOCK = 1 << 16
"""What a file is read in at least; see guard/files/read.py."""


def everything(_: int) -> bool:
    return True


class NoSearch:
    """Hands every file to every detector that wants it."""

    def __call__(self, data: bytes, wanted: object) -> list[int]:
        return [n for n in range(len(DETECTORS) + 1) if wanted(n)]  # type: ignore[operator]


@pytest.mark.parametrize("search", SEARCHES)
def test_a_literal_in_lower_case_stands_in_any_case_and_one_with_a_capital_as_it_is(
    search: type[NeedleSearch],
) -> None:
    sk = Bearer(Form(b"sk-", rb"sk-[a-z]{4}"))
    looks = search([Bearer(b"a.b"), Bearer(b"A_KEY", b"other"), Bearer(b""), sk])
    for data, here in (
        (b"", [2]),
        (b"x A.B x", [0, 2]),
        (b"axb a_key", [2]),
        (b"\0\xffA_KEY\n", [1, 2]),
        (b"SK-abcd oTHER", [1, 2, 3]),
    ):
        assert looks(data, everything) == here, data
    assert looks(b"a.b A_KEY", lambda number: number == 1) == [1]


def test_a_form_leaves_out_what_only_begins_like_it() -> None:
    groups = [Bearer(Form(b"sk-", rb"sk-[a-z]{4}"))]
    here = [search(groups)(b"sk-ab", everything) for search in SEARCHES]
    assert here == [[0], []][: len(SEARCHES)]


def test_few_bytes_are_not_worth_a_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(needles.search([Bearer(b"a")], needles.FAST_FROM - 1), PlainSearch)
    large = needles.search([Bearer(b"a")], needles.FAST_FROM)
    assert type(large) is SEARCHES[-1]
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    assert isinstance(needles.search([Bearer(b"a")], needles.FAST_FROM), PlainSearch)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Bytes with needles in mixed case, at the ends of blocks, in long lines, beside NULs."""
    parts = [b""]
    for _ in range(draw(st.integers(1, 4))):
        literal = draw(st.sampled_from(LITERALS))
        cased = draw(st.sampled_from([bytes, bytes.upper, bytes.title, bytes.swapcase]))(literal)
        filler = draw(st.sampled_from([b" ", b"\n", b"\0", b"a", b"\xe9", b"\xff\xfe", b"_"]))
        block = draw(st.sampled_from([0] * 7 + [BLOCK]))
        length = sum(map(len, parts))
        if block:
            # the border goes through the literal
            cut = draw(st.integers(0, len(cased)))
            gap = (block - length - cut) % block
        else:
            gap = draw(st.integers(0, 60))
        parts += [filler * gap, cased]
        if draw(st.booleans()):
            parts.append(b'="' + b"aB3dE5gH7jK9mN1pQ4sT6vW8" * draw(st.integers(1, 5)) + b'"\n')
    return b"".join(parts)


EACH = [search([Bearer(literal) for literal in LITERALS]) for search in SEARCHES]


@settings(max_examples=60, deadline=None)
@given(contents())
def test_both_searches_see_the_same_literals(data: bytes) -> None:
    lowered = data.lower()
    truth = [
        n
        for n, literal in enumerate(LITERALS)
        if literal in (lowered if literal == literal.lower() else data)
    ]
    for search in EACH:
        assert search(data, everything) == truth


NAMES = (
    "a.py",
    "a.ts",
    "run.sh",
    ".env",
    "conf.json",
    "x.yml",
    "Dockerfile",
    "page.html",
    "opencode.json",
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1")
KINDS = (
    "export OPENAI_API_KEY={}\n",
    'url = "https://api.openai.com/v1/{}"\n',
    "opencode run -m openai/gpt '{}'\n",
    'mistral_key: "{}"\n',
    "# Portkey author\u0131zation:\u00a0{}\n",
    "litellm --port 4000 # {}\n",
    "sk-ant-api03-{} routeguard: ignore[RG111] {}\n",
    "gsk_{}\n",
    "from openai import OpenAI\nOpenAI()  # {}\n",
    "from google import (  # a = b;\n  genai)\ngenai.Client()\n",
    'import OpenAI from "openai"; new OpenAI()  // {}\n',
    'const { Groq } = require("groq-sdk")\nnew Groq()\n',
)


@st.composite
def files(draw: st.DrawFn) -> SourceFile:
    """A file that a detector may find something in, in one of the encodings of text."""
    lines = []
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5)):
        value = draw(st.text("abcdefghkmnpqrstABCDEFGHKMNPQRST23456789-_", max_size=90))
        line = kind.replace("{}", value)
        lines.append(line if draw(st.booleans()) else line.swapcase())
        lines.append(draw(st.sampled_from(["", "\n" * 9, "\0", "\u00e9", "x" * (BLOCK - 9)])))
    encoding = draw(st.sampled_from(ENCODINGS))
    data = "".join(lines).encode(encoding, "replace")
    return SourceFile(draw(st.sampled_from(NAMES)), data)


def found(file: SourceFile, search: NeedleSearch) -> list[tuple[str, int, int, str]]:
    outcome = engine.Outcome()
    engine.check_file(file, engine.Settings(CompiledPolicy()), DETECTORS, outcome, search)
    every: list[Finding] = [finding for finding, _ in outcome.found]
    every += outcome.suppressed + outcome.placeholders
    return sorted((one.rule, one.line, one.column, one.subject) for one in every)


MADE = [search([*DETECTORS, suppress]) for search in SEARCHES]


@settings(max_examples=60, deadline=None)
@given(files())
def test_no_search_keeps_a_finding_from_being_made(file: SourceFile) -> None:
    truth = found(file, NoSearch())
    for search in MADE:
        assert found(file, search) == truth


def test_no_search_keeps_a_finding_of_the_corpus_from_being_made() -> None:
    total = 0
    for path in sorted(ROOT.rglob("*")):
        if path.is_file() and path.suffix != ".expected":
            shown = Path(*path.relative_to(ROOT).parts[2:]).as_posix()
            file = SourceFile(shown, path.read_bytes())
            truth = found(file, NoSearch())
            total += len(truth)
            for search in MADE:
                assert found(file, search) == truth, shown
    assert total >= 200


SPACES = st.text(" \t\n\u00a0\u2003\x1c", max_size=4)
NAMED = st.tuples(
    st.sampled_from(["api_key", "\u212aey", "to\u212aen", "author\u0131zation", "bearer "]),
    st.sampled_from(["", '"', "'])", "`"]),
    SPACES,
    st.sampled_from(["", ":", "=", ":=", "=>", ",", "?="]),
    SPACES,
    st.sampled_from(["", '"', "bearer ", "`BEARER\t\t"]),
).map("".join)


@settings(max_examples=200, deadline=None)
@given(NAMED)
def test_the_form_of_a_named_key_holds_for_every_named_key(name: str) -> None:
    text = name + "aB3dE5gH7jK9mN1pQ4sT6vW8"
    if _NAMED.match(text):
        assert re.search(_NAMED_FORM, text.encode(), re.IGNORECASE), text


@pytest.mark.parametrize("size", [BLOCK, 16 * BLOCK, 32 * BLOCK])
def test_what_stands_across_the_end_of_a_block_is_found(tmp_path: Path, size: int) -> None:
    key = b"gsk_" + b"aB3dE5gH7jK9mN1pQ4sT6vW8" * 2 + b"aB3d"
    (tmp_path / "a.txt").write_bytes(b"a\n" * ((size - 10) // 2) + b'key = "' + key + b'"\n')
    result = engine.check(
        tree.locate([], str(tmp_path)).collect(), engine.Settings(CompiledPolicy())
    )
    assert [finding.rule for finding in result.findings] == ["RG111"]
