"""The process table: who holds a socket, and what a process was started as.

psutil answers, on Linux and macOS alike. By hand, from `/proc` (proc(5)), is only what psutil does
not give (who has a descriptor of a socket, control groups, arguments as they are) and what has to
be quick or exact (the start time that a pidfd is compared with). Every function takes a process
that has gone, or that may not be read, as normal.

Arguments can hold keys and prompts: `Snapshot.argv` is for the function that identifies, and is
neither kept nor shown.
"""

from __future__ import annotations

import os
import sys

from guard.policy.cache import checksum
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Any, TypeVar

    import psutil

    from guard.sources.listener import Listener

    T = TypeVar("T")

PROC = "/proc"
"""Where Linux shows its processes; psutil's own is `psutil.PROCFS_PATH`."""

_LINUX = sys.platform == "linux"
_ARGUMENTS_MOST = 1 << 16


class Snapshot(Record):
    """A process as it was at one moment; what could not be read is empty.

    `started` is in clock ticks since boot (macOS: microseconds since 1970), 0 if unknown: pid and
    `started` together are one process for ever. `uid` is the real uid, -1 if unknown. `comm` is the
    kernel's name of it. `exe` has no " (deleted)" behind it.
    """

    pid: int
    started: int = 0
    parent: int = 0
    uid: int = -1
    comm: str = ""
    argv: tuple[str, ...] = ()
    exe: str = ""
    cwd: str = ""


def snapshot(pid: int) -> Snapshot | None:
    """The process `pid` as it is now, None if it is gone or a zombie.

    A pid that was reused while it was read gives None and never a mixture of two processes.
    """
    start = started(pid)
    process = _process(pid) if start else None
    if process is None:
        return None
    with process.oneshot():
        found = Snapshot(
            pid,
            started=start,
            parent=_ask(process.ppid, 0),
            uid=_uid(process),
            comm=_ask(process.name, ""),
            argv=_arguments(process),
            exe=_ask(process.exe, ""),
            cwd=_ask(process.cwd, ""),
        )
    return found if started(pid) == start else None


def started(pid: int) -> int:
    """When `pid` started, as `Snapshot.started`; 0 if it is gone or a zombie."""
    if not _LINUX:
        import psutil

        process = _process(pid)
        if process is None or _ask(process.status, "") == psutil.STATUS_ZOMBIE:
            return 0
        return int(_ask(process.create_time, 0.0) * 1e6)
    fields = _stat(pid)
    try:
        return 0 if fields[0] in (b"Z", b"X", b"x") else int(fields[19])
    except (IndexError, ValueError):
        return 0


def since(snapshot: Snapshot) -> float:
    """When a process started, in Unix seconds; 0.0 if it is gone or that is unknown."""
    found = _asked(snapshot.pid, lambda process: process.create_time(), 0.0)
    return found if started(snapshot.pid) == snapshot.started else 0.0


def running(pid: int) -> str:
    """What `pid` is and runs now, a text that changes with exec(2) and has no blanks; "" if gone.

    On Linux that is its start time, its program file, its arguments, and where its code, stack and
    arguments lie: a kernel that randomises addresses (randomize_va_space) moves them at each exec,
    also of the same program. Fields 26 to 28 and 45 to 51 of proc_pid_stat(5). It ends in "?" where
    not all of it may be read.
    """
    start = started(pid)
    if not start:
        return ""
    try:
        about = os.stat(f"{PROC}/{pid}/exe" if _LINUX else program_file(pid))
        if _LINUX:
            with open(f"{PROC}/{pid}/cmdline", "rb", buffering=0) as file:
                raw = file.read(_ARGUMENTS_MOST)
            fields = _stat(pid)
            raw += b" ".join(fields[23:26] + fields[42:49])
        else:
            nothing: tuple[str, ...] = ()
            words = _asked(pid, _arguments, nothing)
            raw = "\0".join(words).encode("utf-8", "surrogateescape")
    except OSError:
        raw = b""
    if not raw:
        return f"{pid}:{start}:?"
    return f"{pid}:{start}:{about.st_dev}:{about.st_ino}:{checksum(raw)}"


# Sockets ------------------------------------------------------------------------------------------


def holders(listeners: Sequence[Listener]) -> list[tuple[int, ...]]:
    """The pids that have each of `listeners`, ascending, as far as this user may look.

    A pid was seen holding it; whether it still does is for `holds` to say after everything else
    about it was read.
    """
    names = {f"socket:[{one.inode}]": one.inode for one in listeners if one.inode}
    by_inode: dict[int, list[int]] = {}
    for pid in _numbers() if names else ():
        for inode in set(_descriptors(pid, names)):
            by_inode.setdefault(inode, []).append(pid)
    others = {one.port for one in listeners if not one.inode}
    by_port = _holders_of_ports(others) if others and not _LINUX else {}
    found = []
    for one in listeners:
        pids = by_inode.get(one.inode, ()) if one.inode else by_port.get(one.port, ())
        found.append(tuple(sorted(pids)) or ((one.pid,) if one.pid else ()))
    return found


def holds(pid: int, listeners: Iterable[Listener]) -> bool:
    """Whether `pid` has one of these sockets now."""
    listeners = list(listeners)
    names = {f"socket:[{one.inode}]": one.inode for one in listeners if one.inode}
    if names and any(True for _ in _descriptors(pid, names)):
        return True
    others = {one.port: one.pid for one in listeners if not one.inode}
    if not others or _LINUX:
        return False
    return pid in others.values() or not others.keys().isdisjoint(_listens(pid))


def sockets_visible(pid: int) -> bool:
    """Whether this user may see which files and sockets `pid` holds."""
    return _asked(pid, lambda process: process.num_fds(), -1) >= 0


def connections(process: psutil.Process) -> list[Any]:
    """The TCP sockets of `process`, psutil's records. Raises psutil.Error, OSError, RuntimeError.

    psutil named it `connections` before version 6.
    """
    return list((getattr(process, "net_connections", None) or process.connections)(kind="tcp"))


def _holders_of_ports(ports: Collection[int]) -> dict[int, set[int]]:
    """The pids that listen on each port, for macOS, where sockets have no inode.

    psutil's whole table takes root there (AccessDenied at the first foreign process, psutil
    7.2.2's source), so each process is asked; a foreign one is passed over.
    """
    found: dict[int, set[int]] = {}
    for pid in pids():
        for port in _listens(pid) & set(ports):
            found.setdefault(port, set()).add(pid)
    return found


def _listens(pid: int) -> set[int]:
    """The ports on which `pid` listens, as far as this user may look."""
    import psutil

    none: list[Any] = []
    known = _asked(pid, connections, none)
    return {one.laddr.port for one in known if one.status == psutil.CONN_LISTEN and one.laddr}


def _descriptors(pid: int, names: Mapping[str, int]) -> Iterator[int]:
    try:
        # below an open directory: the way through /proc is not looked up for each descriptor
        directory = os.open(f"{PROC}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for name in os.listdir(directory):
            try:
                inode = names.get(os.readlink(name, dir_fd=directory))
            except OSError:
                continue
            if inode is not None:
                yield inode
    except OSError:
        return
    finally:
        os.close(directory)


def _numbers() -> list[int]:
    try:
        return [int(name) for name in os.listdir(PROC) if name.isdecimal()]
    except OSError:
        return []


# Processes ----------------------------------------------------------------------------------------


def pids() -> list[int]:
    """Every process that this user may see, in ascending order; [] if none can be listed."""
    import psutil

    none: list[int] = []
    return sorted(_ask(psutil.pids, none))


def of_user(uid: int) -> list[int]:
    """The processes of the user `uid`, which may be fewer than there are (`hidepid`, proc(5))."""
    return [pid for pid in pids() if _asked(pid, _uid, -1) == uid]


def parents(of: Snapshot, most: int = 16) -> list[Snapshot]:
    """What started `of`, the nearest first, at most `most`, up to pid 1."""
    found: list[Snapshot] = []
    pid = of.parent
    seen = {of.pid}
    while pid > 0 and pid not in seen and len(found) < most:
        seen.add(pid)
        above = snapshot(pid)
        # a parent that is younger than its child is another process with its number
        if above is None or (of.started and above.started > of.started):
            break
        found.append(above)
        pid = above.parent
    return found


def lineage(pid: int, most: int) -> list[tuple[int, str]]:
    """Pid and name of what started `pid`, the nearest first, at most `most`, up to pid 1.

    As `parents`, without all else about them: on Linux that takes no psutil, whose import is the
    longest part of a command that answers at once.
    """
    if not _LINUX:
        start = snapshot(pid)
        return [(one.pid, one.comm) for one in parents(start, most)] if start is not None else []
    found: list[tuple[int, str]] = []
    seen: set[int] = set()
    fields = _stat(pid)
    while len(found) < most and len(fields) > 19:
        seen.add(pid)
        pid, born = int(fields[1]), int(fields[19])
        fields = _stat(pid) if pid > 0 and pid not in seen else []
        if len(fields) > 19 and fields[0] not in (b"Z", b"X", b"x") and int(fields[19]) <= born:
            found.append((pid, _name(pid)))
        else:
            break
    return found


def _name(pid: int) -> str:
    """What psutil calls `pid` on Linux: the kernel's name of it, whole where its arguments begin
    with what the kernel cut off after 15 bytes."""
    try:
        with open(f"{PROC}/{pid}/comm", "rb", buffering=0) as file:
            name = os.fsdecode(file.read(64).rstrip(b"\n"))
        if len(name) >= 15:
            with open(f"{PROC}/{pid}/cmdline", "rb", buffering=0) as file:
                program = os.fsdecode(os.path.basename(file.read(4096).partition(b"\0")[0]))
            if program.startswith(name):
                return program
    except OSError:
        return ""
    return name


def program_file(pid: int) -> str:
    """The program file of `pid`, "" where it cannot be known."""
    return _asked(pid, lambda process: process.exe(), "")


def environment(pid: int) -> dict[str, str] | None:
    """The environment `pid` was started with, None if it may not be read."""
    none: dict[str, str] | None = None
    if not _LINUX:
        return _asked(pid, lambda process: process.environ(), none)
    try:
        with open(f"{PROC}/{pid}/environ", "rb") as file:
            entries = os.fsdecode(file.read()).split("\0")
    except OSError:
        return None
    return {name: value for name, sign, value in (one.partition("=") for one in entries) if sign}


def terminal(pid: int) -> str:
    """The terminal of `pid` (`pts/3`), "" if it has none."""
    _look_at_terminals_again()
    name = _asked(pid, lambda process: process.terminal() or "", "")
    return name.removeprefix("/dev/")


def _look_at_terminals_again() -> None:
    """psutil (5.9 to 7.2: read) keeps those that there were when it was first asked."""
    try:
        from psutil import _psposix
    except ImportError:
        return
    getattr(_psposix.get_terminal_map, "cache_clear", bool)()


def user_name(uid: int) -> str:
    """The name of the user `uid`: the number where it has none, "" if `uid` is unknown (-1)."""
    if uid < 0:
        return ""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def control_groups(pid: int) -> str:
    """`/proc/PID/cgroup` (cgroups(7)), "" if it cannot be read."""
    try:
        with open(f"{PROC}/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return file.read(1 << 14)
    except OSError:
        return ""


def _stat(pid: int) -> list[bytes]:
    """The fields of `/proc/PID/stat` from the third on; [] if it cannot be read."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb", buffering=0) as file:
            # comm, the second field, may hold blanks and parentheses
            return file.read(4096).rpartition(b")")[2].split()
    except OSError:
        return []


def _process(pid: int) -> psutil.Process | None:
    import psutil

    try:
        return psutil.Process(pid)
    except (psutil.Error, OSError, ValueError, IndexError):
        return None


def _asked(pid: int, question: Callable[[psutil.Process], T], otherwise: T) -> T:
    """The answer about the process `pid`; `otherwise` where there is none."""
    process = _process(pid)
    return otherwise if process is None else _ask(lambda: question(process), otherwise)


def _uid(process: psutil.Process) -> int:
    return _ask(lambda: process.uids().real, -1)


def _ask(question: Callable[[], T], otherwise: T) -> T:
    """The answer; `otherwise` where it may not be given, or the process has gone.

    psutil raises RuntimeError for a `/proc` that is not whole.
    """
    import psutil

    try:
        return question()
    except (psutil.Error, OSError, ValueError, IndexError, RuntimeError):
        return otherwise


def _arguments(process: psutil.Process) -> tuple[str, ...]:
    """The arguments of `process`.

    On Linux psutil splits a title that was written over the arguments at its blanks (its issue
    1179), after which `next-server (v16)` cannot be told from a program and its argument.
    """
    if not _LINUX:
        return tuple(_ask(process.cmdline, []))
    try:
        with open(f"{PROC}/{process.pid}/cmdline", "rb") as file:
            raw = file.read(_ARGUMENTS_MOST)
    except OSError:
        return ()
    # a title is filled up with zeros
    return tuple(os.fsdecode(word) for word in raw.rstrip(b"\0").split(b"\0")) if raw else ()
