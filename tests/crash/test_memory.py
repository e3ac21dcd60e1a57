"""Memory is written once, whenever the process dies."""

from __future__ import annotations

import pytest

from tests.crash.harness import TEST_S
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]


@pytest.mark.parametrize(
    "point",
    [
        "after step.started 1",
        "before memory.written 1",
        "after memory.written 1",
        "done note",
        "before memory.written 2",
        "after memory.written 2",
        "before memory.written 3",
        "after memory.written 3",
        "before run.completed 1",
    ],
)
async def test_killed_around_a_write(stage: Stage, point: str) -> None:
    """A write stands with the end of its step or not at all, and what did not stand is written when the run goes on."""
    stage.agent = "keeper"
    await stage.killed_at(point)
    await stage.goes_on()
    run = await stage.get(f"runs/{stage.run}")
    assert (run["status"], run["output"]) == ("completed", "first\nsecond\nthird"), point
    commits = (await stage.get("memory/agent:keeper/commits"))["data"]
    assert [(commit["number"], commit["run_id"]) for commit in commits] == [(number, stage.run) for number in (3, 2, 1)]
    block = await stage.get("memory/agent:keeper/blocks/log")
    assert block["value"] == run["output"], point
    written = (await stage.get(f"runs/{stage.run}/memory"))["writes"]
    assert [each["commit"] for each in written] == [1, 2, 3], point
