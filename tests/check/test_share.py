"""Parts of a check in processes of their own: nothing is lost, whatever becomes of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from guard.check import engine, share
from guard.policy.values import CompiledPolicy
from guard.rule_table import RULES
from guard.sources import reading, tree

KEY = "sk-ant-" + "api03-" + "aB3dE5gH7jK9mN1pQ2" * 5 + "AA"
SETTINGS = engine.Settings(CompiledPolicy(), frozenset(RULES))


@pytest.fixture
def found(tmp_path: Path) -> tree.Tree:
    for number in range(13):
        (tmp_path / f"f{number}.py").write_text(f'k = "{KEY}"\n' if number % 3 else "nothing\n")
    (tmp_path / "f7.bin").write_bytes(b"\0" * 100)
    (tmp_path / "long.js").write_bytes(b"x" * (reading.LINE_LIMIT + 1))
    return tree.locate(["."], str(tmp_path)).collect()


def said(result: engine.Result) -> tuple[object, ...]:
    findings = [(f.rule, f.path, f.line, f.message, f.digest) for f in result.findings]
    return findings, result.fingerprints, result.files_checked, result.files_skipped, result.stats


@pytest.mark.parametrize("parts", [2, 3, 16])
def test_parts_find_what_the_whole_finds(
    found: tree.Tree, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = said(engine.check(found, SETTINGS))
    monkeypatch.setattr(share, "count", lambda size: parts)
    forked: list[int] = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forked.append(0) or fork())
    assert said(engine.check(found, SETTINGS)) == whole
    assert len(forked) == parts - 1
    assert len(whole[0]) == 9  # type: ignore[arg-type]


def work() -> str:
    """Done here if it has to be."""
    return f"done in {os.getpid()}"


def test_a_part_whose_process_is_killed_is_done_here() -> None:
    def stopped() -> str:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    here = os.getpid()
    assert share.Share(stopped).outcome() == "done"


def test_an_exception_in_a_part_is_heard() -> None:
    def fails() -> str:
        raise ValueError("of the part")

    with pytest.raises(ValueError, match="of the part"):
        share.Share(fails).outcome()


@pytest.mark.parametrize("lacking", ["fork", "pipe"])
def test_without_another_process_all_is_done_here(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, lacking, refused)
    assert share.Share(work).outcome() == f"done in {os.getpid()}"


def test_a_part_that_nobody_waits_for_is_ended() -> None:
    def long() -> str:
        signal.pause()
        return ""

    one = share.Share(long)
    pid = one._pid
    one.end()
    one.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_few_bytes_take_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert share.count(share.FROM - 1) == 1
    assert share.count(100 * share.FROM) == share.MOST
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert share.count(100 * share.FROM) == 1


def test_a_part_is_done_where_nobody_hears_of_children() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert share.Share(lambda: "done").outcome() == "done"
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_process_that_nobody_waits_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    share.leave_if_alone()
    monkeypatch.setattr(share, "_asking", os.getppid())
    share.leave_if_alone()
    monkeypatch.setattr(share, "_asking", os.getpid())
    with pytest.raises(SystemExit):
        share.leave_if_alone()
