"""No secret leaves the program: planted in every field, searched in every output."""

from __future__ import annotations

import io
import json
import string
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard import masking
from guard.catalog.entries import providers, variables
from guard.catalog.key_shapes import OTHER_VENDORS, looks_like_key
from guard.catalog.key_values import is_placeholder, is_random
from guard.catalog.secret_patterns import PrefixedKey, secret_patterns
from guard.check.result import Result
from guard.commands.checking import FORMATS, report
from guard.dispatch import MaskedStream, main
from guard.errors import GuardError
from guard.findings import SEVERITIES, Excerpt, Finding
from guard.masking import fix_without_secrets, masked, without_secrets
from guard.rule_table import RULES
from guard.rules import pages

ROOT = Path(__file__).resolve().parents[1]

ALPHABET = string.ascii_letters + string.digits
QUICK = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def _is_drawn(pattern: PrefixedKey, key: str) -> bool:
    body = key[len(pattern.prefix) :]
    return is_random(body, pattern.entropy) and not is_placeholder(key)


prefixed = st.one_of(
    [
        st.from_regex(pattern.body, fullmatch=True, alphabet=st.sampled_from(ALPHABET + "-_+/="))
        .map(lambda body, pattern=pattern: pattern.prefix + body)  # type: ignore[misc]
        .filter(lambda key, pattern=pattern: _is_drawn(pattern, key))  # type: ignore[misc]
        for pattern in secret_patterns().prefixed
    ]
)
"""A key of any provider whose keys have a form of their own, as secrets.toml describes it."""

nameless = st.text(ALPHABET, min_size=32, max_size=64).filter(
    lambda word: is_random(word, 4.4) and sum(char.isdigit() for char in word) >= 4
)
"""A key without a prefix: long, of both cases and digits."""

EXAMPLES = (
    "sk-ant-api03-" + "Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6Jf1Gs0Ya" * 3,
    "sk-proj-" + "q8Zr2Lm9Xw4TkP7vBd3NsYh6" * 2,
    "AKIAIOSFODNN7EXAMPLQ",
    "ghp_q8Zr2Lm9Xw4TkP7vBd3NsYh6q8Zr2Lm9",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmN",
    "Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6Jf1Gs0Ya",
)
"""One of each kind, for places where each try costs a process or a check of a tree."""


def leaks(text: str, key: str) -> bool:
    """Whether `text` shows `key`, or most of it, in any spelling."""
    part = key[3:-3]
    return any(p.lower() in text.lower() for p in (part, quote(part, safe=""), quote(part)))


@contextmanager
def captured() -> Iterator[io.StringIO]:
    """stdout as the dispatcher has it."""
    inner, before = io.StringIO(), sys.stdout
    sys.stdout = MaskedStream(inner)  # type: ignore[assignment]
    try:
        yield inner
    finally:
        sys.stdout = before


# The mask -----------------------------------------------------------------------------------------


@QUICK
@given(st.one_of(prefixed, nameless), st.text(" \n\"'=:(,", max_size=3), st.data())
def test_a_key_is_masked_wherever_it_stands(key: str, around: str, data: st.DataObject) -> None:
    before = data.draw(
        st.sampled_from(("", "use -m portkey/", "NAME=", "see ", "(", "é", "x\u0130"))
    )
    text = f"{before}{around}{key}{around[::-1]} and more"
    out = masked(text)
    assert not leaks(out, key)
    assert out.endswith(" and more")
    assert masked(out) == out


@QUICK
@given(st.sampled_from(SEVERITIES), st.one_of(prefixed, nameless), st.data())
def test_no_field_of_a_finding_leaves_with_a_key(
    severity: str, key: str, data: st.DataObject
) -> None:
    rule = data.draw(st.sampled_from(sorted(RULES)))
    line = data.draw(st.integers(0, 3))
    shape = data.draw(
        st.sampled_from(("{}", "m/{}", "https://me:{}@h.example/v1", "{}_API_KEY", "-m {} 'hi'"))
    )
    text = shape.format(key)
    finding = Finding(
        rule, text, f"says {text} here", where="" if line else text, fix=f"first\nuse {text}",
        severity=severity, path=f"a/{key}.env" if line else "", line=line, column=line,
        end_line=line, end_column=line, context=text, excerpt=Excerpt(text, 0, len(text)),
    )  # fmt: skip
    result = Result(
        findings=(finding,), fingerprints=("0" * 16,), suppressed=(finding,), baselined=(finding,),
        excepted=(finding,), root="/r", remarks=(text,),
    )  # fmt: skip
    for format_ in FORMATS:
        with captured() as out:
            report(result, format_, None, "/r")
        assert not leaks(out.getvalue(), key), format_
        if format_ in ("json", "sarif"):
            json.loads(out.getvalue())


def test_a_report_in_a_file_is_masked(tmp_path: Path) -> None:
    key = EXAMPLES[0]
    finding = Finding("RG201", key, f"names {key}", fix=f"-m {key}", path=f"{key}.sh", line=1)
    result = Result(findings=(finding,), fingerprints=("0" * 16,), root=str(tmp_path))
    for format_ in FORMATS:
        report(result, format_, str(tmp_path / format_), str(tmp_path))
        assert not leaks((tmp_path / format_).read_text(), key)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:hunter2@proxy.example:8080", "https://****@proxy.example:8080"),
        ("https://me:p@ss@proxy.example/x", "https://****@proxy.example/x"),
        ("HTTPS:\\\\me:hunter2@host", "HTTPS:\\\\****@host"),
        ("http:me:hunter2@host/v1", "http:****@host/v1"),
        ("https://0123456789abcdef0123@host/v1", "https://01****23@host/v1"),
        ("https%3A//me:hunter2@host", "https%3A//****@host"),
        ("me:hunter22@proxy:8080", "me:****@proxy:8080"),
        ("socks5://u:p@127.0.0.1:1", "socks5://****@127.0.0.1:1"),
        ("https://h/v1?key=0123abcd&x=1", "https://h/v1?key=****&x=1"),
        ("opencode attach u --password hunter2", "opencode attach u --password ****"),
        ("--password=hunter2 x", "--password=**** x"),
        ('["attach", "--password", "hunter2"]', '["attach", "--password", "****"]'),
        ("Authorization: Bearer 0123456789abcdef", "Authorization: Bearer 01****ef"),
        ("x-api-key: 0123456789abcdef0123456789abcdef", "x-api-key: 01****ef"),
        ('{"token": "0a1b2c3d4e5f0a1b2c3d4e5f"}', '{"token": "0a****5f"}'),
        ("AZURE_API_KEY=" + "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "AZURE_API_KEY=0a****f9"),
    ],
)
def test_told_by_its_surroundings(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "unset OPENAI_API_KEY\nwhere it comes from: routeguard why OPENAI_API_KEY",
        "export PORTKEY_API_KEY=…",
        "set -gx PORTKEY_API_KEY …",
        'key = { command = ["op", "read", "op://Private/Portkey 2024/credential"] }',
        'routeguard allow env OPENAI_API_KEY --for 30d --reason "…"',
        "npm install -g opencode-ai@1.18.33",
        "git clone git@github.com:owner/repo ssh://git@host/x",
        "npx -p npm:opencode-ai@1.18.33 @scope/pkg@2",
        "sha256sum 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "/nix/store/0c3yl3ahpcaqbzwpvvhmkxq8kzq4j4rs-opencode-1.18.33/bin/opencode",
        "/home/u/.cache/pypoetry/virtualenvs/proj-9TtSrW0h-py3.11/bin/opencode",
        "/private/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/x",
        "dist/assets/index-BxK3j2Lq.js and dist/assets/chunk-DkJ39sLx.js",
        "-m portkey/Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8-GGUF-Q4_K_M",
        "us.anthropic.claude-3-5-sonnet-20241022-v2:0 @cf/meta/llama-3.1-8b-instruct-fp8",
        "task-force-managers-and-friends, a mask-border-outset, xai-grok-cli-without-key",
        "a getUrlOfMyNewApi2024 in an AccessibilityTestUtilsForMacOS",
        "550e8400-e29b-41d4-a716-446655440000",
        "token: $TOKEN, --token TOKEN, --api-key <key>, PASSWORD=${PASSWORD}",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text
    assert not looks_like_key(text)


def test_nothing_of_our_own_texts_and_data_is_masked() -> None:
    texts = [page for rule in RULES.values() for page in (pages.text(rule), rule.title)]
    texts += [f"{p.id} {p.name} {p.host} {p.api} {' '.join(p.env)}" for p in providers().values()]
    texts += [f"unset {v.name}\n{v.note} {v.owner}" for v in variables().values()]
    texts += [path.read_text() for path in (*ROOT.glob("docs/*.md"), ROOT / "README.md")]
    masks = [line for text in texts for line in text.split("\n") if masked(line) != line]
    # the one example of a key that is written out
    assert {line.strip() for line in masks} <= {"FROBNICATOR_API_KEY=c8f1e0a97b2d4c35"}


def test_every_prefix_of_the_data_is_known() -> None:
    body = "Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6Jf1Gs0Ya"
    for prefix in (*OTHER_VENDORS, *(p.prefix for p in secret_patterns().prefixed)):
        text = f"x {prefix}{body.upper() * 2}"
        assert masked(text) != text, prefix


# Known values -------------------------------------------------------------------------------------

known = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=8, max_size=40
).filter(lambda v: not v.isdigit() and not v.isspace() and not v.isalpha() and v[0] != "/")


@QUICK
@given(known, st.sampled_from(("HOUSE_TOKEN", "db_password", "MyApiKey", "AUTH", "MYSQL_PWD")))
def test_the_value_of_a_secret_variable_is_masked(value: str, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.setenv(name, value)
        except ValueError:
            return  # a NUL
        masking.forget()
        for text in (value, quote(value, safe=""), json.dumps(value)[1:-1]):
            assert text not in masked(f"a {text} b")
    masking.forget()


def test_values_that_are_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path))
    monkeypatch.setenv("API_KEY", "portkey")
    monkeypatch.setenv("ACCOUNT_KEY", "12345678")
    monkeypatch.setenv("PWD", "/home/me/a-project-1")
    masking.forget()
    text = f"{tmp_path} portkey 12345678 /home/me/a-project-1"
    assert masked(text) == text


def test_the_password_of_an_address_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://me:tr0ub4dor&3@db/x")
    masking.forget()
    assert masked("it is tr0ub4dor&3") == "it is ****"


def test_a_key_that_a_command_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    masking.forget()
    masking.remember("correct horse battery")
    assert masked("correct horse battery") == "co****ry"
    monkeypatch.setenv("PK", "an odd place 1")
    masking.remember_names(["PK"])
    assert masked("an odd place 1") == "****"
    masking.forget()


# Fixes --------------------------------------------------------------------------------------------


def test_a_fix_with_a_key_says_where_to_edit() -> None:
    key = EXAMPLES[0]
    finding = Finding(
        "RG201", "x", "y", path="ci/run.sh", line=3, column=1, fix=f"use -m {key}\nor b"
    )
    assert without_secrets(finding).fix == (
        "edit ci/run.sh:3:1 by hand: the key in it is not repeated here\nor b"
    )
    assert "history" in fix_without_secrets(f"opencode run {key}", "command line")
    assert fix_without_secrets("unset X\nor this", "environment") == "unset X\nor this"


def test_an_error_says_where_to_edit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = EXAMPLES[1]

    def fail(argv: list[str]) -> int:
        raise GuardError(f"a {key}", where=f"file {key}", why=key, fix=f"run {key}")

    monkeypatch.setattr("guard.launch.execute.main", fail)
    assert main(["exec", "--", "x"]) == 126
    said = capsys.readouterr().err
    assert not leaks(said, key)
    assert "by hand" in said


# The commands -------------------------------------------------------------------------------------

FILES = {
    "run.sh": "opencode run -m anthropic/{k} 'use {k} for it'\nopencode run -m portkey/{k} hi\n"
    "export OPENAI_BASE_URL=https://me:{k}@llm.example.net/v1\n{k}_API_KEY=x opencode run hi\n"
    "opencode attach http://u:{k}@box:4096\nopencode run --provider {k} hi\n",
    ".env": "OPENAI_BASE_URL=https://me:{k}@llm.corp.net/v1\nHTTPS_PROXY=http://me:{k}@127.0.0.1:9\n"
    "OLLAMA_HOST={k}\nOPENAI_API_BASE={k}\n{k}_API_KEY=Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6Jf1Gs0Yb\n",
    "opencode.json": '{{"model": "anthropic/{k}", "small_model": "{k}/x", "plugin": ["{k}"],'
    '"provider": {{"{k}": {{"npm": "./{k}", "options": {{"baseURL": "https://me:{k}@h/v1"}}}}}},'
    '"enabled_providers": ["{k}"], "agent": {{"a": {{"model": "openai/{k}"}}}}}}',
    ".codex/config.toml": 'model_provider = "{k}"\n[model_providers.p]\n'
    'base_url = "https://{k}@h/v1"\n',
    ".github/workflows/ci.yml": "jobs:\n a:\n  steps:\n   - run: opencode run -m openai/{k} hi\n"
    "     env: {{OPENAI_API_KEY: '{k}', {k}_API_KEY: 'x'}}\n"
    "   - uses: anomalyco/opencode/github@v1\n"
    "     with: {{model: 'anthropic/{k}'}}\n",
    "Dockerfile": "FROM ghcr.io/berriai/litellm:{k}\n"
    "ENV OPENAI_BASE_URL=http://me:{k}@localhost:4000\n",
    "compose.yaml": "services: {{a: {{image: 'ollama/ollama:{k}', environment: ['{k}_API_KEY=x',"
    " 'OPENAI_API_KEY={k}']}}}}\n",
    "a.py": "# routeguard: ignore[{k}] {k}\nOpenAI(base_url='https://me:{k}@api.openai.com/v1')\n",
    "{k}.env": "OPENAI_API_KEY={k}\n",
    ".opencode/agent/a.md": "---\nmodel: anthropic/{k}\n---\n",
    "{k}/.opencode/plugin/{k}.js": "",
    "bad.service": "[Service]\nEnvironment=OPENAI_BASE_URL=http://{k}@localhost:4000/{k}\n",
}  # fmt: skip


@pytest.mark.parametrize("key", EXAMPLES)
def test_check_shows_no_key(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in FILES.items():
        path = tmp_path / "tree" / name.format(k=key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(k=key))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "tree")
    capsys.readouterr()
    for words in (
        *(("--format", format_) for format_ in FORMATS),
        ("--fix",),
        ("--fix", "--yes"),
        ("--env-file", ".env", "--format", "json"),
        ("--select", key),
        (key,),
        ("--env-file", key),
    ):
        paths = () if "--env-file" in words or key in words else (".",)
        assert main(["check", *paths, *words]) in (1, 2), words
        said = capsys.readouterr()
        assert not leaks(said.out + said.err, key), words
        assert said.out or said.err, words


ARGUMENTS = (
    ("run", "-m", "anthropic/{}", "hi"),
    ("run", "-m", "portkey/{}", "say {}"),
    ("run", "--provider", "{}", "hi"),
    ("run", "--attach", "http://u:{}@box:4096", "hi"),
    ("attach", "http://box:4096", "--password", "{}"),
    ("run", "--model", "'{}", "hi"),
    ("serve", "--port", "{}"),
    ("--{}",),
    ("{}",),
)


@pytest.mark.parametrize("number", range(len(ARGUMENTS)), ids=lambda n: " ".join(ARGUMENTS[n]))
def test_explain_shows_no_key(
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = tmp_path / "opencode-ai"
    (package / "bin").mkdir(parents=True)
    (package / "package.json").write_text('{"name":"opencode-ai","version":"1.18.33"}')
    agent = package / "bin" / "opencode"
    agent.write_text("#!/bin/sh\nexit 9\n")
    agent.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(agent.parent))
    monkeypatch.setenv("PORTKEY_API_KEY", "a gateway's key? 'no'")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    # two keys at each place, each key at three
    for key in EXAMPLES[number % 3 :: 3]:
        typed = [word.format(key) for word in ARGUMENTS[number]]
        for format_ in ("text", "json"):
            main(["explain", "--format", format_, "--", "opencode", *typed])
            said = capsys.readouterr()
            assert not leaks(said.out + said.err, key)
            assert "a gateway's key" not in said.out + said.err
            if format_ == "json" and said.out:
                json.loads(said.out)
