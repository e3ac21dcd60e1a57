"""Chat completions made from events."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from inline_snapshot import snapshot

from runwright.core.event import (
    Data,
    Event,
    GuardDecided,
    MessageCompleted,
    MessageDelta,
    OutputRejected,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunWaiting,
    StepCompleted,
    StepRestarted,
    StepStarted,
)
from runwright.core.history import SUMMARY_LANE
from runwright.core.run import ErrorInfo
from runwright.core.usage import Usage
from runwright.errors import Conflict, MalformedResponse, OutputInvalid, ProviderTimeout
from runwright.server.completion import ChunkFrames, completion, ending_of
from runwright.service.views import CostView, RunView

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USAGE = Usage(input_tokens=7, output_tokens=2, cached_input_tokens=3, requests=1)


def frames(*, has_usage: bool = False, is_whole: bool = False) -> ChunkFrames:
    """Frames of a stream of the run of these tests."""
    return ChunkFrames("run_1", model="support", created=1, has_usage=has_usage, is_whole=is_whole)


def events(*data: tuple[Data, int | None]) -> list[Event]:
    """Events in order; each is its body and its step."""
    return [Event("run_1", seq, NOW, body, step) for seq, (body, step) in enumerate(data, 1)]


def message(text: str | None) -> MessageCompleted:
    """A whole answer of the model."""
    return MessageCompleted(message=msgspec.Raw(msgspec.json.encode({"role": "assistant", "content": text})))


def completed(text: str) -> RunCompleted:
    """The end of a run that says this."""
    return RunCompleted(output=msgspec.Raw(msgspec.json.encode(text)), finish_reason="length", usage=USAGE)


def chunks(body: bytes) -> list[Any]:
    """Every chunk decoded, and the mark of the end as it is."""
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    return [line if line == "[DONE]" else msgspec.json.decode(line) for line in lines]


def said(body: bytes) -> str:
    """The text that a client puts together from chunks."""
    choices = [choice for chunk in chunks(body) if chunk != "[DONE]" for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


def stream(given: Sequence[Event], *, is_whole: bool = False) -> str:
    """What a client reads when these events happen."""
    return said(frames(is_whole=is_whole).group(given))


def test_a_whole_stream() -> None:
    """Role first, then text, the reason it ended with the run's id, usage when asked for, and the mark of the end."""
    given = events(
        (MessageDelta(text="Hel"), 2),
        (MessageDelta(text="lo"), 2),
        (message("Hello"), 2),
        (StepCompleted(finish_reason="length", usage=USAGE), 2),
        (completed("Hello"), None),
    )
    made = frames(has_usage=True)
    assert chunks(made.group(given)) == snapshot(
        [
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "support",
                "choices": [
                    {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
                ],
            },
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "support",
                "choices": [{"index": 0, "delta": {"content": "Hel"}, "logprobs": None, "finish_reason": None}],
            },
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "support",
                "choices": [{"index": 0, "delta": {"content": "lo"}, "logprobs": None, "finish_reason": None}],
            },
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "support",
                "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}],
                "metadata": {"run_id": "run_1", "status": "completed"},
            },
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "support",
                "choices": [],
                "usage": {
                    "prompt_tokens": 7,
                    "completion_tokens": 2,
                    "total_tokens": 9,
                    "prompt_tokens_details": {"cached_tokens": 3},
                    "completion_tokens_details": {"reasoning_tokens": 0},
                },
            },
            "[DONE]",
        ]
    )
    assert made.is_done


def test_a_late_reader_gets_the_text_once() -> None:
    """Text whose pieces are gone, or partly gone, is sent once and whole."""
    end = (message("Hello"), 2), (completed("Hello"), None)
    assert stream(events(*end)) == "Hello"
    assert stream(events((MessageDelta(text="He"), 2), *end)) == "Hello"


def test_the_texts_of_two_steps_are_apart() -> None:
    """What the agent says before it calls a tool is a paragraph of its own."""
    given = events(
        (MessageDelta(text="I look."), 2),
        (message("I look."), 2),
        (message(None), 3),
        (MessageDelta(text="It rains."), 5),
        (message("It rains."), 5),
        (completed("It rains."), None),
    )
    assert stream(given) == "I look.\n\nIt rains."


def test_a_summary_is_no_part_of_the_answer() -> None:
    """What a model says to sum up a conversation is not sent to the caller."""
    aside = StepStarted(kind="model", name="m", key="k", lane=SUMMARY_LANE)
    told = events((aside, 1), (message("they said hello"), 1), (message("hi"), 2), (completed("hi"), None))
    assert stream(told) == "hi"


def test_output_without_a_message_is_said_at_the_end() -> None:
    """The answer of a code flow, which may be any JSON, is the content."""
    assert stream(events((completed("done"), None))) == "done"
    assert stream(events((RunCompleted(output=msgspec.Raw(b'{"a":1}')), None))) == '{"a":1}'


def test_a_restarted_step_repeats_nothing() -> None:
    """A new attempt that begins with the same words goes on where the first one was cut."""
    again = (MessageDelta(text="Hel"), 2), (StepRestarted(attempt=2), 2)
    rest = (
        (MessageDelta(text="He"), 2),
        (MessageDelta(text="llo"), 2),
        (message("Hello"), 2),
        (completed("Hello"), None),
    )
    assert stream(events(*again, *rest)) == "Hello"


def test_a_restarted_step_with_other_words_fails() -> None:
    """Words that were sent cannot be taken back, so another answer is an error."""
    with pytest.raises(MalformedResponse):
        stream(events((MessageDelta(text="Hel"), 2), (StepRestarted(attempt=2), 2), (MessageDelta(text="Good"), 2)))


def test_another_model_in_mid_stream_ends_it_with_a_visible_error() -> None:
    """Words of two models are never one text: the stream ends with an error chunk, and without `[DONE]`."""
    made = frames()
    switch = GuardDecided(layer="fallback", action="switched", target="b:m"), StepRestarted(attempt=2, cause="fallback")
    begun = made.group(events((MessageDelta(text="Hel"), 2), *((data, 2) for data in switch)))
    with pytest.raises(MalformedResponse) as caught:
        made.group(events((MessageDelta(text="Good"), 2)))
    ending = made.failure(caught.value)
    assert b'"Hel"' in begun
    assert b'"error"' in ending
    assert b"[DONE]" not in begun + ending


def test_structured_answers_are_held_back_until_they_fit() -> None:
    """With a response format only the output that was accepted is sent."""
    given = events(
        (MessageDelta(text="no json"), 2),
        (message("no json"), 2),
        (OutputRejected(reason="no JSON"), None),
        (message('{"a":1}'), 4),
        (RunCompleted(output=msgspec.Raw(b'{"a":1}')), None),
    )
    assert stream(given, is_whole=True) == '{"a":1}'
    with pytest.raises(OutputInvalid):
        stream(given)


def test_a_waiting_run_ends_the_stream_with_a_word() -> None:
    """A run that waits tells for what, and the metadata says it too."""
    made = frames()
    body = made.group(
        events((MessageDelta(text="Hm."), 2), (RunWaiting(reason="unknown_effect", detail="Resolve it."), None))
    )
    assert said(body) == snapshot("""\
Hm.

This run waits (unknown effect). Resolve it. See /api/v1/runs/run_1\
""")
    assert b'"metadata":{"run_id":"run_1","status":"waiting","reason":"unknown_effect"}' in body
    assert made.is_done


def test_failures_are_raised_as_what_they_were() -> None:
    """A failed or cancelled run raises, and the error chunk is what OpenAI clients raise."""
    info = ErrorInfo(code="provider_timeout", message="too slow", retryable=True)
    with pytest.raises(ProviderTimeout, match="too slow"):
        stream(events((RunFailed(error=info), None)))
    with pytest.raises(Conflict, match="left"):
        stream(events((RunCancelled(reason="left"), None)))
    assert chunks(frames().failure(ProviderTimeout("too slow"))) == snapshot(
        [{"error": {"message": "too slow", "type": "server_error", "param": None, "code": "provider_timeout"}}]
    )


@pytest.mark.parametrize(("reason", "told"), [("length", "length"), ("stop", "stop"), (None, "stop"), ("odd", "stop")])
def test_a_whole_completion_says_why_it_ended(reason: str | None, told: str) -> None:
    """The finish reason of a whole completion is that of the run, under the names that OpenAI knows."""
    run = RunView(
        id="run_1",
        agent="support",
        version="1.0.0",
        status="completed",
        mode="wait",
        output=msgspec.Raw(b'"Hello"'),
        finish_reason=reason,
        usage=USAGE,
        cost=CostView(usd=None, source="unpriced"),
        created_at=NOW,
    )
    body = msgspec.json.decode(completion(ending_of(run), run_id=run.id, model="support", created=1))
    assert body["choices"][0]["finish_reason"] == told
