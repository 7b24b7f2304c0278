"""A finding: what a rule says about one fact. Holds names and masks, never a secret.

Hot-path module.
"""

from __future__ import annotations

from guard.record import Record
from guard.rule_table import RULES

SEVERITIES = ("note", "warning", "error")
"""Severities from the least to the most serious."""

_SHOWN = 2
_LONG_ENOUGH = 16


class Excerpt(Record):
    """The source line of a finding, masked, with nothing in it that a terminal obeys.

    `start` and `end` are the offsets in `text` of the place that the finding is about. Of a long
    line it is the part around the place, with `…` where it is cut.
    """

    text: str
    start: int
    end: int


class Finding(Record):
    """What one rule says about one subject.

    `subject` is what the finding is about (a variable name, an option, a file), `where` is where
    it was found (`file:line:column`, "environment", "command line"), `fix` is what to do. All are
    plain text for a terminal or a log and must not hold a secret value.

    A finding in a file also has its `path` and the place in it: `line`, `column`, `end_line`,
    `end_column` count from 1 (0 is unknown), the end is exclusive. `digest` recognises the same
    secret elsewhere; see `digest()`. `context` is the folder of tests, examples, benchmarks or
    vendored code that the file lies in, as it is shown to people ("tests/", "web/examples/"), ""
    for the product itself. `excerpt` is the line, for a report. `placeholder` tells that it is
    about a value that only stands for a key: counted, and reported only where that is asked for.
    """

    rule: str
    subject: str
    message: str
    where: str = ""
    fix: str = ""
    severity: str = ""
    path: str = ""
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    digest: str = ""
    context: str = ""
    excerpt: Excerpt | None = None
    placeholder: bool = False

    def _complete(self) -> None:
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        self.where = self.where or place
        self.severity = self.severity or RULES[self.rule].severity

    def as_dict(self) -> dict[str, str]:
        """The finding as the JSON output carries it."""
        return {
            "rule": self.rule,
            "name": RULES[self.rule].name,
            "severity": self.severity,
            "subject": self.subject,
            "message": self.message,
            "where": self.where,
            "fix": self.fix,
        }

    def __repr__(self) -> str:
        return f"Finding({self.rule}, {self.subject!r}, {self.message!r})"


def lower(severity: str) -> str:
    """The severity below `severity`; there is none below "note"."""
    return SEVERITIES[max(SEVERITIES.index(severity) - 1, 0)]


def allow(kind: str, thing: str, length: str = "2h") -> str:
    """The command that lets `thing` pass for a while, as every fix names it.

    `kind` is one of those of `routeguard allow`; `thing` is written for a shell.
    """
    return f'routeguard allow {kind} {thing} --for {length} --reason "…"'


READ_BY_AGENT = "the agent will read this file, and it cannot be checked: "
FORBIDS = "what it forbids cannot be read: "


def unreadable(
    path: str, why: str, what: str = READ_BY_AGENT, fix: str = "repair it or remove it"
) -> Finding:
    """The finding for a file that an agent reads, which a launch and `check` cannot.

    `why` completes "it …"; `what` begins the message.
    """
    return Finding("RG303", path, what + why, where=path, fix=fix)


def leave_out(path: str) -> str:
    """The fix for a file of the tree that `check` cannot check."""
    import glob
    import shlex

    # a file named `*.sh` leaves out nothing but itself
    pattern = shlex.quote(glob.escape(path))
    return f"check it by hand, then leave it out:\nrouteguard check --exclude {pattern}"


def mask(value: str) -> str:
    """`value` as it may be shown: two characters at each end if it is 16 or longer, else none."""
    if len(value) < _LONG_ENOUGH:
        return "****"
    return f"{value[:_SHOWN]}****{value[-_SHOWN:]}"


def digest(value: str, key: bytes) -> str:
    """Eight hex digits by which the same secret can be recognised in two places.

    Keyed (HMAC-SHA-256) with a per-user random `key`, so that the digest of a guessed secret
    cannot be compared with a published one.
    """
    import hashlib
    import hmac

    return hmac.new(key, value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:8]
