"""The KeyValue port in memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from runwright.core.sizes import KeyValueSize, Share

DEFAULT_BYTES: Final = 64 << 20
OVERHEAD: Final = 200
"""Bytes that an entry takes beside its key and value."""

LARGEST: Final = 8
"""A value may take the eighth part of the room, so that one does not drive out all others."""


class _Entry(msgspec.Struct, gc=False):
    value: bytes
    until: float


class MemoryKeyValue:
    """Entries in memory, up to a number of bytes: those go first that were not asked for the longest.

    `now` gives seconds of any clock. Nothing here suspends.
    """

    def __init__(self, *, limit: int = DEFAULT_BYTES, now: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._now = now
        self._entries: OrderedDict[tuple[str, bytes], _Entry] = OrderedDict()
        self._bytes = 0
        self._evicted = 0

    async def get(self, space: str, key: bytes) -> bytes | None:
        """What is held under a key, until its time is over."""
        place = (space, key)
        entry = self._entries.get(place)
        if entry is None:
            return None
        if entry.until <= self._now():
            self._drop(place)
            return None
        self._entries.move_to_end(place)
        return entry.value

    async def set(self, space: str, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """Hold it for that many seconds. What is too large is not held."""
        place = (space, key)
        if place in self._entries:
            self._drop(place)
        size = _size(place, value)
        if size > self._limit // LARGEST or ttl_s <= 0:
            return
        self._entries[place] = _Entry(value, self._now() + ttl_s)
        self._bytes += size
        while self._bytes > self._limit:
            self._drop(next(iter(self._entries)))
            self._evicted += 1

    async def clear(self, space: str | None = None) -> int:
        """Forget all of a namespace, or of all; how many entries that were."""
        return self._forget([place for place in self._entries if space is None or place[0] == space])

    async def size(self) -> KeyValueSize:
        """How much is held."""
        spaces: dict[str, list[int]] = {}
        for place, entry in self._entries.items():
            found = spaces.setdefault(place[0], [0, 0])
            found[0] += 1
            found[1] += _size(place, entry.value)
        sizes = tuple(Share(name=name, count=found[0], bytes=found[1]) for name, found in sorted(spaces.items()))
        return KeyValueSize(place="memory", limit=self._limit, evicted=self._evicted, spaces=sizes)

    async def close(self) -> None:
        """Nothing is left to be written."""

    def _forget(self, places: list[tuple[str, bytes]]) -> int:
        for place in places:
            self._drop(place)
        return len(places)

    def _drop(self, place: tuple[str, bytes]) -> None:
        self._bytes -= _size(place, self._entries.pop(place).value)


def _size(place: tuple[str, bytes], value: bytes) -> int:
    return OVERHEAD + len(place[1]) + len(value)
