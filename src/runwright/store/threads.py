"""Conversations."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select

from runwright.core.run import TERMINAL
from runwright.core.thread import Thread
from runwright.store.database import Database
from runwright.store.rows import Row, labels, labels_bytes, micros, moment, names
from runwright.store.schema import runs, threads
from runwright.store.statements import upsert


class SqlThreadStore:
    """The ThreadStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upsert = upsert(database.dialect, threads, columns=names(threads), changes=("title", "metadata"))

    def put(self, thread: Thread) -> None:
        """Create a thread, or change its title and metadata."""
        values = (
            thread.id,
            micros(thread.created_at),
            thread.title,
            thread.user,
            labels_bytes(thread.metadata),
            thread.head,
        )
        with self._database.write() as connection:
            connection.exec_driver_sql(self._upsert, values)

    def get(self, thread_id: str) -> Thread | None:
        """One thread."""
        with self._database.read() as connection:
            row = connection.execute(select(threads).where(threads.c.id == thread_id)).one_or_none()
        return None if row is None else _thread(row)

    def find(self, *, user: str | None = None, after: str | None = None, limit: int = 50) -> Sequence[Thread]:
        """A page of threads, newest first."""
        query = select(threads).order_by(threads.c.id.desc()).limit(limit)
        if user is not None:
            query = query.where(threads.c.user == user)
        if after is not None:
            query = query.where(threads.c.id < after)
        with self._database.read() as connection:
            return [_thread(row) for row in connection.execute(query)]

    def delete(self, thread_id: str) -> bool:
        """Remove a thread; its runs stay. False when there was none."""
        with self._database.write() as connection:
            return connection.execute(delete(threads).where(threads.c.id == thread_id)).rowcount > 0

    def active_run(self, thread_id: str) -> str | None:
        """The id of the oldest run of the thread that is not over."""
        active = (runs.c.thread_id == thread_id, runs.c.status.not_in(TERMINAL))
        query = select(runs.c.id).where(*active).order_by(runs.c.id).limit(1)
        with self._database.read() as connection:
            return connection.scalar(query)


def _thread(row: Row) -> Thread:
    return Thread(
        id=row[0],
        created_at=moment(row[1]),
        title=row[2],
        user=row[3],
        metadata=labels(row[4]),
        head=row[5],
    )
