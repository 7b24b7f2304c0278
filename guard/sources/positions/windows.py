"""PowerShell and batch files as text for a POSIX shell, so that one reader of commands serves all.

Only what decides which programs are started with which words is carried over: statements, quotes,
continued lines, variables, comments. Blocks and conditions count as if they were reached.
"""

from __future__ import annotations

import re

from guard.late import late
from guard.sources.positions.text import Text, joined

_POWERSHELL = late(
    r"(?P<gone><\#.*?(?:\#>|\Z)|(?<![^\s;{}()|])\#[^\n]*"
    r"|@(?P<mark>[\"'])[ \t]*\r?\n.*?(?:\n(?P=mark)@|\Z)"
    r"|(?<!\S)-(?:FilePath|ArgumentList|Args|Path)(?![\w-])|(?<![&])&(?!&))"
    r"|(?P<single>'(?:[^']|'')*+'?)"
    r"|(?P<double>\"(?:[^\"`]|`.|\"\")*+\"?)"
    r"|(?P<continued>`[ \t]*\r?\n)|`(?P<escaped>.)"
    r"|(?P<splat>(?<!\S)@\w+)|(?P<array>@\()|(?P<open>[({])|(?P<close>[)}])|(?P<comma>,)|(?P<slash>\\)"
    r"|(?P<start>(?:^|(?<=[\n;{(}]))[ \t\r]*(?:"
    r"(?:else\s*)?(?:if|elseif|else|foreach|for|while|do|until|switch|try|catch|finally|begin"
    r"|process|end|param|return|function\s+[\w:-]+|filter\s+[\w-]+)(?![\w-])"
    r"|(?:\[[\w.]+\])?\$(?P<given>\{?env:)?(?P<name>[\w:]+)\}?[ \t]*\+?=[ \t]*"
    r"(?P<literal>(?=[\"']))?))"
    r"|(?P<env>\$(?:\{env:\w+\}|env:))",
    re.IGNORECASE | re.DOTALL,
)
_IN_DOUBLE = late(r"`(?P<escaped>.)|(?P<slash>\\)|(?P<env>\$\{?env:(?P<name>\w+)\}?)", re.I | re.S)

_BATCH_LINE = late(r"(?:[^\n^]|\^\r?\n|\^.|\^\Z)*+(?:\n|\Z)", re.DOTALL)
_BATCH_LEAD = late(
    r"[\s@]+|(?:call|else)\s+(?=\S)|start\s+(?:\"[^\"]*\"\s*)?(?:/\w+\s+)*"
    r"|if\s+(?:/i\s+)?(?:not\s+)?(?:(?:exist|defined|errorlevel)\s+(?:\"[^\"]*\"|\S+)"
    r"|(?:\"[^\"]*\"|[^\s=\"]+)\s*==\s*(?:\"[^\"]*\"|\S+)"
    r"|\S+\s+(?:equ|neq|lss|leq|gtr|geq)\s+\S+)\s*"
    r"|for\s[^\n]*?\)\s*do\s+",
    re.IGNORECASE,
)
_BATCH_COMMENT = late(r"(?:rem(?:\s|\Z)|:)", re.IGNORECASE)
_BATCH_SET = late(
    r"(?P<verb>setx?)\s+(?:/\w+\s+)*(?P<quote>\"?)(?P<name>[A-Za-z_]\w*)\"?(?:=|\s+)"
    r"(?P<mark>\"?)(?P<value>[^\"\r\n]*)",
    re.IGNORECASE,
)
_BATCH_TOKEN = late(
    r"(?P<quoted>\"[^\"\n]*\"?)|(?P<continued>\^\r?\n)|\^(?P<escaped>.)"
    r"|(?P<end>[()\n]|&(?!&)|(?<!&)&|\|\|?|&&)|(?P<plain>['$`#;\\])"
    r"|(?P<variable>%%?~?[\w*][^%\s\"']{0,60}%|%%?~?\w+|![A-Za-z_]\w*!)",
    re.DOTALL,
)
_BATCH_VARIABLE = late(r"%%?~?[\w*]+%?|![A-Za-z_]\w*!")


def _as(value: str, text: Text) -> Text:
    """`value` at the place of `text`."""
    places = text.places
    last = len(text)
    return Text(value, [places[min(at, last)] for at in range(len(value))] + [text.end])


def powershell(text: Text) -> Text:
    """The PowerShell script `text` as text for a POSIX shell."""
    parts: list[Text] = []
    at = 0
    arrays: list[bool] = []
    for found in _POWERSHELL.finditer(text.value):
        start, end = found.span()
        parts.append(text[at:start])
        part, at = text[start:end], end
        kind = found.lastgroup
        if found["escaped"] is not None:
            parts.append(_as("\\" + found["escaped"], part))
        elif found["start"] is not None:
            parts.append(_as(_start(found), part))
        elif found["double"] is not None:
            parts.append(_double(part))
        elif found["single"] is not None:
            parts.append(Text(part.value.replace("\\", "/"), part.places))
        elif kind == "env":
            parts.append(_as("$" + part.value[6:-1] if part.value[1] == "{" else "$", part))
        elif kind in ("array", "open"):
            arrays.append(kind == "array")
            parts.append(_as(" " if kind == "array" else "\n", part))
        elif kind == "close":
            parts.append(_as(" " if arrays and arrays.pop() else "\n", part))
        else:
            new = {"continued": "\\\n", "comma": " ", "slash": "/", "splat": "$@"}.get(
                kind or "", " "
            )
            parts.append(_as(new, part))
    return joined([*parts, text[at:]])


def _start(found: re.Match[str]) -> str:
    """What the beginning of a statement becomes: nothing, or an assignment of a literal."""
    if not found["name"] or (not found["given"] and found["literal"] is None):
        return "\n"
    return f"\n{'export ' if found['given'] else ''}{found['name'].rpartition(':')[2]}="


def _double(text: Text) -> Text:
    parts: list[Text] = []
    at = 0
    for found in _IN_DOUBLE.finditer(text.value):
        parts.append(text[at : found.start()])
        if found["escaped"] is not None:
            new = f"\\{found['escaped']}" if found["escaped"] in '"$`\\' else " "
        else:
            new = "/" if found["slash"] else f"${{{found['name']}}}"
        parts.append(_as(new, text[found.start() : found.end()]))
        at = found.end()
    return joined([*parts, text[at:]])


def batch(text: Text) -> Text:
    """The batch file `text` as text for a POSIX shell."""
    parts: list[Text] = []
    for found in _BATCH_LINE.finditer(text.value):
        if found.group():
            parts += _batch_line(text[found.start() : found.end()])
    return joined(parts)


def _batch_line(line: Text) -> list[Text]:
    parts: list[Text] = []
    value, at, begins = line.value, 0, True
    while at < len(value):
        if begins:
            while lead := _BATCH_LEAD.match(value, at):
                if not lead.group():
                    break
                at = lead.end()
            if _BATCH_COMMENT.match(value, at):
                return [*parts, _as("\n", line[at:])]
            if given := _BATCH_SET.match(value, at):
                quoted = given["value"].rstrip().replace("'", "'\\''")
                shown = f"export {given['name']}='{quoted}'"
                if "%" in quoted or "!" in quoted:
                    shown = f'export {given["name"]}="{_variables(quoted)}"'
                parts.append(_as(shown, line[at : given.end()]))
                at = given.end()
                if value[at : at + 1] == '"':
                    at += 1
        begins = False
        found = _BATCH_TOKEN.search(value, at)
        if found is None:
            parts.append(line[at:])
            break
        parts.append(line[at : found.start()])
        part, at = line[found.start() : found.end()], found.end()
        kind = found.lastgroup
        if kind == "quoted":
            parts.append(_as(_variables(part.value.replace("\\", "/")), part))
        elif kind == "end":
            begins = True
            parts.append(part if part.value in ("|", "||", "&&") else _as("\n", part))
        elif kind == "variable":
            parts.append(_as(_variables(part.value), part))
        elif kind == "continued":
            parts.append(_as("\\\n", part))
        elif kind == "escaped":
            parts.append(_as(f"\\{found['escaped']}", part))
        else:
            parts.append(_as({"\\": "/", ";": " "}.get(part.value, f"\\{part.value}"), part))
    return parts


def _variables(text: str) -> str:
    """`text` with the variables of a batch file as those of a shell."""

    def shell(found: re.Match[str]) -> str:
        name = found.group().strip("%!")
        return f"${{{name}}}" if name.isidentifier() else "${_}"

    return _BATCH_VARIABLE.sub(shell, text)
