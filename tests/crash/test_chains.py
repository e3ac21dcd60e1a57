"""Chains, parallel runs and supervisors of four agents, killed while they are at work, finish with nothing repeated."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.crash.harness import TEST_S, Body
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

LINKS = [{"agent": "clerk", "name": name} for name in "abcd"]
CHAIN: tuple[str, Body, object] = ("chain", {"steps": LINKS}, "stamped " * 4 + "go")
HANDS: tuple[str, Body, object] = ("head", {}, "; ".join(f"stamped {letter}" for letter in "abcd"))
PARALLEL: tuple[str, Body, object] = (
    "parallel",
    {"branches": LINKS, "limit": 3},
    {"results": dict.fromkeys("abcd", "stamped go"), "errors": {}, "cancelled": []},
)


@pytest.mark.parametrize(
    ("kind", "point"),
    [
        ("chain", "after step.started 1"),
        ("chain", "after step.completed 4"),
        ("chain", "before run.completed 3"),
        ("chain", "before run.completed 5"),
        ("parallel", "before run.queued 4"),
        ("parallel", "after step.completed 3"),
        ("parallel", "after run.completed 3"),
        ("parallel", "before run.completed 5"),
        ("supervisor", "after run.queued 3"),
        ("supervisor", "before step.completed 4"),
        ("supervisor", "after run.completed 2"),
        ("supervisor", "after step.completed 9"),
    ],
)
async def test_killed(stage: Stage, kind: str, point: str) -> None:
    """Each goes on where it was: four children, each with one deed, none done again that had come to its end."""
    stage.agent, config, output = {"chain": CHAIN, "parallel": PARALLEL, "supervisor": HANDS}[kind]
    await stage.killed_at(point, config=config, input="hand a b c d" if kind == "supervisor" else "go")
    (kill,) = stage.kills
    finished = {row["run_id"] for row in kill.record.steps if row["kind"] == "tool" and row["status"] == "completed"}
    before = Counter(deed.run for deed in stage.witness.deeds() if deed.moment == "entered")
    await stage.goes_on()
    run = await stage.settled(stage.run)
    assert (run["status"], run["output"]) == ("completed", output), point
    children = (await stage.get(f"runs?parent_run_id={stage.run}"))["data"]
    assert [child["status"] for child in children] == ["completed"] * 4, point
    entered = Counter(deed.run for deed in stage.witness.deeds() if deed.moment == "entered")
    assert set(entered) == {child["id"] for child in children}, point
    for child, count in entered.items():
        assert count <= 1 + (before[child] if child not in finished else 0), point
    keys = {(deed.run, deed.key) for deed in stage.witness.deeds()}
    assert len(keys) == len(children), point
    replayed: Body = await stage.post(f"runs/{stage.run}/replay", {"mode": "wait"})
    assert (replayed["status"], replayed["output"]) == ("completed", output), point
    assert Counter(deed.run for deed in stage.witness.deeds() if deed.moment == "entered") == entered, point
