"""Whether the gateway is known to refuse a call that names no provider.

`routeguard portkey` leaves an empty file beside what it keeps of an account where the key has no
config and the call has to name a provider. A launch looks whether it is there, and no more: it asks
nobody, and what was seen then may have changed, so it says so and refuses nothing.

Hot-path module; hashing is imported where such a file may exist.
"""

from __future__ import annotations

import os
import stat

from guard import paths
from guard.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.plan import Plan
    from guard.policy.values import CompiledPolicy

REFUSED = ".refused"
"""Suffix of the file."""


def directory(environ: Mapping[str, str]) -> str:
    """Where accounts are kept."""
    return os.path.join(paths.routeguard_cache(environ), "portkey")


def account_path(base_url: str, key: str, environ: Mapping[str, str]) -> str:
    """Where the account of `key` at `base_url` is kept, without a suffix; holds neither."""
    from guard.findings import digest
    from guard.sources import digest_key

    name = digest(f"{base_url}\n{key}", digest_key.load(environ))
    return os.path.join(directory(environ), name)


def note(plan: Plan, policy: CompiledPolicy, environ: Mapping[str, str]) -> None:
    """Add a finding to `plan` if the gateway is known to refuse its route."""
    name, _, model = plan.route.partition("/")
    entry = policy.provider(name)
    if entry is None or entry.slug or entry.config or model.startswith("@") or not entry.key_env:
        return
    key = environ.get(entry.key_env, "")
    if not key or not os.path.isdir(directory(environ)):
        return
    try:
        found = os.lstat(account_path(policy.base_url, key, environ) + REFUSED)
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        return
    plan.findings.append(
        Finding(
            "RG206",
            plan.route,
            f"{plan.route} names no provider, and the gateway refused such calls of this key when "
            "it was last asked",
            where="gateway.default in your policy, or -m",
            fix=f"-m {name}/@PROVIDER/MODEL, as listed by:\nrouteguard portkey models",
            severity="warning",
        )
    )
