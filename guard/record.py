"""Plain records, as dataclasses are, for modules that may not import those (8 ms with `inspect`).

Hot-path module.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform():
        return lambda made: made


_REQUIRED = object()
_COPIED = (dict, list, set)


@dataclass_transform()
class Record:
    """Fields are the annotated names of the class, given by position or by name; those of the
    class that it extends come first.

    A default that is a dict, a list or a set is copied for each record. Two records are equal only
    if they are one. `vars` has the fields in their order. `_complete` is called when all are set.
    Raises TypeError for a field that is missing, given twice or unknown.

    What a class has for fields is found out when its first record is made: a launch loads a dozen
    of them, and makes records of a few.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        kind = type(self)
        defaults = _defaults(kind)
        if given:
            fields = dict(zip(defaults, given, strict=False))
            if len(given) > len(fields) or not fields.keys().isdisjoint(named):
                raise TypeError(f"{kind.__name__} takes each field once")
            named = {**fields, **named}
        values = {**defaults, **named}
        if len(values) > len(defaults):
            unknown = ", ".join(name for name in named if name not in defaults)
            raise TypeError(f"{kind.__name__} has no {unknown}")
        for name, value in values.items():
            if value is _REQUIRED:
                raise TypeError(f"{kind.__name__} needs {name}")
            if type(value) in _COPIED and name not in named:
                values[name] = value.copy()
        self.__dict__.update(values)
        self._complete()

    def _complete(self) -> None:
        """Set what depends on other fields."""

    def changed(self, **fields: Any) -> Self:
        """A record like this one with other values in `fields`. Raises TypeError for no field."""
        return type(self)(**{**self.__dict__, **fields})

    def __repr__(self) -> str:
        kind = type(self)
        first = next(iter(_defaults(kind)), "")
        return f"{kind.__name__}({getattr(self, first)!r}, …)" if first else f"{kind.__name__}()"


def _defaults(kind: type[Record]) -> dict[str, Any]:
    """The fields of `kind` with their defaults, _REQUIRED for none."""
    known: dict[str, Any] | None = kind.__dict__.get("_known")
    if known is None:
        known = {}
        for base in kind.__mro__[-2::-1]:  # not `object`
            for name in base.__annotations__:
                known[name] = base.__dict__.get(name, _REQUIRED)
        kind._known = known  # type: ignore[attr-defined]
    return known
