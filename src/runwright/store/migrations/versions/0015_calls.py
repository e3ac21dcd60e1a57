"""Calls that cost something, by the time of their end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_CHARGED = "(cost_source NOT IN ('none', 'imported')) AND taped IS NULL"


def upgrade() -> None:
    op.create_index("steps_charged", "steps", ["ended_at"], sqlite_where=sa.text(_CHARGED))
