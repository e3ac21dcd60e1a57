"""Alembic's environment: the connection is handed over by `migrate.py`."""

from __future__ import annotations

from alembic import context

from runwright.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
