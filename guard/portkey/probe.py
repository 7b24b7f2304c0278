"""Canaries: does a model answer, and under which name? Planned first, sent only when told to.

The Portkey key travels in `x-portkey-api-key` alone. With a raw provider name, `Authorization`
would be forwarded to that third party (facts: portkey.md, hazard 2), so it is never set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from guard.errors import printable
from guard.policy.accepted import SLUG
from guard.portkey.account import Account
from guard.portkey.answer import GatewayAnswer, GatewayError
from guard.portkey.client import Client

SEEDS: Final = ("gpt-4", "claude-3-opus", "mistralai/mistral-7b-instruct")
"""The models that are tried when none is named; the last one also with a raw provider name."""

RAW: Final = {"mistralai/mistral-7b-instruct": "openrouter"}

PROMPT: Final = "Say ok"
MAX_TOKENS: Final = 5
"""Tokens an answer may have: what Portkey's own command line asks for, with the same prompt."""

MORE_TOKENS: Final = 16
"""What newer models want at least, under another name of the parameter."""

MAX_SLUGS: Final = 3
"""Providers that one model is tried with, unless they are named."""

_VENDORS = (
    ("gpt", ("openai", "azure-openai")),
    ("o1", ("openai", "azure-openai")),
    ("o3", ("openai", "azure-openai")),
    ("claude", ("anthropic", "bedrock", "vertex-ai")),
    ("gemini", ("google", "vertex-ai")),
    ("mistral", ("mistral-ai", "openrouter", "together-ai")),
)


Kind = Literal["bare", "slug", "header", "config", "raw"]
Verdict = Literal[
    "works",
    "needs-provider",
    "key-not-allowed",
    "model-not-allowed",
    "inline-blocked",
    "config-locked",
    "limit-reached",
    "rate-limited",
    "guardrail",
    "timeout",
    "not-accepted",
    "upstream-error",
    "no-answer",
]

WORDS: Final[dict[str, str]] = {
    "works": "works",
    "needs-provider": "needs a provider",
    "key-not-allowed": "key not allowed",
    "model-not-allowed": "model not allowed",
    "inline-blocked": "inline routing blocked by the organisation",
    "config-locked": "the key's config cannot be overridden",
    "limit-reached": "limit reached",
    "rate-limited": "reachable, but rate-limited",
    "guardrail": "blocked by a guardrail",
    "timeout": "no answer in time",
    "not-accepted": "rejected in this form",
    "upstream-error": "upstream error",
    "no-answer": "no answer",
}


@dataclass(frozen=True, slots=True)
class Canary:
    """One request that would be sent: `model` in the body, `headers` beside it."""

    asked: str
    kind: Kind
    model: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def form(self) -> str:
        """How the model is named, as a person would write it."""
        said = ", ".join(f"{name}: {value}" for name, value in self.headers)
        return f"{self.model}  ({said})" if said else self.model


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of a canary.

    `served` is the vendor that answered and `through` the target of the config that led there
    (response headers `x-portkey-provider`, `x-portkey-last-used-option-index`); `says` the
    message of an error; `seconds` the time it took.
    """

    canary: Canary
    verdict: Verdict
    status: int = 0
    served: str = ""
    through: str = ""
    says: str = ""
    seconds: float = 0.0


def plan(
    models: Iterable[str],
    account: Account | None,
    *,
    providers: tuple[str, ...] = (),
    configs: tuple[str, ...] = (),
) -> list[Canary]:
    """Every way of naming each model, each once: bare, `@slug/model`, by header, by config.

    `providers` and `configs` are slugs to use instead of those that the account suggests.
    """
    found: dict[tuple[str, tuple[tuple[str, str], ...]], Canary] = {}
    for model in models:
        for canary in _forms(model, account, providers, configs):
            found.setdefault((canary.model, canary.headers), canary)
    return list(found.values())


def _forms(
    model: str, account: Account | None, providers: tuple[str, ...], configs: tuple[str, ...]
) -> Iterator[Canary]:
    slugs: tuple[str, ...] | list[str]
    if model.startswith("@") and "/" in model:
        slug, _, bare = model.partition("/")
        slugs = (slug.removeprefix("@"),)
    else:
        bare = model
        yield Canary(model, "bare", bare)
        slugs = [slug.removeprefix("@") for slug in providers] or _slugs(bare, account)
    for slug in slugs:
        yield Canary(model, "slug", f"@{slug}/{bare}")
        yield Canary(model, "header", bare, (("x-portkey-provider", f"@{slug}"),))
    for config in configs or _configs(account):
        yield Canary(model, "config", bare, (("x-portkey-config", config),))
    if bare in RAW:
        yield Canary(model, "raw", bare, (("x-portkey-provider", RAW[bare]),))


def _slugs(model: str, account: Account | None) -> list[str]:
    """Providers that carry the model by the catalogue, else those of its likely vendor."""
    if account is None:
        return []
    listed = account.models.value or ()
    carrying = [row.provider for row in listed if row.provider and row.id.endswith(f"/{model}")]
    if not carrying:
        name = model.lower().rpartition("/")[2]
        vendors = next((v for prefix, v in _VENDORS if name.startswith(prefix)), ())
        if "/" in model:
            vendors = ("openrouter", "together-ai", *vendors)
        carrying = [
            row.slug
            for row in account.providers.value or ()
            if row.provider in vendors
            or (row.provider is None and row.slug.startswith(vendors or ("\0",)))
        ]
    # a slug becomes part of a header
    usable = (slug for slug in carrying if re.fullmatch(SLUG, slug))
    return list(dict.fromkeys(usable))[:MAX_SLUGS]


def _configs(account: Account | None) -> list[str]:
    """The config on the key, if it is known: it decides, so it is worth naming."""
    name = account.default_config.value if account is not None else None
    return [name] if name and name.startswith("pc-") and re.fullmatch(SLUG, name) else []


def send(
    client: Client,
    canaries: Iterable[Canary],
    *,
    told: Callable[[ProbeResult], None] = lambda _: None,
) -> list[ProbeResult]:
    """Send each canary; `told` is called with each result as it comes.

    Raises GatewayError where no canary can be answered: a wrong name, certificate or address.
    """
    results = []
    for canary in canaries:
        result = _one(client, canary)
        told(result)
        results.append(result)
    return results


def _one(client: Client, canary: Canary) -> ProbeResult:
    body: dict[str, Any] = {
        "model": canary.model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": MAX_TOKENS,
    }
    try:
        answer = client.post("/chat/completions", body, dict(canary.headers))
        if answer.status == 400 and "max_completion_tokens" in answer.message:
            del body["max_tokens"]
            body["max_completion_tokens"] = MORE_TOKENS
            answer = client.post("/chat/completions", body, dict(canary.headers))
    except GatewayError as error:
        if error.kind not in ("timeout", "offline"):
            raise
        verdict: Verdict = "timeout" if error.kind == "timeout" else "no-answer"
        return ProbeResult(canary, verdict, says=error.what)
    return classify(canary, answer)


def classify(canary: Canary, answer: GatewayAnswer) -> ProbeResult:
    """What `answer` means for `canary` (facts: portkey.md 5 and 6)."""
    return ProbeResult(
        canary,
        _verdict(answer),
        status=answer.status,
        served=_header(answer, "x-portkey-provider"),
        through=_header(answer, "x-portkey-last-used-option-index"),
        says="" if answer.ok else _said(answer),
        seconds=answer.seconds,
    )


def _verdict(answer: GatewayAnswer) -> Verdict:
    message, code = answer.message.lower(), answer.code.lower()
    if answer.ok:
        # what has no choices was no completion, whatever its status says
        completion = isinstance(answer.body, dict) and isinstance(answer.body.get("choices"), list)
        return "works" if completion else "upstream-error"
    if code.startswith("inline_") and code.endswith("_blocked"):
        return "inline-blocked"
    if answer.needs_provider:
        return "needs-provider"
    if "override" in message and "config" in message and answer.status in (400, 403):
        return "config-locked"
    if _about_model(message, code):
        return "model-not-allowed"
    by_status: dict[int, Verdict] = {
        400: "not-accepted",
        401: "key-not-allowed",
        402: "limit-reached",
        403: "key-not-allowed",
        404: "model-not-allowed",
        408: "timeout",
        412: "limit-reached",
        422: "not-accepted",
        429: "rate-limited",
        446: "guardrail",
    }
    verdict = by_status.get(answer.status, "upstream-error")
    if answer.status == 404 and isinstance(answer.body, dict) and answer.body.get("ok") is False:
        # no such page: the gateway's address is not one that completions are asked at
        return "not-accepted"
    if verdict in ("key-not-allowed", "not-accepted") and not _of_portkey(answer):
        # the provider's own answer, for example to the credential that Portkey holds for it
        return "upstream-error"
    return verdict


def _about_model(message: str, code: str) -> bool:
    if "model" not in message and "model" not in code:
        return False
    phrases = (
        "not allowed",
        "not found",
        "does not exist",
        "not exist",
        "not available",
        "unknown",
    )
    return any(phrase in message for phrase in phrases) or code in (
        "model_not_found",
        "model_not_allowed",
    )


def _of_portkey(answer: GatewayAnswer) -> bool:
    """Whether Portkey itself said it: others' errors carry the provider's name."""
    if not isinstance(answer.body, dict):
        return False
    return not answer.body.get("provider") or "portkey error" in answer.message.lower()


def _said(answer: GatewayAnswer) -> str:
    return answer.message or (f"status {answer.status}" if answer.status else "")


def _header(answer: GatewayAnswer, name: str) -> str:
    return printable(answer.headers.get(name, "")[:80])


def works(results: Iterable[ProbeResult]) -> dict[str, list[ProbeResult]]:
    """The results that work, by the model asked for; a model with none has an empty list."""
    found: dict[str, list[ProbeResult]] = {}
    for result in results:
        found.setdefault(result.canary.asked, [])
        if result.verdict == "works":
            found[result.canary.asked].append(result)
    return found
