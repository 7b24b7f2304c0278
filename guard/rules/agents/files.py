"""The files of agents: their detectors, and what an unreadable one of them means.

Few checks meet such a file, and what knows an agent is much to import: it waits until there is one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from guard.agents.opencode.surroundings import role_of
from guard.rules.agents import is_of_codex_home, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile


class _Later:
    """The DETECTOR of a module in this folder, which is imported for the first file that it is for.

    `is_for` says of a path the same as the detector's `wants`.
    """

    needles: tuple[bytes, ...] = (b"",)

    def __init__(self, name: str, module: str, is_for: Callable[[str], object]) -> None:
        self.name = name
        self._module = module
        self._is_for = is_for

    def wants(self, path: str, name: str) -> bool:
        """The files of the detector."""
        return bool(self._is_for(path))

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterable[Finding]:
        """What the detector finds."""
        module = import_module(f"guard.rules.agents.{self._module}")
        found: Iterable[Finding] = module.DETECTOR.check(file, policy)
        return found


DETECTORS = (
    _Later("opencode_files", "opencode.files", role_of),
    _Later("codex_home", "codex_home", is_of_codex_home),
    _Later("other_agents", "others", settings_of),
)
"""The detectors of files that agents read."""


def unread(path: str, why: str, absolute: str = "") -> Finding | None:
    """The finding for a file of an agent that cannot be read; None for one that none reads.

    `absolute` is where it lies, "" if that is not known.
    """
    if not role_of(path):
        return None
    from guard.rules.agents.opencode import files

    return files.unread(path, why, absolute)
