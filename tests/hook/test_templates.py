"""The templates of the shells: quoting, filling in, where they lie."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guard.errors import GuardError
from guard.hook import templates

AWKWARD = [
    "plain",
    "two words",
    "it's",
    "''",
    '"',
    "\\",
    "\\'",
    "a\nb",
    "$HOME",
    "`id`",
    "!x",
    "é*[?]~",
    "",
]


@pytest.mark.parametrize(
    ("program", "options", "quote"),
    [
        ("sh", [], templates.quote_sh),
        ("bash", ["--norc"], templates.quote_bash),
        ("bash", ["--posix"], templates.quote_bash),
        ("zsh", ["-f"], templates.quote_zsh),
        ("zsh", ["-f", "-o", "rc_quotes"], templates.quote_zsh),
        ("zsh", ["-f", "-o", "csh_junkie_quotes"], templates.quote_zsh),
        ("fish", ["--no-config"], templates.quote_fish),
    ],
)
def test_a_quoted_text_is_one_word(
    program: str, options: list[str], quote: Any, missing_part: Any
) -> None:
    if shutil.which(program) is None:
        missing_part(f"{program} is not installed (Debian: apt-get install {program})")
    # one after another, so that none of them reaches into the next
    words = " ".join(f"{quote(text)} {quote(text)}" for text in AWKWARD)
    done = subprocess.run(
        [program, *options, "-c", f"printf '<%s>' {words}"], capture_output=True, check=False
    )
    expected = "".join(f"<{text}><{text}>" for text in AWKWARD)
    assert (done.returncode, done.stdout) == (0, expected.encode())


def test_filling_in_reads_no_value_again() -> None:
    values = {"A": "__B__", "B": "x__A__"}
    assert templates.fill("__A__ __B__ __C__ __routeguard__ __A", values) == (
        "__B__ x__A__ __C__ __routeguard__ __A"
    )


def test_templates_of_an_installed_package_come_from_inside_it(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "guard"
    (package / "shell").mkdir(parents=True)
    (package / "shell" / "hook.bash").write_text("ours")
    assert templates.template("hook.bash", package=str(package)) == "ours"


def test_a_directory_called_shell_beside_an_installed_package_is_not_ours(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "guard"
    package.mkdir(parents=True)
    (package.parent / "shell").mkdir()
    (package.parent / "shell" / "hook.bash").write_text("somebody else's")
    with pytest.raises(GuardError) as error:
        templates.template("hook.bash", package=str(package))
    assert error.value.rule == "RG503"
    (package.parent / "pyproject.toml").touch()
    assert templates.template("hook.bash", package=str(package)) == "somebody else's"


def test_the_path_of_python_must_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(GuardError) as error:
        templates.interpreter()
    assert error.value.rule == "RG503"
