"""How setup and teardown say no."""

from __future__ import annotations

import errno

from guard.errors import ExitCode, GuardError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NotPossibleError(GuardError):
    """Setup or teardown cannot do it; nothing was changed unless the text says so. Status 1."""

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, why=why, fix=fix, exit_code=ExitCode.FINDINGS)


def not_written(path: str, error: OSError) -> NotPossibleError:
    """What to raise where `path` could not be written."""
    if error.errno in _NO_ROOM:
        return NotPossibleError(
            "a file could not be written: is the disk full, or a quota used up?",
            where=path,
            fix="make room and run this again; the file itself is as it was",
        )
    return NotPossibleError(
        "a file could not be written",
        where=path,
        why=error.strerror or str(error),
        fix="make its directory writable for you and run this again; the file is as it was",
    )
