"""The StatStore port."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runwright.core.histogram import percentile
from runwright.core.ids import first_id
from runwright.core.money import IMPORTED, NO_COST, UNPRICED, Cost
from runwright.core.run import ErrorInfo, Run
from runwright.core.stats import StatBy, StatFilter, StatRow
from runwright.core.step import Step
from runwright.core.usage import Usage
from runwright.store import Stores
from tests.unit.store.rows import NOW, later, new, run, step

HOUR = NOW.replace(minute=0, second=0, microsecond=0)
USAGE = Usage(input_tokens=100, output_tokens=10, requests=1)


def call(owner: Run, seq: int, took_s: float, **changes: object) -> Step:
    """A call that ended."""
    ended = {"status": "completed", "ended_at": later(took_s), "usage": USAGE, "cost": Cost(nano_usd=5, source="x")}
    return step(owner, seq, **{**ended, **changes})


@pytest.fixture(autouse=True)
def recorded(stores: Stores) -> None:
    """Calls of two agents in two hours: a slow one, an unpriced one, a failed one, and one of a tool."""
    first, second = run(1), run(2, agent="writer")
    calls = (call(first, 2, 1), call(first, 4, 1), call(first, 6, 40), call(first, 8, 2, cost=UNPRICED, name="m:x"))
    tool = call(second, 2, 0.5, kind="tool", name="search", usage=Usage(), cost=NO_COST)
    failed = call(second, 4, 3600, status="failed", cost=NO_COST)
    assert not any(stores.writes.append([new(first, steps=calls), new(second, steps=(tool, failed))]))


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("hour", [("2026-01-02T03", 4, 0, 1, 15), ("2026-01-02T04", 1, 1, 0, 0)]),
        ("day", [("2026-01-02", 5, 1, 1, 15)]),
        ("agent", [("support", 4, 0, 1, 15), ("writer", 1, 1, 0, 0)]),
        ("model", [("demo:echo", 4, 1, 0, 15), ("m:x", 1, 0, 1, 0)]),
    ],
    ids=["hour", "day", "agent", "model"],
)
def test_calls_are_counted(stores: Stores, by: StatBy, expected: list[tuple[object, ...]]) -> None:
    """Calls, errors, calls without a price, and cost, by key."""
    assert [told(row) for row in stores.stats.totals(by, StatFilter())] == expected


def test_what_is_counted_is_chosen(stores: Stores) -> None:
    """By kind, by hours from `since` until before `until`, and by agent."""
    assert [told(row) for row in stores.stats.totals("tool", StatFilter(kind="tool"))] == [("search", 1, 0, 0, 0)]
    later_hour = HOUR + timedelta(hours=1)
    assert [row.calls for row in stores.stats.totals("day", StatFilter(since=later_hour))] == [1]
    assert [row.calls for row in stores.stats.totals("day", StatFilter(until=later_hour))] == [4]
    assert [row.key for row in stores.stats.totals("agent", StatFilter(agents=["writer"]))] == ["writer"]
    assert stores.stats.totals("agent", StatFilter(agents=[])) == []
    assert stores.stats.totals("day", StatFilter(kind="run")) == []


def test_durations_and_tokens_are_added(stores: Stores) -> None:
    """The histogram of a key is that of all its calls, and so are the tokens."""
    (row,) = stores.stats.totals("agent", StatFilter(agents=["support"]))
    assert percentile(row.latency, 0.5) == pytest.approx(1, rel=0.07)
    assert percentile(row.latency, 0.95) == pytest.approx(40, rel=0.07)
    assert (row.usage.input_tokens, row.usage.output_tokens, row.usage.requests) == (400, 40, 4)


def ended(number: int, **changes: object) -> Run:
    """A run that is over; each begins a second after the one before."""
    begun = later(number)
    made = {"status": "completed", "created_at": begun, "started_at": begun, "ended_at": later(number + 1)}
    run_id = f"{first_id('run', begun)}7{number:019x}"
    return run(10 + number, **{"id": run_id, "agent": "shop", "cost": Cost(nano_usd=5, source="x"), **made, **changes})


def test_runs_are_counted_by_who_asked(stores: Stores) -> None:
    """Runs that are over, by user or group, those of nobody first; replays and runs from files do not count."""
    runs = (
        ended(1, user="eva", group="trip"),
        ended(2, user="eva", status="failed", cost=UNPRICED, ended_at=later(42)),
        ended(3),
        ended(4, user="tom", replay_of="run_1"),
        ended(5, user="tom", cost=Cost(nano_usd=5, source=IMPORTED)),
        ended(6, user="tom", status="running", ended_at=None),
        ended(7, user="tom", agent="other"),
    )
    assert not any(stores.writes.append([new(each) for each in runs]))
    found = stores.stats.callers("user", StatFilter(agents=["shop"]), limit=100)
    assert [told(row) for row in found.rows] == [(None, 1, 0, 0, 5), ("eva", 2, 1, 1, 5)]
    assert percentile(found.rows[1].latency, 0.95) == pytest.approx(40, rel=0.07)
    assert found.cut is None
    by_group = stores.stats.callers("group", StatFilter(agents=["shop", "other"]), limit=100)
    assert [(row.key, row.calls) for row in by_group.rows] == [(None, 3), ("trip", 1)]


def test_only_so_many_runs_are_read(stores: Stores) -> None:
    """Of the newest runs of the span, with the time of the oldest of them where there are older ones."""
    assert not any(stores.writes.append([new(ended(number, user=f"u{number}")) for number in range(1, 6)]))
    found = stores.stats.callers("user", StatFilter(agents=["shop"], until=later(5)), limit=2)
    assert ([row.key for row in found.rows], found.cut) == (["u3", "u4"], later(3))
    all_of_them = stores.stats.callers("user", StatFilter(agents=["shop"], since=later(4)), limit=2)
    assert ([row.key for row in all_of_them.rows], all_of_them.cut) == (["u4", "u5"], None)


def failure(number: int, message: str, **changes: object) -> Run:
    """A run that failed."""
    error = ErrorInfo(code="tool_failed", message=message, retryable=True, step=4)
    return ended(number, **{"status": "failed", "error": error, **changes})


def test_failed_runs_are_found(stores: Stores) -> None:
    """The newest first, with what they failed of; other ends, replays and runs from files are left out."""
    runs = (
        failure(1, "first"),
        failure(2, "second", agent="other"),
        failure(3, "again", replay_of="run_1"),
        failure(4, "elsewhere", cost=Cost(nano_usd=5, source=IMPORTED)),
        ended(5),
        failure(6, "third"),
    )
    assert not any(stores.writes.append([new(each) for each in runs]))
    found = stores.stats.failed(StatFilter(), limit=100)
    assert [(run.agent, run.error.message, run.error.step) for run in found.runs] == [
        ("shop", "third", 4),
        ("other", "second", 4),
        ("shop", "first", 4),
    ]
    assert (found.runs[0].at, found.runs[0].error.retryable, found.cut) == (later(7), True, None)
    of_agent = stores.stats.failed(StatFilter(agents=["other"], since=later(2)), limit=2)
    assert ([run.id for run in of_agent.runs], of_agent.cut) == ([], later(4))


@pytest.mark.parametrize(
    "character", ["a", "é", "\x01", '"', "\U0001f600"], ids=["a", "e", "control", "quote", "emoji"]
)
@pytest.mark.parametrize("shift", range(6))
def test_of_a_huge_error_the_beginning_is_read(stores: Stores, character: str, shift: int) -> None:
    """Its code and as much of its message as fits, wherever the cut falls."""
    message = "x" * shift + character * 100_000
    assert not any(stores.writes.append([new(failure(1, message))]))
    (found,) = stores.stats.failed(StatFilter(), limit=5).runs
    assert found.error.code == "tool_failed"
    assert message.startswith(found.error.message)
    assert 300 < len(found.error.message) < 2048
    assert (found.error.retryable, found.error.step) == (True, 4)


@pytest.mark.parametrize("behind", [(False, None), (True, None), (False, 9), (True, 20_000)], ids=str)
@pytest.mark.parametrize("size", [1_900, 2_010, 2_040, 100_000])
def test_of_a_huge_error_the_end_is_read(stores: Stores, behind: tuple[bool, int | None], size: int) -> None:
    """Its step and whether it may be retried, whatever its message says and wherever that is cut."""
    message = "x" * size + '","retryable":true,"step":7}'
    error = ErrorInfo(code="tool_failed", message=message, retryable=behind[0], step=behind[1])
    assert not any(stores.writes.append([new(failure(1, "", error=error))]))
    (found,) = stores.stats.failed(StatFilter(), limit=5).runs
    assert (found.error.retryable, found.error.step) == behind


def told(row: StatRow) -> tuple[object, ...]:
    """A row without its tokens and durations."""
    return row.key, row.calls, row.errors, row.unpriced, row.nano_usd
