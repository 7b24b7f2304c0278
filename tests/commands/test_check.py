"""`routeguard check` as a user runs it: exit statuses, hostile trees, baseline, fixes."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import forked
import pytest

from guard import dispatch
from guard.commands import complete
from guard.commands.checking import default_format
from guard.errors import UsageError
from guard.rule_table import RULES
from guard.rules.chosen import chosen
from guard.sources import git, tree

KEY = (
    "sk-ant-api03-"
    + "Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6Jf1Gs0Ya" * 2
    + "Zq7Wm3Xk9Rt2Lp5Vn8Bc4Hd6J-Gs0YAA"[:29]
)
MEMORY = 1 << 30


class Run:
    """A home and a project; `check` runs the command there."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.project = self.home / "project"
        self.project.mkdir(parents=True)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def check(
        self, *words: str, cwd: Path | None = None, limit: int = 0, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        place, words = cwd or self.project, ("check", *words)
        env = {
            "HOME": str(self.home),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PORTKEY_API_KEY": "pk",
            **environ,
        }
        if not limit:
            return forked.run(words, cwd=place, env=env, errors="surrogateescape")
        return subprocess.run(
            [sys.executable, "-m", "guard", *words],
            cwd=place,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
            check=False,
        )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def run_git(repository: Run, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    command = ["git", *who, *words]
    subprocess.run(command, cwd=repository.project, check=True, capture_output=True)


@pytest.fixture
def repository(run: Run) -> Run:
    subprocess.run(["git", "init", "-q"], cwd=run.project, check=True)
    return run


# Exit statuses and selection ---------------------------------------------------------------------


def test_clean_is_0(run: Run) -> None:
    run.write("a.txt", "nothing")
    done = run.check()
    assert (done.returncode, done.stderr) == (0, "")
    assert "no findings; 1 file checked" in done.stdout


def test_a_key_is_1_and_never_shown(run: Run) -> None:
    run.write("a.py", f'client = Client(api_key="{KEY}")\n')
    done = run.check()
    assert done.returncode == 1
    assert "a.py:1:" in done.stdout
    assert "RG111" in done.stdout
    assert KEY not in done.stdout + done.stderr
    assert KEY[12:30] not in done.stdout


def test_the_threshold_and_the_selection_decide(run: Run) -> None:
    run.write("a.py", f'client = Client(api_key="{KEY}")\n')
    assert run.check("--ignore", "RG111").returncode == 0
    assert run.check("--select", "rg111,RG201").returncode == 1
    assert run.check("--select", "literal-provider-key", "--select", "RG201").returncode == 1
    assert run.check("--select", "RG201").returncode == 0
    os.mkfifo(run.project / "fifo")
    assert run.check("--ignore", "RG111").returncode == 0
    assert run.check("--ignore", "RG111", "--fail-on", "note").returncode == 1


@pytest.mark.parametrize(
    "words",
    [
        ["nosuch"],
        ["--select", "RG999"],
        ["--nosuch"],
        ["--env", "a.txt"],
        ["--env", "--env-file", "x"],
        ["--env-file", "nosuch"],
        ["--env", "--fix"],
        ["--ci", "--write-baseline"],
        ["--yes"],
        ["--fix", "--write-baseline"],
        ["--staged", "--fix"],
        ["--staged", "--write-baseline"],
        ["--staged", "--env"],
        ["--staged", "--env-file", ".env"],
        ["--staged"],  # outside of a repository
        ["--since", "HEAD"],  # outside of a repository
        ["--since", "HEAD", "--env"],
        ["--stats", "--env"],
        ["--since", "HEAD", "--write-baseline"],
        ["--since", ""],
        ["--baseline", "x", "--no-baseline"],
        ["--output", "no/such/file"],
    ],
)
def test_usage_is_2(run: Run, words: list[str]) -> None:
    run.write("a.txt", "nothing")
    done = run.check(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--since", "nosuch"], 2),
        (["--since", "HEAD~9", "--staged"], 2),
        (["--output", "no/such/file"], 2),
        (["--output", "."], 2),
        (["--baseline", "nosuch"], 3),
        (["--baseline", ".", "--write-baseline"], 3),
        (["--baseline", "no/such/file", "--write-baseline"], 3),
        (["--baseline", "broken.json"], 3),
        (["--select", "RG999"], 2),
        (["nosuch"], 2),
        (["--env-file", "nosuch"], 2),
    ],
)
def test_what_can_be_refused_is_before_anything_is_listed(
    repository: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], status: int
) -> None:
    repository.write("broken.json", "{")
    monkeypatch.chdir(repository.project)
    monkeypatch.setenv("HOME", str(repository.home))
    listed: list[Sequence[str]] = []
    ask = git.ask

    def asked(words: Sequence[str], *rest: object, **more: object) -> bytes:
        listed.extend([words] if words[0] in ("ls-files", "diff-index") else [])
        return ask(words, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(git, "ask", asked)
    monkeypatch.setattr(os, "scandir", lambda at: listed.append([str(at)]))
    assert dispatch.main(["check", *words]) == status
    assert listed == []


def test_a_broken_policy_is_refused_before_anything_is_listed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write(".routeguard.toml", "nonsense = ")
    monkeypatch.chdir(run.project)
    monkeypatch.setenv("HOME", str(run.home))
    monkeypatch.setattr(tree.Located, "collect", lambda *_: pytest.fail("the tree was listed"))
    assert dispatch.main(["check"]) == 3


def test_a_broken_policy_is_3(run: Run) -> None:
    run.write(".routeguard.toml", "nonsense = ")
    assert run.check().returncode == 3
    assert run.check("--env").returncode == 3


def test_unknown_rules_are_answered_with_a_near_one() -> None:
    with pytest.raises(UsageError) as caught:
        chosen(["RG112,RG21"], [])
    assert "did you mean: RG2" in caught.value.fix
    with pytest.raises(UsageError) as caught:
        chosen([], ["literal-provider-keys"])
    assert "did you mean: literal-provider-key\n" in caught.value.fix
    assert chosen([], []) == frozenset(RULES)
    assert chosen(["RG101, RG102"], ["RG102"]) == {"RG101"}


def test_the_format_of_a_github_job() -> None:
    assert default_format({"GITHUB_ACTIONS": "true"}) == "github"
    assert default_format({}) == "text"


def test_the_report_goes_to_a_file(run: Run) -> None:
    run.write("a.py", f'client = Client(api_key="{KEY}")\n')
    done = run.check("--output", "report.txt", "--format", "text")
    assert (done.returncode, done.stdout) == (1, "")
    assert "RG111" in (run.project / "report.txt").read_text()


def test_quiet_says_nothing_if_nothing_fails(run: Run) -> None:
    run.write("a.txt", "x")
    assert run.check("-q").stdout == ""
    run.write("a.py", f'client = Client(api_key="{KEY}")\n')
    assert "RG111" in run.check("-q").stdout


def test_the_line_is_shown_with_its_place_and_without_the_key(run: Run) -> None:
    run.write("a.py", f'\tclient = Client(api_key="{KEY}")\n')
    shown = run.check().stdout.split("\n")
    assert shown[1:3] == ['     1 |     client = Client(api_key="sk****s0")',
                          "       |                              ^^^^^^^^"]  # fmt: skip


def test_one_line_each_for_an_editor(run: Run) -> None:
    run.write("sub/a.py", f'k = "{KEY}"\n')
    done = run.check("--format", "concise")
    assert done.stdout == "sub/a.py:1:6: error: RG111 a key of Anthropic in plain text\n"
    run.write("sub/a.py", "")
    assert run.check("--format", "concise").stdout == ""


def test_colour_is_asked_for(run: Run) -> None:
    run.write("a.py", f'client = Client(api_key="{KEY}")\n')
    assert "\x1b[" not in run.check().stdout
    assert "\x1b[" in run.check(FORCE_COLOR="1").stdout
    assert "\x1b[" not in run.check(FORCE_COLOR="1", NO_COLOR="1").stdout


# Which files -------------------------------------------------------------------------------------


def test_paths_are_shown_from_here(repository: Run) -> None:
    repository.write("a.py", f'k = "{KEY}"\n')
    repository.write("sub/b.py", f'k = "{KEY}"\n')
    done = repository.check(cwd=repository.project / "sub")
    assert "\nb.py:1:" in "\n" + done.stdout
    assert "\n../a.py:1:" in "\n" + done.stdout


def test_an_ignored_file_counts_when_named(repository: Run) -> None:
    repository.write(".gitignore", "*.py\n")
    repository.write("a.py", f'k = "{KEY}"\n')
    assert repository.check().returncode == 0
    assert repository.check("a.py").returncode == 1


def test_what_is_staged_counts_and_not_what_lies_there(repository: Run) -> None:
    repository.write("run.sh", "opencode run -m anthropic/claude-sonnet-4 hi\n")
    run_git(repository, "add", "run.sh")
    repository.write("run.sh", "opencode run -m portkey/gpt-4o hi\n")
    repository.write("other.sh", "opencode serve\n")
    assert "other.sh" in repository.check().stdout
    done = repository.check("--staged", "--format", "json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [f["location"]["path"] for f in found["findings"]] == ["run.sh"]
    assert found["summary"]["files_checked"] >= 1
    assert repository.check("--staged", "--exclude", "run.sh").returncode == 0
    run_git(repository, "add", "run.sh")
    assert repository.check("--staged").returncode == 0
    repository.write("run.sh", "opencode serve\n")
    assert repository.check("--staged", "run.sh").returncode == 0
    fixed = repository.check("--staged", "--fix")
    assert "git add" in fixed.stderr


def test_only_what_a_branch_adds(repository: Run) -> None:
    repository.write("run.sh", "# start\nopencode serve\necho\n")
    repository.write("old.py", f'k = "{KEY}"\n')
    run_git(repository, "checkout", "-q", "-b", "main")
    run_git(repository, "add", ".")
    run_git(repository, "commit", "-qm", "x")
    run_git(repository, "checkout", "-q", "-b", "work")
    assert repository.check().returncode == 1
    done = repository.check("--since", "main")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no findings; 2 files checked; 2 on older lines" in done.stdout
    repository.write("run.sh", "# start\nopencode serve\nopencode serve\necho\n")
    repository.write("new.sh", "opencode serve\n")
    done = repository.check("--since", "main", "--json")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    places = [(f["location"]["path"], f["location"]["line"]) for f in said["findings"]]
    assert places == [("new.sh", 1), ("run.sh", 3)]
    assert said["summary"]["older"] == 2
    run_git(repository, "add", "run.sh")
    done = repository.check("--staged", "--since", "HEAD", "--format", "concise")
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("run.sh:3:1: error: RG203 ")
    run_git(repository, "reset", "-q", "--hard")
    (repository.project / "new.sh").unlink()
    done = repository.check("--since", "nosuch")
    assert done.returncode == 2
    assert "cannot tell what is new since nosuch" in done.stderr


@pytest.mark.parametrize(
    ("name", "old", "now", "new"),
    [
        # the same lines, under a name that says more
        ("notes.txt", "OPENAI_BASE_URL=https://api.openai.com/v1\n", ".env", None),
        ("examples/.env", "OPENAI_BASE_URL=https://api.openai.com/v1\n", "app/.env", None),
        # a line of before, which a line that is gone kept from being one
        (
            "run.sh",
            "# routeguard: ignore[RG203] tried once\nopencode serve\n",
            "",
            "opencode serve\n",
        ),
        ("run.sh", "cat <<'E'\nopencode serve\nE\n", "", "opencode serve\n"),
    ],
)
def test_what_a_branch_makes_of_lines_of_before(
    repository: Run, name: str, old: str, now: str, new: str | None
) -> None:
    path = repository.write(name, old)
    run_git(repository, "add", "-f", ".")
    run_git(repository, "commit", "-qm", "x")
    assert "no findings" in repository.check("--since", "HEAD").stdout
    if new is None:
        (repository.project / now).parent.mkdir(exist_ok=True)
        run_git(repository, "mv", name, now)
    else:
        path.write_text(new)
    found = json.loads(repository.check("--since", "HEAD", "--json").stdout)["findings"]
    assert [f["severity"] for f in found] == ["error"]


def test_what_was_read_and_what_was_passed_over(repository: Run) -> None:
    repository.write(".gitignore", "*.pyc\nbuild/\n")
    for name in ("a.pyc", "build/b", "build/c", "left/out"):
        repository.write(name, "x")
    repository.write("image", b"\0")
    repository.write("large", b"a\n" * (5 << 20))
    repository.write("long.txt", b"a" * (2 << 20))
    repository.write("a.env", "OPENAI_API_KEY=your-key-here\n")
    words = ("--stats", "--exclude", "left")
    said = repository.check(*words).stdout
    assert "READ         2 files, 0 KiB\n" in said
    for line in ("1 binary", "1 larger than 8 MiB", "1 a line is longer than 1024 KiB",
                 "2 ignored by git", "1 excluded", "1 placeholder for keys"):  # fmt: skip
        assert f" {line}\n" in said
    stats = json.loads(repository.check(*words, "--json").stdout)["stats"]
    assert stats["bytes"] == 42
    assert {"why": "ignored by git", "count": 2} in stats["passed_over"]
    assert json.loads(repository.check("--json").stdout)["stats"] is None
    done = repository.check(*words, "--format", "concise")
    assert "READ" not in done.stdout
    assert "READ         2 files" in done.stderr
    quiet = repository.check(*words, "-q")
    assert (quiet.stdout, quiet.stderr.split("\n")[0]) == ("", "READ         2 files, 0 KiB")


def test_branches_are_completed_without_git(
    repository: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository.project / ".git"
    (folder / "refs/remotes/origin").mkdir(parents=True)
    (folder / "refs/remotes/origin/main").write_text("0" * 40)
    (folder / "refs/heads/mine").write_text("0" * 40)
    (folder / "packed-refs").write_text(
        f"# pack-refs\n{'0' * 40} refs/heads/old\n{'0' * 40} refs/tags/t\n"
    )
    monkeypatch.chdir(repository.project)
    monkeypatch.setenv("PATH", "")
    context = click.Context(click.Command("check"))

    def words(start: str) -> list[str]:
        return [item.value for item in complete.branches(context, click.Option(["--since"]), start)]

    assert words("") == ["HEAD", "mine", "old", "origin/main"]
    assert words("or") == ["origin/main"]
    monkeypatch.chdir("/")
    assert words("") == ["HEAD"]


def test_what_is_wrong_on_purpose_can_be_left_out(repository: Run) -> None:
    repository.write("tests/corpus/a.py", f'k = "{KEY}"\n')
    assert repository.check().returncode == 1
    assert repository.check("--exclude", "tests/corpus").returncode == 0
    assert repository.check("--env", "--exclude", "x").returncode == 2


def test_the_policy_is_the_projects_wherever_we_stand(repository: Run) -> None:
    repository.write(".routeguard.toml", '[keys]\nextra = ["HOUSE_KEY"]\n')
    repository.write("sub/.env", "HOUSE_KEY=q8Zr2Lm9Xw4TkP7v\n")
    done = repository.check("--select", "RG101", cwd=repository.project / "sub")
    assert "HOUSE_KEY" in done.stdout


# Baseline ----------------------------------------------------------------------------------------


def test_a_baseline_lets_old_findings_wait(repository: Run) -> None:
    repository.write("a.py", f'k = "{KEY}"\n')
    written = repository.check("--write-baseline")
    assert "READ  " not in written.stdout, "without --stats"
    assert written.returncode == 0
    path = repository.project / ".routeguard-baseline.json"
    assert KEY not in path.read_text()
    assert str(path) in written.stderr
    done = repository.check()
    assert done.returncode == 0
    assert "1 in the baseline" in done.stdout
    assert repository.check("--no-baseline").returncode == 1
    repository.write("a.py", f'\n\nk = "{KEY}"\n')
    assert repository.check().returncode == 0
    repository.write("b.py", f'k = "{KEY}"\n')
    assert repository.check().returncode == 1


def test_writing_for_one_file_keeps_the_others(repository: Run) -> None:
    for name in ("a.py", "b.py"):
        repository.write(name, f'k = "{KEY}"\n')
    assert repository.check("--write-baseline").returncode == 0
    repository.write("a.py", "clean\n")
    assert repository.check("--write-baseline", "a.py").returncode == 0
    entries = json.loads((repository.project / ".routeguard-baseline.json").read_text())["entries"]
    assert [entry["path"] for entry in entries] == ["b.py"]


def test_a_named_baseline(repository: Run) -> None:
    repository.write("a.py", f'k = "{KEY}"\n')
    assert repository.check("--baseline", "known.json").returncode == 3
    assert repository.check("--baseline", "known.json", "--write-baseline").returncode == 0
    assert repository.check("--baseline", "known.json").returncode == 0
    assert repository.check().returncode == 1
    repository.write("known.json", "{")
    assert repository.check("--baseline", "known.json").returncode == 3


# Fixes -------------------------------------------------------------------------------------------


def test_fixes_are_shown_and_then_written(repository: Run) -> None:
    text = f"# routeguard: ignore[RG203] once\nAPI=1\nOPENAI_API_KEY={KEY}\n"
    path = repository.write(".env", text)
    shown = repository.check("--fix", "--select", "RG101,RG902,RG203")
    assert shown.returncode == 1
    assert path.read_text() == text
    assert "+# OPENAI_API_KEY=sk****s0" in shown.stderr
    assert "--yes" in shown.stderr
    done = repository.check("--fix", "--yes", "--select", "RG101,RG902,RG203")
    assert done.returncode == 0
    assert path.read_text() == f"API=1\n# OPENAI_API_KEY={KEY}\n"
    assert KEY not in shown.stdout + shown.stderr + done.stdout + done.stderr


def test_nothing_to_fix(repository: Run) -> None:
    repository.write("a.py", f'k = "{KEY}"\n')
    done = repository.check("--fix", "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "routeguard: nothing here can be fixed safely; 1 finding left: routeguard check\n"
    )
    assert json.loads(repository.check("--fix", "--json").stdout)["summary"]["errors"] == 1
    repository.write("a.py", "clean\n")
    assert repository.check("--fix").stderr == "routeguard: nothing here can be fixed safely\n"


# The environment ---------------------------------------------------------------------------------


def test_the_environment(run: Run) -> None:
    assert run.check("--env").returncode == 0
    done = run.check("--env", OPENAI_API_KEY=KEY)
    assert done.returncode == 1
    assert "RG101" in done.stdout
    assert KEY not in done.stdout
    assert run.check("--env", OPENCODE_CONFIG="x", FOO_API_KEY="x").returncode == 1
    warned = run.check("--env", FOO_API_KEY="x")
    assert warned.returncode == 0
    assert run.check("--env", "--fail-on", "warning", FOO_API_KEY="x").returncode == 1


def test_a_job_is_told_by_its_runner(run: Run) -> None:
    done = run.check("--env", "--format", "text", CI="true", GITLAB_CI="true", OPENAI_API_KEY="x")
    assert done.returncode == 1
    assert "GitLab CI" in done.stdout
    assert ".gitlab-ci.yml" in done.stdout
    assert "GitLab CI" not in run.check("--env", "--no-ci", GITLAB_CI="true").stdout
    assert "CI runner" in run.check("--ci").stdout


def test_an_environment_file(run: Run) -> None:
    run.write("prod.env", f"PORTKEY_API_KEY=pk\nANTHROPIC_API_KEY={KEY}\n")
    done = run.check("--env-file", "prod.env")
    assert done.returncode == 1
    assert "prod.env:2:1: error [RG101" in done.stdout
    assert KEY not in done.stdout


# Hostile trees -----------------------------------------------------------------------------------


def deep(number: int, opening: str, closing: str) -> str:
    return opening * number + closing * number


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 12):
        before = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{before}]")
    return "\n".join([*lines, "env:", "  OPENAI_API_KEY: *a11", ""])


HOSTILE: dict[str, Callable[[], str | bytes]] = {
    "opencode.json": lambda: deep(10_000, '{"provider":', "}"),
    ".claude/settings.json": lambda: deep(10_000, "[", "]"),
    "package.json": lambda: '{"scripts": {"x": ' + deep(10_000, "[", "]") + "}}",
    "compose.yaml": bomb,
    ".github/workflows/bomb.yml": bomb,
    ".github/workflows/deep.yml": lambda: "jobs: " + deep(10_000, "{a: ", "}"),
    ".github/workflows/flow.yml": lambda: "- " * 20_000 + "opencode run\n",
    "config.toml": lambda: "a = " + deep(10_000, "[", "]"),
    "mise.toml": lambda: "[" + "a." * 20_000 + "b]\nOPENAI_API_KEY = 'x'\n",
    "nested.sh": lambda: "opencode run " + deep(5_000, "$(opencode run ", ")"),
    "quotes.sh": lambda: "opencode run " + "'\"`$(" * 20_000,
    "heredocs.sh": lambda: "opencode <<A <<B <<C\n" * 5_000,
    "long.sh": lambda: "opencode run " + "x " * 400_000,
    "Dockerfile": lambda: "ENV " + "A=B \\\n" * 50_000,
    "Makefile": lambda: "a:\n\topencode run $(" + "(" * 20_000,
    ".env": lambda: "OPENAI_API_KEY=" + " " * 100_000 + "x\n" + "A='\\'" * 20_000,
    ".envrc": lambda: "export " + "A=${B:-" * 5_000,
    "main.tfvars": lambda: 'openai_api_key = "' + "${" * 20_000,
    "bytes.sh": lambda: b"opencode run \xff\xfe\x80 -m anthropic/x\n" * 100,
    "wide.sh": lambda: "opencode run -m anthropic/claude\r\n".encode("utf-16"),
    "crlf.sh": lambda: "opencode run -m anthropic/claude\r\n",
    "zero.sh": lambda: b"opencode run\0\0\0",
    "line50": lambda: b"sk-ant-" * 7_000_000,
    "keys.txt": lambda: "sk-" * 300_000,
    "a.ipynb": lambda: '{"cells": ' + deep(10_000, "[", "]") + "}",
}


def test_hostile_files_end_no_check(run: Run) -> None:
    """Each would, in the order of the tree; after the last of them a key is found."""
    for name, content in HOSTILE.items():
        run.write(name, content())
    run.write("z.py", f'k = "{KEY}"\n')
    done = run.check(limit=MEMORY)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "z.py:1:" in done.stdout


def test_hostile_things_that_are_no_files(repository: Run, tmp_path: Path) -> None:
    place = repository.project
    os.mkfifo(place / "fifo")
    (place / "loop").symlink_to("loop")
    (tmp_path / "outside.py").write_text(f'k = "{KEY}"\n')
    (place / "out.py").symlink_to(tmp_path / "outside.py")
    (place / "zero").symlink_to("/dev/zero")
    with open(place / "huge.txt", "wb") as file:
        file.write(b"text\n" * 5_000)
        file.truncate(1 << 30)
    names = [b"new\nline.py", b"\x1b[31mred\x1b]0;title\x07.py", b"\xff\xfe.py"]
    for name in names:
        path = os.fsdecode(os.path.join(os.fsencode(place), name))
        with open(path, "w", encoding="utf-8") as out:
            out.write(f'k = "{KEY}"\n')
    done = repository.check(limit=MEMORY)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "\x07" not in done.stdout
    assert done.stdout.count("[RG111") == 3
    # git lists no FIFO
    assert done.stdout.count("[RG903") == 4
    assert "new\\nline.py:1:" in done.stdout
    assert "\\x1b[31mred" in done.stdout
    assert "\\xff\\xfe.py" in done.stdout
    for path in ("fifo", "loop", "zero", "huge.txt", "out.py"):
        assert repository.check(path, "--fail-on", "note").returncode == 1


@pytest.mark.parametrize("words", ["", "--exclude x"], ids=["plain", "click"])
def test_a_closed_pipe_is_one_status(run: Run, words: str) -> None:
    for number in range(300):
        run.write(f"f{number}.py", f'k = "{KEY}"\n')
    command = f"{{ '{sys.executable}' -m guard check {words}; echo $? >&2; }} | true"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=run.project,
        env={"HOME": str(run.home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == "141"
    assert "Traceback" not in done.stderr


def test_git_is_heard_where_the_ends_of_children_are_ignored(run: Run) -> None:
    run.write("a.py", f'k = "{KEY}"\n')
    run.write(".git/index", "damaged")
    done = subprocess.run(
        [sys.executable, "-m", "guard", "check", "--all"],
        cwd=run.project,
        env={"HOME": str(run.home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
        check=False,
    )
    assert done.returncode == 1
    assert "git cannot list it" in done.stdout


def test_a_selection_of_nothing_is_a_mistake() -> None:
    """`--select "$RULES"` with an unset variable would otherwise look for everything."""
    with pytest.raises(UsageError, match="names no rule"):
        chosen(("",), ())
    assert chosen((), ()) == frozenset(RULES)


def test_placeholders_are_counted_and_reported_where_everything_is_asked_for(
    repository: Run,
) -> None:
    """Every rule passes over the same values, and a random key is an error in a test too."""
    root = repository.project
    (root / ".env").write_text("OPENAI_API_KEY=sk-123456\nFROBNICATOR_API_KEY=your-key-here\n")
    (root / "app.py").write_text('ANTHROPIC_API_KEY = "sk-ant-api03-test"\n')
    (root / "compose.yaml").write_text("services:\n a:\n  environment:\n   GROQ_API_KEY: dummy\n")
    (root / "Dockerfile").write_text("FROM x\nENV MISTRAL_API_KEY=sk-1234567890abcdef\n")
    (root / "tests").mkdir()
    key = "sk-proj-" + "q8Zr2Lm9Xw4TkP7vBd3NsYh6" * 2
    (root / "tests/test_a.py").write_text(f'KEY = "{key}"\nBASE = "x"\n')
    (root / "tests/.env").write_text("OPENAI_BASE_URL=https://api.openai.com/v1\n")
    found = json.loads(repository.check("--format", "json", ".").stdout)
    told = [(f["location"]["path"], f["rule"], f["severity"]) for f in found["findings"]]
    assert sorted(told) == [
        ("tests/.env", "RG103", "warning"),
        ("tests/test_a.py", "RG111", "error"),
    ]
    assert {f["context"] for f in found["findings"]} == {"tests/"}
    assert found["summary"]["placeholders"] == 5
    assert "5 placeholders passed over" in repository.check(".").stdout
    strict = json.loads(repository.check("--format", "json", "--strict", ".").stdout)
    assert strict["summary"]["placeholders"] == 0
    more = [f for f in strict["findings"] if "only stands for a key" in f["message"]]
    assert sorted((f["location"]["path"], f["rule"]) for f in more) == [
        (".env", "RG101"),
        (".env", "RG102"),
        ("Dockerfile", "RG101"),
        ("app.py", "RG111"),
        ("compose.yaml", "RG101"),
    ]
    assert {f["severity"] for f in more} == {"warning", "note"}
    assert repository.check("--strict", "--env").returncode == 2
