"""A kept hook is loaded without Python while all that it was made from is the same."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

import guard
from guard.files.lock import lock
from guard.hook import SHELLS, keep, templates
from guard.install import launcher
from guard.install.way import Way
from guard.policy import cache

MAIN = str(Path(guard.__file__).with_name("__main__.py"))
PYTHON_SAYS = "started: "


class Home:
    """A home whose launcher starts a Python that says so on stderr."""

    def __init__(self, root: Path, main: str = MAIN) -> None:
        self.root = root
        self.main = main
        self.python = root / "python"
        self.python.write_text(
            f'#!/bin/sh\necho "{PYTHON_SAYS}$5" >&2\nexec {sys.executable} "$@"\n'
        )
        self.python.chmod(0o755)
        self.launcher = root / "bin/routeguard"
        self.launcher.parent.mkdir()
        self.policy = root / ".config/routeguard/policy.toml"
        self.policy.parent.mkdir(parents=True)
        self.policy.write_text("[keys]\naction = 'flag'\n")
        self.kept = root / ".cache/routeguard/hook"
        self.put()

    def put(self) -> None:
        way = Way(
            kind="pip",
            prefix=str(self.root),
            python=str(self.python),
            main=self.main,
            launcher=str(self.launcher),
            again="make it again",
            remove="",
        )
        self.launcher.write_bytes(launcher.text(way, "3.11", str(self.root)))
        self.launcher.chmod(0o755)

    def settle(self) -> None:
        """Wait until the clock of the file system has gone on, as it has when a shell starts."""
        time.sleep(0.15)

    def ask(self, *words: str, sh: str = "", **environ: str) -> tuple[str, bool]:
        """(the hook that `routeguard WORDS` prints or has loaded, whether Python was started)."""
        environment = {
            "HOME": str(self.root),
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
        } | environ
        done = subprocess.run(
            [*([sh] if sh else ()), str(self.launcher), *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stderr.splitlines()
        assert [line for line in said if not line.startswith(PYTHON_SAYS)] == []
        assert done.returncode == 0
        for shell in SHELLS:
            kept = self.kept / f"hook.{shell}"
            if f"{kept}'" in done.stdout and not said:
                assert len(done.stdout) < 600
                return kept.read_text(), False
        return done.stdout, bool(said)

    def complaint(self) -> str:
        """What `routeguard hook zsh` says on stderr, with status 0."""
        done = subprocess.run(
            [str(self.launcher), "hook", "zsh"],
            env={"HOME": str(self.root), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stderr

    def warm(self, shell: str = "zsh", policy: str = "[keys]\naction = 'flag'\n") -> str:
        """The hook, which is kept from now on, of a home with this policy and no exception."""
        if (
            self.policy.is_symlink()
            or not self.policy.exists()
            or policy != self.policy.read_text()
        ):
            self.policy.unlink(missing_ok=True)
            self.policy.write_text(policy)
        self.policy.with_name("allowed.toml").unlink(missing_ok=True)
        self.settle()
        text, _ = self.ask("hook", shell)
        again, started = self.ask("hook", shell)
        assert not started, "the hook was not kept"
        assert again == text
        return text


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One for all: each policy that has to be compiled anew costs half a second."""
    return Home(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("shell", SHELLS)
def test_the_kept_hook_is_the_hook(home: Home, shell: str) -> None:
    plain = subprocess.run(
        [home.python, "-I", "-S", MAIN, "hook", "--made-from", "nothing", shell],
        env={"HOME": str(home.root)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert home.warm(shell) == plain


LOADED = {
    "bash": (["bash", "--norc", "-i", "-c"], 'eval "$(routeguard hook bash)"; type -t opencode'),
    "zsh": (["zsh", "-f", "-i", "-c"], 'eval "$(routeguard hook zsh)"; whence -w opencode'),
    "fish": (["fish", "--no-config", "-i", "-c"], "routeguard hook fish | source; type opencode"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_loads_the_kept_hook(
    home: Home, shell: str, missing_part: Callable[[str], NoReturn]
) -> None:
    """In two processes, sh and stat, none of them a Python; and whatever is left of it."""
    if shutil.which(shell) is None or shutil.which("strace") is None:
        missing_part(f"{shell} or strace is not installed")
    words, script = LOADED[shell]
    environ = {"HOME": str(home.root), "PATH": f"{home.launcher.parent}:/usr/bin:/bin"}
    log = home.root / "log"

    def loaded() -> list[str]:
        """The programs that were started."""
        trace = ["strace", "-f", "-qq", "-e", "trace=process", "-o", str(log)]
        done = subprocess.run(
            [*trace, *words, script], env=environ, capture_output=True, text=True, check=False
        )
        assert "function" in done.stdout, done
        calls = [line for line in log.read_text().splitlines() if 'execve("' in line]
        return [os.path.basename(line.split('"')[1]) for line in calls if " = -1 " not in line]

    home.settle()
    (home.kept / f"hook.{shell}.seen").unlink(missing_ok=True)
    loaded()
    assert loaded() == [shell, "routeguard", "stat"]
    if shell == "bash":  # no more than those two: its hook asks nothing by $(…)
        made = re.findall(r" v?fork\(| clone3?\(", log.read_text())
        assert len(made) == 2, made
    if shell == "zsh":
        assert (home.kept / "hook.zsh.zwc").exists()
    # gone between the look at it and the use of it
    (home.kept / f"hook.{shell}.seen").write_text(
        f"made_from=$rg_seen load={templates.quote_sh(keep.loading(shell, '/nonexistent/hook'))}\n"
    )
    try:
        assert loaded()[-1].startswith("python")
    finally:
        (home.kept / f"hook.{shell}.seen").unlink()


@pytest.mark.parametrize("sh", ["dash", "bash", "busybox"])
def test_whatever_sh_is(home: Home, sh: str) -> None:
    path = shutil.which(sh)
    if path is None:
        pytest.skip(f"no {sh}")
    home.warm()
    script = [path, "sh"] if sh == "busybox" else [path]
    done = subprocess.run(
        [*script, str(home.launcher), "hook", "zsh"],
        env={"HOME": str(home.root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{home.kept}/hook.zsh'" in done.stdout
    assert done.stderr == ""


class TestChanged:
    """Each change makes the launcher start Python, and the hook says what is now true."""

    def changed(self, home: Home) -> str:
        text, started = home.ask("hook", "zsh")
        assert started
        return text

    def test_policy_written(self, home: Home) -> None:
        assert "keys_action=flag" in home.warm()
        home.policy.write_text("[keys]\naction = 'scrub'\n")
        assert "keys_action=scrub" in self.changed(home)

    def test_policy_of_the_same_size_with_its_old_time(self, home: Home) -> None:
        home.warm(policy="[keys]\naction =  'flag'\n")
        before = home.policy.stat()
        home.policy.write_text("[keys]\naction = 'scrub'\n")
        os.utime(home.policy, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert home.policy.stat().st_size == before.st_size
        assert "keys_action=scrub" in self.changed(home)

    def test_older_file_put_in_its_place(self, home: Home) -> None:
        older = home.root / "older.toml"
        older.write_text("[keys]\naction = 'scrub'\n")
        os.utime(older, (1, 1))
        home.warm()
        os.replace(older, home.policy)
        assert "keys_action=scrub" in self.changed(home)

    def test_policy_removed(self, home: Home) -> None:
        home.warm()
        home.policy.unlink()
        self.changed(home)

    def test_policy_broken(self, home: Home) -> None:
        home.warm()
        home.policy.write_text("[keys\n")
        assert "agents are blocked until it is fixed" in home.complaint()
        home.settle()
        assert "agents are blocked until it is fixed" in home.complaint(), "it was kept"

    def test_a_link_that_leads_nowhere_is_not_an_absent_policy(self, home: Home) -> None:
        home.warm()
        home.policy.unlink()
        home.settle()
        home.ask("hook", "zsh")
        assert not home.ask("hook", "zsh")[1]
        home.policy.symlink_to(home.root / "nowhere")
        assert PYTHON_SAYS in home.complaint()

    def test_exception_added(self, home: Home) -> None:
        home.warm()
        home.policy.with_name("allowed.toml").write_text(
            "[[exception]]\nsubject = 'env:OPENAI_API_KEY'\nreason = 'a test of it'\n"
            f"until = {time.strftime('%Y-%m-%d', time.gmtime(time.time() + 10 * 86400))}\n"
        )
        assert "OPENAI_API_KEY=" in self.changed(home)
        home.settle()
        self.changed(home)
        self.changed(home)  # it runs out without a change of any file

    def test_python_and_launcher(self, home: Home) -> None:
        home.warm()
        home.put()
        home.settle()
        self.changed(home)
        assert not home.ask("hook", "zsh")[1]
        os.utime(home.python)
        self.changed(home)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One whose package was installed."""
    root = tmp_path_factory.mktemp("installed")
    package = root / "site-packages/guard"
    shutil.copytree(Path(MAIN).parent, package)
    shutil.copytree(Path(MAIN).parents[1] / "shell", package / "shell")
    return Home(root, str(package / "__main__.py"))


class TestInstalled:
    """An installed package, whose modules are looked at by their directories."""

    def written(self, package: Path, name: str) -> None:
        """As `cp` writes over a file, and gives it the time that the other one has."""
        file = package / name
        before = file.stat()
        file.write_bytes(file.read_bytes())
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    def replaced(self, package: Path, name: str) -> None:
        """As pip, rsync or an editor puts another file in its place, with an older time."""
        copy = package.parent / "copy"
        shutil.copy2(package / name, copy)
        os.replace(copy, package / name)

    def added(self, package: Path, name: str) -> None:
        (package / name).mkdir()

    def upgraded(self, package: Path, name: str) -> None:
        """Each file is another one, as old and as long as before."""
        shutil.copytree(package, package.parent / name, copy_function=shutil.copy2)
        package.rename(package.parent / "old")
        (package.parent / name).rename(package)
        shutil.rmtree(package.parent / "old")

    @pytest.mark.parametrize(
        ("how", "name"),
        [
            ("written", "__init__.py"),
            ("written", "hook/render.py"),
            ("written", "catalog/providers.json"),
            ("written", "catalog/variables.toml"),
            ("written", "agents/codex/__init__.py"),
            ("written", "shell/hook.zsh"),
            ("written", "shell/line.zsh"),
            ("replaced", "paths.py"),
            ("replaced", "agents/registry.py"),
            ("replaced", "catalog/classify.py"),
            ("replaced", "files/read.py"),
            ("replaced", "policy/cache.py"),
            ("added", "agents/another"),
            ("added", "paths"),
            ("upgraded", "new"),
        ],
    )
    def test_changed(self, installed: Home, how: str, name: str) -> None:
        wanted = installed.warm()
        getattr(self, how)(Path(installed.main).parent, name)
        try:
            assert installed.ask("hook", "zsh") == (wanted, True)
        finally:
            if how == "added":
                (Path(installed.main).parent / name).rmdir()

    def test_what_a_hook_is_made_from(self, installed: Home) -> None:
        """Few files of ours, each of which is there, beside the directories of the modules."""
        installed.warm()
        lines = (installed.kept / "hook.zsh.seen").read_text().partition("\nabsent:")[0]
        names = [line.split(" ", 6)[-1] for line in lines.splitlines()]
        assert {".", "agents", "catalog", "files", "policy", "hook/render.py"} <= set(names)
        assert len(names) < 45


class TestNotOurs:
    """What somebody else may have written is never read as code, by us or by the shell."""

    @pytest.fixture
    def canary(self, home: Home) -> Iterator[Path]:
        """The kept file that the launcher reads; it would leave a trace."""
        home.warm()
        trace = home.root / "trace"
        kept = home.kept / "hook.zsh.seen"
        kept.write_text(f"{kept.read_text()}touch {trace}\n")
        yield kept
        trace.unlink(missing_ok=True)
        home.kept.chmod(0o700)
        home.kept.parent.chmod(0o700)
        kept.unlink(missing_ok=True)

    def ran(self, home: Home) -> bool:
        """Whether what was added ran."""
        text, started = home.ask("hook", "zsh")
        assert not started or "function 'opencode'" in text
        trace = home.root / "trace"
        assert started != trace.exists()
        return trace.exists()

    def test_control(self, home: Home, canary: Path) -> None:
        assert self.ran(home)

    @pytest.mark.parametrize("mode", [0o644, 0o620, 0o602, 0o666, 0o700])
    def test_foreign_mode(self, home: Home, canary: Path, mode: int) -> None:
        canary.chmod(mode)
        assert not self.ran(home)

    @pytest.mark.parametrize("above", [False, True])
    def test_foreign_mode_of_the_directory(self, home: Home, canary: Path, above: bool) -> None:
        (home.kept.parent if above else home.kept).chmod(0o777 if above else 0o720)
        assert not self.ran(home)

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
    @pytest.mark.parametrize("what", ["seen", "directory", "above"])
    def test_foreign_owner(self, home: Home, canary: Path, what: str) -> None:
        path = {"seen": canary, "directory": home.kept, "above": home.kept.parent}[what]
        os.chown(path, 12345, -1)
        try:
            assert not self.ran(home)
        finally:
            if path.exists():
                os.chown(path, 0, -1)

    def test_what_is_no_file(self, home: Home, canary: Path) -> None:
        canary.unlink()
        os.mkfifo(canary, 0o600)
        assert not self.ran(home)

    def test_the_text_has_to_be_the_one_that_was_kept(self, home: Home) -> None:
        """Its mode, its owner, its content, and what zsh would read in its place."""
        text = home.kept / "hook.zsh"
        changes: list[Callable[[], object]] = [
            lambda: text.chmod(0o622),
            lambda: text.write_text("# Printed by somebody else\n"),
            lambda: os.replace(shutil.copy(text, home.root / "copy"), text),
            lambda: text.unlink(),
            lambda: (home.kept / "hook.zsh.zwc").write_bytes(b"code"),
        ]
        if os.getuid() == 0:
            changes.append(lambda: os.chown(text, 12345, -1))
        for change in changes:
            wanted = home.warm()
            change()
            assert home.ask("hook", "zsh") == (wanted, True)
        home.warm()
        assert not (home.kept / "hook.zsh.zwc").exists()

    @pytest.mark.parametrize(
        "name",
        ["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "ROUTEGUARD_CONFIG_HOME"],
    )
    def test_other_directories(self, home: Home, canary: Path, name: str, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        assert home.ask("hook", "zsh", **{name: str(other)})[1]
        assert not (home.root / "trace").exists()


def test_other_words_go_to_python(home: Home) -> None:
    home.warm()
    assert home.ask("exec", "--", "true")[1]
    assert home.ask("hook", "--help")[1]


def test_leftover_files_of_bash_are_cleared(home: Home) -> None:
    home.warm("bash")
    prompt = home.root / ".cache/routeguard/prompt"
    for number in range(70):
        (prompt / str(4_000_000 + number)).touch()
    wanted = home.warm("zsh")
    assert home.ask("hook", "zsh") == (wanted, False), "they are no matter of another shell"
    text, started = home.ask("hook", "bash")
    assert started
    assert text.startswith("\nfunction routeguard")
    assert list(prompt.iterdir()) == []


def test_a_cleaner_that_removed_the_directory_of_bash(home: Home) -> None:
    """Without it bash asks for known keys only; loading what is kept would never make it."""
    wanted = home.warm("bash")
    prompt = home.root / ".cache/routeguard/prompt"
    prompt.rmdir()
    assert home.ask("hook", "bash") == (wanted, True)
    assert prompt.is_dir()
    assert home.ask("hook", "bash") == (wanted, False)


@pytest.mark.parametrize("sh", ["dash", "bash", "busybox"])
def test_a_damaged_file_makes_python_answer(home: Home, sh: str) -> None:
    """Some kinds of sh end at a syntax error in a file that they read, and so would the guard."""
    if shutil.which(sh) is None:
        pytest.skip(f"no {sh}")
    wanted = home.warm()
    seen = home.kept / "hook.zsh.seen"
    for damage in (0, 9, "made_from='", "(\n", "x=${a\n"):
        whole = seen.read_text()
        line = whole.index("\nload=") + 1
        damaged = whole[: line + damage] if isinstance(damage, int) else damage
        seen.write_text(damaged)
        assert home.ask("hook", "zsh", sh=sh) == (wanted, True), damage
        assert home.ask("hook", "zsh", sh=sh) == (wanted, False), damage


def test_a_file_gets_the_text_itself(home: Home) -> None:
    """For BASH_ENV, and to read it: what is kept is looked at by the launcher alone."""
    home.warm("bash")
    written = home.root / "written"
    with written.open("w") as file:
        subprocess.run(
            [home.launcher, "hook", "bash"],
            env={"HOME": str(home.root), "PATH": "/usr/bin:/bin"},
            stdout=file,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    assert "\n# What the wrappers and people call." in written.read_text()
    assert str(home.kept) not in written.read_text()


def test_a_bash_that_takes_comments_for_commands(home: Home, tmp_path: Path) -> None:
    """`shopt -u interactive_comments` holds for `eval`: the hook, and what it reads later."""
    python = f"'{sys.executable}' -I -S '{MAIN}' hook bash"
    off = "shopt -u interactive_comments"
    late = "READLINE_LINE=ls; __routeguard_consider; __rg_names='X '; __routeguard_exported"

    def functions(script: str) -> str:
        done = subprocess.run(
            ["bash", "--norc", "-i", "-c", f"{script}; {late}; declare -f"],
            env={"HOME": str(home.root), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = [line for line in done.stderr.splitlines() if "terminal process group" not in line]
        assert [line for line in said if "no job control" not in line] == []
        return re.sub("(?m)^ +", "", done.stdout)  # what is read later is shown as it was printed

    written = tmp_path / "hook"
    wanted = functions(f'eval "$({python})"')
    assert "__routeguard_judge ()" in wanted
    assert functions(f'{off}; eval "$({python})"') == wanted
    assert functions(f"{python} >{written}; {off}; . {written}") == wanted


def test_directories_that_were_restored_with_another_mode(home: Home) -> None:
    for directory in (home.kept, home.kept.parent):
        directory.chmod(0o755)
    home.warm()
    assert home.kept.stat().st_mode & 0o777 == 0o700


def test_a_function_named_dot(home: Home) -> None:
    home.warm("bash")
    done = subprocess.run(
        ["bash", "--norc", "-c", '.() { :; }; eval "$(routeguard hook bash)"; type -t opencode'],
        env={"HOME": str(home.root), "PATH": f"{home.launcher.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "function\n"


class TestTwoAtOnce:
    """Of two shells that start while the policy changes, the slower one may have the older."""

    TEXT = "older"

    @pytest.fixture
    def keep(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
        """Keep another text for what is now seen; whether it was kept."""
        # the tests have loaded modules that `hook` does not load
        monkeypatch.setattr(keep, "_modules", list)
        home.warm("fish")
        kept = home.kept / "hook.fish"
        seen = (home.kept / "hook.fish.seen").read_text()
        made_from = seen.removeprefix("made_from='").partition("'\nload=")[0]
        environ = {"HOME": str(home.root)}
        policy = cache.load("/", environ)

        def again() -> bool:
            keep.keep("fish", self.TEXT, made_from, policy, environ)
            return kept.read_text() == self.TEXT

        yield again
        (home.kept / "hook.fish.seen").unlink()
        home.policy.with_name("allowed.toml").unlink(missing_ok=True)

    def test_control(self, keep: Callable[[], bool]) -> None:
        assert keep()

    def test_while_another_keeps_its_own(self, home: Home, keep: Callable[[], bool]) -> None:
        with lock(str(home.kept), 0, directory=True):
            assert not keep()

    def test_when_the_policy_is_another_one(self, home: Home, keep: Callable[[], bool]) -> None:
        home.policy.write_text("[keys]\naction = 'scrub'\n")
        home.settle()
        assert not keep()

    def test_when_a_layer_has_come(self, home: Home, keep: Callable[[], bool]) -> None:
        home.policy.with_name("allowed.toml").write_text("")
        home.settle()
        assert not keep()


def test_not_in_another_home(tmp_path: Path) -> None:
    way = Way("pip", "", sys.executable, MAIN, str(tmp_path / "routeguard"), "again", "")
    assert b"[ no = yes ]" in launcher.text(way, "3.11")


def test_every_file_that_a_hook_is_made_from_is_looked_at(home: Home, tmp_path: Path) -> None:
    """Modules that a cold `hook` loads, and the files of ours that it opens."""
    program = (
        "import sys\nopened = set()\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.add(str(args[0])))\n"
        f"sys.path.append({str(Path(MAIN).parents[1])!r})\n"
        "from guard.dispatch import main\nmain(['hook', 'zsh'])\n"
        "files = [m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'guard']\n"
        "print('\\n'.join({*files, *opened}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    package = Path(MAIN).parent
    root = package.parent
    used = {
        name
        for name in done.stderr.splitlines()
        if name.startswith((f"{package}/", f"{root}/shell/")) and not name.endswith(".pyc")
        if "/__pycache__/" not in name and os.path.exists(name)
    }
    home.warm()
    looked_at = (home.kept / "hook.zsh.seen").read_text().partition("\nabsent:")[0]
    names = {line.split(" ", 6)[-1].rstrip("'") for line in looked_at.splitlines()}
    assert {str(package / name) if name[0] != "/" else name for name in names} >= used
    assert len(used) > 30


def test_what_a_launcher_does_not_look_at_is_in_no_kept_hook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package was upgraded, and no setup has made the launcher that goes with it."""
    home = Home(tmp_path)
    home.warm()
    older = tuple(one for one in launcher._MADE_FROM if not one.startswith("hook/"))
    monkeypatch.setattr(launcher, "_MADE_FROM", older)
    home.put()
    home.settle()
    assert [home.ask("hook", "zsh")[1] for _ in range(3)] == [True] * 3


def test_where_its_package_is_gone_it_leaves_it_to_the_block_to_say_so(tmp_path: Path) -> None:
    main = tmp_path / "package/__main__.py"
    main.parent.mkdir()
    main.touch()
    home = Home(tmp_path, str(main))
    shutil.rmtree(main.parent)
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [home.launcher, "hook", "zsh"], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (126, "", "")
