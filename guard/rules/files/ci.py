"""CI pipelines: what their steps run, which variables and secrets they get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.catalog import local_proxies
from guard.findings import Finding
from guard.rules.agents.opencode import steps
from guard.rules.files.calls import NEEDLES, check_texts, proxy_service
from guard.rules.files.secrets import variable_kind
from guard.rules.files.structured import check_variables, parse
from guard.rules.files.variables import handed_to_ci, is_gateway_key
from guard.sources.positions.nodes import LIST, MAP, SCALAR, Node
from guard.sources.positions.text import Text, joined

if TYPE_CHECKING:
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_GITHUB = re.compile(r"(?:^|/)\.(?:github|gitea|forgejo)/(?:workflows|actions)/.*\.ya?ml$")
_NAMES = re.compile(
    r"(?:\.gitlab-ci|.*\.gitlab-ci|bitbucket-pipelines|\.travis|\.drone|\.woodpecker|"
    r"azure-pipelines[^/]*|\.azure-pipelines[^/]*|buildspec|appveyor|\.appveyor|cloudbuild|"
    r"codemagic|\.cirrus)\.ya?ml$"
)
_FOLDERS = re.compile(
    r"(?:^|/)(?:\.circleci|\.buildkite|\.woodpecker|\.azure-pipelines|\.gitlab/ci|\.gitlab-ci|\.semaphore)/"
    r".*\.ya?ml$"
)

# keys whose value is shell text, or a list of it, in one of the systems; a step of another kind
# that has such a key with a map below it is not read
_SHELL_KEYS = frozenset(
    (
        "run",
        "script",
        "before_script",
        "after_script",
        "bash",
        "command",
        "commands",
        "before_install",
        "install",
        "after_success",
        "after_failure",
        "before_deploy",
        "test_script",
        "build_script",
        "inlineScript",
    )
)
_VARIABLE_KEYS = frozenset(("env", "variables", "environment"))
_OTHER_SHELLS = re.compile(r"(?:python|pwsh|powershell|cmd|node|perl|deno|ruby)")
_EXPRESSION = re.compile(
    r"\$\{\{.*?\}\}|\$\[\[.*?\]\]|<<\s*[\w.]+\s*>>|\$\(([A-Za-z_][\w.]*)\)", re.S
)
_LAST_NAME = re.compile(r"[A-Za-z_]\w*")
_SECRET = re.compile(r"\bsecrets(?:\.([A-Za-z_]\w*)|\[\s*['\"]([A-Za-z_]\w*)['\"]\s*\])")


class Pipelines:
    """RG112 and what shell text and variables of CI jobs have."""

    name = "ci"
    needles: tuple[bytes, ...] = (*NEEDLES, b"secrets.", b"secrets[")

    def wants(self, path: str, name: str) -> bool:
        """Pipelines by their path, composite actions by their name."""
        lower = name.lower()
        if not lower.endswith((".yml", ".yaml")):
            return False
        return bool(
            lower in ("action.yml", "action.yaml")
            or _NAMES.match(lower)
            or _GITHUB.search(path)
            or _FOLDERS.search(path)
        )

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in the pipeline's steps, variables and inputs."""
        roots, notes = parse(file)
        yield from notes
        for root in roots:
            texts: list[Text] = []
            reported: set[int] = set()
            for node in root.walk():
                if node.kind == MAP:
                    yield from self._map(file, policy, node, texts, reported)
            for finding in check_texts(file, policy, texts, where="the step", ci=True):
                if finding.rule == "RG112":
                    reported.add(finding.line)
                yield finding
            yield from _secrets(file, policy, root, reported)

    def _map(
        self,
        file: SourceFile,
        policy: CompiledPolicy,
        node: Node,
        texts: list[Text],
        reported: set[int],
    ) -> Iterator[Finding]:
        shell = node.get("shell")
        foreign_shell = shell is not None and _OTHER_SHELLS.match(shell.value) is not None
        uses = node.get("uses")
        if uses is not None:
            yield from steps.action(file, policy, node, uses)
        for key, value in node.pairs:
            name = key.value
            if name in _SHELL_KEYS and not foreign_shell:
                texts.extend(_expressions_out(item.text) for item in _shell_texts(value))
            elif name in _VARIABLE_KEYS:
                for finding in check_variables(file, policy, value, where="a CI job", ci=True):
                    reported.add(finding.line)
                    yield finding
                yield from steps.variables(file, policy, value, node)
            elif name in ("image", "container"):
                yield from _image(file, policy, value)


def _shell_texts(value: Node) -> list[Node]:
    if value.kind == MAP:
        # CircleCI: `run: {name: …, command: …}` is met as its own map; GitHub has none
        return []
    return [item for item in value.strings() if item.value.strip()]


def _expressions_out(text: Text) -> Text:
    """`text` with the runner's own expressions as expansions of the shell."""
    if not any(mark in text.value for mark in ("${{", "<<", "$(", "$[[")):
        return text
    parts = []
    at = 0
    for match in _EXPRESSION.finditer(text.value):
        if match.group(1) and "." not in match.group(1) and not match.group(1).isupper():
            continue  # `$(date)` runs a program; Azure's macros are usually `$(a.b)` or upper-case
        parts.append(text[at : match.start()])
        # the last name of the expression, so that the gateway's secret is still known as that
        named = _LAST_NAME.findall(match.group())
        shown = f"${{_{named[-1] if named else ''}}}"
        places = [text.places[match.start()]] * len(shown) + [text.places[match.end()]]
        parts.append(Text(shown, places))
        at = match.end()
    parts.append(text[at:])
    return joined(parts)


def _image(file: SourceFile, policy: CompiledPolicy, value: Node) -> Iterator[Finding]:
    reference = value
    if value.kind == MAP:
        reference = value.get("name") or value.get("image") or value
    if reference.kind != SCALAR:
        return
    found = local_proxies.image(reference.value)
    if found is not None:
        yield from proxy_service(file, policy, found, reference.start, reference.end)


def _secrets(
    file: SourceFile, policy: CompiledPolicy, root: Node, reported: set[int]
) -> Iterator[Finding]:
    """`${{ secrets.OPENAI_API_KEY }}` wherever a step gets it: inputs, shell text, reused jobs."""
    for node in root.walk():
        if node.kind == LIST or "secrets" not in node.value:
            continue
        for match in _SECRET.finditer(node.value):
            name = match.group(1) or match.group(2)
            kind, owner = variable_kind(name.upper(), policy)
            if kind != "provider_key" or is_gateway_key(name, policy):
                continue
            if policy.excepted(f"env:{name}") is not None:
                continue
            start, end = node.text.places[match.start()], node.text.places[match.end()]
            if file.position(start)[0] in reported:
                continue
            yield handed_to_ci(file, policy, name, owner, start, end, "a CI job")


DETECTOR = Pipelines()
