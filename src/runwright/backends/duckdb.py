"""DuckDB: sealed days as Parquet, and questions in SQL over these and what is live. The extra `analytics`."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from runwright.errors import ConfigError, InvalidRequest
from runwright.store import Database
from runwright.store.tables import TABLES, table_rows

try:
    import duckdb
except ImportError as error:
    raise ConfigError(
        "This needs DuckDB, which is not installed: pip install 'runwright[analytics]'.",
    ) from error

_KEYS: Final = {"runs": ("id",), "steps": ("run_id", "seq")}
_NUMBERS: Final = frozenset({"seq", "attempt", "taped", "cost_nano"})
_TIMES: Final = frozenset({"created_at", "started_at", "ended_at"})
_SAFE: Final = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET TimeZone = 'UTC'",
)
_encode = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a question in SQL gives: its columns, and its rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def archive(database: Database, folder: Path, now: datetime) -> list[str]:
    """Write the rows of each day before today into Parquet files, a file for each table and day; says which.

    Rows that are in a file stay there when they are deleted from the store, and rows that came later are added.
    """
    written: list[str] = []
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    today = now.astimezone(UTC).date().isoformat()
    with _live(database) as connection:
        for table in TABLES:
            query = f"SELECT DISTINCT ended_at::DATE::VARCHAR FROM live_{table} WHERE ended_at < '{today}' ORDER BY 1"
            days = [day for (day,) in connection.execute(query).fetchall()]
            written += [f"{table}-{day}.parquet" for day in days if _seal(connection, folder, table, day=day)]
    return written


def ask(database: Database, folder: Path, question: str) -> Answer:
    """Answer a question in SQL over `runs`, `steps` and `costs`. It reads nothing else and changes nothing.

    Raises InvalidRequest.
    """
    with _live(database) as connection:
        files = sorted(folder.glob("*.parquet"))
        for table in TABLES:
            own = [str(file) for file in files if file.name.startswith(f"{table}-")]
            connection.execute(f"CREATE VIEW {table} AS {_both(table, own)}")
        connection.execute(
            "CREATE VIEW costs AS SELECT * FROM steps WHERE "
            "status IN ('completed', 'failed') AND cost_source NOT IN ('none', 'imported') AND taped IS NULL"
        )
        paths = ", ".join(_quoted(str(file)) for file in files)
        connection.execute(f"SET allowed_paths = [{paths}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            statements = connection.extract_statements(question)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise InvalidRequest("Ask one question that begins with SELECT, WITH or FROM.")
            result = connection.execute(statements[0])
            columns = [column[0] for column in result.description or ()]
            return Answer(columns=columns, rows=result.fetchall())
        except duckdb.Error as error:
            raise InvalidRequest(f"The question cannot be answered: {error}") from error


def _seal(connection: duckdb.DuckDBPyConnection, folder: Path, table: str, *, day: str) -> bool:
    """Write one file, if it is missing or lacks rows."""
    path = folder / f"{table}-{day}.parquet"
    live = f"SELECT * FROM live_{table} WHERE ended_at::DATE = '{day}'"
    keys = ", ".join(_KEYS[table])
    if path.exists():
        held = f"SELECT * FROM read_parquet({_quoted(str(path))})"
        missing = f"SELECT count(*) FROM ({live}) ANTI JOIN ({held}) USING ({keys})"
        if connection.execute(missing).fetchall() == [(0,)]:
            return False
        live = f"{live} UNION ALL SELECT h.* FROM ({held}) h ANTI JOIN live_{table} USING ({keys})"
    draft = path.with_suffix(".draft")
    connection.execute(f"COPY ({live}) TO {_quoted(str(draft))} (FORMAT parquet, COMPRESSION zstd)")
    draft.replace(path)
    return True


def _both(table: str, files: Sequence[str]) -> str:
    """What is live, and what is only in files any more."""
    live = f"SELECT * FROM live_{table}"
    if not files:
        return live
    names = ", ".join(map(_quoted, files))
    keys = ", ".join(_KEYS[table])
    held = f"SELECT * FROM read_parquet([{names}], union_by_name = true)"
    return f"{live} UNION ALL BY NAME SELECT h.* FROM ({held}) h ANTI JOIN live_{table} USING ({keys})"


@contextmanager
def _live(database: Database) -> Generator[duckdb.DuckDBPyConnection]:
    """A database in memory with the rows of the store, which DuckDB takes fastest from a file of JSON lines."""
    with tempfile.TemporaryDirectory(prefix="runwright-") as folder, duckdb.connect(":memory:") as connection:
        for setting in _SAFE:
            connection.execute(setting)
        for table in TABLES:
            _load(connection, database, table, path=Path(folder) / f"{table}.json")
        yield connection


def _load(connection: duckdb.DuckDBPyConnection, database: Database, table: str, *, path: Path) -> None:
    names = TABLES[table]
    with path.open("wb") as file:
        for row in table_rows(database, table):
            file.write(_encode(dict(zip(names, row, strict=True))) + b"\n")
    columns = ", ".join(f"{_quoted(name)}: '{_type(name)}'" for name in names)
    source = f"read_json({_quoted(str(path))}, format = 'newline_delimited', columns = {{{columns}}})"
    connection.execute(f"CREATE TABLE live_{table} AS SELECT {', '.join(map(_shown, names))} FROM {source}")
    path.unlink()


def _type(name: str) -> str:
    return "BIGINT" if name in _NUMBERS | _TIMES or name.endswith("_tokens") else "VARCHAR"


def _shown(name: str) -> str:
    return f'make_timestamp("{name}") AS "{name}"' if name in _TIMES else f'"{name}"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
