"""One step of an installation or a removal, as it is shown and done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """What was done with a file, or would be: a word ("write", "unchanged", "keep", "remove" …),
    and the path."""

    action: str
    path: str
