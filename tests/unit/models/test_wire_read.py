"""Reading answers."""

import msgspec
import pytest

from runwright.core.message import UserMessage, said
from runwright.core.model import ModelResponse, ReasoningDelta, TextDelta
from runwright.models.wire_read import Assembler, finish_reason, read_answer

ASKED = (said(UserMessage(content="Hi")),)


def read(*choices: dict[str, object], **rest: object) -> ModelResponse:
    """The answer that these choices, one per chunk, stand for."""
    parts = Assembler()
    for choice in choices:
        parts.add(read_answer(msgspec.json.encode({"choices": [choice], **rest})))
    return parts.response("acme", "m", ASKED)


def delta(**fields: object) -> dict[str, object]:
    """A choice of a chunk."""
    return {"delta": fields}


def test_content_as_parts() -> None:
    """Mistral's parts of content become text and reasoning."""
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Hi"}]
    parts = Assembler()
    events = parts.add(read_answer(msgspec.json.encode({"choices": [delta(content=content)]})))
    assert list(events) == [ReasoningDelta("Hm."), TextDelta("Hi")]


def test_calls_without_index() -> None:
    """Servers that give no index: a new id begins a call, a known or missing one goes on."""
    response = read(
        delta(tool_calls=[{"id": "a", "function": {"name": "x", "arguments": "{"}}]),
        delta(tool_calls=[{"function": {"arguments": "}"}}]),
        delta(tool_calls=[{"id": "b", "function": {"name": "y", "arguments": {"n": 1}}}]),
        delta(tool_calls=[{"id": "a", "function": {"arguments": " "}}]),
    )
    assert [(call.id, call.name, call.arguments) for call in response.message.tool_calls] == [
        ("a", "x", "{} "),
        ("b", "y", '{"n":1}'),
    ]


def test_call_without_id_and_arguments() -> None:
    """A call that lacks its id gets one, and no arguments are an empty object."""
    call = read(delta(tool_calls=[{"index": 0, "function": {"name": "x"}}])).message.tool_calls[0]
    assert (call.id, call.arguments) == ("call_0", "{}")


def test_refusal_is_text() -> None:
    """A refusal is said to the user."""
    assert read(delta(refusal="No.")).message.content == "No."


def test_cache_hits_under_another_name() -> None:
    """DeepSeek's cache hits count as cached input."""
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "prompt_cache_hit_tokens": 4}
    assert read(delta(content="x"), usage=usage).usage.cached_input_tokens == 4


@pytest.mark.parametrize(
    ("theirs", "has_calls", "ours"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("function_call", True, "tool_calls"),
        ("length", True, "length"),
        ("model_length", False, "length"),
        ("content_filter", False, "content_filter"),
        (None, False, "stop"),
    ],
)
def test_finish_reason(theirs: str | None, *, has_calls: bool, ours: str) -> None:
    """Every finish reason is one of four."""
    assert finish_reason(theirs, has_calls=has_calls) == ours
