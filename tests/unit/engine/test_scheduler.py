"""Schedules that fire: exactly one run for a time, whatever overlaps, is missed, fails or dies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from runwright.core.context import Context
from runwright.core.ports import RunFilter
from runwright.core.schedule import Advance, Firing, Schedule, ScheduleRow
from runwright.engine.schedule import first_due
from runwright.engine.worker import EngineOptions
from runwright.errors import NotFound, Overloaded
from runwright.store import Stores
from runwright.testing import FakeClock
from tests.unit.engine.harness import PATIENCE_S, Process, flowing, started

pytestmark = pytest.mark.anyio


async def echo(_context: Context, value: object) -> object:
    """A flow that gives back what it is given."""
    return value


class Desk:
    """An agent whose runs are at work until they are let go; a stubborn one is, though they are cancelled."""

    def __init__(self, *, name: str = "agent", is_stubborn: bool = False) -> None:
        self.go = asyncio.Event()
        self.agent = flowing(self._work, name=name)
        self._is_stubborn = is_stubborn

    async def _work(self, _context: Context, value: object) -> object:
        try:
            await self.go.wait()
        finally:
            if self._is_stubborn:
                await self.go.wait()
        return value


async def add(process: Process, clock: FakeClock, **fields: Any) -> ScheduleRow:
    """A stored schedule that fires every minute, if nothing else is said."""
    given: dict[str, Any] = {"name": "tick", "agent": "agent", "input": "hi", "every_s": 60.0, **fields}
    schedule = Schedule(**given)
    now = clock.now()
    row = ScheduleRow(schedule=schedule, source="api", created_at=now, since=now)
    row = first_due(row, after=now)
    assert await asyncio.to_thread(process.stores.schedules.add, row)
    return row


async def firings(process: Process, count: int, name: str = "tick") -> Sequence[Firing]:
    """The firings of a schedule, oldest first, as soon as there are so many."""
    async with asyncio.timeout(PATIENCE_S):
        while len(found := await asyncio.to_thread(process.stores.firings.find, name)) < count:
            process.engine.scheduler.look()
            await asyncio.sleep(0.005)
    return found[::-1]


def after(clock: FakeClock, process: Process, duration_s: float) -> None:
    """Let time pass, and the scheduler see it."""
    clock.advance(duration_s)
    process.engine.scheduler.look()


async def test_a_time_is_a_run() -> None:
    """A firing starts a run with the schedule's input and labels, which says which schedule and time it is of."""
    clock = FakeClock()
    async with started(flowing(echo), clock=clock) as process:
        row = await add(process, clock, input={"n": 1}, tags=("a",), group="g", user="u", metadata={"own": "1"})
        after(clock, process, 60)
        (firing,) = await firings(process, 1)
        assert firing.became == "started"
        run = await process.settled(str(firing.run_id), "completed")
        assert (run.tags, run.group, run.user) == (("a",), "g", "u")
        assert row.next_at is not None
        assert run.metadata == {"own": "1", "schedule": "tick", "scheduled_for": row.next_at.isoformat()}
        assert bytes(run.output) == b'{"n":1}'


async def test_it_sleeps_until_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read while nothing is due, and the time itself wakes the scheduler."""
    async with started(flowing(echo)) as process:
        rounds = 0
        due = process.stores.firings.due

        def counted(*given: Any) -> Any:
            nonlocal rounds
            rounds += 1
            return due(*given)

        monkeypatch.setattr(process.stores.firings, "due", counted)
        now = process.journal.now()
        schedule = Schedule(name="soon", agent="agent", at=now + timedelta(seconds=0.1))
        row = ScheduleRow(schedule=schedule, source="api", created_at=now, since=now)
        await asyncio.to_thread(process.stores.schedules.add, first_due(row, after=now))
        process.engine.scheduler.look()
        async with asyncio.timeout(PATIENCE_S):
            while not (found := await asyncio.to_thread(process.stores.firings.find, "soon")):  # noqa: ASYNC110 - of the store
                await asyncio.sleep(0.01)
        assert found[0].became == "started"
        assert rounds <= 4


@pytest.mark.parametrize(
    ("overlap", "expected", "first"),
    [
        ("skip", ["started", "skipped", "skipped"], "running"),
        ("queue", ["started", "queued", "queued"], "running"),
        ("cancel", ["started", "started", "started"], "cancelled"),
        ("allow", ["started", "started", "started"], "running"),
    ],
)
async def test_overlaps(overlap: Any, expected: list[str], first: str) -> None:
    """While a run is at work the next one is left out, waits, takes its place, or begins beside it."""
    clock, desk = FakeClock(), Desk()
    async with started(desk.agent, clock=clock) as process:
        await add(process, clock, overlap=overlap)
        for count in (1, 2, 3):
            after(clock, process, 60)
            await firings(process, count)
        found = await firings(process, 3)
        assert [each.became for each in found] == expected
        runs = [str(each.run_id) for each in found if each.run_id]
        assert (await process.settled(runs[0], first)).status == first
        desk.go.set()
        for run in runs[1:] if overlap == "cancel" else ():
            await process.settled(run, "cancelled", "completed")


async def test_what_is_queued_begins_when_the_run_before_it_ends() -> None:
    """Queued firings begin one after the other, the oldest first, and their history says so."""
    clock, desk = FakeClock(), Desk()
    async with started(desk.agent, clock=clock) as process:
        await add(process, clock, overlap="queue", end_at=clock.now() + timedelta(seconds=190))
        for count in (1, 2, 3):
            after(clock, process, 60)
            await firings(process, count)
        desk.go.set()
        async with asyncio.timeout(PATIENCE_S):
            while [each.became for each in await firings(process, 3)] != ["started"] * 3:  # noqa: ASYNC110 - of the store
                await asyncio.sleep(0.005)
        runs = [await process.settled(str(each.run_id), "completed") for each in await firings(process, 3)]
        assert [run.id for run in runs] == sorted(run.id for run in runs)
        row = await asyncio.to_thread(process.stores.schedules.get, "tick")
        assert row is not None
        assert (row.queued, row.fired, row.next_at) == (0, 3, None)


async def test_a_full_queue_skips(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Firings beyond the bound of the queue are skipped."""
    monkeypatch.setattr("runwright.engine.scheduler.QUEUED_AT_MOST", 1)
    clock, desk = FakeClock(), Desk()
    async with started(desk.agent, clock=clock, stores=stores) as process:
        await add(process, clock, overlap="queue")
        for count in (1, 2, 3):
            after(clock, process, 60)
            await firings(process, count)
        assert [each.became for each in await firings(process, 3)] == ["started", "queued", "skipped"]
        desk.go.set()


async def test_missed_times_are_told(stores: Stores) -> None:
    """After downtime the last time fires once, and those before it stand as missed, as one entry."""
    clock = FakeClock()
    async with started(flowing(echo), clock=clock, stores=stores) as process:
        row = await add(process, clock, every_s=600.0)
    clock.advance(3700)
    async with started(flowing(echo), clock=clock, stores=stores) as process:
        missed, last = await firings(process, 2)
        assert (missed.became, missed.at, last.became) == ("missed", row.next_at, "started")
        assert missed.until == last.at - timedelta(seconds=600)
        await process.settled(str(last.run_id), "completed")


async def test_two_processes_start_one_run(stores: Stores) -> None:
    """Of two processes on one store that see the same time, one starts the run and the other nothing."""
    clock = FakeClock()
    async with (
        started(flowing(echo), clock=clock, stores=stores) as one,
        started(flowing(echo), clock=clock, stores=stores) as other,
    ):
        for name in "abcdefgh":
            await add(one, clock, name=name, catch_up="all", overlap="cancel")
        for _ in range(3):
            clock.advance(60)
            one.engine.scheduler.look()
            other.engine.scheduler.look()
            await asyncio.sleep(0.02)
        for name in "abcdefgh":
            found = await firings(one, 3, name)
            assert [each.became for each in found] == ["started"] * 3
            assert len({each.at for each in found}) == 3
        everything = await asyncio.to_thread(stores.runs.find, RunFilter(limit=100))
        assert len(everything) == 24


async def test_a_process_that_dies_before_the_run_is_on_disk(stores: Stores) -> None:
    """Neither the run nor the step of the schedule is there: the next process fires the same time, once."""
    clock = FakeClock()
    async with started(flowing(echo), clock=clock, stores=stores) as process:
        row = await add(process, clock)
        with process.gate.held():
            after(clock, process, 60)
            await asyncio.sleep(0.05)
            process.gate.die()
        await process.crash()
    assert not await asyncio.to_thread(stores.firings.find, "tick")
    async with started(flowing(echo), clock=clock, stores=stores) as process:
        (firing,) = await firings(process, 1)
        assert (firing.at, firing.became) == (row.next_at, "started")


async def test_a_slow_schedule_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one schedule waits for a run that does not let itself be cancelled, the others fire."""
    monkeypatch.setattr("runwright.engine.scheduler.CANCEL_S", 1000.0)
    clock, desk = FakeClock(), Desk(name="stubborn", is_stubborn=True)
    async with started(desk.agent, flowing(echo), clock=clock) as process:
        await add(process, clock, name="slow", agent="stubborn", overlap="cancel")
        await add(process, clock)
        for count in (1, 2, 3):
            after(clock, process, 60)
            await firings(process, count)
        assert len(await firings(process, 1, "slow")) == 1
        desk.go.set()
        assert [each.became for each in (await firings(process, 2, "slow"))[:2]] == ["started"] * 2


async def test_nothing_is_cancelled_for_a_run_that_cannot_begin() -> None:
    """Where the next run is refused, the one before it is left alone, and the firing says why."""
    clock, desk = FakeClock(), Desk()
    async with started(desk.agent, clock=clock) as process:
        await add(process, clock, overlap="cancel")
        after(clock, process, 60)
        (first,) = await firings(process, 1)
        process.agents.agents.clear()
        after(clock, process, 60)
        _, second = await firings(process, 2)
        assert (second.became, "agent" in second.reason) == ("failed", True)
        desk.go.set()
        await process.settled(str(first.run_id), "completed")


async def test_what_cannot_run_is_told() -> None:
    """A firing whose agent is not there has failed, with the reason, and the schedule goes on."""
    clock = FakeClock()
    async with started(flowing(echo), clock=clock) as process:
        await add(process, clock, agent="nobody")
        for count in (1, 2):
            after(clock, process, 60)
            await firings(process, count)
        found = await firings(process, 2)
        assert [each.became for each in found] == ["failed"] * 2
        assert "nobody" in found[0].reason


async def test_trouble_that_passes_loses_no_firing(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """A time that cannot be served yet is served later; the trouble is logged once."""
    clock = FakeClock()
    full = EngineOptions(is_adopting=True, queue_limit=0)
    async with started(flowing(echo), clock=clock, stores=stores, options=full) as process:
        await add(process, clock)
        clock.advance(60)
        for _ in range(3):
            process.engine.scheduler.look()
            await asyncio.sleep(0.02)
        assert not await asyncio.to_thread(stores.firings.find, "tick")
    told = [record for record in caplog.records if "cannot be served" in record.message]
    assert [Overloaded.__name__ in record.message for record in told] == [True]
    async with started(flowing(echo), clock=clock, stores=stores) as process:
        (firing,) = await firings(process, 1)
        assert firing.became == "started"


async def test_triggers() -> None:
    """A trigger starts a run whatever the schedule does; a key does so once, and the times stay as they were."""
    clock = FakeClock()
    async with started(flowing(echo), clock=clock) as process:
        row = await add(process, clock)
        first, is_repeat = await process.engine.scheduler.trigger("tick", key="k")
        assert not is_repeat
        assert await process.engine.scheduler.trigger("tick", key="k") == (first, True)
        second, _ = await process.engine.scheduler.trigger("tick")
        assert second != first
        found = await firings(process, 2)
        assert [(each.is_manual, each.run_id) for each in found] == [(True, first), (True, second)]
        stands = await asyncio.to_thread(process.stores.schedules.get, "tick")
        assert stands is not None
        assert (stands.next_at, stands.fired) == (row.next_at, 0)
        with pytest.raises(NotFound):
            await process.engine.scheduler.trigger("nothing")


async def test_a_trigger_among_changes(stores: Stores) -> None:
    """A trigger that meets changes of its schedule starts one run all the same."""
    clock = FakeClock()
    async with started(flowing(echo), clock=clock, stores=stores) as process:
        await add(process, clock)

        def change() -> None:
            for _ in range(20):
                row = stores.schedules.get("tick")
                assert row is not None
                stores.schedules.advance(Advance(row=replace(row, revision=row.revision + 1)))

        triggers = (process.engine.scheduler.trigger("tick", key=f"k{number}") for number in range(5))
        _, runs = await asyncio.gather(asyncio.to_thread(change), asyncio.gather(*triggers))
        assert len({run for run, _ in runs}) == 5
        assert len(await firings(process, 5)) == 5


async def test_a_trigger_of_what_cannot_run() -> None:
    """A trigger tells its caller what is wrong, and writes nothing."""
    clock = FakeClock()
    async with started(flowing(echo), clock=clock) as process:
        await add(process, clock, agent="nobody")
        with pytest.raises(NotFound):
            await process.engine.scheduler.trigger("tick")
        assert not await asyncio.to_thread(process.stores.firings.find, "tick")


async def test_a_schedule_that_cannot_be_read(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """A schedule of another release is told by name, once, and the others fire."""
    clock = FakeClock()
    async with started(flowing(echo), clock=clock, stores=stores) as process:
        await add(process, clock, name="foreign", overlap="later")
        await add(process, clock)
        for count in (1, 2, 3):
            after(clock, process, 60)
            await firings(process, count)
    told = [record.message for record in caplog.records if "cannot be served" in record.message]
    assert len(told) == 1
    assert "'foreign'" in told[0]
