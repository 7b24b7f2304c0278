"""How Codex reads its command line, as far as a launch has to know.

It uses clap. Commands, options and their values are those of 0.171.0: its `--help` pages. What was
run:

- the first word that is no option is a subcommand if it is the name of one, and a prompt if not;
  behind that prompt a name is a subcommand again (`codex hi login` logs in), of `codex` and of
  `codex exec`, which are the ones that take a prompt;
- options cannot be shortened; `-cX`, `-c=X`, `-c X`, `--config=X` and `--config X` are the same;
- behind a `--` everything is a prompt;
- `-c`, `--enable` and `--disable` count behind every subcommand, and the last one wins; those
  behind a subcommand win over those in front of it.

An option that is not in the table of its command is refused: what it takes from the words behind
it, and what it does, is not known.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents import command_line
from guard.agents.command_line import (
    FLAG,
    MANY,
    ONE,
    CommandLine,
    Option,
    each,
    looks_like_option,
)
from guard.agents.kinds import GUARDED, HARMLESS, LOCAL, NO_MODEL, REMOTE, SERVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_EVERYWHERE = {**each(ONE, "--config --enable --disable"), **each(FLAG, "--help")}
_SESSION = {
    **_EVERYWHERE,
    **each(
        FLAG,
        "--oss --worktree --strict-config --dangerously-bypass-approvals-and-sandbox --yolo "
        "--dangerously-bypass-hook-trust --approve-for-me --version",
    ),
    **each(
        ONE,
        "--remote --remote-auth-token-env --model --local-provider --profile --sandbox --cd "
        "--add-dir",
    ),
    "--image": MANY,
}
_TERMINAL = {
    **_SESSION,
    **each(FLAG, "--search --no-alt-screen --no-daemon"),
    "--ask-for-approval": ONE,
}
_PICK = each(FLAG, "--last --all --include-non-interactive")
_ONCE = {
    **_SESSION,
    **each(
        FLAG,
        "--skip-git-repo-check --trust --ephemeral --ignore-user-config --ignore-rules --json "
        "--experimental-json",
    ),
    **each(ONE, "--thread-source --cyber-access-program --output-schema"),
    **each(ONE, "--output-last-message --color"),
}
_REVIEW = {**each(FLAG, "--uncommitted"), **each(ONE, "--base --commit --title")}

SHORT = {
    "-C": "--cd",
    "-V": "--version",
    "-a": "--ask-for-approval",
    "-c": "--config",
    "-h": "--help",
    "-i": "--image",
    "-m": "--model",
    "-o": "--output-last-message",
    "-p": "--profile",
    "-s": "--sandbox",
}

_ELSEWHERE = "sends the prompt to a program on this machine or to another server, not the gateway"
REFUSED = {
    "--oss": ("RG201", _ELSEWHERE),
    "--local-provider": ("RG201", _ELSEWHERE),
    "--remote": ("RG202", "hands the session to a server that was started elsewhere"),
    "--remote-auth-token-env": ("RG202", "is for a server that was started elsewhere"),
    "--worktree": (
        "RG301",
        "starts in a new checkout of the repository, whose MCP servers cannot be looked at before",
    ),
}
"""Options that a guarded launch refuses: the rule, and what each does (each was run)."""


class Command(command_line.Command):
    """A row of the table: `options` are those of the command, and what each takes."""

    options: dict[str, str] = _EVERYWHERE


def _guarded(name: str, options: dict[str, str]) -> Command:
    return Command(name, GUARDED, options=options)


_SERVES = "lets other programs drive the agent, and each can name another route"
_LOGIN = "stores a login that works without the gateway"
_OPENAI = "contacts OpenAI with a stored login, not the gateway"
_GONE = "was a server of older versions; this one would take the word for a prompt"

ROOT = _guarded("", _TERMINAL)

_COMMANDS = {
    command.name: command
    for command in (
        _guarded("exec", _ONCE),
        _guarded("exec resume", {**_ONCE, **_PICK}),
        _guarded("exec fork", _ONCE),
        _guarded("exec review", {**_ONCE, **_REVIEW}),
        Command("exec help", HARMLESS),
        _guarded("review", {**_ONCE, **_REVIEW}),
        *(_guarded(name, {**_TERMINAL, **_PICK}) for name in ("resume", "fork")),
        _guarded("agents", _TERMINAL),
        *(
            Command(name, SERVER, why=_SERVES)
            for name in ("app-server", "exec-server", "remote-control", "responses-api-proxy")
        ),
        *(Command(name, SERVER, why=_GONE) for name in ("mcp-server", "proto")),
        Command("queue", REMOTE, why="sends the prompt to a server that was started elsewhere"),
        *(Command(name, REMOTE, why=_OPENAI) for name in ("cloud", "apply")),
        Command("login", REMOTE, why=_LOGIN),
        *(Command(f"login {name}", HARMLESS) for name in ("status", "help")),
        Command("debug", SERVER, why=_SERVES),  # `debug app-server send-message-v2`
        *(Command(f"debug {name}", HARMLESS) for name in ("help", "models")),
        # asks no model, and starts the MCP servers to know their tools (run)
        _guarded("debug prompt-input", {**_EVERYWHERE, "--image": MANY}),
        # a command of the user's own, and servers that one asks about or logs in to
        *(Command(name, LOCAL) for name in ("sandbox", "mcp", "plugin")),
        *(
            Command(name, HARMLESS)
            for name in ("archive", "completion", "delete", "doctor", "execpolicy", "features")
        ),
        *(
            Command(name, HARMLESS)
            for name in ("help", "logout", "migrate-nfs-db", "migrate-rollouts", "unarchive")
        ),
        Command("update", HARMLESS),
    )
}
_ALIASES = {"a": "apply", "cloud-tasks": "cloud", "e": "exec"}
"""Other names of subcommands; the second is in no help page."""
_NAMES = frozenset((*(name for name in _COMMANDS if " " not in name), *_ALIASES))
_TAKE_A_PROMPT = ("", "exec")
"""Commands behind whose prompt the name of a subcommand can stand."""


class Invocation(CommandLine):
    """A command line as Codex reads it.

    `wrong` are findings about what is not known: (word, what is wrong with it, fix).
    """

    __slots__ = ("wrong",)

    command: Command

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(argv, ROOT)
        self.wrong: list[tuple[str, str, str]] = []

    @property
    def is_terminal(self) -> bool:
        """Whether the command has a screen, and would use a background service (`--no-daemon`)."""
        return "--no-daemon" in self.command.options

    @property
    def kind(self) -> str:
        """Which kind of launch this is, a constant of `guard.agents.kinds`."""
        if self.command.kind in NO_MODEL:
            # their own options are not in the tables
            return GUARDED if self.named(*REFUSED) else self.command.kind
        asks = self.named("--help", "--version")
        return HARMLESS if asks and not self.wrong else self.command.kind


def read(argv: Sequence[str]) -> Invocation:
    """Read the arguments `argv` (without the program)."""
    found = Invocation(argv)
    words = found.argv
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            found.separator = at
            found.operands += range(at + 1, len(words))
            break
        if looks_like_option(word):
            at = _option(found, words, at)
            continue
        if found.wrong or not _subcommand(found, word):
            found.operands.append(at)
            if found.command.name == "sandbox":
                # what follows is another program's
                found.operands += range(at + 1, len(words))
                break
        at += 1
    return found


def _subcommand(found: Invocation, word: str) -> bool:
    """Whether `word`, an operand, is the name of a subcommand; sets it."""
    if found.operands and found.command.name not in _TAKE_A_PROMPT:
        return False
    name = f"{found.command.name} {_ALIASES.get(word, word)}".strip()
    known = _COMMANDS.get(name)
    if known is None:
        return False
    found.command = known
    return True


def _option(found: Invocation, words: tuple[str, ...], at: int) -> int:
    """Read the option, or the short ones in one word, at `at`; the index behind it."""
    word = words[at]
    if word.startswith("--"):
        long, equals, text = word.partition("=")
        return _take(found, words, at, long, text if equals else None)
    for index in range(1, len(word)):
        name = SHORT.get(f"-{word[index]}", "")
        takes = found.command.options.get(name)
        rest = word[index + 1 :]
        if takes != FLAG or not rest:
            value = rest.removeprefix("=") if rest else None
            return _take(found, words, at, name or word, value)
        found.options.append(Option(name, at, at + 1, ()))
    return at + 1


def _take(found: Invocation, words: tuple[str, ...], at: int, name: str, value: str | None) -> int:
    takes = found.command.options.get(name)
    end = at + 1
    if takes is None:
        # what it takes is not asked: the launch is refused, or calls no model
        if name in REFUSED:
            found.options.append(Option(name, at, end, ()))
        elif found.command.kind not in NO_MODEL:
            what = "is not an option of Codex that routeguard knows"
            found.wrong.append((name, what, f"leave {name} out; codex --help lists the options"))
        return end
    if takes == FLAG or value is not None:
        found.options.append(Option(name, at, end, () if value is None else (value,)))
        return end
    while end < len(words) and not looks_like_option(words[end]):
        end += 1
        if takes == ONE:
            break
    if end == at + 1:
        # it would take the first word of the pin
        found.wrong.append((name, "needs a value", "give it a value, or leave it out"))
    for taken in words[at + 2 : end]:
        if found.command is ROOT and taken in _NAMES:
            what = f"can be a value of {name} or a subcommand"
            found.wrong.append((taken, what, f"write {name}={words[at + 1]}"))
    found.options.append(Option(name, at, end, words[at + 1 : end]))
    return end
