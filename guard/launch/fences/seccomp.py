"""The seccomp filter that refuses what Landlock's rules for ports do not see.

That is (landlock-lsm/linux#41 and #54, and measured on 6.18): MPTCP sockets, which Go makes by
default since 1.24; SMC sockets, which fall back to TCP inside of the kernel; TCP Fast Open by
`sendto`, where the address is not that of a `connect`. io_uring can make such sockets and calls
past any filter of system calls, so there is none inside the fence. TCP_FASTOPEN_CONNECT is left
alone: its address comes by `connect`, which Landlock sees.
"""

from __future__ import annotations

from guard.record import Record

RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000
"""SECCOMP_RET_ALLOW and SECCOMP_RET_ERRNO."""

_MPTCP = 262


class _Calls(Record):
    """System calls of one architecture: numbers, and what `arch` says in a filter's data."""

    arch: int
    socket: int
    sendto: int
    sendmsg: int
    sendmmsg: int
    multiplexer: int = -1


ARCHITECTURES = {
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


def program(machine: str) -> bytes:
    """The filter for `machine`, an array of struct sock_filter (8 bytes each, little endian).

    Each refusal is one that a kernel without the feature gives, so that programs fall back:
    EPROTONOSUPPORT for MPTCP and SMC, EOPNOTSUPP for Fast Open, EPERM for io_uring (as under
    kernel.io_uring_disabled). Raises KeyError for a machine that is not in the table.
    """
    from struct import pack

    blocks = []
    for calls in ARCHITECTURES[machine]:
        block: list[tuple[int, int, int, int]] = []
        if machine == "x86_64" and calls is ARCHITECTURES[machine][0]:
            # the x32 numbers of the same architecture: hardly a kernel has them
            block += rule(((_NUMBER, _AT_LEAST, _X32),), _ENOSYS)
        for conditions, code in _refusals(calls):
            block += rule(conditions, code)
        block.append((_RETURN, 0, 0, RET_ALLOW))
        # the jump over a block is counted in a byte: jump to the block's inside or go on beyond it
        head = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 0, len(block), calls.arch)]
        blocks += head + block
    blocks.append((_RETURN, 0, 0, RET_ERRNO | _ENOSYS))
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


def rule(
    conditions: tuple[tuple[int, int, int], ...], code: int
) -> list[tuple[int, int, int, int]]:
    """Instructions that end with errno `code` if all conditions hold, and else go on below."""
    built: list[tuple[int, int, int, int]] = []
    left = 2 * len(conditions)
    for offset, comparison, value in conditions:
        left -= 2
        built += [(_LOAD, 0, 0, offset), (comparison, 0, left + 1, value)]
    return [*built, (_RETURN, 0, 0, RET_ERRNO | code)]
