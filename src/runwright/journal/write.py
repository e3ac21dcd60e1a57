"""The one writer of events: numbers them, projects them to rows, and commits them in groups on its own thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import cast

import msgspec
from msgspec.structs import replace

from runwright.core.event import Data, Delta, Event, GuardDecided, StepFailed, StepStarted
from runwright.core.ports import Batch, Claimed, Clock, Reader, RunRow, Writes
from runwright.core.run import ErrorInfo, Run
from runwright.core.step import Step
from runwright.errors import StorageError, Unavailable
from runwright.journal.memory import memory_drafts
from runwright.journal.project import RUN_EVENTS, STEP_EVENTS, RunEvent, StepEvent, account, project_run, project_step
from runwright.journal.shapes import pack_all, pack_deltas, size_of

SEQ_BLOCK = 4096
"""How many event numbers a run reserves durably at a time."""

SEQ_MARGIN = 512
"""A new block is reserved when so many numbers are left, so that deltas need not wait for the commit."""

GROUP_LIMIT = 512
"""Entries in one commit at the most."""

ROOM = 64 * 1024 * 1024
"""Bytes waiting for the disk above which new steps wait."""

DELTA_FLUSH_S = 0.25
DELTA_FLUSH_COUNT = 256

_logger = logging.getLogger("runwright.journal")

Publish = Callable[[Sequence[Event]], None]
Record = tuple[Data, int | None]
Clean = Callable[[Data], Data]


class _Entry(msgspec.Struct, gc=False):
    """What one append hands to the writer thread."""

    log: RunLog
    number: int
    run: RunRow
    events: list[Event] = []
    steps: list[Step] = []
    deltas: tuple[list[Event], ...] = ()
    voided: list[tuple[str, int]] = []
    consumed: list[str] = []
    claim: Claimed | None = None
    thread_head: tuple[str, str] | None = None
    size: int = 0


class Journal:
    """Owns the writer thread. Created on the event loop that runs execute on; `start` before use, `stop` at the end."""

    def __init__(
        self,
        writes: Writes,
        *,
        clock: Clock,
        readers: Sequence[Reader] = (),
        on_commit: Callable[[float], None] = lambda duration_s: None,
    ) -> None:
        self._writes = writes
        self._clock = clock
        self._readers = tuple(readers)
        self._on_commit = on_commit
        self._queue: SimpleQueue[list[_Entry] | None] = SimpleQueue()
        self._outbox: list[_Entry] = []
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="runwright-journal", daemon=True)
        self._bytes = 0
        self._room: list[asyncio.Future[None]] = []
        self._error: StorageError | None = None
        self._is_stopped = False
        self.depth = 0

    @property
    def error(self) -> StorageError | None:
        """Why nothing can be written now; None when all is well."""
        return self._error

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    async def stop(self) -> None:
        """Write what is waiting and stop the thread. What is appended from now on is lost, and `durable` says so."""
        self._is_stopped = True
        self.flush()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    async def heal(self) -> bool:
        """Try the store after an error; True when it takes rows again."""
        try:
            await asyncio.to_thread(self._writes.probe)
        except StorageError as error:
            self._error = error
            return False
        if self._error is not None:
            _logger.warning("the store takes rows again")
        self._error = None
        return True

    def open(self, run: Run, *, is_first: bool, publish: Publish, clean: Clean, steps: Sequence[Step] = ()) -> RunLog:
        """The log of a run: a new one, or one taken over with its unfinished `steps`. `clean` gets all it records."""
        return RunLog(self, run, is_first=is_first, publish=publish, clean=clean, steps=steps)

    async def room(self) -> None:
        """Wait while too much is waiting for the disk."""
        while self._bytes > ROOM:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._room.append(waiter)
            await waiter

    @property
    def is_crowded(self) -> bool:
        """Whether so much is waiting for the disk that what can be left out should be."""
        return self._bytes > ROOM // 2

    def now(self) -> datetime:
        """The present time, for events."""
        return self._clock.now()

    def put(self, entry: _Entry) -> None:
        """Take an entry; it goes to the writer thread when somebody waits for it, or two turns of the loop later.

        So what a run appends as it begins, or as it ends, is one commit, and a turn of many runs wakes the thread once.
        """
        if self._is_stopped:
            entry.log.lost = Unavailable("The process stops; the run goes on at the next start.")
            return
        self._bytes += entry.size
        self.depth += 1
        if not self._outbox:
            self._loop.call_soon(self._loop.call_soon, self.flush)
        self._outbox.append(entry)

    def merge(self, entry: _Entry) -> bool:
        """Add an entry to the one before it, if that is of the same run and still here."""
        last = self._outbox[-1] if self._outbox else None
        if last is None or last.log is not entry.log or not last.events:
            return False
        last.run = RunRow(entry.run.run, last.run.is_first)
        last.events += entry.events
        last.steps += entry.steps
        last.voided += entry.voided
        last.consumed += entry.consumed
        last.thread_head = entry.thread_head or last.thread_head
        last.size += entry.size
        self._bytes += entry.size
        return True

    def flush(self) -> None:
        """Hand what was taken to the writer thread."""
        if self._outbox:
            self._queue.put(self._outbox)
            self._outbox = []

    def later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back on the loop after a delay."""
        return self._loop.call_later(delay_s, callback)

    def future(self) -> asyncio.Future[None]:
        """A future of the loop."""
        return self._loop.create_future()

    def _work(self) -> None:
        while True:
            group, is_last = self._next_group()
            if group:
                self._commit(group)
            if is_last:
                return

    def _next_group(self) -> tuple[list[_Entry], bool]:
        """Natural group commit: whatever is there, without lingering for more."""
        entries = self._queue.get()
        group: list[_Entry] = []
        while entries is not None:
            group.extend(entries)
            if len(group) >= GROUP_LIMIT:
                return group, False
            try:
                entries = self._queue.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _commit(self, group: list[_Entry]) -> None:
        live: list[_Entry] = []
        batches: list[Batch] = []
        for entry in group:
            if entry.log.lost is None and (batch := _packed(entry)) is not None:
                live.append(entry)
                batches.append(batch)
        outcome: Sequence[Exception | None] = ()
        failure: StorageError | None = None
        begun = self._clock.monotonic()
        try:
            if live:
                outcome = self._writes.append(batches)
        except StorageError as error:
            failure = error
        # Whatever else a driver raises, the only thread that writes goes on.
        except Exception as error:  # noqa: BLE001 - handed to everybody who waits
            failure = StorageError(f"The store failed with {type(error).__name__}: {error}")
        for index, entry in enumerate(live):
            error = failure or outcome[index]
            if error is not None:
                # Each its own: what is raised again and again keeps the frames of all who raised it.
                entry.log.lost = copy(error)
        self._loop.call_soon_threadsafe(self._settle, group, failure)
        if failure is None:
            self._on_commit(self._clock.monotonic() - begun)
            self._tell(live)

    def _tell(self, entries: list[_Entry]) -> None:
        for entry in entries:
            if entry.log.lost is None and entry.events:
                for reader in self._readers:
                    self._tell_one(reader, entry)

    def _tell_one(self, reader: Reader, entry: _Entry) -> None:
        try:
            reader.record(entry.run.run, entry.events)
        # A reader may be a plugin: its fault must not end the only thread that writes.
        except Exception as error:  # noqa: BLE001 - reported by the loop
            told = {"message": f"{type(reader).__name__} failed to read events", "exception": error}
            self._loop.call_soon_threadsafe(self._loop.call_exception_handler, told)

    def _settle(self, group: list[_Entry], failure: StorageError | None) -> None:
        if failure is not None:
            if self._error is None:
                _logger.error("the store takes no rows: %s", failure.message)
            self._error = failure
        for entry in group:
            self._bytes -= entry.size
            self.depth -= 1
            entry.log.settle(entry)
        if self._room and self._bytes <= ROOM:
            waiters, self._room = self._room, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


class RunLog:
    """The log of one run, used on the event loop by the run's owner.

    Appending is immediate; `durable` waits for the commit. Events are published in order once they are committed,
    deltas as soon as everything before them is.
    """

    def __init__(
        self, journal: Journal, run: Run, *, is_first: bool, publish: Publish, clean: Clean, steps: Sequence[Step] = ()
    ) -> None:
        self._journal = journal
        self._publish = publish
        self._clean = clean
        self._is_new = is_first
        self._steps: dict[int, Step] = {step.seq: step for step in steps}
        self._seq = run.seq_limit
        self._shown = run.seq_limit
        self._appended = 0
        self._committed = 0
        self._line: deque[_Entry | Event] = deque()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._deltas: dict[int, list[Event]] = {}
        # The owner before may have flushed deltas of the steps that it left open.
        self._flushed = {step.seq for step in steps if step.kind == "model"}
        self._timer: asyncio.TimerHandle | None = None
        self.run = run
        self.now = journal.now
        self.lost: Exception | None = None

    @property
    def open_steps(self) -> Sequence[Step]:
        """Steps that have not ended, in order."""
        return [step for step in self._steps.values() if step.status == "running"]

    @property
    def unknown_steps(self) -> Sequence[Step]:
        """Steps whose outcome is not known, in order."""
        return [step for step in self._steps.values() if step.status == "unknown"]

    def is_open(self, seq: int) -> bool:
        """Whether a step has not ended, or its outcome is unknown."""
        return seq in self._steps

    def append(
        self,
        *records: Record,
        consumed: tuple[str, ...] = (),
        claim: Claimed | None = None,
        thread_head: tuple[str, str] | None = None,
    ) -> tuple[Event, ...]:
        """Number the records, project them to rows and hand them to the writer. Raises what ended the log."""
        self._check()
        ts = self._journal.now()
        events: list[Event] = []
        steps: dict[int, Step] = {}
        voided: list[tuple[str, int]] = []
        for data, step in records:
            self._seq = seq = self._seq + 1
            event = Event(self.run.id, seq, ts, self._clean(data), seq if type(data) is StepStarted else step)
            events.append(event)
            self._apply(event, steps, voided)
        self._reserve()
        self.run = replace(self.run, last_seq=self._seq)
        # The entry may grow by what is appended next.
        told = tuple(events)
        entry = _Entry(
            log=self,
            number=0,
            run=RunRow(self.run, self._is_new),
            events=events,
            steps=list(steps.values()),
            voided=voided,
            consumed=list(consumed),
            claim=claim,
            thread_head=thread_head,
            size=size_of(events),
        )
        # Deltas since the last entry stand between: they are shown before what is appended now.
        if not (self._line and isinstance(self._line[-1], _Entry) and self._journal.merge(entry)):
            self._put(entry)
        return told

    def delta(self, data: Delta, step: int) -> None:
        """Record and publish a delta of an open step; of a step that has ended it is dropped."""
        self._check()
        if step not in self._steps:
            return
        self._seq += 1
        event = Event(self.run.id, self._seq, self._journal.now(), data, step)
        if self._seq > self.run.seq_limit - SEQ_MARGIN:
            self._reserve()
            self._put(_Entry(log=self, number=0, run=RunRow(self.run, self._is_new)), is_silent=True)
        if not self._line and self._seq <= self._shown:
            self._publish((event,))
        else:
            self._line.append(event)
        kept = self._deltas.setdefault(step, [])
        kept.append(event)
        if len(kept) >= DELTA_FLUSH_COUNT:
            self._flush()
        elif self._timer is None:
            self._timer = self._journal.later(DELTA_FLUSH_S, self._flush)

    def close_steps(self, error: ErrorInfo) -> None:
        """End the open steps, because the run ends; it is not known whether `once` tools among them took effect."""
        for step in self.open_steps:
            self.append((StepFailed(error=replace(error, step=step.seq), is_unknown=step.may_have_acted), step.seq))

    async def durable(self) -> None:
        """Wait until everything appended is committed. Raises StorageError, OwnershipLost, Conflict or Unavailable."""
        self._check()
        if self._committed >= self._appended:
            return
        self._journal.flush()
        waiter = self._journal.future()
        self._waiters.append((self._appended, waiter))
        await waiter

    def settle(self, entry: _Entry) -> None:
        """Called by the journal when an entry is committed or lost."""
        if self.lost is not None:
            self._fail(self.lost)
            return
        self._committed = entry.number
        self._shown = max(self._shown, entry.run.run.seq_limit)
        self._drain()
        if self._waiters:
            ready = [waiter for number, waiter in self._waiters if number <= self._committed]
            self._waiters = [(number, waiter) for number, waiter in self._waiters if number > self._committed]
            for waiter in ready:
                if not waiter.done():
                    waiter.set_result(None)

    def close(self) -> None:
        """Forget the timer of a log that is not written any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        if self.lost is not None:
            raise copy(self.lost)

    def _apply(self, event: Event, steps: dict[int, Step], voided: list[tuple[str, int]]) -> None:
        data = event.data
        kind = type(data)
        # Sets of types, because isinstance with a union of many classes costs a microsecond an event.
        if kind in RUN_EVENTS:
            self.run = project_run(self.run, event, cast("RunEvent", data))
        elif kind in STEP_EVENTS and event.step is not None:
            data = cast("StepEvent", data)
            step = project_step(self._steps.get(event.step), event, data)
            self._steps[step.seq] = steps[step.seq] = step
            if kind is not StepStarted and kind is not GuardDecided:
                self._void(step, voided)
            if step.is_over:
                del self._steps[step.seq]
                self.run = account(self.run, step)

    def _void(self, step: Step, voided: list[tuple[str, int]]) -> None:
        """Deltas so far are superseded by the message, or void because the step ended badly or begins again."""
        self._deltas.pop(step.seq, None)
        if step.seq in self._flushed:
            self._flushed.discard(step.seq)
            voided.append((step.run_id, step.seq))

    def _reserve(self) -> None:
        if self._seq > self.run.seq_limit - SEQ_MARGIN:
            self.run = replace(self.run, seq_limit=self._seq + SEQ_BLOCK)

    def _put(self, entry: _Entry, *, is_silent: bool = False) -> None:
        self._appended += 1
        entry.number = self._appended
        self._is_new = False
        if not is_silent:
            self._line.append(entry)
        self._journal.put(entry)

    def _drain(self) -> None:
        ready: list[Event] = []
        line = self._line
        while line:
            head = line[0]
            if isinstance(head, Event):
                if head.seq > self._shown:
                    break
                ready.append(head)
            elif head.number <= self._committed:
                ready.extend(head.events)
            else:
                break
            line.popleft()
        if ready:
            self._publish(ready)

    def _flush(self) -> None:
        """Write the deltas of open steps, so that a late reader or another process sees them; skipped in a crowd."""
        self.close()
        if self.lost is not None or self._journal.is_crowded:
            return
        pending = tuple(kept for kept in self._deltas.values() if kept)
        if not pending:
            return
        self._flushed.update(step for step, kept in self._deltas.items() if kept)
        self._deltas = {step: [] for step in self._deltas}
        size = sum(len(kept) * 64 for kept in pending)
        entry = _Entry(log=self, number=0, run=RunRow(self.run, self._is_new), deltas=pending, size=size)
        self._put(entry, is_silent=True)

    def _fail(self, error: Exception) -> None:
        self.close()
        waiters, self._waiters = self._waiters, []
        for _, waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)


def _packed(entry: _Entry) -> Batch | None:
    """The rows of an entry; one that cannot be encoded ends its log and no other."""
    try:
        return _batch(entry)
    except (TypeError, ValueError, OverflowError) as error:
        entry.log.lost = StorageError(f"Events of {entry.run.run.id} cannot be written as JSON: {error}")
        return None


def _batch(entry: _Entry) -> Batch:
    packed = pack_all(entry.events)
    return Batch(
        run=entry.run,
        steps=tuple(entry.steps),
        events=(*(row for row, _ in packed), *map(pack_deltas, entry.deltas)),
        blobs=tuple(blob for _, blobs in packed for blob in blobs),
        voided=tuple(entry.voided),
        consumed=tuple(entry.consumed),
        claim=entry.claim,
        thread_head=entry.thread_head,
        memory=memory_drafts(entry.events),
        is_end=any(event.is_terminal for event in entry.events),
    )
