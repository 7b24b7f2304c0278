"""How opencode 1.x reads its command line, copied closely enough to rewrite it safely.

opencode 1 uses yargs in strict mode. Observed on 1.18.33 (all forms below were run against the
real binary); the parsing rules are those of yargs-parser:

- an option that the *top level* does not know takes the next word as its value while yargs looks
  for the subcommand, so `-c run hi` is no `run` call; then the whole line is read again with the
  subcommand's own options;
- `--x word` takes `word` unless `x` is a boolean or `word` starts with a dash;
- an array option (`-f`) takes every following word up to the next dash;
- a boolean followed by the word `true` or `false` takes that word;
- `-abc` is a cluster of letters; `-m=X` and `-m@x` give the last letter a value;
- everything after the first `--` is message text.

Hot-path module. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HARMLESS = "harmless"
LOCAL = "local"
GUARDED = "guarded"
SERVER = "server"
REMOTE = "remote"

_GLOBAL_BOOLEANS = frozenset(("help", "h", "version", "v", "print-logs", "pure"))
_GLOBAL_STRINGS = frozenset(("log-level",))
_NETWORK_STRINGS = frozenset(("port", "hostname", "mdns-domain"))
NETWORK = frozenset(("port", "hostname", "mdns", "mdns-domain", "cors"))
"""Options that make the agent listen for other programs."""

_SESSION_BOOLEANS = frozenset(
    (
        "continue",
        "c",
        "fork",
        "auto",
        "yolo",
        "dangerously-skip-permissions",
        "mini",
        "replay",
        "demo",
    )
)
_MODEL = frozenset(("model", "m"))


class Spec:
    """The options of one command, and what kind of launch it is.

    `kind`: HARMLESS makes no model call and opens no project, LOCAL makes none but opens the
    project, with its plugins and MCP servers, GUARDED may make a call, SERVER lets other programs
    make them, REMOTE hands them to another server. That `mcp list`, `agent list`, `session list`,
    `stats`, `export` and `debug info` run a project's plugins was observed on 1.18.33; so was that
    those left HARMLESS here do not.
    """

    __slots__ = ("arrays", "booleans", "kind", "model", "name", "strings")

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        booleans: frozenset[str] = frozenset(),
        strings: frozenset[str] = frozenset(),
        arrays: frozenset[str] = frozenset(),
        model: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.booleans = booleans | _GLOBAL_BOOLEANS
        self.strings = strings | _GLOBAL_STRINGS | (_MODEL if model else frozenset())
        self.arrays = arrays
        self.model = model


_TOP_LEVEL = Spec("", GUARDED)

_ROOT = Spec(
    "",
    GUARDED,
    booleans=_SESSION_BOOLEANS | {"mdns"},
    strings=_NETWORK_STRINGS | {"session", "s", "prompt", "agent", "replay-limit"},
    arrays=frozenset(("cors",)),
    model=True,
)


def _server(name: str) -> Spec:
    return Spec(
        name,
        SERVER,
        booleans=frozenset(("mdns",)),
        strings=_NETWORK_STRINGS | {"cwd"},
        arrays=frozenset(("cors",)),
    )


_COMMANDS = {
    "run": Spec(
        "run",
        GUARDED,
        booleans=_SESSION_BOOLEANS | {"share", "thinking", "interactive", "i"},
        strings=frozenset(
            (
                "command",
                "session",
                "s",
                "agent",
                "format",
                "title",
                "attach",
                "password",
                "p",
                "username",
                "u",
                "dir",
                "port",
                "variant",
                "replay-limit",
            )
        ),
        arrays=frozenset(("file", "f")),
        model=True,
    ),
    "serve": _server("serve"),
    "web": _server("web"),
    "acp": _server("acp"),
    "attach": Spec(
        "attach",
        REMOTE,
        booleans=_SESSION_BOOLEANS,
        strings=frozenset(
            ("dir", "session", "s", "password", "p", "username", "u", "replay-limit")
        ),
    ),
    "models": Spec("models", GUARDED, booleans=frozenset(("verbose", "refresh"))),
    "pr": Spec("pr", GUARDED),
    "debug": Spec("debug", GUARDED, strings=frozenset(("tool", "params"))),
    "agent list": Spec("agent list", LOCAL),
    "agent create": Spec(
        "agent create",
        GUARDED,
        strings=frozenset(("path", "description", "mode", "permissions", "tools")),
        model=True,
    ),
    "github run": Spec("github run", GUARDED, strings=frozenset(("event", "token"))),
    "github install": Spec("github install", LOCAL),
    "providers": Spec("providers", LOCAL),
    "providers list": Spec("providers list", HARMLESS),
    "mcp": Spec("mcp", LOCAL, arrays=frozenset(("env", "header"))),
    "session": Spec("session", LOCAL),
    "plugin": Spec("plugin", LOCAL, booleans=frozenset(("global", "g", "force", "f"))),
    "export": Spec("export", LOCAL, booleans=frozenset(("sanitize",))),
    "import": Spec("import", LOCAL),
    "stats": Spec("stats", LOCAL),
    "db": Spec("db", LOCAL),
    "db path": Spec("db path", HARMLESS),
    "upgrade": Spec("upgrade", HARMLESS),
    "uninstall": Spec(
        "uninstall",
        HARMLESS,
        booleans=frozenset(("keep-config", "c", "keep-data", "d", "dry-run", "force", "f")),
    ),
    "completion": Spec("completion", HARMLESS),
    "console": Spec("console", HARMLESS),
    "generate": Spec("generate", HARMLESS),
    # printing where files lie makes no call and must work when nothing else does
    "debug paths": Spec("debug paths", HARMLESS),
    "debug info": Spec("debug info", LOCAL),
}
_WITH_SUBCOMMANDS = ("agent", "db", "debug", "github", "providers")
_ALIASES = {"auth": "providers", "plug": "plugin"}
_NAMES = frozenset(name.partition(" ")[0] for name in _COMMANDS)


class Option:
    """One option as it stands: `argv[start:end]`, its name, and its value if it has one.

    `letters` is what stands before it in a cluster (`c` in `-cm X`); `value` is None for an
    option without a value, a list only for array options.
    """

    __slots__ = ("end", "letters", "name", "start", "value", "values")

    def __init__(
        self,
        name: str,
        start: int,
        end: int,
        value: str | None,
        *,
        values: tuple[str, ...] = (),
        letters: str = "",
    ) -> None:
        self.name = name
        self.start = start
        self.end = end
        self.value = value
        self.values = values
        self.letters = letters


class Invocation:
    """A command line as opencode reads it: the command, its options, its free words.

    `positionals` are (index in argv, word) without the command words; `separator` is the index
    of the first `--`, or `len(argv)`.
    """

    __slots__ = ("argv", "options", "positionals", "separator", "spec")

    def __init__(
        self,
        argv: tuple[str, ...],
        spec: Spec,
        options: list[Option],
        positionals: list[tuple[int, str]],
        separator: int,
    ) -> None:
        self.argv = argv
        self.spec = spec
        self.options = options
        self.positionals = positionals
        self.separator = separator

    @property
    def command(self) -> str:
        """The command in words (`run`, `agent create`), "" for the TUI."""
        return self.spec.name

    def named(self, *names: str) -> list[Option]:
        """The options with one of these names, in order, dotted forms (`--attach.x`) included."""
        return [o for o in self.options if o.name.partition(".")[0] in names]

    def asks_for_help(self) -> bool:
        """Whether opencode will only print its help or version.

        Errs on the side of False, which only means that the launch is guarded: `--help false`
        and `--no-help` switch the option off again.
        """
        asked = False
        for option in self.options:
            plain = option.name.removeprefix("no-")
            if plain in ("help", "h", "version", "v"):
                if plain != option.name or option.value is not None:
                    return False
                asked = True
        return asked

    def kind(self) -> str:
        """What kind of launch this is; see Spec."""
        return HARMLESS if self.asks_for_help() else self.spec.kind


def read(argv: Sequence[str]) -> Invocation:
    """Read `argv` (without the program name) as opencode 1.x does. Never fails."""
    words = tuple(argv)
    separator = words.index("--") if "--" in words else len(words)
    _, free = _scan(words, separator, _TOP_LEVEL)
    spec, used = _ROOT, 0
    if free and _ALIASES.get(free[0][1], free[0][1]) in _NAMES:
        name = _ALIASES.get(free[0][1], free[0][1])
        used = 1
        if name in _WITH_SUBCOMMANDS and len(free) > 1:
            longer = f"{name} {free[1][1]}"
            longer = longer.removesuffix(" ls") + (" list" if longer.endswith(" ls") else "")
            if longer in _COMMANDS:
                name, used = longer, 2
        spec = _COMMANDS.get(name) or Spec(name, LOCAL)
    options, positionals = _scan(words, separator, spec)
    return Invocation(words, spec, options, positionals[used:], separator)


def _scan(
    words: tuple[str, ...], separator: int, spec: Spec
) -> tuple[list[Option], list[tuple[int, str]]]:
    options: list[Option] = []
    positionals: list[tuple[int, str]] = []
    at = 0
    while at < separator:
        word = words[at]
        if word == "-" or not word.startswith("-") or _is_number(word):
            positionals.append((at, word))
            at += 1
            continue
        option = _long(words, at, separator, spec) if word[1] == "-" else None
        if option is None:
            cluster = _short(words, at, separator, spec)
            options.extend(cluster)
            at = cluster[-1].end
        else:
            options.append(option)
            at = option.end
    return options, positionals


def _long(words: tuple[str, ...], at: int, separator: int, spec: Spec) -> Option:
    name, equals, value = words[at][2:].partition("=")
    name = kebab(name)
    if equals:
        if name in spec.arrays:
            end, more = _following(words, at + 1, separator)
            return Option(name, at, end, value, values=(value, *more))
        return Option(name, at, at + 1, value)
    return _with_next(name, words, at, separator, spec, "")


def _short(words: tuple[str, ...], at: int, separator: int, spec: Spec) -> list[Option]:
    letters = words[at][1:]
    found: list[Option] = []
    for index, letter in enumerate(letters):
        rest = letters[index + 1 :]
        if not rest:
            found.append(_with_next(letter, words, at, separator, spec, letters[:index]))
            break
        if rest[0] == "=":
            found.append(Option(letter, at, at + 1, rest[1:], letters=letters[:index]))
            break
        if not (rest[0].isalnum() or rest[0] == "_") or (
            letter.isalpha() and _is_number(rest, negative=True)
        ):
            found.append(Option(letter, at, at + 1, rest, letters=letters[:index]))
            break
        found.append(Option(letter, at, at + 1, None, letters=letters[:index]))
    return found


def _with_next(
    name: str, words: tuple[str, ...], at: int, separator: int, spec: Spec, letters: str
) -> Option:
    if name in spec.arrays:
        end, values = _following(words, at + 1, separator)
        first = values[0] if values else None
        return Option(name, at, end, first, values=values, letters=letters)
    following = words[at + 1] if at + 1 < separator else None
    if name in spec.booleans or name.startswith("no-"):
        if following in ("true", "false") and not name.startswith("no-"):
            return Option(name, at, at + 2, following, letters=letters)
        return Option(name, at, at + 1, None, letters=letters)
    if following is not None and (not following.startswith("-") or _is_number(following)):
        return Option(name, at, at + 2, following, letters=letters)
    return Option(name, at, at + 1, None, letters=letters)


def _following(words: tuple[str, ...], start: int, separator: int) -> tuple[int, tuple[str, ...]]:
    end = start
    while end < separator and (not words[end].startswith("-") or _is_number(words[end])):
        end += 1
    return end, words[start:end]


def _is_number(word: str, *, negative: bool = False) -> bool:
    # yargs-parser reads -1 as a value, not as the option 1
    body = word[1:] if word.startswith("-") else word
    if not word.startswith("-") and not negative:
        return False
    return bool(body) and body.isascii() and body.replace(".", "", 1).isdigit()


def kebab(name: str) -> str:
    """`name` with camelCase written with dashes: yargs takes both for the same option."""
    if name.islower():
        return name
    return "".join(f"-{c.lower()}" if c.isupper() and i else c for i, c in enumerate(name))
