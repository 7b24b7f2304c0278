"""Text that was written inside other text, and where each of its characters came from.

A shell script in a YAML block, in a JSON string, in the quoted argument of `bash -c`: each layer
takes off indentation, escapes or quotes. A `Text` has the characters that the innermost reader
sees and, for each, its offset in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Text:
    """Decoded characters and their offsets in the file.

    `places[i]` is the offset of the character `value[i]`; there is one more place than there are
    characters, the end. For text that stands in the file as it is, `places` is a range.
    """

    __slots__ = ("places", "value")

    def __init__(self, value: str, places: Sequence[int]) -> None:
        self.value = value
        self.places = places

    @classmethod
    def of(cls, value: str, start: int = 0) -> Text:
        """The text `value` as it stands in the file, from the offset `start` on."""
        return cls(value, range(start, start + len(value) + 1))

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, part: slice) -> Text:
        """The characters `part` (no step), at their places."""
        start, stop, _ = part.indices(len(self.value))
        stop = max(start, stop)
        return Text(self.value[start:stop], self.places[start : stop + 1])

    @property
    def start(self) -> int:
        """The file offset of the first character."""
        return self.places[0]

    @property
    def end(self) -> int:
        """The file offset behind the last character."""
        return self.places[-1]

    def strip(self) -> Text:
        """Without white space at both ends."""
        left = len(self.value) - len(self.value.lstrip())
        return self[left : max(left, len(self.value.rstrip()))]

    def lines(self) -> list[Text]:
        """The lines, without their line ends (`\\n` and `\\r\\n`)."""
        found = []
        at = 0
        for line in self.value.split("\n"):
            found.append(self[at : at + len(line.removesuffix("\r"))])
            at += len(line) + 1
        return found


def joined(parts: Iterable[Text], between: str = "") -> Text:
    """The parts one after the other; `between` stands where the part before it ended."""
    values: list[str] = []
    places: list[int] = []
    last = 0
    for index, part in enumerate(parts):
        if index and between:
            values.append(between)
            places.extend([last] * len(between))
        values.append(part.value)
        places.extend(part.places[: len(part.value)])
        last = part.end
    places.append(last)
    return Text("".join(values), places)
