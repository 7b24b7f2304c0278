"""The compiled policy: the few plain values a launch needs, and the cache they come from.

Hot-path module: a cached load reads one file and compares `stat` results. What it was compiled
from is recorded beside the values; anything that differs, or that looks touched, is compiled
again from the layers. The cache holds names of variables and key commands, never a key.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import zlib

from guard import __version__, paths
from guard.errors import GuardError, PolicyError
from guard.files.around import levels
from guard.files.read import read_own
from guard.files.write import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BASE_URL = "https://api.portkey.ai/v1"
KEY_ENV = "PORTKEY_API_KEY"
DEFAULT_MODEL = "portkey/gpt-4o"
KEY_TIMEOUT = 10.0
"""Seconds a key command may take."""

ALLOWED_FILE = "allowed.toml"
"""What `routeguard allow` writes, beside the user's policy."""
PROJECT_FILE = ".routeguard.toml"
SHARED_PROJECT_FILE = "pyproject.toml"
MAX_PROJECT_FILES = 32
"""A repository decides how many there are, and a launch waits for each."""

_FORMAT = "routeguard-policy 4"
_CACHE_BYTES = 4 * 1024 * 1024
_CACHE_ENTRIES = 128
_SETTLED_NS = 100_000_000
"""Nanoseconds. A file that changed this recently can change again within one tick of the file
system's clock, so what was read from it is not kept."""

_GUARD = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SOURCES = tuple(
    f"{_GUARD}/{name}"
    for name in (
        "__init__.py",
        "catalog/__init__.py",
        "catalog/classify.py",
        "catalog/key_shapes.py",
        "catalog/local_proxies.py",
        "policy/compile.py",
        "policy/compiled.py",
        "policy/layers.py",
        "policy/merge.py",
        "policy/model.py",
    )
)


class GatewayProvider:
    """One way into the gateway: what the agent sees as a provider.

    `name` is the id in `name/model`; `title` is what people see; `slug` (no `@`) and `config`
    are empty or go into `x-portkey-provider` and `x-portkey-config`. The key comes from the
    variable `key_env`, or, if that is empty, from `key_command` within `key_timeout` seconds.
    """

    __slots__ = (
        "config",
        "key_command",
        "key_env",
        "key_timeout",
        "models",
        "name",
        "slug",
        "title",
    )

    def __init__(
        self,
        *,
        name: str = "portkey",
        title: str = "Portkey",
        slug: str = "",
        config: str = "",
        key_env: str = KEY_ENV,
        key_command: tuple[str, ...] = (),
        key_timeout: float = KEY_TIMEOUT,
        models: tuple[str, ...] = ("gpt-4o",),
    ) -> None:
        self.name = name
        self.title = title
        self.slug = slug
        self.config = config
        self.key_env = key_env
        self.key_command = key_command
        self.key_timeout = key_timeout
        self.models = models

    def __repr__(self) -> str:
        return f"GatewayProvider({self.name!r})"


class PolicyException:
    """A reasoned, expiring allowance. `until` is in Unix seconds, inclusive."""

    __slots__ = ("reason", "sha256", "subject", "until")

    def __init__(
        self, *, subject: str, reason: str = "", until: float = 0.0, sha256: str = ""
    ) -> None:
        self.subject = subject
        self.reason = reason
        self.until = until
        self.sha256 = sha256

    def __repr__(self) -> str:
        return f"PolicyException({self.subject!r}, until={self.until!r})"


class CompiledPolicy:
    """What is allowed, as plain values. The defaults are the policy of a machine with no file.

    `default_model` and `small_model` are `provider/model`; `reroute` maps a provider id to a
    slug without `@`; `variables` maps a name to its (kind, owner); `layers` are the (layer name,
    path) pairs that exist; `notes` say what a layer asked for and was not given; `proxies_hold` are
    TCP ports, sorted; `proxy_ports` are those of the catalogue that only local proxies use, empty
    for a policy that was not compiled, as are `proxy_programs`, `proxy_images` and `proxy_names`,
    which hooks look for in a typed line (`local_proxies.needles`).
    """

    __slots__ = (
        "audit_required",
        "base_url",
        "default_model",
        "exceptions",
        "foreign_provider",
        "keys_action",
        "keys_extra",
        "keys_unknown",
        "layers",
        "notes",
        "project_config",
        "providers",
        "proxies_action",
        "proxies_fence",
        "proxies_hold",
        "proxies_prompt",
        "proxy_images",
        "proxy_names",
        "proxy_ports",
        "proxy_programs",
        "remove",
        "reroute",
        "servers",
        "small_model",
        "variables",
    )

    def __init__(
        self,
        *,
        base_url: str = BASE_URL,
        providers: tuple[GatewayProvider, ...] | None = None,
        default_model: str = DEFAULT_MODEL,
        small_model: str = "",
        keys_action: str = "scrub",
        keys_extra: tuple[str, ...] = (),
        keys_unknown: str = "flag",
        proxies_action: str = "refuse",
        proxies_prompt: str = "refuse",
        proxies_fence: str = "off",
        proxies_hold: tuple[int, ...] = (),
        proxy_ports: tuple[int, ...] = (),
        proxy_programs: tuple[str, ...] = (),
        proxy_images: tuple[str, ...] = (),
        proxy_names: tuple[str, ...] = (),
        foreign_provider: str = "refuse",
        reroute: Mapping[str, str] | None = None,
        servers: str = "refuse",
        project_config: str = "read",
        audit_required: bool = False,
        remove: tuple[str, ...] = (),
        exceptions: tuple[PolicyException, ...] = (),
        variables: Mapping[str, tuple[str, str]] | None = None,
        layers: tuple[tuple[str, str], ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        self.base_url = base_url
        self.providers = (GatewayProvider(),) if providers is None else providers
        self.default_model = default_model
        self.small_model = small_model or default_model
        self.keys_action = keys_action
        self.keys_extra = keys_extra
        self.keys_unknown = keys_unknown
        self.proxies_action = proxies_action
        self.proxies_prompt = proxies_prompt
        self.proxies_fence = proxies_fence
        self.proxies_hold = proxies_hold
        self.proxy_ports = proxy_ports
        self.proxy_programs = proxy_programs
        self.proxy_images = proxy_images
        self.proxy_names = proxy_names
        self.foreign_provider = foreign_provider
        self.reroute = dict(reroute or {})
        self.servers = servers
        self.project_config = project_config
        self.audit_required = audit_required
        self.remove = remove
        self.exceptions = exceptions
        self.variables = dict(variables or {})
        self.layers = layers
        self.notes = notes

    def excepted(self, subject: str, now: float | None = None) -> PolicyException | None:
        """The exception that allows `subject` at `now` (Unix seconds, by default the clock).

        For a `file:` subject the caller still has to compare the file's SHA-256.
        """
        if not self.exceptions:
            return None
        wanted = normal_subject(subject)
        moment = time.time() if now is None else now
        for exception in self.exceptions:
            if exception.until >= moment and normal_subject(exception.subject) == wanted:
                return exception
        return None

    def provider(self, name: str) -> GatewayProvider | None:
        """The gateway provider called `name`, or None: then `name` does not lead to the gateway."""
        for provider in self.providers:
            if provider.name == name:
                return provider
        return None

    @property
    def default_provider(self) -> GatewayProvider:
        """The provider of `default_model`.

        Raises PolicyError if the policy has none of that name; compiling checks it, so only a
        policy built in code can.
        """
        name = self.default_model.partition("/")[0]
        provider = self.provider(name)
        if provider is None:
            raise PolicyError(
                f"the default model names a provider the policy does not have: {name}",
                fix="name one of gateway.providers in gateway.default",
            )
        return provider


def normal_subject(subject: str) -> str:
    """`subject` in the form in which two spellings of the same thing are equal.

    A server's URL does not depend on a trailing slash, a host not on case or on the brackets of an
    IPv6 address, a port not on leading zeros.
    """
    kind, _, rest = subject.partition(":")
    if kind == "server":
        return "server:" + rest.rstrip("/")
    if kind == "proxy":
        host, _, port = rest.lower().rpartition(":")
        if host[:1] == "[" and host[-1:] == "]":
            host = host[1:-1]
        return f"proxy:{host}:{port.lstrip('0')}"
    if kind == "port":
        return "port:" + rest.lstrip("0")
    return subject


def user_policy(environ: Mapping[str, str]) -> str:
    """The path of the user layer. Raises PolicyError if this user has no home directory."""
    try:
        return os.path.join(paths.routeguard_config(environ), "policy.toml")
    except KeyError:
        raise PolicyError(
            "cannot find your policy: you have no home directory",
            why=f"HOME is not set and user id {os.getuid()} is not in the password database",
            fix="set HOME to an absolute path",
        ) from None


def allowed_file(user: str) -> str:
    """Where `routeguard allow` keeps its exceptions, if the user layer is at `user`."""
    return os.path.join(os.path.dirname(user), ALLOWED_FILE)


def project_files(cwd: str) -> tuple[str, ...]:
    """The existing project layers of `cwd`, outermost first.

    In each of its directories PROJECT_FILE counts, else SHARED_PROJECT_FILE. Every one counts:
    each can only tighten, so none may hide another. Raises PolicyError if there are too many.
    """
    found = []
    for directory in levels(cwd):
        for name in (PROJECT_FILE, SHARED_PROJECT_FILE):
            path = os.path.join(directory, name)
            if _exists(path):
                found.append(path)
                break
    if len(found) > MAX_PROJECT_FILES:
        raise PolicyError(
            "too many policy files around this directory",
            where=found[0],
            why=f"there are {len(found)}, one in each directory down to here, and"
            f" {MAX_PROJECT_FILES} at most are read",
            fix="remove those that are not needed",
        )
    return tuple(found)


def load(
    cwd: str, environ: Mapping[str, str], *, system: str = paths.SYSTEM_POLICY, here: str = ""
) -> CompiledPolicy:
    """The policy that holds for a launch in `cwd`: from the cache, else compiled and cached.

    `here` is the directory we are in, if it is another. Raises PolicyError if a layer cannot be
    read, understood or trusted, or if `environ` takes it from the project. A cache that cannot be
    written costs time, not the launch.
    """
    refuse_misplaced(environ, here or cwd)
    user = user_policy(environ)
    project = project_files(cwd)
    before = _identities((system, user, allowed_file(user), *project, *_SOURCES))
    cache = _cache_file(environ, user, project)
    if cache:
        policy = _read(cache, before)
        if policy is not None:
            return policy
    policy, data_files = _compile(system, user, project)
    if cache:
        _write(cache, before, _identities(data_files), policy)
    return policy


def refuse_misplaced(environ: Mapping[str, str], cwd: str) -> None:
    """Raise PolicyError (RG504) where `environ` makes a file of the project the user's policy."""
    for wrong in paths.misplaced(environ, cwd):
        raise PolicyError(
            "a directory of yours lies in the project",
            where=f"environment variable {wrong.variable}",
            why=f"{wrong.what}; a repository chooses neither the policy nor the state of a launch",
            fix=wrong.fix,
            rule="RG504",
        )


def _compile(
    system: str, user: str, project: tuple[str, ...]
) -> tuple[CompiledPolicy, tuple[str, ...]]:
    if sys.flags.no_site:
        import site

        site.main()
    try:
        from guard.policy.compile import compile_files
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "guard":
            raise
        raise PolicyError(
            "cannot read the policy: a package routeguard needs is not installed",
            where=sys.executable,
            why=f"the Python module {error.name} is missing",
            fix="install routeguard with its dependencies:"
            f" {sys.executable} -m pip install {os.path.dirname(_GUARD)}",
            rule="RG503",
        ) from None
    return compile_files(system, user, project)


def _exists(path: str) -> bool:
    """Whether something is at `path`, be it a link that leads nowhere."""
    try:
        os.lstat(path)
    except (OSError, ValueError):
        return False
    return True


# What a cached policy was compiled from ---------------------------------------------------------


def _identity(path: str) -> str:
    """What changes when the file at `path` does: also if times are set back, or if it goes."""
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR) and not _exists(path):
            return f"{_escape(path)}\tabsent"
        return f"{_escape(path)}\tunreadable"
    return (
        f"{_escape(path)}\t{found.st_mtime_ns}\t{found.st_ctime_ns}\t{found.st_size}"
        f"\t{found.st_ino}\t{found.st_mode:o}\t{found.st_uid}"
    )


def _identities(files: Iterable[str]) -> tuple[str, ...]:
    return tuple([_identity(path) for path in files])


def _settled(identities: Iterable[str]) -> bool:
    """Whether every file is there to be read, or absent, and none changed a moment ago."""
    limit = time.time_ns() - _SETTLED_NS
    for line in identities:
        words = line.split("\t")
        if words[1] == "unreadable" or (words[1] != "absent" and int(words[2]) > limit):
            return False
    return True


# The cache file ----------------------------------------------------------------------------------


def _cache_file(environ: Mapping[str, str], user: str, project: tuple[str, ...]) -> str:
    """Where the policy of these layers is kept, or "" where there is no place for it."""
    try:
        base = paths.routeguard_cache(environ)
    except KeyError:
        return ""
    key = "\0".join((str(os.geteuid()), user, *project)).encode("utf-8", "surrogateescape")
    return f"{base}/policy/{zlib.crc32(key):08x}{zlib.adler32(key):08x}"


def _read(path: str, before: tuple[str, ...]) -> CompiledPolicy | None:
    """The policy kept at `path`, or None unless it is whole, ours alone and still true."""
    raw = read_own(path, _CACHE_BYTES)
    try:
        text = (raw or b"").decode("utf-8", "surrogateescape")
        head, _, body = text.partition("\n")
        return _decode(body, before) if text and head == _head(body) else None
    except (ValueError, IndexError, KeyError):
        return None


def _write(
    path: str, before: tuple[str, ...], data_files: tuple[str, ...], policy: CompiledPolicy
) -> None:
    """Keep `policy` at `path`; do nothing where that is not possible or not safe."""
    if not _settled((*before, *data_files)):
        return
    body = _encode(policy, before, data_files)
    data = f"{_head(body)}\n{body}".encode("utf-8", "surrogateescape")
    directory = os.path.dirname(path)
    try:
        paths.private_directory(os.path.dirname(directory))
        paths.private_directory(directory)
        _make_room(directory)
        write(path, data)
    except (GuardError, OSError, ValueError):
        pass


def _make_room(directory: str) -> None:
    """Remove the oldest entries beyond the limit: a project that is gone is never asked for."""
    entries = sorted(
        (os.lstat(f"{directory}/{name}").st_mtime_ns, name) for name in os.listdir(directory)
    )
    for _, name in entries[: max(0, len(entries) - _CACHE_ENTRIES + 1)]:
        _remove(f"{directory}/{name}")


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _head(body: str) -> str:
    data = body.encode("utf-8", "surrogateescape")
    return f"{_FORMAT}\t{__version__}\t{len(data)}\t{zlib.crc32(data):08x}"


def _escape(text: str) -> str:
    if "\\" in text or "\t" in text or "\n" in text:
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    return text


_ESCAPES = {"\\": "\\", "t": "\t", "n": "\n"}


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    first, *rest = text.split("\\")
    out = [first]
    literal = False
    for part in rest:
        if literal:
            out.append(part)
            literal = False
        elif part:
            out.append(_ESCAPES[part[0]] + part[1:])
        else:
            out.append("\\")
            literal = True
    return "".join(out)


_SCALARS = (
    "base_url",
    "default_model",
    "small_model",
    "keys_action",
    "keys_unknown",
    "proxies_action",
    "proxies_prompt",
    "proxies_fence",
    "foreign_provider",
    "servers",
    "project_config",
)
_LISTS = ("keys_extra", "remove", "notes", "proxy_programs", "proxy_images", "proxy_names")
_PORTS = ("proxies_hold", "proxy_ports")
_END = "end"


def _encode(policy: CompiledPolicy, before: tuple[str, ...], data_files: tuple[str, ...]) -> str:
    """The body of the cache file: one record a line, fields separated by tabs.

    First the identities, then the records that `_decode` reads. An empty line separates the
    identities, a last record shows that nothing is missing.
    """
    lines = [*before, "", *data_files, ""]

    def add(*words: str) -> None:
        lines.append("\t".join([_escape(word) for word in words]))

    for name in _SCALARS:
        add(name, getattr(policy, name))
    add("audit_required", "1" if policy.audit_required else "")
    for name in _LISTS:
        add(name, *getattr(policy, name))
    for name in _PORTS:
        add(name, *[str(port) for port in getattr(policy, name)])
    for provider in policy.providers:
        add(
            "provider",
            provider.name,
            provider.title,
            provider.slug,
            provider.config,
            provider.key_env,
            repr(float(provider.key_timeout)),
        )
        add("command", *provider.key_command)
        add("models", *provider.models)
    for exception in policy.exceptions:
        add(
            "exception",
            exception.subject,
            exception.reason,
            repr(float(exception.until)),
            exception.sha256,
        )
    for source, slug in policy.reroute.items():
        add("reroute", source, slug)
    for layer, path in policy.layers:
        add("layer", layer, path)
    lines.append("variables")
    for variable, (kind, owner) in policy.variables.items():
        add(variable, kind, owner)
    lines.append(_END)
    return "\n".join(lines)


def _decode(body: str, before: tuple[str, ...]) -> CompiledPolicy | None:
    """The policy in `body`, or None if a file is not what it was.

    Raises ValueError, IndexError or KeyError for a body that no `_encode` wrote.
    """
    expected = "\n".join(before) + "\n\n"
    if not body.startswith(expected):
        return None
    lines = body[len(expected) :].split("\n")
    if lines.pop() != _END:
        return None
    start = lines.index("")
    for line in lines[:start]:
        if _identity(_unescape(line.partition("\t")[0])) != line:
            return None
    middle = lines.index("variables", start)
    values: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    providers: list[GatewayProvider] = []
    exceptions: list[PolicyException] = []
    reroute: dict[str, str] = {}
    layers: list[tuple[str, str]] = []
    for line in lines[start + 1 : middle]:
        kind, *words = [_unescape(word) for word in line.split("\t")]
        if kind == "provider":
            name, title, slug, config, key_env, timeout = words
            provider = GatewayProvider(
                name=name,
                title=title,
                slug=slug,
                config=config,
                key_env=key_env,
                key_timeout=float(timeout),
            )
            providers.append(provider)
        elif kind == "command":
            providers[-1].key_command = tuple(words)
        elif kind == "models":
            providers[-1].models = tuple(words)
        elif kind == "exception":
            subject, reason, until, sha256 = words
            exceptions.append(
                PolicyException(subject=subject, reason=reason, until=float(until), sha256=sha256)
            )
        elif kind == "reroute":
            source, target = words
            reroute[source] = target
        elif kind == "layer":
            layer, path = words
            layers.append((layer, path))
        elif kind in _LISTS or kind in _PORTS:
            lists[kind] = tuple(words)
        else:
            (values[kind],) = words
    variables = {}
    for line in lines[middle + 1 :]:
        variable, kind, owner = line.split("\t")
        variables[_unescape(variable)] = (kind, _unescape(owner))
    return CompiledPolicy(
        base_url=values["base_url"],
        providers=tuple(providers),
        default_model=values["default_model"],
        small_model=values["small_model"],
        keys_action=values["keys_action"],
        keys_extra=lists["keys_extra"],
        keys_unknown=values["keys_unknown"],
        proxies_action=values["proxies_action"],
        proxies_prompt=values["proxies_prompt"],
        proxies_fence=values["proxies_fence"],
        proxies_hold=tuple([int(port) for port in lists["proxies_hold"]]),
        proxy_ports=tuple([int(port) for port in lists["proxy_ports"]]),
        proxy_programs=lists["proxy_programs"],
        proxy_images=lists["proxy_images"],
        proxy_names=lists["proxy_names"],
        foreign_provider=values["foreign_provider"],
        reroute=reroute,
        servers=values["servers"],
        project_config=values["project_config"],
        audit_required=values["audit_required"] == "1",
        remove=lists["remove"],
        exceptions=tuple(exceptions),
        variables=variables,
        layers=tuple(layers),
        notes=lists["notes"],
    )
