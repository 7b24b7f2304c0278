"""The proof of the route on this machine: canary keys, loopback servers, the real agent.

The agent runs twice in throw-away surroundings. Once bare, to show that what follows could see a
leak; once through the guard, started exactly as a shell wrapper starts it. The only way out is a
recording proxy that lets nobody through, and the gateway is a recorder too, so no run reaches
any network. What arrived anywhere, what was printed and what was written is searched for the
canaries. Not on the hot path.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from guard.agents import proved
from guard.agents.adapter import ENDPOINTS
from guard.agents.binary import NO_VERSION, parse_version
from guard.agents.registry import AGENTS
from guard.errors import PolicyError, counted, printable
from guard.launch.loopback_gateway import LoopbackGateway
from guard.launch.proof import child
from guard.launch.proof.canary import plant
from guard.launch.proof.stage import HOSTILE, KEY, MODEL, SMALL_MODEL, AgentRun, ProofHome, Stage
from guard.launch.recorder import RecordingProxy
from guard.policy import cache
from guard.policy.values import CompiledPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.agents.adapter import Agent

PROMPT = "Reply with one word."
TIMEOUT = 180.0
"""Seconds that a run may take."""


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

    def first_on_path(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`environ` with the directory of this binary in front of its PATH."""
        search = (os.path.dirname(self.path), environ.get("PATH", os.defpath))
        return {**environ, "PATH": os.pathsep.join(search)}

    def line(self, policy: CompiledPolicy) -> str:
        """A line that identifies this binary under `policy`. Raises GuardError."""
        return proved.line_of(self.path, parse_version(self.version), policy)


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


def prove(
    binary: Binary,
    environ: Mapping[str, str],
    root: str,
    *,
    timeout: float,
    control: bool,
    say: Callable[[str], None],
    thorough: bool = True,
    launch: Sequence[str] | None = None,
    like: CompiledPolicy | None = None,
) -> Proof:
    """Run `binary` bare (if `control`) and guarded under `root`, `timeout` seconds each at most.

    The guarded run ends with the agent, the bare one once a key has left. If not `thorough`, both
    end when anybody but the gateway was asked for: of the one it shows that a leak would be seen,
    and the other has failed, whatever comes after it. An agent whose key is refused or that gets no
    answer may try again for half a minute.
    `launch` are the words that start the guarded agent, by default those of a shell wrapper;
    `like` is the policy whose launches are proved.
    Raises PolicyError where a policy of the system keeps the loopback gateway from standing in
    for the real one.
    """
    environ = binary.first_on_path(environ)
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
                enough = unguarded.leaked if thorough else _asked(other_proxy)
                bare_run = unguarded.run(bare_launch(binary), place, enough=enough)
        say("guarded: the agent through the guard")
        started_by = launch or guarded_launch(binary.name)
        run = stage.run(
            [*started_by, *agent.one_call(PROMPT, "")],
            guarded_place,
            enough=None if thorough else _asked(proxy),
        )
        checks = [_judge_control(bare_run)] if bare_run else []
        checks += judge_run(stage, run, word)
    return Proof(binary, bare_run, run, tuple(checks), line)


def _asked(proxy: RecordingProxy) -> Callable[[], bool]:
    """What says whether `proxy` was asked for anybody."""
    return lambda: bool(proxy.asked())


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
    apart = [
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
    if run.ended.cut_short:  # it had no time to answer
        return apart
    return [_judge_answer(stage, run, word), _judge_calls(stage, run), *apart]


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
