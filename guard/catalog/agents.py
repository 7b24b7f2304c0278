"""Which running programs are coding agents: by name, file, module, title or what was compiled in.

Nobody's arguments are kept or returned: they can hold a prompt or a key. Cold path.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agents.toml")

_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
_SHELLS = frozenset(("ash", "bash", "busybox", "dash", "fish", "ksh", "mksh", "sh", "zsh"))
_JAVASCRIPT = frozenset(("bun", "deno", "node", "nodejs", "tsx"))

_VALUED = frozenset(
    (
        # node --help, bun --help; `--name=value` needs no entry
        "-C", "-r", "--conditions", "--experimental-loader", "--import", "--loader", "--require",
        "--title", "--preload", "--cwd", "--config",
        # python3 --help, bash --help
        "-W", "-X", "-O", "+O", "-o", "+o", "--init-file", "--rcfile",
    )
)  # fmt: skip
"""Options of interpreters that take the next word."""

_INLINE = frozenset(("-c", "-e", "-p", "-pe", "--eval", "--print"))
"""Options of interpreters whose value is the program itself: there is no script."""

_RUNS = frozenset(("run", "x"))
"""Words of `bun` and `deno` before the script."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One coding agent. The fields are those of agents.toml."""

    id: str
    name: str
    sure: str
    source: str
    names: frozenset[str] = frozenset()
    scripts: frozenset[str] = frozenset()
    paths: tuple[re.Pattern[str], ...] = ()
    modules: frozenset[str] = frozenset()
    titles: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()
    bun: str = ""
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """What a process runs, once interpreters are looked through.

    `file` is the program's or script's path as far as it is known, "" for none; `module` the
    Python module; `title` what the process calls itself where that is all there is left of its
    arguments; `interpreted` whether an interpreter runs it; `word` the first word after it that is
    no option, kept for the rules and never shown.
    """

    file: str = ""
    module: str = ""
    title: str = ""
    interpreted: bool = False
    word: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """A name for people, without a directory and without arguments."""
        return os.path.basename(self.file) or self.module or self.title


@dataclass(frozen=True, slots=True)
class Recognised:
    """An agent, and by what it was recognised, in words."""

    agent: Agent
    how: str


@cache
def agents() -> tuple[Agent, ...]:
    """Every agent of the catalogue."""
    with open(_FILE, "rb") as file:
        return tuple(_agent(entry) for entry in tomllib.load(file)["agent"])


def effective(exe: str, argv: Sequence[str], directory: str = "") -> Program:
    """What a process of the program file `exe` with the arguments `argv` runs.

    `exe` is the path the system gives ("" if unknown: the first argument stands in), `directory`
    the working directory, to which a script's relative path belongs. Reads links, nothing else.
    """
    file = exe.removesuffix(" (deleted)") or (argv[0] if argv else "")
    name = os.path.basename(file)
    rest = list(argv[1:])
    kind = _interpreter(name)
    if not kind:
        return Program(file=file, word=_first_word(rest))
    if argv and not rest and not _interpreter(os.path.basename(argv[0]).lstrip("-")):
        # node's process.title and Python's setproctitle overwrite the arguments
        return Program(title=argv[0].strip(), interpreted=True)
    if kind == "python":
        for flag, module in pairwise(rest):
            if flag == "-m":
                after = rest[rest.index(flag) + 2 :]
                return Program(module=module, interpreted=True, word=_first_word(after))
            if not flag.startswith("-"):
                break
    at = _script(rest, kind)
    if at < 0:
        return Program(file=file, word="")
    script = rest[at]
    path = os.path.join(directory, script) if directory else script
    return Program(file=path, interpreted=True, word=_first_word(rest[at + 1 :]))


def recognise(
    program: Program, compiled_in: Callable[[str], str] = lambda _: ""
) -> Recognised | None:
    """The agent that `program` is, None if it is none of the catalogue.

    `compiled_in` reads the arguments that Bun compiled into the program file of that path; it is
    asked last, and only for programs that no interpreter runs.
    """
    name = os.path.basename(program.file)
    resolved = os.path.realpath(program.file) if os.path.isabs(program.file) else program.file
    for agent in agents():
        if name and (name in agent.names or (program.interpreted and name in agent.scripts)):
            if agent.only and program.word not in agent.only:
                continue
            if program.word in agent.unless:
                continue
            return Recognised(agent, f"program {name}")
        if program.module and program.module in agent.modules:
            return Recognised(agent, f"module {program.module}")
        if program.title and program.title.split(" ", 1)[0] in agent.titles:
            return Recognised(agent, f"calls itself {program.title.split(' ', 1)[0]}")
        for path in (program.file, resolved):
            if any(pattern.search(path) for pattern in agent.paths):
                return Recognised(agent, f"file {os.path.basename(path)} of its package")
    if program.interpreted or not program.file:
        return None
    said = compiled_in(program.file)
    if said:
        for agent in agents():
            if agent.bun and agent.bun in said:
                return Recognised(agent, f"{name} is a copy of it under another name")
    return None


def _agent(entry: dict[str, Any]) -> Agent:
    return Agent(
        id=entry["id"],
        name=entry["name"],
        sure=entry["sure"],
        source=entry["source"],
        names=frozenset(entry.get("names", ())),
        scripts=frozenset(entry.get("scripts", ())),
        paths=tuple(re.compile(pattern) for pattern in entry.get("paths", ())),
        modules=frozenset(entry.get("modules", ())),
        titles=frozenset(entry.get("titles", ())),
        only=frozenset(entry.get("only", ())),
        unless=frozenset(entry.get("unless", ())),
        bun=entry.get("bun", ""),
        guarded=entry.get("guarded", False),
    )


def _interpreter(name: str) -> str:
    if _PYTHON.fullmatch(name):
        return "python"
    if name in _SHELLS:
        return "shell"
    return "javascript" if name in _JAVASCRIPT else ""


def _script(words: Sequence[str], kind: str) -> int:
    """The index of the script among an interpreter's arguments, -1 if it runs none."""
    skip = False
    for index, word in enumerate(words):
        if skip:
            skip = False
        elif word in _INLINE or (kind == "shell" and _is_inline_shell(word)):
            return -1
        elif word == "--":
            return index + 1 if index + 1 < len(words) else -1
        elif word in _VALUED:
            skip = True
        elif not (
            _is_option(word) or (kind == "javascript" and word in _RUNS and words[index + 1 :])
        ):
            return index
    return -1


def _is_option(word: str) -> bool:
    return word.startswith(("-", "+")) and len(word) > 1


def _is_inline_shell(word: str) -> bool:
    # -lc, -ic: a cluster of single letters with c in it
    return word.startswith("-") and not word.startswith("--") and "c" in word[1:]


def _first_word(words: Sequence[str]) -> str:
    return next(_operands(words), "")


def _operands(words: Sequence[str]) -> Iterator[str]:
    return (word for word in words if not word.startswith("-"))
