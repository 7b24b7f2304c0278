"""What a file is, by its name: code, configuration, generated, a test."""

from __future__ import annotations

import re

from guard.late import late
from guard.rules.agents import AGENT_FILES, AGENT_FOLDERS, settings_of

_CODE = frozenset(
    (
        "py", "pyi", "js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "go", "rs", "rb", "java",
        "kt", "kts", "scala", "cs", "fs", "swift", "php", "pl", "pm", "lua", "ex", "exs", "erl",
        "clj", "dart", "r", "jl", "c", "h", "cc", "cpp", "hpp", "m", "vue", "svelte", "astro",
        "groovy", "zig", "nim", "ml", "hs", "rake", "gradle",
    )
)  # fmt: skip
_SCRIPT = frozenset(("sh", "bash", "zsh", "fish", "ps1", "psm1", "bat", "cmd", "ksh"))
_CONFIGURATION = frozenset(
    (
        "json", "jsonc", "json5", "yaml", "yml", "toml", "ini", "cfg", "conf", "config",
        "properties", "env", "plist", "service", "tf", "tofu", "hcl", "nix", "gradle", "cue",
        "dhall", "mk", "dockerfile", "xml", "desktop", "nomad", "tpl", "j2", "kdl", "ron",
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
        "site-packages", "__recordings__", "_data", "_next",
    )
)  # fmt: skip
_ASIDE = frozenset(
    (
        "test", "tests", "testdata", "testing", "testsuite", "testcases", "fixture", "fixtures",
        "mock", "mocks", "e2e", "bench", "benches", "benchmark", "benchmarks", "example",
        "examples", "sample", "samples", "demo", "demos", "vcr",
    )
)  # fmt: skip
"""Words by which a folder says that it is not the product: the first or the last of its name."""

_ASIDE_WHOLE = frozenset(
    (
        "spec", "specs", "cypress", "playwright", "testutil", "testutils", "vendor", "vendored",
        "_vendor", "third_party", "third-party", "thirdparty", "3rdparty", "node_modules",
        "bower_components", "site-packages", "external_libs", "storybook",
    )
)  # fmt: skip
"""Names of folders that only as a whole say so."""

_WORDS = late(r"[^._-]+")
_TEST_FILE = late(
    r"test_.*|tests?\.\w+|conftest\.py|(?:mock|example|sample|dummy|fake)[_-].*"
    r"|.*_(?:test|tests|spec|mock|mocks|fixture|fixtures|bench|benchmark)\.\w+"
    r"|.*[.-](?:test|tests|spec|vitest|e2e|cy|stories|mock|mocks|fixture|fixtures|bench|example"
    r"|sample)\.\w+"
    r"|.*(?:Tests?|Spec|Mock)\.(?:java|kt|kts|cs|swift|scala|groovy|php|dart|ts|js)"
)
_NO_TEST_FILE = frozenset(("yml", "yaml", "toml", "sh", "env", "dockerfile", "service", "plist"))
"""Endings of files that are in force under whatever name: `docker-compose.test.yml` starts it."""


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


def context(path: str) -> str:
    """The folder, `/` at its end, by which `path` is a test, a mock, a benchmark, an example or
    somebody else's code; for a test beside the product the file itself; "" for the product.

    What CI runs is in force wherever it lies.
    """
    *folders, name = path.split("/")
    if ".github" in folders:
        return ""
    for number, folder in enumerate(folders, 1):
        lower = folder.lower()
        words = _WORDS.findall(lower)
        if lower in _ASIDE_WHOLE or (words and not _ASIDE.isdisjoint((words[0], words[-1]))):
            return "/".join(folders[:number]) + "/"
    if _TEST_FILE.fullmatch(name) and _extension(name) not in _NO_TEST_FILE:
        return path
    return ""


_DOTENV = late(r"\.env(?:\..+)?|.+\.env|\.dev\.vars(?:\..+)?|\.flaskenv", re.DOTALL)
_SAMPLES = ("example", "sample", "template", "dist", "tpl", "defaults", "schema")


def is_dotenv(name: str) -> bool:
    """Whether the file holds `NAME=value` lines that a tool puts into an environment.

    `.env`, `.env.local`, `docker.env`, also the samples among them: see `is_dotenv_sample`.
    """
    return bool(_DOTENV.fullmatch(name)) and _extension(name) not in _CODE


def is_dotenv_sample(name: str) -> bool:
    """Whether a dotenv file is a form to fill in: `.env.example`, `sample.env`."""
    return any(part in _SAMPLES for part in re.split(r"[._-]", name.lower()))
