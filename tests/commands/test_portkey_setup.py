"""`routeguard portkey setup` in a pseudo-terminal: every question, every way out of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

# at the end: a conftest of another folder may be imported by that name
sys.path.append(str(Path(__file__).parent.parent / "portkey"))

import control_plane as plane

KEY = "mY+canary/0000000000000000setup="
SETUP = [sys.executable, "-m", "guard", "portkey", "setup"]
LIMIT = 60

WHICH = "Which (1, 2)"
NUMBERS = "Which, by number, separated by spaces [all]: "
OWN = "Has each of them a Portkey key of its own? [y/N]: "
DEFAULT = "Model of a launch that names none ["
WRITE = "? [y/N]: "
MISTRAL = "mistralai/mistral-7b-instruct"


class Dialogue:
    """One run of setup in a terminal, wide enough that no line is broken."""

    def __init__(self, environ: dict[str, str], home: Path) -> None:
        self.child = pexpect.spawn(
            SETUP[0], SETUP[1:], env=environ, cwd=str(home), timeout=LIMIT, echo=False,
            encoding="utf-8", dimensions=(60, 400),
        )  # fmt: skip
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
        """Press Ctrl-C at `question`; the exit status."""
        self.expect(question)
        if not question.endswith(": "):
            self.expect(": ")
        self.child.sendintr()
        return self.end()

    def end(self) -> int:
        self.child.expect(pexpect.EOF)
        self.said += str(self.child.before)
        self.child.close()
        assert "Traceback" not in self.said, self.said
        assert self.child.exitstatus is not None, self.said
        return int(self.child.exitstatus)


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
    def setup(self) -> Iterator[Dialogue]:
        found = Dialogue(self.environ, self.home)
        self.dialogues.append(found)
        try:
            yield found
        finally:
            found.child.close(force=True)

    def gateway(self) -> dict[str, Any]:
        found: dict[str, Any] = tomllib.loads(self.path.read_text())["gateway"]
        return found

    def has_written_nothing(self) -> None:
        assert self.path.read_text() == self.before
        assert os.listdir(self.path.parent) == ["policy.toml"]
        assert not self.store.exists()

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
        asked.expect("Next: opencode models")
        assert asked.end() == 0
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
    for no in ("n", ""):
        with person.setup() as asked:
            asked.answer(WHICH, "1")
            asked.answer(DEFAULT, "portkey/@openai-prod/gpt-4o")
            asked.answer(WRITE, no)
            assert asked.end() == 130
        person.has_written_nothing()


@pytest.mark.parametrize("at", [WHICH, NUMBERS, OWN, "openai-prod [", DEFAULT, WRITE])
def test_ctrl_c_leaves_nothing(person: Person, at: str) -> None:
    answers = {
        WHICH: "2",
        NUMBERS: "1",
        OWN: "y",
        "openai-prod [": "MINE",
        DEFAULT: "portkey-openai/gpt-4o",
    }
    with person.setup() as asked:
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
        slugs = "Slugs, separated by spaces (such as openrouter-main): "
        asked.answer(slugs, "sk-ant-0123456789abcdef0123456789")
        asked.expect("Names as the dashboard shows them, never a key.")
        asked.answer(slugs, "@openrouter-main, together-1")
        asked.answer("Models of @openrouter-main, separated by spaces: ", f"{MISTRAL} a/b:free")
        asked.answer("Models of @together-1, separated by spaces: ", "@together-1/meta/llama")
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


def test_a_key_that_the_gateway_does_not_know_ends_it_before_any_question(person: Person) -> None:
    person.space.keys.clear()
    with person.setup() as asked:
        assert asked.end() == 1
        assert "[1" not in asked.said
        assert "Which" not in asked.said
    person.has_written_nothing()


def test_without_a_terminal_it_says_what_to_run(person: Person) -> None:
    done = subprocess.run(
        SETUP, env=person.environ, cwd=person.home, check=False, text=True,
        capture_output=True, stdin=subprocess.DEVNULL, timeout=LIMIT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no terminal" in done.stderr
    assert "routeguard portkey sync --yes" in done.stderr
    assert person.server.requests == []
    person.has_written_nothing()
