"""Text of somebody else's file, or why there is none; how it is read: tests/files/test_read.py."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from guard.sources import bounded_text
from guard.sources.records import Skipped


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("text", "ä\n"),
        ("bytes", "\ufffd\0a"),
        ("link", "ä\n"),
        ("none", None),
        ("dangling", None),
        ("text/below", None),
        ("no\0name", None),
    ],
)
def test_text_and_its_absence(tmp_path: Path, name: str, text: str | None) -> None:
    (tmp_path / "text").write_text("ä\n", "utf-8")
    (tmp_path / "bytes").write_bytes(b"\xff\0a")
    (tmp_path / "link").symlink_to("text")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert bounded_text.read(f"{tmp_path}/{name}", 1024) == text


def test_why_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reason(name: str) -> str:
        found = bounded_text.read(f"{tmp_path}/{name}", 2047)
        assert isinstance(found, Skipped)
        return found.reason

    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"x" * 2048)
    assert reason("fifo") == reason("") == "not a regular file"
    assert reason("large") == "larger than 1 KiB"

    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    # root, who may run the tests, is never denied
    monkeypatch.setattr(os, "open", denied)
    assert reason("large") == "Permission denied"
