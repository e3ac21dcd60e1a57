"""How waits grow, and what is drawn of them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.policy import Backoff
from runwright.guard.backoff import STRATEGIES, Strategy, Wait, Waits, strategy

policies = st.builds(
    Backoff,
    strategy=st.sampled_from(sorted(STRATEGIES)),
    base_s=st.floats(0.001, 1e3),
    multiplier=st.floats(1, 1e6),
    cap_s=st.floats(0.001, 1e4),
    jitter=st.sampled_from(["full", "equal", "none"]),
)


def waits_of(policy: Backoff) -> Waits:
    """The waits of a policy with a built-in strategy."""
    return Waits(policy, strategy(policy.strategy, {}))


@pytest.mark.parametrize(
    ("name", "expected_s"),
    [
        ("exponential", [1, 2, 4, 8, 10, 10]),
        ("linear", [1, 2, 3, 4, 5, 6]),
        ("fibonacci", [1, 1, 2, 3, 5, 8]),
        ("decorrelated", [1, 3, 9, 10, 10, 10]),
        ("constant", [1, 1, 1, 1, 1, 1]),
    ],
)
def test_each_strategy(name: str, expected_s: list[float]) -> None:
    """Without jitter the waits are those of the strategy, up to the cap."""
    waits = waits_of(Backoff(strategy=name, base_s=1, cap_s=10, jitter="none"))
    found: list[float] = []
    for resend in range(1, 7):
        wait = waits.before(resend, previous_s=found[-1] if found else 0.0, retry_after_s=None)
        found.append(wait.drawn_s(Random(1)))
    assert found == expected_s


@pytest.mark.parametrize(
    ("jitter", "retry_after_s", "expected"),
    [
        ("full", None, Wait(0, 8)),
        ("equal", None, Wait(4, 4)),
        ("none", None, Wait(8, 0)),
        ("full", 30.0, Wait(30, 8)),
        ("equal", 30.0, Wait(30, 4)),
        ("none", 30.0, Wait(30, 0)),
        ("none", 3.0, Wait(8, 0)),
    ],
)
def test_jitter_over_the_floor(jitter: str, retry_after_s: float | None, expected: Wait) -> None:
    """What the provider asks for is the least, and the jitter comes on top, so that not all come back at once."""
    policy = Backoff(base_s=50, cap_s=8, jitter=jitter)  # pyright: ignore[reportArgumentType] - one of the names
    assert waits_of(policy).before(1, previous_s=0.0, retry_after_s=retry_after_s) == expected


def test_an_application_brings_its_own() -> None:
    """A name of the application's own is found, also in place of a built-in one."""
    own: dict[str, Strategy] = {
        "patient": lambda policy, n, _: policy.base_s * 100 * n,
        "linear": lambda _policy, _n, _: 7.0,
    }
    policy = Backoff(strategy="patient", base_s=1, cap_s=1000, jitter="none")
    assert Waits(policy, strategy("patient", own)).before(2, previous_s=0, retry_after_s=None) == Wait(200, 0)
    assert strategy("linear", own)(policy, 1, 0.0) == 7


def test_an_unknown_name_is_told() -> None:
    """The error names what there is."""
    with pytest.raises(ValueError, match=r"no backoff strategy 'cubic'; known: constant, .*, mine"):
        strategy("cubic", {"mine": STRATEGIES["constant"]})


@given(policy=policies, resend=st.integers(1, 5000), previous_s=st.floats(0, 1e6), seed=st.integers())
def test_no_wait_is_longer_than_the_cap(policy: Backoff, resend: int, previous_s: float, seed: int) -> None:
    """Whatever the figures, without a Retry-After a wait lies between nothing and the cap."""
    wait = waits_of(policy).before(resend, previous_s=previous_s, retry_after_s=None)
    assert 0 <= wait.drawn_s(Random(seed)) <= policy.cap_s


@given(value=st.floats(allow_nan=True, allow_infinity=True))
def test_a_strategy_may_give_anything(value: float) -> None:
    """What is no time to wait, from a strategy of an application, does no harm."""
    wait = Waits(Backoff(cap_s=5), lambda _policy, _resend, _previous_s: value).before(
        1, previous_s=0, retry_after_s=None
    )
    assert 0 <= wait.drawn_s(Random(1)) <= 5


@given(
    policy=policies,
    retry_after_s=st.none() | st.floats(0, 1e4),
    room_s=st.floats(0, 1e4),
    seed=st.integers(),
)
def test_a_wait_fits_the_room(policy: Backoff, retry_after_s: float | None, room_s: float, seed: int) -> None:
    """A wait is cut to the time that is left, but never under what the provider asks for: then there is none."""
    wait = waits_of(policy).before(1, previous_s=0, retry_after_s=retry_after_s)
    cut = wait.within(room_s)
    if cut is None:
        assert wait.least_s >= room_s
    else:
        assert (retry_after_s or 0) <= cut.drawn_s(Random(seed)) <= room_s
