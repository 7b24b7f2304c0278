"""The place of a finding in a file: offsets become lines and columns, a secret its digest."""

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

    `secret` is the value the finding is about, if it is about one. It is never kept: a file with
    a `digest_key` gives the finding the keyed digest by which the same value can be recognised
    elsewhere, another gives it none. `subject` and `message` must not hold it.
    """
    line, column = file.position(start)
    end_line, end_column = file.position(max(start, end))
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
        digest=digest(secret, file.digest_key) if secret and file.digest_key else "",
    )
