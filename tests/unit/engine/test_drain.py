"""An engine that begins no more runs, and lets those at work finish or leaves them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runwright.core.context import Context
from runwright.engine.worker import EngineOptions
from runwright.errors import Unavailable
from runwright.store import Stores
from tests.unit.engine.harness import HeldTool, flowing, started, until

pytestmark = pytest.mark.anyio

ONE_SLOT = EngineOptions(is_adopting=True, signal_poll_s=0.01, orphan_poll_s=0.02, concurrency=1)
LONG_S = 60.0


async def test_what_is_at_work_finishes_and_what_is_queued_stays(stores: Stores, tmp_path: Path) -> None:
    """The run with the slot comes to its end; the queued one and the waiting one go on at the next start."""
    held = HeldTool("held")

    async def holds(context: Context, value: object) -> object:
        return await (context.tool(held) if value == "work" else context.ask("Really?"))

    async with started(flowing(holds), stores=stores, boots=tmp_path, options=ONE_SLOT) as process:
        waiting = await process.run("ask")
        busy = await process.create("work", mode="background")
        await held.is_entered.wait()
        queued = await process.create("work", mode="background")
        process.engine.drain.begin(LONG_S)
        with pytest.raises(Unavailable):
            await queued.wait()
        with pytest.raises(Unavailable):
            await process.create("work")
        drain = process.engine.drain
        assert (drain.is_begun, drain.is_over, process.engine.executing) == (True, False, 1)
        held.go.set()
        assert (await busy.wait()).status == "completed"
        await until(lambda: drain.is_over)
        assert drain.left == 0
        assert (await process.runs.get(queued.run_id)).status == "queued"
        assert (await process.runs.get(waiting.id)).status == "waiting"
    async with started(flowing(holds), stores=stores, boots=tmp_path) as process:
        await process.settled(queued.run_id, "completed")


async def test_after_the_time_runs_are_left(stores: Stores, tmp_path: Path) -> None:
    """A run that is not over in time is left as it is, is taken up by nobody here, and goes on at the next start."""
    held = HeldTool("held", effect="idempotent")

    async def holds(context: Context, _value: object) -> object:
        return await context.tool(held)

    async with started(flowing(holds), stores=stores, boots=tmp_path) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        process.engine.drain.begin(0.0)
        await until(lambda: process.engine.drain.is_over)
        assert (process.engine.drain.left, process.engine.active) == (1, 0)
        await asyncio.sleep(0.05)
        assert (await process.runs.get(handle.run_id)).status == "running"
    held.go.set()
    async with started(flowing(holds), stores=stores, boots=tmp_path) as process:
        await process.settled(handle.run_id, "completed")


async def test_a_stop_cuts_a_drain_short() -> None:
    """A process that is told to end does not wait for the longer time of a drain that was asked for before."""
    held = HeldTool("held", effect="idempotent")

    async def holds(context: Context, _value: object) -> object:
        return await context.tool(held)

    async with started(flowing(holds)) as process:
        await process.create(mode="background")
        await held.is_entered.wait()
        process.engine.drain.begin(LONG_S)
        process.engine.drain.begin(LONG_S)
        await asyncio.sleep(0)
        async with asyncio.timeout(LONG_S / 2):
            await process.close()
        assert (process.engine.drain.left, process.engine.drain.is_over) == (1, True)
