"""Sources: each reads one place and says what stands where. None judges, none keeps a value.

Imported on the hot path as the parent of `sockets`, so the records come when they are asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guard.sources.records import Assignment as Assignment
    from guard.sources.records import Reading as Reading
    from guard.sources.records import Skipped as Skipped


def __getattr__(name: str) -> object:
    if name in ("Assignment", "Reading", "Skipped"):
        from guard.sources import records

        return getattr(records, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
