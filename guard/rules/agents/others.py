"""Settings of agents that lead past the gateway, each by the keys that its agent reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.agents.claude_code.settings import HELPERS, NO_HELPER, without_helper
from guard.files import jsonc, toml
from guard.files.read import MalformedError, UnreadableError
from guard.rules.agents import (
    AIDER,
    CLAUDE_CODE,
    CODEX,
    GEMINI,
    settings_of,
)
from guard.rules.agents.settings import base_urls, is_gateway, leads_away
from guard.rules.files.calls import check_texts
from guard.rules.files.scope import Scope, between
from guard.rules.files.structured import check_call, check_variables
from guard.rules.files.variables import is_gateway_key
from guard.sources.positions.formats import documents
from guard.sources.positions.nodes import LIST, MAP, SCALAR, Node

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_SERVERS = ("mcpServers", "mcp_servers", "context_servers", "servers")
_COMMANDS = frozenset(("command", "discoveryCommand", "callCommand", *HELPERS))
"""Keys, in settings in JSON, of commands that the agent gives to a shell."""


class OtherAgents:
    """RG101, RG302, RG303, variables and commands in the settings of agents, and of MCP servers."""

    name = "other_agents"
    needles: tuple[bytes, ...] = (b"",)

    def wants(self, path: str, name: str) -> bool:
        """The files by which an agent is configured in a project or a home directory."""
        return settings_of(path) != ""

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in the file."""
        scope = Scope(file, policy, "the agent", in_use=True)
        owner = settings_of(file.path)
        try:
            _as_a_launch_reads(file, owner)
            roots = documents(file.name, file.text)
        except UnreadableError as error:
            offset = error.offset if isinstance(error, MalformedError) else 0
            yield scope.unreadable(offset, str(error))
            return
        for root in roots:
            if root.kind != MAP:
                continue
            yield from _codex(scope, root) if owner == CODEX else _variables_and_urls(scope, root)
            yield from _servers(scope, root)
            if owner == CLAUDE_CODE:
                yield from _helpers(scope, root)
            elif owner == GEMINI:
                yield from _gemini(scope, root)
            elif owner == AIDER:
                yield from _aider(scope, root)


def _as_a_launch_reads(file: SourceFile, owner: str) -> None:
    """Raises UnreadableError for what a launch of the settings' owner refuses to read."""
    if owner == CODEX and file.name.lower().endswith(".toml"):
        toml.decode(file.data)
    elif owner == CLAUDE_CODE and "settings" in file.name.lower():
        jsonc.decode(file.data)


def _variables_and_urls(scope: Scope, root: Node) -> Iterator[Finding]:
    """Settings in JSON or YAML: what `env` sets, base URLs, and commands for a shell."""
    servers = set(map(id, _entries_of_servers(root)))
    inside: set[int] = set()
    texts = []
    for node in root.walk():
        if node.kind != MAP:
            continue
        for key, value in node.pairs:
            if key.value == "env" and id(node) not in servers:
                yield from check_variables(scope, value)
                inside.update(map(id, value.walk()))
            elif key.value in _COMMANDS and value.kind == SCALAR and id(node) not in servers:
                texts.append(value.text)
    yield from check_texts(scope.given_to("the command"), texts)
    inside.update(id(below) for server in _entries_of_servers(root) for below in server.walk())
    for key, value in base_urls(root):
        if id(value) not in inside and not is_gateway(value.value, scope.policy):
            sends, fix = f"{key.value} sends the agent's calls to", scope.policy.base_url
            place = between(key, value)
            yield leads_away(scope, place, key.value, value.value, sends, f"{key.value}: {fix}")


def _entries_of_servers(root: Node) -> list[Node]:
    """The MCP servers, wherever they are listed: at the top, under `mcp`, for each project."""
    found: list[Node] = []
    for node in root.walk():
        for key, value in node.pairs:
            if key.value in _SERVERS and value.kind == MAP:
                found += [entry for _, entry in value.pairs if entry.kind == MAP]
            elif key.value in _SERVERS and value.kind == LIST:
                found += [entry for entry in value.items if entry.kind == MAP]
    return found


def _servers(scope: Scope, root: Node) -> Iterator[Finding]:
    """What an MCP server is started as, and the variables and keys that it gets."""
    given = scope.given_to("the MCP server")
    for server in _entries_of_servers(root):
        yield from check_variables(given, server.get("env"))
        command = server.get("command")
        if command is not None and command.kind == MAP:
            yield from check_variables(given, command.get("env"))
            yield from check_call(given, command.get("path"), command.get("args"))
        else:
            yield from check_call(given, command, server.get("args"))
        for name in (server.get("bearer_token_env_var"), *_values(server.get("env_http_headers"))):
            if name is not None and name.value and is_gateway_key(name.value, scope.policy):
                yield scope.finding(
                    "RG302",
                    name,
                    name.value,
                    f"an MCP server is sent {name.value}, the gateway's key",
                    fix="give it a key of its own",
                )


def _values(node: Node | None) -> list[Node]:
    return [value for _, value in node.pairs] if node is not None else []


def _pairs(node: Node | None) -> list[tuple[Node, Node]]:
    return node.pairs if node is not None else []


def _helpers(scope: Scope, root: Node) -> Iterator[Finding]:
    """Settings by which Claude Code asks a program for a credential."""
    for key, value in root.pairs:
        if key.value in HELPERS and value.value:
            yield scope.finding(
                "RG302",
                between(key, value),
                key.value,
                f"{key.value} runs a program for a credential: {NO_HELPER}",
                fix=without_helper(key.value),
                severity="warning",
            )


_CODEX_URLS = ("openai_base_url", "chatgpt_base_url", "experimental_realtime_ws_base_url")


def _codex(scope: Scope, root: Node) -> Iterator[Finding]:
    """Codex: `model_provider`, `[model_providers.X]` with `base_url`, URLs, `notify`, `auth.json`.

    The keys are those of 0.171.0, each run (facts: Codex, sections 3 to 5).
    """
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
    for settings in [root, *_values(root.get("profiles"))]:
        for key in ("model_provider", "oss_provider"):
            chosen = settings.get(key)
            if chosen is not None and chosen.value not in known:
                yield scope.finding(
                    "RG302",
                    chosen,
                    key,
                    f"the model provider {chosen.value} is not the gateway",
                    fix='model_provider = "portkey", with [model_providers.portkey] base_url '
                    + written,
                )
        for key in _CODEX_URLS:
            url = settings.get(key)
            if url is not None and not is_gateway(url.value, policy):
                fix = f"{key} = {written}"
                yield leads_away(scope, url, key, url.value, "calls go to", fix)
    shell = root.get("shell_environment_policy", "set")
    yield from check_variables(scope.given_to("the agent's shell"), shell)
    yield from check_call(scope.given_to("the command"), None, root.get("notify"))
    if scope.file.name.lower() == "auth.json":
        yield from check_variables(scope, root)


_LOGINS = frozenset(("gemini-api-key", "gateway", ""))
_LOGIN_KEYS = (
    ("security", "auth", "selectedType"),
    ("security", "auth", "enforcedType"),
    ("selectedAuthType",),  # before 0.3
)


def _gemini(scope: Scope, root: Node) -> Iterator[Finding]:
    """Gemini CLI 0.61: which login it uses, and a router that sees every prompt (facts)."""
    for keys in _LOGIN_KEYS:
        chosen = root.get(*keys)
        if chosen is not None and chosen.kind == SCALAR and chosen.value not in _LOGINS:
            yield scope.finding(
                "RG302",
                chosen,
                ".".join(keys),
                f"the login {chosen.value} calls Google directly, not through the gateway",
                fix=f'"{keys[-1]}": "gemini-api-key"',
            )
    host = root.get("experimental", "gemmaModelRouter", "classifier", "host")
    if host is not None and not is_gateway(host.value, scope.policy):
        sends = "gemmaModelRouter sends every prompt to"
        yield leads_away(scope, host, "gemmaModelRouter", host.value, sends, "remove it")


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
        elif key.value == "set-env":
            yield from check_variables(scope, value)


DETECTOR = OtherAgents()
