"""What holds a step: it is begun, nothing is sent, and its run waits until what it needs is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from runwright.core.agent import Approval, Tool, approval_of
from runwright.core.event import StepHeld, StepStarted
from runwright.core.need import Need, NeedsApproval, NeedsInput, NeedsTime
from runwright.core.step import StepKind
from runwright.engine.brake import Brake
from runwright.engine.branches import Branches
from runwright.engine.decide import Wait, held, paused
from runwright.engine.escapes import Code, watched
from runwright.engine.fold import OpenStep
from runwright.engine.pace import Pace
from runwright.journal.write import Record, RunLog

T = TypeVar("T")

PARKED_S = 30.0
"""Seconds of a sleep above which its run waits outside of the memory of its process."""


class Held(BaseException):
    """A step cannot be done before it has what it needs. Not an Exception, because its call did not fail."""

    def __init__(self, need: Need, name: str) -> None:
        super().__init__(f"{name!r} is held")
        self.need = need
        self.name = name


class Holding:
    """Holds the steps of one run. `begin` begins a step, or begins it again; `append` appends to the run's log."""

    def __init__(
        self,
        log: RunLog,
        *,
        begin: Callable[[StepStarted, OpenStep | None], int],
        append: Callable[[Record], object],
        approvals: Mapping[str, Approval],
    ) -> None:
        self._log = log
        self._begin = begin
        self._append = append
        self._approvals = approvals

    def open(self, tool: Tool, step: StepStarted, arguments: Mapping[str, Any], *, again: OpenStep | None) -> int:
        """Begin a step, and give its number. Raises Held where it needs something first."""
        if again is not None and again.need is not None:
            raise Held(again.need, step.name)
        approval = None if step.kind != "tool" else approval_of(tool) or self._approvals.get(tool.spec.name)
        if again is None:
            # So that a death before the next event leaves no doubt about what was never sent.
            seq = self._begin(step if approval is None else replace(step, is_held=True), None)
        else:
            seq = again.seq
        if again is None or not again.is_approved:
            need = self._need(step.kind, arguments, approval=approval, step=seq)
            if need is not None:
                self.hold(need)
                raise Held(need, step.name)
        return seq if again is None else self._begin(step, again)

    def hold(self, need: Need) -> None:
        """Record what a step needs."""
        self._append((StepHeld(need=need), need.step))

    def _need(
        self, kind: StepKind, arguments: Mapping[str, Any], *, approval: Approval | None, step: int
    ) -> Need | None:
        if approval is not None:
            return NeedsApproval(step=step, until=self._until(step, approval.expires_s))
        if kind == "input":
            return NeedsInput(step=step, until=self._until(step, arguments.get("expires_s")))
        if kind == "sleep" and arguments["duration_s"] > PARKED_S:
            at = self._until(step, arguments["duration_s"])
            is_long = at is not None and (at - self._log.now()).total_seconds() > PARKED_S
            return NeedsTime(step=step, at=at) if at is not None and is_long else None
        return None

    def _until(self, step: int, duration_s: float | None) -> datetime | None:
        """A time so long after a step first began, so that no restart makes it longer."""
        if duration_s is None:
            return None
        begun = next(each.started_at for each in self._log.open_steps if each.seq == step)
        return begun + timedelta(seconds=duration_s)


class Parking:
    """The branches of a flow that need something first, or are paused. They wait until no other can do more."""

    def __init__(self, branches: Branches, pace: Pace, brake: Brake) -> None:
        self._brake = brake
        self._branches = branches
        self._pace = pace
        self._needs: dict[Need, str] = {}

    @property
    def wait(self) -> Wait:
        """What the run waits for."""
        return held(self._needs)

    async def perform(self, work: Coroutine[Any, Any, T], code: Code | None) -> T:
        """Perform a step. Raises Held when no branch does anything any more that can go on without it."""
        try:
            with self._branches.away(), watched(code):
                return await work
        except Held as error:
            self._needs[error.need] = error.name
            try:
                await self._rest()
            except asyncio.CancelledError:
                del self._needs[error.need]
                raise
            raise

    async def paused(self, work: Coroutine[Any, Any, T], check: Callable[[], None]) -> Wait | None:
        """How the run waits instead of performing a step, if it is paused. `check` raises where the flow is left."""
        try:
            with watched(None):
                pause = await self._brake.pulled()
                if pause is not None:
                    # What branches have sent comes to its end first.
                    await self._branches.rest()
                    pause = await self._brake.pulled()
            check()
        except BaseException:
            work.close()
            raise
        if pause is None:
            return None
        work.close()
        return paused(pause.reason)

    async def _rest(self) -> None:
        while True:
            await self._branches.rest()
            resting = asyncio.get_running_loop().create_future()
            self._pace.when_resting(partial(_set, resting))
            await resting
            if not self._branches.is_away:
                return


def _set(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
