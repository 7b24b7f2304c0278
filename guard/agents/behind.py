"""Which provider behind the gateway, and which model, a launch asks for of an agent that names
models and no provider.

Such an agent sends the name of a model as it is: an alias, a full name, or anything else (run on
the tested releases: `gpt-4o`, `@slug/m`). The provider comes from a header of the gateway, or from
a model name that begins with its slug.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.keys import forbidden_in, take_key
from guard.findings import Finding
from guard.policy.places import ALLOWED_FILE
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.agents import Identity
    from guard.agents.plan import Plan
    from guard.policy.values import AgentRoute, CompiledPolicy, GatewayProvider


class Route(Record):
    """`entry` has the key; `slug` and `config` are headers, "" for none; `model` and `small` are
    names to ask for, "" for the agent's own. `typed` tells that the command line named the model.
    """

    entry: GatewayProvider
    slug: str = ""
    config: str = ""
    model: str = ""
    small: str = ""
    typed: bool = False

    def __str__(self) -> str:
        through = f"@{self.slug}" if self.slug else self.config
        model = self.model or "the agent's default model"
        return f"{self.entry.name}/{through + '/' if through else ''}{model}"


def headers(named: Route | GatewayProvider) -> dict[str, str]:
    """The headers of the gateway that say who is behind it, besides the one with the key."""
    found = {}
    if named.slug:
        found["x-portkey-provider"] = f"@{named.slug}"
    if named.config:
        found["x-portkey-config"] = named.config
    return found


def choose(
    result: Plan, policy: CompiledPolicy, agent: Identity, typed: Sequence[str | None]
) -> Route | None:
    """The route of a launch whose command line names the models `typed`; None, with a finding in
    `result`, where there is none.

    `result.rewritten` tells that the agent has to be given another name than the one typed.
    """
    if len(typed) > 1:
        message = f"the model is named {len(typed)} times"
        result.report("RG205", "--model", message, fix="name one model")
        return None
    named = next(iter(typed), None)
    found = resolve(policy, agent, named)
    if isinstance(found, Finding):
        result.findings.append(found)
        entry = policy.default_provider
        if found.rule == "RG206" and not entry.key_command:
            # who has just begun may lack both, and is told both at once
            take_key(result, entry, result.environ, entry.key_env)
        return None
    allowed = policy.route_of(agent.id).models
    if allowed and found.typed and found.model not in allowed:
        result.report(
            "RG201",
            found.model,
            f"the policy does not let {agent.title} ask for the model {found.model}",
            fix=f"name one of: {', '.join(allowed)}",
        )
        return None
    result.route = str(found)
    if named is not None and found.model != named:
        result.rewritten = f"--model {named} goes to {found}"
    return found


def resolve(policy: CompiledPolicy, agent: Identity, typed: str | None) -> Route | Finding:
    """The route of `--model TYPED` (None where it is not given) of `agent`."""
    bad = forbidden_in(typed or "")
    if bad:
        return Finding(
            "RG205",
            typed or "",
            f"the model name holds {' '.join(ascii(c)[1:-1] for c in bad)}",
            where="command line",
            fix="give the model without quotes, braces, backslashes or blanks",
        )
    own = policy.route_of(agent.id)
    entry = policy.default_provider
    model, small = own.model, own.small
    if typed:
        head, slash, rest = typed.partition("/")
        named = policy.provider(head) if slash else None
        if named is not None:
            entry, typed = named, rest
        model = typed
    slug, config = entry.slug, entry.config
    if own.provider and entry is policy.default_provider:
        slug, config = own.provider, ""
    if model.startswith("@") and "/" in model:
        # the name says it, and the gateway takes the provider from it
        return Route(entry, model=model, small=small, typed=bool(typed))
    if not slug and not config:
        return _nobody(policy, agent, model)
    return Route(entry, slug=slug, config=config, model=model, small=small, typed=bool(typed))


def bare_route(policy: CompiledPolicy, agent: Identity) -> tuple[Route, list[str]]:
    """The route of a start past routeguard that names no model, and what there is to say about it:
    without a provider the gateway decides by the model's name."""
    found = resolve(policy, agent, None)
    if not isinstance(found, Finding):
        return found, []
    own = policy.route_of(agent.id)
    note = (
        f"the policy names no provider for {agent.title}: a start past routeguard reaches the "
        f"gateway, which refuses it unless the model names one: set provider under "
        f"[agents.{agent.id}]"
    )
    return Route(policy.default_provider, model=own.model, small=own.small), [note]


def not_named(key: str, what: str, where: str, own: AgentRoute, left: Sequence[str]) -> Finding:
    """The note on `what` (MCP servers, hooks) in the user's settings at `where` that a launch does
    not start: the names `left`, which the list `key` of `own` in the policy does not have."""
    # only names that a policy takes are worth a line in one
    names = [name for name in dict.fromkeys((*getattr(own, key), *left)) if '"' not in name]
    listed = ", ".join(f'"{name}"' for name in names)
    return Finding(
        "RG301",
        key,
        f"{what} of your own settings are not started, because your policy does not name them: "
        f"{', '.join(left)}",
        where=where,
        fix=f"name those that you want in your policy:\n[agents.{own.agent}]\n{key} = [{listed}]",
        severity="note",
    )


def _nobody(policy: CompiledPolicy, agent: Identity, model: str) -> Finding:
    written = [
        path
        for layer, path in policy.layers
        if layer == "user" and not path.endswith(f"/{ALLOWED_FILE}")
    ]
    return Finding(
        "RG206",
        "provider",
        "nothing says which provider behind the gateway answers",
        where=written[0] if written else "policy",
        fix="routeguard portkey sync\n"
        f"or name one that serves {agent.title} in your policy:\n"
        f'[agents.{agent.id}]\nprovider = "@SLUG"\n'
        f"or, for this start:\n{agent.names[0]} --model @SLUG/{model or 'MODEL'}",
        severity="error",
    )
