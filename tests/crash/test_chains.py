"""Chains and parallel runs of four agents, killed behind each of their commits, finish with nothing repeated."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.crash.harness import TERMINAL, TEST_S, WAIT_S, Body
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

LINKS = [{"agent": agent, "name": name} for agent, name in zip(["clerk", "cashier"] * 2, "abcd", strict=True)]
SAID = {"clerk": "stamped", "cashier": "paid"}
PLANS: dict[str, tuple[Body, object]] = {
    "chain": ({"steps": LINKS}, "paid stamped paid stamped go"),
    "parallel": (
        {"branches": LINKS, "limit": 3},
        {"results": {each["name"]: f"{SAID[each['agent']]} go" for each in LINKS}, "errors": {}, "cancelled": []},
    ),
}
COMMITS = 26
"""Of an undisturbed run and its four children, which begin with their links and end before them."""


@pytest.mark.parametrize("kind", PLANS)
async def test_undisturbed(stage: Stage, kind: str) -> None:
    """A run that nobody kills has as many commits as the others are killed behind."""
    await _begin(stage, kind, f"after commit {COMMITS + 1}")
    assert (await _ended(stage))["status"] == "completed"
    assert stage.server.is_running


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("commit", range(1, COMMITS + 1))
async def test_killed(stage: Stage, kind: str, commit: int) -> None:
    """Each goes on where it was: four children, each with one deed, none done again that was finished or is `once`."""
    point = f"after commit {commit}"
    await _begin(stage, kind, point)
    await stage.died(point)
    (kill,) = stage.kills
    finished = {row["run_id"] for row in kill.record.steps if row["kind"] == "tool" and row["status"] == "completed"}
    before = _entered(stage)
    await stage.start()
    run = await _ended(stage)
    assert (run["status"], run["output"]) == ("completed", PLANS[kind][1])
    children = (await stage.get(f"runs?parent_run_id={stage.run}"))["data"]
    assert [child["status"] for child in children] == ["completed"] * len(LINKS)
    entered = _entered(stage)
    assert {child for child, _ in entered} == {child["id"] for child in children}
    for (child, tool), count in entered.items():
        again = before[child, tool] if child not in finished and tool == "stamp" else stage.granted[child]
        assert count <= 1 + again
    assert len({(deed.run, deed.key) for deed in stage.witness.deeds()}) == len(children)
    replayed = await stage.post(f"runs/{stage.run}/replay", {"mode": "wait"})
    assert (replayed["status"], replayed["output"]) == ("completed", PLANS[kind][1])
    assert _entered(stage) == entered


async def _begin(stage: Stage, kind: str, point: str) -> None:
    stage.agent = kind
    await stage.start(point)
    await stage.begin(config=PLANS[kind][0])


def _entered(stage: Stage) -> Counter[tuple[str, str]]:
    """How often each tool was entered, by run."""
    return Counter((deed.run, deed.tool) for deed in stage.witness.deeds() if deed.moment == "entered")


async def _ended(stage: Stage) -> Body:
    """The run when it is over. What became of deeds of unknown outcome is said as the witness saw it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            run = await stage.get(f"runs/{stage.run}")
            if f"run.{run['status']}" in TERMINAL:
                return run
            for child in (await stage.get(f"runs?parent_run_id={stage.run}&status=waiting"))["data"]:
                await _resolve(stage, child)
            await asyncio.sleep(0.02)


async def _resolve(stage: Stage, child: Body) -> None:
    is_done = any(deed.moment == "done" for deed in stage.witness.deeds(child["id"]))
    told = {"action": "done", "result": f"paid {child['input']}"} if is_done else {"action": "retry"}
    for step in (await stage.get(f"runs/{child['id']}/steps"))["data"]:
        if step["status"] == "unknown":
            stage.granted[child["id"]] += not is_done
            await stage.post(f"runs/{child['id']}/resolve", {"step": step["seq"], "by": "test", **told})
