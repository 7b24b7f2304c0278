"""What lies around a launch: every place is looked at, nothing can hide in one or make us wait."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from guard.agents.opencode import store, surroundings
from guard.agents.opencode.instructions import picked
from guard.agents.opencode.store import CONSOLE, ORGANISATION, session_directories
from guard.agents.opencode.surroundings import (
    MOST_CONFIGS,
    Surroundings,
    chain,
    gather,
    is_code,
)
from guard.agents.opencode.texts import is_file_within
from guard.paths import is_within


class Machine:
    """A home, a repository in it, and a working directory in that."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.repository = root / "repo"
        self.work = self.repository / "sub" / "work"
        self.root = root
        self.managed = root / surroundings.MANAGED.lstrip("/")
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
        return gather(self.environ, [str(s) for s in starts or (self.work,)], root=str(self.root))


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


@pytest.mark.parametrize("head", ["---js", "---javascript", "--- JS ", "\ufeff---js", "---toml"])
@pytest.mark.parametrize(
    "path",
    [
        "repo/.opencode/agent/x.md",
        "repo/.opencode/agents/deep/x.md",
        "repo/sub/.opencode/command/x.md",
        "repo/.opencode/modes/x.md",
        "repo/.opencode/skill/x/SKILL.md",
        "repo/.opencode/skills/x.md",
        "repo/.claude/skills/x/SKILL.md",
        "repo/sub/.agents/skills/x/SKILL.md",
        "home/.claude/skills/x/SKILL.md",
        "home/.config/opencode/command/x.md",
        "aside/x/SKILL.md",
    ],
)
def test_a_head_that_is_a_program(machine: Machine, path: str, head: str) -> None:
    machine.put(machine.config / "opencode.json", {"skills": {"paths": ["../../../aside"]}})
    written = machine.put(machine.home.parent / path, f"{head}\n{{}}\n---\nx")
    (found,) = machine.look().imports
    assert (os.path.realpath(found[0]), "program" in found[1]) == (written, True)


def test_a_head_that_is_a_program_behind_links(machine: Machine) -> None:
    written = machine.put(machine.home.parent / "aside" / "x.md", "---js\n{}\n---\n")
    (machine.repository / ".opencode").mkdir()
    for link, target in (("agent", "aside"), ("command", "aside/x.md")):
        target_path = machine.home.parent / target
        place = machine.repository / ".opencode" / link
        if link == "command":
            place.mkdir()
            place = place / "y.md"
        place.symlink_to(target_path)
    found = {os.path.realpath(path) for path, _ in machine.look().imports}
    assert found == {written}
    assert len(machine.look().imports) == 2


@pytest.mark.parametrize(
    "head", ["", "---\nname: x\n---\n", "---yaml\na: 1\n---\n", "----js\n", " ---js"]
)
def test_heads_that_are_data(machine: Machine, head: str) -> None:
    machine.put(machine.repository / ".opencode" / "agent" / "x.md", head + "hello")
    assert machine.look().imports == []


def test_a_folder_too_large_to_look_through(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.agents.opencode.markdown.MOST_FILES", 3)
    folder = machine.repository / ".opencode" / "agent"
    for n in range(5):
        machine.put(folder / f"{n}.md", "x")
    assert [path for path, _ in machine.look().unreadable] == [str(folder)]


def test_one_folder_behind_many_links_is_looked_through_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.put(machine.repository / "aside" / "x.md", "---js\n{}\n---\n")
    for directory in (machine.repository, machine.work):
        (directory / ".opencode").mkdir(parents=True, exist_ok=True)
        for name in ("agent", "agents", "command", "mode", "skills"):
            (directory / ".opencode" / name).symlink_to(machine.repository / "aside")
    assert len(machine.look().imports) == 1


def test_more_configs_than_a_project_has_are_not_read(machine: Machine) -> None:
    at = machine.work
    for _ in range(MOST_CONFIGS + 5):
        machine.put(at / "opencode.json", {"a": 1})
        at = at / "d"
    found = machine.look(at.parent)
    assert len(found.project) == MOST_CONFIGS + 1
    ((_, why),) = found.unreadable
    assert "over 32 config files" in why


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
        machine.put(machine.home / "xd" / "opencode" / "auth.json", {"openai": API})
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


def filled(path: Path, statements: str, journal: str = "delete") -> sqlite3.Connection:
    """A connection to a new database at `path`, with `statements` in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"pragma journal_mode = {journal}")
    connection.executescript(statements)
    return connection


API = {"type": "api", "key": "canary"}
STATE = "create table account_state(active_org_id text);"
ACTIVE = f"{STATE} insert into account_state values('org');"
OLDER = "create table account_state(id text); insert into account_state values('1');"
OLDER += "create table account(selected_org_id text);"
CREDENTIAL = "create table credential(integration_id text);"
OAUTH = {"type": "oauth", "refresh": "canary", "access": "", "expires": 0}


class TestStore:
    def test_credentials(self, machine: Machine) -> None:
        store = {"openai": API, "github-copilot": {**OAUTH, "enterpriseUrl": "e", "new": 1}}
        machine.put(machine.data / "auth.json", store)
        found = machine.look()
        assert found.credentials == [("openai", "api"), ("github-copilot", "oauth")]
        assert found.unreadable_store == []
        assert "canary" not in repr(list(vars(found).values()))

    @pytest.mark.parametrize(
        "fields",
        [
            {"key": "held-by-routeguard", "token": "t"},
            {},
            {"key": 1, "token": None, "metadata": []},
        ],
    )
    def test_a_login_server_is_seen_by_its_type_alone(
        self, machine: Machine, fields: dict[str, object]
    ) -> None:
        store = {"http://evil": {"type": "wellknown", **fields}, "openai": API}
        machine.put(machine.data / "auth.json", store)
        assert machine.look().credentials == [("http://evil", "wellknown"), ("openai", "api")]

    @pytest.mark.parametrize(
        "entry",
        [
            3, None, True, "x", [], ["wellknown"], {}, {"key": "k"}, {"type": None},
            {"type": ["wellknown"]}, {"type": {"wellknown": 1}}, {"type": "Wellknown"},
            {"type": "wellknown "}, {"type": "well-known"}, {"type": "token", "key": "k"},
            {"type": "api"}, {"type": "api", "key": 5}, {"type": "api", "key": None},
            {"type": "oauth", "refresh": "r"}, {"type": "oauth", "refresh": 1, "access": "a"},
        ],
    )  # fmt: skip
    def test_an_entry_that_is_no_login(self, machine: Machine, entry: object) -> None:
        path = machine.put(machine.data / "auth.json", {"openai": API, "odd": entry})
        (unreadable,) = machine.look().unreadable_store
        assert unreadable == (path, "its entry 'odd' is not a login that opencode knows")

    @pytest.mark.parametrize(
        "name", ["{env:HOME}", "{file:/etc/passwd}", 'a"b', "a\\b", "a\nb", "a\x1b[2J"]
    )
    def test_a_name_that_would_change_the_pinned_config(self, machine: Machine, name: str) -> None:
        machine.put(machine.data / "auth.json", {name: API})
        assert "names a provider with" in machine.look().unreadable_store[0][1]

    @pytest.mark.parametrize(
        "raw",
        [
            b"{", b"[]", b'"x"', b"3", b"{} {}", b'{"a":1,"a":2}',
            b'{"a":{"type":"wellknown","type":"api"}}', b"\xff\xfe{\0}\0", b'{"a":"\xff"}',
            b"[" * 100_000, b" " * (1 << 20) + b"{}",
        ],
    )  # fmt: skip
    def test_a_store_that_is_none(self, machine: Machine, raw: bytes) -> None:
        path = machine.put(machine.data / "auth.json")
        Path(path).write_bytes(raw)
        assert [where for where, _ in machine.look().unreadable_store] == [path]

    @pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
    def test_a_store_that_is_no_file(self, machine: Machine, kind: str) -> None:
        path = machine.data / "auth.json"
        path.parent.mkdir(parents=True)
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        assert [where for where, _ in machine.look().unreadable_store] == [str(path)]

    def test_what_opencode_reads_is_seen(self, machine: Machine) -> None:
        """It passes over a byte order mark and follows links (run on 1.18.33)."""
        wanted = {"http://evil/": {"type": "wellknown", "key": "K", "token": "t"}}
        elsewhere = machine.put(machine.home / "dotfiles" / "auth.json")
        Path(elsewhere).write_bytes(b"\xef\xbb\xbf" + json.dumps(wanted).encode())
        machine.data.mkdir(parents=True)
        (machine.data / "auth.json").symlink_to(elsewhere)
        assert machine.look().credentials == [("http://evil/", "wellknown")]

    @pytest.mark.parametrize("raw", ["", " \n", "{}", "\ufeff{}"])
    def test_an_empty_store(self, machine: Machine, raw: str) -> None:
        machine.put(machine.data / "auth.json", raw)
        found = machine.look()
        assert (found.credentials, found.unreadable_store) == ([], [])


class TestDatabases:
    @pytest.mark.parametrize(
        ("statements", "expected"),
        [
            (STATE, []),
            (f"{STATE} insert into account_state values(null);", []),
            (f"{STATE} insert into account_state values('org');", [ORGANISATION]),
            # as releases before March 2026 have it; the next start moves it over
            (OLDER, []),
            (f"{OLDER} insert into account values('org');", [ORGANISATION]),
            (CREDENTIAL, []),
            (f"{CREDENTIAL} insert into credential values('openai');", []),
            (f"{CREDENTIAL} insert into credential values('opencode');", [CONSOLE]),
            ("create table credential(connector_id text);", []),
            ("create table other(id text);", []),
        ],
    )
    def test_logins_that_add_configuration(
        self, machine: Machine, statements: str, expected: list[str]
    ) -> None:
        names = ("OPENCODE.DB", "opencode-dev?#.db", "opencode.db")
        for name in names:
            filled(machine.data / name, statements).close()
        found = machine.look()
        assert found.accounts == [(str(machine.data / n), k) for n in names for k in expected]
        assert found.unreadable_store == []

    def test_the_one_that_a_variable_names(self, machine: Machine) -> None:
        elsewhere = machine.home / "elsewhere.db"
        filled(elsewhere, ACTIVE).close()
        for named in (str(elsewhere), "../../../elsewhere.db"):
            machine.environ["OPENCODE_DB"] = named
            machine.data.mkdir(parents=True, exist_ok=True)
            assert [kind for _, kind in machine.look().accounts] == [ORGANISATION]
        for named in (":memory:", "nothing.db", ""):
            machine.environ["OPENCODE_DB"] = named
            assert machine.look().accounts == []

    def test_a_database_that_is_none(self, machine: Machine) -> None:
        path = machine.put(machine.data / "opencode.db", "not a database" * 100)
        machine.put(machine.data / "opencode-empty.db")
        (machine.data / "opencode-folder.db").mkdir()
        os.mkfifo(machine.data / "opencode-pipe.db")
        (machine.data / "opencode-new.db").symlink_to("nothing")
        machine.put(machine.data / "other.db", "not ours")
        assert [where for where, _ in machine.look().unreadable_store] == [path]

    @pytest.mark.parametrize(
        "statements", ["create table account_state(id text);", f"{STATE} drop table account_state;"]
    )
    def test_a_table_of_another_shape(self, machine: Machine, statements: str) -> None:
        """The first is one that no release has; the second leaves nothing to ask."""
        path = machine.data / "opencode.db"
        filled(path, statements + "create table account(id text);").close()
        found = machine.look()
        assert found.accounts == []
        assert len(found.unreadable_store) == (0 if "drop" in statements else 1)

    @pytest.mark.parametrize(
        ("journal", "lock"),
        [("delete", "begin exclusive"), ("wal", "pragma locking_mode = exclusive")],
    )
    def test_a_locked_database(
        self, machine: Machine, journal: str, lock: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "_PATIENCE", 0.1)
        path = machine.data / "opencode.db"
        connection = filled(path, STATE, journal)
        connection.execute(lock)
        connection.execute("insert into account_state values('org')")
        found = machine.look()
        assert found.accounts == []
        assert found.unreadable_store == [(str(path), "another program has locked it")]
        connection.close()

    def test_a_database_that_another_process_writes(self, machine: Machine) -> None:
        path = machine.data / "opencode.db"
        connection = filled(path, ACTIVE, "wal")
        connection.execute("begin exclusive")
        connection.execute("delete from account_state")
        assert machine.look().accounts == [(str(path), ORGANISATION)]
        connection.close()

    def test_changes_that_are_only_in_the_log(self, machine: Machine) -> None:
        path = machine.data / "opencode.db"
        connection = filled(path, STATE, "wal")
        connection.execute("pragma wal_autocheckpoint = 0")
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.execute("insert into account_state values('org')")
        connection.commit()
        try:
            aside = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
            assert aside.execute("select * from account_state").fetchall() == []
            aside.close()
            assert machine.look().accounts == [(str(path), ORGANISATION)]
        finally:
            connection.close()

    def test_a_change_that_was_broken_off(self, machine: Machine) -> None:
        """The journal beside the database undoes the change; a read-only look cannot."""
        path = machine.data / "opencode.db"
        connection = filled(path, f"{ACTIVE} create table big(x);", "delete")
        connection.execute("pragma cache_size = 1")
        connection.execute("begin")
        connection.execute("delete from account_state")
        connection.execute("insert into big values(zeroblob(300000))")
        copies = {p.name: p.read_bytes() for p in machine.data.iterdir()}
        assert "opencode.db-journal" in copies
        connection.close()
        for name, raw in copies.items():
            (machine.data / name).write_bytes(raw)
        found = machine.look()
        assert found.accounts or found.unreadable_store

    def test_a_directory_that_cannot_be_listed(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        filled(machine.data / "opencode.db", ACTIVE).close()
        listing = os.listdir

        def closed(path: str) -> list[str]:
            if path == str(machine.data):
                raise PermissionError(13, "Permission denied")
            return listing(path)

        monkeypatch.setattr(os, "listdir", closed)
        assert machine.look().unreadable_store == [(str(machine.data), "Permission denied")]

    def test_a_damaged_page_is_unreadable(self, machine: Machine) -> None:
        path = machine.data / "opencode.db"
        filled(path, ACTIVE).close()
        raw = bytearray(path.read_bytes())
        raw[100:] = b"\xff" * (len(raw) - 100)
        path.write_bytes(raw)
        assert [where for where, _ in machine.look().unreadable_store] == [str(path)]

    def test_where_sessions_lie(self, machine: Machine) -> None:
        statements = "create table session(id text, directory text, project_id text);"
        statements += f"insert into session values('ses_1', '{machine.work}', 'p');"
        filled(machine.data / "opencode.db", statements).close()
        broken = machine.put(machine.data / "opencode-x.db", "not a database" * 100)
        directories, unreadable = session_directories(str(machine.data), ["ses_1"], "")
        assert directories == [str(machine.work)]
        assert [where for where, _ in unreadable] == [broken]

    def test_where_sessions_lie_beside_a_name_that_is_no_text(self, machine: Machine) -> None:
        statements = "create table session(id text, directory text, project_id text);"
        for directory in ("/work/\ufffd", str(machine.work)):  # Node's `process.cwd()` of \xff
            statements += f"insert into session values('ses_\ufffd', '{directory}', 'p');"
        filled(machine.data / "opencode.db", statements).close()
        for asked in ((["ses_\udcff"], ""), ([], "/work/\udcff")):
            assert session_directories(str(machine.data), *asked) == ([str(machine.work)], [])

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
        assert str(tmp_path / "AGENTS.md") in picked(str(tmp_path), "/")


def test_chain() -> None:
    assert chain(["/a/b"]) == ["/a/b", "/a", "/"]
    assert chain(["/a/b", "/a/c"]) == ["/a/b", "/a", "/", "/a/c"]
    assert chain(["/a/../b/"]) == ["/b", "/"]


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


class TestPluginsOfTheHome:
    """A plugin of `~/.opencode` runs where opencode gets there from the project upwards."""

    @pytest.fixture
    def project(self, machine: Machine) -> Path:
        project = machine.home / "work" / "app"
        for name in ("objects", "refs"):
            (project / ".git" / name).mkdir(parents=True)
        machine.put(project / ".git" / "HEAD", "ref: refs/heads/main")
        machine.put(machine.home / ".opencode" / "plugin" / "a.js")
        machine.put(machine.home / ".opencode" / "opencode.json", {"plugin": ["x"]})
        machine.put(machine.home / "bin" / "git")
        (machine.home / "bin" / "git").chmod(0o700)
        machine.environ["PATH"] = str(machine.home / "bin")
        return project

    def test_not_from_a_repository(self, machine: Machine, project: Path) -> None:
        (project / "src").mkdir()
        for start in (project, project / "src"):
            found = machine.look(start)
            assert (found.code, found.project) == ([], [])
            assert found.user_code == [str(machine.home / ".opencode" / "plugin" / "a.js")]

    @pytest.mark.parametrize(
        "what", ["plain", "empty .git", "linked", "home is one", "GIT_DIR", "no git", "elsewhere"]
    )
    def test_from_everywhere_else(self, machine: Machine, project: Path, what: str) -> None:
        starts = [project]
        if what == "plain":
            starts = [project.parent]
        elif what == "empty .git":
            (project / ".git" / "HEAD").unlink()
        elif what == "linked":
            starts = [machine.home / "link"]
            starts[0].symlink_to(project)
        elif what == "home is one":
            (project / ".git").rename(machine.home / ".git")
        elif what == "no git":
            machine.environ["PATH"] = ""
        elif what == "elsewhere":
            starts = [project, machine.home]
        else:
            machine.environ[what] = "x"
        found = machine.look(*starts)
        assert found.code == [str(machine.home / ".opencode" / "plugin" / "a.js")]
        assert paths(found) == [str(machine.home / ".opencode" / "opencode.json")]
