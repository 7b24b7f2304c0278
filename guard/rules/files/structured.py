"""What the detectors of structured files share: parsing into notes, variables out of maps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.rules.files.calls import check_script, check_texts
from guard.rules.files.location import at
from guard.rules.files.variables import judge
from guard.sources.positions import json_nodes, toml_nodes, yaml_nodes
from guard.sources.positions.nodes import LIST, MAP, SCALAR, MalformedError, Node
from guard.sources.positions.shell_calls import Script, follow
from guard.sources.positions.text import Text
from guard.sources.shell_commands import Word, unquoted

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile


def parse(file: SourceFile) -> tuple[list[Node], list[Finding]]:
    """The roots of a YAML, JSON or TOML file by its suffix, and a note if it cannot be parsed."""
    name = file.name.lower()
    try:
        if name.endswith((".yml", ".yaml")):
            return yaml_nodes.documents(file.text), []
        if name.endswith(".toml"):
            return [toml_nodes.document(file.text)], []
        if not file.text.strip():
            return [], []
        return [json_nodes.document(file.text)], []
    except MalformedError as error:
        return [], [not_checked(file, error)]


def not_checked(file: SourceFile, error: MalformedError) -> Finding:
    """The note that a file could not be parsed."""
    return at(file, "RG903", error.offset, error.offset, file.path, f"the file {error}")


def check_variables(
    file: SourceFile,
    policy: CompiledPolicy,
    node: Node | None,
    *,
    where: str,
    ci: bool = False,
) -> Iterator[Finding]:
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
            if not inner.quoted and inner.value in ("", "null", "~"):
                # compose hands the variable on under the same name; elsewhere it stays empty
                if ci or inner.start != inner.end:
                    continue
                shown = None
            else:
                shown = inner.value
            yield from judge(
                file,
                policy,
                key.value,
                shown,
                key.start,
                max(key.end, inner.text.end),
                where=where,
                ci=ci,
            )
    elif node.kind == LIST:
        for item in node.items:
            if item.kind == MAP:
                # `- name: A` / `value: b`, and `- A: b`
                name, given = item.get("name"), item.get("value")
                if name is not None and given is not None and given.kind == SCALAR:
                    yield from judge(
                        file,
                        policy,
                        name.value,
                        given.value,
                        name.start,
                        given.end,
                        where=where,
                        ci=ci,
                    )
                elif name is None:
                    yield from check_variables(file, policy, item, where=where, ci=ci)
                continue
            key_, equals, value_ = item.value.partition("=")
            yield from judge(
                file,
                policy,
                key_,
                value_ if equals else None,
                item.text.start,
                item.text.end,
                where=where,
                ci=ci,
            )


def check_command(
    file: SourceFile, policy: CompiledPolicy, node: Node | None, *, where: str
) -> Iterator[Finding]:
    """Findings for a command that is a text, or a list of words as a program gets them."""
    if node is None:
        return
    if node.kind == SCALAR:
        yield from check_texts(file, policy, [node.text], where=where)
    elif node.kind == LIST:
        script = words_script(node)
        yield from check_script(file, policy, script, where=where)


def words_script(node: Node) -> Script:
    """The call in a list of words, and what it starts in turn."""
    words = [
        Word(item.text, item.text.start, item.text.end, literal="$" not in item.value)
        for item in node.items
        if item.kind == SCALAR
    ]
    script = Script()
    if words:
        follow(words, script)
    return script


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
