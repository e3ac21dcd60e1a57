"""Results of whole runs that are given again: an equal run is answered by an earlier one that only read.

The cache holds which run it was; the answer is read from its record, and is gone when that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from runwright.core.event import Event, GuardDecided, RunCompleted, StepStarted
from runwright.core.message import digest
from runwright.core.policy import Cache, plan
from runwright.core.ports import RunStore
from runwright.engine.decide import Finish
from runwright.engine.live import LiveRun
from runwright.errors import StorageError
from runwright.guard import Answers
from runwright.guard.cache import Kept
from runwright.journal.read import JournalReader

SPACE: Final = "runs"
READS: Final = ("model", "tool", "http", "clock", "random", "id", "sleep", "env")
"""Kinds of steps that a run may have whose result is given again. Memory is another one the next time."""

_SHAPE = "run/1"
_RUN = "run"

ResultOf = Callable[[str], RunCompleted | None]
"""How a run was completed, by its id."""


class Reuse:
    """The earlier result of one run, and its own for later ones."""

    def __init__(self, live: LiveRun, answers: Answers, policy: Cache, *, recall: ResultOf) -> None:
        self._live = live
        self._answers = answers
        self._ttl_s = policy.ttl_s
        self._recall = recall
        run, agent = live.run, live.agent
        parts = (agent.name, agent.version, agent.fingerprint, run.user, _canonical(live.input))
        self._key = digest(msgspec.msgpack.encode(("runs", *parts)))
        self._has_acted = False

    async def find(self) -> tuple[GuardDecided, Finish] | None:
        """What an earlier run came to, with the decision to take it."""
        kept = await self._kept()
        end = None if kept is None else await asyncio.to_thread(self._recall, kept.answer.decode())
        if kept is None or end is None:
            self._answers.miss()
            return None
        # A run that is answered so is not the first one to be found.
        self._has_acted = True
        figures = {_RUN: kept.answer.decode(), **self._answers.hit(kept)}
        decision = GuardDecided(layer="cache", action="hit", target=self._live.agent.name, figures=figures)
        return decision, Finish(output=bytes(end.output), finish_reason=end.finish_reason)

    def note(self, events: Iterable[Event]) -> None:
        """Look whether the run does more than to read."""
        for event in events:
            if isinstance(event.data, StepStarted) and (event.data.effect != "read" or event.data.kind not in READS):
                self._has_acted = True

    async def keep(self) -> None:
        """Keep the result, if the run is complete and only read."""
        run = self._live.log.run
        if self._has_acted or run.status != "completed" or run.tainted or not self._ttl_s:
            return
        kept = Kept(_SHAPE, self._answers.now(), run.usage.total_tokens, run.cost.nano_usd or 0, run.id.encode())
        try:
            await self._answers.keep(SPACE, self._key, kept, ttl_s=self._ttl_s)
        except StorageError:
            # A cache that is away costs answers, it fails no run.
            return

    async def _kept(self) -> Kept | None:
        found = await self._answers.near(SPACE, self._key, ttl_s=self._ttl_s)
        if found is None:
            try:
                found = await self._answers.far(SPACE, self._key, ttl_s=self._ttl_s)
            except StorageError:
                return None
        return found if found is not None and found.shape == _SHAPE else None


def reuse(live: LiveRun, answers: Answers | None, recall: ResultOf, *, past: Sequence[Event]) -> Reuse | None:
    """What gives a run an earlier result; None where its agent does not say so, or the run is none of its own.

    A run of a thread goes on from what was said, a replay repeats, and one that has begun goes on.
    """
    own = live.agent.guard
    held = plan(("agent", own), ("run", live.agent.run_guard)).cache
    is_meant = own is not None and isinstance(own.cache, Cache) and own.cache.of == "runs"
    if answers is None or held is None or held.of != "runs" or not is_meant:
        return None
    if live.run.thread_id is not None or live.player is not None:
        return None
    return (
        None
        if any(isinstance(event.data, StepStarted) for event in past)
        else Reuse(live, answers, held, recall=recall)
    )


def recalled(runs: RunStore, reader: JournalReader, run_id: str) -> RunCompleted | None:
    """How a run was completed, from its record. Raises StorageError."""
    run = runs.get(run_id)
    if run is None or run.status != "completed":
        return None
    last = _completed(reader.page(run_id, after=run.last_seq - 1, limit=1))
    return last or _completed(reader.events(run_id))


def answered_by(events: Iterable[Event]) -> str | None:
    """The run whose result a run was given."""
    for event in events:
        if isinstance(event.data, GuardDecided) and event.step is None and event.data.layer == "cache":
            return str(event.data.figures.get(_RUN, "")) or None
    return None


def _completed(events: Iterable[Event]) -> RunCompleted | None:
    return next((event.data for event in events if isinstance(event.data, RunCompleted)), None)


def _canonical(input: bytes) -> bytes:
    """The same bytes for the same JSON, however it was written."""
    return msgspec.json.encode(msgspec.json.decode(input), order="deterministic")
