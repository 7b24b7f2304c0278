"""Real shells with the hook in them: run from a file, or typed into through a pseudo-terminal.

What a shell prints is only read where a line on the terminal is the thing to test; otherwise the
truth is in files that commands leave behind.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import forked
import pexpect
import pytest
from prompt_words import SCRUBBED

import guard
from guard.catalog import local_proxies
from guard.hook import render, templates
from guard.policy.values import CompiledPolicy

PROGRAMS = (
    *("litellm", "ollama", "ccr", "npx", "python", "python3", "docker", "sudo", "pip", "grep"),
    *("git", "vim", "kubectl", "nohup", "uvx"),
)
KEYS = {
    "OPENAI_API_KEY": ("provider_key", "OpenAI"),
    "ANTHROPIC_API_KEY": ("provider_key", "Anthropic"),
    "CLARIFAI_PAT": ("provider_key", "Clarifai"),
    "302AI_API_KEY": ("provider_key", "302.AI"),
    "STRIPE_API_KEY": ("other_service", "Stripe"),
    "GITHUB_TOKEN": ("ambient", "GitHub"),
}
AWKWARD = 'it\'s a "dir" $HOME `id` \\ #é*[?] \n~'
"""Name of a directory with everything that careless quoting trips over."""

FAKE_MAIN = """
import json, os, signal, sys, time

argv = sys.argv[1:]
record = open(os.environ["RECORD"], "a", encoding="utf-8", errors="surrogateescape")
def note(**what):
    record.write(json.dumps(what) + "\\n")
    record.flush()
words = argv[3:]
note(argv=argv, pid=os.getpid(), names=sorted(os.environ), cwd=os.getcwd())
if words[:1] == ["cat"]:
    note(stdin=sys.stdin.read())
elif words[:1] == ["exit"]:
    sys.exit(int(words[1]))
elif words[:1] == ["kill"]:
    os.kill(os.getpid(), int(words[1]))
elif words[:1] == ["sleep"]:
    signal.signal(signal.SIGCONT, lambda *_: note(event="continued"))
    note(event="sleeping")
    try:
        for _ in range(600):
            time.sleep(0.1)
            if os.path.exists(os.environ["RECORD"] + ".end"):
                note(event="ended")
                sys.exit(int(words[1]))
    except KeyboardInterrupt:
        note(event="interrupted")
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
"""
"""Stands in for guard/__main__.py: records how it was called, then behaves as it is told."""


class Shell:
    """One shell: how it is started without start files, and the few words that differ."""

    def __init__(self, name: str, batch: list[str], interactive: list[str]) -> None:
        self.name = name
        self.batch = batch
        self.interactive = interactive

    def quote(self, text: str) -> str:
        """`text` as one word."""
        quotes = {
            "bash": templates.quote_bash,
            "zsh": templates.quote_zsh,
            "fish": templates.quote_fish,
        }
        return quotes[self.name](text)

    def export(self, name: str, value: str = "v") -> str:
        """A command that exports a variable."""
        if self.name == "fish":
            return f"set -gx {name} {self.quote(value)}"
        return f"export {name}={self.quote(value)}"

    @functools.cached_property
    def version(self) -> tuple[int, int]:
        """Major and minor number, of bash and zsh."""
        words = "${BASH_VERSION:-$ZSH_VERSION}"
        done = subprocess.run(
            [*self.batch, "-c", f'echo "{words}"'], capture_output=True, text=True, check=True
        )
        major, minor = done.stdout.split(".")[:2]
        return int(major), int(minor)

    @property
    def status(self) -> str:
        """What expands to the status of the last command."""
        return "$status" if self.name == "fish" else "$?"

    def source(self, path: Path) -> str:
        """A command that loads the file `path`."""
        return f"{'source' if self.name == 'fish' else '.'} {self.quote(str(path))}"


def program(name: str) -> str:
    """The program that is tested as the shell `name`: `ROUTEGUARD_BASH`, `_ZSH`, `_FISH` name one
    of another version."""
    return os.environ.get(f"ROUTEGUARD_{name.upper()}") or name


def _shell(name: str, *without_start_files: str, interactive: tuple[str, ...] = ("-i",)) -> Shell:
    batch = [program(name), *without_start_files]
    return Shell(name, batch, [*batch, *interactive])


SHELLS = {
    "bash": _shell("bash", "--norc", "--noprofile"),
    "zsh": _shell("zsh", "-f", interactive=("-i", "+Z")),
    "fish": _shell("fish", "--no-config"),
}


class Guarded:
    """A hook with a stand-in for routeguard behind it, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.home.mkdir(parents=True)
        self.record = directory / "record"
        self.shims = directory / "shims"
        self.scratch = directory / "scratch"
        self.scratch.mkdir()
        self.main = directory / "main.py"
        self.main.write_text(FAKE_MAIN)
        self.python = directory / "python"
        self.python.symlink_to(sys.executable)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "INPUTRC": "/dev/null",
            "RECORD": str(self.record),
        }

    def hook(self, shell: Shell, policy: CompiledPolicy | None = None, **changes: Any) -> Path:
        """Write the hook of `shell` and return its path. The default policy knows KEYS."""
        programs, images, names = local_proxies.needles()
        known = {"proxy_programs": programs, "proxy_images": images, "proxy_names": names}
        text = render.render(
            shell.name,
            policy or CompiledPolicy(variables=KEYS, **{**known, **changes}),
            python=str(self.python),
            main_file=str(self.main),
            shims=str(self.shims),
            scratch=str(self.scratch),
        )
        path = self.directory / f"hook.{shell.name}"
        path.write_bytes(os.fsencode(text))
        return path

    def run(
        self, shell: Shell, script: str, extra: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run `script` from a file in `shell`, without start files."""
        path = self.directory / f"script.{shell.name}"
        path.write_text(textwrap.dedent(script))
        return subprocess.run(
            [*shell.batch, str(path)],
            env={**self.environ, **(extra or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            **{"stdin": subprocess.DEVNULL} | options if "input" not in options else options,
        )

    def records(self) -> list[dict[str, Any]]:
        """What the stand-in noted, in order."""
        if not self.record.exists():
            return []
        return [json.loads(line) for line in self.record.read_text().splitlines()]


class Session:
    """An interactive shell in a pseudo-terminal."""

    def __init__(self, shell: Shell, guarded: Guarded, extra: Mapping[str, str]) -> None:
        self.shell = shell
        self._count = 0
        self.child = pexpect.spawn(
            shell.interactive[0],
            shell.interactive[1:],
            env={**guarded.environ, **extra},
            encoding="utf-8",
            timeout=int(os.environ.get("ROUTEGUARD_PATIENCE", "60")),
            echo=False,
            dimensions=(50, 500),
        )
        self.child.delaybeforesend = None
        # a line editor draws what is typed; neither the drawing nor the prompt is under test
        if shell.name == "bash":
            self.run("bind 'set enable-bracketed-paste off'; PS1=; PS2=")
        elif shell.name == "zsh":
            self.run("setopt no_prompt_cr no_prompt_sp; PS1=; PS2=")
        else:
            self.run("function fish_prompt; end")

    def run(self, line: str) -> str:
        """Type `line`, wait for the prompt after it; returns the terminal output until then."""
        self.child.sendline(line)
        return self.sync()

    def sync(self) -> str:
        """Wait until everything typed so far has run; one more prompt appears."""
        self._count += 1
        # the word is written in two parts so that drawing the command does not look like it
        self.child.sendline(f"echo 'SYN''C{self._count}.'")
        self.child.expect_exact(f"SYNC{self._count}.\r\n")
        return str(self.child.before)

    def interrupt(self) -> str:
        """Press Ctrl-C on a line of the editor; returns the terminal output up to a next prompt.

        What is typed around the moment in which it arrives may be thrown away or may still join
        the line, so both are done again, and given longer each time, until the shell answers.
        """
        self._count += 1
        for seconds in (0.5, 1, 2, 4, 8, 16, 32):
            self.child.sendintr()
            time.sleep(0.5)
            self.child.sendline(f"echo 'SYN''C{self._count}.'")
            awaited = [f"SYNC{self._count}.\r\n", pexpect.TIMEOUT]
            if self.child.expect_exact(awaited, timeout=seconds) == 0:
                # what is left of the earlier ones comes before what `sync` waits for
                return str(self.child.before) + self.sync()
        raise TimeoutError

    def value(self, expression: str) -> str:
        """What `expression` expands to in the shell."""
        self._count += 1
        self.child.sendline(f"echo 'VAL''{self._count}['{expression}']'")
        self.child.expect(rf"VAL{self._count}\[(.*?)\]\r\n")
        return str(self.child.match.group(1))

    def messages(self, output: str) -> list[str]:
        """The lines of ours in `output`."""
        return re.findall(r"routeguard: [^\r\n]*", output)

    def refusals(self, output: str) -> int:
        """How many lines are refused in `output`."""
        return len(re.findall(r"routeguard: refused: this line [^\r\n]*\[RG403\]", output))

    def close(self) -> None:
        self.child.close(force=True)


class Machine:
    """Stand-ins on PATH, a home, and a shell with the hook in front of the real judge."""

    def __init__(
        self, guarded: Guarded, open_session: Callable[..., Session], shell: Shell
    ) -> None:
        self.guarded = guarded
        self.shell = edited(shell)
        self.ran = guarded.directory / "ran"
        self.programs = guarded.directory / "bin"
        self.programs.mkdir()
        for name in PROGRAMS:
            path = self.programs / name
            # the prompt of fish asks git, and its function grep asks whether grep knows colours
            path.write_text(
                "#!/bin/sh\ncase $1 in rev-parse | --color*) exit 7 ;; esac\n"
                f'echo "{name} $*" >>{self.ran}\nexit 7\n'
            )
            path.chmod(0o755)
        guarded.main = Path(guard.__file__).with_name("__main__.py")
        guarded.python = forked.judge(guarded.directory / "judge", str(guarded.main))
        self._open = open_session
        # where Enter is not judged, only programs that are nothing but proxies are, one by one
        self.by_name = shell.name == "bash" and shell.version < (5, 0)

    def open(self, **policy: Any) -> Session:
        """An interactive shell with the hook, an alias and an entry for the history."""
        session = self.opened(policy=policy)
        session.run("alias llm='litellm --port 4000'")
        return session

    def opened(self, *lines: str, policy: Mapping[str, Any] | None = None, **extra: str) -> Session:
        """A session with `extra` in its environment, in which `lines` ran before the hook."""
        path = f"{self.programs}:{self.guarded.environ['PATH']}"
        session = self._open(self.shell, {"PATH": path, **extra})
        for line in lines:
            session.run(line)
        session.run(self.shell.source(self.guarded.hook(self.shell, **(policy or {}))))
        return session

    def policy(self, text: str) -> None:
        """The user's policy, as the judge reads it."""
        path = self.guarded.home / ".config/routeguard/policy.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def marks(self) -> list[str]:
        """What ran, in order."""
        return self.ran.read_text().splitlines() if self.ran.exists() else []

    def names(self, session: Session) -> set[str]:
        """The names that a program started from `session` has in its environment."""
        path = self.guarded.directory / "environment"
        session.run(f"env >{path}")
        return {line.partition("=")[0] for line in path.read_text().splitlines()}

    def walk(self, session: Session, prompt: str = "") -> None:
        """Assert what has to hold in `session` whatever else is loaded in it.

        A key is scrubbed once, `$?` is kept, a proxy is refused once and runs in no part, every
        other line runs once, also in several lines, after Ctrl-C, and out of the history.
        `prompt` is what the shell draws for each prompt, "" if that is not to be counted.
        """
        assert session.messages(session.run(self.shell.export("OPENAI_API_KEY"))) == SCRUBBED
        assert "OPENAI_API_KEY" not in self.names(session)
        assert session.messages(session.run("true")) == []
        output = session.run("litellm --port 4000")
        assert session.refusals(output) == 1
        if prompt:
            # one on which it was typed, one for what comes next
            assert output.count(prompt) == 2, output
        session.child.sendline("sh -c 'exit 5'")
        session.child.sendline("litellm --port 4000")
        assert session.value(self.shell.status) == ("126" if self.by_name else "5")
        assert self.marks() == []
        session.child.sendline("ollama list")
        assert session.value(self.shell.status) == "7"
        assert self.marks() == ["ollama list"]
        fish = self.shell.name == "fish"
        begin, end = ("for i in 1 2", "end") if fish else ("for i in 1 2; do", "done")
        for line in (begin, "litellm", *([end] if self.by_name else [])):
            session.child.sendline(line)
        assert session.refusals(session.sync()) == 1 + self.by_name
        for line in (begin, "ollama list", end):
            session.child.sendline(line)
        session.sync()
        assert self.marks() == ["ollama list"] * 3
        session.child.send("ollama sta")
        time.sleep(0.3)
        assert session.messages(session.interrupt()) == []
        session.run("ollama ps")
        assert self.marks()[3:] == ["ollama ps"]
        command = {"bash": "history", "zsh": "fc -l 1", "fish": "history | cat"}[self.shell.name]
        history = session.run(command)
        assert "ollama ps" in history
        assert "litellm --port 4000" in history
        assert "__routeguard" not in history


def edited(shell: Shell) -> Shell:
    """`shell` with its line editor, which zsh has switched off in the other tests."""
    found = copy.copy(shell)
    found.interactive = [word for word in shell.interactive if word != "+Z"]
    return found


@pytest.fixture(params=list(SHELLS))
def shell(request: pytest.FixtureRequest, missing_part: Callable[[str], NoReturn]) -> Shell:
    """Each shell in turn."""
    return present(SHELLS[request.param], missing_part)


def present(shell: Shell, missing_part: Callable[[str], NoReturn]) -> Shell:
    if shutil.which(shell.batch[0]) is None:
        missing_part(f"{shell.name} is not installed (Debian: apt-get install {shell.name})")
    return shell


@pytest.fixture
def bash(missing_part: Callable[[str], NoReturn]) -> Shell:
    return present(SHELLS["bash"], missing_part)


@pytest.fixture
def zsh(missing_part: Callable[[str], NoReturn]) -> Shell:
    return present(SHELLS["zsh"], missing_part)


@pytest.fixture
def fish(missing_part: Callable[[str], NoReturn]) -> Shell:
    return present(SHELLS["fish"], missing_part)


@pytest.fixture(params=["plain", AWKWARD], ids=["plain", "awkward"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Guarded:
    """A stand-in in a plainly named directory, then in one with an awkward name."""
    return Guarded(tmp_path / request.param)


@pytest.fixture
def awkward(tmp_path: Path) -> Guarded:
    """A stand-in in a directory with an awkward name."""
    return Guarded(tmp_path / AWKWARD)


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    return Guarded(tmp_path / "plain")


@pytest.fixture
def open_session(guarded: Guarded) -> Iterator[Callable[..., Session]]:
    """Opens interactive shells, and ends them after the test."""
    opened: list[Session] = []

    def open_one(shell: Shell, extra: Mapping[str, str] | None = None) -> Session:
        opened.append(Session(shell, guarded, extra or {}))
        return opened[-1]

    yield open_one
    for session in opened:
        session.close()


@pytest.fixture
def machine_for(
    guarded: Guarded, open_session: Callable[..., Session]
) -> Callable[[Shell], Machine]:
    """Makes the machine of a shell, with the real judge behind the hook."""
    return lambda shell: Machine(guarded, open_session, shell)
