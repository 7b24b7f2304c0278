"""`routeguard exec` as click shows it, and that it is the same as the hot path."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from guard.commands.exec import exec_command


def test_the_help_names_every_status() -> None:
    done = CliRunner().invoke(exec_command, ["--help"])
    assert done.exit_code == 0
    for words in ("126 refused", "127 not found", "2 usage", "3 policy", "ROUTEGUARD_QUIET=1"):
        assert words in " ".join(done.output.split())


@pytest.mark.parametrize(
    "words",
    [
        ["opencode", "run", "--help"],
        ["--", "opencode", "run", "-m", "x", "--", "hi"],
        ["make", "-j4", "--version"],
        ["--", "-odd"],
    ],
)
def test_the_command_gets_its_words_as_they_are(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("guard.launch.execute.main", lambda argv: seen.append(argv) or 5)
    done = CliRunner().invoke(exec_command, words, standalone_mode=False)
    assert done.return_value == 5
    command = words[1:] if words[0] == "--" else words
    assert seen == [["--", *command]]


@pytest.mark.parametrize("option", ["--fence", "--no-fence"])
def test_the_fence_is_passed_on_in_front_of_the_command(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("guard.launch.execute.main", lambda argv: seen.append(argv) or 0)
    words = [option, "--", "make", "--fence"]
    CliRunner().invoke(exec_command, words, standalone_mode=False)
    assert seen == [words]


def test_the_help_says_what_a_fence_costs() -> None:
    shown = " ".join(CliRunner().invoke(exec_command, ["--help"]).output.split())
    assert "sudo does not work inside" in shown
    assert "Linux 6.7" in shown


def test_no_command() -> None:
    done = CliRunner().invoke(exec_command, [])
    assert (done.exit_code, "Missing argument" in done.output) == (2, True)
