"""How sh, bash, ksh and zsh read a list of commands."""

from __future__ import annotations

import re

from guard.record import Record
from guard.sources.positions.text import Text, joined
from guard.sources.shell_commands.reader import (
    ARITHMETIC,
    ARRAY,
    CALL,
    ITEMS,
    LIST,
    LOOP,
    MAX_DEPTH,
    NAMES,
    ONE,
    PATTERN,
    PLAIN,
    QUOTE,
    SUBJECT,
    TEST,
    Building,
    Frame,
    Reader,
)
from guard.sources.shell_commands.words import Command, Word, assignment_name

_PARENTHESIS = re.compile(r"\\.|'[^']*'|[()]", re.DOTALL)
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
_BEFORE_PARENTHESIS = _RESERVED | {"{", "case", "for", "foreach", "select", "function", "repeat"}
_BEFORE_GROUP = frozenset(("time", "noglob", "nocorrect", "coproc"))


class _Here(Record):
    """A here-document whose body has not come yet."""

    command: Command
    delimiter: str
    quoted: bool
    tabs: bool


class PosixReader(Reader):
    """Reads a text of a POSIX shell, bash, ksh or zsh."""

    posix = True

    def __init__(self, text: Text, *, outer: PosixReader | None = None) -> None:
        super().__init__(text, outer=outer)
        self._heredocs: list[_Here] = []
        # characters that may be looked at once more to tell `((` from two groups; for all texts
        # within this one together
        self._ahead: list[int] = [4 * len(text)] if outer is None else outer._ahead

    def _data_of(self, text: Text) -> Text:
        """`text` as a here-document hands it on, with the commands in it read."""
        inner = PosixReader(text, outer=self)
        building = Building(0)
        inner._run(Frame(QUOTE, 0, host=building))
        self.steps += inner.steps
        return joined(building.parts) if building.parts else text

    def _is_brace(self, frame: Frame, word: Word) -> bool:
        if len(frame.command.words) == 1 and word.is_bare("{"):
            # `coproc NAME {`
            frame.command.words.clear()
            frame.braces += 1
            return True
        if frame.braces and word.is_bare("}"):
            # zsh lets it end a group without a `;` before it
            frame.braces -= 1
            self._end_command(frame)
            return True
        return False

    def _end_command(self, frame: Frame) -> Command:
        self._end_word(frame)
        if frame.braces and frame.command.words:
            _without_brace(frame, frame.command)
        return super()._end_command(frame)

    def _keyword(self, frame: Frame, shown: str) -> bool:
        """Whether `shown`, at the begin of a command, is none."""
        if shown in _RESERVED:
            return True
        if shown == "{":
            frame.braces += 1
        elif shown == "}":
            frame.braces = max(0, frame.braces - 1)
        elif shown == "esac":
            frame.cases = max(0, frame.cases - 1)
        elif shown == "[[":
            self._enter(frame, TEST)
        elif shown == "case":
            self._enter(frame, SUBJECT)
        elif shown in ("for", "select", "foreach"):
            self._enter(frame, LOOP)
        elif shown == "function":
            self._enter(frame, NAMES)
        elif shown == "repeat":
            self._enter(frame, ONE)
        else:
            return False
        return True

    def _add_other(self, frame: Frame, word: Word) -> None:
        """`word` stands where no command is read."""
        shown = word.content.value if word.bare == len(word.content) else ""
        mode = frame.mode
        first = frame.count == 0
        frame.count += 1
        frame.unfinished = False
        if mode == TEST:
            if shown == "]]":
                frame.mode = CALL
        elif mode == SUBJECT:
            if shown in ("in", "{") and not first:
                frame.cases += 1
                self._enter(frame, PATTERN)
        elif mode == PATTERN:
            if shown in ("esac", "}") and first and not frame.depth:
                frame.cases -= 1
                frame.mode = CALL
        elif mode == LOOP:
            if shown == "do" or (shown == "{" and not first):
                frame.braces += shown == "{"
                frame.mode = CALL
            elif shown == "in" and not first:
                self._enter(frame, ITEMS)
            else:
                name = Text.of("for", word.start)
                loop = Word(name, word.start, word.end)
                self._found.append(Command([loop, word]))
        elif mode == NAMES:
            if shown == "{":
                frame.braces += 1
                frame.mode = CALL
        elif mode == ONE:
            frame.mode = CALL

    def _list(self, frame: Frame, char: str) -> None:
        if char == "}" == frame.closer and not frame.braces and self._begins_command(frame):
            self._close(frame)
            return
        plain = PLAIN.match(self._value, self._at)
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
        elif char == "#" and frame.word is None and frame.mode != TEST:
            self._comment()
        elif char == "{" and self._begins_command(frame) and self._is_group():
            frame.braces += 1
            self._at += 1
        else:
            self._part(self._building(frame), char)

    def _begins_command(self, frame: Frame) -> bool:
        command = frame.command
        return (
            frame.mode == CALL
            and frame.word is None
            and not frame.redirect
            and not command.words
            and not command.assignments
        )

    def _is_group(self) -> bool:
        """Whether the `{` here opens a group although no blank follows, as zsh has it."""
        after = self._value[self._at + 1 : self._at + 2]
        return after > " " and not _BRACES.match(self._value, self._at)

    def _separator(self, frame: Frame) -> None:
        """A new line or `;`."""
        newline = self._value[self._at] == "\n"
        self._end_word(frame)
        before_pattern = frame.mode == PATTERN and not (frame.count or frame.depth)
        goes_on = frame.unfinished or frame.mode in (SUBJECT, TEST)
        if before_pattern or (newline and goes_on):
            pass
        else:
            frame.mode = CALL
            command = self._end_command(frame)
            if newline and not (command.words or command.assignments):
                frame.command = command  # `a |` goes on in the next line
        self._at += 1

    def _operator(self, frame: Frame, char: str) -> None:
        value, at = self._value, self._at
        two = value[at : at + 2]
        if two == "&>":
            self._redirect(frame, 3 if value.startswith("&>>", at) else 2)
            return
        self._end_word(frame)
        if (frame.mode == TEST and char != ";") or (frame.mode == PATTERN and char == "|"):
            frame.unfinished = True
            self._at += 1
        elif frame.cases and frame.mode == CALL and two in (";;", ";&", ";|"):
            self._end_command(frame)
            self._at += 3 if value.startswith(";;&", at) else 2
            self._enter(frame, PATTERN)
        elif char == ";":
            self._separator(frame)
        else:
            frame.mode = CALL
            command = self._end_command(frame)
            # `&|` and `&!` are zsh's ways to send it into the background
            self._at += 2 if two in ("&&", "||", "|&", "&|", "&!") else 1
            if char == "|" and two != "||" and command.words:
                frame.command.source = command

    def _angle(self, frame: Frame, char: str) -> None:
        value, at = self._value, self._at
        if value.startswith("(", at + 1):
            self._open(LIST, 2, closer=")", host=self._building(frame))
        elif frame.mode == TEST:
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
            self._redirect(frame, end - at, char)

    def _parenthesis(self, frame: Frame) -> None:
        value, at = self._value, self._at
        mode = frame.mode
        if mode == CALL:
            self._parenthesis_in_call(frame)
            return
        if mode == LOOP and value.startswith("((", at) and not frame.count:
            frame.mode = CALL  # what is done stands behind `do`, `{` or, in zsh, at once
            self._open(ARITHMETIC, 2, closer=")")
            return
        self._end_word(frame)
        if frame.mode != mode:
            return  # the word before it has ended this mode
        self._at += 1
        if mode in (LOOP, ITEMS):
            frame.mode = ITEMS  # zsh: for x (a b c)
            frame.depth += 1
        elif mode == NAMES:
            frame.mode = CALL
            close = _BLANKS.match(value, self._at)
            if close and value.startswith(")", close.end()):
                self._at = close.end() + 1
            else:
                self._at -= 1
                self._open(LIST, 1, closer=")").inner = frame.inner
        else:
            if mode == PATTERN and not (frame.count or frame.depth):
                frame.leading = True
            frame.depth += 1

    def _parenthesis_in_call(self, frame: Frame) -> None:
        value, at = self._value, self._at
        command, building = frame.command, frame.word
        if building is not None and not frame.redirect:
            written = building.written if building.is_bare and building.length < 200 else ""
            if written == "=":
                # zsh: a file with the output of what is in parentheses
                self._open(LIST, 1, closer=")", host=building)
                return
            if not command.words and written:
                if assignment_name(written):
                    self._open(ARRAY, 1, closer=")", host=building)
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
            self._open(ARRAY, 1, closer=")", host=self._building(frame))
            return
        if self._is_arithmetic(at):
            self._open(ARITHMETIC, 2, closer=")")
            return
        self._open(LIST, 1, closer=")").inner = frame.inner

    def _closing(self, frame: Frame) -> None:
        self._end_word(frame)
        if frame.depth and frame.mode != CALL:
            frame.depth -= 1
            self._at += 1
            if frame.mode == ITEMS and not frame.depth:
                frame.mode = CALL
            elif frame.mode == PATTERN and frame.leading and not frame.depth:
                # `(a|b)` is the whole pattern in front of a blank, in zsh else a part of it
                frame.leading = False
                if self._value[self._at : self._at + 1] <= " ":
                    frame.mode = CALL
            return
        if frame.mode == PATTERN:
            frame.mode = CALL
            self._at += 1
            return
        frame.mode = CALL
        self._end_command(frame)
        if frame.closer == ")":
            self._close(frame)
        else:
            self._at += 1

    def _is_arithmetic(self, at: int) -> bool:
        if not self._value.startswith("((", at):
            return False
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

    def _heredoc(self, frame: Frame) -> None:
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


def _without_brace(frame: Frame, command: Command) -> None:
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
