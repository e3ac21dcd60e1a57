"""Typed, prefixed, time-sortable identifiers."""

from __future__ import annotations

import random
import re
import time
from typing import Literal

Prefix = Literal["run", "thr", "agt", "sig", "boot", "key", "req", "blb"]

_RANDOM = random.Random()
"""Of its own, so that an agent's `random.seed` does not touch it; seeded by the system. `os.urandom` would hand the
interpreter to another thread at every id, which costs a busy server a tenth of its time."""

_ID = re.compile(r"^[a-z]{2,4}_[0-9a-f]{32}$")


def make_id(prefix: Prefix) -> str:
    """A new identifier: the prefix and a UUID of version 7 in hex (RFC 9562), so that ids sort by time."""
    stamp = time.time_ns() // 1_000_000
    value = (stamp << 80) | _RANDOM.getrandbits(80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return f"{prefix}_{value:032x}"


def is_id(text: str) -> bool:
    """Whether the text has the shape of an identifier."""
    return _ID.fullmatch(text) is not None
