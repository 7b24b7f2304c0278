"""`routeguard rules [RULE]`: what the rules are, and what one of them says."""

from __future__ import annotations

import json

import click

from guard.commands.check import rules_asked_for
from guard.errors import ExitCode, UsageError, printable
from guard.rule_table import RULES, Rule

SCHEMA_VERSION = 1
"""Version of the JSON output; within one, keys are only added."""


@click.command(
    epilog="""\b
Examples:
  routeguard rules                    every rule in one line
  routeguard rules RG201              what, why, before and after, how to let it pass
  routeguard rules foreign-provider   the same, by its name""",
)
@click.argument("rule", required=False, metavar="[RULE]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def rules(rule: str | None, as_json: bool) -> int:
    """List the rules, or explain one: an id or a name."""
    chosen = [found(rule)] if rule is not None else list(RULES.values())
    if as_json:
        described = [_described(one, in_full=rule is not None) for one in chosen]
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, "rules": described}, indent=2))
    elif rule is not None:
        from guard.rules import pages

        click.echo(pages.text(chosen[0]))
    else:
        width = max(len(one.name) for one in chosen)
        for one in chosen:
            click.echo(f"{one.id}  {one.severity:7}  {one.name:{width}}  {one.title}")
    return ExitCode.OK


def found(word: str) -> Rule:
    """The rule of the id or name `word`. Raises UsageError for what is no rule."""
    ids = rules_asked_for((word,), ()) if word.strip() and "," not in word else frozenset()
    if len(ids) != 1:
        raise UsageError(
            f"there is no rule {printable(word) or 'without a name'}",
            fix="`routeguard rules` lists them",
        )
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
