"""What changed between two looks at this machine, and how often something is stopped. Pure.

A snapshot maps a key to the finding about it. The key is the thing itself (a socket's own number,
a process id with its start time), so something that ends and comes back is gone and new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guard.findings import Finding

PRESENT, NEW, GONE = "present", "new", "gone"
"""`present` was there at the first look, `new` came after it, `gone` was there at the last."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was found or has gone, at `at` (Unix seconds)."""

    at: float
    what: str
    key: str
    finding: Finding


def events(
    before: Mapping[str, Finding] | None, after: Mapping[str, Finding], now: float
) -> list[Event]:
    """What happened between two snapshots; `before` None is the first look. Gone things first."""
    if before is None:
        return [Event(now, PRESENT, key, finding) for key, finding in after.items()]
    gone = [Event(now, GONE, key, finding) for key, finding in before.items() if key not in after]
    new = [Event(now, NEW, key, finding) for key, finding in after.items() if key not in before]
    return gone + new


@dataclass(slots=True)
class Attempts:
    """How often each proxy was stopped: one that something starts again is not fought for ever.

    `most` times within `within` seconds of a clock that only goes forward.
    """

    most: int = 3
    within: float = 3600.0
    _done: dict[str, list[float]] = field(default_factory=dict)

    def take(self, what: str, now: float) -> bool:
        """Whether `what` may be stopped once more at `now`; counts it if so."""
        recent = [at for at in self._done.get(what, ()) if now - at < self.within]
        self._done[what] = recent
        if len(recent) >= self.most:
            return False
        recent.append(now)
        return True
