"""Pins: runs that stay whatever their age."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from runwright.core.ports import Clock, RunStore
from runwright.core.retention import PinStore
from runwright.errors import NotFound


class PinView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether retention leaves a run alone."""

    object: Literal["pin"] = "pin"
    run_id: str
    is_pinned: bool


class Pins:
    """What a caller can ask about pins."""

    def __init__(self, store: PinStore, runs: RunStore, clock: Clock) -> None:
        self._store = store
        self._runs = runs
        self._clock = clock

    async def pin(self, run_id: str) -> PinView:
        """Keep a run, with all that is needed to replay it. Raises NotFound."""
        await self._check(run_id)
        await asyncio.to_thread(self._store.put, run_id, self._clock.now())
        return PinView(run_id=run_id, is_pinned=True)

    async def unpin(self, run_id: str) -> PinView:
        """Let a run go when its time comes. Raises NotFound."""
        await self._check(run_id)
        await asyncio.to_thread(self._store.drop, run_id)
        return PinView(run_id=run_id, is_pinned=False)

    async def get(self, run_id: str) -> PinView:
        """Whether a run is pinned. Raises NotFound."""
        await self._check(run_id)
        return PinView(run_id=run_id, is_pinned=await asyncio.to_thread(self._store.has, run_id))

    async def _check(self, run_id: str) -> None:
        if await asyncio.to_thread(self._runs.get, run_id) is None:
            raise NotFound(f"There is no run {run_id!r}.")
