"""What the grammars of the shells have in common: words, quotes, expansions, and what is open.

One index runs through the text once, with a stack in place of recursion. A grammar adds how the
words of a list of commands are read.
"""

from __future__ import annotations

import re

from guard.sources.positions.text import Text, joined
from guard.sources.shell_commands.words import (
    Command,
    UnparsedError,
    Word,
    as_assignment,
    handed_on,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CHARACTERS = 512 * 1024
"""Characters. A script beyond this is not one that a person wrote."""

MAX_NESTING = 200
"""Substitutions, groups and quotes within each other."""

MAX_DEPTH = 8
"""Texts within texts: backticks, here-documents."""

_ANSI = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
PLAIN = re.compile(r"[^\x00-\x20\x7f;&|()<>#\\'\"$`*{]+")
_PLAIN_IN_WORD = re.compile(r"[^\\'\"$`*]+")
_PLAIN_IN_QUOTES = re.compile(r'[^"\\$`]+')
_PLAIN_IN_DATA = re.compile(r"[^\\$`]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[@*#?$!0-9-]")
_BACKTICK = re.compile(r"\\.|`", re.DOTALL)

# kinds of frames
LIST, WORD, QUOTE, BRACE, ARRAY, ARITHMETIC = range(6)
# what is passed over in those of which nothing is kept
_UNKEPT = {
    BRACE: re.compile(r"[^\\'\"$`}]+"),
    ARRAY: re.compile(r"[^()\\'\"$`#<>]+"),
    ARITHMETIC: re.compile(r"[^()\\\"$`]+"),
}
# what the words of a list are
CALL, TEST, SUBJECT, PATTERN, LOOP, ITEMS, NAMES, ONE = range(8)


class Building:
    """A word of which not all is read."""

    __slots__ = ("bare", "length", "literal", "parts", "splits", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.parts: list[Text] = []
        self.length = 0
        self.bare = -1
        self.literal = True
        self.splits = False

    def add(self, part: Text, *, bare: bool = False) -> None:
        if not bare:
            self.close()
        self.parts.append(part)
        self.length += len(part)

    def close(self) -> None:
        """From here on the characters do not count as bare."""
        if self.bare < 0:
            self.bare = self.length

    def expand(self, part: Text, *, splits: bool) -> None:
        self.add(part)
        self.literal = False
        self.splits = self.splits or splits

    @property
    def is_bare(self) -> bool:
        return self.bare < 0

    @property
    def written(self) -> str:
        return "".join([part.value for part in self.parts])


class Frame:
    """Something that is open: a list of commands, quotes, braces.

    `closer` is what ends a list; `host` the word that what is read becomes part of, None where
    nothing is kept. A list has the command and the word that it is at; `mode` says what its words
    are, `count` how many of them there were in this mode, `depth` how many parentheses are open in
    it, `cases` and `braces` how many `case` and `{` are open. `leading`: a pattern began with a
    parenthesis; `unfinished`: after an operator, so a new line ends nothing; `nested`: another
    frame was in it; `inner`: what is in it is substituted.
    """

    word: Building | None = None
    redirect = ""
    mode = CALL
    count = depth = cases = braces = 0
    leading = unfinished = nested = inner = False

    def __init__(
        self,
        kind: int,
        start: int,
        *,
        closer: str = "",
        host: Building | None = None,
        quoted: bool = False,
    ) -> None:
        self.kind = kind
        self.start = start
        self.closer = closer
        self.host = host
        self.quoted = quoted
        self.command = Command()


class Reader:
    """Reads one text. `steps` counts what it did: moves of the index, and characters looked at
    once more; it is at most some tens for each character, whatever the text holds."""

    posix = False
    """Whether there are backticks and `$'…'`."""

    def _list(self, frame: Frame, char: str) -> None:
        """In a list of commands `char` comes next."""
        raise NotImplementedError

    def _keyword(self, frame: Frame, shown: str) -> bool:
        """Whether `shown`, at the begin of a command, is none."""
        raise NotImplementedError

    def _is_brace(self, frame: Frame, word: Word) -> bool:
        """Whether `word`, behind others of a command, begins or ends a group."""
        return False

    def _add_other(self, frame: Frame, word: Word) -> None:
        """`word` stands where no command is read."""

    def _is_arithmetic(self, at: int) -> bool:
        """Whether the `((` at `at` is closed by `))`; what is never closed is a group."""
        return False

    def __init__(self, text: Text, *, outer: Reader | None = None) -> None:
        if len(text) > MAX_CHARACTERS:
            raise UnparsedError(f"is longer than {MAX_CHARACTERS // 1024} KiB of shell")
        self.steps = 0
        self._text = text
        self._value = text.value
        self._end = len(text)
        self._at = 0
        self._frames: list[Frame] = []
        self._depth: int = 0 if outer is None else outer._depth + 1
        self._found: list[Command] = [] if outer is None else outer._found
        self._handlers: tuple[Callable[[Frame, str], None], ...] = (
            self._list,
            self._one_word,
            self._quote,
            self._unkept,
            self._unkept,
            self._unkept,
        )

    def read(self) -> list[Command]:
        """The simple commands. Raises UnparsedError."""
        self._run(Frame(LIST, 0))
        for command in self._found:
            if command.source is not None and command.stdin is None:
                command.stdin = handed_on(command.source)
        return self._found

    def word(self) -> Word:
        """The whole text as one word. Raises UnparsedError."""
        building = Building(0)
        self._run(Frame(WORD, 0, host=building))
        return self._made(building)

    def _run(self, frame: Frame) -> None:
        frames = self._frames
        frames.append(frame)
        value, end, handlers = self._value, self._end, self._handlers
        while self._at < end:
            self.steps += 1
            frame = frames[-1]
            handlers[frame.kind](frame, value[self._at])
        self._at = end
        while frames:
            frame = frames.pop()
            if frame.kind == LIST:
                self._end_command(frame)
            if frame.host is not None and frame.kind in (LIST, BRACE, ARRAY, ARITHMETIC):
                self._stands_for(frame)

    def _open(
        self,
        kind: int,
        length: int,
        *,
        closer: str = "",
        host: Building | None = None,
        quoted: bool = False,
    ) -> Frame:
        """Begin a frame `length` characters further on."""
        if len(self._frames) > MAX_NESTING:
            raise UnparsedError(f"nests more than {MAX_NESTING} levels deep")
        self._frames[-1].nested = True
        frame = Frame(kind, self._at, closer=closer, host=host, quoted=quoted)
        frame.inner = True
        self._frames.append(frame)
        self._at += length
        return frame

    def _close(self, frame: Frame, length: int = 1) -> None:
        """End `frame`, the last one, `length` characters further on."""
        self._frames.pop()
        self._at += length
        if frame.host is not None:
            self._stands_for(frame)

    def _stands_for(self, frame: Frame) -> None:
        """Put into the word what stands in it for an expansion."""
        assert frame.host is not None
        if frame.kind == BRACE and not frame.nested:
            written = self._text[frame.start : self._at]
            splits = not frame.quoted or "[@]" in written.value
            frame.host.expand(written, splits=splits)
            return
        shown = {BRACE: "${}", ARRAY: "()"}.get(frame.kind, "$()")
        self._placeholder(frame.host, frame.start, shown, splits=not frame.quoted)

    def _placeholder(self, host: Building, start: int, shown: str, *, splits: bool = False) -> None:
        places = self._text.places
        host.expand(Text(shown, [places[start]] * len(shown) + [places[self._at]]), splits=splits)

    def _building(self, frame: Frame) -> Building:
        """The word that `frame`, a list, is at; a new one if it is at none."""
        if frame.word is None:
            frame.word = Building(self._at)
        return frame.word

    def _take(self, host: Building | None, end: int, *, bare: bool = False) -> None:
        """Move to `end`; what is passed becomes part of `host`."""
        if host is not None:
            host.add(self._text[self._at : end], bare=bare)
        self._at = end

    def _made(self, building: Building) -> Word:
        text = self._text
        start, end = text.places[building.start], text.places[self._at]
        if len(building.parts) == 1:
            content = building.parts[0]
        elif building.parts:
            content = joined(building.parts)
        else:
            content = Text("", (text.places[min(building.start + 1, self._at)],))
        return Word(
            content,
            start,
            end,
            literal=building.literal,
            splits=building.splits,
            bare=building.length if building.bare < 0 else building.bare,
        )

    def _end_word(self, frame: Frame) -> None:
        if frame.word is None:
            return
        word = self._made(frame.word)
        frame.word = None
        if frame.redirect:
            if frame.redirect == "<<<":
                frame.command.stdin = word.content
            elif frame.redirect == ">" and not (word.shown.isdigit() or word.shown == "-"):
                frame.command.writes.append(word)
            frame.redirect = ""
        elif frame.mode == CALL:
            self._add(frame, word)
        else:
            self._add_other(frame, word)

    def _add(self, frame: Frame, word: Word) -> None:
        """`word` stands where a command is read."""
        command = frame.command
        if not command.words:
            shown = "" if command.assignments or word.bare < len(word.content) else word.shown
            if shown and self._keyword(frame, shown):
                return
            assigned = as_assignment(word)
            if assigned is not None:
                command.assignments.append(assigned)
                return
        elif self._is_brace(frame, word):
            return
        command.words.append(word)

    def _end_command(self, frame: Frame) -> Command:
        """The command that ends here; it may be empty."""
        self._end_word(frame)
        command = frame.command
        if command.words or command.assignments:
            command.inner = frame.inner or self._depth > 0
            self._found.append(command)
        frame.command = Command()
        frame.redirect = ""
        return command

    def _comment(self) -> None:
        end = self._value.find("\n", self._at)
        self._at = self._end if end < 0 else end

    def _enter(self, frame: Frame, mode: int) -> None:
        frame.mode = mode
        frame.count = frame.depth = 0
        frame.leading = False
        frame.unfinished = False

    def _redirect(self, frame: Frame, length: int, kind: str = ">") -> None:
        """An operator such as `2>&`: neither it nor its target is a word of the command."""
        self._drop_descriptor(frame)
        self._end_word(frame)
        self._at += length
        frame.redirect = kind

    def _drop_descriptor(self, frame: Frame) -> None:
        """Drop the word in front of an operator if it says what is redirected: `2`, `{name}`."""
        building = frame.word
        if building is not None and building.is_bare and building.length < 64:
            written = building.written
            if written.isdigit() or (written[0] == "{" and written[-1] == "}"):
                frame.word = None

    def _list_of(self, text: Text) -> None:
        if self._depth < MAX_DEPTH:
            inner = type(self)(text, outer=self)
            inner._run(Frame(LIST, 0))
            self.steps += inner.steps
        else:
            raise UnparsedError("is nested too deeply")

    def _dollar(self, host: Building | None, *, quoted: bool) -> None:
        """What begins with `$`, as a part of `host`; None in a text that is not kept."""
        value, at = self._value, self._at
        after = value[at + 1 : at + 2]
        if after == "(":
            if self._is_arithmetic(at + 1):
                self._open(ARITHMETIC, 3, closer=")", host=host, quoted=quoted)
            else:
                self._open(LIST, 2, closer=")", host=host, quoted=quoted)
        elif after == "{" and value[at + 2 : at + 3] in (" ", "\t", "\n", "|"):
            # bash 5.3 and ksh: commands in this shell
            self._open(LIST, 3, closer="}", host=host, quoted=quoted)
        elif after == "{":
            self._open(BRACE, 2, closer="}", host=host, quoted=quoted)
        elif after == "'" and not quoted and self.posix:
            self._escaped(host, 2, _ANSI)
        elif after == '"' and not quoted:
            if host is not None:
                host.close()
            self._at += 1
        else:
            name = _VARIABLE.match(value, at + 1)
            end = name.end() if name else at + 1
            if host is None:
                self._at = end
            elif name:
                host.expand(self._text[at:end], splits=not quoted or after == "@")
                self._at = end
            else:
                self._take(host, end, bare=not quoted)

    def _escaped(self, host: Building | None, length: int, escapes: dict[str, str] | None) -> None:
        """A text in single quotes with escapes: `$'…'`, and what fish has; `length` before it."""
        text, value, end = self._text, self._value, self._end
        start = plain = at = self._at + length
        if host is not None:
            host.close()
        while at < end and value[at] != "'":
            after = value[at + 1 : at + 2] if value[at] == "\\" else ""
            if not after or (escapes is None and after not in "\\'"):
                at += 1
                continue
            if host is not None:
                char = (escapes or {}).get(after, after)
                host.add(text[plain:at])
                host.add(Text(char, (text.places[at], text.places[at + 2])))
            at += 2
            plain = at
        if host is not None:
            host.add(text[plain:at])
        self.steps += at - start
        self._at = min(at + 1, end)

    def _backtick(self, host: Building | None, *, quoted: bool) -> None:
        """A substitution in backticks, in which a backslash before some characters goes."""
        start = self._at
        self._frames[-1].nested = True
        end = self._end
        parts = []
        plain = start + 1
        for found in _BACKTICK.finditer(self._value, start + 1):
            if found.group() == "`":
                end = found.start()
                break
            if found.group()[1] in ('`$\\"' if quoted else "`$\\"):
                parts.append(self._text[plain : found.start()])
                plain = found.start() + 1
        parts.append(self._text[plain : max(plain, end)])
        self.steps += end - start
        self._at = min(end + 1, self._end)
        if host is not None:
            self._placeholder(host, start, "$()", splits=not quoted)
        self._list_of(joined(parts))

    def _part(self, host: Building, char: str) -> None:
        """A part of a word that begins with `char`: quotes, an expansion, an escape, itself."""
        if char == "'":
            end = self._value.find("'", self._at + 1)
            end = self._end if end < 0 else end
            self._at += 1
            self._take(host, end)
            self._at = min(end + 1, self._end)
        elif char == '"':
            host.close()
            self._open(QUOTE, 1, closer='"', host=host)
        elif char == "$":
            self._dollar(host, quoted=False)
        elif char == "`" and self.posix:
            self._backtick(host, quoted=False)
        elif char == "\\" and self._at + 1 < self._end:
            self._at += 1
            self._take(host, self._at + 1)
        else:
            host.splits = host.splits or (char == "*" and self._end > 1)
            self._take(host, self._at + 1, bare=True)

    def _one_word(self, frame: Frame, char: str) -> None:
        """Within a text that is one word, blanks and operators included."""
        assert frame.host is not None
        plain = _PLAIN_IN_WORD.match(self._value, self._at)
        if plain:
            self._take(frame.host, plain.end(), bare=True)
        elif self._value.startswith("\\\n", self._at):
            self._at += 2
        else:
            self._part(frame.host, char)

    def _quote(self, frame: Frame, char: str) -> None:
        """Within double quotes, or a here-document, which has no end of its own."""
        host = frame.host
        plain = (_PLAIN_IN_QUOTES if frame.closer else _PLAIN_IN_DATA).match(self._value, self._at)
        if plain:
            self._take(host, plain.end())
        elif char == frame.closer:
            self._frames.pop()
            self._at += 1
        elif char == "$":
            self._dollar(host, quoted=True)
        elif char == "`" and self.posix:
            self._backtick(host, quoted=bool(frame.closer))
        elif char == "`":
            self._take(host, self._at + 1)
        elif self._value.startswith("\\\n", self._at):
            self._at += 2
        else:
            after = self._value[self._at + 1 : self._at + 2]
            escaped = after and after in "$`\\" + frame.closer
            self._at += 1 if escaped else 0
            self._take(host, min(self._at + (1 if escaped else 2), self._end))

    def _unkept(self, frame: Frame, char: str) -> None:
        """Within `${…}`, the parentheses of an array or a pattern, `((…))`: no command in there."""
        value, at = self._value, self._at
        plain = _UNKEPT[frame.kind].match(value, at)
        if plain:
            self._at = plain.end()
        elif char == "(" or (char == frame.closer and frame.depth):
            frame.depth += 1 if char == "(" else -1
            self._at += 1
        elif char == frame.closer:
            both = frame.kind == ARITHMETIC and value.startswith("))", at)
            self._close(frame, 2 if both else 1)
        elif char == '"':
            self._open(QUOTE, 1, closer='"')
        elif char == "'" and not frame.quoted:
            end = value.find("'", at + 1)
            self._at = self._end if end < 0 else end + 1
        elif char == "#" and frame.kind == ARRAY and value[at - 1] in " \t\n(":
            self._comment()
        elif char in "<>" and value.startswith("(", at + 1):
            self._open(LIST, 2, closer=")")
        elif char == "$":
            self._dollar(None, quoted=True)
        elif char == "`":
            self._backtick(None, quoted=False)
        else:
            self._at = min(at + (2 if char == "\\" else 1), self._end)
