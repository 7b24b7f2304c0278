"""bash beside the programs that people load into it, and with whatever they have set in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from prompt_words import SCRUBBED, flagged

pytestmark = pytest.mark.shells

Open = Callable[..., Any]
MachineFor = Callable[[Any], Any]
KEY = "export OPENAI_API_KEY=v"

PREEXEC = r"""
bash_preexec_imported=defined __bp_mode='' precmd_functions+=(seen_precmd)
seen_precmd() { echo "status $?" >>"$SEEN"; }
__bp_give() { return "$1"; }
__bp_precmd_invoke_cmd() {
    local status=$? each
    for each in "${precmd_functions[@]}"; do __bp_give "$status"; "$each"; done
}
__bp_interactive_mode() { __bp_mode=on; }
__bp_preexec_invoke_exec() {
    GUARD
    [[ $__bp_mode ]] || return 0
    __bp_mode=''
    local line
    while read -r line; do [[ $line != "$BASH_COMMAND" ]] || return 0; done <<<"$PROMPT_COMMAND"
    echo "$BASH_COMMAND" >>"$SEEN"
}
PROMPT_COMMAND=$'__bp_precmd_invoke_cmd\n'"$PROMPT_COMMAND"$'\n__bp_interactive_mode'
trap '__bp_preexec_invoke_exec "$_"' DEBUG
"""
"""What counts of bash-preexec (rcaloras/bash-preexec), on which atuin, iTerm2 and wezterm build:
the order of its entries, `$?` for its functions, and that whatever runs first after its last entry
is taken for what was typed. GUARD is where 0.5 leaves out what a key runs."""

VSCODE = r"""
__vsc_initialized=0 __vsc_in_command_execution=1
__vsc_preexec() {
    [[ $BASH_COMMAND == __vsc_prompt* ]] || echo "$BASH_COMMAND" >>"$SEEN"
}
__vsc_preexec_only() {
    if [ "$__vsc_in_command_execution" = "0" ]; then
        __vsc_in_command_execution="1"
        __vsc_preexec
    fi
}
trap '__vsc_preexec_only "$_"' DEBUG
__vsc_restore_exit_code() { return "$1"; }
__vsc_precmd() { echo "status $__vsc_status" >>"$SEEN"; __vsc_in_command_execution=0; }
__vsc_prompt_cmd_original() {
    __vsc_status=$?
    local cmd
    __vsc_restore_exit_code "$__vsc_status"
    for cmd in "${__vsc_original_prompt_command[@]}"; do eval "$cmd"; done
    __vsc_precmd
}
__vsc_prompt_cmd() { __vsc_status=$?; __vsc_precmd; }
__vsc_original_prompt_command=${PROMPT_COMMAND:-}
PROMPT_COMMAND=__vsc_prompt_cmd${__vsc_original_prompt_command:+_original}
"""
"""What counts of VS Code's shellIntegration-bash.sh (as of code-server 4.139.1, whose real file was
run whole): the trap, the names, and how it takes PROMPT_COMMAND over."""

DIRENV = r"""
_direnv_hook() { local previous=$?; trap -- '' SIGINT; :; trap - SIGINT; return $previous; }
PROMPT_COMMAND="_direnv_hook${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
"""
"""How direnv, mise and zoxide put themselves into PROMPT_COMMAND."""

TIMER = r"""
__timer() { [[ -n ${COMP_LINE-} ]] || __started=${__started:-$SECONDS}; }
trap __timer DEBUG
__stop() { echo "status $?" >>"$SEEN"; unset __started; }
PROMPT_COMMAND="__stop${PROMPT_COMMAND:+; $PROMPT_COMMAND}"
PS0='$(true)'
"""
"""How starship, powerline and many a home-made prompt time a command; PS0 as kitty uses it."""

KEYS = r"""
__widget() { READLINE_LINE="$READLINE_LINE" READLINE_POINT=${#READLINE_LINE}; }
bind -m emacs-standard -x '"\C-t": __widget' 2>/dev/null
bind -m vi-insert -x '"\C-t": __widget' 2>/dev/null
shopt -s histappend cmdhist
PROMPT_COMMAND="${PROMPT_COMMAND:+$PROMPT_COMMAND; }history -a"
"""
"""How fzf binds keys, and what people do to share the history between shells."""

NEIGHBOURS = {
    "bash-preexec": PREEXEC.replace("GUARD", '[[ -z "${READLINE_POINT:-}" ]] || return 0'),
    "bash-preexec before 0.5": PREEXEC.replace("GUARD", ":"),
    "VS Code": VSCODE,
    "direnv": DIRENV,
    "a timer": TIMER,
    "keys and history": KEYS,
}


@pytest.mark.parametrize("first", ["hook", "neighbour"])
@pytest.mark.parametrize("name", list(NEIGHBOURS))
def test_beside(
    name: str, first: str, machine_for: MachineFor, open_session: Open, bash: Any
) -> None:
    machine = machine_for(bash)
    directory = machine.guarded.directory
    seen, neighbour = directory / "seen", directory / "neighbour.bash"
    neighbour.write_text(NEIGHBOURS[name])
    path = f"{machine.programs}:{machine.guarded.environ['PATH']}"
    session = open_session(machine.shell, {"PATH": path, "SEEN": str(seen)})
    session.run("HISTSIZE=100; unset PROMPT_COMMAND")
    files = [machine.guarded.hook(bash), neighbour]
    # in one line, as in a start file: no prompt between them
    session.run("; ".join(map(bash.source, files if first == "hook" else files[::-1])))
    machine.walk(session)
    session.run("sh -c 'exit 6'")
    session.run("true")
    if seen.exists():
        lines = seen.read_text().splitlines()
        assert "status 6" in lines
        commands = [line for line in lines if not line.startswith("status ")]
        assert not [line for line in commands if "__routeguard" in line or line in (":", "\\:")]
        if commands:
            assert commands.count("ollama ps") == 1
            assert commands.count(KEY.replace("=v", "='v'")) == 1
    # the hook again, as when a start file is loaded once more
    session.run(bash.source(files[0]))
    assert session.refusals(session.run("litellm")) == 1


@pytest.mark.parametrize("order", ["after", "before", "in between"])
def test_another_line_editor_keeps_enter(
    order: str, machine_for: MachineFor, open_session: Open, bash: Any
) -> None:
    """What ble.sh 0.4 does: it has a function `bind` and keys of its own from `ble-attach` on.

    Its real file was run whole in bash 5.2 and 5.3, before, after and around the hook. Here Enter
    is what it is in its editor: whatever `bind` said last that it is.
    """
    machine = machine_for(bash)
    editor, keys = machine.guarded.directory / "editor.bash", machine.guarded.directory / "keys"
    editor.write_text(
        f'BLE_VERSION=0.4.0\nbind() {{ printf \'%s\\n\' "$*" >>{keys}; builtin bind "$@"; }}\n'
    )
    path = f"{machine.programs}:{machine.guarded.environ['PATH']}"
    session = open_session(machine.shell, {"PATH": path})
    hook = bash.source(machine.guarded.hook(bash))
    session.run({"after": f"{hook}; . {editor}", "before": f". {editor}; {hook}"}.get(order, hook))
    if order == "in between":
        session.run("true")
        session.run(f". {editor}")
    shown = session.run("builtin bind -q accept-line; builtin bind -S")
    assert '"\\C-m"' in shown
    assert "\\C-m outputs" not in shown
    if order != "before" and not machine.by_name:
        assert 'emacs-standard "\\C-m": accept-line' in keys.read_text()
    assert session.messages(session.run(KEY)) == SCRUBBED
    assert session.refusals(session.run("litellm --port 4000")) == 1
    session.run("ollama list")
    assert machine.marks() == ["ollama list"]


def test_what_a_later_hook_exports_is_gone_before_the_line_runs(
    machine_for: MachineFor, bash: Any
) -> None:
    machine = machine_for(bash)
    session = machine.open()
    session.run("mine() { export OPENAI_API_KEY=v; }")
    output = session.run(r"PROMPT_COMMAND+=$'\nmine'")
    path = machine.guarded.directory / "names"
    output += session.run(f"env >{path}")
    # bash before 5: it is gone one prompt later
    assert ("OPENAI_API_KEY=v" in path.read_text()) == machine.by_name
    for _ in range(3):
        output += session.run("true")
    assert session.messages(output) == SCRUBBED


def lost(session: Any) -> str:
    """What the programs that `routeguard` and `opencode` start learn about the hook."""
    output = session.run("routeguard why")
    return "".join(re.findall(r"HOOK\[(\S*)\]", output))


@pytest.mark.parametrize("when", ["at the first prompt", "later", "never"])
def test_a_lost_prompt_hook_is_handed_on(
    when: str, machine_for: MachineFor, open_session: Open, bash: Any
) -> None:
    machine = machine_for(bash)
    program = machine.programs / "routeguard"
    program.write_text('#!/bin/sh\necho "HOOK[$ROUTEGUARD_HOOK]"\n')
    program.chmod(0o755)
    main = machine.guarded.directory / "main.py"
    main.write_text("import os\nprint('HOOK[%s]' % os.environ.get('ROUTEGUARD_HOOK', ''))\n")
    machine.guarded.main = main
    path = f"{machine.programs}:{machine.guarded.environ['PATH']}"
    session = open_session(machine.shell, {"PATH": path})
    hook = bash.source(machine.guarded.hook(bash, proxies_prompt="off"))
    library = "mine() { unset PROMPT_COMMAND; PROMPT_COMMAND=true; }; PROMPT_COMMAND=mine"
    session.run(f"{library}; {hook}" if when == "at the first prompt" else hook)
    session.run("true")
    if when == "later":
        session.run("unset PROMPT_COMMAND; PROMPT_COMMAND=true")
    if when == "never":
        # known by the number of the line where nothing else shows it
        session.run(
            'MY_OWN=$PROMPT_COMMAND; unset PROMPT_COMMAND; PROMPT_COMMAND="eval \\"\\$MY_OWN\\""'
        )
    assert lost(session) == ("live:bash" if when == "never" else "lost:bash")
    assert f"HOOK[{'' if when == 'never' else 'lost:bash'}]" in session.run("opencode run")
    assert session.value("${ROUTEGUARD_HOOK-unset}") == "unset"
    session.run(hook)
    assert lost(session) == "live:bash"


SETTINGS = (
    "readonly said=1 text=1 typed=1 send=1 word=1 value=1 names=1 name=1 entry=1 same=1 now=1;"
    "readonly keys=1 result=1 number=1 begin=1 key=1 keymap=1 bound=1 seen=1 status=1 line=1",
    "readonly IFS PATH REPLY=x OLDPWD=/ HISTCONTROL=ignoreboth HISTIGNORE= HISTTIMEFORMAT='%F %T '",
    "readonly IFS=x0123456789; declare -i text typed said name; declare -a word line entry",
    "set -euo pipefail; shopt -s nullglob failglob nocasematch extglob",
    "set -f; IFS=x_AEIOU; set -o posix; set -a; set -C",
    "shopt -s extdebug; set -ET; trap ':' DEBUG ERR RETURN",
    "shopt -s compat31 2>/dev/null; shopt -s compat42 2>/dev/null; LC_ALL=tr_TR.UTF-8",
    "LC_ALL=xx_YY.nothing; LANG=C",
)
BUILTINS = (
    "local printf command test read unset export set kill declare typeset shopt alias unalias eval "
    "return continue compgen mapfile history fc trap true ["
)
HIDDEN = (
    "; ".join(f"function {name} {{ echo FAKE; }}" for name in BUILTINS.split()),
    "shopt -s expand_aliases; alias local='echo FAKE' printf='echo FAKE' builtin='echo FAKE' "
    "command='echo FAKE' return='echo FAKE' unset='echo FAKE' read='echo FAKE'",
    "enable -n echo test [ kill true",
)


@pytest.mark.parametrize("setting", [*SETTINGS, *HIDDEN])
def test_whatever_the_shell_holds(setting: str, machine_for: MachineFor, bash: Any) -> None:
    """The judge, the look at each prompt and the user's own lines go on; nothing is an error."""
    machine = machine_for(bash)
    session = machine.open()
    output = session.run(setting)
    output += session.run(bash.source(machine.guarded.hook(bash)))
    output += session.run(":")
    # an alias is looked up in what is typed, too
    output += session.run(
        "\\unalias -a; shopt -u expand_aliases" if "alias local" in setting else ":"
    )
    assert session.refusals(session.run("litellm --port 4000 || \\:")) == 1
    assert machine.marks() == []
    said = session.run("\\builtin " + KEY)
    assert session.messages(said) == SCRUBBED
    session.run("ollama list || \\:")
    assert machine.marks() == ["ollama list"]
    for wrong in ("FAKE", "readonly", "not a shell builtin", "unbound", "bad ", "syntax"):
        assert wrong not in output + said, output


def test_attributes_of_the_variables_that_the_start_uses_are_dropped(
    machine_for: MachineFor, bash: Any
) -> None:
    used = "start name names last all bound does keys map number words"
    names = " ".join(f"__rg_{word}" for word in used.split())
    machine = machine_for(bash)
    session = machine.opened(f"declare -i {names}")
    assert session.messages(session.run(KEY)) == SCRUBBED
    assert session.refusals(session.run("litellm --port 4000")) == 1
    assert session.run("declare -p __rg_start").count("not found") == 1


def test_without_unset_what_the_start_left_out_is_still_flagged(
    guarded: Any, bash: Any, open_session: Any
) -> None:
    session = open_session(bash)
    session.run("enable -n unset")
    session.run(bash.source(guarded.hook(bash)))
    assert session.messages(session.run(bash.export("FOO_API_KEY"))) == [flagged("FOO_API_KEY")]


@pytest.mark.parametrize(
    "setting",
    [
        "builtin() { echo FAKE; }",
        'builtin() { command builtin "$@"; }',
        "enable -n builtin",
        "enable -n local",
        "enable -n printf",
        "enable -n return",
    ],
)
def test_without_the_builtins_a_proxy_is_refused_and_it_is_said_once(
    setting: str, machine_for: MachineFor, bash: Any
) -> None:
    machine = machine_for(bash)
    session = machine.open()
    said = session.run(setting)
    for _ in range(3):
        said += session.run("true")
    assert len(re.findall("this shell is not guarded: the builtins of bash are hidden", said)) == 1
    if not machine.by_name:
        assert "cannot be judged" in session.run("litellm --port 4000")
        assert machine.marks() == []
    session.child.sendline("sh -c 'exit 4'")
    session.child.sendline("echo status $? >" + str(machine.guarded.directory / "status"))
    session.sync()
    status = machine.guarded.directory / "status"
    assert status.read_text() == "status 4\n"


def test_where_nothing_can_be_read_later_it_is_said(guarded: Any, bash: Any) -> None:
    script = f"""
        {bash.source(guarded.hook(bash))}
        enable -n read declare
        export OPENAI_API_KEY=v
        __routeguard_prompt; __routeguard_prompt
    """
    said = guarded.run(bash, script).stderr
    assert said.count("this shell is not guarded: the builtins of bash are hidden") == 1


@pytest.mark.parametrize("trap", ["trap '' INT", "trap 'echo interrupted' INT"])
def test_a_trap_on_int_keeps_no_part_of_a_refused_command(
    trap: str, machine_for: MachineFor, bash: Any
) -> None:
    machine = machine_for(bash)
    session = machine.open()
    session.run(trap)
    for line in ("docker run \\", "-p 4000:4000 \\", "ghcr.io/berriai/litellm"):
        session.child.sendline(line)
    refused = session.refusals(session.sync())
    if machine.by_name:
        assert (refused, len(machine.marks())) == (0, 1)
        return
    assert (refused, machine.marks()) == (1, [])
    session.run("ollama list")
    assert machine.marks() == ["ollama list"]


def test_what_a_function_asks_for_is_no_command(machine_for: MachineFor, bash: Any) -> None:
    machine = machine_for(bash)
    session = machine.open()
    session.run("ask() { read -e answer; }")
    session.child.sendline("ask")
    session.child.sendline("litellm --port 4000")
    assert session.refusals(session.sync()) == 0
    assert session.value("$answer") == "litellm --port 4000"


def test_a_name_that_bash_cannot_have_hides_no_other(
    guarded: Any, bash: Any, open_session: Open
) -> None:
    """`compgen -e` of bash 3.2 lists these, too."""
    extra = {"302AI_API_KEY": "v", "A.B_API_KEY": "v", "A-B_API_KEY": "v", "FOO_API_KEY": "v"}
    session = open_session(bash, extra)
    output = session.run(bash.source(guarded.hook(bash))) + session.run("true")
    (message,) = session.messages(output + session.run("true"))
    assert message.startswith("routeguard: flagged FOO_API_KEY (")
    assert session.messages(session.run(KEY)) == SCRUBBED
