"""A line that starts a local proxy is refused before it runs; any other runs once, as typed.

The real judge is behind the hook. Programs of the names in question are stand-ins that leave a
mark, so what ran is read from a file, not from the terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest
from waiting import wait_for

from guard.policy.values import OtherAgent

pytestmark = pytest.mark.shells

Open = Callable[..., Any]
MachineFor = Callable[[Any], Any]
REFUSED = [
    "litellm --port 4000",
    "LITELLM_MODE=x litellm &",
    "ollama serve",
    "ccr start",
    "npx @portkey-ai/gateway",
    "npx -y @musistudio/claude-code-router start",
    "python -m litellm.proxy.proxy_cli",
    "python3 -m litellm",
    "docker run -p 4000:4000 ghcr.io/berriai/litellm:main",
    "sudo -E ollama serve",
    "true; litellm",
    "true && nohup litellm | cat",
    "sh -c 'litellm --port 4000'",
    "uvx --from 'litellm[proxy]' litellm",
    "llm",
]
NOT_BY_NAME = [
    *("npx @portkey-ai/gateway", "npx -y @musistudio/claude-code-router start"),
    *("python -m litellm.proxy.proxy_cli", "python3 -m litellm"),
    "docker run -p 4000:4000 ghcr.io/berriai/litellm:main",
    *("sudo -E ollama serve", "true && nohup litellm | cat"),
    *("sh -c 'litellm --port 4000'", "uvx --from 'litellm[proxy]' litellm"),
]
"""What bash 3.2 to 4.4 runs all the same: another program is asked, or starts the proxy itself."""
ALLOWED = [
    ("ollama list", "ollama list"),
    ("pip install litellm", "pip install litellm"),
    ("grep litellm x", "grep litellm x"),
    ('git commit -m "litellm serve"', "git commit -m litellm serve"),
    ("vim litellm.py", "vim litellm.py"),
    ("litellm --help", "litellm --help"),
    ("kubectl logs svc/litellm", "kubectl logs svc/litellm"),
    ("ollama list | cat", "ollama list"),
    ("sudo -E ollama list", "sudo -E ollama list"),
]


@pytest.fixture
def machine(machine_for: Callable[[Any], Any], shell: Any) -> Any:
    return machine_for(shell)


def test_what_starts_a_proxy_never_runs(machine: Any) -> None:
    session = machine.open()
    for line in REFUSED:
        if machine.by_name and line in NOT_BY_NAME:
            continue
        output = session.run(line)
        if machine.by_name and line.endswith("&"):
            output += session.run("wait")
        assert session.refusals(output) == 1, line
        assert machine.marks() == [], line
    assert 'routeguard allow port 4000 --for 2h --reason "' in output


def test_a_package_of_an_agent_that_is_refused_is_not_fetched(machine: Any) -> None:
    if machine.by_name:
        return  # `npx` is not asked about there
    agent = OtherAgent(
        agent="gemini-cli", title="Gemini CLI", names=("gemini",), packages=("@google/gemini-cli",)
    )
    session = machine.open(others=(agent,))
    for line in ("npx -y @google/gemini-cli", "npx https://github.com/google-gemini/gemini-cli"):
        output = session.run(line)
        assert "refused: this line starts Gemini CLI [RG207]" in output
    session.run("git clone https://github.com/google-gemini/gemini-cli")
    assert machine.marks() == ["git clone https://github.com/google-gemini/gemini-cli"]


def test_everything_else_runs_once_with_its_own_status(machine: Any) -> None:
    session = machine.open()
    for number, (line, mark) in enumerate(ALLOWED):
        session.child.sendline(line)
        status = session.value(machine.shell.status)
        assert status == ("0" if "|" in line else "7"), line
        assert machine.marks()[number:] == [mark], line


def test_words_in_what_runs_nothing_of_theirs(machine: Any) -> None:
    session = machine.open()
    out = machine.guarded.directory / "out"
    lines = [f"echo litellm >{out}", f"which ollama >>{out}"]
    if machine.shell.name != "fish":
        lines += [f"cat <<EOF >>{out}", "litellm --port 1", "ollama serve", "EOF"]
    for line in lines[:2]:
        assert session.messages(session.run(line)) == []
    for line in lines[2:]:
        session.child.sendline(line)
    assert session.messages(session.sync()) == []
    expected = ["litellm", str(machine.programs / "ollama")]
    if machine.shell.name != "fish":
        expected += ["litellm --port 1", "ollama serve"]
    assert out.read_text().splitlines() == expected
    assert machine.marks() == []


def test_several_lines_of_one_command(machine: Any) -> None:
    session = machine.open()
    if machine.by_name:
        for line in ("for i in 1 2; do", "litellm", "ollama list", "done"):
            session.child.sendline(line)
        assert session.refusals(session.sync()) == 2
        assert machine.marks() == ["ollama list"] * 2
        return
    end = "end" if machine.shell.name == "fish" else "done"
    for line in ("for i in 1 2" + ("" if machine.shell.name == "fish" else "; do"), "litellm"):
        session.child.sendline(line)
    assert session.refusals(session.sync()) == 1
    for line in ("docker run \\", "-p 4000:4000 \\", "ghcr.io/berriai/litellm"):
        session.child.sendline(line)
    assert session.refusals(session.sync()) == 1
    assert machine.marks() == []
    begin = "for i in 1 2" + ("" if machine.shell.name == "fish" else "; do")
    for line in (begin, "ollama list", end):
        session.child.sendline(line)
    session.sync()
    assert machine.marks() == ["ollama list"] * 2


def test_an_exception_for_the_port_lets_it_run(machine: Any) -> None:
    machine.policy('[[exception]]\nsubject = "port:4000"\nreason = "r"\nuntil = 2099-01-01\n')
    session = machine.open()
    assert session.messages(session.run("litellm")) == []
    assert session.refusals(session.run("litellm --port 4001")) == 1
    assert session.messages(session.run("ollama serve --port 4000")) == []
    assert machine.marks() == ["litellm ", "ollama serve --port 4000"]


def test_flag_says_so_and_runs_it(machine: Any) -> None:
    machine.policy('[proxies]\nprompt = "flag"\n')
    session = machine.open(proxies_prompt="flag")
    (said,) = session.messages(session.run("litellm"))
    assert said == "routeguard: flagged: this line starts LiteLLM proxy [RG403]"
    assert machine.marks() == ["litellm "]


def test_off_is_not_in_the_hook(machine: Any) -> None:
    session = machine.open(proxies_prompt="off")
    assert "line" not in re.findall(
        r"-I -S \S+ (\w+)", (machine.guarded.directory / f"hook.{machine.shell.name}").read_text()
    )
    session.run("litellm")
    assert machine.marks() == ["litellm "]


def test_a_judge_that_fails_stops_nothing(machine: Any) -> None:
    session = machine.open()
    machine.policy("[proxies\n")
    (said,) = session.messages(session.run("litellm"))
    assert said.startswith("routeguard: this line was not checked: ")
    assert machine.marks() == ["litellm "]


@pytest.mark.parametrize("how", ["gone", "broken"])
def test_without_a_judge_the_line_runs(machine: Any, how: str) -> None:
    machine.guarded.main = machine.guarded.directory / "main.py"
    session = machine.open()
    if how == "gone":
        machine.guarded.main.unlink()
    else:
        machine.guarded.main.write_text("raise SystemExit(3)\n")
    (said,) = session.messages(session.run("litellm"))
    assert said.startswith("routeguard: this line was not checked: ")
    assert machine.marks() == ["litellm "]


def test_the_history_has_each_line_once(machine: Any) -> None:
    machine.guarded.python = Path(sys.executable)  # here the judge is no fork
    session = machine.open()
    if machine.shell.name == "zsh":
        session.run("HISTSIZE=100")
    for line in ("ollama list", "litellm --port 4000", " ollama serve"):
        session.run(line)
    command = {"bash": "history", "zsh": "fc -l 1", "fish": "history | cat"}[machine.shell.name]
    lines = [line.strip() for line in session.run(command).splitlines()]
    lines = [re.sub(r"^\d+\*?\s+", "", line) for line in lines]
    assert lines.count("ollama list") == 1
    assert sum("litellm --port 4000" in line and "alias" not in line for line in lines) == 1
    assert not any("__routeguard" in line for line in lines)


def test_a_key_in_the_line_reaches_nobody(machine: Any) -> None:
    """The judge is told through a pipe: not in its arguments, its environment, or a file."""
    main = machine.guarded.directory / "main.py"
    main.write_text(
        "import os, sys\n"
        "with open(os.environ['RECORD'], 'a') as file:\n"
        "    own = open('/proc/self/cmdline').read() + open('/proc/self/environ').read()\n"
        "    seen = 'CANARY' in own or 'CANARY' in str(os.environ)\n"
        "    file.write(f'{sys.argv[1:]} {seen} {\"CANARY\" in sys.stdin.read()}\\n')\n"
    )
    machine.guarded.main = main
    session = machine.open()
    if machine.shell.name != "fish":
        session.run("set -a")
    session.run("OPENAI_API_KEY=CANARY litellm")
    session.child.sendline("OPENAI_API_KEY=CANARY \\")
    session.run("ollama list")
    lines = machine.guarded.record.read_text().splitlines()
    if machine.by_name:  # what stands before a function is in its environment, and not in its words
        assert set(lines) == {"['line', 'bash'] True False"}
    else:
        assert f"['line', '{machine.shell.name}'] False True" in lines
        assert not any(" True " in line for line in lines)
    session.close()
    own = [machine.guarded.scratch, machine.guarded.home / ".cache/routeguard"]
    own += [machine.guarded.home / ".local/state/routeguard"]
    for place in own:
        for path in place.rglob("*"):
            assert path.is_dir() or b"CANARY" not in path.read_bytes()


@pytest.mark.parametrize(
    "lines", [["litellm --port 4000"], ["if true; then", "litellm --port 4000; fi"]]
)
def test_a_refused_line_leaves_one_prompt_in_zsh(
    machine_for: MachineFor, zsh: Any, lines: list[str]
) -> None:
    session = machine_for(zsh).open()
    session.run("PS1='<''PROMPT>'")
    for line in lines[:-1]:
        session.child.sendline(line)
        time.sleep(0.3)
    session.child.sendline(lines[-1])
    session.child.expect_exact("[RG403]")
    time.sleep(1)
    output = session.sync()
    assert output.count("<PROMPT>") == 1, output


def test_the_editor_is_as_it_was(machine: Any) -> None:
    session = machine.open()
    session.child.send("litellm --po")
    time.sleep(0.5)
    assert session.messages(session.interrupt()) == []
    session.child.sendline("")
    session.child.sendline("sh -c 'exit 5'")
    assert session.value(machine.shell.status) == "5"
    # fish keeps a line that is no command in its editor
    session.child.sendline("echo )" if machine.shell.name == "fish" else "if )")
    time.sleep(0.5)
    session.interrupt()
    assert session.value("fine") == "fine"
    assert session.messages(session.run(": " + "long " * 200)) == []
    assert machine.marks() == []


def test_ctrl_z_and_fg_of_what_was_judged(machine: Any) -> None:
    path = machine.programs / "ollama"
    end = machine.guarded.directory / "end"
    os.mkfifo(end)
    # it starts nothing: a child that is stopped between vfork and exec keeps it from being stopped
    path.write_text(
        f"#!/bin/sh\necho $$ >>{machine.ran}\nread -r word <{end}\necho $word >>{machine.ran}\n"
    )
    session = machine.open()
    session.child.sendline("ollama list")
    wait_for(machine.marks)
    (pid,) = machine.marks()

    def stopped() -> bool:
        session.child.send("\x1a")
        time.sleep(0.5)
        return psutil.Process(int(pid)).status() == psutil.STATUS_STOPPED

    # nothing comes of it before the shell has handed the terminal over
    wait_for(stopped)
    assert re.search("stopped|suspended", session.run("jobs"), re.IGNORECASE)
    session.child.sendline("fg")
    end.write_text("ended\n")
    session.sync()
    assert machine.marks() == [pid, "ended"]


def test_loading_it_again_and_again(machine: Any) -> None:
    session = machine.open()
    for _ in range(3):
        session.run(machine.shell.source(machine.guarded.hook(machine.shell)))
    assert session.refusals(session.run("litellm")) == 1
    session.run("ollama list")
    assert machine.marks() == ["ollama list"]


@pytest.mark.parametrize("mode", ["emacs", "vi"])
def test_in_both_ways_of_editing(machine: Any, mode: str) -> None:
    if machine.shell.name == "fish":
        # without its configuration fish has no insert mode; the home directory holds none of ours
        machine.shell.interactive = [machine.shell.batch[0], "-i"]
    session = machine.open()
    switch = {
        "bash": f"set -o {mode}",
        "zsh": "bindkey -v" if mode == "vi" else "bindkey -e",
        "fish": "fish_vi_key_bindings" if mode == "vi" else "fish_default_key_bindings",
    }
    session.run(switch[machine.shell.name])
    machine.ran.unlink(missing_ok=True)  # fish starts a Python of its own in a new home
    assert session.refusals(session.run("litellm")) == 1
    if mode == "vi" and machine.shell.name != "fish":
        session.child.send("litellm\x1b\r")
        assert session.refusals(session.sync()) == 1
    session.run("ollama list")
    assert machine.marks() == ["ollama list"]


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_an_event_of_the_history_is_judged_as_what_it_becomes(
    name: str, machine_for: MachineFor, request: pytest.FixtureRequest
) -> None:
    machine = machine_for(request.getfixturevalue(name))
    session = machine.open(proxies_prompt="refuse")
    if name == "zsh":
        session.run("HISTSIZE=100")
    session.run("ollama list")
    session.run("!ollama:s/list/ps/")
    assert machine.marks() == ["ollama list", "ollama ps"]
    assert session.refusals(session.run("!ollama:s/ps/serve/")) == 1
    assert machine.marks() == ["ollama list", "ollama ps"]


@pytest.mark.parametrize("control", ["", "ignoreboth:erasedups"])
def test_bash_judges_what_becomes_of_the_line_before(
    control: str, machine_for: MachineFor, bash: Any
) -> None:
    machine = machine_for(bash)
    session = machine.open()
    session.run(f"HISTCONTROL={control} HISTTIMEFORMAT='%F %T '")
    for number, event in enumerate(("^list^serve", "!!:s/list/serve/", "!-1:s/list/serve/")):
        # at once: what asks whether the shell is ready is an entry of the history, too
        session.child.send(f"ollama list\rollama list\r{event}\r")
        assert session.refusals(session.sync()) == 1, event
        assert machine.marks() == ["ollama list"] * 2 * (number + 1)
    session.child.send("ollama list\r!!\r")
    session.sync()
    assert machine.marks() == ["ollama list"] * 8


def test_bash_judges_under_a_debugger(
    machine_for: MachineFor, guarded: Any, open_session: Open, bash: Any
) -> None:
    machine = machine_for(bash)
    session = machine.open()
    session.run("shopt -s extdebug; trap 'echo debug' DEBUG")
    assert session.refusals(session.run("litellm")) == 1
    session.run("ollama list")
    assert machine.marks() == ["ollama list"]


@pytest.mark.parametrize(
    "trick",
    [
        *(
            "readonly __rg_text",
            "readonly __rg_result=0",
            "readonly __rg_typed=",
            "readonly __rg_ok=x",
        ),
        *("declare -r __rg_seen=1", "declare -ri __rg_words=1", "readonly -a __rg_send=(1)"),
        *("builtin() { :; }", "enable -n local"),
    ],
)
def test_bash_runs_no_line_that_it_cannot_judge(
    trick: str, machine_for: MachineFor, bash: Any
) -> None:
    machine = machine_for(bash)
    if machine.by_name:
        return
    session = machine.open()
    session.run(trick)
    for line in (
        "litellm --port 4000",
        "docker run ollama/ollama",
        "ls; Ollama serve",
        "set -u; lite up",
    ):
        assert "refused: this line cannot be judged" in session.run(line), line
    assert machine.marks() == []
    session.run("git status")
    assert machine.marks() == ["git status"]


def test_bash_asks_about_every_variable_of_its_own() -> None:
    hook, line = (Path(f"shell/{name}.bash").read_text() for name in ("hook", "line"))
    asked = line[line.index("function __routeguard_settable") :]
    asked = asked[: asked.index("}")]
    judged = line[line.index("function __routeguard_expand") :]
    judged = judged[: judged.index("function __routeguard_keys")]
    looked = hook[hook.index("function __routeguard_probe") : hook.index("# Some programs take")]
    looked += hook[hook.index("function __routeguard_look") : hook.index("# Said once")]
    names = re.compile("__rg_[a-z_]+")
    missing = {*names.findall(judged + looked)} - {*names.findall(asked)}
    assert missing <= {"__rg_pause"}, "__routeguard_settable in line.bash asks about each"


def test_bash_keeps_what_enter_is_bound_to(
    machine_for: MachineFor, guarded: Any, open_session: Open, bash: Any
) -> None:
    machine = machine_for(bash)
    session = open_session(bash, {"PATH": f"{machine.programs}:{guarded.environ['PATH']}"})
    session.run("""bind '"\\C-m": "\\C-j"'""")
    session.run(bash.source(guarded.hook(bash)))
    assert "\\C-m outputs \\C-j" in session.run("bind -S")


def test_bash_judges_what_a_key_of_the_users_own_runs(
    machine_for: MachineFor, guarded: Any, open_session: Open, bash: Any
) -> None:
    """Beside the keys that everybody has, and in the place of one of them."""
    machine = machine_for(bash)
    session = open_session(machine.shell, {"PATH": f"{machine.programs}:{guarded.environ['PATH']}"})
    session.run("""bind '"\\C-x\\"": accept-line' '"\\C-x,": accept-line' '"\\C-o": "mine"'""")
    # bash names five keys of one command, then three dots
    session.run("for key in a b c d e f g h; do bind '\"\\C-x'$key'\": accept-line'; done")
    session.run(bash.source(guarded.hook(bash)))
    if machine.by_name:
        return
    for key in ('\x18"', "\x18,", "\r", "\x18a", "\x18h"):
        session.child.send(f"litellm --port 4000{key}")
        assert session.refusals(session.sync()) == 1
    assert machine.marks() == []


def test_bash_binds_no_key_where_it_reads_no_line(guarded: Any, bash: Any) -> None:
    script = f"{bash.source(guarded.hook(bash))}; echo $BASH_VERSINFO; bind -s"

    def shown(*words: str, typed: str = "") -> str:
        return subprocess.run(
            [*bash.interactive, *words],
            input=typed,
            env=guarded.environ,
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    assert "5301~" not in shown("-c", script)
    version, _, keys = shown(typed=f"{script}\n").partition("\n")
    assert ("5301~" in keys) == (int(version) >= 5)


def test_bash_judges_what_ctrl_o_runs(
    machine_for: MachineFor, guarded: Any, open_session: Open, bash: Any
) -> None:
    machine = machine_for(bash)
    session = machine.open()
    if machine.by_name:
        assert '"\\C-o"' in session.run("bind -q operate-and-get-next")
        return
    # the readline of bash 5.0 brings the same line again, which Ctrl-A and Ctrl-K take away
    session.child.send("litellm --port 4000\x0f\x01\x0b")
    assert session.refusals(session.sync()) == 1
    session.child.send("ollama list\x0f\x01\x0b")
    session.sync()
    assert machine.marks() == ["ollama list"]
    session.run('bind \'"\\C-o": "mine"\'')
    session.run(bash.source(guarded.hook(bash)))
    assert "\\C-o outputs mine" in session.run("bind -S")


def test_bash_keeps_the_last_word_and_the_last_match(
    machine_for: MachineFor, guarded: Any, open_session: Open, bash: Any
) -> None:
    session = machine_for(bash).open()
    session.child.sendline("[[ abc =~ b ]]; : one last-word")
    assert session.value("$_") == "last-word"
    assert session.value("${BASH_REMATCH[0]}") == "b"


def test_an_older_bash_has_functions_instead(
    machine_for: MachineFor, guarded: Any, open_session: Open, bash: Any
) -> None:
    """The branch for bash 3.2 to 4.4, taken by the bash that is here."""
    machine = machine_for(bash)
    path = guarded.hook(bash)
    text = path.read_text()
    path.write_text(
        "OLD_BASH_VERSINFO=(3 2)\n" + text.replace("BASH_VERSINFO", "OLD_BASH_VERSINFO")
    )
    session = open_session(bash, {"PATH": f"{machine.programs}:{guarded.environ['PATH']}"})
    session.run(bash.source(path))
    assert session.refusals(session.run("litellm --port 4000")) == 1
    assert session.value("$(ollama serve 2>/dev/null; echo $?)") == "126"
    assert session.value("$(ollama list; echo $?)") == "7"
    assert machine.marks() == ["ollama list"]


def prompted(tmux: list[str], before: str) -> str:
    """What the screen shows once that is not what it was `before`, and ends with a prompt."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        capture = subprocess.run(
            [*tmux, "capture-pane", "-p"], check=True, capture_output=True, text=True
        )
        if capture.stdout != before and capture.stdout.rstrip().endswith("\n>"):
            return capture.stdout
        time.sleep(0.1)
    raise TimeoutError


def test_bash_in_a_terminal_with_a_long_prompt(
    machine_for: MachineFor,
    guarded: Any,
    open_session: Open,
    bash: Any,
    missing_part: Callable[[str], NoReturn],
) -> None:
    """What is on the screen afterwards is what would be there without the hook."""
    if shutil.which("tmux") is None:
        missing_part("tmux is not installed (Debian: apt-get install tmux)")
    screens = []
    for hook in (True, False):
        socket = f"routeguard-{guarded.directory.parent.name}-{hook}"
        tmux = ["tmux", "-L", socket, "-f", "/dev/null"]
        environ = {**guarded.environ, "TERM": "xterm", "PS1": "[top]\\n> "}
        subprocess.run(
            [*tmux, "new", "-d", "-x80", "-y30", *bash.batch],
            env=environ,
            check=True,
        )
        try:
            load = bash.source(guarded.hook(bash)) if hook else "true"
            shown = prompted(tmux, "")
            for line in (load, "clear", "echo one", "echo 'two", "three'", ""):
                subprocess.run([*tmux, "send-keys", line, "Enter"], check=True, env=environ)
                shown = prompted(tmux, shown)
            screens.append(shown)
        finally:
            subprocess.run([*tmux, "kill-server"], check=False)
    assert screens[0] == screens[1] != ""
