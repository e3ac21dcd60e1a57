"""What callers can ask about what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from runwright.core.histogram import one
from runwright.core.run import ErrorInfo
from runwright.core.stats import CallerBy, CallerRows, FailedRun, FailedRuns, OutcomeRow, StatBy, StatFilter, StatRow
from runwright.errors import InvalidRequest
from runwright.service.error_views import ErrorQuery
from runwright.service.stat_views import StatQuery
from runwright.service.stats import Stats
from runwright.testing import FakeClock

NOW = datetime(2026, 11, 21, 19, 30, tzinfo=UTC)
TEMPLATES = {"a": "chain", "quiet": "chain", "c": "task"}


class FakeStats:
    """Two rows; what was asked stands in `asked`."""

    def __init__(self) -> None:
        self.asked: list[tuple[StatBy, StatFilter]] = []

    def totals(self, by: StatBy, where: StatFilter) -> list[StatRow]:
        """A fast row that is unpriced, and a slow one that cost something."""
        self.asked.append((by, where))
        fast = StatRow(key="a", calls=3, errors=1, unpriced=3, nano_usd=0, latency=3 * one(1_000))
        slow = StatRow(key="b", calls=1, errors=0, unpriced=0, nano_usd=5_000_000, latency=one(9_000_000))
        return [fast, slow]

    def callers(self, by: CallerBy, where: StatFilter, *, limit: int) -> CallerRows:
        """Runs of a user and of nobody, of which older ones are left out for who asks for a group."""
        assert limit == 10_000
        nobody = StatRow(key=None, calls=2, errors=0, unpriced=0, nano_usd=1, latency=one(1_000))
        somebody = msgspec.structs.replace(nobody, key="eva", errors=1)
        return CallerRows(rows=[nobody, somebody], cut=NOW if by == "group" else None)

    def failed(self, where: StatFilter, *, limit: int) -> FailedRuns:
        """So many runs that failed of 201 faults; older ones are left out for an agent."""
        self.asked.append(("agent", where))
        words = [chr(ord("a") + number // 26) + chr(ord("a") + number % 26) for number in range(201)]
        made = [ErrorInfo(code="timeout" if word == "aa" else "tool_failed", message=word) for word in words]
        runs = [FailedRun(id="run_1", agent="a", version="1.0.0", at=NOW, error=error) for error in made]
        return FailedRuns(runs=runs, cut=NOW if where.agents else None)

    def outcomes(self, since: datetime | None, target: str | None = None) -> list[OutcomeRow]:
        """Nothing: these are asked for by the guard's figures."""
        return []


def over(store: FakeStats) -> Stats:
    """Stats over a store, where nobody knows the agent b."""
    return Stats(store, FakeClock(NOW), templates=lambda: TEMPLATES)


async def test_the_total_is_of_all_groups() -> None:
    """Counts and costs add up, and percentiles are of all durations, not of those of the groups."""
    report = await over(FakeStats()).report(StatQuery())
    first, second = report.data
    assert (first.calls, first.errors, first.usd, first.p95_s) == (3, 1, None, pytest.approx(0.001, rel=0.07))
    assert (second.usd, second.p50_s) == ("0.005", pytest.approx(9, rel=0.07))
    total = report.total
    assert (total.key, total.calls, total.errors, total.usd, total.unpriced_calls) == (None, 4, 1, "0.005", 3)
    assert (total.p50_s, total.p95_s) == (first.p95_s, second.p50_s)


async def test_hours_are_whole() -> None:
    """What lies within an hour means its beginning; by model and by tool the kind goes without saying."""
    store = FakeStats()
    stats = over(store)
    await stats.report(StatQuery(by="tool", since="2h", until="2026-11-21T19:10", agent="a"))
    hour = NOW.replace(minute=0)
    expected = StatFilter(kind="tool", since=hour - timedelta(hours=2), until=hour, agents=["a"])
    assert store.asked == [("tool", expected)]
    await stats.report(StatQuery(kind="run", since=None))
    assert store.asked[1] == ("day", StatFilter(kind="run"))


async def test_rows_of_agents_are_those_of_their_templates() -> None:
    """By template the agents of each are one group; those whose template nobody knows come last, without a key."""
    store = FakeStats()
    report = await over(store).report(StatQuery(by="template", kind="run", since=None))
    assert [(each.key, each.calls) for each in report.data] == [("chain", 3), (None, 1)]
    assert store.asked == [("agent", StatFilter(kind="run"))]


async def test_a_template_stands_for_its_agents() -> None:
    """What is asked of a template is asked of its agents: of one of them if that is named, of none if it has none."""
    store = FakeStats()
    for query in (
        StatQuery(template="chain", since=None),
        StatQuery(template="chain", agent="a", since=None),
        StatQuery(template="chain", agent="c", since=None),
    ):
        await over(store).report(query)
    assert [where.agents for _, where in store.asked] == [["a", "quiet"], ["a"], []]


async def test_who_asked_is_said_of_the_newest_runs() -> None:
    """By user and group there are runs, whatever kind is asked for; the report says whether older ones are left out."""
    report = await over(FakeStats()).report(StatQuery(by="user", kind="model", since="2h"))
    assert [(each.key, each.calls, each.errors) for each in report.data] == [(None, 2, 0), ("eva", 2, 1)]
    assert (report.kind, report.since, report.is_cut) == ("run", NOW.replace(hour=17, minute=0), False)
    cut = await over(FakeStats()).report(StatQuery(by="group", since="2h"))
    assert (cut.total.calls, cut.since, cut.is_cut) == (4, NOW, True)


async def test_what_failed_is_chosen_and_bounded() -> None:
    """By agent, template and code; of very many kinds the first 200 are told, and that there are more."""
    store = FakeStats()
    report = await over(store).errors(ErrorQuery(template="chain", since="2h"))
    assert store.asked == [
        ("agent", StatFilter(kind="run", since=NOW.replace(hour=17, minute=0), agents=["a", "quiet"]))
    ]
    assert (report.total, len(report.data), report.more, report.since, report.is_cut) == (201, 200, 1, NOW, True)
    of_code = await over(store).errors(ErrorQuery(code="timeout", since=None))
    assert ([each.message for each in of_code.data], of_code.total, of_code.is_cut) == (["aa"], 1, False)


async def test_a_mistake_is_told_with_its_place() -> None:
    """A time that cannot be read is the caller's mistake."""
    with pytest.raises(InvalidRequest) as caught:
        await over(FakeStats()).report(StatQuery(since="soon"))
    assert caught.value.problems[0][0] == "/since"
