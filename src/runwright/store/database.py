"""A database: connections that read, one that writes, and errors that say what to do."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Dialect, Engine, PoolProxiedConnection, create_engine, make_url
from sqlalchemy.engine.interfaces import DBAPICursor

from runwright.errors import StorageReadOnly
from runwright.store.faults import faults, storage_error
from runwright.store.sqlite import (
    CACHE,
    SPILL,
    Durability,
    check_directory,
    read_only_engine,
    reader_engine,
    writer_engine,
)

_MEMORY = ("sqlite://", "sqlite:///:memory:", ":memory:")


class Database:
    """Connections to one database. Thread-safe; writes of this process follow each other."""

    def __init__(self, *, place: str, reader: Engine, writer: Engine) -> None:
        self.place = place
        self._reader = reader
        self._writer = writer
        self.faults = faults(writer.dialect)
        self._is_sqlite = writer.dialect.name == "sqlite"
        # Only one connection of a SQLite file can write: to wait here is cheaper than SQLite's polling.
        self._write_lock = threading.RLock()
        self._journal: PoolProxiedConnection | None = None
        self._read_lock = self._write_lock if reader is writer else None

    @property
    def dialect(self) -> Dialect:
        """The dialect that statements are compiled for."""
        return self._writer.dialect

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A connection that reads. Raises StorageError."""
        if self._read_lock is not None:
            with self.write() as connection:
                yield connection
            return
        try:
            with self._reader.connect() as connection:
                yield connection
        # A driver raises the last one for numbers that are too large.
        except (*self.faults, OverflowError) as error:
            raise storage_error(error, self.place) from error

    @contextmanager
    def write(self) -> Generator[Connection]:
        """A transaction that is committed at the end, or rolled back by an exception. Raises StorageError."""
        try:
            with self._write_lock, self._writer.begin() as connection:
                yield connection
        except self.faults as error:
            raise storage_error(error, self.place) from error

    @contextmanager
    def cursor(self) -> Generator[DBAPICursor]:
        """A transaction on the driver's own cursor; the driver's errors come out as they are."""
        with self._write_lock, self._kept() as connection:
            cursor = connection.cursor()
            if self._is_sqlite:
                cursor.execute("BEGIN IMMEDIATE")
            yield cursor
            connection.commit()

    @contextmanager
    def trial(self) -> Generator[DBAPICursor]:
        """Like `cursor`, but what is written goes to the disk at once and is rolled back at the end."""
        with self._write_lock, self._kept() as connection:
            cursor = connection.cursor()
            if not self._is_sqlite:
                yield cursor
                connection.rollback()
                return
            cursor.execute(SPILL)
            try:
                cursor.execute("BEGIN IMMEDIATE")
                yield cursor
            finally:
                connection.rollback()
                cursor.execute(CACHE)

    def looking(self) -> PoolProxiedConnection | None:
        """A connection for one thread's looks at single rows of a file; None where each would be a wait for others."""
        if self._is_sqlite and self._reader is not self._writer:
            return self._reader.raw_connection()
        return None

    def compact(self) -> tuple[int, int]:
        """Write the file anew, without gaps, so that it can shrink from now on; the bytes before and after.

        Nobody else may write meanwhile. Raises StorageError.
        """
        pages = "SELECT page_size * page_count FROM pragma_page_size, pragma_page_count"
        with self._write_lock, self._kept() as connection:
            cursor = connection.cursor()
            try:
                before = cursor.execute(pages).fetchone()
                cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
                cursor.execute("VACUUM")
                after = cursor.execute(pages).fetchone()
            except self.faults as error:
                raise storage_error(error, self.place) from error
        return before[0], after[0]

    @contextmanager
    def _kept(self) -> Generator[PoolProxiedConnection]:
        # To take a connection from the pool costs as much as an insert, so the journal's is kept.
        connection = self._journal = self._journal or self._writer.raw_connection()
        try:
            yield connection
        except BaseException:
            try:
                connection.rollback()
            except self.faults:
                self._journal = None
                connection.invalidate()
            raise

    def close(self) -> None:
        """Close all connections. The last one to close folds the write-ahead log into the file."""
        # A thread may still be at the one connection of a database in memory: SQLite crashes if that is closed then.
        with self._write_lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None
            self._reader.dispose()
            self._writer.dispose()


def open_database(url: str | Path, *, durability: Durability = "normal") -> Database:
    """Open a database by path or URL: `data/runwright.db`, `sqlite:///data/runwright.db`, `sqlite://` (in memory) or
    `postgresql://user@host/name`. Raises StorageReadOnly when its directory cannot be made or written.
    """
    text = str(url)
    if text in _MEMORY:
        memory = writer_engine(None, durability)
        return Database(place="memory", reader=memory, writer=memory)
    if text.startswith("postgresql"):
        return _open_server(text)
    path = Path(text.removeprefix("sqlite:///"))
    check_directory(path)
    return Database(place=str(path), reader=reader_engine(path), writer=writer_engine(path, durability))


def open_read_only(path: Path) -> Database:
    """Open the file of a database that this process cannot write. Raises StorageReadOnly when it cannot be read."""
    engine = read_only_engine(path)
    database = Database(place=str(path), reader=engine, writer=engine)
    try:
        with database.read() as connection:
            connection.exec_driver_sql("SELECT 1 FROM sqlite_schema")
    except StorageReadOnly as error:
        database.close()
        raise StorageReadOnly(
            f"{path} can neither be written nor read as it is: copy the data directory, with all its files, to a "
            "place that can be written, and name that with --data."
        ) from error
    except BaseException:
        database.close()
        raise
    return database


def _open_server(text: str) -> Database:
    url = make_url(text).set(drivername="postgresql+psycopg")
    engine = create_engine(url, paramstyle="format")
    reader = engine.execution_options(isolation_level="AUTOCOMMIT")
    place = url.set(password=None).render_as_string()
    return Database(place=place, reader=reader, writer=engine)
