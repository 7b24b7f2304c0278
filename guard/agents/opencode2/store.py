"""What opencode 2.x keeps between launches: its database, and the registration of its service.

The database is the user's own, for the sake of the history, so it is looked at before each launch,
read-only. The service is found through `service.json` in the state directory (run on a build of
July 2026).

Hot-path module; SQLite is loaded only where there is a database.
"""

from __future__ import annotations

import os

from guard.agents.opencode.store import Database, databases, session_directories
from guard.files import jsonc, quick_json
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SOURCES = "wellknown:sources"
"""Key of the servers that add configuration to every launch, in the table `kv`."""

CONSOLE = "opencode"
"""The integration of a login to the Console, whose policies have the final say."""


class Store(Record):
    """What the databases of one data directory hold.

    `sources` are (database, URL) of servers that add configuration, the URL "" where it cannot be
    told; `console` are the databases with a login to the Console; `stored` are the integrations
    with another login; `unreadable` are (path, why).
    """

    sources: list[tuple[str, str]] = []  # noqa: RUF012
    console: list[str] = []  # noqa: RUF012
    stored: list[str] = []  # noqa: RUF012
    unreadable: list[tuple[str, str]] = []  # noqa: RUF012


def look(data: str) -> Store:
    """Look at the databases in `data`, opencode's data directory."""
    found = Store()
    for path in databases(data, found.unreadable):
        try:
            _look_at(path, found)
        except jsonc.UnreadableError as error:
            found.unreadable.append((path, str(error)))
    return found


def _look_at(path: str, found: Store) -> None:
    with Database(path) as database:
        if database.columns("kv"):
            for (value,) in database.rows("select value from kv where key = ?", (SOURCES,)):
                found.sources += [(path, url) for url in _urls(value)]
        if database.columns("credential"):
            for (name,) in database.rows("select distinct integration_id from credential"):
                if name == CONSOLE:
                    found.console.append(path)
                elif str(name) not in found.stored:
                    found.stored.append(str(name))
        if path not in found.console and database.columns("account"):
            found.console += [path for _ in database.rows("select 1 from account limit 1")]


def sessions(data: str, named: list[str], sibling_of: str) -> list[str]:
    """The directories of the sessions `named`, and of those of the project at `sibling_of`.

    As far as they can be told: the columns are those of a preview of the core (1.18.18 of
    `@opencode-ai/cli-linux-x64`, run). Where they are others, the project's switch alone keeps the
    configuration of such a directory out.
    """
    if not named and not sibling_of:
        return []
    unreadable: list[tuple[str, str]] = []
    known = {"id", "directory", "project_id"}
    try:
        for path in databases(data, unreadable):
            with Database(path) as database:
                if not known <= {*database.columns("session")}:
                    return []
    except jsonc.UnreadableError:
        return []  # told by `look`
    return session_directories(data, named, sibling_of)[0]


def _urls(value: object) -> list[str]:
    """The URLs in the stored list of sources; [""] for one that is not empty and has none."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    try:
        below: list[Any] = [quick_json.loads(value) if isinstance(value, str) else value]
    except (ValueError, RecursionError):
        below = [value]
    if below[0] in (None, "", [], {}):
        return []
    urls: list[str] = []
    while below:
        item = below.pop()
        if isinstance(item, str) and "://" in item:
            urls.append(item)
        elif isinstance(item, dict):
            below += [*item, *item.values()]
        elif isinstance(item, list):
            below += item
    return sorted(set(urls)) or [""]


class Service(Record):
    """A background service that runs: its process, and the file by which it is found."""

    pid: int
    path: str


def service(state: str) -> Service | None:
    """The service registered below the state home `state`, if its process is there."""
    path = os.path.join(state, "opencode", "service.json")
    try:
        content = jsonc.read(path) or {}
    except jsonc.UnreadableError:
        return None
    pid = content.get("pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 1:
        return None
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except OSError:
        pass  # somebody else's, and it runs
    return Service(pid, path)
