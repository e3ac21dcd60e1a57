"""Local models: on a fake engine, and on the real one where it is installed."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runwright.core.message import ToolMessage, said
from runwright.core.model import ModelRequest, OutputSpec, ResponseCompleted, TextDelta, ToolCallDelta
from runwright.core.usage import Usage
from runwright.errors import ConfigError, MalformedResponse, MissingExtra, ProviderRejected, ProviderUnavailable
from runwright.models import LocalModel, has_weights, weights_path
from runwright.models.local_engine import ChatEngine, Chunk, LlamaEngine, default_threads, has_engine
from runwright.settings import Settings
from tests.unit.models.calls import ADD, CONVERT, ORDER, WEATHER, answer_of, ask, events_of

USAGE = {"prompt_tokens": 5, "completion_tokens": 2}
NAME = "smollm2-135m"
CACHE = Settings().cache_dir
NEEDS_MODEL = pytest.mark.skipif(
    not (has_engine() and has_weights(NAME, CACHE)),
    reason="needs the extra `local` and `runwright models pull smollm2-135m`",
)


def text_chunks(*texts: str) -> list[Chunk]:
    """The chunks of an answer."""
    chunks: list[Chunk] = [{"choices": [{"delta": {"content": text}, "finish_reason": None}]} for text in texts]
    return [*chunks, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": USAGE}]


class FakeEngine:
    """Says the same chunks each time; `endless` says them until it is told to stop."""

    def __init__(self, chunks: list[Chunk], *, endless: bool = False, error: str = "") -> None:
        self.chunks = chunks
        self.endless = endless
        self.error = error
        self.bodies: list[Mapping[str, Any]] = []
        self.stopped = threading.Event()
        self.running = 0

    def chat(self, body: Mapping[str, Any], on_chunk: Callable[[Chunk], bool]) -> None:
        """Answer."""
        self.running += 1
        assert self.running == 1
        self.bodies.append(body)
        if self.error:
            raise RuntimeError(self.error)
        while True:
            if any(on_chunk(chunk) for chunk in self.chunks):
                self.stopped.set()
                break
            if not self.endless:
                break
        self.running -= 1


def model_of(engine: FakeEngine, *, is_tiny: bool = True) -> LocalModel:
    """A model on a fake engine."""
    return LocalModel("fake", Path("fake.gguf"), is_tiny=is_tiny, open_engine=lambda path: engine)


async def test_plain_answer_is_streamed() -> None:
    """Plain text comes in real pieces, with the engine's own count of tokens."""
    model = model_of(FakeEngine(text_chunks("Hel", "lo")))
    events = await events_of(model, ask("Hi", is_streamed=True))
    assert events[:2] == [TextDelta("Hel"), TextDelta("lo")]
    last = events[-1]
    assert isinstance(last, ResponseCompleted)
    assert last.response.message.content == "Hello"
    assert last.response.usage == Usage(input_tokens=5, output_tokens=2, requests=1)
    assert (last.response.model, last.response.provider, model.ref) == ("fake", "local", "local:fake")
    await model.close()


async def test_choice_becomes_a_tool_call() -> None:
    """What the shim reads as a tool call comes as one delta and a whole answer."""
    model = model_of(FakeEngine(text_chunks('{"tool":"weather","arg', 'uments":{"city":"Paris"}}')))
    events = await events_of(model, ask("Weather in Paris?", WEATHER, is_streamed=True))
    assert events[:-1] == [ToolCallDelta(0, "call_local_1", "weather", '{"city":"Paris"}')]
    last = events[-1]
    assert isinstance(last, ResponseCompleted)
    assert last.response.finish_reason == "tool_calls"
    await model.close()


async def test_cut_choice_is_malformed() -> None:
    """A choice that was cut off by max_tokens is an error, not half a call."""
    model = model_of(FakeEngine(text_chunks('{"tool":"wea')))
    with pytest.raises(MalformedResponse):
        await answer_of(model, ask("Weather?", WEATHER))
    await model.close()


async def test_leaving_stops_the_engine() -> None:
    """The engine stops at its next token when the reader leaves, and the next call goes through."""
    engine = FakeEngine(text_chunks("again "), endless=True)
    model = model_of(engine)
    async with aclosing(model.stream(ask("Hi", is_streamed=True))) as events:
        assert await anext(events) == TextDelta("again ")
    assert await asyncio.to_thread(engine.stopped.wait, 5)
    engine.endless = False
    assert (await answer_of(model, ask("Hi"))).message.content == "again "
    await model.close()


async def test_calls_wait_for_each_other() -> None:
    """One engine answers one call at a time."""
    engine = FakeEngine(text_chunks("Hi"))
    model = model_of(engine)
    answers = await asyncio.gather(*(answer_of(model, ask("Hi")) for _ in range(5)))
    assert [one.message.content for one in answers] == ["Hi"] * 5
    await model.close()


@pytest.mark.parametrize(("code", "kind"), [(400, ProviderRejected), (500, ProviderUnavailable)])
async def test_engine_refuses(code: int, kind: type[Exception]) -> None:
    """A prompt that is too long is rejected with the engine's reason."""
    model = model_of(FakeEngine([{"error": {"code": code, "message": "too long"}}]))
    with pytest.raises(kind, match="too long"):
        await answer_of(model, ask("Hi"))
    await model.close()


async def test_engine_fails() -> None:
    """A failure inside the engine is an unavailable provider."""
    model = model_of(FakeEngine([], error="out of memory"))
    with pytest.raises(ProviderUnavailable, match="out of memory"):
        await answer_of(model, ask("Hi"))
    await model.close()


async def test_size_decides_what_is_tiny(tmp_path: Path) -> None:
    """A file of one's own is tiny by its size."""
    path = tmp_path / "own.gguf"
    path.write_bytes(b"GGUF")
    engine = FakeEngine(text_chunks("The answer is 42."))
    model = LocalModel("own", path, open_engine=lambda path: engine)
    await answer_of(model, ask("17 plus 25?", ADD, results=("42",)))
    assert "grammar" in engine.bodies[0]
    await model.close()


def test_threads_leave_room() -> None:
    """By default half the cores are used, and at least one."""
    assert default_threads() >= 1


async def test_a_file_that_cannot_be_loaded_keeps_no_thread() -> None:
    """Each call of a model that is not there says so, and leaves no thread behind."""

    threads: list[threading.Thread] = []

    def missing(path: Path) -> ChatEngine:
        threads.append(threading.current_thread())
        raise ConfigError(f"there is no model file {str(path)!r}")

    model = LocalModel("x", Path("x.gguf"), open_engine=missing)
    for _ in range(3):
        with pytest.raises(ConfigError, match="no model file"):
            await answer_of(model, ask("Hello?"))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(threads) == 3


@pytest.mark.skipif(not has_engine(), reason="needs the extra `local`")
def test_file_that_is_no_model(tmp_path: Path) -> None:
    """A missing or broken file is a configuration error."""
    with pytest.raises(ConfigError, match="no model file"):
        LlamaEngine(tmp_path / "missing.gguf")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but not really")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        LlamaEngine(broken)


@pytest.mark.skipif(has_engine(), reason="the extra `local` is installed")
def test_missing_extra(tmp_path: Path) -> None:
    """Without the extra, the error names it."""
    with pytest.raises(MissingExtra, match=r"runwright\[local\]"):
        LlamaEngine(tmp_path / "x.gguf")


@pytest.fixture
async def smollm() -> AsyncIterator[LocalModel]:
    """The real model on one thread."""
    model = LocalModel(NAME, weights_path(NAME, CACHE), is_tiny=True, threads=1)
    yield model
    await model.close()


async def converse(model: LocalModel, request: ModelRequest, result: str) -> tuple[str, str]:
    """The arguments of the first call, and the answer after its result."""
    first = (await answer_of(model, request)).message
    call = first.tool_calls[0]
    told = (said(first), said(ToolMessage(tool_call_id=call.id, content=result)))
    more = msgspec.structs.replace(request, messages=request.messages + told)
    return f"{call.name} {call.arguments}", (await answer_of(model, more)).message.content or ""


@pytest.mark.slow
@pytest.mark.local_model
@NEEDS_MODEL
async def test_real_tokens_through_tools(smollm: LocalModel) -> None:
    """The real model picks the tool, fills it rightly and answers with its result, for several tools."""
    paris = ask("What is the weather in Paris?", WEATHER)
    order = ask("Where is my order A-1009?", ORDER)
    convert = ask("Convert 100 EUR to USD", CONVERT)
    for request, result, expected in (
        (paris, '"It is sunny."', ('weather {"city":"Paris"}', "It is sunny.")),
        (ask("What is 17 plus 25?", ADD), "42", ('add {"a":17,"b":25}', "The answer is 42.")),
        (order, '{"status":"shipped"}', ('order_status {"order_id":"A-1009"}', "The answer is status: shipped.")),
        (convert, "110", ('convert {"amount":100,"source":"EUR","target":"USD"}', "The answer is 110.")),
    ):
        assert await converse(smollm, request, result) == expected


@pytest.mark.local_model
@NEEDS_MODEL
async def test_real_tokens_stream_and_repeat(smollm: LocalModel) -> None:
    """The real model streams, counts its tokens, says the same again, and greets without a tool."""
    events = await events_of(smollm, ask("Say hello.", is_streamed=True))
    last = events[-1]
    assert isinstance(last, ResponseCompleted)
    assert len(events) > 3
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == last.response.message.content
    assert not last.response.usage.is_estimated
    again = await answer_of(smollm, ask("Say hello."))
    assert again.message == last.response.message
    assert not (await answer_of(smollm, ask("Hello", WEATHER))).message.tool_calls


@pytest.mark.local_model
@NEEDS_MODEL
async def test_real_tokens_fit_a_schema(smollm: LocalModel) -> None:
    """The real model's structured output fits its schema."""
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    request = ask("Maria Lopez is 34 years old. Who is it, as JSON?")
    request = msgspec.structs.replace(request, output=OutputSpec(name="person", schema=schema))
    content = (await answer_of(smollm, request)).message.content
    assert set(msgspec.json.decode(content or "")) == {"name", "age"}


@pytest.mark.local_model
@NEEDS_MODEL
async def test_real_tokens_can_be_cancelled(smollm: LocalModel) -> None:
    """Cancelling the real model frees it for the next call."""
    async with aclosing(smollm.stream(ask("Tell me a long story.", is_streamed=True))) as events:
        await anext(events)
    async with asyncio.timeout(40):
        await answer_of(smollm, ask("Hello", WEATHER))
