"""Code flows: how they end, what they leave behind, and how they find their steps again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from runwright.core.agent import BuiltAgent, CodeFlow, Limits
from runwright.core.context import Context
from runwright.core.event import CustomEmitted, ProgressReported, StepFailed
from runwright.core.model import ModelEvent, ModelRequest
from runwright.core.ports import Clock
from runwright.errors import AgentError, RunwrightError
from runwright.service.views import Resolution, RunView
from runwright.store import Stores
from runwright.testing import FakeClock, ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import HeldModel, HeldTool, Process, flowing, looping, started, until

pytestmark = pytest.mark.anyio


def _breaks(arguments: object) -> object:
    raise ConnectionError("gone")


def _pay(act: Callable[[Mapping[str, object]], object] = _breaks) -> ScriptedTool:
    return ScriptedTool("pay", act, effect="once")


async def _stepwise(process: Process, run_id: str) -> list[tuple[str, str]]:
    return [(step.name, step.status) for step in await process.steps(run_id)]


async def _crashed(stores: Stores, agent: BuiltAgent, held: HeldTool, *, clock: Clock | None = None) -> str:
    """A run whose process died once this tool was entered and all that came before was on disk."""
    async with started(agent, stores=stores, clock=clock) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await asyncio.sleep(0.02)
        await until(lambda: process.journal.depth == 0)
        await process.crash()
    held.go.set()
    return handle.run_id


async def _unknown(process: Process, view: RunView, name: str = "pay") -> None:
    assert (view.status, view.reason, bytes(view.output)) == ("waiting", "unknown_effect", b"null")
    assert (name, "unknown") in await _stepwise(process, view.id)


async def test_where_a_tool_and_a_flow_raised_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the line of a tool that raised, and of a flow that did; the record has what they said."""

    async def work(context: Context, given: Any) -> Any:
        with suppress(RunwrightError):
            await context.tool("look")
        raise KeyError("nothing")

    agent = flowing(work, ScriptedTool("look", _breaks, effect="read"))
    async with started(agent) as process:
        view = await process.run()
    assert view.status == "failed"
    tool, flow = (record.getMessage() for record in caplog.records)
    assert (tool.startswith("tool 'look' raised ConnectionError at "), tool.endswith(" in _breaks")) == (True, True)
    assert (flow.startswith("agent 'agent' raised KeyError at "), flow.endswith(" in work")) == (True, True)


async def test_a_time_limit_in_a_once_tool_waits() -> None:
    """The limit of a flow's time does not say whether the tool acted: the run waits, and its outcome resolves it."""
    pay = HeldTool("pay", "paid", effect="once")

    async def work(context: Context, given: Any) -> Any:
        return await context.tool("pay")

    async with started(flowing(work, pay, limits=Limits(time_s=0.05))) as process:
        view = await process.run()
        await _unknown(process, view)
        pay.go.set()
        assert bytes((await process.settled(view.id, "completed")).output) == b'"paid"'


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(2), asyncio.CancelledError("mine")])
async def test_whatever_a_flow_raises_an_unknown_effect_waits(error: BaseException) -> None:
    """An error of the flow's own does not hide that the outcome of a step is unknown."""

    async def work(context: Context, given: Any) -> Any:
        try:
            await context.tool("pay")
        finally:
            raise error

    async with started(flowing(work, _pay())) as process:
        await _unknown(process, await process.run())


async def test_a_flow_cannot_complete_over_an_unknown_effect() -> None:
    """A wait that `gather` turns into a value holds all the same, and no further step is performed."""
    after = ScriptedTool("after", lambda given: None, effect="once")

    async def work(context: Context, given: Any) -> Any:
        outcome = await asyncio.gather(context.tool("pay"), return_exceptions=True)
        if not isinstance(outcome[0], str):
            await asyncio.gather(context.tool("after"), return_exceptions=True)
        return outcome[0]

    async with started(flowing(work, _pay(), after)) as process:
        view = await process.run()
        await _unknown(process, view)
        assert after.entered == []
        await process.runs.resolve(view.id, Resolution(action="done", result=msgspec.Raw(b'"by hand"')))
        assert bytes((await process.settled(view.id, "completed")).output) == b'"by hand"'


async def test_a_once_tool_that_the_flow_gave_up_waits() -> None:
    """A time-out of the flow's own around a `once` tool is no outcome: nothing is performed after it."""
    pay = HeldTool("pay", "paid", effect="once")
    after = ScriptedTool("after", lambda given: None, effect="once")

    async def work(context: Context, given: Any) -> Any:
        try:
            async with asyncio.timeout(0.02):
                return await context.tool("pay")
        except TimeoutError:
            return await context.tool("after")

    async with started(flowing(work, pay, after)) as process:
        view = await process.run()
        await _unknown(process, view)
        assert after.entered == []
        pay.go.set()
        assert bytes((await process.settled(view.id, "completed")).output) == b'"paid"'


async def test_a_once_tool_that_was_left_behind_waits_for_its_outcome() -> None:
    """A `once` tool that a flow does not wait for is unknown when the flow returns; its result lets the run go on."""
    pay = HeldTool("pay", effect="once")
    tasks: list[asyncio.Future[Any]] = []

    async def work(context: Context, given: Any) -> Any:
        tasks.append(asyncio.ensure_future(context.tool("pay")))
        if len(tasks) == 1:
            await pay.is_entered.wait()
        else:
            await tasks[-1]
        return "done"

    async with started(flowing(work, pay)) as process:
        view = await process.run()
        await _unknown(process, view)
        pay.go.set()
        assert bytes((await process.settled(view.id, "completed")).output) == b'"done"'
        assert len(pay.entered) == 1


async def test_a_once_tool_beside_an_unknown_one_is_listed_too() -> None:
    """Both steps can be resolved when one raised and the other is still in flight; NotSent or a result settles it."""
    slow = HeldTool("slow", "late", effect="once")

    async def work(context: Context, given: Any) -> Any:
        return await asyncio.gather(context.lane("a").tool("slow"), context.lane("b").tool("pay"))

    async with started(flowing(work, _pay(), slow)) as process:
        view = await process.run()
        assert {status for _, status in await _stepwise(process, view.id)} == {"unknown"}
        slow.go.set()
        await until(lambda: bool(slow.entered))
        await asyncio.sleep(0.01)
        pay = next(step for step in await process.steps(view.id) if step.name == "pay")
        done = Resolution(action="done", step=pay.seq, result=msgspec.Raw(b"1"))
        await process.runs.resolve(view.id, done)
        assert bytes((await process.settled(view.id, "completed")).output) == b'["late",1]'


async def test_a_step_taken_as_failed_leaves_the_other_one_to_say() -> None:
    """A loop whose one step was resolved as failed still waits for its other one before it fails."""
    pay = _pay()
    model = ScriptedModel(calls(("pay", {"n": 1}), ("pay", {"n": 2})))
    async with started(looping(pay), model=model) as process:
        view = await process.run()
        for status in ("waiting", "failed"):
            step = next(step for step in await process.steps(view.id) if step.status == "unknown")
            await process.runs.resolve(view.id, Resolution(action="fail", step=step.seq))
            await until(lambda: not process.engine.live(view.id))
            assert (await process.settled(view.id, "waiting", "failed")).status == status


async def test_an_output_is_found_whatever_follows_it() -> None:
    """GET gives the output of `run.completed`, also where an event was stored behind it."""

    async def work(context: Context, given: Any) -> Any:
        return "the answer"

    async with started(flowing(work)) as process:
        view = await process.run()
        row = await asyncio.to_thread(process.stores.runs.get, view.id)
        assert row is not None
        log = process.journal.open(row, is_first=False, publish=lambda events: None, clean=lambda data: data)
        log.append((CustomEmitted(name="late"), None))
        await log.durable()
        assert bytes((await process.runs.get(view.id)).output) == b'"the answer"'


async def test_a_cancelled_run_is_cancelled_whatever_is_unknown() -> None:
    """Who cancels a run does not want to be asked."""
    pay = HeldTool("pay", effect="once")

    async def work(context: Context, given: Any) -> Any:
        await asyncio.gather(context.tool("pay"), return_exceptions=True)
        return "done"

    async with started(flowing(work, pay)) as process:
        handle = await process.create(mode="background")
        await pay.is_entered.wait()
        assert (await process.runs.cancel(handle.run_id)).status == "cancelled"
        assert await _stepwise(process, handle.run_id) == [("pay", "unknown")]


async def test_a_step_that_was_left_behind_ends_with_its_run() -> None:
    """A flow that returns while its task still works completes with its output, and the late result is dropped."""
    slow = HeldTool("slow")
    tasks: list[asyncio.Future[Any]] = []

    async def behind(context: Context) -> None:
        await context.tool("slow")
        await context.tool("slow")

    async def work(context: Context, given: Any) -> Any:
        tasks.append(asyncio.ensure_future(behind(context)))
        await slow.is_entered.wait()
        return "the answer"

    async with started(flowing(work, slow)) as process:
        view = await process.run()
        slow.go.set()
        with pytest.raises(RunwrightError, match="left behind"):
            await tasks[0]
        assert bytes((await process.runs.get(view.id)).output) == b'"the answer"'
        assert (await process.types(view.id))[-2:] == ["step.failed", "run.completed"]


async def test_a_step_that_the_flow_gave_up_is_given_up_again(stores: Stores) -> None:
    """A time-out of the flow's own around a step ends it, and comes again after a crash without a call."""
    slow, held = HeldTool("slow"), HeldTool("held")

    async def work(context: Context, given: Any) -> Any:
        try:
            async with asyncio.timeout(0.02):
                await context.tool("slow")
        except TimeoutError:
            return await context.tool("held")

    agent = flowing(work, slow, held)
    run_id = await _crashed(stores, agent, held)
    slow.go.set()
    async with started(agent, stores=stores) as process:
        view = await process.settled(run_id, "completed")
        assert bytes(view.output) == b'"done"'
        assert await _stepwise(process, run_id) == [("slow", "failed"), ("held", "completed")]
        ends = [event.data.error.code for event in await process.story(run_id) if isinstance(event.data, StepFailed)]
        assert ends == ["cancelled"]
    assert slow.entered == []


async def test_steps_beside_one_that_waits_are_not_given_up() -> None:
    """What a task group cancels because the run waits is done again when it goes on."""
    other = HeldTool("other", "other")

    async def work(context: Context, given: Any) -> Any:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(context.lane("a").tool("other"))
            await other.is_entered.wait()
            group.create_task(context.lane("b").tool("pay"))
        return one.result()

    async with started(flowing(work, _pay(), other)) as process:
        view = await process.run()
        await _unknown(process, view)
        assert ("other", "running") in await _stepwise(process, view.id)
        other.go.set()
        await process.runs.resolve(view.id, Resolution(action="done", result=msgspec.Raw(b"1")))
        assert bytes((await process.settled(view.id, "completed")).output) == b'"other"'


async def test_a_model_that_breaks_in_a_flow_ends_its_step() -> None:
    """An error that no model should raise ends its step and is the engine's own kind; the flow may go on."""

    class Broken(ScriptedModel):
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
            for event in ():
                yield event
            raise asyncio.CancelledError("from within")

    async def work(context: Context, given: Any) -> Any:
        try:
            await context.model("hi")
        except AgentError as error:
            return error.message

    async with started(flowing(work), model=Broken()) as process:
        view = await process.run()
        assert bytes(view.output) == b'"CancelledError: from within"'
        assert await _stepwise(process, view.id) == [("test:scripted", "failed")]


async def test_a_once_tool_in_flight_that_new_code_forgets_waits(stores: Stores) -> None:
    """Changed code that asks for something else does not get past a `once` tool in flight: nothing new is done."""
    pay, log = HeldTool("pay", effect="once"), ScriptedTool("log", lambda given: 1, effect="once")

    async def before(context: Context, given: Any) -> Any:
        return await context.tool("pay")

    async def after(context: Context, given: Any) -> Any:
        return await context.tool("log")

    run_id = await _crashed(stores, flowing(before, pay, log), pay)
    async with started(flowing(after, pay, log, fingerprint="f2"), stores=stores) as process:
        await _unknown(process, await process.settled(run_id, "waiting"))
        assert log.entered == []
        await process.runs.resolve(run_id, Resolution(action="done", result=msgspec.Raw(b"1")))
        await until(lambda: not process.engine.live(run_id))
        assert (await process.settled(run_id, "waiting")).reason == "diverged"
        await process.runs.resume(run_id)
        assert bytes((await process.settled(run_id, "completed")).output) == b"1"


@pytest.mark.parametrize("is_failing", [False, True])
async def test_a_flow_that_ends_before_its_recorded_steps_diverged(stores: Stores, is_failing: bool) -> None:
    """Changed code that returns, or raises, without asking for what was done waits; forced, it ends so."""
    one, held = ScriptedTool("one", lambda given: 1), HeldTool("held")

    async def before(context: Context, given: Any) -> Any:
        await context.tool("one")
        await context.tool("held")

    async def after(context: Context, given: Any) -> Any:
        if is_failing:
            raise NameError("typing error")
        return "early"

    run_id = await _crashed(stores, flowing(before, one, held), held)
    async with started(flowing(after, one, held, fingerprint="f2"), stores=stores) as process:
        view = await process.settled(run_id, "waiting")
        assert view.reason == "diverged"
        await process.runs.resume(run_id)
        await process.settled(run_id, "failed" if is_failing else "completed")
        assert await _stepwise(process, run_id) == [("one", "completed"), ("held", "failed")]


async def test_a_branch_that_takes_its_time_is_no_divergence(stores: Stores) -> None:
    """A new step of one branch is held until another branch, which waits for something else, came to its own."""
    first, second, third = (ScriptedTool(name, lambda given: 1) for name in ("first", "second", "third"))
    go, held = asyncio.Event(), HeldTool("held")

    async def work(context: Context, given: Any) -> Any:
        async def slow() -> None:
            await asyncio.sleep(0.1)
            await context.tool("first")
            await context.lane("side").tool("held")

        async def quick() -> None:
            await context.tool("second")
            await go.wait()
            await context.tool("third")

        await asyncio.gather(slow(), quick())
        return "ok"

    agent = flowing(work, first, second, third, held)
    run_id = await _crashed(stores, agent, held)
    go.set()
    async with started(agent, stores=stores) as process:
        assert bytes((await process.settled(run_id, "completed")).output) == b'"ok"'
        names = [step.name for step in await process.steps(run_id)]
        assert names == ["second", "first", "held", "third"]
    assert (len(first.entered), len(second.entered)) == (1, 1)


async def test_changed_code_of_one_task_diverged_at_once(stores: Stores) -> None:
    """Where no other task could ask for what was done, however late it was done, nothing is waited for."""
    clock = FakeClock()
    one, held, extra = ScriptedTool("one", lambda given: 1), HeldTool("held"), _pay(lambda given: 1)

    async def before(context: Context, given: Any) -> Any:
        clock.advance(3600.0)
        await context.tool("one")
        await context.tool("held")

    async def after(context: Context, given: Any) -> Any:
        await asyncio.create_task(asyncio.sleep(0))
        context.progress("about to pay")
        await context.tool("pay")

    run_id = await _crashed(stores, flowing(before, one, held, extra), held, clock=clock)
    async with started(flowing(after, one, held, extra, fingerprint="f2"), stores=stores) as process:
        view = await process.settled(run_id, "waiting")
        assert view.reason == "diverged"
    assert extra.entered == []


async def test_changed_code_in_branches_diverged(stores: Stores) -> None:
    """A new step is not performed when no other branch asks for what was done, in about the time that it took."""
    one, held, extra = ScriptedTool("one", lambda given: 1), HeldTool("held"), _pay(lambda given: 1)

    async def before(context: Context, given: Any) -> Any:
        await asyncio.gather(context.tool("one"), context.lane("side").tool("held"))

    async def after(context: Context, given: Any) -> Any:
        await asyncio.gather(context.tool("pay"), context.lane("side").tool("held"))

    run_id = await _crashed(stores, flowing(before, one, held, extra), held)
    async with started(flowing(after, one, held, extra, fingerprint="f2"), stores=stores) as process:
        assert (await process.settled(run_id, "waiting")).reason == "diverged"
    assert extra.entered == []


async def test_a_run_that_was_told_to_go_on_does_so_after_another_crash(stores: Stores) -> None:
    """What was done before a person accepted the current code is not missed later; what was done since is."""
    one, held, x, y = ScriptedTool("one", lambda given: 1), HeldTool("held"), HeldTool("x"), ScriptedTool("y", len)

    async def before(context: Context, given: Any) -> Any:
        await context.tool("one")
        await context.tool("held")

    async def after(context: Context, given: Any) -> Any:
        context.progress("a word, which holds nothing up")
        await context.tool("x")
        return await context.tool("y")

    run_id = await _crashed(stores, flowing(before, one, held), held)
    changed = flowing(after, x, y, fingerprint="f2")
    async with started(changed, stores=stores) as process:
        await process.settled(run_id, "waiting")
        await process.runs.resume(run_id)
        await x.is_entered.wait()
        await asyncio.sleep(0.02)
        await process.crash()
    x.go.set()
    async with started(changed, stores=stores) as process:
        await process.settled(run_id, "completed")


async def test_a_stop_leaves_a_flow_as_it_is(stores: Stores) -> None:
    """What a flow does when its process stops is no part of it: no step is ended, and none is performed."""
    model, cleanup = HeldModel("answer"), ScriptedTool("cleanup", lambda given: 1)

    async def work(context: Context, given: Any) -> Any:
        try:
            answer = await context.model("hi")
        except asyncio.CancelledError:
            await context.tool("cleanup")
            raise ValueError("stopped") from None
        return answer.message.content

    agent = flowing(work, cleanup)
    async with started(agent, stores=stores, model=model) as process:
        handle = await process.create(mode="background")
        await model.is_entered.wait()
        await process.close()
    async with started(agent, stores=stores, model=ScriptedModel("answer")) as process:
        assert bytes((await process.settled(handle.run_id, "completed")).output) == b'"answer"'
        assert [(step.name, step.attempt) for step in await process.steps(handle.run_id)] == [("test:scripted", 2)]


class Raw(ScriptedTool):
    """A tool that gives these bytes, whatever they are."""

    def __init__(self, result: Any, effect: Any) -> None:
        super().__init__("raw", lambda given: None, effect=effect)
        self._result = result

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Give them."""
        return self._result


@pytest.mark.parametrize("effect", ["read", "once"])
@pytest.mark.parametrize("result", [b"oops", b'"\xff"', b"", b"1 2", "1", None])
async def test_a_result_that_is_no_json_is_an_error_of_the_tool(effect: str, result: Any) -> None:
    """Bytes that could not be read again are not recorded: the tool has failed, or its effect is unknown."""

    async def work(context: Context, given: Any) -> Any:
        return await context.tool("raw")

    async with started(flowing(work, Raw(result, effect))) as process:
        view = await process.run()
        assert view.status == ("failed" if effect == "read" else "waiting")
        step = (await process.steps(view.id))[0]
        assert step.error is not None
        assert "gave no JSON text" in step.error.message
        assert step.error.code == ("tool_failed" if effect == "read" else "outcome_unknown")


async def test_an_output_that_was_not_written_as_json_fails_the_run() -> None:
    """What a template's output function gives is looked at before it is recorded."""

    async def work(context: Context, given: Any) -> Any:
        return 1

    def write(value: object) -> bytes:
        return b"oops"

    agent = flowing(work)
    assert isinstance(agent.flow, CodeFlow)
    flow = msgspec.structs.replace(agent.flow, write_output=write)
    async with started(msgspec.structs.replace(agent, flow=flow), looping(name="other")) as process:
        view = await process.run()
        assert view.error is not None
        assert (view.status, view.error.code) == ("failed", "tool_failed")
        assert (await process.runs.get(view.id)).status == "failed"


async def test_what_a_flow_tells_is_told_once(stores: Stores) -> None:
    """Progress and events of its own that were recorded before a crash do not come again; those after it do."""
    held = HeldTool("held")

    async def work(context: Context, given: Any) -> Any:
        for _ in range(2):
            context.progress("tick", fraction=0.1)
            context.lane("side").progress("tick", fraction=0.1)
        context.emit("begun", {"a": 1})
        await context.tool("held")
        context.progress("tick", fraction=0.1)
        context.emit("begun", {"a": 1})

    run_id = await _crashed(stores, flowing(work, held), held)
    async with started(flowing(work, held), stores=stores) as process:
        await process.settled(run_id, "completed")
        told = [event.data for event in await process.story(run_id)]
    said = [(each.message, each.lane) for each in told if isinstance(each, ProgressReported)]
    assert said == [("tick", ""), ("tick", "side"), ("tick", ""), ("tick", "side"), ("tick", "")]
    assert len([each for each in told if isinstance(each, CustomEmitted)]) == 2
