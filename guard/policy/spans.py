"""Times as people write them: `--for 2h`, `--until DATE` and `until =` of an exception,
`--since 7d`."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Final

from guard.catalog.key_shapes import looks_like_key
from guard.errors import UsageError

MAX_DAYS: Final = 90
"""Days an exception made on the command line may hold; for longer there is the policy."""

_UNITS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION: Final = re.compile(r"(?:[0-9]{1,6}[mhdw])+")


def soon() -> date:
    """A day for examples: to come, and near enough for an exception of the command line."""
    return date.today() + timedelta(days=30)


def end_of(until: date | datetime) -> float:
    """The last moment of `until` in Unix seconds: of the day for a date.

    A date, or a time without an offset, is meant in this machine's own time zone. Raises
    ValueError or OverflowError for a moment the machine cannot represent.
    """
    if isinstance(until, datetime):
        return until.timestamp()
    # not time.max: as a float, its microseconds are rounded up into the next day
    return datetime.combine(until, time_of_day(23, 59, 59, 999_000)).timestamp()


def from_now(duration: str) -> datetime:
    """The moment `duration` (`30m`, `1d12h`) from now. Raises UsageError."""
    seconds = _seconds(duration)
    if seconds is None:
        raise UsageError(
            f"not a length of time: {quoted(duration)}",
            fix="--for takes minutes, hours, days and weeks: 30m, 2h, 3d, 1w, 1d12h",
        )
    if seconds == 0:
        raise UsageError("the length of time is zero", fix="--for 30m")
    if seconds > MAX_DAYS * _UNITS["d"]:
        raise _too_long()
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)


def since(text: str, now: float) -> float:
    """The moment (Unix seconds) that `text` names: a length of time before `now`, or a date.

    Raises UsageError.
    """
    seconds = _seconds(text)
    if seconds is not None:
        return now - seconds
    try:
        # a day begins at midnight here
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"not a time: {quoted(text)}",
            fix="--since takes 30m, 2h, 7d, 1d12h, 2026-11-01, or 2026-11-01T18:00",
        ) from None


def _seconds(duration: str) -> int | None:
    """The seconds of `30m` or `1d12h`; None for what is no length of time."""
    if not _DURATION.fullmatch(duration.strip()):
        return None
    parts = re.findall(r"([0-9]+)([mhdw])", duration)
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def at(text: str) -> date | datetime:
    """The last day, or the moment, that `text` names. Raises UsageError."""
    try:
        day = date.fromisoformat(text) if len(text) <= len("2026-12-31") else None
        found: date | datetime = datetime.fromisoformat(text) if day is None else day
        if isinstance(found, datetime):
            found = found.astimezone().replace(microsecond=0)
        end = end_of(found)
    except (ValueError, OverflowError):
        raise UsageError(
            f"not a date: {quoted(text)}",
            fix=f"--until takes {soon()} (to the end of that day), or {soon()}T18:00",
        ) from None
    if end < time.time():
        raise UsageError(f"{quoted(text)} is in the past", fix="give a later date, or --for 2h")
    # the end of the last day may be up to a day later than the same moment of that day
    if end > end_of(_last_day()):
        raise _too_long()
    return found


def quoted(text: str) -> str:
    """`text` as a message may repeat it."""
    if looks_like_key(text):
        return "(not shown, it looks like a key)"
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _last_day() -> date:
    return date.today() + timedelta(days=MAX_DAYS)


def _too_long() -> UsageError:
    return UsageError(
        f"an exception holds {MAX_DAYS} days at most, until {_last_day().isoformat()}",
        fix="give a shorter time; for longer, add an [[exception]] to your policy:\n"
        "routeguard policy path",
    )
