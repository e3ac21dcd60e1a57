"""What a call asks and how its answer is kept: for the guard's cache."""

from __future__ import annotations

import msgspec

from runwright.core.agent import Tool
from runwright.core.message import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolMessage,
    UserMessage,
    chain_digest,
    digest,
    text_of,
)
from runwright.core.model import ModelRequest, ModelResponse
from runwright.core.run import Run
from runwright.core.similar import Asked, Asker
from runwright.core.step import StepKey
from runwright.guard import Codec

WHOLE = ("stop", "tool_calls")
"""How answers end that are kept: those that were cut short or held back are not."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ModelResponse).decode


def _kept(response: ModelResponse) -> bytes | None:
    return _encode(response) if response.finish_reason in WHOLE else None


MODEL = Codec[ModelResponse](encode=_kept, decode=_decode, shape="model/1")
TOOL = Codec[bytes](encode=bytes, decode=bytes, shape="tool/1")


def model_question(run: Run, request: ModelRequest, match: StepKey) -> bytes:
    """Names a model call: its step's key covers what is sent, and was made from digests kept with the conversation."""
    return _question("model", run, match.key, "" if request.output is None else request.output.name)


def tool_question(run: Run, tool: Tool, match: StepKey) -> bytes:
    """Names a call of a tool that reads. The user belongs to it, because tools see who asks."""
    return _question("tool", run, match.key, tool.fingerprint, run.user or "")


def asked(run: Run, request: ModelRequest, step: int) -> Asked | None:
    """What a model call asks, where that may be compared: in words, at the end of a conversation without tools.

    The user belongs to its scope: what one said is not told to another.
    """
    *before, last = request.messages
    if request.tools or request.tools_raw or not isinstance(last.message, UserMessage):
        return None
    if not isinstance(last.message.content, str) or any(_has_tools(entry.message) for entry in before):
        return None
    around = (request.model, request.settings, request.tool_choice, request.output)
    told = [entry for entry in before if isinstance(entry.message, SystemMessage)]
    setting = digest(_encode(("similar", run.agent, run.version, *around, chain_digest(told))))
    return Asked(
        asker=Asker(agent=run.agent, version=run.version, model=request.model, setting=setting.hex()),
        scope=digest(_encode((setting, run.user, chain_digest(before)))),
        text=last.message.content,
        run_id=run.id,
        step=step,
        read=_words,
    )


def is_sampled(request: ModelRequest) -> bool:
    """Whether asking again may well give another answer."""
    settings = request.settings
    temperature = settings.extra.get("temperature", settings.temperature)
    return temperature != 0


def _has_tools(message: Message) -> bool:
    return isinstance(message, ToolMessage) or (isinstance(message, AssistantMessage) and bool(message.tool_calls))


def _words(response: ModelResponse) -> str:
    return text_of(response.message)


def _question(kind: str, run: Run, *parts: str) -> bytes:
    return digest(_encode((kind, run.agent, run.version, *parts)))
