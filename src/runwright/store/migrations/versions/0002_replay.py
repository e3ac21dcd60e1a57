"""What replays need: which step answered a step, and why a run cannot be replayed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("runs", sa.Column("tainted", sa.LargeBinary()))
    op.add_column("steps", sa.Column("taped", sa.BigInteger()))
    op.create_index(
        "runs_replay_of",
        "runs",
        ["replay_of", "id"],
        sqlite_where=sa.text("replay_of IS NOT NULL"),
        postgresql_where=sa.text("replay_of IS NOT NULL"),
    )
