"""Runs, their steps and events."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Select, and_, func, select, union_all, update

from runwright.core.ports import DELTA_ROW, IdempotencyKey, RunFilter, Stored
from runwright.core.run import TERMINAL, Run, RunStatus
from runwright.core.step import Step
from runwright.errors import StorageError
from runwright.store.blobs import fetch_blobs
from runwright.store.database import Database
from runwright.store.rows import Row, event_of, moment, run_of, step_of
from runwright.store.schema import DELTAS, NOT_COMPLETED, events, idempotency, run_tags, runs, steps
from runwright.store.statements import unindexed


class SqlRunStore:
    """The RunStore and StoryStore ports over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, run_id: str) -> Run | None:
        """One run."""
        with self._database.read() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
        return None if row is None else run_of(row)

    def find(self, where: RunFilter) -> Sequence[Run]:
        """A page of runs, newest first."""
        query = _matching(where).limit(where.limit)
        with self._database.read() as connection:
            return [run_of(row) for row in connection.execute(query)]

    def steps(self, run_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[Step]:
        """The steps of a run in order."""
        query = select(steps).where(steps.c.run_id == run_id, steps.c.seq > after)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(steps.c.seq).limit(limit))
            return [step_of(row) for row in found]

    def story(self, group: str, *, since: str, limit: int) -> Sequence[Step]:
        """The first steps of the runs with this label, from the run `since` on, in the order of time."""
        of_group = (
            select(steps).join(runs, runs.c.id == steps.c.run_id).where(runs.c.group == group, runs.c.id >= since)
        )
        query = of_group.order_by(steps.c.started_at, steps.c.run_id, steps.c.seq).limit(limit)
        with self._database.read() as connection:
            return [step_of(row) for row in connection.execute(query)]

    def edges(self, run_ids: Sequence[str]) -> Sequence[Stored]:
        """The first and the last stored row of each of these runs, the newest run first."""
        each = events.alias()
        of_run = each.c.run_id == runs.c.id
        ends = [select(end(each.c.seq)).where(of_run).correlate(runs).scalar_subquery() for end in (func.min, func.max)]
        query = select(events).join_from(runs, events, and_(events.c.run_id == runs.c.id, events.c.seq.in_(ends)))
        query = query.where(runs.c.id.in_(run_ids)).order_by(runs.c.id.desc(), events.c.seq)
        with self._database.read() as connection:
            return _with_bodies(connection, connection.execute(query).all())

    def parents(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Those of these runs that began others."""
        query = select(runs.c.parent_run_id).where(runs.c.parent_run_id.in_(run_ids)).distinct()
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def events(self, run_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[Stored]:
        """The stored events of a run with numbers above `after`, in order. Rows that end above it count."""
        of_run = events.c.run_id == run_id
        whole = select(events).where(of_run, events.c.seq > after)
        query = whole.order_by(events.c.seq)
        if after:
            deltas = select(events).where(of_run, DELTAS, events.c.last_seq > after, unindexed(events.c.seq) <= after)
            before = select(events).where(of_run, events.c.type != DELTA_ROW, events.c.seq <= after)
            newest = before.order_by(events.c.seq.desc()).limit(1).subquery()
            query = union_all(whole, deltas, select(newest).where(newest.c.last_seq > after)).order_by("seq")
        with self._database.read() as connection:
            return _with_bodies(connection, connection.execute(query.limit(limit)).all())

    def owned(self, statuses: Sequence[RunStatus]) -> Sequence[Run]:
        """All runs in these statuses, oldest first."""
        query = select(runs).where(runs.c.status.in_(statuses)).order_by(runs.c.id)
        if "completed" not in statuses:
            query = query.where(NOT_COMPLETED)
        with self._database.read() as connection:
            return [run_of(row) for row in connection.execute(query)]

    def adopt(self, run_id: str, *, epoch: int, owner: str) -> Run | None:
        """Take a run that is not over and whose epoch is still `epoch`. None if another was first."""
        change = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.epoch == epoch, runs.c.status.not_in(TERMINAL))
            .values(epoch=epoch + 1, owner=owner, adoptions=runs.c.adoptions + 1)
            .returning(*runs.columns)
        )
        with self._database.write() as connection:
            row = connection.execute(change).one_or_none()
        return None if row is None else run_of(row)

    def idempotent(self, scope: str, key: str) -> IdempotencyKey | None:
        """The claim of an idempotency key."""
        table = idempotency.c
        query = select(idempotency).where(table.scope == scope, table.key == key)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return IdempotencyKey(
            scope=scope,
            key=key,
            body_hash=row.body_hash,
            run_id=row.run_id,
            created_at=moment(row.created_at),
        )


def _matching(where: RunFilter) -> Select[tuple[object, ...]]:
    query = select(runs)
    equal = (
        (runs.c.agent, where.agent),
        (runs.c.status, where.status),
        (runs.c.thread_id, where.thread_id),
        (runs.c.group, where.group),
        (runs.c.user, where.user),
        (runs.c.parent_run_id, where.parent_run_id),
    )
    for column, value in equal:
        if value is not None:
            query = query.where(column == value)
    if where.ids is not None:
        query = query.where(runs.c.id.in_(where.ids))
    if where.reason is not None:
        query = query.where(runs.c.status == "waiting", runs.c.reason == where.reason, NOT_COMPLETED)
    if where.status is not None and where.status != "completed":
        query = query.where(NOT_COMPLETED)
    if where.is_root:
        query = query.where(runs.c.parent_run_id.is_(None))
    by = runs.c.id
    if where.tag is not None:
        by = run_tags.c.run_id
        query = query.join(run_tags, and_(by == runs.c.id, run_tags.c.tag == where.tag))
    if where.after is not None:
        query = query.where(by < where.after)
    return query.order_by(by.desc())


def _with_bodies(connection: Connection, found: Sequence[Row]) -> list[Stored]:
    """Rows of events, those bodies that stand as blobs among them."""
    keys = [bytes(row[9]) for row in found if row[9] is not None]
    bodies = fetch_blobs(connection, keys) if keys else {}
    return [event_of(row, _body(row, bodies)) for row in found]


def _body(row: Row, bodies: dict[bytes, bytes]) -> bytes:
    inline, key = row[8], row[9]
    if key is None:
        return bytes(inline)
    body = bodies.get(bytes(key))
    if body is None:
        raise StorageError(f"The body of event {row[2]} of run {row[1]!r} is missing.")
    return body
