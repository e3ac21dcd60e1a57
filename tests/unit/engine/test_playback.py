"""How recorded steps end again: with their answer, their error, or as their run or its code gave them up."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runwright.core.agent import Limits
from runwright.core.context import Context
from runwright.core.event import ReplayDiverged, RunCancelled
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import LimitExceeded
from runwright.journal.tape import read_tape
from runwright.service.views import Resolution, RunView
from runwright.store import open_stores
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import HeldModel, HeldTool, Process, flowing, looping, started, until

pytestmark = pytest.mark.anyio


def _request(of: str, **how: Any) -> RunRequest:
    return RunRequest(agent="", input=b"", replay=Replay(of=of, **how), mode="background")


async def replayed(process: Process, of: str, **how: Any) -> RunView:
    """A replay that is over."""
    return await (await process.runs.create(_request(of, **how))).wait()


async def same(process: Process, of: str) -> None:
    """The strict replay of a run ends as it did, with the same steps."""
    first, again = await process.runs.get(of), await replayed(process, of)
    assert (again.status, bytes(again.output)) == (first.status, bytes(first.output)), again.error
    found, expected = [sorted(step.digest for step in read_tape(await process.story(each))) for each in (again.id, of)]
    assert found == expected


async def told(process: Process, run: str) -> list[ReplayDiverged]:
    """The divergences that a run recorded."""
    return [event.data for event in await process.story(run) if isinstance(event.data, ReplayDiverged)]


async def test_branches_keep_their_order() -> None:
    """What a flow makes of which branch came first it makes again, though every answer is there at once."""
    go = asyncio.Event()

    class Second(ScriptedTool):
        async def call(self, arguments: Any, context: Context) -> bytes:
            await go.wait()
            return await super().call(arguments, context)

    class First(ScriptedTool):
        async def call(self, arguments: Any, context: Context) -> bytes:
            result = await super().call(arguments, context)
            asyncio.get_running_loop().call_later(0.05, go.set)
            return result

    async def flow(context: Context, _: object) -> object:
        order: list[str] = []

        async def one(name: str) -> None:
            await context.tool(name)
            order.append(name)

        # The slow one is asked for first.
        await asyncio.gather(one("slow"), one("quick"))
        await context.tool(f"after_{order[0]}")
        return order

    tools = [Second("slow", lambda _: 1), First("quick", lambda _: 2)]
    after = [ScriptedTool(f"after_{name}", lambda _: 3) for name in ("slow", "quick")]
    async with started(flowing(flow, *tools, *after)) as process:
        first = await process.run()
        assert bytes(first.output) == b'["quick","slow"]'
        await same(process, first.id)


class Waits(ScriptedTool):
    """A tool whose cancellation takes some time."""

    async def call(self, arguments: Any, context: Context) -> bytes:
        """Wait for ever, and a moment longer."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for _ in range(30):
                await asyncio.sleep(0)
        return b""


async def test_a_race_is_won_again() -> None:
    """Of branches, time-outs and sleeps of the flow's own, the same come first in every replay, and nobody sleeps."""
    waits, quick = Waits("waits", lambda _: 1), ScriptedTool("quick", lambda given: given["n"])

    async def flow(context: Context, _: object) -> object:
        seen: list[object] = []

        async def nap(duration_s: float) -> None:
            await asyncio.sleep(duration_s)
            seen.append(duration_s)

        async def limited() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await context.tool("waits")
            seen.append("late")

        async def use(n: int) -> None:
            seen.append(await context.tool("quick", n=n))

        works = [nap(0.02), limited(), nap(0.01), *(use(n) for n in range(5)), nap(0.01)]
        tasks: list[asyncio.Task[None]] = [asyncio.ensure_future(work) for work in works]
        while tasks:
            done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            tasks = [task for task in tasks if task not in done]
            seen.append(len(done))
            await context.tool("quick", n=len(seen))
        return seen

    async with started(flowing(flow, waits, quick)) as process:
        first = await process.run()
        assert first.error is None
        for _ in range(10):
            await same(process, first.id)


async def test_a_long_sleep_takes_no_time_again() -> None:
    """A sleep of the flow's own is over in a replay when it was over in the record, whatever the clock says."""
    sleeps = [0.01]

    async def flow(context: Context, _: object) -> object:
        await asyncio.sleep(sleeps[0])
        return await context.random()

    async with started(flowing(flow)) as process:
        first = await process.run()
        sleeps[0] = 100_000.0
        await same(process, first.id)


async def test_code_that_never_rests_is_told() -> None:
    """A flow that turns round and round while it waits comes to its end, and its run says why it is not replayed."""
    quick = ScriptedTool("quick", lambda _: 1)

    async def flow(context: Context, _: object) -> object:
        task = asyncio.ensure_future(context.tool("quick"))
        while not task.done():  # noqa: ASYNC110 - what such code meets with is what is tested
            await asyncio.sleep(0)
        return await task

    async with started(flowing(flow, quick)) as process:
        first = await process.run()
        assert (bytes(first.output), first.tainted) == (b"1", ("its code did not come to rest while it waited",))


async def test_a_flow_that_is_cancelled_between_its_steps() -> None:
    """A flow that is cancelled while it sleeps, and goes on with steps after that, does so again."""
    quick = ScriptedTool("quick", lambda given: given["n"])

    async def flow(context: Context, _: object) -> object:
        await context.tool("quick", n=1)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(100)
        return [await context.tool("quick", n=n) for n in (2, 3)]

    async with started(flowing(flow, quick)) as process:
        handle = await process.create(mode="background")
        await until(lambda: bool(quick.entered))
        await until(lambda: process.journal.depth == 0)
        await process.engine.cancel(handle.run_id, "enough")
        assert bytes((await process.settled(handle.run_id, "completed")).output) == b"[2,3]"
        await same(process, handle.run_id)


async def test_a_flow_cleans_up_again() -> None:
    """What a flow does when it is cancelled it does in the replay, answered from the record."""
    held, close = HeldTool("held"), ScriptedTool("close", lambda _: "closed")

    async def flow(context: Context, _: object) -> object:
        try:
            return await context.tool("held")
        finally:
            await context.tool("close")

    async with started(flowing(flow, held, close)) as process:
        handle = await process.create()
        await held.is_entered.wait()
        await process.engine.cancel(handle.run_id, "enough")
        await same(process, handle.run_id)
        assert len(close.entered) == 1


async def test_a_flow_that_made_nothing_of_being_cancelled() -> None:
    """A flow that swallowed its cancellation and came to its end does so again."""
    held, quick = HeldTool("held"), ScriptedTool("quick", lambda _: "done")

    async def flow(context: Context, _: object) -> object:
        try:
            return await context.tool("held")
        except asyncio.CancelledError:
            return await context.tool("quick")

    async with started(flowing(flow, held, quick)) as process:
        handle = await process.create()
        await held.is_entered.wait()
        await process.engine.cancel(handle.run_id, "enough")
        assert (await process.runs.get(handle.run_id)).status == "completed"
        await same(process, handle.run_id)


async def test_what_a_cancelled_run_had_in_flight() -> None:
    """Several steps that were open when their run was cancelled begin again, and end as they did."""
    tools = [HeldTool("look"), HeldTool("pay", effect="once")]
    model = ScriptedModel(calls(("look", {}), ("pay", {})))
    async with started(looping(*tools), model=model) as process:
        handle = await process.create()
        await tools[0].is_entered.wait()
        await tools[1].is_entered.wait()
        await process.engine.cancel(handle.run_id, "enough")
        await same(process, handle.run_id)
        tools[1].go.set()
        await until(lambda: bool(tools[1].entered))
        await same(process, handle.run_id)


async def test_a_step_that_its_flow_gave_up() -> None:
    """A time-out of the flow's own gives the same step up again, in a run that was cancelled later."""
    held, later = HeldTool("held"), HeldTool("later")

    async def flow(context: Context, _: object) -> object:
        try:
            async with asyncio.timeout(0.05):
                await context.tool("held")
        except TimeoutError:
            return await context.tool("later")

    async with started(flowing(flow, held, later)) as process:
        handle = await process.create()
        await later.is_entered.wait()
        await process.engine.cancel(handle.run_id, "enough")
        await same(process, handle.run_id)


@pytest.mark.parametrize("action", ["done", "fail", "retry"])
async def test_a_step_that_somebody_resolved(action: Any) -> None:
    """A step of unknown outcome is in a replay what a person said it was."""
    tries: list[int] = []

    def act(_: object) -> object:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("gone")
        return "paid"

    model = ScriptedModel(calls(("pay", {})), "done")
    async with started(looping(ScriptedTool("pay", act, effect="once")), model=model) as process:
        handle = await process.create()
        await handle.wait()
        await process.runs.resolve(handle.run_id, Resolution(action=action))
        await process.settled(handle.run_id, "completed", "failed")
        await same(process, handle.run_id)


async def test_a_run_that_was_cancelled_before_it_began() -> None:
    """A run that never began is replayed as one that was cancelled, and asks for nothing."""
    held = HeldTool("held")
    model = ScriptedModel(by=lambda _: calls(("held", {})))
    async with started(looping(held), model=model) as process:
        first = await process.create(thread_id="t", mode="background")
        await held.is_entered.wait()
        second = await process.create(thread_id="t", mode="background")
        await process.engine.cancel(second.run_id, "enough")
        await process.engine.cancel(first.run_id, "enough")
        asked = len(model.requests)
        again = await replayed(process, second.run_id)
        assert (again.status, len(model.requests)) == ("cancelled", asked)


async def test_a_limit_of_tokens_is_met_again() -> None:
    """A run that met its limit of tokens meets it again, at the same place, though nothing is spent."""

    async def flow(context: Context, _: object) -> object:
        return [(await context.model(f"{place} word")).message.content for place in range(5)]

    model = ScriptedModel(by=lambda _: "two words")
    async with started(flowing(flow, limits=Limits(tokens=1045)), model=model) as process:
        first = await process.run()
        assert first.error is not None and first.error.code == "limit_exceeded"
        assert len(model.requests) > 1
        await same(process, first.id)


async def test_a_run_that_was_stopped_at_its_limit_without_a_step_is_stopped_there_again() -> None:
    """In runs recorded before tokens were reserved no step tells of the limit: what was answered counts against it."""
    is_recorded: list[int] = []

    async def flow(context: Context, _: object) -> object:
        for place in range(5):
            if place == 2 and not is_recorded:
                raise LimitExceeded("The run used 10 tokens of 8; raise limits.tokens.")
            await context.model(f"{place} word")
        return None

    async with started(flowing(flow), model=ScriptedModel(by=lambda _: "two words")) as process:
        first = await process.run()
        assert first.error is not None and first.error.code == "limit_exceeded"
        is_recorded.append(1)
        process.agents.agents["agent"] = flowing(flow, limits=Limits(tokens=8))
        await same(process, first.id)


async def test_a_replay_that_is_cancelled_did_not_diverge() -> None:
    """Somebody who cancels a replay is told that it is cancelled, and of nothing else."""
    held = HeldTool("held")

    async def flow(context: Context, _: object) -> object:
        await asyncio.Event().wait() if replaying else None
        return await context.tool("held")

    replaying: list[int] = []
    held.go.set()
    async with started(flowing(flow, held)) as process:
        first = await process.run()
        replaying.append(1)
        handle = await process.runs.create(_request(first.id))
        await process.settled(handle.run_id, "running")
        await process.engine.cancel(handle.run_id, "enough")
        assert (await process.runs.get(handle.run_id)).status == "cancelled"
        assert await told(process, handle.run_id) == []


async def test_a_diverged_replay_waits_for_nobody() -> None:
    """A replay that diverged has failed, also where its recording was unsure whether a tool took effect."""
    pay = ScriptedTool("pay", lambda _: 1 / 0, effect="once")
    other = ScriptedTool("other", lambda _: 1)
    asks = ["pay"]

    async def flow(context: Context, _: object) -> object:
        return [await context.tool(name) for name in asks]

    async with started(flowing(flow, pay, other)) as process:
        handle = await process.create()
        await handle.wait()
        await process.engine.cancel(handle.run_id, "enough")
        asks.insert(0, "other")
        again = await replayed(process, handle.run_id)
        assert (again.status, again.error and again.error.code) == ("failed", "diverged")


async def test_what_a_live_replay_cannot_answer_is_said() -> None:
    """With a live model, a tool call that never got an answer ends the replay, and does not hang it."""
    held = HeldTool("held")
    model = ScriptedModel(by=lambda _: calls(("held", {})))
    async with started(looping(held), model=model) as process:
        handle = await process.create()
        await held.is_entered.wait()
        await process.engine.cancel(handle.run_id, "enough")
        again = await replayed(process, handle.run_id, live=("model",))
        (found,) = await told(process, again.id)
        assert "never answered" in found.detail


async def test_a_fork_does_again_what_the_end_of_its_run_cut_off() -> None:
    """A step that was open when the forked run was cancelled is open in the fork, and is done there."""
    look, held = HeldTool("look"), HeldTool("held")
    model = ScriptedModel(calls(("look", {}), ("held", {})), "done")
    async with started(looping(look, held), model=model) as process:
        handle = await process.create()
        await held.is_entered.wait()
        await process.engine.cancel(handle.run_id, "enough")
        for each in (look, held):
            each.go.set()
        at = (await process.steps(handle.run_id))[-1].seq
        fork = await replayed(process, handle.run_id, at=at)
        assert (bytes(fork.output), len(look.entered), len(held.entered)) == (b'"done"', 1, 1), fork.error


async def test_nothing_goes_live_after_a_crash(tmp_path: Path) -> None:
    """A strict replay whose process died in the midst of a step goes on from its recording, and not with the world."""
    tool = ScriptedTool("tool", lambda _: "done", delay_s=0.02)
    stores = await asyncio.to_thread(open_stores, tmp_path / "x.db")
    gate = asyncio.Event()
    is_held = [False]

    async def flow(context: Context, _: object) -> object:
        async def other() -> object:
            if is_held[0]:
                await gate.wait()
            return await context.tool("tool", n=2)

        # The answer of the other one came first, and is not asked for yet.
        return await asyncio.gather(other(), context.tool("tool", n=1))

    async with started(flowing(flow, tool), stores=stores, boots=tmp_path) as process:
        first = await process.run()
        entered = len(tool.entered)
        is_held[0] = True
        handle = await process.runs.create(_request(first.id))
        await until(lambda: process.journal.depth == 0)
        await asyncio.sleep(0.05)
        assert [step.status for step in await process.steps(handle.run_id)] == ["running"]
        await process.crash()
    is_held[0] = False
    async with started(flowing(flow, tool), stores=stores, boots=tmp_path) as process:
        view = await process.settled(handle.run_id, "completed", "failed")
        assert (bytes(view.output), len(tool.entered)) == (bytes(first.output), entered), view.error
    stores.close()


@pytest.mark.parametrize("place", ["in the model", "between steps", "in a tool", "in doubt"])
async def test_a_cancelled_loop_says_where_it_was_stopped(place: str) -> None:
    """A loop does nothing once it is stopped: its replay ends where it did, for the reason that was given then."""
    model, pay = HeldModel(calls(("pay", {"n": 1}), ("look", {})), "done"), HeldTool("pay", "paid", effect="once")
    look = ScriptedTool("look", lambda _: 1 / 0 if place == "in doubt" else "seen")

    async with started(looping(pay, look), model=model) as process:
        handle = await process.create(mode="background")
        await model.is_entered.wait()
        if place != "in the model":
            model.go.set()
            await pay.is_entered.wait()
            await until(lambda: bool(look.entered))
        if place == "between steps":
            model.is_entered.clear()
            model.go.clear()
            pay.go.set()
            await until(lambda: len(pay.entered) == 1)
        await process.engine.cancel(handle.run_id, "enough")
        again = await replayed(process, handle.run_id)
        ends = [(await process.story(each))[-1].data for each in (handle.run_id, again.id)]
        assert [isinstance(end, RunCancelled) and end.reason for end in ends] == ["enough", "enough"]
        assert not await told(process, again.id)
        await same(process, handle.run_id)


async def test_a_cancelled_loop_that_asks_for_something_else_diverged() -> None:
    """A stop hides no change: what the recorded loop was doing when it was stopped has to be asked for."""
    model = HeldModel("never")
    async with started(looping(), model=model) as process:
        handle = await process.create(mode="background")
        await model.is_entered.wait()
        await process.engine.cancel(handle.run_id, "enough")
        process.agents.agents["agent"] = looping(instructions="Be brief.")
        again = await replayed(process, handle.run_id)
        assert again.error is not None and again.error.code == "diverged"
