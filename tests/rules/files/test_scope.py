"""Places and digests of findings."""

from __future__ import annotations

from typing import Any

import pytest

from guard.findings import Finding, digest
from guard.policy.values import CompiledPolicy
from guard.rules.files import file_names
from guard.rules.files.scope import Scope, Span
from guard.sources.file import SourceFile

TEXT = "one\r\ntwo é three\n"
VALUE = "s3cr3t-value-of-a-key"
KEY = b"k" * 32


def found(text: str = VALUE, *, digest_key: bytes = b"", start: int = 0, **given: Any) -> Finding:
    scope = Scope(SourceFile("a/b.txt", text.encode(), digest_key=digest_key), CompiledPolicy())
    return scope.finding("RG111", Span(start, start + 5), "subject", "message", **given)


def test_offsets_become_lines_and_columns_that_end_exclusively() -> None:
    finding = found(TEXT, start=TEXT.index("three"), fix="do")
    assert (finding.path, finding.where) == ("a/b.txt", "a/b.txt:2:7")
    assert (finding.line, finding.column, finding.end_line, finding.end_column) == (2, 7, 2, 12)
    assert (finding.fix, finding.severity, finding.digest) == ("do", "error", "")


def test_a_severity_can_be_given() -> None:
    assert found(severity="warning").severity == "warning"


def test_a_secret_becomes_the_digest_of_the_files_key_and_nothing_else() -> None:
    finding = found(digest_key=KEY, secret=VALUE)
    assert finding.digest == digest(VALUE, KEY)
    for shown in vars(finding).values():
        assert VALUE not in str(shown)


@pytest.mark.parametrize(("digest_key", "secret"), [(b"", VALUE), (KEY, "")])
def test_without_a_key_or_without_a_secret_there_is_no_digest(
    digest_key: bytes, secret: str
) -> None:
    assert found(digest_key=digest_key, secret=secret).digest == ""


@pytest.mark.parametrize(
    ("path", "context"),
    [
        ("tests/a.py", "tests/"), ("web/src/__tests__/b/a.ts", "web/src/__tests__/"),
        ("Spec/ai_spec.rb", "Spec/"),
        ("src/AutoGen.OpenAI.Tests/A.cs", "src/AutoGen.OpenAI.Tests/"),
        ("examples/x/app.py", "examples/"), ("packages/sample-app/a.ts", "packages/sample-app/"),
        ("third_party/sdk/a.go", "third_party/"), ("vendor/a/b.go", "vendor/"),
        ("mock-server/a.js", "mock-server/"), ("benchmarks/run.py", "benchmarks/"),
        ("src/a.test.ts", "src/a.test.ts"), ("src/a.vitest.ts", "src/a.vitest.ts"),
        ("pkg/client_test.go", "pkg/client_test.go"), ("test_a.py", "test_a.py"),
        ("src/Button.stories.tsx", "src/Button.stories.tsx"), ("a/FooTest.java", "a/FooTest.java"),
        ("live.example.json", "live.example.json"),
        ("src/a.py", ""), ("contest/a.py", ""), ("latest/a.py", ""), ("spec-kit/a.py", ""),
        ("attest.py", ""), ("src/testimonials/a.tsx", ""), ("my-vendors/a.py", ""),
        (".github/workflows/run_test.yml", ""), ("examples/.github/workflows/a.yml", ""),
        ("docker-compose.test.yml", ""), (".env.test", ""), ("run-tests.sh", ""),
    ],
)  # fmt: skip
def test_what_is_not_the_product(path: str, context: str) -> None:
    assert file_names.context(path) == context


def at(path: str, **given: Any) -> Finding:
    scope = Scope(SourceFile(path, TEXT.encode()), CompiledPolicy())
    return scope.finding("RG101", Span(0, 3), "subject", "message", **given)


def test_tests_are_one_severity_lower_but_for_a_key_that_is_random() -> None:
    drawn = "sk-q8Zr2Lm9Xw4TkP7vBd3NsYh6"
    for path in ("tests/a.py", "examples/.env", "vendor/a.py", "a_test.go"):
        assert at(path).severity == "warning"
        assert at(path, severity="warning").severity == "note"
        assert at(path, severity="note").severity == "note"
        assert at(path, secret="sk-test-1234").severity == "warning"
        assert at(path, secret=drawn).severity == "error"
        assert at(path, secret=drawn).context == file_names.context(path) != ""
    assert at("src/a.py").severity == "error"
    assert at("src/a.py").context == ""


def test_a_placeholder_is_marked_and_one_severity_lower() -> None:
    scope = Scope(SourceFile("src/a.py", TEXT.encode()), CompiledPolicy())
    finding = scope.placeholder("RG101", Span(0, 3), "OPENAI_API_KEY", "OpenAI")
    assert (finding.severity, finding.placeholder) == ("warning", True)
