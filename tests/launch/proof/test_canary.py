"""Canaries are found however they were written, wherever they were left."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from guard.launch.proof.canary import DIRECT_KEYS, CanarySearch, forms, plant

VALUE = "canary0123456789abcdef0123456789abcdef01"
SEARCH = CanarySearch({"THE_KEY": VALUE, "OTHER": "canaryfedcba98765432100000000000000000fe"})


def test_planted_values_are_fresh_and_of_letters_and_digits() -> None:
    one, two = plant(), plant()
    assert set(one) == set(DIRECT_KEYS)
    assert len({*one.values(), *two.values()}) == 2 * len(DIRECT_KEYS)
    assert all(value.isalnum() and len(value) == 40 for value in one.values())


@pytest.mark.parametrize(
    "left",
    [
        VALUE.encode(),
        f"Bearer {VALUE}, and more".encode(),
        VALUE[::-1].encode(),
        VALUE.encode("utf-16-le"),
        VALUE.encode().hex().encode(),
        VALUE.encode().hex().upper().encode(),
        base64.b64encode(f":{VALUE}".encode()),
        base64.b64encode(f"ab{VALUE}tail".encode()),
        base64.urlsafe_b64encode(f"abc{VALUE}t".encode()),
        base64.b64encode(VALUE.encode()),
    ],
)
def test_found_in_any_form(left: bytes) -> None:
    assert SEARCH.found(b"before " + left + b" after") == {"THE_KEY"}


def test_nothing_is_found_where_nothing_is() -> None:
    assert SEARCH.found(VALUE[:-1].encode()) == set()
    assert SEARCH.found(b"") == set()


def test_forms_are_long_enough_not_to_meet_by_chance() -> None:
    assert min(map(len, forms(VALUE))) >= 40


def test_found_in_files_names_and_links(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_bytes(b"x" * 100 + VALUE.encode())
    (tmp_path / VALUE).write_bytes(b"")
    (tmp_path / "link").symlink_to(f"/nowhere/{VALUE}")
    (tmp_path / "clean").write_bytes(b"nothing")
    os.mkfifo(tmp_path / "pipe")
    assert sorted(SEARCH.found_under(str(tmp_path))) == [
        ("THE_KEY", str(tmp_path / path)) for path in sorted((VALUE, "deep/log", "link"))
    ]


def test_found_across_the_edge_of_a_chunk(tmp_path: Path) -> None:
    file = tmp_path / "big"
    for before in ((1 << 20) - 20, (1 << 20) - len(VALUE), (1 << 20)):
        file.write_bytes(b"." * before + VALUE.encode() + b"." * 100)
        assert list(SEARCH.found_under(str(tmp_path))) == [("THE_KEY", str(file))]


def test_what_goes_while_it_is_searched_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.lock", "b.lock", "c.lock"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("a.lock")
    (tmp_path / "z").write_text(VALUE)
    looked_at = os.path.islink

    def gone(path: str) -> bool:
        """What it is, and then it goes."""
        found = looked_at(path)
        if path.endswith("lock") and os.path.isdir(path):
            os.rmdir(path)
        elif path.endswith(("file", "link")) and os.path.lexists(path):
            os.unlink(path)
        return found or path.endswith("file")

    monkeypatch.setattr(os.path, "islink", gone)
    assert list(SEARCH.found_under(str(tmp_path))) == [("THE_KEY", str(tmp_path / "z"))]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        list(SEARCH.found_under(str(tmp_path / "absent")))
