"""A fence on Linux: a Landlock ruleset for TCP ports (Linux 6.7, ABI 4), and a seccomp filter.

Landlock's port rules are an allow-list, so a fence of K ports is 65,536 - K rules. None of it can
be taken off again.
"""

from __future__ import annotations

import errno
import os
import sys

from guard.launch.fences import seccomp
from guard.launch.fences.ports import BIND, CONNECT, Fence, UnavailableError, holds

MIN_ABI = 4
"""The first Landlock ABI with rules for TCP ports, Linux 6.7. Source: landlock(7)."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""System calls, with the same numbers on every architecture."""

_VERSION = 1
"""LANDLOCK_CREATE_RULESET_VERSION."""

_NET_PORT = 2
"""LANDLOCK_RULE_NET_PORT."""

_SET_NO_NEW_PRIVS = 38
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2


class Kernel:
    """The system calls, by ctypes. Raises UnavailableError where that cannot be had."""

    __slots__ = ("_ctypes", "_errno", "_libc", "_syscall", "machine")

    def __init__(self) -> None:
        self.machine = os.uname().machine
        if sys.platform != "linux":
            raise UnavailableError(f"routeguard has no fence for {sys.platform}")
        if self.machine not in seccomp.ARCHITECTURES or sys.maxsize < 1 << 32:
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
        action = self._ctypes.c_uint32(seccomp.RET_ERRNO)
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

        both = BIND | CONNECT
        handled = Struct("=QQ").pack(0, both)
        ruleset = self.call("Landlock ruleset", _CREATE_RULESET, handled, len(handled), 0)
        ports = [port for port in range(65536) if port not in fence.ports]
        rules = map(Struct("=QQ").pack, repeat(both), ports)
        # `any` over `map` keeps the loop out of the interpreter: a third of the time
        arguments = (repeat(_ADD_RULE), repeat(ruleset), repeat(_NET_PORT), rules, repeat(0))
        failed = any(map(self._syscall, *arguments))
        if not failed:
            partly = (Struct("=QQ").pack(CONNECT, port) for port in fence.reachable)
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

        program = seccomp.program(self.machine)
        code = self._ctypes.create_string_buffer(program, len(program))
        # struct sock_fprog: the number of instructions, and where they are
        wanted = pack("=H6xQ", len(program) // 8, self._ctypes.addressof(code))
        self.call("seccomp filter", _SECCOMP[self.machine], _SET_MODE_FILTER, 0, wanted)

    def restrict(self, ruleset: int) -> None:
        """Put this thread, and all that it starts, under `ruleset`."""
        self.call("Landlock", _RESTRICT_SELF, ruleset, 0)


def raise_fence(fence: Fence) -> None:
    """Fence this process. Raises UnavailableError."""
    kernel = Kernel()
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
