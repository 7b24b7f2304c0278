"""Canaries: how a model is named, what is sent, and what an answer means."""

from __future__ import annotations

import json
from typing import Any

import control_plane as plane
import pytest
from conftest import ADMIN_KEY, WEAK_KEY, Account
from undisturbed import UndisturbedServer

from guard.launch.recorder import Exchange, RecordingServer, Request
from guard.policy.values import CompiledPolicy
from guard.portkey import probe, shapes
from guard.portkey.account import Account as Shown
from guard.portkey.account import gather
from guard.portkey.answer import GatewayAnswer
from guard.portkey.client import Client, Timeouts

KEY = "pR+canary/0000000000000000probe="
COMPLETION = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}]}


class Gateway(UndisturbedServer):
    """Answers each completion with the next of `answers`: (status, body, headers)."""

    def __init__(self, *answers: tuple[int, Any, dict[str, str]]) -> None:
        super().__init__()
        self._answers = list(answers)

    def reply_to(self, request: Request, exchange: Exchange) -> None:
        answers = self._answers
        status, body, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        plane.ControlPlane.send(None, exchange, status, body, headers)  # type: ignore[arg-type]


def opened(server: RecordingServer, **more: Any) -> Client:
    policy = CompiledPolicy(base_url=server.url)
    return Client(server.url, KEY, environ={}, policy=policy, sleep=lambda _: None, **more)


def bare(model: str = "gpt-4") -> probe.Canary:
    return probe.Canary(model, "bare", model)


def verdict(status: int, body: Any, **headers: str) -> probe.ProbeResult:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return probe.classify(bare(), GatewayAnswer(status, named, body, json.dumps(body), 0.5))


@pytest.fixture
def admin(account: Account) -> Shown:
    return account.seen(ADMIN_KEY)


# verdicts, from the recorded bodies


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, COMPLETION, "works"),
        (246, {**COMPLETION, "hook_results": {}}, "works"),
        (400, plane.NO_ROUTE, "needs-provider"),
        *(
            (
                400,
                {
                    "status": "failure",
                    "error": {"code": f"inline_{what}_blocked", "message": "…", "field": "x"},
                    "message": "…",
                },
                "inline-blocked",
            )
            for what in ("provider", "config", "custom_host", "provider_url", "forward_headers")
        ),
        (400, {"status": "failure", "message": "Invalid provider passed"}, "not-accepted"),
        (
            400,
            {"status": "failure", "message": "Invalid config passed", "errors": []},
            "not-accepted",
        ),
        (
            400,
            {"status": "failure", "message": "Config override is not allowed for this key"},
            "config-locked",
        ),
        (401, plane.BAD_KEY, "key-not-allowed"),
        (403, plane.AB03, "key-not-allowed"),
        (
            401,
            {"error": {"message": "openai error: bad key", "code": "x"}, "provider": "openai"},
            "upstream-error",
        ),
        (
            403,
            {"error": {"message": "anthropic error: forbidden"}, "provider": "anthropic"},
            "upstream-error",
        ),
        (
            400,
            {"error": {"message": "openai error: bad request"}, "provider": "openai"},
            "upstream-error",
        ),
        (402, {"data": {"errorCode": "AB09"}}, "limit-reached"),
        (412, plane.EXHAUSTED, "limit-reached"),
        (404, {"message": "Not Found", "ok": False}, "not-accepted"),
        (404, {"success": False, "data": {"errorCode": "AB08"}}, "model-not-allowed"),
        (
            404,
            {"error": {"message": "openai error: The model `x` does not exist"}, "provider": "o"},
            "model-not-allowed",
        ),
        (
            400,
            {"error": {"message": "model not allowed", "code": "model_not_allowed"}},
            "model-not-allowed",
        ),
        (
            408,
            {"error": {"message": "Request exceeded the timeout", "type": "timeout_error"}},
            "timeout",
        ),
        (
            429,
            {"error": {"message": "openai error: …", "code": "429"}, "provider": "openai"},
            "rate-limited",
        ),
        (446, {"error": {"type": "hooks_failed", "message": "x"}, "hook_results": {}}, "guardrail"),
        (500, {"status": "failure", "message": "Something went wrong"}, "upstream-error"),
        (500, {"html-message": "Message: fetch failed Cause: …"}, "upstream-error"),
        (200, None, "upstream-error"),
        (200, {"error": {"message": "soft"}}, "upstream-error"),
        (200, [], "upstream-error"),
        (599, {}, "upstream-error"),
    ],
)
def test_each_answer_has_its_verdict(status: int, body: Any, expected: str) -> None:
    assert verdict(status, body).verdict == expected


def test_every_verdict_has_words() -> None:
    assert set(probe.WORDS) == set(probe.Verdict.__args__)  # type: ignore[attr-defined]


def test_who_served_and_through_what_comes_from_the_headers() -> None:
    result = verdict(
        200,
        COMPLETION,
        x_portkey_provider="anthropic",
        x_portkey_last_used_option_index="config.targets[1]",
    )
    assert (result.served, result.through) == ("anthropic", "config.targets[1]")


def test_what_a_header_says_is_printable_and_bounded() -> None:
    result = verdict(200, COMPLETION, x_portkey_provider="\x1b[2J" + "x" * 500)
    assert result.served.isprintable()
    assert len(result.served) < 100


# what is sent


def test_a_canary_is_small_and_the_key_in_one_header() -> None:
    with Gateway((200, COMPLETION, {})) as server, opened(server) as client:
        plan = probe.plan(probe.SEEDS, None, providers=("openai-prod",), configs=("pc-a-000000",))
        results = probe.send(client, plan)
        assert len(server.requests) == len(plan)
        for request in server.requests:
            assert request.method == "POST"
            assert request.target == "/chat/completions"
            assert request.header("authorization") == ""
            assert request.header("x-portkey-api-key") == KEY
            assert request.raw.count(KEY.encode()) == 1
            body = request.json()
            assert body["max_tokens"] == 5
            assert body["messages"] == [{"role": "user", "content": "Say ok"}]
            assert "stream" not in body
    assert {result.verdict for result in results} == {"works"}


def test_a_raw_provider_sees_the_model_and_no_credential() -> None:
    (raw,) = [c for c in probe.plan(probe.SEEDS, None) if c.kind == "raw"]
    assert raw.headers == (("x-portkey-provider", "openrouter"),)
    with Gateway((200, COMPLETION, {})) as server, opened(server) as client:
        probe.send(client, [raw])
        (request,) = server.requests
    # what the gateway forwards with a raw provider name is Authorization (hazard 2)
    assert [n for n, v in request.headers if KEY in v] == ["x-portkey-api-key"]
    assert request.model == "mistralai/mistral-7b-instruct"


def test_a_model_that_refuses_max_tokens_is_asked_in_its_own_words() -> None:
    said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    refusal = {"error": {"message": f"openai error: {said}"}, "provider": "openai"}
    with Gateway((400, refusal, {}), (200, COMPLETION, {})) as server, opened(server) as client:
        (result,) = probe.send(client, [bare("o3")])
        first, second = (request.json() for request in server.requests)
    assert result.verdict == "works"
    assert "max_completion_tokens" not in first
    assert ("max_tokens" in second, second["max_completion_tokens"]) == (False, 16)


@pytest.mark.parametrize(("status", "times"), [(429, 4), (503, 4), (500, 1), (502, 1), (400, 1)])
def test_only_what_was_not_done_is_asked_again(status: int, times: int) -> None:
    with Gateway((status, {}, {})) as server, opened(server) as client:
        probe.send(client, [bare()])
        assert len(server.requests) == times


def test_a_canary_without_answer_does_not_end_the_others() -> None:
    class Silent(Gateway):
        def reply_to(self, request: Request, exchange: Exchange) -> None:
            if request.model == "slow":
                exchange.close_connection = True
                exchange.rfile.readline()  # until the client gives up
            else:
                super().reply_to(request, exchange)

    told: list[probe.ProbeResult] = []
    short = Timeouts(connect=1, read=0.3, whole=1)
    with (
        Silent((200, COMPLETION, {})) as server,
        opened(server, timeouts=short) as client,
    ):
        results = probe.send(client, [bare("slow"), bare("fast")], told=told.append)
        assert len(server.requests) == 2
    assert [r.verdict for r in results] == ["timeout", "works"]
    assert told == results


# how a model is named


def test_without_an_account_the_seeds_are_bare_and_one_is_raw() -> None:
    assert [(c.model, c.kind) for c in probe.plan(probe.SEEDS, None)] == [
        ("gpt-4", "bare"),
        ("claude-3-opus", "bare"),
        ("mistralai/mistral-7b-instruct", "bare"),
        ("mistralai/mistral-7b-instruct", "raw"),
    ]


def test_an_account_names_providers_and_its_config(admin: Shown) -> None:
    forms = [(c.kind, c.form) for c in probe.plan(["mistralai/mistral-7b-instruct"], admin)]
    model, slug = "mistralai/mistral-7b-instruct", "@openrouter-main"
    assert forms == [
        ("bare", model),
        ("slug", f"{slug}/{model}"),
        ("header", f"{model}  (x-portkey-provider: {slug})"),
        ("config", f"{model}  (x-portkey-config: pc-fall-000001)"),
        ("raw", f"{model}  (x-portkey-provider: openrouter)"),
    ]


def test_a_model_that_is_in_no_catalogue_is_tried_with_its_vendors(admin: Shown) -> None:
    tried = {c.model for c in probe.plan(["claude-3-opus"], admin) if c.kind == "slug"}
    assert tried == {"@anthropic-prod/claude-3-opus"}


def test_a_model_that_names_its_provider_is_tried_with_that_one(admin: Shown) -> None:
    plan = probe.plan(["@mine/some/model"], admin, configs=("pc-b-000000",))
    assert [(c.kind, c.model, dict(c.headers)) for c in plan] == [
        ("slug", "@mine/some/model", {}),
        ("header", "some/model", {"x-portkey-provider": "@mine"}),
        ("config", "some/model", {"x-portkey-config": "pc-b-000000"}),
    ]


def test_the_same_request_is_not_sent_twice(admin: Shown) -> None:
    plan = probe.plan(["gpt-4o", "@openai-prod/gpt-4o", "gpt-4o"], admin)
    sent = [(c.model, c.headers) for c in plan]
    assert len(sent) == len(set(sent))


def test_what_cannot_be_a_header_is_not_made_one(account: Account) -> None:
    odd = ["sl\u00fcg", "a b", "x\r\ny: z", "-", "x" * 199]
    account.space.models = [plane.model(slug, "gpt-4") for slug in odd]
    with account.client(WEAK_KEY) as client:
        seen = gather(client, WEAK_KEY)
        plan = probe.plan(["gpt-4"], seen)
        assert [c.kind for c in plan] == ["bare"]
    account.space.configs[0]["slug"] = "pc-\u00fc"
    account.space.details["pc-\u00fc"] = {}
    seen = account.seen(ADMIN_KEY)
    assert all(c.kind != "config" for c in probe.plan(["gpt-4"], seen))


def test_providers_to_try_are_few() -> None:
    rows = [shapes.ProviderRow(slug=f"openai-{n}", provider="openai") for n in range(50)]
    known: Any = type("Known", (), {})()
    known.models = type("Hidden", (), {"value": None})()
    known.providers = type("Seen", (), {"value": rows})()
    known.default_config = type("Seen", (), {"value": ""})()
    plan = probe.plan(["gpt-4"], known)
    assert len([c for c in plan if c.kind == "slug"]) == probe.MAX_SLUGS


def test_a_model_works_if_one_of_its_forms_does() -> None:
    good = probe.ProbeResult(bare("a"), "works")
    bad = probe.ProbeResult(bare("a"), "needs-provider")
    none = probe.ProbeResult(bare("b"), "timeout")
    assert probe.works([bad, good, none]) == {"a": [good], "b": []}
