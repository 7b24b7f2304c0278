"""What a launch of opencode is planned from, and what the plan takes over from the files around.

Hot-path module.
"""

from __future__ import annotations

from guard.agents import adapter
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from guard.agents.opencode import directories, grammar, surroundings
    from guard.agents.opencode.route import ProviderModel
    from guard.findings import Finding


class Outcome(Record):
    """`parts` of the pinned config, weakest first; further `routes` to declare; `findings`.

    `texts` maps the path of a Markdown file to what stands in its place, None for nothing; files
    that are not in it are given to the agent as they are. `primary_tools` are withheld from
    subagents. `main` is the model of the agent that starts, None for the default.
    """

    parts: list[dict[str, Any]] = []  # noqa: RUF012
    routes: list[ProviderModel] = []  # noqa: RUF012
    findings: list[Finding] = []  # noqa: RUF012
    texts: dict[str, str | None] = {}  # noqa: RUF012
    primary_tools: list[str] = []  # noqa: RUF012
    main: str = ""


class Facts(adapter.Facts):
    """What `planner.survey` found: the command line, the binary, the files around.

    `elsewhere` tells that the process starts in an empty directory, see `planner.starts_elsewhere`.
    """

    invocation: grammar.Invocation
    found: surroundings.Surroundings
    suffix: str
    directories: directories.Directories
    provider_ids: frozenset[str]
    working_directory: str
    elsewhere: bool
    # what the last plan took over from the files, for `prepare`
    outcome: Outcome | None = None
