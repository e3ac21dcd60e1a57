"""Schedules, and what became of their times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import BindParameter, Dialect, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.engine.interfaces import DBAPICursor

from runwright.core.schedule import KEPT, Advance, Firing, Schedule, ScheduleRow
from runwright.store.database import Database
from runwright.store.faults import storage_error
from runwright.store.rows import Row, Values, micros, moment, names
from runwright.store.schema import NOT_OVER, firings, runs, schedules
from runwright.store.statements import compiled, upsert

_COLUMNS = names(schedules)
_CHANGES = _COLUMNS[_COLUMNS.index("agent") :]
_FIRING = names(firings)
_FIRING_CHANGES = _FIRING[_FIRING.index("became") :]

_decode = msgspec.json.Decoder(Schedule).decode
_encode = msgspec.json.Encoder().encode


class Advances:
    """Writes steps of schedules within a transaction on the driver's cursor."""

    def __init__(self, dialect: Dialect) -> None:
        changes: dict[str, BindParameter[object]] = {name: bindparam(f"new_{name}") for name in _CHANGES}
        # A schedule that was made anew under the name begins at the same revision.
        fence = (
            (schedules.c.name == bindparam("own"))
            & (schedules.c.revision == bindparam("before"))
            & (schedules.c.created_at == bindparam("made"))
        )
        order = [f"new_{name}" for name in _CHANGES]
        self._update = compiled(
            dialect, update(schedules).where(fence).values(changes), [*order, "own", "before", "made"]
        )
        self._firing = upsert(dialect, firings, columns=_FIRING, changes=_FIRING_CHANGES)
        # Overlaps are seen by these rows.
        at_work = select(runs.c.id).where(runs.c.id == firings.c.run_id, NOT_OVER).correlate(firings).exists()
        old = (
            (firings.c.schedule == bindparam("own"))
            & (firings.c.number <= bindparam("last"))
            & (firings.c.became != bindparam("kept"))
            & ~at_work
        )
        self._forget = compiled(dialect, delete(firings).where(old), ["own", "last", "kept"])

    def write(self, cursor: DBAPICursor, advance: Advance) -> bool:
        """Write the row and its firings; False when the row is at another revision already, or gone."""
        row = advance.row
        cursor.execute(
            self._update, (*_values(row)[-len(_CHANGES) :], row.name, row.revision - 1, micros(row.created_at))
        )
        if cursor.rowcount == 0:
            return False
        if advance.firings:
            cursor.executemany(self._firing, [_firing_values(row.name, each) for each in advance.firings])
            # The run that this step starts is not written yet.
            oldest = min(each.number for each in advance.firings)
            cursor.execute(self._forget, (row.name, min(row.last_number - KEPT, oldest - 1), "queued"))
        return True


class SqlScheduleStore:
    """The ScheduleStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._advances = Advances(database.dialect)
        self._insert = compiled(database.dialect, insert(schedules), _COLUMNS) + " ON CONFLICT DO NOTHING"

    def get(self, name: str) -> ScheduleRow | None:
        """One schedule."""
        with self._database.read() as connection:
            row = connection.execute(select(schedules).where(schedules.c.name == name)).one_or_none()
        return None if row is None else _row(row)

    def find(self, *, agent: str | None = None, after: str | None = None, limit: int = 50) -> Sequence[ScheduleRow]:
        """A page of schedules by name."""
        query = select(schedules).order_by(schedules.c.name).limit(limit)
        if agent is not None:
            query = query.where(schedules.c.agent == agent)
        if after is not None:
            query = query.where(schedules.c.name > after)
        with self._database.read() as connection:
            return [_row(row) for row in connection.execute(query)]

    def add(self, row: ScheduleRow) -> bool:
        """Store a new schedule; False when its name is taken."""
        with self._database.write() as connection:
            return connection.exec_driver_sql(self._insert, _values(row)).rowcount > 0

    def advance(self, advance: Advance) -> bool:
        """Write a step of a schedule that starts no run; False when another one was first."""
        try:
            with self._database.cursor() as cursor:
                return self._advances.write(cursor, advance)
        except self._database.faults as error:
            raise storage_error(error, self._database.place) from error

    def delete(self, name: str) -> bool:
        """Forget a schedule and its firings; its runs stay. False when there was none."""
        with self._database.write() as connection:
            connection.execute(delete(firings).where(firings.c.schedule == name))
            return connection.execute(delete(schedules).where(schedules.c.name == name)).rowcount > 0


class SqlFiringStore:
    """The FiringStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, now: datetime) -> Sequence[str]:
        """Names of schedules, not paused, whose next firing is due or which have queued ones, the earliest first."""
        is_due = or_(schedules.c.due_at <= micros(now), schedules.c.queued > 0)
        query = select(schedules.c.name).where(is_due, ~schedules.c.is_paused)
        query = query.order_by(schedules.c.due_at, schedules.c.name)
        with self._database.read() as connection:
            return connection.scalars(query).all()

    def upcoming(self, after: datetime) -> datetime | None:
        """When the next firing of all is due that is not due by then."""
        query = select(func.min(schedules.c.due_at)).where(~schedules.c.is_paused, schedules.c.due_at > micros(after))
        with self._database.read() as connection:
            due = connection.execute(query).scalar()
        return None if due is None else moment(due)

    def find(self, name: str, *, before: int | None = None, limit: int = 50) -> Sequence[Firing]:
        """A page of the firings of a schedule, newest first, with numbers below `before`."""
        query = select(firings).where(firings.c.schedule == name).order_by(firings.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(firings.c.number < before)
        with self._database.read() as connection:
            return [_firing(row) for row in connection.execute(query)]

    def keyed(self, name: str, key: str) -> Firing | None:
        """The firing that was asked for under a key."""
        query = select(firings).where(firings.c.schedule == name, firings.c.key == key)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _firing(row)

    def queued(self, name: str) -> Firing | None:
        """The oldest firing that waits."""
        query = select(firings).where(firings.c.schedule == name, firings.c.became == "queued")
        with self._database.read() as connection:
            row = connection.execute(query.order_by(firings.c.number).limit(1)).one_or_none()
        return None if row is None else _firing(row)

    def at_work(self, name: str, *, until: int) -> Sequence[str]:
        """The runs of a schedule that are not over, of firings up to a number, oldest first."""
        query = select(firings.c.run_id).join(runs, runs.c.id == firings.c.run_id)
        query = query.where(firings.c.schedule == name, firings.c.number <= until, NOT_OVER).order_by(firings.c.number)
        with self._database.read() as connection:
            return connection.scalars(query).all()


def _values(row: ScheduleRow) -> Values:
    return (
        row.name,
        micros(row.created_at),
        row.schedule.agent,
        row.source,
        _encode(row.schedule),
        row.place,
        micros(row.since),
        row.revision,
        row.is_paused,
        None if row.next_at is None else micros(row.next_at),
        None if row.due_at is None else micros(row.due_at),
        row.fired,
        row.queued,
        row.last_number,
    )


def _row(row: Row) -> ScheduleRow:
    fault = ""
    try:
        schedule = _decode(row[4])
    except msgspec.MsgspecError as error:
        schedule = Schedule(name=row[0], agent=row[2])
        fault = f"The schedule {row[0]!r} cannot be read: {error}. Replace it, or use the release that wrote it."
    return ScheduleRow(
        created_at=moment(row[1]),
        source=row[3],
        schedule=schedule,
        place=row[5],
        since=moment(row[6]),
        revision=row[7],
        is_paused=bool(row[8]),
        next_at=None if row[9] is None else moment(row[9]),
        due_at=None if row[10] is None else moment(row[10]),
        fired=row[11],
        queued=row[12],
        last_number=row[13],
        fault=fault,
    )


def _firing_values(name: str, firing: Firing) -> Values:
    return (
        name,
        firing.number,
        micros(firing.at),
        None if firing.until is None else micros(firing.until),
        firing.is_manual,
        firing.key,
        firing.became,
        micros(firing.noted_at),
        firing.run_id,
        firing.reason,
    )


def _firing(row: Row) -> Firing:
    return Firing(
        number=row[1],
        at=moment(row[2]),
        until=None if row[3] is None else moment(row[3]),
        is_manual=bool(row[4]),
        key=row[5],
        became=row[6],
        noted_at=moment(row[7]),
        run_id=row[8],
        reason=row[9],
    )
