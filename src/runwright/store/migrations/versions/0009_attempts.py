"""What open calls have reserved, and how often calls were begun, by the hour."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_KEYS = "r.agent, x.kind, x.name, x.status, x.cost_source <> 'none', x.ended_at / 3600000000"
_AGAIN = (
    f"SELECT {_KEYS}, sum(x.attempt - 1), count(*) FROM steps x JOIN runs r ON r.id = x.run_id "
    "WHERE x.attempt > 1 AND x.status IN ('completed', 'failed') AND x.ended_at IS NOT NULL AND x.taped IS NULL "
    f"GROUP BY {_KEYS}"
)
_ADD = sa.text(
    "UPDATE rollup_hour SET attempts = attempts + :more, retried = retried + :again WHERE agent = :agent "
    "AND kind = :kind AND name = :name AND status = :status AND is_charged = :is_charged AND hour = :hour"
)


def upgrade() -> None:
    op.add_column("steps", sa.Column("reserved_tokens", sa.BigInteger()))
    op.add_column("steps", sa.Column("reserved_nano", sa.BigInteger()))
    for name in ("attempts", "retried"):
        op.add_column("rollup_hour", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE rollup_hour SET attempts = calls WHERE kind <> 'run'")
    connection = op.get_bind()
    for agent, kind, name, status, is_charged, hour, more, again in connection.exec_driver_sql(_AGAIN).all():
        keys = {"agent": agent, "kind": kind, "name": name, "status": status, "is_charged": bool(is_charged)}
        connection.execute(_ADD, {**keys, "hour": hour, "more": more, "again": again})
