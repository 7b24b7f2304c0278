"""Prints the shell hook: `shell/hook.*` filled in with the compiled policy and our own paths.

Hot-path module: it runs at every start of an interactive shell.
"""

from __future__ import annotations

import os
import stat
import sys

from guard import paths
from guard.agents.registry import wrapped
from guard.catalog.classify import KEY_SUFFIX, PREFIXES
from guard.errors import ExitCode, GuardError, PolicyError, UsageError, either, printable
from guard.policy import cache
from guard.policy.places import allowed_file, user_policy
from guard.policy.values import CompiledPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.findings import Finding

SHELLS = ("bash", "zsh", "fish")
"""Shells that have a hook."""

LOADS = {
    "bash": ('eval "$(routeguard hook bash)"', "~/.bashrc"),
    "zsh": ('eval "$(routeguard hook zsh)"', "~/.zshrc"),
    "fish": ("routeguard hook fish | source", "~/.config/fish/config.fish"),
}
"""The line that loads each hook, and the start file it belongs to."""

_HERE = os.path.dirname(os.path.abspath(__file__))
_KEPT = "hook"
_FIELDS = 6
_SCRATCH = "prompt"
_ENV = "env:"


def quote_sh(text: str) -> str:
    """`text` as one word of a POSIX shell, whatever it holds but NUL."""
    return "'" + text.replace("'", "'\\''") + "'"


def quote_bash(text: str) -> str:
    """`text` as one word of bash."""
    return quote_sh(text)


def quote_zsh(text: str) -> str:
    """`text` as one word of zsh, whatever its options: RC_QUOTES reads two quotes side by side
    in a quoted part as one, CSH_JUNKIE_QUOTES allows no new line in it."""
    return quote_sh(text).replace("\n", "'$'\\n''")


def quote_fish(text: str) -> str:
    """`text` as one word of fish, where a backslash escapes itself and the single quote."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_QUOTES: dict[str, Callable[[str], str]] = {
    "bash": quote_bash,
    "zsh": quote_zsh,
    "fish": quote_fish,
}


def template_places(name: str, *, package: str = _HERE) -> list[str]:
    """Where `shell/<name>` may lie: in the installed package, and in the clone around it.

    A directory `shell` beside an installed package is somebody else's, so the second place counts
    only where pyproject.toml lies.
    """
    places = [os.path.join(package, "shell", name)]
    if is_clone(package):
        places.append(os.path.join(os.path.dirname(package), "shell", name))
    return places


def is_clone(package: str) -> bool:
    """Whether the directory `package` is that of a clone, not one that was installed."""
    return os.path.exists(os.path.join(os.path.dirname(package), "pyproject.toml"))


def template(name: str, *, package: str = _HERE) -> str:
    """The text of `shell/<name>`, from the first directory that has it.

    Raises GuardError (RG503) if it is in none.
    """
    places = template_places(name, package=package)
    for place in places:
        try:
            with open(place, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise GuardError(
                "cannot read one of its own files",
                where=place,
                why=str(error),
                fix="install routeguard again",
                rule="RG503",
            ) from None
    raise GuardError(
        f"one of its own files is missing: {name}",
        where=places[0],
        fix="install routeguard again",
        rule="RG503",
    )


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with each `__WORD__` of `values` replaced; in one pass, so no value is read again."""
    out: list[str] = []
    done = 0
    while True:
        start = text.find("__", done)
        if start < 0:
            break
        end = text.find("__", start + 2)
        word = text[start + 2 : end] if end >= 0 else ""
        if word in values:
            out += (text[done:start], values[word])
            done = end + 2
        else:
            out.append(text[done : start + 2])
            done = start + 2
    out.append(text[done:])
    return "".join(out)


def interpreter() -> tuple[str, str]:
    """The absolute paths of this Python and of our main file, as the wrappers call them.

    Symbolic links stay as they are: install.sh takes a new version into use by changing one.
    Raises GuardError (RG503) if Python does not know where it lies.
    """
    python = sys.executable
    if not os.path.isabs(python):
        raise GuardError(
            "cannot find the Python that runs it",
            where=python or "sys.executable is empty",
            fix="call routeguard by an absolute path",
            rule="RG503",
        )
    return python, os.path.join(_HERE, "__main__.py")


def render(
    shell: str,
    policy: CompiledPolicy | None,
    *,
    python: str,
    main_file: str,
    shims: str,
    scratch: str = "",
    comments: bool = True,
) -> str:
    """The hook of `shell` for `policy`; with None only the wrappers and PATH.

    `shims` is the directory of the shims, `scratch` a private directory in which each bash may
    keep a file, or "" for none: then bash does not look for unknown keys.
    """
    quote = _QUOTES[shell]
    keys, others, allowed = _names(shell, policy)
    with_suffix = [name for name in keys if name.endswith(KEY_SUFFIX)]
    without_suffix = [name for name in keys if not name.endswith(KEY_SUFFIX)]
    agents = wrapped(policy)
    values = {
        "PYTHON": quote(python),
        "MAIN": quote(main_file),
        "AGENTS": " ".join(agents),
        "ANY_ALIAS": " || ".join(f"\\builtin alias {name} >/dev/null" for name in agents),
        "DETAILS": "; ".join(f"builtin functions --details --verbose {name}" for name in agents),
        "FIFTH_LINES": " ".join(str(5 * number) for number, _ in enumerate(agents, 1)),
        "DESCRIPTIONS": quote(" ".join(f"{name}, started through routeguard" for name in agents)),
        "SHIMS": quote(shims),
        "SCRATCH": quote(scratch),
        "KEYS_ACTION": policy.keys_action if policy else "flag",
        "KEYS_UNKNOWN": policy.keys_unknown if policy else "ignore",
        "KEYS": " ".join(keys),
        "QUERIES": _queries(keys),
        "PATTERN": "|".join([f"[A-Za-z0-9_]+{KEY_SUFFIX}", *without_suffix]),
        "KEYS_WITHOUT_SUFFIX": " ".join(without_suffix),
        "STEMS": " ".join(name.removesuffix(KEY_SUFFIX) for name in with_suffix),
        "SET_KEYS": "".join(f"${{{name}+{name} }}" for name in without_suffix),
        "OTHER_NAMES": " ".join(others),
        "OTHER_PREFIXES": _alternatives(shell, [prefix for prefix, _, _ in PREFIXES]),
        "ALLOWED": " ".join(f"{name}={until}" for name, until in allowed),
        "ALLOWED_NAMES": " ".join(name for name, _ in allowed),
        "PROXY_PROGRAMS": _any_of(shell, _needles(policy) if policy else ()),
        "PROXY_IMAGES": _any_of(shell, policy.proxy_images if policy else ()),
        "PROXY_NAMES": " ".join(policy.proxy_names if policy else ()),
    }
    text = template(f"hook.{shell}")
    if policy is not None and policy.proxies_prompt != "off":
        text += template(f"line.{shell}")
    text = _for_each(agents, text if comments else _without_comments(text))
    while _LATE in text:
        text = _late(shell, text, values)
    return fill(text, values)


def _for_each(agents: tuple[str, ...], text: str) -> str:
    """`text` with the part between the two marker comments repeated for each agent."""
    before, _, rest = text.partition("# For each agent:\n")
    wrapper, _, after = rest.partition("# So much for each agent.\n")
    return before + "\n".join(fill(wrapper, {"AGENT": name}) for name in agents) + after


_LATE = "# Until "
_LATE_END = "# So much until then.\n"
_MARKS = (_LATE, "# For each agent:", "# So much ")
_STUBS = {
    "bash": "function {0} {{\n    {{ \\builtin eval __{1}__; }} 2>/dev/null && {0}\n}}\n",
    # a fifth of what a quoted word costs, but bash before 5.1 needs a file for it. `read -N` takes
    # all of it at once, where `mapfile -d` and `read -d` ask the system for each character
    "a here-document": """function {0} {{
    \\builtin local __rg_code=''
    {{
    if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 401)); then
        \\builtin read -r -N 99999 __rg_code
    else
        \\builtin read -r -d '' __rg_code
    fi <<'__rg_end__' || [[ -n $__rg_code ]] &&
__{1}____rg_end__
        \\builtin eval "$__rg_code"
    }} 2>/dev/null && {0}
}}
""",
    "fish": "function {0} --no-scope-shadowing\n    eval __{1}__; and {0}\nend\n",
}


def _without_comments(text: str) -> str:
    """A template without its comments, which have lines of their own: bash reads each character,
    and its `eval` runs them as commands after `shopt -u interactive_comments`."""
    lines = text.splitlines(keepends=True)
    return "".join(
        line for line in lines if not line.lstrip().startswith("#") or line.startswith(_MARKS)
    )


def _late(shell: str, text: str, values: dict[str, str]) -> str:
    """`text` with its first part between `# Until NAME is called:` and `# So much until then.` as
    one word, which becomes code when the function NAME is first called.

    A quoted word costs a shell half of what the same text costs it as commands, and most shells
    that are started never need it. With `, from a here-document` in the heading the word is one in
    bash, for what may fail where there is no place for a file. `values` gets the word. Nothing is
    read from a file later, so what is read belongs to the rest.
    """
    before, _, rest = text.partition(_LATE)
    part, _, after = rest.partition(_LATE_END)
    heading, _, part = part.partition("\n")
    name, _, where = heading.removesuffix(":").partition(" is called")
    word = f"LATE{len(values)}"
    # read by `eval`, where bash takes a comment for a command after `shopt -u interactive_comments`
    part = fill(_without_comments(part), values)
    values[word] = part if where else _QUOTES[shell](part)
    return before + _STUBS[where.removeprefix(", from ") or shell].format(name, word) + after


def live(environ: Mapping[str, str]) -> str:
    """The shell that called us and runs the hook at its prompt; "" if it is lost, or if something
    other than the hook's function called us."""
    state, _, shell = environ.get(paths.HOOK, "").partition(":")
    return shell if state == "live" and shell in SHELLS else ""


def lost(environ: Mapping[str, str]) -> Finding | None:
    """The finding for a shell that no longer runs the hook at its prompt, None if it does.

    Another program has replaced `PROMPT_COMMAND`, `precmd_functions` or fish's event handlers;
    the shell functions of the hook, which are still there, notice and set `paths.HOOK`.
    """
    state, _, shell = environ.get(paths.HOOK, "").partition(":")
    if state != "lost" or shell not in SHELLS:
        return None
    from guard.findings import Finding

    line, file = LOADS[shell]
    return Finding(
        "RG503",
        "hook",
        f"the prompt hook of this {shell} is gone: another program replaced it, so exported keys "
        "can stay set",
        where="environment",
        fix=f"{line}\nkeep it as the last line of {file}",
        severity="warning",
    )


def _any_of(shell: str, words: Iterable[str]) -> str:
    """Alternatives of a pattern in bash and zsh, a regular expression in fish.

    The words are lower-case letters, digits, blanks and `@/._-`.
    """
    if shell == "fish":
        return quote_fish("|".join(word.replace(".", "\\.") for word in words))
    return "|".join(word.replace(" ", "\\ ") for word in words)


def _needles(policy: CompiledPolicy) -> list[str]:
    """What a typed line holds that the judge has to see, containers aside: a program that is a
    local proxy, or a package of an agent that is refused."""
    found = list(policy.proxy_programs)
    for agent in policy.others:
        if agent.launch == "refuse":
            found += [name[name.rfind("/") :] if "/" in name else name for name in agent.packages]
    return found


def _names(
    shell: str, policy: CompiledPolicy | None
) -> tuple[list[str], list[str], list[tuple[str, int]]]:
    """Names as the prompt needs them: direct keys; other known `*_API_KEY`; excepted until when.

    Only names that `shell` can hold; a launch removes the others. That also makes every one of
    them safe to write into a script without quotes.
    """
    if policy is None:
        return [], [], []
    import time

    gateway = policy.gateway_keys
    keys, others = [], list(gateway)
    for name, (kind, _) in policy.variables.items():
        if kind == "provider_key" and name not in gateway:
            keys.append(name)
        elif name.endswith(KEY_SUFFIX):
            others.append(name)
    now = time.time()
    allowed: dict[str, int] = {}
    for exception in policy.exceptions:
        if exception.subject.startswith(_ENV) and exception.until >= now:
            name = exception.subject[len(_ENV) :]
            if _holds(shell, name):
                allowed[name] = max(int(exception.until), allowed.get(name, 0))
    return (
        sorted(name for name in keys if _holds(shell, name)),
        sorted({name for name in others if _holds(shell, name)}),
        sorted(allowed.items()),
    )


def _holds(shell: str, name: str) -> bool:
    """Whether `shell` can have a variable of this name: ASCII letters, digits, underscores.

    `302AI_API_KEY` begins with a digit, which only fish allows.
    """
    return name.isascii() and (
        name.isidentifier() or (shell == "fish" and f"_{name}".isidentifier())
    )


def _queries(names: list[str]) -> str:
    """Commands of fish that return 0 if one of `names` is exported."""
    lines = [""]
    for start in range(0, len(names), 200):
        group = names[start : start + 200]
        lines.append(f"set --query --export -- {' '.join(group)}")
        lines.append(f"test $status -lt {len(group)}; and return 0")
    return "\n    ".join(lines).strip()


def _alternatives(shell: str, prefixes: Iterable[str]) -> str:
    """Patterns for `case` that match what begins with one of `prefixes`."""
    separator = " " if shell == "fish" else "|"
    return separator.join(
        quote_sh(prefix) + ("'*'" if shell == "fish" else "*") for prefix in prefixes
    )


def _scratch(environ: Mapping[str, str]) -> str:
    """A private directory for the files of each bash, or "" if there can be none.

    What shells that have ended left there is removed; a file is named after its shell's pid.
    """
    try:
        paths.private_directory(paths.routeguard_cache(environ))
        directory = paths.private_directory(os.path.join(paths.routeguard_cache(environ), _SCRATCH))
        for name in os.listdir(directory):
            if name.isdigit() and not _runs(int(name)):
                os.unlink(os.path.join(directory, name))
    except (GuardError, OSError, KeyError):
        return ""
    return directory


def _keep(
    shell: str, text: str, made_from: str, policy: CompiledPolicy, environ: Mapping[str, str]
) -> None:
    """Keep the hook `text` in a private directory, for the launcher to have it used without us.

    `made_from` is what the launcher saw of everything that the text was made from, before we read
    any of it: a line for each file, its path last, and a line of those that are absent. The
    launcher has the shell load the text as long as it sees the same again, and the text itself
    is as we wrote it. An exception runs out without a file being changed, so a hook that holds
    one is not kept; nor is one that was made from a file that changed a moment ago, which may
    change again unseen.
    """
    if any(exception.subject.startswith(_ENV) for exception in policy.exceptions):
        return
    own = (f"/{_KEPT}/hook.{shell}", f"/{_KEPT}/hook.{shell}.zwc")
    lines = [line for line in made_from.split("\n") if not line.endswith(own)]
    from guard.files.lock import lock
    from guard.files.write import write

    handle = -1
    try:
        directory = paths.private_directory(paths.routeguard_cache(environ))
        os.chmod(directory, 0o700)
        directory = paths.private_directory(os.path.join(directory, _KEPT))
        os.chmod(directory, 0o700)
        # whoever was slower may have an older policy: it may not write between our steps, and not
        # once the policy is another one
        handle = lock(directory, 0, directory=True)
        if not _still(lines, environ):
            return
        file = os.path.join(directory, f"hook.{shell}")
        # a shell reads them as code: never the half of one
        write(file, os.fsencode(text), 0o600, sync=True)
        kept = [file, *_compiled(file)] if shell == "zsh" else [file]
        seen = "\n".join([*map(identity, kept), *lines])
        content = f"made_from={quote_sh(seen)}\nload={quote_sh(loading(shell, file))}\n"
        write(f"{file}.seen", os.fsencode(content), 0o600, sync=True)
    except (GuardError, OSError, KeyError):
        pass
    finally:
        if handle >= 0:
            os.close(handle)


def _still(lines: list[str], environ: Mapping[str, str]) -> bool:
    """Whether the files of `lines`, the last of which is about absent ones, are as it says, have
    been so for a while, and no layer of the policy has come."""
    seen = {}
    for line in lines[:-1]:
        shown = line.split(" ", _FIELDS)[-1]
        seen[os.path.join(_HERE, shown)] = line.removesuffix(shown)
    looked_at = {os.path.normpath(path) for path in seen}
    user = user_policy(environ)
    for layer in (paths.SYSTEM_POLICY, user, allowed_file(user)):
        if (os.path.normpath(layer) in looked_at) != os.path.lexists(layer):
            return False
    if not all(identity(path).removesuffix(path) == line for path, line in seen.items()):
        return False
    from guard.policy.keep import settled

    return settled(cache.identities(seen))


def identity(path: str) -> str:
    """What the launcher's `stat` prints for `path`."""
    found = os.stat(path)
    times = [divmod(moment, 10**9) for moment in (found.st_mtime_ns, found.st_ctime_ns)]
    shown = " ".join(f"{seconds}.{fraction:09d}" for seconds, fraction in times)
    mode = stat.S_IMODE(found.st_mode)
    return f"{mode:o} {found.st_uid} {found.st_ino} {found.st_size} {shown} {path}"


def loading(shell: str, file: str) -> str:
    """What the launcher prints in the place of a hook that is kept in `file`.

    Should the file have gone meanwhile, Python prints the hook. A restricted bash neither reads
    a file nor calls a program by a path that holds a slash.
    """
    quote = _QUOTES[shell]
    python, main_file = interpreter()
    again = f"{quote(python)} -I -S {quote(main_file)} hook {shell}"
    if shell == "fish":
        return f"builtin source {quote(file)}; or {again} | builtin source"
    if shell == "zsh":
        return f'\\builtin . {quote(file)} || \\builtin eval "$({again})"'
    return (
        "case $- in\n"
        f"*r*) \\eval \"$(routeguard hook --made-from '' bash)\" ;;\n"
        f'*) \\builtin . {quote(file)} || \\eval "$({again})" ;;\n'
        "esac"
    )


def _compiled(file: str) -> list[str]:
    """`file` as zsh reads it fastest, made by the zsh that asks; [] if it is not one or cannot.

    zsh takes FILE.zwc in place of FILE if it is not older, and of its own version (zshbuiltins(1),
    `source` and `zcompile`).
    """
    made = f"{file}.zwc"
    try:
        os.unlink(made)
    except FileNotFoundError:
        pass
    try:
        program = os.readlink(f"/proc/{os.getppid()}/exe")
    except OSError:
        return []
    if not os.path.basename(program).startswith("zsh"):
        return []
    script = "umask 077; builtin zcompile -- $1"
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    pid = os.posix_spawn(program, ["zsh", "-f", "-c", script, "zsh", file], {}, file_actions=null)
    _, status = os.waitpid(pid, 0)
    return [made] if status == 0 and os.path.exists(made) else []


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _piped() -> bool:
    """Whether stdout is a pipe, as in `$(…)` and `… | source`."""
    try:
        return stat.S_ISFIFO(os.fstat(1).st_mode)
    except OSError:
        return False


def _say(line: str) -> None:
    sys.stderr.write(printable(line) + "\n")


def asking_shell(command: str) -> str:
    """The shell that runs `routeguard COMMAND`: the parent process, else a guess by $SHELL.

    A guess is said on stderr. Raises UsageError if neither is a shell with a hook.
    """
    from guard.shells import program

    found = program(os.getppid())
    if found in SHELLS:
        return found
    guess = os.path.basename(os.environ.get("SHELL", ""))
    if guess not in SHELLS:
        raise UsageError(
            f"{command}: cannot tell which shell asks",
            why=f"its parent process is {printable(found) or 'not readable'}",
            fix=_choices(command),
        )
    choose = f"to choose: routeguard {command} SHELL"
    _say(f"routeguard: {command} for {guess} (a guess by $SHELL); {choose}")
    return guess


def _choices(command: str) -> str:
    """`routeguard COMMAND` for each shell, a line each."""
    return either(*(f"routeguard {command} {shell}" for shell in SHELLS))


def _shell(argv: list[str]) -> str:
    if not argv:
        return asking_shell("hook")
    fix = f"{_choices('hook')}\nin a start file:\nrouteguard hook --help"
    if len(argv) > 1:
        raise UsageError(f"hook takes one shell, not {len(argv)} words", fix=fix)
    if argv[0] not in SHELLS:
        raise UsageError(
            f"no hook for the shell {argv[0]!r}",
            why=f"there are hooks for {', '.join(SHELLS[:-1])} and {SHELLS[-1]}",
            fix=fix,
        )
    return argv[0]


def main(argv: list[str]) -> int:
    """`routeguard hook [--made-from TEXT] SHELL`: print the hook; returns the exit status.

    What is evaluated comes through a pipe and has no comments; a file or a terminal gets them.
    The project layer has no say: a shell outlives the directory in which it was started. With a
    policy that cannot be read the hook still wraps every agent, and the launch says what is
    wrong; the status is then 0 all the same, because what was printed guards the shell, and a
    start file would take anything else for "no hook".
    With `--made-from`, which only our launcher gives, the text is kept as well, see `_keep`.
    Raises UsageError for a shell without a hook, GuardError (RG503) if our files are damaged.
    """
    made_from = ""
    if argv[:1] == ["--made-from"] and len(argv) == 3:
        _, made_from, *argv = argv
    shell = _shell(argv)
    python, main_file = interpreter()
    policy = None
    environ: Mapping[str, str] = os.environ
    try:
        environ = paths.of_user(environ, paths.here(), _say)
        policy = cache.load("/", environ)
    except PolicyError as error:
        where = f" ({error.where})" if error.where else ""
        _say(
            f"routeguard: {error.what}{where} [{error.rule}]; agents are blocked until it is fixed"
        )
    text = render(
        shell,
        policy,
        python=python,
        main_file=main_file,
        shims=paths.shims(environ),
        scratch=_scratch(environ) if shell == "bash" else "",
        comments=not _piped(),
    )
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(text))
    sys.stdout.buffer.flush()
    if made_from and policy is not None and "\0" not in text:
        _keep(shell, text, made_from, policy, environ)
    return ExitCode.OK
