"""Variables that a file puts into an environment (RG101 to RG105, RG108), judged as at a launch.

Dotenv files and docker's env files, `.envrc`, mise's `[env]`, Terraform's variable files. A value
that only stands for a key is silent. A reference (`op://…`, `$(…)`, `${OTHER}`, an encrypted
value) still hands the provider's key to a process, but the file does not hold it: a warning.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from guard import variables
from guard.catalog.key_values import is_placeholder
from guard.late import late
from guard.rules.files import file_names
from guard.rules.files.base_urls import of_variable
from guard.rules.files.scope import Scope, Span
from guard.rules.files.secrets import variable_kind
from guard.rules.files.variables import fix_unknown, is_gateway_key, of_setting
from guard.sources import bounded_text, dotenv_text
from guard.sources.dotenv_text import DotenvAssignment
from guard.sources.positions import shell_calls
from guard.sources.positions.text import Text
from guard.sources.shell_commands import UnparsedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

# TOML, HCL and JSON: name = "value", "name" = 'value', {name = "value"}
_SETTING = late(
    r"(?P<quote>[\"']?)(?P<name>[A-Za-z_][A-Za-z0-9_-]{0,100}+)(?P=quote)[ \t]{0,20}[=:][ \t]{0,20}"
    r"(?:\{[ \t]{0,20}value[ \t]{0,20}=[ \t]{0,20})?"
    r"(?:\"(?P<double>[^\"\r\n]*+)\"|'(?P<single>[^'\r\n]*+)')"
)
_OF = r"\"?(?:\$\{[ \t]*)?(?:[a-z0-9]{1,20}\([ \t]*){0,2}(?:var|local)\.(?P<of>[A-Za-z_][\w-]*)"
# Terraform: `NAME = var.k`, `{ name = "NAME", value = var.k }`, and what k is by default
_FROM_VARIABLE = late(
    r"(?:[\"']?(?P<name>[A-Z][A-Z0-9_]{2,100}+)[\"']?[ \t]*[=:]"
    r"|\bname[\"']?[ \t]*[=:][ \t]*\"(?P<listed>[A-Z][A-Z0-9_]{2,100}+)\"[\s,]{1,40}"
    r"[\"']?value[\"']?[ \t]*[=:])"
    rf"[ \t]*{_OF}"
)
_ALIAS = late(
    r"^[ \t]*(?P<alias>[a-z_][\w-]*)[ \t]*=[ \t]*" + _OF,
    re.MULTILINE,
)
_DEFAULT = late(
    r"\bvariable[ \t]+\"(?P<variable>[\w-]+)\"[ \t]*\{(?:[^{}]|\{[^{}]*\}){0,2000}?"
    r"\bdefault[ \t]*=[ \t]*\"(?P<default>[^\"\r\n]*+)\""
    r"|^[ \t]*(?P<local>[A-Za-z_][\w-]*)[ \t]*=[ \t]*\"(?P<given>[^\"\r\n]*+)\"",
    re.MULTILINE,
)
_MODULE = (".tf", ".tofu")
_MODULE_VALUES = (".tfvars", ".tfvars.json")
_MOST_FILES = 200
"""Files of one module that are read for what gets its variables."""
_SETTING_COMMENT = late(r"[ \t]*(?:#|//)")

_MISE = late(r"\.?mise(?:\.[\w-]+)*\.toml|\.?rtx(?:\.local)?\.toml")
_REFERENCE = late(
    r"op://|vault:|ref\+|awssm:|gcpsm:|ENC\[|encrypted:|secret:|keyring:|sops:|age\d?:"
    r"|\$\(|`|\$\{|\$[A-Za-z_]|\{\{|%[A-Za-z_]+%|<%|!\S|@\w+\(|\{env:|\{file:|arn:aws"
)
_VARIABLE = late(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)(?::?[-?][^}]*)?\}?\Z")


def _script(text: Text) -> Iterator[DotenvAssignment]:
    """What a script for direnv sets, exported or not, for itself or for one command.

    Raises UnparsedError.
    """
    script = shell_calls.read(text)
    words = [(one.name, one.value, one.start) for one in script.settings]
    for call in script.calls:
        words += [(one.name, one.value, one.start) for one in call.environment]
    for name, word, start in words:
        if word is not None:
            yield DotenvAssignment(name, word.shown, start, word.content.start, word.content.end)
    if script.unread is not None:
        raise UnparsedError(script.unread[0])


def _settings(text: str) -> Iterator[DotenvAssignment]:
    """The assignments of string values in TOML, HCL or JSON, wherever in a table they stand."""
    offset = 0
    for line in text.splitlines(keepends=True):
        if not _SETTING_COMMENT.match(line):
            for match in _SETTING.finditer(line):
                group = "double" if match["double"] is not None else "single"
                start, end = (offset + place for place in match.span(group))
                yield DotenvAssignment(
                    match["name"], match[group], offset + match.start("name"), start, end
                )
        offset += len(line)


def _terraform(file: SourceFile) -> Iterator[DotenvAssignment]:
    """The variables that get what a variable of the module is by default or in its values, and
    those that the module's variables are themselves (`variable "openai_api_key"`)."""
    text, folder = file.text, os.path.dirname(file.absolute)
    others = _module(folder)
    values = file.name.endswith(_MODULE_VALUES)
    if values and not others and "/" in file.path:
        others = _module(os.path.dirname(folder))  # `envs/prod.tfvars`
    names = _handed_on([text, *(other for name, other in others if name != file.name)])
    if values:
        for one in _settings(text):
            given = [
                one._replace(name=n, name_at=one.start) for n in sorted(names.get(one.name, ()))
            ]
            yield from given or [one]
        return
    for match in _DEFAULT.finditer(text):
        group = "default" if match["variable"] else "given"
        of = match["variable"] or match["local"]
        own = of.replace("-", "_").upper()
        told = match["variable"] and own.endswith(("_API_KEY", "_BASE_URL", "_API_BASE"))
        for name in sorted(names.get(of, {own} if told else ())):
            yield DotenvAssignment(name, match[group], *match.span(group)[:1], *match.span(group))


def _handed_on(texts: Iterable[str]) -> dict[str, set[str]]:
    """For each variable or local value of a module, the names of an environment that it gets."""
    names: dict[str, set[str]] = {}
    aliases = []
    for text in texts:
        for match in _FROM_VARIABLE.finditer(text):
            names.setdefault(match["of"], set()).add(match["name"] or match["listed"])
        aliases += [(match["alias"], match["of"]) for match in _ALIAS.finditer(text)]
    for _ in range(3):  # one may be another's
        for alias, of in aliases:
            if alias in names and alias != of:
                names.setdefault(of, set()).update(names[alias])
    return names


@lru_cache(4)
def _module(folder: str) -> tuple[tuple[str, str], ...]:
    """(name, text) of the files of the module in `folder`; none for "", where no file lies."""
    try:
        found = sorted(n for n in os.listdir(folder) if n.endswith(_MODULE)) if folder else []
    except OSError:
        return ()
    texts = [(n, bounded_text.read(os.path.join(folder, n))) for n in found[:_MOST_FILES]]
    return tuple((name, text) for name, text in texts if isinstance(text, str))


class Dotenv:
    """RG101 … RG105 and RG108 for files that fill an environment."""

    name = "dotenv"
    needles: tuple[bytes, ...] = (b"",)

    def wants(self, path: str, name: str) -> bool:
        """Dotenv and docker env files, `.envrc`, mise's configuration, Terraform's files."""
        return (
            file_names.is_dotenv(name)
            or name == ".envrc"
            or _is_mise(path, name)
            or name.endswith((*_MODULE, *_MODULE_VALUES))
        )

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterable[Finding]:
        """A finding for each variable that a launch here would remove or refuse, at its name."""
        scope = Scope(file, policy)
        sample = file_names.is_dotenv_sample(file.name)
        try:
            for assignment in _assignments(file):
                finding = _judge(scope, assignment, sample=sample)
                if finding is not None:
                    yield finding
        except UnparsedError as error:
            yield scope.unchecked(Span(0, 0), f"the file {error}, so it was not checked")


def _assignments(file: SourceFile) -> Iterator[DotenvAssignment]:
    if file.name.endswith((*_MODULE, *_MODULE_VALUES)):
        return _terraform(file)
    if file.name == ".envrc":
        return _script(Text.of(file.text))
    if not file_names.is_dotenv(file.name):
        return _settings(file.text)
    if len(file.text) > dotenv_text.LIMIT:
        raise UnparsedError(f"is longer than {dotenv_text.LIMIT // 1024} KiB")
    return dotenv_text.assignments(file.text)


def _is_mise(path: str, name: str) -> bool:
    return bool(_MISE.fullmatch(name)) or path.endswith(
        (".config/mise/config.toml", "mise/config.toml", ".mise/config.toml")
    )


def _judge(scope: Scope, found: DotenvAssignment, *, sample: bool) -> Finding | None:
    """What a launch would say about the variable, if anything.

    In a sample (`.env.example`) a key's value is a matter of its form alone (RG111): there a
    name says what to fill in, not what is in force; a filled-in address is a warning.
    """
    name, value = found.name, found.value.strip()
    terraform = scope.file.name.endswith(_MODULE_VALUES)
    kind, owner = variable_kind(name.upper() if terraform else name, scope.policy)
    if not value or not kind:
        return None
    value_place = Span(found.start, found.end)
    place = Span(found.name_at, found.name_at + len(name))
    if found.name_at == found.start:
        place = value_place  # the name stands elsewhere
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
    if reference and (kind == "unknown_key" or _hands_on_gateway_key(value, scope.policy)):
        return None
    verdict = variables.judge(name, kind, owner, value, scope.policy, text=True)
    if not verdict.rule:
        return None
    if not reference and not switch and is_placeholder(value):
        return scope.placeholder(verdict.rule, place, name, owner or "a service")
    fix = f"remove {name}; keep the credential in Portkey and call the gateway"
    return scope.finding(
        verdict.rule,
        place,
        name,
        f"{name} {verdict.words}" + (", passed on by reference" if reference else ""),
        fix=fix_unknown(name) if verdict.rule == "RG102" else fix,
        severity="warning" if reference else "",
        secret="" if reference or kind == "provider_setting" else value,
    )


def _hands_on_gateway_key(value: str, policy: CompiledPolicy) -> bool:
    """Whether a reference only hands on the gateway's key: `OPENAI_API_KEY=${PORTKEY_API_KEY}`."""
    match = _VARIABLE.match(value)
    return match is not None and is_gateway_key(match[1], policy)


DETECTOR = Dotenv()
