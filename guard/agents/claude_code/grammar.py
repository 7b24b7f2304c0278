"""How Claude Code reads its command line, as far as a launch has to know.

It uses Commander. Options and their values are those of 2.1.332: `--help`, and the hidden ones
read in the bundle inside the binary. What was run:

- the first word that is no option is a subcommand if it is the name of one, behind a `--` too,
  and a prompt if not;
- with `-p` or `--print` as a word of its own no word is a subcommand: `-p mcp list` is a prompt;
- a few subcommands count only as the very first word (`logs`, `attach`, `daemon`, `ssh` …): with
  an option in front of them, the model gets them as a prompt;
- so do hidden options: `--chrome-native-host doctor` and `--bg-spare doctor` start what they name;
- the one word of an option is taken whatever it is: `--add-dir --help -p hi` calls the model;
- a `--` ends the options;
- `-V` as the only word prints the version, and with any other it is an unknown option (`-V --bg x`
  starts the service all the same); it reads no file and connects to nothing (strace, as `-v`);
- `workspace-trust --json` connects to ANTHROPIC_BASE_URL and looks up another host, under our pin
  as well (strace), so it stays a word that a launch does not know.

An option that is not in the table is refused: what it takes from the words behind it, and what it
does, is not known.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.command_line import (
    FLAG,
    MANY,
    MAYBE,
    ONE,
    Command,
    CommandLine,
    Option,
    each,
    looks_like_option,
)
from guard.agents.kinds import GUARDED, HARMLESS, LOCAL, REMOTE, SERVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = {
    **each(
        FLAG,
        "--allow-dangerously-skip-permissions --ax-screen-reader --bare --brief --chrome "
        "--no-chrome --continue --dangerously-skip-permissions --debug-to-stderr "
        "--disable-slash-commands --enable-auto-mode --exclude-dynamic-system-prompt-sections "
        "--fork-session --forward-subagent-text --help --ide --include-hook-events "
        "--include-partial-messages --init --init-only --maintenance --no-session-persistence "
        "--print --replay-user-messages --restricted --safe-mode --strict-mcp-config --verbose "
        "--version -c -d2e -h -p -v",
    ),
    **each(
        ONE,
        "--agent --append-subagent-system-prompt --append-subagent-system-prompt-file "
        "--append-system-prompt --append-system-prompt-file --autocompact --debug-file --effort "
        "--fallback-model --fast-mode --input-format --json-schema --max-budget-usd "
        "--max-thinking-tokens --max-turns --mcp-config-file --model --name --output-format "
        "--permission-mode --permission-prompt-tool --permission-prompts "
        "--plan-mode-instructions --prefill --resume-session-at --rewind-files --session-id "
        "--setting-sources --settings --system-prompt --system-prompt-file "
        "--system-prompt-snapshot --task-budget --thinking --thinking-display -n",
    ),
    **each(
        MAYBE,
        "--debug --from-pr --prompt-suggestions --resume --worktree -d -r -w",
    ),
    **each(
        MANY,
        "--add-dir --allowedTools --allowed-tools --betas --disallowedTools --disallowed-tools "
        "--mcp-config --tools",
    ),
}
"""Options of a root call that a guarded launch may have, and what each takes."""

_SERVES = "lets another program or machine drive the agent"
_ELSEWHERE = "runs the agent on another machine"
_CODE = "loads a plugin from the command line"
_BACKGROUND = "starts a background service that outlives the launch"


def _refused(rule: str, why: str, names: str) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(names.split(), (rule, why))


REFUSED = {
    **_refused(
        "RG302",
        "replaces the restrictions of the guarded launch",
        "--managed-settings --managed-settings-in-initialize",
    ),
    **_refused(
        "RG203",
        _SERVES,
        "--sdk-url --remote-control --rc --messaging-socket-path --attach-serve",
    ),
    **_refused("RG202", _ELSEWHERE, "--cloud --remote --teleport --environment --web --pool"),
    **_refused("RG301", _CODE, "--plugin-dir --plugin-dir-no-mcp --plugin-url"),
    **_refused("RG301", "defines agents, and with them hooks and MCP servers", "--agents"),
    **_refused("RG203", _BACKGROUND, "--bg --background --routine"),
    **_refused(
        "RG203",
        "lets MCP servers send prompts of their own",
        "--channels --dangerously-load-development-channels",
    ),
    **_refused("RG302", "fetches settings from another host", "--client-data-url"),
    **_refused("RG202", "hands the session to the desktop app, which is not guarded", "--desktop"),
    **_refused("RG202", "downloads files from the provider's own host", "--file"),
    **_refused("RG302", "chooses another login", "--host-auth-is-org-sign-in --profile"),
    **_refused("RG302", "takes settings and code from another directory", "--project-config-root"),
    **_refused(
        "RG202",
        "starts the agent below the tmux server, which has an environment of its own",
        "--tmux",
    ),
}
"""Options that a guarded launch refuses: the rule, and what each does."""


CLOSED = {"--mcp-config": ("RG301", "starts MCP servers, which a guarded launch does not")}
"""The same of those whose values have to be told from other words."""

_LOGIN = "stores a login that works without the gateway"
_CALLS = "calls a model with settings that a launch cannot pin"

ROOT = Command("", GUARDED)
_VERSION_ALONE = ("-V",)

_COMMANDS = {
    command.name: command
    for command in (
        *(Command(name, HARMLESS) for name in ("doctor", "import", "install", "purge")),
        *(Command(name, HARMLESS) for name in ("update", "upgrade")),
        Command("auth", HARMLESS),
        Command("auth login", REMOTE, _LOGIN),
        Command("setup-token", REMOTE, _LOGIN),
        Command("auto-mode", HARMLESS),
        Command("auto-mode critique", REMOTE, _CALLS),
        Command("gateway", SERVER, _SERVES),
        # `mcp get` and `mcp list` start the user's own servers to look at their health
        Command("mcp", LOCAL),
        Command("mcp login", LOCAL),
        Command("mcp serve", SERVER, _SERVES),
        *(
            command
            for name in ("plugin", "plugins")
            for command in (
                Command(name, LOCAL),
                Command(f"{name} eval", REMOTE, _CALLS),
            )
        ),
        Command("remote-control", SERVER, _SERVES),
        Command("agents", SERVER, _BACKGROUND),
        Command("ultrareview", REMOTE, _ELSEWHERE),
    )
}

_FIRST_WORD = {
    command.name: command
    for command in (
        *(Command(name, HARMLESS) for name in ("logs", "stop", "kill", "rm")),
        *(Command(name, SERVER, _BACKGROUND) for name in ("attach", "daemon", "respawn")),
        # `remote -ph` and `sync --help=x` are no plea for help: the remote control starts (run)
        *(Command(name, SERVER, _SERVES) for name in ("rc", "bridge", "remote", "sync")),
        *(Command(f"self-hosted-{name}", SERVER, _SERVES) for name in ("agent-proxy", "runner")),
        Command("ssh", REMOTE, _ELSEWHERE),
    )
}
"""Subcommands that count only as the very first word."""


class Invocation(CommandLine):
    """A command line as Claude Code reads it.

    `unknown` are words that look like options and are not in the tables, in front of a subcommand
    if there is one: its own are not in the tables.
    `two_readings` tells that it cannot be known whether a subcommand or the model gets the words.
    """

    __slots__ = ("two_readings", "unknown")

    command: Command

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(argv, ROOT)
        self.two_readings = False
        self.unknown: list[str] = []

    @property
    def kind(self) -> str:
        """Which kind of launch this is, a constant of `guard.agents.kinds`."""
        if self.two_readings or self.unknown or self.named(*REFUSED):
            # `--help --bg` and `-v --bg` start the service they name, and `--plugin-dir --help` is
            # no plea for help: the option takes the word (run)
            return GUARDED
        if self.command is ROOT:
            if self.argv[:1] in (("--version",), ("-v",)) or self.argv == _VERSION_ALONE:
                return HARMLESS
            # a first word that is no option may be a command of another release, which reads the
            # words behind it in its own way; behind our options it is none
            asks = self.named("--help", "-h") and self.operands[:1] != [0]
            return HARMLESS if asks else GUARDED
        if self.command.kind == LOCAL and self.named("--help", "-h"):
            return HARMLESS
        # `remote-control --help` starts what it is asked about (run), so a plea for help opens
        # nothing that is closed
        return self.command.kind


def read(argv: Sequence[str]) -> Invocation:
    """Read the arguments `argv` (without the program)."""
    found = Invocation(argv)
    words = found.argv
    if words == _VERSION_ALONE:
        return found
    if words and words[0] in _FIRST_WORD:
        found.command = _FIRST_WORD[words[0]]
        return found
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            found.separator = at
            found.operands += range(at + 1, len(words))
            break
        if looks_like_option(word):
            at = _option(found, words, at)
        else:
            found.operands.append(at)
            at += 1
    _find_subcommand(found)
    for index, word in enumerate(words):
        if word in ("--tmux", "--tmux=classic") and not found.named("--tmux"):
            # it is looked for before the options are read: `--model --tmux -w x` is taken for it
            # (run), and in the bundle a word behind the `--` counts too
            found.options.append(Option("--tmux", index, index + 1, ()))
    return found


def _find_subcommand(found: Invocation) -> None:
    """Set the subcommand of `found`, if its first operand is the name of one.

    With `-p` in front, no word is a subcommand, and with `-p` behind it none is either unless an
    option of the subcommand takes it (run: `-p mcp list`, `mcp -p list`, `-cp mcp list`).
    """
    words, names = found.argv, found.words
    if not names or (names[0] not in _COMMANDS and names[0] not in _FIRST_WORD):
        return
    first = found.operands[0]
    exact = [o.start for o in found.named("-p", "--print") if words[o.start] == o.name]
    if any(start < first for start in exact):
        return
    later = words[first + 1 : max(found.separator, first + 1)]
    if "-p" in later or "--print" in later or names[0] not in _COMMANDS:
        found.two_readings = True
        return
    found.command = _COMMANDS.get(" ".join(names[:2]), _COMMANDS[names[0]])
    found.unknown = read(words[:first]).unknown


def _option(found: Invocation, words: tuple[str, ...], at: int) -> int:
    """Read the option at `at`; the index behind it and its values."""
    word = words[at]
    name, equals, value = word.partition("=")
    if not word.startswith("--"):
        if word in OPTIONS:
            name, equals, value = word, "", ""
        else:
            return _cluster(found, words, at)
    takes = OPTIONS.get(name)
    if takes is None:
        # what it takes is not asked: the launch is refused whatever follows
        if name in REFUSED:
            found.options.append(Option(name, at, at + 1, ()))
        else:
            found.unknown.append(name)
        return at + 1
    if equals:
        found.options.append(Option(name, at, at + 1, (value,)))
        return at + 1
    end = _end_of_values(words, at + 1, takes)
    found.options.append(Option(name, at, end, words[at + 1 : end]))
    return end


def _end_of_values(words: tuple[str, ...], at: int, takes: str) -> int:
    if takes == FLAG or at >= len(words):
        return at
    if takes == MAYBE:
        return at if looks_like_option(words[at]) else at + 1
    at += 1  # whatever it is, a dash in front of it included
    if takes == ONE:
        return at
    while at < len(words) and not looks_like_option(words[at]):
        at += 1
    return at


def _cluster(found: Invocation, words: tuple[str, ...], at: int) -> int:
    """`-pc`, or `-nNAME`: letters without a value, the last one perhaps with one."""
    word = words[at]
    for index in range(1, len(word)):
        name = f"-{word[index]}"
        takes = OPTIONS.get(name)
        if takes is None:
            found.unknown.append(word)
            return at + 1
        if takes == FLAG:
            found.options.append(Option(name, at, at + 1, ()))
            continue
        rest = word[index + 1 :]
        if rest:
            found.options.append(Option(name, at, at + 1, (rest,)))
            return at + 1
        end = _end_of_values(words, at + 1, takes)
        found.options.append(Option(name, at, end, words[at + 1 : end]))
        return end
    return at + 1
