"""SQLAlchemy Core constructs compiled once to the driver's SQL, and the constructs that differ by dialect."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Column,
    ColumnElement,
    Dialect,
    Insert,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.sql.compiler import SQLCompiler

from runwright.store.rows import EVENT_COLUMNS, RUN_CHANGES, STEP_CHANGES, STEP_COLUMNS, names
from runwright.store.schema import (
    DELTAS,
    NOT_OVER,
    blobs,
    events,
    idempotency,
    run_tags,
    runs,
    signals,
    steps,
    sweeps,
    threads,
)

EVENTS_AT_ONCE = 16
"""Rows in one statement: a third cheaper than one by one."""


def compiled(dialect: Dialect, statement: ClauseElement, order: Sequence[str]) -> str:
    """The driver's SQL. Raises ValueError if its positional parameters are not in that order."""
    keys = list(order) if isinstance(statement, Insert) else None
    result = statement.compile(dialect=dialect, column_keys=keys)
    assert isinstance(result, SQLCompiler)
    found = tuple(result.positiontup or ())
    if found != tuple(order):
        raise ValueError(f"parameters are {found!r}, not {tuple(order)!r}")
    return result.string


def many_rows(sql: str, count: int) -> str:
    """An insert of one row, in the driver's SQL, as an insert of that many rows."""
    row = sql[sql.rindex("(") :]
    return sql + f", {row}" * (count - 1)


def unindexed(column: Column[int]) -> ColumnElement[int]:
    """The value of a column, so written that no index is taken for it: delta rows are found by `last_seq`."""
    return column + literal_column("0")


def insert_absent(dialect: Dialect, table: Table) -> str:
    """An insert that leaves a row alone whose primary key is taken, in the driver's SQL.

    SQLite took ON CONFLICT from Postgres, so the text is the same; SQLAlchemy's own constructs would import the
    dialect of Postgres at every start, for 20 ms and 3 MB.
    """
    return compiled(dialect, insert(table), names(table)) + " ON CONFLICT DO NOTHING"


def upsert(dialect: Dialect, table: Table, *, columns: Sequence[str], changes: Sequence[str]) -> str:
    """An insert of columns that changes some of them where the primary key is taken, in the driver's SQL."""
    quote = dialect.identifier_preparer.quote
    keys = ", ".join(quote(column.name) for column in table.primary_key.columns)
    changed = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in changes)
    return compiled(dialect, insert(table), columns) + f" ON CONFLICT ({keys}) DO UPDATE SET {changed}"


class AppendStatements:
    """The statements of the journal's writer, in the driver's SQL."""

    def __init__(self, dialect: Dialect) -> None:
        run = names(runs)
        quoted = dialect.identifier_preparer.quote
        self.insert_run = compiled(dialect, insert(runs), run)
        changes: dict[str, BindParameter[object]] = {name: bindparam(f"new_{name}") for name in RUN_CHANGES}
        fence = (runs.c.id == bindparam("run")) & (runs.c.epoch == bindparam("owned"))
        order = [f"new_{name}" for name in RUN_CHANGES]
        self.update_run = compiled(dialect, update(runs).where(fence).values(changes), [*order, "run", "owned"])
        self.insert_tag = compiled(dialect, insert(run_tags), names(run_tags))
        self.upsert_step = upsert(dialect, steps, columns=STEP_COLUMNS, changes=STEP_CHANGES)
        self.insert_event = compiled(dialect, insert(events), EVENT_COLUMNS)
        self.insert_events = many_rows(self.insert_event, EVENTS_AT_ONCE)
        seen = ("seen",)
        again = f"{quoted(blobs.name)}.seen IS NULL OR {quoted(blobs.name)}.seen < excluded.seen"
        self.insert_blob = f"{upsert(dialect, blobs, columns=names(blobs), changes=seen)} WHERE {again}"
        newest = select(func.coalesce(func.max(sweeps.c.number), literal_column("0")))
        self.generation = compiled(dialect, newest, ())
        deltas = (
            (events.c.run_id == bindparam("run"))
            & (events.c.step == bindparam("of"))
            & (events.c.last_seq > literal_column("0"))
            & DELTAS
            & (unindexed(events.c.seq) < bindparam("end"))
        )
        self.void = compiled(dialect, delete(events).where(deltas), ("run", "of", "end"))
        consumed = update(signals).where(signals.c.id == bindparam("signal"))
        self.consume = compiled(dialect, consumed.values(is_consumed=true()), ("signal",))
        busy = select(runs.c.id).where(runs.c.thread_id == bindparam("thread"), NOT_OVER)
        self.busy = compiled(dialect, busy, ("thread",))
        self.insert_thread = insert_absent(dialect, threads)
        head = update(threads).where(threads.c.id == bindparam("thread"))
        self.thread_head = compiled(dialect, head.values(head=bindparam("run")), ("run", "thread"))
        self.claim = insert_absent(dialect, idempotency)
