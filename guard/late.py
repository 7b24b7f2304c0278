"""Regular expressions that are compiled when they are first used.

For modules with many of them of which one run needs few: compiling is a third of what `check` of
one file would take, and loading `re` half of what `--help` would.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any


_ASKED = ("pattern", "finditer", "findall", "fullmatch", "match", "search", "split", "sub", "subn")


class _Late:
    """Is asked like a `re.Pattern`; what it answered once is there at once."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        import re

        made = re.compile(*self._given)
        for one in _ASKED:
            setattr(self, one, getattr(made, one))
        return getattr(made, name)


def late(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """The regex `pattern`, compiled at the first question to it. Raises `re.error` only then."""
    return _Late(pattern, flags)  # type: ignore[return-value]
