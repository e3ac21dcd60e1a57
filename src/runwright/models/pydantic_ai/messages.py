"""Messages, requests and answers in the types of Pydantic AI, and back."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import msgspec
from pydantic import TypeAdapter
from pydantic_ai import messages as theirs
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings as TheirSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from runwright.core.message import (
    AssistantMessage,
    AudioData,
    AudioPart,
    FileData,
    FilePart,
    FunctionCall,
    ImagePart,
    ImageUrl,
    Message,
    Part,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from runwright.core.model import ModelOptions, ModelRequest, ModelResponse, ModelSettings, OutputSpec, ToolSpec
from runwright.core.usage import Usage
from runwright.errors import ProviderRejected

NAMES: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_tokens",
    "seed": "seed",
    "stop": "stop_sequences",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "parallel_tool_calls": "parallel_tool_calls",
    "reasoning_effort": "thinking",
}
"""Sampling parameters of ours by the names of theirs."""

ENDS: Final[Mapping[str, str]] = {"tool_call": "tool_calls"}
CHOICES: Final = ("auto", "none", "required")


def their_messages(messages: Iterable[Message]) -> list[theirs.ModelMessage]:
    """A conversation as theirs. Raises ProviderRejected for a file by its id, which only one provider knows."""
    found: list[theirs.ModelMessage] = []
    names: dict[str, str] = {}
    for message in messages:
        if isinstance(message, AssistantMessage):
            names |= {call.id: call.name for call in message.tool_calls}
            found.append(_their_answer(message))
            continue
        part = _their_part(message, names)
        last = found[-1] if found else None
        if isinstance(last, theirs.ModelRequest):
            found[-1] = theirs.ModelRequest(parts=[*last.parts, part])
        else:
            found.append(theirs.ModelRequest(parts=[part]))
    return found


def _their_part(
    message: SystemMessage | UserMessage | ToolMessage, names: Mapping[str, str]
) -> theirs.ModelRequestPart:
    if isinstance(message, SystemMessage):
        return theirs.SystemPromptPart(content=message.content)
    if isinstance(message, ToolMessage):
        name = names.get(message.tool_call_id, "tool")
        return theirs.ToolReturnPart(tool_name=name, content=message.content, tool_call_id=message.tool_call_id)
    return theirs.UserPromptPart(content=their_content(message.content))


def their_content(content: str | Sequence[Part]) -> str | list[theirs.UserContent]:
    """What a user says, as theirs. Raises ProviderRejected."""
    return content if isinstance(content, str) else [_their_content(part) for part in content]


def _their_content(part: Part) -> theirs.UserContent:
    match part:
        case TextPart(text=text):
            return text
        case ImagePart(image_url=image):
            is_data = image.url.startswith("data:")
            return theirs.BinaryContent.from_data_uri(image.url) if is_data else theirs.ImageUrl(url=image.url)
        case AudioPart(input_audio=audio):
            return theirs.BinaryContent(data=base64.b64decode(audio.data), media_type=f"audio/{audio.format}")
        case FilePart(file=file):
            if file.file_data is None:
                raise ProviderRejected(f"a file by its id {file.file_id!r} cannot be sent here: send its data")
            return theirs.BinaryContent.from_data_uri(file.file_data)


def _their_answer(message: AssistantMessage) -> theirs.ModelResponse:
    parts: list[theirs.ModelResponsePart] = [theirs.TextPart(content=message.content)] if message.content else []
    calls = (theirs.ToolCallPart(call.name, call.arguments, tool_call_id=call.id) for call in message.tool_calls)
    return theirs.ModelResponse(parts=[*parts, *calls])


def their_settings(request: ModelRequest) -> TheirSettings:
    """Sampling parameters as theirs."""
    given = request.settings
    named: dict[str, object] = {
        name: getattr(given, ours) for ours, name in NAMES.items() if getattr(given, ours) is not None
    }
    if request.tool_choice and request.tools:
        is_named = request.tool_choice not in CHOICES
        named["tool_choice"] = [request.tool_choice] if is_named else request.tool_choice
    settings = {**named, **given.extra}
    return cast("TheirSettings", settings)  # the names are those of the class; what is extra is the user's to name


def their_parameters(request: ModelRequest, profile: ModelProfile) -> ModelRequestParameters:
    """Tools and the shape of the answer as theirs."""
    tools = [
        ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=tool.parameters)
        for tool in request.tools
    ]
    output = request.output
    if output is None:
        return ModelRequestParameters(function_tools=tools)
    shape = OutputObjectDefinition(json_schema=output.schema, name=output.name)
    mode = "native" if profile.get("supports_json_schema_output", False) else "prompted"
    template = profile.get("prompted_output_template") or "Answer with one JSON object that fits this schema: {schema}"
    return ModelRequestParameters(
        function_tools=tools, output_mode=mode, output_object=shape, prompted_output_template=template
    )


def our_messages(messages: Iterable[theirs.ModelMessage], instructions: str = "") -> tuple[Message, ...]:
    """Their conversation as ours, for the record: what has no place in ours stands there as words."""
    found: list[Message] = [SystemMessage(content=instructions)] if instructions else []
    for message in messages:
        if isinstance(message, theirs.ModelResponse):
            found.append(_our_answer(message))
        else:
            found.extend(_our_part(part) for part in message.parts)
    return tuple(found)


def _our_part(part: theirs.ModelRequestPart) -> Message:
    if isinstance(part, theirs.SystemPromptPart):
        return SystemMessage(content=part.content)
    if isinstance(part, theirs.ToolReturnPart):
        return ToolMessage(tool_call_id=part.tool_call_id, content=part.model_response_str())
    if isinstance(part, theirs.UserPromptPart):
        content = part.content
        said = content if isinstance(content, str) else tuple(map(_our_content, content))
        return UserMessage(content=said)
    return SystemMessage(content=_in_words(part))


def _our_content(content: theirs.UserContent) -> Part:
    match content:
        case str():
            return TextPart(text=content)
        case theirs.TextContent():
            return TextPart(text=content.content)
        case theirs.ImageUrl():
            return ImagePart(image_url=ImageUrl(url=content.url))
        case theirs.BinaryContent():
            return _our_file(content)
        case _:
            return TextPart(text=_in_words(content))


def _our_file(content: theirs.BinaryContent) -> Part:
    kind, _, form = content.media_type.partition("/")
    if kind == "image":
        return ImagePart(image_url=ImageUrl(url=content.data_uri))
    if kind == "audio":
        return AudioPart(input_audio=AudioData(data=content.base64, format=form))
    return FilePart(file=FileData(file_data=content.data_uri, filename=content.identifier))


def _our_answer(answer: theirs.ModelResponse) -> AssistantMessage:
    text = "".join(part.content for part in answer.parts if isinstance(part, theirs.TextPart))
    calls = tuple(
        ToolCall(id=part.tool_call_id, function=FunctionCall(name=part.tool_name, arguments=part.args_as_json_str()))
        for part in answer.parts
        if isinstance(part, theirs.ToolCallPart)
    )
    return AssistantMessage(content=text or None, tool_calls=calls)


def _in_words(value: object) -> str:
    return f"[{type(value).__name__}: {value!r}]"


def our_response(answer: theirs.ModelResponse, *, provider: str, model: str) -> ModelResponse:
    """Their answer as ours, without its original."""
    message = _our_answer(answer)
    reasoning = "".join(part.content for part in answer.parts if isinstance(part, theirs.ThinkingPart))
    reason = answer.finish_reason or ("tool_call" if message.tool_calls else "stop")
    return ModelResponse(
        message=message,
        reasoning=reasoning or None,
        finish_reason=ENDS.get(reason, reason),
        usage=_our_usage(answer.usage),
        model=answer.model_name or model,
        provider=provider,
        response_id=answer.provider_response_id or "",
    )


def their_response(answer: ModelResponse) -> theirs.ModelResponse:
    """An answer as theirs: its original, where that says more, with the ids of its calls as they are recorded."""
    message = answer.message
    if answer.original:
        found = _response.validate_json(answer.original)
        calls = [part for part in found.parts if isinstance(part, theirs.ToolCallPart)]
        for part, call in zip(calls, message.tool_calls, strict=True):
            part.tool_call_id = call.id
        return found
    thought = [theirs.ThinkingPart(content=answer.reasoning)] if answer.reasoning else []
    ends = {ours: name for name, ours in ENDS.items()}
    reason = ends.get(answer.finish_reason, answer.finish_reason)
    usage = answer.usage
    return theirs.ModelResponse(
        parts=[*thought, *_their_answer(message).parts],
        usage=RequestUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        ),
        model_name=answer.model,
        provider_name=answer.provider,
        provider_response_id=answer.response_id or None,
        finish_reason=cast("theirs.FinishReason", reason),  # ours has the same words
    )


def original_of(answer: theirs.ModelResponse) -> bytes:
    """Their answer as JSON text, where ours does not say all of it."""
    return b"" if says_all(answer) else _response.dump_json(answer)


_response = TypeAdapter(theirs.ModelResponse)


def _our_usage(usage: RequestUsage) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.details.get("reasoning_tokens", 0),
        requests=1,
    )


def says_all(answer: theirs.ModelResponse) -> bool:
    """Whether our form of an answer holds all that a later request to the same model may need of it."""
    if answer.state != "complete":
        return False
    texts = sum(isinstance(part, theirs.TextPart) for part in answer.parts)
    return texts <= 1 and all(map(_is_plain, answer.parts))


def _is_plain(part: theirs.ModelResponsePart) -> bool:
    if isinstance(part, theirs.ThinkingPart):
        return part.signature is None and part.id is None and not part.provider_details
    is_ours = type(part) in (theirs.TextPart, theirs.ToolCallPart)
    return is_ours and not getattr(part, "provider_details", None)


def our_options(settings: TheirSettings | None, parameters: ModelRequestParameters) -> ModelOptions:
    """What goes with their request as ours, for the record and for models of ours."""
    given: dict[str, object] = dict(settings or {})
    choice = given.pop("tool_choice", None)
    plain = {ours: given.pop(name) for ours, name in NAMES.items() if given.get(name) is not None}
    effort = plain.pop("reasoning_effort", parameters.thinking)
    if isinstance(effort, str):
        plain["reasoning_effort"] = effort
    tools = tuple(map(_our_tool, parameters.declared_tool_defs.values()))
    if choice is None and tools and not parameters.allow_text_output:
        choice = "required"
    return ModelOptions(
        tools=tools,
        tool_choice=choice if isinstance(choice, str) and tools else None,
        output=_our_output(parameters),
        settings=msgspec.convert(plain, ModelSettings),
    )


def _our_tool(tool: ToolDefinition) -> ToolSpec:
    return ToolSpec(name=tool.name, description=tool.description or "", parameters=tool.parameters_json_schema)


def _our_output(parameters: ModelRequestParameters) -> OutputSpec | None:
    shape = parameters.output_object
    if shape is None or parameters.output_mode not in ("native", "prompted"):
        return None
    return OutputSpec(name=shape.name or "output", schema=shape.json_schema)
