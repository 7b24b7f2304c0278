"""`routeguard portkey`, run as a person runs it: what is said, how it ends, where no key is."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "portkey"))

import control_plane as plane
from conftest import ADMIN_KEY, WEAK_KEY, WORKSPACE_KEY, Account
from conftest import account as account

KEYS = (ADMIN_KEY, WORKSPACE_KEY, WEAK_KEY)
CANARIES = (*KEYS, "sk-ant-canary-in-a-config", "sk-ant-canary-of-a-vendor")
Ended = subprocess.CompletedProcess[str]


class Person:
    """A home with a policy for the gateway at `base_url`; afterwards it is searched for keys."""

    def __init__(self, home: Path, base_url: str) -> None:
        self.home = home
        self.temporary = home / "tmp"
        self.temporary.mkdir(parents=True)
        self.policy = home / ".config/routeguard/policy.toml"
        self.policy.parent.mkdir(parents=True)
        self.policy.parent.chmod(0o700)
        self.base_url = base_url
        self.policy.write_text(f'[gateway]\nbase_url = "{base_url}"\n')
        self.said: list[str] = []

    def environ(self, key: str, more: dict[str, str]) -> dict[str, str]:
        base = {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
        }
        return base | ({"PORTKEY_API_KEY": key} if key else {}) | more

    def start(self, *words: str, key: str = ADMIN_KEY, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "guard", "portkey", *words],
            env=self.environ(key, more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
        )

    def run(self, *words: str, key: str = ADMIN_KEY, **more: str) -> Ended:
        done = forked.run(["portkey", *words], env=self.environ(key, more), cwd=self.home)
        self.said += [done.stdout, done.stderr]
        assert "Traceback" not in done.stderr
        return done

    def search(self) -> None:
        """No key in anything that was said, and in no file."""
        for text in self.said:
            assert not [canary for canary in CANARIES if canary in text]
        for path in self.home.rglob("*"):
            if path.is_file():
                raw = path.read_bytes()
                assert not [canary for canary in CANARIES if canary.encode() in raw], path
        assert list(self.temporary.iterdir()) == []


@pytest.fixture
def person(account: Account, tmp_path: Path) -> Iterator[Person]:
    found = Person(tmp_path / "home", account.server.base_url)
    yield found
    found.search()


# the questions of the user's notes, for each kind of key


def test_an_admin_key_has_every_question_answered(person: Person) -> None:
    done = person.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first == (
        "This key reaches 3 providers; a call that names no provider goes to @openai-prod/gpt-4o "
        "by the config on the key (pc-fall-000001) and falls back to @anthropic-prod on 429, 503; "
        "@anthropic-prod is exhausted."
    )
    for line in (
        "key        aD****n=, from the environment variable PORTKEY_API_KEY",
        "  @openai-prod      openai, active, 60 rpm",
        "  @anthropic-prod   anthropic, exhausted, 60 rpm",
        "  pc-fall-000001  on this key, a call may not bring another",
        "  ├─ fallback on 429, 503",
        "  │  ├─ 1. @openai-prod/gpt-4o",
        "  │  └─ 2. @anthropic-prod",
        "  ├─ retries 2 times",
        "  └─ cache simple, 60 s",
    ):
        assert line in lines


def test_a_workspace_key_has_its_providers_and_is_told_what_it_lacks(person: Person) -> None:
    done = person.run("status", key=WORKSPACE_KEY)
    assert done.returncode == 0
    assert done.stdout.startswith("This key reaches 3 providers; ")
    assert "configs    not visible to this key: it lacks configs.list" in done.stdout
    assert (
        "scopes     not visible to this key: it lacks workspace_user_api_keys.list" in done.stdout
    )
    assert "none" not in done.stdout


def test_lists_of_junk_are_no_empty_account(person: Person, account: Account) -> None:
    junk = [(200, {"data": ["x", {}], "total": 2}, {})]
    account.space.trouble = dict.fromkeys(("providers", "virtual-keys", "models", "configs"), junk)
    done = person.run("status")
    assert done.returncode == 1
    assert "0 providers" not in done.stdout
    assert "providers  request failed: unexpected reply" in done.stdout


def test_a_weak_key_knows_least_and_says_so(person: Person) -> None:
    done = person.run("status", key=WEAK_KEY)
    assert done.returncode == 0
    assert done.stdout.startswith("This key reaches at least 2 providers; ")
    assert "(slugs from the list of models; more needs providers.list)" in done.stdout
    assert "to try it for a few tokens: routeguard portkey probe" in done.stdout
    assert "none" not in done.stdout


def test_a_probe_fills_the_gap(person: Person, account: Account) -> None:
    account.space.default_route = True
    assert person.run("probe", "gpt-4o", "--yes", key=WEAK_KEY).returncode == 0
    done = person.run("status", "--cached", key=WEAK_KEY)
    assert "served by openai through config.targets[0], when it was last probed" in done.stdout


# JSON


def test_the_contract_of_status(person: Person) -> None:
    done = json.loads(person.run("status", "--json").stdout)
    assert {name: type(value).__name__ for name, value in done.items()} == {
        "schema_version": "int",
        "summary": "str",
        "gateway": "str",
        "key": "dict",
        "seen_at": "int",
        "age_seconds": "int",
        "key_settings": "dict",
        "default_config": "dict",
        "override_allowed": "dict",
        "providers_from": "str",
        "providers": "dict",
        "agents": "list",
        "configs": "dict",
        "models": "dict",
        "default_route": "dict",
        "notes": "list",
    }
    assert done["schema_version"] == 1
    assert done["key"] == {
        "shown": "aD****n=",
        "source": "the environment variable PORTKEY_API_KEY",
        "entry": "portkey",
    }
    assert set(done["providers"]) == {"state", "value", "missing_scope", "reason"}
    assert [row["slug"] for row in done["providers"]["value"]] == [
        "openai-prod",
        "anthropic-prod",
        "openrouter-main",
    ]
    assert {one["agent"]: (one["endpoint"], one["providers"]) for one in done["agents"]} == {
        "opencode": (
            "/v1/chat/completions",
            ["@openai-prod", "@anthropic-prod", "@openrouter-main"],
        ),
        "claude-code": ("/v1/messages", ["@anthropic-prod"]),
        "codex": ("/v1/responses", ["@openai-prod"]),
    }
    assert done["default_route"]["target"] == "@openai-prod/gpt-4o"
    assert done["default_route"]["known"] is True


def test_what_is_hidden_is_null_with_its_scope(person: Person) -> None:
    done = json.loads(person.run("status", "--json", key=WEAK_KEY).stdout)
    assert done["configs"]["state"] == "hidden"
    assert done["configs"]["value"] is None
    assert done["configs"]["missing_scope"] == "configs.list"


def test_the_contract_of_models(person: Person) -> None:
    done = json.loads(person.run("models", "--json").stdout)
    assert set(done) == {"schema_version", "gateway", "seen_at", "total", "models"}
    assert done["models"][2] == {
        "id": "@openrouter-main/mistralai/mistral-7b-instruct",
        "provider": "openrouter-main",
        "model": "mistralai/mistral-7b-instruct",
        "opencode": "portkey/@openrouter-main/mistralai/mistral-7b-instruct",
    }


def test_the_contract_of_probe(person: Person, account: Account) -> None:
    planned = json.loads(person.run("probe", "gpt-4o", "--dry-run", "--json").stdout)
    assert set(planned) == {"schema_version", "gateway", "max_tokens", "requests"}
    assert not [r for r in account.server.requests if r.method == "POST"]
    done = json.loads(person.run("probe", "gpt-4o", "--yes", "--json").stdout)
    assert set(done) == {"schema_version", "gateway", "models", "requests"}
    assert done["models"] == {"gpt-4o": {"works": True, "opencode": "portkey/@openai-prod/gpt-4o"}}
    assert set(done["requests"][0]) == {
        *("asked", "kind", "model", "headers", "verdict", "status"),
        *("served_by", "through", "says", "seconds"),
    }
    assert len(done["requests"]) == len(planned["requests"])


# models


def test_models_are_searched_and_remembered(person: Person, account: Account) -> None:
    assert person.run("models", "MINI").stdout == "portkey/@openai-prod/gpt-4o-mini\n"
    asked = len(account.server.requests)
    done = person.run("models", "--provider", "@openrouter-main")
    assert done.stdout == "portkey/@openrouter-main/mistralai/mistral-7b-instruct\n"
    assert "1 of 3 models" in done.stderr
    assert len(account.server.requests) == asked
    person.run("models", "--refresh")
    assert len(account.server.requests) > asked


def test_no_model_is_a_finding_and_no_provider_a_usage_error(person: Person) -> None:
    assert person.run("models", "no-such-word").returncode == 1
    done = person.run("models", "--provider", "typo")
    assert done.returncode == 2
    assert "@openai-prod, @openrouter-main" in done.stderr


def test_an_entry_for_the_provider_gives_the_shorter_name(person: Person) -> None:
    person.policy.write_text(
        f'[gateway]\nbase_url = "{person.base_url}"\n[gateway.providers.portkey]\n'
        '[gateway.providers.portkey-openrouter]\nslug = "openrouter-main"\nmodels = ["m"]\n'
    )
    done = person.run("models", "mistral")
    assert done.stdout == "portkey-openrouter/mistralai/mistral-7b-instruct\n"


# remembered


def test_what_was_seen_is_shown_without_asking(person: Person, account: Account) -> None:
    done = person.run("status", "--cached")
    assert done.returncode == 1, done.stderr
    assert "routeguard portkey status" in done.stderr
    assert account.server.requests == []
    seen = person.run("status")
    asked = len(account.server.requests)
    again = person.run("status", "--cached")
    assert again.stdout.splitlines()[0] == seen.stdout.splitlines()[0]
    assert len(account.server.requests) == asked
    # another key has seen nothing yet
    assert person.run("status", "--cached", key=WEAK_KEY).returncode == 1


def test_only_the_user_reads_what_is_kept(person: Person) -> None:
    person.run("status")
    kept = [p for p in (person.home / ".cache").rglob("*") if p.is_file()]
    assert kept
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)


# without a terminal


def test_a_probe_sends_nothing_unasked(person: Person, account: Account) -> None:
    done = person.run("probe")
    assert done.returncode == 2
    assert "nothing was sent" in done.stderr
    assert "--yes" in done.stderr
    assert not [r for r in account.server.requests if r.method == "POST"]


def test_a_sync_writes_nothing_unasked(person: Person) -> None:
    before = person.policy.read_text()
    done = person.run("sync")
    assert done.returncode == 2
    assert "nothing was written" in done.stderr
    assert "+models = [" in done.stdout
    assert person.policy.read_text() == before
    assert os.listdir(person.policy.parent) == ["policy.toml"]


def test_a_dry_run_writes_nothing_at_all(person: Person) -> None:
    before = sorted(str(p) for p in person.policy.parent.rglob("*"))
    assert person.run("sync", "--dry-run").returncode == 0
    assert sorted(str(p) for p in person.policy.parent.rglob("*")) == before


# sync


def test_what_was_written_is_undone_by_the_line_that_is_shown(person: Person) -> None:
    before = person.policy.read_text()
    done = person.run("sync", "--yes", "--layout", "each")
    assert done.returncode == 0
    assert "[gateway.providers.portkey-openrouter]" in person.policy.read_text()
    assert person.run("sync", "--yes").stderr.strip().endswith("is up to date")
    undo = done.stderr.splitlines()[-1].removeprefix("undo: ")
    subprocess.run(undo, shell=True, check=True)
    assert person.policy.read_text() == before
    assert os.listdir(person.policy.parent) == ["policy.toml"]


def test_a_policy_that_is_a_link_stays_one(person: Person) -> None:
    dotfiles = person.home / "dot files"
    dotfiles.mkdir()
    target = dotfiles / "policy.toml"
    person.policy.rename(target)
    person.policy.symlink_to(target)
    before = target.read_text()
    done = person.run("sync", "--yes")
    assert done.returncode == 0
    assert person.policy.is_symlink()
    undo = done.stderr.splitlines()[-1].removeprefix("undo: ")
    assert shlex.split(undo)[-1] == str(target)
    subprocess.run(undo, shell=True, check=True)
    assert person.policy.is_symlink()
    assert target.read_text() == before


def test_a_broken_policy_is_not_touched(person: Person, account: Account) -> None:
    person.policy.write_text("[gateway\n")
    done = person.run("sync", "--yes")
    assert done.returncode == 3
    assert "RG501" in done.stderr
    assert account.server.requests == []
    assert person.policy.read_text() == "[gateway\n"


# what goes wrong


@pytest.mark.parametrize("command", [["status"], ["models"], ["probe", "--yes"], ["sync", "--yes"]])
@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("", "no gateway key: PORTKEY_API_KEY is not set"),
        ("sk-ant-canary-of-a-vendor", "begins with sk-ant-"),
    ],
)
def test_no_key_or_another_vendors(
    person: Person, account: Account, command: list[str], key: str, sentence: str
) -> None:
    done = person.run(*command, key=key)
    assert done.returncode == 126
    assert sentence in done.stderr
    assert "RG106" in done.stderr
    assert "fix:" in done.stderr
    assert account.server.requests == []


@pytest.mark.parametrize("command", [["status"], ["models"], ["sync", "--yes"]])
@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ((401, plane.BAD_KEY, {}), "the gateway does not know this key"),
        ((412, plane.EXHAUSTED, {}), "the budget of this key is used up"),
        ((302, "", {"location": "http://login.example/"}), "redirects to login.example"),
    ],
)
def test_a_refusal_is_one_sentence_with_the_next_step(
    person: Person,
    account: Account,
    command: list[str],
    trouble: tuple[int, Any, dict[str, str]],
    sentence: str,
) -> None:
    account.space.trouble["*"] = [trouble]
    done = person.run(*command)
    assert done.returncode == 1, done.stderr
    assert sentence in done.stderr
    assert "fix:" in done.stderr
    assert done.stdout == ""


def test_nobody_listens(person: Person) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        person.policy.write_text(f'[gateway]\nbase_url = "{url}"\n')
        done = person.run("status")
    assert done.returncode == 1, done.stderr
    assert "cannot connect to the gateway" in done.stderr


def test_a_name_without_an_address(person: Person) -> None:
    person.policy.write_text('[gateway]\nbase_url = "https://gateway.invalid/v1"\n')
    done = person.run("status")
    assert done.returncode == 1, done.stderr
    assert "cannot resolve gateway.invalid" in done.stderr


def test_a_proxy_on_this_machine_is_refused(person: Person) -> None:
    person.policy.write_text('[gateway]\nbase_url = "https://gateway.invalid/v1"\n')
    done = person.run("status", HTTPS_PROXY="http://127.0.0.1:8080")
    assert done.returncode == 126
    assert "RG104" in done.stderr


def test_an_entry_that_is_not_there(person: Person) -> None:
    done = person.run("status", "--entry", "typo")
    assert done.returncode == 2
    assert "there are: portkey" in done.stderr


@pytest.mark.parametrize("word", ["a\nb", "m\u00fc", "x" * 201, " "])
def test_what_can_be_no_model_is_not_sent(person: Person, account: Account, word: str) -> None:
    assert person.run("probe", word, "--yes").returncode == 2
    assert account.server.requests == []


def test_a_model_that_does_not_work_is_a_finding(person: Person) -> None:
    done = person.run("probe", "gpt-4", "--yes", key=WEAK_KEY)
    assert done.returncode == 1, done.stderr
    assert "needs a provider" in done.stdout
    assert "opencode: no name works" in done.stdout


# where no key is


def test_no_argument_of_any_process_holds_the_key(person: Person, account: Account) -> None:
    account.space.slow = 0.3
    arguments: list[bytes] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    try:
                        arguments.append((entry / "cmdline").read_bytes())
                    except OSError:
                        continue
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        # not forks: these have no command line of their own
        for words in (("status",), ("probe", "gpt-4o", "--yes")):
            with person.start(*words) as process:
                person.said += process.communicate(timeout=120)
            assert process.returncode == 0
    finally:
        over.set()
        watcher.join()
    for word in (b"status", b"probe"):
        assert any(b"portkey\0" + word in line for line in arguments)
    assert not [line for line in arguments for key in KEYS if key.encode() in line]


def test_a_key_from_a_command_is_as_secret(person: Person) -> None:
    store = person.home.parent / "store"
    store.write_text(ADMIN_KEY + "\n")
    person.policy.write_text(
        f'[gateway]\nbase_url = "{person.base_url}"\nkey = {{ command = ["cat", "{store}"] }}\n'
    )
    done = person.run("status", key="")
    assert done.returncode == 0
    assert "from the command cat of your policy" in done.stdout


def test_interrupted_it_ends_quietly(person: Person, account: Account) -> None:
    account.space.slow = 30
    process = person.start("status")
    with process:
        deadline = time.monotonic() + 60
        while not account.server.requests and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(2)
        out, err = process.communicate(timeout=60)
    person.said += [out, err]
    assert process.returncode in (1, 130, -2)
    assert "Traceback" not in err


def test_every_request_is_about_the_account_until_a_probe_is_sent(
    person: Person, account: Account
) -> None:
    person.run("status")
    person.run("models")
    person.run("sync", "--dry-run")
    assert {request.method for request in account.server.requests} == {"GET"}
    assert all(r.header("authorization") == "" for r in account.server.requests)


# the documentation


def test_the_examples_of_the_docs_are_what_is_said(person: Person) -> None:
    docs = (Path(__file__).parents[2] / "docs/portkey.md").read_text()
    for key, words in (
        (ADMIN_KEY, ["status"]),
        (WEAK_KEY, ["status"]),
        (ADMIN_KEY, ["models"]),
        (ADMIN_KEY, ["probe", "gpt-4o", "--yes"]),
    ):
        said = person.run(*words, key=key).stdout.rstrip()
        said = said.replace(person.base_url, "http://127.0.0.1:8787/v1")
        said = re.sub(r"\d+\.\d s", "0.0 s", said)
        said = re.sub(r"seen .* ago", "seen just now", said)
        assert f"$ routeguard portkey {' '.join(words)}\n{said}\n```" in docs


# what a launch says of it


def launched(person: Person, *words: str, key: str) -> Ended:
    """A launch of an agent that does nothing, past the policy's default model."""
    package = person.home / "opencode-ai"
    agent = package / "bin" / "opencode"
    if not agent.exists():
        agent.parent.mkdir(parents=True)
        (package / "package.json").write_text('{"name":"opencode-ai","version":"1.18.33"}')
        agent.write_text("#!/bin/sh\nexit 0\n")
        agent.chmod(0o755)
    environ = person.environ(key, {"PATH": f"{agent.parent}:/usr/bin:/bin"})
    done = subprocess.run(
        [sys.executable, "-m", "guard", "exec", "--", "opencode", "run", *words, "hi"],
        env=environ, cwd=person.home, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    person.said += [done.stdout, done.stderr]
    return done


def test_a_launch_that_the_gateway_is_known_to_refuse_says_so(
    person: Person, account: Account
) -> None:
    bare = plane.key_row(WORKSPACE_KEY, plane.WORKSPACE)
    account.space.api_keys.append(bare)
    scope = frozenset(("workspace_user_api_keys.list",))
    account.space.keys[WORKSPACE_KEY] = plane.WORKSPACE | scope
    words = "names no provider, and the gateway refused such calls"
    assert words not in launched(person, key=WORKSPACE_KEY).stderr
    assert person.run("status", key=WORKSPACE_KEY).returncode == 0
    done = launched(person, key=WORKSPACE_KEY)
    assert done.returncode == 0, done.stderr
    assert f"portkey/gpt-4o {words}" in done.stderr
    assert "[RG206]" in done.stderr
    # another key, a model that names its provider, and a config that has come onto the key
    assert words not in launched(person, key=WEAK_KEY).stderr
    named = launched(person, "-m", "portkey/@openai-prod/gpt-4o", key=WORKSPACE_KEY)
    assert words not in named.stderr
    (marker,) = (person.home / ".cache/routeguard/portkey").glob("*.refused")
    bare["defaults"] = {"config_id": account.space.configs[0]["id"], "allow_config_override": True}
    assert person.run("status", key=WORKSPACE_KEY).returncode == 0
    assert not marker.exists()
    assert words not in launched(person, key=WORKSPACE_KEY).stderr
    # whatever lies there, nothing is refused
    for put in (marker.mkdir, lambda: marker.symlink_to("/dev/zero")):
        put()
        assert launched(person, key=WORKSPACE_KEY).returncode == 0
        marker.rmdir() if marker.is_dir() else marker.unlink()
