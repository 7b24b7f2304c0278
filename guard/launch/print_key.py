"""`routeguard key`: the gateway key for a helper program, into a pipe and nowhere else.

An agent that an administrator's file sends to the gateway asks for its key by a command, and waits
for it at its start. Hot-path module.
"""

from __future__ import annotations

import os
import stat

from guard.errors import ExitCode, GuardError, UsageError
from guard.launch.process import (
    environment_at_start,
    insist_on_log,
    load_policy,
    own_environment,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.launch.keys import Key
    from guard.policy.values import CompiledPolicy

OUTPUT = 1
"""The descriptor that the key is written to; what Python makes of standard output is masked."""

_MAX_SHELLS = 4
"""Shells within shells that are looked past."""


def main(argv: list[str]) -> int:
    """Write the key that a launch would use to standard output; returns the exit status.

    Raises UsageError, PolicyError, and GuardError: with exit status 1 if there is no usable key,
    with 126 if standard output is no pipe or the audit log of the policy cannot be written.
    """
    entry, headers = options(argv)
    environ = own_environment(environment_at_start())
    key = None
    try:
        _insist_on_pipe(OUTPUT)
        policy = load_policy(environ)
        key = _find(entry, policy, environ)
        text = _headers(key) if headers else key.value
    except UsageError:
        raise
    except GuardError as error:
        _record("refused", environ, entry, key, error.rule)
        raise
    why = _record("printed", environ, entry, key)
    insist_on_log(why, "the gateway key was not printed", environ, required=policy.audit_required)
    data = text.encode() + b"\n"
    while data:
        data = data[os.write(OUTPUT, data) :]
    return ExitCode.OK


def options(argv: list[str]) -> tuple[str, bool]:
    """The name after `--entry` ("" where it is not given), and whether `--headers` is there.

    Raises UsageError for any other word.
    """
    entry, headers = "", False
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--headers":
            headers = True
        elif name == "--entry":
            entry = value if equals else next(words, "")
            if not entry:
                raise UsageError("--entry needs a name", fix="routeguard key --entry NAME")
        else:
            what = f"option {name}" if word.startswith("-") else f"argument {word!r}"
            raise UsageError(f"key takes no {what}", fix="routeguard key --help")
    return entry, headers


def _insist_on_pipe(output: int) -> None:
    """Raise GuardError unless `output` is a pipe, or a socket used as one.

    Node and Bun read their children through a pair of Unix sockets. A socket of the network is
    none: a shell can open one as a file (`/dev/tcp/…`).
    """
    try:
        mode = os.fstat(output).st_mode
    except OSError:
        mode = 0
    if stat.S_ISFIFO(mode) or (stat.S_ISSOCK(mode) and _is_local(output)):
        return
    kind = "closed"
    if stat.S_ISREG(mode):
        kind = "a file"
    elif stat.S_ISSOCK(mode):
        kind = "a network connection"
    elif mode:
        kind = "a terminal" if os.isatty(output) else "a device"
    raise GuardError(
        "the gateway key is written to a pipe only",
        where=f"standard output is {kind}",
        why="on a screen, in a file or on a network others could read it",
        fix="let the program that needs the key run `routeguard key`\n"
        "whether there is a key:\nrouteguard status",
    )


def _is_local(output: int) -> bool:
    import _socket

    probe = _socket.socket(fileno=output)
    try:
        return bool(probe.family == _socket.AF_UNIX)
    finally:
        probe.detach()


def _find(entry: str, policy: CompiledPolicy, environ: Mapping[str, str]) -> Key:
    from guard import masking
    from guard.launch.keys import find_key

    masking.remember_names(each.key_env for each in policy.providers)
    try:
        return find_key(policy, environ, entry)
    except UsageError:
        raise
    except GuardError as error:
        error.exit_code = ExitCode.FINDINGS
        raise


def _headers(key: Key) -> str:
    """The headers of a call to the gateway as a JSON object with text in every field.

    An agent that takes headers from a helper wants just that (seen in one of them; anything but a
    text in a field is an error there).
    """
    from guard.agents.behind import Route, headers
    from guard.files import quick_json

    route = Route(key.entry, slug=key.entry.slug, config=key.entry.config)
    return quick_json.dumps({"x-portkey-api-key": key.value, **headers(route)})


def _record(
    decision: str, environ: Mapping[str, str], entry: str, key: Key | None, rule: str = ""
) -> str:
    from guard import audit

    return audit.record_key(
        decision,
        environ,
        entry=key.entry.name if key else entry,
        source=key.source if key else "",
        program=_asker(),
        rule=rule,
    )


def _asker() -> str:
    """The program that started us, past the shells it did that with (`sh -c`); "" if unknown.

    Unknown where there is no /proc, and where it runs as another user.
    """
    pid, found = os.getppid(), ""
    try:
        for _ in range(_MAX_SHELLS):
            found = os.readlink(f"/proc/{pid}/exe")
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                if words.read(4096).split(b"\0")[1:2] != [b"-c"]:
                    break
            with open(f"/proc/{pid}/stat", "rb") as fields:
                pid = int(fields.read(4096).rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return found
