"""What is asked of a model and what comes back."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from runwright.core.message import AssistantMessage, Said
from runwright.core.usage import NO_USAGE, Usage


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Sampling parameters under their OpenAI names. None leaves a parameter to the provider.

    `extra` is sent as it is, for parameters of one provider.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    extra: dict[str, object] = {}


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as a model sees it. `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, object]


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON Schema that the final answer must fit."""

    name: str
    schema: dict[str, object]


class ModelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What goes with the messages of a model call: tools it may call, the shape of its answer, sampling parameters.

    `tool_choice` is `auto`, `none`, `required` or the name of a tool.
    """

    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    output: OutputSpec | None = None
    settings: ModelSettings = ModelSettings()


NO_OPTIONS = ModelOptions()


def tools_wire(tools: Iterable[ToolSpec]) -> bytes:
    """The OpenAI `tools` array; empty when there are no tools."""
    wire = [{"type": "function", "function": each} for each in tools]
    return msgspec.json.encode(wire) if wire else b""


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a model.

    `model` is a reference as `provider:name`. `tools_raw` is the OpenAI `tools` array, encoded once per agent,
    empty when there are no tools. `is_streamed` asks for deltas. Connecting may take `connect_s`; None is no bound.
    """

    model: str
    messages: tuple[Said, ...]
    tools: tuple[ToolSpec, ...] = ()
    tools_raw: bytes = b""
    tool_choice: str | None = None
    output: OutputSpec | None = None
    settings: ModelSettings = ModelSettings()
    is_streamed: bool = False
    connect_s: float | None = 10.0


class ModelResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer.

    `model` is what the provider says it ran; `finish_reason` is stop, tool_calls, length or content_filter.
    `original` is the answer as JSON text of another library, where that says more than the message.
    """

    message: AssistantMessage
    reasoning: str | None = None
    finish_reason: str = "stop"
    usage: Usage = NO_USAGE
    model: str = ""
    provider: str = ""
    response_id: str = ""
    original: bytes = b""


class Quota(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a provider says about its limits: how many are left, of how many, and in how many seconds all are back.

    Until then they come back evenly; with `is_window` they come back at that moment, and none before.
    """

    requests: int | None = None
    requests_left: int | None = None
    requests_reset_s: float | None = None
    tokens: int | None = None
    tokens_left: int | None = None
    tokens_reset_s: float | None = None
    is_window: bool = False


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the answer's text."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the model's reasoning."""

    text: str


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a tool call. The first piece of an index carries id and name, later ones only arguments."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class ResponseCompleted(msgspec.Struct, frozen=True, gc=False):
    """The last event of a model call: the whole answer."""

    response: ModelResponse


class QuotaSeen(msgspec.Struct, frozen=True, gc=False):
    """The provider said what is left of its limits. Comes before the answer."""

    quota: Quota


ModelEvent = TextDelta | ReasoningDelta | ToolCallDelta | QuotaSeen | ResponseCompleted
