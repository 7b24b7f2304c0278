"""What a rule says to a person: read from text.toml, rendered for a terminal and for the docs.

docs/rules.md is `document()`; write it again with `python -m guard.rules.pages docs/rules.md`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from textwrap import indent, wrap

from guard.rule_table import RULES, Rule

_WIDTH = 90

_FENCES = {".py": "python", ".sh": "sh", ".yml": "yaml", ".json": "json", ".env": "sh"}

_INTRODUCTION = """\
# Rules

One id per rule, the same in a refused launch, in `explain`, in `why`, in `check` and in the audit
log. Errors forbid a launch and fail a check; warnings and notes are told. `routeguard rules RG201`
says on a terminal what stands here.

| id | name | severity | what it finds |
|---|---|---|---|
"""

_AFTER_THE_TABLE = """
How to let a finding pass, from the narrowest way to the widest: a comment or the baseline
([check.md](check.md)), an `[[exception]]` in the user's or the system's policy, with a reason and
an end ([policy.md](policy.md)). What each rule looks at in a launch: [launch.md](launch.md).
"""


@dataclass(frozen=True, slots=True)
class Page:
    """The words about one rule; text.toml says what each field is. `file` may be ""."""

    what: str
    why: str
    before: str
    after: str
    except_: str
    file: str = ""


@cache
def pages() -> dict[str, Page]:
    """The page of every rule, by id."""
    content = tomllib.loads(
        resources.files("guard.rules").joinpath("text.toml").read_text(encoding="utf-8")
    )
    return {id_: Page(**fields) for id_, fields in content.items()}


def text(rule: Rule) -> str:
    """The page of `rule` for a terminal, a line for a paragraph; no trailing newline."""
    page = pages()[rule.id]
    parts = [
        f"{rule.id} {rule.name} ({rule.severity}): {rule.title}",
        page.what,
        page.why,
        f"before{_in_file(page, '{}')}:\n{indent(page.before.rstrip(), '    ')}",
        f"after:\n{indent(page.after.rstrip(), '    ')}",
        f"to let it pass: {page.except_}",
    ]
    return "\n\n".join(parts)


def markdown(rule: Rule) -> str:
    """The page of `rule` without its heading, as Markdown; no trailing newline."""
    page = pages()[rule.id]
    fence = _FENCES.get(page.file[page.file.rfind(".") :] if page.file else ".sh", "sh")
    if rule.id == "RG501":
        fence = "toml"
    return "\n\n".join(
        (
            _wrapped(page.what),
            _wrapped(page.why),
            f"Before{_in_file(page, '`{}`')}:",
            f"```{fence}\n{page.before.rstrip()}\n```",
            "After:",
            f"```{fence}\n{page.after.rstrip()}\n```",
            _wrapped(f"To let it pass: {page.except_}"),
        )
    )


def document() -> str:
    """docs/rules.md."""
    rows = [f"| {r.id} | {r.name} | {r.severity} | {r.title} |\n" for r in RULES.values()]
    sections = [
        f"\n## {rule.id} {rule.name}\n\n*{rule.severity}*: {rule.title}\n\n{markdown(rule)}\n"
        for rule in RULES.values()
    ]
    return _INTRODUCTION + "".join(rows) + _AFTER_THE_TABLE + "".join(sections)


def _in_file(page: Page, form: str) -> str:
    return f", in {form.format(page.file)}" if page.file else ""


def _wrapped(paragraph: str) -> str:
    # code is never broken: a blank in it becomes one that is no place to break a line
    held = re.sub(r"`[^`]*`", lambda match: match.group().replace(" ", "\0"), paragraph)
    lines = wrap(held, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), encoding="utf-8")
