"""Where something of ours is missing or broken: one message, a documented status, no launch."""

from __future__ import annotations

import pytest
from harness.expect import refused
from harness.sandbox import Sandbox

pytestmark = pytest.mark.e2e

CONFIG = 3


@pytest.mark.parametrize("value", [None, "", "  ", "sk-ant-api03-whatever"])
def test_no_usable_gateway_key(user: Sandbox, value: str | None) -> None:
    done = user.guarded("run", "hi", env={"PORTKEY_API_KEY": value})
    refused(user, done, "RG106", "PORTKEY_API_KEY")


def test_a_broken_policy(user: Sandbox) -> None:
    path = user.write_policy("[gateway\n")
    refused(user, user.guarded("run", "hi"), "RG501", str(path), status=CONFIG)


def test_an_unknown_policy_key(user: Sandbox) -> None:
    path = user.write_policy('[keys]\nacton = "flag"\n')
    done = user.guarded("run", "hi")
    refused(user, done, "RG501", str(path), "acton", "action", status=CONFIG)


def test_a_policy_that_cannot_be_read(user: Sandbox) -> None:
    path = user.config / "routeguard" / "policy.toml"
    path.unlink()
    path.mkdir()
    refused(user, user.guarded("run", "hi"), "RG501", str(path), status=CONFIG)


def test_a_policy_that_others_may_write(user: Sandbox) -> None:
    path = user.config / "routeguard" / "policy.toml"
    path.chmod(0o666)
    refused(user, user.guarded("run", "hi"), "RG501", str(path), status=CONFIG)


def test_no_agent(user: Sandbox) -> None:
    done = user.guarded("run", "hi", env={"PATH": "/usr/bin:/bin"})
    refused(user, done, "RG502", "opencode", status=127)


@pytest.mark.parametrize(
    ("argv", "rule"),
    [
        (("attach", "http://127.0.0.1:4096"), "RG202"),
        (("run", "--attach=http://127.0.0.1:4096", "hi"), "RG202"),
        (("serve",), "RG203"),
        (("web",), "RG203"),
        (("acp",), "RG203"),
        (("--port", "4096"), "RG203"),
    ],
)
def test_servers(user: Sandbox, argv: tuple[str, ...], rule: str) -> None:
    refused(user, user.guarded(*argv), rule)


def test_a_local_proxy_without_an_exception(user: Sandbox) -> None:
    done = user.guarded("run", "hi", env={"HTTPS_PROXY": "http://127.0.0.1:9"})
    refused(user, done, "RG104", "HTTPS_PROXY", "127.0.0.1:9")
