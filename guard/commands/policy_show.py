"""What `policy show` says. It is kept beside the compiled policy: no click or pydantic here."""

from __future__ import annotations

import os
import time

from guard import packages
from guard.commands.plainly import PlainWords
from guard.errors import ExitCode, PolicyError, printable
from guard.launch.process import own_environment, working_directory
from guard.policy import cache
from guard.report.terminal import show
from guard.report.words import short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORDS = PlainWords(flags={"--effective": "effective", "--json": "as_json"})


def command(effective: bool = False, as_json: bool = False) -> int:
    """Show the layers of this directory or, with `effective`, what results from them.

    Raises PolicyError if they are not valid; without `effective`, only if one by itself is not.
    """
    environ, cwd = own_environment(os.environ), working_directory()
    layers, said = [], {}
    try:
        said = cache.shown(cwd, environ)
        layers = said["layers"]
    except PolicyError:
        if effective:
            raise
        packages.make_importable()
        from guard.policy.effective import layers_at

        layers = layers_at(cwd, environ)
    if as_json:
        from guard.report.document import show_document

        content = _effective_json(said["json"]) if effective else _layers_json(layers)
        show_document(content)
    elif effective:
        show("\n".join(map(printable, _effective(said))))
    else:
        lines = [line for layer in layers for line in _layer(layer)]
        show("\n".join([*lines, "", "what applies: routeguard policy show --effective"]))
    return ExitCode.OK


def _layer(said: dict[str, Any]) -> list[str]:
    """What one layer says, as lines."""
    head = f"{said['layer']:<8} {printable(short(said['path']))}"
    if not said["read"]:
        return [f"{head}: {said['state']}"]
    return [head, *(f"  {line:>4}  {printable(text)}" for line, text in said["rows"])]


def _layers_json(layers: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("layer", "path", "read", "policy", "dropped")
    return {"layers": [{name: said[name] for name in names} for said in layers]}


def _effective(said: dict[str, Any]) -> list[str]:
    """Each value with the layer that set it, then exceptions and what was dropped."""
    rows = said["values"]
    width = max(len(key) for key, *_ in rows)
    lines = [
        f"{key:<{width}} = {text}  # {_origin(layer, where)}" for key, text, layer, where in rows
    ]
    for one in _effective_json(said["json"])["exceptions"]:
        mark = "EXPIRED, not applied: " if one["expired"] else ""
        origin = _origin(one["layer"], f"{one['file']}:{one['line']}")
        lines.append(
            f"exception: {mark}{one['subject']} until {one['until']}: {one['reason'].strip()}"
            f"  # {origin}"
        )
    lines += [f"dropped: {text}" for text in said["dropped"]]
    if not said["json"]["layers"]:
        lines += ["", "No policy file here: every value is the default."]
    return lines


def _origin(layer: str, where: str) -> str:
    return f"{layer} {short(where)}" if where else layer


def _effective_json(document: dict[str, Any]) -> dict[str, Any]:
    """`document` with the exceptions as they are now."""
    now = time.time()
    exceptions = [
        dict(
            # one ends without a file being changed
            ("expired", value < now) if name == "ends" else (name, value)
            for name, value in one.items()
        )
        for one in document["exceptions"]
    ]
    return {**document, "exceptions": exceptions}
