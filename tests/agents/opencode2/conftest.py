"""A home and a project with opencode 2, in which nothing is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from opencode2_cases import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path.resolve())
