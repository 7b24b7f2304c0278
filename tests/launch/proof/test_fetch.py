"""Fetching the agent: once, whole or not at all, and clear about what went wrong.

The npm here is a script: what the real client does is the end-to-end tests' matter (they run what
it installed); here it has to fail, to stop half-way and to be missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from guard.agents.opencode.adapter import AGENT
from guard.errors import GuardError
from guard.launch.proof import fetch
from guard.launch.verify import version_of

INSTALLS = f"""#!/bin/sh
echo "$@" >>"$LOG"
cd "$3"
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
    assert "had not ended" in raised.value.why
    assert leftovers(tmp_path) == []
