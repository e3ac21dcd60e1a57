"""Flows whose branches race, and whose process dies: what came first then comes first again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from runwright.core.agent import BuiltAgent, Limits
from runwright.core.context import Context
from runwright.core.event import RunInterrupted, RunTainted, TimerFired
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.journal.tape import read_tape
from runwright.service.views import RunView
from runwright.store import Stores
from runwright.testing import ScriptedTool
from tests.unit.engine.harness import HeldTool, Process, flowing, started, until

pytestmark = pytest.mark.anyio


class Gated(ScriptedTool):
    """A tool whose calls return when the test lets them."""

    def __init__(self, name: str) -> None:
        super().__init__(name, lambda given: given["n"])
        self._gates: dict[object, asyncio.Event] = {}

    def gate(self, n: object) -> asyncio.Event:
        """Lets the call with this argument return."""
        return self._gates.setdefault(n, asyncio.Event())

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Wait, then act."""
        await self.gate(arguments["n"]).wait()
        return await super().call(arguments, context)


async def on_disk(process: Process) -> None:
    """All that was told is committed."""
    for _ in range(50):
        await asyncio.sleep(0)
    await until(lambda: process.journal.depth == 0)


async def killed(stores: Stores, agent: BuiltAgent, gated: Gated, held: HeldTool, order: Sequence[int]) -> str:
    """A run whose process died in the held tool, after the gated calls returned in this order."""
    async with started(agent, stores=stores) as process:
        handle = await process.create(mode="background")
        for n in order:
            gated.gate(n).set()
            await on_disk(process)
        await held.is_entered.wait()
        await on_disk(process)
        await process.crash()
    held.go.set()
    return handle.run_id


async def same(process: Process, of: str) -> None:
    """The strict replay of a run ends as it did, with the same steps."""
    request = RunRequest(agent="", input=b"", replay=Replay(of=of), mode="background")
    first, again = await process.runs.get(of), await (await process.runs.create(request)).wait()
    assert (again.status, bytes(again.output)) == (first.status, bytes(first.output)), again.error
    assert (again.error and again.error.message) == (first.error and first.error.message)
    found, expected = [sorted(step.digest for step in read_tape(await process.story(each))) for each in (again.id, of)]
    assert found == expected


async def goes_on(stores: Stores, agent: BuiltAgent, run_id: str) -> RunView:
    """The run when the next process has come to its end, which is replayed."""
    async with started(agent, stores=stores) as process:
        view = await process.settled(run_id, "completed", "failed", "cancelled", "waiting")
        assert view.status != "waiting", view.reason
        await same(process, run_id)
        return view


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)], ids=str)
async def test_the_recorded_winner_wins_again(stores: Stores, order: Sequence[int]) -> None:
    """Of lanes that race, the one whose step ended first is first after a crash too, whichever is asked first."""
    gated, held = Gated("gated"), HeldTool("held")

    async def work(context: Context, given: Any) -> Any:
        works = [context.lane(str(n)).tool("gated", n=n) for n in range(3)]
        tasks: list[asyncio.Task[Any]] = [asyncio.ensure_future(work) for work in works]
        won: list[object] = []
        while tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            won += [task.result() for task in tasks if task in done]
            tasks = [task for task in tasks if task not in done]
        await context.tool("held", won=won)
        return won

    agent = flowing(work, gated, held)
    run_id = await killed(stores, agent, gated, held, order)
    view = await goes_on(stores, agent, run_id)
    assert bytes(view.output).decode() == f"[{','.join(map(str, order))}]"
    assert len(gated.entered) == 3


async def test_a_timer_goes_off_again_when_it_did(stores: Stores) -> None:
    """A sleep of the code's own that was over before a step ended is so after a crash, and nobody waits for it."""
    gated, held, naps = Gated("gated"), HeldTool("held"), [0.01]

    async def work(context: Context, given: Any) -> Any:
        seen: list[object] = []

        async def nap() -> None:
            await asyncio.sleep(naps[0])
            seen.append("nap")
            gated.gate(0).set()

        async def use() -> None:
            seen.append(await context.lane("use").tool("gated", n=0))

        await asyncio.gather(use(), nap())
        await context.tool("held", seen=seen)
        # What was not recorded is as long as it is.
        await asyncio.sleep(0.01)
        return seen

    agent = flowing(work, gated, held)
    run_id = await killed(stores, agent, gated, held, ())
    naps[0] = 3600.0
    view = await goes_on(stores, agent, run_id)
    assert bytes(view.output) == b'["nap",0]'
    async with started(agent, stores=stores) as process:
        timers = [event.data.nth for event in await process.story(run_id) if isinstance(event.data, TimerFired)]
        assert timers == [0, 1]


async def test_a_cancelled_run_is_cancelled_where_it_was(stores: Stores) -> None:
    """A run that died in what it does while it is cancelled does not begin anew: it is stopped at the same place."""
    held, undo, more = HeldTool("held"), HeldTool("undo", effect="idempotent"), ScriptedTool("more", lambda given: 1)

    async def work(context: Context, given: Any) -> Any:
        try:
            await context.tool("held")
            await context.tool("more")
        finally:
            await context.tool("undo")

    agent = flowing(work, held, undo, more)
    async with started(agent, stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        cancelling = asyncio.ensure_future(process.engine.cancel(handle.run_id, "enough"))
        await undo.is_entered.wait()
        await on_disk(process)
        await process.crash()
        cancelling.cancel()
    undo.go.set()
    held.go.set()
    view = await goes_on(stores, agent, handle.run_id)
    assert (view.status, len(held.entered), len(undo.entered), more.entered) == ("cancelled", 0, 1, [])
    async with started(agent, stores=stores) as process:
        story = await process.story(handle.run_id)
        assert [event.data.reason for event in story if isinstance(event.data, RunInterrupted)] == ["enough"]
        assert story[-1].type == "run.cancelled"


async def test_an_order_that_cannot_be_kept_is_told(stores: Stores) -> None:
    """Code that does not come to what it came to before goes on without an order, and its run is not replayed."""
    gated, held, is_napping = Gated("gated"), HeldTool("held"), [True]

    async def work(context: Context, given: Any) -> Any:
        if is_napping[0]:
            await asyncio.sleep(0.001)
        await context.tool("gated", n=0)
        return await context.tool("held")

    agent = flowing(work, gated, held)
    run_id = await killed(stores, agent, gated, held, (0,))
    is_napping[0] = False
    async with started(agent, stores=stores) as process:
        assert (await process.settled(run_id, "completed")).tainted
        reasons = [event.data.reason for event in await process.story(run_id) if isinstance(event.data, RunTainted)]
        assert reasons == ["when it went on, its code did not come to what had come to it before"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
async def test_equal_requests_at_once_have_their_own_answers(stores: Stores, order: Sequence[int]) -> None:
    """Of equal requests that run at once, each gets its answer again: they are counted in the order of asking."""
    held, gates = HeldTool("held"), [asyncio.Event(), asyncio.Event()]

    class Twin(ScriptedTool):
        """Every call has an answer of its own, and returns when it is let."""

        async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
            nth = len(self.entered)
            self.entered.append(dict(arguments))
            await gates[nth].wait()
            return str(nth).encode()

    async def work(context: Context, given: Any) -> Any:
        seen: list[object] = []

        async def ask(name: str) -> None:
            seen.append([name, await context.tool("twin")])

        await asyncio.gather(ask("first"), ask("second"))
        await context.tool("held", seen=seen)
        return seen

    twin = Twin("twin", lambda given: None)
    agent = flowing(work, twin, held)
    async with started(agent, stores=stores) as process:
        handle = await process.create(mode="background")
        await until(lambda: len(twin.entered) == 2)
        for nth in order:
            gates[nth].set()
            await on_disk(process)
        await held.is_entered.wait()
        await on_disk(process)
        await process.crash()
    held.go.set()
    view = await goes_on(stores, agent, handle.run_id)
    names = ("first", "second")
    assert bytes(view.output).decode() == "[" + ",".join(f'["{names[nth]}",{nth}]' for nth in order) + "]"
    assert len(twin.entered) == 2


async def test_a_run_that_crashed_too_often_is_repeated(stores: Stores) -> None:
    """A run that was given up because its process died again and again ends so in its replay, in the same step."""
    held = HeldTool("held")

    async def work(context: Context, given: Any) -> Any:
        return await context.tool("held")

    agent, run_id = flowing(work, held), ""
    for _ in range(4):
        async with started(agent, stores=stores) as process:
            run_id = run_id or (await process.create(mode="background")).run_id
            await held.is_entered.wait()
            await on_disk(process)
            held.is_entered.clear()
            await process.crash()
    view = await goes_on(stores, agent, run_id)
    assert view.error is not None and view.error.code == "crash_loop"


async def test_a_step_that_a_cancelled_flow_never_took_up_again_ends_with_its_branch(stores: Stores) -> None:
    """What was in flight at a crash and is cancelled before it is sent again ends before what the flow does after."""
    held, put = HeldTool("held", effect="idempotent"), ScriptedTool("put", lambda given: "put", effect="idempotent")
    look, late = ScriptedTool("look", lambda given: "seen"), asyncio.Event()

    async def looks(context: Context) -> None:
        await late.wait()
        await context.tool(look)
        await asyncio.get_running_loop().create_future()

    async def cleans_up(context: Context, _value: object) -> None:
        try:
            await asyncio.gather(context.lane("a").tool(held), looks(context.lane("b")))
        finally:
            await context.tool(put)

    agent = flowing(cleans_up, held, put, look)
    late.set()
    async with started(agent, stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await until(lambda: bool(look.entered))
        await on_disk(process)
        await process.crash()
    late.clear()
    async with started(agent, stores=stores) as process:
        await on_disk(process)
        cancelling = asyncio.ensure_future(process.engine.cancel(handle.run_id, "enough"))
        await on_disk(process)
        late.set()
        await cancelling
        await process.settled(handle.run_id, "cancelled")
        story = await process.story(handle.run_id)
        ended = [event.step for event in story if event.type in ("step.completed", "step.failed")]
        names = {step.seq: step.name for step in await process.steps(handle.run_id)}
        assert [names[step] for step in ended if step is not None] == ["look", "held", "put"]
        await same(process, handle.run_id)


async def test_each_stop_is_told(stores: Stores) -> None:
    """A cancelled run that is killed in its clean-up, and then runs out of time in it, was stopped twice."""
    held, undo = HeldTool("held"), HeldTool("undo", effect="idempotent")

    async def work(context: Context, given: Any) -> Any:
        try:
            await context.tool("held")
        finally:
            await context.tool("undo")

    agent = flowing(work, held, undo, limits=Limits(time_s=0.5))
    async with started(agent, stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        cancelling = asyncio.ensure_future(process.engine.cancel(handle.run_id, "enough"))
        await undo.is_entered.wait()
        await on_disk(process)
        await process.crash()
        cancelling.cancel()
    assert (await goes_on(stores, agent, handle.run_id)).status == "cancelled"
    async with started(agent, stores=stores) as process:
        story = await process.story(handle.run_id)
        assert len([event for event in story if isinstance(event.data, RunInterrupted)]) == 2
