"""Roll-ups: what ended, by hour, also of the steps and runs that are there already."""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_HOUR = 3_600_000_000
_KEYS = ("kind", "hour", "agent", "name", "status", "is_charged")
_SUMS = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "requests",
    "estimated",
    "cost_nano",
    "unpriced",
    "duration_us",
)
_USAGE = (
    "x.input_tokens, x.output_tokens, x.cached_input_tokens, x.cache_write_tokens, x.reasoning_tokens, x.requests, "
    "x.is_estimated, x.cost_nano"
)
_STEPS = (
    "SELECT r.agent, x.kind, x.name, x.status, x.cost_source <> 'none', x.ended_at, "
    f"x.started_at, {_USAGE} FROM steps x JOIN runs r ON r.id = x.run_id WHERE x.status IN ('completed', 'failed') "
    "AND x.ended_at IS NOT NULL AND x.taped IS NULL AND x.kind NOT IN ('sleep', 'clock', 'random', 'id', 'env')"
)
_RUNS = (
    "SELECT x.agent, 'run', '', x.status, x.status = '', x.ended_at, coalesce(x.started_at, x.created_at), "
    f"{_USAGE} FROM runs x WHERE x.ended_at IS NOT NULL AND x.replay_of IS NULL"
)


def upgrade() -> None:
    table = op.create_table(
        "rollup_hour",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("is_charged", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _SUMS),
        sa.Column("latency", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(*_KEYS),
        sqlite_with_rowid=False,
    )
    sums = _summed(op.get_bind())
    if sums:
        rows: list[dict[str, Any]] = [
            dict(zip((*_KEYS, *_SUMS, "latency"), (*key, *values), strict=True)) for key, values in sums.items()
        ]
        op.bulk_insert(table, rows)


def _summed(connection: sa.Connection) -> dict[tuple[Any, ...], list[Any]]:
    """The roll-ups as `store/rollups.py` would have made them."""
    sums: dict[tuple[Any, ...], list[Any]] = {}
    buckets: dict[tuple[Any, ...], dict[int, int]] = {}
    for query in (_STEPS, _RUNS):
        for agent, kind, name, status, is_charged, ended, started, *usage, nano in connection.exec_driver_sql(query):
            key = (kind, ended // _HOUR, agent, name, status, bool(is_charged))
            duration = max(ended - started, 0)
            added = (1, *map(int, usage), nano or 0, int(nano is None), duration)
            held = sums.setdefault(key, [0] * len(_SUMS))
            sums[key] = [before + more for before, more in zip(held, added, strict=True)]
            counts = buckets.setdefault(key, {})
            bucket = min(int(math.log(duration) * 8), 255) if duration > 1 else 0
            counts[bucket] = counts.get(bucket, 0) + 1
    for key, counts in buckets.items():
        first = min(counts)
        lanes = b"".join(counts.get(bucket, 0).to_bytes(4, "little") for bucket in range(first, max(counts) + 1))
        sums[key].append(bytes((first,)) + lanes)
    return sums
