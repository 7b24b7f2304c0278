"""How this machine reaches the gateway: the HTTP proxy in between, the certificates that count.

The policy's `[gateway] ca` and `proxy` decide, as they do for the agents. Where it has no proxy,
HTTPS_PROXY and its like count; where it has no CA, the system's.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from guard import shells
from guard.errors import GuardError, either
from guard.findings import allow
from guard.net import address, authority, is_loopback, read_url
from guard.policy.values import CompiledPolicy
from guard.portkey.tls import has_directory, system_list
from guard.variables import ca_for_good, judge

POLICY_PROXY = "gateway.proxy"


def proxy(base_url: str, environ: Mapping[str, str], policy: CompiledPolicy) -> tuple[str, str]:
    """What names the proxy to use, a variable or POLICY_PROXY, and its URL; two "" without one.

    The URL can hold a password. Raises GuardError (RG104) for one on this machine that the policy
    neither names nor excepts.
    """
    found = read_url(base_url)
    without = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if found is None or is_loopback(found.host):
        return "", ""
    place = authority(found.host, found.effective_port())
    if proxy_bypass_environment(place, {"no": without}):
        return "", ""
    if policy.gateway_proxy:
        return POLICY_PROXY, policy.gateway_proxy
    # a server can set HTTP_PROXY through a header called Proxy; only the small one is a user's
    names = ("https_proxy", "HTTPS_PROXY") if found.scheme == "https" else ("http_proxy",)
    for name in (*names, "all_proxy", "ALL_PROXY"):
        value = environ.get(name, "").strip()
        if not value:
            continue
        host, port = address(value)
        if is_loopback(host) and policy.excepted(f"proxy:{host}:{port}") is None:
            # ALL_PROXY, which the agent ignores, counts here
            advice = judge("HTTPS_PROXY", "http_proxy", "", value, policy).advice
            raise GuardError(
                f"{name} leads through a proxy on this machine ({host}:{port})",
                where="environment",
                why="it would see the gateway key, and belongs to whoever bound the port first",
                fix=either(shells.unset(name), allow("proxy", f"{host}:{port}"))
                + (f"\nor, {advice}" if advice else ""),
                rule="RG104",
            )
        return name, value if "://" in value else f"http://{value}"
    return "", ""


def certificates(policy: CompiledPolicy) -> ssl.SSLContext:
    """Verification by the system's certificates, and those of `[gateway] ca`.

    As for an agent, no variable adds to them: who sets SSL_CERT_FILE would decide which server gets
    the key. Raises GuardError (RG108) where the policy's file cannot be read.
    """
    context = system_list()
    if not context.cert_store_stats()["x509_ca"] and not has_directory():
        # a Python that was built without a place for them, as the one of python.org on macOS
        import certifi

        context.load_verify_locations(certifi.where())
    if policy.gateway_ca:
        try:
            context.load_verify_locations(policy.gateway_ca)
        except (OSError, ssl.SSLError) as error:
            raise GuardError(
                "the certificates that gateway.ca names cannot be read",
                where=policy.gateway_ca,
                why=getattr(error, "strerror", "") or "they are no certificates",
                fix="check gateway.ca in your policy",
                rule="RG108",
            ) from None
    return context


def inspected(issuer: str) -> str:
    """What is said of a certificate that `issuer`, who is unknown here, has signed."""
    return (
        f"the TLS connection is signed by an unknown CA (issuer {issuer}): "
        "a company's TLS inspection?"
    )


def inspected_fix(environ: Mapping[str, str], policy: CompiledPolicy) -> str:
    """What to do about it, with the file that the environment names, if it names one."""
    if policy.gateway_ca:
        return f"put the issuer's certificate into {policy.gateway_ca} (gateway.ca of your policy)"
    files = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")
    named = next((name for name in files if environ.get(name)), "")
    return (
        f"try another network; or, {ca_for_good(named or 'SSL_CERT_DIR', environ.get(named, '-'))}"
    )
