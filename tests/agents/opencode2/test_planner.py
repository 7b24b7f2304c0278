"""What a launch of opencode 2 becomes, and what forbids it."""

from __future__ import annotations

import copy
import fnmatch
import json
from pathlib import Path
from typing import Any

import pytest
from opencode2_cases import GATEWAY_KEY, Bench
from opencode2_guarded import NOW, launch, plan, program

from guard.agents.opencode.adapter import AGENT as FIRST
from guard.agents.opencode2 import kept
from guard.agents.opencode2.adapter import AGENT
from guard.agents.opencode2.inside import unpinned
from guard.agents.opencode2.variables import SETS, SWITCHES
from guard.agents.registry import without_guard
from guard.launch.agent import plan_launch
from guard.policy.values import CompiledPolicy, PolicyException

OURS = f"portkey-{'x' * 10}"


def pinned(bench: Bench, policy: CompiledPolicy, *argv: str) -> dict[str, Any]:
    made = plan(bench, policy, argv or ("run", "hi"), write=False)
    assert made.refused == []
    texts = made.facts.texts
    assert texts is not None
    content: dict[str, Any] = json.loads(made.plan.environ["OPENCODE_CONFIG_CONTENT"])
    route, rest = json.loads(texts.route), json.loads(texts.rest)
    assert content == {**rest, **content, **route, "agents": content["agents"],
                       "experimental": content["experimental"]}  # fmt: skip
    assert all(statement["action"] == "provider.use" for statement in content["policies"])
    return content | {"policies": content["policies"] + rest["policies"]}


class TestArguments:
    @pytest.mark.parametrize(
        ("typed", "argv", "route"),
        [
            ("run hi", "run --standalone=true hi", "portkey/gpt-4o"),
            ("", "--standalone=true", "portkey/gpt-4o"),
            ("dir -c", "--standalone=true dir -c", "portkey/gpt-4o"),
            ("--log-level debug run hi", "--log-level debug run --standalone=true hi", ""),
            ("run --standalone hi", "run --standalone=true --standalone hi", ""),
            ("run -m gpt-4 hi", f"run --standalone=true --model={OURS}/gpt-4 hi", "portkey/gpt-4"),
            ("run hi -m=gpt-4", f"run --standalone=true hi --model={OURS}/gpt-4", "portkey/gpt-4"),
            ("run -m a -m b hi", f"run --standalone=true --model={OURS}/a hi", "portkey/a"),
            ("run hi -- -m a/b", "run --standalone=true hi -- -m a/b", "portkey/gpt-4o"),
            (
                "run --provider portkey-openrouter --model @s/o/m hi",
                f"run --standalone=true --model=portkey-openrouter-{'x' * 10}/@s/o/m hi",
                "portkey-openrouter/@s/o/m",
            ),
            ("--provider portkey run -m a hi", f"run --standalone=true --model={OURS}/a hi", ""),
            ("run -m gpt-4#high hi", f"run --standalone=true --model={OURS}/gpt-4#high hi", ""),
            ("mini --prompt hi", "mini --standalone=true --prompt hi", ""),
            ("models", "models --standalone=true", ""),
            ("session list", "session list --standalone=true", ""),
            ("debug agents", "debug agents", ""),
        ],
    )
    def test_what_is_typed_and_what_is_started(
        self, bench: Bench, policy: CompiledPolicy, typed: str, argv: str, route: str
    ) -> None:
        bench.environ["OPENROUTER_GATEWAY_KEY"] = "pk-canary2"
        made = plan(bench, policy, typed.split(), write=False)
        assert (made.refused, made.plan.argv) == ([], argv.split())
        assert route in (made.plan.route, "")

    @pytest.mark.parametrize(
        ("typed", "rule"),
        [
            ("run -m anthropic/claude hi", "RG201"),
            ("run --provider anthropic -m claude hi", "RG201"),
            ("run -m a#b hi", "RG205"),
            ("run --provider hi", "RG201"),
            ("run -cm a/b hi", ""),
            ("-m a/b run hi", "RG205"),
            ("-c run hi", "RG205"),
            ("run --port 1 hi", "RG205"),
            ("auth connect https://x.invalid", "RG205"),
            ("run --server http://x.invalid hi", "RG202"),
            ("run --server= hi", "RG202"),
            ("models --server http://x.invalid", "RG202"),
            ("run --no-standalone hi", "RG202"),
            ("run --standalone false hi", "RG202"),
            ("session list --standalone=0", "RG202"),
            ("serve", "RG203"),
            ("serve --service", "RG203"),
            ("pair", "RG203"),
            ("service start", "RG203"),
            ("service restart", "RG203"),
            ("service set env ANTHROPIC_API_KEY x", "RG203"),
            ("acp", "RG203"),
            ("api GET /api/session", "RG203"),
            ("plugin add x", "RG301"),
            ("plugin update", "RG301"),
            ("mcp add x --url http://x.invalid", "RG302"),
            ("auth login https://x.invalid", "RG305"),
            ("auth login -- https://x.invalid", "RG305"),
            ("auth login", ""),
            ("auth login anthropic", ""),
            ("run --agent nobody hi", "RG302"),
            ("run --agent plan hi", ""),
        ],
    )
    def test_what_is_refused(
        self, bench: Bench, policy: CompiledPolicy, typed: str, rule: str
    ) -> None:
        made = plan(bench, policy, typed.split(), write=False)
        assert (made.refused[:1] or [""])[0] == rule, made.plan.forbidden_by

    def test_servers_by_the_policy(self, bench: Bench, policy: CompiledPolicy) -> None:
        policy = copy.copy(policy)
        policy.servers = "allow"
        made = plan(bench, policy, ["acp"], write=False)
        assert (made.refused, made.plan.argv) == ([], ["acp"])
        assert made.plan.environ["PORTKEY_API_KEY"] == GATEWAY_KEY
        made = plan(bench, policy, ["api", "GET", "/x"], write=False)
        assert (made.refused, made.plan.argv) == ([], ["api", "--standalone=true", "GET", "/x"])
        # these would be found by others, or serve without a launch
        for typed in ("serve", "pair", "service start"):
            assert plan(bench, policy, typed.split(), write=False).refused == ["RG203"]


class TestRelease:
    @pytest.mark.parametrize(
        ("version", "words"),
        [
            ("2.0.29", "2.0.30 has"),
            ("2.0.0", "2.0.30 has"),
        ],
    )
    def test_which_are_refused(
        self, bench: Bench, policy: CompiledPolicy, version: str, words: str
    ) -> None:
        made = plan(bench, policy, ["run", "hi"], version=version, prove=False, write=False)
        (finding,) = made.plan.forbidden_by
        assert finding.rule == "RG204"
        assert words in finding.message

    @pytest.mark.parametrize("version", ["2.2.7", "3.0.0"])
    def test_each_has_to_prove_its_route(
        self, bench: Bench, policy: CompiledPolicy, version: str
    ) -> None:
        made = plan(bench, policy, ["run", "hi"], version=version, prove=False, write=False)
        assert made.plan.forbidden_by == []
        assert f"opencode {version} was never tried" in made.plan.unproved

    def test_the_proof_is_of_this_binary(self, bench: Bench, policy: CompiledPolicy) -> None:
        assert plan(bench, policy, ["run", "hi"], write=False).plan.unproved == ""
        made = plan(bench, policy, ["run", "hi"], prove=False, write=False)
        assert made.plan.unproved, "`program` writes another one"

    def test_the_adapter_is_that_of_the_release(self, bench: Bench) -> None:
        binary = program(bench, "2.2.7")
        assert FIRST.of_release(["run", "hi"], binary, bench.environ) is AGENT
        # to version 2 this is the name of a directory, in which it opens its TUI
        assert FIRST.of_release(["db"], binary, bench.environ) is AGENT
        assert AGENT.kind(["db"]) == "guarded"
        binary = program(bench, "1.18.33")
        assert FIRST.of_release(["run", "hi"], binary, bench.environ) is FIRST
        assert FIRST.of_release(["db"], binary, bench.environ) is FIRST
        assert FIRST.of_release(["run"], "", bench.environ) is FIRST

    def test_what_does_not_say_its_version_is_held_by_both_grammars(self, bench: Bench) -> None:
        path = bench.put("bin/opencode", "#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
        assert FIRST.of_release(["db"], str(path), bench.environ) is AGENT
        assert FIRST.of_release(["--version"], str(path), bench.environ) is FIRST

    def test_a_launch_asks_a_version_manager_once(
        self, bench: Bench, policy: CompiledPolicy
    ) -> None:
        """It starts what it is told to, so it is asked in each launch, and that takes a second."""
        asked = bench.root / "asked"
        manager = bench.put("bin/mise", f"#!/bin/sh\necho x >> {asked}\necho opencode v2.2.7\n")
        manager.chmod(0o755)
        link = bench.root / "bin" / "opencode"
        link.symlink_to(manager)
        for times in (1, 2):
            _, facts = plan_launch(
                FIRST, ["run"], without_guard(bench.environ), [], str(link), policy,
                str(bench.project), NOW, write=False,
            )  # fmt: skip
            assert facts.version == (2, 2, 7)
            assert asked.read_text().count("x") == times


class TestEnvironment:
    def test_what_is_set(self, bench: Bench, policy: CompiledPolicy) -> None:
        bench.environ |= {"NO_PROXY": "corp.invalid", "OPENCODE_DB": "/x", "OTEL_SERVICE_NAME": "x"}
        made = plan(bench, policy, ["run", "hi"], write=False)
        child = made.plan.environ
        assert child.items() >= SWITCHES.items()
        assert child["NO_PROXY"] == "corp.invalid,localhost,127.0.0.1,::1,[::1]"
        assert child["PORTKEY_API_KEY"] == GATEWAY_KEY
        gone = {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENCODE_DB", "OTEL_SERVICE_NAME"}
        assert not gone & set(child)
        told = {change.name for change in made.plan.changes if change.action == "set"}
        assert told <= set(SETS)
        assert {"XDG_CONFIG_HOME", "XDG_STATE_HOME", "OPENCODE_CONFIG_CONTENT"} <= told

    def test_a_plain_gateway_is_asked_without_a_proxy(
        self, bench: Bench, policy: CompiledPolicy
    ) -> None:
        policy = copy.copy(policy)
        policy.base_url = "http://gateway.corp.invalid/v1"
        child = plan(bench, policy, ["run", "hi"], write=False).plan.environ
        assert child["NO_PROXY"].split(",")[-1] == "gateway.corp.invalid"
        # unless the policy says that it is reached through one
        policy.gateway_proxy = "http://proxy.corp.invalid:3128"
        child = plan(bench, policy, ["run", "hi"], write=False).plan.environ
        assert child["NO_PROXY"] == "localhost,127.0.0.1,::1,[::1]"
        assert child["HTTP_PROXY"] == policy.gateway_proxy

    def test_what_calls_no_model_gets_no_key(self, bench: Bench, policy: CompiledPolicy) -> None:
        for typed in ("session list", "mcp list", "auth list", "plugin check"):
            made = plan(bench, policy, typed.split(), write=False)
            assert made.refused == []
            assert GATEWAY_KEY not in json.dumps(made.plan.environ)
            # and it is held all the same: it opens the project
            assert "OPENCODE_CONFIG_CONTENT" in made.plan.environ
        del bench.environ["PORTKEY_API_KEY"]
        assert plan(bench, policy, ["session", "list"], write=False).refused == []
        assert plan(bench, policy, ["run", "hi"], write=False).refused == ["RG106"]

    def test_a_nested_launch_finds_the_users_own(
        self, bench: Bench, policy: CompiledPolicy
    ) -> None:
        own = {"XDG_CONFIG_HOME": f"{bench.home}/c", "XDG_STATE_HOME": f"{bench.home}/s"}
        for homes in ({}, own):
            bench.environ |= homes
            made = launch(bench, policy)
            inner = without_guard(made.plan.environ)
            for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
                assert inner.get(name) == bench.environ.get(name)
            assert inner["PATH"] == bench.environ["PATH"]
            # one below another is planned like the first
            bench.environ.update(inner)
            assert launch(bench, policy).refused == []

    def test_a_running_one_is_recognised_as_pinned(
        self, bench: Bench, policy: CompiledPolicy
    ) -> None:
        made = launch(bench, policy)
        child = made.plan.environ
        assert FIRST.of_launch(child) is AGENT
        assert unpinned(child, policy) == ""
        other = copy.copy(policy)
        other.base_url = "https://other.invalid/v1"
        assert "is not the gateway" in unpinned(child, other)
        for name in ("OPENCODE_CONFIG_CONTENT", "XDG_CONFIG_HOME", "XDG_STATE_HOME", *SWITCHES):
            assert unpinned({k: v for k, v in child.items() if k != name}, policy), name
        assert FIRST.of_launch({**child, "ROUTEGUARD_STATE_HOME": ""}) is AGENT

    def test_the_first_version_is_not_taken_for_it(self, bench: Bench) -> None:
        assert FIRST.of_launch({"OPENCODE_CONFIG_CONTENT": "{}"}) is FIRST


class TestConfiguration:
    def test_the_route(self, bench: Bench, policy: CompiledPolicy) -> None:
        bench.environ["OPENROUTER_GATEWAY_KEY"] = "pk-canary2"
        content = pinned(bench, policy, "run", "-m", "o5#high", "hi")
        assert content["model"] == f"{OURS}/gpt-4o"
        ours = content["providers"][OURS]
        assert ours["settings"] == {"baseURL": policy.base_url}
        assert ours["headers"] == {"x-portkey-api-key": "{env:PORTKEY_API_KEY}"}
        assert ours["models"]["o5"]["variants"] == [
            {"id": "high", "settings": {"reasoningEffort": "high"}}
        ]
        second = content["providers"][f"portkey-openrouter-{'x' * 10}"]
        assert second["headers"]["x-portkey-provider"] == "@openrouter-main"
        assert content["agents"]["title"] == {"model": f"{OURS}/gpt-4o-mini"}
        assert content["policies"][:3] == content["experimental"]["policies"]
        uses = [(s["effect"], s["resource"]) for s in content["policies"]
                if s["action"] == "provider.use"]  # fmt: skip
        assert uses == [("deny", "*"), *(("allow", name) for name in content["providers"])]
        assert not {"permission", "agent", "enabled_providers"} & set(content)

    def test_what_of_the_users_own_is_kept(self, bench: Bench, policy: CompiledPolicy) -> None:
        bench.put(
            "home/.config/opencode/opencode.json",
            {
                "model": "anthropic/claude",
                "plugins": ["x"],
                "providers": {"evil": {}},
                "shell": "/bin/zsh",
                "permission": {"bash": {"git push *": "ask"}},
                "agent": {"docs": {"prompt": "Write.", "permission": {"edit": "deny"},
                                   "model": "gpt-4", "options": {"virtual_key": "x"}}},
                "agents": {"title": {"model": "anthropic/x"},
                           "one": {"system": "{env:PORTKEY_API_KEY}"}},
                "skills": ["./mine", "https://x.invalid/"],
                "mcp": {"servers": {"mine": {"command": ["x"]}, "a*": {"command": ["y"]}},
                        "older": {"type": "local", "command": ["z"]}},
                "policies": [
                    {"effect": "allow", "action": "*", "resource": "*"},
                    {"effect": "allow", "action": "provider.use", "resource": "*"},
                    {"effect": "deny", "action": "tool.use", "resource": "websearch:*"},
                    {"effect": "deny", "action": "integration.use", "resource": "mcp:older"},
                ],
            },
        )  # fmt: skip
        content = pinned(bench, policy)
        assert content["shell"] == "/bin/zsh"
        assert content["permissions"] == [
            {"action": "shell", "resource": "git push *", "effect": "ask"}
        ]
        assert content["agents"]["docs"] == {
            "system": "Write.",
            "model": f"{OURS}/gpt-4",
            "permissions": [{"action": "edit", "resource": "*", "effect": "deny"}],
        }
        assert content["agents"]["title"] == {"model": f"{OURS}/gpt-4o-mini"}
        assert "one" not in content["agents"]
        assert content["skills"] == ["./mine"]
        assert content["plugins"] == []
        assert set(content["providers"]) == {OURS}
        said = [(s["effect"], s["action"], s["resource"]) for s in content["policies"]]
        assert ("allow", "*", "*") not in said
        assert said.count(("allow", "provider.use", "*")) == 0
        assert ("deny", "tool.use", "websearch:*") in said
        assert ("allow", "integration.use", "mcp:mine") in said
        assert ("allow", "integration.use", "mcp:a*") not in said
        # what the user denies is denied last
        assert said[-1] == ("deny", "integration.use", "mcp:older")

    @pytest.mark.parametrize(
        "document",
        [
            {"permission": {"bash": "deny"}},
            {"permissions": [{"action": "shell", "resource": "*", "effect": "deny"}]},
            {"tools": {"bash": False}},
        ],
    )
    def test_what_a_project_forbids_holds(
        self, bench: Bench, policy: CompiledPolicy, document: dict[str, Any]
    ) -> None:
        bench.put(
            "home/.config/opencode/opencode.json",
            {"permissions": [{"action": "shell", "resource": "*", "effect": "allow"}]},
        )
        bench.project_says(**document)
        content = pinned(bench, policy)
        for action in ("permission", "tool.use"):
            statement = {"effect": "deny", "action": action, "resource": "shell:*"}
            assert statement in content["policies"]
        assert content["permissions"][-1] == {"action": "shell", "resource": "*", "effect": "deny"}

    def test_a_project_cannot_allow(self, bench: Bench, policy: CompiledPolicy) -> None:
        bench.put(
            "home/.config/opencode/opencode.json",
            {"permissions": [{"action": "shell", "resource": "*", "effect": "deny"}]},
        )
        bench.project_says(
            permissions=[
                {"action": "shell", "resource": "*", "effect": "allow"},
                {"action": "edit", "resource": "*", "effect": "ask"},
            ],
            agents={"build": {"permissions": [
                {"action": "shell", "resource": "*", "effect": "ask"}]}},
        )  # fmt: skip
        content = pinned(bench, policy)

        def decides(agent: str, tool: str) -> str:
            """The order and the match of the documentation of permissions."""
            own = content["agents"].get(agent, {}).get("permissions", [])
            rules = [
                *kept.DEFAULTS,
                *kept.BUILT_IN.get(agent, []),
                *((r["action"], r["resource"], r["effect"]) for r in content["permissions"]),
                *((r["action"], r["resource"], r["effect"]) for r in own),
            ]
            return [e for a, r, e in rules if fnmatch.fnmatch(tool, a) and r == "*"][-1]

        for agent in (*kept.BUILT_IN, "of-a-file"):
            assert decides(agent, "shell") == "deny", agent
        for agent, said in (("build", "ask"), ("plan", "deny"), ("explore", "deny"), ("x", "ask")):
            assert decides(agent, "edit") == said, agent

    def test_what_cannot_be_read_forbids_the_launch(
        self, bench: Bench, policy: CompiledPolicy
    ) -> None:
        bench.project_says(permissions={"shell": "deny"})
        assert plan(bench, policy, write=False).refused == ["RG303"]
        bench.put("home/work/project/opencode.json", "{")
        assert plan(bench, policy, write=False).refused == ["RG303"]


class TestStore:
    @pytest.mark.parametrize(
        ("value", "rule"),
        [
            ('["https://x.invalid/wk"]', "RG305"),
            ('{"https://x.invalid": {"at": 1}}', "RG305"),
            ('[{"url": "https://x.invalid/wk"}]', "RG305"),
            ("https://x.invalid", "RG305"),
            ("[1]", "RG305"),
            ("not json", "RG305"),
            ("[]", ""),
            ("{}", ""),
            ("null", ""),
            ('""', ""),
        ],
    )
    def test_well_known_sources(
        self, bench: Bench, policy: CompiledPolicy, value: str, rule: str
    ) -> None:
        bench.database(f"insert into kv values ('wellknown:sources', '{value}')")
        for typed in (["run", "hi"], ["session", "list"]):
            made = plan(bench, policy, typed, write=False)
            assert (made.refused[:1] or [""])[0] == rule
        assert plan(bench, policy, ["service", "stop"], write=False).refused == []

    def test_an_exception_allows_one(self, bench: Bench, policy: CompiledPolicy) -> None:
        bench.database("insert into kv values ('wellknown:sources', '[\"https://x.invalid\"]')")
        policy = copy.copy(policy)
        policy.exceptions = (PolicyException("server:https://x.invalid", "ours", 2**40),)
        assert plan(bench, policy, write=False).refused == []

    def test_logins(self, bench: Bench, policy: CompiledPolicy) -> None:
        bench.database("insert into credential values ('anthropic', 'k')")
        made = plan(bench, policy, write=False)
        assert made.refused == []
        assert [f.subject for f in made.plan.findings if f.rule == "RG304"] == ["anthropic"]
        bench.database("insert into credential values ('opencode', 'k')")
        assert plan(bench, policy, write=False).refused == ["RG302"]

    def test_the_directory_of_a_session_is_looked_at(
        self, bench: Bench, policy: CompiledPolicy
    ) -> None:
        bench.put("elsewhere/.opencode/plugins/x.js", "evil")
        where = bench.root / "elsewhere"
        bench.database(
            "create table session (id text, directory text, project_id text)",
            f"insert into session values ('ses_1', '{where}', 'p')",
        )
        assert plan(bench, policy, ["run", "-s", "ses_1", "hi"], write=False).refused == ["RG301"]
        assert plan(bench, policy, ["run", "-s", "ses_2", "hi"], write=False).refused == []
        assert plan(bench, policy, [], write=False).refused == []
        bench.database(f"insert into session values ('ses_3', '{bench.project}', 'p')")
        assert plan(bench, policy, [], write=False).refused == ["RG301"]

    def test_what_is_no_database_forbids_the_launch(
        self, bench: Bench, policy: CompiledPolicy
    ) -> None:
        bench.put("home/.local/share/opencode/opencode.db", "no database")
        assert set(plan(bench, policy, write=False).refused) == {"RG303"}


class TestDirectories:
    def test_what_is_given_back(self, bench: Bench, policy: CompiledPolicy) -> None:
        own = "home/.config/opencode"
        bench.put(f"{own}/AGENTS.md", "own words\n")
        bench.put(f"{own}/agents/mine.md", "hi")
        bench.put(f"{own}/commands/mine.md", "hi")
        bench.put(f"{own}/skills/a/SKILL.md", "hi")
        bench.put(f"{own}/themes/x.json", "{}")
        bench.put(f"{own}/plugins/x.js", "evil")
        bench.put(f"{own}/cli.json", {"theme": "x", "plugins": ["evil"]})
        bench.put(f"{own}/service.json", {"env": {"ANTHROPIC_API_KEY": "x"}})
        bench.put("home/.config/git/config", "x")
        bench.put("home/.local/state/opencode/model.json", "{}")
        for name in ("service.json", "server.json", "password"):
            bench.put(f"home/.local/state/opencode/{name}", {"pid": 1})
        bench.put("home/work/project/AGENTS.md", "of the project\n")
        made = launch(bench, policy)
        config = Path(made.plan.environ["XDG_CONFIG_HOME"])
        ours = config / "opencode"
        assert {p.name for p in ours.iterdir()} == {
            *("AGENTS.md", "agents", "commands", "skills", "themes"),
            *("cli.json", "service.json", "opencode.json", "opencode.jsonc"),
        }
        text = (ours / "AGENTS.md").read_text()
        assert "own words" in text
        assert "of the project" in text
        assert json.loads((ours / "cli.json").read_text()) == {"theme": "x"}
        assert json.loads((ours / "service.json").read_text()) == {"disabled": True}
        assert (config / "git" / "config").read_text() == "x"
        state = Path(made.plan.environ["XDG_STATE_HOME"])
        assert {p.name for p in (state / "opencode").iterdir()} == {"model.json"}
        # what the agent writes there goes home at the next launch
        (ours / "cli.json").write_text('{"theme": "y"}')
        (state / "opencode" / "history.jsonl").write_text("x")
        (ours / "AGENTS.md").write_text("changed")
        (ours / "plugins").mkdir()
        (ours / "plugins" / "x.js").write_text("evil")
        again = plan(bench, policy)
        agent = again.facts.adapter(FIRST)
        agent.prepare(again.plan, policy, again.facts, lambda name: "#!/bin/sh\n")
        assert (bench.home / ".local/state/opencode/history.jsonl").read_text() == "x"
        assert (bench.home / ".config/opencode/AGENTS.md").read_text() == "own words\n"
        assert not (ours / "plugins").exists()

    def test_each_project_has_its_own(self, bench: Bench, policy: CompiledPolicy) -> None:
        first = launch(bench, policy).plan.environ
        bench.project = bench.home / "other"
        (bench.project / ".git").mkdir(parents=True)
        second = launch(bench, policy).plan.environ
        assert first["XDG_CONFIG_HOME"] != second["XDG_CONFIG_HOME"]
        assert first["XDG_STATE_HOME"] == second["XDG_STATE_HOME"]
