"""What listens is read from the kernel, by whichever way is open."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from guard.sources import other_sockets, sockets
from guard.sources.listener import Listener, SocketsUnreadableError

linux = pytest.mark.skipif(sys.platform != "linux", reason="netlink and /proc are Linux's")


@contextmanager
def listener(host: str = "127.0.0.1", *, protocol: int = 0) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, protocol) as made:
        made.bind((host, 0))
        made.listen()
        yield made


def found_on(port: int, found: list[Listener]) -> Listener:
    (one,) = (one for one in found if one.port == port)
    return one


def no_netlink(*_: int) -> socket.socket:
    raise PermissionError(1, "Operation not permitted")


@linux
class TestNetlink:
    @pytest.mark.parametrize(
        ("host", "family", "wildcard", "loopback"),
        [
            ("127.0.0.1", 4, False, True),
            ("127.0.0.2", 4, False, True),
            ("0.0.0.0", 4, True, False),
            ("::1", 6, False, True),
            ("::", 6, True, False),
        ],
    )
    def test_address_owner_and_inode(
        self, host: str, family: int, wildcard: bool, loopback: bool
    ) -> None:
        with listener(host) as made:
            one = found_on(made.getsockname()[1], sockets.listening())
            assert (one.address, one.family) == (host, family)
            assert (one.wildcard, one.loopback) == (wildcard, loopback)
            assert one.uid == os.getuid()
            assert one.inode == os.fstat(made.fileno()).st_ino
            assert one.cookie == int.from_bytes(
                made.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder
            )  # SO_COOKIE

    def test_a_listener_of_mptcp_has_the_inode_of_its_descriptor(self) -> None:
        try:
            with listener(protocol=262) as made:
                one = found_on(made.getsockname()[1], sockets.listening())
                assert one.inode == os.fstat(made.fileno()).st_ino
        except OSError as error:
            pytest.skip(f"no MPTCP here: {error}")

    def test_only_what_listens(self) -> None:
        with listener() as made, socket.create_connection(made.getsockname()) as client:
            ports = [one.port for one in sockets.listening()]
            assert made.getsockname()[1] in ports
            assert client.getsockname()[1] not in ports
            with socket.socket() as bound:
                bound.bind(("127.0.0.1", 0))
                assert bound.getsockname()[1] not in [o.port for o in sockets.listening()]

    def test_more_than_one_message_holds(self) -> None:
        with ExitStack() as stack:
            ports = {stack.enter_context(listener()).getsockname()[1] for _ in range(300)}
            assert ports <= {one.port for one in sockets.listening()}

    def test_another_namespace_is_not_seen(self) -> None:
        with listener() as made:
            code = "from guard.sources.sockets import listening; print(listening())"
            done = subprocess.run(
                ["unshare", "-rn", sys.executable, "-c", code], capture_output=True, text=True
            )
            if done.returncode != 0:
                pytest.skip(done.stderr)
            assert done.stdout == "[]\n"
            assert made.getsockname()[1]


class Scripted:
    """A netlink socket that answers what a test says."""

    def __init__(self, *answers: tuple[bytes, int]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, *_: int) -> Scripted:
        return self

    def settimeout(self, _: float) -> None: ...

    def bind(self, _: object) -> None: ...

    def close(self) -> None: ...

    def sendto(self, data: bytes, _: object) -> None:
        self.asked += 1
        self.sequence = data[8:12]

    def recvfrom(self, _: int) -> tuple[bytes, tuple[int, int]]:
        if not self.answers:
            raise TimeoutError("timed out")
        data, sender = self.answers.pop(0)
        return data.replace(b"SEQ!", self.sequence), (sender, 0)


def message(kind: int, body: bytes = b"", flags: int = 2) -> bytes:
    order = sys.byteorder
    return (
        (16 + len(body)).to_bytes(4, order)
        + kind.to_bytes(2, order)
        + flags.to_bytes(2, order)
        + b"SEQ!"
        + bytes(4)
        + body
    )


def diag(port: int, family: int = 2) -> bytes:
    body = bytearray(72)
    body[0:2] = bytes((family, 10))
    body[4:6] = port.to_bytes(2, "big")
    body[8:12] = bytes((127, 0, 0, 1))
    return bytes(body)


DONE = message(3, bytes(4))


@linux
class TestWhatAKernelMayAnswer:
    def read(self, *answers: bytes | tuple[bytes, int]) -> tuple[list[int], Scripted]:
        pairs = [a if isinstance(a, tuple) else (a, 0) for a in answers]
        made = Scripted(*pairs)
        return [one.port for one in sockets._dump(made)], made  # type: ignore[arg-type]

    def test_one_message_and_the_end(self) -> None:
        assert self.read(message(20, diag(4000)) + DONE, DONE)[0] == [4000]

    def test_another_sender_is_not_believed(self) -> None:
        lie = (message(20, diag(11434)) + DONE, 4711)
        assert self.read(lie, DONE, lie, message(20, diag(8, 10)) + DONE)[0] == [8]

    def test_a_table_that_changed_is_read_again(self) -> None:
        ports, made = self.read(
            message(20, diag(1), flags=0x12) + DONE, message(20, diag(2)) + DONE, DONE
        )
        assert (ports, made.asked) == ([2], 3)

    def test_a_table_that_always_changes_ends(self) -> None:
        torn = message(20, diag(1), flags=0x12) + DONE
        assert self.read(torn, torn, torn, DONE)[0] == [1]

    def test_an_old_answer_is_not_ours(self) -> None:
        old = message(20, diag(7)).replace(b"SEQ!", b"\xff\xff\xff\xff")
        assert self.read(old + DONE, DONE)[0] == []

    def test_a_kernel_without_ipv6(self) -> None:
        none = message(2, (-2).to_bytes(4, sys.byteorder, signed=True) + bytes(16))
        assert self.read(message(20, diag(1)) + DONE, none)[0] == [1]

    @pytest.mark.parametrize(
        "answer",
        [
            message(2, (-1).to_bytes(4, sys.byteorder, signed=True) + bytes(16)),
            bytes(64),
            (1 << 20).to_bytes(4, sys.byteorder) + bytes(60),
        ],
        ids=["refused", "length 0", "length beyond the datagram"],
    )
    def test_nonsense_is_an_error_of_the_system(self, answer: bytes) -> None:
        with pytest.raises(OSError, match=r".+"):
            self.read(answer)

    def test_silence_ends(self) -> None:
        with pytest.raises(TimeoutError):
            self.read()


@linux
class TestWithoutNetlink:
    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
    def test_the_table_says_the_same(self, host: str) -> None:
        with listener(host) as made:
            port = made.getsockname()[1]
            by_table = found_on(port, sockets.listening(factory=no_netlink))
            by_kernel = found_on(port, sockets.listening())
            for name in ("address", "family", "uid", "inode"):
                assert getattr(by_table, name) == getattr(by_kernel, name)
            assert by_table.cookie == 0

    def test_neither_way(self, tmp_path: Path) -> None:
        with pytest.raises(SocketsUnreadableError, match=r"not permitted.*/net/tcp"):
            sockets.listening(proc=str(tmp_path), factory=no_netlink)

    @pytest.mark.parametrize(
        "text", ["", "nonsense", "  sl  local_address\n 0: zz:1 x 0A" + " 1" * 9]
    )
    def test_a_table_of_nonsense(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "net").mkdir()
        (tmp_path / "net/tcp").write_text(text)
        with pytest.raises(SocketsUnreadableError):
            sockets.listening(proc=str(tmp_path), factory=no_netlink)


class TestAccepting:
    def test_who_accepts(self) -> None:
        with listener() as four, listener("::1") as six, socket.socket() as shut:
            shut.bind(("127.0.0.1", 0))
            ports = [made.getsockname()[1] for made in (four, six, shut)]
            found = sockets.accepting(ports)
            assert {(one.port, one.family, one.address) for one in found} == {
                (ports[0], 4, "127.0.0.1"),
                (ports[1], 6, "::1"),
            }
            assert all(one.uid == -1 and one.inode == 0 for one in found)

    def test_many_ports_leave_no_descriptor(self) -> None:
        before = len(os.listdir("/dev/fd"))
        with listener() as made:
            port = made.getsockname()[1]
            assert [one.port for one in sockets.accepting([port, *range(1, 200)])].count(port) == 1
        assert len(os.listdir("/dev/fd")) == before

    def test_mirrored_is_told_by_the_kernels_name(self) -> None:
        assert sockets.mirrored("5.15.153.1-microsoft-standard-WSL2")
        assert not sockets.mirrored("6.18.0-generic")


NETSTAT = {
    "plain": (
        "Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)",
        "",
        0,
    ),
    "up to macOS 14": (
        "Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)     rhiwat "
        "shiwat    pid   epid  state    options",
        "131072 131072  92386      0 0x0080 0x0000000e",
        92386,
    ),
    "since": (
        "Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)          "
        "rxbytes      txbytes  rhiwat  shiwat          process:pid    state  options           "
        "gencnt    flags   flags1 usecnt rtncnt fltrs",
        "0            0  131072  131072 Brave (He 1:2):855   00100 00000006 000000000bf559ba "
        "00000000 00000800      1      0 000000",
        855,
    ),
}
"""Headers and rows of macOS's netstat as people have published them."""


@pytest.mark.parametrize(("header", "rest", "pid"), NETSTAT.values(), ids=NETSTAT)
def test_netstat_of_macos(header: str, rest: str, pid: int) -> None:
    found = other_sockets.parse_netstat(
        f"Active Internet connections (including servers)\n{header}\n"
        f"tcp4       0      0  127.0.0.1.11434        *.*                    LISTEN {rest}\n"
        f"tcp46      0      0  *.8787                 *.*                    LISTEN {rest}\n"
        f"tcp6       0      0  fe80::1%lo0.4000       *.*                    LISTEN {rest}\n"
        f"tcp4       0      0  10.0.0.2.49152         1.2.3.4.443            ESTABLISHED {rest}\n"
    )
    assert [(one.address, one.port, one.family, one.pid) for one in found] == [
        ("127.0.0.1", 11434, 4, pid),
        ("::", 8787, 6, pid),
        ("fe80::1", 4000, 6, pid),
    ]


def test_netstat_without_a_socket_prints_nothing() -> None:
    assert other_sockets.parse_netstat("") == []
    assert other_sockets.parse_netstat("Active Internet connections\n" + NETSTAT["plain"][0]) == []


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "netstat: sysctl: net.inet.tcp.pcblist_n: Operation not permitted",
        "Active Internet connections (including servers)\n",
        "Aktive Internetverbindungen\nProto Empf Send Lokal\n",
        "HEAD\ntcp4       0      0  127.0.0.1.11434        *.*\n",
        "HEAD\nTCP        0      0  127.0.0.1.11434        *.*                    LISTEN\n",
        "HEAD\ntcp4       0      0  127.0.0.1.ollama       *.*                    LISTEN\n",
        "HEAD\ntcp4       0      0  127.0.0.1              *.*                    LISTEN\n",
        "HEAD\ntcp4       0      0  127.0.0.1.99999        *.*                    LISTEN\n",
        "HEAD\n127.0.0.1:11434 LISTEN\n",
    ],
)
def test_netstat_that_cannot_be_read_is_not_taken_for_nothing(text: str) -> None:
    with pytest.raises(SocketsUnreadableError):
        other_sockets.parse_netstat(text.replace("HEAD", NETSTAT["plain"][0]))


def test_importing_it_imports_nothing_slow() -> None:
    root = str(Path(sockets.__file__).parents[2])
    code = (
        f"import sys; sys.path.insert(0, {root!r}); import guard.sources.sockets;"
        "print(sorted({'re', 'typing', 'dataclasses', 'socket', '_socket', 'struct', 'select',"
        " 'subprocess'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
