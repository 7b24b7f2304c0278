"""A gateway that repeats the key: nothing of it is shown, and nothing is kept."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import control_plane as plane
import pytest
from conftest import ADMIN_KEY, Account
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.cli import main
from guard.portkey.own_keys import REMOVED, OwnKeys

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in capitals": str.upper,
    "its first half": lambda key: key[: len(key) // 2],
    "its second half": lambda key: key[len(key) // 2 :],
    "in a URL": lambda key: urllib.parse.quote(key, safe=""),
    "twice in a URL": lambda key: urllib.parse.quote(urllib.parse.quote(key, safe=""), safe=""),
    "as JSON": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "as JSON of JSON": lambda key: json.dumps(json.dumps(key).replace("/", "\\/")),
    "as HTML": lambda key: html.escape(key).replace("/", "&#47;").replace("+", "&#x2b;"),
    "as base64": lambda key: base64.b64encode(key.encode()).decode(),
    "as basic": lambda key: base64.b64encode(f"me:{key}".encode()).decode(),
    "as base64 of a URL": lambda key: base64.urlsafe_b64encode(f"x{key}y".encode()).decode(),
    "as hexadecimal": lambda key: key.encode().hex(),
}

KEY = "kY+canary/Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6="


def is_free_of(text: str, key: str) -> None:
    """Nothing of `key` is in `text`, nor in what it decodes to."""
    for form in FORMS.values():
        assert form(key) not in text
    assert not OwnKeys([key]).are_in(text)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_every_form_in_every_text(form: str, before: str, after: str) -> None:
    own = OwnKeys([KEY])
    text = before + FORMS[form](KEY) + after
    assert own.are_in(text)
    is_free_of(own.without(text), KEY)
    value = own.without_all({text: [text, {"x": text}], "n": 1})
    is_free_of(json.dumps(value, ensure_ascii=False), KEY)


@given(st.text(alphabet="abcdef0123456789-_/@. ", max_size=200))
def test_other_texts_stay(text: str) -> None:
    assert OwnKeys([KEY, "", "  ", "short"]).without(text) == text


def test_the_text_around_it_stays() -> None:
    assert OwnKeys([KEY]).without(f"no such key: {KEY} (401)") == f"no such key: {REMOVED} (401)"
    assert "canary" not in repr(OwnKeys([KEY]))


# In every field of every answer ------------------------------------------------------------------

KEPT = frozenset(("object", "status", "type", "provider", "key"))
"""Fields that decide what is done with a row; `key` is Portkey's own mask."""


def planted(value: Any, forms: Iterator[str], *, names: bool) -> Any:
    """`value` with the next of `forms` in every text; with `names`, also in the names of things."""
    if isinstance(value, dict):
        more = {next(forms): next(forms), "message": f"about {next(forms)}"}
        return {
            name: inner
            if name in KEPT or (not names and name in ("slug", "id", "config_id"))
            else planted(inner, forms, names=names)
            for name, inner in {**value, **more}.items()
        }
    if isinstance(value, list):
        return [planted(item, forms, names=names) for item in value]
    if isinstance(value, str) and value.startswith("{"):
        return json.dumps(planted(json.loads(value), forms, names=names))
    return f"{value}-{next(forms)}" if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("named", "names"),
    [
        # each text has the next one, so that each of them comes in many fields
        (list(FORMS), False),
        (list(reversed(FORMS)), False),
        # where a name is the key, nothing can be asked by that name
        *(([form], True) for form in ("plain", "its first half", "in a URL", "as JSON")),
    ],
    ids=["each", "each from the last", "plain", "first half", "in a URL", "as JSON"],
)
def test_a_gateway_that_repeats_the_key_everywhere(
    account: Account,
    named: list[str],
    names: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy = tmp_path / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True, mode=0o700)
    policy.write_text(f'[gateway]\nbase_url = "{account.server.base_url}"\n')
    policy.chmod(0o600)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PORTKEY_API_KEY", ADMIN_KEY)
    monkeypatch.chdir(tmp_path)
    forms = cycle(FORMS[form](ADMIN_KEY) for form in named)
    send = account.server.send

    def repeat(exchange: Any, status: int, body: Any, headers: Any = None) -> None:
        if isinstance(body, str):
            body = f"{body} {next(forms)}"
        else:
            body = planted(body, forms, names=names)
        more = {
            "x-portkey-provider": f"p {next(forms)}",
            "x-portkey-last-used-option-index": next(forms),
        }
        send(exchange, status, body, {**(headers or {}), **more})

    monkeypatch.setattr(account.server, "send", repeat)
    said = ""
    for trouble in ({}, {"*": [(400, plane.AB03, {})]}, {"*": [(404, "<html>", {})]}):
        account.space.trouble = dict(trouble)  # type: ignore[arg-type]
        for words in (
            ["status"],
            ["status", "--json"],
            ["models", "--refresh"],
            ["models", "--json"],
            ["probe", "gpt-4o", "@openai-prod/gpt-4o", "--yes"],
            ["probe", "gpt-4o", "--yes", "--json"],
            ["sync", "--dry-run"],
        ):
            try:
                main(["portkey", *words])
            except Exception as error:  # what the dispatcher would render
                said += getattr(error, "render", lambda: "")()
            shown = capsys.readouterr()
            said += shown.out + shown.err
    assert len(said) > 500
    is_free_of(said.replace("\n", " "), ADMIN_KEY)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("portkey" in path.parts for path in kept)
    for path in kept:
        is_free_of(path.read_bytes().decode("utf-8", "replace"), ADMIN_KEY)
