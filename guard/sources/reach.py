"""How far a setting in a file reaches: a job of a pipeline, a service, a stage of an image, a
function. What stands outside of all of them reaches everything."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

from guard.late import late

_PARENT = late(r"^(?P<lead> *)(?:jobs|services)[ \t]*:[ \t]*(?:#[^\n]*)?$", re.MULTILINE)
_GITLAB_JOB = late(r"^(?P<name>[^\s#.&:][^\n#&:]*):[ \t]*(?P<anchor>&)?[^\n]*$", re.MULTILINE)
_SCRIPT = late(r"^[ \t]+(?:script|before_script|steps)[ \t]*:", re.MULTILINE)
_STAGE = late(
    r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(?P<base>\S+)(?:[ \t]+AS[ \t]+(?P<name>\S+))?",
    re.MULTILINE | re.IGNORECASE,
)
_BLOCK = late(
    r"^(?:@|(?:export[ \t]+(?:default[ \t]+)?)?(?:async[ \t]+)?(?:def|class|function)\b"
    r"|(?:export[ \t]+)?(?:const|let|var)[ \t]+[\w$]+(?:[ \t]*:[^=\n]{0,200})?[ \t]*=[ \t]*"
    r"(?:async[ \t]*)?(?:function\b|\([^()\n]{0,300}\)[^=\n]{0,100}=>|[\w$]+[ \t]*=>))",
    re.MULTILINE,
)


class Parts(NamedTuple):
    """The parts of a text in which a setting stays: where each begins and ends, and the number of
    the one that a part builds on, -1 for none."""

    starts: list[int]
    ends: list[int]
    bases: list[int]

    def covers(self, setting: int, place: int) -> bool:
        """Whether what is set at one offset holds at the other."""
        part = self._part(setting)
        other = self._part(place)
        while part >= 0 and other >= 0 and other != part:
            other = self.bases[other]
        return part < 0 or other == part

    def _part(self, at: int) -> int:
        number = bisect_right(self.starts, at) - 1
        return number if number >= 0 and at < self.ends[number] else -1


def parts(name: str, text: str) -> Parts:
    """The parts of `text`, the content of a file called `name`."""
    lower = name.lower()
    if lower.endswith((".yml", ".yaml")):
        return _of_yaml(text)
    if "dockerfile" in lower or "containerfile" in lower:
        return _of_stages(text)
    if lower.rpartition(".")[2] in _CODE:
        return _of_code(text)
    return Parts([], [], [])


_CODE = frozenset(("py", "pyi", "js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts"))


def _of_yaml(text: str) -> Parts:
    starts: list[int] = []
    ends: list[int] = []
    for parent in _PARENT.finditer(text):
        lead = len(parent["lead"])
        end = _end(text, parent.end(), lead)
        first = re.compile(r"^( *)[^\s#]", re.MULTILINE).search(text, parent.end())
        if first is None or len(first[1]) <= lead:
            continue
        entries = re.compile(rf"^ {{{len(first[1])}}}(?=[^\s#-])", re.MULTILINE)
        found = [match.start() for match in entries.finditer(text, parent.end(), end)]
        starts += found
        ends += [*found[1:], end]
    if not starts:
        for job in _GITLAB_JOB.finditer(text):
            end = _end(text, job.end(), 0)
            if not job["anchor"] and _SCRIPT.search(text, job.end(), end):
                starts.append(job.start())
                ends.append(end)
    order = sorted(range(len(starts)), key=starts.__getitem__)
    return Parts([starts[n] for n in order], [ends[n] for n in order], [-1] * len(order))


def _end(text: str, at: int, lead: int) -> int:
    """Where the block ends whose head, which is indented by `lead`, ends at `at`."""
    found = re.compile(rf"^ {{0,{lead}}}[^\s#]", re.MULTILINE).search(text, at)
    return found.start() if found else len(text)


def _of_stages(text: str) -> Parts:
    starts: list[int] = []
    bases: list[int] = []
    names: dict[str, int] = {}
    for number, stage in enumerate(_STAGE.finditer(text)):
        starts.append(stage.start())
        bases.append(names.get(stage["base"].lower(), -1))
        names[str(number)] = number
        if stage["name"]:
            names[stage["name"].lower()] = number
    return Parts(starts, [*starts[1:], len(text)][: len(starts)], bases)


def _of_code(text: str) -> Parts:
    """Functions and classes that stand alone in the file, not one within another."""
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    while (block := _BLOCK.search(text, at)) is not None:
        head = re.compile(r"^(?!@)[^\s)]", re.MULTILINE).search(text, block.start())
        body = text.find("\n", head.end() if head else block.end())
        stop = re.compile(r"^[^\s)\]}#]", re.MULTILINE).search(text, body) if body >= 0 else None
        starts.append(block.start())
        ends.append(stop.start() if stop else len(text))
        at = ends[-1]
    return Parts(starts, ends, [-1] * len(starts))
