"""The prices of calls against what providers publish."""

import tomllib
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from runwright.core.usage import Usage
from runwright.models.prices import Prices, quantities

PUBLISHED = Path(__file__).with_name("published.toml")
USAGE = Usage(input_tokens=123_457, cached_input_tokens=23_456, output_tokens=9_871, reasoning_tokens=77, requests=1)
NANO = Decimal(1_000)
"""Nano-USD for a unit whose million costs one USD."""

MOST_USED = {
    "mistral:mistral-large-latest",
    "mistral:mistral-medium-latest",
    "mistral:mistral-small-latest",
    "mistral:codestral-latest",
    "mistral:devstral-latest",
    "mistral:ministral-8b-latest",
    "mistral:magistral-medium-latest",
}


def pages() -> list[dict[str, Any]]:
    """The pages of the file."""
    return tomllib.loads(PUBLISHED.read_text(encoding="utf-8"), parse_float=Decimal)["page"]


def figures(kind: str) -> list[Any]:
    """The figures of one kind with the day on which they held, a test case each."""
    return [
        pytest.param(model, prices, page["day"], id=model) for page in pages() for model, *prices in page.get(kind, ())
    ]


def nano(*parts: tuple[int, Decimal]) -> int:
    """Quantities at USD per million units, each rounded to the nano."""
    return sum(int((quantity * price * NANO).to_integral_value(ROUND_HALF_UP)) for quantity, price in parts)


def noon(day: date) -> datetime:
    """Outside of everybody's peak hours."""
    return datetime.combine(day, time(12), UTC)


@pytest.mark.parametrize(("model", "prices", "day"), figures("text"))
def test_a_call_costs_what_the_page_says(model: str, prices: list[Any], day: date) -> None:
    """Input, cached input and output at their published prices give the cost to the nano."""
    input, cached, output = prices
    fresh = USAGE.input_tokens - USAGE.cached_input_tokens
    usage = USAGE if cached != "" else Usage(input_tokens=fresh, output_tokens=USAGE.output_tokens)
    parts = [(fresh, input), (USAGE.output_tokens, output)]
    if cached != "":
        parts.append((USAGE.cached_input_tokens, cached))
    cost = Prices().cost(model, usage, at=noon(day))
    assert cost.nano_usd == nano(*parts)
    assert cost.nano_usd == sum(line.amount_nano for line in cost.lines)


@pytest.mark.parametrize(("model", "prices", "day"), figures("characters"))
def test_speech_costs_its_characters(model: str, prices: list[Any], day: date) -> None:
    """Text to speech is priced by the characters of the text."""
    price = Prices().price(model, at=noon(day))
    assert price is not None
    cost = price.cost({"characters": 1_234})
    assert cost.nano_usd == nano((1_234, Decimal(prices[0])))
    assert [line.unit for line in cost.lines] == ["characters"]


def test_enough_models_are_compared() -> None:
    """There are figures of forty models, with the most used ones of Mistral and three of ElevenLabs."""
    text = {case.id for case in figures("text")}
    speech = {case.id for case in figures("characters")}
    assert len(text | speech) >= 40
    assert text >= MOST_USED
    assert len([model for model in speech if model.startswith("elevenlabs:")]) >= 3


def test_every_page_is_named() -> None:
    """Each figure has the page it stands on, and how that was read."""
    assert all(page["url"].startswith("https://") and page["how"] for page in pages())


def test_text_is_no_speech() -> None:
    """A model that is priced by characters is unpriced for tokens: nothing is guessed."""
    cost = Prices().cost("elevenlabs:eleven_v3", USAGE, at=noon(date(2026, 11, 21)))
    assert (cost.nano_usd, cost.source, quantities(USAGE)["input_tokens"]) == (None, "unpriced", 123_457)
