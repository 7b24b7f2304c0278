"""What the system policy renders into: parsed as the agents parse it, and without any key."""

from __future__ import annotations

import base64
import json
import plistlib
import tomllib
import uuid
from pathlib import Path

import pytest
from managed_policy import POLICY, compiled

from guard.agents.managed import LINUX, MACOS, Installed, Machine
from guard.errors import PolicyError
from guard.files import jsonc
from guard.managed import render

COMMAND = POLICY.replace('{ env = "COMPANY_KEY" }', '{ command = ["op", "read", "op://x/y"] }')
HOST = Machine(LINUX, "abcdefghij", "/usr/bin/routeguard")


def test_codex_gets_one_provider_and_limits(tmp_path: Path) -> None:
    files = render.render(compiled(tmp_path, POLICY), HOST).files
    settled = tomllib.loads(files["/etc/codex/managed_config.toml"])
    assert settled["model_provider"] == "portkey_abcdefghij"
    assert list(settled["model_providers"]) == ["portkey_abcdefghij"]
    provider = settled["model_providers"]["portkey_abcdefghij"]
    assert provider["base_url"] == "https://gateway.example.com/v1"
    assert provider["env_http_headers"] == {"x-portkey-api-key": "COMPANY_KEY"}
    assert provider["http_headers"] == {"x-portkey-provider": "@openai-prod"}
    assert "auth" not in provider
    assert settled["model"] == "gpt-5.5"
    assert settled["otel"]["exporter"] == "none"
    assert not any(settled["features"].values())
    assert settled["shell_environment_policy"] == {"set": {"COMPANY_KEY": ""}}
    limits = tomllib.loads(files["/etc/codex/requirements.toml"])
    assert limits == {
        "allowed_login_methods": ["api"],
        "allowed_web_search_modes": ["disabled"],
        "mcp_servers": {},
    }


def test_a_key_from_a_command_is_asked_of_routeguard(tmp_path: Path) -> None:
    rendering = render.render(compiled(tmp_path, COMMAND), HOST)
    settled = tomllib.loads(rendering.files["/etc/codex/managed_config.toml"])
    provider = settled["model_providers"]["portkey_abcdefghij"]
    assert provider["auth"] == {"command": "/usr/bin/routeguard", "args": ["key"]}
    assert "env_http_headers" not in provider
    assert "op://x/y" not in "".join(rendering.files.values())
    assert any("opencode" in note for note in rendering.notes)


def test_named_mcp_servers_are_not_closed(tmp_path: Path) -> None:
    text = POLICY.replace("[agents.codex]\n", '[agents.codex]\nmcp = ["docs"]\n')
    rendering = render.render(compiled(tmp_path, text), HOST)
    assert "mcp_servers" not in tomllib.loads(rendering.files["/etc/codex/requirements.toml"])
    assert any("MCP" in note for note in rendering.notes)


def test_claude_code_gets_the_gateway_and_a_helper(tmp_path: Path) -> None:
    path = "/etc/claude-code/managed-settings.json"
    found = json.loads(render.render(compiled(tmp_path, POLICY), HOST).files[path])
    env = found["env"]
    assert env["ANTHROPIC_BASE_URL"] == "https://gateway.example.com"
    assert env["ANTHROPIC_CUSTOM_HEADERS"] == "x-portkey-provider: @anthropic-prod"
    assert env["ANTHROPIC_MODEL"] == "claude-sonnet-4-5"
    taken = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK")
    assert {env[name] for name in taken} == {""}
    # a repository's settings can set these, too
    tls = ("NODE_TLS_REJECT_UNAUTHORIZED", "NODE_EXTRA_CA_CERTS", "LD_PRELOAD", "BASH_ENV")
    assert {env[name] for name in tls} == {""}
    assert (env["GCONV_PATH"], env["GIT_TRACE2"], "TMUX" in env) == ("", "", False)
    assert found["apiKeyHelper"] == "/usr/bin/routeguard key"
    assert found["parentSettingsBehavior"] == "merge"
    assert found["disableAllHooks"] is True
    assert found["allowedMcpServers"] == []
    assert "availableModels" not in found
    listed = POLICY + 'models = ["claude-sonnet-4-5", "claude-opus-4-5"]\n'
    found = json.loads(render.render(compiled(tmp_path, listed), HOST).files[path])
    assert found["availableModels"] == ["claude-sonnet-4-5", "claude-opus-4-5"]
    assert found["enforceAvailableModels"] is True
    # of small tasks, too: the agent's own is not in the list
    assert found["env"]["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "claude-sonnet-4-5"


def test_opencode_gets_providers_that_nobody_can_name(tmp_path: Path) -> None:
    text = render.render(compiled(tmp_path, POLICY), HOST).files["/etc/opencode/opencode.json"]
    found = jsonc.parse(text)
    assert found["enabled_providers"] == ["portkey-abcdefghij"]
    assert found["model"] == "portkey-abcdefghij/gpt-4o"
    provider = found["provider"]["portkey-abcdefghij"]
    assert provider["options"]["baseURL"] == "https://gateway.example.com/v1"
    assert provider["options"]["headers"] == {"x-portkey-api-key": "{env:COMPANY_KEY}"}
    # an empty one would replace that of a launch
    assert "disabled_providers" not in found


def test_an_agent_that_the_policy_leaves_alone_gets_nothing(tmp_path: Path) -> None:
    text = POLICY + '[agents]\nguard = ["codex"]\n'
    files = render.render(compiled(tmp_path, text), HOST).files
    assert {path.split("/")[2] for path in files} == {"codex"}


def test_without_a_provider_the_gateway_refuses_and_it_is_said(tmp_path: Path) -> None:
    rendering = render.render(compiled(tmp_path, "schema = 1\n"), HOST)
    settled = tomllib.loads(rendering.files["/etc/codex/managed_config.toml"])
    (provider,) = settled["model_providers"].values()
    assert "http_headers" not in provider
    assert len([note for note in rendering.notes if "names no provider" in note]) == 2


def test_macos_gets_its_own_paths_and_a_profile(tmp_path: Path) -> None:
    mac = Machine(MACOS, "abcdefghij", "/usr/local/bin/routeguard")
    rendering = render.render(compiled(tmp_path, POLICY), mac)
    assert set(rendering.files) == {
        "/Library/Application Support/ClaudeCode/managed-settings.json",
        "/Library/Application Support/opencode/opencode.json",
        "/etc/codex/managed_config.toml",
        "/etc/codex/requirements.toml",
    }
    profile = plistlib.loads(render.profile(rendering.domains))
    assert profile["PayloadType"] == "Configuration"
    payloads = {one["PayloadType"]: one for one in profile["PayloadContent"]}
    assert set(payloads) == {"ai.opencode.managed", "com.anthropic.claudecode", "com.openai.codex"}
    assert len({one["PayloadUUID"] for one in payloads.values()} | {profile["PayloadUUID"]}) == 4
    settled = tomllib.loads(
        base64.b64decode(payloads["com.openai.codex"]["config_toml_base64"]).decode()
    )
    assert settled["model_provider"] == "portkey_abcdefghij"
    assert payloads["com.anthropic.claudecode"]["env"]["ANTHROPIC_BASE_URL"]
    for domain, values in rendering.domains.items():
        assert plistlib.loads(render.plist(values)) == values, domain
    # what an MDM compares: the same content is the same profile
    assert render.profile(rendering.domains) == render.profile(
        render.render(compiled(tmp_path, POLICY), mac).domains
    )


COMMON = {"PayloadIdentifier": str, "PayloadUUID": str, "PayloadType": str, "PayloadVersion": int}
"""What Apple requires of a profile and of each payload in it (apple/device-management on GitHub:
mdm/profiles/TopLevel.yaml, CommonPayloadKeys.yaml)."""

OVERALL = {
    "PayloadContent": list,
    "PayloadDisplayName": str,
    "PayloadRemovalDisallowed": bool,
    "PayloadScope": str,
}
"""What it allows besides at the top, of which ours has all."""

TAKEN_OUT = {"PayloadDisplayName", *COMMON}
"""What opencode 1.18.33 takes out of the preferences before it reads its settings (its bundle)."""


@pytest.mark.parametrize("text", [POLICY, COMMAND, "schema = 1\n"])
def test_the_profile_has_the_keys_that_apple_documents(tmp_path: Path, text: str) -> None:
    mac = Machine(MACOS, "abcdefghij", "/usr/local/bin/routeguard")
    domains = render.render(compiled(tmp_path, text), mac).domains
    profile = plistlib.loads(render.profile(domains))
    assert {key: type(value) for key, value in profile.items()} == COMMON | OVERALL
    assert (profile["PayloadType"], profile["PayloadScope"]) == ("Configuration", "System")
    everything = [profile, *profile["PayloadContent"]]
    for one in everything:
        assert {key: type(one[key]) for key in COMMON} == COMMON
        assert one["PayloadVersion"] == 1
        assert str(uuid.UUID(one["PayloadUUID"])).upper() == one["PayloadUUID"]
    assert len({one["PayloadIdentifier"] for one in everything}) == len(everything)
    for one in profile["PayloadContent"]:
        settings = {key: value for key, value in one.items() if key not in TAKEN_OUT}
        assert settings == domains[one["PayloadType"]]
        # as in the file, which is JSON: neither dates nor data
        assert json.loads(json.dumps(settings)) == settings


def test_the_suffix_is_random_once_and_then_stays() -> None:
    fresh = {render.machine(LINUX, Installed(), "/x")[0].suffix for _ in range(8)}
    assert len(fresh) == 8
    known = Installed(suffix="abcdefghij", program="/usr/bin/routeguard")
    assert render.machine(LINUX, known)[0].suffix == "abcdefghij"


def test_a_program_that_users_can_change_is_said(tmp_path: Path) -> None:
    program = tmp_path / "routeguard"
    program.write_text("")
    program.chmod(0o777)
    for known, named in ((Installed(), str(program)), (Installed("s", str(program)), "")):
        _, (note,) = render.machine(LINUX, known, named)
        assert f"run {program} for the gateway key" in note
        assert "0777" in note


def test_no_system_policy_is_said(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no system policy"):
        render.read_policy(str(tmp_path / "policy.toml"))


def test_a_companys_ca_and_proxy_reach_claude_code(tmp_path: Path) -> None:
    policy = compiled(tmp_path, POLICY)
    policy.gateway_ca = "/etc/ssl/company.pem"
    policy.gateway_proxy = "http://proxy.example.com:8080"
    path = "/etc/claude-code/managed-settings.json"
    env = json.loads(render.render(policy, HOST).files[path])["env"]
    assert env["NODE_EXTRA_CA_CERTS"] == "/etc/ssl/company.pem"
    assert env["HTTPS_PROXY"] == "http://proxy.example.com:8080"
