"""Waiting for the thing itself, never for a time: a busy machine is slow, not wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Seen = TypeVar("Seen")


def wait_for(condition: Callable[[], Seen]) -> Seen:
    """The first true answer of `condition`; fails after a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    pytest.fail("it did not happen within a minute")
