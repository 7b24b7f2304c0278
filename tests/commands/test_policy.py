"""`routeguard policy …` as a user runs it: the real program, in a home of its own."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import forked
import pytest
from click.testing import CliRunner

from guard import paths
from guard.cli import main
from guard.commands.policy import policy as group

KEY = "pk-live-0123456789abcdefXYZ"


class Place:
    """A home and a working directory; runs the command in them."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.work = root / "work"
        self.home.mkdir()
        self.work.mkdir()
        self.user = self.home / ".config" / "routeguard" / "policy.toml"
        self.project = self.work / ".routeguard.toml"

    def __call__(self, *args: str, status: int = 0, **environ: str) -> str:
        done = forked.run(
            ["policy", *args],
            cwd=self.work,
            env={"HOME": str(self.home), "PATH": os.environ["PATH"], **environ},
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        self.err = done.stderr
        return done.stdout

    def shown(self, path: Path) -> str:
        return str(path).replace(str(self.home), "~")

    def json(self, *args: str, status: int = 0) -> dict:
        out = json.loads(self(*args, "--json", status=status))
        assert out["schema_version"] == 1
        return out

    def write_user(self, text: str, mode: int = 0o600) -> None:
        self.user.parent.mkdir(parents=True, exist_ok=True)
        self.user.write_text(text)
        self.user.chmod(mode)


@pytest.fixture
def run(tmp_path):
    if os.path.lexists(paths.SYSTEM_POLICY):
        pytest.fail(f"{paths.SYSTEM_POLICY} exists on this machine: these tests need it absent")
    return Place(tmp_path)


class TestInit:
    def test_writes_a_policy_that_works(self, run):
        assert "wrote  ~/.config/routeguard/policy.toml\n" in run("init")
        assert stat.S_IMODE(run.user.stat().st_mode) == 0o600
        assert [path.name for path in run.user.parent.iterdir()] == ["policy.toml"]
        assert run("validate") == f"ok: {run.shown(run.user)} (user)\n"

    def test_does_not_overwrite(self, run):
        run.write_user("# mine\n")
        assert run("init", status=3) == ""
        assert "--force" in run.err
        assert run.user.read_text() == "# mine\n"

    def test_force_keeps_the_old_one_each_time(self, run):
        run.write_user("# one\n")
        assert "policy.toml.bak\n" in run("init", "--force")
        run.user.write_text("# two\n")
        assert "policy.toml.bak2\n" in run("init", "--force")
        assert (run.user.parent / "policy.toml.bak").read_text() == "# one\n"
        assert (run.user.parent / "policy.toml.bak2").read_text() == "# two\n"
        assert run("validate").startswith("ok:")

    def test_force_without_a_file(self, run):
        assert "kept" not in run("init", "--force")

    def test_force_follows_a_link(self, run):
        target = run.home / "dotfiles.toml"
        target.write_text("# mine\n")
        run.user.parent.mkdir(parents=True)
        run.user.symlink_to(target)
        run("init", status=3)
        run("init", "--force")
        assert run.user.is_symlink()
        assert target.read_text().startswith("# routeguard")
        assert target.with_name("dotfiles.toml.bak").read_text() == "# mine\n"

    def test_dry_run_writes_nothing(self, run):
        text = run("init", "--dry-run")
        assert not (run.home / ".config").exists()
        run.write_user(text)
        run("validate")

    def test_project(self, run):
        run("init", "--project")
        assert stat.S_IMODE(run.project.stat().st_mode) & 0o600 == 0o600
        assert f"ok: {run.shown(run.project)} (project)" in run("validate")
        run("init", "--project", status=3)

    def test_directory_cannot_be_made(self, run):
        (run.home / ".config").write_text("in the way")
        run("init", status=3)
        assert "routeguard: " in run.err

    def test_xdg_config_home(self, run):
        run("init", XDG_CONFIG_HOME=str(run.home / "xdg"))
        assert (run.home / "xdg" / "routeguard" / "policy.toml").exists()


class TestValidate:
    def test_nothing_there(self, run):
        assert run("validate") == "ok: no policy file here; the defaults apply\n"

    def test_all_problems(self, run):
        run.write_user("[proxies]\nacton = 'stop'\n[keys]\naction = 'srub'\n")
        out = run("validate", status=3)
        assert f"{run.shown(run.user)}:2:1: proxies.acton: unknown key; accepted: action" in out
        assert "fix: did you mean action?" in out
        assert f'{run.shown(run.user)}:4:1: keys.action: not a known value; found "srub"' in out

    def test_problems_of_every_layer(self, run):
        run.write_user("a = 1")
        run.project.write_text("b = 1")
        out = run("validate", status=3)
        assert f"{run.shown(run.user)}:1:1" in out
        assert f"{run.shown(run.project)}:1:1" in out

    def test_problem_between_layers(self, run):
        run.write_user("[gateway]\ndefault = 'nobody/x'")
        out = run("validate", status=3)
        assert f"{run.shown(run.user)}:2:1: gateway.default: names a provider" in out
        # each is shown by itself; what results from them is nothing
        assert "gateway.default = " in run("show")
        for words in (("show", "--effective"), ("show", "--effective", "--json")):
            run(*words, status=3)
            assert "gateway.default: names a provider" in run.err

    def test_a_key_is_not_printed(self, run):
        run.write_user(f"[gateway]\nkey = '{KEY}'\n")
        for args in (("validate",), ("validate", "--json"), ("show",), ("show", "--effective")):
            out = run(*args, status=3)
            assert KEY not in out + run.err
        assert "rotate it" in run("validate", status=3)

    def test_others_can_write(self, run):
        run.write_user("", 0o666)
        out = run("validate", status=3)
        assert "others can write a policy file: its mode is 0666" in out
        assert "chmod go-w" in out

    def test_a_draft(self, run):
        draft = run.work / "draft.toml"
        draft.write_text("[gateway]\ndefault = 'portkey/x'\n")
        draft.chmod(0o666)
        assert run("validate", "draft.toml") == "ok: draft.toml (user)\n"
        draft.write_text("[gateway]\ndefault = 'x/x'\n")
        assert "draft.toml:2:1: gateway.default" in run("validate", "draft.toml", status=3)

    def test_files_by_their_role(self, run):
        run.project.write_text("[gateway]\nbase_url = 'https://evil.example'\n")
        (run.work / "pyproject.toml").write_text("[project]\nname = 'x'\n")
        out = run("validate", ".routeguard.toml", "pyproject.toml")
        assert "ok: .routeguard.toml (project)" in out
        assert "gateway.base_url dropped" in out
        assert "pyproject.toml: no [tool.routeguard] table" in out

    def test_the_users_own_by_name_is_judged(self, run):
        run.write_user("", 0o666)
        run("validate", str(run.user), status=3)

    def test_no_such_file(self, run):
        run("validate", "nope.toml", status=2)
        assert "no such file: nope.toml" in run.err

    def test_directory(self, run):
        assert "not a regular file" in run("validate", ".", status=3)

    def test_json(self, run):
        run.write_user("[proxies]\nacton = 'stop'\n")
        out = run.json("validate", status=3)
        assert out["valid"] is False
        assert out["files"] == [
            {
                "layer": "user",
                "path": str(run.user),
                "policy": True,
                "problems": [
                    {
                        "file": str(run.user),
                        "line": 2,
                        "column": 1,
                        "key": "proxies.acton",
                        "message": "unknown key",
                        "found": "",
                        "accepted": "action, fence, hold, prompt",
                        "fix": "did you mean action?",
                    }
                ],
                "notes": [],
            }
        ]
        run.user.unlink()
        assert run.json("validate") == {"schema_version": 1, "valid": True, "files": []}


class TestShow:
    def test_layers(self, run):
        run.write_user("[gateway]\nkey = { command = ['op', 'read', 'x'] }\n")
        run.project.write_text("[gateway]\nbase_url = 'https://evil.example'\n")
        out = run("show")
        assert "system   /etc/routeguard/policy.toml: absent" in out
        assert '     2  gateway.key.command = ["op", "read", "x"]' in out
        assert "     2  gateway.base_url: dropped: a project cannot choose" in out
        assert "evil" not in out

    def test_effective(self, run):
        run.write_user(
            "[proxies]\naction = 'stop'\n[keys]\nextra = ['A_TOKEN']\n"
            "[[exception]]\nsubject = 'env:X_Y'\nreason = 'old'\nuntil = 2020-01-01\n"
            "[[exception]]\nsubject = 'env:Z_Z'\nreason = 'new'\nuntil = 2100-01-01\n"
        )
        run.project.write_text("[proxies]\naction = 'flag'\n[keys]\nextra = ['B_TOKEN']\n")
        lines = [" ".join(line.split()) for line in run("show", "--effective").splitlines()]
        assert f'proxies.action = "stop" # user {run.shown(run.user)}:2' in lines
        assert 'keys.action = "scrub" # default' in lines
        assert f'keys.extra[] = "A_TOKEN" # user {run.shown(run.user)}:4' in lines
        assert f'keys.extra[] = "B_TOKEN" # project {run.shown(run.project)}:4' in lines
        assert 'gateway.providers.portkey.models = ["gpt-4o"] # default' in lines
        expired, valid = [line for line in lines if line.startswith("exception:")]
        assert expired.startswith("exception: EXPIRED, not applied: env:X_Y until 2020-01-01: old")
        assert valid.startswith("exception: env:Z_Z until 2100-01-01: new")
        assert (
            f"dropped: project policy {run.project}:2: proxies.action dropped:"
            ' "flag" is looser than "stop", which the user policy sets'
        ) in lines

    def test_effective_json(self, run):
        run.write_user(
            "[[exception]]\nsubject = 'env:X_Y'\nreason = 'old'\nuntil = 2020-01-01\n"
            "[gateway.providers.a]\nmodels = ['m']\n"
        )
        run.project.write_text("[environment]\nremove = ['A_B']\n[proxies]\naction = 'flag'\n")
        out = run.json("show", "--effective")
        assert out["values"]["gateway.default"]["value"] == "a/m"
        assert out["values"]["proxies.action"] == {
            "value": "refuse",
            "layer": "default",
            "file": "",
            "line": 0,
        }
        assert out["lists"]["environment.remove"][0]["layer"] == "project"
        assert out["exceptions"][0]["expired"] is True
        assert out["dropped"][0]["key"] == "proxies.action"
        assert out["layers"] == [
            {"layer": "user", "path": str(run.user)},
            {"layer": "project", "path": str(run.project)},
        ]

    def test_json(self, run):
        run.write_user("schema = 1\n[keys]\naction = 'flag'\n")
        _, user = run.json("show")["layers"]
        assert user["policy"] == {"schema": 1, "keys": {"action": "flag"}}

    def test_invalid(self, run):
        run.write_user("nope = 1")
        assert run("show", "--effective", status=3) == ""
        assert "nope: unknown key" in run.err

    def test_without_any_file(self, run):
        assert "No policy file here" in run("show", "--effective")

    def test_each_table_of_a_provider_has_its_own_line(self, run):
        run.write_user(
            "[gateway.providers.a]\nmodels = ['m']\n\n"
            "[gateway.providers.b]\nslug = 's'\nmodels = ['n']\n"
        )
        rows = dict(line.split(" = ", 1) for line in run("show", "--effective").splitlines())
        places = {key.strip(): text.rpartition(":")[2] for key, text in rows.items()}
        assert places["gateway.providers.a.models"] == "2"
        assert places["gateway.providers.b.slug"] == "5"
        assert places["gateway.providers.b.models"] == "6"
        # what a table does not set itself has the place of the table
        assert places["gateway.providers.b.name"] == "4"

    def test_control_characters(self, run):
        odd = run.work / "a\x1b[2Jb"
        odd.mkdir()
        (odd / ".routeguard.toml").write_text("[gateway]\n'\x7f' = 1\n".replace("\x7f", "k"))
        run.work = odd
        for args in (("show",), ("show", "--effective"), ("validate",), ("path",)):
            out = run(*args)
            assert "\x1b" not in out
            assert "\\x1b[2J" in out


class TestRest:
    def test_schema(self, run):
        assert json.loads(run("schema"))["title"] == "routeguard policy"

    def test_path(self, run):
        (run.work / ".git").mkdir()
        (run.work / "a").mkdir()
        (run.work / "pyproject.toml").write_text("[project]\nname = 'x'\n")
        top, run.work = run.work, run.work / "a"
        rows = [line.split(maxsplit=1) for line in run("path").splitlines()[:4]]
        assert rows[0] == ["system", "absent   /etc/routeguard/policy.toml"]
        assert rows[1] == ["user", f"absent   {run.shown(run.user)}"]
        assert rows[2] == ["project", f"no table {top / 'pyproject.toml'}"]
        assert rows[3] == ["project", f"absent   {top / 'a' / '.routeguard.toml'}"]
        states = [row["state"] for row in run.json("path")["layers"]]
        assert states == ["absent", "absent", "no table", "absent"]

    @pytest.mark.parametrize("name", [None, *group.commands])
    def test_help(self, name):
        args = [name, "--help"] if name else ["--help"]
        done = CliRunner().invoke(group, args)
        assert done.exit_code == 0
        assert "Example" in done.output or "Start:" in done.output
        assert "..." not in done.output.replace("]...", "")

    def test_near_miss(self, run):
        run("vaildate", status=2)
        assert "did you mean:\n         routeguard policy validate\n" in run.err

    def test_no_colour(self, run):
        run.write_user("x = 1")
        assert "\x1b" not in run("validate", status=3, FORCE_COLOR="", NO_COLOR="1")

    def test_system_layer(self, run, tmp_path, monkeypatch, capsys):
        system = tmp_path / "system.toml"
        system.write_text("[keys]\naction = 'scrub'\n")
        system.chmod(0o644)
        run.write_user("[keys]\naction = 'flag'\n")
        monkeypatch.setattr(paths, "SYSTEM_POLICY", str(system))
        monkeypatch.setenv("HOME", str(run.home))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        monkeypatch.chdir(run.work)
        assert main(["policy", "show", "--effective"]) == 0
        out = capsys.readouterr().out
        assert f'= "scrub"  # system {system}:2' in out
        assert f"dropped: user policy {run.user}:2: keys.action dropped" in out
