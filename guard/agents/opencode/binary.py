"""Whether the route of an installed opencode can be held. Hot-path module. Pure."""

from __future__ import annotations

from guard.findings import Finding

TESTED = (1, 18, 33)
"""The release on which every measure of the guard was tried."""

TOLD: dict[str, tuple[int, int, int]] = {}
"""The version of a program that a launch has just asked for, by its path: what stands in place of
many programs is asked each time, and its answer decides on the adapter and on the plan."""

OLDEST = (1, 18, 0)
"""The oldest release accepted. Older ones let `.opencode` override the inline config
(github.com/anomalyco/opencode/issues/11628)."""


def judge_version(found: tuple[int, int, int], path: str) -> list[Finding]:
    """A finding if the route of this version cannot be held."""
    shown = ".".join(map(str, found))
    fix = f"npm install -g opencode-ai@{'.'.join(map(str, TESTED))}"
    if found == (0, 0, 0):
        message = "its version is unknown"
    elif found[0] >= 2:
        message = (
            f"version {shown} makes its calls from a shared background server, whose environment "
            "and config were set before this launch"
        )
    elif found < OLDEST:
        message = f"version {shown} lets a repository override the pinned config"
    else:
        return []
    return [Finding("RG204", path, message, where=path, fix=fix)]
