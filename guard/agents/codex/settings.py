"""What a launch gives Codex as arguments, and what of the user's or a file's is against it.

`--config=KEY=VALUE` is a layer above the files of the system, the user, a profile and a project,
and below an administrator's `managed_config.toml`; the last one wins. `--disable=NAME` fails for a
name that Codex does not know, so a switch that is renamed does not open again. Each was tried on
0.171.0; the numbers are the cases of the facts. Hot-path module. Pure.
"""

from __future__ import annotations

from guard import paths
from guard.agents.codex import facts as read
from guard.files import toml as toml_reader
from guard.files.read import UnreadableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from guard.agents.codex.facts import Facts, Settings

SWITCHES = (
    # plugins and connectors bring servers and hosts of their own
    "apps",
    "plugins",
    "remote_plugin",
    # code (29, 30), and servers that a skill asks for
    "hooks",
    "skill_mcp_dependency_install",
    # two processes that outlive the launch, with its environment
    "daemon_auto_start",
    # an unreachable gateway would be asked without end
    "unbounded_connection_retries",
)
"""Features that a launch switches off."""

FORMER = "connectors"
"""The old name of `apps`: where settings have it, it wins over the new one (run). Codex warns of
it, so it is switched off only where it is named."""

NOWHERE = "https://routeguard.invalid"
"""Where a call would go that falls back to a built-in provider. `.invalid` never resolves (RFC
2606)."""

PINNED: dict[str, Any] = {
    # a stored login is not seen, and its file not touched. `forced_login_method` would delete it
    "cli_auth_credentials_store": "ephemeral",
    "openai_base_url": NOWHERE,
    "chatgpt_base_url": NOWHERE,
    # telemetry, with the prompt in it (38), is on without any setting, too
    "otel": {
        "exporter": "none",
        "trace_exporter": "none",
        "metrics_exporter": "none",
        "log_user_prompt": False,
    },
    "analytics.enabled": False,
    "feedback.enabled": False,
    "check_for_update_on_startup": False,
    "notify": [],
    # /etc/profile would put the shims out of PATH, and agents below this one past the guard (run)
    "allow_login_shell": False,
}
"""Settings that have the same value in every launch."""

_COMMANDS = "shell_environment_policy"
HIDDEN = f"{_COMMANDS}.exclude"
"""Patterns of variables that the commands of the agent do not get."""

CHOSEN = f"{_COMMANDS}.set"
"""Variables that the commands of the agent get."""
_ONLY = "include_only"

_FUNCTION = "BASH_FUNC_"
_RUN_FIRST = ("BASH_ENV", "ENV", "HOME", "LD_AUDIT", "LD_PRELOAD", "XDG_CONFIG_HOME", "ZDOTDIR")
"""Variables by which a file of a project would run in front of every command: bash reads `.bashrc`
below HOME there. It takes functions from those whose name begins with _FUNCTION (both run)."""

_ROUTE = "moves the route"
_LOGIN = "chooses another login"
_CODE = "starts a program of its own"
REFUSED = {
    **dict.fromkeys(
        (
            *("model_provider", "model_providers", "openai_base_url", "chatgpt_base_url"),
            *("oss_provider", "profile", "profiles"),
        ),
        ("RG302", _ROUTE),
    ),
    **dict.fromkeys(
        ("cli_auth_credentials_store", "forced_login_method", "forced_chatgpt_workspace_id"),
        ("RG302", _LOGIN),
    ),
    **dict.fromkeys(("mcp_servers", "hooks", "notify", "plugins"), ("RG301", _CODE)),
    "otel": ("RG302", "sends the prompt to a collector"),
}
"""First parts of keys that a `-c` of the user must not set: the rule, and what each does."""


def typed(values: Iterable[str]) -> list[tuple[str, str]]:
    """(key, value) of each `-c` in `values`, both as they are written.

    Codex splits at the first `=` and the key at its dots; it knows no quotes in a key (run), which
    are dropped here to see more than it does.
    """
    found = []
    for text in values:
        key, _, value = text.partition("=")
        found.append((key.replace('"', "").replace("'", "").strip(), value.strip()))
    return found


def typed_value(text: str) -> Any:
    """A value of `-c` as Codex takes it: TOML, and the text itself if it is none."""
    try:
        return toml_reader.parse(f"x = {text}").get("x")
    except UnreadableError:
        return text


def provider(base_url: str, key: str, headers: dict[str, str]) -> dict[str, Any]:
    """The provider's table: the key comes from the variable `key`, into a header."""
    table = {
        # with the name OpenAI it would behave as that
        "name": "Portkey",
        "base_url": base_url,
        "env_http_headers": {"x-portkey-api-key": key},
        "wire_api": "responses",
        "requires_openai_auth": False,
        "supports_websockets": False,
    }
    return {**table, "http_headers": headers} if headers else table


def servers(
    found: Facts, wanted: Collection[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Settings]]:
    """The table `mcp_servers` that closes all servers but those `wanted` of the user's own; and by
    name the files of projects that define one of these, which stays closed.

    A server is closed by its name (an empty table would close none: 27). Its address or command is
    given with it, because without a file that has one Codex does not start (run).
    """
    ways: dict[str, dict[str, Any]] = {}
    own: set[str] = set()
    taken: dict[str, Settings] = {}
    for one in found.of(*read.OWN, read.PROJECT):
        for name, entry in one.table("mcp_servers").items():
            known = entry if isinstance(entry, dict) else {}
            if not ways.get(name):
                url, command = "url" in known, "command" in known
                ways[name] = {"url": NOWHERE} if url else {"command": "false"} if command else {}
            if one.layer != read.PROJECT:
                own.add(name)
            elif name in own and name in wanted:
                taken[name] = one
    closed = {
        name: {**(way or {"command": "false"}), "enabled": False}
        for name, way in ways.items()
        if name not in own or name not in wanted or name in taken
    }
    return closed, taken


def hidden(found: Facts, *patterns: str) -> list[str]:
    """The value of HIDDEN: what the user hides from the agent's commands, and `patterns`."""
    named: list[Any] = []
    for one in (*found.of(*read.OWN), *_typed(found)):
        named += _list(one.table(_COMMANDS).get("exclude"))
    return list(dict.fromkeys((*(one for one in named if isinstance(one, str)), *patterns)))


def chosen(found: Facts, environ: Mapping[str, str]) -> dict[str, Any]:
    """By dotted keys what commands get in the place of what settings give them: the shims in front
    of the user's own `PATH`, or of that in `environ`, and no code of a project.

    A `PATH` of a project's settings took an agent that a command starts past the guard (run).
    """
    typed = [one.table(_COMMANDS) for one in _typed(found)]
    own = [one.table(_COMMANDS) for one in found.of(*read.OWN)] + typed
    theirs = [one.table(_COMMANDS) for one in found.of(read.PROJECT)]
    names = {
        name for name in _variables(theirs) if name in _RUN_FIRST or name.startswith(_FUNCTION)
    }
    tables = own + theirs
    if found.shims and ("PATH" in _variables(tables) or _said(tables, "inherit", "") == "none"):
        names.add("PATH")
    kept: dict[str, Any] = {}
    if names:
        mine = {**environ, **_variables(own)}
        values = {name: str(mine.get(name, "")) for name in sorted(names)}
        if "PATH" in values:
            values["PATH"] = paths.behind_shims(values["PATH"], found.shims)
        # it takes the place of all that was typed
        kept[CHOSEN] = {**_variables(typed), **values}
    if any(_ONLY in table for table in theirs):
        # without PATH in it a shell looks where it would without any; [] is all
        kept[f"{_COMMANDS}.{_ONLY}"] = _said(own, _ONLY, [])
    return kept


def _variables(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """What `tables` set, weakest first."""
    found: dict[str, Any] = {}
    for table in tables:
        values = table.get("set")
        found.update(values if isinstance(values, dict) else {})
    return found


def _said(tables: list[dict[str, Any]], key: str, default: Any) -> Any:
    """The value of `key` in the strongest of `tables`, weakest first."""
    for table in tables:
        default = table.get(key, default)
    return default


def _typed(found: Facts) -> list[Settings]:
    """Each `-c` as settings of its own, in their order."""
    layers = []
    for key, text in typed(found.invocation.values("--config")):
        value = typed_value(text)
        for part in reversed(key.split(".")):
            value = {part: value}
        layers.append(read.Settings("arguments", "command line", value))
    return layers


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def against(content: dict[str, Any], pinned: dict[str, Any]) -> list[str]:
    """The keys of `content`, an administrator's file, that would override `pinned`."""
    flat = {**pinned, **{f"features.{name}": False for name in (*SWITCHES, FORMER)}}
    for key in [*flat]:
        if key in ("mcp_servers", "model", "allow_login_shell") or key.startswith(_COMMANDS):
            # an administrator's choice, and it moves no route
            del flat[key]
    return [key for key, value in flat.items() if _differs(content, key.split("."), value)]


def demanded(content: dict[str, Any]) -> dict[str, Any]:
    """What the `content` of a `requirements.toml` sets over the arguments, as `against` reads it.

    A feature that it demands stays on in spite of `--disable`, and its `otel` sends prompts in
    spite of `-c` (both run on 0.171.0, the first under either name of its table).
    """
    features: dict[str, Any] = {}
    for name in ("feature_requirements", "features"):
        table = content.get(name)
        features.update(table if isinstance(table, dict) else {})
    if content.get("allow_managed_hooks_only") is True:
        # the administrator's own
        features.pop("hooks", None)
    return {**content, "features": features}


def _differs(content: Any, parts: list[str], value: Any) -> bool:
    for part in parts:
        if not isinstance(content, dict):
            return True
        if part not in content:
            return False
        content = content[part]
    if isinstance(value, dict) and isinstance(content, dict):
        return any(_differs(content, [key], inner) for key, inner in value.items())
    return bool(content != value)


def switches(found: Facts) -> tuple[str, ...]:
    """The features that a launch with these files and arguments switches off."""
    layers = [one.table("features") for one in found.settings]
    overrides = [key for key, _ in typed(found.invocation.values("--config"))]
    named = any(FORMER in table for table in layers) or any(
        key.startswith("features") for key in overrides
    )
    enabled = FORMER in found.invocation.values("--enable")
    return (*SWITCHES, FORMER) if named or enabled else SWITCHES


def words(pinned: dict[str, Any], switches: Iterable[str]) -> list[str]:
    """The arguments for `pinned`, each in one word, so that no option takes one for its value."""
    return [
        *(f"--disable={name}" for name in switches),
        *(f"--config={key}={toml(value)}" for key, value in pinned.items()),
    ]


def toml(value: Any) -> str:
    """`value` (text, truth, number, list or table) as TOML on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_key(key)}={toml(item)}" for key, item in value.items()) + "}"
    text = "".join(
        f"\\u{ord(c):04x}" if ord(c) < 0x20 or ord(c) == 0x7F else f"\\{c}" if c in '\\"' else c
        for c in str(value)
    )
    return f'"{text}"'


def _key(text: str) -> str:
    bare = text.replace("-", "").replace("_", "")
    return text if text.isascii() and bare.isalnum() else toml(text)
