"""Where an agent is run for a proof: a home and a project of its own, servers, canary keys.

What arrived anywhere, what was printed and what was written is searched for the canaries. Not on
the hot path.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.agents.registry import default_agent
from guard.errors import printable
from guard.findings import mask
from guard.launch.loopback_gateway import LoopbackGateway
from guard.launch.proof import child
from guard.launch.proof.canary import CanarySearch
from guard.launch.recorder import HOST, RecordingProxy, destination
from guard.policy.values import CompiledPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from guard.agents.adapter import Agent
    from guard.launch.recorder import Request

KEY = "PORTKEY_API_KEY"
MODEL, SMALL_MODEL = "verify-answer", "verify-title"

FOREIGN_BASE_URL = {"ANTHROPIC_BASE_URL": "http://api.anthropic.invalid/v1"}
"""Where a bare agent takes its key in plain sight of the proxy, so that the control shows more
than a host name. `.invalid` never resolves (RFC 2606): the key could not leave by another way."""

HOSTILE = "hostile.invalid"
"""The host to which the project of a proof tries to move the route; it never resolves."""

_KEPT = ("LANG", "LC_ALL", "LOGNAME", "PATH", "TERM", "USER")
"""What the throw-away surroundings take over from the caller's environment: no key among it."""

_TAIL = 4
"""Lines of an output that are shown."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_POLICY = """\
[gateway]
base_url = "{base_url}"
{way}key = {{ env = "{key}" }}
default = "portkey/{model}"
small = "portkey/{small}"

[gateway.providers.portkey]
name = "Portkey"
models = ["{model}", "{small}"]

{agent}[proxies]
action = "flag"    # what else listens here is for each launch to judge, not for this proof

[[exception]]
subject = "{proxy}"
reason = "the recording proxy of routeguard verify"
until = {until}
"""


@dataclass(frozen=True, slots=True)
class Contact:
    """A host the agent asked the proxy for, how often, and the canaries the proxy saw then."""

    host: str
    calls: int
    carried: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentRun:
    """What one run of the agent did. `found` are (canary name, place) pairs."""

    ended: child.Ended
    gateway: tuple[Request, ...]
    contacts: tuple[Contact, ...]
    found: tuple[tuple[str, str], ...]
    environ_seen: bool

    def as_dict(self) -> dict[str, Any]:
        """The run as the JSON output carries it."""
        return {
            "exit_status": self.ended.status,
            "timed_out": self.ended.timed_out,
            "seconds": round(self.ended.seconds, 1),
            "gateway_calls": len(self.gateway),
            "contacts": [
                {"host": contact.host, "calls": contact.calls, "keys_seen": list(contact.carried)}
                for contact in self.contacts
            ],
            "keys_found": [{"key": name, "where": where} for name, where in self.found],
        }


class ProofHome:
    """A home, a project and a temporary directory that nobody else uses, and the environment."""

    def __init__(self, root: str, environ: Mapping[str, str]) -> None:
        self.root = Path(root)
        self.home = self.root / "home"
        self.project = self.root / "project"
        for folder in ("home", "project", "tmp"):
            (self.root / folder).mkdir(parents=True)
        self.environ = {name: environ[name] for name in _KEPT if name in environ} | {
            "HOME": str(self.home),
            "TMPDIR": str(self.root / "tmp"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "XDG_STATE_HOME": str(self.home / ".local" / "state"),
        }

    def make_repository(self) -> None:
        """Make the project a git repository, so that nothing above it counts as project."""
        with contextlib.suppress(OSError):
            subprocess.run(
                ["git", "init", "-q", str(self.project)],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=30,
            )


@dataclass
class Stage:
    """The servers and keys of a proof, and how a run on them is recorded."""

    gateway: LoopbackGateway
    proxy: RecordingProxy
    direct: Mapping[str, str]
    timeout: float
    agent: Agent = field(default_factory=default_agent)
    like: CompiledPolicy = field(default_factory=CompiledPolicy)
    """The policy whose launches are proved: its certificates count, its proxy is the recorder."""
    hostile: Mapping[str, str] = field(default_factory=dict)
    """Files of the project, by relative path."""
    _search: CanarySearch = field(init=False)

    def __post_init__(self) -> None:
        self._search = CanarySearch({**self.direct, KEY: self.gateway.key})

    def surroundings(self, root: str, environ: Mapping[str, str]) -> ProofHome:
        """Fresh surroundings under `root` with the keys, the proxy and a policy for the gateway."""
        place = ProofHome(root, environ)
        place.make_repository()
        place.environ |= {
            **self.direct,
            **FOREIGN_BASE_URL,
            KEY: self.gateway.key,
            "HTTP_PROXY": self.proxy.url,
            "HTTPS_PROXY": self.proxy.url,
        }
        policy = place.home / ".config" / "routeguard" / "policy.toml"
        policy.parent.mkdir(parents=True, mode=0o700)
        way = [f'ca = "{self.like.gateway_ca}"\n'] if self.like.gateway_ca else []
        way += [f'proxy = "{self.proxy.url}"\n'] if self.like.gateway_proxy else []
        text = _POLICY.format(
            base_url=f"{self.gateway.url}/v1",
            way="".join(way),
            key=KEY,
            model=MODEL,
            small=SMALL_MODEL,
            agent=self.agent.proof_policy(MODEL, SMALL_MODEL),
            proxy=self.proxy_subject,
            until=datetime.date.today() + datetime.timedelta(days=2),
        )
        policy.write_text(text)
        policy.chmod(0o600)
        for name, content in self.hostile.items():
            file = place.project / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return place

    @property
    def proxy_subject(self) -> str:
        """The recording proxy as a policy exception names it."""
        return f"proxy:{HOST}:{self.proxy.port}"

    def run(
        self,
        argv: Sequence[str],
        place: ProofHome,
        *,
        enough: Callable[[], bool] | None = None,
    ) -> AgentRun:
        """Run `argv` in `place` and gather what it did; it is ended once `enough` says so.

        Some agents ask again and again where they are refused.
        """
        pids: list[int] = []
        environs: list[bytes] = []

        def look(_: Request) -> None:
            with contextlib.suppress(OSError, IndexError):
                environs.append(Path(f"/proc/{pids[0]}/environ").read_bytes())

        self.gateway.watchers.append(look)
        try:
            ended = child.run(
                argv,
                environ=place.environ,
                cwd=str(place.project),
                timeout=self.timeout,
                started=pids.append,
                enough=enough,
            )
        finally:
            self.gateway.watchers.remove(look)
        # what it sent last counts, too
        self.gateway.settle()
        self.proxy.settle()
        return AgentRun(
            ended=ended,
            gateway=tuple(self.gateway.requests),
            contacts=tuple(self._contacts()),
            found=tuple(sorted(set(self._found(place, ended, environs)))),
            environ_seen=bool(environs),
        )

    def leaked(self) -> bool:
        """Whether a key has left."""
        return any(
            self._search.found(form) for request in self.proxy.requests for form in request.forms()
        )

    def _contacts(self) -> Iterator[Contact]:
        for host, calls in Counter(self.proxy.asked()).items():
            carried: set[str] = set()
            for request in self.proxy.requests:
                if destination(request) == host:
                    carried.update(*map(self._search.found, request.forms()))
            yield Contact(host, calls, tuple(sorted(carried)))

    def _found(
        self, place: ProofHome, ended: child.Ended, environs: list[bytes]
    ) -> Iterator[tuple[str, str]]:
        for request in self.proxy.requests:
            for form in request.forms():
                for name in self._search.found(form):
                    yield name, f"sent to {destination(request)}"
        for request in self.gateway.requests:
            for form in request.forms():
                for name in self._search.found(without_key(form, self.gateway.key)):
                    yield name, "sent to the gateway outside x-portkey-api-key"
        for data, where in ((ended.out, "printed on stdout"), (ended.err, "printed on stderr")):
            for name in self._search.found(data):
                yield name, where
        for environ in environs:
            for name in self._search.found(environ):
                # the gateway's key is where it belongs: the agent authenticates with it
                if name != KEY:
                    yield name, "in the environment of the agent"
        for name, path in self._search.found_under(str(place.root)):
            yield name, f"written to {os.path.relpath(path, place.root)}"

    def tail(self, data: bytes) -> str:
        """The last lines of an output, fit to be shown: one line, canaries masked."""
        text = _COLOUR.sub("", data.decode(errors="replace"))
        for value in (*self.direct.values(), self.gateway.key):
            text = text.replace(value, mask(value))
        kept = [line.strip() for line in text.splitlines() if line.strip()][-_TAIL:]
        return printable(" / ".join(kept))


def without_key(request: bytes, key: str) -> bytes:
    """`request` without the value of its `x-portkey-api-key` header, if that is `key`."""
    head, separator, body = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for index, line in enumerate(lines):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"x-portkey-api-key" and value.strip() == key.encode():
            lines[index] = name + b":"
    return b"\r\n".join(lines) + separator + body


@contextlib.contextmanager
def throw_away(keep: bool) -> Iterator[str]:
    """A directory for a proof; removed afterwards unless it is to be kept."""
    root = tempfile.mkdtemp(prefix="routeguard-verify-")
    try:
        yield root
    finally:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
