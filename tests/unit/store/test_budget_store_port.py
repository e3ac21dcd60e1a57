"""The BudgetStore port."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runwright.core.budget import NOTHING, Asker, Raise, Spend, parse_account
from runwright.core.money import UNPRICED, Cost
from runwright.core.run import Run
from runwright.core.step import Step
from runwright.core.usage import Usage
from runwright.store import Stores
from tests.unit.store.rows import NOW, new, run, step

GPT, MISTRAL = "openai:gpt-5", "mistral:large"
TOMORROW = NOW + timedelta(days=1)


def call(owner: Run, seq: int, ref: str, nano_usd: int | None, **changes: object) -> Step:
    """A model call that ended, of 110 tokens."""
    cost = UNPRICED if nano_usd is None else Cost(nano_usd=nano_usd, source="overlay")
    usage = Usage(input_tokens=100, output_tokens=10, requests=1)
    ended = {"status": "completed", "ended_at": NOW, "usage": usage, "cost": cost, **changes}
    return step(owner, seq, name=ref, **ended)


def tool(owner: Run, seq: int, name: str, **changes: object) -> Step:
    """A tool call that ended."""
    return step(owner, seq, kind="tool", name=name, **({"status": "completed", "ended_at": NOW} | changes))


@pytest.fixture(autouse=True)
def recorded(stores: Stores) -> None:
    """Runs of two agents on two days, of a user and of nobody, with what does not count among them."""
    first, second = run(1, group="g", user="ada", thread_id="thr_1"), run(2, agent="writer")
    batches = [
        new(first, steps=(call(first, 2, GPT, 5), call(first, 4, GPT, None), tool(first, 6, "search"))),
        new(
            second,
            steps=(
                call(second, 2, MISTRAL, 11, ended_at=TOMORROW),
                call(second, 4, MISTRAL, 99, taped=2),
                tool(second, 6, "search", status="failed", cost=Cost(nano_usd=3, source="spent")),
                step(second, 8, kind="clock", name="now", status="completed", ended_at=NOW),
                step(second, 10),
            ),
        ),
    ]
    assert stores.writes.append(batches) == [None, None]


@pytest.mark.parametrize(
    ("account", "spent"),
    [
        ("app ever", Spend(330, 19, 5)),
        ("app day:2026-01-02", Spend(220, 8, 4)),
        ("app day:2026-01-03", Spend(110, 11, 1)),
        ("app month:2026-01", Spend(330, 19, 5)),
        ("app month:2026-02", NOTHING),
        ("agent:support day:2026-01-02", Spend(220, 5, 3)),
        ("agent:writer ever", Spend(110, 14, 2)),
        (f"model:{GPT} ever", Spend(220, 5, 2)),
        ("model:mistral:* ever", Spend(110, 11, 1)),
        ("tool:search ever", Spend(0, 3, 2)),
        ("app user:ada", Spend(220, 5, 3)),
        ("app user:", Spend(110, 14, 2)),
        ("app group:g", Spend(220, 5, 3)),
        ("app thread:thr_1", Spend(220, 5, 3)),
        (f"app thread:{run(2).id}", Spend(110, 14, 2)),
        (f"agent:writer run:{run(2).id}", Spend(110, 14, 2)),
        (f"agent:support run:{run(2).id}", NOTHING),
        (f"tool:search run:{run(2).id}", Spend(0, 3, 1)),
        (f"run:{run(2).id}", Spend(110, 14, 2)),
        (f"run:{run(2).id} day:2026-01-02", Spend(0, 3, 1)),
        ("app user:nobody-known", NOTHING),
    ],
)
def test_what_was_spent(stores: Stores, account: str, spent: Spend) -> None:
    """Calls that ended count in their scope and window, whether or not they went well; taped ones do not."""
    assert stores.budgets.booked(parse_account(account)).spent == spent


def test_raises(stores: Stores) -> None:
    """An account is raised unit by unit, and stays so."""
    budgets = stores.budgets
    assert budgets.booked(parse_account("app ever")).raised is None
    budgets.put(Raise(account="app ever", nano_usd=7, at=NOW, by="ada"))
    budgets.put(Raise(account="app ever", tokens=8, at=TOMORROW, by="bob"))
    expected = Raise(account="app ever", nano_usd=7, tokens=8, at=TOMORROW, by="bob")
    assert budgets.booked(parse_account("app ever")).raised == expected
    budgets.put(Raise(account="agent:a user:x y", calls=1, at=NOW))
    of_user = budgets.booked(parse_account("agent:a user:x y")).raised
    assert of_user is not None
    assert of_user.calls == 1
    assert budgets.booked(parse_account("app ever")).raised == expected


OPEN = Spend(1000, 7)
ASKER = Asker(boot="boot_here", since=NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("of_run", "of_step", "is_counted"),
    [
        ({"status": "running", "owner": "boot_dead"}, {}, True),
        ({"status": "running", "owner": "boot_here"}, {}, False),
        ({"status": "running", "owner": "boot_dead"}, {"reserves": None}, False),
        ({"status": "waiting", "reason": "unknown_effect"}, {"status": "unknown"}, True),
        ({"status": "waiting", "reason": "unknown_effect"}, {"started_at": TOMORROW}, False),
        ({"status": "waiting", "reason": "budget"}, {}, False),
        ({"status": "cancelled"}, {}, False),
    ],
    ids=["of_the_dead", "own", "without_budget", "of_a_wait", "own_of_a_wait", "held", "over"],
)
def test_what_open_calls_reserve(
    stores: Stores, of_run: dict[str, object], of_step: dict[str, object], is_counted: bool
) -> None:
    """A call without an end on record counts as what it may use, unless the asker counts it or nothing was sent."""
    third = run(3, agent="third", user="eve", **of_run)
    assert stores.writes.append([new(third, steps=(step(third, 2, **{"reserves": OPEN, **of_step}),))]) == [None]
    for account in ("agent:third ever", "agent:third month:2026-01", "app user:eve", f"agent:third run:{third.id}"):
        booked = stores.budgets.booked(parse_account(account), ASKER)
        assert (booked.spent, booked.open) == (NOTHING, OPEN if is_counted else NOTHING), account
    assert stores.budgets.booked(parse_account("agent:third month:2026-02"), ASKER).open == NOTHING
