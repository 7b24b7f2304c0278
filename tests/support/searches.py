"""The searches for needles, for tests that hold for each: Hyperscan's where it is installed."""

from __future__ import annotations

import importlib.util
import os

from guard.rules.needles import FastSearch, Needle, NeedleSearch, PlainSearch


class Bearer:
    """What has just these needles."""

    def __init__(self, *needles: Needle) -> None:
        self.needles = needles


SEARCHES: list[type[NeedleSearch]] = [PlainSearch]
# it is a dependency of routeguard: an environment without it is an old one, which CI has not
if importlib.util.find_spec("hyperscan") or os.environ.get("CI"):
    SEARCHES.append(FastSearch)
