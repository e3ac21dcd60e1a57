"""Events of a run, written down in few words, numbered as they come."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from runwright.core.event import (
    Data,
    Event,
    MessageCompleted,
    RunQueued,
    StepCompleted,
    StepFailed,
    StepResolved,
    StepRestarted,
    StepStarted,
)
from runwright.core.message import AssistantMessage, FunctionCall, Message, ToolCall, said, text_of
from runwright.core.run import ErrorInfo
from runwright.core.step import SUPERSEDED, Effect
from runwright.core.usage import Usage
from runwright.engine.fold import Conversation, fold, start
from tests.unit.engine.harness import read_text

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Tale:
    """Builds the events of one run."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, data: Data, step: int | None = None) -> int:
        """Add an event and give its number."""
        seq = len(self.events) + 1
        self.events.append(Event("run_1", seq, NOW, data, seq if isinstance(data, StepStarted) else step))
        return seq

    def asked(self, text: str = "hi") -> Tale:
        """The run was created with this input."""
        self.tell(RunQueued(agent="a", version="1", input=msgspec.Raw(msgspec.json.encode(text))))
        return self

    def model(self, answer: AssistantMessage | str | None = None, *, key: str = "m", tokens: int = 10) -> int:
        """A model step, answered if there is an answer."""
        base = next((e.seq for e in reversed(self.events) if _is_model(e)), None)
        messages = () if base else tuple(msgspec.Raw(entry.raw) for entry in self.folded().messages)
        step = self.tell(StepStarted(kind="model", name="test:m", key=key, base=base, messages=messages))
        if answer is not None:
            message = AssistantMessage(content=answer) if isinstance(answer, str) else answer
            self.tell(MessageCompleted(message=msgspec.Raw(said(message).raw)), step)
            self.tell(StepCompleted(usage=Usage(input_tokens=tokens, requests=1), finish_reason="stop"), step)
        return step

    def tool(self, call_id: str, *, effect: Effect = "read", key: str = "t", nth: int = 0) -> int:
        """A tool step that began."""
        return self.tell(StepStarted(kind="tool", name="act", key=key, nth=nth, effect=effect, call_id=call_id))

    def done(self, step: int, result: object = "ok") -> None:
        """A tool step ended well."""
        self.tell(StepCompleted(result=msgspec.Raw(msgspec.json.encode(result))), step)

    def failed(self, step: int, message: str = "no", *, is_unknown: bool = False) -> None:
        """A step ended badly."""
        self.tell(StepFailed(error=ErrorInfo(code="tool_failed", message=message), is_unknown=is_unknown), step)

    def superseded(self, step: int) -> None:
        """A model step that was in flight gave way to another request."""
        self.tell(StepFailed(error=ErrorInfo(code=SUPERSEDED, message="another request")), step)

    def restarted(self, step: int, attempt: int = 2) -> None:
        """A step began again."""
        self.tell(StepRestarted(attempt=attempt), step)

    def resolved(self, step: int, action: str) -> None:
        """A person spoke."""
        self.tell(msgspec.convert({"type": "step.resolved", "action": action}, StepResolved), step)

    def folded(self) -> Conversation:
        """Where the loop stands."""
        return fold(start(), self.events, read_text)


def _is_model(event: Event) -> bool:
    return isinstance(event.data, StepStarted) and event.data.kind == "model"


def wants(*calls: tuple[str, str]) -> AssistantMessage:
    """A message with tool calls: pairs of id and arguments, all of the tool `act`."""
    return AssistantMessage(
        tool_calls=tuple(ToolCall(id=id, function=FunctionCall(name="act", arguments=text)) for id, text in calls)
    )


def texts(conversation: Conversation) -> list[str]:
    """The conversation as lines of role and text."""
    return [f"{_role(entry.message)}: {text_of(entry.message)}" for entry in conversation.messages]


def _role(message: Message) -> str:
    role = type(message).__struct_config__.tag
    assert isinstance(role, str)
    return role
