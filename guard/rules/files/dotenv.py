"""Variables that a file puts into an environment (RG101 to RG105, RG108), judged as at a launch.

Dotenv files and docker's env files, `.envrc`, mise's `[env]`, Terraform's variable files. A value
that only stands for a key is silent. A reference (`op://…`, `$(…)`, `${OTHER}`, an encrypted
value) still hands the provider's key to a process, but the file does not hold it: a warning.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guard import variables
from guard.rules.files import file_names
from guard.rules.files.base_urls import of_variable
from guard.rules.files.scope import Scope, Span
from guard.rules.files.secrets import is_form, variable_kind
from guard.rules.files.variables import fix_unknown, of_setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_LONGEST_VALUE = 64 * 1024
"""Characters of one quoted value; a quote that is not closed by then is part of the text."""

# NAME=value, with what a shell may have before it
_NAME = re.compile(
    r"[ \t]*(?:(?:export|declare[ \t]+-g?x|typeset[ \t]+-g?x|setenv)[ \t]+)?"
    r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}+)[ \t]*=[ \t]*"
)
_PLAIN = re.compile(r"[^\r\n]*+")
_BARE = re.compile(r"[^\s;]*+")
_SUBSTITUTION = re.compile(r"\$\([^()\r\n]*+(?:\([^()\r\n]*+\)[^()\r\n]*+)*+\)[^\s;]*+")
_COMMENT = re.compile(r"[ \t]#[^\r\n]*+")

# TOML and HCL: name = "value", "name" = 'value', {name = "value"}
_SETTING = re.compile(
    r"(?P<quote>[\"']?)(?P<name>[A-Za-z_][A-Za-z0-9_]{2,100}+)(?P=quote)[ \t]{0,20}=[ \t]{0,20}"
    r"(?:\{[ \t]{0,20}value[ \t]{0,20}=[ \t]{0,20})?"
    r"(?:\"(?P<double>[^\"\r\n]*+)\"|'(?P<single>[^'\r\n]*+)')"
)
_SETTING_COMMENT = re.compile(r"[ \t]*(?:#|//)")

_MISE = re.compile(r"\.?mise(?:\.[\w-]+)*\.toml|\.?rtx(?:\.local)?\.toml")
_REFERENCE = re.compile(
    r"op://|vault:|ref\+|awssm:|gcpsm:|ENC\[|encrypted:|secret:|keyring:|sops:|age\d?:"
    r"|\$\(|`|\$\{|\$[A-Za-z_]|\{\{|%[A-Za-z_]+%|<%|!\S|@\w+\(|\{env:|\{file:|arn:aws"
)
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)(?::?[-?][^}]*)?\}?\Z")


class _Assignment:
    """A name and the value it is given, with their places in the text."""

    __slots__ = ("name", "name_at", "value", "value_at")

    def __init__(self, name: str, name_at: int, value: str, value_at: int) -> None:
        self.name = name
        self.name_at = name_at
        self.value = value
        self.value_at = value_at


def _dotenv(text: str, *, shell: bool) -> Iterator[_Assignment]:
    """The assignments of a dotenv file, as python-dotenv and docker read them, or of a `.envrc`.

    A quoted value may span lines. In shell text a value ends at a blank, and a line may hold
    several assignments.
    """
    offset, size = 0, len(text)
    while offset < size:
        match = _NAME.match(text, offset)
        if match is None:
            offset = _next_line(text, offset)
            continue
        start = match.end()
        quote = text[start : start + 1]
        if quote in ("'", '"', "`"):
            end = _closing(text, start, quote)
            if end > 0:
                yield _Assignment(
                    match["name"], match.start("name"), text[start + 1 : end], start + 1
                )
                offset = end + 1 if shell else _next_line(text, end)
                continue
        plain = (_SUBSTITUTION.match(text, start) if shell else None) or (
            _BARE if shell else _PLAIN
        ).match(text, start)
        value = plain.group() if plain else ""
        comment = _COMMENT.search(value)
        if comment:
            value = value[: comment.start()]
        value = "" if value.lstrip().startswith("#") else value.rstrip()
        yield _Assignment(match["name"], match.start("name"), value, start)
        offset = start + len(value)
        if not shell or offset == start or text[offset : offset + 1] not in (" ", "\t"):
            offset = _next_line(text, offset)


def _next_line(text: str, offset: int) -> int:
    line_end = text.find("\n", offset)
    return len(text) if line_end < 0 else line_end + 1


def _closing(text: str, start: int, quote: str) -> int:
    """The offset of the quote that closes the one at `start`; 0 if there is none in reach."""
    limit = min(len(text), start + _LONGEST_VALUE)
    offset = start + 1
    while (end := text.find(quote, offset, limit)) > 0:
        backslashes = 0
        while text[end - 1 - backslashes] == "\\" and end - 1 - backslashes > start:
            backslashes += 1
        if quote == "'" or backslashes % 2 == 0:
            return end
        offset = end + 1
    return 0


def _settings(text: str) -> Iterator[_Assignment]:
    """The assignments of string values in TOML or HCL, wherever in a table they stand."""
    offset = 0
    for line in text.splitlines(keepends=True):
        if not _SETTING_COMMENT.match(line):
            for match in _SETTING.finditer(line):
                group = "double" if match["double"] is not None else "single"
                yield _Assignment(
                    match["name"],
                    offset + match.start("name"),
                    match[group],
                    offset + match.start(group),
                )
        offset += len(line)


class Dotenv:
    """RG101 … RG105 and RG108 for files that fill an environment."""

    name = "dotenv"
    needles: tuple[bytes, ...] = (b"",)

    def wants(self, path: str, name: str) -> bool:
        """Dotenv and docker env files, `.envrc`, mise's configuration, `*.tfvars`."""
        return (
            file_names.is_dotenv(name)
            or name == ".envrc"
            or _is_mise(path, name)
            or name.endswith(".tfvars")
        )

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterable[Finding]:
        """A finding for each variable that a launch here would remove or refuse, at its name."""
        if file.name == ".envrc" or file_names.is_dotenv(file.name):
            assignments = _dotenv(file.text, shell=file.name == ".envrc")
        else:
            assignments = _settings(file.text)
        scope = Scope(file, policy)
        sample = file_names.is_dotenv_sample(file.name)
        for assignment in assignments:
            finding = _judge(scope, assignment, sample=sample)
            if finding is not None:
                yield finding


def _is_mise(path: str, name: str) -> bool:
    return bool(_MISE.fullmatch(name)) or path.endswith(
        (".config/mise/config.toml", "mise/config.toml", ".mise/config.toml")
    )


def _judge(scope: Scope, found: _Assignment, *, sample: bool) -> Finding | None:
    """What a launch would say about the variable, if anything.

    In a sample (`.env.example`) a key's value is a matter of its form alone (RG111): there a
    name says what to fill in, not what is in force; a filled-in address is a warning.
    """
    name, value = found.name, found.value.strip()
    terraform = scope.file.name.endswith(".tfvars")
    kind, owner = variable_kind(name.upper() if terraform else name, scope.policy)
    if not value or not kind:
        return None
    place = Span(found.name_at, found.name_at + len(name))
    value_place = Span(found.value_at, found.value_at + len(found.value))
    if kind in ("provider_key", "provider_setting", "unknown_key"):
        return None if sample else _key(scope, name, kind, owner, value, place)
    if kind == "base_url":
        severity = "warning" if sample else ""
        if _REFERENCE.match(value):
            return None
        return of_variable(scope, name, value, value_place, severity=severity)
    place = value_place if kind == "http_proxy" else place
    return of_setting(scope, name, kind, owner, value, place, sample=sample)


def _key(scope: Scope, name: str, kind: str, owner: str, value: str, place: Span) -> Finding | None:
    # asked first: `op://vault/openai/api-key` holds words of a placeholder
    reference = _REFERENCE.match(value) is not None
    switch = kind == "provider_setting" and value.lower() in variables.ON
    if not reference and not switch and is_form(value):
        return None
    if reference and (kind == "unknown_key" or _is_gateway_key(value, scope.policy)):
        return None
    verdict = variables.judge(name, kind, owner, value, scope.policy, text=True)
    if not verdict.rule:
        return None
    fix = f"remove {name}; keep the credential in Portkey and call the gateway"
    return scope.finding(
        verdict.rule,
        place,
        name,
        f"{name} {verdict.words}" + (", handed on by reference" if reference else ""),
        fix=fix_unknown(name) if verdict.rule == "RG102" else fix,
        severity="warning" if reference else "",
        secret="" if reference or kind == "provider_setting" else value,
    )


def _is_gateway_key(value: str, policy: CompiledPolicy) -> bool:
    """Whether a reference only hands on the gateway's key: `OPENAI_API_KEY=${PORTKEY_API_KEY}`."""
    match = _VARIABLE.match(value)
    if match is None:
        return False
    return variable_kind(match[1], policy)[0] in ("gateway_key", "gateway_setting")


DETECTOR = Dotenv()
