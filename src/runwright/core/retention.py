"""What may go from a store, and what went."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Prunable(msgspec.Struct, frozen=True, gc=False):
    """A run that may go. It has at most as many event rows as `last_seq` says."""

    run_id: str
    last_seq: int
    ended_at: datetime


class Deleted(msgspec.Struct, frozen=True, gc=False):
    """What one deletion took: so many runs, with events up to a position."""

    runs: int
    position: int
