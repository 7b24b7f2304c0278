"""The data is whole, says where it comes from, and agrees with what is known about it."""

from __future__ import annotations

import hashlib
import json
import os
import py_compile
import re
from collections import Counter
from importlib.util import cache_from_source
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from guard.agents.opencode import KEEPS
from guard.agents.opencode.variables import SWITCHES
from guard.catalog import entries
from guard.catalog.classify import KIND_RULES
from guard.files.lock import lock
from guard.rule_table import RULES

PROVIDERS = entries.providers()
VARIABLES = entries.variables()
NAMES = [name for provider in PROVIDERS.values() for name in provider.env]

OTHER_SERVICES = """
DATADOG_API_KEY DD_API_KEY DD_APP_KEY NEW_RELIC_API_KEY PAGERDUTY_API_KEY OPSGENIE_API_KEY
HONEYCOMB_API_KEY GRAFANA_API_KEY ROLLBAR_API_KEY BUGSNAG_API_KEY AMPLITUDE_API_KEY POSTHOG_API_KEY
SENDGRID_API_KEY MAILGUN_API_KEY MAILCHIMP_API_KEY RESEND_API_KEY BREVO_API_KEY POSTMARK_API_KEY
TWILIO_API_KEY VONAGE_API_KEY PUSHER_API_KEY STRIPE_API_KEY COINGECKO_API_KEY ALPHAVANTAGE_API_KEY
ETHERSCAN_API_KEY INFURA_API_KEY ALCHEMY_API_KEY BINANCE_API_KEY EXCHANGE_API_KEY ALGOLIA_API_KEY
ALGOLIA_ADMIN_API_KEY ELASTIC_API_KEY PINECONE_API_KEY WEAVIATE_API_KEY QDRANT_API_KEY
GOOGLE_MAPS_API_KEY MAPBOX_API_KEY OPENWEATHER_API_KEY OPENWEATHERMAP_API_KEY YOUTUBE_API_KEY
TMDB_API_KEY NEWS_API_KEY STEAM_API_KEY CLOUDINARY_API_KEY GHOST_ADMIN_API_KEY LINEAR_API_KEY
NOTION_API_KEY AIRTABLE_API_KEY FIGMA_API_KEY ASANA_API_KEY TRELLO_API_KEY CONTEXT7_API_KEY
HEROKU_API_KEY FASTLY_API_KEY GODADDY_API_KEY FIREBASE_API_KEY NUGET_API_KEY GEM_HOST_API_KEY
SHODAN_API_KEY VIRUSTOTAL_API_KEY SNYK_API_KEY SEMGREP_API_KEY CODECOV_API_KEY
""".split()  # noqa: SIM905

MODEL_KEYS_OUTSIDE_THE_PROVIDER_LIST = """
AZURE_OPENAI_API_KEY AZURE_OPENAI_KEY CO_API_KEY GOOGLE_VERTEX_API_KEY GOOGLE_AI_API_KEY
PALM_API_KEY ALIBABA_API_KEY QWEN_API_KEY TOGETHERAI_API_KEY TOGETHER_AI_API_KEY VERCEL_API_KEY
REPLICATE_API_TOKEN REPLICATE_API_KEY HUGGINGFACE_API_KEY HUGGINGFACEHUB_API_TOKEN
HUGGING_FACE_HUB_TOKEN CLAUDE_API_KEY CLAUDE_CODE_OAUTH_TOKEN ANTHROPIC_AUTH_TOKEN
COPILOT_PROVIDER_API_KEY COPILOT_GITHUB_TOKEN CURSOR_API_KEY GROK_API_KEY GLM_API_KEY ZAI_API_KEY
Z_AI_API_KEY BIGMODEL_API_KEY PPLX_API_KEY LITELLM_API_KEY LITELLM_MASTER_KEY ANYSCALE_API_KEY
HYPERBOLIC_API_KEY SAMBANOVA_API_KEY LAMBDA_API_KEY FIREWORKS_AI_API_KEY DEEPINFRA_TOKEN
NVIDIA_NIM_API_KEY WATSONX_APIKEY WATSONX_API_KEY OPENAI_KEY LEPTON_API_KEY
CF_AIG_TOKEN SNOWFLAKE_CORTEX_TOKEN VERCEL_OIDC_TOKEN OPENCODE_CONSOLE_TOKEN
""".split()  # noqa: SIM905

SHARED = {
    "ALIBABA_CODING_PLAN_API_KEY": 2,
    "ALIBABA_TOKEN_PLAN_API_KEY": 2,
    "CLOUDFLARE_ACCOUNT_ID": 2,
    "DASHSCOPE_API_KEY": 2,
    "GOOGLE_APPLICATION_CREDENTIALS": 2,
    "GOOGLE_VERTEX_LOCATION": 2,
    "GOOGLE_VERTEX_PROJECT": 2,
    "KIMI_API_KEY": 2,
    "LLMGATEWAY_API_KEY": 2,
    "MINIMAX_API_KEY": 4,
    "MOONSHOT_API_KEY": 2,
    "OPENCODE_API_KEY": 2,
    "PERPLEXITY_API_KEY": 2,
    "STEPFUN_API_KEY": 4,
    "XIAOMI_API_KEY": 4,
    "ZHIPU_API_KEY": 4,
}


def test_provider_list_is_the_one_that_was_observed() -> None:
    """Its content by digest: an edit by hand would make the data something nobody has seen."""
    (path,) = [name for name in entries.data_files() if name.endswith("providers.json")]
    raw = json.loads(Path(path).read_text("utf-8"))
    canonical = json.dumps(raw, sort_keys=True, separators=(",", ":")).encode()
    assert (
        hashlib.sha256(canonical).hexdigest()
        == "87b2c0ad809e65a5e00b50918b3c1b9d918bdb6d76b2862882af3e46aba87e1d"
    )
    assert "opencode 1.18.33" in entries.provenance()


def test_numbers_of_the_provider_list() -> None:
    keys = {name for name in NAMES if name.endswith("_API_KEY")}
    assert len(PROVIDERS) == 225
    assert len(set(NAMES)) == 221
    assert len(keys) == 186
    assert len(set(NAMES) - keys) == 35
    assert sum(len(provider.env) > 1 for provider in PROVIDERS.values()) == 14
    assert sum(not provider.api for provider in PROVIDERS.values()) == 26
    assert sum("${" in provider.api for provider in PROVIDERS.values()) == 5
    local = [p.id for p in PROVIDERS.values() if p.host in ("127.0.0.1", "localhost")]
    assert sorted(local) == ["atomic-chat", "lmstudio", "lynkr", "privatemode-ai"]


def test_names_shared_by_several_providers() -> None:
    shared = {name: count for name, count in Counter(NAMES).items() if count > 1}
    assert shared == SHARED
    for name, count in SHARED.items():
        assert len(VARIABLES[name].providers) == count


def test_every_provider_name_is_a_variable_that_opens_it() -> None:
    for provider in PROVIDERS.values():
        for name in provider.env:
            assert provider.id in VARIABLES[name].providers


def test_kinds_of_the_provider_names() -> None:
    """Nothing that opens a provider is without a kind that says what to do about it."""
    counted = Counter(VARIABLES[name].kind for name in set(NAMES))
    assert set(counted) == {"provider_key", "provider_setting", "ambient", "base_url"}
    # a name that does not look like a secret must not be scrubbed as one
    for name in set(NAMES):
        if name.endswith(("_REGION", "_HOST", "_ID", "_ENDPOINT", "_URL", "_NAME", "_LOCATION")):
            assert VARIABLES[name].kind != "provider_key", name


def test_services_without_models() -> None:
    for name in OTHER_SERVICES:
        assert VARIABLES[name].kind == "other_service", name
        assert VARIABLES[name].rule == "", name
        assert name not in NAMES


def test_model_keys_that_the_provider_list_lacks() -> None:
    for name in MODEL_KEYS_OUTSIDE_THE_PROVIDER_LIST:
        assert VARIABLES[name].kind == "provider_key", name
        assert name not in NAMES


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_REGION",
        "GITHUB_TOKEN",
        "GITLAB_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_CLOUD_PROJECT",
        "HF_TOKEN",
        "DATABRICKS_HOST",
        "DATABRICKS_TOKEN",
        "SNOWFLAKE_ACCOUNT",
        "DIGITALOCEAN_ACCESS_TOKEN",
        "WANDB_API_KEY",
        "VULTR_API_KEY",
        "SCALEWAY_API_KEY",
        "HETZNER_API_KEY",
        "OVHCLOUD_API_KEY",
        "STACKIT_API_KEY",
    ],
)
def test_what_other_tools_need_is_left_alone(name: str) -> None:
    assert VARIABLES[name].kind == "ambient"
    assert RULES[VARIABLES[name].rule].severity == "note"


def test_cloudflare_names_go_together() -> None:
    """Account and gateway id without the token crash every opencode command."""
    names = [name for name in VARIABLES if name.startswith("CLOUDFLARE_")]
    assert len(names) == 4
    assert {VARIABLES[name].kind for name in names} == {"ambient"}
    assert all("crash" in VARIABLES[name].note for name in names)


def test_a_name_that_no_shell_can_hold() -> None:
    found = VARIABLES["302AI_API_KEY"]
    assert not found.name.isidentifier()
    assert found.kind == "provider_key"
    assert found.providers == ("302ai",)


def test_names_outside_the_list_that_open_a_provider() -> None:
    assert VARIABLES["AWS_PROFILE"].providers == ("amazon-bedrock",)
    assert "google-vertex" in VARIABLES["GCLOUD_PROJECT"].providers
    assert VARIABLES["ANTHROPIC_AUTH_TOKEN"].providers == ()


def test_every_group_says_what_and_from_where() -> None:
    content = entries.data("variables.toml")
    seen: Counter[str] = Counter()
    for group in content["group"]:
        assert set(group) <= {
            *("kind", "owner", "names", "owners", "opens", "rule", "sure", "source", "note")
        }
        assert group["kind"] in entries.KINDS
        assert group["source"]
        assert group["sure"] in ("run", "src", "doc", "3p", "common")
        assert ("owners" in group) != ("names" in group and "owner" in group)
        assert group.get("rule", "") in ("", *RULES)
        assert set(group.get("opens", ())) <= set(PROVIDERS)
        seen.update(list(group.get("owners") or group["names"]))
    assert [name for name, count in seen.items() if count > 1] == []
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", name) for name in seen)


def test_every_variable_has_a_known_kind_and_rule() -> None:
    for variable in VARIABLES.values():
        assert variable.kind in entries.KINDS
        assert variable.rule in ("", *RULES)
        assert variable.owner
        assert variable.source
    assert set(KIND_RULES) <= set(entries.KINDS)


def test_no_name_of_the_gateway_in_the_provider_list() -> None:
    for provider in PROVIDERS.values():
        assert "portkey" not in f"{provider.id} {provider.api} {provider.env}".lower()
    assert VARIABLES["PORTKEY_API_KEY"].kind == "gateway_key"


def test_hosts_serve_models() -> None:
    hosts = entries.hosts()
    assert {"api.openai.com", "api.anthropic.com", "openrouter.ai", "opencode.ai"} <= hosts
    assert not {"", "localhost", "127.0.0.1", "api.cloudflare.com", "api.portkey.ai"} & hosts
    assert all(re.fullmatch(r"[a-z0-9.-]+\.[a-z]+", host) for host in hosts)
    for provider in PROVIDERS.values():
        if provider.api and "${" not in provider.api:
            assert provider.host == urlsplit(provider.api).hostname


def test_each_provider_without_an_address_has_a_host_or_a_reason() -> None:
    content = entries.data("hosts.toml")
    without = {provider.id for provider in PROVIDERS.values() if not provider.api}
    assert set(content["sdk_default"]) | set(content["no_default"]) == without
    assert not set(content["sdk_default"]) & set(content["no_default"])


def test_data_files_are_there() -> None:
    for path in entries.data_files():
        assert os.path.isabs(path)
        assert os.path.isfile(path)


def test_what_is_returned_can_be_changed_without_harm() -> None:
    entries.variables().clear()
    entries.providers().clear()
    assert entries.variables()
    assert entries.providers()


@pytest.mark.parametrize(
    ("name", "kind", "owner", "rule"),
    [
        ("ANTHROPIC_API_KEY", "provider_key", "Anthropic", "RG101"),
        ("MY_LLM", "provider_key", "your policy", "RG101"),
        ("OPENAI_API_KEY", "gateway_key", "Portkey", "RG106"),
        ("OPENCODE_SOMETHING_NEW", "agent_redirect", "opencode", "RG105"),
        ("NODE_ENV", "runtime", "Node.js", ""),
        ("NODE_OPTIONS", "runtime", "Node.js", "RG108"),
        ("WHOEVER_API_KEY", "unknown_key", "", "RG102"),
        ("EDITOR", "", "", ""),
    ],
)
def test_describe(name: str, kind: str, owner: str, rule: str) -> None:
    found = entries.describe(name, kind, owner)
    assert (found.name, found.kind, found.owner, found.rule) == (name, kind, owner, rule)


def test_the_docs_name_every_kind_and_every_file() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "catalog.md").read_text("utf-8")
    for kind in entries.KINDS:
        assert not kind or f"| `{kind}` |" in text
    for path in entries.data_files():
        assert f"`{os.path.basename(path)}`" in text
    for pattern in entries.data("variables.toml")["pattern"]:
        assert f"`{pattern.get('prefix') or pattern['suffix']}`" in text


def test_agent_variables_that_a_launch_leaves_are_those_that_mean_nothing() -> None:
    """Two rooms keep a list of them for two purposes; a name on one only would slip through."""
    harmless = {v.name for v in VARIABLES.values() if v.kind == "" and v.owner == "opencode"}
    assert harmless == {name for name in KEEPS if "=" not in name}
    for name in SWITCHES:
        assert VARIABLES[name].kind == "agent_redirect"
        assert VARIABLES[name].rule == ""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where parsed tables of the data files in `tmp_path` are kept, and they are."""
    (tmp_path / "__pycache__").mkdir()
    monkeypatch.setattr(entries, "_HERE", str(tmp_path))
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    return Path(cache_from_source(str(tmp_path / "tables.py")))


def test_a_table_that_another_process_added_meanwhile_stays(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "tuv":
        (tmp_path / f"{name}.toml").write_text(f"{name} = 1\n")
    mine: dict[str, object] = {}
    for name, cache in (("t", mine), ("u", {}), ("v", mine)):
        monkeypatch.setattr(entries, "_cache", cache)
        assert entries.data(f"{name}.toml") == {name: 1}
    assert json.loads(kept.read_text()).keys() == {"t.toml", "u.toml", "v.toml"}


def test_a_table_is_added_by_one_process_at_a_time(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "_PATIENCE", 0)
    (tmp_path / "t.toml").write_text("t = 1\n")
    with lock(str(kept.parent), 0, directory=True):
        monkeypatch.setattr(entries, "_cache", {})
        assert entries.data("t.toml") == {"t": 1}
        assert not kept.exists(), "the other one writes, and would not know of it"
    monkeypatch.setattr(entries, "_cache", {})
    assert entries.data("t.toml") == {"t": 1}
    assert kept.exists()


def test_a_table_is_parsed_once_for_each_state_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "__pycache__").mkdir()
    source, kept = tmp_path / "t.toml", Path(cache_from_source(str(tmp_path / "tables.py")))
    other_table = tmp_path / "u.toml"
    monkeypatch.setattr(entries, "_HERE", str(tmp_path))
    monkeypatch.setattr("sys.dont_write_bytecode", False)

    def read() -> object:
        monkeypatch.setattr(entries, "_cache", {})
        return entries.data("t.toml")

    source.write_text('a = ["1", 2]\n')
    assert read() == {"a": ["1", 2]}
    assert kept.stat().st_mode & 0o777 == 0o644
    monkeypatch.setattr("tomllib.load", lambda _: {})
    assert read() == {"a": ["1", 2]}
    monkeypatch.undo()
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    other_table.write_text("u = 1\n")
    monkeypatch.setattr(entries, "_cache", {})
    monkeypatch.setattr(entries, "_HERE", str(tmp_path))
    assert entries.data("u.toml") == {"u": 1}
    assert json.loads(kept.read_text()).keys() == {"t.toml", "u.toml"}
    monkeypatch.setattr(entries, "_HERE", str(tmp_path))
    for other in ("b = 1\n", "b = 2\n"):
        source.write_text(other)
        # as of an archive whose files have one time each, and here one size
        os.utime(source, ns=(0, 0))
        assert read() == {"b": int(other[4])}
    forms = ("", "[]", "{", "7", '{"t.toml": 7}', '{"t.toml": [[1], {"c": 1}]}', "\udcff\udcfe")
    for damaged in (*forms, '{"t.toml": [null, 1]}', '{"t.toml": [[1]]}'):
        kept.write_bytes(os.fsencode(damaged))
        assert read() == {"b": 2}
    # Python's own bytecode of the module, as pip writes it
    (tmp_path / "tables.py").touch()
    py_compile.compile(str(tmp_path / "tables.py"))
    assert kept.exists()
    assert read() == {"b": 2}
    kept.unlink()
    (tmp_path / "__pycache__").rmdir()
    assert read() == {"b": 2}
