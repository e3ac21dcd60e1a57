"""All store ports over one database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from runwright.core.budget import BudgetStore
from runwright.core.changes import ChangeStore
from runwright.core.ports import (
    AgentStore,
    Blobs,
    CostStore,
    MemoryStore,
    RunStore,
    SignalStore,
    StatStore,
    StoryStore,
    ThreadStore,
    Writes,
)
from runwright.core.retention import PinStore, PruneStore
from runwright.core.schedule import FiringStore, ScheduleStore
from runwright.core.similar import LookStore, QuestionStore
from runwright.store.agents import SqlAgentStore
from runwright.store.append import SqlWrites
from runwright.store.blobs import SqlBlobs
from runwright.store.budgets import SqlBudgetStore
from runwright.store.changes import SqlChangeStore
from runwright.store.costs import SqlCostStore
from runwright.store.database import Database, open_database, open_read_only
from runwright.store.memory import SqlMemoryStore
from runwright.store.migrate import require_head, upgrade
from runwright.store.prune import SqlPinStore, SqlPruneStore
from runwright.store.runs import SqlRunStore
from runwright.store.schedules import SqlFiringStore, SqlScheduleStore
from runwright.store.signals import SqlSignalStore
from runwright.store.similar import SqlLookStore, SqlQuestionStore
from runwright.store.sqlite import Durability
from runwright.store.stats import SqlStatStore
from runwright.store.threads import SqlThreadStore


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """The store ports of one open database. `writes` is for the journal's writer thread alone, `imports` for whole
    runs from elsewhere."""

    database: Database
    writes: Writes
    imports: Writes
    runs: RunStore
    stories: StoryStore
    agents: AgentStore
    threads: ThreadStore
    signals: SignalStore
    blobs: Blobs
    budgets: BudgetStore
    changes: ChangeStore
    costs: CostStore
    stats: StatStore
    prune: PruneStore
    schedules: ScheduleStore
    firings: FiringStore
    pins: PinStore
    memory: MemoryStore
    questions: QuestionStore
    looks: LookStore

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
    return _over(database, lambda: upgrade(database, progress))


def open_stores_to_read(path: Path) -> Stores:
    """Open the file of a database that cannot be written, and give its ports, which raise StorageReadOnly for writes.

    Raises StorageReadOnly, StorageVersion.
    """
    database = open_read_only(path)
    return _over(database, lambda: require_head(database))


def _over(database: Database, prepare: Callable[[], None]) -> Stores:
    try:
        prepare()
    except BaseException:
        database.close()
        raise
    return Stores(
        database=database,
        writes=SqlWrites(database),
        imports=SqlWrites(database),
        runs=SqlRunStore(database),
        stories=SqlRunStore(database),
        agents=SqlAgentStore(database),
        threads=SqlThreadStore(database),
        signals=SqlSignalStore(database),
        blobs=SqlBlobs(database),
        budgets=SqlBudgetStore(database),
        changes=SqlChangeStore(database),
        costs=SqlCostStore(database),
        stats=SqlStatStore(database),
        prune=SqlPruneStore(database),
        schedules=SqlScheduleStore(database),
        firings=SqlFiringStore(database),
        pins=SqlPinStore(database),
        memory=SqlMemoryStore(database),
        questions=SqlQuestionStore(database),
        looks=SqlLookStore(database),
    )
