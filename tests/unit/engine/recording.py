"""Records of runs as an engine writes them, made in virtual time: the guard's own layers before a scripted target."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import msgspec

from runwright.core.event import (
    Data,
    Event,
    GuardDecided,
    MessageCompleted,
    StepCompleted,
    StepFailed,
    StepRestarted,
    StepStarted,
)
from runwright.core.money import FREE, Cost
from runwright.core.policy import Guard
from runwright.core.run import Run, error_info
from runwright.core.usage import Usage
from runwright.engine.recorded import RecordedRun, read_calls
from runwright.engine.simulate import Scene, Tally, Terms, simulate
from runwright.engine.upstream import Upstream
from runwright.errors import RunwrightError, revive
from runwright.guard import Call, Guards, Own, Registry, Sending, Surroundings, Trail
from runwright.guard.virtual import run_virtual

SINCE = datetime(2026, 11, 14, tzinfo=UTC)
MODEL = "openai:m"
REQUEST = msgspec.Raw(b'{"model":"openai:m","settings":{}}')
MESSAGE = msgspec.Raw(b'{"role":"assistant","content":"x"}')


class Scripted(msgspec.Struct, frozen=True):
    """A call: it comes so long after the one before, and its attempts fail with these codes until one answers."""

    gap_s: float
    failures: tuple[str, ...] = ()
    took_s: float = 0.5


class ScriptedRun(msgspec.Struct, frozen=True):
    """A run that begins at a time and makes calls in turn."""

    at: float
    calls: tuple[Scripted, ...]


def record(runs: Sequence[ScriptedRun], guard: Guard, *, seed: int = 0) -> list[RecordedRun]:
    """What a guard under these policies records of the runs."""
    return run_virtual(_Recording(guard, seed).record(runs))


def what_if(recorded: Sequence[RecordedRun], guard: Guard | None, *, seed: int = 0, price: Cost = FREE) -> Tally:
    """The recorded runs under other policies."""
    upstream = Upstream(call for run in recorded for call in run.calls)
    scene = Scene(runs=recorded, upstream=upstream, since=SINCE, price=lambda _, __: price, goes_on=lambda: True)
    return simulate(scene, Terms(agent="a", guard=guard), seed=seed)


def run_of(name: str, at: float, *, status: str = "completed", end: float | None = None) -> Run:
    """The row of a run."""
    return Run(
        id=name,
        agent="a",
        version="1",
        fingerprint="f",
        status=status,  # pyright: ignore[reportArgumentType] - a status
        created_at=moment(at),
        started_at=moment(at),
        ended_at=None if end is None else moment(end),
    )


def moment(at: float) -> datetime:
    """A time of the record."""
    return SINCE + timedelta(seconds=at)


class _Recording:
    def __init__(self, guard: Guard, seed: int) -> None:
        around = Surroundings(registry=Registry(Random(seed)))
        self._way = Guards(around).model(MODEL, Own(agent="a", of_agent=guard))

    async def record(self, runs: Sequence[ScriptedRun]) -> list[RecordedRun]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._run(f"run_{place}", run)) for place, run in enumerate(runs)]
        return sorted((task.result() for task in tasks), key=lambda run: run.at)

    async def _run(self, name: str, run: ScriptedRun) -> RecordedRun:
        loop, events, failed = asyncio.get_running_loop(), list[Event](), None

        def tell(data: Data, step: int | None = None) -> int:
            events.append(Event(name, len(events) + 1, moment(loop.time()), data, step))
            return len(events)

        await asyncio.sleep(run.at)
        for call in run.calls:
            await asyncio.sleep(call.gap_s)
            step = tell(StepStarted(kind="model", name=MODEL, key=f"{name}-{len(events)}", request=REQUEST))
            try:
                await self._way.proceed(_guarded(call, step, tell))
            except RunwrightError as error:
                failed = error_info(error, step=step)
                tell(StepFailed(error=failed), step)
                break
            tell(MessageCompleted(message=MESSAGE), step)
            tell(StepCompleted(finish_reason="stop", usage=Usage(input_tokens=9, output_tokens=1)), step)
        row = run_of(name, run.at, status="failed" if failed else "completed", end=loop.time())
        return read_calls(msgspec.structs.replace(row, error=failed), events, SINCE)


def _guarded(scripted: Scripted, step: int, tell: object) -> Call[None]:
    assert callable(tell)
    trail = Trail()

    async def send(call: Call[None], _: Sending) -> None:
        cause, trail.cause = trail.cause, ""
        if cause and trail.attempts > 1:
            tell(StepRestarted(attempt=trail.attempts, cause=cause), step)
        nth = trail.attempts - 1
        await asyncio.sleep(scripted.took_s)
        if nth < len(scripted.failures):
            raise revive(scripted.failures[nth], "no")

    def note(decision: GuardDecided) -> None:
        tell(decision, step)

    return Call[None](kind="model", target=MODEL, effect="read", send=send, trail=trail, note=note)
