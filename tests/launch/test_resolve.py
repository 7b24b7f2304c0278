"""The real program, never one of our own shims, never a relative entry of PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.agents.opencode.adapter import AGENT
from guard.errors import ExitCode, GuardError
from guard.launch.resolve import find_agent, find_program, is_shim

SHIM = "#!/bin/sh\n# routeguard-shim\nexit 0\n"


class Places:
    """Two directories on PATH, and the one of our shims."""

    def __init__(self, root: Path) -> None:
        self.first, self.second = root / "first", root / "second"
        self.shims = root / "home" / ".local" / "share" / "routeguard" / "shims"
        for folder in (self.first, self.second, self.shims):
            folder.mkdir(parents=True)
        self.environ = {
            "HOME": str(root / "home"),
            "PATH": f"{self.shims}:{self.first}:{self.second}",
        }

    def put(self, folder: Path, text: str = "#!/bin/sh\n", name: str = "opencode") -> str:
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def find(self, name: str = "opencode", avoid: tuple[str, ...] = ()) -> str:
        return find_program(name, self.environ, avoid)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path.resolve())


def test_the_first_on_path(places: Places) -> None:
    assert places.find() == ""
    second = places.put(places.second)
    assert places.find() == second
    first = places.put(places.first)
    assert places.find() == first


def test_shims_are_told_by_what_they_are(places: Places) -> None:
    real = places.put(places.second)
    places.put(places.first, SHIM)
    assert places.find() == real
    places.put(places.shims, "#!/bin/sh\n# somebody edited it\n")
    assert places.find() == real


def test_the_directory_of_shims_through_a_link(places: Places) -> None:
    real = places.put(places.second)
    places.put(places.shims, "#!/bin/sh\n")
    places.first.rmdir()
    places.first.symlink_to(places.shims)
    assert places.find() == real


def test_a_link_to_a_shim(places: Places) -> None:
    real = places.put(places.second)
    shim = places.put(places.shims, SHIM, "x")
    (places.first / "opencode").symlink_to(shim)
    assert places.find() == real


def test_what_is_no_program(places: Places) -> None:
    real = places.put(places.second)
    first = places.first / "opencode"
    first.mkdir()
    assert places.find() == real
    first.rmdir()
    first.write_text("not executable")
    assert places.find() == real
    first.unlink()
    first.symlink_to("nowhere")
    assert places.find() == real
    first.unlink()
    os.mkfifo(first, 0o755)
    assert places.find() == real


@pytest.mark.parametrize("entry", ["", ".", "first", "./first", "../first"])
def test_relative_entries_are_not_searched(
    places: Places, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.put(places.first)
    real = places.put(places.second)
    monkeypatch.chdir(places.first.parent)
    places.environ["PATH"] = f"{entry}:{places.second}"
    assert places.find() == real


def test_without_a_path(places: Places) -> None:
    del places.environ["PATH"]
    assert os.path.isabs(places.find("sh"))


def test_what_has_to_be_avoided(places: Places) -> None:
    first, second = places.put(places.first), places.put(places.second)
    assert places.find(avoid=(first,)) == second
    assert places.find(avoid=(first, second)) == ""
    (places.first / "opencode").unlink()
    (places.first / "opencode").symlink_to(second)
    assert places.find(avoid=(second,)) == ""


class TestPaths:
    def test_a_path_is_itself(self, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
        places.put(places.first)
        second = places.put(places.second)
        assert places.find(second) == second
        monkeypatch.chdir(places.second)
        assert places.find("./opencode") == second
        assert places.find(second, avoid=(second,)) == ""

    def test_a_path_that_is_nothing(self, places: Places) -> None:
        places.put(places.first)
        assert places.find("/nonexistent/opencode") == ""
        assert places.find(str(places.first)) == ""

    @pytest.mark.parametrize("text", [SHIM, "#!/bin/sh\n# edited\n"])
    def test_a_path_of_a_shim_means_its_name(self, places: Places, text: str) -> None:
        real = places.put(places.second)
        assert places.find(places.put(places.shims, text)) == real

    def test_a_shim_that_lies_elsewhere(self, places: Places) -> None:
        real = places.put(places.second)
        assert places.find(places.put(places.first, SHIM)) == real


@pytest.mark.parametrize(
    ("text", "shim"),
    [
        (SHIM, True),
        ("#!/bin/sh\n# routeguard-shim  \n", True),
        ("#!/bin/sh\n# routeguard-shim\r\n", True),
        ("#!/bin/sh\n# routeguard-shim", True),
        ("#!/bin/sh\n\n# routeguard-shim\n", False),
        ("#!/bin/sh\n# routeguard-shims\n", False),
        ("# routeguard-shim\n", False),
        ("\n# routeguard-shim\n", False),
        ("", False),
        ("\x7fELF", False),
    ],
)
def test_is_shim(tmp_path: Path, text: str, shim: bool) -> None:
    (tmp_path / "x").write_text(text)
    assert is_shim(str(tmp_path / "x")) == shim


def test_is_shim_of_something_odd(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "none", tmp_path / "pipe"):
        assert not is_shim(str(path))


def test_find_agent(places: Places) -> None:
    with pytest.raises(GuardError) as caught:
        find_agent(AGENT, "opencode", places.environ)
    assert (caught.value.rule, caught.value.exit_code) == ("RG502", ExitCode.NOT_FOUND)
    assert "opencode is not installed" in caught.value.render()
    real = places.put(places.second)
    assert find_agent(AGENT, "opencode", places.environ) == real
