"""A fence around one launch: it and its children can neither bind nor reach a local proxy's port.

Imported only where a fence is wanted, last before `execve`, in the process that becomes the agent.
On Linux it is a Landlock ruleset for TCP ports (Linux 6.7, ABI 4) and a seccomp filter for what
Landlock does not see; on macOS a profile for `sandbox-exec`. None of it can be taken off again.

Landlock's port rules are an allow-list, so a fence of K ports is 65,536 - K rules. What they do
not see, and the filter therefore refuses (landlock-lsm/linux#41 and #54, and measured on 6.18):
MPTCP sockets, which Go makes by default since 1.24; SMC sockets, which fall back to TCP inside of
the kernel; TCP Fast Open by `sendto`, where the address is not that of a `connect`. io_uring can
make such sockets and calls past any filter of system calls, so there is none inside the fence.
TCP_FASTOPEN_CONNECT is left alone: its address comes by `connect`, which Landlock sees.
"""

from __future__ import annotations

import errno
import os
import sys

from guard import net
from guard.errors import GuardError
from guard.findings import Finding
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy

DNS = 53
"""The port of name servers; over TCP where an answer is long."""

SOCKS = 1080
"""The port of a SOCKS proxy whose URL names none."""

MIN_ABI = 4
"""The first Landlock ABI with rules for TCP ports, Linux 6.7. Source: landlock(7)."""

SANDBOX_EXEC = "/usr/bin/sandbox-exec"

_BIND, _CONNECT = 1, 2
"""LANDLOCK_ACCESS_NET_BIND_TCP and LANDLOCK_ACCESS_NET_CONNECT_TCP."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""System calls, with the same numbers on every architecture."""

_VERSION = 1
"""LANDLOCK_CREATE_RULESET_VERSION."""

_NET_PORT = 2
"""LANDLOCK_RULE_NET_PORT."""

_SET_NO_NEW_PRIVS = 38
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_RET_ALLOW, _RET_ERRNO = 0x7FFF0000, 0x00050000

_MPTCP = 262
_NOWHERE = "192.0.2.1"
"""An address that no machine has (RFC 5737): to bind it takes no port."""

_EVERYWHERE = "255.255.255.255"
"""An address that TCP never connects to: to try sends no packet."""

_UNFENCED = "it cannot be fenced off from the ports of local proxies"


class UnavailableError(Exception):
    """This machine cannot fence a launch; the text says why. `late`: some of it is in force."""

    def __init__(self, why: str, *, late: bool = False) -> None:
        super().__init__(why)
        self.late = late


class Fence:
    """The TCP `ports` that cannot be bound, and of these the `reachable`: only bind is denied.

    A connection is denied by port, whatever the host: a port that the way to the gateway needs
    on any host stays reachable on this one, too.
    """

    __slots__ = ("ports", "reachable")

    def __init__(self, ports: Iterable[int], reachable: Iterable[int] = ()) -> None:
        self.ports = frozenset(ports)
        self.reachable = self.ports.intersection(reachable)

    def denied(self, port: int) -> int:
        """The Landlock rights to `port` that are taken away."""
        if port not in self.ports:
            return 0
        return _BIND if port in self.reachable else _BIND | _CONNECT


def of_policy(
    policy: CompiledPolicy, environ: Mapping[str, str], now: float | None = None
) -> Fence:
    """The fence that `policy` asks for around a launch with `environ` at `now` (Unix seconds).

    The catalogue's distinctive ports and `proxies.hold`, without those of a `port:N` exception.
    The gateway's port and that of an HTTP proxy in `environ` stay reachable; DNS is left alone,
    and so is port 0, by which a program asks for any port.
    """
    wanted = distinctive(policy).union(policy.proxies_hold) - {0, DNS}
    ports = [port for port in wanted if policy.excepted(f"port:{port}", now) is None]
    needed = [_port(url) for url in (policy.base_url, policy.gateway_proxy) if url]
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        needed += [_port(environ[n]) for n in (name, name.lower()) if environ.get(n)]
    return Fence(ports, needed)


def distinctive(policy: CompiledPolicy) -> frozenset[int]:
    """The ports that only local proxies use, as `policy` was compiled with them."""
    if policy.proxy_ports:
        return frozenset(policy.proxy_ports)
    # the catalogue takes 20 ms to load, which a launch with a cached policy need not wait for
    from guard.catalog import local_proxies

    return local_proxies.distinctive()


def _port(url: str) -> int:
    """The port that `url` leads to, -1 if unknown."""
    found = net.read_url(url)
    return -1 if found is None or found.port < 0 else found.effective_port(default=SOCKS)


def describe(policy: CompiledPolicy, environ: Mapping[str, str]) -> str:
    """One line for people on the fence of a launch with `environ`, as this machine can build it."""
    fence = of_policy(policy, environ)
    said = f"{len(fence.ports)} ports"
    if fence.reachable:
        kept = ", ".join(map(str, sorted(fence.reachable)))
        said += f" (the way to the gateway may still connect to {kept})"
    why = unavailable()
    return f"fence: {said}, not on this machine: {why}" if why else f"fence: {said}"


def refusal(why: str, *, asked: bool) -> GuardError:
    """The error of a launch that had to be fenced and cannot be; `asked` by `--fence`."""
    return GuardError(
        f"not started: {_UNFENCED}",
        where=f"{os.uname().sysname} {os.uname().release} on {os.uname().machine}",
        why=why,
        fix="run it without --fence"
        if asked
        else 'proxies.fence = "try" in your policy starts it without a fence, with a warning',
        rule="RG404",
    )


def missing(why: str) -> Finding:
    """The finding for a launch that the policy wants fenced on a machine that cannot."""
    said = refusal(why, asked=False)
    return Finding("RG404", "proxies.fence", f"{_UNFENCED}: {why}", where=said.where, fix=said.fix)


def around(
    plan: Plan,
    policy: CompiledPolicy,
    wanted: str,
    asked: bool | None,
    say: Callable[[str], None],
) -> Callable[[str, list[str]], tuple[str, list[str]]] | None:
    """What raises the fence around `plan` as `raise_fence` does, None for no fence.

    `wanted` is the policy's word for this launch (off, try, require), `asked` what `--fence` (True)
    or `--no-fence` (False) says. Raises GuardError if the two do not agree, or if a fence has to
    be and this machine cannot: before a key is fetched.
    """
    if asked is False:
        if wanted == "require":
            raise GuardError(
                f"{plan.agent or plan.program} was not started: the policy requires a fence",
                where="--no-fence",
                why='proxies.fence = "require" in the policy',
                fix="run it without --no-fence",
                rule="RG404",
            )
        return None
    required = asked is True or wanted == "require"
    if required:
        why = unavailable()
        if why:
            raise refusal(why, asked=wanted != "require")

    def put_up(program: str, argv: list[str]) -> tuple[str, list[str]]:
        return raise_fence(
            of_policy(policy, plan.environ),
            program,
            argv,
            required=required,
            asked=wanted != "require",
            say=say,
        )

    return put_up


def raise_fence(
    fence: Fence,
    program: str,
    argv: list[str],
    *,
    required: bool,
    asked: bool = False,
    say: Callable[[str], None],
) -> tuple[str, list[str]]:
    """Fence this process; returns the program and arguments to become, changed on macOS only.

    If that cannot be done: raises GuardError where the fence is `required`, else tells `say` one
    line why and goes on. `asked`: by `--fence`, not by the policy.
    """
    try:
        if sys.platform == "darwin":
            return _on_macos(fence, program, argv)
        _on_linux(fence)
    except UnavailableError as error:
        if required:
            raise refusal(str(error), asked=asked) from None
        more = "; no_new_privs is set, so sudo will not work" if error.late else ""
        say(f"routeguard: started without a fence: {error}{more} [RG404]")
    return program, argv


def unavailable() -> str:
    """Why this machine cannot fence a launch, "" if it can. Changes nothing."""
    if sys.platform == "darwin":
        return "" if os.access(SANDBOX_EXEC, os.X_OK) else f"there is no {SANDBOX_EXEC}"
    try:
        _Kernel().check()
    except UnavailableError as error:
        return str(error)
    return ""


def holds(fence: Fence) -> bool:
    """Whether this process can neither bind nor reach the ports of `fence`, by asking the kernel.

    Takes no port and sends no packet. An environment variable that says so could lie.
    """
    import _socket

    for port in fence.ports:
        for denied, call, address in (
            (_BIND, "bind", _NOWHERE),
            (_CONNECT, "connect", _EVERYWHERE),
        ):
            # a macOS profile denies connections to this machine only
            if not fence.denied(port) & denied or (call == "connect" and sys.platform == "darwin"):
                continue
            try:
                asked = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            except OSError:
                return False
            try:
                asked.setblocking(False)
                getattr(asked, call)((address, port))
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM):
                    return False
            else:
                return False
            finally:
                asked.close()
    return True


# Linux -------------------------------------------------------------------------------------------


class _Kernel:
    """The system calls, by ctypes. Raises UnavailableError where that cannot be had."""

    __slots__ = ("_ctypes", "_errno", "_libc", "_syscall", "machine")

    def __init__(self) -> None:
        self.machine = os.uname().machine
        if sys.platform != "linux":
            raise UnavailableError(f"routeguard has no fence for {sys.platform}")
        if self.machine not in _ARCHITECTURES or sys.maxsize < 1 << 32:
            raise UnavailableError(f"routeguard has no seccomp filter for {self.machine}")
        try:
            import ctypes
        except ImportError:
            raise UnavailableError(f"{sys.executable} has no ctypes") from None
        self._ctypes = ctypes
        # PyDLL: it keeps the interpreter's lock, which 65,000 calls would else give back and take
        self._libc = ctypes.PyDLL(None)
        self._syscall = self._libc.syscall
        # glibc and musl have it; ctypes' own copy of errno would be made at each call, too
        self._errno = self._libc["__errno_location"]
        self._errno.restype = ctypes.POINTER(ctypes.c_int)

    def error(self) -> int:
        """The errno of the call just made."""
        number: int = self._errno()[0]
        return number

    def call(self, what: str, number: int, *arguments: object) -> int:
        """The result of one system call. Raises UnavailableError with `what` if it fails."""
        result: int = self._syscall(number, *arguments)
        if result < 0:
            raise UnavailableError(f"{what}: {os.strerror(self.error())}")
        return result

    def check(self) -> None:
        """Raise UnavailableError unless all that a fence needs is there."""
        abi = self._syscall(_CREATE_RULESET, None, 0, _VERSION)
        if abi < 0:
            code = self.error()
            what = {
                errno.ENOSYS: "the kernel has no Landlock",
                errno.EOPNOTSUPP: "Landlock is switched off (the kernel's lsm= list)",
            }.get(code, f"Landlock: {os.strerror(code)}")
            raise UnavailableError(what)
        if abi < MIN_ABI:
            raise UnavailableError(
                f"Landlock ABI {abi} has no rules for ports; Linux 6.7 has ABI {MIN_ABI}"
            )
        action = self._ctypes.c_uint32(_RET_ERRNO)
        self.call(
            "seccomp filters",
            _SECCOMP[self.machine],
            _GET_ACTION_AVAIL,
            0,
            self._ctypes.byref(action),
        )

    def ruleset(self, fence: Fence) -> int:
        """A descriptor of the ruleset that allows all that `fence` does not deny."""
        from itertools import repeat
        from struct import Struct

        both = _BIND | _CONNECT
        handled = Struct("=QQ").pack(0, both)
        ruleset = self.call("Landlock ruleset", _CREATE_RULESET, handled, len(handled), 0)
        ports = [port for port in range(65536) if port not in fence.ports]
        rules = map(Struct("=QQ").pack, repeat(both), ports)
        # `any` over `map` keeps the loop out of the interpreter: a third of the time
        arguments = (repeat(_ADD_RULE), repeat(ruleset), repeat(_NET_PORT), rules, repeat(0))
        failed = any(map(self._syscall, *arguments))
        if not failed:
            partly = (Struct("=QQ").pack(_CONNECT, port) for port in fence.reachable)
            failed = any(self._syscall(_ADD_RULE, ruleset, _NET_PORT, rule, 0) for rule in partly)
        if failed:
            code = self.error()
            os.close(ruleset)
            raise UnavailableError(f"Landlock rule: {os.strerror(code)}")
        return ruleset

    def give_up_privileges(self) -> None:
        """Set no_new_privs, without which an unprivileged process may neither filter nor fence."""
        if self._libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise UnavailableError(f"no_new_privs: {os.strerror(self.error())}")

    def filter(self) -> None:
        """Install the seccomp filter."""
        from struct import pack

        program = seccomp_program(self.machine)
        code = self._ctypes.create_string_buffer(program, len(program))
        # struct sock_fprog: the number of instructions, and where they are
        wanted = pack("=H6xQ", len(program) // 8, self._ctypes.addressof(code))
        self.call("seccomp filter", _SECCOMP[self.machine], _SET_MODE_FILTER, 0, wanted)

    def restrict(self, ruleset: int) -> None:
        """Put this thread, and all that it starts, under `ruleset`."""
        self.call("Landlock", _RESTRICT_SELF, ruleset, 0)


def _on_linux(fence: Fence) -> None:
    """Fence this process. Raises UnavailableError."""
    kernel = _Kernel()
    kernel.check()
    # below a fenced launch there is one already: a second layer would cost its time and memory
    # again, and the kernel takes 16 in all. The filter is cheap, and nothing shows that it is there
    ruleset = -1 if holds(fence) else kernel.ruleset(fence)
    given_up = False
    try:
        kernel.give_up_privileges()
        given_up = True
        kernel.filter()
        if ruleset >= 0:
            kernel.restrict(ruleset)
    except UnavailableError as error:
        raise UnavailableError(str(error), late=given_up) from None
    finally:
        if ruleset >= 0:
            os.close(ruleset)
    if not holds(fence):
        raise UnavailableError("the kernel accepted the fence but does not enforce it", late=True)


class _Calls(Record):
    """System calls of one architecture: numbers, and what `arch` says in a filter's data."""

    arch: int
    socket: int
    sendto: int
    sendmsg: int
    sendmmsg: int
    multiplexer: int = -1


_ARCHITECTURES = {
    "x86_64": (
        _Calls(0xC000003E, socket=41, sendto=44, sendmsg=46, sendmmsg=307),
        # i386, also by `int 0x80` from a 64-bit program
        _Calls(0x40000003, socket=359, sendto=369, sendmsg=370, sendmmsg=345, multiplexer=102),
    ),
    "aarch64": (
        _Calls(0xC00000B7, socket=198, sendto=206, sendmsg=211, sendmmsg=269),
        _Calls(0x40000028, socket=281, sendto=290, sendmsg=296, sendmmsg=374),
    ),
}
"""Per machine its own architecture and the 32-bit one it also runs. Source: the kernel's
syscall tables (arch/*/entry/syscalls, include/uapi/asm-generic/unistd.h) and linux/audit.h."""

_IO_URING_SETUP = 425
_X32 = 0x40000000
_AF_INET, _AF_INET6, _AF_SMC = 2, 10, 43
_PROTO_SMC = 256
_FASTOPEN = 0x20000000
_EQUAL, _ANY_BIT, _AT_LEAST = 0x15, 0x45, 0x35
"""BPF_JMP|BPF_K with BPF_JEQ, BPF_JSET, BPF_JGE."""

_LOAD, _RETURN = 0x20, 0x06
"""BPF_LD|BPF_W|BPF_ABS, BPF_RET|BPF_K."""

_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data, in bytes; an argument has 8, its low half first."""

_EOPNOTSUPP, _EPROTONOSUPPORT, _EAFNOSUPPORT = 95, 93, 97
_EPERM, _ENOSYS = 1, 38


def seccomp_program(machine: str) -> bytes:
    """The filter for `machine`, an array of struct sock_filter (8 bytes each, little endian).

    Each refusal is one that a kernel without the feature gives, so that programs fall back:
    EPROTONOSUPPORT for MPTCP and SMC, EOPNOTSUPP for Fast Open, EPERM for io_uring (as under
    kernel.io_uring_disabled). Raises KeyError for a machine that is not in the table.
    """
    from struct import pack

    blocks = []
    for calls in _ARCHITECTURES[machine]:
        block: list[tuple[int, int, int, int]] = []
        if machine == "x86_64" and calls is _ARCHITECTURES[machine][0]:
            # the x32 numbers of the same architecture: hardly a kernel has them
            block += _rule(((_NUMBER, _AT_LEAST, _X32),), _ENOSYS)
        for conditions, code in _refusals(calls):
            block += _rule(conditions, code)
        block.append((_RETURN, 0, 0, _RET_ALLOW))
        # the jump over a block is counted in a byte: jump to the block's inside or go on beyond it
        head = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 0, len(block), calls.arch)]
        blocks += head + block
    blocks.append((_RETURN, 0, 0, _RET_ERRNO | _ENOSYS))
    return b"".join(pack("<HBBI", *instruction) for instruction in blocks)


def _refusals(calls: _Calls) -> list[tuple[tuple[tuple[int, int, int], ...], int]]:
    """What is refused: conditions (offset, comparison, value) that all hold, and the errno."""

    def argument(index: int) -> int:
        return _ARGUMENTS + 8 * index

    def is_call(number: int) -> tuple[int, int, int]:
        return _NUMBER, _EQUAL, number

    refused = [
        ((is_call(_IO_URING_SETUP),), _EPERM),
        ((is_call(calls.socket), (argument(0), _EQUAL, _AF_SMC)), _EAFNOSUPPORT),
    ]
    refused += [
        (
            (
                is_call(calls.socket),
                (argument(0), _EQUAL, family),
                (argument(2), _EQUAL, protocol),
            ),
            _EPROTONOSUPPORT,
        )
        for family in (_AF_INET, _AF_INET6)
        for protocol in (_MPTCP, _PROTO_SMC)
    ]
    refused += [
        ((is_call(number), (argument(index), _ANY_BIT, _FASTOPEN)), _EOPNOTSUPP)
        for number, index in ((calls.sendto, 3), (calls.sendmsg, 2), (calls.sendmmsg, 3))
    ]
    if calls.multiplexer >= 0:
        # socketcall(2) keeps its arguments in memory, where no filter can see them: refused are
        # socket, sendto, sendmsg and sendmmsg, which programs since Linux 4.3 call directly
        refused += [
            ((is_call(calls.multiplexer), (argument(0), _EQUAL, call)), _EPERM)
            for call in (1, 11, 16, 20)
        ]
    return refused


def _rule(
    conditions: tuple[tuple[int, int, int], ...], code: int
) -> list[tuple[int, int, int, int]]:
    """Instructions that end with errno `code` if all conditions hold, and else go on below."""
    built: list[tuple[int, int, int, int]] = []
    left = 2 * len(conditions)
    for offset, comparison, value in conditions:
        left -= 2
        built += [(_LOAD, 0, 0, offset), (comparison, 0, left + 1, value)]
    return [*built, (_RETURN, 0, 0, _RET_ERRNO | code)]


# macOS -------------------------------------------------------------------------------------------


def sandbox_exec(fence: Fence, program: str, argv: list[str]) -> list[str]:
    """The arguments by which `sandbox-exec` runs `program` behind `fence`; `argv[0]` is dropped.

    The profile's forms are those of Seatbelt profiles in use (sandbox-runtime and others); a
    connection can be denied to this machine only, which here is what is wanted.
    """
    lines = ["(version 1)", "(allow default)"]
    for port in sorted(fence.ports):
        lines.append(f'(deny network-bind (local ip "*:{port}"))')
        if fence.denied(port) & _CONNECT:
            lines.append(f'(deny network-outbound (remote ip "localhost:{port}"))')
    return [SANDBOX_EXEC, "-p", "\n".join(lines), program, *argv[1:]]


_PROBE = """
import _socket, sys
for port in sys.argv[1:]:
    asked = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        asked.bind(("127.0.0.1", int(port)))
    except PermissionError:
        continue
    except OSError:
        pass
    sys.exit(1)
"""


def _on_macos(fence: Fence, program: str, argv: list[str]) -> tuple[str, list[str]]:
    """What to `exec` behind a profile. Raises UnavailableError if a trial run fails.

    A sandbox cannot be entered twice: below a fenced launch `holds` tells.
    """
    if not os.access(SANDBOX_EXEC, os.X_OK):
        raise UnavailableError(f"there is no {SANDBOX_EXEC}")
    if holds(fence):
        return program, argv
    import subprocess

    ports = [str(port) for port in sorted(fence.ports)]
    trial = ["", "-I", "-S", "-c", _PROBE, *ports]
    try:
        done = subprocess.run(
            sandbox_exec(fence, sys.executable, trial),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"sandbox-exec: {error}") from None
    if done.returncode:
        raise UnavailableError("sandbox-exec did not enforce the profile in a trial")
    return SANDBOX_EXEC, sandbox_exec(fence, program, argv)
