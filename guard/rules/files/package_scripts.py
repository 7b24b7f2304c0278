"""The scripts of package.json, and of the manifests that have the same key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.rules.files.calls import ShellTexts, check_texts
from guard.rules.files.scope import Scope
from guard.rules.files.structured import parse
from guard.sources.positions.nodes import SCALAR

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_MANIFESTS = frozenset(("package.json", "composer.json", "deno.json", "deno.jsonc"))
_TABLES = (("scripts",), ("tasks",), ("husky", "hooks"), ("simple-git-hooks",), ("lint-staged",))
"""Where a manifest has commands, its hooks for git included."""


class PackageScripts(ShellTexts):
    """Agent calls, variables and local proxies in the scripts of a package manifest."""

    name = "package_scripts"

    def wants(self, path: str, name: str) -> bool:
        """package.json and its like, not those of installed packages."""
        return name in _MANIFESTS and "node_modules/" not in path

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in each script."""
        scope = Scope(file, policy, "the script's commands")
        roots, notes = parse(scope)
        yield from notes
        for root in roots:
            for table in _TABLES:
                scripts = root.get(*table)
                if scripts is None:
                    continue
                texts = []
                for _, value in scripts.pairs:
                    command = value.get("command") if value.pairs else value
                    if command is not None:
                        texts += [node.text for node in command.strings() if node.kind == SCALAR]
                yield from check_texts(scope, texts)


DETECTOR = PackageScripts()
