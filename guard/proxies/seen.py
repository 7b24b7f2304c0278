"""Which listening sockets were judged harmless in the last ten minutes.

Hot-path module.
"""

from __future__ import annotations

import os
import zlib

from guard import __version__, paths
from guard.errors import GuardError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.sources.listener import Listener

KEEP = 600
"""Seconds for which a harmless listener is not looked at again."""

_FORMAT = "listeners-1"
_MOST = 1 << 18
_ENTRIES = 4096
_CATALOGUE = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "catalog", "local_proxies.json"
)


class Seen:
    """Which sockets were harmless: one small file, ours alone, of this boot and namespace.

    It says nothing of a machine but numbers that mean something until the next boot. Whatever is
    wrong with it, it counts as empty.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        try:
            self.path = os.path.join(paths.routeguard_cache(environ), "listeners")
        except KeyError:
            self.path = ""
        self.entries: dict[int, tuple[int, int]] = {}
        self.scope = _scope()

    def read(self, now: float) -> dict[int, int]:
        """Ports by cookie of what is remembered as harmless."""
        head, _, body = (
            _read(self.path).partition("\n") if self.path and self.scope else ("", "", "")
        )
        if not head or head != self._head(body):
            return {}
        for line in body.splitlines():
            words = line.split(" ")
            if len(words) == 3 and all(word.isdecimal() for word in words):
                cookie, port, until = map(int, words)
                # an entry from the future is no younger for it: a clock was set back
                if cookie and now <= until <= now + KEEP:
                    self.entries[cookie] = (port, until)
        return {cookie: port for cookie, (port, _) in self.entries.items()}

    def write(self, settled: Iterable[Listener], here: set[int], now: float) -> None:
        """Remember `settled`, forget what no longer listens; does nothing where that is unsafe."""
        if not self.path or not self.scope:
            return
        entries = {cookie: kept for cookie, kept in self.entries.items() if cookie in here}
        entries.update({one.cookie: (one.port, int(now) + KEEP) for one in settled if one.cookie})
        lines = [f"{cookie} {port} {until}" for cookie, (port, until) in entries.items()]
        body = "\n".join(lines[:_ENTRIES]) + "\n"
        data = f"{self._head(body)}\n{body}".encode("ascii")
        temporary = f"{self.path}.{os.getpid()}.{os.urandom(4).hex()}"
        try:
            paths.private_directory(os.path.dirname(self.path))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, flags, 0o600)
        except (GuardError, OSError):
            return
        try:
            try:
                os.fchmod(fd, 0o600)
                complete = os.write(fd, data) == len(data)
            finally:
                os.close(fd)
            if complete:
                os.rename(temporary, self.path)
                return
        except OSError:
            pass
        _remove(temporary)

    def _head(self, body: str) -> str:
        check = zlib.crc32(f"{self.scope}\n{body}".encode())
        return f"{_FORMAT} {self.scope} {check:08x}"


def _scope() -> str:
    """This boot, this network namespace, this version and catalogue; "" if one cannot be told."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as file:
            boot = file.read(64).decode("ascii").strip()
        network = os.readlink("/proc/self/ns/net")
        data = os.stat(_CATALOGUE)
    except (OSError, UnicodeDecodeError):
        return ""
    return f"{boot} {network} {__version__} {data.st_mtime_ns}.{data.st_size}"


def _read(path: str) -> str:
    """The text of a file that is ours and nobody else's to write, "" for any other."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        found = os.fstat(fd)
        mode = found.st_mode
        if mode & 0o170177 != 0o100000 or found.st_uid != os.geteuid() or found.st_size > _MOST:
            return ""
        data = os.read(fd, found.st_size + 1)
        return data.decode("ascii") if len(data) == found.st_size else ""
    except (OSError, UnicodeDecodeError):
        return ""
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    try:  # noqa: SIM105 - contextlib would have to be imported
        os.unlink(path)
    except OSError:
        pass
