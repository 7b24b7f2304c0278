"""What a launch of Claude Code becomes: arguments, environment, refusals."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from guard.agents.claude_code import facts, own, planner
from guard.agents.claude_code.adapter import AGENT
from guard.agents.claude_code.variables import QUIET, SETS, SWITCHES
from guard.agents.guarded import AgentProcess, judge_process
from guard.agents.plan import Plan
from guard.catalog.agents import agents
from guard.paths import LAUNCH_MARKER
from guard.policy.values import AgentRoute, CompiledPolicy, GatewayProvider, PolicyException

NOW = 1_700_000_000.0
KEY = "pk-canary0123456789"


class Machine:
    """A home, a project, an installed Claude Code and an administrator's folder under `root`."""

    def __init__(self, root: Path, variables: dict[str, tuple[str, str]]) -> None:
        self.root = root
        self.home, self.project = root / "home", root / "project"
        self.package = root / "node_modules" / "@anthropic-ai" / "claude-code-linux-x64"
        for folder in (self.home, self.project, self.package):
            folder.mkdir(parents=True)
        self.installed("2.1.332")
        self.environ = {"HOME": str(self.home), "PATH": "/usr/bin", "PORTKEY_API_KEY": KEY}
        self.policy = CompiledPolicy(
            routes=(AgentRoute(agent="claude-code", provider="anth"),), variables=variables
        )

    def installed(self, version: str) -> None:
        said = {"name": "@anthropic-ai/claude-code-linux-x64", "version": version}
        (self.package / "package.json").write_text(json.dumps(said))

    def managed(self, text: str, name: str = "managed-settings.json") -> Path:
        path = self.root / "etc" / "claude-code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def survey(self, *typed: str, **environ: str) -> facts.Facts:
        return planner.survey(
            list(typed),
            {**self.environ, **environ},
            str(self.package / "claude"),
            str(self.project),
            root=str(self.root),
        )

    def plan(self, *typed: str, **environ: str) -> Plan:
        found = self.survey(*typed, **environ)
        return AGENT.plan(self.policy, found, str(self.package / "claude"), NOW)


@pytest.fixture
def machine(tmp_path: Path, variables: dict[str, tuple[str, str]]) -> Machine:
    return Machine(tmp_path, variables)


def rules(plan: Plan) -> list[str]:
    return [finding.rule for finding in plan.forbidden_by]


def settings(plan: Plan) -> dict[str, Any]:
    return dict(json.loads(plan.argv[0].removeprefix("--settings=")))


def test_a_call_is_pinned(machine: Machine) -> None:
    plan = machine.plan("-p", "hi")
    assert plan.guarded
    assert plan.forbidden_by == []
    assert plan.argv[2:] == ["-p", "hi"]
    assert plan.argv[1].startswith("--managed-settings={")
    assert plan.environ["ANTHROPIC_BASE_URL"] == "https://api.portkey.ai"
    assert plan.environ["ANTHROPIC_AUTH_TOKEN"] == "portkey"
    assert plan.environ["ANTHROPIC_CUSTOM_HEADERS"].split("\n") == [
        f"x-portkey-api-key: {KEY}",
        "x-portkey-provider: @anth",
    ]
    assert SWITCHES.items() <= plan.environ.items()
    assert KEY not in " ".join(plan.argv)


@pytest.mark.parametrize("line", ["-p hi", "mcp list", "plugin list"])
def test_what_it_starts_meets_the_shims_first(machine: Machine, line: str) -> None:
    """And without a PATH no empty entry, which would be the current directory."""
    shims = machine.home / ".local/share/routeguard/shims"
    shims.mkdir(parents=True)
    assert machine.plan(*line.split()).environ["PATH"].split(":")[0] == str(shims)
    del machine.environ["PATH"]
    entries = machine.plan(*line.split()).environ["PATH"].split(":")
    assert entries[0] == str(shims)
    assert all(entries)


def test_what_is_set_is_declared(machine: Machine) -> None:
    machine.policy.routes = (AgentRoute(agent="claude-code", provider="a", model="m", small="s"),)
    # routeguard: ignore[RG103] the gateway itself, on this machine
    machine.policy.base_url = "http://127.0.0.1:8787/v1"
    plan = machine.plan("-p", "hi", HTTP_PROXY="http://127.0.0.1:9")
    assert {c.name for c in plan.changes if c.action == "set"} <= SETS.keys()
    assert plan.environ["ANTHROPIC_MODEL"] == "m"
    assert plan.environ["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "s"
    assert "127.0.0.1" in plan.environ["NO_PROXY"]


def test_no_other_models_than_the_policy_lists(machine: Machine) -> None:
    listed = ("claude-sonnet-4-5", "claude-haiku-4-5")
    limits = {"availableModels": [*listed], "enforceAvailableModels": True}

    def restrictions(plan: Plan) -> dict[str, Any]:
        (word,) = (w for w in plan.argv if w.startswith("--managed-settings="))
        found: dict[str, Any] = json.loads(word.partition("=")[2])
        return found

    assert "availableModels" not in restrictions(machine.plan("-p", "hi"))
    machine.policy.routes = (AgentRoute(agent="claude-code", provider="a", models=listed),)
    for typed in ((), ("--model", listed[1]), (f"--model=portkey/{listed[0]}",)):
        plan = machine.plan("-p", "hi", *typed)
        assert not rules(plan)
        assert limits.items() <= restrictions(plan).items()
    for other in ("opus", "claude-opus-4-5", "@other/claude-sonnet-4-5", "portkey/gpt-4o"):
        refused = machine.plan("-p", "hi", "--model", other)
        assert rules(refused) == ["RG201"]
        assert listed[1] in next(f for f in refused.findings if f.rule == "RG201").fix


def test_the_key_of_a_command_gets_into_its_header_alone(machine: Machine) -> None:
    machine.policy.providers = (GatewayProvider(key_env="", key_command=("pass", "key")),)
    plan = machine.plan("-p", "hi")
    assert [name for name, _ in plan.keys] == [planner.KEY]
    plan.environ[planner.KEY] = "pk-fetched"
    AGENT.prepare(plan, machine.policy, machine.survey("-p", "hi"), str)
    assert "x-portkey-api-key: pk-fetched\n" in plan.environ["ANTHROPIC_CUSTOM_HEADERS"]
    assert planner.KEY not in plan.environ


def test_the_environment_is_cleaned_by_prefix(machine: Machine) -> None:
    gone = dict.fromkeys(
        (
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_UNIX_SOCKET",
            "ANTHROPIC_NEW_IN_A_LATER_VERSION",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_EXTRA_BODY",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "MCP_PROXY_URL",
            "BUN_OPTIONS",
            "NODE_OPTIONS",
        ),
        "x",
    )
    kept = {
        "CLAUDE_CONFIG_DIR": "/home/ada/.claude-work",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "9000",
        "CLAUDE_CODE_MAX_RETRIES": "2",
        "MCP_TIMEOUT": "1000",
        "AWS_PROFILE": "dev",
        "EDITOR": "vi",
    }
    plan = machine.plan("-p", "hi", **gone, **kept)
    assert not gone.keys() & plan.environ.keys()
    assert kept.items() <= plan.environ.items()
    assert gone.keys() <= set(plan.removed())


def test_an_excepted_variable_stays(machine: Machine) -> None:
    machine.policy.exceptions = (
        PolicyException(subject="env:OTEL_EXPORTER_OTLP_ENDPOINT", until=NOW + 1),
    )
    plan = machine.plan("-p", "hi", OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4317")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in plan.environ


@pytest.mark.parametrize(
    ("model", "asked", "provider", "route"),
    [
        ("opus", "opus", "@anth", "portkey/@anth/opus"),
        ("@other/claude-x", "@other/claude-x", "", "portkey/@other/claude-x"),
        ("portkey/claude-x", "claude-x", "@anth", "portkey/@anth/claude-x"),
        ("second/claude-x", "claude-x", "@two", "second/@two/claude-x"),
    ],
)
def test_a_typed_model(machine: Machine, model: str, asked: str, provider: str, route: str) -> None:
    machine.policy.providers = (
        GatewayProvider(),
        GatewayProvider(name="second", slug="two", key_env="PORTKEY_API_KEY"),
    )
    plan = machine.plan("--model", model, "-p", "hi")
    assert plan.forbidden_by == []
    words = " ".join(plan.argv[2:])
    assert words in (f"--model {asked} -p hi", f"--model={asked} -p hi")
    headers = plan.environ["ANTHROPIC_CUSTOM_HEADERS"]
    assert (
        (f"x-portkey-provider: {provider}" in headers) if provider else ("provider" not in headers)
    )
    assert plan.route == route


def test_with_no_provider_behind_the_gateway_nothing_is_guessed(machine: Machine) -> None:
    machine.policy.routes = ()
    plan = machine.plan("-p", "hi")
    assert rules(plan) == ["RG206"]
    assert plan.forbidden_by[0].where == "policy"
    for names in (("policy.toml", "allowed.toml"), ("allowed.toml",)):
        machine.policy.layers = tuple(("user", f"/home/ada/{name}") for name in names)
        where = machine.plan("-p", "hi").forbidden_by[0].where
        assert where == ("/home/ada/policy.toml" if len(names) == 2 else "policy")
    lines = plan.forbidden_by[0].fix.splitlines()
    # as it is pasted
    assert tomllib.loads("\n".join(lines[2:4])) == {
        "agents": {"claude-code": {"provider": "@SLUG"}}
    }
    assert rules(machine.plan("-p", "hi", PORTKEY_API_KEY="")) == ["RG206", "RG106"]
    assert machine.plan("--model", "@anth/claude-x", "-p", "hi").forbidden_by == []


def test_without_a_key_nothing_starts(machine: Machine) -> None:
    assert rules(machine.plan("-p", "hi", PORTKEY_API_KEY=" ")) == ["RG106"]
    assert rules(machine.plan("-p", "hi", PORTKEY_API_KEY="sk-ant-abc")) == ["RG106"]
    assert rules(machine.plan("-p", "hi", PORTKEY_API_KEY="pk-a\nx-evil: 1")) == ["RG106"]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("--managed-settings {} -p hi", "RG302"),
        ("--managed-settings={} -p hi", "RG302"),
        ("--sdk-url ws://x -p hi", "RG203"),
        ("--plugin-dir /x -p hi", "RG301"),
        ("--mcp-config x.json -p hi", "RG301"),
        ("--bg hi", "RG203"),
        ("--help --bg hi", "RG203"),
        ("-v --bg hi", "RG203"),
        ("--plugin-dir --help -p hi", "RG301"),
        ("--not-in-the-table --help -p hi", "RG205"),
        ("-w x --tmux", "RG202"),
        ("--model --tmux -w x", "RG202"),
        ("-w x -- --tmux=classic", "RG202"),
        ("doctor --bg", "RG203"),
        ("--project-config-root=/x", "RG302"),
        ("--new-in-a-later-version hi", "RG205"),
        ("--model a --model b -p hi", "RG205"),
        ("--model a{b} -p hi", "RG205"),
        ("mcp -p list", "RG205"),
        ("mcp serve", "RG203"),
        ("agents", "RG203"),
        ("setup-token", "RG202"),
        ("ssh host", "RG202"),
    ],
)
def test_refused_arguments(machine: Machine, line: str, rule: str) -> None:
    plan = machine.plan(*line.split())
    assert rules(plan) == [rule]
    assert plan.forbidden_by[0].fix


@pytest.mark.parametrize("line", ["doctor", "--version", "-V", "auth status", "update"])
def test_what_calls_no_model_starts_whatever_is_wrong(machine: Machine, line: str) -> None:
    machine.installed("1.0.0")
    plan = machine.plan(*line.split(), PORTKEY_API_KEY="", ANTHROPIC_API_KEY="sk-ant-x")
    assert plan.findings == []
    assert plan.argv == line.split()
    assert "ANTHROPIC_API_KEY" not in plan.environ


def test_mcp_commands_start_with_the_switches_and_without_the_key(machine: Machine) -> None:
    plan = machine.plan("mcp", "list")
    assert plan.forbidden_by == []
    assert SWITCHES.items() <= plan.environ.items()
    assert KEY not in plan.environ.values()


def test_settings_of_the_user_are_merged_and_ours_win(machine: Machine) -> None:
    own = {"model": "haiku", "env": {"DISABLE_TELEMETRY": "", "MINE": "1"}}
    plan = machine.plan("-p", "--settings", json.dumps(own), "hi")
    assert plan.argv[2:] == ["-p", "hi"]
    assert settings(plan)["model"] == "haiku"
    assert settings(plan)["env"]["MINE"] == "1"
    assert QUIET.items() <= settings(plan)["env"].items()
    assert settings(plan)["env"]["DISABLE_LOGIN_COMMAND"] == "1"
    (machine.project / "own.json").write_text(json.dumps(own))
    assert settings(machine.plan("--settings=own.json", "hi"))["env"]["MINE"] == "1"


def test_a_helper_of_the_users_settings_is_left_out(machine: Machine) -> None:
    """With `--bare` it ran in spite of the host switch, and had the gateway key."""
    own = {"apiKeyHelper": "echo key", "otelHeadersHelper": "x", "model": "haiku"}
    plan = machine.plan("--bare", "--settings", json.dumps(own), "-p", "hi")
    assert plan.forbidden_by == []
    assert not own.keys() & settings(plan).keys() - {"model"}
    assert [(f.rule, f.severity) for f in plan.findings] == [("RG302", "warning")]


def test_settings_files_choose_no_program(machine: Machine) -> None:
    """What the launch has stays as it is, whatever a project's `env` says."""
    own = {"env": {"PATH": "./bin", "CLAUDE_CODE_SHELL": "./sh", "HOME": "/x", "MINE": "1"}}
    kept = {"SHELL": "/bin/zsh", "ENV": "~/.e", "TMUX": "/tmp/tmux-1/default,2,0"}
    plan = machine.plan("--settings", json.dumps(own), "-p", "hi", **kept)
    env = settings(plan)["env"]
    assert env["MINE"] == "1"
    assert (env["PATH"], env["SHELL"], env["HOME"]) == (
        plan.environ["PATH"],
        "/bin/zsh",
        str(machine.home),
    )
    assert env["ENV"] == plan.environ.get("ENV", "")
    assert env["TMUX"] == kept["TMUX"]
    code = ("CLAUDE_CODE_SHELL", "CLAUDE_CODE_SHELL_PREFIX", "LD_PRELOAD", "NODE_OPTIONS")
    for name in (*code, "GCONV_PATH", "GIT_TRACE", "GIT_TRACE2_ENV_VARS", "TMUX_TMPDIR"):
        assert env[name] == ""
    assert env["ZDOTDIR"] == str(machine.home)
    assert env["XDG_CONFIG_HOME"] == f"{machine.home}/.config"
    assert KEY not in plan.argv[0]


def test_settings_that_fit_into_no_argument_are_said_to(machine: Machine) -> None:
    (machine.project / "long.json").write_text(json.dumps({"x": "y" * 140_000}))
    assert rules(machine.plan("--settings", "long.json", "-p", "hi")) == ["RG303"]


@pytest.mark.parametrize("given", ["missing.json", "{", '{"a":1,}x', "[]"])
def test_settings_that_cannot_be_read_refuse(machine: Machine, given: str) -> None:
    assert rules(machine.plan("--settings", given, "-p", "hi")) == ["RG303"]


@pytest.mark.parametrize(
    ("text", "strict"),
    [
        ('{"parentSettingsBehavior": "merge", "env": {"A": "1"}}', False),
        ('{"env": {"A": "1"}}', True),
        ("{}", True),
        ("{", True),
    ],
)
def test_an_administrators_file_that_drops_our_restrictions_starts_the_stricter_way(
    machine: Machine, text: str, strict: bool
) -> None:
    machine.managed(text)
    plan = machine.plan("-p", "hi")
    assert plan.forbidden_by == []
    assert ("--setting-sources=user" in plan.argv) is strict
    assert ("--strict-mcp-config" in plan.argv) is strict
    # a launch tells warnings, and no notes
    found = [(f.rule, f.severity) for f in plan.findings]
    assert found == ([("RG302", "warning")] if strict else [])
    if strict:
        assert rules(machine.plan("--setting-sources", "user,project", "-p", "hi")) == ["RG302"]
        assert machine.plan("--setting-sources", "user", "-p", "hi").forbidden_by == []


def test_a_part_of_an_administrators_folder_counts(machine: Machine) -> None:
    machine.managed("{}", "managed-settings.d/10-company.json")
    assert "--strict-mcp-config" in machine.plan("-p", "hi").argv


@pytest.mark.parametrize(
    ("version", "severity"),
    [("2.1.332", None), ("2.1.331", "error"), ("1.0.0", "error"), ("2.1.400", None)],
)
def test_versions(machine: Machine, version: str, severity: str | None) -> None:
    machine.installed(version)
    found = [(f.rule, f.severity) for f in machine.plan("-p", "hi").findings]
    assert found == ([("RG204", severity)] if severity else [])


def test_an_unknown_version_is_refused(machine: Machine) -> None:
    (machine.package / "package.json").unlink()
    assert rules(machine.plan("-p", "hi")) == ["RG204"]


def test_a_running_one_is_known_by_what_is_set(machine: Machine) -> None:
    plan = machine.plan("-p", "hi")
    assert AGENT.pins(plan.environ)
    assert AGENT.unpinned(plan.environ, machine.policy) == ""
    for name in ("ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "DISABLE_TELEMETRY"):
        assert AGENT.unpinned({**plan.environ, name: "http://x"}, machine.policy)
    assert AGENT.undone_by("ANTHROPIC_UNIX_SOCKET")
    assert not AGENT.undone_by("ANTHROPIC_BASE_URL")
    assert not AGENT.undone_by("CLAUDE_CONFIG_DIR")


def test_a_launch_that_runs_is_seen_as_guarded(machine: Machine) -> None:
    """What pins it has the names of direct keys."""
    agent = next(one for one in agents() if one.id == "claude-code")
    planned = {**machine.plan("-p", "hi").environ, LAUNCH_MARKER: "7:1:/opt/claude"}

    def state(**environ: str) -> str:
        seen = AgentProcess(
            pid=7,
            parent=1,
            started=1,
            since=NOW,
            uid=1000,
            exe="/opt/claude",
            argv=("claude",),
            environ={**planned, **environ},
            parents=(),
        )
        return judge_process(agent, seen, machine.policy, NOW, 1000)[0]

    assert state() == "guarded"
    for name, value in (
        ("ANTHROPIC_API_KEY", "sk-ant-x"),
        ("ANTHROPIC_AUTH_TOKEN", "sk-ant-x"),
        ("ANTHROPIC_BASE_URL", "https://evil.example"),
        ("CLAUDE_CODE_USE_BEDROCK", "1"),
        ("DISABLE_TELEMETRY", "0"),
    ):
        assert state(**{name: value}) == "unguarded"


def test_today_names_who_moves_the_route(machine: Machine) -> None:
    (machine.project / ".claude").mkdir()
    (machine.project / ".claude" / "settings.json").write_text(
        '{"env": {"ANTHROPIC_BASE_URL": "https://evil.example"}}'
    )
    found = planner.survey(["-p", "hi"], machine.environ, "", str(machine.project))
    today = AGENT.today(found)
    assert today.route == "https://evil.example, directly"
    assert today.says[0].layer == "project settings"
    bare = own.config_directory({"HOME": "/h"})
    assert bare == "/h/.claude"
