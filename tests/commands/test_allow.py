"""`routeguard allow …` as a user runs it, and that every rule honours what it writes."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import forked
import pytest
from click.testing import CliRunner

from guard import paths
from guard.commands.allow import allow as group
from guard.dispatch import main
from guard.policy import cache
from guard.policy.values import CompiledPolicy

ROOT = Path(__file__).parents[2]
KEY = "sk-canary-0123456789abcdefghij"
TYPED_KEYS = (
    "9f86d081884c7d659a2feaa0c55ad015",
    "AKIAE4UMR46PQM4I2HZ4",
    "3f2a1b4c-1d2e-4f5a-8b9c-0123456789ab",
)


class Place:
    """A home, a repository and an opencode of their own; runs the real program there."""

    def __init__(self, root: Path) -> None:
        self.home, self.work, self.bin = root / "home", root / "work", root / "bin"
        agent = root / "opencode-ai" / "bin" / "opencode.exe"
        for folder in (self.home, self.work / ".git", self.bin, agent.parent):
            folder.mkdir(parents=True)
        agent.write_text("#!/bin/sh\nexit 0\n")
        agent.chmod(0o755)
        (agent.parent.parent / "package.json").write_text(
            '{"name": "opencode-ai", "version": "1.18.33"}'
        )
        (self.bin / "opencode").symlink_to(agent)
        self.user = self.home / ".config" / "routeguard" / "policy.toml"
        self.allowed = self.user.parent / "allowed.toml"
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PORTKEY_API_KEY": "pk-canary0123456789",
        }

    def __call__(self, *words: str, status: int = 0, **environ: str) -> str:
        """Run `routeguard WORDS`; answers with stdout. stderr is in `err`."""
        done = forked.run(words, cwd=self.work, env={**self.environ, **environ})
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert "canary" not in done.stdout + done.stderr
        self.err = done.stderr
        return done.stdout

    def allow(self, *words: str, status: int = 0, **environ: str) -> str:
        return self("allow", *words, status=status, **environ)

    def put(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    def entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = tomllib.loads(self.allowed.read_text())["exception"]
        return found

    def json_list(self, *words: str) -> list[dict[str, Any]]:
        out = json.loads(self.allow("list", "--json", *words))
        assert out["schema_version"] == 1
        found: list[dict[str, Any]] = out["exceptions"]
        return found

    def log(self) -> list[dict[str, Any]]:
        file = self.home / ".local/state/routeguard/audit.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    def explained(self, *words: str, **environ: str) -> dict[str, Any]:
        """The plan of the launch of `words`, from `routeguard explain`."""
        done = forked.run(
            ["explain", "--format", "json", "--", *words],
            cwd=self.work,
            env={**self.environ, **environ},
        )
        plan: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if plan["starts"] else 1), done.stderr
        return plan

    def policy(self) -> CompiledPolicy:
        return cache.load(str(self.work), self.environ)


@pytest.fixture
def run(tmp_path: Path) -> Place:
    return Place(tmp_path.resolve())


SHORT = ("--for", "2h", "--reason", "because")


class TestAdd:
    def test_port(self, run):
        out = run.allow("port", "11434", "--for", "2h", "--reason", "comparing a local model")
        (entry,) = run.entries()
        assert entry["subject"] == "port:11434"
        assert entry["reason"] == "comparing a local model"
        assert entry["until"] - entry["added"] == timedelta(hours=2)
        assert "wrote  ~/.config/routeguard/allowed.toml\n" in out
        assert "(2h)" in out
        assert "undo   routeguard allow revoke port:11434" in out
        assert run.policy().excepted("port:11434").reason == "comparing a local model"

    @pytest.mark.parametrize(
        ("words", "subject"),
        [
            (("port", "04000"), "port:4000"),
            (("env", "OPENAI_API_KEY"), "env:OPENAI_API_KEY"),
            (("proxy", "127.0.0.1:8080"), "proxy:127.0.0.1:8080"),
            (("proxy", "http://[::1]:8080/"), "proxy:[::1]:8080"),
            (("server", "http://h:1/a"), "server:http://h:1/a"),
        ],
    )
    def test_kinds(self, run, words, subject):
        run.allow(*words, *SHORT)
        assert [entry["subject"] for entry in run.entries()] == [subject]

    def test_file_through_a_link_with_the_digest_of_now(self, run):
        real = run.put(run.work / "real.json", "{}")
        (run.work / "link.json").symlink_to(real)
        run.allow("file", "link.json", *SHORT)
        (entry,) = run.entries()
        assert entry["subject"] == f"file:{real}"
        # sha256sum of the two characters {}
        assert entry["sha256"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

    def test_a_folder_with_the_digest_of_all_that_is_in_it(self, run):
        run.put(run.work / "folder" / "a.js", "x")
        run.allow("file", "folder", *SHORT)
        first = run.entries()[0]
        assert first["subject"] == f"file:{run.work / 'folder'}"
        run.put(run.work / "folder" / "a.js", "y")
        run.allow("file", "folder", *SHORT)
        assert run.entries()[0]["sha256"] != first["sha256"]

    @pytest.mark.parametrize("kind", ["absent", "fifo", "/dev/zero", "/proc"])
    def test_no_file(self, run, kind):
        if kind == "fifo":
            os.mkfifo(run.work / kind)
        run.allow("file", kind, *SHORT, status=2)
        assert not run.allowed.exists()

    def test_name_that_is_not_utf8(self, run):
        odd = os.fsencode(run.work) + b"/\xff.json"
        with open(odd, "w") as file:
            file.write("{}")
        run.allow("file", os.fsdecode(odd), *SHORT, status=2)
        assert "not UTF-8" in run.err

    @pytest.mark.parametrize(
        ("given", "length"),
        [
            ("30m", timedelta(minutes=30)),
            ("2h", timedelta(hours=2)),
            ("3d", timedelta(days=3)),
            ("1w", timedelta(weeks=1)),
            ("1d12h", timedelta(hours=36)),
            ("90d", timedelta(days=90)),
        ],
    )
    def test_lengths(self, run, given, length):
        run.allow("port", "4000", "--for", given, "--reason", "x")
        (entry,) = run.entries()
        assert entry["until"] - entry["added"] == length

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--for", "91d"), "90 days at most"),
            (("--for", "13w"), "90 days at most"),
            (("--for", "0h"), "is zero"),
            (("--for", "2"), "not a length of time: '2'"),
            (("--for", "-2h"), "not a length of time"),
            (("--for", "2y"), "not a length of time"),
            (("--until", "2020-01-01"), "is in the past"),
            (("--until", "tomorrow"), "not a date"),
            (("--until", "9999-12-31"), "90 days at most"),
            (("--until", "2026-12-31", "--for", "2h"), "exclude each other"),
            ((), "needs an end"),
        ],
    )
    def test_end_that_is_none(self, run, options, said):
        run.allow("port", "4000", *options, "--reason", "x", status=2)
        assert said in run.err
        assert not run.allowed.exists()

    @pytest.mark.parametrize(
        "words",
        [
            ("proxy", "http://{}:8080"),
            ("proxy", "{}:8080"),
            ("proxy", "{}.example.com:8080"),
            ("server", "https://{}.example.com"),
            ("server", "https://ai.example.com/{}/v1"),
            ("server", "https://ai.example.com/v1?key={}"),
        ],
    )
    @pytest.mark.parametrize("key", TYPED_KEYS)
    def test_an_address_with_a_key_is_not_kept(self, run, words, key):
        kind, form = words
        if "-" in key and ".example.com" in form and not form.endswith("{}"):
            form = form.replace(".example.com", "")  # an id is a usual name of a host
        run.allow(kind, form.format(key), "--for", "2h", "--reason", "x", status=2)
        assert "looks like a key" in run.err
        assert key not in run.err
        assert not run.allowed.exists()

    def test_a_reason_names_a_commit(self, run):
        reason = f"until {'3f78' * 10} is reverted"
        run.allow("port", "4000", "--for", "2h", "--reason", reason)
        assert run.entries()[0]["reason"] == reason

    def test_until_a_day_and_a_moment(self, run):
        day = date.today() + timedelta(days=90)
        run.allow("port", "4000", "--until", day.isoformat(), "--reason", "x")
        assert run.entries()[0]["until"] == day
        moment = f"{date.today() + timedelta(days=1)}T18:00"
        run.allow("port", "4000", "--until", moment, "--reason", "x", TZ="UTC-2")
        assert run.entries()[0]["until"].isoformat() == f"{moment}:00+02:00"

    @pytest.mark.parametrize(
        ("reason", "said"),
        [
            ((), "needs a reason"),
            (("--reason", "  "), "needs a reason"),
            (("--reason", KEY), "looks like a key"),
            (("--reason", f"my {KEY} needs it"), "looks like a key"),
            (("--reason", "9f86d081884c7d659a2feaa0c55ad015"), "looks like a key"),
            (("--reason", "a\nb"), "one line of text"),
            (("--reason", "x y" * 170), "one line of text"),
        ],
    )
    def test_reason_that_is_none(self, run, reason, said):
        run.allow("port", "4000", "--for", "2h", *reason, status=2)
        assert said in run.err
        assert not run.allowed.exists()
        assert run.log() == []

    def test_same_again_says_how_to_go_back(self, run):
        run.allow("port", "4000", "--until", date.today().isoformat(), "--reason", "it's first")
        out = run.allow("port", "4000", *SHORT)
        undo = out.splitlines()[-1].partition("routeguard ")[2]
        done = forked.run(shlex.split(undo), env=run.environ, cwd=run.work)
        assert done.returncode == 0, done.stderr
        (entry,) = run.entries()
        assert (entry["reason"], entry["until"]) == ("it's first", date.today())

    def test_dry_run(self, run):
        out = run.allow("port", "4000", *SHORT, "--dry-run")
        assert "would write  ~/.config/routeguard/allowed.toml\n" in out
        assert 'subject = "port:4000"' in out
        assert not run.allowed.exists()
        assert run.log() == []

    def test_is_recorded(self, run):
        run.allow("port", "4000", "--for", "2h", "--reason", "because")
        run.allow("revoke", "port:4000")
        first, second = run.log()
        assert (first["decision"], second["decision"]) == ("allowed", "revoked")
        for line in (first, second):
            assert (line["subject"], line["reason"]) == ("port:4000", "because")
            assert line["until"] > line["time"][:10]

    @pytest.mark.parametrize(
        ("words", "note"),
        [
            (("env", "PATH"), "PATH is kept anyway"),
            (("env", "PORTKEY_API_KEY"), "the gateway's own key"),
            (("env", "HTTPS_PROXY"), "by its address"),
            (("port", "8787"), "your gateway's own port"),
        ],
    )
    def test_what_changes_nothing_is_said(self, run, words, note):
        run.put(run.user, "[gateway]\nbase_url = 'http://127.0.0.1:8787/v1'\n")
        assert note in run.allow(*words, *SHORT)
        assert len(run.entries()) == 1

    def test_policy_has_it_already(self, run):
        run.put(run.user, "[[exception]]\nsubject='port:4000'\nreason='r'\nuntil=2100-01-01\n")
        assert "~/.config/routeguard/policy.toml:1 also allows it" in run.allow(
            "port", "4000", *SHORT
        )


class TestMistakes:
    @pytest.mark.parametrize(
        ("word", "meant"),
        [
            ("11434", "port 11434"),
            (":11434", "port 11434"),
            ("port:11434", "port 11434"),
            ("OPENAI_API_KEY", "env OPENAI_API_KEY"),
            ("127.0.0.1:8080", "proxy 127.0.0.1:8080"),
            ("https://h/a", "server https://h/a"),
            ("./opencode.json", "file ./opencode.json"),
        ],
    )
    def test_kind_forgotten(self, run, word, meant):
        run.allow(word, *SHORT, status=2)
        assert (
            f"say what is allowed:\n         routeguard allow {meant} --for 2h --reason" in run.err
        )

    def test_near_miss(self, run):
        run.allow("pirt", "1", status=2)
        assert "did you mean:\n         routeguard allow port 1\n" in run.err

    @pytest.mark.parametrize(
        "words", [(KEY,), ("env", KEY), ("server", f"https://h/{KEY}"), ("env", f"X={KEY}")]
    )
    def test_key_is_never_repeated(self, run, words):
        run.allow(*words, *SHORT, status=2)
        assert not run.allowed.exists()

    @pytest.mark.parametrize(
        "words",
        [
            ("port", "0"),
            ("port", "65536"),
            ("port", "litellm"),
            ("env", "A-B"),
            ("proxy", "localhost"),
            ("server", "https://user:pass@h/"),
            ("server", "ftp://h/"),
        ],
    )
    def test_as_a_policy_file_would_judge(self, run, words):
        run.allow(*words, *SHORT, status=2)
        assert f"cannot allow {words[0]} " in run.err
        assert f"fix:   routeguard allow {words[0]} --help\n" in run.err
        assert "accepted: " in run.err
        run.put(
            run.user,
            f"[[exception]]\nsubject = '{':'.join(words)}'\nreason = 'r'\nuntil = 2100-01-01\n",
        )
        run("policy", "validate", status=3)

    @pytest.mark.parametrize(
        "environ",
        [
            {"ROUTEGUARD_CONFIG_HOME": ""},
            {"ROUTEGUARD_LAUNCH": "7:1:/opt/codex/bin/codex"},
            {"ROUTEGUARD_LAUNCH": "7:1:/home/ada/.local/bin/claude"},
            # what the agent started through `exec`, which writes the marker anew
            {"ROUTEGUARD_LAUNCH": "7:2:/bin/bash", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST": "1"},
        ],
        ids=["opencode", "codex", "claude", "through exec"],
    )
    def test_no_agent_allows_itself_anything(self, run, environ):
        run.allow("port", "4000", *SHORT, status=126, **environ)
        assert "an agent cannot make its own exceptions" in run.err
        assert not run.allowed.exists()

    @pytest.mark.parametrize(
        "environ",
        [
            {"ROUTEGUARD_LAUNCH": "7:1:/usr/bin/make"},
            {"CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST": "1"},
        ],
        ids=["a program through exec", "a variable of the user's"],
    )
    def test_a_person_does_who_started_no_agent(self, run, environ):
        run.allow("port", "4000", *SHORT, **environ)
        assert run.allowed.exists()


class TestRefused:
    """`user_exceptions = "refuse"`: nothing is written, and the place that says so is named."""

    def test_by_the_user(self, run):
        run.put(run.user, "schema = 1\nuser_exceptions = 'refuse'\n")
        run.allow("port", "4000", *SHORT, status=126)
        assert f"where: {run.user}:2" in run.err
        assert not run.allowed.exists()

    def test_by_the_system(self, run, tmp_path, monkeypatch, capsys):
        run.allow("port", "4000", *SHORT)
        before = run.allowed.read_bytes()
        system = run.put(tmp_path / "system.toml", "\nuser_exceptions = 'refuse'\n")
        monkeypatch.setattr(paths, "SYSTEM_POLICY", str(system))
        for name in list(os.environ):
            if name.startswith(("XDG_", "ROUTEGUARD_")):
                monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(run.home))
        monkeypatch.chdir(run.work)
        assert main(["allow", "port", "4001", *SHORT]) == 126
        err = capsys.readouterr().err
        assert "the system policy refuses exceptions" in err
        assert f"where: {system}:2" in err
        assert run.allowed.read_bytes() == before
        assert main(["allow", "list"]) == 0
        out = capsys.readouterr().out
        assert "1 of yours refused" in out
        assert f"{system}:2" in out
        assert main(["allow", "list", "--all"]) == 0
        assert "refused" in capsys.readouterr().out
        # what was given can always be taken back
        assert main(["allow", "revoke", "port:4000"]) == 0
        assert not run.allowed.exists()


class TestDamaged:
    def test_every_launch_refuses_and_allow_does_not_touch_it(self, run):
        text = "[[exception]]\nsubject = 'port:4000'\n"
        run.put(run.allowed, text)
        for words in (("allow", "port", "4001", *SHORT), ("allow", "list"), ("exec", "opencode")):
            run(*words, status=3)
            assert f"where: {run.allowed}" in run.err
            assert "1:1: exception[0].reason: is required" in run.err
        assert run.allowed.read_text() == text

    def test_policy_commands_know_it(self, run):
        run.allow("port", "4000", *SHORT)
        assert "ok: ~/.config/routeguard/allowed.toml (user)" in run("policy", "validate")
        assert "exception: port:4000" in run("policy", "show", "--effective")
        assert "exception[0].subject" in run("policy", "show")
        assert "allow    present  ~/.config/routeguard/allowed.toml" in run("policy", "path")
        assert "allowed.toml (user)" in run("policy", "validate", str(run.allowed))
        run.put(run.allowed, "[keys]\naction = 'flag'\n")
        assert "does not belong" in run("policy", "validate", status=3)
        assert "does not belong" in run("policy", "validate", str(run.allowed), status=3)


class TestList:
    def test_nothing(self, run):
        assert run.allow("list") == "no exceptions\n"

    def test_every_layer_the_first_to_end_first(self, run):
        run.put(run.user, "[[exception]]\nsubject='env:A_B'\nreason='r'\nuntil=2100-01-01\n")
        run.allow("port", "4000", "--for", "3d", "--reason", "long")
        run.allow("port", "4001", "--for", "1h", "--reason", "short")
        lines = run.allow("list").splitlines()
        assert [line.split()[0] for line in lines] == [
            *("SUBJECT", "port:4001", "port:4000", "env:A_B")
        ]
        assert "3d" in lines[2]
        found = run.json_list()
        assert [(entry["subject"], entry["managed"]) for entry in found] == [
            *(("port:4001", True), ("port:4000", True), ("env:A_B", False))
        ]
        assert found[2]["line"] == 1
        assert 3500 < found[0]["seconds_left"] <= 3600
        assert found[0]["added"]

    def test_expired_with_all(self, run):
        run.put(run.allowed, "[[exception]]\nsubject='env:A_B'\nreason='r'\nuntil=2020-01-01\n")
        assert "1 more expired" in run.allow("list")
        assert "expired" in run.allow("list", "--all")
        assert run.json_list() == []
        assert [entry["state"] for entry in run.json_list("--all")] == ["expired"]
        assert "dropped  env:A_B: expired" in run.allow("port", "4000", *SHORT)
        assert [entry["subject"] for entry in run.entries()] == ["port:4000"]

    def test_at_the_end_of_time(self, run):
        run.put(run.user, "[[exception]]\nsubject='env:A_B'\nreason='r'\nuntil=9999-12-31\n")
        for zone in ("UTC", "UTC+11"):
            assert "9999-12-31" in run.allow("list", TZ=zone)
            assert "9999-12-31" in run.allow("list", "--json", TZ=zone)

    def test_control_characters_and_colour(self, run):
        run.put(
            run.allowed,
            '[[exception]]\nsubject="file:/a\\u0085b"\nreason="r"\nuntil=2100-01-01\n'
            f'sha256="{"a" * 64}"\n',
        )
        out = run.allow("list", FORCE_COLOR="1")
        assert "\x85" not in out
        assert "\x1b" not in out


class TestRevoke:
    @pytest.mark.parametrize("words", [("port:4000",), ("port", "4000"), ("4000",), ("--all",)])
    def test_spellings(self, run, words):
        run.allow("port", "4000", *SHORT)
        out = run.allow("revoke", *words)
        assert "revoked  port:4000" in out
        assert "undo     routeguard allow port 4000 --until" in out
        assert not run.allowed.exists()

    def test_file(self, run):
        run.put(run.work / "opencode.json", "{}")
        run.allow("file", "opencode.json", *SHORT)
        run.allow("revoke", "opencode.json")
        assert not run.allowed.exists()

    def test_dry_run(self, run):
        run.allow("port", "4000", *SHORT)
        assert "would revoke  port:4000" in run.allow("revoke", "--all", "--dry-run")
        assert len(run.entries()) == 1
        assert len(run.log()) == 1

    def test_of_the_policy_is_named_with_its_line(self, run):
        text = "schema = 1\n[[exception]]\nsubject='port:4000'\nreason='r'\nuntil=2100-01-01\n"
        run.put(run.user, text)
        run.allow("revoke", "port:4000", status=2)
        assert f"fix:   edit {run.user}:2" in run.err
        assert run.user.read_text() == text
        run.allow("port", "4000", *SHORT)
        assert "~/.config/routeguard/policy.toml:2 still allows it" in run.allow(
            "revoke", "port:4000"
        )

    def test_unknown(self, run):
        run.allow("port", "4000", *SHORT)
        run.allow("revoke", "port:4001", status=2)
        assert "did you mean:\n         routeguard allow revoke port:4000\n" in run.err
        run.allow("revoke", status=2)
        run.allow("revoke", KEY, status=2)
        assert len(run.entries()) == 1


class TestRules:
    """What each rule says before and after `routeguard allow`, asked of the real commands."""

    def found(self, run: Place, **environ: str) -> set[tuple[str, str]]:
        done = forked.run(
            ["check", "--env", "--format", "json"], cwd=run.work, env={**run.environ, **environ}
        )
        found = json.loads(done.stdout)["findings"]
        wrong = any(f["severity"] == "error" for f in found)
        assert done.returncode == (1 if wrong else 0), done.stderr
        return {(f["rule"], f["subject"]) for f in found}

    def why(self, run: Place, name: str, **environ: str) -> dict[str, Any]:
        done = forked.run(["why", name, "--json"], cwd=run.work, env={**run.environ, **environ})
        (answer,) = json.loads(done.stdout)["variables"]
        return answer

    @pytest.mark.parametrize(
        ("rule", "name", "value"),
        [
            ("RG101", "OPENAI_API_KEY", KEY),
            ("RG103", "OPENAI_BASE_URL", "https://api.openai.com/v1"),
        ],
    )
    def test_variable(self, run, rule, name, value):
        environ = {name: value}
        plan = run.explained("opencode", "run", "hi", **environ)
        assert name in [change["name"] for change in plan["changes"] if change["rule"] == rule]
        assert (rule, name) in self.found(run, **environ)
        assert self.why(run, name, **environ)["finding"] == rule
        run.allow("env", name, *SHORT)
        plan = run.explained("opencode", "run", "hi", **environ)
        assert name not in [change["name"] for change in plan["changes"]]
        assert (rule, name) not in self.found(run, **environ)
        answer = self.why(run, name, **environ)
        assert (answer["finding"], answer["launch"]["action"]) == ("", "kept")
        assert answer["exception"]["reason"] == "because"

    @pytest.mark.parametrize("address", ["127.0.0.1:8080", "[::1]:8080", "localhost:8080"])
    def test_proxy(self, run, address):
        environ = {"HTTPS_PROXY": f"http://{address}"}
        plan = run.explained("opencode", "run", "hi", **environ)
        assert not plan["starts"]
        assert "RG104" in {finding["rule"] for finding in plan["findings"]}
        assert ("RG104", "HTTPS_PROXY") in self.found(run, **environ)
        run.allow("proxy", address, *SHORT)
        plan = run.explained("opencode", "run", "hi", **environ)
        assert "RG104" not in {finding["rule"] for finding in plan["findings"]}
        assert ("RG104", "HTTPS_PROXY") not in self.found(run, **environ)
        assert self.why(run, "HTTPS_PROXY", **environ)["finding"] == ""

    def test_server(self, run):
        words = ("opencode", "attach", "http://127.0.0.1:4096/")
        assert "RG202" in {finding["rule"] for finding in run.explained(*words)["findings"]}
        run.allow("server", "http://127.0.0.1:4096", *SHORT)
        assert "RG202" not in {finding["rule"] for finding in run.explained(*words)["findings"]}

    def test_file(self, run):
        config = run.put(run.work / "opencode.json", '{"plugin": ["./mine.js"]}')
        words = ("opencode", "run", "hi")
        assert "RG301" in {finding["rule"] for finding in run.explained(*words)["findings"]}
        assert ("RG301", str(config)) in self.found(run)
        run.allow("file", "opencode.json", *SHORT)
        assert "RG301" not in {finding["rule"] for finding in run.explained(*words)["findings"]}
        assert ("RG301", str(config)) not in self.found(run)
        config.write_text('{"plugin": ["./other.js"]}')
        assert "RG301" in {finding["rule"] for finding in run.explained(*words)["findings"]}

    def test_port_at_the_prompt(self, run):
        def typed(line: str) -> tuple[int, str]:
            done = forked.run(["line", "bash"], stdin=line.encode(), env=run.environ, cwd=run.work)
            return done.returncode, done.stderr

        status, said = typed("ollama serve")
        assert status == 126
        assert "RG403" in said
        run.allow("port", "11434", *SHORT)
        assert typed("ollama serve") == (0, "")
        assert typed("litellm --port 4000")[0] == 126

    def test_port_in_a_file(self, run):
        run.put(run.work / "start.sh", "#!/bin/sh\nollama serve\n")

        def rules() -> list[str]:
            done = forked.run(
                ["check", "--format", "json", "start.sh"], cwd=run.work, env=run.environ
            )
            return [finding["rule"] for finding in json.loads(done.stdout)["findings"]]

        assert rules() == ["RG401"]
        run.allow("port", "11434", *SHORT)
        assert rules() == []


class TestTerminal:
    def test_asks_for_what_is_missing(self, run):
        """On a terminal, `allow port 4000` asks for how long and why."""
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "guard", "allow", "port", "4000"],
            cwd=run.work,
            env={**run.environ, "TERM": "dumb"},
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=follower,
        )
        os.close(follower)
        os.write(leader, b"2h\nsomebody asked\n")
        out, _ = process.communicate(timeout=60)
        os.close(leader)
        assert process.returncode == 0
        assert b"(2h)" in out
        assert run.entries()[0]["reason"] == "somebody asked"


@pytest.mark.parametrize("name", [None, *group.commands])
def test_help(name):
    args = [name, "--help"] if name else ["--help"]
    done = CliRunner().invoke(group, args)
    assert done.exit_code == 0
    assert "Example" in done.output


def test_completion_of_kinds_and_of_what_can_be_revoked(run):
    run.allow("port", "4000", *SHORT)

    def complete(words: str, last: str) -> list[str]:
        # as click's own completion script asks
        environ = {
            "_ROUTEGUARD_COMPLETE": "bash_complete",
            "COMP_WORDS": f"routeguard {words} {last}".rstrip(),
            "COMP_CWORD": str(len(words.split()) + 1),
            "OPENAI_API_KEY": KEY,
        }
        done = forked.run([], env={**run.environ, **environ}, cwd=run.work)
        assert "canary" not in done.stdout
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert {"port", "env", "proxy", "server", "file", "list", "revoke"} <= set(
        complete("allow", "")
    )
    assert complete("allow revoke", "po") == ["port:4000"]
    assert "OPENAI_API_KEY" in complete("allow env", "OPEN")
