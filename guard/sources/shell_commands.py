"""Shell text split into simple commands, without running or expanding it: the one reader of it.

Enough of the grammars of POSIX shells, bash, zsh and fish to know which words are a command, where
each stands and what it reads. Commands in functions, pipelines, loops, conditions, groups and
substitutions are all found; what stands in a branch counts as if it were reached. Comments, data,
patterns of `case`, lists of `for`, arrays and tests are no commands.

One index runs through the text once, with a stack in place of recursion. Read again are only texts
within the text (backticks, here-documents), at most MAX_DEPTH deep, and, within a budget, what
follows `((`, to tell arithmetic from a group. So the time is linear in the length of the text,
whatever it holds. A substitution is left in its word as `$()`: its commands stand for themselves.
"""

from __future__ import annotations

import re

from guard.sources.positions.text import Text, joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

POSIX = "posix"
"""The grammar of sh, bash, ksh and zsh."""

FISH = "fish"

MAX_CHARACTERS = 512 * 1024
"""Characters. A script beyond this is not one that a person wrote."""

MAX_NESTING = 200
"""Substitutions, groups and quotes within each other."""

MAX_DEPTH = 8
"""Texts within texts: backticks, here-documents."""

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[.*?\])?\+?=", re.DOTALL)
_ANSI = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}

_PLAIN = re.compile(r"[^\x00-\x20\x7f;&|()<>#\\'\"$`*{]+")
_PLAIN_IN_WORD = re.compile(r"[^\\'\"$`*]+")
_PLAIN_IN_QUOTES = re.compile(r'[^"\\$`]+')
_PLAIN_IN_DATA = re.compile(r"[^\\$`]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[@*#?$!0-9-]")
_PARENTHESIS = re.compile(r"\\.|'[^']*'|[()]", re.DOTALL)
_BACKTICK = re.compile(r"\\.|`", re.DOTALL)
_BLANKS = re.compile(r"[ \t]*")
# `{a,b}` and `{1..9}` are expanded, `{fd}>` names a descriptor; any other `{x` is a group in zsh
_BRACES = re.compile(r"\{(?:[^\s{}]{0,200}(?:,|\.\.)[^\s]{0,200}\}|[A-Za-z_]\w{0,60}\}[<>])")

# what a shell passes over on the way to a command
_RESERVED = frozenset(
    (
        *("if", "then", "else", "elif", "fi", "while", "until", "do", "done", "!", "coproc"),
        *("-", "always"),  # zsh
    )
)
_FISH_RESERVED = frozenset(("and", "or", "not", "if", "while", "begin", "else", "end", "!"))
_BEFORE_PARENTHESIS = _RESERVED | {"{", "case", "for", "foreach", "select", "function", "repeat"}
_BEFORE_GROUP = frozenset(("time", "noglob", "nocorrect", "coproc"))

# kinds of frames
_LIST, _WORD, _QUOTE, _BRACE, _ARRAY, _ARITHMETIC = range(6)
# what is passed over in those of which nothing is kept
_UNKEPT = {
    _BRACE: re.compile(r"[^\\'\"$`}]+"),
    _ARRAY: re.compile(r"[^()\\'\"$`#<>]+"),
    _ARITHMETIC: re.compile(r"[^()\\\"$`]+"),
}
# what the words of a list are
_CALL, _TEST, _SUBJECT, _PATTERN, _LOOP, _ITEMS, _NAMES, _ONE = range(8)


class UnparsedError(Exception):
    """A text that was given up; says why, without its content."""


class Word:
    """One word of a command.

    `content` is the word with its quotes taken off; expansions stay in it as they are written,
    substitutions as `$()`. `literal` tells that it holds none. `splits` tells that it can become
    several words or none (`$@`, an unquoted variable, a glob). `bare` is the number of leading
    characters that were neither quoted nor expanded: in `A="b"` they are `A=`. `start` and `end`
    are file offsets, quotes included.
    """

    __slots__ = ("bare", "content", "end", "literal", "splits", "start")

    def __init__(
        self,
        content: Text,
        start: int,
        end: int,
        *,
        literal: bool = True,
        splits: bool = False,
        bare: int = 0,
    ) -> None:
        self.content = content
        self.start = start
        self.end = end
        self.literal = literal
        self.splits = splits
        self.bare = bare

    @property
    def value(self) -> str | None:
        """What the program gets, or None where only a running shell could tell."""
        return self.content.value if self.literal else None

    @property
    def shown(self) -> str:
        """The word as it is written, without its quotes."""
        return self.content.value

    def is_bare(self, text: str) -> bool:
        """Whether it is `text`, with nothing of it quoted or expanded."""
        return self.bare == len(text) and self.content.value == text

    def after(self, count: int) -> Word:
        """The word without its first `count` characters."""
        rest = self.content[count:]
        return Word(
            rest,
            rest.start,
            self.end,
            literal=self.literal,
            splits=self.splits,
            bare=max(0, self.bare - count),
        )

    def __repr__(self) -> str:
        return f"Word({self.shown!r})"


class Assignment:
    """`name=value` before a command, or alone."""

    __slots__ = ("end", "name", "start", "value")

    def __init__(self, name: str, value: Word, start: int, end: int) -> None:
        self.name = name
        self.value = value
        self.start = start
        self.end = end

    def __repr__(self) -> str:
        return f"Assignment({self.name!r})"


class Command:
    """One simple command: what is assigned for it, its words, and the text that it reads.

    Without words it only assigns. `stdin` is the text of a here-document or here-string, or of
    an `echo` piped into it. `source` is the command whose output is piped into it. `inner` tells
    that it stands in a substitution. A loop over values (`for x in …`) is the command `for x`.
    """

    __slots__ = ("assignments", "inner", "source", "stdin", "words")

    def __init__(
        self,
        words: list[Word] | None = None,
        assignments: list[Assignment] | None = None,
        stdin: Text | None = None,
    ) -> None:
        self.words = [] if words is None else words
        self.assignments = [] if assignments is None else assignments
        self.stdin = stdin
        self.source: Command | None = None
        self.inner = False

    @property
    def start(self) -> int:
        """The file offset of its first word or assignment."""
        return self.assignments[0].start if self.assignments else self.words[0].start

    def __repr__(self) -> str:
        return f"Command({self.words!r})"


def commands(text: Text, grammar: str = POSIX) -> list[Command]:
    """The simple commands in `text`, each in the order in which it ends.

    Raises UnparsedError for a text that is longer, or nested deeper, than what people write.
    """
    return ShellReader(text, grammar).read()


def unquoted(text: Text) -> Word:
    """The word that is written as `text`: quotes and escapes taken off, expansions noticed."""
    return ShellReader(text, POSIX).word()


class _Building:
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


class _Frame:
    """Something that is open: a list of commands, quotes, braces.

    `closer` is what ends a list; `host` the word that what is read becomes part of, None where
    nothing is kept. A list has the command and the word that it is at; `mode` says what its words
    are, `count` how many of them there were in this mode, `depth` how many parentheses are open in
    it, `cases` and `braces` how many `case` and `{` are open. `leading`: a pattern began with a
    parenthesis; `unfinished`: after an operator, so a new line ends nothing; `nested`: another
    frame was in it; `inner`: what is in it is substituted.
    """

    __slots__ = (
        "braces",
        "cases",
        "closer",
        "command",
        "count",
        "depth",
        "host",
        "inner",
        "kind",
        "leading",
        "mode",
        "nested",
        "quoted",
        "redirect",
        "start",
        "unfinished",
        "word",
    )

    def __init__(
        self,
        kind: int,
        start: int,
        *,
        closer: str = "",
        host: _Building | None = None,
        quoted: bool = False,
    ) -> None:
        self.kind = kind
        self.start = start
        self.closer = closer
        self.host = host
        self.quoted = quoted
        self.word: _Building | None = None
        self.command = Command()
        self.redirect = ""
        self.mode = _CALL
        self.count = 0
        self.depth = 0
        self.cases = 0
        self.braces = 0
        self.leading = False
        self.unfinished = False
        self.nested = False
        self.inner = False


class _Here:
    """A here-document whose body has not come yet."""

    __slots__ = ("command", "delimiter", "quoted", "tabs")

    def __init__(self, command: Command, delimiter: str, *, quoted: bool, tabs: bool) -> None:
        self.command = command
        self.delimiter = delimiter
        self.quoted = quoted
        self.tabs = tabs


class ShellReader:
    """Reads one text. `steps` counts what it did: moves of the index, and characters looked at
    once more; it is at most some tens for each character, whatever the text holds."""

    def __init__(self, text: Text, grammar: str, *, outer: ShellReader | None = None) -> None:
        if len(text) > MAX_CHARACTERS:
            raise UnparsedError(f"is longer than {MAX_CHARACTERS // 1024} KiB of shell")
        self.steps = 0
        self._text = text
        self._value = text.value
        self._end = len(text)
        self._grammar = grammar
        self._at = 0
        self._frames: list[_Frame] = []
        self._heredocs: list[_Here] = []
        self._depth: int = 0 if outer is None else outer._depth + 1
        self._found: list[Command] = [] if outer is None else outer._found
        # characters that may be looked at once more to tell `((` from two groups; for all texts
        # within this one together
        self._ahead: list[int] = [4 * len(text)] if outer is None else outer._ahead
        self._handlers: tuple[Callable[[_Frame, str], None], ...] = (
            self._fish if grammar == FISH else self._posix,
            self._one_word,
            self._quote,
            self._unkept,
            self._unkept,
            self._unkept,
        )

    def read(self) -> list[Command]:
        """The simple commands. Raises UnparsedError."""
        self._run(_Frame(_LIST, 0))
        for command in self._found:
            if command.source is not None and command.stdin is None:
                command.stdin = _handed_on(command.source)
        return self._found

    def word(self) -> Word:
        """The whole text as one word. Raises UnparsedError."""
        building = _Building(0)
        self._run(_Frame(_WORD, 0, host=building))
        return self._made(building)

    def _data_of(self, text: Text) -> Text:
        """`text` as a here-document hands it on, with the commands in it read."""
        inner = ShellReader(text, self._grammar, outer=self)
        building = _Building(0)
        inner._run(_Frame(_QUOTE, 0, host=building))
        self.steps += inner.steps
        return joined(building.parts) if building.parts else text

    def _list_of(self, text: Text) -> None:
        if self._depth < MAX_DEPTH:
            inner = ShellReader(text, self._grammar, outer=self)
            inner._run(_Frame(_LIST, 0))
            self.steps += inner.steps

    def _run(self, frame: _Frame) -> None:
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
            if frame.kind == _LIST:
                self._end_command(frame)
            if frame.host is not None and frame.kind in (_LIST, _BRACE, _ARRAY, _ARITHMETIC):
                self._stands_for(frame)

    # frames -------------------------------------------------------------------------------------

    def _open(
        self,
        kind: int,
        length: int,
        *,
        closer: str = "",
        host: _Building | None = None,
        quoted: bool = False,
    ) -> _Frame:
        """Begin a frame `length` characters further on."""
        if len(self._frames) > MAX_NESTING:
            raise UnparsedError(f"nests more than {MAX_NESTING} levels deep")
        self._frames[-1].nested = True
        frame = _Frame(kind, self._at, closer=closer, host=host, quoted=quoted)
        frame.inner = True
        self._frames.append(frame)
        self._at += length
        return frame

    def _close(self, frame: _Frame, length: int = 1) -> None:
        """End `frame`, the last one, `length` characters further on."""
        self._frames.pop()
        self._at += length
        if frame.host is not None:
            self._stands_for(frame)

    def _stands_for(self, frame: _Frame) -> None:
        """Put into the word what stands in it for an expansion."""
        assert frame.host is not None
        if frame.kind == _BRACE and not frame.nested:
            written = self._text[frame.start : self._at]
            splits = not frame.quoted or "[@]" in written.value
            frame.host.expand(written, splits=splits)
            return
        shown = {_BRACE: "${}", _ARRAY: "()"}.get(frame.kind, "$()")
        self._placeholder(frame.host, frame.start, shown, splits=not frame.quoted)

    def _placeholder(
        self, host: _Building, start: int, shown: str, *, splits: bool = False
    ) -> None:
        places = self._text.places
        host.expand(Text(shown, [places[start]] * len(shown) + [places[self._at]]), splits=splits)

    # words --------------------------------------------------------------------------------------

    def _building(self, frame: _Frame) -> _Building:
        """The word that `frame`, a list, is at; a new one if it is at none."""
        if frame.word is None:
            frame.word = _Building(self._at)
        return frame.word

    def _take(self, host: _Building | None, end: int, *, bare: bool = False) -> None:
        """Move to `end`; what is passed becomes part of `host`."""
        if host is not None:
            host.add(self._text[self._at : end], bare=bare)
        self._at = end

    def _made(self, building: _Building) -> Word:
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

    def _end_word(self, frame: _Frame) -> None:
        if frame.word is None:
            return
        word = self._made(frame.word)
        frame.word = None
        if frame.redirect:
            if frame.redirect == "<<<":
                frame.command.stdin = word.content
            frame.redirect = ""
        elif frame.mode == _CALL:
            self._add(frame, word)
        else:
            self._add_other(frame, word)

    def _add(self, frame: _Frame, word: Word) -> None:
        """`word` stands where a command is read."""
        command = frame.command
        if not command.words:
            shown = "" if command.assignments or word.bare < len(word.content) else word.shown
            if shown and self._keyword(frame, shown):
                return
            assignment = _assignment(word)
            if assignment is not None:
                command.assignments.append(assignment)
                return
        elif len(command.words) == 1 and self._grammar == POSIX and word.is_bare("{"):
            # `coproc NAME {`
            command.words.clear()
            frame.braces += 1
            return
        elif frame.braces and word.is_bare("}"):
            # zsh lets it end a group without a `;` before it
            frame.braces -= 1
            self._end_command(frame)
            return
        command.words.append(word)

    def _keyword(self, frame: _Frame, shown: str) -> bool:
        """Whether `shown`, at the begin of a command, is none."""
        if self._grammar == FISH:
            if shown in ("for", "function", "switch", "case"):
                self._enter(frame, _NAMES)
            return shown in _FISH_RESERVED or frame.mode != _CALL or shown in ("{", "}")
        if shown in _RESERVED:
            return True
        if shown == "{":
            frame.braces += 1
        elif shown == "}":
            frame.braces = max(0, frame.braces - 1)
        elif shown == "esac":
            frame.cases = max(0, frame.cases - 1)
        elif shown == "[[":
            self._enter(frame, _TEST)
        elif shown == "case":
            self._enter(frame, _SUBJECT)
        elif shown in ("for", "select", "foreach"):
            self._enter(frame, _LOOP)
        elif shown == "function":
            self._enter(frame, _NAMES)
        elif shown == "repeat":
            self._enter(frame, _ONE)
        else:
            return False
        return True

    def _enter(self, frame: _Frame, mode: int) -> None:
        frame.mode = mode
        frame.count = frame.depth = 0
        frame.leading = False
        frame.unfinished = False

    def _add_other(self, frame: _Frame, word: Word) -> None:
        """`word` stands where no command is read."""
        shown = word.content.value if word.bare == len(word.content) else ""
        mode = frame.mode
        first = frame.count == 0
        frame.count += 1
        frame.unfinished = False
        if mode == _TEST:
            if shown == "]]":
                frame.mode = _CALL
        elif mode == _SUBJECT:
            if shown in ("in", "{") and not first:
                frame.cases += 1
                self._enter(frame, _PATTERN)
        elif mode == _PATTERN:
            if shown in ("esac", "}") and first and not frame.depth:
                frame.cases -= 1
                frame.mode = _CALL
        elif mode == _LOOP:
            if shown == "do" or (shown == "{" and not first):
                frame.braces += shown == "{"
                frame.mode = _CALL
            elif shown == "in" and not first:
                self._enter(frame, _ITEMS)
            else:
                name = Text.of("for", word.start)
                loop = Word(name, word.start, word.end)
                self._found.append(Command([loop, word]))
        elif mode == _NAMES and self._grammar == POSIX:
            if shown == "{":
                frame.braces += 1
                frame.mode = _CALL
        elif mode == _ONE:
            frame.mode = _CALL

    def _end_command(self, frame: _Frame) -> Command:
        """The command that ends here; it may be empty."""
        self._end_word(frame)
        command = frame.command
        if frame.braces and command.words:
            _without_brace(frame, command)
        if command.words or command.assignments:
            command.inner = frame.inner or self._depth > 0
            self._found.append(command)
        frame.command = Command()
        frame.redirect = ""
        return command

    # lists of commands --------------------------------------------------------------------------

    def _posix(self, frame: _Frame, char: str) -> None:
        if char == "}" == frame.closer and not frame.braces and self._begins_command(frame):
            self._close(frame)
            return
        plain = _PLAIN.match(self._value, self._at)
        if plain:
            self._take(self._building(frame), plain.end(), bare=True)
        elif char == "\n":
            self._separator(frame)
            if self._heredocs:
                self._read_heredocs()
        elif char <= " " or char == "\x7f":
            self._end_word(frame)
            self._at += 1
        elif self._value.startswith("\\\n", self._at):
            self._at += 2
        elif char in "<>":
            self._angle(frame, char)
        elif char == "(":
            self._parenthesis(frame)
        elif char == ")":
            self._closing(frame)
        elif char in ";&|":
            self._operator(frame, char)
        elif char == "#" and frame.word is None and frame.mode != _TEST:
            self._comment()
        elif char == "{" and self._begins_command(frame) and self._is_group():
            frame.braces += 1
            self._at += 1
        else:
            self._part(self._building(frame), char)

    def _begins_command(self, frame: _Frame) -> bool:
        command = frame.command
        return (
            frame.mode == _CALL
            and frame.word is None
            and not frame.redirect
            and not command.words
            and not command.assignments
        )

    def _is_group(self) -> bool:
        """Whether the `{` here opens a group although no blank follows, as zsh has it."""
        after = self._value[self._at + 1 : self._at + 2]
        return after > " " and not _BRACES.match(self._value, self._at)

    def _comment(self) -> None:
        end = self._value.find("\n", self._at)
        self._at = self._end if end < 0 else end

    def _separator(self, frame: _Frame) -> None:
        """A new line or `;`."""
        newline = self._value[self._at] == "\n"
        self._end_word(frame)
        before_pattern = frame.mode == _PATTERN and not (frame.count or frame.depth)
        goes_on = frame.unfinished or frame.mode in (_SUBJECT, _TEST)
        if before_pattern or (newline and goes_on):
            pass
        else:
            frame.mode = _CALL
            command = self._end_command(frame)
            if newline and not (command.words or command.assignments):
                frame.command = command  # `a |` goes on in the next line
        self._at += 1

    def _operator(self, frame: _Frame, char: str) -> None:
        value, at = self._value, self._at
        two = value[at : at + 2]
        if two == "&>":
            self._redirect(frame, 3 if value.startswith("&>>", at) else 2)
            return
        self._end_word(frame)
        if (frame.mode == _TEST and char != ";") or (frame.mode == _PATTERN and char == "|"):
            frame.unfinished = True
            self._at += 1
        elif frame.cases and frame.mode == _CALL and two in (";;", ";&", ";|"):
            self._end_command(frame)
            self._at += 3 if value.startswith(";;&", at) else 2
            self._enter(frame, _PATTERN)
        elif char == ";":
            self._separator(frame)
        else:
            frame.mode = _CALL
            command = self._end_command(frame)
            # `&|` and `&!` are zsh's ways to send it into the background
            self._at += 2 if two in ("&&", "||", "|&", "&|", "&!") else 1
            if char == "|" and two != "||" and command.words:
                frame.command.source = command

    def _angle(self, frame: _Frame, char: str) -> None:
        value, at = self._value, self._at
        if value.startswith("(", at + 1):
            self._open(_LIST, 2, closer=")", host=self._building(frame))
        elif frame.mode == _TEST:
            self._end_word(frame)
            frame.unfinished = True
            self._at += 1
        elif value.startswith("<<<", at):
            self._redirect(frame, 3, "<<<")
        elif value.startswith("<<", at):
            self._heredoc(frame)
        else:
            end = at + 1
            while end < self._end and end < at + 4 and value[end] in "<>&|!":
                end += 1
            self._redirect(frame, end - at)

    def _redirect(self, frame: _Frame, length: int, kind: str = ">") -> None:
        """An operator such as `2>&`: neither it nor its target is a word of the command."""
        self._drop_descriptor(frame)
        self._end_word(frame)
        self._at += length
        frame.redirect = kind

    def _drop_descriptor(self, frame: _Frame) -> None:
        """Drop the word in front of an operator if it says what is redirected: `2`, `{name}`."""
        building = frame.word
        if building is not None and building.is_bare and building.length < 64:
            written = building.written
            if written.isdigit() or (written[0] == "{" and written[-1] == "}"):
                frame.word = None

    def _parenthesis(self, frame: _Frame) -> None:
        value, at = self._value, self._at
        mode = frame.mode
        if mode == _CALL:
            self._parenthesis_in_call(frame)
            return
        if mode == _LOOP and value.startswith("((", at) and not frame.count:
            frame.mode = _CALL  # what is done stands behind `do`, `{` or, in zsh, at once
            self._open(_ARITHMETIC, 2, closer=")")
            return
        self._end_word(frame)
        if frame.mode != mode:
            return  # the word before it has ended this mode
        self._at += 1
        if mode in (_LOOP, _ITEMS):
            frame.mode = _ITEMS  # zsh: for x (a b c)
            frame.depth += 1
        elif mode == _NAMES:
            frame.mode = _CALL
            close = _BLANKS.match(value, self._at)
            if close and value.startswith(")", close.end()):
                self._at = close.end() + 1
            else:
                self._at -= 1
                self._open(_LIST, 1, closer=")").inner = frame.inner
        else:
            if mode == _PATTERN and not (frame.count or frame.depth):
                frame.leading = True
            frame.depth += 1

    def _parenthesis_in_call(self, frame: _Frame) -> None:
        value, at = self._value, self._at
        command, building = frame.command, frame.word
        if building is not None and not frame.redirect:
            written = building.written if building.is_bare and building.length < 200 else ""
            if written == "=":
                # zsh: a file with the output of what is in parentheses
                self._open(_LIST, 1, closer=")", host=building)
                return
            if not command.words and written:
                found = _ASSIGNMENT.fullmatch(written)
                if found:
                    self._open(_ARRAY, 1, closer=")", host=building)
                    return
                if written in _BEFORE_PARENTHESIS:
                    self._end_word(frame)
                    return
        close = _BLANKS.match(value, at + 1)
        if (
            close
            and value.startswith(")", close.end())
            and not (command.assignments or frame.redirect or (building and command.words))
        ):
            # the name, or names, of a function; without one it is called at once
            frame.word = None
            command.words.clear()
            self._at = close.end() + 1
            return
        if building is not None or (command.words and command.words[0].shown not in _BEFORE_GROUP):
            # a pattern, or an array behind `declare a=`
            self._open(_ARRAY, 1, closer=")", host=self._building(frame))
            return
        if value.startswith("((", at) and self._is_arithmetic(at):
            self._open(_ARITHMETIC, 2, closer=")")
            return
        self._open(_LIST, 1, closer=")").inner = frame.inner

    def _closing(self, frame: _Frame) -> None:
        self._end_word(frame)
        if frame.depth and frame.mode != _CALL:
            frame.depth -= 1
            self._at += 1
            if frame.mode == _ITEMS and not frame.depth:
                frame.mode = _CALL
            elif frame.mode == _PATTERN and frame.leading and not frame.depth:
                # `(a|b)` is the whole pattern in front of a blank, in zsh else a part of it
                frame.leading = False
                if self._value[self._at : self._at + 1] <= " ":
                    frame.mode = _CALL
            return
        if frame.mode == _PATTERN:
            frame.mode = _CALL
            self._at += 1
            return
        frame.mode = _CALL
        self._end_command(frame)
        if frame.closer == ")":
            self._close(frame)
        else:
            self._at += 1

    def _is_arithmetic(self, at: int) -> bool:
        """Whether the `((` at `at` is closed by `))`; what is never closed is a group."""
        if self._ahead[0] <= 0:
            return True
        depth = 2
        end = self._end
        for found in _PARENTHESIS.finditer(self._value, at + 2):
            if found.group() == "(":
                depth += 1
            elif found.group() == ")":
                depth -= 1
                if depth == 1:
                    end = found.end()
                    break
        self._ahead[0] -= end - at
        self.steps += end - at
        return depth == 1 and self._value.startswith(")", end)

    # here-documents -----------------------------------------------------------------------------

    def _heredoc(self, frame: _Frame) -> None:
        """Read the delimiter, and expect a body behind this line."""
        tabs = self._value.startswith("-", self._at + 2)
        self._redirect(frame, 3 if tabs else 2)
        frame.redirect = ""
        value = self._value
        blanks = _BLANKS.match(value, self._at)
        start = end = blanks.end() if blanks else self._at
        quote = ""
        while end < self._end:
            char = value[end]
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char == "\\":
                end += 1
            elif char in " \t\r\n;&|()<>":
                break
            if char == "\n":
                break
            end += 1
        end = min(end, self._end)
        written = value[start:end]
        self.steps += end - start
        self._at = end
        delimiter = written.translate({ord(mark): None for mark in "'\"\\"})
        if written:
            self._heredocs.append(
                _Here(frame.command, delimiter, quoted=delimiter != written, tabs=tabs)
            )

    def _read_heredocs(self) -> None:
        value = self._value
        inside = any(frame.closer == ")" for frame in self._frames)
        for here in self._heredocs:
            start = at = self._at
            body = self._end
            while at < self._end:
                end = value.find("\n", at)
                end = self._end if end < 0 else end
                line = value[at:end].removesuffix("\r")
                line = line.lstrip("\t") if here.tabs else line
                if line == here.delimiter:
                    body, at = at, min(end + 1, self._end)
                    break
                if inside and line.startswith(here.delimiter + ")"):
                    # bash ends it there, too
                    body, at = at, value.index(here.delimiter, at) + len(here.delimiter)
                    break
                at = min(end + 1, self._end)
            self.steps += at - start
            self._at = at
            text = self._text[start:body]
            if not here.quoted and self._depth < MAX_DEPTH:
                text = self._data_of(text)
            if here.command.words:
                here.command.stdin = text
        self._heredocs.clear()

    # within words -------------------------------------------------------------------------------

    def _dollar(self, host: _Building | None, *, quoted: bool) -> None:
        """What begins with `$`, as a part of `host`; None in a text that is not kept."""
        value, at = self._value, self._at
        after = value[at + 1 : at + 2]
        if after == "(":
            if (
                self._grammar == POSIX
                and value.startswith("((", at + 1)
                and self._is_arithmetic(at + 1)
            ):
                self._open(_ARITHMETIC, 3, closer=")", host=host, quoted=quoted)
            else:
                self._open(_LIST, 2, closer=")", host=host, quoted=quoted)
        elif after == "{" and value[at + 2 : at + 3] in (" ", "\t", "\n", "|"):
            # bash 5.3 and ksh: commands in this shell
            self._open(_LIST, 3, closer="}", host=host, quoted=quoted)
        elif after == "{":
            self._open(_BRACE, 2, closer="}", host=host, quoted=quoted)
        elif after == "'" and not quoted and self._grammar == POSIX:
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

    def _escaped(self, host: _Building | None, length: int, escapes: dict[str, str] | None) -> None:
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

    def _backtick(self, host: _Building | None, *, quoted: bool) -> None:
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

    def _part(self, host: _Building, char: str) -> None:
        """A part of a word that begins with `char`: quotes, an expansion, an escape, itself."""
        if char == "'":
            end = self._value.find("'", self._at + 1)
            end = self._end if end < 0 else end
            self._at += 1
            self._take(host, end)
            self._at = min(end + 1, self._end)
        elif char == '"':
            host.close()
            self._open(_QUOTE, 1, closer='"', host=host)
        elif char == "$":
            self._dollar(host, quoted=False)
        elif char == "`" and self._grammar == POSIX:
            self._backtick(host, quoted=False)
        elif char == "\\" and self._at + 1 < self._end:
            self._at += 1
            self._take(host, self._at + 1)
        else:
            host.splits = host.splits or (char == "*" and self._end > 1)
            self._take(host, self._at + 1, bare=True)

    def _one_word(self, frame: _Frame, char: str) -> None:
        """Within a text that is one word, blanks and operators included."""
        assert frame.host is not None
        plain = _PLAIN_IN_WORD.match(self._value, self._at)
        if plain:
            self._take(frame.host, plain.end(), bare=True)
        elif self._value.startswith("\\\n", self._at):
            self._at += 2
        else:
            self._part(frame.host, char)

    def _quote(self, frame: _Frame, char: str) -> None:
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
        elif char == "`" and self._grammar == POSIX:
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

    def _unkept(self, frame: _Frame, char: str) -> None:
        """Within `${…}`, the parentheses of an array or a pattern, `((…))`: no command in there."""
        value, at = self._value, self._at
        plain = _UNKEPT[frame.kind].match(value, at)
        if plain:
            self._at = plain.end()
        elif char == "(" or (char == frame.closer and frame.depth):
            frame.depth += 1 if char == "(" else -1
            self._at += 1
        elif char == frame.closer:
            both = frame.kind == _ARITHMETIC and value.startswith("))", at)
            self._close(frame, 2 if both else 1)
        elif char == '"':
            self._open(_QUOTE, 1, closer='"')
        elif char == "'" and not frame.quoted:
            end = value.find("'", at + 1)
            self._at = self._end if end < 0 else end + 1
        elif char == "#" and frame.kind == _ARRAY and value[at - 1] in " \t\n(":
            self._comment()
        elif char in "<>" and value.startswith("(", at + 1):
            self._open(_LIST, 2, closer=")")
        elif char == "$":
            self._dollar(None, quoted=True)
        elif char == "`":
            self._backtick(None, quoted=False)
        else:
            self._at = min(at + (2 if char == "\\" else 1), self._end)

    # fish ---------------------------------------------------------------------------------------

    def _fish(self, frame: _Frame, char: str) -> None:
        value, at = self._value, self._at
        plain = _PLAIN.match(value, at)
        if plain:
            self._take(self._building(frame), plain.end(), bare=True)
        elif char in "\n;":
            self._end_word(frame)
            frame.mode = _CALL
            self._end_command(frame)
            self._at += 1
        elif char <= " " or char == "\x7f":
            self._end_word(frame)
            self._at += 1
        elif value.startswith("\\\n", at):
            self._at += 2
        elif char == "'":
            self._escaped(self._building(frame), 1, None)
        elif char == "(":
            self._open(_LIST, 1, closer=")", host=self._building(frame))
        elif char == ")":
            self._end_word(frame)
            frame.mode = _CALL
            self._end_command(frame)
            if frame.closer:
                self._close(frame)
            else:
                self._at += 1
        elif char == "#" and frame.word is None:
            self._comment()
        elif value.startswith("&>", at):
            self._redirect(frame, 3 if value.startswith("&>>", at) else 2)
        elif char in "&|" or value.startswith(">|", at):
            if char == ">":
                self._drop_descriptor(frame)
            self._end_word(frame)
            frame.mode = _CALL
            command = self._end_command(frame)
            two = value[at : at + 2]
            self._at += 2 if two in ("&&", "||", "&|", ">|") else 1
            piped = two in ("&|", ">|") or (char == "|" and two != "||")
            frame.command.source = command if piped and command.words else None
        elif char in "<>":
            end = at + 1
            while end < self._end and end < at + 3 and value[end] in "<>&?":
                end += 1
            self._redirect(frame, end - at)
        else:
            self._part(self._building(frame), char)


def _assignment(word: Word) -> Assignment | None:
    """`word` as `NAME=value` in front of a command, or None."""
    found = _ASSIGNMENT.match(word.content.value)
    if found is None or word.bare <= len(found.group(1)):
        return None
    return Assignment(found.group(1), word.after(found.end()), word.start, word.end)


def _without_brace(frame: _Frame, command: Command) -> None:
    """Take a `}` that closes a group off the last word, as zsh lets it stand there."""
    last = command.words[-1]
    shown = last.shown
    if len(shown) < 2 or shown[-1] != "}" or last.bare != len(shown) or "{" in shown:
        return
    frame.braces -= 1
    end = last.content.places[len(shown) - 1]
    command.words[-1] = Word(
        last.content[:-1], last.start, end, splits=last.splits, bare=last.bare - 1
    )


def _handed_on(command: Command) -> Text | None:
    """The text that `command` writes, if that is known: of `echo`, `printf`, what copies stdin."""
    words = command.words
    program = words[0].value
    if program == "tee" or (program == "cat" and len(words) == 1):
        return command.stdin
    if program not in ("echo", "printf"):
        return None
    at = 1
    while at < len(words) and words[at].shown in ("-e", "-n", "-ne", "-en", "--"):
        at += 1
    if program == "printf" and len(words) - at > 1:
        at += 1
    return joined([word.content for word in words[at:]], " ") if at < len(words) else None
