"""Performs one run: what `decide` says for a loop, the function itself for a code flow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

from msgspec.structs import replace

from runwright.core.agent import CodeFlow, Loop
from runwright.core.context import Context
from runwright.core.event import (
    Event,
    OutputRejected,
    RunStarted,
    StepFailed,
    StoppedBy,
    ToolRejected,
)
from runwright.core.message import Said
from runwright.core.run import ErrorInfo, error_info
from runwright.core.step import SUPERSEDED
from runwright.engine.decide import (
    PAUSABLE,
    Aside,
    Cut,
    Fail,
    Finish,
    Lost,
    ModelCall,
    PlannedTool,
    Recall,
    RejectOutput,
    Supersede,
    ToolCalls,
    Wait,
    decide,
    paused,
    short,
)
from runwright.engine.end import Cancel, End, conclude, is_in_doubt
from runwright.engine.escapes import watched
from runwright.engine.flow import FlowGateway, Suspended, run_flow, surroundings, tool_context
from runwright.engine.fold import LOOP_VERSION, OpenStep, fold, start
from runwright.engine.gateway import Steps
from runwright.engine.holding import Held
from runwright.engine.late import Spawn, is_cancelled
from runwright.engine.live import LiveRun
from runwright.engine.reuse import ResultOf, reuse
from runwright.engine.world import Bounds, World
from runwright.errors import AgentError, DeadlineExceeded, GuardError, ModelError, RunError, RunwrightError, ToolError
from runwright.guard import Own
from runwright.watch import logs


class Executor:
    """Executes one run in this process, from the events it has so far."""

    def __init__(
        self,
        live: LiveRun,
        world: World,
        *,
        spawn: Spawn,
        events: Sequence[Event],
        history: tuple[Said, ...],
        recall: ResultOf,
    ) -> None:
        player = live.player
        if player is not None:
            world = replace(world, models=player.models(world.models))
        self._live = live
        self._player = player
        self._is_performing = True
        self._world = world
        self._events = events
        self._history = history
        self._conversation = start(history)
        flow = live.agent.flow
        # A strict replay takes as long as it takes: it ends late where its recording did.
        limit = None if player is not None and player.replay.is_strict else flow.limits.time_s
        deadline = None if limit is None else asyncio.get_running_loop().time() + limit
        self._flow = flow
        self._deadline = deadline
        self._gateway: FlowGateway | None = None
        self._reuse = reuse(live, world.guards.around.answers, recall, past=events)
        self._task: asyncio.Task[Finish | BaseException] | None = None
        self._steps = Steps(
            live.log,
            world,
            bounds=Bounds(
                limits=flow.limits,
                deadline=deadline,
                own=_own(live),
                approvals=flow.approvals,
                within=live.within,
            ),
            note=self._note,
            spawn=spawn,
            past=events,
            player=player,
        )

    async def execute(self) -> None:
        """Run until the run ends or waits, and record that. Raises StorageError when it cannot be recorded."""
        if isinstance(self._flow, CodeFlow):
            self._gateway = FlowGateway(self._steps, self._world, live=self._live, past=self._events)
        if self._player is not None:
            self._player.begin(self, pace=None if self._gateway is None else self._gateway.pace)
        try:
            end = await self._answered() or await self._perform()
        # The run executor is one of the three places where anything may arrive: an agent is anybody's code.
        except BaseException as error:  # noqa: BLE001 - recorded as the run's error
            end = self._broken(_cause(error))
        finally:
            self._is_performing = False
            self._steps.close()
        await self._conclude(end)
        await self._live.log.durable()
        if self._reuse is not None:
            await self._reuse.keep()

    def stop(self) -> None:
        """End a replay that goes no further."""
        if self._is_performing and self._live.task is not None:
            self._live.task.cancel()

    def interrupt(self, by: StoppedBy | None, reason: str | None) -> None:
        """Stop a replay as its recording was stopped."""
        if not self._is_performing:
            return
        if by == "cancel" or reason is not None:
            self._live.cancel_reason = self._live.cancel_reason or reason or ""
        if self._gateway is not None and self._task is not None:
            interrupted = partial(_interrupt, self._gateway, self._task, by, reason=reason or "")
            self._gateway.beginning.after(interrupted)
        elif self._live.task is not None:
            self._live.task.cancel()

    def _broken(self, error: BaseException) -> End:
        """How a run ends that did not reach its end."""
        if self._live.log.lost is not None:
            raise self._live.log.lost
        if isinstance(error, KeyboardInterrupt):
            raise error
        if self._player is not None and self._player.end is not None:
            return self._player.end
        if is_cancelled() and self._live.cancel_reason is None:
            # The process stops: the run goes on where it is at the next start.
            raise asyncio.CancelledError from error
        logs.raised(f"agent {self._live.log.run.agent!r}", error)
        told = error if isinstance(error, RunwrightError) else AgentError(f"{type(error).__name__}: {error}")
        return Fail(error=error_info(told))

    async def _conclude(self, end: End) -> None:
        log, reason = self._live.log, self._live.cancel_reason
        if self._player is not None:
            self._player.close()
            if self._steps.playback is not None:
                self._steps.playback.close()
            if reason is None or self._player.is_stopping:
                end, reason = self._player.judge(end), None
            if (divergence := self._player.take_divergence()) is not None:
                log.append((divergence, None))
        if self._gateway is not None and isinstance(end, Finish | Fail):
            end = self._gateway.judge(end)
        if isinstance(end, Wait) and end.reason in PAUSABLE and (pause := await self._live.brake.pulled()) is not None:
            end = paused(pause.reason, end)
        if reason is not None and (not isinstance(end, Finish) or is_in_doubt(log)):
            end = Cancel(reason=reason)
        run = self._live.run
        # Most code flows have no conversation to leave to the next run of their thread.
        is_conversation = isinstance(self._flow, Loop) or self._flow.is_conversation
        head = (run.thread_id, run.id) if run.thread_id is not None and is_conversation else None
        self._live.end = conclude(log, end, thread_head=head)

    async def _answered(self) -> Finish | None:
        """What an earlier run came to that was asked the same, where the agent says that this will do."""
        found = None if self._reuse is None else await self._reuse.find()
        if found is None:
            return None
        decision, end = found
        self._steps.append((decision, None))
        return end

    async def _perform(self) -> End:
        if isinstance(self._flow, CodeFlow):
            assert self._gateway is not None
            return await self._perform_flow(self._flow, self._gateway)
        self._conversation = fold(self._conversation, self._events, self._flow.read_input)
        ref = self._world.models.ref(self._flow.model)
        summary_ref = next((self._world.models.ref(each) for each in self._flow.models), ref)
        is_streamed = self._live.run.mode != "wait"
        while True:
            decision = decide(
                self._conversation, self._flow, model=ref, summary_model=summary_ref, is_streamed=is_streamed
            )
            if isinstance(decision, Finish | Fail | Wait):
                return decision
            if not isinstance(decision, Lost) and (pause := await self._live.brake.pulled()) is not None:
                return paused(pause.reason)
            await self._act(decision)
            if self._steps.purse.shortage is not None:
                return short(self._steps.purse.shortage)

    async def _perform_flow(self, flow: CodeFlow, gateway: FlowGateway) -> Finish:
        scope = asyncio.timeout_at(self._deadline)
        try:
            with logs.context(run=self._live.run.id):
                async with scope:
                    return await self._apart(flow, gateway, scope=scope)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise DeadlineExceeded(f"The run took longer than {flow.limits.time_s} s; raise limits.time_s.") from error

    async def _apart(self, flow: CodeFlow, gateway: FlowGateway, *, scope: asyncio.Timeout) -> Finish:
        """Run a flow in a task of its own, to tell a cancellation of the run from those of the flow's own making."""
        around = surroundings(self._steps, self._world, self._live.agent, gateway=gateway)
        history = tuple(entry.message for entry in self._history)
        context = Context(replace(around, history=history, loop=_loop(self._events)))
        with watched(gateway):
            work = _outcome(flow, context, self._live.input, gateway=gateway)
            self._task = task = asyncio.get_running_loop().create_task(work)
        if gateway.beginning.cancelled is not None:
            # Whoever cancels it again need not do so.
            self._live.cancel_reason = gateway.beginning.cancelled.reason
        gateway.beginning.begin(lambda told: _interrupt(gateway, task, told.by, reason=told.reason, is_told=True))
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                self._leave(task, gateway, is_late=scope.expired())
        outcome = task.result()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _leave(self, task: asyncio.Task[Finish | BaseException], gateway: FlowGateway, *, is_late: bool) -> None:
        """Stop a flow: when it has come to rest, or at once if what it does now is not told or is done again."""
        if self._player is not None:
            self._player.leave()
        reason = self._live.cancel_reason
        is_playing = self._player is None or self._player.end is None
        if is_playing and (reason is not None or is_late):
            by = "time" if reason is None else "cancel"
            gateway.beginning.after(partial(_interrupt, gateway, task, by, reason=reason or ""))
        else:
            gateway.leave(is_final=False)
            task.cancel()

    async def _act(
        self, decision: Recall | Aside | Cut | ModelCall | ToolCalls | Lost | Supersede | RejectOutput
    ) -> None:
        match decision:
            case Recall():
                await self._recall(decision)
            case Aside():
                await self._call(decision.planned)
            case Cut():
                self._steps.append((decision.cut, decision.step))
            case ModelCall():
                await self._ask(decision)
            case ToolCalls():
                await self._use(decision)
            case Lost():
                self._lose(decision)
            case Supersede():
                self._supersede(decision.step)
            case RejectOutput():
                self._steps.append((OutputRejected(reason=decision.reason), None))

    async def _recall(self, recall: Recall) -> None:
        deed = self._steps.memory.deed(recall.arguments)
        context = tool_context(self._steps, self._world, self._live.agent)
        arguments = deed.check(recall.arguments)
        try:
            await self._steps.tool(
                deed, arguments, match=recall.match, call_id=None, context=context, again=recall.again
            )
        except (ToolError, RunError):
            # Recorded as a failed step: `decide` sees it in the conversation.
            return

    async def _ask(self, call: ModelCall) -> None:
        try:
            await self._steps.model(call.request, match=call.match, base=call.base, fresh=call.fresh, again=call.again)
        except (ModelError, RunError, GuardError):
            # Recorded as a failed step: `decide` sees it in the conversation.
            return

    async def _use(self, calls: ToolCalls) -> None:
        for call, reason in calls.rejected:
            self._steps.append((ToolRejected(call_id=call.id, name=call.name, reason=reason), None))
        if len(calls.planned) == 1:
            await self._call(calls.planned[0])
            return
        left = iter(calls.planned)
        async with asyncio.TaskGroup() as group:
            for _ in calls.planned[: calls.at_once]:
                group.create_task(self._calls(left))

    async def _calls(self, left: Iterator[PlannedTool]) -> None:
        """One call after the other, while there are any; one that is held keeps the place."""
        for planned in left:
            if await self._live.brake.pulled() is not None or not await self._call(planned):
                return

    async def _call(self, planned: PlannedTool) -> bool:
        """Whether a call has come to its end; it is held if not."""
        try:
            await self._steps.tool(
                planned.tool,
                planned.arguments,
                match=planned.match,
                call_id=None if planned.call is None else planned.call.id,
                context=tool_context(self._steps, self._world, self._live.agent),
                again=planned.again,
            )
        except Held:
            return False
        except (ToolError, RunError, GuardError):
            # Recorded as a failed step: the model is told, or the run waits.
            return True
        return True

    def _lose(self, lost: Lost) -> None:
        for step in lost.steps:
            self._steps.lose(step.seq, step.name)

    def _supersede(self, step: OpenStep) -> None:
        told = f"The process died while {step.name!r} was asked, and now another request is sent."
        error = ErrorInfo(code=SUPERSEDED, message=told, step=step.seq)
        self._steps.append((StepFailed(error=error), step.seq))

    def _note(self, events: tuple[Event, ...]) -> None:
        if self._reuse is not None:
            self._reuse.note(events)
        if isinstance(self._flow, Loop):
            self._conversation = fold(self._conversation, events, self._flow.read_input)


def _loop(events: Sequence[Event]) -> int:
    """The version of the loop by which a run began, or the one that it replays."""
    return next((event.data.loop for event in events if isinstance(event.data, RunStarted)), LOOP_VERSION)


def _own(live: LiveRun) -> Own:
    agent, limits = live.agent, live.agent.flow.limits
    return Own(
        agent=agent.name,
        of_agent=agent.guard,
        of_run=agent.run_guard,
        tokens=limits.tokens,
        usd=limits.usd,
        within=tuple(
            (each.run, each.usd, each.tokens) for each in live.within if each.usd is not None or each.tokens is not None
        ),
    )


async def _outcome(flow: CodeFlow, context: Context, input: bytes, *, gateway: FlowGateway) -> Finish | BaseException:
    """How a flow ended, or what it raised: SystemExit raised in a task would end the event loop."""
    gateway.branches.enter()
    try:
        return await run_flow(flow, context, input)
    except BaseException as error:  # noqa: BLE001 - handed to the run executor
        return error
    finally:
        gateway.close()


def _interrupt(
    gateway: FlowGateway,
    task: asyncio.Task[Finish | BaseException],
    by: StoppedBy | None,
    *,
    reason: str,
    is_told: bool = False,
) -> None:
    """Stop a flow when it has come to rest; at once if it does nothing after that. `is_told` if that is on record."""

    def stop() -> None:
        if gateway.is_over:
            return
        gateway.leave(is_final=by == "cancel")
        task.cancel()

    if by is None:
        stop()
        return
    gateway.interrupt(by, reason, is_told=is_told)
    gateway.pace.give(stop)


def _cause(error: BaseException) -> BaseException:
    """What ended the run, where tasks side by side ended in a group: a reason to wait before any error."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)  # isinstance cannot know what the group holds
    causes = [_cause(each) for each in group.exceptions]
    return next((each for each in causes if isinstance(each, Suspended)), causes[0])
