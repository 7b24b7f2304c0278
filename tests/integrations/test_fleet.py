"""The recipes of docs/fleet: what each of them writes, and that agents are guarded by it.

Here they write into folders of the test. What only a machine of its own shows (dpkg, Ansible, a
chroot) was done by hand; docs/fleet.md says what.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
import yaml

from guard.commands.agents import as_dict

ROOT = Path(__file__).resolve().parents[2]
FLEET = ROOT / "docs" / "fleet"
AGENT = '#!/bin/sh\necho "started key=${ANTHROPIC_API_KEY-removed}"\n'
SYSTEM = {"bash.bashrc": "# bash\n", "zsh/zshrc": "# zsh\n", "profile.d/other.sh": ":\n"}


def tree(folder: Path) -> dict[str, str]:
    """Every file below `folder` with its content, every folder with ""."""
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def agent(folder: Path) -> Path:
    """A stand-in for opencode in `folder`, which says which key it was started with."""
    folder.mkdir()
    (folder / "opencode").write_text(AGENT)
    (folder / "opencode").chmod(0o755)
    return folder


@pytest.fixture
def machine(tmp_path: Path, environ: dict[str, str], installed: Path) -> dict[str, str]:
    """The variables by which for-all-users.sh writes into this folder; what is there before."""
    for name, text in SYSTEM.items():
        path = tmp_path / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "etc/fish/conf.d").mkdir(parents=True)
    where = {"PREFIX": f"{tmp_path}/opt/routeguard", "ETC": f"{tmp_path}/etc"}
    return {**environ, **where, "VENV": str(installed)}


def test_the_devcontainer_feature_guards_every_shell_and_leaves_nothing(
    tmp_path: Path, machine: dict[str, str], run: Callable, missing_part: Callable
) -> None:
    about = json.loads((FLEET / "devcontainer/routeguard/devcontainer-feature.json").read_text())
    assert about["containerEnv"]["PATH"].startswith("/opt/routeguard/venv/shims:")
    feature = tmp_path / "feature"
    shutil.copytree(FLEET / "devcontainer/routeguard", feature)
    script = (feature / "install.sh").read_text()
    for option in about["options"]:
        assert re.search(rf"\$\{{{option.upper()}\b", script), "an option that nobody reads"
    shutil.copy(FLEET / "for-all-users.sh", feature)
    etc, prefix = Path(machine["ETC"]), Path(machine["PREFIX"])
    # links, and a last line that has no end
    (tmp_path / "bashrc").write_text("# bash\nalias mine=true")
    (etc / "bash.bashrc").unlink()
    (etc / "bash.bashrc").symlink_to(tmp_path / "bashrc")
    before = tree(etc)
    options = {"SOURCE": "unused", "BASEURL": "https://gateway.example.com/v1"}
    run("sh", feature / "install.sh", cwd=feature, env={**machine, **options})
    assert (
        'base_url = "https://gateway.example.com/v1"'
        in (etc / "routeguard/policy.toml").read_text()
    )
    for path in (*prefix.rglob("*"), *etc.rglob("*")):
        assert path.is_symlink() or not path.stat().st_mode & 0o022, path

    environ = {**machine, "PATH": f"{agent(tmp_path / 'bin')}:{machine['PATH']}"}
    environ |= {"ANTHROPIC_API_KEY": "sk-ant-canary", "ROUTEGUARD_QUIET": "1"}
    for shell, load in {
        "bash": f". {etc}/bash.bashrc",
        "zsh": f". {etc}/zsh/zshrc",
        "fish": f"source {etc}/fish/conf.d/routeguard.fish",
    }.items():
        if shutil.which(shell) is None:
            missing_part(f"no {shell} on PATH")
        # by the hook, and where a program starts it, by the shim
        lines = f"{load}\nopencode --version\nsh -c 'opencode --version'\nopencode serve\n"
        done = run(shell, "-c", lines, cwd=tmp_path, env=environ, status=126)
        assert done.stdout.splitlines() == ["started key=removed"] * 2, done
        assert "[RG203]" in done.stderr
    status = json.loads(
        run(
            prefix / "bin/routeguard",
            "shim",
            "status",
            "--json",
            cwd=tmp_path,
            env=environ | {"PATH": f"{prefix}/venv/shims:/usr/bin:/bin"},
        ).stdout
    )
    assert status["directory"] == f"{prefix}/venv/shims"
    assert {shim["state"] for shim in status["shims"]} == {"current"}
    # bash.bashrc leaves a login shell to /etc/profile.d
    login = f". {etc}/bash.bashrc; command -v opencode"
    assert run("bash", "--noprofile", "-lc", login, cwd=tmp_path, env=environ).stdout.endswith(
        f"{tmp_path}/bin/opencode\n"
    )

    policy = etc / "routeguard/policy.toml"
    policy.write_text("# of the image\n")
    done = run("sh", feature / "install.sh", cwd=feature, env={**machine, **options})
    assert policy.read_text() == "# of the image\n"
    assert "stays as it is" in done.stderr
    shutil.rmtree(etc / "routeguard")
    run("sh", feature / "for-all-users.sh", "--remove", cwd=tmp_path, env=machine)
    assert tree(etc) == {**before, "bash.bashrc": "# bash\nalias mine=true\n", "profile.d": ""}
    assert (etc / "bash.bashrc").is_symlink()
    assert not prefix.exists()


def test_the_debian_package(tmp_path: Path, machine: dict[str, str], run: Callable) -> None:
    if shutil.which("dpkg-deb") is None:
        return  # a recipe for Debian
    built = {key: value for key, value in machine.items() if key not in ("PREFIX", "ETC")}
    built |= {"OUTPUT": str(tmp_path), "COMPRESSION": "none", "TMPDIR": str(tmp_path)}
    run("sh", FLEET / "debian/build.sh", "unused", cwd=tmp_path, env=built)
    (package,) = tmp_path.glob("routeguard_*.deb")
    root = tmp_path / "root"
    run("dpkg-deb", "--raw-extract", package, root, cwd=tmp_path, env=built)
    shims = root / "opt/routeguard/venv/shims"
    # the hooks go when the package is removed; a conffile would stay
    assert (root / "DEBIAN/conffiles").read_text() == "/etc/routeguard/policy.toml\n"
    assert "managed remove" in (root / "DEBIAN/prerm").read_text()
    assert (root / "DEBIAN/prerm").stat().st_mode & 0o777 == 0o755
    assert os.readlink(root / "usr/bin/routeguard") == "/opt/routeguard/bin/routeguard"
    assert (shims / "opencode").stat().st_mode & 0o7777 == 0o755
    written = [path for path in root.rglob("*") if path.is_file() and "venv" not in path.parts]
    written += shims.iterdir()
    for path in written:
        assert str(tmp_path) not in path.read_text(), "a path of the build"
        assert "venv.new" not in path.read_text()
    hooks = [path for path in written if path.is_relative_to(root / "etc")]
    assert len(hooks) == 4
    assert not list(tmp_path.glob("tmp.*")), "the build leaves its folder"
    listed = run("dpkg-deb", "-c", package, cwd=tmp_path, env=built).stdout
    assert {line.split()[1] for line in listed.splitlines()} == {"root/root"}


def test_the_ansible_role_calls_the_installer_as_it_is() -> None:
    role = FLEET / "ansible/roles/routeguard"
    tasks = yaml.safe_load((role / "tasks/main.yml").read_text())
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    text = (role / "tasks/main.yml").read_text()
    registered = {task["register"] for task in tasks if "register" in task}
    assert set(re.findall(r"\brouteguard_\w+", text)) == {*defaults, *registered}
    # what the role wrote goes when it is no longer wanted, and what was installed by hand stays
    (mark,) = [task["ansible.builtin.copy"]["dest"] for task in tasks if "Note" in task["name"]]
    (away,) = [task for task in tasks if "managed remove" in str(task)]
    assert away["when"][0] == 'routeguard_state == "absent" or not routeguard_managed'
    assert mark.rpartition("/")[2] in away["ansible.builtin.shell"]["removes"]
    assert away["ansible.builtin.shell"]["cmd"].endswith(f"managed remove && rm -f {mark}")
    script = (FLEET / "for-all-users.sh").read_text()
    for task in tasks:
        for name in task.get("environment", {}):
            assert re.search(rf"^{name}=\${{{name}\b", script, re.MULTILINE), name
    for path in (defaults["routeguard_policy"], "{{ role_path }}/../../../for-all-users.sh"):
        assert Path(path.replace("{{ role_path }}", str(role))).is_file()
    assert yaml.safe_load((FLEET / "ansible/site.yml").read_text())[0]["roles"] == ["routeguard"]


def test_the_action_guards_the_agents_of_later_steps(
    tmp_path: Path, environ: dict[str, str], project: Path, installed: Path, run: Callable
) -> None:
    action = yaml.safe_load((FLEET / "guard-agents/action.yml").read_text())
    install, guard = action["runs"]["steps"]
    there = re.search(r'"\$GITHUB_ACTION_PATH/([./]+)"', install["run"])
    assert there
    assert (FLEET / "guard-agents" / there[1]).resolve() == ROOT
    temp = tmp_path / "runner temp"
    temp.mkdir()
    (temp / "routeguard").symlink_to(installed)
    files = {name: tmp_path / name for name in ("GITHUB_PATH", "GITHUB_ENV", "GITHUB_OUTPUT")}
    for file in files.values():
        file.touch()
    (project / "ci.toml").write_text('[gateway]\nbase_url = "https://gateway.example.com/v1"\n')
    runner = {**environ, **{name: str(file) for name, file in files.items()}}
    runner |= {"RUNNER_TEMP": str(temp), "INPUT_POLICY": "ci.toml"}

    def step(text: str, more: dict[str, str], status: int = 0) -> subprocess.CompletedProcess:
        script = tmp_path / "step.sh"
        script.write_text(text)
        bash = ("bash", "--noprofile", "--norc", "-eo", "pipefail", script)
        return run(*bash, cwd=project, env={**runner, **more}, status=status)

    step(guard["run"], {})
    assert "pk-of-a-test" not in "".join(file.read_text() for file in files.values())
    (shims,) = files["GITHUB_PATH"].read_text().splitlines()
    later = dict(line.split("=", 1) for line in files["GITHUB_ENV"].read_text().splitlines())
    # a later step has put the folder with the agent first, as setup-node does
    later["PATH"] = f"{agent(tmp_path / 'bin')}:{shims}:{runner['PATH']}"
    later["ANTHROPIC_API_KEY"] = "sk-ant-canary"
    assert "started key=removed" in step("opencode --version", later).stdout
    done = step("routeguard policy show; opencode serve", later, status=126)
    assert "https://gateway.example.com/v1" in done.stdout
    assert "[RG203]" in done.stderr
    # the control: without what the action wrote
    bare = {"PATH": f"{tmp_path / 'bin'}:{runner['PATH']}", "ANTHROPIC_API_KEY": "sk-ant-canary"}
    assert "started key=sk-ant-canary" in step("opencode serve", bare).stdout


def shown(mark: str) -> str:
    """The example of docs/fleet.md under this mark."""
    page = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    (text,) = re.findall(rf"<!-- test: {mark} -->\n```\w+\n(.*?)```", page, re.DOTALL)
    return text


def test_the_queries_of_the_inventory_find_an_unguarded_agent(tmp_path: Path) -> None:
    """By SQLite, which is what osquery runs them with."""
    running = {
        "pid": 7, "user": "ada", "agent": "codex", "state": "unguarded", "program": "/x/codex",
        "since": "2026-11-28T12:00:00+00:00", "rule": "RG405",
    }  # fmt: skip
    written = set(re.findall(r'^        "(\w+)":', inspect.getsource(as_dict), re.MULTILINE))
    assert running.keys() <= written
    path = tmp_path / "agents.db"
    for agents in ([running, {**running, "state": "guarded"}], [running]):
        subprocess.run(
            [FLEET / "inventory.py", path],
            input=json.dumps({"agents": agents}), text=True, check=True,
        )  # fmt: skip
    config = json.loads(shown("osquery"))
    ((name, table),) = config["auto_table_construction"].items()
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute(table["query"])
        assert [column[0] for column in rows.description] == table["columns"]
        assert len(rows.fetchall()) == 1
        database.execute(f"CREATE TEMP VIEW {name} AS {table['query']}")
        found = database.execute(config["schedule"]["unguarded_agents"]["query"]).fetchall()
    assert found == [("ada", "codex", "/x/codex", "2026-11-28T12:00:00+00:00")]


def test_the_examples_use_what_the_recipes_offer() -> None:
    feature = json.loads(shown("feature"))["features"]["./routeguard"]
    about = json.loads((FLEET / "devcontainer/routeguard/devcontainer-feature.json").read_text())
    assert feature.keys() <= about["options"].keys()
    steps = yaml.safe_load(shown("guard-agents"))["jobs"]["review"]["steps"]
    (used,) = [step for step in steps if "routeguard" in step.get("uses", "")]
    action = used["uses"].partition("@")[0].removeprefix("OWNER/routeguard/")
    inputs = yaml.safe_load((ROOT / action / "action.yml").read_text())["inputs"]
    assert used["with"].keys() <= inputs.keys()
    assert [step for step in steps if "env" in step] == [steps[-1]]


def test_the_policy_of_the_recipes_is_valid(tmp_path: Path) -> None:
    done = forked.run(
        ["policy", "validate", str(FLEET / "policy.toml")],
        env={"HOME": str(tmp_path), "PATH": os.defpath}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
