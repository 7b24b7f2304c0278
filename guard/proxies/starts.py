"""Whether a line typed at a prompt starts a local model proxy: `__main__.py line SHELL`.

The hook asks only about lines that hold one of the needles of the policy; everything else runs
without a process of ours. The line comes through standard input: a line can hold a key, and what
stands on a command line or in a file can be read by others. For the same reason no message repeats
any of it. Runs on the standard library alone.
"""

from __future__ import annotations

import os
import sys

from guard.errors import ExitCode, GuardError, UsageError, say
from guard.findings import allow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.policy.values import CompiledPolicy, OtherAgent
    from guard.proxies.commands import Start
    from guard.sources.positions.shell_calls import Call, Script
    from guard.sources.positions.text import Text
    from guard.sources.shell_commands import Command, Word

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of a line, aliases included. A longer one is not judged."""

MAX_NESTED = 8
"""How many aliases and substitutions within each other are followed."""


def main(argv: list[str]) -> int:
    """Judge the line on standard input; 0 if it may run, 126 if not, with the reason on stderr.

    `argv` is the shell. Behind the line may stand names and texts of aliases, each after a NUL.
    A failure of the judge is no verdict: it is said in one line, and the answer is 0.
    Raises UsageError for anything but a shell that has a hook.
    """
    if len(argv) != 1 or argv[0] not in ("bash", "zsh", "fish"):
        raise UsageError("line: the shell's hook calls this, with the typed line on stdin")
    try:
        return _judge(argv[0])
    except GuardError as error:
        say(f"routeguard: this line was not checked: {error.what} [{error.rule or 'RG503'}]")
    except Exception as error:
        say(f"routeguard: this line was not checked: internal error ({type(error).__name__})")
    return ExitCode.OK


def _judge(shell: str) -> int:
    from guard import paths
    from guard.policy import cache

    notes: list[str] = []
    policy = cache.load("/", paths.of_user(os.environ, paths.here(), notes.append))
    if policy.proxies_prompt == "off":
        return ExitCode.OK
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise GuardError("it is too long")
    line, *rest = data.decode("utf-8", "replace").split("\0")
    aliases = dict(zip(rest[::2], rest[1::2], strict=False))
    script = read(line, shell, aliases)
    for agent in policy.others:
        if policy.refuses(agent) and any(_fetches(call, agent) for call in script.calls):
            say(*"\n".join([*notes, _refusal(agent, policy)]).split("\n"))
            return ExitCode.REFUSED if policy.proxies_prompt == "refuse" else ExitCode.OK
    for start in starts(script):
        if not is_allowed(policy, start):
            say(*"\n".join([*notes, message(start, policy)]).split("\n"))
            return ExitCode.REFUSED if policy.proxies_prompt == "refuse" else ExitCode.OK
    return ExitCode.OK


def read(line: str, shell: str, aliases: Mapping[str, str]) -> Script:
    """The calls of `line`, typed into `shell`.

    `aliases` maps a name to the text that the shell puts in its place. Raises GuardError if the
    line is too long, or nested too deep.
    """
    from guard.catalog.starters import ELSEWHERE
    from guard.sources.positions import shell_calls
    from guard.sources.positions.text import Text
    from guard.sources.shell_commands import UnparsedError

    text = Text.of(line)
    try:
        typed = _Typed(text, shell, aliases)
        return shell_calls.read(text, typed.commands, elsewhere=ELSEWHERE, fish=shell == "fish")
    except UnparsedError as error:
        raise GuardError(f"it {error}") from None


def starts(script: Script) -> list[Start]:
    """What the calls of `script` do about local proxies, with the ports they would have."""
    from guard.catalog.programs import CONTAINERS
    from guard.proxies.commands import start_of

    found = []
    container: Call | None = None
    for call in script.calls:
        if not call.image and call.program in CONTAINERS:
            container = call
        start = start_of(call, script, container if call.image else None)
        if start is not None:
            found.append(start)
    return found


def _fetches(call: Call, agent: OtherAgent) -> bool:
    """Whether `call` has a package runner start `agent`."""
    from guard.catalog.runners import names_package

    specs = [*call.packages, *([call.words[0].shown] if call.package else [])]
    return any(names_package(spec, agent.packages) for spec in specs)


def _refusal(agent: OtherAgent, policy: CompiledPolicy) -> str:
    refused = policy.proxies_prompt == "refuse"
    return GuardError(
        f"{'refused' if refused else 'flagged'}: this line starts {agent.title}",
        why=agent.unpinned and f"{agent.title} {agent.unpinned}",
        fix=f"what works instead, and how to allow it:\nrouteguard explain -- {agent.names[0]}",
        rule="RG207",
    ).render()


def is_allowed(policy: CompiledPolicy, start: Start) -> bool:
    """Whether `policy` lets it be: it is its gateway, or one of its ports has an exception."""
    from guard.net import address, is_loopback
    from guard.proxies.commands import FORWARDS

    host, port = address(policy.base_url)
    if is_loopback(host) and (
        start.proxy.id == "portkey-gateway-oss" or (start.how == FORWARDS and port in start.ports)
    ):
        return True
    return any(policy.excepted(f"port:{port}") is not None for port in start.ports)


def message(start: Start, policy: CompiledPolicy) -> str:
    """What a person is told about a line that does this; it repeats nothing of the line."""
    from guard.proxies.commands import ROUTES

    refused = policy.proxies_prompt == "refuse"
    ports = start.ports
    where = f"port {ports[0]} of this machine" if ports else "this machine"
    through = "it" if start.how == ROUTES else where
    if ports:
        way_out = f"{allow('port', str(ports[0]))}\nthen type it again"
    else:
        way_out = 'proxies.prompt = "flag" in your policy'
    return GuardError(
        f"{'refused' if refused else 'flagged'}: this line {start.deed}",
        why=f"calls through {through} do not reach the gateway ({policy.base_url})",
        fix=f"call the gateway; or allow this:\n{way_out}" if refused else way_out,
        rule="RG403",
    ).render()


class _Typed:
    """The simple commands of a typed line, with the texts of aliases in their places.

    The line is in the grammar of its shell; a text within it (`sh -c '…'`) is for a POSIX shell.
    """

    def __init__(self, line: Text, shell: str, aliases: Mapping[str, str]) -> None:
        self._line = line
        self._shell = shell
        self._aliases = aliases
        self._left = MAX_BYTES

    def commands(self, text: Text) -> list[Command]:
        """The commands of `text`. Raises UnparsedError."""
        from guard.sources.shell_commands import FISH, POSIX

        grammar = FISH if self._shell == "fish" and text is self._line else POSIX
        return self._commands(text, grammar, self._aliases, 0)

    def _commands(
        self, text: Text, grammar: str, aliases: Mapping[str, str], depth: int
    ) -> list[Command]:
        from guard.sources import shell_commands
        from guard.sources.positions.text import Text

        self._left -= len(text)
        if self._left < 0:
            raise shell_commands.UnparsedError("is too long with the texts of its aliases")
        found: list[Command] = []
        commands = shell_commands.commands(text, grammar)
        if not isinstance(text.places, range):
            return commands  # written with escapes, for another shell
        for command in commands:
            first = command.words[0] if command.words else None
            if first is not None and first.shown == "alias":
                made = _aliases(command.words[1:])
                aliases = {**aliases, **made}
                self._aliases = {**self._aliases, **made}
            if first is None or not first.is_bare(first.shown) or first.shown not in aliases:
                found.append(command)
            elif depth < MAX_NESTED:
                expanded = self._expanded(text, command)
                others = {name: value for name, value in aliases.items() if name != first.shown}
                found += self._commands(Text.of(expanded), grammar, others, depth + 1)
        return found

    def _expanded(self, text: Text, command: Command) -> str:
        """`command` with the text of its alias, and of the next one where that ends in a blank."""
        at = text.start
        expanded = ""
        done = command.start - at
        for word in command.words:
            alias = self._aliases.get(word.shown) if word.is_bare(word.shown) else None
            if alias is None:
                break
            expanded += text.value[done : word.start - at] + alias
            done = word.end - at
            if alias[-1:] not in (" ", "\t"):
                break
        return expanded + " " + text.value[done : command.words[-1].end - at]


def _aliases(words: Sequence[Word]) -> dict[str, str]:
    """What `alias NAME=TEXT…` makes, or `alias NAME TEXT` of fish; a line may go on to use it."""
    shown = [word.shown for word in words if not word.shown.startswith("-")]
    if len(shown) == 2 and "=" not in shown[0]:
        return {shown[0]: shown[1]}
    return {name: text for name, equals, text in (w.partition("=") for w in shown) if equals}
