"""The tables: one schema for SQLite and Postgres.

Times are microseconds since 1970 in UTC. There are no foreign keys: rows of a run are written together, by one writer.
A partial index is used only by a query that repeats or implies its condition.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    and_,
    literal_column,
    text,
)
from sqlalchemy.sql.elements import ColumnElement, TextClause

from runwright.core.money import IMPORTED

metadata = MetaData()

INLINE = 1024
"""Bodies up to this many bytes stand in their event row, larger ones among the blobs."""

NOT_COMPLETED = text("status <> 'completed'")
NOT_OVER = text("status NOT IN ('completed', 'failed', 'cancelled')")
NOT_CONSUMED = text("NOT is_consumed")
ACTIVE = text("is_active")
DELTAS = text("type = 'deltas'")
NOBODY_PAYS = ("none", IMPORTED)
"""Sources of costs that are none here: nothing was charged, or it was where the run took place."""


def _usage() -> tuple[Column[int], ...]:
    return (
        Column("input_tokens", BigInteger, nullable=False),
        Column("output_tokens", BigInteger, nullable=False),
        Column("cached_input_tokens", BigInteger, nullable=False),
        Column("cache_write_tokens", BigInteger, nullable=False),
        Column("reasoning_tokens", BigInteger, nullable=False),
        Column("requests", Integer, nullable=False),
        Column("tool_calls", Integer, nullable=False),
        Column("is_estimated", Boolean, nullable=False),
    )


WHERE: Final = "where"


def _partial(
    name: str, *columns: ColumnElement[Any], where: ColumnElement[bool] | TextClause, is_unique: bool = False
) -> Index:
    """An index of the rows that fit a condition. `postgresql_where` would import that dialect at every start."""
    return Index(name, *columns, unique=is_unique, sqlite_where=where, info={WHERE: where})


def suit_postgres() -> None:
    """Tell the partial indexes to the Postgres dialect, before the tables are made there."""
    for table in metadata.tables.values():
        for index in table.indexes:
            if WHERE in index.info:
                index.dialect_options["postgresql"]["where"] = index.info[WHERE]


# The order of columns is the order of the tuples in rows.py: what is written once, then what changes.
runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("agent", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("thread_id", Text),
    Column("parent_run_id", Text),
    Column("root_run_id", Text),
    Column("group", Text),
    Column("user", Text),
    Column("tags", LargeBinary),
    Column("metadata", LargeBinary),
    Column("replay_of", Text),
    Column("is_ephemeral", Boolean, nullable=False),
    Column("multitask", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("owner", Text),
    Column("seq_limit", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("adoptions", Integer, nullable=False),
    Column("error", LargeBinary),
    *_usage(),
    Column("cost_nano", BigInteger),
    Column("cost_source", Text, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("tainted", LargeBinary),
)
Index("runs_agent", runs.c.agent, runs.c.id)
_partial("runs_thread", runs.c.thread_id, runs.c.id, where=runs.c.thread_id.is_not(None))
_partial("runs_open", runs.c.thread_id, runs.c.id, where=and_(runs.c.thread_id.is_not(None), NOT_OVER))
_partial("runs_group", runs.c.group, runs.c.id, where=runs.c.group.is_not(None))
_partial("runs_parent", runs.c.parent_run_id, runs.c.id, where=runs.c.parent_run_id.is_not(None))
_partial("runs_replay_of", runs.c.replay_of, runs.c.id, where=runs.c.replay_of.is_not(None))
_partial("runs_user", runs.c.user, runs.c.id, where=runs.c.user.is_not(None))
# Most runs are completed, so a run that is written once, at its end, costs nothing here.
_partial("runs_status", runs.c.status, runs.c.id, where=NOT_COMPLETED)

run_tags = Table(
    "run_tags",
    metadata,
    Column("tag", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("lane", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("nth", Integer, nullable=False),
    Column("effect", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("end_seq", BigInteger),
    Column("ended_at", BigInteger),
    Column("error", LargeBinary),
    *_usage(),
    Column("cost_nano", BigInteger),
    Column("cost_source", Text),
    Column("taped", BigInteger),
    # What a step with budgets may use.
    Column("reserved_tokens", BigInteger),
    Column("reserved_nano", BigInteger),
    Column("decided", LargeBinary),
    sqlite_with_rowid=False,
)
# Literals, because a bound value tells SQLite nothing about the index. What a tape answered was paid for by the run
# that recorded it.
CHARGED = and_(
    steps.c.cost_source.not_in([literal_column(f"'{each}'") for each in NOBODY_PAYS]), steps.c.taped.is_(None)
)
_partial("steps_charged", steps.c.ended_at, where=CHARGED)

# `position` is never given twice although AUTOINCREMENT is left out (it costs a tenth of an append): SQLite gives the
# highest one plus 1, so whoever deletes events leaves the newest row, or inserts before it deletes.
events = Table(
    "events",
    metadata,
    Column(
        "position",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("run_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger),
    Column("ts", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("step", BigInteger),
    Column("shape", SmallInteger, nullable=False),
    Column("body", LargeBinary),
    Column("blob", LargeBinary),
)
Index("events_run", events.c.run_id, events.c.seq, unique=True)
# Finds the delta rows that end above a number. Other rows of many events do not overlap, so the last one before a
# number is the only one that may reach beyond it.
_partial("events_deltas", events.c.run_id, events.c.last_seq, where=DELTAS)

blobs = Table(
    "blobs",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("codec", SmallInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    # The newest sweep before the newest event that a writer made with it, none for what only memory holds.
    Column("seen", BigInteger),
)
Index("blobs_seen", blobs.c.seen)

# The generations of blobs (see `prune.py`), each with the position of the newest event before it began.
sweeps = Table(
    "sweeps",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("position", BigInteger, nullable=False),
)

# Apart from the runs, whose rows their owners write.
pins = Table(
    "pins",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Accounts of budgets that were raised, by name; what was spent of them is summed up from steps.
budgets = Table(
    "budgets",
    metadata,
    Column("account", Text, primary_key=True),
    Column("nano_usd", BigInteger),
    Column("tokens", BigInteger),
    Column("calls", BigInteger),
    Column("raised_at", BigInteger, nullable=False),
    Column("raised_by", Text, nullable=False),
    sqlite_with_rowid=False,
)

signals = Table(
    "signals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("is_consumed", Boolean, nullable=False),
)
_partial("signals_pending", signals.c.id, where=NOT_CONSUMED)

agents = Table(
    "agents",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("definition", LargeBinary, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("is_active", Boolean, nullable=False),
)
_partial("agents_active", agents.c.name, where=ACTIVE, is_unique=True)

threads = Table(
    "threads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("title", Text, nullable=False),
    Column("user", Text),
    Column("metadata", LargeBinary),
    Column("head", Text),
    # The run that took its turn: it has it until it is over, which is read from its row.
    Column("active", Text),
)
_partial("threads_user", threads.c.user, threads.c.id, where=threads.c.user.is_not(None))

# Who changes a row names the revision before. `body` is the schedule as its user wrote it.
schedules = Table(
    "schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("agent", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("place", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("is_paused", Boolean, nullable=False),
    Column("next_at", BigInteger),
    Column("due_at", BigInteger),
    Column("fired", BigInteger, nullable=False),
    Column("queued", BigInteger, nullable=False),
    Column("last_number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("schedules_due", schedules.c.due_at)

firings = Table(
    "firings",
    metadata,
    Column("schedule", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("until", BigInteger),
    Column("is_manual", Boolean, nullable=False),
    Column("key", Text),
    Column("became", Text, nullable=False),
    Column("noted_at", BigInteger, nullable=False),
    Column("run_id", Text),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)
_partial("firings_key", firings.c.schedule, firings.c.key, where=firings.c.key.is_not(None), is_unique=True)

idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("idempotency_run", idempotency.c.run_id)

OPEN: Final = 2**63 - 1
"""The commit at which an entry that still stands ends."""

memory_commits = Table(
    "memory_commits",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    # That of the event that told of it; for what no run wrote, that of the newest event then.
    Column("position", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("run_id", Text),
    Column("step", BigInteger),
    Column("restores", BigInteger),
    sqlite_with_rowid=False,
)
_partial("memory_commits_run", memory_commits.c.run_id, where=memory_commits.c.run_id.is_not(None))

# A block stood so from the commit `number` until the commit `until`; without a blob it was not there.
memory_entries = Table(
    "memory_entries",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("until", BigInteger, nullable=False),
    Column("blob", LargeBinary),
    Column("size", BigInteger, nullable=False),
    Column("overwrote", BigInteger),
    sqlite_with_rowid=False,
)
Index("memory_entries_until", memory_entries.c.owner, memory_entries.c.until)
Index("memory_entries_number", memory_entries.c.owner, memory_entries.c.number)

# What ended in an hour (of UTC, counted from 1970), summed up: a row for each kind of step or `run`, hour, agent,
# name and status. `is_charged` rows are calls that may cost something; `latency` is a histogram of durations.
rollup_hour = Table(
    "rollup_hour",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("is_charged", Boolean, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False),
    Column("duration_us", BigInteger, nullable=False),
    Column("latency", LargeBinary, nullable=False),
    # How often these calls were begun, and how many of them more than once.
    Column("attempts", BigInteger, nullable=False, server_default="0"),
    Column("retried", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

# Answers that are kept for a time. Rows with a rowid: values of some kB make the tree of a table without one deep.
# The value stands last, so that a look at the other columns does not read it.
cache = Table(
    "cache",
    metadata,
    Column("space", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("value", LargeBinary, nullable=False),
)
Index("cache_expires", cache.c.expires_at)

# Questions whose answers stand in the cache under `key`, by what surrounds them (`scope`).
similar_questions = Table(
    "similar_questions",
    metadata,
    Column("scope", LargeBinary, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("vector", LargeBinary, nullable=False),
)
Index("similar_questions_expires", similar_questions.c.expires_at)

# Turns of shadow mode, without their words. They stay when their runs go: they are what allows answers.
similar_looks = Table(
    "similar_looks",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("agent", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("setting", Text, nullable=False),
    Column("embedder", Text, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("similarity", Float),
    Column("like_run_id", Text, nullable=False),
    Column("like_step", BigInteger, nullable=False),
    Column("overlap", Float, nullable=False),
    Column("found", Text, nullable=False),
    Column("by", Text, nullable=False),
    sqlite_with_rowid=False,
)
Index("similar_looks_setting", similar_looks.c.setting, similar_looks.c.embedder)
