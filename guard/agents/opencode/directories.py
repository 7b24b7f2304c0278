"""The directories a guarded opencode is given instead of the user's own.

`XDG_CONFIG_HOME` becomes a directory of ours in which everything is linked through except
`opencode/`: there only what loads no code is linked, and a config denies every provider to the
agent's second config loader, which ignores the inline config (run on 1.18.33). `home`, by which
opencode finds `~/.opencode`, becomes a second one.

Files are never lost: what a program creates in our directory is moved to the user's own at the
next launch, if nothing of that name is there.

Hot-path module.
"""

from __future__ import annotations

import errno
import os
import zlib

from guard import paths
from guard.agents.opencode import jsonc
from guard.agents.opencode.surroundings import is_file_within
from guard.errors import ExitCode, GuardError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SUFFIX_LENGTH = 10
"""Characters of the provider ids' suffix: 50 bits, and it never leaves the machine."""

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_LINKED = ("themes", "skills", "skill", "AGENTS.md")
_SKILLS = ("skill", "skills")
_MARKDOWN = ("agent", "agents", "command", "commands", "mode", "modes")
_OURS = frozenset(
    (
        ".gitignore",
        "bun.lock",
        "config.json",
        "node_modules",
        "opencode.json",
        "opencode.jsonc",
        "package-lock.json",
        "package.json",
        "tui.json",
        "tui.jsonc",
    )
)
_HOME_LINKED = (".claude", ".agents")

_DENY = (
    '{"experimental":{"policies":[{"effect":"deny","action":"provider.use","resource":"*"}]},'
    '"policies":[{"effect":"deny","action":"provider.use","resource":"*"}]}\n'
)
_PLUGIN_API = "@opencode-ai/plugin"


class Directories:
    """Where a launch's private directories lie. Absolute paths."""

    __slots__ = ("base", "bin", "config", "empty", "home", "real_config", "real_home")

    def __init__(self, environ: Mapping[str, str]) -> None:
        state = os.path.join(paths.routeguard_state(environ), "opencode")
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
    """The random suffix of this user's provider ids; made on the first launch.

    Without `create` and before the first launch it is a row of `x`, for a plan that is only
    shown. Kept for good: a session remembers the provider id it was made with.
    """
    directory = os.path.join(paths.routeguard_state(environ), "opencode")
    path = os.path.join(directory, "provider-suffix")
    known = _read_suffix(path)
    if known:
        return known
    if not create:
        return "x" * SUFFIX_LENGTH
    paths.private_directory(paths.routeguard_state(environ))
    paths.private_directory(directory)
    fresh = "".join(_ALPHABET[b % len(_ALPHABET)] for b in os.urandom(SUFFIX_LENGTH))
    try:
        if not _write_new(path, fresh + "\n") and not _read_suffix(path):
            _write(path, fresh + "\n")  # what is there is damaged
    except OSError as error:
        raise _unusable(path, error.strerror or "") from None
    known = _read_suffix(path)
    if not known:
        raise _unusable(path, "does not keep what is written to it")
    return known


def _read_suffix(path: str) -> str:
    try:
        raw = (jsonc.read_bytes(path) or b"").decode("ascii", "replace").strip()
    except jsonc.UnreadableError:
        return ""
    return raw if len(raw) == SUFFIX_LENGTH and all(c in _ALPHABET for c in raw) else ""


def prepare(
    directories: Directories,
    plugin_version: str,
    shim: str,
    rewrite_model: Callable[[str], str],
) -> None:
    """Make the private directories as they must be now. Safe beside other launches.

    `plugin_version` is the agent's version, `shim` the text of a PATH shim for the agent,
    `rewrite_model` maps the `model` of an agent or command file to its pinned form ("" drops it).
    Raises GuardError where a directory is not ours to write.
    """
    for path in (
        paths.private_directory(os.path.dirname(os.path.dirname(directories.base))),
        os.path.dirname(directories.base),
        directories.base,
        directories.config,
        directories.home,
        directories.bin,
        directories.empty,
    ):
        paths.private_directory(path)
    try:
        _link_all(directories.real_config, directories.config, skip=("opencode",))
        _fill_agent(directories, plugin_version, rewrite_model)
        for name in _HOME_LINKED:
            _link(os.path.join(directories.real_home, name), os.path.join(directories.home, name))
        _write(os.path.join(directories.bin, "opencode"), shim, mode=0o700)
        # the nearest one counts: no tsconfig.json of a directory above is looked at
        _write(os.path.join(directories.empty, "tsconfig.json"), "{}\n")
    except OSError as error:
        raise _unusable(error.filename or directories.base, error.strerror or "") from None


def _fill_agent(
    directories: Directories, plugin_version: str, rewrite_model: Callable[[str], str]
) -> None:
    real = os.path.join(directories.real_config, "opencode")
    ours = paths.private_directory(os.path.join(directories.config, "opencode"))
    for name in _LINKED:
        _link(os.path.join(real, name), os.path.join(ours, name))
    for name in _MARKDOWN:
        _mirror_markdown(os.path.join(real, name), os.path.join(ours, name), rewrite_model)
    for name in ("tui.json", "tui.jsonc"):
        _without_plugins(os.path.join(real, name), os.path.join(ours, name))
    _write(os.path.join(ours, "opencode.json"), _DENY)
    for name in ("opencode.jsonc", "config.json", "config"):
        _remove(os.path.join(ours, name))
    _seem_installed(ours, plugin_version)
    _give_back(ours, real, _OURS | set(_LINKED) | set(_MARKDOWN))


def _seem_installed(directory: str, plugin_version: str) -> None:
    # opencode installs its plugin API into every config directory it may write to, from the
    # registry, unless these three say that it is there (run on 1.18.33)
    paths.private_directory(os.path.join(directory, "node_modules"))
    depends = f'{{"dependencies":{{"{_PLUGIN_API}":"{plugin_version}"}}}}'
    _write(os.path.join(directory, "package.json"), depends + "\n")
    _write(
        os.path.join(directory, "package-lock.json"),
        '{"name":"opencode","lockfileVersion":3,"requires":true,"packages":{"":' + depends + "}}\n",
    )


def prepare_project(
    ours: str,
    folders: list[str],
    worktree: str,
    plugin_version: str,
    rewrite_model: Callable[[str], str],
) -> None:
    """Make `ours` hold the agents, commands, modes and skills of `folders`, nearest first.

    Only Markdown that really lies in the worktree is linked, so no code and nothing from
    elsewhere comes along; a file that names a model is copied with its pinned form.
    Raises GuardError.
    """
    try:
        paths.private_directory(os.path.dirname(ours))
        paths.private_directory(ours)
        _seem_installed(ours, plugin_version)
        wanted: dict[str, str] = {}
        for folder in folders:
            for name in (*_MARKDOWN, *_SKILLS):
                for relative in _markdown_files(os.path.join(folder, name), ""):
                    source = os.path.join(folder, name, relative)
                    if is_file_within(source, worktree):
                        wanted.setdefault(os.path.join(name, relative), source)
        for name in (*_MARKDOWN, *_SKILLS):
            for relative in _markdown_files(os.path.join(ours, name), ""):
                if os.path.join(name, relative) not in wanted:
                    _remove(os.path.join(ours, name, relative))
        for relative, source in wanted.items():
            path = os.path.join(ours, relative)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            text = _with_our_model(source, rewrite_model)
            if text is None:
                if not os.path.islink(path):
                    _remove(path)
                _link(source, path)
            else:
                if os.path.islink(path):
                    _remove(path)
                _write(path, text)
    except OSError as error:
        raise _unusable(error.filename or ours, error.strerror or "") from None


def _link_all(real: str, ours: str, skip: tuple[str, ...]) -> None:
    _give_back(ours, real, set(skip))
    try:
        wanted = {name for name in os.listdir(real) if name not in skip}
    except (FileNotFoundError, NotADirectoryError):
        wanted = set()
    for name in wanted:
        _link(os.path.join(real, name), os.path.join(ours, name))
    for name in os.listdir(ours):
        path = os.path.join(ours, name)
        if name not in wanted and name not in skip and os.path.islink(path):
            _link(os.path.join(real, name), path)


def _link(target: str, path: str) -> None:
    """Make `path` a link to `target`, or nothing if `target` does not exist."""
    if not os.path.lexists(target):
        if os.path.islink(path):
            _remove(path)
        return
    try:
        if os.readlink(path) == target:
            return
        _remove(path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            return  # a real file of a program's: kept until it can be given back
    try:
        os.symlink(target, path)
    except FileExistsError:
        pass  # another launch was faster


def _give_back(ours: str, real: str, ours_by_name: set[str] | frozenset[str]) -> None:
    """Move what a program created in our directory to the user's own."""
    for name in os.listdir(ours):
        path = os.path.join(ours, name)
        if name in ours_by_name or os.path.islink(path):
            continue
        _move(path, os.path.join(real, name))


def _move(path: str, target: str) -> None:
    if os.path.lexists(target):
        return
    try:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        os.rename(path, target)
    except OSError:
        pass  # another file system, or no right to: it stays where it is, and still works


def _mirror_markdown(real: str, ours: str, rewrite_model: Callable[[str], str]) -> None:
    """Agents and commands: linked as a folder, or one by one where a file names a model."""
    files = list(_markdown_files(real, ""))
    copies = {}
    for relative in files:
        text = _with_our_model(os.path.join(real, relative), rewrite_model)
        if text is not None:
            copies[relative] = text
    if os.path.isdir(ours) and not os.path.islink(ours):
        _give_back_new(ours, real, set(files))
        files = list(_markdown_files(real, ""))
    if not copies:
        if os.path.isdir(ours) and not os.path.islink(ours):
            _clear(ours)
        _link(real, ours)
        return
    if os.path.islink(ours):
        _remove(ours)
    paths.private_directory(ours)
    for relative in files:
        path = os.path.join(ours, relative)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        if relative in copies:
            _write(path, copies[relative])
        else:
            _link(os.path.join(real, relative), path)
    known = set(files)
    for relative in list(_markdown_files(ours, "")):
        if relative not in known:
            _remove(os.path.join(ours, relative))


def _give_back_new(ours: str, real: str, known: set[str]) -> None:
    for relative in list(_markdown_files(ours, "")):
        path = os.path.join(ours, relative)
        if relative not in known and not os.path.islink(path) and not _is_copy(path):
            _move(path, os.path.join(real, relative))


_COPY_MARK = "\n# routeguard: copy; edit the original"


def _is_copy(path: str) -> bool:
    try:
        return _COPY_MARK.encode() in (jsonc.read_bytes(path) or b"")
    except jsonc.UnreadableError:
        return False


def _markdown_files(base: str, below: str, depth: int = 0) -> list[str]:
    found: list[str] = []
    try:
        names = sorted(os.listdir(os.path.join(base, below)))
    except OSError:
        return found
    for name in names:
        relative = os.path.join(below, name)
        path = os.path.join(base, relative)
        if name.endswith(".md"):
            found.append(relative)
        elif depth < 4 and os.path.isdir(path):
            found.extend(_markdown_files(base, relative, depth + 1))
    return found


def _with_our_model(path: str, rewrite_model: Callable[[str], str]) -> str | None:
    """The text of an agent or command file with its model in the pinned form, or None."""
    try:
        text = (jsonc.read_bytes(path) or b"").decode("utf-8")
    except (jsonc.UnreadableError, UnicodeDecodeError):
        return None
    if not text.startswith("---"):
        return None
    lines = text.split("\n")
    for number, line in enumerate(lines[1:], 1):
        if line.strip() == "---":
            return None
        key, colon, value = line.partition(":")
        if colon and key.strip().strip("\"'") == "model":
            typed = value.partition(" #")[0].strip().strip("\"'")
            pinned = rewrite_model(typed)
            if pinned == typed:
                return None
            lines[number] = (f'model: "{pinned}"' if pinned else "") + _COPY_MARK
            return "\n".join(lines)
    return None


def _without_plugins(real: str, ours: str) -> None:
    """Link the TUI's own config, or copy it without the plugins it names."""
    import json

    try:
        content = jsonc.read(real)
    except jsonc.UnreadableError:
        content = {}
    if content is None:
        _remove(ours)
        return
    if not any(key in content for key in ("plugin", "plugins")):
        if not os.path.islink(ours):
            _remove(ours)
        _link(real, ours)
        return
    kept = {k: v for k, v in content.items() if k not in ("plugin", "plugins")}
    if os.path.islink(ours):
        _remove(ours)
    _write(ours, json.dumps(kept, indent=2) + "\n")


def _write(path: str, text: str, *, mode: int = 0o600) -> None:
    """Write `text` to `path` atomically, unless it is there already."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        if not os.path.islink(path) and jsonc.read_bytes(path) == raw:
            return
    except jsonc.UnreadableError:
        pass
    temporary = f"{path}.{os.getpid()}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        os.write(handle, raw)
    finally:
        os.close(handle)
    os.replace(temporary, path)


def _write_new(path: str, text: str) -> bool:
    """Write `text` to `path` if nothing is there; whether this call did it.

    Linked into place, so that another launch never sees half of it.
    """
    temporary = f"{path}.{os.getpid()}"
    _write(temporary, text)
    try:
        os.link(temporary, path)
        return True
    except FileExistsError:
        return False
    except OSError:
        os.replace(temporary, path)
        return True
    finally:
        _remove(temporary)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _clear(directory: str) -> None:
    """Remove links and our copies below `directory`, then every folder that is empty."""
    for base, folders, files in os.walk(directory, topdown=False):
        for name in files:
            path = os.path.join(base, name)
            if os.path.islink(path) or _is_copy(path):
                _remove(path)
        for name in folders:
            path = os.path.join(base, name)
            if os.path.islink(path):
                _remove(path)
        try:
            os.rmdir(base)
        except OSError:
            pass


def _unusable(path: str, why: str) -> GuardError:
    return GuardError(
        "cannot prepare the agent's private directory",
        where=path,
        why=why,
        fix="make it writable for you, or remove it; it is made again at the next launch",
        rule="RG503",
        exit_code=ExitCode.CONFIG,
    )
