"""What failed, grouped."""

from datetime import UTC, datetime, timedelta

import pytest

from runwright.core.run import ErrorInfo
from runwright.core.stats import FailedRun
from runwright.service.errors import folded, grouped

NOW = datetime(2026, 11, 21, 19, 30, tzinfo=UTC)


def failed(number: int, message: str, *, agent: str = "shop", code: str = "tool_failed") -> FailedRun:
    """A run that failed so many minutes ago."""
    error = ErrorInfo(code=code, message=message, step=number)
    return FailedRun(id=f"run_{number}", agent=agent, version="1.0.0", at=NOW - timedelta(minutes=number), error=error)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("Order 17 costs 12.50 EUR\n  at 10:31:02", "Order # costs # EUR at #"),
        ("there is no tool 'pay'; don't, can't", "there is no tool '…'; don't, can't"),
        ('key "a b" of `x` is not 404', "key '…' of '…' is not #"),
        ("run_019a3b2c4d5e6f70 of 0123abcdef99", "run_… of …"),
        ("123e4567-e89b-12d3-a456-426614174000 is gone", "… is gone"),
        ("openai:gpt-4o is overloaded", "openai:gpt-#o is overloaded"),
        ("the deadbeef was decided", "the deadbeef was decided"),
        ("", ""),
    ],
    ids=["numbers", "quotes", "other quotes", "ids", "uuid", "names", "words", "nothing"],
)
def test_what_differs_is_folded(message: str, fault: str) -> None:
    """Numbers, quoted values, ids and breaks of lines do not make another fault."""
    assert folded(message) == fault


def test_the_same_fault_is_one_group() -> None:
    """By agent, code and folded message, with how often, from when until when, and the newest as an example."""
    runs = [failed(number, f"Order {number} was refused") for number in range(1, 13)]
    runs += [failed(13, "Order 13 was refused", agent="other"), failed(14, "Order 14 was refused", code="timeout")]
    first, *others = grouped(runs)
    assert (first.agent, first.code, first.message, first.count) == ("shop", "tool_failed", "Order # was refused", 12)
    assert (first.first_at, first.last_at) == (NOW - timedelta(minutes=12), NOW - timedelta(minutes=1))
    assert (first.newest.run_id, first.newest.step, first.newest.message) == ("run_1", 1, "Order 1 was refused")
    assert list(first.runs) == [f"run_{number}" for number in range(1, 11)]
    assert [(each.agent, each.code, each.count) for each in others] == [
        ("other", "tool_failed", 1),
        ("shop", "timeout", 1),
    ]


def test_long_words_are_cut() -> None:
    """A group shows the beginning of what was said, however much that is."""
    assert len(folded("word " * 1000)) == 300
