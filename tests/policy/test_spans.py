"""Times as people type them. Those of an exception: tests/commands/test_allow.py."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from guard.errors import UsageError
from guard.policy.spans import since

NOW = 1_800_000_000.0
NOVEMBER = 1_793_491_200
"""2026-11-01, 00:00 in UTC."""


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("2h", 7200), ("7d", 604800), ("1w", 604800), ("1d12h", 129600), ("0m", 0)],
)
def test_a_length_of_time(text: str, seconds: int) -> None:
    assert since(text, NOW) == NOW - seconds


@pytest.mark.usefixtures("utc")
def test_a_date() -> None:
    assert since("2026-11-01", NOW) == NOVEMBER
    assert since("2026-11-01T18:00", NOW) == NOVEMBER + 18 * 3600
    assert since("2026-11-01T18:00+02:00", NOW) == NOVEMBER + 16 * 3600
    assert since("2026-11-01T18:00Z", NOW) == NOVEMBER + 18 * 3600


@pytest.mark.parametrize("text", ["", "h", "2x", "\u00b2h", "yesterday", "2026-13-01", "9999999h"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="not a time"):
        since(text, NOW)
