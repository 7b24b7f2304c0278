"""Config files: what is read, what is refused, and that nothing can make the reader wait."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from guard.agents.opencode.jsonc import MAX_BYTES, UnreadableError, parse, plain, read, read_bytes


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
        ("[]", "not a JSON object"),
        ('"x"', "not a JSON object"),
        ("null", "not a JSON object"),
        ("{", "not valid JSON at line 1"),
        ("{\n\nx}", "not valid JSON at line 3"),
        ("/* one\n two */ {\n x}", "not valid JSON at line 3"),
        ('{"a":1}x', "not valid JSON"),
        ("{'a':1}", "not valid JSON"),
        ('{"a":1 "b":2}', "not valid JSON"),
        ('{"a":1,,}', "not valid JSON"),
        ('{"a":"\n"}', "not valid JSON"),
        ("{/*", "comment without an end"),
        ('{"a":1,"a":2}', "names a key twice"),
        ('{"a":1,"\\u0061":2}', "names a key twice"),
        ('{"x":{"a":1,"a":1}}', "names a key twice"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested too deeply"),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"a":' + "9" * 5000 + "}", "too long"),
    ],
)
def test_parse_refuses(text: str, why: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse(text)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 80, "the content is in the message"


def test_comments_and_commas_never_change_what_is_read() -> None:
    rng = random.Random(3)
    noise = ("", " ", "\n", '/* , ] } " */', '// { " ,\n', "\t")
    strings = ("a", "//", "/*", ",}", '"', "\\", '\\"', "é", "\n", "{env:X}")

    def value(depth: int) -> object:
        kind = rng.randint(0, 4 if depth else 2)
        if kind == 3:
            return [value(depth - 1) for _ in range(rng.randint(0, 3))]
        if kind == 4:
            return {f"{i}{rng.choice(strings)}": value(depth - 1) for i in range(rng.randint(0, 3))}
        return rng.choice(strings) if kind else rng.randint(-9, 9)

    def written(item: object) -> str:
        gap = rng.choice(noise)
        if isinstance(item, dict):
            inner = ",".join(f"{gap}{json.dumps(k)}{gap}:{written(v)}" for k, v in item.items())
            comma = "," if item and rng.random() < 0.5 else ""
            return f"{gap}{{{inner}{gap}{comma}{rng.choice(noise)}}}{gap}"
        if isinstance(item, list):
            inner = ",".join(written(v) for v in item)
            comma = "," if item and rng.random() < 0.5 else ""
            return f"{gap}[{inner}{gap}{comma}{rng.choice(noise)}]{gap}"
        return gap + json.dumps(item) + gap

    for _ in range(1500):
        item = {"top": value(4)}
        text = written(item)
        assert parse(text) == item, text
        assert plain(text).count("\n") == text.count("\n"), "lines moved"


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

    def test_size(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        path.write_bytes(b" " * MAX_BYTES)
        assert read_bytes(str(path)) == b" " * MAX_BYTES
        path.write_bytes(b" " * (2 * MAX_BYTES))
        with pytest.raises(UnreadableError, match="larger than 1048576 bytes"):
            read(str(path))

    def test_size_that_is_not_told(self) -> None:
        # a file of size 0 that never ends
        with pytest.raises(UnreadableError):
            read_bytes("/dev/zero")

    def test_a_pipe_does_not_make_us_wait(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "x.json")
        with pytest.raises(UnreadableError, match="regular file"):
            read(str(tmp_path / "x.json"))

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableError):
            read(str(tmp_path))

    def test_a_loop_of_links(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").symlink_to("x.json")
        with pytest.raises(UnreadableError):
            read(str(tmp_path / "x.json"))

    def test_a_dangling_link_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").symlink_to("nowhere")
        assert read(str(tmp_path / "x.json")) is None

    def test_a_name_that_is_no_path(self) -> None:
        with pytest.raises(UnreadableError, match="not a path"):
            read("/tmp/\0")
