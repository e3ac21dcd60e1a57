"""Runs as files: taken out of one place, taken into another."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from msgspec.structs import replace

from runwright import __version__
from runwright.core.event import Event, RunCancelled, RunCompleted, RunFailed, RunStarted
from runwright.core.money import IMPORTED, NO_COST
from runwright.core.ports import Batch, Clock, RunStore, Writes
from runwright.core.retention import PinStore
from runwright.core.run import Run
from runwright.errors import Conflict, InvalidRequest, NotFound
from runwright.journal.export import Bundle, RecordedRun, batch_of, read_bundle, recorded, write_bundle
from runwright.journal.read import JournalReader
from runwright.service.redaction import redacted
from runwright.service.views import RunView, run_view

RUN_ID = re.compile(r"run_[0-9a-f]{32}")


class Exports:
    """What a caller can ask about runs as files. `writes` is for imports alone."""

    def __init__(self, store: RunStore, reader: JournalReader, writes: Writes, *, pins: PinStore, clock: Clock) -> None:
        self._store = store
        self._reader = reader
        self._writes = writes
        self._pins = pins
        self._clock = clock

    async def bundle(self, run_id: str) -> Bundle:
        """A run that is over, and the run whose conversation it went on from. Raises NotFound or Conflict."""
        return await asyncio.to_thread(self._bundle, run_id)

    async def export(self, run_id: str, *, redact: Sequence[str] = ()) -> bytes:
        """A run as a file, without what these rules find.

        Raises NotFound, InvalidRequest for a rule that is none, or Conflict while the run goes on.
        """
        bundle = await self.bundle(run_id)
        if redact:
            bundle = await asyncio.to_thread(redacted, bundle, redact)
        return await asyncio.to_thread(write_bundle, bundle, release=__version__)

    async def import_file(self, raw: bytes) -> RunView:
        """Take a run in from a file; one that is here already stays as it is. It counts in no sums of this place.

        It is pinned: it ended when it ended elsewhere, so a rule for old runs would take it at once.

        Raises InvalidRequest or StorageVersion that says what is wrong with the file, Conflict when another run has its
        id.
        """
        bundle = await asyncio.to_thread(read_bundle, raw)
        return run_view(await asyncio.to_thread(self.take, bundle))

    def take(self, bundle: Bundle) -> Run:
        """Store what a file holds. Raises InvalidRequest, Conflict or StorageError."""
        for recording in bundle.runs:
            if not RUN_ID.fullmatch(recording.run.id):
                raise InvalidRequest(f"The file's run has the id {recording.run.id!r}, which none has.")
            if not recording.run.is_over:
                raise InvalidRequest(f"The file's run is {recording.run.status}; only runs that are over are taken in.")
        # All of it is looked at before any of it is stored.
        missing = [recording for recording in bundle.runs if not self._is_here(recording)]
        batches = [_uncounted(batch_of(recording)) for recording in missing]
        errors = self._writes.append(batches) if batches else ()
        for error in errors:
            if error is not None:
                raise error
        # A pin keeps also the run that it went on from.
        if bundle.runs[0] in missing:
            self._pins.put(bundle.runs[0].run.id, self._clock.now())
        run = self._store.get(bundle.runs[0].run.id)
        assert run is not None
        return run

    def _is_here(self, recording: RecordedRun) -> bool:
        run = self._store.get(recording.run.id)
        if run is None:
            return False
        if recorded(run, list(self._reader.events(run.id))).events != recording.events:
            raise Conflict(f"There is another run {run.id} here; look at it with: runwright runs show {run.id}.")
        return True

    def _bundle(self, run_id: str) -> Bundle:
        run = self._store.get(run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id!r}.")
        if not run.is_over:
            raise Conflict(f"{run_id} is {run.status}; a run can be exported when it is over.")
        first = _whole(run, list(self._reader.events(run_id)))
        started = next((told.data for told in first.events if isinstance(told.data, RunStarted)), None)
        head = None if started is None or started.thread_head is None else self._store.get(started.thread_head)
        return Bundle(runs=(first,) if head is None else (first, _whole(head, list(self._reader.events(head.id)))))


def _uncounted(batch: Batch) -> Batch:
    """The rows of a run that took place elsewhere, or was counted here before it was deleted."""
    run = batch.run.run
    marked = replace(run, cost=replace(run.cost, source=IMPORTED))
    steps = tuple(
        replace(step, cost=replace(step.cost, source=IMPORTED)) if step.cost != NO_COST else step
        for step in batch.steps
    )
    return replace(batch, run=replace(batch.run, run=marked), steps=steps)


def _whole(run: Run, events: Sequence[Event]) -> RecordedRun:
    """A run for a file, as it was where it took place."""
    if run.cost.source == IMPORTED:
        ends = (event.data.cost for event in events if isinstance(event.data, RunCompleted | RunFailed | RunCancelled))
        run = replace(run, cost=next(ends, run.cost))
    return recorded(run, events)
