"""The tool shim of local models."""

from typing import Any, cast

import jsonschema_rs
import msgspec
import pytest
from inline_snapshot import snapshot

from runwright.core.message import AssistantMessage
from runwright.core.model import ModelRequest, ModelSettings, OutputSpec
from runwright.models.toolshim import examples, is_choice, plain, quote_grammar, read_choice, shim_body
from tests.unit.models.calls import ADD, CONVERT, ORDER, WEATHER, ask

TOOLS = (WEATHER, ADD, ORDER, CONVERT)
PERSON: dict[str, object] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "$defs": {"X": {"type": "string"}},
}


def schema_of(request: ModelRequest) -> dict[str, object]:
    """The schema that the model has to write by."""
    return shim_body(request, is_tiny=True)["response_format"]["json_schema"]["schema"]


def test_examples_come_from_the_tools() -> None:
    """Descriptions and schemas make the examples; the likeliest tool stands last."""
    assert examples((WEATHER, ORDER), "What is the weather in Paris?") == snapshot(
        [
            ("Hello", '{"tool":"final_answer","arguments":{"answer":"Hello, how can I help?"}}'),
            ("Thank you!", '{"tool":"final_answer","arguments":{"answer":"You are welcome."}}'),
            ("Look up the status of order B-204.", '{"tool":"order_status","arguments":{"order_id":"B-204"}}'),
            ("Who are you?", '{"tool":"final_answer","arguments":{"answer":"I am an assistant."}}'),
            ("What is the order status for C-9?", '{"tool":"order_status","arguments":{"order_id":"C-9"}}'),
            ("Say the weather in Lisbon.", '{"tool":"weather","arguments":{"city":"Lisbon"}}'),
            ("What is the weather for Oslo?", '{"tool":"weather","arguments":{"city":"Oslo"}}'),
        ]
    )


@pytest.mark.parametrize("question", ["Hello", "Convert 3 EUR", "add 1 and 2"])
def test_examples_fit_the_grammar(question: str) -> None:
    """Every example is something that the grammar allows."""
    schema = schema_of(ask(question, *TOOLS))
    for _, reply in examples(TOOLS, question):
        jsonschema_rs.validate(schema, msgspec.json.decode(reply))


def test_strings_have_an_end() -> None:
    """Free strings get a longest length, so that a model that loops still ends."""
    schema = msgspec.json.encode(schema_of(ask("Hi", WEATHER, CONVERT))).decode()
    assert '"city":{"type":"string","maxLength":120}' in schema
    assert '"enum":["EUR","USD","GBP"],"maxLength"' not in schema
    assert "maxLength" not in msgspec.json.encode(WEATHER.parameters).decode()


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["weather", "add", "final_answer"]),
        ("auto", ["weather", "add", "final_answer"]),
        ("required", ["weather", "add"]),
        ("add", ["add"]),
    ],
)
def test_tool_choice_narrows_the_grammar(choice: str | None, names: list[str]) -> None:
    """A required tool leaves no way to just answer."""
    schema = schema_of(msgspec.structs.replace(ask("Hi", WEATHER, ADD), tool_choice=choice))
    branches = cast("list[dict[str, Any]]", schema["anyOf"])
    assert [branch["properties"]["tool"]["const"] for branch in branches] == names


def test_no_choice_after_a_result_or_without_tools() -> None:
    """After a tool has answered, and where tools are forbidden, plain text is asked for."""
    assert is_choice(ask("Hi", WEATHER))
    assert not is_choice(ask("Hi"))
    assert not is_choice(ask("Hi", WEATHER, results=("42",)))
    assert not is_choice(msgspec.structs.replace(ask("Hi", WEATHER), tool_choice="none"))


def test_tiny_models_quote_results() -> None:
    """A tiny model's answer holds the tool's words; a larger model is free."""
    request = ask("What is 17 plus 25?", ADD, results=("42",))
    assert shim_body(request, is_tiny=True)["grammar"] == snapshot(
        'root ::= "" lead "42" "."\nlead ::= "The answer is " | "It is " | "The result is "'
    )
    assert "grammar" not in shim_body(request, is_tiny=False)
    assert "grammar" not in shim_body(ask("Hi", ADD, results=("x" * 500,)), is_tiny=True)


def test_sentences_are_quoted_as_they_are() -> None:
    """Sentences need no words around them; quotes and backslashes are escaped."""
    rule = quote_grammar(["It is sunny.", 'say "a\\b"'])
    assert rule.startswith('root ::= "" "It is sunny." " " lead "say \\"a\\\\b\\"" "."')


@pytest.mark.parametrize(
    ("result", "line"),
    [
        ('"It is sunny."', "It is sunny."),
        ("plain\ntext", "plain text"),
        ('{"status":"shipped","days_left":2}', "status: shipped, days left: 2"),
        ("[1,2]", "[1,2]"),
        ("42", "42"),
    ],
)
def test_results_as_text(result: str, line: str) -> None:
    """Results are shown as a line of text."""
    assert plain(result) == line


def test_larger_models_see_the_conversation() -> None:
    """A larger model gets instructions and history in its choice and its answer."""
    body = shim_body(ask("Weather?", WEATHER), is_tiny=False)
    assert body["messages"][0]["content"].startswith("Answer briefly.\nReply with JSON")
    body = shim_body(ask("Weather?", WEATHER, results=("sunny",)), is_tiny=False)
    assert [message["role"] for message in body["messages"]] == ["system", "user", "user"]
    assert body["messages"][-1]["content"] == "The tool says: sunny"


def test_output_schema() -> None:
    """Structured output is written under its schema, at once or as the final answer beside tools."""
    request = msgspec.structs.replace(ask("Maria"), output=OutputSpec(name="person", schema=PERSON))
    assert shim_body(request, is_tiny=True)["response_format"]["json_schema"]["name"] == "person"
    schema = schema_of(msgspec.structs.replace(request, tools=(WEATHER,)))
    assert schema["$defs"] == {"X": {"type": "string", "maxLength": 400}}
    jsonschema_rs.validate(schema, {"tool": "final_answer", "arguments": {"answer": {"name": "Maria"}}})


def test_settings() -> None:
    """The answer is repeatable unless asked otherwise."""
    body = shim_body(msgspec.structs.replace(ask("Hi"), settings=ModelSettings(top_p=0.5)), is_tiny=True)
    assert (body["temperature"], body["seed"], body["max_tokens"], body["top_p"]) == (0, 1, 512, 0.5)


def test_reading_a_choice() -> None:
    """A choice becomes a tool call with its own id, or text, or structured text."""
    call = read_choice('{"tool": "add", "arguments": {"a": 1}}', number=3).tool_calls[0]
    assert (call.id, call.name, call.arguments) == ("call_local_3", "add", '{"a": 1}')
    assert read_choice('{"tool":"final_answer","arguments":{"answer":"Hi"}}') == AssistantMessage(content="Hi")
    said = read_choice('{"tool":"final_answer","arguments":{"answer":{"name":"Ada"}}}')
    assert said.content == '{"name":"Ada"}'
    with pytest.raises(msgspec.DecodeError):
        read_choice('{"tool":"fin')
