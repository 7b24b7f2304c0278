"""The real programs: the agents and the open-source Portkey gateway, from tests/parts."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.waiting import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = Path(__file__).parents[2] / "parts"


GATEWAY_PORTS = range(28787, 28803)
"""Where the gateways of the tests listen. Behind the tests' own front each of them is a local
proxy, which a launch refuses: the policies of the tests except these ports, for all workers."""


LEAN = {
    "BUN_JSC_thresholdForJITAfterWarmUp": "2000",
    "BUN_JSC_thresholdForJITSoon": "500",
    "BUN_JSC_useDFGJIT": "0",
    "BUN_JSC_useGC": "0",
}
"""Has Bun compile only what runs often and collect no garbage: a quarter less of the processor for
a short run of opencode (1.18.33: run)."""


class MissingPartError(Exception):
    """A real part is not installed; the text says how to install it."""


@dataclass(frozen=True)
class Parts:
    """Where the real parts are."""

    opencode: Path
    claude: Path
    codex: Path
    gateway: Path
    node: str


def find_parts() -> Parts:
    """The parts under `$ROUTEGUARD_TEST_PARTS` or tests/parts. Raises MissingPartError."""
    root = Path(os.environ.get("ROUTEGUARD_TEST_PARTS") or PARTS) / "node_modules"
    parts = Parts(
        opencode=root / ".bin" / "opencode",
        claude=_platform_binary(root / "@anthropic-ai", "claude-code-*/claude"),
        codex=root / "@openai" / "codex" / "bin" / "codex.js",
        gateway=root / "@portkey-ai" / "gateway" / "build" / "start-server.js",
        node=shutil.which("node") or "",
    )
    if not parts.node:
        raise MissingPartError("node is not on PATH: install Node.js 20 or newer")
    for path in (parts.opencode, parts.claude, parts.codex, parts.gateway):
        if not path.exists():
            raise MissingPartError(f"{path} is not there: run `npm ci` in {PARTS}")
    return parts


def _platform_binary(folder: Path, pattern: str) -> Path:
    """The binary of this platform's own package; the path of none if there is none."""
    return next(iter(sorted(folder.glob(pattern))), folder / pattern)


@contextlib.contextmanager
def running_gateway(parts: Parts) -> Iterator[str]:
    """Run the gateway on a free one of GATEWAY_PORTS; yields `http://127.0.0.1:PORT`."""
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "NODE_ENV": "production"}
    with own_port() as port, tempfile.TemporaryFile() as log:
        url = f"http://127.0.0.1:{port}"
        process = subprocess.Popen(
            [
                parts.node,
                "-r",
                PARTS / "loopback.cjs",
                parts.gateway,
                f"--port={port}",
                "--headless",
            ],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _await_answer(url, process, log.fileno())
            yield url
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def own_port() -> Iterator[int]:
    """A port of GATEWAY_PORTS that nobody has bound, and that no other worker is given."""
    for port in GATEWAY_PORTS:
        with socket.socket(socket.AF_UNIX) as claim, socket.socket() as probe:
            try:
                # a name of this network namespace, gone with the process
                claim.bind(f"\0routeguard-tests-{port}")
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            probe.close()
            yield port
            return
    raise RuntimeError(f"every port of {GATEWAY_PORTS} is taken")


def _await_answer(url: str, process: subprocess.Popen[bytes], log: int) -> None:
    # a proxy in the environment of whoever runs the tests is none of the gateway's business
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ended_or_answers() -> bool:
        with contextlib.suppress(OSError):
            opener.open(url, timeout=5).close()
            return True
        return process.poll() is not None

    await_true(ended_or_answers, lambda: os.pread(log, 4000, 0).decode(errors="replace"))
    if process.poll() is None:
        return
    said = os.pread(log, 4000, 0).decode(errors="replace")
    raise RuntimeError(f"the Portkey gateway did not come up at {url}:\n{said}")
