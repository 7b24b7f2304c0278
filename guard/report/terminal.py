"""The one way to a person's terminal: how wide it is, its colours, folding, progress.

Texts are built whole and painted by meaning; `show` masks them, folds them at the terminal's width
and takes the colours out again where none are wanted. Where there is no terminal nothing is
folded, so that a pipe gets one line for each line. Neither click nor anything else that is slow to
load: a refusal comes through here.
"""

from __future__ import annotations

import os
import sys

from guard.errors import printable
from guard.late import late
from guard.masking import masked
from guard.report.words import short

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from types import TracebackType
    from typing import Literal, Self, TextIO

    from guard.errors import GuardError

    Meaning = Literal["good", "warning", "bad", "note", "strong", "faint"]

PATIENCE = 1.0
"""Seconds after which a person is told what takes so long."""

COMMANDS = (
    *("agents", "allow", "check", "completion", "doctor", "exec", "explain", "hook", "key"),
    *("log", "managed", "manual"),
    *("policy", "ports", "portkey", "rules", "setup", "shim", "status", "teardown", "verify"),
    *("watch", "why"),
)
"""The commands, so that one in a text is told from a sentence about routeguard."""

_CODES = {
    "good": "32",
    "warning": "33",
    "bad": "31;1",
    "note": "36",
    "strong": "1",
    "faint": "2",
}
SEVERITIES: dict[str, Meaning] = {"error": "bad", "warning": "warning", "note": "note"}
"""How the severities of findings are painted."""

_START = {meaning: f"\x1b[{code}m" for meaning, code in _CODES.items()}
_END = "\x1b[0m"

_ENDS = r"(?=  |[;,.)`](?: |$)|: | (?:or|and|then|to|shows|lists|tells)\b|$)"
_WHOLE = late(
    rf"`[^`]+`|routeguard (?:{'|'.join(COMMANDS)})\b"
    rf"(?:\"[^\"]*\"|'[^']*'|.)*?{_ENDS}"
)
"""What is not broken: it is there to be copied."""

_COMMAND_LINE = late(
    r"\s*(?:\w+: +)?(?:sudo|npm|npx|pip|uv|brew|git|curl|docker|podman|systemctl|launchctl|"
    r"kill|mv|rm|cp|mkdir|chmod|chown|export|unset|set -\w+|eval|tmux|mount|PATH=\S*) |"
    # TOML for a policy: a value cannot go on in the next line
    r"\s*[\w.-]+ = [\"\[{]"
)
"""A line that is a command of another program, or of a policy: never folded, so that it can be
pasted."""

_PLACE = late(r"\S+:\d+: ")
"""Where a finding is; what follows is set in a little."""

_GAP = late(r"(?<=\S) {2,}(?=\S)")

_LABEL = late(r"[ │├└─]*(?:\w+: +|\d+\. |[-*] )?")


def columns(stream: TextIO | None = None) -> int:
    """How wide the terminal on `stream` (stdout) is; 0 where it is none, and nothing is folded."""
    stream = sys.stdout if stream is None else stream
    try:
        if not stream.isatty():
            return 0
        wished = os.environ.get("COLUMNS", "")
        found = int(wished) if wished.isdecimal() else 0
        return found or os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 0


def has_colour(stream: TextIO | None = None) -> bool:
    """NO_COLOR (no-color.org) over FORCE_COLOR over whether `stream` (stdout) is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if forced := os.environ.get("FORCE_COLOR"):
        return forced != "0"
    stream = sys.stdout if stream is None else stream
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def can_ask() -> bool:
    """Whether there is a person to answer a question."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def paint(text: str, meaning: Meaning) -> str:
    """`text` in the colour of `meaning`; `show` takes it out again where none is wanted."""
    return f"{_START[meaning]}{text}{_END}" if text else ""


def plain(text: str) -> str:
    """`text` without paint."""
    if "\x1b" in text:
        for code in (*_START.values(), _END):
            text = text.replace(code, "")
    return text


def split_paint(text: str) -> tuple[str, str, str]:
    """`text` as (start, inner text, end): what paints it as a whole, else "" on both sides."""
    for start in _START.values():
        if text.startswith(start) and text.endswith(_END):
            inner = text[len(start) : -len(_END)]
            return ("", text, "") if "\x1b" in inner else (start, inner, _END)
    return "", text, ""


def show(text: str = "", *, err: bool = False, whole: bool = False) -> None:
    """Write `text` to stdout (or stderr) as its terminal takes it: masked, folded, coloured.

    `whole` folds nothing: for a diff and the text of a file.

    What the stream's encoding cannot hold is shown as an escape. A stderr that is closed or full
    stops nothing; a stdout that is raises OSError.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None:
        return
    text = fold(masked(text), 0 if whole else columns(stream))
    if not has_colour(stream):
        text = plain(text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        stream.write(text + "\n")
        stream.flush()
    except (OSError, ValueError):
        if not err:
            raise


def say(text: str) -> None:
    """One message about what routeguard does, on stderr."""
    show(f"routeguard: {printable(text)}", err=True)


def show_error(error: GuardError) -> None:
    """The frame of an error, on stderr: what happened, where, why, what mends it, which rule."""
    head, *rest = error.render().split("\n")
    shown = [head.replace("routeguard:", paint("routeguard:", "bad"), 1)]
    for line in rest:
        label, _, text = line.partition(":")
        if label == "  where":
            text = f" {short(text.strip())}"
        painted = label[:2] == "  " and label[2:].isalpha()
        shown.append(f"{paint(f'{label}:', 'faint')}{text}" if painted else line)
    show("\n".join(shown), err=True)


# Folding -----------------------------------------------------------------------------------------


def columns_of(text: str) -> int:
    """How many columns of a terminal `text` takes (Unicode Standard Annex 11), paint none."""
    text = plain(text)
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    import unicodedata

    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def fold(text: str, width: int) -> str:
    """`text` with lines of at most `width` columns (0: as they are), broken at blanks only.

    What follows is set below the words of its line: after a label, or the last column of blanks.
    Commands stay whole, and a word that is too long for the terminal is left to it.
    """
    if width <= 0:
        return text
    return "\n".join(part for line in text.split("\n") for part in _folded(line, width))


def _folded(line: str, width: int) -> list[str]:
    if columns_of(line) <= width:
        return [line]
    if _COMMAND_LINE.match(plain(line)):
        return [line]
    head = _head(plain(line), width)
    indent = len(line) - len(line.lstrip(" "))
    below = "".join({"├": "│", "│": "│"}.get(char, " ") for char in head)
    if not head.strip():
        below = " " * indent
        if _PLACE.match(line) or _GAP.search(line):
            below += "    "
    lines: list[str] = []
    current, empty = " " * indent, True
    for word in _words(line[indent:]):
        if empty:
            current, empty = current + word, False
        elif not word or len(current) < len(head) or columns_of(f"{current} {word}") <= width:
            current = f"{current} {word}"
        else:
            lines.append(current.rstrip(" "))
            current = below + word
    return [*lines, current.rstrip(" ")]


def _head(line: str, width: int) -> str:
    """The beginning of `line` below which the following lines are left free, "" for none."""
    gaps = [line[: gap.end()] for gap in _GAP.finditer(line)]
    fitting = [before for before in gaps if columns_of(before) * 2 <= width]
    if fitting:
        return fitting[-1]
    found = _LABEL.match(line)
    head = found.group() if found else ""
    return head if columns_of(head) * 2 <= width else ""


def _words(text: str) -> list[str]:
    """`text` at its blanks; what has to stay whole is one word."""
    whole = _WHOLE.sub(lambda found: found.group().replace(" ", "\0"), text)
    return [word.replace("\0", " ") for word in whole.split(" ")]


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns, broken at blanks, in words only if it must be.

    For cells of a table. What is painted as a whole is painted in each line.
    """
    start, text, end = split_paint(text)
    return [f"{start}{line}{end}" for line in _wrapped(text, width)]


def _wrapped(text: str, width: int) -> list[str]:
    if columns_of(text) <= width:
        return [text]
    lines: list[str] = []
    line, size = "", 0
    for word in text.split(" "):
        while True:
            needed = columns_of(word)
            gap = 1 if line else 0
            if size + gap + needed <= width:
                line += " " * gap + word
                size += gap + needed
                break
            if line:
                lines.append(line)
                line, size = "", 0
                continue
            head = cut(word, width)
            lines.append(head)
            word = word[len(head) :]
    return [*lines, line] if line or not lines else lines


def cut(text: str, width: int) -> str:
    """The beginning of `text` that takes at most `width` columns, at least one character."""
    size = 0
    for index, char in enumerate(text):
        size += _columns(char)
        if size > width and index:
            return text[:index]
    return text


# Progress ----------------------------------------------------------------------------------------


class Progress:
    """Tells a person on a terminal what takes so long, once it takes longer than a second.

    One line on stderr that is cleared afterwards; nothing where stderr is no terminal. On a dumb
    terminal each stage is a line that stays. Used as a context, and called with each new stage.
    """

    _TURN = 0.1

    def __init__(self, stage: str = "") -> None:
        self._stage = stage
        self._shown = ""
        self._ended: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, stage: str) -> None:
        """What is being done now."""
        self._stage = stage

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            import threading

            self._ended = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._ended,), daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Clear the line and draw no other, so that something else can be written."""
        if self._thread is not None and self._ended is not None:
            self._ended.set()
            self._thread.join()
            self._clear()
            self._thread = None

    def _run(self, ended: threading.Event) -> None:
        wait = PATIENCE
        while not ended.wait(wait):
            wait = self._TURN
            try:
                self._draw()
            except (OSError, ValueError):
                return

    def _draw(self) -> None:
        stage = printable(self._stage)
        if not stage or stage == self._shown:
            return
        text = f"routeguard: {masked(stage)} …"
        if os.environ.get("TERM") == "dumb":
            sys.stderr.write(text + "\n")
        else:
            line = cut(text, max(columns(sys.stderr) - 1, 8))
            sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()
        self._shown = stage

    def _clear(self) -> None:
        if self._shown and os.environ.get("TERM") != "dumb":
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
