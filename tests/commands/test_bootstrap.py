"""What install.sh runs from the clone, without a build."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from guard.commands import bootstrap


def test_a_hangup_that_is_ignored_stays_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nohup ./install.sh` goes on after the terminal is closed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    seen = []
    monkeypatch.setattr(
        bootstrap, "_uninstall", lambda *_, **__: seen.append(signal.getsignal(signal.SIGHUP))
    )
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        bootstrap.main(["--uninstall"])
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        bootstrap.main(["--uninstall"])
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
    ignored, otherwise = seen
    assert ignored is signal.SIG_IGN
    assert callable(otherwise)
