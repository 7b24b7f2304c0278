"""Settings of agents that have no room of their own yet, and lead past the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.rules.agents.settings import base_urls, is_gateway, leads_away, unreadable
from guard.rules.files.scope import Scope, between
from guard.rules.files.structured import check_variables, documents
from guard.sources.positions.nodes import MAP, MalformedError, Node

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_CLAUDE = re.compile(r"(?:^|/)\.claude/settings[^/]*\.json$")
_CODEX = re.compile(r"(?:^|/)(?:\.codex/config\.toml|codex/config\.toml)$")
_GEMINI = re.compile(r"(?:^|/)\.(?:gemini|qwen)/settings\.json$")
_CRUSH = frozenset(("crush.json", ".crush.json"))
_ZED = re.compile(r"(?:^|/)\.zed/settings\.json$")
_AIDER = frozenset((".aider.conf.yml", ".aider.conf.yaml"))
_CONTINUE = re.compile(r"(?:^|/)\.continue/config\.(?:json|ya?ml)$")
_PI = re.compile(r"(?:^|/)\.pi/agent/models\.json$")
_GOOSE = re.compile(r"(?:^|/)(?:\.config/)?goose/config\.yaml$")


class OtherAgents:
    """RG101, RG302, RG303 and variables in the settings of Claude Code, Codex, Gemini CLI, aider,
    Continue, Crush, goose, pi and Zed."""

    name = "other_agents"
    needles: tuple[bytes, ...] = (b"",)

    def wants(self, path: str, name: str) -> bool:
        """The files by which an agent is configured in a project or a home directory."""
        return (
            name in _CRUSH
            or name in _AIDER
            or any(
                pattern.search(path)
                for pattern in (_CLAUDE, _CODEX, _GEMINI, _ZED, _CONTINUE, _PI, _GOOSE)
            )
        )

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in the file."""
        scope = Scope(file, policy, "the agent")
        try:
            roots = documents(file.name, file.text)
        except MalformedError as error:
            yield unreadable(scope, error.offset, str(error))
            return
        for root in roots:
            yield from (_codex if _CODEX.search(file.path) else _other)(scope, root)


def _codex(scope: Scope, root: Node) -> Iterator[Finding]:
    """Codex: `model_provider`, `[model_providers.X]` with `base_url` and `env_key`."""
    policy = scope.policy
    written = f'"{policy.base_url}"'
    known: set[str] = set()
    for name, entry in _pairs(root.get("model_providers")):
        known.add(name.value)
        url = entry.get("base_url")
        if url is not None and not is_gateway(url.value, policy):
            sends = f"model provider {name.value} sends its calls to"
            subject, fix = f"{name.value}.base_url", f"base_url = {written}"
            yield leads_away(scope, url, subject, url.value, sends, fix)
    for settings in [root, *[entry for _, entry in _pairs(root.get("profiles"))]]:
        chosen = settings.get("model_provider")
        if chosen is not None and chosen.value not in known:
            yield scope.finding(
                "RG302",
                chosen,
                "model_provider",
                f"the model provider {chosen.value} is not the gateway",
                fix='model_provider = "portkey", with [model_providers.portkey] base_url '
                + written,
            )
    url = root.get("openai_base_url")
    if url is not None and not is_gateway(url.value, policy):
        fix = f"openai_base_url = {written}"
        yield leads_away(scope, url, "openai_base_url", url.value, "calls go to", fix)
    shell = root.get("shell_environment_policy", "set")
    yield from check_variables(scope.given_to("the agent's shell"), shell)


def _pairs(node: Node | None) -> list[tuple[Node, Node]]:
    return node.pairs if node is not None else []


def _other(scope: Scope, root: Node) -> Iterator[Finding]:
    """Settings in JSON or YAML: the variables under `env`, and every base URL."""
    environment = root.get("env") if root.kind == MAP else None
    yield from check_variables(scope, environment)
    inside = set(map(id, environment.walk())) if environment is not None else set()
    for key, value in base_urls(root):
        url = value.value
        if id(value) not in inside and "$" not in url and not is_gateway(url, scope.policy):
            sends, fix = f"{key.value} sends the agent's calls to", scope.policy.base_url
            place = between(key, value)
            yield leads_away(scope, place, key.value, url, sends, f"{key.value}: {fix}")
    if scope.file.name in _AIDER:
        yield from _aider(scope, root)


def _aider(scope: Scope, root: Node) -> Iterator[Finding]:
    """The two keys that aider takes in its own config (aider.chat/docs/config/api-keys)."""
    for key, value in root.pairs:
        if key.value in ("openai-api-key", "anthropic-api-key") and value.value:
            name = key.value.replace("-", "_").upper()
            yield scope.finding(
                "RG101",
                between(key, value),
                name,
                f"the agent gets {name}, which reaches a model provider directly",
                fix="keep the credential in Portkey and use the gateway's key",
                secret=value.value,
            )


DETECTOR = OtherAgents()
