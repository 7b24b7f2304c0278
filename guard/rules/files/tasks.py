"""Named tasks in the files of tools: under which keys they stand, and the shell text of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.rules.files.calls import check_texts
from guard.rules.files.structured import expressions_out
from guard.sources.positions.nodes import MAP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.findings import Finding
    from guard.rules.files.scope import Scope
    from guard.sources.positions.nodes import Node

OF_PYTHON: tuple[tuple[str, ...], ...] = (
    *(("tool", tool, "tasks") for tool in ("poe", "taskipy", "pixi")),
    *(("tool", tool, "scripts") for tool in ("pdm", "rye")),
    *(("tasks",), ("scripts",)),
)
SCRIPTS: tuple[tuple[str, ...], ...] = (
    *(("scripts",), ("tasks",), ("setup",), ("run",)),
    # hooks for git, and github.com/google/wireit
    *(("husky", "hooks"), ("simple-git-hooks",), ("lint-staged",), ("wireit",)),
)
_BODIES = ("cmd", "shell", "command", "script", "run", "exec", "composite", "sequence")


def at(root: Node, places: tuple[tuple[str, ...], ...]) -> Iterator[Node | None]:
    """What stands at `places`, and below each environment of Hatch and feature of Pixi."""
    yield from (root.get(*keys) for keys in places)
    for keys, inner in (
        (("tool", "hatch", "envs"), "scripts"),
        (("envs",), "scripts"),
        (("tool", "pixi", "feature"), "tasks"),
        (("feature",), "tasks"),
    ):
        several = root.get(*keys)
        for _, one in several.pairs if several is not None else ():
            yield one.get(inner)


def check(scope: Scope, *nodes: Node | None) -> Iterator[Finding]:
    """Named tasks: each a text for a shell, a list of those, or a map that holds one."""
    texts = []
    for node in nodes:
        values = [value for _, value in node.pairs] or [node] if node is not None else []
        for value in values:
            bodies = [value] if value.kind != MAP else [value.get(key) for key in _BODIES]
            texts += [
                expressions_out(item.text)
                for body in bodies
                if body is not None and body.kind != MAP
                for item in body.strings()
            ]
    yield from check_texts(scope, texts)
