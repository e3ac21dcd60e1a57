"""Steps that a recording answers: recorded again, and nothing else done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec
from msgspec.structs import replace

from runwright.core.event import Event, MessageCompleted, StepCompleted, StepFailed, StepResolved, StepStarted
from runwright.core.message import Said, said
from runwright.core.model import ModelResponse
from runwright.engine.replay import Answer, Asked, Player, Stopped
from runwright.errors import (
    AgentError,
    ModelError,
    OutcomeUnknown,
    RunError,
    RunwrightError,
    ToolError,
    ToolFailed,
    revive,
)
from runwright.journal.write import Record


class Playback:
    """Answers the steps of a replay from its recording. `begin` begins a step, `append` appends to the log."""

    def __init__(
        self,
        player: Player,
        *,
        append: Callable[..., tuple[Event, ...]],
        begin: Callable[[StepStarted], int],
    ) -> None:
        self._player = player
        self._append = append
        self._begin = begin

    async def model(self, step: StepStarted, messages: Sequence[Said]) -> ModelResponse | None:
        """The recorded answer of a model; None when the step is live. Raises the recorded error, or Stopped."""
        answer = await self._answer(Asked(step=step, messages=messages))
        if answer is None:
            return None
        taped, response = answer.taped, answer.taped.response
        if taped.status != "completed" or response is None:
            await self._fail(step, answer, otherwise=AgentError)
        completed = StepCompleted(
            model=response.model,
            provider=response.provider,
            finish_reason=response.finish_reason,
            response_id=response.response_id,
            usage=response.usage,
            cost=taped.cost,
            taped=taped.seq,
            is_drifted=answer.is_drifted,
        )
        message = MessageCompleted(message=msgspec.Raw(said(response.message).raw), reasoning=response.reasoning)
        seq = self._begin(step)
        self._append((message, seq), (completed, seq))
        return response

    async def result(self, step: StepStarted) -> bytes | None:
        """The recorded result, as JSON text; None when the step is live. Raises the recorded error, or Stopped."""
        answer = await self._answer(Asked(step=step))
        if answer is None:
            return None
        taped = answer.taped
        if taped.status != "completed":
            await self._fail(step, answer, otherwise=ToolFailed)
        seq = self._begin(step)
        completed = StepCompleted(result=msgspec.Raw(taped.result), taped=taped.seq, is_drifted=answer.is_drifted)
        written = (replace(each, taped=taped.seq, base=None) for each in taped.written)
        self._append(*((each, seq) for each in written), (completed, seq))
        return taped.result

    async def _answer(self, asked: Asked) -> Answer | None:
        try:
            return await self._player.answer(asked)
        except Stopped:
            if (divergence := self._player.take_divergence()) is not None:
                self._append((divergence, None))
            raise

    async def _fail(self, step: StepStarted, answer: Answer, *, otherwise: type[RunwrightError]) -> NoReturn:
        """End a step as it was recorded: with its error, or without an answer.

        The error is of its own class, or of `otherwise` where that is none which this kind of step raises.
        """
        seq = self._begin(step)
        told = answer.taped.error
        if answer.is_missing or told is None:
            await self._player.stop_as_recorded()
            # What gave the step up then does so now.
            await asyncio.get_running_loop().create_future()
            raise Stopped
        is_unknown = told.code == OutcomeUnknown.code
        failed: Record = (StepFailed(error=replace(told, step=seq), is_unknown=is_unknown, taped=answer.taped.seq), seq)
        # A person said that it is to be taken as failed, else the run would not have gone on.
        resolved: tuple[Record, ...] = ((StepResolved(action="fail"), seq),) if is_unknown else ()
        self._append(failed, *resolved)
        error = revive(told.code, told.message)
        raise error if isinstance(error, (ModelError, ToolError, RunError)) else otherwise(told.message)
