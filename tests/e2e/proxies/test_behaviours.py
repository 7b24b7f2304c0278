"""Ways in which servers listen, by small programs: each is found and refused all the same.

They answer as Ollama does; nothing about their command lines says so, unless they are to be
stopped: an answer alone stops nothing.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from lab.person import BYSTANDER, LAUNCH, PROGRAMS, Person
from lab.scores import Score

pytestmark = pytest.mark.e2e

OLLAMA = 11434
ANSWER = "Ollama is running"
WAYS = {
    # way: (port, address)
    "plain": (8080, "127.0.0.1"),
    "mptcp": (8000, "127.0.0.1"),
    "v6only": (3000, "::1"),
    "both": (5000, "::"),
    "mapped": (8888, "::ffff:127.0.0.1"),
    "renamed": (1234, "127.0.0.1"),
}


def listener(way: str, port: int, *answer: str) -> list[str | Path]:
    return [sys.executable, PROGRAMS / "listener.py", way, str(port), *answer]


def named(person: Person, words: list[str | Path]) -> list[str | Path]:
    """`words` with a program of the name litellm: that it is a proxy, its name says."""
    program = person.root / "litellm"
    shutil.copy(PROGRAMS / "listener.py", program)
    return [program if word == PROGRAMS / "listener.py" else word for word in words]


def refused(person: Person, *scores: Score, said: Sequence[str] = ()) -> str:
    """What a launch says that has to be refused and to say `said`."""
    launch = person.says(LAUNCH, "RG402", *said)
    for score in scores:
        score.set(launch="refused" if launch.returncode == 126 else f"exit {launch.returncode}")
    assert launch.returncode == 126
    assert "the agent runs" not in launch.stdout
    return launch.stderr


def forbidden(person: Person, score: Score, port: int) -> dict[str, Any]:
    """What listens on `port`, which a launch has to be refused for."""
    seen = person.known(port)[port]
    score.set(seen_as=f"{seen['verdict']} {seen['proxy']}".strip(), how=seen["how"])
    refused(person, score, said=(str(port), f"pid {seen['process']['pid']}"))
    assert seen["state"] == "forbidden"
    return seen


def stopped(person: Person, target: str | int, *scores: Score) -> None:
    """`ports stop` ends what `target` names, and nothing else."""
    done = person.routeguard("ports", "stop", str(target), "--yes")
    for score in scores:
        score.set(stop=f"exit {done.returncode}")
    assert done.returncode == 0, done
    assert person.network.ports() == {BYSTANDER}
    for score in scores:
        score.set(stop="stopped, nothing else")


def kept(person: Person, target: str | int, *scores: Score) -> None:
    """`ports stop` ends nothing for an answer alone: who gives it may pass on another's."""
    listening = person.network.ports()
    words = ("ports", "stop", str(target), "--yes")
    done = person.says(words, "only its HTTP reply says so")
    for score in scores:
        score.set(stop="not stopped: only its HTTP reply says so")
    assert done.returncode == 126, done
    assert person.network.ports() == listening


def test_by_what_they_answer(person: Person) -> None:
    """IPv4, IPv6 and both, MPTCP, another program's name, all on ports that others use, too."""
    scores = {
        way: Score(way, program="Ollama", port=str(port), **{"is": "a proxy"})
        for way, (port, _) in WAYS.items()
    }
    person.bystander()
    started = {way: person.start(listener(way, WAYS[way][0], ANSWER)) for way in WAYS}
    for way, process in started.items():
        person.network.await_port(WAYS[way][0], process)
    rows = person.known(*(port for port, _ in WAYS.values()))
    for way, score in scores.items():
        seen = rows[WAYS[way][0]]
        score.set(seen_as=f"{seen['verdict']} {seen['proxy']}".strip(), how=seen["how"])
    refused(person, *scores.values(), said=[f"pid {process.pid}" for process in started.values()])
    for way, process in started.items():
        port, address = WAYS[way]
        seen = rows[port]
        assert (seen["verdict"], seen["proxy"]) == ("proxy", "ollama"), seen
        assert (seen["addresses"], seen["process"]["pid"]) == ([address], process.pid), seen
    kept(person, "--all", *scores.values())
    assert {process.poll() for process in started.values()} == {None}


def test_a_launch_asks_nobody_on_ports_that_no_proxy_has(person: Person) -> None:
    """The limit: no known name, no known port. `ports` asks it what it is, a launch does not."""
    score = Score("unknown on 9000", program="Ollama", port="9000", **{"is": "a proxy"})
    process = person.start(listener("plain", 9000, ANSWER))
    person.network.await_port(9000, process)
    seen = person.known(9000)[9000]
    score.set(seen_as=f"{seen['verdict']} {seen['proxy']}", how=seen["how"])
    assert (seen["state"], seen["proxy"]) == ("forbidden", "ollama")
    launch = person.launch()
    score.set(launch=f"exit {launch.returncode}")
    assert (launch.returncode, launch.stdout) == (0, "the agent runs\n"), launch


def test_two_processes_on_one_port(person: Person) -> None:
    score = Score("SO_REUSEPORT", program="Ollama", port=str(OLLAMA), **{"is": "a proxy"})
    person.bystander()
    words = named(person, listener("reuseport", OLLAMA, ANSWER))
    both = [person.start(words) for _ in range(2)]
    person.network.await_port(OLLAMA, both[0], sockets=2)
    rows = [row for row in person.ports() if row["port"] == OLLAMA]
    score.set(seen_as=", ".join(f"{row['verdict']} {row['proxy']}" for row in rows))
    score.set(how=rows[0]["how"])
    refused(person, score)
    assert {row["process"]["pid"] for row in rows} == {process.pid for process in both}
    stopped(person, OLLAMA, score)


def test_daemon(person: Person) -> None:
    """Forked twice: nobody's child any more."""
    score = Score("double fork", program="Ollama", port=str(OLLAMA), **{"is": "a proxy"})
    person.bystander()
    process = person.start(named(person, listener("daemon", OLLAMA, ANSWER)))
    person.network.await_port(OLLAMA, process, ended=True)
    assert process.wait(60) == 0
    seen = forbidden(person, score, OLLAMA)
    assert seen["how"] == "program litellm"
    assert seen["process"]["pid"] in person.network.pids()
    stopped(person, OLLAMA, score)


def test_socket_activation(person: Person) -> None:
    """What starts at the first connection; by a program that routeguard does not know."""
    score = Score("socket activation", program="Ollama", port=str(OLLAMA), **{"is": "a proxy"})
    person.bystander()
    words: list[str | Path] = [sys.executable, PROGRAMS / "activate.py", str(OLLAMA)]
    process = person.start([*words, *listener("inherited", OLLAMA, ANSWER)])
    person.network.await_port(OLLAMA, process)
    seen = forbidden(person, score, OLLAMA)
    assert seen["process"]["pid"] == process.pid
    kept(person, OLLAMA, score)


@pytest.mark.parametrize("more", [(), (str(OLLAMA), "mptcp")], ids=["tcp", "mptcp"])
def test_static_binary(
    more: tuple[str, ...], person: Person, static: Callable[[str], Path]
) -> None:
    """Compiled, without any library, as Go programs are: held, fenced, stopped."""
    case = f"static ollama{' mptcp' if more else ''}"
    score = Score(case, program="Ollama", port=str(OLLAMA), **{"is": "a proxy"})
    words: list[str | Path] = [static("ollama"), "serve", *more]
    bystander = person.bystander()
    process = person.start(words)
    person.network.await_port(OLLAMA, process)
    seen = forbidden(person, score, OLLAMA)
    assert (seen["verdict"], seen["how"]) == ("proxy", "program ollama")
    assert seen["process"]["pid"] == process.pid
    tasks = [f"connect:{OLLAMA}", f"bind:{OLLAMA}", f"connect:{BYSTANDER}"]
    assert list(person.fenced(*tasks).values()) == ["EACCES", "EACCES", "ok"]
    stopped(person, OLLAMA, score)

    behind = person.start(person.command("exec", "--fence", "--", *words))
    score.set(fence=f"exit {behind.wait(120)}")
    assert behind.returncode == 3, person.network.log(behind)
    person.hold(OLLAMA)
    again = person.start(words)
    score.set(hold=f"exit {again.wait(120)}")
    assert again.returncode == 3, person.network.log(again)
    assert person.network.ports() == {BYSTANDER}
    assert bystander.poll() is None


def test_what_cannot_be_identified_is_refused_but_never_stopped(
    person: Person, static: Callable[[str], Path]
) -> None:
    """On Ollama's own port, under a name nobody knows, mute."""
    score = Score("unknown on 11434", port=str(OLLAMA), **{"is": "a proxy"})
    person.bystander()
    process = person.start([static("something"), "serve"])
    person.network.await_port(OLLAMA, process)
    seen = forbidden(person, score, OLLAMA)
    assert (seen["verdict"], seen["process"]["pid"]) == ("suspect", process.pid)
    done = person.routeguard("ports", "stop", str(OLLAMA), "--yes")
    assert done.returncode == 126, done
    assert process.poll() is None
    score.set(stop="not stopped: unidentified")
