"""Prices from TOML files, in one format for our overlay and for users."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path

import msgspec

from runwright.core.money import NANO
from runwright.core.spending import UNITS
from runwright.errors import ConfigError
from runwright.models.prices.price import Price, Tier, rates

OVERLAY = Path(__file__).parent / "overlay.toml"
OWN = "override"

Amount = Decimal | None


class _Amounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """USD per million units."""

    input_tokens: Amount = None
    cached_input_tokens: Amount = None
    cache_write_tokens: Amount = None
    input_audio_tokens: Amount = None
    output_tokens: Amount = None
    reasoning_tokens: Amount = None
    output_audio_tokens: Amount = None
    audio_seconds: Amount = None
    characters: Amount = None
    requests: Amount = None


class _Above(_Amounts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other amounts for calls whose input has more tokens than `above`."""

    above: int


class _Entry(_Amounts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    models: tuple[str, ...]
    valid_from: date | None = None
    valid_to: date | None = None
    hours: str | None = None
    page: str = ""
    tiers: tuple[_Above, ...] = ()


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    price: tuple[_Entry, ...] = ()
    version: str = ""


def read_prices(text: str, *, source: str = OWN, place: str = "") -> tuple[Price, ...]:
    """The prices of a TOML text, in order. Raises ConfigError that says what is wrong where."""
    try:
        values = tomllib.loads(text, parse_float=Decimal)
        file = msgspec.convert(values, _File, strict=False)
        version = file.version or blake2b(text.encode(), digest_size=4).hexdigest()
        return tuple(price for entry in file.price for price in _prices(entry, source, version))
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError("The prices cannot be read.", problems=[(place, str(error))]) from error


def read_file(path: Path) -> tuple[Price, ...]:
    """The prices of a user's file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The file of prices {str(path)!r} cannot be read: {error}.") from error
    return read_prices(text, place=str(path))


def _prices(entry: _Entry, source: str, version: str) -> Iterator[Price]:
    given = {
        unit: (_nano(amount), [Tier(above=tier.above, nano=_nano(part)) for tier, part in _tiers(entry, unit)])
        for unit in UNITS
        if (amount := getattr(entry, unit)) is not None
    }
    for model in entry.models:
        if ":" not in model:
            raise ValueError(f"{model!r} names no provider: write it as provider:name, or provider:* for all others")
        if not given:
            raise ValueError(f"{model!r} has no price for any unit; there are: {', '.join(UNITS)}")
        yield Price(
            model=model,
            source=source,
            version=version,
            rates=rates(given),
            valid_from=midnight(entry.valid_from),
            valid_to=midnight(entry.valid_to),
            hours=hours_of(entry.hours),
            page=entry.page,
        )


def _tiers(entry: _Entry, unit: str) -> Iterator[tuple[_Above, Decimal]]:
    for tier in entry.tiers:
        amount: Amount = getattr(tier, unit)
        if amount is not None:
            yield tier, amount


def _nano(amount: Decimal) -> int:
    nano = amount * NANO if amount.is_finite() else Decimal(-1)
    if nano < 0 or nano % 1:
        raise ValueError(f"a price is a number of USD from 0 on, with at most 9 decimals, not {amount}")
    return int(nano)


def midnight(day: date | None) -> datetime | None:
    """The beginning of a day in UTC."""
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)


def hours_of(text: str | None) -> tuple[time, time] | None:
    """Times of day from text like `16:30-00:30`. Raises ValueError."""
    if text is None:
        return None
    begin, _, end = text.partition("-")
    return time.fromisoformat(begin.strip()), time.fromisoformat(end.strip())
