"""`routeguard check [PATH…]`: the policy, applied to files or to the environment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

import click

from guard.errors import ExitCode, UsageError, printable
from guard.findings import SEVERITIES
from guard.launch.process import own_environment, working_directory
from guard.masking import masked, remember_names, without_secrets
from guard.policy import cache
from guard.report.terminal import plain, say, show
from guard.report.words import counted
from guard.rule_table import RULES

if TYPE_CHECKING:
    from guard.check.baseline import Baseline
    from guard.check.engine import Settings
    from guard.check.result import Result
    from guard.policy.values import CompiledPolicy
    from guard.sources.tree import Tree

FORMATS = ("text", "json", "sarif", "github")
"""Each is a module of `guard.report` with `render(result, root)`."""


@click.command(
    epilog="""\b
Examples:
  routeguard check                       the repository (what git tracks or does not ignore)
  routeguard check .env deploy/          a file, even if git ignores it, and a directory
  routeguard check --staged              what `git commit` would commit, for a hook of your own
  routeguard check --exclude 'tests/*'   without what is wrong on purpose
  routeguard check --env                 this shell and what a launch from here would meet
  routeguard check --env --ci            the same for a CI job
  routeguard check --env-file prod.env   the variables of a dotenv file
  routeguard check --write-baseline      let today's findings wait; from now on only new ones count
  routeguard check --fix                 show what can be fixed safely; --yes writes it
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
@click.option("--env", is_flag=True, help="Check the environment instead of files.")
@click.option("--env-file", metavar="FILE", help="Check a dotenv file as if it were one.")
@click.option(
    "--ci/--no-ci",
    default=None,
    help="The environment as a CI job has it; with --env, by itself where CI is set.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="How findings are written. By itself text, or github where GITHUB_ACTIONS=true.",
)
@click.option("--output", metavar="FILE", help="Write the report there instead of on stdout.")
@click.option(
    "--fail-on",
    type=click.Choice(list(reversed(SEVERITIES))),
    default="error",
    show_default=True,
    help="The least severity that ends in status 1.",
)
@click.option("--select", multiple=True, metavar="RULES", help="Only these rules (RG101,RG201…).")
@click.option("--ignore", multiple=True, metavar="RULES", help="Not these rules.")
@click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Not these paths, as seen from the root."
)
@click.option(
    "--baseline",
    "baseline_path",
    metavar="FILE",
    help="Known findings that may wait. By itself .routeguard-baseline.json, if it is there.",
)
@click.option("--no-baseline", is_flag=True, help="Report what the baseline holds, too.")
@click.option("--write-baseline", is_flag=True, help="Write the findings of now as the baseline.")
@click.option("--fix", is_flag=True, help="Show what can be fixed safely, as a diff.")
@click.option("--yes", is_flag=True, help="With --fix: write it.")
@click.option("-q", "--quiet", is_flag=True, help="No report if nothing fails.")
def check(
    paths: tuple[str, ...],
    staged: bool,
    env: bool,
    env_file: str | None,
    ci: bool | None,
    format_: str | None,
    output: str | None,
    fail_on: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    exclude: tuple[str, ...],
    baseline_path: str | None,
    no_baseline: bool,
    write_baseline: bool,
    fix: bool,
    yes: bool,
    quiet: bool,
) -> int:
    """Find what leaves the gateway: in files, or in the environment.

    Without PATH the repository of the current directory is checked from its root, or outside one
    the tree below it.
    """
    about_environment = env or ci is True or env_file is not None
    _one_of("PATH" * bool(paths), "--env" * (env or ci is True) or "--env-file" * bool(env_file))
    _one_of("--env" * env, "--env-file" * (env_file is not None))
    _one_of("--baseline" * (baseline_path is not None), "--no-baseline" * no_baseline)
    _one_of("--fix" * fix, "--write-baseline" * write_baseline)
    if staged and (env or ci is True or env_file is not None or fix or write_baseline):
        raise UsageError(
            "--staged goes with none of --env, --env-file, --ci, --fix and --write-baseline",
            why="it looks at git's index, and changes nothing there" if fix else "",
            fix="routeguard check --fix --yes, then: git add" if fix else "",
        )
    if yes and not fix:
        raise UsageError("--yes goes with --fix")
    if about_environment and (baseline_path is not None or write_baseline or fix or exclude):
        raise UsageError("--baseline, --exclude and --fix are for files, not for the environment")
    selected = rules_asked_for(select, ignore)
    began = time.monotonic()
    environ, cwd = dict(os.environ), working_directory()
    if about_environment:
        result = check_environment(environ, cwd, env_file, ci, selected)
    else:
        known = "" if no_baseline else baseline_path
        result = check_files(
            paths, environ, cwd, selected, exclude, known, write_baseline, fix, yes, staged
        )
    result = replace(result, seconds=time.monotonic() - began)
    failed = result.fails(fail_on)
    if failed or output is not None or not quiet:
        report(result, format_ or default_format(environ), output, cwd)
    return ExitCode.FINDINGS if failed else ExitCode.OK


def _one_of(first: str, second: str) -> None:
    if first and second:
        raise UsageError(f"{first} and {second} exclude each other")


def rules_asked_for(select: Sequence[str], ignore: Sequence[str]) -> frozenset[str]:
    """The ids of the rules to look for. Each argument is a list of ids or names, by commas.

    Raises UsageError for what is no rule.
    """
    chosen = frozenset(_rules(select))
    if select and not chosen:
        # `--select "$RULES"` with nothing in it must not mean the opposite of what it says
        raise UsageError("--select names no rule", fix="`routeguard rules` lists them")
    if not chosen:
        chosen = frozenset(RULES)
    return chosen - frozenset(_rules(ignore))


def _rules(lists: Iterable[str]) -> Iterator[str]:
    by_name = {rule.name: rule.id for rule in RULES.values()}
    for word in (part.strip() for text in lists for part in text.split(",")):
        if not word:
            continue
        if word.upper() in RULES:
            yield word.upper()
        elif word.lower() in by_name:
            yield by_name[word.lower()]
        else:
            from difflib import get_close_matches

            near = get_close_matches(word.upper(), RULES, n=1, cutoff=0.7)
            near = near or get_close_matches(word.lower(), by_name, n=1)
            raise UsageError(
                f"there is no rule {printable(word)}",
                fix=(f"did you mean {near[0]}? " if near else "") + "`routeguard rules` lists them",
            )


def default_format(environ: Mapping[str, str]) -> str:
    """The format when none is asked for: GitHub's own in a GitHub Actions job, else text."""
    return "github" if environ.get("GITHUB_ACTIONS") == "true" else "text"


# The two checks ----------------------------------------------------------------------------------


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
    remember_names(entry.key_env for entry in policy.providers)
    asked = environment.Asked(environ, cwd, policy, time.time(), runner)
    if env_file is not None:
        return environment.check_file(asked, env_file, selected)
    return environment.check(asked, selected)


def check_files(
    paths: Sequence[str],
    environ: Mapping[str, str],
    cwd: str,
    selected: frozenset[str],
    exclude: Sequence[str],
    baseline_path: str | None,
    write_baseline: bool,
    fix: bool,
    yes: bool,
    staged: bool,
) -> Result:
    """Check files. `baseline_path` None is the default one if it exists, "" is none.

    `staged` reads them from git's index; policy and baseline are those of the work tree.
    """
    from guard.check import baseline, engine
    from guard.sources import digest_key, index, tree

    own = own_environment(environ)
    found = tree.without((index if staged else tree).collect(paths, cwd), exclude)
    known_at = os.path.join(found.root, baseline.DEFAULT_NAME)
    if baseline_path:
        known_at = os.path.join(cwd, baseline_path)
    known = None
    if baseline_path or (baseline_path is None and os.path.lexists(known_at)):
        known = baseline.read(known_at) if not write_baseline or os.path.lexists(known_at) else None
    # digests look like what a detector looks for, and hold nothing
    real = os.path.realpath(known_at)
    found = replace(found, entries=tuple(e for e in found.entries if e.absolute != real))
    settings = engine.Settings(
        policy=cache.load(found.root, own, here=cwd),
        selected=selected,
        digest_key=digest_key.load(own),
        now=time.time(),
        index=found.root if staged else "",
    )
    if write_baseline:
        return _write_baseline(found, settings, known, known_at)
    result = engine.check(found, settings, known)
    if fix and _fix(result, found, settings.policy, yes):
        result = engine.check(found, settings, known)
    return result


def _write_baseline(found: Tree, settings: Settings, old: Baseline | None, path: str) -> Result:
    from guard.check import baseline, engine

    result = engine.check(found, settings)
    new = baseline.of(zip(result.findings, result.fingerprints, strict=True))
    if old is not None:
        checked = frozenset(entry.path for entry in found.entries)
        new = baseline.kept(old, new, None if found.whole else checked, settings.selected)
    baseline.write(new, path)
    count = sum(new.entries.values())
    say(f"{counted(count, 'finding')} wait{'s' * (count == 1)} in {path}")
    left, waiting, _ = baseline.apply(new, zip(result.findings, result.fingerprints, strict=True))
    return replace(
        result,
        findings=tuple(finding for finding, _ in left),
        fingerprints=tuple(digest for _, digest in left),
        baselined=tuple(waiting),
    )


def _fix(result: Result, found: Tree, policy: CompiledPolicy, yes: bool) -> bool:
    """Show what can be fixed, and write it if `yes`; whether anything was written."""
    from guard.check import fix

    changes = fix.plan(result.findings, found.entries, policy)
    if not changes:
        say("nothing here can be fixed safely")
        return False
    show(fix.diff(changes), err=True, whole=True)
    files = counted(len(changes), "file")
    if not yes:
        say(f"{files} would change; --yes writes it")
        return False
    for change in changes:
        fix.apply(change)
    say(f"{files} changed")
    return True


# Output ------------------------------------------------------------------------------------------


def report(result: Result, format_: str, output: str | None, cwd: str) -> None:
    """Write `result` to `output`, or to stdout. Raises UsageError if it cannot be written.

    Text shows paths as seen from `cwd`; the other formats as seen from the result's root, which
    is what the programs that read them expect.
    """
    render = import_module(f"guard.report.{format_}").render
    text = render(_without_secrets(result), cwd if format_ == "text" else result.root)
    if output is None:
        if format_ == "text":
            show(text)
        else:
            click.echo(masked(text))
        return
    try:
        with open(os.path.join(cwd, output), "w", encoding="utf-8", errors="replace") as file:
            file.write(masked(plain(text)) + "\n")
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
        remarks=tuple(map(masked, result.remarks)),
    )
