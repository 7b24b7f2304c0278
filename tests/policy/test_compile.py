"""What only the whole policy shows, and what the catalogue adds."""

from __future__ import annotations

import pytest

from guard.errors import PolicyError
from guard.policy.problems import InvalidPolicyError


def refused(machine, text: str):
    """The one problem of the user policy `text`."""
    machine.write(machine.user, text)
    with pytest.raises(InvalidPolicyError) as caught:
        machine.load()
    (problem,) = caught.value.problems
    assert problem.file == str(machine.user)
    return problem


class TestDefaultModel:
    def test_unknown_provider(self, machine):
        problem = refused(machine, "[gateway]\ndefault = 'openai/gpt-4o'")
        assert (problem.line, problem.key, problem.found) == (2, "gateway.default", '"openai"')
        assert problem.accepted == "portkey"

    def test_small_with_unknown_provider(self, machine):
        assert refused(machine, "[gateway]\nsmall = 'openai/x'").key == "gateway.small"

    @pytest.mark.parametrize(
        ("providers", "expected"),
        [
            ("[gateway.providers.portkey]", "portkey/gpt-4o"),
            ("[gateway.providers.portkey]\nmodels = ['a', 'gpt-4o']", "portkey/gpt-4o"),
            ("[gateway.providers.portkey]\nmodels = ['a', 'b']", "portkey/a"),
            ("[gateway.providers.x]\nmodels = ['a/b']", "x/a/b"),
            ("[gateway.providers.x]\n[gateway.providers.y]\nmodels = ['m']", "y/m"),
        ],
    )
    def test_of_the_providers_if_not_set(self, machine, providers, expected):
        machine.write(machine.user, providers)
        policy = machine.load()
        assert policy.default_model == policy.small_model == expected
        assert policy.default_provider.name == expected.partition("/")[0]

    def test_cannot_be_found(self, machine):
        problem = refused(machine, "[gateway.providers.x]\nslug = 'x'")
        assert problem.key == "gateway.default"
        assert 'default = "x/MODEL"' in problem.fix

    def test_titles(self, machine):
        machine.write(
            machine.user,
            "[gateway.providers.portkey]\n[gateway.providers.portkey-x]\n"
            "[gateway.providers.y]\nname = 'Why'",
        )
        titles = [provider.title for provider in machine.load().providers]
        assert titles == ["Portkey", "portkey-x", "Why"]


class TestGatewayKey:
    def test_providers_use_it(self, machine):
        machine.write(
            machine.user,
            "[gateway]\nkey = { command = ['a', 'b'], timeout = 3 }\n"
            "[gateway.providers.portkey]\n[gateway.providers.own]\nkey = { env = 'OWN_KEY' }",
        )
        first, second = machine.load().providers
        assert (first.key_env, first.key_command, first.key_timeout) == ("", ("a", "b"), 3.0)
        assert (second.key_env, second.key_command) == ("OWN_KEY", ())

    @pytest.mark.parametrize("text", ["[keys]\nextra", "[environment]\nremove"])
    def test_cannot_be_removed_by_mistake(self, machine, text):
        problem = refused(machine, f"{text} = ['OTHER_X', 'PORTKEY_API_KEY']")
        assert "gateway key" in problem.message
        assert problem.found == "PORTKEY_API_KEY"

    @pytest.mark.parametrize("text", ["[keys]\nextra", "[environment]\nremove"])
    def test_cannot_be_removed_by_a_project(self, machine, text):
        machine.write(machine.user, "[gateway.providers.portkey]\nkey = { env = 'CORP_KEY' }")
        machine.write(machine.project, f"{text} = ['CORP_KEY', 'OTHER_X']")
        policy = machine.load()
        assert policy.keys_extra + policy.remove == ("OTHER_X",)
        assert "gateway key" in policy.notes[0]


class TestCatalogue:
    @pytest.mark.parametrize("host", ["api.openai.com", "api.anthropic.com", "openrouter.ai"])
    def test_base_url_of_a_provider(self, machine, host):
        problem = refused(machine, f"[gateway]\nbase_url = 'https://{host}/v1'")
        assert problem.message == "is a model provider, not the gateway"

    def test_loopback_gateway(self, machine):
        machine.write(machine.user, "[gateway]\nbase_url = 'http://127.0.0.1:1234/v1'")
        assert machine.load().base_url == "http://127.0.0.1:1234/v1"

    def test_extra(self, machine):
        machine.write(
            machine.user,
            "[keys]\nextra = ['MY_LLM', 'GITHUB_TOKEN', 'OPENAI_API_KEY', 'NODE_OPTIONS',"
            " 'LD_PRELOAD', 'BUN_X', 'HTTPS_PROXY', 'OPENAI_BASE_URL']",
        )
        policy = machine.load()
        assert policy.keys_extra == ("MY_LLM", "GITHUB_TOKEN", "OPENAI_API_KEY")
        assert policy.variables["MY_LLM"] == ("provider_key", "your policy")
        assert policy.variables["GITHUB_TOKEN"] == ("provider_key", "your policy")
        assert policy.variables["OPENAI_API_KEY"] == ("provider_key", "OpenAI")
        assert policy.variables["NODE_OPTIONS"][0] == "runtime"
        assert "BUN_X" not in policy.variables
        assert len(policy.notes) == 5


class TestExceptions:
    def test_expired_is_not_honoured(self, machine):
        machine.write(
            machine.user,
            "[[exception]]\nsubject = 'env:A_B'\nreason = 'r'\nuntil = 2020-01-01\n"
            "[[exception]]\nsubject = 'env:C_D'\nreason = 'r'\nuntil = 2100-01-01\n",
        )
        policy = machine.load()
        assert policy.excepted("env:A_B") is None
        assert policy.excepted("env:C_D").reason == "r"

    def test_digest_is_lower_case(self, machine):
        machine.write(
            machine.user,
            "[[exception]]\nsubject = 'file:/x'\nreason = ' r '\nuntil = 2100-01-01\n"
            f"sha256 = '{'A' * 64}'",
        )
        exception = machine.load().excepted("file:/x")
        assert (exception.sha256, exception.reason) == ("a" * 64, "r")


def test_notes_of_one_file_are_bounded(machine):
    names = ", ".join(f"'XDG_{number}'" for number in range(500))
    machine.write(machine.project, f"[keys]\nextra = [{names}]")
    notes = machine.load().notes
    assert len(notes) == 31
    assert notes[-1].endswith("470 more dropped")


def test_files_that_do_not_exist_are_no_layers(machine):
    machine.write(machine.system, "")
    assert machine.load().layers == (("system", str(machine.system)),)


def test_an_error_names_the_way_out(machine):
    machine.write(machine.user, "x = 1")
    with pytest.raises(PolicyError) as caught:
        machine.load()
    assert "routeguard policy validate" in caught.value.render()


def test_ports_to_hold_are_sorted(machine):
    machine.write(machine.system, "[proxies]\nhold = [9001, 9000]")
    machine.write(machine.user, "[proxies]\nhold = [8999, 9001]")
    assert machine.load().proxies_hold == (8999, 9000, 9001)


@pytest.mark.parametrize("host", ["https://gw.example.com:8443/v1", "http://[::1]:8443/v1"])
def test_the_gateways_port_is_not_held(machine, host):
    machine.write(machine.system, f"[gateway]\nbase_url = '{host}'")
    machine.write(machine.user, "[proxies]\nhold = [\n  9000,\n  8443,\n]")
    with pytest.raises(InvalidPolicyError) as caught:
        machine.load()
    (problem,) = caught.value.problems
    assert (problem.where, problem.key) == (f"{machine.user}:4:3", "proxies.hold")
    assert problem.found == "8443"


LISTED = '[agents.claude-code]\nmodels = ["a", "b"]\n'


def test_an_agents_models_are_among_those_it_may_ask_for(machine):
    machine.write(machine.user, LISTED + 'model = "b"\n')
    route = machine.load().route_of("claude-code")
    assert (route.models, route.model, route.small) == (("a", "b"), "b", "a")
    problem = refused(machine, LISTED + 'small = "c"\n')
    assert (problem.key, problem.found) == ("agents.claude-code.small", '"c"')


def test_a_user_adds_no_model_to_the_systems(machine):
    machine.write(machine.system, LISTED, 0o644)
    machine.write(machine.user, '[agents.claude-code]\nmodels = ["c"]\nmodel = "c"\nsmall = "b"\n')
    policy = machine.load()
    route = policy.route_of("claude-code")
    assert (route.models, route.model, route.small) == (("a", "b"), "", "b")
    assert len([note for note in policy.notes if "agents.claude-code.model" in note]) == 2
    machine.write(machine.system, '[agents.claude-code]\nmodel = "z"\n', 0o644)
    assert refused(machine, LISTED).key == "agents.claude-code.models"
