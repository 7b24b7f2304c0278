"""The key of digests: one per user, private, and no reason to fail."""

from __future__ import annotations

from pathlib import Path

from guard.sources import digest_key


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    first = digest_key.load(environ)
    assert len(first) == 32
    assert digest_key.load(environ) == first
    (path,) = tmp_path.glob(".local/state/routeguard/*")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    first = digest_key.load(environ)
    path = tmp_path / ".local/state/routeguard/digest-key"
    path.chmod(0o644)
    assert digest_key.load(environ) != first
    path.chmod(0o600)
    path.write_bytes(b"short")
    assert len(digest_key.load(environ)) == 32


def test_where_nothing_can_be_kept_it_is_fresh(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in the way")
    environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    assert digest_key.load(environ) != digest_key.load(environ)
