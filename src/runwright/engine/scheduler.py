"""Starts runs when their schedules say so: each time is exactly one run, whoever looks and whatever dies.

A step of a schedule and the run that it starts are one transaction, which names the revision that it steps from: of
two processes that see the same time, one writes both and the other nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from runwright.core.ids import make_id
from runwright.core.ports import Clock
from runwright.core.run import RunRequest
from runwright.core.schedule import QUEUED_AT_MOST, Advance, Firing, ScheduleRow
from runwright.engine.live import LiveRun
from runwright.engine.schedule import Turn, turn
from runwright.errors import Conflict, NotFound, OwnershipLost, RunwrightError, StorageError

if TYPE_CHECKING:
    from runwright.engine.drive import Rows

LOOK_S = 5.0
"""Seconds until a change that another process made is seen."""

AGAIN_S = 1.0
"""Seconds until what failed is tried again."""

LEAST_S = 0.01
CANCEL_S = 10.0
"""Seconds that a run gets to record that it was cancelled, before the one that takes its place begins."""

AT_ONCE = 16
"""Schedules that are served at the same time."""

TRIES = 20
MISSED = "nobody was there to fire it"
OVERLAP = "the schedule's next firing takes its place"

_logger = logging.getLogger("runwright.engine")

Told = Callable[[Firing], None]


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a schedule: the run that it starts, if any, and those that it cancels before."""

    advance: Advance
    request: RunRequest | None = None
    cancelled: tuple[str, ...] = ()


class Scheduler:
    """One task of a process that takes runs up (`is_firing`). `told` hears of each firing that was written."""

    def __init__(
        self,
        rows: Rows,
        *,
        admit: Callable[[RunRequest], object],
        submit: Callable[[RunRequest, Advance], Awaitable[tuple[str, LiveRun | None]]],
        cancel: Callable[[str, str], Awaitable[None]],
        clock: Clock,
        is_firing: bool,
    ) -> None:
        self.is_firing = is_firing
        self._schedules = rows.schedules
        self._firings = rows.firings
        self._admit = admit
        self._submit = submit
        self._cancel = cancel
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._stirring = asyncio.Event()
        self._stopping = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._due_again: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self.told: Told = _untold

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Catch up with what was missed, and fire from now on, if this process is to."""
        if self.is_firing:
            self._task = tasks.create_task(self._watch(tasks))

    async def stop(self) -> None:
        """Start nothing more."""
        self._stopping.set()
        self._stirring.set()
        if self._task is not None:
            working = [self._task, *self._at_work.values()]
            await asyncio.wait(working, timeout=AGAIN_S)
            for task in working:
                task.cancel()

    def look(self) -> None:
        """Look at once what is due, because schedules changed. Safe from any thread."""
        self._loop.call_soon_threadsafe(self._stirring.set)

    async def trigger(self, name: str, *, key: str | None = None) -> tuple[str, bool]:
        """Start a run of a schedule now, whatever else it does; its id, and whether the key was used before.

        Raises NotFound, Conflict, and what keeps a run from being started.
        """
        for _ in range(TRIES):
            row = await self._known(name)
            if row is None:
                raise NotFound(f"There is no schedule {name!r}.")
            earlier = None if key is None else await asyncio.to_thread(self._firings.keyed, name, key)
            if earlier is not None and earlier.run_id is not None:
                return earlier.run_id, True
            now = self._clock.now()
            number = row.last_number + 1
            firing = Firing(number=number, at=now, became="started", noted_at=now, is_manual=True, key=key)
            step = _started(replace(row, revision=row.revision + 1, last_number=number), firing)
            assert step.request is not None
            with suppress(OwnershipLost):
                run_id, _ = await self._submit(step.request, step.advance)
                self._tell(step)
                return run_id, False
        raise Conflict(f"The schedule {name!r} is changed by others all the time; try again.")

    async def _watch(self, tasks: asyncio.TaskGroup) -> None:
        while not self._stopping.is_set():
            self._stirring.clear()
            try:
                wait_s = await self._round(tasks)
            # Whatever it is, it must not end the task group that all runs live in; the next round tries again.
            except Exception as error:  # noqa: BLE001 - logged
                self._trouble("", error)
                wait_s = AGAIN_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stirring.wait(), min(wait_s, LOOK_S))

    async def _round(self, tasks: asyncio.TaskGroup) -> float:
        """Have all that is due served, each schedule by a task of its own; seconds until more is due."""
        now = self._clock.now()
        for name in await asyncio.to_thread(self._firings.due, now):
            if name in self._at_work:
                self._due_again.add(name)
            elif not self._stopping.is_set():
                self._at_work[name] = tasks.create_task(self._attend(name))
        upcoming = await asyncio.to_thread(self._firings.upcoming, now)
        self._troubles.pop("", None)
        return inf if upcoming is None else max((upcoming - self._clock.now()).total_seconds(), LEAST_S)

    async def _attend(self, name: str) -> None:
        """Serve a schedule, and have others looked for if that changed when it is due."""
        try:
            async with self._room:
                has_moved = await self._serve(name)
            self._troubles.pop(name, None)
        # One schedule must not hold up all others.
        except Exception as error:  # noqa: BLE001 - logged
            self._trouble(name, error)
            has_moved = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), AGAIN_S)
        finally:
            del self._at_work[name]
        if has_moved or name in self._due_again:
            self._due_again.discard(name)
            self._stirring.set()

    async def _serve(self, name: str) -> bool:
        """Do all that is due for a schedule, one step after the other; whether there was anything."""
        has_moved = False
        row = await self._known(name)
        while row is not None and not self._stopping.is_set():
            step = await asyncio.to_thread(self._plan, row)
            if step is None:
                break
            has_moved = True
            row = await self._take(step)
        return has_moved

    async def _known(self, name: str) -> ScheduleRow | None:
        """A schedule that can be read. Raises StorageError."""
        row = await asyncio.to_thread(self._schedules.get, name)
        if row is not None and row.fault:
            raise StorageError(row.fault)
        return row

    def _plan(self, row: ScheduleRow) -> _Step | None:
        """The next step of a schedule, None when nothing is due."""
        # Those up to the row's own revision: another process may have started one since, which is not to be cancelled.
        is_alone = row.schedule.overlap != "allow"
        busy = self._firings.at_work(row.name, until=row.last_number) if is_alone else ()
        if row.queued and not busy and not row.is_paused:
            return self._unqueued(row)
        due = turn(row, self._clock.now())
        return None if due is None else self._fired(row, due, tuple(busy))

    def _unqueued(self, row: ScheduleRow) -> _Step:
        after = replace(row, revision=row.revision + 1, queued=row.queued - 1)
        waiting = self._firings.queued(row.name)
        if waiting is None:
            return _Step(advance=Advance(row=replace(after, queued=0)))
        return _started(after, replace(waiting, became="started", noted_at=self._clock.now(), reason=""))

    def _fired(self, row: ScheduleRow, due: Turn, busy: tuple[str, ...]) -> _Step:
        """The step of a time that came, and of those before it that were missed."""
        now = self._clock.now()
        number = row.last_number
        before: tuple[Firing, ...] = ()
        if due.missed is not None:
            number += 1
            first, last = due.missed
            until = last if last > first else None
            before = (Firing(number=number, at=first, until=until, became="missed", noted_at=now, reason=MISSED),)
        after = replace(due.row, revision=row.revision + 1, last_number=number)
        if due.at is None:
            return _Step(advance=Advance(row=after, firings=before))
        after = replace(after, last_number=number + 1)
        firing = Firing(number=number + 1, at=due.at, became="started", noted_at=now)
        overlap = row.schedule.overlap
        if not busy or overlap in {"allow", "cancel"}:
            return _started(after, firing, before=before, cancelled=busy)
        if overlap == "queue" and row.queued < QUEUED_AT_MOST:
            waits = replace(firing, became="queued", reason=f"{busy[0]} is at work")
            return _Step(advance=Advance(row=replace(after, queued=row.queued + 1), firings=(*before, waits)))
        full = f", and {row.queued} firings wait for it" if overlap == "queue" else ""
        skipped = replace(firing, became="skipped", reason=f"{busy[0]} is at work{full}")
        return _Step(advance=Advance(row=after, firings=(*before, skipped)))

    async def _take(self, step: _Step) -> ScheduleRow | None:
        """Take a step; the schedule after it, or as another process left it. Raises what may be over soon."""
        name = step.advance.row.name
        try:
            await self._make_room(step)
            if step.request is not None:
                _, live = await self._submit(step.request, step.advance)
                if live is not None and step.advance.row.schedule.overlap == "queue":
                    live.settled.add_done_callback(lambda _: self.look())
            elif not await asyncio.to_thread(self._schedules.advance, step.advance):
                return await self._known(name)
        except OwnershipLost:
            return await self._known(name)
        except RunwrightError as error:
            if error.retryable or step.request is None:
                raise
            return await self._take(_failed(step, error))
        self._tell(step)
        return step.advance.row

    async def _make_room(self, step: _Step) -> None:
        """Cancel the runs whose place the step's own takes. Raises what keeps that one from being begun."""
        if step.request is None or not step.cancelled:
            return
        self._admit(step.request)
        for run_id in step.cancelled:
            with suppress(TimeoutError, NotFound):
                async with asyncio.timeout(CANCEL_S):
                    await self._cancel(run_id, OVERLAP)

    def _tell(self, step: _Step) -> None:
        name = step.advance.row.name
        for firing in step.advance.firings:
            level = logging.WARNING if firing.became == "failed" else logging.INFO
            what = firing.run_id or firing.reason
            _logger.log(level, "schedule %s, %s: %s, %s", name, firing.at.isoformat(), firing.became, what)
            self.told(firing)

    def _trouble(self, name: str, error: Exception) -> None:
        """Log what is new: a trouble that comes back, or that many schedules have, is told once."""
        text = f"{type(error).__name__}: {error}"
        if text not in self._troubles.values():
            what = f"the schedule {name!r}" if name else "schedules"
            _logger.error("%s cannot be served: %s", what, text, exc_info=error)
        self._troubles[name] = text


def _untold(_firing: Firing) -> None:
    return


def _started(
    row: ScheduleRow, firing: Firing, *, before: tuple[Firing, ...] = (), cancelled: tuple[str, ...] = ()
) -> _Step:
    """The step that starts a run for a firing."""
    run_id = make_id("run")
    schedule = row.schedule
    told = {"schedule": row.name, "scheduled_for": firing.at.isoformat()}
    request = RunRequest(
        id=run_id,
        agent=schedule.agent,
        version=schedule.version,
        input=msgspec.json.encode(schedule.input),
        config=schedule.config,
        mode="background",
        thread_id=schedule.thread_id,
        group=schedule.group,
        user=schedule.user,
        tags=schedule.tags,
        metadata={**schedule.metadata, **told},
    )
    firings = (*before, replace(firing, run_id=run_id))
    return _Step(advance=Advance(row=row, firings=firings), request=request, cancelled=cancelled)


def _failed(step: _Step, error: RunwrightError) -> _Step:
    """The step without a run, which says why none could be started."""
    *before, last = step.advance.firings
    failed = replace(last, became="failed", run_id=None, reason=error.public)
    return _Step(advance=replace(step.advance, firings=(*before, failed)))
