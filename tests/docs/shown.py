"""The commands that README.md and docs/*.md show: where they stand, and what they print."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_TYPED = re.compile(
    r"(?:sudo )?(?:routeguard (?!…|does )|opencode (?!…$)|~/\.local/bin/routeguard |\./install\.sh"
    r"|tests/run"
    r"|uv tool|pipx (?:un)?install|pip (?:un)?install (?:\.|routeguard)|python3 -I|git pull"
    r"|systemctl (?:--user )?(?:enable|disable)|sysctl |man )"
)
"""How an inline command begins that a reader is meant to type: the rest of the inline code names
files, keys, variables and lines that are judged."""


class Shown(NamedTuple):
    """One command as a page shows it. `printed` is what stands below it, None where nothing may."""

    page: str
    line: int
    text: str
    printed: str | None = None


class Block(NamedTuple):
    """What stands together: the commands share one home, one after another."""

    page: str
    line: int
    language: str
    commands: tuple[Shown, ...]

    @property
    def name(self) -> str:
        """As in `docs/policy.md:5`."""
        return f"{self.page}:{self.line}"


def _commands(page: str, line: int, language: str, text: str) -> Iterator[Shown]:
    if language == "sh":
        for number, one in enumerate(text.splitlines(), line + 1):
            if one.strip() and not one.lstrip().startswith("#"):
                yield Shown(page, number, one.strip())
        return
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    for command, printed in zip(parts[1::2], parts[2::2], strict=True):
        yield Shown(
            page, line + 1 + text[: text.index("$ " + command)].count("\n"), command, printed
        )


def blocks(path: Path) -> Iterator[Block]:
    """The `sh` blocks of a page, its sessions (lines that begin with `$ `), its inline commands.

    A block under `<!-- test: NAME -->` is tried by the test that looks for this name, and a
    `sh` block with shell constructs over several lines has to be one.
    """
    text = path.read_text(encoding="utf-8")
    page = str(path.relative_to(ROOT))
    for found in _BLOCK.finditer(text):
        line = text[: found.start()].count("\n") + 1
        language, inner = found[2], found[3]
        before = text[: found.start()].rstrip().rpartition("\n")[2]
        shown = language in ("sh", "console") or (not language and inner.startswith("$ "))
        # what a rule finds and what mends it: guard/rules/text.toml has tests of its own
        shown = shown and page != "docs/rules.md"
        if shown and not re.fullmatch(r"<!-- (?:test: [\w-]+|example) -->", before):
            yield Block(page, line, language, tuple(_commands(page, line, language, inner)))
    blank = _BLOCK.sub(lambda found: "\n" * found[0].count("\n"), text)
    for number, one in enumerate(blank.splitlines(), 1):
        for inline in _INLINE.findall(one.replace("\\|", "|")):
            if _TYPED.match(inline):
                yield Block(page, number, "inline", (Shown(page, number, inline),))


PLACEHOLDERS = {
    "NAME": "OPENAI_API_KEY",
    "RULE": "RG201",
    "PORT": "11434",
    "N": "11434",
    "MODEL": "gpt-4o",
    "SHELL": "bash",
    "CMD": "true",
    "PATH": "opencode.json",
    "FOLDER": "deploy",
    "URL": "https://agents.example.com",
    "SLUG": "openai-prod",
    "FILE": ".env",
}


def words(text: str) -> Iterator[list[str]]:
    """The words of a command, with the placeholders filled in; one list for each of `a|b`.

    >>> list(words('routeguard completion bash|zsh  # …'))
    [['routeguard', 'completion', 'bash'], ['routeguard', 'completion', 'zsh']]
    """
    text = re.sub(r" …(?= |$)", "", text)
    each = [
        [PLACEHOLDERS.get(word, word)] if " " in word or "://" in word else word.split("|")
        for word in (PLACEHOLDERS.get(one, one) for one in shlex.split(text, comments=True))
    ]
    return map(list, itertools.product(*each))


@functools.cache
def source_texts() -> str:
    """Every text in the program, one after another."""
    texts = [
        node.value
        for path in (ROOT / "guard").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    scripts = [ROOT / "install.sh", *(ROOT / "shell").iterdir()]
    texts += [path.read_text(encoding="utf-8") for path in scripts]
    return "\n".join(texts)


def not_ours(printed: str) -> list[str]:
    """What `printed` says and the program does not: runs of five words or more in a line of which
    no three that follow each other are in one of its texts."""
    found = []
    for run in re.findall(r"[a-z]+(?:,? [a-z]+(?![\w-])){4,}", printed):
        each = run.split()
        parts = (" ".join(each[n : n + 3]) for n in range(len(each) - 2))
        if not any(part in source_texts() for part in parts):
            found.append(run)
    return found
