"""The files of agents: their detectors, and what an unreadable one of them means."""

from __future__ import annotations

from guard.rules.agents import codex_home, others
from guard.rules.agents.opencode import files as opencode

DETECTORS = (opencode.DETECTOR, codex_home.DETECTOR, others.DETECTOR)
"""The detectors of files that agents read."""

unread = opencode.unread
