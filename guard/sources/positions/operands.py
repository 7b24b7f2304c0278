"""Which words of a program that starts another one are the other's."""

from __future__ import annotations

import re

from guard.catalog import runners
from guard.catalog.starters import Wrapper
from guard.sources.positions.text import Text
from guard.sources.shell_commands import ShellAssignment, Word
from guard.sources.shell_commands.words import as_assignment


def takes_next(shown: str, short: str, long: frozenset[str]) -> bool:
    """Whether the option `shown` takes the next word: the letters of `short` and `long` do."""
    if shown.startswith("--"):
        return shown in long
    # the last letter of a cluster gets the next word; one in the middle has what follows it
    return len(shown) > 1 and shown[-1] in short and not any(c in short for c in shown[1:-1])


def behind_options(words: list[Word], wrapper: Wrapper) -> list[Word]:
    """The words behind the options at the front."""
    at = 0
    while at < len(words):
        shown = words[at].shown
        if shown == "--":
            return words[at + 1 :]
        if not shown.startswith("-") or shown == "-":
            break
        at += 2 if takes_next(shown, wrapper.short, wrapper.long) else 1
    return words[at:]


def unwrapped(words: list[Word], wrapper: Wrapper) -> tuple[list[Word], list[ShellAssignment]]:
    """The command that `wrapper` starts with the arguments `words`, and what is set for it."""
    behind = behind_options(words, wrapper)
    if _is_idle(words[: len(words) - len(behind)], wrapper):
        return [], []
    words = behind
    if wrapper.assigns and words and words[0].shown == "-":
        words = behind_options(words[1:], wrapper)  # `env -` is `env -i`
    environment: list[ShellAssignment] = []
    at = 0
    while wrapper.assigns and at < len(words):
        assignment = as_assignment(words[at], quoted=True)
        if assignment is None:
            break
        environment.append(assignment)
        at += 1
    return words[at + wrapper.skip :], environment


def _is_idle(options: list[Word], wrapper: Wrapper) -> bool:
    """Whether one of `options` has `wrapper` start no command."""
    taken = False
    for word in options:
        shown = word.shown
        if taken:
            taken = False
            continue
        if shown in wrapper.idle:
            return True
        if not shown.startswith("--"):
            for letter in shown[1:]:
                if letter in wrapper.short:
                    break
                if letter in wrapper.idle:
                    return True
        taken = takes_next(shown, wrapper.short, wrapper.long)
    return False


def replaced(options: list[Word]) -> str:
    """The text in whose place xargs puts its input, "" if it adds words at the end."""
    for word, after in zip(options, [*options[1:], None], strict=False):
        found = re.fullmatch(r"-([IJi])(.*)|--replace(?:=(.*))?", word.shown)
        if found is not None:
            upper = found.group(1) in ("I", "J")
            return (
                found.group(2) or found.group(3) or (after.shown if upper and after else "") or "{}"
            )
    return ""


def given(words: list[Word], replaced: str, text: Text) -> list[Word]:
    """`words` with the input `text` of xargs."""
    if not replaced:
        return [*words, *_as_words(text)]
    return [Word(text, w.start, w.end) if w.shown == replaced else w for w in words]


def _as_words(text: Text) -> list[Word]:
    """The words that xargs makes of `text`, a few of them."""
    found = []
    for match in list(re.finditer(r"\S+", text.value))[:8]:
        part = text[match.start() : match.end()]
        found.append(Word(part, part.start, part.end))
    return found


def fetched(words: list[Word], run: runners.Run) -> list[Word]:
    """The package and its arguments; without them the package that an option names."""
    if run.command < 0:
        return [words[index] for index in run.packages[:1]] if not run.texts else []
    rest = words[run.command :]
    if len(rest) > 1 and rest[1].shown == "--":
        # `npm exec PACKAGE -- ARGUMENTS`
        rest = [rest[0], *rest[2:]]
    return rest
