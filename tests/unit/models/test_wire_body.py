"""Request bodies."""

import msgspec
from inline_snapshot import snapshot

from runwright.core.model import ModelRequest, ModelSettings, OutputSpec
from runwright.models.providers import PROVIDERS, ProviderSpec
from runwright.models.wire_body import encode_body, is_strict
from tests.unit.models.calls import WEATHER, ask

OPEN: dict[str, object] = {"type": "object", "properties": {"x": {"type": "string"}}}
CLOSED: dict[str, object] = {**OPEN, "required": ["x"], "additionalProperties": False}


def body(request: ModelRequest, spec: ProviderSpec = PROVIDERS["groq"]) -> dict[str, object]:
    """The decoded body."""
    return msgspec.json.decode(encode_body(request, spec, "m"))


def changed(request: ModelRequest, **fields: object) -> ModelRequest:
    """A copy with other fields."""
    return msgspec.structs.replace(request, **fields)


def test_messages_and_tools_keep_their_bytes() -> None:
    """Messages and tools go out byte for byte."""
    request = ask("Weather?", WEATHER)
    encoded = encode_body(request, PROVIDERS["groq"], "m")
    assert b",".join(entry.raw for entry in request.messages) in encoded
    assert request.tools_raw in encoded


def test_plain_body() -> None:
    """A plain request holds what is asked for and nothing else."""
    assert body(ask("Hi")) == snapshot(
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Answer briefly."},
                {"role": "user", "content": "Hi"},
            ],
            "temperature": 0.0,
            "seed": 1,
        }
    )


def test_streamed_body_asks_for_usage() -> None:
    """A streamed request asks for usage, except where the provider refuses the question."""
    request = ask("Hi", is_streamed=True)
    assert body(request)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in body(request, PROVIDERS["mistral"])


def test_parameters_under_the_provider_s_names() -> None:
    """OpenAI's own models take max_completion_tokens, Mistral random_seed."""
    request = changed(ask("Hi"), settings=ModelSettings(max_tokens=9, seed=2, extra={"top_k": 3}))
    assert body(request, PROVIDERS["openai"])["max_completion_tokens"] == 9
    mistral = body(request, PROVIDERS["mistral"])
    assert (mistral["random_seed"], mistral["max_tokens"], mistral["top_k"]) == (2, 9, 3)
    assert "seed" not in mistral


def test_tool_choice() -> None:
    """A tool's name as the choice is written as OpenAI wants it; without tools there is no choice."""
    request = changed(ask("Hi", WEATHER), tool_choice="weather", settings=ModelSettings(parallel_tool_calls=False))
    assert body(request)["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert body(request)["parallel_tool_calls"] is False
    assert body(changed(request, tool_choice="required"))["tool_choice"] == "required"
    without = body(changed(request, tools=(), tools_raw=b""))
    assert "tool_choice" not in without
    assert "parallel_tool_calls" not in without


def test_output_schema() -> None:
    """The output schema is strict only where it fits strict mode."""
    request = changed(ask("Hi"), output=OutputSpec(name="out", schema=CLOSED))
    assert body(request)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "out", "schema": CLOSED, "strict": True},
    }
    assert not is_strict(OPEN)
    assert not is_strict({**CLOSED, "$defs": {"Y": OPEN}})
    assert is_strict({"anyOf": [{"type": "string"}, CLOSED]})


def test_provider_without_schemas_is_told_in_words() -> None:
    """Where only JSON mode exists, the schema stands in a system message."""
    request = changed(ask("Hi"), output=OutputSpec(name="out", schema=CLOSED))
    encoded = encode_body(request, PROVIDERS["deepseek"], "m")
    assert b'"response_format":{"type":"json_object"}' in encoded
    assert b"JSON Schema" in encoded
