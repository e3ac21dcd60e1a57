"""Reading the story of a run from the store. Synchronous: callers on the loop go through a thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from runwright.core.event import Event
from runwright.core.ports import Blobs, RunStore
from runwright.journal.shapes import references, unpack

PAGE = 250
"""Rows that are read at once; a row holds up to 16 events."""


class JournalReader:
    """Stored events as they were when they were live."""

    def __init__(self, runs: RunStore, blobs: Blobs) -> None:
        self._runs = runs
        self._blobs = blobs

    def page(self, run_id: str, *, after: int = 0, limit: int = PAGE) -> Sequence[Event]:
        """The events of up to about `limit` rows, with numbers above `after`, in order. Raises StorageError."""
        rows = self._runs.events(run_id, after=after, limit=limit + 1)
        border = rows[limit].seq if len(rows) > limit else None
        rows = rows[:limit]
        names = references(rows)
        blobs: Mapping[str, bytes] = self._blobs.get(sorted(names)) if names else {}
        events = [event for row in rows for event in unpack(row, blobs)]
        events.sort(key=lambda event: event.seq)
        # A row of deltas may reach past the rows behind it: what lies beyond the border comes with the next page.
        found = [event for event in events if event.seq > after and (border is None or event.seq < border)]
        if border is not None and not found:
            # Nothing but rows that began on the page before; an empty page would look like the end.
            return self.page(run_id, after=after, limit=2 * limit)
        return found

    def events(self, run_id: str, *, after: int = 0) -> Iterator[Event]:
        """All events with numbers above `after`, in order."""
        while True:
            page = self.page(run_id, after=after)
            yield from page
            if not page:
                return
            after = page[-1].seq
