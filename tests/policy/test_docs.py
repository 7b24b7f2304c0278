"""docs/policy.md and the templates say what the model says."""

from __future__ import annotations

import re
import tomllib
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from guard.policy.layers import Candidate, read_layer
from guard.policy.model import Agents, KeySource, OtherAgent, Policy
from guard.policy.project_part import project_part

DOCS = Path(__file__).parents[2] / "docs" / "policy.md"


LEFT_ALONE = [name for name, of in Agents.model_fields.items() if of.annotation is OtherAgent]
"""The agents that share one row."""


def rows(model: type[BaseModel] = Policy, prefix: str = ""):
    """The table's rows, key by key."""
    for name, info in model.model_fields.items():
        key = prefix + (info.alias or name)
        kind = info.annotation
        if kind is OtherAgent:
            if name != LEFT_ALONE[0]:
                continue
            key = f"{prefix}NAME"
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not KeySource:
            yield from rows(kind, f"{key}.")
            continue
        type_name, inner = describe(kind)
        if info.is_required():
            default = "required"
        else:
            default = shown(info.get_default(call_default_factory=True))
        layers = "S U P" if may_project(key) else "S U"
        yield f"| `{key}` | {type_name} | {default} | {layers} | {info.description} |"
        if inner is not None:
            end = "" if key == "exception" else ".NAME"
            yield from rows(inner, f"{key}{end}.")


def may_project(key: str) -> bool:
    """Whether a project's value of `key` counts."""
    data: dict[str, object] = {}
    table = data
    *tables, last = key.replace("agents.NAME", f"agents.{LEFT_ALONE[0]}").split(".")
    for name in tables:
        table[name] = table = {}
    table[last] = "a value"
    dropped: list[object] = []
    project_part(data, lambda path, why: dropped.append(path))
    return not dropped


def toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def describe(kind):
    if get_origin(kind) is Literal:
        words = [f"`{toml(word)}`" for word in get_args(kind)]
        return " < ".join(words), None
    if get_origin(kind) is list:
        inner = get_args(kind)[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return "tables", inner
        # a constrained type is Annotated: its base says what TOML holds
        is_port = int in (inner, *get_args(inner))
        return ("list of ports" if is_port else "list of strings"), None
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return "table of tables", inner
        return "table of strings", None
    if kind is KeySource:
        return "`{ env }` or `{ command, timeout }`", None
    if kind == datetime | None:
        return "date with time", None
    return {str: "string", float: "seconds"}.get(kind, "date, or date with time"), None


def shown(default: object) -> str:
    if isinstance(default, KeySource):
        return f'`{{ env = "{default.env}" }}`' if default.model_fields_set else "–"  # noqa: RUF001
    if isinstance(default, bool | int | float):
        return f"`{toml(default)}`"
    return f"`{default}`" if default and isinstance(default, str) else "–"  # noqa: RUF001


def test_every_agent_that_has_that_row_is_listed():
    listed = ", ".join(f"`{Agents.model_fields[name].alias}`" for name in LEFT_ALONE)
    assert f"(NAME: {listed})" in DOCS.read_text()


def test_keys_are_current():
    text = DOCS.read_text()
    found = re.search(r"<!-- keys: .*?\|---\|\n(.*?)<!-- /keys -->", text, re.DOTALL)
    assert found
    assert found.group(1).splitlines() == list(rows())


@pytest.mark.parametrize("name", ["user", "project"])
def test_template_is_the_defaults_and_more_to_uncomment(machine, name):
    text = resources.files("guard.policy").joinpath("template", f"{name}.toml").read_text()
    path = machine.write(getattr(machine, name), text)
    policy = machine.load()
    assert policy.notes == ()
    for attribute, value in (("keys_action", "scrub"), ("servers", "refuse"), ("remove", ())):
        assert getattr(policy, attribute) == value
    every = re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", text)
    assert every.count("\n# ") < text.count("\n# ")
    every = every.replace('key = { env = "PORTKEY_API_KEY" }\n', "")
    machine.write(path, every)
    assert tomllib.loads(every)
    layer = read_layer(Candidate(name, str(path)))
    assert layer.dropped == ()
    assert machine.load().notes == ()


def test_examples_in_the_docs_are_valid(machine):
    blocks = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        machine.write(machine.user, block)
        machine.load()
