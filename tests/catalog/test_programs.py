"""What a process or a command line really runs, whatever interpreter and options stand before."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.catalog.agents import recognise
from guard.catalog.programs import effective
from guard.proxies.identify import identify
from guard.sources.processes import Snapshot

NODE, PY = "/usr/bin/node", "/usr/bin/python3"
CLI = "/g/node_modules/@anthropic-ai/claude-code/cli.js"
GATEWAY = "/g/node_modules/@portkey-ai/gateway/build/start-server.js"

BEFORE_A_SCRIPT = [
    ["--env-file", ".env"],
    ["--env-file=.env"],
    ["--env-file-if-exists", ".env"],
    ["--title", "x", "--no-warnings"],
    ["-r", "./a.js", "--import", "b.mjs"],
    ["--conditions", "x", "-C", "y"],
    ["--disable-warning", "x", "--dns-result-order", "ipv4first"],
    ["--inspect-port", "0", "--input-type", "module"],
    ["--max-http-header-size", "99", "--max-old-space-size=99"],
    ["--unhandled-rejections", "strict", "--"],
    ["--"],
]


@pytest.mark.parametrize("options", BEFORE_A_SCRIPT, ids=" ".join)
def test_agents_and_proxies_are_seen_behind_the_options_of_node(options: list[str]) -> None:
    found = recognise(effective(NODE, ["node", *options, CLI, "-p", "hi"]))
    assert found is not None
    assert found.agent.id == "claude-code"
    proxy = identify(Snapshot(1, argv=("node", *options, GATEWAY), exe=NODE)).proxy
    assert proxy is not None
    assert proxy.id == "portkey-gateway-oss"


@pytest.mark.parametrize(
    "python",
    [
        *("python", "python3", "python3.13", "python3.13t", "python3.14td", "python3-dbg"),
        *("python3.11d", "pypy3", "pypy3.10", "graalpy", "Python"),
    ],
)
@pytest.mark.parametrize(
    "before", [[], ["-u"], ["-X", "dev", "-Wignore"], ["--check-hash-based-pycs", "never"]]
)
def test_agents_and_proxies_are_seen_in_every_python(python: str, before: list[str]) -> None:
    exe = f"/opt/bin/{python}"
    for arguments in (["-m", "aider"], ["-maider"], ["-Im", "aider"], ["/v/bin/aider"]):
        found = recognise(effective(exe, [python, *before, *arguments, "--model", "x"]))
        assert found is not None, arguments
        assert found.agent.id == "aider"
    for arguments in (["-m", "litellm"], ["-ulitellm", "-mlitellm"], ["/v/bin/litellm"]):
        argv = (python, *before, *(a for a in arguments if a != "-ulitellm"), "--port", "1")
        proxy = identify(Snapshot(1, argv=argv, exe=exe)).proxy
        assert proxy is not None, arguments
        assert proxy.id == "litellm"


@pytest.mark.parametrize(
    ("exe", "argv", "shown", "word"),
    [
        ("/lib64/ld-linux-x86-64.so.2", ["/lib64/ld-linux-x86-64.so.2", "/b/x", "y"], "x", "y"),
        ("/nix/store/a/bin/.x-wrapped", ["x", "y"], "x", "y"),
        ("/usr/bin/busybox", ["busybox", "sh", "/b/x", "y"], "x", "y"),
        ("/usr/bin/bash", ["bash", "-o", "posix", "--", "/b/x", "y"], "x", "y"),
        ("/usr/bin/bash", ["bash", "-euo", "pipefail", "-c", "x"], "bash", ""),
        (PY, ["python3", "-"], "python3", ""),
        (PY, ["python3", "-c", "x", "y"], "python3", ""),
        (NODE, ["node", "-e", "x", "y"], "node", ""),
        ("/usr/bin/java", ["java", "-cp", "a", "-jar", "/b/x.jar", "y"], "x", "y"),
        ("/usr/bin/deno", ["deno", "run", "-A", "--config", "d.json", "/b/x.ts", "y"], "x", "y"),
        ("/b/x (deleted)", ["x", "-v", "y"], "x", "y"),
        ("", [], "", ""),
    ],
)
def test_effective(exe: str, argv: list[str], shown: str, word: str) -> None:
    program = effective(exe, argv)
    assert (program.shown, program.word) == (shown, word)
    assert repr(program) == f"Program({shown!r})"


def test_a_link_is_followed_only_where_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "real.js").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real.js")
    argv = ["node", str(tmp_path / "link")]
    assert effective("", argv).names == ("link", "real")
    assert effective("", argv, links=False).names == ("link",)
