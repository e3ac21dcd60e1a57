"""What the guard decided, in the rows of steps; of those that are there already, events alone tell it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("steps", sa.Column("decided", sa.LargeBinary()))
