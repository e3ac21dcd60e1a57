"""What may go from a store, and what went."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Prunable(msgspec.Struct, frozen=True, gc=False):
    """A run that may go. It has at most as many event rows as `last_seq` says."""

    run_id: str
    last_seq: int
    ended_at: datetime
