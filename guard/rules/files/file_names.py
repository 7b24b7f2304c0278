"""What a file is, by its name: code, configuration, generated, a test."""

from __future__ import annotations

import re

from guard.rules.agents import AGENT_FILES, AGENT_FOLDERS, settings_of

_CODE = frozenset(
    (
        "py", "pyi", "js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "go", "rs", "rb", "java",
        "kt", "kts", "scala", "cs", "fs", "swift", "php", "pl", "pm", "lua", "ex", "exs", "erl",
        "clj", "dart", "r", "jl", "c", "h", "cc", "cpp", "hpp", "m", "vue", "svelte", "astro",
        "groovy", "zig", "nim", "ml", "hs",
    )
)  # fmt: skip
_SCRIPT = frozenset(("sh", "bash", "zsh", "fish", "ps1", "psm1", "bat", "cmd", "ksh"))
_CONFIGURATION = frozenset(
    (
        "json", "jsonc", "json5", "yaml", "yml", "toml", "ini", "cfg", "conf", "config",
        "properties", "env", "plist", "service", "tf", "hcl", "nix", "gradle", "cue", "dhall",
        "mk", "dockerfile", "xml", "desktop", "nomad", "tpl", "j2", "kdl", "ron",
    )
)  # fmt: skip
_SCRIPT_NAMES = frozenset(
    (
        "makefile", "gnumakefile", "justfile", "procfile", "jenkinsfile", "vagrantfile",
        "containerfile", "dockerfile", "rakefile", "tiltfile", "earthfile", "taskfile",
        ".bashrc", ".bash_profile", ".profile", ".zshrc", ".zshenv", ".zprofile", ".envrc",
    )
)  # fmt: skip
_LOCKS = frozenset(
    (
        "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock",
        "poetry.lock", "uv.lock", "pipfile.lock", "cargo.lock", "composer.lock", "gemfile.lock",
        "go.sum", "packages.lock.json", "flake.lock", "deno.lock", "mix.lock", "pubspec.lock",
    )
)  # fmt: skip
_GENERATED_PARTS = frozenset(
    (
        "__snapshots__", "cassettes", "node_modules", "locales", "locale", "i18n", "translations",
        "site-packages", "__recordings__",
    )
)  # fmt: skip
_TEST_PARTS = frozenset(
    ("test", "tests", "__tests__", "spec", "specs", "testdata", "fixtures", "__mocks__", "mocks")
)
_TEST_NAME = re.compile(
    r"test_.*|conftest\.py|.*_test\.\w+|.*[.-](?:test|spec|e2e)\.\w+|.*Tests?\.(?:java|kt|cs|swift)"
)


def _extension(name: str) -> str:
    return name.lower().rpartition(".")[2] if "." in name else ""


def is_code(name: str) -> bool:
    """Whether the file is source code or a script."""
    return _extension(name) in _CODE or is_script(name)


def is_script(name: str) -> bool:
    """Whether the file is text for a shell, or mostly so."""
    lower = name.lower()
    return (
        _extension(name) in _SCRIPT
        or lower in _SCRIPT_NAMES
        or lower.startswith(("dockerfile.", "makefile."))
    )


def is_configuration(name: str) -> bool:
    """Whether the file is configuration for a program; dotenv files are read elsewhere."""
    return _extension(name) in _CONFIGURATION and not is_dotenv(name)


def is_generated(path: str, name: str) -> bool:
    """Whether a tool wrote the file or it holds texts for people: not written to be obeyed.

    Also the configuration of coding agents, which has rules of its own.
    """
    lower = name.lower()
    if lower in _LOCKS or lower.endswith((".map", ".snap", ".schema.json")):
        return True
    if lower in AGENT_FILES or settings_of(path):
        return True
    if ".min." in lower or ".bundle." in lower:
        return True
    parts = path.split("/")[:-1]
    return not (_GENERATED_PARTS.isdisjoint(parts) and AGENT_FOLDERS.isdisjoint(parts))


def is_test(path: str, name: str) -> bool:
    """Whether the file tests something, by its name or by a directory above it."""
    return bool(_TEST_NAME.fullmatch(name)) or not _TEST_PARTS.isdisjoint(path.split("/")[:-1])


_DOTENV = re.compile(r"\.env(?:\..+)?|.+\.env|\.dev\.vars(?:\..+)?|\.flaskenv", re.DOTALL)
_SAMPLES = ("example", "sample", "template", "dist", "tpl", "defaults", "schema")


def is_dotenv(name: str) -> bool:
    """Whether the file holds `NAME=value` lines that a tool puts into an environment.

    `.env`, `.env.local`, `docker.env`, also the samples among them: see `is_dotenv_sample`.
    """
    return bool(_DOTENV.fullmatch(name)) and _extension(name) not in _CODE


def is_dotenv_sample(name: str) -> bool:
    """Whether a dotenv file is a form to fill in: `.env.example`, `sample.env`."""
    return any(part in _SAMPLES for part in re.split(r"[._-]", name.lower()))
