"""The demo model."""

from datetime import UTC, datetime

import jsonschema_rs
import msgspec
import pytest

from runwright.core.message import AssistantMessage
from runwright.core.model import OutputSpec, ResponseCompleted, TextDelta, ToolCallDelta
from runwright.errors import ConfigError, ModelError, ProviderTimeout, ProviderUnavailable, RateLimited
from runwright.models import DemoModel
from runwright.models.demo import answer
from tests.unit.models.calls import ADD, CONVERT, ORDER, WEATHER, answer_of, ask, events_of

TOOLS = (WEATHER, ADD, ORDER, CONVERT)


class FakeClock:
    """A clock that only notes how long it should wait."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        """A fixed time."""
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        """A fixed time."""
        return 0.0

    async def sleep(self, duration_s: float) -> None:
        """Note and go on."""
        self.slept.append(duration_s)


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("What is the weather in Paris?", [("weather", {"city": "Paris"})]),
        ("what is the weather in paris", [("weather", {"city": "paris"})]),
        ("What is the weather in Paris and Rome?", [("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})]),
        ("Add 17 and 25", [("add", {"a": 17, "b": 25})]),
        ("Where is my order A-1009?", [("order_status", {"order_id": "A-1009"})]),
        ("Convert 100 EUR to USD", [("convert", {"amount": 100, "source": "EUR", "target": "USD"})]),
        (
            "Say the weather in Oslo and the status of order A-7",
            [("weather", {"city": "Oslo"}), ("order_status", {"order_id": "A-7"})],
        ),
        ("Hello", []),
    ],
)
def test_picks_tools_by_words(text: str, calls: list[tuple[str, dict[str, object]]]) -> None:
    """The words of a request pick the tools and fill their arguments."""
    made = answer(ask(text, *TOOLS)).tool_calls
    assert [(call.name, msgspec.json.decode(call.arguments)) for call in made] == calls
    assert len({call.id for call in made}) == len(calls)


async def test_result_becomes_a_sentence() -> None:
    """After a tool, the answer says what the tool said."""
    response = await answer_of(DemoModel(), ask("What is 17 plus 25?", ADD, results=("42",)))
    assert response.message == AssistantMessage(content="The result is 42.")
    assert response.finish_reason == "stop"


async def test_says_that_it_is_no_llm() -> None:
    """Without tools, the answer says what it comes from."""
    response = await answer_of(DemoModel(), ask("Hello"))
    assert response.message.content == "This is the demo model, not an LLM. You said: Hello"
    assert response.model == "demo, not an LLM"
    assert not response.usage.is_estimated


async def test_streams_words() -> None:
    """The pieces of a streamed answer make up the answer; repeated calls are the same."""
    request = ask("Hello there", is_streamed=True)
    events = await events_of(DemoModel(), request)
    last = events[-1]
    assert isinstance(last, ResponseCompleted)
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(texts) > 5
    assert "".join(texts) == last.response.message.content
    assert events == await events_of(DemoModel(), request)


async def test_streams_tool_calls() -> None:
    """The first piece of a call carries id and name, the second the arguments."""
    events = await events_of(DemoModel(), ask("Weather in Paris", WEATHER, is_streamed=True))
    assert events[:2] == [
        ToolCallDelta(0, "call_demo_1", "weather"),
        ToolCallDelta(0, arguments='{"city":"Paris"}'),
    ]


async def test_slow_kind_waits() -> None:
    """demo:slow waits 20 ms before each chunk."""
    clock = FakeClock()
    events = await events_of(DemoModel("slow", clock=clock), ask("Hello", is_streamed=True))
    assert clock.slept == [0.02] * (len(events) - 1)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("fail-429", RateLimited), ("fail-500", ProviderUnavailable), ("timeout", ProviderTimeout)],
)
async def test_fails_on_purpose(kind: str, error: type[ModelError]) -> None:
    """Some kinds always fail."""
    with pytest.raises(error, match=f"demo:{kind} fails on purpose"):
        await answer_of(DemoModel(kind), ask("Hello"))


def test_unknown_kind() -> None:
    """Another kind is an error that lists the kinds."""
    with pytest.raises(ConfigError, match="slow, fail-429"):
        DemoModel("quick")


async def test_structured_output_fits_its_schema() -> None:
    """An answer with a schema is JSON that fits it."""
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    request = msgspec.structs.replace(ask("I met Maria, who is 34."), output=OutputSpec(name="person", schema=schema))
    content = (await answer_of(DemoModel(), request)).message.content
    assert content == '{"name":"Maria","age":34}'
    jsonschema_rs.validate(schema, msgspec.json.decode(content))


def test_required_choice_calls_a_tool() -> None:
    """Where a tool is required, one is called even if no word fits; where none is allowed, none is."""
    request = ask("Hello", ADD)
    assert answer(msgspec.structs.replace(request, tool_choice="required")).tool_calls
    weather = ask("Weather in Paris", WEATHER)
    assert not answer(msgspec.structs.replace(weather, tool_choice="none")).tool_calls
