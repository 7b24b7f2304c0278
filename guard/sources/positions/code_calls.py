"""What source code starts: the words of `subprocess.run(["a", "b"])`, `spawn("a", ["b"])` and such.

Read without a parser of the language: of a call by one of the known names the literals of its
first arguments count, whatever language it is. A name that is passed stands for the list or text
that the code last gave it. What cannot be told is a word that is not literal.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import NamedTuple

from guard.late import late
from guard.sources.positions.here_documents import Ends
from guard.sources.positions.text import Text, joined
from guard.sources.shell_commands.words import UnparsedError, Word

_WORDS = (
    # Python: subprocess, asyncio, os, pexpect
    *("run", "call", "check_call", "check_output", "Popen", "create_subprocess_exec"),
    *("execv", "execvp", "execve", "execvpe", "execl", "execlp", "spawnv", "spawnvp", "spawnl"),
    # Node.js, Bun, Deno, execa
    *(
        "spawn",
        "spawnSync",
        "execFile",
        "execFileSync",
        "fork",
        "execa",
        "execaSync",
        "Deno.Command",
    ),
    # Go, Java, C#, Ruby
    *("exec.Command", "exec.CommandContext", "ProcessBuilder", "Process.Start", "capture2"),
    *("capture3", "capture2e", "popen3"),
    # Rust, Mage, Elixir, Neovim, Gradle, Meson, R
    *("Command::new", "RunV", "RunWith", "Run", "Output", "System.cmd", "jobstart"),
    *("commandLine", "run_command", "system2"),
)
_TEXTS = (
    *("os.system", "os.popen", "getoutput", "getstatusoutput", "create_subprocess_shell"),
    *("exec", "execSync", "execaCommand", "system", "shell_exec", "passthru", "popen", "proc_open"),
    *("os.execute", "shell-command"),
)
"""Functions that get words, and those that get a text for a shell (or words, if there are more)."""

_TWICE = ("execv", "execvp", "execve", "execvpe", "execl", "execlp")
"""Functions that get the program, and then its name again as the first word."""

_CONTEXT_FIRST = "exec.CommandContext"
"""The function that gets something else before the program."""

_OWNERS = frozenset(
    (
        *("", "subprocess", "sp", "asyncio", "os", "pexpect", "pty", "posix"),
        *("child_process", "childProcess", "cp", "Bun", "process", "Open3", "Process", "Kernel"),
        # Mage, Neovim, Elixir
        *("sh", "fn", "System"),
    )
)
"""What such a function belongs to; other things have functions of these names as well."""

_TASK_OWNERS = frozenset(("session", "c", "ctx", "context", "conn"))
_TASK_RUNNER = late(r"^[ \t]*(?:import|from)[ \t]+(?:nox|invoke|fabric)\b", re.M)
"""What nox, invoke and fabric call what runs a command, and the line without which it is something
else: a session of a database, a test's terminal."""

_IMPORTED = ("run", "call")
"""Names so common that alone they only count where they are imported from subprocess."""

_STEMS = (
    *("exec", "spawn", "open", "run", "call", "output", "system", "shell", "fork", "Command"),
    *("ProcessBuilder", "Process.Start", "capture", "passthru", "Run", "Output", "System.cmd"),
    *("jobstart", "commandLine"),
)
_BY_STEM = tuple(
    (stem, [n for n in (*_WORDS, *_TEXTS) if stem == next(one for one in _STEMS if one in n)])
    for stem in _STEMS
)
"""The functions by a part of their names. Most files have few of these parts, and looking for a
part takes far less time than a regex of all names."""

_BRACKET = late(r"\s{0,3}\(")
_OWNER = late(r"(?<![\w$.])(?P<owner>(?:[A-Za-z_$][\w$]{0,60}(?:\(\))?(?:\.|::|->)){0,4})\Z")
_OWNER_SIZE = 4 * 66
"""Characters in front of a call, in which its owner is looked for: behind the name that was found,
because a search that begins with an owner tries one at every word of the file."""
_TEMPLATE = late(r"(?<![\w$)\]])\$(?:\([^()\n]{0,200}\))?(?=`)")  # zx: $`command`
_STRING = late(
    r"(?P<prefix>[fFrRbBuU$@]{0,2})(?P<quote>\"\"\"|'''|\"|'|`)(?P<body>(?:[^\\]|\\.)*?)(?P=quote)",
    re.S,
)
_SPACE = late(r"(?:\s|//[^\n]*|#[^\n]*|\\\n)*")
_NAME = late(r"[A-Za-z_$][\w$.]*")
_KEYWORD = late(r"[A-Za-z_]\w*\s*[=:](?!=)")
_HOLE = {
    "f": re.compile(r"\{\{|\}\}|\{[^{}]*\}"),
    "`": re.compile(r"\$\{[^{}]*\}"),
    "": re.compile(r"#\{[^{}]*\}"),
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\n": ""}
_OPEN, _CLOSE = "([{", ")]}"
_UNKNOWN = "$"
_FIRST_NAME = late(
    r"\s*(?P<key>\w+\s*=\s*)?[\[(]?\s*(?:\*|\.\.\.)?(?P<name>[A-Za-z_$][\w$]*)\s*[,)\]]"
)
_GIVEN = late(
    # with blanks around the `=`: a keyword of another call has none. What follows the name is
    # not taken: in `else: a = [` there are two names
    r"(?<![\w$.])(?P<name>[A-Za-z_$][\w$.]*+)"
    r"(?=(?P<given>(?:[ \t]{0,3}:[^=\n]{0,60}?)?[ \t]:?=\s{1,3})[\[(\"'`])"
)
_QUOTED = late(r"\s*[\[(]?\s*[fFrRbBuU$@]{0,2}[\"'`]")
_TABLE = late(r"\{\s*[\"'][^\"':=\n]{0,200}[\"']\s*[,}]")  # a list in Lua
_OPTION_ARGS = late(r"\{[^{}\[]{0,200}?\bargs\s{0,3}:\s{0,3}\[")
_CHAINED = late(r"\)\s*(?:\.(?!args?\b)\w+\([^()]{0,200}\)\s*){0,9}\.args?\(")
_SPREAD = late(r"\*|\.\.\.")
_SPLIT = late(r"(?:shlex\.split|[Ss]hellwords\.(?:split|shellwords))\(\s*")
_LONGEST = 4000
"""Characters of a string literal, and of what is passed over to find the next argument."""
_LONGEST_STARTED = 32_000
"""The same in a call that starts with what tells, and in a list that has a name: prompts are
long."""
_LONGEST_WORD = 100
"""Characters of what tells; more than any has."""
_MOST = 500
"""Calls of one file that are looked at, and words of one call."""
_MOST_LISTS = 2000
"""Lists and texts of one file that names stand for in its calls."""
_DEEPEST = 50
"""Names that stand for lists with names, one in the other."""


class _Named(NamedTuple):
    """The name of a function: where it begins, the offset behind its bracket."""

    start: int
    end: int
    name: str


class CodeCall(NamedTuple):
    """One call: the words that are started, or the one text that a shell gets."""

    words: list[Word]
    is_text: bool


def calls(text: str, tells: Callable[[str], bool]) -> Iterator[CodeCall]:
    """The calls in `text`, the code of a file, in their order.

    `tells` is whether a part of the text, in lower case, holds one of the words without which a
    call means nothing to the caller: only what stands before one of them, or is given a name, is
    read. Raises UnparsedError behind the first _MOST of these.
    """
    read, given = 0, _Given(text)
    quiet = 0  # the end of what was asked about and tells nothing: it is not asked about again
    for found in _named(text):
        name, start = found.name, found.end
        if not _starts(found, text):
            continue
        given_name = _FIRST_NAME.match(text, start, start + 200)
        if given_name is not None:
            known = given.before(given_name["name"], given_name.start("name")) >= 0
            if not known and not given_name["key"] and name != _CONTEXT_FIRST:
                continue  # which program it is, nobody can tell
        else:
            end = start + _LONGEST
            if not tells(text[max(start, quiet - _LONGEST_WORD) : end].lower()):
                quiet = end
                continue
        read += 1
        if read > _MOST:
            raise UnparsedError(f"holds more than {_MOST} calls that can start an agent")
        arguments = _Arguments(text, start, given)
        words = arguments.read()
        if arguments.cut and _begins_with(words, text, start, tells):
            arguments = _Arguments(text, start, given, longest=_LONGEST_STARTED)
            words = arguments.read()
            if arguments.cut:
                most = f"{_LONGEST_STARTED:,} characters or {_MOST} words"
                raise UnparsedError(f"holds a call of more than {most}")
        if name == "Command::new":
            words += arguments.chained()
        if name == _CONTEXT_FIRST:
            words = words[1:]
        elif name in _TWICE and len(words) > 1:
            words = [words[0], *words[2:]]
        if words and words[0].shown != _UNKNOWN:
            is_text = len(words) == 1 and (name in _TEXTS or " " in words[0].shown)
            yield CodeCall(words, is_text)
    if "$`" not in text and ")`" not in text:
        return
    for template in _TEMPLATE.finditer(text):
        string = _STRING.match(text, template.end(), template.end() + _LONGEST)
        if string is not None:
            yield CodeCall([_word(string)], is_text=True)


def _begins_with(words: list[Word], text: str, at: int, tells: Callable[[str], bool]) -> bool:
    """Whether the first of `words`, which are written at `at`, is one that tells; or the text
    there, which may be too long for a word."""
    if words and tells(words[0].shown.lower()):
        return True
    return bool(_QUOTED.match(text, at)) and tells(text[at : at + _LONGEST_WORD].lower())


def _named(text: str) -> Iterator[_Named]:
    """Where the functions are named in front of a bracket: the first, and the longest name."""
    found = []
    for stem, names in _BY_STEM:
        if stem not in text:
            continue
        for name in names:
            at = text.find(name)
            while at >= 0:
                bracket = _BRACKET.match(text, at + len(name))
                if bracket is not None:
                    found.append(_Named(at, bracket.end(), name))
                at = text.find(name, at + 1)
    past = 0
    for one in sorted(found):
        if one.start >= past:
            past = one.end
            yield one


def _starts(found: _Named, text: str) -> bool:
    """Whether the function that is called starts programs, by what it belongs to."""
    before = _OWNER.search(text[max(0, found.start - _OWNER_SIZE) : found.start])
    if before is None:
        return False
    owner = re.sub(r"(?:\(\))?(?:\.|::|->)$", "", before["owner"])
    if not owner and found.name in _IMPORTED:
        return "from subprocess import" in text
    last = re.split(r"\.|::|->", owner)[-1]
    if last in _TASK_OWNERS:
        return _TASK_RUNNER.search(text) is not None
    return last in _OWNERS or owner.endswith("getRuntime")


_RUBY_CALL = late(
    r"(?:^|[;={(|&]|\b(?:do|then|puts|if|unless)\b)[ \t]*(?:\w+[ \t]*=[ \t]*)?"
    r"(?:sh|system|exec|spawn|command|Kernel\.system"
    r"|execute[ \t]+['\"][^'\"]*['\"][ \t]+do\s+command)"
    r"[ \t]+(?=[\"'])|\binline:[ \t]*(?=[\"'])",
    re.MULTILINE,
)
_BACKTICKS = late(r"(?:(?<=[=(;,{]|\n)|(?<=[=(;,{\n] )|(?<=^))[ \t]*(?=`)|\b(?=qx\{)", re.M)
_OTHER_QUOTES = late(r"(?:%x|qx)(?:\((?P<a>[^()]*)\)|\{(?P<b>[^{}]*)\}|\[(?P<c>[^\]]*)\])")
_SHELL_HEREDOC = late(r"<<[-~]?(?P<q>[\"']?)(?P<tag>SHELL|SH|BASH|SCRIPT|EOS|CMD)(?P=q)")


def shell_texts(text: str) -> Iterator[Text]:
    """What code in Ruby, Perl or PHP gives to a shell without a bracket: `sh "…"`, backticks,
    `%x(…)`, `qx{…}`, here-documents that say that they are one."""
    for pattern in (_RUBY_CALL, _BACKTICKS):
        for found in pattern.finditer(text):
            word = string_at(text, found.end())
            if word is not None:
                yield word.content
    for found in _OTHER_QUOTES.finditer(text):
        kind = found.lastgroup or "a"
        yield Text.of(found[kind], found.start(kind))
    ends, at, line_end = Ends(text), 0, 0
    while begun := _SHELL_HEREDOC.search(text, at):
        at = begun.end()
        if line_end < at:
            line_end = text.find("\n", at)
        if line_end < 0:
            return
        if end := ends.find(begun["tag"], line_end + 1):
            yield Text.of(text[line_end + 1 : end[0]], line_end + 1)
            at = end[1]


def string_at(text: str, at: int) -> Word | None:
    """The string literal that begins at `at`; None if none does."""
    string = _STRING.match(text, at, at + _LONGEST)
    return None if string is None else _word(string)


class _Given:
    """Where the code gives which name a list or a text; looked for once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._places: dict[str, list[int]] | None = None
        self.words: dict[int, list[Word]] = {}
        """What was read at such a place: a list may be put into many."""
        self.cut: set[int] = set()
        """Those places where not all was read."""

    def before(self, name: str, at: int) -> int:
        """The offset of what `name` was last given before `at`; -1 if that is not known."""
        if self._places is None:
            self._places = {}
            for found in _GIVEN.finditer(self._text):
                self._places.setdefault(found["name"], []).append(found.end("given"))
        places = self._places.get(name, [])
        index = bisect_left(places, at) - 1
        return places[index] if index >= 0 else -1


class _Arguments:
    """Reads the arguments of one call, from behind its bracket, or what a name was given.

    A name there stands for what it was given before `known`, the offset of that: before the text
    itself by which `x = [x, "a"]` gives it more. `depth` counts the names around it. `cut` tells
    that not all was read, because it is longer than `longest` characters.
    """

    def __init__(
        self,
        text: str,
        at: int,
        given: _Given,
        known: int | None = None,
        depth: int = 0,
        *,
        longest: int = _LONGEST,
    ) -> None:
        self._text = text
        self._at = at
        self._known = len(text) if known is None else known
        self._depth = depth
        self._end = min(len(text), at + longest)
        self.cut = False
        self._given = given
        self._words: list[Word] = []

    def read(self) -> list[Word]:
        """The words of its first arguments, up to one that is an option of the call."""
        while self._space() and self._at < self._end and len(self._words) < _MOST:
            char = self._text[self._at]
            if char in ")}]":
                break
            if char == ",":
                self._at += 1
            elif keyword := _KEYWORD.match(self._text, self._at, self._end):
                if self._words:
                    break
                self._at = keyword.end()
            elif char == "{" and _TABLE.match(self._text, self._at, self._end):
                self._at += 1
                self._words += self._list()
            elif char == "{":
                # Deno.Command("a", {args: ["b"]})
                options = _OPTION_ARGS.match(self._text, self._at, self._end)
                if options is None:
                    break
                self._at = options.end()
                self._words += self._list()
                break
            elif char in "[(":
                self._at += 1
                self._words += self._list()
            else:
                self._words += self._value()
        self.cut |= self._end < len(self._text) and self._at >= self._end
        return self._words

    def chained(self) -> list[Word]:
        """The words that are added behind the call: `.arg("a").args(["b"])`."""
        words: list[Word] = []
        while more := _CHAINED.match(self._text, self._at, self._end):
            self._at = more.end()
            self._words = []
            words += self.read()
        return words

    def _list(self) -> list[Word]:
        words: list[Word] = []
        while self._space() and self._at < self._end:
            char = self._text[self._at]
            if char in ")]}":
                self._at += 1
                break
            if char == ",":
                self._at += 1
            else:
                words += self._value()
        return words

    def _space(self) -> bool:
        found = _SPACE.match(self._text, self._at, self._end)
        self._at = found.end() if found else self._at
        return True

    def _value(self) -> list[Word]:
        """One argument: a text, put together from literals or not, or what a name stands for."""
        split = _SPLIT.match(self._text, self._at, self._end)
        self._at = split.end() if split else self._at
        start = self._at
        string = _STRING.match(self._text, self._at, self._end)
        if string is not None:
            parts = [_word(string)]
            self._at = string.end()
            while self._joined():
                string = _STRING.match(self._text, self._at, self._end)
                if string is None:
                    break
                parts.append(_word(string))
                self._at = string.end()
            known = self._skip()
            content = joined([part.content for part in parts])
            literal = known and all(part.literal for part in parts)
            return [Word(content, start, parts[-1].end, literal=literal)]
        spread = _SPREAD.match(self._text, self._at, self._end)
        self._at = spread.end() if spread else self._at
        name = _NAME.match(self._text, self._at, self._end)
        plain = name is not None and self._text[name.end() : name.end() + 1] in ",)]} \n"
        self._skip()
        at = -1
        if name is not None and plain and self._depth < _DEEPEST:
            at = self._given.before(name.group(), min(start, self._known))
        if at >= 0:
            if at not in self._given.words:
                if len(self._given.words) >= _MOST_LISTS:
                    raise UnparsedError(f"holds more than {_MOST_LISTS} lists that its calls name")
                self._given.words[at] = self._given_at(at)
            self.cut |= at in self._given.cut
            return self._given.words[at]
        return [
            Word(
                Text(_UNKNOWN, (start, self._at)),
                start,
                self._at,
                literal=False,
                splits=spread is not None or not plain,
            )
        ]

    def _given_at(self, at: int) -> list[Word]:
        """The words of the list or text at `at`, which a name was given."""
        other = _Arguments(
            self._text, at, self._given, at, self._depth + 1, longest=_LONGEST_STARTED
        )
        if self._text[at] in "[(":
            other._at += 1
            words = other._list()
        else:
            words = [word for word in other._value() if word.literal]
        if other.cut or len(words) > _MOST or other._end <= other._at < len(self._text):
            self._given.cut.add(at)
        return words[:_MOST]

    def _joined(self) -> bool:
        """Whether another literal follows: beside this one, or behind a `+`."""
        self._space()
        if self._text.startswith(("+", "."), self._at):
            self._at += 1
            self._space()
        return _STRING.match(self._text, self._at, self._end) is not None

    def _skip(self) -> bool:
        """Move to the end of the argument; whether nothing more was in it."""
        start, depth = self._at, 0
        while self._at < self._end:
            char = self._text[self._at]
            if char in "\"'`":
                string = _STRING.match(self._text, self._at, self._end)
                self.cut |= string is None and self._end < len(self._text)
                self._at = string.end() if string is not None else self._at + 1
                continue
            if char in _OPEN:
                depth += 1
            elif char in _CLOSE:
                if not depth:
                    break
                depth -= 1
            elif char == "," and not depth:
                break
            self._at += 1
        return self._text[start : self._at].strip() in (
            "",
            ".split()",
            ".split(' ')",
            '.split(" ")',
        )


def _word(string: re.Match[str]) -> Word:
    """What a string literal holds, with `$` for what is put in when the code runs."""
    quote, prefix = string["quote"], string["prefix"].lower()
    start, body = string.start("body"), string["body"]
    text = Text.of(body, start)
    hole = _HOLE["f" if "f" in prefix or "$" in prefix else "`" if quote == "`" else ""]
    parts: list[Text] = []
    at, literal = 0, True
    pattern = re.compile(rf"\\(?P<escaped>.)|{hole.pattern}", re.S)
    for found in pattern.finditer(body):
        if found["escaped"] is not None and "r" in prefix:
            continue
        parts.append(text[at : found.start()])
        place = text.places[found.start()]
        if found["escaped"] is not None:
            shown = _ESCAPES.get(found["escaped"], found["escaped"])
        elif found.group() in ("{{", "}}"):
            shown = found.group()[0]
        else:
            shown, literal = "$_", False
        parts.append(Text(shown, [place] * len(shown) + [text.places[found.end()]]))
        at = found.end()
    parts.append(text[at:])
    return Word(joined(parts), string.start(), string.end(), literal=literal)
