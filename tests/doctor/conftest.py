"""The machine that the checks look at."""

from __future__ import annotations

from doctored import machine as machine
