"""Package runners: which agent `npx …` and its like would fetch and start. Hot-path module."""

from __future__ import annotations

from guard.agents.registry import agent_of, holds_agent

RUNNERS = {
    "npx": (),
    "bunx": (),
    "pnpx": (),
    "npm": ("exec", "x"),
    "pnpm": ("dlx", "exec"),
    "yarn": ("dlx", "exec"),
    "bun": ("x", "run"),
}
"""Package runners, with the subcommands under which they start a package's program."""

_VALUED = frozenset(
    (
        "-C",
        "-F",
        "-w",
        "--cache",
        "--cwd",
        "--dir",
        "--filter",
        "--loglevel",
        "--prefix",
        "--registry",
        "--script-shell",
        "--userconfig",
        "--workspace",
    )
)
"""Options of package runners that take the next word (`npm help npx`, `pnpm help`)."""

_CALLS = ("-c", "--call")
"""Options whose value is a command line of its own, run with the package's programs on PATH."""


def run_by_package_runner(argv: list[str]) -> str:
    """The npm package if `argv` starts a known agent through a package runner, else "".

    `npx PACKAGE …` fetches and starts the agent under a path nobody chose, so the launch
    cannot be planned; the caller refuses it.
    """
    subcommands = RUNNERS.get(argv[0].rpartition("/")[2])
    if subcommands is None:
        return ""
    words = iter(argv[1:])
    for word in words:
        if word in _VALUED:
            next(words, "")
        elif word in _CALLS:
            first = next(words, "").split(maxsplit=1)[:1]
            if first and (_is_agent_package(first[0]) or agent_of(first[0])):
                return first[0]
        elif word.startswith("-"):
            if _is_agent_package(word.removeprefix("--package=")):
                return word
        elif subcommands:
            if word not in subcommands:
                return ""
            subcommands = ()
        else:
            return word if _is_agent_package(word) else ""
    return ""


def _is_agent_package(spec: str) -> bool:
    """Whether the npm package `spec` (`NAME`, `NAME@VERSION`, `ALIAS@npm:NAME`) holds an agent."""
    name = spec.partition("@npm:")[2] or spec
    at = name.rfind("@")
    return holds_agent(name[:at] if at > 0 else name)
