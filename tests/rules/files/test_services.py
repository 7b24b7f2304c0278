"""Compose files, units, property lists, Procfiles; and the catalogue of local proxies."""

from __future__ import annotations

import pytest

from guard.catalog import local_proxies
from guard.catalog.programs import effective
from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.rules.files import kinds, services
from guard.sources.file import SourceFile

DETECTORS = (
    kinds.DETECTOR,
    services.UNITS,
    services.PROPERTY_LISTS,
    services.PROCFILES,
)


def check(path: str, text: str) -> list[Finding]:
    name = path.rpartition("/")[2]
    (detector,) = [d for d in DETECTORS if d.wants(path, name)]
    return list(detector.check(SourceFile(path, text.encode()), CompiledPolicy()))


def test_compose_places() -> None:
    text = 'services:\n  a:\n    image: "ollama/ollama"\n    command: sh -c "opencode run"\n'
    assert [(f.rule, f.line, f.column) for f in check("compose.yaml", text)] == [
        ("RG401", 3, 13),
        ("RG206", 4, 21),
    ]


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("ExecStart=@/usr/bin/ollama ollama serve", ["RG401"]),
        ("ExecStart=-/usr/bin/ollama \\\n serve", ["RG401"]),
        ("ExecStart=/bin/sh -c 'cd /x; opencode serve'", ["RG203"]),
        ("ExecStart=/bin/echo x; ollama serve", []),
        ("# ExecStart=ollama serve", []),
        ("Environment='OPENAI_API_KEY=%x y' A=1", ["RG101"]),
        ("Description=ollama serve", []),
        ("Image=docker.io/ollama/ollama", ["RG401"]),
    ],
)
def test_units(line: str, rules: list[str]) -> None:
    rules_found = [f.rule for f in check("a.service", f"[Service]\n{line}\n")]
    assert rules_found == rules


@pytest.mark.parametrize("text", ["", "<plist>", "<dict>" * 5000, "bplist00x", "<!ENTITY a 'b'>"])
def test_property_lists_that_are_none(text: str) -> None:
    assert check("a.plist", text + "opencode") == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ollama serve", "ollama"),
        ("ollama list", None),
        ("litellm --port 1", "litellm"),
        ("litellm --help", None),
        ("ccr code", "claude-code-router"),
        ("ccr stop", None),
        ("python3.12 -m litellm --port 1", "litellm"),
        ("python -m uvicorn litellm.proxy.proxy_server:app", "litellm"),
        ("gunicorn app:app", None),
        ("vllm bench", None),
        ("lms server start", "lm-studio"),
        ("gateway --port 1", None),
    ],
)
def test_start_commands(words: str, found: str | None) -> None:
    program, *arguments = words.split()
    proxy, _ = local_proxies.started(effective("", (program, *arguments), links=False))
    assert (proxy.id if proxy else None) == found


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("ollama/ollama", "ollama"),
        ("ollama", "ollama"),
        ("localhost:5000/x/ollama/ollama:1", "ollama"),
        ("ghcr.io/berriai/litellm:main-stable", "litellm"),
        ("portkeyai/gateway:latest", "portkey-gateway-oss"),
        ("corp/new-api", None),
        ("corp/ollama-exporter", None),
        ("kong:3", None),
    ],
)
def test_images(reference: str, found: str | None) -> None:
    proxy = local_proxies.image(reference)
    assert (proxy.id if proxy else None) == found


def test_every_entry_says_where_it_is_known_from() -> None:
    assert len(local_proxies.words()) > 60
    assert all(word == word.lower() for word in local_proxies.words())
