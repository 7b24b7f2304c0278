"""What all tests share: what happens when a program they need is not on this machine."""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from private_network import private_network as private_network

from guard import shells
from guard.catalog import local_proxies
from guard.sources import tree

ROOT = Path(__file__).resolve().parents[1]

# what is collected stays: to look through it for garbage took a third of the collection
gc.disable()


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what was collected, and look at the tests' own."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _no_test_server_on_the_port_of_a_proxy() -> Iterator[None]:
    """Keep the proxies' ports of the range from which servers of tests get theirs.

    A launch is refused while something that does not answer at once listens on one of them.
    """
    kept = []
    for port in filter(lambda port: port >= 32768, local_proxies.default_ports()):
        reserved = socket.socket()
        # each worker keeps it for itself: one of them is the first to end
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            reserved.bind(("0.0.0.0", port))  # and not listened on, so no launch sees it
        except OSError:
            reserved.close()  # a program of this machine has it
        else:
            kept.append(reserved)
    yield
    for reserved in kept:
        reserved.close()


@pytest.fixture(scope="session", autouse=True)
def _no_repository_around_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Say so if the temporary directory lies in a repository: all of them would be in it."""
    around = tree.locate([], str(tmp_path_factory.getbasetemp())).root
    assert around == str(tmp_path_factory.getbasetemp()), f"remove {around}/.git"


@pytest.fixture(scope="session", autouse=True)
def _messages_in_the_words_of_bash() -> Iterator[None]:
    """Have fixes speak to one shell, whatever a developer types in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shells, "program", lambda pid: "")
        patch.setenv("SHELL", "/bin/bash")
        yield


@pytest.fixture(scope="session")
def missing_part() -> Callable[[str], NoReturn]:
    """Call with what is missing and how to install it: fails in CI, skips on a laptop."""

    def missing(what: str) -> NoReturn:
        if os.environ.get("CI"):
            pytest.fail(f"{what} (CI must have every part)", pytrace=False)
        pytest.skip(what)

    return missing


@pytest.fixture(scope="session")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program uv: the one that made the environment of these tests, or fetched once."""
    ours = ROOT / ".cache/uv/bin/uv"
    if ours.exists():
        return ours
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    place = base / "with uv"
    with open(base / "uv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "bin/uv").exists():
            words = ["install", "-q", "--no-compile", "--target", str(place), "uv>=0.5"]
            cache = os.environ.get("PIP_CACHE_DIR", str(ROOT / ".cache" / "pip"))
            environ = os.environ | {"PIP_CACHE_DIR": cache}
            subprocess.run([sys.executable, "-m", "pip", *words], env=environ, check=True)
    return place / "bin/uv"
