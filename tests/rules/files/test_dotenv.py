"""Files that fill an environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.policy.values import CompiledPolicy
from guard.rules.files.dotenv import DETECTOR
from guard.sources.file import SourceFile

POLICY = CompiledPolicy()


def found(name: str, text: str, policy: CompiledPolicy = POLICY) -> list[tuple[str, str, str]]:
    path = f"app/{name}"
    assert DETECTOR.wants(path, name.rpartition("/")[2])
    findings = DETECTOR.check(SourceFile(path, text.encode()), policy)
    return [(f.rule, f.subject, f"{f.line}:{f.column}") for f in findings if not f.placeholder]


@pytest.mark.parametrize(
    "name",
    [".env", ".env.local", ".env.production", "web.env", ".envrc", "mise.toml", ".mise.local.toml",
     "prod.tfvars", "x.auto.tfvars", ".dev.vars", ".env.example"],
)  # fmt: skip
def test_files_that_fill_an_environment(name: str) -> None:
    assert DETECTOR.wants(name, name)


@pytest.mark.parametrize("name", ["env.py", "environment", "pyproject.toml", "a.tfstate", "env.ts"])
def test_files_that_do_not(name: str) -> None:
    assert not DETECTOR.wants(name, name)


def test_the_place_is_the_name() -> None:
    text = "# x\n\n  export OPENAI_API_KEY = 'q8w7e6r5'\r\nGROQ_API_KEY=z9x8c7v6\n"
    assert found(".env", text) == [
        ("RG101", "OPENAI_API_KEY", "3:10"),
        ("RG101", "GROQ_API_KEY", "4:1"),
    ]


@pytest.mark.parametrize(
    "value",
    ["", '""', "''", "# note", "sk-...", "sk-test", "your-key-here", "<key>", "xxxxxxxx",
     "changeme", "${ACME_PORTKEY_KEY}", "${PORTKEY_API_KEY}", "$PORTKEY_API_KEY",
     '"${PORTKEY_API_KEY:-}"', "not-needed"],
)  # fmt: skip
def test_no_key_no_finding(value: str) -> None:
    assert found(".env", f"OPENAI_API_KEY={value}\n") == []


@pytest.mark.parametrize(
    "value",
    ["op://Private/openai/api-key", "${OTHER}", "$(pass openai/api_key)", "ENC[AES256,data:x]",
     "encrypted:BE9Y7LKa", "vault:secret/openai#key"],
)  # fmt: skip
def test_a_reference_hands_the_key_on_and_is_a_warning(value: str) -> None:
    file = SourceFile(".env", f"OPENAI_API_KEY={value}\n".encode())
    (finding,) = DETECTOR.check(file, POLICY)
    assert (finding.rule, finding.severity) == ("RG101", "warning")
    assert finding.message.endswith("passed on by reference")


def test_a_value_that_spans_lines_hides_what_looks_like_a_line() -> None:
    text = 'A="one\nOPENAI_API_KEY=q8w7e6r5\n\\" two"\nGROQ_API_KEY=z9x8c7v6\n'
    assert found(".env", text) == [("RG101", "GROQ_API_KEY", "4:1")]


def test_a_quote_that_never_closes_hides_nothing() -> None:
    assert found(".env", "A='x\nGROQ_API_KEY=z9x8c7v6\n") == [("RG101", "GROQ_API_KEY", "2:1")]


def test_an_envrc_may_set_several_on_a_line() -> None:
    text = "export A=1 XAI_API_KEY=z9x8c7v6 GROQ_API_KEY=$(op read a b) # GEMINI_API_KEY=q8w7e6\n"
    assert [subject for _, subject, _ in found(".envrc", text)] == ["XAI_API_KEY", "GROQ_API_KEY"]


def test_unknown_keys_are_warnings_unless_the_policy_ignores_them() -> None:
    assert found(".env", "ACME_API_KEY=9f8s7d6f\n") == [("RG102", "ACME_API_KEY", "1:1")]
    assert found(".env", "ACME_API_KEY=9f8s7d6f\n", CompiledPolicy(keys_unknown="ignore")) == []
    assert found(".env", "STRIPE_API_KEY=9f8s7d6f\nGOOGLE_MAPS_API_KEY=9f8s7d6f\n") == []


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("OPENAI_BASE_URL=http://127.0.0.1:4000", "RG103"),
        ("OPENAI_BASE_URL=https://llm.corp.internal/v1", "RG103"),
        ("OLLAMA_HOST=127.0.0.1:11434", "RG103"),
        ("HTTPS_PROXY=http://user:word@localhost:8888", "RG104"),
        ("OPENCODE_CONFIG=/tmp/x.json", "RG105"),
        ("NODE_TLS_REJECT_UNAUTHORIZED=0", "RG108"),
        ("AZURE_RESOURCE_NAME=contoso", "RG101"),
    ],
)
def test_other_variables_by_the_rule_of_a_launch(line: str, rule: str) -> None:
    (finding,) = DETECTOR.check(SourceFile(".env", line.encode()), POLICY)
    assert finding.rule == rule
    assert "word" not in finding.message


@pytest.mark.parametrize(
    "line",
    ["OPENAI_BASE_URL=https://api.portkey.ai/v1", "HTTPS_PROXY=http://proxy.corp:3128",
     "NODE_TLS_REJECT_UNAUTHORIZED=1", "OPENCODE_LOG_LEVEL=debug", "GITHUB_TOKEN=q8w7e6",
     "AWS_REGION=eu-west-1", "OPENAI_BASE_URL=${GATEWAY}", "GITLAB_INSTANCE_URL=https://git.corp"],
)  # fmt: skip
def test_what_a_launch_leaves_in_place_is_silent(line: str) -> None:
    assert found(".env", line) == []


def test_the_policys_own_gateway_is_silent() -> None:
    policy = CompiledPolicy(base_url="http://localhost:8787/v1")
    assert found(".env", "OPENAI_BASE_URL=http://localhost:8787/v1", policy) == []


def test_a_sample_is_a_form_to_fill_in() -> None:
    assert found(".env.example", "OPENAI_API_KEY=q8w7e6r5\nACME_API_KEY=9f8s7d6f\n") == []
    file = SourceFile("sample.env", b"OPENAI_BASE_URL=http://localhost:4000\n")
    (finding,) = DETECTOR.check(file, POLICY)
    assert (finding.rule, finding.severity) == ("RG103", "warning")


def test_toml_and_terraform() -> None:
    text = (
        '[env]\nOPENAI_API_KEY = "q8w7e6"\n'
        "x = { GROQ_API_KEY = 'z9x8c7' }\n"
        '# XAI_API_KEY = "q8"\n'
    )
    assert found("mise.toml", text) == [
        ("RG101", "OPENAI_API_KEY", "2:1"),
        ("RG101", "GROQ_API_KEY", "3:7"),
    ]
    assert found("a.tfvars", 'openai_api_key = "q8w7e6"\n') == [("RG101", "openai_api_key", "1:1")]


def test_a_value_is_never_shown_and_its_digest_is() -> None:
    value = "q8w7e6r5t4z3u2i1"
    file = SourceFile(".env", f"OPENAI_API_KEY={value}".encode(), digest_key=b"k" * 32)
    (finding,) = DETECTOR.check(file, POLICY)
    assert finding.digest
    for shown in vars(finding).values():
        assert value not in str(shown)


def test_what_is_too_long_or_no_shell_text_is_said() -> None:
    assert found(".env", "OPENAI_API_KEY=q8w7e6r5\n" * 20_000) == [("RG903", "app/.env", "1:1")]
    assert found(".envrc", "$(" * 1_000) == [("RG903", "app/.envrc", "1:1")]


TERRAFORM = """variable "k" {
  type    = string
  default = "KEY"
}
variable "openai_base_url" {
  validation { condition = true }
  default = "https://llm.acme-corp.net/v1"
}
variable "region" { default = "eu" }
variable "http_proxy" { default = "http://proxy.acme-corp.net" }
variable "openai_api_key" { sensitive = true }
locals {
  url = "https://llm.acme-corp.net/v1"
}
resource "x" "y" {
  environment {
    variables = {
      MISTRAL_API_KEY    = var.k
      ANTHROPIC_BASE_URL = "${local.url}"
      REGION             = var.region
      PORTKEY_API_KEY    = var.openai_api_key
    }
  }
  listed = [{ name = "GROQ_API_KEY", value = var.k }]
}
"""


def test_a_variable_of_terraform_is_what_it_is_by_default() -> None:
    text = TERRAFORM.replace('KEY"', 'Zx9Qp4LmTr72KdBn3Vc8WsYe1Uo5Ia6H"', 1)
    assert sorted(found("main.tf", text)) == [
        ("RG101", "GROQ_API_KEY", "3:14"),
        ("RG101", "MISTRAL_API_KEY", "3:14"),
        ("RG103", "ANTHROPIC_BASE_URL", "13:10"),
        ("RG103", "OPENAI_BASE_URL", "7:14"),
    ]


MODULE = {
    "main.tf": """resource "x" "y" {
  environment {
    variables = {
      MISTRAL_API_KEY    = var.k
      ANTHROPIC_BASE_URL = local.address
      PORTKEY_API_KEY    = var.own
    }
  }
  env = [{ name = "GROQ_API_KEY", value = nonsensitive(var.groq) }]
}
""",
    "locals.tofu": 'locals {\n  address = "${var.where}"\n}\n',
    "variables.tf": 'variable "where" {\n  default = "https://llm.acme-corp.net/v1"\n}\n'
    'variable "k" {\n}\nvariable "own" {\n  default = "KEY"\n}\n',
    "terraform.tfvars": 'k = "KEY"\nregion = "eu"\nown = "KEY"\nopenai_api_key = "KEY"\n',
    "prod.auto.tfvars.json": '{\n  "where": "https://api.anthropic.com",\n  "region": "eu"\n}\n',
    "envs/prod.tfvars": 'groq = "KEY"\n',
    "other/variables.tf": 'variable "k" {\n  default = "KEY"\n}\n',
}


def test_a_variable_of_terraform_reaches_an_environment_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    (tmp_path / "other").mkdir()
    found = []
    for name, text in MODULE.items():
        (tmp_path / name).write_text(text.replace("KEY\"", 'Zx9Qp4LmTr72KdBn3Vc8WsYe1Uo5Ia6H"')
                                     if name != "main.tf" else text)  # fmt: skip
    for name in MODULE:
        path = tmp_path / name
        assert DETECTOR.wants(name, path.name)
        file = SourceFile(name, path.read_bytes(), absolute=str(path))
        found += [(name, f.rule, f.subject, f.line) for f in DETECTOR.check(file, POLICY)]
    assert sorted(found) == [
        ("envs/prod.tfvars", "RG101", "GROQ_API_KEY", 1),
        ("prod.auto.tfvars.json", "RG103", "ANTHROPIC_BASE_URL", 2),
        ("terraform.tfvars", "RG101", "MISTRAL_API_KEY", 1),
        ("terraform.tfvars", "RG101", "openai_api_key", 4),
        ("variables.tf", "RG103", "ANTHROPIC_BASE_URL", 2),
    ]
