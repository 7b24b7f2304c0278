"""`routeguard manual`: the manual page, made from the texts that `--help` shows."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import date
from textwrap import wrap

import click

from guard import __version__
from guard.errors import ExitCode

_ENVIRONMENT = (
    ("PORTKEY_API_KEY", "The gateway key, unless the policy names another source."),
    ("ROUTEGUARD_QUIET", "If it is 1, a launch that goes ahead says nothing."),
    ("NO_COLOR, FORCE_COLOR", "Never colour, always colour."),
    (
        "XDG_CONFIG_HOME, XDG_CACHE_HOME, XDG_STATE_HOME, XDG_DATA_HOME",
        "Where the files below are, instead of the folders shown. Never inside a project.",
    ),
)
_FILES = (
    ("/etc/routeguard/policy.toml", "The policy of this machine."),
    ("~/.config/routeguard/policy.toml", "Your policy."),
    (".routeguard.toml", "A project's policy. It can only tighten."),
    ("~/.config/routeguard/allowed.toml", "What routeguard allow wrote."),
    ("~/.local/state/routeguard/audit.jsonl", "One line for each launch."),
    ("~/.cache/routeguard/", "The compiled policy. It is made again when it is missing."),
)
# fish makes completions from every manual page that it finds: the options of all commands for each.
# Its tool passes over a page in which it reads this name.
_NOT_FOR_FISH = '.\\" no completions from here: builtin.1'


@click.command(
    hidden=True,
    epilog="""\b
Examples:
  routeguard manual > routeguard.1 && man ./routeguard.1""",
)
@click.pass_context
def manual(ctx: click.Context) -> int:
    """Print the manual page."""
    click.echo(page(root(ctx)), nl=False)
    return ExitCode.OK


def root(context: click.Context) -> click.Group:
    """The group of all commands."""
    found = context.find_root().command
    assert isinstance(found, click.Group)
    return found


def page(all_: click.Group) -> str:
    """The manual page in the macros of man(7); every visible command of `all_` is in it."""
    context = click.Context(all_, info_name="routeguard")
    lines = [
        f'.TH ROUTEGUARD 1 "{date.today()}" "routeguard {_text(__version__)}" "User Commands"',
        _NOT_FOR_FISH,
        ".SH NAME",
        f"routeguard \\- {_text(_first_sentence(all_))}",
        ".SH SYNOPSIS",
        ".B routeguard",
        _text("[OPTIONS] COMMAND [ARGS]..."),
        ".SH DESCRIPTION",
        *list(_paragraphs(all_.help))[1:],  # no paragraph begins a section
        *_paragraphs(all_.epilog),
        *_options(all_, context),
        ".SH COMMANDS",
    ]
    for command, inner in _commands(all_, context):
        name = inner.command_path
        usage = " ".join(command.collect_usage_pieces(inner))
        lines += [f".SS {_text(name)}", f".B {_text(name)}", _text(usage)]
        lines += [*_paragraphs(command.help), *_options(command, inner)]
        lines += _paragraphs(command.epilog)
    for title, entries in (("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        lines.append(f".SH {title}")
        for term, text in entries:
            lines += [".TP", f".B {_text(term)}", _text(text)]
    lines += [
        ".SH SEE ALSO",
        _text("The pages in docs/ of the source: launch.md, policy.md, rules.md."),
    ]
    return "\n".join(lines) + "\n"


def _commands(
    group: click.Group, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """Every visible command below `group`, a group before its own."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        yield command, inner
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """A paragraph for each option."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        # the same in every command
        if record and "--help" not in parameter.opts:
            yield from (".TP", f".B {_text(record[0])}", *(_folded(record[1]) or ["\\&"]))


def _paragraphs(text: str | None) -> Iterator[str]:
    """A text as click takes it: blank lines between paragraphs, `\\b` before one kept as it is."""
    for paragraph in inspect.cleandoc(text or "").split("\f")[0].split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        if lines == [""]:
            continue
        yield ".PP"
        if lines[0].strip() == "\b":
            yield from (".nf", *(_text(line) or "\\&" for line in lines[1:]), ".fi")
        else:
            yield from _folded(paragraph)


def _folded(text: str) -> list[str]:
    """`text` in lines of a file; where they break means nothing to roff."""
    # a hyphen at the end of a line would stay in the word
    return [_text(line) for line in wrap(" ".join(text.split()), 72, break_on_hyphens=False)]


def _first_sentence(command: click.Command) -> str:
    return command.get_short_help_str(200).rstrip(".")


def _text(text: str) -> str:
    """`text` with everything escaped that roff reads as its own."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    text = text.replace('"', "\\(dq").replace("^", "\\(ha").replace("~", "\\(ti")
    return "\\&" + text if text.startswith((".", "'")) else text
