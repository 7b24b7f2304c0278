"""The baseline: known findings that are set apart, so that only new ones are reported.

An entry stands for a place, not for a value: rule, path, and a digest of the line's words after
everything that could be a value was taken out. So the file can be committed, and a guess at a
key cannot be tried on it. Lines may move; a line that changes its words is a new place.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from guard.errors import ExitCode, GuardError
from guard.files import write as files
from guard.findings import Finding
from guard.late import late
from guard.masking import masked
from guard.rule_table import RULES
from guard.sources import bounded_text
from guard.sources.records import Skipped

DEFAULT_NAME = ".routeguard-baseline.json"
"""Read, if it lies in the root of what is checked, when no other is named."""

SCHEMA_VERSION = 1

NEVER = frozenset(("RG901", "RG902", "RG903"))
"""Rules about the check itself: these do not wait."""

_LIMIT = 16 * 1024 * 1024
_DIGEST_LENGTH = 16
_TEXT_LIMIT = 4096

# everything that can hold a value; `keep` is what stays of a match
_VALUES = (
    late(r"(?P<keep>[:=])[ \t]*(?:\"[^\"]*\"?|'[^']*'?|[^\s\"':=][^\s\"']*)"),
    late(r"(?P<keep>)(?:\"[^\"]*\"?|'[^']*'?|`[^`]*`?)"),
    late(r"(?P<keep>(?i:key|token|secret|pass|passwd|password|auth|login|bearer)\b\s)\s*\S+"),
    late(r"(?P<keep>)(?:\S*\d\S*|\S{20,})"),
)
_MARK = "\N{SYMBOL FOR SUBSTITUTE}"

Key = tuple[str, str, str]
"""(rule, path, digest) of an entry."""


class Baseline(NamedTuple):
    """Known findings: how often each entry may occur. `path` is where it was read, "" if new."""

    entries: Mapping[Key, int]
    path: str = ""


@lru_cache(maxsize=1)  # many findings can stand on one line
def skeleton(text: str) -> str:
    """The words of `text` that cannot be a value, with one mark for each part that could.

    Taken out are what follows `=` or `:`, what is quoted, the word after one that speaks of a
    secret, words with a digit in them and words of 20 characters or more.
    """
    text = text[:_TEXT_LIMIT]
    for pattern in _VALUES:
        text = pattern.sub(lambda match: match["keep"] + _MARK, text)
    return " ".join(text.split())


def fingerprint(finding: Finding, text: str) -> str:
    """The digest of a finding whose lines read `text`: the same when the lines move."""
    parts = (finding.rule, _place(finding.path), skeleton(text[:_TEXT_LIMIT]))
    import hashlib  # where something was found

    said = "\n".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(said).hexdigest()[:_DIGEST_LENGTH]


def _place(path: str) -> str:
    """`path` as an entry has it: a file can be named after a key."""
    return masked(path)


def apply(
    baseline: Baseline, findings: Iterable[tuple[Finding, str]]
) -> tuple[list[tuple[Finding, str]], list[Finding], int]:
    """(new, known, stale) of `findings` with their fingerprints, in the order given.

    An entry covers as many findings as it was written for. `stale` counts those it covers no
    more.
    """
    left = Counter(dict(baseline.entries))
    new: list[tuple[Finding, str]] = []
    known: list[Finding] = []
    for finding, digest in findings:
        key = (finding.rule, _place(finding.path), digest)
        if left[key] > 0 and finding.rule not in NEVER:
            left[key] -= 1
            known.append(finding)
        else:
            new.append((finding, digest))
    return new, known, sum(left.values())


def of(findings: Iterable[tuple[Finding, str]]) -> Baseline:
    """The baseline under which none of `findings` is reported."""
    return Baseline(
        Counter((f.rule, _place(f.path), digest) for f, digest in findings if f.rule not in NEVER)
    )


def kept(
    old: Baseline, new: Baseline, checked: Collection[str] | None, rules: Collection[str]
) -> Baseline:
    """`new`, with those entries of `old` that this check could not have found again.

    `checked` are the paths that were looked at (None: all), `rules` the ids looked for.
    """
    looked_at = None if checked is None else frozenset(map(_place, checked))
    others = {
        key: count
        for key, count in old.entries.items()
        if key[0] not in rules or (looked_at is not None and key[1] not in looked_at)
    }
    return Baseline({**others, **new.entries})


def read(path: str) -> Baseline:
    """The baseline at `path`. Raises GuardError (exit status 3) if it is missing or damaged."""
    text = bounded_text.read(path, _LIMIT)
    if text is None:
        raise _unusable(path, "there is no such file", "write one with --write-baseline")
    if isinstance(text, Skipped):
        raise _unusable(path, text.reason, "name a baseline that --write-baseline wrote")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise _unusable(path, "it is not JSON", "write it again with --write-baseline") from None
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise _unusable(
            path,
            f"its schema_version is not {SCHEMA_VERSION}",
            "write it again with --write-baseline",
        )
    entries: dict[Key, int] = {}
    items = content.get("entries")
    for number, item in enumerate(items if isinstance(items, list) else [None], start=1):
        key = _entry(item)
        if key is None:
            raise _unusable(
                path,
                f"entry {number} lacks one of rule, path, digest, count, or holds another type",
                "write it again with --write-baseline",
            )
        entries[key[0]] = entries.get(key[0], 0) + key[1]
    return Baseline(entries, path)


def _entry(item: object) -> tuple[Key, int] | None:
    if not isinstance(item, dict):
        return None
    rule, path, digest, count = (item.get(k) for k in ("rule", "path", "digest", "count"))
    if not (isinstance(rule, str) and isinstance(path, str) and isinstance(digest, str)):
        return None
    if type(count) is not int or count < 1 or rule not in RULES:
        return None
    return (rule, path, digest), count


def write(baseline: Baseline, path: str) -> None:
    """Write `baseline` to `path`, whole or not at all. Raises GuardError (exit status 3)."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "entries": [
            {"rule": rule, "path": place, "digest": digest, "count": count}
            for (rule, place, digest), count in sorted(
                baseline.entries.items(), key=lambda entry: (entry[0][1], entry[0])
            )
        ],
    }
    # ASCII: a path that is no valid UTF-8 survives as an escape
    text = json.dumps(content, indent=1, ensure_ascii=True) + "\n"
    refuse_place(path)
    try:
        files.write(path, text.encode("ascii"), None)
    except OSError as error:
        raise _unusable(path, (error.strerror or str(error)).lower(), "name another file") from None


def refuse_place(path: str) -> None:
    """Raise GuardError (exit status 3) where no baseline can be written, as far as that shows
    without writing one."""
    if os.path.lexists(path) and (os.path.islink(path) or not os.path.isfile(path)):
        raise _unusable(path, "it is not a regular file", "name another file")
    if why := files.obstacle(path):
        raise _unusable(path, why, "name another file")


def _unusable(path: str, why: str, fix: str) -> GuardError:
    return GuardError(
        "the baseline cannot be used", where=path, why=why, fix=fix, exit_code=ExitCode.CONFIG
    )
