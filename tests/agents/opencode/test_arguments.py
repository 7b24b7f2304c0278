"""Arguments name the gateway afterwards, mean the same otherwise, and leave every prompt alone."""

from __future__ import annotations

import random
import shlex

import pytest

from guard.agents.opencode.arguments import Rewriting, other_servers, rewrite, shown
from guard.agents.opencode.grammar import Invocation, read
from guard.agents.opencode.route import ProviderModel, Router
from guard.policy.values import CompiledPolicy, PolicyException

DEFAULT = "--model=portkey-abcdefghij/gpt-4o"
GPT4 = "--model=portkey-abcdefghij/gpt-4"
MISTRAL = "--model=portkey-openrouter-abcdefghij/mistralai/mistral-7b-instruct"


def started(line: str, router: Router, ids: dict[str, str]) -> Rewriting:
    return rewrite(read(shlex.split(line)), router, ids)


@pytest.mark.parametrize(
    ("line", "argv", "route"),
    [
        # nothing named: the pinned config has the default
        ("run p", ["run", "p"], "portkey/gpt-4o"),
        ("", [], "portkey/gpt-4o"),
        ("run -m '' p", ["run", "-m", "", "p"], "portkey/gpt-4o"),
        ("run p -m", ["run", "p", "-m"], "portkey/gpt-4o"),
        ("run --no-model p", ["run", "--no-model", "p"], "portkey/gpt-4o"),
        # --provider, which opencode does not have
        ("run --provider portkey p", ["run", DEFAULT, "p"], "portkey/gpt-4o"),
        ("run --provider=portkey p", ["run", DEFAULT, "p"], "portkey/gpt-4o"),
        ("run p --provider portkey", ["run", "p", DEFAULT], "portkey/gpt-4o"),
        ("--provider portkey run p", [DEFAULT, "run", "p"], "portkey/gpt-4o"),
        ("--provider portkey", [DEFAULT], "portkey/gpt-4o"),
        ("run --provider portkey -- p", ["run", DEFAULT, "--", "p"], "portkey/gpt-4o"),
        (
            "run --provider portkey-openrouter p",
            ["run", MISTRAL, "p"],
            "portkey-openrouter/mistralai/mistral-7b-instruct",
        ),
        (
            "run --provider portkey-openrouter --model mistralai/mistral-7b-instruct p",
            ["run", MISTRAL, "p"],
            "portkey-openrouter/mistralai/mistral-7b-instruct",
        ),
        (
            "run --model mistralai/mistral-7b-instruct p --provider portkey-openrouter",
            ["run", MISTRAL, "p"],
            "portkey-openrouter/mistralai/mistral-7b-instruct",
        ),
        ("run --provider portkey --model gpt-4 p", ["run", GPT4, "p"], "portkey/gpt-4"),
        ("run --provider portkey -m portkey/gpt-4 p", ["run", GPT4, "p"], "portkey/gpt-4"),
        # every spelling of a model
        ("run -m gpt-4 p", ["run", GPT4, "p"], "portkey/gpt-4"),
        ("run -m=gpt-4 p", ["run", GPT4, "p"], "portkey/gpt-4"),
        ("run --m gpt-4 p", ["run", GPT4, "p"], "portkey/gpt-4"),
        ("run --model=gpt-4 p", ["run", GPT4, "p"], "portkey/gpt-4"),
        ("run -cm gpt-4 p", ["run", "-c", GPT4, "p"], "portkey/gpt-4"),
        ("run -icm=gpt-4 p", ["run", "-ic", GPT4, "p"], "portkey/gpt-4"),
        ("run p -m gpt-4", ["run", "p", GPT4], "portkey/gpt-4"),
        ("-m gpt-4 run p", [GPT4, "run", "p"], "portkey/gpt-4"),
        ("-m gpt-4 dir", [GPT4, "dir"], "portkey/gpt-4"),
        ("agent create -m gpt-4", ["agent", "create", GPT4], "portkey/gpt-4"),
        ("run -m portkey/gpt-4 p", ["run", GPT4, "p"], "portkey/gpt-4"),
        ("run -m portkey-abcdefghij/gpt-4 p", ["run", GPT4, "p"], "portkey/gpt-4"),
        (
            "run -m portkey/@slug/org/model p",
            ["run", "--model=portkey-abcdefghij/@slug/org/model", "p"],
            "portkey/@slug/org/model",
        ),
        (
            "run -m @slug/org/model p",
            ["run", "--model=portkey-abcdefghij/@slug/org/model", "p"],
            "portkey/@slug/org/model",
        ),
        (
            "run -m mistralai/mistral-7b-instruct p",
            ["run", "--model=portkey-abcdefghij/mistralai/mistral-7b-instruct", "p"],
            "portkey/mistralai/mistral-7b-instruct",
        ),
        # a model in the text of the prompt is text
        ("run -- -m gpt-4", ["run", "--", "-m", "gpt-4"], "portkey/gpt-4o"),
        ("run 'use -m gpt-4'", ["run", "use -m gpt-4"], "portkey/gpt-4o"),
        # commands without a model keep what they have
        ("auth login -p x -m y", ["auth", "login", "-p", "x", "-m", "y"], "portkey/gpt-4o"),
        ("upgrade -m npm", ["upgrade", "-m", "npm"], "portkey/gpt-4o"),
        ("models portkey", ["models", "portkey-abcdefghij"], "portkey/gpt-4o"),
        (
            "models --provider portkey",
            ["models", "--provider=portkey-abcdefghij"],
            "portkey/gpt-4o",
        ),
        ("models anthropic", ["models", "anthropic"], "portkey/gpt-4o"),
    ],
)  # fmt: skip
def test_what_is_started(
    line: str, argv: list[str], route: str, router: Router, ids: dict[str, str]
) -> None:
    done = started(line, router, ids)
    assert done.findings == []
    assert (done.argv, str(done.route)) == (argv, route)


@pytest.mark.parametrize(
    "line",
    [
        "run -m a -m b p", "run -m a --model b p", "run --m a -m=b p", "run -m a p -m a",
        "-m a run -m b p", "run --provider portkey --provider portkey p",
        "run --model.x y p", "run -m.x y p", "run --provider.x y p",
        "run --provider", "run --provider= p", "run --provider --model gpt-4 p",
        # a cluster in which the model is not last would lose its other letters
        "run -mc --provider portkey p",
        "run --provider portkey --model portkey-openrouter/x p",
        "run -m portkey/ p",
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(
    line: str, router: Router, ids: dict[str, str]
) -> None:
    done = started(line, router, ids)
    assert {f.rule for f in done.findings} == {"RG205"}
    assert all(f.severity == "error" and f.fix for f in done.findings)
    assert done.argv == shlex.split(line)


@pytest.mark.parametrize(
    ("line", "works"),
    [
        ("run -m anthropic/claude-4 'say hi'", "opencode run --model=portkey/claude-4 'say hi'"),
        ("run 'say hi' --model=openai/gpt-4o", "opencode run 'say hi' --model=portkey/gpt-4o"),
        ("run --provider anthropic -m x hi", "opencode run --model=portkey/x hi"),
        ("run --provider openrouter -m openai/x hi", "opencode run --model=portkey/openai/x hi"),
        ("run -cm openai/x -- \"it's\"", "opencode run -c --model=portkey/x -- 'it'\\''s'"),
    ],
)  # fmt: skip
def test_another_provider_is_refused_with_the_command_that_works(
    line: str, works: str, router: Router, ids: dict[str, str]
) -> None:
    done = started(line, router, ids)
    (finding,) = done.findings
    assert finding.rule == "RG201"
    command = finding.fix.splitlines()[-1]
    assert command == works
    assert started(command.removeprefix("opencode "), router, ids).findings == []


@pytest.mark.parametrize("name", ["anthropic", "portkey-opnrouter", "portkeyy", "nothing-known"])
def test_an_unknown_provider_is_refused(name: str, router: Router, ids: dict[str, str]) -> None:
    done = started(f"run --provider {name} hi", router, ids)
    assert [f.rule for f in done.findings] == ["RG201"]


def test_the_slug_of_the_policy_is_in_the_fix(policy: CompiledPolicy, ids: dict[str, str]) -> None:
    policy.reroute = {"anthropic": "anthropic-prod"}
    done = started("run -m anthropic/x hi", Router(policy, ids, frozenset(("anthropic",))), ids)
    assert done.findings[0].fix.splitlines()[-1] == (
        "opencode run --model=portkey/@anthropic-prod/x hi"
    )


def test_rerouting(policy: CompiledPolicy, ids: dict[str, str]) -> None:
    policy.reroute = {"anthropic": "anthropic-prod"}
    policy.foreign_provider = "reroute"
    router = Router(policy, ids, frozenset(("anthropic", "openai")))
    done = started("run -m anthropic/claude hi", router, ids)
    assert done.findings == []
    assert done.argv == ["run", "--model=portkey-abcdefghij/@anthropic-prod/claude", "hi"]
    assert "anthropic/claude" in done.told
    # one without a slug is still refused
    assert [f.rule for f in started("run -m openai/x hi", router, ids).findings] == ["RG201"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "models",
            "provider names in the list are for this launch only; with -m type portkey/MODEL,"
            " portkey-openrouter/MODEL",
        ),
        ("run hi", ""),
        ("run -m portkey/gpt-4 hi", ""),
        ("run -m gpt-4 hi", "-m gpt-4 goes to portkey/gpt-4"),
        ("run --provider portkey hi", "opencode has no --provider; started with -m portkey/gpt-4o"),
    ],
)
def test_what_is_told(line: str, told: str, router: Router, ids: dict[str, str]) -> None:
    assert started(line, router, ids).told == told


def test_an_option_is_only_taken_out_where_nothing_moves(
    router: Router, ids: dict[str, str]
) -> None:
    # the model goes where --provider was, or the other way round
    for line, argv in (
        ("run -f a --provider portkey b -m gpt-4", ["run", "-f", "a", GPT4, "b"]),
        ("run -cm gpt-4 -f a --provider portkey b", ["run", "-c", "-f", "a", GPT4, "b"]),
        ("-c -m x --provider portkey run p", ["-c", "--model=portkey-abcdefghij/x", "run", "p"]),
        ("--fork --provider portkey run p -m gpt-4", ["--fork", GPT4, "run", "p"]),
        ("run -s -m gpt-4 --provider portkey -- p", ["run", "-s", GPT4, "--", "p"]),
        ("run -m gpt-4 -s --provider portkey -- p", ["run", "-s", GPT4, "--", "p"]),
        ("run -m gpt-4 --title --provider portkey p", ["run", "--title", GPT4, "p"]),
    ):
        done = started(line, router, ids)
        assert (done.findings, done.argv) == ([], argv), line


WORDS = (
    "hi", "-m x", "", "-", "--", "--- a", "-5", "-1.5", "true", "false", "run", "attach",
    "--provider portkey", "--model=anthropic/x", "--x", "'", '"', "\n", "é", "\udcff", "{env:X}",
    "a b",
)  # fmt: skip
OPTIONS = (
    ["-c"], ["-s", "ses"], ["--fork"], ["--agent", "b"], ["-f", "a"], ["-f", "a", "b"],
    ["--file=a"], ["--title", "t"], ["--title=-m x"], ["-i"], ["--thinking"],
    ["--log-level", "DEBUG"],
    ["--pure"], ["--print-logs", "true"], ["-cs", "x"], ["-s"], ["--session"], ["--port=0"],
    ["-p1e5"], ["-p", "--"],
)  # fmt: skip
ROUTES = (
    # the words, the values in them, the route
    ([["-m", "gpt-4"]], {"gpt-4"}, "portkey/gpt-4"),
    ([["--model=gpt-4"]], {"gpt-4"}, "portkey/gpt-4"),
    ([["-im", "gpt-4"]], {"gpt-4"}, "portkey/gpt-4"),
    ([["-m=portkey/a/b"]], {"portkey/a/b"}, "portkey/a/b"),
    ([["--provider", "portkey"]], {"portkey"}, "portkey/gpt-4o"),
    ([["--provider=portkey"], ["-m", "z"]], {"portkey", "z"}, "portkey/z"),
    (
        [["--model", "z"], ["--provider", "portkey-openrouter"]],
        {"portkey-openrouter", "z"},
        "portkey-openrouter/z",
    ),
    ([], set(), "portkey/gpt-4o"),
)


def meaning(found: Invocation) -> tuple[object, ...]:
    """All that a line says, but for the model."""
    rest = [o for o in found.options if o.name not in ("model", "m", "provider")]
    return (
        found.command.name,
        found.words,
        found.argv[found.separator :],
        [(o.name, o.values) for o in rest],
    )


def test_nothing_but_the_route_ever_changes(router: Router, ids: dict[str, str]) -> None:
    rng = random.Random(7)
    rewritten = refused = 0
    for _ in range(3000):
        route, values, expected = rng.choice(ROUTES)
        parts = [list(o) for o in rng.sample(OPTIONS, rng.randint(0, 3))] + [list(r) for r in route]
        parts += [[rng.choice(WORDS[:5] + WORDS[8:12])] for _ in range(rng.randint(0, 2))]
        rng.shuffle(parts)
        parts.insert(rng.randint(0, len(parts)), ["run"])
        argv = [word for part in parts for word in part]
        if rng.random() < 0.6:
            argv += ["--", *rng.choices(WORDS, k=rng.randint(0, 4))]
        before = read(argv)
        typed = [o.value for o in before.named("model", "m", "provider") if o.value]
        done = rewrite(before, router, ids)
        if done.findings:
            assert {f.rule for f in done.findings} <= {"RG201", "RG205"}
            assert done.argv == argv
            refused += 1
            continue
        after = read(done.argv)
        assert meaning(after) == meaning(before), argv
        if not typed or not before.command.model:
            assert done.argv == argv
            continue
        assert after.named("provider") == []
        (option,) = after.named("model", "m")
        assert option.value == f"{ids[done.route.provider]}/{done.route.model}"
        # unless an option before it made another word of it
        if set(typed) == values:
            assert str(done.route) == expected, argv
            rewritten += 1
    # the assertions above were reached
    assert rewritten > 1000
    assert refused < 600


def test_every_prompt_survives(router: Router, ids: dict[str, str]) -> None:
    for text in WORDS:
        for argv in (
            ["run", "--provider", "portkey", "--", text],
            ["run", "-m", "gpt-4", "--", text, text],
            ["run", "--title", "t", "--provider=portkey", "-m", "gpt-4", "--", text],
        ):
            done = rewrite(read(argv), router, ids)
            assert done.findings == []
            at = done.argv.index("--")
            assert done.argv[at:] == argv[argv.index("--") :]


class TestOtherServers:
    @pytest.mark.parametrize(
        ("line", "rule"),
        [
            ("attach http://e", "RG202"),
            ("attach", "RG202"),
            ("attach --url http://e", "RG202"),
            ("-p -- attach http://e", "RG202"),
            ("run --attach http://e hi", "RG202"),
            ("run --attach= hi", "RG202"),
            ("run --attach.x http://e hi", "RG202"),
            ("run hi --attach", "RG202"),
            ("serve", "RG203"),
            ("web", "RG203"),
            ("acp", "RG203"),
            ("--port 4096", "RG203"),
            ("--hostname=0.0.0.0", "RG203"),
            ("--mdns", "RG203"),
            ("--mdnsDomain x", "RG203"),
            ("--cors a b", "RG203"),
            ("run --port 0 hi", "RG203"),
        ],
    )
    def test_refused(self, line: str, rule: str, policy: CompiledPolicy) -> None:
        assert [f.rule for f in other_servers(read(line.split()), policy, 0)] == [rule]

    @pytest.mark.parametrize("line", ["run hi", "run -- --attach x", "models", "", "-s x", "/dir"])
    def test_let_alone(self, line: str, policy: CompiledPolicy) -> None:
        assert other_servers(read(line.split()), policy, 0) == []

    def test_allowed_by_the_policy(self, policy: CompiledPolicy) -> None:
        policy.servers = "allow"
        assert other_servers(read(["serve"]), policy, 0) == []
        assert other_servers(read(["attach", "u"]), policy, 0) != []

    def test_an_exception_is_for_one_server_and_a_time(self, policy: CompiledPolicy) -> None:
        policy.exceptions = (PolicyException(subject="server:http://e:4096", until=100.0),)
        for line in ("attach http://e:4096", "attach http://e:4096/", "run --attach http://e:4096"):
            assert other_servers(read(line.split()), policy, 99) == []
            assert other_servers(read(line.split()), policy, 101) != []
        for line in (
            "attach http://e:4097",
            "attach http://e:4096 --url http://evil",
            "run --attach http://e:4096 --attach http://evil",
        ):
            assert [f.rule for f in other_servers(read(line.split()), policy, 99)] == ["RG202"]


@pytest.mark.parametrize("text", ["a", "a b", "it's", "", "$x", "-m=@a/b:c,d+e%f", "é", "\n", "!"])
def test_a_command_that_is_shown_can_be_typed(text: str) -> None:
    assert shlex.split(shown(["opencode", text])) == ["opencode", text]


def test_the_route_is_the_default_unless_one_is_named(router: Router, ids: dict[str, str]) -> None:
    assert not started("run hi", router, ids).typed_route
    assert started("run -m gpt-4 hi", router, ids).typed_route
    assert started("run hi", router, ids).route == ProviderModel("portkey", "gpt-4o")
