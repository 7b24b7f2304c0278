from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from guard.sources.connections import ESTABLISHED, LISTEN, Connection, Sockets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid inode\n"


def process(root: Path, pid: int, inodes: list[int], four: str = "", six: str | None = "") -> None:
    base = root / str(pid)
    (base / "fd").mkdir(parents=True)
    (base / "ns").mkdir()
    (base / "net").mkdir()
    (base / "ns/net").symlink_to("net:[1]")
    for number, inode in enumerate(inodes):
        (base / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
    (base / "fd/99").symlink_to("/dev/null")
    (base / "net/tcp").write_text(HEAD + four)
    if six is not None:
        (base / "net/tcp6").write_text(HEAD + six)


def row(local: str, peer: str, state: str, inode: int) -> str:
    return (
        f"   0: {local} {peer} {state} 00000000:00000000 00:00000000 00000000  1000 0 {inode} 1\n"
    )


def test_sockets_of_this_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as caller:
            own = caller.getsockname()[1]
            found = Sockets().of(os.getpid())
    assert found is not None
    assert Connection(LISTEN, "127.0.0.1", port) in found
    assert Connection(ESTABLISHED, "127.0.0.1", own, "127.0.0.1", port) in found


@pytest.mark.skipif(sys.byteorder == "big", reason="rows as a little-endian kernel prints them")
def test_the_table(tmp_path: Path) -> None:
    four = row("0100007F:1000", "00000000:0000", "0A", 11)
    four += row("0100007F:1001", "01010101:01BB", "01", 12)
    four += row("0100007F:1002", "01010101:01BB", "06", 13)  # TIME_WAIT
    four += row("0100007F:1003", "01010101:01BB", "01", 14)  # somebody else's
    mapped = "0000000000000000FFFF0000"
    six = row(f"{mapped}0100007F:1004", f"{mapped}01010101:01BB", "01", 15)
    six += row(f"{'0' * 24}01000000:1005", f"{'0' * 32}:0000", "0A", 16)
    process(tmp_path, 7, [11, 12, 13, 15, 16, 17], four, six)
    found = Sockets(str(tmp_path)).of(7)
    assert found is not None
    assert sorted(found, key=lambda one: one.port) == [
        Connection(LISTEN, "127.0.0.1", 0x1000),
        Connection(ESTABLISHED, "127.0.0.1", 0x1001, "1.1.1.1", 443),
        Connection(ESTABLISHED, "127.0.0.1", 0x1004, "1.1.1.1", 443),
        Connection(LISTEN, "::1", 0x1005),
    ]


def test_a_kernel_without_ipv6(tmp_path: Path) -> None:
    process(tmp_path, 7, [11], row("0100007F:1000", "00000000:0000", "0A", 11), None)
    assert Sockets(str(tmp_path)).of(7) == [Connection(LISTEN, "127.0.0.1", 0x1000)]


def test_what_is_no_table_and_who_is_gone(tmp_path: Path) -> None:
    process(tmp_path, 7, [11], "   0: nonsense nonsense 0A x x x x x x 11\n")
    assert Sockets(str(tmp_path)).of(7) is None
    process(tmp_path, 9, [11], "   0:\n")
    assert Sockets(str(tmp_path)).of(9) is None
    assert Sockets(str(tmp_path)).of(8) is None
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert Sockets().of(gone.pid) is None


def test_a_process_without_sockets(tmp_path: Path) -> None:
    process(tmp_path, 7, [])
    assert Sockets(str(tmp_path)).of(7) == []
