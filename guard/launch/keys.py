"""Where the gateway key of a launch comes from: a variable, or a command that the policy names
(`op read …`, `pass show …`, the keyring).

Hot-path module; `subprocess` is imported on use. The key is handed on in memory only.
"""

from __future__ import annotations

import os

from guard import paths
from guard.agents.keys import how_to_set, unusable_key
from guard.errors import GuardError, UsageError, listed
from guard.findings import mask
from guard.launch.resolve import users_own
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.policy.values import CompiledPolicy, GatewayProvider


class Key(Record):
    """The gateway key of the provider entry `entry`. `source` says in words where it comes from."""

    entry: GatewayProvider
    source: str
    value: str

    @property
    def shown(self) -> str:
        """The key, masked."""
        return mask(self.value)


def find_key(policy: CompiledPolicy, environ: Mapping[str, str], entry: str = "") -> Key:
    """The key that a launch would use for the provider entry called `entry`, by default the first.

    `environ` is the user's own. Raises UsageError for an unknown entry, GuardError (RG106) if
    there is no key or it cannot be one of Portkey's.
    """
    chosen = policy.provider(entry) if entry else policy.default_provider
    if chosen is None:
        raise UsageError(
            f"no provider entry {entry!r} in the policy",
            why=listed("there are", [p.name for p in policy.providers]),
        )
    if chosen.key_command:
        source = f"the command {chosen.key_command[0]} of your policy"
        return Key(chosen, source, fetch(chosen, environ))
    value = environ.get(chosen.key_env, "")
    if not value.strip():
        from guard import shells

        raise GuardError(
            f"no gateway key: {chosen.key_env} is not set",
            where="environment",
            why="without your Portkey API key (dashboard, API Keys) nothing reaches the gateway",
            fix=shells.export(chosen.key_env),
            rule="RG106",
        )
    wrong = unusable_key(value)
    if wrong:
        raise GuardError(
            f"{chosen.key_env} {wrong}",
            where=f"environment variable {chosen.key_env}",
            why="nothing was sent",
            fix=how_to_set(chosen.key_env),
            rule="RG106",
        )
    return Key(chosen, f"the environment variable {chosen.key_env}", value)


def fetch(entry: GatewayProvider, environ: Mapping[str, str]) -> str:
    """The key that `entry.key_command` prints, without the line break at its end.

    The command gets the terminal, so that it can ask for a password; its errors reach the user
    as they are. Raises GuardError (RG106) if the command is missing, fails, takes longer than
    `entry.key_timeout` seconds, prints no usable key, or asks routeguard for it again: each of
    those would wait for the next one, and outlive it.
    """
    import subprocess

    program = entry.key_command[0]
    where = f"policy: the key command of {entry.name} ({program} …)"
    if _is_running(os.environ.get(paths.KEY_MARKER, "")):
        raise _failed(
            where,
            "it asks routeguard for the key that it has to print",
            "name the program that has the key, such as op, pass or the keyring",
        )
    found = users_own(program, environ)
    if not found:
        raise _failed(
            where,
            f"there is no {program} on PATH outside of the project that you are in"
            if "/" not in program
            else f"{program} is a relative path, and means another program in each directory",
            f"install {program}" if "/" not in program else "write its absolute path",
        )
    try:
        done = subprocess.run(
            [found, *entry.key_command[1:]],
            env={**environ, paths.KEY_MARKER: str(os.getpid())},
            stdout=subprocess.PIPE,
            timeout=entry.key_timeout,
            check=False,
        )
    except FileNotFoundError:
        raise _failed(where, f"{program} is not installed", f"install {program}") from None
    except subprocess.TimeoutExpired:
        raise _failed(
            where,
            f"it did not answer within {entry.key_timeout:g} seconds",
            "unlock the key store, or raise the timeout next to the command",
        ) from None
    except OSError as error:
        raise _failed(where, error.strerror or "it cannot be run", "run it by hand") from None
    if done.returncode != 0:
        raise _failed(
            where, f"it ended with status {done.returncode}", "run it by hand and see what it says"
        )
    try:
        value = done.stdout.decode("ascii").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _failed(where, "its output is not ASCII", "make it print only the key") from None
    if not value.strip():
        raise _failed(where, "it printed nothing", "make it print only the key")
    # whatever is said from here on, it is masked in it
    from guard.masking import remember

    remember(value)
    wrong = unusable_key(value)
    if wrong:
        raise _failed(where, f"its output {wrong}", "make it print only the Portkey key")
    return value


def _is_running(pid: str) -> bool:
    """Whether `pid` runs: a daemon that a key command started keeps its environment for long."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _failed(where: str, why: str, fix: str) -> GuardError:
    return GuardError(
        "the gateway key could not be fetched", where=where, why=why, fix=fix, rule="RG106"
    )
