"""Holds ports: binds them without listening, so that no local proxy can start on them.

A port is held by one TCP socket that is bound to the wildcard address of IPv6, takes IPv4 with
it, never listens and allows no reuse. On Linux 6.18 every other bind then failed: 127.0.0.1,
0.0.0.0, 127.0.0.2, ::1, ::, each plain, with SO_REUSEADDR, with SO_REUSEPORT, and as an MPTCP
listener (tests/proxies/test_hold.py). A client gets "connection refused" at once. A bound socket
that does not listen is shown by neither `ss`, `lsof`, `netstat` nor `/proc/net/tcp`.

The holder runs as this file under `python -I -S`, with little more than the interpreter in
memory. What needs more (compiling a policy, telling who owns a port) is done by a child that
ends with its answer, so the holder stays as small as it began.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time

if __name__ == "__main__":
    # -I keeps the directory of the script off the path; last, so that it shadows nothing
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from guard import paths
from guard.errors import ExitCode, GuardError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket  # noqa: N812
    from collections.abc import Callable, Collection, Iterable, Mapping

    from guard.policy.compiled import CompiledPolicy
    from guard.proxies.found import Found

RETRY = 1.0
"""Seconds between two tries to get a port that was taken: less than the three seconds after
which systemd starts a stopped ollama.service again."""

REREAD = 3.0
"""Seconds between two looks at whether a file of the policy changed, or an exception ended."""

REREAD_ANYWAY = 60.0
"""Seconds after which the policy is read even so: three files are looked at, it has more roots."""

CHILD_SECONDS = 20.0
"""Seconds a child may take for its answer: the probes of `find` are bounded, a file system that
hangs is not."""

INTERRUPTED = 130
"""Exit status after SIGINT, as of every other command here."""

READER_GONE = 141
"""Exit status when what reads our output went away: 128 + SIGPIPE, as a shell shows it."""

_LOCK = "hold.lock"
_SIDE_ADDRESS = "127.254.83.7"


# What to hold: pure -----------------------------------------------------------------------------


class Aside:
    """A port that is not held although it was asked for, and why."""

    __slots__ = ("port", "why")

    def __init__(self, port: int, why: str) -> None:
        self.port = port
        self.why = why

    def __repr__(self) -> str:
        return f"Aside({self.port}, {self.why!r})"


def gateway_port(base_url: str) -> int:
    """The port of `base_url`: the one it names, else the default one of its scheme.

    Raises ValueError for a port that is no number.
    """
    scheme, _, rest = base_url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    tail = host.rpartition("]")[2] if "]" in host else host
    _, colon, port = tail.rpartition(":")
    if colon and port:
        return int(port)
    return 443 if scheme == "https" else 80


def permitted(policy: CompiledPolicy, catalogue: Collection[int]) -> frozenset[int]:
    """The ports that may be held at all: those only local proxies use, those the policy lists."""
    return frozenset(catalogue) | frozenset(policy.proxies_hold)


def plan(
    policy: CompiledPolicy, catalogue: Collection[int], asked: Collection[int], now: float
) -> tuple[frozenset[int], list[Aside]]:
    """What to hold at `now` (Unix seconds), and what to leave alone although it is in question.

    `catalogue` are the distinctive ports, `asked` the ports named on the command line (none:
    all). The port of the policy's gateway is left alone whatever its host is: a name can lead to
    this machine without saying so.
    """
    candidates = permitted(policy, catalogue)
    asides = []
    if asked:
        asides += [
            Aside(port, "the policy does not list it any more")
            for port in sorted(frozenset(asked) - candidates)
        ]
        candidates &= frozenset(asked)
    hold = set()
    for port in sorted(candidates):
        exception = policy.excepted(f"port:{port}", now)
        if port == gateway_port(policy.base_url):
            asides.append(Aside(port, "the gateway of the policy has this port"))
        elif exception is not None:
            until = time.strftime("%Y-%m-%d %H:%M", time.localtime(exception.until))
            asides.append(Aside(port, f"an exception until {until}: {exception.reason}"))
        else:
            hold.add(port)
    return frozenset(hold), asides


class Address:
    """One address a port is bound on: `family` 4 or 6, the host, and the two options that count."""

    __slots__ = ("family", "host", "only", "reuse")

    def __init__(self, family: int, host: str, *, only: bool = False, reuse: bool = False) -> None:
        self.family = family
        self.host = host
        self.only = only
        self.reuse = reuse


LINUX = (Address(6, "::"),)
WITHOUT_IPV6 = (Address(4, "0.0.0.0"),)  # noqa: S104
MACOS = tuple(
    Address(family, host, only=family == 6, reuse=True)
    for family, host in ((4, "127.0.0.1"), (6, "::1"), (4, "0.0.0.0"), (6, "::"))  # noqa: S104
)
"""macOS lets a specific address bind over a wildcard that somebody holds, so each is held. BSD
sockets take a specific address and the wildcard side by side only with SO_REUSEADDR, which there
never lets two sockets have the same address. Not verified on a Mac."""


# Holding ----------------------------------------------------------------------------------------


class TakenError(Exception):
    """The port cannot be held now; `number` is the errno the system gave."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


def take(port: int, platform: str = sys.platform) -> tuple[Socket, ...]:
    """The sockets that hold `port` until they are closed. Raises TakenError."""
    if platform == "darwin":
        return _bind_all(port, MACOS)
    try:
        return _bind_all(port, LINUX)
    except TakenError as taken:
        if taken.number in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return _bind_all(port, WITHOUT_IPV6)
        if taken.number == errno.EADDRINUSE:
            return _over_closed_connections(port)
        raise


def _bind_all(port: int, addresses: Iterable[Address]) -> tuple[Socket, ...]:
    """One socket on each address that this machine has. Raises TakenError if one is taken."""
    held: list[Socket] = []
    missing = 0
    for address in addresses:
        try:
            held.append(_bind(port, address))
        except OSError as error:
            missing = error.errno or 0
            if missing not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                _close(held)
                raise TakenError(missing) from None
    if not held:
        raise TakenError(missing)
    return tuple(held)


def _bind(port: int, address: Address) -> Socket:
    import _socket

    family = _socket.AF_INET6 if address.family == 6 else _socket.AF_INET
    sock = _socket.socket(family, _socket.SOCK_STREAM)  # not inheritable: PEP 446
    try:
        if address.family == 6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, int(address.only))
        if address.reuse:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        sock.bind((address.host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _over_closed_connections(port: int) -> tuple[Socket, ...]:
    """Hold a port on which only connections that are over remain. Raises TakenError.

    For a minute after a server was stopped its closed connections (TIME_WAIT) keep a plain bind
    away, but not the next server with SO_REUSEADDR. So ours sets it while it binds, and takes it
    back. Linux remembers per port that everybody agreed to reuse; a first socket on an address
    nobody uses, bound without it, ends that agreement for later ones (`fastreuse` in
    net/ipv4/inet_connection_sock.c). Whether a rival is kept off is then tried, not assumed.
    """
    import _socket

    sides = _bind_all(port, (Address(4, _SIDE_ADDRESS),))
    try:
        reuse = (_socket.SOL_SOCKET, _socket.SO_REUSEADDR)
        sides[0].setsockopt(*reuse, 1)
        held = _bind_all(port, (Address(6, "::", reuse=True),))
        held[0].setsockopt(*reuse, 0)
    finally:
        _close(sides)
    for rival in (Address(4, "127.0.0.1", reuse=True), Address(6, "::1", only=True, reuse=True)):
        try:
            _bind(port, rival).close()
        except OSError:
            continue
        _close(held)
        raise TakenError(errno.EADDRINUSE)
    return held


def _close(sockets: Iterable[Socket]) -> None:
    for sock in sockets:
        sock.close()


# One hold at a time -----------------------------------------------------------------------------


class Running:
    """The hold that runs: its pid, since when (Unix seconds), what it holds, what was taken."""

    __slots__ = ("held", "pid", "since", "taken")

    def __init__(
        self, pid: int, since: float, held: tuple[int, ...] = (), taken: tuple[int, ...] = ()
    ) -> None:
        self.pid = pid
        self.since = since
        self.held = held
        self.taken = taken


class AlreadyHeldError(GuardError):
    """Another hold of this user runs. Exit status 1."""

    def __init__(self, running: Running) -> None:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(running.since))
        super().__init__(
            f"another hold runs already: pid {running.pid}, since {since}",
            why=f"it holds {len(running.held)} ports, which a second one could not have",
            fix=f"see it: routeguard ports hold --status; end it: kill {running.pid}",
            exit_code=ExitCode.FINDINGS,
        )


def lock_file(environ: Mapping[str, str]) -> str:
    """The path of the lock; it need not exist."""
    return os.path.join(paths.routeguard_state(environ), _LOCK)


class Lock:
    """The lock of the one hold a user runs, and what it says about itself in there.

    The lock is flock(2)'s, which ends with its process however that ends; what is written
    (mode 0600) is for `--status`. The file stays when the hold ends: a lock on a removed file
    keeps nobody off.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the lock. Raises AlreadyHeldError, and GuardError where it cannot be made."""
        import fcntl

        path = lock_file(environ)
        paths.private_directory(os.path.dirname(path))
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, 0o600)
            os.fchmod(self._fd, 0o600)
            for attempt in range(5):
                try:
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    # `--status` has it for a moment while it looks
                    if attempt == 4:
                        raise AlreadyHeldError(_said(self._fd)) from None
                    time.sleep(0.05)
        except OSError as error:
            raise GuardError(
                "cannot lock its state file",
                where=path,
                why=error.strerror or str(error),
                fix="make it writable for you, or remove what is in the way",
                exit_code=ExitCode.CONFIG,
            ) from None
        self._since = time.time()
        self.say((), ())

    def say(self, held: Iterable[int], taken: Iterable[int]) -> None:
        """Write down what is held and what was taken."""
        lines = (
            f"{os.getpid()} {self._since:.0f}",
            " ".join(map(str, sorted(held))),
            " ".join(map(str, sorted(taken))),
        )
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            os.pwrite(self._fd, data, 0)
            os.ftruncate(self._fd, len(data))
        except OSError:
            pass  # a full disk costs the report, not the ports

    def close(self, *, end: bool) -> None:
        """Let go of it; with `end` nothing stays written down."""
        try:
            if end:
                os.ftruncate(self._fd, 0)
        finally:
            os.close(self._fd)


def _said(fd: int) -> Running:
    """What the hold wrote down; zeros where it has not got that far."""
    try:
        first, held, taken = os.pread(fd, 1 << 20, 0).decode().split("\n")[:3]
        pid, since = first.split()
        return Running(
            int(pid), float(since), tuple(map(int, held.split())), tuple(map(int, taken.split()))
        )
    except ValueError:
        return Running(0, 0.0)


def running(environ: Mapping[str, str]) -> Running | None:
    """The hold this user runs, or None. Raises GuardError if the lock cannot be looked at."""
    import fcntl

    path = lock_file(environ)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GuardError(
            "cannot tell whether a hold runs",
            where=path,
            why=error.strerror or str(error),
            exit_code=ExitCode.CONFIG,
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _said(fd)
    finally:
        os.close(fd)
    return None


def notify(environ: Mapping[str, str], state: str) -> None:
    """Tell the service manager, if one asked to be told: sd_notify(3), without libsystemd."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    import _socket

    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        try:
            sock.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
        finally:
            sock.close()
    except OSError:
        pass  # the manager then waits for READY=1 until its own time limit, and says so


# Work that a child does -------------------------------------------------------------------------


class ChildError(Exception):
    """A child gave no answer; the text says why, and goes to a person."""


def in_child(
    work: Callable[[], Iterable[Iterable[str]]],
    let_go: Callable[[], None] = lambda: None,
    wake: int = -1,
) -> list[list[str]]:
    """What `work` yields, as lines of words, done in a child. Raises ChildError.

    Words come back printable: a tab or a new line inside of one is shown as an escape. `let_go`
    closes in the child what must not outlive this process. Once the descriptor `wake` (-1 for
    none) is readable the child is ended.
    """
    import select

    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            let_go()
            os.close(reader)
            _write_all(writer, _answer(work).encode("utf-8", "backslashreplace"))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    limit = time.monotonic() + CHILD_SECONDS
    parts: list[bytes] = []
    try:
        while True:
            left = max(0.0, limit - time.monotonic())
            ready, _, _ = select.select([reader, wake] if wake >= 0 else [reader], [], [], left)
            if reader not in ready:
                os.kill(child, signal.SIGKILL)
                waited = f"no answer within {CHILD_SECONDS:.0f} s"
                raise ChildError("interrupted" if wake in ready else waited)
            part = os.read(reader, 1 << 16)
            if not part:
                break
            parts.append(part)
    finally:
        os.close(reader)
        os.waitpid(child, 0)
    lines = [line.split("\t") for line in b"".join(parts).decode().split("\n")]
    if lines[-1] != ["end"]:
        raise ChildError(lines[0][1] if lines[0][0] == "failed" else "the answer is not whole")
    return lines[:-1]


def _answer(work: Callable[[], Iterable[Iterable[str]]]) -> str:
    """The answer as text: its lines, then `end`; or one line that says what failed."""
    try:
        lines = ["\t".join([printable(word) for word in words]) for words in work()]
    except GuardError as error:
        return "failed\t" + printable(
            f"{error.what} ({error.where})" if error.where else error.what
        )
    except Exception as error:
        return f"failed\t{type(error).__name__}"  # its text could hold anything
    return "\n".join([*lines, "end"])


def _identity(path: str) -> tuple[int, ...]:
    """What changes when the file does; empty while there is none, or none to be seen."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _read_policy(
    catalogue: Collection[int], asked: Collection[int], environ: Mapping[str, str]
) -> Iterable[tuple[str, ...]]:
    """Lines `hold PORT`, `aside PORT WHY`, `gateway URL` and `until SECONDS`.

    There is an `until` for each exception for a port that has not ended: Unix seconds. The
    project layer has no say: the holder serves the machine, not the directory it was started in.
    """
    from guard.policy import compiled

    policy = compiled.load("/", environ)
    now = time.time()
    hold, asides = plan(policy, catalogue, asked, now)
    yield "gateway", policy.base_url
    for exception in policy.exceptions:
        if exception.subject.startswith("port:") and exception.until >= now:
            yield "until", repr(exception.until)
    for port in sorted(hold):
        yield "hold", str(port)
    for aside in asides:
        yield "aside", str(aside.port), aside.why


def owner(found: Found) -> tuple[str, str, str, str, str, str]:
    """What is said of the owner of a port: port, what it is, program, pid, user, how to stop it.

    What it is stays empty unless it is known: a port alone does not make `http.server` Ollama.
    """
    from guard.proxies.found import PROXY, SUSPECT

    process = found.process
    stop = ""
    if found.forbidden and found.keeper and found.keeper.stop:
        stop = " ".join(found.keeper.stop)
    elif found.verdict == PROXY:
        stop = f"routeguard ports stop {found.port}"
    elif found.verdict == SUSPECT and process:
        stop = f"kill {process.pid}"  # `ports stop` ends nothing that is not identified
    return (
        str(found.port),
        found.name if found.verdict == PROXY else "",
        process.program if process else "",
        str(process.pid) if process else "",
        process.user if process else "",
        stop,
    )


def _owners(ports: Collection[int], gateway: str) -> Iterable[tuple[str, ...]]:
    """For each of `ports` that something listens on: the words of `owner`."""
    from guard.proxies.find import find
    from guard.sources import sockets

    listeners = [listener for listener in sockets.listening() if listener.port in ports]
    for found in find(listeners, gateway=gateway):
        yield owner(found)


# The daemon -------------------------------------------------------------------------------------


class Voice:
    """Where events go: lines for people, JSON lines, or nowhere."""

    def __init__(self, form: str) -> None:
        """`form` is `text`, `json` or `quiet`."""
        self._form = form

    def say(self, event: str, text: str, **fields: object) -> None:
        """One event: `text` for people, `fields` for programs. `text` may have several lines."""
        if self._form == "text":
            out = "\n".join(printable(line) for line in text.split("\n"))
        elif self._form == "json":
            import json

            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            out = json.dumps({"schema_version": 1, "event": event, "time": moment, **fields})
        else:
            return
        # a code set that lacks a letter of somebody's program name must not end the hold
        data = (out + "\n").encode(sys.stdout.encoding or "utf-8", "backslashreplace")
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def listed(ports: Iterable[int], width: int = 76) -> str:
    """The ports in lines of at most `width` columns, indented by two."""
    lines = [" "]
    for port in sorted(ports):
        word = f" {port}"
        if len(lines[-1]) + len(word) > width:
            lines.append(" ")
        lines[-1] += word
    return "\n".join(lines)


class Holder:
    """What is held, what was taken, what is left alone, and the steps between."""

    def __init__(
        self,
        catalogue: Collection[int],
        asked: Collection[int],
        environ: Mapping[str, str],
        voice: Voice,
    ) -> None:
        """Nothing is done yet."""
        self._catalogue = catalogue
        self._asked = asked
        self._environ = environ
        self._voice = voice
        self._wake = -1
        self._lock: Lock | None = None
        self._gateway = ""
        self._files: tuple[str, ...] = ()
        self._seen: list[tuple[int, ...]] = []
        self._until = 0.0
        self._anyway = 0.0
        self._complained = False
        self._held: dict[int, tuple[Socket, ...]] = {}
        self._taken: dict[int, int] = {}
        self._asides: dict[int, str] = {}

    def run(self) -> int:
        """Hold until a signal ends it; returns the exit status.

        0 after SIGTERM and SIGHUP, 130 after SIGINT. Raises AlreadyHeldError, PolicyError, and
        GuardError if the lock cannot be had.
        """
        from guard.policy import compiled  # each child then has it already

        user = compiled.user_policy(self._environ)
        self._files = (paths.SYSTEM_POLICY, user, compiled.allowed_file(user))
        self._lock = Lock(self._environ)
        self._wake = _wake_on_signals()
        try:
            hold, asides = self._read()
            self._asides = asides
            self._take(hold)
            self._report_start()
            notify(self._environ, f"READY=1\nSTATUS={self._summary()}")
            self._report_taken(self._taken)
            number = self._loop()
            notify(self._environ, "STOPPING=1")
            self._voice.say(
                "end",
                f"{len(self._held)} ports are free again",
                signal=signal.Signals(number).name,
                ports=sorted(self._held),
            )
        finally:
            for sockets in self._held.values():
                _close(sockets)
            self._lock.close(end=True)
        return INTERRUPTED if number == signal.SIGINT else ExitCode.OK

    def _loop(self) -> int:
        """Try again, read again, until a signal comes; returns its number."""
        import select

        reread = time.monotonic() + REREAD
        while True:
            limit = reread - time.monotonic()
            if self._taken:
                limit = min(limit, RETRY)
            ready, _, _ = select.select([self._wake], [], [], max(0.0, limit))
            if ready:
                return os.read(self._wake, 1)[0]
            before = frozenset(self._held)
            if time.monotonic() >= reread:
                if self._is_stale():
                    self._follow_policy()
                reread = time.monotonic() + REREAD
            self._take(tuple(self._taken))
            self._report_new(frozenset(self._held) - before)
            if before != frozenset(self._held):
                notify(self._environ, f"STATUS={self._summary()}")

    def _is_stale(self) -> bool:
        """Whether what the policy says of the ports may be another thing now."""
        return (
            time.time() > self._until
            or time.monotonic() >= self._anyway
            or self._seen != [_identity(path) for path in self._files]
        )

    def _child(self, work: Callable[[], Iterable[Iterable[str]]]) -> list[list[str]]:
        return in_child(work, self._let_go_in_child, self._wake)

    def _let_go_in_child(self) -> None:
        """Close what a child inherited: a port is held until its last descriptor is gone."""
        for sockets in self._held.values():
            _close(sockets)
        if self._lock is not None:
            self._lock.close(end=False)

    def _read(self) -> tuple[frozenset[int], dict[int, str]]:
        """What to hold and what to leave alone now. Raises PolicyError."""
        from guard.errors import PolicyError

        hold = set()
        asides = {}
        ends = []
        # before it is read: what changes meanwhile is read again
        self._seen = [_identity(path) for path in self._files]
        self._anyway = time.monotonic() + REREAD_ANYWAY
        try:
            lines = self._child(lambda: _read_policy(self._catalogue, self._asked, self._environ))
        except ChildError as error:
            raise PolicyError(
                "cannot read the policy", why=str(error), fix="routeguard policy show"
            ) from None
        for kind, *words in lines:
            if kind == "hold":
                hold.add(int(words[0]))
            elif kind == "aside":
                asides[int(words[0])] = words[1]
            elif kind == "until":
                ends.append(float(words[0]))
            else:
                self._gateway = words[0]
        self._until = min(ends, default=float("inf"))
        return frozenset(hold), asides

    def _follow_policy(self) -> None:
        """Let go of what the policy allows now, try what it forbids again."""
        try:
            hold, self._asides = self._read()
        except GuardError as error:
            if not self._complained:
                self._complained = True
                self._voice.say(
                    "policy",
                    f"cannot read the policy, nothing is changed: {error.why}",
                    why=error.why,
                )
            return
        self._complained = False
        for port in sorted(frozenset(self._held) - hold):
            _close(self._held.pop(port))
            why = self._asides.get(port, "the policy does not list it any more")
            self._voice.say("released", f"let go     {port:>5}  {why}", port=port, why=why)
        for port in tuple(self._taken):
            if port not in hold:
                del self._taken[port]
        fresh = hold - frozenset(self._held) - frozenset(self._taken)
        self._take(fresh)
        self._report_taken({port: self._taken[port] for port in fresh if port in self._taken})
        self._write_down()

    def _take(self, ports: Iterable[int]) -> None:
        for port in ports:
            try:
                self._held[port] = take(port)
            except TakenError as taken:
                self._taken[port] = taken.number
            else:
                self._taken.pop(port, None)

    def _write_down(self) -> None:
        if self._lock is not None:
            self._lock.say(self._held, self._taken)

    def _summary(self) -> str:
        text = f"holds {len(self._held)} ports"
        return f"{text}; {len(self._taken)} taken by others" if self._taken else text

    def _report_start(self) -> None:
        self._write_down()
        text = f"routeguard holds {len(self._held)} ports (pid {os.getpid()})"
        if self._held:
            text += f":\n{listed(self._held)}"
        for port, why in sorted(self._asides.items()):
            text += f"\nleft alone {port:>5}  {why}"
        self._voice.say(
            "start",
            text,
            pid=os.getpid(),
            held=sorted(self._held),
            taken=sorted(self._taken),
            left_alone=[{"port": port, "why": why} for port, why in sorted(self._asides.items())],
        )

    def _report_new(self, ports: Iterable[int]) -> None:
        for port in sorted(ports):
            self._voice.say("held", f"holds now  {port:>5}", port=port)
            self._write_down()

    def _report_taken(self, taken: Mapping[int, int]) -> None:
        """Say who has the ports that could not be had."""
        if not taken:
            return
        owners: dict[int, list[str]] = {}
        used = [port for port, number in taken.items() if number == errno.EADDRINUSE]
        unknown = "nothing that listens: a connection, or another user's hold"
        if used:
            try:
                for first, *words in self._child(lambda: _owners(used, self._gateway)):
                    owners.setdefault(int(first), words)
            except ChildError as error:
                unknown = f"cannot tell by what: {error}"
        for port, number in sorted(taken.items()):
            name, program, pid, user, stop = owners.get(port, [""] * 5)
            if number != errno.EADDRINUSE:
                what = os.strerror(number)
                if number == errno.EACCES:
                    what += ": ports this low are for root"
            elif port in owners:
                what = _described(name, program, pid, user)
            else:
                what = unknown
            text = f"taken      {port:>5}  {what}"
            if stop:
                text += f"\n                  stop it: {stop}"
            self._voice.say(
                "taken",
                text,
                port=port,
                what=what,
                name=name,
                program=program,
                pid=int(pid) if pid else None,
                user=user,
                stop=stop,
            )


def _described(name: str, program: str, pid: str, user: str) -> str:
    """`Ollama: ollama, pid 812, user ollama`, as far as it is known."""
    parts = [program] if program else []
    if pid:
        parts.append(f"pid {pid}")
    if user:
        parts.append(f"user {user}")
    known = ", ".join(parts)
    if name and known:
        return f"{name}: {known}"
    return name or known or "a program that cannot be seen from here"


def _wake_on_signals() -> int:
    """A descriptor that is readable once SIGINT, SIGTERM or SIGHUP came; a byte is its number.

    One that is ignored stays ignored: `nohup` means it.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _ignore)
    return reader


def _ignore(number: int, frame: object) -> None:
    """The byte on the wake-up descriptor says all; a handler must exist for it to be written."""


def arguments(catalogue: Collection[int], asked: Collection[int], form: str) -> list[str]:
    """The arguments by which `main` is told what to do."""
    return [
        form,
        ",".join(map(str, sorted(catalogue))),
        ",".join(map(str, sorted(asked))),
    ]


def main(argv: list[str]) -> int:
    """Run the daemon with `arguments`; returns the exit status."""
    form, catalogue, asked = argv
    try:
        return Holder(_ports(catalogue), _ports(asked), os.environ, Voice(form)).run()
    except GuardError as error:
        sys.stderr.write(error.render() + "\n")
        return error.exit_code
    except BrokenPipeError:
        # the next write at exit must not complain about it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return READER_GONE


def _ports(text: str) -> frozenset[int]:
    return frozenset(int(word) for word in text.split(",") if word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
