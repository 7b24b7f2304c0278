"""The launcher: the `routeguard` that start files call.

It is sh, so that something is left to speak when its Python has gone, and it starts Python
without `site`, which is what makes a shell start quick.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Mapping

from guard import paths
from guard.files.read import UnreadableError, read_bytes
from guard.files.write import write
from guard.hook import SHELLS
from guard.hook.keep import identity
from guard.hook.templates import fill, quote_sh, template, template_places
from guard.install.refusals import NotPossibleError, not_written
from guard.install.way import Way, launcher_of_install_sh, launcher_of_others

MARK = b"# routeguard-launcher"
"""Second line of each launcher of ours: by it, never by the name, one is known."""


_TEMPLATES = tuple(f"{name}.{shell}" for name in ("hook", "line") for shell in SHELLS)
_ASK_STAT = 5.0

_MADE_FROM = (
    *("*.py", "agents/__init__.py", "agents/registry.py", "agents/*/__init__.py"),
    *("catalog/*.*", "files/*.py", "hook/*.py", "policy/*.py"),
)
"""Our own files that a hook is made from, beside the templates: patterns below our package."""

_INSTALLED = (
    *("__init__.py", "hook/render.py", "agents/*/__init__.py", "catalog/*.json", "catalog/*.toml"),
    *(".", "agents", "catalog", "files", "hook", "policy"),
)
"""The same for a package that was installed: pip, pipx and uv write each file of it anew, and a
directory shows that one of its files was put in the place of another. Whoever writes into them,
as `rsync --inplace` does, shows it by the version. In a clone an editor may write into a module."""


def text(way: Way, version: str, home: str = "") -> bytes:
    """The launcher of `way`; `version` is that of its Python, such as 3.13.

    In `home` it prints a hook that was kept there without starting Python. It has to be the
    account's own: around another one a project may lie, which only Python can see.
    """
    package = os.path.dirname(way.main)
    places = [place for name in _TEMPLATES for place in template_places(name, package=package)]
    stat_command = _stat(way.main) if home else ""
    files = [*filter(os.path.exists, places), way.python, way.launcher]
    made_from = _MADE_FROM if paths.is_clone(package) else _INSTALLED
    values = {
        "PYTHON": quote_sh(way.python),
        "MAIN": quote_sh(way.main),
        "AGAIN": quote_sh(way.again),
        "VERSION": version,
        "OR_ANOTHER": "echo '         or the install.sh of another clone'"
        if way.kind == "install.sh"
        else ":",
        "KEEPS": "yes" if stat_command else "no",
        "HOME": quote_sh(home),
        "SYSTEM_POLICY": quote_sh(paths.SYSTEM_POLICY),
        "GUARD": quote_sh(package),
        "STAT": stat_command or ":",
        "FILES": " ".join((*made_from, *map(quote_sh, files))),
        "USER": str(os.getuid()),
    }
    return fill(template("launcher.sh"), values).encode("utf-8", "surrogateescape")


def _stat(path: str) -> str:
    """The command whose output shows every change of a file, "" if this system has none.

    GNU's and BSD's `stat` take other words; one that shows whole seconds only (BusyBox) will not
    do. Tried on `path`.
    """
    try:
        expected = f"{identity(path)}\n"
    except OSError:
        return ""
    for program in ("/usr/bin/stat", "/bin/stat"):
        for words in (("-c", "%a %u %i %s %.Y %.Z %n"), ("-f", "%Lp %u %i %z %Fm %Fc %N")):
            command = [program, "-L", *words]
            try:
                done = subprocess.run(
                    [*command, path],
                    env={"LC_ALL": "C"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    timeout=_ASK_STAT,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired):
                continue
            if done.stdout == os.fsencode(expected):
                return shlex.join(command)
    return ""


def is_ours(path: str) -> bool:
    """Whether `path` is a launcher of ours; a link is not."""
    try:
        content = read_bytes(path, links=False)
    except UnreadableError:
        return False
    return content is not None and content.split(b"\n", 2)[1:2] == [MARK]


def places(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where launchers of ours may lie."""
    return launcher_of_install_sh(environ), launcher_of_others(environ)


def require_free(path: str) -> None:
    """Raise NotPossibleError if something that is not ours lies at `path`."""
    if os.path.lexists(path) and not is_ours(path):
        raise NotPossibleError(
            "there is another routeguard, and it was not made by install.sh",
            where=path,
            fix="if uv or pipx installed it:\nrouteguard setup\n"
            "otherwise move that file away and run this again",
        )


def put(way: Way, version: str, environ: Mapping[str, str], *, dry_run: bool = False) -> bool:
    """Write the launcher of `way` if it is missing or differs; whether it was, or would be."""
    home = paths.home(environ)
    content = text(way, version, home if home == paths.account_home() else "")
    try:
        same = is_ours(way.launcher) and read_bytes(way.launcher) == content
        if same and stat.S_IMODE(os.stat(way.launcher).st_mode) == 0o755:
            return False
        if not dry_run:
            os.makedirs(os.path.dirname(way.launcher), exist_ok=True)
            write(way.launcher, content, 0o755)
    except OSError as error:
        raise not_written(way.launcher, error) from None
    return True
