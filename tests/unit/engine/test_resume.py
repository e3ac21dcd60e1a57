"""What a process that died leaves, and how the next one goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from runwright.core.agent import BuiltAgent
from runwright.core.context import Context
from runwright.core.event import RunResumed, RunStarted, StepRestarted
from runwright.core.message import SystemMessage
from runwright.core.ports import Batch, RunRow, Stored
from runwright.core.run import Run
from runwright.engine.resume import Resumer
from runwright.engine.worker import EngineOptions
from runwright.errors import Conflict, StorageFull
from runwright.service.views import Resolution
from runwright.store import Stores
from runwright.testing import ScriptedModel, ScriptedTool, Silence, calls
from tests.unit.engine.harness import (
    PATIENCE_S,
    QUICK,
    HeldModel,
    HeldTool,
    Process,
    flowing,
    looping,
    started,
    until,
    watched,
)

pytestmark = pytest.mark.anyio


async def _on_disk(process: Process) -> None:
    """Everything that was appended is committed."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await until(lambda: process.journal.depth == 0)


async def _crashed(stores: Stores, tool: HeldTool, agent: BuiltAgent, *answers: Any) -> str:
    """A run whose process died inside that tool."""
    async with started(agent, model=ScriptedModel(*answers), stores=stores) as process:
        handle = await process.create(mode="background")
        await tool.is_entered.wait()
        await _on_disk(process)
        await process.crash()
    tool.go.set()
    return handle.run_id


async def _until_resumed(process: Process, run_id: str, times: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(await _resumed(process, run_id)) < times:  # noqa: ASYNC110 - the writer's thread commits it
            await asyncio.sleep(0.002)


async def _resumed(process: Process, run_id: str) -> list[RunResumed]:
    return [event.data for event in await process.story(run_id) if isinstance(event.data, RunResumed)]


async def test_a_model_call_in_flight_is_sent_again(stores: Stores) -> None:
    """The step of the model goes on as a second attempt, and the run completes."""
    model = HeldModel("lost")
    async with started(looping(), model=model, stores=stores) as process:
        handle = await process.create(mode="stream")
        await model.is_entered.wait()
        await _on_disk(process)
        await process.crash()
    async with started(looping(), model=ScriptedModel("hello again"), stores=stores) as process:
        view = await process.settled(handle.run_id, "completed")
        assert bytes(view.output) == b'"hello again"'
        assert [step.attempt for step in await process.steps(view.id)] == [2]
        assert [(data.cause, data.epoch) for data in await _resumed(process, view.id)] == [("crash", 2)]
        seqs = [event.seq for event in await process.story(view.id)]
        assert seqs == sorted(set(seqs))
        assert "step.restarted" in await process.types(view.id)


async def test_finished_steps_do_not_run_again(stores: Stores) -> None:
    """A loop goes on from its data: what is finished is not asked or called again."""
    first, last = ScriptedTool("first", lambda given: 1, effect="once"), HeldTool("last", 2)
    answers = (calls(("first", {})), calls(("last", {})))
    run_id = await _crashed(stores, last, looping(first, last), *answers)
    model = ScriptedModel("done")
    async with started(looping(first, last), model=model, stores=stores) as process:
        await process.settled(run_id, "completed")
        assert len(first.entered) == 1
        assert len(model.requests) == 1
        assert len(model.requests[0].messages) == 5


@pytest.mark.parametrize("effect", ["read", "idempotent"])
async def test_a_harmless_tool_in_flight_is_called_again(stores: Stores, effect: Any) -> None:
    """A read or idempotent tool goes on as a second attempt with the same key."""
    tool = HeldTool("act", effect=effect)
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {"n": 1})))
    async with started(looping(tool), model=ScriptedModel("done"), stores=stores) as process:
        await process.settled(run_id, "completed")
        step = (await process.steps(run_id))[1]
        assert (step.attempt, step.status) == (2, "completed")
        assert len(set(tool.keys)) == 1


@pytest.mark.parametrize("kind", ["loop", "flow"])
async def test_a_once_tool_in_flight_is_unknown(stores: Stores, kind: str) -> None:
    """A `once` tool is not sent again: the run waits, and a person can resolve it."""

    async def work(context: Context, given: Any) -> Any:
        return await context.tool("act")

    tool = HeldTool("act", effect="once")
    agent = looping(tool) if kind == "loop" else flowing(work, tool)
    run_id = await _crashed(stores, tool, agent, calls(("act", {})))
    entered = len(tool.entered)
    async with started(agent, model=ScriptedModel("done"), stores=stores) as process:
        view = await process.settled(run_id, "waiting")
        assert view.reason == "unknown_effect"
        assert len(tool.entered) == entered
        await process.runs.resolve(run_id, Resolution(action="retry"))
        await process.settled(run_id, "completed")
        assert len(tool.entered) == entered + 1


async def test_a_wait_survives_the_process(stores: Stores) -> None:
    """A waiting run waits on after a restart, and is resolved there."""
    tool = HeldTool("act", effect="once")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    async with started(looping(tool), stores=stores) as process:
        await process.settled(run_id, "waiting")
        await process.crash()
    async with started(looping(tool), model=ScriptedModel("done"), stores=stores) as process:
        assert (await process.runs.get(run_id)).status == "waiting"
        await process.runs.resolve(run_id, Resolution(action="done", result=msgspec.Raw(b"1")))
        await process.settled(run_id, "completed")


async def test_a_queued_run_begins_in_the_next_process(stores: Stores) -> None:
    """A run that had no slot yet is taken up as it is, whatever the number of restarts."""
    held = HeldModel("never")
    options = msgspec.structs.replace(QUICK, concurrency=1)
    async with started(looping(), model=held, stores=stores, options=options) as process:
        first = await process.create(mode="background")
        second = await process.create(mode="background")
        await process.crash()
    for restart in (1, 2, 3):
        async with started(looping(), model=HeldModel(), stores=stores, options=options) as process:
            await _until_resumed(process, first.run_id, restart)
            await process.crash()
    async with started(looping(), model=ScriptedModel(by=lambda request: "done"), stores=stores) as process:
        assert (await process.settled(first.run_id, "failed")).status == "failed"
        assert (await process.settled(second.run_id, "completed")).status == "completed"


async def test_a_run_that_ends_processes_is_given_up(stores: Stores) -> None:
    """Three adoptions without a finished step, and the next one fails the run with the reason."""
    adoptions = 0
    run_id = ""
    for _ in range(4):
        model = HeldModel("never")
        async with started(looping(), model=model, stores=stores) as process:
            if not run_id:
                run_id = (await process.create(mode="background")).run_id
            else:
                adoptions += 1
            await model.is_entered.wait()
            await _on_disk(process)
            await process.crash()
    assert adoptions == 3
    async with started(looping(), stores=stores) as process:
        view = await process.settled(run_id, "failed")
        assert view.error is not None
        assert (view.error.code, view.error.message) == (
            "crash_loop",
            "The run was taken up 3 times without finishing a step.",
        )
        assert (await process.types(run_id))[-2:] == ["step.failed", "run.failed"]


async def test_a_run_that_is_given_up_in_doubt_waits(stores: Stores) -> None:
    """A run that is taken up too often with a `once` tool in flight waits for a person, who can still resolve it."""
    tool = HeldTool("act", effect="once")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    for epoch in (1, 2, 3):
        await asyncio.to_thread(stores.runs.adopt, run_id, epoch=epoch, owner="boot_gone")
    async with started(looping(tool), model=ScriptedModel("done"), stores=stores) as process:
        view = await process.settled(run_id, "waiting", "failed")
        assert (view.status, view.reason) == ("waiting", "unknown_effect")
        assert (await process.types(run_id))[-2:] == ["step.failed", "run.waiting"]
        await process.runs.resolve(run_id, Resolution(action="done", result=msgspec.Raw(b"1")))
        await process.settled(run_id, "completed")
        assert len(tool.entered) == 0


async def test_a_run_of_the_dead_is_cancelled_even_in_doubt(stores: Stores) -> None:
    """Who cancels a run with a `once` tool in flight ends it, and the record says that the effect is unknown."""
    tool = HeldTool("act", effect="once")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    async with started(stores=stores, options=EngineOptions()) as process:
        assert (await process.runs.cancel(run_id)).status == "cancelled"
        assert [step.status for step in await process.steps(run_id)] == ["completed", "unknown"]
        assert (await process.types(run_id))[-2:] == ["step.failed", "run.cancelled"]


async def test_a_finished_step_ends_a_series_of_crashes(stores: Stores) -> None:
    """A run that gets on is taken up as often as it needs."""
    tool = ScriptedTool("act", lambda given: None)
    run_id = ""
    for _ in range(6):
        model = ScriptedModel(calls(("act", {})), Silence(60.0))
        async with started(looping(tool), model=model, stores=stores) as process:
            if not run_id:
                run_id = (await process.create(mode="background")).run_id
            await until(lambda model=model: len(model.requests) == 2)
            await _on_disk(process)
            await process.crash()
    async with started(looping(tool), model=ScriptedModel("done"), stores=stores) as process:
        await process.settled(run_id, "completed")
        assert len(tool.entered) == 6


async def test_an_ephemeral_run_is_cancelled(stores: Stores) -> None:
    """A run whose caller will send it again does not go on after a crash."""
    model = HeldModel("never")
    async with started(looping(), model=model, stores=stores) as process:
        handle = await process.create(is_ephemeral=True)
        await model.is_entered.wait()
        await _on_disk(process)
        await process.crash()
    model = ScriptedModel()
    async with started(looping(), model=model, stores=stores) as process:
        view = await process.settled(handle.run_id, "cancelled")
        assert model.requests == []
        assert (await process.types(view.id))[-2:] == ["step.failed", "run.cancelled"]


async def test_an_engine_that_does_not_adopt_leaves_orphans(stores: Stores) -> None:
    """Only a server takes runs of the dead; another process leaves them."""
    model = HeldModel("never")
    async with started(looping(), model=model, stores=stores) as process:
        handle = await process.create(mode="background")
        await model.is_entered.wait()
        await process.crash()
    options = msgspec.structs.replace(QUICK, is_adopting=False)
    async with started(looping(), stores=stores, options=options) as process:
        await asyncio.sleep(0.05)
        assert (await process.runs.get(handle.run_id)).status == "running"


async def test_a_code_flow_answers_finished_steps_from_the_tape(stores: Stores) -> None:
    """A flow runs again from its start; its finished steps are not performed again."""
    counted, held = ScriptedTool("counted", lambda given: given["n"], effect="once"), HeldTool("held", 10)
    entered: list[object] = []

    async def work(context: Context, given: Any) -> Any:
        entered.append(given)
        one = await context.tool("counted", n=1)
        said = await context.model("how many?", instructions="Count.")
        two = await context.lane("side").tool("counted", n=1)
        three = await context.tool("counted", n=1)
        return [one, said.message.content, two, three, await context.tool("held")]

    agent = flowing(work, counted, held)
    run_id = await _crashed(stores, held, agent, "two")
    model = ScriptedModel()
    async with started(agent, model=model, stores=stores) as process:
        view = await process.settled(run_id, "completed")
        assert msgspec.json.decode(view.output) == [1, "two", 1, 1, 10]
        assert entered == ["hi", "hi"]
        assert len(counted.entered) == 3
        assert model.requests == []
        assert [(step.lane, step.name, step.nth) for step in await process.steps(run_id)][:4] == [
            ("", "counted", 0),
            ("", "test:scripted", 0),
            ("side", "counted", 0),
            ("", "counted", 1),
        ]


async def test_branches_without_lanes_find_their_own_steps(stores: Stores) -> None:
    """Branches side by side ask in another order when the tape answers at once; that is no divergence."""
    entered: list[object] = []
    tools = [ScriptedTool(name, entered.append, effect="once") for name in ("a", "c", "d")]
    held = HeldTool("b")

    async def work(context: Context, given: Any) -> Any:
        async def branch(*names: str) -> None:
            for name in names:
                await context.tool(name, by=name)

        await asyncio.gather(branch("a", "b"), branch("c", "d"))

    async with started(flowing(work, *tools, held), stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await until(lambda: len(entered) == 3)
        await _on_disk(process)
        # Only the steps that are finished stay: the next process asks for "b" before it asks for "c".
        await process.crash()
    held.go.set()
    async with started(flowing(work, *tools, held), stores=stores) as process:
        await process.settled(handle.run_id, "completed")
        assert len(entered) == 3


async def _diverged(stores: Stores) -> tuple[str, Any]:
    """A run whose code flow asks for something else after the restart; the run's id and the new flow."""
    one, held = ScriptedTool("one", lambda given: 1), HeldTool("held")

    async def before(context: Context, given: Any) -> Any:
        await context.tool("one")
        return await context.tool("held")

    async def after(context: Context, given: Any) -> Any:
        return await context.tool("held", other=True)

    run_id = await _crashed(stores, held, flowing(before, one, held))
    return run_id, flowing(after, one, held, fingerprint="f2")


async def test_a_flow_that_diverged_waits_and_can_be_told_to_go_on(stores: Stores) -> None:
    """A flow whose code no longer fits its record waits; a person lets it go on with the current code."""
    run_id, agent = await _diverged(stores)
    async with started(agent, stores=stores) as process:
        view = await process.settled(run_id, "waiting")
        assert view.reason == "diverged"
        assert (await _resumed(process, run_id))[0].code_changed == ("definition",)
        await process.runs.resume(run_id)
        view = await process.settled(run_id, "completed")
        assert bytes(view.output) == b'"done"'
        assert [data.cause for data in await _resumed(process, run_id)] == ["crash", "input"]


async def test_what_a_person_accepted_holds_after_the_next_crash(stores: Stores) -> None:
    """A flow that was told to go on with the current code is not asked about the steps before that again."""
    run_id, _ = await _diverged(stores)
    first, last, held = ScriptedTool("first", lambda given: 1), ScriptedTool("last", lambda given: 2), HeldTool("held")

    async def work(context: Context, given: Any) -> Any:
        return [await context.tool("first"), await context.tool("held", again=True), await context.tool("last")]

    agent = flowing(work, first, last, held, fingerprint="f2")
    async with started(agent, stores=stores) as process:
        await process.settled(run_id, "waiting")
        await process.runs.resume(run_id)
        await held.is_entered.wait()
        await _on_disk(process)
        await process.crash()
    held.go.set()
    async with started(agent, stores=stores) as process:
        await process.settled(run_id, "completed")
        assert len(first.entered) == 1


async def test_what_came_after_a_person_accepted_the_code_counts(stores: Stores) -> None:
    """When the code changes once more, the steps since then are the record that it has to fit."""
    run_id, _ = await _diverged(stores)
    held = HeldTool("held")

    async def later(context: Context, given: Any) -> Any:
        await context.tool("new")
        return await context.tool("held", third=True)

    async def latest(context: Context, given: Any) -> Any:
        return await context.tool("held", fourth=True)

    new = ScriptedTool("new", lambda given: 1)
    async with started(flowing(later, new, held, fingerprint="f3"), stores=stores) as process:
        await process.settled(run_id, "waiting")
        await process.runs.resume(run_id)
        await held.is_entered.wait()
        await _on_disk(process)
        await process.crash()
    async with started(flowing(latest, new, held, fingerprint="f4"), stores=stores) as process:
        view = await process.settled(run_id, "waiting")
        assert view.reason == "diverged"


async def test_accepted_tools_hold_after_the_next_crash(stores: Stores) -> None:
    """A loop that was told to go on with other tools does so again, and asks again when they change once more."""
    tool, again, model = HeldTool("act"), HeldTool("act"), HeldModel("never")
    extra = ScriptedTool("extra", lambda given: None)
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    changed = looping(again, extra, fingerprint="f2")
    async with started(changed, stores=stores) as process:
        await process.settled(run_id, "waiting")
        await process.runs.resume(run_id)
        await again.is_entered.wait()
        await process.crash()
    again.go.set()
    async with started(changed, model=model, stores=stores) as process:
        await model.is_entered.wait()
        await _on_disk(process)
        await process.crash()
    async with started(looping(again, fingerprint="f3"), stores=stores) as process:
        view = await process.settled(run_id, "waiting")
        assert view.reason == "diverged"


def _bumped(agent: BuiltAgent, fingerprint: str = "f2", version: str = "9.0.0") -> BuiltAgent:
    """The agent in its next version."""
    definition = msgspec.structs.replace(agent.definition, version=version)
    return msgspec.structs.replace(agent, definition=definition, fingerprint=fingerprint)


@pytest.mark.parametrize("fingerprint", ["f1", "f2"])
async def test_a_run_of_an_earlier_version_goes_on_with_the_current_one(stores: Stores, fingerprint: str) -> None:
    """A version that is gone is no reason to wait while the record fits the current one; the run says so."""
    tool = HeldTool("act")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    agent = _bumped(looping(tool), fingerprint)
    async with started(agent, model=ScriptedModel("done"), stores=stores) as process:
        view = await process.settled(run_id, "completed")
        assert view.version != agent.version
        changed = ("version",) if fingerprint == "f1" else ("version", "definition")
        assert [data.code_changed for data in await _resumed(process, run_id)] == [changed]


@pytest.mark.parametrize(
    ("version", "fingerprint", "changed"),
    [("1.0.0", "f1", ()), ("9.0.0", "f1", ("version",)), ("9.0.0", "f2", ("version", "definition"))],
)
async def test_a_queued_run_of_an_earlier_version_says_so_when_it_begins(
    stores: Stores, version: str, fingerprint: str, changed: tuple[str, ...]
) -> None:
    """A run that never began under its own version tells at its start what differs."""
    options = msgspec.structs.replace(QUICK, concurrency=1)
    async with started(looping(), model=HeldModel("never"), stores=stores, options=options) as process:
        await process.create(mode="background")
        queued = await process.create(mode="background")
        await process.crash()
    agent = _bumped(looping(), fingerprint, version)
    async with started(agent, model=ScriptedModel(by=lambda request: "done"), stores=stores) as process:
        await process.settled(queued.run_id, "completed")
        starts = [event.data for event in await process.story(queued.run_id) if isinstance(event.data, RunStarted)]
        assert [start.code_changed for start in starts] == [changed]


async def test_a_run_of_an_earlier_version_with_other_tools_waits(stores: Stores) -> None:
    """What does not fit the current version waits, and a person lets it go on."""
    tool = HeldTool("act")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    agent = _bumped(looping(tool, ScriptedTool("extra", lambda given: None)))
    async with started(agent, model=ScriptedModel("done"), stores=stores) as process:
        view = await process.settled(run_id, "waiting")
        assert view.reason == "diverged"
        await process.runs.resume(run_id)
        await process.settled(run_id, "completed")
        assert [data.code_changed for data in await _resumed(process, run_id)] == [("version", "definition", "tools")]


async def test_a_person_means_the_current_version(stores: Stores) -> None:
    """A run stays with its version while that is there; told to go on with the current code, it stays with that."""
    tool = HeldTool("act")
    old = looping(tool, instructions="old")
    new = _bumped(looping(tool, instructions="new"))
    run_id = await _crashed(stores, tool, old, calls(("act", {})))
    first = HeldModel("never")
    async with started(old, new, model=first, stores=stores) as process:
        await first.is_entered.wait()
        await _on_disk(process)
        await process.crash()
    async with started(stores=stores) as process:
        await process.settled(run_id, "waiting")
    second = HeldModel("never")
    async with started(old, new, model=second, stores=stores) as process:
        await process.runs.resume(run_id)
        await second.is_entered.wait()
        await _on_disk(process)
        await process.crash()
    model = ScriptedModel("done")
    async with started(old, new, model=model, stores=stores) as process:
        await process.settled(run_id, "completed")
        assert model.requests[0].messages[0].message == SystemMessage(content="new")
        changed = [data.code_changed for data in await _resumed(process, run_id)]
        assert changed == [(), ("version", "definition"), ("version", "definition")]


async def test_a_loop_with_other_instructions_goes_on_and_says_so(stores: Stores) -> None:
    """A changed definition with the same tools goes on; the record says what was sent before and after."""
    tool = HeldTool("act")
    before, after = looping(tool, instructions="old"), looping(tool, instructions="new", fingerprint="f2")
    run_id = await _crashed(stores, tool, before, calls(("act", {})))
    model = ScriptedModel("done")
    async with started(after, model=model, stores=stores) as process:
        await process.settled(run_id, "completed")
        assert [data.code_changed for data in await _resumed(process, run_id)] == [("definition",)]
        sent = model.requests[0].messages
        assert sent[0].message == SystemMessage(content="new")
        steps = [step for step in await process.steps(run_id) if step.kind == "model"]
        recorded = [msgspec.json.decode(bytes(step.request))["messages"] for step in steps]
        assert [messages[0]["content"] for messages in recorded] == ["old", "new"]
        assert len(recorded[1]) == len(sent)


async def test_a_loop_with_other_tools_waits(stores: Stores) -> None:
    """When a tool's schema changed the run waits as diverged; it can go on with the current code, or be cancelled."""
    tool, other = HeldTool("act"), ScriptedTool("extra", lambda given: None)
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    changed = looping(tool, other, fingerprint="f2")
    async with started(changed, model=ScriptedModel("done"), stores=stores) as process:
        view = await process.settled(run_id, "waiting")
        assert view.reason == "diverged"
        await process.runs.resume(run_id)
        await process.settled(run_id, "completed")
        assert (await _resumed(process, run_id))[0].code_changed == ("definition", "tools")
        steps = [step for step in await process.steps(run_id) if step.kind == "model"]
        tools = [
            [each["function"]["name"] for each in msgspec.json.decode(bytes(step.request))["tools"]] for step in steps
        ]
        assert tools == [["act"], ["act", "extra"]]


async def test_a_resolution_is_kept_when_the_tools_changed(stores: Stores) -> None:
    """What a person said about a step stands, even if the run then waits as diverged."""
    tool = HeldTool("act", effect="once")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    async with started(looping(tool), stores=stores) as process:
        await process.settled(run_id, "waiting")
        await process.crash()
    changed = looping(tool, ScriptedTool("extra", lambda given: None), fingerprint="f2")
    async with started(changed, model=ScriptedModel("done"), stores=stores) as process:
        await process.runs.resolve(run_id, Resolution(action="done", result=msgspec.Raw(b"1")))
        view = await process.runs.get(run_id)
        assert (view.status, view.reason) == ("waiting", "diverged")
        await process.runs.resume(run_id)
        await process.settled(run_id, "completed")


async def test_a_run_without_its_agent_waits(stores: Stores) -> None:
    """When the agent is not defined any more its runs wait, and go on once it is there again."""
    tool = HeldTool("act")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    async with started(model=ScriptedModel("done"), stores=stores) as process:
        view = await process.settled(run_id, "waiting")
        assert view.reason == "diverged"
        process.agents.agents["agent"] = looping(tool)
        await process.runs.resume(run_id)
        await process.settled(run_id, "completed")


async def test_a_resolution_is_kept_when_the_agent_is_gone(stores: Stores) -> None:
    """What a person said about a step stands until the agent is there again."""
    tool = HeldTool("act", effect="once")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    async with started(looping(tool), stores=stores) as process:
        await process.settled(run_id, "waiting")
    async with started(model=ScriptedModel("done"), stores=stores) as process:
        view = await process.runs.resolve(run_id, Resolution(action="done", result=msgspec.Raw(b"1")))
        assert (view.status, view.reason) == ("waiting", "diverged")
        process.agents.agents["agent"] = looping(tool)
        await process.runs.resume(run_id)
        await process.settled(run_id, "completed")
        assert [step.status for step in await process.steps(run_id)] == ["completed"] * 3


async def test_a_person_who_said_retry_is_not_asked_again(stores: Stores) -> None:
    """While its agent is gone a run waits for that, not for an answer that it has; then the tool is called again."""
    tool = HeldTool("act", effect="once")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    async with started(looping(tool), stores=stores) as process:
        await process.settled(run_id, "waiting")
    async with started(model=ScriptedModel("done"), stores=stores) as process:
        view = await process.runs.resolve(run_id, Resolution(action="retry"))
        assert (view.status, view.reason) == ("waiting", "diverged")
        process.agents.agents["agent"] = looping(tool)
        await process.runs.resume(run_id)
        await process.settled(run_id, "completed")
        assert len(tool.entered) == 1


async def test_a_run_in_doubt_without_its_agent_waits_for_one_after_the_other(stores: Stores) -> None:
    """A run whose agent is gone with a `once` tool in flight waits for a person first, and then for the agent."""
    tool = HeldTool("act", effect="once")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    async with started(model=ScriptedModel("done"), stores=stores) as process:
        assert (await process.settled(run_id, "waiting")).reason == "unknown_effect"
        view = await process.runs.resolve(run_id, Resolution(action="done", result=msgspec.Raw(b"1")))
        assert (view.status, view.reason) == ("waiting", "diverged")
        process.agents.agents["agent"] = looping(tool)
        await process.runs.resume(run_id)
        await process.settled(run_id, "completed")
        assert len(tool.entered) == 0


async def test_a_resolution_is_told_when_it_is_on_disk(stores: Stores) -> None:
    """What is answered to a person is what the store says, and a resolution that could not be written is an error."""
    tool, model = HeldTool("act", effect="once"), HeldModel("done")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    async with started(looping(tool), model=model, stores=stores) as process:
        await process.settled(run_id, "waiting")
        process.gate.fail(StorageFull())
        with pytest.raises(StorageFull):
            await process.runs.resolve(run_id, Resolution(action="done"))
        assert (await process.runs.get(run_id)).status == "waiting"
        process.gate.fail(None)
        view = await process.runs.resolve(run_id, Resolution(action="done"))
        assert view.status == "running"
        model.go.set()
        await process.settled(run_id, "completed")


async def test_a_drained_process_leaves_its_runs_to_the_next(stores: Stores) -> None:
    """What does not finish in time goes on at the next start, as after a crash; what does finish is complete."""
    held, model = HeldTool("held"), ScriptedModel(by=_answer)
    agents = looping(held), looping(name="quick")
    async with started(*agents, model=model, stores=stores) as process:
        quick = await process.create(agent="quick", mode="background")
        slow = await process.create(mode="background")
        await held.is_entered.wait()
        waiting = asyncio.create_task(slow.wait())
        await process.close(drain_s=0.02)
        with pytest.raises(Exception, match="goes on at the next start"):
            await waiting
    held.go.set()
    async with started(*agents, model=model, stores=stores) as process:
        assert (await process.settled(slow.run_id, "completed")).status == "completed"
        assert (await process.runs.get(quick.run_id)).status == "completed"


def _answer(request: Any) -> Any:
    return "done" if not request.tools or len(request.messages) > 1 else calls(("held", {}))


async def test_draining_does_not_begin_what_is_queued(stores: Stores) -> None:
    """A process that is about to stop lets runs finish, but begins none."""
    held = HeldTool("held")
    options = msgspec.structs.replace(QUICK, concurrency=1)
    model = ScriptedModel(by=_answer)
    async with started(looping(held), model=model, stores=stores, options=options) as process:
        first = await process.create(mode="background")
        second = await process.create(mode="background")
        await held.is_entered.wait()
        closing = asyncio.create_task(process.close(drain_s=5.0))
        await asyncio.sleep(0.01)
        held.go.set()
        await closing
    held.go.set()
    rows = [await asyncio.to_thread(stores.runs.get, handle.run_id) for handle in (first, second)]
    assert [row.status for row in rows if row is not None] == ["completed", "queued"]
    async with started(looping(held), model=model, stores=stores) as process:
        await process.settled(second.run_id, "completed")


async def test_a_run_survives_a_full_disk(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """When the disk is full a run is let go and the log says so once; when there is room it goes on, nothing twice."""
    once, held = ScriptedTool("once", lambda given: 1, effect="once"), HeldTool("held")
    model = ScriptedModel(calls(("once", {})), calls(("held", {})), "lost", "done")
    async with started(looping(once, held), model=model, stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await _on_disk(process)
        process.gate.fail(StorageFull())
        held.go.set()
        with pytest.raises(StorageFull):
            await handle.wait()
        await asyncio.sleep(0.03)
        with pytest.raises(StorageFull):
            await process.create()
        row = await asyncio.to_thread(stores.runs.get, handle.run_id)
        assert row is not None
        assert (row.status, await process.engine.lost([row])) == ("running", frozenset())
        process.gate.fail(None)
        view = await process.settled(handle.run_id, "completed")
        assert view.usage.tool_calls == 2
        assert len(once.entered) == 1
        story = [event.data for event in await process.story(handle.run_id)]
        assert "storage" in [data.cause for data in story if isinstance(data, RunResumed)]
        assert {data.cause for data in story if isinstance(data, StepRestarted)} == {"storage"}
    said = [record.getMessage() for record in caplog.records if record.name == "runwright.journal"]
    assert [text.partition(":")[0] for text in said] == ["the store takes no rows", "the store takes rows again"]


async def test_an_owner_that_lost_its_run_stops(stores: Stores) -> None:
    """A process whose run was taken by another writes nothing more of it."""
    held, model = HeldTool("act"), ScriptedModel(calls(("act", {})), "first")
    options = EngineOptions(is_adopting=False)
    async with started(looping(held), model=model, stores=stores, options=options) as old:
        handle = await old.create(mode="background")
        await held.is_entered.wait()
        await _on_disk(old)
        free = HeldTool("act")
        free.go.set()
        # In memory every other owner counts as gone, so this one takes the run.
        async with started(looping(free), model=ScriptedModel("second"), stores=stores) as new:
            view = await new.settled(handle.run_id, "completed")
            held.go.set()
            with pytest.raises(Exception, match="owned by another process"):
                await handle.wait()
            assert bytes((await new.runs.get(view.id)).output) == b'"second"'
            types = await new.types(view.id)
            assert types.count("run.completed") == 1


async def test_deltas_of_the_dead_are_void(stores: Stores) -> None:
    """A watcher that comes after the restart sees the restart and the new answer, not old pieces."""
    model = HeldModel("never")
    async with started(looping(), model=model, stores=stores) as process:
        handle = await process.create(mode="stream")
        await model.is_entered.wait()
        await _on_disk(process)
        await process.crash()
    again = HeldModel("new words")
    async with started(looping(), model=again, stores=stores) as process:
        events = await watched(process, handle.run_id, go=again.go)
        types = [event.type for event in events]
        assert types[:4] == ["run.queued", "run.started", "step.started", "run.resumed"]
        assert types.count("run.completed") == 1
        seqs = [event.seq for event in events]
        assert seqs == sorted(set(seqs))


async def test_a_run_of_a_thread_keeps_its_history(stores: Stores) -> None:
    """After a restart a run still goes on from the head that it began with, whatever the thread became."""
    tool = HeldTool("act")
    async with started(looping(tool), model=ScriptedModel("one", calls(("act", {}))), stores=stores) as process:
        await process.run("first", thread_id="thr_1")
        handle = await process.create("second", thread_id="thr_1", mode="background")
        await tool.is_entered.wait()
        await _on_disk(process)
        await process.crash()
    tool.go.set()
    model = ScriptedModel("done")
    async with started(looping(tool), model=model, stores=stores) as process:
        await process.settled(handle.run_id, "completed")
        assert len(model.requests[0].messages) == 5
        starts = [event.data for event in await process.story(handle.run_id) if isinstance(event.data, RunStarted)]
        assert len(starts) == 1


async def test_a_damaged_run_does_not_hold_up_the_others(stores: Stores) -> None:
    """A run that cannot be taken up is left; the others go on."""
    tool = HeldTool("act")
    run_id = await _crashed(stores, tool, looping(tool), calls(("act", {})))
    broken = Run(
        id="run_00000000000000000000000000000000",
        agent="agent",
        version="1",
        fingerprint="f1",
        status="running",
        created_at=(await asyncio.to_thread(_row, stores, run_id)).created_at,
        owner="boot_gone",
        epoch=1,
    )
    await asyncio.to_thread(_insert_damaged, stores, broken)
    async with started(looping(tool), model=ScriptedModel("done"), stores=stores) as process:
        await process.settled(run_id, "completed")
        view = await asyncio.to_thread(_row, stores, broken.id)
        assert view.status in {"running", "failed"}


def _row(stores: Stores, run_id: str) -> Run:
    run = stores.runs.get(run_id)
    assert run is not None
    return run


def _insert_damaged(stores: Stores, run: Run) -> None:

    event = Stored(run.id, 1, run.created_at, "run.queued", None, b'{"type":', 1)
    stores.writes.append([Batch(run=RunRow(run, True), events=(event,))])


async def test_a_resume_that_somebody_else_is_always_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who resumes a run that goes on without that each time, and waits again, is told so."""

    async def forced(_resumer: Resumer, _run: Run, *, consumed: tuple[str, ...]) -> bool:
        return False

    async def asks(context: Context, _value: object) -> object:
        return await context.ask("Well?")

    monkeypatch.setattr(Resumer, "force", forced)
    async with started(flowing(asks)) as process:
        view = await process.run()
        with pytest.raises(Conflict, match="went on 5 times meanwhile"):
            await process.runs.resume(view.id)
