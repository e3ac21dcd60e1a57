"""What takes the space of a store."""

from __future__ import annotations

import msgspec


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one part takes: `count` rows, blobs or events; None where the bytes are not known."""

    name: str
    count: int
    bytes: int | None


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a store, the largest parts first.

    `database` is the file, of which `free` is what a pruning left and new rows take; `log` is the write-ahead log.
    `tables` come with their indexes. `blobs` are named by the type of event that refers to them first, and `agents`
    have the bodies and blobs of their events, shared ones with whom they came from first.
    """

    database: int
    free: int
    log: int
    tables: tuple[Share, ...]
    blobs: tuple[Share, ...]
    agents: tuple[Share, ...]


class KeyValueSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much is held for a time at a place, by namespace, and how many entries went for want of room.

    `limit` is how many bytes at the most, None where others say; `evicted` counts from the start of the process.
    """

    place: str
    limit: int | None
    evicted: int
    spaces: tuple[Share, ...]
