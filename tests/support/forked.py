"""Runs `routeguard WORDS` as a process of its own that need not import the program first.

One interpreter imports everything once, starts no thread and waits; each run is a fork of it, with
its own working directory, environment, output and exit. What only a fresh start shows (what is
imported when, the command line of the process, resource limits) is for
`[sys.executable, "-m", "guard"]`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import ctypes.util
import faulthandler
import fcntl
import io
import json
import os
import pty
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

LENGTH = struct.Struct("!I")
NUMBER = struct.Struct("!i")


class Server:
    """The interpreter that waits, with the guard of `place`. It ends with whoever started it."""

    def __init__(self, python: str, place: str) -> None:
        self.socket, theirs = socket.socketpair()
        self.door = os.path.join(tempfile.mkdtemp(prefix="routeguard-forked-"), "door")
        os.mkfifo(self.door)
        with theirs:
            self.process = subprocess.Popen(
                [python, __file__, str(theirs.fileno()), place, self.door],
                cwd="/", stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            )  # fmt: skip

    def start(self, request: Sequence[object], files: Sequence[int]) -> Run:
        """Begin a run with the three `files` as its standard ones."""
        said = json.dumps(request).encode()
        answers, theirs = os.pipe()
        try:
            socket.send_fds(self.socket, [LENGTH.pack(len(said))], [*files, theirs])
            self.socket.sendall(said)
        finally:
            os.close(theirs)
        return Run(answers)


class Run:
    """One run, from its start to its exit status."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self.pid = self._number(None)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, negative for a signal; raises TimeoutError where it takes longer."""
        status = self._number(timeout)
        os.close(self._answers)
        return status

    def _number(self, timeout: float | None) -> int:
        if not select.select([self._answers], [], [], timeout)[0]:
            raise TimeoutError
        found = os.read(self._answers, NUMBER.size)
        if len(found) < NUMBER.size:
            raise EOFError
        return int(NUMBER.unpack(found)[0])


HERE = str(Path(__file__).resolve().parents[2])
_servers: dict[tuple[str, str], Server] = {}


def server(python: str = sys.executable, place: str = HERE) -> Server:
    """The server of another environment than this one, or of this one; started once."""
    if (python, place) not in _servers:
        _servers[python, place] = Server(python, place)
    return _servers[python, place]


def run(
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | os.PathLike[str] | None = None,
    errors: str = "strict",
    stdin: bytes = b"",
    timeout: float = 300,
    python: str = sys.executable,
    place: str = HERE,
    called: str = "",
    network: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run `routeguard WORDS` with `stdin` on standard input; like `subprocess.run`.

    `python` and `place` are of another environment than this one and of the guard in it; `called`
    is the name by which that Python was started. `network` is the file of a network namespace,
    which only root can enter.
    """
    request = [list(words), os.fspath(cwd or os.getcwd()), dict(env), network, called or python]
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        tempfile.TemporaryFile() if stdin else open(os.devnull, "rb") as given,
    ):
        if stdin:
            given.write(stdin)
            given.seek(0)
        files = [given.fileno(), out.fileno(), err.fileno()]
        begun = server(python, place).start(request, files)
        try:
            status = begun.wait(timeout)
        except TimeoutError:
            expired = subprocess.TimeoutExpired(list(words), timeout)
            first = psutil.Process(begun.pid)
            running = [first, *first.children(recursive=True)]
            expired.add_note(_where(running))
            first.send_signal(signal.SIGUSR2)
            with contextlib.suppress(TimeoutError):
                begun.wait(2)
            for process in running:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            err.seek(0)
            expired.add_note(err.read().decode("utf-8", "replace"))
            raise expired from None
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", errors))
    return subprocess.CompletedProcess(list(words), status, *texts)


def _where(running: Sequence[psutil.Process]) -> str:
    """What each of `running` is doing: what it waits for, its directory, its command line."""
    lines = []
    for process in running:
        with contextlib.suppress(psutil.Error, OSError):
            waits = Path(f"/proc/{process.pid}/wchan").read_text()
            lines.append(f"{process.status()} {waits} {process.cwd()} {process.cmdline()}")
    return "\n".join(lines)


def on_terminal(
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | os.PathLike[str],
    dimensions: tuple[int, int],
) -> tuple[int, Run]:
    """Start `routeguard WORDS` on a terminal that echoes nothing: (its master, the run)."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *dimensions, 0, 0))
    modes = termios.tcgetattr(slave)
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    request = [list(words), os.fspath(cwd), dict(env), "", sys.executable]
    try:
        return master, server().start(request, [slave] * 3)
    finally:
        os.close(slave)


def judge(path: Path, main: str) -> Path:
    """Make a program at `path` that a shell's hook can have as its Python, with `main` to run.

    What it is to run with the word `line` is a fork, any other start is a real one. Where there is
    no /proc every one is.
    """
    if not os.path.isdir("/proc/self/fd"):
        path.symlink_to(sys.executable)
        return path
    door = shlex.quote(server().door)
    path.write_text(
        f'#!/bin/sh\n[ "$3 $4" = {shlex.quote(f"{main} line")} ] ||'
        f' exec {shlex.quote(sys.executable)} "$@"\n'
        # in subshells: what this process has as its input and output is what the fork gets
        f"{shutil.which('mkfifo')} {door}.$$ && {{ (echo $$ >{door}) &&"
        f' status=$(read -r status <&3 && echo "$status"); }} 3<>{door}.$$ && exit "$status"\n'
    )
    path.chmod(0o755)
    return path


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = source.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found


class _Waiting:
    """The server's side: forks for each request and says how the forks ended."""

    def __init__(self, source: socket.socket, door: str) -> None:
        self._source = source
        self._door = os.open(door, os.O_RDWR)
        self._path = door
        self._ended, self._woken = os.pipe()
        os.set_blocking(self._woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        self._answers: dict[int, int] = {}
        self._callers: dict[int, str] = {}

    def serve(self) -> list[str]:
        """Returns, in a fork, the words of that run."""
        while True:
            ready, _, _ = select.select([self._source, self._door, self._ended], [], [])
            if self._ended in ready:
                os.read(self._ended, 4096)
                self._reap()
            words = self._asked() if self._source in ready else None
            if words is None and self._door in ready:
                words = self._knocked()
            if words is not None:
                return words

    def _asked(self) -> list[str] | None:
        head, files, _, _ = socket.recv_fds(self._source, LENGTH.size, 4)
        if not head:
            shutil.rmtree(os.path.dirname(self._path))
            os._exit(0)
        head += _exactly(self._source, LENGTH.size - len(head))
        words, cwd, environ, network, executable = json.loads(
            _exactly(self._source, *LENGTH.unpack(head))
        )
        *files, answers = files
        if pid := self._fork(answers):
            os.write(answers, NUMBER.pack(pid))
            for file in files:
                os.close(file)
            return None
        sys.executable = executable
        if network:
            _enter(network)
        if os.isatty(files[0]):
            os.setsid()
            fcntl.ioctl(files[0], termios.TIOCSCTTY, 0)
        _become(files, cwd, environ)
        return list(words)

    def _knocked(self) -> list[str] | None:
        """For each process that wrote its number: what it was started with, in its place."""
        for line in os.read(self._door, 4096).split():
            process = f"/proc/{int(line)}"
            if pid := self._fork(-1):
                self._callers[pid] = f"{self._path}.{int(line)}"
                continue
            os.setsid()
            modes = (os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_APPEND)
            files = [
                os.open(f"{process}/fd/{number}", mode | os.O_NOCTTY)
                for number, mode in enumerate(modes)
            ]
            with open(f"{process}/environ", "rb") as file:
                pairs = [os.fsdecode(pair).partition("=") for pair in file.read().split(b"\0")]
            with open(f"{process}/cmdline", "rb") as file:
                words = [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
            _become(files, f"{process}/cwd", {name: value for name, _, value in pairs if name})
            return words[words.index("line") :]
        return None

    def _fork(self, answers: int) -> int:
        """Fork; 0 in the fork, where nothing of the server's is left open."""
        pid = os.fork()
        if pid:
            self._answers[pid] = answers
            return pid
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._source.close()
        for file in (self._door, self._ended, self._woken, answers, *self._answers.values()):
            if file >= 0:
                os.close(file)
        return 0

    def _reap(self) -> None:
        while self._answers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            answers, caller = self._answers.pop(pid), self._callers.pop(pid, "")
            # whoever asked may be gone
            with contextlib.suppress(OSError):
                if caller:
                    answers = os.open(caller, os.O_WRONLY | os.O_NONBLOCK)
                    os.unlink(caller)
                    os.write(answers, b"%d\n" % (code if code >= 0 else 128 - code))
                else:
                    os.write(answers, NUMBER.pack(code))
            if answers >= 0:
                os.close(answers)


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


def _load_keyrings() -> None:
    """Import what the keyring library tries where it is asked for a keyring.

    One module of it looks for frameworks of macOS at its import; on Linux the standard library
    starts ldconfig, gcc and ld for each of them, and finds none.
    """
    try:
        from keyring import backend
    except ImportError:
        return
    search = ctypes.util.find_library
    if sys.platform != "darwin":
        ctypes.util.find_library = lambda name: None
    backend._load_plugins()
    ctypes.util.find_library = search


def _main(number: int, place: str, door: str) -> None:
    sys.path[0] = place
    import gc
    import importlib
    import pkgutil

    import guard

    # the bytecode of `tables` would take the place of the parsed tables that every process has
    left = ("guard.__main__", "guard.catalog.tables")
    for module in pkgutil.walk_packages(guard.__path__, "guard."):
        if module.name not in left:
            importlib.import_module(module.name)
    main = importlib.import_module("guard.dispatch").main
    import httpx  # noqa: F401 - imported where the gateway is asked

    _load_keyrings()
    # the first policy of a process takes three times as long as the others
    with tempfile.TemporaryDirectory() as empty:
        importlib.import_module("guard.policy.cache").load("/", {"HOME": empty})
    tempfile.tempdir = None  # each run has a TMPDIR of its own
    gc.freeze()
    words = _Waiting(socket.socket(fileno=number), door).serve()
    sys.argv = ["routeguard", *words]
    faulthandler.register(signal.SIGUSR2, file=2)  # where a run hangs, for who waits for it
    status = main(words)
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(status)
    # taking the interpreter down would write to, and so copy, all of its memory
    os._exit(status)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
