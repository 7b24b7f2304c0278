"""What the command lines of agents have in common, once an agent's grammar has read them.

Hot-path module.
"""

from __future__ import annotations

from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Option(Record):
    """One option as it stands: `argv[start:end]`, its name, and its values."""

    name: str
    start: int
    end: int
    values: tuple[str, ...]


class CommandLine:
    """The arguments `argv` as an agent reads them: `command` is the row of its own table.

    `operands` are the indices of the words that are no options, without those of the subcommand;
    `separator` is the index of the `--`, the length without one.
    """

    __slots__ = ("argv", "command", "operands", "options", "separator")

    def __init__(self, argv: list[str], command: Any) -> None:
        self.argv = argv
        self.command = command
        self.options: list[Option] = []
        self.operands: list[int] = []
        self.separator = len(argv)

    def named(self, *names: str) -> list[Option]:
        """The options called one of `names`, in their order."""
        return [option for option in self.options if option.name in names]
