"""The compiled policy and its cache: what is believed, and what is compiled again."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from import_graph import ROOT, imports, modules

import guard
from guard.errors import ExitCode, PolicyError
from guard.policy import cache, keep
from guard.policy.places import project_files
from guard.policy.values import (
    BASE_URL,
    CompiledPolicy,
    GatewayProvider,
    OtherAgent,
    PolicyException,
)

FULL = r"""
[gateway]
base_url = "https://gw.example.com/v1/"
key = { command = ["op", "read", "op://a b/\\t/key"], timeout = 2.5 }
default = "portkey-openrouter/mistralai/mistral-7b"
small = "portkey/gpt-4o-mini"
[gateway.providers.portkey]
[gateway.providers.portkey-openrouter]
name = "OpenRouter, by Portkey"
slug = "@openrouter-main"
config = "pc-a1"
key = { env = "OTHER_KEY" }
models = ["mistralai/mistral-7b", "x", "x"]
[keys]
action = "flag"
unknown = "ignore"
extra = ["MY_LLM_KEY"]
[proxies]
action = "stop"
prompt = "flag"
fence = "require"
hold = [9001, 9000]
[agents.opencode]
foreign_provider = "reroute"
reroute = { anthropic = "@anthropic-prod", openai = "openai-prod" }
servers = "allow"
project_config = "ignore"
[environment]
remove = ["SOME_VAR"]
[[exception]]
subject = "server:http://localhost:4096/"
reason = "editor “old” until it speaks TLS"
until = 2100-01-01T00:00:00Z
"""


def values(policy: CompiledPolicy) -> dict[str, object]:
    """Everything a policy says, comparable."""

    def plain(thing: object) -> object:
        if isinstance(thing, GatewayProvider | OtherAgent | PolicyException):
            return vars(thing)
        return thing

    out = {}
    for name, value in vars(policy).items():
        out[name] = [plain(item) for item in value] if isinstance(value, tuple) else value
    return out


class TestValues:
    def test_defaults_are_a_machine_without_a_policy_file(self, machine):
        found, default = values(machine.load()), values(CompiledPolicy())
        assert found.pop("variables")["OPENAI_API_KEY"][0] == "provider_key"
        assert 11434 in found.pop("proxy_ports")
        assert [agent["agent"] for agent in found.pop("others")] == ["gemini-cli"]
        default.pop("others")
        for name in ("harmless", "proxy_programs", "proxy_images", "proxy_names"):
            assert found.pop(name)
            default.pop(name)
        default.pop("variables")
        default.pop("proxy_ports")
        assert found == default

    def test_default_provider(self):
        policy = CompiledPolicy(
            providers=(GatewayProvider(name="a"), GatewayProvider(name="b")), default_model="b/x/y"
        )
        assert policy.default_provider.name == "b"
        assert policy.provider("c") is None

    def test_default_provider_unknown(self):
        with pytest.raises(PolicyError, match="nobody"):
            _ = CompiledPolicy(default_model="nobody/x").default_provider

    def test_small_model_is_the_default_model_unless_set(self):
        assert CompiledPolicy(default_model="portkey/x").small_model == "portkey/x"
        assert CompiledPolicy(small_model="portkey/s").small_model == "portkey/s"

    def test_exception_holds_until_its_last_second(self):
        policy = CompiledPolicy(
            exceptions=(
                PolicyException(subject="env:A", until=50.0),
                PolicyException(subject="env:A", until=100.0),
            )
        )
        assert policy.excepted("env:A", 100.0).until == 100.0
        assert policy.excepted("env:A", 100.5) is None
        assert policy.excepted("env:a", 1.0) is None
        assert policy.excepted("env:A") is None

    def test_exception_spellings(self):
        policy = CompiledPolicy(
            exceptions=(
                PolicyException(subject="server:http://h:1", until=9.0),
                PolicyException(subject="proxy:localhost:4000", until=9.0),
            )
        )
        assert policy.excepted("server:http://h:1/", 1.0)
        assert policy.excepted("proxy:LOCALHOST:4000", 1.0)
        assert policy.excepted("proxy:localhost:40000", 1.0) is None


class TestProjectFiles:
    def test_without_git_only_the_directory_itself(self, machine):
        inner = machine.work / "a" / "b"
        inner.mkdir(parents=True)
        machine.write(machine.project, "")
        assert project_files(str(inner)) == ()
        assert project_files(str(machine.work)) == (str(machine.project),)

    def test_up_to_the_git_root_and_every_one_counts(self, machine):
        inner = machine.work / "a" / "b"
        inner.mkdir(parents=True)
        (machine.work / ".git").mkdir()
        machine.write(machine.work.parent / ".routeguard.toml", "not = 'ours'")
        machine.write(machine.project, "[proxies]\nfence = 'require'")
        below = machine.write(inner / "pyproject.toml", "[tool.routeguard.keys]\nextra = ['A_B']")
        assert project_files(str(inner)) == (str(machine.project), str(below))
        policy = machine.load(inner)
        assert (policy.proxies_fence, policy.keys_extra) == ("require", ("A_B",))

    def test_git_worktree(self, machine):
        (machine.work / ".git").write_text("gitdir: elsewhere")
        (machine.work / "a").mkdir()
        machine.write(machine.project, "")
        assert project_files(str(machine.work / "a")) == (str(machine.project),)

    def test_own_file_before_the_shared_one(self, machine):
        machine.write(machine.pyproject, "[tool.routeguard.proxies]\naction = 'stop'")
        machine.write(machine.project, "")
        assert project_files(str(machine.work)) == (str(machine.project),)

    def test_directory_reached_through_a_link(self, machine, tmp_path):
        machine.write(machine.project, "[proxies]\nfence = 'try'")
        (tmp_path / "link").symlink_to(machine.work)
        assert machine.load(tmp_path / "link").proxies_fence == "try"


@pytest.fixture
def compiles(monkeypatch):
    """Counts how often the layers were compiled."""
    seen = []
    original = cache._compile

    def counting(*args):
        seen.append(args)
        return original(*args)

    monkeypatch.setattr(cache, "_compile", counting)
    return seen


class TestCache:
    def test_comes_back_whole(self, machine, compiles):
        machine.write(machine.user, FULL)
        machine.write(machine.project, "[gateway]\nbase_url = 'x'\n[keys]\nextra=['P_Q']")
        first, second = machine.load(), machine.load()
        assert len(compiles) == 1
        assert values(first) == values(second)
        assert second.base_url == "https://gw.example.com/v1"
        assert second.providers[0].key_command == ("op", "read", "op://a b/\\t/key")
        assert second.providers[0].key_timeout == 2.5
        assert second.provider("portkey-openrouter").models == ("mistralai/mistral-7b", "x")
        assert second.provider("portkey-openrouter").slug == "openrouter-main"
        assert second.provider("portkey-openrouter").key_env == "OTHER_KEY"
        assert second.reroute == {"anthropic": "anthropic-prod", "openai": "openai-prod"}
        assert second.variables["MY_LLM_KEY"] == ("provider_key", "your policy")
        assert second.variables["P_Q"] == ("provider_key", "your policy")
        assert second.excepted("server:http://localhost:4096", 0.0).until == 4102444800.0
        assert [layer for layer, _ in second.layers] == ["user", "project"]
        assert len(second.notes) == 1

    def test_paths_with_tabs_and_newlines(self, machine, compiles, tmp_path):
        odd = tmp_path / "a\tb\nc\\d\udcff"
        odd.mkdir()
        machine.write(odd / ".routeguard.toml", "[proxies]\naction = 'stop'")
        for _ in range(2):
            assert machine.load(odd).layers == (("project", str(odd / ".routeguard.toml")),)
        assert len(compiles) == 1

    def test_is_private(self, machine):
        os.umask(0)
        machine.load()
        assert machine.cached().stat().st_mode & 0o777 == 0o600
        assert machine.cache.stat().st_mode & 0o777 == 0o700

    def test_project_without_a_file_shares_the_entry(self, machine, compiles, tmp_path):
        machine.load()
        (tmp_path / "other").mkdir()
        machine.load(tmp_path / "other")
        assert len(compiles) == 1

    def test_a_layer_appears_changes_and_vanishes(self, machine, compiles):
        for path in (machine.user, machine.system, machine.project, machine.pyproject):
            table = "[tool.routeguard.proxies]" if path == machine.pyproject else "[proxies]"
            assert machine.load().proxies_fence == "off"
            machine.write(path, f'{table}\nfence = "try" ')
            assert machine.load().proxies_fence == "try"
            machine.write(path, f'{table}\nfence = "off"')
            assert machine.load().proxies_fence == "off"
            path.unlink()
        assert machine.load().layers == ()

    def test_same_size_and_time_set_back(self, machine):
        machine.write(machine.user, "[proxies]\naction = 'stop'")
        before = machine.user.stat()
        assert machine.load().proxies_action == "stop"
        with machine.user.open("w") as file:
            file.write("[proxies]\naction = 'flag'")
        os.utime(machine.user, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = machine.user.stat()
        assert (after.st_size, after.st_ino, after.st_mtime_ns) == (
            before.st_size,
            before.st_ino,
            before.st_mtime_ns,
        )
        assert machine.load().proxies_action == "flag"

    def test_replaced_by_rename(self, machine):
        machine.write(machine.user, "[proxies]\naction = 'stop'")
        assert machine.load().proxies_action == "stop"
        other = machine.write(machine.user.with_name("new"), "[proxies]\naction = 'flag'")
        other.rename(machine.user)
        assert machine.load().proxies_action == "flag"

    def test_mode_of_a_layer_becomes_loose(self, machine):
        machine.write(machine.user, "")
        machine.load()
        machine.user.chmod(0o666)
        with pytest.raises(PolicyError, match="others can write"):
            machine.load()

    def test_other_code_or_catalogue(self, machine, compiles, monkeypatch, tmp_path):
        machine.load()
        monkeypatch.setattr(cache, "_SOURCES", (*cache._SOURCES, str(tmp_path / "new.py")))
        machine.load()
        assert len(compiles) == 2
        monkeypatch.setattr(cache, "__version__", "0.0.0.test")
        machine.load()
        assert len(compiles) == 3

    def test_another_release_is_installed(self, machine, compiles, monkeypatch, tmp_path):
        package = tmp_path / "guard"
        (package / "policy").mkdir(parents=True)
        (package / "policy/model.py").write_text("old")
        monkeypatch.setattr(cache.paths, "PACKAGE", str(package))
        monkeypatch.setattr(cache, "_INSTALLED", (str(package / "policy"),))
        machine.load()
        machine.load()
        assert len(compiles) == 1
        (tmp_path / "new").write_text("new")
        (tmp_path / "new").replace(package / "policy/model.py")
        machine.load()
        assert len(compiles) == 2

    def test_what_shows_that_another_release_is_installed_is_there(self):
        shown = {Path(path) for path in cache._INSTALLED}
        assert {Path(path).parent for path in cache._SOURCES} <= shown
        assert all(path.exists() for path in shown)

    def test_catalogue_data_changes(self, machine, compiles, monkeypatch, tmp_path):
        data = tmp_path / "data"
        data.write_text("1")
        monkeypatch.setattr(guard.catalog.entries, "data_files", lambda: (str(data),))
        machine.load()
        machine.load()
        assert len(compiles) == 1
        data.write_text("22")
        machine.load()
        assert len(compiles) == 2
        data.unlink()
        machine.load()
        assert len(compiles) == 3

    def test_sources_are_all_that_compiling_imports(self):
        needs, asked = set(), ["guard.policy.compile", "guard.policy.cache"]
        files = modules()
        while asked:
            name = asked.pop()
            path = files.get(name) or files[f"{name}.__init__"]
            if path not in needs:
                needs.add(path)
                asked += [module for _, module in imports(path) if module != "guard"]
        needs.add(ROOT / "__init__.py")
        assert {Path(path) for path in cache._SOURCES} == needs

    def test_what_just_changed_is_not_kept(self, machine, monkeypatch):
        monkeypatch.setattr(keep, "_SETTLED_NS", 3600 * 10**9)
        machine.write(machine.user, "")
        machine.load()
        assert not machine.cache.exists()

    def test_nor_where_a_file_system_tells_whole_seconds(self, monkeypatch):
        """What changed in this second can change in it again, with the same time."""
        second = 10**9
        monkeypatch.setattr(keep.time, "time_ns", lambda: 1000 * second)

        def settled(written: float, changed: float) -> bool:
            times = [int(moment * second) for moment in (written, changed)]
            return keep.settled([("policy.toml", *times, 1, 1, 0o644, 0)])

        assert not settled(999, 999)
        assert not settled(5, 999)
        assert settled(999, 998)
        assert settled(999, 999.25)

    def test_oldest_entries_go(self, machine, monkeypatch, tmp_path):
        monkeypatch.setattr(keep, "_ENTRIES", 3)
        for number in range(6):
            directory = tmp_path / f"p{number}"
            directory.mkdir()
            machine.write(directory / ".routeguard.toml", "")
            machine.load(directory)
        assert len(list(machine.cache.iterdir())) == 3


def with_values(found, values):
    """What a cache file holds, `found`, with other values of the policy."""
    return (*found[:2], values, *found[3:])


class TestShown:
    """What `policy show` says lies beside the compiled policy, and is never older than it."""

    @pytest.fixture(autouse=True)
    def system(self, machine, monkeypatch):
        monkeypatch.setattr(cache.paths, "SYSTEM_POLICY", str(machine.system))

    def shown(self, machine):
        return cache.shown(str(machine.work), machine.environ)

    def action(self, machine):
        return self.shown(machine)["json"]["values"]["proxies.action"]["value"]

    def test_is_kept_with_the_policy_and_comes_back_the_same(self, machine, compiles):
        machine.write(machine.user, FULL)
        machine.write(machine.project, "[gateway]\nbase_url = 'x'\n[keys]\nextra=['P_Q']")
        machine.load()
        first = self.shown(machine)
        assert len(compiles) == 1
        assert (
            first
            == cache._compile(str(machine.system), str(machine.user), (str(machine.project),))[2]
        )

    def test_a_layer_appears_changes_and_vanishes(self, machine):
        assert self.action(machine) == "refuse"
        for layer in (machine.user, machine.system):
            machine.write(layer, "[proxies]\naction = 'flag'")
            assert self.action(machine) == "flag"
            machine.write(layer, "[proxies]\naction = 'stop'")
            assert self.action(machine) == "stop"
            layer.unlink()
            assert self.action(machine) == "refuse"

    def test_a_layer_that_others_can_write(self, machine):
        machine.write(machine.user, "")
        self.shown(machine)
        machine.user.chmod(0o666)
        with pytest.raises(PolicyError, match="others can write"):
            self.shown(machine)

    def test_a_directory_of_the_repository_is_not_the_users(self, machine):
        (machine.work / ".git").mkdir()
        machine.environ["XDG_CONFIG_HOME"] = str(machine.work / "config")
        with pytest.raises(PolicyError, match="inside the project"):
            self.shown(machine)

    @pytest.mark.parametrize("kept", [b"", b"?", b"(\xff\xff\x01\x00", marshal.dumps([1])])
    def test_what_is_kept_is_no_text_of_ours(self, machine, compiles, kept):
        machine.write(machine.user, "[proxies]\naction = 'stop'")
        machine.load()
        file = machine.cached()
        body = marshal.dumps((*marshal.loads(file.read_bytes().partition(b"\n")[2])[:3], kept))
        file.write_bytes(cache._head(body) + b"\n" + body)
        assert machine.load().proxies_action == "stop"
        assert len(compiles) == 1
        assert self.action(machine) == "stop"
        assert len(compiles) == 2

    def test_what_says_too_much_is_not_kept(self, machine, compiles):
        """A launch would read past it."""
        names = [f"A_{'X' * 100}_{number}" for number in range(900)]
        machine.write(machine.project, f"[environment]\nremove = {names}")
        machine.load()
        assert machine.cached().stat().st_size < 2 * 128 * 1024
        assert len(self.shown(machine)["json"]["lists"]["environment.remove"]) == 900
        assert len(compiles) == 2


class TestDamage:
    """Every damaged entry is compiled again and replaced; none changes what holds."""

    @pytest.fixture
    def kept(self, machine, compiles):
        machine.write(machine.user, "[proxies]\naction = 'stop'")
        machine.load()
        return machine.cached()

    def again(self, machine, compiles, kept):
        assert machine.load().proxies_action == "stop"
        assert len(compiles) == 2
        assert machine.load().proxies_action == "stop"
        assert len(compiles) == 2, "the damaged entry was not replaced"
        assert not kept.is_symlink()
        assert kept.stat().st_mode & 0o777 == 0o600
        assert kept.stat().st_uid == os.geteuid()

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: b"",
            lambda data: b"\n",
            lambda data: data[:1],
            lambda data: data[: len(data) // 2],
            lambda data: data[:-1],
            lambda data: data + b"\n",
            lambda data: data.replace(b"stop", b"flag"),
            lambda data: os.urandom(5000),
            lambda data: b"\0" * len(data),
            lambda data: b"\xff\xfe" + data,
            lambda data: data.replace(b"\n", b"\r\n"),
            lambda data: data.partition(b"\n")[2],
            lambda data: b"x" * (cache.CACHE_BYTES + 1),
        ],
    )
    def test_content(self, machine, compiles, kept, damage):
        kept.write_bytes(damage(kept.read_bytes()))
        self.again(machine, compiles, kept)

    @pytest.mark.parametrize(
        "change",
        [
            lambda found: found[:2],
            lambda found: (*found, 1),
            lambda found: [],
            lambda found: 7,
            lambda found: found[:3],
            lambda found: (*found[:3], 7),
            lambda found: (found[0], 7, *found[2:]),
            lambda found: (found[0], ((),), *found[2:]),
            lambda found: (found[0], ((2**70,),), *found[2:]),
            lambda found: with_values(found, [*found[2]]),
            lambda found: with_values(found, {**found[2], "other": 1}),
            lambda found: with_values(found, {**found[2], "providers": ({"name": "x"}, 1)}),
            lambda found: with_values(found, {**found[2], "providers": ({"nam": "x"},)}),
            lambda found: with_values(found, {**found[2], "providers": ({"name": 7},)}),
            lambda found: with_values(found, {**found[2], "exceptions": ({"subject": 7},)}),
            lambda found: with_values(found, {**found[2], "base_url": 7}),
            lambda found: with_values(
                found,
                {name: value for name, value in found[2].items() if name != "proxies_action"},
            ),
        ],
    )
    def test_well_formed_but_not_ours(self, machine, compiles, kept, change):
        body = marshal.dumps(change(marshal.loads(kept.read_bytes().partition(b"\n")[2])))
        kept.write_bytes(cache._head(body) + b"\n" + body)
        self.again(machine, compiles, kept)

    def test_what_no_marshal_wrote(self, machine, compiles, kept):
        for body in (b"", b"\xe9\xff\xff", b"(\xff\xff\x01\x00", b"?"):
            kept.write_bytes(cache._head(body) + b"\n" + body)
            machine.load()
        assert len(compiles) == 5

    def test_what_takes_more_memory_than_there_is(self, machine, compiles, kept, monkeypatch):
        def without_memory(body):
            raise MemoryError

        monkeypatch.setattr(cache.marshal, "loads", without_memory)
        assert machine.load().proxies_action == "stop"
        assert len(compiles) == 2

    def test_an_exception_with_a_time_is_kept(self, machine, compiles, kept):
        machine.write(
            machine.user,
            "[[exception]]\nsubject='env:A_KEY'\nreason='x'\nuntil=2099-12-31\n"
            "[[exception]]\nsubject='env:B_KEY'\nreason='x'\nuntil=2099-12-31T10:00:00Z\n",
        )
        machine.load()
        count = len(compiles)
        assert len(machine.load().exceptions) == 2
        assert len(compiles) == count

    @pytest.mark.parametrize("mode", [0o666, 0o644, 0o620, 0o602, 0o700])
    def test_mode(self, machine, compiles, kept, mode):
        kept.chmod(mode)
        self.again(machine, compiles, kept)

    def test_other_owner(self, machine, compiles, kept, monkeypatch):
        if os.geteuid() == 0:
            os.chown(kept, 12345, 12345)
            self.again(machine, compiles, kept)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: 12345)
            assert cache._read(str(kept), ()) is None

    def test_link_planted(self, machine, compiles, kept, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        kept.rename(elsewhere)
        kept.symlink_to(elsewhere)
        before = elsewhere.read_bytes()
        self.again(machine, compiles, kept)
        assert elsewhere.read_bytes() == before

    def test_fifo_planted(self, machine, compiles, kept):
        kept.unlink()
        os.mkfifo(kept, 0o600)
        self.again(machine, compiles, kept)

    def test_directory_planted(self, machine, compiles, kept):
        kept.unlink()
        kept.mkdir()
        for _ in range(2):
            assert machine.load().proxies_action == "stop"
        assert [path.name for path in machine.cache.iterdir()] == [kept.name]

    def test_entry_of_another_project(self, machine, compiles, kept, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        machine.write(other / ".routeguard.toml", "[keys]\nextra = ['A_B']")
        machine.load(other)
        (planted,) = [path for path in machine.cache.iterdir() if path != kept]
        planted.replace(kept)
        assert machine.load().keys_extra == ()

    def test_recompile_fails(self, machine, kept):
        kept.write_bytes(b"damaged")
        machine.write(machine.user, "[proxies]\naction = 'stopp'")
        with pytest.raises(PolicyError) as caught:
            machine.load()
        assert caught.value.exit_code == ExitCode.CONFIG
        assert caught.value.rule == "RG501"


class TestNoPlaceForACache:
    """A cache that cannot be written costs time, never the launch."""

    def load_twice(self, machine, compiles):
        for _ in range(2):
            assert machine.load().base_url == BASE_URL
        assert len(compiles) == 2

    def test_a_file_in_the_way(self, machine, compiles):
        (machine.home / ".cache").write_text("")
        self.load_twice(machine, compiles)

    def test_not_writable(self, machine, compiles, monkeypatch):
        real = os.open

        def refuse(path, flags, *args, **kwargs):
            if flags & os.O_CREAT:
                raise PermissionError(13, "Permission denied", path)
            return real(path, flags, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)
        self.load_twice(machine, compiles)

    def test_disk_full(self, machine, compiles, monkeypatch):
        def full(fd, data):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        self.load_twice(machine, compiles)

    def test_written_in_part(self, machine, compiles, monkeypatch):
        real = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:100]))
        for _ in range(2):
            assert machine.load().base_url == BASE_URL
        assert len(compiles) == 1, "what the kernel takes in pieces is whole in the end"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    def test_directory_of_somebody_else(self, machine, compiles):
        machine.cache.mkdir(parents=True)
        os.chown(machine.cache, 12345, 12345)
        self.load_twice(machine, compiles)

    def test_home_missing(self, machine, compiles, monkeypatch):
        import pwd

        entry = pwd.struct_passwd(("me", "x", 1, 1, "", str(machine.home), "/bin/sh"))
        monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry)
        machine.write(machine.user, "[proxies]\naction = 'stop'")
        machine.environ = {}
        assert machine.load().proxies_action == "stop"

    def test_no_home_at_all(self, machine, monkeypatch):
        import pwd

        def unknown(uid):
            raise KeyError(uid)

        monkeypatch.setattr(pwd, "getpwuid", unknown)
        machine.environ = {}
        with pytest.raises(PolicyError, match="no home directory") as caught:
            machine.load()
        assert "HOME" in caught.value.fix

    def test_config_home_without_a_cache_home(self, machine, compiles, monkeypatch):
        import pwd

        def unknown(uid):
            raise KeyError(uid)

        monkeypatch.setattr(pwd, "getpwuid", unknown)
        machine.environ = {"XDG_CONFIG_HOME": str(machine.home / ".config")}
        self.load_twice(machine, compiles)


SCRIPT = """
import sys
sys.path.append(sys.argv[1])
from guard.errors import GuardError
from guard.policy.cache import load
try:
    policy = load(sys.argv[2], {"HOME": sys.argv[3]}, system=sys.argv[4])
except GuardError as error:
    print(error.render())
else:
    print(policy.proxies_action)
print(*sorted(sys.modules))
"""


class TestBareInterpreter:
    """As the wrappers start it: -I -S, no site-packages."""

    def run(self, machine, root: str = "", python: str = sys.executable) -> tuple[str, set[str]]:
        root = root or os.path.dirname(os.path.dirname(guard.__file__))
        done = subprocess.run(
            [
                *(python, "-I", "-S", "-c", SCRIPT, root),
                *(str(machine.work), str(machine.home), str(machine.system)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={},
        )
        assert done.stderr == ""
        said, _, modules = done.stdout.rstrip("\n").rpartition("\n")
        return said, set(modules.split())

    def test_cold_then_cached(self, machine):
        machine.write(machine.user, "[proxies]\naction = 'stop'")
        while time.time_ns() - machine.user.stat().st_ctime_ns < 2 * 10**8:
            time.sleep(0.05)
        said, modules = self.run(machine)
        assert said == "stop"
        assert "pydantic" in modules
        said, modules = self.run(machine)
        assert said == "stop"
        assert not modules & {
            *("tomllib", "pydantic", "json", "re", "hashlib", "typing", "dataclasses", "enum"),
            *("site", "pathlib", "subprocess", "logging", "contextlib", "datetime"),
        }
        allowed = {"guard", "guard.errors", "guard.paths", "guard.policy", "guard.policy.cache"}
        allowed |= {"guard.policy.places", "guard.policy.values"}
        allowed |= {"guard.files", "guard.files.around", "guard.files.read", "guard.record"}
        assert {name for name in modules if name.startswith("guard")} == allowed

    def test_without_dependencies(self, machine, tmp_path):
        bare = tmp_path / "bare"
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(bare)],
            check=True,
            timeout=120,
            capture_output=True,
        )
        said, _ = self.run(machine, python=str(bare / "bin" / "python"))
        assert said.startswith("routeguard: cannot read the policy")
        assert "pydantic is missing" in said
        assert "-m pip install" in said
