"""Rendering a hook: which names a shell is told, and that nothing is left to fill in."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from guard.hook import SHELLS
from guard.hook import render as renderer
from guard.policy.values import CompiledPolicy, GatewayProvider, PolicyException

NAMES = {
    "OPENAI_API_KEY": ("provider_key", "OpenAI"),
    "CLARIFAI_PAT": ("provider_key", "Clarifai"),
    "302AI_API_KEY": ("provider_key", "302.AI"),
    "bad name;id_API_KEY": ("provider_key", ""),
    "STRIPE_API_KEY": ("other_service", "Stripe"),
    "GITHUB_TOKEN": ("ambient", "GitHub"),
}


def render(shell: str, policy: CompiledPolicy | None, **changes: Any) -> str:
    values = {"python": "/p", "main_file": "/m", "shims": "/s", "scratch": "/t"}
    return renderer.render(shell, policy, **{**values, **changes})


def words(text: str, start: str) -> list[str]:
    """The names in the line of `text` that begins with `start`."""
    (line,) = (line for line in text.splitlines() if line.strip().startswith(start))
    return line.strip().removeprefix(start).strip("()' ").split()


@pytest.mark.parametrize("shell", SHELLS)
def test_every_placeholder_is_filled_in(shell: str) -> None:
    text = render(shell, CompiledPolicy(variables=NAMES))
    for word in text.replace("'", " ").replace('"', " ").split():
        assert not (word.startswith("__") and word.endswith("__") and word.isupper()), word


def test_bash_and_zsh_are_told_only_names_they_can_hold() -> None:
    policy = CompiledPolicy(variables=NAMES)
    assert words(render("zsh", policy), "keys=") == ["CLARIFAI_PAT", "OPENAI_API_KEY"]
    assert "302AI" not in re.sub(r"(?m)^\s*#.*$", "", render("bash", policy))
    assert "302AI_API_KEY CLARIFAI_PAT OPENAI_API_KEY" in render("fish", policy)
    for shell in SHELLS:
        assert "bad name" not in render(shell, policy)


def test_other_names_are_those_that_look_like_a_key_and_are_known() -> None:
    policy = CompiledPolicy(variables=NAMES)
    assert words(render("zsh", policy), "others=") == ["PORTKEY_API_KEY", "STRIPE_API_KEY"]


def test_the_gateways_key_is_no_direct_key() -> None:
    provider = GatewayProvider(key_env="OPENAI_API_KEY")
    text = render("zsh", CompiledPolicy(variables=NAMES, providers=(provider,)))
    assert words(text, "keys=") == ["CLARIFAI_PAT"]
    assert "OPENAI_API_KEY" in words(text, "others=")


def test_the_first_look_of_fish_misses_no_direct_key_and_leaves_out_the_gateways() -> None:
    policy = CompiledPolicy(variables={**NAMES, "UNUSUAL": ("provider_key", "")})
    text = render("fish", policy).replace("\\'", "'")
    ends = re.findall(r"--regex -- '(\^\(\?!.*?\$)' ''", text)
    assert len(ends) == 2
    names = ("UNUSUAL", "OPENAI_API_KEY", "CLARIFAI_PAT", "302AI_API_KEY", "FOO_API_KEY")
    for expression in ends:
        assert all(re.fullmatch(expression, name) for name in names)
        assert not any(re.fullmatch(expression, name) for name in ("PATH", "PORTKEY_API_KEY"))


def test_exceptions_for_variables_carry_their_end() -> None:
    end = int(time.time()) + 1000
    exceptions = (
        PolicyException(subject="env:OPENAI_API_KEY", until=float(end)),
        PolicyException(subject="env:OPENAI_API_KEY", until=float(end - 500)),
        PolicyException(subject="env:CLARIFAI_PAT", until=1.0),
        PolicyException(subject="server:http://127.0.0.1", until=float(end)),
        PolicyException(subject="env:x; rm", until=float(end)),
    )
    text = render("zsh", CompiledPolicy(variables=NAMES, exceptions=exceptions))
    assert words(text, "allowed=") == [f"OPENAI_API_KEY={end}"]


@pytest.mark.parametrize("shell", SHELLS)
def test_without_a_policy_the_wrappers_are_all_there_and_no_name_is_looked_for(shell: str) -> None:
    text = render(shell, None)
    assert "exec -- opencode " in text.replace("'", "")
    assert "exec -- opencode2 " in text.replace("'", "")
    assert "OPENAI" not in text
