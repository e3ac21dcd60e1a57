"""Drives the runs in the hands of this process: gives each a slot, executes it, and lets it go."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from runwright.core.agent import BuiltAgent, CodeFlow
from runwright.core.event import Event, RunStarted
from runwright.core.message import Said
from runwright.core.ports import RunStore, SignalStore, ThreadStore
from runwright.core.run import Run
from runwright.core.schedule import FiringStore, ScheduleStore
from runwright.engine.end import Cancel, conclude
from runwright.engine.escapes import watch
from runwright.engine.executor import Executor
from runwright.engine.fold import LOOP_VERSION
from runwright.engine.kept import Kept
from runwright.engine.live import LiveRun
from runwright.engine.redact import cleaner
from runwright.engine.reuse import recalled
from runwright.engine.slots import Slots
from runwright.engine.turns import INTERRUPTED, Turns
from runwright.engine.world import World
from runwright.errors import RunwrightError, Unavailable
from runwright.journal.read import JournalReader
from runwright.journal.requests import Handover, handover
from runwright.journal.write import Clean


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The store ports that the engine reads."""

    runs: RunStore
    threads: ThreadStore
    signals: SignalStore
    schedules: ScheduleStore
    firings: FiringStore
    reader: JournalReader


class OnRest(Protocol):
    """Is told of a run that this process has let go, over or not."""

    def __call__(self, run: Run, *, has_children: bool) -> None:
        """It is not executed any more."""
        ...


class Driver:
    """Holds the live runs of a process. `start` before use, `stop` at the end. `on_rest` is told of each it lets go."""

    def __init__(self, *, rows: Rows, world: World, concurrency: int, on_rest: OnRest) -> None:
        self._rows = rows
        self._on_rest = on_rest
        self._world = world
        self.slots = Slots(concurrency)
        self._tasks = asyncio.TaskGroup()
        self._live: dict[str, LiveRun] = {}
        self.kept = Kept()
        self._late: set[asyncio.Task[None]] = set()
        self._cleaners = [cleaner(world.known, is_code=is_code) for is_code in (False, True)]
        self.turns = Turns(rows.threads)
        self._is_stopping = False
        self.queued = 0

    @property
    def live(self) -> Mapping[str, LiveRun]:
        """The live runs by id."""
        return self._live

    @property
    def executing(self) -> int:
        """Runs that have a slot. Safe from any thread."""
        return sum(live.has_slot for live in tuple(self._live.values()))

    @property
    def has_slot(self) -> bool:
        """Whether a run could begin at once."""
        return not self.slots.is_full

    def clean(self, agent: BuiltAgent | None = None) -> Clean:
        """What takes known secrets out of all that a run of this agent records; without one, what only ends."""
        is_code = agent is not None and isinstance(agent.flow, CodeFlow)
        return self._cleaners[is_code]

    async def start(self) -> asyncio.TaskGroup:
        """Open the task group that everything of the engine runs in."""
        watch(asyncio.get_running_loop())
        return await self._tasks.__aenter__()

    async def rest(self, timeout_s: float) -> int:
        """Let runs finish for so many seconds, then leave the rest as they are, for the next start; says how many.

        Runs that have not begun are left at once.
        """
        self._is_stopping = True
        for live in self._live.values():
            if live.task is not None and not live.has_slot:
                live.task.cancel()
        busy = [*_work(self._live), *self._late]
        if busy:
            await asyncio.wait(busy, timeout=timeout_s)
        left = sum(live.has_slot for live in self._live.values())
        tasks = [*_work(self._live), *self._late]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        return left

    async def stop(self) -> None:
        """Close what everything runs in, when all has come to rest."""
        await self._tasks.__aexit__(None, None, None)
        for live in list(self._live.values()):
            self.let_go(live, _stopped())

    def hold(self, live: LiveRun) -> None:
        """Take a run into the hands of this process."""
        self._live[live.run.id] = live

    async def begin_now(self, live: LiveRun, events: Sequence[Event]) -> None:
        """Execute a run in a slot that is free: it was appended as started already."""
        await self.slots.acquire()
        live.has_slot = True
        live.task = self._tasks.create_task(self._drive(live, events))

    def begin(self, live: LiveRun, events: Sequence[Event]) -> None:
        """Execute a run as soon as there is a slot, and in a thread as soon as it is its turn.

        A process that stops lets it go: it is on disk, and goes on at the next start.
        """
        if self._is_stopping:
            self.let_go(live, _stopped())
            return
        live.task = self._tasks.create_task(self._drive(live, events))

    async def begin_on_disk(self, live: LiveRun, events: Sequence[Event]) -> None:
        """`begin` when all that was appended is on disk. A run that cannot be recorded is let go.

        Raises StorageError, OwnershipLost or Conflict.
        """
        try:
            await live.log.durable()
        except RunwrightError as error:
            self.let_go(live, error)
            raise
        except asyncio.CancelledError:
            # The caller is gone, but the run may stand in the store already.
            self.begin(live, events)
            raise
        self.begin(live, events)

    def cancel(self, live: LiveRun, reason: str) -> None:
        """Cancel a live run; its task records it."""
        if live.cancel_reason is not None or live.run.is_over:
            return
        live.cancel_reason = reason
        # A task that is cancelled before its first turn never runs, and its run would not be settled.
        if live.task is not None and live.is_begun:
            live.task.cancel()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that may outlive its run, but not this process."""
        try:
            task = self._tasks.create_task(work)
        except RuntimeError:
            # The process stops; what never began is not left to the collector.
            work.close()
            raise
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return task

    def let_go(self, live: LiveRun, failure: Exception | None = None) -> None:
        """Settle a run that this process does not execute any more."""
        if self._live.get(live.run.id) is live:
            del self._live[live.run.id]
        if live.run.is_over:
            self.kept.drop(live.run.id)
        else:
            self.kept.keep(live.run.id, live.agent)
        live.log.close()
        if not live.settled.done():
            if failure is None:
                live.settled.set_result(live.run)
            else:
                live.settled.set_exception(failure)
                # Read once, because nobody may be waiting for it.
                live.settled.exception()
        live.release()
        self.turns.wake(live.run.thread_id)

    async def _drive(self, live: LiveRun, events: Sequence[Event]) -> None:
        """One run in this process, from its slot to its end; whatever happens, it is settled and let go."""
        failure: Exception | None = None
        past: tuple[Said, ...] = ()
        live.is_begun = True
        try:
            if live.cancel_reason is not None:
                failure = await self._cancelled_early(live)
                return
            if not live.has_slot:
                past, started = await self._started(live, events)
                events = (*events, *started)
            recall = partial(recalled, self._rows.runs, self._rows.reader)
            work = Executor(live, self._world, spawn=self.spawn, events=events, history=past, recall=recall)
            await work.execute()
        except asyncio.CancelledError:
            failure = await self._cancelled_early(live)
        # One run's trouble must not end the task group that all runs live in.
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the run
            failure = error
        finally:
            if live.has_slot:
                self.slots.release()
            self.let_go(live, failure)
            self._on_rest(live.run, has_children=live.has_children)

    async def _started(self, live: LiveRun, events: Sequence[Event]) -> tuple[tuple[Said, ...], Sequence[Event]]:
        """The history of a run, and its start if it never began."""
        starts = [event.data for event in events if isinstance(event.data, RunStarted)]
        self.queued += 1
        try:
            # Without a slot, because the run before it in the thread may need one to come to its end.
            head = starts[-1].thread_head if starts else await self._turn(live)
            # What goes on for a run that has begun goes before those that have not.
            await self.slots.acquire(is_first=live.run.parent_run_id is not None)
        finally:
            self.queued -= 1
        live.has_slot = True
        past = await self._history(head)
        if starts:
            return past.messages, ()
        begun = RunStarted(loop=LOOP_VERSION, thread_head=head, code_changed=live.code_changed, recap=past.recap)
        return past.messages, live.log.append((begun, None))

    async def _turn(self, live: LiveRun) -> str | None:
        """Wait for the turn of a run that never began. Raises CancelledError when a later one interrupts it."""
        head = await self.turns.take(live.run)
        if await self.turns.is_interrupted(live.run):
            live.cancel_reason = live.cancel_reason or INTERRUPTED
            raise asyncio.CancelledError
        return head

    async def _history(self, head: str | None) -> Handover:
        if head is None:
            return Handover()
        return handover(await asyncio.to_thread(lambda: list(self._rows.reader.events(head))))

    async def _cancelled_early(self, live: LiveRun) -> RunwrightError | None:
        """A run that was cancelled before it had a slot; at shutdown it stays as it is for the next start."""
        if live.cancel_reason is None:
            return _stopped()
        try:
            if not live.run.is_over:
                conclude(live.log, Cancel(reason=live.cancel_reason))
            await live.log.durable()
        except RunwrightError as error:
            return error
        return None


def _stopped() -> Unavailable:
    return Unavailable("The process stops; the run goes on at the next start.")


def _work(live: Mapping[str, LiveRun]) -> list[asyncio.Task[None]]:
    return [each.task for each in live.values() if each.task is not None]
