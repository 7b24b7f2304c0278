"""The gateway's keys in a launch of opencode: one provider of the config each. Hot-path module."""

from __future__ import annotations

from guard.agents.keys import how_to_set, unusable_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.opencode.route import ProviderModel, Router
    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy


def key_variables(policy: CompiledPolicy) -> dict[str, str]:
    """The variable in which each provider's key is at a launch, by its name; one for a command."""
    commands: dict[tuple[str, ...], str] = {}
    for entry in policy.providers:
        if entry.key_command:
            name = f"ROUTEGUARD_GATEWAY_KEY_{len(commands) + 1}"
            commands.setdefault(entry.key_command, name)
    return {p.name: commands.get(p.key_command, p.key_env) for p in policy.providers}


def take_keys(
    policy: CompiledPolicy, environ: Mapping[str, str], result: Plan
) -> tuple[set[str], dict[str, str]]:
    """The providers whose key is there or can be fetched, and the variable for each.

    The keys go into the environment of `result`, those of commands into its `keys`; a key that
    cannot be one becomes a finding.
    """
    usable: set[str] = set()
    variables = key_variables(policy)
    fetched: set[str] = set()
    for entry in policy.providers:
        if entry.key_command:
            name = variables[entry.name]
            if name not in fetched:
                fetched.add(name)
                result.keys.append((name, entry))
            usable.add(entry.name)
            continue
        value = environ.get(entry.key_env, "")
        if not value.strip():
            continue
        wrong = unusable_key(value)
        if wrong:
            result.report(
                "RG106",
                entry.key_env,
                f"{entry.key_env} {wrong}",
                where="environment",
                fix=how_to_set(entry.key_env),
            )
        usable.add(entry.name)
        result.environ[entry.key_env] = value
    return usable, variables


def has_key(
    result: Plan, policy: CompiledPolicy, usable: set[str], route: ProviderModel, router: Router
) -> bool:
    """Whether `route` has a key, where `usable` are the providers with one. Adds a finding for each
    that has none: it forbids the launch where the route, or what names no model, needs it."""
    missing = [entry for entry in policy.providers if entry.name not in usable]
    several = len(policy.providers) > 1
    for entry in missing:
        needed = entry.name in (route.provider, router.default().provider)
        result.report(
            "RG106",
            entry.key_env,
            f"no gateway key{f' for {entry.name}' if several else ''}: {entry.key_env} is not set"
            + ("" if needed else f"; {entry.name} is left out"),
            where="environment",
            fix=how_to_set(entry.key_env),
            severity="error" if needed else "warning",
        )
    return bool(usable) and all(entry.name != route.provider for entry in missing)


def with_keys(policy: CompiledPolicy, usable: set[str]) -> CompiledPolicy:
    """`policy` with those of its providers alone that are `usable`."""
    if len(usable) == len(policy.providers):
        return policy
    import copy

    fewer = copy.copy(policy)
    fewer.providers = tuple(p for p in policy.providers if p.name in usable)
    if policy.small_model.partition("/")[0] not in usable:
        fewer.small_model = policy.default_model
    return fewer
