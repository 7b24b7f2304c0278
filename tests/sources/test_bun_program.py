from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from guard.sources import bun_program
from guard.sources.bun_program import compiled_in

TRAILER = b"\n---- Bun! ----\n"
SAID = b"\x05\0\x01--user-agent=opencode/1.18.33 --use-system-ca --\0\xb4\xa1w\x05\0\0\0\0"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bun_program, "SMALLEST", 1024)


def elf(section: bytes) -> bytes:
    """A 64-bit ELF file with one section `.bun` and what it must have besides."""
    names = b"\0.bun\0.shstrtab\0"
    at = 4096
    table = at + len(section) + len(names)

    def header(name: int, offset: int, size: int) -> bytes:
        return struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offset, size, 0, 0, 1, 0)

    head = b"\x7fELF\x02\x01" + bytes(34) + struct.pack("<Q", table) + bytes(10)
    head += struct.pack("<HHH", 64, 3, 2)
    sections = header(0, 0, 0) + header(1, at, len(section))
    sections += header(6, at + len(section), len(names))
    return head.ljust(at, b"\0") + section + names + sections


def test_the_arguments_in_a_section(tmp_path: Path) -> None:
    program = tmp_path / "renamed"
    program.write_bytes(elf(bytes(4096) + SAID + TRAILER))
    assert compiled_in(str(program)) == "--user-agent=opencode/1.18.33 --use-system-ca --"


def test_the_arguments_at_the_end_of_the_file(tmp_path: Path) -> None:
    program = tmp_path / "older"
    program.write_bytes(bytes(4096) + SAID + TRAILER)
    assert compiled_in(str(program)).startswith("--user-agent=opencode/")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(8192),
        b"\x7fELF\x02\x01" + b"\xff" * 8192,
        b"\x7fELF\x02\x01" + bytes(8192),
        elf(bytes(4096)),
        elf(b"x"),
        bytes(4096) + TRAILER,
        bytes(4096) + b"\x1b[2J--user\x1b-agent=opencode/1\0" + TRAILER,
    ],
)
def test_what_is_no_such_program(tmp_path: Path, content: bytes) -> None:
    program = tmp_path / "other"
    program.write_bytes(content)
    assert compiled_in(str(program)) == ""


def test_what_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "absent", "a\0b"):
        assert compiled_in(str(path)) == ""


def test_small_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    program = tmp_path / "renamed"
    program.write_bytes(elf(bytes(4096) + SAID + TRAILER))
    assert compiled_in(str(program)) == ""
