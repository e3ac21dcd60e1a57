"""Requests and tools for the tests of models."""

import msgspec

from runwright.core.message import Message, SystemMessage, ToolMessage, UserMessage, said
from runwright.core.model import ModelEvent, ModelRequest, ModelResponse, ModelSettings, ResponseCompleted, ToolSpec
from runwright.core.ports import Model

STRING = {"type": "string"}
NUMBER = {"type": "number"}
CURRENCY = {"type": "string", "enum": ["EUR", "USD", "GBP"]}


def tool(name: str, description: str, **properties: object) -> ToolSpec:
    """A tool whose parameters are all required."""
    schema: dict[str, object] = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolSpec(name=name, description=description, parameters=schema)


WEATHER = tool("weather", "Say the weather in a city.", city=STRING)
ADD = tool("add", "Add two numbers.", a=NUMBER, b=NUMBER)
ORDER = tool("order_status", "Look up the status of an order.", order_id=STRING)
CONVERT = tool(
    "convert", "Convert an amount from one currency to another.", amount=NUMBER, source=CURRENCY, target=CURRENCY
)


def ask(text: str, *tools: ToolSpec, results: tuple[str, ...] = (), is_streamed: bool = False) -> ModelRequest:
    """A request with one question, and the tool results that came after it."""
    messages: list[Message] = [SystemMessage(content="Answer briefly."), UserMessage(content=text)]
    messages += [ToolMessage(tool_call_id=f"call_{place}", content=result) for place, result in enumerate(results)]
    wire = [
        {
            "type": "function",
            "function": {"name": one.name, "description": one.description, "parameters": one.parameters},
        }
        for one in tools
    ]
    return ModelRequest(
        model="test",
        messages=tuple(said(message) for message in messages),
        tools=tools,
        tools_raw=msgspec.json.encode(wire) if tools else b"",
        settings=ModelSettings(temperature=0, seed=1),
        is_streamed=is_streamed,
    )


async def events_of(model: Model, request: ModelRequest) -> list[ModelEvent]:
    """All events of a call."""
    return [event async for event in model.stream(request)]


async def answer_of(model: Model, request: ModelRequest) -> ModelResponse:
    """The whole answer of a call."""
    last = (await events_of(model, request))[-1]
    assert isinstance(last, ResponseCompleted)
    return last.response
