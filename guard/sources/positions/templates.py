"""Templates of other files, with what the template engine replaces taken out.

Jinja (`{{ x }}`, `{% if %}`, `{# … #}`), Go templates and Helm (`{{ .Values.x | quote }}`), ERB
(`<%= x %>`), and the directives of Terraform's templates (`%{ if }`). Every other character stays
at its place, so the result can be read as what the template makes, and its places are the file's.
"""

from __future__ import annotations

import re

from guard.late import late

SUFFIXES = (
    *(".j2", ".jinja", ".jinja2", ".tmpl", ".tpl", ".gotmpl", ".tftpl", ".erb", ".mustache"),
    *(".hbs", ".template", ".in", ".dist", ".example", ".sample", ".orig", ".bak"),
)
"""What is put behind the name of a file that is made from a template, or copied by hand."""

_ENDS = {"{{": "}}", "{%": "%}", "{#": "#}", "<%": "%>", "%{": "}"}
# neither `${{ x }}`, which is a CI's, nor `${#x}` and `%{http_code}` of shell text
_BEGIN = late(r"(?<!\$)\{[{%#]|<%|(?<!%)%\{(?=~?[ \t]*(?:if|for|else|endif|endfor)\b)")
_NAME = late(r"[A-Za-z_]\w*")
_WORDS = frozenset(
    (
        *("if", "else", "elif", "end", "endif", "range", "for", "endfor", "with", "define"),
        *("block", "template", "import", "extends", "set", "macro", "endmacro", "fail"),
    )
)
_FILL = "\u00b7"
"""Fills a place up: part of no name, and nothing to YAML, JSON or a shell."""

_ALONE = late(rf"^[ \t]*+(?:\$\w++{_FILL}++[ \t]*+)++$", re.MULTILINE)


def plain_name(name: str) -> str:
    """`name` without the suffixes that say that it is a template: `compose.yml.j2`."""
    stripped = True
    while stripped:
        stripped = False
        for suffix in SUFFIXES:
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                name, stripped = name[: -len(suffix)], True
    return name


def is_template(text: str) -> bool:
    """Whether `text` holds something that a template engine would replace."""
    return _BEGIN.search(text) is not None


def filled(text: str, *, quote: bool = False) -> str:
    """`text`, of the same length, with `$NAME` for each value and blanks for the rest.

    The name is the last one of the expression in front of its filters: `$apiKey` for
    `{{ .Values.openai.apiKey | quote }}`. With `quote` a value that is no part of a string becomes
    one, as JSON needs it. A line of nothing but values makes other lines, and is blank. Linear in
    the length of the text.
    """
    parts: list[str] = []
    at = 0
    missing: set[str] = set()
    for found in _BEGIN.finditer(text):
        begin = found.group()
        if found.start() < at or begin in missing:
            continue
        end = text.find(_ENDS[begin], found.end())
        if end < 0:
            missing.add(begin)
            continue
        end += len(_ENDS[begin])
        parts.append(text[at : found.start()])
        before = parts[-1].rstrip()[-1:] if quote else ""
        parts.append(_value(text[found.start() : end], begin, quote=before in (":", ",", "[")))
        at = end
    return _ALONE.sub(lambda line: " " * len(line.group()), "".join([*parts, text[at:]]))


def _value(written: str, begin: str, *, quote: bool) -> str:
    """What stands for one expression, of its length."""
    inside = written[2:-2]
    names = _NAME.findall(inside.partition("|")[0])
    is_value = begin == "{{" or inside.startswith("=")
    if not is_value or (names and names[0] in _WORDS) or inside[:1] in ("/", "!", "#"):
        return "".join(c if c in "\r\n" else " " for c in written)
    shown = f"${names[-1]}" if names else "$_"
    if quote:
        return f'"{shown}"'.ljust(len(written))
    return shown.ljust(len(written), _FILL)
