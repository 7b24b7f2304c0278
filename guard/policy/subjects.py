"""What an exception is for (`port:11434`, `env:NAME`, …), as a person writes and reads it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Never

from pydantic import ValidationError

from guard.catalog.classify import classify
from guard.errors import UsageError
from guard.net import address, is_loopback
from guard.policy.accepted import OTHERS
from guard.policy.compile import compile_layers
from guard.policy.model import Exemption
from guard.policy.problems import translate

if TYPE_CHECKING:
    from guard.policy.layers import Layer
    from guard.policy.merge import Merged

KINDS: Final = ("port", "env", "proxy", "server", "file", "agent")
"""What can be allowed: the first words of the subjects of an [[exception]]."""

_UNTOUCHED: Final = frozenset(("", "ambient", "gateway_key", "gateway_setting", "other_service"))


def guess(word: str) -> str:
    """The kind and subject that `word` alone probably means (`port 11434`), "" if none."""
    kind, _, rest = word.partition(":")
    if kind in KINDS and rest:
        return f"{kind} {shlex.quote(rest)}"
    if re.fullmatch(r":?[0-9]{1,5}", word):
        return f"port {word.removeprefix(':')}"
    if word.startswith(("http://", "https://")):
        return f"server {shlex.quote(word)}"
    if re.fullmatch(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", word):
        return f"proxy {shlex.quote(word)}"
    if "/" in word or os.path.isfile(word):
        return f"file {shlex.quote(word)}"
    if word in OTHERS:
        return f"agent {word}"
    if re.fullmatch(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", word):
        return f"env {word}"
    return ""


def named(words: Sequence[str]) -> str:
    """The subject that `words` name: `port:11434`, `port 11434`, or a path or port alone."""
    if len(words) == 2 and words[0] in KINDS:
        words = (f"{words[0]}:{words[1]}",)
    if len(words) != 1:
        raise UsageError(
            "one subject at a time",
            fix="routeguard allow revoke port:11434\nrouteguard allow revoke --all",
        )
    kind, _, rest = words[0].partition(":")
    if kind == "file" and rest:
        return f"file:{os.path.realpath(rest)}"
    if kind in KINDS and rest:
        return words[0]
    guessed, _, thing = guess(words[0]).partition(" ")
    return named((guessed, shlex.split(thing)[0])) if guessed else words[0]


def refuse_key() -> Never:
    """Raise UsageError about a key where a name belongs, without repeating it."""
    raise UsageError(
        "this looks like a key, not like the name of a variable (not shown)",
        fix="name the variable:\nrouteguard allow env OPENAI_API_KEY\n"
        "rotate the key: it may be in your shell's history",
    )


def validated(fields: dict[str, Any]) -> Exemption:
    """The exception as a policy file would have it. Raises UsageError where it would be refused."""
    try:
        return Exemption.model_validate({key: value for key, value in fields.items() if value})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key, message, found, accepted, fix = translate(detail, detail["loc"])
        if key == ("subject",) and accepted:
            # as it was typed: `routeguard allow KIND THING`
            kind = str(fields["subject"]).partition(":")[0]
            typed, takes = (text.replace(f"{kind}:", "", 1) for text in (found, accepted))
            raise UsageError(
                f"cannot allow {kind} {typed}",
                why=f"accepted: {takes}",
                fix=fix or f"routeguard allow {kind} --help",
            ) from None
        about = (("found ", found), ("accepted: ", accepted))
        raise UsageError(
            f"the {'.'.join(map(str, key)) or 'exception'} {message}",
            why="; ".join(label + text for label, text in about if text),
            fix=fix,
        ) from None


def command(entry: Exemption) -> str:
    """The command that makes `entry` again."""
    kind, _, rest = entry.subject.partition(":")
    words = ("routeguard", "allow", kind, rest, "--until", entry.until.isoformat())
    return shlex.join((*words, "--reason", entry.reason))


def notes(subject: str, merged: Merged, layers: Sequence[Layer]) -> list[str]:
    """Why an exception for `subject` changes nothing, or less than it seems to."""
    kind, _, rest = subject.partition(":")
    if kind == "port":
        host, port = address(merged.values["gateway.base_url"].value)
        if is_loopback(host) and rest == str(port):
            return ["this is your gateway's own port, which is never a local proxy"]
    if kind == "agent":
        launch = merged.values[f"agents.{rest}.launch"].value
        says = {
            "leave": f"{rest} is not refused, so this changes nothing",
            "clean": f"{rest} starts without keys anyway, so this changes nothing",
        }
        return [says[launch]] if launch in says else [f"{rest} starts without keys and unguarded"]
    if kind != "env":
        return []
    policy = compile_layers(layers)
    found = classify(rest, policy.variables, policy.gateway_keys)[0]
    if found == "gateway_key":
        return [f"{rest} is the gateway's own key, which is never removed"]
    if found == "http_proxy":
        return [f"an HTTP proxy is allowed by its address: routeguard why {rest}"]
    if found in _UNTOUCHED:
        return [f"{rest} is kept anyway, so this changes nothing: routeguard why {rest}"]
    if rest in policy.remove:
        return [f"{rest} is still removed: environment.remove in your policy names it"]
    return []
