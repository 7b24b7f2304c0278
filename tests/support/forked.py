"""Runs `routeguard WORDS` as a process of its own that need not import the program first.

One interpreter imports everything once, starts no thread and waits; each run is a fork of it, with
its own working directory, environment, output and exit. What only a fresh start shows (what is
imported when, the command line of the process, a terminal, resource limits) is for
`[sys.executable, "-m", "guard"]`.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LENGTH = struct.Struct("!I")
PAIR = struct.Struct("!ii")


class Server:
    """The interpreter that waits, with the guard of `place`. It ends with whoever started it."""

    def __init__(self, python: str, place: str) -> None:
        self.socket, theirs = socket.socketpair()
        self.lock = threading.Lock()
        with theirs:
            self.process = subprocess.Popen(
                [python, __file__, str(theirs.fileno()), place],
                cwd="/", stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            )  # fmt: skip

    def wait_for(self, request: bytes, files: list[int], timeout: float) -> int:
        """The exit status, negative for a signal. A run that takes longer is killed."""
        with self.lock:
            socket.send_fds(self.socket, [LENGTH.pack(len(request))], files)
            self.socket.sendall(request)
            self.socket.settimeout(None)
            _, pid = PAIR.unpack(_exactly(self.socket, PAIR.size))
            self.socket.settimeout(timeout)
            try:
                status, _ = PAIR.unpack(_exactly(self.socket, PAIR.size))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self.socket.settimeout(None)
                _exactly(self.socket, PAIR.size)
                raise
        return int(status)


HERE = str(Path(__file__).resolve().parents[2])
_servers: dict[tuple[str, str], Server] = {}


def run(
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | os.PathLike[str] | None = None,
    errors: str = "strict",
    timeout: float = 300,
    python: str = sys.executable,
    place: str = HERE,
    called: str = "",
    network: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run `routeguard WORDS` with nothing on standard input; like `subprocess.run`.

    `python` and `place` are of another environment than this one and of the guard in it; `called`
    is the name by which that Python was started. `network` is the file of a network namespace,
    which only root can enter.
    """
    server = _servers.get((python, place))
    if server is None:
        server = _servers[python, place] = Server(python, place)
    request = json.dumps(
        [list(words), os.fspath(cwd or os.getcwd()), dict(env), network, called or python]
    ).encode()
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        open(os.devnull, "rb") as nothing,
    ):
        files = [nothing.fileno(), out.fileno(), err.fileno()]
        try:
            status = server.wait_for(request, files, timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(list(words), timeout) from None
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", errors))
    return subprocess.CompletedProcess(list(words), status, *texts)


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = source.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def _serve(source: socket.socket) -> list[str]:
    """Fork for each request; returns, in the fork, the words of that run."""
    while True:
        head, files, _, _ = socket.recv_fds(source, LENGTH.size, 3)
        if not head:
            os._exit(0)
        head += _exactly(source, LENGTH.size - len(head))
        words, cwd, environ, network, sys.executable = json.loads(
            _exactly(source, *LENGTH.unpack(head))
        )
        pid = os.fork()
        if pid == 0:
            source.close()
            if network:
                _enter(network)
            _become(files, cwd, environ)
            return list(words)
        for file in files:
            os.close(file)
        # whoever asked may be gone: then the next read says so
        with contextlib.suppress(BrokenPipeError):
            source.sendall(PAIR.pack(0, pid))
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            source.sendall(PAIR.pack(status, pid))


def _enter(network: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with open(network, "rb") as namespace:
        if libc.setns(namespace.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns", network)


def _become(files: list[int], cwd: str, environ: dict[str, str]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    # as at a start in a UTF-8 locale
    stdin, stdout, stderr = (os.fdopen(n, mode) for n, mode in enumerate(("rb", "wb", "wb")))
    sys.stdin = io.TextIOWrapper(stdin, "utf-8", "surrogateescape")
    sys.stdout = io.TextIOWrapper(stdout, "utf-8", "surrogateescape")
    sys.stderr = io.TextIOWrapper(stderr, "utf-8", "backslashreplace", line_buffering=True)


def _main(number: int, place: str) -> None:
    sys.path[0] = place
    import gc
    import importlib
    import pkgutil

    import guard

    for module in pkgutil.walk_packages(guard.__path__, "guard."):
        if not module.name.endswith("guard.__main__"):
            importlib.import_module(module.name)
    main = importlib.import_module("guard.dispatch").main
    import httpx  # noqa: F401 - imported where the gateway is asked

    gc.freeze()
    source = socket.socket(fileno=number)
    words = _serve(source)
    sys.argv = ["routeguard", *words]
    sys.exit(main(words))


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2])
