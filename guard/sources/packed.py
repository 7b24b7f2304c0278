"""What a compressed file holds, up to a bound: gzip, bzip2 and xz, by how the file begins."""

from __future__ import annotations

LIMIT = 8 * 1024 * 1024
"""Bytes that are unpacked of one file; what comes after them is not looked at."""

_MEMORY = 128 * 1024 * 1024

GZIP = b"\x1f\x8b\x08"
BZIP2 = tuple(b"BZh%d1AY&SY" % level for level in range(1, 10))
XZ = b"\xfd7zXZ\0"
BEGINS = (GZIP, *BZIP2, XZ)
"""How compressed files begin."""


def unpacked(data: bytes) -> bytes:
    """What `data` is compressed from, its first LIMIT bytes; b"" if it is not compressed.

    Of a damaged file it is what comes before the damage.
    """
    try:
        if data.startswith(GZIP):
            import zlib

            return zlib.decompressobj(wbits=31).decompress(data, LIMIT)
        if data.startswith(BZIP2):
            import bz2

            return bz2.BZ2Decompressor().decompress(data, LIMIT)
        if data.startswith(XZ):
            import lzma

            return lzma.LZMADecompressor(memlimit=_MEMORY).decompress(data, LIMIT)
    except (ValueError, EOFError, OSError, ImportError, MemoryError):
        pass
    except Exception as error:  # zlib.error, lzma.LZMAError: the modules may be missing
        if type(error).__name__ not in ("error", "LZMAError"):
            raise
    return b""
