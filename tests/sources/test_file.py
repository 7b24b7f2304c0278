"""Positions and decoding of a file that was read."""

from __future__ import annotations

import pytest

from guard.sources.file import SourceFile, decode


def file(data: bytes) -> SourceFile:
    return SourceFile("a/b.txt", data)


def test_positions_count_from_one_and_in_characters() -> None:
    found = file("ä=1\nöü=x\n".encode())
    assert found.position(0) == (1, 1)
    assert found.position(found.text.index("x")) == (2, 4)
    assert found.position(10_000) == (3, 1)
    assert found.name == "b.txt"


@pytest.mark.parametrize("data", [b"", b"\n", b"a", b"a\n", b"a\r\nb", b"\r\n\r\n", b"a\n\nb\n"])
def test_offset_is_the_inverse_of_position(data: bytes) -> None:
    found = file(data)
    for offset in range(len(found.text) + 1):
        assert found.offset(*found.position(offset)) == offset


def test_lines_come_without_their_ends() -> None:
    found = file(b"one\r\ntwo\n\nlast")
    assert [found.line(number) for number in range(6)] == ["", "one", "two", "", "last", ""]
    assert found.text == "one\r\ntwo\n\nlast"


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-32"], ids=["utf-8", "utf-16", "utf-32"]
)
def test_a_byte_order_mark_decides_and_goes(encoding: str) -> None:
    assert decode("KEY=ä\n".encode(encoding)) == "KEY=ä\n"


def test_both_byte_orders_of_utf_16() -> None:
    assert decode(b"\xff\xfeK\0=\0") == decode(b"\xfe\xff\0K\0=") == "K="


def test_invalid_bytes_keep_their_place() -> None:
    found = file(b"a\xffb=\xc3\nKEY=1")
    assert found.position(found.text.index("KEY")) == (2, 1)
    assert found.text.encode("utf-8", "surrogateescape") == found.data


def test_an_odd_byte_at_the_end_of_utf_16_raises_nothing() -> None:
    assert decode(b"\xff\xfeK\0=").startswith("K")
