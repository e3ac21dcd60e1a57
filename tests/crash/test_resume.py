"""Killed again while it goes on, killed too often, and told what became of a step that nobody knows of."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.crash.harness import RESULTS, TEST_S, Body
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

IS_WHOLE = os.environ.get("CRASH") == "all"

HALF = "half 2"
LOST = "entered charge"
AGAIN = [
    (HALF, "before run.resumed 1"),
    (HALF, "after run.resumed 1"),
    (HALF, "after step.restarted 1"),
    (HALF, "half 2"),
    (HALF, "before message.completed 1"),
    ("half 1", "done reserve"),
    (HALF, "entered charge"),
    (HALF, "after step.completed 2"),
    ("entered reserve", "done reserve"),
    ("done stamp", "after run.resumed 1"),
    (LOST, "before run.resumed 1"),
    (LOST, "before step.failed 1"),
    (LOST, "after step.failed 1"),
    (LOST, "after run.waiting 1"),
    (LOST, "before step.resolved 1"),
    (LOST, "after step.resolved 1"),
    (LOST, "after step.restarted 1"),
    (LOST, "before run.completed 1"),
]
"""What is killed where in the first process, and where in the second."""

MORE = [
    (first, f"{moment} {event} {number}")
    for first in (HALF, LOST, "done notify", "after step.started 9")
    for moment in ("before", "after")
    for event, count in (("step.started", 5), ("message.completed", 3), ("step.completed", 6), ("run.completed", 1))
    for number in range(1, count + 1)
]


@pytest.mark.parametrize(("first", "again"), [*AGAIN, *(MORE if IS_WHOLE else [])])
async def test_killed_twice(stage: Stage, first: str, again: str) -> None:
    """A run that is killed while it goes on goes on once more, under the same rules."""
    await stage.killed_at(first)
    await stage.killed_again_at(again)
    await stage.goes_on()
    await stage.check()


@pytest.mark.parametrize("action", ["done", "retry", "fail"])
async def test_resolved(stage: Stage, action: str) -> None:
    """A person says of a lost step over the API: it is done with this result, try it again, or take it as failed."""

    async def resolve(step: Body) -> None:
        assert step["name"] == "charge", f"killed {LOST}: {step['name']} is unknown"
        result = {"result": RESULTS["charge"]} if action == "done" else {}
        await stage.say(step, action=action, **result)

    await stage.killed_at(LOST)
    await stage.goes_on(resolve)
    assert stage.witness.entered()["charge"] == (2 if action == "retry" else 1), f"killed {LOST}"
    await stage.check(ends="run.failed" if action == "fail" else "run.completed")


async def test_resolved_on_the_command_line(stage: Stage) -> None:
    """`runwright runs resolve` beside a running server lets the server go on with the run."""

    async def resolve(step: Body) -> None:
        result = f'"{RESULTS[step["name"]]}"'
        said = await stage.server.command("runs", "resolve", stage.run, "--done", result, "--step", str(step["seq"]))
        assert said.code == 0, f"killed {LOST}: {said.err}"

    await stage.killed_at(LOST)
    await stage.goes_on(resolve)
    await stage.check()


async def test_crash_loop(stage: Stage) -> None:
    """A run that is taken up three times and finishes no step fails, and says so."""
    # All that went before is on disk when a tool with an effect is entered; of a model call that is not sure.
    point = "entered reserve"
    await stage.killed_at(point)
    for _ in range(3):
        await stage.killed_again_at(point)
    await stage.goes_on()
    view = await stage.get(f"runs/{stage.run}")
    assert view["error"]["code"] == "crash_loop", f"killed {point} four times: {view['error']}"
    await stage.check(ends="run.failed")


@pytest.mark.parametrize("point", ["before run.queued 1", "after run.queued 1", "half 3"])
async def test_idempotency_key(stage: Stage, point: str) -> None:
    """A caller that was cut off sends its request again with its key, and there is one run."""
    key = {"Idempotency-Key": "once"}
    await stage.start(point)
    await stage.begin(headers=key)
    await stage.died(point)
    await stage.start()
    stage.seen.clear()
    before = stage.run
    await stage.begin(headers=key)
    assert before in {"", stage.run}, f"killed {point}: {before} became {stage.run}"
    page = await stage.get("runs")
    assert len(page["data"]) == 1, f"killed {point}: {len(page['data'])} runs"
    stage.resumed(0)
    await stage.check()


async def test_queued_behind_another(stage: Stage) -> None:
    """A run that waits for its turn in a thread is killed with the run before it; both go on, in their order."""
    point = "received 3"
    stage.provider.pause_s = 0.02
    await stage.start(point)
    async with asyncio.TaskGroup() as group:
        group.create_task(stage.begin(thread_id="talk"))
        await stage.until(lambda: bool(stage.seen))
        second = await stage.post("agents/loop/runs", {"input": "again", "mode": "background", "thread_id": "talk"})
    await stage.died(point)
    assert second["status"] == "queued", f"killed {point}: {second}"
    await stage.goes_on()
    later = await stage.settled(second["id"])
    first = await stage.get(f"runs/{stage.run}")
    assert later["status"] == "completed", f"killed {point}: {later}"
    assert later["started_at"] >= first["ended_at"], f"killed {point}: the second run began before the first ended"
    assert stage.provider.calls["again", 0] == 1, f"killed {point}: {stage.provider.calls}"


async def test_queued_is_no_crash_loop(stage: Stage) -> None:
    """A run that waits for its turn behind a run that waits for a person outlives any number of crashes."""
    await stage.killed_at(LOST, thread_id="talk")
    await stage.start()
    second = await stage.post("agents/loop/runs", {"input": "again", "mode": "background", "thread_id": "talk"})
    for _ in range(4):
        await stage.stop()
        await stage.start()
    await stage.watch()
    later = await stage.settled(second["id"])
    assert later["status"] == "completed", f"killed {LOST}, then four times: {later}"


FLOW = [
    "after run.queued 1",
    "before message.completed 1",
    "after message.completed 1",
    "half 0",
    "entered look",
    "done reserve",
    "after step.started 4",
    "entered charge",
    "done charge",
    "entered notify",
    "done notify",
    "entered stamp",
    "done stamp",
    "before step.completed 5",
    "after step.completed 6",
    "before run.completed 1",
    "after run.completed 1",
]


@pytest.mark.parametrize("point", FLOW)
async def test_code_flow(stage: Stage, point: str) -> None:
    """A code flow runs again after a crash, and its finished steps are answered from the record."""
    stage.agent = "flow"
    await stage.killed_at(point)
    await stage.goes_on()
    await stage.check()


async def test_code_flow_killed_twice(stage: Stage) -> None:
    """A code flow that is killed while it goes on goes on once more."""
    stage.agent = "flow"
    await stage.killed_at("done reserve")
    await stage.killed_again_at("before step.completed 2")
    await stage.goes_on()
    await stage.check()
