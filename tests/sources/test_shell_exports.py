"""What a startup script exports, and that the shells agree."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from guard.sources.records import Assignment
from guard.sources.shell_commands import FISH, POSIX
from guard.sources.shell_exports import Scripts

SH = """\
# export COMMENTED=1
export PLAIN=1   # trailing; export COMMENTED=1
LATER=1
LATER2=1; export LATER2
HIDDEN="x
y" ; MULTI=2
export LATER
if true; then export BRANCH=$(echo "x' # ") SECOND=2; fi
cat >/dev/null <<EOF
export HEREDOC=1
EOF
cat <<-'E F' >/dev/null; export BEHIND=1
	export HEREDOC2=1
	E F
setup() { export FUNCTION=1; }; setup
(( shift_ = 1 << 3 ))
array=( export
  ELEMENT=1 )
export "QUOTED=1"
ONCE=1 true
declare -x DECLARED=1
typeset -r READONLY=3
. ~/.aliases
[ -f "$HOME/more.sh" ] && source "$HOME/more.sh"
: `export SUBSHELL=1`
: "$(export SUBSHELL2=1)"
set -a
ALLEXPORT=1
set +a
UNEXPORTED=2
export REDIRECTED=1 >/dev/null 2>&1
export \\
  CONTINUED=1
case a in a) export CASE=1 ;; esac
: "${x:-a \"b\" $(echo "c }")}" ${x#'}'}; export AFTER_QUOTE=1
AGAIN=1; export AGAIN; AGAIN=2
export APPENDED=a; APPENDED+=b
"""

SH_EXPORTED = """
PLAIN LATER LATER2 BRANCH SECOND BEHIND FUNCTION QUOTED DECLARED ALIASES MORE ALLEXPORT REDIRECTED
CONTINUED CASE AFTER_QUOTE AGAIN APPENDED
""".split()  # noqa: SIM905

FISH_SCRIPT = """\
# set -gx COMMENTED 1
set -gx PLAIN 1 # set -gx COMMENTED 1
set --export --global LONG (echo x; set -l INNER 1)
if test 1; set -gx BRANCH 1; end; and set -gx CHAINED 2
set -gx GONE 1
set -q ABSENT; or set -gx DEFAULTED "a # b"
set -g HIDDEN 1
export BASHISM=1
source ~/more.fish
set -gx PATHS a \\
  b
"""

FISH_EXPORTED = """
PLAIN LONG BRANCH CHAINED GONE DEFAULTED BASHISM MORE PATHS
""".split()  # noqa: SIM905


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "script.sh").write_text(SH)
    (tmp_path / ".aliases").write_text("export ALIASES=1\n")
    (tmp_path / "more.sh").write_text("export MORE=1\n")
    (tmp_path / "script.fish").write_text(FISH_SCRIPT)
    (tmp_path / "more.fish").write_text("set -gx MORE 1\n")
    return tmp_path


def read(home: Path, name: str, dialect: str) -> list[Assignment]:
    scripts = Scripts({}, str(home))
    scripts.read(str(home / name), dialect)
    assert scripts.skipped == []
    return scripts.assignments


def lines(found: list[Assignment], name: str) -> list[int]:
    return [a.line for a in found if a.name == name]


def test_posix_exports(home: Path) -> None:
    found = read(home, "script.sh", POSIX)
    assert list(dict.fromkeys(a.name for a in found if a.exported)) != []
    assert {a.name for a in found if a.exported} == set(SH_EXPORTED)
    hidden = {a.name for a in found if not a.exported}
    assert hidden == {"HIDDEN", "MULTI", "READONLY", "UNEXPORTED", "array"}


def test_lines_and_forms(home: Path) -> None:
    found = read(home, "script.sh", POSIX)
    assert lines(found, "PLAIN") == [2]
    assert lines(found, "MULTI") == [6]
    assert lines(found, "BEHIND") == [12]
    assert lines(found, "CONTINUED") == [32]
    how = {a.name: a.how for a in found}
    assert how["PLAIN"] == "export"
    assert how["LATER"] == "assignment, exported on line 7"
    assert how["LATER2"] == "export"
    assert how["DECLARED"] == "declare -x"
    places = {a.name: a.path for a in found}
    assert places["MORE"] == str(home / "more.sh")


def test_fish_exports(home: Path) -> None:
    found = read(home, "script.fish", FISH)
    assert {a.name for a in found if a.exported} == set(FISH_EXPORTED)
    assert {a.name for a in found if not a.exported} == {"HIDDEN"}
    assert lines(found, "PATHS") == [10]
    assert {a.name: a.how for a in found}["LONG"] == "set --export --global"


@pytest.mark.shells
@pytest.mark.parametrize(
    ("shell", "script", "options", "expected"),
    [
        ("bash", "script.sh", ["--norc", "--noprofile"], SH_EXPORTED),
        ("zsh", "script.sh", ["-f"], SH_EXPORTED),
        ("fish", "script.fish", ["--no-config"], FISH_EXPORTED),
    ],
)
def test_the_shell_itself_exports_the_same(
    home: Path,
    missing_part: Callable[[str], NoReturn],
    shell: str,
    script: str,
    options: list[str],
    expected: list[str],
) -> None:
    program = shutil.which(shell)
    if program is None:
        missing_part(f"{shell} is not installed")

    def exported(command: str) -> set[str]:
        ran = subprocess.run(
            [program, *options, "-c", command],
            cwd=home,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return set(ran.stdout.split("\0")[0].split())

    # only names, because a value may hold anything
    names = "env -0 | cut -z -d= -f1 | tr '\\0' ' '"
    assert exported(f"source ./{script}; {names}") - exported(names) == set(expected)


@pytest.mark.parametrize(
    ("line", "followed"),
    [
        (". ~/more.sh", True),
        ("source $HOME/more.sh", True),
        ('source "${HOME}/more.sh"', True),
        ("\\. ~/more.sh", True),
        ("builtin source ./more.sh", True),
        ('. "$ZDOTDIR"/more.sh', True),
        (". '$HOME/more.sh'", False),
        ('. "~/more.sh"', False),
        (". $NVM_DIR/more.sh", False),
        (". $(echo ~)/more.sh", False),
        (". more.sh", False),
        ("echo . ~/more.sh", False),
        (". ", False),
    ],
)
def test_sourced_files(home: Path, line: str, followed: bool) -> None:
    (home / "rc").write_text(line + "\n")
    assert bool(read(home, "rc", POSIX)) == followed


def test_sourcing_is_followed_two_levels_deep_and_ends(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}").write_text(
            f"export LEVEL{number}=1\n. ~/{number + 1}\n. ~/0\n. ~/{number}\n"
        )
    assert [a.name for a in read(tmp_path, "0", POSIX)] == ["LEVEL0", "LEVEL1", "LEVEL2"]


def test_unreadable_sourced_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "rc").write_text(". ~/directory\n. ~/missing\n. ~/a\0b\nexport A=1\n")
    (tmp_path / "directory").mkdir()
    scripts = Scripts({}, str(tmp_path))
    scripts.read(str(tmp_path / "rc"), POSIX)
    assert [a.name for a in scripts.assignments] == ["A"]
    assert [s.reason for s in scripts.skipped] == ["not a regular file"]


@pytest.mark.parametrize(
    ("text", "exported"),
    [
        ("export -n A=1", set()),
        ("export -f A", set()),
        ("export -p", set()),
        ("export A", {"A"}),
        ("A=1; export -n A", set()),
        ("typeset -gx A=1 B", {"A", "B"}),
        ("typeset +x A=1", set()),
        ("local -x A=1", {"A"}),
        ("set -o allexport; A=1; set +o allexport; B=2", {"A"}),
        ("setopt ALL_EXPORT; A=1; unsetopt allexport; B=1", {"A"}),
        ("set -- -a; A=1", set()),
        ("set -euo pipefail; A=1", set()),
        ("launchctl setenv A 1", {"A"}),
        ("launchctl unsetenv A", set()),
        ("function f { export A=1; }", {"A"}),
        ("! export A=1", {"A"}),
        ("export 1A=1 A-B=2 =3", set()),
        ("export A[0]=1", set()),
        ("'export' A=1", {"A"}),
        ("A=1 export B=2", {"B"}),
        ("alias x='export A=1'", set()),
        ("echo export A=1", set()),
        ("test -z $A && export A=1", {"A"}),
    ],
)
def test_forms_of_posix_shells(tmp_path: Path, text: str, exported: set[str]) -> None:
    (tmp_path / "rc").write_text(text)
    assert {a.name for a in read(tmp_path, "rc", POSIX) if a.exported} == exported


@pytest.mark.parametrize(
    ("text", "exported"),
    [
        ("set -Ux A 1", {"A"}),
        ("set -x -g A 1", {"A"}),
        ("set -xg A", {"A"}),
        ("set -e A", set()),
        ("set -qx A", set()),
        ("set --erase -x A", set()),
        ("set -gu A 1", set()),
        ("set -S A", set()),
        ("set -x", set()),
        ("set -gx -- A -1", {"A"}),
        ("set -gx A[1] x", {"A"}),
        ("set -gx $name x", set()),
        ("export A=1 B", {"A", "B"}),
        ("A=1 set -gx B 1", {"B"}),
        ("A=1", set()),
        ("not set -gx A 1", {"A"}),
        ("set -gx 'A B' 1", set()),
    ],
)
def test_forms_of_fish(tmp_path: Path, text: str, exported: set[str]) -> None:
    (tmp_path / "rc").write_text(text)
    assert {a.name for a in read(tmp_path, "rc", FISH) if a.exported} == exported
