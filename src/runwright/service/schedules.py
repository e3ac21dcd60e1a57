"""Schedules: made, changed, paused and triggered by callers, and kept as code and files say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import Literal

import msgspec
from msgspec.structs import replace

from runwright.agents.base import DeclaredSchedule
from runwright.agents.factory import refuse_files
from runwright.agents.registry import Registry
from runwright.agents.schedules import refuse_unfit
from runwright.core.ids import make_id
from runwright.core.ports import Clock
from runwright.core.schedule import Advance, Became, Firing, Schedule, ScheduleRow, ScheduleStore
from runwright.core.schedule_reader import WHEN, read_schedule, write_schedule
from runwright.engine.drive import Rows
from runwright.engine.schedule import first_due, times
from runwright.engine.scheduler import TRIES, Scheduler
from runwright.errors import ConfigError, Conflict, InvalidRequest, NotFound, StorageError
from runwright.service.patch import merged
from runwright.service.views import Page

Status = Literal["active", "paused", "over", "unreadable"]
TIMES = ("cron", "every_s", "at", "timezone", "start_at", "end_at")
"""Fields whose change makes the times of a schedule begin anew."""

_logger = logging.getLogger("runwright.service")
_MICROSECOND = timedelta(microseconds=1)


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule and where it stands. `fired` of its times came and were not missed, whatever became of them; `queued`
    wait.

    One of code or a file has a `place`; it is changed there. A `problem` says why it would start nothing.
    """

    name: str
    object: Literal["schedule"] = "schedule"
    status: Status
    next_at: datetime | None
    definition: Schedule
    fired: int
    queued: int
    source: str
    place: str
    problem: str = ""
    created_at: datetime


class FiringView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a time of a schedule, or of all its times from `at` to `until`: the run, or why there is none."""

    number: int
    object: Literal["firing"] = "firing"
    schedule: str
    at: datetime
    until: datetime | None
    became: Became
    reason: str
    run_id: str | None
    is_manual: bool
    noted_at: datetime


class TriggerView(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a trigger started."""

    object: Literal["trigger"] = "trigger"
    schedule: str
    run_id: str


class Schedules:
    """What a caller can ask about schedules. Those of code and files are read only, but for pauses and triggers."""

    def __init__(self, rows: Rows, scheduler: Scheduler, registry: Registry, *, clock: Clock) -> None:
        self._store = rows.schedules
        self._firings = rows.firings
        self._scheduler = scheduler
        self._registry = registry
        self._clock = clock

    async def create(self, data: Mapping[str, object], *, key: str | None = None) -> ScheduleView:
        """Make a schedule. One without a name gets one; a repeat with the same key gives what is there.

        Raises InvalidRequest with pointers, and Conflict when the name is taken.
        """
        return await asyncio.to_thread(self._create, data, key)

    async def get(self, name: str) -> ScheduleView:
        """One schedule. Raises NotFound."""
        return await asyncio.to_thread(lambda: self._view(self._row(name)))

    async def find(self, *, agent: str | None = None, after: str | None = None, limit: int = 50) -> Page[ScheduleView]:
        """A page of schedules by name."""

        def find() -> Page[ScheduleView]:
            found = self._store.find(agent=agent, after=after, limit=limit + 1)
            shown = [self._view(row) for row in found[:limit]]
            has_more = len(found) > limit
            return Page(data=shown, has_more=has_more, next=shown[-1].name if has_more else None)

        return await asyncio.to_thread(find)

    async def update(self, name: str, data: Mapping[str, object]) -> ScheduleView:
        """Replace a schedule; what it did and whether it is paused stay.

        Raises NotFound, InvalidRequest with pointers, and Conflict for one of code or a file.
        """
        return await asyncio.to_thread(self._change, name, lambda _: data)

    async def patch(self, name: str, data: Mapping[str, object]) -> ScheduleView:
        """Change parts of a schedule by a JSON merge patch (RFC 7396). Raises as `update` does."""
        return await asyncio.to_thread(
            self._change, name, lambda row: merged(write_schedule(_legible(row).schedule), data)
        )

    async def delete(self, name: str) -> None:
        """Forget a schedule and what became of its times; its runs stay. Raises NotFound and Conflict."""

        def delete() -> None:
            _refuse_declared(self._row(name))
            self._store.delete(name)

        await asyncio.to_thread(delete)

    async def pause(self, name: str) -> ScheduleView:
        """Let nothing begin, neither at its times nor what is queued, until it is resumed. Raises NotFound."""
        return await asyncio.to_thread(self._step, name, lambda row: replace(row, is_paused=True))

    async def resume(self, name: str) -> ScheduleView:
        """Go on from now; the times of the pause are not made up for. Raises NotFound."""

        def resumed(row: ScheduleRow) -> ScheduleRow:
            going = replace(row, is_paused=False)
            return first_due(going, after=self._clock.now()) if row.is_paused else going

        return await asyncio.to_thread(self._step, name, resumed)

    async def trigger(self, name: str, *, key: str | None = None) -> TriggerView:
        """Start a run now, whatever the schedule does; the same key gives the same run.

        Raises NotFound, and what keeps the run from being started.
        """
        run_id, _ = await self._scheduler.trigger(name, key=key)
        return TriggerView(schedule=name, run_id=run_id)

    async def firings(self, name: str, *, before: int | None = None, limit: int = 50) -> Page[FiringView]:
        """A page of what became of the times of a schedule, newest first. Raises NotFound."""
        await asyncio.to_thread(self._row, name)
        found = await asyncio.to_thread(self._firings.find, name, before=before, limit=limit + 1)
        shown = [_firing_view(name, firing) for firing in found[:limit]]
        has_more = len(found) > limit
        return Page(data=shown, has_more=has_more, next=str(shown[-1].number) if has_more else None)

    async def upcoming(self, name: str, *, limit: int = 5) -> Sequence[datetime]:
        """The next times of a schedule, in UTC; none while it is paused or over. Raises NotFound."""

        def upcoming() -> Sequence[datetime]:
            row = self._row(name)
            left = limit if row.schedule.max_firings is None else min(limit, row.schedule.max_firings - row.fired)
            if _status(row) != "active" or left <= 0:
                return ()
            return list(islice(times(row.schedule, after=self._clock.now(), since=row.since), left))

        return await asyncio.to_thread(upcoming)

    def declare(self) -> tuple[tuple[str, str], ...]:
        """Bring what is stored in line with code and files, as the registry has them; from any thread.

        Tells, and gives as (place, detail) pairs, which names were given over the API before, and the `troubles`. A
        process that fires none, as a command beside a server, changes nothing.
        """
        if not self._scheduler.is_firing:
            return ()
        declared = {each.schedule.name: each for each in self._registry.schedules}
        problems: list[tuple[str, str]] = []
        for row in _all(self._store):
            own = declared.get(row.name)
            if own is None and row.source != "api":
                self._store.delete(row.name)
            elif own is not None and row.source == "api":
                problems.append((own.place, f"a schedule {row.name!r} was made over the API: name this one otherwise"))
                del declared[row.name]
        for each in declared.values():
            self._declare(each)
        problems += self.troubles()
        for place, detail in problems:
            _logger.warning("%s: %s", place, detail)
        return tuple(problems)

    def troubles(self) -> tuple[tuple[str, str], ...]:
        """What will fail when its time comes, because an agent that it names is not there or does not fit, as (place,
        detail) pairs: of code, files and callers; from any thread.
        """
        made = (row for row in _all(self._store) if row.source == "api")
        found = (
            (f"schedule {row.name}", _problem(row, self._registry, is_firing=self._scheduler.is_firing)) for row in made
        )
        return (*self._registry.dangling(), *((place, problem) for place, problem in found if problem))

    def _declare(self, declared: DeclaredSchedule) -> None:
        schedule, place = declared.schedule, declared.place
        now = self._clock.now()
        new = ScheduleRow(schedule=schedule, source=declared.origin.source, place=place, created_at=now, since=now)
        if not self._store.add(first_due(new, after=now)):
            self._step(schedule.name, lambda row: replace(_set(row, schedule, now), place=place, source=new.source))

    def _create(self, data: Mapping[str, object], key: str | None) -> ScheduleView:
        schedule = _read({"name": _made_name(key), **data}, self._registry)
        now = self._clock.now()
        row = first_due(ScheduleRow(schedule=schedule, source="api", created_at=now, since=now), after=now)
        _refuse_spent(row)
        if not self._store.add(row):
            known = self._store.get(schedule.name)
            if known is None or key is None or known.schedule != schedule:
                raise Conflict(f"There is a schedule {schedule.name!r} already: name this one otherwise, or change it.")
            row = known
        self._scheduler.look()
        return self._view(row)

    def _change(self, name: str, change: Callable[[ScheduleRow], Mapping[str, object]]) -> ScheduleView:
        def changed(row: ScheduleRow) -> ScheduleRow:
            _refuse_declared(row)
            schedule = _read({"name": name, **change(row)}, self._registry)
            if schedule.name != name:
                raise _invalid("/name", f"a schedule keeps its name: {name!r}, not {schedule.name!r}")
            after = _set(row, schedule, self._clock.now())
            if _times(schedule) != _times(row.schedule):
                _refuse_spent(after)
            return after

        return self._step(name, changed)

    def _step(self, name: str, change: Callable[[ScheduleRow], ScheduleRow]) -> ScheduleView:
        """Change a row, however often others change it meanwhile."""
        for _ in range(TRIES):
            row = self._row(name)
            after = _legible(change(row))
            if after == row:
                return self._view(row)
            after = replace(after, revision=row.revision + 1)
            if self._store.advance(Advance(row=after)):
                self._scheduler.look()
                return self._view(after)
        raise Conflict(f"The schedule {name!r} is changed by others all the time; try again.")

    def _row(self, name: str) -> ScheduleRow:
        row = self._store.get(name)
        if row is None:
            raise NotFound(f"There is no schedule {name!r}.")
        return row

    def _view(self, row: ScheduleRow) -> ScheduleView:
        return ScheduleView(
            name=row.name,
            status=_status(row),
            next_at=None if row.is_paused or row.fault else row.due_at,
            definition=row.schedule,
            fired=row.fired,
            queued=row.queued,
            source=row.source,
            place=row.place,
            problem=_problem(row, self._registry, is_firing=self._scheduler.is_firing),
            created_at=row.created_at,
        )


def _read(data: Mapping[str, object], registry: Registry) -> Schedule:
    """A schedule of a caller. Raises InvalidRequest with pointers."""
    try:
        schedule = read_schedule(data)
    except ConfigError as error:
        raise InvalidRequest(error.message, problems=error.problems) from error
    refuse_files(schedule.config)
    refuse_unfit(schedule, registry)
    return schedule


def _set(row: ScheduleRow, schedule: Schedule, now: datetime) -> ScheduleRow:
    """The row with what its user says now. Other times begin anew; else it goes on where it was."""
    if schedule == row.schedule:
        return row
    after = replace(row, schedule=schedule, fault="")
    if _times(schedule) != _times(row.schedule):
        return first_due(replace(after, since=now), after=now)
    return first_due(after, after=now if row.next_at is None else row.next_at - _MICROSECOND)


def _times(schedule: Schedule) -> tuple[object, ...]:
    return tuple(getattr(schedule, field) for field in TIMES)


def _all(store: ScheduleStore) -> Sequence[ScheduleRow]:
    found: list[ScheduleRow] = []
    while page := store.find(after=found[-1].name if found else None, limit=500):
        found += page
    return found


def _made_name(key: str | None) -> str:
    """A name of a schedule that was given none: the same one for the same key."""
    if key is None:
        return make_id("sch")
    return f"sch_{blake2b(key.encode(), digest_size=16).hexdigest()}"


def _refuse_spent(row: ScheduleRow) -> None:
    if row.next_at is None:
        field = next((name for name in WHEN if getattr(row.schedule, name) is not None), "at")
        raise _invalid(f"/{field}", "no time is to come")


def _refuse_declared(row: ScheduleRow) -> None:
    if row.source != "api":
        raise Conflict(f"The schedule {row.name!r} is defined in {row.place}: change it there.")


def _invalid(place: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{place}: {detail}", problems=[(place, detail)])


def _legible(row: ScheduleRow) -> ScheduleRow:
    if row.fault:
        raise StorageError(row.fault)
    return row


def _status(row: ScheduleRow) -> Status:
    if row.fault:
        return "unreadable"
    if row.is_paused:
        return "paused"
    return "over" if row.next_at is None and not row.queued else "active"


def _problem(row: ScheduleRow, registry: Registry, *, is_firing: bool) -> str:
    """Why a schedule would start nothing. A command that was given no agents cannot say it."""
    if row.fault or not (is_firing or registry.all()):
        return row.fault
    try:
        refuse_unfit(row.schedule, registry)
    except InvalidRequest as error:
        return error.message
    return ""


def _firing_view(name: str, firing: Firing) -> FiringView:
    return FiringView(
        number=firing.number,
        schedule=name,
        at=firing.at,
        until=firing.until,
        became=firing.became,
        reason=firing.reason,
        run_id=firing.run_id,
        is_manual=firing.is_manual,
        noted_at=firing.noted_at,
    )
