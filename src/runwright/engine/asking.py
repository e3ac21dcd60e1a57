"""How a model call stands in the record: what was asked, and what the answer was."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from runwright.core.event import MessageCompleted, StepCompleted, StepStarted
from runwright.core.message import AssistantMessage, Message, Said, SystemMessage, UserMessage, said
from runwright.core.model import ModelOptions, ModelRequest, ModelResponse, tools_wire
from runwright.core.money import Cost
from runwright.core.step import StepKey
from runwright.core.usage import NO_USAGE

_NULL = msgspec.Raw(b"null")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model step's request without its messages and tools, as it is recorded."""

    model: str
    settings: msgspec.Raw
    tool_choice: str | None = None
    output: msgspec.Raw = _NULL


def to_send(messages: str | Sequence[Message], instructions: str) -> tuple[Said, ...]:
    """What a flow says to a model, encoded."""
    asked: Sequence[Message] = (UserMessage(content=messages),) if isinstance(messages, str) else messages
    system = (SystemMessage(content=instructions),) if instructions else ()
    return tuple(said(message) for message in (*system, *asked))


def flow_request(ref: str, messages: tuple[Said, ...], options: ModelOptions, *, is_streamed: bool) -> ModelRequest:
    """A flow's request to a model."""
    return ModelRequest(
        model=ref,
        messages=messages,
        tools=options.tools,
        tools_raw=tools_wire(options.tools),
        tool_choice=options.tool_choice,
        output=options.output,
        settings=options.settings,
        is_streamed=is_streamed,
    )


def asked(request: ModelRequest, match: StepKey, *, base: int | None, fresh: tuple[Said, ...]) -> StepStarted:
    """How a model step begins."""
    return StepStarted(
        kind="model",
        name=request.model,
        key=match.key,
        lane=match.lane,
        nth=match.nth,
        request=_manifest(request),
        base=base,
        messages=tuple(msgspec.Raw(entry.raw) for entry in fresh),
        tools=msgspec.Raw(request.tools_raw or b"null") if base is None else _NULL,
    )


def completed(response: ModelResponse, cost: Cost) -> tuple[MessageCompleted, StepCompleted]:
    """How a model step ends that got its answer."""
    message = message_of(response)
    end = StepCompleted(
        model=response.model,
        provider=response.provider,
        finish_reason=response.finish_reason,
        response_id=response.response_id,
        usage=response.usage,
        cost=cost,
    )
    return message, end


def message_of(response: ModelResponse) -> MessageCompleted:
    """An answer as it is recorded."""
    message = MessageCompleted(message=msgspec.Raw(said(response.message).raw), reasoning=response.reasoning)
    return replace(message, original=msgspec.Raw(response.original)) if response.original else message


def received(response: ModelResponse, seq: int, *, is_cached: bool) -> ModelResponse:
    """An answer as a step gives it: what an earlier call used is told by the guard, and not counted twice."""
    usage = NO_USAGE if is_cached else response.usage
    return replace(response, message=_distinct(response.message, seq), usage=usage)


def _distinct(message: AssistantMessage, seq: int) -> AssistantMessage:
    """Tool calls with ids of their own: some servers leave ids out or give the same one twice."""
    calls = message.tool_calls
    ids = [call.id for call in calls]
    if all(ids) and len(set(ids)) == len(ids):
        return message
    named = tuple(replace(call, id=f"call_{seq}_{index}") for index, call in enumerate(calls))
    return replace(message, tool_calls=named)


def _manifest(request: ModelRequest) -> msgspec.Raw:
    output = _NULL if request.output is None else msgspec.Raw(msgspec.json.encode(request.output))
    return msgspec.Raw(
        msgspec.json.encode(
            Manifest(
                model=request.model,
                settings=msgspec.Raw(msgspec.json.encode(request.settings)),
                tool_choice=request.tool_choice,
                output=output,
            )
        )
    )
