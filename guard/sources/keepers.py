"""What starts a process again when it ends, and the command that stops it for good.

Linux: the control group (cgroups(7)) names the systemd unit or the container; a supervisor is
known as a parent and tells its name for the process in the environment it gives it. macOS:
`launchctl list` (its columns from launchctl(1); not run there).
"""

from __future__ import annotations

import os
import re
import sys

from guard.record import Record
from guard.sources import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.sources.processes import Snapshot


class Keeper(Record):
    """What starts a process again when it ends.

    `kind` is `systemd`, `systemd-user`, `launchd`, `brew`, `docker` or `supervisor`; `unit` the
    unit, label, container or program; `stop` the command that stops it for good, as words, empty
    where none is known; `owned` whether this user may run it without a password.
    """

    kind: str
    unit: str
    stop: tuple[str, ...] = ()
    owned: bool = False


_UNIT = re.compile(r"/([^/]+)\.service(?=/|$)")
_USER_MANAGER = re.compile(r"/user@(\d+)\.service/")
_CONTAINER = re.compile(r"(docker|libpod)[-/]([0-9a-f]{12})[0-9a-f]*")
_LAUNCHERS = frozenset(
    ("sh", "bash", "dash", "zsh", "fish", "env", "uv", "uvx", "npx", "npm", "pnpm", "node", "bun")
)
_SUPERVISORS = {
    "supervisord": "supervisord",
    "circusd": "circusd",
    "honcho": "honcho",
    "overmind": "overmind",
    "foreman": "foreman",
    "runsv": "runit",
    "s6-supervise": "s6",
    "nodemon": "nodemon",
    "watchmedo": "watchmedo",
}


def keeper(
    snapshot: Snapshot,
    parents: Sequence[Snapshot] = (),
    *,
    program_of: Callable[[Snapshot], str] = lambda snapshot: snapshot.comm,
) -> Keeper | None:
    """What keeps `snapshot` alive, None if nothing is known to.

    A unit counts only where the way down from it is free: what a person typed below sshd, cron or
    a terminal lives in a unit, too, and stopping that unit would end much else. `program_of` names
    the effective program of a parent.
    """
    if sys.platform == "darwin":
        return _launchd(snapshot)
    groups = processes.control_groups(snapshot.pid)
    contained = _container(groups)
    if contained is not None:
        return contained
    supervisor = _supervisor(snapshot, parents, program_of)
    if supervisor is not None:
        return supervisor
    return _unit(snapshot, groups, parents, program_of)


def container(reference: str) -> Keeper:
    """The docker container of that name or id."""
    may = os.access("/var/run/docker.sock", os.W_OK)
    return Keeper("docker", reference, stop=("docker", "stop", reference), owned=may)


def _container(groups: str) -> Keeper | None:
    found = _CONTAINER.search(groups)
    if found is None:
        return None
    if found.group(1) == "docker":
        return container(found.group(2))
    # podman keeps containers of one's own and root's: only its owner can see it by name
    return Keeper("docker", found.group(2), stop=("podman", "stop", found.group(2)))


def _unit(
    snapshot: Snapshot,
    groups: str,
    parents: Sequence[Snapshot],
    program_of: Callable[[Snapshot], str],
) -> Keeper | None:
    path = next((line.split(":", 2)[-1] for line in groups.splitlines() if ".service" in line), "")
    names = _UNIT.findall(path)
    if not names or path.rpartition("/")[2].endswith(".scope"):
        return None
    name = names[-1]
    if name.startswith("user@"):
        return None
    own = program_of(snapshot)
    for above in parents:
        if above.pid == 1 or above.comm == "systemd":
            break
        if processes.control_groups(above.pid) != groups:
            break
        if program_of(above) not in _LAUNCHERS | {own}:
            return None
    manager = _USER_MANAGER.search(path)
    if manager is None:
        return Keeper(
            "systemd", f"{name}.service", stop=("systemctl", "stop", name), owned=os.geteuid() == 0
        )
    return Keeper(
        "systemd-user",
        f"{name}.service",
        stop=("systemctl", "--user", "stop", name),
        owned=int(manager.group(1)) == os.getuid(),
    )


def _supervisor(
    snapshot: Snapshot,
    parents: Sequence[Snapshot],
    program_of: Callable[[Snapshot], str],
) -> Keeper | None:
    for above in parents:
        name = program_of(above)
        own = above.uid == os.getuid()
        # pm2's daemon calls itself "PM2 v5.4.2: God Daemon (/home/…)"
        if name == "PM2" or above.comm.startswith("PM2 "):
            number = _variable(snapshot.pid, "pm_id")
            stop = ("pm2", "stop", number) if number.isdecimal() else ()
            return Keeper("supervisor", "pm2", stop=stop, owned=own)
        if name in _SUPERVISORS:
            stop = ()
            if name == "supervisord":
                group = _variable(snapshot.pid, "SUPERVISOR_GROUP_NAME")
                process = _variable(snapshot.pid, "SUPERVISOR_PROCESS_NAME")
                words = f"{group}:{process}"
                stop = ("supervisorctl", "stop", words) if _is_plain(words) else ()
            return Keeper("supervisor", _SUPERVISORS[name], stop=stop, owned=own)
        if name not in _LAUNCHERS:
            break
    return None


def _variable(pid: int, name: str) -> str:
    """One variable that a supervisor sets for its children: its own name for them, no secret."""
    return (processes.environment(pid) or {}).get(name, "")


def _is_plain(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_.@-]+:[A-Za-z0-9_.@-]+", text) is not None


def _launchd(snapshot: Snapshot) -> Keeper | None:
    from guard.sources.output import output

    text = output(["/bin/launchctl", "list"])
    return parse_launchctl(text or "", snapshot.pid, snapshot.parent, os.getuid())


def parse_launchctl(text: str, pid: int, parent: int, uid: int) -> Keeper | None:
    """The job of `pid`, or of its parent, in what `launchctl list` prints: PID, status, label.

    Labels of applications (`application.…`) are no jobs that launchd starts again.
    """
    labels: dict[int, str] = {}
    for line in text.splitlines()[1:]:
        words = line.split("\t")
        if len(words) == 3 and words[0].isdecimal():
            labels[int(words[0])] = words[2]
    label = labels.get(pid) or (labels.get(parent, "") if parent > 1 else "")
    if not label or label.startswith("application."):
        return None
    if label.startswith("homebrew.mxcl."):
        formula = label.removeprefix("homebrew.mxcl.")
        return Keeper("brew", formula, stop=("brew", "services", "stop", formula), owned=True)
    return Keeper("launchd", label, stop=("launchctl", "bootout", f"gui/{uid}/{label}"), owned=True)
