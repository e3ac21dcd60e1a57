"""Histograms of durations: eight buckets per factor of e, so what they say is right within 7 %.

A histogram is one integer with 32 bits for each bucket, the first one lowest: to add two is to add two numbers.
"""

from __future__ import annotations

import math
from typing import Final

PER_E: Final = 8
LAST: Final = 255
"""The last bucket, for all that takes longer than two years; the first one is for up to a microsecond."""

_BITS = 32
_BYTES = _BITS // 8
_MASK = (1 << _BITS) - 1
_MICROS = 1_000_000


def one(duration_us: int) -> int:
    """The histogram of one duration."""
    bucket = min(int(math.log(duration_us) * PER_E), LAST) if duration_us > 1 else 0
    return 1 << bucket * _BITS


def to_bytes(histogram: int) -> bytes:
    """A byte with the number of the first bucket that is not empty, then its count and all others up to the last."""
    first = ((histogram & -histogram).bit_length() - 1) // _BITS if histogram else 0
    rest = histogram >> first * _BITS
    lanes = -(-rest.bit_length() // _BITS)
    return first.to_bytes() + rest.to_bytes(lanes * _BYTES, "little")


def from_bytes(data: bytes) -> int:
    """A histogram from its bytes."""
    return int.from_bytes(data[1:], "little") << data[0] * _BITS


def percentile(histogram: int, share: float) -> float | None:
    """The seconds that this share of the durations stay below, None when there are none."""
    counts = [histogram >> bucket * _BITS & _MASK for bucket in range(-(-histogram.bit_length() // _BITS))]
    rank = max(math.ceil(sum(counts) * share), 1)
    for bucket, count in enumerate(counts):
        rank -= count
        if count and rank <= 0:
            return math.exp((bucket + 0.5) / PER_E) / _MICROS
    return None
