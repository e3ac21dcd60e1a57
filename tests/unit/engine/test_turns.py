"""Turns in a thread: one run at work, the others behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from runwright.core.run import TERMINAL, Run
from runwright.core.thread import Thread
from runwright.engine.turns import Turns
from runwright.engine.worker import Claim, EngineOptions
from runwright.errors import Conflict, StorageFull
from runwright.store import open_stores
from runwright.store.threads import SqlThreadStore
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import HeldTool, looping, started, until
from tests.unit.store.rows import NOW, run


class Door:
    """A ThreadStore that gives a turn only to the run it is told, and counts who asks."""

    def __init__(self) -> None:
        self.open_to: str | None = None
        self.asked: list[str] = []

    def take(self, thread_id: str, run_id: str) -> Thread | None:
        """The turn, if it is this run's."""
        self.asked.append(run_id)
        return Thread(id=thread_id, created_at=NOW, head="run_head") if run_id == self.open_to else None

    def put(self, thread: Thread) -> None:
        """Nothing."""

    def get(self, thread_id: str) -> Thread | None:
        """Nothing."""

    def find(self, *, user: str | None = None, after: str | None = None, limit: int = 50) -> Sequence[Thread]:
        """Nothing."""
        return []

    def delete(self, thread_id: str) -> bool:
        """Nothing."""
        return False

    def active_runs(self, thread_id: str) -> Sequence[str]:
        """Nothing."""
        return []

    def is_interrupted(self, thread_id: str, run_id: str) -> bool:
        """Never."""
        return False


def queue(count: int) -> list[Run]:
    """Queued runs of one thread, oldest first."""
    return [run(number, thread_id="t") for number in range(count)]


def using(call: str = "slow") -> ScriptedModel:
    """A model that calls a tool, and then says something."""
    return ScriptedModel(by=lambda request: "fin" if len(request.messages) > 1 else calls((call, {})))


@pytest.fixture
def never_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks a second time without being called."""
    monkeypatch.setattr("runwright.engine.turns.FIRST_POLL_S", 3600.0)


async def test_only_the_oldest_asks() -> None:
    """Of hundred runs that wait in a thread one asks the store, ever more rarely."""
    door = Door()
    turns = Turns(door)
    runs = queue(100)
    waiting = [asyncio.create_task(turns.take(each)) for each in runs]
    await until(lambda: len(door.asked) >= 3)
    assert set(door.asked) == {runs[0].id}
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


async def test_the_next_one_is_woken(never_polled: None) -> None:
    """Each run gets its turn as soon as the one before it has left, in the order of their ids."""
    door = Door()
    turns = Turns(door)
    runs = queue(20)
    waiting = [asyncio.create_task(turns.take(each)) for each in reversed(runs)]
    async with asyncio.timeout(30):
        for each, task in zip(runs, reversed(waiting), strict=True):
            door.open_to = each.id
            turns.wake("t")
            assert await task == "run_head"


async def test_who_leaves_the_line_blocks_nobody(never_polled: None) -> None:
    """When the oldest run is cancelled while it waits, the next one asks."""
    door = Door()
    turns = Turns(door)
    first, second = queue(2)
    gone, stays = (asyncio.create_task(turns.take(each)) for each in (first, second))
    await until(lambda: bool(door.asked))
    door.open_to = second.id
    gone.cancel()
    async with asyncio.timeout(30):
        assert await stays == "run_head"


async def test_a_run_of_another_process_is_waited_for(tmp_path: Path) -> None:
    """Two processes never have two runs of a thread at work, even when the older one is stored later."""
    stores = await asyncio.to_thread(open_stores, tmp_path / "x.db")
    one, two = HeldTool("slow"), HeldTool("slow")
    options = EngineOptions()
    async with (
        started(looping(one), stores=stores, boots=tmp_path / "b", model=using()) as first,
        started(looping(two), stores=stores, boots=tmp_path / "b", model=using(), options=options) as second,
    ):
        with first.gate.held():
            creating = asyncio.create_task(first.create(thread_id="t", mode="background"))
            await until(lambda: bool(first.engine.active))
            younger = await second.create(thread_id="t", mode="background")
            await two.is_entered.wait()
        older = await creating
        assert older.run_id < younger.run_id
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await one.is_entered.wait()
        one.go.set()
        two.go.set()
        await first.settled(older.run_id, "completed")
        await second.settled(younger.run_id, "completed")
    await asyncio.to_thread(stores.close)


async def test_one_of_many_that_reject_is_accepted() -> None:
    """Of runs that reject a busy thread and come at once, one is accepted and nothing is stored of the others."""
    tool = HeldTool("slow")
    async with started(looping(tool), model=using()) as process:
        asked = [process.create(thread_id="t", multitask="reject", mode="background") for _ in range(3)]
        got = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(each, Conflict) for each in got].count(True) == 2
        assert len(await asyncio.to_thread(process.stores.threads.active_runs, "t")) == 1
        tool.go.set()


async def test_a_repeated_interruption_does_not_interrupt_itself() -> None:
    """Two equal requests that interrupt, under one key, are one run, which is not cancelled."""
    tool = HeldTool("slow")
    claim = Claim(scope="s", key="k", body_hash="h")
    async with started(looping(tool), model=using()) as process:
        before = await process.create(thread_id="t", mode="background")
        asked = [process.create(thread_id="t", multitask="interrupt", mode="background", claim=claim) for _ in range(2)]
        one, other = await asyncio.gather(*asked)
        assert one.run_id == other.run_id
        assert (await process.runs.get(before.run_id)).status == "cancelled"
        tool.go.set()
        await process.settled(one.run_id, "completed")


async def test_an_interruption_clears_the_whole_thread() -> None:
    """All runs before an interrupting one are cancelled, and those behind the one at work do not begin."""
    tool = HeldTool("slow")
    model = using()
    async with started(looping(tool), model=model) as process:
        before = [await process.create(thread_id="t", mode="background") for _ in range(4)]
        await tool.is_entered.wait()
        last = await process.create(thread_id="t", multitask="interrupt", mode="background")
        assert {(await process.runs.get(each.run_id)).status for each in before} == {"cancelled"}
        tool.go.set()
        await process.settled(last.run_id, "completed")
        assert len(model.requests) == 3


class Deaf(SqlThreadStore):
    """A store that finds no runs of a thread for who wants to interrupt them."""

    def active_runs(self, thread_id: str) -> Sequence[str]:
        """Fail."""
        raise StorageFull


async def test_an_interruption_that_fails_is_no_failure_of_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """Who interrupts gets the run even when the others cannot be cancelled now; those that have not begun never do."""
    tool = HeldTool("slow")
    stores = await asyncio.to_thread(open_stores, ":memory:")
    deaf = msgspec.structs.replace(stores, threads=Deaf(stores.database))
    async with started(looping(tool), model=using(), stores=deaf) as process:
        first, second = [await process.create(thread_id="t", mode="background") for _ in range(2)]
        await tool.is_entered.wait()
        last = await process.create(thread_id="t", multitask="interrupt", mode="background")
        assert "could not interrupt its thread: StorageFull" in caplog.text
        tool.go.set()
        ends = [(await process.settled(each.run_id, *TERMINAL)).status for each in (first, second, last)]
        assert ends == ["completed", "cancelled", "completed"]
    await asyncio.to_thread(stores.close)


async def test_of_two_processes_that_interrupt_the_later_run_wins(tmp_path: Path) -> None:
    """A run that is stored after a later one, which interrupts and could not see it, is cancelled before it begins."""
    stores = await asyncio.to_thread(open_stores, tmp_path / "x.db")
    tool, model = HeldTool("slow"), using()
    async with (
        started(looping(tool), stores=stores, boots=tmp_path / "b", model=model) as first,
        started(looping(tool), stores=stores, boots=tmp_path / "b", model=using(), options=EngineOptions()) as second,
    ):
        with first.gate.held():
            creating = asyncio.create_task(first.create(thread_id="t", multitask="interrupt", mode="background"))
            await until(lambda: bool(first.engine.active))
            younger = await second.create(thread_id="t", multitask="interrupt", mode="background")
        older = await creating
        tool.go.set()
        await second.settled(younger.run_id, "completed")
        view = await first.settled(older.run_id, *TERMINAL)
        assert view.status == "cancelled"
        assert model.requests == []
    await asyncio.to_thread(stores.close)


async def test_behind_a_waiting_run(never_polled: None) -> None:
    """A run that waits for a person keeps the turn; when it is cancelled, the next one begins at once."""

    def lost(arguments: object) -> object:
        raise ConnectionError("gone")

    tool = ScriptedTool("pay", lost, effect="once")
    model = ScriptedModel(calls(("pay", {})), "fin", "fin")
    async with started(looping(tool), model=model) as process:
        waits = await process.run(thread_id="t")
        assert waits.status == "waiting"
        behind = [await process.create(thread_id="t", mode="background") for _ in range(2)]
        await asyncio.sleep(0.3)
        assert process.engine.active == 2
        await process.runs.cancel(waits.id)
        async with asyncio.timeout(30):
            for each in behind:
                await process.settled(each.run_id, "completed")
