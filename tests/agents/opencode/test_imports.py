"""Shapes that answered the agent's optional import on the real binary, and their harmless twins."""

import hashlib
import json

import pytest

from guard.agents.opencode import imports


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def answers(project):
    above = str(project.parent)
    return [why for path, why in imports.answers(str(project)) if path.startswith(above)]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def mapped(paths, *files):
    """A tsconfig.json with `paths`, and `files` beside it."""
    config = {"tsconfig.json": {"compilerOptions": {"paths": paths}}}
    return config | dict.fromkeys(files, "evil")


EVIL = [
    ({"node_modules/esprima/index.js": "evil"}, "package without package.json"),
    ({"node_modules/esprima.js": "evil"}, "file"),
    ({"node_modules/Esprima/index.js": "evil"}, "another case"),
    (
        {"node_modules/esprima/package.json": {"version": "4.0.1", "main": "dist/esprima.js"}},
        "release without its file",
    ),
    (
        {
            "node_modules/esprima/package.json": {"version": "4.0.1", "main": "dist/esprima.js"},
            "node_modules/esprima/dist/esprima.js": "evil",
        },
        "release with another text",
    ),
    (mapped({"*": ["./x.js"]}, "x.js"), "star"),
    (mapped({"*": ["./gone/*", "./types/*"]}, "types/esprima.ts"), "a second target"),
    (mapped({"*": ["./types/*"]}, "types/esprima/index.js"), "a folder"),
    (mapped({"*": ["./types/*"]}, "types/Esprima.js"), "another case"),
    (mapped({"*": ["./x.js"]}, "x.ts"), "TypeScript for JavaScript"),
    (mapped({"*": ["src/*/main"]}, "src/esprima/main.mjs"), "in the middle"),
    (mapped({"*": ["../*"]}, "../esprima.js"), "a way up"),
    (mapped({"esp*": ["./x*"]}, "xrima.js"), "prefix"),
    (mapped({"*ma": ["./*"]}, "espri.js"), "suffix"),
    (mapped({"*": ["${configDir}/*"]}), "a target that is a template"),
    (mapped({"*": "./x.js"}), "a target that is no list"),
    (mapped({"*": [3]}), "a target that is no text"),
    ({"jsconfig.json": {"compilerOptions": {"paths": {"esprima": ["./x.js"]}}}, "x.js": ""}, "js"),
    ({"tsconfig.json": {"compilerOptions": {"baseUrl": "."}}, "esprima.ts": "evil"}, "baseUrl"),
    ({"tsconfig.json": {"compilerOptions": {"baseUrl": "${configDir}"}}}, "template"),
    (
        {
            "tsconfig.json": {"extends": "./base.json", "compilerOptions": {"baseUrl": "./e"}},
            "base.json": {"compilerOptions": {"paths": {"esprima": ["./x.js"]}}},
            "e/x.js": "",
        },
        "merged with what it extends",
    ),
    (
        {
            "tsconfig.json": {"extends": "./a/base.json"},
            "a/base.json": {"compilerOptions": {"paths": {"*": ["./x/*"]}, "baseUrl": "./b"}},
            "a/b/x/esprima.js": "",
        },
        "beside what it extends",
    ),
    (
        {
            "tsconfig.json": {"extends": "shared"},
            "node_modules/shared/tsconfig.json": {"compilerOptions": {"paths": {"*": ["x"]}}},
            "node_modules/shared/x/index.js": "",
        },
        "extends a package",
    ),
    ({"tsconfig.json": '{"compilerOptions": {"paths": {"*": [}'}, "unreadable"),
    (
        {
            "tsconfig.json": {"extends": [f"./{n}.json" for n in range(40)]},
            **{f"{n}.json": {} for n in range(40)},
        },
        "extends many",
    ),
    (
        {
            "tsconfig.json": {"extends": "./0.json"},
            **{f"{n}.json": {"extends": f"./{n + 1}.json"} for n in range(40)},
        },
        "extends far",
    ),
    (mapped({"*": [f"./{n}" for n in range(200)]}), "many targets"),
    ({"tsconfig.json": '{"references": [' + "{}," * 100_000 + "{}]}"}, "many tables"),
    ({"package.json": '{"esprima": [' + "{}," * 100_000 + "{}]}"}, "many tables of a package"),
    ({"package.json": {"name": "esprima"}}, "self reference"),
    ({"package.json": '{"name":"espr\\x69ma"}'}, "escape that JSON does not have"),
    ({"package.json": '{"name":"espr\\u0069ma"}'}, "escape that JSON has"),
]


@pytest.mark.parametrize(("files", "what"), EVIL, ids=[what for _, what in EVIL])
def test_what_could_answer_counts(project, files, what):
    for name, content in files.items():
        write(project / name, content)
    assert answers(project)


def test_a_package_json_in_utf16_counts(project):
    (project / "package.json").write_bytes('{"name":"esprima"}'.encode("utf-16"))
    assert answers(project)


HARMLESS = [
    ({}, "nothing"),
    ({"tsconfig.json": {"compilerOptions": {"baseUrl": ".", "paths": {"@/*": ["src/*"]}}}}, "@"),
    (mapped({"*": ["./types/*"]}), "no target"),
    (mapped({"*": ["./types/*", "node_modules/*", "*"]}, "types/other.d.ts"), "another target"),
    (mapped({"*": ["./types/*/index.d.ts"]}, "types/esprima2/index.d.ts"), "a longer name"),
    ({"tsconfig.json": '// c\n{"compilerOptions": {"strict": true,},}'}, "comments"),
    ({"package.json": {"name": "app", "scripts": {"a": 'echo "x"'}}}, "package"),
    ({"package.json": {"name": "app", "devDependencies": {"esprima": "4"}}}, "dependency"),
    ({"node_modules/esprima-next/index.js": "x"}, "another package"),
    ({"sub/node_modules/esprima/index.js": "x"}, "below"),
]


@pytest.mark.parametrize(("files", "what"), HARMLESS, ids=[what for _, what in HARMLESS])
def test_what_cannot_answer_is_silent(project, files, what):
    for name, content in files.items():
        write(project / name, content)
    assert answers(project) == []


def test_a_parent_answers_too(project):
    write(project / "node_modules/esprima/index.js", "evil")
    below = project / "a" / "b"
    below.mkdir(parents=True)
    assert imports.answers(str(below))


def test_a_released_package_is_told_by_its_bytes(project, monkeypatch):
    text = "module.exports = {}\n"
    known = {"9.9.9": {"main": "x.js", "sha256": hashlib.sha256(text.encode()).hexdigest()}}
    monkeypatch.setattr(imports, "_released", lambda: known)
    package = project / "node_modules" / "esprima"
    write(package / "package.json", {"version": "9.9.9", "main": "./x.js"})
    write(package / "x.js", text)
    assert answers(project) == []
    write(package / "package.json", {"version": "9.9.9", "main": "x.js", "exports": "./evil.js"})
    assert answers(project)


def test_every_release_listed_has_a_digest():
    released = imports._released()
    assert {"4.0.1", "4.0.0", "2.7.3"} <= set(released)
    assert all(len(entry["sha256"]) == 64 and entry["main"] for entry in released.values())


def test_the_stub_answers_with_nothing():
    assert json.loads(imports.STUB["package.json"]) == {"name": "esprima", "main": "index.js"}
    assert imports.STUB["index.js"] == ""
