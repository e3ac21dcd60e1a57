"""What is paid for: the units of use, and quantities of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

Quantities = Mapping[str, int | Decimal]
"""How much was used of each unit. A part of another unit is counted in that too, as in Usage."""

UNITS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "input_audio_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "audio_seconds",
    "characters",
    "requests",
)
PART_OF = {
    "cached_input_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "input_audio_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
    "output_audio_tokens": "output_tokens",
}
"""Units that are parts of others: without a price of their own they cost what the whole does."""

MOST: Final = 10**15
DECIMALS: Final = 9
_REF = re.compile(r"[^\s:]{1,64}:\S{1,256}")


def check_spent(ref: str, used: Mapping[str, object]) -> Quantities:
    """What somebody says that was used of `ref`, as quantities. Raises ValueError or TypeError."""
    if not _REF.fullmatch(ref):
        raise ValueError(
            f"what was spent on is written as provider:name, for example elevenlabs:eleven_v3, not {ref!r}"
        )
    if not used:
        raise ValueError(f"say how much was spent on {ref!r}, for example characters=120; units are {', '.join(UNITS)}")
    found = {unit: _quantity(unit, value) for unit, value in used.items()}
    for whole in dict.fromkeys(PART_OF.values()):
        parts = {unit: found[unit] for unit, of in PART_OF.items() if of == whole and found.get(unit)}
        if sum(parts.values()) > found.get(whole, 0):
            raise ValueError(f"{' and '.join(parts)} are part of {whole}: count them in that too")
    return found


def _quantity(unit: str, value: object) -> int | Decimal:
    if unit not in UNITS:
        raise ValueError(f"there is no unit {unit!r}; units are {', '.join(UNITS)}")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError(f"{unit} is a whole number or a Decimal, not {value!r}")
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{unit} is a number, not {value!r}")
    if not 0 <= value <= MOST:
        raise ValueError(f"{unit} is from 0 to {MOST}, not {value!r}")
    if value == int(value):
        return int(value)
    if round(value, DECIMALS) != value:
        raise ValueError(f"{unit} has at most {DECIMALS} decimals, not {value!r}")
    return value
