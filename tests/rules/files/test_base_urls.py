"""URLs that leave the gateway, and URLs that only look as if they did."""

from __future__ import annotations

import pytest

from guard.catalog.endpoints import is_provider_url
from guard.net import is_this_machine
from guard.policy.values import CompiledPolicy
from guard.rules.files.base_urls import DETECTOR, address_of
from guard.sources.file import SourceFile

POLICY = CompiledPolicy()


def found(path: str, text: str, policy: CompiledPolicy = POLICY) -> list[tuple[str, int, int]]:
    if not DETECTOR.wants(path, path.rpartition("/")[2]):
        return []
    findings = list(DETECTOR.check(SourceFile(path, text.encode()), policy))
    assert all(finding.rule == "RG103" for finding in findings)
    return [(finding.subject, finding.line, finding.column) for finding in findings]


@pytest.mark.parametrize(
    ("path", "text", "subject"),
    [
        ("a.py", 'OpenAI(base_url="https://api.openai.com/v1")', "base_url"),
        ("a.ts", 'createOpenAI({ baseURL: "http://localhost:11434/v1" })', "baseURL"),
        ("a.py", 'OpenAI(base_url="http://localhost:4000/v1")', "base_url"),
        ("a.py", 'os.environ["OPENAI_BASE_URL"] = "http://localhost:9999"', "OPENAI_BASE_URL"),
        ("a.js", 'env.OPENAI_BASE_URL ?? "https://api.openai.com/v1"', "env.OPENAI_BASE_URL"),
        ("a.sh", "x=${OPENAI_BASE_URL:-https://api.openai.com/v1}", "OPENAI_BASE_URL"),
        ("ci.yml", "OPENAI_BASE_URL: https://llm.corp.internal/v1", "OPENAI_BASE_URL"),
        ("a.sh", "curl -s https://api.anthropic.com/v1/messages", "api.anthropic.com"),
        ("a.go", 'http.Get("https://api.mistral.ai/v1/models")', "api.mistral.ai"),
        ("a.toml", 'url = "https://x.openai.azure.com/openai"', "url"),
        ("Dockerfile", "ENV OLLAMA_HOST=0.0.0.0:11434", "OLLAMA_HOST"),
        ("a.py", 'post("http://localhost:11434/api/chat")', "localhost:11434"),
    ],
)
def test_what_leaves_the_gateway(path: str, text: str, subject: str) -> None:
    assert [name for name, _, _ in found(path, text)] == [subject]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", 'OpenAI(base_url="https://api.portkey.ai/v1")'),
        ("a.py", 'OpenAI(base_url="https://aigw.portkey.ai/v1")'),
        ("a.py", "# https://api.openai.com/v1"),
        ("a.py", "x = 1  # http://localhost:11434/v1"),
        ("a.ts", "// https://api.openai.com/v1"),
        ("a.py", '"""Answers at https://api.openai.com/v1."""'),
        ("README.md", "https://api.openai.com/v1"),
        ("package-lock.json", '"x": "https://api.openai.com/v1"'),
        ("locales/de.json", '"x": "https://api.openai.com/v1"'),
        ("a.json", '"keys": "https://openrouter.ai/settings/keys"'),
        ("a.json", '{"id": "anthropic/claude", "url": "https://openrouter.ai/anthropic/claude"}'),
        ("a.json", '"keys": "https://api.together.xyz/settings/api-keys"'),
        ("a.json", '{"id": "openai", "api": "https://api.openai.com/v1"}'),
        ("a.json", '"$schema": "https://opencode.ai/config.json"'),
        ("a.sh", "curl -fsSL https://ollama.com/install.sh"),
        ("a.ts", 'axios.create({ baseURL: "http://localhost:3000" })'),
        ("a.ts", 'axios.create({ baseURL: "http://localhost:8000/v1" })'),
        ("tests/a.py", 'respx.post("https://api.openai.com/v1/chat/completions")'),
        ("a.yml", "OPENAI_BASE_URL: https://llm.example.com/v1"),
        ("a.yml", "OPENAI_BASE_URL: ${GATEWAY}"),
        ("a.yml", "GITLAB_INSTANCE_URL: https://git.corp"),
        ("opencode.json", '{"baseURL": "https://api.openai.com/v1"}'),
        ("out/_next/static/a.js", 'fetch("https://api.openai.com/v1/models")'),
        ("a.py", 'x = f"https://{region}-aiplatform.googleapis.com/v1"'),
    ],
)
def test_what_does_not(path: str, text: str) -> None:
    assert found(path, text) == []


def test_the_policys_gateway_on_this_machine_is_silent() -> None:
    text = 'llm_base_url = "http://localhost:8787/v1"'
    assert len(found("a.toml", text)) == 1
    assert found("a.toml", text, CompiledPolicy(base_url="http://localhost:8787/v1")) == []


def test_the_place_is_the_url() -> None:
    assert found("a.yml", "x: 1\nbase_url: https://api.openai.com/v1\n") == [("base_url", 2, 11)]


def test_user_information_is_not_shown() -> None:
    text = "OPENAI_BASE_URL: http://ann:pa55word@localhost:4000/v1"
    (finding,) = DETECTOR.check(SourceFile("a.yml", text.encode()), POLICY)
    assert "pa55word" not in finding.message + finding.subject + finding.fix


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://API.OpenAI.com/v1?x", ("api.openai.com", 0, "/v1")),
        ("http://u:p@127.0.0.1:80", ("127.0.0.1", 80, "")),
        ("http://[::1]:8080/v1", ("::1", 8080, "/v1")),
        ("localhost:11434", ("localhost", 11434, "")),
    ],
)
def test_addresses(url: str, expected: tuple[str, int, str]) -> None:
    address = address_of(url)
    assert address is not None
    assert (address.host, address.port, address.path) == expected


@pytest.mark.parametrize(
    "url", ["https://${HOST}/v1", "https://{{ host }}", "https://", "http://<h>"]
)
def test_templates_have_no_address(url: str) -> None:
    assert address_of(url) is None


def test_this_machine() -> None:
    for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "a.localhost"):
        assert is_this_machine(host)
    for host in ("example.com", "10.0.0.1", "127.example.com", "mylocalhost"):
        assert not is_this_machine(host)


def test_hosts_that_are_also_websites_count_below_their_api() -> None:
    assert is_provider_url("openrouter.ai", "/api/v1/chat")
    assert not is_provider_url("openrouter.ai", "/models")
    assert is_provider_url("api.openai.com", "")
    assert not is_provider_url("example.com", "/v1")


@pytest.mark.parametrize(
    ("path", "text", "severity"),
    [
        ("a.py", 'AUTH_CLAIM_KEY = "https://api.openai.com/auth"', ""),
        ("a.py", 'CLAIM = "https://api.openai.com/v1"', ""),
        ("a.ts", 'if (isProvider(x, "https://api.openai.com/v1")) {}', ""),
        ("a.ts", 'if (isProvider("https://api.openai.com/v1")) {}', ""),
        ("a.ts", 'await fetchWithTimeout("https://api.openai.com/v1/models", {})', "error"),
        ("a.toml", 'llm = "x" ### or api_base = "https://api.openai.com/v1"', ""),
        ("a.ts", 'return openAICompatible("https://api.openai.com/v1/", config)', "warning"),
        ("a.py", 'join("https://api.openai.com/v1" if base is None else base, "x")', "warning"),
        ("a.py", 'DEFAULT_ORIGIN: Final = "https://api.openai.com"', "warning"),
        ("a.ts", 'const o = { jwtClaimPath: "https://api.openai.com/v1" }', ""),
        ("a.py", 'FILES_PREFIX = "https://api.openai.com/v1/files/"', ""),
        (
            "a.py",
            'self.request = httpx.Request(method="POST", url="https://api.openai.com/v1")',
            "",
        ),
        ("a.py", 'r = httpx.Request("POST", url="https://api.openai.com/v1/responses")', "warning"),
        ("a.py", 'f(default_api_base="https://api.openai.com/v1")', "warning"),
        ("a.json", '{"url": "https://api.githubcopilot.com/mcp/"}', ""),
        ("example_payload.json", '{"api_base": "https://api.openai.com/v1"}', "warning"),
        ("a.py", 'claims["https://api.openai.com/auth"]', ""),
        ("a.py", 'x = claims.get("https://api.openai.com/auth", {})', ""),
        ("a.tsx", '<Input placeholder="https://api.openai.com/v1" />', ""),
        ("a.ts", 'const ALLOWED = ["https://api.openai.com", "https://api.anthropic.com/v1"];', ""),
        ("a.py", 'ALLOWED = {"https://api.openai.com/v1", "https://api.anthropic.com/v1"}', ""),
        ("a.py", 'HOSTS = ("https://api.openai.com/v1", "x")', ""),
        ("a.py", '"""\nUse base_url="https://api.openai.com/v1".\n"""\n', ""),
        ("a.py", 'def f():\n    """Calls https://api.openai.com/v1."""\n', ""),
        ("a.ts", '/** base_url="https://api.openai.com/v1" */', ""),
        ("a.ts", '/* x\n baseURL: "https://api.openai.com/v1" */\nfoo()', ""),
        ("a.py", 'if url == "https://api.openai.com/v1": pass', ""),
        ("a.py", 'if "https://api.openai.com/v1" in url: pass', ""),
        ("a.ts", 'if (url.startsWith("https://api.openai.com/v1")) {}', ""),
        ("a.ts", 'case "https://api.openai.com/v1": break', ""),
        ("a.py", 'raise ValueError("https://api.openai.com/v1 is not allowed")', ""),
        ("a.py", 'print("https://api.openai.com/v1")', ""),
        ("a.py", 'parser.add_argument("--base", help="https://api.openai.com/v1")', ""),
        ("a.py", 'headers = {"https://api.openai.com/v1": 1}', ""),
        ("a.ts", 'expect(x).toEqual({ baseURL: "https://api.openai.com/v1" })', ""),
        ("a.py", 'OpenAI(base_url="https://api.openai.com/v1")', "error"),
        ("a.py", 'OpenAI(\n  api_key=key,\n  base_url="https://api.openai.com/v1",\n)', "error"),
        ("a.ts", 'new OpenAI({ apiKey: k, baseURL: "https://api.openai.com/v1" })', "error"),
        (
            "a.ts",
            'const client = createOpenAI({\n  baseURL: "https://api.openai.com/v1",\n})',
            "error",
        ),
        ("a.py", 'requests.post("https://api.openai.com/v1/chat/completions", json=x)', "error"),
        ("a.py", 'requests.request("POST", "https://api.openai.com/v1/chat/completions")', "error"),
        ("a.py", 'httpx.post(url="https://api.openai.com/v1/chat/completions")', "error"),
        ("a.ts", 'await fetch("https://api.anthropic.com/v1/messages", {method: "POST"})', "error"),
        ("a.ts", 'await fetch(`https://api.anthropic.com/v1/${x}`, {method: "POST"})', "error"),
        (
            "a.ts",
            'axios({ method: "post", url: "https://api.anthropic.com/v1/messages" })',
            "error",
        ),
        ("a.go", 'http.NewRequest("POST", "https://api.openai.com/v1/x", nil)', "error"),
        (
            "a.go",
            'client := openai.NewClient(option.WithBaseURL("https://api.openai.com/v1"))',
            "error",
        ),
        ("a.java", 'new OpenAiBuilder().baseUrl("https://api.openai.com/v1").build()', "error"),
        ("a.py", 'openai.api_base = "https://api.openai.com/v1"', "error"),
        ("a.py", 'os.environ["OPENAI_BASE_URL"] = "https://api.openai.com/v1"', "error"),
        ("a.py", 'subprocess.run(["curl", "-s", "https://api.openai.com/v1/models"])', "error"),
        (
            "a.py",
            'subprocess.run(["aider", "--openai-api-base", "https://api.openai.com/v1"])',
            "error",
        ),
        ("a.py", 'BASE = "https://api.openai.com/v1"', "warning"),
        ("a.ts", 'const API: string = "https://api.openai.com/v1";', "warning"),
        ("a.py", 'def f(base_url: str = "https://api.openai.com/v1"): pass', "warning"),
        ("a.py", 'class A:\n    base_url: str = "https://api.openai.com/v1"', "warning"),
        ("a.py", 'base_url = x or "https://api.openai.com/v1"', "warning"),
        ("a.ts", 'const b = process.env.X ?? "https://api.openai.com/v1"', "warning"),
        ("a.py", 'os.getenv("OPENAI_BASE_URL", "https://api.openai.com/v1")', "warning"),
        (
            "a.py",
            'OpenAI(base_url=os.getenv("OPENAI_BASE_URL", "https://api.openai.com/v1"))',
            "warning",
        ),
        ("a.py", 'def f():\n    return "https://api.openai.com/v1"', "warning"),
        ("a.ts", 'const f = () => "https://api.openai.com/v1"', "warning"),
        ("a.ts", 'x ? "https://a.b" : "https://api.openai.com/v1"', "warning"),
        ("a.py", 'T = {"openai": {"base_url": "https://api.openai.com/v1"}}', "warning"),
        (
            "src/providers/openai/api.ts",
            'export default { getBaseURL: () => "https://api.openai.com/v1" }',
            "note",
        ),
        ("llms/deepseek.py", 'base_url = x or "https://api.deepseek.com"', "note"),
        (
            "a.py",
            'P = {"a": {"base_url": "https://api.openai.com/v1"},'
            ' "b": {"base_url": "https://api.anthropic.com/v1"},'
            ' "c": {"base_url": "https://api.groq.com/openai/v1"},'
            ' "d": {"base_url": "https://api.mistral.ai/v1"},'
            ' "e": {"base_url": "http://localhost:11434/v1"}}',
            "note",
        ),
        ("a.py", 'url = (\n    "https://api.openai.com/v1"\n    "/chat/completions"\n)', "warning"),
        ("a.rs", 'client.post("https://api.openai.com/v1/chat/completions").send()', "error"),
        ("a.rb", 'OpenAI::Client.new(uri_base: "https://api.openai.com/v1")', "error"),
        ("a.php", "curl_init('https://api.openai.com/v1/chat/completions');", "error"),
        (
            "a.cs",
            'var c = new HttpClient { BaseAddress = new Uri("https://api.openai.com/v1") };',
            "error",
        ),
        ("a.ts", 'let x = /["]/; fetch("https://api.openai.com/v1/models")', "error"),
        ("a.py", 'c = Client(endpoint="https://your-endpoint.openai.azure.com/")', ""),
        (
            "a.ts",
            '// see "https://api.openai.com/v1"\nconst s = "http://x"; // fetch("https://api.openai.com/v1/a")',
            "",
        ),
        (
            "a.py",
            'urlopen(urllib.request.Request("https://api.openai.com/v1/models", headers=h))',
            "error",
        ),
        (
            "a.ts",
            'new ChatOpenAI({ configuration: { baseURL: "https://api.openai.com/v1" } })',
            "error",
        ),
        ("a.py", 'Model(\n  provider=Provider(base_url="https://api.openai.com/v1"))', "error"),
        ("a.kt", 'val url = URL("https://api.openai.com/v1/chat/completions")', "warning"),
    ],
)
def test_a_url_is_a_call_where_a_call_is(path: str, text: str, severity: str) -> None:
    found = list(DETECTOR.check(SourceFile(path, text.encode()), POLICY))
    assert [finding.severity for finding in found] == [severity] * bool(severity)


@pytest.mark.parametrize("path", ["a.py", "a.ts"])
def test_code_that_breaks_the_reader_is_read_to_the_end(path: str) -> None:
    url = '"https://api.openai.com/v1"'
    units = ["(", "{[", "`", '"""', "/*", "?:", "'\\", "a: b = "]
    for broken in [unit * 9_999 for unit in units] + [f"[{url}," * 200, f"x({url}" * 200]:
        list(DETECTOR.check(SourceFile(path, f"{broken}\n{url}{broken}".encode()), POLICY))


_LISTED = """\
providers:
  openai: {base_url: https://api.openai.com/v1, env: OPENAI_API_KEY}
  anthropic: {base_url: https://api.anthropic.com, env: ANTHROPIC_API_KEY}
  groq: {base_url: https://api.groq.com/openai/v1}
  mistral: {base_url: https://api.mistral.ai/v1}
"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        # which of them is used is said above or beside the entries, in whatever words
        ("providers.yaml", _LISTED + "app: {model: gpt-4o}\n"),
        ("providers.yaml", _LISTED + "routing: {active_profile: groq}\n"),
        ("providers.yaml", _LISTED + "think: groq/some-model\n"),
        ("providers.yaml", _LISTED + "order: [mistral, groq]\n"),
        ("providers.yaml", "agents: [{uses: openai}]\n" + _LISTED),
        ("providers.yaml", _LISTED + "---\ndefault: groq\n"),
        # in an entry
        ("providers.yaml", _LISTED.replace("env: OPENAI_API_KEY", "enabled: true")),
        ("providers.yaml", _LISTED.replace("env: OPENAI_API_KEY", "isDefault: yes")),
        ("providers.yaml", _LISTED.replace("env: OPENAI_API_KEY", "model: gpt-4o")),
        # it holds a key
        ("providers.yaml", _LISTED.replace("env: OPENAI_API_KEY", "api_keys: [$KEY]")),
        ("providers.yaml", _LISTED.replace("env: OPENAI_API_KEY", "api_key: x")),
        ("providers.yaml", _LISTED.replace("env: OPENAI_API_KEY", "key_file: /run/x")),
        (
            "providers.yaml",
            _LISTED.replace("env: OPENAI_API_KEY", 'headers: ["Authorization: Bearer ${X}"]'),
        ),
        # by its name the file configures something, or nothing says that it lists
        ("config/models.config.yaml", _LISTED),
        ("application.yml", _LISTED),
        (".models.yml", _LISTED),
        ("a.yaml", _LISTED.replace("providers:", "x:")),
        # settings beside each other
        (
            "models.yaml",
            "openaiUrl: https://api.openai.com/v1\nanthropicUrl: https://api.anthropic.com\n"
            "groqUrl: https://api.groq.com/openai/v1\nmistralUrl: https://api.mistral.ai/v1\n",
        ),
        (
            "models.yaml",
            "A: https://api.openai.com/v1\nB_X: https://api.anthropic.com\n"
            "C_X: https://api.groq.com/openai/v1\nD_X: https://api.mistral.ai/v1\n",
        ),
    ],
)
def test_a_list_of_providers_that_is_used_is_a_configuration(path: str, text: str) -> None:
    findings = DETECTOR.check(SourceFile(path, text.encode()), POLICY)
    assert [finding.severity for finding in findings] == ["error"] * 4


@pytest.mark.parametrize("lead", ["", "base_url: https://api.openai.com/v1\n"])
def test_an_address_beside_a_list_of_providers_counts_for_itself(lead: str) -> None:
    text = lead + _LISTED
    findings = DETECTOR.check(SourceFile("known.yaml", text.encode()), POLICY)
    assert [finding.severity for finding in findings] == ["note"] + ["error"] * bool(lead)


def test_an_entry_without_an_address_chooses_nothing() -> None:
    hosts = ("api.openai.com/v1", "api.anthropic.com", "api.groq.com/openai/v1", "api.mistral.ai")
    entries = "".join(f"- {{name: {host[4:9]}, base_url: https://{host}}}\n" for host in hosts)
    text = f"providers:\n{entries}- {{name: local, text: opena models}}\n"
    findings = DETECTOR.check(SourceFile("providers.yaml", text.encode()), POLICY)
    assert [finding.severity for finding in findings] == ["note"]


def test_defaults_of_many_variables_are_no_list() -> None:
    hosts = ("api.openai.com/v1", "api.anthropic.com", "api.groq.com/openai/v1", "api.mistral.ai")
    text = "".join(
        f"{name}: ${{{name}_X:-https://{host}}}\n" for name, host in zip("abcd", hosts, strict=True)
    )
    findings = DETECTOR.check(SourceFile("models.yaml", text.encode()), POLICY)
    assert [finding.severity for finding in findings] == ["warning"] * 4
