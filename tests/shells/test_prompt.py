"""The prompt: what is exported is looked at, said once, and everything else stays as it was."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prompt_words import flagged, scrubbed

from guard.catalog.classify import classify
from guard.hook import render
from guard.policy import cache
from guard.policy.values import GatewayProvider, PolicyException

pytestmark = pytest.mark.shells

Open = Callable[..., Any]
FOREVER = 4102444800.0


def hooked(open_session: Open, guarded: Any, shell: Any, **policy: Any) -> Any:
    session = open_session(shell)
    assert session.messages(session.run(shell.source(guarded.hook(shell, **policy)))) == []
    return session


def names_seen(session: Any, guarded: Any) -> list[str]:
    """The names in the environment of a program started from the shell."""
    marker = guarded.directory / "environment"
    session.run(f"env >{marker}")
    return [line.partition("=")[0] for line in marker.read_text().splitlines()]


def test_a_key_is_gone_at_the_next_prompt_and_said_once(
    guarded: Any, shell: Any, open_session: Open
) -> None:
    session = hooked(open_session, guarded, shell)
    output = session.run(shell.export("OPENAI_API_KEY", "CANARY"))
    assert session.messages(output) == [scrubbed("OPENAI_API_KEY")]
    assert "OPENAI_API_KEY" not in names_seen(session, guarded)
    assert session.messages(session.run("true")) == []
    assert session.value("$ROUTEGUARD_SCRUBBED") == "OPENAI_API_KEY"
    assert "ROUTEGUARD_SCRUBBED" in names_seen(session, guarded)


def test_keys_without_the_usual_ending_are_known_too(
    guarded: Any, shell: Any, open_session: Open
) -> None:
    session = hooked(open_session, guarded, shell)
    output = session.run(shell.export("CLARIFAI_PAT"))
    assert session.messages(output) == [scrubbed("CLARIFAI_PAT")]
    assert "CLARIFAI_PAT" not in names_seen(session, guarded)


def test_several_keys_are_one_line(guarded: Any, shell: Any, open_session: Open) -> None:
    session = hooked(open_session, guarded, shell)
    line = "; ".join(map(shell.export, ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")))
    (message,) = session.messages(session.run(line))
    assert message in (
        scrubbed("ANTHROPIC_API_KEY", "OPENAI_API_KEY"),
        scrubbed("OPENAI_API_KEY", "ANTHROPIC_API_KEY"),
    )
    assert sorted(session.value("$ROUTEGUARD_SCRUBBED").split(":")) == [
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
    ]


def test_what_was_there_before_the_hook_is_said_at_the_first_prompt(
    guarded: Any, shell: Any, open_session: Open
) -> None:
    session = open_session(shell, {"OPENAI_API_KEY": "CANARY"})
    output = session.run(shell.source(guarded.hook(shell)))
    assert session.messages(output) == [scrubbed("OPENAI_API_KEY")]


def test_a_name_that_begins_with_a_digit(guarded: Any, shell: Any, open_session: Open) -> None:
    """No word about it in bash and zsh, which cannot unset it; a launch removes it."""
    session = open_session(shell, {"302AI_API_KEY": "CANARY"})
    output = session.run(shell.source(guarded.hook(shell)))
    expected = [scrubbed("302AI_API_KEY")] if shell.name == "fish" else []
    assert session.messages(output + session.run("true")) == expected


def test_a_script_is_cleaned_without_a_word(guarded: Any, shell: Any) -> None:
    marker = guarded.directory / "environment"
    keys = {"OPENAI_API_KEY": "v", "CLARIFAI_PAT": "v", "FOO_API_KEY": "v", "GITHUB_TOKEN": "v"}
    done = guarded.run(shell, f"{shell.source(guarded.hook(shell))}\nenv >{marker}\n", keys)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    lines = marker.read_text().splitlines()
    assert sorted(line for line in lines if line.partition("=")[0] in keys) == [
        "FOO_API_KEY=v",
        "GITHUB_TOKEN=v",
    ]
    (names,) = (line for line in lines if line.startswith("ROUTEGUARD_SCRUBBED="))
    assert sorted(names.partition("=")[2].split(":")) == ["CLARIFAI_PAT", "OPENAI_API_KEY"]


def test_bash_cleans_scripts_through_bash_env(guarded: Any, bash: Any) -> None:
    path = str(guarded.hook(bash))
    done = guarded.run(bash, "env", {"BASH_ENV": path, "OPENAI_API_KEY": "v"})
    assert "OPENAI_API_KEY=" not in done.stdout
    assert done.stderr == ""


def test_names_scrubbed_by_a_parent_shell_are_kept_and_not_doubled(
    guarded: Any, shell: Any
) -> None:
    script = f"{shell.source(guarded.hook(shell))}\necho $ROUTEGUARD_SCRUBBED\n"
    extra = {"ROUTEGUARD_SCRUBBED": "CLARIFAI_PAT:OPENAI_API_KEY", "OPENAI_API_KEY": "v"}
    assert guarded.run(shell, script, extra).stdout == "CLARIFAI_PAT:OPENAI_API_KEY\n"


def test_a_tool_that_exports_at_every_prompt_gets_one_line(
    guarded: Any, shell: Any, open_session: Open
) -> None:
    session = open_session(shell)
    if shell.name == "fish":
        session.run("function tool --on-event fish_prompt; set -gx OPENAI_API_KEY v; end")
    elif shell.name == "zsh":
        session.run("tool() { export OPENAI_API_KEY=v; }; precmd_functions+=(tool)")
    else:
        session.run("PROMPT_COMMAND='export OPENAI_API_KEY=v'")
    output = session.run(shell.source(guarded.hook(shell)))
    for _ in range(4):
        output += session.run("true")
    assert session.messages(output) == [scrubbed("OPENAI_API_KEY")]
    if shell.name != "fish":  # fish does not say in which order it calls two handlers
        assert "OPENAI_API_KEY" not in names_seen(session, guarded)


def test_what_went_away_and_came_back_is_said_again(
    guarded: Any, shell: Any, open_session: Open
) -> None:
    session = hooked(open_session, guarded, shell)
    for _ in range(2):
        output = session.run(shell.export("OPENAI_API_KEY"))
        assert session.messages(output) == [scrubbed("OPENAI_API_KEY")]
        assert session.messages(session.run("true")) == []
    assert session.value("$ROUTEGUARD_SCRUBBED") == "OPENAI_API_KEY"


def until_said(session: Any, line: str) -> list[str]:
    """Our lines after `line`, or after one of the next prompts."""
    messages = session.messages(session.run(line))
    for _ in range(100):
        if messages:
            break
        messages = session.messages(session.run("true"))
    return list(messages)


def test_an_unknown_key_is_flagged_once_and_stays(
    guarded: Any, shell: Any, open_session: Open
) -> None:
    session = hooked(open_session, guarded, shell)
    unset = "set -e" if shell.name == "fish" else "unset"
    for _ in range(2):
        assert session.messages(session.run(shell.export("FOO_API_KEY"))) == [
            flagged("FOO_API_KEY")
        ]
        assert "FOO_API_KEY" in names_seen(session, guarded)
        for _ in range(5):
            assert session.messages(session.run("true")) == []
        session.run(f"{unset} FOO_API_KEY")
        for _ in range(5):
            assert session.messages(session.run("true")) == []


@pytest.mark.parametrize(
    "name",
    [
        "STRIPE_API_KEY",
        "PORTKEY_API_KEY",
        "BUN_API_KEY",
        "GITHUB_TOKEN",
        "MY_KEY",
        "_API_KEY",
        "A_API_KEYS",
    ],
)
def test_what_is_known_or_no_key_is_nobodys_business(
    guarded: Any, shell: Any, open_session: Open, name: str
) -> None:
    session = hooked(open_session, guarded, shell)
    assert session.messages(session.run(shell.export(name)) + session.run("true")) == []
    assert name in names_seen(session, guarded)


def test_unknown_keys_can_be_ignored(guarded: Any, shell: Any, open_session: Open) -> None:
    session = hooked(open_session, guarded, shell, keys_unknown="ignore")
    assert session.messages(session.run(shell.export("FOO_API_KEY")) + session.run("true")) == []


def test_flag_says_it_once_and_leaves_the_key(guarded: Any, shell: Any, open_session: Open) -> None:
    session = hooked(open_session, guarded, shell, keys_action="flag")
    assert session.messages(session.run(shell.export("OPENAI_API_KEY"))) == [
        flagged("OPENAI_API_KEY")
    ]
    assert session.messages(session.run("true") + session.run("true")) == []
    assert "OPENAI_API_KEY" in names_seen(session, guarded)


def test_the_key_of_the_gateway_stays_whatever_it_is_called(
    guarded: Any, shell: Any, open_session: Open
) -> None:
    provider = GatewayProvider(key_env="OPENAI_API_KEY")
    session = hooked(open_session, guarded, shell, providers=(provider,))
    assert session.messages(session.run(shell.export("OPENAI_API_KEY"))) == []
    assert "OPENAI_API_KEY" in names_seen(session, guarded)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "FOO_API_KEY"])
def test_an_exception_holds(guarded: Any, shell: Any, open_session: Open, name: str) -> None:
    exception = PolicyException(subject=f"env:{name}", until=FOREVER)
    session = hooked(open_session, guarded, shell, exceptions=(exception,))
    line = f"{shell.export(name)}; {shell.export('ANTHROPIC_API_KEY')}"
    assert session.messages(session.run(line)) == [scrubbed("ANTHROPIC_API_KEY")]
    assert name in names_seen(session, guarded)


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_an_exception_ends_while_the_shell_is_open(
    name: str, guarded: Any, open_session: Open, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    exception = PolicyException(subject="env:OPENAI_API_KEY", until=time.time() + 2)
    session = hooked(open_session, guarded, shell, exceptions=(exception,))
    messages = session.messages(session.run(shell.export("OPENAI_API_KEY")))
    if name == "bash" and shell.version < (4, 2):
        # it cannot tell the time without a process: what was allowed at the start stays so
        time.sleep(3)
        assert messages == session.messages(session.run("true")) == []
        return
    while not messages:
        time.sleep(0.2)
        messages = session.messages(session.run("true"))
    assert time.time() >= exception.until - 1
    assert messages == [scrubbed("OPENAI_API_KEY")]


def test_an_exception_that_has_ended_is_none(guarded: Any, shell: Any, open_session: Open) -> None:
    exception = PolicyException(subject="env:OPENAI_API_KEY", until=1.0)
    session = hooked(open_session, guarded, shell, exceptions=(exception,))
    assert session.messages(session.run(shell.export("OPENAI_API_KEY"))) == [
        scrubbed("OPENAI_API_KEY")
    ]


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_readonly_key_is_flagged_once(
    name: str, guarded: Any, open_session: Open, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    session = hooked(open_session, guarded, shell)
    output = session.run("export OPENAI_API_KEY=v; readonly OPENAI_API_KEY")
    for _ in range(3):
        output += session.run("true")
    assert session.messages(output) == [flagged("OPENAI_API_KEY (readonly)")]
    assert "readonly variable" not in output
    assert "read-only variable" not in output


def test_a_universal_variable_of_fish_is_flagged_and_kept(
    guarded: Any, fish: Any, open_session: Open
) -> None:
    session = hooked(open_session, guarded, fish)
    output = session.run("set -Ux OPENAI_API_KEY v")
    # without its configuration fish keeps universal variables like global ones
    if session.value("(set -qU OPENAI_API_KEY; echo $status)") == "0":
        message = flagged("OPENAI_API_KEY (universal)").replace(
            "why OPENAI_API_KEY (universal)", "why OPENAI_API_KEY"
        )
        assert session.messages(output + session.run("true")) == [message]
    else:
        assert session.messages(output) == [scrubbed("OPENAI_API_KEY")]


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_variable_that_is_not_exported_is_left_alone(
    name: str, guarded: Any, open_session: Open, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    session = hooked(open_session, guarded, shell)
    assert session.messages(session.run("OPENAI_API_KEY=v CLARIFAI_PAT=v; true")) == []
    assert session.value("${OPENAI_API_KEY-gone}${CLARIFAI_PAT-gone}") == "vv"
    output = session.run("export OPENAI_API_KEY CLARIFAI_PAT")
    assert len(session.messages(output)) == 1
    assert session.value("${OPENAI_API_KEY-gone}${CLARIFAI_PAT-gone}") == "gonegone"


@pytest.mark.parametrize("status", [0, 1, 42, 130])
def test_the_status_of_the_last_command_survives(
    guarded: Any, shell: Any, open_session: Open, status: int
) -> None:
    session = hooked(open_session, guarded, shell)
    line = f"{'fish' if shell.name == 'fish' else 'sh'} -c 'exit {status}'"
    for before in ("true", shell.export("OPENAI_API_KEY")):
        session.child.sendline(f"{before}; {line}")
        assert session.value(shell.status) == str(status)


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_the_last_word_of_the_last_command_survives(
    name: str, guarded: Any, open_session: Open, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    session = hooked(open_session, guarded, shell)
    session.child.sendline("export OPENAI_API_KEY=v; : one last-word")
    assert session.value("$_") == "last-word"
    session.child.sendline(": one other-word")
    assert session.value("$_") == "other-word"


def test_ctrl_c_at_the_prompt(guarded: Any, shell: Any, open_session: Open) -> None:
    session = hooked(open_session, guarded, shell)
    session.child.send("half a comm")
    session.child.sendintr()
    output = session.run("true")
    assert session.messages(output) == []
    assert session.messages(session.run(shell.export("OPENAI_API_KEY"))) == [
        scrubbed("OPENAI_API_KEY")
    ]


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_nothing_of_it_is_in_the_history(
    name: str, guarded: Any, open_session: Open, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    session = open_session(shell)
    session.run("HISTSIZE=500 SAVEHIST=500")
    session.run(f". {guarded.hook(shell)} && : loaded")
    session.run(shell.export("OPENAI_API_KEY"))
    history = session.run("history" if name == "bash" else "fc -l 1")
    assert ": loaded" in history
    assert "__routeguard" not in history


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_errexit_does_not_end_the_shell(
    name: str, guarded: Any, open_session: Open, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    session = hooked(open_session, guarded, shell)
    session.run("set -eu")
    session.child.sendline("! true")
    assert session.value("$?") == "1"
    assert session.messages(session.run("! export OPENAI_API_KEY=v")) == [
        scrubbed("OPENAI_API_KEY")
    ]
    assert session.messages(session.run("export FOO_API_KEY=v")) == [flagged("FOO_API_KEY")]


@pytest.mark.parametrize(
    "options",
    ["setopt ksh_arrays no_unset", "setopt sh_word_split glob_subst", "emulate sh", "emulate ksh"],
)
def test_the_prompt_under_other_zsh_options(
    guarded: Any, zsh: Any, open_session: Open, options: str
) -> None:
    session = hooked(open_session, guarded, zsh)
    session.run(options)
    session.run(zsh.source(guarded.hook(zsh)))
    line = "export OPENAI_API_KEY=v FOO_API_KEY=v"
    assert session.messages(session.run(line)) == [
        scrubbed("OPENAI_API_KEY"),
        flagged("FOO_API_KEY"),
    ]
    assert session.messages(session.run("true")) == []


@pytest.mark.parametrize(
    "options",
    [
        "IFS=x0123456789",
        "IFS==_",
        "set -f",
        "shopt -s nocasematch",
        "shopt -s nullglob failglob",
        "set -o posix",
        "set -a",
        "set -o noclobber",
    ],
)
def test_the_prompt_under_other_bash_options(
    guarded: Any, bash: Any, open_session: Open, options: str
) -> None:
    session = hooked(open_session, guarded, bash)
    session.run(options)
    session.run(bash.source(guarded.hook(bash)))
    assert session.messages(session.run("export OPENAI_API_KEY=v")) == [scrubbed("OPENAI_API_KEY")]
    assert session.messages(session.run("export FOO_API_KEY=v")) == [flagged("FOO_API_KEY")]
    for _ in range(3):
        assert session.messages(session.run("true")) == []


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_tracing_at_the_prompt_shows_no_value(
    name: str, guarded: Any, open_session: Open, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    session = hooked(open_session, guarded, shell)
    marker = guarded.directory / "key"
    marker.write_text("CANARY\n")
    session.run(f"read -r OPENAI_API_KEY <{marker}; FOO_API_KEY=$OPENAI_API_KEY; set -x")
    output = session.run("export OPENAI_API_KEY FOO_API_KEY") + session.run("true")
    assert "scrubbed OPENAI_API_KEY" in output
    assert "CANARY" not in output


def test_a_restricted_bash_is_left_in_peace(guarded: Any, bash: Any, open_session: Open) -> None:
    session = hooked(open_session, guarded, bash)
    session.run("set -r")
    output = session.run("export OPENAI_API_KEY=v") + session.run("true")
    assert "restricted" not in output
    assert session.messages(output) == []


def test_loading_it_again_keeps_one_entry(guarded: Any, shell: Any, open_session: Open) -> None:
    session = hooked(open_session, guarded, shell)
    session.run(shell.source(guarded.hook(shell)))
    session.run(shell.source(guarded.hook(shell)))
    if shell.name == "bash":
        assert session.value("$PROMPT_COMMAND") == "__routeguard_prompt && \\:"
    elif shell.name == "zsh":
        assert session.value("$precmd_functions") == "__routeguard_precmd"
    assert session.messages(session.run(shell.export("OPENAI_API_KEY"))) == [
        scrubbed("OPENAI_API_KEY")
    ]


def test_among_a_thousand_names_a_key_goes_at_once_and_an_unknown_one_is_said(
    guarded: Any, shell: Any, open_session: Open
) -> None:
    session = open_session(shell, {f"VARIABLE_NUMBER_{n}": "v" for n in range(1000)})
    session.run(shell.source(guarded.hook(shell)))
    for _ in range(30):
        assert session.messages(session.run(shell.export("OPENAI_API_KEY"))) == [
            scrubbed("OPENAI_API_KEY")
        ]
        assert session.messages(session.run("true")) == []
    assert until_said(session, shell.export("FOO_API_KEY")) == [flagged("FOO_API_KEY")]
    for _ in range(50):
        assert session.messages(session.run("true")) == []


@pytest.mark.parametrize("version", ["3 2", "4 0", "4 2"])
def test_what_an_older_bash_would_do(
    guarded: Any, bash: Any, open_session: Open, version: str
) -> None:
    """The same branches, taken by the bash that is here: there is no older one to be had."""
    path = guarded.hook(bash)
    text = path.read_text()
    for name in ("BASH_VERSINFO", "EPOCHSECONDS"):
        assert name in text
        text = text.replace(name, f"OLD_{name}")
    path.write_text(f"OLD_BASH_VERSINFO=({version})\n{text}")
    session = open_session(bash, {"OPENAI_API_KEY": "v"})
    session.run("set -u; PROMPT_COMMAND=:")
    assert session.messages(session.run(bash.source(path))) == [scrubbed("OPENAI_API_KEY")]
    assert session.messages(session.run("OPENAI_API_KEY=v CLARIFAI_PAT=v")) == []
    assert session.messages(session.run("export CLARIFAI_PAT FOO_API_KEY=v STRIPE_API_KEY=v")) == [
        scrubbed("CLARIFAI_PAT"),
        flagged("FOO_API_KEY"),
    ]
    assert session.value("${OPENAI_API_KEY-gone}${CLARIFAI_PAT-gone}") == "vgone"
    output = session.run("export ANTHROPIC_API_KEY=v; readonly ANTHROPIC_API_KEY")
    assert session.messages(output) == [flagged("ANTHROPIC_API_KEY (readonly)")]
    assert session.messages(session.run("true")) == []
    session.run("opencode run")
    assert guarded.records()[0]["argv"][3:] == ["run"]


def test_a_bash_without_a_private_file_still_knows_the_keys(
    guarded: Any, bash: Any, open_session: Open
) -> None:
    path = guarded.hook(bash)
    path.write_text(path.read_text().replace(str(guarded.scratch), "/nowhere/at/all"))
    session = open_session(bash)
    session.run(bash.source(path))
    output = session.run("export OPENAI_API_KEY=v CLARIFAI_PAT=v FOO_API_KEY=v")
    assert session.messages(output) == [scrubbed("CLARIFAI_PAT", "OPENAI_API_KEY")]
    assert "nowhere" not in output.replace("FOO_API_KEY", "")


@pytest.mark.parametrize("before", [":", "ulimit -f 0", "BASH_COMPAT=5.0; set -eu; ulimit -f 0"])
def test_a_bash_that_can_write_no_file_still_knows_the_keys(
    guarded: Any, bash: Any, open_session: Open, before: str
) -> None:
    """Neither does it end by the signal of the limit, nor believe the answer of an earlier look.
    bash 5.0 needs a file for a here-document, too."""
    session = open_session(bash)
    session.run(before)
    assert "bash: " not in session.run(bash.source(guarded.hook(bash)))
    session.run("ulimit -f 0; export FOO_API_KEY=v")
    for name in ("OPENAI_API_KEY", "CLARIFAI_PAT", "ANTHROPIC_API_KEY"):
        assert session.messages(session.run(f"export {name}=v")) == [scrubbed(name)]
        assert session.messages(session.run("true")) == []
    assert "cannot be judged" not in session.run("litellm --version || :")


UNDO = {
    "bash": "unset -f opencode opencode2 claude codex routeguard; "
    "__routeguard_prompt() { return; }; "
    "bind '\"\\C-m\": accept-line' '\"\\C-j\": accept-line'",
    "zsh": "unfunction opencode opencode2 claude codex routeguard; "
    "precmd_functions=(${precmd_functions:#__routeguard_*}) "
    "preexec_functions=(${preexec_functions:#__routeguard_*})",
    "fish": "functions --erase __routeguard_{prompt,preexec} "
    "opencode opencode2 claude codex routeguard",
}


def test_what_the_documentation_says_to_undo_it(
    guarded: Any, shell: Any, open_session: Open
) -> None:
    documented = Path(__file__).parents[2].joinpath("docs", "shells.md").read_text()
    assert f"{UNDO[shell.name]} " in documented
    session = hooked(open_session, guarded, shell)
    session.run(UNDO[shell.name])
    line = f"{shell.export('OPENAI_API_KEY')}; alias opencode='echo alias'"
    output = session.run(line) + session.run("true")
    assert "alias run" in session.run("opencode run")
    assert session.messages(output) == []
    assert "routeguard" not in output.replace("__routeguard", "")
    assert "OPENAI_API_KEY" in names_seen(session, guarded)


def test_every_name_of_the_catalogue_is_what_classify_says(guarded: Any, shell: Any) -> None:
    """Each shell has the names in a shape of its own: parts of names, patterns, questions."""
    policy = cache.load("/", {"HOME": str(guarded.home)})
    made_up = ("FOO_API_KEY", "OPENAIX_API_KEY", "PENAI_API_KEY", "openai_API_KEY", "X_API_KEY")
    names = {name for name in (*policy.variables, *made_up) if render._holds(shell.name, name)}
    names -= {"LD_AUDIT", "LD_PRELOAD"}  # which would speak up in every program
    kinds = {name: classify(name, policy.variables, policy.gateway_keys)[0] for name in names}
    look = {
        "bash": "__routeguard_prompt",
        "zsh": "__routeguard_precmd",
        "fish": "emit fish_prompt",
    }[shell.name]
    script = guarded.directory / "all"
    lines = (shell.source(guarded.hook(shell, policy)), *map(shell.export, sorted(names)), look)
    script.write_text("\n".join((*lines, "env")) + "\n")
    done = subprocess.run(
        [*shell.interactive, "-c", shell.source(script)],
        env=guarded.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    left = names & {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert {name for name in names if kinds[name] == "provider_key"} == names - left
    if shell.name != "zsh":  # which speaks where it draws a prompt
        said = re.findall(r"routeguard: (scrubbed|flagged) (.*) \(why", done.stderr)
        assert {name for word, part in said for name in part.split(", ")} == {
            name for name in names if kinds[name] in ("provider_key", "unknown_key")
        }
