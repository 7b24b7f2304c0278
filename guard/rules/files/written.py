"""Files that stand within another file: what a shell text writes, what a ConfigMap holds.

`cat > settings.json <<EOF`, `echo A=b >> .env`, `tee`, `COPY <<EOF /app/.env`: such a text is
checked as the file that it becomes, and a finding in it has its place in the file that is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from guard.rules.files.secrets import variable_kind
from guard.rules.files.variables import handed_to_ci
from guard.rules.needles import PlainSearch
from guard.sources.file import SourceFile
from guard.sources.positions.text import Text

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.rules.files.scope import Scope
    from guard.rules.needles import Needle

    class _Detector(Protocol):
        @property
        def needles(self) -> tuple[Needle, ...]: ...

        def wants(self, path: str, name: str) -> bool: ...

        def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterable[Finding]: ...


MAX_DEPTH = 3
"""Files within files: a script that writes a script."""

_NAMED_BY_VARIABLE = {"GITHUB_ENV": ".env", "BASH_ENV": ".bashrc"}
"""Files whose path a CI gives in a variable (GitHub Actions, CircleCI), by what they hold."""

_detectors: list[_Detector] = []
_search = PlainSearch(())


def use(detectors: Iterable[_Detector]) -> None:
    """Check files within files with `detectors`: those that go by what kind of file it is.

    What reads any text reads it in the outer file.
    """
    global _search
    _detectors[:] = detectors
    _search = PlainSearch(_detectors)


def check(scope: Scope, target: str, text: Text) -> Iterator[Finding]:
    """Findings in `text`, which is the content of a file at `target`, a path as it is written."""
    outer = scope.file
    depth, at = 0, outer.outer
    while at is not None:
        depth, at = depth + 1, at.outer
    path = _path(target)
    name = path.rpartition("/")[2]
    if depth >= MAX_DEPTH or not text.value.strip():
        return
    data = text.value.encode("utf-8", "surrogateescape")
    file = SourceFile(
        path,
        data,
        absolute=outer.absolute.rpartition("/")[0] + "/" + path.lstrip("/"),
        digest_key=outer.digest_key,
        secrets=outer.secrets,
        outer=outer,
        places=text.places,
    )
    for number in _search(data, lambda n: _detectors[n].wants(path, name)):
        for finding in _detectors[number].check(file, scope.policy):
            if scope.ci and finding.rule == "RG101" and finding.severity == "warning":
                if path == target.removeprefix("~/").removeprefix("./"):
                    continue  # a reference to a secret is a finding of its own there (RG112)
                # every later step has it, whatever the secret is called
                _, owner = variable_kind(finding.subject, scope.policy)
                said = handed_to_ci(scope, finding.subject, owner, text)
                finding.rule, finding.severity = said.rule, said.severity
                finding.message, finding.fix = said.message, said.fix
            finding.message = f"{name}, written here: {finding.message}"
            yield finding


def _path(target: str) -> str:
    variable = target.strip("${}\"'")
    if variable in _NAMED_BY_VARIABLE:
        return _NAMED_BY_VARIABLE[variable]
    return target.removeprefix("~/").removeprefix("./")
