"""Which files are looked at, with real repositories, and reading hostile ones."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.errors import UsageError
from guard.sources import tree
from guard.sources.file import SourceFile
from guard.sources.records import Skipped


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
    assert isinstance(tree.read(found.entries[0]), SourceFile)


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


# Reading -----------------------------------------------------------------------------------------


def read(path: Path) -> SourceFile | Skipped | None:
    return tree.read(tree.Entry(path.name, str(path)))


def skipped(path: Path, reason: str) -> Skipped:
    return Skipped(path.name, reason, str(path))


def test_a_file_that_became_a_fifo_does_not_hold_us_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    found = read(tmp_path / "fifo")
    assert found == skipped(tmp_path / "fifo", "a FIFO, not a file")


def test_a_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert read(tmp_path / "link") == skipped(tmp_path / "link", "a link")


def test_gone_is_none_and_a_directory_is_a_note(tmp_path: Path) -> None:
    assert read(tmp_path / "nosuch") is None
    (tmp_path / "directory").mkdir()
    assert read(tmp_path / "directory") == Skipped(
        "directory", "not a regular file", str(tmp_path / "directory")
    )


def test_binary_is_opaque_and_utf_16_is_text(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0key")
    assert read(tmp_path / "binary") == tree.Opaque("binary", b"\x7fELF\0\0key")
    (tmp_path / "wide").write_bytes("KEY=1\r\n".encode("utf-16"))
    found = read(tmp_path / "wide")
    assert isinstance(found, SourceFile)
    assert found.text == "KEY=1\r\n"


@pytest.mark.parametrize(
    "data",
    [
        *("key = 1\nk = 2\n".encode(encoding) for encoding in ("utf-16-le", "utf-16-be")),
        "key = 1\nk = 'caf\u00e9 \u4e2d'\n".encode("utf-16-le"),
        *(
            b"key = 1\n\0",
            b"\0key = 1\n",
            b"\0\0\0\0# k\xc3\xa9y\nkey = 1\n",
            b"\x1b[1mkey = 1\0\n",
        ),
    ],
)
@pytest.mark.parametrize("name", ["a.ps1", "a.cfg", "a"])
def test_a_nul_hides_no_text(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    found = read(tmp_path / name)
    assert isinstance(found, SourceFile)
    assert "key = 1" in found.text


def test_what_is_half_nul_or_has_controls_is_binary(tmp_path: Path) -> None:
    for data in (b"\0" * 100, b"ab\0\0\0", b"\x89PNG\r\n\x1a\n\0ab", b"a\x01\0\0bcdefgh"):
        (tmp_path / "x").write_bytes(data)
        assert read(tmp_path / "x") == tree.Opaque("x", data)


def test_a_huge_sparse_file_costs_nothing(tmp_path: Path) -> None:
    for name, head in (("text", b"x" * 20_000), ("zeros", b"")):
        with open(tmp_path / name, "wb") as file:
            file.write(head)
            file.truncate(1 << 30)
    assert read(tmp_path / "text") == skipped(tmp_path / "text", "larger than 8 MiB")
    assert read(tmp_path / "zeros") is None


def test_a_long_line_is_a_note_and_a_long_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "line").write_bytes(b"short\n" + b"x" * (tree.LINE_LIMIT + 1) + b"\nshort\n")
    assert read(tmp_path / "line") == Skipped(
        "line", "a line is longer than 1024 KiB", str(tmp_path / "line")
    )
    (tmp_path / "file").write_bytes(b"x" * 1023 + b"\n" + b"line\n" * 1_000_000)
    assert isinstance(read(tmp_path / "file"), SourceFile)


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "at").write_bytes(b"1234567\n" * (tree.LIMIT // 8))
    assert isinstance(read(tmp_path / "at"), SourceFile)
    (tmp_path / "over").write_bytes(b"1234567\n" * (tree.LIMIT // 8) + b"x")
    assert isinstance(read(tmp_path / "over"), Skipped)


def test_what_changes_while_read_is_read_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 10_000)
    really = os.read
    changes = [b"b" * 9000, b"c" * 9500]

    def read_and_change(fd: int, size: int) -> bytes:
        data = really(fd, size)
        if changes and data:
            path.write_bytes(changes.pop(0))
        return data

    monkeypatch.setattr(os, "read", read_and_change)
    assert read(path) == skipped(tmp_path / "file", "it changes while it is read")
    changes[:] = [b"d" * 9000]
    found = read(path)
    assert isinstance(found, SourceFile)
    assert found.data == b"d" * 9000


def test_an_unreadable_file_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret").write_text("x")
    # root, who may run the tests, is never denied
    monkeypatch.setattr(os, "open", denied)
    assert read(tmp_path / "secret") == Skipped(
        "secret", "permission denied", str(tmp_path / "secret")
    )


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
