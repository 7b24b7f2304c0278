"""What a process, or a command line, really runs: interpreters and loaders are looked through.

The one answer for `ports`, `agents`, `check` and the judge of typed lines. For an interpreter the
effective program is its script (links resolved) or its `-m` module, for a process that wrote a
title over its arguments that title. The text of `-c` and `-e` is never looked at.

Arguments can hold a key or a prompt: a `Program` holds them for the rules and shows none.
"""

from __future__ import annotations

import os
import re

from guard.late import late
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

APPLICATION_SERVERS = frozenset(("uvicorn", "gunicorn", "hypercorn", "granian", "daphne"))
"""Programs that run an application which their arguments name."""

SHELLS = frozenset(("sh", "bash", "dash", "zsh", "fish", "ksh", "mksh", "ash", "yash"))
"""Shells; busybox, which is one among much else, is told apart."""

CONTAINERS = frozenset(("docker", "podman", "nerdctl", "finch", "container"))
"""Programs that run an image; `container` is Apple's."""

# python3.13t is the free-threaded build, …d a debug build; a framework build of macOS is Python
_PYTHON = late(r"(?:[Pp]ython|pypy|graalpy)[0-9.]*[tdw]*(?:-dbg)?|py")
_SCRIPTED = frozenset(
    ("node", "nodejs", "bun", "deno", "tsx", "ts-node", "ruby", "perl", "php", "java")
)
_LOADERS = late(r"ld-(?:linux|musl).*|ld\.so.*|ape(?:-[a-z0-9_.]+)?")
# modules of Python that run the module behind a `-m` of their own
_LENDS = frozenset(
    ("pdb", "cProfile", "profile", "trace", "coverage", "debugpy", "memray", "scalene")
)
_SUFFIX = late(r"\.(?:py[cw]?|[mc]?js|[mc]?ts|rb|jar)$")

# options that take the next word
_VALUED = frozenset(
    (
        # node --help (20.20.2, those with a value; each was tried with one before a script)
        *("-C", "--conditions", "-r", "--require", "--import", "--loader", "--experimental-loader"),
        *("--title", "--env-file", "--env-file-if-exists", "--input-type", "--watch-path"),
        *("--disable-warning", "--disable-proto", "--dns-result-order", "--unhandled-rejections"),
        *("--inspect-port", "--debug-port", "--inspect-publish-uid", "--icu-data-dir"),
        *("--openssl-config", "--tls-cipher-list", "--tls-keylog", "--secure-heap"),
        *("--secure-heap-min", "--max-http-header-size", "--redirect-warnings", "--diagnostic-dir"),
        *("--cpu-prof-dir", "--cpu-prof-name", "--cpu-prof-interval", "--heap-prof-dir"),
        *("--heap-prof-name", "--heap-prof-interval", "--heapsnapshot-signal", "--use-largepages"),
        *("--heapsnapshot-near-heap-limit", "--report-dir", "--report-directory"),
        *("--report-filename", "--report-signal", "--trace-event-categories"),
        *("--trace-event-file-pattern", "--trace-require-module", "--test-concurrency"),
        *("--test-name-pattern", "--test-reporter", "--test-reporter-destination", "--test-shard"),
        *("--test-timeout", "--experimental-default-type", "--experimental-policy"),
        *("--policy-integrity", "--snapshot-blob", "--allow-fs-read", "--allow-fs-write"),
        *("--localstorage-file", "--network-family-autoselection-attempt-timeout"),
        # bun --help, deno run --help, tsx --help, ts-node --help
        *("--preload", "--cwd", "--config", "--tsconfig", "--import-map", "--cert", "--lock"),
        *("-P", "--project", "-O", "--compiler-options", "--filter", "--define", "--external"),
        # ruby --help, perl --help, php --help, java -help
        *("-I", "-cp", "-classpath", "--class-path", "-d", "--add-modules", "--module-path"),
    )
)
_SHELL_VALUED = frozenset(("--init-file", "--rcfile"))  # bash --help
_INLINE = frozenset(("-e", "-E", "-p", "-pe", "-ne", "--eval", "--print"))


class Program(Record):
    """What is run.

    `file` is the path of the program or script as it was given ("" for a module or a text),
    `resolved` the same with links resolved, `names` what it goes by, without directory and suffix;
    `module` the Python module of `-m`, `installed` the one that a script of an installed package
    is; `title` what a process calls itself where nothing else is left of its arguments.
    `interpreter` is "python", "shell" or "script" where one runs it, else "". `directory` is the
    working directory for what is given no path. `arguments` are those of the program itself.
    """

    names: tuple[str, ...] = ()
    arguments: Sequence[str] = ()
    file: str = ""
    resolved: str = ""
    module: str = ""
    title: str = ""
    directory: str = ""
    interpreter: str = ""
    installed: str = ""

    def _complete(self) -> None:
        self.names = tuple(dict.fromkeys(name for name in self.names if name))
        self.arguments = tuple(self.arguments)
        self.resolved = self.resolved or self.file
        self.installed = _installed(self.resolved)

    @property
    def interpreted(self) -> bool:
        """Whether an interpreter runs it."""
        return bool(self.interpreter)

    @property
    def shown(self) -> str:
        """A name for people, without a directory and without arguments."""
        return self.module or (self.names[0] if self.names else "")

    @property
    def word(self) -> str:
        """The first argument that is no option; for rules, never shown."""
        return next((word for word in self.arguments if not word.startswith("-")), "")

    def __repr__(self) -> str:
        return f"Program({self.shown!r})"


def effective(
    exe: str, argv: Sequence[str], directory: str = "", *, comm: str = "", links: bool = True
) -> Program:
    """What the program file `exe` with the arguments `argv` runs.

    `exe` is the path the system gives ("" if unknown: the first argument stands in), `comm` the
    name that is left where there is neither. `directory` is the working directory, to which a
    script's relative path belongs. Reads links and nothing else; without `links` not even those,
    for a command line that stands in a text.
    """
    file = exe.removesuffix(" (deleted)") or (argv[0] if argv else "")
    if not file:
        return Program((comm,))
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
        resolved = os.path.realpath(file) if links and os.path.isabs(file) else file
        return Program((unwrapped, called), rest, file=file, resolved=resolved)
    if argv and not rest and not _interpreter(called):
        # node's process.title and Python's setproctitle overwrite the arguments
        return _titled(argv[0], directory)
    at, module = _python(rest) if kind == "python" else (_scripted(rest, kind, base), "")
    if module in _LENDS and "-m" in rest[at:-1]:
        at = rest.index("-m", at) + 2
        module = rest[at - 1]
    if module:
        return _module(module, rest[at:], directory)
    if not 0 <= at < len(rest):
        return Program((base,), interpreter=kind)
    return _script(rest, at, directory, kind, links=links)


def is_application_server(name: str) -> bool:
    """Whether `name` runs an application that its arguments name: uvicorn, gunicorn and such."""
    return name.lower() in APPLICATION_SERVERS


def _interpreter(base: str) -> str:
    if _PYTHON.fullmatch(base):
        return "python"
    if base in SHELLS or base == "busybox":
        return "shell"
    return "script" if base in _SCRIPTED else ""


def _titled(title: str, directory: str) -> Program:
    """A process that wrote a title over its arguments: `next-server (v16.3.4)`."""
    words = title.split() or [""]
    name = os.path.basename(words[0]).rstrip(":")
    return Program(
        (name,), words[1:], title=title.strip(), directory=directory, interpreter="script"
    )


def _python(words: Sequence[str]) -> tuple[int, str]:
    """Where the script of `python WORDS` is (-1: nowhere), or what follows `-m`, and its module.

    `-m` and `-c` end the options, joined with their value or not (python --help).
    """
    at = 0
    while at < len(words):
        word = words[at]
        if word == "-":
            break  # the program comes through standard input, what follows are its arguments
        if not word.startswith("-"):
            return at, ""
        at += 1
        if word.startswith("--"):
            at += word == "--check-hash-based-pycs"
            continue
        for index, letter in enumerate(word[1:], 2):
            if letter == "c":
                return -1, ""
            if letter == "m":
                module = word[index:] or (words[at] if at < len(words) else "")
                return at + (not word[index:]), module
            if letter in "WX":
                at += not word[index:]
                break
    return -1, ""


def _scripted(words: Sequence[str], kind: str, base: str) -> int:
    """Where the script is that a shell, node, bun, deno, ruby or java runs; -1 for none."""
    shell = kind == "shell"
    at = 0
    if base == "busybox" and words and words[0] in SHELLS:
        at = 1
    while at < len(words):
        word = words[at]
        if word == "-" and not shell:
            break
        if word in ("--", "-"):
            return at + 1 if at + 1 < len(words) else -1
        cluster = word if shell and word[:1] in ("-", "+") and word[1:2] != "-" else ""
        if "c" in cluster:
            break
        if not shell and word in _INLINE:
            break
        if word == "-jar" and at + 1 < len(words):
            return at + 1
        if cluster.endswith(("o", "O")) or word in (_SHELL_VALUED if shell else _VALUED):
            at += 2
        elif word.startswith(("-", "+")) or (word in ("run", "x") and base in ("bun", "deno")):
            at += 1
        else:
            return at
    return -1


def _module(module: str, arguments: Sequence[str], directory: str) -> Program:
    if directory and not is_application_server(module):
        path = os.path.join(directory, *module.split("."))
        if not (os.path.exists(f"{path}.py") or os.path.exists(f"{path}/__main__.py")):
            directory = ""
    return Program((), arguments, module=module, directory=directory, interpreter="python")


def _script(words: Sequence[str], at: int, directory: str, kind: str, *, links: bool) -> Program:
    given = words[at]
    path = os.path.join(directory, given) if directory else given
    resolved = os.path.realpath(path) if links and os.path.isabs(path) else path
    names = [_name(path), _name(resolved)]
    if names[0] == "__main__":
        names = [os.path.basename(os.path.dirname(resolved))]
    server = any(map(is_application_server, names))
    return Program(
        tuple(names),
        words[at + 1 :],
        file=path,
        resolved=resolved,
        directory=directory if server else "",
        interpreter=kind,
    )


def _name(path: str) -> str:
    return _SUFFIX.sub("", os.path.basename(path.rstrip("/")))


def _installed(path: str) -> str:
    """The dotted module of a file under `site-packages`, "" for any other."""
    _, found, rest = path.rpartition("-packages/")
    if not found or not rest.endswith(".py"):
        return ""
    return rest.removesuffix(".py").removesuffix("/__main__").replace("/", ".")
