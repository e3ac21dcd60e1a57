"""Calls over the OpenAI wire, against a real server on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runwright.core.message import AssistantMessage, FunctionCall, ToolCall
from runwright.core.model import (
    ModelEvent,
    Quota,
    QuotaSeen,
    ReasoningDelta,
    ResponseCompleted,
    TextDelta,
    ToolCallDelta,
)
from runwright.core.usage import Usage
from runwright.errors import (
    ConfigError,
    MalformedResponse,
    ModelError,
    ModelUnknown,
    ProviderAuth,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from runwright.models import OpenAIModel, Provider, ProviderSettings, ProviderSpec
from tests.unit.models.calls import WEATHER, answer_of, ask, events_of
from tests.unit.models.server import (
    DONE,
    KEY,
    USAGE,
    FakeProvider,
    chunk,
    fake_provider,
    frame,
    json_answer,
    stream_answer,
)

QUESTION = ask("Hello?", is_streamed=True)
CALL = ToolCall(id="call_a", function=FunctionCall(name="weather", arguments='{"city":"Paris"}'))


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    """A running provider."""
    async with fake_provider() as provider:
        yield provider


async def test_streamed_answer(fake: FakeProvider) -> None:
    """Text and reasoning come in pieces, then as a whole answer with cached and reasoning tokens."""
    fake.handler = stream_answer(
        chunk(role="assistant", content=""),
        chunk(reasoning_content="Hm."),
        chunk(content="Hel") + chunk(content="lo"),
        chunk("stop"),
        USAGE,
        DONE,
    )
    async with fake.model() as model:
        events = await events_of(model, QUESTION)
    last = events.pop()
    assert events == [ReasoningDelta("Hm."), TextDelta("Hel"), TextDelta("lo")]
    assert isinstance(last, ResponseCompleted)
    assert last.response.message == AssistantMessage(content="Hello")
    assert last.response.reasoning == "Hm."
    assert (last.response.model, last.response.provider, last.response.response_id) == (
        "test-1-2026",
        "acme",
        "chatcmpl-1",
    )
    assert last.response.usage == Usage(
        input_tokens=20, output_tokens=7, cached_input_tokens=16, reasoning_tokens=4, requests=1
    )


async def test_tool_call_fragments_become_one_call(fake: FakeProvider) -> None:
    """Fragments of two calls that come mixed are put together by index."""
    first = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "weather", "arguments": ""}}
    second = {"index": 1, "id": "call_b", "type": "function", "function": {"name": "weather", "arguments": '{"city":'}}
    fake.handler = stream_answer(
        chunk(tool_calls=[first]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"city"'}}]),
        chunk(tool_calls=[second]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": ':"Paris"}'}}]),
        chunk(tool_calls=[{"index": 1, "function": {"arguments": '"Rome"}'}}]),
        chunk("tool_calls"),
        DONE,
    )
    async with fake.model() as model:
        events = await events_of(model, ask("Weather?", WEATHER, is_streamed=True))
    assert events[:2] == [ToolCallDelta(0, "call_a", "weather"), ToolCallDelta(0, arguments='{"city"')]
    last = events[-1]
    assert isinstance(last, ResponseCompleted)
    assert last.response.finish_reason == "tool_calls"
    assert last.response.message.content is None
    assert last.response.message.tool_calls[0] == CALL
    assert last.response.message.tool_calls[1].arguments == '{"city":"Rome"}'


async def test_whole_answer(fake: FakeProvider) -> None:
    """A call that is not streamed gives one event, the answer."""
    function = {"name": "weather", "arguments": '{"city":"Paris"}'}
    calls = [{"id": "call_a", "type": "function", "function": function}]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    fake.handler = json_answer({"id": "x", "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})
    async with fake.model() as model:
        events = await events_of(model, ask("Weather?", WEATHER))
    assert len(events) == 1
    assert isinstance(events[0], ResponseCompleted)
    assert events[0].response.message == AssistantMessage(tool_calls=(CALL,))
    assert events[0].response.finish_reason == "tool_calls"
    assert events[0].response.usage == Usage(input_tokens=9, output_tokens=3, requests=1)


async def test_missing_usage_is_estimated(fake: FakeProvider) -> None:
    """Without usage, tokens are counted from characters and marked as estimated."""
    fake.handler = stream_answer(chunk(content="12345678"), chunk("length"), DONE)
    async with fake.model() as model:
        response = await answer_of(model, QUESTION)
    assert response.finish_reason == "length"
    assert response.usage.is_estimated
    assert response.usage.output_tokens == 2
    assert response.usage.input_tokens == sum(len(entry.raw) for entry in QUESTION.messages) // 4 + 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRejected),
        (401, ProviderAuth),
        (403, ProviderAuth),
        (404, ModelUnknown),
        (408, ProviderTimeout),
        (422, ProviderRejected),
        (429, RateLimited),
        (500, ProviderUnavailable),
        (503, ProviderUnavailable),
    ],
)
async def test_status_decides_the_error(fake: FakeProvider, status: int, kind: type[ModelError]) -> None:
    """Each status is one class of error, with the provider's own sentence and never the key."""
    fake.handler = json_answer({"error": {"message": f"no, not with {KEY}", "type": "x"}}, status=status)
    async with fake.model() as model:
        with pytest.raises(ModelError) as caught:
            await answer_of(model, QUESTION)
    assert type(caught.value) is kind
    assert f"acme answered {status}: no, not with ***" in caught.value.message
    assert ("ACME_API_KEY" in caught.value.message) == (kind is ProviderAuth)
    assert KEY not in repr(caught.value)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [({"Retry-After": "7"}, 7.0), ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25), ({"Retry-After": "x"}, None)],
)
async def test_time_to_wait(fake: FakeProvider, headers: dict[str, str], wait_s: float | None) -> None:
    """The provider's wish when to come back stands in the error."""
    fake.handler = json_answer({"error": "slow down"}, status=429, headers=headers)
    async with fake.model() as model:
        with pytest.raises(RateLimited) as caught:
            await answer_of(model, QUESTION)
    assert caught.value.retry_after_s == wait_s


async def test_limits_are_told_before_the_answer_and_with_a_refusal(fake: FakeProvider) -> None:
    """What the provider says of its limits comes first, whatever case its headers have, and stands in errors too."""
    headers = {"X-RateLimit-Remaining-Requests": "3", "x-ratelimit-reset-requests": "6m0s"}
    said = Quota(requests_left=3, requests_reset_s=360)
    answer = {"id": "a", "model": "m", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    async with fake.model() as model:
        fake.handler = json_answer(answer, headers=headers)
        events = await events_of(model, ask("Hello?"))
        fake.handler = json_answer({"error": "slow down"}, status=429, headers=headers)
        with pytest.raises(RateLimited) as caught:
            await answer_of(model, QUESTION)
    assert events[0] == QuotaSeen(said)
    assert [type(event) for event in events] == [QuotaSeen, ResponseCompleted]
    assert caught.value.quota == said


async def test_cut_stream_is_no_answer(fake: FakeProvider) -> None:
    """A connection that breaks in mid-answer is an error, and so is a stream that just ends."""
    for then in ("cut", "end"):
        fake.handler = stream_answer(chunk(content="Half an"), then=then)
        async with fake.model() as model:
            with pytest.raises(ProviderUnavailable):
                await answer_of(model, QUESTION)


async def test_end_without_usage_after_finish_is_whole(fake: FakeProvider) -> None:
    """A connection that breaks after the finish reason lost only the usage."""
    fake.handler = stream_answer(chunk(content="Hi"), chunk("stop"), then="cut")
    async with fake.model() as model:
        response = await answer_of(model, QUESTION)
    assert response.message.content == "Hi"
    assert response.usage.is_estimated


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "overloaded", "code": 503}, ProviderUnavailable),
        ({"message": "slow down", "code": "429"}, RateLimited),
        ({"message": "slow down", "type": "rate_limit_error"}, RateLimited),
        ({"message": "no", "type": "invalid_request_error"}, ProviderRejected),
        ("broken", ProviderUnavailable),
    ],
)
async def test_error_frame(fake: FakeProvider, error: object, kind: type[ModelError]) -> None:
    """An error inside a stream ends the call as an error."""
    fake.handler = stream_answer(chunk(content="Half"), frame({"error": error}), DONE)
    async with fake.model() as model:
        with pytest.raises(kind, match="acme failed while answering"):
            await answer_of(model, QUESTION)


@pytest.mark.parametrize("body", [b"{nonsense", b'{"choices": 5}', b"\xff\xfe", b"{}", b'{"choices": []}'])
async def test_unreadable_answer(fake: FakeProvider, body: bytes) -> None:
    """An answer that is no JSON, has another shape or says nothing is malformed."""
    fake.handler = json_answer(body)
    async with fake.model() as model:
        with pytest.raises(MalformedResponse):
            await answer_of(model, ask("Hello?"))
    if body.startswith(b"{n"):
        fake.handler = stream_answer(frame(body))
        async with fake.model() as model:
            with pytest.raises(MalformedResponse):
                await answer_of(model, QUESTION)


async def test_refused_connection() -> None:
    """A port where nobody listens is an unavailable provider."""
    provider = Provider(ProviderSpec(name="acme"), ProviderSettings(base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(ProviderUnavailable, match=r"cannot be reached at http://127\.0\.0\.1:9"):
        await answer_of(OpenAIModel(provider, "x"), QUESTION)
    await provider.close()


async def test_a_connection_that_is_not_made_in_time() -> None:
    """A host that does not answer at all is given up after the time for connecting."""
    with socket.socket() as host, socket.socket() as first, socket.socket() as second:
        host.bind(("127.0.0.1", 0))
        # Its queue is full with these, and what comes then is not even refused.
        host.listen(0)
        for full in (first, second):
            full.setblocking(False)
            full.connect_ex(host.getsockname())
        url = f"http://127.0.0.1:{host.getsockname()[1]}/v1"
        provider = Provider(ProviderSpec(name="acme"), ProviderSettings(base_url=url))
        with pytest.raises(ProviderTimeout):
            await answer_of(OpenAIModel(provider, "x"), replace(QUESTION, connect_s=0.1))
        await provider.close()


async def test_cancel_closes_the_connection(fake: FakeProvider) -> None:
    """Cancelling a call that hangs ends it at the provider too."""
    fake.handler = stream_answer(chunk(content="Hi"), then="hang")
    async with fake.model() as model:
        task = asyncio.create_task(answer_of(model, QUESTION))
        await fake.entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(fake.left.wait(), 5)


async def test_closing_the_iterator_closes_the_connection(fake: FakeProvider) -> None:
    """A reader that leaves after the first delta ends the call at the provider."""
    fake.handler = stream_answer(chunk(content="Hi"), then="hang")
    async with fake.model() as model:
        async with aclosing(model.stream(QUESTION)) as events:
            assert await anext(events) == TextDelta("Hi")
        await asyncio.wait_for(fake.left.wait(), 5)


async def test_connection_is_used_again(fake: FakeProvider) -> None:
    """Streamed calls one after the other share a connection."""
    fake.handler = stream_answer(chunk(content="Hi"), chunk("stop"), DONE)
    async with fake.model() as model:
        for _ in range(3):
            await answer_of(model, QUESTION)
    assert len(fake.peers) == 1


async def test_key(fake: FakeProvider) -> None:
    """The key goes out as a bearer token."""
    fake.handler = json_answer({"choices": [{"message": {"content": "Hi"}}]})
    async with fake.model() as model:
        response = await answer_of(model, ask("Hello?"))
    assert response.message.content == "Hi"
    assert fake.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_provider_needs_a_base_url() -> None:
    """A provider without a base URL says which variable sets it."""
    with pytest.raises(ConfigError, match="ACME_BASE_URL"):
        Provider(ProviderSpec(name="acme", base_url_env="ACME_BASE_URL"), ProviderSettings())


STREAM = (
    chunk(role="assistant", content="")
    + b": keep-alive\n\n"
    + chunk(content="Grüße ")
    + chunk(content="😀")
    + chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "weather", "arguments": '{"city":'}}])
    + chunk(tool_calls=[{"index": 0, "function": {"arguments": '"Zürich"}'}}])
    + chunk("tool_calls")
    + USAGE
    + DONE
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=10, unique=True))
def test_any_split_gives_the_same_events(cuts: list[int]) -> None:
    """Where the network cuts a stream makes no difference to its events."""

    async def run(pieces: list[bytes]) -> list[ModelEvent]:
        async with fake_provider() as fake, fake.model() as model:
            fake.handler = stream_answer(*pieces)
            return await events_of(model, QUESTION)

    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(edges)]
    events = asyncio.run(run(pieces))
    assert events[:2] == [TextDelta("Grüße "), TextDelta("😀")]
    assert events == asyncio.run(run([STREAM]))
