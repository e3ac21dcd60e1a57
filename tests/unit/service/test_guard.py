"""How calls fare with resends, and the state of targets."""

from datetime import UTC, datetime

import msgspec
import pytest

from runwright import Agent, App, Budget, Context, Guard, Retry, tool
from runwright.app import AppOptions
from runwright.guard import Backoff
from runwright.models import ModelRegistry
from runwright.service.guard import GuardQuery, GuardReport, Operation
from runwright.settings import Settings

AT_ONCE = Guard(retry=Retry(attempts=3, backoff=Backoff(base_s=0.001, jitter="none")), breaker=False)


def flaky(failures: int) -> object:
    """A tool that fails so many times before it works."""
    left = [failures]

    @tool(effect="read", name=f"flaky_{failures}", guard=AT_ONCE)
    async def look() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise ConnectionError("away")
        return "ok"

    return look


async def use(name: str, context: Context) -> None:
    """Use a tool, whatever comes of it."""
    await context.tool(name)


async def reported(query: GuardQuery) -> GuardReport:
    """The report on three tools: one works, one works after a resend, one never does."""
    tools = [flaky(0), flaky(1), flaky(9)]
    agent = Agent("a", run=use, tools=tools)  # pyright: ignore[reportArgumentType] - made by @tool
    options = AppOptions(is_in_memory=True, is_offline=True)
    async with App(Settings(), agents=[agent], models=ModelRegistry(default="demo"), options=options) as app:
        for name in ("flaky_0", "flaky_0", "flaky_1", "flaky_9"):
            await app.run("a", name)
        return await app.guard.report(query)


async def test_the_seven_figures_are_counted_by_target() -> None:
    """Attempts, ends and ends after resends are counted by target and in all, with both rates."""
    report = await reported(GuardQuery())
    assert [(each.target, each.attempts, each.successes, each.failures) for each in report.data] == [
        ("flaky_0", 2, 2, 0),
        ("flaky_1", 2, 1, 0),
        ("flaky_9", 3, 0, 1),
    ]
    assert report.total == Operation(
        kind=None,
        target=None,
        attempts=7,
        successes=3,
        failures=1,
        retried_successes=1,
        retried_failures=1,
        success_rate=0.75,
        retry_success_rate=0.5,
    )


async def test_one_target_can_be_asked_for() -> None:
    """Of one target its figures and its states are given, and no others."""
    report = await reported(GuardQuery(target="flaky_9", since=None))
    assert [each.target for each in report.data] == ["flaky_9"]
    assert [(each.layer, each.target, each.state) for each in report.live if each.layer == "retry"] == [
        ("retry", "flaky_9", "in use")
    ]
    assert msgspec.json.decode(msgspec.json.encode(report), type=GuardReport) == report


async def test_what_began_before_is_left_out() -> None:
    """Calls that began before `since` are not counted, and rates of nothing are none."""
    report = await reported(GuardQuery(since=f"{datetime.now(UTC).year + 1}-01-01"))
    assert (report.data, report.total.attempts, report.total.success_rate) == ([], 0, None)


@pytest.mark.parametrize("query", [GuardQuery(target="nothing")])
async def test_an_unknown_target_has_no_figures(query: GuardQuery) -> None:
    """A target that was never called has no row."""
    report = await reported(query)
    assert (report.data, report.live) == ([], [])


async def test_budgets_stand_in_the_report_and_in_metrics() -> None:
    """What is reserved, spent and left of each budget is told, in the report as in metrics."""
    told: list[tuple[object, ...]] = []
    at_work: list[GuardReport] = []
    apps: list[App] = []

    @tool(effect="read", name="look")
    async def look() -> str:
        at_work.append(await apps[0].guard.report(GuardQuery()))
        states = await apps[0].budgets.levels()
        told.extend((each.scope, each.per, each.reserved, each.spent, each.left) for each in states)
        return "seen"

    budgets = (Budget(calls=5, per="day"), Budget(calls=3, per="run"))
    agent = Agent("a", run=use, tools=[look], guard=Guard(budget=budgets))
    options = AppOptions(is_in_memory=True, is_offline=True)
    async with App(Settings(), agents=[agent], models=ModelRegistry(default="demo"), options=options) as app:
        apps.append(app)
        await app.run("a", "look")
        after = await app.guard.report(GuardQuery())
        other = await app.guard.report(GuardQuery(target="look"))
    assert told == [("agent:a", "day", 1, 0, 4), ("agent:a", "run", 1, None, None)]
    figures = [(each.limit, each.reserved, each.spent, each.left) for each in (*at_work[0].budgets, *after.budgets)]
    assert figures == [(5, 1, 0, 4), (3, 1, 0, 2), (5, 0, 1, 4)]
    assert other.budgets == []
