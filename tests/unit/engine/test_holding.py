"""Steps that need a person or a time: their run waits, and goes on where it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from runwright.core.agent import Approval
from runwright.core.context import Context
from runwright.core.event import RunResumed, RunWaiting
from runwright.core.need import Need
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.engine import holding
from runwright.engine.kept import Kept
from runwright.errors import Conflict, Denied, InvalidRequest
from runwright.service.views import Resolution, RunView
from runwright.store import Stores
from runwright.testing import FakeClock, ScriptedModel, ScriptedTool
from runwright.testing import calls as calling
from tests.unit.engine.harness import QUICK, HeldTool, Process, flowing, looping, started, until

pytestmark = pytest.mark.anyio


def asking(tool: ScriptedTool, **fields: Any) -> ScriptedTool:
    """A tool that a person has to allow."""
    tool.approval = Approval(**fields)
    return tool


def paying(effect: Any = "once", **fields: Any) -> ScriptedTool:
    """A tool with effects that a person has to allow."""
    return asking(ScriptedTool("pay", lambda given: f"paid {given}", effect=effect), **fields)


def asking_slowly(name: str) -> HeldTool:
    """A tool that a person has to allow, and that takes its time."""
    tool = HeldTool(name, effect="once")
    tool.approval = Approval()
    return tool


async def say(process: Process, run_id: str, action: Any, **of: Any) -> None:
    """Say something of the step that is held."""
    for name in ("result", "arguments"):
        if name in of:
            of[name] = msgspec.Raw(msgspec.json.encode(of[name]))
    await process.runs.resolve(run_id, Resolution(action=action, **of))


async def needs(process: Process, run_id: str) -> tuple[Need, ...]:
    """What a run waits for."""
    last = [event.data for event in await process.story(run_id) if isinstance(event.data, RunWaiting)][-1]
    return last.needs


async def waits(process: Process, run_id: str, reason: str) -> RunView:
    """The run when it waits for that."""
    view = await process.settled(run_id, "waiting")
    assert view.reason == reason
    return view


@pytest.mark.parametrize("effect", ["read", "idempotent", "once"])
async def test_a_call_waits_for_its_approval(effect: Any) -> None:
    """Nothing is sent before somebody allows it; then it is sent once, and the run goes on."""
    pay = paying(effect)
    model = ScriptedModel(calling(("pay", {"usd": 5})), "done")
    async with started(looping(pay), model=model) as process:
        view = await process.run()
        assert (view.status, view.reason, pay.entered) == ("waiting", "approval", [])
        await say(process, view.id, "approve", by="ada")
        assert (await process.settled(view.id, "completed")).usage.tool_calls == 1
        assert len(pay.entered) == 1


async def test_an_edit_meanwhile_changes_nothing_for_a_run_that_waits() -> None:
    """A run that waits goes on with what it began with, in this process; runs that begin then have the edit."""
    pay, edited = paying(), paying()
    model = ScriptedModel(calling(("pay", {})), "done", "done again")
    async with started(looping(pay, instructions="Before."), model=model) as process:
        view = await process.run()
        process.agents.agents["agent"] = looping(edited, fingerprint="f2", instructions="After.")
        await say(process, view.id, "approve")
        await process.settled(view.id, "completed")
        assert (len(pay.entered), edited.entered) == (1, [])
        resumed = [each.data for each in await process.story(view.id) if isinstance(each.data, RunResumed)]
        assert [each.code_changed for each in resumed] == [()]
        await process.run()
        told = [str(request.messages[0]) for request in model.requests]
        assert ["Before." in each for each in told] == [True, True, False]


def test_the_oldest_that_waits_is_forgotten() -> None:
    """What is kept for runs that wait has a bound."""
    kept = Kept(limit=2)
    agents = [looping(name=name) for name in "abc"]
    for agent in (*agents[:2], agents[0], agents[2]):
        kept.keep(agent.name, agent)
    assert [kept.get(name) for name in "abc"] == [agents[0], None, agents[2]]
    kept.drop("a")
    kept.drop("a")
    assert kept.get("a") is None


async def test_what_is_denied_is_told_to_the_model() -> None:
    """A call that somebody denied is an error that the model reads, with who and why."""
    pay = paying()
    model = ScriptedModel(calling(("pay", {})), "as you wish")
    async with started(looping(pay), model=model) as process:
        view = await process.run()
        await say(process, view.id, "deny", by="ada", note="too much")
        await process.settled(view.id, "completed")
        assert pay.entered == []
        assert "ada did not allow it: too much" in str(model.requests[-1].messages[-1])


async def test_other_arguments_can_be_allowed() -> None:
    """Who allows a call can change its arguments; the tool gets those."""
    pay = paying()
    async with started(looping(pay), model=ScriptedModel(calling(("pay", {"usd": 500})), "done")) as process:
        view = await process.run()
        await say(process, view.id, "approve", arguments={"usd": 5})
        await process.settled(view.id, "completed")
        assert pay.entered == [{"usd": 5}]


async def test_calls_beside_it_are_done() -> None:
    """Of calls side by side only those wait that have to; several are answered one after the other."""
    look = ScriptedTool("look", lambda given: "seen")
    pay, send = paying(), asking(ScriptedTool("send", lambda given: "sent", effect="once"))
    model = ScriptedModel(calling(("look", {}), ("pay", {}), ("send", {})), "done")
    async with started(looping(look, pay, send), model=model) as process:
        view = await process.run()
        first, second = await needs(process, view.id)
        assert len(look.entered) == 1
        with pytest.raises(InvalidRequest, match="Say which step"):
            await say(process, view.id, "approve")
        await say(process, view.id, "approve", step=second.step)
        await until(lambda: len(send.entered) == 1)
        await waits(process, view.id, "approval")
        assert await needs(process, view.id) == (first,)
        await say(process, view.id, "deny")
        await process.settled(view.id, "completed")
        assert (len(pay.entered), len(send.entered)) == (0, 1)


async def test_an_approval_outlives_the_process(stores: Stores, tmp_path: Path) -> None:
    """What was asked is asked once, also when the process dies before and after the answer."""
    pay = paying()
    model = ScriptedModel(calling(("pay", {})), "done")
    async with started(looping(pay), model=model, stores=stores, boots=tmp_path) as process:
        view = await process.run(mode="background")
        await process.crash()
    async with started(looping(pay), model=model, stores=stores, boots=tmp_path) as process:
        await waits(process, view.id, "approval")
        await say(process, view.id, "approve")
        await process.settled(view.id, "completed")
        assert len(pay.entered) == 1


async def test_a_process_that_takes_up_nothing_lets_its_own_runs_go_on(stores: Stores, tmp_path: Path) -> None:
    """Such a process, as that of a command, hears what is said of runs that it began; for others it leaves word."""
    pay = paying()
    model = ScriptedModel(calling(("pay", {})), calling(("pay", {})), "done")
    idle = replace(QUICK, is_adopting=False)
    async with started(looping(pay), model=model, stores=stores, boots=tmp_path) as process:
        other = await process.run()
    async with started(looping(pay), model=model, stores=stores, boots=tmp_path, options=idle) as process:
        view = await process.run()
        await say(process, other.id, "approve")
        await say(process, view.id, "approve")
        await process.settled(view.id, "completed")
        assert len(pay.entered) == 1
        assert (await process.runs.get(other.id)).status == "waiting"
        assert [signal.run_id for signal in await asyncio.to_thread(stores.signals.pending)] == [other.id]


async def test_no_answer_in_time_is_a_denial() -> None:
    """A call that nobody answers for in time is not done."""
    pay = paying(expires_s=0.01)
    model = ScriptedModel(calling(("pay", {})), "done")
    async with started(looping(pay), model=model) as process:
        handle = await process.create()
        await process.settled(handle.run_id, "completed")
        assert pay.entered == []
        assert "Nobody allowed it in time." in str(model.requests[-1].messages[-1])


async def test_a_flow_asks() -> None:
    """A flow that asks a person waits for the answer and goes on with it."""

    async def asks(context: Context, _value: object) -> object:
        return {"you": await context.ask("How many?")}

    async with started(flowing(asks)) as process:
        view = await process.run()
        assert (view.status, view.reason) == ("waiting", "input")
        await say(process, view.id, "answer", result=3)
        assert bytes((await process.settled(view.id, "completed")).output) == b'{"you":3}'


async def test_an_answer_fits_what_was_asked() -> None:
    """An answer that does not fit the schema is refused, and nothing is recorded of it."""

    async def asks(context: Context, _value: object) -> object:
        return await context.ask("How many?", schema={"type": "integer"})

    async with started(flowing(asks)) as process:
        view = await process.run()
        count = len(await process.story(view.id))
        with pytest.raises(InvalidRequest, match="integer"):
            await say(process, view.id, "answer", result="many")
        assert len(await process.story(view.id)) == count
        await say(process, view.id, "answer", result=3)
        assert bytes((await process.settled(view.id, "completed")).output) == b"3"


async def test_an_answer_that_does_not_come_is_an_error() -> None:
    """A flow that nobody answers in time gets Denied."""

    async def asks(context: Context, _value: object) -> object:
        try:
            return await context.ask("How many?", expires_s=0.01)
        except Denied:
            return "nobody"

    async with started(flowing(asks)) as process:
        handle = await process.create()
        assert bytes((await process.settled(handle.run_id, "completed")).output) == b'"nobody"'


async def test_other_branches_go_on() -> None:
    """While one branch waits for a person the others do all that they can; then the run waits."""
    look = ScriptedTool("look", lambda given: "seen")
    pay = paying()

    async def looks(context: Context) -> None:
        for _ in range(3):
            await context.tool(look)

    async def both(context: Context, _value: object) -> object:
        async with asyncio.TaskGroup() as group:
            group.create_task(looks(context.lane("look")))
            paid = group.create_task(context.lane("pay").tool(pay, usd=1))
        return paid.result()

    async with started(flowing(both, pay, look)) as process:
        view = await process.run()
        assert (view.reason, len(look.entered), len(pay.entered)) == ("approval", 3, 0)
        await say(process, view.id, "approve")
        await process.settled(view.id, "completed")
        assert (len(look.entered), len(pay.entered)) == (3, 1)


async def test_who_waits_no_more_is_not_asked_again() -> None:
    """A branch that is given up takes its question with it."""
    look = HeldTool("look")

    async def races(context: Context, _value: object) -> object:
        asked = asyncio.create_task(context.lane("ask").ask("Really?"))
        seen = asyncio.create_task(context.lane("look").tool(look))
        await asyncio.wait([asked, seen], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        await asyncio.wait([asked])
        return await seen

    async with started(flowing(races, look)) as process:
        handle = await process.create()
        await look.is_entered.wait()
        look.go.set()
        view = await process.settled(handle.run_id, "completed")
        assert [step.status for step in await process.steps(view.id)] == ["failed", "completed"]


async def test_a_long_sleep_needs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that sleeps for long waits for its time outside of the process, and goes on then."""
    monkeypatch.setattr(holding, "PARKED_S", 0.01)

    async def sleeps(context: Context, _value: object) -> object:
        await context.sleep(0.1)
        return "awake"

    async with started(flowing(sleeps)) as process:
        view = await process.run()
        assert (view.reason, process.engine.active) == ("timer", 0)
        assert bytes((await process.settled(view.id, "completed")).output) == b'"awake"'


@pytest.mark.parametrize("kind", ["loop", "flow"])
async def test_a_replay_needs_nobody(kind: str) -> None:
    """A strict replay of a run that waited for a person is answered by the record."""
    pay = paying()

    async def flow(context: Context, _value: object) -> object:
        said = await context.ask("Really?")
        return [said, await context.tool(pay, usd=1)]

    agent = looping(pay) if kind == "loop" else flowing(flow, pay)
    async with started(agent, model=ScriptedModel(calling(("pay", {})), "done")) as process:
        view = await process.run()
        if kind == "flow":
            await say(process, view.id, "answer", result="yes")
            await waits(process, view.id, "approval")
        await say(process, view.id, "approve")
        done = await process.settled(view.id, "completed")
        request = RunRequest(agent="", input=b"", replay=Replay(of=view.id))
        again = await (await process.runs.create(request)).wait()
        assert (again.status, bytes(again.output)) == ("completed", bytes(done.output))
        assert len(pay.entered) == 1


async def test_who_answers_what_was_not_asked_is_told() -> None:
    """An approval of a run that does not wait for one is a conflict that says so."""
    async with started(looping(), model=ScriptedModel("done")) as process:
        view = await process.run()
        with pytest.raises(Conflict, match="does not wait for an approval"):
            await say(process, view.id, "approve")


async def test_a_run_that_waits_can_be_cancelled() -> None:
    """Cancelling a run that waits for a person ends it with nothing done."""
    pay = paying()
    async with started(looping(pay), model=ScriptedModel(calling(("pay", {})))) as process:
        view = await process.run()
        await process.runs.cancel(view.id)
        await process.settled(view.id, "cancelled")
        assert pay.entered == []


async def test_answers_come_while_the_run_is_at_work() -> None:
    """What is said of one step while the run does another is kept until the run waits, or said at once."""
    pay, slow = paying(), asking_slowly("send")
    model = ScriptedModel(calling(("pay", {}), ("send", {})), "done")
    async with started(looping(pay, slow), model=model) as process:
        view = await process.run()
        first, second = await needs(process, view.id)
        await say(process, view.id, "approve", step=second.step, by="ada")
        await slow.is_entered.wait()
        await say(process, view.id, "approve", step=first.step, by="bob")
        with pytest.raises(Conflict, match=rf"Step {first.step} .* was approved already by bob, at 20"):
            await say(process, view.id, "deny", step=first.step)
        slow.go.set()
        await process.settled(view.id, "completed")
        assert (len(pay.entered), len(slow.entered)) == (1, 1)


async def test_answers_at_the_same_time() -> None:
    """Several steps are answered at once, and each answer holds."""
    pay, send = paying(), asking(ScriptedTool("send", lambda given: "sent", effect="once"))
    model = ScriptedModel(calling(("pay", {}), ("send", {})), "done")
    async with started(looping(pay, send), model=model) as process:
        view = await process.run()
        held = await needs(process, view.id)
        await asyncio.gather(*(say(process, view.id, "approve", step=need.step) for need in held))
        await process.settled(view.id, "completed")
        assert (len(pay.entered), len(send.entered)) == (1, 1)


async def test_a_second_answer_is_told_of_the_first() -> None:
    """Who answers what was answered already is told by whom and when, also after the run is over."""
    pay = paying()
    async with started(looping(pay), model=ScriptedModel(calling(("pay", {})), "done")) as process:
        view = await process.run()
        (need,) = await needs(process, view.id)
        await say(process, view.id, "deny", by="ada")
        await process.settled(view.id, "completed")
        for step in (None, need.step):
            with pytest.raises(Conflict, match=rf"Step {need.step} .* was denied already by ada, at 20"):
                await say(process, view.id, "approve", step=step)


async def test_a_run_that_needs_a_person_says_so() -> None:
    """Where one branch needs a person and another its child, the run waits for the person."""

    async def asks(context: Context, _value: object) -> object:
        return await context.ask("Really?")

    async def both(context: Context, _value: object) -> object:
        async with asyncio.TaskGroup() as group:
            group.create_task(context.lane("child").run("child", 1))
            await context.lane("own").sleep(0.05)
            group.create_task(context.lane("ask").ask("And you?"))
        return "done"

    async with started(flowing(both), flowing(asks, name="child")) as process:
        await waits(process, (await process.run()).id, "input")


async def test_a_damaged_run_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waits and cannot go on leaves those after it their chance."""

    async def asks(context: Context, _value: object) -> object:
        try:
            return await context.ask("How many?", expires_s=0.2)
        except Denied:
            return "nobody"

    async with started(flowing(asks, name="bad"), flowing(asks)) as process:
        damaged, other = await process.run(agent="bad"), await process.run()
        get = process.agents.get

        def broken(name: str, *of: Any, **how: Any) -> Any:
            if name == "bad":
                raise RuntimeError("this run is damaged")
            return get(name, *of, **how)

        monkeypatch.setattr(process.agents, "get", broken)
        assert bytes((await process.settled(other.id, "completed")).output) == b'"nobody"'
        monkeypatch.setattr(process.agents, "get", get)
        await process.settled(damaged.id, "completed")


async def test_time_is_the_engines() -> None:
    """An approval expires by the clock that the engine was given, not by that of the machine."""
    clock, pay = FakeClock(), paying(expires_s=3600)
    async with started(looping(pay), model=ScriptedModel(calling(("pay", {})), "done"), clock=clock) as process:
        view = await process.run()
        await process.settled(view.id, "waiting")
        clock.advance(3601)
        await process.settled(view.id, "completed")
        assert pay.entered == []
