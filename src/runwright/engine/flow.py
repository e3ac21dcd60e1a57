"""Code flows: plain async functions whose effects are steps, run again against the tape after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from runwright.core.agent import BuiltAgent, CodeFlow, Tool
from runwright.core.context import Context, Surroundings
from runwright.core.message import Message, SystemMessage, UserMessage, chain_digest, said
from runwright.core.model import ModelRequest, ModelResponse
from runwright.core.ports import Gateway
from runwright.core.run import WaitReason
from runwright.core.step import StepKey, StepKind
from runwright.engine.decide import model_key, tool_key
from runwright.engine.fold import OpenStep
from runwright.engine.gateway import Steps, World
from runwright.errors import InvalidRequest, LimitExceeded, OutcomeUnknown, RunError, ToolFailed, revive
from runwright.journal.tape import Tape, Taped

PATIENCE = 16
"""Turns of the loop without progress after which a code flow is said to have diverged."""


class Suspended(BaseException):
    """The run has to wait. Not an Exception, so that a flow's own handlers do not swallow it."""

    def __init__(self, reason: WaitReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: WaitReason = reason
        self.detail = detail


class FromThread:
    """Progress and custom events of a run, from whatever thread they come."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._loop = asyncio.get_running_loop()

    def progress(self, message: str, *, fraction: float | None, step: int | None) -> None:
        """Record how far the work is."""
        self._on_loop(lambda: self._steps.progress(message, fraction=fraction, step=step))

    def emit(self, name: str, value: bytes, *, step: int | None) -> None:
        """Record a custom event; `value` is JSON text."""
        self._on_loop(lambda: self._steps.emit(name, value, step=step))

    def _on_loop(self, append: Callable[[], None]) -> None:
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here:
            append()
        else:
            self._loop.call_soon_threadsafe(append)


class ToolGateway(FromThread):
    """What a tool's context reaches: it may tell, not perform steps of its own."""

    async def model(
        self, messages: str | Sequence[Message], *, model: str | None, instructions: str, lane: str
    ) -> ModelResponse:
        """Refused: a step inside a tool would not be found again after a crash."""
        raise RunError("A tool cannot call a model as a step; do that in a code flow, or hand the work to an agent.")

    async def tool(self, tool: str | Tool, arguments: str, *, lane: str) -> bytes:
        """Refused, as `model` is."""
        raise RunError("A tool cannot call another tool as a step; call the function itself, or use a code flow.")


class FlowGateway(FromThread):
    """Steps of a code flow: answered from the tape where they stand there, performed where they do not."""

    def __init__(self, steps: Steps, world: World, *, agent: BuiltAgent, tape: Tape, is_forced: bool) -> None:
        super().__init__(steps)
        self._steps = steps
        self._world = world
        self._agent = agent
        self._tape = tape
        self._is_forced = is_forced
        self._issued: dict[StepKey, int] = {}
        self._count = 0

    async def model(
        self, messages: str | Sequence[Message], *, model: str | None, instructions: str, lane: str
    ) -> ModelResponse:
        """A model call as a step."""
        flow = self._flow
        ref = self._world.models.resolve(model or flow.model).ref
        asked: Sequence[Message] = (UserMessage(content=messages),) if isinstance(messages, str) else messages
        system = (SystemMessage(content=instructions),) if instructions else ()
        entries = tuple(said(message) for message in (*system, *asked))
        request = ModelRequest(model=ref, messages=entries, is_streamed=self._steps.log.run.mode != "wait")
        match = self._issue(lane, "model", model_key(request, chain_digest(entries)))
        taped = await self._answer(match)
        if taped is not None and taped.response is not None:
            return taped.response
        self._refuse_spending()
        return await self._steps.model(request, match=match, base=None, fresh=entries, again=_again(taped))

    async def tool(self, tool: str | Tool, arguments: str, *, lane: str) -> bytes:
        """A tool call as a step."""
        chosen = self._tool(tool)
        checked = chosen.check(arguments)
        match = self._issue(lane, "tool", tool_key(chosen.spec.name, arguments))
        taped = await self._answer(match)
        if taped is not None and taped.is_final:
            return taped.result
        try:
            return await self._steps.tool(
                chosen, checked, match=match, call_id=None, context=self._context, again=_again(taped)
            )
        except OutcomeUnknown as error:
            raise Suspended("unknown_effect", error.message) from error

    @property
    def _flow(self) -> CodeFlow:
        flow = self._agent.flow
        assert isinstance(flow, CodeFlow)
        return flow

    def _tool(self, tool: str | Tool) -> Tool:
        if not isinstance(tool, str):
            return tool
        known: Mapping[str, Tool] = self._flow.tools
        if tool not in known:
            raise InvalidRequest(f"There is no tool {tool!r}; known are {', '.join(sorted(known)) or 'none'}.")
        return known[tool]

    def _context(self, step: int, idempotency_key: str) -> Context:
        around = surroundings(self._steps, self._world, self._agent, gateway=ToolGateway(self._steps))
        return Context(around, step=step, idempotency_key=idempotency_key)

    def _issue(self, lane: str, kind: StepKind, key: str) -> StepKey:
        """Occurrences are counted when a step is asked for, so that answers may come in any order."""
        self._count += 1
        limit = self._flow.limits.steps
        if self._count > limit:
            raise LimitExceeded(f"The run would take more than {limit} steps; raise limits.steps.")
        first = StepKey(lane, kind, key, 0)
        nth = self._issued.get(first, 0)
        self._issued[first] = nth + 1
        return StepKey(lane, kind, key, nth)

    def _refuse_spending(self) -> None:
        limit = self._flow.limits.tokens
        used = self._steps.log.run.usage.total_tokens
        if limit is not None and used >= limit:
            raise LimitExceeded(f"The run used {used} tokens of {limit}; raise limits.tokens.")

    async def _answer(self, match: StepKey) -> Taped | None:
        taped = self._tape.take(match)
        if taped is None:
            await self._refuse_divergence(match)
            return None
        if taped.status == "failed" and taped.error is not None:
            raise revive(taped.error.code, taped.error.message)
        if taped.status == "running" and taped.effect == "once" and not taped.is_granted:
            self._steps.lose(taped.seq, taped.name)
            taped = replace(taped, status="unknown")
        if taped.status == "unknown":
            raise Suspended("unknown_effect", f"It is not known whether {taped.name!r} (step {taped.seq}) took effect.")
        return taped

    async def _refuse_divergence(self, match: StepKey) -> None:
        """A step that is not on the tape is new only when the finished ones of its lane are used up.

        Answers from the tape take no time, so branches side by side are first let come to their own steps.
        """
        if self._is_forced:
            return
        missed, turns = self._tape.next_unused(match.lane), 0
        while missed is not None and turns < PATIENCE:
            await asyncio.sleep(0)
            before, missed = missed, self._tape.next_unused(match.lane)
            turns = turns + 1 if missed is before else 0
        if missed is not None:
            raise Suspended(
                "diverged",
                f"The code asks for another {match.kind} step than the record holds at step {missed.seq} "
                f"({missed.name!r}); resume it with the current code, or cancel it.",
            )


def surroundings(steps: Steps, world: World, agent: BuiltAgent, *, gateway: Gateway) -> Surroundings:
    """What tools and flows of a run are handed."""
    run = steps.log.run
    return Surroundings(
        gateway=gateway, secrets=world.secrets, run_id=run.id, agent=agent.name, user=run.user, state=world.state
    )


def _again(taped: Taped | None) -> OpenStep | None:
    if taped is None:
        return None
    return OpenStep(
        seq=taped.seq,
        kind=taped.match.kind,
        name=taped.name,
        match=taped.match,
        effect=taped.effect,
        call_id=None,
        attempt=taped.attempt,
    )


async def run_flow(flow: CodeFlow, context: Context, input: bytes) -> bytes:
    """Execute a flow and give its output as JSON text. Raises what the flow raises."""
    value: Any = flow.read_input(input)
    output = await flow.function(context, value)
    try:
        return flow.write_output(output)
    except (TypeError, ValueError) as error:
        raise ToolFailed(f"The agent's output cannot be written as JSON: {error}") from error
