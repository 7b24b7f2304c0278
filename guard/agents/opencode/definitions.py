"""What an agent or a command in somebody's configuration may say under the guard.

opencode 1.18.33 takes every key of an agent that it does not know for an option, and passes all
options on to the SDK, which puts those it does not know into the body of the request, behind its
own: `model`, `virtual_key` or `config` there choose a model or a route past the policy (read in
the source of both, and run against a recorder). So only options that shape the answer are kept.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.opencode import permissions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

AGENT_KEYS = (
    *("color", "description", "disable", "hidden", "mode", "model", "name", "options"),
    *("permission", "prompt", "steps", "temperature", "top_p", "variant"),
)
"""Keys of an agent that opencode knows (schema of 1.18.33), apart from two older spellings."""

COMMAND_KEYS = ("agent", "description", "model", "subtask", "template", "variant")

_SCALARS = frozenset(
    (
        *("frequency_penalty", "logprobs", "maxOutputTokens", "maxTokens", "max_completion_tokens"),
        *("max_tokens", "min_p", "parallelToolCalls", "parallel_tool_calls", "presence_penalty"),
        *("reasoningEffort", "reasoningSummary", "reasoning_effort", "repetition_penalty", "seed"),
        *("temperature", "textVerbosity", "topK", "topP", "top_k", "top_logprobs", "top_p"),
        *("verbosity", "strictJsonSchema"),
    )
)
_TABLES = frozenset(("reasoning", "thinking"))
_IN_TABLES = frozenset(
    (
        *("budgetTokens", "budget_tokens", "effort", "enabled", "exclude", "max_tokens"),
        *("maxTokens", "summary", "type"),
    )
)
_LONGEST = 64


def options(entry: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options of an agent's `entry` that only shape the answer, and the names of the others.

    As opencode lowers it (`ConfigAgentV1` in the source of 1.18.33): unknown keys are options, and
    come after those that are written as such.
    """
    written = entry.get("options")
    dropped = [] if written is None or isinstance(written, dict) else ["options"]
    given = dict(written) if isinstance(written, dict) else {}
    given.update({k: v for k, v in entry.items() if k not in (*AGENT_KEYS, "tools", "maxSteps")})
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if (name in _SCALARS and _is_word(value)) or (
            name == "stop" and (_is_word(value) or _all_words(value))
        ):
            kept[name] = value
        elif name in _TABLES and isinstance(value, dict):
            inner = {k: v for k, v in value.items() if k in _IN_TABLES and _is_word(v)}
            if len(inner) == len(value):
                kept[name] = inner
    return kept, sorted([*dropped, *(name for name in given if name not in kept)])


def _is_word(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST and not any(c in "{}" for c in value)
    return isinstance(value, (bool, int, float))


def _all_words(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 8 and all(map(_is_word, value))


def agent(entry: dict[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """An agent's `entry` in the spelling of today, and the names of the options left out.

    `tools` and `maxSteps` have newer names. Raises PermissionFormError.
    """
    if "permissions" in entry:
        raise permissions.PermissionFormError(f"{where}.permissions is a key of opencode 2")
    found = {key: value for key, value in entry.items() if key in AGENT_KEYS and key != "options"}
    kept, dropped = options(entry)
    if kept:
        found["options"] = kept
    if "maxSteps" in entry and "steps" not in entry:
        found["steps"] = entry["maxSteps"]
    if "tools" in entry or "permission" in entry:
        said = permissions.of_tools(entry.get("tools", {}), f"{where}.tools")
        said.update(permissions.read(entry.get("permission", {}), f"{where}.permission"))
        found["permission"] = said
    return found, dropped
