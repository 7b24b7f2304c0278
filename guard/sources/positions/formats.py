"""YAML, JSON or TOML, told by a file's name."""

from __future__ import annotations

from guard.sources.positions import json_nodes
from guard.sources.positions.nodes import Node


def documents(name: str, text: str) -> list[Node]:
    """The roots of `text` in the format that `name` ends with, else JSON; of nothing none.

    Raises MalformedError.
    """
    name = name.lower()
    if name.endswith((".yml", ".yaml", ".lintstagedrc")):
        # where one is read, not at every start: PyYAML takes as long to load as a hundred files
        from guard.sources.positions import yaml_nodes

        return yaml_nodes.documents(text)
    if name.endswith((".toml", "pipfile", ".replit")):
        from guard.sources.positions import toml_nodes

        return [toml_nodes.document(text)]
    return [json_nodes.document(text)] if text.strip() else []
