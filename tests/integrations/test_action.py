"""action.yml: its scripts, run in bash with what the runner would give them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
SCRIPTS = [name for name, step in STEPS.items() if "run" in step]


class Job:
    """A job on a runner with the project checked out. `inputs` are those of the action."""

    def __init__(self, place: Path, project: Path, environ: dict[str, str], run: Callable) -> None:
        self.project = project
        self.environ = {
            **environ,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "RUNNER_TEMP": str(place),
            "GITHUB_OUTPUT": str(place / "output"),
        }
        self.output = place / "output"
        self._run = run

    def step(self, name: str, inputs: dict[str, str], status: int | None = 0) -> str:
        values = {key: str(given.get("default", "")) for key, given in ACTION["inputs"].items()}
        values |= inputs
        outputs = self.outputs()
        step = STEPS[name]

        def filled(text: str) -> str:
            text = re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: values[m[1]], text)
            return re.sub(
                r"\$\{\{ steps\.check\.outputs\.([\w-]+) \}\}",
                lambda m: outputs.get(m[1], ""),
                text,
            )

        # how the runner starts `shell: bash`
        script = self.output.parent / "step.sh"
        script.write_text(step["run"])
        done = self._run(
            "bash", "--noprofile", "--norc", "-eo", "pipefail", script,
            cwd=self.project / filled(step.get("working-directory", ".")),
            env={**self.environ, **{k: filled(v) for k, v in step.get("env", {}).items()}},
            status=status,
        )  # fmt: skip
        return done.stdout + done.stderr

    def check(self, **inputs: str) -> tuple[int, str]:
        """(the status the job ends in, what was said) of the steps after the installation."""
        self.output.write_text("")
        named = {key.replace("_", "-"): value for key, value in inputs.items()}
        said = self.step("Check", named)
        self.step("Result", named, status=int(self.outputs()["status"]))
        return int(self.outputs()["status"]), said

    def outputs(self) -> dict[str, str]:
        if not self.output.exists():
            return {}
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


@pytest.fixture
def job(
    tmp_path: Path, project: Path, environ: dict[str, str], installed: Path, run: Callable
) -> Job:
    mine = tmp_path / "runner temp"
    mine.mkdir()
    (mine / "routeguard").symlink_to(installed)
    return Job(mine, project, environ, run)


def test_it_is_a_composite_action_with_described_inputs() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for name, given in (ACTION["inputs"] | ACTION["outputs"]).items():
        assert given["description"].endswith("."), name
    for name in SCRIPTS:
        assert STEPS[name]["shell"] == "bash"


def test_no_script_contains_text_of_a_caller() -> None:
    for name in SCRIPTS:
        assert "${{" not in STEPS[name]["run"], name


def test_every_input_is_used_and_every_used_one_declared() -> None:
    used = set(re.findall(r"\$\{\{ inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(ACTION["inputs"])


def test_other_actions_are_pinned_to_a_major_version() -> None:
    used = [step["uses"] for step in STEPS.values() if "uses" in step]
    assert used == ["github/codeql-action/upload-sarif@v4"]


def test_the_scripts_pass_shellcheck(
    tmp_path: Path, run: Callable, environ: dict[str, str], missing_part: Callable
) -> None:
    if shutil.which("shellcheck", path=environ["PATH"]) is None:
        missing_part("no shellcheck (pip install --group lint)")
    for number, name in enumerate(SCRIPTS):
        script = tmp_path / f"{number}.sh"
        script.write_text(STEPS[name]["run"])
        run("shellcheck", "--shell=bash", script,
            cwd=tmp_path, env=environ)  # fmt: skip


def test_a_python_that_is_too_old_is_said(job: Job, tmp_path: Path) -> None:
    old = tmp_path / "old python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    said = job.step("Install routeguard", {"python": str(old)}, status=2)
    assert "::error title=routeguard::needs Python 3.11" in said


def test_a_clean_project_passes(job: Job) -> None:
    (job.project / "a.txt").write_text("nothing")
    status, said = job.check()
    assert status == 0
    assert "routeguard: no findings; 1 file checked" in said
    assert job.outputs() == {"status": "0"}


def test_a_key_is_annotated_and_fails_the_job(job: Job, key: str) -> None:
    (job.project / "a.py").write_text(f'client = Client(api_key="{key}")\n')
    status, said = job.check(sarif="true")
    assert status == 1
    assert "::error file=a.py,line=1,endLine=1,col=" in said
    assert ",title=RG111 literal-provider-key::a key of Anthropic" in said
    assert "\n- a.py:1:" in said
    assert key not in said
    report = json.loads(Path(job.outputs()["sarif-file"]).read_text())
    assert [r["ruleId"] for r in report["runs"][0]["results"]] == ["RG111"]


def test_only_what_a_pull_request_adds_fails_the_job(job: Job, run: Callable) -> None:
    (job.project / "old.sh").write_text("opencode serve\n")
    for words in (("add", "."), ("commit", "-qm", "x")):
        run("git", *words, cwd=job.project, env=job.environ)
    status, said = job.check(since="HEAD", sarif="true")
    assert status == 0
    assert "no findings; 1 file checked; 1 on older lines" in said
    # code scanning gets all of them and compares by itself
    assert len(json.loads(Path(job.outputs()["sarif-file"]).read_text())["runs"][0]["results"]) == 1
    (job.project / "new.sh").write_text("opencode serve\n")
    status, said = job.check(since="HEAD")
    assert (status, said.count("::error ")) == (1, 1)
    assert job.check(since="origin/nosuch")[0] == 2


def test_the_environment_of_the_job_is_checked_if_asked(job: Job, key: str) -> None:
    job.environ["OPENAI_API_KEY"] = key
    assert job.check()[0] == 0
    status, said = job.check(env="true")
    assert status == 1
    assert "::error title=RG101 direct-provider-key::environment: OPENAI_API_KEY" in said


def test_paths_excludes_and_selections_are_lists(job: Job, key: str) -> None:
    for name in ("a b.py", "-c.py", "d.py"):
        (job.project / name).write_text(f'client = Client(api_key="{key}")\n')
    said = job.check(paths="a b.py\n-c.py\n")[1]
    assert said.count("::error ") == 2
    assert job.check(exclude="a b.py\n-c.py\nd.py")[0] == 0
    assert job.check(select="RG101, RG201")[0] == 0
    assert job.check(ignore="RG111")[0] == 0
    assert job.check(paths="nosuch", sarif="true")[0] == 2
    assert "sarif-file" not in job.outputs()
    assert job.check(fail_on="nonsense")[0] == 2


@pytest.mark.parametrize("text", ["$(touch pwned)`touch pwned`'; touch pwned; '", "--fix"])
def test_text_in_an_input_is_never_a_command_and_never_an_option(job: Job, text: str) -> None:
    """In every input at once, before a stand-in that writes down the words it gets."""
    named = ("paths", "exclude", "baseline", "fail_on", "select", "ignore", "since")
    given = job.output.parent / "words"
    (job.output.parent / "routeguard").unlink()
    stand_in = job.output.parent / "routeguard/bin/routeguard"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" '' >>'{given}'\n")
    stand_in.chmod(0o755)
    assert job.check(**dict.fromkeys(named, text), env="true", sarif="true")[0] == 0
    rules = [f"--fail-on={text}", f"--select={text}", f"--ignore={text}"]
    files = [*rules, f"--baseline={text}", f"--exclude={text}", "--", text]
    assert [part.split("\n") for part in given.read_text()[:-2].split("\n\n")] == [
        ["check", "--format=github", f"--since={text}", *files],
        ["check", "--format=sarif", f"--output={job.output.parent}/routeguard.sarif", *files],
        ["check", "--format=github", "--env", "--ci", *rules],
    ]
    assert list(job.project.rglob("pwned")) == []


def test_a_path_that_looks_like_an_option_is_a_path(job: Job) -> None:
    (job.project / "a.sh").write_text("opencode serve\n")
    assert job.check(paths="--fix")[0] == 2


def test_a_broken_policy_is_status_3_and_another_directory_is_possible(job: Job) -> None:
    (job.project / ".routeguard.toml").write_text("nonsense = ")
    assert job.check()[0] == 3
    (job.project / ".routeguard.toml").unlink()
    (job.project / "sub").mkdir()
    (job.project / "sub" / "x.sh").write_text("opencode serve\n")
    status, said = job.check(working_directory="sub")
    assert status == 1
    assert "::error file=sub/x.sh,line=1," in said
