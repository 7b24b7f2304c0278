"""Which startup files are read, and that none of them can do harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.sources import rc_files

PLACES = [
    ("root/etc/environment", "NAME=x\n"),
    ("root/etc/profile", "export NAME=x\n"),
    ("root/etc/profile.d/a.sh", "export NAME=x\n"),
    ("root/etc/bash.bashrc", "export NAME=x\n"),
    ("root/etc/zsh/zshenv", "export NAME=x\n"),
    ("root/etc/zshrc", "export NAME=x\n"),
    ("root/etc/fish/config.fish", "set -gx NAME x\n"),
    ("root/etc/fish/conf.d/a.fish", "set -gx NAME x\n"),
    ("home/.pam_environment", "NAME DEFAULT=x\n"),
    ("home/.config/environment.d/10.conf", "NAME=x\n"),
    ("home/.bash_profile", "export NAME=x\n"),
    ("home/.bash_login", "export NAME=x\n"),
    ("home/.profile", "export NAME=x\n"),
    ("home/.bashrc", "export NAME=x\n"),
    ("home/.zshenv", "export NAME=x\n"),
    ("home/.zprofile", "export NAME=x\n"),
    ("home/.zshrc", "export NAME=x\n"),
    ("home/.zlogin", "export NAME=x\n"),
    ("home/.config/fish/config.fish", "set -gx NAME x\n"),
    ("home/.config/fish/conf.d/a.fish", "set -gx NAME x\n"),
    ("home/.config/fish/fish_variables", "SETUVAR --export NAME:x\n"),
]


def read(tmp_path: Path, **environ: str) -> list[tuple[str, str, int, bool]]:
    found = rc_files.read({"HOME": str(tmp_path / "home"), **environ}, root=str(tmp_path / "root"))
    return [
        (a.name, os.path.relpath(a.path, tmp_path), a.line, a.exported) for a in found.assignments
    ]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(("place", "text"), PLACES)
def test_every_place_is_read(tmp_path: Path, place: str, text: str) -> None:
    write(tmp_path / place, "# first line\n" + text)
    assert read(tmp_path) == [("NAME", place, 2, True)]


def test_places_that_variables_move(tmp_path: Path) -> None:
    write(tmp_path / "z/.zshrc", "export A=1\n")
    write(tmp_path / "home/.zshrc", "export B=1\n")
    write(tmp_path / "home/.zshenv", "export C=1\n")
    write(tmp_path / "x/fish/config.fish", "set -gx D 1\n")
    found = read(tmp_path, ZDOTDIR=str(tmp_path / "z"), XDG_CONFIG_HOME=str(tmp_path / "x"))
    assert [name for name, *_ in found] == ["C", "A", "D"]


def test_one_shell_does_not_export_for_another(tmp_path: Path) -> None:
    write(tmp_path / "home/.bashrc", "set -a\n")
    write(tmp_path / "home/.zshrc", "NAME=1\n")
    assert read(tmp_path) == [("NAME", "home/.zshrc", 1, False)]


def test_a_file_that_two_shells_read_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "home/common", "NAME=1\nexport OTHER=1\n")
    write(tmp_path / "home/.bashrc", ". ~/common\n")
    write(tmp_path / "home/.zshrc", ". ~/common\nexport NAME\n")
    assert read(tmp_path) == [
        ("NAME", "home/common", 1, True),
        ("OTHER", "home/common", 2, True),
    ]


def test_universal_variables_of_fish(tmp_path: Path) -> None:
    write(
        tmp_path / "home/.config/fish/fish_variables",
        "# VERSION: 3.0\nSETUVAR A:1\nSETUVAR --export B:x\\x1ey\nSET_EXPORT C:1\n"
        "SETUVAR --export --path D:1\nSETUVAR __fish_init:1\nrubbish --export E:1\n",
    )
    exported = [(name, line) for name, _, line, is_exported in read(tmp_path) if is_exported]
    assert exported == [("B", 3), ("C", 4), ("D", 5)]


def test_session_files_are_no_scripts(tmp_path: Path) -> None:
    write(tmp_path / "root/etc/environment", '#A=1\nB="x # y"\nexport C=1\nnot D=1\n')
    write(
        tmp_path / "home/.pam_environment", "A DEFAULT=1\nB OVERRIDE=@{HOME}\n#C DEFAULT=1\nD=1\n"
    )
    assert [(name, line) for name, _, line, _ in read(tmp_path)] == [
        ("B", 2),
        ("C", 3),
        ("A", 1),
        ("B", 2),
        ("D", 4),
    ]


def test_hostile_places(tmp_path: Path) -> None:
    """A FIFO would wait for ever, a directory cannot be read, a huge file takes all memory."""
    home = tmp_path / "home"
    (home / ".bashrc").mkdir(parents=True)
    os.mkfifo(home / ".zshrc")
    (home / ".profile").write_bytes(b"export A=1\n" * 200_000)
    (home / ".zprofile").symlink_to(".zprofile")
    (home / ".bash_profile").write_bytes(b"\xff\xfe\0 export X=1\nexport \xe9=1\nexport B=1\n")
    write(home / ".config/environment.d/a.conf", "C=1\n")
    os.mkfifo(home / ".config/environment.d/b.conf")
    (home / ".config/fish").mkdir()
    (home / ".config/fish/conf.d").write_text("not a directory")
    found = rc_files.read({"HOME": str(home)}, root=str(tmp_path / "root"))
    assert [(a.name, a.line) for a in found.assignments] == [("C", 1), ("B", 3)]
    skipped = {os.path.basename(s.path): s.reason for s in found.skipped}
    assert skipped.pop(".zprofile")
    assert skipped == {
        "b.conf": "not a regular file",
        ".bashrc": "not a regular file",
        ".zshrc": "not a regular file",
        ".profile": "larger than 1024 KiB",
    }


def test_no_home_at_all(tmp_path: Path) -> None:
    assert read(tmp_path) == []
