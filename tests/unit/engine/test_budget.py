"""Budgets in runs: at the limit a run fails, or waits and goes on where it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from runwright.core.agent import Limits
from runwright.core.budget import Allowance, Payer, Raise, Spend, allowances, parse_account
from runwright.core.context import Context
from runwright.core.event import GuardDecided, RunWaiting
from runwright.core.model import ModelEvent, ModelRequest, ResponseCompleted
from runwright.core.policy import Budget, Guard, ScopedBudget
from runwright.core.ports import Clock
from runwright.engine.estimate import expected_usage
from runwright.errors import LimitExceeded
from runwright.guard import GuardSettings
from runwright.store import Stores
from runwright.testing import FakeClock, ScriptedModel, ScriptedTool
from runwright.testing import calls as calling
from tests.unit.engine.harness import QUICK, HeldModel, HeldTool, Process, flowing, looping, started, until

pytestmark = pytest.mark.anyio


def bounded(*budgets: Budget) -> GuardSettings:
    """Budgets of the app."""
    return GuardSettings(app=Guard(budget=budgets))


async def raised(process: Process, account: str, *, calls: int) -> None:
    """Raise an account, as any process can."""
    given = Raise(account=account, calls=calls, at=FakeClock().now())
    await asyncio.to_thread(process.stores.budgets.put, given)


async def spent(process: Process, account: str, budget: Budget) -> Spend:
    """What was spent of an account."""
    standing = await process.ledger.standing(Allowance(parse_account(account), budget))
    assert standing.reserved == Spend(calls=0)
    return standing.spent


async def decisions(process: Process, run_id: str) -> list[str]:
    """What the guard decided in a run."""
    story = [event.data for event in await process.story(run_id)]
    return [f"{data.layer} {data.action}" for data in story if isinstance(data, GuardDecided)]


async def test_a_run_fails_at_its_limit() -> None:
    """A model call that its budget does not allow is not sent; the run fails with the code of that."""
    tool = ScriptedTool("look", lambda given: "seen")
    model = ScriptedModel(calling(("look", {})), "never asked")
    async with started(looping(tool), model=model, policies=bounded(Budget(calls=2))) as process:
        view = await process.run()
        assert view.error is not None
        assert (view.status, view.error.code) == ("failed", "budget_exceeded")
        assert len(model.requests) == len(tool.entered) == 1
        assert await decisions(process, view.id) == ["budget refused"]


async def test_a_tool_at_the_limit_ends_the_run() -> None:
    """A tool call that a budget does not allow ends the run: the model is not told, because that would cost."""
    tool = ScriptedTool("look", lambda given: "seen", effect="once")
    model = ScriptedModel(calling(("look", {})), "never asked")
    async with started(looping(tool), model=model, policies=bounded(Budget(calls=1))) as process:
        view = await process.run()
        assert view.error is not None
        assert (view.status, view.error.code) == ("failed", "budget_exceeded")
        assert len(model.requests) == 1
        assert tool.entered == []


@pytest.mark.parametrize("effect", ["read", "idempotent", "once"])
async def test_a_run_waits_and_goes_on(effect: Any) -> None:
    """A run that waits goes on when its budget is raised, and nothing that finished is done again."""
    look, send = ScriptedTool("look", lambda given: "seen"), ScriptedTool("send", lambda given: "sent", effect=effect)
    model = ScriptedModel(calling(("look", {})), calling(("send", {})), "done")
    waiting = bounded(Budget(calls=3, at_limit="wait"))
    async with started(looping(look, send), model=model, policies=waiting) as process:
        view = await process.run()
        assert (view.status, view.reason) == ("waiting", "budget")
        assert send.entered == []
        story = await process.story(view.id)
        (wait,) = [event.data for event in story if isinstance(event.data, RunWaiting)]
        assert wait.shortage is not None
        account = f"app run:{view.id}"
        assert (wait.shortage.account, wait.shortage.unit, wait.shortage.limit) == (account, "calls", 3)
        assert account in wait.detail
        await raised(process, account, calls=5)
        view = await process.settled(view.id, "completed")
        assert len(model.requests) == 3
        assert len(look.entered) == len(send.entered) == 1
        assert (await process.types(view.id)).count("step.held") == 1
        assert await spent(process, account, Budget(calls=3)) == Spend(view.usage.total_tokens, 0, 5)


async def test_others_come_to_their_end_first() -> None:
    """Of tools side by side, those that the budget allows are done before the run waits."""
    send = ScriptedTool("send", lambda given: "sent", effect="once", delay_s=0.05)
    model = ScriptedModel(calling(("send", {"to": 1}), ("send", {"to": 2}), ("send", {"to": 3})), "done")
    async with started(looping(send), model=model, policies=bounded(Budget(calls=3, at_limit="wait"))) as process:
        view = await process.run()
        assert (view.status, view.reason) == ("waiting", "budget")
        assert sorted(step.status for step in await process.steps(view.id)) == ["completed"] * 3 + ["running"]
        await raised(process, f"app run:{view.id}", calls=9)
        await process.settled(view.id, "completed")
        assert sorted(str(given["to"]) for given in send.entered) == ["1", "2", "3"]


async def _side_by_side(context: Context, given: Any) -> Any:
    names = await asyncio.gather(*(context.tool("send", to=number) for number in range(3)))
    answer = await context.model("done?")
    return [*names, answer.message.content]


async def test_a_flow_waits_and_goes_on() -> None:
    """A code flow waits when none of its branches gets further, and goes on without doing anything again."""
    send = ScriptedTool("send", lambda given: given["to"], effect="once", delay_s=0.05)
    waiting = bounded(Budget(calls=2, at_limit="wait"))
    async with started(flowing(_side_by_side, send), model=ScriptedModel("yes"), policies=waiting) as process:
        view = await process.run()
        assert (view.status, view.reason) == ("waiting", "budget")
        await raised(process, f"app run:{view.id}", calls=3)
        await until(lambda: len(send.entered) == 3)
        view = await process.settled(view.id, "waiting")
        await raised(process, f"app run:{view.id}", calls=4)
        view = await process.settled(view.id, "completed")
        assert bytes(view.output) == b'[0,1,2,"yes"]'
        assert len(send.entered) == 3


async def test_a_waiting_run_is_cancelled() -> None:
    """A run that waits for a budget can be cancelled, and nobody doubts a tool that was never entered."""
    send = ScriptedTool("send", lambda given: "sent", effect="once")
    waiting = bounded(Budget(calls=1, at_limit="wait"))
    async with started(looping(send), model=ScriptedModel(calling(("send", {}))), policies=waiting) as process:
        view = await process.run()
        view = await process.runs.cancel(view.id)
        assert view.status == "cancelled"
        assert [step.status for step in await process.steps(view.id)] == ["completed", "failed"]


class Sliding(FakeClock):
    """A clock that stands still for everybody but who moves it."""


async def test_goes_on_in_the_next_window() -> None:
    """A run that waits for a budget of the day goes on the day after."""
    clock: Clock = (moving := Sliding())
    waiting = bounded(Budget(calls=1, per="day", at_limit="wait"))
    async with started(looping(), model=ScriptedModel("one", "two"), policies=waiting, clock=clock) as process:
        assert (await process.run()).status == "completed"
        view = await process.run()
        assert (view.status, view.reason) == ("waiting", "budget")
        moving.advance(86_400)
        await process.settled(view.id, "completed")


@asynccontextmanager
async def processes(stores: Stores, *budgets: Budget) -> AsyncGenerator[Process]:
    """One process after the other over the same store."""
    async with started(looping(), model=ScriptedModel("done"), stores=stores, policies=bounded(*budgets)) as process:
        yield process


async def test_spending_survives_the_process(stores: Stores) -> None:
    """What was spent in a window counts after a restart, also after a crash."""
    budget = Budget(calls=2, per="day")
    for _ in range(2):
        async with processes(stores, budget) as process:
            assert (await process.run(user="ada")).status == "completed"
            await process.crash()
    async with processes(stores, budget) as process:
        assert (await process.run(user="ada")).status == "failed"


@pytest.mark.parametrize("per", ["thread", "group", "user"])
async def test_windows_of_runs(per: Any, stores: Stores) -> None:
    """Runs of a thread, group or user share an account, and others have their own."""
    budget = Budget(calls=1, per=per)
    name = "thread_id" if per == "thread" else per
    async with processes(stores, budget) as process:
        assert (await process.run(**{name: "thr_a"})).status == "completed"
    async with processes(stores, budget) as process:
        assert (await process.run(**{name: "thr_a"})).status == "failed"
        assert (await process.run(**{name: "thr_b"})).status == "completed"


async def test_what_tools_spend_counts() -> None:
    """What a tool says that it spent counts towards budgets in USD; the call after that is refused."""

    async def search(context: Context, given: Any) -> Any:
        return await context.tool("search")

    class Searching(ScriptedTool):
        async def call(self, arguments: Any, context: Context) -> bytes:
            context.spent("tavily:search", requests=5)
            return await super().call(arguments, context)

    tool = Searching("search", lambda given: "found")
    budget = Budget(usd="0.000000008", per="user")
    async with started(flowing(search, tool), policies=bounded(budget)) as process:
        assert [(await process.run(user="ada")).status for _ in range(3)] == ["completed", "completed", "failed"]
        assert (await spent(process, "app user:ada", budget)).nano_usd == 10


class FullModel(ScriptedModel):
    """A model that uses all that may be reserved for its calls, and takes its time."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Answer at the greatest length."""
        async for event in super().stream(request):
            await asyncio.sleep(0)
            if isinstance(event, ResponseCompleted):
                yield ResponseCompleted(replace(event.response, usage=expected_usage(request)))
            else:
                yield event


async def test_calls_side_by_side_never_overrun_the_tokens_of_a_run() -> None:
    """Of 100 calls of a flow at once as many are sent as `limits.tokens` has room for; the others are told why not."""

    async def flow(context: Context, _: object) -> object:
        asked = (context.model("a question") for _ in range(100))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert all(isinstance(error, LimitExceeded) for error in refused)
        return [str(error) for error in refused]

    model = FullModel(by=lambda _: "an answer")
    async with started(flowing(flow, limits=Limits(tokens=10_500, steps=200)), model=model) as process:
        view = await process.run()
        assert view.status == "completed"
        assert (len(model.requests), view.usage.total_tokens) == (10, 10_340)
        told = msgspec.json.decode(bytes(view.output), type=list[str])
        limit = (
            f"{view.id} and the runs below it used 10340 tokens of 10500, and this call may use 1034; "
            "raise limits.tokens, or lower max_tokens."
        )
        assert told == [limit] * 90
        assert await decisions(process, view.id) == ["budget refused"] * 90
        assert (await process.ledger.standing(_of_run(view.id))).spent.tokens == 10_340


def _of_run(run_id: str) -> Allowance:
    return Allowance(parse_account(f"limits tree:{run_id}"), Budget(tokens=10_500))


async def test_a_loop_fails_at_its_limit_of_tokens() -> None:
    """A loop whose next call may use more than `limits.tokens` has left fails, and says what to raise."""
    tool = ScriptedTool("look", lambda given: "seen")
    model = FullModel(calling(("look", {})), "never asked")
    async with started(looping(tool, limits=Limits(tokens=1100)), model=model) as process:
        view = await process.run()
        assert view.error is not None
        assert (view.status, view.error.code, len(model.requests)) == ("failed", "limit_exceeded", 1)
        assert view.error.message.endswith("raise limits.tokens, or lower max_tokens.")


async def test_a_run_that_goes_on_has_the_tokens_that_are_left(stores: Stores) -> None:
    """What a run used before its process died counts towards `limits.tokens` after it."""
    held = HeldTool("held")
    model = FullModel(calling(("held", {})), "too much")
    agent = looping(held, limits=Limits(tokens=1100))
    async with started(agent, model=model, stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        # A tool that reads is entered while what came before it is written.
        await until(lambda: process.journal.depth == 0)
        await process.crash()
    held.go.set()
    async with started(agent, model=model, stores=stores) as process:
        view = await process.settled(handle.run_id, "failed")
        assert view.error is not None
        assert (view.error.code, len(model.requests)) == ("limit_exceeded", 1)


async def test_a_call_that_was_under_way_at_a_crash_counts_as_what_it_may_use(stores: Stores) -> None:
    """A call that nobody knows the end of counts towards a budget of the day after a restart, until that is known."""
    budget = Budget(tokens=1500, calls=9, per="day")
    model = HeldModel("done")
    limits, clock = bounded(budget), FakeClock()
    async with started(looping(), model=model, stores=stores, policies=limits, clock=clock) as process:
        handle = await process.create()
        await model.is_entered.wait()
        await process.runs.get(handle.run_id)
        await until(lambda: bool(process.gate.commits))
        await process.crash()
    idle = replace(QUICK, is_adopting=False)
    async with started(
        looping(), model=ScriptedModel("no"), stores=stores, policies=limits, clock=clock, options=idle
    ) as process:
        standing = await process.ledger.standing(_of_day(budget))
        assert (standing.spent, standing.reserved) == (Spend(calls=0), Spend(1032))
        view = await process.run()
        assert view.error is not None
        assert view.error.code == "budget_exceeded"
    async with started(looping(), model=ScriptedModel("done"), stores=stores, policies=limits, clock=clock) as process:
        assert (await process.settled(handle.run_id, "completed")).usage.total_tokens == 3
        assert await spent(process, _of_day(budget).account.name, budget) == Spend(3, 0, 2)


def _of_day(budget: Budget) -> Allowance:
    (allowance,) = allowances((ScopedBudget(budget, "app"),), Payer(), FakeClock().now())
    return allowance
