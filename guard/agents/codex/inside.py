"""Whether a running Codex is a guarded launch: by its arguments, which pin it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.agents.codex import grammar, settings
from guard.agents.codex.planner import PROVIDER
from guard.agents.inside import elsewhere
from guard.agents.managed import installed
from guard.agents.suffix import suffix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.policy.values import CompiledPolicy

_NOT_OURS = "its arguments do not pin it to the gateway"


def unpinned(environ: Mapping[str, str], policy: CompiledPolicy, argv: Sequence[str]) -> str:
    """Why the Codex that runs as `argv` is not pinned to the gateway of `policy`, "" if it is.

    What a guarded launch gives it is written in `guard.agents.codex.settings`.
    """
    words = list(argv[1:])
    invocation = grammar.read(words)
    last = dict(settings.typed(invocation.values("--config")))
    # of the user's own launches, or of the file that routeguard wrote for the administrator
    known = (suffix(environ, "codex", create=False), installed().suffix)
    ids = [PROVIDER + one for one in known if one]
    identity = next((i for i in ids if last.get("model_provider") == settings.toml(i)), "")
    if not identity:
        return _NOT_OURS
    table = settings.typed_value(last.get(f"model_providers.{identity}", ""))
    address = table.get("base_url", "") if isinstance(table, dict) else ""
    wrong = elsewhere([address], policy)
    if wrong:
        return wrong
    missing = [
        key for key, value in settings.PINNED.items() if last.get(key) != settings.toml(value)
    ]
    missing += sorted(set(settings.SWITCHES) - set(invocation.values("--disable")))
    if missing or invocation.named(*grammar.REFUSED):
        return f"{', '.join(missing) or 'an option'} is not as in a guarded launch"
    return ""
