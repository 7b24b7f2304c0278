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
- after a short option even `--`, `-` and `---x` are values; any other `--` ends the options, and
  everything after it is message text;
- a positional is an option as well: `--project DIR`, `--url URL`, `--message TEXT`.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.adapter import GUARDED, HARMLESS, LOCAL, REMOTE, SERVER
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

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


class Spec(Record):
    """The options of one command, and what kind of launch it is.

    `kind`: HARMLESS makes no model call and opens no project, LOCAL makes none but opens the
    project, with its plugins and MCP servers, GUARDED may make a call, SERVER lets other programs
    make them, REMOTE hands them to another server. That `mcp list`, `agent list`, `session list`,
    `stats`, `export` and `debug info` run a project's plugins was observed on 1.18.33; so was that
    those left HARMLESS here do not.
    """

    name: str
    kind: str
    booleans: frozenset[str] = frozenset()
    strings: frozenset[str] = frozenset()
    arrays: frozenset[str] = frozenset()
    model: bool = False

    def _complete(self) -> None:
        self.booleans |= _GLOBAL_BOOLEANS
        self.strings |= _GLOBAL_STRINGS | (_MODEL if self.model else frozenset())


_TOP_LEVEL = Spec("", GUARDED)

_ROOT = Spec(
    "",
    GUARDED,
    booleans=_SESSION_BOOLEANS | {"mdns"},
    strings=_NETWORK_STRINGS | {"session", "s", "prompt", "agent", "replay-limit", "project"},
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
        arrays=frozenset(("file", "f", "message")),
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
            ("dir", "session", "s", "password", "p", "username", "u", "replay-limit", "url")
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
    "providers login": Spec(
        "providers login", LOCAL, strings=frozenset(("url", "provider", "p", "method", "m"))
    ),
    "providers logout": Spec("providers logout", HARMLESS),
    "mcp": Spec("mcp", LOCAL, arrays=frozenset(("env", "header"))),
    "session": Spec("session", LOCAL),
    "plugin": Spec("plugin", LOCAL, booleans=frozenset(("global", "g", "force", "f"))),
    "export": Spec("export", LOCAL, booleans=frozenset(("sanitize",))),
    "import": Spec("import", LOCAL),
    "stats": Spec("stats", LOCAL),
    "db": Spec("db", HARMLESS),
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
_WITH_SUBCOMMANDS = ("agent", "debug", "github", "providers")
_ALIASES = {"auth": "providers", "plug": "plugin"}
_NAMES = frozenset(name.partition(" ")[0] for name in _COMMANDS)


class Option(Record):
    """One option as it stands: `argv[start:end]`, its name, and its value if it has one.

    `letters` is what stands before it in a cluster (`c` in `-cm X`); `value` is None for an
    option without a value, a list only for array options.
    """

    name: str
    start: int
    end: int
    value: str | None
    values: tuple[str, ...] = ()
    letters: str = ""


class Invocation(Record):
    """A command line as opencode reads it: the command, its options, its free words.

    `positionals` are (index in argv, word) without the command words; `separator` is the index
    of the first `--`, or `len(argv)`.
    """

    argv: tuple[str, ...]
    spec: Spec
    options: list[Option]
    positionals: list[tuple[int, str]]
    separator: int

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

    def again(self, argv: Sequence[str]) -> Invocation:
        """Other arguments, read by the same grammar."""
        return read(argv)

    def kind(self) -> str:
        """What kind of launch this is; see Spec."""
        return HARMLESS if self.asks_for_help() else self.spec.kind


def read(argv: Sequence[str]) -> Invocation:
    """Read `argv` (without the program name) as opencode 1.x does. Never fails."""
    words = tuple(argv)
    _, free, _ = _scan(words, _TOP_LEVEL)
    spec, used = _ROOT, 0
    if free and _ALIASES.get(free[0][1], free[0][1]) in _NAMES:
        name = _ALIASES.get(free[0][1], free[0][1])
        used = 1
        if name in _WITH_SUBCOMMANDS and len(free) > 1:
            longer = f"{name} {free[1][1]}"
            longer = longer.removesuffix(" ls") + (" list" if longer.endswith(" ls") else "")
            if longer in _COMMANDS:
                name, used = longer, 2
        # `opencode agent` alone prints help; read it as its harmless sibling
        spec = _COMMANDS.get(name) or Spec(name, HARMLESS)
    options, positionals, separator = _scan(words, spec)
    return Invocation(words, spec, options, positionals[used:], separator)


def _scan(words: tuple[str, ...], spec: Spec) -> tuple[list[Option], list[tuple[int, str]], int]:
    """The options, the free words, and where the `--` stands that ends both."""
    options: list[Option] = []
    positionals: list[tuple[int, str]] = []
    at = 0
    while at < len(words) and words[at] != "--":
        word = words[at]
        found = [] if _is_free(word) else _options(words, at, spec)
        if found:
            options.extend(found)
            at = found[-1].end
        else:
            positionals.append((at, word))
            at += 1
    return options, positionals, at


def _is_free(word: str) -> bool:
    dashes = len(word) - len(word.lstrip("-"))
    if dashes >= 3:
        return word[dashes : dashes + 1] in ("", "=")  # `---` and `---=x` name nothing
    return dashes == 0 or word == "-" or _is_negative(word)


def _options(words: tuple[str, ...], at: int, spec: Spec) -> list[Option]:
    word = words[at]
    if word.startswith("--"):
        return _long(words, at, spec)
    return _dotted(words, at, spec) or _short(words, at, spec)


def _long(words: tuple[str, ...], at: int, spec: Spec) -> list[Option]:
    # yargs matches names with `.`, which stops at a line break: `--attach\nx` is `--attach`
    line = _first_line(words[at])
    if "=" in line[3:]:
        name, _, value = words[at][2:].partition("=")
        if not name:
            name, _, value = "-", "", words[at][3:]
        name = kebab(name)
        if name in spec.arrays:
            end, more = _following(words, at + 1)
            return [Option(name, at, end, value, values=(value, *more))]
        return [Option(name, at, at + 1, value)]
    name = kebab(line[2:])
    if name.startswith("no-") and name != "no-":
        return [Option(name, at, at + 1, None)]
    if not name:
        return []
    return [_with_next(name, words, at, spec, "", short=False)]


def _dotted(words: tuple[str, ...], at: int, spec: Spec) -> list[Option]:
    """`-m.x VALUE`, which sets a field of an option."""
    word, line = words[at], _first_line(words[at])
    if line[2:3] != "." or len(line) < 4:
        return []
    if "=" in line[4:]:
        name, _, value = word[1:].partition("=")
        return [Option(name, at, at + 1, value)]
    name = line[1:]
    if at + 1 < len(words) and not words[at + 1].startswith("-"):
        return [Option(name, at, at + 2, words[at + 1])]
    return [Option(name, at, at + 1, None)]


def _short(words: tuple[str, ...], at: int, spec: Spec) -> list[Option]:
    units = _utf16(words[at][1:])
    found: list[Option] = []
    for index, letter in enumerate(units[:-1]):
        rest = units[index + 1 :]
        before = "".join(units[:index])
        if rest[0] == "=" and len(rest) > 1:
            value = _text(rest[1:])
            if letter not in spec.arrays:
                return [*found, Option(letter, at, at + 1, value, letters=before)]
            end, more = _following(words, at + 1)
            return [*found, Option(letter, at, end, value, values=(value, *more), letters=before)]
        if rest == ["-"]:
            # this letter gets the dash, and no other letter follows
            return [*found, Option(letter, at, at + 1, "-", letters=before)]
        numbered = letter.isascii() and letter.isalpha() and _is_number("".join(rest))
        if numbered or (len(rest) > 1 and not _is_word(rest[0])):
            return [*found, Option(letter, at, at + 1, _text(rest), letters=before)]
        found.append(Option(letter, at, at + 1, None, letters=before))
    found.append(_with_next(units[-1], words, at, spec, "".join(units[:-1]), short=True))
    return found


def _with_next(
    name: str, words: tuple[str, ...], at: int, spec: Spec, letters: str, *, short: bool
) -> Option:
    if name in spec.arrays:
        end, values = _following(words, at + 1)
        first = values[0] if values else None
        return Option(name, at, end, first, values=values, letters=letters)
    following = words[at + 1] if at + 1 < len(words) else None
    if following in ("true", "false") or (
        following is not None
        and name not in spec.booleans
        and (_is_negative(following) or not _looks_like_option(following, short=short))
    ):
        return Option(name, at, at + 2, following, letters=letters)
    return Option(name, at, at + 1, None, letters=letters)


def _looks_like_option(word: str, *, short: bool) -> bool:
    """Whether `word` is no value for the option before it.

    After a short one, yargs takes `-`, `--` and everything with three dashes as a value.
    """
    if not short:
        return word.startswith("-")
    return (word[:1] == "-" and word[1:2] not in ("", "-")) or (
        word[:2] == "--" and word[2:3] not in ("", "-")
    )


def _following(words: tuple[str, ...], start: int) -> tuple[int, tuple[str, ...]]:
    end = start
    while end < len(words) and (not words[end].startswith("-") or _is_negative(words[end])):
        end += 1
    return end, words[start:end]


def _first_line(word: str) -> str:
    for end in "\n\r\u2028\u2029":
        word = word.partition(end)[0]
    return word


def _utf16(text: str) -> list[str]:
    """`text` as JavaScript counts it: a character beyond U+FFFF is two."""
    if text.isascii():
        return list(text)
    units: list[str] = []
    for char in text:
        code = ord(char) - 0x10000
        units += char if code < 0 else (chr(0xD800 + (code >> 10)), chr(0xDC00 + (code & 0x3FF)))
    return units


def _text(units: list[str]) -> str:
    joined = "".join(units)
    if joined.isascii():
        return joined
    return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_negative(word: str) -> bool:
    """Whether yargs reads `word` as a negative number: `-1`, `-1.5` or `-.5`."""
    whole, point, part = word[1:].partition(".")
    if not word.startswith("-"):
        return False
    if point:
        return (not whole or _digits(whole)) and _digits(part)
    return _digits(whole)


def _is_number(text: str) -> bool:
    """Whether yargs takes `text`, which follows a letter, as the value of that letter."""
    mantissa, e, exponent = text.removeprefix("-").partition("e")
    whole, _, part = mantissa.partition(".")
    return (
        _digits(whole)
        and (not part or _digits(part))
        and (not e or _digits(exponent.removeprefix("-")))
    )


def kebab(name: str) -> str:
    """`name` with camelCase written with dashes: yargs takes both for the same option."""
    if name.islower():
        return name
    return "".join(f"-{c.lower()}" if c.isupper() and i else c for i, c in enumerate(name))
