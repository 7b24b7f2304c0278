"""What the detectors of structured files share: parsing into notes, variables out of maps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.rules.files.calls import check_script, check_texts
from guard.rules.files.scope import Scope, Span, between
from guard.rules.files.variables import check_variable
from guard.sources.positions import json_nodes, toml_nodes, yaml_nodes
from guard.sources.positions.nodes import LIST, MAP, SCALAR, MalformedError, Node
from guard.sources.positions.shell_calls import Script, follow
from guard.sources.positions.text import Text
from guard.sources.shell_commands import Word, unquoted

if TYPE_CHECKING:
    from guard.findings import Finding


def parse(scope: Scope) -> tuple[list[Node], list[Finding]]:
    """The roots of a YAML, JSON or TOML file by its suffix, and a note if it cannot be parsed."""
    text = scope.file.text
    try:
        return documents(scope.file.name, text), []
    except MalformedError as error:
        place = Span(error.offset, error.offset)
        return [], [scope.finding("RG903", place, scope.file.path, f"the file {error}")]


def documents(name: str, text: str) -> list[Node]:
    """The roots of `text` in the format that `name` ends with, else JSON; of nothing none.

    Raises MalformedError.
    """
    name = name.lower()
    if name.endswith((".yml", ".yaml")):
        return yaml_nodes.documents(text)
    if name.endswith(".toml"):
        return [toml_nodes.document(text)]
    return [json_nodes.document(text)] if text.strip() else []


def check_variables(scope: Scope, node: Node | None) -> Iterator[Finding]:
    """Findings for a map of variables, or a list of `NAME=value` and `NAME` strings.

    A map's value may itself be a map with the key `value`, as in GitLab CI.
    """
    if node is None:
        return
    if node.kind == MAP:
        for key, value in node.entries():
            inner: Node | None = value.get("value") if value.kind == MAP else value
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
                elif name is not None and item.get("valueFrom") is not None:
                    yield from check_variable(scope, name.value, None, name)
                elif name is None:
                    yield from check_variables(scope, item)
            else:
                yield from check_pair(scope, item.text)


def check_pair(scope: Scope, text: Text) -> Iterator[Finding]:
    """Findings for `NAME=value`, or for a `NAME` that is handed on."""
    name, equals, value = text.value.partition("=")
    yield from check_variable(scope, name, value if equals else None, text)


def check_command(scope: Scope, node: Node | None) -> Iterator[Finding]:
    """Findings for a command that is a text, or a list of words as a program gets them."""
    if node is None:
        return
    if node.kind == SCALAR:
        yield from check_texts(scope, [node.text])
    elif node.kind == LIST:
        words = [item.text for item in node.items if item.kind == SCALAR]
        yield from check_words(scope, list(map(_argument, words)))


def check_call(scope: Scope, command: Node | None, arguments: Node | None) -> Iterator[Finding]:
    """Findings for a program and the list of its arguments, as MCP servers and tasks have them.

    An argument may be a map with the key `value`, as in VS Code's tasks. Without arguments the
    program may be a whole command line.
    """
    given = arguments.items if arguments is not None and arguments.kind == LIST else []
    values = [(item.get("value") or item) if item.kind == MAP else item for item in given]
    if not values or (command is not None and command.kind != SCALAR):
        yield from check_command(scope, command)
        return
    first = split_words(command.text) if command is not None else []
    rest = [item.text for item in values if item.kind == SCALAR]
    yield from check_words(scope, [*first, *map(_argument, rest)])


def _argument(text: Text) -> Word:
    return Word(text, text.start, text.end, literal="$" not in text.value)


def check_words(scope: Scope, words: list[Word]) -> Iterator[Finding]:
    """Findings for the call in a list of words, and what it starts in turn."""
    script = Script()
    if words:
        follow(words, script)
    yield from check_script(scope, script)


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
