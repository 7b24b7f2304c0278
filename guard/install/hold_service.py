"""The service that holds the ports at every login: a systemd user unit, or a launchd agent.

The file is told by a line of its own, never by its name, so one of somebody else's is neither
overwritten nor removed. The launchd agent was never run on a Mac.
"""

from __future__ import annotations

import contextlib
import os
import plistlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from guard import paths
from guard.errors import ExitCode, GuardError

UNIT = "routeguard-hold.service"
LABEL = "routeguard.hold"
MARK = "routeguard-hold: written by `routeguard ports hold --install`, removed by --uninstall"

State = Literal["missing", "current", "outdated"]

_SECONDS = 30.0
"""Seconds a call of the service manager may take."""

_KEPT = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
"""Where the policy, the lock and the compiled policy are: a service manager does not know what a
shell exports."""


@dataclass(frozen=True, slots=True)
class Service:
    """The service as it would be written: for which manager, where, and the whole text."""

    manager: Literal["systemd", "launchd"]
    path: str
    text: str


def service(
    environ: Mapping[str, str], python: str, main_file: str, platform: str = sys.platform
) -> Service:
    """The service that runs `python main_file ports hold`; pure but for the home directory.

    Raises GuardError for a path that a unit file cannot hold.
    """
    own = _own(environ)
    words = (python, "-I", "-S", main_file, "ports", "hold")
    kept = {name: own[name] for name in _KEPT if os.path.isabs(own.get(name, ""))}
    for word in (*words, *kept.values()):
        if not word.isprintable():
            raise GuardError(
                "a service cannot be started from this path",
                where=word,
                why="it holds a character that cannot be printed",
                fix="move it to a path without one",
                exit_code=ExitCode.CONFIG,
            )
    if platform != "darwin" and any(char in python for char in "\"'\\"):
        raise GuardError(
            "a service cannot be started from this path",
            where=python,
            why="systemd takes no quotes and no backslash in the name of a program",
            fix="install routeguard in a directory without them",
            exit_code=ExitCode.CONFIG,
        )
    if platform == "darwin":
        path = os.path.join(paths.home(own), "Library", "LaunchAgents", f"{LABEL}.plist")
        return Service("launchd", path, _property_list(words, kept))
    path = os.path.join(paths.config_home(own), "systemd", "user", UNIT)
    return Service("systemd", path, _unit(words, kept))


def _own(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with the user's own config home, also below a guarded agent."""
    own = dict(environ)
    real = own.pop(paths.REAL_CONFIG_HOME, None)
    if real is not None:
        own["XDG_CONFIG_HOME"] = real
    return own


def _unit(words: tuple[str, ...], kept: Mapping[str, str]) -> str:
    """The systemd user unit.

    Only hardening that a user manager may apply: what needs a mount namespace or capabilities
    (ProtectSystem=, PrivateTmp=, CapabilityBoundingSet=) makes the start fail where unprivileged
    user namespaces are off (systemd.exec(5)). What is here is done by seccomp and prctl.
    """
    environment = "".join(
        f"Environment={_quoted(f'{name}={value}')}\n" for name, value in sorted(kept.items())
    )
    return f"""\
# {MARK}
[Unit]
Description=Holds the ports of local LLM proxies (routeguard ports hold)

[Service]
Type=notify
{environment}ExecStart={_quoted(words[0])} {" ".join(_quoted(w, dollar="$$") for w in words[1:])}
Restart=on-failure
# also after "another hold runs already" and a policy that cannot be read: both pass
RestartSec=30
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""


def _quoted(word: str, dollar: str = "$") -> str:
    """`word` for a unit file: quotes, `\\` and specifiers escaped (systemd.syntax(7)).

    A dollar sign is doubled only in arguments of a command (systemd.service(5)).
    """
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", dollar)
    plain = text == word and not any(char.isspace() or char in "';" for char in word)
    return text if plain else f'"{text}"'


def _property_list(words: tuple[str, ...], kept: Mapping[str, str]) -> str:
    """The launchd agent (launchd.plist(5)); started again after anything but status 0."""
    text = plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": list(words),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 30,
            "ProcessType": "Background",
            "Umask": 0o077,
            **({"EnvironmentVariables": dict(sorted(kept.items()))} if kept else {}),
        },
        sort_keys=False,
    ).decode()
    head, _, rest = text.partition("\n")
    # two hyphens side by side end a comment
    return f"{head}\n<!-- {MARK.replace('--', '')} -->\n{rest}"


def state(found: Service) -> State:
    """What is at its path. Raises GuardError if that is not ours, or cannot be read."""
    try:
        if os.path.islink(found.path):
            raise _foreign(found.path, "it is a link")
        with open(found.path, encoding="utf-8") as file:
            text = file.read(1 << 20)
    except FileNotFoundError:
        return "missing"
    except UnicodeDecodeError:
        raise _foreign(found.path, "it is not UTF-8") from None
    except OSError as error:
        raise _failure("cannot read the service", found.path, error) from None
    if "routeguard-hold: " not in "".join(text.splitlines(True)[:2]):
        raise _foreign(found.path, "the line by which routeguard knows its own is missing")
    return "current" if text == found.text else "outdated"


def to_start(found: Service, before: State) -> list[tuple[str, ...]]:
    """The commands that put the written service to work, in order."""
    if found.manager == "launchd":
        domain = f"gui/{os.getuid()}"
        stop = [("launchctl", "bootout", f"{domain}/{LABEL}")] if before == "outdated" else []
        return [*stop, ("launchctl", "bootstrap", domain, found.path)]
    commands: list[tuple[str, ...]] = [
        ("systemctl", "--user", "daemon-reload"),
        ("systemctl", "--user", "enable", "--now", UNIT),
    ]
    if before == "outdated":
        commands.append(("systemctl", "--user", "restart", UNIT))
    return commands


def to_stop(found: Service) -> list[tuple[str, ...]]:
    """The commands that end the service and forget it; they come before its file goes."""
    if found.manager == "launchd":
        return [("launchctl", "bootout", f"gui/{os.getuid()}/{LABEL}")]
    return [("systemctl", "--user", "disable", "--now", UNIT)]


def install(found: Service, environ: Mapping[str, str]) -> list[str]:
    """Write the service and start it; returns what was done, as lines.

    Raises GuardError if a file that is not ours is in the way, or cannot be written.
    """
    before = state(found)
    done = []
    if before == "current":
        done.append(f"unchanged  {found.path}")
    else:
        _write(found, new=before == "missing")
        done.append(f"wrote  {found.path}")
    commands = to_start(found, before)
    if found.manager == "launchd" and before == "current" and _loaded(environ):
        return done
    failed = _run_all(commands, environ)
    if not failed:
        done.append("started, and will be at every login")
        return done
    done.append(f"not started: {failed}")
    done.append("run this in a session of your own:")
    done += [f"  {' '.join(words)}" for words in commands]
    return done


def uninstall(found: Service, environ: Mapping[str, str]) -> list[str]:
    """Stop the service and remove its file; returns what was done, as lines.

    Raises GuardError if the file is not ours, or cannot be removed.
    """
    if state(found) == "missing":
        return []
    done = []
    failed = _run_all(to_stop(found), environ)
    if failed:
        done.append(f"not stopped: {failed}")
        done.append("if a hold still runs, end it: routeguard ports hold --status")
    try:
        if found.manager == "systemd":
            done += _forget(found)
        os.unlink(found.path)
    except OSError as error:
        raise _failure("cannot remove the service", found.path, error) from None
    done.append(f"removed  {found.path}")
    if found.manager == "systemd" and not failed:
        _run_all([("systemctl", "--user", "daemon-reload")], environ)
    return done


def _forget(found: Service) -> list[str]:
    """Remove the link that `enable` made, where no manager could be asked to do it."""
    link = os.path.join(os.path.dirname(found.path), "default.target.wants", UNIT)
    if os.path.islink(link) and os.path.realpath(link) == os.path.realpath(found.path):
        os.unlink(link)
        return [f"removed  {link}"]
    return []


def _write(found: Service, *, new: bool) -> None:
    """The file appears whole or not at all; where none was, none is replaced."""
    pending = f"{found.path}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        os.makedirs(os.path.dirname(found.path), mode=0o755, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(pending, flags, 0o644)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(found.text)
                file.flush()
                os.fsync(handle)
            if new:
                # link, unlike rename, never replaces a file that appeared in the meantime
                os.link(pending, found.path)
            else:
                os.replace(pending, found.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(pending)
    except OSError as error:
        raise _failure("cannot write the service", found.path, error) from None


def _loaded(environ: Mapping[str, str]) -> bool:
    """Whether launchd has the agent: `bootstrap` fails for one it has."""
    return not _run_all([("launchctl", "print", f"gui/{os.getuid()}/{LABEL}")], environ)


def _run_all(commands: list[tuple[str, ...]], environ: Mapping[str, str]) -> str:
    """Run the commands in order; returns "" or, at the first that fails, why."""
    for words in commands:
        try:
            ended = subprocess.run(
                words,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                text=True,
                errors="replace",
            )
        except FileNotFoundError:
            return f"there is no {words[0]}"
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{' '.join(words)}: {error}"
        if ended.returncode:
            said = ended.stderr.strip().splitlines()
            return f"{' '.join(words)}: {said[0] if said else f'status {ended.returncode}'}"
    return ""


def _foreign(path: str, why: str) -> GuardError:
    return GuardError(
        "there is another service of this name, nothing was changed",
        where=path,
        why=why,
        fix="move it away, then try again",
        exit_code=ExitCode.CONFIG,
    )


def _failure(what: str, path: str, error: OSError) -> GuardError:
    return GuardError(
        what,
        where=path,
        why=error.strerror or str(error),
        fix="make its directory writable for you, or remove what is in the way",
        exit_code=ExitCode.CONFIG,
    )
