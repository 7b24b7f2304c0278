"""The fence, by real processes: what they can no longer do, and all that they still can."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import random
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pexpect
import pytest

from guard.catalog import local_proxies
from guard.errors import GuardError
from guard.launch import fence
from guard.launch.fences import landlock, sandbox, seccomp
from guard.launch.fences.ports import Fence, UnavailableError, holds
from guard.policy.values import CompiledPolicy, PolicyException

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "guard" / "__main__.py"
PYTHON = [sys.executable, "-I", "-S"]

RUNNER = f"""
import errno, json, os, sys
sys.path.append({str(ROOT)!r})
from guard.errors import GuardError
from guard.launch import fence
fences, required, argv = json.loads(sys.argv[1])
try:
    for ports, reachable in fences:
        program, argv = fence.raise_fence(
            fence.Fence(eval(ports), reachable), argv[0], argv, required=required, say=print
        )
except GuardError as error:
    print(error.render(), file=sys.stderr)
    sys.exit(error.exit_code)
sys.stdout.flush()
os.execv(program, argv)
"""
"""Raises the fences, and becomes the command, as a launch does."""

DENY = f"""
import os, struct, sys
sys.path.append({str(ROOT)!r})
from guard.launch.fences import landlock, seccomp
number, argument, value, code = map(int, sys.argv[1:5])
conditions = [(0, 0x15, number)]
if argument >= 0:
    conditions.append((16 + 8 * argument, 0x15, value))
kernel = landlock.Kernel()
program = [*seccomp.rule(tuple(conditions), code), (0x06, 0, 0, 0x7FFF0000)]
seccomp.program = lambda machine: b"".join(struct.pack("<HBBI", *i) for i in program)
kernel.give_up_privileges()
kernel.filter()
os.execv(sys.argv[5], sys.argv[5:])
"""
"""Makes the kernel refuse one system call (with one value of one argument) to a command."""

SECCOMP = landlock._SECCOMP.get(platform.machine(), -1)
PRCTL = {"x86_64": 157, "aarch64": 167}.get(platform.machine(), -1)
FAILURES = {
    "no Landlock": (444, -1, 0, errno.ENOSYS),
    "Landlock switched off": (444, -1, 0, errno.EOPNOTSUPP),
    "no ruleset": (444, 2, 0, errno.ENOMEM),
    "no rule": (445, -1, 0, errno.ENOMEM),
    "no seccomp": (SECCOMP, 0, 2, errno.ENOSYS),
    "filter rejected": (SECCOMP, 0, 1, errno.EINVAL),
    "no_new_privs rejected": (PRCTL, 0, 38, errno.EPERM),
    "a layer too many": (446, -1, 0, errno.E2BIG),
}


@pytest.fixture(scope="session", autouse=True)
def kernel(missing_part: Callable[[str], NoReturn]) -> None:
    """A kernel that can fence."""
    why = fence.unavailable()
    if why:
        missing_part(f"this machine cannot fence: {why}")


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]) -> str:
    """The static C program that tries everything."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        missing_part("no C compiler: apt-get install gcc libc6-dev")
    program = tmp_path_factory.mktemp("fence") / "probe"
    source = Path(__file__).with_name("fence.c")
    subprocess.run([compiler, "-static", "-Wall", "-Wextra", "-o", program, source], check=True)
    return str(program)


@pytest.fixture
def listener() -> Iterator[int]:
    """A port on which something listens, by IPv4 and IPv6."""
    with socket.socket(socket.AF_INET6) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", 0))
        server.listen(100)
        yield server.getsockname()[1]


@pytest.fixture
def vacant() -> int:
    """A port on which nothing listens, and which no program is given at random."""
    for port in random.sample(range(24000, 32000), 50):
        with socket.socket(socket.AF_INET6) as trial, contextlib.suppress(OSError):
            trial.bind(("::", port))
            return port
    raise AssertionError("no free port among 50")


def fenced(
    fences: list[tuple[list[int], list[int]]] | list[int] | range,
    *argv: str,
    required: bool = True,
    before: list[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` behind fences of (ports, reachable), or behind one of these ports."""
    import json

    if isinstance(fences[0], int):
        fences = [(fences, [])]  # type: ignore[list-item]
    # a range is written as one: 28,000 numbers would be too long for a command line
    written = [(repr(ports), reachable) for ports, reachable in fences]  # type: ignore[misc]
    words = json.dumps([written, required, [shutil.which(argv[0]), *argv[1:]]])
    return subprocess.run(
        [*(before or []), *PYTHON, "-c", RUNNER, words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def denying(failure: str) -> list[str]:
    """The command in front of a command that makes the kernel fail so."""
    return [*PYTHON, "-c", DENY, *map(str, FAILURES[failure])]


def results(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What the C program printed."""
    assert done.returncode == 0, done
    return dict(line.split() for line in done.stdout.splitlines())


def python(code: str) -> list[str]:
    """The command that runs `code` with `trying` at hand."""
    start = """
import errno, os, socket, subprocess, sys
def trying(what):
    try:
        return what() or "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
def connect(host, port, family=socket.AF_INET):
    with socket.socket(family) as made:
        made.settimeout(5)
        made.connect((host, port))
def bind(host, port, family=socket.AF_INET):
    with socket.socket(family) as made:
        made.bind((host, port))
"""
    return [sys.executable, "-I", "-c", start + code]


REFUSED = {
    "mptcp": "EPROTONOSUPPORT",
    "smc": "EAFNOSUPPORT",
    "smc-inet": "EPROTONOSUPPORT",
    "fastopen-sendto": "EOPNOTSUPP",
    "fastopen-sendmsg": "EOPNOTSUPP",
    "fastopen-sendmmsg": "EOPNOTSUPP",
    "io_uring": "EPERM",
    "i386-mptcp": "EPROTONOSUPPORT",
    "i386-socketcall-socket": "EPERM",
    "i386-io_uring": "EPERM",
    "x32-socket": "ENOSYS",
    "mptcp-high-bits": "EPROTONOSUPPORT",
}
"""What the seccomp filter answers, by a line of the C program or what follows `bind-`."""


class TestDenied:
    @pytest.mark.parametrize("generation", [[], ["grandchild"]])
    def test_a_static_program_gets_through_nowhere(
        self, probe: str, listener: int, vacant: int, generation: list[str]
    ) -> None:
        words = [probe, str(listener), str(vacant), *generation]
        free = results(subprocess.run(words, capture_output=True, text=True, check=False))
        behind = results(fenced([listener, vacant], *words))
        assert free.keys() == behind.keys()
        for name, result in behind.items():
            form = name.partition("-")[2]
            if form.startswith("any-port") or name == "i386-socket":
                expected = "ok" if form.startswith("any-port") else free[name]
            elif name in REFUSED:
                expected = REFUSED[name]
            elif form.removesuffix("-6") in REFUSED:
                expected = REFUSED[form.removesuffix("-6")]
            else:
                expected = "EACCES"
                # else the test would show nothing
                assert free[name] == "ok", name
            assert (name, result) == (name, expected)

    def test_python_its_child_and_a_daemon(self, listener: int, vacant: int) -> None:
        code = f"""
def all_of_it():
    print(trying(lambda: connect("127.0.0.1", {listener})),
          trying(lambda: connect("::1", {listener}, socket.AF_INET6)),
          trying(lambda: bind("127.0.0.1", {vacant})),
          trying(lambda: bind("::", {vacant}, socket.AF_INET6)), flush=True)
all_of_it()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        all_of_it()
        os._exit(0)
    os.wait()
    os._exit(0)
os.wait()
"""
        assert fenced([listener, vacant], *python(code)).stdout.split() == ["EACCES"] * 8
        assert subprocess.run(
            python(code), capture_output=True, text=True, check=True
        ).stdout.split() == (["ok"] * 8)

    def test_node(
        self, listener: int, vacant: int, missing_part: Callable[[str], NoReturn]
    ) -> None:
        if shutil.which("node") is None:
            missing_part("node is not on PATH")
        code = """
const net = require("net"), [listener, vacant] = process.argv.slice(1).map(Number);
const say = (what) => (error) => console.log(what, error?.code ?? "ok");
const client = net.connect(listener, "127.0.0.1");
client.on("error", say("connect")).on("connect", () => { say("connect")(); client.destroy(); });
const server = net.createServer();
server.on("error", say("listen"));
server.listen(vacant, () => { say("listen")(); server.close(); });
"""
        words = ["node", "-e", code, str(listener), str(vacant)]
        behind = fenced([listener, vacant], *words)
        assert sorted(behind.stdout.splitlines()) == ["connect EACCES", "listen EACCES"], behind
        elsewhere = fenced([1], *words)
        assert sorted(elsewhere.stdout.splitlines()) == ["connect ok", "listen ok"], elsewhere

    def test_a_reachable_port_cannot_be_bound(self, listener: int, vacant: int) -> None:
        code = f"""
print(trying(lambda: connect("127.0.0.1", {listener})), trying(lambda: bind("", {listener})))
print(trying(lambda: connect("127.0.0.1", {vacant})), trying(lambda: bind("", {vacant})))
"""
        behind = fenced([([listener, vacant], [listener])], *python(code))
        assert behind.stdout.split() == ["ok", "EACCES", "EACCES", "EACCES"], behind

    def test_for_a_user_without_privileges(self, listener: int, tmp_path: Path) -> None:
        """Root needs no no_new_privs, and low ports are refused to others anyway: neither helps."""
        script = f"""
import _socket, ctypes, itertools, os, struct, sys
sys.path.append({str(ROOT)!r})
from guard.errors import GuardError
from guard.launch import fence
from guard.launch.fences.ports import holds
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
wanted = fence.Fence([80, {listener}])
print(holds(wanted), holds(fence.Fence([80])), flush=True)
fence.raise_fence(wanted, "", [], required=True, say=print)
print(os.getuid() == 0, holds(wanted), flush=True)
line = "exec 3<>/dev/tcp/127.0.0.1/{listener}"
os.execv("/bin/bash", ["bash", "-c", "grep NoNewPrivs /proc/self/status; " + line])
"""
        done = subprocess.run(
            [*PYTHON, "-c", script], cwd="/", capture_output=True, text=True, check=False
        )
        assert done.stdout.split() == ["False", "False", "False", "True", "NoNewPrivs:", "1"], done
        assert "Permission denied" in done.stderr, done

    def test_a_process_outside_is_no_way_out(self) -> None:
        """Landlock also keeps a fenced process from looking into or tracing those outside."""
        code = """
child = subprocess.Popen(["sleep", "30"])
for pid in (os.getppid(), child.pid):
    print(trying(lambda: os.readlink(f"/proc/{pid}/exe") and None),
          trying(lambda: os.readlink(f"/proc/{pid}/fd/0") and None),
          trying(lambda: os.pidfd_open(pid) and None),
          trying(lambda: os.kill(pid, 0)))
child.kill()
"""
        behind = fenced([1], *python(code))
        outside, inside = behind.stdout.splitlines()
        assert outside.split() == ["EACCES", "EACCES", "ok", "ok"], behind
        assert inside.split() == ["ok", "ok", "ok", "ok"], behind


class TestAllowed:
    def test_other_ports_names_and_udp(self, listener: int, vacant: int) -> None:
        code = f"""
print(trying(lambda: connect("127.0.0.1", {listener})))
print(trying(lambda: bind("127.0.0.1", {vacant})), trying(lambda: bind("::1", 0, socket.AF_INET6)))
print(trying(lambda: socket.getaddrinfo("localhost", 80) and None))
a, b = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
a.bind(("127.0.0.1", {vacant + 1}))
b.connect(("127.0.0.1", {vacant + 1}))
b.send(b"a question")
print(a.recv(20).decode())
"""
        behind = fenced([vacant + 1], *python(code))
        assert behind.stdout.split() == ["ok", "ok", "ok", "ok", "a", "question"], behind

    def test_a_port_that_the_kernel_picks_is_not_looked_at(self) -> None:
        """Though it may be a fenced one: then it can be listened on, and not reached from here."""
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
        code = """
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print(trying(lambda: connect(*server.getsockname())))
silent = socket.socket()
print(trying(lambda: silent.listen()))
"""
        behind = fenced(range(low, high + 1), *python(code))
        assert behind.stdout.split() == ["EACCES", "ok"], behind
        assert fenced([1], *python(code)).stdout.split() == ["ok", "ok"]

    def test_files(self, tmp_path: Path) -> None:
        code = """
os.chdir(sys.argv[1])
os.mkdir("a"), os.mkdir("b")
open("a/x", "w").write("x")
os.link("a/x", "b/link")
os.rename("a/x", "b/x")
os.symlink("b", "c")
os.truncate("c/x", 0)
os.remove("b/link")
print(open("/proc/self/status").read().count("\\n") > 10, sorted(os.listdir("c")))
"""
        behind = fenced([1], *python(code), str(tmp_path))
        assert behind.stdout == "True ['x']\n", behind

    def test_programs_unix_sockets_and_pipes(self, tmp_path: Path) -> None:
        code = """
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1] + "/s")
server.listen()
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1] + "/s")
client.send(b"by a unix socket")
print(server.accept()[0].recv(30).decode(), socket.socketpair() and "and a pair")
print(subprocess.run(["sh", "-c", "echo by a pipe | cat"], capture_output=True).stdout.decode())
"""
        behind = fenced([1], *python(code), str(tmp_path))
        assert behind.stdout.split() == [
            "by",
            "a",
            "unix",
            "socket",
            "and",
            "a",
            "pair",
            "by",
            "a",
            "pipe",
        ], behind


class TestNesting:
    def test_below_a_fence_the_same_fence_is_recognized(self, vacant: int) -> None:
        """The kernel takes 16 layers and no more."""
        behind = fenced(
            [([vacant], [])] * 20, *python(f'print(trying(lambda: bind("", {vacant})))')
        )
        assert behind.stdout == "EACCES\n", behind

    def test_a_wider_fence_is_raised_as_well(self, listener: int, vacant: int) -> None:
        code = f"""
print(trying(lambda: connect("127.0.0.1", {listener})), trying(lambda: bind("", {vacant})))
"""
        wider = [([vacant], []), ([vacant, listener], [])]
        assert fenced(wider, *python(code)).stdout.split() == ["EACCES", "EACCES"]
        narrower = [([vacant, listener], []), ([vacant], [])]
        assert fenced(narrower, *python(code)).stdout.split() == ["EACCES", "EACCES"]
        no_longer_reachable = [([listener, vacant], [listener]), ([listener], [])]
        assert fenced(no_longer_reachable, *python(code)).stdout.split() == ["EACCES", "EACCES"]

    def test_to_ask_takes_no_port_and_sends_nothing(self, vacant: int) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", vacant))
            assert not holds(Fence([vacant]))
        assert not holds(Fence([vacant]))
        assert holds(Fence([]))


class TestFailures:
    @pytest.mark.parametrize("failure", FAILURES)
    def test_what_is_required_and_cannot_be_does_not_start(self, failure: str, vacant: int) -> None:
        done = fenced([vacant], "echo", "started", before=denying(failure))
        assert (done.returncode, done.stdout) == (126, ""), done
        assert "[RG404]" in done.stderr
        assert "why:" in done.stderr

    @pytest.mark.parametrize("failure", FAILURES)
    def test_what_is_only_tried_goes_on_and_says_so_once(self, failure: str, vacant: int) -> None:
        done = fenced([vacant], "echo", "started", required=False, before=denying(failure))
        said, started = done.stdout.splitlines()
        assert (done.returncode, started, done.stderr) == (0, "started", ""), done
        assert said.startswith("routeguard: started without a fence: ")
        late = failure in ("filter rejected", "a layer too many")
        assert ("no_new_privs is set" in said) == late

    @pytest.mark.parametrize("after", [0, 1, 30000, 65534])
    def test_a_rule_that_fails_half_way(self, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
        before = sorted(os.listdir("/proc/self/fd"))
        kernel = landlock.Kernel()
        real, seen = kernel._syscall, []

        def failing(number: int, *arguments: object) -> int:
            if number == 445:
                seen.append(arguments)
                if len(seen) > after:
                    kernel._errno()[0] = errno.ENOMEM
                    return -1
            result: int = real(number, *arguments)
            return result

        kernel._syscall = failing
        monkeypatch.setattr(landlock, "Kernel", lambda: kernel)
        monkeypatch.setattr(
            kernel.__class__, "give_up_privileges", lambda self: pytest.fail("too late")
        )
        with pytest.raises(GuardError) as caught:
            fence.raise_fence(Fence([11434]), "/bin/true", [], required=True, say=print)
        assert (caught.value.rule, len(seen)) == ("RG404", after + 1)
        assert "Cannot allocate memory" in caught.value.why
        assert sorted(os.listdir("/proc/self/fd")) == before

    def test_a_fence_that_the_kernel_takes_and_does_not_hold(self, vacant: int) -> None:
        """restrict_self "succeeds" and does nothing: errno 0 of a filter is the result 0."""
        FAILURES["a lie"] = (446, -1, 0, 0)
        try:
            done = fenced([vacant], "echo", "started", before=denying("a lie"))
        finally:
            del FAILURES["a lie"]
        assert (done.returncode, done.stdout) == (126, ""), done
        assert "does not enforce it" in done.stderr

    @pytest.mark.parametrize("machine", ["riscv64", "s390x", "i686", "armv7l"])
    def test_an_unknown_machine(self, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
        name = os.uname()
        monkeypatch.setattr(os, "uname", lambda: type(name)((*name[:4], machine)))
        assert machine in fence.unavailable()

    def test_a_python_without_ctypes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ctypes", None)
        assert "has no ctypes" in fence.unavailable()


class TestPorts:
    def test_the_catalogue_and_the_policy(self) -> None:
        wanted = fence.of_policy(CompiledPolicy(proxies_hold=(4000, 53, 0)), {})
        assert wanted.ports == local_proxies.distinctive() | {4000}
        assert 11434 in wanted.ports
        assert wanted.reachable == frozenset()

    def test_without_exceptions_while_they_last(self) -> None:
        allowed = PolicyException(subject="port:11434", reason="r", until=100.0)
        policy = CompiledPolicy(exceptions=(allowed,))
        assert 11434 not in fence.of_policy(policy, {}, now=99.0).ports
        assert 11434 in fence.of_policy(policy, {}, now=101.0).ports

    @pytest.mark.parametrize(
        ("url", "port"),
        [
            ("http://127.0.0.1:11434/v1", 11434),
            ("https://gateway.example:4141/v1", 4141),
            ("https://gateway.example/v1", 443),
        ],
    )
    def test_the_gateway_stays_reachable(self, url: str, port: int) -> None:
        wanted = fence.of_policy(CompiledPolicy(base_url=url, proxies_hold=(443, 80)), {})
        assert (wanted.reachable, port in wanted.ports) == ({port}, True)
        assert wanted.denied(port) == 1

    @pytest.mark.parametrize(
        ("environ", "port"),
        [
            ({"HTTPS_PROXY": "http://proxy.example:3456"}, 3456),
            ({"https_proxy": "proxy.example:3456"}, 3456),
            ({"HTTP_PROXY": "http://u:p@[fd00::1]:3456/"}, 3456),
            ({"all_proxy": "socks5://proxy.example"}, 1080),
            ({"HTTPS_PROXY": "http://proxy.example"}, 80),
            ({"HTTPS_PROXY": "HTTP://proxy.example?:3456"}, 80),
            ({"HTTPS_PROXY": "http://[::1]"}, 80),
            ({"HTTPS_PROXY": "http://user:3456@proxy.example"}, 80),
        ],
    )
    def test_an_http_proxy_stays_reachable(self, environ: dict[str, str], port: int) -> None:
        policy = CompiledPolicy(proxies_hold=(80, 1080))
        assert fence.of_policy(policy, environ).reachable == {port}
        policy.gateway_proxy = "http://127.0.0.1:11434"
        assert fence.of_policy(policy, environ).reachable == {port, 11434}

    @pytest.mark.parametrize("value", ["", "http://proxy.example:x", "http://[", "://", ":99999"])
    def test_a_variable_that_names_no_proxy(self, value: str) -> None:
        wanted = fence.of_policy(CompiledPolicy(), {"HTTPS_PROXY": value})
        assert wanted.reachable == frozenset()

    def test_described(self) -> None:
        count = len(local_proxies.distinctive())
        assert fence.describe(CompiledPolicy(), {}) == f"fence: {count} ports"
        # routeguard: ignore[RG103] a gateway of its own
        policy = CompiledPolicy(base_url="http://127.0.0.1:11434/v1")
        said = fence.describe(policy, {})
        assert said == f"fence: {count} ports (the way to the gateway may still connect to 11434)"

    def test_described_where_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ctypes", None)
        assert "not on this machine: " in fence.describe(CompiledPolicy(), {})


def outcome(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the filter answers: 0 to allow, else an errno. Reads the program as the kernel does."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(arguments + (0,) * 6)[:6])
    instructions = list(struct.iter_unpack("<HBBI", program))
    held = at = 0
    while True:
        code, yes, no, value = instructions[at]
        at += 1
        if code == 0x20:
            (held,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return 0 if value == 0x7FFF0000 else value & 0xFFFF
        else:
            holds = {
                0x15: held == value,
                0x35: held >= value,
                0x45: bool(held & value),
            }[code]
            at += yes if holds else no


class TestFilter:
    @pytest.mark.parametrize(
        ("machine", "arch", "socket_call", "sends"),
        [
            ("x86_64", 0xC000003E, 41, ((44, 3), (46, 2), (307, 3))),
            ("x86_64", 0x40000003, 359, ((369, 3), (370, 2), (345, 3))),
            ("aarch64", 0xC00000B7, 198, ((206, 3), (211, 2), (269, 3))),
            ("aarch64", 0x40000028, 281, ((290, 3), (296, 2), (374, 3))),
        ],
    )
    def test_each_table(
        self, machine: str, arch: int, socket_call: int, sends: tuple[tuple[int, int], ...]
    ) -> None:
        program = seccomp.program(machine)
        for family in (2, 10):
            assert outcome(program, arch, socket_call, family, 1, 6) == 0
            assert outcome(program, arch, socket_call, family, 1, 262) == errno.EPROTONOSUPPORT
            assert outcome(program, arch, socket_call, family, 1, 256) == errno.EPROTONOSUPPORT
        assert outcome(program, arch, socket_call, 1, 1, 0) == 0
        assert outcome(program, arch, socket_call, 17, 3, 256) == 0  # a packet socket
        assert outcome(program, arch, socket_call, 43, 1, 0) == errno.EAFNOSUPPORT
        for number, at in sends:
            flags = [0] * 6
            assert outcome(program, arch, number, *flags) == 0
            flags[at] = 0x4000
            assert outcome(program, arch, number, *flags) == 0
            flags[at] |= 0x20000000
            assert outcome(program, arch, number, *flags) == errno.EOPNOTSUPP
        assert outcome(program, arch, 425) == errno.EPERM
        assert outcome(program, arch, 426) == 0
        refused = [
            n for n in range(600) if outcome(program, arch, n) and n not in (425, socket_call)
        ]
        assert refused == []

    def test_what_is_no_table_of_the_machine(self) -> None:
        for machine in ("x86_64", "aarch64"):
            assert outcome(seccomp.program(machine), 0xC0000015, 1) == errno.ENOSYS
        program = seccomp.program("x86_64")
        assert outcome(program, 0xC000003E, 0x40000000 | 41, 2, 1, 0) == errno.ENOSYS
        assert [outcome(program, 0x40000003, 102, call) for call in (1, 2, 3, 11, 16, 20)] == [
            errno.EPERM,
            0,
            0,
            errno.EPERM,
            errno.EPERM,
            errno.EPERM,
        ]
        with pytest.raises(KeyError):
            seccomp.program("riscv64")


class TestMacos:
    def test_the_profile(self) -> None:
        words = sandbox.sandbox_exec(
            Fence([11434, 3456], [3456]), "/usr/local/bin/opencode", ["opencode", "run", "hi"]
        )
        assert words == [
            "/usr/bin/sandbox-exec",
            "-p",
            "(version 1)\n"
            "(allow default)\n"
            '(deny network-bind (local ip "*:3456"))\n'
            '(deny network-bind (local ip "*:11434"))\n'
            '(deny network-outbound (remote ip "localhost:11434"))',
            "/usr/local/bin/opencode",
            "run",
            "hi",
        ]

    def stand_in(self, path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        monkeypatch.setattr(sandbox, "SANDBOX_EXEC", str(path))

    def test_a_profile_that_does_not_hold_is_no_fence(
        self, tmp_path: Path, vacant: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.stand_in(tmp_path / "sandbox-exec", 'shift 2; exec "$@"', monkeypatch)
        with pytest.raises(UnavailableError, match="did not enforce"):
            sandbox.behind_profile(Fence([vacant]), "/bin/true", ["true"])

    def test_one_that_holds_is_used(
        self, tmp_path: Path, vacant: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import json
        import shlex

        # Landlock in its place: it shows that the trial tells the two cases apart
        words = json.dumps([[[repr([vacant]), []]], True, []])
        code = RUNNER.replace(
            "json.loads(sys.argv[1])", "json.loads(sys.argv[1])[:2] + [sys.argv[2:]]"
        )
        command = shlex.join([*PYTHON, "-c", code, words])
        self.stand_in(tmp_path / "sandbox-exec", f'shift 2; exec {command} "$@"', monkeypatch)
        program, argv = sandbox.behind_profile(Fence([vacant]), "/bin/echo", ["echo", "hi"])
        done = subprocess.run(argv, executable=program, capture_output=True, text=True, check=True)
        assert done.stdout == "hi\n"

    def test_no_sandbox_exec(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sandbox, "SANDBOX_EXEC", str(tmp_path / "none"))
        with pytest.raises(UnavailableError, match="there is no"):
            sandbox.behind_profile(Fence([1]), "/bin/true", ["true"])


STATUS = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status"
FENCED = "NoNewPrivs:\t1\nSeccomp:\t2\n"
OPEN = "NoNewPrivs:\t0\nSeccomp:\t0\n"


class TestLaunch:
    """Through `routeguard exec`, as the wrappers call it."""

    def agent(self, machine) -> None:
        machine.agent.write_text(f"#!/bin/sh\n{STATUS}\n")

    @pytest.mark.parametrize(
        ("policy", "option", "expected"),
        [
            ("off", (), OPEN),
            ("off", ("--fence",), FENCED),
            ("try", (), FENCED),
            ("try", ("--no-fence",), OPEN),
            ("require", (), FENCED),
            ("require", ("--no-fence", "--fence"), FENCED),
        ],
    )
    def test_an_agent(self, machine, policy: str, option: tuple[str, ...], expected: str) -> None:
        self.agent(machine)
        machine.policy(f'[proxies]\nfence = "{policy}"\naction = "flag"\n')
        done = machine.exec("opencode", "run", "hi", command=("exec", *option, "--"))
        assert (done.status, done.out) == (0, expected), done
        assert "fence" not in done.err

    @pytest.mark.parametrize(("policy", "loaded"), [("off", False), ("require", True)])
    def test_without_a_fence_nothing_of_it_is_loaded(
        self, machine, policy: str, loaded: bool
    ) -> None:
        machine.policy(f'[proxies]\nfence = "{policy}"\naction = "flag"\n')
        done = subprocess.run(
            [*PYTHON, "-X", "importtime", str(MAIN), "exec", "--", "opencode", "run", "hi"],
            env=machine.environ,
            cwd=machine.project,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, machine.started) == (0, 1), done
        for module in ("guard.launch.fence", "ctypes"):
            assert (f" {module}\n" in done.stderr) == loaded, module

    def test_no_fence_against_the_policy(self, machine) -> None:
        machine.policy('[proxies]\nfence = "require"\naction = "flag"\n')
        done = machine.exec("opencode", "run", "hi", command=("exec", "--no-fence", "--"))
        assert (done.status, machine.started) == (126, 0), done
        assert "[RG404]" in done.err
        assert "run it without --no-fence" in done.err

    def test_what_calls_no_model_is_fenced_only_if_asked(self, machine) -> None:
        self.agent(machine)
        machine.policy('[proxies]\nfence = "require"\n')
        assert machine.exec("opencode", "--version").out == OPEN
        assert machine.exec("opencode", "--version", command=("exec", "--no-fence")).out == OPEN
        assert machine.exec("opencode", "--version", command=("exec", "--fence")).out == FENCED

    def test_another_command_is_fenced_only_if_asked(self, machine) -> None:
        machine.policy('[proxies]\nfence = "require"\n')
        assert machine.exec("sh", "-c", STATUS).out == OPEN
        assert machine.exec("sh", "-c", STATUS, command=("exec", "--fence", "--")).out == FENCED
        assert machine.exec("sh", "-c", STATUS, command=("exec", "--fence")).out == FENCED

    def test_below_a_fenced_shell_the_agent_starts_again(self, machine) -> None:
        self.agent(machine)
        machine.policy('[proxies]\nfence = "require"\naction = "flag"\n')
        again = [*PYTHON, str(MAIN), "exec", "--", "opencode", "run", "hi"]
        done = machine.exec(*again, command=("exec", "--fence", "--"))
        assert (done.status, done.out) == (0, FENCED), done

    @pytest.mark.parametrize(
        ("fence_word", "option", "status"),
        [("require", (), 126), ("off", ("--fence",), 126), ("try", (), 0), ("off", (), 0)],
    )
    @pytest.mark.parametrize("failure", ["no Landlock", "filter rejected"])
    def test_a_machine_that_cannot(
        self, machine, fence_word: str, option: tuple[str, ...], status: int, failure: str
    ) -> None:
        machine.policy(f'[proxies]\nfence = "{fence_word}"\naction = "flag"\n')
        machine.exec("true")  # so that a fork compiles the policy
        words = [*PYTHON, str(MAIN), "exec", *option, "--", "opencode", "run", "hi"]
        done = subprocess.run(
            [*denying(failure), *words],
            env=machine.environ,
            cwd=machine.project,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, machine.started) == (status, int(not status)), done
        assert done.stderr.count("[RG404]") == int((fence_word, option) != ("off", ())), done
        if status:
            assert ("run it without --fence" in done.stderr) == bool(option)
            assert ('proxies.fence = "try"' in done.stderr) == (not option)

    def test_silence_where_it_is_asked_for(self, machine) -> None:
        machine.policy('[proxies]\nfence = "try"\naction = "flag"\n')
        done = subprocess.run(
            [*denying("no Landlock"), *PYTHON, str(MAIN), "exec", "--", "opencode", "run", "hi"],
            env={**machine.environ, "ROUTEGUARD_QUIET": "1"},
            cwd=machine.project,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")

    @pytest.mark.parametrize(("line", "status"), [("exit 7", 7), ("kill -TERM $$", -15)])
    def test_the_status_is_the_commands_own(self, machine, line: str, status: int) -> None:
        done = machine.exec("sh", "-c", line, command=("exec", "--fence", "--"))
        assert done.status == status

    def test_a_command_that_is_not_there(self, machine) -> None:
        done = machine.exec("no-such-command", command=("exec", "--fence", "--"))
        assert done.status == 127

    def test_a_script_without_an_interpreter_line(self, machine) -> None:
        machine.script(machine.bin / "plain", STATUS + "\n")
        done = machine.exec("plain", command=("exec", "--fence", "--"))
        assert (done.status, done.out) == (0, FENCED)

    def test_the_terminal_and_job_control(self, machine) -> None:
        command = f"{' '.join(PYTHON)} {MAIN} exec --fence -- "
        shell = pexpect.spawn(
            "/bin/bash",
            ["--norc", "--noprofile", "-i"],
            env={**machine.environ, "PS1": "READY> "},
            cwd=str(machine.project),
            timeout=30,
        )
        try:
            shell.expect_exact("READY> ")
            shell.sendline(command + "sh -c 'test -t 0 && echo is a $((1 + 1))tty; exec cat'")
            shell.expect_exact("is a 2tty")
            shell.send("\x1a")
            shell.expect_exact("Stopped")
            shell.expect_exact("READY> ")
            shell.sendline("fg")
            shell.sendline("words in")
            shell.expect_exact("words in\r\nwords in")
            shell.sendintr()
            shell.expect_exact("READY> ")
            shell.sendline("echo status=$?")
            shell.expect(r"status=(\d+)")
            assert shell.match.group(1) == b"130"
        finally:
            shell.close(force=True)
