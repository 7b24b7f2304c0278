"""The real programs of these tests: how each is started, and what it is."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

REPOSITORY = Path(__file__).resolve().parents[4]

LITELLM_CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_base: "http://127.0.0.1:9/v1", api_key: none}
"""


class MissingProgramError(Exception):
    """A program is not installed; the text says how to install it."""


class Programs:
    """Where the programs are: `$ROUTEGUARD_TEST_PARTS` (holds node_modules) or tests/parts, and
    `$ROUTEGUARD_TEST_PYTHON_PARTS` (holds litellm and mitmproxy) or .cache/parts."""

    def __init__(self, root: Path) -> None:
        environ = os.environ
        npm = Path(environ.get("ROUTEGUARD_TEST_PARTS") or REPOSITORY / "tests" / "parts")
        self.modules = npm / "node_modules"
        python = environ.get("ROUTEGUARD_TEST_PYTHON_PARTS") or REPOSITORY / ".cache" / "parts"
        self.python = Path(python)
        self.root = root
        self.config = root / "litellm.yaml"
        self.config.write_text(LITELLM_CONFIG)
        self.node = shutil.which("node") or "node"

    def npm(self, path: str) -> Path:
        """A file of an npm part. Raises MissingProgramError."""
        found = self.modules / path
        if not found.exists():
            raise MissingProgramError(f"{found} is not there: run `npm ci` in tests/parts")
        return found

    def pypi(self, part: str, program: str) -> Path:
        """A program of a Python part. Raises MissingProgramError."""
        found = self.python / part / "bin" / program
        if not found.exists():
            raise MissingProgramError(
                f"{found} is not there: run tests/run, or install tests/parts/{part}.txt"
            )
        return found


QUICK = Path(__file__).parents[1] / "programs" / "quick"
"""Makes the start of a Python program cheaper, and serve for two tests: see there."""

LITELLM_ENVIRON = {
    "PYTHONPATH": str(QUICK),
    "ROUTEGUARD_TEST_TWICE": "yes",
    # it asks GitHub for prices, and for a key that nobody here needs
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


@dataclass(frozen=True)
class Server:
    """One way of starting one program: `proxy` is its id in the catalogue, "" for no proxy."""

    case: str
    port: int
    proxy: str
    words: Callable[[Programs], list[str | Path]]
    how: str = ""
    """A part of what has to be said about how it was recognised."""
    environ: dict[str, str] = field(default_factory=dict)
    cwd: Callable[[Programs], Path] | None = None
    base_url: str = "https://api.portkey.ai/v1"


class Start(Protocol):
    """Starts a real program, behind the words `before`."""

    def __call__(
        self, server: Server, before: Sequence[str | Path] = ()
    ) -> subprocess.Popen[bytes]: ...


def litellm(programs: Programs) -> list[str | Path]:
    return [programs.pypi("litellm", "litellm"), "--config", programs.config]


STAND_IN = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})

if __name__ == "__main__":
    import uvicorn
    uvicorn.run(app, host="127.0.0.1", port=4555)
"""


def stand_in(programs: Programs) -> Path:
    """A directory with a `litellm` that starts at once: for the ways of starting it by a module,
    which nothing but the command line tells. What litellm itself answers is tried with its own
    program."""
    package = programs.root / "stand-in" / "litellm" / "proxy"
    package.mkdir(parents=True)
    for init in (package.parent, package):
        (init / "__init__.py").touch()
    for name in ("proxy_cli.py", "proxy_server.py"):
        (package / name).write_text(STAND_IN)
    return package.parents[1]


def renamed(name: str, *words: str | Path) -> list[str | Path]:
    """`words` with `name` as argv[0]: `python` gives execv the list that a shell would not."""
    code = "import os, sys; os.execv(sys.argv[2], [sys.argv[1], *sys.argv[3:]])"
    return [shutil.which("python3") or "python3", "-I", "-S", "-c", code, name, *words]


GATEWAY = "@portkey-ai/gateway/build/start-server.js"

PROXIES = (
    Server("litellm", 4000, "litellm", litellm, "program litellm", LITELLM_ENVIRON),
    Server(
        "python -m litellm --port",
        4555,
        "litellm",
        lambda p: [
            p.pypi("litellm", "python"),
            *("-m", "litellm.proxy.proxy_cli", "--config", p.config),
            *("--port", "4555", "--host", "127.0.0.1"),
        ],
        "module litellm.proxy.proxy_cli",
        cwd=stand_in,
    ),
    Server(
        "uvicorn litellm",
        8000,
        "litellm",
        lambda p: [p.pypi("litellm", "uvicorn"), "litellm.proxy.proxy_server:app"],
        "application of uvicorn",
        cwd=stand_in,
    ),
    Server(
        "npx gateway",
        8787,
        "portkey-gateway-oss",
        lambda p: [p.npm(".bin/gateway"), "--headless"],
        "npm package",
    ),
    Server(
        "node start-server.js",
        8080,
        "portkey-gateway-oss",
        lambda p: [p.node, p.npm(GATEWAY), "--port=8080", "--headless"],
        "npm package",
    ),
    Server("ccr start", 3456, "claude-code-router", lambda p: [p.npm(".bin/ccr"), "start"], "ccr"),
    Server(
        "ccr renamed",
        3456,
        "claude-code-router",
        lambda p: renamed("sshd", p.node, p.npm(".bin/ccr"), "start"),
    ),
    Server(
        "9router",
        20128,
        "9router",
        lambda p: [p.node, p.npm("9router/app/custom-server.js")],
        "",
        {"PORT": "20128", "HOSTNAME": "127.0.0.1", "NODE_ENV": "production"},
        cwd=lambda p: p.npm("9router/app"),
    ),
    Server(
        "9router elsewhere",
        3000,
        "9router",
        lambda p: [p.node, p.npm("9router/app/custom-server.js")],
        "",
        {"PORT": "3000", "HOSTNAME": "127.0.0.1", "NODE_ENV": "production"},
        cwd=lambda p: p.npm("9router/app"),
    ),
    Server(
        "mitmdump", 8080, "mitmproxy", lambda p: [p.pypi("mitmproxy", "mitmdump")], "program mitm"
    ),
    Server(
        "mitmdump reverse",
        8000,
        "mitmproxy",
        lambda p: [
            p.pypi("mitmproxy", "mitmdump"),
            *("--mode", "reverse:http://127.0.0.1:9", "-p", "8000"),
        ],
        "program mitm",
    ),
)
"""Local proxies: each is found, refused, fenced off and stopped."""


def of(case: str) -> Server:
    """The server of PROXIES that is called `case`."""
    return next(server for server in PROXIES if server.case == case)
