"""Runs by the run that began them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_index("runs_parent", "runs", ["parent_run_id", "id"], sqlite_where=sa.text("parent_run_id IS NOT NULL"))
