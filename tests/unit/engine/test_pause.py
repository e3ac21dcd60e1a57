"""Runs that are paused, between their steps, and go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec import json

from runwright.core.agent import BuiltAgent
from runwright.core.context import Context
from runwright.core.event import RunResumed, RunWaiting
from runwright.core.ports import RunFilter, Signal
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.engine.held import Outcome
from runwright.engine.pause import Pauses
from runwright.errors import Conflict
from runwright.store import Stores
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import BESIDE, HeldTool, Process, flowing, is_looking, looping, started, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["loop", "flow"])
def kind(request: pytest.FixtureRequest) -> str:
    """Both kinds of agents."""
    return request.param


def worker(kind: str, *tools: ScriptedTool) -> tuple[BuiltAgent, ScriptedModel]:
    """An agent that calls two tools, one after the other, and the model that says so."""
    first, second = tools

    async def works(context: Context, _value: object) -> object:
        return [await context.tool(first), await context.tool(second)]

    model = ScriptedModel(calls((first.spec.name, {})), calls((second.spec.name, {})), "over")
    return looping(*tools) if kind == "loop" else flowing(works, *tools), model


async def waits(process: Process, run: str) -> list[str]:
    """Why a run waited, in order, and why it went on."""
    story = [event.data for event in await process.story(run)]
    return [
        data.reason if isinstance(data, RunWaiting) else data.cause
        for data in story
        if isinstance(data, RunWaiting | RunResumed)
    ]


async def paused(process: Process, run: str) -> None:
    """Wait until a run is paused."""
    view = await process.settled(run, "waiting")
    assert view.reason == "paused"


async def test_a_pause_takes_effect_between_steps(kind: str) -> None:
    """The step that is under way comes to its end and counts; the next one is done when the run goes on."""
    held, last = HeldTool("held"), ScriptedTool("last", lambda given: "last")
    agent, model = worker(kind, held, last)
    async with started(agent, model=model) as process:
        handle = await process.create()
        await held.is_entered.wait()
        assert (await process.runs.pause(handle.run_id, reason="lunch")).status == "running"
        held.go.set()
        view = await handle.wait()
        assert (view.status, view.reason, last.entered, process.engine.active) == ("waiting", "paused", [], 0)
        assert "Paused: lunch." in [
            event.data.detail for event in await process.story(view.id) if isinstance(event.data, RunWaiting)
        ]
        await process.runs.resume(view.id)
        await process.settled(view.id, "completed")
        assert (len(held.entered), len(last.entered)) == (1, 1)
        assert await waits(process, view.id) == ["paused", "pause"]
        assert await asyncio.to_thread(process.stores.signals.pending) == []


async def test_a_pause_that_is_taken_back(kind: str) -> None:
    """Who resumes before the pause took effect has the run go on without it."""
    held, last = HeldTool("held"), ScriptedTool("last", lambda given: "last")
    agent, model = worker(kind, held, last)
    async with started(agent, model=model) as process:
        handle = await process.create()
        await held.is_entered.wait()
        await process.runs.pause(handle.run_id)
        await process.runs.resume(handle.run_id)
        held.go.set()
        assert (await handle.wait()).status == "completed"
        assert await waits(process, handle.run_id) == []
        assert await asyncio.to_thread(process.stores.signals.pending) == []


async def test_a_pause_survives_a_crash(kind: str, stores: Stores, tmp_path: Path) -> None:
    """One that was asked for holds over the death of the process, and so does one that took effect."""
    held, last = HeldTool("held"), ScriptedTool("last", lambda given: "last")
    agent, model = worker(kind, held, last)
    async with started(agent, model=model, stores=stores, boots=tmp_path) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await process.runs.pause(handle.run_id)
        await process.crash()
    for _ in range(2):
        async with started(agent, model=model, stores=stores, boots=tmp_path) as process:
            await paused(process, handle.run_id)
    held.go.set()
    async with started(agent, model=model, stores=stores, boots=tmp_path) as process:
        await process.runs.resume(handle.run_id)
        await process.settled(handle.run_id, "completed")
        assert len(last.entered) == 1


async def test_a_paused_run_is_cancelled(kind: str) -> None:
    """Who cancels a paused run ends it."""
    held, last = HeldTool("held"), ScriptedTool("last", lambda given: "last")
    agent, model = worker(kind, held, last)
    async with started(agent, model=model) as process:
        handle = await process.create()
        await held.is_entered.wait()
        await process.runs.pause(handle.run_id)
        held.go.set()
        await handle.wait()
        assert (await process.runs.cancel(handle.run_id)).status == "cancelled"
        with pytest.raises(Conflict, match="only a run that is not over can be paused"):
            await process.runs.pause(handle.run_id)


async def test_branches_come_to_their_ends() -> None:
    """What side by side is under way is done and told before the flow is put off."""
    tools = [HeldTool(name, name) for name in "ab"]
    last = ScriptedTool("last", lambda given: "last")

    async def works(context: Context, _value: object) -> object:
        async def branch(tool: ScriptedTool) -> object:
            lane = context.lane(tool.spec.name)
            return [await lane.tool(tool), await lane.tool(last)]

        return await asyncio.gather(*map(branch, tools))

    async with started(flowing(works, *tools, last)) as process:
        handle = await process.create()
        await until(lambda: all(tool.is_entered.is_set() for tool in tools))
        await process.runs.pause(handle.run_id)
        tools[0].go.set()
        await until(lambda: bool(tools[0].entered))
        tools[1].go.set()
        assert (await handle.wait()).reason == "paused"
        await process.runs.resume(handle.run_id)
        view = await process.settled(handle.run_id, "completed")
        assert json.decode(view.output) == [["a", "last"], ["b", "last"]]
        assert [len(tool.entered) for tool in (*tools, last)] == [1, 1, 2]
        again = await (await process.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=view.id)))).wait()
        assert (again.status, bytes(again.output)) == ("completed", bytes(view.output))


async def test_what_waits_is_paused_as_well() -> None:
    """A run that waits for an answer hears it only when it goes on."""

    async def asks(context: Context, _value: object) -> object:
        return await context.ask("Really?")

    async with started(flowing(asks)) as process:
        view = await process.run()
        assert (await process.runs.pause(view.id)).reason == "paused"
        await process.engine.resolve(view.id, Outcome(action="answer", result=b'"yes"'))
        await asyncio.sleep(0.05)
        assert (await process.runs.get(view.id)).reason == "paused"
        await process.runs.resume(view.id)
        assert bytes((await process.settled(view.id, "completed")).output) == b'"yes"'
        assert await waits(process, view.id) == ["input", "paused", "pause", "input", "resolved"]


async def test_the_runs_below_are_paused_and_go_on_with_it() -> None:
    """A pause holds for all that a run began, and who resumes it lets all of it go on."""
    held, last = HeldTool("held", effect="idempotent"), ScriptedTool("last", lambda given: "last")
    agent, _ = worker("flow", held, last)

    async def hands_over(context: Context, value: object) -> object:
        return await context.run("agent", value)

    async with started(agent, flowing(hands_over, name="parent")) as process:
        handle = await process.create(agent="parent")
        await held.is_entered.wait()
        await process.runs.pause(handle.run_id, reason="lunch")
        held.go.set()
        assert (await handle.wait()).reason == "paused"
        (child,) = await asyncio.to_thread(process.stores.runs.find, RunFilter(parent_run_id=handle.run_id))
        assert (child.status, child.reason) == ("waiting", "paused")
        await process.runs.resume(handle.run_id)
        view = await process.settled(handle.run_id, "completed")
        assert (json.decode(view.output), len(last.entered)) == (["done", "last"], 1)


async def test_what_is_paused_with_another_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waits as it should is not looked at in each round, until a pause comes or goes."""
    settled: list[str] = []
    rounds: list[int] = []
    settle, tidy = Pauses.settle, Pauses.tidy

    async def counted(pauses: Pauses, run_id: str) -> bool:
        settled.append(run_id)
        return await settle(pauses, run_id)

    async def ended(pauses: Pauses) -> None:
        rounds.append(len(settled))
        await tidy(pauses)

    monkeypatch.setattr(Pauses, "settle", counted)
    monkeypatch.setattr(Pauses, "tidy", ended)

    async def asks(context: Context, _value: object) -> object:
        return await context.ask("Really?")

    async def hands_over(context: Context, value: object) -> object:
        return await context.run("agent", value)

    async with started(flowing(asks), flowing(hands_over, name="parent")) as process:
        view = await process.run(agent="parent")
        (child,) = await asyncio.to_thread(process.stores.runs.find, RunFilter(parent_run_id=view.id))
        await process.runs.pause(view.id)
        await until(lambda: len(rounds) > 4 and rounds[-4] == rounds[-1] and child.id in settled)
        assert (await process.runs.get(child.id)).reason == "paused"
        await process.runs.resume(view.id)
        await process.engine.resolve(child.id, Outcome(action="answer", result=b'"yes"'))
        assert bytes((await process.settled(view.id, "completed")).output) == b'"yes"'


async def test_a_child_alone_is_paused() -> None:
    """While a child is paused its parent waits for it."""
    held, last = HeldTool("held", effect="idempotent"), ScriptedTool("last", lambda given: "last")
    agent, _ = worker("flow", held, last)

    async def hands_over(context: Context, value: object) -> object:
        return await context.run("agent", value)

    async with started(agent, flowing(hands_over, name="parent")) as process:
        handle = await process.create(agent="parent")
        await held.is_entered.wait()
        (child,) = await asyncio.to_thread(process.stores.runs.find, RunFilter(parent_run_id=handle.run_id))
        await process.runs.pause(child.id)
        held.go.set()
        assert (await handle.wait()).reason == "child"
        await process.runs.resume(child.id)
        await process.settled(handle.run_id, "completed")


async def test_a_pause_from_beside(kind: str, stores: Stores, tmp_path: Path) -> None:
    """A process beside the one that executes a run pauses it, and has it go on."""
    held, last = HeldTool("held"), ScriptedTool("last", lambda given: "last")
    agent, model = worker(kind, held, last)
    async with (
        started(agent, model=model, stores=stores, boots=tmp_path) as process,
        started(agent, stores=stores, boots=tmp_path, options=BESIDE) as beside,
    ):
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await beside.runs.pause(handle.run_id)
        await until(lambda: is_looking(process, handle.run_id))
        held.go.set()
        await paused(process, handle.run_id)
        await beside.runs.resume(handle.run_id)
        await process.settled(handle.run_id, "completed")


async def test_a_second_resume_says_nothing_about_later_waits(stores: Stores, tmp_path: Path) -> None:
    """One that finds the run at work is dropped: it does not force the run on when that waits for a person."""
    held = HeldTool("held")

    async def asks(context: Context, _value: object) -> object:
        await context.tool(held)
        return await context.ask("Well?")

    async with started(flowing(asks, held), stores=stores, boots=tmp_path) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        row = await asyncio.to_thread(stores.runs.get, handle.run_id)
        assert row is not None
        signal = Signal(id="sig_1", run_id=row.id, kind="resume", body=b"{}", created_at=row.created_at)
        await asyncio.to_thread(stores.signals.put, signal)
        while await asyncio.to_thread(stores.signals.pending):  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0)
        held.go.set()
        assert (await process.settled(handle.run_id, "waiting")).reason == "input"
