"""Finds and reads the layers: which file speaks for whom, and whether it may be believed.

The system and user layers decide where calls go, so only root and this user may be able to
write them. A project layer can come from anybody: it is read with a bound, checked like the
others, and everything in it that could loosen is left out before it is looked at.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import ValidationError

from guard.errors import PolicyError
from guard.policy import syntax, trusted_file
from guard.policy.locate import Locations, Path, Position
from guard.policy.model import FORMER_TABLES, Policy
from guard.policy.places import SHARED_PROJECT_FILE, allowed_file
from guard.policy.problems import InvalidPolicyError, Problem, dotted, translate
from guard.policy.project_part import project_part

LayerName = Literal["system", "user", "project"]

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
    data = _content(place)
    if data is None:
        return None
    return parse_layer(place, data)


def parse_layer(place: Candidate, data: bytes) -> Layer:
    """The layer that the content `data` of a file at `place` is.

    Raises InvalidPolicyError for a text that is not a valid policy, PolicyError for one too large
    to look at.
    """
    text = syntax.decoded(data, place.path)
    return _checked(place, text, _parsed(text, place), ())


def _read_shared(place: Candidate) -> Layer | None:
    """The layer in a pyproject.toml: None unless it has our table.

    The file belongs to others. What is wrong with it is our business only if it mentions us:
    then a tightening could be lost, and reading fails closed.
    """
    try:
        data = _content(place)
    except PolicyError:
        if _MENTION.encode() in trusted_file.start(place.path):
            raise
        return None
    if data is None or _TABLE[-1].encode() not in data:
        return None
    mentioned = _MENTION.encode() in data
    try:
        text = syntax.decoded(data, place.path)
        document = _parsed(text, place)
    except PolicyError:
        if mentioned:
            raise
        return None
    tool = document.get("tool")
    if not isinstance(tool, dict) or "routeguard" not in tool:
        return None
    return _checked(place, text, tool["routeguard"], _TABLE)


def _content(place: Candidate) -> bytes | None:
    foreign = place.layer == "project"
    return trusted_file.content(place.path, judged=place.judged and not foreign, foreign=foreign)


def _parsed(text: str, place: Candidate) -> dict[str, Any]:
    return syntax.parsed(text, place.path, bounded=place.layer == "project")


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
