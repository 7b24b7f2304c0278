"""What a launch of Codex is planned from: its command line, its files, its program.

Hot-path module; `tomllib` is imported where there is a file to read.
"""

from __future__ import annotations

import os
import sys

from guard import paths
from guard.agents import adapter
from guard.files import toml
from guard.files.read import UnreadableError, read_bytes
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from guard.agents.codex import grammar
    from guard.agents.managed import Met

SYSTEM, USER, PROFILE, PROJECT, MANAGED, REQUIRED = (
    "system settings",
    "user settings",
    "profile",
    "project settings",
    "managed settings",
    "requirements",
)
"""The layers of Codex's settings, from the weakest to the strongest; the arguments stand in front
of the last two, which are an administrator's (each step was run: section 3 of the facts)."""

ADMINISTRATORS = (MANAGED, REQUIRED)

OWN = (SYSTEM, USER, PROFILE)
"""The layers that are the user's own, or the machine's."""

MAX_DOTENV = 128 * 1024
"""Bytes of a dotenv file: it must not take long to read."""


class Settings(Record):
    """One settings file: its layer, its content, or why it cannot be read."""

    layer: str
    path: str
    content: dict[str, Any]
    unreadable: str = ""

    def table(self, key: str) -> dict[str, Any]:
        """The table called `key`, an empty one if there is none."""
        found = self.content.get(key)
        return found if isinstance(found, dict) else {}


class Facts(adapter.Facts):
    """What was found. `home` is CODEX_HOME; `settings` are the files there are, weakest first.

    `program` is the native program, where the one that was found is npm's script around it.
    `dotenv` are the variables of `$CODEX_HOME/.env`, `dotenv_wrong` is why it cannot be read.
    `environments` tells that a file there moves commands to other machines.
    `suffix` is that of the provider's id, `token` what ends the name of the key's variable.
    `met` is what there is to say about an administrator's files, `ours` the suffix of the one that
    routeguard wrote, "" where there is none or it was changed. `outside` are the instructions of a
    project that lie outside of it, `roles_outside` its roles that do.
    """

    invocation: grammar.Invocation
    program: str
    home: str
    settings: list[Settings]
    dotenv: dict[str, str]
    dotenv_wrong: str
    environments: bool
    shims: str
    suffix: str
    token: str
    login: bool
    met: Met
    ours: str
    outside: list[str]
    roles_outside: list[str]

    def of(self, *layers: str) -> list[Settings]:
        """The files of `layers`."""
        return [one for one in self.settings if one.layer in layers]


def codex_home(environ: Mapping[str, str], cwd: str) -> str:
    """Where Codex keeps the user's settings, login and sessions."""
    named = environ.get("CODEX_HOME")
    return os.path.join(cwd, named) if named else os.path.join(paths.home(environ), ".codex")


def read_settings(
    home: str, profiles: Iterable[str], directories: Iterable[str], root: str = ""
) -> list[Settings]:
    """The settings files of a session in one of `directories` that there are, weakest layer first.

    A project's count in these and in every one above them, and so do those of all projects
    that the user's settings name: a session that is continued works in its own directory. `root`
    stands before an administrator's paths.
    """
    folder = f"{root}/etc/codex"
    user = os.path.join(home, "config.toml")
    wanted = [
        (SYSTEM, f"{folder}/config.toml"),
        (USER, user),
        *((PROFILE, os.path.join(home, f"{name}.config.toml")) for name in profiles),
    ]
    found = [read for layer, path in wanted if (read := read_toml(layer, path))]
    places = [above for directory in directories for above in _upwards(directory)]
    for one in found:
        # no directory has a name with a NUL
        named = one.table("projects")
        places += [place for place in named if os.path.isabs(place) and "\0" not in place]
    own = {os.path.realpath(path) for _, path in wanted}
    for place in dict.fromkeys(places):
        path = os.path.join(place, ".codex", "config.toml")
        if os.path.realpath(path) not in own and (read := read_toml(PROJECT, path)):
            found.append(read)
    last = ((MANAGED, "managed_config.toml"), (REQUIRED, "requirements.toml"))
    return found + [read for layer, name in last if (read := read_toml(layer, f"{folder}/{name}"))]


def _upwards(directory: str) -> Iterable[str]:
    for start in (directory, os.path.realpath(directory)):
        at = os.path.abspath(start)
        yield at
        while at != os.path.dirname(at):
            at = os.path.dirname(at)
            yield at


_DOCUMENTS = ("AGENTS.override.md", "AGENTS.md")
_INSTRUCTIONS = (
    *("experimental_compact_prompt_file", "experimental_instructions_file"),
    "model_instructions_file",
)


def documents_outside(directories: Iterable[str], settings: list[Settings]) -> list[str]:
    """The instructions of the projects around `directories` that lead to a file outside of them.

    Codex sends what is there: of a link to `/proc/self/environ` its variables, the gateway key
    among them, in a project that nobody trusted (run).
    """
    names = list(_DOCUMENTS)
    for one in settings:
        names += _paths(one.content.get("project_doc_fallback_filenames"))
    found = []
    for directory in directories:
        for at in _upwards(directory):
            documents = [os.path.join(at, name) for name in names]
            found += [path for path in documents if _leads_out(path, at)]
    return list(dict.fromkeys(found))


def named_outside(settings: list[Settings]) -> list[tuple[str, str]]:
    """(key, settings file) where a project names instructions, or a role, outside of it."""
    found = []
    for one in settings:
        folder = os.path.dirname(one.path)
        named = [(key, one.content.get(key)) for key in _INSTRUCTIONS]
        named += [
            (f"agents.{name}.config_file", role.get("config_file"))
            for name, role in one.table("agents").items()
            if isinstance(role, dict)
        ]
        for key, value in named if one.layer == PROJECT else ():
            for path in _paths([value]):
                if _leads_out(os.path.join(folder, path), os.path.dirname(folder)):
                    found.append((key, one.path))
    return found


def roles_outside(directories: Iterable[str], home: str) -> list[str]:
    """The roles of projects around `directories` that lead to a file outside of them.

    Codex prints the line that is wrong: of a link to `/proc/self/environ` the gateway key (run).
    """
    found = []
    for directory in directories:
        for at in _upwards(directory):
            folder = os.path.join(at, ".codex")
            if os.path.realpath(folder) == os.path.realpath(home):
                continue
            try:
                names = sorted(os.listdir(os.path.join(folder, "agents")))
            except OSError:
                continue
            roles = [os.path.join(folder, "agents", name) for name in names]
            found += [path for path in roles if path.endswith(".toml") and _leads_out(path, at)]
    return list(dict.fromkeys(found))


def _paths(values: object) -> list[str]:
    """Those of the list `values` that can be a path."""
    found = values if isinstance(values, list) else []
    return [one for one in found if isinstance(one, str) and "\0" not in one]


def _leads_out(path: str, directory: str) -> bool:
    """Whether `path` leads out of the repository around `directory`, or of that if it is in none.

    A link to the directory changes nothing: what counts is where it leads.
    """
    if not os.path.lexists(path):
        return False
    real = os.path.realpath(directory)
    top = next((at for at in _upwards(real) if os.path.lexists(f"{at}/.git")), real)
    return not paths.is_within(os.path.realpath(path), top)


def read_toml(layer: str, path: str) -> Settings | None:
    """The settings file at `path`, None if there is none."""
    try:
        raw = read_bytes(path, toml.MAX_BYTES)
        return None if raw is None else Settings(layer, path, toml.decode(raw))
    except UnreadableError as error:
        return Settings(layer, path, {}, str(error))


def read_dotenv(home: str) -> tuple[dict[str, str], str]:
    """The variables of `$CODEX_HOME/.env`, and why they cannot be read."""
    try:
        raw = read_bytes(os.path.join(home, ".env"), MAX_DOTENV)
    except UnreadableError as error:
        return {}, str(error)
    return dotenv_variables(raw) if raw else {}, ""


def dotenv_variables(raw: bytes) -> dict[str, str]:
    """The variables of a `$CODEX_HOME/.env` with the content `raw`.

    Codex sets them over what it was started with, all but `CODEX_*` (run: cases 16 and 17).
    """
    # few have one; a launch runs without the installed packages (`python -S`), and this needs one
    from guard.packages import make_importable

    make_importable()
    from guard.sources.dotenv_text import assignments

    text = raw.decode("utf-8", "replace")
    return {one.name: one.value for one in assignments(text) if one.name[:6] != "CODEX_"}


_TRIPLES = {
    ("linux", "x86_64"): ("linux-x64", "x86_64-unknown-linux-musl"),
    ("linux", "aarch64"): ("linux-arm64", "aarch64-unknown-linux-musl"),
    ("darwin", "x86_64"): ("darwin-x64", "x86_64-apple-darwin"),
    ("darwin", "arm64"): ("darwin-arm64", "aarch64-apple-darwin"),
}
"""Platform package and target by system and machine, as `bin/codex.js` of 0.171.0 has them."""


def native(program: str) -> str:
    """The native program behind npm's script at `program`; `program` itself if it is none.

    The script runs in Node, which loads what NODE_OPTIONS names, with the key in the environment
    (case 26). It looks where Node would look for the platform's package, then beside itself.
    """
    real = os.path.realpath(program)
    package = os.path.dirname(os.path.dirname(real))
    known = _TRIPLES.get((sys.platform, os.uname().machine))
    if os.path.basename(real) != "codex.js" or known is None:
        return program
    name, target = known
    at = package
    places = []
    while at != os.path.dirname(at):
        places.append(os.path.join(at, "node_modules", "@openai", f"codex-{name}"))
        at = os.path.dirname(at)
    for place in (*places, package):
        path = os.path.join(place, "vendor", target, "bin", "codex")
        if os.access(path, os.X_OK):
            return path
    return program
