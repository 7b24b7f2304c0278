"""What the help of routeguard and of `portkey` says, as data: who asks only for it does not wait
for click. click shows the same, and completes by the same summaries."""

from __future__ import annotations

import os
import sys

from guard.agents.registry import AGENTS
from guard.record import Record
from guard.report.terminal import fold, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_WIDTH = 100
"""Columns of a terminal that a help text takes at most."""

_HELP = ("-h, --help", "Show this message and exit.")


class Overview(Record):
    """The help of a group of commands.

    `path` is what is typed for it. `summaries` are the commands below their heading: the first
    sentences of their own help. Paragraphs of `help` and `epilog` that begin with `\\b` keep their
    lines.
    """

    path: str
    help: str
    summaries: Mapping[str, Mapping[str, str]]
    epilog: str
    options: tuple[tuple[str, str], ...] = (_HELP,)

    def text(self, width: int) -> str:
        """The help in lines of at most `width` columns."""
        parts = [
            _hanging(f"Usage: {self.path} ", "[OPTIONS] COMMAND [ARGS]...", width),
            paragraphs(self.help, width, "  "),
            _listed("Options", self.options, width),
            *(_listed(head, rows.items(), width) for head, rows in self.summaries.items()),
            paragraphs(self.epilog, width, "  "),
        ]
        return "\n\n".join(parts)


def paragraphs(text: str, width: int, indent: str = "") -> str:
    """`text` at `width`; a paragraph that begins with `\\b` keeps its lines, folded if it must."""
    parts = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b\n"):
            lines = [indent + line for line in paragraph.removeprefix("\b\n").split("\n")]
            parts.append(fold("\n".join(lines), width))
        else:
            parts.append(_hanging(indent, " ".join(paragraph.split()), width, indent))
    return "\n\n".join(parts)


def _listed(heading: str, rows: Iterable[tuple[str, str]], width: int) -> str:
    rows = list(rows)
    first = max(len(name) for name, _ in rows) + 2
    lines = [_hanging(f"  {name:<{first}}", text, width) for name, text in rows]
    return "\n".join([f"{heading}:", *lines])


def _hanging(head: str, text: str, width: int, indent: str = "") -> str:
    """`head` with `text` behind it, and what does not fit below its beginning."""
    indent = indent or " " * len(head)
    lines = wrapped(text, width - len(head))
    return "\n".join((indent if number else head) + line for number, line in enumerate(lines))


def width() -> int:
    """The columns of a help text for stdout: of its terminal or as COLUMNS says, else 80.

    As click has them (`shutil.get_terminal_size`, which takes 4 ms to load): also where stdout is
    no terminal, with two to spare, and never less than 50.
    """
    try:
        found = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        found = 0
    if found <= 0:
        try:
            found = os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
        except (AttributeError, ValueError, OSError):
            found = 80
    return max(min(found or 80, MAX_WIDTH) - 2, 50)


def asked_for(argv: list[str]) -> Overview | None:
    """The overview that `argv` asks for and nothing else, None if it asks for more."""
    if argv and argv[-1] in ("-h", "--help"):
        return OVERVIEWS.get(" ".join(["routeguard", *argv[:-1]]))
    return None


_TOP = Overview(
    "routeguard",
    "Let coding agents reach models through Portkey only.",
    {
        "Everyday": {
            "setup": "Guard your shells and agents step by step",
            "status": "Show whether launches from this shell are guarded",
            "doctor": "Find what is wrong on this machine and how to fix it",
            "exec": "Run a command that reaches models through the gateway only",
            "explain": "Show what a launch would become without starting it",
            "verify": "Prove that an agent reaches the gateway and nobody else",
            "why": "Explain what routeguard does with environment variables",
            "log": "Show what was launched and what was refused",
        },
        "Policy": {
            "policy": "Write, check and show the policy",
            "allow": "Allow for a limited time what the policy forbids",
            "rules": "List the rules or explain one",
        },
        "Machine": {
            "managed": "Write agents' own administrator files from the system policy",
            "agents": "List the running coding agents and whether each is guarded",
            "ports": "Show local proxies and model servers that listen here",
            "watch": "Watch for local proxies and unguarded agents",
            "hook": "Print the code that guards a shell",
            "shim": "Guard launches from editors, scripts and other programs",
            "completion": "Print the code that completes commands in a shell",
            "teardown": "Undo everything that setup did",
        },
        "Gateway": {
            "portkey": "Ask the gateway what your key can do",
            "key": "Print the gateway key for a helper program",
        },
        "CI": {
            "check": "Find in files or the environment what bypasses the gateway",
        },
    },
    f"""\b
Examples:
  routeguard setup
  routeguard explain -- {AGENTS[0].example}
  routeguard verify

Exit status: 0 fine, 1 findings, 2 usage, 3 policy or configuration,
4 internal error.
`exec` ends with the command's own status, 126 refused, 127 not found.""",
    (("-V, --version", "Show the version and exit."), _HELP),
)

_PORTKEY = Overview(
    "routeguard portkey",
    """Ask the gateway what your key can do.

The key goes to the gateway of your policy and nowhere else; no value of it is ever shown.""",
    {
        "Commands": {
            "models": "List the models your key reaches by the name to type",
            "probe": "Try each MODEL with a few tokens under each of its names",
            "status": "Show the providers, configs and fallbacks of your key",
            "sync": "Write the providers and models of your key into your policy",
        },
    },
    """\b
Examples:
  routeguard portkey status                providers, configs, fallbacks of your key
  routeguard portkey models gpt            models with "gpt" in the name
  routeguard portkey probe gpt-4           try it, and see how to name it
  routeguard portkey sync                  put what was found into your policy
  routeguard setup                         the same and everything else, step by step

Exit status: 0 fine, 1 the gateway or the key says no, 2 usage, 3 policy, 126 refused.""",
)

OVERVIEWS = {one.path: one for one in (_TOP, _PORTKEY)}
"""By what is typed for them."""
