"""The judge of a typed line, and the words that the hook looks for before it asks."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest

from guard.errors import GuardError, UsageError
from guard.policy.values import CompiledPolicy, PolicyException
from guard.proxies import starts
from guard.proxies.commands import Start

FOREVER = 4102444800.0


def found(line: str, shell: str = "bash", **aliases: str) -> list[tuple[str, tuple[int, ...]]]:
    script = starts.read(line, shell, aliases)
    return [(start.proxy.id, start.ports) for start in starts.starts(script)]


@pytest.mark.parametrize(
    "line",
    [
        "litellm",
        "./venv/bin/litellm --config x",
        "FOO=1 BAR='a b' litellm &",
        "sudo -E -u me litellm",
        "time nice -n 5 nohup litellm >log 2>&1",
        "if true; then litellm; fi",
        "! litellm",
        "{ litellm; }",
        "exec -a name litellm",
        "sh -c 'bash -c \"litellm\"'",
        'echo "$(litellm)"',
        "cat <(litellm)",
        "cat < <(litellm)",
        "cat <<<$(litellm)",
        'tee >"$(litellm)" x',
        "uvx --from 'litellm[proxy]' litellm",
        "uv run litellm",
        "pipx run litellm",
        "python3.11 -u -m litellm",
        "uvicorn litellm.proxy.proxy_server:app",
        "docker run --rm -e A=b --name x ghcr.io/berriai/litellm:main --config y",
        "podman run berriai/litellm",
        "eval litellm",
        "xargs litellm <x",
        "for i in 1; do\nlitellm",
        "sh -c '\nlitellm",
        "arch -x86_64 litellm",
        "arch -arch arm64 litellm",
        "cgexec -g cpu:x litellm",
        "cpulimit -l 50 litellm",
        "catchsegv litellm",
        "faketime 2020-01-01 litellm",
        "envchain keys litellm",
        "singularity exec docker://python litellm",
    ],
)
def test_what_starts_litellm(line: str) -> None:
    assert [name for name, _ in found(line)] == ["litellm"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "litellm --help",
        "litellm --port 4000 --help",
        "pip install litellm",
        "grep litellm x | less",
        "git commit -m 'litellm serve; litellm'",
        "vim litellm.py # litellm",
        "which ollama",
        "ollama list",
        "ssh host litellm",
        "alias llm=litellm",
        "litellm() { true; }",
        "FOO=litellm",
        "cat <<EOF\nlitellm\nEOF",
        "cat <<EOF\nlitellm",
        "docker pull berriai/litellm",
        "docker stop litellm",
        "echo '$(litellm)'",
        "command -v litellm",
        "case x in",
        "'",
        "$(",
    ],
)
def test_what_starts_nothing(line: str) -> None:
    assert found(line) == []


def test_fish() -> None:
    assert found("begin; litellm; end", "fish") == [("litellm", (4000,))]
    assert found("echo (litellm)", "fish") == [("litellm", (4000,))]
    assert found("true; and not litellm", "fish") == [("litellm", (4000,))]
    assert found("echo 'litellm\\'; litellm'", "fish") == []


def test_aliases() -> None:
    assert found("llm --x", llm="litellm --port 9") == [("litellm", (9,))]
    assert found("a", a="b", b="sudo litellm") == [("litellm", (4000,))]
    assert found("litellm", litellm="litellm --config x") == [("litellm", (4000,))]
    assert found("a; echo b", a="b", b="a") == []
    assert found("sudo q", sudo="sudo ", q="litellm") == [("litellm", (4000,))]
    assert found("alias sudo='sudo '") == []
    assert found("'llm'", llm="litellm") == []


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        ("litellm --port 81", (81,)),
        ("litellm --port=82", (82,)),
        ("litellm -p $PORT", (4000,)),
        ("PORT=83 litellm", (83,)),
        ("OLLAMA_HOST=0.0.0.0:84 ollama serve", (84,)),  # routeguard: ignore[RG103] a typed line
        ("docker run -p 127.0.0.1:85:4000/tcp -p 86:1 berriai/litellm", (85, 86)),
        ("litellm --port 99999999999", (4000,)),
    ],
)
def test_ports_that_a_line_names(line: str, ports: tuple[int, ...]) -> None:
    assert [named for _, named in found(line)] == [ports]


def test_the_policy_allows_a_port_and_its_own_gateway() -> None:
    litellm, gateway, tunnel = (
        starts.starts(starts.read(line, "bash", {}))[0]
        for line in (
            "litellm",
            "npx @portkey-ai/gateway",
            "kubectl port-forward svc/litellm 8787:4000",
        )
    )
    excepted = CompiledPolicy(exceptions=(PolicyException(subject="port:4000", until=FOREVER),))
    assert not starts.is_allowed(CompiledPolicy(), litellm)
    assert starts.is_allowed(excepted, litellm)
    assert not starts.is_allowed(excepted, Start(litellm.proxy, (4001,)))
    assert not starts.is_allowed(CompiledPolicy(), gateway)
    assert not starts.is_allowed(CompiledPolicy(), tunnel)
    # routeguard: ignore[RG103] a gateway of its own
    local = CompiledPolicy(base_url="http://127.0.0.1:8787/v1")
    assert starts.is_allowed(local, gateway)
    assert starts.is_allowed(local, tunnel)
    assert not starts.is_allowed(local, litellm)


def test_a_line_that_no_person_typed_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GuardError, match="levels deep"):
        found("litellm $(" * 1_000)
    # the whole 4 MiB take half a minute
    monkeypatch.setattr(starts, "MAX_BYTES", 1 << 16)
    with pytest.raises(GuardError, match="texts of its aliases"):
        found("a; " * 1000, a="b; " * 1000, b="c; " * 1000, c="litellm; " * 1000)


@pytest.mark.parametrize("argv", [[], ["tcsh"], ["bash", "litellm"]])
def test_it_takes_a_shell_and_nothing_else(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        starts.main(argv)


def judged(line: bytes, home: Path) -> subprocess.CompletedProcess[str]:
    return forked.run(["line", "bash"], stdin=line, env={"HOME": str(home), "PATH": os.defpath})


def test_the_answer_is_a_status_and_a_message_without_the_line(tmp_path: Path) -> None:
    done = judged(b"OPENAI_API_KEY=sk-canary litellm --api-key sk-canary\0x\0y", tmp_path)
    assert (done.returncode, done.stdout) == (126, "")
    assert "[RG403]" in done.stderr
    assert "routeguard allow port 4000 --for 2h" in done.stderr
    assert "canary" not in done.stderr
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"canary" not in path.read_bytes()
    assert judged(b"\xff\0\xfe", tmp_path).returncode == 0


def test_a_broken_policy_is_no_verdict(tmp_path: Path) -> None:
    policy = tmp_path / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("[x\n")
    done = judged(b"litellm", tmp_path)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("routeguard: this line was not checked: ")


def test_a_line_beyond_all_measure_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(starts, "MAX_BYTES", 10)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"litellm --port 4000")))
    assert starts.main(["bash"]) == 0
    assert "not checked: it is too long" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"npx @google/gemini-cli -p hi", 126),
        (b"sh -c 'npx -y @google/gemini-cli@latest'", 126),
        (b"FOO=1 sudo bunx https://github.com/google-gemini/gemini-cli", 126),
        (b"npx -p @google/gemini-cli gemini", 126),
        (b"npm install -g @google/gemini-cli", 0),
        (b"echo npx @google/gemini-cli", 0),
        (b"npx aider-chat", 0),
    ],
)
def test_a_line_that_fetches_an_agent_that_is_refused(
    tmp_path: Path, line: bytes, status: int
) -> None:
    done = judged(line, tmp_path)
    assert done.returncode == status, done.stderr
    assert ("[RG207]" in done.stderr) == (status == 126)
    assert ("routeguard explain -- gemini" in done.stderr) == (status == 126)
