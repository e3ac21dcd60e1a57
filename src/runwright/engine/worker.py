"""The engine: takes runs in, gives them slots, takes up runs whose process is gone, and passes on signals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec
from msgspec.structs import replace

from runwright.core.agent import BuiltAgent, Loop
from runwright.core.event import (
    Event,
    RunCancelled,
    RunFailed,
    RunQueued,
    RunResumed,
    RunStarted,
    RunWaiting,
    StepCompleted,
    StepFailed,
    StepResolved,
    StepStarted,
)
from runwright.core.ids import new_id
from runwright.core.message import Said
from runwright.core.ports import Clock, IdempotencyKey, RunStore, Signal, SignalStore, ThreadStore
from runwright.core.run import Run, RunRequest, error_info
from runwright.core.step import Step
from runwright.core.thread import Thread
from runwright.engine.executor import Executor
from runwright.engine.fold import LOOP_VERSION
from runwright.engine.gateway import World
from runwright.engine.live import LiveRun
from runwright.engine.owner import Owner
from runwright.errors import (
    Conflict,
    CrashLoop,
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    Overloaded,
    OwnershipLost,
    RunwrightError,
    StorageError,
    Unavailable,
)
from runwright.journal.project import cancelled_error
from runwright.journal.read import JournalReader
from runwright.journal.requests import history
from runwright.journal.write import Journal, Record

ADOPTIONS = 3
"""Times a run is taken up without a newly finished step before it fails."""

SIGNAL_POLL_S = 0.25
ORPHAN_POLL_S = 2.0
THREAD_POLL_S = 0.1


class Agents(Protocol):
    """Finds built agents."""

    def get(self, name: str, version: str | None = None) -> BuiltAgent:
        """An agent, its current version when none is named. Raises NotFound."""
        ...


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An Idempotency-Key of a caller: `scope` is caller and route, `body_hash` the hash of the request's body."""

    scope: str
    key: str
    body_hash: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says about a step of unknown outcome; `result` is JSON text."""

    action: str
    step: int | None = None
    result: bytes = b"null"
    by: str = ""
    note: str = ""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The store ports that the engine reads."""

    runs: RunStore
    threads: ThreadStore
    signals: SignalStore
    reader: JournalReader


class Engine:
    """Executes runs in this process. `is_adopting` engines also take up runs of processes that are gone."""

    def __init__(
        self,
        *,
        rows: Rows,
        journal: Journal,
        world: World,
        agents: Agents,
        owner: Owner,
        clock: Clock,
        concurrency: int = 64,
        queue_limit: int = 10_000,
        is_adopting: bool = False,
    ) -> None:
        self._rows = rows
        self._journal = journal
        self._world = world
        self._agents = agents
        self._owner = owner
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrency)
        self._queue_limit = queue_limit
        self._waiting_for_slot = 0
        self._is_adopting = is_adopting
        self._live: dict[str, LiveRun] = {}
        self._tasks = asyncio.TaskGroup()
        self._tending: asyncio.Task[None] | None = None
        self.is_draining = False

    @property
    def active(self) -> int:
        """Runs in the hands of this process."""
        return len(self._live)

    def live(self, run_id: str) -> LiveRun | None:
        """A run in the hands of this process."""
        return self._live.get(run_id)

    async def start(self) -> None:
        """Take up what a dead process left, at once, and begin to tend."""
        await self._tasks.__aenter__()
        if self._is_adopting:
            await self._adopt_orphans()
        self._tending = self._tasks.create_task(self._tend())

    async def stop(self, *, drain_s: float) -> None:
        """Take no more runs, let those at work finish for so many seconds, and leave the rest for the next start."""
        self.is_draining = True
        if self._tending is not None:
            self._tending.cancel()
        tasks = [live.task for live in self._live.values() if live.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=drain_s)
        for task in tasks:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def submit(self, request: RunRequest, claim: Claim | None = None) -> tuple[str, LiveRun | None]:
        """Create a run and begin it. A repeated idempotency key gives the earlier run, live or not.

        Raises NotFound, InvalidRequest, Conflict, Overloaded, Unavailable, IdempotencyMismatch or StorageError.
        """
        self._refuse()
        agent = self._agents.get(request.agent, request.version)
        agent.flow.read_input(request.input)
        if request.thread_id is not None:
            await self._prepare_thread(request)
        live = self._create(agent, request)
        idempotency = self._claimed(live.run, claim)
        queued: Record = (
            RunQueued(
                agent=agent.name,
                version=agent.version,
                input=msgspec.Raw(request.input),
                config=msgspec.Raw(msgspec.json.encode(request.config)) if request.config else msgspec.Raw(b"null"),
            ),
            None,
        )
        if request.thread_id is None and claim is None and not self._slots.locked():
            await self._slots.acquire()
            events = live.log.append(queued, (RunStarted(loop=LOOP_VERSION), None))
            self._begin(live, events, (), has_slot=True)
        else:
            events = live.log.append(queued, idempotency=idempotency)
            try:
                await live.log.durable()
            except Conflict:
                del self._live[live.run.id]
                return await self._repeated(claim), None
            self._begin(live, events, (), has_slot=False)
        if request.mode == "background":
            await live.log.durable()
        return live.run.id, live

    async def cancel(self, run_id: str, reason: str) -> None:
        """Cancel a run wherever it is. Nothing happens when it is over."""
        live = self._live.get(run_id)
        if live is not None:
            self._cancel_live(live, reason)
            await asyncio.wait([live.settled])
            return
        run = await self._row(run_id)
        if run.is_over:
            return
        if not self._owner.is_gone(run.owner):
            await self._leave(run_id, "cancel", msgspec.json.encode({"reason": reason}))
            return
        adopted = await asyncio.to_thread(
            self._rows.runs.adopt, run_id, epoch=run.epoch, owner=self._owner.boot
        )
        if adopted is not None:
            await self._end_cancelled(adopted, reason)

    async def resolve(self, run_id: str, outcome: Outcome) -> None:
        """Say what became of a step of unknown outcome; the run goes on here, or where runs are taken up.

        Raises NotFound, Conflict or InvalidRequest.
        """
        run = await self._row(run_id)
        step = await self._unknown_step(run, outcome.step)
        outcome = replace(outcome, step=step.seq)
        if self._is_adopting:
            await self._go_on_resolved(run, outcome, consumed=())
        else:
            await self._leave(run_id, "resolve", msgspec.json.encode(outcome))

    async def resume(self, run_id: str) -> None:
        """Let a waiting run go on with the current code. Raises NotFound or Conflict."""
        run = await self._row(run_id)
        if run.status != "waiting":
            raise Conflict(f"{run_id} is {run.status}; only a waiting run can be resumed.")
        if run.reason == "unknown_effect":
            raise Conflict(f"{run_id} waits for a step of unknown outcome: resolve it instead.")
        if self._is_adopting:
            await self._go_on_forced(run, consumed=())
        else:
            await self._leave(run_id, "resume", b"{}")

    def _refuse(self) -> None:
        if self.is_draining:
            raise Unavailable("The server is shutting down; send the request again in a moment.")
        if self._journal.error is not None:
            raise self._journal.error
        if self._waiting_for_slot >= self._queue_limit:
            raise Overloaded(f"{self._waiting_for_slot} runs are queued already; try again later.", retry_after_s=1.0)

    def _create(self, agent: BuiltAgent, request: RunRequest) -> LiveRun:
        run_id = new_id("run")
        run = Run(
            id=run_id,
            agent=agent.name,
            version=agent.version,
            fingerprint=agent.fingerprint,
            status="queued",
            created_at=self._clock.now(),
            mode=request.mode,
            owner=self._owner.boot,
            epoch=1,
            thread_id=request.thread_id,
            parent_run_id=request.parent_run_id,
            root_run_id=request.root_run_id or run_id,
            group=request.group,
            user=request.user,
            tags=request.tags,
            metadata=request.metadata,
            is_ephemeral=request.is_ephemeral,
        )
        live = LiveRun(agent, input=request.input, config=request.config)
        live.log = self._journal.open(run, is_new=True, publish=live.publish)
        self._live[run_id] = live
        return live

    def _claimed(self, run: Run, claim: Claim | None) -> IdempotencyKey | None:
        if claim is None:
            return None
        return IdempotencyKey(claim.scope, claim.key, claim.body_hash, run.id, run.created_at)

    async def _repeated(self, claim: Claim | None) -> str:
        assert claim is not None
        held = await asyncio.to_thread(self._rows.runs.idempotent, claim.scope, claim.key)
        if held is None or held.body_hash != claim.body_hash:
            raise IdempotencyMismatch(f"The Idempotency-Key {claim.key!r} was used with another body; send a new key.")
        return held.run_id

    async def _prepare_thread(self, request: RunRequest) -> None:
        assert request.thread_id is not None
        thread = await asyncio.to_thread(self._rows.threads.get, request.thread_id)
        if thread is None:
            fresh = Thread(id=request.thread_id, created_at=self._clock.now(), user=request.user)
            await asyncio.to_thread(self._rows.threads.put, fresh)
            return
        if request.multitask == "enqueue":
            return
        active = await asyncio.to_thread(self._rows.threads.active_run, request.thread_id)
        if active is not None and request.multitask == "reject":
            raise Conflict(f"The thread {request.thread_id} is busy with {active}; wait, or use multitask 'enqueue'.")
        if active is not None:
            await self.cancel(active, "interrupted by a newer run of the thread")

    def _begin(self, live: LiveRun, events: Sequence[Event], past: tuple[Said, ...], *, has_slot: bool) -> None:
        live.task = self._tasks.create_task(self._drive(live, events, past, has_slot=has_slot))

    async def _drive(
        self, live: LiveRun, events: Sequence[Event], past: tuple[Said, ...], *, has_slot: bool
    ) -> None:
        """One run in this process, from its slot to its end; whatever happens, it is settled and let go."""
        failure: StorageError | None = None
        try:
            if not has_slot:
                await self._take_slot()
                has_slot = True
                past, started = await self._started(live, past)
                events = (*events, *started)
            await Executor(live, self._world, events=events, history=past).execute()
        except StorageError as error:
            failure = error
        except asyncio.CancelledError:
            failure = await self._cancelled_early(live)
        finally:
            if has_slot:
                self._slots.release()
            self._let_go(live, failure)

    async def _take_slot(self) -> None:
        self._waiting_for_slot += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting_for_slot -= 1

    async def _started(self, live: LiveRun, past: tuple[Said, ...]) -> tuple[tuple[Said, ...], Sequence[Event]]:
        """Begin a run that was queued: in a thread it waits for its turn and takes up the history."""
        if live.run.status != "queued":
            return past, ()
        head: str | None = None
        if live.run.thread_id is not None:
            head = await self._turn(live.run.id, live.run.thread_id)
            past = await self._history(head)
        return past, live.log.append((RunStarted(loop=LOOP_VERSION, thread_head=head), None))

    async def _turn(self, run_id: str, thread_id: str) -> str | None:
        """Wait until a run is the oldest of its thread that is not over; the thread's head at that moment."""
        while True:
            active = await asyncio.to_thread(self._rows.threads.active_run, thread_id)
            if active is None or active == run_id:
                thread = await asyncio.to_thread(self._rows.threads.get, thread_id)
                return None if thread is None else thread.head
            before = self._live.get(active)
            if before is not None:
                await asyncio.wait([before.settled], timeout=ORPHAN_POLL_S)
            await asyncio.sleep(THREAD_POLL_S)

    async def _history(self, head: str | None) -> tuple[Said, ...]:
        if head is None:
            return ()
        return history(await asyncio.to_thread(lambda: list(self._rows.reader.events(head))))

    async def _cancelled_early(self, live: LiveRun) -> StorageError | None:
        """A run that was cancelled before it had a slot; at shutdown it stays queued for the next start."""
        if live.cancel_reason is None:
            return StorageError("The process stops; the run goes on at the next start.")
        try:
            if not live.run.is_over:
                live.log.append((RunCancelled(reason=live.cancel_reason), None))
            await live.log.durable()
        except StorageError as error:
            return error
        return None

    def _let_go(self, live: LiveRun, failure: StorageError | None) -> None:
        self._live.pop(live.run.id, None)
        live.log.close()
        if not live.settled.done():
            if failure is None:
                live.settled.set_result(live.run)
            else:
                live.settled.set_exception(failure)
                # Nobody may be waiting; that is no mistake.
                live.settled.exception()
        live.release()

    def _cancel_live(self, live: LiveRun, reason: str) -> None:
        if live.cancel_reason is None and live.task is not None and not live.run.is_over:
            live.cancel_reason = reason
            live.task.cancel()

    async def _row(self, run_id: str) -> Run:
        run = await asyncio.to_thread(self._rows.runs.get, run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id!r}.")
        return run

    async def _leave(self, run_id: str, kind: str, body: bytes) -> None:
        signal = Signal(
            id=new_id("sig"), run_id=run_id, kind=msgspec.convert(kind, _SIGNAL_KIND), body=body,
            created_at=self._clock.now(),
        )
        await asyncio.to_thread(self._rows.signals.put, signal)

    # Taking up runs.

    async def _adopt_orphans(self) -> None:
        """Take up every queued or running run whose owner is gone, or that this process let go for want of disk."""
        for run in await asyncio.to_thread(self._rows.runs.owned, ("queued", "running")):
            is_ours = run.owner == self._owner.boot and run.id not in self._live
            if is_ours or self._owner.is_gone(run.owner):
                await self._adopt(run, cause="storage" if is_ours else "crash")

    async def _adopt(self, run: Run, *, cause: str) -> None:
        adopted = await asyncio.to_thread(
            self._rows.runs.adopt, run.id, epoch=run.epoch, owner=self._owner.boot
        )
        if adopted is None:
            return
        if adopted.is_ephemeral:
            await self._end_cancelled(adopted, "its caller is gone and will send it again")
            return
        if adopted.adoptions > ADOPTIONS:
            error = CrashLoop(f"The run was taken up {ADOPTIONS} times without finishing a step.")
            await self._end(adopted, RunFailed(error=error_info(error), usage=adopted.usage, cost=adopted.cost))
            return
        await self._go_on(adopted, cause=cause)

    async def _go_on(
        self,
        run: Run,
        *,
        cause: str,
        records: Callable[[LiveRun], Sequence[Record]] = lambda live: (),
        consumed: tuple[str, ...] = (),
        is_forced: bool = False,
    ) -> None:
        """Continue an adopted run from its data."""
        events = await asyncio.to_thread(lambda: list(self._rows.reader.events(run.id)))
        live = await self._taken_up(run, events)
        if live is None:
            return
        live.is_forced = is_forced
        past = await self._history(_thread_head(events))
        if run.status == "queued":
            self._begin(live, events, past, has_slot=False)
            return
        changed, is_fit = _compare(live.agent, run, events)
        if not is_fit and not is_forced:
            detail = "The agent's tools changed since the run began; resume it with the current code, or cancel it."
            live.log.append((RunWaiting(reason="diverged", detail=detail), None))
            await live.log.durable()
            self._let_go(live, None)
            return
        resumed = RunResumed(cause=msgspec.convert(cause, _CAUSE), epoch=run.epoch, code_changed=changed)
        more = live.log.append((resumed, None), *records(live), consumed=consumed)
        self._begin(live, (*events, *more), past, has_slot=False)

    async def _taken_up(self, run: Run, events: Sequence[Event]) -> LiveRun | None:
        """The adopted run as a live one; without its agent it waits."""
        first = events[0].data if events else None
        input = bytes(first.input) if isinstance(first, RunQueued) else b"null"
        config: dict[str, object] = {}
        if isinstance(first, RunQueued):
            config = msgspec.json.decode(first.config, type=dict[str, object] | None) or {}
        try:
            agent = self._agents.get(run.agent, run.version)
        except NotFound as error:
            await self._end(run, RunWaiting(reason="diverged", detail=f"{error.message} Define it, then resume."))
            return None
        steps = await asyncio.to_thread(self._all_steps, run.id)
        live = LiveRun(agent, input=input, config=config)
        live.log = self._journal.open(run, is_new=False, publish=live.publish, steps=_unfinished(steps))
        live.published = events[-1].seq if events else 0
        self._live[run.id] = live
        return live

    def _all_steps(self, run_id: str) -> Sequence[Step]:
        steps: list[Step] = []
        while True:
            page = self._rows.runs.steps(run_id, after=steps[-1].seq if steps else 0)
            if not page:
                return steps
            steps.extend(page)

    async def _end_cancelled(self, run: Run, reason: str) -> None:
        await self._end(run, RunCancelled(reason=reason, usage=run.usage, cost=run.cost))

    async def _end(self, run: Run, data: RunCancelled | RunFailed | RunWaiting) -> None:
        """Record what becomes of an adopted run that is not executed."""
        steps = _unfinished(await asyncio.to_thread(self._all_steps, run.id))
        log = self._journal.open(run, is_new=False, publish=lambda events: None, steps=steps)
        if not isinstance(data, RunWaiting):
            for step in log.open_steps:
                log.append((_closed(step), step.seq))
        log.append((data, None))
        try:
            await log.durable()
        except OwnershipLost:
            return

    # Waiting runs.

    async def _unknown_step(self, run: Run, seq: int | None) -> Step:
        if run.status != "waiting" or run.reason != "unknown_effect":
            raise Conflict(f"{run.id} is {run.status}; only a run that waits for an unknown effect can be resolved.")
        steps = await asyncio.to_thread(self._all_steps, run.id)
        unknown = [step for step in steps if step.status == "unknown"]
        chosen = [step for step in unknown if seq is None or step.seq == seq]
        if len(chosen) != 1:
            names = ", ".join(f"{step.seq} ({step.name})" for step in unknown)
            raise InvalidRequest(f"Say which step is resolved; unknown are {names or 'none'}.")
        return chosen[0]

    async def _go_on_resolved(self, run: Run, outcome: Outcome, *, consumed: tuple[str, ...]) -> None:
        adopted = await self._adopt_waiting(run)
        seq = outcome.step
        assert seq is not None
        resolved = StepResolved(
            action=msgspec.convert(outcome.action, _ACTION), by=outcome.by, note=outcome.note
        )
        records: list[Record] = [(resolved, seq)]
        if outcome.action == "done":
            records.append((StepCompleted(result=msgspec.Raw(outcome.result)), seq))
        await self._go_on(adopted, cause="resolved", records=lambda live: records, consumed=consumed)

    async def _go_on_forced(self, run: Run, *, consumed: tuple[str, ...]) -> None:
        adopted = await self._adopt_waiting(run)
        await self._go_on(adopted, cause="input", consumed=consumed, is_forced=True)

    async def _adopt_waiting(self, run: Run) -> Run:
        adopted = await asyncio.to_thread(
            self._rows.runs.adopt, run.id, epoch=run.epoch, owner=self._owner.boot
        )
        if adopted is None:
            raise Conflict(f"{run.id} was taken up by another process just now.")
        return replace(adopted, adoptions=0)

    # Tending.

    async def _tend(self) -> None:
        """Pass on signals, heal the journal, and take up orphans, for as long as the engine runs."""
        loop = asyncio.get_running_loop()
        next_orphans = loop.time() + ORPHAN_POLL_S
        while True:
            await asyncio.sleep(SIGNAL_POLL_S)
            try:
                if self._journal.error is not None and not await self._journal.heal():
                    continue
                await self._pass_signals()
                if self._is_adopting and loop.time() >= next_orphans:
                    next_orphans = loop.time() + ORPHAN_POLL_S
                    await self._adopt_orphans()
            except StorageError:
                # The store has a bad moment; the next round tries again, and readiness tells.
                continue

    async def _pass_signals(self) -> None:
        for signal in await asyncio.to_thread(self._rows.signals.pending):
            try:
                await self._pass_signal(signal)
            except StorageError:
                raise
            except RunwrightError:
                # The signal does not fit the run any more: somebody else was first.
                await asyncio.to_thread(self._rows.signals.drop, signal.id)

    async def _pass_signal(self, signal: Signal) -> None:
        live = self._live.get(signal.run_id)
        if live is not None:
            if signal.kind == "cancel":
                self._cancel_live(live, _reason(signal))
                await asyncio.to_thread(self._rows.signals.drop, signal.id)
            return
        run = await asyncio.to_thread(self._rows.runs.get, signal.run_id)
        if run is None or run.is_over:
            await asyncio.to_thread(self._rows.signals.drop, signal.id)
        elif self._is_adopting and self._owner.is_gone(run.owner):
            await self._act_on(run, signal)

    async def _act_on(self, run: Run, signal: Signal) -> None:
        match signal.kind:
            case "cancel":
                await self.cancel(run.id, _reason(signal))
                await asyncio.to_thread(self._rows.signals.drop, signal.id)
            case "resolve":
                outcome = msgspec.json.decode(signal.body, type=Outcome)
                await self._unknown_step(run, outcome.step)
                await self._go_on_resolved(run, outcome, consumed=(signal.id,))
            case "resume":
                await self._go_on_forced(run, consumed=(signal.id,))
            case _:
                await asyncio.to_thread(self._rows.signals.drop, signal.id)


_SIGNAL_KIND = Literal["cancel", "resolve", "resume"]
_CAUSE = Literal["crash", "resolved", "input", "storage"]
_ACTION = Literal["done", "retry", "fail"]


def _reason(signal: Signal) -> str:
    return msgspec.json.decode(signal.body, type=dict[str, str]).get("reason", "")


def _unfinished(steps: Sequence[Step]) -> Sequence[Step]:
    return [step for step in steps if step.status in {"running", "unknown"}]


def _closed(step: Step) -> StepFailed:
    is_unknown = step.effect == "once"
    return StepFailed(error=cancelled_error(step.seq), is_unknown=is_unknown)


def _thread_head(events: Sequence[Event]) -> str | None:
    heads = [event.data.thread_head for event in events if isinstance(event.data, RunStarted)]
    return heads[-1] if heads else None


def _compare(agent: BuiltAgent, run: Run, events: Sequence[Event]) -> tuple[tuple[str, ...], bool]:
    """What differs from the code that began the run, and whether a loop may go on with today's tools."""
    if agent.fingerprint == run.fingerprint:
        return (), True
    if not isinstance(agent.flow, Loop):
        return ("definition",), True
    recorded = [event.data.tools for event in events if isinstance(event.data, StepStarted) and event.data.base is None]
    asked = [bytes(tools) for tools in recorded if bytes(tools) != b"null"]
    today = agent.flow.tools_raw
    if not asked or asked[-1] == today:
        return ("definition",), True
    return ("definition", "tools"), False
