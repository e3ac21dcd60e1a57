"""Rows of runs and steps as they stand, for other programs' eyes: without bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import select

from runwright.store.database import Database
from runwright.store.schema import runs, steps

_PAGE = 5_000
_USAGE = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nano",
    "cost_source",
)
TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "runs": (
        *("id", "agent", "version", "mode", "status", "created_at", "started_at", "ended_at"),
        *("thread_id", "parent_run_id", "replay_of", "group", "user", *_USAGE),
    ),
    "steps": (
        *("run_id", "seq", "agent", "lane", "kind", "name", "effect", "status", "attempt", "started_at", "ended_at"),
        *("taped", *_USAGE),
    ),
}
"""The columns of each table. Times are microseconds since 1970."""


def table_rows(database: Database, table: str) -> Iterator[tuple[Any, ...]]:
    """All rows of one of these tables. Raises StorageError."""
    names = TABLES[table]
    if table == "runs":
        query = select(*(runs.c[name] for name in names))
    else:
        columns = [runs.c.agent if name == "agent" else steps.c[name] for name in names]
        query = select(*columns).join(runs, runs.c.id == steps.c.run_id)
    with database.read() as connection:
        for row in connection.execution_options(yield_per=_PAGE).execute(query):
            yield tuple(row)
