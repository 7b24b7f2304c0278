"""The block in a start file: written once, where it belongs, and taken out again byte for byte."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.shells

BEGIN = b"# >>> routeguard >>>\n"
END = b"# <<< routeguard <<<\n"

CONTENTS = {
    "plain": b"export A=1\n",
    "empty": b"",
    "no newline at the end": b"export A=1\nexport B=2",
    "one line, no newline": b"x",
    "blank lines": b"\n\nexport A=1\n\n\n",
    "crlf": b"export A=1\r\nexport B=2\r\n",
    "crlf, no newline at the end": b"export A=1\r\nexport B=2",
    "bytes that are no UTF-8": b"export A=\xff\xfe\n# \x00 \x80\n",
    "ends in a zero byte": b"export A=1\n\x00",
}


def tree(home) -> dict[str, bytes]:
    """The files of a home outside its data directory, with their content."""
    return {
        str(path.relative_to(home.path)): path.read_bytes()
        for path in home.path.rglob("*")
        if path.is_file() and not path.is_relative_to(home.data)
    }


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_block_goes_in_once_and_comes_out_without_a_trace(home, content: bytes) -> None:
    files = [home.path / name for name in (".bashrc", ".bash_profile", ".zshrc")]
    for file in files:
        file.write_bytes(content)
    home.set_up("--shell", "bash", "--shell", "zsh")
    for file in files:
        changed = file.read_bytes()
        assert changed.startswith(content)
        assert changed.count(BEGIN) == changed.count(END) == 1
        assert changed.endswith(END)
        assert Path(f"{file}.routeguard-backup").read_bytes() == content
    stamps = [file.stat().st_mtime_ns for file in files]
    home.set_up("--shell", "bash", "--shell", "zsh")
    assert [file.stat().st_mtime_ns for file in files] == stamps, "the second time wrote"
    home.set_up("--uninstall")
    assert tree(home) == {file.name: content for file in files}


def test_what_was_added_below_the_block_stays_a_line_of_its_own(home) -> None:
    rc = home.path / ".zshrc"
    rc.write_bytes(b"export A=1")
    home.set_up("--shell", "zsh")
    with rc.open("ab") as file:
        file.write(b"export B=2\n")
    home.set_up("--shell", "zsh")
    home.set_up("--uninstall")
    assert rc.read_bytes() == b"export A=1\nexport B=2\n"


def test_an_older_block_is_replaced_where_it_stands(home) -> None:
    rc = home.path / ".zshrc"
    rc.write_bytes(b"before\n" + BEGIN + b"eval something old\n" + END + b"after")
    home.set_up("--shell", "zsh")
    changed = rc.read_bytes()
    assert changed.startswith(b"before\n" + BEGIN)
    assert changed.endswith(END + b"after")
    assert b"something old" not in changed
    home.set_up("--uninstall")
    assert rc.read_bytes() == b"before\nafter"


def test_a_block_that_an_editor_gave_crlf_is_recognised_and_repaired(home) -> None:
    rc = home.path / ".zshrc"
    rc.write_bytes(b"before\n")
    home.set_up("--shell", "zsh")
    good = rc.read_bytes()
    rc.write_bytes(good.replace(b"\n", b"\r\n"))
    home.set_up("--shell", "zsh")
    assert rc.read_bytes() == good.replace(b"before\n", b"before\r\n")
    rc.write_bytes(good.replace(b"\n", b"\r\n"))
    home.set_up("--uninstall")
    assert rc.read_bytes() == b"before\r\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a\n" + BEGIN + b"b\n", "the block that begins in line 2 has no end"),
        (b"a\n" + END + b"b\n", "a block ends in line 2 that never began"),
        (BEGIN + END + BEGIN + END, "a second block begins in line 3"),
        (BEGIN + BEGIN + END, "a second block begins in line 2"),
        (END + BEGIN, "a block ends in line 1 that never began"),
    ],
)
@pytest.mark.parametrize("options", [("--shell", "all"), ("--uninstall",)])
def test_a_damaged_block_is_not_touched(
    home, content: bytes, why: str, options: tuple[str, ...]
) -> None:
    (home.path / ".bashrc").write_bytes(b"# fine\n")
    (home.path / ".zshrc").write_bytes(content)
    before = tree(home)
    result = home.set_up(*options, status=1)
    assert tree(home) == before
    assert "damaged" in result.stderr
    assert ".zshrc" in result.stderr
    assert why in result.stderr


def test_a_symlink_is_written_through_and_stays_one(home) -> None:
    dotfiles = home.path / "dot files"
    dotfiles.mkdir()
    target = dotfiles / "zshrc"
    target.write_bytes(b"export A=1\n")
    target.chmod(0o640)
    (home.path / "middle").symlink_to("dot files/zshrc")
    rc = home.path / ".zshrc"
    rc.symlink_to("middle")
    home.set_up("--shell", "zsh")
    assert os.readlink(rc) == "middle"
    assert os.readlink(home.path / "middle") == "dot files/zshrc"
    assert BEGIN in target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in dotfiles.iterdir()] == ["zshrc"], "left something in the dotfiles"
    home.set_up("--uninstall")
    assert target.read_bytes() == b"export A=1\n"
    assert os.readlink(rc) == "middle"
    assert not (home.path / ".zshrc.routeguard-backup").exists()


def test_a_symlink_that_leads_nowhere_yet_gets_its_target(home) -> None:
    rc = home.path / ".zshrc"
    rc.symlink_to("zshrc-elsewhere")
    home.set_up("--shell", "zsh")
    assert rc.is_symlink()
    assert BEGIN in (home.path / "zshrc-elsewhere").read_bytes()
    home.set_up("--uninstall")
    assert rc.is_symlink()
    assert not (home.path / "zshrc-elsewhere").exists()


def test_a_ring_of_symlinks_is_refused(home) -> None:
    (home.path / ".zshrc").symlink_to(".other")
    (home.path / ".other").symlink_to(".zshrc")
    assert "symlinks" in home.set_up("--shell", "zsh", status=1).stderr


def test_a_backup_is_never_overwritten(home) -> None:
    rc = home.path / ".zshrc"
    rc.write_bytes(b"now\n")
    backup = home.path / ".zshrc.routeguard-backup"
    backup.write_bytes(b"long ago\n")
    home.set_up("--shell", "zsh")
    assert backup.read_bytes() == b"long ago\n"
    assert Path(f"{backup}.2").read_bytes() == b"now\n"
    result = home.set_up("--uninstall")
    assert backup.read_bytes() == b"long ago\n"
    assert not Path(f"{backup}.2").exists()
    assert f"kept       ~/{backup.name}" in result.stdout


def test_a_file_that_was_made_stays_when_something_was_added(home) -> None:
    home.set_up("--shell", "zsh")
    rc = home.path / ".zshrc"
    with rc.open("ab") as file:
        file.write(b"export A=1\n")
    home.set_up("--uninstall")
    assert rc.read_bytes() == b"export A=1\n"


def test_a_dry_run_shows_what_a_run_then_does(home) -> None:
    (home.path / ".bashrc").write_bytes(b"export A=1")
    (home.path / ".profile").write_bytes(b". ~/.bashrc\n")
    before = tree(home)
    shown = home.install("--dry-run", "--shell", "all").stdout
    assert tree(home) == before
    home.install("--shell", "all")
    after = tree(home)
    written = {name for name in after if after[name] != before.get(name)}
    for name in written:
        assert f" ~/{name}\n" in shown
    assert "  unchanged  ~/.local/bin/routeguard\n" in home.install("--dry-run").stdout
    assert tree(home) == after
    for name in (".bashrc", ".zshrc", ".config/fish/conf.d/routeguard.fish"):
        block = after[name][after[name].index(BEGIN) :].decode()
        assert "".join(f"    | {line}\n" for line in block.splitlines()) in shown
    before = tree(home)
    shown = home.install("--dry-run", "--uninstall").stdout
    assert tree(home) == before
    assert "~/.local/bin/routeguard\n" in shown
    assert "~/.local/share/routeguard/venv, " in shown


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ".profile"),
        ({".bash_profile": "[ -f ~/.bashrc ] && . ~/.bashrc\n"}, ""),
        ({".profile": 'if [ "$BASH" ]; then\n  . ~/.bashrc\nfi\n'}, ""),
        ({".profile": "# . ~/.bashrc\n"}, ".profile"),
        ({".bash_login": "export A=1\n", ".profile": ". ~/.bashrc\n"}, ".bash_login"),
        ({".bash_profile": "export A=1\n", ".profile": ". ~/.bashrc\n"}, ".bash_profile"),
    ],
)
def test_login_shells_of_bash_are_guarded_too(home, files: dict[str, str], expected: str) -> None:
    for name, content in files.items():
        (home.path / name).write_text(content)
    home.set_up("--shell", "bash")
    blocks = {name for name, content in tree(home).items() if BEGIN in content}
    assert blocks == {".bashrc", expected} - {""}


@pytest.mark.parametrize(
    ("shell", "existing", "expected"),
    [
        ("/bin/zsh", [], {".zshrc"}),
        ("/usr/local/bin/fish", [], {".config/fish/conf.d/routeguard.fish"}),
        ("/bin/bash", [".zshrc"], {".bashrc", ".profile", ".zshrc"}),
        ("/bin/sh", [], set()),
        ("/bin/sh", [".zshrc"], {".zshrc"}),
    ],
)
def test_the_default_is_the_login_shell_and_what_has_a_start_file(
    home, shell: str, existing: list[str], expected: set[str]
) -> None:
    for name in existing:
        (home.path / name).touch()
    result = home.set_up(SHELL=shell)
    assert {name for name, content in tree(home).items() if BEGIN in content} == expected
    if not expected:
        assert "hook bash" in result.stdout


def test_no_login_shell_is_no_problem(home) -> None:
    del home.environ["SHELL"]
    (home.path / ".zshrc").touch()
    home.set_up()
    assert BEGIN in (home.path / ".zshrc").read_bytes()


def test_start_files_can_be_left_alone(home) -> None:
    (home.path / ".zshrc").write_bytes(b"export A=1\n")
    home.set_up("--no-rc", SHELL="/bin/zsh")
    assert (home.path / ".zshrc").read_bytes() == b"export A=1\n"


def test_files_are_where_the_environment_says(home) -> None:
    moved = home.path / "con fig"
    home.set_up("--shell", "all", XDG_CONFIG_HOME=str(moved), ZDOTDIR=str(home.path / "z"))
    blocks = {name for name, content in tree(home).items() if BEGIN in content}
    assert blocks == {".bashrc", ".profile", "z/.zshrc", "con fig/fish/conf.d/routeguard.fish"}
    home.set_up("--uninstall", XDG_CONFIG_HOME=str(moved), ZDOTDIR=str(home.path / "z"))
    assert tree(home) == {}


def test_zsh_is_asked_for_a_directory_that_it_keeps_to_itself(home, require_zsh: str) -> None:
    (home.path / "z").mkdir()
    (home.path / ".zshenv").write_text('echo noise\nZDOTDIR="$HOME/z"\n')
    home.set_up("--shell", "zsh")
    assert BEGIN in (home.path / "z/.zshrc").read_bytes()
    assert not (home.path / ".zshrc").exists()


def test_what_is_not_a_file_is_refused_before_anything_is_written(home) -> None:
    (home.path / ".bashrc").write_bytes(b"export A=1\n")
    (home.path / ".zshrc").mkdir()
    before = tree(home)
    result = home.set_up("--shell", "all", status=1)
    assert tree(home) == before
    assert not home.launcher.exists()
    assert "not a regular file" in result.stderr
    assert "--no-rc" in result.stderr


SPECIAL = {
    "a pipe": os.mkfifo,
    "a socket": lambda path: socket.socket(socket.AF_UNIX).bind(path),
    "a directory": os.mkdir,
    "a device": lambda path: os.symlink("/dev/tty", path),
    "an endless device": lambda path: os.symlink("/dev/zero", path),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_not_a_file_is_never_opened(home, kind: str) -> None:
    """A pipe without a writer would be waited for."""
    home.set_up("--shell", "zsh")
    block = (home.path / ".zshrc").read_bytes()
    for name in (".bashrc", ".bash_profile", ".profile", ".zshenv", ".zshrc.routeguard-backup"):
        # a socket's name may be no longer than 108 bytes
        here = os.getcwd()
        os.chdir(home.path)
        try:
            SPECIAL[kind](name)
        finally:
            os.chdir(here)
    kinds = {name: (home.path / name).lstat().st_mode for name in os.listdir(home.path)}
    result = subprocess.run(
        ["/bin/sh", str(home.clone / "install.sh"), "--shell", "bash", "--no-shims"],
        env=home.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "not a regular file" in result.stderr
    (home.path / ".zshrc").write_bytes(b"before\n" + block)
    subprocess.run(
        ["/bin/sh", str(home.clone / "install.sh"), "--uninstall"],
        env=home.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert (home.path / ".zshrc").read_bytes() == b"before\n"
    for name, mode in kinds.items():
        if name.startswith("."):
            path = home.path / name
            assert not path.exists() or path.lstat().st_mode == mode or path.is_dir()


def test_a_hard_linked_file_keeps_its_links(home) -> None:
    rc, other = home.path / ".zshrc", home.path / "dotfiles-zshrc"
    other.write_bytes(b"export A=1\n")
    other.chmod(0o640)
    os.link(other, rc)
    home.set_up("--shell", "zsh")
    assert rc.samefile(other)
    assert BEGIN in other.read_bytes()
    home.set_up("--uninstall")
    assert rc.samefile(other)
    assert other.read_bytes() == b"export A=1\n"
    assert other.stat().st_mode & 0o777 == 0o640
    assert tree(home) == {".zshrc": b"export A=1\n", "dotfiles-zshrc": b"export A=1\n"}


def limited(home, kilobytes: int, *options: str) -> subprocess.CompletedProcess[str]:
    """install.sh where no file may grow beyond `kilobytes`: as a disk that is full."""
    script = f'ulimit -f {kilobytes * 2}; exec sh "$0" "$@"'
    return subprocess.run(
        ["sh", "-c", script, str(home.clone / "install.sh"), "--no-shims", *options],
        env=home.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("linked", [False, True])
def test_a_full_disk_leaves_every_file_as_it_was(home, linked: bool) -> None:
    content = b"".join(b"export A%d=1\n" % number for number in range(2000))
    rc = home.path / ".zshrc"
    rc.write_bytes(content)
    if linked:
        os.link(rc, home.path / "other")
    home.set_up("--no-rc")
    before = tree(home)
    assert len(content) > 16 * 1024
    for kilobytes in (0, 16):
        result = limited(home, kilobytes, "--shell", "zsh")
        assert result.returncode == 1, result
        assert tree(home) == before
    assert "is the disk full" in result.stderr
    home.set_up("--shell", "zsh")
    installed = tree(home)
    for kilobytes in (0, 16):
        result = limited(home, kilobytes, "--uninstall")
        assert result.returncode == 1, result
        assert {k: v for k, v in tree(home).items() if "zshrc" in k or k == "other"} == {
            k: v for k, v in installed.items() if "zshrc" in k or k == "other"
        }
    home.set_up("--uninstall")
    assert rc.read_bytes() == content
    assert list(home.path.glob(".zshrc.*")) == []


SMALL_DISK = """
set -e
mount -t tmpfs -o size=512k small "$1"
export HOME="$1" TMPDIR="$1"
mkdir -p "$HOME/.local/share/routeguard/versions/v" "$HOME/.local/bin"
ln -s versions/v "$HOME/.local/share/routeguard/venv"
head -c 100000 /dev/zero >"$HOME/.local/share/routeguard/versions/v/library"
cp "$3" "$HOME/.zshrc"
head -c 10000000 /dev/zero >"$HOME/filler" 2>/dev/null || :
df "$HOME" | tail -n 1
sh "$2" --uninstall
cat "$HOME/.zshrc"
ls -A "$HOME"
"""


def test_it_can_be_removed_from_a_disk_without_any_room(
    home, tmp_path: Path, missing_part: Callable[[str], None]
) -> None:
    """What goes anyway goes first, so that the start files can be written again."""
    namespace = ["unshare", "-rm"]
    mount = 'mount -t tmpfs -o size=64k small "$0"'
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    if subprocess.run([*namespace, "sh", "-c", mount, str(mnt)], capture_output=True).returncode:
        missing_part("no tmpfs can be mounted here: unshare -rm does not work")
    home.set_up("--shell", "zsh")
    text = home.path / ".zshrc"
    text.write_bytes(b"export A=1\n" + text.read_bytes())
    result = subprocess.run(
        [*namespace, "sh", "-c", SMALL_DISK, "sh", mnt, home.clone / "install.sh", text],
        env=home.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result
    assert "100%" in result.stdout.splitlines()[0]
    assert result.stdout.endswith("export A=1\n.local\n.zshrc\nfiller\n")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a home of another user")
@pytest.mark.parametrize(
    ("mode", "owner", "message"),
    [(0o444, 65534, "read-only"), (0o000, 65534, "cannot be read"), (0o666, 0, "somebody else")],
)
def test_a_file_that_may_not_be_changed_is_left_alone(
    unprivileged: Callable, mode: int, owner: int, message: str
) -> None:
    home, user = unprivileged()
    rc = home.path / ".zshrc"
    rc.write_bytes(b"export A=1\n")
    os.chown(rc, owner, owner)
    rc.chmod(mode)
    before = tree(home)
    result = subprocess.run(
        ["/bin/sh", str(home.clone / "install.sh"), "--shell", "all"],
        env=home.environ | {"PATH": "/usr/bin:/bin"},
        user=user,
        group=user,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert message in result.stderr
    assert str(rc) in result.stderr
    assert tree(home) == before
    assert rc.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act in another user's home")
def test_sudo_is_refused(unprivileged: Callable) -> None:
    home, _ = unprivileged()
    assert "without sudo" in home.install(status=1).stderr
    assert tree(home) == {}


@pytest.mark.parametrize(
    "options",
    [["--shell"], ["--shell", "tcsh"], ["--shell=tcsh"], ["--nonsense"], ["x"], ["--purge"]],
)
def test_usage_errors(home, options: list[str]) -> None:
    before = tree(home)
    assert "--help" in home.install(*options, status=2).stderr
    assert tree(home) == before


def test_help_has_examples(home) -> None:
    result = home.install("--help")
    assert "Examples:" in result.stdout
    assert result.stderr == ""
