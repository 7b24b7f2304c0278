"""The JSON that programs read: one document on stdout, with the version of its form."""

from __future__ import annotations

import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SCHEMA_VERSION = 1
"""Version of every document; within one, keys are only added."""


def document(content: Mapping[str, Any], *, indent: int | None = 2) -> str:
    """`content` as a JSON document, `schema_version` first; on one line without `indent`.

    ASCII only, so that a terminal that shows it obeys nothing in it.
    """
    return json.dumps({"schema_version": SCHEMA_VERSION, **content}, indent=indent)


def show_document(content: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Write `content` to stdout, never folded and never coloured."""
    sys.stdout.write(document(content, indent=indent) + "\n")
    sys.stdout.flush()
