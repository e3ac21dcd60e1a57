"""Write the snapshot of genai-prices that the package ships: `python -m docs.prices`; with `--check`, only compare."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

import genai_prices
import msgspec
from genai_prices import types
from genai_prices.data import providers

from runwright.models.prices.snapshot import SNAPSHOT, Condition, Known

NANO = Decimal(1_000_000_000)
PER = {"mtok": 1, "mchars": 1, "kcount": 1_000, "hours": Decimal(1_000_000) / 3600}
UNITS = {
    "input_mtok": "input_tokens",
    "output_mtok": "output_tokens",
    "cache_read_mtok": "cached_input_tokens",
    "cache_write_mtok": "cache_write_tokens",
    "input_audio_mtok": "input_audio_tokens",
    "output_audio_mtok": "output_audio_tokens",
    "output_reasoning_mtok": "reasoning_tokens",
    "audio_hours": "audio_seconds",
    "input_audio_hours": "audio_seconds",
    "input_mchars": "characters",
    "requests_kcount": "requests",
}
"""Their names of prices, and our units. Prices of other things (pages, searches, images) are left out."""

LICENCE = "Data of genai-prices, Copyright (c) Pydantic Services Inc. 2025 to present, under the MIT License."


def snapshot() -> str:
    """The file, one model a line."""
    listed = sorted(providers, key=lambda provider: provider.id)
    parts = ",\n".join(f'"{provider.id}": [\n{_lines(provider)}\n]' for provider in listed if _lines(provider))
    version, licence = (msgspec.json.encode(text).decode() for text in (genai_prices.__version__, LICENCE))
    return f'{{"version": {version},\n"licence": {licence},\n"providers": {{\n{parts}\n}}}}\n'


def _lines(provider: types.Provider) -> str:
    return ",\n".join(msgspec.json.encode(known).decode() for known in _known(provider))


def _known(provider: types.Provider) -> Iterator[Known]:
    for model in provider.models:
        prices = (
            [types.ConditionalPrice(prices=model.prices)]
            if isinstance(model.prices, types.ModelPrice)
            else model.prices
        )
        # A model without a price of a known unit stays: its name must not fall to one that comes after it.
        yield Known(id=model.id, ways=tuple(_ways(model.match)), prices=tuple(map(_condition, prices)))


def _condition(given: types.ConditionalPrice) -> Condition:
    named = {name: value for name, value in vars(given.prices).items() if value is not None and name in UNITS}
    amounts = {UNITS[name]: _amounts(name, value) for name, value in named.items()}
    when = given.constraint
    return Condition(
        amounts=amounts,
        since=when.start_date if isinstance(when, types.StartDateConstraint) else None,
        hours=f"{when.start_time:%H:%M}-{when.end_time:%H:%M}"
        if isinstance(when, types.TimeOfDateConstraint)
        else None,
    )


def _amounts(name: str, value: Decimal | types.TieredPrices) -> tuple[tuple[int, int], ...]:
    per = PER[name.rpartition("_")[2]]
    if isinstance(value, Decimal):
        return ((0, _nano(value * per)),)
    return ((0, _nano(value.base * per)), *((tier.start, _nano(tier.price * per)) for tier in value.tiers))


def _nano(usd: Decimal) -> int:
    return int((usd * NANO).to_integral_value(ROUND_HALF_UP))


def _ways(match: types.MatchLogic) -> Iterator[str]:
    if isinstance(match, types.ClauseOr):
        for clause in match.or_:
            yield from _ways(clause)
    elif isinstance(match, types.ClauseAnd):
        yield "&" + " ".join(way for clause in match.and_ for way in _ways(clause))
    else:
        yield _way(match)


def _way(clause: types.MatchLogic) -> str:
    match clause:
        case types.ClauseEquals():
            return "=" + clause.equals.lower()
        case types.ClauseStartsWith():
            return "^" + clause.starts_with.lower()
        case types.ClauseEndsWith():
            return "$" + clause.ends_with.lower()
        case types.ClauseContains():
            return "~" + clause.contains.lower()
        case types.ClauseRegex():
            return "/" + clause.regex
        case _:
            raise TypeError(f"{clause!r} is no single clause")


def main() -> int:
    """Write the file, or say whether it is as it would be written."""
    text = snapshot()
    if "--check" in sys.argv[1:]:
        return int(gzip.decompress(SNAPSHOT.read_bytes()).decode() != text)
    # The same text gives the same file.
    SNAPSHOT.write_bytes(gzip.compress(text.encode(), mtime=0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
