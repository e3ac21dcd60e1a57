"""The engine: takes runs in, cancels, resolves and resumes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import replace

from runwright.core.agent import BuiltAgent
from runwright.core.event import NULL, RunQueued, RunStarted
from runwright.core.ids import make_id
from runwright.core.ports import Claimed, Clock, IdempotencyKey, RunStore, Signal, SignalKind
from runwright.core.replay import Replay
from runwright.core.run import Run, RunRequest
from runwright.core.schedule import Advance
from runwright.engine.brake import brake_of
from runwright.engine.child import refuse_unknown
from runwright.engine.children import Children
from runwright.engine.drain import Drain
from runwright.engine.drive import Driver, Rows
from runwright.engine.fold import LOOP_VERSION
from runwright.engine.held import Outcome
from runwright.engine.live import LiveRun
from runwright.engine.owner import Owner
from runwright.engine.pause import Pauses
from runwright.engine.replay import Recording
from runwright.engine.resume import Agents, Resumer
from runwright.engine.reuse import answered_by
from runwright.engine.scheduler import Scheduler
from runwright.engine.tend import Tender, TenderOptions
from runwright.engine.turns import INTERRUPTED
from runwright.engine.world import World
from runwright.errors import (
    Conflict,
    IdempotencyMismatch,
    NotFound,
    Overloaded,
    OwnershipLost,
    Unavailable,
)
from runwright.guard.budget import has_room
from runwright.journal.write import Journal

TRIES: Final = 5
"""Times that a run is resumed which goes on without that, and waits again."""

_logger = logging.getLogger("runwright.engine")


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An Idempotency-Key of a caller: `scope` is caller and route, `body_hash` the hash of the request's body."""

    scope: str
    key: str
    body_hash: str


class EngineOptions(TenderOptions, frozen=True, kw_only=True):
    """`concurrency` runs are at work at the same time; above `queue_limit` that wait, more are refused."""

    concurrency: int = 64
    queue_limit: int = 10_000


class Engine:
    """Executes runs in this process."""

    def __init__(
        self,
        *,
        rows: Rows,
        journal: Journal,
        world: World,
        agents: Agents,
        owner: Owner,
        clock: Clock,
        options: EngineOptions,
    ) -> None:
        self._rows = rows
        self._journal = journal
        self._agents = agents
        self._owner = owner
        self._clock = clock
        self._options = options
        self._children = Children(rows, submit=self.submit, cancel=self.cancel)
        world = replace(world, runner=self._children)
        self._driver = Driver(rows=rows, world=world, concurrency=options.concurrency, on_rest=self._children.rested)
        self._children.driver = self._driver
        self._resumer = Resumer(rows=rows, journal=journal, driver=self._driver, agents=agents, owner=owner)
        self._pauses = Pauses(
            rows, driver=self._driver, resumer=self._resumer, leave=self._leave, is_adopting=options.is_adopting
        )
        self._tender = Tender(
            rows=rows,
            journal=journal,
            pauses=self._pauses,
            cancel=self.cancel,
            has_room=partial(has_room, world.guards.around.ledger, clock),
            options=options,
        )
        self.scheduler = Scheduler(
            rows,
            admit=self.admit,
            submit=self.submit,
            cancel=self.cancel,
            clock=clock,
            is_firing=options.is_adopting,
        )
        self._children.wake = self._pauses.look = self._tender.look
        self.drain = Drain(self._driver, self._tender, self.scheduler)

    @property
    def active(self) -> int:
        """Runs in the hands of this process."""
        return len(self._driver.live)

    @property
    def executing(self) -> int:
        """Runs that execute in this process now. Safe from any thread."""
        return self._driver.executing

    def live(self, run_id: str) -> LiveRun | None:
        """A run in the hands of this process."""
        return self._driver.live.get(run_id)

    async def lost(self, runs: Iterable[Run]) -> frozenset[str]:
        """Those of the runs that are to be at work, and whose process is gone, by their ids."""
        return await self._resumer.lost(runs)

    async def start(self) -> None:
        """Take up what a dead process left, at once, and begin to tend."""
        self.drain.tasks = tasks = await self._driver.start()
        await self._tender.start(tasks)
        self.scheduler.start(tasks)

    async def stop(self, *, drain_s: float) -> None:
        """Drain, and come to an end."""
        await self.drain.finish(drain_s)
        await self._driver.stop()

    def admit(self, request: RunRequest) -> BuiltAgent:
        """The agent of a run that could be begun now. Raises what would keep it from that."""
        self._refuse(is_child=request.parent_run_id is not None)
        agent = self._agents.get(request.agent, request.version, config=request.config)
        agent.flow.read_input(request.input)
        if request.replay is None:
            refuse_unknown(agent, self._agents)
        return agent

    async def submit(self, request: RunRequest, claim: Claim | Advance | None = None) -> tuple[str, LiveRun | None]:
        """Create a run and begin it. A repeated idempotency key gives the earlier run, live or not.

        Raises NotFound, InvalidRequest, Conflict, Overloaded, Unavailable, IdempotencyMismatch or StorageError, and
        OwnershipLost when its schedule was advanced by another one.
        """
        is_child = request.parent_run_id is not None
        recording = None if request.replay is None else await self._recording(request.replay)
        if recording is not None:
            request = recording.complete(request)
        agent = self.admit(request)
        if isinstance(claim, Claim):
            held = await _held(self._rows.runs, claim)
            if held is not None:
                return held, None
        # The process may have begun to stop meanwhile.
        self._refuse(is_child=is_child)
        live = self._create(agent, request)
        queued = RunQueued(
            agent=agent.name,
            version=agent.version,
            input=msgspec.Raw(request.input),
            config=msgspec.Raw(msgspec.json.encode(request.config)) if request.config else NULL,
            replay=request.replay,
            within=request.within,
        )
        if request.thread_id is None and claim is None and recording is None and self._driver.has_slot:
            events = live.log.append((queued, None), (RunStarted(loop=LOOP_VERSION), None))
            await self._driver.begin_now(live, events)
        else:
            held = await self._begin(live, queued, claim=claim, recording=recording)
            if held is not None:
                return held, None
            if request.thread_id is not None and request.multitask == "interrupt":
                await self._interrupt_older(live.run)
        if request.mode != "wait":
            # Its id goes out before its first event does.
            await live.log.durable()
        return live.run.id, live

    async def _begin(
        self, live: LiveRun, queued: RunQueued, *, claim: Claim | Advance | None, recording: Recording | None
    ) -> str | None:
        """Begin a run when it is on disk; the run that has the idempotency key, if another one was first."""
        events = live.log.append((queued, None), claim=_claimed(live.run, claim))
        if recording is not None:
            live.player = recording.player
            events += recording.begin(live.log)
        try:
            await self._driver.begin_on_disk(live, events)
        except Conflict:
            # The same key, sent twice at once: the other one was first.
            held = await _held(self._rows.runs, claim) if isinstance(claim, Claim) else None
            if held is None:
                raise
            return held
        return None

    async def cancel(self, run_id: str, reason: str) -> None:
        """Cancel a run wherever it is; returns when that is on disk, or left for its owner. One that is over stays.

        Raises NotFound, and what kept it from being recorded.
        """
        while True:
            live = self.live(run_id)
            if live is not None:
                self._driver.cancel(live, reason)
                await asyncio.wait([live.settled])
                with suppress(OwnershipLost):
                    live.settled.result()
            run = await self._row(run_id)
            if run.is_over:
                return
            if not await self._resumer.is_free(run):
                await self._leave(run_id, "cancel", msgspec.json.encode({"reason": reason}))
                return
            # Where somebody else was first, it is cancelled there.
            with suppress(OwnershipLost):
                if await self._resumer.cancel(run, reason):
                    self._driver.turns.wake(run.thread_id)
                    self._children.over(run, has_children=True)
                    return

    async def resolve(self, run_id: str, outcome: Outcome) -> None:
        """Say what became of a step of unknown outcome, or answer one that is held.

        The run goes on here, or where runs are taken up; one that is still at work gets the answer when it waits.
        Raises NotFound, Conflict or InvalidRequest.
        """
        while True:
            run = await self._row(run_id)
            fitting = await self._resumer.resolutions.fit(run, outcome)
            await self._resumer.resolutions.refuse_second(run, fitting)
            # One that is paused hears it when it goes on.
            if not self._tender.tends(run) or run.status != "waiting" or run.reason == "paused":
                await self._leave(run_id, "resolve", msgspec.json.encode(fitting))
                return
            if await self._resumer.resolve(run, fitting, consumed=()):
                return

    async def pause(self, run_id: str, reason: str) -> None:
        """Have a run, and those below it, wait before the next step until somebody resumes it.

        Returns when that is on disk. Raises NotFound, or Conflict for a run that is over.
        """
        live = self.live(run_id)
        if live is not None:
            await live.log.durable()
        await self._pauses.pause(await self._row(run_id), reason)

    async def resume(self, run_id: str) -> None:
        """Let a run go on that waits, with the current code, or whose process is gone. Raises NotFound or Conflict."""
        for _ in range(TRIES):
            run = await self._row(run_id)
            if await self._pauses.resume(run):
                return
            if run.is_over or (run.status != "waiting" and (self.live(run_id) or not await self._resumer.is_free(run))):
                told = "only a run that waits, or that nobody executes, can be resumed"
                raise Conflict(f"{run_id} is {run.status}; {told}.")
            if run.reason == "unknown_effect" and await self._resumer.resolutions.has_unknown(run):
                raise Conflict(f"{run_id} waits for a step of unknown outcome: resolve it instead.")
            if not self._tender.tends(run):
                await self._leave(run_id, "resume", b"{}")
                return
            # Else it may have gone on without this, and wait again, maybe for something else.
            if await self._resumer.force(run, consumed=()) or (await self._row(run_id)).status != "waiting":
                return
        raise Conflict(f"{run_id} went on {TRIES} times meanwhile, and waits again: look what for, and resume it then.")

    def _refuse(self, *, is_child: bool) -> None:
        """Whether a run can be taken in now; a child is part of a run that was."""
        if self.drain.is_begun and not is_child:
            raise Unavailable("The server is shutting down; send the request again in a moment.")
        if self._journal.error is not None:
            # A new one, because an error keeps the frames of all who raised it.
            raise copy(self._journal.error)
        if not is_child and self._driver.queued >= self._options.queue_limit:
            raise Overloaded(f"{self._driver.queued} runs are queued already; try again later.", retry_after_s=1.0)

    def _create(self, agent: BuiltAgent, request: RunRequest) -> LiveRun:
        run_id = request.id or make_id("run")
        run = Run(
            id=run_id,
            agent=agent.name,
            version=agent.version,
            fingerprint=agent.fingerprint,
            status="queued",
            created_at=self._clock.now(),
            mode=request.mode,
            owner=self._owner.boot,
            epoch=1,
            thread_id=request.thread_id,
            parent_run_id=request.parent_run_id,
            root_run_id=request.root_run_id or run_id,
            group=request.group,
            user=request.user,
            tags=request.tags,
            metadata=request.metadata,
            replay_of=None if request.replay is None else request.replay.of,
            is_ephemeral=request.is_ephemeral,
            multitask=request.multitask,
        )
        live = LiveRun(agent, input=request.input, is_awaited=request.mode == "stream", within=request.within)
        # The run that begins it may have been paused just now.
        is_child = run.parent_run_id is not None
        live.brake = brake_of(run, self._rows.runs, self._rows.signals, is_touched=is_child)
        live.log = self._journal.open(run, is_first=True, publish=live.publish, clean=self._driver.clean(agent))
        self._driver.hold(live)
        return live

    async def _recording(self, replay: Replay) -> Recording:
        """The run that is replayed. Raises NotFound, or Conflict when it cannot be."""
        run = await self._row(replay.of)
        if run.tainted and replay.is_strict:
            raise Conflict(f"{run.id} cannot be replayed: {'; '.join(run.tainted)}.")
        # Reading the tape of a long run takes a while, so the loop does not do it.
        events = await asyncio.to_thread(lambda: list(self._rows.reader.events(run.id)))
        if (earlier := answered_by(events)) is not None:
            raise Conflict(f"{run.id} did nothing of its own: it was given the result of {earlier}; replay that.")
        return await asyncio.to_thread(Recording, run, events, replay)

    async def _interrupt_older(self, run: Run) -> None:
        """Cancel the runs before this one in its thread, the newest first, so that none of them begins meanwhile."""
        assert run.thread_id is not None
        try:
            for other in reversed(await asyncio.to_thread(self._rows.threads.active_runs, run.thread_id)):
                if other < run.id:
                    await self.cancel(other, INTERRUPTED)
        # The run stands in the store: what keeps another one from its end is no failure of this one, which waits then.
        except Exception as error:  # noqa: BLE001 - logged
            _logger.warning("run %s could not interrupt its thread: %s: %s", run.id, type(error).__name__, error)

    async def _row(self, run_id: str) -> Run:
        run = await asyncio.to_thread(self._rows.runs.get, run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id!r}.")
        return run

    async def _leave(self, run_id: str, kind: SignalKind, body: bytes) -> None:
        signal = Signal(
            id=make_id("sig"),
            run_id=run_id,
            kind=kind,
            body=body,
            created_at=self._clock.now(),
        )
        await asyncio.to_thread(self._rows.signals.put, signal)


async def _held(runs: RunStore, claim: Claim) -> str | None:
    """The run that an idempotency key was used for."""
    held = await asyncio.to_thread(runs.idempotent, claim.scope, claim.key)
    if held is None:
        return None
    if held.body_hash != claim.body_hash:
        raise IdempotencyMismatch(f"The Idempotency-Key {claim.key!r} was used with another body; send a new key.")
    return held.run_id


def _claimed(run: Run, claim: Claim | Advance | None) -> Claimed | None:
    if not isinstance(claim, Claim):
        return claim
    return IdempotencyKey(claim.scope, claim.key, claim.body_hash, run.id, run.created_at)
