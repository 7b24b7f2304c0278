"""The place of a finding in a file: character offsets become lines and columns, a secret a digest."""

from __future__ import annotations

from guard.findings import Finding, digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guard.sources.file import SourceFile


def at(
    file: SourceFile,
    rule: str,
    start: int,
    end: int,
    subject: str,
    message: str,
    *,
    fix: str = "",
    severity: str = "",
    secret: str = "",
) -> Finding:
    """The finding of `rule` in `file` between two character offsets of its text (end exclusive).

    `secret` is the value the finding is about, if it is about one. It is never kept: where the
    file carries a `digest_key` (bytes; set by whoever runs the detectors), the finding carries
    the keyed digest by which the same value can be recognised elsewhere, otherwise nothing.
    `subject` and `message` must not hold it.
    """
    line, column = file.position(start)
    end_line, end_column = file.position(max(start, end))
    key: bytes = getattr(file, "digest_key", b"")
    return Finding(
        rule,
        subject,
        message,
        fix=fix,
        severity=severity,
        path=file.path,
        line=line,
        column=column,
        end_line=end_line,
        end_column=end_column,
        digest=digest(secret, key) if secret and key else "",
    )
