"""CI pipelines: what their steps run, which variables and secrets they get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.late import late
from guard.rules.agents.calls import STEPS, AgentSteps
from guard.rules.files import written
from guard.rules.files.calls import ShellTexts, check_image, check_texts
from guard.rules.files.scope import Scope
from guard.rules.files.secrets import variable_kind
from guard.rules.files.structured import check_call, check_variables, expressions_out, parse
from guard.rules.files.variables import check_variable, handed_to_ci, is_gateway_key
from guard.sources.positions import windows
from guard.sources.positions.nodes import LIST, MAP, SCALAR, Node
from guard.sources.positions.text import Text

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.rules.needles import Needle
    from guard.sources.file import SourceFile

_GITHUB = late(r"(?:^|/)\.(?:github|gitea|forgejo)/(?:workflows|actions)/.*\.ya?ml$")
_NAMES = late(
    r"(?:\.gitlab-ci|.*\.gitlab-ci|bitbucket-pipelines|\.travis|\.drone|\.woodpecker|"
    r"azure-pipelines[^/]*|\.azure-pipelines[^/]*|buildspec|appveyor|\.appveyor|cloudbuild|"
    r"codemagic|\.cirrus)\.ya?ml$"
)
_FOLDERS = late(
    r"(?:^|/)(?:\.circleci|\.buildkite|\.woodpecker|\.azure-pipelines|\.gitlab/ci|\.gitlab-ci|\.semaphore)/"
    r".*\.ya?ml$"
)
# what a pipeline includes may be called anything; by habit it lies in such a folder
_HABITS = late(r"(?:^|/)(?:\.?ci|\.?pipelines|gitlab-ci|\.gitlab)/.*\.ya?ml$")
_JOB = late(
    r"^ +(?:script|before_script|steps|jobs)[ \t]*:[ \t]*(?:\[|[|>][+-]?[ \t]*$|$)", re.MULTILINE
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
_OTHER_SHELLS = late(r"(?:python|node|perl|deno|ruby)")
_CODE = {"python": "step.py", "node": "step.js", "deno": "step.ts", "ruby": "step.rb"}
"""What a step in another language is checked as."""
_WINDOWS = {
    "pwsh": windows.powershell,
    "powershell": windows.powershell,
    "ps": windows.powershell,
    "cmd": windows.batch,
}
"""The shells of Windows, also as the keys by which Azure and AppVeyor name them."""
_SECRET = late(r"\bsecrets(?:\.([A-Za-z_]\w*)|\[\s*['\"]([A-Za-z_]\w*)['\"]\s*\])")


class Pipelines(ShellTexts):
    """RG112 and what shell text and variables of CI jobs have."""

    name = "ci"

    @property
    def needles(self) -> tuple[Needle, ...]:
        """Those of a shell text, and what refers to a secret."""
        return (*super().needles, b"secrets.", b"secrets[", b"inherit")

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
            or _HABITS.search(path)
        )

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in the pipeline's steps, variables and inputs."""
        if _only_by_habit(file) and not _JOB.search(file.text):
            return
        scope = Scope(file, policy, "a CI job", ci=True)
        roots, notes = parse(scope)
        yield from notes
        for root in roots:
            texts: list[Text] = []
            reported: set[int] = set()
            for node in root.walk():
                if node.kind == MAP:
                    yield from self._map(scope, node, texts, reported)
            for finding in check_texts(scope.given_to("the step"), texts):
                if finding.rule == "RG112":
                    reported.add(finding.line)
                yield finding
            yield from _secrets(scope, root, reported)

    def _map(
        self, scope: Scope, node: Node, texts: list[Text], reported: set[int]
    ) -> Iterator[Finding]:
        shell = node.get("shell")
        foreign = _OTHER_SHELLS.match(shell.value) if shell is not None else None
        uses = node.get("uses")
        if uses is not None:
            for steps in _steps(scope):
                yield from steps.action(scope, node, uses)
            yield from _inherited(scope, uses, node.get("secrets"))
        for key, value in node.pairs:
            name = key.value
            if name in _SHELL_KEYS and foreign is not None:
                target = _CODE.get(foreign.group())
                if target is not None and value.kind == SCALAR:
                    yield from written.check(scope, target, value.text)
            elif name in _SHELL_KEYS or name in _WINDOWS:
                plain = _WINDOWS.get(name) or _WINDOWS.get(shell.value if shell else "")
                for item in _shell_texts(value):
                    text = expressions_out(item.text)
                    texts.append(plain(text) if plain else text)
            elif name == "args" and value.kind == LIST:
                yield from check_call(scope, node.get("entrypoint"), value)
            elif name in ("secrets", "with") and value.kind == MAP:
                yield from _handed(scope, value, reported)
            elif name in _VARIABLE_KEYS:
                for finding in check_variables(scope, value):
                    reported.add(finding.line)
                    yield finding
                for steps in _steps(scope):
                    yield from steps.variables(scope, value, node)
            elif name in ("image", "container"):
                image = value
                if value.kind == MAP:
                    image = value.get("name") or value.get("image") or value
                if image.kind == SCALAR:
                    yield from check_image(scope, image.value, image)


def _only_by_habit(file: SourceFile) -> bool:
    path, lower = file.path, file.name.lower()
    known = lower in ("action.yml", "action.yaml") or _NAMES.match(lower)
    return not (known or _GITHUB.search(path) or _FOLDERS.search(path))


def _steps(scope: Scope) -> list[AgentSteps]:
    return [steps for steps in STEPS if steps.ID not in scope.policy.unguarded]


def _shell_texts(value: Node) -> list[Node]:
    if value.kind == MAP:
        # CircleCI: `run: {name: …, command: …}` is met as its own map; GitHub has none
        return []
    return [item for item in value.strings() if item.value.strip()]


def _handed(scope: Scope, given: Node, reported: set[int]) -> Iterator[Finding]:
    """A provider's key under the name that a job's secret or an action's input has, from wherever:
    `secrets: {OPENAI_API_KEY: {vault: …}}` (GitLab), `openai-api-key: ${{ secrets.X }}` (GitHub).
    """
    for key, value in given.entries():
        if value.kind == SCALAR:
            held = _SECRET.search(value.value)
            if held is None or is_gateway_key(held.group(1) or held.group(2), scope.policy):
                continue
        elif not any(value.get(name) is not None for name in _STORES):
            continue  # what a reusable workflow only declares
        variable = key.value.replace("-", "_").upper()
        if variable_kind(variable, scope.policy)[0] == "provider_key":
            for finding in check_variable(scope, variable, None, key):
                reported.add(finding.line)
                yield finding


_STORES = (
    "vault",
    "gcp_secret_manager",
    "azure_key_vault",
    "aws_secrets_manager",
    "gitlab_secrets_manager",
    "akeyless",
)
"""Where GitLab has a job's secret from (docs.gitlab.com/ci/yaml, "secrets")."""


def _inherited(scope: Scope, uses: Node, secrets: Node | None) -> Iterator[Finding]:
    """`secrets: inherit`: a workflow that is called gets every secret, a provider's key too.

    One of the same repository is checked itself, so there it is only a note (docs.github.com,
    "Reusing workflows").
    """
    if secrets is None or secrets.kind != SCALAR or secrets.value != "inherit":
        return
    own = uses.value.startswith("./")
    message = f"{uses.value} gets every secret of this repository, a direct provider key among them"
    yield scope.finding(
        "RG112",
        secrets,
        "secrets: inherit",
        message + (" if there is one; it is checked by itself" if own else " if there is one"),
        fix="name what it needs: secrets: {PORTKEY_API_KEY: ${{ secrets.PORTKEY_API_KEY }}}",
        severity="note" if own else "warning",
    )


def _secrets(scope: Scope, root: Node, reported: set[int]) -> Iterator[Finding]:
    """`${{ secrets.OPENAI_API_KEY }}` wherever a step gets it: inputs, shell text, reused jobs."""
    policy = scope.policy
    for node in root.walk():
        if node.kind == LIST or "secrets" not in node.value:
            continue
        for match in _SECRET.finditer(node.value):
            name = match.group(1) or match.group(2)
            kind, owner = variable_kind(name.upper(), policy)
            if kind != "provider_key" or is_gateway_key(name, policy):
                continue
            place = node.text[match.start() : match.end()]
            if policy.excepted(f"env:{name}") is None and (
                scope.file.position(place.start)[0] not in reported
            ):
                yield handed_to_ci(scope, name, owner, place)


DETECTOR = Pipelines()
