"""Money: integers in nano-USD inside, decimal strings at the surface."""

from __future__ import annotations

from decimal import Decimal

import msgspec

NANO = 1_000_000_000


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What something cost. `nano_usd` is None when no price is known: unpriced, which is not zero."""

    nano_usd: int | None = None
    source: str = "unpriced"

    @property
    def usd(self) -> str | None:
        """The amount in USD as a plain decimal string, None when unpriced."""
        return None if self.nano_usd is None else format_usd(self.nano_usd)

    def __add__(self, other: Cost) -> Cost:
        if self.source == "none":
            return other
        if other.source == "none":
            return self
        if self.nano_usd is None or other.nano_usd is None:
            return UNPRICED
        source = self.source if self.source == other.source else "mixed"
        return Cost(nano_usd=self.nano_usd + other.nano_usd, source=source)


def format_usd(nano_usd: int) -> str:
    """Nano-USD as a plain decimal string without trailing zeros, for example "0.0125"."""
    amount = Decimal(nano_usd) / NANO
    return format(amount.normalize(), "f")


UNPRICED = Cost()
NO_COST = Cost(nano_usd=0, source="none")
FREE = Cost(nano_usd=0, source="free")
