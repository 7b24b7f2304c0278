"""A directory of ours that stands in for one of the user's, without ever losing a file of theirs.

What is expected in it is known (links, and texts that we wrote). Everything else was made there by
a program that took it for the user's directory: it is given back to the user's own, or, where
something stands in the way or it is code, set aside under a name that is told.

Hot-path module; `shutil` is imported only to cross file systems.
"""

from __future__ import annotations

import os
import stat
import time
import zlib

from guard import paths
from guard.files.read import UnreadableError, read_bytes
from guard.files.write import remove, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_TRANSIENT = (".tmp", ".swp", ".lock", "~")
"""Ends of the names under which programs keep a file for a moment while they save."""


class Mirror:
    """One stand-in directory `ours`, the user's directory `real` ("" if there is none), and the
    place `aside` for what cannot go there. Links of ours lead below `real` or one of `origins`.

    `kept` collects a sentence for each file that was set aside, and where it lies now.
    """

    def __init__(
        self, ours: str, real: str, aside: str, manifest: str, origins: tuple[str, ...] = ()
    ) -> None:
        self.ours = ours
        self.real = real
        self.kept: list[str] = []
        self._origins = tuple(origin.rstrip("/") + "/" for origin in (real, *origins) if origin)
        self._aside = aside
        self._manifest = manifest
        self._written = _read_manifest(manifest)
        self._fresh: dict[str, int] = {}
        self._placed: set[str] = set()
        self._collected: list[tuple[str, frozenset[str], bool]] = []

    def is_ours(self, relative: str) -> bool:
        """Whether the file at `relative` has the checksum of what we wrote there.

        That tells an old text of ours from one that somebody edited; it vouches for nothing,
        because whoever can write here can write the list of checksums too. What stays in the
        directory is compared byte by byte (`write`), and the rest goes (`finish`).
        """
        wrote = self._written.get(relative)
        if wrote is None:
            return False
        try:
            raw = read_bytes(os.path.join(self.ours, relative))
        except UnreadableError:
            return False
        return raw is not None and zlib.crc32(raw) == wrote

    def leads_to(self, relative: str, target: str) -> bool:
        """Whether `relative` is a link to `target`."""
        try:
            return os.readlink(os.path.join(self.ours, relative)) == target
        except OSError:
            return False

    def is_link_of_ours(self, relative: str) -> bool:
        """Whether `relative` is a link to where our links lead."""
        try:
            return os.readlink(os.path.join(self.ours, relative)).startswith(self._origins)
        except OSError:
            return False

    def collect(
        self,
        folder: str,
        ignored: Iterable[str] = (),
        *,
        code: Iterable[str] = (),
        below: bool = False,
    ) -> None:
        """Give back or set aside what others made in `folder` (relative, "" the root).

        `ignored` names are left alone; `code` names are never given back: the agent would load
        them. With `below`, every file of the tree is looked at by itself.
        """
        base = os.path.join(self.ours, folder)
        if os.path.islink(base):
            return
        skip, never = frozenset(ignored), frozenset(code)
        self._collected.append((folder, skip, below))
        for name in _entries(base, below):
            relative = os.path.join(folder, name)
            if name in skip or name.endswith(_TRANSIENT) or self.is_ours(relative):
                continue
            if self.is_link_of_ours(relative):
                continue
            target = os.path.join(self.real, relative) if self.real else ""
            if name in never or not target or not self._give_back(relative, target):
                self.set_aside(relative)

    def _give_back(self, relative: str, target: str) -> bool:
        path = os.path.join(self.ours, relative)
        if not os.path.lexists(target):
            if not _move(path, target) and os.path.lexists(path):
                self._placed.add(relative)  # the user's place cannot be written: it stays for now
            return True
        # a program saved over our link by writing a new file and renaming it: the later one wins,
        # the other is kept
        try:
            new, old = os.lstat(path), os.lstat(target)
        except OSError:
            return False
        if not (stat.S_ISREG(new.st_mode) and stat.S_ISREG(old.st_mode)):
            return False
        if new.st_mtime_ns < old.st_mtime_ns:
            return False
        backup = self._free_name(relative)
        if not _move(target, backup):
            return False
        self.kept.append(f"{target} as it was before a save under the guard is now {backup}")
        return _move(path, target)

    def set_aside(self, relative: str) -> None:
        """Move what is at `relative` out of the way, and remember to say where."""
        path = os.path.join(self.ours, relative)
        place = self._free_name(relative)
        if _move(path, place):
            self.kept.append(f"{relative}, made under the guard, is now {place}")

    def _free_name(self, relative: str) -> str:
        paths.private_directory(self._aside)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        name = relative.replace("/", "-")
        for number in range(1000):
            place = os.path.join(self._aside, f"{stamp}-{number}-{name}"[:200])
            if not os.path.lexists(place):
                return place
        return os.path.join(self._aside, f"{stamp}-{os.getpid()}-{os.urandom(4).hex()}")

    def link(self, relative: str, target: str) -> None:
        """Make `relative` a link to `target`, or nothing if `target` does not exist."""
        path = os.path.join(self.ours, relative)
        self._placed.add(relative)
        if self.leads_to(relative, target) and os.path.lexists(target):
            return
        if not self._clear(relative) or not os.path.lexists(target):
            return
        try:
            os.symlink(target, path)
        except FileExistsError:
            pass  # another launch was faster

    def write(self, relative: str, text: str, *, mode: int = 0o600) -> None:
        """Write `text` to `relative`, atomically, unless it is there already."""
        path = os.path.join(self.ours, relative)
        raw = text.encode("utf-8", "surrogateescape")
        self._placed.add(relative)
        self._fresh[relative] = zlib.crc32(raw)
        try:
            if read_bytes(path, len(raw), links=False) == raw and _mode(path) == mode:
                return
        except UnreadableError:
            pass
        if self._clear(relative):
            write(path, raw, mode)

    def _clear(self, relative: str) -> bool:
        """Make room at `relative`; whether there is room. Never removes what is not ours."""
        path = os.path.join(self.ours, relative)
        if not os.path.lexists(path):
            return True
        if os.path.islink(path) or self.is_ours(relative):
            remove(path)
        elif os.path.isdir(path) and not self._written_below(relative):
            try:
                os.rmdir(path)
            except OSError:
                return False
        elif not os.path.isdir(path):
            self.set_aside(relative)
        return not os.path.lexists(path)

    def _written_below(self, relative: str) -> bool:
        return any(name.startswith(relative + "/") for name in self._fresh)

    def drop(self, relative: str) -> None:
        """Remove `relative` if it is a link or a text of ours, or an empty directory."""
        path = os.path.join(self.ours, relative)
        if os.path.islink(path) or self.is_ours(relative):
            remove(path)
        elif os.path.isdir(path):
            try:
                os.rmdir(path)
            except OSError:
                pass

    def finish(self) -> None:
        """Clear the collected folders of what this launch did not put there; remember what it did.

        What passed for ours and is not (an old link, an old text, one with a forged checksum)
        would otherwise stay, and the agent would load it.
        """
        for folder, skip, below in self._collected:
            base = os.path.join(self.ours, folder)
            if os.path.islink(base):
                continue  # a folder of the user's, linked as a whole
            for name in _entries(base, below):
                relative = os.path.join(folder, name)
                if name in skip or name.endswith(_TRANSIENT) or self._is_placed(relative):
                    continue
                self.drop(relative)
                if os.path.lexists(os.path.join(self.ours, relative)):
                    self.set_aside(relative)
        lines = "".join(
            f"{crc:08x} {name}\n" for name, crc in sorted(self._fresh.items()) if "\n" not in name
        )
        raw = lines.encode("utf-8", "surrogateescape")
        try:
            if read_bytes(self._manifest, links=False) == raw:
                return
        except UnreadableError:
            pass
        write(self._manifest, raw)

    def _is_placed(self, relative: str) -> bool:
        return relative in self._placed or any(
            name.startswith(relative + "/") for name in self._placed
        )


def _entries(base: str, below: bool) -> list[str]:
    """The names in `base`, or with `below` the relative paths of all files in its tree."""
    if below:
        return list(files_below(base))
    try:
        return os.listdir(base)
    except OSError:
        return []


def _mode(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def files_below(base: str, *, depth: int = 5) -> Iterator[str]:
    """Relative paths of everything below `base` that is no directory, links to one included."""
    pending = [("", depth)]
    while pending:
        folder, left = pending.pop()
        try:
            names = sorted(os.listdir(os.path.join(base, folder)))
        except OSError:
            continue
        for name in names:
            relative = os.path.join(folder, name)
            path = os.path.join(base, relative)
            if os.path.isdir(path) and not os.path.islink(path) and left:
                pending.append((relative, left - 1))
            else:
                yield relative


def _read_manifest(path: str) -> dict[str, int]:
    try:
        raw = read_bytes(path) or b""
    except UnreadableError:
        return {}
    found = {}
    for line in raw.decode("utf-8", "surrogateescape").splitlines():
        crc, _, name = line.partition(" ")
        try:
            found[name] = int(crc, 16)
        except ValueError:
            continue
    return found


def _move(path: str, target: str) -> bool:
    """Move `path` to the free name `target`, also to another file system. Never overwrites."""
    try:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        if stat.S_ISREG(os.lstat(path).st_mode):
            os.link(path, target)  # unlike a rename, never onto a file that has just appeared
            os.unlink(path)
            return True
        if os.path.lexists(target):
            return False
        os.rename(path, target)
        return True
    except FileExistsError:
        return False
    except OSError:
        pass
    if not os.path.lexists(path) or os.path.lexists(target):
        return False
    import shutil

    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.copytree(path, temporary, symlinks=True)
            os.rename(temporary, target)
            shutil.rmtree(path)
        else:
            shutil.copy2(path, temporary, follow_symlinks=False)
            os.rename(temporary, target)
            os.unlink(path)
    except OSError:
        return False
    return True
