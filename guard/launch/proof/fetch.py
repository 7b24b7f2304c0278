"""Fetches the agent from npm for a proof on a machine that has none.

The pinned release goes into routeguard's cache, under a name that holds its version, and is put
there by one rename: an interrupted fetch leaves nothing that would be taken for an agent.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

from guard import paths
from guard.errors import ExitCode, GuardError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.agents.adapter import Agent

_PATIENCE = 600.0
"""Seconds npm may take: the package is large, and npm retries for long where it is offline."""


def fetched(agent: Agent, environ: Mapping[str, str]) -> str:
    """Where the binary of a fetched `agent` is, whether it is there or not."""
    release = f"{agent.packages[0]}-{agent.tested}"
    folder = os.path.join(paths.routeguard_cache(environ), "agents", release)
    return os.path.join(folder, "node_modules", ".bin", agent.names[0])


def fetch(
    agent: Agent,
    environ: Mapping[str, str],
    *,
    version_of: Callable[[str, Mapping[str, str]], str],
    say: Callable[[str], None],
) -> str:
    """The path of the binary of `agent`, fetched now if it is not there or does not run.

    It is the release that routeguard's facts about the agent were taken from.

    Uses the user's own npm client and its settings. Raises GuardError (exit status 127, RG502)
    if npm is missing, fails, or gives a binary that does not run.
    """
    binary = fetched(agent, environ)
    if version_of(binary, environ) == agent.tested:
        return binary
    npm = shutil.which("npm", path=environ.get("PATH", os.defpath))
    if npm is None:
        raise _failed("npm is not on PATH", "install Node.js with npm, or the agent itself")
    folder = os.path.dirname(os.path.dirname(os.path.dirname(binary)))
    parent = paths.private_directory(os.path.dirname(folder))
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=parent) as fresh:
        say(f"fetching {agent.packages[0]}@{agent.tested} with npm into {parent}")
        _install(agent, npm, fresh, environ)
        # npm leaves the bin as a relative link, so it still leads to the binary after the rename
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(fresh, folder)
    if version_of(binary, environ) != agent.tested:
        raise _failed(
            f"{binary} does not answer --version with {agent.tested}",
            f"remove {folder} and try again, or install the agent yourself",
        )
    return binary


def _install(agent: Agent, npm: str, folder: str, environ: Mapping[str, str]) -> None:
    # the package's install script puts the binary of this platform in place; npm 11 wants it
    # allowed by name in package.json (and refuses the option that says the same), older releases
    # know only --ignore-scripts
    wanted = {
        "private": True,
        "dependencies": {agent.packages[0]: agent.tested},
        "allowScripts": {agent.packages[0]: True},
    }
    with open(os.path.join(folder, "package.json"), "w", encoding="ascii") as file:
        json.dump(wanted, file)
    # npm installs beside the nearest package.json. Not by --prefix: the global npmrc, which can
    # hold a company's registry and CA, is looked for below the prefix (run on npm 11.19). What a
    # configuration could set to install less, or elsewhere, is said on the command line
    argv = [npm, "install", "--no-global", "--location=project", "--ignore-scripts=false"]
    argv += ["--include=optional", "--bin-links", "--install-strategy=hoisted"]
    argv += ["--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            env={k: v for k, v in environ.items() if k.lower() != "npm_config_local_prefix"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(
            f"npm was still running after {_PATIENCE:g} seconds",
            "check that npm reaches its registry, or install the agent yourself",
        ) from None
    if done.returncode != 0:
        said = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        raise _failed(
            f"npm ended with status {done.returncode}: "
            + "\n".join(printable(line) for line in said[-4:]),
            "check that npm reaches its registry, or install the agent yourself",
        )


def _failed(why: str, fix: str) -> GuardError:
    return GuardError(
        "cannot fetch the agent", why=why, fix=fix, rule="RG502", exit_code=ExitCode.NOT_FOUND
    )
