"""The engine: what is handed to a detector, what becomes of its findings and of its failures."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import random
import string
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import guard.rules.detectors
from guard.check import baseline, engine
from guard.findings import Finding
from guard.policy.values import CompiledPolicy, PolicyException
from guard.rule_table import RULES
from guard.rules.detectors import DETECTORS
from guard.sources import reading, tree
from guard.sources.file import SourceFile

FUTURE = 4e9


class Marker:
    """Finds the word `bad`."""

    name = "marker"
    needles: tuple[bytes, ...] = (b"bad",)

    def __init__(self, rule: str = "RG201", suffix: str = "", subject: str = "bad") -> None:
        self.rule = rule
        self.suffix = suffix
        self.subject = subject
        self.seen: list[str] = []

    def wants(self, path: str, name: str) -> bool:
        return name.endswith(self.suffix)

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        self.seen.append(file.path)
        at = -1
        while (at := file.text.find("bad", at + 1)) >= 0:
            line, column = file.position(at)
            yield Finding(
                self.rule,
                self.subject,
                "is bad",
                path=file.path,
                line=line,
                column=column,
                end_line=line,
                end_column=column + 3,
            )


Check = Callable[..., engine.Result]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    def run(
        *detectors: object,
        policy: CompiledPolicy | None = None,
        selected: frozenset[str] = frozenset(RULES),
        known: baseline.Baseline | None = None,
    ) -> engine.Result:
        monkeypatch.setattr(guard.rules.detectors, "DETECTORS", detectors)
        settings = engine.Settings(policy or CompiledPolicy(), selected, now=time.time())
        found = tree.locate([], str(tmp_path)).collect()
        return engine.check(found, settings, known)

    return run


def places(findings: Iterable[Finding]) -> list[tuple[str, str, int, int]]:
    return [(f.rule, f.path, f.line, f.column) for f in findings]


def test_findings_come_sorted_and_once(tmp_path: Path, check: Check) -> None:
    (tmp_path / "b").write_text("bad\n  bad bad\n")
    (tmp_path / "a").write_text("bad")
    result = check(Marker(), Marker(), Marker("RG101"))
    assert places(result.findings) == [
        ("RG101", "a", 1, 1),
        ("RG201", "a", 1, 1),
        ("RG101", "b", 1, 1),
        ("RG201", "b", 1, 1),
        ("RG101", "b", 2, 3),
        ("RG201", "b", 2, 3),
        ("RG101", "b", 2, 7),
        ("RG201", "b", 2, 7),
    ]
    assert result.files_checked == 2
    assert len(result.fingerprints) == len(result.findings)
    assert result.fails("error")


def test_a_detector_meets_only_what_it_asked_for(tmp_path: Path, check: Check) -> None:
    (tmp_path / "a.sh").write_text("BaD")
    (tmp_path / "b.sh").write_text("good")
    (tmp_path / "c.py").write_text("bad")
    (tmp_path / "d.sh").write_bytes("BAD".encode("utf-16"))
    detector = Marker(suffix=".sh")
    check(detector)
    assert detector.seen == ["a.sh", "d.sh"]


def test_the_empty_needle_means_every_file(tmp_path: Path, check: Check) -> None:
    (tmp_path / "a").write_text("")
    detector = Marker()
    detector.needles = (b"",)
    check(detector)
    assert detector.seen == ["a"]


class Failing(Marker):
    name = "failing"

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        yield from super().check(file, policy)
        raise ValueError(f"the content is {file.text}")


class Deep(Marker):
    name = "deep"

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        yield from self.check(file, policy)


def test_a_detector_that_fails_is_an_error_and_shows_no_value(tmp_path: Path, check: Check) -> None:
    (tmp_path / "a").write_text("bad secret-value")
    result = check(Failing(), Deep(), Marker("RG101"))
    assert [f.rule for f in result.findings] == ["RG903", "RG903", "RG101", "RG201"]
    said = " ".join(f.message for f in result.findings)
    assert "secret-value" not in said
    assert "failing failed: ValueError" in said
    assert "deep failed: RecursionError" in said
    # nothing else is found, and the check fails all the same
    (tmp_path / "a").write_text("good")
    failing = Failing()
    failing.needles = (b"",)
    (finding,) = check(failing).findings
    assert (finding.path, finding.severity) == ("a", "error")
    assert finding.fix.endswith("\nrouteguard check --exclude a")


class Endless(Marker):
    name = "endless"

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        yield from super().check(file, policy)
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue


class Finalized(Endless):
    name = "finalized"

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        class Slow:
            def __del__(self) -> None:
                while True:
                    sum(range(1000))

        Slow()
        yield from super().check(file, policy)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_detector_is_ended_even_if_a_finalizer_loses_the_signal(
    tmp_path: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SECONDS", 0.05)
    (tmp_path / "a").write_text("bad")
    assert [f.rule for f in check(Finalized()).findings] == ["RG903", "RG201"]


def test_a_detector_that_does_not_end_is_ended(
    tmp_path: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SECONDS", 0.05)
    (tmp_path / "a").write_text("bad")
    (tmp_path / "b").write_text("good")
    result = check(Endless(), Marker("RG101"))
    assert [f.rule for f in result.findings] == ["RG903", "RG201"]
    assert "more than 0.05 seconds of processor time" in result.findings[0].message
    assert result.findings[0].severity == "error"
    assert result.files_checked == 2


def test_what_could_not_be_read_is_a_note(tmp_path: Path, check: Check) -> None:
    (tmp_path / "out").symlink_to("/etc/passwd")
    (tmp_path / "long").write_bytes(b"bad" * 1_000_000)
    result = check(Marker(suffix=".sh"))
    assert [(f.rule, f.path) for f in result.findings] == [("RG903", "long"), ("RG903", "out")]
    assert (result.files_checked, result.files_skipped) == (0, 2)
    assert not result.fails("error")
    assert result.fails("note")
    assert check(Marker(suffix=".sh"), selected=frozenset(["RG201"])).findings == ()


def test_what_is_in_force_by_its_name_and_too_large_is_an_error(
    tmp_path: Path, check: Check
) -> None:
    long = b"x" * (reading.LINE_LIMIT + 1)
    for name in (".envrc", "run.sh", "package.json", "bundle.js", "package-lock.json", "a.ipynb"):
        (tmp_path / name).write_bytes(long)
    # told by its first line
    (tmp_path / "script").write_bytes(b"#!/bin/sh\n" + long)
    # a bundle of JavaScript and an archive of Python are source code
    (tmp_path / "cli.cjs").write_bytes(b"#!/usr/bin/env node\n" + long)
    (tmp_path / "cli").write_bytes(b"#!/usr/bin/env python3\n" + long)
    (tmp_path / "words").write_bytes(long)
    with open(tmp_path / "Makefile", "wb") as file:
        file.write(b"all:\n" * 2_000)
        file.truncate(reading.LIMIT + 1)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "run.sh").write_bytes(long)
    result = check(*DETECTORS)
    assert {f.path: f.severity for f in result.findings} == {
        **dict.fromkeys((".envrc", "run.sh", "package.json", "Makefile", "script"), "error"),
        "tests/run.sh": "warning",
        **dict.fromkeys(
            ("bundle.js", "package-lock.json", "a.ipynb", "words", "cli", "cli.cjs"), "note"
        ),
    }
    assert {f.rule for f in result.findings} == {"RG903"}


@pytest.mark.parametrize("noise", [b"# \0\1\n", b"\0" * 1000, b"BZh91AY&SY=1\n", b"\x1f\x8b\x08\n"])
def test_no_bytes_make_a_binary_of_what_a_shell_or_a_tool_reads(
    tmp_path: Path, check: Check, noise: bytes
) -> None:
    command = b"opencode run -m anthropic/claude hi\n"
    for name in (".bashrc", "a.ps1", "a.bat"):
        (tmp_path / name).write_bytes(noise + b"\n" + command)
    for name in (".envrc", ".env.local"):
        address = b"export OPENAI_BASE_URL=https://api.openai.com/v1\n"
        (tmp_path / name).write_bytes(noise + b"\n" + address)
    (tmp_path / "Procfile").write_bytes(noise + b"\nweb: " + command)
    (tmp_path / "script").write_bytes(b"#!/bin/bash\n" + noise + command)
    (tmp_path / "words").write_bytes(noise + command)
    (tmp_path / "Makefile.gz").write_bytes(noise + command)
    with open(tmp_path / ".profile", "wb") as file:
        file.write(noise)
        file.truncate(reading.LIMIT + 1)
    found = {(f.path, f.rule) for f in check(*DETECTORS).findings}
    assert found == {
        *((name, "RG201") for name in (".bashrc", "a.ps1", "a.bat", "Procfile", "script")),
        *((name, "RG103") for name in (".envrc", ".env.local")),
        (".profile", "RG903"),
    }


def test_only_what_was_asked_for_is_reported(tmp_path: Path, check: Check) -> None:
    (tmp_path / "a").write_text("bad # routeguard: ignore[RG101] why\n")
    result = check(Marker(), Marker("RG101"), selected=frozenset(["RG201"]))
    assert places(result.findings) == [("RG201", "a", 1, 1)]
    assert not result.suppressed


def test_suppressed_findings_are_kept_apart(tmp_path: Path, check: Check) -> None:
    (tmp_path / "a").write_text(
        "bad # routeguard: ignore[RG201] why\nbad # routeguard: ignore[RG201]\n"
    )
    result = check(Marker())
    assert places(result.suppressed) == [("RG201", "a", 1, 1)]
    assert [(f.rule, f.line) for f in result.findings] == [("RG201", 2), ("RG901", 2)]


def test_suppressions_work_in_utf_16(tmp_path: Path, check: Check) -> None:
    (tmp_path / "a").write_bytes("bad # routeguard: ignore[RG201] why\r\n".encode("utf-16"))
    result = check(Marker())
    assert not result.findings
    assert len(result.suppressed) == 1


def test_an_exception_for_a_file_holds_for_its_content(tmp_path: Path, check: Check) -> None:
    path = tmp_path / "a.json"
    path.write_text("bad")
    digest = hashlib.sha256(b"bad").hexdigest()
    exception = PolicyException(subject=f"file:{path}", reason="r", until=FUTURE, sha256=digest)
    policy = CompiledPolicy(exceptions=(exception,))
    result = check(Marker(), policy=policy)
    assert (len(result.findings), len(result.excepted)) == (0, 1)
    path.write_text("bad bad")
    assert len(check(Marker(), policy=policy).findings) == 2


def test_an_exception_for_a_variable(tmp_path: Path, check: Check) -> None:
    (tmp_path / "a").write_text("bad")
    exception = PolicyException(subject="env:MY_KEY", reason="r", until=FUTURE)
    policy = CompiledPolicy(exceptions=(exception,))
    detectors = (Marker("RG101", subject="MY_KEY"), Marker("RG201", subject="MY_KEY"))
    result = check(*detectors, policy=policy)
    assert [f.rule for f in result.excepted] == ["RG101"]
    assert [f.rule for f in result.findings] == ["RG201"]
    old = PolicyException(subject="env:MY_KEY", reason="r", until=1.0)
    assert not check(*detectors, policy=CompiledPolicy(exceptions=(old,))).excepted


def test_the_baseline_sets_apart_and_says_what_is_gone(tmp_path: Path, check: Check) -> None:
    (tmp_path / "a").write_text("bad thing\n")
    first = check(Marker())
    known = baseline.of(zip(first.findings, first.fingerprints, strict=True))
    (tmp_path / "a").write_text("\n\n  bad thing\nbad other\n")
    result = check(Marker(), known=known)
    assert places(result.findings) == [("RG201", "a", 4, 1)]
    assert places(result.baselined) == [("RG201", "a", 3, 3)]
    (tmp_path / "a").write_text("good\n")
    assert "1 baseline entry matches nothing any more" in check(Marker(), known=known).remarks[0]
    assert not check(Marker(), known=known, selected=frozenset(["RG101"])).remarks


def test_what_the_check_says_itself_has_its_context_too(tmp_path: Path, check: Check) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/a").write_text("x # routeguard: ignore[RG201] why\n")
    (tmp_path / "tests/b").write_bytes(b"a" * (reading.LINE_LIMIT + 1))
    (tmp_path / "b").write_bytes(b"a" * (reading.LINE_LIMIT + 1))
    found = {(f.rule, f.path): f.context for f in check(Marker()).findings}
    assert found == {
        ("RG902", "tests/a"): "tests/", ("RG903", "tests/b"): "tests/", ("RG903", "b"): "",
    }  # fmt: skip


def test_a_person_is_told_how_far_it_is(tmp_path: Path) -> None:
    for number in range(250):
        (tmp_path / f"f{number:03}").write_text("good\n")
    told: list[str] = []
    settings = engine.Settings(CompiledPolicy())
    result = engine.check(tree.locate([], str(tmp_path)).collect(), settings, None, told.append)
    assert result.files_checked == 250
    assert told == [f"checking: {done} of 250 files" for done in (0, 100, 200)]


KEYS = [
    "gsk_" + "".join(random.Random(seed).choices(string.ascii_letters, k=52)) for seed in range(7)
]


def test_keys_in_what_is_no_text_and_in_names(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / KEYS[5]).mkdir(parents=True)
    text = "A=1\nKEY={}\n"
    (top / ".env.gz").write_bytes(gzip.compress(text.format(KEYS[0]).encode()))
    (top / "b.tar.bz2").write_bytes(bz2.compress(text.format(KEYS[1]).encode()))
    (top / "c.xz").write_bytes(lzma.compress(text.format(KEYS[2]).encode()))
    (top / "d.db").write_bytes(b"SQLite\0\0\0\x01\0a_" + KEYS[3].encode() + b"\0\0\x80\xff")
    named = f"e-{KEYS[4]}.txt"
    (top / named).write_text("harmless")
    for name in ("f", "g"):
        (top / KEYS[5] / name).write_text("harmless")
    (top / "damaged.gz").write_bytes(gzip.compress(text.format(KEYS[6]).encode() * 99)[:-40])
    (top / "empty.gz").write_bytes(gzip.compress(b"\0" * 10_000_000))
    found = engine.check(
        tree.locate([str(top)], str(top)).collect(), engine.Settings(CompiledPolicy())
    )
    assert [(f.path, f.line, f.rule, f.severity) for f in found.findings] == [
        (path, 0, "RG111", "error")
        for path in sorted(
            (".env.gz", "b.tar.bz2", "c.xz", "d.db", "damaged.gz", named, f"{KEYS[5]}/f")
        )
    ]
    assert not any(key in finding.message for finding in found.findings for key in KEYS)
    # the baseline holds no key either, and lets all of them wait
    known = baseline.of(zip(found.findings, found.fingerprints, strict=True))
    assert not any(key in repr(list(known.entries)) for key in KEYS)
    again = baseline.apply(known, list(zip(found.findings, found.fingerprints, strict=True)))
    assert (again[0], again[2]) == ([], 0)


def test_keys_in_every_stream_of_a_compressed_file_and_in_names_of_several_lines(
    tmp_path: Path,
) -> None:
    for name, compress in (("a.gz", gzip.compress), ("b.bz2", bz2.compress), ("c", lzma.compress)):
        streams = [compress(b"log\n"), compress(f"KEY={KEYS[0]}\n".encode())]
        (tmp_path / name).write_bytes(b"".join(streams) + b"\0" * 9)
    (tmp_path / "A\nB").write_text("harmless")
    named = f"z\n{KEYS[1]}"
    (tmp_path / named).write_text("harmless")
    found = engine.check(
        tree.locate([], str(tmp_path)).collect(), engine.Settings(CompiledPolicy())
    )
    assert [finding.path for finding in found.findings] == ["a.gz", "b.bz2", "c", named]
