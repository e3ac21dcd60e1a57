"""How sure evidence is, and how texts are compared."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.similar import Evidence, needed, overlap, upper_bound, words_of


@pytest.mark.parametrize(
    ("wrong", "of", "bound"),
    [
        (0, 10, 0.2589),
        (0, 299, 0.009969),
        (1, 100, 0.046559),
        (5, 100, 0.102253),
        (50, 100, 0.586374),
        (3, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_the_bound_is_that_of_clopper_and_pearson(wrong: int, of: int, bound: float) -> None:
    """The bound is the 95 % quantile of the beta distribution with wrong + 1 and of - wrong."""
    assert upper_bound(wrong, of) == pytest.approx(bound, abs=1e-4)


@given(of=st.integers(1, 400), part=st.floats(0, 1))
def test_the_bound_leaves_one_in_twenty(of: int, part: float) -> None:
    """At the bound, so few wrong ones or fewer are found in one of twenty samples."""
    wrong = min(of - 1, int(of * part))
    bound = upper_bound(wrong, of)
    found = math.fsum(math.comb(of, k) * bound**k * (1 - bound) ** (of - k) for k in range(wrong + 1))
    assert found == pytest.approx(0.05, rel=1e-6)
    assert bound > wrong / of


@given(wrong=st.integers(0, 5), risk=st.floats(0.005, 0.9))
def test_needed_is_the_smallest_sample(wrong: int, risk: float) -> None:
    """A sample of that size meets the risk, and one that is smaller by one does not."""
    size = needed(wrong, risk)
    assert upper_bound(wrong, size) <= risk < upper_bound(wrong, size - 1)


def test_a_risk_of_one_percent_takes_299() -> None:
    """Without a wrong one, 299 would-be hits bound the risk by 1 %."""
    assert needed(0, 0.01) == 299


def test_what_nobody_judged_counts_as_wrong() -> None:
    """Answers that differ and were not judged raise the bound as if they were wrong, until somebody judges them."""
    waiting = Evidence(turns=400, hits=300, equal=290)
    assert (waiting.unjudged, waiting.wrong) == (10, 10)
    assert waiting.bound > 0.03
    assert waiting.missing(0.01) == "judge 10 pairs whose answers differ"
    judged = Evidence(turns=400, hits=300, equal=290, same=10)
    assert (judged.wrong, judged.missing(0.01)) == (0, "")


def test_what_is_missing_counts_the_wrong_ones() -> None:
    """One wrong hit takes a larger sample; how much larger is said."""
    evidence = Evidence(turns=400, hits=300, equal=298, different=1)
    assert evidence.missing(0.01) == "judge 1 pair, and collect 173 more would-be hits, none of them wrong"
    assert Evidence().missing(0.01) == "collect 299 more would-be hits, none of them wrong"


def test_words_are_compared_without_their_dress() -> None:
    """Case, white space and the signs at the ends do not count; every word does."""
    assert words_of(" It is  ROME.\n") == words_of("it is Rome")
    assert words_of("It is not Rome") != words_of("It is Rome")
    assert (overlap("It is Rome.", "it is rome"), overlap("a b", "b c"), overlap("a", "b"), overlap("", "")) == (
        1.0,
        pytest.approx(1 / 3),
        0.0,
        1.0,
    )
