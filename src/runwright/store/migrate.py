"""Bring a database to the present schema, and refuse one that belongs to another release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, select

from runwright.errors import StorageVersion
from runwright.store.database import Database
from runwright.store.schema import metadata, suit_postgres

REVISIONS: Final = tuple(f"{number:04}" for number in range(1, 16))
"""All revisions, oldest first; a test holds this equal to the migrations folder."""

HEAD: Final = REVISIONS[-1]

# Alembic's own table, written here so that a fresh database needs no Alembic: it takes 100 ms to import.
_version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))


def upgrade(database: Database, progress: Callable[[str], None] | None = None) -> None:
    """Create or migrate the tables. Raises StorageVersion for a database of a newer release or of another program."""
    with database.write() as connection:
        revision = _revision(connection, database.place)
        if revision == HEAD:
            return
        if revision is None:
            if connection.dialect.name == "postgresql":
                suit_postgres()
            metadata.create_all(connection, checkfirst=False)
            _version.create(connection)
            connection.execute(insert(_version).values(version_num=HEAD))
            return
        if progress is not None:
            progress(f"Migrating {database.place} from revision {revision} to {HEAD}")
        _migrate(connection)


def current(database: Database) -> str | None:
    """The revision of a database, None for an empty one. Raises StorageVersion."""
    with database.read() as connection:
        return _revision(connection, database.place)


def require_head(database: Database) -> None:
    """Raise StorageVersion for a database that has not the present schema."""
    revision = current(database)
    if revision != HEAD:
        raise StorageVersion(
            f"{database.place} has revision {revision!r} and is only read, which needs {HEAD!r}. `runwright db "
            "migrate` brings it there; if it cannot be written, copy the data directory and name the copy with --data."
        )


def _revision(connection: Connection, place: str) -> str | None:
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if _version.name not in tables:
        raise StorageVersion(
            f"{place} holds tables of another program ({', '.join(sorted(tables)[:3])}): name another database."
        )
    revision = connection.scalar(select(_version.c.version_num))
    if revision not in REVISIONS:
        raise StorageVersion(
            f"{place} has revision {revision!r}, this release knows up to {HEAD!r}: "
            "upgrade Runwright, or use another data directory."
        )
    return revision


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - 100 ms that only an old database pays
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "runwright.store:migrations")
    command.upgrade(config, "head")
