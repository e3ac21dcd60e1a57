"""Creating and migrating databases."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec import json
from sqlalchemy import Connection, MetaData, Table, insert, select, update

from runwright.errors import StorageVersion
from runwright.store import Database, current, open_database, open_stores, open_stores_to_read, upgrade
from runwright.store.migrate import HEAD, REVISIONS
from runwright.store.rows import run_values
from runwright.store.schema import metadata, runs, signals
from runwright.store.signals import SqlSignalStore
from tests.unit.store.rows import run


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration as `migrate.py` makes it."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", "runwright.store:migrations")
    return made


def version_table(connection: Connection) -> Table:
    """Alembic's table as it stands in the database."""
    return Table("alembic_version", MetaData(), autoload_with=connection)


def tables(database: Database) -> set[tuple[str, ...]]:
    """The SQL of every table and index, without layout and quotes."""
    query = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
    with database.read() as connection:
        rows = connection.exec_driver_sql(query).all()
    return {(kind, name, re.sub(r"\s+", " ", sql.replace('"', ""))) for kind, name, sql in rows}


def test_migrations_make_the_schema(path: Path) -> None:
    """A database that went through all migrations has the tables of a fresh one, and the metadata finds no change."""
    fresh, migrated = open_database("sqlite://"), open_database(path)
    upgrade(fresh)
    with migrated.write() as connection:
        command.upgrade(config(connection), "head")
    assert tables(migrated) == tables(fresh)
    assert current(migrated) == current(fresh) == HEAD
    with migrated.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    fresh.close()
    migrated.close()


def test_paused_runs_stay_paused(path: Path) -> None:
    """Each run that an older release paused has a message that says so, but for those that were paused with another."""
    database = open_database(path)
    above = run(1, status="waiting", reason="paused")
    below = run(2, status="waiting", reason="paused", parent_run_id=above.id, root_run_id=above.id)
    with database.write() as connection:
        command.upgrade(config(connection), "0012")
        rows = map(run_values, (above, below))
        connection.execute(insert(runs), [dict(zip(runs.columns.keys(), row, strict=True)) for row in rows])
        command.upgrade(config(connection), "head")
    (message,) = SqlSignalStore(database).pending()
    assert (message.run_id, message.kind) == (above.id, "pause")
    assert json.decode(message.body) == {"reason": "", "root": above.id}
    database.close()


def test_pauses_that_an_older_release_asked_for(path: Path) -> None:
    """Messages of children name the root of their tree, and go where one above is paused; no run has two."""
    database = open_database(path)
    root, alone = run(1, status="running"), run(2, status="running", parent_run_id=run(1).id, root_run_id=run(1).id)
    top, below = run(3, status="waiting", reason="paused"), run(4, status="running", parent_run_id=run(3).id)
    lowest = run(5, status="running", parent_run_id=alone.id)
    asked = {"id": "", "kind": "pause", "body": b'{"reason":"x"}', "created_at": 0, "is_consumed": False}
    with database.write() as connection:
        command.upgrade(config(connection), "0012")
        rows = map(run_values, (root, alone, top, below, lowest))
        connection.execute(insert(runs), [dict(zip(runs.columns.keys(), row, strict=True)) for row in rows])
        left = [{**asked, "id": f"sig_{each.id[-1]}", "run_id": each.id} for each in (alone, top, below, lowest)]
        connection.execute(insert(signals), left)
        command.upgrade(config(connection), "head")
    messages = {each.run_id: json.decode(each.body) for each in SqlSignalStore(database).pending()}
    assert messages == {alone.id: {"reason": "x", "root": root.id}, top.id: {"reason": "x", "root": top.id}}
    assert len(SqlSignalStore(database).pending()) == len(messages)
    database.close()


def test_all_revisions_are_known() -> None:
    """The list of revisions is the migrations folder's, oldest first."""
    script = ScriptDirectory.from_config(config())
    found = [item.revision for item in script.walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS


def test_upgrade_twice(path: Path) -> None:
    """To upgrade a present database changes nothing and says nothing."""
    said: list[str] = []
    for _ in range(2):
        stores = open_stores(path, progress=said.append)
        stores.close()
    assert said == []


def test_a_fresh_database_needs_no_alembic(path: Path) -> None:
    """Alembic is not imported to start with a fresh or a present database."""
    code = (
        "import sys; from runwright.store import open_stores; "
        "[open_stores(sys.argv[1]).close() for _ in 'ab']; sys.exit('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=30)
    assert done.returncode == 0


def test_a_newer_database_is_refused(path: Path) -> None:
    """A revision of a later release is named, with what to do, and nothing is changed."""
    stores = open_stores(path)
    with stores.database.write() as connection:
        connection.execute(update(version_table(connection)).values(version_num="9999"))
    stores.close()
    with pytest.raises(StorageVersion, match=r"runwright\.db has revision '9999'.*upgrade Runwright"):
        open_stores(path)
    database = open_database(path)
    with database.read() as connection:
        assert connection.scalar(select(version_table(connection).c.version_num)) == "9999"
    database.close()


def test_a_database_of_an_older_release_is_not_read_as_if_it_were_of_this_one(path: Path) -> None:
    """What cannot be written cannot be migrated: the message says where it can be."""
    open_database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(StorageVersion, match=r"has revision None.*copy the data directory"):
        open_stores_to_read(path)


def test_another_programs_database_is_refused(path: Path) -> None:
    """Tables that are not ours are left alone."""
    database = open_database(path)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE customers (id INTEGER)")
    database.close()
    with pytest.raises(StorageVersion, match=r"another program \(customers\)"):
        open_stores(path)


def test_an_empty_database_has_no_revision() -> None:
    """Before the first upgrade there is no revision."""
    database = open_database("sqlite://")
    assert current(database) is None
    database.close()
