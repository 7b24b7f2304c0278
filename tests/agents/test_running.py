"""Which agents run: recognised from outside, judged by what they were started with."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from guard.agents import connected, guarded, running
from guard.agents.guarded import AgentProcess, judge_process
from guard.agents.opencode import planner
from guard.agents.opencode.adapter import AGENT
from guard.agents.opencode.inside import unpinned
from guard.agents.opencode.variables import SWITCHES
from guard.agents.running import Follower, Running, Table, find_running, finding
from guard.catalog.agents import Agent, Recognised, agents
from guard.catalog.programs import Program
from guard.paths import LAUNCH_MARKER
from guard.policy.values import CompiledPolicy, PolicyException
from guard.sources.processes import Snapshot

NOW = 1_700_000_000.0
KEY = "pk-canary0123456789"
CANARY = "sk-canary-0123456789abcdefghij"
PID = 4242
UID = 1000
BARE = {"HOME": "/home/u", "PATH": "/usr/bin:/bin"}

OPENCODE, GEMINI = (
    next(a for a in agents() if a.id == wanted) for wanted in ("opencode", "gemini-cli")
)


def seen(
    environ: Mapping[str, str] | None,
    *,
    uid: int = UID,
    exe: str = "/opt/agent",
    parents: tuple[tuple[int, str], ...] = (),
) -> AgentProcess:
    return AgentProcess(
        pid=PID,
        parent=1,
        started=1,
        since=NOW,
        uid=uid,
        exe=exe,
        argv=("agent",),
        environ=environ,
        parents=parents,
    )


@pytest.fixture
def pinned(tmp_path: Path, policy: CompiledPolicy) -> dict[str, str]:
    """The environment of a guarded launch, as the planner makes it, with its marker."""
    home, project = tmp_path / "home", tmp_path / "project"
    program = tmp_path / "opencode-ai/bin/opencode.exe"
    for folder in (home, project / ".git", program.parent):
        folder.mkdir(parents=True)
    (program.parent.parent / "package.json").write_text(
        json.dumps({"name": "opencode-ai", "version": "1.18.33"})
    )
    environ = {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "PWD": str(project),
        "PORTKEY_API_KEY": KEY,
        "OPENROUTER_GATEWAY_KEY": KEY,
        "OPENAI_API_KEY": CANARY,
        "AWS_PROFILE": "work",
    }
    facts = planner.survey(["run", "hi"], environ, str(program), str(project), write=False)
    plan = AGENT.plan(policy, facts, str(program), NOW)
    assert plan.forbidden_by == []
    assert plan.guarded
    return {**plan.environ, LAUNCH_MARKER: f"{PID}:1:{program}"}


def verdict(
    environ: Mapping[str, str] | None,
    policy: CompiledPolicy,
    *,
    agent: Agent = OPENCODE,
    above: tuple[tuple[int, str], ...] = (),
    uid: int = UID,
    exe: str = "/opt/agent",
) -> tuple[str, str, int]:
    return judge_process(agent, seen(environ, uid=uid, exe=exe, parents=above), policy, NOW, UID)


def test_a_guarded_launch(pinned: dict[str, str], policy: CompiledPolicy) -> None:
    state, how, launch = verdict(pinned, policy)
    assert (state, launch) == (guarded.GUARDED, PID)
    assert how == f"its environment holds the pinned configuration of its own launch ({PID})"


def test_one_below_a_guarded_launch_has_its_configuration(
    pinned: dict[str, str], policy: CompiledPolicy
) -> None:
    pinned[LAUNCH_MARKER] = "77:1:/usr/bin/opencode"
    state, how, launch = verdict(pinned, policy, above=((90, "bash"), (77, "opencode")))
    assert (state, launch) == (guarded.INHERITED, 77)
    assert "launch 77, which is above it" in how
    assert "its own arguments were not planned" in how
    _, how, _ = verdict(pinned, policy, above=((1, "init"),))
    assert "launch 77, which is no longer above it" in how


def test_a_marker_alone_guards_nothing(pinned: dict[str, str], policy: CompiledPolicy) -> None:
    state, how, _ = verdict(
        {**BARE, LAUNCH_MARKER: pinned[LAUNCH_MARKER]}, policy, above=((77, "x"),)
    )
    assert state == guarded.UNGUARDED
    assert "was not planned: nothing is pinned" in how
    for damaged in ("", "x:1:/a", f"{PID}", f"{PID}:1:", f"{PID}:x:/a", "²:1:/a"):
        state, how, launch = verdict({**pinned, LAUNCH_MARKER: damaged}, policy)
        assert (state, launch) == (guarded.UNGUARDED, 0)
        assert how == "nothing in its environment comes from a launch by routeguard"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"OPENCODE_CONFIG_CONTENT": "{"}, "not pinned by routeguard"),
        ({"OPENCODE_CONFIG_CONTENT": "[]"}, "not pinned by routeguard"),
        ({"OPENCODE_CONFIG_CONTENT": "[" * 10_000}, "not pinned by routeguard"),
        ({"OPENCODE_CONFIG_CONTENT": '{"a":' * 10_000}, "not pinned by routeguard"),
        (
            {
                "OPENCODE_CONFIG_CONTENT": '{"enabled_providers":[],"provider":{},"plugin":[],'
                '"disabled_providers":5}'
            },
            "not pinned by routeguard",
        ),
        (
            {"OPENCODE_CONFIG_CONTENT": '{"enabled_providers":["portkey"]}'},
            "not pinned by routeguard",
        ),
        ({"XDG_CONFIG_HOME": "/home/u/.config"}, "config home"),
        ({"OPENCODE_TEST_HOME": "/home/u"}, "~/.opencode"),
        ({next(iter(SWITCHES)): "0"}, next(iter(SWITCHES))),
    ],
)
def test_what_undoes_the_pin(
    pinned: dict[str, str], policy: CompiledPolicy, change: dict[str, str], why: str
) -> None:
    assert unpinned(pinned, policy) == ""
    state, how, _ = verdict({**pinned, **change}, policy)
    assert state == guarded.UNGUARDED
    assert why in how


def test_providers_that_are_not_ours(pinned: dict[str, str], policy: CompiledPolicy) -> None:
    content = json.loads(pinned["OPENCODE_CONFIG_CONTENT"])
    content["enabled_providers"].append("anthropic")
    content["provider"]["anthropic"] = {"options": {"baseURL": policy.base_url}}
    pinned["OPENCODE_CONFIG_CONTENT"] = json.dumps(content)
    assert "providers that are not the gateway's" in unpinned(pinned, policy)


def test_a_plugin_in_the_inline_configuration(
    pinned: dict[str, str], policy: CompiledPolicy
) -> None:
    content = json.loads(pinned["OPENCODE_CONFIG_CONTENT"])
    content["plugin"] = ["file:///tmp/evil.js"]
    pinned["OPENCODE_CONFIG_CONTENT"] = json.dumps(content)
    assert "not pinned by routeguard" in unpinned(pinned, policy)


def test_the_gateway_of_yesterdays_policy(pinned: dict[str, str], policy: CompiledPolicy) -> None:
    policy.base_url = "https://gateway.example.com/v1"
    state, how, _ = verdict(pinned, policy)
    assert state == guarded.UNGUARDED
    assert "pinned to api.portkey.ai, which is not the gateway of the policy" in how


def test_a_direct_key_that_was_put_back(pinned: dict[str, str], policy: CompiledPolicy) -> None:
    pinned["OPENAI_API_KEY"] = CANARY
    state, how, _ = verdict(pinned, policy)
    assert state == guarded.UNGUARDED
    assert how == f"it belongs to its own launch ({PID}), but holds OPENAI_API_KEY"
    policy.exceptions = (PolicyException(subject="env:OPENAI_API_KEY", reason="x", until=NOW + 9),)
    assert verdict(pinned, policy)[0] == guarded.GUARDED


@pytest.mark.parametrize("name", ["OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR", "BUN_OPTIONS"])
def test_what_brings_other_code_past_the_pin(
    pinned: dict[str, str], policy: CompiledPolicy, name: str
) -> None:
    pinned[name] = CANARY
    state, how, _ = verdict(pinned, policy, above=((77, "x"),))
    assert state == guarded.UNGUARDED
    assert how == f"it belongs to its own launch ({PID}), but holds {name}, which a launch removes"
    policy.exceptions = (PolicyException(subject=f"env:{name}", reason="x", until=NOW + 9),)
    assert verdict(pinned, policy)[0] == guarded.GUARDED


def test_what_wrappers_and_the_agent_itself_set_undoes_nothing(
    pinned: dict[str, str], policy: CompiledPolicy
) -> None:
    pinned.update(NODE_PATH="/x", OPENCODE_PID="1", OPENCODE_TERMINAL="1", AGENT="1")
    assert verdict(pinned, policy)[0] == guarded.GUARDED


def test_a_launch_that_calls_no_model(tmp_path: Path, policy: CompiledPolicy) -> None:
    program = tmp_path / "opencode"
    program.touch()
    environ = {**BARE, **SWITCHES, LAUNCH_MARKER: f"{PID}:1:{program}"}
    state, how, _ = verdict(environ, policy, exe=str(program))
    assert state == guarded.GUARDED
    assert "without a gateway key" in how
    # with the key in it, or as another program than the one that was launched, it is not
    assert verdict({**environ, "PORTKEY_API_KEY": KEY}, policy, exe=str(program))[0] == "unguarded"
    assert verdict(environ, policy, exe="/usr/bin/other")[0] == guarded.UNGUARDED
    environ[LAUNCH_MARKER] = f"77:1:{program}"
    assert verdict(environ, policy, exe=str(program), above=((77, "x"),))[0] == guarded.UNGUARDED


def test_agents_that_no_launch_plans(policy: CompiledPolicy) -> None:
    environ = {**BARE, LAUNCH_MARKER: f"{PID}:1:/usr/bin/gemini"}
    state, how, launch = verdict(environ, policy, agent=GEMINI)
    assert (state, launch) == (guarded.CLEANED, PID)
    assert "nothing pins the configuration of Gemini CLI" in how
    # what a launch of it sets is no key
    environ.update(GEMINI.sets)
    state, how, _ = verdict(environ, policy, agent=GEMINI)
    assert state == guarded.CLEANED, how
    environ["ANTHROPIC_API_KEY"] = CANARY
    state, how, _ = verdict(environ, policy, agent=GEMINI)
    assert state == guarded.UNGUARDED
    assert "ANTHROPIC_API_KEY" in how
    state, how, _ = verdict({**BARE, "ANTHROPIC_API_KEY": CANARY}, policy, agent=GEMINI)
    assert state == guarded.UNGUARDED
    assert "; it holds ANTHROPIC_API_KEY" in how
    assert CANARY not in how


def test_an_agent_that_the_policy_leaves_out_is_not_judged(policy: CompiledPolicy) -> None:
    environ = {**BARE, "OPENAI_API_KEY": CANARY}
    assert verdict(environ, policy)[0] == guarded.UNGUARDED
    policy.unguarded = ("opencode",)
    state, how, _ = verdict(environ, policy)
    assert (state, how) == (guarded.UNKNOWN, "your policy leaves it out ([agents] guard)")


def test_what_cannot_be_seen_is_unknown(pinned: dict[str, str], policy: CompiledPolicy) -> None:
    assert verdict(pinned, policy, uid=UID + 1)[:1] == (guarded.UNKNOWN,)
    assert "another user" in verdict(None, policy, uid=0)[1]
    assert verdict(None, policy)[0] == guarded.UNKNOWN
    assert verdict({}, policy)[0] == guarded.UNKNOWN


def test_the_finding_is_about_unguarded_ones_alone() -> None:
    def one(state: str, agent: str = "opencode", program: str = "/opt/bin/gemini") -> Running:
        return Running(
            pid=7, started=1, since=NOW, uid=UID, user="u", agent=agent, name="Gemini CLI",
            recognised="program x", program=program, state=state, how="because",
        )  # fmt: skip

    for state in (guarded.GUARDED, guarded.INHERITED, guarded.UNKNOWN):
        assert finding(one(state)) is None
    cleaned = finding(one(guarded.CLEANED, "gemini-cli"))
    assert cleaned is not None
    assert (cleaned.rule, cleaned.severity) == ("RG405", "warning")
    said = finding(one(guarded.UNGUARDED))
    assert said is not None
    assert (said.rule, said.subject) == ("RG405", "pid:7")
    assert "routeguard exec -- opencode" in said.fix
    other = finding(one(guarded.UNGUARDED, "gemini-cli"))
    assert other is not None
    assert "routeguard explain -- gemini" in other.fix, "a start of it is refused"
    left = finding(one(guarded.UNGUARDED, "aider", "/opt/bin/aider"))
    assert left is not None
    assert "routeguard exec -- aider" in left.fix
    script = finding(one(guarded.UNGUARDED, "codex", "/opt/codex/bin/codex.js"))
    assert script is not None
    assert script.fix.endswith("routeguard exec -- codex")


# Where it is connected ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [
        ("127.0.0.1", 8787, ("gateway", "localhost")),
        ("::1", 8787, ("gateway", "localhost")),
        ("127.0.0.1", 8788, ("loopback", "")),
        ("::1", 4000, ("loopback", "")),
        ("10.1.2.3", 443, ("private network", "")),
        ("192.168.1.1", 443, ("private network", "")),
        ("100.64.0.1", 443, ("private network", "")),
        ("169.254.169.254", 80, ("private network", "")),
        ("fd00::1", 443, ("private network", "")),
        ("fe80::1", 443, ("private network", "")),
        ("1.1.1.1", 443, ("public address", "")),
        ("2606:4700::1111", 443, ("public address", "")),
        ("8.8.4.4", 443, ("provider", "api.openai.com")),
        ("nonsense", 1, ("public address", "")),
    ],
)
def test_where_a_connection_leads(address: str, port: int, expected: tuple[str, str]) -> None:
    gateway = connected.gateway_addresses("http://localhost:8787/v1")
    hosts = {"8.8.4.4": ("provider", "api.openai.com")}
    assert connected.classify_peer(address, port, gateway=gateway, hosts=hosts) == expected


def test_the_gateway_is_not_looked_up() -> None:
    assert connected.gateway_addresses("https://api.portkey.ai/v1") == {}
    assert connected.gateway_addresses("https://10.0.0.7/v1") == {("10.0.0.7", 443): "10.0.0.7"}
    assert connected.gateway_addresses("http://[::1]:9000/v1") == {("::1", 9000): "::1"}


# Real processes ----------------------------------------------------------------------------------

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program in `tmp_path` with a small environment; all are ended afterwards."""
    begun: list[subprocess.Popen[bytes]] = []

    def run(
        *argv: str, env: Mapping[str, str] | None = None, user: int | None = None
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            argv,
            user=user,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], **(env or {})},
            cwd=tmp_path if user is None else "/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        begun.append(process)
        return process

    yield run
    for process in begun:
        process.kill()
        process.communicate()


def script(path: Path, interpreter: str, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env {interpreter}\n{text}\n")
    path.chmod(0o755)
    return str(path)


def only(policy: CompiledPolicy, pid: int) -> Running:
    (found,) = find_running(policy, NOW, pids=[pid])
    return found


def eventually(policy: CompiledPolicy, pid: int) -> Running:
    """The agent once `env` has become the interpreter and the script runs."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = find_running(policy, NOW, pids=[pid])
        if found:
            return found[0]
        time.sleep(0.05)
    pytest.fail(f"process {pid} is not recognised")


@pytest.mark.parametrize(
    ("interpreter", "text"),
    [
        ("bash", "read -r line"),
        ("python3", "input()"),
        ("node", "process.stdin.resume()"),
    ],
)
def test_a_script_run_by_an_interpreter(
    start: Start,
    tmp_path: Path,
    policy: CompiledPolicy,
    interpreter: str,
    text: str,
    missing_part: Callable[[str], NoReturn],
) -> None:
    if shutil.which(interpreter) is None:
        missing_part(f"{interpreter} is not on PATH")
    program = script(tmp_path / "bin/gemini", interpreter, text)
    process = start(program, f"a prompt with {CANARY}", env={"OPENAI_API_KEY": CANARY})
    found = eventually(policy, process.pid)
    assert (found.agent, found.program) == ("gemini-cli", program)
    assert found.state == guarded.UNGUARDED
    assert [key.name for key in found.keys] == ["OPENAI_API_KEY"]
    assert found.uid == os.getuid()
    assert found.directory == str(tmp_path)
    assert found.parents[0][0] == os.getpid()
    assert abs(found.since - time.time()) < 300
    assert CANARY not in repr(found)


def test_a_title_that_overwrites_the_arguments(
    start: Start, policy: CompiledPolicy, missing_part: Callable[[str], NoReturn]
) -> None:
    if shutil.which("node") is None:
        missing_part("node is not on PATH")
    text = "process.title='claude'; console.log('set'); process.stdin.resume()"
    process = start("node", "-e", text)
    assert process.stdout is not None
    assert process.stdout.readline() == b"set\n"
    assert only(policy, process.pid).recognised == "calls itself claude"


def test_through_exec_it_is_cleaned(start: Start, tmp_path: Path, policy: CompiledPolicy) -> None:
    program = script(tmp_path / "bin/aider", "bash", "read -r line")
    main = Path(running.__file__).parents[1] / "__main__.py"
    process = start(
        sys.executable, "-I", "-S", str(main), "exec", "--", program,
        env={"ANTHROPIC_API_KEY": CANARY},
    )  # fmt: skip
    found = eventually(policy, process.pid)
    assert found.state == guarded.CLEANED, found.how
    assert found.launch == process.pid
    assert found.keys == ()


def test_a_wrapper_is_not_counted_beside_its_program(policy: CompiledPolicy) -> None:
    codex = next(a for a in agents() if a.id == "codex")
    # above what Linux gives: in a process namespace of their own, tests have small numbers
    wrapper, program_of_it = 5_000_007, 5_000_008

    class Two(Table):
        def recognise(self, pid: int) -> tuple[Program, Recognised, Snapshot]:
            script = pid == wrapper
            file = "/x/@openai/codex/bin/codex.js" if script else "/x/vendor/codex"
            program = Program((file,), file=file, interpreter="script" if script else "")
            return (
                program,
                Recognised(codex, "program"),
                Snapshot(pid, parent=1 if script else wrapper),
            )

        def read(self, found: Snapshot) -> AgentProcess:
            return AgentProcess(
                pid=found.pid, parent=found.parent, started=1, since=NOW, uid=os.getuid(),
                exe="", argv=(), environ=BARE,
            )  # fmt: skip

    for pids, left in ([wrapper, program_of_it], program_of_it), ([wrapper], wrapper):
        assert [one.pid for one in find_running(policy, NOW, pids=pids, table=Two())] == [left]


def test_a_process_that_ends_while_it_is_looked_at(
    start: Start, tmp_path: Path, policy: CompiledPolicy
) -> None:
    process = start(script(tmp_path / "gemini", "bash", "read -r line"))
    eventually(policy, process.pid)

    class Ending(Table):
        def read(self, found: Snapshot) -> AgentProcess | None:
            process.kill()
            process.wait()
            return super().read(found)

    assert find_running(policy, NOW, pids=[process.pid], table=Ending()) == []
    assert find_running(policy, NOW, pids=[process.pid]) == []


def test_a_zombie_is_no_agent(start: Start, tmp_path: Path, policy: CompiledPolicy) -> None:
    process = start(script(tmp_path / "gemini", "bash", "read -r line"))
    eventually(policy, process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert find_running(policy, NOW, pids=[process.pid]) == []


def test_connections_and_listeners(start: Start, tmp_path: Path, policy: CompiledPolicy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gateway, socket.socket() as caller:
        port = gateway.getsockname()[1]
        text = (
            "import socket, sys\n"
            f"up = socket.create_connection(('127.0.0.1', {port}))\n"
            "own = socket.create_server(('127.0.0.1', 0))\n"
            "print(own.getsockname()[1], flush=True)\n"
            "met = own.accept()\n"
            "print('met', flush=True)\n"
            "sys.stdin.read()"
        )
        process = start(script(tmp_path / "aider", "python3", text))
        assert process.stdout is not None
        own = int(process.stdout.readline())
        caller.connect(("127.0.0.1", own))
        assert process.stdout.readline() == b"met\n"
        found = only(policy, process.pid)
        assert found.listens == (("127.0.0.1", own),)
        assert found.peers is not None
        kinds = {(peer.kind, peer.port) for peer in found.peers}
        assert kinds == {("loopback", port), ("incoming", 0)}
        policy.base_url = f"http://127.0.0.1:{port}/v1"
        (found,) = find_running(policy, NOW, pids=[process.pid])
        assert found.peers is not None
        assert ("gateway", port) in {(peer.kind, peer.port) for peer in found.peers}


def test_the_program_behind_a_loopback_port_is_asked_for_once(
    start: Start, tmp_path: Path, policy: CompiledPolicy
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = (
            "import socket, sys\n"
            f"both = [socket.create_connection(('127.0.0.1', {port})) for _ in range(2)]\n"
            "print('connected', flush=True)\n"
            "sys.stdin.read()"
        )
        process = start(script(tmp_path / "aider", "python3", text))
        assert process.stdout is not None
        process.stdout.readline()
        asked: list[set[int]] = []

        def programs(ports: set[int]) -> dict[int, str]:
            asked.append(ports)
            return {port: "LiteLLM"}

        (found,) = find_running(policy, NOW, pids=[process.pid], programs=programs)
    assert asked == [{port}]
    assert found.peers == (connected.Peer("loopback", "127.0.0.1", port, "LiteLLM", 2),)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_users_process(start: Start, tmp_path: Path, policy: CompiledPolicy) -> None:
    mine = start(script(tmp_path / "gemini", "bash", "read -r line"))
    assert eventually(policy, mine.pid).state == guarded.UNGUARDED
    # as nobody: the program file, the environment and the sockets are hidden
    code = (
        "import os, sys\n"
        "from guard.agents.running import find_running\n"
        "from guard.policy.values import CompiledPolicy\n"
        # once as root: what Python imports late may not be readable for nobody
        f"assert find_running(CompiledPolicy(), 0.0, pids=[{mine.pid}])\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"for one in find_running(CompiledPolicy(), 0.0, pids=[{mine.pid}]):\n"
        "    print(one.agent, one.state, one.user, one.peers, one.keys)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd="/", timeout=60
    )
    assert done.stdout == "gemini-cli unknown root None ()\n", done.stderr
    # the other way round: root could read it, and does not judge it
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        program = script(Path(place, "gemini"), "bash", "read -r line")
        theirs = start(program, env={"OPENAI_API_KEY": CANARY}, user=65534)
        found = eventually(policy, theirs.pid)
    assert (found.state, found.uid) == (guarded.UNKNOWN, 65534)
    assert "another user" in found.how


def test_a_follower_reads_what_is_new_and_sees_a_program_become_an_agent(
    start: Start, tmp_path: Path, policy: CompiledPolicy
) -> None:
    agent = script(tmp_path / "gemini", "python3", "input()")
    shell = start("bash", "-c", f"read -r line; exec {agent}")
    read: list[int] = []

    class Counting(Table):
        def pids(self) -> list[int]:
            return [shell.pid]

        def recognise(self, pid: int) -> tuple[Program, Recognised, Snapshot] | None:
            read.append(pid)
            return super().recognise(pid)

    follower = Follower(Counting(), sweep=4)
    for _ in range(6):
        assert follower.look(policy, NOW) == []
    # three rounds as a newcomer; the sweep compares its program file and finds no change
    assert len(read) == 3
    assert shell.stdin is not None
    shell.stdin.write(b"go\n")
    shell.stdin.flush()
    eventually(policy, shell.pid)
    rounds = 0
    while not (found := follower.look(policy, NOW)):
        rounds += 1
        assert rounds < 4
    assert [one.pid for one in found] == [shell.pid]
    # an agent is looked at in every round, and is gone when it is gone
    assert [one.key for one in follower.look(policy, NOW)] == [found[0].key]
    shell.kill()
    shell.wait()
    assert follower.look(policy, NOW) == []


def test_every_process_of_this_machine_can_be_looked_at(policy: CompiledPolicy) -> None:
    for one in find_running(policy, NOW):
        assert one.agent
        assert one.state in ("guarded", "inherited", "cleaned", "unguarded", "unknown")
