"""A thread: a conversation that runs belong to."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """The row of a thread. `head` is the id of its newest completed run; the history is that run's conversation."""

    id: str
    created_at: datetime
    title: str = ""
    user: str | None = None
    metadata: dict[str, str] = {}
    head: str | None = None
