"""A run that is paused while it is at work, killed around the commits that matter, goes on when somebody says so."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import aiohttp
import pytest

from tests.crash.harness import OUTPUT, RESULTS, TEST_S, WAIT_S
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]


@pytest.mark.parametrize("point", ["before run.waiting 1", "after run.waiting 1", "after run.resumed 1"])
async def test_killed(stage: Stage, point: str) -> None:
    """A pause that was asked for holds over a kill, and so does the end of it; nothing is done twice."""
    stage.provider.is_patient = True
    stage.provider.traps[1, "received"] = lambda: _pause(stage)
    await stage.start(point)
    with suppress(aiohttp.ClientError):
        stage.run = (await stage.post("agents/loop/runs", {"input": "go", "mode": "background"}))["id"]
    if "resumed" in point:
        await _paused(stage)
        with suppress(aiohttp.ClientError):
            await stage.post(f"runs/{stage.run}/resume", {})
    await stage.died(point)
    await stage.start()
    if "resumed" not in point:
        await _paused(stage)
        assert stage.witness.entered() == Counter(["look"]), point
        await stage.post(f"runs/{stage.run}/resume", {})
    run = await stage.settled(stage.run)
    assert (run["status"], run["output"]) == ("completed", OUTPUT), point
    assert stage.witness.entered() == Counter(list(RESULTS)), point


async def _pause(stage: Stage) -> None:
    """Pause the run while its model is asked."""
    await stage.until(lambda: bool(stage.run))
    await stage.post(f"runs/{stage.run}/pause", {"reason": "a test"})


async def _paused(stage: Stage) -> None:
    """Wait until the run is paused."""
    async with asyncio.timeout(WAIT_S):
        while (await stage.get(f"runs/{stage.run}"))["reason"] != "paused":  # noqa: ASYNC110 - another process has no event to wait for
            await asyncio.sleep(0.02)
