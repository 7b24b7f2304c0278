from __future__ import annotations

from guard.findings import Finding
from guard.proxies.watch import GONE, NEW, PRESENT, Attempts, Event, events

LITELLM = Finding("RG402", "port:4000", "LiteLLM listens")
CLAUDE = Finding("RG405", "pid:7", "Claude Code runs past the guard")


def test_the_first_look_tells_what_is_there() -> None:
    assert events(None, {"a": LITELLM, "b": CLAUDE}, 5.0) == [
        Event(5.0, PRESENT, "a", LITELLM),
        Event(5.0, PRESENT, "b", CLAUDE),
    ]
    assert events(None, {}, 5.0) == []


def test_what_comes_and_goes() -> None:
    assert events({}, {"a": LITELLM}, 6.0) == [Event(6.0, NEW, "a", LITELLM)]
    assert events({"a": LITELLM}, {"a": LITELLM}, 7.0) == []
    assert events({"a": LITELLM}, {"b": CLAUDE}, 8.0) == [
        Event(8.0, GONE, "a", LITELLM),
        Event(8.0, NEW, "b", CLAUDE),
    ]


def test_the_same_port_with_another_socket_is_another_thing() -> None:
    happened = events({"proxy:4000:11": LITELLM}, {"proxy:4000:12": LITELLM}, 9.0)
    assert [event.what for event in happened] == [GONE, NEW]


def test_a_clock_that_jumps_back_changes_no_event() -> None:
    assert events({"a": LITELLM}, {"a": LITELLM, "b": CLAUDE}, -1e9) == [
        Event(-1e9, NEW, "b", CLAUDE)
    ]


def test_what_keeps_coming_back_is_stopped_a_few_times_only() -> None:
    attempts = Attempts(most=3, within=60.0)
    assert [attempts.take("ollama:11434", at) for at in (0.0, 1.0, 2.0, 3.0, 59.0)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert attempts.take("litellm:4000", 3.0)
    # the first has been forgotten, the second has not
    assert attempts.take("ollama:11434", 60.5)
    assert not attempts.take("ollama:11434", 60.9)
