"""What a caller sends to an agent, read as messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from runwright.core.message import Message, Part, UserMessage, text_of
from runwright.core.values import in_short, is_list, is_object
from runwright.errors import InvalidRequest
from runwright.tools.signature import in_words, pointer

MAX_BYTES = 20 * 1024 * 1024

EXPECTED = 'send text, {"messages": [...]} in the shape of OpenAI chat completions, or {"content": text or parts}'

_PART = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
_CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": _PART}]}
_MESSAGE = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": {"anyOf": [*_CONTENT["anyOf"], {"type": "null"}]},
        "tool_calls": {"type": "array"},
        "tool_call_id": {"type": "string"},
    },
}

ANY_OF: list[object] = [
    {"type": "string", "title": "Text"},
    {"type": "array", "title": "Parts", "items": _PART},
    {
        "type": "object",
        "title": "Messages",
        "required": ["messages"],
        "properties": {"messages": {"type": "array", "minItems": 1, "items": _MESSAGE}},
    },
    {
        "type": "object",
        "title": "Content",
        "required": ["content"],
        "properties": {"content": _CONTENT},
    },
    {"type": "object", "title": "Prompt", "required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
    {"type": "object", "title": "Input", "required": ["input"], "properties": {"input": {"type": "string"}}},
]
"""The forms of a caller's input."""

INPUT_SCHEMA: dict[str, object] = {
    "title": "Input",
    "description": "What the user says: text, parts, or a whole conversation.",
    "anyOf": ANY_OF,
}

_ROLES = {"developer": "system"}
_PLACED = re.compile(r"^(?P<detail>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def read_json(data: bytes) -> object:
    """JSON text of a caller. Raises InvalidRequest when it is too large, no UTF-8 or no JSON."""
    if len(data) > MAX_BYTES:
        raise InvalidRequest(
            f"the input has {len(data):,} bytes, and {MAX_BYTES:,} are allowed: send less, or a URL in its place"
        )
    try:
        return msgspec.json.decode(data)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the input is no valid UTF-8 at byte {error.start}: encode it as UTF-8") from None
    except RecursionError:
        raise InvalidRequest("the input is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the input is no JSON: {error}") from None


def read_messages(data: bytes) -> tuple[Message, ...]:
    """JSON input as messages. Raises InvalidRequest with a pointer to what is wrong."""
    value = read_json(data)
    if isinstance(value, str):
        return (UserMessage(content=value),)
    if is_list(value):
        return (_user(value, []),)
    if is_object(value):
        return _from_object(value)
    raise _wrong([], f"{EXPECTED}, not {in_short(value)}")


def read_text(data: bytes) -> str:
    """JSON input as text: of a conversation, what the user said last."""
    messages = read_messages(data)
    said = [each for each in messages if isinstance(each, UserMessage)]
    return text_of(said[-1]) if said else ""


def _from_object(value: Mapping[str, object]) -> tuple[Message, ...]:
    if "messages" in value:
        return _conversation(value["messages"])
    if "content" in value:
        return (_user(value["content"], ["content"]),)
    for name in ("prompt", "input"):
        if isinstance(text := value.get(name), str):
            return (UserMessage(content=text),)
    raise _wrong([], f"{EXPECTED}; an object with {', '.join(map(repr, value)) or 'no fields'} is none of these")


def _conversation(value: object) -> tuple[Message, ...]:
    if not is_list(value) or not value:
        raise _wrong(["messages"], "a list of at least one message is needed")
    return tuple(_message(each, ["messages", index]) for index, each in enumerate(value))


def _message(value: object, path: Sequence[str | int]) -> Message:
    if not is_object(value):
        raise _wrong(path, f"a message is an object with role and content, not {in_short(value)}")
    role = _ROLES.get(str(value.get("role")), value.get("role"))
    if role not in ("system", "user", "assistant", "tool"):
        raise _wrong([*path, "role"], f"a role is system, user, assistant or tool, not {in_short(role)}")
    fields = {name: each for name, each in value.items() if each is not None} | {"role": role}
    if role != "user":
        fields["content"] = _joined(fields.get("content"), [*path, "content"])
    return _converted(fields, path)


def _joined(content: object, path: Sequence[str | int]) -> object:
    """Content of a message that is text alone: its text parts as one text."""
    if content is None:
        return ""
    if not is_list(content):
        return content
    texts: list[str] = []
    for index, part in enumerate(content):
        text = part.get("text") if is_object(part) else None
        if not isinstance(text, str):
            raise _wrong([*path, index], "only text parts can stand here")
        texts.append(text)
    return "".join(texts)


def _user(content: object, path: Sequence[str | int]) -> Message:
    if isinstance(content, str):
        return UserMessage(content=content)
    try:
        return UserMessage(content=msgspec.convert(content, tuple[Part, ...]))
    except msgspec.ValidationError as error:
        raise _invalid(error, path) from None


def _converted(fields: Mapping[str, object], path: Sequence[str | int]) -> Message:
    try:
        return msgspec.convert(fields, Message)
    except msgspec.ValidationError as error:
        raise _invalid(error, path) from None


def _invalid(error: msgspec.ValidationError, path: Sequence[str | int]) -> InvalidRequest:
    placed = _PLACED.match(str(error))
    if placed is None:
        return _wrong(path, str(error))
    steps = [name or index for name, index in _STEP.findall(placed["path"] or "")]
    return _wrong([*path, *steps], placed["detail"])


def _wrong(path: Sequence[str | int], detail: str) -> InvalidRequest:
    problems = ((pointer(path), detail),)
    return InvalidRequest(f"the input is not usable: {in_words(problems)}", problems=problems)
