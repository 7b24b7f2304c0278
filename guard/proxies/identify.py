"""Which entry of the catalogue a running process is, by what it runs.

The effective program counts: for an interpreter its script (links resolved), its `-m` module or
the application a server was given; for a process that wrote its title over its arguments the
title and its working directory. The text of a shell's or interpreter's `-c` is never looked at.

Arguments end here: an `Identity` holds names of programs, modules and packages alone.
"""

from __future__ import annotations

import os
import re
import sys
from itertools import pairwise

from guard.catalog import local_proxies
from guard.catalog.programs import Program, effective, is_application_server
from guard.paths import PACKAGE
from guard.record import Record
from guard.sources.processes import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from guard.catalog.local_proxies import Proxy


class ProxyIdentity(Record):
    """What a process is.

    `program` is a name to show: a file or module, no directory, no argument. `proxy` and `how`
    say which local proxy it is and how that is known, `other` why it is surely none ("" for
    both: not known); `sure` whether that holds on a port of local proxies, too. `interpreted`: an
    interpreter runs it. `activator`: it starts something else when somebody connects.
    `forwarder`: it owns the socket for something else. `container_port` is the port inside that
    docker-proxy forwards to, `host_port` the one outside, 0 for neither.
    """

    program: str
    proxy: Proxy | None = None
    how: str = ""
    other: str = ""
    sure: bool = False
    interpreted: bool = False
    activator: bool = False
    forwarder: bool = False
    container_port: int = 0
    host_port: int = 0


def identify(
    snapshot: Snapshot, *, ports: Collection[int] = (), parents: Sequence[Snapshot] = ()
) -> ProxyIdentity:
    """What `snapshot` is; `ports` are those it listens on, `parents` what started it.

    Raises nothing; what could not be read counts as absent.
    """
    program = _effective(snapshot)
    found = _judge(snapshot, program, ports)
    if found.proxy is not None or found.other or found.activator or found.forwarder:
        return found
    for above in parents:
        program = _effective(above)
        if program.interpreter == "shell" and not _interactive(above):
            continue
        # what a person types in the terminal of a proxy's application is not the proxy's
        starter = _judge(above, program, ports)
        if starter.proxy is not None:
            found.proxy = starter.proxy
            found.how = f"started by {starter.program} ({starter.how})"
        break
    return found


def _interactive(shell: Snapshot) -> bool:
    """Whether a shell was given neither a script nor the text of a command."""
    return not any(
        not word.startswith(("-", "+")) or ("c" in word and not word.startswith("--"))
        for word in shell.argv[1:]
    )


def names_port(snapshot: Snapshot, port: int) -> bool:
    """Whether `port` stands in the arguments of `snapshot` as a number of its own."""
    number = re.compile(rf"(?<![0-9.]){port}(?![0-9.])")
    return any(number.search(word) for word in snapshot.argv[1:])


def program_of(snapshot: Snapshot) -> str:
    """The name of the effective program, without directory and arguments."""
    return _effective(snapshot).shown


def _judge(snapshot: Snapshot, program: Program, ports: Collection[int]) -> ProxyIdentity:
    name = program.shown
    if name == "systemd-socket-activate":
        return _activated(snapshot, program, ports)
    proxy, how = _proxy(program, ports)
    if proxy is not None and proxy.general:
        return ProxyIdentity(name, other=f"{proxy.name}, which serves much else", sure=False)
    if proxy is not None:
        return ProxyIdentity(name, proxy=proxy, how=how)
    if _ours(snapshot, program):
        return ProxyIdentity(name, other="routeguard itself", sure=True)
    found = ProxyIdentity(name, interpreted=program.interpreted)
    # only root's word is that of the system, but a program with such a name starts nothing else
    found.activator = not program.interpreted and local_proxies.activates(name)
    found.forwarder = not program.interpreted and local_proxies.forwards(name)
    if found.forwarder:
        found.container_port = _number_after(program.arguments, "-container-port")
        found.host_port = _number_after(program.arguments, "-host-port")
    if found.activator or found.forwarder:
        return found
    from guard.catalog import agents  # on what is left only: its data takes a while to read

    agent = agents.recognise(program)
    if agent is not None:
        found.other, found.sure = f"{agent.agent.name}, a coding agent", True
    elif not program.interpreted:
        found.other = local_proxies.harmless(name)
    return found


def _proxy(program: Program, ports: Collection[int]) -> tuple[Proxy | None, str]:
    if program.interpreter == "shell":
        return None, ""  # a script that has such a name may do anything
    if program.title:
        proxy = local_proxies.titled(program.title)
        if proxy is not None:
            return proxy, f"calls itself {program.shown}"
    if program.module:
        proxy = local_proxies.running(program.module, program.arguments, module=True)
        if proxy is not None:
            return proxy, f"module {program.module}"
    for name in program.names:
        proxy = local_proxies.running(name, program.arguments, ports=ports)
        if proxy is not None:
            application = program.interpreted and is_application_server(name)
            return proxy, f"application of {name}" if application else f"program {name}"
    if program.resolved:
        proxy = local_proxies.in_package(program.resolved)
        if proxy is not None:
            return proxy, "file of its npm package"
        proxy = local_proxies.at_path(_own_part(program.resolved))
        if proxy is not None:
            return proxy, "file of its directory"
    if program.directory:
        inside = program.directory + "/"
        proxy = local_proxies.in_package(inside) or local_proxies.at_path(_own_part(inside))
        if proxy is not None:
            return proxy, "runs in its directory"
    return None, ""


def _own_part(path: str) -> str:
    """`path` without the project that the package it lies in was installed for.

    `/src/omniroute/node_modules/vite/bin/vite.js` is Vite's, whoever uses it.
    """
    found = re.split(r"/(?:node_modules|\.venv|venv|site-packages|dist-packages)(?=/)", path)
    return found[-1]


def _effective(snapshot: Snapshot) -> Program:
    program = effective(snapshot.exe, snapshot.argv, snapshot.cwd, comm=snapshot.comm)
    # a file of an installed package that is run by its path is the module it holds
    if program.installed and local_proxies.running(
        program.installed, program.arguments, module=True
    ):
        program.module = program.installed
    return program


def _ours(snapshot: Snapshot, program: Program) -> bool:
    if snapshot.pid == os.getpid():
        return True
    if program.module:
        return program.module == "guard" and snapshot.cwd == os.path.dirname(PACKAGE)
    # the console script lies beside the interpreter that runs it
    script = os.path.join(os.path.dirname(sys.executable), "routeguard")
    return program.interpreted and program.resolved in (
        os.path.realpath(os.path.join(PACKAGE, "__main__.py")),
        os.path.realpath(script),
    )


def _activated(snapshot: Snapshot, program: Program, ports: Collection[int]) -> ProxyIdentity:
    """systemd-socket-activate(1): its operands are the command that a connection starts."""
    at = 0
    words = program.arguments
    while at < len(words) and words[at].startswith("-"):
        valued = words[at] in ("-l", "--listen", "-E", "--setenv", "--fdname")
        at += 2 if valued else 1
    command = tuple(words[at:])
    found = ProxyIdentity(program.shown, activator=True)
    if command:
        # no kernel has resolved its interpreter line yet, so only what is named counts
        behind = Snapshot(0, argv=command, exe=command[0], cwd=snapshot.cwd)
        proxy, how = _proxy(_effective(behind), ports)
        if proxy is not None and not proxy.general:
            found.proxy, found.how = proxy, f"starts {how} when somebody connects"
    return found


def _number_after(words: Sequence[str], option: str) -> int:
    for word, value in pairwise(words):
        if word == option and value.isdecimal():
            return int(value)
    return 0
