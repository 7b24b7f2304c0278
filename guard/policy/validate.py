"""Every problem of policy files, as `policy validate` shows them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from guard.errors import GuardError, UsageError, printable
from guard.policy.compile import compile_merged
from guard.policy.layers import Candidate, Layer, read_layer
from guard.policy.merge import merge
from guard.policy.places import PROJECT_FILE, SHARED_PROJECT_FILE
from guard.policy.problems import InvalidPolicyError


def check_file(name: str, places: Sequence[Candidate]) -> dict[str, Any]:
    """The outcome of the check of one file: a layer of here, else what its name says it is.

    Raises UsageError if there is no such file.
    """
    if not os.path.lexists(name):
        raise UsageError(f"no such file: {printable(name)}", fix="name a policy file that exists")
    full = os.path.abspath(name)
    for place in places:
        if os.path.realpath(place.path) == os.path.realpath(full):
            return _check(replace(place, path=name))[1]
    is_project = os.path.basename(full) in (PROJECT_FILE, SHARED_PROJECT_FILE)
    return _check(Candidate("project" if is_project else "user", name, judged=False))[1]


def _check(place: Candidate, *, alone: bool = True) -> tuple[Layer | None, dict[str, Any]]:
    """The layer at `place` and the outcome of its check.

    `alone` also compiles it as if it were the only layer: what it leaves out is the default.
    """
    outcome: dict[str, Any] = {
        "layer": place.layer,
        "path": place.path,
        "policy": True,
        "problems": [],
        "notes": [],
    }
    layer = None
    try:
        layer = read_layer(place)
        if layer is None:
            outcome["policy"] = False
        else:
            outcome["notes"] = [entry.text for entry in layer.dropped]
            if alone:
                outcome["notes"] = list(compile_merged(merge([layer]), [layer]).notes)
    except InvalidPolicyError as error:
        outcome["problems"] = [_problem_json(problem.as_dict()) for problem in error.problems]
    except GuardError as error:
        outcome["problems"] = [
            _problem_json({"file": place.path, "message": error.what, "fix": error.fix}, error.why)
        ]
    return layer, outcome


def _problem_json(problem: dict[str, Any], why: str = "") -> dict[str, Any]:
    empty = {"line": 0, "column": 0, "key": "", "found": "", "accepted": "", "fix": ""}
    message = f"{problem['message']}: {why}" if why else problem["message"]
    return {**empty, **problem, "message": message}


def check_layers(places: Sequence[Candidate]) -> list[dict[str, Any]]:
    """The outcomes for the layers that exist, alone and together."""
    checked = [_check(place, alone=False) for place in places]
    results = [result for layer, result in checked if layer is not None or result["problems"]]
    if any(result["problems"] for result in results):
        return results
    layers = [layer for layer, _ in checked if layer is not None]
    merged = merge(layers)
    try:
        compile_merged(merged, layers)
    except InvalidPolicyError as error:
        for problem in error.problems:
            for result in results:
                if result["path"] == problem.file:
                    result["problems"].append(_problem_json(problem.as_dict()))
    for result in results:
        result["notes"] = [entry.text for entry in merged.dropped if entry.path == result["path"]]
    return results
