"""Keys planted in files of every kind: each is found, and none is in anything that is written."""

from __future__ import annotations

import base64
import json
import random
import string
from pathlib import Path

import forked
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LETTERS = string.ascii_letters + string.digits
URL_SAFE = LETTERS + "-_"
VENDORS = (
    ("ANTHROPIC", "sk-ant-api03-", URL_SAFE, 93, "AA"),
    ("OPENROUTER", "sk-or-v1-", "0123456789abcdef", 64, ""),
    ("OPENAI", "sk-proj-", URL_SAFE, 124, ""),
    ("GROQ", "gsk_", LETTERS, 52, ""),
    ("XAI", "xai-", LETTERS, 80, ""),
    ("REPLICATE", "r8_", LETTERS, 37, ""),
    ("PERPLEXITY", "pplx-", LETTERS, 48, ""),
    ("NVIDIA", "nvapi-", LETTERS, 64, ""),
)
"""(Name of the variable, prefix, alphabet, length, end) of keys that their form alone tells."""

PLACES = (
    (".env", "A=1\n{v}={k}\n"),
    ("prod.env", "export {v}='{k}'\n"),
    (".env.local", '{v}="{k}"\n'),
    (".envrc", "export {v}={k}\n"),
    ("terraform.tfvars", '{v} = "{k}"\n'),
    ("main.tf", 'variable "x" {{\n  default = "{k}"\n}}\n'),
    ("app.py", 'client = Client(\n    api_key="{k}",\n)\n'),
    ("parts.py", 'key = (\n    "{a}"\n    "{b}"\n)\n'),
    ("plus.ts", 'const key = "{a}" +\n  "{b}";\n'),
    ("app.js", "const key = `{k}`;\n"),
    ("app.tsx", 'process.env.{v} = "{k}";\n'),
    ("app.go", 'os.Setenv("{v}", "{k}")\n'),
    ("app.rs", 'let key = "{k}";\n'),
    ("App.java", 'String key = "{k}";\n'),
    ("App.kt", 'val key = "{k}"\n'),
    ("App.cs", 'var key = @"{k}";\n'),
    ("app.rb", "ENV['{v}'] = '{k}'\n"),
    ("app.php", "$key = '{a}' . '{b}';\n"),
    ("app.lua", 'local key = "{k}"\n'),
    ("App.swift", 'let key = "{k}"\n'),
    ("app.ex", 'key = "{a}" <> "{b}"\n'),
    ("app.R", 'key <- paste0("{a}", "{b}")\n'),
    ("run.sh", "#!/bin/sh\nexport {v}={k}\n"),
    ("call.sh", "curl -H 'Authorization: Bearer {k}' https://api.portkey.ai/v1/models\n"),
    ("here.sh", "cat > .env <<EOF\n{v}={k}\nEOF\n"),
    ("run.fish", "set -gx {v} {k}\n"),
    (".zshrc", "export {v}={k}\n"),
    ("run.ps1", '$env:{v} = "{k}"\n'),
    ("run.bat", "set {v}={k}\r\n"),
    ("Makefile", "export {v} := {k}\n"),
    ("justfile", "export {v} := '{k}'\n"),
    ("Dockerfile", "FROM a\nENV {v}={k}\n"),
    ("docker-compose.yml", "services:\n  a:\n    environment:\n      {v}: {k}\n"),
    ("compose.yml.j2", "services:\n  {{{{ n }}}}:\n    environment:\n      - {v}={k}\n"),
    (".github/workflows/a.yml", "jobs:\n  a:\n    env:\n      {v}: {k}\n"),
    (".gitlab-ci.yml", "variables:\n  {v}: {k}\n"),
    (".circleci/config.yml", "jobs:\n  a:\n    environment:\n      {v}: {k}\n"),
    ("azure-pipelines.yml", "variables:\n- name: {v}\n  value: {k}\n"),
    ("Jenkinsfile", "environment {{\n  {v} = '{k}'\n}}\n"),
    ("secret.yaml", "apiVersion: v1\nkind: Secret\nstringData:\n  key: {k}\n"),
    ("encoded.yaml", "apiVersion: v1\nkind: Secret\ndata:\n  key: {e}\n"),
    ("named.yaml", "apiVersion: v1\nkind: Secret\ndata:\n  {v}: {e}\n"),
    ("config.yaml", "apiVersion: v1\nkind: ConfigMap\ndata:\n  a.ini: |\n    key = {k}\n"),
    ("pod.yaml", "apiVersion: v1\nkind: Pod\nspec:\n  env:\n  - name: {v}\n    value: {k}\n"),
    ("values.yaml", "env:\n  {v}: {k}\n"),
    ("Taskfile.yml", "env:\n  {v}: {k}\n"),
    ("mise.toml", '[env]\n{v} = "{k}"\n'),
    ("config.toml", '[client]\nkey = "{k}"\n'),
    ("settings.ini", "[client]\nkey = {k}\n"),
    ("app.properties", "client.key={k}\n"),
    ("app.xml", "<add key='x' value='{k}'/>\n"),
    ("a.plist", "<plist><dict><key>{v}</key><string>{k}</string></dict></plist>\n"),
    ("a.service", "[Service]\nEnvironment={v}={k}\n"),
    ("opencode.json", '{{"provider": {{"portkey": {{"options": {{"apiKey": "{k}"}}}}}}}}\n'),
    (".claude/settings.json", '{{"env": {{"{v}": "{k}"}}}}\n'),
    (".codex/config.toml", '[model_providers.x]\nexperimental_bearer_token = "{k}"\n'),
    (".codex/auth.json", '{{"{v}": "{k}"}}\n'),
    (".gemini/settings.json", '{{"mcpServers": {{"a": {{"env": {{"{v}": "{k}"}}}}}}}}\n'),
    (".mcp.json", '{{"mcpServers": {{"a": {{"headers": {{"x": "Bearer {k}"}}}}}}}}\n'),
    (".vscode/tasks.json", '{{"tasks": [{{"options": {{"env": {{"{v}": "{k}"}}}}}}]}}\n'),
    (".vscode/settings.json", '// a\n{{"terminal.integrated.env.linux": {{"{v}": "{k}"}}}}\n'),
    (".devcontainer/devcontainer.json", '/* a\n*/\n{{"remoteEnv": {{"{v}": "{k}"}}}}\n'),
    ("package.json", '{{"scripts": {{"a": "{v}={k} node a.js"}}}}\n'),
    ("notes.ipynb", '{{"cells": [{{"source": ["key = \\"{k}\\"\\n"]}}]}}\n'),
    ("README.md", "Set `{v}={k}` first.\n"),
    ("dump.sql", "INSERT INTO keys VALUES (1, '{k}');\n"),
    ("keys.csv", "id,key\n1,{k}\n"),
    ("page.html", "<script>const key = '{k}'</script>\n"),
    ("app.log", "2026-11-28 12:00:00 using key {k}\n"),
)  # fmt: skip
"""(Path, text) of files of as many kinds: `k` is the key, `a` and `b` its parts, `e` its base64,
`v` the variable that is called after it."""

KEYS = 200
_PART = 12
"""Characters of a key of which none may be printed in a row; its prefix is no secret."""


class Plant:
    """One key in one file."""

    def __init__(self, number: int, place: tuple[str, str], seed: int) -> None:
        drawn = random.Random(seed)
        name, prefix, alphabet, length, end = drawn.choice(VENDORS)
        body = "".join(drawn.choice(alphabet) for _ in range(length)) + end
        self.body, key = body, prefix + body
        cut = drawn.randrange(len(prefix), len(key) - 8)
        encoded = base64.b64encode(key.encode()).decode()
        self.hidden = (body, encoded[len(prefix) * 2 :])
        self.path = f"{number}/{place[0]}"
        self.text = place[1].format(k=key, a=key[:cut], b=key[cut:], e=encoded, v=f"{name}_API_KEY")

    def shown_in(self, text: str) -> str:
        """A part of the key that `text` holds, "" if it holds none."""
        for hidden in self.hidden:
            for at in range(len(hidden) - _PART + 1):
                if hidden[at : at + _PART] in text:
                    return hidden[at : at + _PART]
        return ""


def test_there_are_sixty_kinds() -> None:
    assert len({Path(path).name for path, _ in PLACES}) >= 60


@pytest.mark.slow
@settings(
    max_examples=1,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.permutations(range(len(PLACES))),
    st.lists(st.integers(0, len(PLACES) - 1), min_size=KEYS, max_size=KEYS),
    st.integers(0, 2**32),
)
def test_every_planted_key_is_found_and_none_is_written(
    tmp_path: Path, every: list[int], more: list[int], seed: int
) -> None:
    home, project = tmp_path / "home", tmp_path / "home" / "project"
    chosen = [*every, *more][:KEYS]
    plants = [Plant(n, PLACES[kind], seed + n) for n, kind in enumerate(chosen)]
    for plant in plants:
        path = project / plant.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plant.text.encode())

    def check(*words: str, status: int = 1) -> str:
        environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PORTKEY_API_KEY": "x"}
        done = forked.run(("check", *words), cwd=project, env=environ)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    said = [check("--no-baseline", "--format=json", "--output=../report.json")]
    said += [check("--no-baseline", f"--format={name}") for name in ("text", "github")]
    said.append(check("--write-baseline", status=0))
    report = json.loads((home / "report.json").read_text())
    errors = {
        finding["where"].rsplit(":", 2)[0]
        for finding in report["findings"]
        # what a variable that is named after a provider holds is told by the name as well
        if finding["rule"] in ("RG111", "RG101") and finding["severity"] == "error"
    }
    assert [plant.path for plant in plants if plant.path not in errors] == []
    planted = {project / plant.path for plant in plants}
    others = {path for path in home.rglob("*") if path.is_file()} - planted
    assert project / ".routeguard-baseline.json" in others
    written = [path.read_text(errors="replace") for path in others]
    for plant in plants:
        for text in (*said, *written):
            assert plant.shown_in(text) == "", plant.path
