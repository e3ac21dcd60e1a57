"""The KeyValue port over a database: looked at at once, written a little later, in batches, by a thread."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, tuple_

from runwright.core.sizes import KeyValueSize, Share
from runwright.store.database import Database
from runwright.store.faults import storage_error
from runwright.store.rows import names
from runwright.store.schema import cache
from runwright.store.similar import SqlQuestionStore
from runwright.store.statements import compiled, upsert

DEFAULT_BYTES: Final = 256 << 20
LARGEST: Final = 8
"""A value may take the eighth part of the room."""

WAITING: Final = 16 << 20
"""Bytes waiting for the disk above which nothing more is kept."""

SWEEP_S: Final = 300.0
PIECE: Final = 500
"""Rows that one transaction deletes."""

FILLED: Final = 0.9
"""What is left of the room when what is past it was deleted."""

_MICROS = 1_000_000
_logger = logging.getLogger("runwright.store")

Place = tuple[str, bytes]
Row = tuple[str, bytes, int, int, bytes]


class CacheTable:
    """The rows of the table `cache`, up to a number of bytes: those go first whose time is over first.

    All but `look` takes its time, and is for threads. `now` gives seconds since 1970.
    """

    def __init__(self, database: Database, *, limit: int, now: Callable[[], float]) -> None:
        self._database = database
        self._limit = limit
        self._now = now
        self._looking = database.looking()
        self._total: int | None = None
        self._swept = now()
        self.evicted = 0
        order = ("space", "key")
        this = (cache.c.space == bindparam("space")) & (cache.c.key == bindparam("key"))
        dialect = database.dialect
        self._find = compiled(dialect, select(cache.c.value, cache.c.expires_at).where(this), order)
        self._write = upsert(dialect, cache, columns=names(cache), changes=("expires_at", "size", "value"))

    @property
    def can_look(self) -> bool:
        """Whether a look at a row is so short that the event loop may take it."""
        return self._looking is not None

    def micros(self, more_s: float = 0.0) -> int:
        """The present time, or one later, as it stands in rows."""
        return int((self._now() + more_s) * _MICROS)

    def look(self, place: Place) -> bytes | None:
        """What is held, from a connection for looks alone. Raises StorageError."""
        assert self._looking is not None
        try:
            # All rows are taken: a statement that is not at its end would keep the log from being folded in.
            rows = self._looking.cursor().execute(self._find, place).fetchall()
        except self._database.faults as error:
            raise storage_error(error, self._database.place) from error
        return bytes(rows[0][0]) if rows and rows[0][1] > self.micros() else None

    def read(self, place: Place) -> bytes | None:
        """What is held. Raises StorageError."""
        this = (cache.c.space == place[0]) & (cache.c.key == place[1]) & (cache.c.expires_at > self.micros())
        with self._database.read() as connection:
            value = connection.scalar(select(cache.c.value).where(this))
        return None if value is None else bytes(value)

    def keep(self, rows: list[Row]) -> None:
        """Write rows, and sweep from time to time. Raises StorageError."""
        try:
            with self._database.cursor() as cursor:
                cursor.executemany(self._write, rows)
        except self._database.faults as error:
            raise storage_error(error, self._database.place) from error
        if self._total is None:
            self._total = self._sum()
        else:
            # What was replaced is counted twice until the next sweep.
            self._total += sum(row[3] for row in rows)
        if self._total > self._limit or self._now() > self._swept + SWEEP_S:
            self.sweep()

    def clear(self, space: str | None) -> int:
        """Delete the rows of a namespace, or all; how many. Raises StorageError."""
        condition = () if space is None else (cache.c.space == space,)
        with self._database.write() as connection:
            count = connection.execute(delete(cache).where(*condition)).rowcount
        self._total = None
        return count

    def sweep(self) -> int:
        """Delete what is past its time or has no room; how many. Raises StorageError."""
        self._swept = self._now()
        count = 0
        while gone := self._expire():
            count += gone
        total = self._sum()
        excess = total - int(self._limit * FILLED) if total > self._limit else 0
        while excess > 0:
            rows, size = self._evict(excess)
            if not rows:
                break
            self.evicted += rows
            count, total, excess = count + rows, total - size, excess - size
        self._total = total
        return count

    def measure(self) -> KeyValueSize:
        """How much is held. Raises StorageError."""
        sums = select(cache.c.space, func.count(), func.sum(cache.c.size)).group_by(cache.c.space)
        with self._database.read() as connection:
            rows = connection.execute(sums.order_by(cache.c.space)).all()
        sizes = tuple(Share(name=name, count=count, bytes=size) for name, count, size in rows)
        return KeyValueSize(place="database", limit=self._limit, evicted=self.evicted, spaces=sizes)

    def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.close()

    def _sum(self) -> int:
        with self._database.read() as connection:
            return connection.scalar(select(func.coalesce(func.sum(cache.c.size), 0))) or 0

    def _expire(self) -> int:
        old = select(cache.c.space, cache.c.key).where(cache.c.expires_at <= self.micros()).limit(PIECE)
        with self._database.write() as connection:
            places = [(row.space, row.key) for row in connection.execute(old)]
            self._drop(connection, places)
        return len(places)

    def _evict(self, excess: int) -> tuple[int, int]:
        """Delete some of the entries whose time is over first, up to so many bytes; how many, and their bytes."""
        first = select(cache.c.space, cache.c.key, cache.c.size).order_by(cache.c.expires_at).limit(PIECE)
        with self._database.write() as connection:
            gone: list[Place] = []
            size = 0
            for row in connection.execute(first):
                if size >= excess:
                    break
                gone.append((row.space, row.key))
                size += row.size
            self._drop(connection, gone)
        return len(gone), size

    def _drop(self, connection: Connection, places: Sequence[Place]) -> None:
        if places:
            connection.execute(delete(cache).where(tuple_(cache.c.space, cache.c.key).in_(places)))


def sweep_cache(database: Database, *, limit: int) -> int:
    """Forget what is past its time or has no room; how many answers that were. Raises StorageError."""
    table = CacheTable(database, limit=limit, now=time.time)
    try:
        SqlQuestionStore(database).sweep(now=time.time())
        return table.sweep()
    finally:
        table.close()


class SqlKeyValue:
    """Entries in the table `cache`, up to a number of bytes: those go first whose time is over first.

    Made in a thread, used on one event loop. A look at a file is made right there: the way through a thread takes
    three times as long. `now` gives seconds since 1970.
    """

    def __init__(self, database: Database, *, limit: int = DEFAULT_BYTES, now: Callable[[], float] = time.time) -> None:
        self._table = CacheTable(database, limit=limit, now=now)
        self._limit = limit
        self._waiting: dict[Place, Row] = {}
        self._writing: dict[Place, Row] = {}
        self._bytes = 0
        self._work: asyncio.Future[None] | None = None
        self._error: str | None = None

    async def get(self, space: str, key: bytes) -> bytes | None:
        """What is held under a key, until its time is over. Raises StorageError."""
        place = (space, key)
        waiting = self._waiting.get(place) or self._writing.get(place)
        if waiting is not None:
            return waiting[4] if waiting[2] > self._table.micros() else None
        return self._table.look(place) if self._table.can_look else await asyncio.to_thread(self._table.read, place)

    async def set(self, space: str, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """Hold it for that many seconds. What is too large, or more than the disk takes, is not held."""
        if len(value) > self._limit // LARGEST or ttl_s <= 0 or self._bytes > WAITING:
            return
        before = self._waiting.get((space, key))
        self._waiting[space, key] = (space, key, self._table.micros(ttl_s), len(value), value)
        self._bytes += len(value) - (0 if before is None else len(before[4]))
        self._begin()

    async def clear(self, space: str | None = None) -> int:
        """Forget all of a namespace, or of all; how many entries that were. Raises StorageError."""
        await self._settle()
        return await asyncio.to_thread(self._table.clear, space)

    async def size(self) -> KeyValueSize:
        """How much is held. Raises StorageError."""
        await self._settle()
        return await asyncio.to_thread(self._table.measure)

    async def close(self) -> None:
        """Write what is to be written."""
        await self._settle()
        await asyncio.to_thread(self._table.close)

    def _begin(self) -> None:
        """Hand what waits to a thread, if none is at work: whatever comes meanwhile is its next batch."""
        if self._work is None and self._waiting:
            self._writing, self._waiting = self._waiting, {}
            rows = list(self._writing.values())
            self._work = asyncio.get_running_loop().run_in_executor(None, self._table.keep, rows)
            self._work.add_done_callback(self._kept)

    def _kept(self, work: asyncio.Future[None]) -> None:
        error = None if work.cancelled() else work.exception()
        if error is not None and str(error) != self._error:
            _logger.warning("answers cannot be kept in the database: %s", error)
        self._error = None if error is None else str(error)
        self._bytes -= sum(len(row[4]) for row in self._writing.values())
        self._writing = {}
        self._work = None
        self._begin()

    async def _settle(self) -> None:
        while self._work is not None:
            await asyncio.wait([self._work])
            # The next batch begins in a callback, which may come after this.
            await asyncio.sleep(0)
