"""Real local proxies: found under their names, launches refused, fenced off, stopped for good."""

from __future__ import annotations

import subprocess

import pytest
from lab.person import BYSTANDER, Person
from lab.scores import Score
from lab.servers import PROXIES, Server, Start, of

from guard.catalog import local_proxies

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("server", PROXIES, ids=lambda server: server.case)
def test_found_refused_fenced_stopped(server: Server, person: Person, start: Start) -> None:
    (name,) = (one.name for one in local_proxies.proxies() if one.id == server.proxy)
    score = Score(server.case, program=name, port=str(server.port), **{"is": "a proxy"})
    person.policy(hold=[server.port])
    process = held_off_first(server, person, start) if server.case == "litellm" else start(server)
    bystander = person.bystander()
    person.network.await_port(server.port, process)

    seen, beside = sorted(person.ports(), key=lambda row: row["port"] == BYSTANDER)
    score.set(seen_as=f"{seen['verdict']} {seen['proxy']}".strip(), how=seen["how"])
    launch = person.launch()
    score.set(launch="refused" if launch.returncode == 126 else f"exit {launch.returncode}")
    assert (seen["proxy"], seen["verdict"], seen["state"]) == (server.proxy, "proxy", "forbidden")
    assert (seen["name"], seen["process"]["pid"]) == (name, process.pid)
    assert server.how in seen["how"]
    assert (beside["port"], beside["state"]) == (BYSTANDER, "other")
    assert "the agent runs" not in launch.stdout
    for words in ("RG402", name, str(server.port), f"pid {process.pid}", "routeguard ports stop"):
        assert words in launch.stderr
    assert str(BYSTANDER) not in launch.stderr

    tasks = [f"connect:{server.port}", f"bind:{server.port}", f"connect:{BYSTANDER}"]
    fenced = person.fenced(*tasks)
    score.set(fence=", ".join(f"{what.partition(':')[0]} {fenced[what]}" for what in tasks[:2]))
    assert fenced == dict(zip(tasks, ("EACCES", "EACCES", "ok"), strict=True))

    stopped = person.routeguard("ports", "stop", str(server.port), "--yes")
    score.set(stop=f"exit {stopped.returncode}")
    assert stopped.returncode == 0, stopped
    assert person.network.ports() == {BYSTANDER}
    assert process.wait(60) is not None
    assert bystander.poll() is None
    assert person.launch().stdout == "the agent runs\n"
    score.set(stop="stopped, nothing else")


def held_off_first(server: Server, person: Person, start: Start) -> subprocess.Popen[bytes]:
    """The process of `server`, which serves twice: while its port is held, and from now on."""
    holder = person.hold(server.port)
    process = start(server)
    served = person.project / "served-once"
    person.network.await_true(served.exists, process)
    held_off(server, person, process, int(served.read_text()))
    assert holder.poll() is None
    holder.terminate()
    holder.wait()
    served.unlink()
    return process


def held_off(
    server: Server, person: Person, process: subprocess.Popen[bytes], status: int | None
) -> None:
    """It ended with `status`: it neither took its port nor moved to another one."""
    listens = sorted(person.network.ports())
    Score(server.case, "hold").set(hold=f"exit {status}, listens on {listens or 'nothing'}")
    assert listens == [], person.network.log(process)
    assert status not in (None, 0), person.network.log(process)


@pytest.mark.parametrize("case", ["npx gateway", "ccr start", "9router", "mitmdump"])
def test_held_off(case: str, person: Person, start: Start) -> None:
    """With its port held it ends (for litellm see above)."""
    server = of(case)
    person.policy(hold=[server.port])
    holder = person.hold(server.port)
    process = start(server)
    try:
        status = process.wait(300)
    except subprocess.TimeoutExpired:
        status = None
    held_off(server, person, process, status)
    assert holder.poll() is None


@pytest.mark.parametrize("case", ["ccr start", "mitmdump"])
def test_cannot_start_behind_the_fence(case: str, person: Person, start: Start) -> None:
    """A real proxy that the agent starts gets no socket."""
    server = of(case)
    person.policy(hold=[server.port])
    process = start(server, person.command("exec", "--fence", "--"))
    status = process.wait(300)
    Score(case, "fence").set(started_behind_fence=f"exit {status}")
    assert status != 0, person.network.log(process)
    assert person.network.ports() == set()
