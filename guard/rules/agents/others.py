"""Settings of agents that have no room of their own yet, and lead past the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.findings import Finding
from guard.net import host_of
from guard.rules.agents.settings import is_base_url, is_gateway, leaves, unreadable
from guard.rules.files.location import at
from guard.rules.files.structured import check_variables
from guard.sources.positions import json_nodes, toml_nodes, yaml_nodes
from guard.sources.positions.nodes import LIST, MAP, MalformedError, Node

if TYPE_CHECKING:
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
        return (_codex if _CODEX.search(file.path) else _other)(file, policy)


def _codex(file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
    """Codex: `model_provider`, `[model_providers.X]` with `base_url` and `env_key`."""
    try:
        root = toml_nodes.document(file.text)
    except MalformedError as error:
        yield unreadable(file, error.offset, str(error))
        return
    table = root.get("model_providers")
    gateways: set[str] = set()
    for name, entry in table.pairs if table is not None else []:
        url = entry.get("base_url")
        if url is not None and is_gateway(url.value, policy):
            gateways.add(name.value)
        elif url is not None:
            yield leaves(
                file,
                url.start,
                url.end,
                f"{name.value}.base_url",
                f"model provider {name.value} sends its calls to "
                f"{host_of(url.value) or 'another host'}, not to the gateway",
                f'base_url = "{policy.base_url}"',
            )
    for settings in [root, *[entry for _, entry in _pairs(root.get("profiles"))]]:
        chosen = settings.get("model_provider")
        if chosen is not None and chosen.value not in gateways:
            known = table is not None and any(k.value == chosen.value for k, _ in table.pairs)
            if not known:
                yield leaves(
                    file,
                    chosen.start,
                    chosen.end,
                    "model_provider",
                    f"the model provider {chosen.value} is not the gateway",
                    'model_provider = "portkey", with [model_providers.portkey] base_url '
                    f'"{policy.base_url}"',
                )
    url = root.get("openai_base_url")
    if url is not None and not is_gateway(url.value, policy):
        yield leaves(
            file,
            url.start,
            url.end,
            "openai_base_url",
            f"calls go to {host_of(url.value) or 'another host'}, not to the gateway",
            f'openai_base_url = "{policy.base_url}"',
        )
    yield from check_variables(
        file, policy, root.get("shell_environment_policy", "set"), where="the agent's shell"
    )


def _pairs(node: Node | None) -> list[tuple[Node, Node]]:
    return node.pairs if node is not None else []


def _other(file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
    """Settings in JSON or YAML: the variables under `env`, and every base URL."""
    try:
        if file.name.endswith((".yml", ".yaml")):
            roots = yaml_nodes.documents(file.text)
        else:
            roots = [json_nodes.document(file.text)] if file.text.strip() else []
    except MalformedError as error:
        yield unreadable(file, error.offset, str(error))
        return
    for root in roots:
        environment = root.get("env") if root.kind == MAP else None
        yield from check_variables(file, policy, environment, where="the agent")
        inside = set(map(id, environment.walk())) if environment is not None else set()
        for node in root.walk():
            if node.kind == LIST or id(node) in inside:
                continue
            for key, value in node.pairs:
                if is_base_url(key.value, value) and not is_gateway(value.value, policy):
                    if "$" in value.value:
                        continue
                    yield leaves(
                        file,
                        key.start,
                        value.end,
                        key.value,
                        f"{key.value} sends the agent's calls to "
                        f"{host_of(value.value) or 'another host'}, not to the gateway",
                        f"{key.value}: {policy.base_url}",
                    )
        if file.name in _AIDER:
            yield from _aider(file, root)


def _aider(file: SourceFile, root: Node) -> Iterator[Finding]:
    """The two keys that aider takes in its own config (aider.chat/docs/config/api-keys)."""
    for key, value in root.pairs:
        if key.value in ("openai-api-key", "anthropic-api-key") and value.value:
            name = key.value.replace("-", "_").upper()
            yield at(
                file,
                "RG101",
                key.start,
                value.end,
                name,
                f"the agent gets {name}, which reaches a model provider directly",
                fix="keep the credential in Portkey and use the gateway's key",
                secret=value.value,
            )


DETECTOR = OtherAgents()
