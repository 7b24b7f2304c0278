"""What a launch takes out of the environment, what it leaves, and which proxies it sees."""

from __future__ import annotations

import pytest

from guard.agents import environment
from guard.agents.environment import clean, proxies
from guard.agents.opencode import KEEPS
from guard.agents.opencode.variables import SWITCHES
from guard.catalog import entries
from guard.net import PROXY_VARIABLES
from guard.policy.model import Policy
from guard.policy.values import CompiledPolicy, PolicyException
from guard.variables import judge

CANARY = "canary0123456789"
NAMES = entries.variables()


def kept(environ: dict[str, str], policy: CompiledPolicy, *, agent: bool = True) -> set[str]:
    return set(clean(environ, policy, 0.0, keeps=KEEPS, agent=agent)[0])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("OPENAI_API_KEY", "RG101"),
        ("ANTHROPIC_API_KEY", "RG101"),
        ("302AI_API_KEY", "RG101"),
        ("ABLIT_KEY", "RG101"),
        ("BAILING_API_TOKEN", "RG101"),
        ("AZURE_OPENAI_API_KEY", "RG101"),
        ("AZURE_RESOURCE_NAME", "RG101"),
        ("GOOGLE_VERTEX_PROJECT", "RG101"),
        ("WATSONX_AI_PROJECT_ID", "RG101"),
        ("OPENAI_BASE_URL", "RG103"),
        ("ANTHROPIC_BASE_URL", "RG103"),
        ("OPENCODE_CONFIG", "RG105"),
        ("OPENCODE_CONFIG_DIR", "RG105"),
        ("OPENCODE_CONFIG_CONTENT", "RG105"),
        ("OPENCODE_AUTH_CONTENT", "RG105"),
        ("OPENCODE_TEST_MANAGED_CONFIG_DIR", "RG105"),
        ("OPENCODE_MODELS_URL", "RG105"),
        ("OPENCODE_DB", "RG105"),
        ("OPENCODE_SOMETHING_NEW", "RG105"),
        ("BUN_INSPECT_PRELOAD", "RG108"),
        ("BUN_BE_BUN", "RG108"),
        ("NODE_OPTIONS", "RG108"),
        ("NODE_TLS_REJECT_UNAUTHORIZED", "RG108"),
        ("LD_PRELOAD", "RG108"),
        ("SSL_CERT_FILE", "RG108"),
        ("SSLKEYLOGFILE", "RG108"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "RG108"),
    ],
)
def test_removed(name: str, rule: str, policy: CompiledPolicy) -> None:
    left, changes, _ = clean({name: CANARY, "HOME": "/h"}, policy, 0.0, keeps=KEEPS, agent=True)
    assert left == {"HOME": "/h"}
    assert [(c.action, c.name, c.rule) for c in changes] == [("removed", name, rule)]
    assert changes[0].reason
    assert CANARY not in str(changes[0].as_dict())


def test_every_provider_key_of_the_catalogue_is_removed(policy: CompiledPolicy) -> None:
    names = [name for name, variable in NAMES.items() if variable.kind == "provider_key"]
    assert len(names) > 200
    for name in names:
        assert kept({name: CANARY}, policy) == set()
        assert kept({name: CANARY}, policy, agent=False) == set()


@pytest.mark.parametrize(
    "name",
    [
        "PORTKEY_API_KEY", "OPENROUTER_GATEWAY_KEY", "DATADOG_API_KEY", "STRIPE_API_KEY",
        "GOOGLE_MAPS_API_KEY", "MY_OPENAI_API_KEY", "ALEXA_API_KEY", "openai_api_key",
        "PATH", "HOME", "TERM", "SSH_AUTH_SOCK", "HTTPS_PROXY", "XDG_DATA_HOME",
        *sorted(name for name in KEEPS if "=" not in name),
    ],
)  # fmt: skip
def test_kept(name: str, policy: CompiledPolicy) -> None:
    left, changes, _ = clean({name: CANARY}, policy, 0.0, keeps=KEEPS, agent=True)
    assert (left, changes) == ({name: CANARY}, [])


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "HF_TOKEN"])
def test_what_other_tools_need_stays_with_a_note(name: str, policy: CompiledPolicy) -> None:
    left, changes, findings = clean({name: CANARY}, policy, 0.0, keeps=KEEPS, agent=True)
    assert (left, changes) == ({name: CANARY}, [])
    (note,) = findings
    assert (note.rule, note.severity, note.subject) == ("RG107", "note", name)
    assert CANARY not in str(note.as_dict())


@pytest.mark.parametrize(
    ("value", "stays"),
    [
        ("https://api.portkey.ai/v1", True),
        ("https://api.portkey.ai", True),
        ("https://api.portkey.ai:443/v1", True),
        ("https://api.portkey.ai:8443/v1", False),
        ("http://api.portkey.ai/v1", False),
        ("https://api.openai.com/v1", False),
        ("https://api.portkey.ai.evil.com/v1", False),
        ("https://api.portkey.ai@evil.com/", False),
        ("https://evil.com/api.portkey.ai", False),
        ("https://evil.com?@api.portkey.ai/v1", False),
        ("https://evil.com#@api.portkey.ai/", False),
        ("https://evil.com\\@api.portkey.ai/", False),
        ("//api.portkey.ai/v1", False),
        ("", False),
    ],
)
def test_a_base_url_stays_only_if_it_is_the_gateways(
    value: str, stays: bool, policy: CompiledPolicy
) -> None:
    assert kept({"OPENAI_BASE_URL": value}, policy) == ({"OPENAI_BASE_URL"} if stays else set())


def test_a_command_that_is_no_agent_keeps_its_runtime(policy: CompiledPolicy) -> None:
    environ = dict.fromkeys(
        ("NODE_OPTIONS", "LD_LIBRARY_PATH", "BUN_INSTALL", "SSL_CERT_FILE", "OTEL_LOG_LEVEL"), "x"
    )
    assert kept(environ, policy, agent=False) == set(environ)
    assert kept(environ, policy, agent=True) == set()
    # but nothing by which an agent below it would go elsewhere
    # routeguard: ignore[RG103] what a launch has to remove
    redirects = {"OPENCODE_CONFIG": "x", "OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "http://x"}
    assert kept(redirects, policy, agent=False) == set()


class TestPolicy:
    def test_an_exception_holds_until_it_ends(self, policy: CompiledPolicy) -> None:
        policy.exceptions = (PolicyException(subject="env:OPENAI_API_KEY", until=100.0),)
        environ = {"OPENAI_API_KEY": CANARY, "GROQ_API_KEY": CANARY}
        assert clean(environ, policy, 100.0, keeps=KEEPS, agent=True)[0] == {
            "OPENAI_API_KEY": CANARY
        }
        assert clean(environ, policy, 100.5, keeps=KEEPS, agent=True)[0] == {}

    def test_listed_names_go_whatever_they_are(self, policy: CompiledPolicy) -> None:
        policy.remove = ("TERM", "GITHUB_TOKEN", "OPENCODE_LOG_LEVEL")
        policy.exceptions = (PolicyException(subject="env:GITHUB_TOKEN", until=1e12),)
        environ = dict.fromkeys(("TERM", "GITHUB_TOKEN", "OPENCODE_LOG_LEVEL", "HOME"), "x")
        left, changes, findings = clean(environ, policy, 0.0, keeps=KEEPS, agent=True)
        assert (set(left), {c.name for c in changes}) == ({"HOME"}, set(policy.remove))
        assert findings == []

    def test_extra_keys(self, policy: CompiledPolicy) -> None:
        policy.variables["MY_LLM_KEY"] = ("provider_key", "your policy")
        _, (change,), _ = clean({"MY_LLM_KEY": CANARY}, policy, 0.0, keeps=KEEPS, agent=True)
        assert (change.rule, "your policy" in change.reason) == ("RG101", True)


def proxied(value: str, policy: CompiledPolicy, name: str = "HTTPS_PROXY") -> list[str]:
    return [f.rule for f in proxies({name: value}, policy, 0.0)]


LOOPBACK = [
    "http://127.0.0.1:8080", "http://127.0.0.1", "https://127.0.0.1:8443", "http://127.1:8080",
    "http://127.255.255.254:1", "http://0x7f.1:8080", "http://0x7f000001:1", "http://2130706433:1",
    "http://017700000001:1", "http://0:8080", "http://0.0.0.0:8080", "http://localhost:8080",
    "http://localhost.:8080", "http://LOCALHOST:8080", "HTTP://LocalHost:8080",
    "http://proxy.localhost:1", "http://[::1]:8080", "http://[::1]", "http://[::]:80",
    "http://[0:0:0:0:0:0:0:1]:80", "http://[::ffff:127.0.0.1]:80", "http://[::ffff:7f00:1]:80",
    "http://user:pass@127.0.0.1:8080", "http://a@b@127.0.0.1:8080", "127.0.0.1:8080",
    "localhost:3128", "user:pass@localhost:3128", "socks5://127.0.0.1:1080",
    "http://127.0.0.1:8080/", "http://127.0.0.1:8080/path@example.com", " http://127.0.0.1:80 ",
    # as a browser's URL parser reads them
    "http://127.0.0.1:8080?@proxy.corp", "http://127.0.0.1:8080#@proxy.corp",
    "http://127.0.0.1:8080\\@proxy.corp", "http:127.0.0.1:8080", "http:/127.0.0.1:8080",
    "http:///127.0.0.1:80", "http:\\\\127.0.0.1:1", "http://127%2e0.0.1:80", "ht\ttp://127.0.0.1:1",
    "http://ip6-localhost:1", "http://ip6-loopback:1", "http://localhost.localdomain:1",
]  # fmt: skip


class TestProxies:
    @pytest.mark.parametrize("value", LOOPBACK)
    def test_on_this_machine(self, value: str, policy: CompiledPolicy) -> None:
        assert proxied(value, policy) == ["RG104"]

    @pytest.mark.parametrize(
        "value",
        [
            "", " ", "http://proxy.corp:3128", "proxy.corp:3128", "http://10.0.0.1:3128",
            "http://user:pass@proxy.corp:3128", "http://localhost.corp:3128", "http://[fe80::1]:1",
            "http://127-0-0-1.corp:1", "http://notlocalhost:1", "http://128.0.0.1:1",
            "http://user:127.0.0.1@proxy.corp:1", "http://[::ffff:10.0.0.1]:1",
        ],
    )  # fmt: skip
    def test_elsewhere(self, value: str, policy: CompiledPolicy) -> None:
        assert proxied(value, policy) == []

    @pytest.mark.parametrize("name", PROXY_VARIABLES)
    def test_every_spelling_of_the_name(self, name: str, policy: CompiledPolicy) -> None:
        (finding,) = proxies({name: "http://user:canarypass@127.0.0.1:1"}, policy, 0.0)
        assert (finding.subject, finding.severity) == (name, "error")
        assert f"unset {name}" in finding.fix
        assert "canarypass" not in str(finding.as_dict())

    @pytest.mark.parametrize("name", ["ALL_PROXY", "NO_PROXY", "FTP_PROXY"])
    def test_names_that_opencode_ignores(self, name: str, policy: CompiledPolicy) -> None:
        assert proxied("http://127.0.0.1:1", policy, name) == []

    def test_a_companys_own_is_named_in_the_policy(self, policy: CompiledPolicy) -> None:
        (finding,) = proxies({"HTTPS_PROXY": "http://me:canary@127.0.0.1:3128/"}, policy, 0.0)
        assert 'in your policy:\n[gateway]\nproxy = "http://127.0.0.1:3128"' in finding.fix
        assert "canary" not in finding.fix
        # only what the policy takes is advised
        for value, line in (
            ("https://[::1]:3128", 'proxy = "https://[::1]:3128"'),
            ("127.1:3128", 'proxy = "http://127.0.0.1:3128"'),
            ("http://localhost.:8080", 'proxy = "http://127.0.0.1:8080"'),
            ("http://0.0.0.0", 'proxy = "http://127.0.0.1:80"'),
            ("socks5://127.0.0.1:1080", ""),
        ):
            (finding,) = proxies({"HTTPS_PROXY": value}, policy, 0.0)
            assert ("[gateway]" in finding.fix) is bool(line)
            assert line in finding.fix
            if line:
                Policy.model_validate({"gateway": {"proxy": line.split('"')[1]}})
        policy.gateway_proxy = "http://127.0.0.1:3128"
        # whatever it is, the launch sets it
        for value in ("http://127.0.0.1:3128", "http://127.0.0.1:8080", "http://[::1]:3128"):
            assert proxied(value, policy, "HTTPS_PROXY") == []

    def test_other_programs_keep_theirs(self, policy: CompiledPolicy) -> None:
        policy.gateway_proxy = "http://127.0.0.1:3128"
        policy.gateway_ca = "/etc/corp.pem"
        own = {"HTTPS_PROXY": "http://proxy.corp:8080", "NODE_EXTRA_CA_CERTS": "/etc/other.pem"}
        assert clean(own, policy, 0.0, keeps=KEEPS, agent=False)[0] == own
        kept, changes, _ = clean(own, policy, 0.0, keeps=KEEPS, agent=True)
        assert kept == {}
        assert [change.advice for change in changes] == ["", ""]
        for name in ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"):
            same = {name: "/etc/corp.pem"}
            assert clean(same, policy, 0.0, keeps=KEEPS, agent=True)[:2] == (same, [])

    def test_flagged_only(self, policy: CompiledPolicy) -> None:
        policy.proxies_action = "flag"
        (finding,) = proxies({"HTTP_PROXY": "http://localhost:1"}, policy, 0.0)
        assert finding.severity == "warning"

    def test_an_exception_names_host_and_port(self, policy: CompiledPolicy) -> None:
        policy.exceptions = (PolicyException(subject="proxy:127.0.0.1:8080", until=100.0),)
        assert proxied("http://127.0.0.1:8080", policy) == []
        assert proxied("http://127.0.0.1:8081", policy) == ["RG104"]
        assert proxied("http://127.1:8080", policy) == ["RG104"]
        assert proxies({"HTTP_PROXY": "http://127.0.0.1:8080"}, policy, 101.0) != []

    def test_the_subject_in_the_fix_is_the_one_that_helps(self, policy: CompiledPolicy) -> None:
        for value in ("http://[::1]:8080", "http://LocalHost", "https://u:p@127.0.0.1"):
            (finding,) = proxies({"HTTP_PROXY": value}, policy, 0.0)
            address = finding.fix.partition("routeguard allow proxy ")[2].split()[0]
            policy.exceptions = (PolicyException(subject=f"proxy:{address}", until=1.0),)
            assert proxied(value, policy) == []
            policy.exceptions = ()


def test_switches_and_kept_names_do_not_meet() -> None:
    assert not set(SWITCHES) & KEEPS


@pytest.mark.parametrize("kind", sorted(environment._UNJUDGED))
@pytest.mark.parametrize(
    "value", ["", "1", CANARY, "http://127.0.0.1:4000", "https://x.invalid/v1"]
)
@pytest.mark.parametrize("name", ["PLAIN", "PORTKEY_API_KEY", "SSL_CERT_FILE", "HTTPS_PROXY"])
def test_a_kind_that_is_not_judged_would_be_kept(
    kind: str, value: str, name: str, policy: CompiledPolicy
) -> None:
    verdict = judge(name, kind, "", value, policy)
    assert (verdict.removed, verdict.rule) == (False, "")
