"""Dispatch: `hook`, `exec` and `key` go straight to the hot path, all else to the click group.

`line` is what the hook of a shell asks about a typed line, `bootstrap` what install.sh runs from
its clone; no person calls either.

Hot-path module.
"""

from __future__ import annotations

import gc
import os
import sys

from guard import bytecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

HOT = ("exec", "hook", "key", "line")


class MaskedStream:
    """A text stream behind which no secret is written. Silent, it costs nothing.

    If it `folds`, its lines are folded at the width of the terminal that we belong to: for what is
    said without click, by a launch or about a typed line. A shell keeps the latter in a variable
    before it shows it, so the stream itself need not be the terminal.
    """

    def __init__(self, inner: Any, *, folds: bool = False) -> None:
        self._inner = inner
        self._folds = folds

    def write(self, text: str) -> int:
        """Write `text` masked; returns the length of `text`, as whoever wrote it expects.

        A stream that folds is given whole lines.
        """
        from guard.masking import masked

        shown = masked(text)
        if self._folds:
            from guard.report.controlling import folded

            shown = folded(shown)
        self._inner.write(shown)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write `lines`, masked together."""
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != "buffer":
            return found
        from guard.masking import MaskedBytes

        return MaskedBytes(found)


def main(argv: list[str]) -> int:
    """Run `routeguard` with `argv` (without the program name); returns the exit status.

    Whatever the command writes passes one mask. Only a hook does not: it is code, and a shell
    reads it.
    """
    hot = argv[0] if argv and argv[0] in HOT and not _wants_help(argv) else ""
    if argv in (["status", "--short"], ["doctor", "--short"]):
        hot = "status"  # at every prompt of whoever shows it there
    # closed by whoever started us (`>&-`): nobody wants to read it
    if hot in ("", "status", "hook") and sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
    _hear_children()
    if not hot:
        gc.enable()  # off since the start; what is hot is over before there is anything to collect
    stdout, stderr = sys.stdout, sys.stderr
    if hot != "hook" and stdout is not None:
        sys.stdout = MaskedStream(stdout)
    folds = hot == "line" or (hot in ("exec", "key") and stderr.isatty())
    sys.stderr = MaskedStream(stderr, folds=folds)
    try:
        return _run(hot, argv)
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        try:
            stderr.flush()
        except (OSError, ValueError):
            _drop(2)
        if finder := bytecode.news():
            from guard import bytecode_file

            bytecode_file.keep(finder)
        masking = sys.modules.get("guard.masking")
        if masking is not None:
            masking.forget()


def _hear_children() -> None:
    """Have the ends of processes that are started told again, where who started this one ignores
    SIGCHLD (it is inherited). Else Python takes 0 for the status of each: git that fails would look
    like git that found nothing, a key command that fails like one that printed a key.
    """
    import _signal  # type: ignore[import-not-found] # without the enum of `signal`

    if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def _run(hot: str, argv: list[str]) -> int:
    from guard.errors import ExitCode, GuardError, say

    try:
        status = _command(hot, argv)
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be written is said here, not by Python at the end
        return status
    except GuardError as error:
        from guard.masking import fix_without_secrets

        error.fix = fix_without_secrets(error.fix, error.where)
        if sys.stderr.isatty():
            from guard.report.terminal import show_error

            show_error(error)
        else:
            say(*error.render().split("\n"))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop(1)
        return 141
    except Exception as error:
        import errno

        if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
            _drop(1)
            say("routeguard: the output cannot be written: no space left where it goes")
            return ExitCode.CONFIG
        say(*_internal(error).split("\n"))
        return ExitCode.INTERNAL


def _command(hot: str, argv: list[str]) -> int:
    if hot == "exec":
        from guard.launch.execute import main as run_exec

        return run_exec(argv[1:])
    if hot == "line":
        from guard.proxies.starts import main as run_line

        return run_line(argv[1:])
    if hot == "key":
        from guard.launch.print_key import main as run_key

        return run_key(argv[1:])
    if hot == "status":
        from guard.doctor.status import main as run_status

        return run_status()
    if hot == "hook":
        from guard.hook.command import main as run_hook

        return run_hook(argv[1:])
    if argv[:1] == ["bootstrap"]:
        # without third-party packages: there are none yet
        from guard.commands.bootstrap import main as run_bootstrap

        return run_bootstrap(argv[1:])
    from guard.commands.plainly import main as run_plainly

    status = run_plainly(argv)
    if status is not None:
        return status
    from guard.packages import make_importable

    make_importable()
    from guard.cli import main as run_cli

    return run_cli(argv)


def _wants_help(argv: list[str]) -> bool:
    # only before the command: `exec -- AGENT --help` is the agent's help, not ours
    for word in argv[1:]:
        if word in ("-h", "--help"):
            return True
        if not word.startswith("-") or word == "--":
            return False
    return False


def _internal(error: Exception) -> str:
    """One message for a bug of ours: where it happened, never the values involved."""
    from guard import __version__

    trace = error.__traceback__
    place = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    version = ".".join(map(str, sys.version_info[:3]))
    return (
        f"routeguard: internal error, nothing was launched\n"
        f"  what:  {type(error).__name__} at {place}\n"
        f"  with:  routeguard {__version__}, Python {version}, {sys.platform}\n"
        f"  fix:   report it with the two lines above; they hold no values of yours"
    )


def _drop(descriptor: int) -> None:
    """Let what is still to be written go nowhere: the write at exit must not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
