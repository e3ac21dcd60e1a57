"""The journal's way into the store: many batches, one transaction, few statements.

Rows go to the driver as tuples under statements that are compiled once: through SQLAlchemy's own inserts a run costs
35 to 80 us more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TypeAlias

from sqlalchemy.engine.interfaces import DBAPICursor

from runwright.core.memory import Draft
from runwright.core.message import digest
from runwright.core.ports import DELTA_ROW, Batch, Claimed
from runwright.core.run import Run
from runwright.core.schedule import Advance
from runwright.core.step import Step
from runwright.core.thread import Thread
from runwright.errors import Conflict, OwnershipLost, RunwrightError
from runwright.store.database import Database
from runwright.store.faults import is_refused, storage_error
from runwright.store.memory import Ledger
from runwright.store.rollups import Counts, Rollups
from runwright.store.rows import (
    RAW,
    Values,
    blob_values,
    event_values,
    micros,
    run_changes,
    run_values,
    step_values,
    thread_values,
)
from runwright.store.schedules import Advances
from runwright.store.schema import INLINE
from runwright.store.statements import EVENTS_AT_ONCE, AppendStatements

_REMEMBERED = 8192
_PROBE = 256 << 10


class SqlWrites:
    """The Writes port over a database, for the journal's one writer thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = AppendStatements(database.dialect)
        self._ledger = Ledger(database.dialect)
        self._advances = Advances(database.dialect)
        self._rollups = Rollups(database.dialect)
        self._known: dict[bytes, None] = {}
        self._generation = 0
        # A driver raises the last two for text that is no Unicode and for numbers that are too large.
        self._faults = (*database.faults, ValueError, OverflowError)

    def append(self, batches: Sequence[Batch]) -> Sequence[RunwrightError | None]:
        """Write all batches in one transaction. Raises StorageError when nothing was written.

        What cannot be written (ownership lost, idempotency key taken, rows that the database refuses) is left out with
        all other batches of its run, and each of their places holds the reason.
        """
        try:
            return self._append(batches)
        except self._faults as error:
            self._rollups.forget()
            if not is_refused(error):
                raise storage_error(error, self._database.place) from error
        try:
            return self._append_apart(batches)
        except self._faults as error:
            self._rollups.forget()
            raise storage_error(error, self._database.place) from error

    def probe(self) -> None:
        """Write as much as a large run would, and roll back. Raises StorageError."""
        try:
            with self._database.trial() as cursor:
                cursor.execute(self._sql.insert_blob, (b"probe", RAW, bytes(_PROBE), None))
        except self._faults as error:
            raise storage_error(error, self._database.place) from error

    def _append(self, batches: Sequence[Batch]) -> list[RunwrightError | None]:
        plan = _Plan(batches, known=self._known, generation=self._generation)
        with self._database.cursor() as cursor:
            if self._is_outdated(cursor):
                plan = _Plan(batches, known=self._known, generation=self._generation)
            lost = self._fence(cursor, plan)
            if lost:
                plan = _Plan(batches, known=self._known, generation=self._generation, lost=lost)
            self._write(cursor, plan)
        self._remember(plan.blobs)
        return plan.outcomes

    def _append_apart(self, batches: Sequence[Batch]) -> list[RunwrightError | None]:
        """Append in one transaction, but each run under a savepoint, so that a bad one takes no other with it."""
        refused: dict[_Owned, RunwrightError] = {}
        with self._database.cursor() as cursor:
            self._is_outdated(cursor)
            for owned in dict.fromkeys(map(_owned, batches)):
                cursor.execute("SAVEPOINT apart")
                error = self._try_one(cursor, [b for b in batches if _owned(b) == owned])
                if error is not None:
                    refused[owned] = error
                    cursor.execute("ROLLBACK TO apart")
                    self._rollups.forget()
                cursor.execute("RELEASE apart")
        return _Plan(batches, known=self._known, generation=self._generation, lost=refused).outcomes

    def _try_one(self, cursor: DBAPICursor, batches: Sequence[Batch]) -> RunwrightError | None:
        try:
            plan = _Plan(batches, known={}, generation=self._generation)
            lost = self._fence(cursor, plan)
            if lost:
                return next(iter(lost.values()))
            self._write(cursor, plan)
        except self._faults as error:
            if not is_refused(error):
                raise
            return Conflict(f"The rows of run {batches[0].run.run.id!r} were refused: {error}")
        return None

    def _is_outdated(self, cursor: DBAPICursor) -> bool:
        """Whether another generation of blobs has begun, so that none is known to be there (see `prune.py`)."""
        cursor.execute(self._sql.generation)
        row = cursor.fetchone()
        assert row is not None
        if row[0] == self._generation:
            return False
        self._generation = row[0]
        self._known.clear()
        return True

    def _fence(self, cursor: DBAPICursor, plan: _Plan) -> dict[_Owned, RunwrightError]:
        """Update run rows, claim keys and look for a place in threads; give the runs that cannot be written."""
        lost: dict[_Owned, RunwrightError] = {}
        # First of all, because a run that ends here leaves its thread to those that begin here.
        for owned, run in plan.changed.items():
            cursor.execute(self._sql.update_run, (*run_changes(run), run.id, run.epoch))
            if cursor.rowcount == 0:
                lost[owned] = OwnershipLost(f"Run {run.id!r} is owned by another process since epoch {run.epoch}.")
        joined: dict[str, str] = {}
        for owned in plan.newcomers:
            error = self._admit(cursor, plan, owned, joined=joined)
            if error is not None:
                lost[owned] = error
        return lost

    def _admit(
        self, cursor: DBAPICursor, plan: _Plan, owned: _Owned, *, joined: dict[str, str]
    ) -> RunwrightError | None:
        """Let a new run join its thread, under its key; `joined` are those of this transaction, by thread."""
        run = plan.new.get(owned[0])
        thread_id = run.thread_id if run is not None else None
        if run is not None and thread_id is not None and run.multitask == "reject":
            busy = joined.get(thread_id) or self._open_run(cursor, thread_id)
            if busy is not None:
                return Conflict(f"The thread {thread_id} is busy with {busy}; wait, or use multitask 'enqueue'.")
        claim = plan.claims.get(owned)
        if claim is not None and (error := self._claim(cursor, claim)) is not None:
            return error
        if run is not None and thread_id is not None:
            thread = Thread(id=thread_id, created_at=run.created_at, user=run.user)
            cursor.execute(self._sql.insert_thread, thread_values(thread))
            if not run.is_over:
                joined[thread_id] = run.id
        return None

    def _open_run(self, cursor: DBAPICursor, thread_id: str) -> str | None:
        cursor.execute(self._sql.busy, (thread_id,))
        row = cursor.fetchone()
        return None if row is None else row[0]

    def _claim(self, cursor: DBAPICursor, claim: Claimed) -> RunwrightError | None:
        if isinstance(claim, Advance):
            is_first = self._advances.write(cursor, claim)
            return None if is_first else OwnershipLost(f"The schedule {claim.row.name!r} is at another revision.")
        values = (claim.scope, claim.key, claim.body_hash, claim.run_id, micros(claim.created_at))
        cursor.execute(self._sql.claim, values)
        return None if cursor.rowcount > 0 else Conflict(f"The Idempotency-Key {claim.key!r} is taken.")

    def _write(self, cursor: DBAPICursor, plan: _Plan) -> None:
        sql = self._sql
        if plan.new:
            cursor.executemany(sql.insert_run, [run_values(run) for run in plan.new.values()])
        if plan.tags:
            cursor.executemany(sql.insert_tag, plan.tags)
        if plan.steps:
            cursor.executemany(sql.upsert_step, [step_values(s) for s in plan.steps.values()])
        self._rollups.write(cursor, plan.counts)
        if plan.blobs:
            cursor.executemany(sql.insert_blob, list(plan.blobs.values()))
        if plan.events:
            self._write_events(cursor, plan.events)
        # After the events, whose positions they take.
        for draft in plan.memory:
            self._ledger.record(cursor, draft)
        # After the inserts, so that the position of a deleted row is not given again.
        if plan.voided:
            cursor.executemany(sql.void, plan.voided)
        if plan.consumed:
            cursor.executemany(sql.consume, plan.consumed)
        if plan.heads:
            cursor.executemany(sql.thread_head, plan.heads)

    def _write_events(self, cursor: DBAPICursor, events: Sequence[Values]) -> None:
        rest = len(events) % EVENTS_AT_ONCE
        whole = len(events) - rest
        for start in range(0, whole, EVENTS_AT_ONCE):
            values = tuple(chain.from_iterable(events[start : start + EVENTS_AT_ONCE]))
            cursor.execute(self._sql.insert_events, values)
        if rest:
            cursor.executemany(self._sql.insert_event, events[whole:])

    def _remember(self, keys: Iterable[bytes]) -> None:
        known = self._known
        for key in keys:
            known[key] = None
        while len(known) > _REMEMBERED:
            del known[next(iter(known))]


_Owned: TypeAlias = tuple[str, int]
"""A run and the epoch in which it is written."""


def _owned(batch: Batch) -> _Owned:
    run = batch.run.run
    return run.id, run.epoch


class _Plan:
    """The rows of many batches, merged: the last row of a run or step wins."""

    __slots__ = (
        "blobs",
        "changed",
        "claims",
        "consumed",
        "counts",
        "events",
        "generation",
        "heads",
        "known",
        "memory",
        "new",
        "newcomers",
        "outcomes",
        "steps",
        "tags",
        "voided",
    )

    def __init__(
        self,
        batches: Sequence[Batch],
        *,
        known: dict[bytes, None],
        generation: int,
        lost: dict[_Owned, RunwrightError] | None = None,
    ) -> None:
        self.known = known
        self.generation = generation
        self.outcomes: list[RunwrightError | None] = []
        self.new: dict[str, Run] = {}
        self.changed: dict[_Owned, Run] = {}
        self.steps: dict[tuple[str, int], Step] = {}
        self.counts = Counts()
        self.events: list[Values] = []
        self.blobs: dict[bytes, Values] = {}
        self.tags: list[Values] = []
        self.voided: list[Values] = []
        self.consumed: list[Values] = []
        self.heads: list[Values] = []
        self.memory: list[Draft] = []
        self.claims: dict[_Owned, Claimed] = {}
        self.newcomers: dict[_Owned, None] = {}
        for batch in batches:
            error = lost.get(_owned(batch)) if lost else None
            self.outcomes.append(error)
            if error is None:
                self._add(batch)

    def _add(self, batch: Batch) -> None:
        self._add_run(batch)
        if batch.voided:
            self._void(batch)
        for step in batch.steps:
            self.steps[step.run_id, step.seq] = step
        self.counts.add(batch)
        for blob in batch.blobs:
            self._keep(bytes.fromhex(blob.hash), blob.data)
        for event in batch.events:
            body = event.body
            key = None
            # Deltas go when their message is complete; a blob of theirs would stay.
            if len(body) > INLINE and event.type != DELTA_ROW:
                key = digest(body)
                self._keep(key, body)
            self.events.append(event_values(event, key))
        for signal_id in batch.consumed:
            self.consumed.append((signal_id,))
        if batch.thread_head is not None:
            thread_id, run_id = batch.thread_head
            self.heads.append((run_id, thread_id))
        self.memory += batch.memory
        if batch.claim is not None:
            self.claims[_owned(batch)] = batch.claim
            self.newcomers[_owned(batch)] = None

    def _add_run(self, batch: Batch) -> None:
        run = batch.run.run
        if batch.run.is_first:
            self.tags.extend((tag, run.id) for tag in dict.fromkeys(run.tags))
            self.new[run.id] = run
            if run.thread_id is not None:
                self.newcomers[_owned(batch)] = None
        elif run.id in self.new:
            self.new[run.id] = run
        else:
            self.changed[run.id, run.epoch] = run

    def _keep(self, key: bytes, data: bytes) -> None:
        if key not in self.known and key not in self.blobs:
            self.blobs[key] = blob_values(key, data, self.generation)

    def _void(self, batch: Batch) -> None:
        """Drop deltas of earlier batches, stored or planned; deltas that come after are of a new attempt."""
        end = batch.events[0].seq if batch.events else batch.run.run.last_seq + 1
        self.voided.extend((run_id, step, end) for run_id, step in batch.voided)
        gone = set(batch.voided)
        self.events = [row for row in self.events if row[4] != DELTA_ROW or (row[0], row[5]) not in gone]
