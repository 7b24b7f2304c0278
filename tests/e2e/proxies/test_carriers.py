"""Programs that only carry a port: a launch is refused beside them, and nothing ever ends them.

A model server answers on a Unix socket; each of these makes a TCP port of it. What to do instead
is said. The last tests have a real proxy with others around it: it alone is ended.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from lab.person import BYSTANDER, LAUNCH, PROGRAMS, Person

pytestmark = pytest.mark.e2e

PORT = 4000
NGINX_PORT, SOCAT, SSH, NODE = 11434, 4000, 4001, 8000
MODELS = """
import os, socket, socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip(): pass
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 17\\r\\n")
        self.wfile.write(b"Connection: close\\r\\n\\r\\nOllama is running")
os.umask(0)
with socketserver.ThreadingUnixStreamServer(sys.argv[1], Handler) as server:
    server.serve_forever()
"""
NGINX = """
daemon off; {user} master_process on; worker_processes 2; pid {root}/nginx.pid;
error_log stderr; events {{ }}
http {{
    access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/temp;
    fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://unix:{models}; }}
    }}
}}
"""
VITE = """
const http = require("node:http");
http.createServer((asked, answer) => {{
  http.get({{socketPath: "{models}", path: asked.url}}, (got) => got.pipe(answer));
}}).listen({port}, "127.0.0.1");
"""

Missing = Callable[[str], NoReturn]


@pytest.fixture
def models(person: Person) -> Path:
    """The Unix socket on which a model server answers."""
    socket = person.root / "models"
    process = person.start([sys.executable, "-c", MODELS, str(socket)])
    person.network.await_true(socket.exists, process)
    return socket


def program(name: str, package: str, missing: Missing) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
    if found is None:
        missing(f"{name} is not on this machine: apt-get install {package}")
    return found


def ssh(person: Person, models: Path, missing: Missing) -> subprocess.Popen[bytes]:
    """An ssh that forwards a port to `models`, with a server of its own behind it."""
    sshd, client = program("sshd", "openssh-server", missing), program("ssh", "ssh", missing)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as its unit does at its start
    for key in ("host", "mine"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(person.root / key)]
        subprocess.run(words, check=True)
    config = person.root / "sshd_config"
    config.write_text(
        f"Port 2222\nListenAddress 127.0.0.1\nHostKey {person.root}/host\nUsePAM no\n"
        f"AuthorizedKeysFile {person.root}/mine.pub\nStrictModes no\nPermitRootLogin yes\n"
        f"PidFile {person.root}/sshd.pid\nAllowStreamLocalForwarding yes\n"
    )
    person.network.await_port(2222, person.start([sshd, "-D", "-e", "-f", config]))
    options = [
        *("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"),
        "ExitOnForwardFailure=yes",
    ]
    words = [client, "-F", "/dev/null", *(f"-o{option}" for option in options)]
    words += ["-i", str(person.root / "mine"), "-N", "-p2222"]
    return person.start([*words, "-L", f"{SSH}:{models}", "127.0.0.1"])


def test_what_carries_a_model_server_is_never_ended(
    person: Person, models: Path, missing_part: Missing
) -> None:
    """A launch is refused beside each of them; what to do instead of ending it is said."""
    socat, nginx = program("socat", "socat", missing_part), program("nginx", "nginx", missing_part)
    node = program("node", "nodejs", missing_part)
    config = person.root / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""
    config.write_text(NGINX.format(root=person.root, port=NGINX_PORT, models=models, user=user))
    listen = f"TCP-LISTEN:{SOCAT},bind=127.0.0.1,fork,reuseaddr"
    carriers = {
        NGINX_PORT: person.start([nginx, "-p", person.root, "-c", config]),
        SOCAT: person.start([socat, listen, f"UNIX-CONNECT:{models}"]),
        SSH: ssh(person, models, missing_part),
        NODE: person.start([node, "-e", VITE.format(models=models, port=NODE)]),
    }
    for port, process in carriers.items():
        person.network.await_port(port, process)
    rows = person.known(*carriers)
    for row in (rows[port] for port in carriers):
        assert (row["proxy"], row["state"], row["identified"]) == ("ollama", "forbidden", False)
    launch = person.says(LAUNCH, "RG402")
    assert launch.returncode == 126, launch

    before = person.network.pids()
    words = ("ports", "stop", *map(str, carriers), "ollama", "--yes")
    shows = [f"to see what uses port {port}:\n         routeguard ports --all" for port in carriers]
    done = person.says(words, *shows)
    assert done.returncode == 126
    for port, process in carriers.items():
        assert (f"\n         kill {process.pid}\n" in done.stderr) == (port != SSH)
    assert f"-KL{SSH}, in that ssh session" in done.stderr
    assert done.stderr.count("be passing on another program's reply") >= len(carriers)

    policy = person.home / ".config/routeguard/policy.toml"
    policy.write_text(policy.read_text() + 'action = "stop"\n')
    assert person.launch().returncode == 126, "a launch that may stop proxies does not, either"
    assert person.routeguard("ports", "stop", "--all", "--yes").returncode == 126
    person.routeguard("watch", "--once", "--on-find", "stop")
    assert set(before) <= set(person.network.pids())
    assert set(carriers) <= person.network.ports()
    assert {process.poll() for process in carriers.values()} == {None}


def test_a_socket_of_systemd_is_not_ended_with_its_manager(
    person: Person, models: Path, tmp_path: Path
) -> None:
    """A program of that name that holds the port for its units."""
    manager = tmp_path / "systemd"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", manager)
    code = (
        "import os, socket, sys; made = socket.create_server(('127.0.0.1', 11434));"
        "made.set_inheritable(True); os.execv(sys.argv[1], [sys.argv[1], '600'])"
    )
    process = person.start([sys.executable, "-c", code, str(manager)])
    person.network.await_port(11434, process)
    done = person.routeguard("ports", "stop", "11434", "--yes")
    assert done.returncode == 126
    assert "list-sockets" in done.stderr
    assert "kill" not in done.stderr
    assert process.poll() is None


def test_around_a_real_one_nothing_else_is_ended(person: Person, tmp_path: Path) -> None:
    """A browser that is connected, an editor with its file open, a shell that mentions it, a child
    of another name that inherited its socket."""
    litellm = tmp_path / "litellm"
    listener = (PROGRAMS / "listener.py").read_text()
    litellm.write_text(
        f"#!{sys.executable}\nimport os, subprocess, sys\n"
        "if len(sys.argv) > 3: subprocess.Popen(['sleep', '600'], close_fds=False)\n" + listener
    )
    litellm.chmod(0o755)
    bystander = person.bystander()
    process = person.start([litellm, "plain", str(PORT), "hello"])
    person.network.await_port(PORT, process)
    connect = (
        "import socket, sys, time; s = socket.create_connection(('127.0.0.1', 4000));"
        "print(1, flush=True); time.sleep(600)"
    )
    names = {"firefox": [sys.executable, "-c", connect], "vim": ["tail", "-f", str(litellm)]}
    around = [person.start(["bash", "-c", f'exec -a {n} "$@"', n, *w]) for n, w in names.items()]
    around.append(person.start(["bash", "-c", "sleep 600; : litellm --port 4000"]))
    around.append(person.start(["tail", "-f", "/dev/null", litellm]))

    def are_up() -> bool:
        first = [Path(f"/proc/{one.pid}/cmdline").read_bytes().split(b"\0")[0] for one in around]
        connected = "1" in person.network.log(around[0])
        return connected and first == [b"firefox", b"vim", b"bash", b"tail"]

    person.network.await_true(are_up, process)
    done = person.routeguard("ports", "stop", str(PORT), "--yes")
    assert done.returncode == 0, done
    assert person.network.ports() == {BYSTANDER}
    assert process.wait(60) is not None
    assert [one.poll() for one in (*around, bystander)] == [None] * 5
