"""When schedules fire: arithmetic in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runwright.core.schedule import Schedule, ScheduleRow
from runwright.engine.schedule import GRACE, Turn, first_due, jitter, times, turn

SINCE = datetime(2026, 3, 1, tzinfo=UTC)


def row(*, since: datetime = SINCE, **fields: Any) -> ScheduleRow:
    """A schedule that was made at a time, before its first firing."""
    schedule = Schedule(name="nightly", agent="clerk", **fields)
    return first_due(ScheduleRow(schedule=schedule, source="api", created_at=since, since=since), after=since)


def later(seconds: float) -> datetime:
    """A time after the schedule was made."""
    return SINCE + timedelta(seconds=seconds)


def turns(row: ScheduleRow, now: datetime) -> list[Turn]:
    """All turns that a schedule has at a time, one after the other."""
    found: list[Turn] = []
    while (each := turn(row, now)) is not None:
        found.append(each)
        row = each.row
    return found


def test_an_interval_counts_from_its_start() -> None:
    """Without a start the first time is an interval after the making; a start is the first time itself."""
    assert list(islice(times(row(every_s=90).schedule, after=SINCE, since=SINCE), 2)) == [later(90), later(180)]
    begun = row(every_s=90, start_at=later(30))
    assert list(islice(times(begun.schedule, after=SINCE, since=SINCE), 2)) == [later(30), later(120)]
    assert next(times(begun.schedule, after=later(120), since=SINCE)) == later(210)


def test_a_time_without_an_offset_is_of_the_zone() -> None:
    """`at`, `start_at` and `end_at` without an offset are clocks of the schedule's zone."""
    naive = datetime(2026, 7, 1, 9)  # noqa: DTZ001 - as a user writes it
    assert row(at=naive, timezone="Europe/Berlin").next_at == datetime(2026, 7, 1, 7, tzinfo=UTC)


def test_once_is_once() -> None:
    """A single time has none after it, and none at all when it was over before the schedule was made."""
    once = row(at=later(10))
    (only,) = turns(once, later(11))
    assert (only.at, only.row.next_at) == (later(10), None)
    assert row(at=later(-10)).next_at is None


def test_the_end_and_the_number_of_firings() -> None:
    """No time is after the end, and no firing after the last that was allowed."""
    assert row(every_s=60, end_at=later(30)).next_at is None
    bounded = row(every_s=60, max_firings=2, catch_up="all")
    found = turns(bounded, later(600))
    assert [each.at for each in found] == [later(60), later(120)]
    assert found[-1].row.next_at is None


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("skip", [(None, (3600, 18_000))]),
        ("last", [(18_000, (3600, 14_400))]),
        ("all", [(10_800, (3600, 7200)), (14_400, None), (18_000, None)]),
    ],
)
def test_what_was_missed(policy: Any, expected: list[Any]) -> None:
    """After downtime nothing runs, or the last one, or the newest so many; the others are told as missed."""
    hourly = row(every_s=3600, catch_up=policy, catch_up_limit=3)
    found = turns(hourly, later(18_000 + 600))
    shown = [
        (
            None if each.at is None else (each.at - SINCE).total_seconds(),
            None if each.missed is None else tuple((at - SINCE).total_seconds() for at in each.missed),
        )
        for each in found
    ]
    assert shown == expected
    assert found[-1].row.next_at == later(21_600)


def test_one_that_is_in_time_is_not_missed() -> None:
    """Within the grace, `skip` takes a firing, though the ones before it were missed."""
    hourly = row(every_s=3600, catch_up="skip")
    (only,) = turns(hourly, later(7200) + GRACE)
    assert (only.at, only.missed) == (later(7200), (later(3600), later(3600)))


@pytest.mark.parametrize(
    ("policy", "late"), [("skip", []), ("last", [(35, (5, 30))]), ("all", [(30, (5, 25)), (35, None)])]
)
def test_what_comes_in_time_comes_one_by_one(policy: Any, late: list[Any]) -> None:
    """Times within the grace all fire, in order; the policy is for those before them alone."""
    short = row(every_s=5, catch_up=policy, catch_up_limit=2)
    assert [(each.at, each.missed) for each in turns(short, later(16))] == [(later(at), None) for at in (5, 10, 15)]
    found = turns(short, later(100))
    first = (5, 35) if policy == "skip" else None
    expected = [*late, (40, first), *((at, None) for at in range(45, 101, 5))]
    shown = [(each.at, each.missed) for each in found]
    assert shown == [(later(at), of and (later(of[0]), later(of[1]))) for at, of in expected]


def test_a_firing_that_was_put_off_is_not_late() -> None:
    """How late a firing is counts from when it was due, jitter included."""
    hourly = row(every_s=3600, jitter_s=3000, catch_up="skip")
    assert hourly.due_at is not None
    (only,) = turns(hourly, hourly.due_at + GRACE)
    assert only.at == later(3600)
    (missed,) = turns(hourly, hourly.due_at + GRACE + timedelta(seconds=1))
    assert (missed.at, missed.missed) == (None, (later(3600), later(3600)))


def test_nothing_is_due_before_its_time_or_while_paused() -> None:
    """A schedule has no turn before its time, nor when it is paused."""
    hourly = row(every_s=3600)
    assert turn(hourly, later(3599)) is None
    assert turn(replace(hourly, is_paused=True), later(9999)) is None


def test_jitter_is_the_same_for_the_same_time() -> None:
    """A firing is put off by the same each time, differently from others, within its bound and before the next."""
    wide = row(every_s=60, jitter_s=3600).schedule
    parts = [jitter(wide, later(60 * number), gap=timedelta(seconds=60)) for number in range(20)]
    assert parts == [jitter(wide, later(60 * number), gap=timedelta(seconds=60)) for number in range(20)]
    assert len(set(parts)) == 20
    assert all(timedelta(0) <= each < timedelta(seconds=60) for each in parts)


SCHEDULES = st.one_of(
    st.sampled_from(["0 * * * *", "30 2 * * *", "*/7 9-17 * * 1-5", "0 0 1 * *"]).map(lambda cron: {"cron": cron}),
    st.integers(30, 100_000).map(lambda every: {"every_s": every}),
)


@given(
    when=SCHEDULES,
    of=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    jitter_s=st.sampled_from([0.0, 30.0, 5000.0]),
    policy=st.sampled_from(["skip", "last", "all"]),
    waits=st.lists(st.integers(1, 400_000), min_size=1, max_size=6),
)
def test_every_time_is_accounted_for_once(
    when: dict[str, Any], of: str, jitter_s: float, policy: Any, waits: list[int]
) -> None:
    """Whenever somebody looks, each time that is due is fired or missed, once, in order; those in time are fired."""
    current = row(timezone=of, jitter_s=jitter_s, catch_up=policy, catch_up_limit=4, **when)
    schedule = current.schedule
    now = SINCE
    fired: list[datetime] = []
    missed: list[tuple[datetime, datetime]] = []
    for wait in waits:
        now += timedelta(seconds=wait)
        found = turns(current, now)
        late = [each.at for each in found if each.at is not None and _due(current, each.at) < now - GRACE]
        assert len(late) <= {"skip": 0, "last": 1, "all": 4}[policy]
        assert all(_due(current, each.missed[1]) < now - GRACE for each in found if each.missed is not None)
        for each in found:
            fired += [each.at] if each.at is not None else []
            missed += [each.missed] if each.missed is not None else []
            current = each.row
    expected = {at for at in _until(schedule, current.next_at or now)}
    covered = [at for at in expected if any(first <= at <= last for first, last in missed)]
    assert fired == sorted(set(fired))
    assert set(fired) | set(covered) == expected
    assert not set(fired) & set(covered)
    assert current.due_at is not None
    assert current.due_at > now


def _due(row: ScheduleRow, at: datetime) -> datetime:
    due = first_due(row, after=at - timedelta(microseconds=1)).due_at
    assert due is not None
    return due


def _until(schedule: Schedule, end: datetime) -> list[datetime]:
    found: list[datetime] = []
    for at in times(schedule, after=SINCE, since=SINCE):
        if at >= end:
            return found
        found.append(at)
    return found
