"""The generic cell rate algorithm."""

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.guard.gcra import Gcra

RATE, BURST = 10.0, 20.0
amounts = st.floats(0.01, BURST)
gaps_s = st.floats(0, 3)
Flow = list[tuple[float, float]]
"""Times and amounts; what was given back is below zero."""


def over_any_window(flow: Flow, ends: Sequence[int]) -> float:
    """By how much the worst stretch of time that ends with one of these passes what is allowed."""
    sums = list(accumulate((amount for _, amount in flow), initial=0.0))
    return max(
        (
            sums[end + 1] - sums[begin] - BURST - RATE * (flow[end][0] - flow[begin][0])
            for end in ends
            for begin in range(end + 1)
        ),
        default=0.0,
    )


def reserve(gcra: Gcra, amount: float, now: float) -> float:
    """Take the amount if it can pass now, and give 0; else take nothing and give the seconds until it could."""
    wait_s = gcra.wait_s(amount, now)
    if not wait_s:
        gcra.charge(amount, now)
    return wait_s


@given(st.lists(st.tuples(gaps_s, amounts), max_size=60), st.booleans())
def test_its_rate_holds_over_every_window(asked: Flow, is_patient: bool) -> None:
    """What passes within w seconds is at most the burst and what the rate gives in w, for every w and every asker."""
    gcra, now, passed = Gcra(RATE, BURST), 0.0, Flow()
    for gap_s, amount in asked:
        now += gap_s
        wait_s = reserve(gcra, amount, now)
        if wait_s and is_patient:
            now += wait_s
            assert reserve(gcra, amount, now) == 0.0
        if not wait_s or is_patient:
            passed.append((now, amount))
    assert over_any_window(passed, range(len(passed))) <= 1e-4


@given(st.lists(st.tuples(gaps_s, st.floats(0.01, 3 * BURST), st.floats(0, 2)), max_size=60))
def test_what_is_settled_counts_as_used(asked: list[tuple[float, float, float]]) -> None:
    """With calls that use more or less than they took, and calls above the burst, none passes too early."""
    gcra, now, flow, ends = Gcra(RATE, BURST), 0.0, Flow(), list[int]()
    for gap_s, amount, share in asked:
        now += gap_s + gcra.wait_s(amount, now + gap_s)
        assert reserve(gcra, amount, now) == 0.0
        flow.append((now, min(amount, BURST)))
        ends.append(len(flow) - 1)
        flow.append((now, amount - min(amount, BURST)))
        before = gcra.left(now)
        gcra.settle(amount, amount * share, now)
        flow.append((now, before - gcra.left(now)))
    assert over_any_window(flow, ends) <= 1e-4


@given(st.lists(st.tuples(gaps_s, amounts), max_size=30), amounts)
def test_a_refund_leaves_no_trace(asked: Flow, amount: float) -> None:
    """Taking and giving back at once changes nothing for those who come later."""
    gcra, now = Gcra(RATE, BURST), 0.0
    for gap_s, taken in asked:
        now += gap_s
        reserve(gcra, taken, now)
    before = gcra.left(now)
    if not reserve(gcra, amount, now):
        gcra.refund(amount, now)
    assert gcra.left(now) == pytest.approx(before)


def test_refunds_fill_no_more_than_the_burst() -> None:
    """What comes back late, when time has filled the burst again, is not there twice."""
    gcra = Gcra(RATE, BURST)
    assert reserve(gcra, BURST, 0.0) == 0.0
    gcra.refund(BURST, 100.0)
    assert gcra.left(100.0) == BURST
    assert reserve(gcra, BURST, 100.0) == 0.0
    assert gcra.wait_s(1.0, 100.0) == pytest.approx(0.1)


def test_an_amount_above_the_burst_borrows() -> None:
    """It passes when the whole burst is there, and those behind it wait for the difference."""
    gcra = Gcra(RATE, BURST)
    assert reserve(gcra, 1.0, 0.0) == 0.0
    assert reserve(gcra, 100.0, 0.0) == pytest.approx(0.1)
    assert reserve(gcra, 100.0, 0.1) == 0.0
    assert gcra.left(0.1) == pytest.approx(-80.0)
    assert gcra.wait_s(1.0, 0.1) == pytest.approx(8.1)
    assert gcra.wait_s(0.0, 0.1) == 0.0
