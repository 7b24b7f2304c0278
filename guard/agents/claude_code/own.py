"""The user's own MCP servers and hooks, of which a launch takes those that the policy names.

Claude Code has no list of what may start that tells a project's from the user's: a project's
server of an allowed name or command starts, and a project's hook runs as soon as the user's does
(run on 2.1.332). So both stay closed wherever they come from, and what the policy names is handed
over as our own:

- servers as `--mcp-config`, with `--strict-mcp-config`, which takes no other. In a file without a
  name, because they may hold keys, and a command line is everybody's to read;
- hooks as a plugin of a directory of ours. `strictPluginOnlyCustomization` takes hooks of plugins
  alone, and `strictKnownMarketplaces` no other plugin: neither an installed one nor one that a
  project brings (each was run, without a terminal and in one, with a control).

Hot-path module.
"""

from __future__ import annotations

import os

from guard import paths
from guard.agents.behind import not_named
from guard.agents.suffix import unusable
from guard.files import jsonc, quick_json
from guard.files.read import UnreadableError, read_bytes, text_of
from guard.files.write import write
from guard.findings import Finding
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from guard.agents.claude_code import grammar
    from guard.policy.values import AgentRoute

SERVERS = "--mcp-config=/dev/fd/N"
"""The argument for the servers, until `prepare` knows the number of the open file."""

PLUGIN = "routeguard"
"""The name of the plugin that holds the hooks; `PLUGIN@inline` in settings."""

_LIMIT = 16 << 20
"""Bytes of `.claude.json`, which Claude Code writes and which grows with every project."""

_COMMAND = "command"
"""The one kind of hook that is handed over: others send what they see to an address or a model."""


class Own(Record):
    """What the user's settings define: `servers` by name and `hooks` by event.

    `servers_file` and `settings_file` are where; `wrong` are (path, why) of what cannot be read.
    `directory` is where the plugin goes, "" where there is nothing to hand over.
    """

    servers_file: str = ""
    settings_file: str = ""
    directory: str = ""
    servers: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - Record copies it
    hooks: dict[str, list[Any]] = {}  # noqa: RUF012
    wrong: list[tuple[str, str]] = []  # noqa: RUF012


class Chosen(Record):
    """What a launch hands over, of what `Own` has, or the administrator's file that forbids it."""

    servers: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    hooks: dict[str, list[Any]] = {}  # noqa: RUF012
    servers_closed_by: str = ""
    hooks_closed_by: str = ""

    def allowed(self) -> list[dict[str, Any]]:
        """`allowedMcpServers`: what each server is, so that its name lets no other one in."""
        return [
            {"serverUrl": entry["url"]}
            if "url" in entry
            else {"serverCommand": [entry.get("command", ""), *entry.get("args", ())]}
            for entry in self.servers.values()
        ]


def config_directory(environ: Mapping[str, str]) -> str:
    """Where Claude Code keeps the user's settings, login and sessions."""
    return environ.get("CLAUDE_CONFIG_DIR") or os.path.join(paths.home(environ), ".claude")


def read(environ: Mapping[str, str], cwd: str) -> Own:
    """What the user's own settings define for a session in `cwd`."""
    folder = config_directory(environ)
    servers_file = os.path.join(folder, ".config.json")  # its former name wins where it is there
    if not os.path.isfile(servers_file):
        home = environ.get("CLAUDE_CONFIG_DIR") or paths.home(environ)
        servers_file = os.path.join(home, ".claude.json")
    settings_file = os.path.join(folder, "settings.json")
    found = Own(servers_file=servers_file, settings_file=settings_file)
    try:
        content = _state(servers_file)
        found.servers = _tables(content.get("mcpServers"))
        for place in _places(cwd):
            found.servers.update(
                _tables(_tables(content.get("projects")).get(place, {}).get("mcpServers"))
            )
    except UnreadableError as error:
        found.wrong.append((servers_file, str(error)))
    try:
        hooks = (jsonc.read(settings_file) or {}).get("hooks")
    except UnreadableError as error:
        found.wrong.append((settings_file, str(error)))
        hooks = None
    for event, matchers in hooks.items() if isinstance(hooks, dict) else ():
        if isinstance(matchers, list):
            found.hooks[event] = matchers
    if found.servers or found.hooks:
        import zlib

        ours = os.path.join(paths.routeguard_state(environ), "claude-code")
        which = zlib.crc32(os.fsencode(os.path.abspath(folder)))
        found.directory = os.path.join(ours, f"hooks-{which:08x}")
    return found


def _state(path: str) -> dict[str, Any]:
    raw = read_bytes(path, _LIMIT)
    # most have no server at all
    if raw is None or b'"mcpServers"' not in raw:
        return {}
    try:
        content = quick_json.loads(text_of(raw, _LIMIT))
    except (ValueError, RecursionError):
        raise UnreadableError("is not JSON") from None
    return content if isinstance(content, dict) else {}


def _tables(value: object) -> dict[str, Any]:
    """The entries of the object `value` that are objects themselves."""
    if not isinstance(value, dict):
        return {}
    return {name: entry for name, entry in value.items() if isinstance(entry, dict)}


def _places(cwd: str) -> list[str]:
    """Under which names `.claude.json` may keep what is the user's for the project of `cwd`.

    By the root of the repository, the first checkout's for a worktree, and by the directory itself
    where there is none (each was run).
    """
    found = []
    for start in dict.fromkeys((cwd, os.path.realpath(cwd))):
        at = start
        while at != os.path.dirname(at) and not os.path.lexists(os.path.join(at, ".git")):
            at = os.path.dirname(at)
        root = at if os.path.lexists(os.path.join(at, ".git")) else start
        found.append(_first_checkout(root))
    return found


def _first_checkout(root: str) -> str:
    try:
        text = (read_bytes(os.path.join(root, ".git"), 4096) or b"").decode("utf-8", "replace")
    except UnreadableError:
        return root
    main, found, _ = text.strip().removeprefix("gitdir:").strip().partition("/.git/worktrees/")
    return main if found else root


def choose(own: Own, wanted: AgentRoute, invocation: grammar.Invocation) -> Chosen:
    """What of `own` the policy names, and the words that were typed do not take away again."""
    chosen = Chosen()
    if invocation.named("--bare", "--restricted", "--safe-mode"):
        return chosen
    if not invocation.named("--strict-mcp-config"):
        chosen.servers = {name: own.servers[name] for name in wanted.mcp if name in own.servers}
    for event in wanted.hooks:
        matchers = [
            {**matcher, "hooks": hooks}
            for matcher in own.hooks.get(event, ())
            if isinstance(matcher, dict) and (hooks := _commands(matcher.get("hooks")))
        ]
        if matchers:
            chosen.hooks[event] = matchers
    return chosen


def _commands(hooks: object) -> list[Any]:
    if not isinstance(hooks, list):
        return []
    return [one for one in hooks if isinstance(one, dict) and one.get("type") == _COMMAND]


def findings(own: Own, wanted: AgentRoute, chosen: Chosen) -> list[Finding]:
    """What is kept out of a launch, and how to keep it; nothing of it stops one."""
    found = [
        Finding(
            "RG301",
            path,
            f"{path} {why}: what your policy names of it is not started",
            where=path,
            fix=f"repair {path}",
            severity="warning",
        )
        for path, why in own.wrong
        if wanted.mcp or wanted.hooks
    ]
    for key, what, where, names in (
        ("mcp", "MCP servers", own.servers_file, own.servers),
        ("hooks", "hooks", own.settings_file, own.hooks),
    ):
        named = getattr(wanted, key)
        out = sorted(name for name in names if name not in named)
        if out:
            found.append(not_named(key, what, where, wanted, out))
    for key, path in (("mcp", chosen.servers_closed_by), ("hooks", chosen.hooks_closed_by)):
        if path:
            found.append(
                Finding(
                    "RG301",
                    key,
                    f"[agents.{wanted.agent}] {key} of your policy does not count: an "
                    "administrator's file decides that",
                    where=path,
                    severity="warning",
                )
            )
    others = sorted(
        event
        for event in wanted.hooks
        for matcher in own.hooks.get(event, ())
        if isinstance(matcher, dict) and _commands(matcher.get("hooks")) != matcher.get("hooks")
    )
    if others and chosen.hooks:
        found.append(
            Finding(
                "RG301",
                "hooks",
                f"of the hooks of {', '.join(dict.fromkeys(others))} only those that start a "
                "command run",
                where=own.settings_file,
                severity="note",
            )
        )
    return found


def prepare(own: Own, chosen: Chosen, argv: list[str]) -> None:
    """Make what `argv` refers to: the plugin, and the open file of the servers.

    Raises GuardError where the directory is not ours to write.
    """
    if not chosen.servers and not chosen.hooks:
        return
    folder = os.path.dirname(own.directory)
    paths.private_directory(os.path.dirname(folder))
    paths.private_directory(folder)
    try:
        if chosen.hooks:
            about = {"name": PLUGIN, "version": "1.0.0", "description": "Hooks of your settings"}
            _write(own.directory, ".claude-plugin", "plugin.json", quick_json.dumps(about))
            _write(own.directory, "hooks", "hooks.json", quick_json.dumps({"hooks": chosen.hooks}))
        if chosen.servers:
            text = quick_json.dumps({"mcpServers": chosen.servers})
            argv[argv.index(SERVERS)] = f"--mcp-config=/dev/fd/{_open_file(folder, text)}"
    except OSError as error:
        raise unusable(error.filename or folder, error.strerror or "") from None


def _write(plugin: str, folder: str, name: str, text: str) -> None:
    path = os.path.join(paths.private_directory(plugin), folder)
    write(os.path.join(paths.private_directory(path), name), text.encode())


def _open_file(folder: str, text: str) -> int:
    """The number of an open file that holds `text`, has no name, and goes on to the agent."""
    path = os.path.join(folder, f".servers-{os.getpid()}-{os.urandom(4).hex()}")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    os.unlink(path)
    left = memoryview(text.encode())
    while left:
        left = left[os.write(handle, left) :]
    os.lseek(handle, 0, os.SEEK_SET)
    os.set_inheritable(handle, True)
    return handle
