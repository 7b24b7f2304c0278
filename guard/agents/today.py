"""Where a launch would go without routeguard: what `explain` holds against the plan."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Say:
    """What one layer has to say about the route: where it is, and what in words."""

    layer: str
    where: str
    says: str


@dataclass
class Today:
    """The route without routeguard, and each layer's say, strongest first."""

    route: str = ""
    says: list[Say] = field(default_factory=list)
