"""`routeguard exec -- CMD`: what is started, what is refused, and with which status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guard.agents.plan import Plan
from guard.errors import ExitCode, GuardError, UsageError
from guard.findings import Finding
from guard.launch.agent import refusal
from guard.launch.execute import command_of
from guard.launch.process import shim_text
from guard.launch.proof.canary import CanarySearch

MAIN = Path(__file__).resolve().parents[2] / "guard" / "__main__.py"
KEY = "pk-canary0123456789abcdef"
DIRECT = "sk-canary9876543210fedcba"


def one_message(err: str) -> bool:
    """Whether exactly one message of ours is in `err`, and no traceback."""
    return err.count("routeguard:") == 1 and "Traceback" not in err


def last_logged(machine) -> dict[str, Any]:
    log = machine.home / ".local/state/routeguard/audit.jsonl"
    return json.loads(log.read_text().splitlines()[-1])


class TestAgent:
    def test_a_guarded_launch(self, machine) -> None:
        done = machine.exec("opencode", "run", "--provider", "portkey", "hi")
        assert (done.status, done.out, machine.started) == (0, "", 1)
        model, prompt = machine.argv[1:]
        assert re.fullmatch(rb"--model=portkey-[a-z0-9]{10}/gpt-4o", model)
        assert (machine.argv[0], prompt) == (b"run", b"hi")
        child = machine.child
        config = json.loads(child["OPENCODE_CONFIG_CONTENT"])
        assert config["model"] == model.decode().partition("=")[2]
        assert "OPENAI_API_KEY" not in child
        assert child["PORTKEY_API_KEY"] == KEY
        assert child["OPENCODE_DISABLE_PROJECT_CONFIG"] == "1"
        assert child["XDG_CONFIG_HOME"].startswith(str(machine.home / ".local/state/routeguard"))
        assert child["PWD"] == str(machine.project)

    def test_one_that_the_policy_leaves_out_is_not_touched(self, machine) -> None:
        machine.policy('[agents]\nguard = ["claude-code"]\n')
        words = ("opencode", "run", "--provider", "x", "hi")
        theirs = {"XDG_CONFIG_HOME": "relative", "NODE_OPTIONS": "--no-warnings"}
        done = machine.exec(*words, **theirs)
        assert (done.status, done.out, machine.started) == (0, "", 1)
        assert done.err == (
            "routeguard: your policy leaves opencode out ([agents] guard): it starts as it is\n"
        )
        assert machine.argv == [word.encode() for word in words[1:]]
        child = machine.child
        assert child.pop("ROUTEGUARD_LAUNCH").endswith(f":1:{machine.bin / 'opencode'}")
        assert child == {**machine.environ, **theirs}
        assert machine.exec(*words, ROUTEGUARD_QUIET="1").err == ""
        shown = machine.exec("--", *words, command=("explain",))
        assert "left out  by [agents] guard of your policy: it starts as it is" in shown.out
        assert "removed" not in shown.out

    def test_the_status_is_the_agents(self, machine) -> None:
        assert machine.exec("opencode", "run", "hi", AGENT_STATUS="7").status == 7

    def test_one_line_tells_what_was_changed(self, machine) -> None:
        done = machine.exec("opencode", "run", "--provider", "portkey", "hi")
        (line,) = done.err.splitlines()
        assert "OPENAI_API_KEY" in line
        assert "-m portkey/gpt-4o" in line
        assert machine.exec("opencode", "run", "hi", OPENAI_API_KEY=None).err == ""
        assert machine.exec("opencode", "run", "hi", ROUTEGUARD_QUIET="1").err == ""
        assert machine.exec("opencode", "run", "hi", ROUTEGUARD_QUIET="0").err != ""

    def test_what_a_company_needs_is_told_once_and_again_when_it_changes(self, machine) -> None:
        def advice(**more: str | None) -> list[str]:
            done = machine.exec("opencode", "run", "hi", OPENAI_API_KEY=None, **more)
            assert done.status == 0, done
            assert machine.child.get("NODE_EXTRA_CA_CERTS") != "/etc/corp.pem"
            return [line for line in done.err.splitlines() if "[gateway]" in line]

        corp = {"NODE_EXTRA_CA_CERTS": "/etc/corp.pem"}
        assert advice(**corp, ROUTEGUARD_QUIET="1") == []
        (line,) = advice(**corp)
        assert line.startswith("routeguard: NODE_EXTRA_CA_CERTS: if it is your company's")
        assert line.endswith('[gateway] ca = "/etc/corp.pem"')
        assert advice(**corp) == []
        assert advice() == advice(**corp) == []
        for name, value, path in (
            ("NODE_EXTRA_CA_CERTS", "/etc/other.pem", "/etc/other.pem"),
            ("SSL_CERT_FILE", "/etc/other.pem", "/etc/other.pem"),
            ("SSL_CERT_DIR", "/etc/certs", "/path/to/company-ca.pem"),
            ("SSL_CERT_FILE", 'a"b', "/path/to/company-ca.pem"),
        ):
            assert advice(**{name: value})[0].endswith(f'ca = "{path}"'), name
        assert "NODE_USE_SYSTEM_CA" in advice(NODE_USE_SYSTEM_CA="1")[0]
        assert advice(NODE_USE_SYSTEM_CA="0") == []
        # the same words where one asks
        (line,) = advice(**corp)
        words = line.partition("NODE_EXTRA_CA_CERTS: ")[2]
        for command in (("why", "NODE_EXTRA_CA_CERTS"), ("explain", "--", "opencode", "run", "hi")):
            assert words in machine.exec(command=command, **corp).out

    def test_arguments_are_bytes(self, machine) -> None:
        odd = [b"\xff\xfe", "é".encode(), b"a\nb", b"", b"{env:X}", b"'\"\\", "\U0001f600".encode()]
        done = machine.exec("opencode", "run", "-m", "gpt-4", "--", *odd)
        assert (done.status, machine.argv[3:]) == (0, odd), done

    def test_the_environment_is_bytes(self, machine) -> None:
        done = machine.exec("opencode", "run", "hi", ODD=os.fsdecode(b"\xff"))
        assert (done.status, machine.child["ODD"]) == (0, os.fsdecode(b"\xff"))

    def test_another_name_of_the_agent(self, machine) -> None:
        (machine.bin / "opencode2").symlink_to(machine.agent)
        assert machine.exec("opencode2", "run", "hi").status == 0
        assert machine.exec(str(machine.bin / "opencode"), "run", "hi").status == 0
        assert machine.exec("./opencode", "run", "hi", cwd=machine.bin).status == 0
        (machine.bin / "oc").symlink_to("opencode2")
        assert machine.exec("oc", "run", "-m", "anthropic/x", "hi").status == 126
        assert machine.started == 3

    def test_without_two_dashes(self, machine) -> None:
        assert machine.exec("opencode", "run", "hi", command=("exec",)).status == 0

    @pytest.mark.parametrize(
        ("words", "rule"),
        [
            (["run", "-m", "anthropic/x", "hi"], "RG201"),
            (["attach", "http://127.0.0.1:9"], "RG202"),
            (["-p", "--", "attach", "http://127.0.0.1:9"], "RG202"),
            (["serve"], "RG203"),
            (["run", "-m", "a", "-m", "b", "hi"], "RG205"),
        ],
    )
    def test_refused(self, machine, words: list[str], rule: str) -> None:
        done = machine.exec("opencode", *words)
        assert (done.status, done.out, machine.started) == (126, "", 0)
        assert f"[{rule}]" in done.err
        assert one_message(done.err)
        assert "fix:" in done.err

    def test_every_reason_is_in_the_message(self, machine) -> None:
        plugin = machine.project / ".opencode" / "plugin" / "a.js"
        plugin.parent.mkdir(parents=True)
        plugin.write_text("")
        done = machine.exec(
            "opencode", "run", "-m", "anthropic/x", "hi",
            PORTKEY_API_KEY=None, HTTPS_PROXY="http://127.0.0.1:1",
        )  # fmt: skip
        assert (done.status, machine.started) == (126, 0)
        for rule in ("RG104", "RG106", "RG201", "RG301"):
            assert f"[{rule}]" in done.err
        assert one_message(done.err)
        assert str(plugin) in done.err

    @pytest.mark.parametrize("version", ["2.0.10", "1.17.0", "what"])
    def test_a_version_that_cannot_be_held(self, machine, version: str) -> None:
        machine.install(version)
        machine.agent.write_text("#!/bin/sh\nexit 1\n")
        done = machine.exec("opencode", "run", "hi")
        assert (done.status, "[RG204]" in done.err) == (126, True)

    def test_not_installed(self, machine) -> None:
        done = machine.exec("opencode", "run", "hi", PATH="/nonexistent")
        assert (done.status, "[RG502]" in done.err) == (127, True)
        assert one_message(done.err)

    def test_only_a_shim_is_there(self, machine) -> None:
        (machine.bin / "opencode").unlink()
        machine.script(machine.bin / "opencode", "#!/bin/sh\n# routeguard-shim\nexit 9\n")
        assert machine.exec("opencode", "run", "hi").status == 127

    @pytest.mark.parametrize("words", [["--version"], ["--help"], ["run", "--help"]])
    def test_what_calls_no_model_is_let_through(self, machine, words: list[str]) -> None:
        done = machine.exec("opencode", *words, PORTKEY_API_KEY=None)
        assert (done.status, done.err, machine.argv) == (0, "", [w.encode() for w in words])

    def test_it_gets_no_key_of_any_kind(self, machine) -> None:
        machine.exec("opencode", "--version")
        assert not {"PORTKEY_API_KEY", "OPENAI_API_KEY"} & set(machine.child)


class TestBrokenPolicy:
    def test_a_launch_is_refused(self, machine) -> None:
        path = machine.policy("[gateway\n")
        done = machine.exec("opencode", "run", "hi")
        assert (done.status, machine.started) == (ExitCode.CONFIG, 0)
        assert "[RG501]" in done.err
        assert str(path) in done.err
        assert one_message(done.err)

    def test_so_is_any_other_command(self, machine) -> None:
        machine.policy("[gateway\n")
        assert machine.exec("true").status == ExitCode.CONFIG

    def test_the_version_and_the_help_still_work(self, machine) -> None:
        machine.policy("[gateway\n")
        for words in (["--version"], ["run", "-h"]):
            done = machine.exec("opencode", *words)
            assert (done.status, machine.argv) == (0, [w.encode() for w in words])
            assert "RG501" in done.err

    def test_a_word_that_only_looks_like_help_does_not(self, machine) -> None:
        machine.policy("[gateway\n")
        for words in (["run", "--help", "false", "hi"], ["run", "-h1e5", "hi"]):
            assert machine.exec("opencode", *words).status == ExitCode.CONFIG
        assert machine.started == 0


class TestOtherCommands:
    def test_the_status_and_the_output_are_its_own(self, machine) -> None:
        done = machine.exec("sh", "-c", "echo out; echo err >&2; exit 5", OPENAI_API_KEY=None)
        assert (done.status, done.out, done.err) == (5, "out\n", "err\n")

    def test_a_cleaned_environment(self, machine) -> None:
        done = machine.exec(
            "env",
            NODE_OPTIONS="x",
            OPENAI_BASE_URL="http://e",  # routeguard: ignore[RG103] what a launch has to remove
            OPENCODE_CONFIG="x",
        )
        names = {line.partition("=")[0] for line in done.out.splitlines()}
        assert {"PORTKEY_API_KEY", "NODE_OPTIONS", "HOME"} <= names
        assert not {"OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENCODE_CONFIG"} & names
        assert "OPENAI_API_KEY" in done.err

    @pytest.mark.parametrize("words", [("nice", "npx", "codex"), ("sh", "-c", "npx opencode-ai")])
    def test_a_package_runner_behind_another_program(self, machine, words) -> None:
        done = machine.exec(*words)
        assert (done.status, machine.started) == (126, 0)
        assert "routeguard: npx would fetch and start " in done.err

    def test_it_meets_our_shims_first(self, machine) -> None:
        shims = machine.home / ".local/share/routeguard/shims"
        machine.script(shims / "opencode", "#!/bin/sh\n# routeguard-shim\necho shim\n")
        done = machine.exec("sh", "-c", "opencode")
        assert done.out == "shim\n"
        # and is not one of them itself
        machine.script(shims / "env", "#!/bin/sh\n# routeguard-shim\nexit 9\n")
        assert machine.exec("env").status == 0

    def test_not_found(self, machine) -> None:
        done = machine.exec("no-such-command")
        assert (done.status, one_message(done.err)) == (127, True)

    def test_a_package_runner_of_an_agent(self, machine) -> None:
        done = machine.exec("npx", "-y", "opencode-ai", "run", "hi")
        assert (done.status, "[RG502]" in done.err) == (126, True)

    @pytest.mark.parametrize(
        ("words", "fix"),
        [
            (("nice", "opencode", "run", "hi"), "nice routeguard exec -- opencode run hi"),
            (("env", "-u", "X", "timeout", "5", "codex"), "timeout 5 routeguard exec -- codex"),
            (("sh", "-c", "cd / && exec claude -p hi"), "routeguard shim install"),
            (("xargs", "-n1", "/opt/bin/claude"), "xargs -n1 routeguard exec -- /opt/bin/claude"),
            (("sh", "-c", "/opt/bin/claude -p hi"), "without a path"),
            (
                ("nice", "claude", "-p", "a\nb"),
                "in front of claude:\n         routeguard exec --\n",
            ),
            (("sh", "-c", "docker run image; claude"), "routeguard shim install"),
        ],
    )
    def test_an_agent_without_a_shim_behind_another_program(self, machine, words, fix) -> None:
        done = machine.exec(*words)
        assert (done.status, machine.started) == (126, 0)
        assert f"routeguard: {words[0]} was not started: it would start " in done.err
        assert "[RG502]" in done.err
        assert fix in done.err
        assert machine.exec(command=("explain", "--", *words)).status == 126

    @pytest.mark.parametrize(
        "words",
        [
            ("echo", "opencode"),
            ("sh", "-c", "echo claude # opencode"),
            ("timeout", "5", "printf", "codex"),
            ("sh", "-c", "if false; then ssh host claude; fi"),
            ("sh", "-c", "if false; then docker exec web /usr/bin/claude; fi"),
            ("sh", "-c", "if false; then podman compose run --rm web codex; fi"),
            ("sh", "-c", "if false; then toolbox run claude || lxc exec c -- claude; fi"),
            ("sh", "-c", "if false; then go run ./cmd/codex; fi"),
            ("sh", "-c", "if false; then foot -D ./claude ls; fi"),
        ],
    )
    def test_a_name_that_starts_nothing_here(self, machine, words) -> None:
        (machine.project / "claude").mkdir()
        assert machine.exec(*words).status == 0

    def test_a_shim_is_enough_but_for_a_path(self, machine) -> None:
        shims = machine.home / ".local/share/routeguard/shims"
        machine.script(shims / "opencode", "#!/bin/sh\n# routeguard-shim\necho shim\n")
        assert machine.exec("nice", "opencode").out == "shim\n"
        done = machine.exec("nice", str(machine.agent.with_name("opencode")))
        assert (done.status, machine.started) == (126, 0)

    def test_a_file_that_may_not_be_run(self, machine) -> None:
        (machine.project / "x").write_text("#!/bin/sh\n")
        assert machine.exec("./x").status == 127

    def test_a_script_without_a_first_line(self, machine) -> None:
        machine.script(machine.project / "x", 'echo "$0 $1"\n')
        done = machine.exec("./x", "a b", OPENAI_API_KEY=None)
        assert (done.status, done.out.split(" ", 1)[1]) == (0, "a b\n")

    def test_a_script_whose_interpreter_is_gone(self, machine) -> None:
        machine.script(machine.project / "x", "#!/nonexistent/interpreter\n")
        done = machine.exec("./x", OPENAI_API_KEY=None)
        assert (done.status, one_message(done.err)) == (126, True)


class TestUnguardable:
    """An agent that cannot be guarded, behind a stand-in that notes that it was started."""

    @pytest.fixture(autouse=True)
    def gemini(self, machine) -> None:
        for name in ("gemini", "aider", "npx"):
            (machine.bin / name).symlink_to(machine.agent)

    @pytest.mark.parametrize(
        "words",
        [
            ("gemini", "-p", "hi"),
            ("npx", "-y", "@google/gemini-cli", "-p", "hi"),
            ("npx", "https://github.com/google-gemini/gemini-cli"),
            ("sh", "-c", "gemini -p hi"),
        ],
    )
    def test_it_is_refused_by_name_by_package_and_below(self, machine, words) -> None:
        machine.exec(command=("shim", "install"))
        done = machine.exec(*words, OPENAI_API_KEY=None)
        assert (done.status, machine.started) == (126, 0)
        typed = words[0] if words[0] == "npx" else "gemini"
        assert f"routeguard: {typed} was not started: Gemini CLI speaks only" in done.err
        assert "[RG207]" in done.err
        entry = last_logged(machine)
        assert (entry["decision"], entry["agent"]) == ("refused", "gemini-cli")
        assert entry["rules"] == ["RG207"]

    def test_explain_says_the_same_and_starts_nothing(self, machine) -> None:
        done = machine.exec(command=("explain", "--", "gemini", "-p", "hi"))
        assert (done.status, machine.started) == (1, 0)
        assert "it would be refused\n  Gemini CLI speaks only" in done.out

    def test_cleaned_by_policy(self, machine) -> None:
        machine.policy('[agents.gemini-cli]\nlaunch = "clean"\n')
        done = machine.exec("gemini", "-p", "hi", GEMINI_API_KEY=DIRECT)
        assert (done.status, done.out, machine.started) == (0, "", 1)
        assert machine.argv == [b"-p", b"hi"]
        assert machine.child["GEMINI_API_KEY"] == ""
        assert not {"PORTKEY_API_KEY", "OPENAI_API_KEY"} & set(machine.child)
        assert "starts without keys and is not guarded" in done.err
        entry = last_logged(machine)
        assert (entry["decision"], entry["agent"]) == ("launched", "gemini-cli")
        quiet = machine.exec("gemini", "-p", "hi", ROUTEGUARD_QUIET="1")
        assert (quiet.status, quiet.err) == (0, "")

    def test_an_exception_made_with_allow(self, machine) -> None:
        words = ("allow", "agent", "gemini", "--for", "2h", "--reason", "a comparison")
        done = machine.exec(command=words)
        assert 'subject = "agent:gemini-cli"' in done.out
        assert machine.exec("gemini", "-p", "hi").status == 0
        assert machine.exec(command=("allow", "revoke", "agent:gemini-cli")).status == 0
        assert (machine.exec("gemini", "-p", "hi").status, machine.started) == (126, 1)
        wrong = machine.exec(command=("allow", "agent", "gemni", *words[3:]))
        assert (wrong.status, "did you mean gemini-cli?" in wrong.err) == (2, True)

    def test_the_others_start_as_any_command_unless_the_policy_says_more(self, machine) -> None:
        assert machine.exec("aider", "hi").status == 0
        assert machine.child["PORTKEY_API_KEY"] == KEY
        machine.policy('[agents.aider]\nlaunch = "refuse"\n')
        assert (machine.exec("aider", "hi").status, machine.started) == (126, 1)

    def test_a_policy_of_the_project_changes_nothing(self, machine) -> None:
        text = (
            '[agents.gemini-cli]\nlaunch = "clean"\n[[exception]]\nsubject = "agent:gemini-cli"\n'
        )
        (machine.project / ".routeguard.toml").write_text(text)
        assert (machine.exec("gemini").status, machine.started) == (126, 0)

    def test_a_script_of_the_users_own_that_starts_it(self, machine) -> None:
        machine.policy('[agents.aider]\nlaunch = "clean"\n')
        machine.exec(command=("shim", "install"))
        first = machine.script(machine.root / "own/aider", '#!/bin/sh\nexec aider mine "$@"\n')
        path = f"{machine.home}/.local/share/routeguard/shims:{first.parent}:{machine.bin}"
        done = machine.exec("aider", "hi", PATH=f"{path}:{os.defpath}")
        assert (done.status, machine.started, machine.argv) == (0, 1, [b"mine", b"hi"])

    def test_with_a_broken_policy_it_does_not_start(self, machine) -> None:
        machine.policy("[gateway\n")
        assert (machine.exec("gemini").status, machine.started) == (ExitCode.CONFIG, 0)


class TestUsage:
    @pytest.mark.parametrize("words", [[], ["--"], [""], ["--", ""], ["--unknown"], ["-x", "ls"]])
    def test_no_command(self, machine, words: list[str]) -> None:
        done = machine.exec(command=("exec", *words))
        assert (done.status, done.out) == (ExitCode.USAGE, "")
        assert one_message(done.err)

    def test_command_of(self) -> None:
        assert command_of(["--", "--", "x"]) == ["--", "x"]
        assert command_of(["--", "-x"]) == ["-x"]
        assert command_of(["ls", "--", "x"]) == ["ls", "--", "x"]
        with pytest.raises(UsageError, match="no such option: --fnce") as caught:
            command_of(["--fnce", "--", "x"])
        assert caught.value.fix.startswith("routeguard exec --help\n")


class TestProcess:
    @pytest.fixture(autouse=True)
    def from_the_start(self, machine) -> None:
        machine.forks = False

    @pytest.mark.parametrize("name", ["PIPE", "XFSZ"])
    def test_signals_that_python_ignores_are_back(self, machine, name: str) -> None:
        done = machine.exec("sh", "-c", f"kill -{name} $$; echo survived")
        assert done.status < 0
        assert "survived" not in done.out

    def test_what_the_caller_ignores_stays_ignored(self, machine) -> None:
        command = (
            f"trap '' INT; exec '{sys.executable}' -I -S '{MAIN}' exec -- sh -c 'kill -INT $$'"
        )
        done = subprocess.run(
            ["sh", "-c", f"{command}"], env=machine.environ, check=False, capture_output=True
        )
        assert done.returncode == 0

    @pytest.mark.parametrize(
        ("locale", "given"),
        [
            ({"LANG": None}, None),
            ({"LANG": "C"}, None),
            ({"LC_CTYPE": "C.UTF-8"}, "C.UTF-8"),
            ({"LC_CTYPE": "C", "LANG": None}, "C"),
        ],
    )
    def test_the_locale_python_gives_itself_is_not_passed_on(
        self, machine, locale: dict[str, str | None], given: str | None
    ) -> None:
        done = machine.exec("env", **locale)
        child = dict(line.split("=", 1) for line in done.out.splitlines())
        assert child.get("LC_CTYPE") == given

    def test_a_directory_that_is_gone(self, machine) -> None:
        gone = machine.root / "gone"
        script = f"mkdir '{gone}' && "
        script += (
            f"cd '{gone}' && rmdir '{gone}' && exec '{sys.executable}' -I -S '{MAIN}' exec -- "
        )
        for words in ("opencode run hi", "true"):
            done = subprocess.run(
                ["sh", "-c", script + words], env=machine.environ, check=False, capture_output=True
            )
            assert done.returncode == 126
            assert one_message(done.stderr.decode())
        assert machine.started == 0

    def test_a_prompt_that_does_not_fit(self, machine) -> None:
        # what fits for us does not fit for the agent: the pinned config comes on top
        machine.exec("opencode", "run", "hi")
        room = os.sysconf("SC_ARG_MAX") - sum(
            len(k) + len(v) + 10 for k, v in machine.environ.items()
        )
        for left in range(2500, 500, -100):
            words = ["x" * 100_000] * (room // 100_009 - 1)
            words.append("x" * (room - 100_009 * len(words) - left - 100_000))
            try:
                done = machine.exec("opencode", "run", "--", *words, "y" * 100_000)
            except OSError:
                pytest.fail("it fits for nobody")
            if done.status:
                break
        assert (done.status, "shorten the prompt" in done.err) == (126, True)
        assert done.err.count("Traceback") == 0

    def test_standard_input_is_the_agents(self, machine) -> None:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(MAIN), "exec", "--", "cat"],
            env=machine.environ, input=b"\xff\0text", capture_output=True, check=True,
        )  # fmt: skip
        assert done.stdout == b"\xff\0text"

    def test_an_output_that_nobody_reads(self, machine) -> None:
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(MAIN), "exec", "--", "opencode", "run", "hi"],
            env=machine.environ, cwd=machine.project, stderr=write, check=False,
        )  # fmt: skip
        os.close(write)
        assert (done.returncode, machine.started) == (0, 1)


def test_a_lost_prompt_hook_is_said_and_not_handed_on(machine) -> None:
    done = machine.exec("opencode", "run", "hi", OPENAI_API_KEY=None, ROUTEGUARD_HOOK="lost:zsh")
    assert (done.status, done.err.count("[RG503]")) == (0, 1), done.err
    assert 'eval "$(routeguard hook zsh)"' in done.err
    assert "ROUTEGUARD_HOOK" not in machine.child


class TestRecursion:
    """A program on PATH that is called opencode and calls opencode."""

    def wrapper(self, machine, text: str) -> None:
        machine.says_its_version()
        first = machine.root / "first"
        machine.script(first / "opencode", text)
        (first / "package.json").write_text("{}")
        machine.environ["PATH"] = f"{first}:{machine.environ['PATH']}"

    VERSION = 'case "$1$ROUTEGUARD_LAUNCH" in --version) echo 1.18.33; exit;; esac\n'

    def test_a_wrapper_that_becomes_the_next_one(self, machine) -> None:
        self.wrapper(machine, f'#!/bin/sh\n{self.VERSION}exec opencode "$@"\n')
        done = machine.exec("opencode", "run", "hi", OPENAI_API_KEY=None)
        assert (done.status, machine.started, machine.argv) == (0, 1, [b"run", b"hi"]), done

    @pytest.mark.parametrize(
        "starts",
        [
            'opencode "$@"',
            '"$(command -v opencode)" "$@"',
            'exec "$(command -v opencode)" "$@"',
            'sh -c \'opencode "$@"; exit $?\' sh "$@"',
            'env -- opencode "$@"',
            '[ "$1" ] && (opencode "$@")',
        ],
    )
    @pytest.mark.parametrize("shims", [False, True])
    def test_a_wrapper_that_starts_the_next_one(self, machine, starts: str, shims: bool) -> None:
        """The version managers' way, and that of scripts in ~/bin: what it is shown is a shim."""
        self.wrapper(machine, f"#!/bin/sh\n{'' if shims else self.VERSION}{starts}\n")
        if shims:
            folder = machine.home / ".local/share/routeguard/shims"
            machine.script(folder / "opencode", shim_text("opencode"))
            machine.environ["PATH"] = f"{folder}:{machine.environ['PATH']}"
        done = machine.exec("opencode", "run", "hi", OPENAI_API_KEY=None)
        assert (done.status, machine.started, machine.argv) == (0, 1, [b"run", b"hi"]), done

    def test_wrappers_behind_one_another(self, machine) -> None:
        self.wrapper(machine, f'#!/bin/sh\n{self.VERSION}opencode "$@"\n')
        second = machine.root / "second"
        machine.script(second / "opencode", f'#!/bin/sh\n{self.VERSION}command opencode "$@"\n')
        machine.environ["PATH"] = f"{second}:{machine.environ['PATH']}"
        done = machine.exec("opencode", "run", "hi", OPENAI_API_KEY=None)
        assert (done.status, machine.started, machine.argv) == (0, 1, [b"run", b"hi"]), done
        assert "ROUTEGUARD_WRAPPERS" not in machine.child

    def test_a_wrapper_with_nothing_behind_it_ends(self, machine) -> None:
        self.wrapper(machine, f'#!/bin/sh\n{self.VERSION}opencode "$@"\nexit $?\n')
        machine.environ["PATH"] = f"{machine.root / 'first'}:/usr/bin:/bin"
        done = machine.exec("opencode", "run", "hi", OPENAI_API_KEY=None)
        assert (done.status, "[RG503]" in done.err, machine.started) == (126, True, 0), done.err
        assert one_message(done.err), done.err

    def test_one_program_in_place_of_many(self, machine) -> None:
        """mise and Volta: what runs is decided by the name it is called by."""
        machine.says_its_version()
        manager = machine.script(
            machine.root / "manager",
            '#!/bin/sh\n[ "${0##*/}" = opencode ] || { echo 2025.11.3; exit; }\n'
            f'exec "{machine.bin}/opencode" "$@"\n',
        )
        shim = machine.root / "managed" / "opencode"
        shim.parent.mkdir()
        shim.symlink_to(manager)
        machine.environ["PATH"] = f"{shim.parent}:{machine.environ['PATH']}"
        machine.script(
            machine.bin / "opencode.new",
            f'#!/bin/sh\n{self.VERSION}exec "{os.path.realpath(machine.bin / "opencode")}" "$@"\n',
        )
        (machine.bin / "opencode").unlink()
        (machine.bin / "opencode.new").rename(machine.bin / "opencode")
        done = machine.exec("opencode", "run", "hi", OPENAI_API_KEY=None)
        assert (done.status, machine.argv) == (0, [b"run", b"hi"]), done

    def test_a_marker_that_is_damaged(self, machine) -> None:
        for marker in ("", ":", "x:y:z", f"{'9' * 30}:1:", "1:²:x", "1:1"):
            assert machine.exec("opencode", "run", "hi", ROUTEGUARD_LAUNCH=marker).status == 0

    def test_too_deep(self, machine) -> None:
        done = machine.exec("opencode", "run", "hi", ROUTEGUARD_LAUNCH="1:13:/x")
        assert (done.status, "[RG503]" in done.err) == (126, True)
        assert one_message(done.err)


class TestNested:
    def test_a_launch_below_a_guarded_one(self, machine) -> None:
        machine.policy('[gateway]\ndefault = "portkey/from-policy"\n')
        first = machine.exec("opencode", "run", "hi")
        assert first.status == 0
        outer = machine.child
        done = machine.exec("opencode", "run", "hi", **{**outer, "HOME": str(machine.home)})
        assert (done.status, done.err) == (0, "")
        inner = machine.child
        for name in ("XDG_CONFIG_HOME", "OPENCODE_CONFIG_CONTENT", "PATH", "OPENCODE_TEST_HOME"):
            assert inner[name] == outer[name], name
        assert "portkey-" in inner["OPENCODE_CONFIG_CONTENT"]
        assert "from-policy" in inner["OPENCODE_CONFIG_CONTENT"]

    def test_the_shim_in_front_of_path_guards(self, machine) -> None:
        machine.exec("opencode", "run", "hi")
        shim = Path(machine.child["PATH"].split(":")[0]) / "opencode"
        assert shim.read_text().splitlines()[1] == "# routeguard-shim"
        done = subprocess.run(
            [str(shim), "run", "-m", "anthropic/x", "hi"],
            env=machine.environ, cwd=machine.project, capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, b"RG201" in done.stderr, machine.started) == (126, True, 1)


def test_no_key_is_left_anywhere(machine) -> None:
    machine.policy('[keys]\nextra = ["MY_LLM"]\n')
    config = machine.home / ".config" / "opencode"
    config.mkdir(parents=True)
    (config / "opencode.json").write_text('{"username":"{env:PORTKEY_API_KEY}","theme":"x"}')
    search = CanarySearch(
        {"PORTKEY_API_KEY": KEY, "OPENAI_API_KEY": DIRECT, "MY_LLM": "canary-mine-123"}
    )
    calls = [
        ["opencode", "--version"],
        ["opencode", "run", "hi"],
        ["opencode", "run", "-m", "anthropic/x", "hi"],
        ["true"],
        ["no-such-command"],
    ]
    for words in calls:
        done = machine.exec(*words, MY_LLM="canary-mine-123")
        assert search.found((done.out + done.err).encode()) == set()
    for bad in ("sk-ant-canary-abcdefghijk", 'canary-"quoted"-abcdefg', "canary {env:X} abcdef"):
        spoiled = CanarySearch({"PORTKEY_API_KEY": bad})
        done = machine.exec("opencode", "run", "hi", PORTKEY_API_KEY=bad)
        assert (done.status, "[RG106]" in done.err) == (126, True)
        assert spoiled.found((done.out + done.err).encode()) == set()
        assert list(spoiled.found_under(str(machine.home))) == []
    assert list(search.found_under(str(machine.home))) == []
    # the search can find one: it is in what the agent was given
    assert list(search.found_under(str(machine.seen)))


def test_the_audit_log_has_a_line_for_each_decision(machine) -> None:
    machine.exec("opencode", "run", "a prompt nobody should read")
    machine.exec("opencode", "run", "-m", "anthropic/x", "hi")
    machine.exec("opencode", "--version")
    machine.exec("true")
    log = machine.home / ".local/state/routeguard/audit.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(e["decision"], e["command"], e["rules"]) for e in lines] == [
        ("launched", "run", []),
        ("refused", "run", ["RG201"]),
    ]
    assert "nobody should read" not in log.read_text()


def test_a_state_directory_that_cannot_be_written(machine) -> None:
    (machine.home / ".local").write_text("a file is in the way")
    done = machine.exec("opencode", "run", "hi")
    assert (done.status, machine.started) == (ExitCode.CONFIG, 0)
    assert one_message(done.err)
    # and a refusal keeps its reason
    done = machine.exec("opencode", "--version")
    assert done.status == 0


class TestRefusal:
    def plan(self, *findings: Finding) -> Plan:
        return Plan(
            agent="opencode", kind="guarded", program="/x", typed=[], argv=[], environ={},
            findings=list(findings), name="opencode",
        )  # fmt: skip

    def test_the_first_reason_is_whole_and_the_others_follow(self) -> None:
        error = refusal(
            self.plan(
                Finding("RG107", "n", "a note"),
                Finding("RG201", "s", "first", where="here", fix="do this"),
                Finding("RG301", "s", "second", where="there", fix="do\nthat"),
                Finding("RG106", "s", "third", severity="warning"),
            )
        )
        text = error.render()
        assert isinstance(error, GuardError)
        assert (error.rule, error.exit_code) == ("RG201", ExitCode.REFUSED)
        assert text.startswith("routeguard: opencode was not started: first [RG201]\n")
        assert "second [RG301]" in text
        for word in ("third", "a note"):
            assert word not in text

    def test_a_reason_without_a_fix(self) -> None:
        assert refusal(self.plan(Finding("RG201", "s", "first"))).render().count("\n") == 1


def test_the_shim_is_a_shim() -> None:
    lines = shim_text("opencode").splitlines()
    assert lines[0] == "#!/bin/sh"
    assert lines[1] == "# routeguard-shim"
    assert "__" not in "\n".join(lines).replace("__main__", "")


class TestNoKeyIsSaid:
    TYPED = "sk-ant-api03-" + "Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6Jf1Gs0Ya"

    @pytest.mark.parametrize(
        "words",
        [
            ("run", "-m", f"anthropic/{TYPED}", f"use {TYPED}"),
            ("run", "-m", f"openai/gpt-4o {KEY}", "hi"),
            ("attach", f"http://me:{TYPED}@box:4096"),
            ("run", "--provider", TYPED, "hi"),
        ],
        ids=" ".join,
    )
    def test_by_a_refusal(self, machine, words: tuple[str, ...]) -> None:
        done = machine.exec("opencode", *words)
        assert (done.status, machine.started) == (126, 0)
        said = done.out + done.err + audit_log(machine)
        assert one_message(done.err)
        assert "fix:" in done.err
        assert self.TYPED not in said
        assert KEY not in said

    def test_by_a_launch(self, machine) -> None:
        done = machine.exec("opencode", "run", "-m", f"portkey/{self.TYPED}", "hi")
        assert machine.started == 1
        done = machine.exec("opencode", "run", "--provider", "portkey", "-m", self.TYPED, "hi")
        assert machine.started == 2
        assert "started with -m portkey/sk****Ya" in done.err
        log = audit_log(machine)
        assert log.count('"decision": "launched"') == 2
        assert self.TYPED not in done.err + log

    def test_in_the_policy_or_by_a_command(self, machine) -> None:
        machine.policy(
            "[gateway]\nkey = { command = ['sh', '-c', 'printf house-%s 0123456789'] }\n"
            f'[[exception]]\nsubject = "env:OPENAI_API_KEY"\nuntil = 2020-01-01\n'
            f'reason = "with {self.TYPED}"\n'
        )
        done = machine.exec("opencode", "run", "-m", "portkey/house-0123456789", "hi")
        assert machine.started == 1
        shown = machine.exec("show", "--effective", command=("policy",))
        assert "house-0123456789" not in done.err + audit_log(machine)
        assert self.TYPED not in shown.out
        assert "with sk****Ya" in shown.out

    def test_without_a_heavy_module(self, machine, private_network) -> None:
        words = ("opencode", "run", "-m", f"anthropic/{self.TYPED}", "hi")
        machine.forks = False
        machine.exec(*words)  # compiles the policy
        # what listens elsewhere on this machine is looked at, with more modules
        start = [sys.executable, "-I", "-S", "-X", "importtime", str(MAIN), "exec", "--", *words]
        done = subprocess.run(
            private_network.command(start),
            env=machine.environ, cwd=machine.project, capture_output=True, text=True, check=False,
        )  # fmt: skip
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "guard.masking" in imported
        heavy = {"click", "dataclasses", "pathlib", "tomllib", "typing", "pydantic", "guard.cli"}
        assert sorted(heavy & imported) == []
        assert not [name for name in imported if name.startswith("guard.report")]


def audit_log(machine) -> str:
    return (machine.home / ".local/state/routeguard/audit.jsonl").read_text()


class TestAuditLog:
    """A log that cannot be written: said once a day, or a refusal where the policy wants it."""

    def test_it_is_said_and_the_launch_goes_ahead(self, machine) -> None:
        (machine.home / ".local/state/routeguard/audit.jsonl").mkdir(parents=True)
        environ = {"OPENAI_API_KEY": None}
        done = machine.exec("opencode", "run", "hi", **environ)
        assert (done.status, machine.started) == (0, 1)
        assert "the audit log cannot be written" in done.err
        assert machine.exec("opencode", "run", "hi", **environ).err == ""

    @pytest.mark.parametrize("layer", ["user", "project"])
    def test_it_refuses_where_it_is_required(self, machine, layer: str) -> None:
        place = {
            "user": machine.home / ".config/routeguard/policy.toml",
            "project": machine.project / ".routeguard.toml",
        }[layer]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("[audit]\nrequired = true\n")
        assert machine.exec("opencode", "run", "hi").status == 0
        log = machine.home / ".local/state/routeguard/audit.jsonl"
        log.unlink()
        log.mkdir()
        done = machine.exec("opencode", "run", "hi")
        assert (done.status, machine.started) == (126, 1)
        assert "[RG503]" in done.err
        assert str(log) in done.err
        assert machine.exec("opencode", "--version").status == 0
