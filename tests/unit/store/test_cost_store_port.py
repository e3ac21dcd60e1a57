"""The CostStore port."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from runwright.core.cost import CallFilter, CallOrder, CallPlace, CostBy, CostCall, CostFilter
from runwright.core.money import NO_COST, UNPRICED, Cost
from runwright.core.run import Run
from runwright.core.step import Step
from runwright.core.usage import Usage
from runwright.store import Stores, open_database, upgrade
from runwright.store.costs import SqlCostStore
from tests.unit.store.rows import NOW, later, new, run, step

GPT, MISTRAL = "openai:gpt-5", "mistral:mistral-large-latest"
USAGE = Usage(input_tokens=100, cached_input_tokens=40, output_tokens=10, reasoning_tokens=4, requests=1)


def call(owner: Run, seq: int, ref: str, nano_usd: int | None, **changes: object) -> Step:
    """A model call that ended."""
    cost = UNPRICED if nano_usd is None else Cost(nano_usd=nano_usd, source="overlay")
    ended = {"status": "completed", "ended_at": NOW, "usage": USAGE, "cost": cost, **changes}
    return step(owner, seq, name=ref, **ended)


@pytest.fixture(autouse=True)
def recorded(stores: Stores) -> None:
    """Runs of two agents on two days, with calls that cost, that are unpriced, and that nobody pays for."""
    first, second = run(1, group="g", user="ada"), run(2, agent="writer", root_run_id=run(1).id)
    day = {"ended_at": NOW + timedelta(days=1)}
    batches = [
        new(first, steps=(call(first, 2, GPT, 5), call(first, 4, GPT, None), call(first, 6, MISTRAL, 7))),
        new(
            second,
            steps=(
                call(second, 2, MISTRAL, 11, **day),
                call(second, 4, MISTRAL, 99, taped=2),
                call(second, 6, MISTRAL, 0, status="failed", cost=NO_COST),
                step(second, 8, kind="tool", name="search", status="completed", ended_at=NOW),
                step(second, 10),
            ),
        ),
    ]
    assert stores.writes.append(batches) == [None, None]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("agent", [("support", 3, 1, 12), ("writer", 1, 0, 11)]),
        ("model", [(MISTRAL, 2, 0, 18), (GPT, 2, 1, 5)]),
        ("day", [("2026-01-02", 3, 1, 12), ("2026-01-03", 1, 0, 11)]),
        ("group", [(None, 1, 0, 11), ("g", 3, 1, 12)]),
        ("user", [(None, 1, 0, 11), ("ada", 3, 1, 12)]),
    ],
    ids=["agent", "model", "day", "group", "user"],
)
def test_calls_are_summed_up(stores: Stores, by: CostBy, expected: list[tuple[object, ...]]) -> None:
    """Every call counts once, under its own run; failed, taped and open ones, and tools, cost nothing."""
    rows = stores.costs.totals(by, CostFilter())
    assert [(row.key, row.calls, row.unpriced_calls, row.nano_usd) for row in rows] == expected
    assert sum((row.usage for row in rows), Usage()).output_tokens == 40


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        (CostFilter(since=later(0)), ["2026-01-02", "2026-01-03"]),
        (CostFilter(since=later(1)), ["2026-01-03"]),
        (CostFilter(until=later(86_400)), ["2026-01-02"]),
        (CostFilter(agent="writer"), ["2026-01-03"]),
        (CostFilter(agent="nobody"), []),
    ],
    ids=["since", "since-later", "until", "agent", "nobody"],
)
def test_calls_are_chosen(stores: Stores, where: CostFilter, keys: list[str]) -> None:
    """By the time of their end, from `since` until before `until`, and by the agent of their run."""
    assert [row.key for row in stores.costs.totals("day", where)] == keys


def test_every_call_can_be_read(stores: Stores) -> None:
    """The calls behind the sums come with reference, time, usage and cost, so that they can be priced again."""
    calls = list(stores.costs.calls("group", CostFilter(agent="support")))
    assert sorted(call.cost.nano_usd or 0 for call in calls) == [0, 5, 7]
    assert CostCall(key="g", ref=GPT, at=NOW, usage=USAGE, cost=UNPRICED) in calls
    assert [call.key for call in stores.costs.calls("day", CostFilter(agent="writer"))] == ["2026-01-03"]


def places(stores: Stores, **where: Any) -> list[tuple[str, int | None]]:
    """The agent and cost of the calls that are found."""
    return [(each.agent, each.step.cost.nano_usd) for each in stores.costs.find(CallFilter(**where))]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, [("writer", 11), ("support", 7), ("support", 5), ("support", None)]),
        ({"order": "newest"}, [("writer", 11), ("support", 7), ("support", None), ("support", 5)]),
        ({"since": later(1)}, [("writer", 11)]),
        ({"until": later(86_400)}, [("support", 7), ("support", 5), ("support", None)]),
        ({"agent": "support", "limit": 1}, [("support", 7)]),
        ({"name": GPT}, [("support", 5), ("support", None)]),
        ({"group": "g", "name": MISTRAL}, [("support", 7)]),
        ({"user": "ada", "agent": "writer"}, []),
        ({"without": "user"}, [("writer", 11)]),
    ],
    ids=["all", "newest", "since", "until", "agent", "name", "group", "user", "without"],
)
def test_calls_are_listed(stores: Stores, where: dict[str, Any], expected: list[tuple[str, int | None]]) -> None:
    """In order, each once, with whose run it is of: what ended, may cost something, and was not taped."""
    assert places(stores, **where) == expected


@pytest.mark.parametrize("order", ["dearest", "newest"])
def test_pages_of_calls_join(stores: Stores, order: CallOrder) -> None:
    """What comes after each call is the rest of the list, also after one without a price."""
    whole = stores.costs.find(CallFilter(order=order))
    for number, each in enumerate(whole, 1):
        step = each.step
        place = CallPlace(nano_usd=step.cost.nano_usd, at=step.ended_at or NOW, run_id=step.run_id, seq=step.seq)
        assert stores.costs.find(CallFilter(order=order, after=place)) == whole[number:]


@pytest.mark.parametrize("order", ["dearest", "newest"])
@pytest.mark.parametrize("agent", [None, "writer"])
def test_calls_are_found_by_their_time(path: Path, order: CallOrder, agent: str | None) -> None:
    """Whichever the order, SQLite reads the calls of the span alone, and sorts nothing to find the newest."""
    database = open_database(path)
    upgrade(database)
    plans: list[str] = []

    def explain(connection: Connection, _: object, sql: str, given: Any, *__: object) -> None:
        if not sql.startswith("EXPLAIN"):
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given).all()
            plans.extend(row.detail for row in rows)

    with database.read() as connection:
        event.listen(connection.engine, "before_cursor_execute", explain)
    SqlCostStore(database).find(CallFilter(since=NOW, until=later(1), order=order, agent=agent))
    database.close()
    assert "SEARCH steps USING INDEX steps_charged (ended_at>? AND ended_at<?)" in plans
    assert not any(plan.startswith("SCAN steps") for plan in plans)
