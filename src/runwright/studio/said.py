"""What was said in a model step, read from its request and result so that a template can show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from runwright.core.event import NULL
from runwright.core.message import AssistantMessage, AudioPart, FilePart, ImagePart, Message, Part, TextPart, said_raw
from runwright.service.views import StepView

Raw: TypeAlias = msgspec.Raw
LONG_CHAIN = 40
"""Messages of a request that stand on a page; those in between are counted."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that a model asked for; `arguments` are as the model wrote them."""

    id: str
    name: str
    arguments: str


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message: who says it, its text, what is no text by its kind, and the tool calls it asks for."""

    role: str
    text: str
    parts: Sequence[str] = ()
    calls: Sequence[Asked] = ()
    reasoning: str | None = None


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """The messages of a model's request and its answer. `left_out` messages stand between `first` and `last`."""

    first: Sequence[Said]
    last: Sequence[Said]
    left_out: int
    answer: Said | None
    settings: dict[str, Raw]
    tools: Sequence[str]


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _Offered(msgspec.Struct, frozen=True):
    function: _Function = _Function()


class _Answer(msgspec.Struct, frozen=True):
    message: Raw = NULL
    reasoning: str | None = None


def read_conversation(step: StepView) -> Conversation:
    """The conversation of a model step."""
    whole = msgspec.json.decode(step.request if step.request != NULL else b"{}", type=dict[str, Raw])
    messages = msgspec.json.decode(whole.get("messages", b"[]"), type=tuple[Raw, ...])
    first = messages if len(messages) <= LONG_CHAIN else messages[: LONG_CHAIN // 2]
    last = messages[len(first) :][-(LONG_CHAIN // 2) :]
    return Conversation(
        first=[_said(raw) for raw in first],
        last=[_said(raw) for raw in last],
        left_out=len(messages) - len(first) - len(last),
        answer=_answer(step),
        settings={name: value for name, value in whole.items() if name not in {"messages", "tools"}},
        tools=_tools(whole.get("tools")),
    )


def _tools(raw: Raw | None) -> Sequence[str]:
    if raw is None or raw == NULL:
        return ()
    return [tool.function.name for tool in msgspec.json.decode(raw, type=tuple[_Offered, ...])]


def _answer(step: StepView) -> Said | None:
    if step.result == NULL:
        return None
    found = msgspec.json.decode(step.result, type=_Answer)
    if found.message == NULL:
        return None
    return msgspec.structs.replace(_said(found.message), reasoning=found.reasoning or None)


def _said(raw: Raw) -> Said:
    message: Message = said_raw(bytes(raw)).message
    content = message.content
    parts: Sequence[Part] = () if content is None or isinstance(content, str) else content
    text = content if isinstance(content, str) else "\n".join(part.text for part in parts if isinstance(part, TextPart))
    calls = message.tool_calls if isinstance(message, AssistantMessage) else ()
    return Said(
        role=str(message.__struct_config__.tag),
        text=text,
        parts=[_named(part) for part in parts if not isinstance(part, TextPart)],
        calls=[Asked(id=call.id, name=call.name, arguments=call.arguments) for call in calls],
    )


def _named(part: ImagePart | AudioPart | FilePart) -> str:
    """What is no text, in words: a picture is not fetched, for that would tell its server who reads."""
    if isinstance(part, ImagePart):
        url = part.image_url.url
        return f"picture, {len(url)} characters of data" if url.startswith("data:") else f"picture {url}"
    if isinstance(part, AudioPart):
        return f"audio ({part.input_audio.format})"
    return f"file {part.file.filename or part.file.file_id or ''}".rstrip()
