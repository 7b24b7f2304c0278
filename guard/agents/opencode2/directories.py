"""The directories that a guarded opencode 2 is given instead of the user's own.

`XDG_CONFIG_HOME`, where it looks for its global configuration and for the settings of its service,
and `XDG_STATE_HOME`, where it looks for a service that runs (run on a build of July 2026: a service
is found through these two alone). In both, everything of other programs is linked through. The
first is one for each project: it holds the project's AGENTS.md.

Hot-path module.
"""

from __future__ import annotations

import os
import zlib

from guard import paths
from guard.agents.opencode.directories import (
    CODE,
    CONFIGS,
    FOLDERS,
    Directories,
    alone,
    fill_programs,
    link_rest,
    mirror_folder,
    mirror_of,
    names_in,
    without_plugins,
)
from guard.files.read import UnreadableError, read_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.agents.opencode2.config import Texts

_SERVICE = "service.json"
_ALONE = '{"disabled":true}\n'
"""Settings of the service: commands that have no `--standalone` get a server of their own, too, and
leave none behind (documentation, from about 2.0.20 on)."""

_OF_SERVERS = ("daemon", "lock", "password", "server", "service")
"""How the names begin that tell of a server: `server.json` and `password` on the preview 1.18.18 of
the core, `service.json` later (run). A launch gets none of the user's, and gives none back."""

_MOST_TEXT = 1 << 20
"""Bytes of one AGENTS.md."""


class Places(Directories):
    """Where the private directories of a launch in one project lie. Absolute paths."""

    __slots__ = ("real_state", "state")

    def __init__(self, environ: Mapping[str, str], directory: str = "/") -> None:
        super().__init__(environ, "opencode2")
        which = zlib.crc32(os.fsencode(directory))
        self.config = os.path.join(self.base, "projects", f"{which:08x}", "config")
        self.state = os.path.join(self.base, "state")
        self.real_state = paths.state_home(environ)


def is_ours(places: Places, config: str) -> bool:
    """Whether `config` is the private configuration of a launch in some project."""
    head, tail = os.path.split(config)
    return tail == "config" and os.path.dirname(head) == os.path.join(places.base, "projects")


def prepare(
    places: Places, texts: Texts, instructions: list[str], shims: Mapping[str, str]
) -> list[str]:
    """Make the private directories as they must be now. Safe beside other launches.

    `texts` are those of the configuration, `instructions` are the project's AGENTS.md files,
    `shims` the texts of PATH shims by name. Returns a sentence for each file of the user's that had
    to be put somewhere else. Raises GuardError where a directory is not ours to write.
    """
    project = os.path.dirname(places.config)

    def fill() -> list[str]:
        kept = _fill_config(places, texts, instructions)
        kept += _fill_state(places)
        return kept + fill_programs(places, shims)

    folders = (os.path.dirname(project), project, places.config, places.state, places.bin)
    return alone(places.base, folders, fill)


def _fill_config(places: Places, texts: Texts, instructions: list[str]) -> list[str]:
    name = os.path.relpath(places.config, places.base)
    mirror = mirror_of(places, name, places.real_config)
    mirror.collect("", ("opencode",))
    link_rest(mirror)
    paths.private_directory(os.path.join(mirror.ours, "opencode"))
    ours = (*CODE, *CONFIGS, _SERVICE, "AGENTS.md")
    mirror.collect("opencode", FOLDERS, code=ours)
    own = os.path.join(places.real_config, "opencode", "AGENTS.md")
    if instructions:
        mirror.write("opencode/AGENTS.md", _joined([own, *instructions]))
    else:
        mirror.link("opencode/AGENTS.md", own)
    for folder in FOLDERS:
        mirror_folder(mirror, f"opencode/{folder}", {})
    for each in ("cli.json", "tui.json", "tui.jsonc"):
        without_plugins(mirror, f"opencode/{each}")
    mirror.write("opencode/opencode.json", texts.route)
    mirror.write("opencode/opencode.jsonc", texts.rest)
    mirror.write(f"opencode/{_SERVICE}", _ALONE)
    mirror.finish()
    return mirror.kept


def _fill_state(places: Places) -> list[str]:
    mirror = mirror_of(places, "state", places.real_state)
    mirror.collect("", ("opencode",))
    link_rest(mirror)
    paths.private_directory(os.path.join(mirror.ours, "opencode"))
    real = os.path.join(places.real_state, "opencode")
    of_servers = [n for n in names_in(f"{mirror.ours}/opencode") if n.startswith(_OF_SERVERS)]
    mirror.collect("opencode", of_servers)
    for name in names_in(real):
        # the rest is what the TUI remembers
        if not name.startswith(_OF_SERVERS):
            mirror.link(f"opencode/{name}", os.path.join(real, name))
    mirror.finish()
    return mirror.kept


def _joined(files: list[str]) -> str:
    """The texts of `files`, each under its path: instructions name other files beside them."""
    parts = []
    for path in files:
        try:
            raw = read_bytes(path, _MOST_TEXT)
        except UnreadableError:
            continue
        if raw:
            parts.append(f"<!-- {path} -->\n{raw.decode('utf-8', 'replace').rstrip()}\n")
    return "\n".join(parts)
