"""What is checked at once: a file under a policy, and findings at places in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from guard.catalog.key_values import is_drawn
from guard.findings import READ_BY_AGENT, Finding, digest, leave_out, lower, unreadable
from guard.rule_table import RULES
from guard.rules.files import file_names

if TYPE_CHECKING:
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile


class Placed(Protocol):
    """Anything with a place in the file: offsets of characters in its text, the end exclusive."""

    @property
    def start(self) -> int:
        """The offset of its first character."""

    @property
    def end(self) -> int:
        """The offset behind its last character."""


class Span(NamedTuple):
    """A place that is nothing else."""

    start: int
    end: int


def between(first: Placed, last: Placed) -> Span:
    """From the beginning of `first` to the end of `last`."""
    return Span(first.start, last.end)


class Scope(NamedTuple):
    """A file, the policy, and what gets the variables that the file sets.

    `where` names that in words ("the container"); `ci` tells that it is a CI job, `in_use` that a
    program reads the file as it is, so that no address in it is a sample.
    """

    file: SourceFile
    policy: CompiledPolicy
    where: str = "a child process"
    ci: bool = False
    in_use: bool = False

    def given_to(self, where: str) -> Scope:
        """The same for what sets variables of `where`."""
        return self._replace(where=where)

    def finding(
        self,
        rule: str,
        place: Placed,
        subject: str,
        message: str,
        *,
        fix: str = "",
        severity: str = "",
        secret: str = "",
        placeholder: bool = False,
    ) -> Finding:
        """The finding of `rule` at `place`; offsets become lines and columns.

        In tests, examples and the like it is one severity lower, but for a `secret` that was drawn
        at random: that one opens something wherever it lies. So is one about a `placeholder`.

        `secret` is the value the finding is about, if it is about one. The finding does not keep
        it: a file with a `digest_key` gives the finding the keyed digest by which the same value
        can be recognised elsewhere, another gives it none. The file remembers it, so that none of
        its lines is shown with it. `subject` and `message` must not hold it.
        """
        file = self.file
        if secret:
            shown = file
            while shown.outer is not None:
                shown = shown.outer
            shown.secrets.append(secret)
        line, column = file.position(place.start)
        end_line, end_column = file.position(max(place.start, place.end))
        severity = severity or RULES[rule].severity
        while file.outer is not None:
            file = file.outer
        context = file_names.context(file.path)
        if context and not (secret and is_drawn(secret)):
            severity = lower(severity)
        if placeholder:
            severity = lower(severity)
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
            context=context,
            placeholder=placeholder,
        )

    def placeholder(self, rule: str, place: Placed, subject: str, owner: str) -> Finding:
        """What `rule` passes over at `place`: a value that only stands for a key of `owner`.

        The engine counts it, and reports it where everything is asked for.
        """
        return self.finding(
            rule,
            place,
            subject,
            f"the value only stands for a key of {owner}",
            fix="set PORTKEY_API_KEY where the program starts, and leave this empty",
            placeholder=True,
        )

    def unchecked(self, place: Placed, message: str) -> Finding:
        """What is said of a part that is not checked although what reads the file goes on there:
        an error, because that part could be what moves the route."""
        file = self.file
        while file.outer is not None:
            file = file.outer
        fix = leave_out(file.path)
        return self.finding("RG903", place, self.file.path, message, fix=fix, severity="error")

    def unreadable(self, offset: int, why: str, what: str = READ_BY_AGENT) -> Finding:
        """What a launch says of a file that cannot be read (`findings.unreadable`)."""
        return self.placed(unreadable(self.file.path, why, what), Span(offset, offset))

    def placed(self, finding: Finding, place: Placed) -> Finding:
        """What a launch says, at the place in the file that it is about."""
        return self.finding(
            finding.rule,
            place,
            finding.subject,
            finding.message,
            fix=finding.fix,
            severity=finding.severity,
        )
