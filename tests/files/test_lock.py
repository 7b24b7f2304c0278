"""The lock between processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.files.lock import lock


@pytest.mark.parametrize("directory", [False, True])
def test_one_at_a_time(tmp_path: Path, directory: bool) -> None:
    path = str(tmp_path) if directory else str(tmp_path / "lock")
    with lock(path, 0, directory=directory), pytest.raises(TimeoutError):
        lock(path, 0, directory=directory)
    with lock(path, 0, directory=directory):
        pass
    assert os.listdir(tmp_path) == ([] if directory else ["lock"])


def test_what_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    for path in (tmp_path / "link", tmp_path):
        with pytest.raises(OSError, match=r"symbolic link|directory"):
            lock(str(path), 0)
    assert not (tmp_path / "file").exists()
