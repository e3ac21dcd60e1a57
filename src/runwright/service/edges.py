"""What runs were given and what they gave, read for many of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import msgspec

from runwright.core.event import Event, RunCompleted, RunQueued
from runwright.core.ports import Blobs, Stored, StoryStore
from runwright.core.run import Run
from runwright.errors import StorageError
from runwright.journal.read import JournalReader
from runwright.journal.shapes import Chosen

INPUT = frozenset({"run.queued"})
BOTH = INPUT | {"run.completed"}

AT_ONCE = 16
LIGHT = 1 << 20
"""Runs whose texts are read at once, as long as those before them held fewer bytes."""


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its input, as JSON text, and the event that it was completed by."""

    run: Run
    input: bytes = b"null"
    end: RunCompleted | None = None

    @property
    def output(self) -> bytes:
        """What it gave, as JSON text."""
        return b"null" if self.end is None else bytes(self.end.output)


class Edges:
    """The inputs and outputs of runs: they stand in the first and the last event of each."""

    def __init__(self, stories: StoryStore, blobs: Blobs, reader: JournalReader) -> None:
        self._stories = stories
        self._blobs = blobs
        self._reader = reader

    def read(self, runs: Iterable[Run], *, has_outputs: bool = True) -> Iterator[Edge]:
        """These runs, one by one in their order: texts are read as they are reached."""
        asked = list(runs)
        rows = self._stories.edges([run.id for run in asked]) if asked else ()
        told = {run_id: list(group) for run_id, group in groupby(rows, lambda row: row.run_id)}
        start, count = 0, 1
        while group := [_Told(run, told.get(run.id, ()), has_outputs) for run in asked[start : start + count]]:
            names = {name for each in group for name in each.names}
            blobs: Mapping[str, bytes] = self._blobs.get(sorted(names)) if names else {}
            start += count
            count = min(2 * count, AT_ONCE) if sum(map(len, blobs.values())) < LIGHT else 1
            for each in group:
                yield self._edge(each, blobs)

    def _edge(self, told: _Told, blobs: Mapping[str, bytes]) -> Edge:
        try:
            return self._filled(told, blobs)
        except StorageError:
            if list(self._stories.edges([told.run.id])) == list(told.rows):
                raise
            # It was deleted since its rows were read.
            return Edge(run=told.run)

    def _filled(self, told: _Told, blobs: Mapping[str, bytes]) -> Edge:
        found = [event for part in told.parts for event in part.unpack(blobs)]
        first = found[0].data if found else None
        end = _completed(found) if told.has_output else None
        if told.has_output and end is None:
            # Something was recorded after it.
            end = _completed(self._reader.events(told.run.id))
        return Edge(run=told.run, input=bytes(first.input) if isinstance(first, RunQueued) else b"null", end=end)


class _Told:
    """A run with its first and last rows; `names` are the blobs that what is asked for stands in."""

    def __init__(self, run: Run, rows: Sequence[Stored], has_output: bool) -> None:
        self.run = run
        self.rows = rows
        self.has_output = has_output and run.status == "completed"
        self.parts = [Chosen(row, BOTH if self.has_output else INPUT) for row in rows]
        self.names = {name for part in self.parts for name in part.names}


def _completed(events: Iterable[Event]) -> RunCompleted | None:
    return next((event.data for event in events if isinstance(event.data, RunCompleted)), None)
