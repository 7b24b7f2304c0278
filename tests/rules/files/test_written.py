"""Files that stand within another file."""

from __future__ import annotations

import pytest

from guard.findings import Finding
from guard.policy.values import CompiledPolicy
from guard.rules.detectors import DETECTORS
from guard.sources.file import SourceFile

CONFIG = '{"model": "openai/gpt-4o"}'
DOTENV = "OPENAI_API_KEY=$KEY"


def check(path: str, text: str) -> list[Finding]:
    file = SourceFile(path, text.encode())
    return [
        finding
        for detector in DETECTORS
        if detector.wants(file.path, file.name)
        for finding in detector.check(file, CompiledPolicy())
    ]


def found(path: str, text: str) -> list[str]:
    return [f"{f.rule} {f.line}:{f.column}" for f in check(path, text)]


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (f"cat > opencode.json <<EOF\n{CONFIG}\nEOF\n", ["RG201 2:12"]),
        (f"cat <<'E' >~/.config/opencode/opencode.jsonc\n{CONFIG}\nE\n", ["RG201 2:12"]),
        (f"cat <<-E >> .env\n\t{DOTENV}\n\tE\n", ["RG101 2:2"]),
        (f"cat <<E | sudo tee -a /srv/.env >/dev/null\n{DOTENV}\nE\n", ["RG101 2:1"]),
        (f"tee a/.env b/x <<E\n{DOTENV}\nE\n", ["RG101 2:1"]),
        (f"sudo dd of=/srv/.env <<E\n{DOTENV}\nE\n", ["RG101 2:1"]),
        (f"echo '{DOTENV}' >> \"$GITHUB_ENV\"\n", ["RG101 1:7"]),
        (f"echo 'export {DOTENV}' >> $BASH_ENV\n", ["RG101 1:14"]),
        (f"printf 'A=1\\n{DOTENV}\\n' > .env\n", ["RG101 1:14"]),
        (f"echo -e 'A=1\\n{DOTENV}' &> .env\n", ["RG101 1:15"]),
        ('if x; then\n  cat <<E >| ~/.codex/auth.json\n{"OPENAI_API_KEY": "$K"}\nE\nfi\n',
         ["RG101 3:2"]),
        (
            "cat > .claude/settings.json <<'E'\n"
            '{"env": {"ANTHROPIC_BASE_URL": "https://a.example"}}\nE\n',
            ["RG103 2:10"],
        ),
        (f"cat > run.sh <<'A'\n#!/bin/sh\ncat > .env <<B\n{DOTENV}\nB\nA\n", ["RG101 4:1"]),
        (f"bash -c \"echo '{DOTENV}' > .env\"\n", ["RG101 1:16"]),
        (f"cat > notes.txt <<E\n{DOTENV}\nE\n", []),
        ("cat > opencode.json <<E\n{\"model\": \"portkey/gpt-4o\"}\nE\n", []),
        (f"grep -q '{DOTENV}' < .env\n", []),
        (f"echo '{DOTENV}' >&2\n", []),
        ("cat x > opencode.json\n", []),
    ],
)  # fmt: skip
def test_what_a_shell_text_writes_is_checked_as_that_file(text: str, rules: list[str]) -> None:
    assert found("setup.sh", text) == rules


@pytest.mark.parametrize(
    ("path", "text", "rules"),
    [
        ("Dockerfile", f"FROM a\nCOPY --chmod=600 <<E /app/opencode.json\n{CONFIG}\nE\nUSER x\n",
         ["RG201 3:12"]),
        ("Dockerfile", f"FROM a\nRUN cat <<E > /app/.env\n{DOTENV}\nE\n", ["RG101 3:1"]),
        (".github/workflows/a.yml",
         "jobs:\n  a:\n    steps:\n    - run: |\n        cat > opencode.json <<E\n"
         f"        {CONFIG}\n        E\n", ["RG201 6:20"]),
        ("Makefile", "a:\n\techo 'OPENAI_API_KEY=$$K' > .env\n", ["RG101 2:8"]),
        ("a.fish", f"echo '{DOTENV}' > .env\n", ["RG101 1:7"]),
        ("k8s/a.yaml",
         f"apiVersion: v1\nkind: ConfigMap\ndata:\n  opencode.json: |\n    {CONFIG}\n",
         ["RG201 5:16"]),
        ("user-data.yaml", f"write_files:\n- path: /root/.env\n  content: |\n    {DOTENV}\n",
         ["RG101 4:5"]),
        ("roles/a/tasks/main.yml",
         f"- copy:\n    dest: /srv/.env\n    content: |\n      {DOTENV}\n", ["RG101 4:7"]),
    ],
)  # fmt: skip
def test_wherever_shell_text_stands(path: str, text: str, rules: list[str]) -> None:
    assert found(path, text) == rules


def test_a_job_that_hands_a_secret_on_is_told_so_once() -> None:
    text = (
        "jobs:\n  a:\n    steps:\n    - run: |\n"
        '        echo "OPENAI_API_KEY=${{ secrets.OPENAI_API_KEY }}" >> $GITHUB_ENV\n'
    )
    assert [f.rule for f in check(".github/workflows/a.yml", text)] == ["RG112"]


def test_the_finding_names_both_files() -> None:
    (finding,) = check("a/setup.sh", f"cat > b/opencode.json <<E\n{CONFIG}\nE\n")
    assert finding.path == "a/setup.sh"
    assert finding.where == "a/setup.sh:2:12"
    assert finding.message.startswith("opencode.json, written here: openai would be reached")


def test_files_within_files_end() -> None:
    text = DOTENV
    for level in range(6):
        text = f"cat > {'run.sh' if level else '.env'} <<E{level}\n{text}\nE{level}\n"
    assert check("a.sh", text) == []
