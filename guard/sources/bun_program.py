"""The arguments that Bun compiled into a program: they name it when its file has another name.

`bun build --compile` puts the modules of a program into its file, and behind them the arguments
it always starts with and the line `---- Bun! ----`: in an ELF section `.bun`, or at the very end
of the file (seen with Bun 1.3.14: `--user-agent=NAME/VERSION …`).
"""

from __future__ import annotations

import os
import stat
import struct

SMALLEST = 32 << 20
"""Bytes. Bun's runtime alone is larger, so a smaller file is not one of its programs."""

_TRAILER = b"\n---- Bun! ----\n"
_TAIL = 1024
_MOST_SECTIONS = 256


def compiled_in(path: str) -> str:
    """What is compiled in as arguments at `path`, "" if it is no such program or unreadable.

    Reads at most a few kilobytes.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size < SMALLEST:
            return ""
        for end in (_end_of_section(handle), found.st_size):
            tail = os.pread(handle, _TAIL, end - _TAIL) if end >= _TAIL else b""
            if tail.endswith(_TRAILER):
                return _arguments(tail)
    except (OSError, struct.error, ValueError):
        return ""
    finally:
        os.close(handle)
    return ""


def _end_of_section(handle: int) -> int:
    """The offset behind the ELF section `.bun`, 0 if there is none (elf(5), 64 bits)."""
    head = os.pread(handle, 64, 0)
    if head[:5] != b"\x7fELF\x02":
        return 0
    order = "<" if head[5] == 1 else ">"
    (table,) = struct.unpack(f"{order}Q", head[40:48])
    size, count, names = struct.unpack(f"{order}HHH", head[58:64])
    if size < 64 or count > _MOST_SECTIONS or names >= count:
        return 0
    sections = [os.pread(handle, 64, table + size * index) for index in range(count)]
    texts = os.pread(handle, 4096, struct.unpack(f"{order}Q", sections[names][24:32])[0])
    for section in sections:
        (name,) = struct.unpack(f"{order}I", section[:4])
        if texts[name : name + 5] == b".bun\0":
            at, length = struct.unpack(f"{order}QQ", section[24:40])
            return int(at + length)
    return 0


def _arguments(tail: bytes) -> str:
    # a string that ends in NUL, then numbers, then the trailer
    parts = tail.removesuffix(_TRAILER).split(b"\0")
    texts = [part for part in parts if len(part) > 8 and part.isascii()]
    line = texts[-1].decode("ascii") if texts else ""
    # what is before the first dash belongs to the numbers in front of it
    said = line[line.find("--") :] if "--" in line else ""
    return said if said.isprintable() else ""
