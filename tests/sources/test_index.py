"""What git's index holds, asked of the real git in every state a commit can meet it in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard.errors import GuardError, UsageError
from guard.sources import index, reading
from guard.sources.file import SourceFile
from guard.sources.records import Skipped

CANARY = "staged-canary"


class Repository:
    def __init__(self, top: Path) -> None:
        self.top = top
        top.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q")

    def git(self, *words: str, check: bool = True, **environ: str) -> str:
        names = ("user.name=t", "user.email=t@example.invalid", "protocol.file.allow=always")
        command = ["git", *(part for name in names for part in ("-c", name)), *words]
        done = subprocess.run(
            command, cwd=self.top, check=False, capture_output=True, text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(self.top.parent), **environ},
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def write(self, name: str, text: str | bytes, *, add: bool = True) -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        if add:
            self.git("add", "-f", name)
        return path

    def commit(self, **files: str) -> None:
        for name, text in files.items():
            self.write(name, text)
        self.git("commit", "-qm", "x")

    def staged(self, *targets: str, cwd: Path | None = None) -> dict[str, str]:
        """Path and text of each file that would be checked."""
        found = index.locate(targets, str(cwd or self.top)).collect()
        assert not found.whole
        texts = {}
        files = index.read(found.entries, found.root)
        for entry, file in zip(found.entries, files, strict=True):
            if isinstance(file, SourceFile):
                assert (file.path, file.absolute) == (entry.path, str(self.top / entry.path))
                texts[entry.path] = file.text
            elif isinstance(file, reading.Opaque):
                texts[entry.path] = "(opaque)"
            else:
                texts[entry.path] = f"({file.reason if isinstance(file, Skipped) else file})"
        texts |= {skipped.path: f"({skipped.reason})" for skipped in found.skipped}
        return texts | dict.fromkeys(found.nested, "(nested)")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for name in os.environ:
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    made = Repository(tmp_path.resolve() / "r")
    monkeypatch.chdir(made.top)
    return made


def test_the_first_commit_and_the_next(repository: Repository) -> None:
    repository.write("a", "one")
    repository.write("untracked", "x", add=False)
    assert repository.staged() == {"a": "one"}
    repository.commit()
    assert repository.staged() == {}
    repository.write("a", "two")
    repository.write("a", "three", add=False)
    assert repository.staged() == {"a": "two"}


def test_a_file_that_is_clean_again_in_the_work_tree(repository: Repository) -> None:
    repository.commit(a="fine")
    repository.write("a", CANARY)
    repository.write("a", "fine", add=False)
    assert repository.staged() == {"a": CANARY}


def test_deleted_renamed_and_only_announced(repository: Repository) -> None:
    repository.commit(gone="1\n2\n3\n4\n", moved="a\nb\nc\nd\n", still="x")
    repository.git("rm", "-q", "gone")
    repository.git("mv", "moved", "here")
    repository.write("soon", CANARY, add=False)
    repository.git("add", "-N", "soon")
    repository.git("update-index", "--chmod=+x", "still")
    assert repository.staged() == {"here": "a\nb\nc\nd\n", "still": "x"}
    # deleted from the index and still in the work tree
    repository.git("rm", "-q", "-f", "--cached", "still")
    assert "still" not in repository.staged()


def test_names_of_any_kind(repository: Repository) -> None:
    names = ["a b", "ü", "x\ny", "-n", ":(top)z", '"q"', "tab\t", os.fsdecode(b"\xff.env")]
    for name in names:
        repository.write(f"./{name}", name.encode("utf-8", "surrogateescape"))
    assert sorted(repository.staged()) == sorted(names)
    assert repository.staged(":(top)z") == {":(top)z": ":(top)z"}


def test_named_files_are_taken_changed_or_not(repository: Repository) -> None:
    repository.commit(a="1", **{"sub/b": "2", "sub/c": "3"})
    assert repository.staged("a") == {"a": "1"}
    assert repository.staged("sub") == {"sub/b": "2", "sub/c": "3"}
    assert len(repository.staged(".")) == 3
    inside = repository.top / "sub"
    assert repository.staged("b", "../a", cwd=inside) == {"a": "1", "sub/b": "2"}
    assert repository.staged(str(inside / "b"), cwd=inside) == {"sub/b": "2"}
    repository.write("a", "changed")
    assert repository.staged(cwd=inside) == {"a": "changed"}


@pytest.mark.parametrize(
    ("target", "said"),
    [("absent", "not in the index"), ("../x", "outside"), ("/etc/passwd", "outside")],
)
def test_a_target_that_is_not_there(repository: Repository, target: str, said: str) -> None:
    repository.write("a", "1")
    with pytest.raises(UsageError, match=said):
        repository.staged(target)


def test_links(repository: Repository) -> None:
    repository.write("real.env", CANARY)
    repository.write("sub/file", "s")
    links = {
        ".opencode/plugin/p.js": "../../real.env",
        "twice": "sub/again",
        "sub/again": "../real.env",
        "through": "dir/file",
        "dir": "sub",
        "out": "../../etc/passwd",
        "absolute": "/etc/passwd",
        "dangling": "nowhere",
        "loop": "pool",
        "pool": "loop",
    }
    for name, target in links.items():
        path = repository.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
        repository.git("add", "-f", name)
    repository.write("real.env", "clean", add=False)
    found = repository.staged()
    assert {name for name, text in found.items() if text == CANARY} == {
        "real.env", ".opencode/plugin/p.js", "twice", "sub/again",
    }  # fmt: skip
    assert found["through"] == "s"
    assert "dir" not in found
    for name in ("out", "absolute", "dangling", "loop", "pool"):
        assert found[name] == "(a link out of the index)"


def test_what_cannot_be_judged_is_said(repository: Repository) -> None:
    other = Repository(repository.top.parent / "other")
    other.commit(x="1")
    repository.git("submodule", "--quiet", "add", str(other.top), "module")
    repository.write("large", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    repository.write("like", pointer + "k=1\n")
    repository.write("huge", b"a\n" * (reading.LIMIT // 2 + 1))
    repository.write("binary", b"\0\1")
    repository.write("line", b"a" * (reading.LINE_LIMIT + 1))
    repository.write("zz", "checked")
    found = repository.staged()
    assert found["module"] == "(nested)"
    assert "LFS" in found["large"]
    assert found["like"].startswith("version")
    assert found["huge"] == f"({reading.TOO_LARGE})"
    assert found["binary"] == "(opaque)"
    assert "a line is longer" in found["line"]
    assert found["zz"] == "checked"


def test_a_merge_in_conflict(repository: Repository) -> None:
    repository.commit(a="base", b="base")
    repository.git("checkout", "-q", "-b", "side")
    repository.commit(a="side", b="side", c="new")
    repository.git("checkout", "-q", "-")
    repository.commit(a="main")
    repository.git("merge", "side", check=False)
    found = repository.staged()
    assert found == {"a": "(in conflict: the merge is unfinished)", "b": "side", "c": "new"}
    assert repository.staged("a")["a"] == found["a"]


@pytest.mark.parametrize(
    "commit",
    [("-a",), ("-a", "--amend"), ("a",), ("--include", "a"), ("--only", "a")],
    ids=" ".join,
)
def test_the_index_that_a_hook_gets(repository: Repository, commit: tuple[str, ...]) -> None:
    """`git commit -a` and `git commit FILE` commit from an index of their own."""
    repository.commit(a="fine")
    repository.write("a", f"OPENAI_BASE_URL={CANARY}\n", add=False)
    hook = repository.top / ".git/hooks/pre-commit"
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from guard.sources import index\n"
        "found = index.locate((), '.').collect()\n"
        "print(*(file.text for file in index.read(found.entries, found.root)))\n"
        "sys.exit(1)"
    )
    source = Path(index.__file__).resolve().parents[2]
    hook.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c \"{program}\" '{source}'\n")
    hook.chmod(0o755)
    assert CANARY in repository.git("commit", "-m", "x", *commit, check=False)
    # the same from a directory below, and where the hook itself went there
    (repository.top / "sub").mkdir()
    hook.write_text(f"#!/bin/sh\ncd sub\nexec '{sys.executable}' -c \"{program}\" '{source}'\n")
    assert CANARY in repository.git("commit", "-m", "x", *commit, check=False)


def test_a_second_work_tree(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.commit(a="fine")
    repository.git("worktree", "add", "-q", "../second")
    second = repository.top.parent / "second"
    (second / "a").write_text(CANARY)
    repository.git("-C", str(second), "add", "a")
    assert repository.staged() == {}
    found = index.locate((), str(second)).collect()
    monkeypatch.chdir(second)
    assert found.root == str(second)
    (file,) = index.read(found.entries, found.root)
    assert isinstance(file, SourceFile)
    assert file.text == CANARY


def test_an_index_that_is_not_there_is_no_empty_one(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write("a", CANARY)
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/absent")
    with pytest.raises(UsageError, match="index") as error:
        repository.staged()
    assert "does not exist" in error.value.why


def test_outside_of_a_work_tree(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="index"):
        index.locate((), str(tmp_path)).collect()
    with pytest.raises(UsageError, match="index"):
        index.locate((), str(repository.top / ".git")).collect()


def test_without_git(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UsageError) as error:
        repository.staged()
    assert error.value.why == "git is not installed"


def test_a_replaced_object_hides_nothing(repository: Repository) -> None:
    repository.write("a", CANARY)
    bad = repository.git("rev-parse", ":a").strip()
    good = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=repository.top, input="fine",
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    repository.git("replace", bad, good)
    assert repository.staged() == {"a": CANARY}


def test_an_object_that_is_missing_ends_the_check(repository: Repository) -> None:
    repository.write("a", CANARY)
    blob = repository.git("rev-parse", ":a").strip()
    (repository.top / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GuardError, match="index"):
        repository.staged()


def test_a_repository_starts_no_program(repository: Repository, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.x.command", "diff.x.textconv",
                 "filter.x.clean", "filter.x.smudge", "core.pager", "core.sshCommand",
                 "remote.o.url"):  # fmt: skip
        repository.git("config", name, str(program))
    repository.write(".gitattributes", "* diff=x filter=x\n", add=False)
    repository.git("config", "filter.x.clean", "cat")
    repository.write("a", CANARY)
    repository.git("config", "filter.x.clean", str(program))
    marker.unlink(missing_ok=True)
    assert repository.staged()["a"] == CANARY
    assert not marker.exists()


@pytest.mark.parametrize("size", [1, 3])
def test_much_content_is_asked_for_in_parts(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(index, "_BATCH", size)
    texts = {f"f{number}": "x" * number for number in range(6)}
    for name, text in texts.items():
        repository.write(name, text)
    assert repository.staged() == texts


def test_of_what_is_too_large_it_is_known_how_it_begins(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.write("script", b"#!/bin/sh\n" + b"echo\n" * (reading.LIMIT // 5))
    repository.write("program", b"\x7fELF\0\0\1" + bytes(reading.LIMIT))
    found = index.locate([], str(repository.top)).collect()
    program, script = index.read(found.entries, found.root)
    assert program is None
    assert isinstance(script, Skipped)
    assert script.has_content
    assert script.head.startswith(b"#!/bin/sh\n")
