"""A command line as an agent's grammar reads it, and what a launch refuses of every such one.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.kinds import LOCAL, REMOTE, SERVER
from guard.findings import Finding
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from guard.agents import Identity

FLAG, ONE, MAYBE, MANY = "flag", "one", "maybe", "many"
"""What an option takes: nothing, one word, one word unless it begins with a dash, or one word and
every further one up to the next that does."""


def each(takes: str, names: str) -> dict[str, str]:
    """A row of a table of options for each of `names`, which blanks separate."""
    return dict.fromkeys(names.split(), takes)


def words(names: str) -> frozenset[str]:
    """The set of `names`, which blanks separate."""
    return frozenset(names.split())


def looks_like_option(word: str) -> bool:
    """Whether `word` begins with a dash; a dash alone is a word."""
    return word.startswith("-") and word != "-"


class Option(Record):
    """One option as it stands: `argv[start:end]`, its name, and its values.

    `letters` is what stands before it in a cluster (`c` in `-cm X`); `negated` tells that it was
    written to switch the option off.
    """

    name: str
    start: int
    end: int
    values: tuple[str, ...] = ()
    letters: str = ""
    negated: bool = False

    @property
    def value(self) -> str | None:
        """Its first value, None without one."""
        return self.values[0] if self.values else None


class Command(Record):
    """A row of an agent's table of commands: the name ("" for the root), and the kind of launch.

    `why` says what a command does that no launch may, `rule` under which rule it is refused, and
    `instead` what to type, where that is not the rule of the kind and the agent's usual command.
    """

    name: str
    kind: str
    why: str = ""
    instead: str = ""
    rule: str = ""


class CommandLine:
    """The arguments `argv` as an agent reads them.

    `operands` are the indices of the words that are no options, without those of the command;
    `separator` is the index of the `--` that ends the options, the length without one.
    """

    __slots__ = ("argv", "command", "operands", "options", "separator")

    def __init__(self, argv: Sequence[str], command: Any) -> None:
        self.argv = tuple(argv)
        self.command = command
        self.options: list[Option] = []
        self.operands: list[int] = []
        self.separator = len(self.argv)

    @property
    def kind(self) -> str:
        """Which kind of launch this is, a constant of `guard.agents.kinds`."""
        kind: str = self.command.kind
        return kind

    @property
    def words(self) -> list[str]:
        """The words that are no options."""
        return [self.argv[index] for index in self.operands]

    def named(self, *names: str) -> list[Option]:
        """The options called one of `names`, in their order."""
        return [option for option in self.options if option.name in names]

    def values(self, *names: str) -> list[str]:
        """The values of the options `names`, each time that one is given."""
        return [value for option in self.named(*names) for value in option.values]

    def again(self, argv: Sequence[str]) -> Any:
        """The arguments `argv`, read by the same grammar."""
        return __import__(type(self).__module__, fromlist=["read"]).read(argv)


_RULES = {LOCAL: "RG302", REMOTE: "RG202", SERVER: "RG203"}


def judge_command(invocation: CommandLine, agent: Identity, instead: str) -> list[Finding]:
    """The finding for a command that no launch starts; `instead` is what to type."""
    row = invocation.command
    if not row.why:
        return []
    message = f"`{agent.names[0]} {row.name}` {row.why}"
    rule, fix = row.rule or _RULES[row.kind], row.instead or instead
    return [Finding(rule, row.name, message, where="command line", fix=fix)]


def judge_options(invocation: CommandLine, refused: Mapping[str, tuple[str, str]]) -> list[Finding]:
    """A finding for each option in `refused`: the rule, and what it does."""
    found = []
    for option in invocation.named(*refused):
        rule, why = refused[option.name]
        message = f"{option.name} {why}"
        found.append(Finding(rule, option.name, message, where="command line", fix="leave it out"))
    return found
