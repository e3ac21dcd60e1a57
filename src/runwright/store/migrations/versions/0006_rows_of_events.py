"""Rows of many events: the index of delta rows leaves other rows out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.drop_index("events_deltas", "events")
    is_delta = sa.text("type = 'deltas'")
    op.create_index("events_deltas", "events", ["run_id", "last_seq"], sqlite_where=is_delta, postgresql_where=is_delta)
