"""The launcher: the `routeguard` that start files call.

It is sh, so that something is left to speak when its Python has gone, and it starts Python
without `site`, which is what makes a shell start quick.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from guard.files.read import UnreadableError, read_bytes
from guard.files.write import write
from guard.hook import quote_sh
from guard.install.refusals import NotPossibleError, not_written
from guard.install.way import Way, launcher_of_install_sh, launcher_of_others

MARK = b"# routeguard-launcher"
"""Second line of each launcher of ours: by it, never by the name, one is known."""


def text(way: Way, version: str) -> bytes:
    """The launcher of `way`; `version` is that of its Python, such as 3.13."""
    python, main, again = quote_sh(way.python), quote_sh(way.main), quote_sh(way.again)
    other = (
        "echo '         or the install.sh of another clone'" if way.kind == "install.sh" else ":"
    )
    script = f"""#!/bin/sh
{MARK.decode()}
# Made by `routeguard setup`; `routeguard teardown` removes it.
if [ -x {python} ] && [ -r {main} ]; then
    exec {python} -I -S {main} "$@"
fi
[ "${{1-}}" != hook ] || exit 126 # the block in the start file says it
{{
    echo 'routeguard: cannot start, and coding agents stay blocked until it can [RG503]'
    if [ -x {python} ]; then
        printf '  where: %s\\n  why:   routeguard itself is gone from there\\n' {main}
    else
        printf '  where: %s\\n' {python}
        echo '  why:   its Python ({version}) is gone: upgraded or removed, as Homebrew does'
    fi
    printf '  fix:   %s\\n' {again}
    {other}
}} >&2
exit 126
"""
    return script.encode("utf-8", "surrogateescape")


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
            fix="if uv or pipx installed it: routeguard setup   (nothing else is needed)\n"
            "otherwise move that file away and run this again",
        )


def put(way: Way, version: str) -> bool:
    """Write the launcher of `way` if it is missing or differs; whether it was written."""
    content = text(way, version)
    try:
        same = is_ours(way.launcher) and read_bytes(way.launcher) == content
        if same and stat.S_IMODE(os.stat(way.launcher).st_mode) == 0o755:
            return False
        os.makedirs(os.path.dirname(way.launcher), exist_ok=True)
        write(way.launcher, content, 0o755)
    except OSError as error:
        raise not_written(way.launcher, error) from None
    return True
