"""Reading what somebody else may have put there: never waits, never acts, never without end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from guard.files import read as module
from guard.files.read import (
    NotRegularError,
    TooLargeError,
    UnreadableError,
    read_bytes,
    read_own,
)


def test_the_content(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a\0b")
    (tmp_path / "empty").write_bytes(b"")
    assert read_bytes(str(tmp_path / "f")) == b"a\0b"
    assert read_bytes(str(tmp_path / "empty")) == b""


@pytest.mark.parametrize("name", ["missing", "f/below", "dangling"])
def test_what_is_not_there_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert read_bytes(f"{tmp_path}/{name}") is None


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "device", "link to a fifo"])
def test_what_is_no_regular_file_is_refused_and_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "x"
    server = socket.socket(socket.AF_UNIX)
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        server.bind(str(path))
    elif kind == "device":
        path = Path("/dev/null")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")

    def opened(*_: object) -> int:
        raise AssertionError("opening it can have effects, or wait")

    monkeypatch.setattr(module.os, "open", opened)
    with server, pytest.raises(NotRegularError, match="is not a regular file"):
        read_bytes(str(path))


def test_a_file_that_becomes_a_fifo_between_the_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    before = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(module.os, "stat", lambda *_, **__: before)
    with pytest.raises(NotRegularError):
        read_bytes(str(path))


def test_it_is_opened_so_that_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_text("x")
    flags = []
    real = os.open

    def opened(path: str, how: int) -> int:
        flags.append(how)
        return real(path, how)

    monkeypatch.setattr(module.os, "open", opened)
    read_bytes(str(tmp_path / "x"))
    read_bytes(str(tmp_path / "x"), links=False)
    always = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    assert [how & always for how in flags] == [always, always]
    assert [bool(how & os.O_NOFOLLOW) for how in flags] == [False, True]


def test_links(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "link").symlink_to("f")
    (tmp_path / "loop").symlink_to("loop")
    assert read_bytes(str(tmp_path / "link")) == b"x"
    with pytest.raises(NotRegularError, match="is a link"):
        read_bytes(str(tmp_path / "link"), links=False)
    for name in ("loop", "with\0nul"):
        with pytest.raises(UnreadableError):
            read_bytes(f"{tmp_path}/{name}")


def test_the_limit_is_in_bytes_and_holds_whatever_the_size_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(TooLargeError, match="is larger than 4 bytes"):
        read_bytes(path, 4)
    assert read_bytes(path, 4, cut=True) == b"1234"
    # a file of /proc says that it is empty, a growing one that it is small
    if os.path.exists("/proc/self/environ"):
        with pytest.raises(TooLargeError):
            read_bytes("/proc/self/maps", 10)


def test_a_judge_sees_the_open_file_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_text("secret")

    def judge(found: os.stat_result) -> None:
        assert found.st_ino == path.stat().st_ino
        raise LookupError

    monkeypatch.setattr(module.os, "read", lambda *_: pytest.fail("it was read"))
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(LookupError):
        read_bytes(str(path), judge=judge)
    assert len(os.listdir("/proc/self/fd")) == len(before), "a descriptor is left open"


class TestOwn:
    @pytest.mark.parametrize("mode", [0o600, 0o400])
    def test_ours_alone(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "x"
        path.write_text("x")
        path.chmod(mode)
        assert read_own(str(path)) == b"x"

    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o640, 0o604, 0o700])
    def test_others_could_have_written_or_seen_it(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "x"
        path.write_text("x")
        path.chmod(mode)
        assert read_own(str(path)) is None

    def test_another_owner(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "x"
        path.write_text("x")
        path.chmod(0o600)
        monkeypatch.setattr(module.os, "geteuid", lambda: path.stat().st_uid + 1)
        assert read_own(str(path)) is None

    def test_a_link_a_large_one_and_none(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        path.write_text("xx")
        path.chmod(0o600)
        (tmp_path / "link").symlink_to("x")
        assert read_own(str(tmp_path / "link")) is None
        assert read_own(str(path), 1) is None
        assert read_own(str(tmp_path / "missing")) is None
