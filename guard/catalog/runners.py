"""Package runners: what `npx …`, `uvx …` and their like fetch and start. Hot-path module."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_ANY = ((),)
_NODE = {
    "npx": _ANY,
    "bunx": _ANY,
    "pnpx": _ANY,
    "npm": (("exec",), ("x",)),
    "pnpm": (("dlx",), ("exec",)),
    "yarn": (("dlx",), ("exec",)),
    "bun": (("x",), ("run",)),
    "deno": (("run",), ("x",)),
}
_OTHERS = {
    "uvx": _ANY,
    "uv": (("tool", "run"),),
    "pipx": (("run",),),
    "pixi": (("exec",),),
    "go": (("run",),),
    "nix": (("run",),),
}

# options that take the next word: `npm help npx`, `pnpm help`, `yarn dlx --help`
_NODE_VALUED = frozenset(
    (
        *("-C", "-F", "-w", "-p", "--package", "--cache", "--cwd", "--dir", "--filter"),
        *("--loglevel", "--prefix", "--registry", "--script-shell", "--userconfig"),
        *("--workspace", "--config", "--import-map"),
    )
)
# `uvx --help`, `pipx run --help`, `pixi exec --help`, `go help run`, `nix run --help`
_OTHERS_VALUED = frozenset(
    (
        *("--from", "--with", "-w", "--with-requirements", "--with-editable", "--spec", "-s"),
        *("-p", "--python", "-i", "--index-url", "--default-index", "--index", "--extra-index-url"),
        *("-f", "--find-links", "--constraints", "--env-file", "--directory", "--project"),
        *("--pip-args", "--cache-dir", "--config-file", "--channel", "-c", "-C", "-tags", "--tags"),
        *("-exec", "-mod", "--override-input", "--option", "--inputs-from"),
    )
)
_NAMING = frozenset(("-p", "--package", "--from", "--with", "-w", "--spec", "-s"))
_CALLS = ("-c", "--call")


class Run:
    """What a package runner was told: indexes into its words, the runner's own name counted.

    `command` is the package, or program of a package, with its arguments behind it; -1 for none.
    `packages` are the words that name packages by an option, `texts` those that are command lines
    of their own, run with the programs of the packages on PATH.
    """

    __slots__ = ("command", "packages", "texts")

    def __init__(self) -> None:
        self.command = -1
        self.packages: list[int] = []
        self.texts: list[int] = []


def read(words: Sequence[str]) -> Run | None:
    """What the command line `words` fetches and starts; None if it is no package runner's."""
    name = words[0].rpartition("/")[2] if words else ""
    node = name in _NODE
    verbs = _NODE.get(name) or _OTHERS.get(name)
    if verbs is None:
        return None
    valued = _NODE_VALUED if node else _OTHERS_VALUED
    run = Run()
    given: tuple[str, ...] = ()
    started = verbs == _ANY
    at = 1
    while at < len(words):
        word = words[at]
        if word == "--":
            at += 1
            if started:
                break
        elif node and word in _CALLS:
            run.texts.append(at + 1)
            at += 2
        elif word in valued:
            # of npm `-w` is a workspace, of uv `-p` a Python
            if word in _NAMING and word != ("-w" if node else "-p"):
                run.packages.append(at + 1)
            at += 2
        elif word.startswith("-") and word != "-":
            if word.partition("=")[0] in _NAMING:
                run.packages.append(at)
            at += 1
        elif started:
            break
        else:
            given += (word,)
            if not any(verb[: len(given)] == given for verb in verbs):
                return None
            started = given in verbs
            at += 1
    if not started:
        return None
    run.command = at if at < len(words) else -1
    run.packages = [index for index in run.packages if index < len(words)]
    run.texts = [index for index in run.texts if index < len(words)]
    return run


def package_name(spec: str) -> str:
    """The name in a package specification.

    `PACKAGE@latest`, `ALIAS@npm:PACKAGE`, `npm:@portkey-ai/gateway@1`,
    `litellm[proxy]==1.2`, `--from=litellm`, `nixpkgs#litellm`, `example.org/cmd/litellm@latest`.
    """
    if spec[:1] == "-":
        spec = spec.partition("=")[2]
    spec = spec.rpartition("npm:")[2]
    if "#" in spec:
        spec = spec.rpartition("#")[2]
    name = spec[:1] + spec[1:].partition("@")[0]
    for mark in "[=<>~!;":
        name = name.partition(mark)[0]
    name = name.strip()
    if name[:1] != "@" and "/" in name:
        name = name.rpartition("/")[2]
    return name


def names_package(spec: str, packages: Collection[str]) -> bool:
    """Whether the package specification `spec` names one of `packages`.

    A repository or a path names the package that ends alike (`github:OWNER/NAME`,
    `https://github.com/OWNER/NAME#main`, `./node_modules/@SCOPE/NAME`).
    """
    if package_name(spec) in packages:
        return True
    place, _, last = spec.partition("#")[0].removesuffix(".git").rpartition("/")
    is_place = ":" in place or place.startswith((".", "/")) or (place and place[0] != "@")
    return bool(is_place) and any(last == one.rpartition("/")[2] for one in packages)
