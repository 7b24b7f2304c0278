"""Keys written out: every vendor's form, what only looks like one, and hostile text."""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections.abc import Callable
from itertools import product

import pytest
from searches import SEARCHES

from guard.catalog.secret_patterns import secret_patterns
from guard.findings import Finding
from guard.policy.values import CompiledPolicy, GatewayProvider
from guard.rules.files import coded, secrets
from guard.rules.files.secrets import DETECTOR, variable_kind
from guard.rules.needles import NeedleSearch
from guard.sources.file import SourceFile

LETTERS = string.ascii_letters + string.digits
URL_SAFE = LETTERS + "-_"
HEX = "0123456789abcdef"
POLICY = CompiledPolicy()


def drawn(alphabet: str, length: int, seed: object) -> str:
    """`length` characters, the same for the same seed."""
    chosen = random.Random(str(seed))
    return "".join(chosen.choice(alphabet) for _ in range(length))


LOOKS = [search([DETECTOR, coded.GROUP]) for search in SEARCHES]


def checked(file: SourceFile, policy: CompiledPolicy = POLICY) -> list[Finding]:
    """What is found in `file`, to which every search has to lead if it is anything."""
    found = list(DETECTOR.check(file, policy))
    groups = {0} if found else set()
    if any(coded.keys(file.text)):
        groups.add(1)
    for looks in LOOKS:
        assert groups <= set(looks(file.data, lambda _: True))
    return found


def subjects(text: str, policy: CompiledPolicy = POLICY) -> list[str]:
    found = checked(SourceFile("x", text.encode()), policy)
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


@pytest.mark.parametrize(
    "text",
    [
        '{"t": "\\u0027KEY\\u0027"}',
        'k = b"\\x20KEY"',
        "https://x.example/?key%3DKEY",
        '{"traceback": ["\\u001b[0;32mKEY\\u001b[0m"]}',
        "\x1b[38;5;124mKEY\x1b[0m",
        "\x1b[mKEY",
    ],
)
def test_a_key_after_an_escape_is_found(text: str) -> None:
    assert subjects(text.replace("KEY", KEYS["Anthropic"](1))) == ["Anthropic"]


@pytest.mark.parametrize("owner", KEYS)
def test_a_key_in_base64_or_hex_is_found(owner: str) -> None:
    for seed in range(8):
        key = KEYS[owner](seed).encode()
        for written in (base64.b64encode(key), base64.urlsafe_b64encode(key + b"\n")):
            text = f"key: !!binary {written.decode()}\n"
            assert subjects(text) == [owner]
        for digits in (key.hex(), key.hex().upper()):
            assert subjects(f"k = '{digits}'") == [owner]
        lines = re.findall(".{1,60}", base64.b64encode(key).decode())
        assert subjects("key: !!binary |\n  " + "\n  ".join(lines) + "\nother: 1\n") == [owner]
    (finding,) = checked(SourceFile("x", text.encode()))
    shown = len(written.rstrip(b"="))
    assert (finding.column, finding.end_column) == (15, 15 + shown)


ESCAPES = {
    "json": lambda char: f"\\u{ord(char):04x}",
    "json in json": lambda char: f"\\\\u{ord(char):04X}",
    "python": lambda char: f"\\x{ord(char):02x}",
    "octal": lambda char: f"\\{ord(char):03o}",
    "javascript": lambda char: f"\\u{{{ord(char):x}}}",
    "css": lambda char: f"\\{ord(char):06x} ",
    "go": lambda char: f"\\U{ord(char):08x}",
    "by name": lambda char: {"-": r"\N{HYPHEN-MINUS}", "_": r"\N{LOW LINE}"}.get(char, char),
    "html": lambda char: f"&#{ord(char)};",
    "xml": lambda char: f"&#x{ord(char):x};",
    "url": lambda char: f"%{ord(char):02X}",
    "url in url": lambda char: f"%25{ord(char):02x}",
    "markdown": lambda char: f"\\{char}" if char in "-_" else char,
    "zero width space": lambda char: f"{char}\u200b",
    "soft hyphen": lambda char: f"{char}\xad",
    "word joiner": lambda char: f"\u2060{char}",
    "escaped zero width": lambda char: f"{char}\\u200B",
    "entity of one": lambda char: f"{char}&#8203;",
    "break": lambda char: f"{char}<wbr>",
}


@pytest.mark.parametrize("kind", ESCAPES)
def test_a_key_with_escapes_is_found(kind: str) -> None:
    escape = ESCAPES[kind]
    for owner, seed in product(KEYS, range(3)):
        key = KEYS[owner](seed)
        some = random.Random(seed)
        for chosen in ("-_", key, key[:1], key[-1:], some.choice(key), some.sample(key, 9)):
            written = "".join(escape(char) if char in chosen else char for char in key)
            file = SourceFile("x", f"é key = '{written}' end".encode())
            (finding,) = checked(file)
            place = file.text[finding.column - 1 : finding.end_column - 1]
            # what is not seen may stand right before or behind
            assert len(written) - 8 <= len(place) <= len(written)
            assert place in written


@pytest.mark.parametrize("text", [r"'\u0073\u006b-one-two'", "a%2Db%5Fc" * 40, r"\x41\x42" * 80])
def test_escapes_of_other_things_are_silent(text: str) -> None:
    assert subjects(text) == []


@pytest.mark.parametrize("as_hex", [False, True])
def test_what_begins_like_many_coded_keys_is_decoded_few_times(
    as_hex: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "_from_hex" if as_hex else "from_base64"
    decode, asked = getattr(coded, name), []

    def counted(text: str) -> bytes:
        asked.append(text)
        decoded: bytes = decode(text)
        return decoded

    coding = "_AS_HEX" if as_hex else "_IN_BASE64"
    monkeypatch.setattr(coded, coding, getattr(coded, coding)._replace(decode=counted))
    key = KEYS["Groq"](1)
    plain = b"sk-" * 20_000 + f" {key} ".encode() + b"sk-" * 20_000
    text = plain.hex() if as_hex else base64.b64encode(plain).decode()
    end = len(text.rstrip("="))
    assert {(found.owner, found.end) for found in coded.keys(text)} == {("Groq", end)}
    assert len(asked) < 2000


@pytest.mark.parametrize("between", ["\n", "\r\n", "\n    ", "\\n"])
def test_lines_that_all_begin_like_coded_keys_are_decoded_few_times(
    between: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def counted(text: str, decode: Callable[[str], bytes] = coded.from_base64) -> bytes:
        sizes.append(len(text))
        return decode(text)

    monkeypatch.setattr(coded, "_IN_BASE64", coded._IN_BASE64._replace(decode=counted))
    key = KEYS["OpenAI"](1)
    plain = b" sk-a sk-bcd sk-ef" * 3_000 + f" {key} ".encode() + b"sk-" * 9_000
    for width in (76, 77, 19):
        sizes.clear()
        lines = between.join(re.findall(f".{{1,{width}}}", base64.b64encode(plain).decode()))
        assert {found.owner for found in coded.keys(lines)} == {"OpenAI"}
        # each of the ways in which lines go on, twice, in each of the ways in which groups lie
        assert sum(sizes) < 4 * 2 * 4 * len(lines)


@pytest.mark.parametrize("before", ["c2stYWFh", "c2stYWFhYWFh", "word"])
@pytest.mark.parametrize("between", ["\n", "\n  ", "\\n"])
def test_a_coded_key_that_begins_a_line_is_no_part_of_the_line_before(
    before: str, between: str
) -> None:
    for width in (20, 32, 76):
        lines = re.findall(f".{{1,{width}}}", base64.b64encode(KEYS["OpenAI"](2).encode()).decode())
        assert subjects(between.join([before, *lines])) == ["OpenAI"]


def test_one_letter_more_hides_no_coded_key() -> None:
    text = base64.b64encode(b"A=1\nKEY=" + KEYS["Anthropic"](3).encode() + b"\n").decode()
    for more in range(1, 5):
        assert subjects(text.rstrip("=") + "A" * more) == ["Anthropic"]


@pytest.mark.parametrize("owner", KEYS)
def test_a_key_in_what_is_coded_as_a_whole_is_found(owner: str) -> None:
    for lead, form in product(range(4), ("{u}:{key}", "A=1\n# {é}\nKEY={key}\nB=2\n")):
        plain = form.format(key=KEYS[owner](lead), u="u" * lead, é="é" * lead).encode()
        for written in (base64.b64encode(plain).decode(), plain.hex()):
            text = f"Authorization: Basic {written}\n"
            (finding,) = checked(SourceFile("x", text.encode()))
            assert text[finding.column - 1 : finding.end_column - 1].rstrip("=") in written
            assert finding.column == len("Authorization: Basic ") + 1


def test_a_key_in_base64_that_takes_several_lines() -> None:
    plain = "A=1\n" * 30 + f"KEY={KEYS['OpenAI'](1)}\n" + "B=2\n" * 9
    lines = base64.encodebytes(plain.encode()).decode()
    assert subjects(f"base64 -d > .env <<EOF\n{lines}EOF\n") == ["OpenAI"]
    assert subjects(json.dumps({"env": lines})) == ["OpenAI"]


def test_what_stands_beside_base64_tells_whose_key_it_is() -> None:
    coded = base64.b64encode(b"sk-" + drawn(HEX, 32, 1).encode()).decode()
    (subject,) = subjects(f"deepseek: {coded}")
    assert subject.startswith("DeepSeek")
    assert subjects(f"other: {coded}") == []


def test_base64_and_hex_of_other_things_are_silent() -> None:
    for seed in range(300):
        coded = base64.b64encode(b"sk-" + drawn(LETTERS, 2000, seed).encode()[:seed]).decode()
        assert subjects(f"data:image/png;base64,{drawn(LETTERS, 400, seed)}{coded}") == []
    key = KEYS["Anthropic"](1).encode()
    assert subjects("d41d8cd9" + key.hex()) == []
    assert subjects(base64.b64encode(b"sk-ant-api03-your-key-here-for-the-example").decode()) == []


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
        "process.env.OPENROUTER_API_KEY = originalOpenRouterApiKey;",
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


@pytest.mark.parametrize("search", SEARCHES)
def test_every_prefix_and_word_is_behind_a_needle(search: type[NeedleSearch]) -> None:
    looks = search([DETECTOR])
    patterns = secret_patterns()
    for prefixed in patterns.prefixed:
        rest = "0" * (20 - len(prefixed.prefix))
        assert looks(f"x {prefixed.prefix}{rest} y".encode(), lambda _: True), prefixed.prefix
    for named in patterns.named:
        for word in named.words:
            for between in (
                *("_API_KEY=", '-key": "', " To\u212aen =>\u00a0", " bearer\t"),
                *(" Author\u0131zat\u0131on :\n  Bearer ", "_key`,'"),
            ):
                sample = f"{word.title()}{between}{'0' * 20}".encode()
                assert looks(sample, lambda _: True), sample


KEY = KEYS["Anthropic"]("in parts")
HEAD, TAIL = KEY[:7], KEY[7:]


@pytest.mark.parametrize(
    "text",
    [
        'key = "{0}" "{1}"',
        "key = '{0}' + '{1}'",
        'key = (\n    "{0}"  # the prefix\n    f"{1}"\n)',
        'String key = "{0}" + // the rest\n  "{1}";',
        "$key = '{0}' . '{1}';",
        'local key = "{0}" .. "{1}"',
        'key = "{0}" & _\n  "{1}"',
        'key = "{0}" <> "{1}"',
        'key = "{0}" ++ "{1}"',
        'let key = "{0}" ^ "{1}"',
        'key = "{0}" * "{1}"',
        'key = "{0}".concat("{1}")',
        'key = ["{0}", "{1}"].join("")',
        'key = "".join(("{0}", "{1}"))',
        'key <- paste0("{0}", "{1}")',
        'KEY={0}"{1}"',
        'KEY="{0}"{1}',
        "KEY=\"{0}\"'{1}'",
        "KEY={0}\\\n{1}",
        'key = "{0}\\\n  {1}"',
        "key = `{0}` +\n\t`{1}`",
    ],
)
def test_a_key_in_parts_is_one_key(text: str) -> None:
    for cut in (7, 13, 50):
        written = text.replace("{0}", KEY[:cut]).replace("{1}", KEY[cut:])
        file = SourceFile("x", written.encode())
        (finding,) = checked(file)
        place = written[
            file.offset(finding.line, finding.column) : file.offset(
                finding.end_line, finding.end_column
            )
        ]
        assert (place[:5], place[-5:]) == (KEY[:5], KEY[-5:])
        assert file.secrets == [KEY]


def test_the_parts_of_a_named_key() -> None:
    value = drawn(LETTERS, 32, "named")
    assert subjects(f'OPENAI_API_KEY = "{value[:10]}" + "{value[10:]}"') == ["OPENAI_API_KEY"]
    assert subjects(f'["OPENAI_API_KEY", "{value[:10]}", "{value[10:]}"]') == []


@pytest.mark.parametrize(
    "text",
    [
        'a = "sk-ant-" + name + "api03"',
        'prefixes = ["sk-ant-", "sk-or-v1-", "gsk_", "hf_", "AIza"]',
        'if key.startswith("sk-ant-") or key == "x" + "y":',
        'x = "sk-" "your-key" "-goes-here-and-is-long-enough-to-be-one"',
    ],
)
def test_texts_beside_each_other_that_are_no_key(text: str) -> None:
    assert subjects(text) == []


def service_account(size: int = 1218) -> str:
    body = random.Random(4).randbytes(size)
    pem = "MII" + base64.b64encode(body).decode()[3:]
    lines = "\\n".join(pem[at : at + 64] for at in range(0, len(pem), 64))
    return (
        '{\n  "type": "service_account",\n  "project_id": "x",\n  "private_key": '
        f'"-----BEGIN PRIVATE KEY-----\\n{lines}\\n-----END PRIVATE KEY-----\\n",\n'
        '  "client_email": "a@x.iam.gserviceaccount.com"\n}\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        service_account(),
        "GOOGLE_CREDENTIALS='" + service_account().replace("\n", "") + "'",
        "x: " + json.dumps(service_account()),
        "x: " + base64.b64encode(service_account().encode()).decode(),
        "x: " + base64.b64encode(json.dumps(json.loads(service_account())).encode()).decode(),
        service_account().replace("\\n", "\n"),
    ],
)
def test_the_key_of_a_google_service_account(text: str) -> None:
    file = SourceFile("x", text.encode())
    (finding,) = checked(file)
    assert (finding.rule, finding.severity) == ("RG111", "error")
    assert "service account" in finding.message


@pytest.mark.parametrize(
    "text",
    [
        service_account(20),
        service_account().replace("MII", "..."),
        service_account().replace("service_account", "x").replace("gserviceaccount", "x"),
        "x: " + base64.b64encode(b'{"type": "service_account"}' * 100).decode(),
    ],
)
def test_what_is_no_key_of_a_google_service_account(text: str) -> None:
    assert subjects(text) == []


def test_voyage() -> None:
    value = "pa-" + drawn(URL_SAFE, 43, "voyage")
    assert subjects(f"VOYAGE_API_KEY={value}") == ["VOYAGE_API_KEY"]
    assert subjects(f'voyageai.Client(api_key="{value}")') == ["Voyage AI"]
    assert variable_kind("VOYAGE_API_KEY", POLICY) == ("provider_key", "Voyage AI")
