"""`routeguard policy`: write, check and show what is allowed."""

from __future__ import annotations

import json
import os
import re
from importlib import resources
from typing import Any

import click

from guard import paths
from guard.commands import policy_show
from guard.commands.groups import Group
from guard.errors import ExitCode, PolicyError, UsageError, printable
from guard.files.around import levels
from guard.launch.process import own_environment
from guard.policy.layers import Candidate, candidates, read_layer
from guard.policy.model import json_schema
from guard.policy.places import PROJECT_FILE, SHARED_PROJECT_FILE, project_files, user_policy
from guard.policy.spans import soon
from guard.policy.validate import check_file, check_layers
from guard.policy.write import write_policy
from guard.report.document import show_document
from guard.report.table import fields
from guard.report.terminal import paint, show
from guard.report.words import short


@click.group(
    cls=Group,
    epilog="""\b
Start:   routeguard policy init
Change:  edit the file that `routeguard policy path` names
Check:   routeguard policy validate && routeguard policy show --effective""",
)
def policy() -> None:
    """Write, check and show the policy.

    Three layers, the strongest first: system, user, project. Later layers may only tighten what
    an earlier one set. Without any file the defaults apply.
    """


@policy.command(
    epilog="""\b
Examples:
  routeguard policy init
  routeguard policy init --dry-run > draft.toml
  routeguard policy init --project        a policy of this repository to commit""",
)
@click.option("--project", is_flag=True, help=f"Write {PROJECT_FILE} here instead.")
@click.option("--force", is_flag=True, help="Replace an existing file; the old one is kept.")
@click.option("--dry-run", is_flag=True, help="Print the file instead of writing it.")
def init(project: bool, force: bool, dry_run: bool) -> int:
    """Write a commented policy that works unchanged."""
    name = "project.toml" if project else "user.toml"
    text = resources.files("guard.policy").joinpath("template", name).read_text("utf-8")
    text = re.sub(r"until = \S+", f"until = {soon()}", text)
    if dry_run:
        show(text.rstrip("\n"), whole=True)
        return ExitCode.OK
    if project:
        path, mode = os.path.join(os.getcwd(), PROJECT_FILE), 0o644
    else:
        path, mode = user_policy(own_environment(os.environ)), 0o600
        paths.private_directory(os.path.dirname(path))
    kept = write_policy(path, text, mode, force)
    follow = "routeguard policy show --effective\nthen commit it"
    rows = [
        ("kept", printable(short(kept))),
        ("wrote", printable(short(path))),
        ("next", follow if project else "edit it, then: routeguard policy validate"),
    ]
    show(fields(rows))
    return ExitCode.OK


@policy.command(
    epilog="""\b
Examples:
  routeguard policy validate                 the layers of this directory
  routeguard policy validate draft.toml
  routeguard policy validate --json | jq '.files[].problems'

.routeguard.toml and pyproject.toml are checked as a project's policy, any other file as a user's.

Exit status: 0 valid, 2 usage, 3 not valid.""",
)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def validate(files: tuple[str, ...], as_json: bool) -> int:
    """Check policy files and show every problem.

    Without FILE: the layers of this directory, alone and together.
    """
    places = _places()
    results = [check_file(name, places) for name in files] if files else check_layers(places)
    valid = all(not result["problems"] for result in results)
    if as_json:
        show_document({"valid": valid, "files": results})
    else:
        lines = [line for checked in results for line in _checked(checked)]
        show("\n".join(lines or ["ok: no policy file here; the defaults apply"]))
    return ExitCode.OK if valid else ExitCode.CONFIG


@policy.command(
    "show",
    epilog="""\b
Examples:
  routeguard policy show                     what each layer says
  routeguard policy show --effective         what applies, who set it, what was dropped
  routeguard policy show --effective --json | jq '.values["proxies.action"]'""",
)
@click.option("--effective", is_flag=True, help="What applies in this directory and who set it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_command(effective: bool, as_json: bool) -> int:
    """Show the layers or what results from them.

    Without --effective: what each layer says, as read. With it: each value, the layer that set
    it, what was dropped and why, and which exceptions have expired.
    """
    return policy_show.command(effective, as_json)


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
  routeguard policy path --json | jq -r '.layers[].path'""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def path(as_json: bool) -> int:
    """Show where each layer is looked for and whether it exists.

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
        show_document({"layers": rows, "allowed": allowed})
    else:
        lines = [
            f"{row['layer']:<8} {row['state']:<8} {printable(short(row['path']))}"
            for row in (*rows, {"layer": "allow", **allowed})
        ]
        also = f"A project may use [tool.routeguard] in {SHARED_PROJECT_FILE} instead."
        show("\n".join([*lines, "", also]))
    return ExitCode.OK


# Layers ------------------------------------------------------------------------------------------


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise UsageError(
            "this directory no longer exists",
            why=error.strerror or str(error),
            fix="cd to one that exists",
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
        return "present" if read_layer(place) is not None else "no table"
    except PolicyError:
        return "present"


def _checked(outcome: dict[str, Any]) -> list[str]:
    """The outcome of the check of one file, as lines."""
    where = printable(short(outcome["path"]))
    ok = paint("ok", "good")
    lines = []
    if not outcome["policy"]:
        lines.append(f"{ok}: {where}: no [tool.routeguard] table, so it is not a policy")
    elif not outcome["problems"]:
        lines.append(f"{ok}: {where} ({outcome['layer']})")
    for problem in outcome["problems"]:
        place = f"{where}:{problem['line']}:{problem['column']}" if problem["line"] else where
        text = f"{problem['key']}: " if problem["key"] else ""
        text += problem["message"]
        for label, key in (("found ", "found"), ("accepted: ", "accepted")):
            if problem[key]:
                text += f"; {label}{problem[key]}"
        lines.append(f"{place}: {printable(text)}")
        lines += [f"    fix: {printable(line)}" for line in problem["fix"].splitlines()]
    return lines + [f"note: {printable(note)}" for note in outcome["notes"]]
