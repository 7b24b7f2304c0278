"""Dotenv files of a project, with the line an assignment stands on."""

from __future__ import annotations

import os
from pathlib import Path

from guard.sources import dotenv_files


def read(cwd: Path) -> list[tuple[str, str, int]]:
    found = dotenv_files.read(str(cwd), home=str(cwd))
    return [(a.name, os.path.basename(a.path), a.line) for a in found.assignments]


def test_lines_behind_blanks_comments_and_long_values(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "\ufeff# A=1\n\n  \nB=1\nexport C='x\ny'\n\n# c\n  D = 2 # D2=1\r\nE=\n'F'=1\n"
        "no value\n\n\nG=${B}\nH='unclosed\nI=1\n"
    )
    assert read(tmp_path) == [
        ("B", ".env", 4),
        ("C", ".env", 5),
        ("D", ".env", 9),
        ("E", ".env", 10),
        ("F", ".env", 11),
        ("G", ".env", 15),
        ("H", ".env", 16),
        ("I", ".env", 17),
    ]


def test_files_up_to_the_root_of_the_repository(tmp_path: Path) -> None:
    below = tmp_path / "repo" / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "repo" / ".git").mkdir()
    (tmp_path / ".env").write_text("OUTSIDE=1\n")
    (tmp_path / "repo" / ".env").write_text("ROOT=1\n")
    (below / ".env").write_text("HERE=1\n")
    (below / ".env.local").write_text("LOCAL=1\n")
    (below / ".env.dev.local").write_text("DEV=1\n")
    (below / ".env.example").write_text("EXAMPLE=1\n")
    assert [name for name, *_ in read(below)] == ["HERE", "LOCAL", "DEV", "ROOT"]


def test_without_a_repository_only_the_directory_itself(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / ".env").write_text("ABOVE=1\n")
    (tmp_path / "a" / ".env").write_text("HERE=1\n")
    assert read(tmp_path / "a") == [("HERE", ".env", 1)]
    assert read(tmp_path / "gone") == []


def test_envrc_is_a_script(tmp_path: Path) -> None:
    (tmp_path / ".envrc").write_text("export A=1\nB=1\ndotenv\nsource ./more\n")
    (tmp_path / "more").write_text("export C=1\n")
    found = dotenv_files.read(str(tmp_path), home="/nowhere")
    assert [(a.name, a.exported) for a in found.assignments] == [
        ("A", True),
        ("B", False),
        ("C", True),
    ]


def test_hostile_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    (tmp_path / ".env.local").mkdir()
    (tmp_path / ".env.big.local").write_bytes(b"A=1\n" * 100_000)
    (tmp_path / ".env.blank.local").write_text("A=x" + " " * 200_000 + "y\nB=1\n")
    (tmp_path / ".env.odd.local").write_bytes(b"\xff\0=1\nC=1\n")
    os.mkfifo(tmp_path / ".envrc")
    found = dotenv_files.read(str(tmp_path))
    assert [a.name for a in found.assignments][:2] == ["A", "B"]
    assert found.assignments[-1].name == "C"
    reasons = {os.path.basename(s.path): s.reason for s in found.skipped}
    assert reasons == {
        ".env": "not a regular file",
        ".env.local": "not a regular file",
        ".env.big.local": "larger than 256 KiB",
        ".envrc": "not a regular file",
    }
