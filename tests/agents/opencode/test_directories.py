"""The private directories: everything linked but code, and no file of the user's ever lost."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.agents.opencode import directories as module
from guard.agents.opencode import frontmatter, markdown
from guard.agents.opencode.directories import (
    Directories,
    prepare,
    prepare_project,
    suffix,
)
from guard.agents.opencode.surroundings import Surroundings
from guard.agents.suffix import SUFFIX_LENGTH
from guard.errors import ExitCode, GuardError

SHIM = "#!/bin/sh\n# routeguard-shim\n"
ROOT = Path(module.__file__).resolve().parents[3]


def pinned(*roots: Path, all_of_them: bool = False) -> dict[str, str | None]:
    """What stands instead of the agents and commands that name a model, or of all of them."""
    texts: dict[str, str | None] = {}
    for root in roots:
        for one in markdown.definitions(str(root)):
            fields = {"name": one.name, **one.fields}
            body = fields.pop("prompt", fields.pop("template", ""))
            if "model" in fields:
                fields["model"] = f"ours-x/{fields['model'].rpartition('/')[2]}"
            if "model" in fields or all_of_them:
                texts[one.path] = frontmatter.render(fields, body)
    return texts


class Home:
    """A user's home, and the directories that a launch would be given."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {"HOME": str(root)}
        self.directories = Directories(self.environ)
        self.real = root / ".config" / "opencode"
        self.config = Path(self.directories.config)
        self.ours = self.config / "opencode"

    def put(self, path: Path, text: str = "") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def prepare(self) -> list[str]:
        return prepare(self.directories, "1.18.33", SHIM, pinned(self.real))

    def snapshot(self) -> dict[str, str]:
        """Every path under the state directory with what is at it."""
        found = {}
        for path in sorted((self.root / ".local").rglob("*")):
            if path.is_symlink():
                found[str(path)] = f"-> {os.readlink(path)}"
            elif path.is_file():
                found[str(path)] = path.read_text()
        return found

    def texts(self) -> list[str]:
        """The content of every regular file in the home."""
        return [p.read_text() for p in self.root.rglob("*") if p.is_file() and not p.is_symlink()]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path.resolve())


class TestSuffix:
    def test_it_is_made_once(self, home: Home) -> None:
        assert suffix(home.environ, create=False) == "x" * SUFFIX_LENGTH
        assert not (home.root / ".local").exists()
        made = suffix(home.environ, create=True)
        assert len(made) == SUFFIX_LENGTH
        assert made.isalnum()
        assert made == made.lower()
        assert suffix(home.environ, create=True) == suffix(home.environ, create=False) == made

    def test_it_is_not_to_be_guessed(self, tmp_path: Path) -> None:
        made = {suffix({"HOME": str(tmp_path / str(i))}, create=True) for i in range(20)}
        assert len(made) == 20

    @pytest.mark.parametrize(
        "text", ["", "short", "UPPERCASE1", "0123456789", "abc\0efghij", "é" * 10]
    )
    def test_a_damaged_one_is_replaced(self, home: Home, text: str) -> None:
        suffix(home.environ, create=True)
        (path,) = home.root.rglob("provider-suffix")
        path.write_text(text)
        made = suffix(home.environ, create=True)
        assert made != text
        assert suffix(home.environ, create=True) == made

    def test_only_its_owner_may_read_it(self, home: Home) -> None:
        suffix(home.environ, create=True)
        (path,) = home.root.rglob("provider-suffix")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("obstacle", ["directory", "pipe", "loop"])
    def test_what_is_in_the_way(self, home: Home, obstacle: str) -> None:
        suffix(home.environ, create=True)
        (path,) = home.root.rglob("provider-suffix")
        path.unlink()
        if obstacle == "directory":
            path.mkdir()
            with pytest.raises(GuardError):
                suffix(home.environ, create=True)
            return
        os.mkfifo(path) if obstacle == "pipe" else path.symlink_to(path.name)
        assert len(suffix(home.environ, create=True)) == SUFFIX_LENGTH


class TestPrepare:
    def test_an_empty_home(self, home: Home) -> None:
        assert home.prepare() == []
        assert "provider.use" in (home.ours / "opencode.json").read_text()
        assert (home.ours / "node_modules").is_dir()
        for name in ("package.json", "package-lock.json"):
            assert "1.18.33" in (home.ours / name).read_text()
        assert (Path(home.directories.bin) / "opencode").read_text() == SHIM
        assert os.access(Path(home.directories.bin) / "opencode", os.X_OK)
        assert not (home.root / ".config").exists(), "the user's own was touched"

    def test_everything_is_linked_but_what_loads_code(self, home: Home) -> None:
        wanted = [".config/git/config", ".config/nvim/init.lua", ".config/starship.toml"]
        wanted += [f".config/opencode/{n}" for n in ("AGENTS.md", "themes/t.json", "agent/a.md")]
        wanted += ["." + n for n in ("claude/CLAUDE.md", "agents/x.md")]
        for name in wanted:
            home.put(home.root / name, name)
        for name in ("plugin/p.js", "plugins/p.ts", "tool/t.js", "tools/t.ts", "opencode.json"):
            home.put(home.real / name, "code")
        home.prepare()
        for name in wanted:
            base = home.config if name.startswith(".config/") else Path(home.directories.home)
            assert (base / name.removeprefix(".config/")).read_text() == name
        for name in ("plugin", "plugins", "tool", "tools"):
            assert not (home.ours / name).exists()
        assert (home.ours / "opencode.json").read_text() != "code"
        assert not (Path(home.directories.home) / ".opencode").exists()

    def test_twice_is_once(self, home: Home) -> None:
        home.put(home.real / "agent" / "a.md", "---\nmodel: x/y\n---\n")
        home.put(home.real / "tui.json", '{"plugin":["x"],"theme":"t"}')
        home.prepare()
        before = home.snapshot()
        times = {p: p.lstat().st_mtime_ns for p in (home.root / ".local").rglob("*") if p.is_file()}
        assert home.prepare() == []
        assert home.snapshot() == before
        assert times == {p: p.lstat().st_mtime_ns for p in times}, "a file was written again"

    def test_links_follow_the_users_own(self, home: Home) -> None:
        path = home.put(home.root / ".config" / "git" / "config")
        home.put(home.real / "AGENTS.md")
        home.prepare()
        path.unlink()
        path.parent.rmdir()
        (home.real / "AGENTS.md").unlink()
        home.put(home.root / ".config" / "new.toml", "new")
        home.prepare()
        assert not os.path.lexists(home.config / "git")
        assert not os.path.lexists(home.ours / "AGENTS.md")
        assert (home.config / "new.toml").read_text() == "new"

    def test_modes(self, home: Home) -> None:
        previous = os.umask(0)
        try:
            home.prepare()
        finally:
            os.umask(previous)
        for path in (home.root / ".local/state/routeguard").rglob("*"):
            assert not stat.S_IMODE(path.lstat().st_mode) & 0o077 or path.is_symlink(), path

    def test_two_config_homes_do_not_share(self, home: Home) -> None:
        other = Directories({**home.environ, "XDG_CONFIG_HOME": str(home.root / "other")})
        assert other.base != home.directories.base


class TestTexts:
    def test_one_stands_instead_and_the_original_stays(self, home: Home) -> None:
        text = "---\nmodel: anthropic/claude\n---\nmodel: in text\n"
        original = home.put(home.real / "agent" / "deep" / "a.md", text)
        other = home.put(home.real / "agent" / "b.md", "no front matter\nmodel: x\n")
        home.prepare()
        copy = frontmatter.read((home.ours / "agent/deep/a.md").read_text())
        assert copy == ({"name": "deep/a", "model": "ours-x/claude"}, "model: in text")
        assert original.read_text() == text
        assert os.readlink(home.ours / "agent/b.md") == str(other)

    def test_one_that_is_left_out_is_not_there(self, home: Home) -> None:
        gone = home.put(home.real / "agent" / "a.md", "a")
        home.put(home.real / "agent" / "b.md", "b")
        home.prepare()
        assert (home.ours / "agent/a.md").exists()
        prepare(home.directories, "1.18.33", SHIM, {str(gone): None})
        assert sorted(p.name for p in (home.ours / "agent").iterdir()) == ["b.md"]
        home.prepare()
        assert (home.ours / "agent/a.md").exists()
        assert gone.read_text() == "a"

    def test_agents_of_the_closed_home_are_given_back(self, home: Home) -> None:
        own = home.root / ".opencode"
        home.put(own / "agents" / "a.md", "agent")
        home.put(own / "mode" / "m.md", "mode")
        home.put(own / "commands" / "c.md", "command")
        prepare(home.directories, "1.18.33", SHIM, pinned(own, all_of_them=True))
        found = {}
        for folder in ("agent", "command"):
            for path in (home.ours / folder).rglob("*.md"):
                found[frontmatter.read(path.read_text())[0]["name"]] = folder
        assert found == {"a": "agent", "m": "agent", "c": "command"}
        assert home.prepare() == []
        assert not list((home.ours / "agent").rglob("*.md"))

    def test_a_copy_follows_its_original(self, home: Home) -> None:
        path = home.put(home.real / "command/a.md", "---\nmodel: x/one\n---\n")
        home.prepare()
        path.write_text("---\nmodel: x/two\n---\n")
        home.prepare()
        assert "ours-x/two" in (home.ours / "command/a.md").read_text()
        path.write_text("---\ndescription: d\n---\n")
        assert home.prepare() == []
        assert (home.ours / "command/a.md").read_text() == path.read_text()
        path.unlink()
        home.prepare()
        assert not os.path.lexists(home.ours / "command/a.md")

    def test_an_edit_of_a_copy_from_elsewhere_is_set_aside(self, home: Home) -> None:
        path = home.root / ".opencode" / "agent" / "x.md"
        texts = {str(path): frontmatter.render({"name": "x", "model": "ours-x/y"}, "old")}
        prepare(home.directories, "1.18.33", SHIM, texts)
        copy = home.ours / "agent" / "home-agent" / "x.md"
        copy.write_text(copy.read_text().replace("old", "edited"))
        (said,) = prepare(home.directories, "1.18.33", SHIM, texts)
        assert "x.md" in said
        assert "old" in copy.read_text()
        assert not (home.real / "agent").exists()
        assert any("edited" in text for text in home.texts())

    def test_an_edit_of_a_copy_goes_home_with_the_original_model(self, home: Home) -> None:
        path = home.put(home.real / "agent/a.md", "---\nmodel: x/one\n---\nold\n")
        os.utime(path, ns=(1, 1))
        home.prepare()
        copy = home.ours / "agent/a.md"
        copy.write_text(copy.read_text().replace("old", "new"))
        home.prepare()
        assert path.read_text() == "---\nmodel: x/one\n---\nnew\n"
        assert "ours-x/one" in copy.read_text()
        assert any("old\n" in text for text in home.texts()), "the former text is gone"


class TestNothingIsLost:
    @pytest.mark.parametrize(
        "name",
        [
            "new.toml", "tool/settings.json", "opencode/agent/new.md", "opencode/command/new.md",
            "opencode/themes/new.json", "opencode/AGENTS.md", "opencode/notes.txt",
            "opencode/skills/s/SKILL.md",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("copies", [False, True])
    def test_a_new_file_is_given_back(self, home: Home, name: str, copies: bool) -> None:
        if copies:
            home.put(home.real / "agent/a.md", "---\nmodel: x/y\n---\n")
            home.put(home.real / "command/a.md", "---\nmodel: x/y\n---\n")
        home.prepare()
        home.put(home.config / name, "made under the guard")
        home.prepare()
        assert (home.root / ".config" / name).read_text() == "made under the guard"
        if name != "opencode/notes.txt":  # of the agent's own, what it knows is linked
            assert (home.config / name).read_text() == "made under the guard"

    @pytest.mark.parametrize(
        "name", ["opencode.json", "opencode.jsonc", "config.json", "tui.json", "plugin/p.js"]
    )
    def test_what_the_agent_would_load_is_kept_aside(self, home: Home, name: str) -> None:
        home.prepare()
        home.put(home.ours / name, "made under the guard")
        told = home.prepare()
        assert len(told) == 1
        place = Path(told[0].rpartition(" ")[2])
        kept = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
        assert [p.read_text() for p in kept] == ["made under the guard"]
        assert not (home.real / name).exists()
        assert home.prepare() == []

    def test_a_file_of_the_user_is_never_overwritten(self, home: Home) -> None:
        home.prepare()
        home.put(home.config / "x.toml", "under the guard")
        home.put(home.root / ".config" / "x.toml", "outside")
        home.prepare()
        assert {"under the guard", "outside"} <= set(home.texts())

    def test_a_save_by_renaming_reaches_the_user(self, home: Home) -> None:
        real = home.put(home.root / ".config" / "x.toml", "old")
        os.utime(real, ns=(1, 1))
        home.prepare()
        temporary = home.put(home.config / "x.toml.new", "new")
        temporary.rename(home.config / "x.toml")
        told = home.prepare()
        assert real.read_text() == "new"
        assert len(told) == 1
        assert "old" in home.texts()
        assert os.readlink(home.config / "x.toml") == str(real)


def with_checksum(text: bytes, wanted: int) -> bytes:
    """`text` and four bytes by which its CRC-32 becomes `wanted`."""
    table = [zlib.crc32(bytes([n])) ^ zlib.crc32(b"\0") for n in range(256)]
    register = wanted ^ 0xFFFFFFFF
    for _ in range(4):
        index = next(n for n, entry in enumerate(table) if entry >> 24 == register >> 24)
        register = ((register ^ table[index]) << 8 | index) & 0xFFFFFFFF
    end = register ^ zlib.crc32(text) ^ 0xFFFFFFFF
    made = text + end.to_bytes(4, "little")
    assert zlib.crc32(made) == wanted
    return made


NEVER_GIVEN_BACK = (
    *("config/opencode/plugin/e.js", "config/opencode/tool", "config/opencode/config.json"),
    *("bin/git", "home/.opencode", "empty/package.json", "empty/node_modules/esprima/lib.js"),
)
GIVEN_BACK = ("config/git", "config/opencode/agent/e.js")
"""Where a link to elsewhere is what a program made: it goes home, see TestNothingIsLost."""


class TestForgedState:
    """Whoever can write in the state directory can write the list of checksums, too."""

    def test_what_the_agent_runs_is_compared_byte_by_byte(self, home: Home) -> None:
        home.prepare()
        base = Path(home.directories.base)
        ours = [
            base / "bin/opencode",
            base / "empty/tsconfig.json",
            base / "empty/node_modules/esprima/index.js",
            base / "empty/node_modules/esprima/package.json",
            base / "config/opencode/opencode.json",
        ]
        before = {path: path.read_bytes() for path in ours}
        for path in ours:
            path.write_bytes(with_checksum(b"steal();//", zlib.crc32(before[path])))
        home.prepare()
        assert {path: path.read_bytes() for path in ours} == before
        assert os.access(base / "bin/opencode", os.X_OK)

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            (name, kind)
            for kind, names in (
                ("text", GIVEN_BACK),
                ("link into the users own", GIVEN_BACK),
                *((kind, NEVER_GIVEN_BACK) for kind in ("text", "link", "link into the users own")),
            )
            for name in names
        ],
    )
    def test_what_only_passes_for_ours_goes(self, home: Home, name: str, kind: str) -> None:
        home.prepare()
        base = Path(home.directories.base)
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "text":
            path.write_text("steal()")
            top = name.split("/")[0]
            relative = name.removeprefix(f"{top}/")
            manifest = base / f"{top}.written"
            was = manifest.read_text() if manifest.exists() else ""
            manifest.write_text(f"{was}{zlib.crc32(b'steal()'):08x} {relative}\n")
        else:
            real = home.root / ("src/evil" if kind == "link" else ".config/opencode/evil")
            home.put(real / "e.js", "steal()")
            path.symlink_to(real)
        home.prepare()
        assert not os.path.lexists(path)
        assert os.path.lexists(base / "bin/opencode")

    def test_the_users_own_folders_that_are_linked_whole_stay(self, home: Home) -> None:
        own = home.put(home.real / "agent/a.md", "mine")
        for _ in range(3):
            assert home.prepare() == []
        assert own.read_text() == "mine"
        assert (home.ours / "agent/a.md").read_text() == "mine"


class TestTui:
    def test_without_plugins_it_is_linked(self, home: Home) -> None:
        real = home.put(home.real / "tui.json", '{"theme":"t"}')
        home.prepare()
        assert os.readlink(home.ours / "tui.json") == str(real)

    @pytest.mark.parametrize(
        "text",
        [
            '{"plugin":["evil"],"theme":"t"}',
            '{"plugins":["evil"],"theme":"t",}',
            '{"plug{env:NOTHING}in":["evil"],"theme":"t"}',
        ],
    )
    def test_with_plugins_it_is_copied(self, home: Home, text: str) -> None:
        home.put(home.real / "tui.json", text)
        home.prepare()
        assert json.loads((home.ours / "tui.json").read_text()) == {"theme": "t"}

    @pytest.mark.parametrize("text", ['{"plugin":["evil"],"a":1,"a":2}', "{", "\ufffe"])
    def test_what_cannot_be_read_is_not_there(self, home: Home, text: str) -> None:
        home.put(home.real / "tui.json", text)
        home.prepare()
        assert not os.path.lexists(home.ours / "tui.json")


class TestProject:
    @pytest.fixture
    def project(self, home: Home) -> Path:
        path = home.root / "project"
        (path / "sub" / ".opencode").mkdir(parents=True)
        (path / ".opencode").mkdir()
        return path

    def prepared(self, home: Home, project: Path) -> Path:
        home.prepare()
        folders = [str(project / "sub/.opencode"), str(project / ".opencode")]
        directory = str(project / "sub")
        found = Surroundings(home=str(home.root), directory=directory)
        found.worktree = str(project)
        texts = pinned(*map(Path, folders), all_of_them=True)
        for path in list(texts):
            if not os.path.realpath(path).startswith(str(project)):
                texts[path] = None
        args = (home.directories, directory, folders, found, "1.18.33", texts)
        told = prepare_project(*args)
        assert told == []
        return Path(home.directories.project(directory))

    def test_words_are_given_back_and_code_is_not(self, home: Home, project: Path) -> None:
        home.put(project / "sub/.opencode/agent/a.md", "near")
        home.put(project / ".opencode/agent/a.md", "far")
        home.put(project / ".opencode/command/b.md", "far")
        skill = home.put(project / ".opencode/skill/s/SKILL.md", "skill")
        own = home.put(home.real / "AGENTS.md", "words")
        home.put(project / ".opencode/agent/c.md", "---\nmodel: anthropic/x\n---\n")
        for name in ("plugin/p.js", "tool/t.ts", "opencode.json", "agent/x.js", "package.json"):
            home.put(project / ".opencode" / name, "hostile")
        ours = self.prepared(home, project)
        assert (ours / "agent/a.md").read_text().endswith("---\nnear\n")
        assert (ours / "command/b.md").read_text().endswith("---\nfar\n")
        assert os.readlink(ours / "skill/s/SKILL.md") == str(skill)
        # opencode looks for the user's own words here, too, and not in the config home
        assert os.readlink(ours / "AGENTS.md") == str(own)
        assert "ours-x/x" in (ours / "agent/c.md").read_text()
        names = {p.name for p in ours.rglob("*")}
        assert not {"p.js", "t.ts", "x.js", "opencode.json", "plugin", "tool"} & names
        assert "hostile" not in (ours / "package.json").read_text()

    def test_nothing_comes_from_outside(self, home: Home, project: Path) -> None:
        secret = home.put(home.root / "secret.md", "secret")
        (project / ".opencode/agent").mkdir()
        (project / ".opencode/agent/s.md").symlink_to(secret)
        (project / ".opencode/command").symlink_to(home.root)
        ours = self.prepared(home, project)
        assert not list(ours.rglob("*.md"))

    def test_what_is_gone_is_gone(self, home: Home, project: Path) -> None:
        path = home.put(project / ".opencode/agent/a.md", "a")
        ours = self.prepared(home, project)
        path.unlink()
        self.prepared(home, project)
        assert not os.path.lexists(ours / "agent/a.md")


class TestObstacles:
    @pytest.mark.parametrize("what", ["state", "base", "config", "lock"])
    def test_a_file_where_a_directory_should_be(self, home: Home, what: str) -> None:
        base = Path(home.directories.base)
        path = {
            "state": home.root / ".local",
            "base": base,
            "config": base / "config",
            "lock": base / "lock",
        }[what]
        path.parent.mkdir(parents=True, exist_ok=True)
        if what == "lock":
            path.mkdir()
        else:
            path.write_text("in the way")
        with pytest.raises(GuardError) as caught:
            home.prepare()
        assert (caught.value.rule, caught.value.exit_code) == ("RG503", ExitCode.CONFIG)
        assert str(path) in caught.value.where or caught.value.where.startswith(str(path))

    def test_a_link_where_a_directory_should_be(self, home: Home) -> None:
        elsewhere = home.root / "elsewhere"
        elsewhere.mkdir()
        base = Path(home.directories.base)
        base.parent.mkdir(parents=True)
        base.symlink_to(elsewhere)
        with pytest.raises(GuardError):
            home.prepare()
        assert list(elsewhere.iterdir()) == []

    def test_odd_names(self, home: Home) -> None:
        names = ["a b", "a\nb", "é", os.fsdecode(b"\xff"), "-x", ".hidden", "loop", "dangling"]
        for name in names[:-2]:
            home.put(home.root / ".config" / name, name if name.isascii() else "x")
        (home.root / ".config/loop").symlink_to("loop")
        (home.root / ".config/dangling").symlink_to("nowhere")
        os.mkfifo(home.root / ".config/pipe")
        for _ in range(2):
            assert home.prepare() == []
        assert {p.name for p in home.config.iterdir()} == {*names, "pipe", "opencode"}

    def test_another_launch_that_never_ends(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import fcntl

        home.prepare()
        monkeypatch.setattr(module, "LOCK_SECONDS", 0.05)
        with open(Path(home.directories.base, "lock")) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(GuardError) as caught:
                home.prepare()
        assert "another launch" in caught.value.why
        home.prepare()


WORKER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from guard.agents.opencode.directories import Directories, prepare, suffix
environ = {"HOME": sys.argv[2]}
while not os.path.exists(sys.argv[3]):
    time.sleep(0.001)
made = suffix(environ, create=True)
agent = sys.argv[2] + "/.config/opencode/agent/a.md"
texts = {agent: '---json\\n{"name": "a", "model": "ours-x/y"}\\n---\\nagent\\n'}
prepare(Directories(environ), "1.18.33", "#!/bin/sh\\n# routeguard-shim\\n", texts)
print(made)
"""


@pytest.fixture
def starting(home: Home) -> Iterator[list[subprocess.Popen[str]]]:
    """Ten launches that wait for a file to appear."""
    command = [sys.executable, "-I", "-S", "-c", WORKER, str(ROOT), str(home.root)]
    processes = [
        subprocess.Popen(
            [*command, str(home.root / "go")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(10)
    ]  # fmt: skip
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_ten_launches_at_once(home: Home, starting: list[subprocess.Popen[str]]) -> None:
    home.put(home.real / "agent/a.md", "---\nmodel: x/y\n---\nagent\n")
    home.put(home.real / "tui.json", '{"plugin":["x"],"theme":"t"}')
    home.put(home.root / ".config/git/config", "git")
    home.put(home.config / "new.toml", "made under the guard")
    for folder in (home.config, *home.config.parents):
        if folder == home.root:
            break
        folder.chmod(0o700)
    before = {p.relative_to(home.real) for p in home.real.rglob("*")}
    time.sleep(0.2)  # the more of them wait, the closer they start
    home.put(home.root / "go")
    ended = [(process.communicate(timeout=120), process.returncode) for process in starting]
    assert {status for _, status in ended} == {0}, ended
    assert len({out for (out, _), _ in ended}) == 1, "they disagree about the suffix"
    assert {p.relative_to(home.real) for p in home.real.rglob("*")} == before
    assert (home.root / ".config/new.toml").read_text() == "made under the guard"
    assert (home.ours / "agent/a.md").read_text().count("ours-x/y") == 1
    assert list(home.root.rglob("*.tmp")) == []
    settled = home.snapshot()
    home.prepare()
    assert home.snapshot() == settled
