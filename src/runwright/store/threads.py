"""Conversations."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Text, and_, bindparam, delete, exists, func, or_, select, update

from runwright.core.thread import Thread
from runwright.store.database import Database
from runwright.store.rows import names, thread_of, thread_values
from runwright.store.schema import NOT_OVER, runs, threads
from runwright.store.statements import upsert

# One statement, so that nobody takes a turn between the question and the answer. A turn of a run that is over, or that
# is not in the store, is none: nothing has to give it back, and no crash can leave it taken.
_ISTAKEN = exists().where(runs.c.id == threads.c.active, NOT_OVER)
_OLDEST = select(func.min(runs.c.id)).where(runs.c.thread_id == threads.c.id, NOT_OVER).scalar_subquery()
_RUN = bindparam("run", type_=Text)
TAKE = (
    update(threads)
    .where(threads.c.id == bindparam("thread"), or_(threads.c.active == _RUN, and_(~_ISTAKEN, _OLDEST == _RUN)))
    .values(active=_RUN)
    .returning(*threads.columns)
)


class SqlThreadStore:
    """The ThreadStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upsert = upsert(database.dialect, threads, columns=names(threads), changes=("title", "metadata"))

    def put(self, thread: Thread) -> None:
        """Create a thread, or change its title and metadata."""
        with self._database.write() as connection:
            connection.exec_driver_sql(self._upsert, thread_values(thread))

    def get(self, thread_id: str) -> Thread | None:
        """One thread."""
        with self._database.read() as connection:
            row = connection.execute(select(threads).where(threads.c.id == thread_id)).one_or_none()
        return None if row is None else thread_of(row)

    def find(self, *, user: str | None = None, after: str | None = None, limit: int = 50) -> Sequence[Thread]:
        """A page of threads, newest first."""
        query = select(threads).order_by(threads.c.id.desc()).limit(limit)
        if user is not None:
            query = query.where(threads.c.user == user)
        if after is not None:
            query = query.where(threads.c.id < after)
        with self._database.read() as connection:
            return [thread_of(row) for row in connection.execute(query)]

    def delete(self, thread_id: str) -> bool:
        """Remove a thread whose runs are over; they stay. False when nothing was removed."""
        is_busy = exists().where(runs.c.thread_id == thread_id, NOT_OVER)
        with self._database.write() as connection:
            return connection.execute(delete(threads).where(threads.c.id == thread_id, ~is_busy)).rowcount > 0

    def active_runs(self, thread_id: str) -> Sequence[str]:
        """The ids of the runs of the thread that are not over, oldest first."""
        query = select(runs.c.id).where(runs.c.thread_id == thread_id, NOT_OVER).order_by(runs.c.id)
        with self._database.read() as connection:
            return connection.scalars(query).all()

    def is_interrupted(self, thread_id: str, run_id: str) -> bool:
        """Whether the thread has a later run that interrupts those before it."""
        later = exists().where(runs.c.thread_id == thread_id, runs.c.id > run_id, runs.c.multitask == "interrupt")
        with self._database.read() as connection:
            return connection.execute(select(later)).scalar_one()

    def take(self, thread_id: str, run_id: str) -> Thread | None:
        """Give the run its turn: if it is the oldest one not over and no other has the turn. None if it must wait."""
        with self._database.write() as connection:
            row = connection.execute(TAKE, {"thread": thread_id, "run": run_id}).one_or_none()
        return None if row is None else thread_of(row)
