"""Typed, prefixed, time-sortable identifiers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import Literal

Prefix = Literal["run", "sch", "thr", "agt", "sig", "boot", "key", "req", "cohort", "blb"]

_TICK_NS = 250
_TICKS_PER_MS = 4000


def _ids() -> Callable[[Prefix], str]:
    """The maker of ids, which are ordered in a process: time that stands still or steps back is counted on.

    The newest tick is state of the process, as the clock is: an object to hand around would add nothing but its way.
    """
    # A generator of its own, so that an agent's `random.seed` does not touch it; seeded by the system. `os.urandom`
    # would hand the interpreter to another thread at every id, which costs a busy server a tenth of its time.
    bits = random.Random().getrandbits
    now_ns = time.time_ns
    last = 0

    def make_id(prefix: Prefix) -> str:
        """A new identifier: the prefix and a UUID of version 7 in hex (RFC 9562), so that ids sort by time.

        The 12 bits after the milliseconds are a finer part of the time (method 3 of section 6.2).
        """
        nonlocal last
        tick = now_ns() // _TICK_NS
        if tick <= last:
            tick = last + 1
        last = tick
        parts = (prefix, tick // _TICKS_PER_MS, tick % _TICKS_PER_MS, bits(60))
        return "%s_%012x7%03x8%015x" % parts  # noqa: UP031 - a fifth cheaper than an f-string

    return make_id


make_id = _ids()


def first_id(prefix: Prefix, at: datetime) -> str:
    """What the ids that are made from this time on are not below."""
    return f"{prefix}_{max(0, int(at.timestamp() * 1000)):012x}"
