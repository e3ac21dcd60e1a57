"""Money: integers in nano-USD inside, decimal strings at the surface."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

NANO = 1_000_000_000
PRICED_UNITS = 1_000_000
"""A price is what this many units cost."""


class CostLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a quantity of one unit cost. `unit_price_nano` is in nano-USD per million units."""

    unit: str
    quantity: int | Decimal
    unit_price_nano: int
    amount_nano: int


class Cost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What something cost. `nano_usd` is None when no price is known: unpriced, which is not zero.

    The cost of one call has `lines`, whose amounts add up to it, and the `version` of the price data.
    """

    nano_usd: int | None
    source: str
    version: str = ""
    lines: tuple[CostLine, ...] = ()

    @property
    def total(self) -> Cost:
        """The amount and its source, without the lines."""
        return Cost(nano_usd=self.nano_usd, source=self.source) if self.version else self

    @property
    def usd(self) -> str | None:
        """The amount in USD as a plain decimal string, None when unpriced."""
        return None if self.nano_usd is None else format_usd(self.nano_usd)

    def __add__(self, other: Cost) -> Cost:
        if self.source == "none":
            return other.total
        if other.source == "none":
            return self.total
        if self.nano_usd is None or other.nano_usd is None:
            return UNPRICED
        source = self.source if self.source == other.source else "mixed"
        return Cost(nano_usd=self.nano_usd + other.nano_usd, source=source)


def cost_line(unit: str, quantity: int | Decimal, unit_price_nano: int) -> CostLine:
    """The line of a quantity, rounded half up to the nano-USD."""
    # No Decimal is computed with, which would round to the digits of its context.
    count, divisor = quantity.as_integer_ratio()
    divisor *= PRICED_UNITS
    amount = (2 * count * unit_price_nano + divisor) // (2 * divisor)
    return CostLine(unit=unit, quantity=quantity, unit_price_nano=unit_price_nano, amount_nano=amount)


def format_usd(nano_usd: int) -> str:
    """Nano-USD as a plain decimal string without trailing zeros, for example "0.0125"."""
    amount = Decimal(nano_usd) / NANO
    return format(amount.normalize(), "f")


IMPORTED: Final = "imported"
"""The source of what a run from a file cost: it was spent, and is counted, where the run took place."""

UNPRICED = Cost(nano_usd=None, source="unpriced")
NO_COST = Cost(nano_usd=0, source="none")
FREE = Cost(nano_usd=0, source="free")
