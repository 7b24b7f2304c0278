"""zsh beside the programs that people load into it: each before the hook, and after it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from prompt_words import SCRUBBED

pytestmark = pytest.mark.shells

Open = Callable[..., Any]
MachineFor = Callable[[Any], Any]
PROMPT = "\x1b]9;prompt\x07"
"""What zsh draws for each prompt of these tests: a terminal shows nothing of it."""


WRAPPERS = r"""
wrap_all() {
    local name kind n=$(( ++COUNT ))
    for name in ${(k)widgets:#(.*|orig-*|run-help|which-command|beep|yank*|zle-*)}; do
        kind=${widgets[$name]}
        case $kind in
        (user:wrapped-*) continue ;;
        (user:*) zle -N orig-$n-$name ${kind#user:}; kind=orig-$n-$name ;;
        (builtin) kind=.$name ;;
        (*) continue ;;
        esac
        eval "wrapped-$n-${(q)name}() { zle ${(q)kind} -- \"\$@\"; }"
        zle -N $name wrapped-$n-$name
    done
}
wrap_all
"""
"""How fast-syntax-highlighting 1.56 takes over every widget, also those whose names begin with an
underscore: one that is not a user's is called by its name with a dot."""

AT_EACH_PROMPT = r"""
bind_one() {
    local w=$1 prefix=orig-$2-
    case ${widgets[$w]} in
    (user:bound_*) ;;
    (user:*) zle -N $prefix$w ${widgets[$w]#*:} ;;
    (builtin) eval "function ${prefix}${w} { zle .$w }"; zle -N $prefix$w ${prefix}${w} ;;
    esac
    eval "function bound_$2_$w { zle $prefix$w -- \$@ }"
    zle -N $w bound_$2_$w
}
wrap_again() {
    (( ++COUNT ))
    case ${widgets[accept-line]} in (user:bound_*) ;; (*) bind_one accept-line $COUNT ;; esac
}
precmd_functions+=(wrap_again)
"""
"""How zsh-autosuggestions 0.7 takes a widget over at every prompt."""

REPORTS = r"""
autoload -Uz add-zsh-hook
report_command() { print -r -- "$1" >>$SEEN }
report_status() { print -r -- "status $?" >>$SEEN }
add-zsh-hook preexec report_command
add-zsh-hook precmd report_status
"""
"""How VS Code's terminal, kitty and iTerm2 follow the commands of a shell."""

NEIGHBOURS = {
    "wraps every widget": WRAPPERS,
    "wraps at each prompt": AT_EACH_PROMPT,
    "follows commands": REPORTS,
    "syntax-highlighting": "/usr/share/zsh-syntax-highlighting/zsh-syntax-highlighting.zsh",
    "autosuggestions": "/usr/share/zsh-autosuggestions/zsh-autosuggestions.zsh",
}
"""By name: zsh code of ours, or the file of a Debian package."""


@pytest.mark.parametrize("first", ["hook", "neighbour"])
@pytest.mark.parametrize("name", list(NEIGHBOURS))
def test_beside(
    machine_for: MachineFor,
    open_session: Open,
    zsh: Any,
    name: str,
    first: str,
    missing_part: Callable[[str], NoReturn],
) -> None:
    machine = machine_for(zsh)
    directory = machine.guarded.directory
    neighbour = directory / "neighbour.zsh"
    if NEIGHBOURS[name].startswith("/"):
        neighbour = Path(NEIGHBOURS[name])
        if not neighbour.exists():
            missing_part(f"{neighbour} is missing (Debian: apt-get install {neighbour.parts[3]})")
    else:
        neighbour.write_text(NEIGHBOURS[name])
    seen = directory / "seen"
    path = f"{machine.programs}:{machine.guarded.environ['PATH']}"
    session = open_session(machine.shell, {"PATH": path, "TERM": "xterm", "SEEN": str(seen)})
    session.run("HISTSIZE=100; PS1=$'%{\\e]9;prompt\\a%}'")
    files = [machine.guarded.hook(zsh), neighbour]
    for file in files if first == "hook" else files[::-1]:
        session.run(zsh.source(file))
    before = session.value("${(q)PROMPT}")
    machine.walk(session, PROMPT)
    assert session.value("${(q)PROMPT}") == before
    # both again, as when a start file is loaded once more
    for file in files:
        session.run(zsh.source(file))
    assert session.refusals(session.run("litellm")) == 1
    machine.ran.unlink()
    session.run("ollama list")
    assert machine.marks() == ["ollama list"]
    if seen.exists():
        lines = seen.read_text().splitlines()
        assert lines.count("ollama ps") == 1
        assert "status 5" in lines
        assert not [line for line in lines if "routeguard" in line and not line.startswith(". ")]


def test_during_an_instant_prompt_nothing_is_said_and_afterwards_once(
    machine_for: MachineFor, open_session: Open, zsh: Any
) -> None:
    """Powerlevel10k: until the first prompt is ready, stderr is a file, and what is in it then is
    shown in a warning."""
    machine = machine_for(zsh)
    said = machine.guarded.directory / "said"
    start = machine.guarded.directory / "start.zsh"
    start.write_text(
        f"exec {{out}}>&1 {{err}}>&2 >{said} 2>&1\n"
        f"{zsh.source(machine.guarded.hook(zsh))}\n"
        "ready() { exec 1>&$out 2>&$err; precmd_functions=(${precmd_functions:#ready}) }\n"
        "precmd_functions+=(ready)\n"
    )
    path = f"{machine.programs}:{machine.guarded.environ['PATH']}"
    session = open_session(machine.shell, {"PATH": path, "OPENAI_API_KEY": "v"})
    output = session.run(zsh.source(start))
    output += session.run("true") + session.run("true")
    assert said.read_text() == ""
    assert session.messages(output) == SCRUBBED


def test_a_function_that_takes_the_place_of_the_wrapper_is_removed_at_the_prompt(
    machine_for: MachineFor, zsh: Any
) -> None:
    """As the lazy loaders of nvm make one for each program."""
    machine = machine_for(zsh)
    session = machine.opened()
    output = session.run(f"opencode() {{ echo past >>{machine.ran} }}")
    assert session.messages(output) == [
        "routeguard: removed the function opencode: it bypassed the guard"
    ]
    session.run("unset PORTKEY_API_KEY; opencode run hi")
    assert machine.marks() == []
    # what was let go of does not come back
    session.run("unfunction opencode")
    session.run("true")
    assert session.value("$+functions[opencode]") == "0"


ALIASES = {
    "alias -g LL='litellm'": ["true; LL --port 4000", "nohup LL", "echo a | LL"],
    "alias -g PP='| litellm'": ["echo PP", "echo 'a\n' PP"],
    "alias -g QQ=LL": ["sh -c true && QQ"],
    "alias -s yaml='litellm --config'": ["config.yaml", "./a/config.yaml --port 4000"],
    "alias one=two two=litellm": ["one", "true; one --port 3"],
}


def test_global_and_suffix_aliases_are_followed(machine_for: MachineFor, zsh: Any) -> None:
    machine = machine_for(zsh)
    session = machine.opened()
    for alias, lines in ALIASES.items():
        session.run(alias)
        for line in lines:
            assert session.refusals(session.run(line)) == 1, line
    assert machine.marks() == []
    for line in ("echo 'LL' >/dev/null", "ollama list \\LL", "grep x config.yaml"):
        assert session.messages(session.run(line)) == [], line
    assert machine.marks() == ["ollama list LL", "grep x config.yaml"]


def test_words_of_its_own_around_a_proxy(machine_for: MachineFor, zsh: Any) -> None:
    machine = machine_for(zsh)
    session = machine.opened()
    session.run("alias sudo='sudo ' q=litellm")
    lines = ["=litellm", "- litellm", "repeat 2 litellm", "sudo q", "if [[ -n x ]] { litellm }"]
    lines += ["function { litellm }", "for x (1 2) litellm", "for ((i = 0; i < 1; i++)) litellm"]
    for line in lines:
        assert session.refusals(session.run(line)) == 1, line
    assert machine.marks() == []
    # each of them is one: without the judge they run it
    session.run("repeat 2 ollama list; - ollama list; if [[ -n x ]] { =ollama list }")
    assert machine.marks() == ["ollama list"] * 4


@pytest.mark.parametrize(
    ("option", "exported", "loaded"),
    [
        ("-Z", {}, ""),
        ("+Z", {"ZSH_EXECUTION_STRING": "not by zsh"}, ""),
        ("-Z", {"ZSH_EXECUTION_STRING": "not by zsh"}, "loaded\n"),
    ],
)
def test_where_no_line_is_edited_the_line_editor_is_not_loaded(
    guarded: Any, zsh: Any, option: str, exported: dict[str, str], loaded: str
) -> None:
    """zsh after 5.9 asks the terminal about itself when it is, which eats what was typed ahead."""
    script = f"{zsh.source(guarded.hook(zsh))}\nzmodload -e zsh/zle && echo loaded\n:"
    command = [*zsh.batch, "-i", option, "-c", script]
    environ = {**guarded.environ, **exported}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (loaded, "")


def test_nothing_asks_for_an_option_that_newer_versions_lack() -> None:
    """After zsh 5.9 there is no restricted mode: `[[ -o restricted ]]` is an error there."""
    shell = Path(__file__).parents[2] / "shell"
    for name in ("hook.zsh", "line.zsh"):
        assert "-o restricted" not in (shell / name).read_text()


OPTIONS = (
    ("ksh_arrays", "no_unset", "err_return", "warn_create_global", "all_export"),
    ("sh_word_split", "glob_subst", "no_glob", "ksh_glob", "sh_glob", "no_function_argzero"),
    ("null_glob", "no_bad_pattern", "no_case_match", "rematch_pcre", "no_multibyte"),
    ("posix_aliases", "posix_builtins", "ksh_typeset", "ignore_braces", "warn_nested_var"),
    ("no_bang_hist", "csh_junkie_history", "no_aliases", "local_options", "xtrace"),
)


def test_under_any_option(machine_for: MachineFor, zsh: Any) -> None:
    """Every option of 5.9 was tried by hand, set before the hook and after it; these are the ones
    that change what a function means."""
    machine = machine_for(zsh)
    session = machine.opened()
    for group in OPTIONS:
        for option in group:
            session.child.sendline(f"setopt {option} 2>/dev/null")
        output = session.run("export OPENAI_API_KEY=v")
        assert session.messages(output) == SCRUBBED, group
        assert session.refusals(session.run("litellm --port 4000")) == 1, group
        session.child.sendline("ollama list")
        for option in group:
            session.child.sendline(f"setopt no_{option} 2>/dev/null".replace("no_no_", ""))
        session.sync()
        assert machine.marks() == ["ollama list"], group
        machine.ran.unlink()


def test_variables_and_functions_named_like_ours(machine_for: MachineFor, zsh: Any) -> None:
    machine = machine_for(zsh)
    session = machine.opened()
    code = "".join(path.read_text() for path in (Path(__file__).parents[2] / "shell").glob("*.zsh"))
    names = {
        word.partition("=")[0]
        for line in re.findall(r"builtin local (?:-\S+ )?(.*)", code)
        for word in line.split()
        if re.fullmatch(r"[a-z_]+(=.*)?", word) and not word.startswith("__")
    }
    assert {"text", "typed", "names", "rest"} <= names
    session.run(f"typeset -r {' '.join(f'{name}=1' for name in sorted(names))}")
    session.run(
        "for f in printf local emulate setopt unset print zle typeset; do "
        "functions[$f]='builtin print shadowed; builtin '$f' \"$@\"'; done"
    )
    session.run("alias -g x=y; alias local=false zle=false printf=false emulate=false")
    session.run(zsh.source(machine.guarded.hook(zsh)))
    machine.walk(session)
    assert "shadowed" not in session.run("litellm")
