"""The checks of the shell: each of them broken, and each of them well."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from doctored import Machine

from guard import paths
from guard.install import blocks, files, shims, way


def test_a_live_hook(machine: Machine) -> None:
    machine.guard()
    found = machine.one("hook")
    assert (found.state, found.what) == ("ok", "live in this zsh")


def test_no_hook(machine: Machine) -> None:
    found = machine.one("hook")
    assert found.state == "broken"
    assert found.fix == "routeguard setup\nthen open a new shell"


def test_a_lost_hook_is_told_as_why_tells_it(machine: Machine) -> None:
    machine.environ["ROUTEGUARD_HOOK"] = "lost:fish"
    found = machine.one("hook")
    assert (found.state, found.rule) == ("broken", "RG503")
    assert "the prompt hook of this fish is gone" in found.what


def test_a_script_that_asks_cannot_see_the_hook(machine: Machine) -> None:
    machine.guard()
    del machine.environ["ROUTEGUARD_HOOK"]
    assert machine.one("hook").state == "warning"


def test_a_line_of_ones_own(machine: Machine) -> None:
    machine.guard()
    found = machine.one("start-file")
    assert found.state == "ok"
    assert found.what == f"{machine.home}/.zshrc loads the hook of zsh, by a line of your own"


def a_block(machine: Machine, **changed: str) -> Path:
    """The block that setup writes, in ~/.zshrc; returns its launcher, which is there."""
    this = way.current(machine.environ)
    loads = blocks.Loads(this.launcher, files.completion_file(machine.environ, "zsh"), this.again)
    text = b"# mine\n" + blocks.block("zsh", dataclasses.replace(loads, **changed))
    machine.write(".zshrc", text.decode())
    launcher = Path(changed.get("launcher", this.launcher))
    launcher.parent.mkdir(parents=True)
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    return launcher


def test_the_block_of_setup(machine: Machine) -> None:
    a_block(machine)
    found = machine.one("start-file")
    assert (found.state, found.what) == ("ok", f"{machine.home}/.zshrc loads the hook of zsh")


def test_a_block_of_another_release(machine: Machine) -> None:
    a_block(machine, again="something else")
    found = machine.one("start-file")
    assert (found.state, found.fix) == ("warning", "routeguard setup")


@pytest.mark.parametrize("where", ["here", "somewhere else's"])
def test_a_block_whose_launcher_is_gone(machine: Machine, where: str) -> None:
    changed = {} if where == "here" else {"launcher": str(machine.home / where / "routeguard")}
    launcher = a_block(machine, **changed)
    launcher.unlink()
    found = machine.one("start-file")
    assert (found.state, found.rule) == ("broken", "RG503")
    assert f"calls {launcher}, which is gone" in found.what


def test_a_block_that_is_damaged(machine: Machine) -> None:
    a_block(machine)
    file = machine.home / ".zshrc"
    file.write_text(file.read_text().replace("# <<< routeguard <<<\n", ""))
    found = machine.one("start-file")
    assert (found.state, found.rule) == ("broken", "RG503")
    assert "has no end" in found.what


def test_a_start_file_of_another_shell_is_not_enough(machine: Machine) -> None:
    machine.write(".bashrc", 'eval "$(routeguard hook bash)"\n')
    well, wrong = machine.check("start-file")
    assert well.state == "ok"
    assert (wrong.state, wrong.what) == ("broken", "no start file of zsh loads the hook")
    assert wrong.fix == "routeguard setup --shell zsh"


def test_a_shell_that_has_no_hook(machine: Machine) -> None:
    machine.environ["SHELL"] = "/bin/tcsh"
    assert machine.one("start-file").state == "skipped"


def test_shims_that_come_first(machine: Machine) -> None:
    machine.guard()
    assert machine.one("shims").state == "ok"


def test_no_shims(machine: Machine) -> None:
    found = machine.one("shims")
    assert (found.state, found.fix) == ("warning", "routeguard setup")


@pytest.mark.parametrize(
    ("where", "manager"),
    [
        (".nvm/versions/node/v22.1.0", "nvm"),
        (".volta", "Volta"),
        (".asdf/installs/nodejs/22.1.0", "asdf"),
        (".local/share/mise/installs/node/22", "mise"),
        (".local/state/fnm_multishells/1_2", "fnm"),
    ],
)
def test_a_program_manager_that_comes_first(machine: Machine, where: str, manager: str) -> None:
    machine.guard()
    bin_ = machine.install(where)
    machine.environ["PATH"] = f"{bin_}:{machine.environ['PATH']}"
    found = machine.one("shims")
    assert (found.state, found.rule) == ("broken", "RG405")
    assert f"opencode is {bin_}/opencode ({manager} puts its directory first)" in found.what
    assert 'export PATH="$(routeguard shim path):$PATH"' in found.fix


def test_the_fix_is_in_the_words_of_the_shell(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shims.install(machine.environ)
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    found = machine.one("shims")
    assert "set -gx PATH (routeguard shim path) $PATH" in found.fix
    assert "not on PATH" in found.what


def test_shims_that_are_not_on_path_where_no_agent_is(machine: Machine) -> None:
    shims.install(machine.environ)
    machine.environ["PATH"] = "/usr/bin:/bin"
    assert machine.one("shims").state == "warning"


def test_a_shim_of_an_older_release(machine: Machine) -> None:
    machine.guard()
    Path(paths.own_shims(machine.environ), "opencode").write_text("#!/bin/sh\n# routeguard-shim\n")
    found = machine.one("shims")
    assert (found.state, found.fix) == ("broken", "routeguard shim install")
    assert "opencode (outdated)" in found.what


def test_a_file_that_is_no_shim(machine: Machine) -> None:
    machine.guard()
    path = Path(paths.own_shims(machine.environ), "opencode")
    path.write_text("#!/bin/sh\n# somebody's own\n")
    found = machine.check("shims")
    assert found[0].what == f"not a shim of routeguard: {path}"
    assert {one.state for one in found} == {"broken"}
