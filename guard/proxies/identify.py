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
from guard.sources.processes import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from guard.catalog.local_proxies import Proxy

_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*[tdw]*")
_JAVASCRIPT = frozenset(("node", "nodejs", "bun", "deno", "tsx"))
_OTHERS = frozenset(("ruby", "perl", "php", "java"))
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "fish", "ksh", "mksh", "ash", "busybox"))
_LOADERS = re.compile(r"ld-(?:linux|musl).*|ld\.so.*|ape(?:-[a-z0-9_.]+)?")
_SUFFIX = re.compile(r"\.(?:py[cw]?|[mc]?js|[mc]?ts|rb|jar)$")
_VALUED = frozenset(
    (
        # node --help, bun --help, deno run --help, java -help, ruby --help
        "-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions",
        "--title", "--env-file", "--preload", "--cwd", "--config", "-cp", "-classpath",
        "--class-path", "-I",
    )
)  # fmt: skip
_INLINE = frozenset(("-e", "-p", "-pe", "--eval", "--print"))
_MAIN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "__main__.py")
_ROOT = os.path.dirname(os.path.dirname(_MAIN))


class Identity:
    """What a process is.

    `program` is a name to show: a file or module, no directory, no argument. `proxy` and `how`
    say which local proxy it is and how that is known, `other` why it is surely none ("" for
    both: not known); `sure` whether that holds on a port of local proxies, too. `interpreted`: an
    interpreter runs it. `activator`: it starts something else when somebody connects.
    `forwarder`: it owns the socket for something else. `container_port` is the port inside that
    docker-proxy forwards to, `host_port` the one outside, 0 for neither.
    """

    __slots__ = (
        "activator",
        "container_port",
        "forwarder",
        "host_port",
        "how",
        "interpreted",
        "other",
        "program",
        "proxy",
        "sure",
    )

    def __init__(
        self,
        program: str,
        *,
        proxy: Proxy | None = None,
        how: str = "",
        other: str = "",
        sure: bool = False,
        interpreted: bool = False,
    ) -> None:
        self.program = program
        self.proxy = proxy
        self.how = how
        self.other = other
        self.sure = sure
        self.interpreted = interpreted
        self.activator = False
        self.forwarder = False
        self.container_port = 0
        self.host_port = 0

    def __repr__(self) -> str:
        return f"Identity({self.program!r}, {self.proxy!r})"


class _Program:
    """The effective program: what `identify` compares, arguments included."""

    __slots__ = ("arguments", "directory", "file", "interpreted", "module", "names", "title")

    def __init__(
        self,
        names: Sequence[str],
        arguments: Sequence[str] = (),
        *,
        file: str = "",
        module: str = "",
        title: str = "",
        directory: str = "",
        interpreted: bool = False,
    ) -> None:
        self.names = tuple(dict.fromkeys(name for name in names if name))
        self.arguments = tuple(arguments)
        self.file = file
        self.module = module
        self.title = title
        self.directory = directory  # where what it runs lies, for what is given no path
        self.interpreted = interpreted

    @property
    def shown(self) -> str:
        return self.module or (self.names[0] if self.names else "")


def identify(
    snapshot: Snapshot, *, ports: Collection[int] = (), parents: Sequence[Snapshot] = ()
) -> Identity:
    """What `snapshot` is; `ports` are those it listens on, `parents` what started it.

    Raises nothing; what could not be read counts as absent.
    """
    program = _effective(snapshot)
    found = _judge(snapshot, program, ports)
    if found.proxy is not None or found.other or found.activator or found.forwarder:
        return found
    above = next((one for one in parents if _effective(one).shown not in _SHELLS), None)
    if above is not None:
        starter = _judge(above, _effective(above), ports)
        if starter.proxy is not None:
            found.proxy = starter.proxy
            found.how = f"started by {starter.program} ({starter.how})"
    return found


def names_port(snapshot: Snapshot, port: int) -> bool:
    """Whether `port` stands in the arguments of `snapshot` as a number of its own."""
    number = re.compile(rf"(?<![0-9.]){port}(?![0-9.])")
    return any(number.search(word) for word in snapshot.argv[1:])


def program_of(snapshot: Snapshot) -> str:
    """The name of the effective program, without directory and arguments."""
    return _effective(snapshot).shown


def _judge(snapshot: Snapshot, program: _Program, ports: Collection[int]) -> Identity:
    name = program.shown
    if name == "systemd-socket-activate":
        return _activated(snapshot, program, ports)
    proxy, how = _proxy(snapshot, program, ports)
    if proxy is not None and proxy.general:
        return Identity(name, other=f"{proxy.name}, which serves much else", sure=False)
    if proxy is not None:
        return Identity(name, proxy=proxy, how=how)
    if _ours(snapshot, program):
        return Identity(name, other="routeguard itself", sure=True)
    found = Identity(name, interpreted=program.interpreted)
    # only root's word is that of the system, but a program with such a name starts nothing else
    found.activator = not program.interpreted and local_proxies.activates(name)
    found.forwarder = not program.interpreted and local_proxies.forwards(name)
    if found.forwarder:
        found.container_port = _number_after(program.arguments, "-container-port")
        found.host_port = _number_after(program.arguments, "-host-port")
    if found.activator or found.forwarder:
        return found
    from guard.catalog import agents  # on what is left only: its data takes a while to read

    agent = agents.recognise(agents.effective(snapshot.exe, snapshot.argv, snapshot.cwd))
    if agent is not None:
        found.other, found.sure = f"{agent.agent.name}, a coding agent", True
    elif not program.interpreted:
        found.other = local_proxies.harmless(name)
    return found


def _proxy(
    snapshot: Snapshot, program: _Program, ports: Collection[int]
) -> tuple[Proxy | None, str]:
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
            application = program.interpreted and local_proxies.is_application_server(name)
            return proxy, f"application of {name}" if application else f"program {name}"
    if program.file:
        proxy = local_proxies.in_package(program.file)
        if proxy is not None:
            return proxy, "file of its npm package"
        proxy = local_proxies.at_path(_own_part(program.file))
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


def _effective(snapshot: Snapshot) -> _Program:
    argv = snapshot.argv
    file = snapshot.exe or (argv[0] if argv else "")
    if not file:
        return _Program((snapshot.comm,))
    base = os.path.basename(file)
    rest = argv[1:]
    if _LOADERS.fullmatch(base):
        # the dynamic loader, or the loader of APE binaries, which may leave the arguments alone
        words = argv
        if argv and _LOADERS.fullmatch(os.path.basename(argv[0])):
            at = next((i for i, word in enumerate(rest) if not word.startswith("-")), len(rest))
            words = rest[at:]
        if words:
            argv, file, rest = words, words[0], words[1:]
            base = os.path.basename(file)
    kind = _interpreter(base)
    called = os.path.basename(argv[0]).lstrip("-") if argv else ""
    if not kind:
        # a link's name is in argv[0] alone; Nix keeps programs as .NAME-wrapped
        unwrapped = re.sub(r"^\.(.+)-wrapped$", r"\1", base)
        return _Program((unwrapped, called), rest, file=file)
    if argv and not rest and not _interpreter(called):
        return _titled(argv[0], snapshot.cwd)
    if kind == "shell":
        return _Program((base,))
    if kind == "python":
        return _python(rest, base, snapshot.cwd)
    return _scripted(rest, base, snapshot.cwd)


def _titled(title: str, directory: str) -> _Program:
    """A process that wrote a title over its arguments: `next-server (v16.3.4)`."""
    words = title.split() or [""]
    name = os.path.basename(words[0]).rstrip(":")
    return _Program((name,), words[1:], title=title, directory=directory, interpreted=True)


def _python(words: Sequence[str], base: str, directory: str) -> _Program:
    """What `python WORDS` runs (python --help): `-m` and `-c` end the options, joined or not."""
    at = 0
    while at < len(words):
        word = words[at]
        if word == "-":
            break  # the program comes through standard input, what follows are its arguments
        if not word.startswith("-"):
            return _script(words, at, base, directory)
        at += 1
        if word.startswith("--"):
            continue
        for index, letter in enumerate(word[1:], 2):
            if letter == "c":
                return _Program((base,), interpreted=True)
            if letter == "m":
                module = word[index:] or (words[at] if at < len(words) else "")
                after = words[at if word[index:] else at + 1 :]
                return _module(module, after, directory)
            if letter in "WX":
                at += not word[index:]
                break
    return _Program((base,), interpreted=True)


def _module(module: str, arguments: Sequence[str], directory: str) -> _Program:
    path = os.path.join(directory, *module.split("."))
    local = os.path.exists(f"{path}.py") or os.path.exists(f"{path}/__main__.py")
    if not (local or local_proxies.is_application_server(module)):
        directory = ""
    return _Program((), arguments, module=module, directory=directory, interpreted=True)


def _scripted(words: Sequence[str], base: str, directory: str) -> _Program:
    """What node, bun, deno, ruby or java is told to run."""
    at = 0
    while at < len(words):
        word = words[at]
        if word == "-" or word in _INLINE:
            break
        if word == "-jar" and at + 1 < len(words):
            return _script(words, at + 1, base, directory)
        if word in _VALUED:
            at += 2
        elif word.startswith("-") or (word in ("run", "x") and base in ("bun", "deno")):
            at += 1
        else:
            return _script(words, at, base, directory)
    return _Program((base,), interpreted=True)


def _script(words: Sequence[str], at: int, base: str, directory: str) -> _Program:
    given = words[at]
    path = os.path.join(directory, given) if directory else given
    resolved = os.path.realpath(path) if os.path.isabs(path) else path
    names = [_name(path), _name(resolved)]
    module = _installed(resolved)
    if names[0] == "__main__":
        names = [os.path.basename(os.path.dirname(resolved))]
    server = any(local_proxies.is_application_server(name) for name in names)
    found = _Program(
        names or (base,),
        words[at + 1 :],
        file=resolved,
        directory=directory if server else "",
        interpreted=True,
    )
    # a file of an installed package that is run by its path is the module it holds
    if module and local_proxies.running(module, found.arguments, module=True) is not None:
        found.module = module
    return found


def _name(path: str) -> str:
    return _SUFFIX.sub("", os.path.basename(path.rstrip("/")))


def _installed(path: str) -> str:
    """The dotted module of a file under `site-packages`, "" for any other."""
    _, found, rest = path.rpartition("-packages/")
    if not found or not rest.endswith(".py"):
        return ""
    return rest.removesuffix(".py").removesuffix("/__main__").replace("/", ".")


def _interpreter(base: str) -> str:
    if _PYTHON.fullmatch(base):
        return "python"
    if base in _SHELLS:
        return "shell"
    return "script" if base in _JAVASCRIPT or base in _OTHERS else ""


def _ours(snapshot: Snapshot, program: _Program) -> bool:
    if snapshot.pid == os.getpid():
        return True
    if program.module:
        return program.module == "guard" and snapshot.cwd == _ROOT
    # the console script lies beside the interpreter that runs it
    script = os.path.join(os.path.dirname(sys.executable), "routeguard")
    return program.interpreted and program.file in (
        os.path.realpath(_MAIN),
        os.path.realpath(script),
    )


def _activated(snapshot: Snapshot, program: _Program, ports: Collection[int]) -> Identity:
    """systemd-socket-activate(1): its operands are the command that a connection starts."""
    at = 0
    words = program.arguments
    while at < len(words) and words[at].startswith("-"):
        valued = words[at] in ("-l", "--listen", "-E", "--setenv", "--fdname")
        at += 2 if valued else 1
    command = tuple(words[at:])
    found = Identity(program.shown)
    found.activator = True
    if command:
        # no kernel has resolved its interpreter line yet, so only what is named counts
        behind = Snapshot(0, argv=command, exe=command[0], cwd=snapshot.cwd)
        proxy, how = _proxy(behind, _effective(behind), ports)
        if proxy is not None and not proxy.general:
            found.proxy, found.how = proxy, f"starts {how} when somebody connects"
    return found


def _number_after(words: Sequence[str], option: str) -> int:
    for word, value in pairwise(words):
        if word == option and value.isdecimal():
            return int(value)
    return 0
