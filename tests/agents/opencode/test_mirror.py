"""No file of the user's is lost, whatever a program does in the stand-in directory."""

import os
import shutil

import pytest

from guard.agents.opencode import mirror as mirror_module
from guard.agents.opencode.mirror import Mirror


@pytest.fixture
def places(tmp_path):
    for name in ("ours", "real"):
        (tmp_path / name).mkdir()
    return tmp_path


def make(places):
    return Mirror(
        str(places / "ours"),
        str(places / "real"),
        str(places / "aside"),
        str(places / "manifest"),
    )


def everything(places):
    found = {}
    for base, _, files in os.walk(places):
        for name in files:
            path = os.path.join(base, name)
            if not os.path.islink(path):
                with open(path, encoding="utf-8") as file:
                    found[os.path.relpath(path, places)] = file.read()
    return found


def test_a_new_file_goes_home(places):
    (places / "ours" / "new").write_text("precious")
    make(places).collect("")
    assert (places / "real" / "new").read_text() == "precious"
    assert not (places / "ours" / "new").exists()


def test_a_new_folder_and_a_new_link_go_home(places):
    (places / "ours" / "tool").mkdir()
    (places / "ours" / "tool" / "f").write_text("precious")
    (places / "ours" / "link").symlink_to("/nowhere")
    make(places).collect("")
    assert (places / "real" / "tool" / "f").read_text() == "precious"
    assert os.readlink(places / "real" / "link") == "/nowhere"


def test_a_save_over_our_link_wins_and_the_older_text_is_kept(places):
    (places / "real" / "rc").write_text("old")
    os.utime(places / "real" / "rc", (1, 1))
    mirror = make(places)
    mirror.link("rc", str(places / "real" / "rc"))
    mirror.finish()
    (places / "ours" / "rc.new").write_text("new")
    os.replace(places / "ours" / "rc.new", places / "ours" / "rc")
    mirror = make(places)
    mirror.collect("")
    assert (places / "real" / "rc").read_text() == "new"
    assert "old" in everything(places / "aside").values()
    assert len(mirror.kept) == 1
    assert "aside" in mirror.kept[0]


def test_an_older_one_does_not_win(places):
    (places / "ours" / "rc").write_text("stale")
    os.utime(places / "ours" / "rc", (1, 1))
    (places / "real" / "rc").write_text("edited since")
    make(places).collect("")
    assert (places / "real" / "rc").read_text() == "edited since"
    assert "stale" in everything(places / "aside").values()


def test_code_never_goes_home(places):
    (places / "ours" / "plugin").mkdir()
    (places / "ours" / "plugin" / "e.js").write_text("evil")
    mirror = make(places)
    mirror.collect("", code=("plugin",))
    assert not (places / "real" / "plugin").exists()
    assert not (places / "ours" / "plugin").exists()
    assert mirror.kept


def test_what_we_wrote_is_ours_until_it_is_edited(places):
    mirror = make(places)
    mirror.write("x.json", "{}")
    mirror.finish()
    again = make(places)
    assert again.is_ours("x.json")
    again.collect("")
    assert (places / "ours" / "x.json").exists()
    (places / "ours" / "x.json").write_text("edited")
    again.collect("")
    assert (places / "real" / "x.json").read_text() == "edited"


def test_writing_moves_what_is_in_the_way_aside(places):
    (places / "ours" / "x").write_text("theirs")
    mirror = make(places)
    mirror.write("x", "ours")
    assert (places / "ours" / "x").read_text() == "ours"
    assert "theirs" in everything(places / "aside").values()


def test_dropping_never_removes_a_file_of_theirs(places):
    (places / "ours" / "x").write_text("theirs")
    make(places).drop("x")
    assert (places / "ours" / "x").read_text() == "theirs"


def test_another_file_system_is_crossed_by_copying(places, monkeypatch):
    real_rename = os.rename

    def rename(source, target):
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(18, "Invalid cross-device link")
        real_rename(source, target)

    def link(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(mirror_module.os, "rename", rename)
    monkeypatch.setattr(mirror_module.os, "link", link)
    (places / "ours" / "new").write_text("precious")
    (places / "ours" / "tool").mkdir()
    (places / "ours" / "tool" / "f").write_text("precious, too")
    make(places).collect("")
    assert (places / "real" / "new").read_text() == "precious"
    assert (places / "real" / "tool" / "f").read_text() == "precious, too"


def test_where_nothing_can_be_moved_it_stays(places, monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(mirror_module.os, "rename", refuse)
    monkeypatch.setattr(mirror_module.os, "link", refuse)
    monkeypatch.setattr(shutil, "copy2", refuse)
    (places / "ours" / "new").write_text("precious")
    mirror = make(places)
    mirror.collect("")
    mirror.finish()
    assert (places / "ours" / "new").read_text() == "precious"


def test_files_that_are_being_saved_are_left_alone(places):
    for name in ("a.tmp", "b~", ".c.swp", "d.lock"):
        (places / "ours" / name).write_text("half")
    make(places).collect("")
    assert len(everything(places / "ours")) == 4


def test_a_damaged_manifest_costs_no_file(places):
    mirror = make(places)
    mirror.write("x", "ours")
    mirror.finish()
    (places / "manifest").write_bytes(b"\xff\xfe nonsense\n12 x\n")
    again = make(places)
    again.collect("")
    assert everything(places / "real") == {"x": "ours"}
