"""Writing whole or not at all, and never over what must stay."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.files import write as module
from guard.files.write import write, write_new


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("how", [write, write_new])
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_content_and_mode_whatever_the_umask(
    tmp_path: Path, how: Callable[..., object], umask: int
) -> None:
    previous = os.umask(umask)
    try:
        how(str(tmp_path / "private"), b"a\0b")
        how(str(tmp_path / "program"), b"", 0o755)
        how(str(tmp_path / "plain"), b"x", None)
    finally:
        os.umask(previous)
    assert (tmp_path / "private").read_bytes() == b"a\0b"
    assert mode_of(tmp_path / "private") == 0o600
    assert mode_of(tmp_path / "program") == 0o755
    assert mode_of(tmp_path / "plain") == 0o666 & ~umask
    assert len(os.listdir(tmp_path)) == 3


def test_what_is_there_is_replaced_a_link_too(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("stays")
    (tmp_path / "x").symlink_to("other")
    write(str(tmp_path / "x"), b"new")
    assert not (tmp_path / "x").is_symlink()
    assert (tmp_path / "x").read_text() == "new"
    assert other.read_text() == "stays"


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "directory", "fifo"])
def test_a_new_file_replaces_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    (tmp_path / "other").write_text("stays")
    if kind == "file":
        path.write_text("stays")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("other" if kind == "link" else "nowhere")
    before = path.lstat()
    assert write_new(str(path), b"new") is False
    assert path.lstat().st_ino == before.st_ino
    assert (tmp_path / "other").read_text() == "stays"
    assert sorted(os.listdir(tmp_path)) == ["other", "x"]


def test_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(module.os, "link", refuse)
    assert write_new(str(tmp_path / "x"), b"one") is True
    assert write_new(str(tmp_path / "x"), b"two") is False
    assert (tmp_path / "x").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod", "replace"])
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (tmp_path / "x").write_text("old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, call, refuse)
    with pytest.raises(OSError, match="No space"):
        write(str(tmp_path / "x"), b"new", sync=True)
    assert (tmp_path / "x").read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_what_the_kernel_takes_in_pieces_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(module.os, "write", lambda fd, data: real(fd, data[:3]))
    write(str(tmp_path / "x"), b"0123456789")
    assert (tmp_path / "x").read_bytes() == b"0123456789"


def test_a_name_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    write(str(tmp_path / ("n" * 255)), b"x")
    assert os.listdir(tmp_path) == ["n" * 255]
