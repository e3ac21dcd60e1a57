"""What a call asks and how its answer is kept: for the guard's cache."""

from __future__ import annotations

import msgspec

from runwright.core.agent import Tool
from runwright.core.message import digest
from runwright.core.model import ModelRequest, ModelResponse
from runwright.core.run import Run
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


def is_sampled(request: ModelRequest) -> bool:
    """Whether asking again may well give another answer."""
    settings = request.settings
    temperature = settings.extra.get("temperature", settings.temperature)
    return temperature != 0


def _question(kind: str, run: Run, *parts: str) -> bytes:
    return digest(_encode((kind, run.agent, run.version, *parts)))
