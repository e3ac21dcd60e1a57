"""Search for a text in what runs were given, gave or failed with.

There is no index, which every run would have to pay for: runs are read from the newest backwards, so many a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from runwright.core.ports import RunFilter, RunStore
from runwright.core.run import Run, printable
from runwright.errors import InvalidRequest
from runwright.service.edges import Edge, Edges
from runwright.service.matches import match
from runwright.service.runs import Runs
from runwright.service.search_views import NAMED, FoundRuns, Match, Named

RUNS: Final = 2_000
"""Runs that a call looks at, at the most."""

BYTES: Final = 16 << 20
"""Bytes of texts after which a call looks at no further run."""

AT_ONCE: Final = 250
"""Runs whose rows are read at once."""

LONGEST: Final = 200
"""Characters of a text that is searched for."""


class Searches:
    """What a caller can ask about the texts of runs."""

    def __init__(self, runs: Runs, store: RunStore, edges: Edges) -> None:
        self._runs = runs
        self._store = store
        self._edges = edges

    async def find(self, text: str, where: RunFilter, *, is_brief: bool = False) -> FoundRuns:
        """Runs of a list that hold a text, in capitals or not, or are called so; from `where.after` backwards.

        The id of a run finds that run, whatever else is asked for. Raises InvalidRequest for a text that is empty or
        too long.
        """
        text = searched(text)
        if not text:
            raise InvalidRequest("A search needs a text.", problems=[("/text", "at least one character")])
        look = await asyncio.to_thread(self._look, text, where)
        runs = await self._runs.find(RunFilter(ids=list(look.matches), limit=len(look.matches)), is_brief=is_brief)
        return FoundRuns(
            data=runs.data,
            has_more=look.has_more,
            next=look.last.id if look.last is not None and look.has_more else None,
            matches=look.matches,
            looked_at=look.count,
            back_to=None if look.last is None else look.last.created_at,
            names=await asyncio.to_thread(self._names, text) if where.after is None else (),
        )

    def _look(self, text: str, where: RunFilter) -> _Look:
        look = _Look(text.casefold(), most=where.limit)
        if where.after is None and (run := self._store.get(text)) is not None:
            look.through([Edge(run=run)])
            look.has_more = False
            return look
        asked = replace(where, limit=AT_ONCE)
        while look.has_more and not look.is_done:
            runs = self._store.find(asked)
            look.through(self._edges.read(runs))
            look.has_more = len(runs) == AT_ONCE or bool(runs and look.last is not runs[-1])
            asked = replace(asked, after=runs[-1].id if runs else None)
        return look

    def _names(self, text: str) -> tuple[Named, ...]:
        """The filters that the text is a value of: those lists are there at once, however old their runs are."""
        return tuple(name for name in NAMED if self._store.find(msgspec.convert({name: text, "limit": 1}, RunFilter)))


def searched(text: str) -> str:
    """A text as it is searched for. Raises InvalidRequest when it is too long."""
    text = printable(text).strip()
    if len(text) > LONGEST:
        detail = f"at most {LONGEST} characters, not {len(text)}"
        raise InvalidRequest(f"The text of a search has {detail}.", problems=[("/text", detail)])
    return text


class _Look:
    """What a call has looked at so far; `needle` is folded."""

    def __init__(self, needle: str, *, most: int) -> None:
        self._needle = needle
        self._most = most
        self._bytes = 0
        self.matches: dict[str, Match] = {}
        self.count = 0
        self.last: Run | None = None
        self.has_more = True

    @property
    def is_done(self) -> bool:
        """Whether this is enough for one call."""
        return len(self.matches) >= self._most or self.count >= RUNS or self._bytes >= BYTES

    def through(self, edges: Iterable[Edge]) -> None:
        """Look at runs until it is enough."""
        for edge in edges:
            self.count += 1
            self.last = edge.run
            self._bytes += len(edge.input) + len(edge.output)
            if found := match(edge, self._needle):
                self.matches[edge.run.id] = found
            if self.is_done:
                return
