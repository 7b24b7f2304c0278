"""What a typed model and provider become."""

from __future__ import annotations

import pytest

from guard.agents.keys import FORBIDDEN
from guard.agents.opencode.config import provider_ids
from guard.agents.opencode.route import ProviderModel, Router
from guard.findings import Finding
from guard.policy.values import CompiledPolicy, GatewayProvider


@pytest.mark.parametrize(
    ("model", "provider", "route"),
    [
        (None, None, "portkey/gpt-4o"),
        ("", None, "portkey/gpt-4o"),
        (None, "portkey", "portkey/gpt-4o"),
        ("", "portkey", "portkey/gpt-4o"),
        (None, "portkey-openrouter", "portkey-openrouter/mistralai/mistral-7b-instruct"),
        ("gpt-4", None, "portkey/gpt-4"),
        ("gpt-4", "portkey-openrouter", "portkey-openrouter/gpt-4"),
        ("portkey/gpt-4", None, "portkey/gpt-4"),
        ("portkey-abcdefghij/gpt-4", None, "portkey/gpt-4"),
        ("portkey/gpt-4", "portkey", "portkey/gpt-4"),
        ("portkey-abcdefghij/gpt-4", "portkey", "portkey/gpt-4"),
        ("openai/gpt-4", "portkey", "portkey/openai/gpt-4"),
        ("portkey/anthropic/x", None, "portkey/anthropic/x"),
        ("@slug/gpt-4", None, "portkey/@slug/gpt-4"),
        ("@slug/gpt-4", "portkey-openrouter", "portkey-openrouter/@slug/gpt-4"),
        ("meta-llama/x:free", None, "portkey/meta-llama/x:free"),
        ("mistral", None, "portkey/mistral"),
    ],
)
def test_routes(model: str | None, provider: str | None, route: str, router: Router) -> None:
    found = router.resolve(model, provider)
    assert isinstance(found, ProviderModel), found
    assert str(found) == route


@pytest.mark.parametrize(
    ("model", "provider", "rule", "fix"),
    [
        ("anthropic/x", None, "RG201", "use -m portkey/x"),
        ("anthropic/", None, "RG201", "use -m portkey/MODEL"),
        ("x", "anthropic", "RG201", "use -m portkey/x"),
        ("anthropic/x", "anthropic", "RG201", "use -m portkey/x"),
        (None, "anthropic", "RG201", "use -m portkey/MODEL"),
        (None, "nobody", "RG201", "The policy has: portkey, portkey-openrouter"),
        ("portky/x", None, "RG201", "did you mean -m portkey/x?"),
        ("prtkey/x", None, "RG201", "did you mean -m portkey/x?"),
        ("protkey/x", None, "RG201", "did you mean -m portkey/x?"),
        ("portkey-openroutr/x", None, "RG201", "did you mean -m portkey-openrouter/x?"),
        ("portkey-anything/x", None, "RG201", "did you mean -m portkey/x?"),
        (None, "portkye", "RG201", "did you mean --provider portkey?"),
        ("portkey/", None, "RG205", "--model MODEL (declared: gpt-4o, gpt-4o-mini)"),
        ("portkey-openrouter/x", "portkey", "RG205", "-m portkey/x or -m portkey-openrouter/x"),
    ],
)
def test_findings(
    model: str | None, provider: str | None, rule: str, fix: str, router: Router
) -> None:
    found = router.resolve(model, provider)
    assert isinstance(found, Finding), found
    assert found.rule == rule
    assert fix in found.fix
    assert found.where == "command line"


@pytest.mark.parametrize("char", [*sorted(FORBIDDEN), " ", "\t", "\n", "\x1b", "\u2028", "\udcff"])
@pytest.mark.parametrize("what", ["model", "provider"])
def test_characters_that_could_change_the_config(char: str, what: str, router: Router) -> None:
    text = f"portkey/a{char}b"
    found = router.resolve(text, None) if what == "model" else router.resolve(None, text)
    assert isinstance(found, Finding)
    assert found.rule == "RG205"
    assert char.isprintable() or char not in found.message


def test_a_default_without_models_and_a_provider_without_any() -> None:
    policy = CompiledPolicy(
        providers=(GatewayProvider(), GatewayProvider(name="empty", models=())),
    )
    router = Router(policy, provider_ids(policy, "s"), ())
    found = router.resolve(None, "empty")
    assert isinstance(found, Finding)
    assert (found.rule, found.fix) == ("RG205", "add --model MODEL")


class TestReroute:
    @pytest.fixture
    def rerouter(self, policy: CompiledPolicy, ids: dict[str, str]) -> Router:
        policy.foreign_provider = "reroute"
        policy.reroute = {"anthropic": "anthropic-prod"}
        return Router(policy, ids, frozenset(("anthropic", "openai")))

    @pytest.mark.parametrize("typed", [("anthropic/x", None), ("x", "anthropic")])
    def test_with_a_slug(self, typed: tuple[str, str | None], rerouter: Router) -> None:
        found = rerouter.resolve(*typed)
        assert isinstance(found, ProviderModel)
        assert (str(found), found.rerouted_from) == ("portkey/@anthropic-prod/x", "anthropic")

    def test_without_a_slug_or_a_model(self, rerouter: Router) -> None:
        for model, provider in (("openai/x", None), (None, "anthropic"), ("anthropic/", None)):
            found = rerouter.resolve(model, provider)
            assert isinstance(found, Finding)
            assert found.rule == "RG201"

    def test_a_slug_alone_reroutes_nothing(self, policy: CompiledPolicy) -> None:
        policy.reroute = {"anthropic": "anthropic-prod"}
        found = Router(policy, {"portkey": "p-s"}, ("anthropic",)).resolve("anthropic/x", None)
        assert isinstance(found, Finding)
        assert "use -m portkey/@anthropic-prod/x" in found.fix


def test_a_provider_of_the_users_own_config_is_foreign(
    policy: CompiledPolicy, ids: dict[str, str]
) -> None:
    found = Router(policy, ids, {"my-llm"}).resolve("my-llm/x", None)
    assert isinstance(found, Finding)


def test_a_name_of_ours_is_never_foreign(policy: CompiledPolicy, ids: dict[str, str]) -> None:
    found = Router(policy, ids, {"portkey"}).resolve("portkey/x", None)
    assert isinstance(found, ProviderModel)


def test_routes_compare_by_value() -> None:
    assert ProviderModel("a", "b") == ProviderModel("a", "b", rerouted_from="c")
    assert ProviderModel("a", "b") != ProviderModel("a", "c")
    assert ProviderModel("a", "b") != "a/b"
    assert repr(ProviderModel("a", "b")) == "ProviderModel('a/b')"
