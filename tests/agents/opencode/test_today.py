"""Where a launch would go without routeguard, and which layer says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.agents.opencode import planner
from guard.agents.opencode.today import HOSTED, unguarded
from guard.agents.today import Today

CANARY = "canary-0123456789"


class Machine:
    """A home and a project; `today` says where `opencode ARGV` would go."""

    def __init__(self, root: Path) -> None:
        self.home, self.project = root / "home", root / "project"
        for folder in (self.home, self.project / ".git"):
            folder.mkdir(parents=True)
        self.environ = {"HOME": str(self.home)}

    def put(self, path: Path, content: object) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return str(path)

    def today(self, *argv: str) -> Today:
        facts = planner.survey(
            list(argv), self.environ, "/nonexistent", str(self.project), write=False
        )
        return unguarded(facts)

    @property
    def user(self) -> Path:
        return self.home / ".config" / "opencode" / "opencode.json"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path.resolve())


def test_nothing_set_up(machine: Machine) -> None:
    today = machine.today("run", "hi")
    assert (today.route, today.says) == (HOSTED, [])


def test_a_key_opens_a_provider(machine: Machine) -> None:
    machine.environ["ANTHROPIC_API_KEY"] = CANARY
    today = machine.today("run", "hi")
    assert today.route.startswith("a model of anthropic, straight to ")
    (say,) = today.says
    assert (say.layer, say.where, say.says) == (
        "environment",
        "ANTHROPIC_API_KEY",
        "opens anthropic",
    )
    assert CANARY not in repr(today)


def test_one_name_for_several_providers(machine: Machine) -> None:
    machine.environ["CLOUDFLARE_ACCOUNT_ID"] = "x"
    (say,) = machine.today("run", "hi").says
    assert "cloudflare-ai-gateway" in say.says
    assert "cloudflare-workers-ai" in say.says


def test_an_empty_variable_opens_nothing(machine: Machine) -> None:
    machine.environ["ANTHROPIC_API_KEY"] = ""
    assert machine.today("run", "hi").route == HOSTED


def test_a_typed_model(machine: Machine) -> None:
    assert machine.today("run", "-m", "anthropic/x", "hi").route == (
        "anthropic/x is not available: the agent would stop with an error"
    )
    machine.environ["ANTHROPIC_API_KEY"] = CANARY
    today = machine.today("run", "-m", "anthropic/x", "hi")
    assert today.route.startswith("anthropic/x, straight to ")
    assert today.says[0].layer == "command line"
    # what no provider has
    assert "not available" in machine.today("run", "-m", "openai/x", "hi").route
    assert "not available" in machine.today("run", "-m", "gpt-4", "hi").route


def test_the_hosted_provider_needs_no_key(machine: Machine) -> None:
    today = machine.today("run", "-m", "opencode/big-pickle", "hi")
    assert today.route.startswith("opencode/big-pickle, straight to ")


def test_a_stored_credential(machine: Machine) -> None:
    path = machine.put(
        machine.home / ".local/share/opencode/auth.json",
        {
            "openai": {"type": "oauth", "access": CANARY, "refresh": ""},
            "https://e": {"type": "wellknown"},
        },
    )
    today = machine.today("run", "hi")
    assert today.route.startswith("a model of openai, straight to ")
    assert [(s.layer, s.where, s.says) for s in today.says] == [
        ("credential store", path, "opens openai")
    ]
    assert CANARY not in repr(today)


def test_a_provider_whose_base_url_a_config_moves(machine: Machine) -> None:
    moved = {"options": {"baseURL": "https://me:pw@llm.example/v1"}}
    machine.put(machine.user, {"provider": {"openai": moved}, "model": "openai/x"})
    route = machine.today("run", "hi").route
    assert route.startswith("openai/x, straight to the baseURL in /")
    assert route.endswith("opencode.json")


def test_a_provider_of_ones_own(machine: Machine) -> None:
    machine.put(machine.user, {"provider": {"mine": {}}, "model": "mine/x"})
    today = machine.today("run", "hi")
    assert today.route == "mine/x, straight to the place its config names"
    assert today.says[0].says == "sets the model mine/x; defines mine"


def test_layers_strongest_first(machine: Machine) -> None:
    project = machine.put(machine.project / "opencode.json", {"model": "b/project"})
    folder = machine.put(machine.project / ".opencode/opencode.json", {"model": "c/folder"})
    user = machine.put(machine.user, {"model": "d/user", "enabled_providers": []})
    machine.environ["OPENCODE_CONFIG_CONTENT"] = '{"model":"a/inline"}'
    today = machine.today("run", "hi")
    assert [(s.layer, s.where) for s in today.says] == [
        ("inline config", "OPENCODE_CONFIG_CONTENT"),
        ("project config", folder),
        ("project config", project),
        ("user config", user),
    ]
    assert today.route.startswith("a/inline ")
    del machine.environ["OPENCODE_CONFIG_CONTENT"]
    assert machine.today("run", "hi").route.startswith("c/folder ")
    Path(folder).unlink()
    assert machine.today("run", "hi").route.startswith("b/project ")
    Path(project).unlink()
    assert machine.today("run", "hi").route.startswith("d/user ")
    assert machine.today("run", "-m", "e/typed", "hi").route.startswith("e/typed ")


@pytest.mark.parametrize("content", ["", " ", "{bad", "[]", '{"model":3,"provider":[]}'])
def test_a_damaged_inline_config_is_passed_over(machine: Machine, content: str) -> None:
    machine.environ["OPENCODE_CONFIG_CONTENT"] = content
    assert machine.today("run", "hi").route == HOSTED
