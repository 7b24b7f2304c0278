"""What a compressed file holds, up to a bound: gzip, bzip2 and xz, by how the file begins."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class _Decompressor(Protocol):
        @property
        def eof(self) -> bool: ...

        @property
        def unused_data(self) -> bytes: ...

        def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


LIMIT = 8 * 1024 * 1024
"""Bytes that are unpacked of one file; what comes after them is not looked at."""

_MEMORY = 128 * 1024 * 1024

GZIP = b"\x1f\x8b\x08"
BZIP2 = tuple(b"BZh%d1AY&SY" % level for level in range(1, 10))
XZ = b"\xfd7zXZ\0"
BEGINS = (GZIP, *BZIP2, XZ)
"""How compressed files begin."""

NAMES = (".gz", ".tgz", ".bz2", ".xz")
"""How their names end."""


def unpacked(data: bytes) -> bytes:
    """What `data` is compressed from, its first LIMIT bytes; b"" if it is not compressed.

    Of a damaged file it is what comes before the damage.
    """
    try:
        if data.startswith(GZIP):
            import zlib

            return _of_several(data, lambda: zlib.decompressobj(wbits=31))
        if data.startswith(BZIP2):
            import bz2

            return _of_several(data, bz2.BZ2Decompressor)
        if data.startswith(XZ):
            import lzma

            return _of_several(data, lambda: lzma.LZMADecompressor(memlimit=_MEMORY))
    except (ValueError, EOFError, OSError, ImportError, MemoryError):
        pass
    except Exception as error:  # zlib.error, lzma.LZMAError: the modules may be missing
        if type(error).__name__ not in ("error", "LZMAError"):
            raise
    return b""


_MOST_STREAMS = 256


def _of_several(data: bytes, begin: Callable[[], _Decompressor]) -> bytes:
    """The same for the streams that `data` may consist of, one behind the other: logs that were
    added to, what several processors compressed. Each is unpacked by what `begin` returns."""
    parts: list[bytes] = []
    left = LIMIT
    for _ in range(_MOST_STREAMS):
        stream = begin()
        try:
            parts.append(stream.decompress(data, left))
        except Exception:
            if not parts:
                raise
            break  # what comes behind the last stream
        left -= len(parts[-1])
        data = stream.unused_data
        if left <= 0 or not stream.eof or not data:
            break
    return b"".join(parts)
