"""Words for times, paths and counts."""

from __future__ import annotations

import time

import pytest

from guard.errors import counted
from guard.report import words

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (7200, "2 h"), (2e5, "2 d")],
)
def test_a_span(seconds: float, text: str) -> None:
    assert words.span(seconds) == text
    assert words.ago(NOW - seconds, NOW) == ("just now" if seconds < 60 else f"{text} ago")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, ""), (1, "1m"), (60, "1m"), (3660, "1h 1m"), (86400 + 3600 + 60, "1d 1h"), (-5, "")],
)
def test_what_is_left(seconds: float, text: str) -> None:
    assert words.left(NOW + seconds, NOW) == text


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_moments(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert words.utc(NOW) == "2027-01-15T08:00:00+00:00"
        assert words.local(NOW) == time.strftime("%Y-%m-%d %H:%M", time.localtime(NOW))
        assert words.clock(NOW) == time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW))
        # the last moment of the year 9999 in some zones is no date in others
        for far in (253402300799.0, 253402333199.0, 1e18, float("inf")):
            assert words.utc(far).startswith("9999-12-31")
            assert words.local(far).startswith(("9999-", "10000"))
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/home/ada", "~"),
        ("/home/ada/x", "~/x"),
        ("/home/adam/x", "/home/adam/x"),
        ("/etc/x", "/etc/x"),
        ("", ""),
    ],
)
def test_the_home(path: str, text: str) -> None:
    assert words.short(path, "/home/ada") == words.short(path, "/home/ada/") == text


def test_counts() -> None:
    assert [counted(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
