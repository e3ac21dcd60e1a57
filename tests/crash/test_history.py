"""A run that sums up its conversation, killed around that, goes on with the summary and sums up nothing twice."""

from __future__ import annotations

import pytest

from tests.crash.harness import TEST_S
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

SAID = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "what is it?"},
    {"role": "user", "content": "hand a b"},
]


@pytest.mark.parametrize(
    "point",
    [
        "after step.started 1",
        "before step.completed 1",
        "after step.completed 1",
        "before history.cut 1",
        "after history.cut 1",
        "after step.started 2",
        "before run.completed 3",
    ],
)
async def test_killed_around_a_summary(stage: Stage, point: str) -> None:
    """What was left out is left out once, a finished summary is not asked for again, and the run replays."""
    stage.agent = "minuter"
    await stage.killed_at(point, input={"messages": SAID})
    (kill,) = stage.kills
    is_summed_up = any(row["lane"] == "summary" and row["status"] == "completed" for row in kill.record.steps)
    await stage.goes_on()
    run = await stage.settled(stage.run)
    assert (run["status"], run["output"]) == ("completed", "stamped a; stamped b"), point
    asked = sum(count for (words, _), count in stage.provider.calls.items() if words.startswith("What was said"))
    assert asked == 1 if is_summed_up else asked <= 2, point
    steps = (await stage.get(f"runs/{stage.run}/steps"))["data"]
    assert [step["status"] for step in steps if step["lane"] == "summary"] == ["completed"], point
    replayed = await stage.post(f"runs/{stage.run}/replay", {"mode": "wait"})
    assert (replayed["status"], replayed["output"]) == ("completed", run["output"]), point
