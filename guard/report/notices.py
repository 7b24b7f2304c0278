"""Desktop notifications about what was found."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping

from guard.errors import printable
from guard.masking import masked

NOTICE_SECONDS = 5.0
"""How long the program that shows a notification may take before it is ended."""

_MOST_NOTICES = 3


class Notices:
    """Desktop notifications, by a program that is never waited for.

    At most a few at once: a desktop that hangs does not pile them up. `wanted` None is where there
    is a desktop session.
    """

    def __init__(self, environ: Mapping[str, str], *, wanted: bool | None) -> None:
        self._environ = dict(environ)
        self._program = "" if wanted is False else _notifier(environ, sure=bool(wanted))
        self._shown: list[tuple[subprocess.Popen[bytes], float]] = []

    def show(self, messages: Iterable[str]) -> None:
        """One notification for all that was found in a look; none for no messages."""
        self._reap()
        messages = list(messages)
        if not messages or not self._program or len(self._shown) >= _MOST_NOTICES:
            return
        more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
        command = _notice(self._program, "routeguard", printable(masked(messages[0])) + more)
        try:
            process = subprocess.Popen(
                command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self._program = ""  # it has gone, or cannot be run: the lines go on
            return
        self._shown.append((process, time.monotonic()))

    def close(self) -> None:
        """End what is still being shown."""
        for process, _ in self._shown:
            process.kill()
            process.wait()
        self._shown = []

    def _reap(self) -> None:
        still = []
        for process, begun in self._shown:
            if process.poll() is not None:
                continue
            if time.monotonic() - begun > NOTICE_SECONDS:
                process.kill()
                process.wait()
                continue
            still.append((process, begun))
        self._shown = still


def _notifier(environ: Mapping[str, str], *, sure: bool) -> str:
    """The program that shows notifications, "" if there is none, or no desktop (unless `sure`)."""
    if sys.platform == "darwin":
        return shutil.which("osascript", path=environ.get("PATH")) or ""
    desktop = ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY")
    if not sure and not any(environ.get(name) for name in desktop):
        return ""
    return shutil.which("notify-send", path=environ.get("PATH")) or ""


def _notice(program: str, title: str, text: str) -> list[str]:
    """The command that shows `text`, which is data in it and never code or an option."""
    if os.path.basename(program) == "osascript":
        script = (
            "on run argv",
            "display notification (item 2 of argv) with title (item 1 of argv)",
            "end run",
        )
        words = [word for line in script for word in ("-e", line)]
        return [program, *words, "--", title, text]
    # the text may be read as markup (Desktop Notifications Specification)
    return [program, "--app-name=routeguard", "--", title, html.escape(text, quote=False)]
