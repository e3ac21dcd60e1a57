"""Diffs: how one run differs from another."""

from __future__ import annotations

import asyncio
from itertools import takewhile

from runwright.core.ports import RunStore
from runwright.core.run import Run
from runwright.errors import NotFound
from runwright.journal.diff import Recorded, RunDiff, diff_runs
from runwright.journal.read import JournalReader

KEPT = 2
"""Diffs that are kept: a page asks for the places of one, one by one."""


class Diffs:
    """What a caller can ask about two runs, of any agents, over or not."""

    def __init__(self, store: RunStore, reader: JournalReader) -> None:
        self._store = store
        self._reader = reader
        self._last: tuple[tuple[Run, Run, RunDiff], ...] = ()

    async def between(self, left: str, right: str) -> RunDiff:
        """How the right run differs from the left one, as far as they stand on disk. Raises NotFound."""
        return await asyncio.to_thread(self._between, left, right)

    def _between(self, left: str, right: str) -> RunDiff:
        one, other = self._run(left), self._run(right)
        # What was recorded up to a number does not change, so the rows of the runs tell whether a diff still holds.
        for kept in self._last:
            if kept[:2] == (one, other):
                return kept[2]
        diff = diff_runs(self._recorded(one), self._recorded(other))
        self._last = ((one, other, diff), *self._last[: KEPT - 1])
        return diff

    def _run(self, run_id: str) -> Run:
        run = self._store.get(run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id!r}.")
        return run

    def _recorded(self, run: Run) -> Recorded:
        # A run that is at work goes on while it is read.
        events = takewhile(lambda event: event.seq <= run.last_seq, self._reader.events(run.id))
        return Recorded(run=run, events=tuple(events))
