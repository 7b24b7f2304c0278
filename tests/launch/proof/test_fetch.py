"""Fetching the agent: once, whole or not at all, and clear about what went wrong.

Most npm here is a script, which has to fail, to stop half-way and to be missing. The real client
meets a company's registry, with a certificate of the company's own authority.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from company import Authority, over_tls

from guard.agents.opencode.adapter import AGENT
from guard.errors import GuardError
from guard.launch.proof import fetch
from guard.launch.recorder import Exchange, RecordingServer, Request
from guard.launch.verify import version_of

INSTALLS = f"""#!/bin/sh
echo "$@" >>"$LOG"
mkdir -p node_modules/opencode-ai/bin node_modules/.bin
printf '#!/bin/sh\\necho {AGENT.tested}\\n' >node_modules/opencode-ai/bin/opencode.exe
chmod +x node_modules/opencode-ai/bin/opencode.exe
ln -s ../opencode-ai/bin/opencode.exe node_modules/.bin/opencode
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    return {
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PATH": f"{tmp_path / 'bin'}:{os.defpath}",
        "LOG": str(tmp_path / "log"),
    }


def npm(tmp_path: Path, script: str) -> None:
    (tmp_path / "bin" / "npm").write_text(script)
    (tmp_path / "bin" / "npm").chmod(0o755)


def run(environ: Mapping[str, str], said: list[str] | None = None) -> str:
    say = (said if said is not None else []).append
    return fetch.fetch(AGENT, environ, version_of=version_of, say=say)


def leftovers(tmp_path: Path) -> list[str]:
    agents = tmp_path / "cache" / "routeguard" / "agents"
    return sorted(path.name for path in agents.iterdir()) if agents.exists() else []


def test_fetched_once_and_used_again(tmp_path: Path, environ: dict[str, str]) -> None:
    npm(tmp_path, INSTALLS)
    said: list[str] = []
    binary = run(environ, said)
    assert binary == fetch.fetched(AGENT, environ)
    assert version_of(binary, environ) == AGENT.tested
    assert run(environ, said) == binary
    assert len(said) == 1
    (call,) = Path(environ["LOG"]).read_text().splitlines()
    assert call.split()[0] == "install"
    wanted = json.loads((Path(binary).parents[2] / "package.json").read_text())
    assert wanted["dependencies"] == {"opencode-ai": AGENT.tested}
    assert leftovers(tmp_path) == [f"opencode-ai-{AGENT.tested}"]


def test_a_damaged_one_is_fetched_again(tmp_path: Path, environ: dict[str, str]) -> None:
    npm(tmp_path, INSTALLS)
    binary = run(environ)
    Path(binary).resolve().write_text("#!/bin/sh\nexit 1\n")
    assert version_of(run(environ), environ) == AGENT.tested


@pytest.mark.parametrize(
    "script",
    ["#!/bin/sh\necho 'npm error network down'\nexit 7\n", "#!/bin/sh\nkill -9 $$\n"],
)
def test_a_failing_npm_leaves_nothing(tmp_path: Path, environ: dict[str, str], script: str) -> None:
    npm(tmp_path, script)
    with pytest.raises(GuardError, match="cannot fetch") as raised:
        run(environ)
    assert (raised.value.exit_code, raised.value.rule) == (127, "RG502")
    assert leftovers(tmp_path) == []


def test_what_npm_said_is_told(tmp_path: Path, environ: dict[str, str]) -> None:
    npm(tmp_path, "#!/bin/sh\necho 'npm error network down'\nexit 7\n")
    with pytest.raises(GuardError) as raised:
        run(environ)
    assert "status 7" in raised.value.render()
    assert "network down" in raised.value.render()


def test_a_binary_that_does_not_run_is_no_agent(tmp_path: Path, environ: dict[str, str]) -> None:
    npm(tmp_path, INSTALLS.replace(f"echo {AGENT.tested}\\n", "exit 1\\n"))
    with pytest.raises(GuardError) as raised:
        run(environ)
    assert "--version" in raised.value.why


def test_no_npm(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(GuardError) as raised:
        run(environ | {"PATH": str(tmp_path / "bin")})
    assert raised.value.exit_code == 127
    assert "npm is not on PATH" in raised.value.why


def test_an_npm_that_hangs_is_not_waited_for(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_PATIENCE", 0.2)
    npm(tmp_path, "#!/bin/sh\nexec sleep 600\n")
    with pytest.raises(GuardError) as raised:
        run(environ)
    assert "was still running" in raised.value.why
    assert leftovers(tmp_path) == []


# A company's registry ----------------------------------------------------------------------------


class Registry(RecordingServer):
    """A registry of npm that has the agent and nothing else."""

    def answer(self, request: Request, exchange: Exchange) -> None:
        """The package's document, or its one tarball."""
        tarball = package()
        if request.target == f"/{AGENT.packages[0]}":
            digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
            release = {
                **MANIFEST,
                "dist": {
                    "tarball": f"https://127.0.0.1:{self.port}/agent.tgz",
                    "integrity": f"sha512-{digest}",
                },
            }
            tags = {"latest": AGENT.tested}
            document = {"name": AGENT.packages[0], "dist-tags": tags}
            exchange.send_json(200, {**document, "versions": {AGENT.tested: release}})
        elif request.target == "/agent.tgz":
            exchange.send(200, tarball, "application/octet-stream")
        else:
            exchange.send_json(404, {"error": "not found"})


MANIFEST = {
    "name": AGENT.packages[0],
    "version": AGENT.tested,
    "bin": {AGENT.names[0]: "bin/opencode.exe"},
}


@functools.cache
def package() -> bytes:
    """The agent as npm packs it: a script that says its version. Once: gzip writes the time."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text, mode in (
            ("package.json", json.dumps(MANIFEST), 0o644),
            ("bin/opencode.exe", f"#!/bin/sh\necho {AGENT.tested}\n", 0o755),
        ):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size, entry.mode = len(text), mode
            archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[Registry, str]]:
    """The registry, and the lines of an npmrc that lead to it."""
    (tmp_path / "authority").mkdir()
    authority = Authority(tmp_path / "authority")
    server = Registry()
    over_tls(server, authority.leaf("127.0.0.1"))
    with server:
        yield server, f"registry=https://127.0.0.1:{server.port}/\ncafile={authority.ca}\n"


@pytest.mark.parametrize("where", ["user", "global by variable", "global by the user's npmrc"])
def test_a_registry_of_the_company(
    tmp_path: Path,
    environ: dict[str, str],
    registry: tuple[Registry, str],
    missing_part: Callable[[str], NoReturn],
    where: str,
) -> None:
    real = shutil.which("npm")
    if real is None:
        missing_part("npm is not on PATH: install Node.js 20 or newer")
    server, lines = registry
    environ["PATH"] += f":{os.path.dirname(real)}"
    # inside `npm run`, and with a configuration that installs less and elsewhere
    environ["npm_config_local_prefix"] = str(tmp_path)
    rest = "omit[]=optional\nbin-links=false\nglobal=true\nignore-scripts=true\n"
    prefix = tmp_path / "prefix"
    (prefix / "etc").mkdir(parents=True)
    if where == "user":
        (tmp_path / ".npmrc").write_text(lines + rest)
    else:
        (prefix / "etc" / "npmrc").write_text(lines)
        (tmp_path / ".npmrc").write_text(rest)
        if where == "global by variable":
            environ["NPM_CONFIG_PREFIX"] = str(prefix)
        else:
            (tmp_path / ".npmrc").write_text(f"prefix={prefix}\n{rest}")
    assert version_of(run(environ), environ) == AGENT.tested
    assert [request.target for request in server.requests][-1] == "/agent.tgz"
    assert leftovers(tmp_path) == [f"opencode-ai-{AGENT.tested}"]
    assert not (prefix / "lib").exists()
    assert not (tmp_path / "package.json").exists()
