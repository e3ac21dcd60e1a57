"""Pauses: a run goes no further than the step that it is at, with all that it began, until somebody lets it go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from runwright.core.ports import RunFilter, SignalKind
from runwright.core.run import Run
from runwright.engine.decide import PAUSABLE, paused
from runwright.engine.drive import Driver, Rows
from runwright.engine.resume import Resumer
from runwright.errors import Conflict

PAGE: Final = 1_000
"""Runs that are looked at together."""


class Pauses:
    """Pauses runs and lets them go on. `leave` leaves a message for the process that has a run."""

    def __init__(
        self,
        rows: Rows,
        *,
        driver: Driver,
        resumer: Resumer,
        leave: Callable[[str, SignalKind, bytes], Awaitable[None]],
    ) -> None:
        self._rows = rows
        self.driver = driver
        self.resumer = resumer
        self._leave = leave

    async def pause(self, run: Run, reason: str, *, is_adopting: bool) -> None:
        """Pause a run and all below it: at once if nobody executes it, else before its next step.

        The request is on disk when this returns, so that it holds over the death of the process.
        """
        if run.is_over:
            raise Conflict(f"{run.id} is {run.status}; only a run that is not over can be paused.")
        if run.reason != "paused":
            await self._leave(run.id, "pause", msgspec.json.encode({"reason": reason}))
            await self.take(run, reason, is_adopting=is_adopting)
        for child in await self._below(run.id):
            if not child.is_over:
                await self.pause(child, reason or f"with {run.id}", is_adopting=is_adopting)

    async def take(self, run: Run, reason: str, *, is_adopting: bool) -> None:
        """Pause one run as far as this process can; its message goes when that is on disk."""
        live = self.driver.live.get(run.id)
        if live is not None:
            live.pause = reason
            return
        if run.is_over or run.reason == "paused":
            await self.forget(run.id)
            return
        is_held = run.status == "waiting" and run.reason not in PAUSABLE
        if is_adopting and not is_held and await self.resumer.is_free(run):
            await self.resumer.pause(run, paused(reason))
            await self.forget(run.id)

    async def unpause(self, run: Run) -> Sequence[Run]:
        """Forget that a run was to be paused; gives the paused runs below it, which go on before it does."""
        await self.forget(run.id)
        live = self.driver.live.get(run.id)
        if live is not None:
            live.pause = None
        return [child for child in await self._below(run.id) if not child.is_over]

    async def is_asked(self, run_id: str) -> bool:
        """Whether somebody asked for a pause that has not come."""
        live = self.driver.live.get(run_id)
        return (live is not None and live.pause is not None) or bool(await self._asked(run_id))

    async def forget(self, run_id: str) -> None:
        """Drop the messages that ask for a pause."""
        for signal in await self._asked(run_id):
            await asyncio.to_thread(self._rows.signals.drop, signal)

    async def _asked(self, run_id: str) -> Sequence[str]:
        pending = await asyncio.to_thread(self._rows.signals.pending)
        return [signal.id for signal in pending if signal.run_id == run_id and signal.kind == "pause"]

    async def _below(self, run_id: str) -> Sequence[Run]:
        found: list[Run] = []
        while True:
            where = RunFilter(parent_run_id=run_id, after=found[-1].id if found else None, limit=PAGE)
            page = await asyncio.to_thread(self._rows.runs.find, where)
            found.extend(page)
            if len(page) < PAGE:
                return found
