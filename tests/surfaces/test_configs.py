"""One table of an agent's files: what a launch refuses, `check` finds, in the same words.

A row that differs says why. Properties stand beside the table: no text, and no bytes, of a config
make the two surfaces answer differently.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import config_texts
import pytest
from config_texts import MALFORMED, QUICK, READABLE, config, texts
from hypothesis import example, given
from hypothesis import strategies as st

from guard.agents.opencode import planner, preflight, surroundings
from guard.agents.opencode.adapter import AGENT as FIRST
from guard.agents.opencode2 import planner as opencode2
from guard.agents.opencode2.adapter import AGENT as SECOND
from guard.check import engine
from guard.files import jsonc
from guard.policy.values import CompiledPolicy
from guard.sources import tree

Said = set[tuple[str, str, str]]
"""(rule, file, message and fix) of each refusal."""

POLICY = CompiledPolicy()
REFUSALS = ("RG301", "RG303")
PLUGIN = b"export const X = async () => ({})\n"


class Project(config_texts.Project):
    """What both surfaces say of it."""

    def by_launch(self) -> Said:
        found = surroundings.gather(
            self.environ, [str(self.root)], root=str(self.root.parent / "none")
        )
        said = preflight.check_project(found, POLICY, self.environ, time.time())
        return {
            # of a file behind a link `check` names the file itself: an exception holds for both
            (
                f.rule,
                str(Path(f.where).relative_to(self.root)),
                f"{f.message}\n{f.fix}".replace(f.where, str(Path(f.where).resolve())),
            )
            for f in said
            if f.rule in REFUSALS
        }

    def by_check(self) -> Said:
        found = tree.locate([str(self.root)], str(self.root)).collect()
        outcome = engine.check(found, engine.Settings(POLICY))
        said = [finding for finding in outcome.findings if finding.rule in REFUSALS]
        return {(f.rule, f.path, f"{f.message}\n{f.fix}") for f in said}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path.resolve())


RUNS = "code inside the agent can send prompts and keys anywhere"
FILE = '"file:///x.mjs"'
CODE: list[tuple[dict[str, bytes], list[str]]] = [
    (config('{"plugin":["x"]}'), ["the key plugin makes"]),
    (config('{"plugins":"x",/**/}'), ["the key plugins makes"]),
    (
        config('{"plugin":1,"reference":{"a":{}},"references":[0]}'),
        ["plugin", "reference", "references"],
    ),
    (config('{"\\u0070lugin":["x"]}', "opencode.jsonc"), ["the key plugin makes"]),
    (config('{"plugin":["x"]}', ".opencode/config.json"), ["the key plugin makes"]),
    (config('{"plugin":["x"]}', ".opencode/opencode.jsonc"), ["the key plugin makes"]),
    (config(f'{{"provider":{{"a":{{"npm":{FILE}}}}}}}'), ["provider.a.npm names"]),
    (config(f'{{"providers":{{"a":{{"package":{FILE}}}}}}}'), ["providers.a.package names"]),
    (
        config(
            f'{{"provider":{{"a":{{"models":{{"m":{{"npm":{FILE},"provider":{{"npm":{FILE}}}}}}}}}}}}}'
        ),
        ["provider.a.models.m.npm names", "provider.a.models.m.provider.npm names"],
    ),
    (
        config('{"provider":{"a":{"npm":"aisdk:./x.js"},"b":{"npm":"@ai-sdk/openai"}}}'),
        ["provider.a.npm"],
    ),
    *(
        ({f".opencode/{name}": PLUGIN}, ["imports this file"])
        for name in (
            "plugin/x.js",
            "plugins/x.ts",
            "plugin/.x.mjs",
            "plugin/X.CTS",
            "plugin/a/index.js",
            "plugins/a/x.tsx",
        )
    ),
    ({".opencode/plugin/x.js": b"\0"}, ["imports this file"]),
    ({".opencode/plugin/x.js": b"a" * (2 * 1024 * 1024)}, ["imports this file"]),
    *(
        ({f"{folder}/x.md": f"{head}\n{{}}\n---\nhi\n".encode()}, ["runs such a head as a program"])
        for folder in (
            ".opencode/agent",
            ".opencode/agents/a/b",
            ".opencode/command",
            ".opencode/mode",
            ".opencode/skills/s",
            ".claude/skills/s",
            ".agents/skills/s/t",
        )
        for head in ("---js",)
    ),
    *(
        (
            {".opencode/agent/x.md": f"{head}\n{{}}\n---\nhi\n".encode()},
            ["runs such a head as a program"],
        )
        for head in (
            "---javascript",
            "--- JS ",
            "\ufeff---js",
            "---\u00a0js",
            "---\ufeffjs",
            "---toml",
        )
    ),
    ({".opencode/agent/x.md": b"---" + b" " * 300 + b"js\n{}\n---\n"}, ["without an end"]),
    ({".opencode/agent/x.md": b"---" + "\u3000".encode() * 90 + b"js\n{}\n---\n"}, [": opencode "]),
    ({".opencode/agent/X.MD": b"---js\n{}\n---\n"}, ["runs such a head as a program"]),
]

HARMLESS: list[dict[str, bytes]] = [
    {".opencode/plugin/x.json": PLUGIN, ".opencode/plugin/a/b/x.js": PLUGIN},
    {".opencode/plugin/node_modules/x.js": PLUGIN, "plugin/x.js": PLUGIN},
    {".opencode/agent/x.md": b"---\nname: x\n---\n", ".opencode/agent/y.md": b"----js\n"},
    {".opencode/agent/x.md": b" ---js\n{}\n", ".opencode/agent/x.txt": b"---js\n{}\n"},
    {".opencode/notes.md": b"---js\n{}\n", "docs/agent/x.md": b"---js\n{}\n"},
    config('{"provider":{"a":{"options":{"npm":"./x.js"}}},"agent":{"plugin":{"plugin":["x"]}}}'),
]


def alike(project: Project) -> Said:
    launch, check = project.by_launch(), project.by_check()
    assert check == launch
    return launch


@pytest.mark.parametrize("name", ["opencode.json", ".opencode/opencode.jsonc"])
@pytest.mark.parametrize(("text", "why"), MALFORMED)
def test_what_cannot_be_read(project: Project, text: str | bytes, why: str, name: str) -> None:
    project.put(config(text, name))
    ((rule, file, message),) = alike(project)
    assert (rule, file) == ("RG303", name)
    assert why in message


@pytest.mark.parametrize("text", READABLE)
def test_what_can_be_read(project: Project, text: str) -> None:
    project.put(config(text))
    assert alike(project) == set()


@pytest.mark.parametrize(("files", "why"), CODE)
def test_what_runs_code(project: Project, files: dict[str, bytes], why: list[str]) -> None:
    project.put(files)
    said = alike(project)
    assert {(rule, file) for rule, file, _ in said} == {("RG301", name) for name in files}
    messages = sorted(message for _, _, message in said)
    assert len(messages) == len(why)
    for wanted, message in zip(sorted(why), messages, strict=True):
        assert wanted in message
        assert RUNS in message


@pytest.mark.parametrize("files", HARMLESS)
def test_what_runs_none(project: Project, files: dict[str, bytes]) -> None:
    project.put(files)
    assert alike(project) == set()


@pytest.mark.parametrize(
    "files",
    [
        *(config(text) for text, _ in MALFORMED[:9]),
        *(files for files, _ in CODE[:8]),
        *HARMLESS,
        config('{"permission": {"bash": "Deny"}}'),
        config('{"permissions": {"bash": "deny"}}'),
        config('{"agent": {"a": {"tools": {"bash": "no"}}}}'),
        config(
            '{"mode": {"a": {"permission": {"bash": {"1": "deny"}}}}}', ".opencode/opencode.json"
        ),
        config("---\npermission: {bash: no}\n---\nx", ".opencode/agent/deep/a.md"),
        config('---json\n{"name": "b", "tools": 1}\n---\nx', ".opencode/modes/a.md"),
        config('{"permission": {"bash": "ask"}}'),
        config("---\npermission: [\n---\nx", ".opencode/agent/a.md"),
        config("---\npermission: 1\n---\nx", ".opencode/skill/a/SKILL.md"),
        config('{"agent": {"a": {"prompt": "{env:X}", "permission": 1}}}'),
        config('{"permissions": [{"action": "bash", "resource": "*"}]}'),
        config('{"permissions": [{"action": "bash", "resource": "*", "effect": "Deny"}]}'),
        config('{"permissions": [{"action": 1, "resource": "*", "effect": "deny"}]}'),
        config('{"agents": {"a": {"permissions": {"bash": "deny"}}}}'),
        config('{"permissions": [{"action": "bash", "resource": "*", "effect": "deny"}]}'),
        config('{"permission": {"bash": "deny"}}'),
    ],
)
def test_a_launch_of_either_release(project: Project, files: dict[str, bytes]) -> None:
    project.put({".git/HEAD": b"", **files})
    here, write = str(project.root), False
    environ = {**project.environ, "PATH": "/usr/bin:/bin", "PORTKEY_API_KEY": "k"}
    typed = ["run", "hi"]
    first = planner.survey(typed, environ, "/opencode", here, write=write)
    second = opencode2.survey(typed, environ, "/opencode", here, write=write, version=(2, 0, 30))
    plans = (
        FIRST.plan(POLICY, first, "/opencode", time.time()),
        SECOND.plan(POLICY, second, "/opencode", time.time()),
    )
    # check does not know which release will read the file, and says what either refuses
    refused = {
        (f.rule, f"{f.message}\n{f.fix}")
        for plan in plans
        for f in plan.findings
        if f.rule in REFUSALS
    }
    assert {(rule, message) for rule, _, message in project.by_check()} == refused


@pytest.mark.parametrize("name", ["opencode.json", ".opencode/plugin/x.js", ".opencode/agent/x.md"])
def test_a_link_is_what_its_name_says(project: Project, name: str) -> None:
    contents = {"json": '{"plugin":["x"]}', "js": "x", "md": "---js\n{}\n---\n"}
    project.put({"notes.txt": contents[name.rpartition(".")[2]].encode()})
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(project.root / "notes.txt")
    assert {(rule, file) for rule, file, _ in alike(project)} == {("RG301", name)}


def no(_: Path) -> None:
    """Nothing more is done."""


@pytest.mark.parametrize(
    ("link", "target", "file"),
    [
        (".opencode", "conf", "conf/plugin/x.js"),
        (".opencode/plugin", "conf", "conf/x.js"),
        (".opencode/plugins/deep", "conf", "conf/x.ts"),
        (".opencode", "conf/inner", "conf/inner/config.json"),
    ],
)
def test_a_folder_is_what_its_link_says(
    project: Project, link: str, target: str, file: str
) -> None:
    project.put({file: b'{"plugin":["x"]}'})
    path = project.root / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(project.root / target)
    (found,) = alike(project)
    assert found[0] == "RG301"
    assert found[1].startswith(".opencode/")


DIFFERS: list[tuple[str, dict[str, bytes], Callable[[Path], None], str, str, str]] = [
    # what, files, what is done to the project, rule at the launch, rule by check, why
    (
        "a tool",
        {".opencode/tool/x.ts": PLUGIN},
        no,
        "",
        "RG301",
        "a launch switches a project's tools off; an agent that is started without it runs them",
    ),
    (
        "a link out",
        {},
        lambda root: (root / "opencode.json").symlink_to("/dev/null"),
        "RG303",
        "RG303",
        "check follows no link out of the tree, and says so",
    ),
    (
        "a package of the name that the agent imports",
        {"package.json": b'{"name":"esprima"}'},
        no,
        "RG301",
        "",
        "what answers an import depends on all that lies around; check reads file by file",
    ),
    (
        "a variable that breaks the config",
        config('{"x":"{env:BROKEN}"}'),
        no,
        "RG303",
        "",
        "a file does not know what a variable will hold",
    ),
    (
        "a long line",
        config(b" " * (jsonc.MAX_BYTES + 1)),
        no,
        "RG303",
        "RG303",
        "check gives up a file for its longest line before it asks what the file is",
    ),
]


@pytest.mark.parametrize(("what", "files", "act", "launch", "check", "why"), DIFFERS)
def test_a_surface_that_differs_has_a_reason(
    project: Project, what: str, files: dict[str, bytes], act: Callable[[Path], None],
    launch: str, check: str, why: str,
) -> None:  # fmt: skip
    assert what
    assert why
    project.put(files)
    act(project.root)
    assert {rule for rule, _, _ in project.by_launch()} == ({launch} if launch else set())
    assert {rule for rule, _, _ in project.by_check()} == ({check} if check else set())


LEFT_OUT = [
    # a project's config, what check finds; a launch leaves it out with a note, so nothing is wrong
    # with that launch, and the agent that is started without routeguard goes there
    ('{"model":"openai/gpt-4o"}', "RG201"),
    ('{"agent":{"a":{"model":"openai/gpt-4o"}}}', "RG201"),
    ('{"provider":{"x":{"options":{"baseURL":"http://127.1:4000"}}}}', "RG302"),
    ('{"provider":{"portkey":{"options":{"baseURL":"https://localhost./v1"}}}}', "RG302"),
    ('{"enabled_providers":["openai"]}', "RG302"),
    ('{"disabled_providers":["portkey"]}', "RG302"),
]


@pytest.mark.parametrize(("text", "rule"), LEFT_OUT)
def test_what_a_launch_leaves_out(project: Project, text: str, rule: str) -> None:
    project.put(config(text))
    found = tree.locate([str(project.root)], str(project.root)).collect()
    outcome = engine.check(found, engine.Settings(POLICY))
    assert [f.rule for f in outcome.findings] == [rule]
    around = surroundings.gather(project.environ, [str(project.root)], root="/none")
    said = preflight.check_project(around, POLICY, project.environ, time.time())
    assert all((f.rule, f.severity) == ("RG302", "note") for f in said), said


# Properties --------------------------------------------------------------------------------------


@given(text=texts())
@example(text='{"model":"portkey/gpt-4o","x":foo}')
@example(text="{,}")
@QUICK
def test_no_text_is_answered_in_two_ways(project: Project, text: str) -> None:
    project.put(config(text))
    alike(project)


@given(raw=st.binary(max_size=40), around=st.booleans())
@example(raw=b"\x1f\x8b\x08", around=False)
@QUICK
def test_no_bytes_are_answered_in_two_ways(project: Project, raw: bytes, around: bool) -> None:
    project.put({"opencode.json": b'{"x":"' + raw + b'"}' if around else raw})
    alike(project)


@given(head=st.text(st.sampled_from("-jsJS \t\r\n\ufeff\u00a0yaml:{}"), max_size=12))
@example(head="---" + " " * 300 + "js\n")
@example(head="---" + " " * 253)
@example(head="----" + "-" * 300 + "\n")
@example(head="---" + " " * 252 + "\n")
@QUICK
def test_no_head_is_answered_in_two_ways(project: Project, head: str) -> None:
    project.put({".opencode/agent/x.md": head.encode()})
    alike(project)
