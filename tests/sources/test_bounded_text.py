"""Reading never waits and never runs away, whatever lies at the path."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from guard.sources import bounded_text
from guard.sources.records import Skipped


def reason(path: Path | str, limit: int = bounded_text.LIMIT) -> str:
    found = bounded_text.read(str(path), limit)
    assert isinstance(found, Skipped)
    return found.reason


def test_text_and_its_absence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("ä\n", "utf-8")
    assert bounded_text.read(str(file)) == "ä\n"
    assert bounded_text.read(str(tmp_path / "none")) is None
    assert bounded_text.read(str(file / "below")) is None
    assert bounded_text.read("no\0name") is None


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    assert bounded_text.read(str(tmp_path / "link")) == "x"
    assert bounded_text.read(str(tmp_path / "dangling")) is None
    assert reason(tmp_path / "loop")


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    for name in ("fifo", "directory", "socket"):
        assert reason(tmp_path / name) == "not a regular file"
    assert reason("/dev/zero") == "not a regular file"


def test_size_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2048)
    assert bounded_text.read(str(file), 2048) == "x" * 2048
    assert reason(file, 2047) == "larger than 1 KiB"


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\xff\0a")
    assert bounded_text.read(str(file)) == "\ufffd\0a"


def test_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    file = tmp_path / "file"
    file.touch()
    # root, who may run the tests, is never denied
    monkeypatch.setattr(os, "open", denied)
    assert reason(file) == "Permission denied"
