"""A run's events as an OpenAI chat completion, whole or in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from runwright.core.event import (
    Event,
    MessageCompleted,
    MessageDelta,
    OutputRejected,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunWaiting,
    StepCompleted,
    StepFailed,
    StepRestarted,
    StepStarted,
)
from runwright.core.history import SUMMARY_LANE
from runwright.core.usage import NO_USAGE, Usage
from runwright.errors import Conflict, MalformedResponse, OutputInvalid, RunwrightError, Unavailable, revive
from runwright.server.problems import openai_error
from runwright.server.wire import encode
from runwright.service.views import RunView

FinishReason = Literal["stop", "length", "content_filter"]

DONE = b"data: [DONE]\n\n"
_FINISH_REASONS: dict[str, FinishReason] = {"length": "length", "content_filter": "content_filter"}


class AnswerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent says. Its own tool calls stay inside."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The one choice of a completion."""

    index: int = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: FinishReason


class PromptDetails(msgspec.Struct, frozen=True):
    """Parts of the prompt tokens."""

    cached_tokens: int


class CompletionDetails(msgspec.Struct, frozen=True):
    """Parts of the completion tokens."""

    reasoning_tokens: int


class CompletionUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What all model calls of the run used together."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion. `metadata` has the run's id and status."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[Choice]
    usage: CompletionUsage
    metadata: dict[str, str]


class Delta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a chunk adds."""

    role: str | None = None
    content: str | None = None


class ChunkChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The one choice of a chunk."""

    index: int = 0
    delta: Delta
    logprobs: None = None
    finish_reason: FinishReason | None = None


class Chunk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of a streamed completion; one without choices carries the usage."""

    id: str
    object: str
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    usage: CompletionUsage | None = None
    metadata: dict[str, str] = {}


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, for a completion."""

    content: str
    finish_reason: FinishReason
    usage: Usage
    metadata: dict[str, str]


class Reader:
    """Reads a run's events up to its end, or to the point where it waits."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._usage = NO_USAGE
        self.ending: Ending | None = None

    def read(self, event: Event) -> None:
        """Take in one event. Raises the error of a run that failed or was cancelled."""
        match event.data:
            case StepCompleted(usage=usage) | StepFailed(usage=usage):
                self._usage += usage
            case RunWaiting(reason=reason, detail=detail):
                self.ending = _waiting(self._run_id, self._usage, reason=reason, detail=detail)
            case RunCompleted(output=output, finish_reason=reason, usage=usage):
                self.ending = _completed(self._run_id, output, usage, finish_reason=reason)
            case RunFailed(error=error):
                raise revive(error.code, error.message)
            case RunCancelled(reason=reason):
                raise _cancelled(reason)
            case _:
                pass


def ending_of(run: RunView) -> Ending:
    """How a run ended, from the run itself. Raises the error of a run that failed or was cancelled."""
    if run.error is not None:
        raise revive(run.error.code, run.error.message)
    match run.status:
        case "completed":
            return _completed(run.id, run.output, run.usage, finish_reason=run.finish_reason or "")
        case "waiting":
            return _waiting(run.id, run.usage, reason=run.reason or "paused")
        case "cancelled":
            raise _cancelled()
        case _:
            raise Unavailable("The server stopped before the run was over; send the request again.")


def _completed(run_id: str, output: msgspec.Raw, usage: Usage, *, finish_reason: str) -> Ending:
    return Ending(
        content=_text(bytes(output)),
        finish_reason=_FINISH_REASONS.get(finish_reason, "stop"),
        usage=usage,
        metadata={"run_id": run_id, "status": "completed"},
    )


def _waiting(run_id: str, usage: Usage, *, reason: str, detail: str = "") -> Ending:
    what = f"This run waits ({reason.replace('_', ' ')}). {detail}".rstrip()
    metadata = {"run_id": run_id, "status": "waiting", "reason": reason}
    return Ending(content=f"{what} See /api/v1/runs/{run_id}", finish_reason="stop", usage=usage, metadata=metadata)


def _cancelled(reason: str = "") -> Conflict:
    return Conflict(f"The run was cancelled: {reason}" if reason else "The run was cancelled.")


def _text(output: bytes) -> str:
    """The output of a run as the text of a message: a JSON string as what it says, other JSON as it is."""
    return msgspec.json.decode(output, type=str) if output.startswith(b'"') else output.decode()


def completion_id(run_id: str) -> str:
    """The id of the completion of a run."""
    return "chatcmpl-" + run_id.partition("_")[2]


def completion(ending: Ending, *, run_id: str, model: str, created: int) -> bytes:
    """The body of a completion."""
    choice = Choice(message=AnswerMessage(content=ending.content), finish_reason=ending.finish_reason)
    return encode(
        Completion(
            id=completion_id(run_id),
            created=created,
            model=model,
            choices=(choice,),
            usage=usage_of(ending.usage),
            metadata=ending.metadata,
        )
    )


def usage_of(usage: Usage) -> CompletionUsage:
    """Usage under its OpenAI names."""
    return CompletionUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=PromptDetails(usage.cached_input_tokens),
        completion_tokens_details=CompletionDetails(usage.reasoning_tokens),
    )


class SentText:
    """The text of a stream so far. What was sent cannot be taken back, so a new attempt has to begin the same."""

    def __init__(self) -> None:
        self._sent: list[str] = []
        self._again: str | None = None
        self._step: int | None = None
        self.is_empty = True

    def delta(self, step: int | None, text: str) -> str:
        """What to send for a piece of text. Raises MalformedResponse."""
        begin = self._enter(step)
        if self._again is None:
            self._sent.append(text)
            self.is_empty = self.is_empty and not text
            return begin + text
        self._again += text
        return begin + self._rest(self._again)

    def whole(self, step: int | None, text: str) -> str:
        """What to send for a whole message, parts of which were sent as pieces. Raises MalformedResponse."""
        begin = self._enter(step) if text else ""
        return begin + self._rest(text)

    def restart(self, step: int | None) -> None:
        """The pieces of this step are void; it begins again."""
        if step == self._step:
            self._again = ""

    def _enter(self, step: int | None) -> str:
        """A blank line between the texts of two steps."""
        if step == self._step:
            return ""
        self._sent, self._again, self._step = [], None, step
        return "" if self.is_empty else "\n\n"

    def _rest(self, text: str) -> str:
        sent = "".join(self._sent)
        if not (text.startswith(sent) or sent.startswith(text)):
            raise MalformedResponse("The answer began anew with other words after a part was sent; ask again.")
        rest = text[len(sent) :]
        self._sent = [sent, rest] if rest else [sent]
        self.is_empty = self.is_empty and not rest
        return rest


class ChunkFrames:
    """Frames of a streamed completion: server-sent events without names, `[DONE]` at the end.

    `is_whole` holds the text back until the run is complete, for answers that may be rejected and asked again.
    """

    def __init__(self, run_id: str, *, model: str, created: int, has_usage: bool, is_whole: bool) -> None:
        self.is_done = False
        self._reader = Reader(run_id)
        self._said = SentText()
        self._aside: set[int | None] = set()
        self._base = Chunk(
            id=completion_id(run_id), object="chat.completion.chunk", created=created, model=model, choices=()
        )
        first = self._chunk(ChunkChoice(delta=Delta(role="assistant", content="")))
        self._waiting = [first]
        before, _, after = self._chunk(ChunkChoice(delta=Delta(content="\0"))).partition(b'"\\u0000"')
        self._prefix, self._suffix = before, after
        self._has_usage = has_usage
        self._is_whole = is_whole

    def group(self, events: Sequence[Event]) -> bytes:
        """The chunks of a group of events. Raises the error of a run that failed."""
        frames, self._waiting = self._waiting, []
        for event in events:
            text = self._text(event)
            if text:
                frames.append(self._prefix + encode(text) + self._suffix)
            if self._reader.ending is not None:
                frames += self._end(self._reader.ending)
                self.is_done = True
                break
        return b"".join(frames)

    def failure(self, error: RunwrightError) -> bytes:
        """An error chunk: OpenAI clients raise it, where a stream that merely ends passes for a whole answer."""
        if isinstance(error, Unavailable):
            error = Unavailable("The stream ended before the answer was complete; send the request again.")
        return b"data: %b\n\n" % encode(openai_error(error))

    def _text(self, event: Event) -> str:
        data = event.data
        if type(data) is MessageDelta:
            return "" if self._is_whole else self._said.delta(event.step, data.text)
        self._reader.read(event)
        if self._is_whole:
            return ""
        match data:
            case StepStarted(kind="model", lane=lane) if lane == SUMMARY_LANE:
                self._aside.add(event.step)
            case MessageCompleted(message=message) if event.step not in self._aside:
                return self._said.whole(event.step, _content(message))
            case StepRestarted():
                self._said.restart(event.step)
            case OutputRejected(reason=reason) if not self._said.is_empty:
                raise OutputInvalid(f"The answer was rejected after it was sent: {reason}. Ask without `stream`.")
            case _:
                pass
        return ""

    def _end(self, ending: Ending) -> list[bytes]:
        frames: list[bytes] = []
        is_waiting = ending.metadata["status"] == "waiting"
        if ending.content and (self._said.is_empty or is_waiting):
            gap = "" if self._said.is_empty else "\n\n"
            frames.append(self._prefix + encode(gap + ending.content) + self._suffix)
        last = ChunkChoice(delta=Delta(), finish_reason=ending.finish_reason)
        frames.append(self._chunk(last, metadata=ending.metadata))
        if self._has_usage:
            with_usage = msgspec.structs.replace(self._base, usage=usage_of(ending.usage))
            frames.append(b"data: %b\n\n" % encode(with_usage))
        frames.append(DONE)
        return frames

    def _chunk(self, choice: ChunkChoice, *, metadata: dict[str, str] | None = None) -> bytes:
        chunk = msgspec.structs.replace(self._base, choices=(choice,), metadata=metadata or {})
        return b"data: %b\n\n" % encode(chunk)


class _Spoken(msgspec.Struct):
    content: str | None = None


_spoken = msgspec.json.Decoder(_Spoken)


def _content(message: msgspec.Raw) -> str:
    return _spoken.decode(message).content or ""
