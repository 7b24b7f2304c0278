"""Keys written out: every vendor's form, what only looks like one, and hostile text."""

from __future__ import annotations

import random
import re
import string

import pytest

from guard.catalog.secret_patterns import secret_patterns
from guard.policy.values import CompiledPolicy, GatewayProvider
from guard.rules.files import secrets
from guard.rules.files.secrets import DETECTOR, variable_kind
from guard.sources.file import SourceFile

LETTERS = string.ascii_letters + string.digits
URL_SAFE = LETTERS + "-_"
HEX = "0123456789abcdef"
POLICY = CompiledPolicy()


def drawn(alphabet: str, length: int, seed: object) -> str:
    """`length` characters, the same for the same seed."""
    chosen = random.Random(str(seed))
    return "".join(chosen.choice(alphabet) for _ in range(length))


def subjects(text: str, policy: CompiledPolicy = POLICY) -> list[str]:
    found = DETECTOR.check(SourceFile("x", text.encode()), policy)
    return [finding.subject for finding in found if not finding.placeholder]


KEYS = {
    "Anthropic": lambda seed: "sk-ant-api03-" + drawn(URL_SAFE, 93, seed) + "AA",
    "OpenRouter": lambda seed: "sk-or-v1-" + drawn(HEX, 64, seed),
    "OpenAI": lambda seed: f"sk-proj-{drawn(URL_SAFE, 74, seed)}T3BlbkFJ{drawn(LETTERS, 74, seed)}",
    "Groq": lambda seed: "gsk_" + drawn(LETTERS, 52, seed),
    "xAI": lambda seed: "xai-" + drawn(LETTERS, 80, seed),
    "Hugging Face": lambda seed: "hf_" + drawn(string.ascii_letters, 34, seed),
    "Replicate": lambda seed: "r8_" + drawn(LETTERS, 37, seed),
    "Perplexity": lambda seed: "pplx-" + drawn(LETTERS, 48, seed),
    "NVIDIA": lambda seed: "nvapi-" + drawn(LETTERS, 64, seed),
    "Cerebras": lambda seed: "csk-" + drawn(string.ascii_lowercase + string.digits, 48, seed),
    "Together AI": lambda seed: "tgp_v1_" + drawn(LETTERS, 43, seed),
    "Vercel AI Gateway": lambda seed: "vck_" + drawn(LETTERS, 56, seed),
    "Amazon Bedrock": lambda seed: "ABSK" + drawn(LETTERS, 128, seed),
}


@pytest.mark.parametrize("owner", KEYS)
def test_a_key_of_each_vendor_is_found_by_its_form_alone(owner: str) -> None:
    for seed in range(40):
        assert subjects(f"before\n  '{KEYS[owner](seed)}' after") == [owner]


@pytest.mark.parametrize("owner", KEYS)
def test_a_key_inside_a_longer_word_is_none(owner: str) -> None:
    assert subjects("x" + KEYS[owner](1)) == []


def test_a_key_after_an_escape_in_a_json_string_is_found() -> None:
    assert subjects('{"text": "key:\\n' + KEYS["Anthropic"](3) + '"}') == ["Anthropic"]


def test_the_place_is_the_key_itself() -> None:
    key = KEYS["Groq"](5)
    (finding,) = DETECTOR.check(SourceFile("a.py", f"x = 1\nk = '{key}'\n".encode()), POLICY)
    assert (finding.rule, finding.line, finding.column) == ("RG111", 2, 6)
    assert finding.end_column - finding.column == len(key)
    assert key not in f"{finding.subject}{finding.message}{finding.fix}{finding.where}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# gemini\nkey = 'AIza{url35}'", ["Google"]),
        ("# maps\nkey = 'AIza{url35}'", []),
        (
            "DEEPSEEK_API_KEY=sk-{hex32}",
            ["DeepSeek, DashScope or another OpenAI-compatible provider"],
        ),
        ("sku = 'sk-{hex32}'", []),
        ("fireworks = fw_{let24}", ["Fireworks AI"]),
        ("firmware = fw_{let24}", []),
    ],
)
def test_an_ambiguous_form_needs_a_word_nearby(text: str, found: list[str]) -> None:
    filled = text.format(
        url35=drawn(LETTERS, 35, 1), hex32=drawn(HEX, 32, 2), let24=drawn(LETTERS, 24, 3)
    )
    assert subjects(filled) == found


@pytest.mark.parametrize(
    "shape",
    [
        "MISTRAL_API_KEY={}",
        "export MISTRAL_API_KEY='{}'",
        '"MISTRAL_API_KEY": "{}"',
        'os.environ["MISTRAL_API_KEY"] = "{}"',
        'os.environ.setdefault("MISTRAL_API_KEY", "{}")',
        '- name: MISTRAL_API_KEY\n  value: "{}"',
        "docker run -e MISTRAL_API_KEY={} image",
        "MISTRAL_API_KEY ?= {}",
        "mistral:\n  api_key: {}",
        'client = Mistral(api_key="{}")',
        "mistralApiKey: '{}'",
    ],
)
def test_a_key_without_a_form_is_found_by_the_name_before_it(shape: str) -> None:
    for seed in range(20):
        assert len(subjects(shape.format(drawn(LETTERS, 32, seed)))) == 1


@pytest.mark.parametrize(
    "shape",
    [
        "PORTKEY_API_KEY={}",
        'curl -H "x-portkey-api-key: {}" https://api.portkey.ai/v1/models',
        'curl https://api.portkey.ai/v1/models \\\n  -H "Authorization: Bearer {}"',
        'new Portkey({{ apiKey: "{}" }})',
        'Portkey(api_key="{}")',
        'headers["x-portkey-api-key"] = "{}"',
    ],
)
def test_the_gateways_key_is_found_by_context(shape: str) -> None:
    for seed in range(20):
        text = shape.format(drawn(LETTERS + "+", 28, seed))
        (finding,) = DETECTOR.check(SourceFile("x", text.encode()), POLICY)
        assert finding.message == "a Portkey API key in plain text"


def test_a_key_variable_of_the_policy_counts() -> None:
    policy = CompiledPolicy(providers=(GatewayProvider(key_env="TEAM_GATEWAY_API_KEY"),))
    text = f"TEAM_GATEWAY_API_KEY={drawn(LETTERS, 28, 9)}"
    assert subjects(text) == []
    assert subjects(text, policy) == ["TEAM_GATEWAY_API_KEY"]


@pytest.mark.parametrize(
    "text",
    [
        "OPENAI_API_KEY=sk-...",
        "OPENAI_API_KEY=sk-test",
        "OPENAI_API_KEY=sk-1234567890abcdef1234567890abcdef",
        "ANTHROPIC_API_KEY=sk-ant-api03-...",
        "ANTHROPIC_API_KEY=sk-ant-api03-" + "x" * 95,
        "MISTRAL_API_KEY=your-mistral-key-goes-right-here",
        "MISTRAL_API_KEY=<YOUR_MISTRAL_API_KEY_HERE>",
        "MISTRAL_API_KEY=${{ secrets.MISTRAL_API_KEY_PRODUCTION }}",
        "MISTRAL_API_KEY=$(op read op://vault/mistral/credential)",
        "MISTRAL_API_KEY={env:MISTRAL_API_KEY_FOR_THE_TEAM}",
        "MISTRAL_API_KEY=process.env.MISTRAL_API_KEY_PRODUCTION2",
        "MISTRAL_API_KEY=getMistralKeyFromVaultOfTheTeam2()",
        "MISTRAL_API_KEY: /run/secrets/mistral_api_key_v2_2024",
        "MISTRAL_API_KEY=https://vault.corp/v1/secret/mistral/key2",
        "PORTKEY_API_KEY=portkey-api-key-goes-here-2024",
        "const portkey = new Portkey({ config: 'pc-routing-a1b2c3d4e5f6g7' })",
        "sk-proj-this-is-not-a-real-key-at-all-only-for-unit-tests",
        "sk-" + "a" * 48,
        "gsk_" + "0123456789" * 5 + "01",
    ],
)
def test_a_placeholder_or_a_reference_is_silent(text: str) -> None:
    assert subjects(text) == []


def test_two_names_for_one_value_are_one_finding() -> None:
    assert len(subjects(f"AZURE_API_KEY={drawn(HEX, 32, 4)}")) == 1


def test_a_letter_that_grows_in_lower_case_moves_nothing() -> None:
    key = drawn(LETTERS, 32, 6)
    text = "\u0130" * 7 + f"\nmistral api_key: {key}\n"
    (finding,) = DETECTOR.check(SourceFile("x", text.encode()), POLICY)
    assert (finding.line, finding.column) == (2, len("mistral api_key: ") + 1)


def test_what_is_not_looked_at_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_MOST_NAMES", 10)
    text = "portkey " * 50 + KEYS["Groq"](1)
    findings = list(DETECTOR.check(SourceFile("x", text.encode()), POLICY))
    assert [finding.rule for finding in findings] == ["RG903", "RG111"]


@pytest.mark.parametrize(
    "name", ["VITE_OPENAI_API_KEY", "TF_VAR_openai_api_key", "MY_OPENAI_API_KEY"]
)
def test_a_framework_prefix_hides_no_key(name: str) -> None:
    assert variable_kind(name, POLICY) == ("provider_key", "OpenAI")


@pytest.mark.parametrize("name", ["TERRANOVA_API_KEY", "ALEXA_API_KEY", "META_API_KEY"])
def test_a_name_that_only_ends_alike_is_unknown(name: str) -> None:
    assert variable_kind(name, POLICY)[0] == "unknown_key"


def test_every_pattern_says_where_it_is_from_and_compiles() -> None:
    patterns = secret_patterns()
    for prefixed in patterns.prefixed:
        assert prefixed.source
        assert prefixed.sure in ("doc", "src", "3p")
        re.compile(prefixed.body)
        re.compile(f"[{prefixed.charset}]")
        assert all(word == word.lower() for word in prefixed.words)
    for named in patterns.named:
        assert named.source
        assert named.sure in ("doc", "src", "3p")
        re.compile(named.value)


def test_every_prefix_and_word_is_behind_a_needle() -> None:
    patterns = secret_patterns()
    for prefixed in patterns.prefixed:
        assert any(needle in prefixed.prefix.lower().encode() for needle in DETECTOR.needles)
    for named in patterns.named:
        for word in named.words:
            sample = f"{word}_api_key".encode()
            assert any(needle in sample for needle in DETECTOR.needles), word
