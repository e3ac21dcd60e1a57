"""Pauses: a run goes no further than the step that it is at, with all that it began, until somebody lets it go on.

A message in the store says that a run, and all below it, is to wait. It stands for as long as that holds, and nothing
else says so: who executes a run looks before its next step, and what waits as paused without a message goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec

from runwright.core.ports import Signal, SignalKind
from runwright.core.run import Run
from runwright.engine.brake import Pause, PauseAsked, pause_of, pauses_at
from runwright.engine.decide import PAUSABLE, paused
from runwright.engine.drive import Driver, Rows
from runwright.engine.resume import Resumer
from runwright.errors import Conflict, OwnershipLost


class Pauses:
    """Pauses runs and lets them go on. `leave` leaves a message; `is_adopting` engines touch runs that wait.

    `look` has the engine look at all runs that wait.
    """

    look: Callable[[], None]

    def __init__(
        self,
        rows: Rows,
        *,
        driver: Driver,
        resumer: Resumer,
        leave: Callable[[str, SignalKind, bytes], Awaitable[None]],
        is_adopting: bool,
    ) -> None:
        self._rows = rows
        self.driver = driver
        self.resumer = resumer
        self._leave = leave
        self._is_adopting = is_adopting
        self._heard: dict[str, Signal] = {}
        self._paused: frozenset[str] = frozenset()
        self._roots: frozenset[str] = frozenset()
        self._settled: dict[str, int] = {}

    async def pause(self, run: Run, reason: str) -> None:
        """Pause a run, at once where nobody executes it, else before its next step, and soon all below it.

        The message is on disk when this returns. Raises Conflict for a run that is over.
        """
        if run.is_over:
            raise Conflict(f"{run.id} is {run.status}; only a run that is not over can be paused.")
        if not await self._own(run):
            body = PauseAsked(reason=reason, root=run.root_run_id or run.id)
            await self._leave(run.id, "pause", msgspec.json.encode(body))
        await self._settle_first(run)

    async def resume(self, run: Run) -> bool:
        """Take the pause of a run back, and let all go on that waited for that; False where there is none.

        Raises Conflict for a run that is paused with one above it.
        """
        own = await self._own(run)
        if run.is_over or not (own or run.reason == "paused"):
            return False
        pause = await self._above(run)
        if pause is not None:
            raise Conflict(f"{run.id} is paused with {pause.run}; resume that.")
        for signal in own:
            await asyncio.to_thread(self._rows.signals.drop, signal.id)
        await self._settle_first(run)
        return True

    def hear(self, messages: Sequence[Signal]) -> bool:
        """Have runs look that messages are about which came or went; whether any did."""
        present = {message.id: message for message in messages}
        changed = present.keys() ^ self._heard.keys()
        for message in (present | self._heard).values():
            if message.id in changed:
                self._touch(_root(message))
        self._heard = present
        if changed:
            self._settled = {}
        self._paused = frozenset(message.run_id for message in messages)
        self._roots = frozenset(map(_root, messages))
        return bool(changed)

    def concerns(self, run: Run) -> bool:
        """Whether a run may wait otherwise than the messages say that were heard last."""
        if self._settled.get(run.id) == run.last_seq:
            return False
        if run.reason == "paused":
            return run.id not in self._paused
        return run.reason in PAUSABLE and (run.root_run_id or run.id) in self._roots

    async def settle(self, run_id: str) -> bool:
        """Have a run that waits outside of memory wait as the messages say; whether it is paused then.

        Raises StorageError.
        """
        while True:
            settled = self._settled
            run = await asyncio.to_thread(self._rows.runs.get, run_id)
            if run is None or run.status != "waiting" or run_id in self.driver.live:
                return False
            pause = await self._pause_of(run)
            is_paused = run.reason == "paused"
            if is_paused == (pause is not None) or (pause is not None and run.reason not in PAUSABLE):
                # A message that was not heard yet could be taken back without being missed.
                if pause is None or pause.run in self._paused:
                    settled[run_id] = run.last_seq
                return is_paused
            # Where somebody else was first, it is looked at once more.
            with suppress(Conflict, OwnershipLost):
                if pause is None:
                    await self.resumer.wake(run, "pause")
                else:
                    await self.resumer.pause(run_id, paused(pause.reason))

    async def tidy(self) -> None:
        """Drop the messages about runs that are over."""
        for message in self._heard.values():
            if message.run_id not in self.driver.live:
                run = await asyncio.to_thread(self._rows.runs.get, message.run_id)
                if run is None or run.is_over:
                    await asyncio.to_thread(self._rows.signals.drop, message.id)

    async def _settle_first(self, run: Run) -> None:
        """Settle a run. Those below it can be many: whoever tends the engine settles them."""
        self._touch(run.root_run_id or run.id)
        if self._is_adopting:
            await self.settle(run.id)
            self.look()

    def _touch(self, root: str) -> None:
        """Have the live runs of a tree look whether they are paused."""
        for live in self.driver.live.values():
            if root in {live.run.id, live.run.root_run_id}:
                live.brake.touch()

    async def _own(self, run: Run) -> Sequence[Signal]:
        return await asyncio.to_thread(pauses_at, self._rows.signals, (run.id,))

    async def _above(self, run: Run) -> Pause | None:
        """The pause of a run above this one."""
        if run.parent_run_id is None:
            return None
        parent = await asyncio.to_thread(self._rows.runs.get, run.parent_run_id)
        return None if parent is None else await self._pause_of(parent)

    async def _pause_of(self, run: Run) -> Pause | None:
        return await asyncio.to_thread(pause_of, run, self._rows.runs, self._rows.signals)


def _root(message: Signal) -> str:
    return msgspec.json.decode(message.body, type=PauseAsked).root or message.run_id
