"""Public fakes: a clock, a scripted model, scripted tools. They satisfy the same ports as the real parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from runwright.core.agent import Approval
from runwright.core.context import Context
from runwright.core.message import AssistantMessage, FunctionCall, ToolCall, text_of
from runwright.core.model import (
    ModelEvent,
    ModelRequest,
    ModelResponse,
    ResponseCompleted,
    TextDelta,
    ToolCallDelta,
    ToolSpec,
)
from runwright.core.ports import Model
from runwright.core.step import Effect
from runwright.core.usage import Usage
from runwright.errors import ConfigError, InvalidRequest


class Silence(msgspec.Struct, frozen=True):
    """No answer for that many seconds."""

    duration_s: float


Answer = str | AssistantMessage | Exception | Silence
"""What a scripted model does: say a text, give a message, raise, or stay silent first."""


class FakeClock:
    """A clock that only moves when told, or when somebody sleeps on it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed = 0.0

    def now(self) -> datetime:
        """The present time of this clock."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    def advance(self, duration_s: float) -> None:
        """Move on by that many seconds."""
        self._elapsed += duration_s
        self._now += timedelta(seconds=duration_s)

    async def sleep(self, duration_s: float) -> None:
        """Move on at once."""
        self.advance(duration_s)
        await asyncio.sleep(0)


def calls(*wanted: tuple[str, Mapping[str, object]]) -> AssistantMessage:
    """An answer that calls tools: pairs of name and arguments."""
    return AssistantMessage(
        tool_calls=tuple(
            ToolCall(
                id=f"call_{index}",
                function=FunctionCall(name=name, arguments=msgspec.json.encode(arguments).decode()),
            )
            for index, (name, arguments) in enumerate(wanted)
        )
    )


class ScriptedModel:
    """A model that gives its answers in order, or those of a function of the request. Keeps the requests it got."""

    def __init__(
        self, *answers: Answer, ref: str = "test:scripted", by: Callable[[ModelRequest], Answer] | None = None
    ) -> None:
        self._answers = list(answers)
        self._by = by
        self.ref = ref
        self.requests: list[ModelRequest] = []

    def then(self, *answers: Answer) -> None:
        """Give these answers from now on, in place of those that are left."""
        self._answers = list(answers)

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Answer, word by word when deltas are asked for."""
        self.requests.append(request)
        answer = self._next(request)
        while isinstance(answer, Silence):
            await asyncio.sleep(answer.duration_s)
            answer = self._next(request)
        if isinstance(answer, Exception):
            raise answer
        message = AssistantMessage(content=answer) if isinstance(answer, str) else answer
        if request.is_streamed:
            for delta in _deltas(message):
                yield delta
                await asyncio.sleep(0)
        yield ResponseCompleted(_response(self.ref, request, message))

    def _next(self, request: ModelRequest) -> Answer:
        if self._by is not None:
            return self._by(request)
        if not self._answers:
            raise AssertionError("the scripted model has no answer left")
        return self._answers.pop(0)


def _deltas(message: AssistantMessage) -> list[ModelEvent]:
    words = (message.content or "").split(" ")
    deltas: list[ModelEvent] = [
        TextDelta(word if index == 0 else f" {word}") for index, word in enumerate(words) if word or index
    ]
    for index, call in enumerate(message.tool_calls):
        deltas.append(ToolCallDelta(index=index, id=call.id, name=call.name))
        deltas.append(ToolCallDelta(index=index, arguments=call.arguments))
    return deltas


def _response(ref: str, request: ModelRequest, message: AssistantMessage) -> ModelResponse:
    asked = sum(len(text_of(entry.message).split()) for entry in request.messages)
    provider, _, name = ref.partition(":")
    return ModelResponse(
        message=message,
        finish_reason="tool_calls" if message.tool_calls else "stop",
        usage=Usage(input_tokens=asked, output_tokens=len((message.content or "").split()) + 1, requests=1),
        model=name,
        provider=provider,
    )


class FixedModels:
    """The Models port over models given beforehand; the first one is the default."""

    def __init__(self, *models: Model) -> None:
        self._models = {model.ref: model for model in models}
        self._default = models[0]

    def ref(self, ref: str | None) -> str:
        """The reference, or that of the first model."""
        return self._default.ref if ref is None else ref

    def resolve(self, ref: str | None) -> Model:
        """A model by reference. Raises ConfigError."""
        if ref is None:
            return self._default
        if ref not in self._models:
            raise ConfigError(f"There is no model {ref!r}; known are {', '.join(self._models)}.")
        return self._models[ref]


class NoSecrets:
    """The Secrets port without any secret."""

    def get(self, name: str) -> str:
        """Raises ConfigError."""
        raise ConfigError(f"The secret {name!r} is not set.")


class ScriptedTool:
    """A tool that does what a function says with its arguments, and counts how often it was entered."""

    def __init__(
        self, name: str, act: Callable[[Mapping[str, object]], object], *, effect: Effect = "read", delay_s: float = 0.0
    ) -> None:
        self.spec = ToolSpec(name=name, description=f"The tool {name}.", parameters={"type": "object"})
        self.effect: Effect = effect
        self.timeout_s: float | None = None
        self.fingerprint = name
        self.approval: Approval | None = None
        self.entered: list[Mapping[str, object]] = []
        self.keys: list[str] = []
        self._act = act
        self._delay_s = delay_s

    def check(self, arguments: str) -> Mapping[str, object]:
        """Any JSON object will do. Raises InvalidRequest."""
        try:
            return msgspec.json.decode(arguments, type=dict[str, object])
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"the arguments are no JSON object: {error}") from error

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Do it."""
        self.entered.append(arguments)
        self.keys.append(context.idempotency_key)
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        return msgspec.json.encode(self._act(arguments))


def tools_raw(tools: Sequence[ScriptedTool]) -> bytes:
    """The OpenAI `tools` array of some tools."""
    return msgspec.json.encode([{"type": "function", "function": msgspec.to_builtins(tool.spec)} for tool in tools])
