"""Whether a line typed at a prompt starts a local model proxy: `__main__.py line SHELL`.

The hook asks only about lines that hold one of the words in `needles`; everything else runs
without a process of ours. The line comes through standard input: a line can hold a key, and what
stands on a command line or in a file can be read by others. For the same reason no message repeats
any of it. Runs on the standard library alone.
"""

from __future__ import annotations

import os
import sys

from guard.errors import ExitCode, GuardError, UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from guard.catalog.local_proxies import Proxy
    from guard.policy.compiled import CompiledPolicy
    from guard.sources import shell_commands
    from guard.sources.positions.shell_calls import Call, Script
    from guard.sources.positions.shell_tree import Assignment, Command, Word
    from guard.sources.positions.text import Text

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of a line, aliases included. A longer one is not judged."""

MAX_NESTED = 8
"""How many aliases and substitutions within each other are followed."""

ELSEWHERE = frozenset(("ssh", "kubectl", "oc", "alias", "abbr", "trap"))
"""Programs that run what they are given on another machine, or only later."""

_RESERVED = frozenset(
    (
        *("if", "then", "else", "elif", "while", "until", "do", "!", "{"),
        *("coproc", "begin", "and", "or", "not"),  # bash and zsh; fish
    )
)
_CONTAINERS = frozenset(("docker", "podman", "nerdctl"))
_PORT_OPTIONS = frozenset(("--port", "-p", "--publish"))


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
        _say(f"routeguard: this line was not judged: {error.what} [{error.rule or 'RG503'}]")
    except Exception as error:
        _say(f"routeguard: this line was not judged: {type(error).__name__} in the judge")
    return ExitCode.OK


def _judge(shell: str) -> int:
    from guard import paths
    from guard.policy import compiled

    notes: list[str] = []
    policy = compiled.load("/", paths.of_user(os.environ, paths.here(), notes.append))
    if policy.proxies_prompt == "off":
        return ExitCode.OK
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise GuardError("it is too long")
    line, *rest = data.decode("utf-8", "replace").split("\0")
    aliases = dict(zip(rest[::2], rest[1::2], strict=False))
    for proxy, ports in starts(line, shell, aliases):
        if not is_allowed(policy, proxy, ports):
            _say("\n".join([*notes, message(proxy, ports, policy)]))
            return ExitCode.REFUSED if policy.proxies_prompt == "refuse" else ExitCode.OK
    return ExitCode.OK


def starts(
    line: str, shell: str, aliases: Mapping[str, str] | None = None
) -> list[tuple[Proxy, tuple[int, ...]]]:
    """The proxies that `line`, typed into `shell`, starts, each with the ports it would listen on.

    The ports are those that the line names, else the proxy's own. `aliases` maps a name to the
    text that the shell puts in its place. Raises GuardError if the line takes too long to read.
    """
    from guard.sources.positions.shell_calls import read
    from guard.sources.positions.shell_tree import UnparsedError
    from guard.sources.positions.text import Text

    text = Text.of(line)
    try:
        script = read(text, _Typed(text, shell, aliases or {}).commands, elsewhere=ELSEWHERE)
    except UnparsedError as error:
        raise GuardError(f"it {error}") from None
    found = []
    container: Call | None = None
    for call in script.calls:
        if not call.image and call.program in _CONTAINERS:
            container = call
        if any(word.shown == "--help" for word in call.words[1:]):
            continue
        proxy = proxy_of(call, script)
        if proxy is not None:
            source = container if call.image and container is not None else call
            found.append((proxy, tuple(_ports(source)) or proxy.ports))
    return found


def proxy_of(call: Call, script: Script) -> Proxy | None:
    """The local proxy that `call` starts, None if it starts none."""
    from guard.catalog import local_proxies
    from guard.sources.positions.shell_calls import package_name

    if call.image:
        return local_proxies.image(call.words[0].shown)
    arguments = [script.value(word) or word.shown for word in call.words[1:]]
    shown = call.words[0].shown
    program = package_name(shown) if call.package else call.program
    found = local_proxies.started(program, arguments, package=call.package)
    if found is None and call.package:
        found = local_proxies.started(call.program, arguments)
    return found


def is_allowed(policy: CompiledPolicy, proxy: Proxy, ports: Iterable[int]) -> bool:
    """Whether `policy` lets `proxy` run: it is its gateway, or one of `ports` has an exception."""
    from guard.net import host_of, is_loopback

    if proxy.id == "portkey-gateway-oss" and is_loopback(host_of(policy.base_url)):
        return True
    return any(policy.excepted(f"port:{port}") is not None for port in ports)


def message(proxy: Proxy, ports: tuple[int, ...], policy: CompiledPolicy) -> str:
    """What a person is told about a line that starts `proxy`; it repeats nothing of the line."""
    refused = policy.proxies_prompt == "refuse"
    where = f"port {ports[0]} of this machine" if ports else "this machine"
    if ports:
        way_out = f'routeguard allow port {ports[0]} --for 2h --reason "…"   (then type it again)'
    else:
        way_out = 'proxies.prompt = "flag" in your policy'
    return GuardError(
        f"refused: this line starts {proxy.name}"
        if refused
        else f"flagged: this line starts {proxy.name}",
        why=f"calls through {where} do not reach the gateway ({policy.base_url})",
        fix=f"call the gateway; or, for good reasons:\n{way_out}" if refused else way_out,
        rule="RG403",
    ).render()


def _ports(call: Call) -> Iterator[int]:
    """Ports that a call names: options, published ports of a container, variables."""
    words = [word.shown for word in call.words[1:]]
    for option, value in zip(words, [*words[1:], ""], strict=False):
        name, equals, own = option.partition("=")
        if name in _PORT_OPTIONS:
            yield from _port(own if equals else value)
    for assignment in call.environment:
        if assignment.name.endswith(("PORT", "HOST")):
            yield from _port("x:" + assignment.value.shown.rpartition(":")[2], last=True)


def _port(text: str, *, last: bool = False) -> Iterator[int]:
    """The port in `4000`, `4000:80` and `127.0.0.1:4000:80/tcp`; `last`: the one at the end."""
    parts = text.partition("/")[0].split(":")
    wanted = parts[-1] if last or len(parts) == 1 else parts[-2]
    if wanted.isascii() and wanted.isdigit() and 0 < int(wanted[:6]) < 65536:
        yield int(wanted)


class _Typed:
    """The simple commands of a typed line, aliases and substitutions looked into.

    The line is in the grammar of its shell; a text within it (`sh -c '…'`) is for a POSIX shell.
    """

    def __init__(self, line: Text, shell: str, aliases: Mapping[str, str]) -> None:
        self._line = line
        self._shell = shell
        self._aliases = aliases

    def commands(self, text: Text, deadline: float) -> Iterator[Command]:
        """The commands of `text`. Raises UnparsedError after `deadline` (processor time)."""
        grammar = self._shell if text is self._line else "sh"
        yield from self._commands(text.value, grammar, self._aliases, deadline, 0)

    def _commands(
        self, text: str, grammar: str, aliases: Mapping[str, str], deadline: float, depth: int
    ) -> Iterator[Command]:
        import time

        from guard.sources.positions.shell_tree import UnparsedError
        from guard.sources.shell_commands import fish_commands, posix_commands

        if depth > MAX_NESTED:
            return
        split = fish_commands if grammar == "fish" else posix_commands
        for command in split(text):
            if time.thread_time() > deadline:
                raise UnparsedError("takes too long to read")
            for word in (*command.words, *command.targets):
                if not word.literal:
                    for inner in _substituted(word.text, grammar):
                        yield from self._commands(inner, grammar, aliases, deadline, depth + 1)
            words = _from_command(command.words)
            if not words or text[words[0].end :].lstrip(" ").startswith("()"):
                continue  # only a keyword, or the name of a function that is defined
            first = words[0]
            if first.literal and first.bare == len(first.text) and first.text in aliases:
                expanded = f"{aliases[first.text]} {text[first.end : words[-1].end]}"
                others = {name: value for name, value in aliases.items() if name != first.text}
                yield from self._commands(expanded, grammar, others, deadline, depth + 1)
                continue
            yield _command(words)


def _from_command(words: list[shell_commands.Word]) -> list[shell_commands.Word]:
    """`words` without the reserved words at the front."""
    at = 0
    while at < len(words) and words[at].bare == len(words[at].text) and words[at].text in _RESERVED:
        at += 1
    return words[at:]


def _substituted(text: str, grammar: str) -> Iterator[str]:
    """The texts of the substitutions in a word."""
    from guard.sources.shell_commands import skip

    openers = ("(",) if grammar == "fish" else ("$(", "<(", ">(", "`")
    at = 0
    while at < len(text):
        for opener in openers:
            if text.startswith(opener, at):
                start = at + len(opener)
                at = skip(text, start, "`" if opener == "`" else ")")
                yield text[start : at - 1]
                break
        else:
            at += 1


def _command(words: list[shell_commands.Word]) -> Command:
    from guard.sources.positions.shell_calls import assigned
    from guard.sources.positions.shell_tree import Command

    made = [_word(word) for word in words]
    assignments: list[Assignment] = []
    for word, source in zip(made, words, strict=True):
        assignment = assigned(word)
        if assignment is None or len(assignment.name) >= source.bare:
            break
        assignments.append(assignment)
    return Command(made[len(assignments) :], assignments)


def _word(word: shell_commands.Word) -> Word:
    from guard.sources.positions.shell_tree import Word
    from guard.sources.positions.text import Text

    content = Text.of(word.text, word.start)
    return Word(content, word.start, word.end, literal=word.literal, splits=not word.literal)


def _say(text: str) -> None:
    try:
        sys.stderr.write("\n".join(map(printable, text.split("\n"))) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, UnicodeError):
        pass
