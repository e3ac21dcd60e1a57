"""Histograms of durations."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.histogram import LAST, from_bytes, one, percentile, to_bytes

DURATIONS = st.lists(st.integers(min_value=0, max_value=10**12), min_size=1, max_size=50)


@given(DURATIONS, DURATIONS)
def test_to_add_two_is_to_count_both(left: list[int], right: list[int]) -> None:
    """The sum of two histograms is that of all durations, and bytes give it back."""
    both = sum(map(one, left)) + sum(map(one, right))
    assert both == sum(map(one, left + right))
    assert from_bytes(to_bytes(both)) == both


@given(st.lists(st.integers(min_value=2, max_value=10**12), min_size=1, max_size=200))
def test_a_percentile_is_right_within_seven_percent(durations: list[int]) -> None:
    """The median is off by at most half a bucket, whatever the durations are."""
    found = percentile(sum(map(one, durations)), 0.5)
    assert found is not None
    assert found * 1_000_000 == pytest.approx(statistics.median_low(durations), rel=0.07)


def test_the_ends() -> None:
    """Nothing has no percentile; what is too short or too long is in the first or the last bucket."""
    assert percentile(0, 0.5) is None
    assert from_bytes(to_bytes(0)) == 0
    assert one(-5) == one(0) == one(1) == 1
    assert one(10**18) == 1 << 32 * LAST
    assert to_bytes(one(1_000_000)) == bytes((110, 1, 0, 0, 0))
