"""The block goes into any start file and comes out again without a trace."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.install import blocks

LOADS = blocks.Loads(
    "/home/it's \\ a $HOME/routeguard", "/nowhere/completion", "sh '/a b/install.sh'"
)
PARTS = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b"", b"\x00", b"\xff", b" ", b"export A=1", b"# >>> routeguard >>>x",
     b" # >>> routeguard >>>", blocks.NOTE_MADE, blocks.NOTE_NEWLINE, b"\x0c", b"\xc2\x85"]
)  # fmt: skip
CONTENTS = st.lists(PARTS, max_size=12).map(b"".join)


def make(note: bytes) -> bytes:
    return blocks.block("zsh", LOADS, note)


@given(CONTENTS)
def test_what_goes_in_comes_out(content: bytes) -> None:
    changed = blocks.with_block(content, make)
    assert blocks.find(changed) is not None
    assert blocks.without_block(changed) == content
    assert blocks.with_block(changed, make) == changed, "a second time changes nothing"


@given(CONTENTS, CONTENTS)
def test_what_is_added_around_it_stays(before: bytes, after: bytes) -> None:
    changed = blocks.with_block(before, make)
    more = b"\n" + after
    assert blocks.without_block(changed + more) in (
        before + more,
        before + b"\n" + more,
    ), "the newline that went in stays where something follows it"


def test_an_editor_that_made_crlf_of_all_leaves_none_behind() -> None:
    changed = blocks.with_block(b"export A=1", make).replace(b"\n", b"\r\n")
    assert blocks.without_block(changed) == b"export A=1"


@pytest.mark.shells
def program_of(shell: str, missing_part: Callable[[str], NoReturn]) -> str:
    """The path of `shell`, without which the test cannot run."""
    return shutil.which(shell) or missing_part(f"{shell} is not installed")


@pytest.mark.parametrize(
    ("shell", "options"),
    [
        ("bash", ""),
        ("bash", "set -eu; set -o posix; "),
        ("zsh", ""),
        ("zsh", "setopt rcquotes nounset ksharrays; "),
        ("zsh", "setopt cshjunkiequotes shglob\n"),
        ("fish", ""),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_the_refusal_is_said_in_whole_whatever_the_paths_hold(
    tmp_path: Path, shell: str, options: str, there: bool, missing_part
) -> None:
    program = program_of(shell, missing_part)
    launcher = tmp_path / 'it\'s "a" $HOME `home`/routeguard'
    if there:
        launcher.parent.mkdir()
        launcher.write_text("#!/bin/sh\nexit 126\n")
        launcher.chmod(0o755)
    loads = blocks.Loads(str(launcher), "/nowhere/completion", "sh '/a b/install.sh'")
    script = options + blocks.block(shell, loads).decode() + "opencode || echo usable $?\n"
    if shell == "fish":
        script = blocks.block(shell, loads).decode() + "opencode; or echo usable $status\n"
    found = subprocess.run(
        [program, "-c", script], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert found.stdout == "usable 126\n", found
    said = found.stderr.splitlines()
    once = said[: len(said) // 2]
    assert said == once * 2, "when the shell starts, and for the agent"
    if there:
        assert once[1:] == [f"  fix:   {shlex.quote(str(launcher))} doctor"]
    else:
        assert once[1:3] == [f"  where: {launcher}", "  fix:   sh '/a b/install.sh'"]
        assert once[3].strip() == "or:"


@pytest.mark.parametrize(
    ("shell", "options"),
    [
        ("bash", "readonly _routeguard_hook=x _routeguard_load=x\n"),
        ("bash", "IFS=0\n"),
        ("bash", "declare -i _routeguard_hook _routeguard_load\n"),
        ("bash", "shopt -s expand_aliases\nalias eval=: unset=: printf=:\n"),
        ("zsh", "readonly _routeguard_hook=x _routeguard_load=x\n"),
        ("zsh", "typeset -u _routeguard_hook _routeguard_load\n"),
        ("zsh", "alias eval=: unset=: printf=:\n"),
        ("zsh", "setopt warncreateglobal errreturn\n"),
    ],
)
@pytest.mark.parametrize("how", ["loads", "ends halfway"])
def test_whatever_the_shell_holds_the_hook_is_loaded_or_agents_are_blocked(
    tmp_path: Path, shell: str, options: str, how: str, missing_part
) -> None:
    """A function reads the start file again, as a user's `reload` does."""
    program = program_of(shell, missing_part)
    launcher = tmp_path / "routeguard"
    end = "exit 0" if how == "loads" else "kill -9 $$"
    launcher.write_text(
        "#!/bin/sh\necho 'function opencode {'\n"
        f"[ '{how}' != loads ] || printf 'return 5\\n}}\\n'\n{end}\n"
    )
    launcher.chmod(0o755)
    loads = blocks.Loads(str(launcher), "/nowhere/completion", "again")
    start = tmp_path / "start"
    start.write_bytes(options.encode() + blocks.block(shell, loads))
    script = f". {start}\nreload() {{ . {start}; }}\nreload\nopencode || echo usable $?\n"
    if "readonly" in options:
        script = f". {start}\nopencode || echo usable $?\n"
    found = subprocess.run(
        [program, "-c", script], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    status = 5 if how == "loads" else 126
    assert found.stdout == f"usable {status}\n", found
    said = {line.partition(":")[0].strip() for line in found.stderr.splitlines()}
    assert said == (set() if how == "loads" else {"routeguard", "fix"}), found
