"""The table of kinds of files, and templates of them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.rules.files.kinds import DETECTOR, kinds_of
from guard.sources.file import SourceFile
from guard.sources.positions import templates

KEY = "sk-ant-api03-" + "aB3dE5fG7hJ9kL1mN" * 6 + "pQ3rS5tUA"


def check(path: str, text: str) -> list[Finding]:
    assert DETECTOR.wants(path, path.rpartition("/")[2])
    return list(DETECTOR.check(SourceFile(path, text.encode()), CompiledPolicy()))


def found(path: str, text: str) -> list[str]:
    return [f"{f.rule} {f.line}" for f in check(path, text) if not f.placeholder]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("docker-compose.yml", "compose"),
        ("deploy/compose.prod.yaml.j2", "compose"),
        ("docker-compose.yml.tmpl", "compose"),
        ("roles/x/templates/docker-compose.YML.example", "compose"),
        (".devcontainer/devcontainer.json", "devcontainer"),
        (".vscode/tasks.json", "vscode"),
        ("me.code-workspace", "vscode"),
        ("Taskfile.dist.yml", "taskfile"),
        ("taskfile.yaml", "taskfile"),
        (".mise.toml", "mise"),
        ("lefthook.yml", "lefthook"),
        (".pre-commit-config.yaml", "pre-commit"),
        ("charts/a/values-prod.yaml", "helm-values"),
        ("k8s/base/deployment.yaml", "kubernetes"),
        ("charts/a/templates/secret.yaml.tpl", "kubernetes"),
    ],
)
def test_which_file_is_of_which_kind(path: str, kind: str) -> None:
    assert kinds_of(path)[0].name == kind


@pytest.mark.parametrize("path", ["README.md", "a.py", "tasks.json", "settings.json.md"])
def test_which_files_are_of_none(path: str) -> None:
    assert [kind.name for kind in kinds_of(path) if not kind.says] == []


@pytest.mark.parametrize(
    ("path", "text", "rules"),
    [
        (
            ".devcontainer/devcontainer.json",
            '/* one\n two */\n{"remoteEnv": {"OPENAI_API_KEY": "${localEnv:OPENAI_API_KEY}"}}',
            ["RG101 3"],
        ),
        (
            "devcontainer.json",
            '{"containerEnv": {"OPENAI_API_KEY": "${localEnv:PORTKEY_API_KEY}"}}',
            [],
        ),
        ("devcontainer.json", '{"postStartCommand": {"a": "opencode serve"}}', ["RG203 1"]),
        (
            ".vscode/tasks.json",
            '{"tasks": [{"command": "opencode", "args": ["run", {"value": "-m"}, "openai/x"],\n'
            '"linux": {"command": "ollama", "args": ["serve"]},\n'
            '"options": {"env": {"GROQ_API_KEY": "${env:GROQ_API_KEY}"}}}]}',
            ["RG201 1", "RG401 2", "RG101 3"],
        ),
        (".vscode/tasks.json", '{"tasks": [{"command": "cd a && opencode serve"}]}', ["RG203 1"]),
        (
            ".vscode/tasks.json",
            '{"tasks": [{"command": "cd a && opencode", "args": ["serve"]}]}',
            ["RG203 1"],
        ),
        (
            ".vscode/launch.json",
            '{"configurations": [{"runtimeExecutable": "opencode", "runtimeArgs": ["serve"],\n'
            '"environment": [{"name": "OPENAI_API_KEY", "value": "$X"}]}]}',
            ["RG101 2", "RG203 1"],
        ),
        (
            ".vscode/settings.json",
            '{"terminal.integrated.env.osx": {"OPENAI_API_KEY": "${env:X}"}}',
            ["RG101 1"],
        ),
        (
            "a.code-workspace",
            '{"settings": {"terminal.integrated.env.linux": {"GROQ_API_KEY": "$X"}},\n'
            '"tasks": {"tasks": [{"command": "opencode serve"}]}}',
            ["RG101 1", "RG203 2"],
        ),
        (
            "Taskfile.yml",
            "env:\n  OPENAI_API_KEY: {sh: pass x}\n  GROQ_API_KEY: $X\ntasks:\n  a:\n    cmds:\n"
            "      - opencode serve\n      - cmd: opencode run -m openai/{{.MODEL}}\n"
            "  b: {cmd: ollama serve}\n",
            ["RG101 2", "RG101 3", "RG203 7", "RG201 8", "RG401 9"],
        ),
        (
            "mise.toml",
            '[tasks.a]\nrun = ["cd x", "opencode serve"]\n[hooks]\nenter = "ollama serve"\n',
            ["RG203 2", "RG401 4"],
        ),
        (
            "lefthook.yml",
            "pre-push:\n  commands:\n    a:\n      run: opencode serve\n",
            ["RG203 4"],
        ),
        (
            ".pre-commit-config.yaml",
            "repos:\n- hooks:\n  - entry: opencode\n    args: [serve]\n",
            ["RG203 3"],
        ),
        (
            "project.json",
            '{"targets": {"a": {"options": {"commands": ["opencode serve"]}}}}',
            ["RG203 1"],
        ),
        ("devbox.json", '{"shell": {"scripts": {"a": ["opencode serve"]}}}', ["RG203 1"]),
        ("render.yaml", "envVars:\n- key: OPENAI_API_KEY\n  value: $X\n", ["RG101 2"]),
        ("fly.toml", '[env]\nOPENAI_API_KEY = "$X"\n', ["RG101 2"]),
        (
            "compose.yml",
            "services: {a: {entrypoint: [sh, -c], command: opencode serve}}",
            ["RG206 1"],
        ),
        (
            "compose.yml",
            "services: {a: {entrypoint: [sh, -c], command: ['opencode serve']}}",
            ["RG203 1"],
        ),
    ],
)
def test_what_is_found_in_which_kind(path: str, text: str, rules: list[str]) -> None:
    assert found(path, text) == rules


POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - "


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (POD + "env: [{name: OPENAI_API_KEY, value: $X}]\n", ["RG101 5"]),
        (POD + "env: [{name: OPENAI_API_KEY, valueFrom: {secretKeyRef: {key: a}}}]\n", ["RG101 5"]),
        (POD + "env: [{name: PORTKEY_API_KEY, valueFrom: {secretKeyRef: {key: a}}}]\n", []),
        (POD + "envFrom: [{secretRef: {name: openai-api-key}}]\n", ["RG101 5"]),
        (POD + "envFrom: [{secretRef: {name: app}}]\n", []),
        (POD + "command: [sh, -c]\n    args: ['opencode serve']\n", ["RG203 6"]),
        (POD + "command: [opencode]\n    args: [serve]\n", ["RG203 5"]),
        (POD + "env: [{name: OPENAI_BASE_URL, value: 'https://a.dev/v1'}]\n", ["RG103 5"]),
        ("apiVersion: v1\nkind: Secret\nstringData:\n  GROQ_API_KEY: $X\n", ["RG101 4"]),
        ("apiVersion: v1\nkind: ConfigMap\ndata:\n  ANTHROPIC_API_KEY: $X\n", ["RG101 4"]),
        (
            "kind: ConfigMap\ndata:\n  CLAUDE_CODE_USE_BEDROCK: '1'\napiVersion: v1\n---\n"
            "kind: Secret\nstringData:\n  GROQ_API_KEY: $X\n",
            ["RG101 3", "RG101 8"],
        ),
        ("apiVersion: x/v1\nspec:\n  data:\n  - secretKey: OPENAI_API_KEY\n", ["RG101 4"]),
        ("apiVersion: x/v1\nspec:\n  encryptedData:\n    OPENAI_API_KEY: AgB\n", ["RG101 4"]),
        ("kind: Secret\nstringData:\n  GROQ_API_KEY: $X\n", []),
    ],
)
def test_kubernetes(text: str, rules: list[str]) -> None:
    assert found("k8s/app.yaml", text) == rules


@pytest.mark.parametrize(
    ("key", "value", "rules"),
    [
        ("ANTHROPIC_API_KEY", KEY, ["RG101 4"]),
        ("anthropic", KEY, ["RG111 4"]),
        ("config.json", f'{{"key": "{KEY}"}}', ["RG111 4"]),
        ("PORTKEY_API_KEY", "x", []),
        ("ANTHROPIC_API_KEY", "changeme", []),
        ("password", "hunter2", []),
    ],
)
def test_a_secret_is_read_behind_its_base64(key: str, value: str, rules: list[str]) -> None:
    encoded = base64.b64encode(value.encode()).decode()
    text = f"apiVersion: v1\nkind: Secret\ndata:\n  {key}: {encoded}\n"
    assert found("secret.yaml", text) == rules
    for finding in check("secret.yaml", text):
        assert encoded not in str(finding.as_dict())
        assert value not in str(finding.as_dict())


def test_values_of_a_chart() -> None:
    text = "env:\n  OPENAI_API_KEY: $X\nextraEnvVars:\n- name: GROQ_API_KEY\n  value: $X\n"
    assert found("chart/values.yaml", text) == ["RG101 2", "RG101 4"]


@pytest.mark.parametrize("suffix", [".j2", ".tmpl", ".tpl", ".erb", ".j2.example"])
@pytest.mark.parametrize(
    "value", ["{{ key }}", "'{{ key }}'", "{{ .Values.key | quote }}", "<%= key %>", "${key}"]
)
def test_a_template_is_read_as_what_it_makes(suffix: str, value: str) -> None:
    text = (
        "services:\n{% for a in all %}\n  a:\n    {{- if .b }}\n    image: ollama/ollama\n"
        f"    environment:\n      OPENAI_API_KEY: {value}\n      {{{{ toYaml .x }}}}\n"
    )
    assert found(f"docker-compose.yml{suffix}", text) == ["RG401 5", "RG101 7"]


def test_the_gateways_key_in_a_template_is_known_by_its_name() -> None:
    text = "services: {a: {environment: {OPENAI_API_KEY: '{{ vault.portkey_api_key | x }}'}}}"
    assert found("compose.yml.j2", text) == []


def test_a_template_that_cannot_be_read_leaves_a_note() -> None:
    (finding,) = check("docker-compose.yml.j2", "a: [{{ x }}\nOPENAI_API_KEY: b: c\n")
    assert (finding.rule, finding.message) == ("RG903", "the template is not valid YAML")


def test_a_manifest_in_a_chart_is_a_template_by_what_it_says() -> None:
    text = (
        "apiVersion: v1\nkind: Secret\n{{- if .Values.x }}\nstringData:\n"
        "  OPENAI_API_KEY: {{ .Values.openai.key | quote }}\n{{- end }}\n"
    )
    assert found("charts/a/templates/secret.yaml", text) == ["RG101 5"]


PIECES = st.lists(
    st.sampled_from(["{{", "}}", "{%", "%}", "<%", "%>", "{#", "#}", "a", "\n", " ", '"', ":", "|"])
)


@given(PIECES.map("".join), st.booleans())
def test_every_place_of_a_template_stays(text: str, quote: bool) -> None:
    result = templates.filled(text, quote=quote)
    assert len(result) == len(text)
    assert [i for i, c in enumerate(result) if c == "\n"] == [
        i for i, c in enumerate(text) if c == "\n" and result[i] == "\n"
    ]
