"""Runs that begin other runs: steps of their own that are runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from runwright.core.context import Context
from runwright.core.event import RunWaiting
from runwright.core.need import NeedsRun
from runwright.core.ports import RunFilter
from runwright.core.replay import Replay
from runwright.core.run import Run, RunRequest
from runwright.engine.worker import EngineOptions
from runwright.errors import ChildFailed
from runwright.store import Stores
from runwright.testing import ScriptedModel, ScriptedTool
from runwright.testing import calls as calling
from tests.unit.engine.harness import QUICK, HeldTool, Process, flowing, looping, started, until

pytestmark = pytest.mark.anyio

ONE_SLOT = EngineOptions(is_adopting=True, signal_poll_s=0.01, orphan_poll_s=0.02, concurrency=1)


class Hands(ScriptedTool):
    """A tool whose calls are children."""

    kind = "child"

    def __init__(self, name: str) -> None:
        super().__init__(name, lambda given: None, effect="idempotent")

    def check(self, arguments: str) -> Mapping[str, object]:
        """What is run."""
        return {"agent": "agent", "input": "go"}


async def _hands_over(context: Context, value: object) -> object:
    return {"said": await context.run("agent", value)}


async def children(process: Process, run_id: str) -> list[Run]:
    """The runs that a run began, the oldest first."""
    found = await asyncio.to_thread(process.stores.runs.find, RunFilter(parent_run_id=run_id))
    return list(reversed(found))


async def test_a_child_is_a_run_of_its_own() -> None:
    """A flow that has another agent run gets its output; the child names its parent, its root and its user."""
    async with started(flowing(_hands_over, name="parent"), looping(), model=ScriptedModel("done")) as process:
        view = await process.run("go", agent="parent", user="ada", group="g")
        assert bytes(view.output) == b'{"said":"done"}'
        (child,) = await children(process, view.id)
        assert (child.parent_run_id, child.root_run_id) == (view.id, view.id)
        assert (child.user, child.group, child.status) == ("ada", "g", "completed")
        (step,) = await process.steps(view.id)
        assert (step.kind, step.name, step.status) == ("child", "agent", "completed")


async def test_children_in_line_need_one_slot() -> None:
    """A run that waits for another one leaves its slot to it, however deep that goes."""

    async def deeper(context: Context, depth: int) -> object:
        return depth if depth == 5 else await context.run("deeper", depth + 1)

    async with started(flowing(deeper, name="deeper"), options=ONE_SLOT) as process:
        view = await process.run(0, agent="deeper")
        assert bytes(view.output) == b"5"
        assert process.engine.executing == 0


async def test_agents_that_call_each_other_end() -> None:
    """Runs without end below each other fail, with what is the matter."""

    async def again(context: Context, value: object) -> object:
        return await context.run("again", value)

    async with started(flowing(again, name="again")) as process:
        view = await process.run(0, agent="again")
        assert view.status == "failed"
        assert view.error is not None
        assert "Do agents call each other?" in view.error.message


async def test_a_child_that_fails_is_an_error_of_its_step() -> None:
    """A flow sees which run failed and why, and may go on."""

    async def fails(_context: Context, _value: object) -> object:
        raise ValueError("no")

    async def tries(context: Context, value: object) -> object:
        try:
            return await context.run("fails", value)
        except ChildFailed as error:
            return error.message

    async with started(flowing(tries, name="tries"), flowing(fails, name="fails")) as process:
        view = await process.run(0, agent="tries")
        (child,) = await children(process, view.id)
        said = bytes(view.output).decode()
        assert child.id in said
        assert "ValueError: no" in said


async def test_cancelling_the_parent_cancels_the_child() -> None:
    """A run that is cancelled takes the runs with it that it waits for."""
    held = HeldTool("held")

    async def holds(context: Context, _value: object) -> object:
        return await context.tool(held)

    async with started(flowing(_hands_over, name="parent"), flowing(holds)) as process:
        handle = await process.create(0, agent="parent")
        await held.is_entered.wait()
        await process.runs.cancel(handle.run_id)
        (child,) = await children(process, handle.run_id)
        assert (await process.settled(child.id, "cancelled")).error is None


async def test_a_branch_that_is_given_up_gives_up_its_child() -> None:
    """A flow that stops to wait for one branch cancels the run of that branch, and its own goes on."""
    held = HeldTool("held")

    async def holds(context: Context, _value: object) -> object:
        return await context.tool(held)

    async def gives_up(context: Context, value: object) -> object:
        task = asyncio.create_task(context.lane("a").run("agent", value))
        await held.is_entered.wait()
        task.cancel()
        await asyncio.wait([task])
        await context.run("slow", value)
        return "gave up"

    slow = HeldTool("slow")

    async def waits(context: Context, _value: object) -> object:
        return await context.tool(slow)

    agents = (flowing(gives_up, name="parent"), flowing(holds), flowing(waits, name="slow"))
    async with started(*agents) as process:
        handle = await process.create(0, agent="parent")
        await slow.is_entered.wait()
        first = (await children(process, handle.run_id))[0]
        await process.settled(first.id, "cancelled")
        slow.go.set()
        assert bytes((await process.settled(handle.run_id, "completed")).output) == b'"gave up"'


async def test_a_child_goes_on_after_a_crash(stores: Stores, tmp_path: Path) -> None:
    """After the death of the process both go on, and the parent finds the child that it had begun."""
    held = HeldTool("held", effect="idempotent")

    async def holds(context: Context, _value: object) -> object:
        return await context.tool(held)

    agents = (flowing(_hands_over, name="parent"), flowing(holds))
    async with started(*agents, stores=stores, boots=tmp_path) as process:
        handle = await process.create(0, agent="parent", mode="background")
        await held.is_entered.wait()
        await process.crash()
    held.go.set()
    async with started(*agents, stores=stores, boots=tmp_path) as process:
        view = await process.settled(handle.run_id, "completed")
        assert bytes(view.output) == b'{"said":"done"}'
        assert len(await children(process, view.id)) == 1


async def test_a_parent_waits_outside_of_memory_while_its_child_waits() -> None:
    """A parent whose child waits for somebody waits as well, says for which run, and goes on with its end."""

    async def asks(context: Context, _value: object) -> object:
        return await context.ask("Really?")

    async with started(flowing(_hands_over, name="parent"), flowing(asks), options=QUICK) as process:
        view = await process.run(0, agent="parent")
        (child,) = await children(process, view.id)
        assert (view.status, view.reason, view.error) == ("waiting", "child", None)
        last = (await process.story(view.id))[-1].data
        assert isinstance(last, RunWaiting)
        assert [need.run for need in last.needs if isinstance(need, NeedsRun)] == [child.id]
        assert process.engine.active == 0


async def test_a_replay_takes_a_child_as_one_step() -> None:
    """A strict replay is answered with the recorded output, and begins no run."""
    async with started(flowing(_hands_over, name="parent"), looping(), model=ScriptedModel("done")) as process:
        view = await process.run("go", agent="parent")
        request = RunRequest(agent="", input=b"", replay=Replay(of=view.id))
        again = await (await process.runs.create(request)).wait()
        assert (again.status, bytes(again.output)) == ("completed", bytes(view.output))
        assert await children(process, again.id) == []


async def test_children_side_by_side() -> None:
    """Children of parallel branches are at work at the same time, and all before the parent goes on."""
    tools = [HeldTool(f"held{n}", n) for n in range(3)]

    async def holds(context: Context, n: int) -> object:
        return await context.tool(tools[n])

    async def fans_out(context: Context, _value: object) -> object:
        return await asyncio.gather(*(context.lane(str(n)).run("agent", n) for n in range(3)))

    async with started(flowing(fans_out, name="parent"), flowing(holds)) as process:
        handle = await process.create(0, agent="parent")
        await until(lambda: all(tool.is_entered.is_set() for tool in tools))
        for tool in tools:
            tool.go.set()
        assert bytes((await process.settled(handle.run_id, "completed")).output) == b"[0,1,2]"


async def test_a_run_that_is_drained_may_begin_children() -> None:
    """A process that stops lets runs finish, also those that have yet to begin another one."""
    held = HeldTool("held")

    async def hands_over_late(context: Context, value: object) -> object:
        await context.tool(held)
        return await context.run("agent", value)

    async with started(flowing(hands_over_late, name="parent"), looping()) as process:
        handle = await process.create("go", agent="parent")
        await held.is_entered.wait()
        stopping = asyncio.create_task(process.close(drain_s=10))
        await until(lambda: process.engine.drain.is_begun)
        held.go.set()
        await stopping
        run = await asyncio.to_thread(process.stores.runs.get, handle.run_id)
        assert run is not None
        assert (run.status, run.reason, run.error) == ("completed", None, None)


async def test_a_run_that_is_stopped_goes_on_with_its_child(stores: Stores, tmp_path: Path) -> None:
    """A process that stops at once leaves parent and child to the next one, which begins nothing twice."""
    held = HeldTool("held")

    async def holds(context: Context, _value: object) -> object:
        return await context.tool(held)

    agents = (flowing(_hands_over, name="parent"), flowing(holds))
    async with started(*agents, stores=stores, boots=tmp_path) as process:
        handle = await process.create(0, agent="parent", mode="background")
        await held.is_entered.wait()
    held.go.set()
    async with started(*agents, stores=stores, boots=tmp_path) as process:
        await process.settled(handle.run_id, "completed")
        assert len(await children(process, handle.run_id)) == 1


async def test_a_parent_that_is_cancelled_while_its_child_is_written_ends_it() -> None:
    """A child that stands on disk after its parent has gone is cancelled as well."""
    held = HeldTool("held")

    async def holds(context: Context, _value: object) -> object:
        return await context.tool(held)

    tool = Hands("hands")
    model = ScriptedModel(calling(("hands", {})))
    async with started(looping(tool, name="parent"), flowing(holds), model=model, options=ONE_SLOT) as process:
        handle = await process.create(agent="parent")
        await until(lambda: bool(process.gate.commits))
        with process.gate.held():
            await until(lambda: process.engine.active == 2)
            cancelling = asyncio.ensure_future(process.runs.cancel(handle.run_id))
            await asyncio.sleep(0.05)
        await cancelling
        (child,) = await children(process, handle.run_id)
        await process.settled(child.id, "cancelled")
