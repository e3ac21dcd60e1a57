"""Accounts: what is counted together, and in which window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from runwright.core.budget import Account, Payer, Raise, allowances, limit, parse_account
from runwright.core.policy import Budget, ScopedBudget, Window

NOW = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
PAYER = Payer(run="run_1", thread="thr_1", group="nightly", user="ada")


def name(per: Window, *, scope: str = "agent:support", payer: Payer = PAYER, now: datetime = NOW) -> str:
    """The name of the account of a budget."""
    (found,) = allowances((ScopedBudget(Budget(usd="1", per=per), scope),), payer, now)
    return found.account.name


@pytest.mark.parametrize(
    ("per", "expected"),
    [
        ("run", "agent:support run:run_1"),
        ("thread", "agent:support thread:thr_1"),
        ("group", "agent:support group:nightly"),
        ("user", "agent:support user:ada"),
        ("day", "agent:support day:2026-12-31"),
        ("month", "agent:support month:2026-12"),
        ("ever", "agent:support ever"),
    ],
)
def test_names(per: Window, expected: str) -> None:
    """An account is named by its scope and its window, and read again from that name."""
    assert name(per) == expected
    assert parse_account(expected).name == expected
    assert parse_account("run:run_1") == Account("run:run_1", "run", "run_1")


def test_run_scope() -> None:
    """A budget of a run counts that run alone, whatever its window."""
    assert name("run", scope="run") == "run:run_1"
    assert name("ever", scope="run") == "run:run_1 ever"


def test_alone() -> None:
    """A run without a thread or group is one of its own; runs without a user share an account."""
    alone = Payer(run="run_2")
    assert name("thread", payer=alone) == "agent:support thread:run_2"
    assert name("group", payer=alone) == "agent:support group:run_2"
    assert name("user", payer=alone) == "agent:support user:"


def test_utc() -> None:
    """Days and months are those of UTC, wherever the clock stands."""
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    assert east.day == 1
    assert name("day", now=east) == "agent:support day:2026-12-31"
    assert name("month", now=east) == "agent:support month:2026-12"


def test_windows() -> None:
    """Days and months begin and end at midnight of UTC; other windows have no time."""
    day, month = Account("app", "day", "2026-12-31"), Account("app", "month", "2026-12")
    assert (day.since, day.until) == (datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert (month.since, month.until) == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert (Account("app", "ever").since, Account("app", "user", "ada").until) == (None, None)


@pytest.mark.parametrize("text", ["", "app", "app day", "app day:yesterday", "app ever:x", "app week:3", " ever"])
def test_no_account(text: str) -> None:
    """What is no account is refused."""
    with pytest.raises(ValueError, match=r"written like|isoformat"):
        parse_account(text)


def test_raise_only_raises() -> None:
    """An account is raised in the units that its budget bounds, and never lowered."""
    raised = Raise(account="app ever", nano_usd=5, tokens=7, at=NOW)
    assert limit(Budget(usd="0.000000003"), raised, "usd") == 5
    assert limit(Budget(usd="0.000000009"), raised, "usd") == 9
    assert limit(Budget(usd="1"), raised, "tokens") is None
    assert limit(Budget(calls=2), raised, "calls") == 2
