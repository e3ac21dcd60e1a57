"""A message for each run that is paused: it stands for as long as the run is to wait."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

Columns = sa.sql.base.ReadOnlyColumnCollection[str, sa.ColumnClause[Any]]


def upgrade() -> None:
    names = ("id", "parent_run_id", "root_run_id", "created_at", "status", "reason")
    runs = sa.table("runs", *map(sa.column, names)).c
    signals = sa.table(
        "signals",
        sa.column("id", sa.Text),
        sa.column("run_id", sa.Text),
        sa.column("kind", sa.Text),
        sa.column("body", sa.LargeBinary),
        sa.column("created_at", sa.BigInteger),
        sa.column("is_consumed", sa.Boolean),
    )
    paused = sa.select(*runs).where(runs.status == "waiting", runs.reason == "paused")
    rows = {row.id: row for row in op.get_bind().execute(paused)}
    asked = _with_roots(runs, signals, rows)
    left = [
        {
            "id": f"sig_{row.id}",
            "run_id": row.id,
            "kind": "pause",
            "body": json.dumps({"reason": "", "root": row.root_run_id or row.id}).encode(),
            "created_at": row.created_at,
            "is_consumed": False,
        }
        # Those below go on with the one that they were paused with.
        for row in rows.values()
        if row.parent_run_id not in rows and row.id not in asked
    ]
    if left:
        op.bulk_insert(signals, left)


def _with_roots(runs: Columns, signals: sa.TableClause, paused: Container[str]) -> set[str]:
    """Have messages that are there name the root of their runs' trees, and drop those below others; whose are left."""
    bind, message = op.get_bind(), signals.c
    is_pause = sa.and_(message.kind == "pause", message.is_consumed.is_(False))
    asked = {row.id: row for row in bind.execute(sa.select(message.id, message.run_id, message.body).where(is_pause))}
    of = {row.run_id for row in asked.values()}
    for row in asked.values():
        above = _above(bind, runs, row.run_id)
        if any(each in paused or each in of for each in above):
            bind.execute(sa.delete(signals).where(message.id == row.id))
        else:
            body = json.dumps({**json.loads(row.body), "root": above[-1] if above else row.run_id}).encode()
            bind.execute(sa.update(signals).where(message.id == row.id).values(body=body))
    return of


def _above(bind: sa.Connection, runs: Columns, run_id: str) -> list[str]:
    """The runs above one, the root last."""
    above: list[str] = []
    while run_id := bind.scalar(sa.select(runs.parent_run_id).where(runs.id == run_id)) or "":
        above.append(run_id)
    return above
