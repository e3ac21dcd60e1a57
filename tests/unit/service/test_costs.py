"""What callers can ask about costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runwright import Agent, App, Context, tool
from runwright.app import AppOptions
from runwright.core.cost import CallOrder
from runwright.core.money import NANO
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import ConfigError, InvalidRequest, NotFound, ToolFailed
from runwright.models import ModelRegistry
from runwright.service.call_views import CallQuery, CallView
from runwright.service.costs import moment
from runwright.service.stat_views import StatQuery
from runwright.service.views import CostQuery
from runwright.settings import Settings

IN_MEMORY = AppOptions(is_in_memory=True)
PRICES = '[[price]]\nmodels = ["demo:*"]\ninput_tokens = 0.3\noutput_tokens = 1.7\n'
DOUBLED = '[[price]]\nmodels = ["demo:*"]\ninput_tokens = 0.6\noutput_tokens = 3.4\n'


async def twice(text: str, context: Context) -> str:
    """Ask twice, of two models."""
    first = await context.model(text, model="demo")
    second = await context.model(text, model="demo:slow")
    return f"{first.message.content}{second.message.content}"


@tool(effect="read")
def speak(text: str, context: Context) -> str:
    """Speak, in a thread: paid for by the character. Some texts are too hard."""
    context.spent("elevenlabs:eleven_v3", characters=len(text))
    if text == "hard":
        raise ValueError("cannot say that")
    return "said"


@tool(effect="read")
async def listen(text: str, context: Context) -> str:
    """Listen to what nobody knows the price of."""
    context.spent("acme:ears", audio_seconds=Decimal("1.5"), requests=1)
    return text


async def talk(text: str, context: Context) -> str:
    """Speak, fail at it, and listen if asked to."""
    await context.tool(speak, text=text)
    with suppress(ToolFailed):
        await context.tool(speak, text="hard")
    return await context.tool(listen, text=text) if text == "listen" else "done"


@tool(effect="read")
def wrong(context: Context) -> str:
    """Say it wrongly."""
    context.spent("elevenlabs:eleven_v3", letters=1)
    return "never"


async def misused(text: str, context: Context) -> str:
    """Spend outside of a tool, or wrongly within one."""
    if text == "wrong":
        return await context.tool(wrong)
    context.spent("elevenlabs:eleven_v3", characters=1)
    return "never"


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[App]:
    """An App in memory whose demo model costs what a file says."""
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    settings = Settings(model="demo", prices=path, drain_s=0)
    flows = {"twice": twice, "talk": talk, "misused": misused}
    agents = (Agent("support", model="demo"), *(Agent(name, run=run, model="demo") for name, run in flows.items()))
    async with App(settings, agents=agents, models=ModelRegistry(default="demo"), options=IN_MEMORY) as app:
        yield app


def nano(usd: str | None) -> int:
    """A decimal string in nano-USD."""
    whole, _, rest = (usd or "").partition(".")
    return int(whole) * NANO + int((rest + "0" * 9)[:9])


async def test_lines_steps_run_and_report_agree(opened: App) -> None:
    """The lines of a run add up to its steps, its steps to the run, and the runs to the report, to the nano."""
    one = await opened.run("support", "hello there")
    two = await opened.run("twice", "what do you cost?", group="g")
    costs = [await opened.costs.run(view.id) for view in (one, two)]
    for view, cost in zip((one, two), costs, strict=True):
        assert cost.cost == view.cost
        for step in cost.steps:
            assert sum(nano(line.amount_usd) for line in step.lines) == nano(step.cost.usd) > 0
            assert [line.source for line in step.lines] == ["override", "override"]
        assert sum(nano(step.cost.usd) for step in cost.steps) == nano(view.cost.usd)
    report = await opened.costs.report(CostQuery(by="model"))
    assert [group.key for group in report.data] == ["demo", "demo:slow"]
    assert nano(report.total.usd) == sum(nano(view.cost.usd) for view in (one, two))
    assert (report.total.calls, report.total.unpriced_calls, report.total.what_if) == (3, 0, None)
    assert report.total.usage.output_tokens == one.usage.output_tokens + two.usage.output_tokens


async def test_the_same_calls_at_other_prices(opened: App) -> None:
    """Other prices are asked of the same record, which stays as it is."""
    view = await opened.run("support", "hello there")
    report = await opened.costs.report(CostQuery(by="agent", prices=DOUBLED))
    what_if = report.total.what_if
    assert what_if is not None
    assert nano(what_if.usd) == 2 * nano(view.cost.usd)
    assert nano(what_if.difference_usd) == nano(view.cost.usd)
    assert report.total.usd == view.cost.usd == (await opened.runs.get(view.id)).cost.usd


async def test_the_same_calls_on_another_model(opened: App) -> None:
    """A model that has a price is compared; one that has none leaves the calls unpriced, and is never guessed."""
    await opened.run("twice", "hello there", group="g")
    known = await opened.costs.report(CostQuery(by="group", on_model="mistralai:mistral-large-latest"))
    assert [(group.key, group.what_if is not None) for group in known.data] == [("g", True)]
    usage, what_if = known.total.usage, known.total.what_if
    assert what_if is not None
    assert nano(what_if.usd) == 500 * usage.input_tokens + 1500 * usage.output_tokens
    unknown = (await opened.costs.report(CostQuery(on_model="acme:large"))).total.what_if
    assert unknown is not None
    assert (unknown.usd, unknown.unpriced_calls, unknown.difference_usd) == (None, 2, "0")


async def test_what_tools_spend_counts(opened: App) -> None:
    """A tool's spending is a line of its step, of the run and of all sums, also where the tool failed after it."""
    view = await opened.run("talk", "hi there")
    cost = await opened.costs.run(view.id)
    lines = [(step.name, line.ref, line.quantity, line.amount_usd) for step in cost.steps for line in step.lines]
    assert lines == [
        ("speak", "elevenlabs:eleven_v3", 8, "0.00064"),
        ("speak", "elevenlabs:eleven_v3", 4, "0.00032"),
    ]
    assert [step.cost.source for step in cost.steps] == ["overlay", "overlay"]
    assert view.cost.usd == cost.cost.usd == "0.00096"
    rolled = (await opened.costs.report(CostQuery(by="model"))).data
    scanned = (await opened.costs.report(CostQuery(by="agent", since="2026-01-01T00:30:00"))).data
    assert [(row.key, row.calls, row.usd) for row in (*rolled, *scanned)] == [
        ("speak", 2, "0.00096"),
        ("talk", 2, "0.00096"),
    ]
    what_if = (await opened.costs.report(CostQuery(on_model="acme:large"))).total.what_if
    assert what_if is not None
    assert (what_if.usd, what_if.unpriced_calls, what_if.difference_usd) == ("0.00096", 0, "0")


async def test_what_nobody_knows_the_price_of_is_said(opened: App) -> None:
    """Spending without a price is unpriced, with what was used of which unit; it makes its run unpriced."""
    view = await opened.run("talk", "listen")
    step = (await opened.costs.run(view.id)).steps[-1]
    assert (view.cost.usd, step.name, step.cost.usd, step.cost.source) == (None, "listen", None, "unpriced")
    assert [(line.ref, line.unit, line.quantity, line.amount_usd) for line in step.lines] == [
        ("acme:ears", "audio_seconds", Decimal("1.5"), None),
        ("acme:ears", "requests", 1, None),
    ]
    assert (await opened.costs.report(CostQuery())).total.unpriced_calls == 1


async def test_a_replay_spends_nothing_again(opened: App) -> None:
    """What tools spent shows as taped in a replay, and counts in no sum twice."""
    first = await opened.run("talk", "hi there")
    replay = RunRequest(agent="", input=b"", replay=Replay(of=first.id))
    replayed = await (await opened.runs.create(replay)).wait()
    assert (replayed.status, replayed.cost.usd) == ("completed", "0")
    steps = (await opened.costs.run(replayed.id)).steps
    assert [(step.name, step.cost.usd, step.is_taped) for step in steps] == [
        ("speak", "0.00064", True),
        ("speak", "0.00032", True),
    ]
    assert (await opened.costs.report(CostQuery())).total.usd == "0.00096"


async def test_what_was_spent_elsewhere_is_in_no_sum(opened: App) -> None:
    """An imported run shows what it cost, marked as imported, and counts in neither costs nor stats here."""
    first = await opened.run("talk", "hi there", group="g")
    file = await opened.exports.export(first.id)
    options = AppOptions(is_in_memory=True, is_offline=True)
    settings, agents = Settings(model="demo", drain_s=0), (Agent("talk", run=talk),)
    async with await asyncio.to_thread(lambda: App(settings, agents=agents, options=options)) as other:
        view = await other.exports.import_file(file)
        assert (view.cost.usd, view.cost.source) == ("0.00096", "imported")
        assert [step.cost.source for step in (await other.costs.run(view.id)).steps] == ["overlay", "overlay"]
        for by in ("model", "group"):
            assert (await other.costs.report(CostQuery(by=by))).total.calls == 0
        assert (await other.stats.report(StatQuery(kind="tool"))).total.calls == 0
        again = await (await other.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=view.id)))).wait()
        diff = await other.diffs.between(view.id, again.id)
        assert (diff.is_same, diff.delta.nano_usd, again.cost.source) == (True, 0, "none")


@pytest.mark.parametrize(("text", "told"), [("wrong", "no unit 'letters'"), ("flow", "Only a tool says")])
async def test_spending_said_wrongly_is_told(opened: App, text: str, told: str) -> None:
    """A unit that is none fails the tool; a code flow is told to spend in tools."""
    view = await opened.run("misused", text)
    assert view.error is not None
    assert told in view.error.message


@pytest.mark.parametrize("order", ["dearest", "newest"])
async def test_calls_add_up_to_the_sums(opened: App, order: CallOrder) -> None:
    """Page by page, the calls are those of the report: what they cost, what is unpriced, and what tools spent."""
    await opened.run("twice", "a", group="g")
    await opened.run("talk", "listen")
    report = await opened.costs.report(CostQuery(by="group"))
    asked = (CallQuery(without="group", order=order, limit=1), CallQuery(group="g", order=order, limit=1))
    for sums, query in zip(report.data, asked, strict=True):
        calls: list[CallView] = []
        page = None
        while page is None or page.has_more:
            page = await opened.costs.calls(replace(query, after=None if page is None else page.next))
            calls += page.data
        assert len(calls) == sums.calls
        assert sum(nano(call.cost.usd) for call in calls if call.cost.usd) == nano(sums.usd)
        assert sum(call.cost.usd is None for call in calls) == sums.unpriced_calls


async def test_nothing_recorded_costs_nothing(opened: App) -> None:
    """Without calls the report is empty and its total zero."""
    report = await opened.costs.report(CostQuery(since="30d"))
    assert (report.data, report.total.calls, report.total.usd) == ([], 0, "0")


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"since": "yesterday"}, "/since"),
        ({"until": "99999x"}, "/until"),
        ({"on_model": "gpt-5"}, "/on_model"),
        ({"prices": "[[price]]\nmodels = 5"}, "/prices"),
    ],
    ids=["since", "until", "model", "prices"],
)
async def test_a_mistake_is_told_with_its_place(opened: App, query: dict[str, Any], place: str) -> None:
    """What cannot be read is the caller's mistake."""
    with pytest.raises(InvalidRequest) as caught:
        await opened.costs.report(CostQuery(**query))
    assert caught.value.problems[0][0] == place


async def test_an_unknown_run_has_no_cost(opened: App) -> None:
    """A run that is not there is not found."""
    with pytest.raises(NotFound):
        await opened.costs.run("run_none")


async def test_a_broken_file_of_prices_stops_the_start(tmp_path: Path) -> None:
    """Prices that cannot be read are told when the process starts, not at the first call."""
    path = tmp_path / "prices.toml"
    path.write_text("[[price]]\n")
    with pytest.raises(ConfigError, match="prices"):
        async with App(Settings(prices=path), models=ModelRegistry(default="demo"), options=IN_MEMORY):
            pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:00:00+02:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("12h", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("30d", datetime(2026, 10, 22, tzinfo=UTC)),
        ("2w", datetime(2026, 11, 7, tzinfo=UTC)),
        (None, None),
    ],
    ids=["day", "time", "hours", "days", "weeks", "none"],
)
def test_times_are_days_or_how_long_ago(text: str | None, expected: datetime | None) -> None:
    """A day begins in UTC; an age is counted back from now."""
    assert moment("since", text, datetime(2026, 11, 21, tzinfo=UTC)) == expected
