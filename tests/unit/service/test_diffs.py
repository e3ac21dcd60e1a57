"""Diffs of runs that an engine executed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from runwright.core.context import Context
from runwright.core.message import AssistantMessage, text_of
from runwright.core.model import ModelRequest
from runwright.errors import NotFound
from runwright.journal.diff import RunDiff
from runwright.service.diffs import Diffs
from runwright.testing import Answer, ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import HeldTool, Process, flowing, looping, started


def told(process: Process) -> Diffs:
    """Diffs over what a process stored."""
    return Diffs(process.stores.runs, process.reader)


def marks(diff: RunDiff) -> list[str]:
    """The marks of its steps."""
    return [step.mark for step in diff.steps]


def weather(request: ModelRequest) -> Answer:
    """Ask for the weather of the place that the user names, then repeat what the tool said."""
    last = request.messages[-1].message
    text = text_of(last)
    return f"It is {text}." if "tool" in str(type(last)).lower() else calls(("weather", {"city": text}))


async def test_runs_of_the_same_are_the_same() -> None:
    """Two runs that asked and heard the same differ in time alone."""
    tool = ScriptedTool("weather", lambda arguments: "sunny")
    async with started(looping(tool), model=ScriptedModel(by=weather)) as process:
        one, two = await process.run("Oslo"), await process.run("Oslo")
        diff = await told(process).between(one.id, two.id)
    assert (diff.is_same, marks(diff)) == (True, ["same", "same", "same"])
    assert (diff.left.run_id, diff.right.run_id, diff.right.status) == (one.id, two.id, "completed")


async def test_a_tool_that_says_something_else_is_where_runs_part() -> None:
    """The first divergence is the step whose result changed, not the answer that follows from it."""
    skies = iter(["sunny", "cloudy"])
    tool = ScriptedTool("weather", lambda arguments: next(skies))
    async with started(looping(tool), model=ScriptedModel(by=weather)) as process:
        one, two = await process.run("Oslo"), await process.run("Oslo")
        diff = await told(process).between(one.id, two.id)
    assert marks(diff) == ["same", "changed_result", "changed_request"]
    assert diff.divergence is diff.steps[1]
    assert [change.what for change in diff.changes] == ["output"]


async def test_ids_that_the_provider_made_up_make_no_difference() -> None:
    """The same conversation is the same, also where its tool calls have other ids and steps other numbers."""

    def named(request: ModelRequest, id: str) -> Answer:
        answer = weather(request)
        if isinstance(answer, AssistantMessage):
            [call] = answer.tool_calls
            return AssistantMessage(tool_calls=(type(call)(id=id, function=call.function),))
        return answer

    ids = iter("abcd")
    tool = ScriptedTool("weather", lambda arguments: "sunny")
    model = ScriptedModel(by=lambda request: named(request, next(ids)))
    async with started(looping(tool), model=model) as process:
        one, two = await process.run("Oslo"), await process.run("Oslo", mode="stream")
        keys = [[step.key for step in await process.steps(run.id)] for run in (one, two)]
        diff = await told(process).between(one.id, two.id)
    assert keys[0] != keys[1]
    assert diff.is_same


async def test_agents_of_another_kind_can_be_compared() -> None:
    """A loop and a code flow pair up as far as they did the same."""

    async def look(context: Context, city: str) -> object:
        return await context.tool("weather", city=city)

    def act(arguments: Mapping[str, object]) -> object:
        return "sunny"

    loop = looping(ScriptedTool("weather", act), name="loop")
    flow = flowing(look, ScriptedTool("weather", act), name="flow")
    async with started(loop, flow, model=ScriptedModel(by=weather)) as process:
        one, two = await process.run("Oslo", agent="loop"), await process.run("Oslo", agent="flow")
        diff = await told(process).between(one.id, two.id)
    assert marks(diff) == ["only_left", "same", "only_left"]
    assert (diff.left.agent, diff.right.agent) == ("loop", "flow")


async def test_a_run_at_work_is_compared_as_far_as_it_went() -> None:
    """What stands on disk counts; the step at work has no result."""
    tool = HeldTool("weather", "sunny")
    async with started(looping(tool), model=ScriptedModel(by=weather)) as process:
        tool.go.set()
        one = await process.run("Oslo")
        tool.go.clear()
        tool.is_entered.clear()
        other = await process.create("Oslo", mode="background")
        await tool.is_entered.wait()
        await process.settled(other.run_id, "running")
        diffs = told(process)
        diff = await diffs.between(one.id, other.run_id)
        tool.go.set()
        await other.wait()
        assert (await diffs.between(one.id, other.run_id)).is_same
    assert not diff.is_same
    assert diff.right.measure.duration_s is None


async def test_the_last_diffs_are_made_once() -> None:
    """The places of a diff are asked for one by one: it is made once, and few are kept."""
    async with started(looping(), model=ScriptedModel("one", "two", "three")) as process:
        one, two, three = [(await process.run()).id for _ in range(3)]
        diffs = told(process)
        first = await diffs.between(one, two)
        assert await diffs.between(one, two) is first
        assert (await diffs.between(two, one)).left.run_id == two
        assert await diffs.between(one, two) is first
        await diffs.between(two, three)
        assert await diffs.between(one, two) is not first


@pytest.mark.parametrize("missing", ["left", "right"])
async def test_a_run_that_is_not_there_is_not_found(missing: str) -> None:
    """The error names the run that is missing."""
    async with started(looping()) as process:
        run = (await process.run()).id
        pair = ("run_x", run) if missing == "left" else (run, "run_x")
        with pytest.raises(NotFound, match="run_x"):
            await told(process).between(*pair)
