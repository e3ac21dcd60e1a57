"""A run that executes in this process, and those who watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from runwright.core.agent import BuiltAgent
from runwright.core.event import (
    DELTAS,
    TERMINAL_STATUS,
    Event,
    RunCompleted,
    StepCompleted,
    StepFailed,
    StepRestarted,
)
from runwright.core.run import Bound, Run
from runwright.engine.brake import Brake
from runwright.engine.replay import Player
from runwright.journal.write import RunLog

WATCH_LIMIT = 20_000
"""Events kept for a watcher that does not read; beyond it reads the store again."""


VOIDING = (StepCompleted, StepFailed, StepRestarted)


class Watcher:
    """One reader of live events. Events come in groups: everything that is ready at once."""

    def __init__(self) -> None:
        self._ready: list[Event] = []
        self._waiter: asyncio.Future[None] | None = None
        self.is_closed = False
        self.is_behind = False

    def push(self, events: Sequence[Event]) -> None:
        """Hand over events; too many unread ones are dropped and mark the watcher as behind."""
        if len(self._ready) > WATCH_LIMIT:
            self._ready.clear()
            self.is_behind = True
        if not self.is_behind:
            self._ready.extend(events)
        self._wake()

    def close(self) -> None:
        """No more events come."""
        self.is_closed = True
        self._wake()

    async def take(self) -> list[Event]:
        """The next group; an empty one when no more come or the watcher is behind."""
        while not self._ready:
            if self.is_closed or self.is_behind:
                return []
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        ready, self._ready = self._ready, []
        return ready

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def code_changed(agent: BuiltAgent, run: Run) -> tuple[str, ...]:
    """What differs between an agent and the code that a run was created for."""
    version = () if agent.version == run.version else ("version",)
    return version if agent.fingerprint == run.fingerprint else (*version, "definition")


class LiveRun:
    """A run in the hands of this process, from submission until it ends or waits."""

    def __init__(
        self, agent: BuiltAgent, *, input: bytes, is_awaited: bool = False, within: tuple[Bound, ...] = ()
    ) -> None:
        """`is_awaited` says that somebody is about to watch it: events from the first on are kept for them."""
        self.agent = agent
        self.input = input
        self.within = within
        self.end: RunCompleted | None = None
        self.log: RunLog
        self.brake: Brake
        self.player: Player | None = None
        self.task: asyncio.Task[None] | None = None
        self.is_begun = False
        self.has_slot = False
        self.lent = 0
        self.has_children = False
        self.cancel_reason: str | None = None
        self.settled: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        self.published = 0
        self._opening = Watcher() if is_awaited else None
        self._watchers: set[Watcher] = {self._opening} if self._opening is not None else set()
        self._deltas: dict[int, list[Event]] = {}

    @property
    def run(self) -> Run:
        """The row of the run as it stands."""
        return self.log.run

    @property
    def code_changed(self) -> tuple[str, ...]:
        """What differs between the agent and the code that the run was created for."""
        return code_changed(self.agent, self.run)

    def publish(self, events: Sequence[Event]) -> None:
        """Committed events and deltas, in order, to all watchers."""
        for event in events:
            kind = type(event.data)
            if event.step is None:
                continue
            if kind in DELTAS:
                self._deltas.setdefault(event.step, []).append(event)
            elif kind in VOIDING:
                self._deltas.pop(event.step, None)
        self.published = events[-1].seq
        for watcher in self._watchers:
            watcher.push(events)
        if type(events[-1].data) in TERMINAL_STATUS:
            self.release()

    def watch(self) -> tuple[Watcher, int]:
        """A watcher, and the number of the event after which it gets all that is published."""
        if self._opening is not None:
            watcher, self._opening = self._opening, None
            return watcher, 0
        watcher = Watcher()
        self._watchers.add(watcher)
        return watcher, self.published

    def unwatch(self, watcher: Watcher) -> None:
        """Forget a watcher."""
        self._watchers.discard(watcher)

    def open_deltas(self) -> list[Event]:
        """The deltas of steps that have not ended, as published."""
        found = [event for deltas in self._deltas.values() for event in deltas]
        found.sort(key=lambda event: event.seq)
        return found

    def release(self) -> None:
        """Close all watchers: what follows, if anything does, stands in the store."""
        for watcher in self._watchers:
            watcher.close()
