"""The CostStore port."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runwright.core.cost import CostBy, CostCall, CostFilter
from runwright.core.money import NO_COST, UNPRICED, Cost
from runwright.core.run import Run
from runwright.core.step import Step
from runwright.core.usage import Usage
from runwright.store import Stores
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
