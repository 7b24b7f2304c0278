"""Keeps the hook that was printed, for the launcher to have it used without a start of Python.

Hot-path module.
"""

from __future__ import annotations

import os
import stat
import sys

from guard import paths
from guard.errors import GuardError
from guard.hook.render import ENV
from guard.hook.templates import QUOTES, interpreter, quote_sh
from guard.policy import cache
from guard.policy.places import allowed_file, user_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.values import CompiledPolicy

_KEPT = "hook"
_FIELDS = 6


def keep(
    shell: str, text: str, made_from: str, policy: CompiledPolicy, environ: Mapping[str, str]
) -> None:
    """Keep the hook `text` in a private directory, for the launcher to have it used without us.

    `made_from` is what the launcher saw of everything that the text was made from, before we read
    any of it: a line for each file, its path last, and a line of those that are absent. The
    launcher has the shell load the text as long as it sees the same again, and the text itself
    is as we wrote it. An exception runs out without a file being changed, so a hook that holds
    one is not kept; nor is one that was made from a file that changed a moment ago, which may
    change again unseen, or from a module that a launcher older than it does not look at.
    """
    if any(exception.subject.startswith(ENV) for exception in policy.exceptions):
        return
    own = (f"/{_KEPT}/hook.{shell}", f"/{_KEPT}/hook.{shell}.zwc")
    lines = [line for line in made_from.split("\n") if not line.endswith(own)]
    from guard.files.lock import lock
    from guard.files.write import write

    try:
        directory = paths.private_directory(paths.routeguard_cache(environ))
        os.chmod(directory, 0o700)
        directory = paths.private_directory(os.path.join(directory, _KEPT))
        os.chmod(directory, 0o700)
        # whoever was slower may have an older policy: it may not write between our steps, and not
        # once the policy is another one
        with lock(directory, 0, directory=True):
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


def _still(lines: list[str], environ: Mapping[str, str]) -> bool:
    """Whether the files of `lines`, the last of which is about absent ones, are as it says, have
    been so for a while, and no layer of the policy has come."""
    seen = {}
    for line in lines[:-1]:
        shown = line.split(" ", _FIELDS)[-1]
        seen[os.path.join(paths.PACKAGE, shown)] = line.removesuffix(shown)
    looked_at = {os.path.normpath(path) for path in seen}
    user = user_policy(environ)
    for layer in (paths.SYSTEM_POLICY, user, allowed_file(user)):
        if (os.path.normpath(layer) in looked_at) != os.path.lexists(layer):
            return False
    if not all(looked_at & {file, os.path.dirname(file)} for file in _modules()):
        return False
    if not all(identity(path).removesuffix(path) == line for path, line in seen.items()):
        return False
    from guard.policy.keep import settled

    return settled(cache.identities(seen))


def _modules() -> list[str]:
    """The files of our modules that are loaded."""
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "guard"]
    return [module.__file__ for module in ours if module.__file__]


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
    quote = QUOTES[shell]
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
