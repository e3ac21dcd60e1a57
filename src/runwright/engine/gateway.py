"""The gateway: where a step is guarded, journaled, or answered from the tape."""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from runwright.core.agent import Tool, guard_of
from runwright.core.context import Context
from runwright.core.event import (
    Delta,
    Event,
    GuardDecided,
    MemoryWritten,
    MessageCompleted,
    MessageDelta,
    ReasoningDelta,
    RestartCause,
    RunResumed,
    StepCompleted,
    StepFailed,
    StepResolved,
    StepRestarted,
    StepStarted,
    ToolArgsDelta,
)
from runwright.core.message import Said
from runwright.core.model import (
    ModelEvent,
    ModelRequest,
    ModelResponse,
    QuotaSeen,
    ResponseCompleted,
    TextDelta,
    ToolCallDelta,
)
from runwright.core.model import (
    ReasoningDelta as ModelReasoningDelta,
)
from runwright.core.policy import Plan
from runwright.core.ports import Model
from runwright.core.run import error_info
from runwright.core.step import StepKey
from runwright.core.usage import Usage
from runwright.core.values import is_json
from runwright.engine import answers
from runwright.engine.asking import asked, completed, received
from runwright.engine.child import Above, named, perform
from runwright.engine.estimate import expected_usage
from runwright.engine.fold import OpenStep
from runwright.engine.holding import Held, Holding
from runwright.engine.late import Late, Spawn, is_cancelled
from runwright.engine.memory import RunMemory
from runwright.engine.playback import Playback
from runwright.engine.purse import Purse
from runwright.engine.replay import Player
from runwright.engine.reports import Reports
from runwright.engine.world import Bounds, World
from runwright.errors import (
    AgentError,
    BudgetExceeded,
    DeadlineExceeded,
    GuardError,
    LimitExceeded,
    MalformedResponse,
    ModelError,
    NotSent,
    OutcomeUnknown,
    RunError,
    RunwrightError,
    ToolError,
    ToolFailed,
)
from runwright.guard import Call, Priority, Sending, Spend, Trail
from runwright.guard.plans import Way
from runwright.journal.project import is_charged_once
from runwright.journal.write import Record, RunLog
from runwright.watch import logs

Note = Callable[[tuple[Event, ...]], None]
Attempt = Callable[[], Awaitable[bytes]]


class Steps:
    """Performs the steps of one run, which has these `past` events. `note` is told of every event that is appended."""

    def __init__(
        self,
        log: RunLog,
        world: World,
        *,
        bounds: Bounds,
        note: Note,
        spawn: Spawn,
        past: Sequence[Event],
        player: Player | None = None,
    ) -> None:
        self.log = log
        self._world = world
        self._bounds = bounds
        self._note = note
        self._spawn = spawn
        self._past = past
        # Of a replay, all that is repeated has to be known.
        self._memory = None if player is None else RunMemory(world.memory, log, past=past)
        self.playback: Playback | None = None
        if player is not None:
            self.playback = Playback(player, append=self.append, begin=self._begin, end=self._end)
        self.purse = Purse(log, world.models, price=world.price, append=self.append)
        self.reports = Reports(log, append=self.append, price=world.price, charge=self.purse.charge, past=past)
        self.children: dict[int, Any] = {}
        self._holding = Holding(log, begin=self._begin, append=self.append, approvals=bounds.approvals)
        self._is_closed = False

    def append(self, *records: Record) -> tuple[Event, ...]:
        """Append to the log and tell."""
        events = self.log.append(*records)
        self._note(events)
        if self._memory is not None:
            self._memory.note(events)
        return events

    @property
    def memory(self) -> RunMemory:
        """Memory as the run sees it. A run that does not ask for it has none."""
        if self._memory is None:
            self._memory = RunMemory(self._world.memory, self.log, past=self._past)
        return self._memory

    async def model(
        self,
        request: ModelRequest,
        *,
        match: StepKey,
        base: int | None,
        fresh: tuple[Said, ...],
        again: OpenStep | None,
        own: Model | None = None,
    ) -> ModelResponse:
        """Perform a model call; `own` answers for its reference. Raises ModelError or RunError after recording it."""
        await self._world.room()
        step = asked(request, match, base=base, fresh=fresh)
        if self.playback is not None:
            recorded = await self.playback.model(step, request.messages, again=again)
            if recorded is not None:
                return recorded
        # A model that does not exist is a mistake of the definition, and no failed call.
        if own is None:
            self._world.models.resolve(request.model)
        way = self._world.guards.model(request.model, self._bounds.own)
        if way.plan.budgets:
            may_use = self.purse.spend(request.model, expected_usage(request), is_priced=True, note=None)
            step = replace(step, reserves=may_use)
        seq = self._begin(step, again)
        trail = Trail()
        call = self._asking(request, match, way.plan, seq=seq, trail=trail, own=own)
        try:
            response = received(await way.proceed(call), seq, is_cached=trail.is_cached)
            self._end(seq, *completed(response, self.purse.cost(trail, response.usage)))
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            raise self._broken(seq, error) from error
        # A model is anybody's code: whatever it raises ends its step, not the process.
        except (Exception, SystemExit) as error:
            if self.purse.is_held(seq, trail, error):
                raise
            raise self._broken(seq, error) from error
        return response

    def _asking(
        self, request: ModelRequest, match: StepKey, plan: Plan, *, seq: int, trail: Trail, own: Model | None
    ) -> Call[ModelResponse]:
        def note(decision: GuardDecided) -> None:
            self._decided(decision, seq)

        def spend(ref: str, usage: Usage) -> Spend:
            # What is fallen back on may have budgets where the first model has none, and the other way round.
            chosen = plan if ref == request.model else self._world.guards.model_plan(ref, self._bounds.own)
            is_bounded = any(each.budget.usd is not None for each in chosen.budgets)
            is_priced = is_bounded or plan.cache is not None
            return self.purse.spend(ref, usage, is_priced=is_priced, note=note if is_bounded else None)

        expected = expected_usage(request)
        return Call[ModelResponse](
            kind="model",
            target=request.model,
            effect="read",
            content=request,
            send=lambda call, sending: self._ask(request, call, sending, step=seq, own=own),
            trail=trail,
            note=note,
            deadline=self._bounds.deadline,
            payer=self.purse.payer,
            timeout_s=self._bounds.limits.model_timeout_s,
            priority=self._priority,
            is_streamed=request.is_streamed,
            is_sampled=plan.cache is not None and answers.is_sampled(request),
            key=lambda: answers.model_question(self.log.run, request, match),
            asked=lambda: answers.asked(self.log.run, request, seq),
            # What is live in a replay is asked of the world.
            codec=answers.MODEL if self.playback is None else None,
            estimate=spend(request.model, expected),
            quote=lambda ref: spend(ref, expected),
            spent=lambda response: spend(trail.target, response.usage),
        )

    @property
    def _priority(self) -> Priority:
        return "background" if self.log.run.mode == "background" else "interactive"

    def _decided(self, decision: GuardDecided, seq: int) -> None:
        if self.log.lost is None and self.log.is_open(seq):
            self.append((decision, seq))

    def _again(self, call: Call[Any], seq: int) -> None:
        """Record that a step is sent again. The second one of two that race voids nothing and has no cause.

        A call that others wait for goes on when its own step has ended.
        """
        trail = call.trail
        cause, trail.cause = trail.cause, ""
        if cause and trail.attempts > 1 and self.log.is_open(seq) and self.log.lost is None:
            last = next((step for step in self.log.open_steps if step.seq == seq), None)
            if last is None:
                raise RunError("The step was given up and its outcome is unknown: it is not sent again.")
            if is_charged_once(last.effect):
                # What the attempt before spent is void, as it is in the record.
                trail.charged_nano -= last.cost.nano_usd or 0
            self.append((StepRestarted(attempt=last.attempt + 1, cause=cause), seq))

    def _broken(self, seq: int, error: BaseException) -> RunwrightError:
        told = (
            error
            if isinstance(error, (ModelError, DeadlineExceeded, LimitExceeded, GuardError))
            else AgentError(_told(error))
        )
        self._end(seq, StepFailed(error=error_info(told, step=seq)))
        return told

    async def _ask(
        self, request: ModelRequest, call: Call[ModelResponse], sending: Sending, *, step: int, own: Model | None
    ) -> ModelResponse:
        """One attempt of a model call."""
        self._again(call, step)
        model = own if own is not None and own.ref == call.target else self._world.models.resolve(call.target)
        stream = model.stream(_for_target(request, call, sending))
        try:
            async for event in stream:
                if isinstance(event, ResponseCompleted):
                    return event.response
                if isinstance(event, QuotaSeen):
                    sending.quota(event.quota)
                    continue
                sending.chunk()
                if self.log.is_open(step):
                    self.log.delta(_delta(event), step)
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        raise MalformedResponse(f"{model.ref!r} ended its answer without completing it.")

    async def tool(
        self,
        tool: Tool,
        arguments: Mapping[str, object],
        *,
        match: StepKey,
        call_id: str | None,
        context: Callable[[int, str], Context],
        again: OpenStep | None,
    ) -> bytes:
        """Perform a tool call and give its result as JSON text.

        Raises OutcomeUnknown for a `once` tool that was entered and did not return, else ToolError or DeadlineExceeded;
        Held where it needs something first.
        """
        await self._world.room()
        if match.kind == "child":
            arguments = named(arguments)
        step = StepStarted(
            kind=match.kind,
            name=tool.spec.name,
            key=match.key,
            lane=match.lane,
            nth=match.nth,
            effect=tool.effect,
            call_id=call_id,
            request=msgspec.Raw(msgspec.json.encode(arguments)),
        )
        if self.playback is not None:
            recorded = await self.playback.result(step, again=again)
            if recorded is not None:
                return recorded
        way = self._way(tool, match)
        step = replace(step, reserves=Spend()) if way.plan.budgets else step
        seq = self._holding.open(tool, step, arguments, again=again)
        if tool.effect != "read":
            await self.log.durable()
        surroundings = context(seq, idempotency_key(self.log.run.id, match))
        work: Late | None = None
        attempt = partial(_result, tool, arguments, surroundings, memory=self._memory)
        if match.kind == "child":
            self.children[seq] = arguments["run"]
            above = Above(run=self.log.run, limits=self._bounds.limits, within=self._bounds.within)
            attempt = partial(perform, self._world.runner, above, arguments, step=seq)
        if tool.effect == "once":
            # It is not aborted when its caller gives up.
            work = Late(attempt, spawn=self._spawn, on_late=lambda result: self._late(seq, result))
        try:
            return await self._settle(tool, match, seq, way=way, content=arguments, attempt=attempt, work=work)
        except Held as error:
            self._holding.hold(error.need)
            raise

    def _way(self, tool: Tool, match: StepKey) -> Way:
        guards = self._world.guards
        is_guarded = match.kind in ("tool", "http")
        return guards.tool(tool.spec.name, self._bounds.own, guard_of(tool)) if is_guarded else guards.bare

    async def _settle(
        self, tool: Tool, match: StepKey, seq: int, *, way: Way, content: object, attempt: Attempt, work: Late | None
    ) -> bytes:
        async def send(call: Call[bytes], _: Sending) -> bytes:
            self._again(call, seq)
            return await (attempt() if work is None else work.run())

        trail = Trail()
        if match.kind == "tool":
            self.purse.follow(seq, trail)
        call = Call[bytes](
            kind=match.kind,
            target=tool.spec.name,
            effect=tool.effect,
            content=content,
            send=send,
            trail=trail,
            note=lambda decision: self._decided(decision, seq),
            deadline=self._bounds.deadline,
            payer=self.purse.payer,
            timeout_s=tool.timeout_s or self._bounds.limits.tool_timeout_s,
            priority=self._priority,
            key=lambda: answers.tool_question(self.log.run, tool, match),
            codec=answers.TOOL if match.kind == "tool" and self.playback is None else None,
        )
        try:
            # Lines that the tool logs carry the run and the step.
            with logs.context(run=self.log.run.id, step=seq):
                result = await way.proceed(call)
        except asyncio.CancelledError as error:
            if not is_cancelled():
                raise self._failed(tool, seq, error, is_entered=work is not None and work.is_entered) from error
            if work is not None and work.is_entered:
                self._unknown(tool, seq, "it was cancelled")
            raise
        # A tool is anybody's code: whatever it raises ends its step, not the process.
        except (Exception, SystemExit) as error:
            if self.purse.is_held(seq, trail, error):
                raise
            raise self._failed(tool, seq, error, is_entered=work is not None and work.is_entered) from error
        finally:
            self.purse.leave(seq)
        self._end(seq, StepCompleted(result=msgspec.Raw(result)))
        return result

    def _failed(self, tool: Tool, seq: int, error: BaseException, *, is_entered: bool) -> RunwrightError:
        why = _told(error)
        logs.raised(f"tool {tool.spec.name!r}", error)
        if isinstance(error, OutcomeUnknown) or (is_entered and not isinstance(error, NotSent)):
            return self._unknown(tool, seq, why)
        # Other errors of ours would be taken for trouble of the run itself.
        told = error if isinstance(error, (ToolError, DeadlineExceeded, BudgetExceeded)) else ToolFailed(why)
        self._end(seq, StepFailed(error=error_info(told, step=seq)))
        return told

    def _unknown(self, tool: Tool, seq: int, why: str) -> OutcomeUnknown:
        error = OutcomeUnknown(f"It is not known whether {tool.spec.name!r} took effect: {why}.")
        if all(step.seq != seq for step in self.log.unknown_steps):
            self._end(seq, StepFailed(error=error_info(error, step=seq), is_unknown=True))
        return error

    def _end(
        self, seq: int, *data: MemoryWritten | MessageCompleted | StepCompleted | StepFailed | StepResolved
    ) -> None:
        """The end of a step; dropped when the run is over and has closed it.

        A run that waits for nothing else goes on: it has no owner, so it is taken up like an orphan.
        """
        log = self.log
        written = () if self._memory is None else self._memory.taken(seq, data[-1])
        if not log.is_open(seq):
            return
        self.append(*((each, seq) for each in (*written, *data)))
        if log.run.reason == "unknown_effect" and not log.unknown_steps:
            self.append((RunResumed(cause="resolved", epoch=log.run.epoch), None))

    def close(self) -> None:
        """The run has ended or waits: tasks that it left behind perform no steps."""
        self._is_closed = True

    def lose(self, seq: int, name: str) -> None:
        """Record that a `once` tool was in flight when the process died."""
        error = OutcomeUnknown(f"The process died while {name!r} was in flight.")
        self._end(seq, StepFailed(error=error_info(error, step=seq), is_unknown=True))

    def _late(self, seq: int, result: bytes) -> None:
        """The outcome of a `once` tool that came after its step was given up resolves the step."""
        if self.log.lost is None:
            self._end(seq, StepCompleted(result=msgspec.Raw(result)))

    def _begin(self, data: StepStarted, again: OpenStep | None = None) -> int:
        if self._is_closed:
            raise RunError(f"The run is {self.log.run.status}; a task that it left behind asked for {data.name!r}.")
        if again is None:
            return self.append((data, None))[0].seq
        self.append((StepRestarted(attempt=again.attempt + 1, cause=_restart_cause(self._past)), again.seq))
        return again.seq


def idempotency_key(run_id: str, match: StepKey) -> str:
    """The same for every attempt of a step: made from run, lane, tool and arguments (the key), and occurrence."""
    return f"{run_id}-{match.key}-{match.nth}" if not match.lane else f"{run_id}-{match.lane}-{match.key}-{match.nth}"


async def _result(tool: Tool, arguments: Mapping[str, object], context: Context, *, memory: RunMemory | None) -> bytes:
    if memory is not None and context.step is not None:
        memory.forget(context.step)
    result = await tool.call(arguments, context)
    if not is_json(result):
        raise ToolFailed(f"{tool.spec.name!r} gave no JSON text but {reprlib.repr(result)}")
    return result


def _restart_cause(past: Sequence[Event]) -> RestartCause:
    """Why steps that a run left open begin again."""
    resumed = next((event.data for event in reversed(past) if isinstance(event.data, RunResumed)), None)
    if resumed is None or resumed.cause == "crash":
        return "crash"
    return resumed.cause if resumed.cause in ("storage", "budget") else "resolved"


def _for_target(request: ModelRequest, call: Call[ModelResponse], sending: Sending) -> ModelRequest:
    """A request as this attempt of it is sent."""
    timeout = sending.timeout
    connect_s = request.connect_s if timeout is None else timeout.connect_s
    if call.target == request.model and connect_s == request.connect_s:
        return request
    return replace(request, model=call.target, connect_s=connect_s)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _delta(event: ModelEvent) -> Delta:
    if isinstance(event, TextDelta):
        return MessageDelta(text=event.text)
    if isinstance(event, ToolCallDelta):
        return ToolArgsDelta(index=event.index, call_id=event.id, name=event.name, arguments=event.arguments)
    assert isinstance(event, ModelReasoningDelta)
    return ReasoningDelta(text=event.text)
