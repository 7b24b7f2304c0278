"""Which files are looked at, with real repositories and hostile trees."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.errors import UsageError
from guard.sources import reading, tree
from guard.sources.file import SourceFile


def git(where: Path, *words: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *words]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    subprocess.run(command, cwd=where, check=True, capture_output=True, env=clean)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "repo"
    (top / "sub").mkdir(parents=True)
    git(top, "init", "-q")
    (top / ".gitignore").write_text("ignored*\nbuild/\n")
    (top / "tracked.txt").write_text("x")
    (top / "sub" / "tracked.txt").write_text("x")
    git(top, "add", ".")
    (top / "new.txt").write_text("x")
    (top / "ignored.txt").write_text("x")
    (top / "build").mkdir()
    (top / "build" / "out.txt").write_text("x")
    return top


def shown(found: tree.Tree) -> list[str]:
    return [entry.path for entry in found.entries]


def reasons(found: tree.Tree) -> dict[str, str]:
    return {skipped.path: skipped.reason for skipped in found.skipped}


ALL = [".gitignore", "new.txt", "sub/tracked.txt", "tracked.txt"]


def test_a_repository_is_asked_from_git(repository: Path) -> None:
    found = tree.locate([], str(repository)).collect()
    assert shown(found) == ALL
    assert found.root == str(repository)
    assert found.whole


def test_without_a_path_the_whole_repository_counts(repository: Path) -> None:
    assert shown(tree.locate([], str(repository / "sub")).collect()) == ALL


def test_a_named_directory_is_a_part(repository: Path) -> None:
    found = tree.locate(["."], str(repository / "sub")).collect()
    assert shown(found) == ["sub/tracked.txt"]
    assert found.root == str(repository)
    assert not found.whole
    assert tree.locate(["."], str(repository)).collect().whole


def test_a_named_file_counts_although_ignored(repository: Path) -> None:
    assert shown(tree.locate(["ignored.txt"], str(repository)).collect()) == ["ignored.txt"]


def test_a_named_directory_that_is_ignored_is_walked(repository: Path) -> None:
    assert shown(tree.locate(["build"], str(repository)).collect()) == ["build/out.txt"]


def test_named_twice_is_one_file(repository: Path) -> None:
    found = tree.locate(
        ["sub/tracked.txt", "sub", "./sub/../sub/tracked.txt"], str(repository)
    ).collect()
    assert shown(found) == ["sub/tracked.txt"]


def test_a_deleted_file_is_none(repository: Path) -> None:
    (repository / "tracked.txt").unlink()
    found = tree.locate([], str(repository)).collect()
    assert "tracked.txt" not in shown(found)
    assert not found.skipped


def test_what_is_not_there_is_a_usage_error(repository: Path) -> None:
    for name in ("nosuch", "a\0b", "tracked.txt/x"):
        with pytest.raises(UsageError):
            tree.locate([name], str(repository)).collect()


def test_git_variables_do_not_point_elsewhere(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert shown(tree.locate([], str(repository)).collect()) == ALL


def test_a_repository_starts_no_program(repository: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    program.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(program))
    assert shown(tree.locate([], str(repository)).collect()) == ALL
    assert not marker.exists()


def test_names_that_look_like_patterns_are_names(repository: Path) -> None:
    strange = repository / "*[x]"
    strange.mkdir()
    (strange / "a").write_text("x")
    assert shown(tree.locate(["*[x]"], str(repository)).collect()) == ["*[x]/a"]


def test_names_with_newlines_escapes_and_invalid_utf8(repository: Path) -> None:
    names = [b"new\nline", b"\x1b[31mred", b"\xff\xfe"]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(repository), name))).write_text("x")
    found = {os.fsencode(path) for path in shown(tree.locate([], str(repository)).collect())}
    assert found >= set(names)


def test_without_git_the_tree_is_walked_and_that_is_said(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    found = tree.locate([], str(repository)).collect()
    assert "build/out.txt" in shown(found)
    assert not any(path.startswith(".git/") for path in shown(found))
    assert "git is not installed" in reasons(found)[str(repository)]


def test_a_damaged_repository_is_walked(repository: Path) -> None:
    (repository / ".git" / "HEAD").write_text("nonsense")
    found = tree.locate([], str(repository)).collect()
    assert "ignored.txt" in shown(found)
    assert len(found.skipped) == 1


@pytest.mark.parametrize("inside", ["", "repository"])
def test_a_directory_that_only_has_the_name_is_no_repository(tmp_path: Path, inside: str) -> None:
    """As Codex makes one in /tmp: what lies beside is nobody's to check."""
    if inside:
        git(tmp_path, "init", "-q")
    (tmp_path / "other").touch()
    place = tmp_path / "tmp" / "project"
    (place.parent / ".git").mkdir(parents=True)
    place.mkdir()
    (place / "a").touch()
    found = tree.locate([], str(place)).collect()
    assert (found.root, found.skipped) == (str(tmp_path if inside else place), ())
    assert shown(found) == (["other", "tmp/project/a"] if inside else ["a"])
    assert shown(tree.locate([str(place / "a")], str(place.parent)).collect())[-1].endswith(
        "project/a"
    )


def test_a_nested_repository_is_not_entered(repository: Path) -> None:
    nested = repository / "nested"
    nested.mkdir()
    git(nested, "init", "-q")
    (nested / "a").write_text("x")
    found = tree.locate([], str(repository)).collect()
    assert found.nested == ("nested",)
    assert shown(tree.locate(["nested"], str(repository)).collect()) == ["a"]


def test_outside_a_repository_the_tree_is_walked(tmp_path: Path) -> None:
    for name in ("a/b.txt", "node_modules/x.js", ".venv/y.py", ".env"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = tree.locate([], str(tmp_path)).collect()
    assert shown(found) == [".env", "a/b.txt"]
    assert found.root == str(tmp_path)


def test_a_repository_on_the_way_is_asked(repository: Path) -> None:
    (repository.parent / "beside.txt").write_text("x")
    found = tree.locate([], str(repository.parent)).collect()
    assert shown(found) == sorted(["beside.txt", *(f"repo/{name}" for name in ALL)])


def test_files_of_two_places_have_what_is_common_as_root(tmp_path: Path) -> None:
    for name in ("one/a", "two/b"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x")
    (tmp_path / "three").mkdir()
    found = tree.locate(["../one/a", "../two"], str(tmp_path / "three")).collect()
    assert found.root == str(tmp_path)
    assert shown(found) == ["one/a", "two/b"]


def test_paths_can_be_left_out(repository: Path) -> None:
    found = tree.locate([], str(repository)).collect()
    assert shown(tree.without(found, ["sub", "./new.txt"])) == [".gitignore", "tracked.txt"]
    assert shown(tree.without(found, ["*.txt"])) == [".gitignore"]
    assert shown(tree.without(found, ["su", "new"])) == ALL
    assert tree.without(found, ["sub/"]).whole


# Links and special files -------------------------------------------------------------------------


def test_links_out_of_the_repository_are_not_followed(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("x")
    (repository / "out").symlink_to(tmp_path / "outside.txt")
    (repository / "passwd").symlink_to("/etc/passwd")
    (repository / "zero").symlink_to("/dev/zero")
    (repository / "directory").symlink_to(tmp_path)
    found = tree.locate([], str(repository)).collect()
    assert shown(found) == ALL
    assert set(reasons(found)) == {"out", "passwd", "zero", "directory"}
    assert reasons(tree.locate(["out"], str(repository)).collect()) == {
        "out": reasons(found)["out"]
    }


def test_links_within_say_what_else_they_are(repository: Path) -> None:
    (repository / "a-link").symlink_to("tracked.txt")
    (repository / "b-link").symlink_to("ignored.txt")
    (repository / "c-link").symlink_to("ignored.txt")
    (repository / "d-link").symlink_to("sub")
    found = tree.locate([], str(repository)).collect()
    assert shown(found) == sorted([*ALL, "a-link", "b-link", "c-link"])
    others = {entry.path: entry.other for entry in found.entries if entry.path.endswith("-link")}
    assert others == {"a-link": "tracked.txt", "b-link": "", "c-link": "b-link"}
    assert not found.skipped


def test_a_link_loop_is_a_note_and_a_dangling_link_nothing(repository: Path) -> None:
    (repository / "a").symlink_to("b")
    (repository / "b").symlink_to("a")
    (repository / "dangling").symlink_to("nosuch")
    (repository / "sub" / "up").symlink_to("..")
    found = tree.locate([], str(repository)).collect()
    assert shown(found) == ALL
    assert reasons(found) == {"a": "a loop of links", "b": "a loop of links"}


def test_a_named_link_outside_any_repository_is_followed(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles" / "zshrc").write_text("x")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".zshrc").symlink_to(tmp_path / "dotfiles" / "zshrc")
    found = tree.locate([".zshrc"], str(tmp_path / "home")).collect()
    assert shown(found) == [".zshrc"]
    assert isinstance(reading.read(found.entries[0]), SourceFile)


@pytest.fixture
def unix_socket(tmp_path: Path) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as opened:
        path = str(tmp_path / "socket")
        opened.bind(path)
        yield path


def test_special_files_are_notes(tmp_path: Path, unix_socket: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    found = tree.locate([], str(tmp_path)).collect()
    assert not found.entries
    assert reasons(found) == {"fifo": "a FIFO, not a file", "socket": "a socket, not a file"}
    assert reasons(tree.locate(["/dev/null"], str(tmp_path)).collect())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_a_note(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "device", 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container lets nobody make devices")
    assert "device" in reasons(tree.locate([], str(tmp_path)).collect())["device"]


def test_a_directory_that_cannot_be_listed_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.txt").write_text("x")
    really = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = tree.locate([], str(tmp_path)).collect()
    assert shown(found) == ["open.txt"]
    assert reasons(found) == {"closed": "permission denied"}
