"""SQLite: how its connections are opened and what is asked of them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import QueuePool, StaticPool

from runwright.store.faults import read_only

Durability = Literal["normal", "full"]

OWNER_ONLY = 0o700
"""The mode of a data directory that is made here: its database holds all inputs and answers."""

CACHE = "PRAGMA cache_size = -4096"
SPILL = "PRAGMA cache_size = 16"
"""With few pages of cache an open transaction is written to the disk, which shows whether there is room."""

_BUSY_S = 10.0
# Checkpoints small and often: the default of 1,000 pages is a stall of 5 ms that waiting answers pay.
_CHECKPOINT_PAGES = 256
_WAL_LIMIT = 16 << 20
# Heeded before the first table is made alone, and written to the file each time; old databases need
# `runwright db compact` once.
_FRESH = ("PRAGMA auto_vacuum = INCREMENTAL",)
_WRITER = (
    "PRAGMA journal_mode = WAL",
    f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}",
    f"PRAGMA journal_size_limit = {_WAL_LIMIT}",
    CACHE,
    "PRAGMA temp_store = MEMORY",
)
_READER = ("PRAGMA query_only = ON", "PRAGMA cache_size = -1024", "PRAGMA temp_store = MEMORY")


def writer_engine(path: Path | None, durability: Durability) -> Engine:
    """The engine with the one connection that writes; None is a database in memory."""
    synchronous = f"PRAGMA synchronous = {durability.upper()}"
    is_fresh = path is not None and (not path.exists() or path.stat().st_size == 0)
    pragmas = (*(_FRESH if is_fresh else ()), *_WRITER, synchronous) if path else ()
    engine = _engine(path, StaticPool, pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def reader_engine(path: Path) -> Engine:
    """The engine with the connections that read; each sees the newest commit."""
    return _engine(path, QueuePool, _READER, pool_size=8, max_overflow=-1, pool_use_lifo=True)


def read_only_engine(path: Path) -> Engine:
    """The engine over a file that cannot be written, nor the folder it stands in."""
    # Without a write-ahead log nobody writes; SQLite would want to make its files all the same.
    log = path.with_name(f"{path.name}-wal")
    is_still = not log.exists() or log.stat().st_size == 0
    return _engine(path, StaticPool, _READER, query="mode=ro&immutable=1" if is_still else "mode=ro")


def check_directory(path: Path) -> None:
    """Make the data directory and the file, for their owner alone. Raises StorageReadOnly where that cannot be."""
    folder = path.parent
    try:
        folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
    except OSError as error:
        raise read_only(f"The data directory {str(folder)!r} cannot be made: {error.strerror}") from error
    if path.is_dir():
        raise read_only(f"{str(path)!r} is a directory, not a database file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise read_only(f"The data directory {str(folder)!r} cannot be written")
    # SQLite gives its other files the mode of the database; what else is wrong here, it says itself.
    with suppress(OSError):
        path.touch(mode=OWNER_ONLY & ~0o100, exist_ok=False)


def _engine(
    path: Path | None,
    pool: type[QueuePool | StaticPool],
    pragmas: tuple[str, ...],
    *,
    query: str = "",
    **options: object,
) -> Engine:
    place = ":memory:" if path is None else f"{path.absolute().as_uri()}?{query}" if query else str(path.absolute())

    def connect() -> sqlite3.Connection:
        # Transactions are begun by hand: the driver's own BEGIN is deferred and can fail in the middle.
        return sqlite3.connect(
            place,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            uri=bool(query),
        )

    engine = create_engine("sqlite://", creator=connect, poolclass=pool, **options)

    def prepare(connection: DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    event.listen(engine, "connect", prepare)
    return engine


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
