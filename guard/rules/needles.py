"""Which detectors a file is for: all their literals looked for in one pass over its bytes.

The pass is Hyperscan's where it is installed, and Python's own search elsewhere. Either only leads
to a detector, which decides for itself; so both lead to the same findings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

FAST_FROM = 4_000_000
"""Bytes from which Hyperscan is worth its start (import and compilation, about 30 ms)."""


class Form(NamedTuple):
    """A needle for common words: `literal`, and somewhere in the file the regex `form`.

    `form` is for bytes, in the syntax that `re` and Hyperscan share, letters in any case. It has
    to match in every file in which the detector finds something by this literal. Python's search
    leaves it out: it would take longer than the detector.
    """

    literal: bytes
    form: bytes


Needle = bytes | Form
"""A literal in lower case is found in any case, one with a capital as it is written; b"" stands
in every file. Only ASCII letters have a case here."""


class HasNeedles(Protocol):
    """What has needles, such as a detector."""

    @property
    def needles(self) -> Sequence[Needle]:
        """One of them stands in every file that it is for. Asked for only if it is wanted."""
        ...


class NeedleSearch(Protocol):
    """Looks for groups of needles in bytes."""

    def __call__(self, data: bytes, wanted: Callable[[int], bool]) -> list[int]:
        """The numbers of the groups of which a needle stands in `data`, of those `wanted`."""
        ...


def search(groups: Sequence[HasNeedles], size: int) -> NeedleSearch:
    """The quicker search for about `size` bytes, of what this machine has."""
    if size >= FAST_FROM:
        try:
            return FastSearch(groups)
        except ImportError:
            pass
    return PlainSearch(groups)


class PlainSearch:
    """Python's own search: one literal after the other, until one of a group is found."""

    def __init__(self, groups: Sequence[HasNeedles]) -> None:
        self._groups = groups
        self._literals: list[tuple[tuple[bytes, bool], ...] | None] = [None] * len(groups)

    def __call__(self, data: bytes, wanted: Callable[[int], bool]) -> list[int]:
        lowered = data.lower()
        present: dict[bytes, bool] = {}
        found = []
        for number in filter(wanted, range(len(self._groups))):
            for literal, exact in self._literals[number] or self._read(number):
                here = present.get(literal)
                if here is None:
                    here = literal in (data if exact else lowered)
                    present[literal] = here
                if here:
                    found.append(number)
                    break
        return found

    def _read(self, number: int) -> tuple[tuple[bytes, bool], ...]:
        literals = tuple((n, _is_exact(n)) for n in map(_literal, self._groups[number].needles))
        self._literals[number] = literals
        return literals


class FastSearch:
    """Hyperscan's: every needle of every group at once, each reported once.

    Raises ImportError where it is not installed or does not run (it needs SSSE3 on x86).
    """

    def __init__(self, groups: Sequence[HasNeedles]) -> None:
        import hyperscan

        bits: dict[tuple[bytes, bool], int] = {}

        def bit(expression: bytes, exact: bool = False) -> int:
            return 1 << bits.setdefault((expression, exact), len(bits) + 1)

        # a group is found if one of its single bits is, or all bits of one of its forms; the
        # lowest bit is always set
        self._groups: list[tuple[int, list[int]]] = []
        for group in groups:
            single, forms = 0, []
            for needle in group.needles:
                literal = _literal(needle)
                if not literal:
                    single |= 1
                    continue
                found = bit(re.escape(literal), _is_exact(literal))
                if isinstance(needle, Form):
                    forms.append(found | bit(needle.form))
                else:
                    single |= found
            self._groups.append((single, forms))
        self._known: dict[int, list[int]] = {}  # most files hold the same few
        self._found = 1
        self._database = hyperscan.Database()
        once, caseless = hyperscan.HS_FLAG_SINGLEMATCH, hyperscan.HS_FLAG_CASELESS
        try:
            self._database.compile(
                expressions=[expression for expression, _ in bits],
                ids=list(bits.values()),
                elements=len(bits),
                flags=[once if exact else once | caseless for _, exact in bits],
            )
        except hyperscan.ArchitectureError as error:
            raise ImportError(str(error)) from None

    def __call__(self, data: bytes, wanted: Callable[[int], bool]) -> list[int]:
        self._found = 1
        if data:
            self._database.scan(data, match_event_handler=self._take)
        here = self._known.get(self._found)
        if here is None:
            here = self._known[self._found] = self._groups_of(self._found)
        return [number for number in here if wanted(number)]

    def _groups_of(self, found: int) -> list[int]:
        return [
            number
            for number, (single, forms) in enumerate(self._groups)
            if found & single or any(found & form == form for form in forms)
        ]

    def _take(self, number: int, start: int, end: int, flags: int, context: object) -> None:
        self._found |= 1 << number


def _literal(needle: Needle) -> bytes:
    return needle.literal if isinstance(needle, Form) else needle


def _is_exact(literal: bytes) -> bool:
    return literal != literal.lower()
