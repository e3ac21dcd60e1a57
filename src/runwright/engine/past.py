"""The recorded run as its replay sees it: which steps it had, in what order things came to it, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from runwright.core.event import (
    Event,
    RunCancelled,
    RunFailed,
    RunInterrupted,
    RunResumed,
    RunStarted,
    StepStarted,
    StoppedBy,
    TimerFired,
)
from runwright.core.step import SUPERSEDED
from runwright.engine.decide import Fail
from runwright.engine.end import UNANSWERED, Cancel
from runwright.engine.order import Mark
from runwright.errors import DeadlineExceeded
from runwright.journal.project import CANCELLED
from runwright.journal.tape import Taped, read_tape, since


class Past:
    """A recorded run. `end` is how it ended, None if it is complete or goes on."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.steps = [step for step in read_tape(events) if step.error is None or step.error.code != SUPERSEDED]
        self.end = _end(events)
        begins = [event for event in events if isinstance(event.data, RunStarted | RunResumed)]
        self._begun = begins[-1].ts if begins else None
        # What stood on its tape when it went on for the last time was given as soon as it was asked for.
        self._since = begins[-1].seq if begins else 0
        self._last = [event for event in events if event.seq > self._since]
        self.told_stops: Mapping[float, StoppedBy] = {
            event.seq: event.data.by for event in self._last if isinstance(event.data, RunInterrupted)
        }
        self.past = {step.match for step in self.steps if 0 < step.end <= self._since}
        self.timers = {event.data.nth: event.seq for event in self._last if isinstance(event.data, TimerFired)}

    @property
    def model(self) -> str | None:
        """The model that it asked first."""
        begun = (event.data for event in self.events if isinstance(event.data, StepStarted))
        return next((data.name for data in begun if data.kind == "model"), None)

    @property
    def stops(self) -> Mapping[float, StoppedBy | None]:
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
        """What came to it, in order, and at last its end."""
        numbers: set[float] = {*self.stops, *self.timers.values()}
        stop = min(self.stops, default=self.over)
        numbers |= {step.end for step in self.steps if self._has_come(step, stop=stop)}
        last = self.over + 1
        times: dict[float, float] = {event.seq: since(self._begun, event) for event in self._last}
        yield from (Mark(number, times.get(number, 0.0)) for number in numbers)
        yield Mark(last, max(times.values(), default=0.0))

    def _has_come(self, step: Taped, *, stop: float) -> bool:
        """Whether the end of a step came to the code, and is not that of the run."""
        if step.end <= self._since:
            return False
        return is_answered(step) or step.is_given_up or (_is_cancelled(step) and step.end > stop)

    @property
    def is_stopped(self) -> bool:
        """Whether somebody or a limit of time ended the run."""
        is_late = isinstance(self.end, Fail) and self.end.error.code == DeadlineExceeded.code
        return is_late or isinstance(self.end, Cancel)


def is_answered(step: Taped) -> bool:
    """Whether a step got an answer: its run, or its own code, did not give it up before."""
    return step.is_final and (step.error is None or step.error.code not in UNANSWERED)


def _is_cancelled(step: Taped) -> bool:
    """Whether the cancellation of its run ended a step, also one that may have acted."""
    is_open = step.error is not None and step.error.message == CANCELLED.message
    return is_open or step.status == "unknown"


def _end(events: Sequence[Event]) -> Cancel | Fail | None:
    data = next((event.data for event in reversed(events) if event.is_terminal), None)
    if isinstance(data, RunCancelled):
        return Cancel(reason=data.reason)
    return Fail(error=data.error) if isinstance(data, RunFailed) else None
