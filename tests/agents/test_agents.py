"""Which programs are agents, and which package runners would fetch one."""

from __future__ import annotations

import pytest

from guard.agents.registry import agent_of
from guard.agents.runners import run_by_package_runner


@pytest.mark.parametrize(
    "program", ["opencode", "/usr/bin/opencode", "./opencode", "opencode2", "/x/opencode.exe"]
)
def test_agents(program: str) -> None:
    found = agent_of(program)
    assert found is not None
    assert found.id == "opencode"


@pytest.mark.parametrize("program", ["", "bash", "opencode-x", "OpenCode", "/opencode/", "code"])
def test_other_programs(program: str) -> None:
    assert agent_of(program) is None


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("npx opencode-ai run hi", "opencode-ai"),
        ("npx -y opencode-ai", "opencode-ai"),
        ("npx --yes opencode-ai@latest run", "opencode-ai@latest"),
        ("npx opencode-ai@1.18.33", "opencode-ai@1.18.33"),
        ("npx -- opencode-ai", "opencode-ai"),
        ("npx -p opencode-ai opencode run", "opencode-ai"),
        ("npx --package opencode-ai -c 'opencode run'", "opencode-ai"),
        ("npx --package=opencode-ai@latest opencode", "--package=opencode-ai@latest"),
        ("npm --package=opencode-ai exec opencode", "--package=opencode-ai"),
        ("npx -c opencode", "opencode"),
        ("npm exec --call opencode-ai", "opencode-ai"),
        ("npx -w web opencode-ai", "opencode-ai"),
        ("npx --prefix /tmp opencode-ai", "opencode-ai"),
        ("npx opencode", "opencode"),
        ("npx @opencode/cli run", "@opencode/cli"),
        ("npx @opencode/cli@2.0.1", "@opencode/cli@2.0.1"),
        ("npx oc@npm:opencode-ai run", "oc@npm:opencode-ai"),
        ("/usr/bin/npx opencode-ai", "opencode-ai"),
        ("bunx opencode-ai", "opencode-ai"),
        ("bunx --bun opencode-ai", "opencode-ai"),
        ("pnpx opencode-ai", "opencode-ai"),
        ("npm exec opencode-ai", "opencode-ai"),
        ("npm exec -- opencode-ai", "opencode-ai"),
        ("npm x opencode-ai", "opencode-ai"),
        ("npm --prefix /tmp exec opencode-ai", "opencode-ai"),
        ("npm --silent exec opencode-ai", "opencode-ai"),
        ("pnpm dlx opencode-ai", "opencode-ai"),
        ("pnpm exec opencode", "opencode"),
        ("pnpm -C /x dlx opencode-ai", "opencode-ai"),
        ("yarn dlx opencode-ai", "opencode-ai"),
        ("yarn dlx -p opencode-ai opencode", "opencode-ai"),
        ("bun x opencode-ai", "opencode-ai"),
        ("bun run opencode", "opencode"),
        ("npx claude -p hi", "claude"),
        ("npx ./node_modules/.bin/claude", "./node_modules/.bin/claude"),
        ("pnpm exec codex exec hi", "codex"),
        ("nix run nixpkgs#codex", "nixpkgs#codex"),
    ],
)
def test_runners_that_would_fetch_an_agent(line: str, package: str) -> None:
    assert run_by_package_runner(line.split()) == package


@pytest.mark.parametrize(
    "line",
    [
        "npx cowsay opencode-ai", "npx -y cowsay opencode-ai", "npx", "npx -y", "npx -- cowsay",
        "npm install -g opencode-ai", "npm view opencode-ai", "npm test", "npm",
        "npm run opencode-ai", "npx -c 'echo opencode'", "npx -c", "npm exec -w",
        "pnpm add opencode-ai", "yarn add opencode-ai", "yarn", "bun add opencode-ai",
        "bun install opencode-ai", "npx opencode-ai-theme", "npx --package=cowsay cowsay",
        "npx @scope/opencode-ai", "bash opencode-ai", "opencode run npx", "npx create-app opencode",
        "npm exec prettier opencode-ai", "npm exec prettier claude", "npx claude-theme",
        "npx -w codex tsc", "npm -w claude exec tsc", "go run ./cmd/codex", "go run /x/opencode",
    ],
)  # fmt: skip
def test_runners_of_something_else(line: str) -> None:
    assert run_by_package_runner(line.split()) == ""
