"""A price: what a million of each unit costs, when, and who says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from decimal import Decimal

import msgspec

from runwright.core.money import UNPRICED, Cost, cost_line
from runwright.core.spending import PART_OF, UNITS, Quantities
from runwright.core.usage import Usage

WHOLES = tuple(unit for unit in UNITS if unit not in PART_OF and unit != "requests")
"""Units whose use without a price makes a call unpriced. Requests as such are mostly free, beside other units."""


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """What a million units cost, in nano-USD, where the input of a call has more than `above` tokens."""

    above: int
    nano: int


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """What a million of one unit cost, in nano-USD. `parts` are priced apart; the last tier that fits wins."""

    unit: str
    nano: int
    tiers: tuple[Tier, ...] = ()
    parts: tuple[str, ...] = ()

    def at(self, input_tokens: int | Decimal) -> int:
        """The price for a call with that much input."""
        nano = self.nano
        for tier in self.tiers:
            if input_tokens > tier.above:
                nano = tier.nano
        return nano


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """A price of a model: `source` and `version` name the data, `page` where its figures were read.

    It holds from `valid_from` until before `valid_to`, and where there are `hours`, between these times of day in UTC.
    What is free has no rates.
    """

    model: str
    source: str
    version: str = ""
    rates: tuple[Rate, ...] = ()
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    hours: tuple[time, time] | None = None
    page: str = ""
    is_free: bool = False

    def holds(self, at: datetime) -> bool:
        """Whether this was the price at that time."""
        if self.valid_from is not None and at < self.valid_from:
            return False
        if self.valid_to is not None and at >= self.valid_to:
            return False
        if self.hours is None:
            return True
        begin, end = self.hours
        now = at.time()
        return begin <= now < end if begin <= end else now >= begin or now < end

    def cost(self, used: Quantities) -> Cost:
        """What was used, priced line by line; unpriced as a whole where a unit has no price."""
        if self.is_free:
            return Cost(nano_usd=0, source=self.source)
        priced = {rate.unit for rate in self.rates}
        wholes = [unit for unit in WHOLES if used.get(unit)] or ["requests"]
        if any(used.get(unit) and unit not in priced for unit in wholes):
            return UNPRICED
        input_tokens = used.get("input_tokens", 0)
        lines = [
            cost_line(rate.unit, quantity, rate.at(input_tokens))
            for rate in self.rates
            if (quantity := used.get(rate.unit, 0) - sum(used.get(part, 0) for part in rate.parts)) > 0
        ]
        amount = sum(line.amount_nano for line in lines)
        return Cost(nano_usd=amount, source=self.source, version=self.version, lines=tuple(lines))


def rates(given: Mapping[str, tuple[int, Sequence[Tier]]]) -> tuple[Rate, ...]:
    """Rates from prices by unit, in the order of units."""
    return tuple(
        Rate(
            unit=unit,
            nano=given[unit][0],
            tiers=tuple(sorted(given[unit][1], key=lambda tier: tier.above)),
            parts=tuple(part for part, whole in PART_OF.items() if whole == unit and part in given),
        )
        for unit in UNITS
        if unit in given
    )


def quantities(usage: Usage) -> Quantities:
    """What a model call used, by unit."""
    return {
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "requests": usage.requests,
    }
