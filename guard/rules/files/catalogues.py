"""Data that lists model providers: their addresses in entries beside each other, and who calls
which of them is said elsewhere.

Told by structure. A list that holds a key, or says which of them is used, is a configuration.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guard.files.read import MalformedError
from guard.late import late
from guard.sources.positions.formats import documents
from guard.sources.positions.nodes import LIST, MAP, SCALAR, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.sources.file import SourceFile

_LARGEST = 200_000
"""Characters of YAML that are parsed, about two seconds' worth."""

_RUNS = frozenset(("services", "jobs", "stages", "steps", "apiVersion", "pipelines", "tasks"))
"""What stands at the top of files that start something."""

_CHOICE = late(
    r"(?:(?:default|active|current|selected|main|fallback)[_-]?)?(?:models?|(?:model[_-]?)?provider"
    r"|llm|backend|client)(?:[_-]?(?:id|name))?|default|active|current|selected|use",
)
"""Names, in lower case, by which a configuration says which of its providers is used."""

_KEY = late(r"(?:.*[_-])?(?:(?:api)?[_-]?keys?|tokens?|secrets?|authorization|credentials?)")
_VALUE = late(
    # a reference, and what is written out
    r".*(?:\$\{|\{\{|\$[A-Za-z_]|\{env:|os\.environ|secrets\.|process\.env|!(?:env|secret)).*"
    r"|(?:bearer )?[A-Za-z0-9_.-]{16,}",
    re.IGNORECASE,
)
_NAME = late(r"[A-Z][A-Z0-9_]*")


def values(file: SourceFile) -> frozenset[str]:
    """The texts that `file`, data in YAML, JSON or TOML, only lists. None for what is a
    configuration, or cannot be read."""
    name = file.name.lower()
    if name.endswith((".yml", ".yaml")) and len(file.text) > _LARGEST:
        return frozenset()
    try:
        roots = documents(name, file.text)
    except MalformedError:
        return frozenset()
    found: set[str] = set()
    for root in roots:
        if _is_used(root):
            return frozenset()
        found.update(value.value.strip() for value in _scalars(root))
    return frozenset(found)


def _is_used(root: Node) -> bool:
    """Whether the document says who calls: it holds a key, or chooses one of its entries."""
    if any(
        key.value in _RUNS or (value.kind == SCALAR and _CHOICE.fullmatch(key.value.lower()))
        for key, value in root.pairs
    ):
        return True
    return any(
        value.kind == SCALAR
        and _KEY.fullmatch(key.value.lower())
        and _VALUE.fullmatch(value.value.strip())
        and not _NAME.fullmatch(value.value.strip())
        for node in root.walk()
        for key, value in node.pairs
    )


def _scalars(root: Node) -> Iterator[Node]:
    for node in root.walk():
        names = {key.value for key, _ in node.pairs}
        if node.kind == MAP and not {"name", "value"} <= names:
            yield from (value for _, value in node.pairs if value.kind == SCALAR)
        elif node.kind == LIST:
            yield from (item for item in node.items if item.kind == SCALAR)
