"""Package runners: which agent `npx …` and its like would fetch and start. Hot-path module."""

from __future__ import annotations

from guard.agents.registry import agent_of, holds_agent
from guard.catalog import runners


def run_by_package_runner(argv: list[str]) -> str:
    """The npm package if `argv` starts a known agent through a package runner, else "".

    `npx PACKAGE …` fetches and starts the agent under a path nobody chose, so the launch
    cannot be planned; the caller refuses it.
    """
    run = runners.read(argv)
    if run is None:
        return ""
    for index in (*run.packages, run.command):
        if index < 0:
            continue
        if argv[0].rpartition("/")[2] == "go" and argv[index].startswith((".", "/")):
            continue  # a folder of Go's, built
        name = runners.package_name(argv[index])
        # by the name of its program it is one that the project has installed
        if holds_agent(name) or agent_of(name):
            return argv[index]
    for index in run.texts:
        for first in argv[index].split(maxsplit=1)[:1]:
            if holds_agent(first) or agent_of(first):
                return first
    return ""
