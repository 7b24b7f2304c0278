"""Steps of a CI pipeline that run opencode and name its model beside the command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guard.findings import Finding
from guard.rules.agents.opencode.calls import router
from guard.rules.files.location import at
from guard.sources.positions.nodes import MAP, SCALAR, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_ACTION = re.compile(r"(?:sst|anomalyco|opencode-ai)/opencode(?:/github)?@", re.I)


def action(file: SourceFile, policy: CompiledPolicy, step: Node, uses: Node) -> Iterator[Finding]:
    """Findings if `step` uses opencode's own GitHub action: its input `model` names the route."""
    if not _ACTION.match(uses.value):
        return
    model = step.get("with", "model")
    if model is None or model.kind != SCALAR:
        yield at(
            file,
            "RG206",
            uses.start,
            uses.end,
            "opencode action",
            "the action names no model",
            fix=f"with: {{model: {policy.default_model}}}",
        )
    else:
        yield from _route(file, policy, model)


def variables(
    file: SourceFile, policy: CompiledPolicy, given: Node, step: Node
) -> Iterator[Finding]:
    """Findings about `MODEL` beside `opencode github run`, which reads it (1.18.33)."""
    model = given.get("MODEL") if given.kind == MAP else None
    run = step.get("run")
    if model is not None and run is not None and "opencode github run" in run.value:
        yield from _route(file, policy, model)


def _route(file: SourceFile, policy: CompiledPolicy, model: Node) -> Iterator[Finding]:
    if "$" in model.value.partition("/")[0] or not model.value:
        return
    written = model.value if "$" not in model.value else model.value.partition("/")[0] + "/MODEL"
    resolved = router(policy).resolve(written, None)
    if isinstance(resolved, Finding):
        yield at(
            file,
            resolved.rule,
            model.text.start,
            model.text.end,
            resolved.subject,
            resolved.message,
            fix=resolved.fix,
        )
    elif str(resolved) != written:
        yield at(
            file,
            "RG206",
            model.text.start,
            model.text.end,
            model.value,
            "the model is named without the gateway's provider",
            fix=f"name it: {resolved}",
        )
