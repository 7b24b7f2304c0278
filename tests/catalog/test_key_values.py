"""A value is a key or only stands for one: words and rows on one side, random keys on the other."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.catalog.key_values import entropy, is_drawn, is_placeholder, is_random
from guard.catalog.secret_patterns import secret_patterns

LETTERS = string.ascii_letters + string.digits
MANY = settings(max_examples=400, deadline=None)


def drawn(alphabet: str, size: int, seed: int) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=size))


def test_randomness() -> None:
    assert entropy("") == 0.0
    assert entropy("aaaa") == 0.0
    assert entropy("abcd") == 2.0
    assert is_random(drawn(LETTERS, 48, 1), 4.0)
    assert not is_random("this-is-a-sentence-with-many-different-words", 3.0)


@pytest.mark.parametrize(
    "value",
    ["", "x", "sk-", "sk-...", "<key>", "[key]", "***", "your-key", "dummy", "ollama", "sk-123456",
     "sk-ant-api03-test", "your-key-here", "xxx", "AKIAIOSFODNN7EXAMPLE", "some-key", "sk-1234",
     "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe",
     "sk-1234567890abcdef1234567890abcdef", "sk-proj-test-test-test-test-test-test-test-test-test",
     "sk-ant-api03-" + "x" * 95, "sk-proj-abc123def456ghi789jkl012mno345pqr678stu901vwx234yz",
     "sk-1a2b3c4d5e6f7g8h9i0j1k2l3m4n5o6p7q8r9s0t", "OPENAI_API_KEY", "INSERT_KEY_HERE",
     "sk-abcdef1234567890abcdef1234567890abcdef12", "your_openai_api_key_here", "TEST_KEY_1",
     "sk-proj-this-is-not-a-real-key-only-for-unit-tests-of-the-client", "test123", "sk-fake",
     "deadbeef" * 4, "0123456789abcdef" * 2, "1" * 32, "abc-123", "sk-abc123", "aaaabbbbccccdddd",
     "sk-abcd1234efgh5678ijkl", "hf_abcdefghijklmnopqrstuvwxyzabcdefgh", "AIzaSy" + "X" * 33,
     "AIzaSyTestKey1234567890abcdefghijklmnop", "sk-test-a8f3", "put_token_here"],
)  # fmt: skip
def test_it_only_stands_for_a_key(value: str) -> None:
    assert is_placeholder(value)
    assert is_placeholder(f" {value}\n")
    assert not is_drawn(value)


@pytest.mark.parametrize(
    "value",
    ["q8w7e6r5t4", "k3j4h5g6f7", "hunter3x9k2", "house-pass-7719", "q7Rz9kLmexampleT2wYpV4bN8sHd3",
     "9f8e7a6b5c4d3e2f1a0btest9c8d7e6f", "sk-test-Vq3zN8rT5wK1xB7mLp2cYd6hJf4g",
     "sk-proj-example-Vq3zN8rT5wK1xB7mLp2cYd6hJf4gSa9tQe0u"],  # routeguard: ignore[RG111] random
)  # fmt: skip
def test_a_value_is_a_value(value: str) -> None:
    assert not is_placeholder(value)


FORMS = [
    *((one.prefix, one.body) for one in secret_patterns().prefixed),
    *(("", one.value) for one in secret_patterns().named),
    ("", "[A-Za-z0-9]{32}"),
    ("", "[0-9a-f]{32}"),
]
WORDS = st.sampled_from(
    ["test", "example", "fake", "your", "key", "secret", "dummy", "xxxx", "1234", "abcd", "TEST"]
)


@st.composite
def keys(draw: st.DrawFn) -> tuple[str, str]:
    """(prefix, body) of a key of any vendor, in its alphabet and length, drawn at random.

    Hypothesis prefers simple texts, which are no keys: it chooses the form and a seed.
    """
    prefix, form = draw(st.sampled_from(FORMS))
    rng = random.Random(draw(st.integers(0, 2**40)))
    return prefix, _of_form(form, rng)


def _of_form(form: str, rng: random.Random) -> str:
    """A random text that matches the regex `form`."""
    import re
    from re import _constants as op  # type: ignore[attr-defined]
    from re import _parser as parser

    def one(tree: object) -> str:
        out = []
        for kind, what in tree:  # type: ignore[attr-defined]
            if kind is op.LITERAL:
                out.append(chr(what))
            elif kind is op.IN:
                chars = []
                for part, value in what:
                    if part is op.RANGE:
                        chars += [chr(code) for code in range(value[0], value[1] + 1)]
                    elif part is op.CATEGORY:
                        chars += list(string.digits)
                    else:
                        chars.append(chr(value))
                out.append(rng.choice(chars))
            elif kind in (op.MAX_REPEAT, op.POSSESSIVE_REPEAT):
                least, most, inner = what
                out += [one(inner) for _ in range(rng.randint(least, min(most, 300)))]
            elif kind is op.SUBPATTERN:
                out.append(one(what[3]))
            elif kind is op.BRANCH:
                out.append(one(rng.choice(what[1])))
            elif kind is not op.ASSERT_NOT:
                raise NotImplementedError(kind)
        return "".join(out)

    made = one(parser.parse(form))
    assert re.fullmatch(form, made), (form, made)
    return made


@MANY
@given(keys())
def test_a_random_key_of_any_vendor_is_no_placeholder(key: tuple[str, str]) -> None:
    assert not is_placeholder("".join(key))
    assert is_drawn("".join(key))


@MANY
@given(keys(), WORDS, st.integers(0, 2000))
def test_nor_is_one_that_holds_a_word(key: tuple[str, str], word: str, at: int) -> None:
    prefix, body = key
    at %= len(body)
    # over what was there, so that the length stays the vendor's
    changed = prefix + (body[:at] + word + body[at + len(word) :])[: max(len(body), len(word))]
    assert not is_placeholder(changed)


@MANY
@given(st.text(max_size=300))
def test_any_text_has_an_answer(text: str) -> None:
    assert is_placeholder(text) in (True, False)


def test_a_long_value_takes_no_long_time() -> None:
    for text in ("ab" * 1100, "a-" * 1100, "x" * 2200, "abc" * 733, "key-" * 550, "12" * 50_000):
        is_placeholder(text)
