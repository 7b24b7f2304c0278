"""Reading one file of a tree: what is text, what is a note, and what waits for nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.sources import reading
from guard.sources.file import SourceFile
from guard.sources.records import Skipped


def read(path: Path) -> SourceFile | Skipped | None:
    return reading.read(reading.Entry(path.name, str(path)))


def skipped(path: Path, reason: str) -> Skipped:
    return Skipped(path.name, reason, str(path))


def test_a_file_that_became_a_fifo_does_not_hold_us_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    found = read(tmp_path / "fifo")
    assert found == skipped(tmp_path / "fifo", "a FIFO, not a file")


def test_a_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert read(tmp_path / "link") == skipped(tmp_path / "link", "a link")


def test_gone_is_none_and_a_directory_is_a_note(tmp_path: Path) -> None:
    assert read(tmp_path / "nosuch") is None
    (tmp_path / "directory").mkdir()
    assert read(tmp_path / "directory") == Skipped(
        "directory", "not a regular file", str(tmp_path / "directory")
    )


def test_binary_is_opaque_and_utf_16_is_text(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0key")
    assert read(tmp_path / "binary") == reading.Opaque("binary", b"\x7fELF\0\0key")
    (tmp_path / "wide").write_bytes("KEY=1\r\n".encode("utf-16"))
    found = read(tmp_path / "wide")
    assert isinstance(found, SourceFile)
    assert found.text == "KEY=1\r\n"


@pytest.mark.parametrize(
    "data",
    [
        *("key = 1\nk = 2\n".encode(encoding) for encoding in ("utf-16-le", "utf-16-be")),
        "key = 1\nk = 'caf\u00e9 \u4e2d'\n".encode("utf-16-le"),
        *(
            b"key = 1\n\0",
            b"\0key = 1\n",
            b"\0\0\0\0# k\xc3\xa9y\nkey = 1\n",
            b"\x1b[1mkey = 1\0\n",
        ),
    ],
)
@pytest.mark.parametrize("name", ["a.ps1", "a.cfg", "a"])
def test_a_nul_hides_no_text(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    found = read(tmp_path / name)
    assert isinstance(found, SourceFile)
    assert "key = 1" in found.text


def test_what_is_half_nul_or_has_controls_is_binary(tmp_path: Path) -> None:
    for data in (b"\0" * 100, b"ab\0\0\0", b"\x89PNG\r\n\x1a\n\0ab", b"a\x01\0\0bcdefgh"):
        (tmp_path / "x").write_bytes(data)
        assert read(tmp_path / "x") == reading.Opaque("x", data)


def test_a_huge_sparse_file_costs_nothing(tmp_path: Path) -> None:
    for name, head in (("text", b"x" * 20_000), ("zeros", b"")):
        with open(tmp_path / name, "wb") as file:
            file.write(head)
            file.truncate(1 << 30)
    large = skipped(tmp_path / "text", "larger than 8 MiB")
    assert read(tmp_path / "text") == large._replace(has_content=True, head=b"x" * 200)
    assert read(tmp_path / "zeros") is None


def test_a_long_line_is_left_out_and_a_long_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "line").write_bytes(b"short\n" + b"x" * (reading.LINE_LIMIT + 1) + b"\nshort\n")
    assert read(tmp_path / "line") == Skipped(
        "line",
        "a line is longer than 1024 KiB",
        str(tmp_path / "line"),
        has_content=True,
        head=b"short\n" + b"x" * 194,
    )
    (tmp_path / "file").write_bytes(b"x" * 1023 + b"\n" + b"line\n" * 1_000_000)
    assert isinstance(read(tmp_path / "file"), SourceFile)


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "at").write_bytes(b"1234567\n" * (reading.LIMIT // 8))
    assert isinstance(read(tmp_path / "at"), SourceFile)
    (tmp_path / "over").write_bytes(b"1234567\n" * (reading.LIMIT // 8) + b"x")
    assert isinstance(read(tmp_path / "over"), Skipped)


def test_what_changes_while_read_is_read_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 10_000)
    really = os.read
    changes = [b"b" * 9000, b"c" * 9500]

    def read_and_change(fd: int, size: int) -> bytes:
        data = really(fd, size)
        if changes and data:
            path.write_bytes(changes.pop(0))
        return data

    monkeypatch.setattr(os, "read", read_and_change)
    assert read(path) == skipped(tmp_path / "file", "it changes while it is read")
    changes[:] = [b"d" * 9000]
    found = read(path)
    assert isinstance(found, SourceFile)
    assert found.data == b"d" * 9000


def test_an_unreadable_file_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret").write_text("x")
    # root, who may run the tests, is never denied
    monkeypatch.setattr(os, "open", denied)
    assert read(tmp_path / "secret") == Skipped(
        "secret", "permission denied", str(tmp_path / "secret")
    )
