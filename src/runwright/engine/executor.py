"""Performs one run: what `decide` says for a loop, the function itself for a code flow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import msgspec

from runwright.core.agent import CodeFlow, Loop
from runwright.core.context import Context
from runwright.core.event import (
    Event,
    OutputRejected,
    RestartCause,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunWaiting,
    ToolRejected,
)
from runwright.core.message import Said
from runwright.core.run import ErrorInfo, WaitReason, error_info
from runwright.engine.decide import (
    Decision,
    Fail,
    Finish,
    Lost,
    ModelCall,
    PlannedTool,
    RejectOutput,
    ToolCalls,
    Wait,
    decide,
)
from runwright.engine.flow import FlowGateway, Suspended, ToolGateway, run_flow, surroundings
from runwright.engine.fold import fold, start
from runwright.engine.gateway import Spawn, Steps, World, is_cancelled
from runwright.engine.live import LiveRun
from runwright.errors import AgentError, DeadlineExceeded, ModelError, RunError, RunwrightError, ToolError
from runwright.journal.project import CANCELLED
from runwright.journal.tape import Tape, read_tape
from runwright.watch import logs


class Executor:
    """Executes one run in this process, from the events it has so far."""

    def __init__(
        self, live: LiveRun, world: World, *, spawn: Spawn, events: Sequence[Event], history: tuple[Said, ...]
    ) -> None:
        self._live = live
        self._world = world
        self._events = events
        self._conversation = start(history)
        flow = live.agent.flow
        limit = flow.limits.time_s
        deadline = None if limit is None else asyncio.get_running_loop().time() + limit
        self._flow = flow
        self._steps = Steps(
            live.log,
            world,
            limits=flow.limits,
            deadline=deadline,
            note=self._note,
            spawn=spawn,
            cause=_restart_cause(events),
        )

    async def execute(self) -> None:
        """Run until the run ends or waits, and record that. Raises StorageError when it cannot be recorded."""
        try:
            await self._perform()
        # The run executor is one of the three places where anything may arrive: an agent is anybody's code.
        except BaseException as error:  # noqa: BLE001 - recorded as the run's error
            self._ended(_cause(error))
        await self._live.log.durable()

    def _ended(self, error: BaseException) -> None:
        """Record how a run ended that did not reach its end."""
        if self._live.log.lost is not None:
            raise self._live.log.lost
        if self._live.cancel_reason is not None:
            self._cancelled()
            return
        match error:
            case Suspended():
                self._wait(error.reason, error.detail)
            case asyncio.CancelledError() if is_cancelled():
                # The process stops: the run goes on where it is at the next start.
                raise error
            case KeyboardInterrupt():
                raise error
            case RunwrightError():
                self._failed(error_info(error))
            case _:
                told = f"{type(error).__name__}: {error}"
                self._failed(error_info(AgentError(told)))

    async def _perform(self) -> None:
        if isinstance(self._flow, CodeFlow):
            await self._perform_flow(self._flow)
            return
        self._conversation = fold(self._conversation, self._events, self._flow.read_input)
        ref = self._world.models.resolve(self._flow.model).ref
        is_streamed = self._live.run.mode != "wait"
        while True:
            decision = decide(self._conversation, self._flow, model=ref, is_streamed=is_streamed)
            if await self._act(decision):
                return

    async def _perform_flow(self, flow: CodeFlow) -> None:
        gateway = FlowGateway(
            self._steps,
            self._world,
            agent=self._live.agent,
            tape=Tape(read_tape(self._events)),
            is_forced=self._live.is_forced,
        )
        context = Context(surroundings(self._steps, self._world, self._live.agent, gateway=gateway))
        scope = asyncio.timeout(flow.limits.time_s)
        try:
            with logs.context(run=self._live.run.id):
                async with scope:
                    output = await run_flow(flow, context, self._live.input)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise DeadlineExceeded(f"The run took longer than {flow.limits.time_s} s; raise limits.time_s.") from error
        self._completed(Finish(output=output))

    async def _act(self, decision: Decision) -> bool:
        """Perform a decision; True when the run ended or waits."""
        match decision:
            case ModelCall():
                await self._ask(decision)
            case ToolCalls():
                await self._use(decision)
            case Lost():
                self._lose(decision)
            case RejectOutput():
                self._steps.append((OutputRejected(reason=decision.reason), None))
            case Finish():
                self._completed(decision)
                return True
            case Fail():
                self._failed(decision.error)
                return True
            case Wait():
                self._wait(decision.reason, decision.detail)
                return True
        return False

    async def _ask(self, call: ModelCall) -> None:
        try:
            await self._steps.model(call.request, match=call.match, base=call.base, fresh=call.fresh, again=call.again)
        except (ModelError, RunError):
            # Recorded as a failed step: `decide` sees it in the conversation.
            return

    async def _use(self, calls: ToolCalls) -> None:
        for call, reason in calls.rejected:
            self._steps.append((ToolRejected(call_id=call.id, name=call.name, reason=reason), None))
        if len(calls.planned) == 1:
            await self._call(calls.planned[0])
            return
        async with asyncio.TaskGroup() as group:
            for planned in calls.planned:
                group.create_task(self._call(planned))

    async def _call(self, planned: PlannedTool) -> None:
        try:
            await self._steps.tool(
                planned.tool,
                planned.arguments,
                match=planned.match,
                call_id=planned.call.id,
                context=self._context,
                again=planned.again,
            )
        except (ToolError, RunError):
            # Recorded as a failed step: the model is told, or the run waits.
            return

    def _context(self, step: int, idempotency_key: str) -> Context:
        around = surroundings(self._steps, self._world, self._live.agent, gateway=ToolGateway(self._steps))
        return Context(around, step=step, idempotency_key=idempotency_key)

    def _lose(self, lost: Lost) -> None:
        for step in lost.steps:
            self._steps.lose(step.seq, step.name)

    def _note(self, events: tuple[Event, ...]) -> None:
        if isinstance(self._flow, Loop):
            self._conversation = fold(self._conversation, events, self._flow.read_input)

    def _completed(self, finish: Finish) -> None:
        run = self._live.run
        # A code flow has no conversation to leave to the next run of its thread.
        head = (run.thread_id, run.id) if run.thread_id is not None and isinstance(self._flow, Loop) else None
        data = RunCompleted(
            output=msgspec.Raw(finish.output), finish_reason=finish.finish_reason, usage=run.usage, cost=run.cost
        )
        self._live.end = data
        self._live.log.append((data, None), thread_head=head)

    def _failed(self, error: ErrorInfo) -> None:
        self._live.log.close_steps(ErrorInfo(code="run_failed", message="The run failed while the step was open."))
        run = self._live.run
        self._live.log.append((RunFailed(error=error, usage=run.usage, cost=run.cost), None))

    def _cancelled(self) -> None:
        """First the open steps, then the run; what arrives later is dropped."""
        self._live.log.close_steps(CANCELLED)
        run = self._live.run
        reason = self._live.cancel_reason or ""
        self._live.log.append((RunCancelled(reason=reason, usage=run.usage, cost=run.cost), None))

    def _wait(self, reason: WaitReason, detail: str) -> None:
        log = self._live.log
        log.append((RunWaiting(reason=reason, detail=detail), None))
        if reason == "unknown_effect" and not log.unknown_steps:
            # The outcome came while the flow unwound.
            log.append((RunResumed(cause="resolved", epoch=log.run.epoch), None))


def _cause(error: BaseException) -> BaseException:
    """What ended the run, where tasks side by side ended in a group: a reason to wait before any error."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)  # isinstance cannot know what the group holds
    causes = [_cause(each) for each in group.exceptions]
    return next((each for each in causes if isinstance(each, Suspended)), causes[0])


def _restart_cause(events: Sequence[Event]) -> RestartCause:
    resumed = next((event.data for event in reversed(events) if isinstance(event.data, RunResumed)), None)
    if resumed is None or resumed.cause == "crash":
        return "crash"
    return "storage" if resumed.cause == "storage" else "resolved"
