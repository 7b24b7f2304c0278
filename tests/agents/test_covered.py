"""What an exception for a file covers: nothing that can change without it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from guard.agents.covered import Coverage, content_digest
from guard.agents.opencode.preflight import named_code
from guard.policy.values import CompiledPolicy, PolicyException

NOW = 1_800_000_000.0


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def allowing(*paths: Path, until: float = NOW + 1) -> Coverage:
    exceptions = [
        PolicyException(subject=f"file:{path}", until=until, sha256=content_digest(str(path)))
        for path in paths
    ]
    return Coverage(CompiledPolicy(exceptions=tuple(exceptions)), NOW)


def lacking(coverage: Coverage, path: Path, names: list[str] | None = None) -> str | None:
    """The path that is missing, "" for what is no file, None if everything is covered."""
    missing = coverage.missing(str(path), names)
    return None if missing is None else missing.path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        'import { x } from "./helper.js"',
        "import x from './helper'",
        'import"./helper"',
        'export * from "./helper.ts"',
        "const x = await import(`./helper.js`)",
        "import(/* later */ './helper.js')",
        'require("./helper.cjs")',
        "require.resolve('./helper')",
        'new Worker("./helper.mjs")',
        'new Worker(new URL("./helper.js", import.meta.url))',
        'import data from "./helper.json"',
        'import x from "../plugin/helper.js"',
        'import x from "./helper.js?raw"',
        'import x from "./helper/"',
        'import type from "./helper.js"',
        'import type, { x } from "./helper.js"',
        '// import type foo\nexport * from "./helper.js"',
        '/* import type */ import { x } from "./helper.js"',
        'import x from // later\n"./helper.js"',
        "import\u2028'./helper.js'",
        'import(( /* a */ // b\n "./helper.js"))',
        'require?.("./helper.js")',
        'require.call(null, "./helper.js")',
        'createRequire(import.meta.url)("./helper.js")',
        'const name = "./helper.js"; load(name)',
        "const url = `./helper`",
        'eval(readFileSync("./helper.js", "utf8"))',
        f'/*{"x" * (1 << 20)}*/ import "./helper.js"',
    ],
)
def test_what_excepted_code_imports_is_needed(tree: Path, text: str) -> None:
    plugin = write(tree / "plugin" / "mine.js", text)
    ending = next((e for e in (".cjs", ".mjs", ".ts", ".json") if f"helper{e}" in text), ".js")
    helper = f"helper/index{ending}" if "helper/" in text else f"helper{ending}"
    needed = write(tree / "plugin" / helper)
    assert lacking(allowing(plugin), plugin) == str(needed)
    assert lacking(allowing(plugin, needed), plugin) is None
    coverage = allowing(plugin, needed)
    needed.write_text("changed")
    assert lacking(coverage, plugin) == str(needed)
    assert lacking(allowing(tree / "plugin"), plugin) is None


def test_imports_are_followed_to_the_end(tree: Path) -> None:
    files = [write(tree / f"{n}.ts", f'import "./{n + 1}"') for n in range(4)]
    assert lacking(allowing(*files[:3]), files[0]) == str(files[3])
    missing = allowing(*files[:3]).missing(str(files[0]))
    assert missing is not None
    assert missing.why == f"; {files[2]} needs {files[3]}; no exception covers that"
    assert lacking(allowing(*files), files[0]) is None


@pytest.mark.parametrize(
    "text",
    [
        "import(name)",
        "require?.(name)",
        "import(`./${name}.js`)",
        'import "./\\x68elper.js"',
        'require("\\\n./helper.js")',
        'require((0, "helper"))',
        'import(/* "./x" */ name)',
        'const name = "./helper.js"; import(name)',
    ],
)
def test_a_name_that_cannot_be_read_means_any_file_of_the_folder(tree: Path, text: str) -> None:
    plugin = write(tree / "plugin" / "mine.js", text)
    helper = write(tree / "plugin" / "helper.js", 'import "../outside"')
    assert lacking(allowing(plugin, helper), plugin) == str(plugin.parent)
    assert lacking(allowing(plugin.parent), plugin) is None
    outside = write(tree / "outside.js")
    assert lacking(allowing(plugin.parent), plugin) == str(outside)


@pytest.mark.parametrize(
    "text", ["import " + "/**/" * 5000, "import" + " " * 100_000, "import/*" * 50_000]
)
def test_code_made_to_be_slow_to_look_through(tree: Path, text: str) -> None:
    plugin = write(tree / "mine.js", text)
    assert lacking(allowing(plugin), plugin) is None


@pytest.mark.parametrize("name", ["fs/more.js", "punycode/"])
def test_a_package_named_like_a_part_of_node_is_none(tree: Path, name: str) -> None:
    plugin = write(tree / "mine.js", f'import "{name}"')
    package = write(tree / "node_modules" / name.split("/")[0] / "more.js").parent
    write(package / "index.js")
    assert lacking(allowing(plugin), plugin) == str(package)


def test_a_package_of_the_project_around_a_submodule(tree: Path) -> None:
    write(tree / ".opencode" / ".git", "gitdir: elsewhere")
    plugin = write(tree / ".opencode" / "plugin" / "mine.js", 'import "some"')
    package = write(tree / "node_modules" / "some" / "index.js").parent
    assert lacking(allowing(plugin), plugin) == str(package)


@pytest.mark.parametrize(
    ("name", "inner"),
    [("some/part.js", "README"), ("some", "README"), ("some", 'package.json:{"main":"./gone.js"}')],
)
def test_a_package_that_does_not_answer_leaves_it_to_one_further_up(
    tree: Path, name: str, inner: str
) -> None:
    plugin = write(tree / "plugin" / "mine.js", f'import "{name}"')
    file, _, text = inner.partition(":")
    first = write(tree / "plugin" / "node_modules" / "some" / file, text).parent
    second = write(tree / "node_modules" / "some" / "part.js").parent
    assert lacking(allowing(plugin, first), plugin) == str(second)
    for answer in ("part.js", "index.js", "gone.js"):
        write(first / answer)
    assert lacking(allowing(plugin, first), plugin) is None


def test_each_file_that_could_answer_counts(tree: Path) -> None:
    plugin = write(tree / "mine.js", 'import "./helper"')
    first = write(tree / "helper.js")
    coverage = allowing(plugin, first)
    assert lacking(coverage, plugin) is None
    second = write(tree / "helper.ts")
    assert lacking(coverage, plugin) == str(second)


@pytest.mark.parametrize(
    "text",
    [
        'import fs from "node:fs"; import { $ } from "bun"; import p from "fs/promises"',
        'import type { Plugin } from "./types"',
        'export type { A } from "./types"',
        'import { tool } from "@opencode-ai/plugin"',
        'import missing from "./not-there"',
        'import type A from "./types"',
        '  import type * as T from "./types"',
        'import "../plugin-that-is-not-there"',
    ],
)
def test_what_needs_nothing_of_the_project(tree: Path, text: str) -> None:
    write(tree / "types.ts")
    plugin = write(tree / "mine.ts", text)
    assert lacking(allowing(plugin), plugin) is None


def test_an_installed_package_is_part_of_the_project(tree: Path) -> None:
    plugin = write(tree / ".opencode" / "tool" / "mine.ts", 'import { z } from "@a/zod/v4"')
    modules = tree / ".opencode" / "node_modules"
    package = write(modules / "@a" / "zod" / "package.json", '{"dependencies":{"dep":"1"}}').parent
    assert lacking(allowing(plugin), plugin) == str(package)
    assert lacking(allowing(plugin, package), plugin) is None
    dependency = write(tree / "node_modules" / "dep" / "package.json", "{}").parent
    assert lacking(allowing(plugin, modules), plugin) == str(dependency)
    assert lacking(allowing(plugin, modules, dependency), plugin) is None


@pytest.mark.parametrize(
    ("name", "text", "package"),
    [
        ("tsconfig.json", '{"compilerOptions":{"paths":{"zod":["./evil.ts"]}}}', "zod"),
        ("jsconfig.json", '{"compilerOptions":{"baseUrl":"./evil"}}', "zod"),
        ("tsconfig.json", '{"extends":"./other.json"}', "@/zod"),
        ("tsconfig.json", '{"compilerOptions":{"p\\u0061ths":{}}}', "zod"),
        ("package.json", '{"imports":{"#zod":"./evil.ts"}}', "#zod"),
        ("package.json", '{"name":"zod","exports":"./evil.ts"}', "zod"),
    ],
)
def test_what_decides_where_a_package_lies_is_needed(
    tree: Path, name: str, text: str, package: str
) -> None:
    plugin = write(tree / "plugin" / "mine.ts", f'import "{package}"')
    config = write(tree / name, text)
    assert lacking(allowing(plugin), plugin) == str(config)
    config.write_text("{}")
    assert lacking(allowing(plugin), plugin) is None


def test_a_link_in_a_folder_is_not_covered_by_it(tree: Path) -> None:
    outside = write(tree / "outside.js")
    folder = tree / "plugin"
    folder.mkdir()
    (folder / "mine.js").symlink_to(outside)
    assert lacking(allowing(folder), folder / "mine.js") == str(folder / "mine.js")
    assert lacking(allowing(folder, outside), folder / "mine.js") is None


def test_code_of_a_folder_may_need_what_lies_outside(tree: Path) -> None:
    config = write(tree / "opencode.json", '{"plugin":["./mine"]}')
    write(tree / "mine" / "package.json", '{"main":"a.js"}')
    write(tree / "mine" / "a.js", 'require("../outside")')
    outside = write(tree / "outside.js")
    names = named_code(json.loads(config.read_text()))
    assert lacking(allowing(config), config, names) == str(tree / "mine")
    assert lacking(allowing(config, tree / "mine"), config, names) == str(outside)
    assert lacking(allowing(config, tree / "mine", outside), config, names) is None


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        ({"plugin": ["./mine.ts"]}, "mine.ts"),
        ({"plugins": [["./mine.ts", {}]]}, "mine.ts"),
        ({"plugins": [{"package": "./mine.ts"}]}, "mine.ts"),
        ({"plugin": "./mine.ts"}, "mine.ts"),
        ({"provider": {"a": {"npm": "file://HERE/mine.ts"}}}, "mine.ts"),
        ({"provider": {"a": {"models": {"b": {"provider": {"npm": "./mine.ts"}}}}}}, "mine.ts"),
        ({"plugin": ["some-plugin"]}, ""),
        ({"plugin": ["some-plugin@latest"]}, ""),
        ({"plugin": ["some-plugin@1.x"]}, ""),
        ({"plugin": ["some-plugin@1.2.x"]}, ""),
        ({"plugin": ["some-plugin@1.2.3 || 9"]}, ""),
        ({"plugin": ["some-plugin@npm:other@1.2.3"]}, ""),
        ({"plugin": ["user/repository@1.2.3"]}, ""),
        ({"plugin": ["some.tgz@1.2.3"]}, ""),
        ({"plugin": ["some-plugin@1.2.3/../../mine.ts"]}, ""),
        ({"plugin": ["HTTPS://example.com/x.js"]}, ""),
        ({"plugin": {"a": "./mine.ts"}}, ""),
        ({"plugin": [".hidden/../mine.ts"]}, "mine.ts"),
        ({"plugin": ["FILE:./mine.ts"]}, "mine.ts"),
        ({"plugin": ["file:mine.ts"]}, "mine.ts"),
        ({"plugin": ["./mine.ts#part"]}, "mine.ts"),
        ({"plugin": ["https://example.com/x.js"]}, ""),
        ({"plugin": ["{env:PLUGIN}"]}, ""),
        ({"plugin": [7]}, ""),
        ({"plugin": ["@a/some-plugin@1.2.3"]}, None),
        ({"references": {"docs": {"path": "./docs"}}}, None),
    ],
)
def test_what_an_excepted_config_names_is_needed(
    tree: Path, content: dict[str, object], missing: str | None
) -> None:
    named = write(tree / "mine.ts")
    config = write(tree / "opencode.json", json.dumps(content).replace("HERE", str(tree)))
    names = named_code(json.loads(config.read_text()))
    expected = str(tree / missing) if missing else missing
    assert lacking(allowing(config), config, names) == expected
    if missing:
        assert lacking(allowing(config, named), config, names) is None


def test_an_exception_that_has_ended(tree: Path) -> None:
    plugin = write(tree / "mine.js")
    missing = allowing(plugin, until=NOW - 1).missing(str(plugin))
    assert missing is not None
    assert missing.why == "; its exception has expired"
    other = allowing(write(tree / "other.js")).missing(str(plugin))
    assert other is not None
    assert (other.path, other.why) == (str(plugin), "")


def test_an_exception_for_a_file_is_its_plain_sha256(tree: Path) -> None:
    assert content_digest(str(write(tree / "a", "x"))) == hashlib.sha256(b"x").hexdigest()
    assert content_digest(str(tree / "absent")) == ""
