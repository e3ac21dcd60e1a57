"""Calls at once, in virtual time."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.core.policy import Backoff, Limit, Plan, Retry
from runwright.errors import CallShed, ProviderUnavailable
from runwright.guard import Call, Registry, Sending, Surroundings, live
from runwright.guard.bulkhead import Dock, LocalSlots
from runwright.guard.chain import guard
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, Upstream, call_of


class Target:
    """A target whose calls take `work_s`; keeps who began when, and how many were under way at most."""

    def __init__(self, limit: Limit, *, work_s: float = 1.0, retry: Retry | None = None) -> None:
        self.registry = Registry(Random(1))
        self.guard = guard(Plan(limit=limit, retry=retry), Surroundings(registry=self.registry))
        self.work_s = work_s
        self.begun: list[tuple[float, object]] = []
        self.most = 0
        self.notes = Notes()
        self._now = 0

    async def call(self, name: object = "", **changes: Any) -> Any:
        """Call."""

        async def send(call: Call[Any], sending: Sending) -> object:
            self.begun.append((round(asyncio.get_running_loop().time(), 3), name))
            self._now += 1
            self.most = max(self.most, self._now)
            try:
                await asyncio.sleep(self.work_s)
            finally:
                self._now -= 1
            return name

        return await self.guard(call_of(send, **({"note": self.notes} | changes)))

    @property
    def slots(self) -> LocalSlots:
        """The slots of the target."""
        (dock,) = (dock for _, _, dock in self.registry.all(Dock))
        assert isinstance(dock.slots, LocalSlots)
        assert not dock.line.waiting
        return dock.slots


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 5), st.booleans(), st.none() | st.floats(0, 5)), max_size=30))
def test_at_most_so_many_are_under_way(arrivals: list[tuple[float, bool, float | None]]) -> None:
    """However calls come and are given up, there are never more than allowed, and at the end no slot is taken."""
    target = Target(Limit(concurrency=3, adaptive=False))
    numbers = count()

    async def arrive(delay_s: float, is_background: bool, patience_s: float | None) -> None:
        await asyncio.sleep(delay_s)
        priority = "background" if is_background else "interactive"
        task = asyncio.create_task(target.call((priority, next(numbers), patience_s is None), priority=priority))
        await asyncio.wait([task], timeout=patience_s)
        task.cancel()
        await asyncio.wait([task])

    async def main() -> None:
        await target.call(("interactive", next(numbers), True))
        async with asyncio.TaskGroup() as group:
            for arrival in arrivals:
                group.create_task(arrive(*arrival))

    run_virtual(main())
    assert target.most <= 3
    assert target.slots.taken == 0
    names: list[Any] = [name for _, name in target.begun]
    for wanted in ("interactive", "background"):
        patient = [number for priority, number, is_patient in names if priority == wanted and is_patient]
        assert patient == sorted(patient)
    assert sum(is_patient for _, _, is_patient in names) == 1 + sum(patience is None for _, _, patience in arrivals)


def test_a_slot_is_free_during_a_backoff() -> None:
    """A call that waits to be sent again lets others go meanwhile."""
    retry = Retry(backoff=Backoff(base_s=10, jitter="none"))
    proceed = guard(Plan(limit=Limit(concurrency=1), retry=retry), Surroundings(registry=Registry(Random(1))))

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        ends: list[float] = []

        async def call(*answers: object) -> None:
            await proceed(call_of(Upstream(*answers).send))
            ends.append(loop.time())

        await asyncio.gather(call(ProviderUnavailable("gone"), "back"), call("answer"))
        return ends

    assert run_virtual(main()) == [0, 10]


@pytest.mark.parametrize("moment_s", [0.0, 0.5, 1.0])
def test_a_cancelled_call_takes_no_slot_with_it(moment_s: float) -> None:
    """Wherever the one that waits is cancelled, the one behind it goes as if it had not come."""

    async def main(steps: int) -> tuple[list[object], int, int]:
        target = Target(Limit(concurrency=1, adaptive=False))
        async with asyncio.TaskGroup() as group:
            group.create_task(target.call("first"))
            await asyncio.sleep(0)
            doomed = asyncio.create_task(target.call("doomed"))
            await asyncio.sleep(0)
            group.create_task(target.call("last"))
            await asyncio.sleep(moment_s)
            for _ in range(steps):
                await asyncio.sleep(0)
            doomed.cancel()
            await asyncio.wait([doomed])
            at = asyncio.get_running_loop().time()
        last_s = next(begun for begun, name in target.begun if name == "last")
        assert last_s == max(at, 1.0)
        return [name for _, name in target.begun], target.slots.taken, len(asyncio.all_tasks())

    results = [run_virtual(main(steps)) for steps in range(10)]
    assert all(taken == 0 and tasks == 1 for _, taken, tasks in results)
    assert (["first", "last"], 0, 1) in results


def test_hanging_calls_do_not_save_up_permits() -> None:
    """After all slots hung, calls go at the rate and not all at once: a permit is taken when there is a slot."""
    target = Target(Limit(requests=600, burst=0.01, concurrency=5), work_s=30)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for name in range(60):
                group.create_task(target.call(name))
            await asyncio.sleep(25)
            target.work_s = 0.01

    run_virtual(main())
    after = [at for at, _ in target.begun if at >= 30]
    assert len(after) == 55
    assert after[-1] - after[0] >= (55 - 6) / 10 - 1e-3


def test_a_wait_for_a_slot_is_noted_and_has_an_end() -> None:
    """It says how long it took; one that takes longer than `queue_s` or the run's time is refused."""
    target = Target(Limit(concurrency=1, queue_s=1.5, adaptive=False))

    async def main() -> list[Any]:
        calls = [target.call(place, deadline=deadline) for place, deadline in enumerate([None, None, None, 1.25])]
        return await asyncio.gather(*calls, return_exceptions=True)

    results = run_virtual(main())
    assert [type(each) for each in results] == [int, int, CallShed, CallShed]
    assert [(decision.action, decision.wait_s) for decision in target.notes.decisions] == [
        ("waited", 1.0),
        ("refused", 1.25),
        ("refused", 1.5),
    ]
    assert target.notes.decisions[0].figures == {"concurrent_before": 1, "concurrent": 1}


def test_a_late_call_is_refused_before_it_waits_for_a_slot() -> None:
    """Those in line for a slot need permits too, and that time is known when a call comes."""
    target = Target(Limit(requests=60, burst=0.01, concurrency=1), work_s=0.01)

    async def main() -> list[Any]:
        calls = asyncio.gather(*(target.call(deadline=3.5) for _ in range(8)), return_exceptions=True)
        await asyncio.sleep(0.5)
        assert [decision.action for decision in target.notes.decisions] == [*["refused"] * 4, "waited"]
        return await calls

    results = run_virtual(main())
    assert [isinstance(each, CallShed) for each in results] == [False] * 4 + [True] * 4


def test_loops_in_threads_share_slots() -> None:
    """A call in one thread that gives its slot back lets one go that waits in another thread."""
    registry = Registry()
    proceed = guard(Plan(limit=Limit(concurrency=1, adaptive=False)), Surroundings(registry=registry))
    is_taken = threading.Event()

    async def hold(call: Call[Any], sending: Sending) -> str:
        is_taken.set()
        (dock,) = (dock for _, _, dock in registry.all(Dock))
        while not dock.line.waiting:  # noqa: ASYNC110 - nothing tells that somebody waits in another thread
            await asyncio.sleep(0)
        return "held"

    async def made(send: Any) -> Any:
        return await proceed(call_of(send))

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: asyncio.run(made(hold)))
        assert is_taken.wait(30)
        second = pool.submit(lambda: asyncio.run(made(Upstream("waited").send)))
        assert (first.result(30), second.result(30)) == ("held", "waited")


async def test_the_slots_of_a_target_are_shown() -> None:
    """While one call holds the only slot and another waits, both are in the figures; afterwards neither is."""
    registry = Registry()
    proceed = guard(Plan(limit=Limit(concurrency=1, adaptive=False)), Surroundings(registry=registry))
    done = asyncio.Event()

    async def hold(call: Call[Any], sending: Sending) -> str:
        await done.wait()
        return "held"

    async def made() -> Any:
        return await proceed(call_of(hold))

    calls = [asyncio.create_task(made()) for _ in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    (shown,) = live(registry)
    assert (shown.layer, shown.state, shown.level) == ("bulkhead", "waiting", 1)
    assert (shown.figures["concurrent"], shown.figures["waiting"]) == (1, 1)
    done.set()
    await asyncio.gather(*calls)
    (shown,) = live(registry)
    assert (shown.state, shown.level, shown.figures["waiting"]) == ("free", 0, 0)
