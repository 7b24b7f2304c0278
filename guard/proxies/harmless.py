"""Which listening sockets were judged harmless a moment ago, and who held them then.

Hot-path module. A socket stays the same while its owner becomes another program (exec(2)), forks
a child that serves it, or passes it to somebody else. So with the socket is remembered who had
it: each process, when it started, and what it ran. One pass over `/proc/*/fd` compares that at a
launch (17 ms with 500 processes).
"""

from __future__ import annotations

import os
import sys

from guard import __version__, paths
from guard.errors import GuardError
from guard.files.read import read_own
from guard.files.write import write
from guard.policy.cache import checksum
from guard.sources import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guard.sources.listener import Listener

KEEP = 600
"""Seconds for which a harmless listener is not judged again while its owners stay the same."""

KEEP_UNSEEN = 60
"""The same where it cannot be seen who has it: another user's program."""

_FORMAT = "listeners-3"
_MOST = 1 << 18
_ENTRIES = 4096
_CATALOGUE = os.path.join(paths.PACKAGE, "catalog", "local_proxies.json")


def owners(listeners: Sequence[Listener]) -> dict[Listener, str]:
    """Who has each of `listeners` and what they run, as a text without blanks to compare.

    "-" where nobody can be seen to have it; listeners whose owner has just gone are left out.
    """
    found = {}
    running: dict[int, str] = {}
    for one, pids in zip(listeners, processes.holders(listeners), strict=True):
        for pid in pids:
            if pid not in running:
                running[pid] = processes.running(pid)
        known = [running[pid] for pid in pids]
        if all(known):
            found[one] = ",".join(known) or "-"
    return found


class HarmlessListeners:
    """Which sockets were harmless: one small file, ours alone, of this boot and namespace.

    It says nothing of a machine but numbers that mean something until the next boot. Whatever is
    wrong with it, it counts as empty.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        try:
            self.path = os.path.join(paths.routeguard_cache(environ), "listeners")
        except KeyError:
            self.path = ""
        self.entries: dict[str, tuple[int, str]] = {}
        self.scope = _scope()

    def read(self, now: float) -> None:
        """Read what is remembered as harmless at `now` (Unix seconds)."""
        head, _, body = (
            _read(self.path).partition("\n") if self.path and self.scope else ("", "", "")
        )
        if not head or head != self._head(body):
            return
        for line in body.splitlines():
            words = line.split(" ")
            if len(words) == 3 and words[1].isdecimal():
                key, until, owner = words[0], int(words[1]), words[2]
                # an entry from the future is no younger for it: a clock was set back
                if now <= until <= now + _keep(owner):
                    self.entries[key] = (until, owner)

    def key(self, listener: Listener) -> str:
        """What a socket is known by, "" where nothing tells it from its successor.

        On macOS that is its address: who has it is compared, too.
        """
        if listener.cookie:
            return f"{listener.cookie}:{listener.port}"
        return "" if sys.platform == "linux" else f"{listener.address}:{listener.port}"

    def harmless(self, listener: Listener, owner: str | None) -> bool:
        """Whether `listener` was harmless with this owner, as `owners` says it."""
        known = self.entries.get(self.key(listener))
        return known is not None and known[1] == owner

    def write(self, settled: Mapping[Listener, str], here: Iterable[Listener], now: float) -> None:
        """Remember `settled` with their owners, forget all that is not `here`.

        Does nothing where that is unsafe.
        """
        if not self.path or not self.scope:
            return
        present = {self.key(one) for one in here}
        entries = {key: kept for key, kept in self.entries.items() if key in present}
        for one, owner in settled.items():
            entries[self.key(one)] = (int(now) + _keep(owner), owner)
        lines = [f"{key} {until} {owner}" for key, (until, owner) in entries.items()]
        body = "\n".join(lines[:_ENTRIES]) + "\n"
        data = f"{self._head(body)}\n{body}".encode("ascii")
        try:
            paths.private_directory(os.path.dirname(self.path))
            write(self.path, data)
        except (GuardError, OSError):
            pass

    def _head(self, body: str) -> str:
        check = checksum(f"{self.scope}\n{body}".encode())
        return f"{_FORMAT} {self.scope} {check}"


def _keep(owner: str) -> int:
    return KEEP_UNSEEN if owner == "-" or "?" in owner else KEEP


def _scope() -> str:
    """This boot, this network namespace, this version and catalogue; "" if one cannot be told.

    macOS has no `/proc` and no network namespaces, and a process that started before the boot is
    not taken for one of now.
    """
    boot = network = "-"
    try:
        if sys.platform == "linux":
            with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as file:
                boot = file.read(64).decode("ascii").strip()
            network = os.readlink("/proc/self/ns/net")
        data = os.stat(_CATALOGUE)
    except (OSError, UnicodeDecodeError):
        return ""
    return f"{boot} {network} {__version__} {data.st_mtime_ns}.{data.st_size}"


def _read(path: str) -> str:
    """The text of a file that only this user can write, "" for any other."""
    try:
        return (read_own(path, _MOST) or b"").decode("ascii")
    except UnicodeDecodeError:
        return ""
