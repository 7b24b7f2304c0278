"""Whether an exception of the policy covers a file, and what that file brings along.

An exception pins one file, or one folder with all that lies below it, by SHA-256. What an excepted
config names as code, and what excepted code imports, has to be covered as well: it could change
freely otherwise, and it runs just the same. Covered without an exception are the modules that are
part of Node and Bun, and packages that lie outside of the project.

Imports are found in the text, by the words that introduce them, and whatever text names a file
beside the code counts as one. Where a name is only put together while the code runs, everything in
its folder has to be covered. Code that hides that it loads something (`eval`, a copy of `require`
that is given the name of a package) is not seen through: people read what they except.

Hot-path module, but `re`, `hashlib` and `json` are imported only where a policy excepts a file.
"""

from __future__ import annotations

import os

from guard.agents.binary import COMPILED
from guard.files.digest import digest, digest_folder
from guard.files.read import UnreadableError, read_bytes
from guard.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guard.policy.values import CompiledPolicy

MAX_PROGRAM = 1 << 30
"""Bytes of a file whose digest is taken; the binary of an agent has a fifth of it."""

_MAX_FILES = 500
"""Files looked at for one exception: what is larger is excepted as a folder."""

_MAX_CODE = 8 << 20
"""Bytes of code that are looked through for what it imports; larger code is not covered."""

_WORDS = rb"\b(?:from|import|require|resolve|Worker|URL|fork)\b"
_LOADS = (b"import", b"require", b"Worker")
"""Words that load what follows in brackets, whether or not that can be told."""

_RELATIVE = rb"\"(\.\.?[/\\][^\"\n]*+)\"|'(\.\.?[/\\][^'\n]*+)'|`(\.\.?[/\\][^`]*+)`"
"""A text that names a file beside the code, whoever is given it: `x = "./a.js"; import(x)`."""

_TYPES = (
    rb"(?m)^[ \t]*+(?:import|export)[ \t]++type[ \t]++"
    rb"(?:\{[\w\s,$]*+\}|\*[ \t]++as[ \t]++[\w$]++|(?!from\b)[A-Za-z_$][\w$]*+)"
    rb"\s*+from\s*+(?:\"[^\"\n]*+\"|'[^'\n]*+')"
)
"""An import of types, which is gone before anything runs, as people write it: from the beginning
of a line. `import type from "x"` and `import type, { y } from "x"` load x."""

_BLANK = rb"[\s\x80-\xff]*+"
_PROGRAM = (*COMPILED, b"MZ", b"\0asm")
"""How a file begins that holds no text to look through."""

_NO_CODE = (".css", ".html", ".json", ".md", ".svg", ".toml", ".txt", ".yaml", ".yml")
_UNKNOWN = "*"
"""In place of a name that is only known when the code runs: any file beside it."""

_ENDINGS = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".json", ".node", ".wasm")
_PLACES = ("", *_ENDINGS, *[f"/index{ending}" for ending in _ENDINGS])
_BUILTIN = (
    *("assert", "async_hooks", "buffer", "bun", "child_process", "cluster", "console", "constants"),
    *("crypto", "dgram", "diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2"),
    *("https", "inspector", "module", "net", "os", "path", "perf_hooks", "process", "punycode"),
    *("querystring", "readline", "repl", "stream", "string_decoder", "sys", "timers", "tls"),
    *("trace_events", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib"),
)
"""`require("module").builtinModules` of Node 20 without those that begin with `_`, and `bun`."""

_BUILTIN_BELOW = (
    *("assert/strict", "dns/promises", "fs/promises", "inspector/promises", "path/posix"),
    *("path/win32", "readline/promises", "stream/consumers", "stream/promises", "stream/web"),
    *("timers/promises", "util/types"),
)
"""The same with a slash. Any other (`fs/more`, `punycode/`) is a package of that name."""

_EXACT = r"(?:@[\w.-]+/)?[\w-][\w.-]*@\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_ARCHIVE = r"(?i)\.(?:tgz|tar|tar\.gz)@"
"""A published package with one version; npm takes `x.tgz@1.2.3` for a file."""

_DEPENDENCIES = ("dependencies", "optionalDependencies", "peerDependencies")
_ELSEWHERE = ("http:", "https:", "data:", "git+", "git:", "git@", "github:", "gitlab:", "blob:")


class Uncovered(Record):
    """What no exception covers: `path` ("" if it is no file), and `why`, to follow a name."""

    path: str
    why: str


class Coverage:
    """What the exceptions of `policy` cover at `now` (Unix seconds). Digests are taken once."""

    __slots__ = ("_digests", "_folders", "_now", "_policy")

    def __init__(self, policy: CompiledPolicy, now: float) -> None:
        self._policy = policy
        self._now = now
        self._digests: dict[str, str] = {}
        self._folders = [
            exception.subject.removeprefix("file:").rstrip("/") + "/"
            for exception in policy.exceptions
            if exception.subject.startswith("file:")
        ]

    def missing(self, path: str, names: Iterable[str] | None = None) -> Uncovered | None:
        """What is not covered of `path` and all that it brings along; None if everything is.

        `names` are what the file names as code, for a config; without it, its imports count.
        """
        if not self._folders:
            return Uncovered(path, "")
        why = self._why_not(path)
        if why is not None:
            return Uncovered(path, why)
        first = names
        pending, seen = [path], {path}
        while pending:
            at = pending.pop()
            found = _needs(at) if first is None else first
            first = None
            for name in found:
                for needed, problem in _named(name, at):
                    if problem:
                        return Uncovered("", f"; {_shown(at, path)} needs {name}, {problem}")
                    if needed in seen:
                        continue
                    seen.add(needed)
                    why = self._why_not(needed)
                    if why is not None:
                        why = why or "; no exception covers that"
                        return Uncovered(needed, f"; {_shown(at, path)} needs {needed}{why}")
                    pending += _code_of(needed)
            if len(seen) > _MAX_FILES:
                return Uncovered("", f"; it needs more than {_MAX_FILES} files")
        return None

    def _why_not(self, path: str) -> str | None:
        """Why no exception covers `path` itself, to end a sentence with; None if one does."""
        why = ""
        real = os.path.realpath(path)
        # one exception is enough for a file that is met under two spellings; a folder covers what
        # really lies in it, not where a link in it leads
        subjects = [path, real, *[each[:-1] for each in self._folders if real.startswith(each)]]
        for subject in dict.fromkeys(subjects):
            exception = self._policy.excepted(f"file:{subject}", self._now)
            if exception is None:
                if self._policy.excepted(f"file:{subject}", 0) is not None:
                    why = "; its exception has expired"
                continue
            try:
                if exception.sha256 and self._digest(subject) == exception.sha256.lower():
                    return None
            except UnreadableError as error:
                why = f"; its exception does not apply: it {error}"
            else:
                why = "; it has changed since it was allowed"
        return why

    def _digest(self, path: str) -> str:
        if path not in self._digests:
            self._digests[path] = content_digest(path)
        return self._digests[path]


def content_digest(path: str) -> str:
    """The SHA-256 of what is at `path`, a file or a folder; "" if there is nothing.

    Raises UnreadableError.
    """
    return digest_folder(path) if os.path.isdir(path) else digest(path, MAX_PROGRAM)


def _shown(path: str, first: str) -> str:
    return "it" if path == first else path


def _needs(path: str) -> list[str]:
    """The names by which the code or the package.json at `path` asks for other code."""
    try:
        raw = read_bytes(path, _MAX_CODE + 1, cut=True) or b""
    except UnreadableError:
        return []
    if len(raw) > _MAX_CODE and not raw.startswith(_PROGRAM):
        return [_UNKNOWN]
    if os.path.basename(path) == "package.json":
        import json

        try:
            package = json.loads(raw)
            groups = [package.get(key) for key in _DEPENDENCIES]
        except (ValueError, RecursionError, AttributeError):
            return []
        return [name for group in groups if isinstance(group, dict) for name in group]
    if raw.startswith(_PROGRAM) or path.endswith(_NO_CODE):
        return []
    import re

    code = re.sub(_TYPES, b"", raw)
    found = dict.fromkeys(b"".join(groups) for groups in re.findall(_RELATIVE, code))
    ends: dict[bytes, int] = {}
    for word in re.finditer(_WORDS, code):
        name = _after(code, word.end(), ends, loads=word.group() in _LOADS)
        if name:
            found[name] = None
    names = (name.decode("utf-8", "replace") for name in found)
    return list(dict.fromkeys(_UNKNOWN if "\\" in n or "${" in n else n for n in names))


def _after(code: bytes, at: int, ends: dict[bytes, int], *, loads: bool) -> bytes:
    """The name that follows a word which introduces one, as it is written; b"" if there is none."""
    at = _past_blanks(code, at, ends)
    opened = False
    while code[at : at + 1] == b"(" or code[at : at + 2] == b"?.":
        opened = opened or code[at : at + 1] == b"("
        at = _past_blanks(code, at + (1 if code[at : at + 1] == b"(" else 2), ends)
    quote = code[at : at + 1]
    if quote and quote in b"\"'`":
        end = code.find(quote, at + 1)
        name = code[at + 1 : end] if end >= 0 else b""
        return name if quote == b"`" or b"\n" not in name else b"\\" * (b"\\" in name)
    told = code[at : at + 1] in (b")", b"") or code.startswith(b"new URL", at)
    return _UNKNOWN.encode() if loads and opened and not told else b""


def _past_blanks(code: bytes, at: int, ends: dict[bytes, int]) -> int:
    """Where the text goes on behind white space and comments.

    `ends` keeps where the last comment of each kind ended: callers come in the order of the text,
    and a text of nothing but openings would be searched to its end from each of them.
    """
    import re

    blank = re.compile(_BLANK)
    while True:
        found = blank.match(code, at)
        at = found.end() if found else at
        closing = {b"/*": b"*/", b"//": b"\n"}.get(code[at : at + 2])
        if closing is None:
            return at
        if ends.get(closing, -1) < at + 2:
            end = code.find(closing, at + 2)
            ends[closing] = end if end >= 0 else len(code)
        at = ends[closing] + len(closing)


def _code_of(path: str) -> list[str]:
    """The files at `path` whose own needs count: of an installed package, what it declares."""
    if not os.path.isdir(path):
        return [path]
    if "/node_modules/" in path:
        return [os.path.join(path, "package.json")]
    return [
        os.path.join(at, name)
        for at, folders, names in os.walk(path)
        for name in names
        if name.endswith(_ENDINGS) and "/node_modules" not in at
    ]


def _named(name: str, by: str) -> Iterator[tuple[str, str]]:
    """(path, "") of everything that `name` in the file `by` can mean; ("", why) if it is nowhere.

    Whatever could answer counts, not only what answers first: that depends on what is beside it.
    """
    folder = os.path.dirname(os.path.realpath(by))
    if name == _UNKNOWN:
        yield folder, ""
        return
    if name.startswith(("node:", "bun:")) or name in _BUILTIN or name in _BUILTIN_BELOW:
        return
    if name.startswith("npm:"):
        import re

        if not re.fullmatch(_EXACT, name.removeprefix("npm:")) or re.search(_ARCHIVE, name):
            yield "", "a package without an exact version"
        return
    if name.startswith("{"):
        yield "", "which is only known when the agent starts"
        return
    scheme = name.lower()
    if scheme.startswith(_ELSEWHERE):
        yield "", "which lies on another machine"
        return
    if scheme.startswith("file:"):
        from urllib.parse import unquote, urlsplit

        spelled = unquote(urlsplit(name).path)
        # npm takes what is no URL for a path beside the config
        name = spelled if spelled.startswith("/") else f"./{unquote(name[5:])}"
    if name.startswith("~"):
        name = os.path.expanduser(name)
    if name.startswith(("/", ".", "~")):
        for cut in dict.fromkeys((name, name.partition("?")[0], name.partition("#")[0])):
            path = os.path.normpath(os.path.join(folder, cut))
            stem, ending = os.path.splitext(path)
            stems = (path, stem) if ending in _ENDINGS else (path,)
            for candidate in (base + place for base in stems for place in _PLACES):
                if os.path.isfile(candidate):
                    yield candidate, ""
            if os.path.isfile(os.path.join(path, "package.json")):
                yield path, ""
        return
    yield from _package(name, folder)


def _package(name: str, folder: str) -> Iterator[tuple[str, str]]:
    """What the project around `folder` answers an import of the package `name` with."""
    from guard.files.around import worktree

    parts = name.split("/")
    package = "/".join(parts[:2] if name.startswith("@") else parts[:1])
    nearest = {"package.json", "tsconfig.json", "jsconfig.json"}
    top = inner = worktree(folder)
    while inner and inner != "/":  # a submodule finds the packages of the project around it
        inner = worktree(os.path.dirname(inner))
        top = inner or top
    level = folder
    while True:
        for config in sorted(nearest):
            path = os.path.join(level, config)
            try:
                raw = read_bytes(path)
            except UnreadableError:
                raw = b"paths"
            if raw is None:
                continue
            nearest -= {config} if config == "package.json" else {"tsconfig.json", "jsconfig.json"}
            if _redirects(config, raw, package):
                yield path, ""
        installed = os.path.join(level, "node_modules", package)
        if os.path.lexists(installed):
            yield installed, ""
            if _answers(installed, "/".join(parts[2 if name.startswith("@") else 1 :])):
                return
        above = os.path.dirname(level)
        if above == level or level == top:
            return
        level = above


def _answers(installed: str, below: str) -> bool:
    """Whether the package at `installed` answers for `below` in it; else one further up may."""
    entry = below
    if not below:
        import json

        try:
            package = json.loads(read_bytes(os.path.join(installed, "package.json")) or b"{}")
            entry = (package.get("exports") and "package.json") or package.get("main") or "index"
        except (ValueError, RecursionError, AttributeError, UnreadableError):
            return False
    path = os.path.join(installed, str(entry))
    return any(os.path.isfile(path + place) for place in _PLACES)


def _redirects(config: str, raw: bytes, package: str) -> bool:
    """Whether the file `config` can decide what an import of `package` means."""
    words: tuple[bytes, ...] = (b"paths", b"baseUrl", b"extends")
    if config == "package.json":
        if not package.startswith("#") and package.encode() not in raw and b"\\u" not in raw:
            return False
        words = (b'"exports"', b'"imports"')
    return any(word in raw for word in (*words, b"\\u"))
