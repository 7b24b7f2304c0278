"""An agent's own files for administrators, as routeguard renders them, and which of them are there.

`guard.managed` writes them as root, and remembers in a file of its own what it wrote. A launch
asks here whether a file that outranks its pin is such a one, and who could change it.

Hot-path module: `hashlib` is imported where there is a file to ask about.
"""

from __future__ import annotations

import os

from guard import paths
from guard.files import quick_json
from guard.files.read import UnreadableError, read_bytes
from guard.findings import Finding
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
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
    return _remembered(path)


def user_state_file(environ: Mapping[str, str]) -> str:
    """Where it is kept what was installed for the user of `environ` alone (`--user`)."""
    return os.path.join(paths.routeguard_state(environ), "managed.json")


def installed_by_user(environ: Mapping[str, str]) -> Installed:
    """The same of `managed install --user`, nothing where others could change what it says."""
    path = user_state_file(environ)
    if not os.path.lexists(path):
        return Installed()
    from guard.policy.authority import changed_by_others

    if changed_by_others(path, (0, os.geteuid()))[0]:
        return Installed()
    return _remembered(path)


def _remembered(path: str) -> Installed:
    try:
        return remembered(read_bytes(path, _LIMIT) or b"")[0]
    except (UnreadableError, ValueError):
        return Installed()


def remembered(raw: bytes) -> tuple[Installed, dict[str, str], tuple[str, ...]]:
    """What a file with the content `raw` remembers: what was installed, the SHA-256 of what lay at
    each path before ("" for nothing), and the directories that were made, topmost first.

    Raises ValueError for anything but what `guard.managed` writes.
    """
    found = quick_json.loads(raw.decode())
    try:
        files, made = found["files"], tuple(found["made"])
        if not all(_is_whole(path) for path in (*files, *made)):
            raise ValueError
        digests = {path: list(map(str, one["sha256"])) for path, one in files.items()}
        before = {path: str(one["before"]) for path, one in files.items()}
        return Installed(str(found["suffix"]), str(found["program"]), digests), before, made
    except (KeyError, TypeError, AttributeError):
        raise ValueError from None


def _is_whole(path: str) -> bool:
    """Whether `path` is absolute and leads nowhere else, as ours are: below a root, too."""
    return path[:1] == "/" != path[1:2] and path == os.path.normpath(path)


def changeable(path: str, root: str = "") -> tuple[str, str]:
    """What others than root could change on the way to `path`, and why, as a clause; two "" for
    nothing. Below a `root` of their own, this user may.
    """
    # few machines have such files
    from guard.policy.authority import ROOT, changed_by_others

    owners = (0, os.geteuid()) if root and os.geteuid() else ROOT
    return changed_by_others(path, owners, root)


class Met(Record):
    """An administrator's files as a launch meets them: what there is to say about who could change
    them and which of them routeguard wrote, the paths of these, and the suffix of the provider ids
    in them, "" where there are none."""

    findings: list[Finding] = []  # noqa: RUF012
    ours: tuple[str, ...] = ()
    suffix: str = ""


def meet(files: Iterable[str], root: str = "") -> Met:
    """What there is to say about `files`, those of an administrator that are there; `root` stands
    before their paths."""
    files = list(files)
    if not files:
        return Met()
    known = installed(root)
    notes = recognised(files, known, root)
    ours = tuple(note.where for note in notes)
    return Met([*judge(files, root), *notes], ours, known.suffix if ours else "")


def recognised(
    files: Iterable[str], known: Installed, root: str = "", source: str = "the system policy"
) -> list[Finding]:
    """A note for each of `files` that was written by `routeguard managed install` from `source`."""
    return [
        Finding(
            "RG302",
            path,
            f"routeguard wrote it from {source}, and nobody has changed it since",
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
            from guard.policy.authority import give_to_root

            findings.append(
                Finding(
                    "RG302",
                    path,
                    f"{path} outranks the pinned route, and others than root could change it: "
                    f"{why}",
                    where=path,
                    fix=f"read it, then:\n{give_to_root(place)}",
                )
            )
    return findings
