"""The snapshot of genai-prices against the package itself."""

import gzip
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices import types
from genai_prices.data import providers

from docs.prices import snapshot as written
from runwright.models.prices.snapshot import SNAPSHOT, Snapshot

SNAP = Snapshot(SNAPSHOT.read_bytes())
MOMENTS = (
    datetime(2026, 11, 21, 2, tzinfo=UTC),
    datetime(2026, 11, 21, 12, tzinfo=UTC),
    datetime(2025, 1, 1, tzinfo=UTC),
)
INPUT, CACHED, WRITTEN, OUTPUT = 300_000, 100_000, 50_000, 20_000


def test_the_file_is_what_the_package_says() -> None:
    """The file follows from the installed genai-prices; `python -m docs.prices` writes it anew."""
    assert SNAP.version == genai_prices.__version__
    assert gzip.decompress(SNAPSHOT.read_bytes()).decode() == written()


@pytest.mark.parametrize("provider", providers, ids=lambda provider: provider.id)
def test_calls_cost_what_the_package_says(provider: types.Provider) -> None:
    """For every model of every provider the cost of a call is that of genai-prices, but for what it takes as free."""
    for model in provider.models:
        name = model.id
        found = provider.find_model(name)
        if found is None:
            assert SNAP.find(provider.id, name) == []
            continue
        prices = SNAP.find(provider.id, name)
        assert prices[0].model == f"{provider.id}:{found.id}"
        for at in MOMENTS:
            price = next(price for price in reversed(prices) if price.holds(at))
            used = {"input_tokens": INPUT, "cached_input_tokens": CACHED, "cache_write_tokens": WRITTEN}
            cost = price.cost({**used, "output_tokens": OUTPUT, "requests": 1})
            if cost.nano_usd is None:
                assert not {"input_tokens", "output_tokens"} <= {rate.unit for rate in price.rates}
                continue
            usage = genai_prices.Usage(
                input_tokens=INPUT, cache_read_tokens=CACHED, cache_write_tokens=WRITTEN, output_tokens=OUTPUT
            )
            expected = found.calc_price(usage, provider, genai_request_timestamp=at).total_price
            assert abs(Decimal(cost.nano_usd) - expected * 10**9) < 2, (name, at)


def test_another_provider_is_never_asked() -> None:
    """Azure falls back to the prices of OpenAI in genai-prices; here a provider has its own models or none."""
    assert SNAP.find("azure", "gpt-5.4-nano-that-is-not-listed") == []
    assert SNAP.find("nobody", "gpt-5") == []
    assert SNAP.find("openai", "GPT-5")[0].model == "openai:gpt-5"
