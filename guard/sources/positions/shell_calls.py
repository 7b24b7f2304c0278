"""What a shell text starts and which variables it sets, seen through the programs in between.

`sudo env X=1 nohup bash -c 'timeout 60 AGENT run'` starts AGENT. Which programs start another
one, and where in their arguments it stands, is in guard/catalog/starters.py.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence

from guard.catalog import runners
from guard.catalog.programs import CONTAINERS, SHELLS
from guard.catalog.starters import (
    BEHIND_DASHES,
    BEHIND_OPTION,
    BEHIND_WORDS,
    PRINTS,
    RUN_OPTIONS,
    SKIPPED,
    SSH,
    TASKS,
    TERMINALS,
    TMUX_SHORT,
    TMUX_STARTS,
    WRAPPERS,
    Wrapper,
    listed,
)
from guard.late import late
from guard.net import is_this_machine
from guard.record import Record
from guard.sources.positions import container_runs
from guard.sources.positions.operands import (
    behind_options,
    fetched,
    given,
    replaced,
    takes_next,
    unwrapped,
)
from guard.sources.positions.text import Text, joined
from guard.sources.shell_commands import (
    FISH,
    POSIX,
    Command,
    ShellAssignment,
    Word,
    commands,
    declarations,
)
from guard.sources.shell_commands.declarations import Setting
from guard.sources.shell_commands.words import handed_on

MAX_DEPTH = 8
"""How many texts within texts are followed (`bash -c "bash -c '…'"`)."""

MAX_CALLS = 20_000
"""How many calls of one text are looked at."""

MAX_STEPS = 32
"""How many programs are followed that start one another (`sudo env nice …`)."""

Split = Callable[[Text], list[Command]]
"""What splits a text into simple commands."""

_PARAMETER = late(r"\$\{?([@*0-9])\}?")
_REFERENCE = late(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_STDIN = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "-")


class Call(Record):
    """A program that is started: its words (the program first) and what is set for it alone.

    `package` tells that the program is named by a package that is fetched, `image` that it is the
    image of a container; `packages` are those that npx and such are told to fetch beside it.
    """

    words: list[Word]
    environment: list[ShellAssignment] = []  # noqa: RUF012
    package: bool = False
    image: bool = False
    packages: list[str] = []  # noqa: RUF012

    @property
    def program(self) -> str:
        """The last part of the program's path, "" where only a running shell could tell."""
        name = self.words[0].shown
        last = runners.package_name(name) if self.package else name
        last = last.rpartition("/")[2]
        return "" if any(c in last for c in "$`(") else last


class Script(Record):
    """What a text does: calls, settings, and the variables that have one known value in it.

    `files` are those that it writes whole or adds to, with what is known of their content. `unread`
    is why a part of it was not followed, and the offset at which that begins.
    """

    calls: list[Call] = []  # noqa: RUF012
    files: list[tuple[Word, Text]] = []  # noqa: RUF012
    settings: list[Setting] = []  # noqa: RUF012
    constants: dict[str, str] = {}  # noqa: RUF012
    unread: tuple[str, int] | None = None

    def value(self, word: Word) -> str | None:
        """What the program gets for `word`, as far as the text itself tells; else None."""
        if word.literal:
            return word.content.value
        written = word.content.value
        names = [a or b for a, b in _REFERENCE.findall(written)]
        if not names or any(name not in self.constants for name in names):
            return None
        filled = _REFERENCE.sub(lambda m: self.constants[m.group(1) or m.group(2)], written)
        return None if any(c in filled for c in "$`") else filled


def read(
    text: Text,
    split: Split = commands,
    *,
    elsewhere: frozenset[str] = frozenset(),
    fish: bool = False,
) -> Script:
    """What `text` starts and sets. Raises shell_commands.UnparsedError.

    What the programs in `elsewhere` start is not followed, on other machines. `fish` tells that
    the text is fish's, in which `set` sets variables.
    """
    reading = _Reading(split, elsewhere)
    reading.commands(split(text), fish=fish)
    return reading.script()


def read_fish(text: Text) -> Script:
    """What a script for fish starts and sets. Raises shell_commands.UnparsedError."""
    return read(text, lambda inner: commands(inner, FISH if inner is text else POSIX), fish=True)


def read_words(words: list[Word], *, elsewhere: frozenset[str] = frozenset()) -> Script:
    """The call `words`, as a program gets them, and what it starts and sets.

    What the programs in `elsewhere` start is not followed, on other machines.
    """
    reading = _Reading(elsewhere=elsewhere)
    reading.call(words)
    return reading.script()


class _Inner:
    """The commands in substitutions of a text, by where they begin."""

    def __init__(self, found: list[Command]) -> None:
        self._commands = sorted((c for c in found if c.inner), key=lambda command: command.start)
        self._starts = [command.start for command in self._commands]

    def printed(self, word: Word) -> list[Word]:
        """`word`; if it is `$(which NAME)` or such, what that prints."""
        if word.shown != "$()":
            return [word]
        at = bisect_left(self._starts, word.start)
        if at == len(self._starts) or self._starts[at] >= word.end:
            return [word]
        words = self._commands[at].words
        rest = [one for one in words[1:] if one.shown[:1] != "-"]
        verb = words[0].shown if words else ""
        if not rest or not (verb in PRINTS or (verb == "command" and len(rest) < len(words) - 1)):
            return [word]
        if word.splits:
            return rest
        return [Word(joined([one.content for one in rest], " "), word.start, word.end)]


class _Reading:
    def __init__(self, split: Split = commands, elsewhere: frozenset[str] = frozenset()) -> None:
        self._found = Script()
        self._split = split
        self._elsewhere = elsewhere
        self._values: dict[str, set[str | None]] = {}
        self._exported: set[str] = set()
        self._all_export = False
        self._depth = 0
        # what $0, $1 … are, as far as the text itself says it
        self._parameters: list[Word] = []

    def script(self) -> Script:
        found = self._found
        found.settings = [
            one._replace(exported=one.exported or one.name in self._exported)
            for one in found.settings
        ]
        for name, values in self._values.items():
            value = next(iter(values)) if len(values) == 1 else None
            if value is not None:
                found.constants[name] = value
        return found

    def text(self, text: Text) -> None:
        """Read a text within what is being read."""
        if self._depth < MAX_DEPTH:
            self._depth += 1
            self.commands(self._split(text))
            self._depth -= 1
        else:
            self._leave("is nested too deeply", text.start)

    def _leave(self, why: str, at: int) -> None:
        self._found.unread = self._found.unread or (why, at)

    def line(self, words: list[Word]) -> None:
        """Read words that are one text for a shell."""
        if words:
            self.text(joined([word.content for word in words], " "))

    def texts(self, words: list[Word]) -> None:
        """Read words each of which is a text for a shell."""
        for word in words:
            self.text(word.content)

    def text_or_call(self, words: list[Word]) -> None:
        """Read what a program takes as one text, or as a command in words."""
        if len(words) == 1:
            self.texts(words)
        else:
            self._call(words)

    def commands(self, found: list[Command], *, fish: bool = False) -> None:
        inner = _Inner(found)
        for command in found:
            if len(self._found.calls) >= MAX_CALLS:
                self._leave(f"has more than {MAX_CALLS:,} commands", command.start)
                return
            self._command(command, inner, fish=fish)

    def call(self, words: list[Word]) -> None:
        self._command(Command(words, []), _Inner([]))

    def _command(self, command: Command, inner: _Inner, *, fish: bool = False) -> None:
        declared = declarations.declared(command, fish=fish, all_export=self._all_export)
        if declared is not None:
            for one in declared:
                self._set(one, inner)
            return
        verb = command.words[0].value
        if verb in ("set", "setopt", "unsetopt"):
            switched = declarations.all_export_after(command)
            self._all_export = self._all_export if switched is None else switched
            shown = [word.shown for word in command.words]
            if "--" in shown:
                self._parameters = command.words[:1] + command.words[shown.index("--") + 1 :]
            return
        if verb in ("read", "mapfile", "getopts", "for"):
            for word in command.words[1:]:
                self._values.setdefault(word.shown, set()).add(None)
            if verb == "for":
                return
        content = handed_on(command) if command.writes else None
        if content is not None:
            self._found.files += [(word, _unescaped(command, content)) for word in command.writes]
        words = [printed for word in command.words for printed in inner.printed(word)]
        self._call(words, command.assignments, command.stdin)

    def _set(self, found: Setting, inner: _Inner) -> None:
        if found.value is None:
            if found.exported:
                self._exported.add(found.name)
            return
        # what `$(which NAME)` prints is known where only a running shell could tell otherwise
        value = found.value.value or inner.printed(found.value)[0].value
        self._values.setdefault(found.name, set()).add(value)
        self._found.settings.append(found)

    def _call(
        self,
        words: list[Word],
        environment: Sequence[ShellAssignment] = (),
        stdin: Text | None = None,
    ) -> None:
        """One call and what it starts in turn; a loop takes the place of recursion."""
        steps = 0
        package = False
        while words:
            if steps >= MAX_STEPS:
                self._leave("is nested too deeply", words[0].start)
                return
            steps += 1
            words = self._filled(words)
            if not words:
                return
            call = Call(words, list(environment), package)
            self._found.calls.append(call)
            program = call.program
            package = False
            if program in ("tee", "dd", "sponge") and stdin is not None:
                self._found.files += [(word, stdin) for word in _written(program, words[1:])]
            if program in self._elsewhere and not _is_here(program, words):
                return
            if program in SHELLS:
                self._shell(words[1:], stdin)
                return
            if program == "busybox":
                words = words[1:]
                continue
            if program in CONTAINERS:
                run_in_it = container_runs.read(words)
                self._found.settings += run_in_it.settings
                if run_in_it.image is not None:
                    self._found.calls.append(Call([run_in_it.image], image=True))
                words, environment = run_in_it.words, ()
                continue
            run = runners.read([word.shown for word in words])
            if run is not None:
                call.packages = [words[index].shown for index in run.packages]
                self.texts([words[index] for index in run.texts])
                words = fetched(words, run)
                package = True
                continue
            wrapper = WRAPPERS.get(program)
            if wrapper is not None:
                words, more = self._wrapped(program, wrapper, words[1:], stdin)
                environment = [*environment, *more]
                continue
            words = self._other(program, words, stdin) or []

    def _wrapped(
        self, program: str, wrapper: Wrapper, rest: list[Word], stdin: Text | None
    ) -> tuple[list[Word], list[ShellAssignment]]:
        """The command that a wrapper starts, and what is set for it; texts are read at once."""
        if program == "concurrently":
            self.texts(behind_options(rest, wrapper))
            return [], []
        if (program == "env" and self._split_string(rest)) or (
            program == "screen" and self._stuffed(rest)
        ):
            return [], []
        words, environment = unwrapped(rest, wrapper)
        if program == "xargs" and stdin is not None and words:
            words = given(words, replaced(rest[: len(rest) - len(words)]), stdin)
        if program == "parallel" and words and words[0].shown == ":::":
            self.texts(words[1:])
            return [], []
        if wrapper.text:
            self.line(words)
            return [], []
        return words, environment

    def _filled(self, words: list[Word]) -> list[Word]:
        """`words` with the program that a parameter, or zsh's `=NAME`, stands for."""
        first = words[0]
        if first.is_bare("-"):
            return words[1:]  # zsh: a login shell's name
        if first.bare > 1 and re.match(r"=[^=(]", first.shown):
            return [first.after(1), *words[1:]]
        parameter = _PARAMETER.fullmatch(first.shown)
        if parameter is None or not self._parameters:
            return words
        name = parameter.group(1)
        if name in "@*":
            return [*self._parameters[1:], *words[1:]]
        return [*self._parameters[int(name) : int(name) + 1], *words[1:]]

    def _other(self, program: str, words: list[Word], stdin: Text | None) -> list[Word] | None:
        """The command that another kind of program starts; texts are read at once."""
        rest = words[1:]
        if program == "eval":
            self.line(rest)
            return None
        if program == "trap":
            if rest and rest[0].shown not in ("-", "-l", "-p", "--"):
                self.text(rest[0].content)
            return None
        if program in ("alias", "abbr"):
            self._alias(rest)
            return None
        if program in ("at", "batch") or (
            program in ("source", ".") and (not rest or rest[0].shown in _STDIN)
        ):
            if stdin is not None:
                self.text(stdin)
            return None
        if program == "sched":
            self.line(rest[1:])
            return None
        behind_option = BEHIND_OPTION.get(program)
        if behind_option is not None:
            self._options(rest, *behind_option, in_words=program in TERMINALS)
        if program == "flock":
            return behind_options(rest, Wrapper("wE", listed("--timeout")))[1:]
        if program == "script":
            # script of BSD: the file, then the command
            return behind_options(rest, Wrapper("cEIOBTmot", listed("--command")))[1:]
        if program == "runuser" and rest[:1] and rest[0].shown == "-u":
            return behind_options(rest, Wrapper("u"))
        if program in ("su", "runuser", "sg"):
            behind = [i for i, word in enumerate(rest) if word.shown == "--"]
            return rest[behind[0] + 1 :] if behind else None
        if program in ("ssh", "slogin"):
            operands = behind_options(rest, SSH)[1:]
            if len(operands) == 1:
                self.text(operands[0].content)
                return None
            return operands
        if program == "find":
            found: list[Word] | None = None
            for word in rest:
                if word.shown in ("-exec", "-execdir", "-ok", "-okdir"):
                    found = []
                elif found is not None and word.shown in (";", "+"):
                    self._call(found)
                    found = None
                elif found is not None:
                    found.append(word)
            return found
        if program == "tmux":
            self._tmux(rest)
            return None
        verbs = BEHIND_WORDS.get(program)
        found_behind = self._behind_words(program, rest, verbs) if verbs else None
        if found_behind is not None or program not in BEHIND_DASHES:
            return found_behind
        if rest and rest[0].shown in TASKS.get(program, ()):
            return None
        return _behind_dashes(rest)

    def _behind_words(
        self, program: str, words: list[Word], verbs: tuple[str, ...]
    ) -> list[Word] | None:
        """The command behind one of `verbs`: `poetry run`, `conda run -n x`."""
        operands = behind_options(words, Wrapper("fC", RUN_OPTIONS))
        if not operands or operands[0].shown not in verbs:
            return None
        options = operands[1:]
        found = behind_options(options, Wrapper("npfeowFCx", RUN_OPTIONS))[
            SKIPPED.get(program, 0) :
        ]
        before = options[: len(options) - len(found)]
        if before and before[-1].shown[:1] == "-" and before[-1].shown != "--":
            # an option that is not known may have taken the first word
            found = _behind_dashes(found) or found
        if before and before[-1].shown in ("-m", "--module") and program == "uv":
            python = Text("python", [before[-1].start] * 6 + [before[-1].end])
            return [Word(python, before[-1].start, before[-1].end), before[-1], *found]
        if program in ("pm2", "forever"):
            return [word for word in found if word.shown != "--"]
        if found and program == "hatch" and ":" in found[0].shown:
            return [found[0].after(found[0].shown.index(":") + 1), *found[1:]]
        return found

    def _options(self, words: list[Word], short: str, long: str, *, in_words: bool = False) -> None:
        """Read the text, or the words, behind an option that has a command for its value.

        `in_words` tells that one dash begins an option of one letter or of a whole word.
        """
        for index, word in enumerate(words):
            shown = word.shown
            name, equals, _ = shown.partition("=")
            if shown[:2] == "--":
                if name not in listed(long):
                    continue
                at = len(name) + 1 if equals else 0
            elif in_words and len(shown) != 2:
                continue
            elif shown[:1] == "-" and any(c in short for c in shown[1:]):
                letter = next(i for i, c in enumerate(shown) if i and c in short)
                at = letter + 1 if letter + 1 < len(shown) else 0
            else:
                continue
            rest = words[index + 1 :]
            if at:
                self.text(word.content[at:])
            else:
                self.text_or_call(rest[:1] if rest and " " in rest[0].shown else rest)
            return

    def _alias(self, words: list[Word]) -> None:
        if len(words) > 1 and not any("=" in w.shown for w in words):
            # fish: `alias NAME TEXT`, `abbr -a NAME TEXT…`
            self.line([word for word in words if not word.shown.startswith("-")][1:])
            return
        for word in words:
            name, equals, _ = word.shown.partition("=")
            if equals:
                self.text(word.content[len(name) + 1 :])

    def _split_string(self, words: list[Word]) -> bool:
        """Whether `env -S TEXT …` was read: a text of words, and of assignments before them."""
        taken = False
        for index, word in enumerate(words):
            shown = word.shown
            if taken or shown == "-":
                taken = False
                continue
            if shown[:1] != "-" or shown == "--":
                return False
            found = re.match(r"--split-string=?|-[iv0]*S", shown)
            if found is None:
                taken = takes_next(shown, WRAPPERS["env"].short, WRAPPERS["env"].long)
                continue
            behind = [word.after(found.end())] if found.end() < len(shown) else []
            self.line([*behind, *words[index + 1 :]])
            return True
        return False

    def _stuffed(self, words: list[Word]) -> bool:
        """Whether `screen -X stuff TEXT` was read, which types TEXT into another shell."""
        shown = [word.shown for word in words]
        if "-X" not in shown or "stuff" not in shown:
            return False
        self.texts(words[shown.index("stuff") + 1 :])
        return True

    def _tmux(self, words: list[Word]) -> None:
        part: list[Word] = []
        for word in words:
            if word.shown == ";":
                self._tmux_command(part)
                part = []
            else:
                part.append(word)
        self._tmux_command(part)

    def _tmux_command(self, words: list[Word]) -> None:
        operands = behind_options(words, Wrapper("LSfc"))
        if not operands:
            return
        verb, rest = operands[0].shown, behind_options(operands[1:], Wrapper(TMUX_SHORT))
        if verb in TMUX_STARTS:
            self.text_or_call(rest)
        elif verb in ("send", "send-keys"):
            self.texts(rest)  # each word is text, or the name of a key

    def _shell(self, words: list[Word], stdin: Text | None) -> None:
        at, text_wanted, reads_stdin = 0, False, False
        while at < len(words):
            shown = words[at].shown
            if shown[:1] not in ("-", "+") or shown in ("-", "--"):
                at += shown in ("-", "--")
                break
            if not shown.startswith("--"):
                text_wanted = text_wanted or ("c" in shown[1:] and shown[0] == "-")
                reads_stdin = reads_stdin or "s" in shown[1:]
                at += shown[-1] in "oO"
            elif shown in ("--rcfile", "--init-file", "--command"):
                text_wanted = text_wanted or shown == "--command"
                at += shown != "--command"
            at += 1
        if text_wanted:
            if at < len(words):
                outer, self._parameters = self._parameters, words[at + 1 :]
                self.text(words[at].content)
                self._parameters = outer
        elif stdin is not None and (reads_stdin or at >= len(words) or words[at].shown in _STDIN):
            self.text(stdin)


def _is_here(program: str, words: list[Word]) -> bool:
    """Whether this is `ssh HOST COMMAND`, and leads to this machine."""
    if program not in ("ssh", "slogin"):
        return False
    host = next((word.shown for word in behind_options(words[1:], SSH)), "")
    host = host.removeprefix("ssh://").rpartition("@")[2]
    return is_this_machine(host) or is_this_machine(host.rpartition(":")[0])


def _behind_dashes(words: list[Word]) -> list[Word] | None:
    """What stands behind the first `--` of `words`, None if there is none."""
    return next((words[at + 1 :] for at, word in enumerate(words) if word.shown == "--"), None)


def _written(program: str, words: list[Word]) -> list[Word]:
    """The files that `tee`, `dd` or `sponge` with these arguments write."""
    if program == "dd":
        return [word.after(3) for word in words if word.shown.startswith("of=")]
    return [word for word in words if not word.shown.startswith("-")]


def _unescaped(command: Command, text: Text) -> Text:
    """What `printf` or `echo -e` makes of `text`: its line breaks."""
    echo = command.words[0].shown == "echo"
    if "\\n" not in text.value or (echo and "e" not in command.words[1].shown[:3]):
        return text
    parts = []
    at = 0
    while (found := text.value.find("\\n", at)) >= 0:
        parts += [text[at:found], Text("\n", text.places[found : found + 2])]
        at = found + 2
    return joined([*parts, text[at:]])
