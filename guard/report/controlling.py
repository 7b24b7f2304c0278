"""The terminal that controls this process, whatever its streams are. Hot-path module."""

from __future__ import annotations

import os


def folded(text: str) -> str:
    """`text`, whole lines, folded at the width of that terminal; as it is where there is none."""
    width = _columns()
    if not width or max(map(len, text.split("\n"))) <= width:
        return text
    from guard.report.terminal import fold

    return fold(text, width)


def _columns() -> int:
    """How wide it is, 0 if there is none."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return os.get_terminal_size(terminal).columns
    except OSError:
        return 0
    finally:
        os.close(terminal)
