"""The conversation as a fold over events."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.event import (
    CustomEmitted,
    Event,
    MessageCompleted,
    MessageDelta,
    OutputRejected,
    ProgressReported,
    RunStarted,
    StepCompleted,
    StepStarted,
    ToolRejected,
)
from runwright.core.message import UserMessage, chain_digest, said
from runwright.engine.fold import apply, fold, result_text, start
from tests.unit.engine.harness import read_text
from tests.unit.engine.tale import NOW, Tale, texts, wants


def test_the_input_opens_the_conversation() -> None:
    """`run.queued` brings the caller's messages."""
    state = Tale().asked("hello").folded()
    assert texts(state) == ["user: hello"]
    assert state.head == chain_digest(state.messages)


def test_a_thread_comes_before_the_input() -> None:
    """A conversation starts with the history that it is given."""
    past = (said(UserMessage(content="before")),)
    state = fold(start(past), Tale().asked("now").events, read_text)
    assert texts(state) == ["user: before", "user: now"]
    assert state.head == chain_digest(state.messages)


def test_an_answer_without_calls_is_final() -> None:
    """A message without tool calls is the final text, and its step is closed with its usage."""
    tale = Tale().asked()
    step = tale.model("bye", tokens=7)
    state = tale.folded()
    assert (state.final, state.finish_reason, state.open_steps) == ("bye", "stop", {})
    assert (state.base, state.base_count, state.steps, state.usage.total_tokens) == (step, 1, 1, 7)


def test_an_answer_without_text_is_the_empty_text() -> None:
    """A message with neither text nor calls ends the run with an empty answer."""
    tale = Tale().asked()
    tale.model(wants())
    assert tale.folded().final == ""


def test_results_stand_in_the_order_of_the_calls() -> None:
    """Whatever the order of arrival, tool messages follow the order of the calls."""
    seen: set[tuple[str, ...]] = set()
    for order in permutations("abc"):
        tale = Tale().asked()
        tale.model(wants(("a", "{}"), ("b", "{}"), ("c", "{}")))
        steps = {call: tale.tool(call, key=call) for call in "abc"}
        for call in order:
            tale.done(steps[call], f"result {call}")
        state = tale.folded()
        assert not state.calls
        seen.add((*texts(state), state.head.hex()))
    assert len(seen) == 1
    assert next(iter(seen))[2:5] == ("tool: result a", "tool: result b", "tool: result c")


def test_results_wait_for_each_other() -> None:
    """While one call is unanswered, no tool message joins the conversation."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}"), ("b", "{}")))
    tale.done(tale.tool("b"), 1)
    state = tale.folded()
    assert texts(state) == ["user: hi", "assistant: "]
    assert state.answers == {"b": "1"}


def test_a_failed_tool_is_told_to_the_model() -> None:
    """The error of a tool is the result that the model sees."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    tale.failed(tale.tool("a"), "no such city")
    assert texts(tale.folded())[-1] == "tool: Error: no such city"


def test_a_refused_call_is_told_to_the_model() -> None:
    """A rejected tool call is answered with the reason, without a step."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    tale.tell(ToolRejected(call_id="a", name="act", reason="bad arguments"))
    state = tale.folded()
    assert texts(state)[-1] == "tool: Error: bad arguments"
    assert state.steps == 1


def test_a_failed_model_step_fails_the_loop() -> None:
    """The error of a model call stands as the loop's failure."""
    tale = Tale().asked()
    tale.failed(tale.model(), "down")
    state = tale.folded()
    assert state.failure is not None
    assert state.failure.message == "down"


def test_a_refused_answer_is_asked_again() -> None:
    """`output.rejected` takes the final text back, tells the model why, and is counted."""
    tale = Tale().asked()
    tale.model("seven")
    tale.tell(OutputRejected(reason="no number"))
    state = tale.folded()
    assert (state.final, state.rejections) == (None, 1)
    assert texts(state)[-1] == "user: That answer does not fit: no number\nAnswer again, and only so."


def test_a_restart_counts_the_attempt() -> None:
    """A restarted step stays open, with its attempt."""
    tale = Tale().asked()
    step = tale.model()
    tale.restarted(step, 2)
    state = tale.folded()
    assert state.open_steps[step].attempt == 2
    assert state.steps == 1


@pytest.mark.parametrize(
    ("action", "opened", "unknown", "granted", "failure"),
    [
        ("done", False, True, False, None),
        ("retry", True, False, True, None),
        ("fail", False, False, False, "outcome_unknown"),
    ],
)
def test_a_resolution_decides_an_unknown_step(
    action: str, opened: bool, unknown: bool, granted: bool, failure: str | None
) -> None:
    """Done waits for the result, retry grants a new attempt, fail ends the loop."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    step = tale.tool("a", effect="once")
    tale.failed(step, is_unknown=True)
    assert list(tale.folded().unknown) == [step]
    tale.resolved(step, action)
    state = tale.folded()
    assert (step in state.open_steps, step in state.unknown, step in state.granted) == (opened, unknown, granted)
    assert (state.failure.code if state.failure else None) == failure


def test_a_granted_attempt_is_used_up_by_the_restart() -> None:
    """After the restart of a granted step the grant is gone, so that a second crash asks again."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    step = tale.tool("a", effect="once")
    tale.failed(step, is_unknown=True)
    tale.resolved(step, "retry")
    tale.restarted(step)
    state = tale.folded()
    assert state.granted == frozenset()
    assert list(state.open_steps) == [step]


def test_an_unknown_step_may_be_restarted_or_completed() -> None:
    """A late outcome, or a restart, takes a step out of the unknown ones."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    step = tale.tool("a", effect="once")
    tale.failed(step, is_unknown=True)
    late = fold(tale.folded(), [_completed(9, step)], read_text)
    assert not late.unknown
    assert texts(late)[-1] == "tool: 1"
    tale.restarted(step)
    assert (list(tale.folded().open_steps), dict(tale.folded().unknown)) == ([step], {})


def test_a_step_of_no_call_answers_nothing() -> None:
    """A tool step without a call id leaves the conversation as it is."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    before = texts(tale.folded())
    step = tale.tell(StepStarted(kind="tool", name="act", key="k"))
    tale.done(step)
    assert texts(tale.folded()) == before


def _completed(seq: int, step: int) -> Event:
    return Event("run_1", seq, NOW, StepCompleted(result=msgspec.Raw(b"1")), step)


@pytest.mark.parametrize(
    "data",
    [
        RunStarted(loop=1),
        MessageDelta(text="x"),
        ProgressReported(message="x"),
        CustomEmitted(name="x"),
    ],
)
def test_other_events_say_nothing(data: RunStarted | MessageDelta | ProgressReported | CustomEmitted) -> None:
    """Events that are not about the conversation leave it as it is."""
    before = Tale().asked().folded()
    assert apply(before, Event("run_1", 2, NOW, data, None), read_text) is before


def test_a_damaged_story_is_refused() -> None:
    """A step event without its step, and an answer that is no assistant message, are mistakes that are named."""
    state = Tale().asked().folded()
    with pytest.raises(ValueError, match="names no step"):
        apply(state, Event("run_1", 2, NOW, StepCompleted(), None), read_text)
    told = MessageCompleted(message=msgspec.Raw(said(UserMessage(content="x")).raw))
    with pytest.raises(TypeError, match="assistant message"):
        apply(state, Event("run_1", 2, NOW, told, 1), read_text)


@pytest.mark.parametrize(
    ("result", "text"), [(b'"plain \\"text\\""', 'plain "text"'), (b'{"a":1}', '{"a":1}'), (b"null", "null")]
)
def test_a_result_is_text_as_it_is_and_json_otherwise(result: bytes, text: str) -> None:
    """A string result reaches the model without its quotes."""
    assert result_text(result) == text


@st.composite
def tales(draw: st.DrawFn) -> Tale:
    """A run of several rounds, with tools side by side that end in any order and way."""
    tale = Tale().asked(draw(st.text(max_size=5)))
    for round_number in range(draw(st.integers(0, 3))):
        ids = [f"c{round_number}_{index}" for index in range(draw(st.integers(1, 3)))]
        tale.model(wants(*((call, "{}") for call in ids)), key=f"m{round_number}")
        steps = [tale.tool(call, key=call, effect=draw(st.sampled_from(("read", "once")))) for call in ids]
        for step in draw(st.permutations(steps)):
            match draw(st.sampled_from(("done", "failed", "restarted", "unknown"))):
                case "done":
                    tale.done(step, draw(st.integers() | st.text(max_size=3)))
                case "failed":
                    tale.failed(step)
                case "restarted":
                    tale.restarted(step)
                    tale.done(step)
                case _:
                    tale.failed(step, is_unknown=True)
                    tale.resolved(step, "done")
                    tale.done(step)
    if draw(st.booleans()):
        tale.model("bye", key="last")
    return tale


def test_a_superseded_model_step_is_no_failure() -> None:
    """A model step that gave way to another request leaves the conversation and its limits as they were."""
    tale = Tale().asked()
    before = tale.folded()
    tale.superseded(tale.model())
    after = tale.folded()
    assert (after.failure, after.open_steps, after.steps) == (None, {}, before.steps)
    assert after.messages == before.messages


@given(tales(), st.data())
def test_any_split_of_the_events_folds_to_the_same(tale: Tale, data: st.DataObject) -> None:
    """Folding all at once is folding piece by piece: a restart may fall anywhere."""
    whole = tale.folded()
    cut = data.draw(st.integers(0, len(tale.events)))
    state = fold(start(), tale.events[:cut], read_text)
    assert fold(state, tale.events[cut:], read_text) == whole


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_order_of_completion_does_not_matter(one: list[int], other: list[int]) -> None:
    """Two orders of completion of tools side by side leave the same conversation."""

    def after(order: list[int]) -> object:
        tale = Tale().asked()
        tale.model(wants(*((f"c{index}", "{}") for index in range(4))))
        steps = [tale.tool(f"c{index}", key=str(index)) for index in range(4)]
        for index in order:
            tale.done(steps[index], index)
        state = tale.folded()
        return state.messages, state.head, state.calls, state.answers

    assert after(one) == after(other)
