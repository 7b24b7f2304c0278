"""The digest of a folder: of all that is below it, and within bounds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.files import digest as module
from guard.files.digest import digest_folder
from guard.files.read import NotRegularError, TooLargeError


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a" / "f").write_text("y"),
        lambda folder: (folder / "a" / "f").rename(folder / "a" / "g"),
        lambda folder: (folder / "a" / "f").rename(folder / "f"),
        lambda folder: (folder / ".hidden").write_text(""),
        lambda folder: (folder / "empty").rmdir(),
        lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("empty")),
        lambda folder: ((folder / "link").unlink(), (folder / "link").write_text("a")),
    ],
)
def test_the_digest_of_a_folder_tells_every_change_below_it(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "a").mkdir(parents=True)
        (folder / "empty").mkdir()
        (folder / "a" / "f").write_text("x")
        (folder / "link").symlink_to("a")
    before = digest_folder(str(tmp_path / "one"))
    assert digest_folder(str(tmp_path / "two")) == before
    change(tmp_path / "two")
    assert digest_folder(str(tmp_path / "two")) != before


def test_a_folder_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").write_bytes(b"456")
    monkeypatch.setattr(module, "MAX_FOLDER_BYTES", 5)
    with pytest.raises(TooLargeError):
        digest_folder(str(tmp_path))
    monkeypatch.setattr(module, "MAX_FOLDER_BYTES", 6)
    digest_folder(str(tmp_path))
    monkeypatch.setattr(module, "MAX_FOLDER_FILES", 1)
    with pytest.raises(TooLargeError, match="more than 1 files"):
        digest_folder(str(tmp_path))
    os.mkfifo(tmp_path / "c")
    monkeypatch.setattr(module, "MAX_FOLDER_FILES", 9)
    with pytest.raises(NotRegularError):
        digest_folder(str(tmp_path))
