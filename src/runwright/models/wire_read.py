"""Reading chat completions: lean wire structs, and pieces put together to a whole answer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runwright.core.message import AssistantMessage, FunctionCall, Said, ToolCall
from runwright.core.model import (
    ModelEvent,
    ModelResponse,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from runwright.core.usage import Usage

CHARACTERS_PER_TOKEN = 4


class WireFunction(msgspec.Struct, gc=False):
    """Name and arguments, or pieces of them. Some servers send arguments as an object."""

    name: str | None = None
    arguments: str | dict[str, object] | None = None


class WireCall(msgspec.Struct, gc=False):
    """A tool call or a fragment of one."""

    index: int | None = None
    id: str | None = None
    function: WireFunction | None = None


class WirePart(msgspec.Struct, gc=False):
    """A part of content sent as a list (Mistral's reasoning models)."""

    type: str = "text"
    text: str = ""
    thinking: str | list[WirePart] = ""


class WireMessage(msgspec.Struct, gc=False):
    """A message or a delta. Reasoning has two names in the wild."""

    content: str | list[WirePart] | None = None
    tool_calls: list[WireCall] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class WireChoice(msgspec.Struct, gc=False):
    """A choice of a chunk (delta) or of a whole answer (message)."""

    delta: WireMessage | None = None
    message: WireMessage | None = None
    finish_reason: str | None = None


class InputDetails(msgspec.Struct, gc=False):
    """Parts of the input tokens."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """Parts of the output tokens."""

    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct, gc=False):
    """Usage under OpenAI's names; DeepSeek counts cache hits under a name of its own."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class WireAnswer(msgspec.Struct, gc=False):
    """A whole answer, or one chunk of a streamed one, without its id and model."""

    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
    error: object = None


class WireHead(msgspec.Struct, gc=False):
    """Who answers; the same in every chunk, so only the first is read for it."""

    id: str | None = None
    model: str | None = None


read_answer = msgspec.json.Decoder(WireAnswer).decode
read_head = msgspec.json.Decoder(WireHead).decode


class Call:
    """A tool call that grows."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class Assembler:
    """Puts the chunks of an answer together and gives a delta for each new piece."""

    __slots__ = ("calls", "finish_reason", "id", "is_done", "model", "reasoning", "text", "usage")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, Call] = {}
        self.finish_reason: str | None = None
        self.is_done = False
        self.usage: WireUsage | None = None
        self.id = ""
        self.model = ""

    def add(self, answer: WireAnswer) -> Sequence[ModelEvent]:
        """Take a chunk. Only the first choice counts: more than one is never asked for."""
        if answer.usage is not None:
            self.usage = answer.usage
        if not answer.choices:
            return ()
        choice = answer.choices[0]
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason
        self.is_done = self.is_done or choice.message is not None
        message = choice.delta or choice.message
        if message is None:
            return ()
        if type(message.content) is str and not (message.tool_calls or message.reasoning_content or message.reasoning):
            return self._add_text(message.content)
        return self._add_message(message)

    def _add_text(self, text: str) -> Sequence[ModelEvent]:
        if not text:
            return ()
        self.text.append(text)
        return (TextDelta(text),)

    def _add_message(self, message: WireMessage) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        thought = message.reasoning_content or message.reasoning
        if thought:
            events.append(self._add_thought(thought))
        if isinstance(message.content, list):
            for part in message.content:
                thought = _thought_of(part)
                if thought:
                    events.append(self._add_thought(thought))
                events.extend(self._add_text(part.text))
        else:
            events.extend(self._add_text(message.content or message.refusal or ""))
        for call in message.tool_calls or ():
            events.append(self._add_call(call))
        return events

    def _add_thought(self, text: str) -> ReasoningDelta:
        self.reasoning.append(text)
        return ReasoningDelta(text)

    def _add_call(self, part: WireCall) -> ToolCallDelta:
        index = self._index_of(part)
        call = self.calls.get(index)
        if call is None:
            call = self.calls[index] = Call()
        call_id, name, arguments = "", "", ""
        function = part.function
        # The first fragment carries id and name; some servers repeat them in every fragment.
        if not call.name and function is not None and function.name:
            name = call.name = function.name
            call_id = call.id = part.id or f"call_{index}"
        if function is not None and function.arguments:
            arguments = _as_text(function.arguments)
            call.arguments.append(arguments)
        return ToolCallDelta(index, call_id, name, arguments)

    def _index_of(self, part: WireCall) -> int:
        """The index; without one, a known id goes on with its call and a new id begins the next one."""
        if part.index is not None:
            return part.index
        for index, call in self.calls.items():
            if part.id and call.id == part.id:
                return index
        if part.id or not self.calls:
            return len(self.calls)
        return max(self.calls)

    def response(self, provider: str, model: str, messages: Sequence[Said]) -> ModelResponse:
        """The whole answer. Usage is estimated from the messages where the provider reports none."""
        calls = tuple(
            ToolCall(
                id=call.id or f"call_{index}",
                function=FunctionCall(name=call.name, arguments="".join(call.arguments) or "{}"),
            )
            for index, call in sorted(self.calls.items())
        )
        text = "".join(self.text)
        reasoning = "".join(self.reasoning)
        said_text = text if text or not calls else None
        usage = self._usage()
        if usage is None:
            written = text + reasoning + "".join(call.arguments for call in calls)
            usage = estimated_usage(messages, written)
        return ModelResponse(
            message=AssistantMessage(content=said_text, tool_calls=calls),
            reasoning=reasoning or None,
            finish_reason=finish_reason(self.finish_reason, has_calls=bool(calls)),
            usage=usage,
            model=self.model or model,
            provider=provider,
            response_id=self.id,
        )

    def _usage(self) -> Usage | None:
        usage = self.usage
        if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
            return None
        inputs, outputs = usage.prompt_tokens_details, usage.completion_tokens_details
        cached = inputs.cached_tokens if inputs is not None else None
        return Usage(
            input_tokens=usage.prompt_tokens or 0,
            output_tokens=usage.completion_tokens or 0,
            cached_input_tokens=cached or usage.prompt_cache_hit_tokens or 0,
            cache_write_tokens=(inputs.cache_write_tokens or 0) if inputs is not None else 0,
            reasoning_tokens=(outputs.reasoning_tokens or 0) if outputs is not None else 0,
            requests=1,
        )


def _thought_of(part: WirePart) -> str:
    if isinstance(part.thinking, str):
        return part.thinking
    return "".join(inner.text for inner in part.thinking)


def _as_text(arguments: str | dict[str, object]) -> str:
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def finish_reason(theirs: str | None, *, has_calls: bool) -> str:
    """One of stop, tool_calls, length and content_filter. Calls count even where a server says stop."""
    if theirs in ("length", "content_filter"):
        return theirs
    if theirs in ("max_tokens", "model_length"):
        return "length"
    return "tool_calls" if has_calls else "stop"


def estimated_usage(messages: Sequence[Said], written: str) -> Usage:
    """Usage counted by us: a token for every four characters."""
    read = sum(len(entry.raw) for entry in messages)
    return Usage(
        input_tokens=-(-read // CHARACTERS_PER_TOKEN),
        output_tokens=-(-len(written) // CHARACTERS_PER_TOKEN),
        requests=1,
        is_estimated=True,
    )
