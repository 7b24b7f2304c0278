"""What the project around a launch must not choose: the user's directories, and the program.

Hot-path module.
"""

from __future__ import annotations

from guard.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.paths import Misplaced


def chosen_directories(wrong: Iterable[Misplaced]) -> list[Finding]:
    """A finding for each variable that makes a directory of the project one of the user's."""
    return [
        Finding("RG504", one.variable, one.what, where="environment", fix=one.fix) for one in wrong
    ]
