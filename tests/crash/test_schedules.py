"""A schedule whose server is killed around its firings starts exactly one run for each of its times."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise

import aiohttp
import pytest

from tests.crash.harness import TEST_S, WAIT_S, Body
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

TICKS = 3
TICK = {
    "name": "tick",
    "agent": "clerk",
    "input": "go",
    "every_s": 1,
    "max_firings": TICKS,
    "catch_up": "all",
    "overlap": "queue",
}


@pytest.mark.parametrize(
    "point", ["before run.queued 1", "after run.queued 1", "after step.started 2", "before run.queued 2"]
)
async def test_killed(stage: Stage, point: str) -> None:
    """However the server dies, each time is one run that is done once, whose deeds have one key."""
    await stage.start(point)
    with suppress(aiohttp.ClientError):
        await stage.post("schedules", TICK)
    await stage.died(point)
    await stage.start()
    firings = await _all_started(stage)
    times = [datetime.fromisoformat(firing["at"]) for firing in firings]
    assert [later - earlier for earlier, later in pairwise(times)] == [timedelta(seconds=1)] * 2
    runs = [await stage.settled(firing["run_id"]) for firing in firings]
    assert [run["status"] for run in runs] == ["completed"] * TICKS, point
    assert [run["metadata"]["scheduled_for"] for run in runs] == [time.isoformat() for time in times]
    everything = (await stage.get("runs"))["data"]
    assert {run["id"] for run in everything} == {run["id"] for run in runs}, point
    assert {deed.run for deed in stage.witness.deeds()} == {run["id"] for run in runs}, point
    assert len({(deed.run, deed.key) for deed in stage.witness.deeds()}) == TICKS, point
    assert (await stage.get("schedules/tick"))["status"] == "over"


async def _all_started(stage: Stage) -> list[Body]:
    """The firings of the schedule, oldest first, when all of them have started a run."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found: list[Body] = (await stage.get("schedules/tick/firings"))["data"]
            if [firing["became"] for firing in found] == ["started"] * TICKS:
                return found[::-1]
            await asyncio.sleep(0.05)
