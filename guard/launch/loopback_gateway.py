"""A gateway on loopback that answers as Portkey does, in the three formats that agents speak.

It checks the key, as the gateway does, and gives every call the same words. Used by `routeguard
verify` (guard/launch/verify.py) and by the end-to-end tests. Not on the hot path.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from guard.launch.recorder import Exchange, RecordingServer, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

INVALID_KEY = {
    "status": "failure",
    "message": "Portkey Error: Invalid API Key. Error Code: 03",
}
"""What Portkey answers, with status 401, to a key it does not know (Portkey docs, error codes)."""


class LoopbackGateway(RecordingServer):
    """Stands where the Portkey gateway is: a server of each wire format behind a Portkey key.

    Answers every chat completion, message and response with `text`, streamed if asked so, to
    callers whose `x-portkey-api-key` is `key`, and 401 as Portkey does to others.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__()
        self.key = key
        self.text = text

    def answer(self, request: Request, exchange: Exchange) -> None:
        """Check the key, then answer; 404 for any other path."""
        if request.header("x-portkey-api-key") != self.key:
            exchange.send_json(401, INVALID_KEY)
        elif request.method == "POST" and request.target.endswith("/chat/completions"):
            send_completion(request, exchange, self.text)
        elif request.method == "POST" and request.path.endswith("/messages"):
            send_message(request, exchange, self.text)
        elif request.method == "POST" and request.path.endswith("/responses"):
            send_response(request, exchange, self.text)
        else:
            exchange.send_json(404, {"message": "Not Found", "ok": False})


def send_completion(request: Request, exchange: Exchange, text: str) -> None:
    """Answer `request` with `text` as OpenAI's chat completions do (streamed if it asks for it)."""
    if request.json().get("stream") is True:
        exchange.stream("text/event-stream", _events(request.model, text))
    else:
        exchange.send_json(
            200,
            _completion(request.model, "chat.completion")
            | {
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": text},
                    }
                ],
                "usage": _USAGE,
            },
        )


def send_message(request: Request, exchange: Exchange, text: str) -> None:
    """Answer `request` with `text` as Anthropic's messages do (streamed if it asks for it)."""
    message = {
        "id": "msg_recorded",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    if request.json().get("stream") is True:
        exchange.stream("text/event-stream", _message_events(message, text))
    else:
        content = [{"type": "text", "text": text}]
        exchange.send_json(200, message | {"content": content, "stop_reason": "end_turn"})


def _message_events(message: dict[str, Any], text: str) -> Iterator[bytes]:
    # two pieces: a client that takes the first for the whole is seen
    half = len(text) // 2
    start = {"message": message | {"content": [], "stop_reason": None}}
    events: list[tuple[str, dict[str, Any]]] = [
        ("message_start", start),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        *(
            ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": piece}})
            for piece in (text[:half], text[half:])
        ),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}),
        ("message_stop", {}),
    ]
    for name, content in events:
        body = json.dumps({"type": name, **content})
        yield f"event: {name}\ndata: {body}\n\n".encode()


def send_response(request: Request, exchange: Exchange, text: str) -> None:
    """Answer `request` with `text` as OpenAI's Responses do (streamed if it asks for it)."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {
        "id": "msg_recorded",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }
    send_items(request, exchange, [item], text)


def send_items(
    request: Request, exchange: Exchange, items: list[dict[str, Any]], text: str = ""
) -> None:
    """Answer `request` with the output `items` of a response, the first one's `text` in pieces."""
    response = {
        "id": "resp_recorded",
        "object": "response",
        "created_at": 0,
        "model": request.model,
        "status": "completed",
        "output": items,
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    }
    if request.json().get("stream") is True:
        exchange.stream("text/event-stream", _response_events(response, text))
    else:
        exchange.send_json(200, response)


def _response_events(response: dict[str, Any], text: str) -> Iterator[bytes]:
    half = len(text) // 2
    started = {**response, "status": "in_progress", "output": []}
    events: list[tuple[str, dict[str, Any]]] = [("response.created", {"response": started})]
    for index, item in enumerate(response["output"]):
        at = {"output_index": index}
        opened = {**item, "status": "in_progress"} | ({"content": []} if "content" in item else {})
        events.append(("response.output_item.added", {**at, "item": opened}))
        inside = {**at, "item_id": item["id"], "content_index": 0}
        events += [
            ("response.output_text.delta", {**inside, "delta": piece})
            for piece in (text[:half], text[half:])
            if piece and index == 0
        ]
        events.append(("response.output_item.done", {**at, "item": item}))
    events.append(("response.completed", {"response": response}))
    for number, (name, content) in enumerate(events):
        body = json.dumps({"type": name, "sequence_number": number, **content})
        yield f"event: {name}\ndata: {body}\n\n".encode()


_USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def _completion(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-recorded", "object": kind, "created": 0, "model": model}


def _events(model: str, text: str) -> Iterator[bytes]:
    head = _completion(model, "chat.completion.chunk")
    # two pieces: a client that takes the first for the whole is seen
    half = len(text) // 2
    deltas: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": text[:half]}, None),
        ({"content": text[half:]}, None),
        ({}, "stop"),
    ]
    for delta, reason in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield b"data: %s\n\n" % json.dumps(head | {"choices": [choice]}).encode()
    yield b"data: %s\n\n" % json.dumps(head | {"choices": [], "usage": _USAGE}).encode()
    yield b"data: [DONE]\n\n"
