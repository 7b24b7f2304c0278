"""A fence around one launch: it and its children can neither bind nor reach a local proxy's port.

Imported only where a fence is wanted, last before `execve`, in the process that becomes the agent.
Which ports, and whether a launch has a fence, is decided here; how the system is told is in
`guard.launch.fences`. None of it can be taken off again.
"""

from __future__ import annotations

import os
import sys

from guard import net
from guard.errors import GuardError
from guard.findings import Finding
from guard.launch.fences.ports import Fence, UnavailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy

DNS = 53
"""The port of name servers; over TCP where an answer is long."""

SOCKS = 1080
"""The port of a SOCKS proxy whose URL names none."""

_UNFENCED = "it cannot be fenced off from the ports of local proxies"


def of_policy(
    policy: CompiledPolicy, environ: Mapping[str, str], now: float | None = None
) -> Fence:
    """The fence that `policy` asks for around a launch with `environ` at `now` (Unix seconds).

    The catalogue's distinctive ports and `proxies.hold`, without those of a `port:N` exception.
    The gateway's port and that of an HTTP proxy in `environ` stay reachable; DNS is left alone,
    and so is port 0, by which a program asks for any port.
    """
    wanted = distinctive(policy).union(policy.proxies_hold) - {0, DNS}
    ports = [port for port in wanted if policy.excepted(f"port:{port}", now) is None]
    needed = [_port(url) for url in (policy.base_url, policy.gateway_proxy) if url]
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        needed += [_port(environ[n]) for n in (name, name.lower()) if environ.get(n)]
    return Fence(ports, needed)


def distinctive(policy: CompiledPolicy) -> frozenset[int]:
    """The ports that only local proxies use, as `policy` was compiled with them."""
    if policy.proxy_ports:
        return frozenset(policy.proxy_ports)
    # the catalogue takes 20 ms to load, which a launch with a cached policy need not wait for
    from guard.catalog import local_proxies

    return local_proxies.distinctive()


def _port(url: str) -> int:
    """The port that `url` leads to, -1 if unknown."""
    found = net.read_url(url)
    return -1 if found is None or found.port < 0 else found.effective_port(default=SOCKS)


def describe(policy: CompiledPolicy, environ: Mapping[str, str]) -> str:
    """One line for people on the fence of a launch with `environ`, as this machine can build it."""
    fence = of_policy(policy, environ)
    said = f"{len(fence.ports)} ports"
    if fence.reachable:
        kept = ", ".join(map(str, sorted(fence.reachable)))
        said += f" (the way to the gateway may still connect to {kept})"
    why = unavailable()
    return f"fence: {said}, not on this machine: {why}" if why else f"fence: {said}"


def refusal(why: str, *, asked: bool) -> GuardError:
    """The error of a launch that had to be fenced and cannot be; `asked` by `--fence`."""
    return GuardError(
        f"not started: {_UNFENCED}",
        where=f"{os.uname().sysname} {os.uname().release} on {os.uname().machine}",
        why=why,
        fix="run it without --fence"
        if asked
        else 'proxies.fence = "try" in your policy starts it without a fence, with a warning',
        rule="RG404",
    )


def missing(why: str) -> Finding:
    """The finding for a launch that the policy wants fenced on a machine that cannot."""
    said = refusal(why, asked=False)
    return Finding("RG404", "proxies.fence", f"{_UNFENCED}: {why}", where=said.where, fix=said.fix)


def around(
    plan: Plan,
    policy: CompiledPolicy,
    wanted: str,
    asked: bool | None,
    say: Callable[[str], None],
) -> Callable[[str, list[str]], tuple[str, list[str]]] | None:
    """What raises the fence around `plan` as `raise_fence` does, None for no fence.

    `wanted` is the policy's word for this launch (off, try, require), `asked` what `--fence` (True)
    or `--no-fence` (False) says. Raises GuardError if the two do not agree, or if a fence has to
    be and this machine cannot: before a key is fetched.
    """
    if asked is False:
        if wanted == "require":
            raise GuardError(
                f"{plan.name} was not started: the policy requires a fence",
                where="--no-fence",
                why='proxies.fence = "require" in the policy',
                fix="run it without --no-fence",
                rule="RG404",
            )
        return None
    required = asked is True or wanted == "require"
    if required:
        why = unavailable()
        if why:
            raise refusal(why, asked=wanted != "require")

    def put_up(program: str, argv: list[str]) -> tuple[str, list[str]]:
        return raise_fence(
            of_policy(policy, plan.environ),
            program,
            argv,
            required=required,
            asked=wanted != "require",
            say=say,
        )

    return put_up


def raise_fence(
    fence: Fence,
    program: str,
    argv: list[str],
    *,
    required: bool,
    asked: bool = False,
    say: Callable[[str], None],
) -> tuple[str, list[str]]:
    """Fence this process; returns the program and arguments to become, changed on macOS only.

    If that cannot be done: raises GuardError where the fence is `required`, else tells `say` one
    line why and goes on. `asked`: by `--fence`, not by the policy.
    """
    try:
        if sys.platform == "darwin":
            from guard.launch.fences import sandbox

            return sandbox.behind_profile(fence, program, argv)
        from guard.launch.fences import landlock

        landlock.raise_fence(fence)
    except UnavailableError as error:
        if required:
            raise refusal(str(error), asked=asked) from None
        more = "; no_new_privs is set, so sudo will not work" if error.late else ""
        say(f"routeguard: started without a fence: {error}{more} [RG404]")
    return program, argv


def unavailable() -> str:
    """Why this machine cannot fence a launch, "" if it can. Changes nothing."""
    if sys.platform == "darwin":
        from guard.launch.fences.sandbox import SANDBOX_EXEC

        return "" if os.access(SANDBOX_EXEC, os.X_OK) else f"there is no {SANDBOX_EXEC}"
    from guard.launch.fences import landlock

    try:
        landlock.Kernel().check()
    except UnavailableError as error:
        return str(error)
    return ""
