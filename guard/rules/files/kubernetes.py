"""Secrets and ConfigMaps of Kubernetes, and what refers to them (kubernetes.io/docs, "Secrets")."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from guard.rules.files import secrets, written
from guard.rules.files.structured import check_variables
from guard.rules.files.variables import check_variable
from guard.sources.positions.nodes import MAP, SCALAR
from guard.sources.positions.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.findings import Finding
    from guard.rules.files.scope import Scope
    from guard.sources.positions.nodes import Node

SAYS = r"^[ \t]*[\"']?apiVersion[\"']?[ \t]*:"
"""A regex for what each object says."""


def check(scope: Scope, root: Node) -> Iterator[Finding]:
    """Findings in an object of Kubernetes.

    A Secret that is called as a provider's variable is taken for what it is called.
    """
    kind = root.get("kind")
    data = root.get("data")
    if kind is not None and kind.value == "Secret":
        yield from _held(scope, root.get("stringData"))
        for key, value in data.pairs if data is not None else ():
            yield from _decoded(scope, key, value)
    elif kind is not None and kind.value == "ConfigMap":
        yield from _held(scope, data)
    for node in root.walk():
        for name in (node.get("secretRef", "name"), node.get("secretKey")):
            if node.kind == MAP and name is not None and name.kind == SCALAR:
                called = re.sub(r"[-.]", "_", name.value).upper()
                yield from check_variable(scope, called, None, name)


def _held(scope: Scope, data: Node | None) -> Iterator[Finding]:
    """What stands under names of variables, and under names of files that a pod mounts."""
    yield from check_variables(scope, data)
    for key, value in data.pairs if data is not None else ():
        if "." in key.value and value.kind == SCALAR:
            yield from written.check(scope, key.value, value.text)


def _decoded(scope: Scope, key: Node, value: Node) -> Iterator[Finding]:
    try:
        text = base64.b64decode(value.value, validate=False).decode()
    except (binascii.Error, ValueError):
        return
    found = list(check_variable(scope, key.value, text.strip(), key))
    if found:
        scope.file.secrets.append(value.value)
    yield from found or secrets.hidden(scope, text, value)
    if "." in key.value:
        yield from written.check(scope, key.value, Text(text, [value.start] * (len(text) + 1)))
