"""Prices: what is known of a model's price."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from runwright.core.money import format_usd
from runwright.errors import InvalidRequest
from runwright.models.prices import Price, Prices, Rate


class RateView(msgspec.Struct, frozen=True, kw_only=True):
    """What a million of one unit cost; `above` is given for calls whose input has more tokens than that."""

    unit: str
    usd: str
    above: int | None = None


class PriceView(msgspec.Struct, frozen=True, kw_only=True):
    """A price: `source` is demo, local, override, overlay or genai-prices; it holds until before `valid_to`.

    `hours` are times of day in UTC. What is free has no rates.
    """

    model: str
    source: str
    version: str
    valid_from: datetime | None
    valid_to: datetime | None
    hours: str | None
    page: str
    rates: Sequence[RateView]


class ModelPrice(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a model at a time, None when it is unpriced, and all that are known, the winning one first."""

    object: Literal["model_price"] = "model_price"
    model: str
    at: datetime
    price: PriceView | None
    known: Sequence[PriceView]


def model_price(prices: Prices, model: str, *, at: datetime) -> ModelPrice:
    """What is known of the price of a model. Raises InvalidRequest for a name without a provider."""
    if ":" not in model and model != "demo":
        detail = f"write it as provider:name, for example openai:{model}"
        raise InvalidRequest(f"{model!r} names no provider.", problems=[("/model", detail)])
    price = prices.price(model, at=at)
    return ModelPrice(
        model=model, at=at, price=price and _view(price), known=[_view(known) for known in prices.all(model)]
    )


def _view(price: Price) -> PriceView:
    return PriceView(
        model=price.model,
        source=price.source,
        version=price.version,
        valid_from=price.valid_from,
        valid_to=price.valid_to,
        hours=None if price.hours is None else "-".join(f"{time:%H:%M}" for time in price.hours),
        page=price.page,
        rates=[view for rate in price.rates for view in _rates(rate)],
    )


def _rates(rate: Rate) -> Sequence[RateView]:
    base = RateView(unit=rate.unit, usd=format_usd(rate.nano))
    return [base, *(RateView(unit=rate.unit, usd=format_usd(tier.nano), above=tier.above) for tier in rate.tiers)]
