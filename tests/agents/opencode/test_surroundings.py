"""What lies around a launch: every place is looked at, nothing can hide in one or make us wait."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from guard.agents.opencode.surroundings import (
    Surroundings,
    chain,
    gather,
    instructions,
    is_code,
    is_file_within,
    is_within,
    worktree,
)


class Machine:
    """A home, a repository in it, and a working directory in that."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.repository = root / "repo"
        self.work = self.repository / "sub" / "work"
        self.managed = root / "etc"
        self.config = self.home / ".config" / "opencode"
        self.data = self.home / ".local" / "share" / "opencode"
        for folder in (self.home, self.work, self.repository / ".git", self.managed):
            folder.mkdir(parents=True)
        self.environ = {"HOME": str(self.home)}

    def put(self, path: Path, content: object = "") -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def look(self, *starts: Path) -> Surroundings:
        return gather(
            self.environ, [str(s) for s in starts or (self.work,)], managed=str(self.managed)
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path.resolve())


def paths(found: Surroundings) -> list[str]:
    return [config.path for config in found.project]


def test_an_empty_machine(machine: Machine) -> None:
    found = machine.look()
    assert found.directory == str(machine.work)
    assert found.worktree == str(machine.repository)
    for name in ("accounts", "code", "credentials", "instructions", "managed", "project"):
        assert getattr(found, name) == []
    for name in ("unreadable", "unreadable_store", "user", "user_code", "project_folders"):
        assert getattr(found, name) == []


@pytest.mark.parametrize("level", ["work", "parent", "repository", "above"])
@pytest.mark.parametrize("folder", ["plugin", "plugins"])
@pytest.mark.parametrize(
    "name", ["a.js", "a.ts", ".a.js", "a.MJS", "a.cjs", "a.mts", "a.cts", "deeper/a.js", "a.tsx"]
)
def test_plugins(machine: Machine, level: str, folder: str, name: str) -> None:
    base = {
        "work": machine.work,
        "parent": machine.work.parent,
        "repository": machine.repository,
        "above": machine.repository.parent,
    }[level]
    path = machine.put(base / ".opencode" / folder / name)
    assert machine.look().code == [path]


@pytest.mark.parametrize("name", ["a.md", "README", "a.js.txt", "node_modules/x/index.js"])
def test_other_files_in_a_plugin_folder(machine: Machine, name: str) -> None:
    machine.put(machine.work / ".opencode" / "plugin" / name)
    assert machine.look().code == []


def test_plugins_through_links(machine: Machine) -> None:
    elsewhere = machine.home / "elsewhere"
    machine.put(elsewhere / "plugin" / "a.js")
    (machine.work / ".opencode").symlink_to(elsewhere)
    assert machine.look().code == [str(machine.work / ".opencode/plugin/a.js")]
    (machine.repository / ".opencode").mkdir()
    (machine.repository / ".opencode" / "plugins").symlink_to(elsewhere / "plugin")
    assert str(machine.repository / ".opencode/plugins/a.js") in machine.look().code


def test_a_working_directory_that_is_a_link_has_two_chains(machine: Machine) -> None:
    other = machine.home / "other"
    other.mkdir()
    (other / "link").symlink_to(machine.work)
    spelled = machine.put(other / ".opencode" / "plugin" / "a.js")
    real = machine.put(machine.repository / ".opencode" / "plugin" / "b.js")
    assert set(machine.look(other / "link").code) == {spelled, real}


@pytest.mark.parametrize("kind", ["file", "dangling", "pipe", "loop"])
def test_an_opencode_that_is_no_folder(machine: Machine, kind: str) -> None:
    dot = machine.work / ".opencode"
    if kind == "file":
        dot.write_text("x")
    elif kind == "pipe":
        os.mkfifo(dot)
    else:
        dot.symlink_to("nowhere" if kind == "dangling" else ".opencode")
    found = machine.look()
    assert (found.code, found.project_folders) == ([], [])
    assert all(config.error for config in found.project)


@pytest.mark.parametrize("name", ["opencode.json", "opencode.jsonc"])
def test_project_configs_nearest_first(machine: Machine, name: str) -> None:
    wanted = [
        machine.put(machine.work / name, {"a": 1}),
        machine.put(machine.work / ".opencode" / name, {"b": 1}),
        machine.put(machine.repository / name, {"c": 1}),
        machine.put(machine.repository.parent / name, {"d": 1}),
    ]
    assert paths(machine.look()) == wanted


def test_a_config_of_a_folder_that_only_the_second_loader_reads(machine: Machine) -> None:
    path = machine.put(machine.work / ".opencode" / "config.json", {"plugin": ["x"]})
    assert paths(machine.look()) == [path]


class TestUnreadable:
    @pytest.mark.parametrize(
        ("raw", "why"),
        [
            (b"{", "not valid JSON"),
            (b"\xff", "UTF-8"),
            (b" " * (2 << 20), "larger than"),
            (b'{"a":' * 200 + b"1" + b"}" * 200, "nested"),
            (b'{"a":1,"a":2}', "twice"),
            (b"[]", "not a JSON object"),
        ],
    )
    def test_content(self, machine: Machine, raw: bytes, why: str) -> None:
        (machine.work / "opencode.json").write_bytes(raw)
        (config,) = machine.look().project
        assert (config.content, why in config.error) == ({}, True)

    def test_a_pipe_does_not_make_us_wait(self, machine: Machine) -> None:
        os.mkfifo(machine.work / "opencode.json")
        (config,) = machine.look().project
        assert "regular file" in config.error

    def test_a_directory(self, machine: Machine) -> None:
        (machine.work / "opencode.json").mkdir()
        (config,) = machine.look().project
        assert config.error

    def test_a_byte_order_mark_and_comments_are_read(self, machine: Machine) -> None:
        (machine.work / "opencode.json").write_bytes(b'\xef\xbb\xbf{/* x */"plugin":["y"],}')
        (config,) = machine.look().project
        assert (config.content, config.error) == ({"plugin": ["y"]}, "")

    def test_a_plugin_folder_that_cannot_be_listed(self, machine: Machine) -> None:
        (machine.work / ".opencode").mkdir()
        folder = machine.work / ".opencode" / "plugin"
        folder.symlink_to("plugin")
        ((where, why),) = machine.look().unreadable
        assert (where, bool(why)) == (str(folder), True)


class TestUser:
    def test_configs_weakest_first(self, machine: Machine) -> None:
        names = ["config.json", "opencode.json", "opencode.jsonc"]
        wanted = [machine.put(machine.config / name, {"a": 1}) for name in names]
        assert [config.path for config in machine.look().user] == wanted

    def test_code(self, machine: Machine) -> None:
        wanted = {
            machine.put(base / folder / "a.ts")
            for base in (machine.config, machine.home / ".opencode")
            for folder in ("plugin", "plugins", "tool", "tools")
        }
        found = machine.look()
        assert set(found.user_code) == wanted
        assert found.code == []

    def test_xdg(self, machine: Machine) -> None:
        machine.environ["XDG_CONFIG_HOME"] = str(machine.home / "xc")
        machine.environ["XDG_DATA_HOME"] = str(machine.home / "xd")
        machine.put(machine.home / "xc" / "opencode" / "opencode.json", {"a": 1})
        machine.put(machine.home / "xd" / "opencode" / "auth.json", {"openai": {"type": "api"}})
        found = machine.look()
        assert [config.content for config in found.user] == [{"a": 1}]
        assert found.credentials == [("openai", "api")]

    def test_the_home_is_a_project_of_its_own_when_one_works_in_it(self, machine: Machine) -> None:
        path = machine.put(machine.home / ".opencode" / "plugin" / "a.js")
        found = machine.look(machine.home)
        assert (found.code, found.user_code) == ([path], [path])


class TestManaged:
    def test_both_names(self, machine: Machine) -> None:
        names = ("opencode.json", "opencode.jsonc")
        wanted = [machine.put(machine.managed / name, {"model": "x"}) for name in names]
        assert [config.path for config in machine.look().managed] == wanted


class TestStore:
    def test_credentials(self, machine: Machine) -> None:
        store = {"openai": {"type": "api", "key": "canary"}, "x": {"type": "wellknown"}, "y": 3}
        machine.put(machine.data / "auth.json", store)
        found = machine.look()
        assert found.credentials == [("openai", "api"), ("x", "wellknown"), ("y", "unknown")]
        assert found.unreadable_store == []
        assert "canary" not in repr([getattr(found, name) for name in found.__slots__])

    def test_a_name_that_holds_no_key_is_no_credential(self, machine: Machine) -> None:
        name = {"type": "api", "key": "held-by-routeguard"}
        machine.put(machine.data / "auth.json", {"portkey-openrouter": name, "openai": {}})
        assert machine.look().credentials == [("openai", "unknown")]

    def test_a_damaged_store(self, machine: Machine) -> None:
        path = machine.put(machine.data / "auth.json", "{")
        found = machine.look()
        assert [where for where, _ in found.unreadable_store] == [path]

    @pytest.mark.parametrize(
        ("statements", "active"),
        [
            ("create table account_state(active_org_id text);", False),
            (
                "create table account_state(active_org_id text);"
                "insert into account_state values(null);",
                False,
            ),
            (
                "create table account_state(active_org_id text);"
                "insert into account_state values('org');",
                True,
            ),
            ("create table account_state(id text);", False),
            ("create table other(id text);", False),
        ],
    )
    def test_an_active_organisation(self, machine: Machine, statements: str, active: bool) -> None:
        for name in ("opencode.db", "opencode-dev?#.db"):
            path = machine.data / name
            machine.put(path)
            connection = sqlite3.connect(path)
            connection.executescript(statements)
            connection.close()
        found = machine.look()
        assert len(found.accounts) == (2 if active else 0)
        assert found.unreadable_store == []

    def test_a_database_that_is_none(self, machine: Machine) -> None:
        path = machine.put(machine.data / "opencode.db", "not a database" * 100)
        machine.put(machine.data / "opencode-empty.db")
        (machine.data / "opencode-folder.db").mkdir()
        os.mkfifo(machine.data / "opencode-pipe.db")
        machine.put(machine.data / "other.db", "not ours")
        assert [where for where, _ in machine.look().unreadable_store] == [path]

    def test_a_database_that_another_process_writes(self, machine: Machine) -> None:
        machine.data.mkdir(parents=True)
        connection = sqlite3.connect(machine.data / "opencode.db")
        connection.executescript(
            "create table account_state(active_org_id text);"
            "insert into account_state values('org');"
        )
        connection.execute("begin exclusive")
        try:
            found = machine.look()
        finally:
            connection.close()
        assert found.accounts or found.unreadable_store

    def test_a_home_that_is_no_text(self, machine: Machine) -> None:
        raw = os.fsencode(machine.home) + b"/\xff"
        data = raw + b"/.local/share/opencode"
        os.makedirs(data)
        sqlite3.connect(machine.home / "x.db").close()
        with sqlite3.connect(machine.home / "x.db") as connection:
            connection.execute("create table account_state(active_org_id text)")
        os.rename(machine.home / "x.db", data + b"/opencode.db")
        machine.environ["HOME"] = os.fsdecode(raw)
        found = machine.look()
        assert (found.accounts, found.unreadable_store) == ([], [])


class TestInstructions:
    def test_the_first_name_that_exists_anywhere(self, machine: Machine) -> None:
        top = machine.put(machine.repository / "AGENTS.md")
        machine.put(machine.work / "CLAUDE.md")
        assert machine.look().instructions == [top]
        near = machine.put(machine.work / "AGENTS.md")
        assert machine.look().instructions == [near, top]

    def test_the_others_in_their_order(self, machine: Machine) -> None:
        machine.put(machine.work / "CONTEXT.md")
        claude = machine.put(machine.repository / "CLAUDE.md")
        assert machine.look().instructions == [claude]

    def test_none_from_above_the_repository(self, machine: Machine) -> None:
        machine.put(machine.repository.parent / "AGENTS.md")
        assert machine.look().instructions == []

    def test_from_a_directory_that_is_no_repository(self, tmp_path: Path) -> None:
        (tmp_path / "AGENTS.md").write_text("")
        assert str(tmp_path / "AGENTS.md") in instructions(str(tmp_path), "/")


def test_chain() -> None:
    assert chain(["/a/b"]) == ["/a/b", "/a", "/"]
    assert chain(["/a/b", "/a/c"]) == ["/a/b", "/a", "/", "/a/c"]
    assert chain(["/a/../b/"]) == ["/b", "/"]


def test_worktree(machine: Machine) -> None:
    assert worktree(str(machine.work)) == str(machine.repository)
    assert worktree(str(machine.repository)) == str(machine.repository)
    # a worktree of git's and a submodule have a file
    (machine.work.parent / ".git").write_text("gitdir: /x")
    assert worktree(str(machine.work)) == str(machine.work.parent)
    assert worktree("/") == "/"


@pytest.mark.parametrize(
    ("path", "directory", "inside"),
    [
        ("/a/b", "/a", True),
        ("/a", "/a", True),
        ("/ab", "/a", False),
        ("/a", "/a/b", False),
        ("/x", "/", True),
    ],
)
def test_is_within(path: str, directory: str, inside: bool) -> None:
    assert is_within(path, directory) == inside


def test_a_file_that_only_seems_to_lie_within(machine: Machine) -> None:
    inside = machine.put(machine.work / "a.md")
    outside = machine.put(machine.home / "secret")
    (machine.work / "link.md").symlink_to(outside)
    (machine.work / "good.md").symlink_to(inside)
    base = str(machine.repository)
    assert is_file_within(inside, base)
    assert is_file_within(str(machine.work / "good.md"), base)
    assert not is_file_within(str(machine.work / "link.md"), base)
    assert not is_file_within(str(machine.work), base)
    assert not is_file_within(str(machine.work / "none"), base)


def test_folders_of_the_project(machine: Machine) -> None:
    for base in (machine.work, machine.repository, machine.repository.parent):
        (base / ".opencode").mkdir()
    assert machine.look().project_folders == [
        str(machine.work / ".opencode"),
        str(machine.repository / ".opencode"),
    ]


def test_is_code() -> None:
    assert is_code("a.JS")
    assert is_code(".ts")
    assert not is_code("js")


def test_looking_writes_nothing(machine: Machine) -> None:
    before = sorted(str(p) for p in machine.home.parent.rglob("*"))
    machine.look()
    assert sorted(str(p) for p in machine.home.parent.rglob("*")) == before
