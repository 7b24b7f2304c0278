"""`routeguard why`: honest about what is set, where it comes from and what happens to it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import pytest

from guard.agents.opencode.directories import Directories
from guard.catalog import entries
from guard.check.variable import Answer, explain
from guard.commands.variables import KIND_TEXTS
from guard.sources.parents import Ancestor

CANARY = "sk-canary-0123456789abcdefghij"
MASKED = "sk****ij"


class Machine:
    """A home, a project and a system of their own."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.project = self.home / "project"
        self.project.mkdir(parents=True)
        self.system = place / "system.toml"
        self.root = place / "root"

    def write(self, path: str, text: str) -> None:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def explain(self, name: str, *, chain: list[Ancestor] | None = None, **environ: str) -> Answer:
        (answer,) = explain(
            [name],
            str(self.project),
            {"HOME": str(self.home), **environ},
            system=str(self.system),
            root=str(self.root),
            chain=chain or [],
        )
        return answer

    def run(
        self, *words: str, cwd: Path | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return self.routeguard("why", *words, cwd=cwd, **environ)

    def routeguard(
        self, *words: str, cwd: Path | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return forked.run(
            words,
            cwd=cwd or self.project,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environ},
        )

    def json(self, *words: str, **environ: str) -> dict[str, Any]:
        ran = self.run(*words, "--json", **environ)
        found: dict[str, Any] = json.loads(ran.stdout)
        wrong = found["hook"] or any(one["finding"] for one in found["variables"])
        assert ran.returncode == (1 if wrong else 0), ran.stderr
        assert found["schema_version"] == 1
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_key_that_the_hook_scrubbed(machine: Machine) -> None:
    """The usual case: it is not set here any more, and the line that set it is what helps."""
    machine.write(".bashrc", f"# mine\nexport ANTHROPIC_API_KEY={CANARY}\n")
    ran = machine.run("ANTHROPIC_API_KEY", ROUTEGUARD_SCRUBBED="A:ANTHROPIC_API_KEY")
    assert ran.returncode == 1
    assert ran.stderr == ""
    assert "ANTHROPIC_API_KEY  error [RG101] direct-provider-key\n" in ran.stdout
    assert "not set here: the hook scrubbed it in this shell" in ran.stdout
    assert "~/.bashrc:2  export" in ran.stdout
    assert "remove it from ~/.bashrc:2" in ran.stdout
    assert CANARY not in ran.stdout


def test_a_key_that_is_set(machine: Machine) -> None:
    ran = machine.run("OPENAI_API_KEY", OPENAI_API_KEY=CANARY)
    assert ran.returncode == 1
    assert f"set here, {MASKED}" in ran.stdout
    assert "scrub: " in ran.stdout
    assert "removed: reaches a model provider directly (OpenAI)" in ran.stdout
    assert "unset OPENAI_API_KEY" in ran.stdout
    assert "set alone, it enables openai in an unguarded opencode" in ran.stdout


def test_no_output_ever_holds_a_value(machine: Machine) -> None:
    environ = {
        name: f"{CANARY}-{number}" for number, name in enumerate(["LD_LIBRARY_PATH", "X_API_KEY"])
    }
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTPS_PROXY", "NODE_OPTIONS", "MINE"):
        environ[name] = CANARY
    environ["ANTHROPIC_BASE_URL"] = f"https://{CANARY}"
    # routeguard: ignore[RG103] what must not be shown
    environ["OLLAMA_HOST"] = f"http://me:{CANARY}@127.0.0.1:11434/{CANARY}"
    machine.write(".zshrc", "".join(f"export {name}={CANARY}\n" for name in environ))
    machine.write("project/.env", "".join(f"{name}={CANARY}\n" for name in environ))
    for words in ([*environ], [*environ, "--json"], [], ["--json"]):
        ran = machine.run(*words, **environ)
        assert ran.returncode == 1
        assert CANARY not in ran.stdout + ran.stderr
        assert "canary" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("OPENAI_BASE_URL", "https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("OPENAI_BASE_URL", "https://me:pw@llm.example:8443/v1beta?k=x#y",
         "https://llm.example:8443/v1beta"),
        ("OPENAI_BASE_URL", "https://llm.example/t0ken-of-9/v1", "https://llm.example/****/v1"),
        ("OPENAI_BASE_URL", "https://llm.example/Ab3xQ9zT/chat-v", "https://llm.example/****/chat-v"),
        ("OLLAMA_HOST", "127.0.0.1:11434", "127.0.0.1:11434"),
        ("OLLAMA_HOST", "http://[::1]:11434", "http://[::1]:11434"),
        ("HTTPS_PROXY", "http://me:pw@proxy.example:3128", "http://proxy.example:3128"),
        ("HTTPS_PROXY", "http://proxy.example", "http://proxy.example"),
        ("ALL_PROXY", "socks5://proxy.example:1080/", "socks5://proxy.example:1080/"),
        # these may be no addresses
        ("OPENAI_BASE_URL", "https://pw-of-mine", "ht****ne"),
        ("OPENAI_BASE_URL", "https://me.x:pw", "****"),
        ("OPENAI_BASE_URL", "eyJhbGci.eyJzdWIi.c2ln", "ey****ln"),
        ("HTTPS_PROXY", "secret", "****"),
        # and this is none
        ("OPENAI_API_KEY", "https://llm.example/v1", "ht****v1"),
    ],
)  # fmt: skip
def test_of_an_address_only_what_may_be_secret_is_masked(
    machine: Machine, name: str, value: str, shown: str
) -> None:
    assert machine.explain(name, **{name: value}).shown == shown


def test_an_address_is_shown(machine: Machine) -> None:
    ran = machine.run("OPENAI_BASE_URL", OPENAI_BASE_URL="https://me:pw@llm.example/v1?key=pw")
    assert "set here, https://llm.example/v1\n" in ran.stdout
    assert "pw" not in ran.stdout


@pytest.mark.parametrize("word", [f"OPENAI_API_KEY={CANARY}", CANARY, "", "$OPENAI_API_KEY"])
def test_what_is_no_name_is_refused_and_not_repeated(machine: Machine, word: str) -> None:
    ran = machine.run(word)
    assert ran.returncode == 2
    assert "give the name of a variable" in ran.stderr
    assert "fix:   routeguard why NAME\n" in ran.stderr
    assert "canary" not in ran.stdout + ran.stderr


def test_unknown_option_is_usage(machine: Machine) -> None:
    assert machine.run("--values").returncode == 2


def test_an_unknown_name_gets_an_honest_answer(machine: Machine) -> None:
    ran = machine.run("EDITOR_OF_MINE")
    assert ran.returncode == 0
    assert "no known effect on model routing" in ran.stdout
    assert "no startup file, dotenv file or parent process has it" in ran.stdout
    assert "RG" not in ran.stdout
    assert "did you mean" not in ran.stdout


@pytest.mark.parametrize("slip", ["OPENAI_API_KY", "openai_api_key"])
def test_a_slip_gets_the_name_that_was_meant(machine: Machine, slip: str) -> None:
    assert "\n          did you mean OPENAI_API_KEY?\n" in machine.run(slip).stdout
    assert "did you mean" not in machine.run(slip, **{slip: "x"}).stdout


@pytest.mark.parametrize(
    ("name", "value", "prompt", "launch", "finding"),
    [
        ("OPENAI_API_KEY", "x", "scrub", "removed", "RG101"),
        ("302AI_API_KEY", "x", "kept", "removed", "RG101"),
        ("AZURE_RESOURCE_NAME", "x", "kept", "removed", "RG101"),
        ("GITHUB_TOKEN", "x", "kept", "kept", ""),
        ("AWS_REGION", "x", "kept", "kept", ""),
        ("WHOEVER_API_KEY", "x", "flag", "kept", "RG102"),
        ("STRIPE_API_KEY", "x", "kept", "kept", ""),
        ("TAVILY_API_KEY", "x", "kept", "kept", ""),
        ("OPENAI_BASE_URL", "https://api.openai.com/v1", "kept", "removed", "RG103"),
        ("OPENAI_BASE_URL", "https://api.portkey.ai/v1", "kept", "kept", ""),
        ("OPENCODE_CONFIG", "x", "kept", "removed", "RG105"),
        ("OPENCODE_CONFIG_CONTENT", "{}", "kept", "set", "RG105"),
        ("OPENCODE_DISABLE_MOUSE", "1", "kept", "kept", ""),
        ("NODE_OPTIONS", "x", "kept", "removed", "RG108"),
        ("NODE_ENV", "x", "kept", "removed", ""),
        ("HTTPS_PROXY", "http://127.0.0.1:8080", "kept", "refused", "RG104"),
        ("HTTPS_PROXY", "http://proxy.example:8080", "kept", "kept", ""),
        ("PORTKEY_API_KEY", "x", "kept", "kept", ""),
        ("PORTKEY_API_KEY", "", "kept", "kept", "RG106"),
        ("PORTKEY_API_KEY", "sk-ant-x", "kept", "refused", "RG106"),
        ("PATH", "/bin", "kept", "set", ""),
        ("TERM", "x", "kept", "kept", ""),
    ],
)
def test_what_happens_under_the_default_policy(
    machine: Machine, name: str, value: str, prompt: str, launch: str, finding: str
) -> None:
    answer = machine.explain(name, **{name: value})
    assert (answer.prompt.action, answer.launch.action) == (prompt, launch)
    assert answer.finding == finding


def test_the_policy_decides(machine: Machine) -> None:
    machine.write(
        ".config/routeguard/policy.toml",
        '[gateway]\nkey = { env = "OPENAI_API_KEY" }\n'
        '[keys]\naction = "flag"\nunknown = "ignore"\nextra = ["MY_LLM"]\n'
        '[environment]\nremove = ["SOME_VAR"]\n'
        '[[exception]]\nsubject = "env:GROQ_API_KEY"\nreason = "speech"\nuntil = 2099-01-01\n',
    )
    mine = machine.explain("MY_LLM", MY_LLM="x")
    assert (mine.variable.kind, mine.variable.owner) == ("provider_key", "your policy")
    assert (mine.prompt.action, mine.launch.action, mine.finding) == ("flag", "removed", "RG101")
    gateway = machine.explain("OPENAI_API_KEY", OPENAI_API_KEY="x")
    assert (gateway.variable.kind, gateway.launch.action, gateway.finding) == (
        "gateway_key",
        "kept",
        "",
    )
    assert machine.explain("OPENAI_API_KEY").finding == "RG106"
    assert machine.explain("PORTKEY_API_KEY").finding == ""
    assert machine.explain("WHO_API_KEY", WHO_API_KEY="x").finding == ""
    assert machine.explain("SOME_VAR", SOME_VAR="x").launch.action == "removed"
    allowed = machine.explain("GROQ_API_KEY", GROQ_API_KEY="x")
    assert (allowed.prompt.action, allowed.launch.action, allowed.finding) == ("kept", "kept", "")
    ran = machine.run("GROQ_API_KEY", GROQ_API_KEY="x")
    assert ran.returncode == 0
    assert "until 2099-01-01 23:59: speech" in ran.stdout
    assert "[[exception]]" not in ran.stdout


def test_a_gateway_key_that_no_launch_can_use_comes_with_what_to_type(machine: Machine) -> None:
    said = machine.run("PORTKEY_API_KEY", PORTKEY_API_KEY="sk-ant-x", SHELL="/bin/bash").stdout
    assert "  launch  refused: begins with sk-ant-, as another vendor's keys do\n" in said
    assert "\n  fix     export PORTKEY_API_KEY=…\n" in said


def test_a_broken_policy_is_status_3(machine: Machine) -> None:
    machine.write(".config/routeguard/policy.toml", "keys = 3\n")
    ran = machine.run("OPENAI_API_KEY")
    assert ran.returncode == 3
    assert "[RG501]" in ran.stderr


@pytest.mark.parametrize(
    ("name", "value", "subject"),
    [
        ("OPENAI_API_KEY", "x", "env:OPENAI_API_KEY"),
        ("302AI_API_KEY", "x", "env:302AI_API_KEY"),
        ("WHOEVER_API_KEY", "x", "env:WHOEVER_API_KEY"),
        ("HTTPS_PROXY", "localhost:8080", "proxy:localhost:8080"),
        ("OPENCODE_CONFIG", "x", "env:OPENCODE_CONFIG"),
    ],
)
def test_the_command_that_is_offered_is_accepted_and_works(
    machine: Machine, name: str, value: str, subject: str
) -> None:
    ran = machine.run(name, **{name: value})
    assert ran.returncode == 1
    (line,) = (line for line in ran.stdout.splitlines() if "routeguard allow" in line)
    command = shlex.split(line[line.index("routeguard allow") :])
    assert ":".join(command[2:4]) == subject
    assert machine.routeguard(*command[1:-1], "tried in a test").returncode == 0
    again = machine.run(name, **{name: value})
    assert again.returncode == 0, again.stdout
    assert "allowed  until " in again.stdout


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "OPENCODE_CONFIG_CONTENT", "TERM"])
def test_no_command_where_it_would_do_nothing(machine: Machine, name: str) -> None:
    assert "routeguard allow" not in machine.run(name, **{name: "x"}).stdout


def test_exceptions_that_the_system_refuses(machine: Machine) -> None:
    machine.system.write_text('user_exceptions = "refuse"\n')
    answer = machine.explain("OPENAI_API_KEY", OPENAI_API_KEY="x")
    assert answer.refused == "the system policy accepts no exceptions of users"


def test_startup_file_without_export_is_no_finding(machine: Machine) -> None:
    machine.write(".bashrc", "OPENAI_API_KEY=x\n")
    answer = machine.explain("OPENAI_API_KEY")
    assert answer.finding == ""
    assert [a.exported for a in answer.assignments] == [False]
    assert "~/.bashrc:1  assignment, not exported" in machine.run("OPENAI_API_KEY").stdout


def test_dotenv_file_alone_is_told_but_no_finding(machine: Machine) -> None:
    machine.write("project/.env", "\nOPENAI_API_KEY=x\n")
    ran = machine.run("OPENAI_API_KEY")
    assert ran.returncode == 0
    assert (
        "~/project/.env:2  dotenv; in the environment only if a tool loads the file" in ran.stdout
    )


def test_base_url_that_is_not_here_may_be_the_gateways(machine: Machine) -> None:
    machine.write(".bashrc", "export OPENAI_BASE_URL=https://api.portkey.ai/v1\n")
    assert machine.explain("OPENAI_BASE_URL").finding == ""


@pytest.mark.parametrize(
    ("chain", "text"),
    [
        (
            [Ancestor(9, "zsh", frozenset())],
            "zsh (pid 9) started without it: set in it, or for this command only",
        ),
        (
            [Ancestor(9, "zsh", frozenset({"OPENAI_API_KEY"})), Ancestor(8, "tmux", frozenset())],
            "zsh (pid 9) was started with it; tmux (pid 8) above it was not",
        ),
        (
            [Ancestor(9, "zsh", frozenset({"OPENAI_API_KEY"})), Ancestor(1, "init", None)],
            "zsh (pid 9) was started with it",
        ),
        ([Ancestor(1, "init", None)], "no startup file or dotenv file sets it"),
    ],
)
def test_processes(machine: Machine, chain: list[Ancestor], text: str) -> None:
    from guard.commands.variables import _from

    answer = machine.explain("OPENAI_API_KEY", chain=chain, OPENAI_API_KEY="x")
    assert _from(answer, str(machine.home))[0].startswith(text)


def test_a_real_shell_above(machine: Machine) -> None:
    ran = subprocess.run(
        [
            "bash",
            "--norc",
            "-c",
            f'export GROQ_API_KEY=x; "{sys.executable}" -m guard why GROQ_API_KEY; :',
        ],
        cwd=machine.project,
        env={"HOME": str(machine.home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "bash (pid " in ran.stdout
    assert "started without it" in ran.stdout


def test_hostile_names_and_files(machine: Machine) -> None:
    """Names, forms and paths can carry escape sequences and line breaks of their own."""
    evil = "A\x1b[31m\nB_API_KEY"
    machine.write("project/.envrc", "declare '-x\x1b[2J\n  launch:  kept' OPENAI_API_KEY=1\n")
    os.mkfifo(machine.home / ".zshrc")
    (machine.home / ".bashrc").mkdir()
    ran = machine.run(evil, "OPENAI_API_KEY", **{evil: "x"})
    assert ran.returncode == 1
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "A\\x1b[31m\\nB_API_KEY  warning [RG102]" in ran.stdout
    assert "not read: ~/.zshrc: not a regular file" in ran.stdout
    assert "not read: ~/.bashrc: not a regular file" in ran.stdout
    assert [line for line in ran.stdout.splitlines() if line == "  launch:  kept'"] == []
    table = machine.run(**{evil: "x"})
    assert "\x1b" not in table.stdout
    assert machine.json(evil, **{evil: "x"})["variables"][0]["name"] == evil


def test_bytes_that_are_no_text_in_a_name(machine: Machine) -> None:
    environ = {b"HOME": os.fsencode(machine.home), b"PATH": b"/bin", b"\xff_API_KEY": b"x"}
    for words in ([], [b"\xff_API_KEY"], [b"--json"]):
        ran = subprocess.run(
            [os.fsencode(sys.executable), b"-m", b"guard", b"why", *words],
            cwd=machine.project,
            env=environ,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert ran.returncode == 1, ran.stderr
        assert b"_API_KEY" in ran.stdout
        assert b"\xff" not in ran.stdout


def test_table_of_what_is_set(machine: Machine) -> None:
    ran = machine.run(
        OPENAI_API_KEY=CANARY,
        GITHUB_TOKEN=CANARY,
        STRIPE_API_KEY=CANARY,
        TERM="xterm",
        ROUTEGUARD_SCRUBBED="GROQ_API_KEY",
    )
    assert ran.returncode == 1
    rows = [line.split() for line in ran.stdout.splitlines()]
    assert rows[0] == ["NAME", "KIND", "NOW", "PROMPT", "LAUNCH", "RULE"]
    assert ["GITHUB_TOKEN", "ambient", "set", "kept", "kept", "-"] in rows
    assert ["OPENAI_API_KEY", "provider", "key", "set", "scrub", "removed", "RG101"] in rows
    assert ["GROQ_API_KEY", "provider", "key", "scrubbed", "scrub", "removed", "RG101"] in rows
    assert not {"STRIPE_API_KEY", "TERM"} & {row[0] for row in rows if row}


def test_table_of_nothing(machine: Machine) -> None:
    ran = machine.run()
    assert ran.returncode == 0
    assert ran.stdout == "No relevant variables are set.\n"


def test_inside_a_guarded_agent_the_users_own_policy_counts(machine: Machine) -> None:
    """A guarded launch gives the agent a private XDG_CONFIG_HOME and notes the real one."""
    machine.write(".config/routeguard/policy.toml", '[keys]\naction = "flag"\n')
    private = Directories({"HOME": str(machine.home)}).config
    found = machine.json(
        "OPENAI_API_KEY",
        OPENAI_API_KEY="x",
        XDG_CONFIG_HOME=private,
        ROUTEGUARD_CONFIG_HOME="",
    )
    assert found["variables"][0]["prompt"]["action"] == "flag"


def test_json_has_the_fields_that_others_rely_on(machine: Machine) -> None:
    machine.write(".zshrc", "export OPENAI_API_KEY=x\n")
    found = machine.json("OPENAI_API_KEY", "GITHUB_TOKEN", OPENAI_API_KEY=CANARY)
    first, second = found["variables"]
    assert set(first) == set(second)
    assert first["name"] == "OPENAI_API_KEY"
    assert first["kind"] == "provider_key"
    assert first["rule"] == first["finding"] == "RG101"
    assert first["set"] is True
    assert first["value"] == MASKED
    assert first["prompt"]["action"] == "scrub"
    assert first["launch"]["action"] == "removed"
    assert first["providers"] == ["openai"]
    assert first["startup_files"] == [
        {"path": str(machine.home / ".zshrc"), "line": 1, "how": "export", "exported": True}
    ]
    assert first["exception"] is None
    assert first["subject"] == "env:OPENAI_API_KEY"
    assert second["set"] is False
    assert second["value"] == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_lost_hook_is_a_finding_with_the_line_that_mends_it(machine: Machine, shell: str) -> None:
    done = machine.run(ROUTEGUARD_HOOK=f"lost:{shell}")
    assert done.returncode == 1
    assert f"the prompt hook of this {shell} is gone" in done.stdout
    assert f"routeguard hook {shell}" in done.stdout
    found = json.loads(machine.run("--json", ROUTEGUARD_HOOK=f"lost:{shell}").stdout)
    assert found["hook"]["rule"] == "RG503"
    for whole in ("", "lost:", "lost:csh", shell):
        assert "RG503" not in machine.run(ROUTEGUARD_HOOK=whole).stdout


def test_a_directory_that_is_gone(machine: Machine, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    ran = subprocess.run(
        ["/bin/sh", "-c", f'rmdir ../gone; exec "{sys.executable}" -m guard why TERM'],
        cwd=gone,
        env={"HOME": str(machine.home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in ran.stderr
    assert "directory" in ran.stderr


def test_every_kind_has_words() -> None:
    assert tuple(KIND_TEXTS) == entries.KINDS


def test_a_key_of_an_unknown_service_is_described_once(machine: Machine) -> None:
    ran = machine.run("WHOEVER_API_KEY")
    assert ran.stdout.count("looks like an API key of an unknown service") == 1
