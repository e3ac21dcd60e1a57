"""Runs that changed since a position."""

from __future__ import annotations

from sqlalchemy import func, select

from runwright.core.changes import Changed
from runwright.core.ports import DELTA_ROW
from runwright.store.database import Database
from runwright.store.rows import run_of
from runwright.store.schema import events, runs


class SqlChangeStore:
    """The ChangeStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> int:
        """The position of the newest event; 0 when there is none."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(events.c.position))) or 0

    def since(self, after: int, *, limit: int) -> Changed:
        """What was recorded behind a position; a gap where that is more than `limit` rows."""
        columns = select(events.c.position, events.c.run_id, events.c.type)
        query = columns.where(events.c.position > after).order_by(events.c.position).limit(limit + 1)
        with self._database.read() as connection:
            found = connection.execute(query).all()
            if len(found) > limit:
                newest = connection.scalar(select(func.max(events.c.position))) or 0
                return Changed(after=after, position=newest, is_gap=True)
            # Pieces of an answer change nothing in the row of their run.
            named = {row.run_id for row in found if row.type != DELTA_ROW}
            rows = connection.execute(select(runs).where(runs.c.id.in_(named)).order_by(runs.c.id)) if named else ()
            position = found[-1].position if found else after
            return Changed(after=after, position=position, runs=tuple(run_of(row) for row in rows))
