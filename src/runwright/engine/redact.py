"""Known secrets, taken out of all that a run records, whoever said it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec
from msgspec.structs import replace

from runwright.core.event import (
    ConversationLeft,
    CustomEmitted,
    Data,
    EventData,
    GuardDecided,
    HistoryCut,
    MemoryWritten,
    OutputRejected,
    ProgressReported,
    ReplayDiverged,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunTainted,
    RunWaiting,
    StepCharged,
    StepCompleted,
    StepFailed,
    StepResolved,
    StepStarted,
    ToolRejected,
)
from runwright.core.message import AssistantMessage, TextPart, ToolCall, said, said_raw
from runwright.core.redact import KnownSecrets
from runwright.core.run import ErrorInfo
from runwright.journal.write import Clean

SAID: Mapping[type[EventData], tuple[str, ...]] = {
    RunWaiting: ("detail",),
    RunFailed: ("error",),
    RunCancelled: ("reason",),
    RunInterrupted: ("reason",),
    RunTainted: ("reason",),
    StepCharged: ("ref",),
    StepCompleted: ("result",),
    StepFailed: ("error",),
    StepResolved: ("note",),
    ToolRejected: ("reason",),
    OutputRejected: ("reason",),
    HistoryCut: ("reason",),
    GuardDecided: ("reason",),
    ReplayDiverged: ("detail", "difference"),
    MemoryWritten: ("value",),
    ProgressReported: ("message",),
    ConversationLeft: ("messages",),
    CustomEmitted: ("value",),
}
"""The fields of events in which tools, code and people speak, but for those of `said_fields`."""


def said_fields(data: Data, *, is_code: bool) -> tuple[str, ...]:
    """The fields of an event in which known secrets may stand.

    What the caller sent and what a model answered stays: the run goes on with it. In a loop that is all that its
    messages and its output hold, while those of a code flow are what its code says.
    """
    match data:
        case StepStarted(kind="tool" | "memory" | "child" | "input"):
            return ("request",)
        case StepStarted():
            return ("messages",) if is_code else ()
        case RunCompleted():
            return ("output",) if is_code else ()
        case _:
            return SAID.get(type(data), ())


def cleaner(known: KnownSecrets, *, is_code: bool) -> Clean:
    """What takes the secrets out of the events of a run."""
    if not known:
        return lambda data: data

    def clean(data: Data) -> Data:
        fields = said_fields(data, is_code=is_code)
        return replace(data, **{name: _cleaned(known, getattr(data, name)) for name in fields}) if fields else data

    return clean


def _cleaned(known: KnownSecrets, value: object) -> object:
    if isinstance(value, str):
        return known.text(value)
    if isinstance(value, msgspec.Raw):
        held = bytes(value)
        told = known.json(held)
        return value if told == held else msgspec.Raw(told)
    if isinstance(value, ErrorInfo):
        return replace(value, message=known.text(value.message))
    return tuple(_message(known, raw) for raw in cast("tuple[msgspec.Raw, ...]", value))  # the only field of its kind


def _message(known: KnownSecrets, raw: msgspec.Raw) -> msgspec.Raw:
    """A message of which the texts are cleaned, and the rest is as the wire wants it."""
    held = bytes(raw)
    if known.json(held) == held:
        return raw
    message = said_raw(held).message
    content = message.content
    if isinstance(content, str):
        message = replace(message, content=known.text(content))
    elif content is not None:
        parts = (replace(p, text=known.text(p.text)) if isinstance(p, TextPart) else p for p in content)
        message = replace(message, content=tuple(parts))
    if isinstance(message, AssistantMessage):
        message = replace(message, tool_calls=tuple(_call(known, call) for call in message.tool_calls))
    return msgspec.Raw(said(message).raw)


def _call(known: KnownSecrets, call: ToolCall) -> ToolCall:
    arguments = known.json(call.arguments.encode()).decode()
    return replace(call, function=replace(call.function, arguments=arguments))
