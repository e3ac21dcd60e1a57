"""Files of prices."""

from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from runwright.errors import ConfigError
from runwright.models.prices.files import OVERLAY, read_file, read_prices
from runwright.models.prices.price import Rate, Tier

ENTRY = """
[[price]]
models = ["acme:large", "acme:*"]
valid_from = 2026-01-01
valid_to = 2026-12-01
hours = "16:30-00:30"
page = "https://acme.example/prices"
input_tokens = 0.15
output_tokens = "2"
tiers = [{ above = 200000, input_tokens = 0.3 }]
"""


def test_an_entry_is_a_price_for_each_of_its_models() -> None:
    """Amounts are exact, days begin in UTC, and the version is that of the text where it names none."""
    large, others = read_prices(ENTRY)
    assert (large.model, others.model, large.source) == ("acme:large", "acme:*", "override")
    assert large.rates == (
        Rate(unit="input_tokens", nano=150_000_000, tiers=(Tier(above=200_000, nano=300_000_000),)),
        Rate(unit="output_tokens", nano=2_000_000_000),
    )
    assert (large.valid_from, large.valid_to) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert large.hours == (time(16, 30), time(0, 30))
    assert len(large.version) == 8
    assert read_prices('version = "7"\n' + ENTRY)[0].version == "7"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[price]]\nmodels = ["large"]\ninput_tokens = 1', "'large' names no provider"),
        ('[[price]]\nmodels = ["a:b"]', "'a:b' has no price for any unit"),
        ('[[price]]\nmodels = ["a:b"]\ninput = 1', "unknown field `input`"),
        ('[[price]]\nmodels = ["a:b"]\ninput_tokens = -1', "not -1"),
        ('[[price]]\nmodels = ["a:b"]\ninput_tokens = nan', "not NaN"),
        ('[[price]]\nmodels = ["a:b"]\ninput_tokens = 0.0000000001', "at most 9 decimals"),
        ('[[price]]\nmodels = ["a:b"]\ninput_tokens = 1\nhours = "noon"', "noon"),
        ("price", "Expected"),
    ],
    ids=["provider", "units", "unknown", "negative", "nan", "decimals", "hours", "toml"],
)
def test_a_mistake_is_told_with_its_place(text: str, problem: str) -> None:
    """Prices that cannot be read are refused as a whole."""
    with pytest.raises(ConfigError) as caught:
        read_prices(text, place="prices.toml")
    ((place, detail),) = caught.value.problems
    assert place == "prices.toml"
    assert problem in detail


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """A file that was named must be there."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read_file(tmp_path / "none.toml")


def test_the_overlay_is_whole() -> None:
    """Every entry of ours names the page of its provider, and each model stands there once."""
    prices = read_prices(OVERLAY.read_text(encoding="utf-8"), source="overlay")
    assert all(price.page.startswith("https://") for price in prices)
    assert len({price.model for price in prices}) == len(prices)
