"""The proof of the route on this machine: canary keys, loopback servers, the real agent.

The agent runs twice in throw-away surroundings. Once bare, to show that what follows could see a
leak; once through the guard, started exactly as a shell wrapper starts it. The only way out is a
recording proxy that lets nobody through, and the gateway is a recorder too, so no run reaches
any network. What arrived anywhere, what was printed and what was written is searched for the
canaries. Not on the hot path.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from guard.agents import proved
from guard.agents.adapter import ENDPOINTS
from guard.agents.binary import NO_VERSION, parse_version
from guard.agents.registry import AGENTS, default_agent
from guard.errors import PolicyError, counted, printable
from guard.findings import mask
from guard.launch.proof import child
from guard.launch.proof.canary import CanarySearch, plant
from guard.launch.recorder import HOST, LoopbackGateway, RecordingProxy, destination
from guard.policy import cache
from guard.policy.values import CompiledPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from guard.agents.adapter import Agent
    from guard.launch.recorder import Request

PROMPT = "Reply with one word."
KEY = "PORTKEY_API_KEY"
MODEL, SMALL_MODEL = "verify-answer", "verify-title"

FOREIGN_BASE_URL = {"ANTHROPIC_BASE_URL": "http://api.anthropic.invalid/v1"}
"""Where a bare agent takes its key in plain sight of the proxy, so that the control shows more
than a host name. `.invalid` never resolves (RFC 2606): the key could not leave by another way."""

HOSTILE = "hostile.invalid"
"""The host to which the project of a proof tries to move the route; it never resolves."""

TIMEOUT = 60.0
"""Seconds that a run may take."""

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
class Binary:
    """The binary of `agent` that is run, and the version it says it is."""

    agent: Agent
    path: str
    version: str

    @property
    def name(self) -> str:
        """The name it is started by: its file's name if that is one of the agent's names."""
        name = os.path.basename(self.path)
        return name if name in self.agent.names else self.agent.names[0]

    def line(self, policy: CompiledPolicy) -> str:
        """A line that identifies this binary under `policy`. Raises GuardError."""
        return proved.line_of(self.path, parse_version(self.version), policy)


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


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the proof and whether it held."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Proof:
    """Both runs and what they prove."""

    binary: Binary
    control: AgentRun | None
    guarded: AgentRun
    checks: tuple[Statement, ...]
    line: str
    """What was on trial, as `guard.agents.proved` writes it down."""

    @property
    def passed(self) -> bool:
        """Whether every statement held."""
        return all(check.ok for check in self.checks)

    def remember(self, environ: Mapping[str, str], policy: CompiledPolicy) -> None:
        """Write down for later launches under `policy` that the binary proved its route, if it did.

        Without a control it did not: nothing would show that a leak had been seen. Nor did a binary
        that was replaced in the meantime. Raises OSError and GuardError.
        """
        if self.passed and self.control is not None and self.binary.line(policy) == self.line:
            proved.remember(self.line, environ)

    def as_dict(self) -> dict[str, Any]:
        """The proof as the JSON output carries it."""
        return {
            "schema_version": 1,
            "passed": self.passed,
            "agent": {
                "id": self.binary.agent.id,
                "path": self.binary.path,
                "version": self.binary.version,
            },
            "control": self.control.as_dict() if self.control else None,
            "guarded": self.guarded.as_dict(),
            "checks": [
                {"name": check.name, "ok": check.ok, "detail": check.detail}
                for check in self.checks
            ],
        }


def guarded_launch(name: str = AGENTS[0].names[0]) -> list[str]:
    """The words by which a shell wrapper starts the agent called `name`."""
    import guard

    main = os.path.join(os.path.dirname(os.path.abspath(guard.__file__)), "__main__.py")
    return [sys.executable, "-I", "-S", main, "exec", "--", name]


def version_of(binary: str, environ: Mapping[str, str]) -> str:
    """The version that the agent at `binary` says it is, "" if it does not say.

    Some print `1.18.33`, some `NAME v2.0.10`, some `2.1.332 (NAME)`.
    """
    with tempfile.TemporaryDirectory(prefix="routeguard-verify-") as folder:
        place = ProofHome(folder, environ)
        try:
            ended = child.run(
                [binary, "--version"], environ=place.environ, cwd=str(place.project), timeout=30
            )
        except OSError:
            return ""
    found = parse_version(ended.out.decode(errors="replace")) if ended.status == 0 else NO_VERSION
    return ".".join(map(str, found)) if found != NO_VERSION else ""


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
        to_leak: bool = False,
        enough: Callable[[], bool] | None = None,
    ) -> AgentRun:
        """Run `argv` in `place` and gather what it did; `to_leak` ends it once a key has left, and
        so does `enough`.

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
                enough=self._leaked if to_leak else enough,
            )
        finally:
            self.gateway.watchers.remove(look)
        return AgentRun(
            ended=ended,
            gateway=tuple(self.gateway.requests),
            contacts=tuple(self._contacts()),
            found=tuple(sorted(set(self._found(place, ended, environs)))),
            environ_seen=bool(environs),
        )

    def _leaked(self) -> bool:
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


def prove(
    binary: Binary,
    environ: Mapping[str, str],
    root: str,
    *,
    timeout: float,
    control: bool,
    say: Callable[[str], None],
    launch: Sequence[str] | None = None,
    like: CompiledPolicy | None = None,
) -> Proof:
    """Run `binary` bare (if `control`) and guarded under `root`, `timeout` seconds each at most.

    `launch` are the words that start the guarded agent, by default those of a shell wrapper;
    `like` is the policy whose launches are proved.
    Raises PolicyError where a policy of the system keeps the loopback gateway from standing in
    for the real one.
    """
    search = os.pathsep.join((os.path.dirname(binary.path), environ.get("PATH", os.defpath)))
    environ = {**environ, "PATH": search}
    word = f"answer{secrets.token_hex(8)}"
    key = plant((KEY,))[KEY]
    with LoopbackGateway(key, word) as gateway, RecordingProxy() as proxy:
        agent = binary.agent
        policy = like or CompiledPolicy()
        line = binary.line(policy)
        release = agent.of_release(agent.one_call(PROMPT, ""), binary.path, environ)
        hostile = release.hostile_project(HOSTILE)
        stage = Stage(gateway, proxy, plant(), timeout, agent, policy, hostile)
        guarded_place = stage.surroundings(os.path.join(root, "guarded"), environ)
        stand_in = _require_stand_in(stage, guarded_place)
        # on trial: a release that starts only once it is proved has to start here
        proved.remember(binary.line(stand_in), guarded_place.environ)
        bare_run = None
        if control:
            say("control: the agent without the guard")
            # on servers of its own: what comes late of it is not the guarded one's
            with LoopbackGateway(key, word) as other_gateway, RecordingProxy() as other_proxy:
                unguarded = replace(stage, gateway=other_gateway, proxy=other_proxy)
                place = unguarded.surroundings(os.path.join(root, "control"), environ)
                bare_run = unguarded.run(bare_launch(binary), place, to_leak=True)
        say("guarded: the agent through the guard")
        started_by = launch or guarded_launch(binary.name)
        run = stage.run([*started_by, *agent.one_call(PROMPT, "")], guarded_place)
        checks = [_judge_control(bare_run)] if bare_run else []
        checks += judge_run(stage, run, word)
    return Proof(binary, bare_run, run, tuple(checks), line)


def bare_launch(binary: Binary) -> list[str]:
    """The words that start `binary` without the guard."""
    return [binary.path, *binary.agent.one_call(PROMPT, binary.version)]


def _require_stand_in(stage: Stage, place: ProofHome) -> CompiledPolicy:
    """The policy that will apply. Raises PolicyError unless it leads to the loopback gateway."""
    policy = cache.load(str(place.project), place.environ)
    system = ", ".join(path for layer, path in policy.layers if layer == "system")
    why = ""
    if policy.base_url != f"{stage.gateway.url}/v1":
        why = f"it sets the gateway to {policy.base_url}, and a user's policy may not replace that"
    elif policy.default_provider.key_env != KEY:
        why = f"it takes the key from elsewhere than {KEY}: a real key would be used"
    elif policy.excepted(stage.proxy_subject) is None:
        why = "it refuses a user's exceptions, and the recording proxy needs one"
    elif policy.gateway_proxy not in ("", stage.proxy.url):
        why = "its gateway.proxy takes every connection past the recording proxy"
    if why:
        raise PolicyError(
            "cannot prove the route here: the system policy does not let a loopback gateway stand "
            "in for yours",
            where=system,
            why=why,
            fix="run it on a machine or in a container without that policy; here, "
            "`routeguard explain` shows the route of a launch without proving it",
        )
    return policy


def _judge_control(run: AgentRun) -> Statement:
    keys = sorted({name for name, where in run.found if where.startswith("sent to ")})
    if not run.contacts:
        return Statement(
            "the proof can see a leak",
            False,
            "the agent contacted nobody even without the guard, so its silence with "
            "the guard would prove nothing",
        )
    detail = f"without the guard it contacted {len(run.contacts)} other hosts"
    if keys:
        detail += f" and sent {', '.join(keys)}"
    return Statement("the proof can see a leak", True, detail)


def judge_run(stage: Stage, run: AgentRun, word: str) -> list[Statement]:
    """What a guarded run proves: one check per statement.

    `word` is what the gateway answered, `endpoint` the path at which it had to be asked.
    """
    return [
        _judge_answer(stage, run, word),
        _judge_calls(stage, run),
        Statement(
            "nobody else was contacted",
            not run.contacts,
            ", ".join(contact.host for contact in run.contacts)
            or "the proxy was asked for no host",
        ),
        Statement(
            "no key left its place",
            not run.found,
            "; ".join(f"{name} {where}" for name, where in run.found)
            or "none in what was sent, printed or written"
            + ("" if run.environ_seen else " (the agent's environment could not be read here)"),
        ),
    ]


def _judge_answer(stage: Stage, run: AgentRun, word: str) -> Statement:
    name = "the agent answered through the gateway"
    ended = run.ended
    if ended.timed_out:
        return Statement(name, False, f"it was still running after {stage.timeout:g} s")
    if ended.status != 0:
        return Statement(name, False, f"exit status {ended.status}: {stage.tail(ended.err)}")
    if word.encode() not in ended.out:
        return Statement(name, False, f"it printed something else: {stage.tail(ended.out)}")
    return Statement(name, True, "exit status 0 and the words of the gateway")


def _judge_calls(stage: Stage, run: AgentRun) -> Statement:
    endpoint = ENDPOINTS[stage.agent.wire]
    name = "the gateway received a correct call"
    wrong = []
    if not run.gateway:
        wrong.append("it received none")
    for request in run.gateway:
        if request.header("x-portkey-api-key") != stage.gateway.key:
            wrong.append(f"{request.target} without the gateway key in x-portkey-api-key")
        if request.header("authorization") not in ("", stage.agent.authorization):
            wrong.append(f"{request.target} with an Authorization header, which is a provider's")
        if request.path != endpoint:
            wrong.append(f"a request for {request.target}")
    models = {request.model for request in run.gateway}
    if run.gateway and MODEL not in models:
        wrong.append("no call for the model of the policy")
    if unknown := models - {MODEL, SMALL_MODEL}:
        wrong.append(f"calls for other models: {', '.join(sorted(unknown))}")
    if wrong:
        return Statement(name, False, printable("; ".join(dict.fromkeys(wrong))))
    return Statement(
        name, True, f"{counted(len(run.gateway), 'call')}, with the gateway key and no other"
    )


@contextlib.contextmanager
def ended_with_us() -> Iterator[None]:
    """While it holds, a signal that ends us is an exception, so children and directories go too."""

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        # ignored means that somebody, nohup for one, wants us to go on
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def throw_away(keep: bool) -> Iterator[str]:
    """A directory for a proof; removed afterwards unless it is to be kept."""
    root = tempfile.mkdtemp(prefix="routeguard-verify-")
    try:
        yield root
    finally:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
