"""What is shipped is complete: a wheel, an environment it is installed in, and a plain clone."""

from __future__ import annotations

import zipfile
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from packages import checked, run

SHELLS = ("bash", "zsh", "fish")


def installed_package(built: Path) -> Path:
    (package,) = (built / "venv/lib").glob("python*/site-packages/guard")
    return package


def test_the_wheel_holds_every_file_of_the_program_and_nothing_else(built: Path) -> None:
    (wheel,) = (built / "wheel").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        path.relative_to(built / "clone").as_posix()
        for path in (built / "clone/guard").rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    shell = {f"guard/shell/{path.name}" for path in (built / "clone/shell").iterdir()}
    assert {f"guard/shell/hook.{name}" for name in SHELLS} <= shell
    assert package | shell == {name for name in names if ".dist-info/" not in name}


@pytest.mark.parametrize("name", SHELLS)
def test_an_installed_wheel_prints_the_hook_from_anywhere(
    built: Path, home: Path, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "else where"
    (elsewhere / "shell").mkdir(parents=True)
    (elsewhere / "shell" / f"hook.{name}").write_text("echo the wrong one\n")
    (elsewhere / "guard").mkdir()
    (elsewhere / "guard/__init__.py").write_text("raise SystemExit('the wrong package')\n")
    text = checked(run(built / "venv/bin/routeguard", "hook", name, cwd=elsewhere, home=home))
    assert "opencode" in text
    assert "the wrong one" not in text
    assert str(installed_package(built) / "__main__.py") in text


def test_an_installed_wheel_has_its_command_line(built: Path, home: Path) -> None:
    routeguard = built / "venv/bin/routeguard"
    assert checked(run(routeguard, "--version", cwd=home, home=home)).startswith("routeguard")
    assert "explain" in checked(run(routeguard, "--help", cwd=home, home=home))


def test_pip_removes_whatever_a_run_wrote_beside_the_code(built: Path, home: Path) -> None:
    """pip removes what its RECORD lists and, for each module in it, the bytecode by that name."""
    package = installed_package(built)
    (home / ".env").write_text("OPENAI_API_KEY=sk-proj-canary0123456789abcdefgh\n")
    (home / "a.py").write_text("url = 'https://api.openai.com/v1'\n")
    for words in (["why", "A_KEY"], ["check", "."], ["agents"], ["exec", "--", "true"]):
        run(built / "venv/bin/routeguard", *words, cwd=home, home=home)
    (wheel,) = (built / "wheel").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    listed = {str(package.parent / name) for name in names}
    listed |= {cache_from_source(name) for name in listed if name.endswith(".py")}
    there = {str(path) for path in package.rglob("*") if path.is_file()}
    assert any("/catalog/__pycache__/tables." in name for name in there)
    assert there <= listed


@pytest.mark.parametrize("where", ["wheel", "clone"])
def test_exec_runs_a_command_under_an_isolated_python(built: Path, home: Path, where: str) -> None:
    package = installed_package(built) if where == "wheel" else built / "clone/guard"
    python = built / "venv/bin/python"
    main = package / "__main__.py"
    command = ("sh", "-c", "echo $0; exit 7")
    for _ in range(2):  # without and with the compiled policy
        result = run(python, "-I", "-S", main, "exec", "--", *command, cwd=home, home=home)
        assert (result.returncode, result.stdout, result.stderr) == (7, "sh\n", "")
