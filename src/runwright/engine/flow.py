"""Code flows: plain async functions whose effects are steps, run again against the tape after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from runwright.core.agent import BuiltAgent, CodeFlow, Tool, kind_of
from runwright.core.context import Context, Surroundings
from runwright.core.event import (
    CustomEmitted,
    Data,
    Event,
    ProgressReported,
    RunInterrupted,
    StepFailed,
    StoppedBy,
    TimerFired,
)
from runwright.core.message import Message, chain_digest
from runwright.core.model import ModelOptions, ModelResponse
from runwright.core.ports import Gateway, Model
from runwright.core.run import ErrorInfo, printable
from runwright.core.spending import Quantities
from runwright.core.step import StepKey, StepKind, may_have_acted
from runwright.core.values import is_json
from runwright.engine.allowance import Allowance
from runwright.engine.asking import flow_request, to_send
from runwright.engine.beginning import Beginning
from runwright.engine.branches import Branches
from runwright.engine.decide import Fail, Finish, Wait, checked, model_key, short, tool_key
from runwright.engine.escapes import watched
from runwright.engine.fold import OpenStep
from runwright.engine.gateway import Steps
from runwright.engine.holding import Held, Parking
from runwright.engine.live import LiveRun
from runwright.engine.pace import Pace
from runwright.engine.playback import Untold
from runwright.engine.replay import Stopped
from runwright.engine.world import World
from runwright.errors import BudgetExceeded, InvalidRequest, OutcomeUnknown, RunError, ToolFailed, revive
from runwright.journal.project import CANCELLED
from runwright.journal.tape import GIVEN_UP, Taped
from runwright.tools.deeds import Deed

T = TypeVar("T")


class Suspended(BaseException):
    """The run has to wait. Not an Exception, so that a flow's own handlers do not swallow it."""


class FromThread:
    """What tools and flows of a run tell, from whatever thread it comes."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._loop = asyncio.get_running_loop()
        self._acting: set[str] = set()

    def progress(self, message: str, *, fraction: float | None, step: int | None, lane: str) -> None:
        """Record how far the work is."""
        said = ProgressReported(message=printable(message), fraction=fraction, lane=lane)
        self._on_loop(lambda: self._steps.reports.say(said, step=step))

    def emit(self, name: str, value: bytes, *, step: int | None) -> None:
        """Record a custom event; `value` is JSON text."""
        said = CustomEmitted(name=printable(name), value=msgspec.Raw(value))
        self._on_loop(lambda: self._steps.reports.say(said, step=step))

    def spent(self, ref: str, used: Quantities, *, step: int) -> None:
        """Record what a tool spent."""
        self._on_loop(lambda: self._steps.reports.spent(ref, used, step=step))

    def escaped(self, reason: str) -> None:
        """Record that the code did something that was no step."""
        self._on_loop(lambda: self._steps.reports.taint(reason))

    def has_acted(self, lane: str) -> bool:
        """Whether a step of a lane, or of one below it, was asked for that does more than read."""
        return any(each == lane or each.startswith(f"{lane}/") for each in self._acting)

    def tell(self, data: Data) -> None:
        """Record what came to the code. On the loop's thread; dropped when the run is over."""
        if self._steps.log.lost is None and not self._steps.log.run.is_over:
            self._steps.append((data, None))

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

    def __init__(self, steps: Steps, world: World, *, agent: BuiltAgent, step: int) -> None:
        super().__init__(steps)
        self._world = world
        self._agent = agent
        self._step = step

    async def model(
        self,
        messages: str | Sequence[Message],
        *,
        model: str | Model | None,
        instructions: str,
        options: ModelOptions,
        lane: str,
    ) -> ModelResponse:
        """Refused: a step inside a tool would not be found again after a crash."""
        raise RunError("A tool cannot call a model as a step; do that in a code flow, or hand the work to an agent.")

    async def tool(self, tool: str | Tool, arguments: str, *, lane: str) -> bytes:
        """Refused, as `model` is."""
        raise RunError("A tool cannot call another tool as a step; call the function itself, or use a code flow.")

    async def act(self, kind: StepKind, arguments: str, *, lane: str) -> bytes:
        """Done at once: a tool's result is recorded as a whole, together with what it wrote to memory."""
        deed = _deed(self._steps, self._world, kind=kind, arguments=arguments)
        around = surroundings(self._steps, self._world, self._agent, gateway=self)
        return await deed.call(deed.check(arguments), Context(around, step=self._step, lane_path=lane))


class FlowGateway(FromThread):
    """Steps of a code flow: answered from the tape where they stand there, performed where they do not.

    Nothing is performed before all that was recorded has come again, and while steps of its lane that ended, or may
    have acted, were not asked for: another branch may come to them. If none does in time, the code has changed.
    """

    def __init__(self, steps: Steps, world: World, *, live: LiveRun, past: Sequence[Event]) -> None:
        super().__init__(steps)
        self._steps = steps
        self._world = world
        self._agent = live.agent
        self.branches = Branches()
        self.pace = Pace(
            fired=self._fired,
            restless=lambda: self.escaped("its code did not come to rest while it waited"),
            is_alone=self.branches.is_waiting,
        )
        self.beginning = Beginning(past, pace=self.pace, branches=self.branches, lost=lambda: self.escaped(_LOST))
        self._allowance = Allowance(self._flow.limits, spent=steps.log.run.usage.total_tokens)
        self._issued: dict[StepKey, int] = {}
        self._wait: Wait | None = None
        self._is_leaving = False
        self._is_interrupted = False
        # Tasks that perform steps, how often they were cancelled before, and which of them the code gave up by itself.
        self._away_tasks: dict[asyncio.Task[Any], int] = {}
        self._quitting: set[asyncio.Task[Any]] = set()
        self._is_refusing = False
        self._parking = Parking(self.branches, self.pace, live.brake)
        self.is_over = False

    def close(self) -> None:
        """The flow has come to its end: what it left behind performs no steps."""
        self.is_over = True
        self.pace.close()
        self.beginning.leave()

    def interrupt(self, by: StoppedBy, reason: str, *, is_told: bool) -> None:
        """Record that the flow is stopped, unless that is on record; it may still do something."""
        # Code that is put off does nothing more that counts.
        if self._is_refusing:
            return
        self._is_interrupted = True
        if not is_told:
            self.tell(RunInterrupted(by=by, reason=reason))

    def leave(self, *, is_final: bool) -> None:
        """The run is cancelled from outside: steps that end by it stay open for the end of the run, or the next start.

        If it is not final, no more steps are performed, since the flow will be executed again.
        """
        if not self._is_leaving:
            self._quitting = {task for task, count in self._away_tasks.items() if task.cancelling() > count}
        self._is_leaving = True
        self._is_refusing = self._is_refusing or not is_final
        if not is_final:
            self.beginning.leave()

    def judge(self, end: Finish | Fail) -> Finish | Fail | Wait:
        """How a flow ends that came to this end: it waits if it was told to, or never asked for what it had done."""
        if self._wait is not None:
            return self._wait
        missed = self.beginning.unused
        if missed is None:
            return end
        how = "ended" if isinstance(end, Finish) else f"failed ({end.error.message})"
        return Wait(reason="diverged", detail=f"The code {how} without asking for {_named(missed)}; {_GO_ON}")

    async def model(
        self,
        messages: str | Sequence[Message],
        *,
        model: str | Model | None,
        instructions: str,
        options: ModelOptions,
        lane: str,
    ) -> ModelResponse:
        """A model call as a step."""
        own = None if model is None or isinstance(model, str) else model
        ref = own.ref if own is not None else self._world.models.ref(cast("str | None", model) or self._flow.model)
        entries = to_send(messages, instructions)
        request = flow_request(ref, entries, options, is_streamed=self._steps.log.run.mode != "wait")
        match = self._issue(lane, "model", model_key(request, chain_digest(entries)))
        is_recorded = self._steps.playback is not None and self._steps.playback.has(match)
        if not is_recorded and not self.beginning.has(match):
            self._allowance.refuse_spending()
        taped = await self._answer(match)
        if taped is not None and taped.response is not None:
            response = taped.response
        else:
            work = self._steps.model(request, match=match, base=None, fresh=entries, again=_again(taped), own=own)
            response = await self._perform(work, match)
        self._allowance.tokens += response.usage.total_tokens
        return response

    async def tool(self, tool: str | Tool, arguments: str, *, lane: str) -> bytes:
        """A tool call as a step."""
        chosen = _chosen(self._flow.tools, tool)
        return await self._use(kind_of(chosen), chosen, arguments, lane=lane)

    async def _use(self, kind: StepKind, chosen: Tool, arguments: str, *, lane: str) -> bytes:
        given = chosen.check(arguments)
        match = self._issue(lane, kind, tool_key(chosen.spec.name, arguments))
        if chosen.effect != "read":
            self._acting.add(lane)
        taped = await self._answer(match)
        if taped is not None and taped.is_final:
            return taped.result
        if taped is not None:
            given = checked(chosen, kind, arguments, again=taped.arguments)
        context = tool_context(self._steps, self._world, self._agent)
        work = self._steps.tool(chosen, given, match=match, call_id=None, context=context, again=_again(taped))
        return await self._perform(work, match)

    async def act(self, kind: StepKind, arguments: str, *, lane: str) -> bytes:
        """A deed of the runtime's own as a step."""
        deed = _deed(self._steps, self._world, kind=kind, arguments=arguments)
        return await self._use(kind, deed, arguments, lane=lane)

    @property
    def _flow(self) -> CodeFlow:
        flow = self._agent.flow
        assert isinstance(flow, CodeFlow)
        return flow

    def _issue(self, lane: str, kind: StepKind, key: str) -> StepKey:
        """Occurrences are counted when a step is asked for, so that answers may come in any order."""
        self._refuse_leaving()
        self._allowance.count(kind)
        first = StepKey(lane, kind, key, 0)
        nth = self._issued.get(first, 0)
        self._issued[first] = nth + 1
        return StepKey(lane, kind, key, nth)

    async def _answer(self, match: StepKey) -> Taped | None:
        taped = self.beginning.take(match)
        if taped is None:
            await self._hold(match, None)
            return None
        if taped.is_final or self.beginning.is_given_up(taped):
            with watched(None):
                await self.beginning.turn(taped)
        if taped.status == "failed" and taped.error is not None:
            raise revive(taped.error.code, taped.error.message)
        if taped.status == "unknown":
            raise self._suspended(_in_doubt(_unknown(taped)))
        if taped.status == "running":
            try:
                await self._hold(match, taped)
            except asyncio.CancelledError:
                # One after the other, as what is performed.
                await self.pace.turn()
                raise
        return taped

    async def _hold(self, match: StepKey, taped: Taped | None) -> None:
        """Wait until all that was recorded has come again, so that a step can be performed.

        One that was in flight and may have acted is lost.
        """
        is_lost = taped is not None and may_have_acted(taped.effect, taped.attempt) and not taped.is_granted
        task = asyncio.current_task()
        assert task is not None
        self._away_tasks[task] = task.cancelling()
        try:
            with watched(None):
                missed = await self.beginning.over(match.lane)
                if is_lost and self._is_interrupted and not self._is_leaving:
                    await _stop()
        except asyncio.CancelledError:
            if not is_lost:
                self._cancelled(match, task)
            raise
        finally:
            del self._away_tasks[task]
            if taped is not None and is_lost and not self.is_over:
                self._steps.lose(taped.seq, taped.name)
            self._refuse_leaving()
            if taped is not None and is_lost and not self._is_leaving:
                raise self._suspended(_in_doubt(_unknown(taped)))
        if missed is not None:
            told = f"The code asks for another {match.kind} step than {_named(missed)}; {_GO_ON}"
            raise self._suspended(Wait(reason="diverged", detail=told))

    def _fired(self, nth: int) -> None:
        # What code does that is put off comes once more when it goes on.
        is_put_off = self._is_refusing and not self._is_interrupted
        if not is_put_off and not self.beginning.is_told(nth):
            self.tell(TimerFired(nth=nth))

    async def _perform(self, work: Coroutine[Any, Any, T], match: StepKey) -> T:
        """Perform a step. What comes of it reaches the code when that has come to rest."""
        playback = self._steps.playback
        is_past = playback is not None and playback.is_past(match)
        try:
            # Where nothing is done for a step, its code goes on at once when it gives the step up.
            code = self if playback is not None and playback.is_strict else None
            given = await self._away(work, match, code=code)
        except Untold as error:
            # `asyncio.timeout` knows no class but this.
            raise asyncio.CancelledError from error
        except (Exception, asyncio.CancelledError):
            await self.pace.turn(is_past=is_past)
            raise
        await self.pace.turn(is_past=is_past)
        return given

    async def _away(self, work: Coroutine[Any, Any, T], match: StepKey, *, code: FlowGateway | None) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._away_tasks[task] = task.cancelling()
        try:
            if (wait := await self._parking.paused(work, self._refuse_leaving)) is not None:
                raise self._suspended(wait)
            return await self._parking.perform(work, code)
        except Held as error:
            raise self._suspended(self._parking.wait) from error
        except OutcomeUnknown as error:
            if all(step.match != match for step in self._steps.log.unknown_steps):
                raise
            if self._is_interrupted and not self._is_leaving:
                await _stop()
            raise self._suspended(_in_doubt(error.message)) from error
        except BudgetExceeded as error:
            shortage = self._steps.purse.shortage
            if not error.is_waiting or shortage is None:
                raise
            # What other branches have sent comes to its end first.
            await self.branches.rest()
            raise self._suspended(short(shortage)) from error
        except Stopped:
            self.leave(is_final=False)
            raise
        except asyncio.CancelledError:
            self._cancelled(match, task)
            raise
        finally:
            del self._away_tasks[task]

    def _cancelled(self, match: StepKey, task: asyncio.Task[Any]) -> None:
        """A step was cancelled: by the flow itself, which gets no further after one that may have acted, or with it."""
        if not self._is_leaving or task in self._quitting:
            self._end(match, GIVEN_UP)
            if any(step.match == match for step in self._steps.log.unknown_steps):
                self._suspended(_in_doubt("The flow cancelled a step that may have taken effect."))
        elif not self._is_refusing:
            # What the flow still does comes after that.
            self._end(match, CANCELLED)

    def _end(self, match: StepKey, error: ErrorInfo) -> None:
        for step in self._steps.log.open_steps:
            if step.match == match:
                self._steps.append((StepFailed(error=replace(error, step=step.seq)), step.seq))
                if (child := self._steps.children.get(step.seq)) is not None:
                    self._world.runner.abandon(child)

    def _suspended(self, wait: Wait) -> Suspended:
        """The run has to wait, whatever the flow makes of it."""
        self._wait = self._wait or wait
        self.leave(is_final=False)
        return Suspended()

    def _refuse_leaving(self) -> None:
        if self.is_over:
            raise RunError("The run has come to its end; a task that it left behind asked for a step.")
        if self._wait is not None:
            raise Suspended
        if self._is_refusing:
            raise asyncio.CancelledError


_LOST = "when it went on, its code did not come to what had come to it before"
_GO_ON = "resume it with the current code, or cancel it."


def _deed(steps: Steps, world: World, *, kind: StepKind, arguments: str) -> Deed:
    return steps.memory.deed(arguments) if kind == "memory" else world.deeds.find(kind, arguments)


def _chosen(known: Mapping[str, Tool], tool: str | Tool) -> Tool:
    if not isinstance(tool, str):
        return tool
    if tool not in known:
        raise InvalidRequest(f"There is no tool {tool!r}; known are {', '.join(sorted(known)) or 'none'}.")
    return known[tool]


async def _stop() -> None:
    """The flow was told to stop, and is as soon as it rests: that comes before all else."""
    await asyncio.get_running_loop().create_future()


def _in_doubt(detail: str) -> Wait:
    return Wait(reason="unknown_effect", detail=detail)


def _unknown(step: Taped) -> str:
    return f"It is not known whether {_named(step)} took effect."


def _named(step: Taped) -> str:
    return f"{step.name!r} (step {step.seq})"


def surroundings(steps: Steps, world: World, agent: BuiltAgent, *, gateway: Gateway) -> Surroundings:
    """What tools and flows of a run are handed."""
    run = steps.log.run
    return Surroundings(
        gateway=gateway, secrets=world.secrets, run_id=run.id, agent=agent.name, user=run.user, state=world.state
    )


def tool_context(steps: Steps, world: World, agent: BuiltAgent) -> Callable[[int, str], Context]:
    """Makes the context of a tool call from the number of its step and its idempotency key."""

    def context(step: int, idempotency_key: str) -> Context:
        around = surroundings(steps, world, agent, gateway=ToolGateway(steps, world, agent=agent, step=step))
        begun = next((each.started_at for each in steps.log.open_steps if each.seq == step), None)
        return Context(around, step=step, started_at=begun, idempotency_key=idempotency_key)

    return context


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
        need=taped.need,
        is_approved=taped.is_approved,
        arguments=taped.arguments,
    )


async def run_flow(flow: CodeFlow, context: Context, input: bytes) -> Finish:
    """Execute a flow to its end. Raises what the flow raises."""
    value: Any = flow.read_input(input)
    output = await flow.function(context, value)
    try:
        written = flow.write_output(output)
    except (TypeError, ValueError) as error:
        raise ToolFailed(f"The agent's output cannot be written as JSON: {error}") from error
    if not is_json(written):
        raise ToolFailed("The agent's output was not written as JSON text.")
    return Finish(output=written, left=None if flow.conversation is None else flow.conversation(output))
