"""Groups: the runs that carry one label, as one story."""

from __future__ import annotations

import pytest

from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import NotFound
from runwright.service.groups import Groups
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import Process, looping, started

pytestmark = pytest.mark.anyio


def told(process: Process) -> Groups:
    """Groups over what a process stored."""
    return Groups(process.engine, process.stores.runs, process.stores.stories)


async def test_a_group_sums_up_its_runs() -> None:
    """A group has its runs in order, their totals, and the steps of all in the order of time."""
    look = ScriptedTool("look", lambda _: "seen")
    model = ScriptedModel(calls(("look", {})), "one", "two", "alone")
    async with started(looping(look), model=model) as process:
        first = await process.run(group="story")
        second = await process.run(group="story")
        await process.run()
        view = await told(process).get("story", steps=10)
    assert [member.run_id for member in view.members] == [first.id, second.id]
    assert (view.runs, view.statuses, view.agents) == (2, {"completed": 2}, {"agent": 2})
    assert view.usage == first.usage + second.usage
    assert [step.name for step in view.steps] == ["test:scripted", "look", "test:scripted", "test:scripted"]
    assert (view.ended_at, view.has_more) == (second.ended_at, False)


async def test_a_replay_in_a_group_costs_nothing_again() -> None:
    """What a replay was answered from the tape is not used twice."""
    async with started(looping(), model=ScriptedModel("one")) as process:
        first = await process.run(group="story")
        request = RunRequest(agent="", input=b"", group="story", replay=Replay(of=first.id))
        await (await process.runs.create(request)).wait()
        view = await told(process).get("story")
    assert (view.runs, view.usage) == (2, first.usage)


async def test_a_label_that_no_run_carries() -> None:
    """A group without runs is not found."""
    async with started(looping()) as process:
        with pytest.raises(NotFound, match="No run carries"):
            await told(process).get("nobody")


async def test_steps_are_bounded() -> None:
    """As many steps as were asked for are given, and it is said that there are more."""
    async with started(looping(), model=ScriptedModel("one", "two")) as process:
        for _ in range(2):
            await process.run(group="story")
        view = await told(process).get("story", steps=1)
    assert (len(view.steps), view.has_more) == (1, True)
