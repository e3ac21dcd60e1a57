"""A task of six steps, killed while it is at work, finishes with nothing repeated."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.crash.harness import TEST_S, Body
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

OUTPUT = "signed charged 7 stamped go"
STEPS = 6


@pytest.mark.parametrize(
    "point",
    [
        "after step.completed 1",
        "after progress.reported 2",
        "entered charge",
        "done reserve",
        "received 0",
        "before run.completed 2",
    ],
)
async def test_killed(stage: Stage, point: str) -> None:
    """It goes on where it was: what had ended is not done again, and its strict replay does nothing at all."""
    stage.agent = "errand"
    await stage.killed_at(point)
    (kill,) = stage.kills
    done = {(row["run_id"], row["name"]) for row in kill.record.steps if row["status"] == "completed"}
    before = Counter((deed.run, deed.tool) for deed in stage.witness.deeds() if deed.moment == "entered")
    await stage.goes_on()
    run = await stage.settled(stage.run)
    assert (run["status"], run["output"]) == ("completed", OUTPUT), point
    deeds = [deed for deed in stage.witness.deeds() if deed.moment == "entered"]
    entered = Counter((deed.run, deed.tool) for deed in deeds)
    for each, count in entered.items():
        assert count == before[each] if each in done else count <= before[each] + 1, f"{point}: {each}"
    assert sum(count for (_, tool), count in entered.items() if tool == "charge") == 1 + stage.granted["charge"], point
    assert len({(deed.tool, deed.key) for deed in deeds}) == len(entered), point
    children = (await stage.get(f"runs?parent_run_id={stage.run}"))["data"]
    assert [child["status"] for child in children] == ["completed"], point
    told = [frame.data["fraction"] for frame in await stage.story() if frame.type == "progress.reported"]
    assert (told == sorted(told), told[-1]) == (True, 1.0), point
    assert point == "entered charge" or len(told) == STEPS, point
    replayed: Body = await stage.post(f"runs/{stage.run}/replay", {"mode": "wait"})
    assert (replayed["status"], replayed["output"]) == ("completed", OUTPUT), point
    assert len([deed for deed in stage.witness.deeds() if deed.moment == "entered"]) == len(deeds), point
