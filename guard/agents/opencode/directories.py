"""The directories a guarded opencode is given instead of the user's own.

`XDG_CONFIG_HOME` becomes a directory of ours in which everything is linked through except
`opencode/`: there only what loads no code is linked, and a config denies every provider to the
agent's second config loader, which ignores the inline config (run on 1.18.33). `home`, by which
opencode finds `~/.opencode`, becomes a second one.

Files are never lost: what a program creates in our directory is given back or set aside at the
next launch, see mirror.

Hot-path module.
"""

from __future__ import annotations

import os
import zlib

from guard import paths
from guard.agents import suffix as suffixes
from guard.agents.opencode import frontmatter, imports, markdown
from guard.agents.opencode.mirror import Mirror, files_below
from guard.agents.opencode.texts import is_file_within
from guard.agents.suffix import unusable
from guard.files import jsonc
from guard.files.lock import Lock, lock
from guard.files.read import UnreadableError, read_bytes
from guard.files.write import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.agents.opencode.surroundings import Surroundings

LOCK_SECONDS = 15.0
"""Seconds to wait for another launch that prepares the same directories; it takes milliseconds."""

_SKILLS = ("skill", "skills")
_MARKDOWN = ("agent", "agents", "command", "commands", "mode", "modes")
FOLDERS = (*_MARKDOWN, *_SKILLS, "themes")
_AGENT_OWN = (".gitignore", "bun.lock", "node_modules", "package-lock.json", "package.json")
CODE = ("plugin", "plugins", "tool", "tools")
CONFIGS = ("config", "config.json", "opencode.json", "opencode.jsonc", "tui.json", "tui.jsonc")
_PLUGIN_KEYS = ("plugin", "plugins")
_HOME_LINKED = (".claude", ".agents")

# opencode writes the first key into a config that lacks it, and the file would not be ours then
_DENY = (
    '{"$schema":"https://opencode.ai/config.json",'
    '"experimental":{"policies":[{"effect":"deny","action":"provider.use","resource":"*"}]},'
    '"policies":[{"effect":"deny","action":"provider.use","resource":"*"}]}\n'
)
_PLUGIN_API = "@opencode-ai/plugin"
_COPY_BEGIN = '---json\n{"name": '
"""How a file of `frontmatter.render` begins."""

_KINDS = {
    **dict.fromkeys((*markdown.AGENTS, *markdown.MODES), "agent"),
    **dict.fromkeys(markdown.COMMANDS, "command"),
}


class Directories:
    """Where a launch's private directories lie, below one of `kind`. Absolute paths."""

    __slots__ = ("base", "bin", "config", "empty", "home", "real_config", "real_home")

    def __init__(self, environ: Mapping[str, str], kind: str = "opencode") -> None:
        state = os.path.join(paths.routeguard_state(environ), kind)
        self.real_config = paths.config_home(environ)
        self.real_home = paths.home(environ)
        # one set per config home: two users of one state directory must not share links
        which = zlib.crc32(os.fsencode(f"{self.real_config}\n{self.real_home}"))
        self.base = os.path.join(state, f"{which:08x}")
        self.config = os.path.join(self.base, "config")
        self.home = os.path.join(self.base, "home")
        self.bin = os.path.join(self.base, "bin")
        self.empty = os.path.join(self.base, "empty")

    def project(self, directory: str) -> str:
        """The directory that stands in for the `.opencode` folders met from `directory`."""
        which = zlib.crc32(os.fsencode(directory))
        return os.path.join(self.base, "projects", f"{which:08x}")


def suffix(environ: Mapping[str, str], *, create: bool) -> str:
    """See `guard.agents.suffix`."""
    return suffixes.suffix(environ, "opencode", create=create)


def prepare(
    directories: Directories,
    plugin_version: str,
    shim: str,
    texts: Mapping[str, str | None],
) -> list[str]:
    """Make the private directories as they must be now. Safe beside other launches.

    `plugin_version` is the agent's version, `shim` the text of a PATH shim for the agent,
    `texts` maps the paths of agent and command files to what stands in their place (None: nothing).
    Returns a sentence for each file of the user's that had to be put somewhere else. Raises
    GuardError where a directory is not ours to write.
    """

    def fill() -> list[str]:
        kept = _fill_config(directories, plugin_version, texts)
        kept += _fill_home(directories)
        kept += _fill_empty(directories)
        return kept + fill_programs(directories, {"opencode": shim})

    folders = (directories.config, directories.home, directories.bin, directories.empty)
    return alone(directories.base, folders, fill)


def alone(base: str, folders: Iterable[str], fill: Callable[[], list[str]]) -> list[str]:
    """What `fill` returns, which fills the private `folders` below `base` while no other launch
    does. Raises GuardError where one of them is not ours to write."""
    state = os.path.dirname(base)
    for path in (os.path.dirname(state), state, base, *folders):
        paths.private_directory(path)
    with _locked(base):
        try:
            return fill()
        except OSError as error:
            raise unusable(error.filename or base, error.strerror or "") from None


def fill_programs(directories: Directories, shims: Mapping[str, str]) -> list[str]:
    """Write the PATH shims, whose texts `shims` has by name."""
    mirror = mirror_of(directories, "bin", "")
    mirror.collect("")
    for name, shim in shims.items():
        mirror.write(name, shim, mode=0o700)
    mirror.finish()
    return mirror.kept


def _locked(base: str) -> Lock:
    """The lock of launches on `base`: each must see what the last one wrote.

    Raises GuardError if another launch holds it for longer than LOCK_SECONDS.
    """
    path = os.path.join(base, "lock")
    try:
        return lock(path, LOCK_SECONDS)
    except TimeoutError:
        raise unusable(path, "another launch keeps it locked") from None
    except OSError as error:
        raise unusable(path, error.strerror or "") from None


def mirror_of(
    directories: Directories, name: str, real: str, origins: tuple[str, ...] = ()
) -> Mirror:
    """The stand-in called `name` of the user's directory `real`."""
    return Mirror(
        os.path.join(directories.base, name),
        real,
        os.path.join(directories.base, "set-aside"),
        os.path.join(directories.base, f"{name.replace('/', '-')}.written"),
        origins,
    )


def _fill_config(
    directories: Directories, plugin_version: str, texts: Mapping[str, str | None]
) -> list[str]:
    mirror = mirror_of(directories, "config", directories.real_config)
    mirror.collect("", ("opencode",))
    real = directories.real_config
    link_rest(mirror)
    paths.private_directory(os.path.join(mirror.ours, "opencode"))
    mirror.collect("opencode", (*_AGENT_OWN, *FOLDERS), code=(*CODE, *CONFIGS))
    mirror.link("opencode/AGENTS.md", os.path.join(real, "opencode", "AGENTS.md"))
    for name in FOLDERS:
        mirror_folder(mirror, f"opencode/{name}", _in_folder(name, directories, texts))
    for name in ("tui.json", "tui.jsonc"):
        without_plugins(mirror, f"opencode/{name}")
    mirror.write("opencode/opencode.json", _DENY)
    _seem_installed(mirror, "opencode", plugin_version)
    mirror.finish()
    return mirror.kept


def _fill_empty(directories: Directories) -> list[str]:
    mirror = mirror_of(directories, "empty", "")
    # the nearest one counts: no tsconfig.json of a directory above is looked at
    package = f"node_modules/{imports.NAME}"
    mirror.collect("", ("node_modules",))
    paths.private_directory(os.path.join(directories.empty, "node_modules"))
    mirror.collect("node_modules", (imports.NAME,))
    paths.private_directory(os.path.join(directories.empty, package))
    mirror.collect(package)
    mirror.write("tsconfig.json", "{}\n")
    for name, text in imports.STUB.items():
        mirror.write(f"{package}/{name}", text)
    mirror.finish()
    return mirror.kept


def link_rest(mirror: Mirror) -> None:
    """Link everything of the user's directory but what is opencode's."""
    wanted = set(names_in(mirror.real)) - {"opencode"}
    for name in wanted:
        mirror.link(name, os.path.join(mirror.real, name))
    for name in names_in(mirror.ours):
        if name not in wanted and name != "opencode" and mirror.is_link_of_ours(name):
            mirror.drop(name)


def _fill_home(directories: Directories) -> list[str]:
    mirror = mirror_of(directories, "home", directories.real_home)
    mirror.collect("", _HOME_LINKED, code=(".opencode",))
    for name in _HOME_LINKED:
        mirror.link(name, os.path.join(directories.real_home, name))
    mirror.finish()
    return mirror.kept


def names_in(directory: str) -> list[str]:
    """What is in `directory`, [] where that cannot be told."""
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _in_folder(
    name: str, directories: Directories, texts: Mapping[str, str | None]
) -> dict[str, str | None]:
    """What stands in `name` instead of the user's file, by relative path; None for nothing.

    Agents and commands of `~/.opencode`, which is closed to the agent, come into the first folder
    of their kind.
    """
    real = os.path.join(directories.real_config, "opencode", name) + "/"
    found = {path[len(real) :]: text for path, text in texts.items() if path.startswith(real)}
    if name in ("agent", "command"):
        home = os.path.join(directories.real_home, ".opencode") + "/"
        for path, text in texts.items():
            folder, _, inside = path[len(home) :].partition("/")
            if path.startswith(home) and text is not None and _KINDS.get(folder) == name:
                found[f"home-{folder}/{inside}"] = text
    return found


def mirror_folder(mirror: Mirror, folder: str, instead: Mapping[str, str | None]) -> None:
    """Link `folder` as a whole, or file by file where something stands instead of one of them."""
    real, ours = os.path.join(mirror.real, folder), os.path.join(mirror.ours, folder)
    _restore_edited(mirror, folder)
    mirror.collect(folder, below=True)
    files = list(files_below(real))
    if not instead:
        _empty_folder(mirror, folder, set())
        if not os.path.lexists(ours) or os.path.islink(ours):
            mirror.link(folder, real)
            return
    if os.path.islink(ours):
        mirror.drop(folder)
    paths.private_directory(ours)
    wanted = {path for path in {*files, *instead} if instead.get(path, "") is not None}
    for relative in sorted(wanted):
        inside = f"{folder}/{relative}"
        os.makedirs(os.path.dirname(os.path.join(ours, relative)), mode=0o700, exist_ok=True)
        text = instead.get(relative)
        if text is not None:
            mirror.write(inside, text)
        else:
            mirror.link(inside, os.path.join(real, relative))
    _empty_folder(mirror, folder, wanted)


def _empty_folder(mirror: Mirror, folder: str, keep: set[str]) -> None:
    """Drop our own links and copies in `folder` but those in `keep`, and folders left empty."""
    base = os.path.join(mirror.ours, folder)
    if os.path.islink(base):
        return
    for relative in list(files_below(base)):
        if relative not in keep:
            mirror.drop(f"{folder}/{relative}")
    for at, _, _ in os.walk(base, topdown=False):
        try:
            os.rmdir(at)
        except OSError:
            pass


def _restore_edited(mirror: Mirror, folder: str) -> None:
    """Put the original's head back on copies that were edited, so that they can go home."""
    base = os.path.join(mirror.ours, folder)
    if os.path.islink(base):
        return
    for relative in list(files_below(base)):
        inside = f"{folder}/{relative}"
        if os.path.islink(os.path.join(base, relative)) or mirror.is_ours(inside):
            continue
        text = _read_text(os.path.join(base, relative))
        original = _read_text(os.path.join(mirror.real, inside))
        if text is None or not text.startswith(_COPY_BEGIN):
            continue
        if original is None:
            mirror.set_aside(inside)  # it stands in for a file that lies elsewhere
            continue
        language, head, _ = frontmatter.split(original)
        body = frontmatter.split(text)[2]
        path = os.path.join(base, relative)
        times = os.stat(path)
        begin = f"---{language}{head}\n---\n" if head else ""
        write(path, f"{begin}{body}".encode())
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _read_text(path: str) -> str | None:
    try:
        raw = read_bytes(path)
        return None if raw is None else raw.decode("utf-8")
    except (UnreadableError, UnicodeDecodeError):
        return None


def without_plugins(mirror: Mirror, relative: str) -> None:
    """Link the TUI's own config, or copy it without the plugins it names."""
    real = os.path.join(mirror.real, relative)
    try:
        content = jsonc.read(real)
    except jsonc.UnreadableError:
        mirror.drop(relative)
        return
    if content is None or not any(key in _PLUGIN_KEYS or "{" in key for key in content):
        mirror.link(relative, real)
        return
    # a key with a brace is only known after opencode has substituted it
    kept = {k: v for k, v in content.items() if k not in _PLUGIN_KEYS and "{" not in k}
    import json

    mirror.write(relative, json.dumps(kept, indent=2) + "\n")


def _seem_installed(mirror: Mirror, folder: str, plugin_version: str) -> None:
    # opencode installs its plugin API into every config directory it may write to, from the
    # registry, unless these three say that it is there (run on 1.18.33)
    base = os.path.join(mirror.ours, folder)
    paths.private_directory(os.path.join(base, "node_modules"))
    depends = f'{{"dependencies":{{"{_PLUGIN_API}":"{plugin_version}"}}}}'
    lock = '{"name":"opencode","lockfileVersion":3,"requires":true,"packages":{"":'
    for name, text in (
        ("package.json", depends + "\n"),
        ("package-lock.json", lock + depends + "}}\n"),
    ):
        raw = text.encode()
        try:
            if read_bytes(os.path.join(base, name), links=False) == raw:
                continue
        except UnreadableError:
            pass
        write(os.path.join(base, name), raw)


def prepare_project(
    directories: Directories,
    directory: str,
    folders: list[str],
    found: Surroundings,
    plugin_version: str,
    texts: Mapping[str, str | None],
) -> list[str]:
    """Make the stand-in for `folders` (the `.opencode` of the project at `directory` and above).

    It holds their agents, commands, modes and skills, nearest first. Only files that really lie
    in the worktree are linked, and no code; of agents and commands only what `texts` holds is
    written. Returns and raises as `prepare` does. The user's AGENTS.md is linked as well: opencode
    looks for it in the directory that OPENCODE_CONFIG_DIR names (read in the source of 1.18.33).
    """
    ours = directories.project(directory)

    def fill() -> list[str]:
        name = os.path.relpath(ours, directories.base)
        own = os.path.join(directories.real_config, "opencode")
        mirror = mirror_of(directories, name, folders[0], (*folders[1:], own))
        mirror.link("AGENTS.md", os.path.join(own, "AGENTS.md"))
        mirror.collect("", (*_AGENT_OWN, *_MARKDOWN, *_SKILLS), code=(*CODE, *CONFIGS))
        for name in (*_MARKDOWN, *_SKILLS):
            _restore_edited(mirror, name)
            mirror.collect(name, below=True)
            wanted: dict[str, str] = {}
            for folder in folders:
                for relative in files_below(os.path.join(folder, name)):
                    source = os.path.join(folder, name, relative)
                    inside = found.boundary(os.path.dirname(folder))
                    given = name in _SKILLS or texts.get(source) is not None
                    if given and relative.endswith(".md") and is_file_within(source, inside):
                        wanted.setdefault(relative, source)
            for relative, source in wanted.items():
                inside = f"{name}/{relative}"
                path = os.path.join(ours, inside)
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                text = texts.get(source)
                if text is None:
                    mirror.link(inside, source)
                else:
                    mirror.write(inside, text)
            _empty_folder(mirror, name, set(wanted))
        _seem_installed(mirror, "", plugin_version)
        mirror.finish()
        return mirror.kept

    return alone(directories.base, (os.path.dirname(ours), ours), fill)
