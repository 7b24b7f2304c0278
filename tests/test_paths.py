"""Which directories are the user's: never one that the project around us chose."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from guard import paths
from guard.errors import PolicyError

VARIABLES = (
    "HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
)  # fmt: skip


class Machine:
    """An account with a home, and a repository beside it."""

    def __init__(self, root: Path) -> None:
        self.account = root / "homes/ada"
        self.repository = root / "src/repository"
        self.account.mkdir(parents=True)
        (self.repository / ".git").mkdir(parents=True)
        self.cwd = self.repository
        self.environ = {"HOME": str(self.account)}

    def misplaced(self, **more: object) -> list[str]:
        """The variables that do not count, with `more` in the environment."""
        environ = self.environ | {name: str(value) for name, value in more.items()}
        return [one.variable for one in paths.misplaced(environ, str(self.cwd))]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path.resolve())
    monkeypatch.setattr(paths, "account_home", lambda: str(made.account))
    return made


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_directory_of_the_repository_is_not_the_users(machine: Machine, variable: str) -> None:
    assert machine.misplaced(**{variable: machine.repository / "x"}) == [variable]
    assert machine.misplaced(**{variable: machine.repository}) == [variable]


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_directory_elsewhere_is(machine: Machine, tmp_path: Path, variable: str) -> None:
    assert machine.misplaced(**{variable: tmp_path / "elsewhere"}) == []


def test_all_of_them_are_named(machine: Machine) -> None:
    inside = {name: machine.repository / name.lower() for name in VARIABLES}
    assert machine.misplaced(**inside) == list(VARIABLES)


@pytest.mark.parametrize("value", ["", "relative", "./x", "~/x", "$PWD/x"])
@pytest.mark.parametrize("variable", VARIABLES)
def test_what_is_not_absolute_names_nothing(machine: Machine, variable: str, value: str) -> None:
    assert machine.misplaced(**{variable: value}) == []


class TestAccount:
    def test_its_home_and_default_directories_are_always_the_users(self, machine: Machine) -> None:
        machine.cwd = machine.account
        for name in (".git", ".envrc", "package.json"):
            (machine.account / name).touch()
        assert machine.misplaced() == []
        for variable, below in (
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_DATA_HOME", ".local/share"),
            ("XDG_STATE_HOME", ".local/state"),
            ("XDG_CACHE_HOME", ".cache"),
        ):
            assert machine.misplaced(**{variable: machine.account / below}) == []
            assert machine.misplaced(**{variable: machine.account / "mine" / below}) == []

    def test_also_where_a_default_directory_is_linked_into_the_repository(
        self, machine: Machine
    ) -> None:
        (machine.repository / "config").mkdir()
        (machine.account / ".config").symlink_to(machine.repository / "config")
        assert machine.misplaced() == []
        assert machine.misplaced(XDG_CONFIG_HOME=machine.account / ".config") == []

    def test_also_where_it_is_the_repository_one_works_in(self, machine: Machine) -> None:
        (machine.account / ".config/nvim/.git").mkdir(parents=True)
        (machine.account / ".config/.git").mkdir()
        machine.cwd = machine.account / ".config/nvim"
        assert machine.misplaced() == []

    def test_a_repository_in_a_home_of_dotfiles(self, machine: Machine) -> None:
        (machine.account / ".git").mkdir()
        machine.cwd = machine.account / "evil"
        (machine.cwd / ".git").mkdir(parents=True)
        for variable in VARIABLES:
            assert machine.misplaced(**{variable: machine.cwd / "x"}) == [variable]
        assert machine.misplaced() == []

    def test_an_account_without_a_home(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(paths, "account_home", lambda: "")
        assert machine.misplaced() == []
        assert machine.misplaced(HOME=machine.repository / "x") == ["HOME"]
        with pytest.raises(PolicyError, match="your own directories") as caught:
            paths.of_user({"HOME": str(machine.repository)}, str(machine.repository))
        assert caught.value.rule == "RG504"


class TestHome:
    def test_a_temporary_home_around_the_project(self, machine: Machine, tmp_path: Path) -> None:
        home = tmp_path / "x"
        machine.cwd = home / "project"
        (machine.cwd / ".git").mkdir(parents=True)
        (home / ".opencode").mkdir()
        assert machine.misplaced(HOME=home) == []
        assert machine.misplaced(HOME=home, XDG_CONFIG_HOME=home / "elsewhere") == []
        machine.cwd = home
        assert machine.misplaced(HOME=home, XDG_CONFIG_HOME=home / ".config") == []

    def test_a_temporary_home_that_is_a_repository(self, machine: Machine, tmp_path: Path) -> None:
        home = tmp_path / "x"
        (home / ".git").mkdir(parents=True)
        (home / "sub").mkdir()
        machine.cwd = home / "sub"
        assert machine.misplaced(HOME=home) == ["HOME"]

    def test_a_directory_that_follows_from_home(self, machine: Machine, tmp_path: Path) -> None:
        """HOME lies outside, `$HOME/.config` is the repository."""
        machine.cwd = tmp_path / "evil/.config"
        (machine.cwd / ".git").mkdir(parents=True)
        assert machine.misplaced(HOME=tmp_path / "evil") == ["HOME"]

    def test_a_subdirectory_where_nothing_marks_a_project(
        self, machine: Machine, tmp_path: Path
    ) -> None:
        machine.cwd = tmp_path / "plain"
        machine.cwd.mkdir()
        for variable in VARIABLES:
            assert machine.misplaced(**{variable: machine.cwd / "x"}) == [variable]


def test_the_shells_own_spelling_of_the_directory_counts(machine: Machine, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / ".envrc").touch()
    (evil / "link").symlink_to(machine.repository)
    more = {"XDG_CONFIG_HOME": evil / "cfg", "PWD": evil / "link"}
    assert machine.misplaced(**more) == ["XDG_CONFIG_HOME"]
    assert machine.misplaced(**more | {"PWD": evil}) == [], "it is another directory"


def test_what_is_left_is_the_accounts(machine: Machine) -> None:
    environ = {
        "HOME": str(machine.repository / "home"),
        "XDG_CONFIG_HOME": str(machine.repository / "cfg"),
        "XDG_CACHE_HOME": "/elsewhere",
        "PATH": "/bin",
    }
    said: list[str] = []
    own = paths.of_user(environ, str(machine.repository), said.append)
    account = str(machine.account)
    assert own == {"HOME": account, "XDG_CACHE_HOME": "/elsewhere", "PATH": "/bin"}
    assert paths.routeguard_config(own) == os.path.join(account, ".config", "routeguard")
    assert len(said) == 2
    assert all("RG504" in line and str(machine.repository) in line for line in said)


def test_the_fix_is_a_command(machine: Machine) -> None:
    environ = {"HOME": str(machine.repository / "h"), "XDG_DATA_HOME": str(machine.repository)}
    home, data = paths.misplaced(environ, str(machine.repository))
    assert home.fix.startswith(f"export HOME={machine.account}")
    assert data.fix.startswith("unset XDG_DATA_HOME\n")


def test_the_user_database_is_not_asked_for_nothing(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be a server that does not answer."""
    monkeypatch.setattr(paths, "account_home", lambda: pytest.fail("it was asked"))
    machine.cwd = machine.account / "project"
    (machine.cwd / ".git").mkdir(parents=True)
    assert machine.misplaced(XDG_CACHE_HOME=tmp_path / "cache") == []


def test_the_shims_of_the_machine_count_where_the_user_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"HOME": str(tmp_path / "home")}
    own = f"{tmp_path}/home/.local/share/routeguard/shims"
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/opt/venv/bin/python")
    assert paths.shims(environ) == own
    (tmp_path / "opt/venv/shims").mkdir(parents=True)
    # beside the environment anybody's folder may lie: a project's, around an environment of its own
    (tmp_path / "opt/shims").mkdir()
    assert paths.shims(environ) == paths.installed_shims(environ) == f"{tmp_path}/opt/venv/shims"
    assert paths.own_shims(environ) == own
    Path(own).mkdir(parents=True)
    assert paths.shims(environ) == own


@pytest.mark.parametrize(
    ("marker", "found"),
    [
        ("4711:2:/opt/a:b", (4711, 2, "/opt/a:b")),
        ("", (0, 0, "")),
        ("4711:2:", (0, 0, "")),
        ("4711:²:/opt/a", (0, 0, "")),
        (f"{'9' * 5000}:1:/opt/a", (0, 0, "")),
        (f"1:{'9' * 5000}:/opt/a", (0, 0, "")),
    ],
    ids=["whole", "none", "no program", "no digit", "pid too long", "depth too long"],
)
def test_only_a_whole_marker_is_a_launch(marker: str, found: tuple[int, int, str]) -> None:
    assert paths.launch_above({paths.LAUNCH_MARKER: marker}) == found
