"""Programs that talk to models, by the name they are started with. Hot-path package."""

from __future__ import annotations

AGENTS = {
    "opencode": "opencode",
    "opencode.exe": "opencode",
    # early releases of opencode 2 installed this name (github.com/rjwalters/loom/issues/8438)
    "opencode2": "opencode",
}
"""Program name -> package under `guard.agents`."""

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

PACKAGES = ("opencode-ai", "@opencode/cli", "opencode")
"""npm packages that hold a known agent."""


def agent_of(program: str) -> str:
    """The agent that `program` (a name or a path) starts, or "" if it is none we know."""
    return AGENTS.get(program.rpartition("/")[2], "")


def run_by_package_runner(argv: list[str]) -> str:
    """The npm package if `argv` starts a known agent through a package runner, else "".

    `npx opencode-ai run …` fetches and starts the agent under a path nobody chose, so the launch
    cannot be planned; the caller refuses it.
    """
    subcommands = RUNNERS.get(argv[0].rpartition("/")[2])
    if subcommands is None:
        return ""
    rest = argv[1:]
    if subcommands:
        while rest and rest[0].startswith("-"):
            rest = rest[1:]
        if not rest or rest[0] not in subcommands:
            return ""
        rest = rest[1:]
    for word in rest:
        name = word.removeprefix("--package=")
        at = name.rfind("@")
        if (name[:at] if at > 0 else name) in PACKAGES:
            return word
        if word == "--":
            continue
        if not word.startswith("-") and word not in ("-p", "--package"):
            return ""
    return ""
