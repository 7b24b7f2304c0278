"""`routeguard setup` in a pseudo-terminal: every question, every way out of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import forked
import pexpect.fdpexpect
import pytest

from guard.commands import bootstrap
from guard.commands.setup import setup as setup_command
from guard.errors import UsageError

# at the end: a conftest of another folder may be imported by that name
sys.path.append(str(Path(__file__).parent.parent / "portkey"))

import control_plane as plane

KEY = "mY+canary/0000000000000000setup="
SETUP = ["setup", "--no-rc", "--no-shims", "--no-verify"]
LIMIT = 60

WHICH = "Which (1, 2)"
NUMBERS = "Which, by number, separated by spaces [all]: "
OWN = "Has each of them a Portkey key of its own? [y/N]: "
DEFAULT = "Model of a launch that names none ["
WRITE = "Write this? [Y/n]: "
SOURCE = "Which (1, 3) [1]: "
GATEWAY = "Gateway URL ["
MISTRAL = "mistralai/mistral-7b-instruct"


class Dialogue:
    """One run of setup in a terminal, wide enough that no line is broken."""

    def __init__(self, environ: dict[str, str], home: Path, *options: str) -> None:
        master, self.run = forked.on_terminal(
            [*SETUP, *options], env=environ, cwd=home, dimensions=(60, 400)
        )
        self.child = pexpect.fdpexpect.fdspawn(master, timeout=LIMIT, encoding="utf-8")
        self.said = ""

    def expect(self, text: str) -> None:
        self.child.expect_exact(text)
        self.said += str(self.child.before) + text

    def answer(self, question: str, text: str) -> None:
        """Wait for `question`, then type `text` and Enter."""
        self.expect(question)
        if not question.endswith(": "):
            self.expect(": ")
        self.child.sendline(text)

    def interrupt(self, question: str) -> int:
        """Press Ctrl-C at `question`; the exit status.

        Again where nothing comes of it: Python's `input` waits on after a signal that arrives
        between its prompt and its read.
        """
        self.expect(question)
        if not question.endswith(": "):
            self.expect(": ")
        for _ in range(LIMIT // 5):
            self.child.send("\3")
            if self.child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=5) == 0:
                break
        self.said += str(self.child.before)
        return self.end()

    def end(self) -> int:
        self.child.expect(pexpect.EOF)
        self.said += str(self.child.before)
        assert "Traceback" not in self.said, self.said
        return self.run.wait(LIMIT)


class Person:
    """A home with a policy for the stand-in, and what setup made of it."""

    def __init__(self, home: Path, server: plane.ControlPlane) -> None:
        self.home = home
        self.server = server
        self.path = home / ".config/routeguard/policy.toml"
        self.path.parent.mkdir(parents=True, mode=0o700)
        self.write("")
        self.environ = {
            "HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "dumb",
            "NO_COLOR": "1", "PORTKEY_API_KEY": KEY,
        }  # fmt: skip
        self.dialogues: list[Dialogue] = []

    @property
    def space(self) -> plane.Workspace:
        return self.server.workspace

    @property
    def store(self) -> Path:
        return self.home / ".local/share/opencode/auth.json"

    def write(self, more: str) -> None:
        self.before = f'[gateway]\nbase_url = "{self.server.base_url}"\n{more}'
        self.path.write_text(self.before)
        self.path.chmod(0o600)

    @contextlib.contextmanager
    def setup(self, *options: str, straight: bool = True) -> Iterator[Dialogue]:
        """A run of setup; `straight` answers the questions for key and gateway by Enter."""
        found = Dialogue(self.environ, self.home, *options)
        self.dialogues.append(found)
        try:
            if straight:
                found.answer(SOURCE, "")
                found.answer(GATEWAY, "")
            yield found
        finally:
            found.child.close()  # which ends what still runs there

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """routeguard without a terminal; never raises on its exit status."""
        return forked.run(words, env=self.environ, cwd=self.home, timeout=LIMIT)

    def gateway(self) -> dict[str, Any]:
        found: dict[str, Any] = tomllib.loads(self.path.read_text())["gateway"]
        return found

    def has_written_nothing(self) -> None:
        assert self.path.read_text() == self.before
        assert os.listdir(self.path.parent) == ["policy.toml"]
        assert not (self.home / ".local/share").exists()

    def search(self) -> None:
        """The key is in nothing that was shown, and in no file."""
        for dialogue in self.dialogues:
            assert KEY not in dialogue.said
        for path in self.home.rglob("*"):
            assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    space = plane.Workspace(
        keys={KEY: plane.WORKSPACE},
        providers=[
            plane.provider("openai-prod"),
            plane.provider("openrouter-main", "openrouter"),
            plane.provider("openrouter-spare", "openrouter"),
            plane.provider("old", "together-ai", status="expired"),
        ],
        models=[
            plane.model("openai-prod", "gpt-4o"),
            plane.model("openrouter-main", MISTRAL),
            plane.model("openrouter-spare", MISTRAL),
        ],
    )
    with plane.ControlPlane(space) as server:
        found = Person(tmp_path / "home", server)
        yield found
        found.search()


def test_one_entry_for_all(person: Person) -> None:
    with person.setup() as asked:
        asked.expect("The key comes from the environment variable PORTKEY_API_KEY (mY****p=)")
        asked.expect(f"and goes to {person.server.base_url} alone.")
        asked.expect("This key reaches 4 providers;")
        asked.answer(WHICH, "3")
        asked.expect("'3' is not one of")
        asked.answer(WHICH, "1")
        asked.expect("  portkey/@openrouter-spare/" + MISTRAL)
        asked.answer(DEFAULT, "portkey/nobody")
        asked.expect("One of the models that would be written")
        asked.answer(DEFAULT, "portkey/@openai-prod/gpt-4o")
        asked.expect('+default = "portkey/@openai-prod/gpt-4o"')
        asked.answer(WRITE, "y")
        asked.expect("wrote ~/.config/routeguard/policy.toml")
        asked.expect("Done. No start file was changed;")
        assert asked.end() == 0
        assert "guards shells that start from now on" not in asked.said
    assert person.gateway()["default"] == "portkey/@openai-prod/gpt-4o"
    (entry,) = person.gateway()["providers"].values()
    assert set(entry["models"]) == {
        "@openai-prod/gpt-4o", f"@openrouter-main/{MISTRAL}", f"@openrouter-spare/{MISTRAL}",
    }  # fmt: skip
    assert not person.store.exists()
    kept = [name for name in os.listdir(person.path.parent) if name != "policy.toml"]
    assert [(person.path.parent / name).read_text() for name in kept] == [person.before]


def test_one_entry_for_each_with_keys_of_their_own(person: Person) -> None:
    with person.setup() as asked:
        asked.answer(WHICH, "2")
        asked.expect("   2  @openrouter-main   (openrouter)")
        asked.answer(NUMBERS, "2 9")
        asked.expect("Numbers from 1 to 3, or all.")
        asked.answer(NUMBERS, "2, 3")
        asked.expect("  portkey-openrouter/…   for @openrouter-main")
        asked.expect("  portkey-openrouter-spare/…   for @openrouter-spare")
        asked.answer(OWN, "y")
        # two providers of one vendor: two keys, so two variables
        asked.answer(
            "of @openrouter-main [PORTKEY_OPENROUTER_API_KEY]: ", "sk-ant-0123456789abcdef"
        )
        asked.expect("The name of a variable, never a key itself.")
        asked.answer("of @openrouter-main [PORTKEY_OPENROUTER_API_KEY]: ", "")
        asked.answer("of @openrouter-spare [PORTKEY_OPENROUTER_SPARE_API_KEY]: ", "SPARE")
        asked.answer(DEFAULT, f"portkey-openrouter/{MISTRAL}")
        asked.answer(WRITE, "y")
        asked.expect("export PORTKEY_OPENROUTER_API_KEY=…")
        asked.expect("export SPARE=…")
        assert asked.end() == 0
    assert person.gateway()["default"] == f"portkey-openrouter/{MISTRAL}"
    entries = person.gateway()["providers"]
    assert {name: (e["slug"], e["key"]["env"], e["models"]) for name, e in entries.items()} == {
        "portkey-openrouter": ("openrouter-main", "PORTKEY_OPENROUTER_API_KEY", [MISTRAL]),
        "portkey-openrouter-spare": ("openrouter-spare", "SPARE", [MISTRAL]),
    }
    assert not person.store.exists()


def test_no_at_the_end_writes_nothing(person: Person) -> None:
    for no in ("n", "no"):
        with person.setup() as asked:
            asked.answer(WHICH, "1")
            asked.answer(DEFAULT, "portkey/@openai-prod/gpt-4o")
            asked.answer(WRITE, no)
            assert asked.end() == 130
        person.has_written_nothing()


@pytest.mark.parametrize(
    "at", [SOURCE, GATEWAY, WHICH, NUMBERS, OWN, "openai-prod [", DEFAULT, WRITE]
)
def test_ctrl_c_leaves_nothing(person: Person, at: str) -> None:
    answers = {
        SOURCE: "",
        GATEWAY: "",
        WHICH: "2",
        NUMBERS: "1",
        OWN: "y",
        "openai-prod [": "MINE",
        DEFAULT: "portkey-openai/gpt-4o",
    }
    with person.setup(straight=False) as asked:
        for question, answer in answers.items():
            if question == at:
                break
            asked.answer(question, answer)
        assert asked.interrupt(at) == 130
    person.has_written_nothing()


def test_slugs_are_asked_for_where_the_key_shows_none(person: Person) -> None:
    person.space.keys[KEY] = frozenset(("configs.list",))
    with person.setup() as asked:
        asked.expect("The providers are not visible to this key")
        slugs = "Slugs, such as openrouter-main, separated by spaces (Enter: none): "
        asked.answer(slugs, "sk-ant-0123456789abcdef0123456789")
        asked.expect("Names as the dashboard shows them, never a key.")
        asked.answer(slugs, "@openrouter-main, together-1")
        asked.answer(
            "Models of @openrouter-main, separated by spaces (Enter: none): ", f"{MISTRAL} a/b:free"
        )
        asked.answer(
            "Models of @together-1, separated by spaces (Enter: none): ", "@together-1/meta/llama"
        )
        asked.answer(WHICH, "2")
        asked.answer(NUMBERS, "")
        asked.answer(OWN, "n")
        asked.answer(DEFAULT, f"portkey-openrouter/{MISTRAL}")
        asked.answer(WRITE, "y")
        assert asked.end() == 0
    entries = person.gateway()["providers"]
    assert {name: (e["slug"], e["models"]) for name, e in entries.items()} == {
        "portkey-openrouter": ("openrouter-main", [MISTRAL, "a/b:free"]),
        "portkey-together": ("together-1", ["meta/llama"]),
    }


def test_many_models_are_limited_by_words(person: Person) -> None:
    person.space.models = [
        plane.model("openai-prod", f"gpt-{number}{kind}")
        for number in range(40)
        for kind in ("", "-mini")
    ]
    with person.setup() as asked:
        asked.answer(WHICH, "1")
        asked.expect("There are 80 models")
        words = "Only those whose names hold these words (Enter: all): "
        asked.answer(words, "claude")
        asked.expect("None holds all of them.")
        asked.answer(words, "GPT-3 mini")
        asked.expect("11 of them.")
        asked.answer(DEFAULT, "portkey/@openai-prod/gpt-3-mini")
        asked.answer(WRITE, "y")
        assert asked.end() == 0
    assert len(person.gateway()["providers"]["portkey"]["models"]) == 11


def test_a_default_of_the_users_own_stays(person: Person) -> None:
    person.write('default = "portkey/house-model"  # ours\n')
    with person.setup() as asked:
        asked.answer(WHICH, "1")
        asked.answer(WRITE, "y")
        assert asked.end() == 0
        assert DEFAULT not in asked.said
    assert 'default = "portkey/house-model"  # ours\n' in person.path.read_text()


def test_a_second_time_there_is_nothing_to_write(person: Person) -> None:
    for first in (True, False):
        with person.setup() as asked:
            asked.answer(WHICH, "1")
            if first:
                asked.answer(DEFAULT, "portkey/@openai-prod/gpt-4o")
                asked.answer(WRITE, "y")
            else:
                asked.expect("is up to date")
            assert asked.end() == 0
            unchanged = "unchanged  ~/.local/share/routeguard/bin/routeguard"
            assert asked.said.count(unchanged) == (0 if first else 1)
            assert ("To be written:" in asked.said) == first


def test_a_default_is_offered_that_can_be_used(person: Person) -> None:
    """Before: `portkey/gpt-4o`, of an entry that the second layout does not have."""
    with person.setup("--layout", "each") as asked:
        asked.answer(NUMBERS, "all")
        asked.answer(OWN, "n")
        asked.expect("Model of a launch that names none [portkey-openai/gpt-4o]: ")
        asked.child.sendline("portkey/gpt-4o")
        asked.expect("One of the models that would be written")
        asked.answer(DEFAULT, "")
        asked.answer(WRITE, "")
        assert asked.end() == 0
    assert person.gateway()["default"] == "portkey-openai/gpt-4o"
    assert "portkey" not in person.gateway()["providers"]


def test_no_slug_is_an_answer(person: Person) -> None:
    """Before: it asked for ever, and an open-source gateway has none."""
    person.space.keys[KEY] = frozenset(("configs.list",))
    with person.setup() as asked:
        asked.answer("separated by spaces (Enter: none): ", "")
        asked.expect("No provider is written")
        asked.answer(WRITE, "")
        assert asked.end() == 0
    assert person.path.read_text() == person.before


@pytest.mark.parametrize("wrong", ["a key that the gateway does not know", "no key", "no gateway"])
def test_a_gateway_that_does_not_answer_is_said_and_not_fatal(person: Person, wrong: str) -> None:
    options: tuple[str, ...] = ()
    if wrong == "no key":
        del person.environ["PORTKEY_API_KEY"]
    elif wrong == "no gateway":
        options = ("--gateway", "http://127.0.0.1:1/v1")
    else:
        person.space.keys.clear()
    with person.setup(*options, straight=False) as asked:
        asked.answer(SOURCE, "")
        if not options:
            asked.answer(GATEWAY, "")
        asked.expect("The providers are left for later: routeguard portkey sync")
        asked.answer(WRITE, "")
        assert asked.end() == 0
        assert "fix:" in asked.said
        assert ("To do:     export PORTKEY_API_KEY=…" in asked.said) == (wrong == "no key")
    assert (person.home / ".local/share/routeguard/bin/routeguard").exists()


def test_a_gateway_given_that_cannot_be_one_is_not_blamed_on_the_policy(person: Person) -> None:
    done = person.run("setup", "--yes", "--no-rc", "--gateway", "nonsense")
    assert done.returncode == 2
    assert 'routeguard: --gateway: that cannot be the gateway; found "nonsense"' in done.stderr
    assert "policy.toml" not in done.stderr
    person.has_written_nothing()


def test_an_open_source_gateway_has_nothing_for_later(person: Person) -> None:
    person.space.trouble = {"providers": [(400, plane.NO_ROUTE, {})] * 9}
    with person.setup() as asked:
        asked.expect("this is an open-source gateway")
        asked.answer(WRITE, "")
        assert asked.end() == 0
        assert "portkey sync" not in asked.said


@pytest.mark.parametrize("at", [SOURCE, WRITE])
def test_ctrl_c_after_install_sh_says_what_is_made(person: Person, at: str) -> None:
    with person.setup("--clone", "/some/clone", straight=at == WRITE) as asked:
        if at == WRITE:
            asked.answer(WHICH, "1")
            asked.answer(DEFAULT, "portkey/@openai-prod/gpt-4o")
        assert asked.interrupt(at) == 130
        assert "\naborted; the environment is made" in asked.said
        assert "no shell is guarded yet" in asked.said
        assert "to go on: /some/clone/install.sh" in asked.said
        assert "nothing was changed" not in asked.said
    person.has_written_nothing()


def test_ctrl_c_while_it_works_does_not_say_that_nothing_was_changed(person: Person) -> None:
    person.space.slow = 20.0
    with person.setup() as asked:
        asked.expect("The key comes from")
        deadline = time.monotonic() + LIMIT
        while not person.server.requests and time.monotonic() < deadline:
            time.sleep(0.05)
        asked.child.send("\3")
        assert asked.end() == 130
        assert "interrupted; run it again to finish" in asked.said


def test_another_gateway_is_asked_for_until_it_can_be_one(person: Person) -> None:
    with person.setup(straight=False) as asked:
        asked.answer(SOURCE, "3")
        asked.answer("Command: ", "sk-ant-0123456789abcdef")
        asked.expect("A command that prints the key, never the key itself.")
        asked.answer("Command: ", "printenv 'PORTKEY_API_KEY'")
        asked.answer(GATEWAY, "not a URL")
        asked.expect("That cannot be the gateway; found")
        assert "policy.toml" not in asked.said, "it is in no file"
        asked.answer(GATEWAY, person.server.base_url + "/")
        asked.answer(WHICH, "1")
        asked.answer(DEFAULT, "")
        asked.answer(WRITE, "")
        assert asked.end() == 0
    assert person.gateway()["base_url"] == person.server.base_url + "/"
    assert person.gateway()["key"] == {"command": ["printenv", "PORTKEY_API_KEY"]}


BACKEND = """
import json, pathlib
from keyring.backend import KeyringBackend

class Backend(KeyringBackend):
    priority = 5
    path = pathlib.Path(__file__).with_name("stored.json")

    def _read(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, username):
        return self._read().get(f"{service} {username}")

    def set_password(self, service, username, password):
        self.path.write_text(json.dumps({**self._read(), f"{service} {username}": password}))

    def delete_password(self, service, username):
        left = self._read()
        del left[f"{service} {username}"]
        self.path.write_text(json.dumps(left))
"""
"""A backend of keyring as a desktop has one; where this file lies stands for the desktop."""


def with_keyring(person: Person, tmp_path: Path) -> Path:
    """Give the person's session a keyring; where its content lies."""
    desktop = tmp_path / "desktop"
    desktop.mkdir()
    (desktop / "of_desktop.py").write_text(BACKEND)
    config = person.home / ".config/python_keyring/keyringrc.cfg"
    config.parent.mkdir(parents=True)
    config.write_text(f"[backend]\ndefault-keyring=of_desktop.Backend\nkeyring-path={desktop}\n")
    return desktop / "stored.json"


@pytest.mark.parametrize("asked_for", [True, False])
def test_the_keyring_holds_the_key_and_purge_takes_it_out(
    person: Person, tmp_path: Path, asked_for: bool
) -> None:
    stored = with_keyring(person, tmp_path)
    content = {"routeguard PORTKEY_API_KEY": KEY}
    if asked_for:
        del person.environ["PORTKEY_API_KEY"]
        with person.setup("--layout", "one", straight=False) as asked:
            asked.answer("Which (1, 2, 3) [1]: ", "2")
            asked.answer("Portkey API key (hidden): ", "sk-ant-0123456789abcdef0123456789")
            asked.expect("That ")
            asked.answer("Portkey API key (hidden): ", KEY)
            asked.answer(GATEWAY, "")
            asked.expect("The key comes from what you typed (mY****p=)")
            asked.answer(DEFAULT, "")
            assert not stored.exists(), "nothing is written before it was confirmed"
            asked.answer(WRITE, "")
            assert asked.end() == 0
    else:
        done = person.run("setup", "--yes", "--no-rc", "--no-verify", "--key-from", "keyring")
        assert done.returncode == 0, done.stderr
        del person.environ["PORTKEY_API_KEY"]
    assert json.loads(stored.read_text()) == content
    command = person.gateway()["key"]["command"]
    assert command[1:] == ["-I", "-m", "keyring", "get", "routeguard", "PORTKEY_API_KEY"]
    # a launch gets it from there
    assert "the key" in person.run("portkey", "status").stdout
    assert person.run("teardown", "--yes").returncode == 0
    assert json.loads(stored.read_text()) == content
    assert person.run("teardown", "--yes", "--purge").returncode == 0
    assert json.loads(stored.read_text()) == {}


def test_without_a_keyring_it_says_so_and_offers_the_others(person: Person) -> None:
    done = person.run("setup", "--yes", "--no-rc", "--key-from", "keyring")
    assert done.returncode == 2
    assert "keyring" in done.stderr
    assert "--key-from env:PORTKEY_API_KEY" in done.stderr
    person.has_written_nothing()


@pytest.mark.parametrize(
    "source", ["mY+canary", "env:", "env:a-b", "env:sk-ant-0123456789abcdef", "command:", "x:y"]
)
def test_a_key_itself_is_no_source(person: Person, source: str) -> None:
    done = person.run("setup", "--yes", "--no-rc", "--key-from", source)
    assert done.returncode == 2, done.stdout
    assert "never a key itself" in done.stderr or "never the key itself" in done.stderr
    person.has_written_nothing()


def test_without_a_terminal_it_says_what_to_run(person: Person) -> None:
    for verb in ("setup", "teardown"):
        done = person.run(verb)
        assert (done.returncode, done.stdout) == (2, "")
        assert "there is no terminal" in done.stderr
        assert f"routeguard {verb} --yes" in done.stderr
    assert person.server.requests == []
    person.has_written_nothing()


def test_yes_without_a_key_says_so_and_how_to_give_one(person: Person) -> None:
    del person.environ["PORTKEY_API_KEY"]
    person.path.unlink()
    done = person.run("setup", "--yes", "--no-rc", "--no-shims")
    assert done.returncode == 0, done.stderr
    assert "  key        PORTKEY_API_KEY is not set" in done.stdout
    said = done.stdout.partition("\nTo do:     export PORTKEY_API_KEY=")[2]
    assert "setup --key-from 'command:op read op://dev/portkey/key'" in said
    there = person.run("setup", "--yes", "--no-rc", "--no-shims", "--key-from", "command:printf x")
    assert "To do" not in there.stdout, "the policy names a command now"
    again = person.run("setup", "--yes", "--no-rc", "--no-shims")
    assert "To do" not in again.stdout


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--layout", "3", "--layout takes one or each, not '3'"),
        ("--layout", "", "--layout takes one or each, not ''"),
        ("--key-from", "keychain", "--key-from takes env:NAME, keyring or command:WORDS"),
        ("--key-from", f"env:{KEY}", "takes the name of a variable, never a key itself"),
        ("--key-from", "command:", "--key-from takes env:NAME, keyring or command:WORDS"),
        ("--gateway", "gw.corp.net", "--gateway takes a URL that begins with https://"),
    ],
)
def test_install_sh_refuses_a_wrong_answer_before_it_makes_anything(
    monkeypatch: pytest.MonkeyPatch, option: str, value: str, said: str
) -> None:
    monkeypatch.setattr(bootstrap, "_install", None)
    for words in ([option, value], [f"{option}={value}"]):
        with pytest.raises(UsageError, match=re.escape(said)) as caught:
            bootstrap.main(["--yes", *words])
        assert KEY not in f"{caught.value}{caught.value.fix}"


def test_a_home_that_is_missing_is_made_by_what_is_advised(person: Person, tmp_path: Path) -> None:
    home = tmp_path / "not here" / "yet"
    person.environ["HOME"] = str(home)
    advised = person.run("setup", "--yes").stderr.rpartition("fix:   ")[2]
    subprocess.run(advised, shell=True, check=True)
    assert home.is_dir()


def test_yes_asks_the_gateway_only_where_there_is_a_key(person: Person) -> None:
    del person.environ["PORTKEY_API_KEY"]
    done = person.run("setup", "--yes", "--no-rc")
    assert done.returncode == 0, done.stderr
    assert person.server.requests == []
    assert person.path.read_text() == person.before
    assert "verify --fetch" in done.stdout, "no agent is installed here"
    person.environ["PORTKEY_API_KEY"] = KEY
    shown = person.run("setup", "--dry-run", "--no-rc")
    assert "+[gateway.providers.portkey]" in shown.stdout
    assert person.path.read_text() == person.before
    assert person.run("setup", "--yes", "--no-rc").returncode == 0
    assert set(person.gateway()["providers"]) == {"portkey"}


def test_a_broken_policy_is_said_and_the_shells_are_guarded_all_the_same(person: Person) -> None:
    person.write("nonsense = 1\n")
    done = person.run("setup", "--yes", "--shell", "zsh")
    assert done.returncode == 3
    assert "nonsense" in done.stderr
    assert "To do:     mend your policy, as said above; until then no agent starts" in done.stdout
    assert "routeguard" in (person.home / ".zshrc").read_text()


def test_install_sh_passes_every_option_of_setup() -> None:
    options = {
        (param.opts[0], not getattr(param, "is_flag", False))
        for param in setup_command.params
        if isinstance(param, click.Option) and not param.hidden
    }
    known = {(name, True) for name in bootstrap.WITH_VALUE}
    assert options == known | {(name, False) for name in bootstrap.WITHOUT_VALUE}


def test_each_agent_that_is_here_is_proved_after_all_was_set_up(person: Person) -> None:
    """Two that do not run: each is said, and the shell is guarded. Real ones: tests/e2e."""
    del person.environ["PORTKEY_API_KEY"]
    folder = person.home / "bin"
    folder.mkdir()
    for name in ("opencode", "claude"):
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    person.environ["PATH"] = f"{folder}:{os.defpath}"
    done = person.run("setup", "--yes", "--shell", "zsh")
    assert done.returncode == 1
    assert "opencode (~/bin/opencode), Claude Code (~/bin/claude)" in done.stdout
    assert [line for line in done.stderr.splitlines() if "  where: " in line] == [
        "  where: ~/bin/opencode",
        "  where: ~/bin/claude",
    ]
    assert "routeguard" in (person.home / ".zshrc").read_text()
    assert person.run("setup", "--yes", "--shell", "zsh", "--no-verify").returncode == 0
