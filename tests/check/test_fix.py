"""Fixes: what is changed, what never is, and that a diff shows no value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.check import excerpt, fix, suppress
from guard.errors import GuardError
from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.rules.files import dotenv
from guard.sources import reading
from guard.sources.file import SourceFile

SECRET = "sk-ant-api03-abcdefghijklmnop0123456789"
POLICY = CompiledPolicy()


def plan(path: Path, *findings: Finding) -> list[fix.FileChange]:
    excerpt.add(SourceFile(path.name, path.read_bytes()), findings)
    return fix.plan(findings, [reading.Entry(path.name, str(path))], POLICY)


def at(path: Path, rule: str, line: int, subject: str = "x", column: int = 1) -> Finding:
    return Finding(rule, subject, "m", path=path.name, line=line, column=column)


def test_a_key_in_a_dotenv_file_is_commented_out(tmp_path: Path) -> None:
    path = tmp_path / ".env.local"
    path.write_bytes(f"\ufeffA=1\r\n export OPENAI_API_KEY = '{SECRET}' # mine\r\nB=2".encode())
    path.chmod(0o640)
    (change,) = plan(path, at(path, "RG101", 2, "OPENAI_API_KEY"))
    shown = fix.diff([change])
    assert SECRET not in shown
    assert shown.splitlines()[2:] == [
        "@@ -2 +2 @@",
        "- export OPENAI_API_KEY = 'sk****89' # mine",
        "+ # export OPENAI_API_KEY = 'sk****89' # mine",
    ]
    assert path.read_bytes() == change.before
    fix.apply(change)
    assert path.read_bytes() == (
        f"\ufeffA=1\r\n # export OPENAI_API_KEY = '{SECRET}' # mine\r\nB=2".encode()
    )
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == [".env.local"]


@pytest.mark.parametrize(
    "text",
    [
        'OPENAI_API_KEY="first line\nsecond line"\n',
        "OPENAI_API_KEY='first line\nsecond line'\n",
        "OPENAI_API_KEY=first\\\nsecond\n",
        "OTHER=1\n",
        "A=1; OPENAI_API_KEY=x\n",
    ],
)
def test_what_is_not_one_whole_line_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".env"
    path.write_text(text)
    assert not plan(path, at(path, "RG101", 1, "OPENAI_API_KEY"))


@pytest.mark.parametrize("name", ["run.sh", ".envrc", "settings.py", "compose.yaml"])
def test_only_dotenv_files_lose_a_key(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("OPENAI_API_KEY=x\n")
    assert not plan(path, at(path, "RG101", 1, "OPENAI_API_KEY"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "opencode run --provider portkey --model gpt-4o 'hi'",
            "opencode run -m portkey/gpt-4o 'hi'",
        ),
        ("opencode run --model=gpt-4o --provider=portkey hi", "opencode run -m portkey/gpt-4o hi"),
        ("x=$(opencode run --provider portkey -m a/b)", "x=$(opencode run -m portkey/a/b)"),
        ("opencode --provider portkey -m portkey/a", "opencode -m portkey/a"),
    ],
)
def test_a_call_gets_the_form_that_opencode_knows(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "run.sh"
    path.write_text(f"#!/bin/sh\n{before}\n")
    (change,) = plan(path, at(path, "RG206", 2))
    assert change.after.decode() == f"#!/bin/sh\n{after}\n"


@pytest.mark.parametrize(
    "line",
    [
        "opencode run --provider anthropic --model claude hi",
        "opencode run --provider portkey hi --model gpt-4o",
        "opencode run --provider portkey --model $MODEL hi",
        "opencode run --provider portkey --model 'gpt-4o' hi",
        "opencode run --provider $P --model gpt-4o hi",
        "opencode run -m anthropic/claude hi",
        "other run --provider portkey --model gpt-4o hi",
        "opencode run --provider portkey --model a; opencode run --provider portkey --model b",
    ],
)
def test_a_call_that_could_mean_something_else_is_left_alone(tmp_path: Path, line: str) -> None:
    path = tmp_path / "run.sh"
    path.write_text(f"{line}\n")
    assert not plan(path, at(path, "RG201", 1))


def test_an_unused_suppression_alone_on_its_line_goes(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text("a\n# routeguard: ignore[RG201] why\nb # routeguard: ignore[RG201] why\n")
    findings = [at(path, "RG902", 2, "RG201", 3), at(path, "RG902", 3, "RG201", 5)]
    (change,) = plan(path, *findings)
    assert change.after.decode() == "a\nb # routeguard: ignore[RG201] why\n"
    assert "@@ -2 +1,0 @@" in fix.diff([change])


@pytest.mark.parametrize(
    ("text", "line", "goes"),
    [
        ("/* IGNORE */\nint x;\n", 1, True),
        ("<!-- IGNORE -->\n<p>\n", 1, True),
        ("/*\n * IGNORE\n */\n", 2, True),
        # a longer comment would lose its beginning or its end
        ("/* IGNORE\n*/\nint x;\n", 1, False),
        ("/*\n * IGNORE */\nint x;\n", 2, False),
        ("<!-- IGNORE\n-->\n", 1, False),
        ("{- IGNORE\n-}\n", 1, False),
        ("{# IGNORE\n#}\n", 1, False),
        # without it the next line would go on with the one before
        ("x=1 \\\n# IGNORE\ny\n", 2, False),
        ("// IGNORE \\\nint x;\n", 1, False),
    ],
)
def test_what_stands_around_a_suppression_stays_whole(
    tmp_path: Path, text: str, line: int, goes: bool
) -> None:
    path = tmp_path / "x.c"
    text = text.replace("IGNORE", "routeguard: ignore[RG201] why")
    path.write_text(text)
    (found,) = suppress.suppressions(SourceFile("x.c", text.encode()))
    assert bool(plan(path, at(path, "RG902", line, "RG201", found.column))) is goes


def test_of_two_ids_in_one_comment_none_goes(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text("# routeguard: ignore[RG201,RG101] why\nb\n")
    assert not plan(path, at(path, "RG902", 1, "RG201", 3))


@pytest.mark.parametrize(
    "line",
    [
        f"KEY={SECRET} opencode run --provider portkey --model gpt-4o",
        "KEY=hunter2 opencode run --provider portkey --model gpt-4o",
        f"opencode run --provider portkey --model gpt-4o {SECRET}",
        "curl -H 'Authorization: Bearer hunter2'; opencode run --provider portkey --model gpt-4o",
    ],
)
def test_a_diff_shows_the_line_as_a_report_does(tmp_path: Path, line: str) -> None:
    path = tmp_path / "run.sh"
    path.write_text(f"{line} \x1b[31m\n")
    (change,) = plan(path, at(path, "RG201", 1))
    shown = fix.diff([change])
    for hidden in (SECRET, "hunter2", "\x1b"):
        assert hidden not in shown
    gone, come = shown.splitlines()[-2:]
    assert gone.removeprefix("-").replace(
        "--provider portkey --model gpt-4o", "-m portkey/gpt-4o"
    ) == come.removeprefix("+")


def test_a_line_that_no_report_shows_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text("opencode run --provider portkey --model gpt-4o\n")
    (change,) = fix.plan([at(path, "RG201", 1)], [reading.Entry(path.name, str(path))], POLICY)
    assert "gpt-4o" not in fix.diff([change])
    assert change.after == b"opencode run -m portkey/gpt-4o\n"


def test_a_file_that_changed_meanwhile_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("OPENAI_API_KEY=x\n")
    (change,) = plan(path, at(path, "RG101", 1, "OPENAI_API_KEY"))
    path.write_text("OPENAI_API_KEY=y\n")
    with pytest.raises(GuardError, match="fix could not be written"):
        fix.apply(change)
    assert path.read_text() == "OPENAI_API_KEY=y\n"


def test_a_link_or_a_file_with_two_names_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("OPENAI_API_KEY=x\n")
    (change,) = plan(path, at(path, "RG101", 1, "OPENAI_API_KEY"))
    os.link(path, tmp_path / "second")
    with pytest.raises(GuardError):
        fix.apply(change)
    path.unlink()
    path.symlink_to("second")
    with pytest.raises(GuardError):
        fix.apply(change)
    assert (tmp_path / "second").read_text() == "OPENAI_API_KEY=x\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".env", "second"]


def test_utf_16_and_invalid_bytes(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes("OPENAI_API_KEY=x\n".encode("utf-16"))
    assert not plan(path, at(path, "RG101", 1, "OPENAI_API_KEY"))
    path.write_bytes(b"# \xff\xfe\nOPENAI_API_KEY=x\n# \xff")
    (change,) = plan(path, at(path, "RG101", 2, "OPENAI_API_KEY"))
    assert change.after == b"# \xff\xfe\n# OPENAI_API_KEY=x\n# \xff"


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        (".env", True), (".env.local", True), ("docker.env", True), (".flaskenv", True),
        (".dev.vars", True), (".dev.vars.staging", True), (".env.prod.local", True),
        (".env.js", False), (".env.py", False), ("env", False), (".envrc", False),
        ("run.sh", False), ("Dockerfile", False),
    ],
)  # fmt: skip
def test_the_files_whose_keys_are_fixed_are_those_the_rule_reads(
    tmp_path: Path, name: str, fixed: bool
) -> None:
    path = tmp_path / name
    path.write_text("OPENAI_API_KEY=sk-q8Zr2Lm9Xw4TkP7vBd3NsYh6\n")
    file = reading.read(reading.Entry(name, str(path)))
    assert isinstance(file, SourceFile)
    detector = dotenv.DETECTOR
    reported = list(detector.check(file, POLICY)) if detector.wants(name, name) else []
    dotenv_file = name != ".envrc" and [f.rule for f in reported] == ["RG101"]
    assert dotenv_file == fixed
    assert bool(plan(path, at(path, "RG101", 1, "OPENAI_API_KEY"))) == fixed
