"""Finds and reads the layers: which file speaks for whom, and whether it may be believed.

The system and user layers decide where calls go, so only root and this user may be able to
write them. A project layer can come from anybody: it is read with a bound, checked like the
others, and everything in it that could loosen is left out before it is looked at.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

from pydantic import ValidationError

from guard.errors import PolicyError
from guard.files import toml
from guard.files.read import NotRegularError, TooLargeError, UnreadableError, read_bytes
from guard.paths import SYSTEM_POLICY
from guard.policy.authority import ROOT, changed_by_others, give_to_root
from guard.policy.locate import Locations, Path, Position, position
from guard.policy.model import (
    FORMER_TABLES,
    Policy,
)
from guard.policy.places import SHARED_PROJECT_FILE, allowed_file
from guard.policy.problems import InvalidPolicyError, Problem, dotted, translate
from guard.policy.project_part import project_part

LayerName = Literal["system", "user", "project"]

MAX_BYTES: Final = 1024 * 1024
"""A policy file is a page of text; this bounds what a repository can make us read."""

MAX_PARTS: Final = 20_000
"""Lines, keys, list items, dots and escapes in a file of a project. They are counted before it is
parsed, because that is what parsing takes time for: 1 MiB of tables took 9 s."""

_MAX_DEPTH: Final = 32
_TOO_DEEP: Final = "nested too deeply to be a policy"
_MAX_PROBLEMS: Final = 100

_TABLE: Final = ("tool", "routeguard")
_MENTION: Final = "tool.routeguard"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a layer is looked for."""

    layer: LayerName
    path: str
    judged: bool = True
    """Whether owner and mode count: not for a draft that is only checked."""
    managed: bool = False
    """Whether `routeguard allow` writes it: then it holds nothing but [[exception]]."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something a layer asked for and was not given, and why.

    Holds no value but choices and names of variables.
    """

    layer: LayerName
    path: str
    line: int
    key: str
    why: str

    @property
    def text(self) -> str:
        """One line for a person."""
        return f"{self.layer} policy {self.path}:{self.line}: {self.key} dropped: {self.why}"


@dataclass(frozen=True, slots=True)
class Layer:
    """One policy file, read and checked."""

    layer: LayerName
    path: str
    policy: Policy
    text: str
    prefix: Path = ()
    dropped: tuple[Dropped, ...] = ()
    locations: Locations = field(default_factory=lambda: Locations(""), repr=False)

    def find(self, key: Path) -> Position:
        """Where `key` is in the file."""
        return self.locations.find(self.prefix + key)


def candidates(system: str, user: str, project: tuple[str, ...]) -> tuple[Candidate, ...]:
    """The places of the layers, strongest first; `allow`'s own file is part of the user's."""
    return (
        Candidate("system", system),
        Candidate("user", user),
        Candidate("user", allowed_file(user), managed=True),
        *(Candidate("project", path) for path in project),
    )


def read_all(places: tuple[Candidate, ...]) -> tuple[Layer, ...]:
    """The layers that exist, strongest first.

    Raises InvalidPolicyError with every problem of every layer, PolicyError for a file that cannot
    be read or trusted.
    """
    layers: list[Layer] = []
    problems: list[Problem] = []
    for place in places:
        try:
            layer = read_layer(place)
        except InvalidPolicyError as error:
            problems.extend(error.problems)
            continue
        if layer is not None:
            layers.append(layer)
    if problems:
        raise InvalidPolicyError(problems)
    return tuple(layers)


def read_layer(place: Candidate) -> Layer | None:
    """The layer at `place`, or None if there is none.

    Raises InvalidPolicyError for a text that is not a valid policy, PolicyError for a file that
    cannot be read or trusted.
    """
    if os.path.basename(place.path) == SHARED_PROJECT_FILE:
        return _read_shared(place)
    data = _bytes(place)
    if data is None:
        return None
    return parse_layer(place, data)


def parse_layer(place: Candidate, data: bytes) -> Layer:
    """The layer that the content `data` of a file at `place` is.

    Raises InvalidPolicyError for a text that is not a valid policy, PolicyError for one too large
    to look at.
    """
    text = _decoded(data, place.path)
    return _checked(place, text, _parsed(text, place), ())


def _read_shared(place: Candidate) -> Layer | None:
    """The layer in a pyproject.toml: None unless it has our table.

    The file belongs to others. What is wrong with it is our business only if it mentions us:
    then a tightening could be lost, and reading fails closed.
    """
    try:
        data = _bytes(place)
    except PolicyError:
        if _MENTION.encode() in _start(place.path):
            raise
        return None
    if data is None or _TABLE[-1].encode() not in data:
        return None
    mentioned = _MENTION.encode() in data
    try:
        text = _decoded(data, place.path)
        document = _parsed(text, place)
    except PolicyError:
        if mentioned:
            raise
        return None
    tool = document.get("tool")
    if not isinstance(tool, dict) or "routeguard" not in tool:
        return None
    return _checked(place, text, tool["routeguard"], _TABLE)


def _start(path: str) -> bytes:
    """The first MAX_BYTES of a regular file, b"" for anything else."""
    try:
        return read_bytes(path, MAX_BYTES, cut=True) or b""
    except UnreadableError:
        return b""


# Files -------------------------------------------------------------------------------------------


def _bytes(place: Candidate) -> bytes | None:
    path = place.path
    judged = place.judged and place.layer != "project"
    try:
        data = read_bytes(path, MAX_BYTES, judge=partial(_trusted, path) if judged else None)
    except TooLargeError:
        raise PolicyError(
            "a policy file is too big",
            where=path,
            why=f"it has more than {MAX_BYTES} bytes",
            fix="remove what is not policy; a policy is about a page of text",
        ) from None
    except NotRegularError:
        raise PolicyError(
            "a policy is not a regular file",
            where=path,
            why="a directory, device, socket or pipe cannot hold a policy",
            fix="remove it, or put the policy there",
        ) from None
    except UnreadableError as error:
        if place.layer == "project" and not os.path.lexists(path):
            # a directory above that this user may not look into holds nothing of theirs
            return None
        raise _unreadable(path, str(error)) from None
    if data is None and os.path.lexists(path):
        raise _unreadable(path, "it is a dangling link")
    return data


def _trusted(path: str, found: os.stat_result) -> None:
    if path == SYSTEM_POLICY:
        _of_root(path)
    if found.st_uid not in (0, os.geteuid()):
        raise PolicyError(
            "a policy file belongs to another user",
            where=path,
            why=f"its owner, user id {found.st_uid}, could change where calls go",
            fix=f"read it, then make it yours:\nsudo chown $(id -u) {_word(path)}",
        )
    if found.st_mode & 0o022:
        raise PolicyError(
            "others can write a policy file",
            where=path,
            why=f"its mode is {stat.S_IMODE(found.st_mode):04o}",
            fix=f"read it, then:\nchmod go-w {_word(path)}",
        )


def _of_root(path: str) -> None:
    """Raise PolicyError where others than root could change the system policy at `path`."""
    place, why = changed_by_others(path, ROOT)
    if place:
        raise PolicyError(
            "others than root could change the system policy",
            where=path,
            why=f"{why}; it outranks what every user says",
            fix=f"read it, then:\n{give_to_root(place)}",
        )


def _word(path: str) -> str:
    import shlex

    return shlex.quote(path)


def _unreadable(path: str, why: str) -> PolicyError:
    return PolicyError(
        "cannot read a policy file",
        where=path,
        why=why,
        fix="make it readable, or remove it",
    )


# Text --------------------------------------------------------------------------------------------


def _invalid(
    path: str, place: tuple[int, int], message: str, *, accepted: str = "", fix: str = ""
) -> InvalidPolicyError:
    """One problem of the text at `place` (line and column, zeros for the whole file)."""
    return InvalidPolicyError([Problem(path, *place, "", message, accepted=accepted, fix=fix)])


def _decoded(data: bytes, path: str) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        raise _invalid(
            path,
            position(before, len(before)),
            f"not UTF-8: byte 0x{data[error.start]:02x}",
            accepted="TOML, which is always UTF-8",
        ) from None
    # editors on Windows leave a byte order mark and carriage returns
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


_TUPLE = re.compile(r"\('.*'\)")
_SYNTAX_FIXES = (
    ("Invalid value", 'quote text: key = "value"'),
    ("Expected '='", 'write key = "value"'),
    ("Illegal character '\\n'", "close the quote at the end of the line"),
    ("Unterminated string", "close the quote"),
    ("Expected ']", "close the name of the table with ]"),
    ("Unclosed array", "close the list with ]"),
    ("Unclosed inline table", "close the table with } on the same line"),
    ("Invalid initial character for a key part", "a table in { } ends on the same line"),
    ("Cannot declare", "join the two tables of that name"),
)
"""What mends a policy, by the start of what `tomllib` says of it."""


def _parsed(text: str, place: Candidate) -> dict[str, Any]:
    path = place.path
    if place.layer == "project":
        parts = sum(text.count(mark) for mark in "\n=[{,.\\")
        if parts > MAX_PARTS:
            raise PolicyError(
                "a policy file is too big",
                where=path,
                why=f"it has about {parts} lines, keys and list items; a project's has {MAX_PARTS}"
                " at most",
                fix="remove what is not policy; a policy is about a page of text",
            )
    deep = toml.long_key(text, _MAX_DEPTH)
    if deep >= 0:
        raise _invalid(path, position(text, deep), _TOO_DEEP)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _invalid(path, (0, 0), _TOO_DEEP) from None
    except ValueError as error:
        found = _PLACE.search(str(error))
        message = _PLACE.sub("", str(error))
        if found and found.group(1):
            at = (int(found.group(1)), int(found.group(2)))
        else:
            at = position(text, len(text)) if found else (0, 0)
        # a table's name is a tuple of Python there
        message = _TUPLE.sub(lambda name: ".".join(re.findall("'(.*?)'", name[0])), message)
        fix = next((fix for start, fix in _SYNTAX_FIXES if message.startswith(start)), "")
        if message == "Invalid value" and at >= position(text, len(text.rstrip())):
            fix = "close the list with ]"
        raise _invalid(path, at, f"not valid TOML: {message}", fix=fix) from None


# Checking ----------------------------------------------------------------------------------------


class _Draft:
    """One parsed policy file while it is checked: where each of its keys is, what was dropped.

    `prefix` is where the policy begins in it.
    """

    def __init__(self, place: Candidate, text: str, prefix: Path) -> None:
        self.place = place
        self.prefix = prefix
        self.locations = Locations(text)
        self.dropped: list[Dropped] = []

    def problem(
        self,
        key: Path,
        message: str,
        *,
        found: str = "",
        accepted: str = "",
        fix: str = "",
        at: Path | None = None,
    ) -> Problem:
        """What is wrong with `key`, at `at` in the file (by default where `key` is)."""
        line, column = self.locations.find(self.prefix + (key if at is None else at))
        name = dotted(key) or dotted(self.prefix)
        return Problem(self.place.path, line, column, name, message, found, accepted, fix)

    def drop(self, key: Path, why: str) -> None:
        """Note that `key` does not count."""
        line = self.locations.find(self.prefix + key).line
        self.dropped.append(Dropped("project", self.place.path, line, dotted(key), why))


def _checked(place: Candidate, text: str, data: Any, prefix: Path) -> Layer:
    draft = _Draft(place, text, prefix)
    if isinstance(data, dict):
        for agent in FORMER_TABLES:
            if agent in data:
                data = _with_agents(data, agent, draft)
        if place.managed:
            _only_exceptions(data, draft)
        if place.layer == "project":
            data = project_part(data, draft.drop)
    try:
        policy = Policy.model_validate(data)
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False)[:_MAX_PROBLEMS]:
            key, message, found, accepted, fix = translate(detail, detail["loc"])
            problems.append(
                draft.problem(
                    key, message, found=found, accepted=accepted, fix=fix, at=detail["loc"]
                )
            )
        problems.sort(key=lambda problem: (problem.line, problem.column))
        raise InvalidPolicyError(problems) from None
    return Layer(
        place.layer, place.path, policy, text, prefix, tuple(draft.dropped), draft.locations
    )


def _with_agents(data: dict[str, Any], agent: str, draft: _Draft) -> dict[str, Any]:
    """`data` with the table `[AGENT]`, as it was called, in the place of `[agents.AGENT]`.

    Raises InvalidPolicyError where a file has both.
    """
    agents = data.get("agents", {})
    if not isinstance(agents, dict):
        return data
    if agent in agents:
        message = f"is the former name of agents.{agent}, which this file has as well"
        problem = draft.problem((agent,), message, fix=f"keep one: [agents.{agent}]")
        raise InvalidPolicyError([problem])
    prefix = draft.prefix
    draft.locations.rename((*prefix, agent), (*prefix, "agents", agent))
    kept = {name: value for name, value in data.items() if name != agent}
    return {**kept, "agents": {**agents, agent: data[agent]}}


def _only_exceptions(data: dict[str, Any], draft: _Draft) -> None:
    """Raise InvalidPolicyError if `data` says anything that `routeguard allow` does not write."""
    problems = [
        draft.problem(
            (name,),
            "does not belong in this file, which `routeguard allow` writes",
            accepted="[[exception]]",
            fix="move it into policy.toml beside it",
        )
        for name in data
        if name != "exception"
    ]
    if problems:
        raise InvalidPolicyError(problems[:_MAX_PROBLEMS])
