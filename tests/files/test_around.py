"""Which trees lie around a directory, and what lies in them, however it is spelled."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from guard.files.around import (
    ENVIRONMENTS,
    PROJECTS,
    TREES,
    Around,
    levels,
    way,
    worktree,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory without marks: whatever lies above it is not the test's."""
    return tmp_path.resolve()


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def tree_of(path: object, cwd: Path, *, home: str = "/nowhere", account: str = "") -> str:
    return Around([str(cwd)], home, lambda: account).tree_of(str(path))


class TestWorktree:
    @pytest.mark.parametrize("kind", ["directory", "file", "dangling"])
    def test_nearest_git(self, root: Path, kind: str) -> None:
        below = root / "repo/a/b"
        below.mkdir(parents=True)
        git = root / "repo/.git"
        if kind == "directory":
            git.mkdir()
        elif kind == "file":
            git.write_text("gitdir: /elsewhere\n")
        else:
            git.symlink_to("nowhere")
        assert worktree(str(below)) == str(root / "repo")
        assert levels(str(below)) == (
            str(root / "repo"),
            str(root / "repo/a"),
            str(root / "repo/a/b"),
        )

    def test_none(self, root: Path) -> None:
        assert worktree(str(root)) == ""
        assert levels(str(root)) == (str(root),)
        assert worktree("/") == ""

    def test_levels_are_real(self, root: Path) -> None:
        (root / "repo/.git").mkdir(parents=True)
        (root / "link").symlink_to("repo")
        assert levels(str(root / "link")) == (str(root / "repo"),)


class TestTrees:
    def test_every_mark_makes_a_tree(self, root: Path) -> None:
        for number, mark in enumerate([*TREES, *ENVIRONMENTS, *PROJECTS]):
            repo = root / f"{number}"
            put(repo / mark)
            (repo / "sub").mkdir()
            assert tree_of(repo / "home", repo / "sub") == str(repo), mark
            assert tree_of(root / "elsewhere", repo / "sub") == "", mark

    def test_outer_trees_count(self, root: Path) -> None:
        (root / "outer/.git").mkdir(parents=True)
        put(root / "outer/inner/.git", "gitdir: ../.git/modules/inner")
        assert tree_of(root / "outer/home", root / "outer/inner") == str(root / "outer")

    @pytest.mark.parametrize("mark", [".envrc", "mise.toml", ".devcontainer"])
    def test_what_sets_variables_counts_above_a_repository(self, root: Path, mark: str) -> None:
        put(root / "outer" / mark)
        (root / "outer/inner/.git").mkdir(parents=True)
        assert tree_of(root / "outer/home", root / "outer/inner") == str(root / "outer")

    def test_other_project_files_do_not(self, root: Path) -> None:
        put(root / "outer/package.json")
        (root / "outer/inner/.git").mkdir(parents=True)
        assert tree_of(root / "outer/home", root / "outer/inner") == ""

    def test_without_a_repository_every_folder_with_project_files_counts(self, root: Path) -> None:
        put(root / "outer/package.json")
        put(root / "outer/packages/inner/package.json")
        cwd = root / "outer/packages/inner"
        assert tree_of(root / "outer/home", cwd) == str(root / "outer")

    def test_a_home_of_dotfiles_does_not_make_a_tree_below_it_a_repository(
        self, root: Path
    ) -> None:
        (root / "ada/.git").mkdir(parents=True)
        put(root / "ada/evil/opencode.json")
        (root / "ada/evil/sub").mkdir()
        found = tree_of(root / "ada/evil/cfg", root / "ada/evil/sub", account=str(root / "ada"))
        assert found == str(root / "ada/evil")

    def test_the_directory_itself_counts_without_marks(self, root: Path) -> None:
        cwd = root / "plain"
        cwd.mkdir()
        assert tree_of(cwd / "home", cwd) == str(cwd)
        assert tree_of(root / "home", cwd) == ""

    def test_a_home_one_stands_in_is_no_tree_without_marks(self, root: Path) -> None:
        assert tree_of(root / ".config", root, home=str(root)) == ""
        put(root / ".envrc")
        assert tree_of(root / ".config", root, home=str(root)) == str(root)

    def test_the_accounts_home_and_what_it_lies_in_are_no_trees(self, root: Path) -> None:
        home = root / "homes/ada"
        for directory in (home, root / "homes"):
            (directory / ".git").mkdir(parents=True)
        put(home / "evil/.envrc")
        around = {"cwd": home / "evil", "account": str(home)}
        assert tree_of(home / ".config", **around) == ""
        assert tree_of(root / "homes/x", **around) == ""
        assert tree_of(home / "evil/x", **around) == str(home / "evil")

    def test_the_root_and_shared_directories_are_no_trees(self, root: Path) -> None:
        shared = root / "tmp"
        put(shared / "package.json")
        (shared / "x/project").mkdir(parents=True)
        shared.chmod(0o1777)
        assert tree_of(shared / "x/home", shared / "x/project") == ""
        assert tree_of("/anywhere", Path("/")) == ""

    @pytest.mark.parametrize("prefix", ["/usr", "/usr/local"])
    def test_the_systems_prefixes_are_no_trees(self, prefix: str) -> None:
        assert tree_of(f"{prefix}/bin/opencode", Path(prefix)) == ""

    def test_a_home_around_the_project(self, root: Path) -> None:
        (root / "project/.git").mkdir(parents=True)
        for name in (".opencode", ".claude", ".vscode"):
            (root / name).mkdir()
        assert tree_of(root, root / "project", home=str(root)) == ""
        assert tree_of(root / ".config", root / "project", home=str(root)) == ""


class TestSpellings:
    @pytest.fixture
    def repo(self, root: Path) -> Path:
        (root / "repo/.git").mkdir(parents=True)
        (root / "repo/cfg").mkdir()
        (root / "out").mkdir()
        return root / "repo"

    @pytest.mark.parametrize(
        "spelled",
        [
            "repo", "repo/", "repo/.", "repo/cfg", "repo//cfg/", "repo/missing/deep",
            "out/../repo/cfg", "out/in", "out/in/cfg", "out/deep/x", "out/relative", "out/two",
            "repo/leads-out", "repo/leads-out/x",
        ],
    )  # fmt: skip
    def test_inside(self, root: Path, repo: Path, spelled: str) -> None:
        (root / "out/in").symlink_to(repo)
        (root / "out/deep").symlink_to(repo / "cfg")
        (root / "out/relative").symlink_to("../repo/cfg")
        (root / "out/two").symlink_to("in")
        (repo / "leads-out").symlink_to(root / "out")
        assert tree_of(f"{root}/{spelled}", repo) == str(repo)

    @pytest.mark.parametrize("spelled", ["out", "out/x", "repo/../out", "repository", "rep", "."])
    def test_outside(self, root: Path, repo: Path, spelled: str) -> None:
        assert tree_of(f"{root}/{spelled}", repo) == ""

    def test_a_loop_of_links_ends(self, root: Path, repo: Path) -> None:
        (root / "a").symlink_to("b")
        (root / "b").symlink_to("a")
        assert tree_of(root / "a/x", repo) == ""
        assert len(way(f"{root}/a/x")) < 100

    def test_another_case_where_the_file_system_has_none(
        self, repo: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.stat

        def stat(path: object, **how: object) -> os.stat_result:
            return real(str(path).replace("REPO", "repo"), **how)

        monkeypatch.setattr(os, "stat", stat)
        assert tree_of(str(repo / "cfg").replace("repo", "REPO"), repo) == str(repo)

    def test_as_the_shell_spells_it(self, root: Path, repo: Path) -> None:
        """direnv looks in the parents of PWD, which may be reached through a link."""
        put(root / "evil/.envrc")
        (root / "evil/link").symlink_to(repo)
        around = Around([str(repo), str(root / "evil/link")], "/nowhere", lambda: "")
        assert around.tree_of(str(root / "evil/home")) == str(root / "evil")

    def test_a_bind_mount(self, root: Path, repo: Path) -> None:
        if os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
            pytest.skip("needs the right to mount")
        (root / "mounted").mkdir()
        script = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
            "from guard.files.around import Around\n"
            f"around = Around([{str(repo)!r}], '', lambda: '')\n"
            f"print(around.tree_of({str(root)!r} + '/mounted/cfg'))"
        )
        mounted = f'mount --bind {repo} {root}/mounted && exec python3 -c "$1"'
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", mounted, "sh", script],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == str(repo)
