"""The end of a run, and every wait in it: the one place that looks at what is still open then."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from runwright.core.event import (
    ConversationLeft,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunWaiting,
    StepFailed,
)
from runwright.core.message import said
from runwright.core.run import ErrorInfo, error_info
from runwright.engine.decide import Fail, Finish, Wait
from runwright.errors import OutcomeUnknown
from runwright.journal.project import CANCELLED
from runwright.journal.tape import GIVEN_UP
from runwright.journal.write import RunLog

_FAILED = ErrorInfo(code="run_failed", message="The run failed while the step was open.")
_COMPLETED = ErrorInfo(code="run_completed", message="The run was complete while the step was open.")
UNANSWERED = frozenset({GIVEN_UP.code, CANCELLED.code, _FAILED.code, _COMPLETED.code})
"""Codes of steps that ended without an answer, because their flow or their run ended first."""


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody cancelled the run."""

    reason: str


End = Finish | Fail | Wait | Cancel


def conclude(
    log: RunLog, end: End, *, thread_head: tuple[str, str] | None = None, granted: Container[int] = ()
) -> RunCompleted | None:
    """Record that a run ends or waits; the event of its completion, if that is what came of it.

    Steps that are open end before the run does. A run that nobody cancelled waits while it is not known whether one
    of its steps took effect, however it came to its end. Of `granted` steps a person has said to try them again: a run
    that waits for something else is not in doubt about them.
    """
    if not isinstance(end, Cancel):
        _doubt(log)
        # What a recording answered did not act.
        unknown = [step for step in log.unknown_steps if step.taped is None]
        asked = [step for step in unknown if not (isinstance(end, Wait) and step.seq in granted)]
        is_asking = isinstance(end, Wait) and end.reason == "unknown_effect"
        if asked and not is_asking:
            end = Wait(reason="unknown_effect", detail=_detail(log))
    match end:
        case Finish():
            log.close_steps(_COMPLETED)
            if end.left is not None:
                log.append((ConversationLeft(messages=tuple(msgspec.Raw(said(each).raw) for each in end.left)), None))
            completed = RunCompleted(
                output=msgspec.Raw(end.output),
                finish_reason=end.finish_reason,
                usage=log.run.usage,
                cost=log.run.cost,
            )
            (event,) = log.append((completed, None), thread_head=thread_head)
            assert isinstance(event.data, RunCompleted)
            return event.data
        case Fail():
            log.close_steps(_FAILED)
            log.append((RunFailed(error=end.error, usage=log.run.usage, cost=log.run.cost), None))
        case Cancel():
            # What arrives later is dropped, but for the outcome of a `once` tool.
            log.close_steps(CANCELLED)
            log.append((RunCancelled(reason=end.reason, usage=log.run.usage, cost=log.run.cost), None))
        case Wait():
            _wait(log, end)
    return None


def is_in_doubt(log: RunLog) -> bool:
    """Whether a step of the run may or may not have taken effect."""
    return bool(log.unknown_steps) or any(step.may_have_acted for step in log.open_steps)


def _doubt(log: RunLog) -> None:
    """A `once` tool that is in flight when nobody waits for it any more: of a dead process, or left behind."""
    for step in log.open_steps:
        if step.may_have_acted:
            error = OutcomeUnknown(f"{step.name!r} was in flight and nobody waited for it.")
            log.append((StepFailed(error=error_info(error, step=step.seq), is_unknown=True), step.seq))


def _detail(log: RunLog) -> str:
    names = ", ".join(f"{step.name!r} (step {step.seq})" for step in log.unknown_steps)
    return f"It is not known whether {names} took effect; resolve it as done, retry or fail."


def _wait(log: RunLog, wait: Wait) -> None:
    """Steps other than `once` tools stay open: they are done again when the run goes on."""
    log.append((RunWaiting(reason=wait.reason, detail=wait.detail, shortage=wait.shortage, needs=wait.needs), None))
    if wait.reason == "unknown_effect" and not log.unknown_steps:
        # The outcome came while the run came to its wait.
        log.append((RunResumed(cause="resolved", epoch=log.run.epoch), None))
