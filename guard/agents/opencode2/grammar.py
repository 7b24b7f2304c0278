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

from guard.agents.adapter import GUARDED, HARMLESS, LOCAL, SERVER
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

TRUE = ("true", "1", "y", "yes", "on")
FALSE = ("false", "0", "n", "no", "off")
"""What a switch takes for its value from the next word."""


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


_GLOBAL_SWITCHES = _words("help version print-logs")
_GLOBAL_WORDS = _words("log-level completions")
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


class Spec(Record):
    """One command: its kind, its switches, the options that take a word.

    `private` tells that it takes `--standalone`: then it can have a server of its own. `model`
    that it takes `--model`. `why` is what a command does that no launch may, `instead` what to do.
    """

    name: str
    kind: str
    switches: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    private: bool = False
    model: bool = False
    why: str = ""
    instead: str = ""

    def _complete(self) -> None:
        self.switches |= _GLOBAL_SWITCHES
        self.words |= _GLOBAL_WORDS
        if self.private:
            self.switches |= _words("standalone")
            self.words |= _words("server")
        if self.model:
            # not an option of opencode: a launch folds it into the model
            self.words |= _words("model provider")


def _spec(
    name: str,
    kind: str,
    switches: str = "",
    words: str = "",
    *,
    private: bool = False,
    model: bool = False,
    why: str = "",
    instead: str = "",
) -> Spec:
    return Spec(name, kind, _words(switches), _words(words), private, model, why, instead)


_SHARED = "starts or changes the shared background server, which is not guarded"
_OWN = "opencode starts a server of its own in every guarded launch"
_PLUGINS = "installs code that runs inside the agent and can send prompts and keys anywhere"

_COMMANDS = {
    spec.name: spec
    for spec in (
        _spec(
            "",
            GUARDED,
            f"continue {_AUTO}",
            "session prompt",
            private=True,
            model=True,
        ),
        _spec(
            "run",
            GUARDED,
            f"continue fork thinking {_AUTO}",
            "session agent format file title command",
            private=True,
            model=True,
        ),
        _spec(
            "mini",
            GUARDED,
            "continue fork replay demo",
            "session replay-limit agent prompt",
            private=True,
            model=True,
        ),
        _spec("models", GUARDED, private=True),
        # its own server, always (read); what an editor asks of it is not looked at
        _spec("acp", SERVER),
        _spec("api", SERVER, "", "data header param", private=True),
        _spec(
            "serve",
            SERVER,
            "service stdio",
            "hostname port cors",
            why="lets other programs drive the agent, in directories that were not checked",
            instead="use the TUI, mini or run",
        ),
        _spec("pair", SERVER, "", "url", why="lets another device drive the agent", instead=_OWN),
        _spec("reload", LOCAL, private=True),
        _spec("stats", LOCAL, "all models tools cost full json", "days year project limit",
              private=True),
        _spec("auth", HARMLESS),
        _spec("auth list", LOCAL, "", "format", private=True),
        _spec("auth login", LOCAL, "", "method answer", private=True),
        _spec("auth logout", LOCAL, private=True),
        _spec("auth switch", LOCAL, private=True),
        _spec("session", HARMLESS),
        _spec("session list", LOCAL, "", "max-count format", private=True),
        _spec("session delete", LOCAL, private=True),
        _spec("session export", LOCAL, "sanitize", private=True),
        _spec("session import", LOCAL, "", "directory", private=True),
        _spec("mcp", HARMLESS),
        _spec("mcp list", LOCAL),
        _spec("mcp auth", LOCAL),
        _spec("mcp logout", LOCAL),
        _spec(
            "mcp add",
            LOCAL,
            "global",
            "url header env",
            why="writes into a configuration that is made anew at every launch",
            instead="add the server to the key mcp of your own opencode.json",
        ),
        _spec("plugin", HARMLESS),
        _spec("plugin list", LOCAL, "builtin"),
        _spec("plugin check", LOCAL),
        *(
            _spec(
                f"plugin {verb}",
                LOCAL,
                why=_PLUGINS,
                instead="guarded launches load no plugins",
            )
            for verb in ("add", "update")
        ),
        _spec(
            "plugin remove",
            LOCAL,
            why="looks for the plugin where a guarded launch has none",
            instead="take it out of the key plugins of your own opencode.json",
        ),
        _spec("debug", HARMLESS),
        _spec("debug agents", LOCAL),
        _spec("debug config", LOCAL),
        _spec("debug paths", HARMLESS),
        _spec("service", HARMLESS),
        _spec("service status", HARMLESS),
        _spec("service stop", HARMLESS),
        _spec("service get", HARMLESS),
        _spec("service unset", HARMLESS),
        *(
            _spec(f"service {verb}", SERVER, why=_SHARED, instead=_OWN)
            for verb in ("start", "restart", "set")
        ),
        _spec("upgrade", HARMLESS),
        _spec("update", HARMLESS),
        _spec("uninstall", HARMLESS),
    )
}  # fmt: skip
_GROUPS = _words("auth session mcp plugin debug service")


class Option(Record):
    """One option as it stands: `argv[start:end]`, its long name, and its value if it has one.

    `letters` is what stands before it in a cluster, `values` is always empty: both are read by
    `guard.agents.opencode.arguments`.
    """

    name: str
    start: int
    end: int
    value: str | None
    negated: bool = False
    letters: str = ""
    values: tuple[str, ...] = ()


class Invocation(Record):
    """A command line as opencode 2 reads it.

    `positionals` are (index in argv, word) without the command words; `separator` is the index of
    the first `--`, or `len(argv)`; `behind` the index behind the command word. `unknown` are the
    options and subcommands that are not in the table, `early` options of the root in front of a
    command.
    """

    argv: tuple[str, ...]
    spec: Spec
    options: list[Option]
    positionals: list[tuple[int, str]]
    separator: int
    behind: int
    unknown: list[str]
    early: list[str]

    @property
    def command(self) -> str:
        """The command in words (`run`, `auth login`), "" for the TUI."""
        return self.spec.name

    def named(self, *names: str) -> list[Option]:
        """The options with one of these long names, in order."""
        return [option for option in self.options if option.name in names]

    def again(self, argv: Sequence[str]) -> Invocation:
        """Other arguments, read by the same grammar."""
        return read(argv)

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

    def kind(self) -> str:
        """The kind of command, one of the constants of `guard.agents.adapter`."""
        if self.asks_for_help() or self._is_wanted():
            return HARMLESS
        # a subcommand that is not known may do anything
        return LOCAL if self.unknown and self.command in _GROUPS else self.spec.kind

    def _is_wanted(self) -> bool:
        # no shared server for this account: what a guard would set, too
        words = [word for _, word in self.positionals]
        return self.command == "service set" and words == ["disabled", "true"]


def read(argv: Sequence[str]) -> Invocation:
    """Read `argv` (without the program name) as opencode 2 does. Never fails."""
    words = tuple(argv)
    end = words.index("--") if "--" in words else len(words)
    spec = _COMMANDS[""]
    options: list[Option] = []
    positionals: list[tuple[int, str]] = []
    unknown: list[str] = []
    early: list[str] = []
    at = behind = 0
    group, first = "", True
    while at < end:
        word = words[at]
        if word.startswith("-") and len(word) > 1:
            found = _options(words, at, end, spec, unknown)
            options += found
            at = found[-1].end
            continue
        if first:
            first = False
            if group and f"{group} {word}" in _COMMANDS:
                spec, behind = _COMMANDS[f"{group} {word}"], at + 1
                at += 1
                continue
            if group:
                unknown.append(f"{group} {word}")
            elif word and word in _COMMANDS:
                early = [o.name for o in options if o.name not in (*_GLOBAL, "provider")]
                spec, behind = _COMMANDS[word], at + 1
                if word in _GROUPS:
                    group, first = word, True
                at += 1
                continue
        positionals.append((at, word))
        at += 1
    positionals += [(index, words[index]) for index in range(end + 1, len(words))]
    return Invocation(words, spec, options, positionals, end, behind, unknown, early)


_GLOBAL = (*_GLOBAL_SWITCHES, *_GLOBAL_WORDS)


def _options(
    words: tuple[str, ...], at: int, end: int, spec: Spec, unknown: list[str]
) -> list[Option]:
    """The option at `at`, or the options of a cluster; at least one."""
    word = words[at]
    following = words[at + 1] if at + 1 < end else None
    if word.startswith("--"):
        name, eq, value = word[2:].partition("=")
        plain = name.removeprefix("no-")
        if plain != name and plain in spec.switches:
            return [Option(plain, at, at + 1, None, negated=True)]
        if name not in spec.switches and name not in spec.words:
            unknown.append(f"--{name}")
        return [_with_value(name, words, at, value if eq else None, following, spec)]
    letters, eq, value = word[1:].partition("=")
    found = []
    for index, letter in enumerate(letters or "="):
        name = _LETTERS.get(letter, letter)
        if name not in spec.switches and name not in spec.words:
            unknown.append(f"-{letter}")
        if index < len(letters) - 1:
            found.append(Option(name, at, at + 1, None, letters=letters[:index]))
        else:
            last = _with_value(name, words, at, value if eq else None, following, spec)
            last.letters = letters[:index]
            found.append(last)
    return found


def _with_value(
    name: str,
    words: tuple[str, ...],
    at: int,
    value: str | None,
    following: str | None,
    spec: Spec,
) -> Option:
    if value is not None or following is None:
        return Option(name, at, at + 1, value)
    takes = (
        following in (*TRUE, *FALSE)
        if name in spec.switches
        else (following == "-" or following[:1] != "-")
    )
    if name not in (*spec.switches, *spec.words):
        takes = False
    return Option(name, at, at + 2, following) if takes else Option(name, at, at + 1, None)
