"""What install.sh runs from the clone: make the environment, and hand over to `routeguard setup`.

No third-party package is there yet, so nothing here imports one, and --uninstall works whatever
has become of the environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping

from guard.commands.steps import say, step
from guard.errors import ExitCode, UsageError
from guard.files.write import write
from guard.hook import SHELLS
from guard.install import answers, environment, files, teardown
from guard.install.refusals import NotPossibleError, not_written
from guard.install.state import alone, missing_directories, remember_missing, require_own_home
from guard.install.way import CLONE, Way, environment_link, of_install_sh, versions
from guard.managed.files import remove_own
from guard.paths import PACKAGE, here, routeguard_data
from guard.report.terminal import Progress, can_ask
from guard.report.words import span
from guard.signals import ended_with_us

USAGE = """\
Usage: ./install.sh [OPTION]...

Installs routeguard for you (no root) from this clone, which may be deleted afterwards,
and runs `routeguard setup`. Every option of that works here, such as:

  --shell bash|zsh|fish|all   set up this shell; may be given more than once
  --no-rc, --no-shims         leave start files alone; make no shims
  --key-from SOURCE, --gateway URL
                              where the gateway key is; which gateway
  --yes                       ask nothing (the default where there is no terminal)
  --dry-run                   print every file that would be written, and write nothing

and of its own:
  --force                     build again even if this very version is installed
  --uninstall                 remove everything, as `routeguard teardown --yes` does
  --purge                     with --uninstall: your policy and the audit log, too
  -h, --help                  this text

Examples:
  ./install.sh --dry-run            what would it do?
  ./install.sh                      do it
  ./install.sh --shell zsh          only for zsh
  ./install.sh --uninstall          leave no line behind

Exit status: 0 done, 1 not possible (nothing changed unless it says so), 2 usage."""

WITH_VALUE = ("--shell", "--key-from", "--gateway", "--provider", "--layout")
WITHOUT_VALUE = ("--no-rc", "--no-shims", "--no-completion", "--no-verify", "--yes", "--dry-run")
"""The options of setup, which are passed on; a test compares them with its own."""

_OWN = ("--force", "--uninstall", "--purge")


@ended_with_us()
def main(argv: list[str]) -> int:
    """Run install.sh's part with its arguments; returns the exit status, or becomes setup."""
    if {"-h", "--help"} & set(argv):
        print(USAGE)
        return ExitCode.OK
    options, words = _parsed(argv)
    # nobody else may write to what is made, whatever the umask was
    os.umask(os.umask(0o077) | 0o022)
    environ = dict(os.environ)
    require_own_home(environ, here())
    if "--uninstall" in options:
        return _uninstall(environ, purge="--purge" in options, dry_run="--dry-run" in options)
    return _install(os.path.dirname(PACKAGE), options, words, environ)


def _parsed(argv: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The options with their values, and the words for setup. Raises UsageError."""
    found: dict[str, list[str]] = {}
    passed = []
    left = list(argv)
    while left:
        name, equals, value = left.pop(0).partition("=")
        if name in WITH_VALUE:
            if not equals:
                if not left:
                    raise _usage(f"{name} needs a value")
                value = left.pop(0)
            answers.refuse_wrong(name, value)
            passed += [name, value]
        elif equals or name not in (*WITHOUT_VALUE, *_OWN):
            raise _usage(f"unknown option {name!r}")
        elif name not in _OWN:
            passed.append(name)
        found.setdefault(name, []).append(value)
    for shell in found.get("--shell", []):
        if shell not in (*SHELLS, "all"):
            raise _usage(f"--shell takes {', '.join(SHELLS)} or all, not {shell!r}")
    if "--shell" in found and "--no-rc" in found:
        raise _usage("--no-rc and --shell exclude each other")
    if "--purge" in found and "--uninstall" not in found:
        raise _usage("--purge goes with --uninstall")
    return found, passed


def _usage(what: str) -> UsageError:
    return UsageError(f"install.sh: {what}", fix="./install.sh --help")


def _uninstall(environ: Mapping[str, str], *, purge: bool, dry_run: bool) -> int:
    say("Would remove (dry run: nothing is removed now):" if dry_run else "Removing routeguard:")
    remove_own(environ, step, dry_run=dry_run)
    hooked = teardown.run(environ, step, purge=purge, dry_run=dry_run)
    if not dry_run:
        for line in teardown.ended(hooked=hooked, stays=False):
            say(line)
    return ExitCode.OK


def _install(
    clone: str, options: Mapping[str, list[str]], words: list[str], environ: Mapping[str, str]
) -> int:
    way = of_install_sh(environ, clone)
    link = environment_link(environ)
    if os.path.lexists(link) and not os.path.islink(link):
        raise NotPossibleError(
            "something that is not from install.sh is in the way", where=link, fix="move it aside"
        )
    planned = files.plan(
        files.Choices(tuple(options.get("--shell", ())), rc="--no-rc" not in options), environ
    )
    files.check(way, planned)
    extras = set(environment.extras_in_use(environ))
    if "keyring" in options.get("--key-from", ()):
        extras.add("keyring")
    wanted = environment.source_id(clone, sorted(extras))
    dry_run = "--dry-run" in options
    python = f"{sys.executable} ({'.'.join(map(str, sys.version_info[:2]))})"
    uv = shutil.which("uv") or ""
    if "--force" not in options and environment.is_current(environ, wanted):
        say("Installing routeguard:")
        step("unchanged", f"{link}, {python}")
    elif dry_run:
        say("Would write (dry run: nothing is written now):")
        step("python", f"{python}, {uv or 'pip'}")
        step("write", f"{versions(environ)}/…")
        step("link", link)
        _show_files(way, planned, options, environ)
        return ExitCode.OK
    else:
        say("Installing routeguard:")
        step("python", f"{python}, {uv or 'pip'}")
        missing = missing_directories(files.ours(environ, way, planned))
        with alone(environ):
            remember_missing(environ, missing)
            _forget_killed(environ)
            environment.build(clone, sorted(extras), environ, uv, _wait)
        step("link", link)
    if not dry_run:
        _remember_clone(clone, environ)
    if not can_ask():
        words = [*words, *({"--yes", "--no-verify"} - set(words))]
    command = [way.python, "-I", "-S", way.main, "setup", "--clone", clone, *words]
    os.execve(way.python, command, environ)
    return ExitCode.INTERNAL  # execve does not return


def _show_files(
    way: Way,
    planned: files.StartFiles,
    options: Mapping[str, list[str]],
    environ: Mapping[str, str],
) -> None:
    found = {shell for _, shell in planned}
    shells = [] if "--no-completion" in options else sorted(found)
    choices = files.Choices(
        shims="--no-shims" not in options, completion=dict.fromkeys(shells, ""), manual="the page"
    )
    files.put(way, planned, choices, environ, step, dry_run=True)


def _forget_killed(environ: Mapping[str, str]) -> None:
    """Remove what an installation that was killed, or one of an earlier version, has left."""
    data = routeguard_data(environ)
    for name in os.listdir(data):
        path = os.path.join(data, name)
        if name.startswith("venv.new.") or (name == "lock" and os.path.islink(path)):
            os.unlink(path)
        elif name == "lock":
            shutil.rmtree(path, ignore_errors=True)


def _remember_clone(clone: str, environ: Mapping[str, str]) -> None:
    path = os.path.join(routeguard_data(environ), CLONE)
    try:
        write(path, os.fsencode(clone))
    except OSError as error:
        raise not_written(path, error) from None


def _wait(label: str, process: subprocess.Popen[bytes]) -> int:
    """Wait for `process`, and show on a terminal for how long."""
    begun = time.monotonic()
    with Progress(label) as progress:
        while True:
            try:
                status = process.wait(timeout=1)
                break
            except subprocess.TimeoutExpired:
                progress(f"{label}, {span(time.monotonic() - begun)}")
    step("build", f"{label}: {span(time.monotonic() - begun)}")
    return status
