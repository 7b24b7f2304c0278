"""Names of the environment, never values."""

from __future__ import annotations

from guard.sources import process_environment


def test_names_sorted_and_present_in_the_order_asked_for() -> None:
    environ = {"B": "2", "A": "1", "302AI_API_KEY": ""}
    assert process_environment.names(environ) == ["302AI_API_KEY", "A", "B"]
    assert process_environment.present(environ, ["B", "C", "A"]) == ["B", "A"]
