"""Tends what others leave behind: their signals, their orphans, and a journal that can write again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, assert_never

import msgspec

from runwright.core.budget import Shortage
from runwright.core.event import RunWaiting
from runwright.core.need import OF_PERSON, Need, NeedsRun, NeedsTime
from runwright.core.ports import Signal
from runwright.core.run import Run
from runwright.engine.drive import Rows
from runwright.engine.held import Outcome, expired, wait_of
from runwright.engine.pause import Pauses
from runwright.engine.resume import Cause
from runwright.errors import Conflict, InvalidRequest, NotFound, OwnershipLost
from runwright.journal.write import Journal

LAST_ROUND_S = 1.0
"""Seconds that the round which is under way gets at a stop."""

WAKING: Final = frozenset({"budget", "child", "timer", "approval", "input"})
"""Reasons of waiting runs that may go on without a person."""

_logger = logging.getLogger("runwright.engine")


class TenderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`is_adopting` engines also take up runs of processes that are gone, looking every `orphan_poll_s` seconds, and
    let runs go on that have what they waited for; others do so only for those that they began themselves.

    Without `is_recovering` they do so only for runs that somebody resumes.
    """

    is_adopting: bool = False
    is_recovering: bool = True
    signal_poll_s: float = 0.25
    orphan_poll_s: float = 2.0


class Tender:
    """One task of a process. `cancel` cancels a run wherever it is."""

    def __init__(
        self,
        *,
        rows: Rows,
        journal: Journal,
        pauses: Pauses,
        cancel: Callable[[str, str], Awaitable[None]],
        has_room: Callable[[Shortage], Awaitable[bool]],
        options: TenderOptions,
    ) -> None:
        self._rows = rows
        self._journal = journal
        self._driver = pauses.driver
        self._resumer = pauses.resumer
        self._pauses = pauses
        self._cancel = cancel
        self._options = options
        self._has_room = has_room
        self._waits: dict[str, tuple[int, RunWaiting | None]] = {}
        self._troubles = _Troubles()
        self._stirring = asyncio.Event()
        self._is_stopping = False
        self._is_urgent = False
        self._task: asyncio.Task[None] | None = None

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Take up what a dead process left, at once, and begin to tend."""
        if self._options.is_adopting:
            # Signals first, so that a run that was cancelled is not taken up.
            await self._pass_signals()
            await self._resumer.adopt_orphans(is_own=not self._options.is_recovering)
        self._task = tasks.create_task(self._tend())

    async def stop(self) -> None:
        """Come to an end, so that no thread of a round is still at the store when that is closed."""
        self._is_stopping = True
        self._stirring.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=LAST_ROUND_S)
            self._task.cancel()

    async def _tend(self) -> None:
        """Pass on signals, heal the journal, and take up orphans, for as long as the engine runs."""
        loop = asyncio.get_running_loop()
        next_orphans = loop.time() + self._options.orphan_poll_s
        while not await self._stops_within(self._options.signal_poll_s):
            self._stirring.clear()
            try:
                if self._journal.error is not None and not await self._journal.heal():
                    continue
                await self._pass_signals()
                if loop.time() < next_orphans and not self._is_urgent:
                    continue
                self._is_urgent = False
                next_orphans = loop.time() + self._options.orphan_poll_s
                self._troubles.turn()
                if self._options.is_adopting:
                    await self._resumer.adopt_orphans(is_own=not self._options.is_recovering)
                if self._options.is_adopting or self._driver.kept:
                    await self._wake()
            # Whatever it is, it must not end the task group that all runs live in; the next round tries again.
            except Exception as error:  # noqa: BLE001 - logged
                self._troubles.tell(error)

    async def _stops_within(self, duration_s: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stirring.wait(), duration_s)
        return self._is_stopping

    def tends(self, run: Run) -> bool:
        """Whether this process lets a run go on that waits: any, or only one that it began."""
        return self._options.is_adopting or run.id in self._driver.kept

    def look(self) -> None:
        """Look at once whether runs that wait can go on."""
        self._is_urgent = True
        self._stirring.set()

    async def _wake(self) -> None:
        """Let runs go on that have what they waited for."""
        waiting = [run for run in await asyncio.to_thread(self._rows.runs.owned, ("waiting",)) if self.tends(run)]
        known = {run.id: run for run in waiting if run.reason in WAKING and run.id not in self._driver.live}
        self._waits = {run_id: wait for run_id, wait in self._waits.items() if run_id in known}
        for run in waiting:
            try:
                if self._pauses.concerns(run) and await self._pauses.settle(run.id):
                    continue
                if run.id in known:
                    await self._wake_one(run)
            except (Conflict, OwnershipLost):
                # Somebody else was first.
                continue
            # A damaged run must not hold up all others.
            except Exception as error:  # noqa: BLE001 - logged
                self._troubles.tell(error)
        await self._pauses.tidy()

    async def _wake_one(self, run: Run) -> None:
        known = self._waits.get(run.id)
        if known is None or known[0] != run.last_seq:
            known = self._waits[run.id] = run.last_seq, await asyncio.to_thread(wait_of, run, self._rows.reader)
        wait = known[1]
        # What it waits for may be unknown to this release: a person resumes it then.
        if wait is None:
            return
        if wait.shortage is not None and await self._has_room(wait.shortage):
            await self._resumer.wake(run, "budget")
            return
        for need in wait.needs:
            cause = await self._met(need)
            if cause is not None:
                late = isinstance(need, OF_PERSON)
                await self._resumer.wake(run, cause, expired(need) if late else ())
                return

    async def _met(self, need: Need) -> Cause | None:
        """Why a run can go on that has this need, if it can."""
        now = self._journal.now()
        if isinstance(need, NeedsRun):
            child = await asyncio.to_thread(self._rows.runs.get, need.run)
            return "child" if child is None or child.is_over else None
        if isinstance(need, NeedsTime):
            return "timer" if need.at <= now else None
        return "resolved" if need.until is not None and need.until <= now else None

    async def _pass_signals(self) -> None:
        pending = await asyncio.to_thread(self._rows.signals.pending)
        if self._pauses.hear([signal for signal in pending if signal.kind == "pause"]):
            self._is_urgent = True
        for signal in pending:
            if signal.kind == "pause":
                continue
            try:
                await self._pass_signal(signal)
            except (Conflict, InvalidRequest, NotFound, msgspec.MsgspecError) as error:
                # The signal does not fit the run any more, because somebody else was first, or cannot be read.
                _logger.info("%s of run %s came to nothing: %s", signal.kind, signal.run_id, error)
                await asyncio.to_thread(self._rows.signals.drop, signal.id)
            # It waits for a better moment; those after it may have theirs.
            except Exception as error:  # noqa: BLE001 - logged
                self._troubles.tell(error)

    async def _pass_signal(self, signal: Signal) -> None:
        live = self._driver.live.get(signal.run_id)
        if live is not None:
            if signal.kind == "cancel":
                # The signal stays until the run is over: this process may die before it has recorded the end.
                self._driver.cancel(live, _reason(signal))
            elif signal.kind == "resume":
                # What it waits for later is another matter.
                await asyncio.to_thread(self._rows.signals.drop, signal.id)
            return
        run = await asyncio.to_thread(self._rows.runs.get, signal.run_id)
        if run is None or run.is_over:
            await asyncio.to_thread(self._rows.signals.drop, signal.id)
        elif self.tends(run) and await self._resumer.is_free(run):
            await self._act_on(run, signal)

    async def _act_on(self, run: Run, signal: Signal) -> None:
        match signal.kind:
            case "cancel":
                await self._cancel(run.id, _reason(signal))
                await asyncio.to_thread(self._rows.signals.drop, signal.id)
            case "pause":
                return
            case "resolve" if run.reason == "paused":
                # It is told to it when it goes on.
                return
            case "resolve":
                outcome = await self._resumer.resolutions.fit(run, msgspec.json.decode(signal.body, type=Outcome))
                await self._resumer.resolve(run, outcome, consumed=(signal.id,))
            case "resume":
                if run.reason != "paused" and not await self._resumer.force(run, consumed=(signal.id,)):
                    return
                # A run that never began records nothing that the signal could be consumed with.
                await asyncio.to_thread(self._rows.signals.drop, signal.id)
            case _:
                assert_never(signal.kind)


def _reason(signal: Signal) -> str:
    return msgspec.json.decode(signal.body, type=dict[str, str]).get("reason", "")


class _Troubles:
    """What goes wrong while the engine tends, logged once for as long as it comes back in each turn."""

    def __init__(self) -> None:
        self._before: set[str] = set()
        self._now: set[str] = set()

    def tell(self, error: Exception) -> None:
        """Log what is new."""
        text = f"{type(error).__name__}: {error}"
        if text not in self._before | self._now:
            _logger.error("signals and orphans could not be tended: %s", text, exc_info=error)
        self._now.add(text)

    def turn(self) -> None:
        """Forget what did not come back."""
        self._before, self._now = self._now, set()
