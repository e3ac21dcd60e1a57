"""Takes up runs that nobody executes: those of dead processes, and waiting ones that somebody answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Literal, Protocol

import msgspec
from msgspec.structs import replace

from runwright.core.agent import BuiltAgent, Loop
from runwright.core.event import Event, RunQueued, RunResumed, StepResolved, StepStarted
from runwright.core.ports import RunFilter
from runwright.core.run import Run, error_info
from runwright.core.step import Step
from runwright.engine.brake import brake_of
from runwright.engine.decide import PAUSABLE, Fail, Wait
from runwright.engine.drive import Driver, Rows
from runwright.engine.end import Cancel, End, conclude
from runwright.engine.held import Outcome, Resolutions, all_steps, records_of
from runwright.engine.live import LiveRun, code_changed
from runwright.engine.owner import Owner
from runwright.engine.replay import Player
from runwright.errors import CrashLoop, Diverged, InvalidRequest, NotFound, RunwrightError
from runwright.journal.read import JournalReader
from runwright.journal.write import Journal, Record

ADOPTIONS = 3
"""Times a run is taken up without a newly finished step before it fails."""

AT_WORK = frozenset({"queued", "running"})

_logger = logging.getLogger("runwright.engine")

Cause = Literal["crash", "resolved", "input", "storage", "budget", "child", "timer", "pause"]


class Agents(Protocol):
    """Finds built agents."""

    def get(self, name: str, version: str | None = None, *, config: Mapping[str, object] | None = None) -> BuiltAgent:
        """An agent, its current version when none is named; `config` replaces parts of its configuration.

        Raises NotFound or InvalidRequest.
        """
        ...


class Resumer:
    """Continues runs from their data."""

    def __init__(self, *, rows: Rows, journal: Journal, driver: Driver, agents: Agents, owner: Owner) -> None:
        self._rows = rows
        self._journal = journal
        self._driver = driver
        self._agents = agents
        self._owner = owner
        self.resolutions = Resolutions(rows, fitting=self._fitting)
        # What is taken stands as this process's own before it is live: nobody may look for orphans meanwhile.
        self._taking = asyncio.Lock()

    async def adopt_orphans(self, *, is_own: bool = False) -> None:
        """Take up every queued or running run whose owner is gone, or that this process let go for want of disk.

        With `is_own` only the latter.
        """
        async with self._taking:
            # A run that was live before the store was read may have come to wait since: its row is old.
            busy = set(self._driver.live)
            runs = await asyncio.to_thread(self._rows.runs.owned, ("queued", "running"))
            left = [run for run in runs if run.id not in busy and run.id not in self._driver.live]
            gone = await self._gone(set() if is_own else {run.owner for run in left})
            for run in left:
                if run.owner in gone and run.id not in self._driver.live:
                    await self._adopt_one(run)

    async def _gone(self, owners: set[str | None]) -> set[str | None]:
        """Those of the owners that execute nothing any more; this process is one for what it does not hold."""
        boot = self._owner.boot
        others = owners - {boot}
        if not others:
            return {boot}
        return {boot} | await asyncio.to_thread(lambda: {each for each in others if self._owner.is_gone(each)})

    async def is_free(self, run: Run) -> bool:
        """Whether nobody executes a run that is not live here."""
        return run.owner in await self._gone({run.owner})

    async def lost(self, runs: Iterable[Run]) -> frozenset[str]:
        """Those of the runs that are to be at work, and whose process is gone, by their ids.

        Not those that nobody has taken up yet, or that this process let go for want of disk: it goes on with them.
        """
        asked = [run for run in runs if self._is_left(run)]
        gone = await self._gone({run.owner for run in asked}) if asked else set[str | None]()
        doubtful = [run.id for run in asked if run.owner in gone]
        if not doubtful:
            return frozenset()
        # Their rows were read before: meanwhile they may have come to their end, or been taken up.
        rows = await asyncio.to_thread(self._rows.runs.find, RunFilter(ids=doubtful, limit=len(doubtful)))
        return frozenset(run.id for run in rows if self._is_left(run) and run.owner in gone)

    def _is_left(self, run: Run) -> bool:
        is_ours = run.owner in {None, self._owner.boot}
        return run.status in AT_WORK and run.id not in self._driver.live and not is_ours

    async def _adopt_one(self, run: Run) -> None:
        # A run that had its answer goes on without an owner.
        cause: Cause = "storage" if run.owner == self._owner.boot else "resolved" if run.owner is None else "crash"
        try:
            await self._adopt(run, cause=cause)
        except RunwrightError:
            # Counted as an adoption: after a few the run fails as a crash loop, and the others go on.
            return
        # The same for what no code of ours should raise: a damaged run must not hold up all others.
        except Exception:
            _logger.exception("run %s could not be taken up", run.id)

    async def _adopt(self, run: Run, *, cause: Cause) -> None:
        adopted = await self._adopted(run)
        if adopted is None:
            return
        if adopted.parent_run_id is not None and await self._is_abandoned(adopted.parent_run_id):
            await self._end(adopted, Cancel(reason="the run that began it is over"))
            return
        if adopted.is_ephemeral:
            await self._end(adopted, Cancel(reason="its caller is gone and will send it again"))
            return
        if adopted.status == "queued":
            # It never began, so it is not what ended those processes.
            adopted = replace(adopted, adoptions=0)
        if adopted.adoptions > ADOPTIONS:
            error = CrashLoop(f"The run was taken up {ADOPTIONS} times without finishing a step.")
            await self._end(adopted, Fail(error=error_info(error)))
            return
        await self._go_on(adopted, cause=cause)

    async def _is_abandoned(self, parent: str) -> bool:
        run = await asyncio.to_thread(self._rows.runs.get, parent)
        return run is not None and run.is_over

    async def _go_on(
        self,
        run: Run,
        *,
        cause: Cause,
        records: Sequence[Record] = (),
        consumed: tuple[str, ...] = (),
    ) -> None:
        """Continue an adopted run from its data; without an agent that fits, it waits. Raises StorageError."""
        events = await asyncio.to_thread(lambda: list(self._rows.reader.events(run.id)))
        try:
            agent, changed = self._fitting(run, events, is_forced=cause == "input")
        except Diverged as error:
            granted = _granted([*((event.data, event.step) for event in events), *records])
            wait = Wait(reason="diverged", detail=error.message)
            await self._end(run, wait, records, consumed=consumed, granted=granted)
            return
        steps = _unfinished(await asyncio.to_thread(all_steps, self._rows.runs, run.id))
        first = events[0].data if events else None
        live = LiveRun(agent, input=_input(events), within=first.within if isinstance(first, RunQueued) else ())
        live.brake = brake_of(run, self._rows.runs, self._rows.signals, is_touched=True)
        live.player = await asyncio.to_thread(_player, events, self._rows.reader)
        clean = self._driver.clean(agent)
        live.log = self._journal.open(run, is_first=False, publish=live.publish, clean=clean, steps=steps)
        live.has_children = True
        live.published = events[-1].seq if events else 0
        if run.status != "queued":
            resumed = RunResumed(cause=cause, epoch=run.epoch, code_changed=changed)
            events += live.log.append((resumed, None), *records, consumed=consumed)
        self._driver.hold(live)
        await self._driver.begin_on_disk(live, events)

    def _fitting(self, run: Run, events: Sequence[Event], *, is_forced: bool) -> tuple[BuiltAgent, tuple[str, ...]]:
        """The agent that a run goes on with, and what differs from the one that began it. Raises Diverged."""
        try:
            agent = None if is_forced else self._driver.kept.get(run.id)
            # Who was told to go on with the current code stays with it.
            agent = agent or self._agent(run, events, is_current=is_forced or any(map(_is_told, events)))
        except (NotFound, InvalidRequest) as error:
            raise Diverged(f"{error.message} Define it, then resume.") from error
        changed, is_fit = _compare(agent, run, events)
        if not is_fit and not is_forced:
            raise Diverged(
                "The agent's tools changed since the run began; resume it with the current code, or cancel it."
            )
        return agent, changed

    def _agent(self, run: Run, events: Sequence[Event], *, is_current: bool) -> BuiltAgent:
        """The agent of a run in the version that began it, or the current one where that is gone."""
        first = events[0].data if events else None
        config: dict[str, object] = {}
        if isinstance(first, RunQueued):
            config = msgspec.json.decode(first.config, type=dict[str, object] | None) or {}
        if not is_current:
            with suppress(NotFound):
                return self._agents.get(run.agent, run.version, config=config)
        return self._agents.get(run.agent, config=config)

    async def cancel(self, run: Run, reason: str) -> bool:
        """Cancel a run that nobody executes; False when somebody else was first. Raises StorageError."""
        adopted = await self._adopted(run)
        if adopted is None:
            return False
        await self._end(adopted, Cancel(reason=reason))
        self._driver.kept.drop(run.id)
        return True

    async def pause(self, run_id: str, wait: Wait) -> None:
        """Have a run wait as paused that waits for something else. Raises OwnershipLost or StorageError."""
        async with self._taking:
            # It may have been read while another caller was about to do so.
            run = await asyncio.to_thread(self._rows.runs.get, run_id)
            adopted = None if run is None or run.reason not in PAUSABLE else await self._adopted(run)
            if run is not None and adopted is not None:
                await self._end(replace(adopted, adoptions=run.adoptions), wait)

    async def _adopted(self, run: Run) -> Run | None:
        """A run as this process's own; None where somebody has it, also if its row was read before that."""
        if run.id in self._driver.live:
            return None
        return await asyncio.to_thread(self._rows.runs.adopt, run.id, epoch=run.epoch, owner=self._owner.boot)

    async def _end(
        self,
        run: Run,
        end: End,
        records: Sequence[Record] = (),
        *,
        consumed: tuple[str, ...] = (),
        granted: Container[int] = (),
    ) -> None:
        """Record what becomes of an adopted run that is not executed. Raises OwnershipLost or StorageError."""
        steps = _unfinished(await asyncio.to_thread(all_steps, self._rows.runs, run.id))
        log = self._journal.open(
            run, is_first=False, publish=lambda events: None, clean=self._driver.clean(), steps=steps
        )
        if records or consumed:
            log.append(*records, consumed=consumed)
        conclude(log, end, granted=granted)
        await log.durable()

    async def resolve(self, run: Run, outcome: Outcome, *, consumed: tuple[str, ...]) -> bool:
        """Continue a waiting run with what somebody said about one of its steps. Returns when that is on disk.

        False when somebody else let it go on meanwhile: what was said is still to be told to it.
        """
        async with self._taking:
            adopted = await self._adopted(run)
            if adopted is None:
                return False
            records = records_of(outcome)
            await self._go_on(replace(adopted, adoptions=0), cause="resolved", records=records, consumed=consumed)
        return True

    async def force(self, run: Run, *, consumed: tuple[str, ...]) -> bool:
        """Continue a run because somebody says so; False when somebody else was first. Returns when that is on disk.

        One that waits goes on with the current code, whatever the record says; one whose process is gone, as ever.
        """
        async with self._taking:
            adopted = await self._adopted(run)
            if adopted is None:
                return False
            cause: Cause = "input" if run.status == "waiting" else "crash"
            await self._go_on(replace(adopted, adoptions=0), cause=cause, consumed=consumed)
        return True

    async def wake(self, run: Run, cause: Cause, records: Sequence[Record] = ()) -> None:
        """Continue a run that has what it waited for, if nobody else was first; returns when that is on disk."""
        async with self._taking:
            adopted = await self._adopted(run)
            if adopted is not None:
                await self._go_on(replace(adopted, adoptions=0), cause=cause, records=records)


def _unfinished(steps: Sequence[Step]) -> Sequence[Step]:
    return [step for step in steps if not step.is_over]


def _granted(records: Iterable[Record]) -> frozenset[int]:
    """The steps that a person said to try again, and that have not begun again."""
    last = {step: data for data, step in records if step is not None}
    return frozenset(step for step, data in last.items() if isinstance(data, StepResolved) and data.action == "retry")


def _input(events: Sequence[Event]) -> bytes:
    first = events[0].data if events else None
    return bytes(first.input) if isinstance(first, RunQueued) else b"null"


def _player(events: Sequence[Event], reader: JournalReader) -> Player | None:
    """What answers a replay that goes on."""
    first = events[0].data if events else None
    if not isinstance(first, RunQueued) or first.replay is None:
        return None
    return Player(first.replay, list(reader.events(first.replay.of)), own=events)


def _is_told(event: Event) -> bool:
    """Whether a person told the run to go on with the current code."""
    return isinstance(event.data, RunResumed) and event.data.cause == "input"


def _compare(agent: BuiltAgent, run: Run, events: Sequence[Event]) -> tuple[tuple[str, ...], bool]:
    """What differs from the code that began the run, and whether a loop may go on with today's tools."""
    changed = code_changed(agent, run)
    if agent.fingerprint == run.fingerprint:
        return changed, True
    if not isinstance(agent.flow, Loop) or _tools(events) in {None, agent.flow.tools_raw}:
        return changed, True
    return (*changed, "tools"), False


def _tools(events: Sequence[Event]) -> bytes | None:
    """The tools that the model was last told of; None when there were none, or a person accepted others since."""
    tools: bytes | None = None
    is_told = False
    for event in events:
        data = event.data
        if isinstance(data, StepStarted) and data.kind == "model":
            is_told = False
            if data.base is None and bytes(data.tools) != b"null":
                tools = bytes(data.tools)
        elif _is_told(event):
            is_told = True
    return None if is_told else tools
