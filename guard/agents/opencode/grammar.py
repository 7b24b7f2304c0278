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

from guard.agents.command_line import Command, CommandLine, Option, words
from guard.agents.kinds import GUARDED, HARMLESS, LOCAL, REMOTE, SERVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_GLOBAL_BOOLEANS = words("help h version v print-logs pure")
_GLOBAL_STRINGS = words("log-level")
_MODEL = words("model m")
_SESSION = "continue c fork auto yolo dangerously-skip-permissions mini replay demo"
_NETWORK = "port hostname mdns-domain"
NETWORK = words(f"{_NETWORK} mdns cors")
"""Options that make the agent listen for other programs."""


class Row(Command):
    """A command and its options: which are switches, and which take a word or every further one.

    `kind`: HARMLESS makes no model call and opens no project, LOCAL makes none but opens the
    project, with its plugins and MCP servers, GUARDED may make a call, SERVER lets other programs
    make them, REMOTE hands them to another server. That `mcp list`, `agent list`, `session list`,
    `stats`, `export` and `debug info` run a project's plugins was observed on 1.18.33; so was that
    those left HARMLESS here do not. `model` tells that it takes `--model`.
    """

    booleans: frozenset[str] = _GLOBAL_BOOLEANS
    strings: frozenset[str] = _GLOBAL_STRINGS
    arrays: frozenset[str] = frozenset()
    model: bool = False


def _row(
    name: str,
    kind: str,
    booleans: str = "",
    strings: str = "",
    arrays: str = "",
    *,
    model: bool = False,
) -> Row:
    return Row(
        name,
        kind,
        booleans=words(booleans) | _GLOBAL_BOOLEANS,
        strings=words(strings) | _GLOBAL_STRINGS | (_MODEL if model else frozenset()),
        arrays=words(arrays),
        model=model,
    )


_TOP_LEVEL = Row("", GUARDED)

_ROOT = _row(
    "",
    GUARDED,
    f"{_SESSION} mdns",
    f"{_NETWORK} session s prompt agent replay-limit project",
    "cors",
    model=True,
)

_COMMANDS = {
    row.name: row
    for row in (
        _row(
            "run",
            GUARDED,
            f"{_SESSION} share thinking interactive i",
            "command session s agent format title attach password p username u dir port variant "
            "replay-limit",
            "file f message",
            model=True,
        ),
        *(
            _row(name, SERVER, "mdns", f"{_NETWORK} cwd", "cors")
            for name in ("serve", "web", "acp")
        ),
        _row("attach", REMOTE, _SESSION, "dir session s password p username u replay-limit url"),
        _row("models", GUARDED, "verbose refresh"),
        _row("pr", GUARDED),
        _row("debug", GUARDED, "", "tool params"),
        _row("agent list", LOCAL),
        _row("agent create", GUARDED, "", "path description mode permissions tools", model=True),
        _row("github run", GUARDED, "", "event token"),
        _row("github install", LOCAL),
        _row("providers", LOCAL),
        _row("providers list", HARMLESS),
        _row("providers login", LOCAL, "", "url provider p method m"),
        _row("providers logout", HARMLESS),
        _row("mcp", LOCAL, "", "", "env header"),
        _row("session", LOCAL),
        _row("plugin", LOCAL, "global g force f"),
        _row("export", LOCAL, "sanitize"),
        _row("import", LOCAL),
        _row("stats", LOCAL),
        _row("db", HARMLESS),
        _row("upgrade", HARMLESS),
        _row("uninstall", HARMLESS, "keep-config c keep-data d dry-run force f"),
        _row("completion", HARMLESS),
        _row("console", HARMLESS),
        _row("generate", HARMLESS),
        # printing where files lie makes no call and must work when nothing else does
        _row("debug paths", HARMLESS),
        _row("debug info", LOCAL),
    )
}
_WITH_SUBCOMMANDS = ("agent", "debug", "github", "providers")
_ALIASES = {"auth": "providers", "plug": "plugin"}
_NAMES = frozenset(name.partition(" ")[0] for name in _COMMANDS)


class Invocation(CommandLine):
    """A command line as opencode reads it."""

    __slots__ = ()

    command: Row

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

    @property
    def kind(self) -> str:
        """What kind of launch this is; see Row."""
        return HARMLESS if self.asks_for_help() else self.command.kind


def read(argv: Sequence[str]) -> Invocation:
    """Read `argv` (without the program name) as opencode 1.x does. Never fails."""
    typed = tuple(argv)
    _, free, _ = _scan(typed, _TOP_LEVEL)
    row, used = _ROOT, 0
    first = _ALIASES.get(typed[free[0]], typed[free[0]]) if free else ""
    if first in _NAMES:
        name, used = first, 1
        if name in _WITH_SUBCOMMANDS and len(free) > 1:
            longer = f"{name} {typed[free[1]]}"
            longer = longer.removesuffix(" ls") + (" list" if longer.endswith(" ls") else "")
            if longer in _COMMANDS:
                name, used = longer, 2
        # `opencode agent` alone prints help; read it as its harmless sibling
        row = _COMMANDS.get(name) or Row(name, HARMLESS)
    found = Invocation(typed, row)
    found.options, operands, found.separator = _scan(typed, row)
    found.operands = operands[used:]
    return found


def _scan(words: tuple[str, ...], row: Row) -> tuple[list[Option], list[int], int]:
    """The options, the indices of the free words, and where the `--` stands that ends both."""
    options: list[Option] = []
    operands: list[int] = []
    at = 0
    while at < len(words) and words[at] != "--":
        word = words[at]
        found = [] if _is_free(word) else _options(words, at, row)
        if found:
            options.extend(found)
            at = found[-1].end
        else:
            operands.append(at)
            at += 1
    return options, operands, at


def _is_free(word: str) -> bool:
    dashes = len(word) - len(word.lstrip("-"))
    if dashes >= 3:
        return word[dashes : dashes + 1] in ("", "=")  # `---` and `---=x` name nothing
    return dashes == 0 or word == "-" or _is_negative(word)


def _options(words: tuple[str, ...], at: int, row: Row) -> list[Option]:
    word = words[at]
    if word.startswith("--"):
        return _long(words, at, row)
    return _dotted(words, at) or _short(words, at, row)


def _long(words: tuple[str, ...], at: int, row: Row) -> list[Option]:
    # yargs matches names with `.`, which stops at a line break: `--attach\nx` is `--attach`
    line = _first_line(words[at])
    if "=" in line[3:]:
        name, _, value = words[at][2:].partition("=")
        if not name:
            name, _, value = "-", "", words[at][3:]
        name = kebab(name)
        if name in row.arrays:
            end, more = _following(words, at + 1)
            return [Option(name, at, end, (value, *more))]
        return [Option(name, at, at + 1, (value,))]
    name = kebab(line[2:])
    if name.startswith("no-") and name != "no-":
        return [Option(name, at, at + 1)]
    if not name:
        return []
    return [_with_next(name, words, at, row, "", short=False)]


def _dotted(words: tuple[str, ...], at: int) -> list[Option]:
    """`-m.x VALUE`, which sets a field of an option."""
    word, line = words[at], _first_line(words[at])
    if line[2:3] != "." or len(line) < 4:
        return []
    if "=" in line[4:]:
        name, _, value = word[1:].partition("=")
        return [Option(name, at, at + 1, (value,))]
    name = line[1:]
    if at + 1 < len(words) and not words[at + 1].startswith("-"):
        return [Option(name, at, at + 2, (words[at + 1],))]
    return [Option(name, at, at + 1)]


def _short(words: tuple[str, ...], at: int, row: Row) -> list[Option]:
    units = _utf16(words[at][1:])
    found: list[Option] = []
    for index, letter in enumerate(units[:-1]):
        rest = units[index + 1 :]
        before = "".join(units[:index])
        if rest[0] == "=" and len(rest) > 1:
            value = _text(rest[1:])
            if letter not in row.arrays:
                return [*found, Option(letter, at, at + 1, (value,), before)]
            end, more = _following(words, at + 1)
            return [*found, Option(letter, at, end, (value, *more), letters=before)]
        if rest == ["-"]:
            # this letter gets the dash, and no other letter follows
            return [*found, Option(letter, at, at + 1, ("-",), before)]
        numbered = letter.isascii() and letter.isalpha() and _is_number("".join(rest))
        if numbered or (len(rest) > 1 and not _is_word(rest[0])):
            return [*found, Option(letter, at, at + 1, (_text(rest),), before)]
        found.append(Option(letter, at, at + 1, (), before))
    found.append(_with_next(units[-1], words, at, row, "".join(units[:-1]), short=True))
    return found


def _with_next(
    name: str, words: tuple[str, ...], at: int, row: Row, letters: str, *, short: bool
) -> Option:
    if name in row.arrays:
        end, values = _following(words, at + 1)
        return Option(name, at, end, values, letters)
    following = words[at + 1] if at + 1 < len(words) else None
    if following in ("true", "false") or (
        following is not None
        and name not in row.booleans
        and (_is_negative(following) or not _looks_like_option(following, short=short))
    ):
        return Option(name, at, at + 2, (following,), letters)
    return Option(name, at, at + 1, (), letters)


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
