"""The PATH shims: written whole, told by their second line, never over another file."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import forked
import pytest

from guard import paths
from guard.errors import ExitCode, GuardError
from guard.files.step import Step
from guard.install import shims
from guard.launch.resolve import is_shim

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}


@pytest.fixture
def run(environ: dict[str, str]) -> Run:
    def run(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return forked.run(["shim", *words], env={**environ, **extra})

    return run


def foreign(path: Path, text: str = "#!/bin/sh\necho mine\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_install_writes_every_shim_executable_and_identifiable(environ: dict[str, str]) -> None:
    changes = shims.install(environ)
    assert [change.action for change in changes] == ["write"] * len(shims.scripts())
    for name in shims.scripts():
        path = Path(paths.own_shims(environ), name)
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
        assert path.read_text().splitlines()[:2] == ["#!/bin/sh", "# routeguard-shim"]
        assert is_shim(str(path))
    assert sorted(os.listdir(paths.own_shims(environ))) == sorted(shims.scripts())


def test_what_the_hook_says_can_be_typed(environ: dict[str, str]) -> None:
    shims.install(environ)
    path = f"{paths.own_shims(environ)}:/usr/bin:/bin"
    done = subprocess.run(
        ["sh", "-c", "routeguard why OPENAI_API_KEY"],
        env={**environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OPENAI_API_KEY" in done.stdout, done


def test_installing_again_writes_nothing(environ: dict[str, str]) -> None:
    shims.install(environ)
    path = Path(paths.own_shims(environ), "opencode")
    before = path.stat()
    assert {change.action for change in shims.install(environ)} == {"unchanged"}
    assert path.stat().st_ino == before.st_ino


def test_a_shim_of_another_installation_is_replaced(environ: dict[str, str]) -> None:
    foreign(Path(paths.own_shims(environ), "opencode"), "#!/bin/sh\n# routeguard-shim\nexit 1\n")
    assert shims.status(environ).shims[0].state == "outdated"
    shims.install(environ)
    assert shims.status(environ).shims[0].state == "current"


def test_a_shim_that_may_not_run_is_written_again(environ: dict[str, str]) -> None:
    shims.install(environ)
    path = Path(paths.own_shims(environ), "opencode")
    path.chmod(0o644)
    shims.install(environ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", shims.scripts())
def test_a_foreign_file_is_never_overwritten_and_nothing_else_is_written(
    environ: dict[str, str], name: str
) -> None:
    mine = foreign(Path(paths.own_shims(environ), name))
    with pytest.raises(GuardError) as error:
        shims.install(environ)
    assert error.value.exit_code == ExitCode.CONFIG
    assert error.value.where == str(mine)
    assert mine.read_text() == "#!/bin/sh\necho mine\n"
    assert os.listdir(mine.parent) == [name]


def test_the_identity_line_elsewhere_in_a_file_does_not_make_it_ours(
    environ: dict[str, str],
) -> None:
    foreign(Path(paths.own_shims(environ), "opencode"), "#!/bin/sh\n\n# routeguard-shim\n")
    with pytest.raises(GuardError):
        shims.install(environ)


def test_a_link_is_foreign_even_if_it_leads_to_a_shim(
    environ: dict[str, str], tmp_path: Path
) -> None:
    elsewhere = foreign(tmp_path / "elsewhere", "#!/bin/sh\n# routeguard-shim\n")
    link = Path(paths.own_shims(environ), "opencode")
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    with pytest.raises(GuardError):
        shims.install(environ)
    shims.uninstall(environ)
    assert link.is_symlink()
    assert elsewhere.exists()


def test_uninstall_removes_ours_and_keeps_what_is_not(environ: dict[str, str]) -> None:
    shims.install(environ)
    mine = foreign(Path(paths.own_shims(environ), "other-tool"))
    left = foreign(mine.parent / "opencode.routeguard-new.1", "#!/bin/sh\n# routeguard-shim\n")
    actions = {change.path: change.action for change in shims.uninstall(environ)}
    assert actions[str(mine)] == "keep"
    assert actions[str(left)] == "remove"
    assert os.listdir(mine.parent) == ["other-tool"]


def test_an_agent_that_the_policy_leaves_out_has_no_shim(
    environ: dict[str, str], tmp_path: Path
) -> None:
    policy = tmp_path / ".config/routeguard/policy.toml"
    policy.parent.mkdir(parents=True)
    shims.install(environ)
    there = set(os.listdir(paths.own_shims(environ)))
    assert "claude" in there
    policy.write_text('[agents]\nguard = ["opencode", "codex"]\n')
    policy.chmod(0o600)
    states = {shim.name: shim.state for shim in shims.status(environ).shims}
    assert (states["claude"], states["opencode"]) == ("needless", "current")
    (change,) = [c for c in shims.install(environ, dry_run=True) if c.action != "unchanged"]
    assert (change.action, os.path.basename(change.path)) == ("remove", "claude")
    shims.install(environ)
    assert set(os.listdir(paths.own_shims(environ))) == there - {"claude"}
    assert "claude" not in [shim.name for shim in shims.status(environ).shims]
    mine = foreign(Path(paths.own_shims(environ), "claude"))
    assert {change.action for change in shims.install(environ)} == {"unchanged"}
    assert mine.exists(), "what is not ours is nobody's business"
    mine.unlink()
    policy.write_text('[agents.aider]\nlaunch = "refuse"\n[agents.gemini-cli]\nlaunch = "clean"\n')
    shims.install(environ)
    assert set(os.listdir(paths.own_shims(environ))) == there | {"aider"}
    policy.write_text("nonsense = 1\n")
    states = {shim.name: shim.state for shim in shims.status(environ).shims}
    assert states["aider"] == "needless"
    shims.install(environ)
    assert set(os.listdir(paths.own_shims(environ))) == there, "with a broken policy, all"


def test_uninstall_leaves_no_directory_behind(environ: dict[str, str]) -> None:
    shims.install(environ)
    shims.uninstall(environ)
    assert not os.path.exists(paths.own_shims(environ))
    assert shims.uninstall(environ) == []


def test_a_dry_run_before_there_is_an_environment(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "guard.policy.compile", None)
    announced = shims.install(environ, dry_run=True)
    assert [change.action for change in announced] == ["write"] * len(shims.scripts())


def test_uninstall_says_what_to_type_without_the_shim_of_routeguard(
    environ: dict[str, str], run: Run
) -> None:
    launcher = foreign(Path(environ["HOME"], ".local/share/routeguard/bin/routeguard"))
    shims.install(environ)
    environ["PATH"] = f"{paths.own_shims(environ)}:/usr/bin:/bin"
    assert "undo" not in run("uninstall", "--dry-run").stdout
    last = run("uninstall").stdout.splitlines()[-1]
    assert last.split() == ["undo", "~/.local/share/routeguard/bin/routeguard", "shim", "install"]
    assert launcher.exists()
    assert "undo" not in run("uninstall").stdout


@pytest.mark.parametrize("verb", [shims.install, shims.uninstall])
def test_a_dry_run_says_the_same_and_changes_nothing(
    environ: dict[str, str], verb: Callable[..., list[Step]]
) -> None:
    if verb is shims.uninstall:
        shims.install(environ)
    before = sorted(Path(environ["HOME"]).rglob("*"))
    announced = verb(environ, dry_run=True)
    assert sorted(Path(environ["HOME"]).rglob("*")) == before
    assert announced == verb(environ)


def test_a_directory_that_others_can_write_to_is_made_ours_alone(environ: dict[str, str]) -> None:
    Path(paths.own_shims(environ)).mkdir(parents=True)
    os.chmod(paths.own_shims(environ), 0o777)
    shims.install(environ)
    assert stat.S_IMODE(os.stat(paths.own_shims(environ)).st_mode) & 0o022 == 0


@pytest.mark.parametrize(
    ("path", "where"),
    [("{shims}:/usr/bin", "first"), ("/usr/bin:{shims}", "later"), ("/usr/bin", "absent")],
)
def test_status_says_where_the_directory_stands_on_path(
    environ: dict[str, str], path: str, where: str
) -> None:
    environ["PATH"] = path.format(shims=paths.own_shims(environ))
    assert shims.status(environ).on_path == where


def test_status_says_what_command_would_run(environ: dict[str, str], tmp_path: Path) -> None:
    real = foreign(tmp_path / "bin" / "opencode")
    environ["PATH"] = str(real.parent)
    found = shims.status(environ)
    assert (found.resolved[0].path, found.unguarded) == (str(real), ("opencode",))
    shims.install(environ)
    environ["PATH"] = f"{paths.own_shims(environ)}:{real.parent}"
    found = shims.status(environ)
    assert found.resolved[0].path == str(Path(paths.own_shims(environ), "opencode"))
    assert found.unguarded == ()


def test_status_names_the_start_files_that_load_the_hook(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".bashrc").write_text('eval "$(routeguard hook bash)"\n')
    (tmp_path / ".zshrc").write_text(
        "eval \"$({ [ -x '/h/routeguard' ] && '/h/routeguard' hook zsh; } || :)\"\n"
    )
    (tmp_path / ".profile").write_text('# eval "$(routeguard hook bash)"\n')
    conf = tmp_path / ".config/fish/conf.d"
    conf.mkdir(parents=True)
    (conf / "routeguard.fish").write_text("/h/routeguard hook fish | source\n")
    found = shims.status(environ, root=str(tmp_path / "no-root")).start_files
    assert [(file.shell, Path(file.path).name) for file in found] == [
        ("bash", ".bashrc"),
        ("zsh", ".zshrc"),
        ("fish", "routeguard.fish"),
    ]


def test_the_command_reports_and_exits(run: Run, tmp_path: Path) -> None:
    real = foreign(tmp_path / "bin" / "opencode")
    path = str(real.parent)
    assert run("path").stdout == f"{tmp_path}/.local/share/routeguard/shims\n"
    before = run("status", PATH=path)
    assert before.returncode == ExitCode.FINDINGS
    assert "~/bin/opencode (not guarded)" in before.stdout
    assert run("install").returncode == ExitCode.OK
    after = run("status", "--json", PATH=f"{tmp_path}/.local/share/routeguard/shims:{path}")
    assert after.returncode == ExitCode.OK
    document = json.loads(after.stdout)
    assert document["schema_version"] == 1
    assert document["on_path"] == "first"
    assert document["unguarded"] == []
    assert run("uninstall").stdout.count("remove  ") == len(shims.scripts()) + 1
    assert run("uninstall").stdout == "no shims here\n"


def test_a_foreign_file_ends_the_command_with_a_message(run: Run, environ: dict[str, str]) -> None:
    mine = foreign(Path(paths.own_shims(environ), "opencode"))
    result = run("install")
    assert result.returncode == ExitCode.CONFIG
    assert str(mine) in result.stderr
    assert "Traceback" not in result.stderr
