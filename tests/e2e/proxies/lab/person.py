"""A user with a home, a policy and routeguard, in a network of their own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked
from harness.waiting import await_true

import guard

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from lab.network import Network

MAIN = Path(guard.__file__).with_name("__main__.py")
PROGRAMS = Path(__file__).parents[1] / "programs"
BYSTANDER = 9123
"""Where a web server listens that nothing may touch."""

LAUNCH = ("exec", "--", "opencode", "run", "hi")

AGENT = """#!{python} -IS
print("the agent runs")
"""


class Person:
    """One user; everything they run runs in `network`."""

    def __init__(self, root: Path, network: Network) -> None:
        self.root = root
        self.network = network
        self.home = root / "home"
        self.project = root / "project"
        for folder in (self.home, self.project):
            folder.mkdir()
        self.agent = self._install()
        self.policy()

    def _install(self) -> Path:
        # a stand-in in the package as npm lays it out: whether it ran is the question here,
        # not what it would have done
        package = self.root / "node_modules" / "opencode-ai"
        (package / "bin").mkdir(parents=True)
        (package / "package.json").write_text('{"name":"opencode-ai","version":"1.18.33"}')
        agent = package / "bin" / "opencode.exe"
        agent.write_text(AGENT.format(python=sys.executable))
        agent.chmod(0o755)
        (self.root / "bin").mkdir()
        (self.root / "bin" / "opencode").symlink_to(agent)
        return agent

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The user's environment and `more`."""
        return {
            "HOME": str(self.home),
            "PATH": f"{self.root / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "LANG": "C.UTF-8",
            "PORTKEY_API_KEY": "pk-canary0123456789abcdef",
            **(more or {}),
        }

    def policy(self, base_url: str = "https://api.portkey.ai/v1", hold: Sequence[int] = ()) -> None:
        """Write the user's policy."""
        path = self.home / ".config" / "routeguard" / "policy.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        ports = ", ".join(map(str, hold))
        path.write_text(f'[gateway]\nbase_url = "{base_url}"\n[proxies]\nhold = [{ports}]\n')
        path.chmod(0o600)

    def start(
        self,
        words: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program of the user's; its working directory is the project."""
        return self.network.start(words, self.environ(env), cwd or self.project)

    def bystander(self) -> subprocess.Popen[bytes]:
        """A web server that is no proxy, on BYSTANDER."""
        words = ["-m", "http.server", "--bind", "127.0.0.1", str(BYSTANDER)]
        process = self.start([sys.executable, *words])
        self.network.await_port(BYSTANDER, process)
        return process

    def routeguard(
        self, *words: str | Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run routeguard to its end: `exec` the way its wrappers do, the rest by a fork if root."""
        if words[0] != "exec" and os.getuid() == 0:
            done = forked.run(
                [str(word) for word in words],
                env=self.environ(env),
                cwd=self.project,
                network=self.network.namespace,
            )
        else:
            done = self.network.run(self.command(*words), self.environ(env), self.project)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def command(self, *words: str | Path) -> list[str | Path]:
        """`routeguard WORDS`, as words to start."""
        return [sys.executable, "-I", "-S", MAIN, *words]

    def launch(self) -> subprocess.CompletedProcess[str]:
        """What a guarded `opencode run hi` says."""
        return self.routeguard(*LAUNCH)

    def ports(self) -> list[dict[str, Any]]:
        """What `routeguard ports --all --json` says: a row for each port and program."""
        done = self.routeguard("ports", "--all", "--json")
        document = json.loads(done.stdout)
        assert done.returncode == (1 if document["forbidden"] else 0), done
        rows: list[dict[str, Any]] = document["ports"]
        return rows

    def port(self, port: int) -> dict[str, Any]:
        """The one row for `port`."""
        (row,) = (row for row in self.ports() if row["port"] == port)
        return row

    def known(self, *ports: int) -> dict[int, dict[str, Any]]:
        """The rows by their ports, once the servers on `ports` have told to be proxies.

        A server has 0.3 s to answer, which a busy machine may not give it.
        """

        def rows() -> dict[int, dict[str, Any]]:
            found = {row["port"]: row for row in self.ports()}
            return found if all(found[port]["proxy"] for port in ports) else {}

        return await_true(rows, self.ports)

    def says(self, words: Sequence[str], *texts: str) -> subprocess.CompletedProcess[str]:
        """What `routeguard WORDS` did, once all of `texts` are in what it says (see `known`)."""
        done = self.routeguard(*words)

        def all_said() -> bool:
            nonlocal done
            if all(text in done.stderr for text in texts):
                return True
            done = self.routeguard(*words)
            return False

        await_true(all_said, lambda: done)
        return done

    def fenced(self, *tasks: str) -> dict[str, str]:
        """What a program behind a fence gets for `connect:PORT` and `bind:PORT`: ok or an errno."""
        words: list[str | Path] = [sys.executable, PROGRAMS / "reach.py", *tasks]
        done = self.routeguard("exec", "--fence", "--", *words)
        assert done.returncode == 0, done
        answers: dict[str, str] = json.loads(done.stdout)
        return answers

    def hold(self, port: int) -> subprocess.Popen[bytes]:
        """Start `routeguard ports hold`, and wait until it says that it holds `port`."""
        process = self.start(self.command("ports", "hold", str(port)))
        self.network.await_true(
            lambda: "holds 1 ports" in self.network.log(process),
            process,
            what=f"{port} is not held",
        )
        return process
