"""Plain records: fields by position or by name, defaults, and what is no field."""

from __future__ import annotations

import pytest

from guard.record import Record


class Point(Record):
    """A place with a name and notes."""

    x: int
    y: int = 0
    notes: dict[str, str] = {}  # noqa: RUF012
    marks: list[str] = []  # noqa: RUF012
    seen: set[str] = set()  # noqa: RUF012


def test_fields_come_by_position_by_name_and_by_default() -> None:
    point = Point(1, notes={"a": "b"})
    assert (point.x, point.y, point.notes) == (1, 0, {"a": "b"})
    for name in ("notes", "marks", "seen"):
        assert getattr(Point(1), name) is not getattr(Point(1), name)
    marks = ["a"]
    assert Point(1, marks=marks).marks is marks
    assert list(vars(point)) == ["x", "y", "notes", "marks", "seen"]
    assert "1" in repr(point)
    assert point != Point(1, notes={"a": "b"})
    assert len({point, point}) == 1


@pytest.mark.parametrize(
    ("given", "named"),
    [((), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((1, 2, {}, [], set(), 4), {})],
)
def test_a_field_is_given_once_and_known(given: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="Point"):
        Point(*given, **named)
