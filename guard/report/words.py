"""Words for times, paths and counts, the same in every command."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


def span(seconds: float) -> str:
    """A length of time in its largest unit: `40 s`, `12 min`, `3 h`, `5 d`."""
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def ago(moment: float, now: float | None = None) -> str:
    """How long ago `moment` (Unix seconds) was: `3 h ago`, `just now` below a minute."""
    seconds = (time.time() if now is None else now) - moment
    return "just now" if seconds < 60 else f"{span(seconds)} ago"


def left(moment: float, now: float | None = None) -> str:
    """The time until `moment` in its two largest units, rounded up to the minute: `1d 2h`."""
    minutes = -int(((time.time() if now is None else now) - moment) // 60)
    parts = (("d", minutes // 1440), ("h", minutes // 60 % 24), ("m", minutes % 60))
    said = [f"{number}{unit}" for unit, number in parts if number]
    return " ".join(said[:2])


def local(moment: float) -> str:
    """`moment` (Unix seconds) in this machine's time zone, to the minute: `2026-12-31 18:00`."""
    return _here(moment).strftime("%Y-%m-%d %H:%M")


def clock(moment: float) -> str:
    """`moment` in this machine's time zone, to the second."""
    return _here(moment).strftime("%Y-%m-%d %H:%M:%S")


def utc(moment: float) -> str:
    """`moment` (Unix seconds) in ISO 8601, in UTC, as JSON carries it."""
    return _at(moment).isoformat(timespec="seconds")


def _at(moment: float) -> datetime:
    """`moment` in UTC; later than the last representable day becomes that day."""
    from datetime import UTC, datetime  # few texts have a time in them

    try:
        return datetime.fromtimestamp(int(moment), UTC)
    except (ValueError, OverflowError, OSError):
        # the end of the year 9999 here can be in the year 10000 in UTC
        return datetime.max.replace(microsecond=0, tzinfo=UTC)


def _here(moment: float) -> datetime:
    found = _at(moment)
    try:
        return found.astimezone()
    except (ValueError, OverflowError):
        return found


def short(path: str, home: str = "") -> str:
    """`path` with `~` for the home directory (`home`, or the one of HOME)."""
    home = (home or os.path.expanduser("~")).rstrip("/")
    if home and (path == home or path.startswith(home + "/")):
        return "~" + path[len(home) :]
    return path


def short_all(text: str, home: str) -> str:
    """`text` with `~` for the home directory `home` wherever a path below it begins."""
    home = home.rstrip("/")
    return text.replace(f"{home}/", "~/") if home else text
