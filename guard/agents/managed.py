"""An agent's own files for administrators, as routeguard renders them, and which of them are there.

`guard.managed` writes them as root, and remembers in a file of its own what it wrote. A launch
asks here whether a file that outranks its pin is such a one, and who could change it.

Hot-path module: `json` and `hashlib` are imported where there is a file to ask about.
"""

from __future__ import annotations

import os
import stat

from guard import paths
from guard.files.read import UnreadableError, read_bytes
from guard.findings import Finding
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

LINUX, MACOS = "linux", "macos"
"""The platforms that files are rendered for."""

POLICIES = {
    LINUX: "/etc/routeguard/policy.toml",
    MACOS: "/Library/Application Support/routeguard/policy.toml",
}
"""Where the system policy lies on each."""

NOTE = (
    "Written by `routeguard managed` from the system policy. To change it, change the policy, then "
    "run `routeguard managed install`."
)
"""What a rendered file says of itself, where its form has room for it."""

KEY_COMMAND = "key"
"""The command of routeguard that prints the gateway's key."""

_LIMIT = 1 << 20


class Machine(Record):
    """What is rendered for: the platform; the suffix that ends the providers' ids, which no
    repository knows; the absolute path of the routeguard that agents ask for the key."""

    platform: str
    suffix: str
    program: str


class Managed(Record):
    """What an agent gets: (path, text) of its files; the same as (domain, values) of macOS
    preferences, for a company's MDM; and what an administrator has to know."""

    files: list[tuple[str, str]]
    domains: list[tuple[str, dict[str, Any]]]
    notes: list[str] = []  # noqa: RUF012


class Installed(Record):
    """What `routeguard managed install` wrote here: the suffix, the routeguard that is asked for
    the key, and the SHA-256 of each file by its path."""

    suffix: str = ""
    program: str = ""
    digests: dict[str, list[str]] = {}  # noqa: RUF012

    def wrote(self, path: str, root: str = "") -> bool:
        """Whether the file at `path` is what was written there; `root` stands before paths."""
        known = self.digests.get(path.removeprefix(root))
        if not known:
            return False
        try:
            content = read_bytes(path, _LIMIT)
        except UnreadableError:
            return False
        return content is not None and digest(content) in known


def digest(content: bytes) -> str:
    """The SHA-256 of `content` in hexadecimal."""
    import hashlib

    return hashlib.sha256(content).hexdigest()


def state_file(policy: str) -> str:
    """Where it is kept what was installed, beside the system policy at `policy`."""
    return os.path.join(os.path.dirname(policy), "managed.json")


def installed(root: str = "") -> Installed:
    """What was installed on this machine, nothing where that cannot be trusted or read.

    `root` stands before the path: there, files count that belong to this user.
    """
    path = root + state_file(paths.SYSTEM_POLICY)
    if not os.path.lexists(path) or changeable(path, root)[0]:
        return Installed()
    import json

    try:
        found = json.loads(read_bytes(path, _LIMIT) or b"")
        files = found["files"]
        return Installed(
            suffix=str(found["suffix"]),
            program=str(found["program"]),
            digests={name: list(map(str, one["sha256"])) for name, one in files.items()},
        )
    except (UnreadableError, ValueError, KeyError, TypeError, AttributeError):
        return Installed()


def changeable(path: str, root: str = "") -> tuple[str, str]:
    """What others than root could change on the way to `path`, and why; two "" for nothing.

    The directories above it count: whoever writes to one puts another file there. Below a `root`
    of their own, this user may.
    """
    owners = (0, os.geteuid()) if root else (0,)
    end = os.path.realpath(root or "/")
    at, is_file = os.path.realpath(path), True
    while at not in (end, "/"):
        try:
            found = os.stat(at)
        except OSError as error:
            return at, f"it cannot be looked at: {error.strerror}"
        if found.st_uid not in owners:
            return at, f"it belongs to user id {found.st_uid}"
        # nobody takes away what is another's in a sticky directory
        if found.st_mode & 0o022 and (is_file or not found.st_mode & stat.S_ISVTX):
            return at, f"its mode is {stat.S_IMODE(found.st_mode):04o}"
        at, is_file = os.path.dirname(at), False
    return "", ""


def recognised(files: Iterable[str], known: Installed, root: str = "") -> list[Finding]:
    """A note for each of `files` that was written by `routeguard managed install`."""
    return [
        Finding(
            "RG302",
            path,
            "routeguard wrote it from the system policy, and nobody has changed it since",
            where=path,
            severity="note",
        )
        for path in files
        if known.wrote(path, root)
    ]


def judge(files: Iterable[str], root: str = "") -> list[Finding]:
    """Findings for an administrator's files that others than root could change."""
    findings = []
    for path in files:
        place, why = changeable(path, root)
        if place:
            word = f"'{place}'" if " " in place else place
            findings.append(
                Finding(
                    "RG302",
                    path,
                    f"{path} outranks the pinned route, and others than root can change {place}: "
                    f"{why}",
                    where=path,
                    fix=f"read it, then: sudo chown root {word} && sudo chmod go-w {word}",
                )
            )
    return findings
