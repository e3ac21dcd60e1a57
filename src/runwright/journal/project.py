"""Rows as projections of events: what a run and its steps are after an event."""

from __future__ import annotations

from typing import assert_never, get_args

from msgspec.structs import replace

from runwright.core.event import (
    Event,
    GuardDecided,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunQueued,
    RunResumed,
    RunStarted,
    RunTainted,
    RunWaiting,
    StepCharged,
    StepCompleted,
    StepFailed,
    StepHeld,
    StepResolved,
    StepRestarted,
    StepStarted,
)
from runwright.core.money import NO_COST
from runwright.core.run import ErrorInfo, Run
from runwright.core.step import Effect, Step, first_attempt, held_attempt
from runwright.core.usage import NO_USAGE, Usage

RunEvent = RunQueued | RunStarted | RunResumed | RunWaiting | RunCompleted | RunFailed | RunCancelled | RunTainted
StepEvent = (
    StepStarted | StepRestarted | StepHeld | StepCharged | StepCompleted | StepFailed | StepResolved | GuardDecided
)

RUN_EVENTS: frozenset[type] = frozenset(get_args(RunEvent))
STEP_EVENTS: frozenset[type] = frozenset(get_args(StepEvent))

_TOOL_CALL = Usage(tool_calls=1)


def project_run(run: Run, event: Event, data: RunEvent) -> Run:
    """The row of a run after one of its own events."""
    match data:
        case RunQueued():
            return replace(run, status="queued")
        case RunStarted():
            return replace(run, status="running", reason=None, started_at=run.started_at or event.ts)
        case RunResumed():
            return replace(run, status="running", reason=None)
        case RunWaiting():
            return replace(run, status="waiting", reason=data.reason, owner=None)
        case RunCompleted():
            return replace(run, status="completed", reason=None, ended_at=event.ts, owner=None)
        case RunFailed():
            return replace(run, status="failed", reason=None, ended_at=event.ts, owner=None, error=data.error)
        case RunCancelled():
            return replace(run, status="cancelled", reason=None, ended_at=event.ts, owner=None)
        case RunTainted():
            return replace(run, tainted=tuple(dict.fromkeys((*run.tainted, data.reason))))
        case _:
            assert_never(data)


def project_step(step: Step | None, event: Event, data: StepEvent) -> Step:
    """The row of a step after one of its events."""
    if isinstance(data, StepStarted):
        return Step(
            run_id=event.run_id,
            seq=event.seq,
            lane=data.lane,
            kind=data.kind,
            name=data.name,
            key=data.key,
            nth=data.nth,
            effect=data.effect,
            status="running",
            started_at=event.ts,
            reserves=data.reserves,
            attempt=first_attempt(data.effect, is_held=data.is_held),
        )
    if step is None:
        raise ValueError(f"{event.type} names step {event.step!r}, which is not open")
    match data:
        case StepRestarted():
            again = replace(step, status="running", attempt=data.attempt, end_seq=None, ended_at=None, error=None)
            return replace(again, cost=NO_COST) if is_charged_once(step.effect) else again
        case StepHeld():
            return replace(step, attempt=held_attempt(step.effect, step.attempt))
        case StepCharged():
            return replace(step, cost=step.cost + data.cost)
        case StepCompleted() | StepFailed():
            return _ended(step, event, data)
        case StepResolved():
            is_failed = data.action == "fail"
            return replace(step, status="failed", end_seq=event.seq, ended_at=event.ts) if is_failed else step
        case GuardDecided():
            return _decided(step, f"{data.layer} {data.action}")
        case _:
            assert_never(data)


def _ended(step: Step, event: Event, data: StepCompleted | StepFailed) -> Step:
    error = None if isinstance(data, StepCompleted) else data.error
    status = "completed" if isinstance(data, StepCompleted) else "unknown" if data.is_unknown else "failed"
    ended = replace(step, status=status, end_seq=event.seq, ended_at=event.ts, error=error)
    return replace(ended, usage=data.usage, cost=step.cost + data.cost, taped=data.taped)


def _decided(step: Step, what: str) -> Step:
    return step if what in step.decided else replace(step, decided=(*step.decided, what))


def is_charged_once(effect: Effect) -> bool:
    """Whether a step that begins again is charged once for all attempts: it hands on the same idempotency key."""
    return effect == "idempotent"


def account(run: Run, step: Step) -> Run:
    """The row of a run after a step ended: its usage and cost grow; a finished step ends a series of crashes.

    What the tape answered was used and paid for by the run that recorded it.
    """
    if step.taped is not None:
        return replace(run, adoptions=0)
    usage = run.usage + (step.usage if step.kind == "model" else _TOOL_CALL if step.kind == "tool" else NO_USAGE)
    cost = run.cost + step.cost
    if step.status == "failed":
        return replace(run, usage=usage, cost=cost)
    return replace(run, usage=usage, cost=cost, adoptions=0)


CANCELLED = ErrorInfo(code="cancelled", message="The run was cancelled.")
"""The error of steps that were open when their run was cancelled."""
