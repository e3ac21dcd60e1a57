"""Who listens is told of what every process writes, from one read of the store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runwright.core.changes import Changed
from runwright.service.live import Live
from runwright.store import open_stores
from tests.unit.store.rows import event, more, new, run


class Counted:
    """A store whose reads can be waited for; what it has is set."""

    def __init__(self) -> None:
        self.position = 0
        self.reads: asyncio.Queue[int] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def newest(self) -> int:
        """Where it stands."""
        return self.position

    def since(self, after: int, *, limit: int) -> Changed:
        """Everything up to where it stands; nothing for who is there or beyond."""
        assert limit > 0
        found = Changed(after=after, position=max(after, self.position))
        self._loop.call_soon_threadsafe(self.reads.put_nowait, after)
        return found


async def position(changes: AsyncIterator[Changed]) -> int:
    """The position of the next change."""
    return (await anext(changes)).position


async def test_one_read_serves_all_who_listen() -> None:
    """Listeners at the same place share a read, and one that comes late reads for itself alone."""
    store = Counted()
    live = Live(store, poll_s=60)
    async with asyncio.TaskGroup() as group:
        told = [group.create_task(position(live.changes(0))) for _ in range(5)]
        await store.reads.get()
        store.position = 7
        live.record(run(1), ())
    assert [task.result() for task in told] == [7] * 5
    assert await position(live.changes(3)) == 7
    assert [await store.reads.get() for _ in range(2)] == [0, 3]
    assert store.reads.empty()


async def test_who_leaves_hands_the_reading_on() -> None:
    """A listener that goes away while it waits for all lets the next one wait for them."""
    store = Counted()
    live = Live(store, poll_s=60)
    live.record(run(1), ())
    async with asyncio.TaskGroup() as group:
        leaving, staying = [group.create_task(position(live.changes(0))) for _ in range(2)]
        await store.reads.get()
        leaving.cancel()
        await store.reads.get()
        store.position = 2
        live.record(run(1), ())
    assert staying.result() == 2


@pytest.mark.parametrize("after", [50, 60], ids=["where the last change was told", "elsewhere"])
@pytest.mark.parametrize("told", [False, True], ids=["first", "later"])
async def test_who_is_behind_never_waits(after: int, told: bool) -> None:
    """What a listener missed is told at once, although another one waits at the end of the store."""
    store = Counted()
    store.position = 100
    live = Live(store, poll_s=60)
    if told:
        assert await position(live.changes(50)) == 100
        await store.reads.get()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(position(live.changes(100)))
        await store.reads.get()
        assert await position(live.changes(after)) == 100
        waiting.cancel()


async def test_who_is_ahead_is_led_back() -> None:
    """A listener from a store that is gone hears of a gap, waits from where this one stands and keeps nobody back."""
    store = Counted()
    store.position = 100
    live = Live(store, poll_s=60)
    ahead = live.changes(5000)
    assert await anext(ahead) == Changed(after=5000, position=100, is_gap=True)
    async with asyncio.TaskGroup() as group:
        told = [group.create_task(position(each)) for each in (ahead, live.changes(100))]
        await store.reads.get()
        store.position = 101
        live.record(run(1), ())
    assert [task.result() for task in told] == [101, 101]


async def test_who_missed_what_was_deleted_waits() -> None:
    """A listener behind events that were deleted waits for the next change and does not read on and on."""
    store = Counted()
    store.position = 100
    live = Live(store, poll_s=60)
    assert await position(live.changes(50)) == 100
    store.position = 60
    async with asyncio.TaskGroup() as group:
        told = group.create_task(position(live.changes(60)))
        assert [await store.reads.get() for _ in range(3)] == [50, 60, 60]
        store.position = 101
        live.record(run(1), ())
    assert told.result() == 101


async def test_what_another_process_writes_is_told(tmp_path: Path) -> None:
    """A run that was written through another connection to the file is told at the next look."""
    ours, theirs = [await asyncio.to_thread(open_stores, tmp_path / "runwright.db") for _ in range(2)]
    try:
        first = run(1)
        await asyncio.to_thread(theirs.writes.append, [new(first, event(first, 1))])
        listener = Live(ours.changes, poll_s=0.001).changes(0)
        assert [each.status for each in (await anext(listener)).runs] == ["queued"]
        ended = run(1, status="completed")
        await asyncio.to_thread(theirs.writes.append, [more(ended, event(ended, 2))])
        assert [each.status for each in (await anext(listener)).runs] == ["completed"]
    finally:
        await asyncio.to_thread(lambda: (ours.close(), theirs.close()))
