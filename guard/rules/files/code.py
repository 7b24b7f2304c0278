"""Agents and local proxies that source code starts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from guard.rules.files import file_names
from guard.rules.files.calls import check_texts, program_needles
from guard.rules.files.scope import Scope, Span
from guard.rules.files.structured import check_words
from guard.sources.positions.code_calls import calls, shell_texts
from guard.sources.shell_commands import UnparsedError

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.rules.needles import Needle
    from guard.sources.file import SourceFile


_RUBY = (".rb", ".rake", ".gemspec", ".pl", ".pm", ".php")
_RUBY_NAMES = frozenset(
    ("Rakefile", "Vagrantfile", "Fastfile", "Gemfile", "Dangerfile", "Guardfile")
)
"""Files in languages that give a text to a shell without a bracket."""


@cache
def _telling() -> tuple[str, ...]:
    return tuple({needle.decode().lower() for needle in program_needles()})


def _tells(part: str) -> bool:
    return any(word in part for word in _telling())


class Code:
    """Agent calls, and local proxies, that code starts as other programs."""

    name = "code"

    @property
    def needles(self) -> tuple[Needle, ...]:
        """The names of agents and local proxies."""
        return program_needles()

    def wants(self, path: str, name: str) -> bool:
        """Source code; scripts for a shell are read as such."""
        if name in _RUBY_NAMES:
            return True
        return file_names.is_code(name) and not file_names.is_script(name)

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in each call that starts a program."""
        scope = Scope(file, policy, "the program")
        if file.name in _RUBY_NAMES or file.name.lower().endswith(_RUBY):
            yield from check_texts(scope, shell_texts(file.text))
        try:
            for call in calls(file.text, _tells):
                if call.is_text:
                    yield from check_texts(scope, [call.words[0].content])
                else:
                    yield from check_words(scope, call.words)
        except UnparsedError as error:
            yield scope.unchecked(Span(0, 0), f"the file {error}: the rest was not checked")


DETECTOR = Code()
