"""allowed.toml: part of the user layer, judged like it, and never lost by a change."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from guard.errors import GuardError, PolicyError
from guard.policy import allowed
from guard.policy.model import Exemption
from guard.policy.places import allowed_file, user_policy
from guard.policy.problems import InvalidPolicyError

ROOT = Path(__file__).parents[2]
BLOCK = "[[exception]]\nsubject = '%s'\nreason = 'r'\nuntil = %s\n"


def exemption(subject: str = "port:4000", reason: str = "r", **fields: object) -> Exemption:
    return Exemption.model_validate(
        {"subject": subject, "reason": reason, "until": date(2100, 1, 1), **fields}
    )


@pytest.fixture
def path(machine) -> Path:
    return machine.user.parent / "allowed.toml"


class TestLayer:
    def test_counts_without_a_policy(self, machine, path):
        allowed.add(machine.environ, exemption())
        policy = machine.load()
        assert policy.excepted("port:4000").reason == "r"
        assert policy.layers == (("user", str(path)),)

    def test_counts_beside_a_policy(self, machine, path):
        machine.write(machine.user, BLOCK % ("env:A_B", "2100-01-01"))
        machine.write(path, BLOCK % ("env:C_D", "2100-01-01"))
        policy = machine.load()
        assert policy.excepted("env:A_B")
        assert policy.excepted("env:C_D")
        assert [place for _, place in policy.layers] == [str(machine.user), str(path)]

    def test_is_part_of_the_caches_identity(self, machine, path):
        assert machine.load().exceptions == ()
        machine.write(path, BLOCK % ("env:A_B", "2100-01-01"))
        assert machine.load().excepted("env:A_B")
        machine.write(path, BLOCK % ("env:C_D", "2100-01-01"))
        assert machine.load().excepted("env:A_B") is None
        path.unlink()
        assert machine.load().exceptions == ()

    def test_system_refuses_it(self, machine, path):
        machine.write(machine.system, "user_exceptions = 'refuse'")
        machine.write(path, BLOCK % ("env:A_B", "2100-01-01"))
        policy = machine.load()
        assert policy.exceptions == ()
        (note,) = policy.notes
        assert f"{path}:1: exception[0] dropped" in note

    @pytest.mark.parametrize(
        "text",
        [
            "schema = 1\n",
            "user_exceptions = 'accept'\n",
            "[gateway]\nbase_url = 'https://evil.example/v1'\n",
            "[keys]\naction = 'flag'\n",
            "[environment]\n",
            "nonsense = 1\n",
        ],
    )
    def test_holds_exceptions_only(self, machine, path, text):
        machine.write(path, BLOCK % ("env:A_B", "2100-01-01") + "\n")
        machine.write(path, text + path.read_text() if "[" not in text else path.read_text() + text)
        with pytest.raises(InvalidPolicyError) as caught:
            machine.load()
        (problem,) = caught.value.problems
        assert problem.accepted == "[[exception]]"
        assert problem.file == str(path)
        assert problem.line == (1 if "[" not in text else 6)

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            (BLOCK % ("env:A_B", "soon"), 4),
            (BLOCK % ("nothing", "2100-01-01"), 2),
            ("\n[[exception]]\nsubject = 'env:A_B'\n", 2),
            ("[[exception]]\nsubject =", 2),
            ("exception = 1", 1),
        ],
    )
    def test_damage_has_its_place(self, machine, path, text, line):
        machine.write(path, text)
        with pytest.raises(InvalidPolicyError) as caught:
            machine.load()
        assert caught.value.problems[0].file == str(path)
        assert caught.value.problems[0].line == line
        assert caught.value.exit_code == 3

    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
    def test_others_may_not_write_it(self, machine, path, mode):
        machine.write(path, BLOCK % ("env:A_B", "2100-01-01"), mode)
        with pytest.raises(PolicyError, match="others can write"):
            machine.load()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_of_somebody_else(self, machine, path):
        machine.write(path, BLOCK % ("env:A_B", "2100-01-01"))
        os.chown(path, 12345, 12345)
        with pytest.raises(PolicyError, match="belongs to another user"):
            machine.load()

    def test_a_repository_does_not_bring_it(self, machine):
        (machine.work / ".git").mkdir()
        planted = machine.work / "config" / "routeguard"
        planted.mkdir(parents=True)
        machine.write(planted / "allowed.toml", BLOCK % ("env:A_B", "2100-01-01"))
        machine.environ["XDG_CONFIG_HOME"] = str(machine.work / "config")
        with pytest.raises(PolicyError, match="inside the project") as caught:
            machine.load()
        assert caught.value.where == "environment variable XDG_CONFIG_HOME"
        assert caught.value.rule == "RG504"

    @pytest.mark.parametrize(
        ("written", "asked"),
        [
            ("proxy:[::1]:4000", "proxy:::1:4000"),
            ("proxy:LOCALHOST:4000", "proxy:localhost:4000"),
            ("proxy:localhost:04000", "proxy:localhost:4000"),
            ("port:04000", "port:4000"),
            ("server:https://h/a/", "server:https://h/a"),
        ],
    )
    def test_spellings(self, machine, path, written, asked):
        machine.write(path, BLOCK % (written, "2100-01-01"))
        assert machine.load().excepted(asked)
        assert machine.load().excepted(written)


class TestChange:
    def test_file_is_private_and_says_who_writes_it(self, machine, path):
        os.umask(0)
        allowed.add(machine.environ, exemption())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().startswith("# Written by `routeguard allow`")

    def test_directory_is_made(self, machine, path):
        machine.user.parent.rmdir()
        allowed.add(machine.environ, exemption())
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        reason=st.from_regex(r"[^\x00-\x1f\x7f-\x9f]{1,40}", fullmatch=True).filter(str.strip),
        path=st.from_regex(r"/[^\x00-\x1f\x7f]{0,40}", fullmatch=True),
    )
    @example(reason="say \"so\" ''' C:\\new\\table", path="/a b/\"c'\\d")
    def test_what_is_written_is_read_back(self, machine, reason, path):
        added = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        entry = exemption(f"file:{path}", reason, sha256="a" * 64, added=added)
        allowed.add(machine.environ, entry)
        assert entry in allowed.entries(machine.environ)
        allowed.revoke(machine.environ, [f"file:{path}"])

    def test_same_subject_is_replaced(self, machine):
        allowed.add(machine.environ, exemption("server:https://h/", "first"))
        change = allowed.add(machine.environ, exemption("server:https://h", "second"))
        assert [entry.reason for entry in change.replaced] == ["first"]
        assert [entry.reason for entry in allowed.entries(machine.environ)] == ["second"]

    def test_expired_go_with_the_next_write(self, machine, path):
        over = BLOCK % ("env:OLD_ONE", "2020-01-01")
        machine.write(path, over + BLOCK % ("env:A_B", "2100-01-01"))
        change = allowed.add(machine.environ, exemption())
        assert [entry.subject for entry in change.expired] == ["env:OLD_ONE"]
        subjects = [entry.subject for entry in allowed.entries(machine.environ)]
        assert subjects == ["env:A_B", "port:4000"]

    def test_without_writing(self, machine, path):
        change = allowed.add(machine.environ, exemption(), write=False)
        assert [entry.subject for entry in change.kept] == ["port:4000"]
        assert not path.exists()

    def test_revoke_leaves_nothing_behind(self, machine, path):
        allowed.add(machine.environ, exemption())
        change = allowed.revoke(machine.environ, ["port:04000"])
        assert [entry.subject for entry in change.revoked] == ["port:4000"]
        assert list(path.parent.iterdir()) == []

    def test_revoke_of_another_changes_nothing(self, machine, path):
        allowed.add(machine.environ, exemption())
        before = path.stat().st_ino, path.read_bytes()
        assert allowed.revoke(machine.environ, ["port:4001"]).revoked == ()
        assert (path.stat().st_ino, path.read_bytes()) == before

    def test_linked_file_stays_a_link(self, machine, path, tmp_path):
        real = tmp_path / "dotfiles.toml"
        machine.write(real, "")
        path.symlink_to(real)
        allowed.add(machine.environ, exemption())
        assert "port:4000" in real.read_text()
        allowed.revoke(machine.environ, None)
        assert path.is_symlink()
        assert "[[exception]]" not in real.read_text().replace("only [[exception]]", "")

    @pytest.mark.parametrize(
        "text",
        [
            "[[exception]]\nsubject = 'env:A_B'\n",
            "not TOML",
            b"\xff\xfe",
            "[keys]\naction = 'flag'\n",
        ],
    )
    def test_damaged_is_not_touched(self, machine, path, text):
        machine.write(path, text)
        before = path.read_bytes()
        for change in (
            lambda: allowed.add(machine.environ, exemption()),
            lambda: allowed.revoke(machine.environ, None),
        ):
            with pytest.raises(PolicyError):
                change()
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]

    def test_too_many(self, machine, path):
        machine.write(
            path, "".join(BLOCK % (f"env:A_{number}", "2100-01-01") for number in range(1000))
        )
        before = path.read_bytes()
        with pytest.raises(GuardError, match="too many"):
            allowed.add(machine.environ, exemption())
        assert path.read_bytes() == before

    def test_disk_full_leaves_the_old_one(self, machine, path, monkeypatch):
        allowed.add(machine.environ, exemption())
        before = path.read_bytes()

        def full(fd):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(GuardError, match="cannot write") as caught:
            allowed.add(machine.environ, exemption("port:4001"))
        assert caught.value.why == "No space left on device"
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]

    def test_lock_that_is_held(self, machine, path, monkeypatch):
        monkeypatch.setattr(allowed, "_WAIT", 0.1)
        fd = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with pytest.raises(GuardError, match="another routeguard"):
                allowed.add(machine.environ, exemption())
        finally:
            os.close(fd)
        allowed.add(machine.environ, exemption())

    def test_many_at_once_lose_none(self, machine):
        script = (
            "import sys; from datetime import date; from guard.policy import allowed\n"
            "from guard.policy.model import Exemption\n"
            "for number in range(5):\n"
            "    allowed.add({'HOME': sys.argv[1]}, Exemption.model_validate({'subject':\n"
            "        f'env:P{sys.argv[2]}_{number}', 'reason': 'r', 'until': date(2100, 1, 1)}))\n"
        )
        running = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(machine.home), str(number)],
                cwd=ROOT,
                stderr=subprocess.PIPE,
            )
            for number in range(6)
        ]
        for process in running:
            _, err = process.communicate(timeout=120)
            assert (process.returncode, err) == (0, b"")
        found = {entry.subject for entry in allowed.entries(machine.environ)}
        assert found == {f"env:P{one}_{two}" for one in range(6) for two in range(5)}


def test_expired_is_not_honoured(machine, path):
    moment = datetime.now(UTC) - timedelta(seconds=5)
    machine.write(path, BLOCK % ("port:4000", moment.isoformat()))
    assert machine.load().excepted("port:4000") is None


def test_is_beside_the_policy(machine, path):
    assert allowed_file(user_policy(machine.environ)) == str(path)
