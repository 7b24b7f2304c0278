"""What is wrong with a policy file, for the person who wrote it.

Each problem names file, line, key, what was found and what is accepted. A value that could be a
secret is masked: these texts go to terminals and logs.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import date, time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from guard.catalog.key_shapes import looks_like_key
from guard.errors import PolicyError
from guard.findings import mask
from guard.policy.model import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic_core import ErrorDetails

    from guard.policy.locate import Path

_SHOWN_PROBLEMS = 20
_SHOWN_LENGTH = 60
_KEY_LENGTH = 16
_HUGE = 10**18

_WANTED = {
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "an integer",
    "float_type": "a number",
    "list_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one file. Line and column count from 1; 0 means the file as a whole."""

    file: str
    line: int
    column: int
    key: str
    message: str
    found: str = ""
    accepted: str = ""
    fix: str = ""

    @property
    def where(self) -> str:
        """`file:line:column`, as editors and terminals open it."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def text(self) -> str:
        """What is wrong, in one line, without the place."""
        out = f"{self.key}: {self.message}" if self.key else self.message
        if self.found:
            out += f"; found {self.found}"
        if self.accepted:
            out += f"; accepted: {self.accepted}"
        return out

    @property
    def full(self) -> str:
        """What is wrong and what to do about it, in one line, without the place."""
        return f"{self.text}; {self.fix}" if self.fix else self.text

    def as_dict(self) -> dict[str, str | int]:
        """The problem as the JSON output carries it."""
        return asdict(self)


class InvalidPolicyError(PolicyError):
    """One or more layers are not a valid policy. `problems` holds all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        self.problems = tuple(problems)
        if len(problems) == 1:
            why, where, fix = first.text, first.where, first.fix
        else:
            shown = problems[:_SHOWN_PROBLEMS]
            lines = []
            for problem in shown:
                place = f"{problem.line}:{problem.column}: " if problem.line else ""
                if problem.file != first.file:
                    place = f"{problem.where}: "
                lines.append(place + problem.full)
            if len(problems) > len(shown):
                lines.append(f"and {len(problems) - len(shown)} more")
            why, where, fix = "\n".join(lines), first.file, ""
        super().__init__(
            "the policy is not valid, and no agent starts until it is",
            where=where,
            why=why,
            fix=fix or "correct the file; `routeguard policy validate` checks it",
        )


def dotted(path: Path) -> str:
    """`path` as TOML writes a key, with list items as `[index]`; shortened, and never a secret."""
    out = ""
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        else:
            if looks_like_key(step):
                step = mask(step)
            plain = step.replace("-", "").replace("_", "")
            word = (
                step
                if plain.isascii() and plain.isalnum() and len(step) <= _SHOWN_LENGTH
                else _quoted(step)
            )
            out += f".{word}" if out else word
    return out


def shown(value: object, path: Path = ()) -> str:
    """`value` as a message may show it: never anything that could be a key."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _shown_text(value, path)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        # str() of an integer of more than 4300 digits raises: CPython's limit on conversion
        return str(value) if abs(value) < _HUGE else "a huge integer"
    if isinstance(value, list):
        return f"an array of {len(value)}" if value else "an empty array"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, date):
        return f"the date {value.isoformat()}"
    if isinstance(value, time):
        return "a time"
    return "another type"


def _shown_text(value: str, path: Path) -> str:
    if looks_like_key(value) or (path and path[-1] == "key"):
        if len(value) < _KEY_LENGTH:
            return "a string"
        return f"what looks like a key ({mask(value)}, not shown)"
    if path[-1:] == ("proxy",):
        return "a text (not shown)"  # whatever it is, there may be a password in it
    if "@" in value and "://" in value:
        return "a URL with a user or password (not shown)"
    if "?" in value and "://" in value:
        return f"{_quoted(value.partition('?')[0])} and a query (not shown)"
    return _quoted(value)


def _quoted(value: str) -> str:
    return toml_string(value if len(value) <= _SHOWN_LENGTH else value[: _SHOWN_LENGTH - 1] + "…")


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def toml_string(value: str) -> str:
    """`value` as a basic string of TOML."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", escaped) + '"'


def translate(error: ErrorDetails, path: Path) -> tuple[Path, str, str, str, str]:
    """One pydantic error as (path, message, found, accepted, fix).

    `path` is the error's place in the file.
    """
    kind, context = error["type"], error.get("ctx", {})
    value = error["input"]
    if path and path[-1] == "[key]":
        return path[:-1], "not a valid name", "", str(context["accepted"]), ""
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "missing":
        return path, "is required", "", "", ""
    if kind == "literal_error":
        accepted = context["expected"].replace("'", '"')
        fix = ""
        if isinstance(value, str):
            near = get_close_matches(value, _words(accepted), n=1)
            fix = f'did you mean "{near[0]}"?' if near else ""
        elif path == ("schema",) and isinstance(value, int) and value > 1:
            fix = "this file is for a newer routeguard: update routeguard"
        return path, "not a known value", shown(value, path), accepted, fix
    if kind in ("refused", "literal_key"):
        fix = str(context.get("fix", ""))
        found = "" if isinstance(value, dict) else shown(value, path)
        return path, "cannot be used", found, str(context["accepted"]), fix
    if kind in ("too_long", "too_short"):
        bound = f"at most {context['max_length']}" if kind == "too_long" else "at least 1"
        return path, "wrong length", shown(value, path), f"{bound} items", ""
    if kind in _WANTED:
        text = shown(value, path)
        return path, "wrong type", text, _WANTED[kind], _retyped(kind, value, text, path)
    return path, "cannot be used", shown(value, path), error["msg"].removeprefix("Input "), ""


def _retyped(kind: str, value: object, text: str, path: Path) -> str:
    """What to write for a string `value`, shown in full as `text`, where `kind` is wanted."""
    if not isinstance(value, str) or text != f'"{value}"':
        return ""
    if kind == "list_type":
        words = value.split() if path[-1:] == ("command",) else [value]
        return f"{path[-1]} = [" + ", ".join(f'"{word}"' for word in words) + "]"
    if kind == "int_type" and value.isdecimal():
        return f"write {value} without quotes"
    return ""


def _words(accepted: str) -> list[str]:
    return [word for word in accepted.split('"') if word.strip(" ,or")]


def _unknown(path: Path) -> tuple[Path, str, str, str, str]:
    name = str(path[-1])
    section = _section(path[:-1])
    known = sorted(keys(section)) if section else []
    elsewhere = [key for key in _all_keys() if key.rpartition(".")[2] == name]
    near = [*get_close_matches(name, known, n=1, cutoff=0.6), *elsewhere]
    fix = f"did you mean {near[0]}?" if near else ""
    return path, "unknown key", "", ", ".join(known), fix


def keys(model: type[BaseModel]) -> dict[str, Any]:
    """The keys a table of `model` may hold, with their types."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _section(path: Path) -> type[BaseModel] | None:
    """The model of the table at `path`."""
    kind: Any = Policy
    for step in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = keys(kind).get(str(step))
        elif get_origin(kind) is list:
            kind = get_args(kind)[0]
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            return None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _all_keys(model: type[BaseModel] = Policy, prefix: str = "") -> Iterator[str]:
    for name, kind in keys(model).items():
        yield prefix + name
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
            name += ".NAME"
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _all_keys(kind, f"{prefix}{name}.")


def set_values(policy: Policy) -> Iterator[tuple[tuple[Path, str], Any]]:
    """Every key that a file sets: its path, its dotted form, and the value; tables key by key."""
    yield from _set_values(policy, ())


def _set_values(value: Any, path: Path) -> Iterator[tuple[tuple[Path, str], Any]]:
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            if name in value.model_fields_set:
                yield from _set_values(getattr(value, name), (*path, info.alias or name))
    elif isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _set_values(item, (*path, name))
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
        for index, item in enumerate(value):
            yield from _set_values(item, (*path, index))
    else:
        yield (path, dotted(path)), value


def toml_value(value: object) -> str:
    """A checked value as TOML writes it; whatever looks like a key is masked all the same."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{mask(value)}"' if looks_like_key(value) else toml_string(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{dotted((key,))} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
