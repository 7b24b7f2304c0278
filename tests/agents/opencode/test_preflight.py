"""What forbids a launch, what is only told, and what an exception can allow."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import Any

import pytest

from guard.agents.opencode.config import ALWAYS, ROUTE_KEYS
from guard.agents.opencode.preflight import (
    CODE_KEYS,
    check,
    check_inline_store,
    check_project,
    check_store,
)
from guard.agents.opencode.store import CONSOLE, ORGANISATION, WELLKNOWN
from guard.agents.opencode.surroundings import Config, Surroundings
from guard.findings import Finding
from guard.policy.values import CompiledPolicy, PolicyException

NOW = 1_700_000_000.0


def found(**fields: Any) -> Surroundings:
    surroundings = Surroundings(home="/h", directory="/w", config_directory="/h/.config/opencode")
    for name, value in fields.items():
        setattr(surroundings, name, value)
    return surroundings


def checked(
    content: dict[str, Any], policy: CompiledPolicy, environ: dict[str, str] | None = None
) -> list[Finding]:
    return check(found(project=[Config("/w/opencode.json", content)]), policy, environ or {}, NOW)


def says(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(f.rule, f.severity) for f in findings]


class TestProject:
    @pytest.mark.parametrize("key", CODE_KEYS)
    def test_keys_that_load_code(self, key: str, policy: CompiledPolicy) -> None:
        (finding,) = checked({key: ["x"]}, policy)
        assert (finding.rule, finding.severity, finding.subject) == (
            "RG301", "error", "/w/opencode.json"
        )  # fmt: skip
        assert key in finding.message

    @pytest.mark.parametrize("key", CODE_KEYS)
    def test_such_a_key_that_is_empty(self, key: str, policy: CompiledPolicy) -> None:
        assert checked({key: []}, policy) == []

    @pytest.mark.parametrize(
        "spec",
        [
            "file:///x.mjs", "FILE:x", "./x.js", "../x", "/x.js", "~/x", "{env:X}",
            "data:text/js,1", "http://e/x.js", "https://e/x", "git+https://e/x",
            "aisdk:file:///x", "aisdk:./x",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("place", ["provider", "model", "model provider", "second"])
    def test_packages_that_are_files(self, spec: str, place: str, policy: CompiledPolicy) -> None:
        content: dict[str, Any] = {
            "provider": {"provider": {"a": {"npm": spec}}},
            "model": {"provider": {"a": {"models": {"m": {"npm": spec}}}}},
            "model provider": {"provider": {"a": {"models": {"m": {"provider": {"npm": spec}}}}}},
            "second": {"providers": {"a": {"package": spec}}},
        }[place]
        findings = checked(content, policy)
        assert ("RG301", "error") in says(findings) or ("RG303", "error") in says(findings)

    @pytest.mark.parametrize("spec", ["@ai-sdk/openai", "aisdk:@ai-sdk/openai-compatible", 3, None])
    def test_packages_that_are_published(self, spec: object, policy: CompiledPolicy) -> None:
        findings = checked({"provider": {"a": {"npm": spec}}}, policy)
        assert says(findings) == [("RG302", "note")]

    @pytest.mark.parametrize("shape", [3, None, [], "x", {"a": 3}, {"a": {"models": 3}}])
    def test_odd_shapes(self, shape: object, policy: CompiledPolicy) -> None:
        assert says(checked({"provider": shape}, policy)) == [("RG302", "note")]

    @pytest.mark.parametrize("key", sorted(set(ROUTE_KEYS) - set(CODE_KEYS)))
    def test_a_project_does_not_choose_the_route(self, key: str, policy: CompiledPolicy) -> None:
        (note,) = checked({key: "x"}, policy)
        assert (note.rule, note.severity, note.subject) == ("RG302", "note", key)

    @pytest.mark.parametrize(
        "content",
        [
            {"{env:X}": 1},
            {"a": [{"b{file:y}": 1}]},
            {"plug{env:NOTHING}in": ["x"]},
        ],
    )
    def test_keys_that_are_only_known_after_substitution(
        self, content: dict[str, Any], policy: CompiledPolicy
    ) -> None:
        assert says(checked(content, policy)) == [("RG303", "error")]

    def test_a_variable_that_would_add_keys(self, policy: CompiledPolicy) -> None:
        (finding,) = checked({"a": "{env:X}"}, policy, {"X": 'canary","plugin":["y'})
        assert (finding.rule, "canary" in str(finding.as_dict())) == ("RG303", False)
        assert checked({"a": "{env:X}"}, policy, {"X": "fine"}) == []
        assert checked({"a": "{file:x}"}, policy) == []

    def test_harmless_content(self, policy: CompiledPolicy) -> None:
        content = {"mcp": {"x": {}}, "agent": {"a": {"model": "anthropic/x"}}, "theme": "t"}
        assert checked(content, policy) == []

    def test_what_cannot_be_read(self, policy: CompiledPolicy) -> None:
        project = [Config("/w/opencode.json", {}, "is not valid JSON at line 1")]
        (finding,) = check(found(project=project), policy, {}, NOW)
        assert (finding.rule, finding.where) == ("RG303", "/w/opencode.json")
        (finding,) = check(found(unreadable=[("/w/.opencode/plugin", "denied")]), policy, {}, NOW)
        assert finding.rule == "RG303"

    def test_a_command_without_a_model_is_held_to_the_same(self, policy: CompiledPolicy) -> None:
        around = found(
            code=["/w/.opencode/plugin/a.js"],
            project=[Config("/w/opencode.json", {"plugin": ["x"]})],
            imports=[("/w/node_modules/esprima/index.js", "answers the agent's import")],
        )
        assert says(check_project(around, policy, {}, NOW)) == [("RG301", "error")] * 3


class TestExceptions:
    @pytest.fixture
    def plugin(self, tmp_path: Path) -> Path:
        path = tmp_path / "plugin.js"
        path.write_text("export default 1")
        return path

    def rules(self, plugin: Path, policy: CompiledPolicy) -> list[str]:
        return [f.rule for f in check(found(code=[str(plugin)]), policy, {}, NOW)]

    @pytest.mark.parametrize("spelling", [str.lower, str.upper])
    def test_the_right_digest(self, plugin: Path, policy: CompiledPolicy, spelling: Any) -> None:
        digest = spelling(hashlib.sha256(plugin.read_bytes()).hexdigest())
        policy.exceptions = (
            PolicyException(subject=f"file:{plugin}", sha256=digest, until=NOW + 1),
        )
        assert self.rules(plugin, policy) == []
        plugin.write_text("export default 2")
        assert self.rules(plugin, policy) == ["RG301"]

    @pytest.mark.parametrize(
        ("subject", "digest", "until"),
        [
            ("file:{}", "", NOW + 1),
            ("file:{}", "0" * 64, NOW + 1),
            ("file:{}", "right", NOW - 1),
            ("file:/elsewhere{}", "right", NOW + 1),
            ("env:{}", "right", NOW + 1),
        ],
    )
    def test_anything_else(
        self, plugin: Path, policy: CompiledPolicy, subject: str, digest: str, until: float
    ) -> None:
        right = hashlib.sha256(plugin.read_bytes()).hexdigest()
        policy.exceptions = (
            PolicyException(
                subject=subject.format(plugin),
                sha256=digest.replace("right", right),
                until=until,
            ),
        )
        assert self.rules(plugin, policy) == ["RG301"]

    def test_a_file_that_is_gone_or_is_none(self, tmp_path: Path, policy: CompiledPolicy) -> None:
        for path in (tmp_path / "gone.js", tmp_path):
            policy.exceptions = (
                PolicyException(subject=f"file:{path}", sha256="0" * 64, until=NOW + 1),
            )
            assert self.rules(path, policy) == ["RG301"]

    def test_a_config_with_code_keys(self, tmp_path: Path, policy: CompiledPolicy) -> None:
        path = tmp_path / "opencode.json"
        path.write_text('{"plugin":["x@1.0.0"]}')
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        around = found(project=[Config(str(path), {"plugin": ["x@1.0.0"], "model": "m"})])
        policy.exceptions = (PolicyException(subject=f"file:{path}", sha256=digest, until=NOW + 1),)
        assert says(check(around, policy, {}, NOW)) == [("RG302", "note")]
        path.write_text('{"plugin":["y"]}')
        assert ("RG301", "error") in says(check(around, policy, {}, NOW))

    def test_the_fix_is_a_command_that_can_be_pasted(
        self, plugin: Path, policy: CompiledPolicy
    ) -> None:
        odd = str(plugin.with_name("it's a $plugin.js"))
        for path in (str(plugin), odd):
            (finding,) = check(found(code=[path]), policy, {}, NOW)
            command = shlex.split(finding.fix[finding.fix.index("routeguard allow") :])
            assert command[:4] == ["routeguard", "allow", "file", path]


class TestUser:
    def test_code_is_told_not_refused(self, policy: CompiledPolicy) -> None:
        (note,) = check(found(user_code=["/h/.opencode/plugin/a.js"]), policy, {}, NOW)
        assert (note.rule, note.severity) == ("RG301", "note")

    def test_a_config_that_cannot_be_read(self, policy: CompiledPolicy) -> None:
        user = [Config("/h/.config/opencode/opencode.json", {}, "is not valid JSON")]
        assert says(check(found(user=user), policy, {}, NOW)) == [("RG303", "error")]

    def test_any_content(self, policy: CompiledPolicy) -> None:
        user = [Config("/h/.config/opencode/opencode.json", {"plugin": ["x"], "model": "a/b"})]
        assert check(found(user=user), policy, {}, NOW) == []


class TestManaged:
    @pytest.mark.parametrize("key", ROUTE_KEYS)
    def test_what_outranks_the_pin(self, key: str, policy: CompiledPolicy) -> None:
        managed = [Config("/etc/opencode/opencode.json", {key: "x", "theme": "t"})]
        (finding,) = check(found(managed=managed), policy, {}, NOW)
        assert (finding.rule, finding.severity, finding.subject) == ("RG302", "error", key)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("share", "disabled"), ("autoshare", False), ("plugin", []), ("plugins", []),
            ("references", {}), ("provider", {}), ("experimental", {}), ("enterprise", {}),
            ("experimental", {"openTelemetry": False}), ("enterprise", ALWAYS["enterprise"]),
        ],
    )  # fmt: skip
    def test_what_is_pinned_all_the_same(
        self, key: str, value: object, policy: CompiledPolicy
    ) -> None:
        managed = [Config("/etc/opencode/opencode.json", {key: value})]
        assert check(found(managed=managed), policy, {}, NOW) == []

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("share", "manual"), ("share", "auto"), ("share", "Disabled"), ("share", None),
            ("autoshare", True), ("autoshare", 0), ("plugin", ["x"]), ("references", {"a": "b"}),
            ("provider", {"a": {}}), ("enabled_providers", []), ("enabled_providers", {}),
            ("disabled_providers", []), ("experimental", {"openTelemetry": True}),
            ("experimental", {"openTelemetry": 0}), ("experimental", {"x": None}),
            ("enterprise", {"url": "https://e"}), ("policies", []), ("model", {}),
        ],
    )  # fmt: skip
    def test_what_differs_from_the_pin(
        self, key: str, value: object, policy: CompiledPolicy
    ) -> None:
        managed = [Config("/etc/opencode/opencode.json", {key: value})]
        (finding,) = check(found(managed=managed), policy, {}, NOW)
        assert (finding.rule, finding.severity, finding.subject) == ("RG302", "error", key)

    def test_models_of_agents(self, policy: CompiledPolicy) -> None:
        content = {"agent": {"a": {"model": "x"}, "b": {}}, "command": {"c": {"model": "x"}}}
        findings = check(found(managed=[Config("/etc/x", content)]), policy, {}, NOW)
        assert [f.subject for f in findings] == ["agent.a.model", "command.c.model"]

    def test_options_of_agents_that_reach_the_request(self, policy: CompiledPolicy) -> None:
        content = {
            "agent": {"a": {"options": {"model": "x", "seed": 1}, "virtual_key": "v"}},
            "agents": {"b": {"request": {"body": {"model": "x"}}, "system": "s"}, "c": {}},
            "mode": {"d": {"temperature": 0.1, "prompt": "p", "tools": {"bash": False}}},
        }
        findings = check(found(managed=[Config("/etc/x", content)]), policy, {}, NOW)
        subjects = ["agent.a.model", "agent.a.virtual_key", "agents.b.request"]
        assert [f.subject for f in findings] == subjects

    def test_harmless_or_unreadable(self, policy: CompiledPolicy) -> None:
        assert check(found(managed=[Config("/etc/x", {"theme": "t"})]), policy, {}, NOW) == []
        unreadable = found(managed=[Config("/etc/x", {}, "is not UTF-8")])
        assert says(check(unreadable, policy, {}, NOW)) == [("RG303", "error")]


class TestStore:
    def test_a_login_that_fetches_configuration(self, policy: CompiledPolicy) -> None:
        around = found(credentials=[("https://corp", WELLKNOWN)], credentials_file="/h/auth.json")
        (finding,) = check(around, policy, {}, NOW)
        assert (finding.rule, finding.severity, finding.where) == ("RG305", "error", "/h/auth.json")
        logout, word, allow = finding.fix.splitlines()
        assert word == "or:"
        assert logout == "opencode auth logout https://corp"
        assert allow == 'routeguard allow server https://corp --for 2h --reason "…"'
        assert says(check_store(around, policy, NOW)) == [("RG305", "error")]

    def test_one_that_the_policy_allows(self, policy: CompiledPolicy) -> None:
        policy.exceptions = (PolicyException(subject="server:https://corp", until=NOW),)
        allowed = [("https://corp", WELLKNOWN), ("https://corp/", WELLKNOWN)]
        assert says(check_store(found(credentials=allowed), policy, NOW)) == [
            ("RG305", "note"), ("RG305", "note")
        ]  # fmt: skip
        other = found(credentials=[("https://corp.evil", WELLKNOWN)])
        assert says(check_store(other, policy, NOW)) == [("RG305", "error")]
        assert says(check_store(found(credentials=allowed), policy, NOW + 1)) == [
            ("RG305", "error"), ("RG305", "error")
        ]  # fmt: skip

    @pytest.mark.parametrize("name", ["https://me:canary@corp/x?k=canary#canary", "x", "-x y"])
    def test_its_name_is_shown_without_what_may_be_secret(
        self, name: str, policy: CompiledPolicy
    ) -> None:
        (finding,) = check_store(found(credentials=[(name, WELLKNOWN)]), policy, NOW)
        shown = (finding.subject, finding.message, *finding.fix.splitlines()[1:])
        assert "canary" not in repr(shown)
        assert ("routeguard allow" in finding.fix) == name.startswith("https://")

    def test_direct_credentials_are_told(self, policy: CompiledPolicy) -> None:
        around = found(credentials=[("openai", "api"), ("anthropic", "oauth")])
        (note,) = check(around, policy, {}, NOW)
        assert (note.rule, note.severity, note.subject) == ("RG304", "note", "openai, anthropic")
        assert check_store(around, policy, NOW) == []

    @pytest.mark.parametrize(
        ("account", "fix"),
        [
            (("/h/opencode.db", ORGANISATION), "opencode console logout"),
            (("/h/opencode.db", CONSOLE), "opencode db 'delete from credential where "),
            (("/h/opencode-x.db", CONSOLE), "sqlite3 /h/opencode-x.db 'delete from credential "),
        ],
    )
    def test_a_login_to_the_console(
        self, account: tuple[str, str], fix: str, policy: CompiledPolicy
    ) -> None:
        (finding,) = check_store(found(accounts=[account]), policy, NOW)
        assert (finding.rule, finding.severity, finding.where) == ("RG302", "error", account[0])
        assert finding.fix.startswith(fix)

    def test_a_store_that_cannot_be_read(self, policy: CompiledPolicy) -> None:
        around = found(unreadable_store=[("/h/auth.json", "is not a JSON object")])
        assert says(check(around, policy, {}, NOW)) == [("RG303", "error")]
        assert says(check_store(around, policy, NOW)) == [("RG303", "error")]
        assert check_project(around, policy, {}, NOW) == []

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("", []),
            ("{}", []),
            ('{"openai": {"type": "api", "key": "canary"}}', ["RG304"]),
            ('{"http://evil": {"type": "wellknown"}}', ["RG305"]),
            ('{"a": {"type": "api", "key": "k"}, "http://e": {"type": "wellknown"}}',
             ["RG305", "RG304"]),
            ('{"a": 1}', ["RG303"]),
            ("{", ["RG303"]),
            ("null", ["RG303"]),
            ("[]", ["RG303"]),
            (" ", ["RG303"]),
        ],
    )  # fmt: skip
    def test_a_store_in_the_environment(
        self, content: str, expected: list[str], policy: CompiledPolicy
    ) -> None:
        assert [f.rule for f in check_inline_store(content, policy, NOW)] == expected


def test_nothing_around_nothing_found(policy: CompiledPolicy) -> None:
    assert check(found(), policy, {}, NOW) == []
