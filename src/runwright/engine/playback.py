"""Steps that a recording answers: recorded again, and nothing else done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from runwright.core.event import (
    Event,
    MemoryWritten,
    MessageCompleted,
    StepCompleted,
    StepFailed,
    StepResolved,
    StepStarted,
)
from runwright.core.message import Said
from runwright.core.model import ModelResponse
from runwright.core.step import StepKey
from runwright.engine.asking import message_of
from runwright.engine.fold import OpenStep
from runwright.engine.replay import Answer, Asked, Player, Stopped
from runwright.errors import (
    AgentError,
    GuardError,
    ModelError,
    OutcomeUnknown,
    RunError,
    RunwrightError,
    ToolError,
    ToolFailed,
    revive,
)
from runwright.journal.tape import Taped


class Untold(asyncio.CancelledError):
    """A step was given up when its answer was there, and could not be told any more."""


class Playback:
    """Answers the steps of a replay from its recording. `begin` begins a step, `end` ends it, `append` appends."""

    def __init__(
        self,
        player: Player,
        *,
        append: Callable[..., tuple[Event, ...]],
        begin: Callable[[StepStarted, OpenStep | None], int],
        end: Callable[..., None],
    ) -> None:
        self._player = player
        self._append = append
        self._begin = begin
        self._end = end
        self._open: dict[int, Answer] = {}

    def has(self, match: StepKey) -> bool:
        """Whether a step of exactly this key was recorded, and answered nothing yet."""
        return self._player.has(match)

    @property
    def is_strict(self) -> bool:
        """Whether nothing is performed."""
        return self._player.replay.is_strict

    def is_past(self, match: StepKey) -> bool:
        """Whether a step of this key stood on the tape of the recorded run when that went on for the last time."""
        return self._player.is_past(match)

    async def model(
        self, step: StepStarted, messages: Sequence[Said], *, again: OpenStep | None
    ) -> ModelResponse | None:
        """The recorded answer of a model; None when the step is live. Raises the recorded error, or Stopped."""
        found = await self._answer(Asked(step=step, messages=messages), again)
        if found is None:
            return None
        seq, taped, is_drifted = found
        self._end(seq, *_records(seq, taped, is_drifted=is_drifted))
        if taped.status != "completed" or taped.response is None:
            raise _raised(taped, otherwise=AgentError)
        return taped.response

    async def result(self, step: StepStarted, *, again: OpenStep | None) -> bytes | None:
        """The recorded result, as JSON text; None when the step is live. Raises the recorded error, or Stopped."""
        found = await self._answer(Asked(step=step), again)
        if found is None:
            return None
        seq, taped, is_drifted = found
        self._end(seq, *_records(seq, taped, is_drifted=is_drifted))
        if taped.status != "completed":
            raise _raised(taped, otherwise=ToolFailed)
        return taped.result

    def close(self) -> None:
        """The run comes to its end: what still waits for an answer ends as it did in the recorded run."""
        for seq, answer in self._open.items():
            self._end(seq, *_records(seq, answer.taped, is_drifted=answer.is_drifted))

    async def _answer(self, asked: Asked, again: OpenStep | None) -> tuple[int, Taped, bool] | None:
        """The step, begun, and its answer when it is the turn of that."""
        try:
            answer = await self._player.find(asked)
        except Stopped:
            if (divergence := self._player.take_divergence()) is not None:
                self._append((divergence, None))
            raise
        if answer is None:
            return None
        seq = self._begin(asked.step, again)
        self._open[seq] = answer
        try:
            await self._player.turn(answer)
        except asyncio.CancelledError as error:
            # It ends as it did then: without an answer, or with one that came before its code could be told.
            self._end(seq, *_records(seq, answer.taped, is_drifted=answer.is_drifted))
            if answer.is_missing:
                raise
            raise Untold from error
        finally:
            del self._open[seq]
        return seq, answer.taped, answer.is_drifted


def _records(
    seq: int, taped: Taped, *, is_drifted: bool = False
) -> Iterator[MemoryWritten | MessageCompleted | StepCompleted | StepFailed | StepResolved]:
    """The end of a recorded step, as that of a step of a replay."""
    if taped.error is not None:
        is_unknown = taped.status == "unknown" or taped.error.code == OutcomeUnknown.code
        error = replace(taped.error, step=seq)
        yield StepFailed(error=error, is_unknown=is_unknown, taped=taped.seq, cost=taped.cost)
        if is_unknown and taped.status == "failed":
            # A person said that it is to be taken as failed, else the run would not have gone on.
            yield StepResolved(action="fail")
    if taped.status != "completed":
        return
    result = msgspec.Raw(taped.result)
    completed = StepCompleted(result=result, taped=taped.seq, is_drifted=is_drifted, cost=taped.cost)
    yield from (replace(each, taped=taped.seq, base=None) for each in taped.written)
    if (response := taped.response) is not None:
        yield message_of(response)
        completed = replace(
            completed,
            model=response.model,
            provider=response.provider,
            finish_reason=response.finish_reason,
            response_id=response.response_id,
            usage=response.usage,
        )
    yield completed


def _raised(taped: Taped, *, otherwise: type[RunwrightError]) -> RunwrightError:
    """The recorded error: one of its own class, or of `otherwise` where no such step raises it."""
    if taped.error is None:
        return otherwise("The recorded step has no answer.")
    error = revive(taped.error.code, taped.error.message)
    return error if isinstance(error, (ModelError, ToolError, RunError, GuardError)) else otherwise(taped.error.message)
