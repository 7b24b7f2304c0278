"""Why a question to the gateway has no answer: one class a cause, each a sentence with a next step.

Nothing here holds a key, or text of an answer that is not bounded and printable.
"""

from __future__ import annotations

from guard.errors import ExitCode, GuardError


class GatewayError(GuardError):
    """The gateway did not answer the question. Exit status 1: the key or the network, not us."""

    kind = "failed"

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, why=why, fix=fix, exit_code=ExitCode.FINDINGS)


class OfflineError(GatewayError):
    """Nothing answers at the gateway's address."""

    kind = "offline"


class DnsError(GatewayError):
    """The gateway's name has no address here."""

    kind = "dns"


class TlsError(GatewayError):
    """The other end could not prove that it is the gateway."""

    kind = "tls"


class TimedOutError(GatewayError):
    """No answer in time."""

    kind = "timeout"


class RedirectedError(GatewayError):
    """The answer points to another host, where the key must not go."""

    kind = "redirected"


class NotPortkeyError(GatewayError):
    """What answered is no Portkey API: a page of HTML, text, or JSON of another shape."""

    kind = "not-portkey"


class OpenSourceGatewayError(NotPortkeyError):
    """The open-source gateway answered: it routes, and has no account to show."""

    kind = "open-source-gateway"


class WrongKeyError(GatewayError):
    """401: nobody knows this key."""

    kind = "wrong-key"


class MissingScopeError(GatewayError):
    """403: the key is known and may not see this. `scope` is what it lacks, "" if unknown."""

    kind = "missing-scope"

    def __init__(self, what: str, *, scope: str = "", where: str = "", why: str = "") -> None:
        super().__init__(
            what,
            where=where,
            why=why,
            fix=f"ask for a key with {scope}" if scope else "ask for a key with more scopes",
        )
        self.scope = scope


class NotFoundError(GatewayError):
    """404: no such thing, or this gateway does not have the endpoint."""

    kind = "not-found"


class LimitReachedError(GatewayError):
    """402 or 412: the budget of the key is used up."""

    kind = "limit-reached"


class GuardrailError(GatewayError):
    """446: a guardrail denied the question."""

    kind = "guardrail"


class RateLimitedError(GatewayError):
    """429, also after waiting as long as it asked for."""

    kind = "rate-limited"


class UpstreamError(GatewayError):
    """5xx, also after trying again, or a status that has no meaning here."""

    kind = "gateway-error"
