"""Files of an administrator: a mount namespace whose /etc has them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

_MOUNT = 'mount -t overlay -o lowerdir="$0/etc:/etc" overlay /etc && exec "$@"'


def over_etc(image: Path, missing_part: Callable[[str], NoReturn]) -> list[str]:
    """The words before a command line that lay the files of `image`/etc over those of /etc."""
    (image / "etc").mkdir(parents=True, exist_ok=True)
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    words = [*unshare, "sh", "-c", _MOUNT, str(image)]
    tried = subprocess.run([*words, "true"], capture_output=True, text=True)
    if tried.returncode:
        missing_part(f"no overlay can be mounted over /etc here: {tried.stderr.strip()}")
    return words
