"""The dispatcher, and what each module of the hot path costs when it is imported alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard import dispatch as entry
from guard.cli import COMMANDS
from guard.dispatch import main
from guard.errors import ExitCode, GuardError

ROOT = Path(entry.__file__).resolve().parents[1]

COLD = (
    "addresses.py",
    "connected.py",
    "guarded.py",
    "inside.py",
    "rendered.py",
    "running.py",
    "today.py",
)
"""What `agents`, `watch`, `explain` and `managed` ask of an agent; no launch waits for it."""

HOT = [
    *sorted(
        str(path.relative_to(ROOT)).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in (ROOT / "guard" / "agents").rglob("*.py")
        if path.name not in COLD
    ),
    "guard.audit", "guard.catalog.classify", "guard.dispatch", "guard.errors", "guard.findings",
    "guard.hook.command", "guard.hook.liveness", "guard.launch.agent",
    "guard.launch.execute", "guard.launch.fence",
    "guard.launch.keys", "guard.launch.local_proxies", "guard.launch.print_key",
    "guard.launch.resolve", "guard.paths", "guard.policy.cache",
    "guard.proxies.found", "guard.proxies.gateway", "guard.proxies.glance",
    "guard.proxies.harmless",
    "guard.rule_table", "guard.sources.sockets",
]  # fmt: skip


EACH_ALONE = """
import sys, __future__, errno, gc, os, stat, time, zlib, _imp
before = set(sys.modules)
sys.path.append(sys.argv[1])
for module in sys.argv[2:]:
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        assert status == 0, module
        continue
    __import__(module)
    more = sorted(m for m in set(sys.modules) - before if m.partition(".")[0] != "guard")
    print(module, *more, flush=True)
    os._exit(0)
"""


def test_a_hot_module_imports_nothing_but_what_is_there() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", EACH_ALONE, str(ROOT), *HOT],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == HOT


HEAVY = {
    "asyncio", "click", "dataclasses", "dotenv", "enum", "json", "pathlib", "psutil", "pydantic",
    "re", "rich", "subprocess", "typing",
}  # fmt: skip


def test_a_command_that_is_no_agent_imports_nothing_heavy(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", "-X", "importtime", str(ROOT / "guard/__main__.py")]
    environ = {"HOME": str(tmp_path), "PATH": os.defpath}
    for _ in range(2):  # the first run compiles the policy
        done = subprocess.run(
            [*command, "exec", "--", "true"],
            env=environ, cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
    imported = {
        line.rsplit("|", 1)[1].strip().partition(".")[0]
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "guard" in imported
    assert imported & HEAVY == set()


class TestDispatch:
    def test_an_expected_failure(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["exec"]) == ExitCode.USAGE
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("routeguard: exec needs a command")

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (GuardError("x"), 126),
            (KeyboardInterrupt(), 130),
            (ValueError("canary-secret"), ExitCode.INTERNAL),
            (UnicodeDecodeError("utf-8", b"canary-secret", 0, 1, "x"), ExitCode.INTERNAL),
        ],
    )
    def test_how_it_ends(
        self,
        error: BaseException,
        status: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail(argv: list[str]) -> int:
            raise error

        monkeypatch.setattr("guard.launch.execute.main", fail)
        assert main(["exec", "--", "x"]) == status
        said = capsys.readouterr().err
        assert "canary-secret" not in said
        assert "Traceback" not in said
        if status == ExitCode.INTERNAL:
            # the place of the bug, without the values that were at it
            assert f"{type(error).__name__} at test_main.py:" in said

    @pytest.mark.parametrize("words", [["exec", "--help"], ["exec", "-h"], ["hook", "--help"]])
    def test_help_is_ours(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(words) == 0
        assert f"routeguard {words[0]}" in capsys.readouterr().out

    def test_help_of_the_command_is_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[list[str]] = []
        monkeypatch.setattr("guard.launch.execute.main", lambda argv: seen.append(argv) or 0)
        for words in (["--", "opencode", "--help"], ["opencode", "-h"]):
            assert main(["exec", *words]) == 0
        assert seen == [["--", "opencode", "--help"], ["opencode", "-h"]]

    def test_each_command_loads_first_and_alone(self) -> None:
        """The tests that run a command fork an interpreter that has loaded all of them."""
        script = (
            "import importlib, os, click\n"
            f"for target in {sorted(COMMANDS.values())!r}:\n"
            "    if (child := os.fork()) == 0:\n"
            "        module, _, attribute = target.partition(':')\n"
            "        os._exit(not callable(getattr(importlib.import_module(module), attribute)))\n"
            "    assert os.waitpid(child, 0)[1] == 0, target\n"
        )
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)

    def test_an_unknown_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["explian"]) == ExitCode.USAGE
        assert "explain" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "successor"),
        [
            ("portkey setup", "setup"),
            ("shim remove", "shim uninstall"),
            ("ports watch", "watch"),
            ("ports --watch", "watch"),
            ("uninstall", "teardown"),
            ("version", "--version"),
            ("allow variable X", "allow env"),
            ("allow remove port:11434", "allow revoke"),
        ],
    )
    def test_a_former_name_says_what_it_is_called_now(
        self, words: str, successor: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(words.split()) == ExitCode.USAGE
        assert f"it is called:\n         routeguard {successor}\n" in capsys.readouterr().err
        with pytest.raises(SystemExit, match="0"):
            raise SystemExit(main([*successor.split()[:2], "--help"]))

    @pytest.mark.parametrize(
        ("words", "meant"),
        [
            (["revoke", "port:1"], "allow revoke port:1"),
            (["show", "policy", "--json"], "policy show --json"),
            (["help", "policy", "show"], "policy --help"),
            (["policyy", "show"], "policy show"),
            (["allow", "prt", "1", "--reason", "a b"], "allow port 1 --reason 'a b'"),
            (["claude", "-p", "a b"], "exec -- claude -p 'a b'"),
            (["aider"], "exec -- aider"),
        ],
    )
    def test_a_command_of_a_group_is_found_without_it(
        self, words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(words) == ExitCode.USAGE
        assert f"did you mean:\n         routeguard {meant}\n" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [("--selct", "--select"), ("--jsno", "--json"), ("--staeged", "--staged")],
    )
    def test_the_nearest_option_is_named(
        self, typed: str, meant: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["check", typed]) == ExitCode.USAGE
        assert f"did you mean: {meant}\n" in capsys.readouterr().err

    def test_a_word_that_is_no_choice(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["completion", "tcsh"]) == ExitCode.USAGE
        said = capsys.readouterr().err
        assert said.startswith("routeguard: no such shell: tcsh\n")
        assert "did you mean" not in said

    def test_a_word_that_is_nearly_a_choice(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["doctor", "shim"]) == ExitCode.USAGE
        assert "did you mean:\n         routeguard doctor shims\n" in capsys.readouterr().err
        assert main(["verify", "--agent", "opncode"]) == ExitCode.USAGE
        assert "did you mean: --agent opencode\n" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["verify", "--timeout", "0"], "--timeout: 0.0 is not from 1 to 3600"),
            (["watch", "--interval", "0"], "--interval: 0.0 is not from 0.2 to 3600"),
        ],
    )
    def test_a_number_outside_of_its_range(
        self, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(words) == ExitCode.USAGE
        assert capsys.readouterr().err.startswith(f"routeguard: {said}\n")
        assert main([words[0], "--help"]) == ExitCode.OK
        assert f"; {said.partition(' from ')[2]}]" in capsys.readouterr().out

    @pytest.mark.parametrize("words", [["--help"], ["--version"]])
    def test_ways_to_start(self, words: list[str], tmp_path: Path) -> None:
        outputs = set()
        for command in (
            [sys.executable, "-I", "-S", str(ROOT / "guard/__main__.py")],
            [sys.executable, str(ROOT / "guard/__main__.py")],
            [sys.executable, "-m", "guard"],
        ):
            done = subprocess.run(
                [*command, *words],
                cwd=ROOT if "-m" in command else tmp_path,
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            outputs.add(done.stdout)
        assert len(outputs) == 1

    def test_install_sh_needs_no_package(self, tmp_path: Path) -> None:
        """A dry run of what it runs from a clone, by a Python that has none."""
        words = ("bootstrap", "--dry-run", "--shell", "bash")
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(ROOT / "guard/__main__.py"), *words],
            cwd=tmp_path, env={"HOME": str(tmp_path), "PATH": os.defpath},
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "~/.local/share/routeguard/shims/" in done.stdout

    def test_nothing_of_the_working_directory_is_imported(self, tmp_path: Path) -> None:
        for name in ("click.py", "guard.py", "os.py", "sitecustomize.py", "zlib.py"):
            (tmp_path / name).write_text("import sys; sys.exit('taken over')\n")
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(ROOT / "guard/__main__.py"), "exec", "--", "true"],
            cwd=tmp_path, check=False, capture_output=True, text=True,
            env={"HOME": str(tmp_path), "PATH": os.defpath, "PYTHONPATH": str(tmp_path)},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("to", "status", "said"),
    [
        ("allow list >&-", 0, ""),
        ("allow list >/dev/full", 3, "no space left where it goes"),
        ("status --short >/dev/full", 3, "no space left where it goes"),
        ("hook zsh >&-", 0, ""),
        ("--version >&-", 0, ""),
    ],
)
def test_an_output_that_takes_nothing(tmp_path: Path, to: str, status: int, said: str) -> None:
    if to.endswith("/dev/full") and not os.path.exists("/dev/full"):
        return  # Linux and the BSDs have it
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m guard {to}', sys.executable],
        env={"HOME": str(tmp_path), "PATH": os.defpath}, cwd=ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert done.stderr.count("\n") <= 1


@pytest.mark.parametrize("width", [40, 80])
def test_what_a_launch_says_is_folded_at_the_terminals_width(width: int, tmp_path: Path) -> None:
    """The refusal of a typed line too, which a shell reads through a pipe before it shows it."""
    script = (
        "import fcntl, os, pty, struct, subprocess, sys, termios\n"
        "pid, screen = pty.fork()\n"
        "if pid == 0:\n"
        f"    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, {width}, 0, 0))\n"
        "    done = subprocess.run(\n"
        f"        [sys.executable, '-IS', {str(ROOT / 'guard/__main__.py')!r}, 'line', 'bash'],\n"
        "        input=b'litellm --port 4000', stderr=subprocess.PIPE)\n"
        "    os.write(2, done.stderr)\n"
        "    os._exit(done.returncode)\n"
        "out = b''\n"
        "try:\n"
        "    while data := os.read(screen, 4096):\n"
        "        out += data\n"
        "except OSError:\n"
        "    pass\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode(), sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={"HOME": str(tmp_path), "PATH": os.defpath},
    )  # fmt: skip
    status, *lines = done.stdout.splitlines()
    assert status == "126"
    assert "[RG403]" in done.stdout
    # a command stays whole
    assert max(len(line) for line in lines if "routeguard allow" not in line) <= width


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("words", "status"), [("hook", 0), ("exec -- no-such-agent", ExitCode.NOT_FOUND)]
)
def test_nobody_reads_what_is_said(tmp_path: Path, stderr: str, words: str, status: int) -> None:
    """A hook is printed all the same, and a launch ends as it would."""
    if stderr.endswith("/dev/full") and not os.path.exists("/dev/full"):
        return  # Linux and the BSDs have it
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m guard {words} {stderr}; exit "$?"', sys.executable],
        cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "SHELL": "/bin/zsh"},
    )  # fmt: skip
    assert done.returncode == status
    assert bool(done.stdout) == (words == "hook")
