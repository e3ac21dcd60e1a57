"""A journal over a store in memory, and logs of runs in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import msgspec

from runwright.core.event import CustomEmitted, Event, MessageDelta, RunQueued, RunStarted, StepStarted
from runwright.core.ids import make_id
from runwright.core.ports import Reader
from runwright.core.run import Run
from runwright.core.step import Step
from runwright.journal.read import JournalReader
from runwright.journal.write import Journal, Record, RunLog
from runwright.store import Stores, open_stores
from runwright.testing import FakeClock
from tests.unit.engine.harness import Gate

QUEUED: Record = (RunQueued(agent="a", version="1", input=msgspec.Raw(b'"hi"')), None)
STARTED: Record = (RunStarted(loop=1), None)
MODEL: Record = (StepStarted(kind="model", name="test:m", key="k"), None)


class Scene:
    """A journal, its store, and what was published."""

    def __init__(self, stores: Stores, readers: Sequence[Reader] = ()) -> None:
        self.stores = stores
        self.gate = Gate(stores.writes)
        self.journal = Journal(self.gate, clock=FakeClock(), readers=readers)
        self.reader = JournalReader(stores.runs, stores.blobs)
        self.shown: list[Event] = []

    def new(self, run_id: str = "") -> RunLog:
        """The log of a new run."""
        run = Run(
            id=run_id or make_id("run"),
            agent="a",
            version="1",
            fingerprint="f",
            status="queued",
            created_at=self.journal.now(),
            owner="boot_1",
            epoch=1,
        )
        return self.journal.open(run, is_first=True, publish=self.shown.extend, clean=lambda data: data)

    async def taken(self, run_id: str) -> RunLog:
        """The log of a run that another owner takes over."""
        run = await asyncio.to_thread(self.stores.runs.get, run_id)
        assert run is not None
        adopted = await asyncio.to_thread(self.stores.runs.adopt, run_id, epoch=run.epoch, owner="boot_2")
        assert adopted is not None
        steps: Sequence[Step] = await asyncio.to_thread(self.stores.runs.steps, run_id)
        opened = [step for step in steps if step.status in {"running", "unknown"}]
        return self.journal.open(
            adopted, is_first=False, publish=self.shown.extend, clean=lambda data: data, steps=opened
        )

    async def stored(self, run_id: str, *, after: int = 0) -> list[Event]:
        """The events in the store."""
        return await asyncio.to_thread(lambda: list(self.reader.events(run_id, after=after)))

    async def rows(self, run_id: str) -> list[str]:
        """The types of the rows in the store."""
        return [row.type for row in await asyncio.to_thread(self.stores.runs.events, run_id)]

    async def blobs(self) -> int:
        """How many blobs are in the store."""

        def count() -> int:
            with self.stores.database.read() as connection:
                return connection.exec_driver_sql("SELECT count(*) FROM blobs").scalar_one()

        return await asyncio.to_thread(count)

    async def run(self, run_id: str) -> Run:
        """The row of a run in the store."""
        run = await asyncio.to_thread(self.stores.runs.get, run_id)
        assert run is not None
        return run


@asynccontextmanager
async def scene(*readers: Reader, stores: Stores | None = None) -> AsyncGenerator[Scene]:
    """A journal that is stopped at the end."""
    held = stores or await asyncio.to_thread(open_stores, ":memory:")
    made = Scene(held, readers)
    made.journal.start()
    try:
        yield made
    finally:
        made.gate.fail(None)
        await made.journal.stop()
        if stores is None:
            await asyncio.to_thread(held.close)


def say(log: RunLog, step: int, *texts: str) -> None:
    """Deltas of a step."""
    for text in texts:
        log.delta(MessageDelta(text=text), step)


def large(size: int) -> CustomEmitted:
    """An event with a value of that many bytes."""
    return CustomEmitted(name="large", value=msgspec.Raw(b'"' + b"x" * (size - 2) + b'"'))


def seqs(events: Sequence[Event]) -> list[int]:
    """The numbers of events."""
    return [event.seq for event in events]


def types(events: Sequence[Event]) -> list[str]:
    """The types of events."""
    return [event.type for event in events]
