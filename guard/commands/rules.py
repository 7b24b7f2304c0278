"""`routeguard rules [RULE]`: what the rules are, and what one of them says."""

from __future__ import annotations

import click

from guard.commands import complete
from guard.errors import ExitCode, UsageError, printable
from guard.report.document import show_document
from guard.report.table import Column, table
from guard.report.terminal import show
from guard.rule_table import RULES, Rule
from guard.rules.chosen import chosen

_COLUMNS = (Column("RULE"), Column("LEVEL"), Column("NAME"), Column("TITLE", least=16))


@click.command(
    epilog="""\b
Examples:
  routeguard rules                    every rule on one line
  routeguard rules RG201              what, why, before and after, how to allow it
  routeguard rules foreign-provider   the same by name""",
)
@click.argument("rule", required=False, metavar="[RULE]", shell_complete=complete.rules)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rules(rule: str | None, as_json: bool) -> int:
    """List the rules or explain one.

    RULE is an id or a name.
    """
    listed = [found(rule)] if rule is not None else list(RULES.values())
    if as_json:
        show_document({"rules": [_described(one, in_full=rule is not None) for one in listed]})
    elif rule is not None:
        from guard.rules import pages

        show(pages.text(listed[0]))
    else:
        show(table(_COLUMNS, [(one.id, one.severity, one.name, one.title) for one in listed]))
    return ExitCode.OK


def found(word: str) -> Rule:
    """The rule of the id or name `word`. Raises UsageError if there is none."""
    ids = (
        chosen((word,), (), command="routeguard rules")
        if word.strip() and "," not in word
        else frozenset()
    )
    if len(ids) != 1:
        raise UsageError(f"no such rule: {printable(word) or '(empty)'}", fix="routeguard rules")
    return RULES[next(iter(ids))]


def _described(rule: Rule, *, in_full: bool) -> dict[str, str | None]:
    said: dict[str, str | None] = {
        "id": rule.id,
        "name": rule.name,
        "severity": rule.severity,
        "title": rule.title,
    }
    if in_full:
        from guard.rules import pages

        page = pages.pages()[rule.id]
        said |= {
            "what": page.what,
            "why": page.why,
            "file": page.file or None,
            "before": page.before,
            "after": page.after,
            "except": page.except_,
        }
    return said
