"""A client without an address, where no gateway is in sight."""

from __future__ import annotations

import pytest
from searches import SEARCHES

from guard.catalog.clients import clients
from guard.policy.values import CompiledPolicy
from guard.rules.files.clients import DETECTOR
from guard.sources.file import SourceFile

POLICY = CompiledPolicy()
LOOKS = [search([DETECTOR]) for search in SEARCHES]


def found(path: str, text: str) -> list[tuple[str, str]]:
    assert DETECTOR.wants(path, path)
    findings = list(DETECTOR.check(SourceFile(path, text.encode()), POLICY))
    for looks in LOOKS:
        assert not findings or looks(text.encode(), lambda _: True)
    assert all(finding.rule == "RG113" for finding in findings)
    return [(finding.subject, finding.severity) for finding in findings]


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("a.py", "from openai import OpenAI\nc = OpenAI()", "OpenAI"),
        ("a.py", "from openai import AsyncOpenAI as A\nc = A(timeout=3)", "A"),
        ("a.py", "import openai\nc = openai.OpenAI(\n    max_retries=2,\n)", "openai.OpenAI"),
        ("a.py", "import anthropic as a\nc = a.Anthropic()", "a.Anthropic"),
        ("a.py", "from openai import (\n A,  # x\n AzureOpenAI,\n)\nAzureOpenAI()", "AzureOpenAI"),
        ("a.py", "from langchain_openai import ChatOpenAI\nChatOpenAI(model='x')", "ChatOpenAI"),
        ("a.py", "from langchain.chat_models import init_chat_model\ninit_chat_model('openai:x')",
         "init_chat_model"),
        ("a.py", "from langchain_anthropic import ChatAnthropic\nx | ChatAnthropic(model=m)",
         "ChatAnthropic"),
        ("a.py", "import litellm\nlitellm.completion(model='gpt-4o', messages=m)",
         "litellm.completion"),
        ("a.py", "from litellm import acompletion\nawait acompletion(model, messages)",
         "acompletion"),
        ("a.py", "from google import genai\nc = genai.Client()", "genai.Client"),
        ("a.py", "import google.generativeai as genai\ngenai.GenerativeModel('g')",
         "genai.GenerativeModel"),
        ("a.ts", 'import OpenAI from "openai";\nconst c = new OpenAI();', "OpenAI"),
        ("a.ts", 'import { OpenAI as O } from "openai";\nnew O({ timeout: 3 })', "O"),
        ("a.js", 'const OpenAI = require("openai");\nnew OpenAI({})', "OpenAI"),
        ("a.js", 'const { OpenAI } = require("openai");\nnew OpenAI()', "OpenAI"),
        ("a.ts", 'import Anthropic from "@anthropic-ai/sdk"\nnew Anthropic()', "Anthropic"),
        ("a.ts", 'import * as x from "openai"\nnew x.OpenAI()', "x.OpenAI"),
        ("a.ts", 'import { createOpenAI } from "@ai-sdk/openai"\ncreateOpenAI()', "createOpenAI"),
        ("a.ts", 'import { openai } from "@ai-sdk/openai"\nopenai("gpt-4o")', "openai"),
        ("a.ts", 'import { openai } from "@ai-sdk/openai"\nopenai.chat(id)', "openai.chat"),
        ("a.ts", 'import { anthropic } from "@ai-sdk/anthropic"\nanthropic(id)', "anthropic"),
        ("a.ts", 'import { ChatOpenAI } from "@langchain/openai"\nnew ChatOpenAI({ model: "x" })',
         "ChatOpenAI"),
        ("a.ts", 'import { GoogleGenAI } from "@google/genai"\nnew GoogleGenAI({})', "GoogleGenAI"),
        # what names the gateway elsewhere sends nothing there
        ("a.py", '"""With Portkey."""\nfrom openai import OpenAI\nOpenAI()', "OpenAI"),
        ("a.py", "from openai import OpenAI\nfrom portkey_ai import Portkey\nPortkey()\nOpenAI()",
         "OpenAI"),
        ("a.py", "from openai import OpenAI\nimport os\na = OpenAI(base_url="
         "os.environ['PORTKEY_BASE_URL'])\nb = OpenAI(timeout=3)", "OpenAI"),
        ("a.ts", 'import OpenAI from "openai"\nconst p = new OpenAI({ baseURL: '
         '"https://api.portkey.ai/v1" })\nnew OpenAI()', "OpenAI"),
        ("a.py", "# Portkey\nfrom openai import OpenAI\nc = OpenAI()  # not portkey", "OpenAI"),
        ("a.ts", '/*\n * portkey one day\n */\nimport O from "openai"\nnew O() // PORTKEY', "O"),
        # an address that another client, or another part of the file, gets
        ("a.py", "from openai import OpenAI\nx = os.environ['ANTHROPIC_BASE_URL']\nOpenAI()",
         "OpenAI"),
        ("a.py", "from openai import OpenAI\nx = os.environ['MY_LLM_ENDPOINT']\nOpenAI()",
         "OpenAI"),
        ("a.py", "from openai import OpenAI\n# set OPENAI_BASE_URL\nOpenAI()", "OpenAI"),
        ("a.py", "from openai import OpenAI\nclass A:\n def b(s):\n  s.base_url = 1\nOpenAI()",
         "OpenAI"),
        ("a.py", "from openai import OpenAI\na = OpenAI(base_url=u)\na.base_url = v\n"
         "b = OpenAI()", "OpenAI"),
        ("a.py", "from openai import OpenAI\ndef a():\n os.environ['OPENAI_BASE_URL'] = u\n\n"
         "async def b():\n return OpenAI()\n", "OpenAI"),
        ("a.ts", 'import O from "openai"\nfunction a() {\n  use(process.env.OPENAI_BASE_URL)\n}\n'
         "export const b = async () => {\n  return new O()\n}", "O"),
    ],
)  # fmt: skip
def test_a_client_without_an_address(path: str, text: str, what: str) -> None:
    assert found(path, text) == [(what, "warning")]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", 'from openai import OpenAI\nOpenAI(api_key=os.environ["OPENAI_API_KEY"])'),
        ("a.py", 'import anthropic\nanthropic.Anthropic(api_key=os.getenv("ANTHROPIC_API_KEY"))'),
        ("a.ts", 'import OpenAI from "openai"\nnew OpenAI({ apiKey: process.env.OPENAI_API_KEY })'),
    ],
)
def test_with_the_providers_own_key_it_is_an_error(path: str, text: str) -> None:
    assert [severity for _, severity in found(path, text)] == ["error"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "from openai import OpenAI\nOpenAI(base_url=url)"),
        ("a.py", "from openai import OpenAI\nOpenAI(**options)"),
        ("a.py", "from openai import OpenAI\nOpenAI(http_client=client)"),
        ("a.py", "from openai import OpenAI\nc = OpenAI()\nc.base_url = url"),
        ("a.py", "from openai import OpenAI\nx = os.environ['OPENAI_BASE_URL']\nOpenAI()"),
        ("a.py", "import litellm\nlitellm.completion(portkey_model, messages=m)"),
        ("a.py", "import litellm\nlitellm.api_base = u\ndef a():\n litellm.completion(model=m)"),
        ("a.py", "from openai import OpenAI\nclass A:\n def a(self):\n  self.c = OpenAI()\n"
                 " def b(self):\n  self.c.base_url = u\n"),
        ("a.py", "from openai import OpenAI\ndef a():\n os.environ['OPENAI_BASE_URL'] = u\n"
                 " return OpenAI()\n"),
        ("a.py", "from openai import OpenAI\nurl = os.environ['OPENAI_API_BASE']\n"
                 "def a():\n return OpenAI()\n"),
        ("a.py", "from google import genai\nos.environ['GEMINI_API_BASE_URL']\ngenai.Client()"),
        ("a.ts", 'import O from "openai"\nconst c = new O()\nc.baseURL = url'),
        ("a.py", "from openai import OpenAI\nc = OpenAI().with_options(base_url=url)"),
        ("a.py", "from openai import OpenAI\nOpenAI(default_headers=headers)"),
        ("a.py", "from openai import OpenAI\n# OpenAI()\n'''OpenAI()'''\nx = 'OpenAI()'"),
        ("a.py", "from openai import OpenAI\nclass A(OpenAI): pass\ndef OpenAI(): pass"),
        ("a.py", "from .openai import OpenAI\nOpenAI()"),
        ("a.py", "from mine import OpenAI\nOpenAI()"),
        ("a.py", "from openai import AzureOpenAI\nAzureOpenAI(azure_endpoint=x)"),
        ("a.py", "import litellm\nlitellm.completion(model=m, api_base=b)"),
        ("a.py", "import openai\nself.OpenAI()\nmy.openai.OpenAI()"),
        ("a.ts", 'import OpenAI from "openai"\nnew OpenAI(options)'),
        ("a.ts", 'import OpenAI from "openai"\nnew OpenAI({ ...options })'),
        ("a.ts", 'import OpenAI from "openai"\nnew OpenAI(options as ClientOptions)'),
        ("a.ts", 'import OpenAI from "openai"\nnew OpenAI({ apiKey, baseURL })'),
        ("a.ts", 'import OpenAI from "openai"\nnew OpenAI({ "baseURL": url })'),
        ("a.ts", 'import type OpenAI from "openai"\nOpenAI()'),
        ("a.ts", 'import OpenAI from "./openai"\nnew OpenAI()'),
        ("a.ts", 'import OpenAI from "openai"\n// new OpenAI()\n/* new OpenAI() */'),
        ("a.ts", 'import { ChatOpenAI } from "@langchain/openai"\n'
                 "new ChatOpenAI({ configuration: { baseURL } })"),
    ],
)  # fmt: skip
def test_where_there_may_be_one(path: str, text: str) -> None:
    assert found(path, text) == []


def test_the_place_is_what_is_called() -> None:
    text = "from openai import OpenAI\n\nclient = OpenAI(\n)\n"
    (finding,) = DETECTOR.check(SourceFile("a.py", text.encode()), POLICY)
    assert (finding.line, finding.column, finding.end_column) == (3, 10, 16)


def test_every_module_is_behind_a_needle() -> None:
    for client in clients():
        for module in (*client.python, *client.javascript):
            for looks in LOOKS:
                assert looks(f"import x\n{module}".encode(), lambda _: True), module


def test_code_that_breaks_the_reader_is_read_to_the_end() -> None:
    for head in ("from openai import OpenAI\n", 'import OpenAI from "openai"\n'):
        for unit in ("OpenAI(", "import {", "from a import (", "OpenAI({,a", "'''", "`${"):
            for path in ("a.py", "a.ts"):
                list(DETECTOR.check(SourceFile(path, (head + unit * 3_000).encode()), POLICY))
