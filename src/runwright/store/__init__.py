"""Rows in, rows out: one schema for SQLite and Postgres."""

from runwright.store.cache import SqlKeyValue
from runwright.store.database import Database, open_database
from runwright.store.migrate import current, upgrade
from runwright.store.sqlite import Durability
from runwright.store.stores import Stores, open_stores, open_stores_to_read

__all__ = [
    "Database",
    "Durability",
    "SqlKeyValue",
    "Stores",
    "current",
    "open_database",
    "open_stores",
    "open_stores_to_read",
    "upgrade",
]
