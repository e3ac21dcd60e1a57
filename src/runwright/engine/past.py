"""A recorded run as who follows it sees it: its steps, in what order things came to it, and how it ended.

Its replay follows it to the end, and the run itself follows it when it goes on: to the end of what is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from runwright.core.event import (
    Event,
    RunCancelled,
    RunFailed,
    RunInterrupted,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepRestarted,
    StepStarted,
    TimerFired,
)
from runwright.core.history import SUMMARY_LANE
from runwright.core.step import SUPERSEDED
from runwright.engine.decide import Fail
from runwright.engine.end import UNANSWERED, Cancel
from runwright.engine.order import Mark
from runwright.errors import CrashLoop, DeadlineExceeded
from runwright.journal.project import CANCELLED
from runwright.journal.tape import Taped, read_tape, since


class Past:
    """A recorded run. `end` is how it ended, None if it is complete or goes on.

    `timers` says which event set off which timer of the code.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.steps = [step for step in read_tape(events) if step.error is None or step.error.code != SUPERSEDED]
        self.end = _end(events)
        lives = list(_lives(events))
        # What came before a person let other code go on is given as soon as that asks for it.
        self._since = lives[0][0].seq if lives else 0
        self._times = {event.seq: since(life[0].ts, event) for life in lives for event in life}
        told = _told(lives)
        self.told_stops: Mapping[float, RunInterrupted] = {
            event.seq: event.data for event in told if isinstance(event.data, RunInterrupted)
        }
        self.timers = {event.data.nth: event.seq for event in told if isinstance(event.data, TimerFired)}

    @property
    def model(self) -> str | None:
        """The model that it asked first."""
        begun = (event.data for event in self.events if isinstance(event.data, StepStarted))
        return next((data.name for data in begun if data.kind == "model" and data.lane != SUMMARY_LANE), None)

    @property
    def stops(self) -> Mapping[float, RunInterrupted | None]:
        """When its code was stopped, and by what; None where it did nothing after that."""
        if self.told_stops or not self.is_stopped:
            return self.told_stops
        # A loop, or a flow that waited.
        first = min((step.end for step in self.steps if _is_cancelled(step)), default=self.over)
        return {first - 0.5: None}

    @property
    def over(self) -> int:
        """The number of the event that told how it ended."""
        return next((event.seq for event in self.events if event.is_terminal), self.events[-1].seq)

    def marks(self) -> Iterator[Mark]:
        """What came to it."""
        numbers: set[float] = {*self.stops, *self.timers.values()}
        stop = min(self.stops, default=self.over)
        numbers |= {step.end for step in self.steps if self._has_come(step, stop=stop)}
        yield from (Mark(number, self._times.get(int(number), 0.0)) for number in numbers)

    def end_mark(self) -> Mark:
        """Its end, after all that came to it."""
        return Mark(self.over + 1, max(self._times.values(), default=0.0))

    def is_before(self, step: Taped) -> bool:
        """Whether a step ended before a person let other code go on."""
        return 0 < step.end <= self._since

    def is_given_up(self, step: Taped) -> bool:
        """Whether what ended a step was its own code, or the stop of that, which comes again."""
        if step.is_past:
            return False
        return step.is_given_up or (_is_cancelled(step) and step.end > min(self.stops, default=step.end))

    def _has_come(self, step: Taped, *, stop: float) -> bool:
        """Whether the end of a step came to the code, and is not that of the run."""
        if step.end <= self._since:
            return False
        return is_answered(step) or step.is_given_up or (_is_cancelled(step) and step.end > stop)

    @property
    def is_stopped(self) -> bool:
        """Whether somebody, a limit of time or the last of too many crashes ended the run."""
        is_ended = isinstance(self.end, Fail) and self.end.error.code in {DeadlineExceeded.code, CrashLoop.code}
        return is_ended or isinstance(self.end, Cancel)


def is_answered(step: Taped) -> bool:
    """Whether a step got an answer: its run, or its own code, did not give it up before."""
    return step.is_final and (step.error is None or step.error.code not in UNANSWERED)


def _is_cancelled(step: Taped) -> bool:
    """Whether the cancellation of its run ended a step, also one that may have acted."""
    is_open = step.error is not None and step.error.message == CANCELLED.message
    return is_open or step.status == "unknown"


def _lives(events: Iterable[Event]) -> Sequence[Sequence[Event]]:
    """The events of each time that the run was executed, since a person let it go on with other code."""
    lives: list[list[Event]] = []
    for event in events:
        data = event.data
        if isinstance(data, RunStarted) or (isinstance(data, RunResumed) and data.cause == "input"):
            lives = [[event]]
        elif isinstance(data, RunResumed):
            lives.append([event])
        elif lives:
            lives[-1].append(event)
    return lives


def _told(lives: Sequence[Sequence[Event]]) -> Sequence[Event]:
    """The stops and timers that came to the code, and come again when the run goes on.

    A limit of time holds for its own life, with all that the code did after it. A timer after which the code gave up
    a step that may have acted does not come again: what became of that step counts.
    """
    told: list[Event] = []
    others = 0
    for event, is_last in _counting(lives):
        match event.data:
            case RunInterrupted() | TimerFired():
                told.append(event)
            case StepFailed(is_unknown=True):
                if not is_last and told and told[-1].seq > others and isinstance(told[-1].data, TimerFired):
                    told.pop()
            case StepStarted() | StepRestarted() | StepCompleted() | StepFailed():
                others = event.seq
            case _:
                pass
    return told


def _counting(lives: Sequence[Sequence[Event]]) -> Iterator[tuple[Event, bool]]:
    """The events of all lives, each to its limit of time, and whether it is of the last."""
    for life in lives:
        is_last = life is lives[-1]
        for event in life:
            if isinstance(event.data, RunInterrupted) and event.data.by == "time" and not is_last:
                break
            yield event, is_last


def _end(events: Sequence[Event]) -> Cancel | Fail | None:
    data = next((event.data for event in reversed(events) if event.is_terminal), None)
    if isinstance(data, RunCancelled):
        return Cancel(reason=data.reason)
    return Fail(error=data.error) if isinstance(data, RunFailed) else None
