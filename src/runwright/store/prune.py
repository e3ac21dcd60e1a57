"""Deletes what is old, a little at a time, beside those who write.

Blobs are shared, so they go apart from runs: what no event refers to any more is swept. A writer does not store again
what it knows to be there, so a sweep begins a generation, in which every writer starts over: the blobs it needs get its
number. A blob of an earlier generation is needed by no event that came after the generation began, only by those that
came before and are still there, and these are read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, exists, func, insert, literal, or_, select
from sqlalchemy.sql.elements import ColumnElement

from runwright.core.ports import Stored
from runwright.core.retention import Prunable
from runwright.core.run import TERMINAL
from runwright.store.blobs import fetch_blobs
from runwright.store.database import Database
from runwright.store.rows import event_of, micros, moment
from runwright.store.schema import (
    NOT_OVER,
    blobs,
    events,
    idempotency,
    memory_entries,
    pins,
    run_tags,
    runs,
    signals,
    steps,
    sweeps,
    threads,
)

PIECE = 2_000
"""Event rows that one transaction deletes at the most: some 20 ms."""

_PAGE = 500
_PAGES_AT_ONCE = 256
_OF_RUN: tuple[Table, ...] = (steps, run_tags, signals, idempotency)

References = Callable[[Iterable[Stored]], Collection[str]]


class SqlPruneStore:
    """The PruneStore port over a database. A transaction deletes at most `piece` event rows of a long run."""

    def __init__(self, database: Database, *, piece: int = PIECE) -> None:
        self._database = database
        self._piece = piece

    def needed(self) -> Sequence[str]:
        """The runs that are pinned, and those that a run replays which is not over."""
        replayed = select(runs.c.replay_of).where(runs.c.replay_of.is_not(None), NOT_OVER)
        with self._database.read() as connection:
            return [*connection.scalars(select(pins.c.run_id)), *connection.scalars(replayed)]

    def oldest(
        self, *, before: datetime | None = None, after: str = "", keep: Collection[str] = (), limit: int = 200
    ) -> Sequence[Prunable]:
        """Runs that may go, oldest first: those that ended before a time, with ids above `after`."""
        columns = (runs.c.id, runs.c.last_seq, runs.c.ended_at)
        while True:
            query = select(*columns).where(_may_go(before), runs.c.id > after).order_by(runs.c.id).limit(limit)
            with self._database.read() as connection:
                found = [Prunable(row[0], row[1], moment(row[2])) for row in connection.execute(query)]
            chosen = [run for run in found if run.run_id not in keep]
            if chosen or not found:
                return chosen
            after = found[-1].run_id

    def delete(self, chosen: Sequence[Prunable]) -> int:
        """Delete those of the runs that still may go, with all that is theirs alone; says how many.

        A long one is shortened before.

        Raises StorageError.
        """
        for run in chosen:
            if run.last_seq > self._piece:
                self._shorten(run.run_id)
        with self._database.write() as connection:
            ids = connection.scalars(
                select(runs.c.id).where(runs.c.id.in_([run.run_id for run in chosen]), _may_go(None))
            ).all()
            connection.execute(delete(events).where(events.c.run_id.in_(ids)))
            for table in _OF_RUN:
                connection.execute(delete(table).where(table.c.run_id.in_(ids)))
            connection.execute(delete(runs).where(runs.c.id.in_(ids)))
        return len(ids)

    def begin(self) -> int:
        """Begin a generation and give its number: from the next transaction on writers store again what they need."""
        number = func.coalesce(func.max(sweeps.c.number), 0) + 1
        newest = select(func.coalesce(func.max(events.c.position), 0)).scalar_subquery()
        with self._database.write() as connection:
            connection.execute(insert(sweeps).from_select(["number", "position"], select(number, newest)))
            return connection.execute(select(func.max(sweeps.c.number))).scalar_one()

    def sweep(self, generation: int, references: References) -> Iterator[int]:
        """Delete the blobs from before a generation that no event refers to; says how many, by pieces.

        `references` finds the hashes in the bodies of events. Raises StorageError.
        """
        with self._database.read() as connection:
            until = connection.scalar(select(sweeps.c.position).where(sweeps.c.number == generation))
        # A sweep of a later generation was here.
        if until is None:
            return
        is_old = or_(blobs.c.seen.is_(None), blobs.c.seen < generation)
        marked = self._marked(until, references)
        with self._database.read() as connection:
            old = [bytes(key) for key in connection.scalars(select(blobs.c.hash).where(is_old))]
        dead = [key for key in old if key not in marked]
        is_remembered = exists().where(memory_entries.c.blob == blobs.c.hash)
        for start in range(0, len(dead), _PAGE):
            keys = dead[start : start + _PAGE]
            with self._database.write() as connection:
                gone = connection.execute(delete(blobs).where(blobs.c.hash.in_(keys), is_old, ~is_remembered))
            yield gone.rowcount
        with self._database.write() as connection:
            connection.execute(delete(sweeps).where(sweeps.c.number < generation))

    def used(self) -> int:
        """Bytes that hold something; pages that are free do not count."""
        with self._database.read() as connection:
            size, pages, free = (_pragma(connection, name) for name in ("page_size", "page_count", "freelist_count"))
        return size * (pages - free)

    def shrink(self) -> Iterator[int]:
        """Give free pages back to the file system; says how many bytes, piece by piece.

        A database of an earlier release has to be made compact once before it can.
        """
        with self._database.read() as connection:
            size, free = _pragma(connection, "page_size"), _pragma(connection, "freelist_count")
        while free:
            with self._database.write() as connection:
                cursor = connection.connection.cursor()
                cursor.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
                # It frees a page each time that it is asked for a row, of which it has none.
                cursor.fetchall()
                cursor.close()
                left = _pragma(connection, "freelist_count")
            if left >= free:
                return
            yield size * (free - left)
            free = left

    def _shorten(self, run_id: str) -> None:
        """Delete the last events of a run, piece by piece, until one piece is left.

        Whoever stops here leaves a run that goes on where it did, and which the next pruning takes.
        """
        of_run = events.c.run_id == run_id
        while True:
            with self._database.write() as connection:
                if not connection.scalar(select(exists().where(runs.c.id == run_id, _may_go(None)))):
                    return
                last = select(events.c.position).where(of_run).order_by(events.c.seq.desc()).limit(self._piece)
                count = connection.scalar(select(func.count()).where(of_run)) or 0
                if count <= self._piece:
                    return
                connection.execute(delete(events).where(events.c.position.in_(last)))

    def _marked(self, until: int, references: References) -> set[bytes]:
        """The blobs that events refer to which are still there, up to a position."""
        marked: set[bytes] = set()
        after = 0
        while True:
            query = select(events).where(events.c.position > after, events.c.position <= until)
            with self._database.read() as connection:
                rows = connection.execute(query.order_by(events.c.position).limit(_PAGE)).all()
                keys = [bytes(row.blob) for row in rows if row.blob is not None]
                bodies = fetch_blobs(connection, keys)
            if not rows:
                return marked
            after = rows[-1].position
            found = [event_of(row, row.body if row.blob is None else bodies.get(bytes(row.blob), b"")) for row in rows]
            marked.update(keys, map(bytes.fromhex, references(found)))


def _may_go(before: datetime | None) -> ColumnElement[bool]:
    """A run that is over and that nothing needs which is still there.

    The run with the newest event stays: its position must not be given again (see `schema.py`).
    """
    head = exists().where(threads.c.id == runs.c.thread_id, threads.c.head == runs.c.id)
    other = runs.alias("other")
    is_open = other.c.status.not_in(TERMINAL)
    newest = select(events.c.run_id).order_by(events.c.position.desc()).limit(1).scalar_subquery()
    conditions: list[ColumnElement[Any]] = [
        runs.c.status.in_(TERMINAL),
        runs.c.ended_at.is_not(None),
        ~exists().where(pins.c.run_id == runs.c.id),
        ~head,
        ~exists().where(other.c.replay_of == runs.c.id, other.c.replay_of.is_not(None), is_open),
        ~exists().where(other.c.id == runs.c.parent_run_id, is_open),
        func.coalesce(newest, literal("")) != runs.c.id,
    ]
    if before is not None:
        conditions.append(runs.c.ended_at < micros(before))
    return and_(*conditions)


def _pragma(connection: Connection, name: str) -> int:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


class SqlPinStore:
    """The PinStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, run_id: str, at: datetime) -> None:
        """Pin a run; one that is pinned stays so."""
        with self._database.write() as connection:
            if not connection.scalar(select(exists().where(pins.c.run_id == run_id))):
                connection.execute(insert(pins).values(run_id=run_id, created_at=micros(at)))

    def drop(self, run_id: str) -> bool:
        """Take the pin away; False when there was none."""
        with self._database.write() as connection:
            return connection.execute(delete(pins).where(pins.c.run_id == run_id)).rowcount > 0

    def has(self, run_id: str) -> bool:
        """Whether a run is pinned."""
        with self._database.read() as connection:
            return bool(connection.scalar(select(exists().where(pins.c.run_id == run_id))))
