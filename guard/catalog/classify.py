"""What kind a variable is, from its name alone.

Hot-path module: asked for every exported name at every prompt, so a dictionary lookup comes
first and the few patterns after it. The patterns are those of variables.toml.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PREFIXES = (
    ("OPENCODE_", "agent_redirect", "opencode"),
    ("PORTKEY_", "gateway_setting", "Portkey"),
    ("BUN_", "runtime", "Bun"),
    ("NODE_", "runtime", "Node.js"),
    ("LD_", "runtime", "dynamic linker"),
    ("DYLD_", "runtime", "dynamic linker"),
    ("OTEL_", "runtime", "OpenTelemetry"),
    ("OTUI_", "runtime", "OpenTUI"),
)
"""(prefix, kind, owner) of names that belong to a program whatever follows."""

KIND_RULES = {
    "provider_key": "RG101",
    "provider_setting": "RG101",
    "ambient": "RG107",
    "base_url": "RG103",
    "agent_redirect": "RG105",
    "runtime": "RG108",
    "http_proxy": "RG104",
    "gateway_key": "RG106",
    "unknown_key": "RG102",
}
"""The rule for which a variable of a kind counts, unless its data says otherwise."""

KEY_SUFFIX = "_API_KEY"
"""What the name of an API key of an unknown service ends in."""

RUNTIME_WITH_RULE = frozenset(
    (
        "BUN_BE_BUN",
        "BUN_CONFIG_VERBOSE_FETCH",
        "BUN_INSPECT_PRELOAD",
        "BUN_OPTIONS",
        "DYLD_INSERT_LIBRARIES",
        "LD_AUDIT",
        "LD_PRELOAD",
        "NODE_EXTRA_CA_CERTS",
        "NODE_OPTIONS",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "SSLKEYLOGFILE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    )
)
"""Variables of a runtime that are a finding where they are set; `NODE_ENV` is none."""

_STARTS = tuple(prefix for prefix, _, _ in PREFIXES)
_NOTHING = ("", "")
_UNKNOWN_KEY = ("unknown_key", "")


def classify(
    name: str, variables: Mapping[str, tuple[str, str]], gateway_keys: Collection[str] = ()
) -> tuple[str, str]:
    """(kind, owner) of the variable `name`; ("", "") if it means nothing to us.

    `variables` maps exact names to (kind, owner). A name in `gateway_keys` is the gateway's,
    whatever else is known about it. Case-sensitive, as names are on Linux and macOS.
    """
    if name in gateway_keys:
        return ("gateway_key", "Portkey")
    known = variables.get(name)
    if known is not None:
        return known
    if name.startswith(_STARTS):
        for prefix, kind, owner in PREFIXES:
            if name.startswith(prefix):
                return (kind, owner)
    if name.endswith(KEY_SUFFIX) and len(name) > len(KEY_SUFFIX):
        return _UNKNOWN_KEY
    return _NOTHING


def rule_of_kind(kind: str) -> str:
    """The rule under which a launch removes a variable of this kind, finding or not."""
    return KIND_RULES.get(kind, "")
