"""The prices of genai-prices (https://github.com/pydantic/genai-prices) as they were when this release was made.

`docs/prices.py` writes the file beside this module. Read in place of the package, it needs no import of 130 ms, no two
further packages, and its amounts are integers.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec

from runwright.models.prices.files import hours_of, midnight
from runwright.models.prices.price import Price, Tier, rates

SNAPSHOT = Path(__file__).parent / "genai_prices.json.gz"
SOURCE = "genai-prices"


class Condition(msgspec.Struct, frozen=True, omit_defaults=True, rename={"since": "from"}):
    """Amounts in nano-USD by unit: the first for all calls, each further one where input has more tokens than that."""

    amounts: dict[str, tuple[tuple[int, int], ...]]
    since: date | None = None
    hours: str | None = None


class Known(msgspec.Struct, frozen=True, gc=False):
    """A model, known by one of its ways, and its prices: the last whose condition holds wins.

    A way is `=whole`, `^start`, `$end`, `~part` or `/regex` of a name in lower case, or `&` and several that must fit,
    parted by blanks.
    """

    id: str
    ways: tuple[str, ...]
    prices: tuple[Condition, ...]


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """The file: models by provider, in the order in which they are tried."""

    version: str
    licence: str
    providers: dict[str, msgspec.Raw]


class Snapshot:
    """Prices by provider and model; a provider is decoded when it is asked for. `packed` is the file's gzip."""

    def __init__(self, packed: bytes) -> None:
        self._contents = msgspec.json.decode(gzip.decompress(packed), type=Contents)
        self._known: dict[str, Sequence[Known]] = {}

    @property
    def version(self) -> str:
        """The version of genai-prices."""
        return self._contents.version

    @property
    def providers(self) -> Sequence[str]:
        """The names of all providers."""
        return list(self._contents.providers)

    def models(self, provider: str) -> Sequence[Known]:
        """The models of a provider; none of one that is not known."""
        if provider not in self._known:
            raw = self._contents.providers.get(provider, msgspec.Raw(b"[]"))
            self._known[provider] = msgspec.json.decode(raw, type=tuple[Known, ...])
        return self._known[provider]

    def find(self, provider: str, model: str) -> Sequence[Price]:
        """The prices of a model of that provider and of no other, in the order in which later ones win."""
        name = model.lower()
        for known in self.models(provider):
            if any(_fits(way, name) for way in known.ways):
                return [self._price(f"{provider}:{known.id}", condition) for condition in known.prices]
        return []

    def _price(self, model: str, condition: Condition) -> Price:
        given = {
            unit: (base, [Tier(above=above, nano=nano) for above, nano in tiers])
            for unit, ((_, base), *tiers) in condition.amounts.items()
        }
        return Price(
            model=model,
            source=SOURCE,
            version=self.version,
            rates=rates(given),
            valid_from=midnight(condition.since),
            hours=hours_of(condition.hours),
        )


def _fits(way: str, name: str) -> bool:
    kind, text = way[0], way[1:]
    match kind:
        case "=":
            return name == text
        case "^":
            return name.startswith(text)
        case "$":
            return name.endswith(text)
        case "~":
            return text in name
        case "&":
            return all(_fits(part, name) for part in text.split(" "))
        case _:
            return re.search(text, name) is not None
