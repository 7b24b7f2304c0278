"""A model that has its agent run a shell command, in each of the three formats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from guard.launch.loopback_gateway import send_items

if TYPE_CHECKING:
    from guard.launch.recorder import Exchange, Request


def send_command(request: Request, exchange: Exchange, command: str) -> bool:
    """Answer with a call of the agent's own tool that runs `command`.

    False, and no answer, where `request` offers no such tool: it asks for a title, say.
    """
    offered = [tool.get("function", tool).get("name") for tool in request.json().get("tools", ())]
    if "exec_command" in offered:
        send_items(request, exchange, [tool_call("exec_command", cmd=command, yield_time_ms=30000)])
    elif "Bash" in offered:
        exchange.stream("text/event-stream", _tool_use(request.model, "Bash", _described(command)))
    elif "bash" in offered:
        exchange.stream("text/event-stream", _chunks(request.model, "bash", _described(command)))
    else:
        return False
    return True


def tool_call(name: str, *, namespace: str = "", **given: object) -> dict[str, Any]:
    """An item of a response that calls the tool `name`."""
    return {
        "id": f"fc_{name}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{name}",
        "name": name,
        "arguments": json.dumps(given),
        **({"namespace": namespace} if namespace else {}),
    }


def _described(command: str) -> str:
    return json.dumps({"command": command, "description": "as asked"})


def _tool_use(model: str, name: str, given: str) -> Iterator[bytes]:
    message = {
        "id": "msg_recorded",
        "type": "message",
        "role": "assistant",
        "model": model,
        "usage": {"input_tokens": 1, "output_tokens": 1},
        "content": [],
        "stop_reason": None,
    }
    block = {"type": "tool_use", "id": "toolu_recorded", "name": name, "input": {}}
    delta = {"type": "input_json_delta", "partial_json": given}
    for event, content in (
        ("message_start", {"message": message}),
        ("content_block_start", {"index": 0, "content_block": block}),
        ("content_block_delta", {"index": 0, "delta": delta}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}}),
        ("message_stop", {}),
    ):
        yield f"event: {event}\ndata: {json.dumps({'type': event, **content})}\n\n".encode()


def _chunks(model: str, name: str, given: str) -> Iterator[bytes]:
    call = {"index": 0, "id": "call_recorded", "type": "function"}
    wanted = {**call, "function": {"name": name, "arguments": given}}
    head = {"id": "chatcmpl-recorded", "object": "chat.completion.chunk", "created": 0}
    for delta, reason in (
        ({"role": "assistant", "tool_calls": [wanted]}, None),
        ({}, "tool_calls"),
    ):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield b"data: %s\n\n" % json.dumps({**head, "model": model, "choices": [choice]}).encode()
    yield b"data: [DONE]\n\n"
