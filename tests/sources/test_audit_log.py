"""The audit log, read while it is written, cut, rotated and spoilt."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard import audit
from guard.files.read import UnreadableError
from guard.sources.audit_log import Log, parse


def line(number: int, **more: object) -> str:
    content = {"time": "2026-11-28T12:00:00Z", "decision": "launched", "number": number, **more}
    return json.dumps(content) + "\n"


def numbers(entries: list[object]) -> list[int]:
    return [entry.content["number"] for entry in entries]  # type: ignore[attr-defined]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    log = Log(str(path))
    yield log
    log.close()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_both_files_the_older_first(path: Path, log: Log) -> None:
    append(path.with_suffix(".jsonl.1"), line(1) + line(2))
    append(path, line(3))
    assert numbers(log.read()) == [1, 2, 3]


def test_nothing_yet(log: Log) -> None:
    assert log.read() == []
    assert log.more() == []


def test_damaged_lines_are_counted(path: Path, log: Log) -> None:
    append(path, "{\n" + line(1) + '["time"]\n\n' + line(2)[:20] + "\n" + "[" * 100_000 + "\n")
    append(path, '{"time": "yesterday", "decision": "launched"}\n')
    append(path, '{"time": "2026-11-28T12:00:00Z", "decision": 5}\n')
    append(path, '{"time": "2026-11-28T12:00:00Z"}\n' + line(3))
    assert numbers(log.read()) == [1, 3]
    assert log.damaged == 7


def test_what_has_no_end_yet_is_an_entry_once_it_has(path: Path, log: Log) -> None:
    append(path, line(1) + line(2)[:30])
    assert numbers(log.read()) == [1]
    assert log.more() == []
    append(path, line(2)[30:])
    assert numbers(log.more()) == [2]
    assert log.damaged == 0


def test_a_log_that_begins_later(path: Path, log: Log) -> None:
    log.read()
    append(path, line(1))
    assert numbers(log.more()) == [1]


def test_a_log_that_is_moved_away_is_read_to_its_end(path: Path, log: Log) -> None:
    append(path, line(1))
    log.read()
    append(path, line(2))
    os.replace(path, f"{path}.1")
    assert numbers(log.more()) == [2]
    assert log.more() == []
    append(path, line(3))
    assert numbers(log.more()) == [3]


def test_a_log_that_is_emptied_where_it_lies(path: Path, log: Log) -> None:
    append(path, line(1) + line(2))
    log.read()
    path.write_text(line(3))
    assert numbers(log.more()) == [3]


def test_a_log_that_moves_between_two_opens_is_met_once(
    path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(path, line(1))
    real = os.open

    def opens(name: str, *flags: int) -> int:
        handle = real(name, *flags)
        if name == str(path):
            os.replace(path, f"{path}.1")
        return handle

    monkeypatch.setattr(os, "open", opens)
    assert numbers(log.read()) == [1]


def test_the_rotation_of_the_writer_itself(tmp_path: Path) -> None:
    """What `guard.audit` writes while it rotates is followed without a gap."""
    environ = {"HOME": str(tmp_path)}
    log = Log(audit.log_file(environ))
    seen = list(log.read())
    for number in range(12):
        reason = f"{number} " + "x" * 300_000
        audit.record_exception("allowed", environ, subject="port:1", until="", reason=reason)
        seen += log.more()
    log.close()
    assert [int(entry.text("reason").split()[0]) for entry in seen] == list(range(12))


@pytest.mark.parametrize("kind", ["directory", "pipe", "link"])
def test_what_is_no_file_is_not_read(path: Path, log: Log, kind: str) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/etc/passwd")
    with pytest.raises(
        UnreadableError, match="is a link" if kind == "link" else "not a regular file"
    ):
        log.read()


def test_only_the_end_of_a_huge_log(path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.sources.audit_log.MAX_BYTES", 200)
    append(path, "".join(line(number) for number in range(100)))
    found = numbers(log.read())
    assert found == list(range(100 - len(found), 100))
    assert 0 < len(found) < 5
    assert log.damaged == 0


def test_fields_of_another_type_are_empty() -> None:
    entry = parse(line(1, agent=5, rules=["RG101", 7], removed="X").encode())
    assert entry is not None
    assert (entry.text("agent"), entry.texts("rules"), entry.texts("removed")) == (
        "", ["RG101"], []
    )  # fmt: skip


@given(st.binary(max_size=300))
def test_no_line_is_an_error(data: bytes) -> None:
    parse(data)
