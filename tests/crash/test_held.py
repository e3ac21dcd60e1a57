"""A parent, its child, and a call that a person has to allow, killed around the commits that matter."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
import pytest

from tests.crash.harness import TEST_S, WAIT_S, Body
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

UNHEARD = "before run.resumed 1"


@pytest.mark.parametrize(
    "point",
    ["before run.queued 2", "after run.queued 2", "before step.held 1", "after step.held 1", "after run.waiting 2"],
)
async def test_killed_before_the_answer(stage: Stage, point: str) -> None:
    """However far a run had come, a restart finds one child and one question, and what follows is done once."""
    await stage.start(point)
    await _begin(stage)
    await stage.died(point)
    await stage.start()
    await _approve(stage)
    await _check(stage)


@pytest.mark.parametrize(
    "point", [UNHEARD, "after run.resumed 1", "before run.completed 1", "after run.completed 1", "done stamp"]
)
async def test_killed_after_the_answer(stage: Stage, point: str) -> None:
    """An answer that is on disk holds over a kill; one that is not is asked for again. Nothing is done twice."""
    await stage.start()
    await _begin(stage)
    await _asked(stage)
    await stage.stop()
    await stage.start(point)
    await _approve(stage)
    await stage.died(point)
    await stage.start()
    if point == UNHEARD:
        await _approve(stage)
    await _check(stage)


async def _begin(stage: Stage) -> None:
    """Start the parent; the server may die over it."""
    with suppress(aiohttp.ClientError):
        run = await stage.post("agents/overseer/runs", {"input": "go", "mode": "background"})
        stage.run = run["id"]


async def _asked(stage: Stage) -> Body:
    """The one question, as soon as both runs wait."""
    async with asyncio.timeout(WAIT_S):
        while [run["status"] for run in (await stage.get("runs"))["data"]] != ["waiting"] * 2:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)
    (view,) = (await stage.get("approvals"))["data"]
    return view


async def _approve(stage: Stage) -> None:
    """Allow the call; the server may die over it."""
    view = await _asked(stage)
    with suppress(aiohttp.ClientError):
        await stage.post(f"approvals/{view['id']}/resolve", {"decision": "approve", "by": "test"})


async def _check(stage: Stage) -> None:
    """The story ended well, and everything in it happened once."""
    parent = await stage.settled(stage.run)
    child, other = (await stage.get("runs"))["data"]
    assert (parent["status"], parent["output"]) == ("completed", "sent to ann; stamped sold")
    assert (child["parent_run_id"], child["status"], other["id"]) == (stage.run, "completed", stage.run)
    stamps = {deed.key for deed in stage.witness.deeds() if deed.tool == "stamp"}
    assert (stage.witness.entered()["send"], len(stamps)) == (1, 1)
    assert (await stage.get("approvals"))["data"] == []
    kinds = [step["kind"] for step in (await stage.get(f"runs/{stage.run}/steps"))["data"]]
    assert kinds == ["child", "tool"]
