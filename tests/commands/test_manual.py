"""The manual page: roff that has no fault, and every visible command and option in it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import click
import pytest
from command_tree import commands

from guard.cli import group
from guard.commands.manual import page


@pytest.fixture(scope="module")
def read(missing_part: Callable) -> str:
    """The page as groff sets it, which must have nothing to say."""
    if shutil.which("groff") is None:
        missing_part("no groff on PATH (Debian: apt install groff)")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-P-cbou", "-rLL=200n"],
        input=page(group), capture_output=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_every_command_and_option_is_in_it(read: str) -> None:
    found = commands(hidden=False).items()
    assert len(found) > 20
    words = " ".join(read.split())
    for path, command in found:
        assert re.search(rf"^ *{re.escape(path)}( |$)", read, re.MULTILINE), path
        for parameter in command.params:
            if getattr(parameter, "hidden", False):
                continue
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert not option.startswith("--") or option in words, (path, option)
        summary = command.get_short_help_str(500).rstrip(".")
        assert " ".join(summary.split()) in words, path


def test_examples_keep_their_lines_and_characters(read: str) -> None:
    assert '  routeguard explain -- opencode run "hi"\n' in read
    assert "  routeguard agents --json | jq '.agents[]" in read
    assert "    ~/.config/routeguard/policy.toml\n" in read


def test_the_date_is_in_the_first_line_alone() -> None:
    """By the rest setup knows that a page has not changed."""
    first, _, rest = page(group).partition("\n")
    assert f'"{date.today()}"' in first
    assert str(date.today()) not in rest


def test_text_is_never_a_request() -> None:
    @click.group(epilog="\b\n.so /etc/passwd\n'br\n a\\fBb")
    def odd() -> None:
        """.de at the start; a \\n in the middle."""

    lines = page(odd).splitlines()
    assert not [line for line in lines if line.startswith((".so", ".de", "'br"))]
    assert "\\&.so /etc/passwd" in lines
    assert " a\\efBb" in lines


def test_mandoc_has_nothing_to_warn_about() -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("no mandoc on PATH")
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning"], input=page(group).encode(), capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_fish_makes_no_completions_of_it(missing_part: Callable, tmp_path: Path) -> None:
    """They would offer the options of all commands behind each."""
    if shutil.which("fish") is None:
        missing_part("no fish on PATH")
    data = subprocess.run(
        ["fish", "--no-config", "-c", "echo $__fish_data_dir"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    tool = Path(data, "tools/create_manpage_completions.py")
    if not tool.exists():
        pytest.skip("this fish keeps its tool inside")
    (tmp_path / "made").mkdir()
    (tmp_path / "routeguard.1").write_text(page(group), "utf-8")
    subprocess.run(
        [sys.executable, tool, "--directory", tmp_path / "made", tmp_path / "routeguard.1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert list((tmp_path / "made").glob("*")) == []
