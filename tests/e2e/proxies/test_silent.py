"""Programs that are no local proxies, on the ports that proxies like: a launch goes ahead."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from lab.person import PROGRAMS, Person
from lab.scores import Score
from lab.servers import Server, Start

pytestmark = pytest.mark.e2e

NODE_SERVER = """
require("node:http").createServer((_, answer) => answer.end("Hello World!")).listen(8787);
"""

FASTAPI = """
from fastapi import FastAPI
app = FastAPI(title="Orders")

@app.get("/")
def root():
    return {"message": "Hello World"}

@app.get("/health")
def health():
    return {"status": "ok"}

@app.get("/v1/models")
def models():
    return {"models": ["a chair", "a table"]}
"""


def web_server(port: int) -> Server:
    words: list[str | Path] = [sys.executable, "-m", "http.server", str(port)]
    return Server(f"python -m http.server {port}", port, "", lambda _: words)


def fastapi(port: int) -> Server:
    words = ("orders:app", "--port", str(port))
    return Server(f"FastAPI {port}", port, "", lambda p: [p.pypi("litellm", "uvicorn"), *words])


SILENT = (
    web_server(8000),
    web_server(8080),
    Server("vite", 3000, "", lambda p: [p.npm(".bin/vite"), "--port", "3000", "--strictPort"]),
    Server("plain node", 8787, "", lambda p: [p.node, "-e", NODE_SERVER]),
    fastapi(8000),
    fastapi(4000),
    Server("opencode serve", 4096, "", lambda p: [p.npm(".bin/opencode"), "serve"]),
    Server(
        "the policy's own gateway",
        8787,
        "",
        lambda p: [p.npm(".bin/gateway"), "--headless"],
        base_url="http://127.0.0.1:8787/v1",  # routeguard: ignore[RG103] a policy that says so
    ),
    Server(
        "raw TCP", 5000, "", lambda p: [sys.executable, PROGRAMS / "listener.py", "raw", "5000"]
    ),
    Server(
        "mute TCP", 8080, "", lambda p: [sys.executable, PROGRAMS / "listener.py", "plain", "8080"]
    ),
)


@pytest.mark.parametrize("server", SILENT, ids=lambda server: server.case)
def test_silent(server: Server, person: Person, start: Start) -> None:
    score = Score(server.case, port=str(server.port), **{"is": "no proxy"})
    person.policy(server.base_url)
    (person.project / "orders.py").write_text(FASTAPI)
    process = start(server)
    person.network.await_port(server.port, process)

    seen = person.port(server.port)
    score.set(seen_as=f"{seen['verdict']} {seen['name']}".strip(), how=seen["how"])
    launch = person.launch()
    score.set(launch="refused" if launch.returncode == 126 else f"exit {launch.returncode}")
    assert seen["verdict"] in ("other", "unknown")
    assert (launch.returncode, launch.stdout) == (0, "the agent runs\n"), launch
    assert "RG402" not in launch.stderr
    stopped = person.routeguard("ports", "stop", str(server.port), "--yes")
    score.set(stop="not stopped" if process.poll() is None else "STOPPED")
    assert process.poll() is None, stopped
    assert stopped.returncode == 126, stopped
