"""The plan of one launch: what it becomes, what forbids it, and that no key is shown by it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from guard.agents.opencode import grammar
from guard.agents.opencode.adapter import AGENT
from guard.agents.opencode.variables import SWITCHES
from guard.agents.plan import Plan
from guard.agents.registry import without_guard
from guard.launch.agent import plan_launch
from guard.policy.values import GatewayProvider, PolicyException

if TYPE_CHECKING:
    from conftest import Machine

NOW = 1_700_000_000.0
KEY = "pk-canary0123456789"
SECOND = "pk-canary9876543210"


def rules(plan: Plan) -> list[str]:
    return [f.rule for f in plan.forbidden_by]


def launched(machine: Machine, argv: list[str]) -> Plan:
    """The plan that is carried out, with what every agent gets."""
    own, cwd = without_guard(machine.environ), str(machine.project)
    return plan_launch(
        AGENT, argv, own, [], str(machine.program), machine.policy, cwd, NOW, write=False
    )[0]


SUFFIX = "x" * 10
"""What a plan has that leaves no trace."""


class TestWhereItStarts:
    """A shell sets PWD to the directory it is in, and opencode works in what PWD says."""

    @pytest.mark.parametrize("argv", [("run", "hi"), ("models",), ("debug", "config")])
    def test_the_agent_itself_starts_in_an_empty_directory(
        self, machine: Machine, argv: tuple[str, ...]
    ) -> None:
        wrapped = machine.project.parent / "lib" / ".opencode-wrapped"
        for program in (machine.program, wrapped):
            machine.put(str(program.relative_to(machine.project.parent)), "\x7fELF")
            machine.program = program
            assert machine.look(*argv).elsewhere
            started = AGENT.plan(machine.policy, machine.look(*argv), str(program), NOW)
            assert started.directory == machine.look(*argv).directories.empty

    @pytest.mark.parametrize("argv", [("run", "hi"), ("models",), ("debug", "config")])
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("opencode", '#!/bin/sh\nexec /opt/opencode "$@"\n'),
            ("opencode", '#!/usr/bin/env -S bash --login\nexec /opt/opencode "$@"\n'),
            ("opencode", '#!/usr/bin/env node\nrequire("./opencode.js")\n'),
            ("opencode", "#!/usr/bin/python3\nimport os\n"),
            ("opencode", 'exec /opt/opencode "$@"\n'),  # a shell runs it all the same
            ("opencode", ""),
            ("mise", "\x7fELF"),
            ("volta-shim", "\xcf\xfa\xed\xfe"),
        ],
    )
    def test_behind_a_script_it_starts_in_its_project(
        self, machine: Machine, argv: tuple[str, ...], name: str, content: str
    ) -> None:
        (machine.program.parent / name).write_bytes(content.encode("latin-1"))
        link = machine.home / "bin" / "opencode"
        link.parent.mkdir()
        link.symlink_to(machine.program.parent / name)
        machine.program = link
        assert machine.plan(*argv).directory == ""
        # there a repository must not answer the agent's imports
        machine.put("project/node_modules/esprima/index.js", "1")
        assert "RG301" in rules(machine.plan(*argv))


class TestRoute:
    @pytest.mark.parametrize(
        ("argv", "route", "model"),
        [
            (["run", "hi"], "portkey/gpt-4o", f"portkey-{SUFFIX}/gpt-4o"),
            (["run", "-m", "x/y", "hi"], "portkey/x/y", f"portkey-{SUFFIX}/x/y"),
            ([], "portkey/gpt-4o", f"portkey-{SUFFIX}/gpt-4o"),
            (["-m", "gpt-4"], "portkey/gpt-4", f"portkey-{SUFFIX}/gpt-4"),
            (
                ["run", "--provider", "portkey-openrouter", "hi"],
                "portkey-openrouter/mistralai/mistral-7b-instruct",
                f"portkey-openrouter-{SUFFIX}/mistralai/mistral-7b-instruct",
            ),
            (["models"], "portkey/gpt-4o", f"portkey-{SUFFIX}/gpt-4o"),
            # opencode writes the model into the new agent's file: the default stays as it was
            (["agent", "create", "-m", "x"], "portkey/x", f"portkey-{SUFFIX}/gpt-4o"),
        ],
    )
    def test_what_is_pinned(
        self, machine: Machine, argv: list[str], route: str, model: str
    ) -> None:
        plan = machine.plan(*argv)
        config = json.loads(plan.environ["OPENCODE_CONFIG_CONTENT"])
        assert (plan.forbidden_by, plan.route, config["model"]) == ([], route, model)
        provider, _, name = (route if argv[:1] != ["agent"] else "portkey/x").partition("/")
        assert name in config["provider"][f"{provider}-{SUFFIX}"]["models"]

    def test_the_environment(self, machine: Machine) -> None:
        machine.environ["OPENAI_API_KEY"] = "canary"
        machine.environ["OPENCODE_CONFIG"] = "/evil"
        child = machine.plan("run", "hi").environ
        assert child.items() >= SWITCHES.items()
        assert not {"OPENAI_API_KEY", "OPENCODE_CONFIG"} & set(child)
        assert (child["PORTKEY_API_KEY"], child["PWD"]) == (KEY, str(machine.project))
        places = machine.look("run").directories
        assert child["XDG_CONFIG_HOME"] == places.config
        assert child["OPENCODE_TEST_HOME"] == places.home
        assert child["PATH"] == f"{places.bin}:/usr/bin:/bin"
        assert child["ROUTEGUARD_CONFIG_HOME"] == ""
        assert not (machine.home / ".local").exists(), "a plan that is shown left a trace"

    def test_every_change_is_told(self, machine: Machine) -> None:
        machine.environ.update({"OPENAI_API_KEY": "canary", "BUN_BE_BUN": "1", "PWD": "/elsewhere"})
        plan = machine.plan("run", "hi")
        told = {c.name for c in plan.changes}
        before = machine.environ
        differs = {
            name for name in {*before, *plan.environ} if before.get(name) != plan.environ.get(name)
        }
        assert differs - {"ROUTEGUARD_CONFIG_HOME"} == told
        assert all(c.reason for c in plan.changes)

    def test_a_plain_http_gateway_is_asked_directly(self, machine: Machine) -> None:
        machine.policy.base_url = "http://127.0.0.1:8787/v1"
        machine.environ["NO_PROXY"] = "corp"
        child = machine.plan("run", "hi").environ
        assert child["NO_PROXY"] == child["no_proxy"] == "corp,127.0.0.1"

    @pytest.mark.parametrize("argv", [["run", "hi"], ["upgrade"], ["mcp", "list"], ["attach", "u"]])
    def test_a_companys_certificates_and_proxy(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch, argv: list[str]
    ) -> None:
        monkeypatch.setattr("guard.proxies.glance.glance", lambda *_, **__: [])
        machine.policy.gateway_ca = "/etc/corp.pem"
        machine.policy.gateway_proxy = "http://127.0.0.1:3128"
        proxies = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
        # what a directory's environment may say: none of it counts
        machine.environ |= {
            "NODE_EXTRA_CA_CERTS": "/canary.pem",
            "SSL_CERT_FILE": "/canary.pem",
            "https_proxy": "http://me:canary@127.0.0.1:8080",
            "HTTP_PROXY": "http://canary.example:8080",
            "no_proxy": "git.corp, 10.0.0.0/8",
        }
        plan = launched(machine, argv)
        child = plan.environ
        assert child["NODE_EXTRA_CA_CERTS"] == "/etc/corp.pem"
        assert "SSL_CERT_FILE" not in child
        assert {child[name] for name in proxies} == {"http://127.0.0.1:3128"}
        assert child["NO_PROXY"] == "git.corp,10.0.0.0/8,localhost,127.0.0.1,::1,[::1]"
        assert child["no_proxy"] == child["NO_PROXY"]
        assert "RG104" not in rules(plan)
        told = {(c.action, c.name) for c in plan.changes}
        assert told >= {("set", name) for name in (*proxies, "NODE_EXTRA_CA_CERTS", "NO_PROXY")}
        assert told >= {("removed", name) for name in ("SSL_CERT_FILE", "https_proxy")}
        # a launch below this one has nothing to remove, and nothing to advise
        machine.environ |= {name: child[name] for name in (*proxies, "NODE_EXTRA_CA_CERTS")}
        del machine.environ["SSL_CERT_FILE"]
        again = launched(machine, argv)
        assert {c.name for c in again.changes}.isdisjoint((*proxies, "NODE_EXTRA_CA_CERTS"))

    def test_a_companys_proxy_and_a_plain_http_gateway(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("guard.proxies.glance.glance", lambda *_, **__: [])
        machine.policy.gateway_proxy = "http://proxy.corp:8080"
        machine.policy.base_url = "http://127.0.0.2:8787/v1"
        plan = launched(machine, ["run", "hi"])
        told = [c.name for c in plan.changes]
        assert len(told) == len(set(told))
        child = plan.environ
        assert child["NO_PROXY"] == child["no_proxy"] == "127.0.0.2,localhost,127.0.0.1,::1,[::1]"

    def test_the_model_of_github_run(self, machine: Machine) -> None:
        machine.environ["MODEL"] = "gpt-4"
        plan = machine.plan("github", "run")
        assert plan.environ["MODEL"] == f"portkey-{SUFFIX}/gpt-4"
        assert plan.route == "portkey/gpt-4"
        machine.environ["MODEL"] = "anthropic/x"
        plan = machine.plan("github", "run")
        assert [(f.rule, f.where) for f in plan.forbidden_by] == [
            ("RG201", "environment variable MODEL")
        ]
        del machine.environ["MODEL"]
        assert machine.plan("github", "run").environ["MODEL"] == f"portkey-{SUFFIX}/gpt-4o"


class TestKinds:
    @pytest.mark.parametrize("argv", [["--version"], ["run", "--help"], ["completion"]])
    def test_harmless(self, machine: Machine, argv: list[str]) -> None:
        machine.put("project/.opencode/plugin/a.js", "")
        machine.version("2.0.0")
        plan = machine.plan(*argv)
        assert (plan.kind, plan.findings, plan.guarded) == (grammar.HARMLESS, [], False)
        assert "PORTKEY_API_KEY" not in plan.environ

    @pytest.mark.parametrize("argv", [["mcp", "list"], ["session", "list"], ["debug", "info"]])
    def test_local(self, machine: Machine, argv: list[str]) -> None:
        plan = machine.plan(*argv)
        assert (plan.kind, rules(plan), plan.guarded) == (grammar.LOCAL, [], False)
        assert "PORTKEY_API_KEY" not in plan.environ
        assert plan.environ.items() >= SWITCHES.items()
        # what a server of `mcp list` starts by its name meets the guard
        machine.put("home/.local/share/routeguard/shims/opencode", "")
        shims = f"{machine.environ['HOME']}/.local/share/routeguard/shims"
        assert machine.plan(*argv).environ["PATH"].split(":")[0] == shims
        machine.put("project/.opencode/plugin/a.js", "")
        assert rules(machine.plan(*argv)) == ["RG301"]

    def test_remote(self, machine: Machine) -> None:
        plan = machine.plan("attach", "http://e:1")
        assert (plan.kind, rules(plan)) == (grammar.REMOTE, ["RG202"])
        machine.policy.exceptions = (PolicyException(subject="server:http://e:1", until=NOW),)
        plan = machine.plan("attach", "http://e:1")
        assert rules(plan) == []
        assert "PORTKEY_API_KEY" not in plan.environ

    def test_server(self, machine: Machine) -> None:
        assert rules(machine.plan("serve")) == ["RG203"]
        machine.policy.servers = "allow"
        plan = machine.plan("serve")
        assert (rules(plan), plan.guarded) == ([], True)


STORE = "home/.local/share/opencode/auth.json"


class TestLogins:
    @pytest.mark.parametrize(
        "line",
        [
            # each of these makes 1.18.33 run the command of the server at URL (run)
            "auth login URL", "providers login URL", "auth login --url URL", "auth login --url=URL",
            "auth login -p x URL", "auth login --provider=x URL", "auth login -m x URL",
            "auth login -m=x URL", "--log-level DEBUG auth login URL",
            "auth --print-logs login URL",
            "-p x auth login URL", "auth login --help=false URL", "auth login --no-url URL",
            "--url URL auth login", "auth --url URL login", "auth --url=URL login",
            "--url=URL auth login", "providers login --pure URL", "auth login --pure true URL",
            "auth login --version=false URL", "auth login --no-help URL", "auth login URL/",
            "auth login --url zzz URL", "auth login --url -5 URL", "auth login --url\nx URL",
            # these do not, or fail, and might in another version
            "auth login -- URL", "auth login -- -p URL", "auth login URL two",
            "auth login x --url URL",
            "auth login --url.x URL", "auth login --url URL --url x", "auth login URL -x",
        ],
    )  # fmt: skip
    def test_a_login_at_a_server_is_refused(self, machine: Machine, line: str) -> None:
        url = "https://corp.example"
        argv = [word.replace("URL", url) for word in line.split(" ")]
        plan = machine.plan(*argv)
        assert set(rules(plan)) == {"RG305"}
        assert url in {finding.subject for finding in plan.forbidden_by}
        allow = f"routeguard allow server {url} "
        assert any(allow in finding.fix for finding in plan.forbidden_by)
        machine.policy.exceptions = (PolicyException(subject=f"server:{url}", until=NOW),)
        plan = machine.plan(*argv)
        assert url not in {finding.subject for finding in plan.forbidden_by}

    @pytest.mark.parametrize(
        "line",
        ["auth login", "auth login -p openai", "auth login --provider=https://x -m key", "auth",
         "auth login --help https://x", "auth logout https://x", "auth login https://x -v",
         "auth list"],
    )  # fmt: skip
    def test_others_are_not(self, machine: Machine, line: str) -> None:
        assert rules(machine.plan(*line.split(" "))) == []

    @pytest.mark.parametrize("fields", [{"key": "held-by-routeguard", "token": "canary"}, {}])
    def test_a_stored_one_adds_to_whatever_reads_its_configuration(
        self, machine: Machine, fields: dict[str, str]
    ) -> None:
        machine.put(STORE, {"http://evil": {"type": "wellknown", **fields}})
        for argv in (
            ["run", "hi"],
            [],
            ["models"],
            ["session", "list"],
            ["mcp", "list"],
            ["stats"],
        ):
            assert rules(machine.plan(*argv)) == ["RG305"]
        # and nothing keeps anybody from the way out, which reads none (run)
        for argv in (["auth", "logout", "http://evil"], ["auth", "list"], ["db", "select 1"]):
            assert rules(machine.plan(*argv)) == []

    def test_a_store_in_the_environment_counts_where_it_is_kept(self, machine: Machine) -> None:
        name = "OPENCODE_AUTH_CONTENT"
        machine.environ[name] = '{"http://evil": {"type": "wellknown"}}'
        plan = machine.plan("run", "hi")
        assert (rules(plan), plan.environ.get(name)) == ([], None)
        machine.policy.exceptions = (PolicyException(subject=f"env:{name}", until=NOW),)
        assert rules(machine.plan("run", "hi")) == ["RG305"]
        assert rules(machine.plan("session", "list")) == ["RG305"]

    def test_stored_logins_are_hidden(self, machine: Machine) -> None:
        assert "GITLAB_INSTANCE_URL" not in machine.plan("run", "hi").environ
        hidden = machine.config("run", "hi")["disabled_providers"]
        assert {"openai", "gitlab", "amazon-bedrock", "opencode"} < set(hidden)
        assert "of-tomorrow" not in hidden
        ours = f"portkey-{SUFFIX}"
        api = {"type": "api", "key": "canary"}
        oauth = {"type": "oauth", "refresh": "canary", "access": "canary", "expires": 1}
        machine.put(STORE, {"of-tomorrow": oauth, ours: api})
        machine.environ["OPENCODE_AUTH_CONTENT"] = json.dumps({"inline": api})
        machine.environ["GITLAB_INSTANCE_URL"] = "https://gitlab.example"
        machine.policy.exceptions = tuple(
            PolicyException(subject=f"env:{name}", until=NOW)
            for name in ("OPENCODE_AUTH_CONTENT", "GITLAB_INSTANCE_URL")
        )
        config = machine.config("run", "hi")
        assert {"of-tomorrow", "inline"} < set(config["disabled_providers"])
        assert ours not in config["disabled_providers"]
        assert config["provider"][ours]["options"]["apiKey"] == ""
        for argv in (["run", "hi"], ["session", "list"], ["auth", "list"]):
            environ = machine.plan(*argv).environ
            assert environ["GITLAB_INSTANCE_URL"] == "https://gitlab.invalid"
            machine.environ = {**machine.environ, "GITLAB_INSTANCE_URL": "https://gitlab.invalid"}
        for argv in (["auth", "login", "-p", "gitlab"], ["--version"]):
            plan = machine.plan(*argv)
            assert [c.name for c in plan.changes if c.reason.startswith("keeps opencode")] == []


class TestKeys:
    @pytest.mark.parametrize("value", [None, "", " "])
    def test_missing(self, machine: Machine, value: str | None) -> None:
        machine.environ.pop("PORTKEY_API_KEY")
        if value is not None:
            machine.environ["PORTKEY_API_KEY"] = value
        plan = machine.plan("run", "hi")
        assert rules(plan) == ["RG106"]
        assert "export PORTKEY_API_KEY=" in plan.forbidden_by[0].fix
        assert "OPENCODE_CONFIG_CONTENT" not in plan.environ

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ("sk-ant-canary", "begins with sk-ant-"),
            ("sk-proj-canary", "begins with sk-proj-"),
            ("AIzacanary", "begins with AIza"),
            ("ghp_canary", "begins with ghp_"),
            ('pk-canary"x', "holds a quote"),
            ("pk-canary'x", "holds a quote"),
            ("pk-canary\\x", "holds a quote"),
            ("pk-canary{env:X}", "holds a quote"),
            ("pk-canary\n", "a space or a control character"),
            (" pk-canary", "a space or a control character"),
            ("pk-canary\x1b[2J", "a space or a control character"),
            ("pk-canaryé", "a character that is not ASCII"),
            ("pk-canary\udcff", "a character that is not ASCII"),
        ],
    )
    def test_unusable(self, machine: Machine, value: str, why: str) -> None:
        machine.environ["PORTKEY_API_KEY"] = value
        plan = machine.plan("run", "hi")
        assert rules(plan) == ["RG106"]
        assert why in plan.forbidden_by[0].message

    def test_that_of_a_provider_nobody_asked_for(self, machine: Machine) -> None:
        del machine.environ["OPENROUTER_GATEWAY_KEY"]
        plan = machine.plan("run", "hi")
        assert rules(plan) == []
        assert [f.severity for f in plan.findings if f.rule == "RG106"] == ["warning"]
        config = json.loads(plan.environ["OPENCODE_CONFIG_CONTENT"])
        assert config["enabled_providers"] == [f"portkey-{SUFFIX}"] == list(config["provider"])
        # and of one that is asked for
        plan = machine.plan("run", "--provider", "portkey-openrouter", "hi")
        assert rules(plan) == ["RG106"]
        assert plan.forbidden_by[0].message == (
            "no gateway key for portkey-openrouter: OPENROUTER_GATEWAY_KEY is not set"
        )

    def test_the_small_model_follows(self, machine: Machine) -> None:
        machine.policy.small_model = "portkey-openrouter/tiny"
        assert machine.config("run", "hi")["small_model"] == f"portkey-openrouter-{SUFFIX}/tiny"
        del machine.environ["OPENROUTER_GATEWAY_KEY"]
        assert machine.config("run", "hi")["small_model"] == f"portkey-{SUFFIX}/gpt-4o"

    def test_a_command(self, machine: Machine) -> None:
        same = ("op", "read", "op://v/k")
        machine.policy.providers = tuple(
            GatewayProvider(name=name, key_env="", key_command=command)
            for name, command in (("portkey", same), ("second", same), ("third", ("pass", "x")))
        )
        plan = machine.plan("run", "hi")
        assert rules(plan) == []
        assert [(name, entry.name) for name, entry in plan.keys] == [
            ("ROUTEGUARD_GATEWAY_KEY_1", "portkey"), ("ROUTEGUARD_GATEWAY_KEY_2", "third")
        ]  # fmt: skip
        config = json.loads(plan.environ["OPENCODE_CONFIG_CONTENT"])
        asked = [
            provider["options"]["headers"]["x-portkey-api-key"]
            for provider in config["provider"].values()
        ]
        first = "{env:ROUTEGUARD_GATEWAY_KEY_1}"
        assert asked == [first, first, "{env:ROUTEGUARD_GATEWAY_KEY_2}"]
        assert "ROUTEGUARD_GATEWAY_KEY_1" not in plan.environ, "fetched before it is needed"

    def test_a_name_that_the_policy_removes_is_still_the_gateways(self, machine: Machine) -> None:
        machine.policy.remove = ("PORTKEY_API_KEY",)
        assert machine.plan("run", "hi").environ["PORTKEY_API_KEY"] == KEY


CLOUDFLARE = {"CLOUDFLARE_ACCOUNT_ID": "a", "CLOUDFLARE_GATEWAY_ID": "g"}


class TestCloudflare:
    @pytest.mark.parametrize("argv", [["run", "hi"], ["--version"], ["mcp", "list"]])
    def test_both_ids_without_the_token_crash_every_command(
        self, machine: Machine, argv: list[str]
    ) -> None:
        machine.environ.update(CLOUDFLARE)
        child = machine.plan(*argv).environ
        assert not CLOUDFLARE.keys() <= child.keys()

    def test_with_the_token_both_stay_or_none_do(self, machine: Machine) -> None:
        machine.environ.update(CLOUDFLARE, CLOUDFLARE_API_TOKEN="canary")
        child = machine.plan("run", "hi").environ
        assert "CLOUDFLARE_API_TOKEN" in child or not CLOUDFLARE.keys() <= child.keys()


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.17.0", ["RG204"]), ("nothing", ["RG204"]), ("1.18.40", [])],
)
def test_versions(machine: Machine, version: str, expected: list[str]) -> None:
    machine.version(version)
    assert rules(machine.plan("run", "hi")) == expected


class TestStarts:
    """Wherever the agent could work, a plugin is found."""

    @pytest.mark.parametrize(
        "argv",
        [
            ["run", "--dir", "other", "hi"], ["run", "--dir=other", "hi"], ["other"],
            ["--project", "other"], ["--project=other"], ["-c", "other"],
            ["--dir", "other", "run", "hi"], ["run", "--dir", "x", "--dir", "other", "hi"],
        ],
    )  # fmt: skip
    def test_a_directory_that_is_named(self, machine: Machine, argv: list[str]) -> None:
        assert rules(machine.plan(*argv)) == []
        machine.put("project/other/.opencode/plugin/a.js", "")
        assert rules(machine.plan(*argv)) == ["RG301"]

    def test_absolute_and_above(self, machine: Machine) -> None:
        path = machine.put("elsewhere/.opencode/plugin/a.js", "")
        directory = str(Path(path).parents[2] / "deep")
        assert rules(machine.plan("run", "--dir", directory, "hi")) == ["RG301"]
        assert rules(machine.plan("run", "--dir", "../elsewhere", "hi")) == ["RG301"]

    def test_a_logical_path(self, machine: Machine) -> None:
        link = machine.home / "link"
        link.symlink_to(machine.project)
        machine.environ["PWD"] = str(link)
        machine.put("home/.opencode/plugin/a.js", "")
        assert rules(machine.plan("run", "hi")) == ["RG301"]
        assert machine.plan("run", "hi").environ["PWD"] == str(link)

    def test_a_pwd_that_lies(self, machine: Machine) -> None:
        machine.put("project/.opencode/plugin/a.js", "")
        machine.environ["PWD"] = "/"
        plan = machine.plan("run", "hi")
        assert rules(plan) == ["RG301"]
        assert plan.environ["PWD"] == str(machine.project)


class TestKept:
    def test_what_the_user_has(self, machine: Machine) -> None:
        machine.put("home/.config/opencode/config.json", {"theme": "a", "username": "u"})
        machine.put("home/.config/opencode/opencode.json", {"theme": "b", "model": "anthropic/x"})
        machine.environ["OPENCODE_CONFIG_CONTENT"] = '{"theme":"c","provider":{"evil":{}}}'
        config = machine.config("run", "hi")
        assert (config["theme"], config["username"]) == ("c", "u")
        assert config["model"] == f"portkey-{SUFFIX}/gpt-4o"
        assert list(config["provider"]) == [f"portkey-{SUFFIX}", f"portkey-openrouter-{SUFFIX}"]

    @pytest.mark.parametrize("content", ["{bad", "[]", '"x"', '{"a":1,"a":2}'])
    def test_an_inline_config_that_cannot_be_read(self, machine: Machine, content: str) -> None:
        machine.environ["OPENCODE_CONFIG_CONTENT"] = content
        assert rules(machine.plan("run", "hi")) == ["RG303"]

    @pytest.mark.parametrize("content", ["", " ", "{}"])
    def test_an_inline_config_that_says_nothing(self, machine: Machine, content: str) -> None:
        machine.environ["OPENCODE_CONFIG_CONTENT"] = content
        assert rules(machine.plan("run", "hi")) == []

    def test_the_gateway_key_goes_into_no_prompt(self, machine: Machine) -> None:
        names = ("PORTKEY_API_KEY", "OPENROUTER_GATEWAY_KEY", "OPENCODE_CONFIG_CONTENT")
        for name in names:
            content = {"agent": {"a": {"prompt": f"{{env:{name}}}"}}, "username": f"{{env:{name}}}"}
            machine.put("home/.config/opencode/opencode.json", content)
            config = machine.config("run", "hi")
            assert "username" not in config
            assert not config.get("agent")

    def test_models_of_agents_are_declared(self, machine: Machine) -> None:
        content = {"agent": {"a": {"model": "portkey-openrouter/x"}, "b": {"model": "anthropic/y"}}}
        machine.put("home/.config/opencode/opencode.json", content)
        config = machine.config("run", "hi")
        assert config["agent"] == {"a": {"model": f"portkey-openrouter-{SUFFIX}/x"}, "b": {}}
        assert "x" in config["provider"][f"portkey-openrouter-{SUFFIX}"]["models"]

    def test_a_provider_of_the_users_own_is_foreign(self, machine: Machine) -> None:
        machine.put("home/.config/opencode/opencode.json", {"provider": {"mine": {}}})
        assert rules(machine.plan("run", "-m", "mine/x", "hi")) == ["RG201"]

    def test_instructions_of_the_project(self, machine: Machine) -> None:
        path = machine.put("project/AGENTS.md", "")
        assert machine.config("run", "hi")["instructions"] == [path]
        machine.policy.project_config = "ignore"
        assert "instructions" not in machine.config("run", "hi")

    def test_instructions_of_a_folder_that_opencode_would_replace_are_told(
        self, machine: Machine
    ) -> None:
        machine.project = machine.project / "{env:HOME}"
        machine.project.mkdir()
        path = machine.put("{env:HOME}/AGENTS.md", "")
        plan = machine.plan("run", "hi")
        assert [f.severity for f in plan.findings if f.subject == path] == ["warning"]
        assert path not in plan.environ["OPENCODE_CONFIG_CONTENT"]

    def test_a_dotenv_file_is_no_instruction_of_a_project(self, machine: Machine) -> None:
        secret = machine.put("project/.env", "A=1")
        (machine.project / "notes.md").symlink_to(secret)
        (machine.project / "AGENTS.md").symlink_to(secret)
        entries = [".env", "*.md", "prod.env", ".env.*"]
        machine.put("project/prod.env", "A=1")
        example = machine.put("project/.env.example", "A=")
        machine.put("project/opencode.json", {"instructions": entries})
        assert machine.config("run", "hi")["instructions"] == [example]

    def test_a_project_adds_words_and_nothing_else(self, machine: Machine) -> None:
        secret = machine.put("home/secret.md", "")
        machine.put("project/x.md", "")
        content = {
            "agent": {"a": {"prompt": "p"}, "b": {"prompt": "{env:HOME}"}},
            "instructions": ["x.md", secret, "../home/secret.md", "~/secret.md"],
            "mcp": {"m": {"type": "local", "command": ["evil"]}},
            "permission": {"bash": "allow"},
            "theme": "t",
        }
        machine.put("project/opencode.json", content)
        config = machine.config("run", "hi")
        assert config["agent"] == {"a": {"prompt": "p"}}
        assert config["instructions"] == [str(machine.project / "x.md")]
        assert not {"mcp", "permission", "theme"} & set(config)
        machine.policy.project_config = "ignore"
        assert "agent" not in machine.config("run", "hi")

    def test_what_does_not_fit_is_told(self, machine: Machine) -> None:
        content = {"keybinds": {"a": "x" * 140_000}, "theme": "t"}
        machine.put("home/.config/opencode/opencode.json", content)
        plan = machine.plan("run", "hi")
        assert rules(plan) == []
        assert [(f.subject, f.severity) for f in plan.findings if f.rule == "RG302"] == [
            ("keybinds", "warning")
        ]

    def test_agents_that_do_not_fit_refuse(self, machine: Machine) -> None:
        content = {"agent": {"a": {"prompt": "x" * 140_000}}}
        machine.put("home/.config/opencode/opencode.json", content)
        assert rules(machine.plan("run", "hi")) == ["RG501"]

    def test_a_policy_that_does_not_fit(self, machine: Machine) -> None:
        models = tuple(f"model-{i}" * 4 for i in range(1500))
        machine.policy.providers = (GatewayProvider(models=models),)
        assert rules(machine.plan("run", "hi")) == ["RG501"]


class TestNested:
    def test_the_traces_of_an_outer_launch_are_taken_back(self, machine: Machine) -> None:
        machine.environ["XDG_CONFIG_HOME"] = str(machine.home / "xc")
        outer = machine.plan("run", "hi").environ
        assert without_guard(outer)["XDG_CONFIG_HOME"] == str(machine.home / "xc")
        machine.environ = outer
        inner = machine.plan("run", "hi")
        assert rules(inner) == []
        assert inner.environ == outer

    def test_none_that_was_set_stays_unset(self, machine: Machine) -> None:
        outer = machine.plan("run", "hi").environ
        own = without_guard(outer)
        assert "XDG_CONFIG_HOME" not in own
        assert own["PATH"] == "/usr/bin:/bin"
        assert "ROUTEGUARD_CONFIG_HOME" not in own

    @pytest.mark.parametrize("name", ["CACHE", "CONFIG", "DATA", "STATE"])
    @pytest.mark.parametrize("value", [".", "x/y", ""])
    def test_a_relative_directory_is_nobodys(self, machine: Machine, name: str, value: str) -> None:
        machine.environ[f"XDG_{name}_HOME"] = value
        assert f"XDG_{name}_HOME" not in without_guard(machine.environ)
        child = machine.plan("run", "hi").environ
        assert os.path.isabs(child.get(f"XDG_{name}_HOME", "/"))

    def test_a_relative_home(self, machine: Machine) -> None:
        for home in (".", ""):
            assert os.path.isabs(without_guard({"HOME": home})["HOME"])
        assert os.path.isabs(without_guard({})["HOME"])


def test_the_catalogue_knows_the_providers(machine: Machine) -> None:
    ids = machine.look("run").provider_ids
    assert {"anthropic", "openai", "openrouter", "opencode"} <= ids
    assert not {i for i in ids if i.startswith(("_", "portkey"))}
