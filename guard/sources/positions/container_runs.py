"""What `docker run`, and the like of other programs that run images, start and hand on."""

from __future__ import annotations

from guard.catalog.starters import DOCKER_LONG, DOCKER_SHORT
from guard.record import Record
from guard.sources.positions.operands import takes_next
from guard.sources.shell_commands import Word
from guard.sources.shell_commands.declarations import Setting
from guard.sources.shell_commands.words import as_assignment


class ContainerRun(Record):
    """A command line of docker's kind: the `image` that it names, the `settings` of variables that
    the container gets, and the `words` that run in it, the entrypoint first if it names one."""

    image: Word | None = None
    settings: list[Setting] = []  # noqa: RUF012
    words: list[Word] = []  # noqa: RUF012


def read(words: list[Word]) -> ContainerRun:
    """What the command line `words` runs in a container, nothing if it does something else."""
    found = ContainerRun()
    at = 1
    while at < len(words) and words[at].shown.startswith("-"):
        at += 2 if words[at].shown in ("-c", "-H", "--context", "--host") else 1
    verbs = [w.shown for w in words[at : at + 2]]
    compose = False
    if verbs[:1] == ["compose"]:
        at += 1
        while at < len(words) and words[at].shown.startswith("-"):
            at += 2 if takes_next(words[at].shown, "fp", DOCKER_LONG) else 1
        verbs = [w.shown for w in words[at : at + 1]]
        compose = True
    elif verbs[:1] == ["container"] or verbs == ["service", "create"]:
        at += 1
        verbs = verbs[1:]
    if verbs[:1] not in (["run"], ["exec"], ["create"]):
        return found
    at += 1
    while at < len(words) and words[at].shown.startswith("-"):
        shown = words[at].shown
        taken = takes_next(shown, DOCKER_SHORT, DOCKER_LONG)
        variable: Word | None = None
        if taken and at + 1 < len(words) and (shown == "--env" or shown[-1] == "e"):
            if shown == "--env" or not shown.startswith("--"):
                variable = words[at + 1]
        elif shown.startswith("--env="):
            variable = words[at].after(len("--env="))
        elif shown.startswith("-e") and len(shown) > 2:
            variable = words[at].after(3 if shown[2] == "=" else 2)
        if variable is not None:
            found.settings += _handed(variable)
        if shown == "--entrypoint":
            found.words = [word for word in words[at + 1 : at + 2] if word.shown]
        elif shown.startswith("--entrypoint=") and shown != "--entrypoint=":
            found.words = [words[at].after(len("--entrypoint="))]
        at += 2 if taken else 1
    if at >= len(words):
        return found
    if verbs[:1] != ["exec"] and not compose:
        found.image = words[at]
    found.words += words[at + 1 :]
    return found


def _handed(word: Word) -> list[Setting]:
    given = as_assignment(word, quoted=True)
    name, value = (given.name, given.value) if given else (word.shown, None)
    if not given and not word.literal:
        return []
    return [Setting(name, value, word.start, word.end, handed=True)]
