"""How opencode 1.18.33 decides about a call of a tool, word for word."""

from __future__ import annotations

import re

Rule = tuple[str, str, str]


def matches(pattern: str, text: str) -> bool:
    """`Wildcard.match`."""
    escaped = re.sub(r"[.+^${}()|\[\]\\]", r"\\\g<0>", pattern.replace("\\", "/"))
    body = escaped.replace("*", ".*").replace("?", ".")
    if body.endswith(" .*"):
        body = body[:-3] + "( .*)?"
    return re.fullmatch(body, text.replace("\\", "/"), re.DOTALL) is not None


def evaluate(tool: str, call: str, *rulesets: list[Rule]) -> str:
    """`Permission.evaluate`."""
    for of_tool, pattern, action in reversed([rule for found in rulesets for rule in found]):
        if matches(of_tool, tool) and matches(pattern, call):
            return action
    return "ask"
