"""The pictures of a terminal: how they are drawn, and that they hold no machine."""

from __future__ import annotations

import getpass
import importlib.util
import re
import socket
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import shown
from shown import PAGES, ROOT

from guard import __version__

FOLDER = ROOT / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"
PICTURES = sorted(FOLDER.glob("*.svg"))
_SPEC = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
assert _SPEC is not None
assert _SPEC.loader is not None
make = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make)


def drawn(raw: str) -> list[list[tuple[int, str, str]]]:
    return [[tuple(run) for run in row] for row in make.lines(raw)]


@pytest.mark.parametrize(
    ("raw", "rows"),
    [
        ("a\r\nb", [[(0, "a", "text")], [(0, "b", "text")]]),
        ("\x1b[32mok\x1b[0m  x", [[(0, "ok", "green"), (2, "  ", "text"), (4, "x", "text")]]),
        ("\x1b[31;1mno\x1b[m.", [[(0, "no", "bold red"), (2, ".", "text")]]),
        ("\x1b[2mdim\x1b[0m", [[(0, "dim", "dim")]]),
        ("waiting…\r\x1b[Kdone", [[(0, "done", "text")]]),
        ("abc\bX\x1b[?25l\x1b]0;title\x07", [[(0, "abX", "text")]]),
        ("a\r\n\r\nb", [[(0, "a", "text")], [], [(0, "b", "text")]]),
        ("x" * 81, [[(0, "x" * 80, "text")], [(0, "x", "text")]]),
    ],
)
def test_what_stands_on_the_terminal(raw: str, rows: list[list[tuple[int, str, str]]]) -> None:
    assert drawn(raw) == rows


def test_text_is_text() -> None:
    picture = ET.fromstring(make.svg(make.lines("a <b> & \x1b[31mc\x1b[0m"), "A & B"))
    assert "".join(picture.find(".//{*}text").itertext()) == "a <b> & c"  # type: ignore[union-attr]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_pictures_hold_nothing_of_the_machine_that_made_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    ET.fromstring(text)
    for word in ("/tmp/", "/work/", "/root", "/home/", "npmjs", socket.gethostname()):
        assert word not in text
    assert getpass.getuser() not in re.sub(r"<[^>]*>", "", text).split()


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_pictures_show_what_the_program_says_now(path: Path) -> None:
    """If not: `.cache/tests/bin/python docs/pictures/make.py`."""
    picture = ET.fromstring(path.read_text(encoding="utf-8"))
    said = "\n".join("".join(line.itertext()) for line in picture.iter(f"{SVG}text"))
    assert said.startswith("$ ")
    assert shown.not_ours(said) == []


def test_the_proof_is_shown_with_its_own_statements() -> None:
    """In the picture and in the page: what stands before the colon is the name of a check."""
    picture = ET.fromstring((FOLDER / "verify.svg").read_text(encoding="utf-8"))
    drawn = "\n".join("".join(line.itertext()) for line in picture.iter(f"{SVG}text"))
    for text in (drawn, (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")):
        names = re.findall(r"^ok +([^:\n]+):", text, re.MULTILINE)
        assert len(names) == 5
        assert [name for name in names if name not in shown.source_texts()] == []


def test_every_session_has_its_picture_and_every_picture_is_embedded() -> None:
    assert {path.stem for path in PICTURES} == set(make.SESSIONS)
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for path in PICTURES:
        assert f"pictures/{path.name})" in pages
    assert f"routeguard {__version__}" in (FOLDER / "doctor.svg").read_text(encoding="utf-8")
