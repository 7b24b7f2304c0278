"""The exceptions that hold for a user, of every layer, and which of them count."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from guard import paths
from guard.errors import GuardError
from guard.policy.layers import Layer, candidates, read_all
from guard.policy.merge import Merged, Value, merge
from guard.policy.places import user_policy
from guard.policy.spans import end_of
from guard.policy.values import normal_subject


@dataclass(frozen=True, slots=True)
class Listed:
    """One exception: where it stands, and whether the layers above accept it."""

    item: Value
    counts: bool

    @property
    def state(self) -> str:
        """ "active", "expired" or "refused"."""
        if is_over(self.item):
            return "expired"
        return "active" if self.counts else "refused"


def layers_of(environ: Mapping[str, str]) -> tuple[Layer, ...]:
    """The system and user layers; a project has no say in exceptions. Raises PolicyError."""
    return tuple(read_all(candidates(paths.SYSTEM_POLICY, user_policy(environ), ())))


def refuse_where_not_accepted(merged: Merged) -> None:
    """Raise GuardError if the policy accepts no exceptions of the user.

    Exit status 126, as for a launch: the policy is understood, and it says no.
    """
    choice = merged.values["user_exceptions"]
    if choice.value == "refuse":
        is_system = choice.origin.layer == "system"
        raise GuardError(
            f"the {choice.origin.layer} policy refuses exceptions of the user",
            where=choice.origin.where,
            why='user_exceptions = "refuse"; nothing was written',
            fix="ask the administrator of this machine for an [[exception]] there"
            if is_system
            else "change it in your policy first",
        )


def elsewhere(found: Iterable[Value], subject: str, but_in: str) -> list[Value]:
    """Those of `found` that allow `subject`, are not over, and are not in the file `but_in`."""
    wanted = normal_subject(subject)
    return [
        item
        for item in found
        if item.origin.path != but_in
        and normal_subject(item.value.subject) == wanted
        and not is_over(item)
    ]


def every(merged: Merged, layers: tuple[Layer, ...]) -> list[Listed]:
    """Every exception of every layer, the next to end first."""
    found = [Listed(item, counts=True) for item in merged.exceptions]
    counted = {(item.origin.path, item.origin.line) for item in merged.exceptions}
    for layer in layers:
        for item in merge([layer]).exceptions:
            if (item.origin.path, item.origin.line) not in counted:
                found.append(Listed(item, counts=False))
    return sorted(found, key=lambda one: end_of(one.item.value.until))


def is_over(item: Value) -> bool:
    """Whether the exception has ended."""
    return end_of(item.value.until) < time.time()
