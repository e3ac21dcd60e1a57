"""The recorded run as its replay sees it: which steps it had, in what order, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runwright.core.event import Event, RunCancelled, RunFailed, RunResumed, StepStarted
from runwright.core.step import SUPERSEDED
from runwright.engine.decide import Fail
from runwright.engine.end import UNANSWERED, Cancel
from runwright.engine.order import AT_ONCE_S, Mark
from runwright.errors import DeadlineExceeded
from runwright.journal.project import CANCELLED
from runwright.journal.tape import Taped, read_tape


class Stop(NamedTuple):
    """Where a recorded run came to its end. `is_forced` if that was not its own code's doing."""

    mark: Mark
    is_forced: bool


class Past:
    """A recorded run. `end` is how it ended, None if it is complete or goes on."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.steps = [step for step in read_tape(events) if step.error is None or step.error.code != SUPERSEDED]
        self.end = _end(events)

    @property
    def is_stopped(self) -> bool:
        """Whether somebody or a limit of time ended the run."""
        is_late = isinstance(self.end, Fail) and self.end.error.code == DeadlineExceeded.code
        return is_late or isinstance(self.end, Cancel)

    @property
    def model(self) -> str | None:
        """The model that it asked first."""
        begun = (event.data for event in self.events if isinstance(event.data, StepStarted))
        return next((data.name for data in begun if data.kind == "model"), None)

    @property
    def stop(self) -> Stop:
        """Where it came to its end."""
        over = next((event.seq for event in self.events if event.is_terminal), self.events[-1].seq)
        cancelled = [step.end for step in self.steps if is_cancelled(step)]
        stop = min(cancelled, default=over)
        # Of what began before that and was answered after it, it is known that the cancellation came first.
        after = [step.seq - 0.5 for step in self.steps if step.seq < stop < step.end and is_answered(step)]
        after_s = max((step.end_after_s for step in self.steps), default=0.0)
        return Stop(Mark(min(after, default=stop), after_s), bool(cancelled) or self.is_stopped)

    def marks(self) -> list[Mark]:
        """When steps began and ended."""
        # What stood on its tape when it went on for the last time was given as soon as it was asked for.
        resumed = max((event.seq for event in self.events if isinstance(event.data, RunResumed)), default=0)
        marks: list[Mark] = []
        for step in self.steps:
            if is_brief(step):
                continue
            if step.seq > resumed:
                marks.append(Mark(step.seq, step.after_s))
            if step.end > resumed and (is_answered(step) or step.is_given_up):
                marks.append(Mark(step.end, step.end_after_s, is_end=True))
        return marks


def is_answered(step: Taped) -> bool:
    """Whether a step got an answer: its run, or its own code, did not give it up before."""
    return step.is_final and (step.error is None or step.error.code not in UNANSWERED)


def is_cancelled(step: Taped) -> bool:
    """Whether the cancellation of its run ended a step, also one that may have acted."""
    is_open = step.error is not None and step.error.message == CANCELLED.message
    return is_open or step.status == "unknown"


def is_brief(step: Taped) -> bool:
    """Whether a step was given up, or left behind, as it began: that its branch got so far was chance."""
    is_unanswered = not is_answered(step) and not is_cancelled(step)
    return is_unanswered and step.end_after_s - step.after_s < AT_ONCE_S


def _end(events: Sequence[Event]) -> Cancel | Fail | None:
    data = next((event.data for event in reversed(events) if event.is_terminal), None)
    if isinstance(data, RunCancelled):
        return Cancel(reason=data.reason)
    return Fail(error=data.error) if isinstance(data, RunFailed) else None
