"""The start files of the user's shells: which ones, whether they can be changed, and the change.

A start file is replaced in one rename and keeps its mode and group; one that is a link stays one,
one with several hard links keeps them. Nothing is changed before every file was looked at.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from glob import escape, glob

from guard import paths
from guard.files.read import UnreadableError, read_bytes
from guard.files.write import write, write_new
from guard.hook import SHELLS
from guard.install import blocks
from guard.install.refusals import NotPossibleError, not_written

Say = Callable[[str, str], None]
"""Called with a word of one column, such as "block", and what it is about."""

_LIMIT = 64 << 20
_ASK_ZSH = 10.0
_INSTEAD = ", or leave it alone with --no-rc"


def zshrc_of(environ: Mapping[str, str]) -> str:
    """The .zshrc that zsh reads: in ZDOTDIR, often set in ~/.zshenv without being exported."""
    home = paths.home(environ)
    given = environ.get("ZDOTDIR", "")
    zshenv = os.path.join(home, ".zshenv")
    # one that is no file would be waited for
    if not given and (os.path.isfile(zshenv) or not os.path.lexists(zshenv)):
        zsh = shutil.which("zsh", path=environ.get("PATH"))
        if zsh:
            given = _zdotdir_of(zsh, environ)
    return os.path.join(given or home, ".zshrc")


def _zdotdir_of(zsh: str, environ: Mapping[str, str]) -> str:
    script = 'printf "\\nrouteguard:%s\\n" "${ZDOTDIR-}"'
    try:
        done = subprocess.run(
            [zsh, "-c", script],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_ASK_ZSH,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    mark = b"routeguard:"
    said = [line[len(mark) :] for line in done.stdout.split(b"\n") if line.startswith(mark)]
    return os.fsdecode(said[-1]) if said else ""


def chosen_shells(environ: Mapping[str, str], zshrc: str) -> tuple[str, ...]:
    """The login shell, and each shell that has a start file already."""
    home = paths.home(environ)
    there = {
        "bash": os.path.exists(os.path.join(home, ".bashrc")),
        "zsh": os.path.exists(zshrc),
        "fish": os.path.isdir(os.path.join(paths.config_home(environ), "fish")),
    }
    login = os.path.basename(environ.get("SHELL", ""))
    return tuple(shell for shell in SHELLS if shell == login or there[shell])


def files_of(shell: str, environ: Mapping[str, str], zshrc: str) -> list[str]:
    """The files that get a block so that every interactive `shell` is guarded."""
    home = paths.home(environ)
    if shell == "fish":
        return [_fish_file(environ)]
    if shell == "zsh":
        return [zshrc]
    return [os.path.join(home, ".bashrc"), *_bash_login_file(home)]


def _fish_file(environ: Mapping[str, str]) -> str:
    return os.path.join(paths.config_home(environ), "fish/conf.d/routeguard.fish")


def _bash_login_file(home: str) -> list[str]:
    """The file that a login shell of bash reads, if that one does not read ~/.bashrc.

    bash takes the first of the three that exists; terminals on macOS start login shells.
    """
    for name in (".bash_profile", ".bash_login", ".profile"):
        path = os.path.join(home, name)
        if os.path.exists(path):
            try:
                content = read_bytes(path, _LIMIT) or b""
            except UnreadableError:
                return [path]
            reads = any(b"bashrc" in line.partition(b"#")[0] for line in content.split(b"\n"))
            return [] if reads else [path]
    # the last of the three: it hides none that is made later
    return [os.path.join(home, ".profile")]


def all_files(environ: Mapping[str, str]) -> list[str]:
    """Every file that an installation may have put a block into."""
    home = paths.home(environ)
    names = (".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshrc")
    found = [*(os.path.join(home, name) for name in names), zshrc_of(environ), _fish_file(environ)]
    return list(dict.fromkeys(found))


def content_of(path: str) -> bytes | None:
    """What the regular file behind `path` holds, None if there is none. Raises UnreadableError."""
    return read_bytes(path, _LIMIT)


def has_block(path: str) -> bool:
    """Whether `path` is a file with a block, whole or damaged. What is no file is not opened."""
    try:
        return blocks.find(content_of(path) or b"") is not None
    except UnreadableError:
        return False
    except blocks.DamagedBlockError:
        return True


def is_current(path: str, shell: str, loads: blocks.Loads) -> bool | None:
    """Whether the block in `path` is what setup would write there; None if there is none.

    Raises UnreadableError and DamagedBlockError.
    """
    content = content_of(path) or b""
    if blocks.find(content) is None:
        return None
    return content == blocks.with_block(content, lambda note: blocks.block(shell, loads, note))


def launcher_in(path: str) -> str:
    """The launcher that the block in `path` calls, "" if it names none. Raises UnreadableError."""
    found = re.search(rb"-x ('(?:[^']|'\\'')*'|[^ '\n]+)[ ;]", content_of(path) or b"")
    try:
        words = shlex.split(os.fsdecode(found[1])) if found else []
    except ValueError:
        words = []
    return words[0] if words else ""


def check(path: str, instead: str = _INSTEAD) -> None:
    """Raise NotPossibleError if the start file `path` cannot be changed safely.

    `instead` ends the fix: what else the command that asks can do.
    """
    target = os.path.realpath(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise NotPossibleError(
            "cannot follow the symlinks of a start file",
            where=path,
            why=error.strerror or str(error),
            fix=f"mend the links{instead}",
        ) from None
    else:
        _check_there(path, target, found, instead)
    place = nearest(target)
    if not os.access(place, os.W_OK):
        raise NotPossibleError(
            "a directory is not writable",
            where=place,
            why=f"{os.path.basename(path)} is replaced there in one step",
            fix=f"make it writable for you{instead}",
        )


def _check_there(path: str, target: str, found: os.stat_result, instead: str) -> None:
    wrong = ""
    if not stat.S_ISREG(found.st_mode):
        wrong, target, fix = "is not a regular file", path, "move it aside"
    elif not os.access(target, os.R_OK):
        wrong, fix = "cannot be read", "make it readable for you"
    elif not os.access(target, os.W_OK):
        wrong, fix = "is read-only", "make it writable"
    elif found.st_uid != os.getuid():
        wrong, fix = "belongs to somebody else", "make it yours"
    if wrong:
        raise NotPossibleError(f"a start file {wrong}", where=target, fix=f"{fix}{instead}")
    try:
        blocks.find(content_of(target) or b"")
    except UnreadableError as error:
        raise NotPossibleError(
            "a start file cannot be read",
            where=target,
            why=str(error),
            fix=f"correct it{instead}",
        ) from None
    except blocks.DamagedBlockError as error:
        raise NotPossibleError(
            "the routeguard block in a start file is damaged, so it is not touched",
            where=target,
            why=str(error),
            fix=f"remove what is left of it (lines '{blocks.BEGIN.decode()}' to "
            f"'{blocks.END.decode()}') and run this again",
        ) from None


def nearest(path: str) -> str:
    """The deepest directory above `path` that exists."""
    above = os.path.dirname(path)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    return above


def add_block(path: str, shell: str, loads: blocks.Loads, say: Say, *, dry_run: bool) -> None:
    """Put the block of `shell` into `path`, or bring the one that is there up to date."""
    before = content_of(path)
    after = blocks.with_block(before, lambda note: blocks.block(shell, loads, note))
    if before == after:
        say("unchanged", path)
        return
    keep = before is not None and blocks.find(before) is None
    if dry_run:
        if keep:
            say("backup", f"{path}.routeguard-backup")
        say("block", path)
        place = blocks.find(after)
        assert place is not None
        for line in after[place.start : place.end].decode("utf-8", "replace").splitlines():
            say("", f"| {line}")
        return
    if keep:
        _back_up(path, before or b"", say)
    _replace(path, after)
    say("block", path)


def remove_block(path: str, say: Say, *, dry_run: bool, make_room: Callable[[], bool]) -> None:
    """Take the block out of `path`, and the backup away if the file is then the same again."""
    before = content_of(path) if has_block(path) else None
    if before is None:
        return
    place = blocks.find(before)
    assert place is not None, "a damaged block is found by check"
    after = blocks.without_block(before)
    say("block", path)
    if not after and blocks.NOTE_MADE in place.notes:
        if not dry_run:
            os.unlink(os.path.realpath(path))
        return
    if not dry_run:
        try:
            _replace(path, after)
        except NotPossibleError:
            if not make_room():
                raise
            _replace(path, after)
    for copy in sorted(glob(escape(path) + ".routeguard-backup*")):
        if not os.path.isfile(copy):
            continue
        if _content_or_none(copy) == after:
            say("backup", copy)
            if not dry_run:
                os.unlink(copy)
        else:
            say("kept", f"{copy} (differs from the file as it is now)")


def remove_leftovers(path: str) -> None:
    """Remove what an installation that was killed has left beside `path`."""
    folder = escape(os.path.dirname(os.path.realpath(path)))
    for name in glob(escape(path) + ".routeguard-new.*"):  # of version 0.1.0
        os.unlink(name)
    for name in glob(os.path.join(folder, ".routeguard-[0-9]*-*.tmp")):
        os.unlink(name)


def _content_or_none(path: str) -> bytes | None:
    try:
        return read_bytes(path, _LIMIT)
    except UnreadableError:
        return None


def _back_up(path: str, content: bytes, say: Say) -> None:
    """Keep `content` beside `path`, under a name that is not taken; whole or not at all."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    number = 1
    while True:
        copy = path + ".routeguard-backup" + (f".{number}" if number > 1 else "")
        number += 1
        try:
            if not os.path.lexists(copy):
                if write_new(copy, content, mode):
                    say("backup", copy)
                    return
            elif stat.S_ISREG(os.lstat(copy).st_mode) and _content_or_none(copy) == content:
                return
        except OSError as error:
            raise not_written(copy, error) from None


def _replace(path: str, content: bytes) -> None:
    """Give the file behind `path` this content. Raises NotPossibleError; it is then as it was."""
    target = os.path.realpath(path)
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            found = os.stat(target)
        except FileNotFoundError:
            write(target, content, None)
            return
        if found.st_nlink > 1:
            _write_in_place(target, content)
            return
        write(target, content, stat.S_IMODE(found.st_mode))
        if os.stat(target).st_gid != found.st_gid:
            os.chown(target, -1, found.st_gid)
    except OSError as error:
        raise not_written(path, error) from None


def _write_in_place(target: str, content: bytes) -> None:
    """For a file with several names, of which a rename would give one another file."""
    pending = f"{target}.routeguard-new.{os.getpid()}"
    write(pending, content)
    try:
        with open(target, "r+b") as file:
            file.write(content)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NotPossibleError(
            "a start file could not be written",
            where=target,
            why=error.strerror or str(error),
            fix=f"its content is in {pending}; copy it back",
        ) from None
    os.unlink(pending)
