"""An agent that reads a repository, killed while it is at work, goes on at the commit that it had begun with."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.crash.harness import TEST_S, Body
from tests.crash.stage import Stage
from tests.unit.tools.git.making import Origin

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]


@pytest.mark.parametrize(
    "point",
    [
        "after step.started 1",
        "before step.completed 1",
        "after step.completed 1",
        "after step.completed 3",
        "before step.completed 5",
    ],
)
async def test_killed(stage: Stage, point: str) -> None:
    """What was finished is not done again, the branch has moved meanwhile, and the replay needs no repository."""
    site = await asyncio.to_thread(Origin, Path(f"{stage.witness.path}-site"))
    first = await asyncio.to_thread(site.commit, "Begin", a_dot_txt="first\n")
    stage.agent = "reader"
    await stage.killed_at(point, input="cite a.txt")
    (kill,) = stage.kills
    second = await asyncio.to_thread(site.commit, "Change", a_dot_txt="second\n")
    opened = [step for step in kill.record.steps if step["name"] == "open_repository"]
    is_opened = [step["status"] for step in opened] == ["completed"]
    await stage.goes_on()
    run = await stage.settled(stage.run)
    assert run["status"] == "completed", point
    assert run["output"]["commit"] == (first if is_opened else second), point
    (place,) = run["output"]["citations"]
    assert place["text"] == ("first" if is_opened else "second"), point
    assert not list(kill.repeated(stage.run, stage.witness.entered(), stage.asked())), point
    steps = await _keys(stage, stage.run)
    assert [name for name, _ in steps] == [
        "open_repository",
        "openai:scripted",
        "read",
        "openai:scripted",
        "check_citations",
    ]
    await asyncio.to_thread(shutil.rmtree, site.path)
    await asyncio.to_thread(shutil.rmtree, stage.data / "repositories")
    replayed: Body = await stage.post(f"runs/{stage.run}/replay", {"mode": "wait"})
    assert (replayed["status"], replayed["output"]) == ("completed", run["output"]), point
    assert await _keys(stage, replayed["id"]) == steps, point


async def _keys(stage: Stage, run: str) -> list[tuple[str, str]]:
    page = await stage.get(f"runs/{run}/steps")
    return [(step["name"], step["key"]) for step in page["data"]]
