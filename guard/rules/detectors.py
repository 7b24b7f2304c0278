"""The detectors: each reads one file and says what a rule finds in it.

A detector is pure. It takes a file and the compiled policy and yields findings; it opens nothing,
runs nothing and remembers nothing between files.

To add one: a module in files/ or agents/ that ends in `DETECTOR = …`, one import, and one line in
DETECTORS.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from guard.rules.agents import files as agent_files
from guard.rules.files import (
    base_urls,
    ci,
    clients,
    code,
    containers,
    dotenv,
    jenkins,
    kinds,
    lines,
    secrets,
    services,
    shell,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.rules.needles import Needle
    from guard.sources.file import SourceFile


class Detector(Protocol):
    """What looks for one kind of thing in files.

    A file is handed over only if one of `needles` stands in its bytes (`Needle` says how). The
    empty needle means every file that `wants` accepts, which then has to be narrow. `wants`
    decides from the path (relative to the root, `/` between its parts) and the last part of it,
    without reading anything.
    """

    name: str

    @property
    def needles(self) -> tuple[Needle, ...]:
        """What files with a finding hold."""
        ...

    def wants(self, path: str, name: str) -> bool:
        """Whether this file may hold what the detector looks for, by its path alone."""
        ...

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterable[Finding]:
        """The findings in `file`."""
        ...


DETECTORS: tuple[Detector, ...] = (
    secrets.DETECTOR,
    dotenv.DETECTOR,
    base_urls.DETECTOR,
    clients.DETECTOR,
    shell.DETECTOR,
    code.DETECTOR,
    ci.DETECTOR,
    jenkins.DETECTOR,
    containers.DETECTOR,
    kinds.DETECTOR,
    lines.DETECTOR,
    services.UNITS,
    services.PROPERTY_LISTS,
    services.PROCFILES,
    *agent_files.DETECTORS,
)
"""Every detector, in the order in which a file meets them."""

_NOT_BY_NAME = (
    secrets.DETECTOR,
    base_urls.DETECTOR,
    clients.DETECTOR,
    code.DETECTOR,
    kinds.DETECTOR,
    shell.DETECTOR,
)
"""Those that read files for what they say: every text, source code, JSON and YAML, scripts."""


def is_in_force(path: str, head: bytes = b"") -> bool:
    """Whether a shell, an agent, CI, a container or a tool does what the file at `path` says, by
    its name alone, or because its `head` names a shell. If such a file cannot be checked, it
    could be the one that moves the route.

    Not source code, and not what is of a kind only by what it says: much of that is made by
    programs and large (bundles of JavaScript, notebooks with images, lock files, definitions of
    Kubernetes), and does nothing until something else starts it.
    """
    name = os.path.basename(path)
    narrow = (detector for detector in DETECTORS if detector not in _NOT_BY_NAME)
    return (
        kinds.is_by_name(path)
        or shell.is_in_force(path, head)
        or any(detector.wants(path, name) for detector in narrow)
    )


written.use(d for d in DETECTORS if d not in (secrets.DETECTOR, base_urls.DETECTOR))
