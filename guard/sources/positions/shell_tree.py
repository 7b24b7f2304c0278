"""The simple commands of a shell text, read with the bash grammar of tree-sitter.

Comments, strings, here-documents that are data, and longer words are told apart by the grammar;
commands in functions, pipelines, loops, conditions and substitutions are all found. The text is
read, not run: what stands in a branch counts as if it were reached.

The walk over the tree uses a list, not recursion, and a text is given up when it is larger than
MAX_CHARACTERS or takes the parser longer than MAX_SECONDS (its error recovery is quadratic for
texts such as a thousand opened brackets).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from guard.sources.positions.text import Text, joined
from guard.sources.shell_commands import skip

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_CHARACTERS = 512 * 1024
"""Characters. A script beyond this is not one that a person wrote."""

MAX_SECONDS = 1.0
"""Seconds of processor time for one text."""

_ODD = re.compile(r"[^\x09\x0a\x20-\x7e]")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[[^]]*\])?\+?=")
_WORD_ENDS = frozenset(" \t\n;&|()<>")
_PART_OF_COMMAND = frozenset(("file_redirect", "heredoc_redirect", "herestring_redirect"))
_ANSI = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}


class UnparsedError(Exception):
    """A text that was given up; says why, without its content."""


class Word:
    """One word of a command.

    `content` is the word with its quotes taken off; expansions stay in it as they are written.
    `literal` tells that it holds none. `splits` tells that it can become several words or none
    (`$@`, an unquoted variable, a glob). `start` and `end` are file offsets, quotes included.
    """

    __slots__ = ("content", "end", "literal", "splits", "start")

    def __init__(
        self, content: Text, start: int, end: int, *, literal: bool = True, splits: bool = False
    ) -> None:
        self.content = content
        self.start = start
        self.end = end
        self.literal = literal
        self.splits = splits

    @property
    def value(self) -> str | None:
        """What the program gets, or None where only a running shell could tell."""
        return self.content.value if self.literal else None

    @property
    def shown(self) -> str:
        """The word as it is written, without its quotes."""
        return self.content.value

    def after(self, count: int) -> Word:
        """The word without its first `count` characters."""
        rest = self.content[count:]
        return Word(rest, rest.start, self.end, literal=self.literal, splits=self.splits)

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
    an `echo` piped into it. `piped` tells that something else is piped into it.
    """

    __slots__ = ("assignments", "piped", "stdin", "words")

    def __init__(
        self,
        words: list[Word],
        assignments: list[Assignment],
        stdin: Text | None = None,
        *,
        piped: bool = False,
    ) -> None:
        self.words = words
        self.assignments = assignments
        self.stdin = stdin
        self.piped = piped

    def __repr__(self) -> str:
        return f"Command({self.words!r})"


@cache
def _parser() -> Parser:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def commands(text: Text, deadline: float = 0.0) -> Iterator[Command]:
    """The simple commands in `text`, in the order in which they stand.

    `deadline` is a time of `time.thread_time()`, by default MAX_SECONDS from now. Raises
    UnparsedError.
    """
    if len(text) > MAX_CHARACTERS:
        raise UnparsedError(f"is longer than {MAX_CHARACTERS // 1024} KiB of shell")
    # one byte for each character, so that the tree's offsets are ours; a letter outside ASCII is
    # a letter of a word, and control characters mean nothing to a shell
    source = _ODD.sub(_ascii, text.value).encode("ascii")
    deadline = deadline or time.thread_time() + MAX_SECONDS

    def read(offset: int, _: object) -> bytes:
        return source[offset : offset + 4096]

    def late(_: int, __: bool) -> bool:
        return time.thread_time() > deadline

    try:
        tree = _parser().parse(read, progress_callback=late)
    except ValueError:
        _parser().reset()
        raise UnparsedError("takes too long to parse as shell") from None
    yield from _Walk(text).commands(tree.root_node)


def _ascii(found: re.Match[str]) -> str:
    return " " if found.group() < " " or found.group() == "\x7f" else "x"


class _Walk:
    def __init__(self, text: Text) -> None:
        self._text = text
        self._stdin: dict[int, Text] = {}
        self._piped: set[int] = set()

    def commands(self, root: Node) -> Iterator[Command]:
        open_ = [root]
        while open_:
            node = open_.pop()
            kind = node.type
            children = node.children
            if kind == "redirected_statement":
                self._redirected(node)
            elif kind == "pipeline":
                self._pipeline(children)
            elif kind in ("command", "declaration_command", "unset_command"):
                yield from self._command(node)
            elif kind in ("variable_assignment", "variable_assignments"):
                found = [node] if kind == "variable_assignment" else children
                yield Command([], [a for a in map(self._assignment, found) if a is not None])
                children = [c for n in found for c in n.children]
            elif kind == "comment":
                continue
            if kind in ("command", "declaration_command"):
                # its own assignments are its own; what is substituted in them is not
                children = [
                    below
                    for child in children
                    for below in (
                        child.children if child.type == "variable_assignment" else [child]
                    )
                ]
            open_.extend(reversed(children))

    def _command(self, node: Node) -> Iterator[Command]:
        words: list[Word] = []
        assignments: list[Assignment] = []
        end = -1
        for child in node.children:
            if child.type in _PART_OF_COMMAND:
                if child.type == "herestring_redirect":
                    self._stdin[node.id] = self._here_string(child)
                continue
            if child.type == "variable_assignment" and not words:
                assignment = self._assignment(child)
                if assignment is not None:
                    assignments.append(assignment)
                end = child.end_byte
                continue
            if assignments and not words and "\n" in self._between(end, child.start_byte):
                # the grammar joins `A=1 B=2` with the command on the next line
                yield Command([], assignments)
                assignments = []
            words.append(self._word(child.start_byte, child.end_byte))
        if len(words) == 2 and words[1].shown == "{":
            # `function 'name' {`, which zsh allows and the grammar does not know
            return
        stdin = self._stdin.pop(node.id, None)
        yield Command(words, assignments, stdin, piped=node.id in self._piped)

    def _between(self, start: int, end: int) -> str:
        return self._text.value[start:end].replace("\\\n", "")

    def _assignment(self, node: Node) -> Assignment | None:
        written = self._text[node.start_byte : node.end_byte]
        found = _ASSIGNMENT.match(written.value)
        if found is None:
            return None
        value = self._word(node.start_byte + found.end(), node.end_byte)
        return Assignment(found.group(1), value, written.start, written.end)

    def _word(self, start: int, end: int) -> Word:
        return unquoted(self._text[start:end])

    def _redirected(self, node: Node) -> None:
        body = node.child_by_field_name("body")
        if body is None:
            return
        reader = _last_command(body)
        for redirect in node.children:
            if redirect.type == "herestring_redirect" and reader is not None:
                self._stdin[reader.id] = self._here_string(redirect)
            elif redirect.type == "heredoc_redirect":
                text = self._heredoc(redirect)
                if text is None:
                    continue
                if reader is not None:
                    self._stdin[reader.id] = text
                after = [c for c in redirect.children if c.type == "pipeline"]
                for pipeline in after:
                    following = [c for c in pipeline.children if c.is_named]
                    if reader is not None and self._is_copier(reader) and following:
                        first = _first_command(following[0])
                        if first is not None:
                            self._stdin[first.id] = text

    def _pipeline(self, children: list[Node]) -> None:
        stages = [c for c in children if c.is_named]
        for before, after in pairwise(stages):
            reader = _first_command(after)
            if reader is None:
                continue
            self._piped.add(reader.id)
            if before.type == "command":
                said = self._said(before)
                if said is not None:
                    self._stdin[reader.id] = said
            elif before.type == "redirected_statement":
                body = before.child_by_field_name("body")
                if body is None or not self._is_copier(body):
                    continue
                for redirect in before.children:
                    text = None
                    if redirect.type == "heredoc_redirect":
                        text = self._heredoc(redirect)
                    elif redirect.type == "herestring_redirect":
                        text = self._here_string(redirect)
                    if text is not None:
                        self._stdin[reader.id] = text

    def _is_copier(self, node: Node) -> bool:
        """Whether `node` is `cat`, which hands on what it reads."""
        if node.type != "command" or len(node.children) != 1:
            return False
        return self._text.value[node.start_byte : node.end_byte] == "cat"

    def _said(self, node: Node) -> Text | None:
        """What `echo` or `printf` says, if that is one text that is known."""
        words = [self._word(c.start_byte, c.end_byte) for c in node.children]
        if not words or words[0].value not in ("echo", "printf"):
            return None
        rest = words[1:]
        while rest and rest[0].shown in ("-e", "-n", "-ne", "-en", "--"):
            rest = rest[1:]
        if words[0].value == "printf" and len(rest) > 1:
            rest = rest[1:]
        return joined([word.content for word in rest], " ") if rest else None

    def _heredoc(self, node: Node) -> Text | None:
        for child in node.children:
            if child.type == "heredoc_body":
                return self._text[child.start_byte : child.end_byte]
        return None

    def _here_string(self, node: Node) -> Text:
        last = node.children[-1]
        return self._word(last.start_byte, last.end_byte).content


def _last_command(node: Node) -> Node | None:
    while node.type in ("pipeline", "list", "negated_command") and node.named_children:
        node = node.named_children[-1]
    return node if node.type == "command" else None


def _first_command(node: Node) -> Node | None:
    while node.type in ("pipeline", "list", "negated_command", "redirected_statement"):
        if not node.named_children:
            return None
        node = node.named_children[0]
    return node if node.type == "command" else None


def unquoted(text: Text) -> Word:
    """The word that is written as `text`: quotes and escapes taken off, expansions noticed."""
    value = text.value
    start, end = text.start, text.end
    if not any(c in value for c in "'\"\\$`*?[{"):
        return Word(text, start, end)
    parts: list[Text] = []
    literal, splits = True, False
    at, plain = 0, 0
    quoted = False

    def flush(to: int) -> None:
        if to > plain:
            parts.append(text[plain:to])

    while at < len(value):
        char = value[at]
        if char == "'" and not quoted:
            flush(at)
            close = value.find("'", at + 1)
            close = len(value) if close < 0 else close
            parts.append(text[at + 1 : close])
            at = plain = close + 1
        elif char == '"':
            flush(at)
            quoted = not quoted
            at += 1
            plain = at
        elif char == "\\" and at + 1 < len(value):
            after = value[at + 1]
            if not quoted or after in '$`"\\\n':
                flush(at)
                if after != "\n":
                    parts.append(text[at + 1 : at + 2])
                plain = at + 2
            at += 2
        elif char == "$" and value[at + 1 : at + 2] == "'" and not quoted:
            flush(at)
            at = plain = _ansi_quoted(text, at + 2, parts)
        elif char == "$" and value[at + 1 : at + 2] == '"' and not quoted:
            flush(at)
            at = plain = at + 1
        elif char in "$`":
            close = _expansion_end(value, at)
            if close > at + 1:
                literal = False
                splits = (
                    splits or not quoted or value[at : at + 2] == "$@" or "[@]" in value[at:close]
                )
            at = close
        else:
            if not quoted and char in "*?[{" and len(value) > 1:
                splits = splits or char == "*"
            at += 1
    flush(len(value))
    content = joined(parts) if parts else Text("", (start + 1 if end > start else start,))
    return Word(content, start, end, literal=literal, splits=splits)


def _expansion_end(value: str, at: int) -> int:
    """Where the expansion that begins at `at` ends; `at + 1` if the `$` is only a `$`."""
    if value[at] == "`":
        return skip(value, at + 1, "`")
    after = value[at + 1 : at + 2]
    if after == "(":
        return skip(value, at + 2, ")")
    if after == "{":
        return skip(value, at + 2, "}")
    end = at + 1
    if after.isalpha() or after == "_":
        while end < len(value) and (value[end].isalnum() or value[end] == "_"):
            end += 1
        return end
    return at + 2 if after and after in "@*#?$!-0123456789" else at + 1


def _ansi_quoted(text: Text, at: int, parts: list[Text]) -> int:
    value = text.value
    while at < len(value) and value[at] != "'":
        if value[at] == "\\" and at + 1 < len(value):
            char = _ANSI.get(value[at + 1], value[at + 1])
            parts.append(Text(char, (text.places[at], text.places[at + 2])))
            at += 2
        else:
            parts.append(text[at : at + 1])
            at += 1
    return at + 1
