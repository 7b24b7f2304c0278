"""Dockerfiles: what an image runs and which variables it is built with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guard.late import late
from guard.rules.files import written
from guard.rules.files.calls import ShellTexts, check_image, check_texts
from guard.rules.files.scope import Scope, between
from guard.rules.files.structured import (
    check_command,
    exec_form,
    split_words,
)
from guard.rules.files.variables import check_variable
from guard.sources.positions.text import Text, joined

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_INSTRUCTION = late(r"\s*([A-Za-z]+)(?:\s+|$)")
_HEREDOC = late(r"<<(-?)([\"']?)([A-Za-z_]\w*)\2")
_FLAG = late(r"\s*--[a-z][a-z-]*(?:=\S*)?(?=\s)")
_ESCAPE = late(r"#\s*escape\s*=\s*`", re.I)
_PAIR = late(r"([A-Za-z_]\w*)=")


class Dockerfiles(ShellTexts):
    """Agent calls, variables and local proxies in Dockerfiles."""

    name = "dockerfile"

    def wants(self, path: str, name: str) -> bool:
        """Dockerfile, Containerfile, with a prefix or suffix; Earthfile."""
        lower = name.lower()
        first = lower.partition(".")[0]
        return first in ("dockerfile", "containerfile", "earthfile") or lower.endswith(
            (".dockerfile", ".containerfile")
        )

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in the instructions."""
        scope = Scope(file, policy, "the image")
        texts: list[Text] = []
        for name, rest in instructions(file.text):
            if name == "ONBUILD":
                found = _INSTRUCTION.match(rest.value)
                if found is None:
                    continue
                name, rest = found.group(1).upper(), rest[found.end() :]
            if name in ("ENV", "ARG"):
                yield from _variables(scope, rest, name)
                continue
            while flag := _FLAG.match(rest.value):
                rest = rest[flag.end() :]
            if name == "FROM":
                image = re.match(r"\s*(\S+)", rest.value)
                if image is not None:
                    place = rest[image.start(1) : image.end(1)]
                    yield from check_image(scope, place.value, place)
            elif name in ("COPY", "ADD") and "<<" in rest.value:
                head, _, body = rest.value.partition("\n")
                target = head.split()[-1] if head.strip() else ""
                # the last line is the mark that ends it
                end = len(head) + 1 + body.rfind("\n")
                yield from written.check(scope, target, rest[len(head) + 1 : end + 1])
            elif name in ("RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK"):
                if name == "HEALTHCHECK":
                    command = _INSTRUCTION.match(rest.value)
                    if command is None or command.group(1).upper() != "CMD":
                        continue
                    rest = rest[command.end() :]
                words = exec_form(rest)
                if words is not None:
                    yield from check_command(scope, words)
                else:
                    texts.append(rest)
        yield from check_texts(scope.given_to("the build"), texts)


def instructions(text: str) -> Iterator[tuple[str, Text]]:
    """The instructions of a Dockerfile: the upper-case name and what follows it.

    Continuation lines are joined, comment lines among them left out; the lines of a here-document
    are given to the shell as they stand (docs.docker.com/reference/dockerfile).
    """
    lines = Text.of(text).lines()
    escape = "`" if lines and _ESCAPE.match(lines[0].value) else "\\"
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        found = _INSTRUCTION.match(line.value)
        if found is None or line.value.lstrip().startswith("#"):
            continue
        parts = [line[found.end() :]]
        while parts[-1].value.rstrip().endswith(escape) and at < len(lines):
            last = parts[-1]
            parts[-1] = last[: len(last.value.rstrip()) - 1]
            while at < len(lines) and (
                lines[at].value.lstrip().startswith("#") or not lines[at].value.strip()
            ):
                at += 1
            if at < len(lines):
                parts.append(lines[at])
                at += 1
        rest = joined(parts, " ")
        body: list[Text] = []
        marks = (
            _HEREDOC.findall(rest.value) if found.group(1).upper() in ("RUN", "COPY", "ADD") else []
        )
        for dashes, _, mark in marks:
            while at < len(lines):
                line = lines[at]
                at += 1
                ends = line.value.lstrip("\t") if dashes else line.value
                body.append(line)
                if ends == mark:
                    break
        if body and marks:
            bare = _HEREDOC.sub("", rest.value).strip()
            # `RUN <<EOF` alone: the lines are the script
            rest = joined(body[:-1], "\n") if not bare else joined([rest, *body], "\n")
        yield found.group(1).upper(), rest


def _variables(scope: Scope, rest: Text, name: str) -> Iterator[Finding]:
    words = split_words(rest)
    if name == "ENV" and words and not _PAIR.match(words[0].shown):
        # the old form: ENV NAME the rest of the line
        value = " ".join(word.shown for word in words[1:])
        yield from check_variable(scope, words[0].shown, value, between(words[0], words[-1]))
        return
    for word in words:
        found = _PAIR.match(word.shown)
        if found:
            yield from check_variable(scope, found.group(1), word.shown[found.end() :], word)


DETECTOR = Dockerfiles()
