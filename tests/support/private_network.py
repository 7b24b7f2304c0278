"""A network of one's own, where tests may listen on the ports that the catalogue names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

import pytest

LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
    # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING: iproute2 is not on every machine
    fcntl.ioctl(made, 0x8914, struct.pack("16sH14x", b"lo", 0x41))
os.execvp(sys.argv[1], sys.argv[1:])
"""


class PrivateNetwork:
    """Runs commands in a fresh network namespace each: loopback up, every port free.

    Uids stay what they are where that is possible, so that a child may become another user.
    """

    def __init__(self, prefix: Sequence[str]) -> None:
        self.prefix = tuple(prefix)

    def command(self, words: Sequence[str]) -> list[str]:
        """`words` as a command that runs in a network of its own."""
        return [*self.prefix, "--", sys.executable, "-c", LOOPBACK_UP, *words]

    def run(
        self,
        words: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run `words` to their end; `check` shows stderr where they fail."""
        done = subprocess.run(
            self.command(words),
            env=env,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if check and done.returncode != 0:
            pytest.fail(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
        return done

    def python(self, code: str, *arguments: str, timeout: float = 60) -> str:
        """What the Python text `code` prints there; it must succeed."""
        return self.run([sys.executable, "-c", code, *arguments], timeout=timeout).stdout

    @contextmanager
    def started(
        self, words: Sequence[str], *, env: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """`words` running there, ended at the end; stdin, stdout and stderr are pipes."""
        with subprocess.Popen(
            self.command(words),
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture(scope="session")
def private_network(missing_part: Callable[[str], NoReturn]) -> PrivateNetwork:
    """Commands in a network namespace of their own."""
    why = "unshare(1) is not on this machine"
    found = None
    for options in (["-n"], ["-rn"]) if os.getuid() == 0 else (["-rn"],):
        made = PrivateNetwork(["unshare", *options])
        try:
            done = subprocess.run(made.command(["true"]), capture_output=True, text=True)
        except FileNotFoundError:
            break
        if done.returncode == 0:
            found = made
            break
        why = done.stderr.strip().splitlines()[-1]
    if found is None:
        missing_part(f"no network namespace can be made here: {why}")
    return found
