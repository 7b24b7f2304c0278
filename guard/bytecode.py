"""The bytecode of the hot path in one file: a launch opens it, instead of some forty files.

It lies where Python keeps what it compiled of the same modules, by the name that the bytecode of
`guard.hot` would have, so that it goes with them: `pip uninstall` removes what it can name. It is
trusted no further: whoever can put a file there can put bytecode there that Python runs. More is
asked than Python asks. The file belongs to the owner of our own code, nobody else can write to it,
and a link does not count; of each module it holds the identity of the source, which is compared
when the module is imported. What differs is imported as Python does it, and goes into the next
file. What is in the file is what launches have imported. A checksum tells what a disk has damaged:
`marshal` and the interpreter may end the process on it.

Modules lie together in groups: one that a launch asked for, and before it those that its own
import asked for, each after what it needs. A module that is asked for runs after those that its own
import asked for and no others: another could need what is being imported just now. So a launch goes
through Python's import some ten times instead of forty. Python's own way takes a search and eleven
system calls for each module, which for `exec -- true` is a third of what the start of the
interpreter takes (3.11).

Hot-path module. Without `from __future__`, which is a module as well and comes from the file.
"""

import gc
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import (
    MAGIC_NUMBER,
    PathFinder,
    SourceFileLoader,
    cache_from_source,
)
from _imp import source_hash
from _thread import _count as threads  # beside the main one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

    Piece = tuple[tuple[str, ...], int, int]
    Kept = tuple[str, tuple[int, ...], bool, int, int, int]
    Code = tuple[str, CodeType]

_HERE = os.path.dirname(__file__)

FILE = cache_from_source(f"{_HERE}/hot.py")

INDEX_BYTES, _HEAD_BYTES = 60_000, 1 << 16
"""Hold the index, which has some hundred bytes for each module, and with it the head."""

SUM_BYTES = 8
"""Before the bytecode of each piece: its checksum, the one of Python's own files."""

_FORM = 2
"""Of the file, and goes into each checksum: a clone that another release is checked out in keeps
the file, and neither release may read what the other wrote."""

_Module = type(sys)

_REGULAR, _KIND_AND_OTHERS_WRITE = 0o100000, 0o170022


def use() -> None:
    """Import from the file from here on; what is not in it is noted.

    Our directory comes last on the path, so that it shadows nothing. Nothing that is imported is
    garbage: whether to collect any is for `dispatch` to say.
    """
    gc.disable()
    ours = os.path.dirname(_HERE)
    if ours not in sys.path:
        sys.path.append(ours)
    if "importtime" in sys._xoptions:
        return  # whoever measures imports is told of each
    try:
        owner = os.stat(__file__).st_uid
    except OSError:
        return
    finder = Finder(owner)
    if finder.handle >= 0 or owner == os.geteuid():
        sys.meta_path.insert(0, finder)


def news() -> "Finder | None":
    """The finder, if this process has imported what the file does not hold, and may write it.

    Not where it has entered `site`: it has compiled the policy, or does something else that most
    launches do not. Nor where threads have imported.
    """
    finder = sys.meta_path[0]
    if not isinstance(finder, Finder) or not finder.noted or finder.owner != os.geteuid():
        return None
    if "site" in sys.modules or sys.dont_write_bytecode or not finder.alone:
        return None
    return finder


def identity_of(path: str) -> "tuple[int, ...]":
    """What changes when the file at `path` does, also if its times are set back."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def is_still(path: str, identity: "tuple[int, ...]") -> bool:
    """Whether the file at `path` still has its `identity`."""
    try:
        return identity_of(path) == identity
    except OSError:
        return False


class Finder:
    """Finds our modules: in the file of `owner`, else as Python does, and notes those.

    `kept` is the index: by name the path of the source, its identity, whether it is a package, its
    group, and in it the place of the first that its import asked for, and its own. `groups` has the
    pieces of each: names, and where in the file their bytecode is, from its end, and how long.
    `done` are the modules that were noted, in the order in which their import was over, and `roots`
    the same apart for each that no other asked for. `asked` has by name those that its import asked
    for, but only those after the last that was in the file or lies in it, a package.
    """

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.kept: dict[str, Kept] = {}
        self.groups: list[tuple[Piece, ...]] = []
        self.read: dict[int, list[Code]] = {}
        self.noted: dict[str, tuple[str, tuple[int, ...], bool, CodeType]] = {}
        self.done: list[str] = []
        self.roots: list[list[str]] = []
        self.asked: dict[str, list[str]] = {}
        self.alone = True
        self.depth = self.floor = 0
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
                first, _, index = os.pread(self.handle, _HEAD_BYTES, 0).partition(b"\n")
                if first == head(index, found.st_size - len(first) - 1):
                    self.kept, self.groups = marshal.loads(index)  # noqa: S302 # of our code's owner
                    self.size = found.st_size
        except (OSError, ValueError, EOFError, TypeError):
            pass
        if not self.size:
            os.close(self.handle)
            self.handle = -1

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """The spec of the module `name`, None for one that is not ours.

        If it was kept, the module is there already: Python takes it from `sys.modules`. Beside
        other threads Python imports it, which makes them wait for a module that has not run yet.
        """
        if name[:6] != "guard." and name != "__future__":
            return None
        if threads():
            self.alone = False
            return None
        if name in self.kept and name not in sys.modules:
            self.bring(name)
            if name in sys.modules:
                return sys.modules[name].__spec__
        try:
            found = PathFinder.find_spec(name, path, target)
        except OSError:
            return None
        if found is not None and type(found.loader) is SourceFileLoader:
            found.loader = _Loader(name, found.loader.path, self)
        return found

    def bring(self, name: str) -> None:
        """Import the module `name` from the file, and first what its import asks for; nothing if
        the source of one of them differs: it may ask for others now."""
        *_, group, first, last = self.kept[name]
        if group not in self.read:
            self.read[group] = self.group(self.groups[group])
        wanted = [one for one in self.read[group][first : last + 1] if one[0] not in sys.modules]
        if all(is_still(*self.kept[one][:2]) for one, _ in wanted):
            for one, code in wanted:
                if one not in sys.modules:
                    self.run(one, code)

    def group(self, pieces: "tuple[Piece, ...]") -> "list[Code]":
        """The names of a group with their bytecode; nothing if a piece of it is damaged."""
        found: list[Code] = []
        for names, back, size in pieces:
            codes = self.codes(back, size)
            if not codes:
                return []
            found += zip(names, codes, strict=True)
        return found

    def run(self, name: str, code: "CodeType") -> None:
        """Make the module `name` of its `code`, as Python's own import leaves it."""
        origin, _, package = self.kept[name][:3]
        above, _, own = name.rpartition(".")
        if above and above not in sys.modules:
            __import__(above)
            if name in sys.modules:  # the package asks for it
                return
        module = _Module(name)
        loader = module.__loader__ = _Brought(name, origin)
        spec = module.__spec__ = ModuleSpec(name, loader, origin=origin, is_package=package)
        module.__file__, module.__package__ = origin, name if package else above
        if package:
            module.__path__ = spec.submodule_search_locations = [os.path.dirname(origin)]
        sys.modules[name] = module
        try:
            exec(code, module.__dict__)  # noqa: S102 # as an import does
        except BaseException:
            del sys.modules[name]
            raise
        if above:
            setattr(sys.modules[above], own, module)
        self.floor = len(self.done)

    def codes(self, back: int, size: int) -> "tuple[CodeType, ...]":
        """The bytecode of the modules of a piece; nothing if the file is damaged there."""
        try:
            piece = memoryview(os.pread(self.handle, size, self.size - back))  # not copied again
            if checksum(piece[SUM_BYTES:]) == piece[:SUM_BYTES]:
                codes: tuple[CodeType, ...] = marshal.loads(piece[SUM_BYTES:])  # noqa: S302
                return codes
        except (OSError, ValueError, EOFError, TypeError):
            pass
        return ()


def head(rest: bytes, size: int) -> bytes:
    """The first line of a file of this Python, its options and this place; `size` bytes follow,
    which begin with `rest`."""
    options = f"{MAGIC_NUMBER.hex()} {sys.hexversion:x} {sys.flags.optimize}"
    known = f"{size} {checksum(rest[:INDEX_BYTES]).hex()}"
    return f"{options} {known} {__file__}".encode("utf-8", "surrogateescape")


def checksum(content: "bytes | memoryview") -> bytes:
    return source_hash(_FORM, content)


class _Brought(SourceFileLoader):
    """Of a module that came from the file, and has run when Python asks for it."""

    def create_module(self, spec: ModuleSpec) -> "ModuleType":
        """The module that is there."""
        return sys.modules[spec.name]

    def exec_module(self, module: "ModuleType") -> None:
        """Nothing: it has run."""


class _Loader(SourceFileLoader):
    """Loads a module as Python does, and notes it."""

    def __init__(self, name: str, path: str, finder: Finder) -> None:
        super().__init__(name, path)
        self.finder = finder

    def exec_module(self, module: "ModuleType") -> None:
        """Run the module."""
        finder = self.finder
        before = len(finder.done)
        finder.depth += 1
        try:
            super().exec_module(module)
        finally:
            finder.depth -= 1
        asked = finder.done[max(before, finder.floor) :]
        # what lies in a package runs when that has begun
        inside = [place for place, one in enumerate(asked, 1) if one.startswith(f"{self.name}.")]
        finder.asked[self.name] = asked[inside[-1] if inside else 0 :]
        finder.done.append(self.name)
        if not finder.depth:
            finder.roots.append(finder.done[before:])

    def get_code(self, fullname: str) -> "CodeType | None":
        """Its bytecode. The source is looked at before, so that no change of it is missed."""
        identity = identity_of(self.path)
        code: CodeType | None = super().get_code(fullname)
        if code is not None:
            package = os.path.basename(self.path) == "__init__.py"
            self.finder.noted[fullname] = self.path, identity, package, code
        return code
