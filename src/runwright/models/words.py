"""Words of a request and what they have in common with a tool."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from runwright.core.message import AssistantMessage, Message, ToolMessage, UserMessage, text_of
from runwright.core.model import ModelRequest, ToolSpec

_STOP = frozenset(
    re.findall(
        r"\w+",
        """a an and any are at by can do does for from get give has have how i in is it its let me my of on one or
        our please say so some tell that the their there this to two up us want was we what when where which who will
        with you your string number integer value name text object array boolean""",
    )
)


def words(text: str) -> frozenset[str]:
    """The telling words of a text, in lower case, without plural endings."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower()
    found = re.findall(r"[^\W_]+", spaced)
    return frozenset(word.rstrip("s") for word in found if word not in _STOP and len(word) > 1)


def tool_words(tool: ToolSpec) -> frozenset[str]:
    """The telling words of a tool's name, description and parameter names."""
    return words(" ".join([tool.name, tool.description, *properties_of(tool.parameters)]))


def overlap(text: str, tool: ToolSpec) -> int:
    """How many telling words a text shares with a tool; a word of its name counts twice."""
    said = words(text)
    return len(said & tool_words(tool)) + len(said & words(tool.name))


def properties_of(schema: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    """The properties of an object schema; a property that is no schema object counts as an empty one."""
    properties = cast("dict[str, object]", schema.get("properties") or {})
    return {
        name: cast("dict[str, Any]", value) if isinstance(value, dict) else {} for name, value in properties.items()
    }


def last_user_text(request: ModelRequest) -> str:
    """What the user said last."""
    for entry in reversed(request.messages):
        if isinstance(entry.message, UserMessage):
            return text_of(entry.message)
    return ""


def last_results(request: ModelRequest) -> list[str]:
    """The tool results that the conversation ends with, in order."""
    results: list[str] = []
    for entry in reversed(request.messages):
        message: Message = entry.message
        if not isinstance(message, ToolMessage):
            break
        results.append(message.content)
    return results[::-1]


def calls_before(request: ModelRequest) -> int:
    """How many tool calls the conversation holds; the next one's id is counted from here."""
    found = (entry.message for entry in request.messages)
    return sum(len(message.tool_calls) for message in found if isinstance(message, AssistantMessage))
