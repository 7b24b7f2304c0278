"""Calls of agents whose route is an address in a variable or a file, not a word of the call.

Such a call says nothing about the gateway. It is a finding where nothing in the file does: on a
machine without the guard it goes to the agent's own vendor. What a launch would refuse of its
words is refused here with the same rule and the same words.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from guard.agents.kinds import GUARDED, LOCAL, REMOTE, SERVER
from guard.late import late
from guard.rules.agents import calling
from guard.rules.files import written
from guard.rules.files.scope import Placed, Scope, between
from guard.sources import reach
from guard.sources.positions.text import Text, joined

if TYPE_CHECKING:
    from guard.agents.adapter import Agent
    from guard.findings import Finding
    from guard.sources.file import SourceFile
    from guard.sources.positions.nodes import Node
    from guard.sources.positions.shell_calls import Call, Script
    from guard.sources.shell_commands import Word

_COMMENT = late(r"^[ \t]*(?:#|//|--|;|REM\b).*$", re.MULTILINE)


class AddressedCalls:
    """What is known of the calls of one such agent (see `guard.rules.agents.calls.AgentCalls`).

    `vendor` is where a call goes by itself, `addresses` are the words by which a file names another
    address, and `actions` a regex for the steps of GitHub workflows that run the agent; `fix` names
    the gateway for it. `inline` are options whose value may be the text of a file, and the file;
    `routes` are the settings in such a text by which a call names its own route, which may be the
    gateway's.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        vendor: str,
        addresses: Collection[str],
        actions: str,
        fix: str,
        inline: Mapping[str, str],
        routes: Collection[str] = (),
    ) -> None:
        self.ID = agent.id
        self.TITLE = agent.title
        self.NEEDLES: tuple[bytes, ...] = tuple(name.encode() for name in agent.names)
        self._agent = agent
        self._vendor = vendor
        self._addresses = addresses
        self._actions = re.compile(actions, re.IGNORECASE)
        self._fix = fix
        self._inline = inline
        self._routes = routes

    def starts(self, call: Call, script: Script) -> bool:
        """Whether `call` starts the agent."""
        return calling.starts(self._agent, call, script)

    def check(self, scope: Scope, call: Call, script: Script) -> Iterator[Finding]:
        """Findings for one call, each at the word that it is about."""
        words = call.words[1:]
        argv = [script.value(word) or word.shown for word in words]
        invocation = self._agent.read(argv)
        kind = invocation.kind
        if kind not in (GUARDED, SERVER, REMOTE, LOCAL):
            return
        refused = False
        files = self._files(words)
        for finding in self._agent.judge_arguments(invocation, scope.policy, time.time()):
            if files and finding.subject.partition(".")[0] in self._routes:
                continue  # a launch takes no other route; here it is judged by where it leads
            refused = refused or finding.severity == "error"
            yield scope.placed(finding, _word(call.words, finding.subject))
        for name, texts in files.items():
            yield from written.check(scope, name, joined(texts, "\n"))
        handed = any(word.splits and not word.literal for word in words)
        if kind == GUARDED and not refused and not handed:
            yield from self._without_gateway(scope, between(call.words[0], call.words[-1]))

    def _files(self, words: list[Word]) -> dict[str, list[Text]]:
        """The texts of files that stand in words, by the names of the files."""
        found: dict[str, list[Text]] = {}
        for at, word in enumerate(words):
            option, equals, _ = word.shown.partition("=")
            if option in self._inline and (equals or at + 1 < len(words)):
                text = word.content[len(option) + 1 :] if equals else words[at + 1].content
                name = self._inline[option]
                if text.value.startswith("{") or (name.endswith(".toml") and _is_toml(text.value)):
                    found.setdefault(name, []).append(text)
        return found

    def action(self, scope: Scope, step: Node, uses: Node) -> Iterator[Finding]:
        """Findings if `step` of a pipeline uses the agent's own action."""
        if self._actions.match(uses.value):
            yield from self._without_gateway(scope, uses)

    def variables(self, scope: Scope, given: Node, step: Node) -> Iterator[Finding]:
        """Findings about variables that such a step reads: none of them names a model."""
        return iter(())

    def _without_gateway(self, scope: Scope, place: Placed) -> Iterator[Finding]:
        """The finding if nothing that reaches it says where the agent sends its calls."""
        words = (*self._addresses, scope.policy.base_url)
        parts, named = _named(scope.file, words)
        if any(parts.covers(at, place.start) for at in named):
            return
        yield scope.finding(
            "RG206",
            place,
            self._agent.names[0],
            f"no gateway named: routeguard sends it to {scope.policy.base_url}, an unguarded "
            f"machine to {self._vendor}",
            fix=self._fix.format(scope.policy.base_url.removesuffix("/v1")),
        )


@lru_cache(maxsize=2)
def _named(file: SourceFile, words: tuple[str, ...]) -> tuple[reach.Parts, list[int]]:
    """The parts of `file`, and where one of `words` is in it and in no comment."""
    text = _COMMENT.sub(lambda found: " " * len(found.group()), file.text)
    found = re.finditer("|".join(map(re.escape, words)), text)
    return reach.parts(file.name, file.text), [match.start() for match in found]


def _is_toml(text: str) -> bool:
    import tomllib

    try:
        return bool(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError):
        return False


def _word(words: list[Word], subject: str) -> Placed:
    """The word that a finding of a launch is about, the whole call if it is none."""
    for word in words[1:]:
        if subject and word.shown.split("=")[0] == subject.split(" ")[0]:
            return word
    return between(words[0], words[-1])
