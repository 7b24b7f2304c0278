"""Our reading of a command line against opencode's own: the same lines, the real binary, no guard.

Which command opencode found is told by the help it prints; which model and prompt it took, by
what arrives at a loopback stub.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.catalogue import CATALOGUE
from harness.parts import LEAN, Parts

from guard.agents.opencode.grammar import GUARDED, read
from guard.launch.loopback_gateway import LoopbackGateway
from guard.launch.proof import child
from guard.launch.recorder import RecordingProxy

pytestmark = pytest.mark.e2e

KEY = "stub-key"
DEFAULT = "by-default"
LIMIT = 300.0
"""Seconds: one run takes three, on a machine with nothing else to do."""


@pytest.fixture
def stub() -> Iterator[LoopbackGateway]:
    with LoopbackGateway(KEY, "answered") as server:
        yield server


@pytest.fixture
def other() -> Iterator[RecordingProxy]:
    """A server that an attached agent would talk to; it refuses and records."""
    with RecordingProxy() as server:
        yield server


@dataclass(frozen=True)
class Bare:
    """The real opencode without the guard, in a home of its own."""

    parts: Parts
    root: Path

    def run(self, argv: list[str], stub: LoopbackGateway | None = None) -> child.Ended:
        """Run `opencode ARGV` with only the stub to talk to."""
        environ = {
            "PATH": os.defpath,
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
            "OPENCODE_AUTH_CONTENT": "{}",
            **LEAN,
        }
        if stub is not None:
            environ["OPENCODE_CONFIG_CONTENT"] = pinned_to(stub)
        return child.run(
            [str(self.parts.opencode), *argv],
            environ=environ,
            cwd=str(self.root / "project"),
            timeout=LIMIT,
        )


def pinned_to(stub: LoopbackGateway) -> str:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{stub.url}/v1", "headers": {"x-portkey-api-key": KEY}},
        "models": {name: {} for name in (DEFAULT, "x", "y/z", "title")},
    }
    return json.dumps(
        {
            "enabled_providers": ["stub"],
            "model": f"stub/{DEFAULT}",
            "small_model": "stub/title",
            "share": "disabled",
            "snapshot": False,
            "provider": {"stub": provider},
        }
    )


@pytest.fixture(scope="module")
def bare(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Bare:
    root = tmp_path_factory.mktemp("bare")
    for name in ("home", "project", "tmp"):
        (root / name).mkdir()
    # what opencode would fetch from the registry into its config directory seems to be there
    config = root / "home" / ".config" / "opencode"
    (config / "node_modules").mkdir(parents=True)
    package = {"dependencies": {"@opencode-ai/plugin": "1.18.33"}}
    (config / "package.json").write_text(json.dumps(package))
    lock = {"name": "opencode", "lockfileVersion": 3, "requires": True, "packages": {"": package}}
    (config / "package-lock.json").write_text(json.dumps(lock))
    cache = root / "home" / ".cache" / "opencode"
    cache.mkdir(parents=True)
    (cache / "models.json").write_text(json.dumps(CATALOGUE))
    return Bare(parts, root)


def said(ended: child.Ended) -> str:
    return (ended.out + ended.err).decode(errors="replace")


@pytest.mark.parametrize(
    "line",
    [
        "-m X run hi",
        "-c run",
        "-p -- attach http://127.0.0.1:9",
        "-s - attach http://127.0.0.1:9",
        "-p1e5 attach http://127.0.0.1:9",
        "-péx attach http://127.0.0.1:9",
        "--- attach http://127.0.0.1:9",
        "auth",
    ],
)
def test_the_command(bare: Bare, line: str) -> None:
    argv = [*line.split(), "--help"]
    shown = said(bare.run(argv))
    command = read(argv).command.name
    if command:
        # it shows an alias as it was typed
        assert f"opencode {command}" in shown or f"opencode {line}" in shown, shown
    else:
        assert "opencode [project]" in shown, shown


@pytest.mark.parametrize(
    "argv",
    [
        ["run", "-mstub/x", "hi"],
        ["run", "--provider", "stub", "hi"],
    ],
)
def test_what_opencode_refuses_sends_nothing(
    bare: Bare, stub: LoopbackGateway, argv: list[str]
) -> None:
    assert bare.run(argv, stub).status == 1
    assert stub.requests == []


@pytest.mark.parametrize(
    "argv",
    [
        ["--m", "stub/x", "run", "hi", "--", "-m", "stub/y/z"],
        # help that is no help: here opencode runs
        ["run", "-h1e5", "-p", "--", "-m=stub/y/z", "hi", "there"],
    ],
)
def test_the_model_and_the_prompt(bare: Bare, stub: LoopbackGateway, argv: list[str]) -> None:
    found = read(argv)
    assert (found.command.name, found.kind) == ("run", GUARDED)
    typed = [o.value for o in found.named("model", "m") if o.value]
    model = typed[-1].removeprefix("stub/") if typed else DEFAULT
    ended = bare.run(argv, stub)
    assert (ended.status, ended.out.strip()) == (0, b"answered"), said(ended)
    answers = [r for r in stub.requests if r.model != "title"]
    assert [r.model for r in answers] == [model]
    prompt = found.words + list(argv[found.separator + 1 :])
    assert " ".join(prompt) in json.dumps(answers[0].json()["messages"][-1])


def test_another_server(bare: Bare, stub: LoopbackGateway, other: RecordingProxy) -> None:
    argv = ["run", "-p", "--", "--attach\nz", other.url, "hi"]
    assert [o.value for o in read(argv).named("attach")] == [other.url]
    bare.run(argv, stub)
    assert other.requests, "the other server was never asked"
    assert stub.requests == []


def test_a_project_that_is_named_by_an_option(bare: Bare) -> None:
    argv = ["--project", "not-there"]
    assert [o.value for o in read(argv).named("project")] == ["not-there"]
    assert "not-there" in said(bare.run(argv))
