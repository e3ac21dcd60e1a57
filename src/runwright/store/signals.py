"""Messages to the owners of runs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from runwright.core.ports import Signal
from runwright.store.database import Database
from runwright.store.rows import micros, moment
from runwright.store.schema import NOT_CONSUMED, signals


class SqlSignalStore:
    """The SignalStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, signal: Signal) -> None:
        """Leave a message."""
        values = {
            "id": signal.id,
            "run_id": signal.run_id,
            "kind": signal.kind,
            "body": signal.body,
            "created_at": micros(signal.created_at),
            "is_consumed": False,
        }
        with self._database.write() as connection:
            connection.execute(insert(signals), values)

    def pending(self, runs: Sequence[str] | None = None) -> Sequence[Signal]:
        """Messages that no owner has consumed, oldest first; those to these `runs` alone, where they are named."""
        query = select(signals).where(NOT_CONSUMED).order_by(signals.c.id)
        if runs is not None:
            query = query.where(signals.c.run_id.in_(runs))
        with self._database.read() as connection:
            return [
                Signal(
                    id=row.id,
                    run_id=row.run_id,
                    kind=row.kind,
                    body=bytes(row.body),
                    created_at=moment(row.created_at),
                )
                for row in connection.execute(query)
            ]

    def drop(self, signal_id: str) -> None:
        """Forget a message that nobody needs any more."""
        with self._database.write() as connection:
            connection.execute(delete(signals).where(signals.c.id == signal_id))
