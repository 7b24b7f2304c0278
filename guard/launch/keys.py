"""Fetches a gateway key by the command that the policy names (`op read …`, `pass show …`).

Hot-path module; `subprocess` is imported on use. The key is handed on in memory only.
"""

from __future__ import annotations

from guard.errors import GuardError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.policy.values import GatewayProvider


def fetch(
    entry: GatewayProvider, environ: Mapping[str, str], unusable: Callable[[str], str]
) -> str:
    """The key that `entry.key_command` prints, without the line break at its end.

    The command gets the terminal, so that it can ask for a password; its errors reach the user
    as they are. `unusable` says why a value cannot be a key, "" if it can. Raises GuardError
    (RG106) if the command is missing, fails, takes longer than `entry.key_timeout` seconds, or
    prints no usable key.
    """
    import subprocess

    program = entry.key_command[0]
    where = f"policy: the key command of {entry.name} ({program} …)"
    try:
        done = subprocess.run(
            list(entry.key_command),
            env=dict(environ),
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
    wrong = unusable(value)
    if wrong:
        raise _failed(where, f"its output {wrong}", "make it print only the Portkey key")
    return value


def _failed(where: str, why: str, fix: str) -> GuardError:
    return GuardError(
        "the gateway key could not be fetched", where=where, why=why, fix=fix, rule="RG106"
    )
