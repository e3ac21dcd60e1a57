"""The price of a model: one's own prices, else our overlay, else the snapshot of genai-prices, else none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache

from runwright.core.money import UNPRICED, Cost
from runwright.core.spending import Quantities
from runwright.core.usage import Usage
from runwright.models.prices.files import OVERLAY, read_prices
from runwright.models.prices.price import Price, quantities
from runwright.models.prices.snapshot import SNAPSHOT, Snapshot
from runwright.models.providers import PROVIDERS, ProviderSettings, provider_spec

KNOWN_REFS = 1024
"""References whose prices are kept: a caller may invent any number of names."""

ALIASES: Mapping[str, str] = {
    "azure-openai": "azure",
    "azure_openai": "azure",
    "bedrock": "aws",
    "eleven-labs": "elevenlabs",
    "fireworks-ai": "fireworks",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "google-gla": "google",
    "google-vertex": "google",
    "grok": "x-ai",
    "mistral-ai": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "together-ai": "together",
    "together_ai": "together",
    "togetherai": "together",
    "vertex_ai": "google",
    "xai": "x-ai",
}
"""Other names of providers, and their names in price lists. A name that is in neither has no list."""

Layer = tuple[Price, ...]
"""Prices of one source for one model, the one that wins first."""


class Prices:
    """What calls cost. `own` prices win over all others; of one source, the last that holds wins.

    `lists` says by whose list a provider's calls are priced, where that is not its own: empty for no list. A price is
    never taken from another provider: what has none is unpriced.
    """

    def __init__(self, own: Sequence[Price] = (), *, lists: Mapping[str, str] | None = None) -> None:
        self._own = tuple(own)
        self._lists = dict(lists or {})
        self._index = _by_model(self._own)
        self._layers = lru_cache(KNOWN_REFS)(self._find)

    def cost(self, ref: str, used: Usage | Quantities, *, at: datetime) -> Cost:
        """What the use of `ref` costs that ended at that time: a model call, or what a tool says that it spent."""
        price = self.price(ref, at=at)
        if price is None:
            return UNPRICED
        return price.cost(quantities(used) if isinstance(used, Usage) else used)

    def price(self, ref: str, *, at: datetime) -> Price | None:
        """The price of a model at a time, None when it is not known."""
        for layer in self._layers(ref):
            for price in layer:
                if price.holds(at):
                    return price
        return None

    def all(self, ref: str) -> Sequence[Price]:
        """Every price of a model, the one that wins first: also those that hold no more or not yet."""
        return [price for layer in self._layers(ref) for price in layer]

    def over(self, own: Sequence[Price]) -> Prices:
        """These prices with others that win over them. Providers are priced by their own lists."""
        return Prices((*self._own, *own))

    def load(self) -> None:
        """Read the lists now, which takes 5 ms, and not when the first call is priced."""
        _ = self._overlay, self._snapshot

    def _find(self, ref: str) -> tuple[Layer, ...]:
        provider, _, model = ref.partition(":")
        name = ALIASES.get(provider, provider)
        layers = [self._index.get(f"{name}:{model}", ()), self._index.get(f"{name}:*", ())]
        if provider in {"demo", "local"}:
            layers.append((Price(model=f"{provider}:*", source=provider, is_free=True),))
        elif provider_spec(provider).is_local:
            layers.append((Price(model=f"{provider}:*", source="local", is_free=True),))
        else:
            given = self._lists.get(provider, name)
            name = ALIASES.get(given, given)
            layers.append(self._overlay.get(f"{name}:{model.lower()}", ()))
            layers.append(tuple(reversed(self._snapshot.find(name, model))))
        return tuple(layer for layer in layers if layer)

    @cached_property
    def _overlay(self) -> Mapping[str, Layer]:
        return _by_model(read_prices(OVERLAY.read_text(encoding="utf-8"), source="overlay", place=OVERLAY.name))

    @cached_property
    def _snapshot(self) -> Snapshot:
        return Snapshot(SNAPSHOT.read_bytes())


def price_lists(providers: Mapping[str, ProviderSettings]) -> Mapping[str, str]:
    """By whose list each provider is priced: behind a base URL of one's own by none, unless the settings name one."""
    return {
        name: given.prices
        for name, given in providers.items()
        if given.prices or (given.base_url and given.base_url.rstrip("/") != _own_url(name))
    }


def _own_url(name: str) -> str:
    return PROVIDERS[name].base_url if name in PROVIDERS else ""


def _by_model(prices: Sequence[Price]) -> dict[str, Layer]:
    index: dict[str, Layer] = {}
    for price in prices:
        provider, _, model = price.model.partition(":")
        key = f"{ALIASES.get(provider, provider)}:{model}"
        index[key] = (price, *index.get(key, ()))
    return index
