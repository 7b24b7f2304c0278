"""Plain TOML: what is read at once is what tomllib reads, and what it refuses is never read."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.files.quick_toml import plain

PLAIN = """\
# as an agent writes it
model = "gpt-5"
model_reasoning_effort = 'high'  # a comment
limit = -40
on = true

[projects."/home/ada/a b"]
trust_level = "trusted"

[mcp_servers.docs]
command = "npx"
args = ["-y", "docs@1", ["é", 0,],]
env = { KEY = "v", "other key" = { deep = [] } }

[mcp_servers]
enabled = false
"""

NOT_PLAIN = [
    'a = "\\u0041"', 'a = """x"""', "a = '''x'''", "a = [\n1,\n]", "a = 1.5", "a = 1979-05-27",
    "a = 07:32:00", "a.b = 1", "[[a]]", "[ a ]", "a = 1_000", "a = 0x1f", "a = +1", "a = -0",
    "a = inf", "a = { b.c = 1 }", "\ufeffa = 1", "a = 1\r\n",
    f"a = {'9' * 19}", f"a = {'[' * 9}{']' * 9}", f"[{'.'.join('abcdefghi')}]",
]  # fmt: skip
WRONG = [
    "a = 1\na = 2", "[a]\n[a]", "a = 1\n[a]", "[a.b]\n[a]\nb = 1", "[a]\nb = {}\n[a.b]", "a = 01",
    "a = {b = 1,}", "a = {b = 1, b = 2}", "a =", "= 1", "a", "[a", "[a]]", "[]", "[a.]", 'a = "b',
    "a = 1 2", "a = [1 2]", "a = [,]", 'a = "\0"', "a = tru", "a = ²", "a = -", "é = 1", 'a = "" "',
]  # fmt: skip
PIECES = st.sampled_from(
    ["a", "b", '"a"', "'b c'", "=", " ", ".", "[", "]", "{", "}", ",", "\n", "#", '"', "'", "\\",
     "1", "0", "-", "true", "false", "\t", "\r", "é", "\0", "1.5", "[a]\n", "[a.b]\n", "b = 1\n",
     "a = {}\n", "\u2028", "٣"]
)  # fmt: skip


def test_what_an_agent_writes_is_plain() -> None:
    assert plain(PLAIN) == tomllib.loads(PLAIN)
    assert plain("") == {}


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_the_rest_is_left_to_tomllib(text: str) -> None:
    assert plain(text) is None


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_never_read(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)
    assert plain(text) is None


@example(["[a]\n", "b = 1\n", "[a.b]\n"])
@given(st.lists(PIECES, max_size=24))
def test_it_agrees_with_tomllib(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = plain(text)
    if found is None:
        return
    assert found == tomllib.loads(text)
    assert repr(found) == repr(tomllib.loads(text)), "1 is no true"


LINES = st.lists(
    st.sampled_from([*PLAIN.splitlines(), *NOT_PLAIN, *WRONG, "[mcp_servers.docs.env]", "[a.b.c]"]),
    max_size=12,
)


@given(LINES)
def test_whole_lines_agree_too(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = plain(text)
    assert found is None or repr(found) == repr(tomllib.loads(text))
