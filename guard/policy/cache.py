"""The cache of the compiled policy, and the one way to it: `load`.

Hot-path module: a cached load reads one file and compares `stat` results. What it was compiled
from is recorded beside the values; anything that differs, or that looks touched, is compiled
again from the layers. The cache holds names of variables and key commands, never a key.
"""

from __future__ import annotations

import errno
import marshal
import os
import sys
from _imp import source_hash

from guard import __version__, paths
from guard.errors import PolicyError
from guard.files.read import read_own
from guard.policy.places import allowed_file, exists, project_files, refuse_misplaced, user_policy
from guard.policy.values import (
    AgentRoute,
    CompiledPolicy,
    GatewayProvider,
    OtherAgent,
    PolicyException,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_FORMAT = f"routeguard-policy 7 {sys.implementation.cache_tag} {sys.hexversion:x}"
"""What a cache file begins with: `marshal` has another form in each Python."""

_KEY = 0x726F757465
"""Of the checksum: the one that Python's own cache files use. It comes with the interpreter, while
`zlib` is a library that takes 0.3 ms to load, a fiftieth of a shell start."""

CACHE_BYTES = 4 * 1024 * 1024
"""Of a cache file that is read."""

_SHOWN_BYTES = 64 * 1024
"""What `policy show` says is kept up to here: each launch reads past it."""

_SOURCES = tuple(
    f"{paths.PACKAGE}/{name}"
    for name in (
        "__init__.py",
        "catalog/agents.py",
        "catalog/classify.py",
        "catalog/entries.py",
        "catalog/key_shapes.py",
        "catalog/local_proxies.py",
        "catalog/programs.py",
        "errors.py",
        "files/around.py",
        "files/lock.py",
        "files/quick_json.py",
        "files/quick_toml.py",
        "files/read.py",
        "files/toml.py",
        "files/write.py",
        "findings.py",
        "late.py",
        "net.py",
        "packages.py",
        "paths.py",
        "policy/accepted.py",
        "policy/authority.py",
        "policy/compile.py",
        "policy/cache.py",
        "policy/effective.py",
        "policy/keep.py",
        "policy/layers.py",
        "policy/locate.py",
        "policy/merge.py",
        "policy/model.py",
        "policy/places.py",
        "policy/problems.py",
        "policy/project_part.py",
        "policy/spans.py",
        "policy/syntax.py",
        "policy/trusted_file.py",
        "policy/values.py",
        "record.py",
        "rule_table.py",
        "shells.py",
    )
)
"""All that compiling imports: a clone in which one of them changes compiles again."""

_INSTALLED = tuple(
    f"{paths.PACKAGE}/{name}" for name in ("__init__.py", ".", "catalog", "files", "policy")
)
"""The same for a package that was installed, where nobody writes into a file: another release has
another version, and a directory shows that a file in it was put in the place of another. A tenth of
the files, in each launch."""


def load(
    cwd: str,
    environ: Mapping[str, str],
    *,
    system: str = paths.SYSTEM_POLICY,
    here: str = "",
    asked: bool = False,
) -> CompiledPolicy:
    """The policy that holds for a launch in `cwd`: from the cache, else compiled and cached.

    `here` is the directory we are in, if it is another. `asked` says that `paths.misplaced` found
    nothing in `environ` there, a moment ago. Raises PolicyError if a layer cannot be
    read, understood or trusted, or if `environ` takes it from the project. A cache that cannot be
    written costs time, not the launch.
    """
    if not asked:
        refuse_misplaced(environ, here or cwd)
    policy, _ = _load(cwd, environ, system)
    if policy.gateway_ca:
        from guard.policy.authority import refuse_changeable

        refuse_changeable(policy.gateway_ca, environ, here or cwd)
    return policy


def shown(cwd: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """What `routeguard policy show` says in `cwd`: `guard.policy.effective.as_plain`.

    From the cache, where it lies beside the compiled policy, else as the layers are read now.
    Raises PolicyError as `load` does.
    """
    refuse_misplaced(environ, cwd)
    _, kept = _load(cwd, environ, paths.SYSTEM_POLICY)
    try:
        found = marshal.loads(kept)  # noqa: S302 # this user's alone, see _read
    except _NOT_OURS:
        found = None
    if isinstance(found, dict):
        return found
    return _compile(paths.SYSTEM_POLICY, user_policy(environ), project_files(cwd))[2]


def _load(cwd: str, environ: Mapping[str, str], system: str) -> tuple[CompiledPolicy, bytes]:
    """The policy of the files for `cwd`; they alone decide, not the directory. And what
    `policy show` says of them, as `marshal` writes it; b"" where that is too long to be kept."""
    user = user_policy(environ)
    project = project_files(cwd)
    before = identities((system, user, allowed_file(user), *project, *_sources()))
    cache = _cache_file(environ, user, project)
    if cache:
        found = _read(cache, before)
        if found is not None:
            return found
    policy, data_files, said = _compile(system, user, project)
    kept = marshal.dumps(said)
    if len(kept) > _SHOWN_BYTES:  # a repository decides how much a layer says
        kept = b""
    if cache:
        from guard.policy.keep import keep

        of = identities(data_files)
        keep(cache, (*before, *of), _text(before, of, policy, kept))
    return policy, kept


def _sources() -> tuple[str, ...]:
    return _SOURCES if paths.is_clone(paths.PACKAGE) else _INSTALLED


def _compile(
    system: str, user: str, project: tuple[str, ...]
) -> tuple[CompiledPolicy, tuple[str, ...], dict[str, Any]]:
    from guard.packages import make_importable

    make_importable()
    try:
        from guard.policy.compile import compile_files
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "guard":
            raise
        raise PolicyError(
            "cannot read the policy: a package routeguard needs is not installed",
            where=sys.executable,
            why=f"the Python module {error.name} is missing",
            fix="install routeguard with its dependencies:\n"
            f"{sys.executable} -m pip install {os.path.dirname(paths.PACKAGE)}",
            rule="RG503",
        ) from None
    return compile_files(system, user, project)


# What a cached policy was compiled from ---------------------------------------------------------


def _identity(path: str) -> tuple[str | int, ...]:
    """What changes when the file at `path` does: also if times are set back, or if it goes."""
    try:
        found = os.stat(path)
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENOTDIR) and not exists(path)
        return (path, "absent" if gone else "unreadable")
    return (
        path,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_size,
        found.st_ino,
        found.st_mode,
        found.st_uid,
    )


def identities(files: Iterable[str]) -> tuple[tuple[str | int, ...], ...]:
    """Of each of `files` its path and what changes when the file does, "absent" or "unreadable"."""
    return tuple([_identity(path) for path in files])


# The cache file ----------------------------------------------------------------------------------


def _cache_file(environ: Mapping[str, str], user: str, project: tuple[str, ...]) -> str:
    """Where the policy of these layers is kept, or "" where there is no place for it."""
    try:
        base = paths.routeguard_cache(environ)
    except KeyError:
        return ""
    key = "\0".join((str(os.geteuid()), user, *project)).encode("utf-8", "surrogateescape")
    return f"{base}/policy/{checksum(key)}"


def _read(
    path: str, before: tuple[tuple[str | int, ...], ...]
) -> tuple[CompiledPolicy, bytes] | None:
    """What `_load` kept at `path`, or None unless it is whole, ours alone and still true."""
    first, _, body = (read_own(path, CACHE_BYTES) or b"").partition(b"\n")
    if first != _head(body):
        return None
    try:
        was, data_files, values, kept = marshal.loads(body)  # noqa: S302 # this user's alone, see read_own
        if was != before or any(_identity(known[0]) != known for known in data_files):
            return None
        plain = CompiledPolicy()
        if values.keys() != vars(plain).keys():
            return None
        for name, of in _PARTS:
            values[name] = tuple([of(**part) for part in values[name]])
            if not all(_like(part, of(**_LEAST.get(of, {}))) for part in values[name]):
                return None
        policy = CompiledPolicy(**values)
        return (policy, kept) if _like(policy, plain) and type(kept) is bytes else None
    except _NOT_OURS:
        return None


def _like(policy: Any, plain: Any) -> bool:
    """Whether each value of `policy` is of the type that it has in `plain`."""
    return [*map(type, vars(policy).values())] == [*map(type, vars(plain).values())]


def _text(
    before: tuple[tuple[str | int, ...], ...],
    data_files: tuple[tuple[str | int, ...], ...],
    policy: CompiledPolicy,
    kept: bytes,
) -> bytes:
    """What `_read` reads."""
    values = dict(vars(policy))
    for name, _ in _PARTS:
        values[name] = tuple([vars(part) for part in values[name]])
    body = marshal.dumps((before, data_files, values, kept))
    return _head(body) + b"\n" + body


_PARTS: tuple[tuple[str, type[Any]], ...] = (
    ("providers", GatewayProvider),
    ("exceptions", PolicyException),
    ("routes", AgentRoute),
    ("others", OtherAgent),
)


_NOT_OURS = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, TypeError, ValueError),
)
"""What `marshal` and a look at its values raise where a text is whole and no policy."""

_LEAST: dict[type[Any], dict[str, str]] = {
    AgentRoute: {"agent": ""},
    OtherAgent: {"agent": ""},
    PolicyException: {"subject": ""},
}
"""What is needed to make one of _PARTS."""


def checksum(content: bytes) -> str:
    """Hexadecimal digits that tell `content` from what is not meant to be the same."""
    return source_hash(_KEY, content).hex()


def _head(body: bytes) -> bytes:
    return f"{_FORMAT}\t{__version__}\t{len(body)}\t{checksum(body)}".encode()
