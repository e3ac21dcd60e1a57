"""Model requests as they were sent, and the history that a run leaves."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from runwright.core.event import ConversationLeft, Data, Event, MessageCompleted, RunStarted, StepStarted
from runwright.core.history import OPENING, Recap
from runwright.core.message import AssistantMessage, Message, SystemMessage, UserMessage, said
from runwright.journal.requests import Handover, handover, sent_messages

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SYSTEM = SystemMessage(content="Be brief.")
ONE, TWO, THREE = (UserMessage(content=text) for text in ("one", "two", "three"))
YES, NO = (AssistantMessage(content=text) for text in ("yes", "no"))


def _event(seq: int, data: Data, step: int | None = None) -> Event:
    return Event("run_1", seq, NOW, data, step)


def _asked(seq: int, *messages: Message, base: int | None = None, lane: str = "") -> Event:
    raws = tuple(msgspec.Raw(said(message).raw) for message in messages)
    data = StepStarted(kind="model", name="m", key="k", lane=lane, base=base, messages=raws)
    return _event(seq, data, seq)


def _answered(seq: int, step: int, message: Message) -> Event:
    return _event(seq, MessageCompleted(message=msgspec.Raw(said(message).raw)), step)


STORY = (
    _event(1, RunStarted(loop=1)),
    _asked(2, SYSTEM, ONE),
    _answered(3, 2, YES),
    _event(4, StepStarted(kind="tool", name="t", key="k"), 4),
    _asked(5, YES, TWO, base=2),
    _answered(6, 5, NO),
    _asked(7, NO, THREE, base=5),
    _answered(8, 7, YES),
)


def test_a_request_repeats_its_base() -> None:
    """The messages of a step are those of its base and its own, along the whole chain."""
    sent = sent_messages(STORY)
    assert {step: [bytes(raw) for raw in raws] for step, raws in sent.items()} == {
        2: [said(message).raw for message in (SYSTEM, ONE)],
        5: [said(message).raw for message in (SYSTEM, ONE, YES, TWO)],
        7: [said(message).raw for message in (SYSTEM, ONE, YES, TWO, NO, THREE)],
    }


def test_the_history_is_what_was_sent_and_answered() -> None:
    """The next run of a thread gets the last request and its answer, without instructions."""
    assert [entry.message for entry in handover(STORY).messages] == [ONE, YES, TWO, NO, THREE, YES]


def test_an_unanswered_request_is_history_as_far_as_it_went() -> None:
    """A run whose last request has no answer leaves what was sent."""
    assert [entry.message for entry in handover(STORY[:-1]).messages] == [ONE, YES, TWO, NO, THREE]


def test_other_lanes_are_no_history() -> None:
    """Only the main lane is the conversation."""
    assert handover([_asked(2, ONE, lane="branch"), _answered(3, 2, YES)]) == Handover()
    assert [entry.message for entry in handover([*STORY, _asked(9, ONE, lane="branch")]).messages][-1] == YES


def test_a_run_without_a_model_leaves_no_history() -> None:
    """A run that asked no model leaves nothing."""
    assert handover([_event(1, RunStarted(loop=1))]) == Handover()


def test_a_recap_is_of_the_conversation_that_has_it() -> None:
    """What code leaves that begins with no summary has none, however long it is."""
    recap = Recap(messages=4, first=1, at=0)
    begun = _event(1, RunStarted(loop=1, recap=recap))
    summary = UserMessage(content=f"{OPENING}It was said.")
    for first, kept in ((summary, recap), (ONE, None)):
        left = tuple(msgspec.Raw(said(message).raw) for message in (first, YES))
        assert handover([begun, _event(2, ConversationLeft(messages=left))]).recap == kept
