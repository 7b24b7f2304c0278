"""Places and digests of findings."""

from __future__ import annotations

from typing import Any

import pytest

from guard.findings import Finding, digest
from guard.policy.values import CompiledPolicy
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
    for slot in finding.__slots__:
        assert VALUE not in str(getattr(finding, slot))


@pytest.mark.parametrize(("digest_key", "secret"), [(b"", VALUE), (KEY, "")])
def test_without_a_key_or_without_a_secret_there_is_no_digest(
    digest_key: bytes, secret: str
) -> None:
    assert found(digest_key=digest_key, secret=secret).digest == ""
