"""`routeguard watch`: one loop that says when a local proxy or an unguarded agent appears."""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import click

from guard import paths
from guard.agents.running import Follower, finding
from guard.commands.agents import see_processes
from guard.errors import ExitCode, GuardError, printable
from guard.findings import Finding
from guard.launch import local_proxies
from guard.launch.process import own_environment, working_directory
from guard.masking import masked
from guard.policy import cache
from guard.policy.values import CompiledPolicy
from guard.proxies.found import Found
from guard.proxies.watch import GONE, Attempts, Event, events
from guard.report import colour
from guard.signals import Ending
from guard.sources.listener import Listener, SocketsUnreadableError
from guard.sources.sockets import listening

SCHEMA_VERSION = 1
"""Version of the JSON output; within one, keys are only added."""

INTERVAL = 5.0
"""Seconds between two looks: about four CPU seconds an hour with 400 processes, 30 with 3,000
(`tests/bench/watch.py`)."""

NOTICE_SECONDS = 5.0
"""How long the program that shows a notification may take before it is ended."""

_AGAIN = 2
"""Rounds after a change in which a port is judged again: a server that has bound it may take a
moment before it answers."""

_SWEEP = 120
"""Rounds after which the listeners are judged again though none has changed."""

_MOST_NOTICES = 3


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  routeguard watch                        a line for each local proxy and unguarded agent
  routeguard watch --on-find stop         end local proxies of yours as they appear
  routeguard watch --once                 one look, for a CI job: exit status 1 if it found any
  routeguard watch --json | jq -r .message

\b
Only identified proxies of your own are stopped, each at most three times an hour, and none where
the policy says proxies.action = "flag". Agents are never stopped.
Exit status: 0 ended by TERM, or --once and nothing found; 1 --once and something found; 2 usage;
3 policy; 130 ended by Ctrl-C.""",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.2, max=3600.0),
    default=INTERVAL,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--notify/--no-notify",
    default=None,
    help="Desktop notifications. By default where a desktop session and its program are there.",
)
@click.option(
    "--on-find",
    type=click.Choice(["flag", "stop"]),
    default="flag",
    show_default=True,
    help="What is done about a local proxy.",
)
@click.option("--once", is_flag=True, help="Look once and end.")
def watch(interval: float, as_json: bool, notify: bool | None, on_find: str, once: bool) -> int:
    """Watch for local proxies and unguarded agents.

    Says what is there at the start, then what comes and goes.
    """
    # inside a guarded agent the directories of the outer launch are not the user's own
    environ = own_environment(os.environ)
    policy = Policy(working_directory(), environ)
    see_processes()
    say = Lines(as_json=as_json, colour=colour.wanted(environ))
    notices = Notices(environ, wanted=False if once and notify is None else notify)
    watcher = Watcher(policy, say, notices, stops=on_find == "stop")
    if once:
        return ExitCode.FINDINGS if watcher.look() else ExitCode.OK
    with Ending() as ending:
        while True:
            watcher.look()
            status = ending.wait(interval)
            if status is not None:
                notices.close()
                return status


class Lines:
    """Writes what happens to stdout, a line each, at once."""

    def __init__(self, *, as_json: bool, colour: bool | None) -> None:
        self._as_json = as_json
        self._colour = colour

    def event(self, event: Event) -> None:
        """One thing that was found or has gone."""
        found = event.finding
        if self._as_json:
            self._json(
                event.at,
                event.what,
                rule=found.rule,
                severity=found.severity,
                subject=found.subject,
                message=found.message,
                where=found.where,
                fix=found.fix,
            )
            return
        word = f"{event.what:<7}"
        if event.what != GONE:
            word = click.style(word, fg="red")
        line = f"{_clock(event.at)}  {word}  {printable(found.message)} [{found.rule}]"
        if event.what != GONE:
            line += _below("where:", found.where) + _below("fix:", found.fix)
        self._text(line)

    def said(self, at: float, what: str, message: str, fix: str = "") -> None:
        """Something about the watch itself, or what became of a proxy that was stopped."""
        if self._as_json:
            self._json(at, what, rule="", message=message, fix=fix)
            return
        line = f"{_clock(at)}  {what:<7}  {printable(message)}"
        self._text(line + _below("fix:", fix))

    def _text(self, line: str) -> None:
        click.echo(line, color=self._colour)
        sys.stdout.flush()

    def _json(self, at: float, what: str, **more: str) -> None:
        when = datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")
        self._text(
            json.dumps({"schema_version": SCHEMA_VERSION, "time": when, "event": what, **more})
        )


class Policy:
    """The policy as it is now; one that turns invalid keeps the last good one in force."""

    def __init__(self, cwd: str, environ: Mapping[str, str]) -> None:
        self._cwd = cwd
        self._environ = environ
        self._home = paths.home(environ)
        self.current = cache.load(cwd, environ)
        self.broken = ""

    def reload(self) -> str:
        """Read it again. Returns a sentence the first time it is broken, or good again; else ""."""
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
        policy: Policy,
        lines: Lines,
        notices: Notices | None = None,
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
        self._notices = notices
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
        if self._notices is not None:
            self._notices.show(happened)
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
                    now, "blind", f"whether a local proxy listens cannot be told: {error}"
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


class Notices:
    """Desktop notifications, by a program that is never waited for.

    At most a few at once: a desktop that hangs does not pile them up. `wanted` None is where there
    is a desktop session.
    """

    def __init__(self, environ: Mapping[str, str], *, wanted: bool | None) -> None:
        self._environ = dict(environ)
        self._program = "" if wanted is False else _notifier(environ, sure=bool(wanted))
        self._shown: list[tuple[subprocess.Popen[bytes], float]] = []

    def show(self, happened: Iterable[Event]) -> None:
        """One notification for all that was found in a look; nothing for what has gone."""
        self._reap()
        messages = [e.finding.message for e in happened if e.what != GONE]
        if not messages or not self._program or len(self._shown) >= _MOST_NOTICES:
            return
        more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
        command = _notice(self._program, "routeguard", printable(masked(messages[0])) + more)
        try:
            process = subprocess.Popen(
                command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self._program = ""  # it has gone, or cannot be run: the lines go on
            return
        self._shown.append((process, time.monotonic()))

    def close(self) -> None:
        """End what is still being shown."""
        for process, _ in self._shown:
            process.kill()
            process.wait()
        self._shown = []

    def _reap(self) -> None:
        still = []
        for process, begun in self._shown:
            if process.poll() is not None:
                continue
            if time.monotonic() - begun > NOTICE_SECONDS:
                process.kill()
                process.wait()
                continue
            still.append((process, begun))
        self._shown = still


def _judge(listeners: list[Listener], policy: CompiledPolicy) -> list[Found]:
    from guard.proxies.find import find

    found: list[Found] = find(listeners, gateway=policy.base_url)
    return found


def _stop(found: Found) -> tuple[str, str, str]:
    """Stop `found`: the result in a word, what happened, what ends it for good."""
    from guard.proxies import stop as stopping

    (step,) = stopping.plan([found], os.getuid())
    outcome = stopping.carry_out(step)
    return outcome.result, outcome.detail, outcome.fix


def _socket(one: Listener) -> object:
    """What a socket is known by: the kernel's own number, where there is one."""
    return one.cookie or (one.address, one.port, one.inode)


def _key(found: Found) -> str:
    sockets = sorted(one.cookie or one.inode for one in found.listeners)
    return f"proxy:{found.port}:{sockets[0] if sockets else 0}"


def _notifier(environ: Mapping[str, str], *, sure: bool) -> str:
    """The program that shows notifications, "" if there is none, or no desktop (unless `sure`)."""
    if sys.platform == "darwin":
        return shutil.which("osascript", path=environ.get("PATH")) or ""
    desktop = ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY")
    if not sure and not any(environ.get(name) for name in desktop):
        return ""
    return shutil.which("notify-send", path=environ.get("PATH")) or ""


def _notice(program: str, title: str, text: str) -> list[str]:
    """The command that shows `text`, which is data in it and never code or an option."""
    if os.path.basename(program) == "osascript":
        script = (
            "on run argv",
            "display notification (item 2 of argv) with title (item 1 of argv)",
            "end run",
        )
        words = [word for line in script for word in ("-e", line)]
        return [program, *words, "--", title, text]
    # the text may be read as markup (Desktop Notifications Specification)
    return [program, "--app-name=routeguard", "--", title, html.escape(text, quote=False)]


def _below(label: str, text: str) -> str:
    """The lines of `text` under an event's line, the first with its label."""
    lines = [printable(line) for line in text.splitlines()]
    labels = [label, *("" for _ in lines[1:])]
    return "".join(
        f"\n{'':19}  {label:<6} {line}" for label, line in zip(labels, lines, strict=False)
    )


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
