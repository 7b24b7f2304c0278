"""What the detectors of structured files share: parsing into notes, variables out of maps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.files.read import BeyondLimitsError, MalformedError
from guard.late import late
from guard.rules.files.calls import check_script, check_texts
from guard.rules.files.scope import Scope, Span, between
from guard.rules.files.variables import check_variable
from guard.sources.positions import json_nodes
from guard.sources.positions.formats import documents
from guard.sources.positions.nodes import LIST, MAP, SCALAR, Node
from guard.sources.positions.shell_calls import Script, read_words
from guard.sources.positions.templates import filled, is_template, plain_name
from guard.sources.positions.text import Text, joined
from guard.sources.shell_commands import Word, unquoted

if TYPE_CHECKING:
    from guard.findings import Finding


def parse(scope: Scope, *, by_name: bool = True) -> tuple[list[Node], list[Finding]]:
    """The roots of a YAML, JSON or TOML file by its suffix, and what is said if it is not read.

    A template of one is read as what the template makes, as far as that can be told.

    A note, as what the file is for cannot parse it either; an error where it is only too long or
    too deep, so that whoever writes it can keep the rest from being checked. That is a note too
    where the file is not `by_name` what it is: long ones are made by programs.
    """
    file = scope.file
    name = plain_name(file.name)
    template = is_template(file.text)
    texts = [file.text]
    if template:
        texts.insert(0, filled(file.text, quote=name.lower().endswith((".json", ".jsonc"))))
    for text in texts:
        try:
            return documents(name, text), []
        except MalformedError as error:
            failure = error
    place = Span(failure.offset, failure.offset)
    message = f"the {'template' if template else 'file'} {failure}"
    if by_name and isinstance(failure, BeyondLimitsError):
        return [], [scope.unchecked(place, f"{message}, so it was not checked")]
    return [], [scope.finding("RG903", place, file.path, message)]


_EXPRESSION = late(
    r"\$\{\{.*?\}\}|\$\[\[.*?\]\]|\{\{.*?\}\}|<<\s*[\w.]+\s*>>|\$\(([A-Za-z_][\w.]*)\)", re.S
)
_LAST_NAME = late(r"[A-Za-z_]\w*")


def expressions_out(text: Text) -> Text:
    """Shell text with the expressions of the tool that runs it as expansions of the shell."""
    if not any(mark in text.value for mark in ("{{", "<<", "$(", "$[[")):
        return text
    parts = []
    at = 0
    for match in _EXPRESSION.finditer(text.value):
        if match.group(1) and "." not in match.group(1) and not match.group(1).isupper():
            continue  # `$(date)` runs a program; Azure's macros are usually `$(a.b)` or upper-case
        parts.append(text[at : match.start()])
        # the last name of the expression, so that the gateway's secret is still known as that
        named = _LAST_NAME.findall(match.group())
        shown = f"${{_{named[-1] if named else ''}}}"
        places = [text.places[match.start()]] * len(shown) + [text.places[match.end()]]
        parts.append(Text(shown, places))
        at = match.end()
    parts.append(text[at:])
    return joined(parts)


def check_variables(scope: Scope, node: Node | None) -> Iterator[Finding]:
    """Findings for a map of variables, or a list of `NAME=value` and `NAME` strings.

    A map's value may itself be a map with the key `value`, as in GitLab CI.
    """
    if node is None:
        return
    if node.kind == MAP:
        for key, value in node.entries():
            inner: Node | None = value.get("value") if value.kind == MAP else value
            if inner is None and any(value.get(name) is not None for name in _ELSEWHERE):
                yield from check_variable(scope, key.value, None, key)
                continue
            if inner is None or inner.kind != SCALAR:
                continue
            shown: str | None = inner.value
            if not inner.quoted and shown in ("", "null", "~"):
                # compose hands the variable on under the same name; elsewhere it stays empty
                if scope.ci or inner.start != inner.end:
                    continue
                shown = None
            place = Span(key.start, max(key.end, inner.text.end))
            yield from check_variable(scope, key.value, shown, place)
    elif node.kind == LIST:
        for item in node.items:
            if item.kind == MAP:
                # `- name: A` / `value: b`, and `- A: b`
                name, given = item.get("name") or item.get("key"), item.get("value")
                if name is not None and given is not None and given.kind == SCALAR:
                    yield from check_variable(scope, name.value, given.value, between(name, given))
                elif name is not None and any(item.get(key) is not None for key in _ELSEWHERE):
                    yield from check_variable(scope, name.value, None, name)
                elif name is None:
                    yield from check_variables(scope, item)
            else:
                yield from check_pair(scope, item.text)


_ELSEWHERE = ("valueFrom", "from_secret", "secret", "sh", "vault", "fromService", "fromGroup")
"""Keys of a variable whose value another place has: Kubernetes, Drone, Taskfile, Render."""


def check_pair(scope: Scope, text: Text) -> Iterator[Finding]:
    """Findings for `NAME=value`, or for a `NAME` that is handed on."""
    name, equals, value = text.value.partition("=")
    yield from check_variable(scope, name, value if equals else None, text)


def check_command(scope: Scope, node: Node | None) -> Iterator[Finding]:
    """Findings for a command that is a text, or a list of words as a program gets them; and for
    a list of those."""
    if node is None:
        return
    if any(item.kind == LIST for item in node.items):
        for item in node.items:
            yield from check_command(scope, item)
        return
    if node.kind == SCALAR:
        yield from check_texts(scope, [node.text])
    elif node.kind == LIST:
        yield from check_words(scope, _words(node))


def check_call(scope: Scope, command: Node | None, arguments: Node | None) -> Iterator[Finding]:
    """Findings for a program and its arguments, as MCP servers, pods and tasks have them.

    Each is a text or a list of words; an argument may be a map with the key `value`, as in VS
    Code's tasks. One alone is a whole command.
    """
    if command is None or arguments is None:
        yield from check_command(scope, command or arguments)
    elif command.kind == SCALAR and _OPERATOR.search(command.value):
        line = [command.text, *(word.content for word in _words(arguments))]
        yield from check_texts(scope, [joined(line, " ")])
    else:
        yield from check_words(scope, [*_words(command), *_words(arguments)])


_OPERATOR = late(r"[;&|\n]")


def _words(node: Node) -> list[Word]:
    if node.kind == SCALAR:
        return split_words(node.text)
    values = [item.get("value") or item if item.kind == MAP else item for item in node.items]
    return [_argument(value.text) for value in values if value.kind == SCALAR]


def _argument(text: Text) -> Word:
    return Word(text, text.start, text.end, literal="$" not in text.value)


def check_words(scope: Scope, words: list[Word]) -> Iterator[Finding]:
    """Findings for the call in a list of words, and what it starts in turn."""
    yield from check_script(scope, read_words(words) if words else Script())


def exec_form(text: Text) -> Node | None:
    """`text` as a JSON list of words, as Dockerfiles have them; None if it is none."""
    stripped = text.strip()
    if not stripped.value.startswith("["):
        return None
    try:
        found = json.loads(stripped.value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        return None
    node = json_nodes.document(stripped.value)
    # from offsets in the text to offsets in the file
    for item in node.items:
        places = [stripped.places[p] for p in item.text.places]
        item.text = Text(item.text.value, places)
        item.start, item.end = stripped.places[item.start], stripped.places[item.end]
    return node


def split_words(text: Text) -> list[Word]:
    """The words of `text`, split at white space outside of quotes; nothing else has a meaning."""
    words = []
    value = text.value
    at = 0
    while at < len(value):
        if value[at].isspace():
            at += 1
            continue
        start, quote = at, ""
        while at < len(value) and (quote or not value[at].isspace()):
            if value[at] == "\\":
                at += 1
            elif quote:
                quote = "" if value[at] == quote else quote
            elif value[at] in "'\"":
                quote = value[at]
            at += 1
        words.append(unquoted(text[start : min(at, len(value))]))
    return words
