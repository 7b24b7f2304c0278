"""The agents' own configuration."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from guard.findings import Finding
from guard.policy.values import CompiledPolicy, GatewayProvider, PolicyException
from guard.rules.agents import others
from guard.rules.agents.opencode import files
from guard.sources.file import SourceFile


def check(path: str, text: str, policy: CompiledPolicy | None = None) -> list[Finding]:
    (detector,) = (
        each.DETECTOR
        for each in (files, others)
        if each.DETECTOR.wants(path, path.rpartition("/")[2])
    )
    return list(detector.check(SourceFile(path, text.encode()), policy or CompiledPolicy()))


def test_places() -> None:
    text = '{\n  "model": "openai/gpt-4o",\n  "plugin": ["x"]\n}\n'
    assert [(f.rule, f.line, f.column, f.end_column) for f in check("opencode.json", text)] == [
        ("RG301", 3, 3, 18),
        ("RG201", 2, 13, 26),
    ]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '"x"', '{"a": 1, "a": 2}', '{"x{env:A}": 1}', "[" * 10_000, '{"a":' * 10_000],
)
def test_what_cannot_be_read_is_an_error(text: str) -> None:
    assert "RG303" in {f.rule for f in check("opencode.json", text)}


def test_the_gateway_of_the_policy_counts() -> None:
    text = '{"provider": {"gw": {"options": {"baseURL": "https://ai.corp.example/v1"}}}}'
    assert [f.rule for f in check("opencode.json", text)] == ["RG302"]
    policy = CompiledPolicy(
        base_url="https://ai.corp.example/v1",
        providers=(GatewayProvider(name="gw"),),
        default_model="gw/x",
    )
    assert check("opencode.json", text, policy) == []


def test_code_that_was_read_can_be_excepted_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, text = ".opencode/plugins/a.ts", "export const A = 1\n"
    Path(path).parent.mkdir(parents=True)
    Path(path).write_text(text)
    absolute = SourceFile(path, b"").absolute
    right = hashlib.sha256(text.encode()).hexdigest()
    for digest, findings in ((right, []), ("0" * 64, ["RG301"]), ("", ["RG301"])):
        allowed = PolicyException(subject=f"file:{absolute}", reason="x", until=4e9, sha256=digest)
        policy = CompiledPolicy(exceptions=(allowed,))
        assert [f.rule for f in check(path, text, policy)] == findings
        # staged, and not what lies on the disk
        assert [f.rule for f in check(path, text + "x", policy)] == ["RG301"]


def test_front_matter_places() -> None:
    text = "---\r\ndescription: é\r\nmodel: openai/gpt-4o\r\n---\r\n"
    (finding,) = check(".opencode/agents/a.md", text)
    assert (finding.rule, finding.line, finding.column) == ("RG201", 3, 8)


def test_codex_profiles() -> None:
    text = '[profiles.x]\nmodel_provider = "ollama"\n'
    assert [(f.rule, f.line) for f in check(".codex/config.toml", text)] == [("RG302", 2)]


@pytest.mark.parametrize(
    "path", ["src/.opencode/notes.txt", "docs/opencode.md", "settings.json", "config.toml"]
)
def test_which_files_are_none(path: str) -> None:
    for each in (files, others):
        assert not each.DETECTOR.wants(path, path.rpartition("/")[2])


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        ("gitlab-ai-provider", []),
        ("github:someone/provider", ["RG301"]),
        ("git+ssh://host/provider", ["RG301"]),
        ("aisdk:./provider.js", ["RG301"]),
    ],
)
def test_a_provider_package_is_code_unless_it_is_a_published_one(
    spec: str, rules: list[str]
) -> None:
    text = f'{{"provider": {{"portkey": {{"npm": "{spec}"}}}}}}'
    assert [f.rule for f in check("opencode.json", text)] == rules


LOOPBACK = CompiledPolicy(base_url="http://127.0.0.1:8787/portkey/v1")


@pytest.mark.parametrize(
    ("url", "rules"),
    [
        ("http://127.0.0.1:8787/portkey/v1", []),
        ("http://127.0.0.1:8787/portkey", []),
        ("http://127.0.0.1:3456/portkey/v1", ["RG302"]),
        ("http://127.0.0.1:8787/openai/v1", ["RG302"]),
        ("http://127.0.0.1:8787/portkey/../openai", ["RG302"]),
        ("http://localhost:11434/v1", ["RG302"]),
        ("http://[::1]:3456/v1", ["RG302"]),
        ("http://127.1:3456/v1", ["RG302"]),
        ("https://llm.acme.example/v1", ["RG302"]),
    ],
)
def test_one_gateway_on_this_machine_excuses_no_other_place(url: str, rules: list[str]) -> None:
    provider = f'[model_providers.x]\nbase_url = "{url}"\n'
    files = {
        ".codex/config.toml": provider,
        "home/.codex/work.config.toml": provider,
        "codex/managed_config.toml": provider,
        ".zed/settings.json": f'{{"language_models": {{"openai": {{"api_url": "{url}"}}}}}}',
        "crush.json": f'{{"providers": {{"p": {{"base_url": "{url}"}}}}}}',
        ".continue/config.yaml": f"models:\n  - apiBase: {url}\n",
        "opencode.json": f'{{"provider": {{"portkey": {{"options": {{"baseURL": "{url}"}}}}}}}}',
    }
    for path, text in files.items():
        assert [f.rule for f in check(path, text, LOOPBACK)] == rules, path


@pytest.mark.parametrize(
    "path",
    [
        ".claude/settings.json",
        ".claude/settings.local.json",
        "etc/claude-code/managed-settings.json",
        "home/.claude.json",
        ".config/opencode/service.json",
        ".zed/settings.json",
    ],
)
@pytest.mark.parametrize(
    ("name", "value", "rules"),
    [
        ("ANTHROPIC_BASE_URL", "https://llm.acme.example/v1", ["RG103"]),
        ("OPENAI_BASE_URL", "https://your-gateway.dev/v1", ["RG103"]),
        ("OPENAI_BASE_URL", "https://api.portkey.ai/v1", []),
        ("ANTHROPIC_API_KEY", "$KEY", ["RG101"]),
        ("CLAUDE_CODE_USE_BEDROCK", "1", ["RG101"]),
    ],
)
def test_the_variables_of_an_agents_settings_are_no_samples(
    path: str, name: str, value: str, rules: list[str]
) -> None:
    assert [f.rule for f in check(path, f'{{"env": {{"{name}": "{value}"}}}}')] == rules


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        (".claude/settings.json", '{"apiKeyHelper": "./key"}', ["RG302 apiKeyHelper"]),
        (".claude/settings.json", '{"otelHeadersHelper": "./h"}', ["RG302 otelHeadersHelper"]),
        (".claude/settings.json", '{"statusLine": {"command": "opencode serve"}}', ["RG203 serve"]),
        (
            ".claude/settings.json",
            '{"hooks": {"Stop": [{"hooks": [{"command": "ollama serve"}]}]}}',
            ["RG401 Ollama"],
        ),
        (".claude/settings.json", '{"permissions": {"allow": ["Bash(ls)"]}, "model": "opus"}', []),
        (".codex/config.toml", 'oss_provider = "ollama"', ["RG302 oss_provider"]),
        (
            ".codex/config.toml",
            'chatgpt_base_url = "https://a.example/"',
            ["RG302 chatgpt_base_url"],
        ),
        (".codex/config.toml", 'notify = ["ollama", "serve"]', ["RG401 Ollama"]),
        (
            ".codex/config.toml",
            '[mcp_servers.a]\nurl = "https://m.dev"\nbearer_token_env_var = "PORTKEY_API_KEY"',
            ["RG302 PORTKEY_API_KEY"],
        ),
        (
            ".codex/config.toml",
            '[mcp_servers.a.env_http_headers]\nx = "PORTKEY_API_KEY"',
            ["RG302 PORTKEY_API_KEY"],
        ),
        (".codex/auth.json", '{"OPENAI_API_KEY": "$KEY"}', ["RG101 OPENAI_API_KEY"]),
        (
            ".gemini/settings.json",
            '{"security": {"auth": {"selectedType": "vertex-ai"}}}',
            ["RG302 security.auth.selectedType"],
        ),
        (
            ".gemini/settings.json",
            '{"experimental": {"gemmaModelRouter": {"classifier": {"host": "http://a.dev"}}}}',
            ["RG302 gemmaModelRouter"],
        ),
        (
            ".gemini/settings.json",
            '{"modelConfigs": {"aliases": {"a": {"httpOptions": {"baseUrl": "https://a.dev"}}}}}',
            ["RG302 baseUrl"],
        ),
        (".gemini/settings.json", '{"security": {"auth": {"selectedType": "gateway"}}}', []),
        (".aider.conf.yml", "set-env: [OPENAI_API_KEY=$X]", ["RG101 OPENAI_API_KEY"]),
    ],
)
def test_settings_by_the_keys_of_their_own_agent(path: str, text: str, found: list[str]) -> None:
    assert [f"{f.rule} {f.subject}" for f in check(path, text)] == found


@pytest.mark.parametrize(
    "path",
    [
        ".mcp.json",
        ".cursor/mcp.json",
        ".vscode/mcp.json",
        "Claude/claude_desktop_config.json",
        ".codeium/windsurf/mcp_config.json",
        ".roo/mcp.json",
        "settings/cline_mcp_settings.json",
        ".gemini/settings.json",
        ".claude/settings.json",
        ".zed/settings.json",
    ],
)
@pytest.mark.parametrize("key", ["mcpServers", "servers", "context_servers"])
def test_mcp_servers_of_editors(path: str, key: str) -> None:
    text = (
        f'{{"x": {{"{key}": {{"a": {{"command": "npx", "args": ["-y", "opencode-ai", "serve"],'
        '"env": {"OPENAI_API_KEY": "${input:key}"}}}}}'
    )
    assert [f.rule for f in check(path, text)] == ["RG101", "RG203"]


def test_the_program_of_an_mcp_server_may_be_a_map_or_a_text() -> None:
    text = '{"context_servers": {"a": {"command": {"path": "ollama", "args": ["serve"]}}}}'
    assert [f.rule for f in check(".zed/settings.json", text)] == ["RG401"]
    text = '{"mcpServers": {"a": {"command": "sh -c \'opencode serve\'"}}}'
    assert [f.rule for f in check(".mcp.json", text)] == ["RG203"]


def _statement(effect: str, resource: str, action: str = "provider.use") -> str:
    return f'{{"effect": "{effect}", "action": "{action}", "resource": "{resource}"}}'


DENY_ALL = _statement("deny", "*")


@pytest.mark.parametrize(
    "key", ['{{"policies": [{}]}}', '{{"experimental": {{"policies": [{}]}}}}']
)
@pytest.mark.parametrize(
    ("statements", "subjects"),
    [
        ([_statement("allow", "anthropic")], ["anthropic"]),
        ([DENY_ALL, _statement("allow", "portkey")], []),
        ([DENY_ALL, _statement("allow", "portkey"), _statement("allow", "openai")], ["openai"]),
        ([_statement("allow", "*")], ["*"]),
        ([_statement("allow", "a?thropic", "*")], ["a?thropic"]),
        ([_statement("allow", "openai"), DENY_ALL, _statement("allow", "portkey")], []),
        ([_statement("deny", "portkey")], ["portkey"]),
        ([_statement("deny", "port*", "provider.*")], ["portkey"]),
        ([DENY_ALL], ["portkey"]),
        ([_statement("deny", "openai")], []),
        ([_statement("allow", "anthropic", "tool.use")], []),
        (['{"effect": "allow"}', '"x"'], []),
    ],
)
def test_what_policies_of_opencode_2_allow_and_forbid(
    key: str, statements: list[str], subjects: list[str]
) -> None:
    found = check("opencode.json", key.format(", ".join(statements)))
    assert [(f.rule, f.subject) for f in found] == [("RG302", subject) for subject in subjects]
