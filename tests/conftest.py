"""What all tests share: what happens when a program they need is not on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

import pytest
from private_network import private_network as private_network


@pytest.fixture(scope="session")
def missing_part() -> Callable[[str], NoReturn]:
    """Call with what is missing and how to install it: fails in CI, skips on a laptop."""

    def missing(what: str) -> NoReturn:
        if os.environ.get("CI"):
            pytest.fail(f"{what} (CI must have every part)", pytrace=False)
        pytest.skip(what)

    return missing
