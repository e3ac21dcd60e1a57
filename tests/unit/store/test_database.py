"""How databases are opened, and what their errors say."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from runwright.core.thread import Thread
from runwright.errors import StorageError, StorageFull, StorageReadOnly
from runwright.store import open_database, open_stores, open_stores_to_read
from runwright.store.faults import storage_error
from runwright.store.schema import WHERE, metadata, suit_postgres
from runwright.store.statements import AppendStatements
from runwright.store.threads import TAKE
from tests.unit.store.rows import NOW, event, new, run, seqs


def test_a_folder_is_made(tmp_path: Path) -> None:
    """The data directory and its parents are made; a URL and a path name the same file."""
    path = tmp_path / "a" / "b" / "runwright.db"
    open_stores(path).close()
    stores = open_stores(f"sqlite:///{path}")
    assert stores.database.place == str(path)
    stores.close()


def test_what_is_made_is_for_its_owner(tmp_path: Path) -> None:
    """A new folder and all files of a new database are closed to others; what was there keeps its mode."""
    made, found = tmp_path / "made", tmp_path / "found"
    found.mkdir(mode=0o755)
    for folder in (made, found):
        stores = open_stores(folder / "r.db")
        stores.writes.append([new(run())])
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
        stores.close()
    assert [folder.stat().st_mode & 0o777 for folder in (made, found)] == [0o700, 0o755]


def test_a_number_that_no_row_holds_is_told(path: Path) -> None:
    """A read that asks for a number beyond 64 bits fails as a read, not as a driver."""
    stores = open_stores(path)
    with pytest.raises(StorageError, match="too large"):
        stores.runs.steps("run_a", after=10**25)
    stores.close()


@pytest.mark.parametrize(("durability", "number"), [("normal", 1), ("full", 2)])
def test_durability(path: Path, durability: str, number: int) -> None:
    """The writer uses the write-ahead log and syncs as often as was asked for."""
    database = open_database(path, durability="full" if durability == "full" else "normal")
    with database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == number
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    database.close()


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the place of the directory is named, with what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageReadOnly, match=r"file' cannot be made: .*--data"):
        open_database(tmp_path / "file" / "runwright.db")
    with pytest.raises(StorageReadOnly, match="is a directory"):
        open_database(tmp_path)


def test_a_file_that_is_no_database(path: Path) -> None:
    """Other bytes in the place of the database are named, with what to do."""
    path.write_bytes(b"This is no database. " * 1000)
    with pytest.raises(StorageError, match=r"runwright\.db: .*restore it from a backup"):
        open_stores(path)
    assert path.read_bytes().startswith(b"This is no database.")


def test_a_damaged_file(path: Path) -> None:
    """Pages that are overwritten are noticed when they are read, and the message names the file."""
    stores = open_stores(path)
    for number in range(50):
        stores.writes.append([new(run(number), event(run(number), 1, body=b"x" * 900))])
    stores.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(StorageError, match=r"runwright\.db: .*damaged"):
        open_stores(path).runs.get(run(1).id)


def test_a_readonly_database(path: Path) -> None:
    """A write that is refused names the file and what to look at."""
    stores = open_stores(path)
    with stores.database.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageReadOnly, match=r"runwright\.db: .*owner and mode"):
        stores.writes.append([new(run())])
    with pytest.raises(StorageReadOnly):
        stores.writes.probe()
    stores.close()


@pytest.mark.parametrize("is_written", [True, False])
def test_a_database_is_read_where_it_cannot_be_written(path: Path, *, is_written: bool) -> None:
    """To look at a file takes no right to write: neither while a server writes it, nor when nobody does."""
    stores = open_stores(path)
    stores.writes.append([new(run())])
    if not is_written:
        stores.close()
    before = sorted(file.name for file in path.parent.iterdir())
    reading = open_stores_to_read(path)
    assert reading.runs.get(run().id) is not None
    with pytest.raises(StorageReadOnly):
        reading.threads.put(Thread(id="t1", created_at=NOW))
    reading.close()
    assert sorted(file.name for file in path.parent.iterdir()) == before
    stores.close()


def test_what_is_not_there_cannot_be_read(path: Path) -> None:
    """A file that SQLite cannot open without writing is told with the way out, and none is made."""
    with pytest.raises(StorageReadOnly, match="copy the data directory"):
        open_stores_to_read(path)
    assert not path.exists()


def test_a_full_database_recovers(path: Path) -> None:
    """A full disk refuses the whole append; what was acknowledged stays, and with room appends go on."""
    stores = open_stores(path)
    stores.writes.append([new(run(1))])
    with stores.database.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 40")
    large = event(run(2), 1, body=os.urandom(400_000))
    with pytest.raises(StorageFull, match=r"runwright\.db: .*full"):
        stores.writes.append([new(run(3)), new(run(2), large)])
    with pytest.raises(StorageFull):
        stores.writes.probe()
    assert stores.runs.get(run(3).id) is None
    assert stores.runs.get(run(1).id) == run(1)
    with stores.database.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 100000")
    stores.writes.probe()
    assert stores.writes.append([new(run(3)), new(run(2), large)]) == [None, None]
    assert stores.runs.events(run(2).id)[0].body == large.body
    stores.close()


def test_a_locked_database_can_be_tried_again(path: Path) -> None:
    """While another process holds the write lock an append fails as retryable, and succeeds after it."""
    stores = open_stores(path)
    with stores.database.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="Another process is writing") as caught:
        stores.writes.append([new(run())])
    assert caught.value.retryable
    other.execute("ROLLBACK")
    other.close()
    assert stores.writes.append([new(run())]) == [None]
    stores.close()


def test_readers_do_not_wait_for_the_writer(path: Path) -> None:
    """Inside an open write transaction a reader of another thread sees the last commit at once."""
    stores = open_stores(path)
    stores.writes.append([new(run(1), event(run(1), 1))])
    found: list[list[int]] = []
    with stores.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM events")
        reader = threading.Thread(target=lambda: found.append(seqs(stores.runs.events(run(1).id))))
        reader.start()
        reader.join(5)
    assert found == [[1]]
    stores.close()


def test_an_exception_rolls_back(path: Path) -> None:
    """A transaction that its user leaves by an exception writes nothing."""
    stores = open_stores(path)
    with suppress(KeyError), stores.database.write() as connection:
        connection.exec_driver_sql("INSERT INTO blobs VALUES (x'00', 0, x'00', NULL)")
        raise KeyError
    stores.threads.put(Thread(id="thr_1", created_at=NOW))
    with stores.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM blobs").scalar() == 0
    stores.close()


def test_statements_compile_for_postgres() -> None:
    """The journal's statements need nothing that only SQLite has."""
    made = AppendStatements(postgresql.dialect(paramstyle="format"))
    assert "ON CONFLICT (run_id, seq) DO UPDATE" in made.upsert_step
    assert "ON CONFLICT (hash) DO UPDATE SET seen" in made.insert_blob
    assert made.insert_events.count("(%s") == 16


def test_the_schema_compiles_for_postgres() -> None:
    """Tables, partial indexes and the statement that gives a turn need nothing that only SQLite has."""
    suit_postgres()
    dialect = postgresql.dialect()
    indexes = [index for table in metadata.sorted_tables for index in table.indexes]
    made = [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    assert sum(" WHERE " in sql for sql in made) == sum(WHERE in index.info for index in indexes) > 0
    for table in metadata.sorted_tables:
        assert "WITHOUT ROWID" not in str(CreateTable(table).compile(dialect=dialect))
    assert "RETURNING threads.id" in str(TAKE.compile(dialect=dialect))


@pytest.mark.parametrize(
    ("state", "kind"),
    [("53100", StorageFull), ("25006", StorageReadOnly), ("08006", StorageError), (None, StorageError)],
)
def test_what_a_server_says(state: str | None, kind: type[StorageError]) -> None:
    """The SQLSTATE of a database server decides the error, which names the place."""
    fault = OperationalError("INSERT", None, _ServerFault(state))
    error = storage_error(fault, "postgresql://host/name")
    assert type(error) is kind
    assert "postgresql://host/name" in error.message


class _ServerFault(Exception):
    """An error of a server's driver."""

    def __init__(self, state: str | None) -> None:
        super().__init__("no")
        self.sqlstate = state
