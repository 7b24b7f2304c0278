"""How opencode 2.x reads its command line, as far as a launch has to know.

It uses the parser of Effect (`effect/unstable/cli`); what was run on a build of July 2026:

- of an option that is given twice the first counts;
- the first word that is no option is the command; options of the root in front of it are an error,
  but for the few global ones;
- an option that takes a word takes the next one unless it begins with a dash; a switch takes the
  next word if that means true or false (`--standalone false`, read: `no`, `off`, `0` as well), and
  `--no-NAME` switches it off;
- `-abc` is three options, `-m=X` gives the last of them a value, `-mX` does not;
- `--` ends the options.

The table is that of a later release, read in its source (commands.ts at 0720c006). An option or a
subcommand that is not in it is refused: what it does is not known.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.command_line import Command, CommandLine, Option, looks_like_option, words
from guard.agents.kinds import GUARDED, HARMLESS, LOCAL, SERVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

TRUE = ("true", "1", "y", "yes", "on")
FALSE = ("false", "0", "n", "no", "off")
"""What a switch takes for its value from the next word."""


_GLOBAL_SWITCHES = words("help version print-logs")
_GLOBAL_WORDS = words("log-level completions")
_AUTO = "auto yolo dangerously-skip-permissions"
_LETTERS = {
    "c": "continue",
    "d": "data",
    "f": "file",
    "H": "header",
    "h": "help",
    "m": "model",
    "s": "session",
    "v": "version",
}


class Row(Command):
    """A command: its switches, and the options that take a word.

    `private` tells that it takes `--standalone`: then it can have a server of its own. `model`
    that it takes `--model`.
    """

    switches: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    private: bool = False
    model: bool = False

    def _complete(self) -> None:
        self.switches |= _GLOBAL_SWITCHES
        self.words |= _GLOBAL_WORDS
        if self.private:
            self.switches |= words("standalone")
            self.words |= words("server")
        if self.model:
            # not an option of opencode: a launch folds it into the model
            self.words |= words("model provider")


def _row(name: str, kind: str, switches: str = "", takes: str = "", **more: Any) -> Row:
    return Row(name, kind, switches=words(switches), words=words(takes), **more)


_SHARED = "starts or changes the shared background server, which is not guarded"
_OWN = "opencode starts a server of its own in every guarded launch"
_PLUGINS = "installs code that runs inside the agent and can send prompts and keys anywhere"

_COMMANDS = {
    row.name: row
    for row in (
        _row(
            "",
            GUARDED,
            f"continue {_AUTO}",
            "session prompt",
            private=True,
            model=True,
        ),
        _row(
            "run",
            GUARDED,
            f"continue fork thinking {_AUTO}",
            "session agent format file title command",
            private=True,
            model=True,
        ),
        _row(
            "mini",
            GUARDED,
            "continue fork replay demo",
            "session replay-limit agent prompt",
            private=True,
            model=True,
        ),
        _row("models", GUARDED, private=True),
        # its own server, always (read); what an editor asks of it is not looked at
        _row("acp", SERVER),
        _row("api", SERVER, "", "data header param", private=True),
        _row(
            "serve",
            SERVER,
            "service stdio",
            "hostname port cors",
            why="lets other programs drive the agent, in directories that were not checked",
            instead="use the TUI, mini or run",
        ),
        _row("pair", SERVER, "", "url", why="lets another device drive the agent", instead=_OWN),
        _row("reload", LOCAL, private=True),
        _row("stats", LOCAL, "all models tools cost full json", "days year project limit",
              private=True),
        _row("auth", HARMLESS),
        _row("auth list", LOCAL, "", "format", private=True),
        _row("auth login", LOCAL, "", "method answer", private=True),
        _row("auth logout", LOCAL, private=True),
        _row("auth switch", LOCAL, private=True),
        _row("session", HARMLESS),
        _row("session list", LOCAL, "", "max-count format", private=True),
        _row("session delete", LOCAL, private=True),
        _row("session export", LOCAL, "sanitize", private=True),
        _row("session import", LOCAL, "", "directory", private=True),
        _row("mcp", HARMLESS),
        _row("mcp list", LOCAL),
        _row("mcp auth", LOCAL),
        _row("mcp logout", LOCAL),
        _row(
            "mcp add",
            LOCAL,
            "global",
            "url header env",
            why="writes into a configuration that is made anew at every launch",
            instead="add the server to the key mcp of your own opencode.json",
        ),
        _row("plugin", HARMLESS),
        _row("plugin list", LOCAL, "builtin"),
        _row("plugin check", LOCAL),
        *(
            _row(
                f"plugin {verb}",
                LOCAL,
                why=_PLUGINS,
                rule="RG301",
                instead="guarded launches load no plugins",
            )
            for verb in ("add", "update")
        ),
        _row(
            "plugin remove",
            LOCAL,
            why="looks for the plugin where a guarded launch has none",
            rule="RG301",
            instead="take it out of the key plugins of your own opencode.json",
        ),
        _row("debug", HARMLESS),
        _row("debug agents", LOCAL),
        _row("debug config", LOCAL),
        _row("debug paths", HARMLESS),
        _row("service", HARMLESS),
        _row("service status", HARMLESS),
        _row("service stop", HARMLESS),
        _row("service get", HARMLESS),
        _row("service unset", HARMLESS),
        *(
            _row(f"service {verb}", SERVER, why=_SHARED, instead=_OWN)
            for verb in ("start", "restart", "set")
        ),
        _row("upgrade", HARMLESS),
        _row("update", HARMLESS),
        _row("uninstall", HARMLESS),
    )
}  # fmt: skip
_GROUPS = words("auth session mcp plugin debug service")


class Invocation(CommandLine):
    """A command line as opencode 2 reads it.

    `behind` is the index behind the command word. `unknown` are the options and subcommands that
    are not in the table, `early` options of the root in front of a command.
    """

    __slots__ = ("behind", "early", "unknown")

    command: Row

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(argv, _COMMANDS[""])
        self.behind = 0
        self.unknown: list[str] = []
        self.early: list[str] = []

    def asks_for_help(self) -> bool:
        """Whether opencode will only print its help, its version or completions."""
        asked = [o for o in self.named("help", "version") if not o.negated and o.value is None]
        return bool(asked) or any(o.value for o in self.named("completions"))

    def uses_shared_server(self) -> bool:
        """Whether the arguments ask for the shared server, in whichever spelling."""
        return any(
            option.negated or (option.value is not None and option.value.lower() not in TRUE)
            for option in self.named("standalone")
        )

    @property
    def kind(self) -> str:
        """The kind of command, one of the constants of `guard.agents.kinds`."""
        if self.asks_for_help() or self._is_wanted():
            return HARMLESS
        # a subcommand that is not known may do anything
        unknown = self.unknown and self.command.name in _GROUPS
        return LOCAL if unknown else self.command.kind

    def _is_wanted(self) -> bool:
        # no shared server for this account: what a guard would set, too
        return self.command.name == "service set" and self.words == ["disabled", "true"]


def read(argv: Sequence[str]) -> Invocation:
    """Read `argv` (without the program name) as opencode 2 does. Never fails."""
    found = Invocation(argv)
    words = found.argv
    end = found.separator = words.index("--") if "--" in words else len(words)
    at = 0
    group, first = "", True
    while at < end:
        word = words[at]
        if word.startswith("-") and len(word) > 1:
            found.options += _options(found, at, end)
            at = found.options[-1].end
            continue
        if first:
            first = False
            name = f"{group} {word}" if group else word
            if word and name in _COMMANDS:
                if not group:
                    known = (*_GLOBAL, "provider")
                    found.early = [o.name for o in found.options if o.name not in known]
                found.command, found.behind = _COMMANDS[name], at + 1
                if name in _GROUPS:
                    group, first = name, True
                at += 1
                continue
            if group:
                found.unknown.append(name)
        found.operands.append(at)
        at += 1
    found.operands += range(end + 1, len(words))
    return found


_GLOBAL = (*_GLOBAL_SWITCHES, *_GLOBAL_WORDS)


def _options(found: Invocation, at: int, end: int) -> list[Option]:
    """The option at `at`, or the options of a cluster; at least one."""
    row, word = found.command, found.argv[at]
    if word.startswith("--"):
        name, eq, value = word[2:].partition("=")
        plain = name.removeprefix("no-")
        if plain != name and plain in row.switches:
            return [Option(plain, at, at + 1, negated=True)]
        if name not in row.switches and name not in row.words:
            found.unknown.append(f"--{name}")
        return [_with_value(found, name, at, end, (value,) if eq else None)]
    letters, eq, value = word[1:].partition("=")
    options = []
    for index, letter in enumerate(letters or "="):
        name = _LETTERS.get(letter, letter)
        if name not in row.switches and name not in row.words:
            found.unknown.append(f"-{letter}")
        if index < len(letters) - 1:
            options.append(Option(name, at, at + 1, letters=letters[:index]))
        else:
            last = _with_value(found, name, at, end, (value,) if eq else None)
            last.letters = letters[:index]
            options.append(last)
    return options


def _with_value(
    found: Invocation, name: str, at: int, end: int, value: tuple[str] | None
) -> Option:
    if value is not None or at + 1 >= end:
        return Option(name, at, at + 1, value or ())
    row, following = found.command, found.argv[at + 1]
    takes = False
    if name in row.switches:
        takes = following in (*TRUE, *FALSE)
    elif name in row.words:
        takes = not looks_like_option(following)
    return Option(name, at, at + 2, (following,)) if takes else Option(name, at, at + 1)
