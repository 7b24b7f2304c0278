"""The file of bytecode: used while all of it is as it was, and not believed otherwise."""

from __future__ import annotations

import importlib
import marshal
import os
import shutil
import subprocess
import sys
import threading
from _imp import source_hash
from collections.abc import Callable
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import guard
from guard import bytecode, bytecode_file

MODULE = "guard.launch.process"
"""Whose bytecode says in these tests where it comes from."""


class Copy:
    """Our code in a place of its own, and its file, whose MODULE writes `from the file`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.guard = root / "code/guard"
        shutil.copytree(Path(guard.__file__).parent, self.guard)
        self.file = self.guard / "__pycache__" / Path(bytecode.FILE).name
        self.source = self.guard / "launch/process.py"
        self.original = self.source.read_bytes()
        self.home = root / "home"
        self.home.mkdir()

    def run(self) -> str:
        """What `exec -- echo ran` says; it has to run."""
        command = [sys.executable, "-I", "-S", str(self.guard / "__main__.py")]
        done = subprocess.run(
            [*command, "exec", "--", "echo", "ran"],
            env={"HOME": str(self.home), "PATH": os.defpath},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "ran\n"
        return done.stderr

    def key(self) -> str:
        """What `key` prints, which asks for MODULE by another way."""
        return self.other("key").stdout

    def other(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """What comes of another command."""
        environ = {"HOME": str(self.home), "PATH": os.defpath}
        return subprocess.run(
            [sys.executable, "-I", "-S", str(self.guard / "__main__.py"), *words],
            input=typed,
            env={**environ, "PORTKEY_API_KEY": "pk-canary-0123456"},
            cwd=self.home,
            capture_output=True,
            text=True,
        )

    def index(self) -> tuple[dict[str, Any], list[tuple[tuple[tuple[str, ...], int, int], ...]]]:
        """What is kept, by the name of the module, and the pieces; nothing without a file."""
        if not self.file.exists():
            return {}, []
        kept, groups = marshal.loads(self.file.read_bytes().partition(b"\n")[2])
        return kept, groups

    def forge(self, word: int = -1) -> None:
        """Put a file in place that fits the sources as they are, but for MODULE's bytecode.

        The `word` of its head is another one, if one is given.
        """
        self.file.unlink(missing_ok=True)
        self.source.write_bytes(self.original)
        os.utime(self.source, (1, 1))
        while MODULE not in self.index()[0]:
            self.run()
        head, _, rest = self.file.read_bytes().partition(b"\n")
        kept, groups = self.index()
        text = self.original + b"\nimport os\nos.write(2, b'from the file')\n"
        end, content, placed = 0, b"", []
        for group in groups:
            pieces = []
            for names, back, size in group:
                codes = list(marshal.loads(rest[len(rest) - back :][bytecode.SUM_BYTES : size]))
                if MODULE in names:
                    codes[names.index(MODULE)] = compile(text, str(self.source), "exec")
                content = bytecode_file._summed(marshal.dumps(tuple(codes))) + content
                pieces.append((names, len(content), len(content) - end))
                end = len(content)
            placed.append(tuple(pieces))
        rest = marshal.dumps((kept, placed)) + content
        words = head.split(b" ")
        words[3] = str(len(rest)).encode()
        words[4] = bytecode.checksum(rest[: bytecode.INDEX_BYTES]).hex().encode()
        if word >= 0:
            words[word] += b"0"
        self.file.write_bytes(b" ".join(words) + b"\n" + rest)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    made = Copy(tmp_path_factory.mktemp("bytecode"))
    made.file.unlink(missing_ok=True)
    made.run()
    assert not made.file.exists(), "a launch that compiles the policy is like no other"
    return made


def test_a_file_of_ours_is_used_and_kept(copy: Copy) -> None:
    copy.forge()
    before = copy.file.read_bytes()
    assert copy.run() == "from the file"
    assert copy.run() == "from the file"
    assert copy.file.read_bytes() == before


def _edited(copy: Copy) -> None:
    copy.source.write_bytes(copy.original + b"\n# one line more\n")


def _replaced(copy: Copy) -> None:
    other = copy.source.with_suffix(".new")
    other.write_bytes(copy.original)
    os.utime(other, (1, 1))
    other.replace(copy.source)


def _through_a_link(copy: Copy) -> None:
    copy.file.replace(copy.root / "elsewhere")
    copy.file.symlink_to(copy.root / "elsewhere")


def _a_pipe(copy: Copy) -> None:
    copy.file.unlink()
    os.mkfifo(copy.file)


def _cut(length: int) -> Callable[[Copy], None]:
    return lambda copy: copy.file.write_bytes(copy.file.read_bytes()[:length]) and None


def _other_bytes(copy: Copy) -> None:
    content = copy.file.read_bytes()
    assert content.count(b"from the file") == 1
    copy.file.write_bytes(content.replace(b"from the file", b"from the fire"))


def _other_index(copy: Copy) -> None:
    """Whole as marshal sees it, but of each module a part less."""
    head, line, rest = copy.file.read_bytes().partition(b"\n")
    kept, groups = copy.index()
    damaged = marshal.dumps(({name: found[:-1] for name, found in kept.items()}, groups))
    copy.file.write_bytes(head + line + damaged + rest[len(damaged) :])


def _of_another_release(copy: Copy) -> None:
    """As a release wrote it that had one dict for an index: git leaves the file where it is."""
    head, _, rest = copy.file.read_bytes().partition(b"\n")
    words = head.split(b" ")
    words[4] = source_hash(0, rest[: bytecode.INDEX_BYTES]).hex().encode()
    copy.file.write_bytes(b" ".join(words) + b"\n" + rest)


DIFFERENT: dict[str, Callable[[Copy], object]] = {
    "the source was edited": _edited,
    "the source has another time": lambda copy: os.utime(copy.source, (2, 2)),
    "the source was replaced, as long and as old": _replaced,
    "its group can write": lambda copy: copy.file.chmod(0o664),
    "everybody can write": lambda copy: copy.file.chmod(0o646),
    "it is a link": _through_a_link,
    "it is a pipe": _a_pipe,
    "its last byte is missing": _cut(-1),
    "half of it is missing": _cut(10_000),
    "it is empty": _cut(0),
    "it has a byte more": lambda copy: copy.file.write_bytes(copy.file.read_bytes() + b"\0"),
    "its bytecode is damaged": _other_bytes,
    "its index is damaged": _other_index,
    "its bytecode is of another format": lambda copy: copy.forge(0),
    "it is of another Python": lambda copy: copy.forge(1),
    "it is of a Python with -O": lambda copy: copy.forge(2),
    "it claims another length": lambda copy: copy.forge(3),
    "its index has another checksum": lambda copy: copy.forge(4),
    "it is of another place": lambda copy: copy.forge(5),
    "its form is another release's": _of_another_release,
}


@pytest.mark.parametrize("differ", DIFFERENT.values(), ids=DIFFERENT)
def test_a_file_that_differs_is_not_used(copy: Copy, differ: Callable[[Copy], object]) -> None:
    copy.forge()
    differ(copy)
    assert copy.run() == ""


def test_a_file_of_another_owner_is_not_used(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    copy.forge()
    monkeypatch.setattr(bytecode, "FILE", str(copy.file))
    monkeypatch.setattr(bytecode, "__file__", str(copy.guard / "bytecode.py"))
    finder = bytecode.Finder(os.geteuid())
    assert MODULE in finder.kept
    os.close(finder.handle)
    finder = bytecode.Finder(os.geteuid() + 1)
    assert (finder.kept, finder.handle) == ({}, -1)


def test_what_a_launch_imports_beside_it_is_added(copy: Copy) -> None:
    copy.forge()
    before = copy.index()[0]
    assert "guard.launch.print_key" not in before
    while "guard.launch.print_key" not in copy.index()[0]:
        copy.key()
    assert copy.index()[0].keys() > before.keys()


def test_a_group_brings_what_a_module_asks_for_and_no_other(copy: Copy) -> None:
    # MODULE is edited, and lies apart from then on from what asks for it, and from what it asks for
    copy.forge()
    copy.source.write_bytes(copy.original + b"\n# one line more\n")
    os.utime(copy.source, (2, 2))
    edited = bytecode.identity_of(str(copy.source))
    while not (
        copy.index()[0].get(MODULE, ["", ()])[1] == edited
        and "guard.launch.execute" in copy.index()[0]
    ):
        assert copy.run() == ""
    assert copy.key() == "pk-canary-0123456\n"
    assert copy.run() == ""


def test_a_package_that_asks_for_what_lies_in_it_runs_before_that(copy: Copy) -> None:
    copy.forge()
    package = "guard.sources.shell_commands"
    assert copy.guard.joinpath("sources/shell_commands/__init__.py").is_file()
    while package not in copy.index()[0]:
        assert copy.other("line", "bash", typed="litellm --port 4000").returncode == 126
    for _ in range(2):
        done = copy.other("line", "bash", typed="litellm --port 4000")
        assert done.returncode == 126, done.stderr


def test_what_removes_bytecode_of_ours_by_name_removes_it() -> None:
    # pip removes what is compiled of the modules that it installed, and no directory that is left
    module = Path(guard.__file__).with_name("hot.py")
    assert module.is_file()
    assert cache_from_source(str(module)) == bytecode.FILE


def test_a_thread_waits_for_a_module_that_another_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `doctor` looks at everything at once, and each check loads what it needs
    source = tmp_path / "late_one.py"
    source.write_text("import gates\ngates.begun.set()\ngates.on.wait(5)\nvalue = 1\n")
    gates = ModuleType("gates")
    gates.begun, gates.on = threading.Event(), threading.Event()  # type: ignore[attr-defined]
    finder = bytecode.Finder(os.geteuid())
    code = compile(source.read_text(), str(source), "exec")
    identity = bytecode.identity_of(str(source))
    finder.kept = {"guard.late_one": (str(source), identity, False, 0, 0, 0)}
    finder.read = {0: [("guard.late_one", code)]}
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    monkeypatch.setattr(guard, "__path__", [*guard.__path__, str(tmp_path)])
    monkeypatch.setitem(sys.modules, "gates", gates)
    seen: list[object] = []

    def load() -> None:
        try:
            seen.append(importlib.import_module("guard.late_one").value)
        except (AttributeError, ImportError) as error:
            seen.append(error)

    first, second = threading.Thread(target=load), threading.Thread(target=load)
    first.start()
    assert gates.begun.wait(60)
    second.start()
    # it has looked: either it waits for the lock of the import, or it is through
    while second.is_alive() and not _waits_for_an_import(second):
        second.join(0.01)
    gates.on.set()
    first.join()
    second.join()
    sys.modules.pop("guard.late_one", None)
    assert seen == [1, 1]


def _waits_for_an_import(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == "acquire"
