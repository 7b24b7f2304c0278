"""Splits the text of a startup script into simple commands, without running or expanding it.

Enough of the grammar of POSIX shells, bash, zsh and fish to know which words are a command and
on which line it starts: quoting, comments, continuation lines, here-documents, substitutions.
Substitutions are kept as opaque parts of a word. Every character is looked at once, so the time
is linear in the length of the text whatever it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Word:
    """One word: `text` with its quotes taken off.

    `literal` is False if the shell would expand something in it. `bare` is the number of leading
    characters that were neither quoted nor expanded: in `A="b"` they are `A=`. `start` and `end`
    are its offsets in the script, quotes included.
    """

    text: str = ""
    literal: bool = True
    bare: int = -1
    start: int = 0
    end: int = 0

    def close(self) -> None:
        """From here on the characters do not count as bare."""
        if self.bare < 0:
            self.bare = len(self.text)


@dataclass(slots=True)
class Command:
    """One simple command, with its redirections taken off; `line` counts from 1.

    `targets` are the words of the redirections: a shell runs the substitutions in them, too.
    """

    line: int
    words: list[Word] = field(default_factory=list)
    targets: list[Word] = field(default_factory=list)


def posix_commands(text: str) -> Iterator[Command]:
    """The simple commands of a script for sh, bash or zsh."""
    return _Posix(text).commands()


def fish_commands(text: str) -> Iterator[Command]:
    """The simple commands of a script for fish."""
    return _Fish(text).commands()


class _Reader:
    """What the two grammars share: position, line, the word and the command being built."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.word: list[str] | None = None
        self.made = Word()
        self.command = Command(1)
        self.drop_next = False

    def commands(self) -> Iterator[Command]:
        while self.at < len(self.text):
            if self.step():
                if self.command.words:
                    yield self.command
                self.command = Command(self.line)
        self.end_word()
        if self.command.words:
            yield self.command

    def step(self) -> bool:
        """Read one piece of the text; True if it ended a command."""
        raise NotImplementedError

    def add(self, text: str, *, quoted: bool = False, literal: bool = True) -> None:
        if self.word is None:
            self.word = []
            self.made = Word(start=self.at)
            if not self.command.words:
                self.command.line = self.line
        if quoted or not literal:
            self.close_bare()
        if not literal:
            self.made.literal = False
        self.word.append(text)

    def close_bare(self) -> None:
        if self.made.bare < 0 and self.word is not None:
            self.made.bare = sum(map(len, self.word))

    def end_word(self) -> None:
        if self.word is None:
            return
        self.made.text = "".join(self.word)
        self.made.end = self.at
        self.made.close()
        if self.drop_next:
            self.drop_next = False
            self.command.targets.append(self.made)
        else:
            self.command.words.append(self.made)
        self.word = None

    def advance(self, end: int) -> str:
        """Move to `end`, counting lines; returns what was passed over."""
        passed = self.text[self.at : end]
        self.line += passed.count("\n")
        self.at = end
        return passed

    def find(self, wanted: str, start: int) -> int:
        """Where `wanted` stands from `start` on; the end of the text if nowhere."""
        found = self.text.find(wanted, start)
        return len(self.text) if found < 0 else found

    def comment(self) -> None:
        self.at = self.find("\n", self.at)

    def escape(self) -> None:
        after = self.text[self.at + 1 : self.at + 2]
        if after != "\n":
            self.add(after, quoted=True)
        self.advance(self.at + 2)

    def redirect(self, end: int) -> None:
        """An operator such as `2>&`: neither it nor its target is a word of the command."""
        if self.word is not None and "".join(self.word).isdigit():
            self.word = None
        self.end_word()
        self.advance(end)
        self.drop_next = True

    def end_command(self, length: int = 1) -> bool:
        self.end_word()
        self.drop_next = False
        self.advance(self.at + length)
        return True


class _Posix(_Reader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.heredocs: list[tuple[str, bool]] = []

    def step(self) -> bool:
        char = self.text[self.at]
        if char == "\n":
            self.end_command()
            self.skip_heredocs()
            return True
        if char in " \t\r":
            self.end_word()
            self.at += 1
        elif char == "#" and self.word is None:
            self.comment()
        elif char == "\\":
            self.escape()
        elif char == "'":
            end = self.find("'", self.at + 1)
            self.add(self.text[self.at + 1 : end], quoted=True)
            self.advance(end + 1)
        elif char == '"':
            self.double_quoted()
        elif char == "$":
            self.dollar()
        elif char == "`":
            self.substitution(self.at + 1, "`")
        elif char in "<>":
            self.angle(char)
        elif char == "&" and self.text.startswith("&>", self.at):
            self.redirect(self.at + 2)
        elif char == "(":
            return self.parenthesis()
        elif char in ";&|)":
            return self.end_command()
        else:
            self.add(char)
            self.at += 1
        return False

    def double_quoted(self) -> None:
        end = skip(self.text, self.at + 1, '"')
        inside = self.text[self.at + 1 : max(self.at + 1, end - 1)]
        self.add("", quoted=True)
        if "$" in inside or "`" in inside or "\\" in inside:
            literal = not _expands(inside)
            self.add(_unescaped(inside), quoted=True, literal=literal)
        else:
            self.add(inside, quoted=True)
        self.advance(end)

    def dollar(self) -> None:
        after = self.text[self.at + 1 : self.at + 2]
        if after == "(":
            self.substitution(self.at + 2, ")")
        elif after == "{":
            self.substitution(self.at + 2, "}")
        elif after == "'":
            end = self.at + 2
            while end < len(self.text) and self.text[end] != "'":
                end += 2 if self.text[end] == "\\" else 1
            self.add(self.text[self.at + 2 : end], quoted=True)
            self.advance(min(end + 1, len(self.text)))
        elif after == '"':
            self.at += 1
        else:
            self.add("$", literal=False)
            self.at += 1

    def substitution(self, start: int, closer: str) -> None:
        end = skip(self.text, start, closer)
        self.add(self.text[self.at : end], literal=False)
        self.advance(end)

    def angle(self, char: str) -> None:
        text, at = self.text, self.at
        if text.startswith("<<<", at):
            self.redirect(at + 3)
        elif text.startswith("<<", at):
            tabs = text.startswith("-", at + 2)
            self.redirect(at + (3 if tabs else 2))
            self.heredoc(tabs)
        elif text.startswith("(", at + 1):
            self.substitution(at + 2, ")")
        else:
            end = at + 1
            while end < len(text) and text[end] in "<>&|!":
                end += 1
            self.redirect(end)

    def heredoc(self, tabs: bool) -> None:
        """Read the delimiter, with any quoting taken off, and expect a body after this line."""
        self.drop_next = False
        start = self.at
        while start < len(self.text) and self.text[start] in " \t":
            start += 1
        end = start
        quote = ""
        while end < len(self.text):
            char = self.text[end]
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char in " \t\n;&|()<>":
                break
            end += 1
        delimiter = self.text[start:end]
        for mark in "'\"\\":
            delimiter = delimiter.replace(mark, "")
        self.advance(end)
        if delimiter:
            self.heredocs.append((delimiter, tabs))

    def skip_heredocs(self) -> None:
        for delimiter, tabs in self.heredocs:
            while self.at < len(self.text):
                end = self.find("\n", self.at)
                body = self.text[self.at : end]
                self.advance(min(end + 1, len(self.text)))
                if (body.lstrip("\t") if tabs else body) == delimiter:
                    break
        self.heredocs = []

    def parenthesis(self) -> bool:
        if self.word is not None and self.word[-1] == "=":
            # an array: its elements are not commands
            end = skip(self.text, self.at + 1, ")")
            self.add("", literal=False)
            self.advance(end)
            return False
        arithmetic = self.text.startswith("((", self.at)
        if arithmetic and self.word is None and not self.command.words:
            # `<<` in here is a shift, not a here-document
            self.advance(skip(self.text, self.at + 1, ")"))
            return True
        return self.end_command()


class _Fish(_Reader):
    def step(self) -> bool:
        char = self.text[self.at]
        if char in "\n;|":
            return self.end_command()
        if char == "&":
            if self.text.startswith("&>", self.at):
                self.redirect(self.at + 2)
                return False
            return self.end_command()
        if char in " \t\r":
            self.end_word()
            self.at += 1
        elif char == "#" and self.word is None:
            self.comment()
        elif char == "\\":
            self.escape()
        elif char in "'\"":
            self.quoted(char)
        elif char == "(":
            end = skip(self.text, self.at + 1, ")")
            self.add(self.text[self.at : end], literal=False)
            self.advance(end)
        elif char == "$":
            self.add("$", literal=False)
            self.at += 1
        elif char in "<>":
            end = self.at + 1
            while end < len(self.text) and self.text[end] in "<>&|?":
                end += 1
            self.redirect(end)
        else:
            self.add(char)
            self.at += 1
        return False

    def quoted(self, quote: str) -> None:
        end = self.at + 1
        out = []
        expands = False
        while end < len(self.text) and self.text[end] != quote:
            char = self.text[end]
            if char == "\\" and self.text[end + 1 : end + 2] in ("\\", quote, "$"):
                out.append(self.text[end + 1])
                end += 2
                continue
            expands = expands or (char == "$" and quote == '"')
            out.append(char)
            end += 1
        self.add("".join(out), quoted=True, literal=not expands)
        self.advance(min(end + 1, len(self.text)))


def skip(text: str, at: int, closer: str) -> int:
    """The position behind the `closer` that matches an opener just before `at`.

    Knows quotes and nested substitutions; the end of the text if it is never closed. A list
    takes the place of recursion: the depth is the text's to choose.
    """
    open_ = [closer]
    while open_ and at < len(text):
        char = text[at]
        top = open_[-1]
        if char == "\\":
            at += 2
            continue
        if char == top:
            open_.pop()
        elif top == "`":
            pass
        elif char == "$" and text[at + 1 : at + 2] in ("(", "{"):
            open_.append(")" if text[at + 1] == "(" else "}")
            at += 1
        elif char == "`":
            open_.append("`")
        elif char == '"':
            open_.append('"')
        elif top == '"':
            pass
        elif char == "'" and not (top == "}" and open_[-2:-1] == ['"']):
            end = text.find("'", at + 1)
            at = len(text) if end < 0 else end
        elif char == "(" and top == ")":
            open_.append(")")
        elif char == "#" and top == ")" and text[at - 1] in " \t\n;":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        at += 1
    return min(at, len(text))


def _expands(inside: str) -> bool:
    """Whether double-quoted text holds an expansion that is not escaped."""
    at = 0
    while at < len(inside):
        if inside[at] == "\\":
            at += 2
            continue
        if inside[at] in "$`":
            return True
        at += 1
    return False


def _unescaped(inside: str) -> str:
    out = []
    at = 0
    while at < len(inside):
        if inside[at] == "\\" and inside[at + 1 : at + 2] in ("$", "`", '"', "\\", "\n"):
            if inside[at + 1] != "\n":
                out.append(inside[at + 1])
            at += 2
            continue
        out.append(inside[at])
        at += 1
    return "".join(out)
