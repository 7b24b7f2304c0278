"""Config files: what is read, what is refused, and that nothing can make the reader wait."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.files.jsonc import (
    MAX_BYTES,
    MAX_PARTS,
    UnreadableError,
    parse,
    plain,
    read,
    read_bytes,
)
from guard.sources.positions import json_nodes
from guard.sources.positions.nodes import LIST, MAP, Node


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ('{"a":1}', {"a": 1}),
        ('{"a":1,}', {"a": 1}),
        ('{"a":[1,2,],}', {"a": [1, 2]}),
        ('{"a":1 , \n }', {"a": 1}),
        ('{"a":1,/* b */}', {"a": 1}),
        ('{"a":1, // b\n}', {"a": 1}),
        ('// x\n{"a": /* y */ 1}\n// z', {"a": 1}),
        ('{"a":"// no comment"}', {"a": "// no comment"}),
        ('{"a":"/* no */ comment"}', {"a": "/* no */ comment"}),
        ('{"a":"b,}"}', {"a": "b,}"}),
        ('{"a":"\\"//","b":2}', {"a": '"//', "b": 2}),
        ('{"a":"\\\\"/*x*/}', {"a": "\\"}),
        ('{"u":"http://x/y",}', {"u": "http://x/y"}),
        ('{"a":1}//', {"a": 1}),
        ('{"a"/**/:/**/1}', {"a": 1}),
        ('{"\\u0061":1}', {"a": 1}),
    ],
)
def test_parse(text: str, value: dict[str, object]) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not valid JSON at line 1"),
        ("{", "not valid JSON at line 1"),
        ("{\n\nx}", "not valid JSON at line 3"),
        ("/* one\n two */ {\n x}", "not valid JSON at line 3"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested too deeply"),
        ('{"a":' + "[" * 15_000 + "]" * 15_000 + "}", "nested too deeply"),
        ('{"a":' + "9" * 5000 + "}", "too long"),
    ],
)
def test_parse_refuses(text: str, why: str) -> None:
    """More of them, with what `check` says: tests/surfaces/test_configs.py."""
    with pytest.raises(UnreadableError) as caught:
        parse(text)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 80, "the content is in the message"


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' + '"' + '\\"' * 400_000,
        '"' * 500_001,
        "/*" * 500_000,
        "//" * 500_000,
        "{}" + "/**/" * 250_000 + "/*",
        "{}x" + "/" * 1_000_000,
        '{"a":[1' + ", /* */" * 19_990 + "]}",
        " " * 1_000_000 + ",",
        '{"a":1' + "/* , */" * 140_000 + ",",
        '{"a":1,' + "/* ] */" * 140_000,
        ":" * 1_000_000,
        "\\" * 1_000_000,
    ],
)
def test_no_text_takes_time_without_end(text: str) -> None:
    # a reader that begins anew at each of these would need hours
    with pytest.raises(UnreadableError):
        parse(text)


@pytest.mark.parametrize("text", ["{},", "[],", '"a":1,'])
def test_how_many_values(text: str) -> None:
    inner = text * (MAX_PARTS * 2)
    with pytest.raises(UnreadableError, match="holds more than 20000 values"):
        parse("{" + inner + "}")


NOISE = st.sampled_from(["", "", " ", "\n", '/* , ] } " */', '// { " ,\n', "\t", "\r\n"])
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(["//", "/*", ",}", '"', "\\", '\\"', "\U0001f600", "{env:X}"]),
    lambda below: st.lists(below, max_size=3)
    | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), below, max_size=3),
    max_leaves=20,
)  # fmt: skip


@st.composite
def written(draw: st.DrawFn) -> tuple[object, str]:
    """An object, and a text of it with comments, trailing commas and escapes."""

    def text_of(item: object) -> str:
        gap = draw(NOISE)
        comma = "," if item and draw(st.booleans()) else ""
        if isinstance(item, dict):
            inner = ",".join(f"{gap}{text_of(k)}{gap}:{text_of(v)}" for k, v in item.items())
            return f"{gap}{{{inner}{gap}{comma}{draw(NOISE)}}}{gap}"
        if isinstance(item, list):
            inner = ",".join(text_of(v) for v in item)
            return f"{gap}[{inner}{gap}{comma}{draw(NOISE)}]{gap}"
        return gap + json.dumps(item, ensure_ascii=draw(st.booleans())) + gap

    value = {"top": draw(TREES)}
    return value, text_of(value)


@given(written())
def test_comments_and_commas_never_change_what_is_read(case: tuple[object, str]) -> None:
    value, text = case
    assert parse(text) == value
    bare = plain(text)
    assert json.loads(bare) == value
    assert len(bare) == len(text)
    moved = [i for i, (a, b) in enumerate(zip(text, bare, strict=True)) if a != b and b != " "]
    assert moved == []
    assert [c for c in bare if c in "\r\n"] == [c for c in text if c in "\r\n"]


@given(written())
def test_the_nodes_are_the_values(case: tuple[object, str]) -> None:
    value, text = case

    def value_of(node: Node) -> object:
        if node.kind == MAP:
            return {key.value: value_of(child) for key, child in node.pairs}
        if node.kind == LIST:
            return [value_of(child) for child in node.items]
        assert len(node.text.places) == len(node.value) + 1
        if not node.quoted:
            assert text[node.start : node.end] == node.value
            return json.loads(node.value)
        assert json.loads(text[node.start : node.end]) == node.value
        return node.value

    assert value_of(json_nodes.document(text)) == value


class TestRead:
    def test_nothing_there(self, tmp_path: Path) -> None:
        assert read(str(tmp_path / "x.json")) is None
        (tmp_path / "file").write_text("")
        assert read(str(tmp_path / "file" / "x.json")) is None

    @pytest.mark.parametrize("text", ["", " \n\t ", "\ufeff"])
    def test_blank(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "x.json").write_text(text)
        assert read(str(tmp_path / "x.json")) is None

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a":1}')
        assert read(str(tmp_path / "x.json")) == {"a": 1}

    @pytest.mark.parametrize("raw", [b'{"a":"\xff"}', '{"a":1}'.encode("utf-16")])
    def test_not_utf8(self, tmp_path: Path, raw: bytes) -> None:
        (tmp_path / "x.json").write_bytes(raw)
        with pytest.raises(UnreadableError, match="UTF-8"):
            read(str(tmp_path / "x.json"))

    def test_what_cannot_be_read(self, tmp_path: Path) -> None:
        """How it is read: tests/files/test_read.py."""
        path = tmp_path / "x.json"
        path.write_bytes(b" " * MAX_BYTES)
        assert read_bytes(str(path)) == b" " * MAX_BYTES
        path.write_bytes(b" " * (2 * MAX_BYTES))
        with pytest.raises(UnreadableError, match="larger than 1048576 bytes"):
            read(str(path))
        with pytest.raises(UnreadableError, match="regular file"):
            read(str(tmp_path))
        with pytest.raises(UnreadableError, match="not a path"):
            read("/tmp/\0")
