"""Records of what was found behind a listening socket; `find` makes them.

Hot-path module. A command line can hold a key, so no record keeps one: programs are named by
their file or by the catalogue, never by their arguments.
"""

from __future__ import annotations

from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guard.sources.keepers import Keeper
    from guard.sources.listener import Listener

PROXY, SUSPECT, OTHER, UNKNOWN = "proxy", "suspect", "other", "unknown"
"""Verdicts. `proxy`: a known program, image or HTTP fingerprint. `suspect`: a port that only
local proxies use, and nothing tells what listens there. `other`: a known program that is none.
`unknown`: a port that others use, too, or that nobody knows, and nothing tells what it is."""


class Process(Record):
    """A process as it was when it was looked at.

    `started` is its start time as the system counts it (Linux: clock ticks since boot, field 22
    of `/proc/PID/stat`): with `pid` it is one process for ever, where `pid` alone is reused.
    `since` is the same in Unix seconds. `uid` is -1 and `user` "" where they cannot be known.
    `program` is the effective program: the script or module for an interpreter, without its
    directory. `parents` are (pid, program) pairs, the nearest first.
    """

    pid: int
    started: int = 0
    since: float = 0.0
    uid: int = -1
    user: str = ""
    program: str = ""
    parents: tuple[tuple[int, str], ...] = ()


class Found(Record):
    """One port that something listens on, and what that is.

    `listeners` are its sockets (one program often has one for IPv4 and one for IPv6). `proxy` is
    the id in `guard/catalog/local_proxies.json` and `name` what people call it, both "" unless
    `verdict` is `proxy` (or a suspect's likeliest name). `how` says how we know, in words
    ("program litellm", "answers GET / as Ollama", "port 11434 is Ollama's").
    `answered` is True where only that answer says so: the program may pass on what another says.
    `process` is None where the owner cannot be known; `others` are more processes that hold the
    same socket.
    """

    port: int
    listeners: tuple[Listener, ...]
    verdict: str = UNKNOWN
    proxy: str = ""
    name: str = ""
    how: str = ""
    answered: bool = False
    process: Process | None = None
    others: tuple[Process, ...] = ()
    keeper: Keeper | None = None

    @property
    def forbidden(self) -> bool:
        """Whether the one-true policy forbids it, exceptions aside."""
        return self.verdict in (PROXY, SUSPECT)

    @property
    def identified(self) -> bool:
        """Whether the program that listens is itself a local proxy: only then may it be ended."""
        return self.verdict == PROXY and not self.answered
