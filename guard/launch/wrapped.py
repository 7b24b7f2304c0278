"""What a script in front of an agent hands on to it, looked at before the launch.

A script can set anew what a launch has set or removed, start the agent in another directory, or
hand nothing on (`env -i`, a login shell, a container), and so can a version manager. So it is asked
for the agent's version first, with the environment of the launch and a pipe that is full: the agent
waits in it (run on the tested releases of all of them), and the process table shows what it was
given.

Not on the hot path: only a launch through such a program comes here.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING

from guard.agents import binary
from guard.agents.guarded import direct_keys, undoing
from guard.catalog.programs import effective
from guard.findings import Finding
from guard.packages import make_importable
from guard.paths import LOOKED_AT
from guard.sources import processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guard.agents.adapter import Agent
    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy

TIMEOUT = 20.0
"""Seconds that a script has to start the agent."""

_LOOKS_EVERY = 0.01

_MOST = 40
"""Processes of a script, above which it starts itself again and again."""

_HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
_OWN = ("PATH", "PWD")
"""What a script may change: a shell sets PWD, which is compared as a directory."""


def judge(
    agent: Agent, plan: Plan, policy: CompiledPolicy, environ: Mapping[str, str], now: float
) -> Finding | None:
    """What is wrong with what the program of `plan` hands on to `agent`; None if nothing is.

    `environ` is all that the program will get, `now` in Unix seconds.
    """
    make_importable()
    program, title = plan.program, agent.title
    directory = plan.directory or os.getcwd()
    seen = _arrived(agent, program, environ, directory)
    if seen is None:
        return _finding(
            agent,
            program,
            f"{program} starts {title}, and routeguard cannot see what it hands on to it",
            "",
        )
    started, given = seen
    if _is_routeguard(started):
        return None
    wrong = changed(agent, policy, environ, given, now)
    said = ""
    if wrong:
        said = f"{program} changes {', '.join(wrong)} on the way to {title}"
    for at in filter(None, (started.cwd, given.get("PWD", ""))):
        if not said and not _same(at, directory):
            said = f"{program} starts {title} in {at}, and not in {directory}"
    return _finding(agent, program, said, started.exe) if said else None


def changed(
    agent: Agent,
    policy: CompiledPolicy,
    environ: Mapping[str, str],
    given: Mapping[str, str],
    now: float,
) -> list[str]:
    """The names of what a launch with `environ` depends on that is another in what was `given`."""
    names = {name for name in (*environ, *given) if environ.get(name) != given.get(name)}
    held = {*agent.sets, *agent.directories, *_HOMES, *policy.gateway_keys}.difference(_OWN)
    held.update(key.name for key in direct_keys(given, policy, now) if key.kind != "unknown_key")
    held.update(undoing(agent, given, policy, now))
    return sorted(names & held)


def _arrived(
    agent: Agent, program: str, environ: Mapping[str, str], directory: str
) -> tuple[processes.Snapshot, dict[str, str]] | None:
    """The agent's process behind `program`, and the environment that it was started with."""
    reader, writer = os.pipe()
    try:
        _fill(writer)
        try:
            asked = subprocess.Popen(
                [program, "--version"],
                env={**environ, LOOKED_AT: "1"},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return None
        try:
            until = time.monotonic() + TIMEOUT
            while time.monotonic() < until:
                ended = asked.poll() is not None
                pids = list(_of(asked.pid))
                found = _look(agent, pids)
                if found is not None or ended or len(pids) > _MOST:
                    return found
                time.sleep(_LOOKS_EVERY)
            return None
        finally:
            _end(asked.pid)
            asked.wait()
    finally:
        os.close(reader)
        os.close(writer)


def _fill(writer: int) -> None:
    os.set_blocking(writer, False)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"\n" * size)
    os.set_blocking(writer, True)


def _end(session: int) -> None:
    # at once, for a script that starts itself is faster than any look; then what left the group
    with contextlib.suppress(OSError):
        os.killpg(session, 9)
    for pid in _of(session):
        with contextlib.suppress(OSError):
            os.kill(pid, 9)


def _of(session: int) -> Iterator[int]:
    for pid in processes.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == session:
                yield pid


def _look(agent: Agent, pids: list[int]) -> tuple[processes.Snapshot, dict[str, str]] | None:
    """Which of `pids` runs the agent itself, or routeguard again; None where there is none yet."""
    for pid in pids:
        found = processes.snapshot(pid)
        given = processes.environment(pid)
        if found is None or not given:
            continue
        file = effective(found.exe, found.argv, found.cwd).file
        is_agent = file and not binary.starts_another(file, agent)
        if not is_agent and not _is_routeguard(found):
            continue
        # what has become another program in the meantime is looked at again
        if processes.program_file(pid) == found.exe:
            return found, given
    return None


def _is_routeguard(found: processes.Snapshot) -> bool:
    """Whether it is a launch by routeguard, which is planned, and looked at, by itself."""
    return any(word.endswith("/guard/__main__.py") for word in found.argv[1:5])


def _same(path: str, directory: str) -> bool:
    try:
        return os.path.samefile(path, directory)
    except OSError:
        return False


def _finding(agent: Agent, program: str, said: str, behind: str) -> Finding:
    name = os.path.basename(program)
    fix = f"let {program} hand its environment and directory on as they are"
    if os.path.basename(behind) == name:
        fix += f"; or start what is behind it:\nPATH={os.path.dirname(behind)}:$PATH {name}"
    return Finding("RG207", agent.id, said, where=program, fix=fix)
