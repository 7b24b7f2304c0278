"""Agents and local proxies that source code, and a Jenkins pipeline, starts."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.values import CompiledPolicy
from guard.rules.files import code, jenkins
from guard.sources.file import SourceFile
from guard.sources.positions import code_calls
from guard.sources.shell_commands import UnparsedError


def found(path: str, text: str) -> list[str]:
    detector = code.DETECTOR if code.DETECTOR.wants(path, path) else jenkins.DETECTOR
    assert detector.wants(path, path)
    file = SourceFile(path, text.encode())
    return [f"{f.rule} {f.line}:{f.column}" for f in detector.check(file, CompiledPolicy())]


@pytest.mark.parametrize(
    ("path", "text", "rules"),
    [
        ("a.py", 'subprocess.run(["opencode", "run", "-m", "openai/x", prompt], check=True)',
         ["RG201 1:36"]),
        ("a.py", 'subprocess.run([\n    "opencode",  # the agent\n    "serve",\n])', ["RG203 2:5"]),
        ("a.py", 'from subprocess import run\nrun(args=["opencode", "ser" "ve"], env={})',
         ["RG203 2:11"]),
        ("a.py", 'subprocess.Popen("opencode serve", shell=True)', ["RG203 1:19"]),
        ("a.py", 'cmd = ["opencode", "serve"]\nsubprocess.check_call(cmd)', ["RG203 1:8"]),
        ("a.py", 'os.system(f"opencode run -m openai/{model}")', ["RG201 1:29"]),
        ("a.py", 'cmd: list[str] = ["opencode", "serve"]\nos.execvp(cmd[0], cmd)', []),
        ("a.py", 'cmd: list[str] = ["opencode", "serve"]\nPopen(cmd)', ["RG203 1:19"]),
        ("a.py", 'cmd = ["opencode", "serve"]\nPopen([*cmd, prompt])', ["RG203 1:8"]),
        ("a.ts", 'const a = ["serve"];\nspawn("opencode", [...a, x])', ["RG203 2:7"]),
        ("a.py", 'f(cmd=["opencode", "serve"])\nPopen(cmd)', []),
        ("a.py", 'subprocess.run(["bash", "-c", "cd x && opencode serve"])', ["RG203 1:40"]),
        ("a.py", 'subprocess.run(shlex.split("opencode serve"))', ["RG203 1:29"]),
        ("a.py", 'subprocess.run("opencode serve".split())', ["RG203 1:17"]),
        ("a.py", 'os.execvp("opencode", ["opencode", "serve"])', ["RG203 1:11"]),
        ("a.py", 'asyncio.create_subprocess_exec("ollama", "serve")', ["RG401 1:32"]),
        ("a.ts", 'spawn("opencode", ["serve"], { stdio: "inherit" })', ["RG203 1:7"]),
        ("a.ts", 'const args = ["serve"]\nexecFileSync("opencode", args)', ["RG203 2:14"]),
        ("a.ts", "child_process.exec(`opencode run -m openai/${model}`)", ["RG201 1:37"]),
        ("a.ts", "await $`opencode serve`", ["RG203 1:9"]),
        ("a.ts", 'new Deno.Command("opencode", { args: ["serve"] })', ["RG203 1:18"]),
        ("a.go", 'exec.CommandContext(ctx, "opencode", "serve").Run()', ["RG203 1:26"]),
        ("a.rb", 'system("opencode", "serve")', ["RG203 1:8"]),
        ("A.java", 'Runtime.getRuntime().exec("opencode serve")', ["RG203 1:28"]),
        ("a.py", 'NAMES = ["opencode", "claude"]\nfor name in NAMES: print(name)', []),
        ("a.py", 'subprocess.run(["git", "log", "opencode"])', []),
        ("a.py", 'subprocess.run(["opencode", "--version"])', []),
        ("a.py", 'subprocess.run(["opencode", "run", "-m", "portkey/x", "hi"])', []),
        ("a.py", 'subprocess.run([program, "opencode", "serve"])', []),
        ("a.js", 'const m = /x/.exec("opencode serve")', []),
        ("a.js", 'database.exec("opencode serve")', []),
        ("a.py", 'runner.run("opencode serve"); run("opencode serve")', []),
        ("a.py", 'parser.add_argument("opencode", "serve")', []),
    ],
)  # fmt: skip
def test_what_code_starts(path: str, text: str, rules: list[str]) -> None:
    assert found(path, text) == rules


PIPELINE = """\
pipeline {{
  agent {{ docker {{ image 'ubuntu' }} }}
  {}
}}
"""


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("environment {\n    OPENAI_API_KEY = credentials('x')\n  }", ["RG112 4:5"]),
        ("environment {\n    OPENAI_API_KEY = \"${env.KEY}\"\n  }", ["RG112 4:5"]),
        ("environment {\n    PORTKEY_API_KEY = credentials('x')\n  }", []),
        ("withEnv(['A=b', \"GROQ_API_KEY=$KEY\"]) { sh 'x' }", ["RG112 3:20"]),
        ("withCredentials([string(credentialsId: 'x', variable: 'GROQ_API_KEY')]) { }",
         ["RG112 3:58"]),
        ("sh 'opencode serve'", ["RG203 3:7"]),
        ('sh """\n    cd x\n    opencode serve\n  """', ["RG203 5:5"]),
        ('sh(returnStdout: true, script: "ollama serve")', ["RG401 3:35"]),
        ('sh script: "ollama serve", returnStdout: true', ["RG401 3:15"]),
        ("image 'ollama/ollama'", ["RG401 3:10"]),
        ("// sh 'opencode serve'", []),
        ("echo 'opencode serve'", []),
    ],
)  # fmt: skip
def test_what_a_jenkins_pipeline_runs(text: str, rules: list[str]) -> None:
    for path in ("Jenkinsfile", "Jenkinsfile.release", "deploy.jenkinsfile"):
        assert found(path, PIPELINE.format(text)) == rules


@pytest.mark.parametrize(
    "text",
    ["Popen(" * 50_000,
     'Popen(["' * 30_000, "Popen('''" * 20_000, "spawn(`${" * 20_000, "$`" * 50_000,
     "x = [\n" * 10_000 + "Popen(x)" * 1000],
)  # fmt: skip
def test_hostile_code_is_read_to_its_end_or_refused(text: str) -> None:
    # in quadratic time this would not come back
    with contextlib.suppress(UnparsedError):
        for call in code_calls.calls(text, lambda part: True):
            assert call


@given(
    st.lists(
        st.sampled_from(
            ["run(", "spawn(", '"a b"', "'", "`", "${", "}", "[", "]", ",", ")", "x", "\\"]
        )
    ).map("".join)
)
def test_words_stand_where_they_are(text: str) -> None:
    for call in code_calls.calls(text, lambda part: True):
        for word in call.words:
            assert 0 <= word.start <= word.end <= len(text)
            assert len(word.content.places) == len(word.shown) + 1


@pytest.mark.parametrize("more", ["[*CMD, ", "(CMD, ", "[CMD, ", "[*CMD, *CMD, "])
def test_a_name_is_given_more_of_itself(more: str) -> None:
    text = 'CMD = ["opencode", "run"]\nCMD = MORE"-m", "openai/gpt-4"]\nsubprocess.run(CMD)\n'
    assert found("a.py", text.replace("MORE", more)) == [f"RG201 2:{len('CMD = ' + more) + 1}"]


@pytest.mark.parametrize("more", ["x = [x, x]\n", "x = (x, *x)\n", 'x = [x, "a", x]\n'])
def test_lists_in_lists_are_read_once_each(more: str) -> None:
    # read anew for each name that stands for them, this would not come back
    text = 'x = ["opencode"]\n' + more * 5_000 + "subprocess.run(x)  # opencode\n"
    with pytest.raises(UnparsedError, match="500 words"):
        list(code_calls.calls(text, lambda part: True))


def test_what_stands_behind_many_calls_is_not_passed_over_in_silence() -> None:
    harmless = 'subprocess.run("ls", cwd="opencode")\n' * 501
    file = SourceFile("a.py", (harmless + 'subprocess.run(["opencode", "serve"])').encode())
    (finding,) = code.DETECTOR.check(file, CompiledPolicy())
    assert (finding.rule, finding.severity) == ("RG903", "error")
    assert "more than 500 calls" in finding.message


def test_every_name_that_is_given_a_list_counts() -> None:
    names = "".join(f"n{number} = ['ls']\nsubprocess.run(n{number})\n" for number in range(100))
    text = names + "if x: pass\nelse: cmd = ['opencode', 'serve']\nsubprocess.run(cmd)\n"
    (finding,) = code.DETECTOR.check(SourceFile("a.py", text.encode()), CompiledPolicy())
    assert (finding.rule, finding.line) == ("RG203", 202)


def test_calls_of_what_nobody_can_tell_are_not_counted() -> None:
    unknown = "# opencode\n" + "exec(cursor, row)\nrun(*words)\n" * 1000
    text = f"{unknown}subprocess.run(['opencode', 'serve'])\n"
    (finding,) = code.DETECTOR.check(SourceFile("a.py", text.encode()), CompiledPolicy())
    assert finding.rule == "RG203"


def test_more_lists_than_anybody_names_are_an_error() -> None:
    lists = "".join(f"n{number} = ['ls', n{number - 1}]\n" for number in range(3000))
    names = ", ".join(f"n{number}" for number in range(0, 3000, 20))
    text = f"{lists}subprocess.run(['opencode', {names}])\n"
    (finding,) = code.DETECTOR.check(SourceFile("a.py", text.encode()), CompiledPolicy())
    assert (finding.rule, finding.severity) == ("RG903", "error")
    assert "lists that its calls name" in finding.message


@pytest.mark.parametrize(
    "call",
    [
        "subprocess.run(['opencode', 'run', '{}', '-m', 'anthropic/claude'])",
        "cmd = ['opencode', 'run', '{}', '-m', 'anthropic/claude']\nsubprocess.run(cmd)",
        "os.system('opencode run {} -m anthropic/claude')",
    ],
)
def test_a_long_prompt_hides_nothing(call: str) -> None:
    for size, rule in ((100, "RG201"), (1_000, "RG201"), (10_000, "RG903")):
        text = call.replace("{}", "a, b: " * size) + "\n" + "x = 1\n" * 10_000
        (finding,) = code.DETECTOR.check(SourceFile("a.py", text.encode()), CompiledPolicy())
        assert (finding.rule, finding.severity) == (rule, "error")
