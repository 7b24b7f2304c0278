"""Where managed files lie, and the one way in which they are read and written there.

A `Ground` is this machine, a directory that stands for its root (an image, a package, an MDM's
tree), or a user's home.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guard import paths
from guard.agents.guarded import refuse_inside
from guard.agents.managed import changeable
from guard.errors import ExitCode, GuardError
from guard.files.read import NotRegularError, TooLargeError, UnreadableError, read_bytes
from guard.files.write import write
from guard.policy.authority import changed_by_others, give_to_root

if TYPE_CHECKING:
    from collections.abc import Mapping


def under(root: str, path: str) -> str:
    """`path` below `root`."""
    return os.path.join(root, path.lstrip("/")) if root not in ("", "/") else path


@dataclass(frozen=True, slots=True)
class Ground:
    """Where files lie: below `root`. `memory` is the path of the file that remembers them. `own`
    tells that they are this user's and not root's."""

    root: str
    memory: str
    own: bool = False

    def at(self, path: str) -> str:
        """`path` below the root."""
        return under(self.root, path)

    def command(self, words: str) -> str:
        """`routeguard managed WORDS` for these files, as it is typed."""
        if self.own:
            return f"routeguard managed {words} --user"
        there = "" if self.root in ("", "/") else f" --root {shlex.quote(self.root)}"
        sudo = "" if words in ("diff", "status") else "sudo "
        return f"{sudo}routeguard managed {words}{there}"

    def move_away(self, path: str) -> str:
        """What to type where something is at `path` that must not be there."""
        word, aside = shlex.quote(path), shlex.quote(f"{path}.old")
        return f"look at it, then move it away:\n{'' if self.own else 'sudo '}mv {word} {aside}"

    # Who may change what is there -----------------------------------------------------------------

    @property
    def owner(self) -> str:
        """Who may change the files, as a word."""
        return "you" if self.own else "root"

    def unsafe(self, path: str) -> tuple[str, str]:
        """What others than the owner could change on the way to `path`, and why; "" for nothing."""
        if self.own:
            return changed_by_others(path, (0, os.geteuid()))
        return changeable(path, "" if self.root in ("", "/") else self.root)

    def require_owner(self, environ: Mapping[str, str], again: str) -> None:
        """Raise GuardError where the files are not this process's to write.

        `environ` is the user's own; `again` is what is typed to do the same as root. Below a root
        of their own, everybody may.
        """
        if not self.own and self.root not in ("", "/"):
            return
        if not self.own and os.geteuid() != 0:
            raise GuardError(
                "nothing was changed: files for administrators are root's",
                fix=again,
                exit_code=ExitCode.FINDINGS,
            )
        refuse_inside(os.environ, "nothing was changed: an agent cannot change what holds it")
        if not self.own:
            return
        home = paths.home(environ)
        if os.path.isdir(home) and os.stat(home).st_uid != os.geteuid():
            raise GuardError(
                "nothing was changed: --user writes your own file",
                where=home,
                why="this home belongs to another user",
                fix="run it as that user, without sudo",
                exit_code=ExitCode.FINDINGS,
            )

    def require_safe(self, path: str, what: str) -> None:
        """Raise GuardError with `what` where others than the owner could change what is there."""
        place, why = self.unsafe(path)
        if place:
            raise GuardError(
                what,
                where=place,
                why=why,
                fix=f"chmod go-w {shlex.quote(place)}" if self.own else give_to_root(place),
                exit_code=ExitCode.FINDINGS,
            )

    def require_directory(self, path: str) -> None:
        """Raise GuardError where the directory of the file `path` cannot be made, or others than
        the owner could change it."""
        at = os.path.dirname(self.at(path))
        while not os.path.lexists(at):
            at = os.path.dirname(at)
        if not os.path.isdir(at):
            raise GuardError(
                "nothing was written: something else lies where a directory has to be",
                where=at,
                fix=self.move_away(at),
                exit_code=ExitCode.FINDINGS,
            )
        self.require_safe(
            at, f"nothing was changed: others than {self.owner} could change it there"
        )

    def require_inside(self, path: str) -> None:
        """Raise GuardError where a link on the way to `path` leads out of the root.

        A link of an image that is meant for its own root leads into ours.
        """
        if self.root in ("", "/"):
            return
        top, at = os.path.realpath(self.root), self.root
        for part in path.strip("/").split("/")[:-1]:
            at = os.path.join(at, part)
            real = os.path.realpath(at)
            if os.path.commonpath((real, top)) != top:
                raise GuardError(
                    f"a link leads out of {self.root}, and nothing was changed",
                    where=at,
                    why=f"it leads to {real}",
                    fix=self.move_away(at),
                    exit_code=ExitCode.FINDINGS,
                )

    # What is read and written there ---------------------------------------------------------------

    def content(self, path: str) -> bytes | None:
        """What is in the file `path`, None for no file. Raises GuardError if it cannot be read."""
        self.require_inside(path)
        at = self.at(path)
        try:
            return read_bytes(at, links=False)
        except UnreadableError as error:
            movable = isinstance(error, NotRegularError | TooLargeError)
            raise GuardError(
                "cannot look at a file that routeguard would write",
                where=at,
                why=f"it {error}" if movable else str(error),
                fix=self.move_away(at) if movable else f"ls -l {shlex.quote(at)}",
                exit_code=ExitCode.CONFIG,
            ) from None

    def put(self, at: str, content: bytes) -> None:
        """Write `content` whole at `at`, a path that is already below the root, with its mode.

        Raises GuardError.
        """
        try:
            self.make(os.path.dirname(at))
            # the random id of a user's provider is for this user alone
            write(at, content, 0o600 if self.own else 0o644, sync=True)
        except OSError as error:
            raise not_written(at, error) from None

    def make(self, path: str) -> None:
        """Make the directory `path`, and what is missing above it, to which `os.makedirs` would
        give another mode, as the umask would. Raises OSError."""
        if not os.path.isdir(path):
            self.make(os.path.dirname(path))
            mode = 0o700 if self.own else 0o755
            os.mkdir(path, mode)
            os.chmod(path, mode)


def not_written(path: str, error: OSError) -> GuardError:
    """What is said where the file at `path` could not be written, moved or removed."""
    return GuardError(
        "a file could not be written",
        where=path,
        why=error.strerror or str(error),
        fix="run it again when it can; the file is as it was",
        exit_code=ExitCode.FINDINGS,
    )
