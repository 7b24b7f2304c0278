"""`routeguard key`: the key a launch would use, to a pipe, once in the log, and nowhere else."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from guard.dispatch import main
from guard.launch import print_key

CANARY = "pk-canary-0123456789abcdef"
ROOT = Path(print_key.__file__).resolve().parents[2]


class Answer(NamedTuple):
    status: int
    printed: str
    said: str


class Machine:
    """A home with a policy, whose `routeguard key` writes into `output`, by default a pipe."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.capsys = capsys
        self.output, self.input = os.pipe()

    def policy(self, text: str) -> None:
        path = self.home / ".config/routeguard/policy.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def key(self, *words: str) -> Answer:
        status = main(["key", *words])
        os.set_blocking(self.output, False)
        try:
            printed = os.read(self.output, 65536).decode()
        except BlockingIOError:
            printed = ""
        out, err = self.capsys.readouterr()
        assert out == "", "standard output of Python is not for the key"
        assert CANARY not in err
        for folder, _, names in os.walk(self.home):
            for name in names:
                assert CANARY.encode() not in Path(folder, name).read_bytes()
        return Answer(status, printed, err)

    @property
    def log(self) -> list[dict[str, object]]:
        path = self.home / ".local/state/routeguard/audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Machine]:
    machine = Machine(tmp_path / "home", capsys)
    (machine.home / "src").mkdir(parents=True)
    monkeypatch.chdir(machine.home / "src")
    for name in list(os.environ):
        if name.startswith(("XDG_", "ROUTEGUARD_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(machine.home))
    monkeypatch.setenv("PORTKEY_API_KEY", CANARY)
    monkeypatch.setattr(print_key, "OUTPUT", machine.input)
    yield machine
    os.close(machine.output)
    os.close(machine.input)


def test_the_key_goes_into_the_pipe_and_its_name_into_the_log(machine: Machine) -> None:
    assert machine.key() == (0, CANARY + "\n", "")
    (entry,) = machine.log
    assert entry["decision"] == "printed"
    assert entry["entry"] == "portkey"
    assert entry["source"] == "the environment variable PORTKEY_API_KEY"
    assert entry["directory"] == str(machine.home / "src")


COMMAND = """
[gateway.providers.portkey]
models = ["gpt-4o"]
[gateway.providers.team]
slug = "anthropic-prod"
models = ["m"]
key = { command = ["/bin/sh", "-c", "echo asked >&2; echo pk-canary-$PART-0123456789"] }
[gateway.providers.other]
config = "pc-fall-000001"
models = ["m"]
key = { env = "OTHER_KEY" }
"""


def test_the_key_of_a_command(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.policy(COMMAND)
    monkeypatch.setenv("PART", "team")
    status, printed, _ = machine.key("--entry", "team")
    assert (status, printed) == (0, "pk-canary-team-0123456789\n")
    assert machine.log[0]["source"] == "the command /bin/sh of your policy"
    assert "pk-canary" not in json.dumps(machine.log)


@pytest.mark.parametrize(
    ("words", "headers"),
    [
        (["--headers"], {"x-portkey-api-key": CANARY}),
        (
            ["--entry=other", "--headers"],
            {"x-portkey-api-key": f"{CANARY}-other", "x-portkey-config": "pc-fall-000001"},
        ),
        (
            ["--headers", "--entry", "team"],
            {"x-portkey-api-key": "pk-canary--0123456789", "x-portkey-provider": "@anthropic-prod"},
        ),
    ],
)
def test_headers_are_one_json_object_of_texts(
    words: list[str], headers: dict[str, str], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.policy(COMMAND)
    monkeypatch.setenv("OTHER_KEY", f"{CANARY}-other")
    status, printed, _ = machine.key(*words)
    assert (status, json.loads(printed)) == (0, headers)


@contextlib.contextmanager
def opened(kind: str) -> Iterator[int]:
    """A standard output of this kind, and what keeps it open."""
    with contextlib.ExitStack() as stack:
        if kind == "terminal":
            ours, theirs = pty.openpty()
            stack.callback(os.close, ours)
            stack.callback(os.close, theirs)
        elif kind == "network":
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            client = stack.enter_context(socket.create_connection(server.getsockname()))
            theirs = client.fileno()
        elif kind == "file":
            theirs = stack.enter_context(tempfile.TemporaryFile()).fileno()
        elif kind == "device":
            theirs = stack.enter_context(open("/dev/null", "wb")).fileno()
        else:
            theirs = 987
        yield theirs


@pytest.mark.parametrize("kind", ["terminal", "file", "network", "device", "closed"])
@pytest.mark.parametrize("words", [[], ["--headers"]], ids=" ".join)
def test_nothing_but_a_pipe_gets_it(
    kind: str, words: list[str], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a key that is not printed is not fetched either
    fetched = machine.home / "fetched"
    machine.policy(f'[gateway]\nkey = {{ command = ["/usr/bin/touch", "{fetched}"] }}\n')
    with opened(kind) as output:
        monkeypatch.setattr(print_key, "OUTPUT", output)
        status, _, said = machine.key(*words)
        if kind == "file":
            assert os.fstat(output).st_size == 0
    assert status == 126
    assert f"standard output is {kind}" in said.replace("a network connection", "network").replace(
        "is a ", "is "
    )
    assert "fix:" in said
    assert not fetched.exists()
    assert [entry["decision"] for entry in machine.log] == ["refused"]


def test_the_socket_pair_by_which_node_reads_its_children(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monkeypatch.setattr(print_key, "OUTPUT", theirs.fileno())
        assert machine.key().status == 0
        assert ours.recv(100) == CANARY.encode() + b"\n"
        assert stat.S_ISSOCK(os.fstat(theirs.fileno()).st_mode), "it is closed"


@pytest.mark.parametrize("value", [None, "", " ", "sk-ant-canary-0123456789", 'pk"canary', "pk x"])
def test_no_usable_key(
    value: str | None, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("PORTKEY_API_KEY")
    else:
        monkeypatch.setenv("PORTKEY_API_KEY", value)
    status, printed, said = machine.key()
    assert (status, printed) == (1, "")
    assert "[RG106]" in said
    assert "fix:" in said
    assert [(entry["decision"], entry["rules"]) for entry in machine.log] == [
        ("refused", ["RG106"])
    ]


def test_a_command_that_fails_prints_no_key(machine: Machine) -> None:
    script = "echo pk-canary-3; exit 3"
    machine.policy(f'[gateway]\nkey = {{ command = ["/bin/sh", "-c", "{script}"] }}\n')
    status, printed, said = machine.key()
    assert (status, printed) == (1, "")
    assert "it ended with status 3" in said


@pytest.mark.parametrize(
    ("policy", "status"), [("nonsense", 3), ("[audit]\nrequired = true\n", 126)]
)
def test_a_policy_that_does_not_let_it(policy: str, status: int, machine: Machine) -> None:
    machine.policy(policy)
    if status == 126:
        (machine.home / ".local/state/routeguard/audit.jsonl").mkdir(parents=True)
    answer = machine.key()
    assert (answer.status, answer.printed) == (status, "")
    assert ("RG501" if status == 3 else "RG503") in answer.said


@pytest.mark.parametrize(
    "words",
    [["--force"], ["-f"], ["--yes"], ["--headers=yes"], ["--entry"], ["portkey"], ["--", "x"]],
    ids=" ".join,
)
def test_no_option_changes_that(words: list[str], machine: Machine) -> None:
    status, printed, said = machine.key(*words)
    assert (status, printed) == (2, "")
    assert "fix:" in said


def test_an_unknown_entry(machine: Machine) -> None:
    status, printed, said = machine.key("--entry", "nope")
    assert (status, printed) == (2, "")
    assert "there are: portkey" in said


def test_a_reader_that_has_gone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    monkeypatch.setattr(print_key, "OUTPUT", write)
    monkeypatch.setattr("guard.dispatch._drop", lambda _: None)
    assert machine.key().status == 141
    os.close(write)


def test_a_project_chooses_neither_the_key_nor_the_log(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = machine.home / "src"
    (project / ".git").mkdir()
    (project / ".routeguard.toml").write_text('[gateway]\nkey = { env = "EVIL" }\n')
    evil = project / ".config/routeguard"
    evil.mkdir(parents=True)
    (evil / "policy.toml").write_text(COMMAND)
    monkeypatch.setenv("EVIL", "pk-evil-0123456789")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(evil.parent))
    assert machine.key().printed in ("", CANARY + "\n")


def test_who_asked_is_in_the_log_past_the_shell_between(tmp_path: Path) -> None:
    """Started as a helper is: by a program, through `sh -c`."""
    command = f"{sys.executable} -I -S {ROOT}/guard/__main__.py key; :"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"HOME": str(tmp_path), "PATH": os.defpath, "PORTKEY_API_KEY": CANARY},
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (CANARY + "\n", "")
    entry = json.loads((tmp_path / ".local/state/routeguard/audit.jsonl").read_text())
    if sys.platform == "linux":
        assert entry["program"] == os.path.realpath(sys.executable)


def test_a_command_that_fails_is_heard_where_the_ends_of_children_are_ignored(
    machine: Machine,
) -> None:
    machine.policy(
        '[gateway]\nkey = { command = ["/bin/sh", "-c", "echo pk-canary-01234; exit 3"] }\n'
    )
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        answer = machine.key()
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert (answer.status, answer.printed) == (1, "")
    assert "status 3" in answer.said
