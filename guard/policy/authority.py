"""Who could change a file that decides where launches go, such as that of `gateway.ca`.

Whoever writes to that one, or to a directory on the way to it, decides which servers count as the
gateway. So nobody but root and this user may, and no project: that is looked at before each
launch. What is in the file is looked at where the policy is compiled.

Hot-path module; `re` and `ssl` are imported on use.
"""

from __future__ import annotations

import os
import stat

from guard import paths
from guard.errors import PolicyError
from guard.files.around import way
from guard.files.read import UnreadableError, read_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = (0,)
"""The owners of what an administrator's files are: root, whose group may not write either."""

MAX_BYTES = 4 << 20
"""Bytes of a file of certificates. Debian's bundle of every public authority has 220 KB."""


def refuse_changeable(path: str, environ: Mapping[str, str], cwd: str) -> None:
    """Raise PolicyError if others, or the project around `cwd`, could change the file at `path`.

    Beside the user's own policy it lies as well as that does, whatever is around (dotfiles in git).
    """
    why = changeable(path)
    beside = os.path.dirname(path) == paths.routeguard_config(environ) and not os.path.islink(path)
    tree = "" if why or beside else paths.around(environ, cwd).tree_of(path)
    if tree:
        why = f"it lies in the project {tree}, which could change whom the agent trusts"
    if why:
        raise PolicyError(
            "the certificates of gateway.ca cannot be trusted", where=path, why=why, fix=FIX
        )


FIX = "copy it to a place that only you or root can change, such as ~/.config/routeguard/ca.pem"


def changeable(path: str) -> str:
    """Who else could change the file at `path` (absolute), as a clause; "" for nobody.

    Every link on the way counts, and every directory above each of them.
    """
    return changed_by_others(path, (0, os.geteuid()))[1]


def changed_by_others(path: str, owners: tuple[int, ...], top: str = "") -> tuple[str, str]:
    """What others than the users `owners` could change on the way to `path`, and why, as a clause;
    two "" for nothing. What lies above the directory `top` does not count.
    """
    seen = {os.path.realpath(top)} if top else set()
    *links, real = way(path)
    for start in (real, *links):
        at = start
        while at not in seen:
            seen.add(at)
            why = _changed_by(at, owners, is_file=at == real)
            if why:
                return at, why
            at = os.path.dirname(at)
    return "", ""


def _changed_by(path: str, owners: tuple[int, ...], *, is_file: bool) -> str:
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        return f"{path} cannot be looked at: {getattr(error, 'strerror', '') or error}"
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in owners:
        return f"{path} belongs to user id {found.st_uid}"
    # nobody takes away what is another's in a sticky directory; and where every user has a group
    # of their own, new directories are often the group's to write (umask 002)
    own_group = owners != ROOT and found.st_uid == found.st_gid == os.geteuid()
    others = 0o002 if own_group and not is_file else 0o022
    if mode & others and (is_file or not mode & stat.S_ISVTX):
        return f"others can write {path}: its mode is {mode:04o}"
    return ""


def give_to_root(place: str) -> str:
    """The command after which root alone can change `place`."""
    import shlex

    word = shlex.quote(place)
    return f"sudo chown root {word} && sudo chmod go-w {word}"


def unusable(path: str) -> tuple[str, str]:
    """Why the file at `path` cannot be `gateway.ca`, and the fix; two "" if it can.

    It has to be PEM: from anything else an agent may take no certificate, and say so only
    in a warning (run on the first one). A private key has no place in it.
    """
    import re
    import shlex

    try:
        data = read_bytes(path, MAX_BYTES)
    except UnreadableError as error:
        return f"cannot be read: the file {error}", "make it readable for you"
    if data is None:
        return "names a file that does not exist", "check the path"
    why = changeable(path)
    if why:
        return f"cannot be trusted: {why}", FIX
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    blocks = re.findall(begin + rb"[^-]*" + end, data)
    word = shlex.quote(path)
    if b"PRIVATE KEY-----" in data:
        return (
            "holds a private key, and needs the certificate alone",
            f"openssl x509 -in {word} -out ca.pem",
        )
    if not blocks or len(blocks) != data.count(begin):
        return (
            "is not a PEM file of certificates (-----BEGIN CERTIFICATE-----)",
            f"openssl x509 -inform der -in {word} -out ca.pem",
        )
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=b"\n".join(blocks).decode("ascii"))
    except (ssl.SSLError, ValueError):
        return "holds a certificate that cannot be read", f"openssl x509 -noout -text -in {word}"
    return "", ""
