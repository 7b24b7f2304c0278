"""The process table: who holds a socket, and what a process was started as.

Linux: `/proc` directly (proc(5)), under `proc`. macOS: psutil, which sees one's own processes
(not run there). Every function takes a process that has gone, or that may not be read, as normal.

Arguments can hold keys and prompts: `Snapshot.argv` is for the function that identifies, and is
neither kept nor shown.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import psutil

MACOS = sys.platform == "darwin"
_ARGUMENTS_MOST = 1 << 16
_DEPTH = 16


class Snapshot:
    """A process as it was at one moment; what could not be read is empty.

    `started` is in clock ticks since boot (macOS: microseconds since 1970), 0 if unknown: pid and
    `started` together are one process for ever. `uid` is the real uid, -1 if unknown. `comm` is
    the kernel's name of it, at most 15 bytes. `exe` has no " (deleted)" behind it.
    """

    __slots__ = ("argv", "comm", "cwd", "exe", "parent", "pid", "started", "uid")

    def __init__(
        self,
        pid: int,
        *,
        started: int = 0,
        parent: int = 0,
        uid: int = -1,
        comm: str = "",
        argv: tuple[str, ...] = (),
        exe: str = "",
        cwd: str = "",
    ) -> None:
        self.pid = pid
        self.started = started
        self.parent = parent
        self.uid = uid
        self.comm = comm
        self.argv = argv
        self.exe = exe
        self.cwd = cwd

    def __repr__(self) -> str:
        # without the arguments
        return f"Snapshot({self.pid}, {self.comm!r})"


def look(pid: int, *, proc: str = "/proc") -> Snapshot | None:
    """The process `pid` as it is now, None if it is gone or a zombie.

    The start time is read before and after everything else, so that a pid that was reused in
    between gives None and never a mixture of two processes.
    """
    if MACOS and proc == "/proc":
        return _look_psutil(pid)
    before = _stat(pid, proc)
    if before is None:
        return None
    comm, parent, started = before
    found = Snapshot(
        pid,
        started=started,
        parent=parent,
        uid=_uid(pid, proc),
        comm=comm,
        argv=_arguments(pid, proc),
        exe=_link(f"{proc}/{pid}/exe").removesuffix(" (deleted)"),
        cwd=_link(f"{proc}/{pid}/cwd").removesuffix(" (deleted)"),
    )
    after = _stat(pid, proc)
    return found if after is not None and after[2] == started else None


def started(pid: int, *, proc: str = "/proc") -> int:
    """When `pid` started, as `Snapshot.started`; 0 if it is gone or a zombie."""
    if MACOS and proc == "/proc":
        found = _look_psutil(pid)
        return found.started if found is not None else 0
    stat = _stat(pid, proc)
    return stat[2] if stat is not None else 0


def since(started: int, *, proc: str = "/proc") -> float:
    """A start time of `Snapshot.started` in Unix seconds, 0.0 if it cannot be told."""
    if not started:
        return 0.0
    if MACOS and proc == "/proc":
        return started / 1e6
    try:
        with open(f"{proc}/stat", "rb") as file:
            for line in file:
                if line.startswith(b"btime "):
                    return int(line.split()[1]) + started / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        pass
    return 0.0


def holders(inodes: Collection[int], *, proc: str = "/proc") -> dict[int, list[int]]:
    """The pids that have a descriptor of each socket, as far as this user may look.

    One pass over all processes. A pid was seen holding it; whether it still does is for
    `holds` to say after everything else about it was read.
    """
    names = {f"socket:[{inode}]": inode for inode in inodes if inode > 0}
    found: dict[int, list[int]] = {}
    for pid in pids(proc=proc) if names else ():
        for inode in set(_sockets(pid, names, proc)):
            found.setdefault(inode, []).append(pid)
    return found


def holds(pid: int, inodes: Collection[int], *, proc: str = "/proc") -> bool:
    """Whether `pid` has a descriptor of one of these sockets now."""
    names = {f"socket:[{inode}]": inode for inode in inodes if inode > 0}
    return any(True for _ in _sockets(pid, names, proc))


def holders_of_ports(ports: Collection[int]) -> dict[int, list[int]]:
    """The pids that listen on each port, asked of psutil process by process.

    For macOS, where sockets have no inode. Without root a foreign process raises AccessDenied
    and is passed over (psutil 7.2.2's source; not run on macOS).
    """
    import psutil

    found: dict[int, list[int]] = {}
    for process in psutil.process_iter():
        try:
            connections = process.net_connections("tcp")
        except (psutil.Error, OSError):
            continue
        for connection in connections:
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port in ports:
                holding = found.setdefault(address.port, [])
                if process.pid not in holding:
                    holding.append(process.pid)
    return found


def pids(*, proc: str = "/proc") -> list[int]:
    """Every process that this user may see, in ascending order; [] if `/proc` cannot be read."""
    if MACOS and proc == "/proc":
        import psutil

        return list(psutil.pids())
    try:
        return sorted(int(name) for name in os.listdir(proc) if name.isdecimal())
    except OSError:
        return []


def sockets_visible(pid: int, *, proc: str = "/proc") -> bool:
    """Whether this user may see which files and sockets `pid` holds."""
    try:
        os.scandir(f"{proc}/{pid}/fd").close()
    except OSError:
        return False
    return True


def of_user(uid: int, *, proc: str = "/proc") -> list[int]:
    """The processes of the user `uid`, which may be fewer than there are (`hidepid`, proc(5))."""
    found = []
    for pid in pids(proc=proc):
        try:
            owner = os.stat(f"{proc}/{pid}").st_uid
        except OSError:
            continue
        # the directory of a process that may not be dumped belongs to root
        if owner == uid or (owner == 0 and _uid(pid, proc) == uid):
            found.append(pid)
    return found


def parents(snapshot: Snapshot, *, proc: str = "/proc") -> list[Snapshot]:
    """What `snapshot` was started by, the nearest first, at most 16, without pid 1's own parent."""
    found: list[Snapshot] = []
    pid = snapshot.parent
    seen = {snapshot.pid}
    while pid > 0 and pid not in seen and len(found) < _DEPTH:
        seen.add(pid)
        above = look(pid, proc=proc)
        # a parent that is younger than its child is another process with its number
        if above is None or (snapshot.started and above.started > snapshot.started):
            break
        found.append(above)
        pid = above.parent
    return found


def user_name(uid: int) -> str:
    """The name of the user `uid`: the number where it has none, "" if `uid` is unknown (-1)."""
    if uid < 0:
        return ""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def network(pid: int | str = "self", *, proc: str = "/proc") -> str:
    """The network namespace of `pid` as text ("net:[4026531840]"), "" if it cannot be told."""
    return _link(f"{proc}/{pid}/ns/net")


def control_groups(pid: int, *, proc: str = "/proc") -> str:
    """`/proc/PID/cgroup` (cgroups(7)), "" if it cannot be read."""
    try:
        with open(f"{proc}/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return file.read(1 << 14)
    except OSError:
        return ""


def _stat(pid: int, proc: str) -> tuple[str, int, int] | None:
    """comm, parent and start time; None if the process is gone, a zombie, or unreadable."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:
            raw = file.read(4096)
        # comm, the second field, may hold blanks and parentheses
        head, _, tail = raw.rpartition(b")")
        fields = tail.split()
        if fields[0] in (b"Z", b"X", b"x"):
            return None
        return os.fsdecode(head.partition(b"(")[2]), int(fields[1]), int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def _uid(pid: int, proc: str) -> int:
    """The real uid; the directory's owner is root for a process that may not be dumped."""
    try:
        with open(f"{proc}/{pid}/status", "rb") as file:
            for line in file.read(4096).splitlines():
                if line.startswith(b"Uid:"):
                    return int(line.split()[1])
        return os.stat(f"{proc}/{pid}").st_uid
    except (OSError, ValueError, IndexError):
        return -1


def _arguments(pid: int, proc: str) -> tuple[str, ...]:
    try:
        with open(f"{proc}/{pid}/cmdline", "rb") as file:
            raw = file.read(_ARGUMENTS_MOST)
    except OSError:
        return ()
    # a title written over the arguments is filled up with zeros
    return tuple(os.fsdecode(word) for word in raw.rstrip(b"\0").split(b"\0")) if raw else ()


def _sockets(pid: int, names: Mapping[str, int], proc: str) -> Iterator[int]:
    directory = f"{proc}/{pid}/fd"
    try:
        descriptors = os.listdir(directory)
    except OSError:
        return
    for descriptor in descriptors:
        try:
            inode = names.get(os.readlink(f"{directory}/{descriptor}"))
        except OSError:
            continue
        if inode is not None:
            yield inode


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _look_psutil(pid: int) -> Snapshot | None:
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            found = Snapshot(
                pid,
                started=int(process.create_time() * 1e6),
                parent=process.ppid(),
                comm=process.name(),
            )
            for fill in (_fill_owner, _fill_argv, _fill_exe, _fill_cwd):
                try:
                    fill(found, process)
                except (psutil.AccessDenied, OSError):
                    continue
    except (psutil.Error, OSError):
        return None
    return found


def _fill_owner(found: Snapshot, process: psutil.Process) -> None:
    found.uid = process.uids().real


def _fill_argv(found: Snapshot, process: psutil.Process) -> None:
    found.argv = tuple(process.cmdline())


def _fill_exe(found: Snapshot, process: psutil.Process) -> None:
    found.exe = process.exe()


def _fill_cwd(found: Snapshot, process: psutil.Process) -> None:
    found.cwd = process.cwd()
