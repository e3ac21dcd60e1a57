"""When schedules fire: arithmetic over times, apart from its effects (see `scheduler.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import islice

import msgspec
from msgspec.structs import replace

from runwright.core.cron import cron_times, zone
from runwright.core.schedule import Schedule, ScheduleRow
from runwright.core.schedule_reader import instant

GRACE = timedelta(seconds=60)
"""A firing that comes later than this after it was due was missed."""

_MICROSECOND = timedelta(microseconds=1)
_FIRST_WINDOW = timedelta(hours=1)


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done for a schedule that is due: `missed` are the first and the last time that nothing runs for,
    `at` is one that something does; `row` stands at the time after them.
    """

    row: ScheduleRow
    missed: tuple[datetime, datetime] | None = None
    at: datetime | None = None


def times(schedule: Schedule, *, after: datetime, since: datetime) -> Iterator[datetime]:
    """The times of a schedule after one, in UTC and in order. One that has no start begins `since`.

    Intervals are counted from the start, which is a time itself if it is given.
    """
    start = _utc(schedule, schedule.start_at)
    end = _utc(schedule, schedule.end_at)
    # The start is a time of the schedule.
    floor = max(after, since) if start is None else max(after, since, start - _MICROSECOND)
    for at in _unbounded(schedule, after=floor, anchor=start or since):
        if end is not None and at > end:
            return
        yield at


def first_due(row: ScheduleRow, *, after: datetime) -> ScheduleRow:
    """The row at its first time after one."""
    schedule = row.schedule
    is_spent = schedule.max_firings is not None and row.fired >= schedule.max_firings
    upcoming = list(islice(times(schedule, after=after, since=row.since), 0 if is_spent else 2))
    if not upcoming:
        return replace(row, next_at=None, due_at=None)
    gap = upcoming[1] - upcoming[0] if len(upcoming) > 1 else None
    return replace(row, next_at=upcoming[0], due_at=upcoming[0] + jitter(schedule, upcoming[0], gap=gap))


def jitter(schedule: Schedule, at: datetime, *, gap: timedelta | None) -> timedelta:
    """How much later a firing comes: the same for the same time, and never past the next one, a `gap` away."""
    widest = timedelta(seconds=schedule.jitter_s)
    if gap is not None:
        widest = min(widest, gap)
    text = f"{schedule.name} {at.timestamp():f}"
    part = int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64
    return widest * part


def turn(row: ScheduleRow, now: datetime) -> Turn | None:
    """What is to be done next for a schedule, None when nothing is due. There may be more to do after it.

    What to catch up with is chosen among the times that are late; those in time come one by one, in order.
    """
    if row.is_paused or row.next_at is None or row.due_at is None or row.due_at > now:
        return None
    grace = now - GRACE
    if row.due_at >= grace:
        return _fire(row, row.next_at)
    policy = row.schedule.catch_up
    bound = grace - _MICROSECOND
    late = _newest(row, row.next_at, bound, count=row.schedule.catch_up_limit + 1 if policy == "all" else 2)
    if policy == "skip":
        after = first_due(row, after=late[-1])
        missed = (row.next_at, late[-1])
        if after.next_at is None or after.due_at is None or after.due_at > now:
            return Turn(row=after, missed=missed)
        return _fire(after, after.next_at, missed=missed)
    chosen = late[-min(len(late), row.schedule.catch_up_limit)] if policy == "all" else late[-1]
    before = [at for at in late if at < chosen]
    return _fire(row, chosen, missed=(row.next_at, before[-1]) if before else None)


def _fire(row: ScheduleRow, at: datetime, *, missed: tuple[datetime, datetime] | None = None) -> Turn:
    return Turn(row=first_due(replace(row, fired=row.fired + 1), after=at), missed=missed, at=at)


def _newest(row: ScheduleRow, first: datetime, now: datetime, *, count: int) -> list[datetime]:
    """The newest times from the first one on that are due, at most so many; the first one is due."""
    schedule = row.schedule
    window = _FIRST_WINDOW
    while True:
        begin = max(first - _MICROSECOND, now - window)
        found = list(_until(times(schedule, after=begin, since=row.since), now))
        if len(found) > count or begin < first:
            break
        window *= 4
    # The last one may be put off; those before it are not put off beyond it.
    if len(found) > 1:
        ahead = next(times(schedule, after=found[-1], since=row.since), None)
        gap = None if ahead is None else ahead - found[-1]
        if found[-1] + jitter(schedule, found[-1], gap=gap) > now:
            found.pop()
    return found[-count:] or [first]


def _until(times: Iterator[datetime], last: datetime) -> Iterator[datetime]:
    for at in times:
        if at > last:
            return
        yield at


def _unbounded(schedule: Schedule, *, after: datetime, anchor: datetime) -> Iterator[datetime]:
    if schedule.cron is not None:
        yield from cron_times(schedule.cron, zone(schedule.timezone), after=after)
    elif schedule.every_s is not None:
        yield from _intervals(timedelta(seconds=schedule.every_s), after=after, anchor=anchor)
    else:
        at = _utc(schedule, schedule.at)
        if at is not None and at > after:
            yield at


def _intervals(every: timedelta, *, after: datetime, anchor: datetime) -> Iterator[datetime]:
    number = max((after - anchor) // every + 1, 0)
    while True:
        yield anchor + number * every
        number += 1


def _utc(schedule: Schedule, given: datetime | None) -> datetime | None:
    return None if given is None else instant(given, schedule.timezone).astimezone(UTC)
