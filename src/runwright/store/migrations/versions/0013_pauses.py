"""A message for each run that is paused: it stands for as long as the run is to wait."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


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
        if row.parent_run_id not in rows
    ]
    if left:
        op.bulk_insert(signals, left)
