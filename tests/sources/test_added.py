"""Which lines a branch adds, asked of the real git, and compared with what git itself says."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.errors import UsageError
from guard.sources import added, index, tree
from tests.sources.test_index import Repository, repository  # noqa: F401 - a fixture

EVERY = range(1, 1 << 62)


def numbers(made: Repository, revision: str, *names: str, staged: bool = False):
    """By path, the lines that are new; None for all of them."""
    found = (index if staged else tree).locate(names, str(made.top)).collect()
    base = added.base(revision, found.root)
    lines = {e.path: added.change(base, e, staged=staged).lines for e in found.entries}
    return {path: None if new == EVERY else sorted(new) for path, new in lines.items() if new}


@pytest.fixture
def branch(repository: Repository) -> Repository:  # noqa: F811
    """`main` went on after `work` left it."""
    repository.git("checkout", "-q", "-b", "main")
    repository.commit(a="1\n2\n3\n4\n5\n", gone="x\n", moved="a\nb\nc\nd\ne\n", same="s\n")
    repository.git("checkout", "-q", "-b", "work")
    repository.git("checkout", "-q", "main")
    repository.commit(a="theirs\n1\n2\n3\n4\n5\n", theirs="t\n")
    repository.git("checkout", "-q", "work")
    return repository


def test_what_a_branch_adds(branch: Repository) -> None:
    assert numbers(branch, "main") == {}
    branch.commit(a="1\nnew\n2\n3\n4\n5 changed\n", fresh="f\n")
    branch.git("rm", "-q", "gone")
    branch.git("mv", "moved", "sub-moved")
    branch.write("sub-moved", "a\nb\nc\nX\nd\ne\n")
    branch.git("commit", "-qm", "y")
    expected = {"a": [2, 6], "fresh": None, "sub-moved": [4]}
    assert numbers(branch, "main") == expected
    assert numbers(branch, "main", ".", staged=True) == expected
    # what main has got since is nothing that this branch adds
    branch.git("merge", "-q", "main", "-m", "merge")
    assert numbers(branch, "main")["a"] == [3, 7]
    assert "theirs" not in numbers(branch, "main")


def test_what_is_not_committed_counts_too(branch: Repository) -> None:
    branch.write("a", "1\n2\nstaged\n3\n4\n5\n")
    branch.write("a", "1\n2\nstaged\n3\nloose\n4\n5\n", add=False)
    branch.write("untracked", "u\n", add=False)
    assert numbers(branch, "main") == {"a": [3, 5], "untracked": None}
    assert numbers(branch, "main", staged=True) == {"a": [3]}
    assert numbers(branch, "HEAD", staged=True) == {"a": [3]}


def test_line_ends_and_encodings_are_no_change(branch: Repository) -> None:
    branch.write("a", "1\r\n2\r\n3\r\n4\r\nnew\r\n5\r\n", add=False)
    assert numbers(branch, "main") == {"a": [5]}
    branch.write("a", "1\n2\n3\n4\n5\n".encode("utf-16"), add=False)
    assert numbers(branch, "main") == {}


def test_binary_and_links(branch: Repository) -> None:
    branch.commit(bin="text\n")
    branch.git("branch", "-f", "main")
    branch.write("bin", b"\0\1", add=False)
    (branch.top / "link").symlink_to("a")
    (branch.top / ".config").mkdir()
    (branch.top / ".config/b").symlink_to("../a")
    assert numbers(branch, "main") == {"bin": None, "link": None, ".config/b": None}
    branch.git("add", "link", ".config")
    branch.git("commit", "-qm", "links")
    branch.git("branch", "-f", "main")
    branch.write("a", "1\n2\n3\n4\n5\n6\n", add=False)
    found = numbers(branch, "main")
    assert found["a"] == found["link"] == found[".config/b"] == [6]


@pytest.mark.parametrize("revision", ["nosuch", "", "--output=x", "HEAD^{tree}", "HEAD:a", "a\nb"])
def test_no_such_commit(branch: Repository, revision: str) -> None:
    with pytest.raises(UsageError, match="cannot tell what is new") as caught:
        added.base(revision, str(branch.top))
    assert "no such commit" in caught.value.why
    assert "fetch-depth: 0" in caught.value.fix
    assert not (branch.top / "x").exists()


def test_nothing_in_common(branch: Repository) -> None:
    branch.git("checkout", "-q", "--orphan", "alone")
    # before the first commit everything is new
    assert set(numbers(branch, "HEAD").values()) == {None}
    with pytest.raises(UsageError) as caught:
        added.base("main", str(branch.top))
    assert "no commit yet" in caught.value.why
    branch.git("commit", "-qm", "alone")
    with pytest.raises(UsageError) as caught:
        added.base("main", str(branch.top))
    assert caught.value.why == "it and HEAD have no commit in common"


def test_a_parent_that_a_repository_makes_up_hides_nothing(branch: Repository) -> None:
    branch.commit(bad="x\n")
    head = branch.git("rev-parse", "HEAD").strip()
    branch.git("branch", "made-up")
    main = branch.git("rev-parse", "main").strip()
    (branch.top / ".git/info").mkdir(exist_ok=True)
    # main follows this branch, so that they part where it is now
    (branch.top / ".git/info/grafts").write_text(f"{main} {head}\n")
    assert branch.git("merge-base", "main", "HEAD").split()[0] == head
    assert numbers(branch, "main") == {"bad": None}


def test_a_shallow_clone(branch: Repository, tmp_path: Path) -> None:
    branch.commit(b="b\n")
    clone = tmp_path / "clone"
    origin = f"file://{branch.top}"
    words = ["clone", "-q", "--depth", "1", "--no-single-branch", "-b", "work", origin, str(clone)]
    subprocess.run(["git", *words], check=True, capture_output=True)
    with pytest.raises(UsageError) as caught:
        added.base("origin/main", str(clone))
    assert "shallow" in caught.value.why
    assert caught.value.fix.startswith("git fetch --unshallow\n")
    subprocess.run(["git", "fetch", "-q", "--unshallow"], cwd=clone, check=True)
    assert added.base("origin/main", str(clone)).blobs.keys() >= {"a", "same"}


def test_outside_of_a_repository(tmp_path: Path, branch: Repository) -> None:
    with pytest.raises(UsageError, match="cannot tell"):
        added.base("HEAD", str(tmp_path))
    (branch.top / "sub").mkdir()
    with pytest.raises(UsageError) as caught:
        added.base("HEAD", str(branch.top / "sub"))
    assert "one repository" in caught.value.why


def test_a_repository_starts_no_program(branch: Repository, tmp_path: Path) -> None:
    marker, program = tmp_path / "started", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{marker}'\ncat\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.x.command", "diff.x.textconv",
                 "filter.x.clean", "filter.x.smudge", "filter.x.process", "core.pager",
                 "core.sshCommand", "uploadpack.packObjectsHook"):  # fmt: skip
        branch.git("config", name, str(program))
    branch.write(".gitattributes", "* diff=x filter=x\n", add=False)
    branch.write("a", "1\n2\n3\n4\n5\nnew\n", add=False)
    os.utime(branch.top / "a", (1, 1))
    assert numbers(branch, "main")["a"] == [6]
    assert not marker.exists()
    # the control: git itself would have started it
    branch.git("diff", "HEAD", check=False)
    assert marker.exists()


lines = st.lists(
    st.sampled_from(["", "}", "a", "b", "- run: opencode serve", "x = 1"]), max_size=30
)


@given(lines, lines)
def test_what_is_not_added_was_there_in_that_order(old: list[str], new: list[str]) -> None:
    numbers = set(added.added(old, new))
    assert numbers <= set(range(1, len(new) + 1))
    kept = iter(old)
    assert all(line in kept for n, line in enumerate(new, start=1) if n not in numbers)
    assert not set(added.added(old, old))
    assert set(added.added([], new)) == set(range(1, len(new) + 1))


@given(lines, st.integers(0, 30), lines.filter(len))
def test_what_is_put_in_between_is_found(old: list[str], at: int, more: list[str]) -> None:
    more = [f"new {number} {line}" for number, line in enumerate(more)]
    at = min(at, len(old))
    assert list(added.added(old, [*old[:at], *more, *old[at:]])) == list(
        range(at + 1, at + 1 + len(more))
    )


def test_much_text_takes_time_in_proportion() -> None:
    chance = random.Random(1)
    old = [f"line {chance.randrange(3000)}" for _ in range(60_000)]
    new = [line for line in old if chance.random() > 0.1]
    new.insert(30_000, "opencode serve")
    assert 30_001 in set(added.added(old, new))
    cycle = ["a", "b"] * 20_000
    assert set(added.added(cycle, ["b", *cycle[::-1], "b"]))
    nested = [f"{n}" for n in range(20_000)]
    assert set(added.added(nested, nested[::-1]))
