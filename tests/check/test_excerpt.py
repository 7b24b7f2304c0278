"""The source line of a finding: marked where it should be, and no secret in it in any format."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator

import pytest

from guard.check import engine, excerpt
from guard.check.result import Result
from guard.findings import Excerpt, Finding
from guard.masking import masked, without_secrets
from guard.policy.values import CompiledPolicy
from guard.report import concise, github, sarif, text
from guard.report import json as as_json
from guard.report.terminal import plain
from guard.rules.detectors import DETECTORS
from guard.rules.files.scope import Scope, Span
from guard.sources.file import SourceFile

ANTHROPIC = (
    "sk-ant-api03-" + "Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6Jf1Gs0Ya" * 2 + "Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6J-Gs0AA"
)
PART = 6
"""Characters of a value in a row that nobody may see; a mask shows two."""

SHAPES = {
    "a.py": 'client = Client(api_key="{}", base_url="https://api.openai.com/v1")\n',
    "b.js": "var a=1;" * 900
    + "f('https://api.anthropic.com/v1',{{'x-api-key':'{}'}});"
    + "b();" * 999,
    ".env": "OPENAI_API_KEY={}\nOPENAI_BASE_URL=https://api.openai.com/v1 # was {}\n",
    "c.env": "export GROQ_API_KEY='{}'",
    "compose.yaml": "services:\n  a:\n    environment:\n      OPENAI_API_KEY: {}\n",
    "run.sh": "OPENAI_API_KEY={} opencode run -m openai/x hi; curl -H 'Authorization: Bearer {}'",
    "Dockerfile": "FROM x\nENV OPENAI_API_KEY={} A=B\nRUN opencode serve --password {}\n",
    "llm.service": '[Service]\nEnvironment="OPENAI_API_KEY={}"\nExecStart=/usr/bin/ollama serve\n',
    "opencode.json": '{{"provider": {{"openai": {{"options": {{"apiKey": "{}"}}}}}}}}\n',
    ".claude/settings.json": '{{"env": {{"ANTHROPIC_AUTH_TOKEN": "{}"}}}}\n',
    "package.json": '{{"scripts": {{"ai": "OPENAI_API_KEY={} opencode run -m openai/x y"}}}}\n',
    "t.tfvars": 'openai_api_key = "{}"\n',
    "wide.py": '\t模型 = "\u202e\x1b[31m"; anthropic = Anthropic(api_key="{}")\n',
    "split.py": 'key = ("{0}"\n       "{1}") + "{2}"; anthropic_api_key = "{3}"\n',
}


def found(name: str, content: str) -> list[Finding]:
    outcome = engine.Outcome()
    file = SourceFile(name, content.encode("utf-8", "surrogateescape"), absolute=f"/r/{name}")
    engine.check_file(file, engine.Settings(CompiledPolicy()), DETECTORS, outcome)
    return [finding for finding, _ in outcome.found]


def reports(findings: list[Finding]) -> Iterator[tuple[str, str]]:
    result = Result(
        findings=tuple(map(without_secrets, findings)), fingerprints=("0" * 16,) * len(findings),
        root="/r",
    )  # fmt: skip
    yield from ((f"text {width}", text.render(result, "/r", width=width)) for width in (0, 23, 60))
    for kind in (concise, github, as_json, sarif):
        yield kind.__name__, kind.render(result, "/r")


def shown_parts(report: str, value: str) -> list[str]:
    # behind the prefix, which the help of the rules has too
    inner = value[14 if len(value) > 40 else 2 : -2]
    parts = (inner[at : at + PART] for at in range(max(1, len(inner) - PART + 1)))
    return [part for part in parts if part in report]


def drawn(seed: str) -> list[str]:
    """A key with a prefix, and two values that only their names tell."""
    chance = random.Random(seed)
    characters = string.ascii_letters + string.digits
    values = ["".join(chance.choices(characters, k=size)) for size in (64, 15, 12)]
    return ["sk-proj-" + values[0], *values[1:]]


@pytest.mark.parametrize("name", SHAPES)
def test_no_part_of_a_key_is_in_any_report(name: str) -> None:
    for key in (ANTHROPIC, *drawn(name)):
        content = SHAPES[name].replace("{}", key).replace("{{", "{").replace("}}", "}")
        if name == "split.py":
            content = SHAPES[name].format(key[:9], key[9:40], key[40:], key)
        for format_, report in reports(found(name, content)):
            assert not shown_parts(report, key), format_


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_has_a_finding_with_its_line(name: str) -> None:
    """The control: what the search above searches is there."""
    content = SHAPES[name].replace("{}", ANTHROPIC).replace("{{", "{").replace("}}", "}")
    if name == "split.py":
        content = f'anthropic = ("sk-ant-" "api03-")\nkey = "{ANTHROPIC}"\n'
    findings = found(name, content)
    assert findings
    for finding in findings:
        assert finding.excerpt is not None
        start, end = finding.excerpt.start, finding.excerpt.end
        assert 0 <= start < end <= len(finding.excerpt.text)
    assert any("****" in f.excerpt.text for f in findings if f.excerpt)


def one(line: str, place: str, rule: str = "RG201", secrets: tuple[str, ...] = ()) -> Excerpt:
    file = SourceFile("a", line.encode())
    file.secrets.extend(secrets)
    at = line.index(place) + 1
    finding = Finding(rule, "s", "m", path="a", line=1, column=at, end_line=1,
                      end_column=at + len(place))  # fmt: skip
    excerpt.add(file, [finding])
    assert finding.excerpt is not None
    return finding.excerpt


def marked(made: Excerpt) -> str:
    return made.text[made.start : made.end]


@pytest.mark.parametrize(
    ("line", "place", "shown"),
    [
        ('f(token="hunter22", url="http://x")', "http://x", 'f(token="****", url="http://x")'),
        ("a: b  # password: correct-horse", "b", "a: b  # password: ****"),
        ("MY_SECRET=abcdefgh opencode run", "opencode", "MY_SECRET=**** opencode run"),
        ("curl -H 'Authorization: Basic aGk6eW91' x", "curl",
         "curl -H 'Authorization: Basic ****' x"),
        ('["auth-token", "abcdefgh"], call()', "call", '["auth-token", "****"], call()'),
        ("OPENAI_KEY_2=abcdefgh go", "go", "OPENAI_KEY_2=**** go"),
        ("token: ${{ secrets.TOKEN }}", "token", "token: ${{ secrets.TOKEN }}"),
        ("api_key=os.environ['A']", "api_key", "api_key=os.environ['A']"),
        ('key_env = "OPENAI_API_KEY"', "OPENAI", 'key_env = "OPENAI_API_KEY"'),
        ("tokenizer = load('abcdefgh')", "load", "tokenizer = load('abcdefgh')"),
        ('["portkey", "openai"]', "openai", '["portkey", "openai"]'),
    ],
)  # fmt: skip
def test_what_the_name_of_a_secret_is_given_is_hidden(line: str, place: str, shown: str) -> None:
    made = one(line, place)
    assert made.text == shown
    assert marked(made) == place


def test_the_mark_moves_with_the_mask() -> None:
    made = one(f'a="{ANTHROPIC}"; b="{ANTHROPIC}"; go()', "go()")
    assert (marked(made), made.text) == ("go()", 'a="sk****AA"; b="sk****AA"; go()')
    assert marked(one(f"x {ANTHROPIC} y", ANTHROPIC)) == "sk****AA"
    # a place that begins or ends within a secret holds the whole mask
    assert marked(one(f"x {ANTHROPIC} y", ANTHROPIC[5:9])) == "sk****AA"
    assert marked(one("x hunter2 y", "hunter2", rule="RG111")) == "****"


def test_a_value_that_a_detector_took_for_a_secret_is_hidden_everywhere() -> None:
    made = one("say correct-horse-battery 'orse-batt' ok", "ok", secrets=("correct-horse-battery",))
    assert made.text == "say co****ry '****' ok"


def test_a_secret_of_a_file_within_a_file_is_hidden_in_the_outer_one() -> None:
    file = SourceFile("run.sh", b"cat <<E\nsay correct-horse\nE\n")
    inner = SourceFile("x.env", b"say correct-horse\n", outer=file, places=range(8, 27))
    scope = Scope(inner, CompiledPolicy())
    finding = scope.finding("RG201", Span(0, 3), "s", "m", secret="correct-horse")
    excerpt.add(file, [finding])
    assert finding.excerpt is not None
    assert finding.excerpt.text == "say ****"


def test_a_short_secret_is_no_reason_to_hide_every_word() -> None:
    made = one("export A=x; exit x", "exit", secrets=("x",))
    assert (made.text, marked(made)) == ("export A=****; exit ****", "exit")


def test_of_a_dump_of_keys_no_line_is_shown() -> None:
    file = SourceFile("a", b"opencode " * 100)
    file.secrets.extend(f"{n:08}-{ANTHROPIC}" for n in range(2000))
    finding = Finding("RG201", "s", "m", path="a", line=1, column=1)
    excerpt.add(file, [finding])
    assert finding.excerpt is None


def test_what_is_not_seen_is_shown() -> None:
    made = one("\ta\x1b[31m\u202e\tb\x07 opencode", "opencode")
    assert made.text.isprintable()
    assert made.text.startswith("    a\\x1b[31m\\u202e")
    assert marked(made) == "opencode"
    assert one("\tab\tx opencode", "opencode").text == "    ab  x opencode"


def test_of_a_long_line_the_part_around_the_place_is_kept() -> None:
    line = "a " * 200_000 + "opencode run" + " b" * 200_000
    made = one(line, "opencode run")
    assert marked(made) == "opencode run"
    assert len(made.text) <= 2 * excerpt.KEPT + len("opencode run") + 2
    assert made.text.startswith("…")
    assert made.text.endswith("…")
    whole = one("x" * 300_000, "x" * 300_000)
    assert len(whole.text) <= 2 * excerpt.KEPT + excerpt.LONGEST + 2


@pytest.mark.parametrize("text_", ["token=" * 700, "-key" * 1000, "a-" * 2000, "'" * 4000])
def test_a_hostile_line_takes_no_time(text_: str) -> None:
    file = SourceFile("a", (text_ + " opencode").encode())
    file.secrets.extend(["a-a-a-a-b"] * 500)
    findings = [
        Finding("RG201", "s", "m", path="a", line=1, column=n + 1) for n in range(40)
    ]  # fmt: skip
    excerpt.add(file, findings)
    assert all(finding.excerpt for finding in findings)


def test_a_finding_is_masked_again_on_its_way_out() -> None:
    at = len(ANTHROPIC) + 3
    finding = Finding("RG201", "s", "m", excerpt=Excerpt(f"a {ANTHROPIC} go", at, at + 2))
    clean = without_secrets(finding).excerpt
    assert clean is not None
    assert (clean.text, marked(clean)) == (f"a {masked(ANTHROPIC)} go", "go")


def test_the_json_carries_it() -> None:
    (finding,) = found("x.txt", f"k {ANTHROPIC}\n")
    (report,) = (said for name, said in reports([finding]) if name.endswith("json"))
    assert json.loads(report)["findings"][0]["excerpt"] == {
        "text": "k sk****AA",
        "start": 2,
        "end": 10,
    }
    assert "     1 | k sk****AA" in plain(next(reports([finding]))[1])
