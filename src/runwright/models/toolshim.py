"""Tool calls for small local models, which cannot make them by themselves.

The model writes one JSON object under a grammar: either a tool with its arguments or a final answer. Examples made
from the tools' own schemas show it how. Once a tool has answered, the model writes plain text.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from runwright.core.message import AssistantMessage, FunctionCall, ToolCall, ToolMessage
from runwright.core.model import ModelRequest, ToolSpec
from runwright.models.words import last_results, last_user_text, overlap, properties_of

FINAL = "final_answer"
LONGEST_ARGUMENT = 120
LONGEST_ANSWER = 400
LONGEST_QUOTE = 400
TOKENS = 512
Body = dict[str, Any]
Turn = tuple[str, str]

_PLACES = ("Lisbon", "Oslo", "Kyoto")
_NUMBERS = (7, 12, 3)
_OTHERS: dict[str, object] = {"boolean": True, "array": [], "object": {}}
_CODES = ("A-17", "B-204", "C-9")


class Choice(msgspec.Struct):
    """What a model under the grammar writes."""

    tool: str
    arguments: msgspec.Raw


_choice = msgspec.json.Decoder(Choice)


def is_choice(request: ModelRequest) -> bool:
    """Whether the model has to choose a tool: there are tools, and none has just answered."""
    return bool(request.tools) and request.tool_choice != "none" and not last_results(request)


def shim_body(request: ModelRequest, *, is_tiny: bool) -> Body:
    """The chat completions body for the local engine. `is_tiny` models see less and quote tool results."""
    body = _settings(request)
    if is_choice(request):
        body["messages"] = _choice_messages(request, is_tiny=is_tiny)
        body["response_format"] = _schema_format("choice", _choice_schema(request))
        return body
    body["messages"] = _plain_messages(request, is_tiny=is_tiny)
    results = last_results(request)
    if request.output is not None:
        body["response_format"] = _schema_format(request.output.name, _capped(request.output.schema, LONGEST_ANSWER))
    elif is_tiny and results and len("".join(results)) <= LONGEST_QUOTE:
        body["grammar"] = quote_grammar([plain(result) for result in results])
    return body


def read_choice(text: str, *, number: int = 1) -> AssistantMessage:
    """The message that a choice stands for; `number` counts the calls of a conversation.

    Raises msgspec.DecodeError when the text was cut off.
    """
    choice = _choice.decode(text)
    if choice.tool != FINAL:
        function = FunctionCall(name=choice.tool, arguments=bytes(choice.arguments).decode())
        return AssistantMessage(tool_calls=(ToolCall(id=f"call_local_{number}", function=function),))
    arguments = cast("dict[str, object]", msgspec.json.decode(choice.arguments))
    answer = arguments.get("answer")
    return AssistantMessage(content=answer if isinstance(answer, str) else msgspec.json.encode(answer).decode())


def _settings(request: ModelRequest) -> Body:
    settings = request.settings
    body: Body = {
        "temperature": settings.temperature if settings.temperature is not None else 0,
        "seed": settings.seed if settings.seed is not None else 1,
        "max_tokens": settings.max_tokens or TOKENS,
    }
    for name in ("top_p", "stop", "frequency_penalty", "presence_penalty"):
        value = getattr(settings, name)
        if value is not None:
            body[name] = value
    return body | settings.extra


def _schema_format(name: str, schema: Mapping[str, Any]) -> Body:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


# The choice of a tool.


def _choice_schema(request: ModelRequest) -> Body:
    choice = request.tool_choice
    tools = [tool for tool in request.tools if choice in (None, "auto", "required", tool.name)] or request.tools
    definitions: Body = {}
    branches: list[Body] = []
    for tool in tools:
        schema = _capped(tool.parameters, LONGEST_ARGUMENT)
        definitions.update(schema.pop("$defs", {}))
        branches.append(_branch(tool.name, schema))
    if choice in (None, "auto"):
        answer: Body = {"type": "string", "maxLength": LONGEST_ANSWER}
        if request.output is not None:
            answer = _capped(request.output.schema, LONGEST_ANSWER)
            definitions.update(answer.pop("$defs", {}))
        branches.append(_branch(FINAL, {"type": "object", "properties": {"answer": answer}, "required": ["answer"]}))
    schema: Body = {"anyOf": branches}
    return schema | {"$defs": definitions} if definitions else schema


def _branch(name: str, arguments: Body) -> Body:
    return {
        "type": "object",
        "properties": {"tool": {"const": name}, "arguments": arguments},
        "required": ["tool", "arguments"],
        "additionalProperties": False,
    }


def _capped(schema: Mapping[str, Any], longest: int) -> Body:
    """A copy whose strings have an end, so that a small model that loops still closes its JSON."""
    capped = copy.deepcopy(dict(schema))
    _cap(capped, longest)
    return capped


def _cap(node: object, longest: int) -> None:
    if isinstance(node, list):
        for item in cast("list[object]", node):
            _cap(item, longest)
    if not isinstance(node, dict):
        return
    schema = cast("Body", node)
    if schema.get("type") == "string" and not {"enum", "const", "format", "pattern"} & schema.keys():
        schema.setdefault("maxLength", longest)
    if schema.get("type") == "object" and "properties" in schema:
        schema.setdefault("additionalProperties", False)
    for value in schema.values():
        _cap(value, longest)


def _choice_messages(request: ModelRequest, *, is_tiny: bool) -> list[Body]:
    lines = [f"{tool.name}({', '.join(properties_of(tool.parameters))}): {tool.description}" for tool in request.tools]
    lines.append(f"{FINAL}(answer): Talk to the user when no tool fits.")
    system = "Reply with JSON that calls one tool.\n" + "\n".join(lines)
    if not is_tiny:
        system = "\n".join([*_instructions(request), system])
    messages: list[Body] = [{"role": "system", "content": system}]
    question = last_user_text(request)
    for said, reply in examples(request.tools, question):
        messages += [{"role": "user", "content": said}, {"role": "assistant", "content": reply}]
    if is_tiny:
        return [*messages, {"role": "user", "content": question}]
    return messages + [message for message in _history(request) if message["role"] != "system"]


def examples(tools: Sequence[ToolSpec], question: str) -> list[Turn]:
    """Turns that show the format, the likeliest last, because a small model follows what it saw last."""
    scored = sorted(((overlap(question, tool), place) for place, tool in enumerate(tools)), key=lambda one: one)
    places = [place for _, place in scored]
    likeliest = places.pop() if scored[-1][0] else None
    turns = [_answer("Thank you!", "You are welcome.")]
    if likeliest is not None:
        turns.insert(0, _answer("Hello", "Hello, how can I help?"))
    turns += [_call(tools[place], place, is_question=False) for place in places]
    turns.append(_answer("Who are you?", "I am an assistant."))
    turns += [_call(tools[place], place, is_question=True) for place in places]
    if likeliest is None:
        turns.append(_answer("Hello", "Hello, how can I help?"))
        turns.append(_answer("Hi", "Hi, how can I help?"))
    else:
        turns += [_call(tools[likeliest], likeliest, is_question=asked) for asked in (False, True)]
    return turns


def _answer(said: str, answer: str) -> Turn:
    return said, msgspec.json.encode({"tool": FINAL, "arguments": {"answer": answer}}).decode()


def _call(tool: ToolSpec, place: int, *, is_question: bool) -> Turn:
    start = place + is_question
    properties = properties_of(tool.parameters)
    arguments = {name: _sample(name, part, start + n) for n, (name, part) in enumerate(properties.items())}
    reply = msgspec.json.encode({"tool": tool.name, "arguments": arguments}).decode()
    if not is_question:
        return f"{_phrase(tool, arguments)}.", reply
    values = ", ".join(map(_spoken, arguments.values()))
    return f"What is the {tool.name.replace('_', ' ')}{' for ' if values else ''}{values}?", reply


def _sample(name: str, schema: Mapping[str, Any], place: int) -> object:
    """A plausible value: the schema's own where it names one."""
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][place % len(schema[key])]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "string")
    if kind in ("number", "integer"):
        return _NUMBERS[place % 3]
    if kind in _OTHERS:
        return _OTHERS[kind]
    codes = name.lower().endswith(("id", "number", "code", "key"))
    return (_CODES if codes else _PLACES)[place % 3]


def _phrase(tool: ToolSpec, arguments: Mapping[str, object]) -> str:
    """The description as a request: "in a city" becomes "in Lisbon"."""
    text = re.split(r"[.\n]", tool.description or tool.name.replace("_", " "))[0]
    rest: list[str] = []
    for name, value in arguments.items():
        word = re.sub(r"_?id$", "", name).replace("_", " ")
        spoken = f"{word} {_spoken(value)}" if name.endswith("id") and word else _spoken(value)
        pattern = rf"\b(?:an? |the )?{re.escape(word or name)}\b"
        text, count = re.subn(pattern, lambda _, spoken=spoken: spoken, text, count=1, flags=re.IGNORECASE)
        if not count:
            rest.append(_spoken(value))
    return f"{text}: {', '.join(rest)}" if rest else text


def _spoken(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# Plain answers.


def _plain_messages(request: ModelRequest, *, is_tiny: bool) -> list[Body]:
    results = last_results(request)
    if not (is_tiny and results):
        return _history(request)
    facts = "\n".join(plain(result) for result in results)
    system = "Answer with the facts you are given, word for word."
    asked = f"Facts: {facts}\nQuestion: {last_user_text(request)}"
    return [{"role": "system", "content": system}, {"role": "user", "content": asked}]


def _history(request: ModelRequest) -> list[Body]:
    """The conversation with tool calls told as text, since the model's template knows no tools."""
    messages: list[Body] = []
    for entry in request.messages:
        message = entry.message
        if isinstance(message, ToolMessage):
            messages.append({"role": "user", "content": f"The tool says: {message.content}"})
        elif isinstance(message, AssistantMessage):
            calls = [f"I call {call.name} with {call.arguments}." for call in message.tool_calls]
            messages.append({"role": "assistant", "content": " ".join([message.content or "", *calls]).strip()})
        else:
            messages.append(cast("Body", msgspec.to_builtins(message)))
    return messages


def _instructions(request: ModelRequest) -> list[str]:
    found = [message["content"] for message in _history(request) if message["role"] == "system"]
    return [text for text in found if isinstance(text, str)]


def plain(result: str) -> str:
    """A tool result as a line of text: JSON strings without quotes, objects as `name: value`."""
    try:
        data: object = msgspec.json.decode(result)
    except msgspec.DecodeError:
        return " ".join(result.split())
    if isinstance(data, dict):
        pairs = cast("dict[str, object]", data).items()
        return ", ".join(f"{name.replace('_', ' ')}: {_spoken(value)}" for name, value in pairs)
    return " ".join(_spoken(data).split())


def quote_grammar(results: Sequence[str]) -> str:
    """A GBNF grammar for an answer that repeats the results; a result that is no sentence gets one around it.

    Models of this size change numbers and say no for yes when they are free to write.
    """
    quotes = " ".join(
        f"{_literal(' ' if place else '')} {_quoted_rule(result)}" for place, result in enumerate(results)
    )
    return f'root ::= {quotes}\nlead ::= "The answer is " | "It is " | "The result is "'


def _quoted_rule(result: str) -> str:
    is_sentence = result.endswith((".", "!", "?")) and " " in result
    return _literal(result) if is_sentence else f'lead {_literal(result)} "."'


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "")
    return f'"{escaped}"'
