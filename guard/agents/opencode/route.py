"""What a model named on the command line becomes: a gateway provider and a model of it.

opencode splits `-m` at the first slash; the part before it is the provider, the rest, further
slashes included, is the model id (run on 1.18.33). Everything here is about that first part:
ours, foreign, or no provider at all.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.agents.keys import forbidden_in
from guard.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from guard.policy.values import CompiledPolicy


class ProviderModel:
    """A gateway provider (its name in the policy) and the model id to ask it for."""

    __slots__ = ("model", "provider", "rerouted_from")

    def __init__(self, provider: str, model: str, rerouted_from: str = "") -> None:
        self.provider = provider
        self.model = model
        self.rerouted_from = rerouted_from

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProviderModel) and (self.provider, self.model) == (
            other.provider,
            other.model,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ProviderModel({str(self)!r})"

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class Router:
    """Resolves typed models against one policy.

    `ids` maps a gateway provider's name to the id it has in the pinned config, so that an id
    copied from `opencode models` is understood; `foreign` are the provider ids that mean somebody
    else: the catalogue's and those of the user's own agent config.
    """

    __slots__ = ("_foreign", "_names", "_policy")

    def __init__(
        self, policy: CompiledPolicy, ids: dict[str, str], foreign: Collection[str]
    ) -> None:
        self._policy = policy
        self._foreign = foreign
        self._names = {name: name for name in ids} | {i: name for name, i in ids.items()}

    def default(self) -> ProviderModel:
        """Where a call that names nothing goes."""
        provider, _, model = self._policy.default_model.partition("/")
        return ProviderModel(provider, model)

    def resolve(self, model: str | None, provider: str | None) -> ProviderModel | Finding:
        """The route of `-m MODEL` and `--provider PROVIDER` (None where not given)."""
        for what, text in (("model", model), ("provider", provider)):
            bad = _unusable(what, text)
            if bad is not None:
                return bad
        if provider:
            return self._of_provider(provider, model or "")
        if not model:
            return self.default()
        return self._of_model(model)

    def _of_model(self, model: str) -> ProviderModel | Finding:
        head, slash, rest = model.partition("/")
        if not slash or head.startswith("@"):
            return ProviderModel(self._policy.default_provider.name, model)
        if head in self._names:
            if not rest:
                return _no_model(head, self._policy)
            return ProviderModel(self._names[head], rest)
        if head in self._foreign:
            return self._foreign_route(head, rest)
        near = self._near(head)
        if near:
            return Finding(
                "RG201",
                head,
                f"the model names the provider {head}, which the policy does not have",
                where="command line",
                fix=f"did you mean -m {near}/{rest}? The policy has: {self._ours()}",
            )
        return ProviderModel(self._policy.default_provider.name, model)

    def _of_provider(self, provider: str, model: str) -> ProviderModel | Finding:
        if provider not in self._names:
            if provider in self._foreign:
                return self._foreign_route(provider, model.removeprefix(f"{provider}/"))
            near = self._near(provider)
            return Finding(
                "RG201",
                provider,
                f"--provider names {provider}, which the policy does not have",
                where="command line",
                fix=(f"did you mean --provider {near}? " if near else "")
                + f"The policy has: {self._ours()}",
            )
        name = self._names[provider]
        head, slash, rest = model.partition("/")
        if slash and head in self._names:
            if self._names[head] != name:
                return Finding(
                    "RG205",
                    model,
                    f"--provider says {provider}, the model says {head}",
                    where="command line",
                    fix=f"name one of them: -m {name}/{rest} or -m {head}/{rest}",
                )
            model = rest
        if model:
            return ProviderModel(name, model)
        default = self.default()
        if default.provider == name:
            return default
        entry = self._policy.provider(name)
        if entry is not None and entry.models:
            return ProviderModel(name, entry.models[0])
        return _no_model(name, self._policy)

    def _foreign_route(self, provider: str, model: str) -> ProviderModel | Finding:
        ours = self._policy.default_provider.name
        slug = self._policy.reroute.get(provider, "")
        if self._policy.foreign_provider == "reroute" and slug and model:
            return ProviderModel(ours, f"@{slug}/{model}", rerouted_from=provider)
        if slug:
            fix = f"use -m {ours}/@{slug}/{model or 'MODEL'}"
        else:
            fix = f"use -m {ours}/{model or 'MODEL'}"
        if self._policy.foreign_provider == "reroute":
            fix += f"; or give {provider} a slug under [agents.opencode] reroute in the policy"
        return Finding(
            "RG201",
            provider,
            f"{provider} would be reached directly, not through the gateway",
            where="command line",
            fix=fix,
        )

    def _near(self, typed: str) -> str:
        # a typing error in one of our names must not become a model of the default provider
        for name in self._names.values():
            if _one_edit(typed, name):
                return name
        return next(iter(self._names.values())) if typed.startswith("portkey") else ""

    def _ours(self) -> str:
        return ", ".join(p.name for p in self._policy.providers)


def _unusable(what: str, text: str | None) -> Finding | None:
    if text is None:
        return None
    bad = forbidden_in(text)
    if not bad:
        return None
    shown = " ".join("a space" if c == " " else ascii(c)[1:-1] for c in bad)
    return Finding(
        "RG205",
        text,
        f"the {what} name holds {shown}, which no {what} of the gateway can hold",
        where="command line",
        fix=f"give the {what} without quotes, braces, backslashes or spaces",
    )


def _no_model(provider: str, policy: CompiledPolicy) -> Finding:
    entry = policy.provider(provider)
    known = ", ".join(entry.models) if entry is not None else ""
    return Finding(
        "RG205",
        provider,
        f"no model is named for {provider}, and the policy declares none for it",
        where="command line",
        fix=f"add --model MODEL{f' (declared: {known})' if known else ''}",
    )


def _one_edit(a: str, b: str) -> bool:
    """Whether one insertion, deletion, replacement or swap of neighbours turns `a` into `b`."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    i = 0
    while i < min(len(a), len(b)) and a[i] == b[i]:
        i += 1
    return (
        a[i + 1 :] == b[i + 1 :]
        or a[i:] == b[i + 1 :]
        or a[i + 1 :] == b[i:]
        or (a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :])
    )
