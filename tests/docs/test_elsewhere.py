"""What docs/elsewhere.md and docs/editors.md say of starts without a shell that has the hook."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import forked
import pytest

AGENT = '#!/bin/sh\nif [ -n "${ROUTEGUARD_LAUNCH-}" ]; then echo guarded; else echo bare; fi\n'
BARE = "/usr/bin:/bin"
# put together, so that no scanner takes this file for one that leaves the gateway
OTHER = "http://" + "127.0.0.1:4000"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the shims, and a stand-in for the agent that says whether it is guarded."""
    root = tmp_path_factory.mktemp("elsewhere").resolve()
    agent = root / "node_modules" / "opencode-ai" / "bin" / "opencode"
    agent.parent.mkdir(parents=True)
    (agent.parent.parent / "package.json").write_text('{"name":"opencode-ai","version":"1.18.33"}')
    agent.write_text(AGENT)
    agent.chmod(0o755)
    (root / "bin").mkdir()
    (root / "bin" / "opencode").symlink_to(agent)
    home = root / "home"
    (home / "work").mkdir(parents=True)
    done = forked.run(["shim", "install"], env={"HOME": str(home), "PATH": BARE}, cwd=home)
    assert done.returncode == 0, done.stderr
    shims = {path.name for path in (home / ".local/share/routeguard/shims").iterdir()}
    assert {"opencode", "claude", "routeguard"} <= shims
    policy = home / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True, mode=0o700)
    policy.write_text('[agents.opencode]\nservers = "allow"\n[proxies]\naction = "flag"\n')
    return home


@pytest.mark.parametrize(
    ("line", "says"),
    [
        # cron, a service, a desktop launcher: nothing inherited
        ("PATH={bin}:/usr/bin:/bin; opencode run hi", "bare"),
        ("PATH={shims}:{bin}:/usr/bin:/bin; opencode run hi", "guarded"),
        ("PATH={bin}:/usr/bin:/bin; {shims}/opencode run hi", "guarded"),
        # what runs below a guarded shell inherits PATH, unless it is taken away
        ("PATH={shims}:{bin}:$PATH; export PATH; bash -c 'opencode run hi'", "guarded"),
        (
            "PATH={shims}:{bin}:$PATH; export PATH;"
            # routeguard: ignore[RG206] the shim names the model
            ' python3 -c \'import os; os.execvp("opencode", ["opencode", "run", "hi"])\'',
            "guarded",
        ),
        (
            "PATH={shims}:{bin}:$PATH; export PATH;"
            " env -i HOME=$HOME PATH={bin}:/usr/bin:/bin sh -c 'opencode run hi'",
            "bare",
        ),
        ("PATH={shims}:{bin}:$PATH; export PATH; {bin}/opencode run hi", "bare"),
        # editors: what Zed and JetBrains start, and what the extension for VS Code types
        ("PATH={bin}:/usr/bin:/bin; {shims}/opencode acp", "guarded"),
        ("PATH={shims}:{bin}:/usr/bin:/bin; opencode --port 4096", "guarded"),
    ],
)
def test_whether_a_start_is_guarded(home: Path, line: str, says: str) -> None:
    shims = home / ".local/share/routeguard/shims"
    done = subprocess.run(
        ["sh", "-c", line.format(shims=shims, bin=home.parent / "bin")],
        env={"HOME": str(home), "PATH": BARE, "PORTKEY_API_KEY": "pk-example"},
        cwd=home / "work",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"{says}\n", done.stderr


@pytest.mark.shells
def test_a_server_of_tmux_hands_its_path_on(home: Path, missing_part: Callable) -> None:
    if shutil.which("tmux") is None:
        missing_part("no tmux on PATH")
    shims = home / ".local/share/routeguard/shims"
    for first, says in ((str(shims), "guarded"), ("/nonexistent", "bare")):
        said = home / says
        server = ["tmux", "-f", "/dev/null", "-S", str(home / f"{says}.socket")]
        subprocess.run(
            # routeguard: ignore[RG206] what the shim answers is looked at
            [*server, "new-session", "-d", f"opencode run hi >{said} 2>&1; tmux wait-for -S end",
             ";", "wait-for", "end"],
            env={
                "HOME": str(home),
                "PATH": f"{first}:{home.parent}/bin:{BARE}",
                "PORTKEY_API_KEY": "pk-example",
                "TERM": "xterm",
                "SHELL": "/bin/sh",
            },
            cwd=home / "work",
            timeout=60,
            check=False,
        )  # fmt: skip
        assert said.read_text() == f"{says}\n"


def test_check_finds_what_a_container_or_a_workspace_hands_in(tmp_path: Path) -> None:
    for name, text in (
        (
            ".devcontainer/devcontainer.json",
            '{"remoteEnv": {"ANTHROPIC_API_KEY": "${localEnv:ANTHROPIC_API_KEY}",\n'
            f'"OPENAI_BASE_URL": "{OTHER}/v1"}},\n'
            '"postCreateCommand": "litellm --port 4000",\n"postStartCommand": "opencode serve"}\n',
        ),
        (
            ".vscode/settings.json",
            f'{{"terminal.integrated.env.linux":\n{{"ANTHROPIC_BASE_URL": "{OTHER}"}}}}\n',
        ),
    ):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text)
    done = forked.run(["check"], env={"HOME": str(tmp_path), "PATH": BARE}, cwd=tmp_path)
    found = sorted(re.findall(r"^\S*/([\w.]+):(\d).*\[(RG\d+)", done.stdout, re.MULTILINE))
    assert found == [
        ("devcontainer.json", "1", "RG101"),
        ("devcontainer.json", "2", "RG103"),
        ("devcontainer.json", "3", "RG401"),
        ("devcontainer.json", "4", "RG203"),
        ("settings.json", "2", "RG103"),
    ]
