"""The first screen of the doctor, for `routeguard status`. No network, and nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from guard import shells
from guard.agents.keys import fault as key_fault
from guard.agents.registry import present, typed_name
from guard.doctor import status
from guard.doctor.context import Context
from guard.errors import GuardError
from guard.launch.local_proxies import address
from guard.launch.resolve import is_shim, typed
from guard.policy.values import CompiledPolicy
from guard.proxies.glance import glance
from guard.sources.listener import SocketsUnreadableError


@dataclass(frozen=True, slots=True)
class HeadRow:
    """One line: what it is about, how it is, and in which state (ok, warning, broken)."""

    label: str
    text: str
    state: str = "ok"


@dataclass(frozen=True, slots=True)
class Head:
    """The status with what stands around it."""

    status: status.Status
    rows: tuple[HeadRow, ...]
    document: dict[str, Any]

    @property
    def guarded(self) -> bool:
        """Whether launches are guarded."""
        return self.status.state == status.GUARDED

    @property
    def fix(self) -> str:
        """What to type, "" if all is well."""
        if (
            self.status.why in (status.NO_KEY, status.UNUSABLE_KEY)
            and self.status.policy is not None
        ):
            return shells.export(self.status.policy.default_provider.key_env)
        return "routeguard doctor --offline" if self.status.why else ""


def read_head(context: Context) -> Head:
    """The first screen for `context`."""
    found = status.read_status(context.given, context.cwd, system=context.system)
    by = _by(found)
    verdict = f"{found.state}{f' by {by}' if by and found.state == status.GUARDED else ''}"
    bad = "broken" if found.state != status.GUARDED else "warning" if found.why else "ok"
    rows = [HeadRow("launches", f"{verdict}: {found.why}" if found.why else verdict, bad)]
    document: dict[str, Any] = {
        "state": found.state,
        "guarded": found.state == status.GUARDED,
        "why": found.why,
        "by": list(found.by),
        "hook": {"shell": found.shell},
        "short": status.line(found, plain=True),
        "agents": [],
    }
    for agent in present(found.policy or CompiledPolicy(), context.program):
        program = context.program(agent)
        starts = typed(agent.names[0], context.given)
        shim = bool(starts) and is_shim(starts)
        document["agents"].append(
            {"id": agent.id, "program": program, "on_path": starts, "shim": shim}
        )
        text = f"{program}{', through a shim' if shim else ''}" if program else "not on PATH"
        rows.append(HeadRow(typed_name(agent.id, program), text))
    if found.policy is None:
        assert found.error is not None
        document["policy"] = {"valid": False, "error": found.error.what, "layers": []}
        where = f" ({found.error.where})" if found.error.where else ""
        rows.append(HeadRow("policy", f"{found.error.what}{where}", "broken"))
        return Head(found, tuple(rows), document)
    policy = found.policy
    layers = [{"layer": layer, "path": path} for layer, path in policy.layers]
    shown = ", ".join(f"{layer} {path}" for layer, path in policy.layers)
    rows.append(HeadRow("policy", shown or "built in (no file)"))
    document["policy"] = {"valid": True, "error": "", "layers": layers}
    rows.append(HeadRow("gateway", f"{policy.base_url}, model {policy.default_model}"))
    document["gateway"] = {"base_url": policy.base_url, "model": policy.default_model}
    entry = policy.default_provider
    source = status.key_source(entry, context.environ)
    missing = f"{entry.key_env} {key_fault(entry, context.environ)}"
    rows.append(
        HeadRow("key", f"from {source}" if source else missing, "ok" if source else "warning")
    )
    document["key"] = {"present": bool(source), "source": source}
    rows.append(_proxies(context, document))
    return Head(found, tuple(rows), document)


def _by(found: status.Status) -> str:
    words = {"hook": f"the hook of {found.shell}" if found.shell else "the hook", "shims": "shims"}
    return " and ".join(words[one] for one in found.by)


def _proxies(context: Context, document: dict[str, Any]) -> HeadRow:
    """What a launch would find: see `glance`."""
    document["proxies"] = []
    try:
        found = glance(context.policy, context.environ, context.now, write=False)
    except (SocketsUnreadableError, GuardError) as error:
        document["proxies"] = None
        return HeadRow("proxies", f"cannot be listed: {error}", "warning")
    document["proxies"] = [{"port": one.port, "name": one.name} for one in found]
    if not found:
        return HeadRow("proxies", "none listens that the policy forbids")
    listed = ", ".join(f"{one.name or 'unknown'} on {address(one)}" for one in found)
    refused = context.policy.proxies_action == "refuse"
    told = f"{listed}; launches are refused" if refused else listed
    return HeadRow("proxies", told, "broken" if refused else "warning")
