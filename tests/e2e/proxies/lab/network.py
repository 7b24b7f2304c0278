"""A network of its own for one real server: every port free, nothing of the machine in reach.

Servers keep their default ports this way, whatever else runs. Linux only: unshare(1), nsenter(1).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

HOLDER = """
import fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
    # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING: iproute2 is not on every machine
    fcntl.ioctl(made, 0x8914, struct.pack("16sH14x", b"lo", 0x41))
print("up", flush=True)
sys.stdin.read()
"""

PATIENCE = 300.0
"""Seconds to wait for something that should happen."""

LISTEN = "0A"
"""State of a listening socket in /proc/net/tcp."""


class NoNetworkError(Exception):
    """No network namespace can be made here; the text says why."""


class Network:
    """A network namespace with loopback up; what runs in it is ended with it."""

    def __init__(self) -> None:
        """Raises NoNetworkError."""
        # uids stay what they are where that is possible
        options = ["-n"] if os.getuid() == 0 else ["-rn"]
        try:
            self._holder = subprocess.Popen(
                ["unshare", *options, "--", sys.executable, "-I", "-S", "-c", HOLDER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError as error:
            raise NoNetworkError("unshare(1) is not on this machine") from error
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"up\n":
            why = self._holder.communicate()[1].decode(errors="replace").strip()
            raise NoNetworkError(f"no network namespace can be made here: {why}")
        enter = ["-n"] if os.getuid() == 0 else ["-U", "-n", "--preserve-credentials"]
        self._enter = ["nsenter", "-t", str(self._holder.pid), *enter, "--"]
        self.namespace = f"/proc/{self._holder.pid}/ns/net"
        """Its file."""
        self._namespace = os.readlink(self.namespace)
        self._logs: dict[int, IO[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._holder.communicate()
        for log in self._logs.values():
            log.close()

    def start(
        self, words: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `words` here; its pid is the program's own. What it says is kept for `log`."""
        # a file without a name: nothing is left of it, however the tests end
        log = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            [*self._enter, *words],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._logs[process.pid] = log
        return process

    def run(
        self, words: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `words` here to their end."""
        return subprocess.run(
            [*self._enter, *words],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def log(self, process: subprocess.Popen[bytes]) -> str:
        """The last of what `process` said."""
        handle = self._logs[process.pid].fileno()
        # without moving the place at which the program goes on writing
        said = os.pread(handle, 3000, max(0, os.fstat(handle).st_size - 3000))
        return said.decode(errors="replace")

    def ports(self) -> set[int]:
        """The TCP ports on which something listens here."""
        return set(self.sockets())

    def sockets(self) -> list[int]:
        """The port of every TCP socket that listens here."""
        found = []
        for table in ("tcp", "tcp6"):
            lines = Path(f"/proc/{self._holder.pid}/net/{table}").read_text().splitlines()
            for fields in (line.split() for line in lines[1:]):
                if fields[3] == LISTEN:
                    found.append(int(fields[1].rpartition(":")[2], 16))
        return found

    def pids(self) -> list[int]:
        """Everything that runs here, without what keeps the network."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != self._holder.pid:
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{entry}/ns/net") == self._namespace:
                        found.append(int(entry))
        return found

    def await_port(
        self,
        port: int,
        process: subprocess.Popen[bytes],
        *,
        sockets: int = 1,
        ended: bool = False,
    ) -> None:
        """Wait until so many sockets listen on `port`; `process` may end before with `ended`."""
        self.await_true(
            lambda: self.sockets().count(port) >= sockets,
            process,
            ended=ended,
            what=f"nothing listens on {port}",
        )

    def await_true(
        self,
        holds: Callable[[], bool],
        process: subprocess.Popen[bytes],
        *,
        ended: bool = False,
        what: str = "",
    ) -> None:
        """Wait until `holds`; raises AssertionError where `process` ends before, unless `ended`."""
        until = time.monotonic() + PATIENCE
        while not holds():
            gone = process.poll() is not None and not ended
            if gone or time.monotonic() > until:
                raise AssertionError(f"{what}, exit status {process.poll()}:\n{self.log(process)}")
            time.sleep(0.1)
