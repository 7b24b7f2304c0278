"""What a launch of Codex becomes: arguments, environment, refusals."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.agents.codex import facts as read
from guard.agents.codex import planner, settings
from guard.agents.codex.adapter import AGENT
from guard.agents.codex.variables import KEY, SETS
from guard.agents.guarded import AgentProcess, judge_process
from guard.agents.plan import Plan
from guard.catalog.agents import agents
from guard.paths import LAUNCH_MARKER
from guard.policy.values import AgentRoute, CompiledPolicy, GatewayProvider, PolicyException

NOW = 1_700_000_000.0
SECRET = "pk-canary0123456789"


class Machine:
    """A home, a project, an installed Codex and an administrator's folder under `root`."""

    def __init__(self, root: Path, variables: dict[str, tuple[str, str]]) -> None:
        self.root = root
        self.home, self.project = root / "home", root / "project"
        self.package = root / "node_modules" / "@openai" / "codex"
        self.script = self.package / "bin" / "codex.js"
        for folder in (self.home / ".codex", self.project / ".git", self.script.parent):
            folder.mkdir(parents=True)
        self.script.write_text("#!/usr/bin/env node\n")
        self.installed("0.171.0")
        self.environ = {"HOME": str(self.home), "PATH": "/usr/bin", "PORTKEY_API_KEY": SECRET}
        self.policy = CompiledPolicy(
            routes=(AgentRoute(agent="codex", provider="oai"),), variables=variables
        )

    def installed(self, version: str) -> None:
        said = {"name": "@openai/codex", "version": version}
        (self.package / "package.json").write_text(json.dumps(said))

    def write(self, path: str, text: str) -> Path:
        """Write a file below `root`."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def plan(self, *typed: str, cwd: Path | None = None, **environ: str) -> Plan:
        found = planner.survey(
            list(typed),
            {**self.environ, **environ},
            str(self.script),
            str(cwd or self.project),
            write=True,
            root=str(self.root),
        )
        return AGENT.plan(self.policy, found, str(self.script), NOW)


@pytest.fixture
def machine(tmp_path: Path, variables: dict[str, tuple[str, str]]) -> Machine:
    return Machine(tmp_path, variables)


def rules(plan: Plan) -> list[str]:
    return [finding.rule for finding in plan.forbidden_by]


def pinned(plan: Plan) -> dict[str, Any]:
    """The value of each of the launch's own settings, by its key; the last one counts."""
    found = settings.typed(
        word.removeprefix("--config=") for word in plan.argv if word.startswith("--config=")
    )
    return {key: settings.typed_value(value) for key, value in found}


def provider(plan: Plan) -> dict[str, Any]:
    found = pinned(plan)
    table: dict[str, Any] = found[f"model_providers.{found['model_provider']}"]
    return table


def key_variable(plan: Plan) -> str:
    (name,) = (name for name in plan.environ if name.startswith(KEY))
    return name


def test_a_call_is_pinned(machine: Machine) -> None:
    plan = machine.plan("exec", "hi")
    assert plan.guarded
    assert plan.forbidden_by == []
    assert plan.argv[:2] == ["exec", "hi"]
    name = key_variable(plan)
    assert provider(plan) == {
        "name": "Portkey",
        "base_url": "https://api.portkey.ai/v1",
        "env_http_headers": {"x-portkey-api-key": name},
        "http_headers": {"x-portkey-provider": "@oai"},
        "wire_api": "responses",
        "requires_openai_auth": False,
        "supports_websockets": False,
    }
    assert plan.environ[name] == SECRET
    assert "PORTKEY_API_KEY" not in plan.environ
    assert SECRET not in " ".join(plan.argv)
    assert settings.PINNED.items() <= pinned(plan).items()
    assert {f"--disable={name}" for name in settings.SWITCHES} <= set(plan.argv)
    assert "model" not in pinned(plan)
    assert pinned(plan)["shell_environment_policy.exclude"] == [f"{KEY}*"]


def test_the_key_has_a_new_name_in_each_launch_and_the_provider_keeps_its_own(
    machine: Machine,
) -> None:
    """A session is found again by the provider's id; nothing can ask for the key by its name."""
    plans = [machine.plan("exec", "hi") for _ in range(2)]
    assert key_variable(plans[0]) != key_variable(plans[1])
    first, second = (pinned(plan)["model_provider"] for plan in plans)
    assert first == second
    assert len(first.removeprefix(planner.PROVIDER)) == 10
    assert "x" * 10 not in first


def test_a_plan_that_is_only_shown_leaves_no_trace(machine: Machine) -> None:
    before = sorted(machine.root.rglob("*"))
    found = planner.survey(
        ["exec", "hi"], machine.environ, str(machine.script), str(machine.project), write=False
    )
    AGENT.plan(machine.policy, found, str(machine.script), NOW)
    assert sorted(machine.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("typed", "before"),
    [
        ("exec hi", "exec hi"),
        ("exec -- hi --oss", "exec"),
        ("exec resume --last -- -c model_provider=x", "exec resume --last"),
        ("-- mcp list", ""),
    ],
)
def test_the_pin_stands_last_and_before_the_separator(
    machine: Machine, typed: str, before: str
) -> None:
    plan = machine.plan(*typed.split())
    assert plan.forbidden_by == []
    front, _, rest = typed.partition(" -- ") if " -- " in typed else typed.partition("-- ")
    end = plan.argv.index("--") if "--" in plan.argv else len(plan.argv)
    assert plan.argv[: len(before.split())] == before.split()
    own = plan.argv[len(front.split()) : end]
    assert all(word.startswith(("--config=", "--disable=", "--no-daemon")) for word in own)
    assert plan.argv[end + 1 :] == rest.split() if "--" in plan.argv else True


@pytest.mark.parametrize("line", ["", "hi", "resume --last", "fork x", "agents"])
def test_a_screen_starts_no_background_service(machine: Machine, line: str) -> None:
    plan = machine.plan(*line.split())
    assert plan.argv.count("--no-daemon") == 1
    assert machine.plan("--no-daemon", *line.split()).argv.count("--no-daemon") == 1
    assert "--no-daemon" not in machine.plan("exec", "hi").argv


def test_the_native_program_is_started(machine: Machine) -> None:
    """npm's script runs in Node, which loads what NODE_OPTIONS names."""
    assert machine.plan("exec", "hi").program == str(machine.script)
    known = read._TRIPLES[("linux", os.uname().machine)]
    binary = machine.write(f"node_modules/@openai/codex-{known[0]}/vendor/{known[1]}/bin/codex", "")
    binary.chmod(0o755)
    assert machine.plan("exec", "hi", NODE_OPTIONS="--require x").program == str(binary)
    assert "NODE_OPTIONS" not in machine.plan("exec", "hi", NODE_OPTIONS="x").environ
    link = machine.root / "codex"
    link.symlink_to(machine.script)
    assert read.native(str(link)) == str(binary)
    # what updates itself has to know how it was installed
    assert machine.plan("update").program == str(machine.script)


def test_what_is_set_is_declared(machine: Machine) -> None:
    # routeguard: ignore[RG103] the gateway itself, on this machine
    machine.policy.base_url = "http://127.0.0.1:8787/v1"
    plan = machine.plan("exec", "hi", HTTP_PROXY="http://127.0.0.1:9")
    names = {c.name for c in plan.changes if c.action == "set"}
    assert {KEY if name.startswith(KEY) else name for name in names} <= SETS.keys()
    assert "127.0.0.1" in plan.environ["NO_PROXY"]


def test_the_key_of_a_command_comes_under_the_same_name(machine: Machine) -> None:
    machine.policy.providers = (GatewayProvider(key_env="", key_command=("pass", "key")),)
    plan = machine.plan("exec", "hi")
    ((variable, entry),) = plan.keys
    assert provider(plan)["env_http_headers"] == {"x-portkey-api-key": variable}
    assert entry.key_command == ("pass", "key")


def test_the_environment_is_cleaned_by_prefix(machine: Machine) -> None:
    gone = dict.fromkeys(
        (
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "OPENAI_ORGANIZATION",
            "OPENAI_NEW_IN_A_LATER_VERSION",
            "CODEX_API_KEY",
            "CODEX_ACCESS_TOKEN",
            "CODEX_OSS_BASE_URL",
            "CODEX_EXEC_SERVER_URL",
            "CODEX_CA_CERTIFICATE",
            "SSL_CERT_FILE",
            "LD_PRELOAD",
        ),
        "x",
    )
    kept = {"CODEX_HOME": str(machine.home / "other"), "AWS_PROFILE": "dev", "EDITOR": "vi"}
    plan = machine.plan("exec", "hi", **gone, **kept)
    assert not gone.keys() & plan.environ.keys()
    assert kept.items() <= plan.environ.items()
    assert gone.keys() <= set(plan.removed())
    machine.policy.exceptions = (PolicyException(subject="env:CODEX_API_KEY", until=NOW + 1),)
    assert "CODEX_API_KEY" in machine.plan("exec", "hi", CODEX_API_KEY="x").environ


@pytest.mark.parametrize(
    ("words", "asked", "provided", "route"),
    [
        (["-m", "gpt-5.5"], "-m gpt-5.5", "@oai", "portkey/@oai/gpt-5.5"),
        (["-m", "@other/m"], "-m @other/m", "", "portkey/@other/m"),
        (["--model=portkey/m"], "--model=m", "@oai", "portkey/@oai/m"),
        (["-msecond/m"], "--model=m", "@two", "second/@two/m"),
        (["-c", 'model="second/m"'], '-c model="second/m"', "@two", "second/@two/m"),
    ],
)
def test_a_typed_model(
    machine: Machine, words: list[str], asked: str, provided: str, route: str
) -> None:
    machine.policy.providers = (
        GatewayProvider(),
        GatewayProvider(name="second", slug="two", key_env="PORTKEY_API_KEY"),
    )
    plan = machine.plan("exec", *words, "hi", "--", "text")
    assert plan.forbidden_by == []
    shown = asked.split()
    assert plan.argv[1 : 2 + len(shown)] == [*shown, "hi"]
    assert plan.argv[-2:] == ["--", "text"]
    headers = provider(plan).get("http_headers", {})
    assert headers == ({"x-portkey-provider": provided} if provided else {})
    assert plan.route == route
    assert pinned(plan).get("model", "m") == "m"


def test_the_models_of_the_policy(machine: Machine) -> None:
    machine.policy.routes = (AgentRoute(agent="codex", provider="a", model="m"),)
    assert pinned(machine.plan("exec", "hi"))["model"] == "m"
    assert "model" not in pinned(machine.plan("exec", "-m", "x", "hi"))
    assert rules(machine.plan("exec", "-m", "a", "-c", "model=b", "hi")) == ["RG205"]


def test_with_no_provider_behind_the_gateway_nothing_is_guessed(machine: Machine) -> None:
    machine.policy.routes = ()
    plan = machine.plan("exec", "hi")
    assert rules(plan) == ["RG206"]
    lines = plan.forbidden_by[0].fix.splitlines()
    # as it is pasted
    assert tomllib.loads("\n".join(lines[2:4])) == {"agents": {"codex": {"provider": "@SLUG"}}}
    assert rules(machine.plan("exec", "hi", PORTKEY_API_KEY="")) == ["RG206", "RG106"]
    assert machine.plan("exec", "-m", "@oai/m", "hi").forbidden_by == []


@pytest.mark.parametrize("value", [" ", "sk-ant-abc", "pk-a\nx-evil: 1"])
def test_without_a_key_nothing_starts(machine: Machine, value: str) -> None:
    assert rules(machine.plan("exec", "hi", PORTKEY_API_KEY=value)) == ["RG106"]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("--oss", "RG201"),
        ("exec --oss hi", "RG201"),
        ("exec --local-provider=ollama hi", "RG201"),
        ("--remote ws://x", "RG202"),
        ("exec --remote-auth-token-env=X hi", "RG202"),
        ("archive --remote ws://x y", "RG202"),
        ("exec --worktree hi", "RG301"),
        ("app-server", "RG203"),
        ("exec-server", "RG203"),
        ("mcp-server", "RG203"),
        ("remote-control start", "RG203"),
        ("responses-api-proxy", "RG203"),
        ("debug app-server send-message-v2 hi", "RG203"),
        ("queue --thread x --message y", "RG202"),
        ("cloud exec hi", "RG202"),
        ("apply x", "RG202"),
        ("login", "RG202"),
        ("login --with-api-key", "RG202"),
        ("exec --new-in-a-later-version hi", "RG205"),
        ("exec hi -m", "RG205"),
        ("exec -m a -m b hi", "RG205"),
        ("exec -m a{b} hi", "RG205"),
    ],
)
def test_refused_arguments(machine: Machine, line: str, rule: str) -> None:
    plan = machine.plan(*line.split())
    assert set(rules(plan)) == {rule}
    assert all(finding.fix for finding in plan.forbidden_by)


SPELLINGS = ("-c {}", "-c{}", "-c={}", "--config {}", "--config={}")


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ('model_provider="evil"', "RG302"),
        ('"model_provider"="evil"', "RG302"),
        (" model_provider = evil", "RG302"),
        ('model_providers.portkey_x.base_url="http://evil"', "RG302"),
        ('model_providers={x={base_url="http://evil"}}', "RG302"),
        ('openai_base_url="http://evil"', "RG302"),
        ('chatgpt_base_url="http://evil"', "RG302"),
        ('oss_provider="ollama"', "RG302"),
        ('profile="evil"', "RG302"),
        ('cli_auth_credentials_store="file"', "RG302"),
        ('forced_login_method="api"', "RG302"),
        ('mcp_servers.x.command="sh"', "RG301"),
        ('mcp_servers={x={command="sh"}}', "RG301"),
        ('notify=["sh"]', "RG301"),
        ("hooks.SessionStart=[]", "RG301"),
        ('otel={exporter="none"}', "RG302"),
        ('experimental_realtime_ws_base_url="ws://x"', "RG302"),
    ],
)
def test_an_override_that_moves_the_route_is_refused_in_every_spelling(
    machine: Machine, spelling: str, override: str, rule: str
) -> None:
    option, blank, _ = spelling.partition(" ")
    words = [option, override] if blank else [spelling.format(override)]
    assert rules(machine.plan("exec", *words, "hi")) == [rule]
    assert rules(machine.plan(*words, "exec", "hi")) == [rule]
    assert rules(machine.plan("exec", "resume", "--last", "hi", *words)) == [rule]
    assert machine.plan("exec", "--", *words).forbidden_by == []


def test_overrides_that_move_nothing_stay(machine: Machine) -> None:
    words = ("-c", 'sandbox_mode="read-only"', "-capproval_policy=never", "-s", "read-only")
    plan = machine.plan("exec", *words, "hi")
    assert plan.forbidden_by == []
    assert plan.argv[1 : 1 + len(words)] == list(words)


@pytest.mark.parametrize("line", ["doctor", "--version", "exec --help", "logout", "mcp list"])
def test_what_calls_no_model_starts_whatever_is_wrong(machine: Machine, line: str) -> None:
    machine.installed("0.1.0")
    machine.write("home/.codex/config.toml", "broken")
    plan = machine.plan(*line.split(), OPENAI_API_KEY="sk-x")
    assert plan.forbidden_by == []
    assert plan.argv == line.split()
    assert "OPENAI_API_KEY" not in plan.environ
    assert SECRET not in plan.environ.values()


@pytest.mark.parametrize(
    "text",
    ["broken", "a = 1\na = 2", "[" * 5000, "x = [\n" + "[" * 5000],
)
@pytest.mark.parametrize(
    "path",
    [
        "home/.codex/config.toml",
        "home/.codex/work.config.toml",
        "project/.codex/config.toml",
        "etc/codex/config.toml",
        "etc/codex/managed_config.toml",
    ],
)
def test_settings_that_cannot_be_read_refuse(machine: Machine, path: str, text: str) -> None:
    machine.write(path, text)
    plan = machine.plan("exec", "-p", "work", "hi")
    assert rules(plan) == ["RG303"]
    assert plan.forbidden_by[0].where == str(machine.root / path)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("RUST_LOG=debug\n", []),
        ("# OPENAI_API_KEY=x\nCODEX_HOME=/x\n", []),
        ("OPENAI_API_KEY=sk-x", ["OPENAI_API_KEY"]),
        ("export  HTTPS_PROXY = http://127.0.0.1:9", ["HTTPS_PROXY"]),
        ("https_proxy=http://proxy.example.com:8080", ["https_proxy"]),
        ("all_proxy=socks5://proxy.example.com:1080", ["all_proxy"]),
        ("PORTKEY_API_KEY='x'", ["PORTKEY_API_KEY"]),
        (f"{KEY}0=x", [f"{KEY}0"]),
        ("SSL_CERT_FILE=/x\nPATH=/evil\nHOME=/evil", ["SSL_CERT_FILE", "PATH", "HOME"]),
        ("\ufeffHOME=/evil", ["HOME"]),
        ('A="\nHOME=/x"\nXDG_STATE_HOME=/evil', ["XDG_STATE_HOME"]),
    ],
)
def test_what_dotenv_sets_over_a_launch(machine: Machine, text: str, names: list[str]) -> None:
    """Codex takes `$CODEX_HOME/.env` over what it was started with."""
    file = machine.write("home/.codex/.env", text)
    plan = machine.plan("exec", "hi")
    assert rules(plan) == (["RG302"] if names else [])
    if names:
        assert ", ".join(names) in plan.forbidden_by[0].message
        assert plan.forbidden_by[0].where == str(file)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_on_this_machine(machine: Machine, name: str) -> None:
    """Codex, other than the agents of Node, looks into ALL_PROXY."""
    plan = machine.plan("exec", "hi", **{name: "http://127.0.0.1:9"})
    assert [(f.rule, f.subject) for f in plan.forbidden_by] == [("RG104", name)]
    assert f"unset {name}" in plan.forbidden_by[0].fix
    assert machine.plan("exec", "hi", **{name: "http://proxy.example.com"}).forbidden_by == []


def test_environments_on_other_machines_are_refused(machine: Machine) -> None:
    machine.write("home/.codex/environments.toml", "")
    assert rules(machine.plan("exec", "hi")) == ["RG202"]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", []),
        ('sandbox_mode = "read-only"\n[mcp_servers.company]\ncommand = "x"', []),
        ('model_provider = "evil"', ["model_provider"]),
        ('openai_base_url = "http://evil"', ["openai_base_url"]),
        ('cli_auth_credentials_store = "file"', ["cli_auth_credentials_store"]),
        ('notify = ["x"]', ["notify"]),
        ("analytics.enabled = true", ["analytics.enabled"]),
        ('otel.exporter = "statsig"', ["otel"]),
        ('otel.exporter = "none"', []),
        ("[features]\nhooks = true\nplugins = false", ["features.hooks"]),
        ("features = 1", [f"features.{name}" for name in (*settings.SWITCHES, settings.FORMER)]),
    ],
)
def test_an_administrators_file_that_overrides_the_pin(
    machine: Machine, text: str, keys: list[str]
) -> None:
    """It is above the arguments, and above nothing else is the route."""
    machine.write("etc/codex/managed_config.toml", text)
    plan = machine.plan("exec", "hi")
    assert [finding.subject for finding in plan.forbidden_by] == keys
    assert set(rules(plan)) == ({"RG302"} if keys else set())


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("[features]\nhooks = true\napps = false", ["features.hooks"]),
        ("[feature_requirements]\nplugins = true", ["features.plugins"]),
        (
            "[features]\nhooks = false\n[feature_requirements]\nconnectors = true",
            ["features.connectors"],
        ),
        ("allow_managed_hooks_only = true\n[features]\nhooks = true", []),
        ('[otel.exporter.otlp-http]\nendpoint = "http://evil"\nprotocol = "json"', ["otel"]),
        ('allowed_sandbox_modes = ["read-only"]\n[mcp_servers]\n', []),
    ],
)
def test_what_an_administrator_demands_over_the_pin(
    machine: Machine, text: str, keys: list[str]
) -> None:
    """Codex keeps to it, whatever the arguments say."""
    machine.write("etc/codex/requirements.toml", text)
    plan = machine.plan("exec", "hi")
    assert [finding.subject for finding in plan.forbidden_by] == keys
    assert {finding.rule for finding in plan.forbidden_by} <= {"RG302"}


SERVER = '[mcp_servers.{}]\ncommand = "sh"\n'


def test_servers_are_closed_by_their_names(machine: Machine) -> None:
    machine.write(
        "home/.codex/config.toml",
        SERVER.format("mine") + '[mcp_servers."with.dot"]\nurl = "http://x"\n'
        f'[projects."{machine.root}/other"]\ntrust_level = "trusted"\n[projects."/\\u0000"]\n',
    )
    machine.write("home/.codex/work.config.toml", SERVER.format("profiled"))
    machine.write("etc/codex/config.toml", SERVER.format("machine"))
    machine.write("project/.codex/config.toml", SERVER.format("root") + SERVER.format("mine"))
    machine.write("project/deep/.codex/config.toml", "[mcp_servers.deep]\nenabled = true\n")
    machine.write("other/.codex/config.toml", SERVER.format("elsewhere"))
    plan = machine.plan("exec", "-p", "work", "hi", cwd=machine.project / "deep")
    assert plan.forbidden_by == []
    closed = pinned(plan)["mcp_servers"]
    assert set(closed) == {
        *("mine", "with.dot", "profiled", "machine", "root", "deep", "elsewhere")
    }
    assert not any(entry["enabled"] for entry in closed.values())
    assert closed["with.dot"] == {"url": settings.NOWHERE, "enabled": False}
    assert closed["deep"] == {"command": "false", "enabled": False}
    assert [(f.rule, f.severity) for f in plan.findings] == [("RG301", "note")]


def test_more_servers_than_fit_into_an_argument(machine: Machine) -> None:
    many = "".join(f"[mcp_servers.s{number}]\n" for number in range(5000))
    machine.write("project/.codex/config.toml", many)
    assert rules(machine.plan("exec", "hi")) == ["RG303"]


@pytest.mark.parametrize("line", ["exec hi", "sandbox ls", "mcp list"])
def test_what_it_starts_meets_the_shims_first(machine: Machine, line: str) -> None:
    """And without a PATH no empty entry, which would be the current directory."""
    shims = machine.home / OURS
    shims.mkdir(parents=True)
    assert machine.plan(*line.split()).environ["PATH"] == f"{shims}:/usr/bin"
    del machine.environ["PATH"]
    assert all(machine.plan(*line.split()).environ["PATH"].split(":"))


def test_the_directory_of_the_session_counts(machine: Machine) -> None:
    machine.write("other/.codex/config.toml", SERVER.format("elsewhere"))
    for words in (["-C", "../other"], [f"--cd={machine.root}/other"], ["-C../other", "-C."]):
        assert "elsewhere" in pinned(machine.plan("exec", *words, "hi"))["mcp_servers"]
    assert "mcp_servers" not in pinned(machine.plan("exec", "hi"))


def test_the_policy_names_the_servers_that_start(machine: Machine) -> None:
    machine.policy.routes = (AgentRoute(agent="codex", provider="a", mcp=("docs", "theirs")),)
    machine.write("home/.codex/config.toml", SERVER.format("docs") + SERVER.format("more"))
    machine.write("project/.codex/config.toml", SERVER.format("theirs"))
    plan = machine.plan("exec", "hi")
    assert set(pinned(plan)["mcp_servers"]) == {"more", "theirs"}
    # a project gives the name another command: which of the two would start is its choice
    machine.write("project/.codex/config.toml", '[mcp_servers.docs]\nurl = "http://evil"\n')
    plan = machine.plan("exec", "hi")
    assert pinned(plan)["mcp_servers"]["docs"] == {"command": "false", "enabled": False}
    assert [(f.rule, f.severity) for f in plan.findings if f.severity == "warning"] == [
        ("RG301", "warning")
    ]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("home/.codex/config.toml", []),
        ("home/.codex/work.config.toml", ["-p", "work"]),
        ("project/.codex/config.toml", []),
        ("", ["-c", "features.connectors=true"]),
        ("", ["-c", "features={connectors=true}"]),
        ("", ["--enable=connectors"]),
    ],
)
def test_the_old_name_of_a_feature_is_switched_off_where_it_is_named(
    machine: Machine, path: str, words: list[str]
) -> None:
    """Codex warns of it wherever it stands."""
    assert "--disable=connectors" not in machine.plan("exec", "hi").argv
    if path:
        machine.write(path, "[features]\nconnectors = true\n")
    assert "--disable=connectors" in machine.plan("exec", *words, "hi").argv


def test_what_the_user_hides_from_commands_stays_hidden(machine: Machine) -> None:
    machine.write("home/.codex/config.toml", '[shell_environment_policy]\nexclude = ["AWS_*"]\n')
    words = (
        "-c",
        'shell_environment_policy.exclude=["A"]',
        '-cshell_environment_policy={exclude=["B"]}',
    )
    found = pinned(machine.plan("exec", *words, "hi"))["shell_environment_policy.exclude"]
    assert found == ["AWS_*", "A", "B", f"{KEY}*"]


OURS = ".local/share/routeguard/shims"


@pytest.mark.parametrize(
    ("file", "text", "words", "wanted"),
    [
        ("project", 'set = {PATH = "/theirs", ENV_A = "1"}', (), {"PATH": "/usr/bin"}),
        ("project", 'inherit = "none"', (), {"PATH": "/usr/bin"}),
        ("project", 'set = {HOME = ".", "BASH_FUNC_x.y%%" = "z"}', (), {"BASH_FUNC_x.y%%": ""}),
        ("home", 'set = {PATH = "/mine", BASH_ENV = "/mine"}', (), {"PATH": "/mine"}),
        ("home", "", ("-cA.set.PATH=/typed", "-cA.set.B=x"), {"B": "x", "PATH": "/typed"}),
        ("home", 'set = {A = "1"}', (), None),
    ],
)
def test_commands_meet_the_shims_and_no_code_of_a_project(
    machine: Machine, file: str, text: str, words: tuple[str, ...], wanted: dict[str, str] | None
) -> None:
    (machine.home / OURS).mkdir(parents=True)
    machine.write(f"{file}/.codex/config.toml", f"[shell_environment_policy]\n{text}\n")
    words = tuple(word.replace("cA", "cshell_environment_policy") for word in words)
    found = pinned(machine.plan("exec", *words, "hi")).get(settings.CHOSEN)
    if wanted and "PATH" in wanted:
        wanted["PATH"] = f"{machine.home}/{OURS}:{wanted['PATH']}"
    elif wanted:
        wanted["HOME"] = str(machine.home)
    assert found == wanted


@pytest.mark.parametrize(("mine", "kept"), [("", []), ('include_only = ["A*"]', ["A*"])])
def test_a_project_does_not_choose_the_variables_of_commands(
    machine: Machine, mine: str, kept: list[str]
) -> None:
    key = "shell_environment_policy.include_only"
    machine.write("home/.codex/config.toml", f"[shell_environment_policy]\n{mine}\n")
    assert key not in pinned(machine.plan("exec", "hi"))
    machine.write(
        "project/.codex/config.toml", f"[shell_environment_policy]\n{mine or 'include_only = []'}\n"
    )
    assert pinned(machine.plan("exec", "hi"))[key] == kept


@pytest.mark.parametrize("name", ["AGENTS.md", "deep/AGENTS.override.md", "MORE.md", ""])
def test_instructions_outside_of_the_project_are_left_out(machine: Machine, name: str) -> None:
    """Codex would send them: a link leads to `/proc/self/environ`, where the key is."""
    more = 'project_doc_fallback_filenames = ["MORE.md", "a\\u0000"]\n'
    machine.write("project/.codex/config.toml", more)
    machine.write("project/docs/AGENTS.md", "x")
    (machine.project / "deep").mkdir()
    (machine.project / "deep" / "AGENTS.md").symlink_to("../docs/AGENTS.md")
    if name:
        (machine.project / name).symlink_to("/proc/self/environ")
    plan = machine.plan("exec", "hi", cwd=machine.project / "deep")
    assert plan.forbidden_by == []
    assert ("--config=project_doc_max_bytes=0" in plan.argv) is bool(name)
    assert [f.subject for f in plan.findings] == [str(machine.project / name)] * bool(name)


@pytest.mark.parametrize(
    "key",
    ["model_instructions_file", "agents.x.config_file", "experimental_compact_prompt_file"],
)
@pytest.mark.parametrize(
    ("file", "forbidden"), [("/proc/self/environ", ["RG302"]), ("mine.md", []), ("../x.md", [])]
)
def test_a_project_names_no_file_outside(
    machine: Machine, key: str, file: str, forbidden: list[str]
) -> None:
    machine.write("project/.codex/mine.md", "x")
    machine.write("project/x.md", "x")
    machine.write("project/.codex/config.toml", f'{key} = "{file}"\n')
    assert rules(machine.plan("exec", "hi")) == forbidden


def test_a_role_of_a_project_leads_to_no_file_outside(machine: Machine) -> None:
    """Codex would print what is there; a link of the user's own is the user's."""
    mine = machine.write("home/.codex/agents/a.toml", "x").parent / "mine.toml"
    mine.symlink_to("/proc/self/environ")
    role = machine.write("project/.codex/agents/a.toml", "x").parent / "theirs.toml"
    assert rules(machine.plan("exec", "hi")) == []
    role.symlink_to("/proc/self/environ")
    assert rules(machine.plan("exec", "hi")) == ["RG302"]


@pytest.mark.parametrize("repository", [True, False])
def test_a_part_of_a_repository_shares_with_the_whole(machine: Machine, repository: bool) -> None:
    """Also where one comes to it through a link."""
    machine.write("shared/x.md", "x")
    part = machine.write("shared/part/.codex/config.toml", 'model_instructions_file = "../../x.md"')
    (part.parent / "agents").mkdir()
    (part.parent / "agents" / "a.toml").symlink_to("../../../x.md")
    (part.parents[1] / "AGENTS.md").symlink_to("../x.md")
    (machine.project / "link").symlink_to(part.parents[1])
    if repository:
        machine.write("shared/.git", "gitdir: elsewhere")
    plan = machine.plan("exec", "hi", cwd=machine.project / "link")
    assert set(rules(plan)) == (set() if repository else {"RG302"})
    assert ("--config=project_doc_max_bytes=0" in plan.argv) is not repository


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VALUES = st.recursive(
    st.booleans() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_values_are_toml_on_one_line(value: Any) -> None:
    text = settings.toml(value)
    assert "\n" not in text
    assert tomllib.loads(f"x = {text}") == {"x": value}


@pytest.mark.parametrize(
    ("version", "severity"),
    [("0.171.0", None), ("0.170.9", "error"), ("0.162.0", "error"), ("0.172.0", None)],
)
def test_versions(machine: Machine, version: str, severity: str | None) -> None:
    machine.installed(version)
    found = [(f.rule, f.severity) for f in machine.plan("exec", "hi").findings]
    assert found == ([("RG204", severity)] if severity else [])


def test_a_launch_that_runs_is_known_by_its_arguments(machine: Machine) -> None:
    plan = machine.plan("exec", "hi")
    agent = next(one for one in agents() if one.id == "codex")

    def state(*argv: str, **environ: str) -> str:
        seen = AgentProcess(
            pid=7,
            parent=1,
            started=1,
            since=NOW,
            uid=1000,
            exe="/opt/codex",
            argv=("codex", *argv),
            environ={**plan.environ, LAUNCH_MARKER: "7:1:/opt/codex", **environ},
            parents=(),
        )
        return judge_process(agent, seen, machine.policy, NOW, 1000)[0]

    assert state(*plan.argv) == "guarded"
    for name in ("OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_EXEC_SERVER_URL"):
        assert state(*plan.argv, **{name: "x"}) == "unguarded"
    # a nested one that is started by its path has the environment, and not the arguments
    assert state("exec", "hi") == "unguarded"
    assert state(*plan.argv, "-c", 'model_provider="evil"') == "unguarded"
    assert state(*plan.argv, "--oss") == "unguarded"
    assert state(*(word for word in plan.argv if word != "--disable=hooks")) == "unguarded"
    machine.policy.base_url = "https://other.example/v1"
    assert state(*plan.argv) == "unguarded"


def test_today_names_who_moves_the_route(machine: Machine) -> None:
    machine.write("home/.codex/auth.json", "{}")
    found = planner.survey(["exec", "hi"], machine.environ, "", str(machine.project), write=False)
    assert AGENT.today(found).route == "api.openai.com, directly"
    machine.write(
        "home/.codex/config.toml",
        'model_provider = "evil"\n[model_providers.evil]\nbase_url = "https://evil.example"\n',
    )
    found = planner.survey(["exec", "hi"], machine.environ, "", str(machine.project), write=False)
    today = AGENT.today(found)
    assert today.route == "https://evil.example, directly"
    assert [say.layer for say in today.says] == ["stored login", "user settings"]
    typed = ["exec", "--oss", "hi"]
    found = planner.survey(typed, machine.environ, "", str(machine.project), write=False)
    assert AGENT.today(found).route == "localhost:11434, directly"
