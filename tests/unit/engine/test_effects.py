"""Effects: what may be sent again, what is unknown, and what a person can say about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from runwright.core.agent import BuiltAgent, Limits
from runwright.core.context import Context
from runwright.core.message import ToolMessage
from runwright.errors import Conflict, InvalidRequest, NotSent, OutcomeUnknown, RunwrightError, StorageFull
from runwright.service.views import Resolution
from runwright.store import Stores
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import HeldTool, Process, flowing, looping, started, until

pytestmark = pytest.mark.anyio


def _raises(error: BaseException) -> Any:
    def act(arguments: object) -> object:
        raise error

    return act


def _sender(act: Callable[[Mapping[str, object]], object], effect: Any = "once") -> ScriptedTool:
    return ScriptedTool("send", act, effect=effect)


def _model() -> ScriptedModel:
    return ScriptedModel(calls(("send", {"to": "ann"})), "sent")


async def _send(context: Context, given: Any) -> Any:
    return await context.tool("send", to="ann")


def _agents(tool: Any) -> list[BuiltAgent]:
    """The same effect in a loop and in a code flow."""
    return [looping(tool, name="loop"), flowing(_send, tool, name="flow")]


@pytest.mark.parametrize("effect", ["once", "idempotent"])
async def test_the_intent_is_durable_before_the_effect(effect: Any) -> None:
    """A tool with an effect is entered only when its step is committed."""
    send = _sender(lambda given: "ok", effect)
    async with started(*_agents(send), model=_model()) as process:
        handle = await process.create(agent="flow", mode="background")
        await handle.wait()
        assert len(send.entered) == 1
        with process.gate.held():
            handle = await process.create(agent="flow")
            await asyncio.sleep(0.03)
            assert len(send.entered) == 1
        await handle.wait()
        assert len(send.entered) == 2


async def test_a_read_tool_need_not_wait_for_the_disk() -> None:
    """A tool without an effect is entered while its step is still being written."""
    send = _sender(lambda given: "ok", "read")
    async with started(*_agents(send), model=_model()) as process:
        with process.gate.held():
            handle = await process.create(agent="flow")
            await until(lambda: len(send.entered) == 1)
        await handle.wait()


async def test_an_effect_is_not_entered_when_its_intent_is_lost() -> None:
    """When the disk is full the tool is not called at all."""
    send = _sender(lambda given: "ok")
    async with started(flowing(_send, send)) as process:
        process.gate.fail(StorageFull())
        handle = await process.create()
        with pytest.raises(StorageFull):
            await handle.wait()
        assert send.entered == []


@pytest.mark.parametrize("agent", ["loop", "flow"])
@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1), asyncio.CancelledError("inner")])
async def test_a_once_tool_that_raises_is_unknown(agent: str, error: BaseException) -> None:
    """After a `once` tool was entered and raised, nobody knows: the run waits for a person."""
    send = _sender(_raises(error))
    async with started(*_agents(send), model=_model()) as process:
        view = await process.run(agent=agent)
        assert (view.status, view.reason) == ("waiting", "unknown_effect")
        assert [step.status for step in await process.steps(view.id)][-1] == "unknown"
        assert (await process.types(view.id))[-2:] == ["step.failed", "run.waiting"]


async def test_a_once_tool_that_is_too_slow_is_unknown() -> None:
    """A time-out does not tell whether a `once` tool acted."""
    send = HeldTool("send", effect="once")
    limits = Limits(tool_timeout_s=0.02)
    async with started(looping(send, limits=limits), model=_model()) as process:
        view = await process.run()
        assert (view.status, view.reason) == ("waiting", "unknown_effect")


@pytest.mark.parametrize("agent", ["loop", "flow"])
async def test_not_sent_is_an_ordinary_error(agent: str) -> None:
    """A `once` tool that says nothing was sent has failed, and that is known."""
    send = _sender(_raises(NotSent("no connection")))
    async with started(*_agents(send), model=_model()) as process:
        view = await process.run(agent=agent)
        assert view.status == ("completed" if agent == "loop" else "failed")
        step = (await process.steps(view.id))[1 if agent == "loop" else 0]
        assert step.error is not None
        assert (step.status, step.error.code) == ("failed", "not_sent")


@pytest.mark.parametrize("effect", ["read", "idempotent"])
@pytest.mark.parametrize("error", [ValueError("broken"), InvalidRequest("broken"), StorageFull("broken")])
async def test_a_harmless_tool_that_raises_is_told_to_the_model(effect: Any, error: Exception) -> None:
    """Whatever a read or idempotent tool raises is a result; errors of ours are not taken for the engine's."""
    model = _model()
    async with started(looping(_sender(_raises(error), effect)), model=model) as process:
        view = await process.run()
        assert bytes(view.output) == b'"sent"'
    told = model.requests[1].messages[-1].message
    assert isinstance(told, ToolMessage)
    assert told.content == f"Error: {type(error).__name__}: broken"


async def test_a_tool_may_say_that_its_outcome_is_unknown() -> None:
    """Any tool that raises OutcomeUnknown makes its run wait."""
    async with started(looping(_sender(_raises(OutcomeUnknown("who knows")), "read")), model=_model()) as process:
        view = await process.run()
        assert (view.status, view.reason) == ("waiting", "unknown_effect")


async def test_tools_in_a_group_of_tasks_make_the_run_wait() -> None:
    """A flow that runs tools in a task group waits like any other, and the engine goes on."""

    async def work(context: Context, given: Any) -> Any:
        async with asyncio.TaskGroup() as group:
            for to in given:
                group.create_task(context.lane(to).tool("send", to=to))

    send = _sender(_raises(ValueError("broken")))
    async with started(flowing(work, send), looping(name="other")) as process:
        view = await process.run(["ann", "bob"])
        assert (view.status, view.reason) == ("waiting", "unknown_effect")
        assert (await process.run(agent="other")).status == "completed"


async def _unknown(process: Process, agent: str) -> Any:
    view = await process.run(agent=agent)
    assert view.reason == "unknown_effect"
    return view


class _Once:
    """Raises the first time, and gives a result later."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, arguments: object) -> object:
        self.calls += 1
        if self.calls == 1:
            raise ValueError("lost the connection")
        return "second"


@pytest.mark.parametrize("agent", ["loop", "flow"])
async def test_done_gives_the_result_without_a_call(agent: str) -> None:
    """A person who knows the result gives it; the tool is not called again."""
    send, model = _sender(_Once()), _model()
    async with started(*_agents(send), model=model) as process:
        view = await _unknown(process, agent)
        resolution = Resolution(action="done", result=msgspec.Raw(b'"by hand"'), by="ann", note="saw it")
        await process.runs.resolve(view.id, resolution)
        after = await process.settled(view.id, "completed")
        assert bytes(after.output) == (b'"sent"' if agent == "loop" else b'"by hand"')
        assert len(send.entered) == 1
        assert after.usage.tool_calls == 1
        types = await process.types(view.id)
        assert types[types.index("run.waiting") :][:4] == [
            "run.waiting",
            "run.resumed",
            "step.resolved",
            "step.completed",
        ]
    if agent == "loop":
        told = model.requests[1].messages[-1].message
        assert isinstance(told, ToolMessage)
        assert told.content == "by hand"


@pytest.mark.parametrize("agent", ["loop", "flow"])
async def test_retry_calls_again_with_the_same_key(agent: str) -> None:
    """A person may allow a new attempt: it is the same step, with the same idempotency key."""
    send = _sender(_Once())
    async with started(*_agents(send), model=_model()) as process:
        view = await _unknown(process, agent)
        await process.runs.resolve(view.id, Resolution(action="retry"))
        await process.settled(view.id, "completed")
        assert len(send.entered) == 2
        assert len(set(send.keys)) == 1
        step = (await process.steps(view.id))[1 if agent == "loop" else 0]
        assert (step.attempt, step.status, bytes(step.result)) == (2, "completed", b'"second"')


@pytest.mark.parametrize("agent", ["loop", "flow"])
async def test_fail_ends_the_run(agent: str) -> None:
    """A person who says that it failed ends the run."""
    send = _sender(_Once())
    async with started(*_agents(send), model=_model()) as process:
        view = await _unknown(process, agent)
        await process.runs.resolve(view.id, Resolution(action="fail"))
        after = await process.settled(view.id, "failed")
        assert after.error is not None
        assert after.error.code == "outcome_unknown"
        assert len(send.entered) == 1


async def test_only_what_is_unknown_can_be_resolved() -> None:
    """A resolution names a step that is unknown, of a run that waits for it."""
    send = _sender(_raises(ValueError("broken")))
    model = ScriptedModel(calls(("send", {"n": 1}), ("send", {"n": 2})), "sent", "fine")
    async with started(looping(send), model=model) as process:
        view = await _unknown(process, "agent")
        unknown = [step.seq for step in await process.steps(view.id) if step.status == "unknown"]
        assert len(unknown) == 2
        with pytest.raises(InvalidRequest, match="Say which step"):
            await process.runs.resolve(view.id, Resolution(action="retry"))
        with pytest.raises(InvalidRequest, match="Say which step"):
            await process.runs.resolve(view.id, Resolution(action="retry", step=1))
        with pytest.raises(Conflict, match="resolve it instead"):
            await process.runs.resume(view.id)
        for seq in unknown:
            await process.runs.resolve(view.id, Resolution(action="done", step=seq))
            await process.settled(view.id, "completed", "waiting")
        after = await process.settled(view.id, "completed")
        with pytest.raises(Conflict, match="only a run that waits"):
            await process.runs.resolve(after.id, Resolution(action="retry"))


async def test_the_key_of_a_call_is_its_own() -> None:
    """Equal calls of one run, and calls of two runs, have keys of their own."""

    async def work(context: Context, given: Any) -> Any:
        for lane in (context, context, context.lane("side")):
            await lane.tool("send", to="ann")

    send = _sender(lambda given: None, "idempotent")
    async with started(flowing(work, send)) as process:
        await process.run()
        await process.run()
    assert len(set(send.keys)) == 6


async def test_a_late_outcome_resolves_its_step() -> None:
    """A `once` tool that answers after its time-out tells what became of it, and the run goes on by itself."""
    send = HeldTool("send", "late result", effect="once")
    model = _model()
    async with started(looping(send, limits=Limits(tool_timeout_s=0.02)), model=model) as process:
        view = await process.run()
        assert view.reason == "unknown_effect"
        send.go.set()
        after = await process.settled(view.id, "completed")
        assert bytes(after.output) == b'"sent"'
        assert len(send.entered) == 1
    told = model.requests[1].messages[-1].message
    assert isinstance(told, ToolMessage)
    assert told.content == "late result"


async def test_a_late_outcome_of_a_flow_resolves_its_step() -> None:
    """The same in a code flow: it runs again, and its step is answered."""
    send = HeldTool("send", "late result", effect="once")
    async with started(flowing(_send, send, limits=Limits(tool_timeout_s=0.02))) as process:
        view = await process.run()
        assert view.reason == "unknown_effect"
        send.go.set()
        after = await process.settled(view.id, "completed")
        assert bytes(after.output) == b'"late result"'
        assert len(send.entered) == 1


async def test_an_outcome_that_comes_while_a_flow_unwinds_is_not_missed() -> None:
    """A flow that takes its time to give up still goes on when the outcome came meanwhile."""
    send = HeldTool("send", "late result", effect="once")

    async def work(context: Context, given: Any) -> Any:
        try:
            return await context.tool("send", to="ann")
        finally:
            if not send.go.is_set():
                send.go.set()
                await until(lambda: bool(send.entered))
                await asyncio.sleep(0.01)

    async with started(flowing(work, send, limits=Limits(tool_timeout_s=0.02))) as process:
        handle = await process.create()
        after = await process.settled(handle.run_id, "completed")
        assert bytes(after.output) == b'"late result"'


async def test_a_late_error_leaves_the_step_unknown() -> None:
    """An error that comes after the time-out says no more than the time-out did."""
    send = HeldTool("send", object(), effect="once")
    async with started(looping(send, limits=Limits(tool_timeout_s=0.02)), model=_model()) as process:
        view = await process.run()
        send.go.set()
        await until(lambda: bool(send.entered))
        await asyncio.sleep(0.01)
        assert (await process.runs.get(view.id)).status == "waiting"


async def test_a_late_outcome_of_a_run_that_others_took_is_dropped(stores: Stores) -> None:
    """Once a person resolved the step, the late outcome changes nothing."""
    send = HeldTool("send", "late result", effect="once")
    async with started(looping(send, limits=Limits(tool_timeout_s=0.02)), model=_model(), stores=stores) as process:
        view = await process.run()
        await process.runs.resolve(view.id, Resolution(action="done", result=msgspec.Raw(b'"by hand"')))
        await process.settled(view.id, "completed")
        before = await process.types(view.id)
        send.go.set()
        await until(lambda: bool(send.entered))
        await asyncio.sleep(0.01)
        assert await process.types(view.id) == before


async def test_errors_of_taped_steps_are_raised_again(stores: Stores) -> None:
    """A flow that runs again gets the same error from its failed step, without a call."""
    seen: list[str] = []
    held = HeldTool("held")

    async def work(context: Context, given: Any) -> Any:
        try:
            await context.tool("send", to="ann")
        except RunwrightError as error:
            seen.append(f"{error.code}: {error.message}")
        return await context.tool("held")

    send = _sender(_raises(ValueError("broken")), "read")
    async with started(flowing(work, send, held), stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await process.journal.heal()
        await until(lambda: process.journal.depth == 0)
        await process.crash()
    held.go.set()
    async with started(flowing(work, send, held), stores=stores) as process:
        await process.settled(handle.run_id, "completed")
    assert seen == ["tool_failed: ValueError: broken"] * 2
    assert len(send.entered) == 1


class Spending(HeldTool):
    """A tool that spends before it waits."""

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Spend seven characters."""
        context.spent("acme:voice", characters=7)
        return await super().call(arguments, context)


@pytest.mark.parametrize(("effect", "charged"), [("read", 14), ("idempotent", 7)])
async def test_what_a_crashed_attempt_spent(stores: Stores, effect: Any, charged: int) -> None:
    """A `read` tool that begins again has spent twice; an `idempotent` one once, because it sends the same key."""
    held = Spending("send", effect=effect)
    async with started(flowing(_send, held), stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await until(lambda: process.journal.depth == 0)
        await process.crash()
    held.go.set()
    async with started(flowing(_send, held), stores=stores) as process:
        view = await process.settled(handle.run_id, "completed")
        (step,) = await process.steps(handle.run_id)
    assert [each.cost.usd for each in (view, step)] == [f"0.0000000{charged:02}"] * 2


@pytest.mark.parametrize("effect", ["read", "once"])
async def test_what_a_cancelled_tool_spent(effect: Any) -> None:
    """A run that is cancelled while a tool is at work has spent what that said by then."""
    held = Spending("send", effect=effect)
    async with started(flowing(_send, held)) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await process.runs.cancel(handle.run_id)
        held.go.set()
        await process.settled(handle.run_id, "cancelled")
        await until(lambda: process.journal.depth == 0)
        (step,) = await process.steps(handle.run_id)
    assert step.cost.usd == "0.000000007"
