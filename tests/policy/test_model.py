"""What one policy file may say, value by value; and that the JSON Schema says the same."""

from __future__ import annotations

import functools
import json
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from guard.catalog.key_shapes import looks_like_key
from guard.policy import model
from guard.policy.model import Policy
from guard.policy.spans import end_of

ACCEPTED = [
    "",
    "schema = 1",
    "[gateway]\nbase_url = 'https://api.portkey.ai/v1'",
    "[gateway]\nbase_url = 'https://gw.example.com:8443/a/b/'",
    "[gateway]\nbase_url = 'http://localhost:8787/v1'",
    "[gateway]\nbase_url = 'http://127.8.9.1:8787/v1'",
    "[gateway]\nbase_url = 'http://[::1]:8787/v1'",
    "[gateway]\nca = '/etc/ssl/Köln & co.pem'",
    "[gateway]\nproxy = 'http://proxy.example.com:8080'",
    "[gateway]\nproxy = 'https://127.0.0.1:3128/'",
    "[gateway]\nproxy = 'http://[::1]:3128'",
    "[gateway]\nkey = { env = 'PORTKEY_API_KEY' }",
    "[gateway]\nkey = { command = ['op', 'read', 'op://Private/Portkey/key'], timeout = 10 }",
    "[gateway]\nkey = { command = ['pass', 'show', 'portkey'], timeout = 0.5 }",
    "[gateway]\ndefault = 'portkey/@openai-prod/gpt-4o'",
    "[gateway.providers.portkey]\nname = 'Portkey (Köln)'\nslug = '@x'\nconfig = 'pc-a_B-1'",
    "[gateway.providers.a-1]\nmodels = ['mistralai/mistral-7b:free', '@a/b c']",
    "[agents.opencode]\nreroute = { anthropic = '@anthropic-prod', '302ai' = 'x' }",
    "[keys]\nextra = ['302AI_API_KEY', 'lower_case']",
    "[proxies]\naction = 'stop'\nprompt = 'off'\nfence = 'require'\nhold = [1, 9000, 65535]",
    "[[exception]]\nsubject = 'env:A_B'\nreason = 'r'\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'port:4000'\nreason = 'r'\nuntil = 2026-12-31T10:00:00+02:00",
    "[[exception]]\nsubject = 'proxy:[::1]:4000'\nreason = 'r'\nuntil = 2026-12-31T10:00:00",
    "[[exception]]\nsubject = 'server:http://h:1/a'\nreason = 'r'\nuntil = 2026-12-31",
    f"[[exception]]\nsubject = 'file:/a b/c'\nreason = 'r'\nuntil = 2026-12-31\n"
    f"sha256 = '{'0aF9' * 16}'",
]

REFUSED_BY_BOTH = [
    *(f"[gateway]\nca = {path}" for path in ("'ca.pem'", "'~/ca.pem'", "''", '"/a\\nb"', "['/a']")),
    *(
        f"[gateway]\nproxy = '{url}'"
        for url in (
            *("http://u:p@proxy:1", "http://u@proxy:1", "u:p@proxy:1", "http://u:p%40proxy:1"),
            *("http:\\\\u:p@proxy:1", "http://proxy", "proxy:8080", "socks5://proxy:1080", ""),
            *("http://proxy:8080/a", "http://proxy:8080?a", "http://proxy:8080#a", "http://:8080"),
            *("http:// proxy:8080", "http://{env:X}:1", "http://proxy:999999", "http://proxy:1:2"),
        )
    ),
    "schema = 2",
    "schema = '1'",
    "policy = 1",
    "keys = 1",
    "user_exceptions = 'no'",
    "[proxies]\nprompt = 'stop'",
    "[proxies]\nfence = 'on'",
    "[proxies]\nhold = 9000",
    "[proxies]\nhold = ['9000']",
    "[proxies]\nhold = [true]",
    "[proxies]\nhold = [0]",
    "[proxies]\nhold = [-1]",
    "[proxies]\nhold = [65536]",
    "[proxies]\nhold = [53]",
    "[proxies]\nhold = [80]",
    "[proxies]\nhold = [443]",
    "[gateway]\nbase_url = 'ftp://a'",
    "[gateway]\nbase_url = 'https://user:secret@a/v1'",
    "[gateway]\nbase_url = 'https://a/{env:SECRET}'",
    "[gateway]\nbase_url = 'https://a/v1?key=x'",
    "[gateway]\nbase_url = 'https://a/v1#x'",
    "[gateway]\nbase_url = 'https://a b/v1'",
    "[gateway]\nkey = 'PORTKEY_API_KEY'",
    "[gateway]\nkey = {}",
    "[gateway]\nkey = { env = 'A', command = ['b'] }",
    "[gateway]\nkey = { env = 'A-B' }",
    "[gateway]\nkey = { env = '' }",
    "[gateway]\nkey = { command = [] }",
    "[gateway]\nkey = { command = 'op read x' }",
    "[gateway]\nkey = { command = ['a'], timeout = 0 }",
    "[gateway]\nkey = { command = ['a'], timeout = 301 }",
    "[gateway]\nkey = { command = ['a'], timeout = '10' }",
    "[gateway]\ndefault = 'gpt-4o'",
    "[gateway]\ndefault = 'portkey/'",
    "[gateway]\ndefault = '/gpt-4o'",
    '[gateway]\ndefault = "portkey/{env:SECRET}"',
    "[gateway.providers.'a{env:X}']",
    "[gateway.providers.Upper]",
    "[gateway.providers.a]\nname = ''",
    "[gateway.providers.a]\nname = '{file:/etc/passwd}'",
    '[gateway.providers.a]\nname = "a\\u001bb"',
    "[gateway.providers.a]\nslug = '@@x'",
    "[gateway.providers.a]\nslug = 'a/b'",
    "[gateway.providers.a]\nconfig = '{\"retry\":{}}'",
    "[gateway.providers.a]\nmodels = 'x'",
    "[gateway.providers.a]\nmodels = ['a\"b']",
    "[gateway.providers.a]\nmodels = ['a`b']",
    "[gateway.providers.a]\nmodels = ['a\\b']",
    "[keys]\naction = 'ignore'",
    "[keys]\nextra = [1]",
    "[keys]\nextra = ['A=B']",
    "[agents.opencode]\nreroute = { 'a b' = 'x' }",
    "[agents.opencode]\nreroute = { a = 'x y' }",
    "[[exception]]\nsubject = 'env:A'\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'env:A'\nreason = 'r'",
    "[[exception]]\nreason = 'r'\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'env:A'\nreason = ' '\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'env:A'\nreason = \"a\\nb\"\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'A'\nreason = 'r'\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'env:*'\nreason = 'r'\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'file:relative'\nreason = 'r'\nuntil = 2026-12-31\n"
    f"sha256 = '{'0' * 64}'",
    "[[exception]]\nsubject = 'file:/x'\nreason = 'r'\nuntil = 2026-12-31\nsha256 = 'abc'",
    "[[exception]]\nsubject = 'server:http://u:p@h'\nreason = 'r'\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'env:A'\nreason = 'r'\nuntil = 5",
]

REFUSED = [
    "schema = true",
    "[gateway]\nbase_url = 'http://gw.example.com/v1'",
    "[gateway]\nbase_url = 'http://localhost.example.com/v1'",
    "[gateway]\nbase_url = 'http://0.0.0.0:1/v1'",
    *(f"[gateway]\nproxy = 'http://{at}'" for at in ("0.0.0.0:1", "127.1:1", "h:0", "h:65536")),
    "[gateway]\nbase_url = 'http://127.1/v1'",
    "[gateway]\nbase_url = 'https://'",
    "[gateway]\nbase_url = 'https://a:99999/'",
    "[gateway]\nbase_url = 'https://[::1/'",
    "[gateway]\nbase_url = 'https://gatewäy.example/'",
    "[gateway]\nkey = { env = 'A', timeout = 3 }",
    "[gateway]\nkey = { command = ['echo', 'sk-abcdefghijklmnop1234'] }",
    "[gateway]\nkey = { command = ['sh', '-c', 'echo aB3dE6gH9jK2mN5pQ8sT'] }",
    "[gateway]\nkey = { env = 'AKIAABCDEFGHIJKLMNOP' }",
    "[keys]\nextra = ['PATH']",
    "[environment]\nremove = ['OPENCODE_CONFIG_CONTENT']",
    "[environment]\nremove = ['XDG_CONFIG_HOME']",
    "[[exception]]\nsubject = 'port:0'\nreason = 'r'\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'port:70000'\nreason = 'r'\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'file:/x'\nreason = 'r'\nuntil = 2026-12-31",
    "[[exception]]\nsubject = 'env:A'\nreason = 'r'\nuntil = '2026-12-31'",
    "[[exception]]\nsubject = 'env:A'\nreason = 'r'\nuntil = 10:00:00",
    f"[[exception]]\nsubject = 'env:A'\nreason = 'r'\nuntil = 2026-12-31\nsha256 = '{'0' * 64}'",
    "[keys]\nextra = [" + "'A'," * 1001 + "]",
]


def as_json(text: str) -> object:
    """The document as an editor's schema checker sees it: dates are strings."""
    return json.loads(json.dumps(tomllib.loads(text), default=lambda value: value.isoformat()))


@functools.cache
def validator() -> jsonschema.Draft202012Validator:
    schema = model.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(text):
    Policy.model_validate(tomllib.loads(text))
    validator().validate(as_json(text))


@pytest.mark.parametrize("text", REFUSED_BY_BOTH + REFUSED)
def test_refused(text):
    with pytest.raises(ValidationError):
        Policy.model_validate(tomllib.loads(text))


@pytest.mark.parametrize("text", REFUSED_BY_BOTH)
def test_refused_by_the_schema_too(text):
    assert not validator().is_valid(as_json(text))


def test_end_of_a_day_is_its_last_moment():
    day = date(2026, 12, 31)
    assert datetime.fromtimestamp(end_of(day)).date() == day
    assert datetime.fromtimestamp(end_of(day) + 1).date() == date(2027, 1, 1)
    assert end_of(datetime(2026, 12, 31, 12, tzinfo=UTC)) == 1798718400.0


@pytest.mark.parametrize("until", [date(9999, 12, 31), date(1, 1, 1)])
def test_dates_at_the_edge_never_crash(until):
    entry = {"subject": "env:A", "reason": "r", "until": until}
    try:
        end_of(until)
    except (ValueError, OverflowError):
        with pytest.raises(ValidationError, match="represent"):
            Policy.model_validate({"exception": [entry]})
    else:
        Policy.model_validate({"exception": [entry]})


@pytest.mark.parametrize(
    "value",
    [
        "sk-proj-abcdefghijklmnop",
        "AIzaSyA-1234567890abcdefghijklmnopqrstu",
        "ghp_abcdefghijklmnop0123",
        "aB3dE6gH9jK2mN5pQ8sT+/=",
        "Bearer aB3dE6gH9jK2mN5pQ8sT",
        "eyJhbGciOiJIUzI1.eyJzdWIi",
    ],
)
def test_looks_like_key(value):
    assert looks_like_key(value)


@pytest.mark.parametrize(
    "value",
    [
        "PORTKEY_API_KEY",
        "openrouter-main",
        "mistralai/mistral-7b-instruct",
        "@openai-prod/gpt-4o-2024-08-06",
        "op://Private/Portkey/key",
        "claude-3-5-sonnet-20241022",
        "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo",
        "https://api.portkey.ai/v1",
        "",
    ],
)
def test_does_not_look_like_key(value):
    assert not looks_like_key(value)


def test_published_schema_is_current():
    path = Path(__file__).parents[2] / "docs" / "policy.schema.json"
    expected = json.dumps(model.json_schema(), indent=2, sort_keys=True) + "\n"
    assert path.read_text() == expected, "routeguard policy schema > docs/policy.schema.json"


def test_the_scheme_of_the_gateway_is_in_lower_case() -> None:
    """A plain gateway is told from others by how its address begins: no HTTP proxy is asked."""
    policy = Policy.model_validate({"gateway": {"base_url": "HTTP://Localhost:8787/v1/"}})
    assert policy.gateway.base_url == "http://Localhost:8787/v1"
