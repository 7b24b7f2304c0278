"""What setup wrote, taken away again, byte for byte. Runs with the standard library alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from collections.abc import Mapping

from guard import paths
from guard.files.read import UnreadableError, read_bytes
from guard.hook import SHELLS
from guard.install import keyring, launcher, shims, start_files
from guard.install.files import completion_file, manual_file
from guard.install.start_files import Say
from guard.install.state import MADE, alone, made_directories
from guard.install.way import CLONE, environment_link, launcher_of_others, versions
from guard.policy.places import user_policy


class _Room:
    """Where nothing can be written, what goes anyway goes first; once."""

    def __init__(self, environ: Mapping[str, str], *, allowed: bool) -> None:
        self._environ = environ
        self._left = allowed

    def make(self) -> bool:
        """Whether room was made: it is worth trying again."""
        if not self._left:
            return False
        self._left = False
        shutil.rmtree(paths.routeguard_cache(self._environ), ignore_errors=True)
        shutil.rmtree(versions(self._environ), ignore_errors=True)
        return True


def run(environ: Mapping[str, str], say: Say, *, purge: bool, dry_run: bool) -> bool:
    """Remove what setup wrote, and say each; `purge`: also the policy, the state, a stored key.

    Returns whether shells that are open may have the hook: a start file loaded it, or this shell
    has it.

    Raises NotPossibleError, before anything was removed, where a start file cannot be changed.
    """
    files = start_files.all_files(environ)
    for path in files:
        if start_files.has_block(path):
            start_files.check(path, instead="")
    hooked = any(map(start_files.has_block, files)) or paths.HOOK in environ
    data = paths.routeguard_data(environ)
    if dry_run or not os.path.isdir(data):
        _remove(environ, files, say, purge=purge, dry_run=dry_run)
        return hooked
    with alone(environ):
        _remove(environ, files, say, purge=purge, dry_run=False)
        _remove_data(environ, say)
    return hooked


def ended(*, hooked: bool, stays: bool) -> list[str]:
    """Lines said at the end: what the shells do that are open now, where they may be `hooked`.

    `stays`: the program is still installed, so their wrappers find it.
    """
    if not hooked:
        return ["Done."]
    if stays:
        return ["Done. Shells that are open now stay guarded until they end."]
    return [
        "Done. Shells that are open now block coding agents; to start one of them anew:",
        'exec "$SHELL"',
    ]


def _remove(
    environ: Mapping[str, str], files: list[str], say: Say, *, purge: bool, dry_run: bool
) -> None:
    room = _Room(environ, allowed=not dry_run)
    # The shells first: one that starts while there is a block but no launcher would refuse.
    for path in files:
        start_files.remove_block(path, say, dry_run=dry_run, make_room=room.make)
        if not dry_run:
            start_files.remove_leftovers(path)
    changes = shims.uninstall(environ, dry_run=dry_run)
    if changes:
        say("shims", paths.own_shims(environ) + "/")
    for change in changes:
        if change.action == "keep":
            say("kept", f"{change.path} (not made by routeguard)")
    for shell in SHELLS:
        _remove_file(completion_file(environ, shell), "completion", say, dry_run=dry_run)
    _remove_file(manual_file(environ), "manual", say, dry_run=dry_run)
    _remove_services(environ, say, dry_run=dry_run)
    for path in launcher.places(environ):
        if launcher.is_ours(path):
            _remove_file(path, "launcher", say, dry_run=dry_run)
        elif os.path.lexists(path) and os.path.lexists(environment_link(environ)):
            say("kept", f"{path} (not made by routeguard setup)")
    if purge:
        _remove_stored_key(environ, say, dry_run=dry_run)
    link = environment_link(environ)
    if os.path.islink(link) or os.path.isdir(versions(environ)):
        say("remove", f"{link}, {versions(environ)}/")
        if not dry_run:
            if os.path.islink(link):
                os.unlink(link)
            shutil.rmtree(versions(environ), ignore_errors=True)
    _remove_directory(paths.routeguard_cache(environ), say, dry_run=dry_run)
    for path in (paths.routeguard_state(environ), paths.routeguard_config(environ)):
        if purge:
            _remove_directory(path, say, dry_run=dry_run)
        elif os.path.isdir(path):
            say("kept", f"{path}/ (--purge removes it)")


def _remove_file(path: str, word: str, say: Say, *, dry_run: bool) -> None:
    if os.path.lexists(path):
        say(word, path)
        if not dry_run:
            os.unlink(path)


def _remove_directory(path: str, say: Say, *, dry_run: bool) -> None:
    if os.path.isdir(path):
        say("remove", f"{path}/")
        if not dry_run:
            shutil.rmtree(path, ignore_errors=True)


def _remove_data(environ: Mapping[str, str], say: Say) -> None:
    """Our data directory, and the directories that were not there before it, where empty."""
    data = paths.routeguard_data(environ)
    made = made_directories(environ)
    for name in (MADE, CLONE, "lock"):  # the last of an earlier version: a link, or a directory
        path = os.path.join(data, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.lexists(path):
            os.unlink(path)
    for name in os.listdir(data):
        if name.startswith("venv.new."):
            os.unlink(os.path.join(data, name))
    _remove_if_empty(os.path.dirname(launcher_of_others(environ)))
    folder = os.path.dirname(manual_file(environ))
    if _remove_if_empty(folder):
        _remove_if_empty(os.path.dirname(folder))
    if not _remove_if_empty(data):
        say("kept", f"{data}/ (not empty)")
    for path in made:
        _remove_if_empty(path)


def _remove_if_empty(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def _remove_stored_key(environ: Mapping[str, str], say: Say, *, dry_run: bool) -> None:
    """Take the gateway key out of the system's keyring, if the policy reads it from there."""
    command = key_command(environ)
    name = keyring.stored_name(command)
    if name:
        say("key", f"{name} in the system's keyring")
        if not dry_run and not keyring.forget(command):
            say("note", "it could not be removed; your keyring program shows it as routeguard")


def key_command(environ: Mapping[str, str]) -> list[str]:
    """The command by which the user's policy gets the gateway key; empty if by none."""
    try:
        content = read_bytes(user_policy(environ))
        found = tomllib.loads((content or b"").decode()).get("gateway", {}).get("key", {})
        command = found.get("command", [])
    except (UnreadableError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
        return []
    return [str(word) for word in command] if isinstance(command, list) else []


def _remove_services(environ: Mapping[str, str], say: Say, *, dry_run: bool) -> None:
    """What `ports hold --install` of version 0.1.0 wrote: alone it fails at each login."""
    unit = os.path.join(paths.config_home(environ), "systemd/user/routeguard-hold.service")
    plist = os.path.join(paths.home(environ), "Library/LaunchAgents/routeguard.hold.plist")
    name = os.path.basename(unit)
    enabled = os.path.join(os.path.dirname(unit), "default.target.wants", name)
    _remove_service(
        unit, enabled, ["systemctl", "--user", "disable", "--now", name], say, dry_run=dry_run
    )
    command = ["launchctl", "bootout", f"gui/{os.getuid()}/routeguard.hold"]
    _remove_service(plist, "", command, say, dry_run=dry_run)


def _remove_service(
    path: str, enabled: str, command: list[str], say: Say, *, dry_run: bool
) -> None:
    try:
        content = read_bytes(path, links=False)
    except UnreadableError:
        return
    if content is None:
        return
    if b"routeguard-hold: " not in b"\n".join(content.split(b"\n")[:2]):
        say("kept", f"{path} (not made by routeguard)")
        return
    say("service", path)
    if dry_run:
        return
    try:
        quiet = subprocess.DEVNULL
        ended = subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, timeout=60)
        failed = ended.returncode != 0
    except (OSError, subprocess.TimeoutExpired):
        failed = True
    if failed:
        say("note", f"{' '.join(command)} failed; if it still runs, it ends with your session")
    # where no service manager could be asked, what it was enabled by is still there
    if enabled and os.path.islink(enabled):
        os.unlink(enabled)
    os.unlink(path)
