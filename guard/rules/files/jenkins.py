"""Jenkins pipelines: what their steps run, which variables and credentials they get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.late import late
from guard.rules.files.calls import ShellTexts, check_image, check_texts
from guard.rules.files.scope import Scope, Span
from guard.rules.files.structured import check_pair
from guard.rules.files.variables import check_variable
from guard.sources.positions.code_calls import string_at
from guard.sources.positions.templates import plain_name

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

# jenkins.io/doc/book/pipeline: sh '…', sh(script: '…', returnStdout: true), bat "…"
_STEP = late(
    r"(?<![\w.])(?:sh|bat)(?![\w.])[ \t]{0,4}\(?[ \t\r\n]{0,40}"
    r"(?:\w{1,30}[ \t]{0,4}:[ \t]{0,4}\w{1,30}[ \t]{0,4},[ \t\r\n]{0,40}){0,4}"
    r"(?:script[ \t]{0,4}:[ \t]{0,4})?(?=[\"'])"
)
_SET = late(
    # on a line of its own, or in a block on one line
    r"(?P<before>^|\benvironment[ \t]*+\{|;)[ \t]*+(?:env\.)?(?P<name>[A-Za-z_]\w*+)[ \t]*+=[ \t]*+"
    r"(?:(?P<kept>credentials[ \t]*+\()|(?=[\"']))",
    re.MULTILINE,
)
_PIPELINE = late(
    r"^[ \t]*(?:pipeline|node|withCredentials|withEnv|environment)\b[^\n]{0,200}\{", re.MULTILINE
)
_LIST = late(r"\bwithEnv[ \t]{0,4}\(\s{0,20}\[")
_ITEM = late(r"[\s,]{0,200}+(?=[\"'])")
_KEPT = late(r"\b(?:variable|passwordVariable)[ \t]{0,4}:[ \t]{0,4}(?=[\"'])")
_IMAGE = late(r"(?<![\w.])(?:image|docker\.image\()[ \t]{0,4}(?=[\"'])")
_COMMENT = late(r"[ \t]*(?://|\*)")


class Jenkins(ShellTexts):
    """RG112 and what shell text, variables and images of a Jenkins pipeline have."""

    name = "jenkins"

    def wants(self, path: str, name: str) -> bool:
        """Jenkinsfile, with a prefix or a suffix; Groovy may be a part of one."""
        plain = plain_name(name).lower()
        return plain.startswith("jenkinsfile") or plain.endswith((".jenkinsfile", ".groovy"))

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in steps, `environment`, `withEnv`, `withCredentials` and images."""
        scope = Scope(file, policy, "a CI job", ci=True)
        text = file.text
        if plain_name(file.name).lower().endswith(".groovy") and not _PIPELINE.search(text):
            return
        for found in _SET.finditer(text):
            if found["before"] and _is_comment(text, found.start()):
                continue
            if found["before"] == ";" and not found["kept"]:
                continue  # as likely in a text for a shell
            value = None if found["kept"] else string_at(text, found.end())
            if found["kept"] or value is not None:
                shown = None if value is None else value.shown
                yield from check_variable(scope, found["name"], shown, Span(*found.span("name")))
        for pattern, check in ((_LIST, _pairs), (_KEPT, _kept), (_IMAGE, _image)):
            for found in pattern.finditer(text):
                if not _is_comment(text, found.start()):
                    yield from check(scope, found.end())
        texts = []
        for found in _STEP.finditer(text):
            word = string_at(text, found.end())
            if word is not None and not _is_comment(text, found.start()):
                texts.append(word.content)
        yield from check_texts(scope.given_to("the step"), texts)


def _is_comment(text: str, at: int) -> bool:
    return _COMMENT.match(text, text.rfind("\n", 0, at) + 1, at) is not None


def _pairs(scope: Scope, at: int) -> Iterator[Finding]:
    text = scope.file.text
    while (item := _ITEM.match(text, at)) is not None:
        word = string_at(text, item.end())
        if word is None:
            return
        yield from check_pair(scope, word.content)
        at = word.end


def _kept(scope: Scope, at: int) -> Iterator[Finding]:
    word = string_at(scope.file.text, at)
    if word is not None:
        yield from check_variable(scope, word.shown, None, word.content)


def _image(scope: Scope, at: int) -> Iterator[Finding]:
    word = string_at(scope.file.text, at)
    if word is not None:
        yield from check_image(scope, word.shown, word.content)


DETECTOR = Jenkins()
