"""Known secrets in what runs record."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from msgspec.structs import fields

from runwright.core.event import (
    CustomEmitted,
    Data,
    EventData,
    GuardDecided,
    HistoryCut,
    MemoryWritten,
    MessageCompleted,
    MessageDelta,
    ProgressReported,
    ReasoningDelta,
    RunCompleted,
    RunFailed,
    RunQueued,
    RunStarted,
    StepCompleted,
    StepResolved,
    StepStarted,
    ToolArgsDelta,
    ToolRejected,
)
from runwright.core.message import (
    AssistantMessage,
    FunctionCall,
    ImagePart,
    ImageUrl,
    Message,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    said,
)
from runwright.core.redact import KnownSecrets
from runwright.core.run import ErrorInfo
from runwright.engine.redact import cleaner, said_fields

KNOWN = KnownSecrets(["user"])
"""Also a word of the wire, which has to stay there."""

TOLD = msgspec.Raw(b'{"user":"a user"}')
CLEAN = msgspec.Raw(b'{"[redacted]":"a [redacted]"}')
KEPT: dict[type[EventData], set[str]] = {
    RunQueued: {"agent", "version", "input", "config"},
    RunStarted: {"thread_head"},
    RunCompleted: {"finish_reason"},
    StepStarted: {"name", "key", "lane", "call_id", "tools"},
    StepCompleted: {"model", "provider", "finish_reason", "response_id"},
    StepResolved: {"by", "arguments"},
    MessageDelta: {"text"},
    ReasoningDelta: {"text"},
    ToolArgsDelta: {"call_id", "name", "arguments"},
    MessageCompleted: {"message", "reasoning", "original"},
    ToolRejected: {"call_id", "name"},
    HistoryCut: {"summary"},
    GuardDecided: {"target", "action"},
    MemoryWritten: {"owner", "name"},
    ProgressReported: {"lane"},
    CustomEmitted: {"name"},
}
"""Names, and words that the run goes on with: those of the caller, of the definition and of models."""

WORDS = (str, str | None, msgspec.Raw, tuple[msgspec.Raw, ...], ErrorInfo)


@pytest.mark.parametrize("kind", get_args(Data))
def test_no_field_is_forgotten(kind: type[Any]) -> None:
    """Each field of an event that can hold words is cleaned, or is named here as one that stays."""
    required: dict[str, Any] = {field.name: "" for field in fields(kind) if field.required}
    kinds: list[dict[str, Any]] = [{"kind": "tool"}, {"kind": "model"}] if kind is StepStarted else [{}]
    events: list[Any] = [kind(**required | given) for given in kinds]
    cleaned = {field for event in events for field in said_fields(event, is_code=True)}
    wordy = {field.name for field in fields(kind) if field.type in WORDS}
    assert cleaned == wordy - KEPT.get(kind, set())


@pytest.mark.parametrize("is_code", [False, True])
@pytest.mark.parametrize(
    ("data", "field", "told"),
    [
        (StepStarted(kind="tool", name="user", key="k", request=TOLD), "request", CLEAN),
        (StepCompleted(result=TOLD, model="user"), "result", CLEAN),
        (ProgressReported(message="a user"), "message", "a [redacted]"),
        (
            RunFailed(error=ErrorInfo(code="user", message="a user")),
            "error",
            ErrorInfo(code="user", message="a [redacted]"),
        ),
    ],
)
def test_what_tools_and_code_say_is_cleaned(data: Data, field: str, told: object, *, is_code: bool) -> None:
    """Words and JSON lose the secret, in loops and in code flows; names stay."""
    assert cleaner(KNOWN, is_code=is_code)(data) == msgspec.structs.replace(data, **{field: told})


def test_the_output_is_that_of_code_or_of_a_model() -> None:
    """What a code flow returns is cleaned; the output of a loop is what its model answered, and was streamed before."""
    data = RunCompleted(output=TOLD)
    assert cleaner(KNOWN, is_code=True)(data) == RunCompleted(output=CLEAN)
    assert cleaner(KNOWN, is_code=False)(data) is data


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (UserMessage(content="a user"), UserMessage(content="a [redacted]")),
        (ToolMessage(tool_call_id="user", content="a user"), ToolMessage(tool_call_id="user", content="a [redacted]")),
        (
            UserMessage(content=(TextPart(text="user"), ImagePart(image_url=ImageUrl(url="x")))),
            UserMessage(content=(TextPart(text="[redacted]"), ImagePart(image_url=ImageUrl(url="x")))),
        ),
        (
            AssistantMessage(
                tool_calls=(ToolCall(id="user", function=FunctionCall(name="user", arguments='{"a":"user"}')),)
            ),
            AssistantMessage(
                tool_calls=(ToolCall(id="user", function=FunctionCall(name="user", arguments='{"a":"[redacted]"}')),)
            ),
        ),
    ],
)
def test_what_code_says_to_a_model_is_cleaned(message: Message, told: Message) -> None:
    """Messages of a code flow lose the secret in their texts and stay messages; those of a loop are left."""
    data = StepStarted(kind="model", name="m", key="k", messages=(msgspec.Raw(said(message).raw),))
    cleaned = StepStarted(kind="model", name="m", key="k", messages=(msgspec.Raw(said(told).raw),))
    assert cleaner(KNOWN, is_code=True)(data) == cleaned
    assert cleaner(KNOWN, is_code=False)(data) is data


def test_without_secrets_nothing_is_looked_at() -> None:
    """Where no secret is known, an event is recorded as it is."""
    data = StepCompleted(result=TOLD)
    assert cleaner(KnownSecrets(), is_code=True)(data) is data
