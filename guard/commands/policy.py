"""`routeguard policy`: write, check and show what is allowed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import click

from guard import paths
from guard.errors import ExitCode, GuardError, PolicyError, UsageError, printable
from guard.files.around import levels
from guard.launch.process import own_environment
from guard.policy.compile import compile_merged
from guard.policy.effective import as_json as effective_json
from guard.policy.effective import dropped_json, expired, list_values, single_values, who
from guard.policy.layers import Candidate, Layer, candidates, read, read_all
from guard.policy.merge import Merged, merge
from guard.policy.model import json_schema
from guard.policy.places import PROJECT_FILE, SHARED_PROJECT_FILE, project_files, user_policy
from guard.policy.problems import InvalidPolicyError, set_values, toml_value
from guard.policy.write import write_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.policy.values import CompiledPolicy

SCHEMA_VERSION = 1
"""Version of the JSON output; within one, keys are only added."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Start:   routeguard policy init
Change:  edit the file that `routeguard policy path` names
Check:   routeguard policy validate && routeguard policy show --effective""",
)
def policy() -> None:
    """What is allowed: write, check and show the policy.

    Three layers, the strongest first: system, user, project. Later layers may only tighten what
    an earlier one set. With no file at all, the defaults hold.
    """


@policy.command(
    epilog="""\b
Examples:
  routeguard policy init
  routeguard policy init --dry-run > draft.toml
  routeguard policy init --project        a policy of this repository, to be committed""",
)
@click.option("--project", is_flag=True, help=f"Write {PROJECT_FILE} into this directory instead.")
@click.option("--force", is_flag=True, help="Replace an existing file; the old one is kept beside.")
@click.option("--dry-run", is_flag=True, help="Print the file instead of writing it.")
def init(project: bool, force: bool, dry_run: bool) -> int:
    """Write a commented policy that works as it stands."""
    name = "project.toml" if project else "user.toml"
    text = resources.files("guard.policy").joinpath("template", name).read_text("utf-8")
    if dry_run:
        click.echo(text, nl=False)
        return ExitCode.OK
    if project:
        path, mode = os.path.join(os.getcwd(), PROJECT_FILE), 0o644
    else:
        path, mode = user_policy(own_environment(os.environ)), 0o600
        paths.private_directory(os.path.dirname(path))
    kept = write_policy(path, text, mode, force)
    if kept:
        click.echo(f"kept   {printable(kept)}")
    click.echo(f"wrote  {printable(path)}")
    if project:
        click.echo("next   routeguard policy show --effective, then commit it")
    else:
        click.echo("next   edit it, then: routeguard policy validate")
    return ExitCode.OK


@policy.command(
    epilog="""\b
Examples:
  routeguard policy validate                 the layers that hold in this directory
  routeguard policy validate draft.toml
  routeguard policy validate --json | jq '.files[].problems'

\b
A file called .routeguard.toml or pyproject.toml is checked as a project's, any other as a user's.
Exit status: 0 valid, 3 not valid.""",
)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def validate(files: tuple[str, ...], as_json: bool) -> int:
    """Check policy files and show every problem.

    Without FILE: the layers that hold in this directory, alone and together.
    """
    results = [_check_file(name) for name in files] if files else _check_here()
    valid = all(not result["problems"] for result in results)
    if as_json:
        _print_json({"valid": valid, "files": results})
    else:
        for result in results:
            _print_result(result)
        if not results:
            click.echo("ok: no policy file here, the defaults hold")
    return ExitCode.OK if valid else ExitCode.CONFIG


@policy.command(
    epilog="""\b
Examples:
  routeguard policy show                     what each layer says
  routeguard policy show --effective         what holds, who says so, what was dropped
  routeguard policy show --effective --json | jq '.values["proxies.action"]'""",
)
@click.option("--effective", is_flag=True, help="What holds in this directory, and who set it.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def show(effective: bool, as_json: bool) -> int:
    """Show the layers, or what results.

    Without --effective: what each layer says, as read. With it: each value, the layer that set
    it, what was dropped and why, and which exceptions have expired.
    """
    places = _places()
    layers = read_all(places)
    if not effective:
        found = {layer.path: layer for layer in layers}
        if as_json:
            shown = [place for place in places if not place.managed or place.path in found]
            _print_json({"layers": [_layer_json(place, found) for place in shown]})
        else:
            for place in places:
                if place.managed and place.path not in found:
                    continue
                _print_layer(place, found)
            click.echo("\nWhat holds: routeguard policy show --effective")
        return ExitCode.OK
    merged = merge(layers)
    compiled = compile_merged(merged, layers)
    if as_json:
        _print_json(effective_json(merged, compiled, layers))
    else:
        _print_effective(merged, compiled, layers)
    return ExitCode.OK


@policy.command(
    epilog="""\b
Example, for an editor that completes TOML (Taplo, Even Better TOML):
  routeguard policy schema > policy.schema.json
  and as the policy's first line:  #:schema ./policy.schema.json""",
)
def schema() -> int:
    """Print the JSON Schema of a policy file."""
    click.echo(json.dumps(json_schema(), indent=2, sort_keys=True))
    return ExitCode.OK


@policy.command(
    epilog="""\b
Examples:
  routeguard policy path
  routeguard policy path --json | jq -r '.layers[] | select(.layer == "user").path'""",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def path(as_json: bool) -> int:
    """Show where each layer is looked for, and whether it is there.

    `allow` is the file that `routeguard allow` writes: part of the user layer.
    """
    rows = []
    allowed: dict[str, str] = {}
    for place in _places(absent=True):
        state = "present" if os.path.lexists(place.path) else "absent"
        if state == "present" and os.path.basename(place.path) == SHARED_PROJECT_FILE:
            state = _shared_state(place)
        if place.managed:
            allowed = {"path": place.path, "state": state}
        else:
            rows.append({"layer": place.layer, "path": place.path, "state": state})
    if as_json:
        _print_json({"layers": rows, "allowed": allowed})
    else:
        for row in rows:
            click.echo(f"{row['layer']:<8} {row['state']:<8} {printable(row['path'])}")
        click.echo(f"{'allow':<8} {allowed['state']:<8} {printable(allowed['path'])}")
        click.echo(f"\nA project may use [tool.routeguard] in {SHARED_PROJECT_FILE} instead.")
    return ExitCode.OK


# Layers ------------------------------------------------------------------------------------------


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise UsageError(
            "this directory is gone", why=error.strerror or str(error), fix="cd to one that exists"
        ) from None


def _places(*, absent: bool = False) -> tuple[Candidate, ...]:
    """Where the layers of this directory are; with `absent`, also where a project's could be."""
    cwd = _cwd()
    project = project_files(cwd)
    if absent:
        present = {os.path.dirname(file): file for file in project}
        project = tuple(
            present.get(directory, os.path.join(directory, PROJECT_FILE))
            for directory in levels(cwd)
        )
    return candidates(paths.SYSTEM_POLICY, user_policy(own_environment(os.environ)), project)


def _shared_state(place: Candidate) -> str:
    try:
        return "present" if read(place) is not None else "no table"
    except PolicyError:
        return "present"


# validate ----------------------------------------------------------------------------------------


def _check_file(name: str) -> dict[str, Any]:
    if not os.path.lexists(name):
        raise UsageError(f"no such file: {printable(name)}", fix="name a policy file that exists")
    full = os.path.abspath(name)
    for place in _places():
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
        layer = read(place)
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


def _check_here() -> list[dict[str, Any]]:
    checked = [_check(place, alone=False) for place in _places()]
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


def _print_result(result: dict[str, Any]) -> None:
    where = printable(result["path"])
    if not result["policy"]:
        click.echo(f"ok: {where}: no [tool.routeguard] table, so not a policy")
    elif not result["problems"]:
        click.echo(f"ok: {where} ({result['layer']})")
    for problem in result["problems"]:
        place = f"{where}:{problem['line']}:{problem['column']}" if problem["line"] else where
        text = f"{problem['key']}: " if problem["key"] else ""
        text += problem["message"]
        for label, key in (("found ", "found"), ("accepted: ", "accepted")):
            if problem[key]:
                text += f"; {label}{problem[key]}"
        click.echo(f"{place}: {printable(text)}")
        for line in problem["fix"].splitlines():
            click.echo(f"    fix: {printable(line)}")
    for note in result["notes"]:
        click.echo(f"note: {printable(note)}")


# show --------------------------------------------------------------------------------------------


def _print_layer(place: Candidate, found: dict[str, Layer]) -> None:
    layer = found.get(place.path)
    if layer is None:
        reason = "absent"
        if os.path.lexists(place.path):
            reason = "no [tool.routeguard] table"
        click.echo(f"{place.layer:<8} {printable(place.path)}: {reason}")
        return
    click.echo(f"{place.layer:<8} {printable(place.path)}")
    for key, value in set_values(layer.policy):
        line = layer.find(key[0]).line
        click.echo(f"  {line:>4}  {printable(key[1])} = {printable(toml_value(value))}")
    for entry in layer.dropped:
        click.echo(f"  {entry.line:>4}  {printable(entry.key)}: dropped: {entry.why}")


def _layer_json(place: Candidate, found: dict[str, Layer]) -> dict[str, Any]:
    layer = found.get(place.path)
    return {
        "layer": place.layer,
        "path": place.path,
        "read": layer is not None,
        "policy": layer.policy.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if layer
        else {},
        "dropped": [dropped_json(entry) for entry in layer.dropped] if layer else [],
    }


def _print_effective(merged: Merged, compiled: CompiledPolicy, layers: Sequence[Layer]) -> None:
    rows: list[tuple[str, str, str]] = []
    for key, value, item in single_values(merged, compiled):
        if key == "gateway.providers":
            for name, provider in value.items():
                for inner, inner_value in provider.items():
                    rows.append((f"{key}.{name}.{inner}", toml_value(inner_value), who(item)))
        else:
            rows.append((key, toml_value(value), who(item)))
    for key, item in list_values(merged, compiled):
        rows.append((f"{key}[]", toml_value(item.value), who(item)))
    width = max(len(key) for key, _, _ in rows)
    for key, text, origin in rows:
        click.echo(f"{printable(key):<{width}} = {printable(text)}  # {printable(origin)}")
    for item in merged.exceptions:
        mark = "EXPIRED, not honoured: " if expired(item) else ""
        click.echo(
            printable(
                f"exception: {mark}{item.value.subject} until {item.value.until.isoformat()}:"
                f" {item.value.reason.strip()}  # {who(item)}"
            )
        )
    for entry in merged.dropped:
        click.echo(f"dropped: {printable(entry.text)}")
    if not layers:
        click.echo("\nNo policy file here: every value is the default.")


def _print_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **content}, indent=2))
