"""Supervisors of four agents, killed while they are at work, finish with nothing repeated."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.crash.harness import TEST_S
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

OUTPUT = "; ".join(f"stamped {letter}" for letter in "abcd")


@pytest.mark.parametrize(
    "point", ["after run.queued 3", "before step.completed 4", "after run.completed 2", "after step.completed 9"]
)
async def test_killed(stage: Stage, point: str) -> None:
    """Each goes on where it was: four children, each with one deed, none done again that had come to its end."""
    stage.agent = "head"
    await stage.killed_at(point, input="hand a b c d")
    (kill,) = stage.kills
    finished = {row["run_id"] for row in kill.record.steps if row["kind"] == "tool" and row["status"] == "completed"}
    before = Counter(deed.run for deed in stage.witness.deeds() if deed.moment == "entered")
    await stage.goes_on()
    run = await stage.settled(stage.run)
    assert (run["status"], run["output"]) == ("completed", OUTPUT), point
    children = (await stage.get(f"runs?parent_run_id={stage.run}"))["data"]
    assert [child["status"] for child in children] == ["completed"] * 4, point
    entered = Counter(deed.run for deed in stage.witness.deeds() if deed.moment == "entered")
    assert set(entered) == {child["id"] for child in children}, point
    for child, count in entered.items():
        assert count <= 1 + (before[child] if child not in finished else 0), point
    keys = {(deed.run, deed.key) for deed in stage.witness.deeds()}
    assert len(keys) == len(children), point
    replayed = await stage.post(f"runs/{stage.run}/replay", {"mode": "wait"})
    assert (replayed["status"], replayed["output"]) == ("completed", OUTPUT), point
    assert Counter(deed.run for deed in stage.witness.deeds() if deed.moment == "entered") == entered, point
