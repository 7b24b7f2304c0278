"""Files of tools in YAML, JSON or TOML that set variables, run commands or name images: one table.

A row says which files are of a kind, and under which keys, wherever in the file, stands what. To
add a kind: a row; what no row can say is a function of its own beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from guard.late import late
from guard.rules.files import coded, kubernetes, tasks, written
from guard.rules.files.calls import ShellTexts, check_image, check_texts
from guard.rules.files.scope import Scope
from guard.rules.files.structured import (
    check_call,
    check_command,
    check_pair,
    check_variables,
    expressions_out,
    parse,
)
from guard.sources.positions.nodes import MAP, SCALAR, Node
from guard.sources.positions.templates import SUFFIXES, plain_name
from guard.sources.positions.text import Text, joined

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.rules.needles import Needle
    from guard.sources.file import SourceFile

    More = Callable[[Scope, Node], Iterator[Finding]]


class Kind(NamedTuple):
    """One kind of file.

    `files` is a regex for the end of its path, in any case of letters and without the suffix of a
    template; `says` one that its text has to hold. `where` names what gets the variables. Each of
    the others is a tuple of keys: `variables` hold a map or list of variables, `texts` text for a
    shell or a list of it, `commands` a command as text or as words, `images` an image; `calls` are
    (program, arguments), the arguments alone too if `lone_arguments`. `more` is asked about the
    root.
    """

    name: str
    files: str
    where: str
    variables: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    calls: tuple[tuple[str, str], ...] = ()
    images: tuple[str, ...] = ()
    lone_arguments: bool = False
    says: str = ""
    more: More | None = None


def _compose(scope: Scope, root: Node) -> Iterator[Finding]:
    """Build arguments, and the models that compose itself runs (docs.docker.com/reference)."""
    for _, service in (root.get("services") or root).pairs:
        yield from check_variables(scope.given_to("the build"), service.get("build", "args"))
        model = service.get("provider", "type")
        if model is not None and model.value == "model":
            yield from check_image(scope, "docker/model-runner", model)


def _devcontainer(scope: Scope, root: Node) -> Iterator[Finding]:
    """Variables in `runArgs`, which docker gets, and commands that are a map of commands."""
    before = ""
    arguments = root.get("runArgs")
    for item in arguments.items if arguments is not None else ():
        if item.value.startswith("--env="):
            yield from check_pair(scope, item.text[len("--env=") :])
        elif before in ("-e", "--env"):
            yield from check_pair(scope, item.text)
        before = item.value
    for key, value in root.pairs:
        if key.value in _LIFECYCLE and value.kind == MAP:
            for _, command in value.pairs:
                yield from check_command(scope, command)


_LIFECYCLE = (
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
)


def _notebook(scope: Scope, root: Node) -> Iterator[Finding]:
    """The lines of a notebook's cells that IPython gives to a shell: `!…`, `%%bash`."""
    texts: list[Text] = []
    cells = root.get("cells")
    for cell in cells.items if cells is not None else ():
        kind, source = cell.get("cell_type"), cell.get("source")
        if source is None or (kind is not None and kind.value != "code"):
            continue
        lines = [line for part in source.strings() for line in part.text.lines() if line.value]
        first = lines[0].value.split() if lines else [""]
        if first[0] in ("%%bash", "%%sh", "%%zsh", "%%script", "%%!"):
            texts.append(joined(lines[1:], "\n"))
        else:
            texts += [line[1:] for line in lines if line.value.startswith("!")]
    yield from check_texts(scope, texts)


def _files(scope: Scope, root: Node) -> Iterator[Finding]:
    """`write_files` of cloud-init, `copy` of Ansible: a path, and the content beside it."""
    for node in root.walk():
        content = node.get("content")
        path = node.get("path") or node.get("dest")
        if content is not None and path is not None and content.kind == path.kind == SCALAR:
            yield from written.check(scope, path.value, content.text)


def _cloud_init(scope: Scope, root: Node) -> Iterator[Finding]:
    yield from _files(scope, root)
    for key in ("runcmd", "bootcmd"):
        commands = root.get(key)
        for command in commands.items if commands is not None else ():
            yield from check_command(scope, command)


KINDS = (
    Kind(
        "compose",
        r"(?:docker-|podman-)?compose(?:[.-][^/]*)?\.ya?ml|[^/]*[.-]compose\.ya?ml",
        "the service",
        variables=("environment",),
        calls=(("entrypoint", "command"),),
        lone_arguments=True,
        commands=("test",),
        images=("image",),
        more=_compose,
    ),
    Kind(
        "devcontainer",
        r"\.?devcontainer(?:-feature|-template)?\.json",
        "the container",
        variables=("containerEnv", "remoteEnv"),
        commands=_LIFECYCLE,
        images=("image",),
        more=_devcontainer,
    ),
    # code.visualstudio.com/docs: "Tasks", "Debugging", "Terminal Profiles"
    Kind(
        "vscode",
        r"(?:\.vscode|Code(?: - Insiders)?/User)/(?:tasks|launch|settings)\.json"
        r"|[^/]*\.code-workspace",
        "the editor's task or terminal",
        variables=("env", "environment"),
        calls=(
            ("command", "args"),
            ("program", "args"),
            ("runtimeExecutable", "runtimeArgs"),
        ),
    ),
    Kind(
        "taskfile",
        r"Taskfile(?:\.[\w-]+)?\.ya?ml",
        "the task",
        variables=("env", "vars"),
        texts=("cmd", "cmds", "sh", "preconditions", "status"),
    ),
    Kind(
        "mise",
        r"\.?mise(?:\.[\w-]+)*\.toml|mise/(?:config|conf\.d/[^/]+)\.toml|\.?rtx(?:\.local)?\.toml",
        "the task",
        texts=("run", "run_windows", "enter", "leave", "cd", "preinstall", "postinstall"),
    ),
    Kind(
        "lefthook",
        r"\.?lefthook(?:-local)?\.(?:ya?ml|toml|json)",
        "the hook",
        variables=("env",),
        texts=("run",),
    ),
    Kind(
        "pre-commit",
        r"\.pre-commit-(?:config|hooks)\.ya?ml",
        "the hook",
        calls=(("entry", "args"),),
    ),
    Kind(
        "workspace",
        r"(?:project|nx)\.json",
        "the target",
        variables=("env",),
        texts=("command", "commands"),
        says=r"\"(?:targets|targetDefaults)\"",
    ),
    Kind(
        "devbox",
        r"devbox\.json",
        "the shell",
        variables=("env",),
        texts=("init_hook",),
        more=lambda scope, root: tasks.check(scope, root.get("shell", "scripts")),
    ),
    Kind("netlify", r"netlify\.toml", "the build", ("environment",), texts=("command",)),
    Kind("fly", r"fly(?:\.[\w-]+)?\.toml", "the app", ("env",), texts=("release_command",)),
    Kind("wrangler", r"wrangler\.(?:toml|jsonc?)", "the worker", ("vars",)),
    Kind("vercel", r"vercel\.json", "the deployment", ("env",), texts=("buildCommand",)),
    Kind(
        "render",
        r"render\.ya?ml",
        "the service",
        ("envVars",),
        texts=("buildCommand", "startCommand"),
    ),
    Kind("serverless", r"serverless\.ya?ml", "the function", ("environment",)),
    Kind(
        "app-engine",
        r"app\.ya?ml",
        "the app",
        ("env_variables",),
        texts=("entrypoint",),
        says=r"^runtime[ \t]*:",
    ),
    Kind(
        "kustomize",
        r"kustomization\.ya?ml",
        "the pod",
        variables=("literals",),
    ),
    Kind(
        "tox",
        r"tox\.toml",
        "the environment",
        ("set_env",),
        commands=("commands", "commands_pre", "commands_post"),
    ),
    # the task runners of Python: poethepoet, PDM, Hatch, taskipy, Pixi, Pipenv, tox
    Kind(
        "python-project",
        r"pyproject\.toml|pixi\.toml|Pipfile|hatch\.toml",
        "the task",
        variables=("env", "env-vars"),
        more=lambda scope, root: tasks.check(scope, *tasks.at(root, tasks.OF_PYTHON)),
    ),
    Kind(
        "scripts",
        r"(?:package|composer|deno|app|conductor)\.jsonc?|\.?melos\.ya?ml|\.superset/config\.json",
        "the script",
        more=lambda scope, root: tasks.check(scope, *tasks.at(root, tasks.SCRIPTS)),
    ),
    # github.com/lint-staged/lint-staged: globs and what runs on the files
    Kind(
        "lint-staged",
        r"\.lintstagedrc(?:\.json|\.ya?ml)?",
        "the hook",
        more=lambda scope, root: tasks.check(scope, root),
    ),
    Kind(
        "nodemon",
        r"nodemon\.json",
        "the program",
        ("env",),
        texts=("exec",),
        more=lambda scope, root: tasks.check(scope, root.get("execMap")),
    ),
    Kind(
        "pm2",
        r"(?:pm2|ecosystem|process)(?:\.config)?\.(?:json|ya?ml)",
        "the program",
        ("env", "env_production", "env_development"),
        calls=(("script", "args"),),
        says=r"\bapps\b",
    ),
    Kind(
        "cargo-make",
        r"Makefile\.toml|bacon\.toml|\.cargo/config\.toml|prek\.toml",
        "the task",
        ("env",),
        texts=("script",),
        calls=(("command", "args"), ("entry", "args")),
    ),
    Kind(
        "processes",
        r"(?:process-compose|mprocs|moon|dvc|lerna|\.overcommit|\.gitpod|snapcraft|wercker|heroku)"
        r"[^/]*\.ya?ml|\.gitpod\.Dockerfile|\.?tmuxinator(?:/[^/]*)?\.ya?ml|[^/]*\.tmuxinator\.ya?ml",
        "the process",
        ("environment", "env"),
        texts=("shell", "code", "init", "before", "prebuild", "startup", "on_project_start"),
        commands=("cmd", "command"),
        more=lambda scope, root: tasks.check(scope, *tasks.at(root, (("run",),))),
    ),
    Kind(
        "started",
        r"railway\.(?:toml|json)|nixpacks\.toml|\.replit|\.stackblitzrc"
        r"|\.cursor/environment\.json|apprunner\.ya?ml|amplify\.ya?ml",
        "the app",
        ("env", "variables"),
        texts=("startCommand", "buildCommand", "preDeployCommand", "cmd", "cmds", "onBoot"),
        commands=("run", "install", "start", "command"),
    ),
    Kind(
        "editor-tasks",
        r"\.zed/tasks\.json|[^/]*\.sublime-project",
        "the editor's task",
        ("env",),
        commands=("cmd", "shell_cmd"),
        calls=(("command", "args"),),
    ),
    Kind(
        "notebook",
        r"[^/]*\.ipynb",
        "the cell",
        says=r"\"(?:![^\"=]|%%(?:bash|sh|zsh|script|!))",
        more=_notebook,
    ),
    Kind(
        "helm-values",
        r"values(?:[.-][^/]*)?\.ya?ml",
        "the pod",
        variables=(
            *("env", "envs", "envVars", "environment", "extraEnv", "extraEnvs", "extraEnvVars"),
            *("secretEnv", "envSecrets", "extraSecretEnv", "secrets"),
        ),
        calls=(("command", "args"),),
    ),
    # cloudinit.readthedocs.io, "Write files"; docs.ansible.com, ansible.builtin.copy
    Kind(
        "cloud-init",
        r"(?:cloud[-_]?(?:init|config)|user[-_]?data)[^/]*\.ya?ml",
        "the machine",
        more=_cloud_init,
    ),
    Kind(
        "ansible",
        r"(?:tasks|handlers)/[^/]+\.ya?ml|(?:playbook|site)[^/]*\.ya?ml",
        "the task",
        variables=("environment",),
        texts=("shell", "command", "cmd", "ansible.builtin.shell", "ansible.builtin.command"),
        commands=("argv",),
        more=_files,
    ),
    Kind(
        "kubernetes",
        r"[^/]*\.(?:ya?ml|json)",
        "the pod",
        variables=("env", "encryptedData"),
        calls=(("command", "args"),),
        lone_arguments=True,
        # steps of Tekton and Argo
        texts=("script", "source"),
        says=kubernetes.SAYS,
        more=kubernetes.check,
    ),
)
"""Every kind, the narrower before the wider: a file is of the first that it fits."""


_PATTERNS = [(kind, late(rf"(?:.*/)?(?:{kind.files})", re.I | re.S)) for kind in KINDS]
_ENDS = (
    *(".yml", ".yaml", ".json", ".jsonc", ".toml", ".code-workspace", ".sublime-project"),
    *(".ipynb", ".lintstagedrc", "pipfile", ".replit", ".stackblitzrc", *SUFFIXES),
)
"""How the names of all of them end: most files of a tree end in another way."""

_TERMINALS = "terminal.integrated.env."


def kinds_of(path: str) -> list[Kind]:
    """The kinds that a file at `path` may be of; what it says decides between them."""
    if not path.lower().endswith(_ENDS):
        return []
    plain = plain_name(path)
    return [kind for kind, pattern in _PATTERNS if pattern.fullmatch(plain)]


def is_by_name(path: str) -> bool:
    """Whether a file at `path` is of a kind whatever it says."""
    return any(not kind.says for kind in kinds_of(path)[:1])


def _is_any(path: str) -> bool:
    """Whether a file at `path` may be of a kind. The widest is asked first."""
    if not path.lower().endswith(_ENDS) or "node_modules/" in path:
        return False
    plain = plain_name(path)
    return any(pattern.fullmatch(plain) for _, pattern in reversed(_PATTERNS))


class Kinds(ShellTexts):
    """Agent calls, variables, local proxies and keys in the files of the table."""

    name = "kinds"

    @property
    def needles(self) -> tuple[Needle, ...]:
        """Those of a shell text, and how keys begin that are written in base64."""
        return (*super().needles, *coded.base64_begins())

    def wants(self, path: str, name: str) -> bool:
        """The files of the table, by their names alone."""
        return _is_any(path)

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in the file, as the first kind that it fits says."""
        for kind in kinds_of(file.path):
            if not kind.says or re.search(kind.says, file.text, re.MULTILINE):
                yield from check_kind(Scope(file, policy, kind.where), kind)
                return


def check_kind(scope: Scope, kind: Kind) -> Iterator[Finding]:
    """Findings in a file of `kind`."""
    roots, notes = parse(scope, by_name=not kind.says)
    yield from notes
    texts: list[Text] = []
    for root in roots:
        if kind.more is not None:
            yield from kind.more(scope, root)
        for node in root.walk():
            if node.kind == MAP:
                yield from _map(scope, kind, node, texts)
    yield from check_texts(scope, texts)


def _map(scope: Scope, kind: Kind, node: Node, texts: list[Text]) -> Iterator[Finding]:
    for key, value in node.pairs:
        name = key.value
        if name in kind.variables or name.startswith(_TERMINALS):
            yield from check_variables(scope, value)
        elif name in kind.texts and value.kind != MAP:
            texts += [expressions_out(item.text) for item in value.strings() if item.value.strip()]
        elif name in kind.commands:
            yield from check_command(scope, value)
        elif name in kind.images and value.kind == SCALAR:
            yield from check_image(scope, _default(value.value), value.text)
    for program, arguments in kind.calls:
        if node.get(program) is not None or kind.lone_arguments:
            yield from check_call(scope, node.get(program), node.get(arguments))


def _default(reference: str) -> str:
    """An image with `${NAME:-default}` as compose fills it in where NAME is not set."""
    return re.sub(r"\$\{\w+(?::?-([^}]*))?\}", lambda m: m.group(1) or "", reference)


DETECTOR = Kinds()
