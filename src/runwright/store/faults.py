"""What goes wrong in a driver, as Runwright's errors. The only place that knows drivers' error codes."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError

from runwright.errors import StorageError, StorageFull, StorageReadOnly

_REFUSED = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    ValueError,
    OverflowError,
)

_LEAST_FREE = 1 << 20
_READ_ONLY = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def faults(dialect: Dialect) -> tuple[type[Exception], ...]:
    """What a driver raises, by itself or through SQLAlchemy."""
    driver: type[Exception] = dialect.loaded_dbapi.Error
    return (driver, DBAPIError)


def is_refused(error: Exception) -> bool:
    """Whether the rows themselves are the cause, so that other rows can be written."""
    original = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(original, "sqlstate", None) or ""
    return isinstance(original, _REFUSED) or state[:2] in ("22", "23")


def storage_error(error: BaseException, place: str) -> StorageError:
    """The error that says what to do; `place` is the path or address of the database."""
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _sqlite(code & 0xFF, str(original), place)
    return _server(getattr(original, "sqlstate", None), str(original or error), place)


def _sqlite(code: int, message: str, place: str) -> StorageError:
    # A write-ahead index that cannot grow on a full disk is reported as a plain I/O error.
    is_full = code == sqlite3.SQLITE_IOERR and _free(place) < _LEAST_FREE
    if code == sqlite3.SQLITE_FULL or is_full:
        return StorageFull(
            f"{message}. Free space on the disk of the data directory; waiting runs go on by themselves.", place=place
        )
    if code in _READ_ONLY:
        return read_only(message, place=place)
    if code in _LOCKED:
        return StorageError(f"{message}. Another process is writing; try again.", place=place)
    if code in _DAMAGED:
        return StorageError(
            f"{message}. The file is not a database or is damaged: restore it from a backup, or move it away "
            "and start with an empty one.",
            place=place,
        )
    return StorageError(message, place=place)


def _server(state: str | None, message: str, place: str) -> StorageError:
    if state == "53100":
        return StorageFull(message, place=place)
    if state == "25006":
        return StorageReadOnly(f"{message}. Connect to the primary server.", place=place)
    return StorageError(message, place=place)


def read_only(message: str, *, place: str | None = None) -> StorageReadOnly:
    """The error of a data directory that cannot be written."""
    return StorageReadOnly(
        f"{message}. Check the owner and mode of the file and its directory, or name another with --data.", place=place
    )


def _free(place: str) -> int:
    try:
        return shutil.disk_usage(Path(place).parent).free
    except OSError:
        return _LEAST_FREE
