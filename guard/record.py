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


class _Fields(type):
    """Makes slots of the annotated names of a class, with their values as defaults."""

    _defaults: dict[str, Any]
    _copied: list[str]

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _Fields:
        names = tuple(namespace.get("__annotations__", ()))
        defaults = {one: namespace.pop(one, _REQUIRED) for one in names}
        made = super().__new__(mcs, name, bases, {**namespace, "__slots__": names})
        for base in reversed(bases):
            defaults = {**getattr(base, "_defaults", {}), **defaults}
        made._defaults = defaults
        made._copied = [n for n, one in defaults.items() if type(one) in (dict, list, set)]
        return made


@dataclass_transform()
class Record(metaclass=_Fields):
    """Fields are the annotated names of the class, in `__slots__`, given by position or by name;
    those of the class that it extends come first.

    A default that is a dict, a list or a set is copied for each record. Two records are equal only
    if they are one. `_complete` is called when all fields are set. Raises TypeError for a field
    that is missing, given twice or unknown.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        kind = type(self)
        if given:
            fields = dict(zip(kind._defaults, given, strict=False))
            if len(given) > len(fields) or not fields.keys().isdisjoint(named):
                raise TypeError(f"{kind.__name__} takes each field once")
            named = {**fields, **named}
        values = {**kind._defaults, **named}
        if len(values) > len(kind._defaults):
            unknown = ", ".join(name for name in named if name not in kind._defaults)
            raise TypeError(f"{kind.__name__} has no {unknown}")
        for name, value in values.items():
            if value is _REQUIRED:
                raise TypeError(f"{kind.__name__} needs {name}")
            setattr(self, name, value)
        for name in kind._copied:
            if name not in named:
                setattr(self, name, values[name].copy())
        self._complete()

    def _complete(self) -> None:
        """Set what depends on other fields."""

    def changed(self, **fields: Any) -> Self:
        """A record like this one with other values in `fields`. Raises TypeError for no field."""
        kind = type(self)
        return kind(**{**{name: getattr(self, name) for name in kind._defaults}, **fields})

    def __repr__(self) -> str:
        kind = type(self)
        first = next(iter(kind._defaults), "")
        return f"{kind.__name__}({getattr(self, first)!r}, …)" if first else f"{kind.__name__}()"
