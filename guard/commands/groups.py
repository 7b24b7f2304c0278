"""What all commands share: how they are loaded, how help looks, how a mistake is said."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from guard.commands.overview import Overview, paragraphs
from guard.errors import UsageError, either, listed, printable

_Command = TypeVar("_Command", bound=click.Command)


class Formatter(click.HelpFormatter):
    """Help at the width of the terminal: examples are folded too, and keep their columns."""

    def write_text(self, text: str) -> None:
        """Write paragraphs; one that begins with `\\b` keeps its lines, folded where they must."""
        self.write(paragraphs(text, self.width, " " * self.current_indent) + "\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write a list of definitions; a range of numbers in one is said in words."""
        super().write_dl(
            [(word, _range_in_words(text)) for word, text in rows], col_max, col_spacing
        )


click.Context.formatter_class = Formatter

_OTHER_NAMES = {
    "routeguard allow key": "routeguard allow env",
    "routeguard allow remove": "routeguard allow revoke",
    "routeguard allow var": "routeguard allow env",
    "routeguard allow variable": "routeguard allow env",
    "routeguard init": "routeguard setup",
    "routeguard install": "routeguard setup",
    "routeguard portkey setup": "routeguard setup",
    "routeguard ports watch": "routeguard watch",
    "routeguard shim remove": "routeguard shim uninstall",
    "routeguard uninstall": "routeguard teardown",
    "routeguard version": "routeguard --version",
}
"""What a command was called once, or is elsewhere: what it is called here."""
_OTHER_OPTIONS = {
    "routeguard ports --watch": "routeguard watch",
}
_RANGE = re.compile(r"([\d.]+?)(?:\.0)?<=x<=([\d.]+?)(?:\.0)?(?=\.?$|\])")


def _range_in_words(text: str) -> str:
    return _RANGE.sub(r"\1 to \2", text)


def with_help(command: _Command) -> _Command:
    """`command` with `-h`, however its context was made: click keeps the option it made first."""
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])
    command.get_help_option(click.Context(command, **command.context_settings))
    return command


def as_typed(path: str, words: Sequence[str]) -> str:
    """The command `path` with `words`, in a form that can be pasted."""
    return " ".join((path, *(printable(shlex.quote(word)) for word in words)))


class Group(click.Group):
    """A group that lists its commands with whole sentences, and says what was meant."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        super().add_command(with_help(cmd), name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        known = self.get_command(ctx, word) is not None
        if not known and not ctx.resilient_parsing and not word.startswith("-"):
            raise UsageError(
                f"no such command: {ctx.command_path} {printable(word)}",
                fix="\n".join(self.meant(ctx, args)),
            )
        return super().resolve_command(ctx, args)

    def meant(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Lines that say what was probably meant by `args`, of which the first is no command."""
        successor = _OTHER_NAMES.get(f"{ctx.command_path} {args[0]}")
        if successor:
            command = successor.partition(" --")[0]
            return [f"it is called:\n{successor}", f"{command} --help"]
        own = self.list_commands(ctx)
        if args[0] == "help":
            meant = [[*args[1:2], "--help"]] if args[1:2] and args[1] in own else []
        else:
            meant = [[near, *args[1:]] for near in get_close_matches(args[0], own, n=1)]
        meant = meant or self._below(ctx, args)
        said = [as_typed(ctx.command_path, words) for words in meant]
        every = f"{ctx.command_path} --help"
        return [f"did you mean:\n{either(*said)}", f"all commands:\n{every}"] if said else [every]

    def _below(self, ctx: click.Context, args: list[str]) -> list[list[str]]:
        """The commands of the groups in this one that are called as `args` begins."""
        found = []
        for name in self.list_commands(ctx):
            group = self.get_command(ctx, name)
            if isinstance(group, click.Group) and args[0] in group.list_commands(ctx):
                if args[1:2] == [name]:  # in the wrong order
                    return [[name, args[0], *args[2:]]]
                found.append([name, *args])
        return found

    def summaries(self, ctx: click.Context) -> Mapping[str, Mapping[str, str]]:
        """The commands and what they do, below their heading."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return {"Commands": {name: summary(one) for name, one in found if one and not one.hidden}}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in self.summaries(ctx).items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        commands = [
            CompletionItem(name, help=text)
            for listed in self.summaries(ctx).values()
            for name, text in listed.items()
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)


class LazyGroup(Group):
    """A group whose commands are imported when they are asked for, not before.

    `targets` maps a command's name to `module:attribute`; other commands can be added. With an
    `overview`, help and completion import no command either.
    """

    def __init__(
        self,
        *args: Any,
        targets: Mapping[str, str],
        overview: Overview | None = None,
        **settings: Any,
    ) -> None:
        if overview is not None:
            settings.update(help=overview.help, epilog=overview.epilog)
        super().__init__(*args, **settings)
        self.targets = targets
        self.overview = overview

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.targets, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = self.targets.get(cmd_name)
        if target is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return with_help(command)

    def summaries(self, ctx: click.Context) -> Mapping[str, Mapping[str, str]]:
        return self.overview.summaries if self.overview else super().summaries(ctx)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.overview is None:
            super().format_help(ctx, formatter)
        else:
            formatter.write(self.overview.text(formatter.width) + "\n")


def summary(command: click.Command) -> str:
    """The first sentence of a command's help, without its full stop."""
    return command.get_short_help_str(limit=200).rstrip(".")


def usage_error(error: click.ClickException) -> UsageError:
    """What click found wrong with the words of a command, as every error is said."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    fix = [f"{ctx.command_path if ctx else 'routeguard'} --help"]
    what = error.format_message()
    if isinstance(error, click.NoSuchOption):
        what = f"no such option: {printable(error.option_name)}"
        successor = _OTHER_OPTIONS.get(f"{ctx.command_path if ctx else ''} {error.option_name}")
        if successor:
            fix.insert(0, f"it is called:\n{successor}")
        elif error.possibilities:
            fix.insert(0, f"did you mean: {error.possibilities[0]}")
    elif isinstance(error, click.BadParameter) and error.param is not None:
        name = error.param.get_error_hint(ctx).strip("'") if ctx else error.param.name
        if isinstance(error, click.MissingParameter):
            what = f"missing: {name}"
        else:
            name = name.strip("[].").lower()
            kind = error.param.type
            if isinstance(kind, click.Choice) and error.message.count("'") >= 2:
                command = "" if name.startswith("-") or not ctx else ctx.command_path
                given = error.message.split("'")[1]
                return _no_choice(name, given, [*kind.choices], fix, command)
            # click's names of its types are no English
            message = re.sub(r"a valid (integer|float)( range)?", "a number", error.message)
            message = _range_in_words(message).replace("is not in the range", "is not from")
            what = f"{name}: {message}"
    what = re.sub(r"Got unexpected extra (arguments?) \((.*)\)$", r"unexpected \1: \2", what)
    return UsageError(printable(what[:1].lower() + what[1:]).rstrip("."), fix="\n".join(fix))


def _no_choice(
    name: str, given: str, choices: Sequence[str], fix: Sequence[str], command: str
) -> UsageError:
    """The error for a value `given` to `name` that is none of the `choices`.

    `command` is the one that takes it as a word, "" for an option.
    """
    what = f"{name} cannot be" if name.startswith("-") else f"no such {name}:"
    near = get_close_matches(given, choices, n=1, cutoff=0.7)
    meant = f"did you mean:\n{command} " if command else f"did you mean: {name} "
    return UsageError(
        printable(f"{what} {given}"),
        why=listed("it is one of", choices),
        fix="\n".join([*(meant + one for one in near), *fix]),
    )
