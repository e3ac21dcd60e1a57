"""Whether a run is to go no further: what is stored says so, for it and for all below it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from runwright.core.ports import RunStore, Signal, SignalStore
from runwright.core.run import Run
from runwright.errors import StorageError


class PauseAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a message that pauses a run: why, and the run at the root of its tree."""

    reason: str = ""
    root: str = ""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """The pause that holds for a run, and the run that was paused: it, or one above it."""

    run: str
    reason: str


def pause_of(run: Run, runs: RunStore, signals: SignalStore) -> Pause | None:
    """The pause that holds for a run; the nearest, where there are several. Reads the store."""
    line = [run.id]
    above = run.parent_run_id
    while above is not None:
        line.append(above)
        row = runs.get(above)
        above = None if row is None else row.parent_run_id
    found = {signal.run_id: signal for signal in pauses_at(signals, line)}
    nearest = next((id for id in line if id in found), None)
    if nearest is None:
        return None
    reason = msgspec.json.decode(found[nearest].body, type=PauseAsked).reason
    return Pause(run=nearest, reason=reason or ("" if nearest == run.id else f"with {nearest}"))


def pauses_at(signals: SignalStore, runs: Sequence[str]) -> Sequence[Signal]:
    """The messages that pause one of these runs. Reads the store."""
    return [signal for signal in signals.pending(runs) if signal.kind == "pause"]


def brake_of(run: Run, runs: RunStore, signals: SignalStore, *, is_touched: bool) -> Brake:
    """What stops a run that is about to be executed; `is_touched` if it may be paused already."""
    look = partial(pause_of, run, runs, signals)
    return Brake(lambda: asyncio.to_thread(look), is_touched=is_touched)


class Brake:
    """Stops one run before its next step. To be touched makes it look; what `look` finds decides."""

    def __init__(self, look: Callable[[], Awaitable[Pause | None]], *, is_touched: bool) -> None:
        self._look = look
        self._touched = int(is_touched)
        self._seen = 0

    @property
    def is_touched(self) -> bool:
        """Whether it looks before the next step."""
        return self._seen != self._touched

    def touch(self) -> None:
        """Something may have changed."""
        self._touched += 1

    async def pulled(self) -> Pause | None:
        """The pause that holds now. Looks again where it was touched meanwhile, and until there is none."""
        while self.is_touched:
            touched = self._touched
            try:
                pause = await self._look()
            except StorageError:
                # Looked for at the next step.
                return None
            if touched == self._touched:
                if pause is None:
                    self._seen = touched
                return pause
        return None
