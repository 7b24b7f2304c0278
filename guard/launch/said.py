"""Messages that a launch prints once, and again only when they change.

Hot-path module; a launch that has nothing to say does not import it.
"""

from __future__ import annotations

import os
import zlib

from guard import paths
from guard.errors import GuardError
from guard.files.read import read_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def is_new(kind: str, text: str, environ: Mapping[str, str]) -> bool:
    """Whether `text` differs from the last message of this `kind`; remembers it.

    A digest of it is kept in the cache. Where that cannot be written, it is said again.
    """
    from guard.files.write import write

    cache = paths.routeguard_cache(environ)
    path = os.path.join(cache, "said", kind)
    digest = f"{zlib.crc32(text.encode('utf-8', 'surrogateescape')):08x}".encode()
    if read_own(path) == digest:
        return False
    try:
        paths.private_directory(cache)
        paths.private_directory(os.path.dirname(path))
        write(path, digest)
    except (GuardError, OSError):
        pass
    return True
