"""Runs: create, watch, list, cancel, resolve."""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import AsyncIterator, Sequence
from itertools import takewhile

import msgspec

from runwright.core.event import DELTAS, Event
from runwright.core.labels import LARGEST, check_thread_id
from runwright.core.ports import RunFilter, RunStore, StoryStore
from runwright.core.run import Run, RunRequest
from runwright.core.step import Step
from runwright.core.values import is_json
from runwright.engine.live import LiveRun, Watcher
from runwright.engine.worker import Claim, Engine, Outcome
from runwright.errors import InvalidRequest, NotFound, OwnershipLost, StorageError
from runwright.journal.read import JournalReader
from runwright.service.edges import Edges
from runwright.service.steps import Bodies, find_detail
from runwright.service.views import Page, Resolution, RunView, StepView, run_view

POLL_S = 0.2
"""How often the store is read for a run that another process executes."""

BRIEF_BYTES = 2000
"""Bytes of an input that a brief view gives whole."""

BRIEF = 240
"""Characters of a longer one that it gives."""

Events = AsyncIterator[Sequence[Event]]


class Handle:
    """A run that was just created, or the earlier one of a repeated idempotency key."""

    def __init__(self, runs: Runs, run_id: str, live: LiveRun | None) -> None:
        self._runs = runs
        self._live = live
        self.run_id = run_id

    @property
    def is_repeat(self) -> bool:
        """Whether the run existed before."""
        return self._live is None

    async def wait(self) -> RunView:
        """The run when it is over, or waits for somebody. Raises StorageError when it could not be recorded."""
        if self._live is None:
            return await self._runs.wait(self.run_id)
        live = self._live
        run = await asyncio.shield(live.settled)
        return run_view(run, input=live.input, end=live.end)

    def events(self, after: int = 0) -> Events:
        """Groups of events in order, live, until the terminal one."""
        return self._runs.events(self.run_id, after=after, live=self._live)


class Runs:
    """What a caller can ask about runs."""

    def __init__(
        self, engine: Engine, store: RunStore, reader: JournalReader, *, stories: StoryStore, edges: Edges
    ) -> None:
        self._engine = engine
        self._store = store
        self._reader = reader
        self._stories = stories
        self._edges = edges

    async def create(self, request: RunRequest, *, claim: Claim | None = None) -> Handle:
        """Create a run and begin it.

        Raises NotFound, InvalidRequest, Conflict, Overloaded, Unavailable, IdempotencyMismatch or StorageError.
        """
        check_thread_id(request.thread_id, at="/thread_id")
        run_id, live = await self._engine.submit(request, claim)
        return Handle(self, run_id, live)

    async def get(self, run_id: str) -> RunView:
        """A run with its input and output. Raises NotFound."""
        return (await self._views([await self._row(run_id)]))[0]

    async def find(self, where: RunFilter, *, is_brief: bool = False) -> Page[RunView]:
        """A page of runs, newest first; brief ones are without output, with the beginning of a long input as a text."""
        rows = await asyncio.to_thread(self._store.find, msgspec.structs.replace(where, limit=where.limit + 1))
        shown = rows[: where.limit]
        has_more = len(rows) > where.limit
        data = await self._views(shown, is_brief=is_brief)
        return Page(data=data, has_more=has_more, next=shown[-1].id if has_more else None)

    async def parents(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Those of the runs that began others."""
        return await asyncio.to_thread(self._stories.parents, run_ids)

    async def wait(self, run_id: str, timeout_s: float | None = None) -> RunView:
        """The run when it is over or waits for somebody, or as it is after `timeout_s`. Raises NotFound."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled(run_id)
        except TimeoutError:
            pass
        return await self.get(run_id)

    async def steps(self, run_id: str, *, after: int = 0, limit: int = 100) -> Page[StepView]:
        """A page of a run's steps, in order, with requests and results. Raises NotFound."""
        await self._row(run_id)
        return await asyncio.to_thread(_steps, self._store, self._reader, run_id, after=after, limit=limit)

    async def step(self, run_id: str, seq: int) -> StepView:
        """One step by its number. Raises NotFound."""
        await self._row(run_id)
        return (await asyncio.to_thread(find_detail, self._store, self._reader, run_id, seq=seq)).step

    async def events(self, run_id: str, *, after: int = 0, live: LiveRun | None = None) -> Events:
        """Groups of events with numbers above `after`, in order and each once, live, until the terminal one.

        Works for runs of this process, of others, and of the past. Raises NotFound, and StorageError when a run that
        is watched can no longer be recorded.
        """
        while True:
            live = live or self._engine.live(run_id)
            source = self._watch(live, run_id, after) if live is not None else self._poll(run_id, after)
            async for group in source:
                after = group[-1].seq
                yield group
                if group[-1].is_terminal:
                    return
            if live is None and self._engine.live(run_id) is None:
                return
            live = None

    async def cancel(self, run_id: str, *, reason: str = "") -> RunView:
        """Cancel a run; one that is over stays as it is. Raises NotFound."""
        await self._engine.cancel(run_id, reason)
        return await self.get(run_id)

    async def resolve(self, run_id: str, resolution: Resolution) -> RunView:
        """Say what became of a step of unknown outcome, or answer one that is held.

        Raises NotFound, Conflict or InvalidRequest.
        """
        outcome = Outcome(
            action=resolution.action,
            step=resolution.step,
            result=_json(resolution.result, "result"),
            arguments=_json(resolution.arguments, "arguments"),
            by=resolution.by,
            note=resolution.note,
        )
        await self._engine.resolve(run_id, outcome)
        return await self.get(run_id)

    async def pause(self, run_id: str, *, reason: str = "") -> RunView:
        """Have a run, and those below it, wait before the next step. Raises NotFound or Conflict."""
        await self._engine.pause(run_id, reason)
        return await self.get(run_id)

    async def resume(self, run_id: str) -> RunView:
        """Let a run that waits go on with the current code. Raises NotFound or Conflict."""
        await self._engine.resume(run_id)
        return await self.get(run_id)

    async def _row(self, run_id: str) -> Run:
        """The run as it stands on disk: what is not yet committed is told to nobody."""
        run = await asyncio.to_thread(self._store.get, run_id)
        live = self._engine.live(run_id)
        if run is None and live is not None:
            await live.log.durable()
            run = await asyncio.to_thread(self._store.get, run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id!r}.")
        return run

    async def _settled(self, run_id: str) -> None:
        while True:
            live = self._engine.live(run_id)
            if live is not None:
                await asyncio.wait([live.settled])
                return
            run = await self._row(run_id)
            if run.is_over or run.status == "waiting":
                return
            await asyncio.sleep(POLL_S)

    async def _watch(self, live: LiveRun, run_id: str, after: int) -> Events:
        """First what is stored, then the deltas that are only in memory, then what comes."""
        watcher, border = live.watch()
        try:
            deltas = live.open_deltas()
            if after < border:
                for group in await self._caught_up(run_id, deltas, after=after, border=border):
                    yield group
            async for group in _from(watcher, max(after, border)):
                yield group
        finally:
            live.unwatch(watcher)
        _refuse_lost(live)

    async def _caught_up(
        self, run_id: str, deltas: Sequence[Event], *, after: int, border: int
    ) -> Sequence[Sequence[Event]]:
        stored = await asyncio.to_thread(lambda: list(self._reader.events(run_id, after=after)))
        known = {event.seq: event for event in stored if event.seq <= border and not isinstance(event.data, DELTAS)}
        known.update({event.seq: event for event in deltas if after < event.seq <= border})
        events = [known[seq] for seq in sorted(known)]
        return [_until_terminal(events)] if events else []

    async def _poll(self, run_id: str, after: int) -> Events:
        """From the store, until the run is over or this process takes it up."""
        while self._engine.live(run_id) is None:
            run = await self._row(run_id)
            page = await asyncio.to_thread(self._reader.page, run_id, after=after)
            if page:
                after = page[-1].seq
                yield _until_terminal(page)
            elif run.is_over:
                return
            else:
                await asyncio.sleep(POLL_S)

    async def _views(self, runs: Sequence[Run], *, is_brief: bool = False) -> Sequence[RunView]:
        lost = await self._engine.lost(runs)

        def views() -> Sequence[RunView]:
            return [
                run_view(
                    edge.run,
                    input=_brief(edge.input) if is_brief else edge.input,
                    end=edge.end,
                    is_lost=edge.run.id in lost,
                )
                for edge in self._edges.read(runs, has_outputs=not is_brief)
            ]

        return await asyncio.to_thread(views)


def _steps(store: RunStore, reader: JournalReader, run_id: str, *, after: int, limit: int) -> Page[StepView]:
    rows = store.steps(run_id, after=after, limit=limit + 1)
    shown = rows[:limit]
    bodies = Bodies(_until_ended(reader, shown) if shown else ())
    data = [bodies.view(step) for step in shown]
    has_more = len(rows) > limit
    return Page(data=data, has_more=has_more, next=str(shown[-1].seq) if has_more else None)


def _until_ended(reader: JournalReader, shown: Sequence[Step]) -> Sequence[Event]:
    """The events of a run up to the one that ended the last of these steps: what stands behind tells others."""
    ends = [step.end_seq for step in shown if step.end_seq is not None]
    last = max(ends) if len(ends) == len(shown) else LARGEST
    return list(takewhile(lambda event: event.seq <= last, reader.events(shown[0].run_id)))


def _brief(input: bytes) -> bytes:
    if len(input) <= BRIEF_BYTES:
        return input
    text = input[:BRIEF_BYTES].decode("utf-8", "replace").removeprefix('"')
    return msgspec.json.encode(text[:BRIEF])


def _json(given: object, field: str) -> bytes:
    """What somebody gives a step, as JSON text. Raises InvalidRequest, before anything is recorded."""
    # Callers in Python may hand over anything, whatever the type says.
    text = bytes(given) if isinstance(given, msgspec.Raw) else b""
    if is_json(text):
        return text
    how = "JSON text, in Python as msgspec.Raw(msgspec.json.encode(value))"
    detail = f"a {field.removesuffix('s')} is {how}, not {reprlib.repr(text or given)}"
    raise InvalidRequest(f"The resolution is not valid: {detail}.", problems=[(f"/{field}", detail)])


def _refuse_lost(live: LiveRun) -> None:
    """Raise what kept a run from being recorded; a run that another process took goes on there."""
    failure = live.settled.exception() if live.settled.done() else None
    if isinstance(failure, StorageError) and not isinstance(failure, OwnershipLost):
        raise failure


async def _from(watcher: Watcher, after: int) -> Events:
    while True:
        group = await watcher.take()
        if not group:
            return
        fresh = [event for event in group if event.seq > after]
        if fresh:
            yield _until_terminal(fresh)


def _until_terminal(events: Sequence[Event]) -> Sequence[Event]:
    """A stream ends with its terminal event, even where a late outcome of a `once` tool follows it."""
    for index, event in enumerate(events):
        if event.is_terminal:
            return events[: index + 1]
    return events
