"""JSON without `json`: the same values, the same texts, the same errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.files import quick_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(VALUES, st.sampled_from([(", ", ": "), (",", ":")]))
def test_a_value_is_written_as_json_writes_it(value: object, marks: tuple[str, str]) -> None:
    assert quick_json.dumps(value, *marks) == json.dumps(value, separators=marks)


@pytest.mark.parametrize("value", [{1: 2}, {None: 1}, {1, 2}, b"x", object(), [{"a": b""}]])
def test_what_is_no_json_is_not_written(value: object) -> None:
    with pytest.raises(TypeError):
        quick_json.dumps(value)


def outcome(read: object, text: str) -> object:
    try:
        return read(text)  # type: ignore[operator]
    except (ValueError, RecursionError) as error:
        return type(error), str(error)


@given(
    VALUES.map(json.dumps)
    | st.text(alphabet='{}[]",:\\ \n\t\u00a0\ufeff0123.eE-+truefalsnNaI/*', max_size=12)
    | st.text(max_size=6)
)
@example("")
@example(" \t\r\n")
@example("\ufeff{}")
@example('{"a": 1} x')
@example('{"a": 1,}')
@example('{"a" 1}')
@example('["\x01"]')
@example('["\\ud800"]')
@example('{"a": 1, "a": 2}')
@example("9" * 5000)
@example("[" * 100_000)
@example("\x0b[]")
def test_a_text_is_read_as_json_reads_it(text: str) -> None:
    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    expected = outcome(lambda text: json.loads(text, parse_constant=no_constant), text)
    assert repr(outcome(quick_json.loads, text)) == repr(expected)


def test_the_caller_makes_the_objects_and_says_what_is_wrong_with_them() -> None:
    class WrongError(Exception):
        pass

    def refuse(of: object) -> None:
        raise WrongError(of)

    assert quick_json.loads('{"b": 1, "b": [{}]}', tuple) == (("b", 1), ("b", [()]))
    for text in ('{"a": 1}', '[{"a": 1}'):
        with pytest.raises(WrongError):
            quick_json.loads(text, refuse)
    with pytest.raises(WrongError, match="NaN"):
        quick_json.loads("[NaN]", constant=refuse)


def test_plain_json_takes_no_other_module() -> None:
    """Malformed JSON is told by `json` in the same process, which the C half alone could not."""
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from guard.files import quick_json\n"
        """text = '{"a": [1, 2.5, "x", null]}'\n"""
        "assert quick_json.dumps(quick_json.loads(text)) == text\n"
        "print(*sorted({'json', 're', 'enum'} & set(sys.modules)))\n"
        "for text in ('', '[1,]', '{\"a\" 1}', '[1'):\n"
        "    try:\n"
        "        quick_json.loads(text)\n"
        "    except ValueError as error:\n"
        "        print(type(error).__name__)\n"
    )
    words = [sys.executable, "-I", "-S", "-c", code, str(Path(quick_json.__file__).parents[2])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["", *["JSONDecodeError"] * 4, ""]
