"""A client without an address, where no gateway is in sight."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import SEARCHES

from guard.catalog.clients import clients, constructors
from guard.policy.values import CompiledPolicy
from guard.rules.files.clients import _ES_IMPORT, DETECTOR
from guard.rules.files.constructors import WORDS
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


GO = 'package a\n\nimport (\n\t"os"\n\n\t"github.com/openai/openai-go/v3"\n'
GO += '\t"github.com/openai/openai-go/v3/option"\n)\n\n'
GO_OPENAI = 'import openai "github.com/sashabaranov/go-openai"\n'
GO_ANTHROPIC = 'import "github.com/anthropics/anthropic-sdk-go"\n'
JAVA = "import com.openai.client.okhttp.OpenAIOkHttpClient;\n"
JAVA_ANTHROPIC = "import com.anthropic.client.okhttp.*;\n"
LANGCHAIN = "import dev.langchain4j.model.openai.OpenAiChatModel;\n"
RUST = "use async_openai::{config::OpenAIConfig, Client};\n"
CHAT = "using OpenAI.Chat;\n"


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("a.go", GO + "var c = openai.NewClient()", "openai.NewClient"),
        ("a.go", GO + "c := openai.NewClient(\n\toption.WithAPIKey(key),\n"
                 "\toption.WithMaxRetries(3),\n)", "openai.NewClient"),
        ("a.go", GO.replace('"github.com/openai/openai-go/v3"', 'ai "github.com/openai/openai-go"')
                 + "c := ai.NewClient()", "ai.NewClient"),
        ("a.go", GO_OPENAI + "c := openai.NewClient(token)", "openai.NewClient"),
        ("a.go", GO_ANTHROPIC + "c := anthropic.NewClient()", "anthropic.NewClient"),
        ("A.java", JAVA + "var c = OpenAIOkHttpClient.fromEnv();", "OpenAIOkHttpClient.fromEnv"),
        ("A.kt", JAVA.replace(";", "") + "val c = OpenAIOkHttpClient.builder()\n  // the key\n"
                 "  .apiKey(k)\n  .build()", "OpenAIOkHttpClient.builder"),
        ("A.java", JAVA_ANTHROPIC + "AnthropicOkHttpClient.fromEnv().messages();",
         "AnthropicOkHttpClient.fromEnv"),
        ("A.java", LANGCHAIN + "OpenAiChatModel.builder().apiKey(k).modelName(M).build();",
         "OpenAiChatModel.builder"),
        ("A.cs", "using OpenAI;\nvar c = new OpenAIClient(apiKey);", "new OpenAIClient"),
        ("A.cs", CHAT + 'ChatClient c = new ChatClient(model: "gpt-4o", apiKey: settings.ApiKey);',
         "new ChatClient"),
        ("A.cs", CHAT + 'new ChatClient("gpt-4o", new ApiKeyCredential(key), new() {})', ""),
        ("a.rb", 'require "openai"\nc = OpenAI::Client.new(api_key: "x", timeout: 3)',
         "OpenAI::Client.new"),
        ("a.rb", "c = Anthropic::Client.new(\n  access_token: token\n)", "Anthropic::Client.new"),
        ("a.php", "<?php\n$c = OpenAI::client($key);", "OpenAI::client"),
        ("a.php", "<?php\n$c = \\OpenAI::client(config('services.openai.key'));", "OpenAI::client"),
        ("a.php", "<?php\n$c = OpenAI::factory()\n  ->withApiKey($k)\n  ->make();",
         "OpenAI::factory"),
        ("a.php", "<?php\nAnthropic::client($k);", "Anthropic::client"),
        ("a.rs", RUST + "let c = Client::new();", "Client::new"),
        ("a.rs", RUST + "let c = Client::with_config(OpenAIConfig::new().with_api_key(k));",
         "Client::with_config"),
        ("a.rs", "let c = async_openai::Client::new();", "async_openai::Client::new"),
        ("a.rs", "use async_openai::Client as Ai;\nlet c = Ai::new();", "Ai::new"),
        # in other styles
        ("a.go", GO + "c := openai.NewClient(\n\toption.WithAPIKey(k), /* the key */\n\t// end\n)",
         "openai.NewClient"),
        ("a.go", GO_OPENAI + "cfg := openai.DefaultConfig(k)\nopenai.NewClientWithConfig(cfg)",
         "openai.DefaultConfig"),
        ("a.go", GO_OPENAI + "return openai.NewClientWithConfig(openai.DefaultConfig(k))",
         "openai.NewClientWithConfig"),
        ("a.go", 'import "github.com/tmc/langchaingo/llms/openai"\nllm, err := openai.New()',
         "openai.New"),
        ("a.go", 'import "google.golang.org/genai"\n'
                 "c, err := genai.NewClient(ctx, &genai.ClientConfig{APIKey: k})",
         "genai.NewClient"),
        ("A.java", JAVA + "return OpenAIOkHttpClient\n  .builder()\n  .apiKey(k)\n  .build();",
         "OpenAIOkHttpClient.builder"),
        ("A.java", "import static com.openai.client.okhttp.OpenAIOkHttpClient.fromEnv;\nfromEnv();",
         "fromEnv"),
        ("A.java", "var c = com.openai.client.okhttp.OpenAIOkHttpClient.fromEnv();",
         "com.openai.client.okhttp.OpenAIOkHttpClient.fromEnv"),
        ("A.kt", "import com.openai.client.okhttp.OpenAIOkHttpClient as C\nval c = C.fromEnv()",
         "C.fromEnv"),
        ("A.kt", JAVA + "OpenAIOkHttpClient.builder().apply { apiKey(k) }.build()",
         "OpenAIOkHttpClient.builder"),
        ("A.cs", CHAT + "ChatClient _client = new(model, apiKey);", "new ChatClient"),
        ("A.cs", CHAT + "ChatClient Client { get; } = new(model, apiKey);", "new ChatClient"),
        ("A.cs", 'var c = new OpenAI.Chat.ChatClient("gpt-4o", apiKey);',
         "new OpenAI.Chat.ChatClient"),
        ("A.cs", "using O = OpenAI.OpenAIClient;\nvar c = new OpenAI.OpenAIClient(key);",
         "new OpenAI.OpenAIClient"),
        ("A.cs", "using OpenAI;\nnew OpenAIClient(key, new OpenAIClientOptions { UserAgent = a });",
         "new OpenAIClient"),
        ("a.rb", "c = OpenAI::Client.new access_token: token,\n  timeout: 3\n",
         "OpenAI::Client.new"),
        ("a.rb", "OpenAI::Client.new(:access_token => token)", "OpenAI::Client.new"),
        ("a.rb", "OpenAI.configure do |c|\n  c.access_token = token\nend\n", "OpenAI.configure"),
        ("a.rs", RUST + "let c = Client::<OpenAIConfig>::new();", "Client::new"),
        ("a.rs", "use async_openai as oai;\nlet c = oai::Client::new();", "oai::Client::new"),
        ("a.rs", RUST + "let config = OpenAIConfig::new().with_api_key(k);\n"
                 "Client::with_config(config)", "OpenAIConfig::new"),
    ],
)  # fmt: skip
def test_in_other_languages(path: str, text: str, what: str) -> None:
    assert found(path, text) == ([(what, "warning")] if what else [])


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.go", GO + 'c := openai.NewClient(option.WithAPIKey(os.Getenv("OPENAI_API_KEY")))'),
        ("A.java", LANGCHAIN + "OpenAiChatModel.builder()"
                   '.apiKey(System.getenv("OPENAI_API_KEY")).build();'),
        ("A.cs", CHAT + "new ChatClient(model, "
                 'Environment.GetEnvironmentVariable("OPENAI_API_KEY"))'),
        ("a.rb", 'OpenAI::Client.new(access_token: ENV.fetch("OPENAI_API_KEY"))'),
        ("a.php", "<?php\nOpenAI::client(getenv('OPENAI_API_KEY'));"),
        ("a.rs", RUST + "Client::with_config("
                 'OpenAIConfig::new().with_api_key(env("OPENAI_API_KEY")))'),
    ],
)  # fmt: skip
def test_in_other_languages_with_the_providers_own_key(path: str, text: str) -> None:
    assert [severity for _, severity in found(path, text)] == ["error"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.go", GO + "openai.NewClient(option.WithAPIKey(k), option.WithBaseURL(u))"),
        ("a.go", GO + "openai.NewClient(opts...)"),
        ("a.go", GO + "openai.NewClient(options)"),
        ("a.go", GO + "openai.NewClient(option.WithHTTPClient(c))"),
        ("a.go", GO + "openai.NewClient(azure.WithEndpoint(e, v), azure.WithAPIKey(k))"),
        ("a.go", GO + 'u := os.Getenv("OPENAI_BASE_URL")\nopenai.NewClient()'),
        ("a.go", GO + '// openai.NewClient()\nx := "openai.NewClient()"'),
        ("a.go", GO_OPENAI + "openai.NewClientWithConfig(config)"),
        ("a.go", GO_OPENAI + "c := openai.DefaultConfig(k)\nc.BaseURL = u"),
        ("a.go", GO_OPENAI + "c := openai.DefaultConfig(k)\nconfigure(&c)"),
        ("a.go", GO_OPENAI + "return openai.DefaultConfig(k)"),
        ("a.go", 'import "google.golang.org/genai"\ngenai.NewClient(ctx, config)'),
        ("a.go", 'import "google.golang.org/genai"\ngenai.NewClient(ctx, '
                 "&genai.ClientConfig{HTTPOptions: genai.HTTPOptions{BaseURL: u}})"),
        ("A.kt", JAVA + "OpenAIOkHttpClient.builder().apply { baseUrl(u) }.build()"),
        ("A.cs", CHAT + "ChatClient c = new(model, credential, options);"),
        ("a.rb", "OpenAI.configure do |c|\n  c.access_token = k\n  c.uri_base = u\nend\n"),
        ("a.rb", "OpenAI.configure do |c|\n  c.log_errors = true\nend\n"),
        ("a.rb", "# OpenAI::Client.new access_token: token"),
        ("a.rb", "OpenAI::Client.new access_token: token,\n  uri_base: u\n"),
        ("a.rs", RUST + "let mut c = OpenAIConfig::new();\nc = c.with_api_base(u);"),
        ("a.rs", RUST + "let mut c = OpenAIConfig::new();\nset(&mut c);"),
        ("a.go", 'import "my/openai"\nopenai.NewClient(token)'),
        ("a.go", GO + "my.openai.NewClient()"),
        ("A.java", JAVA + "OpenAIOkHttpClient.builder().fromEnv().baseUrl(u).build();"),
        ("A.java", JAVA + "var b = OpenAIOkHttpClient.builder();\nb.baseUrl(u);"),
        ("A.java", JAVA + "OpenAIOkHttpClient.builder().apiKey(portkeyKey).build();"),
        ("A.java", JAVA_ANTHROPIC + "AnthropicOkHttpClient.builder().backend(b).build();"),
        ("A.java", "import my.OpenAIOkHttpClient;\nOpenAIOkHttpClient.fromEnv();"),
        ("A.java", LANGCHAIN + "OpenAiChatModel.builder()\n  .baseUrl(\"https://x\")\n  .build();"),
        ("A.java", "import org.springframework.ai.openai.OpenAiChatModel;\n"
                   "OpenAiChatModel.builder().options(o).build();"),
        ("A.cs", CHAT + "new ChatClient(model, credential, options)"),
        ("A.cs", CHAT + 'new ChatClient("m", key, new OpenAIClientOptions { Endpoint = uri })'),
        ("A.cs", "using OpenAI;\nnew OpenAIClient(new Uri(e), new AzureKeyCredential(k))"),
        ("A.cs", "using OpenAI;\nnew OpenAIClient(config)"),
        ("A.cs", "using Mine;\nnew OpenAIClient(key)"),
        ("a.rb", "OpenAI::Client.new"),
        ("a.rb", "OpenAI::Client.new()"),
        ("a.rb", "OpenAI::Client.new(log_errors: true)"),
        ("a.rb", 'OpenAI::Client.new(access_token: k, uri_base: "https://x")'),
        ("a.rb", "OpenAI::Client.new(api_key: k, base_url: u)"),
        ("a.rb", "OpenAI::Client.new(**options)\nOpenAI::Client.new(options)"),
        ("a.rb", "c = OpenAI::Client.new(access_token: k) do |f|\nend\nc.uri_base = u"),
        ("a.rb", "OpenAI.configure do |config|\n  config.uri_base = u\nend\n"
                 "OpenAI::Client.new(access_token: k)"),
        ("A.java", JAVA + 'System.setProperty("openai.baseUrl", u);\n'
                   "OpenAIOkHttpClient.fromEnv();"),
        ("a.rb", "Mine::OpenAI::Client.new(access_token: k)"),
        ("a.php", "<?php\nOpenAI::factory()->withApiKey($k)->withBaseUri($u)->make();"),
        ("a.php", "<?php\nOpenAI::factory()->withHttpClient($c)->make();"),
        ("a.php", "<?php\n$f = OpenAI::factory();"),
        ("a.php", "<?php\nuse Mine\\OpenAI;\nOpenAI::client($k);"),
        ("a.php", "<?php\nMine\\OpenAI::client($k);"),
        ("a.php", "<?php\n// OpenAI::client($k);"),
        ("a.rs", RUST + "Client::with_config(config)"),
        ("a.rs", RUST + "Client::with_config(OpenAIConfig::new().with_api_base(u))"),
        ("a.rs", RUST + "Client::new().with_http_client(c)"),
        ("a.rs", RUST + "reqwest::Client::new();"),
        ("a.rs", "use reqwest::Client;\nuse async_openai::types::Role;\nClient::new()"),
    ],
)  # fmt: skip
def test_in_other_languages_where_there_may_be_one(path: str, text: str) -> None:
    assert found(path, text) == []


def test_every_constructor_is_behind_a_needle() -> None:
    words = [word.decode() for word in WORDS]
    for made in constructors():
        for named in made.modules or made.calls:
            shown = f"using {named}" if made.language == "csharp" else named
            assert any(word in shown.lower() for word in words), named
        assert re.compile(made.arguments)


@pytest.mark.parametrize("unit", ["x", "x.", "x_", "X_", "x ", "x=", "x(", "\n", " "])
def test_a_long_line_behind_a_client_is_read_to_its_end(unit: str) -> None:
    # in quadratic time this would not come back
    for path, call in (
        ("a.py", "from openai import OpenAI\nOpenAI()\n"),
        ("a.ts", 'import OpenAI from "openai"\nnew OpenAI()\n'),
    ):
        (finding,) = DETECTOR.check(SourceFile(path, (call + unit * 150_000).encode()), POLICY)
        assert finding.line == 2


@pytest.mark.parametrize(
    ("path", "text", "some"),
    [
        ("a.go", GO_OPENAI + "c := openai.DefaultConfig(k)\n" * 1000 + "&cc " * 300_000, True),
        ("A.java", JAVA + "\n" * 300_000, False),
        ("A.cs", CHAT + "\n" * 300_000, False),
        ("a.rb", "OpenAI::Client.new " * 40_000, False),
        ("a.rb", "OpenAI::Client.new() /* " * 2_000 + " " * 500_000, False),
    ],
)  # fmt: skip
def test_much_of_a_client_is_read_to_its_end(path: str, text: str, some: bool) -> None:
    # in quadratic time this would not come back
    assert bool(list(DETECTOR.check(SourceFile(path, text.encode()), POLICY))) == some


# what an import is, written plainly: in quadratic time where a name is missing
_PLAIN_IMPORT = re.compile(
    r"\bimport\s+(?!type\b)(?P<what>[\w$*{},\s]{1,2000}?)\s+from\s+[\"'](?P<module>[^\"'\n]+)[\"']"
)
_IMPORT_PARTS = (
    "import",
    "from",
    "type",
    " ",
    "\n",
    " from ",
    '"openai"',
    "'a",
    "{",
    "}",
    ",",
    "*",
)


@given(st.lists(st.sampled_from((*_IMPORT_PARTS, "import A", " as b")), max_size=14).map("".join))
@settings(max_examples=500, deadline=None)
def test_an_import_is_found_however_it_is_spaced(text: str) -> None:
    text = re.sub(r"import\s+type\b", "import type", text)
    plain = [(m["what"].strip(), m["module"]) for m in _PLAIN_IMPORT.finditer(text)]
    assert [(m["what"], m["module"]) for m in _ES_IMPORT.finditer(text)] == plain


@pytest.mark.parametrize("name", ["a.ts", "a.vue"])
@pytest.mark.parametrize("begun", ["import", "import a", "const", "const {a"])
def test_an_import_that_does_not_end_is_read_once(name: str, begun: str) -> None:
    # in quadratic time this would not come back
    text = f"import OpenAI from 'openai'\n{begun}" + "\n" * 300_000 + "new OpenAI()"
    assert found(name, text) == [("OpenAI", "warning")]
