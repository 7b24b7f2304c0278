"""Writes `needles.py`: the words for which the hook looks in a typed line, from the catalogue.

`python -m guard.proxies.find_needles guard/proxies/needles.py`, after every change of
`guard/catalog/local_proxies.json`; a test compares the two.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from guard import catalog

_CATALOGUE = os.path.join(os.path.dirname(os.path.abspath(catalog.__file__)), "local_proxies.json")
_HEAD = '''\
"""What is looked for in a typed line before anything else: lower-case parts of command lines.

Made by find_needles.py from the catalogue of local proxies, so that printing the hook reads no
JSON; not written by hand. Hot-path module.
"""

from __future__ import annotations

'''


def text() -> str:
    """The text of needles.py."""
    programs, images, names = _needles()
    return (
        _HEAD
        + _tuple("PROGRAMS", programs, "Every line that starts a program holds one of these.")
        + "\n"
        + _tuple(
            "IMAGES",
            images,
            "Every line that runs a container image holds one of these or of PROGRAMS.",
        )
        + "\n"
        + _tuple("NAMES", names, "Names of programs that can be the name of a function in bash.")
    )


def _needles() -> tuple[list[str], list[str], list[str]]:
    programs: set[str] = set()
    images: set[str] = set()
    names: set[str] = set()
    for entry in json.loads(Path(_CATALOGUE).read_text(encoding="utf-8"))["proxies"]:
        for form in entry.get("programs", ()):
            programs.update(form["names"])
            names.update(name for name in form["names"] if re.fullmatch(r"[\w.-]+", name))
        programs.update(module.partition(".")[0] for module in entry.get("modules", ()))
        programs.update(entry.get("packages", ()))
        # an application is named by its module, from the first character on
        programs.update(
            re.split(r"\W", pattern.lstrip("^"))[0] for pattern in entry.get("asgi", ())
        )
        images.update(n for pattern in entry.get("images", ()) for n in _plain(pattern))
    shortest = _shortest(programs)
    others = [i for i in _shortest(images) if not any(p in i for p in shortest)]
    return shortest, others, sorted(names)


def _plain(pattern: str) -> Iterator[str]:
    """Runs of plain characters of which every text that matches `pattern` holds one."""
    group = re.search(r"\(([^()]*)\)([?*]?)", pattern)
    if group:
        before, after = pattern[: group.start()], pattern[group.end() :]
        for inside in [" "] if group.group(2) else group.group(1).split("|"):
            yield from _plain(before + inside + after)
        return
    runs = re.sub(r"\\.|\[.*?\][*+?]?|.[?*]|[\^$+.|]", " ", pattern).split()
    yield max((run.strip("/") for run in runs), key=len)


def _shortest(words: Iterable[str]) -> list[str]:
    """`words` in lower case without those that hold another one."""
    lower = {word.lower() for word in words}
    return sorted(w for w in lower if not any(o in w for o in lower if o != w))


def _tuple(name: str, words: list[str], doc: str) -> str:
    lines = "".join(f'    "{word}",\n' for word in words)
    return f'{name} = (\n{lines})\n"""{doc}"""\n'


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
