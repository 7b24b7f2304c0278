"""What a launch of opencode is planned from, and what the plan takes over from the files around.

Hot-path module.
"""

from __future__ import annotations

from guard.agents import adapter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from guard.agents.opencode import directories, grammar, surroundings
    from guard.agents.opencode.route import Route
    from guard.findings import Finding


class Outcome:
    """`parts` of the pinned config, weakest first; further `routes` to declare; `findings`.

    `texts` maps the path of a Markdown file to what stands in its place, None for nothing; files
    that are not in it are given to the agent as they are. `primary_tools` are withheld from
    subagents. `main` is the model of the agent that starts, None for the default.
    """

    __slots__ = ("findings", "main", "parts", "primary_tools", "routes", "texts")

    def __init__(self) -> None:
        self.parts: list[dict[str, Any]] = []
        self.routes: list[Route] = []
        self.findings: list[Finding] = []
        self.texts: dict[str, str | None] = {}
        self.primary_tools: list[str] = []
        self.main: str = ""


class Facts(adapter.Facts):
    """What `planner.look` found: the command line, the binary, the files around.

    `environ` is the user's environment with the traces of an outer guarded launch taken back.
    """

    __slots__ = (
        "command",
        "directories",
        "environ",
        "found",
        "invocation",
        "outcome",
        "provider_ids",
        "suffix",
        "version",
        "working_directory",
    )

    def __init__(
        self,
        *,
        invocation: grammar.Invocation,
        environ: dict[str, str],
        version: tuple[int, int, int],
        found: surroundings.Surroundings,
        suffix: str,
        places: directories.Directories,
        provider_ids: frozenset[str],
        working_directory: str,
    ) -> None:
        self.invocation = invocation
        self.command = invocation.command
        self.environ = environ
        self.version = version
        self.found = found
        self.suffix = suffix
        self.directories = places
        self.provider_ids = provider_ids
        self.working_directory = working_directory
        # what the last plan took over from the files, for `prepare`
        self.outcome: Outcome | None = None
