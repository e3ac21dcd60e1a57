"""The tape."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from runwright.core.event import (
    Data,
    Event,
    MessageCompleted,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepResolved,
    StepRestarted,
    StepStarted,
)
from runwright.core.message import AssistantMessage, said
from runwright.core.model import ModelResponse
from runwright.core.run import ErrorInfo
from runwright.core.step import StepKey
from runwright.core.usage import Usage
from runwright.journal.tape import GIVEN_UP, Tape, Taped, read_tape

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ERROR = ErrorInfo(code="tool_failed", message="no")


def _taped(*data: Data) -> Taped:
    """The step that these events tell of; the first one starts it."""
    events = [Event("run_1", 5 + index, NOW, each, 5) for index, each in enumerate(data)]
    return read_tape(events)[0]


BEGUN = StepStarted(kind="tool", name="send", key="k", lane="l", nth=2, effect="once")


def test_a_begun_step_has_its_key() -> None:
    """A step is matched by lane, kind, key and occurrence."""
    taped = _taped(BEGUN)
    assert (taped.seq, taped.match, taped.status, taped.is_final) == (5, StepKey("l", "tool", "k", 2), "running", False)


@pytest.mark.parametrize(
    ("story", "status", "is_final", "is_granted"),
    [
        ((StepCompleted(result=msgspec.Raw(b"7")),), "completed", True, False),
        ((StepFailed(error=ERROR),), "failed", True, False),
        ((StepFailed(error=ERROR, is_unknown=True),), "unknown", False, False),
        ((StepFailed(error=ERROR, is_unknown=True), StepResolved(action="fail")), "failed", True, False),
        ((StepFailed(error=ERROR, is_unknown=True), StepResolved(action="retry")), "running", False, True),
        (
            (StepFailed(error=ERROR, is_unknown=True), StepResolved(action="done"), StepCompleted()),
            "completed",
            True,
            False,
        ),
        (
            (StepFailed(error=ERROR, is_unknown=True), StepResolved(action="retry"), StepRestarted(attempt=2)),
            "running",
            False,
            False,
        ),
        ((StepFailed(error=ERROR, is_unknown=True), StepResolved(action="done")), "unknown", False, False),
    ],
    ids=list("abcdefgh"),
)
def test_a_step_is_what_its_events_say(story: tuple[Data, ...], status: str, is_final: bool, is_granted: bool) -> None:
    """Each end of a step, and each word about it, changes what the tape answers."""
    taped = _taped(BEGUN, *story)
    assert (taped.status, taped.is_final, taped.is_granted) == (status, is_final, is_granted)


def test_a_model_step_answers_as_the_model_did() -> None:
    """The response on the tape has message, reasoning, usage and where it came from."""
    message = AssistantMessage(content="hi")
    taped = _taped(
        StepStarted(kind="model", name="m", key="k"),
        MessageCompleted(message=msgspec.Raw(said(message).raw), reasoning="hm"),
        StepCompleted(
            model="big", provider="test", finish_reason="length", response_id="r1", usage=Usage(input_tokens=3)
        ),
    )
    assert taped.response == ModelResponse(
        message=message,
        reasoning="hm",
        finish_reason="length",
        usage=Usage(input_tokens=3),
        model="big",
        provider="test",
        response_id="r1",
    )


def test_events_of_unknown_steps_are_passed_over() -> None:
    """An event of a step that the story does not begin says nothing."""
    assert read_tape([Event("run_1", 5, NOW, StepCompleted(), 4)]) == []


def _step(lane: str, key: str, nth: int = 0, *, is_final: bool = True) -> Taped:
    status = "completed" if is_final else "running"
    return Taped(seq=1, name=key, match=StepKey(lane, "tool", key, nth), effect="read", status=status)


def test_steps_are_taken_by_key() -> None:
    """A step is found whatever the order of asking; a key that is not there gives None."""
    one, two = _step("", "a"), _step("", "a", 1)
    tape = Tape([one, two])
    assert tape.take(two.match) is two
    assert tape.take(one.match) is one
    assert tape.take(StepKey("", "tool", "b", 0)) is None
    assert tape.take(StepKey("other", "tool", "a", 0)) is None


def test_finished_steps_that_nobody_asked_for_are_known_by_lane() -> None:
    """The first finished step that is left is told per lane; unfinished ones are not waited for."""
    one, two, other = _step("", "a"), _step("", "b"), _step("side", "c")
    tape = Tape([one, two, other, _step("", "d", is_final=False)])
    assert tape.next_unused("") is one
    tape.take(one.match)
    assert tape.next_unused("") is two
    tape.take(two.match)
    assert tape.next_unused("") is None
    assert tape.next_unused("side") is other
    assert tape.next_unused("nowhere") is None


def test_what_may_have_acted_has_to_be_asked_for() -> None:
    """A `once` step that did not end is missed like one that ended; the first missed of all lanes is told."""
    taped = _taped(BEGUN)
    done = _step("", "a")
    assert Tape([taped]).unused is taped
    assert Tape([taped, done]).unused is done
    assert Tape([_step("", "a", is_final=False)]).unused is None


def test_a_step_knows_when_its_execution_asked_for_it() -> None:
    """The time runs from the start, or from the last time that the run went on; a clock set back counts as none."""
    moments = ((RunStarted(loop=1), 0), (BEGUN, 3), (RunResumed(cause="crash"), 60), (BEGUN, 61), (BEGUN, 59))
    events = [Event("run_1", 5 + index, NOW + timedelta(seconds=at), data) for index, (data, at) in enumerate(moments)]
    assert [step.after_s for step in read_tape(events)] == [3.0, 1.0, 0.0]


def test_a_step_that_the_flow_gave_up_says_so() -> None:
    """Only a failure by the flow's own cancellation is one."""
    assert _taped(BEGUN, StepFailed(error=GIVEN_UP)).is_given_up
    assert not _taped(BEGUN, StepFailed(error=ERROR)).is_given_up


def test_a_step_is_past_when_a_person_accepted_other_code() -> None:
    """Steps up to that moment still answer, but nothing has to ask for them."""
    resumed = RunResumed(cause="input")
    assert _taped(BEGUN, StepCompleted()).is_past is False
    events = [Event("run_1", 5, NOW, BEGUN, 5), Event("run_1", 6, NOW, StepCompleted(), 5)]
    (taped,) = read_tape([*events, Event("run_1", 7, NOW, resumed, None)])
    tape = Tape([taped])
    assert tape.next_unused("l") is None
    assert tape.take(taped.match) is taped
