"""What a project may say in its policy: what can only tighten. The rest is left out before it is
looked at, because a project can come from anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from guard.catalog.key_shapes import looks_like_key
from guard.policy.accepted import OTHERS, reserved
from guard.policy.locate import Path
from guard.policy.model import AGENT_TABLES, MAX_ITEMS, PROVED_TABLES, ROUTED_TABLES

_MAY_NOT: Final[dict[Path, str]] = {
    ("user_exceptions",): "a project cannot decide about your exceptions",
    ("gateway",): "a project cannot choose where calls go, or with which key",
    ("proxies", "prompt"): "a project cannot decide about what you type at a prompt",
    ("proxies", "hold"): "a project cannot choose which ports are held",
    **{
        ("agents", agent, "reroute"): "a project cannot choose where calls go"
        for agent in AGENT_TABLES
    },
    **{
        ("agents", agent, "prove"): "a project does not decide when a route is proved"
        for agent in PROVED_TABLES
    },
    **{("agents", agent): "a project does not choose where calls go" for agent in ROUTED_TABLES},
    **{("agents", agent): "a project does not choose which agents start" for agent in OTHERS},
    ("agents", "guard"): "a project does not choose which agents are guarded",
    ("exception",): "a project cannot allow anything",
}
_MAX_TABLES: Final = 2
"""Tables within each other that are looked into: [agents.ID]."""
_LISTS: Final = (("keys", "extra"), ("environment", "remove"))


def project_part(data: dict[str, Any], drop: Callable[[Path, str], None]) -> dict[str, Any]:
    """`data` of a policy file without what a project may not say, unread; unknown keys stay, to be
    refused. `drop` is told each key that does not count, and why.
    """

    def part(table: dict[str, Any], above: Path) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in table.items():
            key = (*above, name)
            if key in _MAY_NOT:
                below = list(value)[:MAX_ITEMS] if isinstance(value, dict) and not above else ()
                for each in [(*key, inner) for inner in below] or [key]:
                    drop(each, _MAY_NOT[key])
            elif key in _LISTS and isinstance(value, list):
                kept[name] = [
                    word
                    for word in value
                    if not (isinstance(word, str) and _is_needed(word, key, drop))
                ]
            elif isinstance(value, dict) and len(key) <= _MAX_TABLES:
                kept[name] = part(value, key)
            else:
                kept[name] = value
        return kept

    return part(data, ())


def _is_needed(word: str, key: Path, drop: Callable[[Path, str], None]) -> bool:
    """Whether the variable `word` must stay in an agent's environment, whatever a project says."""
    if not (reserved(word) or word.startswith("PORTKEY_")):
        return False
    shown = word if re.fullmatch(r"[A-Za-z0-9_]{1,64}", word) and not looks_like_key(word) else "it"
    drop(key, f"{shown} is a variable that the agent or the gateway needs")
    return True
