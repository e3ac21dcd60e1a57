"""Pauses and resumes that come in any order, at any moment: what was said last holds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from runwright.core.agent import BuiltAgent
from runwright.core.context import Context
from runwright.core.message import ToolMessage
from runwright.core.model import ModelRequest
from runwright.core.ports import RunFilter
from runwright.engine.worker import EngineOptions
from runwright.errors import Conflict
from runwright.store import Stores
from runwright.testing import ScriptedModel, ScriptedTool, calls
from runwright.testing.fakes import Answer
from tests.unit.engine.harness import BESIDE, HeldTool, Process, flowing, looping, started, until

pytestmark = pytest.mark.anyio

STEPS = 4
DEAF = EngineOptions(is_adopting=True, signal_poll_s=1_000.0, orphan_poll_s=1_000.0)
"""A process that hears nothing of what others leave for it."""


class Slow(ScriptedTool):
    """A tool that takes some turns of the event loop, and some trips through a thread."""

    def __init__(self, random: Random) -> None:
        super().__init__("slow", lambda arguments: arguments["n"], effect="idempotent")
        self._random = random

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Take a while, then act."""
        await turns(self._random)
        return await super().call(arguments, context)


async def turns(random: Random) -> None:
    """Let others work for a while."""
    for _ in range(random.randrange(12)):
        await (asyncio.to_thread(int) if random.random() < 0.3 else asyncio.sleep(0))


def agents(kind: str, tool: Slow) -> tuple[BuiltAgent, ...]:
    """The agent that is paused, and the one below it."""

    async def works(context: Context, _value: object) -> object:
        return [await context.tool(tool, n=n) for n in range(STEPS)]

    async def branches(context: Context, _value: object) -> object:
        return await asyncio.gather(*(works(context.lane(str(n)), None) for n in range(2)))

    async def hands_over(context: Context, value: object) -> object:
        return await context.run("child", value)

    if kind == "loop":
        return (looping(tool),)
    if kind == "parent":
        return flowing(hands_over), flowing(works, tool, name="child")
    return (flowing(works if kind == "flow" else branches, tool),)


def model() -> ScriptedModel:
    """Calls the tool as often as the flow does."""

    def answer(request: ModelRequest) -> Answer:
        done = sum(isinstance(said.message, ToolMessage) for said in request.messages)
        return calls(("slow", {"n": done})) if done < STEPS else "over"

    return ScriptedModel(by=answer)


@pytest.mark.parametrize("kind", ["loop", "flow", "branches", "parent"])
async def test_what_was_said_last_holds(kind: str) -> None:
    """A run that was resumed last comes to its end, and one that was paused last waits if it did not."""
    for seed in range(6):
        random = Random(seed)
        tool = Slow(random)
        async with started(*agents(kind, tool), model=model()) as process:
            run = (await process.create(mode="background")).run_id
            if await quarrel(process, run, random):
                await _paused_or_over(process, run)
                await _resume(process, run)
            await process.settled(run, "completed")
            assert len(tool.entered) == (2 * STEPS if kind == "branches" else STEPS), seed
            await _nothing_pending(process)


@pytest.mark.parametrize("kind", ["loop", "flow", "parent"])
@pytest.mark.parametrize("end", ["crash", "drain"])
async def test_it_holds_over_restarts(kind: str, end: str, stores: Stores, tmp_path: Path) -> None:
    """A pause that was answered holds when the process is gone, and so does the end of one."""
    for seed in range(3):
        random = Random(seed)
        tool = Slow(random)
        async with started(*agents(kind, tool), model=model(), stores=stores, boots=tmp_path) as process:
            run = (await process.create(mode="background")).run_id
            is_paused = await quarrel(process, run, random)
            await (process.crash() if end == "crash" else process.close(drain_s=random.choice([0.0, 1.0])))
        async with started(*agents(kind, tool), model=model(), stores=stores, boots=tmp_path) as process:
            if is_paused:
                await _paused_or_over(process, run)
                await _resume(process, run)
            await process.settled(run, "completed")
            await _nothing_pending(process)


@pytest.mark.parametrize("kind", ["loop", "flow"])
async def test_a_resume_while_the_pause_is_written(kind: str) -> None:
    """Who resumes a run whose pause is not on disk yet has it go on, though the row says that it runs."""
    held = HeldTool("slow")

    async def works(context: Context, _value: object) -> object:
        return [await context.tool(held, n=n) for n in range(STEPS)]

    agent = looping(held) if kind == "loop" else flowing(works, held)
    async with started(agent, model=model()) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await process.runs.pause(handle.run_id)
        live = process.engine.live(handle.run_id)
        assert live is not None
        with process.gate.held():
            held.go.set()
            await until(lambda: live.run.reason == "paused")
            await process.runs.resume(handle.run_id)
        await process.settled(handle.run_id, "completed")
        assert len(held.entered) == STEPS


async def test_a_child_that_is_being_begun(stores: Stores, tmp_path: Path) -> None:
    """A run that is begun after the one above it was paused stops, though its process was told nothing yet."""
    held, last = HeldTool("held"), ScriptedTool("last", lambda given: "last")

    async def works(context: Context, _value: object) -> object:
        return await context.tool(last)

    async def hands_over(context: Context, value: object) -> object:
        await context.tool(held)
        return await context.run("child", value)

    both = flowing(hands_over, held), flowing(works, last, name="child")
    async with (
        started(*both, stores=stores, boots=tmp_path, options=DEAF) as process,
        started(*both, stores=stores, boots=tmp_path, options=BESIDE) as beside,
    ):
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await beside.runs.pause(handle.run_id)
        held.go.set()
        await handle.wait()
        (child,) = await asyncio.to_thread(stores.runs.find, RunFilter(parent_run_id=handle.run_id))
        assert (child.reason, last.entered) == ("paused", [])
        with pytest.raises(Conflict, match=f"paused with {handle.run_id}; resume that"):
            await process.runs.resume(child.id)
        await process.runs.resume(handle.run_id)
        await process.settled(handle.run_id, "completed")
        assert len(last.entered) == 1


async def quarrel(process: Process, run: str, random: Random) -> bool:
    """Pause and resume a run, one after the other and both at once; whether it is to be paused in the end."""
    for _ in range(random.randrange(1, 5)):
        await turns(random)
        if random.random() < 0.3:
            await asyncio.gather(_resume(process, run), _pause(process, run))
        else:
            await _pause(process, run)
            await turns(random)
        await _resume(process, run)
    is_paused = random.random() < 0.5
    if is_paused:
        await _pause(process, run)
    return is_paused


async def _pause(process: Process, run: str) -> None:
    # It may be over.
    with suppress(Conflict):
        await process.runs.pause(run)


async def _resume(process: Process, run: str) -> None:
    # It may be over, or at work.
    with suppress(Conflict):
        await process.runs.resume(run)


async def _paused_or_over(process: Process, run: str) -> None:
    """Wait until a run is paused, unless it was over before."""
    view = await process.settled(run, "waiting", "completed")
    while view.reason != "paused" and view.status != "completed":
        await asyncio.sleep(0)
        view = await process.runs.get(run)


async def _nothing_pending(process: Process) -> None:
    """Wait until no message is left."""
    while await asyncio.to_thread(process.stores.signals.pending):  # noqa: ASYNC110 - the store tells nobody
        await asyncio.sleep(0)
