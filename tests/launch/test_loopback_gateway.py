"""The gateway on loopback: what it answers, and whom it turns away."""

from __future__ import annotations

import json

import pytest
from one_request import ask

from guard.launch.loopback_gateway import INVALID_KEY, LoopbackGateway

KEY = "gatewaykeygatewaykey"


def test_a_completion_is_answered_and_recorded() -> None:
    body = json.dumps({"model": "gpt-4o", "messages": []}).encode()
    with LoopbackGateway(KEY, "the word is quokka") as gateway:
        status, answer = ask(
            gateway.port, "POST", "/v1/chat/completions", body, x_portkey_api_key=KEY
        )
    assert status == 200
    assert json.loads(answer)["choices"][0]["message"]["content"] == "the word is quokka"
    (seen,) = gateway.requests
    assert (seen.method, seen.target, seen.model) == ("POST", "/v1/chat/completions", "gpt-4o")
    assert seen.header("X-Portkey-API-Key") == KEY
    assert seen.raw.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert seen.raw.endswith(body)


def test_a_stream_carries_the_same_text_in_pieces() -> None:
    body = json.dumps({"model": "m", "stream": True}).encode()
    with LoopbackGateway(KEY, "the word is quokka") as gateway:
        status, answer = ask(
            gateway.port, "POST", "/v1/chat/completions", body, x_portkey_api_key=KEY
        )
    assert status == 200
    events = [line.removeprefix("data: ") for line in answer.decode().split("\n\n") if line]
    assert events.pop() == "[DONE]"
    pieces = [
        choice["delta"].get("content", "")
        for event in events
        for choice in json.loads(event)["choices"]
    ]
    assert "".join(pieces) == "the word is quokka"
    assert sum(map(bool, pieces)) == 2


@pytest.mark.parametrize("headers", [{}, {"x_portkey_api_key": "another"}])
def test_a_caller_without_the_key_is_recorded_and_turned_away(headers: dict[str, str]) -> None:
    with LoopbackGateway(KEY, "no") as gateway:
        status, answer = ask(gateway.port, "POST", "/v1/chat/completions", b"{}", **headers)
    assert status == 401
    assert json.loads(answer) == INVALID_KEY
    assert len(gateway.requests) == 1
