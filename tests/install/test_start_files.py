"""What is said of a start file that cannot be changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.install import blocks, start_files, teardown
from guard.install.refusals import NotPossibleError


@pytest.mark.parametrize("kind", ["fifo", "loop", "large"])
def test_only_an_option_that_the_command_has_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ".bashrc"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    else:
        with path.open("wb") as file:
            file.truncate(65 << 20)
    with pytest.raises(NotPossibleError) as of_setup:
        start_files.check(str(path))
    assert of_setup.value.fix.endswith(", or leave it alone with --no-rc")
    with pytest.raises(NotPossibleError) as of_teardown:
        start_files.check(str(path), instead="")
    assert "--no-rc" not in of_teardown.value.fix
    assert of_setup.value.fix.startswith(f"{of_teardown.value.fix}, ")


def test_teardown_does_not_name_an_option_of_setup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".bashrc"
    path.write_bytes(
        blocks.with_block(b"", lambda note: b"%s\n:\n%s\n" % (blocks.BEGIN, blocks.END))
    )
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with pytest.raises(NotPossibleError) as caught:
        teardown.run(environ, lambda word, about: None, purge=False, dry_run=False)
    assert (caught.value.where, caught.value.fix) == (str(path), "make it writable")
