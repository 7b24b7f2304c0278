"""The environment that install.sh makes: built beside the old one, taken into use by one rename.

Runs with nothing but the standard library, from the clone itself.

  DATA/versions/STAMP   an environment for each installed version
  DATA/venv             link to the version in use: shells that are open hold paths through it
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from glob import escape, glob

from guard import paths, shells
from guard.files.write import write
from guard.install.refusals import NotPossibleError
from guard.install.way import environment_link, versions

SOURCE = "routeguard-source"
"""Left in an environment: what it was built from."""

MANUAL = ("share", "man", "man1", "routeguard.1")
"""Where an environment has the manual page."""

STARTS = ["manual"]
"""What an environment that works can do. `--help` would tell nothing: it needs no dependency. The
manual loads every command."""

PIP_KEPT = (
    "index-url", "extra-index-url", "no-index", "find-links", "proxy", "cert", "client-cert",
    "trusted-host", "timeout", "default-timeout", "retries", "cache-dir", "no-cache-dir",
    "keyring-provider", "use-feature", "use-deprecated",
)  # fmt: skip
"""pip's settings of the user that count. The others (prefix, target, user, python, constraints …)
would put the packages elsewhere."""

Wait = Callable[[str, subprocess.Popen[bytes]], int]
"""Waits for a process, and tells a person what takes so long; its exit status."""


def source_id(clone: str, extras: Sequence[str]) -> str:
    """What an environment is built from, to know whether it is this one: one line each."""
    found = hashlib.sha256()
    for top in ("guard", "shell", "pyproject.toml"):
        for name in sorted(_files(os.path.join(clone, top))):
            with open(name, "rb") as file:
                content = hashlib.sha256(file.read()).hexdigest()
            found.update(f"{os.path.relpath(name, clone)} {content}\n".encode("utf-8", "replace"))
    version = ".".join(map(str, sys.version_info[:2]))
    lines = (found.hexdigest(), sys.executable, version, ",".join(sorted(extras)))
    return "".join(f"{line}\n" for line in lines)


def _files(top: str) -> list[str]:
    if os.path.isfile(top):
        return [top]
    found = []
    for parent, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found += [os.path.join(parent, name) for name in names]
    return found


def extras_in_use(environ: Mapping[str, str]) -> list[str]:
    """The optional parts (pyproject.toml) that the version in use was built with."""
    lines = _source_lines(environment_link(environ))
    return [name for name in lines[3].split(",") if name] if len(lines) > 3 else []


def _source_lines(environment: str) -> list[str]:
    try:
        with open(os.path.join(environment, SOURCE), encoding="utf-8") as file:
            return file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def is_current(environ: Mapping[str, str], wanted: str) -> bool:
    """Whether the version in use was built from `wanted` (of `source_id`), and starts."""
    link = environment_link(environ)
    return _source_lines(link) == wanted.splitlines() and not _start(link, STARTS).returncode


def python_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without what it tells other Pythons: -I is not passed on by every program."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith("PYTHON") and name != "VIRTUAL_ENV"
    }


def pip_environ(python: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a pip that has the user's index, proxy and certificates and no other
    setting of theirs, from PIP_… and from pip's own files, which pip itself is asked for.

    Raises NotPossibleError if pip cannot read them.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith("PIP_")}
    kept["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    # without the first, a `python` in a file of pip would have another one answer
    asked = {**kept, "_PIP_RUNNING_IN_SUBPROCESS": "1"}
    if "PIP_CONFIG_FILE" in environ:
        asked["PIP_CONFIG_FILE"] = environ["PIP_CONFIG_FILE"]
    command = [python, "-I", "-m", "pip", "config", "list"]
    listed = subprocess.run(command, env=asked, stdin=subprocess.DEVNULL, capture_output=True)
    if listed.returncode:
        raise NotPossibleError(
            "pip cannot read its own settings",
            why=_last_lines(listed.stderr),
            fix="mend the file, or:\n" + shells.export("PIP_CONFIG_FILE", "/dev/null"),
        )
    settings = {}
    for line in listed.stdout.decode("utf-8", "replace").splitlines():
        name, equals, value = line.partition("=")
        section, _, key = name.partition(".")
        if equals and section in ("global", "install"):
            settings[section, key] = str(ast.literal_eval(value))
    for key in PIP_KEPT:
        variable = "PIP_" + key.upper().replace("-", "_")
        # a later one wins
        named = (
            settings.get(("global", key)),
            settings.get(("install", key)),
            environ.get(variable),
        )
        for one in named:
            if one is not None:
                kept[variable] = one
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1"}


def build(
    clone: str, extras: Sequence[str], environ: Mapping[str, str], uv: str, wait: Wait
) -> None:
    """Build an environment from `clone`, and take it into use once it has started.

    Raises NotPossibleError where that is not possible; the version in use then stays, and what
    was begun is removed, also on Ctrl-C.
    """
    link, place = environment_link(environ), versions(environ)
    try:
        previous = os.path.basename(os.readlink(link))
    except OSError:
        previous = ""
    os.makedirs(place, exist_ok=True)
    for name in os.listdir(place):
        # what an installation that was killed has left, and versions before the last one
        if name != previous:
            _remove(os.path.join(place, name))
    version = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
    target = os.path.join(place, version)
    try:
        _fill(target, clone, extras, environ, uv, wait)
        for words in (STARTS, ["hook", "bash"], ["hook", "zsh"], ["hook", "fish"]):
            done = _start(target, words)
            if done.returncode:
                raise NotPossibleError(
                    "the new version does not start; nothing was changed",
                    where=f"routeguard {' '.join(words)}",
                    why=_last_lines(done.stderr),
                )
        page = os.path.join(target, *MANUAL)
        os.makedirs(os.path.dirname(page), exist_ok=True)
        write(page, _start(target, ["manual"]).stdout, 0o644)
        draft = f"{link}.new.{os.getpid()}"
        os.symlink(f"versions/{version}", draft)
        os.replace(draft, link)
    except BaseException:
        _remove(target)
        raise


def _fill(
    target: str,
    clone: str,
    extras: Sequence[str],
    environ: Mapping[str, str],
    uv: str,
    wait: Wait,
) -> None:
    environ = python_environ(environ)
    python = os.path.join(target, "bin/python")
    wanted = clone + (f"[{','.join(sorted(extras))}]" if extras else "")
    label = "installing the packages"
    if uv:
        # a cache is used if there is one, and not made if there is none
        cached = "UV_CACHE_DIR" in environ or os.path.isdir(
            os.path.join(paths.cache_home(environ), "uv")
        )
        words = [uv] if cached else [uv, "--no-cache"]
        venv = [*words, "venv", "--quiet", "--no-project", "--python", sys.executable, target]
        _run(venv, environ, "making the environment", wait)
        # named, because a uv.toml may name another one
        (site,) = glob(os.path.join(escape(target), "lib/python*/site-packages"))
        words += ["pip", "install", "--quiet", "--compile-bytecode", "--python", python]
        _run([*words, "--target", os.path.realpath(site), wanted], environ, label, wait)
    else:
        venv = [sys.executable, "-I", "-m", "venv", target]
        _run(venv, environ, "making the environment", wait)
        words = [python, "-I", "-m", "pip", "install", "--quiet", wanted]
        caches = (os.path.join(paths.cache_home(environ), "pip"), _mac_cache(environ))
        if not environ.get("PIP_CACHE_DIR") and not any(map(os.path.isdir, caches)):
            words.append("--no-cache-dir")
        _run(words, pip_environ(python, environ), label, wait)
    # A path without Python's version in it: shells that are open keep working over an upgrade.
    # The directory holds nothing but this package, so a launch can import no other by accident.
    found = glob(os.path.join(escape(target), "lib/python*/site-packages/guard/__main__.py"))
    if not found:
        raise NotPossibleError(
            "the package is not where it was to be installed; nothing was changed", where=target
        )
    os.mkdir(os.path.join(target, "run"))
    package = os.path.relpath(os.path.dirname(found[0]), os.path.join(target, "run"))
    os.symlink(package, os.path.join(target, "run/guard"))
    write(os.path.join(target, SOURCE), os.fsencode(source_id(clone, extras)), 0o644)


def _mac_cache(environ: Mapping[str, str]) -> str:
    return os.path.join(paths.home(environ), "Library/Caches/pip")


def _run(words: list[str], environ: Mapping[str, str], label: str, wait: Wait) -> None:
    with subprocess.Popen(words, env=dict(environ), stdin=subprocess.DEVNULL) as process:
        try:
            status = wait(label, process)
        except BaseException:
            process.terminate()
            raise
    if status:
        raise NotPossibleError(
            f"the environment could not be built ({label} failed, see above); nothing was changed",
            where=" ".join(words[:4]),
        )


def _start(environment: str, words: list[str]) -> subprocess.CompletedProcess[bytes]:
    command = [
        os.path.join(environment, "bin/python"),
        "-I", "-S", os.path.join(environment, "run/guard/__main__.py"), *words,
    ]  # fmt: skip
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, b"", str(error).encode())


def _last_lines(said: bytes) -> str:
    return "\n".join(said.decode("utf-8", "replace").splitlines()[-3:])


def _remove(path: str) -> None:
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    else:
        shutil.rmtree(path, ignore_errors=True)
