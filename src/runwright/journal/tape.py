"""The tape: the recorded steps of a run, seen as answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from runwright.core.event import (
    Event,
    MemoryWritten,
    MessageCompleted,
    RunResumed,
    RunStarted,
    StepCharged,
    StepCompleted,
    StepFailed,
    StepHeld,
    StepResolved,
    StepRestarted,
    StepStarted,
)
from runwright.core.message import AssistantMessage, digest, said_raw
from runwright.core.model import ModelResponse
from runwright.core.money import NO_COST, Cost
from runwright.core.need import OF_PERSON, Need
from runwright.core.run import ErrorInfo
from runwright.core.step import Effect, StepKey, StepStatus, first_attempt, held_attempt, may_have_acted
from runwright.journal.project import is_charged_once

GIVEN_UP = ErrorInfo(code="cancelled", message="The flow gave the step up.")
"""The error of a step that its own flow cancelled, by a time-out or because of another branch."""


class Taped(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded step: its answer when it completed, its error when it failed.

    `is_granted` says that a person allowed a step of unknown outcome to run again; `is_past`, that a person let the run
    go on with other code since, which need not ask for this step. `after_s` is how long the run had been executing
    when the step began; `end` is the number of the event by which it came to its end. `late` is an outcome that came
    when nobody waited for it any more, by the event `late_end`: it counts from when the run goes on.
    `written` is what the step wrote to memory. `need` is what holds it; `is_approved` says that a person allowed it,
    with `arguments` if they were changed.
    """

    seq: int
    name: str
    match: StepKey
    effect: Effect
    status: StepStatus = "running"
    attempt: int = 1
    is_granted: bool = False
    is_past: bool = False
    after_s: float = 0.0
    end: int = 0
    result: bytes = b"null"
    response: ModelResponse | None = None
    cost: Cost = NO_COST
    written: tuple[MemoryWritten, ...] = ()
    error: ErrorInfo | None = None
    late: StepCompleted | StepFailed | None = None
    late_end: int = 0
    need: Need | None = None
    is_approved: bool = False
    arguments: bytes | None = None

    @property
    def is_final(self) -> bool:
        """Whether the step ended, so that it can answer."""
        return self.status in {"completed", "failed"}

    @property
    def digest(self) -> str:
        """A hash of what was asked and what came of it: equal for a step and its replay, whatever their numbers."""
        error = None if self.error is None else (self.error.code, self.error.message)
        answer = None if self.response is None else (self.response.message, self.response.reasoning)
        parts = (self.match, self.name, self.effect, self.status, error, answer)
        return digest(msgspec.json.encode(parts) + self.result).hex()

    @property
    def is_given_up(self) -> bool:
        """Whether the flow cancelled the step, and will do so again."""
        # The steps of a cancelled run have the same code.
        return self.status == "failed" and self.error is not None and self.error.message == GIVEN_UP.message


class Tape:
    """Steps by key and, per lane, in order."""

    def __init__(self, steps: Iterable[Taped] = ()) -> None:
        self._steps = {step.match: step for step in steps}
        self._left: dict[str, dict[StepKey, Taped]] = {}
        for step in self._steps.values():
            if (step.is_final or may_have_acted(step.effect, step.attempt)) and not step.is_past:
                self._left.setdefault(step.match.lane, {})[step.match] = step

    def __contains__(self, match: StepKey) -> bool:
        """Whether a step of this key was recorded."""
        return match in self._steps

    def take(self, match: StepKey) -> Taped | None:
        """The recorded step of this key, marked as used."""
        self._left.get(match.lane, {}).pop(match, None)
        return self._steps.get(match)

    def next_unused(self, lane: str) -> Taped | None:
        """The first step of a lane that nothing asked for yet, though the code should: it ended, or may have acted."""
        return next(iter(self._left.get(lane, {}).values()), None)

    @property
    def unused(self) -> Taped | None:
        """The first such step of any lane."""
        missed = (step for left in self._left.values() for step in left.values())
        return min(missed, key=lambda step: step.seq, default=None)


def read_tape(events: Iterable[Event]) -> Sequence[Taped]:
    """The steps that these events tell of, in order."""
    steps: dict[int, Taped] = {}
    done: set[int | None] = set()
    begun: datetime | None = None
    for event in events:
        if isinstance(event.data, RunStarted | RunResumed):
            begun = event.ts
            steps = {seq: _settled(step) for seq, step in steps.items()}
            if isinstance(event.data, RunResumed) and event.data.cause == "input":
                steps = {seq: replace(step, is_past=True) for seq, step in steps.items()}
        elif isinstance(event.data, StepStarted):
            steps[event.seq] = replace(_begun(event.seq, event.data), after_s=since(begun, event))
        elif event.step is not None and event.step in steps:
            if isinstance(event.data, StepResolved) and event.data.action in ("done", "deny", "answer"):
                done.add(event.step)
            before = steps[event.step]
            step = _after(before, event, is_waited_for=event.step in done)
            # What a person or a late outcome made of it came to nobody.
            is_of_person = event.step in done
            if isinstance(event.data, StepCompleted | StepFailed) and before.status == "running" and not is_of_person:
                step = replace(step, end=event.seq)
            steps[event.step] = step
    return list(steps.values())


def since(begun: datetime | None, event: Event) -> float:
    """Seconds from the beginning of a run to one of its events."""
    return 0.0 if begun is None else max(0.0, (event.ts - begun).total_seconds())


def _begun(seq: int, data: StepStarted) -> Taped:
    match = StepKey(data.lane, data.kind, data.key, data.nth)
    arguments = bytes(data.request) if data.kind == "child" else None
    attempt = first_attempt(data.effect, is_held=data.is_held)
    return Taped(seq=seq, name=data.name, match=match, effect=data.effect, attempt=attempt, arguments=arguments)


def _after(step: Taped, event: Event, *, is_waited_for: bool) -> Taped:
    match event.data:
        case StepRestarted() | StepHeld() as data:
            return _again(step, data)
        case MessageCompleted() as data:
            message = said_raw(bytes(data.message)).message
            assert isinstance(message, AssistantMessage)
            original = bytes(data.original)
            response = ModelResponse(
                message=message, reasoning=data.reasoning, original=b"" if original == b"null" else original
            )
            return replace(step, response=response)
        case MemoryWritten() as data:
            return replace(step, written=(*step.written, data))
        case StepCharged() as data:
            return replace(step, cost=step.cost + data.cost)
        case StepCompleted() as data:
            is_late = step.status == "unknown" and not is_waited_for
            return replace(step, late=data, late_end=event.seq) if is_late else _completed(step, data)
        case StepFailed() as data:
            is_late = step.status == "unknown" and not data.is_unknown
            return replace(step, late=data, late_end=event.seq) if is_late else _failed(step, data)
        case StepResolved() as data:
            return _resolved(step, data)
        case _:
            return step


def _resolved(step: Taped, data: StepResolved) -> Taped:
    if data.action == "fail":
        return replace(step, status="failed")
    if data.action == "retry":
        return replace(step, status="running", is_granted=True)
    if data.action == "approve":
        given = bytes(data.arguments)
        return replace(step, is_approved=True, need=None, arguments=None if given == b"null" else given)
    return step


def _again(step: Taped, data: StepRestarted | StepHeld) -> Taped:
    """A step that begins again, or is going to."""
    if isinstance(data, StepHeld):
        return replace(step, attempt=held_attempt(step.effect, step.attempt), need=data.need)
    cost = NO_COST if is_charged_once(step.effect) else step.cost
    return replace(step, status="running", attempt=data.attempt, cost=cost, is_granted=False, is_past=False, need=None)


def _settled(step: Taped) -> Taped:
    """A step when its run goes on: what nobody has to answer is looked at again."""
    if step.need is not None and not isinstance(step.need, OF_PERSON):
        step = replace(step, need=None)
    if step.late is None:
        return step
    given = _completed(step, step.late) if isinstance(step.late, StepCompleted) else _failed(step, step.late)
    return replace(given, late=None, end=step.late_end)


def _completed(step: Taped, data: StepCompleted) -> Taped:
    cost = step.cost + data.cost if step.match.kind != "model" else data.cost
    given = replace(_answered(step, data), result=bytes(data.result), cost=cost)
    return replace(given, status="completed", error=None)


def _failed(step: Taped, data: StepFailed) -> Taped:
    cost = step.cost + data.cost
    return replace(step, status="unknown" if data.is_unknown else "failed", error=data.error, cost=cost)


def _answered(step: Taped, data: StepCompleted) -> Taped:
    if step.response is None:
        return step
    response = replace(
        step.response,
        finish_reason=data.finish_reason,
        usage=data.usage,
        model=data.model,
        provider=data.provider,
        response_id=data.response_id,
    )
    return replace(step, response=response)
