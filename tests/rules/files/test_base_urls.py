"""URLs that leave the gateway, and URLs that only look as if they did."""

from __future__ import annotations

import pytest

from guard.catalog.endpoints import is_provider_url
from guard.net import is_this_machine
from guard.policy.values import CompiledPolicy
from guard.rules.files.base_urls import DETECTOR, address_of
from guard.sources.file import SourceFile

POLICY = CompiledPolicy()


def found(path: str, text: str, policy: CompiledPolicy = POLICY) -> list[tuple[str, int, int]]:
    if not DETECTOR.wants(path, path.rpartition("/")[2]):
        return []
    findings = list(DETECTOR.check(SourceFile(path, text.encode()), policy))
    assert all(finding.rule == "RG103" for finding in findings)
    return [(finding.subject, finding.line, finding.column) for finding in findings]


@pytest.mark.parametrize(
    ("path", "text", "subject"),
    [
        ("a.py", 'OpenAI(base_url="https://api.openai.com/v1")', "base_url"),
        ("a.ts", 'createOpenAI({ baseURL: "http://localhost:11434/v1" })', "baseURL"),
        ("a.py", 'OpenAI(base_url="http://localhost:4000/v1")', "base_url"),
        ("a.py", 'os.environ["OPENAI_BASE_URL"] = "http://localhost:9999"', "OPENAI_BASE_URL"),
        ("a.js", 'env.OPENAI_BASE_URL ?? "https://api.openai.com/v1"', "env.OPENAI_BASE_URL"),
        ("a.sh", "x=${OPENAI_BASE_URL:-https://api.openai.com/v1}", "OPENAI_BASE_URL"),
        ("ci.yml", "OPENAI_BASE_URL: https://llm.corp.internal/v1", "OPENAI_BASE_URL"),
        ("a.sh", "curl -s https://api.anthropic.com/v1/messages", "api.anthropic.com"),
        ("a.go", 'http.Get("https://api.mistral.ai/v1/models")', "api.mistral.ai"),
        ("a.toml", 'url = "https://x.openai.azure.com/openai"', "url"),
        ("Dockerfile", "ENV OLLAMA_HOST=0.0.0.0:11434", "OLLAMA_HOST"),
        ("a.py", 'post("http://localhost:11434/api/chat")', "localhost:11434"),
    ],
)
def test_what_leaves_the_gateway(path: str, text: str, subject: str) -> None:
    assert [name for name, _, _ in found(path, text)] == [subject]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", 'OpenAI(base_url="https://api.portkey.ai/v1")'),
        ("a.py", 'OpenAI(base_url="https://aigw.portkey.ai/v1")'),
        ("a.py", "# https://api.openai.com/v1"),
        ("a.py", "x = 1  # http://localhost:11434/v1"),
        ("a.ts", "// https://api.openai.com/v1"),
        ("a.py", '"""Answers at https://api.openai.com/v1."""'),
        ("README.md", "https://api.openai.com/v1"),
        ("package-lock.json", '"x": "https://api.openai.com/v1"'),
        ("locales/de.json", '"x": "https://api.openai.com/v1"'),
        ("a.json", '"keys": "https://openrouter.ai/settings/keys"'),
        ("a.json", '"keys": "https://api.together.xyz/settings/api-keys"'),
        ("a.json", '{"id": "openai", "api": "https://api.openai.com/v1"}'),
        ("a.json", '"$schema": "https://opencode.ai/config.json"'),
        ("a.sh", "curl -fsSL https://ollama.com/install.sh"),
        ("a.ts", 'axios.create({ baseURL: "http://localhost:3000" })'),
        ("a.ts", 'axios.create({ baseURL: "http://localhost:8000/v1" })'),
        ("tests/a.py", 'respx.post("https://api.openai.com/v1/chat/completions")'),
        ("a.yml", "OPENAI_BASE_URL: https://llm.example.com/v1"),
        ("a.yml", "OPENAI_BASE_URL: ${GATEWAY}"),
        ("a.yml", "GITLAB_INSTANCE_URL: https://git.corp"),
        ("opencode.json", '{"baseURL": "https://api.openai.com/v1"}'),
        ("a.py", 'x = f"https://{region}-aiplatform.googleapis.com/v1"'),
    ],
)
def test_what_does_not(path: str, text: str) -> None:
    assert found(path, text) == []


def test_the_policys_gateway_on_this_machine_is_silent() -> None:
    text = 'llm_base_url = "http://localhost:8787/v1"'
    assert len(found("a.toml", text)) == 1
    assert found("a.toml", text, CompiledPolicy(base_url="http://localhost:8787/v1")) == []


def test_the_place_is_the_url() -> None:
    assert found("a.yml", "x: 1\nbase_url: https://api.openai.com/v1\n") == [("base_url", 2, 11)]


def test_user_information_is_not_shown() -> None:
    text = "OPENAI_BASE_URL: http://ann:pa55word@localhost:4000/v1"
    (finding,) = DETECTOR.check(SourceFile("a.yml", text.encode()), POLICY)
    assert "pa55word" not in finding.message + finding.subject + finding.fix


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://API.OpenAI.com/v1?x", ("api.openai.com", 0, "/v1")),
        ("http://u:p@127.0.0.1:80", ("127.0.0.1", 80, "")),
        ("http://[::1]:8080/v1", ("::1", 8080, "/v1")),
        ("localhost:11434", ("localhost", 11434, "")),
    ],
)
def test_addresses(url: str, expected: tuple[str, int, str]) -> None:
    address = address_of(url)
    assert address is not None
    assert (address.host, address.port, address.path) == expected


@pytest.mark.parametrize(
    "url", ["https://${HOST}/v1", "https://{{ host }}", "https://", "http://<h>"]
)
def test_templates_have_no_address(url: str) -> None:
    assert address_of(url) is None


def test_this_machine() -> None:
    for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "a.localhost"):
        assert is_this_machine(host)
    for host in ("example.com", "10.0.0.1", "127.example.com", "mylocalhost"):
        assert not is_this_machine(host)


def test_hosts_that_are_also_websites_count_below_their_api() -> None:
    assert is_provider_url("openrouter.ai", "/api/v1/chat")
    assert not is_provider_url("openrouter.ai", "/models")
    assert is_provider_url("api.openai.com", "")
    assert not is_provider_url("example.com", "/v1")
