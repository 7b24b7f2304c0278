"""Watches local proxies and agents on this machine and reports what changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from guard import paths
from guard.agents.running import Follower, finding
from guard.errors import GuardError
from guard.findings import Finding
from guard.launch import local_proxies
from guard.policy import cache
from guard.policy.values import CompiledPolicy
from guard.proxies.found import Found
from guard.proxies.watch import GONE, Attempts, Event, events
from guard.sources.listener import Listener, SocketsUnreadableError
from guard.sources.sockets import listening

_AGAIN = 2
"""Rounds after a change in which a port is judged again: a server that has bound it may take a
moment before it answers."""

_SWEEP = 120
"""Rounds after which the listeners are judged again though none has changed."""


class EventSink(Protocol):
    """Where events are written."""

    def event(self, event: Event) -> None:
        """Something appeared or disappeared."""

    def said(self, at: float, what: str, message: str, fix: str = "") -> None:
        """A message about the watch itself, or the result of stopping a proxy."""


class PolicyInForce:
    """The policy as it is now; one that turns invalid keeps the last good one in force."""

    def __init__(self, cwd: str, environ: Mapping[str, str]) -> None:
        self._cwd = cwd
        self._environ = environ
        self._home = paths.home(environ)
        self.current = cache.load(cwd, environ)
        self.broken = ""

    def reload(self) -> str:
        """Read it again. Returns a sentence when it turns invalid, or valid again; else ""."""
        try:
            # without the home there is no policy of the user's, which is not the same as none
            if not os.path.isdir(self._home):
                raise GuardError("the home directory is gone", where=self._home)
            self.current = cache.load(self._cwd, self._environ)
        except (GuardError, OSError) as error:
            what = error.what if isinstance(error, GuardError) else str(error.strerror)
            where = f" ({error.where})" if isinstance(error, GuardError) and error.where else ""
            said = "" if self.broken else f"{what}{where}; the last good policy stays in force"
            self.broken = what
            return said
        said = "the policy can be read again" if self.broken else ""
        self.broken = ""
        return said


class Watcher:
    """One look after another. `follow` and the rest reach outside; a test puts its own in place."""

    def __init__(
        self,
        policy: PolicyInForce,
        lines: EventSink,
        notify: Callable[[Iterable[Event]], None] | None = None,
        *,
        stops: bool = False,
        follower: Follower | None = None,
        sockets: Callable[[], list[Listener]] = listening,
        judge: Callable[[list[Listener], CompiledPolicy], list[Found]] | None = None,
        stop: Callable[[Found], tuple[str, str, str]] | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._lines = lines
        self._notify = notify
        self._stops = stops
        self._follower = follower or Follower()
        self._sockets = sockets
        self._judge = judge or _judge
        self._stop = stop or _stop
        self._wall = wall
        self._clock = clock
        self._attempts = Attempts()
        self._fixes: dict[str, str] = {}
        self._before: dict[str, Finding] | None = None
        self._found: list[Found] = []
        self._known: dict[int, frozenset[object]] = {}
        self._again: dict[int, int] = {}
        self._round = 0
        self._blind = ""
        self._capped = False

    def look(self) -> bool:
        """Look once, say what changed, stop what is to be stopped; whether anything is there."""
        now = self._wall()
        said = self._policy.reload()
        if said:
            self._lines.said(now, "policy", said, "routeguard policy validate")
        policy = self._policy.current
        self._look_at_sockets(policy, now)
        proxies = {
            _key(found): found
            for found in self._found
            if found.forbidden and policy.excepted(f"port:{found.port}", now) is None
        }
        after = {
            key: local_proxies.finding(found, policy.proxies_action)
            for key, found in proxies.items()
        }
        for one in self._follower.look(policy, now):
            about = finding(one)
            if about is not None:
                after[one.key] = about
        happened = events(self._before, after, now)
        self._before = after
        for event in happened:
            self._lines.event(event)
        if self._notify is not None:
            self._notify(happened)
        if self._stops:
            self._stop_all(
                [proxies[e.key] for e in happened if e.what != GONE and e.key in proxies]
            )
        return bool(after) or bool(self._blind)

    def _look_at_sockets(self, policy: CompiledPolicy, now: float) -> None:
        """Judge the ports whose sockets came or went, or have just come; the others stay judged."""
        try:
            listeners = self._sockets()
        except SocketsUnreadableError as error:
            if not self._blind:
                self._lines.said(
                    now, "blind", f"cannot tell whether a local proxy listens: {error}"
                )
            self._blind = str(error)
            return
        self._blind = ""
        ports: dict[int, list[Listener]] = {}
        for one in listeners:
            ports.setdefault(one.port, []).append(one)
        sockets = {port: frozenset(map(_socket, those)) for port, those in ports.items()}
        changed = {port for port in ports if sockets[port] != self._known.get(port)}
        due = changed | {port for port in self._again if port in ports}
        if self._round % _SWEEP == 0:
            due = set(ports)
        self._round += 1
        again = {port: self._again[port] - 1 for port in due & self._again.keys() - changed}
        again |= dict.fromkeys(changed, _AGAIN)
        self._again = {port: left for port, left in again.items() if left > 0}
        self._known = sockets
        self._found = [one for one in self._found if one.port in ports and one.port not in due]
        if due:
            self._found += self._judge([one for port in due for one in ports[port]], policy)

    def _stop_all(self, proxies: Iterable[Found]) -> None:
        for found in proxies:
            if self._policy.current.proxies_action == "flag":
                if not self._capped:
                    self._lines.said(
                        self._wall(), "kept", 'nothing is stopped: the policy says "flag"'
                    )
                self._capped = True
                return
            mine = found.process is not None and found.process.uid == os.getuid()
            if not found.identified or not mine:
                continue
            name = found.name or f"port {found.port}"
            which = f"{found.proxy}:{found.port}"
            if not self._attempts.take(which, self._clock()):
                fix = self._fixes.get(which) or local_proxies.ways_out(found)[0]
                self._lines.said(
                    self._wall(),
                    "kept",
                    f"{name} keeps coming back: it was stopped {self._attempts.most} times",
                    fix,
                )
                continue
            result, detail, fix = self._stop(found)
            self._fixes[which] = fix
            self._lines.said(
                self._wall(), result, f"{name}" + (f": {detail}" if detail else ""), fix
            )
            # what listens there has changed under us
            self._known.pop(found.port, None)


def _judge(listeners: list[Listener], policy: CompiledPolicy) -> list[Found]:
    from guard.proxies.find import find_listeners

    found: list[Found] = find_listeners(
        listeners, gateway=policy.base_url, proxy=policy.gateway_proxy
    )
    return found


def _stop(found: Found) -> tuple[str, str, str]:
    """Stop `found`: the result in a word, what happened, what ends it for good."""
    from guard.proxies.stop import carry_out
    from guard.proxies.stop_plan import plan

    (step,) = plan([found], os.getuid())
    outcome = carry_out(step)
    return outcome.result, outcome.detail, outcome.fix


def _socket(one: Listener) -> object:
    """What identifies a socket: the kernel's own number, where there is one."""
    return one.cookie or (one.address, one.port, one.inode)


def _key(found: Found) -> str:
    sockets = sorted(one.cookie or one.inode for one in found.listeners)
    return f"proxy:{found.port}:{sockets[0] if sockets else 0}"
