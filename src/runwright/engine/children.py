"""The engine's side of runs that other runs begin: begins them, waits for them, and ends them with their parents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

from runwright.core.ports import RunFilter, RunStore
from runwright.core.run import Run, RunRequest
from runwright.core.step import Step
from runwright.engine.child import DEPTH, Ending
from runwright.engine.drive import Driver, Rows
from runwright.engine.live import LiveRun
from runwright.engine.reuse import recalled
from runwright.errors import LimitExceeded

PAGE = 1_000
"""Children that are looked at together."""

ABANDONED = "the run that began it is over"
"""Why children are cancelled."""

Submit = Callable[[RunRequest], Awaitable[tuple[str, LiveRun | None]]]
Cancel = Callable[[str, str], Awaitable[None]]

_logger = logging.getLogger("runwright.engine")


class Children:
    """The children of an engine's runs. `wake` has the engine look whether runs that wait can go on."""

    driver: Driver
    wake: Callable[[], None]

    def __init__(self, rows: Rows, *, submit: Submit, cancel: Cancel) -> None:
        self._rows = rows
        self._submit = submit
        self._cancel = cancel

    async def attach(self, request: RunRequest, *, parent: str) -> Ending | None:
        """Begin a run with the request's id, or find it, and wait while it is at work in this process.

        None when it is not over then: it waits, or another process has it. Raises what `Engine.submit` raises.
        """
        assert request.id is not None
        above = self.driver.live[parent]
        # Before the child is written: the parent may be cancelled meanwhile.
        above.has_children = True
        live = self.driver.live.get(request.id)
        if live is None and await self._row(request.id) is None:
            await self._refuse_depth(request)
            _, live = await self._submit(request)
        if live is not None:
            with self.driver.slots.lent(above):
                await asyncio.wait([live.settled])
        run = await self._row(request.id)
        if run is None or not run.is_over:
            return None
        if run.status != "completed":
            return Ending(run=run, has_acted=await asyncio.to_thread(_has_acted, self._rows.runs, run.id))
        end = await asyncio.to_thread(recalled, self._rows.runs, self._rows.reader, run.id)
        return Ending(run=run, output=b"null" if end is None else bytes(end.output))

    def abandon(self, run_id: str) -> None:
        """Cancel a run that nobody waits for any more."""
        self.driver.spawn(self._abandon(run_id))

    def rested(self, run: Run, *, has_children: bool) -> None:
        """A run is not executed any more, because it is over or waits."""
        if run.is_over:
            self.over(run, has_children=has_children)
        elif run.reason == "paused":
            # That may have been taken back while it was recorded.
            self.wake()

    def over(self, run: Run, *, has_children: bool) -> None:
        """A run has ended: its children end with it, and who waits for it goes on."""
        if has_children:
            self.driver.spawn(self._end(run.id))
        if run.parent_run_id is not None and run.parent_run_id not in self.driver.live:
            self.wake()

    async def _end(self, run_id: str) -> None:
        after: str | None = None
        while True:
            where = RunFilter(parent_run_id=run_id, after=after, limit=PAGE)
            found = await asyncio.to_thread(self._rows.runs.find, where)
            for child in found:
                if not child.is_over:
                    await self._abandon(child.id)
            if len(found) < PAGE:
                return
            after = found[-1].id

    async def _abandon(self, run_id: str) -> None:
        try:
            await self._cancel(run_id, ABANDONED)
        # It is cancelled when it is taken up again: its parent is over then.
        except Exception as error:  # noqa: BLE001 - logged
            _logger.warning("run %s could not be cancelled: %s: %s", run_id, type(error).__name__, error)

    async def _refuse_depth(self, request: RunRequest) -> None:
        above, depth = request.parent_run_id, 0
        while above is not None:
            depth += 1
            row = await self._row(above)
            above = None if row is None else row.parent_run_id
        if depth > DEPTH:
            told = f"{request.agent!r} would run {depth} runs deep, of {DEPTH} at the most. Do agents call each other?"
            raise LimitExceeded(told)

    async def _row(self, run_id: str) -> Run | None:
        return await asyncio.to_thread(self._rows.runs.get, run_id)


def _has_acted(runs: RunStore, run_id: str) -> bool:
    """Whether a run, or one below it, began a step that does more than read."""
    steps = list(_steps(runs, run_id))
    if any(step.effect != "read" and step.kind != "child" for step in steps):
        return True
    return any(step.kind == "child" for step in steps) and any(_has_acted(runs, id) for id in _below(runs, run_id))


def _steps(runs: RunStore, run_id: str) -> Iterator[Step]:
    after = 0
    while page := runs.steps(run_id, after=after, limit=PAGE):
        yield from page
        after = page[-1].seq


def _below(runs: RunStore, run_id: str) -> Iterator[str]:
    after: str | None = None
    while page := runs.find(RunFilter(parent_run_id=run_id, after=after, limit=PAGE)):
        yield from (child.id for child in page)
        after = page[-1].id
