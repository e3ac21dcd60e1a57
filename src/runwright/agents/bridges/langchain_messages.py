"""Messages, requests and answers in the types of LangChain, and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
    convert_to_openai_messages,
    message_chunk_to_message,
    message_to_dict,
    messages_from_dict,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.runnables import Runnable

from runwright.agents.input import read_messages
from runwright.core import message as ours
from runwright.core.message import Message, UserMessage
from runwright.core.model import (
    ModelEvent,
    ModelOptions,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    OutputSpec,
    ResponseCompleted,
    TextDelta,
    ToolCallDelta,
    ToolSpec,
)
from runwright.core.usage import Usage
from runwright.errors import InvalidRequest, ModelError, ProviderUnavailable
from runwright.models.wire_errors import error_class

CHOICES: Final[Mapping[object, str]] = {"any": "required", True: "required"}
"""What LangChain says of which tool is called, in our words where they differ."""

_SETTINGS = frozenset(ModelSettings.__struct_fields__) - {"extra"}


def our_messages(messages: Iterable[BaseMessage]) -> tuple[Message, ...]:
    """A conversation as ours. Raises InvalidRequest where a model cannot be sent what stands in it."""
    return tuple(map(_our_message, messages))


def _our_message(message: BaseMessage) -> Message:
    match message:
        case HumanMessage(content=str() as text):
            return UserMessage(content=text)
        case HumanMessage():
            (read,) = read_messages(msgspec.json.encode({"messages": convert_to_openai_messages([message])}))
            return read
        case SystemMessage():
            return ours.SystemMessage(content=str(message.text))
        case AIMessage():
            return _our_answer(message)
        case ToolMessage():
            return ours.ToolMessage(tool_call_id=message.tool_call_id, content=str(message.text))
        case _:
            raise InvalidRequest(f"a message of the type {message.type!r} cannot be sent: use human, ai or tool")


def _our_answer(answer: AIMessage) -> ours.AssistantMessage:
    calls = [(call["id"], call["name"], msgspec.json.encode(call["args"]).decode()) for call in answer.tool_calls]
    calls += [(call["id"], call["name"] or "", call["args"] or "") for call in answer.invalid_tool_calls]
    made = (
        ours.ToolCall(id=id or "", function=ours.FunctionCall(name=name, arguments=args)) for id, name, args in calls
    )
    return ours.AssistantMessage(content=str(answer.text) or None, tool_calls=tuple(made))


def their_messages(messages: Iterable[Message]) -> list[BaseMessage]:
    """A conversation as theirs."""
    return [_their_message(message) for message in messages]


def _their_message(message: Message) -> BaseMessage:
    match message:
        case UserMessage(content=content):
            return HumanMessage(content if isinstance(content, str) else msgspec.to_builtins(content))
        case ours.SystemMessage(content=content):
            return SystemMessage(content)
        case ours.ToolMessage(content=content, tool_call_id=call):
            return ToolMessage(content, tool_call_id=call)
        case ours.AssistantMessage():
            return _their_answer(message)


def _their_answer(message: ours.AssistantMessage) -> AIMessage:
    calls: list[ToolCall] = []
    wrong: list[InvalidToolCall] = []
    for call in message.tool_calls:
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
            calls.append(tool_call(name=call.name, args=arguments, id=call.id))
        except msgspec.DecodeError as error:
            wrong.append(invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=str(error)))
    return AIMessage(message.content or "", tool_calls=calls, invalid_tool_calls=wrong)


def our_options(given: Mapping[str, object], stop: Sequence[str] | None) -> ModelOptions:
    """What goes with a request as ours: `tools`, `tool_choice` and `response_format` are in the shape of OpenAI."""
    sent = {name: value for name, value in given.items() if value is not None}
    tools = tuple(_our_tool(each) for each in cast("list[dict[str, Any]]", sent.pop("tools", [])))
    choice = sent.pop("tool_choice", None)
    shape = sent.pop("response_format", None)
    plain = {name: sent.pop(name) for name in _SETTINGS & sent.keys()}
    if stop:
        plain["stop"] = tuple(stop)
    return ModelOptions(
        tools=tools,
        tool_choice=_our_choice(choice) if tools else None,
        output=_our_output(cast("dict[str, Any]", shape)) if isinstance(shape, dict) else None,
        settings=msgspec.convert({**plain, "extra": sent}, ModelSettings),
    )


def _our_tool(tool: dict[str, Any]) -> ToolSpec:
    function = tool["function"]
    return ToolSpec(
        name=function["name"], description=function.get("description", ""), parameters=function.get("parameters", {})
    )


def _our_choice(choice: object) -> str | None:
    if isinstance(choice, dict):
        return cast("dict[str, Any]", choice)["function"]["name"]
    return CHOICES.get(choice) or (choice if isinstance(choice, str) else None)


def _our_output(shape: dict[str, Any]) -> OutputSpec | None:
    told = shape.get("json_schema")
    return None if told is None else OutputSpec(name=told.get("name", "output"), schema=told.get("schema", {}))


def their_answer(answer: ModelResponse) -> AIMessage:
    """An answer as theirs: its original, where that says more."""
    if answer.original:
        (found,) = messages_from_dict([msgspec.json.decode(answer.original)])
        return cast("AIMessage", found)
    found, usage = _their_answer(answer.message), answer.usage
    found.usage_metadata = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    found.response_metadata = {
        "finish_reason": answer.finish_reason,
        "model_name": answer.model,
        "model_provider": answer.provider,
    }
    return found


class TheirOwn:
    """One request to a model of theirs, which its own class performs. `ref` names it in policies and prices."""

    def __init__(
        self, ref: str, model: BaseChatModel, asked: Sequence[BaseMessage], *, given: Mapping[str, Any]
    ) -> None:
        self.ref = ref
        self._asked = [*asked]
        tools = given.get("tools")
        # Each class has a form of its own for tools, and makes it of OpenAI's.
        self._model: Runnable[Any, AIMessage] = model.bind_tools(**given) if tools else model.bind(**given)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask. Raises ModelError."""
        whole: AIMessage | None = None
        try:
            async for piece in self._pieces(is_streamed=request.is_streamed):
                for delta in _deltas(piece) if request.is_streamed else ():
                    yield delta
                # Pieces that are several can be added.
                whole = piece if whole is None else cast("Any", whole) + piece
        except Exception as error:
            raise _our_error(error, self.ref) from error
        yield ResponseCompleted(_our_response(whole or AIMessage(""), self.ref))

    async def _pieces(self, *, is_streamed: bool) -> AsyncGenerator[AIMessage]:
        if not is_streamed:
            yield await self._model.ainvoke(self._asked)
            return
        async for piece in self._model.astream(self._asked):
            yield piece


def _deltas(piece: AIMessage) -> Iterable[ModelEvent]:
    if piece.text:
        yield TextDelta(str(piece.text))
    # A class that cannot stream gives its answer whole.
    for part in piece.tool_call_chunks if isinstance(piece, AIMessageChunk) else ():
        yield ToolCallDelta(part["index"] or 0, part["id"] or "", part["name"] or "", part["args"] or "")


def _our_error(error: Exception, ref: str) -> ModelError:
    """What a model class raised, which is what its provider's library has: its status says what it means."""
    status: object = getattr(error, "status_code", None)
    kind = error_class(status) if isinstance(status, int) else ProviderUnavailable
    return kind(f"{ref}: {type(error).__name__}: {error}")


def _our_response(piece: AIMessage, ref: str) -> ModelResponse:
    provider, _, model = ref.partition(":")
    answer = cast("AIMessage", message_chunk_to_message(piece))
    said = answer.response_metadata
    is_plain = isinstance(answer.content, str) and not answer.additional_kwargs
    return ModelResponse(
        message=_our_answer(answer),
        finish_reason=str(said.get("finish_reason") or ("tool_calls" if answer.tool_calls else "stop")),
        usage=_our_usage(answer),
        model=str(said.get("model_name") or model),
        provider=provider,
        original=b"" if is_plain else msgspec.json.encode(message_to_dict(answer)),
    )


def _our_usage(answer: AIMessage) -> Usage:
    told = answer.usage_metadata
    if told is None:
        return Usage(requests=1)
    read, thought = told.get("input_token_details", {}), told.get("output_token_details", {})
    return Usage(
        input_tokens=told["input_tokens"],
        output_tokens=told["output_tokens"],
        cached_input_tokens=read.get("cache_read", 0),
        cache_write_tokens=read.get("cache_creation", 0),
        reasoning_tokens=thought.get("reasoning", 0),
        requests=1,
    )
