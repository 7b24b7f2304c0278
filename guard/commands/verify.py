"""`routeguard verify`: prove the route on this machine."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from guard.agents.registry import AGENTS, agent_by_id, present
from guard.errors import ExitCode, GuardError, counted, printable
from guard.launch.places import chosen_program
from guard.launch.process import load_policy, own_environment, working_directory
from guard.launch.proof.fetch import fetch as fetch_release
from guard.launch.proof.stage import AgentRun, throw_away
from guard.launch.resolve import find_agent, find_program
from guard.launch.unguarded import observe
from guard.launch.verify import TIMEOUT, Binary, Proof, prove, version_of
from guard.report.document import show_document
from guard.report.table import Column, table
from guard.report.terminal import paint, say, show
from guard.report.words import short
from guard.rule_table import RULES
from guard.signals import ended_with_us

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.adapter import Agent
    from guard.policy.values import CompiledPolicy


@click.command(
    epilog="""\b
Examples:
  routeguard verify               the agents on PATH, bare and guarded
  routeguard verify --fetch       get the tested release from npm if none is installed
  routeguard verify --json        the same proof for a machine
  routeguard verify --unguarded   where they go when started without the guard

Exit status: 0 proved, 1 not proved, 2 usage, 3 a policy is broken or does not let a loopback
gateway stand in, 126 the agent is refused, 127 no agent. No run reaches a network; only npm does,
under --fetch."""
)
@click.option("--no-control", is_flag=True, help="Skip the run without the guard.")
@click.option(
    "--agent",
    "agent_id",
    type=click.Choice([agent.id for agent in AGENTS]),
    default=None,
    help="The agent to prove. [default: each that is on PATH]",
)
@click.option(
    "--unguarded", is_flag=True, help="Show where an unguarded start goes on this machine."
)
@click.option("--fetch", is_flag=True, help="Get the agent from npm if none is installed.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1.0, max=3600.0),
    default=TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="How long each run of the agent may take.",
)
@click.option("--keep", is_flag=True, help="Keep the throw-away directory and print its path.")
@click.option("--json", "as_json", is_flag=True, help="Print the proof as JSON.")
@ended_with_us()
def verify(
    no_control: bool,
    agent_id: str | None,
    unguarded: bool,
    fetch: bool,
    timeout: float,
    keep: bool,
    as_json: bool,
) -> int:
    """Prove that an agent reaches the gateway and nobody else.

    Runs the real agent with canary keys in throw-away surroundings, where the gateway is a
    loopback server and the only way out is a proxy that records and refuses: once without the
    guard, to show that a leak would be seen, and once through it.

    With --unguarded it runs without the guard alone, under the administrator's files that this
    machine has (`routeguard managed`), which name the real gateway: the proxy is asked for it.
    """
    environ = dict(os.environ)
    own = own_environment(environ)
    policy = load_policy(own)
    named = agent_by_id(agent_id) if agent_id else None
    agents = [named] if named else present(policy, lambda agent: _on_path(agent, own))
    binaries = [find(agent, environ, own, policy, fetch_missing=fetch) for agent in agents]
    proofs = []
    for binary in binaries:
        with throw_away(keep) as root:
            if keep:
                say(f"the throw-away directory is kept: {root}")
            if unguarded:
                proofs.append(observe(binary, environ, root, policy, timeout=timeout, say=say))
            else:
                proof = prove(
                    binary,
                    environ,
                    root,
                    timeout=timeout,
                    control=not no_control,
                    say=say,
                    like=policy,
                )
                proof.remember(own, policy)
                proofs.append(proof)
        if not as_json:
            show(render(proofs[-1], unguarded=unguarded))
    passed = all(proof.passed for proof in proofs)
    if as_json:
        documents = [proof.as_dict() for proof in proofs]
        for document in documents if unguarded else ():
            document["unguarded"] = document.pop("guarded")
        show_document({**documents[0], "passed": passed, "proofs": documents})
    return ExitCode.OK if passed else ExitCode.FINDINGS


def find(
    agent: Agent,
    environ: Mapping[str, str],
    own: Mapping[str, str],
    policy: CompiledPolicy,
    *,
    fetch_missing: bool,
) -> Binary:
    """The binary of `agent` that a launch would run; fetched if there is none and `fetch_missing`.

    `own` is `environ` as the user's, which counts where `policy` is asked.

    Raises GuardError (exit status 127, RG502) if there is none or it does not run.
    """
    try:
        path = _on_path(agent, environ) or find_agent(agent, agent.names[0], environ)
    except GuardError as error:
        if error.exit_code != ExitCode.NOT_FOUND:
            raise
        if not fetch_missing:
            error.fix = (
                f"{agent.install}\n"
                f"or, with {agent.packages[0]}@{agent.tested} from npm for this proof only:\n"
                f"routeguard verify --agent {agent.id} --fetch"
            )
            raise
        path = fetch_release(agent, environ, version_of=version_of, say=say)
    else:
        for chosen in chosen_program(path, policy, own, working_directory(), time.time()):
            raise GuardError(
                f"the agent was not started: {chosen.message}",
                where=chosen.where,
                why=RULES[chosen.rule].title,
                fix=chosen.fix,
                rule=chosen.rule,
            )
    version = version_of(path, environ)
    if not version:
        raise GuardError(
            "the agent does not run",
            where=path,
            why="it does not answer --version",
            fix=f"{agent.install}\n"
            f"or remove it, then:\nrouteguard verify --agent {agent.id} --fetch",
            rule="RG502",
            exit_code=ExitCode.NOT_FOUND,
        )
    return Binary(agent, path, version)


def _on_path(agent: Agent, environ: Mapping[str, str]) -> str:
    """The binary that the first of the agent's names starts, "" if none is on PATH."""
    return next(filter(None, (find_program(name, environ) for name in agent.names)), "")


def render(proof: Proof, *, unguarded: bool = False) -> str:
    """The proof as text: who was contacted in each run, the checks, the verdict.

    `unguarded` tells that its run was an unguarded start.
    """
    binary = proof.binary
    lines = [f"{binary.agent.title} {binary.version}  {short(printable(binary.path))}", ""]
    lines += [_table(proof, "unguarded" if unguarded else "guarded"), ""]
    for check in proof.checks:
        word = paint("ok", "good") + "  " if check.ok else paint("FAIL", "bad")
        lines.append(f"{word}  {check.name}: {printable(check.detail)}")
    lines.append("")
    if proof.passed and unguarded:
        verdict = paint("held", "good")
        lines.append(f"{verdict}: an unguarded start goes to the gateway of the policy")
    elif unguarded:
        verdict = paint("not held", "bad")
        lines.append(f"{verdict}: nothing sends an unguarded start to the gateway alone")
        lines.append("fix: sudo routeguard managed install")
    elif proof.passed:
        verdict = paint("proved", "good")
        lines.append(f"{verdict}: the gateway saw the call and nobody else saw anything")
    else:
        failed = sum(not check.ok for check in proof.checks)
        lines.append(f"{paint('not proved', 'bad')}: {failed} of {len(proof.checks)} checks failed")
    return "\n".join(lines)


def _table(proof: Proof, title: str) -> str:
    runs = [("control", proof.control), (title, proof.guarded)]
    shown = [(title, run) for title, run in runs if run is not None]
    hosts = sorted({contact.host for _, run in shown for contact in run.contacts})
    columns = [Column(title, least=8) for title in ("contacted", *(title for title, _ in shown))]
    rows = []
    if title == "guarded":
        rows.append(["the gateway", *(_calls(len(run.gateway)) for _, run in shown)])
    rows += [[host, *(_contact(run, host) for _, run in shown)] for host in hosts]
    return table(columns, rows)


def _calls(number: int) -> str:
    return counted(number, "call") if number else ""


def _contact(run: AgentRun, host: str) -> str:
    for contact in run.contacts:
        if contact.host == host:
            keys = f", {' and '.join(contact.carried)} seen" if contact.carried else ""
            return _calls(contact.calls) + keys
    return ""
