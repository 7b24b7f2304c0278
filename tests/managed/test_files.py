"""What `managed` writes below a root, and that it takes all of it away again."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.cli import main
from guard.errors import GuardError, PolicyError, UsageError
from guard.managed import files, ground
from guard.managed.ground import Ground

POLICY = '[agents]\nguard = ["codex"]\n[agents.codex]\nprovider = "@openai-prod"\n'
CONFIG, LIMITS = "etc/codex/managed_config.toml", "etc/codex/requirements.toml"
Run = Callable[..., int]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "image"
    policy = place / "etc" / "routeguard" / "policy.toml"
    policy.parent.mkdir(parents=True)
    for folder in (place, place / "etc", policy.parent):
        folder.chmod(0o755)
    policy.write_text(POLICY)
    policy.chmod(0o644)
    return place


@pytest.fixture
def managed(root: Path) -> Run:
    def run(verb: str, *words: str) -> int:
        return main(["managed", verb, "--root", str(root), *words])

    return run


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = (stat.S_IMODE(path.lstat().st_mode), content)
    return found


def test_install_status_and_remove(
    root: Path, managed: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(root)
    assert managed("status") == 1
    assert managed("diff") == 1
    assert managed("install", "--dry-run") == 0
    assert tree(root) == before
    assert managed("install", "--program", "/usr/bin/routeguard") == 0
    assert stat.S_IMODE((root / CONFIG).stat().st_mode) == 0o644
    assert managed("status") == 0
    assert managed("diff") == 0
    once = tree(root)
    capsys.readouterr()
    assert managed("install", "--json") == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [step["action"] for step in steps] == ["unchanged", "unchanged"]
    assert tree(root) == once
    assert managed("remove") == 0
    assert tree(root) == before


def test_a_changed_policy_is_outdated_until_it_is_installed(root: Path, managed: Run) -> None:
    before = tree(root)
    managed("install")
    policy = root / "etc/routeguard/policy.toml"
    policy.write_text(POLICY + 'model = "gpt-5.5"\n')
    assert managed("status") == 1
    assert managed("install") == 0
    assert 'model = "gpt-5.5"' in (root / CONFIG).read_text()
    policy.write_text('[agents]\nguard = ["opencode"]\n')
    assert managed("install") == 0
    assert not (root / CONFIG).exists()
    policy.write_text(POLICY)
    assert managed("remove") == 0
    assert tree(root) == before


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_file_of_somebody_else_is_left_or_kept_aside(root: Path, managed: Run, mode: int) -> None:
    (root / "etc/codex").mkdir(mode=0o755)
    (root / LIMITS).write_text('allowed_sandbox_modes = ["read-only"]\n')
    (root / LIMITS).chmod(mode)
    before = tree(root)
    with pytest.raises(GuardError) as refused:
        managed("install")
    assert refused.value.exit_code == 1
    assert LIMITS in refused.value.where
    assert CONFIG not in refused.value.where
    assert tree(root) == before
    assert managed("status") == 1
    assert managed("install", "--replace") == 0
    assert (root / f"{LIMITS}.before-routeguard").exists()
    assert managed("status") == 0
    assert managed("remove") == 0
    assert tree(root) == before


def test_the_same_content_of_somebody_else_stays(root: Path, managed: Run) -> None:
    managed("install")
    same = (root / LIMITS).read_bytes()
    managed("remove")
    (root / "etc/codex").mkdir(mode=0o755)
    (root / LIMITS).write_bytes(same)
    before = tree(root)
    assert managed("install") == 0
    assert managed("remove") == 0
    assert tree(root) == before
    # and it is put back where the policy has asked for another one since
    managed("install")
    policy = root / "etc/routeguard/policy.toml"
    policy.write_text(POLICY + 'mcp = ["docs"]\n')
    assert managed("install") == 0
    assert (root / LIMITS).read_bytes() != same
    policy.write_text(POLICY)
    assert managed("remove") == 0
    assert tree(root) == before


def test_what_somebody_changed_stays(
    root: Path, managed: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    managed("install")
    with (root / CONFIG).open("a") as file:
        file.write("# mine\n")
    capsys.readouterr()
    assert managed("status") == 1
    assert f"sudo routeguard managed install --replace --root {root}" in capsys.readouterr().out
    with pytest.raises(GuardError, match="not routeguard's"):
        managed("install")
    assert managed("remove") == 1
    assert (root / CONFIG).read_text().endswith("# mine\n")
    assert managed("install", "--replace") == 0
    assert (root / f"{CONFIG}.changed").read_text().endswith("# mine\n")
    assert managed("remove") == 0
    assert not (root / CONFIG).exists()


def test_what_is_in_the_way_of_a_name_is_not_overwritten(root: Path, managed: Run) -> None:
    (root / "etc/codex").mkdir(mode=0o755)
    for name in (LIMITS, f"{LIMITS}.before-routeguard"):
        (root / name).write_text("# theirs\n")
    before = tree(root)
    with pytest.raises(GuardError, match="in the way"):
        managed("install", "--replace")
    assert tree(root) == before


def test_a_link_is_not_followed(root: Path, managed: Run, tmp_path: Path) -> None:
    (root / "etc/codex").mkdir(mode=0o755)
    (tmp_path / "elsewhere").write_text("")
    (root / LIMITS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GuardError, match="cannot look at") as refused:
        managed("install", "--replace")
    assert refused.value.why == "it is a link"
    assert refused.value.fix.endswith(f"sudo mv {root / LIMITS} {root / LIMITS}.old")
    assert (tmp_path / "elsewhere").read_text() == ""


def test_an_interrupted_install_can_be_taken_away(
    root: Path, managed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(root)
    (root / "etc/codex").mkdir(mode=0o755)
    (root / LIMITS).write_text("# theirs\n")
    before = tree(root)
    put = Ground.put
    left: list[int] = []

    def fails(where: Ground, path: str, content: bytes) -> None:
        left[0] -= 1
        if not left[0]:
            raise GuardError("out of power")
        put(where, path, content)

    for stop in (2, 3, 4):
        left[:] = [stop]
        monkeypatch.setattr(Ground, "put", fails)
        with pytest.raises(GuardError, match="out of power"):
            managed("install", "--replace")
        monkeypatch.setattr(Ground, "put", put)
        assert managed("remove") == 0
        assert tree(root) == before


def test_an_interrupted_install_forgets_no_file_of_an_agent_that_leaves_the_policy(
    root: Path, managed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(root)
    managed("install")
    policy = root / "etc/routeguard/policy.toml"
    text = policy.read_text()
    policy.write_text('[agents]\nguard = ["opencode"]\n')

    def fails(*_: object) -> None:
        raise GuardError("out of power")

    monkeypatch.setattr(files, "_carry_out", fails)
    with pytest.raises(GuardError, match="out of power"):
        managed("install")
    monkeypatch.undo()
    assert (root / CONFIG).exists()
    assert managed("remove") == 0
    policy.write_text(text)
    assert tree(root) == before


def test_a_directory_that_others_can_write_gets_nothing(root: Path, managed: Run) -> None:
    (root / "etc/codex").mkdir()
    (root / "etc/codex").chmod(0o777)
    with pytest.raises(GuardError, match="others than root could change"):
        managed("install")
    assert list((root / "etc/codex").iterdir()) == []
    (root / "etc/codex").chmod(0o755)
    managed("install")
    (root / CONFIG).chmod(0o666)
    assert managed("status") == 1


def test_a_file_that_others_can_write_is_written_anew(root: Path, managed: Run) -> None:
    before = tree(root)
    managed("install")
    (root / CONFIG).chmod(0o666)
    assert managed("status") == 1
    assert managed("install") == 0
    assert managed("status") == 0
    same = (root / LIMITS).read_bytes()
    assert managed("remove") == 0
    assert tree(root) == before
    # somebody else's with the same content has its mode again afterwards
    (root / "etc/codex").mkdir(mode=0o755)
    (root / LIMITS).write_bytes(same)
    (root / LIMITS).chmod(0o666)
    before = tree(root)
    assert managed("install") == 0
    assert managed("status") == 0
    assert managed("remove") == 0
    assert tree(root) == before


def test_everybody_can_read_what_root_wrote_with_a_narrow_umask(root: Path, managed: Run) -> None:
    old = os.umask(0o077)
    try:
        assert managed("install") == 0
    finally:
        os.umask(old)
    for path in (root / CONFIG, root / "etc/routeguard/managed.json"):
        assert path.stat().st_mode & 0o044 == 0o044
    assert stat.S_IMODE((root / "etc/codex").stat().st_mode) == 0o755


def test_paths_that_are_typed_relative(
    root: Path, managed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    assert main(["managed", "install", "--root", root.name]) == 0
    assert managed("status") == 0
    policy = f"{root.name}/etc/routeguard/policy.toml"
    assert main(["managed", "render", "--policy", policy, "--to", "mdm"]) == 0
    assert (root.parent / "mdm" / CONFIG).exists()
    with pytest.raises(UsageError, match="absolute path"):
        main(["managed", "install", "--root", root.name, "--program", "bin/routeguard"])


def test_what_a_killed_install_left_is_taken_away(root: Path, managed: Run) -> None:
    before = tree(root)
    managed("install")
    for folder in ("codex", "routeguard"):
        (root / f"etc/{folder}/.routeguard-7-abcd.tmp").write_text("half")
    assert managed("remove") == 0
    assert tree(root) == before


def test_a_full_disk_leaves_the_file_of_somebody_else_in_force(
    root: Path, managed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "etc/codex").mkdir(mode=0o755)
    (root / LIMITS).write_text("# theirs\n")
    write = ground.write

    def full(path: str, *rest: Any, **more: Any) -> None:
        if path == str(root / LIMITS):
            raise OSError(28, "No space left on device")
        write(path, *rest, **more)

    monkeypatch.setattr(ground, "write", full)
    with pytest.raises(GuardError, match="could not be written"):
        managed("install", "--replace")
    assert (root / LIMITS).read_text() == "# theirs\n"


@pytest.mark.parametrize("after_the_look", [True, False])
def test_two_at_once(
    root: Path, managed: Run, monkeypatch: pytest.MonkeyPatch, after_the_look: bool
) -> None:
    before = tree(root)
    look = files.look

    def meanwhile(*words: Any) -> list[files.Place]:
        monkeypatch.setattr(files, "look", look)
        found = look(*words) if after_the_look else []
        managed("install")
        return found or look(*words)

    monkeypatch.setattr(files, "look", meanwhile)
    with pytest.raises(GuardError, match="at the same time"):
        managed("install")
    assert managed("status") == 0
    assert managed("remove") == 0
    assert tree(root) == before


def test_what_changes_while_it_is_taken_away_stays(
    root: Path, managed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed("install")
    look = files.look

    def meanwhile(*words: Any) -> list[files.Place]:
        found = look(*words)
        (root / LIMITS).write_text("# mine\n")
        return found

    monkeypatch.setattr(files, "look", meanwhile)
    with pytest.raises(GuardError, match="changed while"):
        managed("remove")
    assert (root / LIMITS).read_text() == "# mine\n"
    monkeypatch.undo()
    assert managed("remove") == 1
    assert (root / LIMITS).read_text() == "# mine\n"


@pytest.mark.parametrize("link", ["etc/codex", "etc/routeguard"])
def test_a_link_out_of_the_root_is_not_followed(
    root: Path, managed: Run, tmp_path: Path, link: str
) -> None:
    """As an image has them, whose links are meant for its own root."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    for path in (root / link).glob("*"):
        path.rename(elsewhere / path.name)
    before = tree(elsewhere)
    if (root / link).exists():
        (root / link).rmdir()
    (root / link).symlink_to(elsewhere)
    for verb in ("install", "status", "diff", "remove"):
        if (link, verb) != ("etc/codex", "remove"):  # of nothing
            with pytest.raises(GuardError, match="leads out of") as refused:
                managed(verb, *(["--replace"] if verb == "install" else []))
            assert refused.value.where == str(root / link)
    assert tree(elsewhere) == before


def test_a_link_inside_the_root_is_followed(root: Path, managed: Run) -> None:
    (root / "opt").mkdir(mode=0o755)
    for name in ("codex", "routeguard"):
        place = root / "opt" / name
        (root / "etc" / name).rename(place) if name == "routeguard" else place.mkdir(mode=0o755)
        (root / "etc" / name).symlink_to(f"../opt/{name}")
    before = tree(root)
    assert managed("install") == 0
    assert (root / "opt/codex/requirements.toml").exists()
    assert managed("status") == 0
    assert managed("remove") == 0
    assert tree(root) == before


def test_a_policy_that_is_gone_leaves_the_way_to_take_its_files_away(
    root: Path, managed: Run
) -> None:
    managed("install")
    (root / "etc/routeguard/policy.toml").unlink()
    for verb in ("status", "diff", "install"):
        with pytest.raises(PolicyError) as refused:
            managed(verb)
        assert refused.value.fix.endswith(f"\nsudo routeguard managed remove --root {root}")
        assert f"/{LIMITS}" in refused.value.why
    assert managed("remove") == 0
    assert not (root / "etc/codex").exists()
    with pytest.raises(PolicyError, match="no system policy"):
        managed("status")


def test_what_was_kept_comes_back_where_ours_was_deleted(root: Path, managed: Run) -> None:
    (root / "etc/codex").mkdir(mode=0o755)
    (root / LIMITS).write_text("# theirs\n")
    managed("install", "--replace")
    (root / LIMITS).unlink()
    # the agent leaves the policy
    (root / "etc/routeguard/policy.toml").write_text('[agents]\nguard = ["opencode"]\n')
    assert managed("install") == 0
    assert [path.name for path in (root / "etc/codex").iterdir()] == ["requirements.toml"]
    assert (root / LIMITS).read_text() == "# theirs\n"


def test_a_file_of_somebody_else_does_not_speak_to_the_terminal(
    root: Path, managed: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "etc/codex").mkdir(mode=0o755)
    (root / LIMITS).write_bytes(b"\xef\xbb\xbf# a\r\n\x1b]0;title\x07\xff\n")
    assert managed("diff") == 1
    told = capsys.readouterr().out
    assert "\n-\\ufeff# a\\r\n-\\x1b]0;title\\x07\ufffd\n" in told


def test_an_agent_that_leaves_the_policy_takes_nothing_along(root: Path, managed: Run) -> None:
    managed("install")
    same = (root / LIMITS).read_bytes()
    managed("remove")
    (root / "etc/codex").mkdir(mode=0o755)
    (root / LIMITS).write_bytes(same)
    (root / CONFIG).write_text("# theirs\n")
    before = tree(root)
    managed("install", "--replace")
    policy = root / "etc/routeguard/policy.toml"
    policy.write_text('[agents]\nguard = ["opencode"]\n')
    assert managed("install") == 0
    assert (root / LIMITS).read_bytes() == same
    assert (root / CONFIG).read_text() == "# theirs\n"
    # with a file that was changed, the same
    policy.write_text(POLICY)
    managed("install", "--replace")
    (root / CONFIG).write_text("# changed\n")
    policy.write_text('[agents]\nguard = ["opencode"]\n')
    with pytest.raises(GuardError) as refused:
        managed("install")
    assert f"install --replace --root {root}" in refused.value.fix
    assert managed("install", "--replace") == 0
    changed = root / f"{CONFIG}.changed"
    assert changed.read_text() == "# changed\n"
    changed.unlink()
    policy.write_text(POLICY)
    assert managed("remove") == 0
    assert tree(root) == before


def test_a_file_where_a_directory_has_to_be(root: Path, managed: Run) -> None:
    (root / "etc/codex").write_text("")
    before = tree(root)
    with pytest.raises(GuardError, match="where a directory has to be"):
        managed("install")
    assert tree(root) == before


@pytest.mark.parametrize("name", ["/etc/codex/../../../victim", "victim", "//etc/x"])
def test_a_memory_of_somebody_else_removes_nothing(root: Path, managed: Run, name: str) -> None:
    managed("install")
    memory = root / "etc/routeguard/managed.json"
    memory.chmod(0o666)
    for verb in ("remove", "install", "status", "diff"):
        with pytest.raises(GuardError, match="others than root"):
            managed(verb)
    assert (root / CONFIG).exists()
    memory.chmod(0o644)
    memory.write_text(memory.read_text().replace(f"/{CONFIG}", name))
    with pytest.raises(GuardError, match="cannot tell what routeguard wrote"):
        managed("remove")


def test_a_damaged_memory_stops(root: Path, managed: Run) -> None:
    managed("install")
    (root / "etc/routeguard/managed.json").write_text("{}")
    for verb in ("install", "remove", "status", "diff"):
        with pytest.raises(GuardError, match="cannot tell what routeguard wrote"):
            managed(verb)


def test_root_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for verb in ("install", "remove"):
        monkeypatch.setattr("sys.argv", ["routeguard", "managed", verb])
        with pytest.raises(GuardError) as refused:
            main(["managed", verb])
        assert refused.value.fix == f"sudo routeguard managed {verb}"


def test_a_tree_for_an_mdm(root: Path, tmp_path: Path) -> None:
    policy = str(root / "etc/routeguard/policy.toml")
    to = str(tmp_path / "mdm")
    words = ["managed", "render", "--platform", "macos", "--policy", policy, "--to", to]
    assert main(words) == 0
    first = tree(Path(to))
    assert {"routeguard.mobileconfig", "com.openai.codex.plist", CONFIG} <= first.keys()
    assert "Library/Application Support/routeguard/managed.json" in first
    assert main(words) == 0
    assert tree(Path(to)) == first
