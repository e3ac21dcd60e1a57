"""The engine: what it refuses, what it tells, and how it tends runs of others."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import msgspec
import pytest

from runwright.core.ports import IdempotencyKey, Signal
from runwright.core.run import Run
from runwright.engine.owner import Owner
from runwright.engine.resume import Outcome
from runwright.engine.worker import Claim, EngineOptions
from runwright.errors import StorageError, StorageFull, Unavailable
from runwright.service.views import RunView
from runwright.store import Stores
from runwright.store.runs import SqlRunStore
from runwright.testing import ScriptedModel, calls
from tests.unit.engine.harness import HeldTool, looping, started, until

pytestmark = pytest.mark.anyio


class OddOwner(Owner):
    """An owner that counts what it is asked, and may fail."""

    def __init__(self, directory: Path | None, error: Exception | None = None) -> None:
        super().__init__(directory)
        self.asked: list[str | None] = []
        self.error = error

    def is_gone(self, boot: str | None) -> bool:
        """Fail, or look."""
        self.asked.append(boot)
        if self.error is not None:
            raise self.error
        return super().is_gone(boot)


async def test_trouble_with_orphans_ends_no_run(
    stores: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails while the engine tends is logged once; the runs go on, and so does the tending."""
    held, own = HeldTool("act"), HeldTool("act")
    quiet = EngineOptions()
    model = ScriptedModel(calls(("act", {})), "done")
    owner = OddOwner(tmp_path)
    async with started(looping(own), model=model, stores=stores, owner=owner) as process:
        handle = await process.create(mode="background")
        await own.is_entered.wait()
        owner.error = OSError(24, "Too many open files")
        dead = ScriptedModel(calls(("act", {})))
        async with started(looping(held), model=dead, stores=stores, boots=tmp_path, options=quiet) as other:
            orphan = await other.create(mode="background")
            await held.is_entered.wait()
            await until(lambda: len(owner.asked) > 3)
            await other.crash()
        own.go.set()
        assert (await handle.wait()).status == "completed"
        owner.error = None
        await process.settled(orphan.run_id, "failed")
    said = [record.getMessage() for record in caplog.records if record.name == "runwright.engine"]
    assert [text.partition(": ")[2] for text in said] == ["OSError: [Errno 24] Too many open files"]
    assert all(record.levelno == logging.ERROR for record in caplog.records if record.name == "runwright.engine")


async def test_an_owner_is_looked_at_once_a_round(stores: Stores, tmp_path: Path) -> None:
    """However many runs another process has, its lock is tried once, and one's own runs are no question."""
    mine, theirs = HeldTool("act"), HeldTool("act")
    model = ScriptedModel(by=lambda request: calls(("act", {})))
    owner = OddOwner(tmp_path)
    async with started(looping(theirs), model=model, stores=stores, boots=tmp_path, options=EngineOptions()) as other:
        for _ in range(3):
            await other.create(mode="background")
        async with started(looping(mine), model=model, stores=stores, owner=owner) as process:
            assert owner.asked == [other.owner.boot]
            await process.create(mode="background")
            await until(lambda: len(owner.asked) > 3)
            assert set(owner.asked) == {other.owner.boot}


async def test_a_cancel_by_signal_survives_its_process(stores: Stores, tmp_path: Path) -> None:
    """A signal stays until the end it asked for is on disk; the next process sees it before it takes up the run."""
    held, model = HeldTool("act"), ScriptedModel(calls(("act", {})), "done")
    async with started(looping(held), model=model, stores=stores, boots=tmp_path) as server:
        handle = await server.create(mode="background")
        await held.is_entered.wait()
        live = server.engine.live(handle.run_id)
        assert live is not None
        with server.gate.held():
            async with started(stores=stores, boots=tmp_path, options=EngineOptions()) as command:
                await command.runs.cancel(handle.run_id, reason="enough")
            await until(lambda: live.cancel_reason is not None)
            server.gate.die()
        await server.close()
    async with started(looping(held), model=model, stores=stores, boots=tmp_path) as server:
        await server.settled(handle.run_id, "cancelled")
        assert len(held.entered) == 0
    assert await asyncio.to_thread(stores.signals.pending) == []


async def test_a_signal_goes_when_its_run_is_over(stores: Stores, tmp_path: Path) -> None:
    """A process that cancelled a run for another one forgets the signal after that."""
    held = HeldTool("act")
    async with started(looping(held), model=_calling(), stores=stores, boots=tmp_path) as server:
        handle = await server.create(mode="background")
        await held.is_entered.wait()
        async with started(stores=stores, boots=tmp_path, options=EngineOptions()) as command:
            await command.runs.cancel(handle.run_id)
        await server.settled(handle.run_id, "cancelled")
        async with asyncio.timeout(30):
            while await asyncio.to_thread(stores.signals.pending):  # noqa: ASYNC110 - the next round drops it
                await asyncio.sleep(0.005)


def _calling() -> ScriptedModel:
    return ScriptedModel(calls(("act", {})), "done")


async def test_a_cancel_that_is_not_on_disk_is_an_error(stores: Stores) -> None:
    """Who cancels is told when that could not be recorded, because the run goes on then."""
    held = HeldTool("act")
    async with started(looping(held), model=_calling(), stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        process.gate.fail(StorageFull())
        with pytest.raises(StorageFull):
            await process.runs.cancel(handle.run_id)
        with pytest.raises(StorageError):
            await process.runs.cancel(handle.run_id)
        process.gate.fail(None)
        await process.runs.cancel(handle.run_id)
        assert (await process.runs.get(handle.run_id)).status == "cancelled"


class Rival(SqlRunStore):
    """A store in which somebody else takes a run just before, once, and dies."""

    is_done = False

    def adopt(self, run_id: str, *, epoch: int, owner: str) -> Run | None:
        """Come second."""
        if not self.is_done:
            self.is_done = True
            super().adopt(run_id, epoch=epoch, owner="boot_rival")
        return super().adopt(run_id, epoch=epoch, owner=owner)


async def test_a_cancel_goes_after_a_run_that_changes_hands(stores: Stores) -> None:
    """When somebody else takes the run just then, it is cancelled there."""
    held = HeldTool("act", effect="once")
    async with started(looping(held), model=_calling(), stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await until(lambda: process.journal.depth == 0)
        await process.crash()
    rival = msgspec.structs.replace(stores, runs=Rival(stores.database))
    async with started(stores=rival, options=EngineOptions()) as process:
        view: RunView = await process.runs.cancel(handle.run_id)
        assert view.status == "cancelled"


class Slow(SqlRunStore):
    """A store that takes its time to find a key."""

    def __init__(self, stores: Stores) -> None:
        super().__init__(stores.database)
        self.is_asked = threading.Event()
        self.go = threading.Event()

    def idempotent(self, scope: str, key: str) -> IdempotencyKey | None:
        """Wait, then look."""
        self.is_asked.set()
        assert self.go.wait(5.0)
        return super().idempotent(scope, key)


async def test_a_request_that_meets_the_stop_is_refused(stores: Stores) -> None:
    """A process that began to stop while a request was looked at does not create its run."""
    slow = Slow(stores)
    async with started(looping(), stores=msgspec.structs.replace(stores, runs=slow)) as process:
        claim = Claim(scope="s", key="k", body_hash="h")
        asked = asyncio.create_task(process.create(claim=claim))
        await until(slow.is_asked.is_set)
        await process.engine.stop(drain_s=0.0)
        slow.go.set()
        with pytest.raises(Unavailable):
            await asked
        assert process.engine.active == 0


async def test_a_run_that_is_on_disk_when_the_process_stops_goes_on_at_the_next_start(stores: Stores) -> None:
    """What was accepted is not refused afterwards: the next process executes it."""
    async with started(looping(), stores=stores) as process:
        with process.gate.held():
            asked = asyncio.create_task(process.create(thread_id="thr_1", mode="background"))
            await until(lambda: process.engine.active == 1)
            await process.engine.stop(drain_s=0.0)
        handle = await asked
        with pytest.raises(Unavailable, match="next start"):
            await handle.wait()
    async with started(looping(), stores=stores) as process:
        await process.settled(handle.run_id, "completed")


async def test_refusals_keep_nothing_of_what_they_refused() -> None:
    """Each caller gets an error of its own, without the frames of all others."""
    async with started(looping(), options=EngineOptions(signal_poll_s=9.0)) as process:
        process.gate.fail(StorageFull())
        with pytest.raises(StorageFull):
            await process.run()
        errors: list[BaseException] = []
        for _ in range(3):
            with pytest.raises(StorageFull) as refused:
                await process.run()
            errors.append(refused.value)
        assert len({id(error) for error in [*errors, process.journal.error]}) == 4
        assert len({_depth(error) for error in errors}) == 1


def _depth(error: BaseException) -> int:
    depth, trace = 0, error.__traceback__
    while trace is not None:
        depth, trace = depth + 1, trace.tb_next
    return depth


async def test_a_signal_that_came_too_late_is_told(
    stores: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What somebody says of a run that does not wait for it any more is dropped, and the log says why."""
    held = HeldTool("act")
    async with started(
        looping(held), model=_calling(), stores=stores, boots=tmp_path, options=EngineOptions()
    ) as other:
        handle = await other.create(mode="background")
        await held.is_entered.wait()
        await until(lambda: other.journal.depth == 0)
        await other.crash()
    row = await asyncio.to_thread(stores.runs.get, handle.run_id)
    assert row is not None
    body = msgspec.json.encode(Outcome(action="done"))
    signal = Signal(id="sig_1", run_id=handle.run_id, kind="resolve", body=body, created_at=row.created_at)
    await asyncio.to_thread(stores.signals.put, signal)
    caplog.set_level(logging.INFO, "runwright.engine")
    async with started(looping(held), model=_calling(), stores=stores, boots=tmp_path):
        assert await asyncio.to_thread(stores.signals.pending) == []
    assert f"resolve of run {handle.run_id} came to nothing" in caplog.text
