"""Prices."""

import pytest

from runwright.core.usage import Usage
from runwright.models import price


@pytest.mark.parametrize(
    ("ref", "usd", "source"),
    [
        ("local:smollm2-135m", "0", "local"),
        ("ollama:qwen3:4b", "0", "local"),
        ("demo:slow", "0", "demo"),
        ("openai:gpt-5-mini", None, "unpriced"),
    ],
)
def test_price(ref: str, usd: str | None, source: str) -> None:
    """One's own machine costs nothing; an unknown price is not zero."""
    cost = price(ref, Usage(input_tokens=5, output_tokens=5))
    assert (cost.usd, cost.source) == (usd, source)
