"""What a launch gives Claude Code as `--settings` and `--managed-settings`.

Each key was tried on 2.1.332; the numbers are the cases of the facts. Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.claude_code.variables import QUIET
from guard.files import quick_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

ENVIRONMENT = {
    # further body fields, a model among them (64), and prompts to a telemetry collector (33)
    "CLAUDE_CODE_EXTRA_BODY": "",
    "CLAUDE_CODE_ENABLE_TELEMETRY": "0",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_LOG_USER_PROMPTS": "0",
    "OTEL_LOG_RAW_API_BODIES": "0",
    **QUIET,
}
"""The `env` of `--settings`: what the host switch does not cover, over every file but an
administrator's."""

CODE = (
    "BASH_ENV",
    "BUN_OPTIONS",
    "CLAUDE_CODE_SHELL",
    "CLAUDE_CODE_SHELL_PREFIX",
    "CLAUDE_CODE_TEAMMATE_COMMAND",
    "CLAUDE_ENV_FILE",
    "DYLD_INSERT_LIBRARIES",
    "ENV",
    # git converts the message of a commit with the library that the commit names (run: the git
    # that is started first loaded one of the project)
    "GCONV_PATH",
    "LD_AUDIT",
    "LD_PRELOAD",
)
"""Variables that choose which program or code runs, and that few people set."""

TRACES = (
    "GIT_TRACE",
    "GIT_TRACE2",
    "GIT_TRACE2_ENV_VARS",
    "GIT_TRACE2_EVENT",
    "GIT_TRACE2_PERF",
    "GIT_TRACE_CURL",
    "GIT_TRACE_FSMONITOR",
    "GIT_TRACE_PACKET",
    "GIT_TRACE_PACKFILE",
    "GIT_TRACE_PACK_ACCESS",
    "GIT_TRACE_PERFORMANCE",
    "GIT_TRACE_REFS",
    "GIT_TRACE_SETUP",
    "GIT_TRACE_SHALLOW",
)
"""Variables by which git writes what it does to any file or socket, with the values of variables
that one of them names: with those of a project, the gateway key (run)."""

PROGRAMS = (
    *CODE,
    *TRACES,
    "DYLD_LIBRARY_PATH",
    "GIT_CONFIG_PARAMETERS",
    "GIT_EXEC_PATH",
    "LD_LIBRARY_PATH",
    "NODE_OPTIONS",
    "PATH",
    "SHELL",
    # tmux, which is asked for the pane, hands its whole environment to the socket there (run)
    "TMUX",
    "TMUX_TMPDIR",
)
"""The same with those that people set, and with what hands the environment of a program on. All of
them are the same empty as not set.

The `env` of a trusted project ran its own `ps`, `tmux` and shell by `PATH` and `CLAUDE_CODE_SHELL`
as soon as a session in a terminal began (run). `--settings` puts the launch's own values back;
its `PATH` begins with the shims, so agents below this one stay guarded."""

HELPERS = (
    "apiKeyHelper",
    "awsAuthRefresh",
    "awsCredentialExport",
    "gcpAuthRefresh",
    "otelHeadersHelper",
    "proxyAuthHelper",
)
"""Settings that run a program for a credential. With `--bare` the `apiKeyHelper` of `--settings`
ran in spite of the host switch, with the gateway key in its environment (run)."""

NO_HELPER = "the key is the gateway's, and no other program is asked for one"


def without_helper(name: str) -> str:
    """What to do about the helper `name` in settings."""
    return f"take {name} out of these settings"


SHOWN_BY = ("fileSuggestion", "statusLine", "subagentStatusLine")
"""Settings that start a program of a project where hooks are not off (run in a terminal)."""

_NOTHING = {"type": "command", "command": ""}
"""In place of one of SHOWN_BY: Claude Code does as if there were none."""

RESTRICTIONS: dict[str, Any] = {
    # code: hooks (18, 19, 20), plugins (25), shell in skills (26, 27)
    "allowManagedHooksOnly": True,
    "disableAllHooks": True,
    "allowedHttpHookUrls": [],
    "httpHookAllowedEnvVars": [],
    "strictKnownMarketplaces": [],
    "strictPluginOnlyCustomization": ["hooks", "mcp"],
    "disableSkillShellExecution": True,
    "disableCommandPluginSources": True,
    "disableSideloadFlags": True,
    # other servers: MCP (22, 23, 24, 61), remote control, connectors
    "allowedMcpServers": [],
    "allowManagedMcpServersOnly": True,
    "disableRemoteControl": True,
    "disableAgentView": True,
    "disableClaudeAiConnectors": True,
    "disableArtifact": True,
}
"""`--managed-settings`: only what restricts counts there, over every settings file.

It holds with all of an administrator's file or with none of it, see `planner`."""


_FOR_HOOKS = ("allowManagedHooksOnly", "disableAllHooks")
FOR_OWN = "disableSideloadFlags"
"""What is left out of RESTRICTIONS where the user's own hooks, or either of both, are handed over.
What else comes on the command line is refused by `grammar`."""


def settings(own: dict[str, Any], environ: Mapping[str, str], plugin: str = "") -> str:
    """The text for `--settings`: `own`, which the user gave as one, with ours over it.

    `environ` is what the agent starts with, `plugin` what holds the user's hooks, "" for nothing.
    A project could switch off hooks, or that plugin, and with it what the user guards (run).
    """
    named = own.get("env")
    plugins = own.get("enabledPlugins")
    held: dict[str, Any] = {"disableAllHooks": True}
    if plugin:
        known = plugins if isinstance(plugins, dict) else {}
        held = {
            "disableAllHooks": False,
            "enabledPlugins": {**known, f"{plugin}@inline": True},
            **dict.fromkeys(SHOWN_BY, _NOTHING),
        }
    content = {
        **{key: value for key, value in own.items() if key not in HELPERS},
        "skipWebFetchPreflight": True,
        # in a tmux pane an agent has the environment of the tmux server
        "teammateMode": "in-process",
        **held,
        "env": {
            **(named if isinstance(named, dict) else {}),
            **_programs(environ),
            **ENVIRONMENT,
        },
    }
    return quick_json.dumps(content, ",", ":")


def _programs(environ: Mapping[str, str]) -> dict[str, str]:
    own = {name: environ.get(name, "") for name in PROGRAMS}
    own["GIT_CONFIG_COUNT"] = environ.get("GIT_CONFIG_COUNT", "0")
    home = environ.get("HOME", "")
    if home:
        # where shells and git find the files they run; empty would be another place
        own["HOME"] = home
        own["XDG_CONFIG_HOME"] = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
        own["ZDOTDIR"] = environ.get("ZDOTDIR") or home
    return own


def limits(models: Sequence[str]) -> dict[str, Any]:
    """What holds Claude Code to `models`, nothing where there are none.

    In the place of another one, whoever names it (`--model`, a variable, a project's settings with
    a list of their own, `modelOverrides`, an agent file), it asks for the first of them and says
    "restricted by your organization's settings"; for an alias of a listed model (`sonnet`), for
    that model's dated release (run with `--managed-settings`, and in an administrator's file).
    """
    return {"availableModels": [*models], "enforceAvailableModels": True} if models else {}


def restrictions(
    servers: list[dict[str, Any]], plugin: str = "", models: Sequence[str] = ()
) -> str:
    """The text for `--managed-settings`, with the `servers` and the `plugin` that are let in, and
    the only `models` that may be asked for."""
    content = {**RESTRICTIONS, "allowedMcpServers": servers, **limits(models)}
    for key in (*_FOR_HOOKS * bool(plugin), *(FOR_OWN,) * bool(plugin or servers)):
        del content[key]
    return quick_json.dumps(content, ",", ":")
