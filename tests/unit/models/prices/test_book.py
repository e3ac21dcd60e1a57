"""Whose price it is."""

from datetime import UTC, datetime

import pytest

from runwright.core.usage import Usage
from runwright.models.prices import Prices, price_lists, read_prices
from runwright.models.providers import ProviderSettings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
USAGE = Usage(input_tokens=1_000_000, output_tokens=1_000_000, requests=1)


def entry(model: str, usd: str, extra: str = "") -> str:
    """An entry of a file of prices."""
    return f'[[price]]\nmodels = ["{model}"]\ninput_tokens = {usd}\noutput_tokens = {usd}\n{extra}\n'


def own(*entries: str, lists: dict[str, str] | None = None) -> Prices:
    """Prices with those of a user."""
    return Prices(read_prices("".join(entries)), lists=lists)


@pytest.mark.parametrize(
    ("ref", "usd", "source"),
    [
        ("local:smollm2-135m", "0", "local"),
        ("ollama:qwen3:4b", "0", "local"),
        ("vllm:anything", "0", "local"),
        ("demo:slow", "0", "demo"),
        ("demo", "0", "demo"),
        ("openai:gpt-5-mini", "2.25", "genai-prices"),
        ("mistral:mistral-large-latest", "2", "overlay"),
        ("xai:grok-4.7", "16", "genai-prices"),
        ("openai:nobody-knows", None, "unpriced"),
        ("acme:gpt-5-mini", None, "unpriced"),
        ("openai:mistral-large-latest", None, "unpriced"),
        ("together:gpt-5-mini", None, "unpriced"),
    ],
)
def test_price(ref: str, usd: str | None, source: str) -> None:
    """One's own machine costs nothing; a list price is of the provider that is called; the unknown is not zero."""
    cost = Prices().cost(ref, USAGE, at=NOW)
    assert (cost.usd, cost.source) == (usd, source)


@pytest.mark.parametrize("name", ["mistral", "mistralai", "mistral-ai"])
def test_a_provider_has_other_names(name: str) -> None:
    """The table of names leads to the same list; MLflow took the price of Azure for `mistralai`."""
    assert Prices().cost(f"{name}:mistral-large-latest", USAGE, at=NOW).usd == "2"


def test_own_prices_win() -> None:
    """A user's price wins over the lists and over what is free, one of the model over one of the provider."""
    prices = own(entry("openai:*", "1"), entry("openai:gpt-5", "3"), entry("ollama:*", "0.5"))
    assert prices.cost("openai:gpt-5", USAGE, at=NOW).usd == "6"
    assert prices.cost("openai:whatever", USAGE, at=NOW).usd == "2"
    assert prices.cost("ollama:qwen3", USAGE, at=NOW).source == "override"
    assert prices.cost("mistral:mistral-large-latest", USAGE, at=NOW).source == "overlay"


def test_prices_have_days() -> None:
    """The last entry that holds wins; outside of its days the next source is asked."""
    spring = entry("openai:gpt-5", "1", "valid_from = 2026-03-01\nvalid_to = 2026-06-01")
    may = entry("openai:gpt-5", "2", "valid_from = 2026-05-01\nvalid_to = 2026-06-01")
    prices = own(spring, may)

    def usd(month: int, day: int) -> str | None:
        return prices.cost("openai:gpt-5", USAGE, at=datetime(2026, month, day, tzinfo=UTC)).usd

    assert [usd(2, 28), usd(3, 1), usd(4, 30), usd(5, 1), usd(5, 31), usd(6, 1)] == [
        "11.25",
        "2",
        "2",
        "4",
        "4",
        "11.25",
    ]


def test_lists_have_days_too() -> None:
    """A name that moved to another model had another price before."""
    usd = [
        Prices().cost("mistral:mistral-large-latest", USAGE, at=datetime(2025, 12, day, tzinfo=UTC)).usd
        for day in (1, 2)
    ]
    assert usd == ["8", "2"]


def test_a_server_of_ones_own_has_no_list() -> None:
    """Behind a base URL of the user's own nobody knows the price, unless the settings say whose list applies."""
    lists = price_lists(
        {
            "openai": ProviderSettings(base_url="http://127.0.0.1:1/v1"),
            "mistral": ProviderSettings(base_url="https://api.mistral.ai/v1/", api_key="k"),
            "acme": ProviderSettings(base_url="https://acme.example", prices="openai"),
            "corp": ProviderSettings(base_url="https://corp.example"),
        }
    )
    prices = own(entry("corp:large", "1"), lists=dict(lists))
    assert {ref: prices.cost(ref, USAGE, at=NOW).usd for ref in REFS} == REFS
    assert prices.over(()).cost("openai:gpt-5", USAGE, at=NOW).usd == "11.25"


REFS = {
    "openai:gpt-5": None,
    "mistral:mistral-large-latest": "2",
    "acme:gpt-5": "11.25",
    "corp:gpt-5": None,
    "corp:large": "2",
    "groq:llama-3.1-8b-instant": "0.13",
}


def test_all_prices_of_a_model() -> None:
    """Every price that is known is told, the one that wins first."""
    known = own(entry("mistral:mistral-large-latest", "1")).all("mistral:mistral-large-latest")
    assert [price.source for price in known] == ["override", "overlay", "genai-prices"]
