"""Diffs: how one run differs from another."""

from __future__ import annotations

import asyncio
from itertools import takewhile

from runwright.core.ports import RunStore
from runwright.errors import NotFound
from runwright.journal.diff import Recorded, RunDiff, diff_runs
from runwright.journal.read import JournalReader


class Diffs:
    """What a caller can ask about two runs, of any agents, over or not."""

    def __init__(self, store: RunStore, reader: JournalReader) -> None:
        self._store = store
        self._reader = reader

    async def between(self, left: str, right: str) -> RunDiff:
        """How the right run differs from the left one, as far as they stand on disk. Raises NotFound."""
        return await asyncio.to_thread(lambda: diff_runs(self._recorded(left), self._recorded(right)))

    def _recorded(self, run_id: str) -> Recorded:
        run = self._store.get(run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id!r}.")
        # A run that is at work goes on while it is read.
        events = takewhile(lambda event: event.seq <= run.last_seq, self._reader.events(run_id))
        return Recorded(run=run, events=tuple(events))
