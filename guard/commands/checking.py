"""What `check` does with its arguments. No click here: a hook of git runs it at each commit, and
click is a third of such a start, so plain arguments are read without it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from guard.commands.plainly import PlainWords
from guard.errors import ExitCode, UsageError, printable
from guard.files.write import obstacle
from guard.findings import SEVERITIES
from guard.launch.process import own_environment, working_directory
from guard.masking import masked, remember_names, without_secrets
from guard.policy import cache
from guard.report.terminal import Progress, columns, plain, say, show
from guard.rules.chosen import chosen

if TYPE_CHECKING:
    from guard.check.result import Result

FORMATS = ("text", "concise", "json", "sarif", "github")
"""Each is a module of `guard.report` with `render(result, root)`."""

WORDS = PlainWords(
    flags={
        "--staged": "staged",
        "--all": "whole",
        "--json": "as_json",
        "--strict": "strict",
        "--no-baseline": "no_baseline",
        "--stats": "stats",
        "-q": "quiet",
        "--quiet": "quiet",
    },
    choices={"--format": ("format_", FORMATS), "--fail-on": ("fail_on", SEVERITIES)},
    rest="paths",
    packages=True,
)


def command(
    paths: tuple[str, ...] = (),
    *,
    staged: bool = False,
    since: str | None = None,
    env: bool = False,
    env_file: str | None = None,
    ci: bool | None = None,
    format_: str | None = None,
    whole: bool = False,
    as_json: bool = False,
    output: str | None = None,
    fail_on: str = "error",
    select: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    baseline: str | None = None,
    no_baseline: bool = False,
    write_baseline: bool = False,
    fix: bool = False,
    yes: bool = False,
    strict: bool = False,
    stats: bool = False,
    quiet: bool = False,
) -> int:
    """Check and report as the options say, which are those of the command; the exit status.

    Raises GuardError.
    """
    about_environment = env or ci is True or env_file is not None
    _one_of("PATH" * bool(paths), "--env" * (env or ci is True) or "--env-file" * bool(env_file))
    _one_of("--env" * env, "--env-file" * (env_file is not None))
    _one_of("--baseline" * (baseline is not None), "--no-baseline" * no_baseline)
    _one_of("--fix" * fix, "--write-baseline" * write_baseline)
    _one_of("--json" * as_json, "--format" * (format_ not in (None, "json")))
    if staged and (about_environment or fix or write_baseline):
        raise UsageError(
            "--staged excludes --env, --env-file, --ci, --fix and --write-baseline",
            why="it checks git's index, and changes nothing there" if fix else "",
            fix="routeguard check --fix --yes\nthen `git add` what it has changed" if fix else "",
        )
    if since is not None and (about_environment or write_baseline):
        raise UsageError("--since excludes --env, --env-file, --ci and --write-baseline")
    if since == "":
        raise UsageError("--since needs a commit or a branch", fix="routeguard check --since main")
    if yes and not fix:
        raise UsageError("--yes needs --fix")
    if about_environment and (baseline is not None or write_baseline or fix or exclude):
        raise UsageError("--baseline, --exclude and --fix are for files, not for the environment")
    if (strict or stats) and about_environment:
        raise UsageError("--strict and --stats are for files, not for the environment")
    selected = chosen(select, ignore)
    began, nothing = time.monotonic(), False
    environ, cwd = dict(os.environ), working_directory()
    if output is not None and (why := obstacle(os.path.join(cwd, output), in_place=True)):
        raise _not_written(output, why)
    with Progress("checking") as progress:
        if about_environment:
            result = check_environment(environ, cwd, env_file, ci, selected)
        else:
            from guard.check import files

            known = "" if no_baseline else baseline
            asked = files.FileRequest(
                paths,
                selected,
                exclude,
                known,
                write_baseline,
                fix,
                yes,
                staged,
                strict=strict,
                since=since or "",
                stats=stats,
            )
            done = files.check(asked, environ, cwd, progress)
            result = done.result
            progress.end()
            if done.diff:
                show(done.diff, err=True, whole=True)
            for text in done.said:
                say(text)
            nothing = done.nothing
    result = result.changed(seconds=time.monotonic() - began)
    failed = result.fails(fail_on)
    shape = "json" if as_json else format_ or default_format(environ)
    said = nothing and shape == "text" and output is None
    reported = (failed or output is not None or not quiet) and not said
    if reported:
        report(result, shape, output, cwd, whole=whole)
    if result.stats is not None and not (reported and shape in ("text", "json")):
        from guard.report.text import read_and_passed_over

        show(read_and_passed_over(result, result.stats), err=True)
    return ExitCode.FINDINGS if failed else ExitCode.OK


def _one_of(first: str, second: str) -> None:
    if first and second:
        raise UsageError(f"{first} and {second} exclude each other")


def default_format(environ: Mapping[str, str]) -> str:
    """The format when none is asked for: GitHub's own in a GitHub Actions job, else text."""
    return "github" if environ.get("GITHUB_ACTIONS") == "true" else "text"


def check_environment(
    environ: Mapping[str, str],
    cwd: str,
    env_file: str | None,
    ci: bool | None,
    selected: frozenset[str],
) -> Result:
    """Check the process environment, or the variables of the dotenv file `env_file`."""
    from guard.check import ci_runners, environment

    runner = None if ci is False else ci_runners.runner(environ)
    if ci and runner is None:
        runner = ci_runners.OTHER
    policy = cache.load(cwd, own_environment(environ))
    remember_names(policy.gateway_keys)
    asked = environment.EnvironmentRequest(environ, cwd, policy, time.time(), runner)
    if env_file is not None:
        return environment.check_file(asked, env_file, selected)
    return environment.check(asked, selected)


def report(
    result: Result, format_: str, output: str | None, cwd: str, *, whole: bool = False
) -> None:
    """Write `result` to `output`, or to stdout. Raises UsageError if it cannot be written.

    What people and their editors read shows paths as seen from `cwd`; the other formats as seen
    from the result's root, which is what the programs that read them expect. `whole` folds no
    findings of tests in a text.
    """
    result = _without_secrets(result)
    if format_ == "text":
        from guard.report import text as as_text

        width = columns() if output is None else 0
        text = as_text.render(result, cwd, width=width, whole=whole)
    else:
        render = import_module(f"guard.report.{format_}").render
        text = render(result, cwd if format_ == "concise" else result.root)
    if output is None:
        if format_ == "text":
            show(text)
        elif text:
            show(text, whole=True)
        return
    try:
        with open(os.path.join(cwd, output), "w", encoding="utf-8", errors="replace") as file:
            file.write(masked(plain(text)) + "\n" * bool(text))
    except OSError as error:
        raise _not_written(output, (error.strerror or str(error)).lower()) from None


def _not_written(output: str, why: str) -> UsageError:
    return UsageError(f"cannot write {printable(output)}", why=why)


def _without_secrets(result: Result) -> Result:
    """`result` as a report may write it, in whatever encoding its format has for names and paths.

    Paths are masked as well: a file can be named after a key.
    """
    return result.changed(
        findings=tuple(map(without_secrets, result.findings)),
        suppressed=tuple(map(without_secrets, result.suppressed)),
        baselined=tuple(map(without_secrets, result.baselined)),
        excepted=tuple(map(without_secrets, result.excepted)),
        placeholders=tuple(map(without_secrets, result.placeholders)),
        remarks=tuple(map(masked, result.remarks)),
    )
