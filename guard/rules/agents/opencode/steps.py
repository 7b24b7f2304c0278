"""Steps of a CI pipeline that run opencode and name its model beside the command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guard.findings import Finding
from guard.late import late
from guard.rules.agents.opencode import calls
from guard.rules.agents.opencode.calls import router
from guard.sources.positions.nodes import MAP, SCALAR, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.rules.files.scope import Scope

ID = calls.ID
_ACTION = late(r"(?:sst|anomalyco|opencode-ai)/opencode(?:/github)?@", re.I)


def action(scope: Scope, step: Node, uses: Node) -> Iterator[Finding]:
    """Findings if `step` uses opencode's own GitHub action: its input `model` names the route."""
    if not _ACTION.match(uses.value):
        return
    model = step.get("with", "model")
    if model is None or model.kind != SCALAR:
        fix = f"with: {{model: {scope.policy.default_model}}}"
        subject, message = "opencode action", "the action names no model"
        yield scope.finding("RG206", uses, subject, message, fix=fix)
    else:
        yield from _route(scope, model)


def variables(scope: Scope, given: Node, step: Node) -> Iterator[Finding]:
    """Findings about `MODEL` beside `opencode github run`, which reads it (1.18.33)."""
    model = given.get("MODEL") if given.kind == MAP else None
    run = step.get("run")
    if model is not None and run is not None and "opencode github run" in run.value:
        yield from _route(scope, model)


def _route(scope: Scope, model: Node) -> Iterator[Finding]:
    if "$" in model.value.partition("/")[0] or not model.value:
        return
    written = model.value if "$" not in model.value else model.value.partition("/")[0] + "/MODEL"
    resolved = router(scope.policy).resolve(written, None)
    if isinstance(resolved, Finding):
        yield scope.placed(resolved, model.text)
    elif str(resolved) != written:
        message = "the model is named without the gateway's provider"
        fix = f"name it: {resolved}"
        yield scope.finding("RG206", model.text, model.value, message, fix=fix)
