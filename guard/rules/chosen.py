"""The rules that are looked for, as `--select` and `--ignore` name them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from guard.errors import UsageError, printable
from guard.rule_table import RULES


def chosen(select: Sequence[str], ignore: Sequence[str], *, command: str = "") -> frozenset[str]:
    """The ids of the rules to look for. Each argument is a list of ids or names, by commas.

    Raises UsageError for an unknown rule.
    """
    ids = frozenset(_rules(select, command))
    if select and not ids:
        # `--select "$RULES"` with nothing in it must not mean the opposite of what it says
        raise UsageError("--select names no rule", fix="routeguard rules")
    return (ids or frozenset(RULES)) - frozenset(_rules(ignore, command))


def _rules(lists: Iterable[str], command: str) -> Iterator[str]:
    by_name = {rule.name: rule.id for rule in RULES.values()}
    for word in (part.strip() for text in lists for part in text.split(",")):
        if not word:
            continue
        if word.upper() in RULES:
            yield word.upper()
        elif word.lower() in by_name:
            yield by_name[word.lower()]
        else:
            from difflib import get_close_matches

            near = get_close_matches(word.upper(), RULES, n=1, cutoff=0.7)
            near = near or get_close_matches(word.lower(), by_name, n=1)
            before = f"did you mean:\n{command}" if command else "did you mean:"
            meant = [f"{before} {near[0]}"] if near else []
            raise UsageError(
                f"no such rule: {printable(word)}", fix="\n".join([*meant, "routeguard rules"])
            )
