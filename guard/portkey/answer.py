"""What the gateway answered, and what an answer that is of no use means.

`guard.portkey.client` asks; everything here is about what came back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from guard.errors import ExitCode, GuardError, printable

MAX_MESSAGE: Final = 300
"""Characters of what a gateway says that are repeated."""

CHECK_URL = "check gateway.base_url in your policy, and whether the network wants a login"
TRY_AGAIN = "try again; see the gateway's status page"

Kind = Literal[
    "dns",
    "failed",
    "missing-scope",
    "not-found",
    "not-portkey",
    "offline",
    "open-source-gateway",
    "redirected",
    "timeout",
    "tls",
    "wrong-key",
]


class GatewayError(GuardError):
    """A question to the gateway that has no answer, and why in `kind`. Exit status 1: the key or
    the network, not routeguard.

    `failed` is an answer that says no for a reason of its own (a budget, a guardrail, a fault).
    `scope` is what a key with the kind `missing-scope` lacks, "" if that is unknown.
    """

    def __init__(
        self,
        kind: Kind,
        what: str,
        *,
        where: str = "",
        why: str = "",
        fix: str = "",
        scope: str = "",
    ) -> None:
        super().__init__(what, where=where, why=why, fix=fix, exit_code=ExitCode.FINDINGS)
        self.kind: Kind = kind
        self.scope = scope


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """One answer: `headers` by lower-case name; `body` the parsed JSON, None if it is none.

    `seconds` is the time of the last attempt.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    text: str = field(repr=False)
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        """What the body says went wrong, bounded and printable, "" if it says nothing.

        An `error` may be a string, and a message may stand beside it (facts: portkey.md 6).
        """
        inner = self._error
        said = inner
        if isinstance(inner, dict):
            said = inner.get("message") or self.body.get("message") or ""
        return printable(said[:MAX_MESSAGE]) if isinstance(said, str) else ""

    @property
    def code(self) -> str:
        """Portkey's code of the error (`AB03`, `inline_provider_blocked`), "" if there is none."""
        inner = self._error
        code = inner.get("errorCode") or inner.get("code") if isinstance(inner, dict) else ""
        return printable(str(code or "")[:60])

    @property
    def needs_provider(self) -> bool:
        """Whether it refuses a call that names neither a provider nor a config."""
        return self.status == 400 and "x-portkey-config or x-portkey-provider" in self.message

    @property
    def _error(self) -> Any:
        """`body.error ?? body.data ?? body`, as Portkey's own command line reads it."""
        if not isinstance(self.body, dict):
            return ""
        return self.body.get("error") or self.body.get("data") or self.body


_BY_STATUS: Final[dict[int, tuple[Kind, str, str]]] = {
    401: (
        "wrong-key",
        "the gateway does not know this key",
        "copy it again from the dashboard (API Keys); it may be revoked or expired",
    ),
    402: ("failed", "the budget of this key is used up", "raise its limit in the dashboard"),
    404: (
        "not-found",
        "the gateway does not have this API",
        "check gateway.base_url in your policy: Portkey's own ends in /v1",
    ),
    412: ("failed", "the budget of this key is used up", "raise its limit in the dashboard"),
    429: ("failed", "too many requests to the gateway", "try again in a minute"),
    446: (
        "failed",
        "a guardrail of your organisation blocked the request",
        "see Guardrails in the dashboard",
    ),
}
"""What a status means (facts: portkey.md 6), and what to do about it."""


def require(answer: GatewayAnswer, *, scope: str = "") -> GatewayAnswer:
    """`answer`, if its status is 2xx and it is JSON; else the GatewayError that says what it means.

    `scope` is what the question needs, for the 403 that says so (facts: portkey.md 4 and 6).
    """
    if answer.ok and answer.body is not None:
        return answer
    why = f"it says: {answer.message}" if answer.message else ""
    if answer.body is None:
        page = "<html" in answer.text[:2000].lower() or "<!doctype" in answer.text[:200].lower()
        raise GatewayError(
            "not-portkey",
            f"the reply (status {answer.status}) is {'a web page' if page else 'not JSON'}",
            why="a login page of the network, or a server that is not a Portkey gateway",
            fix=CHECK_URL,
        )
    if answer.needs_provider:
        raise GatewayError(
            "open-source-gateway",
            "this is an open-source gateway: it routes calls and has no admin API",
            why=why,
            fix="it routes by each call's headers: set slug or config in [gateway.providers.NAME]",
        )
    if answer.status == 403:
        raise GatewayError(
            "missing-scope",
            f"not visible to this key: it lacks {scope}" if scope else "not visible to this key",
            why=why,
            fix=f"ask for a key with {scope or 'more scopes'}",
            scope=scope,
        )
    kind, what, fix = _BY_STATUS.get(
        answer.status, ("failed", f"the gateway answered {answer.status}", TRY_AGAIN)
    )
    raise GatewayError(kind, what, why=why, fix=fix)
