"""The gateway's key: what can be one, what to do without it, who gets none. Hot-path module."""

from __future__ import annotations

from guard.agents.environment import Change
from guard.catalog.key_shapes import OTHER_VENDORS
from guard.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy, GatewayProvider

FORBIDDEN = frozenset("{}\"'\\`")
"""Characters that no key, model or provider name may hold.

An agent may substitute `{env:…}` and `{file:…}` in the raw text of its config before it parses it,
and strip quotes from its arguments: a name with one of these could change the config that carries
it.
"""


def how_to_set(variable: str) -> str:
    """The fix for a gateway key that is not in `variable`, or is none."""
    from guard import shells

    return (
        f"{shells.export(variable)}\n"
        "or name a command that prints it in your policy:\n"
        '[gateway]\nkey = { command = ["op", "read", "op://…"] }'
    )


def forbidden_in(name: str) -> list[str]:
    """What of a model's or a provider's `name` no gateway has, each character once, sorted."""
    return sorted({c for c in name if c in FORBIDDEN or not c.isprintable() or c.isspace()})


def unusable_key(value: str) -> str:
    """Why `value` cannot be the gateway's key, "" if it can. Never repeats the value.

    An agent may put it into the raw text of its config before it parses it: a quote or a backslash
    breaks the JSON, and the error prints the whole config with the key (run on the first one).
    """
    if any(c in FORBIDDEN for c in value):
        return "holds a quote, brace or backslash, which would break the agent's config"
    if not value.isascii():
        return "holds a character that is not ASCII (the … of an example?)"
    if any(c.isspace() or not c.isprintable() for c in value):
        return "holds a space or a control character (perhaps a line break at its end)"
    for prefix in OTHER_VENDORS:
        if value.startswith(prefix):
            return f"begins with {prefix}, as another vendor's keys do"
    return ""


def fault(entry: GatewayProvider, environ: Mapping[str, str]) -> str:
    """Why the variable of `entry` gives no key: "is not set", or `unusable_key` of its value.

    "" if it gives one, and where a command prints it, which is not run.
    """
    if entry.lacks_key(environ):
        return "is not set"
    return unusable_key(environ[entry.key_env]) if entry.key_env else ""


def take_key(plan: Plan, entry: GatewayProvider, environ: Mapping[str, str], variable: str) -> bool:
    """Arrange for the key of `entry`; False, with a finding in `plan`, where there is none.

    A key that a command prints comes into `variable` of the plan's environment at the launch.
    """
    if entry.key_command:
        plan.keys.append((variable, entry))
        return True
    wrong = fault(entry, environ)
    if wrong:
        none = "no gateway key: " if entry.lacks_key(environ) else ""
        plan.findings.append(
            Finding(
                "RG106",
                entry.key_env,
                f"{none}{entry.key_env} {wrong}",
                where="environment",
                fix=how_to_set(entry.key_env),
            )
        )
    return not wrong


def without_gateway_keys(plan: Plan, policy: CompiledPolicy) -> None:
    """Take the gateway's keys from `plan`, whose command calls no model."""
    for entry in policy.providers:
        if plan.environ.pop(entry.key_env, None) is not None:
            plan.changes.append(Change("removed", entry.key_env, "", "this command calls no model"))
