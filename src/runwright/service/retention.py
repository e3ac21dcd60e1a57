"""Retention: what is too old, or too much, goes; oldest runs first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from runwright.core.event import RunStarted
from runwright.core.ports import Clock
from runwright.core.retention import Prunable, PruneStore
from runwright.errors import StorageError
from runwright.journal.read import JournalReader
from runwright.journal.shapes import references

EVERY_S = 3600.0
FIRST_S = 60.0
PAUSE_S = 0.02
"""Between two transactions that delete, so that those who write come in between."""

_AT_ONCE = 2_000
_PAGE = 5_000
_ROUNDS = 10
_ROOM = 0.95
"""A store that is too large is brought to this part of its size, so that not every hour has something to do."""

_logger = logging.getLogger("runwright.retention")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What stays: runs that ended less than `age` ago, and of these the newest, up to `size` bytes in all."""

    age: timedelta | None = None
    size: int | None = None


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What went, or would: `freed` bytes are given back to the file system, `used` ones hold what is left."""

    object: Literal["prune_report"] = "prune_report"
    is_dry: bool
    runs: int
    blobs: int
    freed: int
    used: int
    until: datetime | None


class Pruner:
    """Deletes by a rule, in one thread. `go_on` is called after each piece of work and may wait; False stops it."""

    def __init__(
        self,
        store: PruneStore,
        reader: JournalReader,
        clock: Clock,
        *,
        note: Callable[[str], None] = lambda text: None,
        go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock
        self._note = note
        self._go_on = go_on
        self._is_on = True
        self._runs = self._blobs = 0
        self._until: datetime | None = None

    def plan(self, rule: Rule) -> Pruned:
        """What would go by age; for a size, about how much. Nothing is changed. Raises StorageError."""
        runs = 0
        until: datetime | None = None
        for run in self._too_old(rule.age):
            runs += 1
            until = max(until or run.ended_at, run.ended_at)
        if rule.size is not None and self._store.used() > rule.size:
            many = [run.ended_at for run in self._too_much(rule.size)]
            runs = max(runs, len(many))
            until = max(filter(None, [*many, until]), default=None)
        return Pruned(is_dry=True, runs=runs, blobs=0, freed=0, used=self._store.used(), until=until)

    def prune(self, rule: Rule, *, is_thorough: bool = False) -> Pruned:
        """Delete what the rule does not keep, and give the room back. Raises StorageError.

        To be thorough is to look for bodies that nothing refers to even if no run goes, which reads all events.
        """
        if not self._delete(self._too_old(rule.age)) and is_thorough:
            self._sweep(self._store.begin())
        if rule.size is not None:
            for _ in range(_ROUNDS):
                is_small = self._store.used() <= rule.size
                if is_small or not self._is_on or not self._delete(self._too_much(rule.size)):
                    break
        freed = 0
        for piece in self._store.shrink() if self._is_on else ():
            freed += piece
            if not self._goes_on():
                break
        return Pruned(
            is_dry=False,
            runs=self._runs,
            blobs=self._blobs,
            freed=freed,
            used=self._store.used(),
            until=self._until,
        )

    def _goes_on(self) -> bool:
        self._is_on = self._is_on and self._go_on()
        return self._is_on

    def _too_old(self, age: timedelta | None) -> Iterator[Prunable]:
        return iter(()) if age is None else self._oldest(self._clock.now() - age)

    def _too_much(self, size: int) -> Iterator[Prunable]:
        """About as many of the oldest runs as have to go, taking each event for as large as the others."""
        used = self._store.used()
        share = (used - size * _ROOM) / used
        left = share * sum(run.last_seq for run in self._oldest(None))
        for run in self._oldest(None):
            if left <= 0:
                return
            left -= max(run.last_seq, 1)
            yield run

    def _oldest(self, before: datetime | None) -> Iterator[Prunable]:
        after = ""
        keep = self._kept()
        while page := self._store.oldest(before=before, after=after, keep=keep, limit=_PAGE):
            yield from page
            after = page[-1].run_id

    def _kept(self) -> frozenset[str]:
        """The runs whose conversation a pinned or replayed run went on from: it cannot be replayed without."""
        heads: set[str] = set()
        for run_id in self._store.needed():
            started = (event.data for event in self._reader.events(run_id) if isinstance(event.data, RunStarted))
            head = next((data.thread_head for data in started), None)
            if head is not None:
                heads.add(head)
        return frozenset(heads)

    def _delete(self, chosen: Iterator[Prunable]) -> int:
        """Delete these runs, then what nothing refers to any more; how many runs went."""
        generation = before = 0
        for group in _groups(chosen):
            generation = generation or self._store.begin()
            before += self._store.delete(group)
            self._until = max(self._until or group[-1].ended_at, *(run.ended_at for run in group))
            self._note(f"{self._runs + before:,} runs deleted, up to {self._until:%Y-%m-%d %H:%M}")
            if not self._goes_on():
                break
        self._runs += before
        if generation:
            self._sweep(generation)
        return before

    def _sweep(self, generation: int) -> None:
        for gone in self._store.sweep(generation, references):
            self._blobs += gone
            if not self._goes_on():
                break


def _groups(chosen: Iterator[Prunable]) -> Iterator[Sequence[Prunable]]:
    """Runs that one transaction deletes: so many that their events are not too many."""
    group: list[Prunable] = []
    events = 0
    for run in chosen:
        if group and events + run.last_seq > _AT_ONCE:
            yield group
            group, events = [], 0
        group.append(run)
        events += run.last_seq
    if group:
        yield group


class Retention:
    """Prunes by a rule in a thread of its own: after `first_s`, then every hour. `done` is called after each time."""

    def __init__(
        self,
        store: PruneStore,
        reader: JournalReader,
        clock: Clock,
        *,
        rule: Rule,
        first_s: float = FIRST_S,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock
        self._rule = rule
        self._first_s = first_s
        self._done = done
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="runwright-retention", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the piece of work that it is at."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        wait_s = self._first_s
        while not self._stop.wait(wait_s):
            wait_s = EVERY_S
            pruner = Pruner(self._store, self._reader, self._clock, go_on=lambda: not self._stop.wait(PAUSE_S))
            try:
                pruned = pruner.prune(self._rule)
            except StorageError as error:
                _logger.warning("nothing was pruned: %s", error.message)
                continue
            if pruned.runs:
                _logger.info("%d runs and %d blobs pruned, %d bytes freed", pruned.runs, pruned.blobs, pruned.freed)
            self._done()
