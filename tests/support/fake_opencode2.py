"""A stand-in for opencode 2, of which no release can be had here: its rules, each with its source.

The rules are those of the facts about opencode 2 (an internal page, named here by its sections and
cases): "run" was run on a build of July 2026, "read" was read in the source or documentation of
later builds. Where the two differ, `Build` has both. What the real program does to others (HTTP,
loading code, starting a service) goes through a `World`: in memory for the tests of the rules, over
real sockets when this file is run as a program.
"""

from __future__ import annotations

import base64
import dataclasses
import fnmatch
import json
import os
import re
import signal
import sqlite3
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclasses.dataclass(frozen=True)
class Build:
    """What a build does where builds differ. The defaults are those of later ones, as read.

    `content`: reads OPENCODE_CONFIG and OPENCODE_CONFIG_CONTENT. `switch`: a variable switches the
    project's configuration off. `integration`: obeys `integration.use`. `disabled`: the setting of
    `service.json` keeps commands from the shared service. `strict`: a document with a policy of an
    unknown action is dropped whole. `removable`: a project can remove the
    policy plugin. `wellknown_last`: well-known configuration has the last word about values.
    """

    version: str = "2.2.7"
    content: bool = True
    switch: bool = True
    integration: bool = True
    disabled: bool = True
    removable: bool = False
    wellknown_last: bool = False
    strict: bool = False


LATER = Build()
JULY = Build("2.0.0", False, False, False, False, True, True)
PREVIEW = dataclasses.replace(JULY, version="0.0.0", strict=True)
"""As JULY; that it drops a document was run on the preview 1.18.18 of the core (lildax)."""

NO_SWITCH = Build(switch=False)
"""A later build whose switch does not do what was read: the other measures have to hold."""

CATALOGUE = {
    # the lab's catalogue of the facts: provider -> (key variable, address, model, age)
    "anthropic": ("ANTHROPIC_API_KEY", "https://api.anthropic.com/v1", "claude-x", 2),
    "openai": ("OPENAI_API_KEY", "https://api.openai.com/v1", "gpt-x", 3),
    "openrouter": ("OPENROUTER_API_KEY", "https://openrouter.ai/api/v1", "router-x", 4),
    "opencode": ("", "https://opencode.ai/zen/v1", "big-pickle", 1),  # no key needed (c00)
}


class Stopped(Exception):  # noqa: N818 - an exit, not an error of the stand-in
    """The program ends with `status` and says `text`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


# The command line: section 3.2, run; the parser is Effect's (unstable/cli, read) ------------------

FLAG, WORD = True, False
GLOBAL = {"help": FLAG, "version": FLAG, "completions": WORD, "log-level": WORD, "print-logs": FLAG}
_SERVER = {"standalone": FLAG, "server": WORD}
_AUTO = dict.fromkeys(("auto", "yolo", "dangerously-skip-permissions"), FLAG)
_SESSION = {"continue": FLAG, "session": WORD, "model": WORD}
COMMANDS: dict[str, dict[str, bool]] = {
    "": {**_SERVER, **_AUTO, **_SESSION, "prompt": WORD},
    "run": {
        **_SERVER,
        **_AUTO,
        **_SESSION,
        "fork": FLAG,
        "thinking": FLAG,
        "agent": WORD,
        "format": WORD,
        "file": WORD,
        "title": WORD,
        "command": WORD,
    },
    "mini": {
        **_SERVER,
        **_SESSION,
        "fork": FLAG,
        "replay": FLAG,
        "replay-limit": WORD,
        "agent": WORD,
        "prompt": WORD,
        "demo": FLAG,
    },
    "acp": {},
    "serve": {"hostname": WORD, "port": WORD, "cors": WORD, "service": FLAG, "stdio": FLAG},
    "api": {**_SERVER, "data": WORD, "header": WORD, "param": WORD},
    "models": _SERVER,
    "reload": _SERVER,
    "stats": {**_SERVER, "days": WORD, "models": FLAG, "json": FLAG},
    **{f"auth {verb}": {**_SERVER, "method": WORD} for verb in ("list", "login", "logout")},
    "auth switch": _SERVER,
    **{f"session {verb}": _SERVER for verb in ("list", "delete", "export", "import")},
    **{f"mcp {verb}": {} for verb in ("list", "auth", "logout")},
    "mcp add": {"url": WORD, "header": WORD, "env": WORD, "global": FLAG},
    "plugin list": {"builtin": FLAG},
    **{f"plugin {verb}": {} for verb in ("add", "check", "update", "remove")},
    "pair": {"url": WORD},
    **{f"debug {verb}": {} for verb in ("agents", "config", "paths")},
    **{f"service {verb}": {} for verb in ("start", "restart", "status", "stop")},
    **{f"service {verb}": {} for verb in ("get", "set", "unset")},
    "upgrade": {"method": WORD},
    "uninstall": {"keep-config": FLAG, "keep-data": FLAG, "dry-run": FLAG, "force": FLAG},
}
ALIASES = {"update": "upgrade"}
GROUPS = ("auth", "session", "mcp", "plugin", "debug", "service")
LETTERS = {
    "c": "continue",
    "s": "session",
    "m": "model",
    "f": "file",
    "h": "help",
    "v": "version",
    "d": "data",
    "H": "header",
}
TRUE, FALSE = ("true", "1", "y", "yes", "on"), ("false", "0", "n", "no", "off")


class Parsed:
    """A command line: the command, the values of each option in order, the free words."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.command = ""
        self.words: list[str] = []
        self.values: dict[str, list[str]] = {}
        head, _, tail = _split(list(argv))
        self._read(head)
        self.words += tail

    def _read(self, tokens: list[str]) -> None:
        at, first = 0, True
        while at < len(tokens):
            word = tokens[at]
            at += 1
            if word.startswith("-") and len(word) > 1:
                at = self._option(word, tokens, at)
                continue
            group = self.command in GROUPS
            if word and (first or group):
                longer = f"{self.command} {word}".strip()
                longer = ALIASES.get(longer, longer)
                if longer in COMMANDS or longer in GROUPS:
                    # options of the root are not global (`--standalone run`: error)
                    if any(name not in GLOBAL for name in self.values):
                        raise Stopped(1, f"Unrecognized flag in command {longer}")
                    self.command = longer
                    first = False
                    continue
            if group:
                raise Stopped(1, f"Unknown subcommand {word} for {self.command}")
            first = False
            self.words.append(word)

    def _option(self, word: str, tokens: list[str], at: int) -> int:
        long = word.startswith("--")
        name, eq, value = word.lstrip("-").partition("=")
        names = [name] if long else [LETTERS.get(letter, letter) for letter in name]
        for index, each in enumerate(names):
            known = COMMANDS.get(self.command, {})
            kind = known.get(each, GLOBAL.get(each))
            negated = False
            if kind is None and long and each.startswith("no-"):
                each, negated = each[3:], True
                kind = FLAG if known.get(each, GLOBAL.get(each)) is FLAG else None
            if kind is None:
                raise Stopped(1, f"Unrecognized flag: {word}")
            following = tokens[at] if at < len(tokens) and index == len(names) - 1 else "-"
            if negated:
                said = "false"
            elif eq and index == len(names) - 1:
                said = value
            elif kind is FLAG:
                # the word true or false behind it is its value (w01)
                said = "true"
                if following in (*TRUE, *FALSE):
                    said, at = following, at + 1
            elif not following.startswith("-"):
                said, at = following, at + 1
            else:
                raise Stopped(1, f"Missing value for {word}")
            self.values.setdefault(each, []).append(said)
        return at

    def one(self, name: str) -> str | None:
        """The value of an option: where it is given twice, the first counts (s10)."""
        return next(iter(self.values.get(name, [])), None)

    def on(self, name: str) -> bool:
        return self.one(name) in TRUE


def _split(argv: list[str]) -> tuple[list[str], str, list[str]]:
    if "--" not in argv:
        return argv, "", []
    at = argv.index("--")
    return argv[:at], "--", argv[at + 1 :]


# What a run does to others ------------------------------------------------------------------------


class World:
    """Effects. `send` returns what the other side answers."""

    def send(self, url: str, headers: Mapping[str, str], body: object, environ: Mapping[str, str]):
        raise NotImplementedError

    def load(self, code: str, environ: Mapping[str, str], text: str) -> None:
        """Load or start foreign code, which sees the environment and the prompt."""
        raise NotImplementedError

    def start_service(self, build: Build, environ: Mapping[str, str]) -> dict[str, Any]:
        """Start the shared service; returns its registration."""
        raise NotImplementedError

    def stop_service(self, registration: Mapping[str, Any]) -> None:
        """End the service of a registration."""

    def service(self, registration: Mapping[str, Any]) -> Any:
        """The `Server` behind a registration, or None if nobody answers there."""
        raise NotImplementedError


def goes_through(url: str, environ: Mapping[str, str]) -> str:
    """The HTTP proxy that is asked for `url`, "" for none."""
    host = urlsplit(url).hostname or ""
    scheme = urlsplit(url).scheme
    proxy = environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY") or ""
    without = (environ.get("NO_PROXY") or environ.get("no_proxy") or "").split(",")
    return "" if host in [each.strip() for each in without] else proxy


# A server: sections 4 and 5 -----------------------------------------------------------------------


class Server:
    """One server: the environment and working directory it was started with."""

    def __init__(self, build: Build, environ: Mapping[str, str], cwd: str, world: World) -> None:
        self.build, self.environ, self.world = build, dict(environ), world
        self.home = environ.get("OPENCODE_TEST_HOME") or environ["HOME"]
        self.config = Path(
            environ.get("OPENCODE_CONFIG_DIR")
            or Path(environ.get("XDG_CONFIG_HOME") or f"{self.home}/.config", "opencode")
        )
        self.data = Path(environ.get("XDG_DATA_HOME") or f"{self.home}/.local/share", "opencode")
        self.cache = Path(environ.get("XDG_CACHE_HOME") or f"{self.home}/.cache", "opencode")
        _preload(self.environ, cwd, world)
        if not self._truthy("OPENCODE_DISABLE_MODELS_FETCH"):
            self._contact(environ.get("OPENCODE_MODELS_URL") or "https://models.dev/api.json")
        if not self._updates_off():
            self._contact("https://opencode.ai/update/api/latest/cli/npm?current=2")
        if environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            self._contact(environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces")  # c33

    def _truthy(self, name: str) -> bool:
        return self.environ.get(name, "").lower() in ("1", "true")

    def _contact(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.world.send(url, headers or {}, None, self.environ)

    def _updates_off(self) -> bool:
        # read in the global file only; no request was seen guarded (section 7)
        said = [document for _, document in self._documents(self.config)]
        return any(d.get("update") == "disable" or d.get("autoupdate") is False for d in said)

    def _documents(self, folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
        for name in ("opencode.json", "opencode.jsonc"):
            path = folder / name
            if path.is_file():
                document = self._document(path.read_text(), folder)
                if document is not None:
                    yield path, document

    def _document(self, text: str, folder: Path) -> dict[str, Any] | None:
        """`{env:}` and `{file:}` are replaced in the raw text (c18, c44); a bad one is dropped."""
        text = re.sub(r"\{env:([^}]+)\}", lambda m: self.environ.get(m[1], ""), text)

        def read(match: re.Match[str]) -> str:
            try:
                return json.dumps((folder / match[1]).read_text())[1:-1]
            except OSError:
                return ""

        text = re.sub(r"\{file:([^}]+)\}", read, text)
        try:
            document = json.loads(text)
        except ValueError:
            return None
        if not isinstance(document, dict):
            return None
        actions = {statement["action"] for statement in _statements(document)}
        known = {"provider.use", "permission"}
        return None if self.build.strict and not actions <= known else document

    def wellknown(self) -> list[str]:
        """The sources of well-known configuration, in the database (section 5)."""
        return [url for row in self._rows("select value from kv where key = 'wellknown:sources'")
                for url in json.loads(row[0])]  # fmt: skip

    def credentials(self) -> list[str]:
        return [row[0] for row in self._rows("select integration_id from credential")]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        path = self.data / self.environ.get("OPENCODE_DB", "opencode.db")
        if not path.is_file():
            return []
        base = sqlite3.connect(path)
        try:
            return base.execute(query).fetchall()
        except sqlite3.Error:
            return []
        finally:
            base.close()

    def project_is_read(self) -> bool:
        # read: CONFIG_PROJECT_DISABLE ?? DISABLE_PROJECT_CONFIG; July drops AGENTS.md alone
        named = ("OPENCODE_CONFIG_PROJECT_DISABLE", "OPENCODE_DISABLE_PROJECT_CONFIG")
        said = next((self.environ[name] for name in named if name in self.environ), "")
        return not self.build.switch or said.lower() not in ("1", "true")

    def location(self, directory: str) -> Location:
        """What this server makes of `directory`: every request may name one (s06)."""
        return Location(self, Path(directory))


class Location:
    """The layers of one directory, merged; plugins and MCP servers are started."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server, self.directory = server, directory
        self.system: list[str] = []
        layers = list(self._layers())
        self.values: dict[str, Any] = {}
        for _, document in layers:
            self.values = _merge(self.values, document)
        # policies are read in reverse: the broader layer decides, the last match wins (c07)
        self.policies = [s for _, document in reversed(layers) for s in _statements(document)]
        if server.build.removable and "-opencode.config.policy" in self._plugins_named():
            self.policies = []  # c09; later builds ignore it (read)
        if server.config.joinpath("AGENTS.md").is_file():
            self.system.append(server.config.joinpath("AGENTS.md").read_text())
        if server.project_is_read():
            self.system += [p.read_text() for at in self._up() if (p := at / "AGENTS.md").is_file()]
        if "-*" in self._plugins_named():
            raise Stopped(124, "hangs, nothing sent")  # c10
        self._start()

    def _up(self) -> list[Path]:
        """From the directory to the root of the file system, above the git root too."""
        return [self.directory, *self.directory.parents]

    def _layers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(origin, document), low to high for values."""
        server = self.server
        late = []
        for url in server.wellknown():
            document = server.world.send(url, {}, None, server.environ) or {}
            if server.build.wellknown_last:
                late.append(("wellknown", document))
            else:
                yield "wellknown", document
        yield from ((str(path), found) for path, found in server._documents(server.config))
        if server.build.content and server.environ.get("OPENCODE_CONFIG"):
            path = Path(server.environ["OPENCODE_CONFIG"])
            found = server._document(path.read_text(), path.parent) if path.is_file() else None
            yield str(path), found or {}
        if server.project_is_read():
            for below in ("", ".opencode"):
                for at in reversed(self._up()):
                    for path, found in server._documents(at / below):
                        yield str(path), found
        if server.build.content and server.environ.get("OPENCODE_CONFIG_CONTENT"):
            text = server.environ["OPENCODE_CONFIG_CONTENT"]
            yield "content", server._document(text, self.directory) or {}
        yield from late

    def _plugins_named(self) -> list[str]:
        return [str(p.get("package") if isinstance(p, dict) else p)
                for p in self.values.get("plugins") or self.values.get("plugin") or []]  # fmt: skip

    def _start(self) -> None:
        server = self.server
        plugins = [spec for spec in self._plugins_named() if not spec.startswith("-")]
        folders = [server.config]
        if server.project_is_read():
            folders += [at / ".opencode" for at in self._up()]
        for folder in folders:
            for name in ("plugin", "plugins"):
                if (folder / name).is_dir():
                    plugins += map(str, sorted((folder / name).iterdir()))
        for spec in plugins:
            if self.allows("integration.use", f"plugin:{spec}"):
                path = self.directory / spec.removeprefix("file://")
                server.world.load(_text(path) or spec, server.environ, "")
        mcp = self.values.get("mcp") or {}
        for name, entry in {**mcp, **mcp.get("servers", {})}.items():
            if not isinstance(entry, dict) or name == "servers":
                continue
            if not self.allows("integration.use", f"mcp:{name}"):
                continue
            if entry.get("command"):
                server.world.load(" ".join(entry["command"]), server.environ, "")
            elif entry.get("url"):
                server._contact(entry["url"], entry.get("headers"))
        skills = self.values.get("skills") or []
        for each in [*skills.get("urls", ())] if isinstance(skills, dict) else skills:
            if "://" in each:
                server._contact(each)  # c31
        for entry in (self.values.get("references") or {}).values():
            if isinstance(entry, dict) and entry.get("repository"):
                server._contact(entry["repository"])  # c32

    def allows(self, action: str, resource: str) -> bool:
        """What the policies say; nothing matches: allowed (documentation of policies)."""
        if action == "integration.use" and not self.server.build.integration:
            return True
        verdict = True
        for statement in self.policies:
            if fnmatch.fnmatchcase(action, str(statement.get("action"))) and fnmatch.fnmatchcase(
                resource, str(statement.get("resource"))
            ):
                verdict = statement.get("effect") == "allow"
        return verdict

    def providers(self) -> dict[str, dict[str, Any]]:
        """The providers that can be used, with their settings."""
        server = self.server
        catalogue: dict[str, Any] = {
            name: {"key": key, "settings": {"baseURL": base}, "models": {model: {}}, "age": age}
            for name, (key, base, model, age) in CATALOGUE.items()
        }
        cached = server.cache / "models.json"
        named = server.environ.get("OPENCODE_MODELS_PATH")
        for path in [cached, *([Path(named)] if named else [])]:
            if path.is_file():
                catalogue = _merge(catalogue, json.loads(path.read_text()))  # c26
        configured = {**(self.values.get("provider") or {}), **(self.values.get("providers") or {})}
        found = {}
        for name, entry in _merge(catalogue, configured).items():
            key = server.environ.get(entry.get("key", ""), "")
            usable = key or name == "opencode" or name in configured
            usable = usable or name in server.credentials()
            if usable and self.allows("provider.use", name):
                found[name] = {**entry, "value": key, "own": name in configured}
        return found

    def model(self, typed: str | None, agent: str | None) -> tuple[str, dict[str, Any], str]:
        """(provider, its settings, model): what was named or nothing, else the default (3.2, 5)."""
        providers = self.providers()
        agents = {**(self.values.get("agent") or {}), **(self.values.get("agents") or {})}
        named = typed or agents.get(agent or "build", {}).get("model")
        if named is not None:
            if "/" not in named:
                raise Stopped(1, "Invalid model reference")
            found = self._of(named, providers)
            if found is None:
                raise Stopped(1, f"Model unavailable: {named}")
            return found
        configured = self._of(str(self.values.get("model")), providers)
        if configured:
            return configured
        # silently the newest of any provider that is left (c03, c40)
        for name, entry in sorted(providers.items(), key=lambda e: e[1].get("age", 9)):
            for model in entry.get("models") or {}:
                return name, entry, model
        raise Stopped(1, "No model available")

    def _of(
        self, named: str, providers: dict[str, dict[str, Any]]
    ) -> tuple[str, dict[str, Any], str] | None:
        provider, _, model = named.partition("/")
        model, _, variant = model.partition("#")
        entry = providers.get(provider)
        if entry is None or model not in (entry.get("models") or {}):
            return None
        variants = [v.get("id") for v in entry["models"][model].get("variants") or []]
        return (provider, entry, model) if not variant or variant in variants else None

    def prompt(self, text: str, typed: str | None, agent: str | None) -> str:
        """Ask the model, and the small one for a title; returns the answer."""
        named = self.model(typed, agent)
        agents = {**(self.values.get("agent") or {}), **(self.values.get("agents") or {})}
        small = self._of(str(agents.get("title", {}).get("model")), self.providers()) or named
        chosen = agents.get(agent or "build", {})
        system = [*self.system, *filter(None, (chosen.get("system"), chosen.get("prompt")))]
        self._ask(small, [], text)
        return self._ask(named, system, text)

    def _ask(self, what: tuple[str, dict[str, Any], str], system: list[str], text: str) -> str:
        name, entry, model = what
        declared = (entry.get("models") or {}).get(model) or {}
        package = str(declared.get("package") or entry.get("package") or entry.get("npm") or "")
        if package.startswith("file://"):
            self.server.world.load(_text(Path(package[7:])) or package, self.server.environ, text)
        settings = {**(entry.get("options") or {}), **(entry.get("settings") or {})}
        headers = {**(settings.get("headers") or {}), **(entry.get("headers") or {})}
        key = settings.get("apiKey") or entry.get("value") or ""
        if key or name in self.server.credentials():
            headers["authorization"] = f"Bearer {key or 'stored'}"
        messages = [{"role": "system", "content": each} for each in system]
        messages.append({"role": "user", "content": text})
        body = {"model": declared.get("modelID") or model, "messages": messages}
        url = str(settings.get("baseURL")) + "/chat/completions"
        answer = self.server.world.send(url, headers, body, self.server.environ) or {}
        choices = answer.get("choices") or [{}]
        return str(choices[0].get("message", {}).get("content", ""))


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = (
            _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return out


def _statements(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """The policies of one document: both keys count; V1's provider lists become some (doc)."""
    found: list[dict[str, str]] = []
    use = {"action": "provider.use"}
    if "enabled_providers" in document:
        found.append({**use, "resource": "*", "effect": "deny"})
        found += [{**use, "resource": n, "effect": "allow"} for n in document["enabled_providers"]]
    found += [
        {**use, "resource": n, "effect": "deny"} for n in document.get("disabled_providers") or []
    ]
    for authored in (
        (document.get("experimental") or {}).get("policies"),
        document.get("policies"),
    ):
        found += [s for s in authored or [] if isinstance(s, dict) and s.get("action")]
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text() if path.is_file() else ""
    except OSError:
        return ""


def _preload(environ: Mapping[str, str], cwd: str, world: World) -> None:
    """Code that comes with the process: Bun's and Node's variables (c27), esprima in cwd (c30)."""
    for name in ("BUN_OPTIONS", "BUN_INSPECT_PRELOAD", "NODE_OPTIONS"):
        if environ.get(name):
            world.load(environ[name], environ, "")
    for at in (Path(cwd), *Path(cwd).parents):
        stub = at / "node_modules" / "esprima" / "index.js"
        if stub.is_file():
            world.load(_text(stub) or "esprima", environ, "")
            return


# The client ---------------------------------------------------------------------------------------


def run(
    build: Build, argv: Sequence[str], environ: Mapping[str, str], cwd: str, world: World
) -> tuple[int, str]:
    """Start the program: its exit status and what it prints."""
    try:
        return 0, _main(build, argv, environ, cwd, world)
    except Stopped as stopped:
        return stopped.status, stopped.text


def _main(
    build: Build, argv: Sequence[str], environ: Mapping[str, str], cwd: str, world: World
) -> str:
    if environ.get("BUN_BE_BUN") == "1":
        world.load("bun", environ, "")  # prints 42
        return "42"
    _preload(environ, cwd, world)
    parsed = Parsed(argv)
    if parsed.on("version"):
        return f"opencode2 v{build.version}"
    if parsed.on("help") or parsed.one("completions") is not None:
        return "help"
    if parsed.command in ("upgrade", "uninstall", "debug paths", "service get"):
        return parsed.command  # no server, nothing started
    state = Path(environ.get("XDG_STATE_HOME") or f"{environ['HOME']}/.local/state", "opencode")
    registration = _read(state / "service.json")
    if parsed.command == "service status":
        return "running" if registration and world.service(registration) else "not running"
    if parsed.command == "service stop":
        world.stop_service(registration or {})
        return "stopped"
    if parsed.command == "service start":
        world.start_service(build, environ)
        return "started"
    if parsed.command == "":
        where = Path(cwd, *parsed.words[:1])
        if not where.is_dir():
            raise Stopped(1, f"Failed to change directory to {where}")
        cwd = str(where)
    server = _server(build, parsed, environ, cwd, world, registration)
    location = server.location(cwd)
    if parsed.command == "models":
        return "\n".join(f"{name}/{m}" for name, e in location.providers().items()
                         for m in e.get("models") or {})  # fmt: skip
    if parsed.command == "auth login" and "://" in "".join(parsed.words):
        world.send(parsed.words[0], {}, None, environ)
    if parsed.command not in ("", "run", "mini", "acp"):
        return parsed.command
    text = " ".join(parsed.words) if parsed.command == "run" else parsed.one("prompt") or ""
    return location.prompt(text, parsed.one("model"), parsed.one("agent"))


def _server(
    build: Build,
    parsed: Parsed,
    environ: Mapping[str, str],
    cwd: str,
    world: World,
    registration: dict[str, Any] | None,
) -> Server:
    """Section 4: `--server`, then `--standalone`, then the registered service, then a new one."""
    other = parsed.one("server")
    if other is not None:
        if parsed.on("standalone") or not other:
            raise Stopped(1, "--server and --standalone exclude each other")
        world.send(f"{other}/api/health", {}, None, environ)  # before any check (c34)
        raise Stopped(1, f"Cannot connect to {other}")
    settings = _read(_config(environ) / "service.json") or {}
    private = parsed.on("standalone") or parsed.command == "acp"
    private = private or (build.disabled and settings.get("disabled") is True)
    server = Server(build, environ, cwd, world) if private else None
    if server is None:
        server = world.service(registration) if registration else None
    if server is None:
        server = world.service(world.start_service(build, environ))
    password = base64.b64encode(b"opencode:the server's password").decode()
    own = "http://127.0.0.1:4096"
    if goes_through(own, environ):
        # the client's calls to its own server take the proxy, password included (c35)
        world.send(f"{own}/api/session", {"authorization": f"Basic {password}"}, {}, environ)
        raise Stopped(1, "Cannot reach the server")
    assert server is not None
    return server


def _config(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or f"{environ['HOME']}/.config", "opencode")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


# As a program -------------------------------------------------------------------------------------


class Wire(World):
    """Real HTTP; a service is a process of its own that is found by its registration."""

    def __init__(self, launcher: str) -> None:
        self.launcher = launcher

    def send(self, url: str, headers: Mapping[str, str], body: object, environ: Mapping[str, str]):
        proxy = goes_through(url, environ)
        handler = urllib.request.ProxyHandler({urlsplit(url).scheme: proxy} if proxy else {})
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(url, data, {"content-type": "application/json", **headers})
        try:
            with urllib.request.build_opener(handler).open(asked, timeout=20) as answer:
                return json.load(answer)
        except (OSError, ValueError) as error:
            if body is None:
                return None
            raise Stopped(1, f"{urlsplit(url).netloc}: {error}") from None

    def load(self, code: str, environ: Mapping[str, str], text: str) -> None:
        for url in re.findall(r"http://\S+", code):
            self.send(url, {"x-stolen": environ.get("PORTKEY_API_KEY", "")}, None, environ)

    def start_service(self, build: Build, environ: Mapping[str, str]) -> dict[str, Any]:
        import subprocess
        import time

        subprocess.Popen(
            [self.launcher, "serve", "--service"], env=dict(environ), cwd=environ["HOME"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        path = _state(environ) / "service.json"
        for _ in range(200):
            found = _read(path)
            if found and self.service(found):
                return found
            time.sleep(0.05)
        raise Stopped(1, "the service did not start")

    def stop_service(self, registration: Mapping[str, Any]) -> None:
        if _alive(registration):
            os.kill(int(registration["pid"]), signal.SIGTERM)

    def service(self, registration: Mapping[str, Any]) -> Any:
        return _Remote(self, registration) if _alive(registration) else None


class _Remote:
    """The service of another process: asked over HTTP, with its password."""

    def __init__(self, wire: Wire, registration: Mapping[str, Any]) -> None:
        self._wire, self._at = wire, registration

    def location(self, directory: str) -> Any:
        self._directory = directory
        return self

    def providers(self) -> dict[str, Any]:
        return {}

    def prompt(self, text: str, typed: str | None, agent: str | None) -> str:
        asked = {"directory": self._directory, "text": text, "model": typed, "agent": agent}
        headers = {"x-password": str(self._at["password"])}
        answer = self._wire.send(str(self._at["url"]), headers, asked, {}) or {}
        return str(answer.get("said", ""))


def _state(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_STATE_HOME") or f"{environ['HOME']}/.local/state", "opencode")


def _alive(registration: Mapping[str, Any]) -> bool:
    try:
        os.kill(int(registration["pid"]), 0)
    except (KeyError, ValueError, OSError):
        return False
    return True


def serve(build: Build, wire: Wire) -> None:
    """The shared service: registers itself and answers until it is killed (section 4)."""
    import http.server

    server = Server(build, os.environ, os.getcwd(), wire)
    password = os.urandom(8).hex()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.headers.get("x-password") != password:
                self.send_error(401)
                return
            try:
                location = server.location(asked["directory"])
                said = location.prompt(asked["text"], asked["model"], asked["agent"])
            except Stopped as stopped:
                said = stopped.text
            body = json.dumps({"said": said}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    listener = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    path = _state(os.environ) / "service.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{listener.server_port}/"
    path.write_text(
        json.dumps({"id": "s", "version": build.version, "url": url, "pid": os.getpid(),
                    "password": password})
    )  # fmt: skip
    path.chmod(0o600)
    listener.serve_forever()


def install(path: Path, build: Build = LATER) -> Path:
    """Write the program of this `build` to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    support = str(Path(__file__).parent)
    path.write_text(
        f"#!{sys.executable} -S\nimport sys\nsys.path.insert(0, {support!r})\n"
        f"from fake_opencode2 import Build, program\nprogram({build!r}, __file__)\n"
    )
    path.chmod(0o755)
    # in a package of its own: it is the agent, and no script in front of it
    about = {"name": "@opencode/cli", "version": build.version}
    (path.parent / "package.json").write_text(json.dumps(about))
    return path


def program(build: Build, launcher: str) -> None:
    """Run as the program at `launcher`."""
    wire = Wire(launcher)
    if sys.argv[1:3] == ["serve", "--service"]:
        serve(build, wire)
    status, text = run(build, sys.argv[1:], os.environ, os.getcwd(), wire)
    print(text, file=sys.stderr if status else sys.stdout)
    sys.exit(status)
