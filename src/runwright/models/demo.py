"""The demo model: rules instead of a language model. It needs nothing and always says the same."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping

import msgspec

from runwright.core.clock import SystemClock
from runwright.core.message import AssistantMessage, FunctionCall, ToolCall
from runwright.core.model import (
    ModelEvent,
    ModelRequest,
    ModelResponse,
    ResponseCompleted,
    TextDelta,
    ToolCallDelta,
    ToolSpec,
)
from runwright.core.ports import Clock
from runwright.core.usage import Usage
from runwright.errors import ConfigError, ModelError, ProviderTimeout, ProviderUnavailable, RateLimited
from runwright.models.fill import fill, names_in
from runwright.models.words import calls_before, last_results, last_user_text, overlap, properties_of

LABEL = "demo, not an LLM"
SLOW_S = 0.02
FAILURES: Mapping[str, type[ModelError]] = {
    "fail-429": RateLimited,
    "fail-500": ProviderUnavailable,
    "timeout": ProviderTimeout,
}
KINDS = ("", "slow", *FAILURES)


class DemoModel:
    """Calls the tools that a request's words name, then repeats what they said. Not an LLM.

    `demo:slow` waits 20 ms before each chunk; `demo:fail-429`, `demo:fail-500` and `demo:timeout` always fail.
    """

    def __init__(self, kind: str = "", *, clock: Clock | None = None) -> None:
        if kind not in KINDS:
            raise ConfigError(f"there is no model {'demo:' + kind!r}; take demo or one of {', '.join(KINDS[1:])}")
        self.kind = kind
        self._clock = clock or SystemClock()

    @property
    def ref(self) -> str:
        """`demo`, with its kind."""
        return f"demo:{self.kind}" if self.kind else "demo"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer by rules. Raises the error that the kind names."""
        if failure := FAILURES.get(self.kind):
            raise failure(f"{self.ref} fails on purpose", retry_after_s=1.0 if failure is RateLimited else None)
        message = answer(request)
        if request.is_streamed:
            for event in _deltas(message):
                if self.kind == "slow":
                    await self._clock.sleep(SLOW_S)
                yield event
        yield ResponseCompleted(
            ModelResponse(
                message=message,
                finish_reason="tool_calls" if message.tool_calls else "stop",
                usage=_usage(request, message),
                model=LABEL,
                provider="demo",
            )
        )


def answer(request: ModelRequest) -> AssistantMessage:
    """What the demo model answers."""
    text = last_user_text(request)
    results = last_results(request)
    if not results and request.tools and request.tool_choice != "none":
        picked = _pick(request, text)
        if picked:
            return AssistantMessage(
                tool_calls=tuple(
                    _call(tool, part, n) for n, (tool, part) in enumerate(picked, calls_before(request) + 1)
                )
            )
    if request.output is not None:
        filled = fill(request.output.schema, " ".join([text, *results]))
        return AssistantMessage(content=msgspec.json.encode(filled).decode())
    if results:
        return AssistantMessage(content=" ".join(_sentence(result) for result in results))
    return AssistantMessage(content=f"This is the demo model, not an LLM. You said: {text}")


def _pick(request: ModelRequest, text: str) -> list[tuple[ToolSpec, str]]:
    """The tools to call, each with the part of the text that fills its arguments."""
    named = [tool for tool in request.tools if tool.name == request.tool_choice]
    best = named[0] if named else _best(request.tools, text)
    if best is None:
        return [(request.tools[0], text)] if request.tool_choice == "required" else []
    parts = [part for part in re.split(r"\band\b|\bthen\b|[,;?!]", text) if part.strip()]
    found: list[tuple[ToolSpec, str]] = []
    for part in parts if not named else ():
        tool = _best(request.tools, part)
        if tool is not None:
            found.append((tool, part))
        elif found and len(properties_of(best.parameters)) == 1 and names_in(f"x {part.strip()}"):
            # "the weather in Paris and Rome": the same tool again, with the other value.
            found.append((found[-1][0], f"x {part.strip()}"))
    is_several = len({tool.name for tool, _ in found}) > 1 or len(properties_of(best.parameters)) == 1
    return found if is_several and len(found) > 1 else [(best, text)]


def _best(tools: tuple[ToolSpec, ...], text: str) -> ToolSpec | None:
    scored = [(overlap(text, tool), -place) for place, tool in enumerate(tools)]
    score, place = max(scored)
    return tools[-place] if score else None


def _call(tool: ToolSpec, text: str, number: int) -> ToolCall:
    arguments = msgspec.json.encode(fill(tool.parameters, text)).decode()
    return ToolCall(id=f"call_demo_{number}", function=FunctionCall(name=tool.name, arguments=arguments))


def _sentence(result: str) -> str:
    result = result.strip()
    return result if result.endswith((".", "!", "?")) else f"The result is {result}."


def _deltas(message: AssistantMessage) -> list[ModelEvent]:
    events: list[ModelEvent] = [TextDelta(word) for word in re.findall(r"\s*\S+\s*$|\s*\S+", message.content or "")]
    for index, call in enumerate(message.tool_calls):
        events.append(ToolCallDelta(index, call.id, call.name))
        events.append(ToolCallDelta(index, arguments=call.arguments))
    return events


def _usage(request: ModelRequest, message: AssistantMessage) -> Usage:
    read = sum(len(entry.raw) for entry in request.messages)
    written = len(message.content or "") + sum(len(call.arguments) for call in message.tool_calls)
    return Usage(input_tokens=-(-read // 4), output_tokens=-(-written // 4), requests=1)
