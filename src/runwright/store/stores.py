"""All store ports over one database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from runwright.core.ports import AgentStore, Blobs, RunStore, SignalStore, ThreadStore, Writes
from runwright.store.agents import SqlAgentStore
from runwright.store.append import SqlWrites
from runwright.store.blobs import SqlBlobs
from runwright.store.database import Database, open_database
from runwright.store.migrate import upgrade
from runwright.store.runs import SqlRunStore
from runwright.store.signals import SqlSignalStore
from runwright.store.sqlite import Durability
from runwright.store.threads import SqlThreadStore


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """The store ports of one open database. `writes` is for the journal's writer thread alone."""

    database: Database
    writes: Writes
    runs: RunStore
    agents: AgentStore
    threads: ThreadStore
    signals: SignalStore
    blobs: Blobs

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def open_stores(
    url: str | Path,
    *,
    durability: Durability = "normal",
    progress: Callable[[str], None] | None = None,
) -> Stores:
    """Open a database by path or URL, create or migrate its tables, and give its ports.

    `progress` is told of a migration. Raises StorageError, StorageReadOnly, StorageVersion.
    """
    database = open_database(url, durability=durability)
    try:
        upgrade(database, progress)
    except BaseException:
        database.close()
        raise
    return Stores(
        database=database,
        writes=SqlWrites(database),
        runs=SqlRunStore(database),
        agents=SqlAgentStore(database),
        threads=SqlThreadStore(database),
        signals=SqlSignalStore(database),
        blobs=SqlBlobs(database),
    )
