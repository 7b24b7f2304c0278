"""The baseline: what is stored, what it stands for, what becomes of damage."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from guard.check import baseline
from guard.errors import ExitCode, GuardError
from guard.findings import Finding

SECRETS = (
    "sk-ant-api03-abcdefGHIJKL0123456789",
    "hunter2",
    "letmein",
    "correcthorsebatterystaple",
    "pa$$w0rd!",
)


def finding(rule: str = "RG201", path: str = "run.sh", line: int = 1) -> Finding:
    return Finding(rule, "anthropic", "m", path=path, line=line, column=1)


@pytest.mark.parametrize(
    "form",
    [
        "OPENAI_API_KEY={}",
        "export OPENAI_API_KEY='{}'",
        'key: "{}"',
        '"apiKey": "{}",',
        "set -gx OPENAI_API_KEY {}",
        "curl -H 'Authorization: Bearer {}' https://x",
        "opencode run --password {} -m a/b",
        "client = OpenAI(api_key = '{}')",
        "OPENAI_API_KEY: {} # note",
        "OPENAI_API_KEY={} opencode run -m anthropic/claude",
    ],
)
def test_a_skeleton_holds_no_value(form: str) -> None:
    for secret in SECRETS:
        kept = baseline.skeleton(form.format(secret))
        assert secret not in kept
        assert kept == baseline.skeleton(form.format("another"))


def test_a_line_with_many_findings_is_read_once() -> None:
    baseline.skeleton.cache_clear()
    lines = ["opencode serve; " * 10_000, "opencode run; " * 10_000]
    digests = {baseline.fingerprint(finding(), line) for line in lines for _ in range(100)}
    assert len(digests) == 2
    assert baseline.skeleton.cache_info().misses == 2


def test_a_skeleton_tells_calls_apart_and_not_their_indentation() -> None:
    assert baseline.skeleton("opencode serve") != baseline.skeleton("opencode run")
    assert baseline.skeleton("\t opencode  serve") == baseline.skeleton("opencode serve")


def test_a_long_line_takes_no_long_time() -> None:
    for text in ("=" * 1_000_000, ":" * 1_000_000, "'" * 1_000_000, " key" * 250_000):
        baseline.skeleton(text)


def test_the_fingerprint_survives_a_move_and_no_more() -> None:
    one = baseline.fingerprint(finding(line=1), "opencode serve")
    assert one == baseline.fingerprint(finding(line=9), "  opencode serve")
    assert one != baseline.fingerprint(finding(path="b.sh"), "opencode serve")
    assert one != baseline.fingerprint(finding("RG202"), "opencode serve")
    assert len(one) == 16


def test_an_entry_covers_as_many_as_it_was_written_for() -> None:
    known = baseline.of([(finding(line=1), "d"), (finding(line=2), "d")])
    now = [(finding(line=n), "d") for n in (3, 4, 5)]
    new, covered, stale = baseline.apply(known, now)
    assert [f.line for f, _ in new] == [5]
    assert [f.line for f in covered] == [3, 4]
    assert stale == 0
    assert baseline.apply(known, now[:1])[2] == 1


def test_findings_about_the_check_do_not_wait() -> None:
    pairs = [(finding(rule), "d") for rule in ("RG901", "RG902", "RG903")]
    assert not baseline.of(pairs).entries


def test_written_and_read_again(tmp_path: Path) -> None:
    path = str(tmp_path / "b.json")
    strange = os.fsdecode(b"\xff\n\x1b[31m")
    known = baseline.of([(finding(path=strange), "d"), (finding(), "e"), (finding(), "e")])
    baseline.write(known, path)
    assert baseline.read(path).entries == known.entries
    assert json.loads(Path(path).read_text())["schema_version"] == 1
    assert "\x1b" not in Path(path).read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]
    before = Path(path).read_bytes()
    baseline.write(baseline.read(path), path)
    assert Path(path).read_bytes() == before


def test_what_was_not_looked_at_is_kept() -> None:
    old = baseline.Baseline(
        {("RG201", "a", "1"): 1, ("RG201", "b", "2"): 1, ("RG101", "a", "3"): 1}
    )
    new = baseline.Baseline({("RG201", "a", "9"): 1})
    kept = baseline.kept(old, new, {"a"}, {"RG201"})
    assert set(kept.entries) == {("RG201", "a", "9"), ("RG201", "b", "2"), ("RG101", "a", "3")}
    assert set(baseline.kept(old, new, None, {"RG201", "RG101"}).entries) == set(new.entries)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"schema_version": 2, "entries": []}',
        '{"schema_version": 1}',
        '{"schema_version": 1, "entries": [{"rule": "RG201"}]}',
        '{"schema_version": 1, "entries": [{"rule":"RG9","path":"a","digest":"d","count":1}]}',
        '{"schema_version": 1, "entries": [{"rule":"RG201","path":"a","digest":"d","count":true}]}',
        '{"schema_version": 1, "entries": [{"rule":"RG201","path":"a","digest":"d","count":0}]}',
    ],
)
def test_damage_is_an_error_of_configuration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(GuardError) as caught:
        baseline.read(str(path))
    assert caught.value.exit_code == ExitCode.CONFIG


def test_a_baseline_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "nosuch", "."):
        with pytest.raises(GuardError):
            baseline.read(str(tmp_path / name))
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    for name in ("link", "fifo", "no/such"):
        with pytest.raises(GuardError):
            baseline.write(baseline.Baseline({}), str(tmp_path / name))
    assert not (tmp_path / "victim").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fifo", "link"]
