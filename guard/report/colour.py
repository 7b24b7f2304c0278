"""Whether output gets colour."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TextIO


def wanted(environ: Mapping[str, str], stream: TextIO | None = None) -> bool:
    """NO_COLOR (no-color.org) over FORCE_COLOR over whether `stream` (stdout) is a terminal."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    stream = stream or sys.stdout
    return stream.isatty() and environ.get("TERM") != "dumb"
