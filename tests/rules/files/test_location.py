"""Places and digests of findings."""

from __future__ import annotations

from guard.findings import digest
from guard.rules.files.location import at
from guard.sources.file import SourceFile

TEXT = "one\r\ntwo é three\n"


def test_offsets_become_lines_and_columns_that_end_exclusively() -> None:
    file = SourceFile("a/b.txt", TEXT.encode())
    start = file.text.index("three")
    finding = at(file, "RG111", start, start + 5, "subject", "message", fix="do")
    assert (finding.path, finding.where) == ("a/b.txt", "a/b.txt:2:7")
    assert (finding.line, finding.column, finding.end_line, finding.end_column) == (2, 7, 2, 12)
    assert (finding.fix, finding.severity, finding.digest) == ("do", "error", "")


def test_a_severity_can_be_given() -> None:
    file = SourceFile("a", b"x")
    assert at(file, "RG101", 0, 1, "X", "m", severity="warning").severity == "warning"


def test_a_secret_becomes_the_digest_of_the_files_key_and_nothing_else() -> None:
    value = "s3cr3t-value-of-a-key"
    file = SourceFile("a", value.encode(), digest_key=b"k" * 32)
    finding = at(file, "RG111", 0, len(value), "OpenAI", "m", secret=value)
    assert finding.digest == digest(value, b"k" * 32)
    for slot in finding.__slots__:
        assert value not in str(getattr(finding, slot))


def test_without_a_key_or_without_a_secret_there_is_no_digest() -> None:
    assert at(SourceFile("a", b"x"), "RG111", 0, 1, "s", "m", secret="x").digest == ""
    assert at(SourceFile("a", b"x", digest_key=b"k"), "RG111", 0, 1, "s", "m").digest == ""
