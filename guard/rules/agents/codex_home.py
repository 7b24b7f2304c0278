"""What in CODEX_HOME, and of an administrator, a launch of Codex refuses: the same words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from guard.agents.codex import facts, planner, settings
from guard.files import toml
from guard.files.read import UnreadableError
from guard.rules.agents import is_of_codex_home
from guard.rules.files.scope import Scope, Span
from guard.sources.positions import toml_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_REQUIREMENTS = "requirements.toml"
_ADMINISTRATORS = ("managed_config.toml", _REQUIREMENTS)


class CodexHome:
    """RG202, RG302 and RG303 in files that a launch of Codex reads and cannot override."""

    name = "codex_home"
    needles: tuple[bytes, ...] = (b"",)

    def wants(self, path: str, name: str) -> bool:
        """The files of `is_of_codex_home`."""
        return is_of_codex_home(path)

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """What a launch beside this file would refuse."""
        scope = Scope(file, policy, "the agent", in_use=True)
        name = file.name.lower()
        if name == "environments.toml":
            yield scope.placed(planner.elsewhere(file.path), Span(0, len(file.line(1))))
        elif name in _ADMINISTRATORS:
            yield from _managed(scope, required=name == _REQUIREMENTS)
        elif len(file.data) > facts.MAX_DOTENV:
            yield scope.unreadable(0, f"is larger than {facts.MAX_DOTENV} bytes")
        else:
            variables = facts.dotenv_variables(file.data)
            for found in planner.judge_dotenv(file.path, variables, policy, time.time()):
                yield scope.placed(found, Span(0, 0))


def _managed(scope: Scope, *, required: bool) -> Iterator[Finding]:
    file = scope.file
    try:
        content = toml.decode(file.data)
        root = toml_nodes.document(file.text)
    except UnreadableError:
        return  # `others` says so of every file of settings
    # every launch has a provider of its own
    pinned = {"model_provider": planner.PROVIDER, **settings.PINNED}
    content = settings.demanded(content) if required else content
    for found in planner.judge_managed(file.path, content, pinned):
        keys = found.subject.split(".")
        nodes = [root.get(*keys[:length]) for length in range(len(keys), 0, -1)]
        place = next((node for node in nodes if node is not None), root)
        yield scope.placed(found, Span(place.start, place.start))


DETECTOR = CodexHome()
