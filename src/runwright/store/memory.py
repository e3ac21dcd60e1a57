"""Memory: commits of named blocks. Content stands once, among the blobs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Dialect,
    Select,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.engine.interfaces import DBAPICursor

from runwright.core.memory import Change, Commit, CommitFilter, Draft, Entry, Owner, Touched, is_text, value_after
from runwright.core.message import digest
from runwright.errors import Conflict
from runwright.store.database import Database
from runwright.store.faults import storage_error
from runwright.store.rows import Row, blob_of, blob_values, micros, moment, names
from runwright.store.schema import OPEN, blobs, events, memory_commits, memory_entries
from runwright.store.statements import compiled, insert_absent

STARTED = "run.started"

_c, _e = memory_commits.c, memory_entries.c
_of_commit = and_(_c.owner == _e.owner, _c.number == _e.number)
_IS_OPEN = _e.until == literal_column(str(OPEN))


class Ledger:
    """Writes commits on the cursor of a transaction; its statements are compiled when the first one is written."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def record(self, cursor: DBAPICursor, draft: Draft, *, expect: int | None = None) -> int:
        """Write a commit after the events that tell of it; its number, or the newest one where nothing changed.

        Raises Conflict where a changed block is not as the commit `expect` left it.
        """
        sql = self._sql
        head: int = _scalar(cursor, sql.head, draft.owner)
        written = 0
        for change in draft.changes:
            written += self._change(cursor, draft, _Step(change, head + 1, expect))
        if not written:
            return head
        position: int = (
            _scalar(cursor, sql.newest)
            if draft.run_id is None
            else _scalar(cursor, sql.position, draft.run_id, draft.seq)
        )
        made = micros(draft.created_at)
        values = (draft.owner, head + 1, position, made, draft.run_id, draft.step, draft.restores)
        cursor.execute(sql.insert_commit, values)
        return head + 1

    def _change(self, cursor: DBAPICursor, draft: Draft, step: _Step) -> bool:
        """Write one block; False when it stays as it is."""
        sql, change = self._sql, step.change
        cursor.execute(sql.current, (draft.owner, change.name))
        found = cursor.fetchone()
        held = None if found is None else _Held(found)
        key = None if held is None else held.key
        if step.expect is not None and step.expect != (0 if held is None or key is None else held.number):
            told = "is not there" if held is None or key is None else f"was left as it is by commit {held.number}"
            raise Conflict(f"The block {change.name!r} {told}, not by {step.expect}: look at it again.")
        before = self._value(cursor, key) if change.action == "append" else None
        value = value_after(before, change)
        made = None if value is None else digest(value)
        if made == key:
            return False
        is_joined = before is not None and is_text(before)
        is_unseen = held is not None and not is_joined and self._is_unseen(cursor, draft, held)
        cursor.execute(sql.close, (step.number, draft.owner, change.name))
        if value is not None and made is not None:
            cursor.execute(sql.insert_blob, blob_values(made, value))
        size = 0 if value is None else len(value)
        overwrote = held.number if held is not None and is_unseen else None
        cursor.execute(sql.insert_entry, (draft.owner, change.name, step.number, OPEN, made, size, overwrote))
        return True

    def _value(self, cursor: DBAPICursor, key: bytes | None) -> bytes | None:
        if key is None:
            return None
        cursor.execute(self._sql.blob, (key,))
        row = cursor.fetchone()
        return None if row is None else blob_of(row[0], row[1])

    def _is_unseen(self, cursor: DBAPICursor, draft: Draft, held: _Held) -> bool:
        """Whether a run replaces what another writer left after the run began."""
        if draft.run_id is None or held.run_id == draft.run_id:
            return False
        base: int = _scalar(cursor, self._sql.began, draft.run_id, STARTED) if draft.base is None else draft.base
        return held.position >= base

    @cached_property
    def _sql(self) -> _Statements:
        return _Statements(self._dialect)


class _Step:
    """One change of a commit."""

    __slots__ = ("change", "expect", "number")

    def __init__(self, change: Change, number: int, expect: int | None) -> None:
        self.change = change
        self.number = number
        self.expect = expect


class _Held:
    """What stands in the place of a block, and who left it so. Without a key it was deleted."""

    __slots__ = ("key", "number", "position", "run_id")

    def __init__(self, row: Row) -> None:
        self.number: int = row[0]
        self.key: bytes | None = None if row[1] is None else bytes(row[1])
        self.run_id: str | None = row[2]
        self.position: int = row[3]


class _Statements:
    """The statements of a commit, in the driver's SQL."""

    def __init__(self, dialect: Dialect) -> None:
        owner: BindParameter[str] = bindparam("of_owner")
        head = select(func.coalesce(func.max(_c.number), literal_column("0"))).where(_c.owner == owner)
        self.head = compiled(dialect, head, ("of_owner",))
        newest = select(func.coalesce(func.max(events.c.position), literal_column("0")))
        self.newest = compiled(dialect, newest, ())
        of_run = events.c.run_id == bindparam("run")
        position = select(events.c.position).where(of_run, events.c.seq == bindparam("of_seq"))
        self.position = compiled(dialect, position, ("run", "of_seq"))
        of_type: BindParameter[str] = bindparam("of_type")
        self.began = compiled(dialect, _began(of_run, of_type), ("run", "of_type"))
        block = and_(_e.owner == owner, _e.name == bindparam("block"), _IS_OPEN)
        current = select(_e.number, _e.blob, _c.run_id, _c.position).join(memory_commits, _of_commit).where(block)
        self.current = compiled(dialect, current, ("of_owner", "block"))
        close = update(memory_entries).where(block).values(until=bindparam("end"))
        self.close = compiled(dialect, close, ("end", "of_owner", "block"))
        content = select(blobs.c.codec, blobs.c.data).where(blobs.c.hash == bindparam("key"))
        self.blob = compiled(dialect, content, ("key",))
        self.insert_blob = insert_absent(dialect, blobs)
        self.insert_entry = compiled(dialect, insert(memory_entries), names(memory_entries))
        self.insert_commit = compiled(dialect, insert(memory_commits), names(memory_commits))


class SqlMemoryStore:
    """The MemoryStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger = Ledger(database.dialect)

    def owners(self, *, after: str | None = None, limit: int = 50) -> Sequence[Owner]:
        """A page of those who have memory, by name."""
        heads = select(_c.owner, func.max(_c.number)).group_by(_c.owner).order_by(_c.owner).limit(limit)
        if after is not None:
            heads = heads.where(_c.owner > after)
        sizes = select(_e.owner, func.count(), func.sum(_e.size)).where(_IS_OPEN, _e.blob.is_not(None))
        with self._database.read() as connection:
            found = [(row[0], row[1]) for row in connection.execute(heads)]
            standing = sizes.where(_e.owner.in_([owner for owner, _ in found])).group_by(_e.owner)
            held = {row[0]: (row[1], int(row[2])) for row in connection.execute(standing)}
        none = (0, 0)
        return [
            Owner(owner=owner, commit=number, blocks=held.get(owner, none)[0], size=held.get(owner, none)[1])
            for owner, number in found
        ]

    def began(self, run_id: str) -> int:
        """The position of the event with which a run started; 0 when it has not."""
        with self._database.read() as connection:
            return connection.scalar(_began(events.c.run_id == run_id, STARTED)) or 0

    def head(self, owner: str, *, before: int | None = None) -> int:
        """The newest commit, or the one that stood before the event at a position; 0 when there was none."""
        query = select(_c.number).where(_c.owner == owner).order_by(_c.number.desc()).limit(1)
        if before is not None:
            query = query.where(_c.position < before)
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def blocks(self, owner: str, at: int) -> Sequence[Entry]:
        """The blocks as they stood at a commit, by name."""
        query = _entries().where(_e.owner == owner, _e.until > at, _e.number <= at, _e.blob.is_not(None))
        with self._database.read() as connection:
            return [_entry(row) for row in connection.execute(query.order_by(_e.name))]

    def commits(self, where: CommitFilter) -> Sequence[Commit]:
        """A page of commits, newest first."""
        query = select(memory_commits)
        if where.owner is not None:
            query = query.where(_c.owner == where.owner)
        if where.run_id is not None:
            query = query.where(_c.run_id == where.run_id)
        if where.before is not None:
            query = query.where(_c.number < where.before)
        if where.name is not None:
            query = query.where(exists().where(_of_commit, _e.name == where.name))
        page = query.order_by(_c.position.desc(), _c.number.desc()).limit(where.limit).subquery()
        entries = select(_e.owner, _e.number, _e.name, _e.blob, _e.size, _e.overwrote)
        entries = entries.join(page, and_(page.c.owner == _e.owner, page.c.number == _e.number)).order_by(_e.name)
        touched: dict[tuple[str, int], list[Touched]] = {}
        with self._database.read() as connection:
            for owner, number, name, blob, size, overwrote in connection.execute(entries):
                each = Touched(name=name, size=None if blob is None else size, overwrote=overwrote)
                touched.setdefault((owner, number), []).append(each)
            newest = select(page).order_by(page.c.position.desc(), page.c.number.desc())
            return [_commit(row, touched[row[0], row[1]]) for row in connection.execute(newest)]

    def history(self, owner: str, name: str, *, after: int = 0, limit: int = 100) -> Sequence[Entry]:
        """What each commit made of a block, the oldest first."""
        query = _entries().where(_e.owner == owner, _e.name == name, _e.number > after)
        with self._database.read() as connection:
            return [_entry(row) for row in connection.execute(query.order_by(_e.number).limit(limit))]

    def commit(self, draft: Draft, *, expect: int | None = None) -> int:
        """Write what is no run's; the number of the commit, or the newest one where nothing changed.

        Raises Conflict, StorageError.
        """
        try:
            with self._database.cursor() as cursor:
                return self._ledger.record(cursor, draft, expect=expect)
        except self._database.faults as error:
            raise storage_error(error, self._database.place) from error


def _began(of_run: ColumnElement[bool], kind: BindParameter[str] | str) -> Select[int | None]:
    return select(func.min(events.c.position)).where(of_run, events.c.type == kind)


def _scalar(cursor: DBAPICursor, sql: str, *values: object) -> int:
    cursor.execute(sql, values)
    row = cursor.fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def _entries() -> Select[*tuple[Any, ...]]:
    columns = (_e.name, _e.number, blobs.c.codec, blobs.c.data, _c.run_id, _c.step, _c.created_at)
    joined = memory_entries.join(memory_commits, _of_commit).outerjoin(blobs, blobs.c.hash == _e.blob)
    return select(*columns).select_from(joined)


def _entry(row: Row) -> Entry:
    return Entry(
        name=row[0],
        commit=row[1],
        value=None if row[2] is None else blob_of(row[2], row[3]),
        run_id=row[4],
        step=row[5],
        created_at=moment(row[6]),
    )


def _commit(row: Row, touched: Sequence[Touched]) -> Commit:
    return Commit(
        owner=row[0],
        number=row[1],
        position=row[2],
        created_at=moment(row[3]),
        run_id=row[4],
        step=row[5],
        restores=row[6],
        touched=tuple(touched),
    )
