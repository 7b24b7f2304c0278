"""The bytecode of the hot path in one file: a launch opens it, instead of some forty files.

It lies where Python keeps what it compiled of the same modules, by the name that the bytecode of
`guard.hot` would have, so that it goes with them: `pip uninstall` removes what it can name. It is
trusted no further: whoever can put a file there can put bytecode there that Python runs. More is
asked than Python asks. The file belongs to the owner of our own code, nobody else can write to it,
and a link does not count; of each module it holds the identity of the source, which is compared
when the module is imported. What differs is imported as Python does it, and goes into the next
file. What is in the file is what launches have imported. A checksum tells what a disk has damaged:
`marshal` and the interpreter may end the process on it.

Python's own way takes a search and eleven system calls for each module, which for `exec -- true`
is a third of what the start of the interpreter takes (3.11).

Hot-path module. Without `from __future__`, which is a module as well and comes from the file.
"""

import marshal
import os
import sys
import time
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import (
    MAGIC_NUMBER,
    PathFinder,
    SourceFileLoader,
    cache_from_source,
)
from _imp import source_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

FILE = cache_from_source(f"{os.path.dirname(__file__)}/hot.py")

_INDEX_BYTES, _HEAD_BYTES = 60_000, 1 << 16
"""Hold the index, which has some hundred bytes for each module, and with it the head."""

_SUM_BYTES = 8
"""Before the bytecode of each module: its checksum, the one of Python's own files."""

_REGULAR, _KIND_AND_OTHERS_WRITE = 0o100000, 0o170022

_OLD_NS, _SEEN_NS = 2_000_000_000, 100_000_000
"""Nanoseconds. A source that was written, or changed otherwise, more recently is not kept: Python
tells its own file from a source by whole seconds, and the clock of a file system has its ticks."""


def use() -> None:
    """Import from the file from here on; what is not in it is noted for `keep`."""
    try:
        owner = os.stat(__file__).st_uid
    except OSError:
        return
    finder = _Finder(owner)
    if finder.handle >= 0 or owner == os.geteuid():
        sys.meta_path.insert(0, finder)


def keep() -> None:
    """Write the file again, if this process has imported what it does not hold.

    Not where it has entered `site`: it has compiled the policy, or does something else that most
    launches do not. A file that cannot be written costs time, not the launch.
    """
    finder = sys.meta_path[0]
    if not isinstance(finder, _Finder) or finder.owner != os.geteuid():
        return
    if finder.noted and "site" not in sys.modules and not sys.dont_write_bytecode:
        try:
            finder.write()
        except (OSError, ValueError):
            pass


def _identity(path: str) -> "tuple[int, ...]":
    """What changes when the file at `path` does, also if its times are set back."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


class _Finder:
    """Finds our modules: in the file of `owner`, else as Python does, and notes those.

    `kept` is the index: by name the path of the source, its identity, whether it is a package, and
    where in the file the bytecode is, from its end, and how long.
    """

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.kept: dict[str, tuple[str, tuple[int, ...], bool, int, int]] = {}
        self.noted: dict[str, tuple[str, tuple[int, ...], bool, CodeType | None]] = {}
        self.size = 0
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            self.handle = os.open(FILE, flags)
        except OSError:
            self.handle = -1
            return
        try:
            found = os.fstat(self.handle)
            if found.st_uid == owner and found.st_mode & _KIND_AND_OTHERS_WRITE == _REGULAR:
                head, _, index = os.pread(self.handle, _HEAD_BYTES, 0).partition(b"\n")
                if head == _head(index, found.st_size - len(head) - 1):
                    self.kept = marshal.loads(index)  # noqa: S302 # of the owner of our code
                    self.size = found.st_size
        except (OSError, ValueError, EOFError, TypeError):
            pass
        if not self.size:
            os.close(self.handle)
            self.handle = -1

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """The spec of the module `name`, None for one that is not ours."""
        if name[:6] != "guard." and name != "__future__":
            return None
        try:
            if name in self.kept:
                origin, identity, package, _, _ = self.kept[name]
                if _identity(origin) == identity:
                    loader = _Loader(name, origin, self)
                    spec = ModuleSpec(name, loader, origin=origin, is_package=package)
                    if package:
                        spec.submodule_search_locations = [os.path.dirname(origin)]
                    return spec
                del self.kept[name]
            found = PathFinder.find_spec(name, path, target)
        except OSError:
            return None
        if found is not None and type(found.loader) is SourceFileLoader:
            found.loader = _Loader(name, found.loader.path, self)
        return found

    def code(self, name: str) -> "CodeType | None":
        """The bytecode of the module `name`, None if it is not kept."""
        if name not in self.kept:
            return None
        *_, back, size = self.kept[name]
        piece = os.pread(self.handle, size, self.size - back)
        if _sum(piece[_SUM_BYTES:]) != piece[:_SUM_BYTES]:
            del self.kept[name]
            return None
        return marshal.loads(piece[_SUM_BYTES:])  # type: ignore[no-any-return] # noqa: S302

    def write(self) -> None:
        """Write the file: what was kept and noted, of the sources that are still the same."""
        from guard.files.write import write

        now = time.time_ns()
        found = {
            name: (origin, identity, package, _summed(marshal.dumps(code)))
            for name, (origin, identity, package, code) in self.noted.items()
            if identity[0] < now - _OLD_NS and identity[1] < now - _SEEN_NS
        }
        if not found:
            return
        for name, (origin, identity, package, back, size) in self.kept.items():
            piece = os.pread(self.handle, size, self.size - back)
            if _summed(piece[_SUM_BYTES:]) != piece:
                continue
            found.setdefault(name, (origin, identity, package, piece))
        index: dict[str, tuple[str, tuple[int, ...], bool, int, int]] = {}
        pieces: list[bytes] = []
        back = 0
        for name, (origin, identity, package, piece) in found.items():
            if os.path.exists(origin) and _identity(origin) == identity:
                back += len(piece)
                index[name] = origin, identity, package, back, len(piece)
                pieces.insert(0, piece)
        rest = marshal.dumps(index) + b"".join(pieces)
        if len(rest) - back < _INDEX_BYTES:
            write(FILE, _head(rest, len(rest)) + b"\n" + rest, 0o644)


def _head(rest: bytes, size: int) -> bytes:
    """The first line of a file of this Python, its options and this place; `size` bytes follow,
    which begin with `rest`."""
    options = f"{MAGIC_NUMBER.hex()} {sys.hexversion:x} {sys.flags.optimize}"
    known = f"{size} {_sum(rest[:_INDEX_BYTES]).hex()}"
    return f"{options} {known} {__file__}".encode("utf-8", "surrogateescape")


def _sum(content: bytes) -> bytes:
    return source_hash(0, content)


def _summed(content: bytes) -> bytes:
    return _sum(content) + content


class _Loader(SourceFileLoader):
    """Loads a module as Python does, but for its bytecode where that is kept; else notes it."""

    def __init__(self, name: str, path: str, finder: _Finder) -> None:
        super().__init__(name, path)
        self.finder = finder

    def exec_module(self, module: "ModuleType") -> None:
        """Run the module."""
        module.__file__ = self.path
        super().exec_module(module)

    def get_code(self, fullname: str) -> "CodeType | None":
        """Its bytecode; if the file was damaged since it was opened, Python's.

        The source is looked at before it is loaded, so that no change of it is missed.
        """
        code: CodeType | None
        try:
            code = self.finder.code(fullname)
            if code is not None:
                return code
        except (OSError, ValueError, EOFError, TypeError):
            pass
        identity = _identity(self.path)
        code = super().get_code(fullname)
        package = os.path.basename(self.path) == "__init__.py"
        self.finder.noted[fullname] = self.path, identity, package, code
        return code
