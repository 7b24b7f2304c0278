"""Shell scripts (PowerShell's and batch files, too), startup files, Makefiles and justfiles."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from guard.catalog.programs import SHELLS
from guard.late import late
from guard.rules.files.calls import ShellTexts, check_texts
from guard.rules.files.scope import Scope
from guard.rules.files.variables import check_variable
from guard.sources.positions import windows
from guard.sources.positions.shell_calls import read_fish
from guard.sources.positions.text import Text, joined

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_SUFFIXES = (".sh", ".bash", ".zsh", ".ksh", ".fish", ".command", ".bats", ".mk", ".nu")
_POWERSHELL = (".ps1", ".psm1")
_BATCH = (".bat", ".cmd")
_RC = frozenset(
    (
        ".bashrc",
        ".bash_profile",
        ".bash_login",
        ".bash_logout",
        ".bash_aliases",
        ".profile",
        ".zshrc",
        ".zshenv",
        ".zprofile",
        ".zlogin",
        ".kshrc",
        ".xprofile",
        ".xinitrc",
        ".xsessionrc",
        "bashrc",
        "bash_profile",
        "zshrc",
        "zshenv",
        "zprofile",
        "profile",
        "dot_bashrc",
        "dot_bash_profile",
        "dot_zshrc",
        "dot_zshenv",
        "dot_zprofile",
        "dot_profile",
    )
)
_MAKEFILES = frozenset(("makefile", "gnumakefile", "bsdmakefile"))
_JUSTFILES = frozenset(("justfile", ".justfile"))

_LONGEST_LINE = 4000
"""Characters of a line outside of recipes; a longer one sets no variable that a person wrote."""

_MAKE_REFERENCE = late(r"\$\$|\$\(shell\s+|\$\([^()\s]*\)|\$\{[^{}\s]*\}|\$\([^()]*\)")
_MAKE_EXPORT = late(r"(?:[^\s:#=]+\s*:\s*)?export\s+([A-Za-z_]\w*)\s*(?:[:?+]{0,3}=)\s*([^\n#]*)")
_MAKE_RULE = late(r"[^\s#=:][^=#]*?:(?![=:])[^=#;]*;")
_JUST_EXPORT = late(r"export\s+([A-Za-z_]\w*)\s*:=\s*(['\"])(.*?)\2\s*$")
_JUST_RECIPE = late(r"@?[A-Za-z_][\w-]*(?:\s+[^:]*)?:(?!=)")
# husky runs its hooks with `sh`; since its version 9 they have no first line that says so
_HOOK = late(r"(?:^|/)(?:\.husky|\.?git-?hooks|\.buildkite/hooks)/[a-z-]+$")
_PWSH = late(r"#!\S*/(?:env (?:-\S+ )*)?pwsh")
_JUST_REFERENCE = late(r"\{\{.*?\}\}")


def _by_name(name: str) -> bool:
    lower = name.lower()
    if lower.endswith((".md", ".rst", ".txt", ".html")):
        return False
    return (
        lower.endswith((*_SUFFIXES, *_POWERSHELL, *_BATCH, ".just"))
        or name in _RC
        or lower in _MAKEFILES
        or lower.startswith("makefile.")
        or lower in _JUSTFILES
    )


def is_in_force(path: str, head: bytes) -> bool:
    """Whether a shell, make or just runs the file at `path`: by its name, or by its first line.

    A first line of another program is none: what that runs is source code.
    """
    name = os.path.basename(path)
    if _by_name(name) or _HOOK.search(path):
        return True
    first = head.decode("utf-8", "replace")
    return "." not in name and bool(shebang(first) or _PWSH.match(first))


class Shell(ShellTexts):
    """Agent calls, variables and local proxies in shell text."""

    name = "shell"

    def wants(self, path: str, name: str) -> bool:
        """Files with a shell's suffix or name; a file without a suffix may have a shebang."""
        return "." not in name or _by_name(name)

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in the file's shell text."""
        scope = Scope(file, policy)
        lower = file.name.lower()
        if lower in _MAKEFILES or lower.startswith("makefile.") or lower.endswith(".mk"):
            yield from _recipes(scope, *_makefile(file.text))
            return
        if lower in _JUSTFILES or lower.endswith(".just"):
            yield from _recipes(scope, *_justfile(file.text))
            return
        if lower.endswith(_POWERSHELL) or _PWSH.match(file.text):
            yield from check_texts(scope, [windows.powershell(Text.of(file.text))])
            return
        if lower.endswith(_BATCH):
            yield from check_texts(scope, [windows.batch(Text.of(file.text))])
            return
        shell = shebang(file.text)
        if lower.endswith(".fish") or shell == "fish":
            yield from check_texts(scope, [Text.of(file.text)], read=read_fish)
            return
        if shell or lower.endswith(_SUFFIXES) or file.name in _RC or _HOOK.search(file.path):
            yield from check_texts(scope, [Text.of(file.text)])


class _Exported(NamedTuple):
    """A variable that a file of recipes exports to all of them."""

    name: str
    value: str
    place: Text


def _recipes(scope: Scope, exported: list[_Exported], recipes: list[Text]) -> Iterator[Finding]:
    every = scope.given_to("every recipe")
    for one in exported:
        yield from check_variable(every, one.name, one.value, one.place)
    yield from check_texts(scope.given_to("the recipe's commands"), recipes)


def shebang(text: str) -> str:
    """The shell that the first line of `text` names, "" if it names none."""
    if not text.startswith("#!"):
        return ""
    words = text[2:200].partition("\n")[0].split()
    if words and words[0].rpartition("/")[2] == "env":
        words = [word for word in words[1:] if word[0] != "-" and "=" not in word]
    name = words[0].rpartition("/")[2] if words else ""
    return name if name in SHELLS else ""


def _makefile(text: str) -> tuple[list[_Exported], list[Text]]:
    exported: list[_Exported] = []
    recipes: list[Text] = []
    lines = Text.of(text).lines()
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.value.startswith("\t"):
            parts = [line]
            while parts[-1].value.endswith("\\") and number < len(lines):
                following = lines[number]
                parts.append(following[1:] if following.value.startswith("\t") else following)
                number += 1
            recipes.append(_recipe(joined(parts, "\n")))
            continue
        if len(line) > _LONGEST_LINE:
            continue
        rule = _MAKE_RULE.match(line.value) if ";" in line.value else None
        if rule:
            recipes.append(_recipe(line[rule.end() :]))
        found = _MAKE_EXPORT.match(line.value)
        if found:
            value = re.sub(r"\$\((\w+)\)", r"${\1}", found.group(2).strip())
            place = line[found.start(1) : found.end(2)]
            exported.append(_Exported(found.group(1), value, place))
    return exported, recipes


def _recipe(text: Text) -> Text:
    """A recipe line as the shell gets it, make's own references as expansions of the shell."""
    value = text.value
    start = 0
    while start < len(value) and value[start] in "@-+ \t":
        start += 1
    parts = []
    done = start
    for match in _MAKE_REFERENCE.finditer(value, start):
        parts.append(text[done : match.start()])
        found = match.group()
        place = text.places[match.start()]
        if found == "$$":
            parts.append(text[match.start() : match.start() + 1])
        elif found.startswith("$(shell"):
            parts.append(text[match.start() : match.start() + 2])
        else:
            name = found[2:-1] if found[2:-1].isidentifier() else "_"
            shown = f"${{{name}}}"
            parts.append(Text(shown, [place] * len(shown) + [text.places[match.end()]]))
        done = match.end()
    parts.append(text[done:])
    return joined(parts)


def _justfile(text: str) -> tuple[list[_Exported], list[Text]]:
    exported: list[_Exported] = []
    bodies: list[Text] = []
    body: list[Text] = []
    inside = False

    def finish() -> None:
        if not body:
            return
        first = body[0].strip().value
        if first.startswith("#!"):
            if shebang(first):
                bodies.append(_just(joined(body[1:], "\n")))
        else:
            bodies.extend(_just_lines(body))
        body.clear()

    for line in Text.of(text).lines():
        if line.value[:1] in (" ", "\t") and inside:
            body.append(line)
            continue
        if not line.value.strip() and inside:
            continue
        finish()
        inside = bool(_JUST_RECIPE.match(line.value))
        found = _JUST_EXPORT.match(line.value)
        if found:
            place = line[found.start(1) : found.end(3)]
            exported.append(_Exported(found.group(1), found.group(3), place))
    finish()
    return exported, bodies


def _just_lines(body: list[Text]) -> list[Text]:
    found: list[list[Text]] = []
    continued = False
    for line in body:
        if continued:
            found[-1].append(line)
        else:
            stripped = line.strip()
            marks = len(stripped.value) - len(stripped.value.lstrip("@-"))
            found.append([stripped[marks:]])
        continued = line.value.endswith("\\")
    return [_just(joined(parts, "\n")) for parts in found]


def _just(text: Text) -> Text:
    parts = []
    done = 0
    for match in _JUST_REFERENCE.finditer(text.value):
        parts.append(text[done : match.start()])
        name = match.group()[2:-2].strip()
        shown = f"${{{name if name.isidentifier() else '_'}}}"
        place = text.places[match.start()]
        parts.append(Text(shown, [place] * len(shown) + [text.places[match.end()]]))
        done = match.end()
    parts.append(text[done:])
    return joined(parts)


DETECTOR = Shell()
