"""What opencode will find around it: config layers, plugin files, credentials, instructions.

Reads, judges nothing, writes nothing. opencode 1.18.33 has two config loaders; the second ignores
every switch and imports plugin files from `.opencode` directories of the working directory and of
its parents, so all of them are looked at, up to the root (facts: run against the real binary).

Hot-path module; `plistlib` is imported only where there is a file for it.
"""

from __future__ import annotations

import os
import sys

from guard import paths
from guard.agents import managed as administrators
from guard.agents.opencode import imports, markdown, store
from guard.agents.opencode.instructions import is_asked_about, picked, resolve
from guard.agents.opencode.texts import is_file_within, replace_files
from guard.agents.suffix import suffix
from guard.catalog import entries
from guard.files import jsonc
from guard.files.around import worktree
from guard.paths import is_within
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from guard.agents.opencode.markdown import Definition
    from guard.findings import Finding

MANAGED_OF = {"darwin": "/Library/Application Support/opencode", "linux": "/etc/opencode"}
MANAGED = MANAGED_OF.get(sys.platform, MANAGED_OF["linux"])
"""The administrator's config directory; it outranks the inline config."""

MOST_CONFIGS = 32
"""Config files of a project and of the directories above it; more are refused, not read."""

MOST_DEFINITIONS = 400
"""Agents and commands in a project's Markdown files, above which further folders are refused."""

MANAGED_DOMAIN = "ai.opencode.managed"
_CODE_SUFFIXES = (".js", ".ts", ".mjs", ".cjs", ".mts", ".cts", ".jsx", ".tsx")
_CONFIG_NAMES = ("opencode.json", "opencode.jsonc")
_GLOBAL_NAMES = ("config.json", *_CONFIG_NAMES)
_PLUGINS = ("plugin", "plugins")
_TOOLS = ("tool", "tools")


class Config(Record):
    """One config file: its path, its content, or why it cannot be read (then content is empty).

    `unresolved` maps (group, name) of an agent or command to why a `{file:…}` in it could not be
    replaced; in the others it is. `instructions` are the files that its `instructions` mean, and
    `missing` are (entry, why) of those that mean none. `ours` is the suffix of the provider ids in
    a file that `routeguard managed` wrote, "" for any other.
    """

    path: str
    content: dict[str, Any]
    error: str = ""
    unresolved: dict[tuple[str, str], str] = {}  # noqa: RUF012
    instructions: list[str] = []  # noqa: RUF012
    missing: list[tuple[str, str]] = []  # noqa: RUF012
    ours: str = ""


class Surroundings(Record):
    """What a launch will meet. Paths are absolute.

    Of the project: `project` are config files of the working directory and its parents, nearest
    first; `code` are plugin files there; `project_folders` its `.opencode` directories, nearest
    first; `project_definitions` Markdown files of agents and commands, `skills` those of skills;
    `instructions` its instruction files, `outside` those that lead out of it; `imports` are (path,
    why) of what would answer the agent's optional imports from its working directory.

    Of the user: `user` are the global config files, weakest first, and `about_user` what there is
    to say about who wrote them; `user_code` the plugin and tool files beside them;
    `user_definitions` the Markdown files; `named` the configs that variables name; `credentials`
    the logins in `credentials_file`, see `store.credentials_in`; `accounts` are (database, kind) of
    console logins that add configuration, see `store.accounts`.

    Of the administrator: `managed` are the config files, and `about_managed` what there is to say
    about who could change them and who wrote them.

    `unreadable` are (path, why) of folders, `unreadable_store` of the agent's own data;
    `looked_through` the real paths of the Markdown folders that were read.
    """

    home: str = "/"
    directory: str = "/"
    config_directory: str = ""
    worktree: str = ""
    project: list[Config] = []  # noqa: RUF012
    code: list[str] = []  # noqa: RUF012
    user: list[Config] = []  # noqa: RUF012
    about_user: list[Finding] = []  # noqa: RUF012
    user_code: list[str] = []  # noqa: RUF012
    managed: list[Config] = []  # noqa: RUF012
    about_managed: list[Finding] = []  # noqa: RUF012
    credentials: list[tuple[str, str]] = []  # noqa: RUF012
    credentials_file: str = ""
    accounts: list[tuple[str, str]] = []  # noqa: RUF012
    imports: list[tuple[str, str]] = []  # noqa: RUF012
    instructions: list[str] = []  # noqa: RUF012
    looked_through: set[str] = set()  # noqa: RUF012
    project_folders: list[str] = []  # noqa: RUF012
    unreadable: list[tuple[str, str]] = []  # noqa: RUF012
    unreadable_store: list[tuple[str, str]] = []  # noqa: RUF012
    named: list[Config] = []  # noqa: RUF012
    outside: list[str] = []  # noqa: RUF012
    user_definitions: list[Definition] = []  # noqa: RUF012
    project_definitions: list[Definition] = []  # noqa: RUF012
    skills: list[Definition] = []  # noqa: RUF012

    def upwards(self) -> list[str]:
        """The directories from the working one to the top of its worktree."""
        found = [self.directory]
        while found[-1] != self.worktree and os.path.dirname(found[-1]) != found[-1]:
            found.append(os.path.dirname(found[-1]))
        return found

    def boundary(self, folder: str) -> str:
        """Where a file of a project's `folder` has to lie really to be given to the agent."""
        return self.worktree if self.worktree != "/" else folder


def gather(
    environ: Mapping[str, str],
    starts: list[str],
    *,
    elsewhere: bool = False,
    above: bool = False,
    root: str = "",
) -> Surroundings:
    """Look around from the directories `starts` (the first is where the agent will work).

    `environ` is the user's own environment: XDG variables decide where opencode looks.
    `elsewhere` tells that the process will not work in any of `starts` itself, `above` that the
    agent looks up to the root, past the top of a repository; `root` stands before the paths of an
    administrator's files.
    """
    home = paths.home(environ)
    found = Surroundings(
        home=home,
        directory=os.path.realpath(starts[0]),
        config_directory=os.path.join(paths.config_home(environ), "opencode"),
    )
    found.worktree = worktree(found.directory) or "/"
    meets_home = above or any(_meets_home(start, home, environ) for start in starts)
    _look_at_project(found, starts, meets_home=meets_home)
    if not elsewhere:
        for start in dict.fromkeys(os.path.realpath(start) for start in starts):
            found.imports += [i for i in imports.answers(start) if i not in found.imports]
    _look_at_user(found, environ)
    _look_at_administrators(found, root)
    _look_at_preferences(found)
    data = os.path.join(paths.data_home(environ), "opencode")
    _look_at_data(found, data, environ.get("OPENCODE_DB", ""))
    _look_at_words(found)
    for path in _named_configs(environ, found.directory):
        found.named += _configs(os.path.dirname(path), (os.path.basename(path),))
    return found


def _look_at_administrators(found: Surroundings, root: str) -> None:
    found.managed = _configs(root + MANAGED, _CONFIG_NAMES)
    met = administrators.meet([config.path for config in found.managed], root)
    found.about_managed = met.findings
    for config in found.managed:
        if config.path in met.ours:
            config.ours = met.suffix


def _named_configs(environ: Mapping[str, str], directory: str) -> list[str]:
    """The config files that variables name: opencode would load them, a launch only obeys them."""
    paths_of = []
    if environ.get("OPENCODE_CONFIG"):
        paths_of.append(os.path.join(directory, environ["OPENCODE_CONFIG"]))
    if environ.get("OPENCODE_CONFIG_DIR"):
        folder = os.path.join(directory, environ["OPENCODE_CONFIG_DIR"])
        paths_of += [os.path.join(folder, name) for name in _CONFIG_NAMES]
    return paths_of


def _look_at_words(found: Surroundings) -> None:
    """What is given to the model: instruction files, agents and commands, and their texts."""
    found.instructions = []
    for path in picked(found.directory, found.worktree):
        stays = is_file_within(path, found.boundary(os.path.dirname(path)))
        stays = stays and not is_asked_about(path)
        (found.instructions if stays else found.outside).append(path)
    for config in (*found.user, *found.project):
        folder = os.path.dirname(config.path)
        of_user = config in found.user
        top = found.boundary(found.directory if of_user else folder.removesuffix("/.opencode"))
        config.instructions, config.missing = resolve(
            config.content.get("instructions"),
            upwards=found.upwards(),
            within=top,
            home=found.home,
            beside=folder if of_user else "",
            anywhere=of_user,
        )
        config.unresolved = replace_files(config.content, folder, found.home)
    own = os.path.join(found.home, ".opencode")
    found.user_definitions = markdown.definitions(found.config_directory)
    for one in found.user_definitions:
        one.linked = True
    found.user_definitions += markdown.definitions(own)
    for folder in found.project_folders:
        if len(found.project_definitions) > MOST_DEFINITIONS:
            why = f"more than {MOST_DEFINITIONS} agents and commands lie in the project's folders"
            found.unreadable.append((folder, why))
            break
        if folder == own:
            continue  # the home is a repository
        inside = found.boundary(os.path.dirname(folder))
        for one in markdown.definitions(folder):
            if not is_file_within(one.path, inside):
                one.fields, one.error = {}, "it leads out of the project"
            found.project_definitions.append(one)


def chain(starts: list[str]) -> list[str]:
    """Every directory from each start up to the root, nearest first.

    A start that is reached through a symlink has two chains; the agent may walk either.
    """
    seen: dict[str, None] = {}
    for start in starts:
        for spelled in (os.path.abspath(start), os.path.realpath(start)):
            at = spelled
            while at not in seen:
                seen[at] = None
                at = os.path.dirname(at)
    return list(seen)


def same_directory(a: str, b: str) -> bool:
    """Whether the absolute path `a` leads to the directory `b`."""
    try:
        return os.path.isabs(a) and os.path.samefile(a, b)
    except (OSError, ValueError):
        return False


def catalogue_ids() -> frozenset[str]:
    """The provider ids of opencode's catalogue, from the data of `guard.catalog`."""
    return frozenset(name for name in entries.data("providers.json") if not name.startswith("_"))


def is_code(name: str) -> bool:
    """Whether opencode imports a file of this name from a plugin or tool directory."""
    return name.lower().endswith(_CODE_SUFFIXES)


CONFIG, CODE, MARKDOWN = "config", "code", "markdown"


def role_of(path: str) -> str:
    """What opencode takes the file at `path` for, by its names alone: CONFIG, CODE, MARKDOWN or "".

    In any case of letters: some file systems do not tell them apart. Tools of a project count
    although a launch switches them off: whoever starts the agent without it runs them.
    """
    *folders, name = path.lower().split("/")
    if name in _CONFIG_NAMES:
        return CONFIG
    for at, folder in enumerate(folders):
        pair = f"{folder}/{folders[at + 1]}" if at + 1 < len(folders) else ""
        if pair in markdown.SHARED_SKILLS and name.endswith(".md"):
            return MARKDOWN
        if folder != ".opencode" and pair != ".config/opencode":
            continue
        inside = folders[at + (1 if folder == ".opencode" else 2) :]
        if not inside:
            return CONFIG if name in _GLOBAL_NAMES else ""
        if inside[0] in (*_PLUGINS, *_TOOLS) and is_code(name):
            return CODE if len(inside) < 3 and inside[1:] != ["node_modules"] else ""
        if inside[0] in markdown.FOLDERS and name.endswith(".md"):
            return MARKDOWN
    return ""


def _meets_home(start: str, home: str, environ: Mapping[str, str]) -> bool:
    """Whether opencode gets to `home` when it looks from `start` upwards.

    It stops at the top of a repository, if git finds one there (run on 1.18.33: a plugin of
    `~/.opencode` is loaded in a plain folder of the home and below an empty `.git`, not in a
    repository). Where git may be of another mind than this look, the answer is yes.
    """
    at = os.path.realpath(start)
    if os.path.abspath(start) != at or any(name.startswith("GIT_") for name in environ):
        return True
    top = worktree(at)
    if not top or is_within(os.path.realpath(home), top):
        return True
    try:
        of_another = os.stat(top).st_uid != os.geteuid()
    except OSError:
        return True
    parts = [os.path.join(top, ".git", name) for name in ("HEAD", "objects", "refs")]
    git = any(
        os.access(os.path.join(p, "git"), os.X_OK) for p in environ.get("PATH", "").split(":") if p
    )
    return of_another or not git or not all(map(os.path.exists, parts))


def _look_at_project(found: Surroundings, starts: list[str], *, meets_home: bool) -> None:
    for directory in chain(starts):
        if len(found.project) > MOST_CONFIGS:
            why = f"over {MOST_CONFIGS} config files lie on the way up from {found.directory}"
            found.unreadable.append((directory, why))
            return
        found.project.extend(_configs(directory, _CONFIG_NAMES))
        for folder in markdown.SHARED_SKILLS:
            _look_at_markdown(found, os.path.join(directory, folder))
            if directory != found.home:
                found.skills += markdown.skills(os.path.join(directory, folder))
        dot = os.path.join(directory, ".opencode")
        if not os.path.lexists(dot) or (directory == found.home and not meets_home):
            continue
        found.project.extend(_configs(dot, _GLOBAL_NAMES))
        for folder in _PLUGINS:
            found.code.extend(_code_in(os.path.join(dot, folder), found.unreadable))
        for folder in markdown.FOLDERS:
            _look_at_markdown(found, os.path.join(dot, folder))
        for folder in markdown.SKILLS if directory != found.home else ():
            found.skills += markdown.skills(os.path.join(dot, folder))
        if is_within(directory, found.worktree) and os.path.isdir(dot):
            found.project_folders.append(dot)


def _look_at_user(found: Surroundings, environ: Mapping[str, str]) -> None:
    found.user = _configs(found.config_directory, _GLOBAL_NAMES)
    if found.user:
        known = administrators.installed_by_user(environ)
        files = [config.path for config in found.user]
        found.about_user = administrators.recognised(files, known, source="your policy")
        for config in found.user:
            if any(one.where == config.path for one in found.about_user):
                config.ours = suffix(environ, "opencode", create=False)
    # over the global files, and closed to the agent by the private home (run on 1.18.33)
    found.user += _configs(os.path.join(found.home, ".opencode"), _CONFIG_NAMES)
    for base in (found.config_directory, os.path.join(found.home, ".opencode")):
        for folder in (*_PLUGINS, *_TOOLS):
            found.user_code.extend(_code_in(os.path.join(base, folder), []))
    folders = [os.path.join(found.config_directory, folder) for folder in markdown.FOLDERS]
    folders += [os.path.join(found.home, folder) for folder in markdown.SHARED_SKILLS]
    for config in found.user:
        for folder in _skill_folders(config.content.get("skills"), found):
            folders.append(folder)
            if is_within(
                os.path.realpath(folder), os.path.realpath(found.boundary(found.directory))
            ):
                found.skills += markdown.skills(folder)
    for folder in folders:
        _look_at_markdown(found, folder)


def _look_at_markdown(found: Surroundings, folder: str) -> None:
    real = os.path.realpath(folder)
    if real not in found.looked_through:  # links can lead to one folder by many names
        found.looked_through.add(real)
        found.imports += markdown.programs(folder, found.unreadable)


def _skill_folders(skills: object, found: Surroundings) -> list[str]:
    """The folders a config names under `skills.paths`; relative ones lie in the project."""
    paths = skills.get("paths") if isinstance(skills, dict) else skills
    folders = []
    for path in paths if isinstance(paths, list) else []:
        # no folder has a name with a NUL
        if isinstance(path, str) and "://" not in path and "\0" not in path:
            home = path.startswith("~/")
            folders.append(
                os.path.join(found.home, path[2:]) if home else os.path.join(found.directory, path)
            )
    return folders


def _configs(directory: str, names: tuple[str, ...]) -> list[Config]:
    found = []
    for name in names:
        path = os.path.join(directory, name)
        try:
            content = jsonc.read(path)
        except jsonc.UnreadableError as error:
            found.append(Config(path, {}, str(error)))
            continue
        if content is not None:
            found.append(Config(path, content))
    return found


def _code_in(folder: str, unreadable: list[tuple[str, str]]) -> list[str]:
    """Files in `folder` and one level below it that the agent could import."""
    found = []
    pending = [(folder, 0)]
    while pending:
        at, depth = pending.pop()
        try:
            names = sorted(os.listdir(at))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            unreadable.append((at, error.strerror or "cannot be listed"))
            continue
        for name in names:
            path = os.path.join(at, name)
            if is_code(name):
                found.append(path)
            elif depth == 0 and name != "node_modules" and os.path.isdir(path):
                pending.append((path, 1))
    return found


def _look_at_preferences(found: Surroundings) -> None:
    if sys.platform != "darwin":
        return
    base = "/Library/Managed Preferences"
    for directory in (base, os.path.join(base, os.path.basename(found.home))):
        path = os.path.join(directory, f"{MANAGED_DOMAIN}.plist")
        try:
            raw = jsonc.read_bytes(path)
        except jsonc.UnreadableError as error:
            found.managed.append(Config(path, {}, str(error)))
            continue
        if raw is None:
            continue
        import plistlib

        try:
            content = plistlib.loads(raw)
        except Exception:  # plistlib raises whatever its parsers raise
            found.managed.append(Config(path, {}, "is not a property list"))
            continue
        found.managed.append(Config(path, content if isinstance(content, dict) else {}))


def _look_at_data(found: Surroundings, data: str, own_database: str) -> None:
    path = found.credentials_file = os.path.join(data, "auth.json")
    try:
        found.credentials = store.credentials_in(jsonc.read(path) or {})
    except jsonc.UnreadableError as error:
        found.unreadable_store.append((path, str(error)))
    for path in store.databases(data, found.unreadable_store, own_database):
        try:
            found.accounts += [(path, kind) for kind in store.accounts(path)]
        except jsonc.UnreadableError as error:
            found.unreadable_store.append((path, str(error)))
