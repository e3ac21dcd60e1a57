"""One price: parts, tiers, validity."""

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.money import NO_COST
from runwright.core.spending import PART_OF, UNITS
from runwright.core.usage import Usage
from runwright.models.prices.price import Price, Tier, quantities, rates

AMOUNTS = st.integers(0, 10**12)
COUNTS = st.integers(0, 10**9)


def a_price(**amounts: int) -> Price:
    """A price without tiers."""
    return Price(model="acme:x", source="test", version="1", rates=rates({k: (v, ()) for k, v in amounts.items()}))


def lines(price: Price, **used: int) -> list[tuple[str, int | Decimal]]:
    """Units and quantities of the lines."""
    return [(line.unit, line.quantity) for line in price.cost(used).lines]


def test_parts_count_once() -> None:
    """Cached and written tokens are parts of the input: what is left of it costs the price of input."""
    price = a_price(input_tokens=10, cached_input_tokens=1, cache_write_tokens=12, output_tokens=50)
    assert lines(price, input_tokens=100, cached_input_tokens=30, cache_write_tokens=20, output_tokens=5) == [
        ("input_tokens", 50),
        ("cached_input_tokens", 30),
        ("cache_write_tokens", 20),
        ("output_tokens", 5),
    ]


def test_a_part_without_a_price_costs_what_the_whole_does() -> None:
    """Reasoning is output, and cached input is input, where the list has no price of their own."""
    price = a_price(input_tokens=10, output_tokens=50)
    assert lines(price, input_tokens=100, cached_input_tokens=30, output_tokens=9, reasoning_tokens=4) == [
        ("input_tokens", 100),
        ("output_tokens", 9),
    ]


@pytest.mark.parametrize("unit", ["input_tokens", "output_tokens", "audio_seconds", "characters"])
def test_a_unit_without_a_price_makes_a_call_unpriced(unit: str) -> None:
    """What has no price is not zero."""
    others = {name: 5 for name in ("input_tokens", "output_tokens", "audio_seconds", "characters") if name != unit}
    cost = a_price(**others).cost({unit: 1})
    assert (cost.nano_usd, cost.source, cost.lines) == (None, "unpriced", ())


def test_requests_are_free_beside_other_units_only() -> None:
    """A list of token prices says nothing of requests as such; where these are all that was used, they are unpriced."""
    price = a_price(input_tokens=1_000_000)
    assert price.cost({"input_tokens": 1, "requests": 1}).nano_usd == 1
    assert price.cost({"requests": 1}).nano_usd is None
    assert a_price(requests=7_000_000).cost({"requests": 1}).nano_usd == 7


def test_long_input_has_its_own_price() -> None:
    """A tier holds for calls whose input, cached or not, has more tokens than it says, and for all their units."""
    given = {
        "input_tokens": (1_000_000, [Tier(above=200, nano=2_000_000)]),
        "output_tokens": (5_000_000, [Tier(above=200, nano=7_000_000)]),
    }
    price = Price(model="acme:x", source="test", rates=rates(given))
    assert [price.cost({"input_tokens": n, "output_tokens": 1}).nano_usd for n in (200, 201)] == [205, 409]


@pytest.mark.parametrize(
    ("now", "holds"),
    [("16:29", False), ("16:30", True), ("23:59", True), ("00:29", True), ("00:30", False)],
    ids=["before", "at-begin", "evening", "past-midnight", "at-end"],
)
def test_hours_pass_midnight(now: str, *, holds: bool) -> None:
    """A price of certain hours holds from the first until before the last, also over midnight."""
    price = Price(model="acme:x", source="test", hours=(time(16, 30), time(0, 30)))
    at = datetime.combine(datetime(2026, 1, 1, tzinfo=UTC), time.fromisoformat(now), UTC)
    assert price.holds(at) is holds


def test_amounts_are_rounded_half_up_to_the_nano() -> None:
    """Half a nano is one, less is none."""
    assert [a_price(input_tokens=500_000).cost({"input_tokens": n}).nano_usd for n in (1, 2, 3)] == [1, 1, 2]
    assert a_price(input_tokens=499_999).cost({"input_tokens": 1}).nano_usd == 0


@given(st.dictionaries(st.sampled_from(UNITS), AMOUNTS, min_size=1), st.dictionaries(st.sampled_from(UNITS), COUNTS))
def test_lines_add_up(amounts: dict[str, int], used: dict[str, int]) -> None:
    """The lines add up to the cost, to each total it is added to, and no quantity is counted twice."""
    cost = a_price(**amounts).cost(used)
    if cost.nano_usd is None:
        assert cost.lines == ()
        return
    assert sum(line.amount_nano for line in cost.lines) == cost.nano_usd == (NO_COST + cost).nano_usd
    assert (cost + cost).nano_usd == 2 * cost.nano_usd
    for whole in ("input_tokens", "output_tokens"):
        counted = sum(line.quantity for line in cost.lines if whole in {line.unit, PART_OF.get(line.unit)})
        parts = sum(used.get(part, 0) for part, of in PART_OF.items() if of == whole)
        assert counted <= max(used.get(whole, 0), parts)


def test_usage_by_unit() -> None:
    """A model call's usage has all its units."""
    usage = Usage(input_tokens=1, cached_input_tokens=2, cache_write_tokens=3, output_tokens=4, reasoning_tokens=5)
    assert [quantities(usage)[unit] for unit in UNITS if unit in quantities(usage)] == [1, 2, 3, 4, 5, 0]
