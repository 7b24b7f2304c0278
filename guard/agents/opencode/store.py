"""What opencode 1.x keeps between launches: stored logins, sessions, logins to its console.

Read-only. The databases are the user's own, and opencode 2 keeps its own tables in the same ones.

Hot-path module; SQLite is loaded only where there is a database.
"""

from __future__ import annotations

import os
import stat

from guard.agents.keys import FORBIDDEN
from guard.files import jsonc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Self

OAUTH = "oauth"
"""The type of a login that is renewed over the network."""

WELLKNOWN = "wellknown"
"""The type of a login whose server adds configuration to every launch."""

ORGANISATION = "organisation"
"""A login to the opencode console with an active organisation, whose config outranks ours."""

CONSOLE = "console"
"""A login to the opencode console as opencode 2 stores it."""

_PATIENCE = 2.0
"""Seconds to wait for a database that another opencode has locked; it does so for moments only."""

_FIELDS = {"api": ("key",), OAUTH: ("refresh", "access")}
"""What a login of each type holds at least, as text (read in the source of 1.18.33)."""


def credentials_in(store: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(provider id, type) of each login in the content of an `auth.json`: api, oauth, wellknown.

    Raises UnreadableError, which names the entry, for what is none of these. opencode 1.18.33
    passes over such an entry in the file, but takes it from `OPENCODE_AUTH_CONTENT` as it stands
    (read in its source, and run), and another version may make something of it.
    """
    found = []
    for name, entry in store.items():
        kind = entry.get("type") if isinstance(entry, dict) else None
        if kind == WELLKNOWN:
            found.append((name, WELLKNOWN))
            continue
        # the name goes into the pinned config, where opencode replaces `{env:…}` as in any text
        if any(c in FORBIDDEN for c in name) or not name.isprintable():
            raise jsonc.UnreadableError("names a provider with a quote, brace or control character")
        fields = _FIELDS.get(kind) if isinstance(kind, str) else None
        if fields is None or not all(isinstance(entry.get(field), str) for field in fields):
            raise jsonc.UnreadableError(
                f"its entry {name[:80]!r} is not a login that opencode knows"
            )
        found.append((name, str(kind)))
    return found


_SIBLINGS = (
    "select distinct directory from session where project_id in (select project_id from session"
    " where directory = ? and project_id != 'global')"
)


def session_directories(
    data: str, sessions: list[str], sibling_of: str
) -> tuple[list[str], list[tuple[str, str]]]:
    """The directories of `sessions`, and of every session that shares a project with `sibling_of`.

    `data` is the agent's data directory. Clones and worktrees of one repository are one project
    (it is told by its first commit), and the TUI offers all of its sessions; "global" is no
    project. The columns were read on 1.18.33. Second comes what cannot be read, as (path, why).
    """
    found: dict[str, None] = {}
    unreadable: list[tuple[str, str]] = []
    for path in databases(data, unreadable):
        try:
            with Database(path) as database:
                answers = [
                    database.rows("select directory from session where id = ?", (session,))
                    for session in sessions
                ]
                if sibling_of:
                    answers.append(database.rows(_SIBLINGS, (sibling_of,)))
            found.update((str(row[0]), None) for rows in answers for row in rows)
        except jsonc.UnreadableError as error:
            unreadable.append((path, str(error)))
    return [directory for directory in found if os.path.isdir(directory)], unreadable


def databases(data: str, unreadable: list[tuple[str, str]], own: str = "") -> list[str]:
    """Every database that a build of opencode keeps in `data`, and the one that `own` names.

    `opencode.db`, or `opencode-CHANNEL.db` where the build's channel is another than latest, beta
    and prod; `own` is the value of OPENCODE_DB (read in the source of 1.18.33). opencode finds its
    database in a directory that cannot be listed, too (run): that one goes into `unreadable`.
    """
    try:
        names = sorted(os.listdir(data))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        unreadable.append((data, error.strerror or "cannot be listed"))
        return []
    found = [os.path.join(data, n) for n in names if _is_database(n.lower())]
    if own and own != ":memory:" and os.path.exists(os.path.join(data, own)):
        found.append(os.path.join(data, own))
    return found


def _is_database(name: str) -> bool:
    return name.startswith("opencode") and name.endswith(".db")


class Database:
    """The database at `path`, open for questions inside of a `with`.

    Empty where there is none yet. Nothing is read past the log of changes: opencode writes into it
    while it runs, and the database itself can be older by hours. Where SQLite cannot open that log
    (a read-only directory), opencode does not start either (run on 1.18.33). Raises
    UnreadableError where it is opened and where it is asked.
    """

    def __init__(self, path: str) -> None:
        self._connection: Any = None
        try:
            if not stat.S_ISREG(os.stat(path).st_mode) or os.path.getsize(path) == 0:
                return
        except FileNotFoundError:
            return
        except OSError as error:
            raise jsonc.UnreadableError(error.strerror or "cannot be read") from None
        # the C half of `sqlite3`, which loads `datetime` besides, for types that no column has here
        import _sqlite3

        self._error = _sqlite3.Error
        try:
            address = f"file:{_quoted(path)}?mode=ro"
            self._connection = _sqlite3.connect(address, uri=True, timeout=_PATIENCE)
        except _sqlite3.Error as error:
            raise _unreadable(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def rows(self, query: str, values: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        """What `query` answers; [] where there is no such table.

        Bytes of `values` that are no UTF-8 are asked for as JavaScript has them, by U+FFFD.
        """
        if self._connection is None:
            return []
        texts = [os.fsencode(value).decode("utf-8", "replace") for value in values]
        try:
            found: list[tuple[Any, ...]] = self._connection.execute(query, texts).fetchall()
        except self._error as error:
            if "no such table" in str(error):
                return []
            raise _unreadable(error) from None
        return found

    def columns(self, table: str) -> list[str]:
        """The names of the columns of `table`, [] for no such table."""
        return [row[0] for row in self.rows("select name from pragma_table_info(?)", (table,))]


def _quoted(path: str) -> str:
    """`path` as SQLite reads it in an address: `urllib.parse` takes longer than the question."""
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in os.fsencode(path))


_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~/"


def _unreadable(error: Exception) -> jsonc.UnreadableError:
    if "locked" in str(error) or "busy" in str(error):
        return jsonc.UnreadableError("another program has locked it")
    return jsonc.UnreadableError(f"is not a database that can be read ({error})")


def accounts(path: str) -> list[str]:
    """The logins in a database by which a server adds configuration: ORGANISATION, CONSOLE.

    `account_state` names the active organisation, which releases before March 2026 kept in
    `account`, and which the next start moves over (read in the source of 1.18.33). `credential`
    holds the logins of opencode 2; the second loader of 1.18.33 asks the server of the one called
    opencode for providers (run). Raises UnreadableError.
    """
    found = []
    with Database(path) as database:
        state = database.columns("account_state")
        query = "select 1 from account where selected_org_id is not null limit 1"
        if "active_org_id" in state:
            query = "select 1 from account_state where active_org_id is not null limit 1"
        if state and database.rows(query):
            found.append(ORGANISATION)
        query = "select 1 from credential where integration_id = 'opencode' limit 1"
        if "integration_id" in database.columns("credential") and database.rows(query):
            found.append(CONSOLE)
    return found
