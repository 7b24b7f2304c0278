"""`routeguard check [PATH…]`: the policy, applied to files or to the environment."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

import click

from guard.commands import complete
from guard.errors import ExitCode, UsageError, printable
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


@click.command(
    epilog="""\b
Examples:
  routeguard check                       the repository (what git tracks or does not ignore)
  routeguard check .env deploy/          a file, even if git ignores it, and a directory
  routeguard check --staged              what `git commit` would commit, for a hook of your own
  routeguard check --since origin/main   what this branch adds, for a pull request
  routeguard check --staged --since HEAD
                                         the lines that `git commit` would add
  routeguard check --exclude 'tests/*'   without what is wrong on purpose
  routeguard check --env                 this shell and what a launch from here would meet
  routeguard check --env --ci            the same for a CI job
  routeguard check --env-file prod.env   the variables of a dotenv file
  routeguard check --write-baseline      let today's findings wait; from now on only new ones count
  routeguard check --fix                 show what can be fixed safely; --yes writes it
  routeguard check --all                 tests and examples too, line by line
  routeguard check --format concise      one line each, as a compiler writes them, for an editor
  routeguard check --stats               what was read, what was passed over and how long it took
  routeguard check --format sarif --output routeguard.sarif

\b
In a file, a comment silences a rule on its line, or on the next if it stands alone:
  routeguard: ignore[RG201] the reason, without which it does not count

\b
Exit status: 0 clean, 1 findings at or above --fail-on, 2 usage, 3 policy or baseline,
4 internal error. `routeguard rules` lists the rules.""",
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=str))
@click.option("--staged", is_flag=True, help="Check what the next commit adds or changes.")
@click.option(
    "--since",
    metavar="REV",
    shell_complete=complete.branches,
    help="Only findings on lines added since this branch left REV.",
)
@click.option("--env", is_flag=True, help="Check the environment instead of files.")
@click.option("--env-file", metavar="FILE", help="Check the variables of a dotenv file.")
@click.option(
    "--ci/--no-ci",
    default=None,
    help="Check the environment as a CI job; with --env the default where CI is set.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="How findings are written. [default: text; github where GITHUB_ACTIONS=true]",
)
@click.option("--all", "whole", is_flag=True, help="Show findings in tests and examples too.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--output", metavar="FILE", help="Write the report there instead of to stdout.")
@click.option(
    "--fail-on",
    type=click.Choice(list(reversed(SEVERITIES))),
    default="error",
    show_default=True,
    help="The lowest severity that ends in status 1.",
)
@click.option(
    "--select",
    multiple=True,
    metavar="RULES",
    shell_complete=complete.rules,
    help="Only these rules (RG101,RG201…).",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="RULES",
    shell_complete=complete.rules,
    help="All but these rules.",
)
@click.option("--strict", is_flag=True, help="Report placeholders for keys too.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out these paths.")
@click.option(
    "--baseline",
    metavar="FILE",
    help="Known findings that may wait. [default: .routeguard-baseline.json if it exists]",
)
@click.option("--no-baseline", is_flag=True, help="Report what is in the baseline too.")
@click.option("--write-baseline", is_flag=True, help="Write the findings of now as the baseline.")
@click.option("--fix", is_flag=True, help="Show what can be fixed safely as a diff.")
@click.option("--yes", is_flag=True, help="With --fix: write it.")
@click.option("--stats", is_flag=True, help="Show what was read and what was passed over.")
@click.option("-q", "--quiet", is_flag=True, help="No report if nothing fails.")
def check(
    paths: tuple[str, ...],
    staged: bool,
    since: str | None,
    env: bool,
    env_file: str | None,
    ci: bool | None,
    format_: str | None,
    whole: bool,
    as_json: bool,
    output: str | None,
    fail_on: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    strict: bool,
    exclude: tuple[str, ...],
    baseline: str | None,
    no_baseline: bool,
    write_baseline: bool,
    fix: bool,
    yes: bool,
    stats: bool,
    quiet: bool,
) -> int:
    """Find in files or the environment what bypasses the gateway.

    Without PATH the repository of the current directory is checked from its root, or outside one
    the tree below it.
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
            fix="routeguard check --fix --yes, then: git add" if fix else "",
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
    result = replace(result, seconds=time.monotonic() - began)
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
            click.echo(masked(text))
        return
    try:
        with open(os.path.join(cwd, output), "w", encoding="utf-8", errors="replace") as file:
            file.write(masked(plain(text)) + "\n" * bool(text))
    except OSError as error:
        raise UsageError(
            f"cannot write {printable(output)}", why=(error.strerror or str(error)).lower()
        ) from None


def _without_secrets(result: Result) -> Result:
    """`result` as a report may write it, in whatever encoding its format has for names and paths.

    Paths are masked as well: a file can be named after a key.
    """
    return replace(
        result,
        findings=tuple(map(without_secrets, result.findings)),
        suppressed=tuple(map(without_secrets, result.suppressed)),
        baselined=tuple(map(without_secrets, result.baselined)),
        excepted=tuple(map(without_secrets, result.excepted)),
        placeholders=tuple(map(without_secrets, result.placeholders)),
        remarks=tuple(map(masked, result.remarks)),
    )
