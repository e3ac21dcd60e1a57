"""What a model call costs."""

from __future__ import annotations

from runwright.core.money import UNPRICED, Cost
from runwright.core.usage import Usage
from runwright.models.providers import provider_spec


def price(ref: str, usage: Usage) -> Cost:
    """The cost of a call of the model `ref`: nothing on one's own machine, unpriced elsewhere."""
    provider = ref.partition(":")[0]
    if provider == "demo":
        return Cost(nano_usd=0, source="demo")
    if provider == "local" or provider_spec(provider).is_local:
        return Cost(nano_usd=0, source="local")
    return UNPRICED
