"""The examples of docs/ci.md, taken out of it and run."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
URL = "git+https://git.example.com/routeguard.git@v0.1.0"


def script(text: str, place: Path) -> Path:
    path = place / "example.sh"
    path.write_text(text)
    return path


@pytest.fixture
def place(tmp_path: Path, environ: dict[str, str]) -> Path:
    """A directory for what an example makes, which it does by way of TMPDIR or /tmp."""
    place = tmp_path / "tmp"
    place.mkdir()
    environ["TMPDIR"] = str(place)
    return place


@pytest.fixture
def made(place: Path, environ: dict[str, str], installed: Path) -> dict[str, str]:
    """What lets an example install where the action has: a Python whose `-m venv` takes that
    environment, and a requirement that is met there. pre-commit installs from a repository."""
    python = place / "made" / "python3"
    python.parent.mkdir()
    link = f'[ -d "$3" ] || ln -s \'{installed}\' "$3"'
    python.write_text(f"#!/bin/sh\n[ \"$1 $2\" = '-m venv' ] || exit 1\n{link}\n")
    python.chmod(0o755)
    path = f"{python.parent}:{environ['PATH']}"
    return {**environ, "ROUTEGUARD": "routeguard", "PATH": path}


def test_gitlab(
    project: Path, place: Path, made: dict[str, str], example: Callable, run: Callable
) -> None:
    job = yaml.safe_load(example("gitlab"))["routeguard"]
    assert job["variables"]["ROUTEGUARD"] == URL
    # what a runner does: the variables in the environment, the lines one after another, -e
    lines = "\n".join(job["script"]).replace("/tmp/routeguard", f"'{place}/routeguard'")
    path = script(lines, place)
    (project / "a.sh").write_text("echo\n")
    del made["PORTKEY_API_KEY"]
    of_job = {**made, "CI": "true", "GITLAB_CI": "true"}
    bash = ("bash", "-eo", "pipefail", path)
    done = run(*bash, cwd=project, env=of_job)
    assert done.stdout.count("no findings") == 2, done.stdout
    (project / "a.sh").write_text("opencode serve\n")
    done = run(*bash, cwd=project, env=of_job, status=1)
    assert "a.sh:1:1: error [RG203 agent-server]" in done.stdout
    assert "no findings" not in done.stdout


def test_plain_shell(
    project: Path, place: Path, made: dict[str, str], example: Callable, run: Callable
) -> None:
    text = example("shell")
    assert URL in text
    path = script(text, place)
    (project / "a.sh").write_text("echo\n")
    done = run("sh", path, cwd=project, env=made)
    assert done.stdout == "routeguard: clean\n"
    (project / "a.sh").write_text("opencode serve\n")
    done = run("sh", path, cwd=project, env=made, status=1)
    assert "routeguard: findings" in done.stdout
    report = json.loads((project / "routeguard.json").read_text())
    assert [finding["rule"] for finding in report["findings"]] == ["RG203"]
    (project / ".routeguard.toml").write_text("nonsense = ")
    done = run("sh", path, cwd=project, env=made, status=3)
    assert "could not check (status 3)" in done.stdout


def test_a_hook_of_ones_own(
    project: Path, place: Path, environ: dict[str, str], example: Callable, run: Callable
) -> None:
    """What is staged is judged: clean again in the work tree, and committed by `-a` or by name."""
    hook = project / ".git" / "hooks" / "pre-commit"
    hook.write_text(example("hook"))
    hook.chmod(0o755)
    program = place / "routeguard"
    program.write_text(f"#!/bin/sh\nPYTHONPATH='{ROOT}' exec '{sys.executable}' -m guard \"$@\"\n")
    program.chmod(0o755)
    environ["PATH"] = f"{place}:{environ['PATH']}"
    file = project / "sub" / "a.sh"
    file.parent.mkdir()
    file.write_text("opencode serve\n")
    run("git", "add", "sub/a.sh", cwd=project, env=environ)
    file.write_text("echo\n")
    done = run("git", "commit", "-m", "x", cwd=project, env=environ, status=1)
    assert "sub/a.sh:1:1: error [RG203 agent-server]" in done.stdout + done.stderr
    run("git", "commit", "-a", "-m", "x", cwd=file.parent, env=environ)
    file.write_text("opencode serve\n")
    run("git", "commit", "-a", "-m", "x", cwd=file.parent, env=environ, status=1)
    run("git", "commit", "-m", "x", "a.sh", cwd=file.parent, env=environ, status=1)


def test_github_names_inputs_that_exist(example: Callable) -> None:
    workflow = yaml.safe_load(example("github"))
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    (step,) = [
        step
        for step in workflow["jobs"]["routeguard"]["steps"]
        if step["uses"].startswith("OWNER/routeguard@")
    ]
    assert set(step["with"]) <= set(action["inputs"])
    assert step["with"]["sarif"] is True
    assert workflow["permissions"] == {"contents": "read", "security-events": "write"}


def test_a_pull_request_gives_the_action_what_it_needs(example: Callable) -> None:
    checkout, ours = yaml.safe_load(example("pull-request"))
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert checkout["with"]["fetch-depth"] == 0
    assert set(ours["with"]) <= set(action["inputs"])


def test_jenkins_runs_the_lines_of_gitlab(example: Callable) -> None:
    """Those are tried above; the Groovy around them is compared by eye."""
    text = example("jenkins")
    (script,) = re.findall(r"sh '''\n(.*?)'''", text, re.DOTALL)
    lines = yaml.safe_load(example("gitlab"))["routeguard"]["script"]
    assert [line.strip() for line in script.strip().splitlines()] == lines
    assert URL in text
    assert all(text.count(left) == text.count(right) for left, right in ("{}", "()"))


def test_the_exit_statuses_are_those_of_the_command() -> None:
    from guard.errors import ExitCode

    docs = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    listed = [int(line.split("|")[1]) for line in docs.splitlines() if line[2:3].isdigit()]
    assert listed == [
        ExitCode.OK, ExitCode.FINDINGS, ExitCode.USAGE, ExitCode.CONFIG, ExitCode.INTERNAL,
    ]  # fmt: skip
