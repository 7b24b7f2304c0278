"""Every command that README.md, docs/*.md and the help texts show, run or at least parsed.

Where a page shows what a command prints, it is compared. What is not run here is in a table, with
the reason and the test that does run it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import click
import forked
import pexpect
import pytest
import shown
from command_tree import commands
from shown import ROOT, Block, Shown

sys.path.insert(0, str(Path(__file__).parent.parent / "portkey"))

from conftest import ADMIN_KEY, WEAK_KEY, Account
from conftest import account as account
from private_network import PrivateNetwork

from guard.cli import group


class Otherwise(NamedTuple):
    """What is done with the commands that begin with `start`, instead of running them as shown.

    `how`: "parse" reads the command line and runs nothing; "add …" runs it with more words;
    "shell" runs the line in the shell it is for; "test …" names the test that runs it; "none"
    leaves it alone.
    """

    start: str
    how: str
    why: str


OTHERWISE = (
    Otherwise("./install.sh", "test tests/installation", "needs a package index"),
    Otherwise("git pull", "none", "needs a remote"),
    Otherwise("tests/run", "test tests/run", "runs this test"),
    Otherwise("uv tool", "test tests/packaging/test_ways.py", "needs a package index"),
    Otherwise("pipx", "test tests/packaging/test_ways.py", "needs a package index"),
    Otherwise("pip", "test tests/packaging/test_wheel.py", "needs a package index"),
    Otherwise("python3 -I", "test tests/packaging/test_hot_imports.py", "a start by path"),
    Otherwise("routeguard policy init", "add --force", "the home of this test has a policy"),
    Otherwise("sysctl net.ipv4", "none", "changes the machine"),
    Otherwise("systemctl --user", "none", "changes the services of whoever runs the tests"),
    Otherwise("routeguard verify", "parse", "runs the agent: tests/e2e/test_verify_command.py"),
    Otherwise("routeguard managed", "parse", "needs the system's policy: tests/managed"),
    Otherwise("routeguard watch", "add --once", "ends by Ctrl-C"),
    Otherwise("routeguard key", "parse", "needs a pipe: tests/launch/test_print_key.py"),
    Otherwise("routeguard key |", "shell", "needs a pipe"),
    Otherwise("routeguard key --headers |", "shell", "needs a pipe"),
    Otherwise("routeguard log -f -n 0 --json |", "none", "writes into this machine's journal"),
    Otherwise("routeguard log -f", "parse", "ends by Ctrl-C: tests/commands/test_log.py"),
    Otherwise("routeguard ports stop", "parse", "ends programs: tests/commands/test_ports.py"),
    Otherwise("routeguard ports hold", "parse", "ends by Ctrl-C"),
    Otherwise("routeguard setup", "add --dry-run", "asks a person: tests/commands/test_setup.py"),
    Otherwise("routeguard teardown", "add --dry-run", "asks a person: tests/installation"),
    Otherwise("routeguard portkey sync", "add --dry-run", "asks a person"),
    Otherwise("routeguard portkey probe", "add --dry-run", "asks a person"),
    Otherwise("routeguard exec --fence", "parse", "needs a kernel: tests/launch/test_fence.py"),
    Otherwise("routeguard exec --no-fence", "parse", "needs a kernel: tests/launch/test_fence.py"),
    Otherwise("man", "test tests/commands/test_manual.py", "needs an installation"),
    Otherwise("sudo", "none", "needs a password"),
    Otherwise("ansible-playbook", "none", "needs Ansible"),
    Otherwise("cd docs/fleet", "none", "for what follows it"),
    Otherwise("cp", "none", "copies files of this repository"),
    Otherwise("docs/fleet", "test tests/integrations/test_fleet.py", "needs an environment"),
    Otherwise("eval", "shell", "is for a shell"),
    Otherwise("unset -f", "shell", "is for a shell"),
    Otherwise("unfunction", "shell", "is for a shell"),
    Otherwise("functions --erase", "shell", "is for a shell"),
    Otherwise("routeguard hook", "shell", "is for a shell"),
    Otherwise("routeguard portkey status && grep", "shell", "is for a shell"),
)

STATUS = {
    "opencode run -m anthropic/": 126,
    "opencode attach URL": 126,
    "opencode auth login URL": 126,
    "opencode serve": 126,
    "opencode acp": 126,
    "opencode --port": 126,
    "opencode … --provider P": 126,
    "PORTKEY_API_KEY=sk-ant-example routeguard": 126,
    # a home with no hook and no shim
    "routeguard shim status": 1,
    "routeguard status": 1,
    "routeguard doctor tls gateway": 0,
    "routeguard doctor": 1,
    # a policy without a provider for the agent
    "routeguard explain -- claude": 1,
    "routeguard explain -- codex": 1,
    "routeguard explain -- gemini": 1,
}
"""The exit status of a command if it is not 0, by how the command begins."""

LOOKS_AROUND = ("routeguard agents", "routeguard watch")
"""Commands whose status is 1 where an unguarded agent runs on this machine."""

NOT_COMPARED = (
    ("routeguard agents", "what runs on a machine"),
    ("routeguard watch", "what runs on a machine"),
    ("routeguard verify", "two runs of the agent: tests/e2e/test_verify_command.py"),
    ("routeguard ports stop 8787", "ends a program: tests/commands/test_ports.py"),
    ("routeguard ports hold", "ends by Ctrl-C"),
    ("routeguard exec --fence", "needs a kernel: tests/launch/test_fence.py"),
    ("cd project", "needs direnv: tests/shells/test_neighbours.py"),
)
"""Sessions that are not typed in: the words of ours in them have to be in the source."""


def plain(text: str) -> str:
    """A command without its comment, as it is compared with others."""
    return re.sub(r" +# .*| …$", "", text)


GROUPS = (
    "routeguard allow",
    "routeguard managed",
    "routeguard policy",
    "routeguard portkey",
    "routeguard shim",
)
"""The name of a group in a sentence: not for typing."""

BLOCKS = [block for page in shown.PAGES for block in shown.blocks(page)]
SESSIONS = [block for block in BLOCKS if any(one.printed is not None for one in block.commands)]
ALONE = [block for block in BLOCKS if block not in SESSIONS and block.language != "inline"]
TOGETHER = {plain(one.text) for block in ALONE for one in block.commands}
INLINE = {
    plain(block.commands[0].text): block
    for block in BLOCKS
    if block.language == "inline" and plain(block.commands[0].text) not in TOGETHER
}
COMMANDS = [*ALONE, *INLINE.values()]
"""Every block, and one of each command within a text that no block has."""

LITELLM = f"""#!{sys.executable}
import http.server, os
shell = os.getppid()
server = http.server.HTTPServer(("127.0.0.1", 4000), http.server.BaseHTTPRequestHandler)
server.timeout = 0.2
while os.getppid() == shell:
    server.handle_request()
"""
# tests beside these may have a proxy listen for a moment
PROVIDERS = """
[proxies]
action = "flag"
[gateway.providers.portkey]
[gateway.providers.portkey-openrouter]
slug = "openrouter-main"
"""
AGENT = """#!/bin/sh
exit 0
"""


class Person:
    """A home with a policy, a project, and stand-ins for what the commands start."""

    def __init__(self, root: Path, base_url: str, more: str = "") -> None:
        self.home = root / "home"
        self.project = self.home / "project"
        self.bin = root / "bin"
        for folder in (self.project / ".git", self.project / "deploy", self.bin):
            folder.mkdir(parents=True)
        (self.project / ".env").write_text("PORTKEY_API_KEY=\n")
        (self.project / "opencode.json").write_text("{}\n")
        for name, package, version in (
            ("opencode", "opencode-ai", "1.18.33"),
            ("claude", "@anthropic-ai/claude-code", "2.1.332"),
            ("codex", "@openai/codex", "0.171.0"),
        ):
            folder = root / "node_modules" / package
            (folder / "bin").mkdir(parents=True)
            (folder / "package.json").write_text(f'{{"name":"{package}","version":"{version}"}}')
            self.program(folder / "bin" / name, AGENT)
            (self.bin / name).symlink_to(folder / "bin" / name)
        for name in ("aider", "make", "gemini"):
            self.program(self.bin / name, AGENT)
        self.program(
            self.bin / "routeguard",
            f"#!/bin/sh\nPYTHONPATH='{ROOT}' exec '{sys.executable}' -m guard \"$@\"\n",
        )
        if base_url:
            policy = self.home / ".config" / "routeguard" / "policy.toml"
            policy.parent.mkdir(parents=True, mode=0o700)
            policy.write_text(
                f'[gateway]\nbase_url = "{base_url}"\ndefault = "portkey/gpt-4o"\n' + more
            )
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "PORTKEY_API_KEY": ADMIN_KEY,
        }

    def program(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def run(
        self, words: list[str], more: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """`routeguard WORDS` in the project."""
        return forked.run(words, env={**self.environ, **more}, cwd=self.project, timeout=60)


@pytest.fixture
def person(tmp_path: Path, account: Account) -> Person:
    return Person(tmp_path.resolve(), account.server.base_url, PROVIDERS)


def parse(words: list[str]) -> None:
    """Read a command line as the program does, without running it; raises click's errors."""
    command: click.Command = group
    context, name = None, "routeguard"
    while words or not isinstance(command, click.Group):
        context = command.make_context(name, list(words), parent=context)
        if not isinstance(command, click.Group):
            return
        words = [*context._protected_args, *context.args]
        if words:
            found, command, words = command.resolve_command(context, words)  # type: ignore[assignment]
            name = str(found)


def treatment(text: str) -> Otherwise | None:
    """The entry of OTHERWISE for a command, the longest that fits."""
    fit = [one for one in OTHERWISE if re.match(re.escape(one.start) + r"(?!\w)", text)]
    return max(fit, key=lambda one: len(one.start), default=None)


def shell_of(text: str) -> str:
    """The shell that a line is for: the one it names, else bash."""
    return next((name for name in ("zsh", "fish") if re.search(rf"\b{name}\b", text)), "bash")


def try_one(command: Shown, person: Person, missing_part: Callable[[str], None]) -> None:
    """Run one command as its treatment says; fails with what it printed."""
    other = treatment(command.text)
    if other and other.how == "shell":
        shell = shell_of(command.text)
        if shutil.which(shell) is None:
            missing_part(f"no {shell} on PATH")
        hook = (
            "routeguard hook fish | source"
            if shell == "fish"
            else f'eval "$(routeguard hook {shell})"'
        )
        lines = f"{hook}\n{command.text.replace('SHELL', shell)}\n"
        done = subprocess.run(
            [shell, "-c", lines], cwd=person.project, env=person.environ,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        # grep says by 1 that it found nothing
        wanted = 1 if "grep" in command.text else 0
        assert done.returncode == wanted, done.stdout + done.stderr
        said = re.sub(r".*bind: warning: line editing not enabled\n", "", done.stderr)
        assert said == ""
        return
    for part in command.text.replace("~/.local/bin/", "").split(" && "):
        for words in shown.words(part):
            try_words(command, part, words, person)


def try_words(command: Shown, part: str, words: list[str], person: Person) -> None:
    other = treatment(part)
    if other and other.how.partition(" ")[0] in ("none", "test"):
        for place in other.how.split()[1:]:
            assert (ROOT / place).exists(), place
        return
    more = {}
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, more[name] = words.pop(0).partition("=")
    if words[0] == "opencode":
        words = ["routeguard", "exec", "--", *words]
    assert words[0] == "routeguard", f"{command.text}: neither ours nor in OTHERWISE"
    if part in GROUPS or part.endswith(" …") or (other and other.how == "parse"):
        parse(words[1:])
        return
    if other:
        words += other.how.split()[1:]
    done = person.run(words[1:], more)
    wanted = next((STATUS[start] for start in STATUS if part.startswith(start)), 0)
    if part.startswith(LOOKS_AROUND):
        wanted = 1 if "RG405" in done.stdout else 0
    said = f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.returncode == wanted, said
    assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block.name)
def test_commands_work_as_they_are_shown(
    block: Block, person: Person, missing_part: Callable[[str], None]
) -> None:
    for command in block.commands:
        try_one(command, person, missing_part)


def test_the_tables_name_nothing_that_is_not_shown() -> None:
    texts = [one.text for block in BLOCKS for one in block.commands]
    parts = texts + [part for text in texts for part in text.split(" && ")]
    parts = [part.replace("~/.local/bin/", "") for part in parts]
    assert [one.start for one in OTHERWISE if one not in map(treatment, parts)] == []
    assert [text for text in STATUS if not any(part.startswith(text) for part in parts)] == []


def session_treatment(block: Block) -> str:
    """Why a session is not typed in, "" where it is."""
    first = block.commands[0].text
    return next(
        (why for start, why in NOT_COMPARED if first == start or first.startswith(f"{start} --")),
        "",
    )


TYPED = [block for block in SESSIONS if not session_treatment(block)]
OTHERS = [block for block in SESSIONS if session_treatment(block)]


def alike(printed: str, expected: str) -> bool:
    """Whether `printed` is what a page shows: `…` stands for anything, numbers of processes,
    times and names of users are those of the machine."""

    def plain(text: str) -> str:
        text = re.sub(r"\n…\s*$", "…", text)
        text = re.sub(r"\bpid \d+", "pid 1", text)
        text = re.sub(r"\buser \w+", "user ada", text)
        return re.sub(r"\b\d+\.\d s\b", "0.0 s", text)

    pattern = ".*".join(map(re.escape, plain(expected).strip().split("…")))
    return re.fullmatch(pattern, plain(printed).strip(), re.DOTALL) is not None


class Typed:
    """An interactive bash with the hook, wide enough for every line."""

    def __init__(self, person: Person, within: list[str], before: str) -> None:
        words = [*within, "bash", "--norc", "--noprofile", "-i"]
        self.child = pexpect.spawn(
            words[0], words[1:], cwd=person.project, env=person.environ,
            encoding="utf-8", timeout=60, echo=False, dimensions=(50, 400),
        )  # fmt: skip
        self.child.delaybeforesend = None
        self.run("bind 'set enable-bracketed-paste off'; PS1=; PS2=")
        self.run(before)
        self.run('eval "$(routeguard hook bash)"')

    def run(self, line: str) -> str:
        """What is printed between `line` and the prompt after it."""
        self.child.sendline(line)
        self.child.sendline("echo 'EN''D.'")
        self.child.expect_exact("END.\r\n")
        return str(self.child.before).replace("\r\n", "\n")


@pytest.mark.shells
@pytest.mark.parametrize("block", TYPED, ids=lambda block: block.name)
def test_sessions_print_what_is_shown(
    block: Block,
    account: Account,
    tmp_path: Path,
    private_network: PrivateNetwork,
) -> None:
    ours = "routeguard portkey" in block.commands[0].text
    person = Person(tmp_path.resolve(), account.server.base_url if ours else "")
    if ours:
        for command in block.commands:
            (words,) = shown.words(command.text)
            key = WEAK_KEY if "key        wK" in str(command.printed) else ADMIN_KEY
            done = person.run(words[1:], {"PORTKEY_API_KEY": key})
            printed = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8787", done.stdout)
            assert alike(printed, str(command.printed)), f"{done.stderr}\n{printed}"
        return
    person.program(person.bin / "litellm", LITELLM)
    listens = any("LiteLLM proxy listens" in str(one.printed) for one in block.commands)
    start = "litellm & while ! (: </dev/tcp/127.0.0.1/4000) 2>/dev/null; do :; done"
    shell = Typed(person, private_network.command([]), start if listens else "")
    try:
        for command in block.commands:
            printed = shell.run(command.text)
            assert alike(printed, str(command.printed)), printed
    finally:
        shell.child.close(force=True)


def test_sessions_that_are_not_typed_have_our_words() -> None:
    found = {
        f"{block.name}: {run}"
        for block in OTHERS
        for command in block.commands
        for run in shown.not_ours(str(command.printed))
    }
    assert found == set()


def test_the_reasons_of_sessions_are_used() -> None:
    shown_first = [block.commands[0].text for block in OTHERS]
    assert [
        start for start, _ in NOT_COMPARED if not any(one.startswith(start) for one in shown_first)
    ] == []


def examples() -> Iterator[str]:
    """The lines of help texts that begin with `routeguard`."""
    for command in commands().values():
        for line in (command.epilog or "").splitlines():
            found = re.match(r" *(?:\w[\w ]*: +)?(routeguard (?:[^ ]| (?! ))*)", line)
            if found:
                yield found[1]


def test_what_help_texts_say_at_their_end_is_folded_at_the_width_of_the_terminal() -> None:
    """Where lines are kept (`\b`), a sentence does not go on in the next one."""
    kept = [
        paragraph.split("\n")[1:]
        for command in commands().values()
        for paragraph in (command.epilog or "").split("\n\n")
        if paragraph.startswith("\b\n")
    ]
    assert len(kept) > 40
    assert [
        line
        for lines in kept
        for line, following in pairwise(lines)
        # columns have more than one space between them
        if len(line) > 70 and line[0] != " " != following[0] and line[-1] not in ".:"
        if "  " not in line
    ] == []


def test_examples_of_the_help_texts_are_command_lines(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(person.project)
    found = list(examples())
    assert len(found) > 50
    for text in found:
        for part in re.split(r" && | \| |; ", text):
            if part.startswith("routeguard"):
                for words in shown.words(part.partition(" > ")[0]):
                    parse(words[1:])
