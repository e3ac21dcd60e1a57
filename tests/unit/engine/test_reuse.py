"""Results of whole runs that are given again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runwright.core.agent import BuiltAgent, Definition
from runwright.core.context import Context
from runwright.core.event import GuardDecided
from runwright.core.policy import Cache, Guard
from runwright.core.replay import Replay
from runwright.core.usage import NO_USAGE
from runwright.errors import Conflict, ProviderRejected
from runwright.guard import Answers, Guards, Registry, Surroundings
from runwright.store import open_stores
from runwright.store.cache import SqlKeyValue
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import flowing, looping, started, watched

pytestmark = pytest.mark.anyio

AGAIN = Guard(cache=Cache(of="runs"))


def kept(agent: BuiltAgent, **changes: Any) -> BuiltAgent:
    """The agent with results that are given again."""
    return replace(agent, guard=AGAIN, **changes)


def caching(answers: Answers | None = None) -> Guards:
    """A guard with a cache of its own."""
    return Guards(Surroundings(registry=Registry(), answers=answers or Answers()))


async def test_an_equal_run() -> None:
    """The second run is recorded as one of its own: it names the first, did no step, cost and used nothing."""
    look = ScriptedTool("look", lambda given: 3)
    model = ScriptedModel(calls(("look", {})), "three")
    async with started(kept(looping(look)), model=model, guards=caching()) as process:
        first, second = await process.run("1 + 2?"), await process.run("1 + 2?")
        assert (first.id != second.id, bytes(second.output)) == (True, b'"three"')
        assert (second.status, second.usage, second.cost.usd) == ("completed", NO_USAGE, "0")
        assert second.finish_reason == first.finish_reason
        assert await process.types(second.id) == ["run.queued", "run.started", "guard.decided", "run.completed"]
        story = await process.story(second.id)
        (told,) = [event.data for event in story if isinstance(event.data, GuardDecided)]
        assert (told.layer, told.action, told.figures["run"]) == ("cache", "hit", first.id)
        assert told.figures["saved_tokens"] == first.usage.total_tokens > 0
        third = await process.run("1 + 2?")
        assert bytes(third.output) == b'"three"'
        assert len(model.requests) == 2


async def test_in_a_stream() -> None:
    """A stream of such a run ends with its output."""
    async with started(kept(looping()), model=ScriptedModel("three"), guards=caching()) as process:
        await process.run("1 + 2?")
        handle = await process.create("1 + 2?", mode="stream")
        events = await watched(process, handle.run_id)
        assert [event.type for event in events][-1] == "run.completed"
        assert bytes((await process.runs.get(handle.run_id)).output) == b'"three"'


@pytest.mark.parametrize(
    "other",
    [
        {"input": "2 + 2?"},
        {"user": "ada"},
        {"thread_id": "thr_1"},
        {"agent": "other"},
        {"agent": "newer"},
        {"agent": "changed"},
        {"agent": "unwilling"},
        {"agent": "plain"},
    ],
    ids=["input", "user", "thread", "agent", "version", "fingerprint", "run_says_no", "agent_says_nothing"],
)
async def test_other_runs(other: dict[str, Any]) -> None:
    """Another input, user, agent, version or fingerprint is another run; one of a thread goes on from what was said."""
    agent = kept(looping())
    newer = Definition(name="agent", version="2.0.0")
    agents = (
        agent,
        kept(looping(name="other")),
        looping(name="plain"),
        kept(looping(name="changed"), definition=Definition(name="agent"), fingerprint="f2"),
        kept(looping(name="newer"), definition=newer),
        kept(looping(name="unwilling"), definition=Definition(name="agent"), run_guard=Guard(cache=False)),
    )
    async with started(*agents, model=ScriptedModel("one", "two"), guards=caching()) as process:
        for named, each in zip(("agent", "other", "plain", "changed", "newer", "unwilling"), agents, strict=True):
            process.agents.agents[named] = each
        await process.run("1 + 2?")
        assert bytes((await process.run(**({"input": "1 + 2?"} | other))).output) == b'"two"'


async def test_the_same_json() -> None:
    """The input is the same JSON however it is written."""
    seen: list[Any] = []

    async def work(context: Context, given: Any) -> Any:
        seen.append(given)
        return given

    async with started(kept(flowing(work)), guards=caching()) as process:
        await process.run({"a": 1, "b": [2]})
        await process.run({"b": [2], "a": 1})
        await process.run({"b": [2.5], "a": 1})
    assert seen == [{"a": 1, "b": [2]}, {"b": [2.5], "a": 1}]


@pytest.mark.parametrize("deed", ["tool", "memory"])
async def test_a_run_that_acted(deed: str) -> None:
    """What a code flow does shows when it does it: a run that acted, or looked into memory, is done again."""
    act = ScriptedTool("act", lambda given: 1, effect="idempotent")

    async def work(context: Context, given: Any) -> Any:
        if deed == "tool":
            return await context.tool(act)
        return await context.memory.get("notes")

    times = 0

    async def counted(context: Context, given: Any) -> Any:
        nonlocal times
        times += 1
        return await work(context, given)

    async with started(kept(flowing(counted)), guards=caching()) as process:
        for _ in range(2):
            assert (await process.run()).status == "completed"
    assert times == 2


async def test_a_run_that_failed() -> None:
    """Only a result is given again."""
    model = ScriptedModel(ProviderRejected(), "well")
    async with started(kept(looping()), model=model, guards=caching()) as process:
        assert (await process.run()).status == "failed"
        assert bytes((await process.run()).output) == b'"well"'


async def test_the_record_decides(tmp_path: Path) -> None:
    """The result is read from the record, after a restart too, and is gone when the earlier run is deleted."""
    stores = await asyncio.to_thread(open_stores, tmp_path / "runwright.db")
    agent = kept(looping())
    for answers in (["one"], [], ["two"]):
        far = await asyncio.to_thread(SqlKeyValue, stores.database)
        model = ScriptedModel(*answers)
        async with started(agent, model=model, stores=stores, guards=caching(Answers(far=far))) as process:
            assert bytes((await process.run()).output) == (b'"two"' if answers == ["two"] else b'"one"')
            if not answers:
                # The newest run always stays.
                assert len(await asyncio.to_thread(stores.prune.oldest)) == 1
                await asyncio.to_thread(lambda: stores.prune.delete(stores.prune.oldest()))
        await far.close()
    await asyncio.to_thread(stores.close)


async def test_a_replay() -> None:
    """A replay of an original asks its recording; a run that was given a result names whom to replay."""
    async with started(kept(looping()), model=ScriptedModel("one"), guards=caching()) as process:
        first, second = await process.run(), await process.run()
        again = await process.run(replay=Replay(of=first.id))
        assert (again.status, bytes(again.output)) == ("completed", b'"one"')
        with pytest.raises(Conflict, match=first.id):
            await process.run(replay=Replay(of=second.id))
