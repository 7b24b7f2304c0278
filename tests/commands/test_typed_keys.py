"""A key that was pasted where a name belongs does not come back whole, whatever the command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import click
import forked
import pytest
from command_tree import commands
from private_network import PrivateNetwork

from guard import rule_table
from guard.catalog import entries
from guard.catalog.key_shapes import is_key
from guard.masking import fix_without_secrets, masked, typed

HEX = "9f86d081884c7d659a2feaa0c55ad015"
AWS = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKE"
AZURE = "BsW4qCoGgqEHRo0hGc8lJQQJ99BAACYeBjFXJ3w3AAABACOG"
COHERE = "k3vd8sq02mfl4txz9yhw7bpe6rnj1aucgo5i0d2q"
KEYS = (
    HEX,
    HEX.upper(),
    HEX * 2,
    "deadbeef" * 4,
    AWS,
    AZURE,
    COHERE,
    "abcdefabcdefabcdefabcdefabcd",
    "xV5l/abcDEF123ghiJKL456=",
    "3f2a1b4c-1d2e-4f5a-8b9c-0123456789ab",
    "sk-12345678ab",
    "pk-lf-3f2a1b4c-1d2e-4f5a-8b9c-0123456789ab",
    "dapi1234567890ab1234567890ab1234",
    "sk-proj-abcdefghijklmnop1234",
)
NAMES = (
    *("no-direct-provider-keys", "us.anthropic.claude-3-7-sonnet-20250219-v1:0", "port:11434"),
    *("meta-llama/Llama-3.3-70B-Instruct-Turbo", "@openai-prod/gpt-4o-2024-08-06", "RG101"),
    *("Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8", "packages/app/V1Beta1/FooBarBaz2.tsx"),
    *("2026-12-31T18:00", "http://127.0.0.1:8787/v1", "src/MyApp2024/FooBar/Baz3", "origin/main"),
    *("accounts/fireworks/models/llama4maverickinstruct17b", "npm_config_registry", "30d"),
)


@pytest.mark.parametrize("key", KEYS)
def test_it_is_told_from_a_name(key: str) -> None:
    assert is_key(key, apart=False)
    assert key in typed(["why", key])


@pytest.mark.parametrize("name", [*NAMES, *(rule.name for rule in rule_table.RULES.values())])
def test_a_name_is_shown(name: str) -> None:
    assert not is_key(name, apart=False)


def test_every_variable_of_the_catalogue_is_a_name() -> None:
    assert [name for name in entries.variables() if is_key(name, apart=False)] == []


def test_every_id_of_the_catalogue_is_a_name() -> None:
    assert [name for name in entries.providers() if is_key(name, apart=False)] == []


@pytest.mark.parametrize(
    "form",
    ["{}", "--{}", "--key={}", "-k={}", "NAME={}", "env:{}", "'{}'", '"{}",', "https://h.x/{}/v1"],
)
@pytest.mark.parametrize("key", [HEX, COHERE, AZURE, "deadbeef" * 4])
def test_in_whatever_form_it_was_typed(
    form: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["routeguard", "why", form.format(key)])
    monkeypatch.setattr("guard.masking._known", None)
    assert key not in masked(f"No such command '{key}'.")
    assert key not in masked(f"no such option: --{key.lower()}") or key != key.lower()
    monkeypatch.setattr("guard.masking._known", None)


def test_a_path_and_the_name_of_a_set_variable_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / HEX).touch()
    monkeypatch.setenv("A" + HEX, "x")
    assert [*typed(["check", HEX, f"./{HEX}.json"]), *typed(["why", "A" + HEX])] == []


@pytest.mark.parametrize(
    "form", ["--since={}", "{}", "b-{}.json", "--output=reports/{}/r.sarif", "reports/{}/*"]
)
def test_a_commit_is_shown_by_check(form: str) -> None:
    commit = "3f786850e387550fdab836ed7e6dc881de23001b"
    assert [*typed(["check", form.format(commit)])] == []
    assert [*typed(["check", "--since", form.format(commit)])] == []
    assert {*typed(["why", commit])} == {commit}
    assert {*typed(["check", f"{commit}-{HEX}"])} == {f"{commit}-{HEX}"}


def test_an_agent_has_ids_of_its_own() -> None:
    session = "3f2a1b4c-1d2e-4f5a-8b9c-0123456789ab"
    assert [*typed(["exec", "--", "claude", "--resume", session])] == []
    assert {*typed(["exec", "--", "claude", HEX])} == {HEX}


def test_no_command_is_made_of_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["routeguard", "ports", HEX])
    monkeypatch.setattr("guard.masking._known", None)
    fix = fix_without_secrets(f"the table: routeguard ports\nrouteguard ports stop {HEX}", "")
    assert fix.splitlines()[0] == "the table: routeguard ports"
    assert fix.splitlines()[1].startswith("type it without the key")
    monkeypatch.setattr("guard.masking._known", None)


def leaves() -> Iterator[tuple[str, ...]]:
    """The words of each command, and of each with an option that takes a value."""
    for name, command in commands().items():
        path = tuple(name.split()[1:])
        yield path
        for param in command.params:
            if isinstance(param, click.Option) and not param.is_flag:
                yield (*path, param.opts[-1])


@pytest.fixture
def apart(private_network: PrivateNetwork) -> Iterator[str]:
    """A network without the servers of other tests: some of the commands ask who listens."""
    if os.getuid() != 0:
        yield ""  # nobody else can enter one
        return
    with private_network.started(["sh", "-c", "echo; exec sleep 600"]) as inside:
        assert inside.stdout is not None
        inside.stdout.readline()
        yield f"/proc/{inside.pid}/ns/net"


@pytest.mark.slow
def test_no_command_says_it_again(tmp_path: Path, apart: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    keys = cycle((HEX, AWS, COHERE, AZURE))
    said = []
    for number, words in enumerate(leaves()):
        key = next(keys)
        option = words and words[-1].startswith("-")
        form = f"--{key}" if number % 2 and not option else key
        if words[:1] == ("watch",) and option:
            continue  # with a value that counts it goes on for ever
        ran = forked.run([*words, form], cwd=home, env=env, errors="replace", network=apart)
        if key.lower() in (ran.stdout + ran.stderr).lower():
            said.append((*words, form, ran.stdout + ran.stderr))
    assert said == []
